//! Tags and tunnels: what stands between a link or IP header and the packet that was meant.

use etherparse::{SingleVlanHeaderSlice, UdpHeaderSlice};

use super::link::{ETHER_TYPE_AT, ETHER_TYPE_MIN, IPV4, IPV6};
use super::{Layer, link, u16_at};
use crate::vocab::packet::{Skip, Tunnel};

/// Removes the header that an EtherType other than IP's announces.
pub(super) fn ether_type(kind: u16, data: &[u8], short: Skip) -> Result<Layer<'_>, Skip> {
    match kind {
        VLAN | PROVIDER_VLAN | OLD_QINQ | OLD_QINQ_2 => vlan(data, short),
        MPLS | MPLS_UPSTREAM => mpls(data, short),
        PPPOE => pppoe(data, short),
        BRIDGED => Ok(Layer::Ethernet(data)),
        BACKBONE_BRIDGE => Err(Skip::Tunnel(Tunnel::BackboneBridge)),
        MACSEC => Err(Skip::Tunnel(Tunnel::MacSec)),
        VN_TAG => Err(Skip::Tunnel(Tunnel::VnTag)),
        CISCO_METADATA => Err(Skip::Tunnel(Tunnel::CiscoMetadata)),
        _ => Err(Skip::NotIp(kind)),
    }
}

/// Removes the header that an IP protocol number announces.
pub(super) fn payload(protocol: u8, data: &[u8], short: Skip) -> Result<Layer<'_>, Skip> {
    match protocol {
        IP_IN_IP | IPV6_IN_IP => Ok(Layer::Ip(data)),
        GRE => gre(data, short),
        MPLS_IN_IP => mpls(data, short),
        UDP => udp(data, short),
        _ => Err(Skip::NotTcp(protocol)),
    }
}

/// One 802.1Q or 802.1ad tag, priority tags included.
fn vlan(data: &[u8], short: Skip) -> Result<Layer<'_>, Skip> {
    let tag = SingleVlanHeaderSlice::from_slice(data).map_err(|_| short)?;
    let rest = data.get(tag.slice().len()..).unwrap_or_default();
    match tag.ether_type().0 {
        length if length < ETHER_TYPE_MIN => link::llc(length, rest),
        kind => Ok(Layer::EtherType(kind, rest)),
    }
}

/// An MPLS label stack (RFC 3032). Nothing says what stands below it: IP by its first nibble, else
/// an Ethernet pseudowire (RFC 4448) with or without its control word.
fn mpls(data: &[u8], short: Skip) -> Result<Layer<'_>, Skip> {
    let mut rest = data;
    for _ in 0..LABELS_MAX {
        let (label, behind) = rest.split_first_chunk::<LABEL>().ok_or(short)?;
        rest = behind;
        if label[2] & BOTTOM_OF_STACK == 0 {
            continue;
        }
        let first = *rest.first().ok_or(short)?;
        // Version 4 with a header of 20 octets or more; the address of a frame may begin so, too.
        let is_ipv4 = first >> 4 == 4 && first & 0x0f >= 5;
        return match rest.get(CONTROL_WORD..) {
            _ if (is_ipv4 || first >> 4 == 6) && !is_ethernet(rest) => Ok(Layer::Ip(rest)),
            Some(frame) if first >> 4 == 0 && is_ethernet(frame) => Ok(Layer::Ethernet(frame)),
            _ if is_ethernet(rest) => Ok(Layer::Ethernet(rest)),
            _ => Err(Skip::NotIp(MPLS)),
        };
    }
    Err(Skip::TooDeep)
}

/// Whether this looks like an Ethernet frame that may hold IP.
fn is_ethernet(data: &[u8]) -> bool {
    let version = data.get(link::ETHERNET_LENGTH).map(|octet| octet >> 4);
    match u16_at(data, ETHER_TYPE_AT) {
        Some(IPV4) => version == Some(4),
        Some(IPV6) => version == Some(6),
        Some(VLAN | PROVIDER_VLAN) => matches!(
            u16_at(data, ETHER_TYPE_AT + 4),
            Some(IPV4 | IPV6 | VLAN | PROVIDER_VLAN | MPLS | PPPOE)
        ),
        _ => false,
    }
}

