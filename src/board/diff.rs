//! What changed between two reports, with the numbers behind each change and no word where they are
//! too small for one.
//!
//! Takes two digests, gives rows. Connections stand for themselves; requests on one connection
//! share its fate, so that what a connection takes with it is counted by connections.

mod measured;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::check::TIMEOUTS;
use super::digest::{Connection, Digest};
use super::odds;
use crate::vocab::text::count;

/// Two reports side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The first.
    pub before: Seen,
    /// The second.
    pub after: Seen,
    /// Why there is little to compare, a line for each side that lacks something.
    pub lacks: Vec<String>,
    /// What was compared, in the order of sections.
    pub rows: Vec<Row>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// What one of them is made of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Seen {
    /// Its captures.
    pub files: Vec<String>,
    /// HTTP/2 connections.
    pub connections: u64,
    /// Requests on them.
    pub requests: u64,
    /// Seconds from the first packet to the last.
    pub seconds: Option<f64>,
    /// TLS connections that could not be looked into.
    pub undecrypted: u64,
    /// Share of the traffic that the capture lacks.
    pub loss: f64,
}

/// One thing that was compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Where it belongs.
    pub section: Section,
    /// What it is.
    pub name: String,
    /// In the first report.
    pub before: Value,
    /// In the second.
    pub after: Value,
    /// What can be said of the change.
    pub change: Change,
    /// Probability of such a difference, or a greater one, by chance; where that was reckoned.
    pub by_chance: Option<f64>,
}

/// What rows are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// Why connections ended: connections.
    Endings,
    /// Who cancelled requests: requests.
    Cancellations,
    /// Connections that took requests with them.
    Victims,
    /// Timeouts that were measured.
    Timeouts,
    /// How long servers take.
    Answers,
    /// Settings that do not fit together.
    Conflicts,
    /// Rules of the protocol that were broken.
    Rules,
}

impl Section {
    /// A heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Endings => "Why connections went away",
            Self::Cancellations => "Cancelled requests",
            Self::Victims => "Connections that took requests with them",
            Self::Timeouts => "Timeouts measured",
            Self::Answers => "Answer times",
            Self::Conflicts => "Settings that do not fit together",
            Self::Rules => "Rules broken",
        }
    }
}

/// A number as it was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Value {
    /// Nothing.
    Absent,
    /// So many of all.
    Share {
        /// How many.
        count: u64,
        /// Of how many.
        of: u64,
        /// Where the share lies with 95 % confidence.
        low: f64,
        /// The upper end of that.
        high: f64,
        /// Requests behind it, where connections are counted.
        requests: Option<u64>,
    },
    /// So often.
    Count {
        /// How often.
        count: u64,
    },
    /// Timers of one kind.
    Timers {
        /// Their values.
        timers: Vec<Timer>,
    },
    /// A quantile of times.
    Span {
        /// Seconds.
        seconds: f64,
        /// Where it lies with 95 % confidence, where there are enough.
        range: Option<(f64, f64)>,
        /// Answers that it was taken from.
        samples: u64,
    },
}

/// A timer's value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Timer {
    /// Seconds.
    pub seconds: f64,
    /// Whether that is a lower bound.
    pub at_least: bool,
    /// Half the distance between the smallest and the largest sample.
    pub spread_seconds: f64,
    /// Samples.
    pub samples: u64,
    /// How sure, 0 to 1.
    pub confidence: f64,
}

/// What can be said of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It was there and is not any more.
    Gone,
    /// It was not there.
    New,
    /// More often.
    More,
    /// Less often.
    Less,
    /// Takes longer.
    Longer,
    /// Takes less time.
    Shorter,
    /// No difference shows.
    Alike,
    /// Too few on either side to say anything.
    TooFew,
    /// Seen in the first alone; that may be the traffic's doing.
    OnlyBefore,
    /// Seen in the second alone.
    OnlyAfter,
    /// Values that do not pair up.
    Several,
}

impl Change {
    /// In a word or two.
    pub fn word(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::New => "new",
            Self::More => "more",
            Self::Less => "less",
            Self::Longer => "longer",
            Self::Shorter => "shorter",
            Self::Alike => "no difference shown",
            Self::TooFew => "too few to tell",
            Self::OnlyBefore => "not seen again",
            Self::OnlyAfter => "not seen before",
            Self::Several => "several values",
        }
    }
}

