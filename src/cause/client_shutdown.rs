//! The client was done with the connection.

use std::time::Duration;

use crate::track::history::Ping;
use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::error_code::ErrorCode;
use crate::vocab::frame::LAST_STREAM_MAX;
use crate::vocab::rule::Scope;
use crate::vocab::verdict::Step;

use super::chance::is_timer;
use super::explain::Explain;
use super::scene::{PROMPT, Scene, UNSEEN};
use super::{Detector, evidence};

/// The detector.
pub const DETECTOR: Detector = Detector {
    name: Cause::ClientShutdown,
    explain: Explain {
        what: "The client closed a connection that it needs no more: program end, pool eviction, \
               channel shutdown.",
        on_the_wire: "GOAWAY(NO_ERROR) of the client, or its FIN with no request open. A GOAWAY of \
                      the server behind it is only an answer.",
        looks_alike: "A FIN with requests open at one age is a timeout (curl --max-time); with \
                      requests open at no particular age, an abrupt close.",
        known: "Many clients send no GOAWAY at all: curl before 8.10, Go, .NET.",
        what_to_do: "Nothing.",
    },
    step,
};

/// A PING without answer for this long is lost.
const LOST: Duration = Duration::from_secs(1);

fn step(scene: &Scene<'_>) -> Option<Step> {
    // An answer to a close that the client had already sent.
    if let Some(goaway) = scene.goaway.filter(|_| scene.by == Side::Server) {
        if !goaway.after_peer_close {
            return None;
        }
        let summary = "The client closed the connection when it was done; the server answered \
                       with a GOAWAY.";
        let confidence = Confidence::new(if scene.open_count == 0 { 0.93 } else { 0.7 });
        let mut step =
            Step::new(Cause::ClientShutdown, confidence, Blame::None, summary.to_string());
        if let Some(fin) = scene.history.fin.first {
            let text = "the client closes".to_string();
            step.evidence.push(evidence::on_connection(fin, Side::Client, "FIN", text));
        }
        return Some(step);
    }
    if scene.by != Side::Client || !scene.history.client_speaks_http2 {
        return None;
    }
    let waiting = scene.waiting().count();
    let torn = scene.is_torn();
    let waited_long = |ping: &Ping| scene.at.since(ping.sent) >= LOST;
    // Who has waited for a PING is not done, but has lost its peer.
    let lost = scene.lost_ping().is_some() || scene.unanswered_pings().any(waited_long);
    // A broken rule of the server right before is what a client leaves for.
    let offended = scene.offence_within(PROMPT).is_some_and(|f| f.rule.scope == Scope::Connection);
    let confidence = match (scene.code(), waiting > 0) {
        (Some(code), _) if code != ErrorCode::NO_ERROR && code != ErrorCode::CANCEL => return None,
        _ if lost || offended => 0.5,
        // It could not have asked for more (RFC 9113 section 5.1.1).
        _ if scene.history.sides.first.highest_stream >= LAST_STREAM_MAX - 2 => 0.5,
        _ if scene.answered_offence().is_some() => 0.6,
        // It says itself that a timer did it.
        _ if scene.debug().contains("idle") => 0.5,
        // So may the timer of a pool.
        (Some(ErrorCode::NO_ERROR), false) if is_timer(scene.quiet()) => 0.85,
        (Some(ErrorCode::NO_ERROR), false) => 0.95,
        // A timer of its own that waits for octets (Node's session.setTimeout).
        (Some(ErrorCode::NO_ERROR), true) if is_timer(scene.quiet()) => 0.5,
        // It gave up on one of them, and went with the rest.
        (Some(ErrorCode::NO_ERROR), true) if scene.gave_up_just_before() => 0.5,
        (Some(ErrorCode::NO_ERROR), true) => 0.85,
        (Some(_), _) => 0.7,
        (None, false) if torn => 0.3,
        // In TLS an orderly end begins with a close_notify.
        (None, false) if scene.aborted && scene.in_tls() => 0.4,
        (None, false) if scene.aborted => 0.75,
        (None, false) if scene.open_count > 0 => 0.75,
        (None, false) if is_timer(scene.quiet()) => 0.85,
        (None, false) => 0.93,
        // Requests of many ages cut off in good order: the program ended, its pool was closed, or
        // the last of them had timed out.
        (None, true) if !scene.aborted && waiting >= 3 => 0.5,
        (None, true) => 0.35,
    };
    let with = match waiting {
        0 => String::new(),
        1 => ", though 1 request was open".to_string(),
        count => format!(", though {count} requests were open"),
    };
    let summary =
        format!("The client was done with the connection and {}{with}.", scene.ending_name());
    // A hole shows when octets behind it come: one that shows later may hold the server's GOAWAY,
    // which the client only follows.
    let confidence = Confidence::new(confidence);
    let hidden = scene.history.has_loss();
    let confidence = if hidden { confidence.lowered().and(UNSEEN) } else { confidence };
    Some(Step::new(Cause::ClientShutdown, confidence, Blame::None, summary))
}

#[cfg(test)]
mod tests {
    use super::super::tests::Talk;
    use super::*;

    #[test]
    fn done_and_gone() {
        let talk = Talk::opened().served(10.0, 1).c(95.0, "GOAWAY 0 NO_ERROR").c(95.2, "FIN");
        talk.is(Cause::ClientShutdown, 0.9).blames(Blame::None).shows(&["GOAWAY"]);
        Talk::opened().served(10.0, 1).c(95.0, "FIN").is(Cause::ClientShutdown, 0.9);
    }

    #[test]
    fn what_it_leaves_unanswered_dies_with_the_connection() {
        let talk = Talk::opened().get(10.0, 1).get(11.0, 3).ok(20.0, 1);
        let talk = talk.c(95.0, "GOAWAY 0 NO_ERROR");
        assert_eq!(talk.row().died(), 0, "the answer may still come");
        assert_eq!(talk.clone().ok(96.0, 3).c(97.0, "FIN").row().died(), 0);
        let verdict = talk.clone().c(95.2, "FIN").is(Cause::ClientShutdown, 0.3);
        assert_eq!(verdict.maybe_processed_streams, [3]);
        let advice = verdict.advice.concat();
        assert!(advice.contains("no GOAWAY of the server says"), "{advice}");
        // What the server's own GOAWAY leaves out it has not taken.
        let told = talk.s(95.1, "GOAWAY 1 NO_ERROR").c(95.4, "FIN").told();
        assert_eq!((told.safe_to_retry_streams, told.maybe_processed_streams), (vec![3], vec![]));
    }

    #[test]
    fn an_answer_to_the_clients_close() {
        let talk = Talk::opened().served(10.0, 1).c(95.0, "FIN").s(96.0, "GOAWAY 1 NO_ERROR");
        talk.is(Cause::ClientShutdown, 0.9).shows(&["FIN", "GOAWAY"]);
    }

    #[test]
    fn a_client_that_lost_its_peer_is_not_done() {
        let talk = Talk::opened().served(10.0, 1).c(4000.0, "PING 0000000000000001");
        let end = "GOAWAY 0 NO_ERROR \"client transport shutdown\"";
        talk.c(16_002.0, end).c(16_003.0, "FIN").is(Cause::KeepalivePingTimeout, 0.8);
    }

    #[test]
    fn one_request_at_no_particular_age() {
        Talk::opened().get(10.0, 1).c(1387.0, "RST").is_unsure(Cause::AbruptClose);
    }
}
