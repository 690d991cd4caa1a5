//! What is counted of a connection as it happens, for those who watch many of them for long.

use std::time::Duration;

use super::address::Both;
use super::error_code::ErrorCode;
use super::pack::packs;

/// Counters of one connection, or of many. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Metered {
    /// From a stream's first HEADERS to its end.
    pub ages: Histogram,
    /// From a request's HEADERS to those of its answer.
    pub answers: Histogram,
    /// From a PING to its answer.
    pub pings: Histogram,
    /// RST_STREAM of each side.
    pub resets: Both<ByCode>,
}

packs!(struct Metered { ages, answers, pings, resets });

impl Metered {
    /// Adds what has come since `before`.
    pub fn add_growth(&mut self, now: &Self, before: &Self) {
        self.ages.add_growth(&now.ages, &before.ages);
        self.answers.add_growth(&now.answers, &before.answers);
        self.pings.add_growth(&now.pings, &before.pings);
        self.resets.first.add_growth(&now.resets.first, &before.resets.first);
        self.resets.second.add_growth(&now.resets.second, &before.resets.second);
    }
}

/// Durations by fixed bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Histogram {
    counts: [u64; BOUNDS.len() + 1],
    sum: f64,
}

packs!(struct Histogram { counts, sum });

/// Upper bounds in seconds: from a ping within a data centre to a stream that lives for long.
pub const BOUNDS: [f64; 19] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0, 120.0, 300.0, 1800.0,
];

impl Histogram {
    /// Counts one.
    pub fn add(&mut self, span: Duration) {
        let seconds = span.as_secs_f64();
        let place = BOUNDS.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.counts.get_mut(place) {
            *count = count.saturating_add(1);
        }
        self.sum += seconds;
    }

    /// Each bound with how many lie between the one before and it; the last bound is infinite.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        BOUNDS.iter().copied().chain([f64::INFINITY]).zip(self.counts)
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.counts.iter().copied().fold(0, u64::saturating_add)
    }

    /// Their sum in seconds.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    fn add_growth(&mut self, now: &Self, before: &Self) {
        let growth = now.counts.iter().zip(&before.counts);
        for (count, (now, before)) in self.counts.iter_mut().zip(growth) {
            *count = count.saturating_add(now.saturating_sub(*before));
        }
        self.sum += (now.sum - before.sum).max(0.0);
    }
}

/// How often each error code came; codes that RFC 9113 does not have are one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByCode([u64; CODES + 1]);

packs!(tuple ByCode(counts));

impl ByCode {
    /// Counts one; `None` where the code was not captured.
    pub fn add(&mut self, code: Option<ErrorCode>) {
        let place = code.map_or(CODES, |code| usize::try_from(code.0).unwrap_or(CODES)).min(CODES);
        if let Some(count) = self.0.get_mut(place) {
            *count = count.saturating_add(1);
        }
    }

    /// Each code that came, by name, and how often.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let named = (0..).zip(self.0).map(|(code, count)| (label(ErrorCode(code)), count));
        named.filter(|(_, count)| *count > 0)
    }

    fn add_growth(&mut self, now: &Self, before: &Self) {
        for (count, (now, before)) in self.0.iter_mut().zip(now.0.iter().zip(&before.0)) {
            *count = count.saturating_add(now.saturating_sub(*before));
        }
    }
}

/// A code's name where RFC 9113 has one: strangers do not make labels.
pub fn label(code: ErrorCode) -> &'static str {
    code.name().unwrap_or(UNKNOWN_CODE)
}

/// What all other codes are called.
const UNKNOWN_CODE: &str = "other";
/// Codes of RFC 9113, from 0 without a gap.
const CODES: usize = 14;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_added_once() {
        let (mut all, mut one) = (Metered::default(), Metered::default());
        one.ages.add(Duration::from_millis(3));
        one.resets.first.add(Some(ErrorCode::CANCEL));
        all.add_growth(&one, &Metered::default());
        let before = one;
        one.ages.add(Duration::from_secs(9999));
        one.resets.first.add(Some(ErrorCode(77)));
        one.resets.first.add(None);
        all.add_growth(&one, &before);
        assert_eq!((all.ages.count(), all.ages.sum()), (2, 9999.003));
        assert_eq!(
            all.ages.buckets().filter(|(_, count)| *count > 0).collect::<Vec<_>>(),
            [(0.005, 1), (f64::INFINITY, 1)]
        );
        let codes: Vec<_> = all.resets.first.counts().collect();
        assert_eq!(codes, [("CANCEL", 1), ("other", 2)]);
    }

    #[test]
    fn every_code_of_the_rfc_has_its_own_label() {
        let named = (0..u32::try_from(CODES).unwrap()).map(|code| label(ErrorCode(code)));
        assert!(named.into_iter().all(|name| name != UNKNOWN_CODE));
        assert_eq!(label(ErrorCode(u32::try_from(CODES).unwrap())), UNKNOWN_CODE);
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let mut times = Histogram::default();
        times.add(Duration::from_secs(1));
        assert!(times.buckets().any(|bucket| bucket == (1.0, 1)));
    }
}
