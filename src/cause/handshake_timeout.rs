//! The beginning was not complete in time: preface, SETTINGS or the first request.

use std::time::Duration;

use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::frame::FrameType;
use crate::vocab::verdict::{ConfiguredIn, Step, Timeout};

use super::chance::{is_setting, round_value};
use super::explain::Explain;
use super::scene::{PROMPT, Scene, spoken};
use super::{Detector, evidence};

/// The detector.
pub const DETECTOR: Detector = Detector {
    name: Cause::HandshakeTimeout,
    explain: Explain {
        what: "The client connected but did not send its preface, its SETTINGS or a whole first \
               request within the server's time limit.",
        on_the_wire: "No complete HEADERS of the client; after seconds of waiting GOAWAY \
                      (PROTOCOL_ERROR in nginx, INTERNAL_ERROR in gRPC and Kestrel) or a bare \
                      close.",
        looks_alike: "idle_timeout: there the client had finished its part of the beginning and \
                      the server says NO_ERROR. A protocol violation comes at once, not after \
                      seconds.",
        known: "Go: 2 s for SETTINGS, 10 s for the preface; nginx client_header_timeout 60 s; gRPC \
                handshake timeout; Kestrel RequestHeadersTimeout 30 s; h2o 10 s.",
        what_to_do: "Look at the client: slow, stuck, or a port scanner or health check that only \
                     opens the connection.",
    },
    step,
};

/// Requests whose header block has not ended.
fn open_blocks(scene: &Scene<'_>) -> u64 {
    scene.open.iter().filter(|stream| stream.by == Side::Client && !stream.described).count() as u64
}

/// Shorter waits are no timeout of a handshake.
const SHORTEST: Duration = Duration::from_millis(300);

fn step(scene: &Scene<'_>) -> Option<Step> {
    let history = scene.history;
    if scene.by != Side::Server
        || scene.peer_is_hidden()
        || history.joined_midway
        || *scene.opened.side(Side::Client) > open_blocks(scene)
    {
        return None;
    }
    let began = history.accepted.unwrap_or(history.first);
    let since_begin = scene.at.since(began);
    let since_heard = scene.peer_quiet();
    let client = &history.sides.first;
    let ready = client.preface.is_some()
        && !client.settings.is_empty()
        && scene.frames.first.of(FrameType::HEADERS) == 0;
    let heard = scene.last_octets.first.unwrap_or(began);
    // NO_ERROR to a client that has done its part is an idle end.
    let block = open_blocks(scene) > 0;
    let orderly = scene.goaway.is_some() && !scene.is_error() && !block;
    let wait = if round_value(since_begin).is_none() && round_value(since_heard).is_some() {
        since_heard
    } else {
        since_begin
    };
    if wait < SHORTEST || orderly || (ready && scene.goaway.is_none()) {
        return None;
    }
    let by_text =
        ["handshake", "settings before", "preface"].iter().any(|word| scene.debug().contains(word));
    // What the client has just said is what an error answers.
    let answers = scene.is_error() || scene.offence_before().is_some();
    if answers && !by_text && scene.peer_quiet() <= PROMPT {
        return None;
    }
    let confidence = match (by_text, scene.goaway.is_some(), round_value(wait).is_some()) {
        (true, ..) => 0.96,
        // Nothing that belongs to a handshake was missing: a time that somebody set must show.
        (_, true, true) if ready && !block && !is_setting(wait) => 0.6,
        (_, true, false) if ready && !block => 0.4,
        (_, true, true) => 0.9,
        (_, false, true) => 0.85,
        _ => 0.65,
    };
    let missing = match (client.preface, client.settings.is_empty()) {
        _ if block => "the end of its request's header block",
        (None, _) => "its preface",
        (Some(_), true) => "its SETTINGS",
        (Some(_), false) => "a complete request",
    };
    let summary = format!(
        "The server {} because the client had not sent {missing} after {}.",
        scene.ending_name(),
        spoken(wait)
    );
    let confidence = scene.despite_holes(Confidence::new(confidence));
    let mut step = Step::new(Cause::HandshakeTimeout, confidence, Blame::Client, summary);
    let text = "connection accepted".to_string();
    step.evidence.push(evidence::on_connection(began, Side::Server, "SYN,ACK", text));
    if heard != began {
        let text = "the last that the client sent".to_string();
        step.evidence.push(evidence::on_connection(heard, Side::Client, "silence", text));
    }
    step.timeout = Some(Timeout::once(Cause::HandshakeTimeout, wait, ConfiguredIn::Server));
    Some(step)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Talk;
    use super::*;

    #[test]
    fn no_settings_in_time() {
        let talk = Talk::default().raw(0.0, "0 SYN\n1 C> PREFACE\n2 S> SETTINGS").s(3502.0, "FIN");
        let verdict = talk.is(Cause::HandshakeTimeout, 0.8);
        verdict
            .after(Cause::HandshakeTimeout, 3.5)
            .blames(Blame::Client)
            .shows(&["SYN,ACK", "FIN"]);
    }

    #[test]
    fn a_header_block_that_did_not_end() {
        let fields = ":method=GET :scheme=http :authority=a :path=/";
        let open = format!("HEADERS 1 END_STREAM NO_END_HEADERS {fields}");
        for end in ["GOAWAY 0 NO_ERROR", "FIN", "GOAWAY 0 PROTOCOL_ERROR"] {
            let verdict = Talk::opened().c(10.0, &open).s(4010.0, end);
            let verdict = verdict.is(Cause::HandshakeTimeout, 0.8);
            verdict.after(Cause::HandshakeTimeout, 4.0).blames(Blame::Client);
        }
    }

    #[test]
    fn no_request_in_time() {
        let talk = Talk::opened().s(25_001.0, "GOAWAY 0 PROTOCOL_ERROR").s(25_001.2, "FIN");
        talk.is(Cause::HandshakeTimeout, 0.9).after(Cause::HandshakeTimeout, 25.0);
    }

    #[test]
    fn a_client_that_did_its_part_is_idle() {
        Talk::opened().s(25_003.0, "GOAWAY 0 NO_ERROR").is(Cause::IdleTimeout, 0.7);
    }

    #[test]
    fn a_violation_comes_at_once() {
        let talk = Talk::opened().c(5.0, "DATA 0 3").s(5.5, "GOAWAY 0 PROTOCOL_ERROR");
        talk.is(Cause::ProtocolViolation, 0.9);
    }

    #[test]
    fn less_sure_with_a_hole() {
        let talk = Talk::opened().hole(10.0).s(25_001.0, "GOAWAY 0 PROTOCOL_ERROR");
        talk.is_unsure(Cause::HandshakeTimeout);
    }
}
