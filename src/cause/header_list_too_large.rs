//! A header list was larger than the endpoint accepts.

use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::setting::SettingId;
use crate::vocab::time::Stamp;
use crate::vocab::verdict::Step;

use super::explain::Explain;
use super::scene::{PROMPT, SOON, Scene};
use super::{Detector, evidence};

/// The detector.
pub const DETECTOR: Detector = Detector {
    name: Cause::HeaderListTooLarge,
    explain: Explain {
        what: "A request's or response's header fields were larger, or more, than the receiver \
               accepts, and it ended the connection instead of the stream.",
        on_the_wire: "A header block of some kilobytes, then at once GOAWAY with \
                      ENHANCE_YOUR_CALM (nginx), PROTOCOL_ERROR (Netty), INTERNAL_ERROR or even \
                      COMPRESSION_ERROR.",
        looks_alike: "compression_error: there the block itself is broken. A 431 response or a \
                      reset of the one stream leaves the connection alive.",
        known: "SETTINGS_MAX_HEADER_LIST_SIZE (RFC 9113 section 6.5.2) is advisory; nginx \
                large_client_header_buffers 4 x 8k; Netty 8192 octets; h2 (Rust) 16 KiB in hyper.",
        what_to_do: "Sender: shrink the header fields (cookies and tokens first). Or receiver: \
                     raise its limit on header lists.",
    },
    step,
};

/// The smallest limit that anybody ships: below it a block is not large.
const SMALL: u64 = 2_000;

/// From the least limit that servers come with.
const LARGE: u64 = 7_500;

