//! Keepalive pings came faster than the endpoint allows.

use std::time::Duration;

use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::error_code::ErrorCode;
use crate::vocab::verdict::Step;

use super::explain::Explain;
use super::scene::{PROMPT, Scene, spoken};
use super::{Detector, evidence};

/// The detector.
pub const DETECTOR: Detector = Detector {
    name: Cause::TooManyPings,
    explain: Explain {
        what: "The client's keepalive pings came more often than the server permits.",
        on_the_wire: "PINGs of the client at a steady interval with no DATA or HEADERS of the \
                      server between them; GOAWAY(ENHANCE_YOUR_CALM, \"too_many_pings\") right \
                      after the third or so.",
        looks_alike: "ping_timeout: there a PING of the GOAWAY's sender was not answered. Resets \
                      and floods carry the same code.",
        known: "gRPC servers: a PING within 5 min of the last (2 h without calls) is a strike, \
                more than 2 strikes end the connection; data from the server clears them.",
        what_to_do: "Client keepalive time at least the server's minimum (5 min by default), or \
                     lower the server's minimum and permit pings without calls.",
    },
    step,
};

/// PINGs faster than this are no keepalive.
const FLOOD_A_SECOND: usize = 20;

fn step(scene: &Scene<'_>) -> Option<Step> {
    let goaway = scene.goaway?;
    let by_text = scene.text.and_then(|row| row.cause()) == Some(Cause::TooManyPings)
        || scene.debug().contains("too_many_pings");
    if goaway.code != ErrorCode::ENHANCE_YOUR_CALM && !by_text {
        return None;
    }
    let pings: Vec<_> = scene.peer_pings().collect();
    let last = pings.last()?;
    let prompt = scene.at.since(last.sent) <= PROMPT;
    let second = Duration::from_secs(1);
    let crowd = pings.iter().filter(|ping| last.sent.since(ping.sent) < second).count();
    let confidence = match (by_text, pings.len()) {
        (true, 2..) if prompt => 0.96,
        (true, _) => 0.75,
        (false, 3..) if prompt && crowd <= FLOOD_A_SECOND && scene.resets.len() < 10 => 0.8,
        _ => return None,
    };
    let mut gaps: Vec<Duration> =
        pings.iter().zip(pings.iter().skip(1)).map(|(a, b)| b.sent.since(a.sent)).collect();
    gaps.sort_unstable();
    let interval = gaps.get(gaps.len() / 2).copied().unwrap_or_default();
    let (by, peer) = (scene.by.name(), scene.peer().name());
    let summary = format!(
        "The {by} {} because the {peer} sent keepalive pings every {}, more often than the {by} \
         permits ({} PINGs seen).",
        scene.ending_name(),
        spoken(interval),
        pings.len()
    );
    let blame = if scene.peer() == Side::Client { Blame::Client } else { Blame::Server };
    let confidence = scene.despite_holes(Confidence::new(confidence));
    let mut step = Step::new(Cause::TooManyPings, confidence, blame, summary);
    for ping in pings.iter().rev().take(3).rev() {
        let text = "keepalive".to_string();
        step.evidence.push(evidence::on_connection(ping.sent, ping.by, "PING", text));
    }
    Some(step)
}
