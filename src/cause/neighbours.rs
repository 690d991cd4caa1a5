//! The second pass: some endings show only by their neighbours. Several connections of one server
//! that end in one moment are a drain; equal idle gaps at different moments are an idle timer;
//! equal ages are a maximum age; equal counts are a maximum of requests.
//!
//! Works on facts of finished connections in their order, so that neither the order in which they
//! ended nor the number of shards can be seen in the result.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::vocab::address::{Endpoint, Side};
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::time::Stamp;
use crate::vocab::verdict::{ConfiguredIn, Evidence, Timeout, Verdict};

use super::chance::{self, round_value};
use super::evidence;
use super::scene::spoken;

/// One ending by a server, as the second pass sees it.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Place of the connection, and of the GOAWAY in it; `None` for an end without.
    pub place: (usize, Option<usize>),
    /// The client.
    pub client: Endpoint,
    /// The server.
    pub server: Endpoint,
    /// When it ended.
    pub at: Stamp,
    /// First packet of the connection.
    pub first: Stamp,
    /// Since when no stream had been open, or no octet had come.
    pub idle_since: Stamp,
    /// For how long.
    pub idle: Option<Duration>,
    /// Age of the connection; `None` where it was joined midway.
    pub age: Option<Duration>,
    /// Requests it had served or was serving.
    pub requests: u64,
    /// The newest request.
    pub newest: Option<(u32, Stamp)>,
    /// Whether a GOAWAY announced it.
    pub announced: bool,
    /// Requests that were not answered.
    pub unanswered: usize,
    /// Whether a rule was broken right before: that is what it answers.
    pub offended: bool,
    /// Whether the end is orderly: NO_ERROR, or a FIN that nobody's request is lost by.
    pub orderly: bool,
    /// What the first pass said.
    pub cause: Cause,
    /// How sure it was.
    pub confidence: Confidence,
}

impl Ending {
    /// Whether it may be the end of a connection that had grown old.
    fn is_aged(&self) -> bool {
        self.orderly && self.announced && self.age.is_some_and(|age| age >= OLD)
    }
}

/// Younger connections end for what was done on them.
const OLD: Duration = Duration::from_secs(1);

/// A better reason for an ending.
#[derive(Clone, Debug)]
pub struct Revision {
    /// Place of the connection, and of the GOAWAY in it.
    pub place: (usize, Option<usize>),
    /// The reason.
    pub cause: Cause,
    /// How sure.
    pub confidence: Confidence,
    /// One sentence.
    pub summary: String,
    /// The timer, where one was measured.
    pub timeout: Option<Timeout>,
    /// Who has to change something.
    pub blame: Blame,
    /// What it rests on: where the span began, and the neighbours' endings.
    pub evidence: Vec<Evidence>,
}

/// Neighbours that a verdict names.
const NAMED: usize = 3;

/// Endings of a server that are looked at before and after one, nearest in time: a server that
/// ends thousands of connections is judged in linear time.
const NEAR: usize = 128;

/// Endings this close are one moment.
const MOMENT: Duration = Duration::from_millis(50);

/// Causes that the neighbours may revise: those that orderly frames alone cannot tell apart.
const OPEN: &[Cause] = &[
    Cause::IdleTimeout,
    Cause::GracefulShutdown,
    Cause::MaxConnectionAge,
    Cause::MaxRequestsPerConnection,
    Cause::AbruptClose,
    Cause::Unknown,
];

/// Looks at the endings of each server together.
pub fn revise(endings: &[Ending], refused: &[(Endpoint, Stamp)]) -> Vec<Revision> {
    let mut by_server: BTreeMap<Endpoint, Vec<&Ending>> = BTreeMap::new();
    // Without times everything is one moment.
    let timed = |ending: &&Ending| ending.first.at != ending.at.at;
    for ending in endings.iter().filter(|ending| OPEN.contains(&ending.cause)).filter(timed) {
        by_server.entry(ending.server).or_default().push(ending);
    }
    let mut revisions = Vec::new();
    for (server, mut group) in by_server {
        group.sort_by_key(|ending| (ending.at.order(), ending.place));
        let refusals: Vec<Stamp> =
            refused.iter().filter(|(of, _)| *of == server).map(|(_, stamp)| *stamp).collect();
        for (place, ending) in group.iter().enumerate() {
            if ending.confidence.value() < 0.92 && !ending.offended {
                let near = place.saturating_sub(NEAR)..(place + NEAR + 1).min(group.len());
                let near = group.get(near).unwrap_or_default();
                revisions.extend(judge(ending, near, &refusals));
            }
        }
    }
    revisions
}

