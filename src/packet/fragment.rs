//! Reassembly of IP fragments (RFC 791 section 3.2, RFC 8200 section 4.5), bounded in datagrams,
//! octets and time.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hasher};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::time::Duration;

use super::ip::Payload;
use crate::vocab::limits::Limits;
use crate::vocab::packet::Skip;
use crate::vocab::time::Timestamp;

/// What fragments of one datagram have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) id: u32,
    /// IP protocol number, which belongs to the key in IPv4 only.
    pub(super) protocol: Option<u8>,
}

/// One fragment, captured in full.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment<'a> {
    pub(super) key: Key,
    /// IP protocol number; in IPv6 the first fragment's holds.
    pub(super) protocol: u8,
    /// Place of `data` in the datagram's payload.
    pub(super) offset: usize,
    /// Whether fragments lie behind it.
    pub(super) more: bool,
    pub(super) data: &'a [u8],
}

/// A reassembled payload with its addresses.
#[derive(Debug)]
pub(super) struct Datagram {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    data: Vec<u8>,
}

impl Default for Datagram {
    fn default() -> Self {
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self { source: nowhere, destination: nowhere, protocol: 0, data: Vec::new() }
    }
}

impl Datagram {
    /// What the IP headers of its fragments announced.
    pub(super) fn payload(&self) -> Payload<'_> {
        let Self { source, destination, protocol, ref data } = *self;
        Payload { source, destination, protocol, data }
    }
}

/// All datagrams that wait for fragments.
pub(super) struct Fragments {
    datagrams_max: usize,
    octets_max: usize,
    /// Never iterated over: its order differs from run to run.
    parts: HashMap<Key, Parts>,
    /// Keys in order of first arrival, with the time that tells one use of a key from the next.
    ages: VecDeque<(Timestamp, Key)>,
    joined: u64,
    evicted: u64,
}

/// What there is of one datagram.
struct Parts {
    /// Time of the first fragment that came.
    since: Timestamp,
    state: State,
    /// Octets so far; holes are zero.
    data: Vec<u8>,
    /// Where `data` is filled: ascending, apart from each other.
    filled: Vec<Range<usize>>,
    /// Length of the whole payload, once the last fragment is here.
    total: Option<usize>,
    /// Protocol of the first fragment, once that is here.
    protocol: Option<u8>,
    /// Fragments kept so far.
    count: u64,
    /// Place and digest of each, to tell copies from the next datagram of the same key.
    kept: Vec<(usize, u64)>,
}

enum State {
    Waiting,
    /// Complete since this time; later copies of its fragments start no new datagram.
    Complete(Timestamp),
    /// Fragments overlap in IPv6: nothing of it may be used (RFC 8200 section 4.5).
    Refused,
}

