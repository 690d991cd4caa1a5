//! The same pair of ports used again.

use crate::vocab::address::Half;
use crate::vocab::segment::{Segment, Seq, TcpFlags};
use crate::vocab::time::Stamp;

use super::{Flow, NEAR, is_jump};

/// A SYN that may begin a new connection.
#[derive(Clone, Copy)]
pub(in crate::tcp) struct NewSyn {
    pub(super) by: Half,
    pub(super) stamp: Stamp,
    pub(super) seq: Seq,
    /// What it acknowledges, if it is a SYN,ACK.
    pub(super) ack: Option<Seq>,
}

/// A segment that may be of a connection whose SYNs were not captured.
#[derive(Clone, Copy)]
pub(super) struct Far {
    pub(super) by: Half,
    pub(super) seq: Seq,
    pub(super) ack: Seq,
}

impl Flow {
    /// Whether this segment belongs to a new connection on the same pair of ports. On an open
    /// flow one SYN is not enough, anybody can send one: the other end must agree, or the sender
    /// must go on from it.
    pub fn is_reused_by(&mut self, half: Half, segment: &Segment<'_>) -> bool {
        let syn = segment.flags.has(TcpFlags::SYN);
        if let Some(NewSyn { by, seq, ack, .. }) = self.pending_syn {
            let agrees = ack.map_or(syn, |ack| !syn && segment.seq == ack);
            let answered = agrees
                && half != by
                && segment.ack == seq.plus(1)
                && segment.flags.has(TcpFlags::ACK);
            let goes_on = !syn && half == by && segment.seq == seq.plus(1);
            if answered || goes_on {
                return true;
            }
        }
        if !syn && self.far.is_some_and(|far| self.answers(far, half, segment)) {
            self.halves.first.forget_far();
            self.halves.second.forget_far();
            return true;
        }
        if !syn || segment.flags.has(TcpFlags::RST) {
            return false;
        }
        let known = *self.syn.half(half);
        if known == Some(segment.seq) {
            return false;
        }
        if known.is_none() && !self.closed {
            let begins = self.halves.half(half).begins_at(segment.seq.plus(1));
            if self.packets < 2 || begins {
                return false; // the handshake's second packet, or one that comes out of order
            }
        }
        let answers_known = segment.flags.has(TcpFlags::ACK)
            && self.syn.half(half.other()).is_some_and(|seq| segment.ack == seq.plus(1));
        if known.is_none() && answers_known {
            return false;
        }
        if self.closed {
            self.pending_syn = None;
            return true;
        }
        let ack = segment.flags.has(TcpFlags::ACK).then_some(segment.ack);
        self.pending_syn = Some(NewSyn { by: half, stamp: segment.stamp, seq: segment.seq, ack });
        false
    }

    /// Whether the segment and a far one agree with each other, and neither with this flow.
    fn answers(&self, far: Far, half: Half, segment: &Segment<'_>) -> bool {
        let distance = self.halves.half(half).distance(segment.seq);
        half != far.by
            && segment.flags.has(TcpFlags::ACK)
            && segment.seq == far.ack
            && (0..NEAR).contains(&segment.ack.ahead_of(far.seq))
            && distance.is_some_and(is_jump)
    }
}
