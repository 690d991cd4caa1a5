//! Room 7: history becomes verdicts.
//!
//! Takes a finished (or running) [`History`], gives the reason for each GOAWAY and end, as a chain
//! of steps from the ending to its root, and the reasons of cancellations. Pure: no state, no
//! clock. Detectors see neither each other nor packets.
//!
//! Confidence: *certain* (0.9 and more) where the chain is closed by identity (a stream id, a rule
//! at a packet, an acknowledged limit, a text and the facts it speaks of) or by a tight cluster;
//! *likely* (0.6 to 0.8) where timing fits one known mechanism and no rival is likely; *possible*
//! (about 0.3) where it is merely compatible. A hole in the capture inside the evidence lowers a
//! step by one. A chain is as sure as its weakest step.

mod abrupt_close;
mod accuses;
pub mod advice;
mod by_code;
pub mod cancels;
mod chance;
mod client_request_timeout;
mod client_shutdown;
pub mod conflicts;
pub mod connection_refused;
mod dead_path;
pub mod dropped;
mod evidence;
pub mod explain;
mod flood_protection;
mod graceful_shutdown;
mod handshake_timeout;
mod header_list_too_large;
pub mod hops;
mod idle_timeout;
pub mod implementation;
mod keepalive_ping_timeout;
pub mod known_text;
mod late_response;
mod late_start;
mod max_concurrent_streams_exceeded;
mod max_connection_age;
mod max_requests_per_connection;
mod messages;
pub mod neighbours;
pub mod pages;
pub mod pair;
mod pings;
mod preface_missing;
mod rapid_reset_protection;
mod refused_stream;
pub mod retry;
pub mod scene;
pub mod sealed;
mod server_request_timeout;
mod settings_ack_timeout;
mod stream_idle_timeout;
pub mod timeouts;
mod too_many_pings;
mod unheard;
mod violation;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_alike;
#[cfg(test)]
mod tests_implementations;
#[cfg(test)]
mod tests_neighbours;

use std::time::Duration;

use crate::track::history::{History, Reset};
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::error_code::ErrorCode;
use crate::vocab::limits::Hit;
use crate::vocab::verdict::{Alternative, Cancellation, Effect, Evidence, Finding, Step, Verdict};

use cancels::CancelGroup;
use explain::Explain;
use scene::{Scene, UNSEEN};