impl Fragments {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            datagrams_max: limits.fragmented_datagrams.max(1),
            octets_max: limits.datagram_bytes,
            parts: HashMap::new(),
            ages: VecDeque::new(),
            joined: 0,
            evicted: 0,
        }
    }

    /// Forgets all that waits; what was counted stays.
    pub(super) fn begin_anew(&mut self) {
        self.parts = HashMap::new();
        self.ages = VecDeque::new();
    }

    /// Fragments that waited and have become part of a datagram.
    pub(super) fn joined(&self) -> u64 {
        self.joined
    }

    /// Datagrams forgotten before their time.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Takes one fragment; gives the datagram if it is complete now.
    pub(super) fn add(&mut self, now: Timestamp, part: &Fragment<'_>) -> Result<Datagram, Skip> {
        let end = part.offset + part.data.len();
        if end > self.octets_max || part.data.is_empty() || (part.more && !end.is_multiple_of(8)) {
            return Err(Skip::Malformed);
        }
        self.forget_old(now);
        if self.parts.get(&part.key).is_some_and(|parts| parts.is_over(now) || parts.differs(part))
        {
            self.parts.remove(&part.key);
        }
        if !self.parts.contains_key(&part.key) {
            self.make_room();
            self.ages.push_back((now, part.key));
        }
        let parts = self.parts.entry(part.key).or_insert_with(|| Parts::new(now));
        if matches!(parts.state, State::Complete(_)) {
            // A copy of what the datagram had is no loss.
            self.joined += 1;
            return Err(Skip::Fragment);
        }
        parts.add(part)?;
        let Some(protocol) = parts.whole() else { return Err(Skip::Fragment) };
        self.joined += parts.count - 1;
        parts.state = State::Complete(now);
        parts.filled = Vec::new();
        parts.kept.shrink_to_fit();
        Ok(Datagram {
            source: part.key.source,
            destination: part.key.destination,
            protocol,
            data: std::mem::take(&mut parts.data),
        })
    }

    /// Lets go of datagrams whose time is over.
    fn forget_old(&mut self, now: Timestamp) {
        while let Some((since, key)) = self.ages.front().copied() {
            // Also after a jump back in time, which would keep them for ever.
            if now.since(since) < PATIENCE && since.since(now) < PATIENCE {
                break;
            }
            self.ages.pop_front();
            self.remove(&key, since);
        }
    }

    /// Lets go of the oldest datagrams until one more fits.
    fn make_room(&mut self) {
        while self.ages.len() >= self.datagrams_max {
            let Some((since, key)) = self.ages.pop_front() else { return };
            if self.remove(&key, since) {
                self.evicted += 1;
            }
        }
    }

    /// Removes a datagram unless its key is in use for a later one; true if it was unfinished.
    fn remove(&mut self, key: &Key, since: Timestamp) -> bool {
        match self.parts.get(key) {
            Some(parts) if parts.since == since => {
                let waiting = matches!(parts.state, State::Waiting);
                self.parts.remove(key);
                waiting
            }
            _ => false,
        }
    }
}

impl Parts {
    fn new(since: Timestamp) -> Self {
        Self {
            since,
            state: State::Waiting,
            data: Vec::new(),
            filled: Vec::new(),
            total: None,
            protocol: None,
            count: 0,
            kept: Vec::new(),
        }
    }

    /// Whether a fragment that comes now belongs to the next datagram of the same key.
    fn is_over(&self, now: Timestamp) -> bool {
        match self.state {
            State::Complete(at) => now.since(at) >= COPIES || at.since(now) >= COPIES,
            State::Waiting | State::Refused => {
                now.since(self.since) >= PATIENCE || self.since.since(now) >= PATIENCE
            }
        }
    }

    fn add(&mut self, part: &Fragment<'_>) -> Result<(), Skip> {
        if !matches!(self.state, State::Waiting) {
            return Err(Skip::Fragment);
        }
        let place = part.offset..part.offset + part.data.len();
        let known_end = self.filled.last().map_or(0, |range| range.end);
        match self.total {
            // Behind the end, or an end before what is there: the first word holds.
            Some(total) if place.end > total || (!part.more && place.end != total) => {
                return Err(Skip::Malformed);
            }
            None if !part.more && known_end > place.end => return Err(Skip::Malformed),
            _ => {}
        }
        if self.is_overlap(&place) && part.key.protocol.is_none() {
            // A mere copy is no attack.
            if self.data.get(place.clone()) != Some(part.data) || !self.holds(&place) {
                self.state = State::Refused;
                self.data = Vec::new();
                self.filled = Vec::new();
            }
            return Err(Skip::Fragment);
        }
        if part.offset == 0 {
            self.protocol.get_or_insert(part.protocol);
        }
        if !part.more {
            self.total = Some(place.end);
        }
        self.fill(place, part.data);
        self.count += 1;
        self.kept.push((part.offset, digest(part.data)));
        Ok(())
    }

    /// Whether a fragment is none of those of which a complete datagram was made.
    fn differs(&self, part: &Fragment<'_>) -> bool {
        matches!(self.state, State::Complete(_))
            && !self.kept.contains(&(part.offset, digest(part.data)))
    }

    fn is_overlap(&self, place: &Range<usize>) -> bool {
        self.filled.iter().any(|range| range.start < place.end && place.start < range.end)
    }

    fn holds(&self, place: &Range<usize>) -> bool {
        self.filled.iter().any(|range| range.start <= place.start && place.end <= range.end)
    }

