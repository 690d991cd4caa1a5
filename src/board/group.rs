//! Connections that went away alike, so that twenty of them read as one.
//!
//! Takes the board's rows, gives groups of row indices. Never alters a verdict.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::{ConnectionRow, EndHow};
use crate::vocab::address::{Endpoint, Side};
use crate::vocab::cause::{Blame, Cause};
use crate::vocab::error_code::ErrorCode;
use crate::vocab::verdict::{Timeout, Verdict};

/// How a connection fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// It went away, and somebody has to change something or requests died with it.
    Trouble,
    /// It lived on or ended in good order, but streams were cancelled or left without an answer, or
    /// rules were broken.
    Scratched,
    /// Nothing to tell.
    Orderly,
}

/// Connections that went away alike.
#[derive(Clone, Debug)]
pub struct Group {
    /// How they fared.
    pub standing: Standing,
    /// Indices into the board's connections, in order; never empty.
    pub members: Vec<usize>,
    /// Requests that were cancelled or died, over all members.
    pub victims: usize,
}

/// What has to be equal for two connections to be told as one.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    standing: Standing,
    server: Endpoint,
    http2: bool,
    tls: Option<bool>,
    end: (EndHow, Option<Side>),
    code: Option<ErrorCode>,
    verdict: Option<(Cause, Cause, Blame, &'static str, Option<&'static str>)>,
    timeout: Option<(Cause, Option<i64>)>,
    cancelled_for: Vec<Cause>,
    broken: Vec<&'static str>,
}

impl ConnectionRow {
    /// The verdict that tells most: of the first GOAWAY that somebody has to answer for, else of
    /// the first GOAWAY, else of the end.
    pub fn lead(&self) -> Option<&Verdict> {
        let own = self.own_goaways();
        let own = own.map(|goaway| &goaway.verdict);
        lead(own, self.end_verdict.as_ref(), |verdict| verdict.blame != Blame::None)
    }

    /// Requests that went away with it, as its lead has them.
    pub fn died(&self) -> usize {
        self.lead().map_or(0, Verdict::died)
    }

    /// How it fared.
    pub fn standing(&self) -> Standing {
        let troubled = self.lead().is_some_and(|verdict| {
            // What a client drops when it is done, it may not miss.
            let left = verdict.died() > 0 && verdict.cause != Cause::ClientShutdown;
            verdict.blame != Blame::None || left
        });
        if troubled {
            Standing::Trouble
        } else if self.victims() > 0 || self.streams.timed_out > 0 || !self.findings.is_empty() {
            Standing::Scratched
        } else {
            Standing::Orderly
        }
    }

    /// Requests that were cancelled or died.
    pub fn victims(&self) -> usize {
        let cancelled: usize = self.cancellations.iter().map(|set| set.streams.len()).sum();
        cancelled.saturating_add(self.died())
    }

    fn key(&self) -> Key {
        let mut broken: Vec<_> = self.findings.iter().map(|finding| finding.rule.id).collect();
        broken.sort_unstable();
        broken.dedup();
        Key {
            standing: self.standing(),
            server: self.server,
            http2: self.http2,
            tls: self.tls.as_ref().map(|tls| tls.decrypted),
            end: (self.end.how, self.end.by),
            code: self.goaways.first().map(|goaway| goaway.code),
            verdict: self.lead().map(|verdict| {
                let rule = verdict.rule.map(|rule| rule.id);
                (verdict.cause, verdict.trigger, verdict.blame, verdict.confidence.word(), rule)
            }),
            timeout: self.lead().and_then(|verdict| verdict.timeout.as_ref()).map(rounded),
            cancelled_for: self.cancellations.iter().map(|set| set.cause).collect(),
            broken,
        }
    }
}

/// Of a connection's own GOAWAYs and the end that none announced, the verdict that tells most.
pub(super) fn lead<'a, V>(
    mut own: impl Iterator<Item = &'a V> + Clone,
    end: Option<&'a V>,
    guilty: impl Fn(&V) -> bool,
) -> Option<&'a V> {
    let first = own.clone().next();
    own.find(|verdict| guilty(verdict)).or(first).or(end)
}

/// Timeouts of one configured value measure alike; a lower bound says nothing about the value.
fn rounded(timeout: &Timeout) -> (Cause, Option<i64>) {
    let steps = (timeout.seconds.max(0.001).ln() * STEPS_PER_E).round();
    (timeout.kind, (!timeout.at_least).then_some(steps as i64))
}

/// Groups of `rows` (indices with their rows), the most troubled first.
pub fn groups<'a>(rows: impl Iterator<Item = (usize, &'a ConnectionRow)>) -> Vec<Group> {
    let mut places: HashMap<Key, usize> = HashMap::new();
    let mut groups: Vec<Group> = Vec::new();
    for (index, row) in rows {
        let place = *places.entry(row.key()).or_insert(groups.len());
        if let Some(group) = groups.get_mut(place) {
            group.members.push(index);
            group.victims = group.victims.saturating_add(row.victims());
        } else {
            let standing = row.standing();
            groups.push(Group { standing, members: vec![index], victims: row.victims() });
        }
    }
    groups.sort_by_key(|group| (group.standing, Reverse(group.victims)));
    groups
}

/// Steps of 20 %.
const STEPS_PER_E: f64 = 5.0;