/// Compares two reports.
pub fn compare(before: &Digest, after: &Digest) -> Comparison {
    let mut rows = endings(before, after);
    rows.extend(cancellations(before, after));
    rows.extend(victims(before, after));
    rows.extend(measured::timeouts(before, after));
    rows.extend(measured::answers(before, after));
    rows.extend(names(Section::Conflicts, before, after, |of, add| {
        of.conflicts.iter().for_each(|clash| add(&clash.rule));
    }));
    rows.extend(names(Section::Rules, before, after, |of, add| {
        let findings = of.connections.iter().flat_map(|connection| &connection.findings);
        findings.for_each(|finding| add(&finding.rule.id));
    }));
    let (seen_before, seen_after) = (seen(before), seen(after));
    if seen_before.connections.min(seen_after.connections) == 0 {
        // What was not looked at has not gone away.
        rows.iter_mut().for_each(|row| row.change = Change::TooFew);
    }
    let sides = [("before", &seen_before), ("after", &seen_after)];
    let lacks = sides.into_iter().filter_map(lacks).collect();
    let notes = notes(before, after);
    Comparison { before: seen_before, after: seen_after, lacks, rows, notes }
}

/// What one side lacks for a comparison.
fn lacks((name, seen): (&str, &Seen)) -> Option<String> {
    match (seen.connections, seen.requests) {
        (0, _) => Some(format!("{name} has no HTTP/2 connection: there is nothing to compare")),
        (_, 0) => Some(format!("{name} has no request: there are none to compare")),
        _ => None,
    }
}

fn seen(digest: &Digest) -> Seen {
    Seen {
        files: digest.captures.iter().map(|of| of.file.clone()).collect(),
        connections: digest.spoken().count() as u64,
        requests: digest.requests(),
        seconds: digest.seconds(),
        undecrypted: digest.dark() as u64,
        loss: digest.loss(),
    }
}

fn notes(before: &Digest, after: &Digest) -> Vec<String> {
    let mut notes = Vec::new();
    let both = [("before", before), ("after", after)];
    for (name, digest) in both {
        notes.extend(digest.unlisted().map(|what| format!("{name}: {what}, and not in this")));
        if digest.loss() > 0.0 {
            let share = super::check::percent(digest.loss());
            notes.push(format!("{name}: {share} of the traffic is missing from the capture"));
        }
        if digest.dark() > 0 {
            let are = if digest.dark() == 1 { "is" } else { "are" };
            let dark = count(digest.dark(), "connection");
            notes.push(format!("{name}: {dark} {are} TLS that was not decrypted"));
        }
    }
    // Answers that a timeout cut off are in no distribution.
    if both.iter().any(|(_, of)| of.sum(|of| of.streams.cancelled) > 0) {
        notes.push(
            "answer times are those of answers that came: cancelled requests have none".into(),
        );
    }
    notes
}

/// Chains of verdicts by connection.
fn endings(before: &Digest, after: &Digest) -> Vec<Row> {
    let count = |digest: &Digest| {
        let mut chains: BTreeMap<String, u64> = BTreeMap::new();
        for connection in &digest.connections {
            let own: BTreeSet<String> = connection.verdicts().map(|(_, of)| of.chain()).collect();
            own.into_iter().for_each(|chain| *chains.entry(chain).or_default() += 1);
        }
        chains
    };
    let all = (before.connections.len() as u64, after.connections.len() as u64);
    shares(Section::Endings, &count(before), &count(after), all)
}

/// Cancelled requests by cause and side. A reset without a reason of its own is in none of them.
fn cancellations(before: &Digest, after: &Digest) -> Vec<Row> {
    let ((first, requests), (second, requests_after)) = (before.cancelled(), after.cancelled());
    let all = (requests, requests_after);
    let (counts, counts_after) = (cancels(before), cancels(after));
    let streams = |of: &BTreeMap<String, Cancels>| -> BTreeMap<String, u64> {
        of.iter().map(|(name, cancels)| (name.clone(), cancels.streams)).collect()
    };
    let section = Section::Cancellations;
    let mut rows = shares(section, &streams(&counts), &streams(&counts_after), all);
    for row in &mut rows {
        let (own, other) = (counts.get(&row.name), counts_after.get(&row.name));
        if !own.or(other).is_some_and(|cancels| cancels.at_once) {
            continue;
        }
        let connections = |of: Option<&Cancels>| of.map_or(0, |cancels| cancels.connections);
        let hits = (connections(own), connections(other));
        let all = (before.connections.len() as u64, after.connections.len() as u64);
        let by_chance = odds::by_chance(hits.0, all.0, hits.1, all.1);
        row.change = of_shares((hits.0, all.0), (hits.1, all.1), by_chance);
        row.by_chance = Some(by_chance);
    }
    let name = "all cancelled requests".to_owned();
    let total = share_row(section, name, (first, all.0), (second, all.1));
    let told = rows.iter().any(|row| (&row.before, &row.after) == (&total.before, &total.after));
    if (first, second) != (0, 0) && !told {
        rows.push(total);
    }
    rows
}

/// Requests cancelled for one reason.
#[derive(Default)]
struct Cancels {
    streams: u64,
    connections: u64,
    /// Whether whoever did it did it to many at once: then connections count.
    at_once: bool,
}

