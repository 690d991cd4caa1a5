//! More streams were reset than the endpoint allows.

use std::time::Duration;

use crate::track::history::Reset;
use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::error_code::ErrorCode;
use crate::vocab::frame::FrameType;
use crate::vocab::verdict::{Effect, Step};

use super::explain::Explain;
use super::scene::{PROMPT, Scene, spoken};
use super::{Detector, evidence};

/// The detector.
pub const DETECTOR: Detector = Detector {
    name: Cause::RapidResetProtection,
    explain: Explain {
        what: "Servers count RST_STREAM since CVE-2023-44487 and end a connection that resets too \
               many streams. Timeouts count as well as attacks.",
        on_the_wire: "Many RST_STREAM by the client, the last one right before \
                      GOAWAY(ENHANCE_YOUR_CALM), with some servers INTERNAL_ERROR or NO_ERROR.",
        looks_alike: "too_many_pings and floods of other frames carry the same code: count what \
                      came. A drain or idle end after earlier resets stays what it is.",
        known: "Netty, Vert.x and Undertow: 200 in 30 s; nghttp2 and Node: 1000 at once, 33/s, \
                with INTERNAL_ERROR; Go: 4 times MaxConcurrentStreams waiting; h2 (Rust): 20 \
                pending; Jetty: 128/s; nginx: refused or reset streams, with NO_ERROR.",
        what_to_do: "Client: find out why it resets so many streams, most often a timeout below \
                     the server's answer time. Server: raise the limit on resets only after that.",
    },
    step,
};

/// The window in which resets are counted: the longest that a known limit has.
const WINDOW: Duration = Duration::from_secs(30);

/// Fewer than this trip no known limit without a text that says so.
const FEW: usize = 20;

fn step(scene: &Scene<'_>) -> Option<Step> {
    if scene.goaway.is_some_and(|goaway| goaway.after_peer_close) {
        return None;
    }
    let of = |by: Side| {
        let recent = move |reset: &&Reset| scene.at.since(reset.stamp) <= WINDOW && reset.by == by;
        scene.resets.iter().filter(recent)
    };
    let by_text = scene.text.and_then(|row| row.cause()) == Some(Cause::RapidResetProtection);
    let mut resets: Vec<&Reset> = of(scene.peer()).collect();
    if by_text && resets.len() < 3 {
        // Some count the streams that the peer's mistakes made them reset themselves.
        resets = of(scene.by).collect();
    }
    let debug = scene.debug();
    // Of "cancelled" a snap length may have left the beginning.
    let hints = ["rst", "reset", "canc"].iter().any(|word| debug.contains(word));
    let last = *resets.iter().max_by_key(|reset| reset.stamp.order())?;
    let prompt = scene.at.since(last.stamp) <= PROMPT;
    let beyond = usize::try_from(scene.history.resets_beyond).unwrap_or(usize::MAX);
    let count = resets.len().saturating_add(beyond);
    let dense = is_dense(&resets, scene);
    let half = count as u64 * 2 >= *scene.opened.side(scene.peer());
    // Some keep one score for resets and other frames that cost work: what did it lie in?
    let score = debug.contains("overhead") && few_others(scene, count);
    let Some(code) = scene.code() else {
        // Cut without a word in the middle of a burst.
        let burst = scene.by == Side::Server && prompt && dense && half;
        return (burst && count >= 100).then(|| told(scene, &resets, count, last, 0.85));
    };
    let confidence = match code {
        _ if by_text && count >= 3 => 0.96,
        _ if score && prompt && count >= 3 => 0.9,
        ErrorCode::NO_ERROR if hints && prompt && count >= FEW => 0.85,
        ErrorCode::NO_ERROR if prompt && count >= 100 && dense => 0.85,
        ErrorCode::NO_ERROR => return None,
        _ if hints && count >= FEW => 0.9,
        _ if hints && count >= 3 && prompt => 0.78,
        _ if hints && prompt => 0.65,
        ErrorCode::ENHANCE_YOUR_CALM if prompt && count >= 50 => 0.92,
        ErrorCode::ENHANCE_YOUR_CALM if prompt && count >= FEW => 0.85,
        ErrorCode::INTERNAL_ERROR if prompt && count >= 900 => 0.92,
        ErrorCode::INTERNAL_ERROR | ErrorCode::PROTOCOL_ERROR if prompt && count >= 100 => 0.65,
        _ => return None,
    };
    Some(told(scene, &resets, count, last, confidence))
}

fn told(scene: &Scene<'_>, resets: &[&Reset], count: usize, last: &Reset, confidence: f32) -> Step {
    let first = resets.iter().min_by_key(|reset| reset.stamp.order()).map_or(last, |first| first);
    let over = last.stamp.since(first.stamp);
    let over = match over.as_micros() {
        0 if !scene.history.is_timed(last.stamp) => String::new(),
        0 => " at once".to_string(),
        _ => format!(" in {}", spoken(over)),
    };
    let (by, peer) = (scene.by.name(), scene.peer().name());
    let summary = format!(
        "The {by} {} because the {peer} had reset {count} streams{over}, more than the {by} \
         allows.",
        scene.ending_name()
    );
    let blame = if scene.peer() == Side::Client { Blame::Client } else { Blame::Server };
    let confidence = scene.despite_holes(Confidence::new(confidence));
    let mut step = Step::new(Cause::RapidResetProtection, confidence, blame, summary);
    step.evidence.push(evidence::reset(first));
    if last.stream != first.stream {
        step.evidence.push(evidence::reset(last));
    }
    step.cancelled = resets.iter().map(|reset| reset.stream).collect();
    step.because = Some(Effect::Cancels(step.cancelled.clone()));
    step
}

