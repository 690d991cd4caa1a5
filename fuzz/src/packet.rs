//! Room 2: two octets of link type, one that says how much was cut, and packets with their
//! lengths in front, so that fragments find each other.

use goawhy::packet::Decoder;
use goawhy::vocab::limits::Limits;
use goawhy::vocab::packet::{LinkType, Packet, Skip};
use goawhy::vocab::time::{Stamp, Timestamp};

/// No panic; a payload lies within what there is; fragments stay within their bounds.
pub fn run(data: &[u8]) {
    let [low, high, cut, rest @ ..] = data else { return };
    let link = LinkType(u32::from(u16::from_le_bytes([*low, *high])));
    let mut decoder = Decoder::new(&Limits::default());
    for (number, data) in (1..).zip(packets(rest)) {
        let packet = Packet {
            stamp: Stamp::new(0, number, Timestamp(number as i64 * 1_000_000)),
            link,
            data,
            wire_length: data.len() as u32 + u32::from(*cut),
            fcs_length: cut % 5,
        };
        match decoder.decode(&packet) {
            Ok(segment) => {
                let most = usize::max(data.len(), Limits::default().datagram_bytes);
                assert!(segment.payload.len() <= most);
                assert_eq!(segment.stamp, packet.stamp);
            }
            Err(skip) => assert_ne!(skip, Skip::Fault),
        }
    }
}

/// Pieces with two octets of length in front; the last one may be short.
pub fn packets(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, behind) = rest.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_le_bytes(*length)).min(behind.len());
        let (packet, behind) = behind.split_at(length);
        rest = behind;
        Some(packet)
    })
}
