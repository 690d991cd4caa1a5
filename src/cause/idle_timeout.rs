//! Nothing was asked for, or nothing was sent, for a fixed time.

use std::time::Duration;

use crate::track::history::OpenStream;
use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::error_code::ErrorCode;
use crate::vocab::frame::{FrameType, LAST_STREAM_MAX};
use crate::vocab::time::Stamp;
use crate::vocab::verdict::{Step, Timeout};

use super::chance::{is_setting, is_timer, round_value};
use super::explain::Explain;
use super::scene::{PROMPT, Scene, spoken};
use super::{Detector, evidence, implementation};

/// The detector.
pub const DETECTOR: Detector = Detector {
    name: Cause::IdleTimeout,
    explain: Explain {
        what: "The connection was not used for the idle time that one side is configured with.",
        on_the_wire: "No open stream (with servers that count octets, Vert.x for one: no octet, \
                      even while requests wait) for a fixed time; then GOAWAY(NO_ERROR), or a bare \
                      close.",
        looks_alike: "A drain that happens to hit an idle connection: then other connections of \
                      the server end at the same moment. max_connection_age: there the age of the \
                      connections is equal, not their idle time.",
        known: "nginx keepalive_timeout 75 s, Go IdleTimeout, HAProxy timeout http-keep-alive, \
                h2o 10 s, Apache KeepAliveTimeout 5 s (debug 'timeout'), Envoy 1 h, AWS ALB 60 s, \
                gRPC max_connection_idle; Vert.x closes without GOAWAY.",
        what_to_do: "Usually nothing. To avoid races let the side that opens requests close idle \
                     connections first: client idle below proxy idle below server idle.",
    },
    step,
};

/// With requests waiting, a silence must be this long before it may be a timer: answers are slow
/// too.
const LONG: Duration = Duration::from_secs(1);

/// Gaps shorter than this are no idle timer.
const SHORTEST: Duration = Duration::from_millis(400);

fn step(scene: &Scene<'_>) -> Option<Step> {
    let debug = scene.debug();
    let idle_word = debug.contains("idle") && !speaks_of_state(&debug);
    let timeout_word = debug.contains("timeout") || debug.contains("timed_out");
    let benign = match scene.code() {
        Some(ErrorCode::NO_ERROR) | None => true,
        // Whoever hears nothing, has nothing open and still ends it has only a timer to do so.
        Some(ErrorCode::INTERNAL_ERROR) => idle_word || is_alone(scene),
        Some(_) => idle_word,
    };
    // A client that closes when it has nothing more to ask is done (see client_shutdown), unless
    // the pool that it lies in counts the time.
    let pooled = scene.by == Side::Client && !(idle_word || timeout_word);
    if !benign || scene.aborted || (pooled && !may_be_pooled(scene)) {
        return None;
    }
    if scene.goaway.is_some_and(|goaway| goaway.after_peer_close)
        || scene.just_heard()
        || scene.offence_before().is_some()
        || scene.open.iter().any(|stream| !stream.described)
    {
        return None;
    }
    if scene.is_blind() {
        return unseen(scene, idle_word || timeout_word);
    }
    let (span, since) = measure(scene)?;
    let round = round_value(span).is_some();
    let opened = scene.opened.first + scene.opened.second;
    let handshaken = scene.frames.first.of(FrameType::SETTINGS) > 0;
    if opened == 0 && scene.goaway.is_none() && !handshaken {
        return None; // the handshake never ended
    }
    let confidence = match (idle_word, timeout_word, scene.open_count == 0) {
        (true, ..) => 0.93,
        _ if pooled => 0.45,
        (_, true, _) if is_setting(span) => 0.85,
        (_, true, _) if round => 0.72,
        // Some write it whatever made them go (Apache at a graceful restart).
        (_, true, _) => 0.38,
        _ if scene.is_error() && is_setting(span) => 0.66,
        _ if scene.is_error() => 0.55,
        // A single silence: only a length that people set tells it from a shutdown at that moment.
        (_, _, true) if is_setting(span) => 0.72,
        (_, _, true) if round => 0.55,
        (_, _, true) if scene.goaway.is_some() => 0.5,
        (_, _, true) => 0.45,
        // Who promises to finish what is open counts streams, not octets.
        (_, _, false) if promises(scene) => 0.5,
        // Something waited: the server may have counted that request's time as well.
        (_, _, false) if is_timer(span) && counts_streams(scene) => 0.2,
        (_, _, false) if is_timer(span) => 0.61,
        (_, _, false) if round && span >= LONG && scene.cut_off().is_some() => 0.6,
        (_, _, false) => 0.3,
    };
    // Who still waits for a PING has lost its peer rather than its patience; who fell silent at a
    // broken rule waits before it closes.
    let doubtful = scene.lost_ping().is_some() || scene.silenced_by().is_some();
    let least = Confidence::new(if doubtful { 0.45 } else { 1.0 });
    let confidence = scene.despite_holes(Confidence::new(confidence).and(least));
    Some(told(scene, span, since, confidence))
}

