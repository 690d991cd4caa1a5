//! Timers measured over all connections of a pair, and what they settle: a lone cancel or a silent
//! end at the age of a timer that the same pair shows elsewhere is that timer.
//!
//! Works on what [`super::pair`] kept, whose order does not matter.

mod closes;
mod pools;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::track::history::Answers;
use crate::vocab::address::Endpoint;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::pair::{
    Ages, InferredTimeout, RequestAnswers, ServerAnswers, ServerTimes, Timer,
};
use crate::vocab::verdict::{Alternative, Cancellation, ConfiguredIn, Timeout, Verdict};

use self::closes::Closes;
pub use self::closes::strangers;
pub use self::pools::{Pooled, apply_pool, of_pools};
use super::chance;
use super::pair::{About, Answered, Doubt, PairFacts, Sample};
use super::scene::spoken;

/// What makes samples comparable: timer, place of its setting, client (for the client's timers),
/// server.
type Key = (Endpoint, Option<IpAddr>, ConfiguredIn, Timer);

/// Measures every timer.
pub fn infer(facts: &[PairFacts]) -> Vec<InferredTimeout> {
    let mut by_key: BTreeMap<Key, Vec<(&PairFacts, &Sample)>> = BTreeMap::new();
    for of in facts {
        for sample in &of.samples {
            let client = (sample.by != ConfiguredIn::Server).then_some(of.client);
            let key = (of.server, client, sample.by, sample.timer);
            by_key.entry(key).or_default().push((of, sample));
        }
    }
    let mut found = Vec::new();
    for (key, mut samples) in by_key {
        let order = |s: &Sample| (s.seconds, s.spread);
        samples.sort_by(|(f, a), (g, b)| {
            let (a, b) = (order(a), order(b));
            a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).then(f.place.cmp(&g.place))
        });
        let (bounds, exact): (Vec<_>, Vec<_>) =
            samples.into_iter().partition(|(_, sample)| sample.at_least);
        let mut of_key: Vec<InferredTimeout> = exact
            .chunk_by(|(_, a), (_, b)| {
                let spread = a.timer == Timer::Of(Cause::MaxConnectionAge);
                (near(a.seconds, b.seconds) && !are_of_two_kinds(a, b))
                    || (spread && b.seconds <= a.seconds * 1.1 / 0.9)
            })
            .filter_map(|cluster| pooled(key, cluster, around(&exact, cluster)))
            .collect();
        if of_key.is_empty() {
            of_key.extend(bounds.last().and_then(|bound| pooled(key, &[*bound], 0)));
        }
        found.extend(of_key);
    }
    found
}

/// Whether two measurements are of two timers that lie close together: each is tight, and of
/// requests of one kind, and they differ by far more than either scatters.
fn are_of_two_kinds(a: &Sample, b: &Sample) -> bool {
    let kinds = a.request.as_ref().zip(b.request.as_ref());
    let apart = (a.seconds - b.seconds).abs() - 2.0 * (a.spread + b.spread);
    let many = a.samples >= 3 && b.samples >= 3;
    many && kinds.is_some_and(|(a, b)| a != b) && apart > 0.02 * a.seconds
}

/// Whether two measurements may be of one timer: within 6 %, or 60 ms where that is not much.
pub fn near(a: f64, b: f64) -> bool {
    let larger = a.max(b);
    (a - b).abs() <= (0.06 * larger).max((0.2 * larger).min(0.06))
}

/// `around` as [`around`] counts them.
fn pooled(key: Key, cluster: &[(&PairFacts, &Sample)], around: usize) -> Option<InferredTimeout> {
    let (server, _, configured_in, kind) = key;
    let weight: u64 = cluster.iter().map(|(_, sample)| u64::from(sample.samples)).sum();
    let mut passed = 0;
    let (_, middle) = cluster.iter().find(|(_, sample)| {
        passed += u64::from(sample.samples);
        passed * 2 >= weight
    })?;
    let least = cluster.iter().map(|(_, s)| s.seconds - s.spread).fold(f64::MAX, f64::min);
    let most = cluster.iter().map(|(_, s)| s.seconds + s.spread).fold(0.0, f64::max);
    let mut places: Vec<usize> = cluster.iter().map(|(facts, _)| facts.place).collect();
    places.sort_unstable();
    places.dedup();
    let mut clients: Vec<IpAddr> = cluster.iter().map(|(facts, _)| facts.client).collect();
    clients.sort_unstable();
    clients.dedup();
    let mut requests: Vec<String> =
        cluster.iter().filter_map(|(_, sample)| sample.request.clone()).collect();
    requests.sort_unstable();
    requests.dedup();
    requests.truncate(REQUESTS_NAMED);
    let width = (most - least) / middle.seconds;
    let confidence = confidence(cluster, (places.len(), around), width);
    (confidence.value() >= WORTH_TELLING).then_some(InferredTimeout {
        kind,
        seconds: middle.seconds,
        spread_seconds: (most - least) / 2.0,
        at_least: middle.at_least,
        samples: weight.min(u64::from(u32::MAX)) as u32,
        connections: places.len() as u32,
        configured_in,
        client: clients.first().copied().filter(|_| clients.len() == 1),
        server,
        requests,
        confidence,
    })
}

