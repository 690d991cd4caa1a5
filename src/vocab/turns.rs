//! Whose turn it is to rest: of many connections a few are busy, and only those are kept ready.

use std::collections::VecDeque;

/// Those that are awake, in rough order of when something last happened on them.
#[derive(Debug)]
pub struct Turns<K> {
    queue: VecDeque<K>,
    least: usize,
    /// How many are to be awake at most, for now.
    most: usize,
}

/// Why one is awake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awake {
    /// It has begun.
    New,
    /// It rested, and something happens on it.
    Again,
}

/// What became of one whose turn it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It rests, or is no more.
    Left,
    /// Something has happened on it since its last turn, or it cannot rest now.
    Stays,
}

impl<K> Turns<K> {
    /// About `least` of them are to be awake, and more where those that rest do so for nothing.
    pub fn new(least: usize) -> Self {
        Self { queue: VecDeque::new(), least, most: least }
    }

    /// Whether none is to stay awake.
    pub fn has_no_room(&self) -> bool {
        self.least == 0
    }

    /// One awakes. Where there are too many, others have their turn, a few at each call: that
    /// spreads the cost, and those that cannot rest are not gone through again and again.
    pub fn awakes(&mut self, key: K, why: Awake, mut turn: impl FnMut(&K) -> Turn) {
        self.most = match why {
            Awake::New => self.most.saturating_sub(1).max(self.least),
            Awake::Again => self.most.saturating_add(1).min(self.least.saturating_mul(BUSIEST)),
        };
        for _ in 0..LOOKS {
            if self.queue.len() < self.most {
                break;
            }
            let Some(next) = self.queue.pop_front() else { break };
            if turn(&next) == Turn::Stays {
                self.queue.push_back(next);
            }
        }
        self.queue.push_back(key);
    }
}

/// Turns in a call: more than one, so that their number falls again.
const LOOKS: usize = 4;

/// How many times as many as they are to be may be awake, where all of them are busy.
const BUSIEST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quietest_rests_first() {
        let mut turns = Turns::new(3);
        (0..3).for_each(|key| turns.awakes(key, Awake::New, |_| Turn::Left));
        let mut rested = Vec::new();
        turns.awakes(3, Awake::New, |key| match key {
            0 => Turn::Stays,
            _ => {
                rested.push(*key);
                Turn::Left
            }
        });
        assert_eq!(rested, [1]);
        assert_eq!(turns.queue, [2, 0, 3]);
        // Where none can rest, their number grows.
        turns.awakes(4, Awake::New, |_| Turn::Stays);
        assert_eq!(turns.queue.len(), 4);
        turns.awakes(5, Awake::New, |_| Turn::Left);
        assert_eq!(turns.queue, [2, 4, 5]);
    }

    #[test]
    fn more_stay_awake_where_all_are_busy() {
        let mut turns = Turns::new(4);
        (0..40).for_each(|key| turns.awakes(key, Awake::New, |_| Turn::Left));
        assert_eq!(turns.queue.len(), 4);
        (0..40).for_each(|key| turns.awakes(key, Awake::Again, |_| Turn::Left));
        assert_eq!(turns.queue.len(), 44);
        (0..100).for_each(|key| turns.awakes(key, Awake::Again, |_| Turn::Left));
        assert_eq!(turns.queue.len(), 4 * BUSIEST);
        (0..100).for_each(|key| turns.awakes(key, Awake::New, |_| Turn::Left));
        assert_eq!(turns.queue.len(), 4);
    }
}