fn judge(ending: &Ending, group: &[&Ending], refusals: &[Stamp]) -> Option<Revision> {
    let others = || group.iter().copied().filter(|other| other.place.0 != ending.place.0);
    let elsewhere = |other: &&Ending| apart(other.at, ending.at) > MOMENT * 4;
    let same = |a: Option<Duration>, b: Option<Duration>| {
        a.zip(b).is_some_and(|(a, b)| a.abs_diff(b) <= a.mul_f64(0.02) + Duration::from_millis(15))
    };
    let found =
        |kind: &dyn Fn(&&Ending) -> bool| -> Vec<&Ending> { others().filter(kind).collect() };
    let together = found(&|other| apart(other.at, ending.at) <= MOMENT);
    let idle_alike = found(&|other| elsewhere(other) && same(other.idle, ending.idle));
    // Where the time since the newest request is as constant as the age, the request did it.
    let since = |e: &Ending| e.newest.map(|(_, newest)| e.at.since(newest));
    let by_age = |other: &&Ending| {
        same(other.age, ending.age) && other.is_aged() && !same(since(other), since(ending))
    };
    let age_alike = found(&|other| elsewhere(other) && by_age(other));
    let at_limit =
        |e: &Ending| e.orderly && since(e).is_some_and(|since| since <= Duration::from_millis(30));
    let counted = |other: &&Ending| other.requests == ending.requests && at_limit(other);
    let count_alike = found(&|other| elsewhere(other) && counted(other));
    let long_idle = ending.idle.is_some_and(|idle| idle >= Duration::from_millis(400));
    if !count_alike.is_empty() && at_limit(ending) && ending.requests > 1 {
        return Some(requests(ending, &count_alike));
    }
    if !idle_alike.is_empty() && long_idle && idle_alike.len() >= age_alike.len() {
        let others: Vec<Duration> = found(&elsewhere).iter().filter_map(|e| e.idle).collect();
        if let Some(revision) = idle_unless_by_chance(ending, &idle_alike, &others) {
            return Some(revision);
        }
    }
    if !age_alike.is_empty() && ending.is_aged() && !long_idle {
        return Some(age(ending, &age_alike));
    }
    let spread = found(&|other| {
        let aged = elsewhere(other) && other.is_aged() && is_spread(other, ending);
        aged && !same(since(other), since(ending))
    });
    if spread.len() >= 2 && ending.is_aged() && !long_idle && together.is_empty() {
        let mut aged = age(ending, &spread);
        aged.confidence = aged.confidence.and(Confidence::new(0.76));
        return Some(aged);
    }
    let moment_of_idle = together.iter().all(|other| same(other.idle, ending.idle));
    let timed = long_idle && moment_of_idle;
    let cut = |e: &Ending| !e.announced && e.unanswered > 0;
    if !together.is_empty() && cut(ending) {
        return Some(death(ending, &together));
    }
    if !together.is_empty() && !timed {
        // Connections that lived alike in lockstep reach any limit together.
        let lockstep = together.iter().all(|other| {
            let old = same(other.age, ending.age) && ending.age.and_then(round_value).is_some();
            old || (ending.requests > 1 && at_limit(ending) && counted(other))
        });
        let mut drained = drain(ending, &together, None);
        if lockstep {
            drained.confidence = drained.confidence.and(Confidence::new(0.6));
        }
        if !ending.announced && together.iter().any(|other| cut(other)) {
            drained.confidence = drained.confidence.and(Confidence::new(0.5));
        }
        return Some(drained);
    }
    let gone = refusals.iter().find(|stamp| {
        ending.at.before(**stamp) && stamp.since(ending.at) <= Duration::from_secs(5)
    })?;
    (!long_idle && ending.orderly).then(|| drain(ending, &[], Some(*gone)))
}

/// An idle timer that neighbours show, unless silences of `others` agree by chance.
fn idle_unless_by_chance(
    ending: &Ending,
    alike: &[&Ending],
    others: &[Duration],
) -> Option<Revision> {
    let by_chance = coincidence(ending, others, alike.len());
    // Who closes in good order has a reason; who cuts off what waits hardly has a timer.
    let most = if ending.orderly { 0.05 } else { 0.002 };
    let mut revision = idle(ending, alike);
    if by_chance > most {
        revision.confidence = revision.confidence.and(Confidence::new(0.6));
    }
    (by_chance <= most * 6.0).then_some(revision)
}

