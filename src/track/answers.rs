//! Times from request to answer: count, extremes and a distribution of fixed resolution.

use std::time::Duration;

use crate::vocab::pack::packs;
use crate::vocab::pair::AgeCount;
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

packs!(struct Answers { count, min, max, buckets });

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
        self.at_rank((self.count as f64 * share).ceil().max(1.0) as u64)
    }

    /// Where the quantile of what these answers are a sample of lies with 95 % confidence, by their
    /// order alone (Conover, Practical Nonparametric Statistics, section 3.2). `None` where there
    /// are too few for that.
    pub fn quantile_range(&self, share: f64) -> Option<(Duration, Duration)> {
        let (count, expected) = (self.count as f64, self.count as f64 * share);
        let half = 1.96 * (count * share * (1.0 - share)).sqrt();
        let (low, high) = ((expected - half).floor(), (expected + half).ceil() + 1.0);
        let inside = low >= 1.0 && high <= count;
        inside.then(|| (self.at_rank(low as u64), self.at_rank(high as u64)))
    }

    fn at_rank(&self, wanted: u64) -> Duration {
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

    /// The distribution, ascending.
    pub fn ages(&self) -> Vec<AgeCount> {
        let middle = |bucket: u16| GROWTH.powf(f64::from(bucket) + 0.5) / 1e6;
        let age = |(bucket, count): &(u16, u32)| AgeCount {
            seconds: middle(*bucket).clamp(self.min.as_secs_f64(), self.max.as_secs_f64()),
            count: u64::from(*count),
        };
        self.buckets.iter().map(age).collect()
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

/// Answers to requests of one kind: one method and path.
#[derive(Clone, Debug)]
pub struct Class {
    /// Requests of the kind share it.
    pub id: u32,
    /// `method path`.
    pub name: Box<str>,
    /// Its times.
    pub answers: Answers,
}

packs!(struct Class { id, name, answers });

/// Answer times by kind of request: of the first few kinds, and of all others together.
#[derive(Clone, Debug, Default)]
pub struct ByClass {
    classes: Vec<Class>,
    others: Answers,
}

packs!(struct ByClass { classes, others });

impl ByClass {
    /// Counts one answer. The name is asked for where the kind is new.
    pub fn add(&mut self, class: u32, name: impl FnOnce() -> Option<Box<str>>, after: Duration) {
        self.of(class, name).add(after);
    }

    fn of(&mut self, id: u32, name: impl FnOnce() -> Option<Box<str>>) -> &mut Answers {
        let known = self.classes.iter().position(|class| class.id == id);
        let place = known.or_else(|| {
            let room = self.classes.len() < CLASSES_KEPT;
            let name = room.then(name)??;
            self.classes.reserve_exact(1); // few connections ask for many kinds of things
            self.classes.push(Class { id, name, answers: Answers::default() });
            Some(self.classes.len() - 1)
        });
        match place.and_then(|place| self.classes.get_mut(place)) {
            Some(class) => &mut class.answers,
            None => &mut self.others,
        }
    }

    /// Adds those of another connection.
    pub fn merge(&mut self, other: &Self) {
        for class in &other.classes {
            self.of(class.id, || Some(class.name.clone())).merge(&class.answers);
        }
        self.others.merge(&other.others);
    }

    /// All of them together.
    pub fn total(&self) -> Answers {
        let mut total = self.others.clone();
        self.classes.iter().for_each(|class| total.merge(&class.answers));
        total
    }

    /// The kinds that are told apart.
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// The answers to the kinds with these names.
    pub fn named(&self, names: &[&str]) -> Answers {
        let mut sum = Answers::default();
        let named = self.classes.iter().filter(|class| names.contains(&class.name.as_ref()));
        named.for_each(|class| sum.merge(&class.answers));
        sum
    }
}

/// Kinds of request that are told apart: a person reads no more, and a client that never asks for
/// the same path twice fills no memory.
const CLASSES_KEPT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart_up_to_a_bound() {
        let mut kinds = ByClass::default();
        for number in 0..100_u32 {
            let name = format!("GET /{number}");
            kinds.add(number, || Some(name.into()), Duration::from_millis(u64::from(number) + 1));
        }
        kinds.add(7, || None, Duration::from_secs(1));
        assert_eq!(kinds.classes().len(), CLASSES_KEPT);
        assert_eq!(kinds.named(&["GET /7"]).count(), 2);
        assert_eq!(kinds.total().count(), 101);
        let mut sum = ByClass::default();
        sum.merge(&kinds);
        sum.merge(&kinds);
        assert_eq!((sum.total().count(), sum.total().max()), (202, Duration::from_secs(1)));
    }

    #[test]
    fn few_answers_have_no_range_of_quantiles() {
        let mut answers = Answers::default();
        for number in 1..=1000 {
            answers.add(Duration::from_millis(number));
            let range = answers.quantile_range(0.5);
            assert_eq!(range.is_some(), number >= 8, "{number}");
            let of_slowest = answers.quantile_range(0.99).is_some();
            assert!(of_slowest == (number >= 500) || (400..600).contains(&number), "{number}");
        }
        let (low, high) = answers.quantile_range(0.5).unwrap();
        assert!(low < Duration::from_millis(475) && low > Duration::from_millis(440), "{low:?}");
        assert!(high > Duration::from_millis(525) && high < Duration::from_millis(560), "{high:?}");
    }

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
