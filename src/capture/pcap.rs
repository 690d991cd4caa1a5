//! The pcap format (draft-ietf-opsawg-pcap): one header, then records.

use pcap_parser::nom::{Err, IResult, Needed};
use pcap_parser::{
    LegacyPcapBlock, PcapError, parse_pcap_frame, parse_pcap_frame_be, parse_pcap_frame_modified,
    parse_pcap_header,
};

use super::record::{Order, PACKET_MAX, RECORD_MAX, Record, Step};
use crate::vocab::packet::LinkType;
use crate::vocab::time::Timestamp;

/// What the file header says.
#[derive(Debug)]
pub(super) struct Pcap {
    order: Order,
    /// "Modified" magic: 24-octet record headers, as written by patched Linux systems.
    modified: bool,
    /// Nanoseconds in one unit of the fraction field.
    unit: i64,
    link: LinkType,
    fcs_length: u8,
    /// Captured octets beyond which a record is taken for damage.
    packet_max: usize,
}

impl Pcap {
    /// Whether a file that starts like this is pcap.
    pub(super) fn is(data: &[u8]) -> bool {
        data.first_chunk().is_some_and(|magic| MAGICS.contains(&u32::from_le_bytes(*magic)))
    }

    /// Reads the file header; `None` if `data` has not all of it. Gives its length, too.
    pub(super) fn open(data: &[u8]) -> Option<(Self, usize)> {
        let mut header: [u8; HEADER] = *data.first_chunk()?;
        // pcap-parser knows the modified magic in little-endian only: show it the plain one.
        let swapped_modified = header.starts_with(&MODIFIED_BIG.to_le_bytes());
        if swapped_modified {
            header.first_chunk_mut::<4>()?.copy_from_slice(&PLAIN_BIG.to_le_bytes());
        }
        let (_, header) = parse_pcap_header(&header).ok()?;
        let network = header.network.0 as u32;
        let snap = usize::try_from(header.snaplen).unwrap_or(RECORD_MAX);
        let file = Self {
            order: if header.is_bigendian() { Order::Big } else { Order::Little },
            modified: swapped_modified || header.is_modified_format(),
            unit: if header.is_nanosecond_precision() { 1 } else { 1_000 },
            link: LinkType(network & LINK_BITS),
            fcs_length: if network & FCS_PRESENT == 0 {
                0
            } else {
                (network >> FCS_SHIFT) as u8 * FCS_UNIT
            },
            packet_max: snap.clamp(PACKET_MAX, RECORD_MAX),
        };
        Some((file, HEADER))
    }

    /// What stands first in `data`.
    #[inline]
    pub(super) fn step(&self, data: &[u8]) -> Step {
        let parsed = match (self.modified, self.order) {
            (false, Order::Little) => parse_pcap_frame(data),
            (false, Order::Big) => parse_pcap_frame_be(data),
            (true, Order::Little) => parse_pcap_frame_modified(data),
            (true, Order::Big) => modified_big(data),
        };
        match parsed {
            Ok((rest, block)) if block.data.len() <= self.packet_max => {
                let end = data.len() - rest.len();
                let record = Record {
                    at: Timestamp::from_parts(
                        i64::from(block.ts_sec),
                        // Up to 2^32 units, more than a second, in damaged files.
                        i64::from(block.ts_usec) * self.unit,
                    ),
                    link: self.link,
                    wire_length: block.origlen,
                    interface: 0,
                    fcs_length: self.fcs_length,
                    place: end - block.data.len()..end,
                };
                Step::Packet(record, end)
            }
            _ => self.incomplete(data),
        }
    }

    /// A record that is not whole, or that says it is larger than packets are.
    fn incomplete(&self, data: &[u8]) -> Step {
        let head = if self.modified { MODIFIED_RECORD } else { RECORD };
        if data.len() < head {
            return Step::More(head);
        }
        let captured = self.order.u32(data, CAPTURED_AT);
        match usize::try_from(captured) {
            Ok(octets) if octets <= self.packet_max => Step::More(head + octets),
            _ => Step::Damage(format!("a packet record claims {captured} captured octets")),
        }
    }
}

