//! GOAWAY (RFC 9113 sections 6.8 and 8.7).

use std::time::Duration;

use crate::vocab::address::Side;
use crate::vocab::frame::Payload;
use crate::vocab::rule;

use super::{Breach, Desk, Rules};

impl Rules {
    pub(super) fn goaway(&mut self, desk: &mut Desk<'_, '_>) -> Option<Breach> {
        let Payload::GoAway { last_stream_id, .. } = desk.frame.payload else { return None };
        let by = desk.frame.by;
        let is_exact = self.is_exact(desk.history, by);
        let side = self.sides.side_mut(by);
        let before = std::mem::replace(&mut side.goaway_last, last_stream_id);
        side.goaway_at = Some((desk.frame.end_offset(), desk.frame.stamp));
        if last_stream_id > before && is_exact {
            let text = format!("GOAWAY with last stream {last_stream_id} after one with {before}");
            return Breach::of(&rule::GOAWAY_LAST_ID_NOT_INCREASE, text);
        }
        let answered = side.answered;
        if by == Side::Server && answered > last_stream_id && is_exact {
            let text = format!(
                "GOAWAY with last stream {last_stream_id} after stream {answered} was answered"
            );
            return Breach::of(&rule::GOAWAY_LAST_ID_COVERS_PROCESSED, text);
        }
        None
    }

    /// Whether this client opens a stream that the server's GOAWAY will not let it have, long
    /// after it got that. Requests on their way are legal, and programs read later than their
    /// kernel acknowledges.
    pub(super) fn ignores_goaway(&mut self, desk: &Desk<'_, '_>) -> Option<Breach> {
        let server = self.sides.side_mut(Side::Server);
        let (end, told) = server.goaway_at?;
        let (frame, last) = (desk.frame, server.goaway_last);
        let since = frame.stamp.since(told);
        if frame.head.stream <= last || frame.seen < end || since < READ_BY {
            return None;
        }
        server.goaway_at = None;
        let text = format!(
            "HEADERS open stream {} {:.3} s after the server's GOAWAY with last stream {last}",
            frame.head.stream,
            since.as_secs_f64()
        );
        Breach::of(&rule::GOAWAY_NO_NEW_STREAMS, text)
    }

    /// A PING ACK that answers the peer's own answer.
    pub(super) fn ping(&self, desk: &Desk<'_, '_>) -> Option<Breach> {
        let Payload::Ping { ack: true, opaque } = desk.frame.payload else { return None };
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
}

/// By then a program has read what its kernel acknowledged, unless it hangs.
const READ_BY: Duration = Duration::from_secs(1);
