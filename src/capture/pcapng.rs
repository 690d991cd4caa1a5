//! The pcapng format (draft-ietf-opsawg-pcapng): sections of blocks.
//!
//! Blocks are cut out here and the descriptive ones are opened by pcap-parser. Packet blocks are
//! opened here, for pcap-parser collects their options in a `Vec` for each packet, takes a captured
//! length beyond its block for an incomplete file, does not apply the snap length to simple
//! packets, and does not know the obsolete block.

use std::borrow::Cow;

use pcap_parser::{
    PcapNGOption, SecretsType, parse_decryptionsecretsblock_be, parse_decryptionsecretsblock_le,
    parse_interfacedescriptionblock_be, parse_interfacedescriptionblock_le,
    parse_interfacestatisticsblock_be, parse_interfacestatisticsblock_le,
};

use super::record::{Order, RECORD_MAX, Record, Step};
use crate::vocab::packet::LinkType;
use crate::vocab::time::Timestamp;
use crate::vocab::tls::KeyLines;

/// State of the section that is being read, and what the file has told so far.
#[derive(Debug)]
pub(super) struct Pcapng {
    order: Order,
    interfaces: Vec<Interface>,
    /// Time of the latest packet that had one: simple packets have none of their own.
    last_at: Timestamp,
    /// Drops told by the statistics of earlier sections.
    drops_before: Option<u64>,
    /// Drops told packet by packet, of use where there are no statistics.
    drops_by_packet: Option<u64>,
    /// Key logs not yet collected by [`Pcapng::take_secrets`].
    secrets: Vec<KeyLines>,
}

/// What an interface description says.
#[derive(Debug)]
struct Interface {
    link: LinkType,
    /// Captured octets of a packet; 0 means no limit.
    snap_length: u32,
    /// Timestamp units in a second; at least 1.
    units: u64,
    /// Seconds to add to every timestamp.
    offset: i64,
    fcs_length: u8,
    /// Packets dropped since the capture began, by the latest statistics.
    drops: Option<u64>,
}

impl Pcapng {
    /// Whether a file that starts like this is pcapng.
    pub(super) fn is(data: &[u8]) -> bool {
        data.starts_with(&SECTION.to_le_bytes())
    }

    /// Begins a file; `None` if its first block names no byte order. Consumes nothing.
    pub(super) fn open(data: &[u8]) -> Option<Self> {
        Some(Self {
            order: section_order(data)?,
            interfaces: Vec::new(),
            last_at: Timestamp::default(),
            drops_before: None,
            drops_by_packet: None,
            secrets: Vec::new(),
        })
    }

    /// Packets that interface or system dropped, as far as the file tells.
    pub(super) fn dropped(&self) -> Option<u64> {
        let here = self.interfaces.iter().filter_map(|interface| interface.drops);
        sum(self.drops_before.into_iter().chain(here)).or(self.drops_by_packet)
    }

    /// Whether [`Pcapng::take_secrets`] has any.
    pub(super) fn has_secrets(&self) -> bool {
        !self.secrets.is_empty()
    }

    /// TLS key logs found since the last call.
    pub(super) fn take_secrets(&mut self) -> Vec<KeyLines> {
        std::mem::take(&mut self.secrets)
    }

    /// What stands first in `data`.
    #[inline]
    pub(super) fn step(&mut self, data: &[u8]) -> Step {
        if data.len() < BLOCK_MIN {
            return Step::More(BLOCK_MIN);
        }
        // The section's magic reads the same in both orders.
        let kind = self.order.u32(data, 0);
        let order = if kind == SECTION { section_order(data) } else { Some(self.order) };
        let Some(order) = order else {
            return Step::Damage("a section header names no byte order".to_owned());
        };
        let told = order.u32(data, 4);
        let length = match usize::try_from(told) {
            // Some programs forget to round up; the block ends on a multiple of four all the same.
            Ok(octets) if (BLOCK_MIN..=RECORD_MAX).contains(&octets) => octets.next_multiple_of(4),
            _ => return Step::Damage(format!("a block claims {told} octets")),
        };
        let Some((block, _)) = data.split_at_checked(length) else {
            return Step::More(length);
        };
        if order.u32(block, length - 4) != told {
            return Step::Damage("a block's two lengths differ".to_owned());
        }
        match kind {
            ENHANCED_PACKET => self.packet(block, order.u32(block, 8), None),
            SIMPLE_PACKET => self.simple_packet(block),
            OBSOLETE_PACKET => {
                let drops = order.u16(block, 10);
                self.packet(block, u32::from(order.u16(block, 8)), Some(drops))
            }
            _ => self.description(kind, order, block),
        }
    }