/// The modified record header in big-endian, which pcap-parser has no function for.
fn modified_big(data: &[u8]) -> IResult<&[u8], LegacyPcapBlock<'_>, PcapError<&[u8]>> {
    let more = || Err::Incomplete(Needed::Unknown);
    let captured = Order::Big.u32(data, CAPTURED_AT);
    let behind = data.get(MODIFIED_RECORD..).ok_or_else(more)?;
    let octets = usize::try_from(captured).map_err(|_| more())?;
    let (packet, rest) = behind.split_at_checked(octets).ok_or_else(more)?;
    let block = LegacyPcapBlock {
        ts_sec: Order::Big.u32(data, 0),
        ts_usec: Order::Big.u32(data, 4),
        caplen: captured,
        origlen: Order::Big.u32(data, 12),
        data: packet,
    };
    Ok((rest, block))
}

/// Octets of the file header.
const HEADER: usize = 24;
/// Octets of a record header.
const RECORD: usize = 16;
/// Octets of a record header under the modified magic.
const MODIFIED_RECORD: usize = 24;
/// Where a record header holds the captured length.
const CAPTURED_AT: usize = 8;
/// Link type in the file header's last field; what stands above is about the check sequence.
const LINK_BITS: u32 = 0xffff;
/// The P bit: the length of the frame check sequence is given.
const FCS_PRESENT: u32 = 0x0400_0000;
/// Where that length stands.
const FCS_SHIFT: u32 = 28;
/// It counts 16-bit words.
const FCS_UNIT: u8 = 2;
/// Plain magic of the other byte order, read in little-endian.
const PLAIN_BIG: u32 = 0xd4c3_b2a1;
/// Modified magic of the other byte order, read in little-endian.
const MODIFIED_BIG: u32 = 0x34cd_b2a1;
/// All magics, read in little-endian.
const MAGICS: [u32; 6] =
    [0xa1b2_c3d4, PLAIN_BIG, 0xa1b2_3c4d, 0x4d3c_b2a1, 0xa1b2_cd34, MODIFIED_BIG];

#[cfg(test)]
mod tests {
    use super::super::sample;

    fn first(file: &[u8]) -> (i64, u32, u8, Vec<u8>, u32) {
        let mut reader = sample::source(file).unwrap();
        assert!(reader.advance());
        let packet = reader.packet();
        let got = (
            packet.stamp.at.0,
            packet.link.0,
            packet.fcs_length,
            packet.data.to_vec(),
            packet.wire_length,
        );
        assert!(!reader.advance());
        assert_eq!(reader.facts().damage, None);
        got
    }

    #[test]
    fn every_magic_in_both_byte_orders() {
        for (magic, unit) in [(0xa1b2_c3d4, 1_000), (0xa1b2_3c4d, 1), (0xa1b2_cd34, 1_000)] {
            for is_big in [false, true] {
                let file = sample::Pcap::new(magic, 276, is_big);
                let file = file.record((7, 123_456), (3, 9), b"abc").done();
                let wanted = (7_000_000_000 + 123_456 * unit, 276, 0, b"abc".to_vec(), 9);
                assert_eq!(first(&file), wanted, "{magic:x} {is_big}");
            }
        }
    }

    #[test]
    fn the_check_sequence_bits_are_no_link_type() {
        let file = |network| sample::Pcap::new(0xa1b2_c3d4, network, false).packet(1, b"", 0);
        let (_, link, fcs, ..) = first(&file(0x2400_0001).done());
        assert_eq!((link, fcs), (1, 4));
        // Without the P bit the length means nothing.
        let (_, link, fcs, ..) = first(&file(0x2000_0001).done());
        assert_eq!((link, fcs), (1, 0));
    }

    #[test]
    fn a_fraction_of_more_than_a_second_is_odd_and_no_more() {
        let file = sample::Pcap::little().record((u32::MAX, u32::MAX), (0, 0), b"").done();
        assert_eq!(first(&file).0, i64::from(u32::MAX) * 1_000_001_000);
    }

    #[test]
    fn absurd_lengths_are_damage_without_an_allocation() {
        for captured in [u32::MAX, 0x7fff_ffff, 300_000] {
            let file = sample::Pcap::little().packet(1, b"abc", 3);
            let file = file.record((2, 0), (captured, 3), &[0; 400]).done();
            let mut reader = sample::source(&file).unwrap();
            assert!(reader.advance() && !reader.advance());
            let damage = reader.facts().damage.unwrap();
            assert!(damage.packet == 2 && damage.what.contains(&captured.to_string()));
        }
    }

    #[test]
    fn a_large_snap_length_allows_large_packets() {
        let mut file = sample::Pcap::little().packet(1, &[7; 300_000], 300_000).done();
        file[16..20].copy_from_slice(&400_000_u32.to_le_bytes());
        assert_eq!(first(&file).3.len(), 300_000);
    }
}
