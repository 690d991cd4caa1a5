//! What looks alike and is not: ends that cross a request, ages that agree by chance, errors that
//! come near something that did not cause them.

use super::tests::Talk;
use crate::vocab::cause::{Blame, Cause};
use crate::vocab::verdict::{Cancellation, Verdict};

/// Numbers that nobody set, the same in each run, from 0 to 1.
fn random(count: u32) -> impl Iterator<Item = f64> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    (0..count).map(move |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    })
}

fn sets(talk: &Talk) -> Vec<Cancellation> {
    talk.row().cancellations
}

#[test]
fn a_request_that_crosses_the_close_is_not_its_reason() {
    let idle = Talk::opened().served(10.0, 1).s(5020.2, "FIN").get(5020.3, 3).c(5020.6, "RST");
    let verdict = idle.is(Cause::IdleTimeout, 0.7);
    verdict.after(Cause::IdleTimeout, 5.0).blames(Blame::None);
    assert_eq!(verdict.maybe_processed_streams, [3]);
}

#[test]
fn an_answer_after_the_clients_close_comes_too_late() {
    let open = || Talk::opened().get(10.0, 1).c(3010.5, "FIN");
    let late = open().ok(5010.0, 1).c(5010.2, "RST");
    late.is_possible(Cause::ClientRequestTimeout).after(Cause::ClientRequestTimeout, 3.0);
    let reset = open().s(3011.0, "RST_STREAM 1 CANCEL").s(3012.0, "FIN");
    reset.is_possible(Cause::ClientRequestTimeout);
    // A client that goes on reading only has nothing more to ask.
    open().ok(5010.0, 1).s(5011.0, "FIN").is(Cause::ClientShutdown, 0.7);
}

#[test]
fn a_goaway_that_answers_a_close_has_the_reason_of_the_close() {
    let close = Talk::opened().get(10.0, 1).c(5010.5, "FIN");
    let verdict = close.s(5010.9, "GOAWAY 1 NO_ERROR").is_possible(Cause::ClientRequestTimeout);
    verdict.blames(Blame::Client).shows(&["HEADERS", "FIN", "GOAWAY"]);
    let done = Talk::opened().served(10.0, 1).c(5010.5, "FIN").s(5010.9, "GOAWAY 1 NO_ERROR");
    done.is(Cause::ClientShutdown, 0.9);
}

#[test]
fn closes_at_random_ages_are_no_timers() {
    let close = |age: f64| Talk::opened().get(10.0, 1).c(10.0 + age, "FIN");
    let talk = (1..).zip(random(60)).fold(Talk::opened(), |talk, (number, part)| {
        talk.again(number, f64::from(number) * 977.0, &close(200.0 + part * 30_000.0))
    });
    let told = talk.all_told();
    let timed = |least: f64| {
        let of = |told: &&Verdict| told.confidence.value() >= least;
        let timeouts = told.iter().filter(|told| told.cause == Cause::ClientRequestTimeout);
        timeouts.filter(of).count()
    };
    assert!(told.len() >= 60 && timed(0.8) == 0, "{} of {}", timed(0.8), told.len());
    assert!(timed(0.7) <= 4, "{} likely", timed(0.7));
}

#[test]
fn many_closes_at_one_age_are_a_timer_however_many() {
    let close = |late: f64| Talk::opened().get(10.0, 1).c(1387.0 + late, "FIN");
    let talk = (1..300_u16).zip(random(300)).fold(Talk::opened(), |talk, (number, part)| {
        talk.again(number, f64::from(number) * 977.0, &close(part * 3.0))
    });
    let told = talk.all_told();
    let timed = |told: &&Verdict| {
        told.cause == Cause::ClientRequestTimeout && told.confidence.value() >= 0.8
    };
    assert!(told.iter().filter(timed).count() >= 299, "{:?}", told.last());
}

#[test]
fn resets_at_random_ages_are_no_timers() {
    let talk = (0..).zip(random(60)).fold(Talk::opened(), |talk, (number, part)| {
        let (at, stream) = (10.0 + f64::from(number) * 613.0, 2 * number + 1);
        talk.get(at, stream).cancel(at + 60.0 * 50_f64.powf(part), stream)
    });
    let sure = |set: &&Cancellation| {
        set.cause == Cause::ClientRequestTimeout && set.confidence.value() >= 0.7
    };
    let found = sets(&talk);
    assert_eq!(found.iter().filter(sure).count(), 0, "{found:?}");
}

#[test]
fn crashes_after_random_silences_are_no_idle_timer() {
    let mut random = random(120);
    let mut sure = 0;
    for _ in 0..20 {
        let crash = |age: f64| Talk::opened().get(10.0, 1).s(10.0 + age, "RST");
        let talk = (2..7).fold(crash(1_300.0), |talk, number| {
            let age = 1000.0 + 24_000.0 * random.next().unwrap();
            talk.again(number, f64::from(number) * 31_000.0, &crash(age))
        });
        let told = talk.all_told();
        let idle = |told: &&Verdict| told.cause == Cause::IdleTimeout;
        sure += told.iter().filter(idle).filter(|told| told.confidence.value() >= 0.8).count();
    }
    assert!(sure <= 1, "{sure} of 120");
}