/// A PPPoE session packet (RFC 2516).
pub(super) fn pppoe(data: &[u8], short: Skip) -> Result<Layer<'_>, Skip> {
    let (header, rest) = data.split_first_chunk::<6>().ok_or(short)?;
    match header {
        [0x11, 0, ..] => ppp(rest, short),
        _ => Err(Skip::NotIp(PPPOE)),
    }
}

/// A PPP packet (RFC 1661), with or without address and control (RFC 1662), with its protocol
/// number in two octets or, compressed, in one.
pub(super) fn ppp(data: &[u8], short: Skip) -> Result<Layer<'_>, Skip> {
    let data = match data {
        [0xff, 0x03, rest @ ..] => rest,
        _ => data,
    };
    let (kind, rest) = match data {
        // The last octet of a protocol number is odd, the first one even.
        [low, rest @ ..] if low & 1 == 1 => (u16::from(*low), rest),
        [high, low, rest @ ..] => (u16::from_be_bytes([*high, *low]), rest),
        _ => return Err(short),
    };
    match kind {
        PPP_IPV4 | PPP_IPV6 => Ok(Layer::Ip(rest)),
        PPP_MPLS | PPP_MPLS_MULTICAST => mpls(rest, short),
        _ => Err(Skip::NotIp(kind)),
    }
}

/// GRE (RFC 2784, 2890), its PPTP variant (RFC 2637), and what is mirrored in it (ERSPAN).
fn gre(data: &[u8], short: Skip) -> Result<Layer<'_>, Skip> {
    let flags = u16_at(data, 0).ok_or(short)?;
    let kind = u16_at(data, 2).ok_or(short)?;
    let version = flags & GRE_VERSION;
    if version > 1 {
        return Err(Skip::Tunnel(Tunnel::GreVersion));
    }
    if flags & GRE_ROUTING != 0 {
        return Err(Skip::Tunnel(Tunnel::GreRouting));
    }
    let mut octets = 4;
    for flag in [GRE_CHECKSUM, GRE_KEY, GRE_SEQUENCE] {
        octets += if flags & flag == 0 { 0 } else { 4 };
    }
    if version == 1 && flags & GRE_ACKNOWLEDGEMENT != 0 {
        octets += 4;
    }
    let rest = data.get(octets..).ok_or(short)?;
    match kind {
        GRE_PPP => ppp(rest, short),
        // Type I has neither a sequence number nor a header of its own.
        ERSPAN if flags & GRE_SEQUENCE == 0 => Ok(Layer::Ethernet(rest)),
        ERSPAN => rest.get(ERSPAN_2..).map(Layer::Ethernet).ok_or(short),
        ERSPAN_TYPE_3 => {
            let subheader = rest.get(ERSPAN_3 - 1).ok_or(short)? & 1 == 1;
            let octets = if subheader { ERSPAN_3 + ERSPAN_3_SUBHEADER } else { ERSPAN_3 };
            rest.get(octets..).map(Layer::Ethernet).ok_or(short)
        }
        IPV4 | IPV6 | VLAN | PROVIDER_VLAN | MPLS | MPLS_UPSTREAM | BRIDGED => {
            Ok(Layer::EtherType(kind, rest))
        }
        _ => Err(Skip::Tunnel(Tunnel::Gre(kind))),
    }
}

/// Tunnels in UDP, told by their port and by whether their header makes sense.
fn udp(data: &[u8], short: Skip) -> Result<Layer<'_>, Skip> {
    let header = UdpHeaderSlice::from_slice(data).map_err(|_| short)?;
    let rest = data.get(header.slice().len()..).unwrap_or_default();
    let inner = match header.destination_port() {
        VXLAN_PORT => vxlan(rest, false),
        VXLAN_LINUX_PORT => vxlan(rest, true),
        VXLAN_GPE_PORT => return vxlan_gpe(rest).ok_or(Skip::NotTcp(UDP))?,
        GENEVE_PORT => geneve(rest),
        GTP_PORT => gtp(rest),
        MPLS_PORT => mpls(rest, short).ok(),
        _ => None,
    };
    // Anything may use these ports: what does not fit is plain UDP.
    inner.ok_or(Skip::NotTcp(UDP))
}

