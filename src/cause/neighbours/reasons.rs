//! What neighbours say of an ending, in words: the verdict's new reason with its evidence.

use std::time::Duration;

use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::time::Stamp;
use crate::vocab::verdict::{Alternative, ConfiguredIn, Evidence, Timeout, Verdict};

use super::super::scene::{UNSEEN, spoken};
use super::super::{evidence, outweighed};
use super::common::Common;
use super::{Ending, NAMED, Revision};

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
    nearest.sort_by_key(|other| (other.at.apart(ending.at), other.place));
    let (before, after): (Vec<_>, Vec<_>) =
        nearest.into_iter().take(NAMED).partition(|other| other.at.before(ending.at));
    let evidence = before.into_iter().map(|other| {
        let word = if other.announced { "GOAWAY" } else { "end" };
        let text = format!("{word} of the server's connection with {}", other.client);
        let step = evidence::on_connection(other.at, Side::Server, "neighbour", text);
        Evidence { connection: Some(other.number), ..step }
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
    let mut confidence = Confidence::new(confidence);
    let is_vouched = others.is_empty() || others.iter().any(|other| !other.incomplete);
    if ending.incomplete || !is_vouched {
        // When it ended, was idle or had served how many is not certain.
        confidence = confidence.lowered().and(UNSEEN);
    }
    Revision {
        place: ending.place,
        cause,
        confidence,
        most: Confidence::new(1.0),
        rival: None,
        clause: None,
        summary,
        timeout: None,
        blame: Blame::None,
        evidence,
    }
}

/// `gone` is where the server refused a new connection.
pub(super) fn drain(ending: &Ending, others: &[&Ending], gone: Option<Stamp>) -> Revision {
    let confidence = match (others.len(), ending.orderly) {
        (0, _) => 0.8,
        // Who is killed ends like that, too.
        (1, true) if !ending.announced => 0.66,
        (_, true) if !ending.announced => 0.79,
        (1, true) => 0.85,
        (1, false) => 0.48,
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
    let mut drained = revision(ending, Cause::GracefulShutdown, confidence, summary, others);
    if !ending.announced && !others.is_empty() {
        drained.rival = Some((Cause::AbruptClose, Confidence::new(0.45)));
    }
    if ending.age.is_none() && ending.is_at_limit() {
        // It answers a request whose number is not known: several reach a limit together.
        drained.confidence = drained.confidence.and(UNSEEN);
    }
    drained
}

/// Connections cut at once with requests open: nobody lets go like that.
pub(super) fn death(ending: &Ending, others: &[&Ending]) -> Revision {
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

/// An idle timer. `common` are the silences that agree.
pub(super) fn idle(ending: &Ending, common: &Common<'_>) -> Revision {
    let (span, others) = (ending.idle.unwrap_or_default(), &common.alike);
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

/// A maximum age, as sure as given.
pub(super) fn age(ending: &Ending, others: &[&Ending], confidence: f32) -> Revision {
    let span = ending.age.unwrap_or_default();
    let summary = format!(
        "The server ended the connection at an age of {}; {} more ended at that age at other \
         times.",
        spoken(span),
        others.len()
    );
    let mut revision = revision(ending, Cause::MaxConnectionAge, confidence, summary, others);
    revision.timeout = Some(timer(Cause::MaxConnectionAge, span, others.iter().map(|e| e.age)));
    revision.evidence.push(first_packet(ending));
    revision
}

/// A maximum age that a server looks at when a request comes (nginx keepalive_time): each ended in
/// answer to its first request past one age, which lies between these two.
pub(super) fn age_at_request(
    ending: &Ending,
    others: &[&Ending],
    (from, to): (Duration, Duration),
    confidence: f32,
) -> Revision {
    let whole = Duration::from_secs(to.as_secs());
    let span = if whole > from { whole } else { (from + to) / 2 };
    let summary = format!(
        "The server ended the connection with its first request past an age of about {}; {} more \
         ended that way at other times.",
        spoken(span),
        others.len()
    );
    let mut revision = revision(ending, Cause::MaxConnectionAge, confidence, summary, others);
    let mut timeout = timer(Cause::MaxConnectionAge, span, others.iter().map(|_| Some(span)));
    timeout.spread_seconds = (to - from).as_secs_f64() / 2.0;
    revision.timeout = Some(timeout);
    revision.evidence.push(first_packet(ending));
    revision
}

fn first_packet(ending: &Ending) -> Evidence {
    let text = "first packet of the connection".to_string();
    evidence::on_connection(ending.first, Side::Client, "SYN", text)
}

/// A server's request timeout that ends the connection: what waited was of one age each time.
pub(super) fn request_timeout(ending: &Ending, common: &Common<'_>) -> Revision {
    let (others, kind) = (&common.alike, Cause::ServerRequestTimeout);
    let waited = ending.waited.map(|(waited, _)| waited).unwrap_or_default();
    let confidence = if others.len() >= 2 { 0.9 } else { 0.82 };
    let summary = format!(
        "The server closed the connection when its oldest request had waited for {}: its own \
         request timeout; {} more ended at that age of a request at other times.",
        spoken(waited),
        others.len()
    );
    let mut revision = revision(ending, kind, confidence, summary, others);
    let spans = others.iter().map(|other| other.waited.map(|(waited, _)| waited));
    revision.timeout = Some(timer(kind, waited, spans));
    revision.blame = Blame::Server;
    if let Some((_, asked)) = ending.waited {
        let text = "the oldest request that waits".to_string();
        revision.evidence.push(evidence::on_connection(asked, Side::Client, "HEADERS", text));
    }
    revision
}

/// What the others did speaks against the reason of the first pass: it is worth `most` at best,
/// and `other` is as likely.
pub(super) fn doubt(ending: &Ending, other: Cause, most: f32, why: &'static str) -> Revision {
    let summary =
        format!("The server let the connection go, for no timer or count that shows: {why}.");
    let revision = revision(ending, other, 0.5, summary, &[]);
    let rival = Some((other, revision.confidence));
    Revision { most: Confidence::new(most), rival, clause: Some(why), ..revision }
}

pub(super) fn requests(ending: &Ending, others: &[&Ending]) -> Revision {
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
    verdict.confidence = verdict.confidence.and(revision.most);
    if !same && verdict.confidence > revision.confidence {
        add_rival(verdict, revision);
        if let Some(clause) = revision.clause {
            verdict.add_clause(clause);
        }
        return;
    }
    if !same {
        verdict.alternatives.retain(|other| other.cause != revision.cause);
        for other in &mut verdict.alternatives {
            other.against = outweighed(revision.cause, revision.confidence, other.confidence);
        }
        verdict.alternatives.insert(
            0,
            Alternative {
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
    add_rival(verdict, revision);
}

/// Another reason that is about as likely.
fn add_rival(verdict: &mut Verdict, revision: &Revision) {
    let Some((cause, confidence)) = revision.rival.filter(|(cause, _)| *cause != verdict.cause)
    else {
        return;
    };
    verdict.alternatives.retain(|other| other.cause != cause || other.confidence > confidence);
    if verdict.alternatives.iter().all(|other| other.cause != cause) {
        let against = outweighed(verdict.cause, verdict.confidence, confidence);
        verdict.alternatives.insert(0, Alternative { cause, confidence, against });
    }
}
