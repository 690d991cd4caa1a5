//! What endings at different moments have in common: which of several quantities agrees, how
//! closely, and how likely that is by chance.

use std::time::Duration;

use super::super::chance;
use super::Ending;

/// A quantity of an ending; `None` where it has none.
pub(super) type Quantity = fn(&Ending) -> Option<Duration>;

/// Endings that agree in one quantity.
pub(super) struct Common<'a> {
    /// They.
    pub alike: Vec<&'a Ending>,
    /// How far the middle one of them is away.
    pub distance: Duration,
    /// Probability that so many agree so closely by chance.
    pub by_chance: f64,
}

impl<'a> Common<'a> {
    /// Those of `others` that agree with an ending; `None` where no other does.
    pub fn of(ending: &Ending, others: &[&'a Ending], of: Quantity) -> Option<Self> {
        let span = of(ending)?;
        let far = |other: &Ending| of(other).map(|other| other.abs_diff(span));
        let mut alike: Vec<&Ending> =
            others.iter().copied().filter(|other| same(of(other), Some(span))).collect();
        alike.sort_by_key(|other| (far(other), other.place));
        let distance = alike.get(alike.len() / 2).and_then(|other| far(other))?;
        let values: Vec<Duration> = others.iter().filter_map(|other| of(other)).collect();
        let by_chance = coincidence(span, &values, alike.len());
        Some(Self { alike, distance, by_chance })
    }

    /// Whether it agrees so much more closely than another quantity that this is the reason, and
    /// the other one only follows from it.
    pub fn is_closer_than(&self, other: &Self) -> bool {
        let clear = other.distance > Duration::from_millis(3);
        clear && self.distance * 3 < other.distance
    }
}

/// Whether two spans may be of one timer.
pub(super) fn same(a: Option<Duration>, b: Option<Duration>) -> bool {
    a.zip(b).is_some_and(|(a, b)| a.abs_diff(b) <= a.mul_f64(0.02) + Duration::from_millis(15))
}

/// Probability that so many of the others agree with a span as closely as they do by chance.
fn coincidence(span: Duration, others: &[Duration], alike: usize) -> f64 {
    // Timers agree far more closely than what counts as alike.
    let mut apart: Vec<Duration> = others.iter().map(|other| other.abs_diff(span)).collect();
    apart.sort_unstable();
    let around = others.iter().filter(|other| chance::is_around(span, **other)).count();
    let of = |count: usize| {
        let width = apart.get(count.checked_sub(1)?)?.max(&Duration::from_millis(2)).to_owned();
        Some(chance::of_agreeing(span, width, around, count))
    };
    let tries = (around as f64 / 2.0).max(1.0);
    (1..=alike).filter_map(of).fold(1.0, f64::min) * tries
}

/// Whether two ages may be of one setting that a server spreads by a tenth to either side, so that
/// its connections do not all end at once (gRPC).
pub(super) fn is_spread(a: &Ending, b: &Ending) -> bool {
    let ages = a.age.zip(b.age);
    ages.is_some_and(|(a, b)| a.max(b) <= a.min(b).mul_f64(1.1 / 0.9) + Duration::from_millis(15))
}

/// The ages between which a limit lies that each of these noticed with its first request past it,
/// and how likely their spans overlap by chance; `None` where they do not.
pub(super) fn crossing(ending: &Ending, others: &[&Ending]) -> Option<((Duration, Duration), f64)> {
    let (mut from, mut to) = ending.crossed?;
    let mut by_chance = 1.0;
    for other in others {
        let (before, after) = other.crossed?;
        let width = (after - before) + (ending.crossed?.1 - ending.crossed?.0);
        // Where ages are of any length, two such spans hardly meet.
        by_chance *= (width.as_secs_f64() / after.max(to).as_secs_f64().max(1e-9)).min(1.0);
        (from, to) = (from.max(before), to.min(after));
    }
    (from < to && !others.is_empty()).then_some(((from, to), by_chance))
}
