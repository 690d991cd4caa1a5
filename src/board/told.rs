//! What is new in a snapshot, verdict by verdict: for those who watch without a screen.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::ConnectionRow;
use super::snapshot::Snapshot;
use crate::vocab::address::Side;
use crate::vocab::cause::Cause;
use crate::vocab::flow::FlowId;
use crate::vocab::time::Timestamp;
use crate::vocab::verdict::{Cancellation, Verdict};

/// Something to tell.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its number, from 1.
    pub number: u64,
    /// The number of what was told before of the same, where anything was: this takes its place.
    pub settles: Option<u64>,
    /// Whether it stands: the connection is over.
    pub settled: bool,
    /// What it is about.
    pub about: About,
    /// Its connection as it stands.
    pub row: Arc<ConnectionRow>,
}

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The GOAWAY with this index.
    Goaway(usize),
    /// The end, which no GOAWAY announced.
    End,
    /// The cancellations with this index.
    Cancellations(usize),
}

impl Told {
    /// The verdict, where it is about an ending.
    pub fn verdict(&self) -> Option<&Verdict> {
        match self.about {
            About::Goaway(index) => self.row.goaways.get(index).map(|goaway| &goaway.verdict),
            About::End => self.row.end_verdict.as_ref(),
            About::Cancellations(_) => None,
        }
    }

    /// Packet time of what it is about.
    pub fn at(&self) -> Timestamp {
        let row = &self.row;
        let stamp = match self.about {
            About::Goaway(index) => row.goaways.get(index).map(|goaway| goaway.stamp),
            About::End => row.end.stamp,
            About::Cancellations(_) => self.cancellation().map(|set| set.last),
        };
        stamp.unwrap_or(row.last).at
    }

    /// The cancellations, where it is about those.
    pub fn cancellation(&self) -> Option<&Cancellation> {
        match self.about {
            About::Cancellations(index) => self.row.cancellations.get(index),
            About::Goaway(_) | About::End => None,
        }
    }
}

/// Remembers what was told.
#[derive(Debug, Default)]
pub struct Teller {
    known: HashMap<FlowId, Known>,
    number: u64,
}

#[derive(Debug)]
struct Known {
    row: Arc<ConnectionRow>,
    /// Whether its flow was in the last snapshot.
    seen: u64,
    lines: Vec<Line>,
    /// Whether more streams were cancelled than was told.
    waits: bool,
}

/// One thing that was told.
#[derive(Debug)]
struct Line {
    key: Key,
    number: u64,
    cause: Cause,
    settled: bool,
    /// Streams it told of, where it is about cancellations.
    streams: usize,
    /// Packet time when it was told.
    at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Goaway(usize),
    End,
    /// Which of those of this cause and side.
    Cancellations(Cause, Side, usize),
}

impl Teller {
    /// What is new since the last call, in the order of connections.
    pub fn tell(&mut self, snapshot: &Snapshot) -> Vec<Told> {
        let mut told = Vec::new();
        for row in &snapshot.board.connections {
            let known = self.known.entry(row.flow);
            let fresh = matches!(known, std::collections::hash_map::Entry::Vacant(_));
            let known = known.or_insert_with(|| Known {
                row: Arc::clone(row),
                seen: 0,
                lines: Vec::new(),
                waits: false,
            });
            known.seen = snapshot.revision;
            if !fresh && !known.waits && Arc::ptr_eq(&known.row, row) {
                continue;
            }
            known.row = Arc::clone(row);
            let now = snapshot.latest.map_or(row.last.at, |latest| latest.max(row.last.at));
            told.extend(known.news(now, &mut self.number));
        }
        self.known.retain(|_, known| known.seen == snapshot.revision);
        told
    }
}

impl Known {
    /// What is new of this connection.
    fn news(&mut self, now: Timestamp, last_number: &mut u64) -> Vec<Told> {
        let row = &self.row;
        let (settled, mut told) = (row.settled, Vec::new());
        let found = endings(row);
        self.waits = false;
        for (about, key, cause) in &found {
            let streams = match about {
                About::Cancellations(index) => row.cancellations.get(*index),
                About::Goaway(_) | About::End => None,
            };
            let streams = streams.map_or(0, |set| set.streams.len());
            let before = self.lines.iter().position(|line| line.key == *key).or_else(|| {
                // What was told of cancellations that now have another reason.
                let gone = |line: &Line| !found.iter().any(|(_, key, _)| line.key == *key);
                self.lines.iter().position(|line| line.key.is_of_streams() && gone(line))
            });
            let line = Line { key: *key, number: 0, cause: *cause, settled, streams, at: now };
            let old = before.and_then(|place| self.lines.get(place));
            let is_new = old.is_none_or(|old| {
                old.cause != *cause || old.key != *key || (settled && !old.settled)
            });
            let has_grown = old.is_some_and(|old| streams > old.streams);
            let is_due = old.is_some_and(|old| now.since(old.at) >= GROWN_EVERY);
            let is_told = is_new || (has_grown && is_due);
            if !is_told {
                self.waits |= has_grown;
                continue;
            }
            *last_number += 1;
            let number = *last_number;
            let settles = old.map(|old| old.number);
            let line = Line { number, ..line };
            match before.and_then(|place| self.lines.get_mut(place)) {
                Some(before) => *before = line,
                None => self.lines.push(line),
            }
            told.push(Told { number, settles, settled, about: *about, row: Arc::clone(row) });
        }
        told
    }
}

impl Key {
    fn is_of_streams(self) -> bool {
        matches!(self, Self::Cancellations(..))
    }
}

/// Packet time between two lines that tell how many streams were cancelled by now.
const GROWN_EVERY: Duration = Duration::from_secs(5);

/// What a connection has to tell. Cancellations only where the connection itself has no say in
/// them yet: a verdict that they led to tells them.
fn endings(row: &ConnectionRow) -> Vec<(About, Key, Cause)> {
    let mut found = Vec::new();
    for (index, goaway) in row.goaways.iter().enumerate() {
        if goaway.follows.is_none() {
            found.push((About::Goaway(index), Key::Goaway(index), goaway.verdict.cause));
        }
    }
    if let Some(verdict) = &row.end_verdict {
        found.push((About::End, Key::End, verdict.cause));
    }
    for (index, set) in row.cancellations.iter().enumerate() {
        let apart = row.cancelled_apart().any(|of| std::ptr::eq(of, set));
        // One stream alone shows no more than that it was cancelled: others may tell why.
        let alone = set.cause == Cause::ClientCancelBurst && set.streams.len() < 2;
        if apart && (!alone || row.settled) {
            // Of sets of one kind, which come and go while more is seen, the largest stands for
            // all until the connection is over.
            let larger = |(at, of): &(usize, &Cancellation)| {
                let size = of.streams.len();
                let first = size == set.streams.len() && *at < index;
                (of.cause, of.by) == (set.cause, set.by) && (size > set.streams.len() || first)
            };
            let nth = row.cancellations.iter().enumerate().filter(larger).count();
            if nth > 0 && !row.settled {
                continue;
            }
            found.push((
                About::Cancellations(index),
                Key::Cancellations(set.cause, set.by, nth),
                set.cause,
            ));
        }
    }
    found
}
