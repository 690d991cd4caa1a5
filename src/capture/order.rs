//! Packets in order of time, for captures whose records are not: written by several queues,
//! appended to each other, shuffled by a tool.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::vocab::packet::{LinkType, Packet};
use crate::vocab::time::{Stamp, Timestamp};

/// Tells a capture out of order from one whose clock was set back.
#[derive(Debug, Default)]
pub struct Disorder {
    /// The time of the first packet.
    first: Option<Timestamp>,
    /// The latest time since the last step back.
    latest: Option<Timestamp>,
    steps: u32,
    /// The time of the last packet.
    last: Option<Timestamp>,
    /// Packets that went back in time, each as much as [`RARE`] that went on or, where it went
    /// back less than [`QUEUES`], half as much, less those.
    shuffled: u32,
}

impl Disorder {
    /// Whether the packets up to this one are out of order.
    #[inline]
    pub fn sees(&mut self, at: Timestamp) -> bool {
        let first = *self.first.get_or_insert(at);
        let latest = self.latest.filter(|latest| at.0.saturating_add(STEP) < latest.0);
        if let Some(latest) = latest {
            let (to, covered) = (at.0.abs_diff(first.0), latest.0.abs_diff(first.0));
            // What was captured beside it is appended to it: one interface, or one direction,
            // behind the other.
            self.steps += if to <= covered / AGAIN { STEPS } else { 1 };
            self.latest = Some(at);
        } else {
            self.latest = self.latest.max(Some(at));
        }
        match self.last.replace(at) {
            Some(last) if at < last => {
                // Less counts where it may be but the way through two queues.
                self.shuffled += if last.0.saturating_sub(at.0) < QUEUES { RARE / 2 } else { RARE };
            }
            Some(last) if at > last => self.shuffled = self.shuffled.saturating_sub(1),
            _ => {}
        }
        self.steps >= STEPS || self.shuffled >= SHUFFLED
    }
}

/// Holds packets until no earlier one can come, as far as there is room.
#[derive(Debug)]
pub struct ByTime {
    held: BinaryHeap<Reverse<Held>>,
    octets: usize,
    most: usize,
}

impl ByTime {
    /// Room for `most` octets of packets.
    pub fn new(most: usize) -> Self {
        Self { held: BinaryHeap::new(), octets: 0, most }
    }

    /// Takes a packet.
    pub fn hold(&mut self, packet: &Packet<'_>) {
        let held = Held::of(packet);
        self.octets += held.weight();
        self.held.push(Reverse(held));
    }

    /// The earliest, once there is no room to wait any longer, or `at_end`.
    pub fn next(&mut self, at_end: bool) -> Option<Held> {
        if !at_end && self.octets <= self.most {
            return None;
        }
        let Reverse(held) = self.held.pop()?;
        self.octets -= held.weight();
        Some(held)
    }
}

/// A packet with its own octets.
#[derive(Debug)]
pub struct Held {
    stamp: Stamp,
    link: LinkType,
    data: Box<[u8]>,
    wire_length: u32,
    fcs_length: u8,
}

impl Held {
    /// A copy of a packet.
    pub fn of(packet: &Packet<'_>) -> Self {
        let Packet { stamp, link, data, wire_length, fcs_length } = *packet;
        Self { stamp, link, data: data.into(), wire_length, fcs_length }
    }

    /// Octets in memory.
    pub fn weight(&self) -> usize {
        self.data.len() + OVERHEAD
    }