fn step(scene: &Scene<'_>) -> Option<Step> {
    if scene.goaway.is_some() && !scene.is_error() {
        return None;
    }
    let facts = scene.history.sides.side(scene.peer());
    let limit = scene.history.sides.side(scene.by).settings.iter().rev().find_map(|sent| {
        let found = sent.values.iter().find(|(id, _)| *id == SettingId::MAX_HEADER_LIST_SIZE);
        found.map(|(_, value)| u64::from(*value))
    });
    let debug = scene.debug();
    let by_text = scene.text.and_then(|row| row.cause()) == Some(Cause::HeaderListTooLarge)
        || (debug.contains("header")
            && ["too large", "exceed", "too many", "too big"]
                .iter()
                .any(|word| debug.contains(word)));
    // What came before its receiver said its first word waited until it was awake.
    let awake = scene.history.sides.side(scene.by).first_frame.unwrap_or(scene.at);
    let since = |stamp: Stamp| scene.at.since(if stamp.before(awake) { awake } else { stamp });
    let largest = scene
        .largest_block
        .side(scene.peer())
        .filter(|(_, stamp, _)| !scene.at.before(*stamp) && since(*stamp) <= PROMPT);
    let broken = scene
        .findings
        .iter()
        .any(|finding| finding.by == scene.peer() && scene.at.since(finding.stamp) <= PROMPT);
    let over = largest.zip(limit).is_some_and(|((size, ..), limit)| size > limit);
    let at_once = |stamp: Stamp| scene.at.since(stamp) <= SOON && !scene.went_on(stamp);
    let confidence = match largest {
        // Some only close (Go): at once, at a list beyond what they had allowed.
        Some((_, stamp, _)) if scene.goaway.is_none() && over && !broken && at_once(stamp) => 0.78,
        _ if scene.goaway.is_none() => return None,
        Some((size, ..)) if by_text && size >= SMALL => 0.96,
        // Without its HEADERS a text alone: it may be another library's word for another fault.
        _ if by_text && scene.is_incomplete() => 0.45,
        _ if by_text => 0.75,
        Some(_) if over && !broken => 0.93,
        Some((size, ..)) if size >= LARGE && !broken && facts.opened > 0 => 0.75,
        Some((size, ..)) if size >= SMALL && !broken && facts.opened > 0 => 0.5,
        _ => return None,
    };
    let (by, peer) = (scene.by.name(), scene.peer().name());
    let size = largest.map(|(size, ..)| format!("a header list of about {size} octets"));
    let limit = limit.map(|limit| format!(", limit {limit}")).unwrap_or_default();
    let summary = format!(
        "The {by} {} because the {peer} sent {}{limit}.",
        scene.ending_name(),
        size.unwrap_or_else(|| "a header list that was too large".into())
    );
    let blame = if scene.peer() == Side::Client { Blame::Client } else { Blame::Server };
    let confidence = scene.despite_holes(Confidence::new(confidence));
    let mut step = Step::new(Cause::HeaderListTooLarge, confidence, blame, summary);
    if let Some((size, stamp, stream)) = largest {
        let text = format!("header list of about {size} octets");
        let mut fact = evidence::on_connection(stamp, scene.peer(), "HEADERS", text);
        fact.stream = stream;
        step.evidence.push(fact);
        step.offending = Some(stamp);
    }
    Some(step)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Talk;
    use super::*;

    fn large(octets: usize) -> Talk {
        let fields = ":method=GET :scheme=http :authority=a :path=/";
        let cookie = "~".repeat(octets);
        Talk::opened()
            .served(4.0, 1)
            .c(30.0, &format!("HEADERS 3 END_STREAM {fields} !cookie={cookie}"))
    }

    #[test]
    fn a_block_and_at_once_the_end() {
        let text =
            "GOAWAY 2147483647 PROTOCOL_ERROR \"Header size exceeded max allowed size (8192)\"";
        let verdict = large(12_300).s(30.6, text).is(Cause::HeaderListTooLarge, 0.9);
        verdict.blames(Blame::Client).shows(&["HEADERS", "GOAWAY"]);
        assert!(verdict.offending.is_some());
        large(9900).s(30.6, "GOAWAY 3 ENHANCE_YOUR_CALM").is(Cause::HeaderListTooLarge, 0.7);
    }

    #[test]
    fn a_server_that_wakes_up_late_means_the_first_one() {
        let fields = ":method=GET :scheme=http :authority=a :path=/";
        let cookie = "~".repeat(11_000);
        let large = |stream: u32| format!("HEADERS {stream} END_STREAM {fields} !cookie={cookie}");
        let talk = Talk::default()
            .raw(0.0, "0 SYN\n1 C> PREFACE\n+ SETTINGS")
            .c(60.0, &large(1))
            .c(260.0, &large(3))
            .s(600.0, "SETTINGS MAX_HEADER_LIST_SIZE=3000")
            .s(640.0, "GOAWAY 2147483647 PROTOCOL_ERROR");
        let verdict = talk.is(Cause::HeaderListTooLarge, 0.9);
        assert_eq!(verdict.offending, Some(verdict.chain[0].stamp));
        assert_eq!(verdict.chain[0].stream, 1);
    }

    #[test]
    fn a_broken_block_is_a_compression_error() {
        let broken = Talk::opened().c(5.0, "FRAME 0x1 0x5 1 80");
        broken.s(5.5, "GOAWAY 1 COMPRESSION_ERROR").is(Cause::CompressionError, 0.9);
    }

    #[test]
    fn a_text_alone_with_its_headers_missing_is_one_reason_of_several() {
        let text = "GOAWAY 3 PROTOCOL_ERROR \"Header size exceeded max allowed size (8192)\"";
        let whole = Talk::opened().served(4.0, 1).get(600.0, 3).s(1200.0, text);
        whole.is(Cause::HeaderListTooLarge, 0.7);
        let hole = Talk::opened().served(4.0, 1).hole(1199.0).s(1200.0, text);
        assert!(hole.told().confidence.value() < 0.5, "{}", hole.told().summary);
    }

    #[test]
    fn less_sure_with_a_hole() {
        let text =
            "GOAWAY 2147483647 PROTOCOL_ERROR \"Header size exceeded max allowed size (8192)\"";
        large(9300).hole(30.2).s(31.0, text).is_unsure(Cause::HeaderListTooLarge);
    }
}
