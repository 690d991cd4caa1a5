//! Packets made by hand, for the tests of this room.

use super::Decoder;
use crate::vocab::limits::Limits;
use crate::vocab::packet::{LinkType, Packet, Skip};
use crate::vocab::time::{Stamp, Timestamp};

/// A packet captured whole.
pub(super) fn packet(link: LinkType, data: &[u8]) -> Packet<'_> {
    let stamp = Stamp::new(0, 1, Timestamp(1));
    Packet { stamp, link, data, wire_length: data.len() as u32, fcs_length: 0 }
}

/// Payload and missing octets of the segment in `data`.
pub(super) fn decode(link: LinkType, data: &[u8]) -> Result<(Vec<u8>, u32), Skip> {
    let mut decoder = Decoder::new(&Limits::default());
    decoder.decode(&packet(link, data)).map(|segment| (segment.payload.to_vec(), segment.cut))
}

/// A TCP segment with ACK and PSH.
pub(super) fn tcp(payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x9c, 0x40, 0x1f, 0x90, 1, 2, 3, 4, 5, 6, 7, 8, 0x50, 0x18];
    header.extend([0x20, 0, 0, 0, 0, 0]);
    [&header, payload].concat()
}

pub(super) fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len()) as u16;
    let mut header = vec![0xc0, 0];
    header.extend([port.to_be_bytes(), length.to_be_bytes(), [0, 0]].concat());
    [&header, payload].concat()
}

pub(super) fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = ((20 + payload.len()) as u16).to_be_bytes();
    let mut header = vec![0x45, 0, high, low, 0, 1, 0, 0, 64, protocol, 0, 0];
    header.extend([10, 1, 0, 5, 10, 1, 0, 9]);
    [&header, payload].concat()
}

pub(super) fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = (payload.len() as u16).to_be_bytes();
    let mut header = vec![0x60, 0, 0, 0, high, low, next, 64];
    for last in [5, 9] {
        header.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    [&header, payload].concat()
}

pub(super) fn ether(kind: u16, payload: &[u8]) -> Vec<u8> {
    let addresses = [2, 0x42, 0xac, 0x11, 0, 2, 2, 0x42, 0xac, 0x11, 0, 3];
    [&addresses, &kind.to_be_bytes()[..], payload].concat()
}

/// A frame that holds `hello` behind an EtherType and some octets.
pub(super) fn behind(kind: u16, octets: &[u8], inner: &[u8]) -> Vec<u8> {
    ether(kind, &[octets, inner].concat())
}

/// One of each kind of packet, to mutate.
pub(super) fn everything() -> Vec<(LinkType, Vec<u8>)> {
    let four = ipv4(6, &tcp(b"hello"));
    let six = ipv6(6, &tcp(b"hello"));
    let frame = ether(0x0800, &four);
    let vxlan = [&[8, 0, 0, 0, 0, 0, 1, 0], &frame[..]].concat();
    let geneve = [&[1, 0, 0x65, 0x58, 0, 0, 1, 0, 0, 0, 0, 0], &frame[..]].concat();
    let gtp = [&[0x34, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x85, 1, 0, 0, 0], &four[..]].concat();
    let gre = [&[0xb0, 0, 0x88, 0xbe, 0, 0, 0, 0][..], &[0; 16], &frame[..]].concat();
    let mut part = ipv4(6, &tcp(b"hello"));
    part[6] = 0x20;
    let extensions = [&[44, 0, 1, 4, 0, 0, 0, 0, 6, 0, 0, 1, 0, 0, 0, 9], &tcp(b"hi")[..]].concat();
    let log = [&[2, 0, 0, 0, 8, 0, 1, 0, 0, 0, 0, 0, 49, 0, 9, 0], &four[..]].concat();
    let ethernet = |frame| (LinkType::ETHERNET, frame);
    vec![
        ethernet(frame.clone()),
        ethernet(ether(0x86dd, &six)),
        ethernet(behind(0x88a8, &[0, 1, 0x81, 0, 0, 2, 8, 0], &four)),
        ethernet(behind(0x8847, &[0, 1, 0, 64, 0, 1, 1, 64], &six)),
        ethernet(behind(0x8847, &[0, 1, 1, 64, 0, 0, 0, 0], &frame)),
        ethernet(behind(0x8864, &[0x11, 0, 0, 1, 0, 0, 0, 0x21], &four)),
        ethernet(ether(0x0800, &ipv4(17, &udp(4789, &vxlan)))),
        ethernet(ether(0x0800, &ipv4(17, &udp(6081, &geneve)))),
        ethernet(ether(0x0800, &ipv4(17, &udp(2152, &gtp)))),
        ethernet(ether(0x0800, &ipv4(47, &gre))),
        ethernet(ether(0x0800, &ipv4(4, &four))),
        ethernet(ether(0x0800, &part)),
        ethernet(ether(0x86dd, &ipv6(0, &extensions))),
        (LinkType::NFLOG, log),
        (LinkType::NULL, [&[30, 0, 0, 0], &six[..]].concat()),
        (LinkType::PPP, [&[0xff, 3, 0, 0x57], &six[..]].concat()),
    ]
}

/// A generator of numbers that are the same on every run (xorshift).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number under `bound`; 0 if that is 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 16) as usize % bound.max(1)
    }
}
