//! What the second pass keeps of a finished connection: samples of timers, doubts that other
//! connections may settle, and a few facts for conflicts. Small, whatever the connection was.

mod doubts;
mod gateway;
mod notes;

use std::net::IpAddr;
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::track::history::{Answers, ByClass, History, Reset};
use crate::vocab::address::{Both, Endpoint, Side};
use crate::vocab::cause::{Cause, Confidence};
use crate::vocab::frame::FrameType;
use crate::vocab::pair::Timer;
use crate::vocab::verdict::{Cancellation, ConfiguredIn, Implementation, Timeout, Verdict};

pub use self::doubts::{About, Doubt};
pub use self::notes::{Notes, Repeats, Standstill};
use super::timeouts::near;
use super::{Judged, pings};

/// What is kept of one connection.
#[derive(Clone, Debug)]
pub struct PairFacts {
    /// Its place among the connections.
    pub place: usize,
    /// The client's host.
    pub client: IpAddr,
    /// The server.
    pub server: Endpoint,
    /// Requests that the client opened.
    pub requests: u64,
    /// Requests that timers of the client ended: the timer's seconds, how many.
    pub killed: Vec<(f64, u64)>,
    /// How many of them were ended while their answer came.
    pub cut: u64,
    /// Timers that it shows.
    pub samples: Vec<Sample>,
    /// Endings and cancels that other connections may explain.
    pub doubts: Vec<Doubt>,
    /// What conflicts are made of, where there is any of it.
    pub notes: Notes,
}

/// One measurement of a timer.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Which.
    pub timer: Timer,
    /// Who configures it.
    pub by: ConfiguredIn,
    /// Its value.
    pub seconds: f64,
    /// Half the distance between the extremes it rests on.
    pub spread: f64,
    /// How many it rests on.
    pub samples: u32,
    /// Whether it is only a lower bound.
    pub at_least: bool,
    /// How sure.
    pub confidence: Confidence,
    /// The kind of request that it mostly ended.
    pub request: Option<String>,
    /// Whether an ending tells it, rather than cancels on a connection that lived on.
    pub direct: bool,
}

impl PairFacts {
    /// Takes from a connection what pooling needs.
    pub fn of(history: &History, judged: &Judged, speak: &Both<Option<Implementation>>) -> Self {
        let mut samples = of_cancels(history, judged);
        let mut killed = killed(judged);
        for (deadline, count) in &history.expired {
            let (seconds, count) = (deadline.as_secs_f64(), *count);
            let own = Timer::Of(Cause::ClientRequestTimeout);
            let same = |of: &&mut Sample| of.timer == own && near(of.seconds, seconds);
            match samples.iter_mut().find(same) {
                Some(sample) => sample.samples = sample.samples.saturating_add(count as u32),
                None => samples.push(expired(seconds, count)),
            }
            match killed.iter_mut().find(|(of, _)| near(*of, seconds)) {
                Some((_, more)) => *more += count,
                None => killed.push((seconds, count)),
            }
        }
        samples.extend([Side::Client, Side::Server].iter().filter_map(|by| pings(history, *by)));
        samples.extend(idle_client(history, judged));
        samples.extend(gateway::timers(history));
        let mut doubts = doubts::of(history, judged);
        samples.shrink_to_fit();
        killed.shrink_to_fit();
        doubts.shrink_to_fit();
        Self {
            place: 0,
            client: history.ends.first.ip,
            server: history.ends.second,
            requests: history.sides.first.opened,
            killed,
            cut: cut(history, judged),
            samples,
            doubts,
            notes: Notes::of(history, judged, speak),
        }
    }

