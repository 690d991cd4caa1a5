//! Cancellations by reason: timeouts of a fixed length, or an application that changed its mind.
//!
//! A cancel is any reset by the request's sender before the answer ended, whatever its code: some
//! clients cancel with NO_ERROR, most with CANCEL.

mod deadline;
mod queue;
mod reading;
mod rivals;
mod server;
mod turns;

use std::time::Duration;

use crate::track::history::{Goaway, History, Reset};
use crate::vocab::address::{Both, Side};
use crate::vocab::cause::{Cause, Confidence};
use crate::vocab::error_code::ErrorCode;
use crate::vocab::time::Stamp;
use crate::vocab::verdict::{Cancellation, Timeout};

use super::chance::round_value;
use super::dead_path;
use deadline::{by_deadline, is_at};
use queue::{Queue, is_first, join_first_flight, join_queued};
use reading::{by_silence, whole_time};
use turns::Turns;

/// Younger than this, nothing waited: no timeout is that short.
const AT_ONCE: Duration = Duration::from_millis(20);

/// Streams that one side reset for one reason.
#[derive(Clone, Debug)]
pub struct CancelGroup {
    /// The reason.
    pub cause: Cause,
    /// Who reset them.
    pub by: Side,
    /// Places in [`History::resets`], ascending.
    pub places: Vec<usize>,
    /// The timer, measured.
    pub timeout: Option<Timeout>,
    /// How sure.
    pub confidence: Confidence,
    /// What tells: one clause.
    pub told_by: &'static str,
}

impl CancelGroup {
    /// The resets themselves.
    pub fn resets<'a>(&'a self, history: &'a History) -> impl Iterator<Item = &'a Reset> {
        self.places.iter().filter_map(|place| history.resets.get(*place))
    }

    /// As the report shows it.
    pub fn cancellation(&self, history: &History) -> Option<Cancellation> {
        let mut streams: Vec<u32> = self.resets(history).map(|reset| reset.stream).collect();
        streams.sort_unstable();
        let first = self.resets(history).map(|reset| reset.stamp).min_by_key(|s| s.order())?;
        let last = self.resets(history).map(|reset| reset.stamp).max_by_key(|s| s.order())?;
        Some(Cancellation {
            cause: self.cause,
            by: self.by,
            streams,
            timeout: self.timeout.clone(),
            confidence: self.confidence,
            first,
            last,
            hop: None,
            advice: None,
        })
    }
}

/// One reset with the time that counts: its stream's age, or the time since the peer's last frame
/// where an answer had begun.
#[derive(Clone, Copy)]
struct Waited {
    place: usize,
    span: Duration,
}

/// Groups every reset that gave up on an answer.
pub fn groups(history: &History) -> Vec<CancelGroup> {
    let mut groups = Vec::new();
    let mut waited = Vec::new();
    let mut reading = Vec::new();
    let mut with_deadline = Vec::new();
    let mut changed_mind = Vec::new();
    let mut queued = Vec::new();
    let queue = Queue::of(history);
    let mut of_grpc = Vec::new();
    let mut blurred: Both<Vec<Waited>> = Both::default();
    let mut reacting = Vec::new();
    let blows = blows(history);
    let begun = history.sides.first.preface;
    for (place, reset) in history.resets.iter().enumerate().filter(|(_, reset)| reset.is_cancel) {
        let Some(span) = reset.age() else { continue };
        let item = Waited { place, span };
        let reacts = is_reaction(&blows, reset) || echoes(history, reset);
        if reacts && reset.deadline.is_none_or(|limit| !is_at(span, limit)) {
            reacting.push(item);
        } else if reset.deadline.is_some_and(|deadline| {
            // A call that waited for a free stream may carry the whole of it.
            is_at(span, deadline) || begun.is_some_and(|of| is_at(reset.stamp.since(of), deadline))
        }) {
            with_deadline.push(item);
        } else if let Some(whose) = dead_path::blurs(history, reset) {
            blurred.side_mut(whose).push(item);
        } else if queue.held_back(reset) {
            queued.push(item);
        } else if span < AT_ONCE {
            changed_mind.push(item);
        } else if reset.grpc && reset.deadline.is_none() {
            of_grpc.push(item);
        } else if let (Some(_), Some(last)) = (reset.responded, reset.last_from_peer) {
            reading.push(Waited { place, span: reset.stamp.since(last) });
        } else {
            waited.push(item);
        }
    }
    by_deadline(history, with_deadline, &mut groups);
    without_deadline(history, of_grpc, &mut groups);
    unheard(&blurred, &mut groups);
    let superseded = rivals::superseded(history, &mut waited);
    if !superseded.is_empty() {
        // A timeout of the length at which the next one is due looks like that, too.
        let sure = if are_alike(&superseded, 0.02) { 0.55 } else { 0.8 };
        let told_by = "each was reset right behind the next request";
        groups.push(burst(&superseded, Confidence::new(sure), told_by));
    }
    by_age(history, waited, &mut groups);
    join_timers(&mut groups, reacting, FEW);
    join_queued(history, &mut groups, queued);
    let changed_mind = join_moments(history, &mut groups, changed_mind);
    if !changed_mind.is_empty() {
        groups.push(burst(&changed_mind, Confidence::CERTAIN, "they were reset at once"));
    }
    let reading = whole_time(history, reading, &mut groups);
    by_silence(reading, &mut groups);
    server::groups(history, &mut groups);
    for group in &mut groups {
        group.places.sort_unstable();
        if history.has_loss() {
            group.confidence = group.confidence.lowered();
        }
    }
    groups.sort_by_key(|group| group.places.first().copied());
    groups
}

