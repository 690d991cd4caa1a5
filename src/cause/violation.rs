//! A rule was broken, and the endpoint that noticed ended the connection.

use std::time::Duration;

use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::error_code::ErrorCode;
use crate::vocab::rule::{self, Rule, Scope};
use crate::vocab::verdict::{Finding, Step};

use super::explain::Explain;
use super::scene::{PROMPT, Scene};
use super::{Detector, accuses, evidence};

const KNOWN: &str = "RFC 9113 section 5.4; every implementation.";
const TO_DO: &str = "Fix the endpoint that broke the rule: the finding names packet, side and \
                     section. Where no rule was broken, look at the endpoint that complains.";

/// Any rule whose breach is a PROTOCOL_ERROR.
pub const PROTOCOL: Detector = Detector {
    name: Cause::ProtocolViolation,
    explain: Explain {
        what: "An endpoint broke a rule of RFC 9113 and its peer ended the connection.",
        on_the_wire: "A frame that breaks a rule, then GOAWAY(PROTOCOL_ERROR or INTERNAL_ERROR) or \
                      a bare close within milliseconds.",
        looks_alike: "Timeouts and late answers that some implementations report as \
                      PROTOCOL_ERROR: there no frame before the GOAWAY breaks a rule.",
        known: KNOWN,
        what_to_do: TO_DO,
    },
    step: |scene| step(scene, Cause::ProtocolViolation),
};

/// Flow control.
pub const FLOW_CONTROL: Detector = Detector {
    name: Cause::FlowControlViolation,
    explain: Explain {
        what: "An endpoint sent more DATA than the window allowed, or lifted a window over 2^31-1.",
        on_the_wire: "DATA beyond the window, or WINDOW_UPDATE or SETTINGS that overflow one; then \
                      GOAWAY(FLOW_CONTROL_ERROR).",
        looks_alike: "A SETTINGS_INITIAL_WINDOW_SIZE that was lowered: it binds the sender only \
                      once it has acknowledged it.",
        known: KNOWN,
        what_to_do: TO_DO,
    },
    step: |scene| step(scene, Cause::FlowControlViolation),
};

/// Frame sizes.
pub const FRAME_SIZE: Detector = Detector {
    name: Cause::FrameSizeViolation,
    explain: Explain {
        what: "An endpoint sent a frame of a length that its type or the peer does not allow.",
        on_the_wire: "A frame longer than SETTINGS_MAX_FRAME_SIZE or of a wrong fixed length; then \
                      GOAWAY(FRAME_SIZE_ERROR).",
        looks_alike: "HTTP/1.1 text read as a frame: a length of 0x485454 is 'HTT'.",
        known: KNOWN,
        what_to_do: TO_DO,
    },
    step: |scene| step(scene, Cause::FrameSizeViolation),
};

/// Header compression.
pub const COMPRESSION: Detector = Detector {
    name: Cause::CompressionError,
    explain: Explain {
        what: "A header block could not be decoded: the HPACK state of both ends differs.",
        on_the_wire: "A header block with a bad index, string or size update; then \
                      GOAWAY(COMPRESSION_ERROR).",
        looks_alike: "Lost packets in the capture: then this program cannot decode, but the \
                      endpoints can. A header list that is too large, with some servers.",
        known: "RFC 7541; RFC 9113 section 4.3.",
        what_to_do: TO_DO,
    },
    step: |scene| step(scene, Cause::CompressionError),
};

/// Frames on closed streams.
pub const STREAM_CLOSED: Detector = Detector {
    name: Cause::StreamClosedViolation,
    explain: Explain {
        what: "An endpoint sent a frame on a stream that it had ended or that was closed.",
        on_the_wire: "DATA or HEADERS after END_STREAM or RST_STREAM of the same sender; then \
                      GOAWAY(STREAM_CLOSED).",
        looks_alike: "Frames that were on their way when the peer reset the stream: they are legal \
                      and most receivers ignore them.",
        known: KNOWN,
        what_to_do: TO_DO,
    },
    step: |scene| step(scene, Cause::StreamClosedViolation),
};

/// How long after the offence its receiver may take to end the connection.
const REACTION: Duration = Duration::from_secs(1);

