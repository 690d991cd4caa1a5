//! Codes that name their cause outright.

use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::error_code::ErrorCode;
use crate::vocab::frame::Transport;
use crate::vocab::verdict::Step;

use super::explain::Explain;
use super::scene::{PROMPT, Scene};
use super::{Detector, evidence};

/// INTERNAL_ERROR.
pub const INTERNAL_ERROR: Detector = Detector {
    name: Cause::InternalError,
    explain: Explain {
        what: "The endpoint failed by itself: an exception, a bug, a resource it lacks.",
        on_the_wire: "GOAWAY(INTERNAL_ERROR), often with an exception's message as debug data.",
        looks_alike: "Limits and timeouts that some implementations report with this code: resets \
                      (nghttp2, Node), handshake and keepalive timeouts (gRPC, Kestrel).",
        known: "Netty puts the Java exception's message into the debug data.",
        what_to_do: "Read the debug data and the log of the endpoint that sent it.",
    },
    step: |scene| {
        let blame = side_blame(scene.by);
        // An exception's message is more than a bare code.
        let confidence = if scene.debug().is_empty() { 0.4 } else { 0.7 };
        named(scene, ErrorCode::INTERNAL_ERROR, Cause::InternalError, confidence, blame)
    },
};

/// HTTP_1_1_REQUIRED.
pub const HTTP_1_1_REQUIRED: Detector = Detector {
    name: Cause::Http11Required,
    explain: Explain {
        what: "The server wants this request over HTTP/1.1.",
        on_the_wire: "GOAWAY or RST_STREAM with HTTP_1_1_REQUIRED.",
        looks_alike: "Nothing.",
        known: "IIS with client certificates or Windows authentication (RFC 9113 section 9.2.3).",
        what_to_do: "Let the client repeat the request over HTTP/1.1; it usually does.",
    },
    step: |scene| {
        let told =
            named(scene, ErrorCode::HTTP_1_1_REQUIRED, Cause::Http11Required, 0.95, Blame::Server);
        told.or_else(|| required_by_reset(scene))
    },
};

/// INADEQUATE_SECURITY.
pub const INADEQUATE_SECURITY: Detector = Detector {
    name: Cause::InadequateSecurity,
    explain: Explain {
        what: "The TLS version or cipher suite is not good enough for HTTP/2.",
        on_the_wire: "GOAWAY(INADEQUATE_SECURITY) right after the TLS handshake.",
        looks_alike: "Nothing.",
        known: "Go net/http with a prohibited TLS 1.2 cipher suite (RFC 9113 section 9.2).",
        what_to_do: "Enable TLS 1.2 with ECDHE and an AEAD cipher, or TLS 1.3.",
    },
    step: |scene| {
        // In cleartext there is no security to be inadequate: the sender is mistaken.
        let (confidence, to_change) = match scene.history.transport {
            Transport::PriorKnowledge | Transport::Upgrade => (0.5, scene.by),
            Transport::Tls | Transport::Unknown => (0.95, scene.peer()),
        };
        let (code, blame) = (ErrorCode::INADEQUATE_SECURITY, side_blame(to_change));
        named(scene, code, Cause::InadequateSecurity, confidence, blame)
    },
};

/// CONNECT_ERROR.
pub const CONNECT_ERROR: Detector = Detector {
    name: Cause::ConnectError,
    explain: Explain {
        what: "The connection behind a CONNECT request broke, or the transport itself did.",
        on_the_wire: "GOAWAY(CONNECT_ERROR).",
        looks_alike: "Undertow sends it when its own read side broke, with no CONNECT at all.",
        known: "RFC 9113 section 8.5; Undertow.",
        what_to_do: "Look at the network path of the endpoint that sent it.",
    },
    step: |scene| {
        // ECONNRESET, ECONNABORTED and EPIPE, where an errno got into the GOAWAY.
        let errno = [32, 103, 104].map(ErrorCode);
        let code = errno.into_iter().find(|code| scene.code() == Some(*code));
        let confidence = if code.is_some() { 0.6 } else { 0.9 };
        let code = code.unwrap_or(ErrorCode::CONNECT_ERROR);
        named(scene, code, Cause::ConnectError, confidence, Blame::Network)
    },
};