    /// Writes what is not there yet: of octets that come twice, the first hold.
    fn fill(&mut self, place: Range<usize>, octets: &[u8]) {
        if self.data.len() < place.end {
            self.data.resize(place.end, 0);
        }
        let mut from = place.start;
        let mut merged = place.clone();
        let mut kept = Vec::with_capacity(self.filled.len() + 1);
        for range in std::mem::take(&mut self.filled) {
            if range.end < place.start || place.end < range.start {
                kept.push(range);
                continue;
            }
            self.copy(from..range.start, place.start, octets);
            from = from.max(range.end);
            merged = merged.start.min(range.start)..merged.end.max(range.end);
        }
        self.copy(from..place.end, place.start, octets);
        let at = kept.partition_point(|range| range.start < merged.start);
        kept.insert(at, merged);
        self.filled = kept;
    }

    fn copy(&mut self, place: Range<usize>, base: usize, octets: &[u8]) {
        let Some(first) = place.start.checked_sub(base) else { return };
        let last = place.end.saturating_sub(base);
        if let (Some(target), Some(source)) = (self.data.get_mut(place), octets.get(first..last)) {
            target.copy_from_slice(source);
        }
    }

    /// The protocol of the datagram if it is complete.
    fn whole(&self) -> Option<u8> {
        match (self.total, self.filled.as_slice()) {
            (Some(total), [Range { start: 0, end }]) if *end == total => self.protocol,
            _ => None,
        }
    }
}

fn digest(octets: &[u8]) -> u64 {
    // The same in every run.
    let mut hasher = DefaultHasher::new();
    hasher.write(octets);
    hasher.finish()
}

/// How long a datagram waits for its fragments, in packet time. RFC 8200 section 4.5 says 60 s,
/// Linux waits 30 s.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long copies of a complete datagram's fragments are told from the next datagram of the same
/// key: captures on all interfaces of a host see each fragment twice.
const COPIES: Duration = Duration::from_secs(1);

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)] // A list of one cut is a list of cuts.
mod tests {
    use super::super::Decoder;
    use super::super::sample::{Random, ether, ipv4, ipv6, packet, tcp, udp};
    use super::*;
    use crate::vocab::packet::{LinkType, Packet};
    use crate::vocab::time::Stamp;

    /// Frames with pieces of an IPv4 payload.
    fn four(protocol: u8, id: u8, payload: &[u8], cuts: &[Range<usize>]) -> Vec<Vec<u8>> {
        let frame = |range: &Range<usize>| {
            let mut ip = ipv4(protocol, &payload[range.clone()]);
            let more = if range.end < payload.len() { 0x2000 } else { 0 };
            ip[5] = id;
            ip[6..8].copy_from_slice(&((range.start / 8) as u16 | more).to_be_bytes());
            ether(0x0800, &ip)
        };
        cuts.iter().map(frame).collect()
    }

    /// Frames with pieces of an IPv6 payload.
    fn six(payload: &[u8], cuts: &[Range<usize>]) -> Vec<Vec<u8>> {
        let frame = |range: &Range<usize>| {
            let more = u16::from(range.end < payload.len());
            let [high, low] = (range.start as u16 | more).to_be_bytes();
            let header = [6, 0, high, low, 0, 0, 0, 9];
            ether(0x86dd, &ipv6(44, &[&header, &payload[range.clone()]].concat()))
        };
        cuts.iter().map(frame).collect()
    }

    struct Feed {
        decoder: Decoder,
        number: u64,
    }

    impl Feed {
        fn new(limits: &Limits) -> Self {
            Self { decoder: Decoder::new(limits), number: 0 }
        }

        fn push(&mut self, second: i64, frame: &[u8]) -> Result<(Vec<u8>, u64), Skip> {
            self.number += 1;
            let stamp = Stamp::new(0, self.number, Timestamp::from_parts(second, 0));
            let packet = Packet { stamp, ..packet(LinkType::ETHERNET, frame) };
            let segment = self.decoder.decode(&packet)?;
            Ok((segment.payload.to_vec(), segment.stamp.packet()))
        }

        fn all(&mut self, frames: &[Vec<u8>]) -> Vec<Result<(Vec<u8>, u64), Skip>> {
            frames.iter().map(|frame| self.push(1, frame)).collect()
        }
    }

    fn body() -> Vec<u8> {
        (0..100).collect()
    }

