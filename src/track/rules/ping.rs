//! PING (RFC 9113 section 6.7).

use std::time::Duration;

use crate::vocab::address::Side;
use crate::vocab::frame::{FrameType, Payload};
use crate::vocab::rule;

use super::{Asked, Breach, Desk, Rules};

impl Rules {
    pub(super) fn ping(&mut self, desk: &Desk<'_, '_>) -> Option<Breach> {
        match desk.frame.payload {
            Payload::Ping { ack: true, opaque } => {
                self.answers(desk, opaque).or_else(|| self.answers_an_answer(desk, opaque))
            }
            Payload::Ping { ack: false, opaque } => {
                let (stamp, end_offset) = (desk.frame.stamp, desk.frame.end_offset());
                let side = self.sides.side_mut(desk.frame.by);
                let asked = || Box::new(Asked { opaque, stamp, end_offset });
                side.asked.get_or_insert_with(asked);
                None
            }
            _ => None,
        }
    }

    /// A PING ACK: of the oldest PING that waits, or of a later one in its place.
    fn answers(&mut self, desk: &Desk<'_, '_>, opaque: [u8; 8]) -> Option<Breach> {
        let frame = desk.frame;
        let asker = frame.by.other();
        let oldest = *self.sides.side(asker).asked.as_deref()?;
        let end_offset = self.sides.side(asker).end;
        let waiting = || {
            let pings = desk.history.pings.iter();
            pings.filter(|ping| ping.by == asker && ping.answered.is_none())
        };
        if oldest.opaque == opaque {
            // What came later was not seen by any later offset than this.
            let next = |ping: &&crate::track::history::Ping| oldest.stamp.before(ping.sent);
            self.sides.side_mut(asker).asked = waiting()
                .find(next)
                .map(|ping| Box::new(Asked { opaque: ping.opaque, stamp: ping.sent, end_offset }));
            return None;
        }
        let is_later = waiting().any(|ping| ping.opaque == opaque);
        if !is_later || frame.stamp.since(oldest.stamp) < ANSWERED_BY {
            return None;
        }
        self.unanswered(desk, oldest)
    }

    /// A PING ACK that answers the peer's own answer.
    fn answers_an_answer(&self, desk: &Desk<'_, '_>, opaque: [u8; 8]) -> Option<Breach> {
        let by = desk.frame.by;
        let pings = || desk.history.pings.iter().filter(|ping| ping.opaque == opaque);
        let asked = pings().any(|ping| ping.by != by);
        let was_answered = pings().any(|ping| ping.by == by && ping.answered.is_some());
        let known = self.is_exact(desk.history, by) && self.knows_peer(desk.history, desk.frame);
        if asked || !was_answered || !known {
            return None;
        }
        let name = by.other().name();
        let text = format!("PING ACK for a PING that the {name} never sent, but answered");
        Breach::of(&rule::PING_NO_ACK_TO_ACK, text)
    }

    /// A PING that the sender of this frame had read long before it wrote this, and left without
    /// an answer. Frames wait long in full sockets: only one that answers what came behind the
    /// PING, or a request much later, is certain to be newer.
    pub(super) fn overdue_pong(&mut self, desk: &Desk<'_, '_>) -> Option<Breach> {
        let frame = desk.frame;
        let oldest = *self.sides.side(frame.by.other()).asked.as_deref()?;
        let since = frame.stamp.since(oldest.stamp);
        if frame.head.kind != FrameType::HEADERS
            || since < ANSWERED_BY
            || frame.seen < oldest.end_offset
        {
            return None;
        }
        let newer = match desk.open.get(&frame.head.stream) {
            Some(stream) => {
                let opened = stream.opened.filter(|_| stream.opener != frame.by);
                opened.is_some_and(|opened| oldest.stamp.before(opened))
            }
            None => frame.by == Side::Client && since >= WRITTEN_BY,
        };
        if newer { self.unanswered(desk, oldest) } else { None }
    }

    fn unanswered(&mut self, desk: &Desk<'_, '_>, oldest: Asked) -> Option<Breach> {
        let frame = desk.frame;
        let by = frame.by;
        if !self.is_exact(desk.history, by) || !self.is_exact(desk.history, by.other()) {
            return None;
        }
        self.sides.side_mut(by.other()).asked = None;
        if std::mem::replace(&mut self.sides.side_mut(by).pong_told, true) {
            return None;
        }
        let text = format!(
            "{} sent {:.1} s after the PING in packet {} that was not answered",
            frame.type_name(),
            frame.stamp.since(oldest.stamp).as_secs_f64(),
            oldest.stamp.packet()
        );
        Breach::of(&rule::PING_ACK_REQUIRED, text)
    }
}

/// By then a program that goes on has answered: answers to PING come before others (RFC 9113
/// section 6.7).
const ANSWERED_BY: Duration = Duration::from_secs(1);

/// By then what was written before a PING was read has left its socket.
const WRITTEN_BY: Duration = Duration::from_secs(60);
