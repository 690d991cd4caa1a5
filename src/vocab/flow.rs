//! What TCP hands up: a flow opened, octets in order, a gap, an end.

use super::address::{FlowKey, Half};
use super::time::Stamp;

/// One TCP connection of this run, in order of first sight, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(pub u64);

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
    /// Octets handed up.
    pub delivered: u64,
    /// Octets that the capture lacks.
    pub lost: u64,
    /// Places where octets are missing.
    pub gaps: u64,
    /// Octets seen more than once (retransmitted or captured twice).
    pub repeated: u64,
    /// Octets seen again with another value than the first time.
    pub differing: u64,
    /// Segments that came before an earlier octet.
    pub early: u64,
    /// Octets of this half that the receiver never acknowledged in the capture.
    pub unacknowledged: u64,
}