    /// Blocks that are no packets; the unknown ones are passed over.
    #[inline(never)]
    fn description(&mut self, kind: u32, order: Order, block: &[u8]) -> Step {
        match kind {
            SECTION => {
                self.drops_before = sum(self
                    .drops_before
                    .into_iter()
                    .chain(self.interfaces.iter().filter_map(|interface| interface.drops)));
                self.interfaces.clear();
                self.order = order;
            }
            INTERFACE => {
                if self.interfaces.len() >= INTERFACES_MAX {
                    return Step::Damage("more interfaces than a capture has".to_owned());
                }
                let Some(interface) = interface(order, block) else {
                    return Step::Damage("an interface description cannot be read".to_owned());
                };
                self.interfaces.push(interface);
            }
            STATISTICS => self.statistics(block),
            DECRYPTION_SECRETS => self.keep_secrets(block),
            _ => {}
        }
        Step::Other(block.len())
    }

    /// Enhanced and obsolete packets: they differ in how interface and drops are told only.
    #[inline]
    fn packet(&mut self, block: &[u8], interface: u32, drops: Option<u16>) -> Step {
        let order = self.order;
        let end = block.len() - 4;
        if end < PACKET_DATA {
            return Step::Damage("a packet block is too short for its header".to_owned());
        }
        if self.interfaces.is_empty() {
            return Step::Damage(NO_INTERFACE.to_owned());
        }
        let number = interface;
        let interface = usize::try_from(number).ok().and_then(|at| self.interfaces.get(at));
        let units = u64::from(order.u32(block, 12)) << 32 | u64::from(order.u32(block, 16));
        let told = usize::try_from(order.u32(block, 20)).unwrap_or(usize::MAX);
        // A captured length beyond its block lies; the block's own bounds still hold.
        let captured = told.min(end - PACKET_DATA);
        let at = interface.map_or(self.last_at, |interface| interface.time(units));
        let record = Record {
            at,
            link: interface.map_or(LinkType::UNKNOWN, |interface| interface.link),
            wire_length: order.u32(block, 24),
            interface: number,
            fcs_length: interface.map_or(0, |interface| interface.fcs_length),
            place: PACKET_DATA..PACKET_DATA + captured,
        };
        self.last_at = at;
        let options = block.get(PACKET_DATA + captured.next_multiple_of(4)..end);
        match (drops, options) {
            // 0xffff: the capturing machine did not count.
            (Some(drops), _) if drops != u16::MAX => self.lost(u64::from(drops)),
            (None, Some(options)) if !options.is_empty() => {
                if let Some(drops) = drop_count(order, options) {
                    self.lost(drops);
                }
            }
            _ => {}
        }
        Step::Packet(record, block.len())
    }

    fn simple_packet(&mut self, block: &[u8]) -> Step {
        let end = block.len() - 4;
        let Some(interface) = self.interfaces.first() else {
            return Step::Damage(NO_INTERFACE.to_owned());
        };
        if end < SIMPLE_DATA {
            return Step::Damage("a packet block is too short for its header".to_owned());
        }
        let wire_length = self.order.u32(block, 8);
        let snap = if interface.snap_length == 0 { u32::MAX } else { interface.snap_length };
        let told = usize::try_from(wire_length.min(snap)).unwrap_or(usize::MAX);
        let captured = told.min(end - SIMPLE_DATA);
        let record = Record {
            at: self.last_at,
            link: interface.link,
            wire_length,
            interface: 0,
            fcs_length: interface.fcs_length,
            place: SIMPLE_DATA..SIMPLE_DATA + captured,
        };
        Step::Packet(record, block.len())
    }

    fn lost(&mut self, packets: u64) {
        self.drops_by_packet = sum(self.drops_by_packet.into_iter().chain([packets]));
    }

