//! Requests that waited inside the client, for the connection or for a free stream (RFC 9113
//! section 5.1.2): on the wire they look younger than the client's clock says.

use std::time::Duration;

use super::{CancelGroup, Waited, burst, opened};
use crate::track::history::{History, Reset};
use crate::vocab::address::Side;
use crate::vocab::cause::{Cause, Confidence};

/// Streams that were freed by cancels while the server's limit was reached.
pub(super) struct Queue {
    /// When, ascending; empty where the limit was never reached.
    freed: Vec<i64>,
    /// Those that grew older hardly waited before: who only asks again when a time is over gives
    /// each its whole time.
    oldest: Duration,
}

impl Queue {
    pub fn of(history: &History) -> Self {
        let ages = || history.cancels().filter_map(Reset::age);
        let oldest = ages().max().unwrap_or_default().mul_f64(0.6);
        // Of an attack hardly any request waits at all.
        let waited = ages().filter(|age| *age > oldest).count();
        let attack = oldest < WAITED || waited * MOST < ages().count();
        let queues = history.reached_stream_limit() && !attack;
        let freed = history.cancels().filter(|_| queues).map(|reset| reset.stamp.at.0);
        let mut freed: Vec<i64> = freed.collect();
        freed.sort_unstable();
        Self { freed, oldest }
    }

    /// Whether a request was sent as soon as a cancel had made room for it.
    pub fn held_back(&self, reset: &Reset) -> bool {
        let young = reset.by == Side::Client && reset.age().is_some_and(|age| age <= self.oldest);
        let Some(opened) = reset.opened.filter(|_| young) else { return false };
        let before = self.freed.partition_point(|at| *at <= opened.at.0);
        let last = before.checked_sub(1).and_then(|place| self.freed.get(place));
        last.is_some_and(|at| opened.at.0 - at <= AT_ONCE)
    }
}

/// Gives them to the timer that most of the others show; alone they show that there is one.
pub(super) fn join_queued(history: &History, groups: &mut Vec<CancelGroup>, items: Vec<Waited>) {
    if items.is_empty() {
        return;
    }
    doubt_batches(history, groups);
    let timed = |group: &&mut CancelGroup| {
        group.by == Side::Client && group.timeout.is_some() && group.confidence >= SURE
    };
    let oldest = items.iter().map(|item| item.span).max().unwrap_or_default();
    let longer = |group: &&mut CancelGroup| {
        let seconds = group.timeout.as_ref().map_or(0.0, |timeout| timeout.seconds);
        oldest <= Duration::try_from_secs_f64(seconds * 1.05).unwrap_or_default()
    };
    let known = groups.iter_mut().filter(timed).filter(longer).max_by_key(|g| g.places.len());
    match known {
        Some(group) => group.places.extend(items.iter().map(|item| item.place)),
        None => {
            let told_by = "they had waited for a free stream, for how long is not known";
            let group = burst(&items, Confidence::POSSIBLE, told_by);
            groups.push(CancelGroup { cause: Cause::ClientRequestTimeout, ..group });
        }
    }
}

/// What was sent while the limit was reached had perhaps waited, too: one batch of such requests
/// measures no timer.
fn doubt_batches(history: &History, groups: &mut [CancelGroup]) {
    let Some((_, full, _)) = history.sides.first.most_open else { return };
    for group in groups.iter_mut().filter(|group| group.by == Side::Client) {
        let behind = |reset: &Reset| reset.opened.is_some_and(|opened| full.before(opened));
        let clear = group.confidence >= Confidence::new(0.9) || group.timeout.is_none();
        if !clear && group.resets(history).all(behind) {
            group.timeout = None;
            group.confidence = group.confidence.and(Confidence::POSSIBLE);
        }
    }
}

/// Requests of a connection's first flight had waited for it: those that were given up before they
/// were as old as a timer that many others show, by which they were begun before they could be
/// sent, ended by that. Returns the others.
pub(super) fn join_first_flight(
    history: &History,
    groups: &mut [CancelGroup],
    items: Vec<Waited>,
) -> Vec<Waited> {
    let many = |group: &&mut CancelGroup| group.by == Side::Client && group.places.len() >= MANY;
    let mut timers: Vec<&mut CancelGroup> = groups.iter_mut().filter(many).collect();
    timers.retain(|group| group.timeout.is_some() && group.confidence >= Confidence::new(0.9));
    let stays = |item: &Waited| {
        let fits = |group: &&mut &mut CancelGroup| {
            let seconds = group.timeout.as_ref().map_or(0.0, |timeout| timeout.seconds);
            let age = item.span.as_secs_f64();
            age < seconds && age * 3.0 >= seconds
        };
        let first = is_first(history, opened(history, item));
        match timers.iter_mut().find(fits).filter(|_| first) {
            Some(group) => group.places.push(item.place),
            None => return true,
        }
        false
    };
    items.into_iter().filter(stays).collect()
}

/// Whether a request was sent with the first ones of its connection, which had waited for that:
/// `opened` are nanoseconds since 1970.
pub(super) fn is_first(history: &History, opened: Option<i64>) -> bool {
    let begun = history.sides.first.preface.map(|preface| preface.at.0);
    begun.zip(opened).is_some_and(|(begun, at)| at - begun <= FLIGHT)
}

/// Nanoseconds that the first requests may take to be written.
const FLIGHT: i64 = 100_000_000;

/// From here on a timer is known.
const SURE: Confidence = Confidence::LIKELY;

/// Where all were given up younger than this, none waited for another.
const WAITED: Duration = Duration::from_millis(100);

/// So many queue behind each that runs at most.
const MOST: usize = 10;

/// Nanoseconds within which the next request is sent when a stream is free.
const AT_ONCE: i64 = 3_000_000;

/// A timer that so many show.
const MANY: usize = 5;
