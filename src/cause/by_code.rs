//! Codes that name their cause outright.

use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::error_code::ErrorCode;
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
        let confidence = if scene.debug().is_empty() { 0.5 } else { 0.7 };
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
        let blame = side_blame(scene.peer());
        named(scene, ErrorCode::INADEQUATE_SECURITY, Cause::InadequateSecurity, 0.95, blame)
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
        let goaway = scene.goaway?;
        let highest = goaway.highest_stream.first.max(goaway.highest_stream.second);
        let by_text = scene.debug().contains("exhausted");
        (highest >= 1 << 30 || by_text).then(|| {
            let text = format!(
                "The {} {} because the stream identifiers are used up (highest {highest}).",
                scene.by.name(),
                scene.ending_name()
            );
            let confidence = Confidence::new(if highest >= 1 << 30 { 0.95 } else { 0.7 });
            Step::new(Cause::StreamIdExhaustion, confidence, Blame::None, text)
        })
    },
};

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