    /// Statistics count from the start of the capture, so the latest of an interface holds.
    fn statistics(&mut self, block: &[u8]) {
        let parsed = match self.order {
            Order::Little => parse_interfacestatisticsblock_le(block),
            Order::Big => parse_interfacestatisticsblock_be(block),
        };
        let Ok((_, statistics)) = parsed else { return };
        let drops = [INTERFACE_DROPS, SYSTEM_DROPS];
        // By code and value: pcap-parser's own accessors read little-endian whatever the section.
        let values = drops.map(|code| option(&statistics.options, code));
        let counts = values.iter().flatten().filter(|value| value.len() == 8);
        let Some(total) = sum(counts.map(|value| self.order.u64(value, 0))) else { return };
        let at = usize::try_from(statistics.if_id).unwrap_or(usize::MAX);
        if let Some(interface) = self.interfaces.get_mut(at) {
            interface.drops = Some(total);
        }
    }

    fn keep_secrets(&mut self, block: &[u8]) {
        let parsed = match self.order {
            Order::Little => parse_decryptionsecretsblock_le(block),
            Order::Big => parse_decryptionsecretsblock_be(block),
        };
        let Ok((_, secrets)) = parsed else { return };
        if secrets.secrets_type == SecretsType::TlsKeyLog {
            let octets = usize::try_from(secrets.secrets_len).unwrap_or(usize::MAX);
            let text = secrets.data.get(..octets).unwrap_or(secrets.data);
            self.secrets.push(text.into());
        }
    }
}

impl Interface {
    /// The time of a timestamp in this interface's units.
    #[inline]
    fn time(&self, units: u64) -> Timestamp {
        let second = self.units.max(1);
        let whole = i64::try_from(units / second).unwrap_or(i64::MAX).saturating_add(self.offset);
        let part = units % second;
        let nanoseconds = match part.checked_mul(NANOSECONDS) {
            Some(product) => product / second,
            None => {
                let product = u128::from(part) * u128::from(NANOSECONDS);
                u64::try_from(product / u128::from(second)).unwrap_or(0)
            }
        };
        Timestamp::from_parts(whole, i64::try_from(nanoseconds).unwrap_or(0))
    }
}

/// Byte order by the byte-order magic of a section header.
fn section_order(data: &[u8]) -> Option<Order> {
    let magic = data.get(8..)?.first_chunk()?;
    match u32::from_le_bytes(*magic) {
        BYTE_ORDER => Some(Order::Little),
        swapped if swapped.swap_bytes() == BYTE_ORDER => Some(Order::Big),
        _ => None,
    }
}

fn interface(order: Order, block: &[u8]) -> Option<Interface> {
    let parsed = match order {
        Order::Little => parse_interfacedescriptionblock_le(block),
        Order::Big => parse_interfacedescriptionblock_be(block),
    };
    let (_, description) = parsed.ok()?;
    let options = &description.options;
    let byte = |code| option(options, code).and_then(|value| value.first().copied());
    // By code and value: pcap-parser refuses powers of two and reads offsets little-endian.
    let offset = option(options, TIME_OFFSET).filter(|value| value.len() == 8);
    Some(Interface {
        link: LinkType(description.linktype.0 as u32 & 0xffff),
        snap_length: description.snaplen,
        units: units(byte(TIME_RESOLUTION).unwrap_or(DEFAULT_RESOLUTION)),
        offset: offset.map_or(0, |value| order.u64(value, 0) as i64),
        // In bits, as Wireshark writes and reads it.
        fcs_length: byte(FCS_LENGTH).map_or(0, |bits| bits / 8),
        drops: None,
    })
}

/// Units in a second by if_tsresol: a negative power of 2 where the high bit is set, else of 10.
fn units(resolution: u8) -> u64 {
    let power = u32::from(resolution & 0x7f);
    let base: u64 = if resolution & 0x80 == 0 { 10 } else { 2 };
    base.checked_pow(power).unwrap_or(u64::MAX)
}