/// The cause that a rule's breach is.
pub fn cause_of(rule: &Rule) -> Cause {
    if *rule == rule::MAX_CONCURRENT_STREAMS {
        return Cause::MaxConcurrentStreamsExceeded;
    }
    by_code(rule.code).unwrap_or(Cause::ProtocolViolation)
}

fn by_code(code: ErrorCode) -> Option<Cause> {
    Some(match code {
        ErrorCode::FLOW_CONTROL_ERROR => Cause::FlowControlViolation,
        ErrorCode::FRAME_SIZE_ERROR => Cause::FrameSizeViolation,
        ErrorCode::COMPRESSION_ERROR => Cause::CompressionError,
        ErrorCode::STREAM_CLOSED => Cause::StreamClosedViolation,
        _ => return None,
    })
}

fn step(scene: &Scene<'_>, cause: Cause) -> Option<Step> {
    if scene.goaway.is_some_and(|goaway| goaway.after_peer_close) {
        return None;
    }
    if let Some(finding) = offence(scene) {
        return (cause_of(finding.rule) == cause).then(|| found(scene, finding, cause));
    }
    accused(scene, cause)
}

/// What a GOAWAY with this code accuses its receiver of.
pub fn accusation(code: ErrorCode) -> Option<Cause> {
    let generic = (code == ErrorCode::PROTOCOL_ERROR).then_some(Cause::ProtocolViolation);
    by_code(code).or(generic)
}

/// The broken rule that the ending answers: the peer's last one before it, if the code fits.
fn offence<'a>(scene: &Scene<'a>) -> Option<&'a Finding> {
    let code = scene.code();
    if code.is_some() && !scene.is_error() {
        return scene.offence_before();
    }
    let generic = [None, Some(ErrorCode::PROTOCOL_ERROR), Some(ErrorCode::INTERNAL_ERROR)];
    let near: Vec<_> = scene
        .findings
        .iter()
        .filter(|finding| finding.by == scene.peer() && !scene.at.before(finding.stamp))
        // Nobody leaves because of a rule that calls for no error.
        .filter(|finding| finding.rule.code != ErrorCode::NO_ERROR)
        .filter(|finding| scene.at.since(finding.stamp) <= REACTION)
        .filter(|finding| {
            let whole = finding.rule.scope == Scope::Connection;
            code.is_some() || (whole && !scene.went_on_after(finding))
        })
        .collect();
    if near.is_empty() && code.is_none() {
        return scene.answered_offence().or_else(|| scene.silenced_by());
    }
    let same_code = near.iter().rev().find(|finding| Some(finding.rule.code) == code);
    let any = near.last().filter(|finding| {
        generic.contains(&code) || (code.is_some() && finding.rule.scope == Scope::Connection)
    });
    same_code.or(any).copied()
}

fn found(scene: &Scene<'_>, finding: &Finding, cause: Cause) -> Step {
    let exact = scene.code() == Some(finding.rule.code);
    let prompt = scene.at.since(finding.stamp) <= PROMPT;
    let whole = finding.rule.scope == Scope::Connection;
    let confidence = match (scene.goaway.is_some(), exact, prompt) {
        // Some close in good order whatever was done to them.
        (true, ..) if !scene.is_error() => {
            if whole {
                0.8
            } else {
                0.62
            }
        }
        (false, _, true) if !whole => 0.55,
        (true, true, true) => 0.96,
        (true, false, true) => 0.9,
        (true, ..) => 0.8,
        (false, _, true) => 0.8,
        (false, ..) => 0.6,
    };
    let (by, peer) = (scene.by.name(), finding.by.name());
    let summary = format!(
        "The {by} {} because the {peer} broke a rule: {} ({}).",
        scene.ending_name(),
        finding.text,
        finding.rule.section
    );
    let confidence = scene.despite_holes(Confidence::new(confidence));
    let mut step = Step::new(cause, confidence, finding.by.into(), summary);
    step.evidence.push(evidence::broken(finding));
    step.offending = Some(finding.stamp);
    step.rule = Some(finding.rule);
    step
}

