//! Timeouts of a server against those behind it, as the ages of its answers 504 tell.

use std::time::Duration;

use super::Sample;
use crate::cause::{chance, timeouts};
use crate::track::history::History;
use crate::vocab::address::Side;
use crate::vocab::cause::{Cause, Confidence};
use crate::vocab::hop::Trouble;
use crate::vocab::pair::Timer;
use crate::vocab::verdict::ConfiguredIn;

/// The timers that answers 504 show: ages that agree, each cluster one. Whoever sends that status
/// says that its time was over (RFC 9110 section 15.6.5).
pub(super) fn timers(history: &History) -> Vec<Sample> {
    let late = history
        .troubled
        .iter()
        .filter(|of| of.how == Trouble::GATEWAY_TIMEOUT && of.by == Side::Server);
    let ages = late.map(|of| of.at.since(of.opened)).filter(|age| *age >= SHORTEST);
    let mut ages: Vec<f64> = ages.map(|age| age.as_secs_f64()).collect();
    ages.sort_by(f64::total_cmp);
    let clusters: Vec<&[f64]> = ages.chunk_by(|a, b| timeouts::near(*a, *b)).collect();
    // Ages that scatter are those of servers beyond, which each time out as they like.
    let few = clusters.len() <= CLUSTERS_MAX;
    clusters.into_iter().filter(|_| few).filter_map(sample).collect()
}

fn sample(ages: &[f64]) -> Option<Sample> {
    let (least, most) = (*ages.first()?, *ages.last()?);
    let seconds = *ages.get(ages.len() / 2)?;
    let set = Duration::try_from_secs_f64(least).is_ok_and(chance::is_setting);
    let confidence = match ages.len() {
        1 if set => 0.75,
        1 => 0.5,
        2 => 0.8,
        _ => 0.9,
    };
    Some(Sample {
        timer: Timer::Of(Cause::ServerRequestTimeout),
        by: ConfiguredIn::Server,
        seconds,
        spread: (most - least) / 2.0,
        samples: u32::try_from(ages.len()).unwrap_or(u32::MAX),
        at_least: false,
        confidence: Confidence::new(confidence),
        request: None,
        direct: false,
    })
}

/// What comes sooner was answered without waiting: nothing timed out while it waited.
const SHORTEST: Duration = Duration::from_millis(10);
const CLUSTERS_MAX: usize = 3;
