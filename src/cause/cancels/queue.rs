//! Requests that waited inside the client for a free stream (RFC 9113 section 5.1.2): on the wire
//! they look younger than the client's clock says.

use std::time::Duration;

use super::{CancelGroup, Waited, burst};
use crate::track::history::{History, Reset};
use crate::vocab::address::Side;
use crate::vocab::cause::{Cause, Confidence};
use crate::vocab::setting::SettingId;

/// Streams that were freed by cancels while the server's limit was reached.
pub(super) struct Queue {
    /// When, ascending; empty where the limit was never reached.
    freed: Vec<i64>,
    /// Older ones had hardly waited: who asks again when a time is over gives each its whole time.
    oldest: Duration,
}

impl Queue {
    pub fn of(history: &History) -> Self {
        let settings = history.sides.second.settings.iter().flat_map(|sent| &sent.values);
        let limits = settings.filter(|(id, _)| *id == SettingId::MAX_CONCURRENT_STREAMS);
        let least = limits.map(|(_, value)| u64::from(*value)).min();
        let most = history.sides.first.most_open.map_or(0, |(most, ..)| most);
        let full = least.is_some_and(|limit| limit > 0 && most >= limit);
        let mut freed: Vec<i64> = if full {
            history.cancels().map(|reset| reset.stamp.at.0).collect()
        } else {
            Vec::new()
        };
        freed.sort_unstable();
        let ages = || history.cancels().filter_map(Reset::age);
        let oldest = ages().max().unwrap_or_default().mul_f64(0.6);
        // Of an attack hardly any request waits at all.
        let waited = ages().filter(|age| *age > oldest).count();
        if oldest < WAITED || waited * MOST < ages().count() {
            freed.clear();
        }
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

/// From here on a timer is known.
const SURE: Confidence = Confidence::LIKELY;

/// Requests younger than this had waited for nothing, however old they look.
const WAITED: Duration = Duration::from_millis(100);

/// So many queue behind each that runs at most.
const MOST: usize = 10;

/// Nanoseconds within which the next request is sent when a stream is free.
const AT_ONCE: i64 = 3_000_000;
