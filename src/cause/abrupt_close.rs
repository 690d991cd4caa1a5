//! The connection was cut without a word.

use std::time::Duration;

use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::verdict::Step;

use super::chance::is_timer;
use super::explain::Explain;
use super::scene::{PROMPT, Scene, spoken};
use super::{
    Detector, client_request_timeout, dead_path, evidence, keepalive_ping_timeout,
    server_request_timeout,
};

/// The detector.
pub const DETECTOR: Detector = Detector {
    name: Cause::AbruptClose,
    explain: Explain {
        what: "One side closed or aborted the connection while requests were open, and no timer or \
               rule explains it: a process that ended or crashed, a kill, a middlebox.",
        on_the_wire: "FIN or RST without GOAWAY while streams are open.",
        looks_alike: "An idle timer that counts octets (Vert.x) also closes with requests open: \
                      then a silence of a round length stands before it. A client's timeout closes \
                      when its requests are of one age. A lost keepalive PING stands unanswered.",
        known: "RFC 9113 section 5.4.1 asks for a GOAWAY first; many do not send one.",
        what_to_do: "Look at the side that closed: exit, crash, out-of-memory kill, restart; for a \
                     RST also at firewalls and load balancers between.",
    },
    step,
};

/// Shorter silences are not worth a thought.
const LONG: Duration = Duration::from_secs(1);

fn step(scene: &Scene<'_>) -> Option<Step> {
    if scene.goaway.is_some() {
        return None;
    }
    let waiting = scene.waiting().count();
    let torn = scene.is_torn();
    if waiting == 0 && !torn && !scene.aborted {
        return None;
    }
    let confidence = confidence(scene, waiting, torn);
    let by = scene.by.name();
    let quiet = spoken(scene.quiet());
    let what = if scene.aborted { "aborted (RST)" } else { "closed" };
    let open = match (waiting, torn) {
        (0, true) => "in the middle of a frame".to_string(),
        (0, false) => "with no request open".to_string(),
        (1, _) => "with 1 request open".to_string(),
        (count, _) => format!("with {count} requests open"),
    };
    let summary = format!(
        "The {by} {what} the connection {open}, without GOAWAY, {quiet} after the last octet."
    );
    let blame = if scene.by == Side::Client { Blame::Client } else { Blame::Server };
    let confidence = scene.despite_holes(Confidence::new(confidence));
    let stranger = is_stranger(scene);
    let never_spoke = scene.by == Side::Server && scene.last_octets.second.is_none();
    let (confidence, blame) = match (stranger, never_spoke && quick(scene)) {
        (true, _) => (confidence.and(Confidence::new(0.55)), Blame::Unknown),
        // It may speak another protocol.
        (_, true) => (confidence.and(Confidence::new(0.45)), Blame::Unknown),
        _ => (confidence, blame),
    };
    let mut step = Step::new(Cause::AbruptClose, confidence, blame, summary);
    if stranger {
        step.summary.truncate(step.summary.trim_end_matches('.').len());
        step.summary.push_str(
            "; it answers like a host that does not know the connection (any more): one that was \
             restarted, or a device in between that had forgotten it.",
        );
    }
    let oldest = scene.waiting().find_map(|stream| Some((stream.opened?, stream.id)));
    if let Some((opened, id)) = oldest {
        step.evidence.push(evidence::request(opened, Side::Client, id, None));
    }
    let last = scene.quiet_since();
    if last != scene.history.first && oldest.is_none_or(|(opened, _)| opened != last) {
        let by_client = scene.last_octets.first == Some(last);
        let by = if by_client { Side::Client } else { Side::Server };
        let text = "the last octets before the end".to_string();
        step.evidence.push(evidence::on_connection(last, by, "silence", text));
    }
    let mut sides = [scene.by, scene.peer()].into_iter();
    let stalled = sides.find_map(|side| Some((side, dead_path::at_end(scene, side)?)));
    if let Some((side, stall)) = stalled {
        step.confidence = step.confidence.and(Confidence::new(0.6));
        dead_path::tell(side, &mut step, stall);
    }
    Some(step)
}

/// Whether the RST is one of a host that does not know the connection, and had not closed it.
pub(super) fn is_stranger(scene: &Scene<'_>) -> bool {
    let history = scene.history;
    scene.aborted && history.bare_rst && history.fin.side(scene.by).is_none() && !history.has_loss()
}

/// Whether the end comes right behind the other side's last octets.
fn quick(scene: &Scene<'_>) -> bool {
    let last = *scene.last_octets.side(scene.peer());
    last.is_some_and(|last| scene.at.since(last) <= PROMPT)
}

