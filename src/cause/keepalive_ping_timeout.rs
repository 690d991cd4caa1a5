//! A PING was not answered in time.

use std::time::Duration;

use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::verdict::{Step, Timeout};

use super::explain::Explain;
use super::scene::{Scene, spoken};
use super::{Detector, evidence};

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

/// Waits shorter than this are a PING on its way.
const REAL_WAIT: Duration = Duration::from_millis(150);

/// Waits this long are no accident: whoever closes now knows that nobody answers.
const LONG_WAIT: Duration = Duration::from_secs(1);

fn step(scene: &Scene<'_>) -> Option<Step> {
    let debug = scene.debug();
    let by_text = ["ping_timeout", "ping timeout", "ping ack timeout", "keepalive"]
        .iter()
        .any(|word| debug.contains(word));
    // The oldest PING that nothing from the peer has followed: that one's timer ran out.
    let heard = *scene.last_octets.side(scene.peer());
    let silent = scene
        .unanswered_pings()
        .find(|ping| heard.is_none_or(|heard| heard.before(ping.sent) || heard == ping.sent));
    // Other frames came, but not the answer: with an error that is a lost PING as well.
    let asked = silent.or_else(|| scene.unanswered_pings().next().filter(|_| scene.is_error()))?;
    let wait = scene.at.since(asked.sent);
    if wait < REAL_WAIT.max(scene.round_trip() * 4) {
        return None;
    }
    let clean = !scene.is_error() && scene.goaway.is_some();
    let confidence = match (by_text, clean, silent.is_some()) {
        (true, ..) => 0.96,
        (false, _, false) if wait < LONG_WAIT => return None,
        (false, _, false) => 0.7,
        (false, false, true) => 0.92,
        (false, true, true) if wait >= LONG_WAIT => 0.85,
        (false, true, true) => 0.75,
    };
    let (by, peer) = (scene.by.name(), scene.peer().name());
    let summary = format!(
        "The {by} {} because its PING was not answered for {}{}.",
        scene.ending_name(),
        spoken(wait),
        silent.map_or_else(String::new, |_| format!("; the {peer} had been silent since"))
    );
    let blame = if scene.peer() == Side::Client { Blame::Client } else { Blame::Server };
    let mut confidence = Confidence::new(confidence);
    if scene.peer_is_hidden() {
        confidence = confidence.lowered(); // it may have answered in what is missing
    }
    let mut step = Step::new(Cause::KeepalivePingTimeout, confidence, blame, summary);
    step.evidence.push(evidence::unanswered(asked));
    if let Some(heard) = heard {
        let text = "last octets".to_string();
        step.evidence.push(evidence::on_connection(heard, scene.peer(), "silence", text));
    }
    step.timeout = Some(Timeout {
        kind: Cause::KeepalivePingTimeout,
        seconds: wait.as_secs_f64(),
        at_least: false,
        spread_seconds: 0.0,
        samples: 1,
        configured_in: scene.by.into(),
    });
    Some(step)
}