    /// The packet.
    pub fn packet(&self) -> Packet<'_> {
        let Self { stamp, link, ref data, wire_length, fcs_length } = *self;
        Packet { stamp, link, data, wire_length, fcs_length }
    }

    /// Packets of one moment stay in the order of their records.
    fn key(&self) -> (Timestamp, usize, u64) {
        (self.stamp.at, self.stamp.capture(), self.stamp.packet())
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Held {}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// Nanoseconds that time must go back by: the stamps of queues of one interface differ by some
/// milliseconds though the order of the records is right, and what is out of place so little is put
/// right from sequence and acknowledgement numbers.
const STEP: i64 = 50_000_000;
/// How often: a clock is set back once, or twice.
const STEPS: u32 = 3;
/// Where more than one packet of so many goes back, however little, records were shuffled: queues
/// of one interface differ now and then.
const RARE: u32 = 8;
/// Three of them within a few packets.
const SHUFFLED: u32 = 3 * RARE;
/// Nanoseconds by which two queues of one busy interface are often apart: three such steps within
/// a few packets are no sign yet.
const QUEUES: i64 = 50_000;
/// One step back is enough where it leads to the beginning: as near as this part of the time gone
/// by since.
const AGAIN: u64 = 16;
/// What holding a packet costs beside its octets.
const OVERHEAD: usize = size_of::<Held>();

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(packet: u64, at: i64) -> Stamp {
        Stamp::new(0, packet, Timestamp(at))
    }

    fn packet(stamp: Stamp, data: &[u8]) -> Packet<'_> {
        let wire_length = data.len() as u32;
        Packet { stamp, link: LinkType::ETHERNET, data, wire_length, fcs_length: 0 }
    }

    #[test]
    fn a_clock_set_back_is_no_disorder() {
        let mut disorder = Disorder::default();
        let seconds = [10, 11, 12, 5, 6, 7, 8, 9, 10, 11, 12, 13];
        assert!(!seconds.iter().any(|s| disorder.sees(Timestamp(s * 1_000_000_000))));
        let mut disorder = Disorder::default();
        let queues = [0, 9, 4, 12, 16, 20, 11, 30, 37, 40, 41, 42, 43, 44, 45, 46, 39, 48];
        assert!(!queues.iter().any(|ms| disorder.sees(Timestamp(ms * 1_000_000))));
        let mut disorder = Disorder::default();
        let pairs = [1, 0, 2, 3, 5, 4, 7, 6, 9, 8];
        assert!(pairs.iter().any(|ms| disorder.sees(Timestamp(ms * 1_000_000))));
        let mut disorder = Disorder::default();
        let shuffled = [3, 1, 4, 1, 5, 9, 2, 6];
        assert!(shuffled.iter().any(|s| disorder.sees(Timestamp(s * 1_000_000_000))));
        // Two queues of a busy interface, now and then three steps within a few packets.
        let mut disorder = Disorder::default();
        let bursts = [0, 36, 2, 40, 51, 45, 60, 53, 70, 80, 90, 100, 110, 120, 130];
        let busy = (0..100).flat_map(|turn| bursts.map(|us| turn * 150 + us));
        assert!(!busy.into_iter().any(|us| disorder.sees(Timestamp(us * 1_000))));
        // All of one direction, then all of the other, which begins a little earlier or later.
        for begin in [-2, 3] {
            let mut disorder = Disorder::default();
            let halves = [0, 100, 300, 400, begin, 110, 310];
            assert!(halves.iter().any(|ms| disorder.sees(Timestamp(ms * 1_000_000))));
        }
        let mut disorder = Disorder::default();
        let back_by_an_hour = [0, 100, 300, 400, -3_600_000, -3_599_900];
        assert!(!back_by_an_hour.iter().any(|ms| disorder.sees(Timestamp(ms * 1_000_000))));
        // The last record first, each step a small one.
        let mut disorder = Disorder::default();
        assert!((0..100).rev().any(|ms| disorder.sees(Timestamp(ms * 5_000_000))));
        let mut disorder = Disorder::default();
        assert!((0..20).rev().any(|us| disorder.sees(Timestamp(us * 1_000))));
    }

    #[test]
    fn the_earliest_comes_first_within_the_room() {
        let mut sorter = ByTime::new(3 * (OVERHEAD + 2));
        let mut out = Vec::new();
        for (number, at) in [(1, 50), (2, 20), (3, 20), (4, 10), (5, 60), (6, 5)] {
            sorter.hold(&packet(stamp(number, at), b"ab"));
            out.extend(sorter.next(false).map(|held| held.stamp.packet()));
        }
        out.extend(std::iter::from_fn(|| sorter.next(true)).map(|held| held.stamp.packet()));
        // The last is too late: there was no room to wait for it.
        assert_eq!(out, [4, 2, 6, 3, 1, 5]);
        assert_eq!(sorter.octets, 0);
    }
}
