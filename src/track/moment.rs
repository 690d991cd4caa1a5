//! How a connection stands at some moment: a GOAWAY is judged by that of its frame, an end without
//! one by that of the first FIN or RST. What comes later, crossing it on its way or answering
//! nobody, is no reason for it.

use super::Tracker;
use super::history::{Goaway, Moment};
use crate::vocab::address::{Both, Side};
use crate::vocab::frame::Frame;

impl Tracker {
    /// Now.
    pub(super) fn moment(&self) -> Moment {
        let (history, sides) = (&self.history, &self.history.sides);
        Moment {
            open: self.open_streams(),
            open_count: self.open_of.first,
            idle_since: history.idle_since,
            last_octets: Both { first: sides.first.last_octets, second: sides.second.last_octets },
            last_message: Both {
                first: sides.first.last_message,
                second: sides.second.last_message,
            },
            frames: Both { first: sides.first.frames, second: sides.second.frames },
            opened: Both { first: sides.first.opened, second: sides.second.opened },
            resets: history.resets.len(),
            findings: history.findings.len(),
        }
    }

    /// Behind all others; but behind a hole frames are read late, and the other side's GOAWAYs
    /// that came since are answers to this one.
    pub(super) fn place_of_goaway(&self, frame: &Frame<'_>) -> usize {
        let goaways = &self.history.goaways;
        let later = |of: &Goaway| of.by != frame.by && frame.stamp.before(of.stamp);
        let first = goaways.iter().position(later);
        let is_late = !self.rules.is_exact(&self.history, frame.by);
        first.filter(|_| is_late).unwrap_or(goaways.len())
    }

    /// A FIN or RST came, or nothing more will come: the first of these counts.
    pub(super) fn closes(&mut self) {
        if self.history.closing.is_none() || self.was_heard_out() {
            self.history.closing = Some(Box::new(self.moment()));
        }
    }

    /// Whether the client closed its half, and then read all that it had asked for: it only had
    /// nothing more to say, and what counts is how the connection ended.
    fn was_heard_out(&self) -> bool {
        let history = &self.history;
        let (Some(closing), Some((_, by, aborted))) = (&history.closing, history.tcp_end()) else {
            return false;
        };
        history.end.is_some()
            && by == Side::Client
            && !aborted
            && history.rst.first.is_none()
            && closing.open_count > 0
            && self.open_of.first == 0
            && history.resets.len() == closing.resets
    }
}