/// Whether the sender is known for an idle timer that runs only while no stream is open.
fn counts_streams(scene: &Scene<'_>) -> bool {
    let speaks = implementation::of_side(scene.history, scene.by);
    speaks.is_some_and(|speaks| implementation::counts_streams(&speaks.name))
}

/// Whether a client's end may be that of an idle timer of its pool: it had been served, and was
/// silent for a length that people set.
fn may_be_pooled(scene: &Scene<'_>) -> bool {
    let used = scene.opened.first > 0 && scene.open_count == 0 && !scene.gave_up_just_before();
    used && measure(scene).is_some_and(|(span, _)| is_timer(span))
}

/// Whether the GOAWAY is the first of two, the second of which names the last stream.
fn promises(scene: &Scene<'_>) -> bool {
    scene.goaway.is_some_and(|goaway| goaway.last_stream_id == LAST_STREAM_MAX)
}

/// Of a connection whose use is not in the capture: how long it was idle has a lower bound, and
/// that it was is one explanation among others.
fn unseen(scene: &Scene<'_>, told: bool) -> Option<Step> {
    scene.goaway?;
    let by = scene.by.name();
    let span = scene.age();
    let after = match span >= SHORTEST {
        true => format!(" after at least {} in which nothing was asked for", spoken(span)),
        false => ", as an idle timer would,".to_owned(),
    };
    let summary = format!(
        "The {by} {}{after} on a connection that is older than the capture.",
        scene.ending_name()
    );
    let sure = match (told, promises(scene)) {
        (true, _) => 0.85,
        (_, true) => 0.35,
        _ => 0.4,
    };
    let confidence = Confidence::new(sure);
    let mut step = Step::new(Cause::IdleTimeout, confidence, Blame::None, summary);
    if span >= SHORTEST {
        let timeout = Timeout::once(Cause::IdleTimeout, span, scene.by.into());
        step.timeout = Some(Timeout { at_least: true, ..timeout });
    }
    Some(step)
}

/// Whether the debug data names the state of a stream (RFC 9113 section 5.1), not a time.
fn speaks_of_state(debug: &str) -> bool {
    ["stream in idle", "idle stream", "idle state", "stream is idle"]
        .iter()
        .any(|t| debug.contains(t))
}

/// Nothing open, nothing heard for long and for a round time: no frame was answered.
fn is_alone(scene: &Scene<'_>) -> bool {
    let silent = scene.open_count == 0 && scene.quiet() >= LONG && scene.peer_quiet() >= LONG;
    let timed = measure(scene).is_some_and(|(span, _)| round_value(span).is_some());
    silent && timed && scene.opened.side(Side::Client) > &0
}