/// One reason that an ending can have: explains one step, effect from cause.
pub struct Detector {
    /// The reason.
    pub name: Cause,
    /// What it says about itself.
    pub explain: Explain,
    /// Its judgement of a scene.
    pub step: fn(&Scene<'_>) -> Option<Step>,
}

/// Every detector, most specific first: the order breaks ties.
pub const DETECTORS: &[&Detector] = &[
    &late_response::DETECTOR,
    &preface_missing::DETECTOR,
    &too_many_pings::DETECTOR,
    &keepalive_ping_timeout::DETECTOR,
    &settings_ack_timeout::DETECTOR,
    &rapid_reset_protection::DETECTOR,
    &refused_stream::DETECTOR,
    &max_concurrent_streams_exceeded::DETECTOR,
    &violation::FLOW_CONTROL,
    &violation::FRAME_SIZE,
    &violation::COMPRESSION,
    &violation::STREAM_CLOSED,
    &violation::PROTOCOL,
    &header_list_too_large::DETECTOR,
    &flood_protection::DETECTOR,
    &handshake_timeout::DETECTOR,
    &client_request_timeout::DETECTOR,
    &server_request_timeout::DETECTOR,
    &stream_idle_timeout::DETECTOR,
    &max_requests_per_connection::DETECTOR,
    &max_connection_age::DETECTOR,
    &idle_timeout::DETECTOR,
    &client_shutdown::DETECTOR,
    &graceful_shutdown::DETECTOR,
    &by_code::HTTP_1_1_REQUIRED,
    &by_code::INADEQUATE_SECURITY,
    &by_code::CONNECT_ERROR,
    &by_code::STREAM_ID_EXHAUSTION,
    &by_code::INTERNAL_ERROR,
    &abrupt_close::DETECTOR,
];

/// Everything the engine says of one connection.
#[derive(Debug)]
pub struct Judged {
    /// For each GOAWAY of the history: which one it follows, and why it was sent.
    pub goaways: Vec<(Option<usize>, Verdict)>,
    /// Why it ended, where no GOAWAY announced it.
    pub end: Option<Verdict>,
    /// Cancellations by reason.
    pub cancellations: Vec<Cancellation>,
    /// Accusations without a breach.
    pub findings: Vec<Finding>,
}

/// Judges a connection.
pub fn judge(history: &History) -> Judged {
    let cancels = cancels::groups(history);
    let mut goaways: Vec<(Option<usize>, Verdict)> = Vec::new();
    let mut findings = Vec::new();
    for index in 0..history.goaways.len() {
        let text = history.goaways.get(index).and_then(known_text::find);
        let Some(scene) = Scene::of_goaway(history, index, &cancels, text) else { continue };
        let follows = follows(history, index);
        let leader = follows.and_then(|leader| goaways.get(leader));
        let verdict = match leader {
            Some((_, leader)) => echo(&scene, leader),
            None => answer_to_close(&scene, verdict(&scene)),
        };
        if leader.is_none() {
            findings.extend(accuses::finding(&scene, &verdict));
        }
        goaways.push((follows, verdict));
    }
    let announced = !goaways.is_empty();
    let end = (!announced).then(|| Scene::of_end(history, &cancels)).flatten();
    Judged {
        goaways,
        end: end.map(|scene| verdict(&scene)),
        cancellations: cancels.iter().filter_map(|group| group.cancellation(history)).collect(),
        findings,
    }
}

/// A GOAWAY that only answers the other side's close: the reason is that side's. `own` is what the
/// GOAWAY says by itself.
fn answer_to_close(scene: &Scene<'_>, own: Verdict) -> Verdict {
    let shutdown = own.cause == Cause::ClientShutdown;
    let Some(end) = scene.of_answered_close().filter(|_| shutdown) else { return own };
    let mut closed = verdict(&end);
    closed.safe_to_retry_streams = own.safe_to_retry_streams;
    closed.maybe_processed_streams = own.maybe_processed_streams;
    closed.implementation = own.implementation;
    closed.chain.push(scene.ending());
    closed.add_clause(&format!("the {}'s GOAWAY only answers that", scene.by.name()));
    sort(&mut closed.chain);
    closed
}

/// The GOAWAY that this one repeats, answers or completes: the first one, unless this one brings
/// an error that the first did not have, from the same side.
fn follows(history: &History, index: usize) -> Option<usize> {
    let (first, this) = (history.goaways.first()?, history.goaways.get(index)?);
    // CANCEL right behind NO_ERROR only hurries.
    let hurried = this.code == ErrorCode::CANCEL && this.last_stream_id == first.last_stream_id;
    let new_error = this.code != ErrorCode::NO_ERROR
        && first.code == ErrorCode::NO_ERROR
        && this.by == first.by
        && !hurried;
    // Nothing can have happened in between: one decision, told in two steps.
    let in_one_go = this.stamp.since(first.stamp) <= IN_ONE_GO
        && !history
            .findings
            .iter()
            .any(|finding| finding.by != this.by && first.stamp.before(finding.stamp));
    (index > 0 && (!new_error || in_one_go)).then_some(0)
}

/// Two GOAWAYs of one side so close together were decided together.
const IN_ONE_GO: Duration = Duration::from_millis(2);

/// The verdict of a GOAWAY that only follows another.
fn echo(scene: &Scene<'_>, leader: &Verdict) -> Verdict {
    let mut verdict = leader.clone();
    verdict.chain.push(scene.ending());
    sort(&mut verdict.chain);
    if let Some(goaway) = scene.goaway {
        let retry = retry::after_goaway(scene.history, goaway, scene.cancels);
        verdict.safe_to_retry_streams = retry.safe;
        verdict.maybe_processed_streams = retry.maybe;
    }
    if scene.history.goaways.first().is_some_and(|first| first.by != scene.by) {
        verdict.blame = Blame::None; // an answer is nobody's fault
    }
    verdict
}

/// The verdict of one ending: steps from the ending to the root.
fn verdict(scene: &Scene<'_>) -> Verdict {
    let mut steps: Vec<Step> =
        DETECTORS.iter().filter_map(|detector| (detector.step)(scene)).collect();
    // Stable: the list's order breaks ties.
    steps.sort_by(|a, b| b.confidence.value().total_cmp(&a.confidence.value()));
    let mut steps = steps.into_iter();
    let trigger = match steps.next() {
        Some(step) if !is_made_by_holes(scene, &step) => step,
        step => {
            let mut verdict = unknown(scene);
            verdict.alternatives.extend(step.map(unproved));
            if scene.goaway.is_none() {
                admit_gap(scene, &mut verdict);
            }
            return verdict;
        }
    };
    let alternatives = alternatives(&trigger, steps);
    let root = match &trigger.because {
        Some(Effect::Cancels(streams)) => root_of_cancels(scene, &trigger, streams),
        _ => None,
    };
    let mut verdict = assemble(scene, trigger, root);
    verdict.alternatives = alternatives;
    admit_gap(scene, &mut verdict);
    late_start::admit(scene, &mut verdict);
    unheard::admit(scene, &mut verdict);
    if scene.may_follow_a_close() {
        verdict.confidence = verdict.confidence.lowered().and(UNSEEN);
        let peer = scene.peer().name();
        verdict.add_clause(&format!("the {peer} may have closed before: its FIN was not captured"));
    }
    if !scene.history.is_timed(scene.history.last) {
        verdict.confidence = verdict.confidence.lowered();
        verdict.timeout = None;
        verdict.summary.push_str(" Less sure than it could be: the packets carry no times.");
    }
    if records(verdict.trigger).iter().any(|hit| scene.history.hits.contains(hit)) {
        verdict.confidence = verdict.confidence.lowered();
    }
    verdict
}

/// The bounded records that a reason is read from: once one of them was full, less is known. What
/// is counted (frames, streams, resets) stays exact.
fn records(cause: Cause) -> &'static [Hit] {
    match cause {
        Cause::KeepalivePingTimeout | Cause::TooManyPings => &[Hit::Pings],
        Cause::IdleTimeout
        | Cause::MaxConcurrentStreamsExceeded
        | Cause::ClientShutdown
        | Cause::AbruptClose => &[Hit::OpenStreams],
        Cause::LateResponse | Cause::RefusedStream => &[Hit::Resets],
        Cause::ProtocolViolation
        | Cause::FlowControlViolation
        | Cause::FrameSizeViolation
        | Cause::CompressionError
        | Cause::StreamClosedViolation => &[Hit::Findings],
        Cause::HeaderListTooLarge => &[Hit::HeaderBlock, Hit::HeaderList],
        _ => &[],
    }
}

