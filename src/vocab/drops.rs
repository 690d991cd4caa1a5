//! Packets that were lost between the line and this program, and when: what was sent meanwhile may
//! be missing, whether a connection shows a hole or not.

use std::time::Duration;

use super::capture::CaptureFacts;
use super::time::Timestamp;

/// Packets lost in a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Its beginning: none was lost right before.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
    /// Packets lost.
    pub dropped: u64,
    /// Packets of that time that came through.
    pub seen: u64,
}

/// Every stretch, in order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drops(Vec<Stretch>);

impl Drops {
    /// What the statistics of captures tell: how many are missing, and of which capture.
    pub fn of(captures: &[CaptureFacts], most: usize) -> Self {
        let mut drops = Self::default();
        let stretch = |facts: &CaptureFacts| {
            let dropped = facts.kernel_dropped.filter(|dropped| *dropped > 0)?;
            let (from, to) = facts.first_packet_at.zip(facts.last_packet_at)?;
            Some(Stretch { from, to, dropped, seen: facts.packets })
        };
        // What one capture has whole is no comfort for what another one lacks.
        let told = captures.iter().filter_map(stretch).filter(Stretch::counts);
        let mut all: Vec<Stretch> = told.collect();
        all.sort_by_key(|stretch| (stretch.from, stretch.to));
        all.into_iter().for_each(|stretch| drops.note(stretch, most));
        drops
    }

    /// Whether nothing was lost.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes in what was lost since. Of more than `most` stretches the two oldest become one.
    pub fn note(&mut self, stretch: Stretch, most: usize) {
        match self.0.last_mut().filter(|last| stretch.from <= last.to.plus(BREATH)) {
            Some(last) => last.take(stretch),
            None => self.0.push(stretch),
        }
        if self.0.len() > most.max(1) {
            let oldest = self.0.remove(0);
            self.0.iter_mut().take(1).for_each(|next| next.take(oldest));
        }
    }

    /// Takes in all that another one has.
    pub fn extend(&mut self, other: Self, most: usize) {
        other.0.into_iter().for_each(|stretch| self.note(stretch, most));
    }

    /// Packets lost in the stretches that touch this time, as far as they count.
    pub fn between(&self, from: Timestamp, to: Timestamp) -> u64 {
        let first = self.0.partition_point(|stretch| stretch.to < from);
        let touching = self.0.iter().skip(first).take_while(|stretch| stretch.from <= to);
        touching
            .filter(|stretch| stretch.counts())
            .map(|stretch| stretch.dropped)
            .fold(0, u64::saturating_add)
    }
}

impl Stretch {
    /// Whether enough was lost: where fewer than one in a thousand is gone, the few that an ending
    /// is told by are there all the same.
    fn counts(&self) -> bool {
        let all = self.dropped.saturating_add(self.seen);
        self.dropped.saturating_mul(FEW) >= all
    }

    fn take(&mut self, other: Self) {
        (self.from, self.to) = (self.from.min(other.from), self.to.max(other.to));
        self.dropped = self.dropped.saturating_add(other.dropped);
        self.seen = self.seen.saturating_add(other.seen);
    }
}

/// Stretches this close are one.
const BREATH: Duration = Duration::from_millis(100);

/// An ending is told by some ten packets: of those, one is missing then in a hundred endings.
const FEW: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(from: i64, to: i64, dropped: u64, seen: u64) -> Stretch {
        let at = |millis: i64| Timestamp(millis * 1_000_000);
        Stretch { from: at(from), to: at(to), dropped, seen }
    }

    fn between(drops: &Drops, from: i64, to: i64) -> u64 {
        let asked = stretch(from, to, 0, 0);
        drops.between(asked.from, asked.to)
    }

    #[test]
    fn what_was_lost_meanwhile() {
        let mut drops = Drops::default();
        assert!(drops.is_empty() && between(&drops, 0, i64::MAX / 2_000_000) == 0);
        drops.note(stretch(1_000, 1_020, 5, 10), 8);
        drops.note(stretch(1_020, 1_040, 2, 10), 8);
        drops.note(stretch(9_000, 9_020, 1, 10), 8);
        drops.note(stretch(20_000, 20_020, 1, 100_000), 8);
        assert_eq!(between(&drops, 0, 999), 0);
        assert_eq!(between(&drops, 1_040, 1_041), 7);
        assert_eq!(between(&drops, 1_041, 8_999), 0);
        assert_eq!(between(&drops, 0, 30_000), 8, "one in so many hits nobody");
    }

    #[test]
    fn the_oldest_are_taken_together_and_none_is_forgotten() {
        let mut drops = Drops::default();
        for second in 0..10 {
            drops.note(stretch(second * 1_000, second * 1_000 + 10, 1, 1), 4);
        }
        assert_eq!(drops.0.len(), 4);
        assert_eq!(between(&drops, 0, 10_000), 10);
        assert_eq!(between(&drops, 8_500, 8_600), 0, "the latest stay apart");
        let mut both = Drops::default();
        both.extend(drops.clone(), 4);
        assert_eq!(both, drops);
    }

    #[test]
    fn a_capture_whose_statistics_tell() {
        let times = (Some(Timestamp(5)), Some(Timestamp(500)));
        let of = |dropped, packets| CaptureFacts {
            kernel_dropped: dropped,
            packets,
            first_packet_at: times.0,
            last_packet_at: times.1,
            ..CaptureFacts::default()
        };
        assert!(Drops::of(&[of(None, 9), of(Some(0), 9)], 4).is_empty());
        let drops = Drops::of(&[of(Some(3), 100)], 4);
        assert_eq!(drops.between(Timestamp(400), Timestamp(900)), 3);
        assert_eq!(drops.between(Timestamp(501), Timestamp(900)), 0);
        // A long one of the same time that is all but whole says nothing of the other.
        let drops = Drops::of(&[of(Some(3), 100), of(Some(1), 1_000_000)], 4);
        assert_eq!(drops.between(Timestamp(400), Timestamp(900)), 3);
    }
}