/// The code or the text names a breach, but none was seen.
fn accused(scene: &Scene<'_>, cause: Cause) -> Option<Step> {
    let code = scene.code()?;
    let by_text = scene.text.and_then(|row| row.cause()) == Some(cause);
    let by_code = by_code(code) == Some(cause);
    let (by, peer) = (scene.by.name(), scene.peer().name());
    if accusation(code) == Some(cause) && accuses::is_unfounded(scene) {
        let summary = format!(
            "The {by} {} and so accuses the {peer} of a breach, but the whole connection is in the \
             capture and the {peer} broke no rule of that kind: look for the fault in the {by}.",
            scene.ending_name()
        );
        let confidence = Confidence::new(if by_text || by_code { 0.55 } else { 0.45 });
        return Some(Step::new(cause, confidence, scene.by.into(), summary));
    }
    if !by_text && !by_code {
        return None;
    }
    let confidence = match (by_text, by_code, scene.has_holes() || scene.history.joined_midway) {
        (true, _, true) => 0.7,
        (true, _, false) => 0.6,
        (false, _, _) => 0.4,
    };
    let summary = format!(
        "The {by} {} and so accuses the {peer} of a breach, but the capture shows none.",
        scene.ending_name()
    );
    Some(Step::new(cause, Confidence::new(confidence), Blame::Unknown, summary))
}

#[cfg(test)]
mod tests {
    use super::super::tests::Talk;
    use super::*;

    /// Something wrong, and the GOAWAY for it.
    fn wrong(what: &str, code: &str) -> Talk {
        Talk::opened()
            .served(4.0, 1)
            .post(20.0, 3)
            .c(30.0, what)
            .s(30.7, &format!("GOAWAY 3 {code}"))
    }

    #[test]
    fn each_kind_names_packet_and_rule() {
        let cases = [
            ("DATA 0 3", "PROTOCOL_ERROR", Cause::ProtocolViolation, "data-stream-zero"),
            (
                "WINDOW_UPDATE 0 2147483647",
                "FLOW_CONTROL_ERROR",
                Cause::FlowControlViolation,
                "flow-conn-overflow",
            ),
            ("FRAME 0x6 0 0 0011", "FRAME_SIZE_ERROR", Cause::FrameSizeViolation, "ping-length"),
            (
                "FRAME 0x1 0x5 5 80",
                "COMPRESSION_ERROR",
                Cause::CompressionError,
                "hpack-index-zero",
            ),
        ];
        for (what, code, cause, rule) in cases {
            let verdict = wrong(what, code).is(cause, 0.9);
            verdict.blames(Blame::Client).shows(&["violation", "GOAWAY"]);
            assert_eq!(verdict.rule.map(|rule| rule.id), Some(rule));
            assert!(verdict.offending.is_some());
        }
    }

    #[test]
    fn a_breach_answered_in_good_order() {
        wrong("DATA 0 3", "NO_ERROR").is(Cause::ProtocolViolation, 0.8).blames(Blame::Client);
        let closed = Talk::opened().served(4.0, 1).c(420.0, "DATA 1 5");
        let verdict = closed.s(420.6, "GOAWAY 1 NO_ERROR").s(421.0, "FIN");
        verdict.is(Cause::StreamClosedViolation, 0.6).blames(Blame::Client);
        // Long after, it is something else.
        let later = Talk::opened().served(4.0, 1).post(20.0, 3).c(30.0, "WINDOW_UPDATE 3 0");
        let later = later.c(31.0, "DATA 3 5 END_STREAM").ok(40.0, 3);
        later.s(9043.0, "GOAWAY 3 NO_ERROR").is(Cause::IdleTimeout, 0.6);
    }

    #[test]
    fn a_client_that_leaves_because_of_a_breach_is_not_done() {
        let talk = Talk::opened().get(4.0, 1).s(20.0, "FRAME 0x1 0x5 1 80").c(20.7, "FIN");
        talk.is(Cause::CompressionError, 0.7).blames(Blame::Server);
    }

    #[test]
    fn frames_after_the_end_of_a_stream() {
        let talk = Talk::opened().get(4.0, 1).c(20.0, "DATA 1 5").s(20.5, "GOAWAY 1 STREAM_CLOSED");
        talk.is(Cause::StreamClosedViolation, 0.9).blames(Blame::Client);
    }

