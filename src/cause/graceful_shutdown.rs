//! The server drained the connection: deploy, reload or scale-down.

use std::time::Duration;

use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::error_code::ErrorCode;
use crate::vocab::frame::LAST_STREAM_MAX;
use crate::vocab::verdict::Step;

use super::chance::is_timer;
use super::explain::Explain;
use super::scene::{PROMPT, Scene, UNSEEN, spoken};
use super::{Detector, evidence};

/// The detector.
pub const DETECTOR: Detector = Detector {
    name: Cause::GracefulShutdown,
    explain: Explain {
        what: "The server is going away, or lets this connection go, and says so in advance: \
               requests up to last_stream_id are finished, later ones belong elsewhere.",
        on_the_wire: "GOAWAY(NO_ERROR) while requests run, or at any moment; first with 2^31-1 and \
                      then with the real id (RFC 9113 section 6.8), or once with the real id; \
                      several connections at the same moment; the server may refuse new ones.",
        looks_alike: "idle_timeout, max_connection_age and max_requests_per_connection use the \
                      same frames: they follow from a gap, an age or a count.",
        known: "nginx reload, HAProxy soft stop, Apache graceful restart, Envoy drain, gRPC \
                GracefulStop, Go Server.Shutdown, Node session.close(), Kubernetes rollouts.",
        what_to_do: "Nothing on the server. Clients must retry streams above last_stream_id on a \
                     new connection: they were not processed.",
    },
    step,
};

/// A GOAWAY this soon after the newest request was sent because of it.
const IN_ANSWER: Duration = Duration::from_millis(3);

/// Whoever ends a connection whose answers have stood still for this long may do it for that.
const STALLED: Duration = Duration::from_secs(1);

fn step(scene: &Scene<'_>) -> Option<Step> {
    let goaway = scene.goaway?;
    let orderly = matches!(goaway.code, ErrorCode::NO_ERROR | ErrorCode::CANCEL);
    if scene.by != Side::Server || !orderly || goaway.after_peer_close {
        return None;
    }
    let debug = scene.debug();
    let by_text = ["graceful", "shutdown", "drain", "app_requested", "going away"]
        .iter()
        .any(|word| debug.contains(word));
    let by_row = scene.text.and_then(|row| row.cause()) == Some(Cause::GracefulShutdown);
    let two_step = goaway.last_stream_id == LAST_STREAM_MAX;
    let busy = is_busy(scene);
    // One library writes this for whatever made it drain: idle, age, count or shutdown.
    let any_drain = debug == "graceful_shutdown";
    let stalled = scene.starved().is_some_and(|(_, since)| scene.at.since(since) >= STALLED);
    let confidence = match (by_text, two_step, busy) {
        (false, ..) if stalled && !by_row => 0.5,
        (true, ..) if any_drain => 0.72,
        (true, ..) => 0.9,
        _ if by_row => 0.85,
        (_, true, true) => 0.74,
        (_, true, false) => 0.6,
        (_, false, true) => 0.7,
        (_, false, false) => 0.4,
    };
    // Nothing of what came before is in the capture, or the end answers the newest request.
    let unseen = scene.is_blind();
    let in_answer = scene.last_taken().is_some_and(|(_, taken)| scene.at.since(taken) <= IN_ANSWER);
    // With the last answer it was done: it served as many as it may, or was told to close.
    let answered = scene.open_count == 0
        && scene.last_message.second.is_some_and(|last| scene.at.since(last) <= IN_ANSWER);
    let with_answer = answered || is_done_at_once(scene);
    let offended = scene.offence_before().is_some();
    let cut_off = scene.cut_off();
    let at_once = cut_off.is_some_and(|(_, after)| after <= PROMPT);
    // A drain comes at any moment: at a silence, or an age, that people set, a timer is as likely.
    let aged = !scene.history.joined_midway && is_timer(scene.age());
    let timed = aged || is_timer(scene.quiet());
    let confidence: f32 = match () {
        () if by_text || by_row => confidence,
        () if timed => confidence.min(0.55),
        () if unseen => 0.4,
        () if with_answer && !two_step => confidence.min(0.5),
        () if in_answer || at_once || offended => confidence.min(0.55),
        () => confidence,
    };
    let summary = summary(scene, unseen && !by_text && !by_row);
    let confidence = Confidence::new(confidence);
    let confidence = match by_text || by_row {
        true => confidence,
        // It drained, but for what may be missing: an age, a silence.
        false if two_step && scene.has_holes() => confidence.and(UNSEEN),
        false => scene.despite_holes(confidence),
    };
    // Whoever cuts off what it promised to finish was in too much of a hurry.
    let blame = if cut_off.is_some() { Blame::Server } else { Blame::None };
    let mut step = Step::new(Cause::GracefulShutdown, confidence, blame, summary);
    let last = scene.history.goaways.iter().rev().find(|later| {
        later.by == Side::Server && two_step && later.last_stream_id != LAST_STREAM_MAX
    });
    if let Some(last) = last {
        let text = format!("second step, last stream {}", last.last_stream_id);
        step.evidence.push(evidence::on_connection(last.stamp, Side::Server, "GOAWAY", text));
    }
    Some(step)
}

