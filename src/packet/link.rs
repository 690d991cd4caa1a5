//! Link layers: what stands before the IP header, by LINKTYPE number
//! (<https://www.tcpdump.org/linktypes.html>).

use super::{Layer, tunnel, u16_at};
use crate::vocab::packet::{LinkType, Skip};

/// What the link header of a packet announces.
#[inline]
pub(super) fn first<'a>(link: LinkType, data: &'a [u8], short: Skip) -> Result<Layer<'a>, Skip> {
    match link {
        LinkType::ETHERNET => Ok(Layer::Ethernet(data)),
        LinkType::LINUX_SLL => cooked(data, SLL_PROTOCOL_AT, SLL_LENGTH, short),
        LinkType::LINUX_SLL2 => cooked(data, SLL2_PROTOCOL_AT, SLL2_LENGTH, short),
        LinkType::NULL | LinkType::LOOP => loopback(data, short),
        LinkType::RAW_OPENBSD
        | LinkType::RAW_BSDOS
        | LinkType::RAW
        | LinkType::IPV4
        | LinkType::IPV6 => Ok(Layer::Ip(data)),
        LinkType::PPP | LinkType::PPP_HDLC => serial(data, short),
        LinkType::PPP_ETHER => tunnel::pppoe(data, short),
        LinkType::NFLOG => netfilter_log(data, short),
        // The file contradicts itself; there is no link type to name.
        LinkType::UNKNOWN => Err(Skip::Malformed),
        _ => Err(Skip::LinkType(link)),
    }
}

/// An Ethernet frame, also inside tunnels.
#[inline]
pub(super) fn ethernet(frame: &[u8], short: Skip) -> Result<Layer<'_>, Skip> {
    let kind = u16_at(frame, ETHER_TYPE_AT).ok_or(short)?;
    let data = frame.get(ETHERNET_LENGTH..).ok_or(short)?;
    Ok(if kind >= ETHER_TYPE_MIN { Layer::EtherType(kind, data) } else { llc(kind, data)? })
}

/// IEEE 802.3 with a length: only SNAP with an EtherType (RFC 1042) may hold IP.
pub(super) fn llc(length: u16, data: &[u8]) -> Result<Layer<'_>, Skip> {
    match data {
        [0xaa, 0xaa, 0x03, 0, 0, 0 | 0xf8, high, low, rest @ ..] => {
            Ok(Layer::EtherType(u16::from_be_bytes([*high, *low]), rest))
        }
        _ => Err(Skip::NotIp(length)),
    }
}

/// Linux cooked capture, both versions: an EtherType at a fixed place.
#[inline]
fn cooked(data: &[u8], at: usize, length: usize, short: Skip) -> Result<Layer<'_>, Skip> {
    let kind = u16_at(data, at).ok_or(short)?;
    let rest = data.get(length..).ok_or(short)?;
    // Small numbers are Linux' own, such as 4 for 802.2 frames.
    if kind >= ETHER_TYPE_MIN { Ok(Layer::EtherType(kind, rest)) } else { llc(kind, rest) }
}

/// BSD loopback: an address family, in the byte order of the machine that captured.
fn loopback(data: &[u8], short: Skip) -> Result<Layer<'_>, Skip> {
    let (family, rest) = data.split_first_chunk().ok_or(short)?;
    let little = u32::from_le_bytes(*family);
    let family = if little <= FAMILY_MAX { little } else { little.swap_bytes() };
    match family {
        AF_INET | AF_INET6_LINUX | AF_INET6_WINDOWS | AF_INET6_BSD | AF_INET6_SOLARIS
        | AF_INET6_FREEBSD | AF_INET6_DARWIN => Ok(Layer::Ip(rest)),
        other => Err(Skip::NotIp(u16::try_from(other).unwrap_or(u16::MAX))),
    }
}

/// PPP on a serial line: plain, in HDLC framing (RFC 1662), or Cisco HDLC, which has an EtherType.
fn serial(data: &[u8], short: Skip) -> Result<Layer<'_>, Skip> {
    match data {
        [0x0f | 0x8f, 0x00, high, low, rest @ ..] => {
            let kind = u16::from_be_bytes([*high, *low]);
            if kind >= ETHER_TYPE_MIN {
                Ok(Layer::EtherType(kind, rest))
            } else {
                Err(Skip::NotIp(kind))
            }
        }
        _ => tunnel::ppp(data, short),
    }
}

/// Linux netfilter log: four octets, then type-length-value triples in the byte order of the
/// machine that captured; one of them is the packet.
fn netfilter_log(data: &[u8], short: Skip) -> Result<Layer<'_>, Skip> {
    let mut rest = data.get(NFLOG_HEADER..).ok_or(short)?;
    let swapped = rest.first_chunk().is_some_and(|length| {
        let octets = usize::from(u16::from_le_bytes(*length));
        octets < TLV_HEADER || octets > rest.len()
            // A length that looks sane from both ends: attribute types are small numbers.
            || rest.get(2..4).is_some_and(|kind| matches!(kind, [0, 1..=0xff]))
    });
    loop {
        let (head, _) = rest.split_first_chunk::<TLV_HEADER>().ok_or(short)?;
        let [a, b, c, d] = *head;
        let (length, kind) = if swapped {
            (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
        } else {
            (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))
        };
        let length = usize::from(length);
        if length < TLV_HEADER {
            return Err(Skip::Malformed);
        }
        if kind == NFLOG_PAYLOAD {
            let end = length.min(rest.len());
            return rest.get(TLV_HEADER..end).map(Layer::Ip).ok_or(short);
        }
        rest = rest.get(length.next_multiple_of(4)..).ok_or(short)?;
    }
}

