//! An answer was written to a stream that was gone, and the connection died of it.

use std::time::Duration;

use crate::track::history::Reset;
use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::error_code::ErrorCode;
use crate::vocab::time::Stamp;
use crate::vocab::verdict::{Effect, LateAnswer, Step};

use super::chance::round_value;
use super::explain::Explain;
use super::scene::{PROMPT, Scene, spoken};
use super::{Detector, evidence};

/// The detector.
pub const DETECTOR: Detector = Detector {
    name: Cause::LateResponse,
    explain: Explain {
        what: "The client gave up on a request and reset its stream. The server's handler did not \
               notice, answered later, and the server took its own failed write for a protocol \
               error: it sent GOAWAY and closed, and every other request on the connection died.",
        on_the_wire: "RST_STREAM of stream N by the client; much later GOAWAY with an error code \
                      whose debug data names stream N, or that follows at once on an answer to N. \
                      No frame of the client breaks a rule.",
        looks_alike: "A client that really sends frames on a stream it has reset, or opens a wrong \
                      stream: then the client's frame stands right before the GOAWAY. The text \
                      'not correct for client connection' blames the client's stream ids; 'server \
                      connection' means the server's own.",
        known: "Vert.x 4.0 to 4.5 on Netty (fixed in 5.0.0), and what is built on it: Apache \
                ServiceComb (guarded since 2.8.20 and 3.2.2), Quarkus.",
        what_to_do: "Make the client's timeout longer than the server's slowest answer plus 2 to \
                     5 s; make the handler check that the response is still open before it writes.",
    },
    step,
};

/// A reset this much older than the GOAWAY is not in flight any more.
const SETTLED: Duration = Duration::from_millis(20);

fn step(scene: &Scene<'_>) -> Option<Step> {
    let goaway = scene.goaway.filter(|_| scene.is_error())?;
    let accuses = [ErrorCode::PROTOCOL_ERROR, ErrorCode::INTERNAL_ERROR, ErrorCode::STREAM_CLOSED];
    if !accuses.contains(&goaway.code) {
        return None;
    }
    let known = scene.text.is_some_and(|row| row.cause() == Some(Cause::ClientRequestTimeout));
    let Some(reset) = named(scene).or_else(|| answered(scene)) else {
        return if known { Some(unseen(scene)) } else { supposed(scene) };
    };
    let offended = scene.findings.iter().any(|finding| {
        finding.by == scene.peer() && finding.stream == reset.stream && finding.stamp != reset.stamp
    });
    if offended {
        return None;
    }
    let confidence = if known || scene.history.late.iter().any(|late| late.stream == reset.stream) {
        Confidence::CERTAIN
    } else {
        Confidence::new(0.85)
    };
    Some(told(scene, reset, confidence))
}

fn told(scene: &Scene<'_>, reset: &Reset, confidence: Confidence) -> Step {
    let (server, stream) = (scene.by.name(), reset.stream);
    let after = reset.opened.map(|opened| scene.at.since(opened));
    let gone = spoken(scene.at.since(reset.stamp));
    let answered = after.map(|after| format!("{} after the request and ", spoken(after)));
    let summary = format!(
        "The {server} {} because its handler answered stream {stream}, {}{gone} after the {} had \
         given it up.",
        scene.ending_name(),
        answered.unwrap_or_default(),
        reset.by.name(),
    );
    let mut step = Step::new(Cause::LateResponse, confidence, Blame::Server, summary);
    if let Some(opened) = reset.opened {
        let name = reset.request.as_deref();
        step.evidence.push(evidence::request(opened, reset.opener, stream, name));
    }
    step.evidence.push(evidence::reset(reset));
    step.late_answer = Some(LateAnswer {
        stream,
        request: reset.opened,
        reset: Some(reset.stamp),
        answered_after: after.map(|after| after.as_secs_f64()),
    });
    step.cancelled = vec![stream];
    step.because = Some(Effect::Cancels(vec![stream]));
    step
}

/// The stream that the debug data names, where the peer had reset it well before.
fn named<'a>(scene: &Scene<'a>) -> Option<&'a Reset> {
    let debug = scene.debug();
    streams_in(&debug)
        .filter_map(|number| scene.resets.iter().find(|reset| reset.stream == number))
        .find(|reset| reset.by == scene.peer() && is_settled(scene, reset))
}

