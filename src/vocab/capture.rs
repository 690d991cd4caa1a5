//! What a capture file as a whole is like.

use std::collections::BTreeMap;

use super::clock::ClockOffset;
use super::fault::Fault;
use super::packet::Skip;
use super::time::{Stamp, Timestamp};

/// Counters and facts of one capture.
#[derive(Clone, Debug, Default)]
pub struct CaptureFacts {
    /// File name as the user gave it; `-` for standard input.
    pub file: String,
    /// `pcap`, `pcapng`, with `.gz` or `.zst` behind it where compressed.
    pub format: String,
    /// Packets read.
    pub packets: u64,
    /// Octets captured.
    pub bytes: u64,
    /// Time of the first packet in the file.
    pub first_packet_at: Option<Timestamp>,
    /// Latest time of any packet.
    pub last_packet_at: Option<Timestamp>,
    /// Packets cut by the snap length.
    pub truncated_packets: u64,
    /// Packets that the kernel dropped, where the file tells (pcapng interface statistics).
    pub kernel_dropped: Option<u64>,
    /// Packets that gave no TCP segment, by reason.
    pub skipped: BTreeMap<Skip, u64>,
    /// Where and why reading stopped before the end of the file.
    pub damage: Option<Damage>,
}

/// So many fragments became part of whole datagrams: they are no loss. In which capture they were
/// is not known where there are several; the first ones are taken.
pub fn put_together(captures: &mut [CaptureFacts], mut joined: u64) {
    for facts in captures {
        let Some(lone) = facts.skipped.get_mut(&Skip::Fragment) else { continue };
        let of_this = joined.min(*lone);
        joined -= of_this;
        *lone -= of_this;
        if *lone == 0 {
            facts.skipped.remove(&Skip::Fragment);
        }
    }
}

/// What is told of captures whose frames were listed.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// In the order they were given.
    pub captures: Vec<CaptureFacts>,
    /// How their clocks differ from the first one's, which was put right.
    pub clock_offsets: Vec<ClockOffset>,
    /// Packets of a pipe turned out to be out of order of time, and were put in order behind this
    /// one, as far as they could wait for each other.
    pub sorted_behind: Option<Stamp>,
    /// What this program failed on.
    pub faults: Vec<Fault>,
}

impl CaptureFacts {
    /// First and last time; `None` where the packets carry none, or one and the same.
    pub fn times(&self) -> Option<(Timestamp, Timestamp)> {
        let times = self.first_packet_at.zip(self.last_packet_at);
        times.filter(|(first, last)| self.packets == 1 || first != last)
    }
}

/// Where and why a capture could not be read to its end.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Damage {
    /// Number of the packet at which it broke (the first one that could not be read).
    pub packet: u64,
    /// What is wrong, in one clause.
    pub what: String,
}