/// Whether an end is abrupt only as far as can be seen: an answer, or a GOAWAY, may have been in
/// what the capture lacks. Loss never creates a cause.
fn is_made_by_holes(scene: &Scene<'_>, step: &Step) -> bool {
    let by_absence = matches!(step.cause, Cause::AbruptClose | Cause::ServerRequestTimeout);
    by_absence && scene.goaway.is_none() && scene.hidden_octets() > 0
}

/// A reason that what the capture lacks may refute.
fn unproved(step: Step) -> Alternative {
    Alternative {
        cause: step.cause,
        confidence: step.confidence.and(Confidence::POSSIBLE),
        against: "what was not seen may have been in what the capture lacks".to_owned(),
    }
}

/// What a hole in the capture costs: octets missing before the ending make it less sure, and where
/// nothing announced the end, a GOAWAY may have been in one.
fn admit_gap(scene: &Scene<'_>, verdict: &mut Verdict) {
    let (hidden, place) = (scene.hidden_octets(), scene.missing());
    if scene.goaway.is_some() {
        if let Some(place) = place.filter(|_| scene.has_holes()) {
            verdict.summary.push_str(&format!(" Less sure than it could be: {place}."));
        }
        return;
    }
    if hidden == 0 {
        return;
    }
    verdict.confidence = verdict.confidence.and(Confidence::POSSIBLE);
    let place = place.unwrap_or_else(|| format!("{hidden} octets"));
    verdict.add_clause(&format!("a GOAWAY may have been in what the capture lacks: {place}"));
}