/// Probability that the silence before an ending agrees with so many of the others by chance.
fn coincidence(ending: &Ending, others: &[Duration], alike: usize) -> f64 {
    let span = ending.idle.unwrap_or_default();
    // Timers agree far more closely than what counts as alike.
    let mut apart: Vec<Duration> = others.iter().map(|other| other.abs_diff(span)).collect();
    apart.sort_unstable();
    let around = others.iter().filter(|other| chance::is_around(span, **other)).count();
    let of = |count: usize| {
        let width = apart.get(count.checked_sub(1)?)?.max(&Duration::from_millis(2)).to_owned();
        Some(chance::of_agreeing(span, width, around, count))
    };
    let tries = (around as f64 / 2.0).max(1.0);
    (1..=alike).filter_map(of).fold(1.0, f64::min) * tries
}

/// Whether two ages may be of one setting that a server spreads by a tenth to either side, so that
/// its connections do not all end at once (gRPC).
fn is_spread(a: &Ending, b: &Ending) -> bool {
    let ages = a.age.zip(b.age);
    ages.is_some_and(|(a, b)| a.max(b) <= a.min(b).mul_f64(1.1 / 0.9) + Duration::from_millis(15))
}

fn apart(a: Stamp, b: Stamp) -> Duration {
    a.since(b).max(b.since(a))
}

/// A revision that rests on these neighbours: the nearest in time are named, in the chain where
/// they came before, in the summary where they came after.
fn revision(
    ending: &Ending,
    cause: Cause,
    confidence: f32,
    mut summary: String,
    others: &[&Ending],
) -> Revision {
    let mut nearest = others.to_vec();
    nearest.sort_by_key(|other| (apart(other.at, ending.at), other.place));
    let (before, after): (Vec<_>, Vec<_>) =
        nearest.into_iter().take(NAMED).partition(|other| other.at.before(ending.at));
    let evidence = before.into_iter().map(|other| {
        let word = if other.announced { "GOAWAY" } else { "end" };
        let text = format!("{word} of the server's connection with {}", other.client);
        let step = evidence::on_connection(other.at, Side::Server, "neighbour", text);
        Evidence { connection: Some(other.place.0), ..step }
    });
    let evidence = evidence.collect();
    let mut packets: Vec<_> = after.iter().map(|other| (other.at.order(), other.at)).collect();
    packets.sort_unstable_by_key(|(order, _)| *order);
    let packets: Vec<String> = packets.iter().map(|(_, at)| at.packet().to_string()).collect();
    if !packets.is_empty() {
        let word = if packets.len() == 1 { "packet" } else { "packets" };
        summary.truncate(summary.trim_end_matches('.').len());
        summary.push_str(&format!("; later ones: {word} {}.", packets.join(", ")));
    }
    let confidence = Confidence::new(confidence);
    Revision {
        place: ending.place,
        cause,
        confidence,
        summary,
        timeout: None,
        blame: Blame::None,
        evidence,
    }
}

/// `gone` is where the server refused a new connection.
fn drain(ending: &Ending, others: &[&Ending], gone: Option<Stamp>) -> Revision {
    let confidence = match (others.len(), ending.orderly) {
        (0, _) => 0.8,
        (1, true) => 0.85,
        (1, false) => 0.6,
        (_, true) => 0.95,
        (_, false) => 0.7,
    };
    let why = match others.len() {
        0 => {
            let packet = gone.map(|gone| format!(" (packet {})", gone.packet()));
            format!("the server refused new connections right after{}", packet.unwrap_or_default())
        }
        1 => "another of its connections ended in the same moment".to_string(),
        count => format!("{count} more of its connections ended in the same moment"),
    };
    let summary = format!("The server drained or stopped: {why}.");
    revision(ending, Cause::GracefulShutdown, confidence, summary, others)
}

/// Connections cut at once with requests open: nobody lets go like that.
fn death(ending: &Ending, others: &[&Ending]) -> Revision {
    let lost: usize = others.iter().map(|other| other.unanswered).sum();
    let summary = format!(
        "The server stopped or died: {} more of its connections were cut off in the same moment, \
         with {} requests unanswered in all.",
        others.len(),
        lost + ending.unanswered
    );
    let confidence = if others.len() >= 2 { 0.9 } else { 0.8 };
    let mut revision = revision(ending, Cause::AbruptClose, confidence, summary, others);
    revision.blame = Blame::Server;
    revision
}

