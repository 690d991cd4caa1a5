//! Streams were refused so often that the server had enough of the connection.

use std::time::Duration;

use crate::track::history::Reset;
use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::error_code::ErrorCode;
use crate::vocab::verdict::Step;

use super::explain::Explain;
use super::scene::{PROMPT, Scene, spoken};
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
    let confidence = scene.despite_holes(Confidence::new(confidence));
    let mut step = Step::new(Cause::RefusedStream, confidence, Blame::Client, summary);
    step.evidence.push(evidence::reset(first));
    step.evidence.push(evidence::reset(last));
    Some(step)
}
