//! How the clocks of several captures differ, as requests tell that are in both of them.
//!
//! A request is sent on after it came, a cancel too; a failure goes the other way. Each bounds
//! what has to be added to the times of one capture to fit the other's. What most of them say
//! counts; a few say too little to be told, and where most do not agree nothing is known.

use std::collections::BTreeMap;

use crate::vocab::address::Side;
use crate::vocab::clock::{CLOCKS_APART, ClockOffset, EVENTS_TOLD, middle};
use crate::vocab::time::Stamp;

use super::{Request, contradict};

/// What to add to the times of each capture to fit the first one's.
#[derive(Clone, Debug, Default)]
pub struct Clocks(BTreeMap<usize, Known>);

#[derive(Clone, Copy, Debug)]
struct Known {
    /// Nanoseconds.
    offset: i64,
    /// Events that agree on it.
    events: usize,
}

/// What one event says of an offset, in nanoseconds.
#[derive(Clone, Copy)]
enum Says {
    AtLeast(i64),
    AtMost(i64),
}

impl Says {
    fn value(self) -> i64 {
        match self {
            Self::AtLeast(value) | Self::AtMost(value) => value,
        }
    }
}

impl Clocks {
    /// From requests that share an identifier.
    pub(super) fn of<'a>(requests: &[Request], groups: impl Iterator<Item = &'a [usize]>) -> Self {
        let mut said: BTreeMap<(usize, usize), Vec<Says>> = BTreeMap::new();
        for group in groups {
            // Two of a name are one request on both sides; more may be anything.
            let [one, other] = group else { continue };
            let (Some(one), Some(other)) = (requests.get(*one), requests.get(*other)) else {
                continue;
            };
            let captures = (one.of.opened.capture(), other.of.opened.capture());
            // Proxies rewrite paths; a trace that occurs twice is one request all the same.
            let (of_one, of_other) = (&one.of.mark, &other.of.mark);
            let traced = of_one.trace != 0 && of_one.trace == of_other.trace;
            let same = of_one.path == of_other.path || traced;
            if captures.0 == captures.1
                || !same
                || one.server == other.server
                || contradict(&one.of.mark, &other.of.mark)
            {
                continue;
            }
            let Some((front, back)) = direction(one, other) else { continue };
            note(&mut said, front, back);
        }
        let found = said.into_iter().filter_map(|(pair, said)| Some((pair, settle(said)?)));
        Self::chained(&found.collect())
    }

    /// Captures that are known against the first one, and through others that are.
    fn chained(found: &BTreeMap<(usize, usize), Known>) -> Self {
        let first = Known { offset: 0, events: usize::MAX };
        let mut known = BTreeMap::from([(0, first)]);
        for _ in 0..found.len() {
            for ((low, high), of) in found {
                let (there, place, offset) = match (known.get(low), known.get(high)) {
                    (Some(there), None) => (*there, *high, of.offset),
                    (None, Some(there)) => (*there, *low, of.offset.saturating_neg()),
                    _ => continue,
                };
                let offset = there.offset.saturating_add(offset);
                let events = there.events.min(of.events);
                known.insert(place, Known { offset, events });
            }
        }
        Self(known)
    }

    /// A time by the first capture's clock.
    pub(super) fn common(&self, stamp: Stamp) -> i64 {
        stamp.at.0.saturating_add(self.offset(stamp.capture()))
    }

    /// What to add to the times of a capture, in nanoseconds: the best guess.
    fn offset(&self, capture: usize) -> i64 {
        self.0.get(&capture).map_or(0, |known| known.offset)
    }

    /// Whether two captures are taken as they are: their clocks agree, or nothing shows more.
    pub fn agree(&self, front: usize, back: usize) -> bool {
        self.offset(front) == self.offset(back)
    }

    /// What to add to the times of capture `back` to fit those of `front`, where enough events
    /// tell it.
    pub fn between(&self, front: usize, back: usize) -> Option<ClockOffset> {
        let (front, known) = (self.0.get(&front)?, self.0.get(&back)?);
        let events = front.events.min(known.events);
        let seconds = known.offset.saturating_sub(front.offset) as f64 / 1e9;
        (EVENTS_TOLD..usize::MAX).contains(&events).then_some(ClockOffset {
            capture: back,
            seconds,
            events,
            is_applied: false,
        })
    }

    /// What is known of captures against the first one.
    pub fn told(&self) -> Vec<ClockOffset> {
        self.0.keys().filter_map(|capture| self.between(0, *capture)).collect()
    }

    /// Nanoseconds from `a` to `b`.
    pub(super) fn apart(&self, a: Stamp, b: Stamp) -> i64 {
        self.common(b).saturating_sub(self.common(a))
    }
}

