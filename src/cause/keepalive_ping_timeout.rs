//! A PING was not answered in time.

use std::time::Duration;

use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::verdict::{Step, Timeout};

use super::chance::is_timer;
use super::explain::Explain;
use super::scene::{REAL_WAIT, Scene, UNSEEN, spoken};
use super::{Detector, dead_path, evidence};

/// The detector.
pub const DETECTOR: Detector = Detector {
    name: Cause::KeepalivePingTimeout,
    explain: Explain {
        what: "One side sent a PING to see whether the other is alive, heard nothing for its \
               keepalive timeout, and gave the connection up.",
        on_the_wire: "A PING without ACK and no octet from its receiver since; then GOAWAY \
                      (ENHANCE_YOUR_CALM \"ping_timeout\" in gRPC, PROTOCOL_ERROR in OkHttp and \
                      Akka, INTERNAL_ERROR in Kestrel) or, most often, a bare close.",
        looks_alike: "too_many_pings blames pings that came too often. A connection closed while a \
                      PING is on its way: there the wait is no longer than a round trip.",
        known: "gRPC keepalive time and timeout (20 s), Go ReadIdleTimeout and PingTimeout (15 s), \
                OkHttp pingInterval, Envoy connection_keepalive, HAProxy idle-ping.",
        what_to_do: "Find out why the peer was silent: stopped or overloaded process, dead host, \
                     lost route. Raise the timeout only if it stalls for good reasons.",
    },
    step,
};

/// Waits this long are no accident: whoever closes now knows that nobody answers.
const LONG_WAIT: Duration = Duration::from_secs(1);

/// A RST right in answer to octets of the other side, requests waiting: nobody reads them any
/// more, the socket had been closed before.
pub fn is_a_closed_socket(scene: &Scene<'_>) -> bool {
    let heard = *scene.last_octets.side(scene.peer());
    let answers = heard.is_some_and(|heard| scene.at.since(heard) <= Duration::from_millis(20));
    scene.goaway.is_none() && scene.aborted && answers && scene.open_count > 0
}

/// More that wait for an answer at once are a flood: keepalive has one or two on their way.
const MANY: usize = 16;

/// Whether the end comes a time after the first PING without an answer that people set, though the
/// other side had gone on for long since: it does not answer PINGs.
fn is_timed(scene: &Scene<'_>) -> bool {
    let Some(ping) = scene.unanswered_pings().next() else { return false };
    let heard = *scene.last_octets.side(scene.peer());
    let went_on = heard.is_some_and(|heard| {
        ping.sent.before(heard) && heard.since(ping.sent) >= REAL_WAIT.max(scene.round_trip() * 4)
    });
    went_on && is_timer(scene.at.since(ping.sent))
}