/// Why the streams were cancelled: the group that most of them belong to.
fn root_of_cancels<'a>(
    scene: &Scene<'a>,
    trigger: &Step,
    streams: &[u32],
) -> Option<&'a CancelGroup> {
    let mut streams = streams.to_vec();
    streams.sort_unstable();
    let has = |reset: &&Reset| streams.binary_search(&reset.stream).is_ok();
    let shared = |group: &&CancelGroup| group.resets(scene.history).filter(has).count();
    let group = scene.cancels.iter().max_by_key(shared)?;
    // Of a stream that was opened before the capture began the age is not known: the others tell.
    let aged = |reset: &&Reset| reset.opened.is_some() && has(reset);
    let aged = scene.resets.iter().filter(aged).count();
    let known = if scene.history.joined_midway { aged } else { streams.len() };
    let most = shared(&group) * 2 > known;
    // Resets at once are the attack itself, or its like: there is nothing behind them to name.
    // Requests that had waited were given up by somebody.
    let old = |reset: &&Reset| reset.age().is_some_and(|age| age >= WAITED);
    let waited = group.resets(scene.history).filter(old).count() * 2 > group.places.len();
    let decided = waited && group.confidence >= Confidence::new(0.7);
    let timed = group.cause == Cause::ClientRequestTimeout;
    let worth = timed || decided || trigger.cause == Cause::LateResponse;
    (most && worth).then_some(group)
}

/// Who gives up a request so old had waited for it.
const WAITED: Duration = Duration::from_millis(500);

fn assemble(scene: &Scene<'_>, trigger: Step, root: Option<&CancelGroup>) -> Verdict {
    let retry = match scene.goaway {
        Some(goaway) => retry::behind(scene.history, goaway, scene.cancels),
        None => retry::after_end(scene.history),
    };
    let mut chain = trigger.evidence;
    chain.push(scene.ending());
    let mut verdict = Verdict {
        cause: trigger.cause,
        trigger: trigger.cause,
        blame: trigger.blame,
        confidence: trigger.confidence,
        summary: trigger.summary,
        timeout: trigger.timeout,
        late_answer: trigger.late_answer,
        chain,
        cancelled_streams: trigger.cancelled,
        offending: trigger.offending,
        rule: trigger.rule,
        safe_to_retry_streams: retry.safe,
        maybe_processed_streams: retry.maybe,
        implementation: scene
            .text
            .filter(|_| !scene.goaway.is_some_and(known_text::is_shared))
            .map(known_text::KnownText::implementation),
        alternatives: Vec::new(),
        advice: Vec::new(),
        hop: None,
    };
    match root {
        Some(group) => add_root(scene, &mut verdict, group),
        None if trigger.cause == Cause::LateResponse => {
            // Why the stream had been reset is not to be seen.
            verdict.cause = Cause::ClientRequestTimeout;
            verdict.confidence = verdict.confidence.and(Confidence::new(0.5));
        }
        // What streams are refused for: too many at once.
        None if trigger.cause == Cause::RefusedStream => {
            verdict.cause = Cause::MaxConcurrentStreamsExceeded;
        }
        None => {}
    }
    let at = scene.at;
    verdict.chain.retain(|evidence| !at.before(evidence.stamp));
    sort(&mut verdict.chain);
    verdict.cancelled_streams.sort_unstable();
    verdict.cancelled_streams.dedup();
    verdict
}

