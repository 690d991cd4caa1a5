//! GOAWAY (RFC 9113 sections 5.4.1, 6.8 and 8.7).

use std::time::Duration;

use crate::vocab::address::Side;
use crate::vocab::error_code::ErrorCode;
use crate::vocab::frame::{FrameType, Payload};
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

    /// Whether this side goes on long after its GOAWAY for an error. No rule says how soon it has
    /// to close, and what it had written before may be on its way for long.
    pub(super) fn does_not_close(&mut self, desk: &Desk<'_, '_>) -> Option<Breach> {
        let frame = desk.frame;
        let goes_on = matches!(frame.head.kind, FrameType::HEADERS | FrameType::PING);
        let told = &mut self.sides.side_mut(frame.by).lingering_told;
        if !goes_on || *told {
            return None;
        }
        let mut goaways = desk.history.goaways.iter();
        let gave_up = goaways.find(|of| of.by == frame.by && of.code != ErrorCode::NO_ERROR)?;
        let since = frame.stamp.since(gave_up.stamp);
        if since < CLOSED_BY {
            return None;
        }
        *told = true;
        let name = frame.type_name();
        let text = format!("{name} {:.1} s after its GOAWAY for an error", since.as_secs_f64());
        Breach::of(&rule::CONNECTION_ERROR_CLOSES, text)
    }
}

/// By then an endpoint that meant to close has closed: what it lingers for takes seconds.
const CLOSED_BY: Duration = Duration::from_secs(30);

/// By then a program has read what its kernel acknowledged, unless it hangs.
const READ_BY: Duration = Duration::from_secs(1);