/// VXLAN (RFC 7348). On a port that is not its own, every reserved bit has to be zero.
fn vxlan(data: &[u8], strict: bool) -> Option<Layer<'_>> {
    let (header, frame) = data.split_first_chunk::<8>()?;
    let fits = match header {
        [0x08, 0, 0, 0, _, _, _, 0] => true,
        [flags, ..] => !strict && flags & 0x08 != 0,
    };
    fits.then_some(Layer::Ethernet(frame))
}

/// VXLAN with a protocol number of its own (draft-ietf-nvo3-vxlan-gpe section 3).
fn vxlan_gpe(data: &[u8]) -> Option<Result<Layer<'_>, Skip>> {
    let (header, inner) = data.split_first_chunk::<8>()?;
    let [flags, 0, 0, next, .., 0] = *header else { return None };
    Some(match (flags & 0x0d, next) {
        (0x08, 0) | (0x0c, 3) => Ok(Layer::Ethernet(inner)),
        (0x0c, 1 | 2) => Ok(Layer::Ip(inner)),
        (0x0c, next) => Err(Skip::Tunnel(Tunnel::VxlanGpe(next))),
        _ => return None,
    })
}

/// Geneve (RFC 8926); control packets hold no traffic.
fn geneve(data: &[u8]) -> Option<Layer<'_>> {
    let (header, _) = data.split_first_chunk::<8>()?;
    let [first, flags, ..] = *header;
    if first >> 6 != 0 || flags & 0x80 != 0 {
        return None;
    }
    let kind = u16_at(data, 2)?;
    let rest = data.get(8 + usize::from(first & 0x3f) * 4..)?;
    (kind >= ETHER_TYPE_MIN).then_some(Layer::EtherType(kind, rest))
}

/// GTP-U, version 1 (3GPP TS 29.281): G-PDUs with their extension headers.
fn gtp(data: &[u8]) -> Option<Layer<'_>> {
    let (header, mut rest) = data.split_first_chunk::<8>()?;
    let [flags, message, ..] = *header;
    if flags & 0xf0 != GTP_VERSION_1 || message != GTP_PDU {
        return None;
    }
    if flags & GTP_OPTIONAL != 0 {
        let (optional, behind) = rest.split_first_chunk::<4>()?;
        rest = behind;
        let [_, _, _, mut next] = *optional;
        if flags & GTP_EXTENSION == 0 {
            next = 0;
        }
        while next != 0 {
            let octets = usize::from(*rest.first()?) * 4;
            next = *rest.get(octets.checked_sub(1)?)?;
            rest = rest.get(octets..)?;
        }
    }
    Some(Layer::Ip(rest))
}