/// EtherType of IPv4.
pub(super) const IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub(super) const IPV6: u16 = 0x86dd;
/// Smaller numbers are lengths (IEEE 802.3 clause 3.2.6).
pub(super) const ETHER_TYPE_MIN: u16 = 0x0600;
/// Where an Ethernet frame has its type.
pub(super) const ETHER_TYPE_AT: usize = 12;
/// Octets of an Ethernet header.
pub(super) const ETHERNET_LENGTH: usize = 14;
/// Where Linux cooked v1 has its protocol.
const SLL_PROTOCOL_AT: usize = 14;
/// Octets of its header.
const SLL_LENGTH: usize = 16;
/// Where Linux cooked v2 has its protocol.
const SLL2_PROTOCOL_AT: usize = 0;
/// Octets of its header.
const SLL2_LENGTH: usize = 20;
/// No address family is larger: a larger one is in the other byte order.
const FAMILY_MAX: u32 = 0xffff;
/// IPv4, everywhere.
const AF_INET: u32 = 2;
/// IPv6 on Linux.
const AF_INET6_LINUX: u32 = 10;
/// IPv6 on Windows.
const AF_INET6_WINDOWS: u32 = 23;
/// IPv6 on NetBSD, OpenBSD and BSD/OS.
const AF_INET6_BSD: u32 = 24;
/// IPv6 on Solaris and illumos.
const AF_INET6_SOLARIS: u32 = 26;
/// IPv6 on FreeBSD and DragonFly.
const AF_INET6_FREEBSD: u32 = 28;
/// IPv6 on macOS and iOS.
const AF_INET6_DARWIN: u32 = 30;
/// Octets before the first triple of a netfilter log packet.
const NFLOG_HEADER: usize = 4;
/// Octets of length and type in a triple.
const TLV_HEADER: usize = 4;
/// Type of the triple that holds the packet.
const NFLOG_PAYLOAD: u16 = 9;

#[cfg(test)]
mod tests {
    use super::super::sample::{decode, ether, ipv4, ipv6, tcp};
    use super::*;

    fn hello(link: LinkType, header: &[u8], ip: &[u8]) {
        let got = decode(link, &[header, ip].concat());
        assert_eq!(got, Ok((b"hello".to_vec(), 0)), "{link:?} {header:02x?}");
    }

    #[test]
    fn every_link_type_leads_to_ip() {
        let four = ipv4(6, &tcp(b"hello"));
        let six = ipv6(6, &tcp(b"hello"));
        for link in [12, 14, 101, 228, 229].map(LinkType) {
            hello(link, &[], &four);
            hello(link, &[], &six);
        }
        hello(LinkType::LINUX_SLL, &[0, 0, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0], &four);
        let sll2 = [0x86, 0xdd, 0, 0, 0, 0, 0, 1, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0];
        hello(LinkType::LINUX_SLL2, &sll2, &six);
        hello(LinkType::PPP, &[0x00, 0x21], &four);
        hello(LinkType::PPP, &[0x21], &four);
        hello(LinkType::PPP, &[0xff, 0x03, 0x00, 0x57], &six);
        hello(LinkType::PPP_HDLC, &[0xff, 0x03, 0x21], &four);
        hello(LinkType::PPP_HDLC, &[0x0f, 0x00, 0x08, 0x00], &four);
        hello(LinkType::PPP_ETHER, &[0x11, 0, 0, 1, 0, 47, 0, 0x21], &four);
    }

    #[test]
    fn loopback_families_are_read_in_both_byte_orders() {
        let four = ipv4(6, &tcp(b"hello"));
        let six = ipv6(6, &tcp(b"hello"));
        for link in [LinkType::NULL, LinkType::LOOP] {
            hello(link, &[2, 0, 0, 0], &four);
            hello(link, &[0, 0, 0, 2], &four);
            for family in [10, 23, 24, 26, 28, 30] {
                hello(link, &[family, 0, 0, 0], &six);
                hello(link, &[0, 0, 0, family], &six);
            }
            assert_eq!(decode(link, &[7, 0, 0, 0, 1]), Err(Skip::NotIp(7)));
        }
    }

    #[test]
    fn a_netfilter_log_is_searched_for_its_packet() {
        let four = ipv4(6, &tcp(b"hello"));
        let octets = (4 + four.len()) as u8;
        let little = [2, 0, 0, 0, 5, 0, 10, 0, 0, 0xee, 0xee, 0xee, octets, 0, 9, 0];
        hello(LinkType::NFLOG, &little, &four);
        let big = [2, 0, 0, 0, 0, 5, 0, 10, 0, 0xee, 0xee, 0xee, 0, octets, 0, 9];
        hello(LinkType::NFLOG, &big, &four);
        let none = [2, 0, 0, 0, 4, 0, 10, 0];
        assert_eq!(decode(LinkType::NFLOG, &none), Err(Skip::Malformed));
        let stuck = [2, 0, 0, 0, 0, 0, 10, 0, 0, 0];
        assert_eq!(decode(LinkType::NFLOG, &stuck), Err(Skip::Malformed));
    }

    #[test]
    fn snap_frames_have_an_ether_type_others_do_not() {
        let four = ipv4(6, &tcp(b"hello"));
        let snap = [&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &four[..]].concat();
        assert_eq!(decode(LinkType::ETHERNET, &ether(53, &snap)), Ok((b"hello".to_vec(), 0)));
        let spanning_tree = ether(38, &[0x42; 40]);
        assert_eq!(decode(LinkType::ETHERNET, &spanning_tree), Err(Skip::NotIp(38)));
    }
}