fn told(scene: &Scene<'_>, span: Duration, since: Stamp, confidence: Confidence) -> Step {
    let by = scene.by.name();
    // What it resets in the same go had waited, too.
    let count = scene.open_count + scene.given_up(PROMPT);
    let waiting = match count {
        0 => "in which nothing was asked for".to_string(),
        1 => "without an octet, with 1 request waiting".to_string(),
        count => format!("without an octet, with {count} requests waiting"),
    };
    let unsent = |stream: &OpenStream| stream.by == Side::Client && !stream.request_ended;
    let (waiting, blame) = match count {
        0 => (waiting, Blame::None),
        _ if scene.by == Side::Server
            && !scene.open.is_empty()
            && scene.open.iter().all(unsent) =>
        {
            ("in which the client did not go on with what it was sending".into(), Blame::Server)
        }
        _ => (waiting, scene.by.into()),
    };
    let summary = format!("The {by} {} after {} {waiting}.", scene.ending_name(), spoken(span));
    let mut step = Step::new(Cause::IdleTimeout, confidence, blame, summary);
    let by_client = [scene.last_message.first, scene.last_octets.first].contains(&Some(since));
    let by = if by_client { Side::Client } else { Side::Server };
    let text = match since {
        first if first == scene.history.first => "the connection's first packet",
        last if scene.idle_since == Some(last) => "the last stream ends here",
        _ => "the last octets before the silence",
    };
    step.evidence.push(evidence::on_connection(since, by, "silence", text.to_string()));
    step.timeout = Some(Timeout::once(Cause::IdleTimeout, span, scene.by.into()));
    step
}

/// The idle time and where it began: since the last stream ended, or since the last octet,
/// whichever a person would have configured.
fn measure(scene: &Scene<'_>) -> Option<(Duration, Stamp)> {
    let quiet = scene.quiet_since();
    let span = |since: Stamp| scene.at.since(since);
    let idle = scene.idle_since.filter(|_| scene.open_count == 0);
    let since = match idle {
        None => quiet,
        Some(idle) => {
            // Resets are no use of the connection: some count from the last message.
            let candidates = [idle, scene.latest_message().unwrap_or(idle), quiet];
            let late =
                |since: &Stamp| round_value(span(*since)).map(|round| span(*since).abs_diff(round));
            let round = candidates.into_iter().filter(|since| late(since).is_some());
            round.min_by_key(late).unwrap_or(idle)
        }
    };
    (span(since) >= SHORTEST).then_some((span(since), since))
}

#[cfg(test)]
mod tests {
    use super::super::tests::Talk;
    use super::*;

    #[test]
    fn nothing_asked_for() {
        let talk =
            Talk::opened().served(10.0, 1).s(17_020.8, "GOAWAY 1 NO_ERROR").s(17_021.0, "FIN");
        let verdict = talk.is(Cause::IdleTimeout, 0.7);
        verdict.after(Cause::IdleTimeout, 17.0).blames(Blame::None).shows(&["silence", "GOAWAY"]);
    }

    #[test]
    fn one_silence_of_any_length_may_as_well_be_a_shutdown() {
        let one = |end: &str, silence: f64| Talk::opened().served(10.0, 1).s(20.0 + silence, end);
        for end in ["GOAWAY 1 NO_ERROR", "FIN"] {
            for silence in [3139.0, 7268.0, 21_733.0] {
                let verdict = one(end, silence).told();
                assert!(verdict.confidence.value() < 0.6, "{silence}: {}", verdict.summary);
            }
        }
        // Again and again it is none.
        let one = |at: f64, silence: f64| {
            Talk::opened().served(at, 1).s(at + 10.0 + silence, "GOAWAY 1 NO_ERROR")
        };
        let talk = one(10.0, 7268.0).again(2, 2311.0, &one(931.0, 7269.0));
        talk.again(3, 5789.0, &one(402.0, 7268.5)).is(Cause::IdleTimeout, 0.9);
    }

    #[test]
    fn an_error_code_for_an_idle_end() {
        let talk = Talk::opened().served(10.0, 1).s(17_020.8, "GOAWAY 1 INTERNAL_ERROR");
        talk.is(Cause::IdleTimeout, 0.6).after(Cause::IdleTimeout, 17.0);
        // An exception comes with what it chokes on, or at any time.
        let exception = Talk::opened().served(10.0, 1).get(17_020.0, 3);
        exception.s(17_020.8, "GOAWAY 3 INTERNAL_ERROR").is_unsure(Cause::InternalError);
        let odd = Talk::opened().served(10.0, 1).s(17_163.0, "GOAWAY 1 INTERNAL_ERROR");
        odd.is_unsure(Cause::InternalError);
    }

    #[test]
    fn the_state_of_a_stream_is_no_time() {
        let text = "DATA: stream in idle";
        let talk = Talk::default().c(1.0, "PING").s(1.2, "PING ACK");
        let talk = talk.s(30.8, &format!("GOAWAY 7 PROTOCOL_ERROR \"{text}\""));
        assert_ne!(talk.told().cause, Cause::IdleTimeout, "{}", talk.told().summary);
    }