/// Whether other frames that cost work are fewer than the resets.
fn few_others(scene: &Scene<'_>, resets: usize) -> bool {
    let frames = scene.frames.side(scene.peer());
    let kinds = [FrameType::PING, FrameType::SETTINGS, FrameType::PRIORITY];
    let others: u64 = kinds.into_iter().map(|kind| u64::from(frames.of(kind))).sum();
    others <= resets as u64 * 5
}

/// Whether most of the resets came in the last second: an ordinary end after many old ones is no
/// punishment.
fn is_dense(resets: &[&Reset], scene: &Scene<'_>) -> bool {
    let recent =
        resets.iter().filter(|reset| scene.at.since(reset.stamp) <= Duration::from_secs(1)).count();
    recent * 2 >= resets.len()
}

#[cfg(test)]
mod tests {
    use super::super::tests::Talk;
    use super::*;

    /// Streams reset, one every `every` ms, each `age` ms old.
    fn resets(count: u32, every: f64, age: f64) -> (Talk, f64) {
        let talk = (0..count).fold(Talk::opened(), |talk, number| {
            let at = 10.0 + f64::from(number) * every;
            talk.get(at, number * 2 + 1).cancel(at + age, number * 2 + 1)
        });
        (talk, 10.0 + f64::from(count - 1) * every + age)
    }

    #[test]
    fn three_links() {
        let (talk, last) = resets(151, 31.0, 2200.0);
        let verdict = talk
            .s(last + 0.6, "GOAWAY 2147483647 ENHANCE_YOUR_CALM")
            .is(Cause::ClientRequestTimeout, 0.8);
        assert_eq!(verdict.trigger, Cause::RapidResetProtection);
        assert_eq!(verdict.cancelled_streams.len(), 151);
        verdict.after(Cause::ClientRequestTimeout, 2.2).shows(&["HEADERS", "RST_STREAM", "GOAWAY"]);
    }

    #[test]
    fn an_attack() {
        let (talk, last) = resets(1100, 1.0, 0.2);
        let verdict =
            talk.s(last + 0.6, "GOAWAY 2199 INTERNAL_ERROR").is(Cause::RapidResetProtection, 0.9);
        verdict.blames(Blame::Client);
        let (talk, last) = resets(320, 2.0, 0.2);
        talk.s(last + 0.6, "FIN").is(Cause::RapidResetProtection, 0.8);
    }

    #[test]
    fn other_reasons_for_the_same_code() {
        let (talk, _) = resets(4, 5.0, 1.0);
        let pings = [3000.0, 6000.0, 9000.0]
            .into_iter()
            .fold(talk.get(2000.0, 9), |talk, at| talk.c(at, "PING").s(at + 0.2, "PING ACK"));
        pings
            .s(9000.5, "GOAWAY 9 ENHANCE_YOUR_CALM \"too_many_pings\"")
            .is(Cause::TooManyPings, 0.9);
    }

    #[test]
    fn a_drain_after_earlier_resets_stays_one() {
        let (talk, last) = resets(60, 10.0, 300.0);
        talk.get(last + 900.0, 301)
            .s(last + 937.0, "GOAWAY 301 NO_ERROR")
            .is(Cause::GracefulShutdown, 0.6);
    }

    #[test]
    fn less_sure_with_a_hole() {
        let (talk, last) = resets(151, 31.0, 0.5);
        talk.hole(last + 0.2)
            .s(last + 1.0, "GOAWAY 2147483647 ENHANCE_YOUR_CALM")
            .is_unsure(Cause::RapidResetProtection);
    }

    #[test]
    fn who_gave_up_what_had_waited_is_the_root() {
        let asked = (0..60_u32).fold(Talk::opened(), |talk, number| {
            talk.get(10.0 + f64::from(number) * 40.0, number * 2 + 1)
        });
        let talk = (0..60_u32).fold(asked, |talk, number| {
            talk.cancel(3300.0 + f64::from(number) * 0.02, number * 2 + 1)
        });
        let talk = talk.s(3302.0, "GOAWAY 119 ENHANCE_YOUR_CALM");
        let verdict = talk.is(Cause::ClientCancelBurst, 0.7);
        assert_eq!(verdict.trigger, Cause::RapidResetProtection);
        // Reset at once, they are the attack.
        let (talk, end) = resets(60, 0.5, 0.1);
        let verdict = talk.s(end + 1.0, "GOAWAY 119 ENHANCE_YOUR_CALM").told();
        assert_eq!(verdict.cause, Cause::RapidResetProtection, "{}", verdict.summary);
    }
}
