//! Flows that were not HTTP/2 until it is known which of them anybody misses.

use std::collections::{BTreeSet, VecDeque};

use crate::board::ConnectionRow;
use crate::pipeline::{OtherFlow, other};
use crate::vocab::address::Endpoint;
use crate::vocab::limits::Limits;

/// Flows that were not HTTP/2, within [`Limits::other_flows`].
#[derive(Debug)]
pub(super) struct Others {
    /// The latest: what serves HTTP/2 may still show.
    latest: VecDeque<OtherFlow>,
    /// Earlier ones that will be told.
    missed: Vec<OtherFlow>,
    /// How many others there were.
    passed: u64,
    /// As many as are kept of `latest` and of `missed`.
    most: usize,
    /// How many would be told and were not kept.
    beyond: u64,
}

impl Others {
    pub(super) fn within(limits: &Limits) -> Self {
        Self {
            latest: VecDeque::new(),
            missed: Vec::new(),
            passed: 0,
            most: limits.other_flows,
            beyond: 0,
        }
    }

    /// Another one; `servers` are those that are known so far.
    pub(super) fn push(&mut self, flow: OtherFlow, servers: &BTreeSet<Endpoint>) {
        self.latest.push_back(flow);
        if self.latest.len() <= self.most {
            return;
        }
        let Some(oldest) = self.latest.pop_front() else { return };
        let is_missed = other::is_missed(&oldest, servers);
        if is_missed && self.missed.len() < self.most {
            self.missed.push(oldest);
        } else {
            self.beyond += u64::from(is_missed);
            self.passed += 1;
        }
    }

    /// Takes in those of another shard.
    pub(super) fn merge(&mut self, other: Self) {
        self.latest.extend(other.latest);
        self.missed.extend(other.missed);
        self.passed += other.passed;
        self.beyond += other.beyond;
    }

    /// Rows in order of first sight, each with whether the connection was refused; how many flows
    /// nobody misses, and how many of the others were not kept.
    pub(super) fn into_rows(
        self,
        servers: &BTreeSet<Endpoint>,
    ) -> (Vec<(ConnectionRow, bool)>, u64, u64) {
        let told = self.missed.len() + self.latest.len();
        let flows = self.missed.into_iter().chain(self.latest);
        let rows = flows.filter_map(|flow| Some((other::row(&flow, servers)?, flow.refused)));
        let mut rows: Vec<_> = rows.collect();
        // Whichever ended first, and whichever shard had it: nobody must see that.
        rows.sort_by_cached_key(|(row, _)| row.flow);
        let unmissed = (told - rows.len()) as u64 + self.passed;
        (rows, unmissed, self.beyond)
    }
}