fn idle(ending: &Ending, others: &[&Ending]) -> Revision {
    let span = ending.idle.unwrap_or_default();
    let confidence = if others.len() >= 2 { 0.95 } else { 0.9 };
    let summary = format!(
        "The server closed an idle connection after {}; {} more went the same way at other times.",
        spoken(span),
        others.len()
    );
    let mut revision = revision(ending, Cause::IdleTimeout, confidence, summary, others);
    revision.timeout = Some(timer(Cause::IdleTimeout, span, others.iter().map(|e| e.idle)));
    let text = "the silence begins".to_string();
    let silence = evidence::on_connection(ending.idle_since, Side::Server, "silence", text);
    revision.evidence.push(silence);
    revision
}

fn age(ending: &Ending, others: &[&Ending]) -> Revision {
    let span = ending.age.unwrap_or_default();
    let confidence = if others.len() >= 2 { 0.9 } else { 0.75 };
    let summary = format!(
        "The server ended the connection at an age of {}; {} more ended at that age at other \
         times.",
        spoken(span),
        others.len()
    );
    let mut revision = revision(ending, Cause::MaxConnectionAge, confidence, summary, others);
    revision.timeout = Some(timer(Cause::MaxConnectionAge, span, others.iter().map(|e| e.age)));
    let text = "first packet of the connection".to_string();
    revision.evidence.push(evidence::on_connection(ending.first, Side::Client, "SYN", text));
    revision
}

fn requests(ending: &Ending, others: &[&Ending]) -> Revision {
    let confidence = if others.len() >= 2 { 0.95 } else { 0.92 };
    let summary = format!(
        "The server ended the connection right after its request number {}; {} more ended after \
         the same number.",
        ending.requests,
        others.len()
    );
    let cause = Cause::MaxRequestsPerConnection;
    let mut revision = revision(ending, cause, confidence, summary, others);
    if let Some((stream, newest)) = ending.newest {
        let text = format!("request number {}, the last one", ending.requests);
        let fact = evidence::on_connection(newest, Side::Client, "HEADERS", text);
        revision.evidence.push(Evidence { stream, ..fact });
    }
    revision
}

/// A timer that one ending ran into after `span`, and its neighbours after theirs.
fn timer(kind: Cause, span: Duration, others: impl Iterator<Item = Option<Duration>>) -> Timeout {
    let (mut least, mut most, mut samples) = (span, span, 1);
    for other in others.flatten() {
        (least, most) = (least.min(other), most.max(other));
        samples += 1;
    }
    Timeout {
        kind,
        seconds: span.as_secs_f64(),
        at_least: false,
        spread_seconds: (most - least).as_secs_f64() / 2.0,
        samples,
        configured_in: ConfiguredIn::Server,
    }
}

/// Puts a revision into the verdict that it revises.
pub fn apply(verdict: &mut Verdict, revision: &Revision) {
    let same = verdict.cause == revision.cause;
    if !same && verdict.confidence > revision.confidence {
        return;
    }
    if !same {
        verdict.alternatives.retain(|other| other.cause != revision.cause);
        for other in &mut verdict.alternatives {
            other.against =
                super::outweighed(revision.cause, revision.confidence, other.confidence);
        }
        verdict.alternatives.insert(
            0,
            crate::vocab::verdict::Alternative {
                cause: verdict.cause,
                confidence: verdict.confidence.lowered(),
                against: format!(
                    "what the server's other connections did speaks for {}",
                    revision.cause
                ),
            },
        );
        verdict.timeout = None;
        // What spoke for the old reason is no evidence for the new one: the ending stays.
        verdict.chain.retain(|fact| ["GOAWAY", "FIN", "RST"].contains(&fact.what));
        verdict.blame = revision.blame;
    }
    verdict.cause = revision.cause;
    verdict.trigger = revision.cause;
    if verdict.confidence < revision.confidence {
        verdict.confidence = revision.confidence;
    }
    if !same || verdict.timeout.is_none() {
        verdict.summary.clone_from(&revision.summary);
    }
    verdict.timeout = verdict.timeout.take().or_else(|| revision.timeout.clone());
    let ending = verdict.chain.iter().map(|fact| fact.stamp).max_by_key(|stamp| stamp.order());
    for fact in &revision.evidence {
        let known = verdict.chain.iter().any(|other| other.stamp == fact.stamp);
        if !known && ending.is_some_and(|ending| fact.stamp.before(ending)) {
            verdict.chain.push(fact.clone());
        }
    }
    verdict.chain.sort_by_key(|fact| fact.stamp.order());
}

#[cfg(test)]
mod tests {
    use super::super::tests::Talk;
    use super::*;

    /// A connection with a request open that is cut off without a word.
    fn cut(asked: f64, at: f64) -> Talk {
        Talk::opened().served(5.0, 1).get(asked, 3).s(at, "FIN")
    }