    #[test]
    fn any_order_gives_the_datagram_with_the_stamp_of_its_last_piece() {
        let segment = tcp(&body());
        let cuts = [0..40, 40..80, 80..120];
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
            for frames in [four(6, 1, &segment, &cuts), six(&segment, &cuts)] {
                let mut feed = Feed::new(&Limits::default());
                let frames = order.map(|at| frames[at].clone());
                let waiting = Err(Skip::Fragment);
                assert_eq!(feed.all(&frames), [waiting.clone(), waiting, Ok((body(), 3))]);
                assert_eq!(feed.decoder.joined_fragments(), 2);
            }
        }
    }

    #[test]
    fn copies_do_no_harm_before_or_after_the_end() {
        let segment = tcp(&body());
        let cuts = [0..40, 0..40, 40..120, 40..120, 0..40];
        for frames in [four(6, 1, &segment, &cuts), six(&segment, &cuts)] {
            let mut feed = Feed::new(&Limits::default());
            let got = feed.all(&frames);
            let waiting = Err(Skip::Fragment);
            assert_eq!(got[2], Ok((body(), 3)));
            assert!([0, 1, 3, 4].iter().all(|at| got[*at] == waiting));
            // The same identification, later, is another datagram.
            assert_eq!(feed.push(9, &frames[2]), waiting);
            assert_eq!(feed.push(9, &frames[0]), Ok((body(), 7)));
        }
    }

    #[test]
    fn an_identification_used_again_at_once_is_another_datagram() {
        let (first, second) = (tcp(&body()), tcp(&[0xee; 100]));
        let mut frames = four(6, 1, &first, &[0..40, 40..120]);
        frames.extend(four(6, 1, &second, &[0..40, 40..120]));
        let mut feed = Feed::new(&Limits::default());
        let got = feed.all(&frames);
        assert_eq!(got[1], Ok((body(), 2)));
        // Both begin with the same header, and not with the same octets behind it.
        assert_eq!(got[2..], [Err(Skip::Fragment), Ok((vec![0xee; 100], 4))]);
    }

    #[test]
    fn pieces_of_two_datagrams_are_told_by_the_checksum() {
        let summed = |octets: &[u8]| {
            let mut segment = tcp(octets);
            let header = etherparse::TcpHeaderSlice::from_slice(&segment).unwrap();
            let sum = header.calc_checksum_ipv4_raw([10, 1, 0, 5], [10, 1, 0, 9], octets);
            segment[16..18].copy_from_slice(&sum.unwrap().to_be_bytes());
            segment
        };
        let (first, second) = (summed(&body()), summed(&[0xee; 100]));
        let cuts = [0..40, 40..120];
        let mut feed = Feed::new(&Limits::default());
        assert_eq!(feed.all(&four(6, 1, &first, &cuts))[1], Ok((body(), 2)));
        // The end of the first was not captured, the identification came again.
        let mixed = [four(6, 2, &first, &cuts).remove(0), four(6, 2, &second, &cuts).remove(1)];
        assert_eq!(feed.all(&mixed)[1], Err(Skip::Malformed));
    }

    #[test]
    fn a_cut_first_piece_tells_what_a_cut_segment_tells() {
        let frames = four(6, 1, &tcp(&body()), &[0..80, 80..120]);
        let cut = |octets: usize| {
            let limits = Limits::default();
            let mut decoder = Decoder::new(&limits);
            let whole = packet(LinkType::ETHERNET, &frames[0]);
            let data = &frames[0][..octets];
            let segment = decoder.decode(&Packet { data, ..whole });
            segment.map(|segment| (segment.payload.len(), segment.cut))
        };
        assert_eq!(cut(14 + 20 + 20 + 10), Ok((10, 50)));
        assert_eq!(cut(14 + 20 + 19), Err(Skip::Cut));
    }

    #[test]
    fn of_overlapping_octets_the_first_hold_in_ipv4() {
        let segment = tcp(&body());
        let other = tcp(&[0xee; 100]);
        let mut frames = four(6, 1, &segment, &[0..40, 64..80]);
        frames.extend(four(6, 1, &other, &[24..72, 72..120]));
        let mut feed = Feed::new(&Limits::default());
        let (got, _) = feed.all(&frames).pop().unwrap().unwrap();
        let mut wanted = [0xee; 100];
        wanted[..20].copy_from_slice(&body()[..20]);
        wanted[44..60].copy_from_slice(&body()[44..60]);
        assert_eq!(got, wanted);
    }

    #[test]
    fn an_overlap_spoils_the_datagram_in_ipv6() {
        let segment = tcp(&body());
        let mut frames = six(&segment, &[0..40]);
        frames.extend(six(&tcp(&[0xee; 100]), &[32..80]));
        frames.extend(six(&segment, &[40..80, 80..120]));
        let mut feed = Feed::new(&Limits::default());
        assert!(feed.all(&frames).iter().all(|got| *got == Err(Skip::Fragment)));
    }

    #[test]
    fn patience_ends() {
        let frames = four(6, 1, &tcp(&body()), &[0..40, 40..120]);
        let mut feed = Feed::new(&Limits::default());
        assert_eq!(feed.push(0, &frames[0]), Err(Skip::Fragment));
        assert_eq!(feed.push(31, &frames[1]), Err(Skip::Fragment));
        assert_eq!(feed.push(32, &frames[0]), Ok((body(), 3)));
        assert_eq!(feed.decoder.evicted_datagrams(), 0);
    }

    #[test]
    fn of_too_many_datagrams_the_oldest_goes() {
        let limits = Limits { fragmented_datagrams: 3, ..Limits::default() };
        let mut feed = Feed::new(&limits);
        for id in 0..4 {
            let frames = four(6, id, &tcp(&body()), &[0..40]);
            assert_eq!(feed.push(1, &frames[0]), Err(Skip::Fragment));
        }
        assert_eq!(feed.decoder.evicted_datagrams(), 1);
        for (id, whole) in [(3, true), (1, true), (0, false)] {
            let frames = four(6, id, &tcp(&body()), &[40..120]);
            assert_eq!(feed.push(1, &frames[0]).is_ok(), whole, "{id}");
        }
    }

    #[test]
    fn a_datagram_larger_than_the_bound_is_refused() {
        let limits = Limits { datagram_bytes: 64, ..Limits::default() };
        let mut feed = Feed::new(&limits);
        let frames = four(6, 1, &tcp(&body()), &[0..64, 64..120]);
        let refused = Err(Skip::Malformed);
        assert_eq!(feed.all(&frames), [Err(Skip::Fragment), refused]);
    }

    #[test]
    fn fragments_of_a_tunnel_may_hold_fragments() {
        let mut inner = four(6, 7, &tcp(&body()), &[0..40, 40..120]);
        let second = inner.pop().unwrap();
        let vxlan = udp(4789, &[&[8, 0, 0, 0, 0, 0, 1, 0], &second[..]].concat());
        let end = vxlan.len();
        let outer = four(17, 1, &vxlan, &[0..80, 80..end]);
        let mut feed = Feed::new(&Limits::default());
        assert_eq!(feed.push(1, &inner[0]), Err(Skip::Fragment));
        assert_eq!(feed.all(&outer), [Err(Skip::Fragment), Ok((body(), 3))]);
    }

    #[test]
    fn a_cut_fragment_cannot_be_used() {
        let frames = four(6, 1, &tcp(&body()), &[0..40, 40..120]);
        let mut decoder = Decoder::new(&Limits::default());
        let whole = packet(LinkType::ETHERNET, &frames[1]);
        let cut = Packet { data: &frames[1][..60], ..whole };
        assert_eq!(decoder.decode(&cut).unwrap_err(), Skip::Cut);
    }

    #[test]
    fn random_pieces_of_one_datagram_never_give_wrong_octets() {
        let mut random = Random(77);
        let body: Vec<u8> = (0..1_000).map(|at| (at * 7) as u8).collect();
        let segment = tcp(&body);
        let mut complete = 0;
        for _ in 0..200 {
            let mut feed = Feed::new(&Limits::default());
            for _ in 0..120 {
                let start = random.below(segment.len() / 8) * 8;
                let end = (start + 8 + random.below(20) * 8).min(segment.len());
                let frames = four(6, 1, &segment, &[start..end]);
                if let Ok((got, _)) = feed.push(1, &frames[0]) {
                    assert_eq!(got, body);
                    complete += 1;
                }
            }
        }
        assert!(complete > 100, "{complete}");
    }
}
