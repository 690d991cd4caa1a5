//! Keepalive pings came faster than the endpoint allows.

use std::time::Duration;

use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::error_code::ErrorCode;
use crate::vocab::verdict::Step;

use super::explain::Explain;
use super::pings::is_probe;
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
        what_to_do: "Client: send keepalive PINGs no more often than the server permits (gRPC: one \
                     in 5 minutes by default, none without calls). Or server: lower that minimum, \
                     and permit PINGs without calls.",
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
    // Probes of bandwidth come with data, and are no keepalive.
    let mut pings: Vec<_> = scene.peer_pings().filter(|ping| !is_probe(ping)).collect();
    if pings.is_empty() {
        pings.extend(scene.peer_pings());
    }
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

#[cfg(test)]
mod tests {
    use super::super::tests::Talk;
    use super::*;

    fn pinging(every: f64, count: u32) -> (Talk, f64) {
        let talk = (1..=count).fold(Talk::opened().get(5.0, 1), |talk, number| {
            let at = 10.0 + f64::from(number) * every;
            talk.c(at, "PING").s(at + 0.3, "PING ACK")
        });
        (talk, 10.0 + f64::from(count) * every)
    }

    #[test]
    fn told_by_text_and_pings() {
        let (talk, last) = pinging(7000.0, 4);
        let end = "GOAWAY 1 ENHANCE_YOUR_CALM \"too_many_pings\"";
        let verdict = talk.s(last + 0.6, end).is(Cause::TooManyPings, 0.9);
        verdict.blames(Blame::Client).shows(&["PING", "PING", "PING", "GOAWAY"]);
    }

    #[test]
    fn a_lost_ping_of_the_sender_is_the_opposite() {
        let (talk, last) = pinging(3000.0, 3);
        let end = "GOAWAY 1 ENHANCE_YOUR_CALM \"ping_timeout\"";
        talk.s(last + 500.0, "PING 0000000000000007")
            .s(last + 8501.0, end)
            .is(Cause::KeepalivePingTimeout, 0.9);
    }

    #[test]
    fn hundreds_are_a_flood() {
        let (talk, last) = pinging(1.0, 500);
        talk.s(last + 0.6, "GOAWAY 1 ENHANCE_YOUR_CALM").is(Cause::FloodProtection, 0.8);
    }

    #[test]
    fn less_sure_with_a_hole() {
        let (talk, last) = pinging(7000.0, 4);
        let end = "GOAWAY 1 ENHANCE_YOUR_CALM \"too_many_pings\"";
        talk.hole(8000.0).s(last + 0.6, end).is_unsure(Cause::TooManyPings);
    }
}
