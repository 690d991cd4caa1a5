//! Timeouts and answer times of two reports.

use std::collections::{BTreeMap, BTreeSet};

use super::{Change, Row, Section, Timer, Value};
use crate::board::ServerTimes;
use crate::board::digest::{Digest, Measured};

/// Timers by kind and place: captures on two days have other ports.
pub(super) fn timeouts(before: &Digest, after: &Digest) -> Vec<Row> {
    let (before, after) = (timers(before), timers(after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let value = |timers: Option<&Vec<Timer>>| match timers {
        Some(timers) => Value::Timers { timers: timers.clone() },
        None => Value::Absent,
    };
    let row = |name: &String| {
        let (first, second) = (before.get(name), after.get(name));
        let change = match (first.map(Vec::as_slice), second.map(Vec::as_slice)) {
            (Some([first]), Some([second])) => of_timers(first, second),
            (Some(_), Some(_)) => Change::Several,
            (Some(_), None) => Change::OnlyBefore,
            (None, _) => Change::OnlyAfter,
        };
        let (before, after) = (value(first), value(second));
        let name = name.clone();
        Row { section: Section::Timeouts, name, before, after, change, by_chance: None }
    };
    names.into_iter().map(row).collect()
}

/// Values that lie near each other are one timer.
fn timers(digest: &Digest) -> BTreeMap<String, Vec<Timer>> {
    let mut sorted: Vec<&Measured> = digest.inferred_timeouts.iter().collect();
    sorted.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let mut found: BTreeMap<String, Vec<Timer>> = BTreeMap::new();
    for of in sorted {
        let name = format!("{}, set in the {}", of.kind, of.configured_in);
        let timers = found.entry(name).or_default();
        let near = timers.last_mut().filter(|last| {
            last.at_least == of.at_least && of.seconds <= last.seconds * (1.0 + NEAR)
        });
        match near {
            Some(last) => {
                last.samples = last.samples.saturating_add(of.samples);
                let reach = (of.seconds - last.seconds) + of.spread_seconds;
                last.spread_seconds = last.spread_seconds.max(reach);
                last.confidence = last.confidence.max(of.confidence);
            }
            None => timers.push(Timer {
                seconds: of.seconds,
                at_least: of.at_least,
                spread_seconds: of.spread_seconds,
                samples: of.samples,
                confidence: of.confidence,
            }),
        }
    }
    found
}

fn of_timers(before: &Timer, after: &Timer) -> Change {
    let unsure = |of: &Timer| of.at_least || of.confidence < LIKELY;
    if unsure(before) || unsure(after) {
        return Change::TooFew;
    }
    let apart = (before.seconds - after.seconds).abs();
    let near = before.seconds.max(after.seconds) * NEAR;
    match apart > near.max(before.spread_seconds + after.spread_seconds) {
        true if after.seconds > before.seconds => Change::Longer,
        true => Change::Shorter,
        false => Change::Alike,
    }
}

/// Answer times by kind of request, and by server.
pub(super) fn answers(before: &Digest, after: &Digest) -> Vec<Row> {
    let single = before.server_answers.len() <= 1 && after.server_answers.len() <= 1;
    let (before, after) = (times(before, single), times(after, single));
    let mut rows = Vec::new();
    for Times { name, times: first, only } in &before {
        let Some(Times { times: second, only: only_after, .. }) =
            after.iter().find(|other| other.name == *name)
        else {
            // The kinds of request are the traffic's, not the server's.
            continue;
        };
        // Of one kind of request, the kind says more.
        if only.is_some() && only == only_after {
            continue;
        }
        if first.count == 0 && second.count == 0 {
            continue;
        }
        let median = |of: &ServerTimes| (of.median, of.median_range, of.count);
        let slowest = |of: &ServerTimes| (of.p99, of.p99_range, of.count);
        rows.push(span_row(format!("{name}: median"), median(first), median(second)));
        if first.count.min(second.count) >= ENOUGH_FOR_P99 {
            rows.push(span_row(format!("{name}: p99"), slowest(first), slowest(second)));
        }
    }
    rows
}

/// Times under a name.
struct Times<'a> {
    name: String,
    times: &'a ServerTimes,
    /// Of a server, the only kind of request that it answered.
    only: Option<&'a str>,
}

/// Times by name; of several servers, kinds are told by server where more than one has them.
fn times(digest: &Digest, single: bool) -> Vec<Times<'_>> {
    let mut found = Vec::new();
    for server in &digest.server_answers {
        let name = if single { "all requests".to_owned() } else { server.server.clone() };
        let count = server.times.count;
        let only = server.requests.iter().find(|kind| kind.times.count == count);
        let only = only.map(|kind| kind.request.as_str());
        found.push(Times { name, times: &server.times, only });
        for kind in &server.requests {
            let elsewhere = |of: &&crate::board::digest::Answered| {
                of.server != server.server
                    && of.requests.iter().any(|other| other.request == kind.request)
            };
            let name = match digest.server_answers.iter().any(|of| elsewhere(&of)) {
                true => format!("{} {}", server.server, kind.request),
                false => kind.request.clone(),
            };
            found.push(Times { name, times: &kind.times, only: None });
        }
    }
    found
}

type Quantile = (f64, Option<(f64, f64)>, u64);

fn span_row(name: String, before: Quantile, after: Quantile) -> Row {
    let value = |(seconds, range, samples): Quantile| match samples {
        0 => Value::Absent,
        _ => Value::Span { seconds, range, samples },
    };
    let change = match (before.1, after.1) {
        (Some(first), Some(second)) => of_ranges(first, second),
        _ => Change::TooFew,
    };
    let (before, after) = (value(before), value(after));
    Row { section: Section::Answers, name, before, after, change, by_chance: None }
}

/// Ranges that do not meet differ, by more than the resolution of what they were taken from.
fn of_ranges(before: (f64, f64), after: (f64, f64)) -> Change {
    if after.0 > before.1 * (1.0 + RESOLUTION) {
        Change::Longer
    } else if before.0 > after.1 * (1.0 + RESOLUTION) {
        Change::Shorter
    } else {
        Change::Alike
    }
}

/// Timers of one configured value measure within this.
const NEAR: f64 = 0.06;
/// Answer times are known to about 5 % on each side.
const RESOLUTION: f64 = 0.1;
/// Of fewer, the slowest hundredth is one or two.
const ENOUGH_FOR_P99: u64 = 200;
const LIKELY: f64 = 0.6;
