//! Times from request to answer: count, extremes and a distribution of fixed resolution.

use std::time::Duration;

use crate::vocab::stream::AnswerTimes;

/// Each bucket is 5 % wider than the one before.
const GROWTH: f64 = 1.05;

/// A distribution of durations in at most a few hundred buckets.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    count: u64,
    min: Duration,
    max: Duration,
    /// Bucket number and how many, ascending.
    buckets: Vec<(u16, u32)>,
}

impl Answers {
    /// Counts one answer.
    pub fn add(&mut self, after: Duration) {
        self.min = if self.count == 0 { after } else { self.min.min(after) };
        self.max = self.max.max(after);
        self.count += 1;
        let micros = after.as_secs_f64() * 1e6;
        let bucket = if micros <= 1.0 { 0 } else { (micros.ln() / GROWTH.ln()) as u16 };
        match self.buckets.binary_search_by_key(&bucket, |(number, _)| *number) {
            Ok(place) => {
                if let Some((_, count)) = self.buckets.get_mut(place) {
                    *count = count.saturating_add(1);
                }
            }
            Err(place) => self.buckets.insert(place, (bucket, 1)),
        }
    }

    /// How many answers.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The slowest.
    pub fn max(&self) -> Duration {
        self.max
    }

    /// The value below which `share` (0 to 1) of the answers lie, to about 5 %.
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = (self.count as f64 * share).ceil().max(1.0) as u64;
        let mut passed = 0u64;
        for (bucket, count) in &self.buckets {
            passed += u64::from(*count);
            if passed >= wanted {
                let middle = GROWTH.powf(f64::from(*bucket) + 0.5) / 1e6;
                return Duration::from_secs_f64(middle).clamp(self.min, self.max);
            }
        }
        self.max
    }

    /// Adds another distribution.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        self.min = if self.count == 0 { other.min } else { self.min.min(other.min) };
        self.max = self.max.max(other.max);
        self.count += other.count;
        for (bucket, count) in &other.buckets {
            match self.buckets.binary_search_by_key(bucket, |(number, _)| *number) {
                Ok(place) => {
                    if let Some((_, sum)) = self.buckets.get_mut(place) {
                        *sum = sum.saturating_add(*count);
                    }
                }
                Err(place) => self.buckets.insert(place, (*bucket, *count)),
            }
        }
    }

    /// How many are slower than `limit`, to about 5 %.
    pub fn above(&self, limit: Duration) -> u64 {
        if limit >= self.max {
            return 0;
        }
        let middle =
            |bucket: u16| Duration::from_secs_f64(GROWTH.powf(f64::from(bucket) + 0.5) / 1e6);
        let slower = self.buckets.iter().filter(|(bucket, _)| middle(*bucket) > limit);
        slower.map(|(_, count)| u64::from(*count)).sum()
    }

    /// What the report shows.
    pub fn times(&self) -> AnswerTimes {
        AnswerTimes {
            count: self.count,
            min: self.min.as_secs_f64(),
            median: self.quantile(0.5).as_secs_f64(),
            max: self.max.as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_bucket() {
        let mut answers = Answers::default();
        for millis in 1..=1000 {
            answers.add(Duration::from_millis(millis));
        }
        let median = answers.quantile(0.5).as_secs_f64();
        assert!((0.475..0.526).contains(&median), "{median}");
        assert_eq!(answers.max(), Duration::from_secs(1));
        assert_eq!(answers.quantile(0.0), Duration::from_millis(1));
    }
}