    /// Takes the timers of the verdicts, once its neighbours have been heard.
    pub fn conclude<'a>(
        &mut self,
        verdicts: impl Iterator<Item = &'a Verdict>,
        sets: &[Cancellation],
    ) {
        let told = |timeout: &Timeout| sets.iter().any(|set| set.timeout.as_ref() == Some(timeout));
        let (mut idle, mut aged) = (false, false);
        for verdict in verdicts {
            idle |= verdict.cause == Cause::IdleTimeout;
            aged |= verdict.cause == Cause::MaxConnectionAge;
            let timeout = verdict.timeout.as_ref().filter(|timeout| !told(timeout));
            self.samples.extend(timeout.map(|timeout| sample(timeout, verdict.confidence)));
            self.samples.extend(keepalive_interval(verdict));
        }
        self.notes.idle = self.notes.idle.filter(|_| idle);
        self.notes.grace = self.notes.grace.filter(|_| aged);
    }

    /// Cancels of this set were only passed on: their timer is none of this pair.
    pub fn forget(&mut self, index: usize, set: &Cancellation) {
        self.doubts.retain(|doubt| doubt.about != About::Cancels(index));
        let Some(timeout) = &set.timeout else { return };
        self.samples.retain(|sample| !is_of(sample, timeout));
        let of_set = (timeout.seconds, set.streams.len() as u64);
        if let Some(place) = self.killed.iter().position(|killed| *killed == of_set) {
            self.killed.remove(place);
        }
    }

    /// What answers 504 tell is measured where the proxy gave up.
    pub fn is_measured_behind(&mut self) {
        let told = |sample: &Sample| {
            sample.by == ConfiguredIn::Server
                && sample.timer == Timer::Of(Cause::ServerRequestTimeout)
                && !sample.direct
        };
        self.samples.retain(|sample| !told(sample));
    }

    /// The client is a proxy, and the timer of this set its own.
    pub fn is_of_proxy(&mut self, index: usize, set: &Cancellation) {
        self.doubts.retain(|doubt| doubt.about != About::Cancels(index));
        let Some(timeout) = &set.timeout else { return };
        for sample in self.samples.iter_mut().filter(|sample| is_of(sample, timeout)) {
            sample.timer = Timer::Of(Cause::ServerRequestTimeout);
            sample.by = ConfiguredIn::Proxy;
        }
    }

    /// Takes in what other connections have settled. What a close had told by itself gives way to
    /// it, unless that is surer.
    pub fn learn(&mut self, settled: &super::timeouts::Settled) {
        let sample = sample(&settled.timeout, settled.confidence);
        let of = (settled.timeout.seconds, u64::from(settled.timeout.samples));
        let of_close = !matches!(settled.about, About::Cancels(_));
        let lone = |sample: &&mut Sample| of_close && super::timeouts::is_lone(sample);
        let Some(lone) = self.samples.iter_mut().find(lone) else {
            self.killed.push(of);
            return self.samples.push(sample);
        };
        if lone.confidence <= sample.confidence {
            let told = self.killed.iter_mut().find(|(seconds, _)| *seconds == lone.seconds);
            told.into_iter().for_each(|told| *told = of);
            *lone = sample;
        }
    }
}

/// Times from request to answer: those delivered, and those that came when the stream was gone.
#[derive(Clone, Debug, Default)]
pub struct Answered {
    /// Answers in time.
    pub answers: ByClass,
    /// Answers too late.
    pub late: ByClass,
    /// Requests that the client gave up, at that age.
    pub cancels: Answers,
    /// Requests without an answer when their connection or the capture ended, by how long they had
    /// waited.
    pub open: Answers,
}

impl Answered {
    /// Adds those that others have counted.
    pub fn merge(&mut self, other: &Self) {
        self.answers.merge(&other.answers);
        self.late.merge(&other.late);
        self.cancels.merge(&other.cancels);
        self.open.merge(&other.open);
    }

    /// Adds those of a connection.
    pub fn add(&mut self, history: &History, judged: &Judged) {
        self.answers.merge(&history.answers);
        let cancels = history.resets.iter().filter(|reset| reset.is_cancel);
        cancels.filter_map(Reset::age).for_each(|age| self.cancels.add(age));
        waits(history).for_each(|wait| self.open.add(wait));
        let frames = history.late.iter().filter(|late| {
            let answer = late.kind == FrameType::HEADERS || late.kind == FrameType::DATA;
            late.by == Side::Server && answer
        });
        let mut resets: FxHashMap<u32, &Reset> = FxHashMap::default();
        if !history.late.is_empty() || verdicts(judged).any(|told| told.late_answer.is_some()) {
            history.resets.iter().for_each(|reset| _ = resets.entry(reset.stream).or_insert(reset));
        }
        // A server that keeps the deadline too says so when it is over: no answer.
        let over = |stream: u32, after: Duration| {
            let deadline = resets.get(&stream).and_then(|reset| reset.deadline);
            deadline.is_some_and(|deadline| is_at(after, deadline))
        };
        let frames = frames.filter(|late| !late.since_opened.is_some_and(|a| over(late.stream, a)));
        let frames = frames.filter_map(|late| Some((late.stream, late.since_opened?)));
        let mut late: Vec<(u32, Duration)> = frames.collect();
        for verdict in verdicts(judged) {
            let told = verdict
                .late_answer
                .as_ref()
                .filter(|_| verdict.confidence >= Confidence::new(0.5))
                .filter(|late| !history.late.iter().any(|frame| frame.stream == late.stream));
            let Some((stream, after)) = told.and_then(|t| t.answered_after.map(|a| (t.stream, a)))
            else {
                continue;
            };
            late.extend(Duration::try_from_secs_f64(after).ok().map(|after| (stream, after)));
        }
        for (stream, after) in late {
            let reset = resets.get(&stream);
            let class = reset.map_or(0, |reset| reset.class);
            let name = || reset.and_then(|reset| reset.request.as_deref().map(Into::into));
            self.late.add(class, name, after);
        }
    }
}

