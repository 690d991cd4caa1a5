//! Times in which the server sent no frame though the client went on asking.

use std::time::Duration;

use super::Tracker;
use super::history::Still;
use crate::vocab::frame::{Frame, Payload};
use crate::vocab::time::Stamp;

impl Tracker {
    /// Notes for how long the server had sent nothing when it speaks again.
    pub(super) fn speaks_again(&mut self, frame: &Frame<'_>) {
        let opened = self.history.sides.first.opened;
        let asked = opened - std::mem::replace(&mut self.asked, opened);
        if asked < ASKED {
            return;
        }
        let id = frame.head.stream;
        let reset = || self.reset_places.get(&id).and_then(|at| self.history.resets.get(*at));
        let asked_at = match frame.payload {
            Payload::Ping { ack: true, opaque } => {
                self.history.pings.iter().find(|ping| ping.opaque == opaque).map(|ping| ping.sent)
            }
            _ => self.open.get(&id).map_or_else(|| reset()?.opened, |stream| stream.opened),
        };
        let waited = asked_at.map(|asked| frame.stamp.since(asked));
        self.stood_still(frame.stamp, asked, waited.unwrap_or_default(), false);
    }

    fn stood_still(&mut self, until: Stamp, asked: u64, waited: Duration, lasting: bool) {
        let Some(from) = self.history.sides.second.last_frame else { return };
        let still = Still { from, until, asked, waited, lasting };
        let longest = self.history.still.as_ref().map_or(STILL, |old| old.span());
        if still.span() > longest {
            self.history.still = Some(Box::new(still));
        }
    }

    /// The same where it never speaks again.
    pub(super) fn speaks_no_more(&mut self) {
        let asked = self.history.sides.first.opened - self.asked;
        if asked >= ASKED {
            let until = self.history.tcp_end().map_or(self.history.last, |(stamp, ..)| stamp);
            self.stood_still(until, asked, Duration::ZERO, true);
        }
    }
}

/// Shorter, or with fewer requests meanwhile, no server stands still.
const STILL: Duration = Duration::from_secs(1);
const ASKED: u64 = 3;