/// 802.1Q tag.
const VLAN: u16 = 0x8100;
/// 802.1ad service tag.
const PROVIDER_VLAN: u16 = 0x88a8;
/// Outer tags from before 802.1ad.
const OLD_QINQ: u16 = 0x9100;
/// Outer tags from before 802.1ad.
const OLD_QINQ_2: u16 = 0x9200;
/// MPLS.
const MPLS: u16 = 0x8847;
/// MPLS with upstream-assigned labels.
const MPLS_UPSTREAM: u16 = 0x8848;
/// PPPoE session.
const PPPOE: u16 = 0x8864;
/// Provider backbone bridging, the service instance tag.
const BACKBONE_BRIDGE: u16 = 0x88e7;
/// MACsec.
const MACSEC: u16 = 0x88e5;
/// VN-Tag.
const VN_TAG: u16 = 0x8926;
/// Cisco metadata.
const CISCO_METADATA: u16 = 0x8909;
/// Transparent Ethernet bridging, in GRE and Geneve.
const BRIDGED: u16 = 0x6558;
/// PPP in GRE.
const GRE_PPP: u16 = 0x880b;
/// ERSPAN types I and II.
const ERSPAN: u16 = 0x88be;
/// ERSPAN type III.
const ERSPAN_TYPE_3: u16 = 0x22eb;
/// Octets of an ERSPAN type II header.
const ERSPAN_2: usize = 8;
/// Octets of an ERSPAN type III header; its last bit announces the subheader.
const ERSPAN_3: usize = 12;
/// Octets of the platform-specific subheader.
const ERSPAN_3_SUBHEADER: usize = 8;
/// PPP protocol number of IPv4.
const PPP_IPV4: u16 = 0x0021;
/// PPP protocol number of IPv6.
const PPP_IPV6: u16 = 0x0057;
/// PPP protocol number of MPLS unicast.
const PPP_MPLS: u16 = 0x0281;
/// PPP protocol number of MPLS multicast.
const PPP_MPLS_MULTICAST: u16 = 0x0283;
/// IP protocol number of IPv4.
const IP_IN_IP: u8 = 4;
/// IP protocol number of UDP.
const UDP: u8 = 17;
/// IP protocol number of IPv6.
const IPV6_IN_IP: u8 = 41;
/// IP protocol number of GRE.
const GRE: u8 = 47;
/// IP protocol number of MPLS.
const MPLS_IN_IP: u8 = 137;
/// GRE: a checksum and a reserved field follow.
const GRE_CHECKSUM: u16 = 0x8000;
/// GRE: source routes follow (RFC 1701, never in use).
const GRE_ROUTING: u16 = 0x4000;
/// GRE: a key follows.
const GRE_KEY: u16 = 0x2000;
/// GRE: a sequence number follows.
const GRE_SEQUENCE: u16 = 0x1000;
/// GRE of PPTP: an acknowledgement number follows.
const GRE_ACKNOWLEDGEMENT: u16 = 0x0080;
/// GRE version bits.
const GRE_VERSION: u16 = 0x0007;
/// VXLAN as IANA has it.
const VXLAN_PORT: u16 = 4789;
/// VXLAN as Linux had it first, and flannel still has it.
const VXLAN_LINUX_PORT: u16 = 8472;
/// VXLAN-GPE.
const VXLAN_GPE_PORT: u16 = 4790;
/// Geneve.
const GENEVE_PORT: u16 = 6081;
/// MPLS in UDP (RFC 7510).
const MPLS_PORT: u16 = 6635;
/// GTP-U.
const GTP_PORT: u16 = 2152;
/// Version 1, protocol type GTP.
const GTP_VERSION_1: u8 = 0x30;
/// Message type of user data.
const GTP_PDU: u8 = 0xff;
/// Any of extension header, sequence number and N-PDU number flags: all three fields follow.
const GTP_OPTIONAL: u8 = 0x07;
/// Extension header flag.
const GTP_EXTENSION: u8 = 0x04;
/// Octets of an MPLS label.
const LABEL: usize = 4;
/// The S bit, in a label's third octet.
const BOTTOM_OF_STACK: u8 = 0x01;
/// Labels in a stack; networks use up to five.
const LABELS_MAX: usize = 16;
/// Octets of a pseudowire's control word; its first nibble is zero.
const CONTROL_WORD: usize = 4;

#[cfg(test)]
mod tests {
    use super::super::sample::{behind, decode, ether, ipv4, ipv6, tcp, udp};
    use super::*;
    use crate::vocab::packet::LinkType;

    fn hello(frame: &[u8]) {
        let got = decode(LinkType::ETHERNET, frame);
        assert_eq!(got, Ok((b"hello".to_vec(), 0)), "{frame:02x?}");
    }

