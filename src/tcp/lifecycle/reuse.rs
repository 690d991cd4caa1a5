//! The same pair of ports used again.

use crate::tcp::TOMBSTONE;
use crate::vocab::address::Half;
use crate::vocab::segment::{Segment, Seq, TcpFlags};
use crate::vocab::time::Stamp;

use super::opening::{OPENING, Waiting};
use super::{Flow, is_far, is_jump};

/// A SYN that may begin a new connection.
#[derive(Clone, Copy)]
pub(in crate::tcp) struct NewSyn {
    pub(super) by: Half,
    pub(super) stamp: Stamp,
    pub(super) seq: Seq,
    /// What it acknowledges, if it is a SYN,ACK.
    pub(super) ack: Option<Seq>,
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
        if !syn && self.is_of_another(half, segment) {
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

    /// Whether a segment without SYN is of another connection.
    fn is_of_another(&self, half: Half, segment: &Segment<'_>) -> bool {
        let Some(distance) = self.halves.half(half).distance(segment.seq) else { return false };
        let speaks = !segment.payload.is_empty() && !segment.flags.has(TcpFlags::RST);
        if self.closed {
            // Of one that is closed nothing is due but copies of what it said.
            return speaks && (is_jump(distance) || segment.stamp.since(self.last) >= TOMBSTONE);
        }
        // Nobody is there to answer what strays into a flow of which one half was captured.
        let is_alone = speaks && is_far(distance) && !self.halves.half(half.other()).is_heard();
        is_jump(distance)
            && self.far.iter().any(|far| {
                far.is_answered_by(half, segment) || is_alone && far.continues_with(half, segment)
            })
    }

    /// Keeps a segment that is far from this flow's octets: it may be the first of another
    /// connection.
    pub(super) fn note_far(&mut self, half: Half, segment: &Segment<'_>) {
        if !segment.flags.has(TcpFlags::ACK) {
            return;
        }
        if !self.far.first().is_some_and(|far| far.is_near(half, segment)) {
            self.far.clear();
        }
        if self.far.len() < OPENING {
            self.far.push(Waiting::of(half, segment));
        }
    }

    /// The segments of the connection to which `segment` belongs that came before it.
    pub fn take_far(&mut self, half: Half, segment: &Segment<'_>) -> Vec<Waiting> {
        let mut far = std::mem::take(&mut self.far);
        far.retain(|far| far.is_near(half, segment) || far.is_answered_by(half, segment));
        far
    }
}
