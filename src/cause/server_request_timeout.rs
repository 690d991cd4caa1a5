//! The server gave up on a request after a fixed time, and the connection with it.

use std::time::Duration;

use crate::track::history::OpenStream;
use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::error_code::ErrorCode;
use crate::vocab::verdict::{ConfiguredIn, Step, Timeout};

use super::chance::is_setting;
use super::explain::Explain;
use super::scene::{Scene, spoken};
use super::{Detector, evidence};

/// The detector.
pub const DETECTOR: Detector = Detector {
    name: Cause::ServerRequestTimeout,
    explain: Explain {
        what: "The server allows a request a fixed time, to arrive or to be answered, and ends the \
               connection when that is over.",
        on_the_wire: "A request open for a round time; then GOAWAY of the server with \
                      INTERNAL_ERROR or PROTOCOL_ERROR and no debug data, though no rule was \
                      broken; or RST_STREAM of the server at one age of its streams.",
        looks_alike: "idle_timeout: there the code is NO_ERROR, or there is no GOAWAY, and what \
                      counts is the silence. internal_error comes at no particular age. A lost \
                      PING stands unanswered before the end.",
        known: "Twisted: PROTOCOL_ERROR after its timeout with streams open; Kestrel: \
                INTERNAL_ERROR for a request body that comes too slowly; Go WriteTimeout: \
                RST_STREAM(INTERNAL_ERROR); Envoy route timeout: 504.",
        what_to_do: "Raise the server's timeout above its slowest answer, or make it answer \
                     faster. Where the request's body came too slowly, look at the client and its \
                     network.",
    },
    step,
};

/// Shorter than this is an answer that took its time, or chance.
const SHORTEST: Duration = Duration::from_secs(1);

fn step(scene: &Scene<'_>) -> Option<Step> {
    let orderly = scene.code() == Some(ErrorCode::NO_ERROR);
    if scene.by != Side::Server || scene.aborted || orderly || !scene.debug().is_empty() {
        return None;
    }
    let offended = scene.findings.iter().any(|finding| finding.by == Side::Client);
    let oldest = oldest(scene)?;
    let age = scene.at.since(oldest.opened?);
    // A client that gives requests up at one age keeps none that is older.
    let clients = scene.cancels.iter().filter(|group| group.by == Side::Client);
    let mut timers = clients.filter_map(|group| group.timeout.as_ref());
    let by_client = timers.any(|t| (age.as_secs_f64() - t.seconds).abs() <= 0.05 * t.seconds);
    if offended || by_client || age < SHORTEST {
        return None;
    }
    let quiet = scene.quiet();
    let timed = [quiet, age].into_iter().find(|span| *span >= SHORTEST && is_setting(*span));
    let confidence = match (scene.code(), timed) {
        (Some(ErrorCode::PROTOCOL_ERROR), Some(span)) if span == quiet => 0.78,
        (Some(ErrorCode::INTERNAL_ERROR), _) if !oldest.request_ended => 0.68,
        (Some(ErrorCode::INTERNAL_ERROR | ErrorCode::PROTOCOL_ERROR), Some(_)) => 0.62,
        // Octets flowed meanwhile, so it is no idle timer.
        (None, _) if is_at_setting(scene) => 0.68,
        // Nothing came since the request: it may as well have counted the silence.
        (None, Some(_)) if is_setting(age) && oldest.request_ended => 0.6,
        _ => return None,
    };
    let of_age = scene.code().is_none().then_some(age);
    let span = of_age.or(timed).unwrap_or(age);
    let (blame, what) = if oldest.request_ended {
        (Blame::Server, "had not been answered")
    } else {
        (Blame::Client, "had not arrived in full")
    };
    let summary = format!(
        "The server {} when request {} {what} for {}: its own request timeout.",
        scene.ending_name(),
        oldest.id,
        spoken(span)
    );
    let confidence = scene.despite_holes(Confidence::new(confidence));
    let mut step = Step::new(Cause::ServerRequestTimeout, confidence, blame, summary);
    step.evidence.extend(
        oldest.opened.map(|opened| evidence::request(opened, Side::Client, oldest.id, None)),
    );
    step.timeout = Some(Timeout::once(Cause::ServerRequestTimeout, span, ConfiguredIn::Server));
    Some(step)
}