/// Resets in a time in which nothing of a side arrived.
fn unheard(blurred: &Both<Vec<Waited>>, groups: &mut Vec<CancelGroup>) {
    let told_by = Both {
        first: "nothing of the client arrived when they were sent or reset",
        second: "nothing of the server arrived when they were reset",
    };
    for side in [Side::Client, Side::Server] {
        let blurred = blurred.side(side);
        if !blurred.is_empty() {
            let group = burst(blurred, Confidence::POSSIBLE, told_by.side(side));
            groups.push(CancelGroup { cause: Cause::ClientRequestTimeout, ..group });
        }
    }
}

/// Moments at which a side sent GOAWAY, or the server closed or broke a rule, while the client had
/// given up on nothing in the moment before. A reset right after one only cleans up: it has no
/// cause of its own, it is a consequence of the ending.
fn blows(history: &History) -> Vec<Stamp> {
    let findings = history.findings.iter().filter(|finding| finding.by == Side::Server);
    // The client's own farewell clears what is left, too.
    let goaways = history.goaways.iter();
    let all = goaways
        .map(|goaway| goaway.stamp)
        .chain(findings.map(|finding| finding.stamp))
        .chain(history.fin.second);
    let cancels: Vec<Stamp> = history.cancels().map(|reset| reset.stamp).collect();
    let surprising = |blow: &Stamp| {
        let before = cancels.partition_point(|cancel| cancel.before(*blow));
        let last = before.checked_sub(1).and_then(|place| cancels.get(place));
        last.is_none_or(|last| blow.since(*last) > REACTION)
    };
    let mut blows: Vec<Stamp> = all.filter(surprising).collect();
    blows.sort_by_key(|blow| blow.order());
    blows
}

fn is_reaction(blows: &[Stamp], reset: &Reset) -> bool {
    // In one packet they are one act.
    let before = blows.partition_point(|blow| !reset.stamp.before(*blow));
    let last = before.checked_sub(1).and_then(|place| blows.get(place));
    last.is_some_and(|blow| reset.stamp.since(*blow) <= REACTION)
}

/// Whether it only repeats the error of a GOAWAY that the client has just read.
fn echoes(history: &History, reset: &Reset) -> bool {
    let own = [ErrorCode::NO_ERROR, ErrorCode::CANCEL];
    let code = reset.code.filter(|code| !own.contains(code));
    let same = |goaway: &&Goaway| {
        let before = goaway.stamp.before(reset.stamp) && goaway.by != reset.by;
        before && Some(goaway.code) == code && reset.stamp.since(goaway.stamp) <= REACTION
    };
    code.is_some() && history.goaways.iter().any(|goaway| same(&goaway))
}

/// A peer answers an ending that it has just read within this time, also on a busy machine.
const REACTION: Duration = Duration::from_millis(50);

