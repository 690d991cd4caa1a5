//! More streams were open at once than the endpoint allows.

use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::rule;
use crate::vocab::setting::SettingId;
use crate::vocab::verdict::Step;

use super::explain::Explain;
use super::scene::{PROMPT, Scene};
use super::{Detector, evidence};

/// The detector.
pub const DETECTOR: Detector = Detector {
    name: Cause::MaxConcurrentStreamsExceeded,
    explain: Explain {
        what: "The client opened more streams at once than SETTINGS_MAX_CONCURRENT_STREAMS allows, \
               and the server ended the connection instead of refusing the streams.",
        on_the_wire: "HEADERS for stream number limit + 1 while all others are open; then GOAWAY.",
        looks_alike: "REFUSED_STREAM for the one stream is the usual answer and harmless. Before \
                      the client has received the server's SETTINGS there is no limit.",
        known: "RFC 9113 section 5.1.2; nghttp2 and Apache httpd after the limit was acknowledged.",
        what_to_do: "Client: honour the server's SETTINGS_MAX_CONCURRENT_STREAMS: wait for a free \
                     stream, or open another connection. Or server: raise the limit.",
    },
    step,
};

fn step(scene: &Scene<'_>) -> Option<Step> {
    scene.goaway.filter(|goaway| scene.is_error() && !goaway.after_peer_close)?;
    let facts = scene.history.sides.side(scene.peer());
    let (most, stamp, stream) = facts.most_open?;
    let limit = scene.history.sides.side(scene.by).settings.iter().rev().find_map(|sent| {
        let found = sent.values.iter().find(|(id, _)| *id == SettingId::MAX_CONCURRENT_STREAMS);
        found.map(|(_, value)| u64::from(*value))
    })?;
    let by_text = scene.debug().contains("max concurrent");
    if most <= limit && !by_text {
        return None;
    }
    // Who is bothered by it does not wait; and what left before the limit arrived broke nothing.
    let prompt = scene.at.since(stamp) <= PROMPT;
    let broken = scene.findings.iter().find(|f| *f.rule == rule::MAX_CONCURRENT_STREAMS);
    let confidence = match (by_text, prompt, broken.is_some()) {
        (true, ..) => 0.96,
        (_, true, true) => 0.9,
        (_, true, false) => 0.5,
        _ => return None,
    };
    let (by, peer) = (scene.by.name(), scene.peer().name());
    let summary = format!(
        "The {by} {} because the {peer} had {most} streams open at once where {limit} are allowed.",
        scene.ending_name()
    );
    let blame = if scene.peer() == Side::Client { Blame::Client } else { Blame::Server };
    let confidence = scene.despite_holes(Confidence::new(confidence));
    let mut step = Step::new(Cause::MaxConcurrentStreamsExceeded, confidence, blame, summary);
    let text = format!("stream number {most} open at once, limit {limit}");
    let mut fact = evidence::on_connection(stamp, scene.peer(), "HEADERS", text);
    fact.stream = stream;
    step.evidence.push(fact);
    step.offending = Some(broken.map_or(stamp, |finding| finding.stamp));
    step.rule = (by_text || broken.is_some()).then_some(&rule::MAX_CONCURRENT_STREAMS);
    Some(step)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Talk;
    use super::*;

    fn crowd(count: u32) -> Talk {
        (0..count).fold(Talk::with_settings("MAX_CONCURRENT_STREAMS=5"), |talk, number| {
            talk.get(50.0 + f64::from(number), number * 2 + 1)
        })
    }

    #[test]
    fn one_more_than_allowed() {
        let talk = crowd(6).s(56.5, "GOAWAY 9 PROTOCOL_ERROR");
        let verdict = talk.is(Cause::MaxConcurrentStreamsExceeded, 0.9);
        verdict.blames(Blame::Client).shows(&["HEADERS", "GOAWAY"]);
    }

    #[test]
    fn as_many_as_allowed() {
        let verdict = crowd(5).s(56.5, "GOAWAY 9 PROTOCOL_ERROR").told();
        assert_ne!(verdict.cause, Cause::MaxConcurrentStreamsExceeded, "{}", verdict.summary);
    }

    #[test]
    fn a_refused_stream_ends_nothing() {
        let talk = crowd(6).s(57.0, "RST_STREAM 11 REFUSED_STREAM");
        let talk =
            (0..5).fold(talk, |talk, number| talk.ok(80.0 + f64::from(number), number * 2 + 1));
        talk.s(9084.4, "GOAWAY 9 NO_ERROR").is(Cause::IdleTimeout, 0.6);
    }

    #[test]
    fn less_sure_with_a_hole() {
        let talk = crowd(6).hole(56.2).s(57.0, "GOAWAY 9 PROTOCOL_ERROR");
        talk.is_unsure(Cause::MaxConcurrentStreamsExceeded);
    }
}
