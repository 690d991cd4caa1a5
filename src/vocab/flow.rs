//! What TCP hands up: a flow opened, octets in order, a gap, an end.

use std::time::Duration;

use super::address::{FlowKey, Half};
use super::pack::packs;
use super::time::{Stamp, Timestamp};

/// One TCP connection, by the packet it was first seen with: the same in every run, whoever else
/// is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(pub u64);

packs!(tuple FlowId(number));

impl FlowId {
    /// The flow that this packet began; of one capture, the packet's number.
    pub fn begun_at(stamp: Stamp) -> Self {
        Self(stamp.number())
    }
}

/// One thing that happened on a flow.
#[derive(Clone, Copy, Debug)]
pub enum FlowItem<'a> {
    /// First sight of the flow.
    Opened {
        /// First packet.
        stamp: Stamp,
        /// The pair of endpoints.
        key: FlowKey,
        /// Who sent the SYN (without ACK), where it was captured.
        initiator: Option<Half>,
        /// Sender of the first packet seen.
        first: Half,
    },
    /// The SYN of a flow came behind later packets: it was not joined midway after all.
    Synchronized {
        /// Its packet.
        stamp: Stamp,
        /// Who opened the connection.
        initiator: Half,
    },
    /// The SYN,ACK was seen: the server accepted.
    Accepted {
        /// Its packet.
        stamp: Stamp,
        /// Its sender.
        by: Half,
    },
    /// The next octets of one half, each exactly once.
    Bytes {
        /// Packet that carried them at first sight.
        stamp: Stamp,
        /// Their half.
        half: Half,
        /// Offset of the first octet in the half's byte stream; 0 is the first octet after the
        /// SYN, or the first one seen where the SYN was not.
        offset: u64,
        /// How many octets of the other half the sender had acknowledged by then.
        seen: u64,
        /// The octets.
        data: &'a [u8],
    },
    /// Octets that were sent but are not in the capture.
    Gap {
        /// Packet at which the gap became certain.
        stamp: Stamp,
        /// Its half.
        half: Half,
        /// Offset of the first missing octet.
        offset: u64,
        /// Missing octets; 0 where their number is not known, as behind TLS.
        bytes: u64,
    },
    /// Octets came again with another value than the first time, which counts.
    Differs {
        /// The packet that brought them again.
        stamp: Stamp,
        /// Their half.
        half: Half,
        /// Offset of the first octet of the copy.
        offset: u64,
        /// Octets that differ.
        octets: u64,
    },
    /// A FIN came in order, or was the last that was seen of this half.
    Fin {
        /// Its packet.
        stamp: Stamp,
        /// Its sender.
        by: Half,
    },
    /// A RST that the receiver would accept.
    Rst {
        /// Its packet.
        stamp: Stamp,
        /// Its sender.
        by: Half,
        /// Whether it answered a SYN before anything was accepted: the port is closed.
        refused: bool,
        /// Whether it acknowledges nothing: it answers a segment of a connection that its sender
        /// does not know (RFC 9293 section 3.5.2); who aborts a connection of its own acknowledges.
        bare: bool,
    },
    /// Nothing more will come of this flow.
    Closed {
        /// Last packet of the flow.
        stamp: Stamp,
        /// Why no more comes.
        how: FlowEnd,
        /// What was counted.
        totals: FlowTotals,
    },
}

impl FlowItem<'_> {
    /// The packet it comes from, or at which it became certain.
    pub fn stamp(&self) -> Stamp {
        match *self {
            Self::Opened { stamp, .. }
            | Self::Synchronized { stamp, .. }
            | Self::Accepted { stamp, .. }
            | Self::Bytes { stamp, .. }
            | Self::Gap { stamp, .. }
            | Self::Differs { stamp, .. }
            | Self::Fin { stamp, .. }
            | Self::Rst { stamp, .. }
            | Self::Closed { stamp, .. } => stamp,
        }
    }
}

/// Why a flow is over for this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowEnd {
    /// Both FINs, or a RST.
    Ended,
    /// The capture ended first.
    CaptureEnd,
    /// A new connection took the same pair of ports.
    Reused,
    /// Dropped to stay within a limit.
    Evicted,
}

