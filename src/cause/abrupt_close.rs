//! The connection was cut without a word.

use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::verdict::Step;

use super::Detector;
use super::explain::Explain;
use super::scene::{Scene, spoken};

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

fn step(scene: &Scene<'_>) -> Option<Step> {
    if scene.goaway.is_some() {
        return None;
    }
    let waiting = scene.waiting().count();
    let torn = scene.history.sides.side(scene.by).torn_at_end;
    if waiting == 0 && !torn && !scene.aborted {
        return None;
    }
    let confidence = match (waiting > 0 || torn, scene.aborted) {
        (true, true) => 0.8,
        (true, false) => 0.7,
        (false, true) if scene.in_tls() => 0.72,
        (false, _) => 0.4,
    };
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
    Some(Step::new(Cause::AbruptClose, confidence, blame, summary))
}