fn cancels(digest: &Digest) -> BTreeMap<String, Cancels> {
    let mut causes: BTreeMap<String, Cancels> = BTreeMap::new();
    for connection in &digest.connections {
        let mut own: BTreeSet<String> = BTreeSet::new();
        let own_sets =
            connection.cancellations.iter().map(|set| (set, set.streams - set.passed_on()));
        for (set, streams) in own_sets.filter(|(_, streams)| *streams > 0) {
            let name = format!("{}, by the {}", set.cause, set.by);
            let sum = causes.entry(name.clone()).or_default();
            sum.streams = sum.streams.saturating_add(streams);
            sum.at_once = !TIMEOUTS.iter().any(|cause| cause.name() == set.cause);
            sum.connections += u64::from(own.insert(name));
        }
    }
    causes
}

/// One GOAWAY takes many requests: they are one event.
fn victims(before: &Digest, after: &Digest) -> Option<Row> {
    let died = |of: &Digest| {
        let connections = of.connections.iter().filter(|connection| connection.died() > 0);
        (connections.count() as u64, of.sum(Connection::died))
    };
    let ((killers, dead), (killers_after, dead_after)) = (died(before), died(after));
    if killers == 0 && killers_after == 0 {
        return None;
    }
    let all = (before.connections.len() as u64, after.connections.len() as u64);
    let name = "requests dead with their connection".to_owned();
    let mut row = share_row(Section::Victims, name, (killers, all.0), (killers_after, all.1));
    for (value, dead) in [(&mut row.before, dead), (&mut row.after, dead_after)] {
        if let Value::Share { requests, .. } = value {
            *requests = Some(dead);
        }
    }
    Some(row)
}

fn shares(
    section: Section,
    before: &BTreeMap<String, u64>,
    after: &BTreeMap<String, u64>,
    all: (u64, u64),
) -> Vec<Row> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let of = |counts: &BTreeMap<String, u64>, name: &String| counts.get(name).copied().unwrap_or(0);
    let row = |name: &String| {
        let (hits, hits_after) = (of(before, name), of(after, name));
        share_row(section, name.clone(), (hits, all.0), (hits_after, all.1))
    };
    let mut rows: Vec<Row> = names.into_iter().map(row).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.weight()));
    rows
}

fn share_row(section: Section, name: String, before: (u64, u64), after: (u64, u64)) -> Row {
    let value = |(hits, all): (u64, u64)| {
        // A connection may have more verdicts than one, and be left out of the requests.
        let (low, high) = odds::interval(hits, all.max(hits));
        Value::Share { count: hits, of: all.max(hits), low, high, requests: None }
    };
    let (of, of_after) = (before.1.max(before.0), after.1.max(after.0));
    let by_chance = odds::by_chance(before.0, of, after.0, of_after);
    let change = of_shares((before.0, of), (after.0, of_after), by_chance);
    let (before, after) = (value(before), value(after));
    Row { section, name, before, after, change, by_chance: Some(by_chance) }
}

/// What two shares say. Alike are those that many were looked at for, and that are near each other.
fn of_shares(before: (u64, u64), after: (u64, u64), by_chance: f64) -> Change {
    let share = |(hits, all): (u64, u64)| hits as f64 / all.max(1) as f64;
    let (first, second) = (share(before), share(after));
    if by_chance < SURE {
        return match (before.0, after.0) {
            (_, 0) => Change::Gone,
            (0, _) => Change::New,
            _ if second > first => Change::More,
            _ => Change::Less,
        };
    }
    let apart = first.max(second) > first.min(second) * 2.0;
    let few = before.1.min(after.1) < ENOUGH;
    if few || apart { Change::TooFew } else { Change::Alike }
}

/// Things that are there or not.
fn names(
    section: Section,
    before: &Digest,
    after: &Digest,
    each: impl Fn(&Digest, &mut dyn FnMut(&str)),
) -> Vec<Row> {
    let count = |digest: &Digest| {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        each(digest, &mut |name| *counts.entry(name.to_owned()).or_default() += 1);
        counts
    };
    let (before, after) = (count(before), count(after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let value = |count: Option<&u64>| match count {
        Some(count) => Value::Count { count: *count },
        None => Value::Absent,
    };
    let row = |name: &String| Row {
        section,
        name: name.clone(),
        before: value(before.get(name)),
        after: value(after.get(name)),
        change: match (before.contains_key(name), after.contains_key(name)) {
            (true, false) => Change::OnlyBefore,
            (false, _) => Change::OnlyAfter,
            (true, true) => Change::Alike,
        },
        by_chance: None,
    };
    names.into_iter().map(row).collect()
}

impl Row {
    fn weight(&self) -> u64 {
        let count = |value: &Value| match value {
            Value::Share { count, .. } => *count,
            _ => 0,
        };
        count(&self.before).max(count(&self.after))
    }
}

/// A difference that chance makes less often is told.
const SURE: f64 = 0.01;
/// Fewer on one side say nothing where no difference shows.
const ENOUGH: u64 = 30;

#[cfg(test)]
mod tests;