/// Whether what was open was answered, and the connection closed, in the moment of the GOAWAY: it
/// went with the answer.
fn is_done_at_once(scene: &Scene<'_>) -> bool {
    let closed = scene.history.tcp_end().filter(|(_, by, _)| *by == Side::Server);
    let at_once = closed.is_some_and(|(end, ..)| end.since(scene.at) <= IN_ANSWER);
    at_once && scene.code() == Some(ErrorCode::NO_ERROR) && scene.cut_off().is_none()
}

/// Whether requests are open, or were a moment ago: a PING makes no connection busy.
fn is_busy(scene: &Scene<'_>) -> bool {
    let silence = scene.latest_message().map_or(scene.quiet(), |message| scene.at.since(message));
    scene.open_count > 0 || silence < Duration::from_millis(400)
}

/// What it did, in a sentence.
fn summary(scene: &Scene<'_>, unseen: bool) -> String {
    let running = match scene.open_count {
        0 => String::new(),
        1 => " while 1 request was running".to_string(),
        count => format!(" while {count} requests were running"),
    };
    let ending = scene.ending_name();
    match scene.cut_off() {
        None if unseen => format!(
            "The server drained the connection, or it had been idle: it {ending}, and what came \
             before is not in the capture."
        ),
        None => format!("The server drained the connection: it {ending}{running}."),
        Some((count, after)) => format!(
            "The server shut the connection down: it {ending} and closed it {} later, with {count} \
             of the requests that it had promised to finish unanswered.",
            spoken(after)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Talk;
    use super::*;

    #[test]
    fn two_steps_while_requests_run() {
        let talk = Talk::opened()
            .served(10.0, 1)
            .get(433.0, 3)
            .s(466.0, "GOAWAY 2147483647 NO_ERROR")
            .c(467.0, "PING ACK 0106010800030309")
            .s(520.0, "GOAWAY 3 NO_ERROR")
            .ok(700.0, 3);
        let talk = talk.s(701.0, "FIN");
        talk.is(Cause::GracefulShutdown, 0.6).blames(Blame::None);
        let row = talk.row();
        assert_eq!(row.goaways[1].follows, Some(0));
    }

    #[test]
    fn idle_and_age_say_otherwise() {
        Talk::opened().served(10.0, 1).s(14_021.0, "GOAWAY 1 NO_ERROR").is(Cause::IdleTimeout, 0.7);
        let talk =
            Talk::opened().get(3300.0, 1).s(3410.0, "GOAWAY 2147483647 NO_ERROR \"max_age\"");
        talk.is(Cause::MaxConnectionAge, 0.9);
    }

    #[test]
    fn requests_killed_when_the_grace_is_over_are_trouble() {
        let talk = Talk::opened().get(10.0, 1).get(12.0, 3).get(1500.0, 5);
        let row = talk.s(1700.0, "GOAWAY 5 NO_ERROR").s(3700.0, "FIN").row();
        let verdict = row.lead().unwrap();
        assert_eq!(verdict.cause, Cause::GracefulShutdown);
        assert_eq!((verdict.blame, row.victims()), (Blame::Server, 3));
        assert!(verdict.summary.contains("closed it 2.0 s later, with 3"), "{}", verdict.summary);
        // Who finishes what was promised has drained.
        let done = Talk::opened().get(1500.0, 1).s(1700.0, "GOAWAY 1 NO_ERROR").ok(1800.0, 1);
        done.s(3700.0, "FIN").is(Cause::GracefulShutdown, 0.7).blames(Blame::None);
    }

    #[test]
    fn requests_cut_off_are_told() {
        let talk = Talk::opened().served(10.0, 1).get(433.0, 3).get(440.0, 5);
        let talk = talk.s(471.0, "GOAWAY 5 NO_ERROR").s(473.0, "FIN");
        let verdict = talk.is_unsure(Cause::GracefulShutdown);
        assert!(verdict.summary.contains("2 of the requests"), "{}", verdict.summary);
        verdict.blames(Blame::Server);
    }

    #[test]
    fn a_capture_that_begins_with_the_goaway_tells_little() {
        let talk = Talk::default().s(5.0, "SETTINGS\n+ GOAWAY 0 NO_ERROR").s(6.0, "FIN");
        assert!(talk.told().confidence.value() <= 0.4);
    }

    #[test]
    fn several_at_one_moment() {
        let one = Talk::opened().served(10.0, 1).get(833.0, 3).s(871.0, "GOAWAY 3 NO_ERROR");
        let later = Talk::opened().served(15.0, 1).s(700.0, "GOAWAY 1 NO_ERROR");
        one.again(2, 172.0, &later).is(Cause::GracefulShutdown, 0.8);
    }

    #[test]
    fn unsure_with_a_hole() {
        let talk = Talk::opened().get(10.0, 1).hole(433.0).s(466.0, "GOAWAY 1 NO_ERROR");
        talk.is_unsure(Cause::GracefulShutdown);
    }
}