    #[test]
    fn the_silence_is_shown_even_where_nothing_was_asked() {
        let talk = Talk::opened().s(12_003.0, "GOAWAY 0 NO_ERROR");
        talk.is(Cause::IdleTimeout, 0.6).shows(&["silence", "GOAWAY"]);
    }

    #[test]
    fn pings_do_not_count() {
        let talk = Talk::opened().served(10.0, 1).c(9000.0, "PING").s(9000.2, "PING ACK");
        let talk = talk.s(17_020.8, "GOAWAY 1 NO_ERROR");
        talk.is(Cause::IdleTimeout, 0.7).after(Cause::IdleTimeout, 17.0);
    }

    #[test]
    fn octets_counted_while_requests_wait() {
        let talk = Talk::opened().served(10.0, 1).get(90.0, 3).s(11_090.4, "FIN");
        let verdict = talk.is(Cause::IdleTimeout, 0.6);
        verdict.after(Cause::IdleTimeout, 11.0).blames(Blame::Server);
        // The request's own time was over in the same moment.
        let rival = verdict.alternatives.first().map(|other| other.cause);
        assert_eq!(rival, Some(Cause::ServerRequestTimeout));
        assert!(verdict.confidence.value() < 0.7);
    }

    #[test]
    fn idle_after_cancels_stays_idle() {
        let mut talk = Talk::opened();
        for number in 0..8_u32 {
            let at = 10.0 + f64::from(number) * 51.0;
            talk = talk.get(at, number * 2 + 1).cancel(at + 700.0, number * 2 + 1);
        }
        talk.s(9067.6, "GOAWAY 15 NO_ERROR").is(Cause::IdleTimeout, 0.7);
    }

    #[test]
    fn several_at_one_moment_are_a_drain() {
        let one = Talk::opened().served(10.0, 1).s(3731.0, "GOAWAY 1 NO_ERROR");
        let two = Talk::opened().served(10.0, 1).get(2110.0, 3).s(3239.0, "GOAWAY 3 NO_ERROR");
        one.again(2, 500.0, &two).is(Cause::GracefulShutdown, 0.8);
    }

    #[test]
    fn less_sure_with_a_hole() {
        let talk = Talk::opened().served(10.0, 1).hole(40.0).s(17_040.8, "GOAWAY 1 NO_ERROR");
        talk.is_unsure(Cause::IdleTimeout);
    }

    #[test]
    fn what_came_before_the_capture_is_not_measured() {
        let alone = Talk::default().s(5000.0, "GOAWAY 41 NO_ERROR").c(5000.2, "WINDOW_UPDATE 0 9");
        alone.is_unsure(Cause::IdleTimeout);
        // As long as the capture has it, and nobody knows how long before.
        let pinged = Talk::default().c(10.0, "PING").s(10.2, "PING ACK");
        let pinged = pinged.s(4010.0, "GOAWAY 41 NO_ERROR").c(4010.2, "WINDOW_UPDATE 0 9");
        let verdict = pinged.told();
        assert_eq!(verdict.cause, Cause::IdleTimeout);
        let timeout = verdict.timeout.as_ref().unwrap();
        assert!(timeout.at_least && verdict.confidence.value() < 0.5, "{}", verdict.summary);
        // A stream that was seen to end is where idling began.
        let seen = Talk::default().c(1.0, "PING").s(1.2, "PING ACK").get(5.0, 7).ok(20.0, 7);
        let seen = seen.s(4020.8, "GOAWAY 7 NO_ERROR").is(Cause::IdleTimeout, 0.7);
        assert!(seen.timeout.as_ref().is_some_and(|timeout| !timeout.at_least));
    }

    #[test]
    fn what_is_answered_at_once_was_no_silence() {
        let talk = Talk::opened().served(10.0, 1).c(420.0, "DATA 1 7");
        let verdict = talk.s(420.05, "GOAWAY 1 NO_ERROR").told();
        assert_ne!(verdict.cause, Cause::IdleTimeout, "{}", verdict.summary);
        verdict.blames(Blame::Client);
    }
}
