//! More control frames came than the endpoint allows.

use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::error_code::ErrorCode;
use crate::vocab::frame::FrameType;
use crate::vocab::verdict::Step;

use super::explain::Explain;
use super::scene::{PROMPT, Scene};
use super::{Detector, evidence};

/// The detector.
pub const DETECTOR: Detector = Detector {
    name: Cause::FloodProtection,
    explain: Explain {
        what: "One side sent so many frames that cost the other work without being requests (PING, \
               SETTINGS, PRIORITY, WINDOW_UPDATE, CONTINUATION, empty DATA) that it was cut off.",
        on_the_wire: "Hundreds of such frames within a second, then GOAWAY(ENHANCE_YOUR_CALM), \
                      with some servers another code, or a bare close.",
        looks_alike: "rapid_reset_protection counts RST_STREAM; too_many_pings means a few \
                      keepalive pings over minutes. A flood that the server tolerated is no cause.",
        known: "nghttp2: 1000 queued answers; Netty: 10000 outstanding control frames, 2 empty \
                DATA in a row; nginx: PRIORITY; Apache httpd with an odd code; Jetty 128/s.",
        what_to_do: "Find out why the peer sends them: a broken client, a proxy that splits DATA, \
                     or an attack.",
    },
    step,
};

fn step(scene: &Scene<'_>) -> Option<Step> {
    if scene.goaway.is_some_and(|goaway| goaway.after_peer_close) {
        return None;
    }
    let facts = scene.history.sides.side(scene.peer());
    let frames = scene.frames.side(scene.peer());
    let by_text = scene.text.and_then(|row| row.cause()) == Some(Cause::FloodProtection)
        || ["flood", "overhead", "excessive"].iter().any(|word| scene.debug().contains(word));
    let empty = u32::try_from(facts.empty_data).unwrap_or(u32::MAX);
    let (kind, count) = [
        FrameType::PING,
        FrameType::SETTINGS,
        FrameType::PRIORITY,
        FrameType::WINDOW_UPDATE,
        FrameType::CONTINUATION,
    ]
    .into_iter()
    .map(|kind| (kind, frames.of(kind)))
    .chain([(FrameType::DATA, empty)])
    .max_by_key(|(_, count)| *count)?;
    let burst = facts.burst.filter(|burst| burst.kind == kind);
    let peak =
        burst.map_or(0, |burst| burst.count).max(if kind == FrameType::DATA { empty } else { 0 });
    let last = *scene.last_octets.side(scene.peer());
    let prompt = last.is_some_and(|last| scene.at.since(last) <= PROMPT);
    // A flood beside as many real messages is traffic, not a flood.
    let messages = frames.of(FrameType::HEADERS) + frames.of(FrameType::DATA).saturating_sub(empty);
    let is_flood = peak >= 100 && count > messages.saturating_mul(4);
    let odd_code = scene.code().is_some_and(|code| code.name().is_none());
    let confidence = match scene.code() {
        Some(_) if by_text && (is_flood || count >= 100) => 0.95,
        Some(_) if by_text && prompt && count >= 3 => 0.85,
        Some(_) if by_text => 0.75,
        Some(ErrorCode::ENHANCE_YOUR_CALM) if is_flood && prompt => 0.9,
        Some(_) if odd_code && is_flood => 0.85,
        Some(ErrorCode::NO_ERROR) => return None,
        Some(_) if is_flood && prompt && peak >= 1000 => 0.6,
        // Surer than that it only aborted (abrupt_close): a flood is what servers abort for.
        None if is_flood && prompt && peak >= 500 && scene.by == Side::Server => 0.79,
        _ => return None,
    };
    let (by, peer) = (scene.by.name(), scene.peer().name());
    let name = if kind == FrameType::DATA { "empty DATA" } else { evidence::kind_name(kind) };
    let ending = scene.ending_name();
    // What it counted may be what this program does not.
    let summary = match is_flood || count >= 100 {
        true => {
            format!("The {by} {ending} because the {peer} flooded it with {count} {name} frames.")
        }
        false => {
            format!("The {by} {ending} because the {peer}, as it says, flooded it with frames.")
        }
    };
    let blame = if scene.peer() == Side::Client { Blame::Client } else { Blame::Server };
    let confidence = scene.despite_holes(Confidence::new(confidence));
    let mut step = Step::new(Cause::FloodProtection, confidence, blame, summary);
    step.offending = last;
    if let Some(burst) = burst {
        let text = format!("first of {} {name} frames within a second", burst.count);
        let what = evidence::kind_name(kind);
        step.evidence.push(evidence::on_connection(burst.from, scene.peer(), what, text));
    }
    Some(step)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Talk;
    use super::*;

    /// Frames of one kind, one a millisecond.
    fn flood(count: u32, frame: &str) -> Talk {
        (0..count).fold(Talk::opened(), |talk, number| talk.c(10.0 + f64::from(number), frame))
    }

    #[test]
    fn many_frames_that_ask_for_nothing() {
        let calm = "GOAWAY 0 ENHANCE_YOUR_CALM";
        let verdict = flood(700, "SETTINGS").s(710.5, calm).is(Cause::FloodProtection, 0.85);
        verdict.blames(Blame::Client);
        flood(450, "PRIORITY 3").s(460.5, calm).is(Cause::FloodProtection, 0.85);
        flood(600, "PING 00000000000000ff").s(611.0, calm).is(Cause::FloodProtection, 0.85);
    }

    #[test]
    fn a_few_keepalives_are_too_many_pings() {
        let pings =
            [4000.0, 8000.0, 12_000.0].into_iter().fold(Talk::opened().get(5.0, 1), |talk, at| {
                talk.c(at, "PING").s(at + 0.3, "PING ACK")
            });
        let end = "GOAWAY 1 ENHANCE_YOUR_CALM \"too_many_pings\"";
        pings.s(12_000.6, end).is(Cause::TooManyPings, 0.9);
    }

    #[test]
    fn a_flood_that_was_tolerated_is_no_cause() {
        let talk = flood(700, "SETTINGS").served(900.0, 1).s(20_912.0, "GOAWAY 1 NO_ERROR");
        talk.is(Cause::IdleTimeout, 0.6);
    }

    #[test]
    fn less_sure_with_a_hole() {
        let talk = flood(700, "SETTINGS").hole(710.5);
        talk.s(712.0, "GOAWAY 0 ENHANCE_YOUR_CALM").is_unsure(Cause::FloodProtection);
    }
}