const MILLI: Duration = Duration::from_millis(1);

/// Ages that cluster are timers; ages that do not are somebody's decisions.
fn by_age(history: &History, items: Vec<Waited>, groups: &mut Vec<CancelGroup>) {
    let mut items = at_one_moment(history, items, groups);
    items.sort_by_key(|item| (item.span, item.place));
    let mut lone = Vec::new();
    let all = history.cancels().count();
    for cluster in rivals::smeared(&items) {
        // A few of one age among many of others are chance, the more so the younger they are.
        let young = cluster.last().is_some_and(|item| item.span < AT_ONCE * 5);
        let few = cluster.len() < 3 || cluster.len() * 20 < all || (young && cluster.len() < 10);
        if few || rivals::is_chance(cluster, &items) {
            lone.extend_from_slice(cluster);
            continue;
        }
        groups.push(judge_cluster(history, cluster));
    }
    let lone = join_timers(groups, lone, 1);
    let lone = join_first_flight(history, groups, lone);
    let all = lone.len();
    let (mut round, mut other): (Vec<_>, Vec<_>) =
        lone.into_iter().partition(|item| is_round(item) && item.span >= AT_ONCE * 10);
    // Of ages of any length so many are round.
    if round.len() * 4 <= all {
        other.append(&mut round);
    }
    // Round ages of many lengths are chance.
    let mut lengths: Vec<Duration> = round.iter().filter_map(|of| round_value(of.span)).collect();
    lengths.dedup();
    for item in round {
        // What waited for its connection is younger than the client's clock says.
        let sure = if item.span < LONG || lengths.len() >= FEW { 0.45 } else { 0.6 };
        let told_by = "the age is a round number, as timeouts are";
        groups.push(timed(&[item], Confidence::new(sure), told_by));
    }
    if !other.is_empty() {
        let told_by = "their ages have nothing in common";
        groups.push(burst(&other, Confidence::new(0.5), told_by));
    }
}

/// Younger requests hardly have a timeout of their own length.
const LONG: Duration = Duration::from_secs(1);

/// gRPC writes its deadline into the request: without one, a reset is somebody's decision, unless
/// a proxy that has a timer of its own took the deadline away.
fn without_deadline(history: &History, items: Vec<Waited>, groups: &mut Vec<CancelGroup>) {
    if items.is_empty() {
        return;
    }
    let told_by = "they carry gRPC without a deadline";
    if items.len() >= FEW && are_alike(&items, 0.02) && opened_apart(history, &items) {
        let told_by = "they carry no deadline, and were reset at one age all the same";
        return groups.push(timed(&items, Confidence::new(0.7), told_by));
    }
    groups.push(burst(&items, Confidence::new(0.75), told_by));
}

/// Whether all have one length, within this share of it and a few milliseconds.
fn are_alike(items: &[Waited], share: f64) -> bool {
    alike(items, share) == items.len()
}

/// Whether four in five have.
fn are_most_alike(items: &[Waited], share: f64) -> bool {
    alike(items, share) * 5 >= items.len() * 4
}

fn alike(items: &[Waited], share: f64) -> usize {
    let middle = median(items);
    let width = middle.mul_f64(share) + MILLI * 5;
    items.iter().filter(|item| item.span.abs_diff(middle) <= width).count()
}

/// Whether its length is one that people set.
fn is_round(item: &Waited) -> bool {
    round_value(item.span).is_some()
}

fn spread(items: &[Waited]) -> Duration {
    let spans = || items.iter().map(|item| item.span);
    spans().max().unwrap_or_default() - spans().min().unwrap_or_default()
}

/// Whether they were opened at different times, as seen from how long they waited.
fn opened_apart(history: &History, items: &[Waited]) -> bool {
    let opened_over = extent(items.iter().filter_map(|item| opened(history, item)));
    opened_over > median(items).mul_f64(0.1) + MILLI * 10
}

