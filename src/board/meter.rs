//! Totals over all connections that ever were: for metrics and alarms, which must not forget what
//! the board no longer lists.
//!
//! Takes one snapshot after the other, adds what is new. Nothing here ever goes down: a verdict
//! counts when its connection is over, cancelled requests when their reason is first known; what
//! neighbours revise later stays as it was counted.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::snapshot::Snapshot;
use super::told::About;
use super::{ConnectionRow, StreamCounts};
use crate::vocab::address::{Both, Side};
use crate::vocab::cause::{Blame, Cause};
use crate::vocab::flow::FlowId;
use crate::vocab::limits::Hit;
use crate::vocab::metered::{self, Metered};

/// What was counted since the beginning.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// HTTP/2 connections.
    pub connections: u64,
    /// Streams by how they ended; `unfinished` is left 0.
    pub streams: StreamCounts,
    /// Times and resets.
    pub metered: Metered,
    /// GOAWAYs as they came, by sender and code.
    pub goaways: BTreeMap<(Side, &'static str), u64>,
    /// Verdicts of connections that are over.
    pub endings: BTreeMap<Ending, u64>,
    /// Cancelled requests by reason and side.
    pub cancellations: BTreeMap<(Cause, Side), u64>,
    /// Requests that went away with their connection.
    pub died: u64,
    /// Octets that the capture lacks, by sender.
    pub lost: Both<u64>,
    /// Connections on which a limit was reached.
    pub hits: BTreeMap<Hit, u64>,
}

/// A verdict as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ending {
    /// `goaway`, `fin`, `rst` or `open`.
    pub how: &'static str,
    /// Who sent it.
    pub by: Option<Side>,
    /// The GOAWAY's code.
    pub code: Option<&'static str>,
    /// Where the chain began.
    pub cause: Cause,
    /// Who has to change something.
    pub blame: Blame,
}

/// Something that happened: an ending, or requests that were cancelled.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its connection.
    pub row: Arc<ConnectionRow>,
    /// What it is about.
    pub about: About,
    /// How many: 1, or the cancelled requests.
    pub count: u64,
}

/// Remembers what was counted.
#[derive(Debug, Default)]
pub struct Meter {
    known: HashMap<FlowId, Known>,
    totals: Totals,
}

#[derive(Debug)]
struct Known {
    row: Arc<ConnectionRow>,
    /// The last snapshot that had it.
    seen: u64,
    cancelled: BTreeMap<(Cause, Side), u64>,
    settled: bool,
}

impl Meter {
    /// What was counted until now.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Counts what is new in a snapshot, and tells of it.
    pub fn take(&mut self, snapshot: &Snapshot) -> Vec<Event> {
        let mut events = Vec::new();
        for row in &snapshot.board.connections {
            let known = self.known.get_mut(&row.flow);
            if let Some(known) = known {
                known.seen = snapshot.revision;
                if Arc::ptr_eq(&known.row, row) {
                    continue;
                }
                let before = std::mem::replace(&mut known.row, Arc::clone(row));
                self.totals.grow(row, Some(&before));
                self.totals.conclude(row, known, &mut events);
            } else {
                let mut known = Known {
                    row: Arc::clone(row),
                    seen: snapshot.revision,
                    cancelled: BTreeMap::new(),
                    settled: false,
                };
                self.totals.grow(row, None);
                self.totals.conclude(row, &mut known, &mut events);
                self.known.insert(row.flow, known);
            }
        }
        self.known.retain(|_, known| known.seen == snapshot.revision);
        events
    }
}

impl Totals {
    /// Adds what only grows.
    fn grow(&mut self, row: &ConnectionRow, before: Option<&ConnectionRow>) {
        let was = before.map(|row| row.streams).unwrap_or_default();
        let grown = |of: fn(&StreamCounts) -> u64| of(&row.streams).saturating_sub(of(&was));
        let streams = &mut self.streams;
        streams.opened += grown(|of| of.opened);
        streams.completed += grown(|of| of.completed);
        streams.cancelled += grown(|of| of.cancelled);
        streams.reset += grown(|of| of.reset);
        streams.refused += grown(|of| of.refused);
        if let Some(now) = &row.metered {
            let none = Metered::default();
            let before = before.and_then(|before| before.metered.as_deref()).unwrap_or(&none);
            self.metered.add_growth(now, before);
        }
        let spoke = before.is_some_and(|before| before.http2);
        self.connections += u64::from(row.http2 && !spoke);
        let told = before.map_or(0, |before| before.goaways.len());
        for goaway in row.goaways.iter().skip(told) {
            *self.goaways.entry((goaway.by, metered::label(goaway.code))).or_default() += 1;
        }
        for side in [Side::Client, Side::Server] {
            let was = before.map_or(0, |before| *before.lost_bytes.side(side));
            *self.lost.side_mut(side) += row.lost_bytes.side(side).saturating_sub(was);
        }
        let known = |hit| before.is_some_and(|before| before.hits.contains(hit));
        for hit in row.hits.iter().filter(|hit| !known(hit)) {
            *self.hits.entry(*hit).or_default() += 1;
        }
    }

    /// Adds what is judged.
    fn conclude(&mut self, row: &Arc<ConnectionRow>, known: &mut Known, events: &mut Vec<Event>) {
        self.cancels(row, known, events);
        if !row.settled || known.settled {
            return;
        }
        known.settled = true;
        self.died += row.died() as u64;
        for (about, ending) in endings(row) {
            *self.endings.entry(ending).or_default() += 1;
            events.push(Event { row: Arc::clone(row), about, count: 1 });
        }
    }

    /// While a connection goes on, another reason may be found for what was counted already: no
    /// more is added than was cancelled.
    fn cancels(&mut self, row: &Arc<ConnectionRow>, known: &mut Known, events: &mut Vec<Event>) {
        let all: u64 = row.cancellations.iter().map(|set| set.streams.len() as u64).sum();
        let mut room = all.saturating_sub(known.cancelled.values().sum());
        let mut now: BTreeMap<(Cause, Side), (u64, usize)> = BTreeMap::new();
        for (index, set) in row.cancellations.iter().enumerate() {
            let (sum, last) = now.entry((set.cause, set.by)).or_default();
            (*sum, *last) = (*sum + set.streams.len() as u64, index);
        }
        for (key, (sum, index)) in now {
            let counted = known.cancelled.entry(key).or_default();
            let fresh = sum.saturating_sub(*counted).min(room);
            if fresh > 0 {
                *counted += fresh;
                room -= fresh;
                *self.cancellations.entry(key).or_default() += fresh;
                let about = About::Cancellations(index);
                events.push(Event { row: Arc::clone(row), about, count: fresh });
            }
        }
    }
}

/// The verdicts of a connection that is over.
fn endings(row: &ConnectionRow) -> impl Iterator<Item = (About, Ending)> {
    let goaways = row.goaways.iter().enumerate();
    let goaways = goaways.filter(|(_, goaway)| goaway.follows.is_none()).map(|(index, goaway)| {
        let ending = Ending {
            how: "goaway",
            by: Some(goaway.by),
            code: Some(metered::label(goaway.code)),
            cause: goaway.verdict.cause,
            blame: goaway.verdict.blame,
        };
        (About::Goaway(index), ending)
    });
    let how = row.end.how.name();
    goaways.chain(row.end_verdict.iter().map(move |verdict| {
        let (by, code) = (row.end.by, None);
        (About::End, Ending { how, by, code, cause: verdict.cause, blame: verdict.blame })
    }))
}