/// As sure as the best of the samples, less where they scatter: what connections that agree prove
/// was weighed when their verdicts were, so that no timer is surer than those. Only cancels on
/// connections that live on are heard together here for the first time.
fn confidence(
    cluster: &[(&PairFacts, &Sample)],
    (connections, around): (usize, usize),
    width: f64,
) -> Confidence {
    let best = cluster.iter().map(|(_, sample)| sample.confidence.value()).fold(0.0, f64::max);
    let agreed = match connections {
        // A single gap of a client that went away is no timer: many equal ones are.
        _ if best < WORTH_TELLING && (connections < 4 || width > 0.02) => 0.0,
        _ if best < WORTH_TELLING => 0.6,
        _ if cluster.iter().all(|(_, sample)| sample.direct) => best,
        ..2 => best,
        _ => best.max(by_agreement(cluster, connections, around)),
    };
    let scattered = if width > 0.25 {
        0.75
    } else if width > 0.1 {
        0.9
    } else {
        1.0
    };
    Confidence::new((agreed * scattered).min(0.97) as f32)
}

/// How many other connections show a timer of this kind around that of a cluster.
fn around(all: &[(&PairFacts, &Sample)], cluster: &[(&PairFacts, &Sample)]) -> usize {
    let Some((_, middle)) = cluster.get(cluster.len() / 2) else { return 0 };
    let age = |sample: &Sample| Duration::try_from_secs_f64(sample.seconds).unwrap_or_default();
    let near = |(_, other): &&(&PairFacts, &Sample)| chance::is_around(age(middle), age(other));
    let mut places: Vec<usize> = all.iter().filter(near).map(|(facts, _)| facts.place).collect();
    places.sort_unstable();
    places.dedup();
    places.len().saturating_sub(1)
}

/// What several connections prove by their agreement, beside what each shows: as much as it is
/// unlikely by chance among all that are around.
fn by_agreement(cluster: &[(&PairFacts, &Sample)], connections: usize, around: usize) -> f64 {
    let (least, most) = cluster.iter().fold((f64::MAX, 0.0_f64), |(least, most), (_, sample)| {
        (least.min(sample.seconds), most.max(sample.seconds))
    });
    let span = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let width = span(most - least) + span(most).mul_f64(0.01);
    match chance::of_agreeing(span(most), width, around, connections - 1) {
        by_chance if by_chance < 0.003 => 0.88,
        by_chance if by_chance < 0.07 => 0.74,
        _ => 0.0,
    }
}

/// Less than this is noise.
const WORTH_TELLING: f64 = 0.3;
const REQUESTS_NAMED: usize = 3;

/// How long servers take.
pub fn answers(by_server: &BTreeMap<Endpoint, Answered>) -> Vec<ServerAnswers> {
    let all = by_server.iter().map(|(server, of)| ServerAnswers {
        server: *server,
        times: times(&of.answers.total(), &of.late.total()),
        requests: by_request(of),
    });
    all.filter(|of| of.times.count + of.times.late > 0).collect()
}

/// The kinds of request, those with answers that came too late first, then the slowest.
fn by_request(of: &Answered) -> Vec<RequestAnswers> {
    let classes = of.answers.classes().iter().chain(of.late.classes());
    let mut names: Vec<&str> = classes.map(|class| class.name.as_ref()).collect();
    names.sort_unstable();
    names.dedup();
    let told = names.into_iter().map(|name| RequestAnswers {
        request: name.to_string(),
        times: times(&of.answers.named(&[name]), &of.late.named(&[name])),
    });
    let mut told: Vec<RequestAnswers> = told.collect();
    told.sort_by(|a, b| {
        let order = |of: &RequestAnswers| (of.times.late, of.times.max);
        let ((late_a, max_a), (late_b, max_b)) = (order(a), order(b));
        late_b.cmp(&late_a).then(max_b.total_cmp(&max_a))
    });
    told
}

