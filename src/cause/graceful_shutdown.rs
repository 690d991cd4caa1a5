//! The server drained the connection: deploy, reload or scale-down.

use std::time::Duration;

use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::error_code::ErrorCode;
use crate::vocab::verdict::Step;

use super::explain::Explain;
use super::scene::Scene;
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
    let two_step = goaway.last_stream_id == 0x7fff_ffff;
    let busy = scene.open_count > 0 || scene.quiet() < Duration::from_millis(400);
    // One library writes this for whatever made it drain: idle, age, count or shutdown.
    let any_drain = debug == "graceful_shutdown";
    let confidence = match (by_text, two_step, busy) {
        (true, ..) if any_drain => 0.72,
        (true, ..) => 0.9,
        _ if by_row => 0.85,
        (_, true, true) => 0.78,
        (_, true, false) => 0.6,
        (_, false, true) => 0.7,
        (_, false, false) => 0.4,
    };
    let running = match scene.open_count {
        0 => String::new(),
        1 => " while 1 request was running".to_string(),
        count => format!(" while {count} requests were running"),
    };
    let summary =
        format!("The server drained the connection: it {}{running}.", scene.ending_name());
    let confidence = Confidence::new(confidence);
    let mut step = Step::new(Cause::GracefulShutdown, confidence, Blame::None, summary);
    let last =
        scene.history.goaways.iter().rev().find(|later| {
            later.by == Side::Server && two_step && later.last_stream_id != 0x7fff_ffff
        });
    if let Some(last) = last {
        let text = format!("second step, last stream {}", last.last_stream_id);
        step.evidence.push(evidence::on_connection(last.stamp, Side::Server, "GOAWAY", text));
    }
    Some(step)
}