packs!(enum FlowEnd { 0 => Ended, 1 => CaptureEnd, 2 => Reused, else Evicted });

/// Counters of one flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowTotals {
    /// Packets of both halves.
    pub packets: u64,
    /// Per half: payload octets delivered, lost, seen again, and segments out of order.
    pub a: HalfTotals,
    /// The same for half B.
    pub b: HalfTotals,
}

impl FlowTotals {
    /// The counters of a half.
    pub fn half(&self, half: Half) -> &HalfTotals {
        match half {
            Half::A => &self.a,
            Half::B => &self.b,
        }
    }
}

/// Counters of one half of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HalfTotals {
    /// Whether no packet of it was captured.
    pub unheard: bool,
    /// Octets handed up.
    pub delivered: u64,
    /// Octets that the capture lacks.
    pub lost: u64,
    /// Places where octets are missing.
    pub gaps: u32,
    /// Octets seen more than once (retransmitted or captured twice).
    pub repeated: u64,
    /// Octets seen again with another value than the first time.
    pub differing: u64,
    /// Segments that came before an earlier octet.
    pub early: u64,
    /// Octets of this half that the receiver never acknowledged in the capture.
    pub unacknowledged: u64,
    /// Whether one octet behind the last one seen was acknowledged: a FIN that was not captured.
    pub hidden_fin: bool,
    /// The worst time in which octets of this half were sent again and again without progress: one
    /// that lasted to the end where there was one, otherwise the longest.
    pub stall: Option<Stall>,
}

packs!(struct HalfTotals {
    unheard, delivered, lost, gaps, repeated, differing, early, unacknowledged, hidden_fin, stall
});

/// Octets that their receiver did not acknowledge though they were sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// Since when octets had been on their way without any progress.
    pub from: Stamp,
    /// How often the first of them was sent again.
    pub again: u32,
    /// The last time.
    pub last: Stamp,
    /// The acknowledgement that ended it; `None` where none ever came.
    pub until: Option<Stamp>,
}

packs!(struct Stall { from, again, last, until });

impl Stall {
    /// From the beginning to the last time that octets were sent again.
    pub fn span(&self) -> Duration {
        self.last.since(self.from)
    }
}

/// What was noted of one half beside its octets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HalfNotes {
    /// Where octets are missing, in order, as many as
    /// [`Limits::missing_places`](super::limits::Limits).
    pub missing: Vec<Missing>,
    /// Places and octets beyond those.
    pub missing_beyond: (u64, u64),
    /// Copies that differ from what they repeat, as many as
    /// [`Limits::differing_copies`](super::limits::Limits).
    pub differing: Vec<Differing>,
}

packs!(struct HalfNotes { missing, missing_beyond, differing });

/// A place where octets are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The last packet that brought octets before them.
    pub after: Option<Stamp>,
    /// The packet that shows that they are missing.
    pub before: Stamp,
    /// Offset of the first one in the half's byte stream.
    pub offset: u64,
    /// How many.
    pub octets: u64,
}

packs!(struct Missing { after, before, offset, octets });

/// Octets that came again with another value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Differing {
    /// The packet that brought them again.
    pub stamp: Stamp,
    /// Offset of the first octet of the copy in the half's byte stream.
    pub offset: u64,
    /// Octets that differ.
    pub octets: u64,
}

packs!(struct Differing { stamp, offset, octets });

impl HalfNotes {
    /// The most octets that are missing in one place that is told, from a time on and before
    /// `until`.
    pub fn widest(&self, since: Timestamp, until: Stamp) -> Option<&Missing> {
        let told = self.missing.iter().filter(|place| place.before.at >= since);
        told.filter(|place| !until.before(place.before)).max_by_key(|place| place.octets)
    }

    /// Places where octets are missing.
    pub fn places(&self) -> u64 {
        self.missing_beyond.0.saturating_add(self.missing.len() as u64)
    }
}

/// `between packets 12 and 17`.
impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let before = self.before.packet();
        match self.after {
            Some(after) if after == self.before => write!(f, "in packet {before}"),
            Some(after) => write!(f, "between packets {} and {before}", after.packet()),
            None => write!(f, "before packet {before}"),
        }
    }
}