/// Stream identifiers used up.
pub const STREAM_ID_EXHAUSTION: Detector = Detector {
    name: Cause::StreamIdExhaustion,
    explain: Explain {
        what: "A very long-lived connection has used up its 2^31 stream identifiers.",
        on_the_wire: "Stream identifiers near 2^31; GOAWAY, sometimes with REFUSED_STREAM.",
        looks_alike: "Any other orderly end: look at the size of the identifiers.",
        known: "RFC 9113 section 5.1.1; Netty, OkHttp from 2^30 on.",
        what_to_do: "Nothing: open a new connection.",
    },
    step: |scene| {
        let sides = &scene.history.sides;
        let (by_client, by_server) = match scene.goaway {
            Some(goaway) => (goaway.highest_stream.first, goaway.highest_stream.second),
            None => (sides.first.highest_stream, sides.second.highest_stream),
        };
        let highest = by_client.max(by_server);
        let debug = scene.debug();
        let by_text = debug.contains("exhausted") && debug.contains("stream");
        // Half of them is where some clients change connections; the others go on to the end.
        let confidence = match highest {
            LAST_IDS.. => 0.95,
            HALF_OF_IDS.. if scene.by == Side::Client => 0.6,
            HALF_OF_IDS.. if by_text => 0.9,
            _ if by_text => 0.7,
            HALF_OF_IDS.. => 0.3,
            _ => return None,
        };
        let text = format!(
            "The {} {} because the stream identifiers are used up (highest {highest}).",
            scene.by.name(),
            scene.ending_name()
        );
        let confidence = Confidence::new(confidence);
        Some(Step::new(Cause::StreamIdExhaustion, confidence, Blame::None, text))
    },
};

/// Identifiers from which on hardly one is left.
const LAST_IDS: u32 = 0x7fff_ff00;
/// Where some clients stop (OkHttp, Netty).
const HALF_OF_IDS: u32 = 1 << 30;

/// The server refused a request with HTTP_1_1_REQUIRED, and the connection ended right after.
fn required_by_reset(scene: &Scene<'_>) -> Option<Step> {
    let reset = scene.resets.iter().rev().find(|reset| {
        reset.by == Side::Server && reset.code == Some(ErrorCode::HTTP_1_1_REQUIRED)
    })?;
    if scene.is_error() || scene.at.since(reset.stamp) > PROMPT {
        return None;
    }
    let summary = format!(
        "The server wants the request of stream {} over HTTP/1.1, and the connection was closed \
         for that.",
        reset.stream
    );
    let confidence = Confidence::new(0.95);
    let mut step = Step::new(Cause::Http11Required, confidence, Blame::Server, summary);
    step.evidence.push(evidence::reset(reset));
    Some(step)
}

fn side_blame(side: Side) -> Blame {
    if side == Side::Client { Blame::Client } else { Blame::Server }
}

fn named(
    scene: &Scene<'_>,
    code: ErrorCode,
    cause: Cause,
    confidence: f32,
    blame: Blame,
) -> Option<Step> {
    (scene.code() == Some(code)).then(|| {
        let summary =
            format!("The {} {}: {}.", scene.by.name(), scene.ending_name(), cause.meaning());
        Step::new(cause, Confidence::new(confidence), blame, summary)
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::Talk;
    use super::*;

    #[test]
    fn codes_that_say_it() {
        let told =
            |end: &str| Talk::opened().served(5.0, 1).get(50.0, 3).s(57.0, end).s(58.0, "FIN");
        told("GOAWAY 3 HTTP_1_1_REQUIRED").is(Cause::Http11Required, 0.9).blames(Blame::Server);
        // In cleartext nobody but its sender can be wrong.
        let weak = told("GOAWAY 0 INADEQUATE_SECURITY").is_unsure(Cause::InadequateSecurity);
        weak.blames(Blame::Server);
        told("GOAWAY 3 CONNECT_ERROR").is(Cause::ConnectError, 0.8);
        let exception = told("GOAWAY 2147483647 INTERNAL_ERROR \"Index 9 out of bounds\"");
        exception.is(Cause::InternalError, 0.6).blames(Blame::Server);
        let text = "Stream IDs are exhausted for this endpoint.";
        told(&format!("GOAWAY 3 REFUSED_STREAM \"{text}\"")).is(Cause::StreamIdExhaustion, 0.6);
    }

    #[test]
    fn an_internal_error_that_is_a_lost_ping() {
        let talk = Talk::opened().get(10.0, 1).s(4000.0, "PING 0000000000000009");
        talk.s(9005.0, "GOAWAY 1 INTERNAL_ERROR").is(Cause::KeepalivePingTimeout, 0.9);
    }

    #[test]
    fn stream_identifiers_near_the_end() {
        let end = |highest: u32| {
            let goaway = format!("GOAWAY {highest} NO_ERROR");
            Talk::opened().served(5.0, highest).s(5040.0, &goaway).told()
        };
        let last = end(0x7fff_ffff);
        assert_eq!((last.cause, last.blame), (Cause::StreamIdExhaustion, Blame::None));
        assert!(last.confidence.value() >= 0.9);
        // Half of them are left.
        assert_eq!(end(1_073_741_825).cause, Cause::IdleTimeout);
        let client = Talk::opened().served(5.0, 0x7fff_ffff).c(40.0, "FIN");
        client.is(Cause::StreamIdExhaustion, 0.9);
    }

    #[test]
    fn a_bare_internal_error_is_never_sure() {
        let talk = Talk::opened().get(10.0, 1).hole(30.0).s(57.0, "GOAWAY 1 INTERNAL_ERROR");
        talk.is_unsure(Cause::InternalError);
    }
}