/// Streams that were opened and reset in the moment when a time ran out had waited inside the
/// client for a free one: they share that time. Returns the others.
fn join_moments(history: &History, groups: &mut [CancelGroup], items: Vec<Waited>) -> Vec<Waited> {
    let timed = |group: &&mut CancelGroup| {
        group.timeout.is_some() && group.by == Side::Client && group.places.len() >= FEW
    };
    let mut timed: Vec<(Vec<i64>, &mut CancelGroup)> = groups
        .iter_mut()
        .filter(timed)
        .map(|group| {
            let mut moments: Vec<i64> = group.resets(history).map(|of| of.stamp.at.0).collect();
            moments.sort_unstable();
            (moments, group)
        })
        .collect();
    let stays = |item: &Waited| {
        let Some(at) = history.resets.get(item.place).map(|reset| reset.stamp.at.0) else {
            return true;
        };
        let near = |moments: &[i64]| {
            let from = moments.partition_point(|of| *of < at - AT_ONCE_NS);
            moments.get(from).is_some_and(|of| *of <= at + AT_ONCE_NS)
        };
        let same = timed.iter_mut().find(|(moments, _)| near(moments));
        same.map(|(_, group)| group.places.push(item.place)).is_none()
    };
    items.into_iter().filter(stays).collect()
}

/// Nanoseconds between what one timer ends at most.
const AT_ONCE_NS: i64 = 5_000_000;

/// Fewer samples are no timer that others are measured by.
const FEW: usize = 3;

/// A few that fit a timer that was found, on as many samples at least, are the same timer. Returns
/// the others.
fn join_timers(groups: &mut [CancelGroup], items: Vec<Waited>, least: usize) -> Vec<Waited> {
    let stays = |item: &Waited| {
        let same = groups.iter_mut().find(|group| {
            let own = group.by == Side::Client && group.places.len() >= least;
            let timer = group.timeout.as_ref().filter(|_| own);
            timer.is_some_and(|timer| {
                let distance = (item.span.as_secs_f64() - timer.seconds).abs();
                distance <= 0.05 * timer.seconds + 0.02
            })
        });
        let Some(group) = same else { return true };
        group.places.push(item.place);
        if let Some(timer) = &mut group.timeout {
            timer.samples += 1;
        }
        false
    };
    items.into_iter().filter(stays).collect()
}

/// Takes out resets of unlike ages that follow each other within far less time than their
/// requests were opened in: one decision. Its ages may agree with those of another moment, or be
/// round, by chance.
fn at_one_moment(
    history: &History,
    mut items: Vec<Waited>,
    groups: &mut Vec<CancelGroup>,
) -> Vec<Waited> {
    let moment = |item: &Waited| history.resets.get(item.place).map_or(0, |r| r.stamp.at.0);
    items.sort_by_key(|item| (moment(item), item.place));
    let is_one = |run: &[Waited]| {
        let least = run.iter().map(|item| item.span).min().unwrap_or_default();
        let opened_over = extent(run.iter().filter_map(|item| opened(history, item)));
        let at_once = opened_over > reset_over(history, run).mul_f64(3.0) + MILLI * 20;
        // Alike, they may be one batch that a coarse timer ended.
        run.len() >= 3 && at_once && spread(run) > least.mul_f64(0.25)
    };
    let runs = || items.chunk_by(|a, b| moment(b) - moment(a) <= APART);
    let mut alone: Vec<Duration> =
        runs().filter(|run| !is_one(run)).flatten().map(|item| item.span).collect();
    alone.sort_unstable();
    // Who agrees with many that were reset by themselves has their timer.
    let has_timer = |item: &&Waited| {
        let below = |share: f64| alone.partition_point(|span| *span < item.span.mul_f64(share));
        below(1.01) - below(0.99) >= 5
    };
    let mut rest = Vec::new();
    for run in runs() {
        let odd = |run: &[Waited]| {
            let of_timer = own_timers(history, run);
            let odd = run
                .iter()
                .filter(|item| !has_timer(item) && of_timer.binary_search(&item.place).is_err());
            let odd: Vec<Waited> = odd.copied().collect();
            odd.len() * 2 > run.len() && is_one(&odd)
        };
        if is_one(run) && odd(run) {
            let told_by = "requests of different ages were reset in one moment";
            groups.push(burst(run, Confidence::new(0.75), told_by));
        } else {
            rest.extend_from_slice(run);
        }
    }
    rest
}

