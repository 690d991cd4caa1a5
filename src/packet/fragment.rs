//! Reassembly of IP fragments (RFC 791 section 3.2, RFC 8200 section 4.5), bounded in datagrams,
//! octets and time.

use std::collections::{HashMap, VecDeque};
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
        if self.parts.get(&part.key).is_some_and(|parts| parts.is_over(now)) {
            self.parts.remove(&part.key);
        }
        if !self.parts.contains_key(&part.key) {
            self.make_room();
            self.ages.push_back((now, part.key));
        }
        let parts = self.parts.entry(part.key).or_insert_with(|| Parts::new(now));
        parts.add(part)?;
        let Some(protocol) = parts.whole() else { return Err(Skip::Fragment) };
        self.joined += parts.count - 1;
        parts.state = State::Complete(now);
        parts.filled = Vec::new();
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
        Ok(())
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

/// How long a datagram waits for its fragments, in packet time. RFC 8200 section 4.5 says 60 s,
/// Linux waits 30 s.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long copies of a complete datagram's fragments are told from the next datagram of the same
/// key: captures on all interfaces of a host see each fragment twice.
const COPIES: Duration = Duration::from_secs(1);