/// What most say: those around the median. Bounds leave the middle between them, or without one of
/// a kind the other, for what is sent on is sent on at once. What clocks differ by anyway counts as
/// nothing.
fn settle(mut said: Vec<Says>) -> Option<Known> {
    let all = said.len();
    let (middle, near) = middle(said.iter().map(|says| says.value()))?;
    said.retain(|says| says.value().saturating_sub(middle).saturating_abs() <= near);
    let bounds = |of: fn(&Says) -> Option<i64>| said.iter().filter_map(of);
    let least = bounds(|says| matches!(says, Says::AtLeast(_)).then(|| says.value())).max();
    let most = bounds(|says| matches!(says, Says::AtMost(_)).then(|| says.value())).min();
    let offset = match (least, most) {
        (Some(least), Some(most)) if least <= most => least + (most - least) / 2,
        (Some(_), Some(_)) => middle,
        (bound, None) | (None, bound) => bound?,
    };
    let offset = if offset.saturating_abs() <= CLOCKS_APART { 0 } else { offset };
    (said.len() * 2 > all).then_some(Known { offset, events: said.len() })
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
fn note(said: &mut BTreeMap<(usize, usize), Vec<Says>>, front: &Request, back: &Request) {
    let (a, b) = (front.of.opened.capture(), back.of.opened.capture());
    let said = said.entry((a.min(b), a.max(b))).or_default();
    let mut before = |first: Stamp, then: Stamp| {
        // `first` is in truth before `then`.
        said.push(match first.capture() < then.capture() {
            true => Says::AtLeast(first.at.0.saturating_sub(then.at.0)),
            false => Says::AtMost(then.at.0.saturating_sub(first.at.0)),
        });
    };
    before(front.of.opened, back.of.opened);
    match (front.of.by, back.of.by) {
        (Side::Client, Side::Client) => before(front.of.at, back.of.at),
        (Side::Server, Side::Server) => before(back.of.at, front.of.at),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn settled(said: Vec<Says>) -> Option<(i64, usize)> {
        settle(said).map(|known| (known.offset / MS, known.events))
    }

    #[test]
    fn where_most_do_not_agree_nothing_is_known() {
        let at_least = |all: &[i64]| settled(all.iter().map(|n| Says::AtLeast(n * MS)).collect());
        assert_eq!(at_least(&[3, -4, 12]), Some((0, 3)), "clocks differ by so much anyway");
        assert_eq!(at_least(&[1000, 60_000, 9_000_000, 70]), None);
        assert_eq!(at_least(&[]), None);
    }

    #[test]
    fn a_request_id_that_was_used_again_does_not_move_the_clock() {
        let mut said: Vec<Says> = (0..9).map(|n| Says::AtLeast((7490 + n) * MS)).collect();
        said.push(Says::AtLeast(8200 * MS));
        assert_eq!(settled(said), Some((7498, 9)));
        let said = [7490, 7495].map(|ms| Says::AtLeast(ms * MS));
        let most = [7503, 7510].map(|ms| Says::AtMost(ms * MS));
        assert_eq!(settled([said, most].concat()), Some((7499, 4)));
    }
}
