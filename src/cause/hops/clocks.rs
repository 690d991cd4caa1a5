//! How the clocks of several captures differ, as requests tell that are in both of them.
//!
//! A request is sent on after it came, a cancel too; a failure goes the other way. Each bounds
//! what has to be added to the times of one capture to fit the other's.

use std::collections::BTreeMap;

use crate::vocab::address::Side;
use crate::vocab::time::Stamp;

use super::{CLOCKS_APART, Request, contradict};

/// What to add to the times of each capture to fit the first one's, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Clocks(BTreeMap<usize, i64>);

/// Bounds of an offset.
#[derive(Clone, Copy, Default)]
struct Bounds {
    least: Option<i64>,
    most: Option<i64>,
}

impl Bounds {
    fn at_least(&mut self, bound: i64) {
        self.least = Some(self.least.map_or(bound, |old| old.max(bound)));
    }

    fn at_most(&mut self, bound: i64) {
        self.most = Some(self.most.map_or(bound, |old| old.min(bound)));
    }

    /// The middle; without one of them the other, for what is sent on is sent on at once. What
    /// clocks differ by anyway counts as nothing.
    fn value(self) -> i64 {
        let value = match (self.least, self.most) {
            (Some(least), Some(most)) if least <= most => least + (most - least) / 2,
            (Some(bound), _) | (None, Some(bound)) => bound,
            (None, None) => 0,
        };
        if value.abs() <= CLOCKS_APART { 0 } else { value }
    }
}

impl Clocks {
    /// From requests that share an identifier.
    pub(super) fn of<'a>(requests: &[Request], groups: impl Iterator<Item = &'a [usize]>) -> Self {
        let mut bounds: BTreeMap<(usize, usize), Bounds> = BTreeMap::new();
        for group in groups {
            // Two of a name are one request on both sides; more may be anything.
            let [one, other] = group else { continue };
            let (Some(one), Some(other)) = (requests.get(*one), requests.get(*other)) else {
                continue;
            };
            let captures = (one.of.opened.capture(), other.of.opened.capture());
            let same = one.of.mark.path == other.of.mark.path;
            if captures.0 == captures.1
                || !same
                || one.server == other.server
                || contradict(&one.of.mark, &other.of.mark)
            {
                continue;
            }
            let Some((front, back)) = direction(one, other) else { continue };
            note(&mut bounds, front, back);
        }
        Self::chained(&bounds)
    }

    /// Captures that are known against the first one, and through others that are.
    fn chained(bounds: &BTreeMap<(usize, usize), Bounds>) -> Self {
        let mut known = BTreeMap::from([(0, 0)]);
        for _ in 0..bounds.len() {
            for ((low, high), of) in bounds {
                match (known.get(low).copied(), known.get(high).copied()) {
                    (Some(low), None) => _ = known.insert(*high, low + of.value()),
                    (None, Some(high)) => _ = known.insert(*low, high - of.value()),
                    _ => {}
                }
            }
        }
        known.retain(|_, offset| *offset != 0);
        Self(known)
    }

    /// A time by the first capture's clock.
    pub(super) fn common(&self, stamp: Stamp) -> i64 {
        stamp.at.0.saturating_add(self.offset(stamp.capture()))
    }

    /// What to add to the times of a capture, in nanoseconds.
    pub fn offset(&self, capture: usize) -> i64 {
        self.0.get(&capture).copied().unwrap_or(0)
    }

    /// Nanoseconds from `a` to `b`.
    pub(super) fn apart(&self, a: Stamp, b: Stamp) -> i64 {
        self.common(b).saturating_sub(self.common(a))
    }
}

/// Which of two came to the proxy: it went where the other comes from, or carries less of what
/// proxies add.
pub(super) fn direction<'a>(
    one: &'a Request,
    other: &'a Request,
) -> Option<(&'a Request, &'a Request)> {
    let to = one.server.ip == other.client.ip;
    let from = other.server.ip == one.client.ip;
    let more = other.of.mark.forwarded.cmp(&one.of.mark.forwarded);
    match (to, from, more) {
        (true, false, _) => Some((one, other)),
        (false, true, _) => Some((other, one)),
        (.., std::cmp::Ordering::Greater) => Some((one, other)),
        (.., std::cmp::Ordering::Less) => Some((other, one)),
        _ => None,
    }
}

/// Notes what a request says of both clocks: `front + 0 <= back + offset` and the like, where the
/// offset belongs to the capture with the higher index.
fn note(bounds: &mut BTreeMap<(usize, usize), Bounds>, front: &Request, back: &Request) {
    let (a, b) = (front.of.opened.capture(), back.of.opened.capture());
    let bounds = bounds.entry((a.min(b), a.max(b))).or_default();
    let mut before = |first: Stamp, then: Stamp| {
        // `first` is in truth before `then`.
        match first.capture() < then.capture() {
            true => bounds.at_least(first.at.0.saturating_sub(then.at.0)),
            false => bounds.at_most(then.at.0.saturating_sub(first.at.0)),
        }
    };
    before(front.of.opened, back.of.opened);
    match (front.of.by, back.of.by) {
        (Side::Client, Side::Client) => before(front.of.at, back.of.at),
        (Side::Server, Side::Server) => before(back.of.at, front.of.at),
        _ => {}
    }
}