#[test]
fn drains_after_random_silences_are_seldom_idle_timers() {
    let likely = random(60).filter(|part| {
        let at = 20.0 + 1000.0 * 300_f64.powf(*part);
        let told = Talk::opened().served(10.0, 1).s(at, "GOAWAY 1 NO_ERROR").told();
        told.cause == Cause::IdleTimeout && told.confidence.value() >= 0.7
    });
    let likely = likely.count();
    assert!(likely <= 12, "{likely} of 60");
}

#[test]
fn a_limit_that_was_passed_long_ago_is_not_the_reason() {
    let crowd = (0..6).fold(Talk::with_settings("MAX_CONCURRENT_STREAMS=4"), |talk, number| {
        talk.get(50.0 + f64::from(number), number * 2 + 1)
    });
    let served =
        (0..6).fold(crowd, |talk, number| talk.ok(90.0 + f64::from(number), number * 2 + 1));
    let told = served.s(20_000.0, "GOAWAY 11 INTERNAL_ERROR").told();
    assert_ne!(told.cause, Cause::MaxConcurrentStreamsExceeded, "{}", told.summary);
}

#[test]
fn numbers_in_a_text_are_streams_only_where_it_says_so() {
    let talk = |text: &str| {
        let given_up = Talk::opened().get(10.0, 5).cancel(1510.0, 5).get(20.0, 7).cancel(1520.0, 7);
        given_up.s(5000.0, &format!("GOAWAY 7 INTERNAL_ERROR \"{text}\"")).told()
    };
    for text in ["upstream 10.0.0.5:443 reset", "pool 7 exhausted", "downstream took 5 s"] {
        let told = talk(text);
        assert_eq!(told.cause, Cause::InternalError, "{text}: {}", told.summary);
        assert!(told.late_answer.is_none());
    }
    for text in ["Request stream 5 is not correct", "unknown stream id=5", "streamId: 5 is closed"]
    {
        assert_eq!(talk(text).late_answer.map(|late| late.stream), Some(5), "{text}");
    }
}

#[test]
fn an_error_right_after_a_frame_is_no_timeout_of_the_handshake() {
    let talk =
        Talk::opened().c(500.0, "FRAME 0x10 0 0 00000001").s(500.4, "GOAWAY 0 PROTOCOL_ERROR");
    let told = talk.told();
    assert_ne!(told.cause, Cause::HandshakeTimeout, "{}", told.summary);
}

#[test]
fn ages_that_a_server_spreads_are_one_setting() {
    // Each ended by itself, at its own time, 9 to 11 s old, with requests on their way.
    let aged = |age: f64, count: u32| {
        let busy = (0..count).fold(Talk::opened(), |talk, n: u32| {
            talk.served(20.0 + f64::from(n) * (age - 60.0) / f64::from(count), 2 * n + 1)
        });
        let last = 2 * count + 1;
        busy.get(age - f64::from(count - 18) * 11.0, last)
            .s(age, "GOAWAY 2147483647 NO_ERROR")
            .ok(age + 3.0, last)
    };
    let (second, third) = (aged(10_840.0, 23), aged(9_950.0, 19));
    let talk = aged(9_310.0, 21).again(2, 1_907.0, &second).again(3, 4_303.0, &third);
    let told = talk.all_told();
    assert!(told.iter().all(|told| told.cause == Cause::MaxConnectionAge), "{told:?}");
    assert!(told.iter().all(|told| told.confidence.value() < 0.9));
}

#[test]
fn a_time_for_the_whole_answer_runs_out_while_it_comes() {
    let talk = (0..5_u32).fold(Talk::opened(), |talk, n| {
        let (at, stream) = (10.0 + f64::from(n) * 1733.0, 2 * n + 1);
        let talk = talk.get(at, stream).s(at + 20.0, &format!("HEADERS {stream} :status=200"));
        let steps = [300.0, 1900.0, 3100.0 + f64::from(n) * 171.0];
        let data = format!("DATA {stream} 100");
        let talk = steps.iter().fold(talk, |talk, step| talk.s(at + step, &data));
        talk.cancel(at + 4000.4, stream)
    });
    let found = sets(&talk);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].cause, Cause::ClientRequestTimeout);
    assert!((found[0].timeout.as_ref().unwrap().seconds - 4.0).abs() < 0.01);
}

#[test]
fn the_loser_of_a_race_had_no_timeout() {
    // Two copies of each request; the first answer ends the other one.
    let talk = (0..8_u32).fold(Talk::opened(), |talk, n| {
        let (at, stream) = (10.0 + f64::from(n) * 2000.0, 4 * n + 1);
        let talk = talk.get(at, stream).get(at + 3.0, stream + 2);
        talk.ok(at + 900.0, stream).cancel(at + 900.6, stream + 2)
    });
    let found = sets(&talk);
    assert!(found.iter().all(|set| set.cause == Cause::ClientCancelBurst), "{found:?}");
}

#[test]
fn a_search_that_is_typed_over_is_no_sure_timeout() {
    let talk = (0..12_u32).fold(Talk::opened(), |talk, n| {
        let (at, stream) = (10.0 + f64::from(n) * 150.0, 2 * n + 1);
        talk.get(at, stream).cancel(at + 149.5, stream)
    });
    let found = sets(&talk);
    assert!(found.iter().all(|set| set.confidence.value() < 0.7), "{found:?}");
}
