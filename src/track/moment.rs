//! How a connection stands at some moment: a GOAWAY is judged by that of its frame, an end without
//! one by that of the first FIN or RST. What comes later, crossing it on its way or answering
//! nobody, is no reason for it.

use super::Tracker;
use super::history::{Goaway, History, Moment};
use crate::vocab::address::{Both, Side};
use crate::vocab::frame::{Frame, Payload};
use crate::vocab::limits::{Hit, Limits};
use crate::vocab::time::Stamp;

impl Tracker {
    /// A GOAWAY, with how the connection stands.
    pub(super) fn goaway(&mut self, frame: &Frame<'_>, limits: &Limits) {
        if matches!(frame.payload, Payload::Unseen) {
            let facts = self.history.sides.side_mut(frame.by);
            facts.unread_goaway.get_or_insert(frame.stamp);
        }
        let Payload::GoAway { last_stream_id, code, debug } = frame.payload else { return };
        if frame.head.stream != 0 {
            return; // a connection error of its sender (RFC 9113 section 6.8), not a GOAWAY
        }
        if self.history.goaways.len() >= limits.goaways {
            self.hit(Hit::Goaways);
            return;
        }
        if frame.head.length as usize > 8 + limits.debug_data {
            self.hit(Hit::DebugData);
        }
        let history = &self.history;
        let peer = frame.by.other();
        let newest = self.open.values().filter(|stream| stream.opener == peer).max_by_key(|s| s.id);
        let goaway = Goaway {
            stamp: frame.stamp,
            by: frame.by,
            code,
            last_stream_id,
            debug: debug.to_vec(),
            debug_missing: frame.head.length.saturating_sub(8 + debug.len() as u32),
            moment: Moment {
                open_count: self.open.len() as u64,
                last_octets: octets_before(history, frame.by),
                ..self.moment()
            },
            highest_stream: Both {
                first: history.sides.first.highest_stream,
                second: history.sides.second.highest_stream,
            },
            after_peer_close: [history.fin.side(peer), history.rst.side(peer)]
                .into_iter()
                .flatten()
                .any(|stamp| stamp.before(frame.stamp) || self.rules.has_seen_end(history, frame)),
            newest: newest
                .and_then(|stream| Some((stream.id, stream.opened?)))
                .or(self.history.newest.filter(|_| peer == Side::Client)),
            seen: frame.seen,
            end: frame.end_offset(),
        };
        let place = self.place_of_goaway(frame);
        self.history.goaways.insert(place, goaway);
    }

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
            largest_block: Both {
                first: sides.first.largest_block,
                second: sides.second.largest_block,
            },
        }
    }

    /// Behind all others; but behind a hole frames are read late, and the other side's GOAWAYs
    /// that came since are answers to this one, unless it acknowledges them.
    pub(super) fn place_of_goaway(&self, frame: &Frame<'_>) -> usize {
        let goaways = &self.history.goaways;
        let is_late = !self.rules.is_exact(&self.history, frame.by);
        let unseen = |of: &Goaway| of.by != frame.by && frame.seen < of.end;
        let later = |of: &Goaway| unseen(of) && frame.stamp.before(of.stamp);
        let first = goaways.iter().position(later);
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

/// Last octets of each side before a frame of `by`; its own first octets may have come before its
/// last ones, and are none of them.
fn octets_before(history: &History, by: Side) -> Both<Option<Stamp>> {
    let sides = &history.sides;
    let mut last = Both { first: sides.first.last_octets, second: sides.second.last_octets };
    let before = sides.side(by).last_frame;
    if before.is_some() {
        *last.side_mut(by) = before;
    }
    last
}