/// How long the client's requests that were never answered had waited when there was no hope left:
/// their connection was over, a GOAWAY had left them out, or nothing more was captured.
fn waits(history: &History) -> impl Iterator<Item = Duration> {
    let end = history.tcp_end().map_or(history.last, |(stamp, ..)| stamp);
    let vain = history.open.iter().filter(|of| of.by == Side::Client && !of.responded);
    vain.filter_map(move |stream| {
        let left_out = history
            .goaways
            .iter()
            .find(|goaway| goaway.by == Side::Server && stream.id > goaway.last_stream_id);
        let until = left_out.map_or(end, |goaway| goaway.stamp);
        let opened = stream.opened.filter(|_| history.is_timed(until))?;
        Some(until.since(opened))
    })
}

fn is_of(sample: &Sample, timeout: &Timeout) -> bool {
    sample.timer == Timer::Of(timeout.kind)
        && sample.by == timeout.configured_in
        && sample.seconds == timeout.seconds
        && sample.samples == own_samples(timeout)
}

fn verdicts(judged: &Judged) -> impl Iterator<Item = &Verdict> {
    let leaders = judged.goaways.iter().filter(|(follows, _)| follows.is_none());
    leaders.map(|(_, verdict)| verdict).chain(&judged.end)
}

fn killed(judged: &Judged) -> Vec<(f64, u64)> {
    let timed = |set: &&Cancellation| set.cause == Cause::ClientRequestTimeout;
    let seconds = |timeout: &Option<Timeout>| timeout.as_ref().map_or(0.0, |t| t.seconds);
    let cancelled = judged.cancellations.iter().filter(timed);
    let cancelled = cancelled.map(|set| (seconds(&set.timeout), set.streams.len() as u64));
    let direct = verdicts(judged).filter(|verdict| {
        verdict.cause == Cause::ClientRequestTimeout
            && verdict.trigger == verdict.cause
            && !judged.cancellations.iter().any(|set| set.timeout == verdict.timeout)
    });
    let direct = direct.map(|v| (seconds(&v.timeout), v.cancelled_streams.len() as u64));
    cancelled.chain(direct).collect()
}

/// Requests that timers of the client ended while their answers came.
fn cut(history: &History, judged: &Judged) -> u64 {
    let timed = |set: &&Cancellation| set.cause == Cause::ClientRequestTimeout;
    let resets = judged.cancellations.iter().filter(timed).flat_map(|set| resets_of(history, set));
    resets.filter(|reset| reset.responded.is_some()).count() as u64
}

fn sample(timeout: &Timeout, confidence: Confidence) -> Sample {
    Sample {
        timer: Timer::Of(timeout.kind),
        by: timeout.configured_in,
        seconds: timeout.seconds,
        spread: timeout.spread_seconds,
        samples: own_samples(timeout),
        at_least: timeout.at_least,
        confidence,
        request: None,
        direct: true,
    }
}

/// A connection ends once: what its verdict says of the others, they say themselves.
fn own_samples(timeout: &Timeout) -> u32 {
    match timeout.kind {
        Cause::IdleTimeout | Cause::MaxConnectionAge => 1,
        _ => timeout.samples.max(1),
    }
}

/// How long it was silent before the PING that nobody answered: whoever sends keepalive PINGs does
/// so after a silence of that length.
fn keepalive_interval(verdict: &Verdict) -> Option<Sample> {
    let timeout = verdict.timeout.as_ref()?;
    let at = |what: &str| verdict.chain.iter().find(|step| step.what == what).map(|s| s.stamp);
    let span = at("PING")?.since(at("silence")?);
    let clear = timeout.kind == Cause::KeepalivePingTimeout && span >= SHORTEST_PING;
    clear.then_some(Sample {
        timer: Timer::KeepaliveInterval,
        by: timeout.configured_in,
        seconds: span.as_secs_f64(),
        spread: 0.0,
        samples: 1,
        at_least: false,
        confidence: Confidence::LIKELY,
        request: None,
        direct: true,
    })
}

/// Resets of the streams of a set.
fn resets_of<'a>(history: &'a History, set: &'a Cancellation) -> impl Iterator<Item = &'a Reset> {
    // `streams` is sorted.
    history.resets.iter().filter(|reset| set.streams.binary_search(&reset.stream).is_ok())
}

