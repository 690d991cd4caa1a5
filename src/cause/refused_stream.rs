//! Streams were refused so often that the server had enough of the connection.

use std::time::Duration;

use crate::track::history::Reset;
use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::error_code::ErrorCode;
use crate::vocab::verdict::Step;

use super::explain::Explain;
use super::scene::{PROMPT, Scene, UNSEEN, spoken};
use super::{Detector, evidence};

/// The detector: a trigger, whose root is what the streams were refused for.
pub const DETECTOR: Detector = Detector {
    name: Cause::RefusedStream,
    explain: Explain {
        what: "The server refused streams before any processing, because too many were open, and \
               after many of them ended the connection.",
        on_the_wire: "RST_STREAM(REFUSED_STREAM), with some servers ENHANCE_YOUR_CALM, of the \
                      server for each stream above its limit; dozens within seconds; then GOAWAY.",
        looks_alike: "A few refused streams are everyday and end nothing. Streams that the client \
                      itself reset are rapid_reset_protection.",
        known: "nginx: more refused streams than http2_max_concurrent_streams (at least 100), told \
                with NO_ERROR; Kestrel: more than 20 a second, with ENHANCE_YOUR_CALM.",
        what_to_do: "Make the client honour SETTINGS_MAX_CONCURRENT_STREAMS, or raise the limit. \
                     Refused streams are safe to retry.",
    },
    step,
};

/// The window in which refusals are counted.
const WINDOW: Duration = Duration::from_secs(10);

/// Fewer are everyday.
const FEW: usize = 20;

fn step(scene: &Scene<'_>) -> Option<Step> {
    scene.goaway.filter(|goaway| scene.by == Side::Server && !goaway.after_peer_close)?;
    let codes = [ErrorCode::REFUSED_STREAM, ErrorCode::ENHANCE_YOUR_CALM];
    let refused = |reset: &&Reset| {
        let named = reset.code.is_some_and(|code| codes.contains(&code));
        named && reset.by == Side::Server && scene.at.since(reset.stamp) <= WINDOW
    };
    let by_client = scene.resets.iter().filter(|reset| reset.by == Side::Client).count();
    let refusals: Vec<&Reset> = scene.resets.iter().filter(refused).collect();
    let (first, last) = (refusals.first()?, refusals.last()?);
    let prompt = scene.at.since(last.stamp) <= PROMPT;
    // Where the client resets as well, that is what the server counts.
    if refusals.len() < FEW || !prompt || by_client * 4 > refusals.len() {
        return None;
    }
    let confidence = match scene.code() {
        Some(ErrorCode::NO_ERROR | ErrorCode::ENHANCE_YOUR_CALM) if refusals.len() >= 100 => 0.85,
        Some(ErrorCode::NO_ERROR) => 0.6,
        _ => 0.75,
    };
    let count = refusals.len();
    let over = spoken(last.stamp.since(first.stamp));
    let summary = format!(
        "The server {} because it had to refuse {count} streams in {over}.",
        scene.ending_name()
    );
    // Resets of the client, which make up an attack, may be in a hole.
    let confidence = Confidence::new(confidence);
    let confidence = if scene.has_holes() { confidence.and(UNSEEN) } else { confidence };
    let mut step = Step::new(Cause::RefusedStream, confidence, Blame::Client, summary);
    step.evidence.push(evidence::reset(first));
    step.evidence.push(evidence::reset(last));
    Some(step)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Talk;
    use super::*;

    /// Streams refused one by one.
    fn refused(count: u32) -> (Talk, f64) {
        let open = Talk::with_settings("MAX_CONCURRENT_STREAMS=1").get(5.0, 1);
        let talk = (0..count).fold(open, |talk, number| {
            let (stream, at) = (number * 2 + 3, 10.0 + f64::from(number) * 3.0);
            talk.get(at, stream).s(at + 0.4, &format!("RST_STREAM {stream} REFUSED_STREAM"))
        });
        (talk, 10.0 + f64::from(count) * 3.0)
    }

    #[test]
    fn too_many_refusals() {
        let (talk, at) = refused(120);
        let verdict =
            talk.s(at, "GOAWAY 241 NO_ERROR").is(Cause::MaxConcurrentStreamsExceeded, 0.8);
        assert_eq!(verdict.trigger, Cause::RefusedStream);
        verdict.blames(Blame::Client).shows(&["RST_STREAM", "GOAWAY"]);
        assert_eq!(verdict.safe_to_retry_streams.len(), 120);
    }

    #[test]
    fn a_few_are_everyday() {
        let (talk, at) = refused(6);
        let verdict =
            talk.ok(at, 1).s(at + 8000.5, "GOAWAY 13 NO_ERROR").is(Cause::IdleTimeout, 0.6);
        assert_eq!(verdict.trigger, Cause::IdleTimeout);
    }

    #[test]
    fn less_sure_with_a_hole() {
        let (talk, at) = refused(120);
        talk.hole(at)
            .s(at + 1.0, "GOAWAY 241 NO_ERROR")
            .is_unsure(Cause::MaxConcurrentStreamsExceeded);
    }
}