/// How sure it is, with so many requests waiting or in the middle of a frame.
fn confidence(scene: &Scene<'_>, waiting: usize, torn: bool) -> f32 {
    // After a silence of a setting's length a timer, or a lost peer, is as likely.
    let timed = is_timer(scene.quiet());
    let asked = scene.unanswered_pings().any(|ping| scene.at.since(ping.sent) >= LONG);
    let given_up = client_request_timeout::is_round(scene);
    // The server may have waited for the client to open its window.
    let stalled = scene.by == Side::Server
        && scene.starved().is_some_and(|(_, since)| scene.at.since(since) >= LONG);
    match (waiting > 0 || torn, scene.aborted) {
        (true, _) if stalled => 0.5,
        (true, _) if timed && scene.by == Side::Server => 0.5,
        (true, _) if timed && waiting > 0 => 0.45,
        (true, _) if timed => 0.65,
        (true, _) if server_request_timeout::is_at_setting(scene) => 0.55,
        // The kernel of a socket that was closed earlier: the PING says why.
        (true, true) if asked && keepalive_ping_timeout::is_a_closed_socket(scene) => 0.5,
        // One age of all that waits: a timeout that nothing confirms looks the same.
        (true, _) if scene.by == Side::Client && !torn && given_up => 0.45,
        // Since when its client counts is not in the capture.
        (true, _) if is_only_errand(scene) && scene.history.syn.is_none() && !torn => 0.45,
        (true, false) if scene.by == Side::Client && waiting >= 3 && !torn => 0.45,
        // A program that ends, a pool that is closed, a timeout at an odd age.
        (true, false) if scene.by == Side::Client && waiting == 1 && !torn => 0.5,
        (true, true) if scene.by == Side::Client && !torn => 0.6,
        (true, true) => 0.78,
        (true, false) => 0.7,
        (false, true) if scene.in_tls() => 0.72,
        (false, _) => 0.4,
    }
}

/// Whether the client left with the only request open that it had made.
fn is_only_errand(scene: &Scene<'_>) -> bool {
    scene.by == Side::Client && scene.opened.first == 1 && scene.waiting().count() == 1
}

#[cfg(test)]
mod tests {
    use super::super::tests::Talk;
    use super::*;

    #[test]
    fn a_crash_with_requests_open() {
        let verdict =
            Talk::opened().get(10.0, 1).get(33.0, 3).s(214.0, "RST").is(Cause::AbruptClose, 0.7);
        verdict.blames(Blame::Server).shows(&["HEADERS", "silence", "RST"]);
        assert_eq!(verdict.maybe_processed_streams, [1, 3]);
    }

    #[test]
    fn a_silence_of_a_settings_length_is_a_timer() {
        let idle = Talk::opened().served(10.0, 1).get(40.0, 3).s(12_040.0, "FIN");
        idle.is(Cause::IdleTimeout, 0.6).after(Cause::IdleTimeout, 12.0);
        let ping = Talk::opened().get(10.0, 1).s(800.0, "PING").s(3804.0, "RST");
        ping.is(Cause::KeepalivePingTimeout, 0.9);
        let curl = Talk::opened().get(10.0, 1).c(6510.5, "FIN");
        curl.is_possible(Cause::ClientRequestTimeout).after(Cause::ClientRequestTimeout, 6.5);
    }

    #[test]
    fn a_frame_that_nobody_waited_for_is_not_cut_off() {
        let torn = "RAW 00400001050000000182868441";
        let slow = Talk::opened().c(10.0, torn);
        let refused = slow.clone().s(2010.0, "RST_STREAM 1 PROTOCOL_ERROR").c(6000.0, "FIN");
        refused.is(Cause::ClientShutdown, 0.7);
        slow.c(6013.0, "FIN").is(Cause::AbruptClose, 0.6);
        // A header block that never ended cannot be answered.
        let fields = ":method=GET :scheme=http :authority=a :path=/";
        let open = format!("HEADERS 1 END_STREAM NO_END_HEADERS {fields}");
        Talk::opened().c(10.0, &open).c(1931.0, "FIN").is(Cause::ClientShutdown, 0.7);
    }

    #[test]
    fn less_sure_with_a_hole() {
        // What the answer to the request was, if any, may have been in the hole.
        let verdict = Talk::opened().get(10.0, 1).hole(20.0).s(214.0, "RST").told();
        assert_eq!(verdict.cause, Cause::Unknown, "{}", verdict.summary);
        assert!(verdict.confidence.value() <= 0.1);
        let [other] = verdict.alternatives.as_slice() else { panic!("{verdict:?}") };
        assert_eq!(other.cause, Cause::AbruptClose);
        assert_eq!(other.confidence.word(), "possible");
        // Whoever asked and was answered long after it had not been told to go.
        let long_ago = Talk::opened().get(10.0, 1).hole(20.0).served(3000.0, 3).get(4000.0, 5);
        let answered = long_ago.clone().ok(4100.0, 1).s(4214.0, "RST");
        let verdict = answered.told();
        assert_eq!(verdict.cause, Cause::AbruptClose, "{}", verdict.summary);
        assert!(!verdict.summary.contains("may have been"), "{}", verdict.summary);
        // The answer to what still waits may have been in it.
        assert_eq!(long_ago.s(4214.0, "RST").told().cause, Cause::Unknown);
    }
}
