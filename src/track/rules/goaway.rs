//! GOAWAY (RFC 9113 sections 6.8 and 8.7).

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
}
