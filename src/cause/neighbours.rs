//! The second pass: some endings show only by their neighbours. Several connections of one server
//! that end in one moment are a drain; equal idle gaps at different moments are an idle timer;
//! equal ages are a maximum age; equal counts are a maximum of requests.
//!
//! Works on facts of finished connections in their order, so that neither the order in which they
//! ended nor the number of shards can be seen in the result.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::vocab::address::Endpoint;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::time::Stamp;
use crate::vocab::verdict::{ConfiguredIn, Timeout, Verdict};

use super::scene::spoken;

/// One ending by a server, as the second pass sees it.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Place of the connection, and of the GOAWAY in it; `None` for an end without.
    pub place: (usize, Option<usize>),
    /// The server.
    pub server: Endpoint,
    /// When it ended.
    pub at: Stamp,
    /// No stream had been open, or no octet had come, for this long.
    pub idle: Option<Duration>,
    /// Age of the connection; `None` where it was joined midway.
    pub age: Option<Duration>,
    /// Requests it had served or was serving.
    pub requests: u64,
    /// Time from the newest request's HEADERS to the end, while it was open.
    pub since_newest: Option<Duration>,
    /// Whether the end is orderly: NO_ERROR, or a FIN.
    pub orderly: bool,
    /// What the first pass said.
    pub cause: Cause,
    /// How sure it was.
    pub confidence: Confidence,
}

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
}

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
    for ending in endings.iter().filter(|ending| OPEN.contains(&ending.cause)) {
        by_server.entry(ending.server).or_default().push(ending);
    }
    let mut revisions = Vec::new();
    for (server, mut group) in by_server {
        group.sort_by_key(|ending| (ending.at.order(), ending.place));
        let refusals: Vec<Stamp> =
            refused.iter().filter(|(of, _)| *of == server).map(|(_, stamp)| *stamp).collect();
        for ending in &group {
            if ending.confidence.value() < 0.92 {
                revisions.extend(judge(ending, &group, &refusals));
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
    let together = others().filter(|other| apart(other.at, ending.at) <= MOMENT).count();
    let idle_alike = others().filter(elsewhere).filter(|o| same(o.idle, ending.idle)).count();
    let age_alike = others().filter(elsewhere).filter(|o| same(o.age, ending.age)).count();
    let at_limit = |e: &Ending| {
        e.orderly && e.since_newest.is_some_and(|since| since <= Duration::from_millis(30))
    };
    let count_alike =
        others().filter(|other| other.requests == ending.requests && at_limit(other)).count();
    let long_idle = ending.idle.is_some_and(|idle| idle >= Duration::from_millis(400));
    if count_alike > 0 && at_limit(ending) && ending.requests > 1 {
        return Some(requests(ending, count_alike));
    }
    if idle_alike > 0 && long_idle && idle_alike >= age_alike {
        return Some(idle(ending, idle_alike));
    }
    if age_alike > 0 && ending.orderly && !long_idle {
        return Some(age(ending, age_alike));
    }
    let moment_of_idle = others()
        .filter(|other| apart(other.at, ending.at) <= MOMENT)
        .all(|other| same(other.idle, ending.idle));
    if together > 0 && !(long_idle && moment_of_idle) {
        return Some(drain(ending, together));
    }
    let gone = refusals
        .iter()
        .any(|stamp| ending.at.before(*stamp) && stamp.since(ending.at) <= Duration::from_secs(5));
    (gone && !long_idle && ending.orderly).then(|| drain(ending, 0))
}

fn apart(a: Stamp, b: Stamp) -> Duration {
    a.since(b).max(b.since(a))
}

fn revision(ending: &Ending, cause: Cause, confidence: f32, summary: String) -> Revision {
    let confidence = Confidence::new(confidence);
    Revision { place: ending.place, cause, confidence, summary, timeout: None }
}

fn drain(ending: &Ending, others: usize) -> Revision {
    let confidence = match (others, ending.orderly) {
        (0, _) => 0.8,
        (1, true) => 0.85,
        (1, false) => 0.6,
        (_, true) => 0.95,
        (_, false) => 0.7,
    };
    let why = match others {
        0 => "the server refused new connections right after".to_string(),
        1 => "another of its connections ended in the same moment".to_string(),
        count => format!("{count} more of its connections ended in the same moment"),
    };
    let summary = format!("The server drained or stopped: {why}.");
    revision(ending, Cause::GracefulShutdown, confidence, summary)
}

fn idle(ending: &Ending, others: usize) -> Revision {
    let span = ending.idle.unwrap_or_default();
    let confidence = if others >= 2 { 0.95 } else { 0.9 };
    let summary = format!(
        "The server closed an idle connection after {}; {others} more went the same way at other \
         times.",
        spoken(span)
    );
    let mut revision = revision(ending, Cause::IdleTimeout, confidence, summary);
    revision.timeout = Some(timer(Cause::IdleTimeout, span, others));
    revision
}

fn age(ending: &Ending, others: usize) -> Revision {
    let span = ending.age.unwrap_or_default();
    let confidence = if others >= 2 { 0.9 } else { 0.75 };
    let summary = format!(
        "The server ended the connection at an age of {}; {others} more ended at that age at other \
         times.",
        spoken(span)
    );
    let mut revision = revision(ending, Cause::MaxConnectionAge, confidence, summary);
    revision.timeout = Some(timer(Cause::MaxConnectionAge, span, others));
    revision
}

fn requests(ending: &Ending, others: usize) -> Revision {
    let confidence = if others >= 2 { 0.95 } else { 0.92 };
    let summary = format!(
        "The server ended the connection right after its request number {}; {others} more ended \
         after the same number.",
        ending.requests
    );
    revision(ending, Cause::MaxRequestsPerConnection, confidence, summary)
}

fn timer(kind: Cause, span: Duration, others: usize) -> Timeout {
    Timeout {
        kind,
        seconds: span.as_secs_f64(),
        at_least: false,
        spread_seconds: 0.0,
        samples: others as u32 + 1,
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
        verdict.alternatives.insert(
            0,
            crate::vocab::verdict::Alternative {
                cause: verdict.cause,
                confidence: verdict.confidence.lowered(),
                against: "what the server's other connections did speaks for the other".to_string(),
            },
        );
        verdict.timeout = None;
        // What spoke for the old reason is no evidence for the new one: the ending stays.
        let ending = verdict.chain.pop();
        verdict.chain = ending.into_iter().collect();
        verdict.advice = super::explain(revision.cause)
            .map(|explain| vec![explain.what_to_do.to_string()])
            .unwrap_or_default();
        verdict.blame = Blame::None;
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
}
