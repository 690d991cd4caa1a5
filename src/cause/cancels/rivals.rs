//! What looks like a timer and is none: ages that agree by chance, races that were lost, searches
//! that were typed over.

use std::time::Duration;

use super::super::chance;
use super::{CancelGroup, FEW, MILLI, Waited, median, opened};
use crate::track::history::{History, Reset};
use crate::vocab::address::Side;
use crate::vocab::cause::Confidence;
use crate::vocab::time::Stamp;

/// Whether as many as agree here may do so by chance, among cancels of all ages around.
/// `all` are in order.
pub(super) fn is_chance(cluster: &[Waited], all: &[Waited]) -> bool {
    let (Some(first), Some(last)) = (cluster.first(), cluster.last()) else { return true };
    let middle = median(cluster);
    let width = (last.span - first.span) / 2 + MILLI;
    let below = |span| all.partition_point(|item| item.span < span);
    let around = below(middle.mul_f64(chance::AROUND.1)) - below(middle.mul_f64(chance::AROUND.0));
    // Any age could have been the one: the cluster is the densest place of several.
    let places = all.len() as f64;
    chance::of_agreeing(middle, width, around, cluster.len() - 1) * places > 0.05
}

/// Whether nearly all were reset in the moment when another request of their kind was answered,
/// which is seldom otherwise: the loser of a race (hedged requests).
pub(super) fn is_outrun(history: &History, cluster: &[Waited]) -> bool {
    let resets = || cluster.iter().filter_map(|item| history.resets.get(item.place));
    let outrun =
        |reset: &&Reset| reset.rival_answered.is_some_and(|at| reset.stamp.since(at) <= MILLI * 5);
    let count = resets().filter(outrun).count();
    let lifetime = history.last.since(history.first).as_secs_f64();
    // Where answers come all the time, one comes right before anything.
    let rate = history.answers.total().count() as f64 / lifetime.max(1e-3);
    count * 5 >= cluster.len() * 4 && rate * 0.005 < 0.3
}

/// Requests of one look are sent this close together.
const BATCH: Duration = Duration::from_millis(50);

/// Takes out resets that each came right behind a new request of the client, where nearly all did:
/// the next search, or the next look, takes the place of the last one. Who tries again when a time
/// is over resets first.
pub(super) fn superseded(history: &History, items: &mut Vec<Waited>) -> Vec<Waited> {
    if items.len() < FEW {
        return Vec::new();
    }
    let resets = history.resets.iter().filter(|reset| reset.opener == Side::Client);
    let mut sent: Vec<Stamp> = resets.filter_map(|reset| reset.opened).collect();
    sent.extend(history.open.iter().filter_map(|stream| stream.opened));
    sent.extend(history.newest.map(|(_, newest)| newest));
    sent.sort_by_key(|stamp| stamp.order());
    let behind = |item: &Waited| {
        let Some(reset) = history.resets.get(item.place) else { return false };
        let Some(own) = reset.opened else { return false };
        let before = sent.partition_point(|stamp| stamp.before(reset.stamp));
        let since = sent.partition_point(|stamp| stamp.at <= own.at.plus(BATCH));
        // The next one, and no other: where many are on their way, one of them is near by chance.
        let next = sent.get(since..before).unwrap_or_default();
        matches!(next, [next] if reset.stamp.since(*next) <= MILLI * 3)
    };
    let (taken, rest): (Vec<Waited>, Vec<Waited>) = items.iter().partition(|item| behind(item));
    let lifetime = history.last.since(history.first).as_secs_f64();
    // Where requests are sent all the time, one is sent right before anything.
    let rate = history.counts.opened as f64 / lifetime.max(1e-3);
    if taken.len() < FEW || taken.len() * 5 < items.len() * 4 || rate * 0.003 > 0.1 {
        return Vec::new();
    }
    *items = rest;
    taken
}

/// Whether most were reset in the moment when the next request was sent.
pub(super) fn is_replaced(history: &History, cluster: &[Waited]) -> bool {
    let mut sent: Vec<i64> = cluster.iter().filter_map(|item| opened(history, item)).collect();
    sent.sort_unstable();
    let near = |item: &&Waited| {
        let Some(reset) = history.resets.get(item.place) else { return false };
        let from = sent.partition_point(|at| *at < reset.stamp.at.0 - 5_000_000);
        sent.get(from).is_some_and(|at| *at <= reset.stamp.at.0 + 5_000_000)
    };
    cluster.iter().filter(near).count() * 5 >= cluster.len() * 3
}

/// Runs of ages, those put together between which there is no more room than within them: ages
/// that are smeared over a range cluster by chance.
pub(super) fn smeared(items: &[Waited]) -> Vec<&[Waited]> {
    let width = |run: &[Waited]| super::spread(run);
    let gap = |a: &[Waited], b: &[Waited]| match (a.last(), b.first()) {
        (Some(a), Some(b)) => b.span.saturating_sub(a.span),
        _ => Duration::MAX,
    };
    // Places where runs end.
    let mut runs: Vec<(usize, usize)> = Vec::new();
    let mut from = 0;
    for run in super::clusters(items) {
        runs.push((from, from + run.len()));
        from += run.len();
    }
    let slice = |(from, to): (usize, usize)| items.get(from..to).unwrap_or_default();
    let mut all: Vec<(usize, usize)> = Vec::new();
    for run in runs {
        let last = all.last().copied();
        let near = last.is_some_and(|last| {
            let (a, b) = (slice(last), slice(run));
            let wide = width(a).min(width(b)) > MILLI * 20 && a.len() >= FEW && b.len() >= FEW;
            wide && gap(a, b) <= width(a).max(width(b))
        });
        match all.last_mut().filter(|_| near) {
            Some(last) => last.1 = run.1,
            None => all.push(run),
        }
    }
    all.into_iter().map(slice).collect()
}

/// Ages of requests opened at many times that are smeared evenly over a range which is short
/// against them: a timer that is spread on purpose.
pub(super) fn jittered(history: &History, cluster: &[Waited]) -> Option<CancelGroup> {
    let (least, most) = (cluster.first()?.span, cluster.last()?.span);
    let narrow = most.saturating_sub(least) <= least.mul_f64(0.3);
    let enough = cluster.len() >= 8 && super::opened_apart(history, cluster);
    // One decision ends what is open in one moment.
    let spread = super::reset_over(history, cluster) > most;
    (narrow && enough && spread).then(|| {
        let told_by = "they were opened at many times, and reset at ages of one short range";
        super::timed(cluster, Confidence::new(0.6), told_by)
    })
}
