//! What is new in a snapshot, verdict by verdict: for those who watch without a screen.

use std::collections::HashMap;
use std::sync::Arc;

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
}

/// One thing that was told.
#[derive(Debug)]
struct Line {
    key: Key,
    number: u64,
    cause: Cause,
    settled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Goaway(usize),
    End,
    Cancellations(Cause, Side),
}

impl Teller {
    /// What is new since the last call, in the order of connections.
    pub fn tell(&mut self, snapshot: &Snapshot) -> Vec<Told> {
        let mut told = Vec::new();
        for row in &snapshot.board.connections {
            let known = self.known.entry(row.flow);
            let fresh = matches!(known, std::collections::hash_map::Entry::Vacant(_));
            let known =
                known.or_insert_with(|| Known { row: Arc::clone(row), seen: 0, lines: Vec::new() });
            known.seen = snapshot.revision;
            if !fresh && Arc::ptr_eq(&known.row, row) {
                continue;
            }
            known.row = Arc::clone(row);
            for (about, key, cause) in endings(row) {
                let before = known.lines.iter_mut().find(|line| line.key == key);
                let is_new = before
                    .as_ref()
                    .is_none_or(|line| line.cause != cause || (row.settled && !line.settled));
                if !is_new {
                    continue;
                }
                self.number += 1;
                let settles = before.as_ref().map(|line| line.number);
                let line = Line { key, number: self.number, cause, settled: row.settled };
                match before {
                    Some(before) => *before = line,
                    None => known.lines.push(line),
                }
                let (number, settled, row) = (self.number, row.settled, Arc::clone(row));
                told.push(Told { number, settles, settled, about, row });
            }
        }
        self.known.retain(|_, known| known.seen == snapshot.revision);
        told
    }
}

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
        let key = Key::Cancellations(set.cause, set.by);
        if !row.verdicts().any(|verdict| verdict.cause == set.cause) {
            found.push((About::Cancellations(index), key, set.cause));
        }
    }
    found
}