/// Places, in order, of those that were opened far apart and are of one age all the same: one
/// decision makes them of as many ages as there were moments in which they were opened.
fn own_timers(history: &History, run: &[Waited]) -> Vec<usize> {
    let mut aged = run.to_vec();
    aged.sort_by_key(|item| (item.span, item.place));
    let timer = |cluster: &&[Waited]| {
        cluster.len() >= 5 && are_alike(cluster, 0.005) && opened_apart(history, cluster)
    };
    let places = clusters(&aged).filter(timer).flatten().map(|item| item.place);
    let mut places: Vec<usize> = places.collect();
    places.sort_unstable();
    places
}

/// Nanoseconds between two resets of one decision at most, on a busy client.
const APART: i64 = 50_000_000;

/// Runs of ages without a jump between neighbours.
fn clusters(items: &[Waited]) -> impl Iterator<Item = &[Waited]> {
    items.chunk_by(|a, b| b.span <= a.span.mul_f64(1.03) + MILLI * 5)
}

fn judge_cluster(history: &History, cluster: &[Waited]) -> CancelGroup {
    let middle = median(cluster);
    if !are_most_alike(cluster, 0.02) {
        return coarse(history, cluster)
            .or_else(|| rivals::jittered(history, cluster))
            .unwrap_or_else(|| judge_wide(history, cluster));
    }
    if opened_apart(history, cluster) {
        // Opened at different times, each gave up at the same age: timers.
        if rivals::is_outrun(history, cluster) {
            let told_by = "each was reset right after another of its kind had been answered";
            return burst(cluster, Confidence::new(0.75), told_by);
        }
        let confidence = match cluster.len() {
            // Who types on gives up the last search for the next, at the pace of the keys.
            _ if middle < MILLI * 600 && rivals::is_replaced(history, cluster) => 0.6,
            5.. => 0.95,
            _ => 0.9,
        };
        let told_by = "they were opened at different times and reset at one age";
        return timed(cluster, Confidence::new(confidence), told_by);
    }
    // One batch: a timer and one decision look alike. A timer fires for each stream by itself, so
    // that resets come as far apart as their requests did; what one decision ends, ends at once.
    let opened_over = extent(cluster.iter().filter_map(|item| opened(history, item)));
    let turns = Turns::of(history, cluster);
    let one_by_one = match turns {
        Turns::Followed => true,
        Turns::Ignored => false,
        Turns::Unclear => reset_over(history, cluster) + MILLI >= opened_over,
    };
    let ends = [cluster.first(), cluster.get(cluster.len() * 4 / 5)];
    let round = ends.into_iter().flatten().any(is_round);
    match (one_by_one, round) {
        (true, true) => timed(cluster, Confidence::new(0.75), "one batch, reset at a round age"),
        (false, true) => timed(cluster, Confidence::new(0.55), "one batch, reset at a round age"),
        (true, false) if reset_over(history, cluster) > opened_over.mul_f64(3.0) + MILLI * 10 => {
            timed(cluster, Confidence::new(0.7), "one batch, reset one by one at one age")
        }
        (true, false) if matches!(turns, Turns::Followed) => {
            timed(cluster, Confidence::new(0.65), "one batch, each reset in its request's turn")
        }
        (true, false) => burst(cluster, Confidence::new(0.55), "one batch, reset in one go"),
        (false, false) => burst(cluster, Confidence::new(0.65), "one batch, reset in one go"),
    }
}

/// Ages that differ by no more than a coarse timer's tick, of requests opened at many times: such
/// timers fire up to a tick late, never early.
fn coarse(history: &History, cluster: &[Waited]) -> Option<CancelGroup> {
    let (least, most) = (cluster.first()?.span, cluster.last()?.span);
    let spread = most.saturating_sub(least);
    let opened_over = extent(cluster.iter().filter_map(|item| opened(history, item)));
    let ticking = spread <= TICK + most.mul_f64(0.02) && spread * 3 <= least;
    if cluster.len() < 5 || !ticking || opened_over < spread * 8 {
        return None;
    }
    let confidence = if round_value(least).is_some() { 0.72 } else { 0.62 };
    let told_by = "they were opened at many times and reset within one tick of a coarse timer";
    let mut group = timed(cluster, Confidence::new(confidence), told_by);
    if let Some(timeout) = &mut group.timeout {
        timeout.seconds = round_value(least).unwrap_or(least).as_secs_f64();
    }
    Some(group)
}