fn step(scene: &Scene<'_>) -> Option<Step> {
    let debug = scene.debug();
    let by_text = ["ping_timeout", "ping timeout", "ping ack timeout", "keepalive"]
        .iter()
        .any(|word| debug.contains(word));
    let heard = *scene.last_octets.side(scene.peer());
    let silent = scene.lost_ping();
    // It came late, to a path that was dead: what came since is no answer either.
    let dead = dead_path::at_end(scene, scene.by);
    let never_left =
        dead.and_then(|stall| scene.unanswered_pings().find(|ping| !ping.sent.before(stall.from)));
    // Other frames came, but not the answer: with an error that is a lost PING as well.
    let beside = scene.is_error() || is_a_closed_socket(scene) || is_timed(scene);
    let in_vain = || scene.unanswered_pings().next().filter(|_| beside);
    let asked = silent.or(never_left).or_else(in_vain)?;
    let wait = scene.at.since(asked.sent);
    if wait < REAL_WAIT.max(scene.round_trip() * 4) || scene.unanswered_pings().count() > MANY {
        return None;
    }
    let clean = !scene.is_error() && scene.goaway.is_some();
    let confidence = match (by_text, clean, silent.is_some()) {
        (true, ..) => 0.96,
        _ if silent.is_none() && never_left.is_some() => 0.7,
        (false, _, false) if wait < LONG_WAIT => return None,
        (false, _, false) if scene.is_error() => 0.7,
        (false, _, false) => 0.62,
        (false, false, true) => 0.92,
        (false, true, true) if wait >= LONG_WAIT => 0.85,
        (false, true, true) if scene.open_count > 0 || scene.gave_up_just_before() => 0.85,
        (false, true, true) => 0.75,
    };
    let (by, peer) = (scene.by.name(), scene.peer().name());
    let summary = format!(
        "The {by} {} because its PING was not answered for {}{}.",
        scene.ending_name(),
        spoken(wait),
        silent.map_or_else(String::new, |_| format!("; the {peer} had been silent since"))
    );
    let blame = if is_a_closed_socket(scene) { Blame::Network } else { Blame::from(scene.peer()) };
    let mut confidence = Confidence::new(confidence);
    if scene.is_unheard(scene.peer()) {
        confidence = Confidence::POSSIBLE; // answers were not captured
    } else if scene.peer_is_hidden() {
        confidence = confidence.lowered(); // it may have answered in what is missing
        confidence = if by_text { confidence } else { confidence.and(UNSEEN) };
    }
    let mut step = Step::new(Cause::KeepalivePingTimeout, confidence, blame, summary);
    step.evidence.push(evidence::unanswered(asked));
    if let Some(heard) = heard {
        let text = "last octets".to_string();
        step.evidence.push(evidence::on_connection(heard, scene.peer(), "silence", text));
    }
    if let Some(stall) = dead {
        dead_path::tell(scene.by, &mut step, stall);
    }
    // When a socket was closed that is long gone is not to be seen, nor what came of a dead path.
    if !is_a_closed_socket(scene) && (silent.is_some() || never_left.is_none()) {
        let timeout = Timeout::once(Cause::KeepalivePingTimeout, wait, scene.by.into());
        step.timeout = Some(timeout);
    }
    Some(step)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Talk;
    use super::*;

    #[test]
    fn nobody_answers() {
        let talk = Talk::opened().served(10.0, 1).get(50.0, 3).c(6050.0, "PING 0000000100000000");
        let verdict = talk.c(11_052.0, "FIN").is(Cause::KeepalivePingTimeout, 0.9);
        verdict
            .after(Cause::KeepalivePingTimeout, 5.0)
            .blames(Blame::Server)
            .shows(&["PING", "FIN"]);
    }

    #[test]
    fn a_ping_on_its_way_is_not_lost() {
        let talk = Talk::opened().served(10.0, 1).c(400.0, "PING 0000000000000001").c(430.0, "FIN");
        talk.is(Cause::ClientShutdown, 0.7);
        // A long way: the earlier PING took 300 ms.
        let far = Talk::default()
            .raw(0.0, "0 C> PREFACE\n+ SETTINGS\n2 S> SETTINGS\n+ SETTINGS ACK")
            .c(3.0, "SETTINGS ACK")
            .c(10.0, "PING 0000000000000001")
            .s(310.0, "PING ACK 0000000000000001")
            .served(1000.0, 1)
            .c(2000.0, "PING 0000000000000002")
            .c(2250.0, "GOAWAY 0 NO_ERROR");
        assert_ne!(far.told().cause, Cause::KeepalivePingTimeout);
    }

    #[test]
    fn short_timeouts_are_told_too() {
        let talk = Talk::opened().served(10.0, 1).c(900.0, "PING 0000000000000001");
        talk.c(1603.0, "FIN").is(Cause::KeepalivePingTimeout, 0.9);
        let talk = Talk::opened().served(10.0, 1).s(900.0, "PING 0000000000000001");
        talk.s(1603.0, "GOAWAY 1 NO_ERROR").is(Cause::KeepalivePingTimeout, 0.7);
    }

    #[test]
    fn too_many_pings_blame_the_other_side() {
        let mut talk = Talk::opened().get(5.0, 1);
        for at in [2000.0, 4000.0, 6000.0] {
            talk = talk.c(at, "PING").s(at + 0.2, "PING ACK");
        }
        talk.s(6000.4, "GOAWAY 1 ENHANCE_YOUR_CALM \"too_many_pings\"")
            .is(Cause::TooManyPings, 0.9);
    }

    #[test]
    fn a_late_answer_meets_a_closed_socket() {
        let talk = Talk::opened().get(10.0, 1).c(1500.0, "PING 0000000000000003");
        let verdict = talk.ok(6030.0, 1).get(6029.0, 3).c(6030.4, "RST").told();
        assert_eq!(verdict.cause, Cause::KeepalivePingTimeout, "{}", verdict.summary);
        verdict.blames(Blame::Network);
        assert!(verdict.confidence.value() < 0.8 && verdict.timeout.is_none());
    }

    #[test]
    fn other_frames_came_but_no_answer() {
        let talk = Talk::opened()
            .get(10.0, 1)
            .c(2000.0, "PING 0000000100000000")
            .s(2500.0, "WINDOW_UPDATE 0 10")
            .c(8003.0, "GOAWAY 0 PROTOCOL_ERROR");
        talk.is(Cause::KeepalivePingTimeout, 0.6);
    }

    #[test]
    fn less_sure_with_a_hole() {
        let talk = Talk::opened()
            .get(10.0, 1)
            .gap(20.0, 'S', 1)
            .s(21.0, "WINDOW_UPDATE 0 1")
            .s(22.0, "WINDOW_UPDATE 0 1")
            .c(6050.0, "PING")
            .c(11_052.0, "FIN");
        talk.is_unsure(Cause::KeepalivePingTimeout);
    }

    #[test]
    fn a_client_that_gives_up_in_good_order() {
        for wait in [200.0, 500.0, 800.0, 20_000.0] {
            let end = 1300.0 + wait;
            let talk = Talk::opened().get(10.0, 1).c(1300.0, "PING 0000000000000001");
            let verdict = talk
                .clone()
                .cancel(end + 1.0, 1)
                .c(end + 1.1, "GOAWAY 0 NO_ERROR")
                .is(Cause::KeepalivePingTimeout, 0.8);
            verdict.after(Cause::KeepalivePingTimeout, wait / 1e3).blames(Blame::Server);
            // The server answers: the client's timeout, or its wish.
            let answered = talk.s(1301.0, "PING ACK 0000000000000001").cancel(end + 1.0, 1);
            let told = answered.c(end + 1.1, "GOAWAY 0 NO_ERROR").told();
            assert_ne!(told.cause, Cause::KeepalivePingTimeout, "{}", told.summary);
        }
    }
}