/// When the client ended the connection, if it did.
fn client_end(history: &History) -> Option<crate::vocab::time::Stamp> {
    let goaway = history.goaways.iter().find(|goaway| goaway.by == Side::Client);
    let closed = history.tcp_end().filter(|(_, by, _)| *by == Side::Client);
    let stamps = [goaway.map(|goaway| goaway.stamp), closed.map(|(stamp, ..)| stamp)];
    stamps.into_iter().flatten().min_by_key(|stamp| stamp.order())
}

fn of_cancels(history: &History, judged: &Judged) -> Vec<Sample> {
    let mut samples = Vec::new();
    let all: usize = judged.cancellations.iter().map(|set| set.streams.len()).sum();
    for set in &judged.cancellations {
        let Some(timeout) = &set.timeout else { continue };
        let by_client = set.by == Side::Client;
        let deadline = || {
            resets_of(history, set).any(|reset| {
                reset.age().zip(reset.deadline).is_some_and(|(age, limit)| is_at(age, limit))
            })
        };
        // A few among many of another reason are of that reason.
        let few = by_client && set.streams.len() * 10 < all && !deadline();
        // Streams that are reset while the connection goes down die of that.
        let with_end = by_client
            && client_end(history).is_some_and(|end| end.apart(set.first) <= MOMENT && !deadline());
        if few || with_end {
            continue;
        }
        let mut sample = sample(timeout, set.confidence);
        sample.request = usual_request(history, set);
        sample.direct = false;
        samples.push(sample);
    }
    samples
}

/// Whether something came when a deadline ran out.
fn is_at(after: Duration, deadline: Duration) -> bool {
    after.abs_diff(deadline) <= deadline.mul_f64(0.05) + Duration::from_millis(60)
}

/// The kind of request that more than half of a set are of.
fn usual_request(history: &History, set: &Cancellation) -> Option<String> {
    let mut classes: Vec<(u32, u32, &str)> = Vec::new();
    for reset in resets_of(history, set) {
        let Some(name) = reset.request.as_deref() else { continue };
        let room = classes.len() < 32;
        match classes.iter_mut().find(|(class, ..)| *class == reset.class) {
            Some((_, count, _)) => *count += 1,
            None if room => classes.push((reset.class, 1, name)),
            None => {}
        }
    }
    let most = classes.iter().max_by_key(|(class, count, _)| (*count, std::cmp::Reverse(*class)));
    let most = most.filter(|(_, count, _)| *count as usize * 2 > set.streams.len());
    most.map(|(_, _, name)| (*name).to_string())
}

/// The server ended requests when the deadline that they carry ran out.
fn expired(seconds: f64, count: u64) -> Sample {
    Sample {
        timer: Timer::Of(Cause::ClientRequestTimeout),
        by: ConfiguredIn::Client,
        seconds,
        spread: 0.0,
        samples: u32::try_from(count).unwrap_or(u32::MAX),
        at_least: false,
        confidence: Confidence::CERTAIN,
        request: None,
        direct: false,
    }
}

/// The interval of a side's keepalive PINGs.
fn pings(history: &History, by: Side) -> Option<Sample> {
    let pings::Interval { middle, spread, samples } = pings::interval(history, by)?;
    (middle >= SHORTEST_PING).then(|| Sample {
        timer: Timer::KeepaliveInterval,
        by: by.into(),
        seconds: middle.as_secs_f64(),
        spread: spread.as_secs_f64(),
        samples,
        at_least: false,
        confidence: Confidence::new(if samples >= 5 { 0.9 } else { 0.8 }),
        request: None,
        direct: true,
    })
}

/// A client that closes an idle connection may do so by a timer: several show it.
fn idle_client(history: &History, judged: &Judged) -> Option<Sample> {
    let done = verdicts(judged).next()?.cause == Cause::ClientShutdown;
    let end = client_end(history)?;
    let since = history.closing.as_ref()?.idle_since.or(history.last_completed)?;
    let idle = end.since(since);
    let clear = done && history.open.is_empty() && idle >= SHORTEST_IDLE;
    (clear && history.counts.completed > 0).then(|| Sample {
        timer: Timer::Of(Cause::IdleTimeout),
        by: ConfiguredIn::Client,
        seconds: idle.as_secs_f64(),
        spread: 0.0,
        samples: 1,
        at_least: false,
        confidence: Confidence::new(WEAK),
        request: None,
        direct: true,
    })
}

const MOMENT: Duration = Duration::from_millis(50);
const SHORTEST_PING: Duration = Duration::from_millis(100);
const SHORTEST_IDLE: Duration = Duration::from_millis(400);
/// Worth nothing unless others agree.
const WEAK: f32 = 0.2;
/// From here on a verdict counts as a fact.
const SURE: f64 = 0.8;
