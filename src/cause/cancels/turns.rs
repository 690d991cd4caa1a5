//! Whether the resets of a batch come in the turn of its requests.

use super::Waited;
use crate::track::history::History;

/// How the resets of a batch follow its requests.
#[derive(Clone, Copy)]
pub(super) enum Turns {
    /// Each in its request's turn, as far apart as the requests were: timers.
    Followed,
    /// Whenever the requests came: one decision.
    Ignored,
    /// Too few, or too close together, to tell.
    Unclear,
}

impl Turns {
    /// By the correlation of opening and reset times, and the slope of the one against the other.
    /// Timers of busy clients gave 0.71 and 0.6 and more of it, single decisions hardly both.
    pub fn of(history: &History, cluster: &[Waited]) -> Self {
        let pairs = cluster.iter().filter_map(|item| {
            let reset = history.resets.get(item.place)?;
            Some((reset.opened?.at.0 as f64, reset.stamp.at.0 as f64))
        });
        let pairs: Vec<(f64, f64)> = pairs.collect();
        let count = pairs.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / count;
        let (opened, reset) = (mean(|pair| pair.0), mean(|pair| pair.1));
        let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
            pairs.iter().map(|(a, b)| of(a - opened, b - reset)).sum()
        };
        let (of_opened, of_reset) = (sum(&|a, _| a * a), sum(&|_, b| b * b));
        let both = sum(&|a, b| a * b);
        if pairs.len() < 5 || (of_opened / count).sqrt() < SPREAD {
            return Self::Unclear;
        }
        let slope = both / of_opened;
        let correlation = both / (of_opened * of_reset).sqrt().max(1.0);
        match (correlation, slope) {
            (correlation, slope) if correlation >= 0.7 && slope >= 0.5 => Self::Followed,
            (correlation, slope) if correlation < 0.6 || slope < 0.3 => Self::Ignored,
            _ => Self::Unclear,
        }
    }
}

/// Nanoseconds: requests opened closer together have no turns.
const SPREAD: f64 = 2_500_000.0;