/// Whether the server closed without a word when its oldest request had waited for a time that a
/// person sets, and the silence has no such length.
pub fn is_at_setting(scene: &Scene<'_>) -> bool {
    let waited = scene.oldest_waiting().map(|opened| scene.at.since(opened));
    let (quiet, clear) = (scene.quiet(), |span| span >= SHORTEST && is_setting(span));
    let apart = |age: Duration| quiet + age.mul_f64(0.03) < age && !clear(quiet);
    let server = scene.goaway.is_none() && scene.by == Side::Server;
    server && waited.is_some_and(|age| clear(age) && apart(age))
}

/// The oldest request of the client that was not answered in full.
fn oldest<'a>(scene: &Scene<'a>) -> Option<&'a OpenStream> {
    let unfinished = |stream: &&OpenStream| stream.by == Side::Client && !stream.answer_ended;
    let known = scene.open.iter().filter(unfinished).filter(|stream| stream.opened.is_some());
    known.min_by_key(|stream| stream.opened.map(|stamp| stamp.order()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::Talk;
    use super::*;

    #[test]
    fn a_slow_handler_is_cut_off() {
        let talk = Talk::opened().served(10.0, 1).get(50.0, 3).get(50.5, 5);
        let talk = talk.s(9051.0, "GOAWAY 5 PROTOCOL_ERROR").s(9051.3, "FIN");
        let verdict = talk.is(Cause::ServerRequestTimeout, 0.7);
        verdict.after(Cause::ServerRequestTimeout, 9.0).blames(Blame::Server);
        assert_eq!(verdict.maybe_processed_streams, [3, 5]);
    }

    #[test]
    fn a_body_that_came_too_slowly() {
        let talk = Talk::opened().post(10.0, 1).c(3000.0, "DATA 1 90").c(5900.0, "DATA 1 90");
        let talk = talk.s(7210.0, "GOAWAY 2147483647 INTERNAL_ERROR").s(7211.0, "FIN");
        talk.is(Cause::ServerRequestTimeout, 0.6).blames(Blame::Client);
    }

    #[test]
    fn silence_without_an_error_is_idle() {
        let talk = Talk::opened().served(10.0, 1).get(50.0, 3).s(9051.0, "FIN");
        talk.is(Cause::IdleTimeout, 0.6);
    }

    #[test]
    fn octets_that_came_meanwhile_leave_the_request_alone() {
        let pinged = |end: f64| {
            let talk = Talk::opened().served(10.0, 1).get(50.0, 3).c(5370.0, "PING");
            talk.s(5370.3, "PING ACK").s(end, "FIN")
        };
        let verdict = pinged(9051.0).is(Cause::ServerRequestTimeout, 0.6);
        verdict.after(Cause::ServerRequestTimeout, 9.0).blames(Blame::Server);
        pinged(9267.0).is(Cause::AbruptClose, 0.7);
    }

    #[test]
    fn a_lost_ping_is_no_request_timeout() {
        let talk =
            Talk::opened().get(10.0, 1).s(5000.0, "PING").s(9011.0, "GOAWAY 1 INTERNAL_ERROR");
        talk.is(Cause::KeepalivePingTimeout, 0.9);
    }

    #[test]
    fn a_broken_rule_is_no_timeout() {
        let talk =
            Talk::opened().get(10.0, 1).c(9010.0, "DATA 0 4").s(9010.5, "GOAWAY 1 PROTOCOL_ERROR");
        talk.is(Cause::ProtocolViolation, 0.9);
    }

    #[test]
    fn less_sure_with_a_hole() {
        let talk = Talk::opened().get(50.0, 3).hole(60.0).s(9060.5, "GOAWAY 3 PROTOCOL_ERROR");
        talk.is_unsure(Cause::ServerRequestTimeout);
    }
}