    #[test]
    fn an_accusation_without_a_breach_is_not_believed() {
        let talk =
            Talk::opened().served(4.0, 1).get(20.0, 3).s(31.0, "GOAWAY 3 FLOW_CONTROL_ERROR");
        talk.is_unsure(Cause::FlowControlViolation).blames(Blame::Server);
        let torn = Talk::opened().served(4.0, 1).hole(15.0).get(20.0, 3);
        let verdict = torn.s(31.0, "GOAWAY 3 FLOW_CONTROL_ERROR");
        verdict.is_unsure(Cause::FlowControlViolation).blames(Blame::Unknown);
        // Long after all that the client said.
        Talk::opened().get(20.0, 1).s(777.0, "GOAWAY 1 PROTOCOL_ERROR").is_unsure(Cause::Unknown);
    }

    #[test]
    fn frames_in_flight_after_a_reset_are_legal() {
        let talk = Talk::opened()
            .post(4.0, 1)
            .s(20.0, "RST_STREAM 1 NO_ERROR")
            .c(20.0, "DATA 1 9")
            .served(30.0, 3)
            .s(9040.5, "GOAWAY 3 NO_ERROR");
        talk.is(Cause::IdleTimeout, 0.6);
    }

    #[test]
    fn less_sure_with_a_hole() {
        let talk = Talk::opened().served(4.0, 1).hole(20.0).c(30.0, "DATA 0 3");
        talk.s(30.7, "GOAWAY 1 PROTOCOL_ERROR").is_unsure(Cause::ProtocolViolation);
    }

    /// The server breaks a rule on the client's only stream, which ends with it, or after it.
    fn offended(what: &str) -> Talk {
        Talk::opened().get(10.0, 1).s(150.0, what)
    }

    #[test]
    fn a_client_that_closes_on_a_broken_frame_is_not_done() {
        // An integer that overflows, with END_STREAM: nothing is open any more.
        let block = "FRAME 0x1 0x5 1 ffffffffffffffffffffff";
        let verdict = offended(block).c(150.4, "FIN").is(Cause::CompressionError, 0.8);
        verdict.blames(Blame::Server).shows(&["violation", "FIN"]);
        let reset = offended("FRAME 0x4 0 0 0000000000").c(151.0, "RST_STREAM 1 CANCEL");
        reset.c(151.2, "FIN").is(Cause::FrameSizeViolation, 0.8).blames(Blame::Server);
    }

    #[test]
    fn a_client_that_did_not_mind_is_done() {
        let served = |talk: Talk| talk.served(180.0, 3).c(204.0, "FIN");
        served(offended("WINDOW_UPDATE 0 0\n+ HEADERS 1 END_STREAM :status=200"))
            .is(Cause::ClientShutdown, 0.9);
        let late = offended("FRAME 0x1 0x5 1 ffffffffffffffffffffff").c(1700.0, "FIN");
        late.is(Cause::ClientShutdown, 0.9);
    }

    #[test]
    fn an_offence_on_a_stream_leaves_it_open() {
        let talk = offended("HEADERS 1 END_STREAM content-type=text/plain").c(150.9, "FIN");
        let verdict = talk.is_unsure(Cause::ClientShutdown);
        let named = |a: &crate::vocab::verdict::Alternative| a.cause == Cause::ProtocolViolation;
        assert!(verdict.alternatives.iter().any(named), "{:?}", verdict.alternatives);
    }

    #[test]
    fn an_orderly_goaway_that_answers_a_breach() {
        let talk = Talk::opened().served(10.0, 1).c(420.0, "DATA 0 9");
        let verdict = talk.clone().s(420.6, "GOAWAY 1 NO_ERROR").is(Cause::ProtocolViolation, 0.8);
        verdict.blames(Blame::Client).shows(&["violation", "GOAWAY"]);
        talk.hole(300.0).s(420.6, "GOAWAY 1 NO_ERROR").is_unsure(Cause::ProtocolViolation);
        // Long after it, an idle timer.
        let idle = Talk::opened().served(10.0, 1).c(420.0, "WINDOW_UPDATE 0 0");
        idle.s(12_421.0, "GOAWAY 1 NO_ERROR").is(Cause::IdleTimeout, 0.7);
    }
}