    fn inner() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let four = ipv4(6, &tcp(b"hello"));
        let frame = ether(0x0800, &four);
        (four, ipv6(6, &tcp(b"hello")), frame)
    }

    #[test]
    fn tags_are_removed_however_many_and_whatever_their_number() {
        let (four, six, _) = inner();
        hello(&behind(0x8100, &[0, 100, 8, 0], &four));
        hello(&behind(0x8100, &[0xe0, 0, 8, 0], &four)); // a priority tag
        hello(&behind(0x88a8, &[0, 1, 0x81, 0, 0, 2, 0x86, 0xdd], &six));
        hello(&behind(0x8100, &[0, 1, 0x81, 0, 0, 2, 8, 0], &four));
        hello(&behind(0x8100, &[0, 1, 0, 53, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &four));
        hello(&behind(
            0x9100,
            &[0, 1, 0x88, 0xa8, 0, 2, 0x81, 0, 0, 3, 0x91, 0, 0, 4, 8, 0],
            &four,
        ));
        let endless = [0, 1, 0x81, 0].repeat(9);
        let frame = behind(0x8100, &endless, &four);
        assert_eq!(decode(LinkType::ETHERNET, &frame), Err(Skip::TooDeep));
    }

    #[test]
    fn below_labels_may_be_ip_or_a_frame() {
        let (four, six, frame) = inner();
        hello(&behind(0x8847, &[0, 1, 0x01, 64], &four));
        hello(&behind(0x8848, &[0, 1, 0x00, 64, 0, 2, 0x01, 64], &six));
        hello(&behind(0x8847, &[0, 1, 0x01, 64, 0, 0, 0, 9], &frame));
        hello(&behind(0x8847, &[0, 1, 0x01, 64], &frame));
        // Addresses that begin like the versions of IP do not fool it.
        for first in [0x00, 0x44, 0x46, 0x60] {
            let mut frame = frame.clone();
            frame[0] = first;
            hello(&behind(0x8847, &[0, 1, 0x01, 64, 0, 0, 0, 0], &frame));
            hello(&behind(0x8847, &[0, 1, 0x01, 64], &frame));
        }
        let unknown = behind(0x8847, &[0, 1, 0x01, 64], &[0x10; 40]);
        assert_eq!(decode(LinkType::ETHERNET, &unknown), Err(Skip::NotIp(0x8847)));
        let endless = behind(0x8847, &[0, 1, 0, 64].repeat(17), &four);
        assert_eq!(decode(LinkType::ETHERNET, &endless), Err(Skip::TooDeep));
    }

    #[test]
    fn pppoe_sessions_hold_ppp() {
        let (four, six, _) = inner();
        hello(&behind(0x8864, &[0x11, 0, 0, 1, 0, 47, 0, 0x21], &four));
        hello(&behind(0x8864, &[0x11, 0, 0, 1, 0, 67, 0, 0x57], &six));
        let echo = behind(0x8864, &[0x11, 0, 0, 1, 0, 10, 0xc0, 0x21], &[9; 8]);
        assert_eq!(decode(LinkType::ETHERNET, &echo), Err(Skip::NotIp(0xc021)));
    }

    #[test]
    fn gre_in_its_forms() {
        let (four, six, frame) = inner();
        let carry = |header: &[u8], inner: &[u8]| {
            hello(&ether(0x0800, &ipv4(GRE, &[header, inner].concat())));
        };
        carry(&[0, 0, 8, 0], &four);
        carry(&[0xb0, 0, 0x86, 0xdd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2], &six);
        carry(&[0x20, 0, 0x65, 0x58, 0, 0, 0, 1], &frame);
        carry(&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0, 0, 0, 0, 0, 0, 0], &frame);
        carry(&[0, 0, 0x88, 0xbe], &frame);
        let three = [&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1][..], &[0; 11], &[1], &[0; 8]].concat();
        carry(&three, &frame);
        carry(&[0, 0, 0x88, 0x47, 0, 1, 1, 64], &four);
        carry(&[0x30, 0x81, 0x88, 0x0b, 0, 9, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0x21], &four);
        let routed = ether(0x0800, &ipv4(GRE, &[0x40; 40]));
        assert_eq!(decode(LinkType::ETHERNET, &routed), Err(Skip::Tunnel(Tunnel::GreRouting)));
        let redirected = ether(0x0800, &ipv4(GRE, &[&[0, 0, 0x88, 0x3e][..], &four].concat()));
        let skip = Skip::Tunnel(Tunnel::Gre(0x883e));
        assert_eq!(decode(LinkType::ETHERNET, &redirected), Err(skip));
        let later = ether(0x0800, &ipv4(GRE, &[&[0, 7, 8, 0][..], &four].concat()));
        assert_eq!(decode(LinkType::ETHERNET, &later), Err(Skip::Tunnel(Tunnel::GreVersion)));
    }

    #[test]
    fn tunnels_in_udp() {
        let (four, six, frame) = inner();
        let carry = |port: u16, header: &[u8], inner: &[u8]| {
            ether(0x86dd, &ipv6(UDP, &udp(port, &[header, inner].concat())))
        };
        hello(&carry(4789, &[8, 0, 0, 0, 0, 0, 7, 0], &frame));
        hello(&carry(4789, &[0x88, 0, 0, 9, 0, 0, 7, 0], &frame));
        hello(&carry(8472, &[8, 0, 0, 0, 0, 0, 7, 0], &frame));
        hello(&carry(4790, &[0x0c, 0, 0, 3, 0, 0, 7, 0], &frame));
        hello(&carry(4790, &[0x0c, 0, 0, 1, 0, 0, 7, 0], &four));
        let service = carry(4790, &[0x0c, 0, 0, 4, 0, 0, 7, 0], &four);
        let skip = Skip::Tunnel(Tunnel::VxlanGpe(4));
        assert_eq!(decode(LinkType::ETHERNET, &service), Err(skip));
        hello(&carry(6081, &[0, 0, 0x65, 0x58, 0, 0, 7, 0], &frame));
        hello(&carry(6081, &[1, 0, 0x86, 0xdd, 0, 0, 7, 0, 1, 2, 3, 4], &six));
        hello(&carry(2152, &[0x30, 0xff, 0, 45, 0, 0, 0, 1], &four));
        hello(&carry(2152, &[0x32, 0xff, 0, 45, 0, 0, 0, 1, 0, 1, 0, 0], &six));
        let extended = [0x34, 0xff, 0, 45, 0, 0, 0, 1, 0, 0, 0, 0x85, 1, 0x10, 9, 0x85, 2];
        hello(&carry(2152, &[&extended[..], &[0; 7]].concat(), &four));
        for (port, header) in [
            (4789, [0, 0, 0, 0, 0, 0, 7, 0]),
            (8472, [0x88, 0, 0, 9, 0, 0, 7, 0]),
            (6081, [0, 0x80, 0x65, 0x58, 0, 0, 7, 0]),
            (6081, [0x40, 0, 0x65, 0x58, 0, 0, 7, 0]),
            (2152, [0x30, 1, 0, 0, 0, 0, 0, 0]),
            (53, [8, 0, 0, 0, 0, 0, 7, 0]),
        ] {
            let got = decode(LinkType::ETHERNET, &carry(port, &header, &frame));
            assert_eq!(got, Err(Skip::NotTcp(UDP)), "{port}");
        }
        // An extension header without length would never end.
        let stuck = carry(2152, &[0x34, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x85, 0, 0], &four);
        assert_eq!(decode(LinkType::ETHERNET, &stuck), Err(Skip::NotTcp(UDP)));
    }

    #[test]
    fn ip_in_ip_in_all_four_ways() {
        let (four, six, _) = inner();
        hello(&ether(0x0800, &ipv4(4, &four)));
        hello(&ether(0x0800, &ipv4(41, &six)));
        hello(&ether(0x86dd, &ipv6(4, &four)));
        hello(&ether(0x86dd, &ipv6(41, &six)));
        hello(&ether(0x0800, &ipv4(137, &[&[0, 1, 1, 64], &four[..]].concat())));
    }

    #[test]
    fn labels_in_udp_are_removed_and_what_is_not_opened_is_named() {
        let (four, _, frame) = inner();
        let label = [0, 1, 0x01, 64];
        for inside in [&four, &frame] {
            let labelled = [&label[..], &inside[..]].concat();
            hello(&ether(0x0800, &ipv4(17, &udp(MPLS_PORT, &labelled))));
        }
        let plain = ether(0x0800, &ipv4(17, &udp(MPLS_PORT, &[0; 80])));
        assert_eq!(decode(LinkType::ETHERNET, &plain), Err(Skip::NotTcp(UDP)));
        for (kind, tunnel) in [
            (BACKBONE_BRIDGE, Tunnel::BackboneBridge),
            (MACSEC, Tunnel::MacSec),
            (VN_TAG, Tunnel::VnTag),
            (CISCO_METADATA, Tunnel::CiscoMetadata),
        ] {
            let skip = Skip::Tunnel(tunnel);
            assert_eq!(decode(LinkType::ETHERNET, &ether(kind, &[0; 40])), Err(skip));
            assert!(skip.is_loss());
        }
    }
}
