//! How a connection stood when one side began to close it: what comes later, crossing the FIN on
//! its way or answering nobody, is no reason for it.

use super::Tracker;
use super::history::Closing;
use crate::vocab::address::Both;

impl Tracker {
    /// A FIN or RST came: the first one counts.
    pub(super) fn closes(&mut self) {
        if self.history.closing.is_some() {
            return;
        }
        let (history, sides) = (&self.history, &self.history.sides);
        let closing = Closing {
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
        };
        self.history.closing = Some(Box::new(closing));
    }
}