fn times(answers: &Answers, late: &Answers) -> ServerTimes {
    let seconds = |of: &Answers, share: f64| match of.count() {
        0 => 0.0,
        _ => of.quantile(share).as_secs_f64(),
    };
    let range = |share| {
        let (low, high) = answers.quantile_range(share)?;
        Some((low.as_secs_f64(), high.as_secs_f64()))
    };
    ServerTimes {
        count: answers.count(),
        median: seconds(answers, 0.5),
        median_range: range(0.5),
        p99: seconds(answers, 0.99),
        p99_range: range(0.99),
        max: answers.max().as_secs_f64(),
        late: late.count(),
        late_median: seconds(late, 0.5),
        late_max: late.max().as_secs_f64(),
    }
}

/// How long requests waited, over all servers.
pub fn ages<'a>(servers: impl Iterator<Item = &'a Answered>) -> Ages {
    let mut all = Answered::default();
    servers.for_each(|of| all.merge(of));
    let Answered { answers, late, cancels, open } = all;
    Ages {
        answers: answers.total().ages(),
        late: late.total().ages(),
        cancels: cancels.ages(),
        open: open.ages(),
    }
}

/// A doubt that the pair's other connections settle: a client's request timeout.
#[derive(Clone, Debug)]
pub struct Settled {
    /// Place of the connection.
    pub place: usize,
    /// What it is about.
    pub about: About,
    /// The timer.
    pub timeout: Timeout,
    /// How sure.
    pub confidence: Confidence,
    /// Whether it is measured from the SYN: the timer began with the connection.
    pub from_syn: bool,
}

/// Whether a sample is a client's timeout that the close of one connection tells by itself.
pub fn is_lone(sample: &Sample) -> bool {
    sample.timer == Timer::Of(Cause::ClientRequestTimeout)
        && sample.by == ConfiguredIn::Client
        && sample.samples == 1
        && sample.direct
        && sample.confidence.value() < ALONE
}

/// What the close of one connection tells by itself is never as sure as this.
const ALONE: f64 = 0.8;

/// The same at an age that a person sets: two that agree measure others.
fn is_set(sample: &Sample) -> bool {
    let age = Duration::try_from_secs_f64(sample.seconds).unwrap_or_default();
    is_lone(sample) && chance::is_setting(age)
}

/// Takes back most of what a round age seemed to say.
pub fn doubt_lone(verdict: &mut Verdict, why: &str) {
    let lone = verdict.timeout.as_ref().is_some_and(|timeout| timeout.samples == 1);
    if verdict.cause == Cause::ClientRequestTimeout && lone && verdict.confidence.value() < ALONE {
        verdict.confidence = verdict.confidence.and(Confidence::new(0.5));
        verdict.add_clause(why);
    }
}

/// Looks at each doubt with the timers of its pair, measured elsewhere.
pub fn settle(facts: &[PairFacts]) -> Vec<Settled> {
    let mut by_pair: BTreeMap<(IpAddr, Endpoint), Vec<&PairFacts>> = BTreeMap::new();
    for of in facts {
        by_pair.entry((of.client, of.server)).or_default().push(of);
    }
    let mut settled = Vec::new();
    for pair in by_pair.values() {
        let mut timers: Vec<(usize, &Sample)> = Vec::new();
        for of in pair {
            let clear = |sample: &&Sample| {
                sample.timer == Timer::Of(Cause::ClientRequestTimeout)
                    && sample.by == ConfiguredIn::Client
                    && !sample.at_least
                    && (sample.confidence.value() >= CLEAR || is_set(sample))
            };
            timers.extend(of.samples.iter().filter(clear).map(|sample| (of.place, sample)));
        }
        let ends = pair.iter().flat_map(|of| of.doubts.iter().map(|doubt| (of.place, doubt)));
        let closes = Closes::of(ends.collect());
        timers.sort_by(|(p, a), (q, b)| a.seconds.total_cmp(&b.seconds).then(p.cmp(q)));
        let timers = measured(timers);
        for of in pair {
            let of_pair = |doubt| {
                let both = [fit(of.place, doubt, &timers), closes.settle(of.place, doubt)];
                let sure = |settled: &Settled| settled.confidence.value();
                both.into_iter().flatten().reduce(|a, b| if sure(&b) > sure(&a) { b } else { a })
            };
            settled.extend(of.doubts.iter().filter_map(of_pair));
        }
    }
    settled.sort_by_key(|settled| settled.place);
    settled
}

/// Of timers in their order those that are a measure for other requests: what a single request
/// tells is none, unless its neighbour from another connection tells the same.
fn measured(timers: Vec<(usize, &Sample)>) -> Vec<(usize, &Sample)> {
    let alike = |(at, one): &(usize, &Sample), (of, other): &(usize, &Sample)| {
        at != of && (one.seconds - other.seconds).abs() <= 0.01 * one.seconds + 0.005
    };
    let is_measure = |(index, timer): &(usize, &(usize, &Sample))| {
        let before = index.checked_sub(1).and_then(|before| timers.get(before));
        let beside = [before, timers.get(index + 1)];
        timer.1.samples >= 3 || beside.into_iter().flatten().any(|other| alike(timer, other))
    };
    timers.iter().enumerate().filter(is_measure).map(|(_, timer)| *timer).collect()
}