/// Numbers in a text that it says are streams: `stream 3`, `stream id=3`, `streamId: 3`, `stream
/// object required for identifier: 3`. Others are ports, sizes, addresses.
fn streams_in(text: &str) -> impl Iterator<Item = u32> {
    let identifiers = text.match_indices("identifier").filter(|_| text.contains("stream"));
    text.match_indices("stream").chain(identifiers).filter_map(|(place, word)| {
        let rest = text.get(place + word.len()..)?;
        let rest = rest.strip_prefix('s').unwrap_or(rest).trim_start_matches([' ', '_', '-']);
        let rest = rest.strip_prefix("id").unwrap_or(rest);
        let rest = rest.trim_start_matches([' ', ':', '=', '#', '(', '[', '<']);
        let end = rest.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(rest.len());
        rest.get(..end)?.parse().ok()
    })
}

/// A stream that the GOAWAY's sender answered, knowingly late, right before the GOAWAY.
fn answered<'a>(scene: &Scene<'a>) -> Option<&'a Reset> {
    let late = scene.history.late.iter().rev().find(|late| {
        late.by == scene.by
            && late.knowing
            && !scene.at.before(late.stamp)
            && scene.at.since(late.stamp) <= PROMPT
    })?;
    let reset = scene.resets.iter().find(|reset| reset.stream == late.stream)?;
    is_settled(scene, reset).then_some(reset)
}

/// No frame, no silence and no PING explains the error, and the server is still at work for
/// requests that the client gave up: the oldest of those is what it most likely tripped over.
fn supposed(scene: &Scene<'_>) -> Option<Step> {
    let bare = scene.by == Side::Server && scene.debug().is_empty();
    let blind = scene.peer_is_hidden() || scene.history.joined_midway;
    let recent = |stamp: Stamp| scene.at.since(stamp) <= Duration::from_secs(1);
    let offended = scene.findings.iter().any(|f| f.by == scene.peer() && recent(f.stamp));
    if scene.code() != Some(ErrorCode::PROTOCOL_ERROR) || !bare || blind || offended {
        return None;
    }
    // Where late answers have gone out before, they do no harm.
    let harmless = scene.history.late.iter().any(|late| late.by == scene.by && late.knowing);
    // Many resets right before are what was counted.
    let burst = scene.resets.iter().filter(|reset| scene.at.since(reset.stamp) <= PROMPT).count();
    let asked = scene.unanswered_pings().any(|ping| !recent(ping.sent));
    let given_up = |reset: &&Reset| reset.is_cancel && reset.by == scene.peer();
    let unanswered = |reset: &&Reset| reset.responded.is_none() && is_settled(scene, reset);
    let oldest = scene.resets.iter().filter(given_up).filter(unanswered);
    let oldest = oldest.min_by_key(|reset| reset.opened.map(Stamp::order))?;
    let age = scene.at.since(oldest.opened?);
    if harmless || asked || burst >= 20 {
        return None;
    }
    // Nothing heard and nothing else to do: only a handler of such a request can have moved.
    let alone = scene.open_count == 0 && scene.peer_quiet() > PROMPT.max(scene.round_trip() * 2);
    let confidence = match (alone, round_value(age).is_some()) {
        (true, _) => 0.74,
        (false, true) => 0.65,
        (false, false) => 0.45,
    };
    let mut step = told(scene, oldest, Confidence::new(confidence));
    step.summary = format!(
        "The {} {} though no frame of the {} breaks a rule; most likely its handler answered \
         stream {}, {} after the request and {} after the {} had given it up.",
        scene.by.name(),
        scene.ending_name(),
        scene.peer().name(),
        oldest.stream,
        spoken(age),
        spoken(scene.at.since(oldest.stamp)),
        scene.peer().name(),
    );
    Some(step)
}

fn is_settled(scene: &Scene<'_>, reset: &Reset) -> bool {
    scene.at.since(reset.stamp) > SETTLED.max(scene.round_trip() * 2)
}

/// The text is known, but the reset it speaks of is not in the capture.
fn unseen(scene: &Scene<'_>) -> Step {
    let summary = format!(
        "The {} {} because it answered a stream that was gone; the reset of that stream is not in \
         the capture.",
        scene.by.name(),
        scene.ending_name()
    );
    let confidence = Confidence::LIKELY;
    let mut step = Step::new(Cause::LateResponse, confidence, Blame::Server, summary);
    step.because = Some(Effect::Cancels(Vec::new()));
    step
}

#[cfg(test)]
mod tests {
    use super::super::tests::Talk;
    use super::*;

