//! A stream made no progress for a fixed time, and the connection was ended for it.

use std::time::Duration;

use crate::track::history::OpenStream;
use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::error_code::ErrorCode;
use crate::vocab::time::Stamp;
use crate::vocab::verdict::{ConfiguredIn, Step, Timeout};

use super::chance::{is_setting, round_value};
use super::explain::Explain;
use super::scene::{Scene, spoken};
use super::{Detector, evidence};

/// The detector.
pub const DETECTOR: Detector = Detector {
    name: Cause::StreamIdleTimeout,
    explain: Explain {
        what: "A message stopped half-way (a body that did not go on, a window that the receiver \
               did not open), and one side waited no longer.",
        on_the_wire: "A body or an answer has begun; nothing more comes on its stream for a round \
                      time; then RST_STREAM, GOAWAY, or a bare close.",
        looks_alike: "idle_timeout: there no message had begun. client_request_timeout counts from \
                      the request, not from the last DATA.",
        known: "nginx send_timeout and client_body_timeout 60 s, Envoy stream_idle_timeout 5 min, \
                nghttpx stream timeouts, Apache Timeout (GOAWAY with the odd code 70007).",
        what_to_do: "Find out who stalled: a client that does not read or does not go on sending, \
                     or a server that produces nothing. Raise the timeout for streams that pause \
                     for good reasons.",
    },
    step,
};

/// Shorter silences are a message that takes its time.
const SHORTEST: Duration = Duration::from_secs(1);

/// APR_TIMEUP, which Apache httpd lets into a GOAWAY.
const APR_TIMEUP: ErrorCode = ErrorCode(70_007);

fn step(scene: &Scene<'_>) -> Option<Step> {
    let named = scene.code() == Some(APR_TIMEUP);
    let quiet = scene.quiet();
    let plain = matches!(scene.code(), None | Some(ErrorCode::NO_ERROR));
    if scene.by != Side::Server || !(named || plain) || !scene.debug().is_empty() {
        return None;
    }
    if let Some((stream, since)) = scene.starved().filter(|_| plain) {
        return starved(scene, stream, since);
    }
    // A RST is what is left of a send that timed out, with octets unread.
    let stalled = stalled(scene);
    let confidence = match (named, &stalled) {
        (true, Some(_)) => 0.78,
        (true, None) if round_value(quiet).is_some() => 0.6,
        (false, Some(stream)) if quiet >= SHORTEST && is_setting(quiet) => {
            // What stopped is the request's body: the whole connection was silent as well.
            if stream.responded { 0.79 } else { 0.7 }
        }
        _ => return None,
    };
    let which = stalled.map(|stream| format!(" on stream {}", stream.id)).unwrap_or_default();
    let summary = format!(
        "The server {} after nothing had moved{which} for {}.",
        scene.ending_name(),
        spoken(quiet)
    );
    let confidence = scene.despite_holes(Confidence::new(confidence));
    let mut step = Step::new(Cause::StreamIdleTimeout, confidence, Blame::Client, summary);
    if let Some((stream, last)) = stalled.and_then(|stream| Some((stream, stream.last?))) {
        let text = "the last frame on the stream before the silence".to_string();
        let mut fact = evidence::on_connection(last, Side::Server, "silence", text);
        fact.stream = stream.id;
        step.evidence.push(fact);
    }
    step.timeout = Some(Timeout::once(Cause::StreamIdleTimeout, quiet, ConfiguredIn::Server));
    Some(step)
}

/// The client granted no window for the rest of its answers.
fn starved(scene: &Scene<'_>, stream: u32, since: Stamp) -> Option<Step> {
    let wait = scene.at.since(since);
    if wait < SHORTEST {
        return None;
    }
    let summary = format!(
        "The server {} after its answer on stream {stream} had been stalled for {}: the client's \
         flow-control window was used up, and the client never opened it again.",
        scene.ending_name(),
        spoken(wait)
    );
    let confidence = Confidence::new(match (is_setting(wait), scene.goaway.is_some()) {
        (true, _) => 0.79,
        (false, true) => 0.76,
        // Who dies says nothing either.
        (false, false) => 0.65,
    });
    let confidence = scene.despite_holes(confidence);
    let mut step = Step::new(Cause::StreamIdleTimeout, confidence, Blame::Client, summary);
    let text = "the DATA that used up the client's window".to_string();
    let mut fact = evidence::on_connection(since, Side::Server, "DATA", text);
    fact.stream = stream;
    step.evidence.push(fact);
    step.timeout = Some(Timeout::once(Cause::StreamIdleTimeout, wait, ConfiguredIn::Server));
    Some(step)
}