/// The timer that a doubt fits: measured on other connections, or on this one from other streams.
fn fit(place: usize, doubt: &Doubt, timers: &[(usize, &Sample)]) -> Option<Settled> {
    let (least, most) = (doubt.ages.0.as_secs_f64(), doubt.ages.1.as_secs_f64());
    let at = timers.partition_point(|(_, timer)| timer.seconds < most);
    let nearest = timers.get(at.saturating_sub(NEAREST)..(at + NEAREST).min(timers.len()))?;
    let fitting: Vec<&(usize, &Sample)> = nearest
        .iter()
        .filter(|(at, t)| *at != place && near(t.seconds, most) && near(t.seconds, least))
        .collect();
    let (_, best) = fitting.iter().max_by(|(_, a), (_, b)| {
        let distance = |sample: &Sample| (sample.seconds - most).abs();
        distance(b).total_cmp(&distance(a))
    })?;
    let confidence = match fitting.len() {
        // Closes are no measure for others unless they agree closely.
        _ if fitting.iter().all(|(_, timer)| is_lone(timer)) => 0.74,
        1 => 0.8,
        _ => 0.85,
    };
    Some(Settled {
        place,
        about: doubt.about,
        timeout: Timeout {
            kind: Cause::ClientRequestTimeout,
            seconds: best.seconds,
            at_least: false,
            spread_seconds: (most - least) / 2.0,
            samples: doubt.count,
            configured_in: ConfiguredIn::Client,
        },
        confidence: Confidence::new(confidence),
        from_syn: false,
    })
}

/// Timers to either side that are looked at for one that fits: the nearest tell as much as all.
const NEAREST: usize = 16;

/// A timer that other connections may be measured by.
const CLEAR: f64 = 0.6;

/// Puts what was settled into a cancellation.
pub fn apply_to_cancels(set: &mut Cancellation, settled: &Settled) {
    set.cause = Cause::ClientRequestTimeout;
    set.timeout = Some(settled.timeout.clone());
    set.confidence = settled.confidence;
}

/// Puts what was settled into a verdict whose chain begins with these cancels.
pub fn apply_to_root(verdict: &mut Verdict, set: &Cancellation) {
    let of_set = |stream: &u32| set.streams.binary_search(stream).is_ok();
    let root = verdict.cause == Cause::ClientCancelBurst
        && !verdict.cancelled_streams.is_empty()
        && verdict.cancelled_streams.iter().all(of_set);
    if root {
        verdict.cause = set.cause;
        verdict.timeout.clone_from(&set.timeout);
        verdict.confidence = verdict.confidence.and(set.confidence);
    }
}

/// Puts what was settled into the verdict of an end.
pub fn apply_to_verdict(verdict: &mut Verdict, settled: &Settled) {
    if verdict.confidence > settled.confidence {
        return;
    }
    let value = spoken(Duration::try_from_secs_f64(settled.timeout.seconds).unwrap_or_default());
    let since = if settled.from_syn { " (since it began to connect)" } else { "" };
    let summary = format!(
        "The client closed the connection when its request had waited for {value}{since}: its \
         request timeout, as other connections of the pair show it."
    );
    if verdict.cause == Cause::ClientRequestTimeout {
        verdict.confidence = settled.confidence;
        verdict.timeout = Some(settled.timeout.clone());
        match settled.from_syn {
            true => verdict.summary = summary,
            false => verdict.add_clause("as other connections of the pair show it"),
        }
        return;
    }
    let was = Alternative {
        cause: verdict.cause,
        confidence: verdict.confidence.lowered(),
        against: summary.clone(),
    };
    verdict.alternatives.retain(|other| other.cause != Cause::ClientRequestTimeout);
    for other in &mut verdict.alternatives {
        let (best, sure) = (Cause::ClientRequestTimeout, settled.confidence);
        other.against = super::outweighed(best, sure, other.confidence);
    }
    verdict.alternatives.insert(0, was);
    verdict.cause = Cause::ClientRequestTimeout;
    verdict.trigger = Cause::ClientRequestTimeout;
    verdict.blame = Blame::Client;
    verdict.confidence = settled.confidence;
    verdict.timeout = Some(settled.timeout.clone());
    verdict.summary = summary;
    verdict.cancelled_streams = verdict.maybe_processed_streams.clone();
}