    fn given_up() -> Talk {
        let mut talk = Talk::opened();
        for number in 0..6_u32 {
            let at = 10.0 + f64::from(number) * 83.0;
            talk = talk.get(at, number * 2 + 1).cancel(at + 1500.0, number * 2 + 1);
        }
        talk.get(3000.0, 13)
    }

    #[test]
    fn the_server_trips_over_its_own_answer() {
        let text = "Request stream 3 is not correct for server connection";
        let end = format!("GOAWAY 2147483647 PROTOCOL_ERROR \"{text}\"");
        let verdict =
            given_up().s(5094.0, &end).s(5094.5, "FIN").is(Cause::ClientRequestTimeout, 0.9);
        assert_eq!(verdict.trigger, Cause::LateResponse);
        verdict.after(Cause::ClientRequestTimeout, 1.5).blames(Blame::Server);
        verdict.shows(&["HEADERS", "RST_STREAM", "GOAWAY"]);
        let late = verdict.late_answer.as_ref().unwrap();
        assert_eq!(late.stream, 3);
        assert!((late.answered_after.unwrap() - 5.0).abs() < 0.05);
        assert_eq!(verdict.maybe_processed_streams, [13]);
    }

    #[test]
    fn without_a_text_it_is_likely_at_most() {
        let quiet = Talk::opened().get(10.0, 1).get(25.0, 3).get(61.0, 5);
        let quiet = quiet.cancel(810.0, 1).cancel(825.0, 3).cancel(861.0, 5);
        let verdict = quiet
            .clone()
            .s(2613.0, "GOAWAY 2147483647 PROTOCOL_ERROR")
            .is(Cause::ClientRequestTimeout, 0.6);
        assert_eq!(verdict.trigger, Cause::LateResponse);
        assert_eq!(verdict.late_answer.as_ref().map(|late| late.stream), Some(1));
        assert!(verdict.confidence.value() < 0.8);
        let busy = given_up().s(5094.0, "GOAWAY 2147483647 PROTOCOL_ERROR").told();
        assert_eq!(busy.trigger, Cause::LateResponse, "{}", busy.summary);
        assert!(busy.confidence.value() < 0.8);
    }

    #[test]
    fn an_error_after_cancels_that_has_another_reason() {
        let end = "GOAWAY 2147483647 PROTOCOL_ERROR";
        let offended = given_up().c(5093.0, "DATA 0 3").s(5094.0, end);
        offended.is(Cause::ProtocolViolation, 0.9);
        // Late answers went out before and did no harm.
        let tolerant = given_up().s(2500.0, "HEADERS 1 :status=200\n+ DATA 1 9 END_STREAM");
        let verdict = tolerant.s(5094.0, end).told();
        assert_ne!(verdict.trigger, Cause::LateResponse, "{}", verdict.summary);
        let pinged = given_up().s(3100.0, "PING 0000000000000007").s(5100.0, end);
        pinged.is(Cause::KeepalivePingTimeout, 0.6);
    }

    #[test]
    fn wrong_stream_numbers_are_the_clients_fault() {
        let fields = ":method=GET :scheme=http :authority=a :path=/";
        let talk =
            Talk::opened().served(10.0, 1).c(100.0, &format!("HEADERS 4 END_STREAM {fields}"));
        let text = "Request stream 4 is not correct for client connection";
        let verdict = talk
            .s(100.6, &format!("GOAWAY 2147483647 PROTOCOL_ERROR \"{text}\""))
            .is(Cause::ProtocolViolation, 0.9);
        verdict.blames(Blame::Client);
    }

    #[test]
    fn frames_on_a_stream_that_the_client_reset_itself() {
        let talk = Talk::opened().post(10.0, 1).cancel(40.0, 1).c(90.0, "DATA 1 5");
        let verdict = talk.s(90.6, "GOAWAY 1 STREAM_CLOSED").told();
        assert_eq!(verdict.cause, Cause::StreamClosedViolation, "{}", verdict.summary);
    }

    #[test]
    fn less_sure_with_a_hole() {
        let text = "Request stream 3 is not correct for server connection";
        let end = format!("GOAWAY 2147483647 PROTOCOL_ERROR \"{text}\"");
        let verdict = given_up().hole(3100.0).s(5094.0, &end).told();
        assert_eq!(verdict.trigger, Cause::LateResponse);
        assert!(verdict.confidence.value() < 0.9);
    }
}
