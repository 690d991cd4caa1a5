//! The connection reached the age at which it is replaced.

use std::time::Duration;

use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::error_code::ErrorCode;
use crate::vocab::frame::LAST_STREAM_MAX;
use crate::vocab::verdict::{ConfiguredIn, Step, Timeout};

use super::chance::round_value;
use super::explain::Explain;
use super::scene::{Scene, spoken};
use super::{Detector, evidence};

/// The detector.
pub const DETECTOR: Detector = Detector {
    name: Cause::MaxConnectionAge,
    explain: Explain {
        what: "The server replaces connections that have reached a configured age, to spread load \
               or pick up changes.",
        on_the_wire: "GOAWAY(NO_ERROR), in gRPC with 'max_age' and first with 2^31-1, at one age \
                      of every connection, give or take 10 % of jitter; requests may be running.",
        looks_alike: "A deploy ends connections of different ages at one moment. An idle end comes \
                      one idle time after the last request.",
        known: "gRPC max_connection_age, Envoy max_connection_duration, nginx keepalive_time 1 h.",
        what_to_do: "Nothing: the age limit is meant to do this. The grace period after it has to \
                     be longer than the longest call, and clients go on with a new connection.",
    },
    step,
};

/// Nobody replaces connections that are younger.
const SHORTEST: Duration = Duration::from_millis(300);

/// Ages that a setting may have without a text that says so.
const LONG: Duration = Duration::from_secs(1);

/// Whether the GOAWAY answers the first request after a round age of the connection.
fn crossed(scene: &Scene<'_>, age: Duration) -> bool {
    let Some((_, newest)) = scene.goaway.and_then(|goaway| goaway.newest) else { return false };
    let prompt = scene.at.since(newest) <= Duration::from_millis(3);
    let before = scene.last_octets.second.map(|last| last.since(scene.history.first));
    let second = age.as_secs();
    prompt && second >= 1 && before.is_some_and(|before| before.as_secs() < second)
}

fn step(scene: &Scene<'_>) -> Option<Step> {
    let goaway = scene.goaway?;
    if scene.by != Side::Server || goaway.code != ErrorCode::NO_ERROR || goaway.after_peer_close {
        return None;
    }
    let by_text = scene.debug().contains("max_age");
    let age = scene.age();
    let whole = !scene.history.joined_midway;
    let busy = scene.open_count > 0 || scene.quiet() < age / 8;
    // Where requests are what it is noticed by: the first one past a round age.
    let gap = crossed(scene, age);
    let two_step = goaway.last_stream_id == LAST_STREAM_MAX;
    let confidence = match (by_text, whole, busy && round_value(age).is_some()) {
        (true, ..) if age >= SHORTEST => 0.95,
        (true, ..) => 0.75,
        (false, true, _) if gap => 0.5,
        (false, true, true) if age >= SHORTEST => 0.4,
        // Ages are spread on purpose, by 5 or 10 %.
        (false, true, false) if two_step && busy && age >= LONG => 0.4,
        _ => return None,
    };
    let least = if whole { "" } else { "at least " };
    let summary = format!(
        "The server {} because the connection had reached its maximum age, {least}{}.",
        scene.ending_name(),
        spoken(age)
    );
    let confidence = scene.despite_holes(Confidence::new(confidence));
    let mut step = Step::new(Cause::MaxConnectionAge, confidence, Blame::None, summary);
    let text = "first packet of the connection".to_string();
    step.evidence.push(evidence::on_connection(scene.history.first, Side::Client, "SYN", text));
    step.timeout = Some(Timeout {
        kind: Cause::MaxConnectionAge,
        seconds: age.as_secs_f64(),
        at_least: !whole,
        spread_seconds: 0.0,
        samples: 1,
        configured_in: ConfiguredIn::Server,
    });
    Some(step)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Talk;
    use super::*;

    #[test]
    fn told_by_the_text_and_an_age() {
        let talk = Talk::opened().served(10.0, 1).get(6800.0, 3);
        let talk = talk.s(6930.0, "GOAWAY 2147483647 NO_ERROR \"max_age\"");
        let verdict = talk.is(Cause::MaxConnectionAge, 0.9);
        verdict.after(Cause::MaxConnectionAge, 6.93).blames(Blame::None);
    }

    #[test]
    fn equal_ages_at_different_times() {
        let one = |asked: f64| {
            Talk::opened().served(10.0, 1).get(asked, 3).s(9003.0, "GOAWAY 3 NO_ERROR")
        };
        let talk = one(8850.0).again(2, 2311.0, &one(8931.0)).again(3, 4789.0, &one(8702.0));
        talk.is(Cause::MaxConnectionAge, 0.8).after(Cause::MaxConnectionAge, 9.0);
    }

    #[test]
    fn equal_idle_times_are_idle() {
        let one =
            |asked: f64| Talk::opened().served(asked, 1).s(asked + 5011.0, "GOAWAY 1 NO_ERROR");
        let talk = one(10.0).again(2, 7311.0, &one(831.0)).again(3, 14_789.0, &one(202.0));
        talk.is(Cause::IdleTimeout, 0.9).after(Cause::IdleTimeout, 5.0);
    }

    #[test]
    fn a_text_without_an_age_is_not_enough() {
        let talk = Talk::opened().get(5.0, 1).hole(20.0).s(60.0, "GOAWAY 1 NO_ERROR \"max_age\"");
        talk.is_unsure(Cause::MaxConnectionAge);
    }
}
