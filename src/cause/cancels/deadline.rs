//! Requests that carry their deadline: `grpc-timeout` and the like. It is what was left of the
//! client's when the header was written: waiting for the connection, or for a free stream, was
//! taken off before.

use std::time::Duration;

use super::super::chance::round_value;
use super::{CancelGroup, MILLI, Waited, is_first, opened, timed};
use crate::track::history::History;
use crate::vocab::cause::Confidence;

/// Whether a reset came when the deadline of its request ran out: never before, within the time
/// that timers and the network take. The deadline was written down before the request left.
pub(super) fn is_at(span: Duration, deadline: Duration) -> bool {
    let early = deadline.mul_f64(0.02) + Duration::from_millis(60);
    let late = deadline.mul_f64(0.05) + Duration::from_millis(60);
    span + early >= deadline && span <= deadline + late
}

/// A request with what was left for it.
#[derive(Clone, Copy)]
struct Left {
    item: Waited,
    deadline: Duration,
    /// Nanoseconds since 1970.
    opened: Option<i64>,
    /// Whether it was sent in one go with others that had other deadlines: all of them had waited
    /// for that, and carry what was left.
    is_rest: bool,
}

/// Adds the groups of requests that were reset when their deadlines ran out.
pub(super) fn by_deadline(history: &History, items: Vec<Waited>, groups: &mut Vec<CancelGroup>) {
    let left = |item: Waited| {
        let deadline = history.resets.get(item.place)?.deadline?;
        Some(Left { item, deadline, opened: opened(history, &item), is_rest: false })
    };
    let mut items: Vec<Left> = items.into_iter().filter_map(left).collect();
    mark_rests(&mut items);
    items.sort_by_key(|of| (std::cmp::Reverse(of.deadline), of.item.place));
    let first: Vec<Duration> =
        items.iter().filter(|of| is_first(history, of.opened)).map(|of| of.deadline).collect();
    let steps = first.chunk_by(|a, b| *b >= a.mul_f64(0.98)).count();
    let mut found: Vec<(Duration, Vec<Waited>, Vec<Waited>)> = Vec::new();
    while let Some(longest) = items.first().copied() {
        let (same, rest): (Vec<_>, Vec<_>) =
            items.into_iter().partition(|of| is_of(history, &longest, of));
        items = rest;
        let odd = steps >= LADDER || round_value(longest.deadline).is_none();
        let waited = |of: &Left| of.is_rest || is_first(history, of.opened);
        let fresh = odd && same.iter().all(waited);
        let waited = same.iter().map(|of| of.item);
        match found.last_mut().filter(|_| fresh) {
            // A rest of no length that people set, of a call that waited for its connection.
            Some((.., late)) => late.extend(waited),
            None => {
                let near = |of: &&Left| is_near(&longest, of);
                let (core, late): (Vec<_>, Vec<_>) = same.iter().partition(near);
                let places = |of: Vec<&Left>| of.into_iter().map(|of| of.item).collect();
                found.push((longest.deadline, places(core), places(late)));
            }
        }
    }
    for (deadline, core, late) in found {
        let mut group = timed(&core, Confidence::CERTAIN, "the requests carry that deadline");
        group.places.extend(late.iter().map(|item| item.place));
        if let Some(timeout) = &mut group.timeout {
            timeout.seconds = round_value(deadline).unwrap_or(deadline).as_secs_f64();
            timeout.samples = group.places.len() as u32;
        }
        groups.push(group);
    }
}

/// Finds those that were sent in one go with deadlines of several odd lengths.
fn mark_rests(items: &mut [Left]) {
    items.sort_by_key(|of| (of.opened, of.deadline));
    for flight in items.chunk_by_mut(|a, b| a.opened == b.opened) {
        let odd = flight.iter().filter(|of| round_value(of.deadline).is_none());
        let mut lengths: Vec<Duration> = odd.map(|of| of.deadline).collect();
        lengths.sort_unstable();
        let steps = lengths.chunk_by(|a, b| *b <= a.mul_f64(1.002)).count();
        let rest = steps >= LADDER;
        flight.iter_mut().for_each(|of| of.is_rest = rest);
    }
}

/// Whether a request has the deadline of the one for which most is left.
fn is_of(history: &History, longest: &Left, of: &Left) -> bool {
    let less = longest.deadline.saturating_sub(of.deadline);
    let waited = of.opened.map(|at| at - history.first.at.0);
    let early = waited.is_some_and(|ns| i128::from(ns) <= less.as_nanos() as i128);
    // Calls of one moment that waited for a free stream end in one moment, too.
    let ends = |of: &Left| of.opened.map(|at| i128::from(at) + of.deadline.as_nanos() as i128);
    let at_once = ends(longest).zip(ends(of)).is_some_and(|(a, b)| a.abs_diff(b) <= MOMENT);
    is_near(longest, of) || at_once || (early && less <= longest.deadline.mul_f64(0.3))
}

fn is_near(longest: &Left, of: &Left) -> bool {
    longest.deadline.saturating_sub(of.deadline) <= longest.deadline.mul_f64(0.05) + MILLI * 20
}

/// So many lengths in the first flight are rests, whatever their values.
const LADDER: usize = 4;

/// Nanoseconds between the ends of two calls of one moment.
const MOMENT: u128 = 50_000_000;