    #[test]
    fn many_cut_off_at_once_died_and_were_not_drained() {
        let two = cut(300.0, 900.0).again(2, 111.0, &cut(410.0, 797.0));
        let verdict = two.is(Cause::AbruptClose, 0.8);
        verdict.blames(Blame::Server);
        let three = two.again(3, 222.0, &cut(120.0, 689.0));
        three.is(Cause::AbruptClose, 0.9).shows(&["FIN"]);
        // Nothing was open on any of them: they were let go.
        let idle = |asked: f64, at: f64| Talk::opened().served(asked, 1).s(at, "FIN");
        let drained = idle(5.0, 260.0).again(2, 60.0, &idle(50.0, 203.0));
        let drained = drained.again(3, 90.0, &idle(70.0, 171.0));
        let cause = drained.told().cause;
        assert_eq!(cause, Cause::GracefulShutdown);
    }

    #[test]
    fn the_neighbours_stand_in_the_chain() {
        let one = |asked: f64, at: f64| {
            Talk::opened().served(15.0, 1).get(asked, 3).s(at, "GOAWAY 3 NO_ERROR")
        };
        let talk = one(660.0, 871.0).again(2, 30.0, &one(640.0, 846.0));
        let talk = talk.again(3, 172.0, &one(500.0, 690.0));
        let board = super::super::tests::judged(&talk.script());
        let last = board.connections.iter().max_by_key(|row| row.goaways[0].stamp.order());
        let verdict = &last.unwrap().goaways[0].verdict;
        assert_eq!(verdict.cause, Cause::GracefulShutdown, "{}", verdict.summary);
        let at = verdict.chain.last().map(|fact| fact.stamp).unwrap();
        let neighbours: Vec<_> =
            verdict.chain.iter().filter(|fact| fact.what == "neighbour").collect();
        assert!(!neighbours.is_empty(), "{:?}", verdict.chain);
        assert!(neighbours.iter().all(|fact| fact.stamp.before(at)));
    }

    #[test]
    fn young_connections_end_for_what_was_done_on_them() {
        // A handler that fails 160 ms after each request: the ages agree, and so do the waits.
        let young = Talk::opened().get(10.0, 1).s(170.0, "GOAWAY 1 NO_ERROR").s(170.4, "FIN");
        let talk = young.clone().again(2, 2311.0, &young).again(3, 4789.0, &young);
        let verdict = talk.told();
        assert_ne!(verdict.cause, Cause::MaxConnectionAge, "{}", verdict.summary);
        // The same with older ones: what is constant is the time since the request.
        let old = Talk::opened().get(3010.0, 1).s(3170.0, "GOAWAY 1 NO_ERROR");
        let talk = old.clone().again(2, 5311.0, &old).again(3, 11_789.0, &old);
        assert_ne!(talk.told().cause, Cause::MaxConnectionAge);
    }

    #[test]
    fn the_spread_is_that_of_all_and_many_are_judged_by_their_nearest() {
        // Each ended at one age, the newest request at another time before.
        let aged = |age: f64, since: f64| {
            Talk::opened().served(age - since, 1).s(age, "GOAWAY 1 NO_ERROR")
        };
        let talk = aged(2337.0, 90.0).again(2, 700.0, &aged(2349.0, 310.0));
        let talk = talk.again(3, 1900.0, &aged(2343.0, 200.0));
        let timeout = talk.is(Cause::MaxConnectionAge, 0.85).timeout.unwrap();
        assert_eq!(timeout.samples, 3);
        assert!((timeout.spread_seconds - 0.006).abs() < 0.0005, "{timeout:?}");
        let many = (2..3 * NEAR as u16).fold(aged(2337.0, 90.0), |talk, number| {
            let since = 90.0 + f64::from(number % 5) * 60.0;
            talk.again(number, f64::from(number) * 700.0, &aged(2337.0, since))
        });
        let timeout = many.is(Cause::MaxConnectionAge, 0.85).timeout.unwrap();
        assert!((2..=NEAR + 1).contains(&(timeout.samples as usize)), "{timeout:?}");
    }

    #[test]
    fn a_rule_broken_right_before_is_the_reason() {
        let broken = || {
            let talk = Talk::opened().served(10.0, 1).get(1940.0, 3).c(2000.0, "DATA 0 3");
            talk.s(2001.0, "GOAWAY 3 NO_ERROR").s(2001.4, "FIN")
        };
        let talk = broken().again(2, 3311.0, &broken()).again(3, 7789.0, &broken());
        talk.is(Cause::ProtocolViolation, 0.8).blames(Blame::Client);
    }
}