/// A message that had begun and did not go on: every open stream stands like that, or it is the
/// connection that was silent.
fn stalled<'a>(scene: &Scene<'a>) -> Option<&'a OpenStream> {
    let begun = |stream: &OpenStream| {
        let half = stream.responded || (stream.described && !stream.request_ended);
        stream.by == Side::Client && !stream.answer_ended && half
    };
    let all = !scene.open.is_empty() && scene.open.iter().all(begun);
    if all { scene.open.first() } else { None }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Talk;
    use super::*;

    fn begun() -> Talk {
        Talk::opened().get(10.0, 1).s(25.0, "HEADERS 1 :status=200\n+ DATA 1 16000")
    }

    #[test]
    fn an_answer_that_went_no_further() {
        let verdict = begun().s(20_026.0, "FIN").is(Cause::StreamIdleTimeout, 0.7);
        verdict
            .after(Cause::StreamIdleTimeout, 20.0)
            .blames(Blame::Client)
            .shows(&["silence", "FIN"]);
        begun().s(30_026.0, "RST").is(Cause::StreamIdleTimeout, 0.6);
        begun().s(7026.0, "GOAWAY 1 70007").is(Cause::StreamIdleTimeout, 0.7);
    }

    #[test]
    fn a_request_that_waits_is_the_connections_silence() {
        let talk = Talk::opened().served(10.0, 1).get(40.0, 3).s(20_041.0, "FIN");
        talk.is(Cause::IdleTimeout, 0.6);
    }

    #[test]
    fn an_upload_that_went_no_further() {
        let talk = Talk::opened().post(10.0, 1).c(700.0, "DATA 1 900").s(10_701.0, "FIN");
        let verdict = talk.is(Cause::StreamIdleTimeout, 0.7);
        verdict.after(Cause::StreamIdleTimeout, 10.0).blames(Blame::Client);
        let crash = Talk::opened().post(10.0, 1).c(700.0, "DATA 1 900").s(10_963.0, "FIN");
        assert_ne!(crash.told().cause, Cause::StreamIdleTimeout);
    }

    #[test]
    fn a_crash_half_way_is_none() {
        begun().s(131.0, "RST").is(Cause::AbruptClose, 0.7);
    }

    #[test]
    fn less_sure_with_a_hole() {
        begun().hole(40.0).s(20_041.0, "FIN").is_unsure(Cause::StreamIdleTimeout);
    }

    /// An answer that uses up the window of 65,535 octets, but for what is left.
    fn filled(left: u32) -> Talk {
        let rest = 65_535 - 3 * 16_384 - left;
        let frame = "\n+ DATA 1 16384".repeat(3);
        let answer = format!("HEADERS 1 :status=200{frame}\n+ DATA 1 {rest}");
        Talk::opened().get(10.0, 1).s(25.0, &answer)
    }

    #[test]
    fn a_client_that_opens_no_window() {
        for (left, end) in [(0, "FIN"), (35, "RST"), (0, "GOAWAY 1 NO_ERROR")] {
            let verdict = filled(left).s(2138.0, end).is(Cause::StreamIdleTimeout, 0.6);
            verdict.after(Cause::StreamIdleTimeout, 2.113).blames(Blame::Client).shows(&["DATA"]);
            assert!(verdict.summary.contains("window"), "{}", verdict.summary);
        }
        // At once, and on its way again, it is another thing.
        filled(0).s(131.0, "RST").is(Cause::AbruptClose, 0.7);
        let opened = filled(0).c(900.0, "WINDOW_UPDATE 0 65535\n+ WINDOW_UPDATE 1 65535");
        let talk = opened.s(2138.0, "GOAWAY 1 NO_ERROR");
        talk.is(Cause::GracefulShutdown, 0.6);
        filled(1000).s(2138.0, "GOAWAY 1 NO_ERROR").is(Cause::GracefulShutdown, 0.6);
        let verdict = filled(0).hole(40.0).s(2138.0, "GOAWAY 1 NO_ERROR").told();
        assert!(verdict.confidence.value() < 0.6, "{}", verdict.summary);
    }
}