/// The coarsest tick of a timer that is widely used (Netty's wheel).
const TICK: Duration = Duration::from_millis(100);

fn opened(history: &History, item: &Waited) -> Option<i64> {
    history.resets.get(item.place)?.opened.map(|stamp| stamp.at.0)
}

fn reset_over(history: &History, items: &[Waited]) -> Duration {
    extent(items.iter().filter_map(|item| history.resets.get(item.place)).map(|r| r.stamp.at.0))
}

/// Spread ages. Requests that had to wait before they could be sent (for the connection, for a
/// free stream) look younger than they are to the client's timer: a batch sent in one moment is
/// then reset one by one, up to the timeout's full length. One decision resets a batch at once.
fn judge_wide(history: &History, cluster: &[Waited]) -> CancelGroup {
    let mut items = cluster.to_vec();
    items.sort_by_key(|item| (opened(history, item), item.place));
    let apart = 5_000_000; // nanoseconds between two batches
    let batches = items.chunk_by(|a, b| {
        opened(history, a).zip(opened(history, b)).is_some_and(|(a, b)| b - a <= apart)
    });
    let mut oldest = Vec::new();
    let mut ramped = 0;
    for batch in batches.filter(|batch| batch.len() >= 3) {
        let opened_over = extent(batch.iter().filter_map(|item| opened(history, item)));
        if reset_over(history, batch) > opened_over.mul_f64(2.0) + MILLI * 4 {
            ramped += batch.len();
            oldest.extend(batch.iter().map(|item| item.span).max());
        }
    }
    oldest.sort_unstable();
    let Some(limit) = oldest.get(oldest.len() / 2).copied() else {
        return burst(cluster, Confidence::LIKELY, "their ages are spread");
    };
    let alike = oldest.iter().filter(|age| age.abs_diff(limit) <= limit.mul_f64(0.1)).count();
    let most = ramped * 5 >= cluster.len() * 3 && alike * 5 >= oldest.len() * 3;
    let confidence = match oldest.len() {
        _ if !most => return burst(cluster, Confidence::LIKELY, "their ages are spread"),
        1 if round_value(limit).is_none() => {
            return burst(cluster, Confidence::new(0.5), "their ages are spread");
        }
        1 => 0.6,
        2 => 0.75,
        _ => 0.85,
    };
    let told_by = "batches of requests were reset one by one up to one age";
    let mut group = timed(cluster, Confidence::new(confidence), told_by);
    if let Some(timeout) = &mut group.timeout {
        timeout.seconds = limit.as_secs_f64();
    }
    group
}

fn timed(items: &[Waited], confidence: Confidence, told_by: &'static str) -> CancelGroup {
    let spans = || items.iter().map(|item| item.span);
    let (least, most) = (spans().min().unwrap_or_default(), spans().max().unwrap_or_default());
    CancelGroup {
        cause: Cause::ClientRequestTimeout,
        by: Side::Client,
        places: items.iter().map(|item| item.place).collect(),
        timeout: Some(Timeout {
            kind: Cause::ClientRequestTimeout,
            seconds: median(items).as_secs_f64(),
            at_least: false,
            spread_seconds: (most - least).as_secs_f64() / 2.0,
            samples: items.len() as u32,
            configured_in: Side::Client.into(),
        }),
        confidence,
        told_by,
    }
}

fn burst(items: &[Waited], confidence: Confidence, told_by: &'static str) -> CancelGroup {
    CancelGroup {
        cause: Cause::ClientCancelBurst,
        by: Side::Client,
        places: items.iter().map(|item| item.place).collect(),
        timeout: None,
        confidence,
        told_by,
    }
}

fn median(items: &[Waited]) -> Duration {
    let mut spans: Vec<Duration> = items.iter().map(|item| item.span).collect();
    spans.sort_unstable();
    spans.get(spans.len() / 2).copied().unwrap_or_default()
}

fn extent(times: impl Iterator<Item = i64>) -> Duration {
    let (mut least, mut most) = (i64::MAX, i64::MIN);
    for time in times {
        least = least.min(time);
        most = most.max(time);
    }
    Duration::from_nanos(u64::try_from(most.saturating_sub(least)).unwrap_or(0))
}

#[cfg(test)]
mod tests;