fn option<'a>(options: &'a [PcapNGOption<'_>], code: u16) -> Option<&'a [u8]> {
    let found = options.iter().find(|option| option.code.0 == code)?;
    let value: &Cow<'_, [u8]> = &found.value;
    value.get(..usize::from(found.len)).or(Some(value))
}

/// The epb_dropcount option among a packet's options, looked up without collecting them.
fn drop_count(order: Order, mut options: &[u8]) -> Option<u64> {
    while options.len() >= 4 {
        let (code, length) = (order.u16(options, 0), usize::from(order.u16(options, 2)));
        if code == DROP_COUNT && length == 8 && options.len() >= 12 {
            return Some(order.u64(options, 4));
        }
        if code == END_OF_OPTIONS {
            return None;
        }
        options = options.get(4 + length.next_multiple_of(4)..)?;
    }
    None
}

fn sum(numbers: impl Iterator<Item = u64>) -> Option<u64> {
    numbers.reduce(u64::saturating_add)
}

/// Octets of an empty block: type and twice the length.
const BLOCK_MIN: usize = 12;
/// Section Header Block.
const SECTION: u32 = 0x0a0d_0d0a;
/// Interface Description Block.
const INTERFACE: u32 = 1;
/// Packet Block, obsolete since 2009.
const OBSOLETE_PACKET: u32 = 2;
/// Simple Packet Block.
const SIMPLE_PACKET: u32 = 3;
/// Interface Statistics Block.
const STATISTICS: u32 = 5;
/// Enhanced Packet Block.
const ENHANCED_PACKET: u32 = 6;
/// Decryption Secrets Block.
const DECRYPTION_SECRETS: u32 = 10;
/// Byte-order magic of a section header.
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// Where the octets begin in an enhanced or obsolete packet block.
const PACKET_DATA: usize = 28;
/// Where the octets begin in a simple packet block.
const SIMPLE_DATA: usize = 12;
/// opt_endofopt.
const END_OF_OPTIONS: u16 = 0;
/// epb_dropcount.
const DROP_COUNT: u16 = 4;
/// isb_ifdrop.
const INTERFACE_DROPS: u16 = 5;
/// isb_osdrop.
const SYSTEM_DROPS: u16 = 7;
/// if_tsresol.
const TIME_RESOLUTION: u16 = 9;
/// if_fcslen.
const FCS_LENGTH: u16 = 13;
/// if_tsoffset.
const TIME_OFFSET: u16 = 14;
/// Microseconds, where a description does not say.
const DEFAULT_RESOLUTION: u8 = 6;
/// Nanoseconds in a second.
const NANOSECONDS: u64 = 1_000_000_000;
/// Interfaces of one section: descriptions are 20 octets, so a hostile file could hold millions.
const INTERFACES_MAX: usize = 65_536;
/// Damage that leaves no packet readable.
const NO_INTERFACE: &str = "a packet comes before any interface description";

#[cfg(test)]
mod tests {
    use super::super::file::Reader;
    use super::super::sample::{block, enhanced, interface, section, source};
    use super::*;
    use crate::vocab::capture::CaptureFacts;

    /// Time, link type, octets and wire length of each packet.
    type Seen = Vec<(i64, u32, Vec<u8>, u32)>;

    fn read(parts: &[Vec<u8>]) -> (Seen, CaptureFacts) {
        let mut reader: Reader = source(&parts.concat()).unwrap();
        let mut seen = Vec::new();
        while reader.advance() {
            let packet = reader.packet();
            let (at, link) = (packet.stamp.at.0, packet.link.0);
            seen.push((at, link, packet.data.to_vec(), packet.wire_length));
        }
        (seen, reader.facts())
    }

    fn simple(wire: u32, data: &[u8]) -> Vec<u8> {
        block(3, &[&wire.to_le_bytes(), data].concat())
    }

    /// The same blocks in big-endian, given as words; octets stay as they are.
    fn big(kind: u32, words: &[u32], octets: &[u8]) -> Vec<u8> {
        let length = (12 + words.len() * 4 + octets.len()) as u32;
        let words = [&[kind, length], words].concat();
        let head: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        [&head[..], octets, &length.to_be_bytes()].concat()
    }

    #[test]
    fn interfaces_have_their_own_link_type_and_clock() {
        let raw = block(1, &[101, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, 9, 0, 0, 0]);
        let (seen, facts) = read(&[
            section(),
            interface(&[]),
            raw,
            enhanced(0, 1_500_000, b"abc", 3, &[]),
            enhanced(1, 2_500_000_001, b"defg", 40, &[]),
        ]);
        assert_eq!(seen[0], (1_500_000_000, 1, b"abc".to_vec(), 3));
        assert_eq!(seen[1], (2_500_000_001, 101, b"defg".to_vec(), 40));
        assert_eq!((facts.format.as_str(), facts.packets), ("pcapng", 2));
        assert_eq!((facts.truncated_packets, facts.kernel_dropped), (1, None));
    }

    #[test]
    fn clocks_count_in_powers_of_ten_and_two_from_an_offset() {
        let cases: [(&[u8], u64, i64); 5] = [
            (&[9, 0, 1, 0, 3, 0, 0, 0], 1_234, 1_234_000_000),
            (&[9, 0, 1, 0, 0x80 | 20, 0, 0, 0], 3 << 19, 1_500_000_000),
            (&[9, 0, 1, 0, 18, 0, 0, 0], 1_500_000_000_000_000_000, 1_500_000_000),
            (&[9, 0, 1, 0, 0xff, 0, 0, 0], 5, 0),
            (&[14, 0, 8, 0, 10, 0, 0, 0, 0, 0, 0, 0], 1_000_000, 11_000_000_000),
        ];
        for (options, units, wanted) in cases {
            let (seen, _) = read(&[section(), interface(options), enhanced(0, units, b"", 0, &[])]);
            assert_eq!(seen[0].0, wanted, "{options:?}");
        }
        let back = [14, 0, 8, 0, 255, 255, 255, 255, 255, 255, 255, 255];
        let (seen, _) = read(&[section(), interface(&back), enhanced(0, u64::MAX, b"", 0, &[])]);
        assert_eq!(seen[0].0, i64::MAX); // out of range saturates
    }

    #[test]
    fn sections_have_their_own_byte_order_and_interfaces() {
        let swapped = big(0x0a0d_0d0a, &[0x1a2b_3c4d, 0x0001_0000, u32::MAX, u32::MAX], &[]);
        let offset = [0, 14, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1];
        let (seen, facts) = read(&[
            section(),
            interface(&[]),
            enhanced(0, 1, b"abc", 3, &[]),
            swapped,
            big(1, &[101 << 16, 0], &offset),
            big(6, &[0, 0, 2, 3, 3], b"def\0"),
            section(),
            enhanced(0, 3, b"x", 1, &[]),
        ]);
        assert_eq!(seen[0], (1_000, 1, b"abc".to_vec(), 3));
        assert_eq!(seen[1], (1_000_002_000, 101, b"def".to_vec(), 3));
        assert_eq!((seen.len(), facts.damage.unwrap().packet), (2, 3));
    }

    #[test]
    fn simple_packets_take_the_snap_length_and_the_last_time() {
        let snapped = block(1, &[1, 0, 0, 0, 4, 0, 0, 0]);
        let (seen, facts) = read(&[
            section(),
            snapped,
            simple(3, b"abc\0"),
            enhanced(0, 5_000_000, b"x", 1, &[]),
            simple(9, b"abcd"),
        ]);
        assert_eq!(seen[0], (0, 1, b"abc".to_vec(), 3));
        assert_eq!(seen[2], (5_000_000_000, 1, b"abcd".to_vec(), 9));
        assert_eq!(facts.truncated_packets, 1);
    }

    #[test]
    fn obsolete_packets_are_read_and_their_drops_added() {
        let obsolete = |drops: u16| {
            let head = [&[0, 0], &drops.to_le_bytes()[..], &[0, 0, 0, 0, 7, 0, 0, 0]].concat();
            block(2, &[&head[..], &[3, 0, 0, 0, 3, 0, 0, 0], &b"abc"[..]].concat())
        };
        let parts = [section(), interface(&[]), obsolete(2), obsolete(u16::MAX), obsolete(3)];
        let (seen, facts) = read(&parts);
        assert_eq!(seen[0], (7_000, 1, b"abc".to_vec(), 3));
        assert_eq!((seen.len(), facts.kernel_dropped), (3, Some(5)));
    }

    #[test]
    fn drops_come_from_the_latest_statistics_or_else_from_packets() {
        let count = |code: u8, drops: u8| [code, 0, 8, 0, drops, 0, 0, 0, 0, 0, 0, 0];
        let statistics = |id: u8, options: &[u8]| {
            block(5, &[&[id, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], options].concat())
        };
        let comment = [1, 0, 3, 0, b'h', b'i', b'!', 0];
        let packet = enhanced(0, 1, b"abc", 3, &[&comment[..], &count(4, 9)].concat());
        let mut parts = vec![section(), interface(&[]), packet];
        assert_eq!(read(&parts).1.kernel_dropped, Some(9));
        parts.extend([statistics(0, &count(5, 1)), statistics(0, &count(5, 4))]);
        parts.push(statistics(7, &count(5, 100)));
        assert_eq!(read(&parts).1.kernel_dropped, Some(4));
        let both = [count(5, 2), count(7, 3)].concat();
        parts.extend([section(), interface(&[]), statistics(0, &both)]);
        assert_eq!(read(&parts).1.kernel_dropped, Some(9));
    }

    #[test]
    fn other_blocks_are_passed_and_do_not_count() {
        let names = block(4, &[1, 0, 9, 0, 1, 2, 3, 4, b'n', b'o', b'e', b'n', b'd']);
        let (seen, facts) = read(&[
            section(),
            names,
            interface(&[]),
            block(0x0bad, &[1, 2, 3, 4, 5]),
            block(0x7777_7777, &[0; 100_000]),
            enhanced(0, 1, b"abc", 3, &[]),
        ]);
        assert_eq!((seen.len(), facts.packets, facts.damage), (1, 1, None));
    }

    #[test]
    fn an_unknown_interface_spoils_one_packet_none_at_all_the_section() {
        let (seen, facts) = read(&[
            section(),
            interface(&[]),
            enhanced(7, 1, b"abc", 3, &[]),
            enhanced(0, 1, b"abc", 3, &[]),
        ]);
        assert_eq!((seen[0].1, seen[1].1), (LinkType::UNKNOWN.0, 1));
        assert_eq!(facts.damage, None);
        for packet in [enhanced(0, 1, b"abc", 3, &[]), simple(3, b"abc")] {
            let (seen, facts) = read(&[section(), packet]);
            let damage = facts.damage.unwrap();
            assert!(seen.is_empty() && damage.packet == 1 && damage.what == NO_INTERFACE);
        }
    }

    #[test]
    fn lengths_that_lie_end_the_file_or_stay_inside_their_block() {
        let good = [section(), interface(&[]), enhanced(0, 1, b"abc", 3, &[])].concat();
        for length in [0_u32, 8, 0xffff_ffff, 0x7fff_fffc] {
            let mut bad = enhanced(0, 1, b"abc", 3, &[]);
            bad[4..8].copy_from_slice(&length.to_le_bytes());
            let (seen, facts) = read(&[good.clone(), bad]);
            assert_eq!((seen.len(), facts.damage.unwrap().packet), (1, 2), "{length}");
        }
        let mut trailer = enhanced(0, 1, b"abc", 3, &[]);
        *trailer.last_mut().unwrap() = 1;
        assert!(read(&[good.clone(), trailer]).1.damage.unwrap().what.contains("differ"));
        // The captured length alone lies: the packet is what its block holds.
        let mut captured = enhanced(0, 1, b"abcd", 4, &[]);
        captured[20..24].fill(0xff);
        let (seen, facts) = read(&[good.clone(), captured]);
        assert_eq!((seen[1].2.as_slice(), facts.damage), (&b"abcd"[..], None));
        // A length that was not rounded up.
        let mut odd = enhanced(0, 1, b"abc", 3, &[]);
        let end = odd.len() - 4;
        odd[4] -= 1;
        odd[end] -= 1;
        let (seen, facts) = read(&[good, odd]);
        assert_eq!((seen[1].2.as_slice(), facts.damage), (&b"abc"[..], None));
    }

    #[test]
    fn only_tls_key_logs_are_kept() {
        let secrets = |kind: u32, text: &[u8]| {
            let body = [&kind.to_le_bytes(), &(text.len() as u32).to_le_bytes(), text].concat();
            block(10, &body)
        };
        let file = [section(), secrets(0x5747_4b4c, b"wg"), secrets(0x544c_534b, b"CLIENT")];
        let mut reader = source(&file.concat()).unwrap();
        assert!(!reader.advance());
        assert_eq!(reader.take_secrets(), [KeyLines::from(&b"CLIENT"[..])]);
    }
}