fn add_root(scene: &Scene<'_>, verdict: &mut Verdict, group: &CancelGroup) {
    verdict.cause = group.cause;
    verdict.confidence = verdict.confidence.and(group.confidence);
    verdict.timeout = group.timeout.clone();
    let before = group.resets(scene.history).filter(|reset| !scene.at.before(reset.stamp));
    let mut resets: Vec<_> = before.collect();
    resets.sort_by_key(|reset| reset.stamp.order());
    verdict.cancelled_streams = resets.iter().map(|reset| reset.stream).collect();
    if let Some(first) = resets.first() {
        let shown =
            verdict.chain.iter().any(|e| e.stream == first.stream && e.stamp == first.stamp);
        if !shown {
            verdict.chain.push(evidence::reset(first));
        }
        if let Some(opened) = first.opened
            && !verdict.chain.iter().any(|e| e.stamp == opened && e.stream == first.stream)
        {
            let name = first.request.as_deref();
            verdict.chain.push(evidence::request(opened, first.opener, first.stream, name));
        }
    }
    let why = match (&group.timeout, group.cause) {
        (Some(timeout), Cause::ClientRequestTimeout)
            if verdict.trigger == Cause::RapidResetProtection =>
        {
            let value = scene::spoken(std::time::Duration::from_secs_f64(timeout.seconds));
            format!("what reset them is the client's request timeout of {value}")
        }
        (Some(timeout), Cause::ClientRequestTimeout) => {
            let value = scene::spoken(std::time::Duration::from_secs_f64(timeout.seconds));
            let streams = counted(resets.len(), "stream");
            format!("the client's request timeout of {value} had reset {streams}")
        }
        _ => {
            let streams = counted(resets.len(), "stream");
            format!("the client's application had cancelled {streams}")
        }
    };
    verdict.add_clause(&why);
    let others = verdict.maybe_processed_streams.len();
    if others > 0 {
        verdict.add_clause(&format!("{} died with it", counted(others, "other request")));
    }
}

fn alternatives(best: &Step, rest: impl Iterator<Item = Step>) -> Vec<Alternative> {
    let mut seen = vec![best.cause];
    let mut found = Vec::new();
    for step in rest {
        if seen.contains(&step.cause) || found.len() >= 3 {
            continue;
        }
        seen.push(step.cause);
        let against = outweighed(best.cause, best.confidence, step.confidence);
        found.push(Alternative { cause: step.cause, confidence: step.confidence, against });
    }
    found
}

/// What speaks against another explanation: the better one.
fn outweighed(best: Cause, confidence: Confidence, other: Confidence) -> String {
    let (better, worse) = (confidence.word(), other.word());
    match better == worse {
        true => format!("both are {better}, {best} fits a little better"),
        false => format!("{best} fits better: it is {better}, this only {worse}"),
    }
}

/// `1 stream`, `2 streams`.
fn counted(number: usize, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

/// Nothing explains it: say what was looked for.
fn unknown(scene: &Scene<'_>) -> Verdict {
    let by = scene.by.name();
    let mut looked = vec![
        format!("{} broken rules", scene.findings.len()),
        format!("{} resets", scene.resets.len()),
        format!("{} unanswered PINGs", scene.unanswered_pings().count()),
        format!("{} of silence", scene::spoken(scene.quiet())),
        format!("{} open streams", scene.open_count),
    ];
    if scene.history.joined_midway {
        looked.push("the capture began after the connection".to_string());
    }
    if scene.has_holes() {
        looked.push("frames may be missing from the capture".to_string());
    }
    let summary = format!(
        "The {by} {}; the capture does not show why (looked at: {}).",
        scene.ending_name(),
        looked.join(", ")
    );
    let step = Step::new(Cause::Unknown, Confidence::new(0.1), Blame::Unknown, summary);
    assemble(scene, step, None)
}

fn sort(chain: &mut [Evidence]) {
    chain.sort_by_key(|evidence| evidence.stamp.order());
}

/// Which detector explains a cause.
pub fn explain(cause: Cause) -> Option<&'static Explain> {
    if cause == Cause::ConnectionRefused {
        return Some(&connection_refused::EXPLAIN);
    }
    DETECTORS.iter().find(|detector| detector.name == cause).map(|detector| &detector.explain)
}
