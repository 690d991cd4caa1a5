//! Captured records, and why one was of no use.

use super::time::Stamp;

/// One captured record.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Capture, packet number and time.
    pub stamp: Stamp,
    /// Link type of the interface it was captured on.
    pub link: LinkType,
    /// Octets captured, from the link header on.
    pub data: &'a [u8],
    /// Length on the wire in octets, from the link header on; at least `data.len()` unless the
    /// file lies.
    pub wire_length: u32,
    /// Length in octets of the frame check sequence at the end of the frame, where the file says
    /// so (pcap FCS bits, pcapng if_fcslen); else 0.
    pub fcs_length: u8,
}

/// Link-layer header type number (LINKTYPE_ registry of pcap).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkType(pub u32);

impl LinkType {
    /// BSD loopback, family in host byte order of the capturing machine.
    pub const NULL: Self = Self(0);
    /// Ethernet.
    pub const ETHERNET: Self = Self(1);
    /// PPP.
    pub const PPP: Self = Self(9);
    /// Raw IP, as some systems number it.
    pub const RAW_OPENBSD: Self = Self(12);
    /// Raw IP, as some systems number it.
    pub const RAW_BSDOS: Self = Self(14);
    /// PPP over serial, HDLC framing.
    pub const PPP_HDLC: Self = Self(50);
    /// PPP over Ethernet.
    pub const PPP_ETHER: Self = Self(51);
    /// Raw IP, version in the first nibble.
    pub const RAW: Self = Self(101);
    /// OpenBSD loopback, family in network byte order.
    pub const LOOP: Self = Self(108);
    /// Linux cooked capture v1.
    pub const LINUX_SLL: Self = Self(113);
    /// Raw IPv4.
    pub const IPV4: Self = Self(228);
    /// Raw IPv6.
    pub const IPV6: Self = Self(229);
    /// Linux netfilter log.
    pub const NFLOG: Self = Self(239);
    /// Linux cooked capture v2.
    pub const LINUX_SLL2: Self = Self(276);
    /// No number of the registry: a packet names an interface that the file does not describe.
    pub const UNKNOWN: Self = Self(u32::MAX);
}

/// Why a packet gave no TCP segment. Shown in the report by reason, so that an empty result is
/// never a riddle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Skip {
    /// A link type that this program does not read.
    LinkType(LinkType),
    /// Not IP (ARP, LLDP, spanning tree ...): EtherType or protocol number.
    NotIp(u16),
    /// IP, but not TCP: IP protocol number.
    NotTcp(u8),
    /// A fragment that waits for, or never got, its siblings.
    Fragment,
    /// Cut by the snap length before the end of the TCP header.
    Cut,
    /// A header that contradicts itself.
    Malformed,
    /// A tunnel deeper than this program follows.
    TooDeep,
    /// This program failed on it.
    Fault,
    /// A tunnel that this program does not open.
    Tunnel(Tunnel),
}

/// A tunnel that this program does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tunnel {
    /// GRE with source routes (RFC 1701).
    GreRouting,
    /// GRE of a version beyond 1.
    GreVersion,
    /// GRE with this protocol number inside.
    Gre(u16),
    /// VXLAN-GPE with this next protocol inside.
    VxlanGpe(u8),
    /// Provider backbone bridging (IEEE 802.1ah).
    BackboneBridge,
    /// MACsec (IEEE 802.1AE), which may be encrypted.
    MacSec,
    /// VN-Tag (IEEE 802.1Qbh, a draft).
    VnTag,
    /// Cisco metadata, as of TrustSec.
    CiscoMetadata,
}

impl Skip {
    /// Whether somebody could have expected this packet to be read: ARP and UDP are not missing,
    /// an unknown link type, a lone fragment or a broken header is.
    pub fn is_loss(self) -> bool {
        !matches!(self, Self::NotIp(_) | Self::NotTcp(_))
    }
}
