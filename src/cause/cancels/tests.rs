//! Which resets belong together, and why.

use super::super::tests::Talk;
use super::*;

fn sets(talk: &Talk) -> Vec<Cancellation> {
    talk.row().cancellations
}

/// Requests every `apart` ms, each reset by the server at the age that `age` gives, in ms.
fn cut_off(code: &str, count: u32, apart: f64, age: impl Fn(u32) -> f64) -> Talk {
    (0..count).fold(Talk::opened(), |talk, n| {
        let (at, stream) = (10.0 + f64::from(n) * apart, 2 * n + 1);
        talk.get(at, stream).s(at + age(n), &format!("RST_STREAM {stream} {code}"))
    })
}

#[test]
fn a_timer_of_the_server_that_fires_late() {
    let found = sets(&cut_off("CANCEL", 5, 125.0, |n| 921.0 + f64::from(n) * 9.0));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].cause, found[0].by), (Cause::ServerRequestTimeout, Side::Server));
    let timeout = found[0].timeout.as_ref().unwrap();
    assert!((timeout.seconds - 0.921).abs() < 0.002, "{timeout:?}");
    assert_eq!(timeout.samples, 5);
}

#[test]
fn handlers_that_fail_are_no_timer() {
    assert!(sets(&cut_off("INTERNAL_ERROR", 2, 50.0, |_| 200.5)).is_empty());
    let found = sets(&cut_off("INTERNAL_ERROR", 4, 150.0, |_| 1100.5));
    assert_eq!(found[0].cause, Cause::ServerRequestTimeout);
}

#[test]
fn resets_of_many_codes_are_no_timer() {
    let codes = ["NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "STREAM_CLOSED", "CANCEL"];
    let talk = codes.iter().zip(0u32..).fold(Talk::opened(), |talk, (code, n)| {
        let (at, stream) = (10.0 + f64::from(n) * 300.0, 2 * n + 1);
        talk.get(at, stream).s(at + 300.5, &format!("RST_STREAM {stream} {code}"))
    });
    assert!(sets(&talk).is_empty());
}

#[test]
fn resets_that_answer_a_goaway_have_no_cause_of_their_own() {
    let talk = Talk::opened().get(10.0, 1).get(20.0, 3).s(500.0, "GOAWAY 0 NO_ERROR");
    assert!(sets(&talk.clone().cancel(502.0, 1).cancel(502.1, 3)).is_empty());
    // The client had begun to give up before.
    let talk = talk.get(30.0, 5).cancel(480.0, 5);
    let found = sets(&talk.cancel(502.0, 1).cancel(502.1, 3));
    assert_eq!(found.iter().map(|set| set.streams.len()).sum::<usize>(), 3, "{found:?}");
}

#[test]
fn requests_refused_or_cut_off_together_are_no_timer() {
    assert!(sets(&cut_off("REFUSED_STREAM", 3, 100.0, |_| 2000.0)).is_empty());
    // Opened within 60 ms, reset in one moment.
    let one_moment = |n: u32| 3700.0 - f64::from(n) * 30.0;
    assert!(sets(&cut_off("CANCEL", 3, 30.0, one_moment)).is_empty());
}

#[test]
fn one_decision_over_requests_of_many_ages() {
    // Opened 70 ms apart; the busy client's resets leave within 110 ms. Some ages are round.
    let talk = (0..12).fold(Talk::opened(), |talk, n| {
        let (at, stream) = (10.0 + f64::from(n) * 70.0, 2 * n + 1);
        talk.get(at, stream).cancel(1400.0 + f64::from(n) * 10.0, stream)
    });
    let found = sets(&talk);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].cause, found[0].streams.len()), (Cause::ClientCancelBurst, 12));
}

#[test]
fn lone_resets_at_round_ages_far_apart_stay_timeouts() {
    let talk = Talk::opened().get(10.0, 1).cancel(1010.5, 1).get(3000.0, 3).cancel(5001.0, 3);
    let found = sets(&talk);
    let causes: Vec<Cause> = found.iter().map(|set| set.cause).collect();
    assert_eq!(causes, [Cause::ClientRequestTimeout; 2]);
}

#[test]
fn the_longest_deadline_is_the_configured_one() {
    let fields = ":method=POST :scheme=http :authority=a :path=/a.B/C \
                  content-type=application/grpc te=trailers";
    // The first waited for its connection.
    let deadlines = ["630543u", "699801u", "699755u"];
    let talk = deadlines.iter().zip(0u32..).fold(Talk::opened(), |talk, (left, n)| {
        let (at, stream) = (10.0 + f64::from(n) * 100.0, 2 * n + 1);
        let headers = format!("HEADERS {stream} END_STREAM {fields} grpc-timeout={left}");
        let left = left.trim_end_matches('u').parse::<f64>().unwrap() / 1e3;
        talk.c(at, &headers).cancel(at + left, stream)
    });
    let found = sets(&talk);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!((found[0].timeout.as_ref().unwrap().seconds - 0.7).abs() < 1e-9);
}

#[test]
fn pages_that_were_left_are_decisions_though_ages_of_several_moments_agree() {
    // Three pages: eight requests within 0.4 s, five of them given up in one moment each.
    let talk = (0..3).fold(Talk::opened(), |talk, page| {
        let (at, first) = (10.0 + f64::from(page) * 3000.0, page as u32 * 16 + 1);
        let talk = (0..8).fold(talk, |talk, n| talk.get(at + f64::from(n) * 50.0, first + 2 * n));
        let talk = (0..3).fold(talk, |talk, n| talk.ok(at + 450.0 + f64::from(n), first + 2 * n));
        (3..8).fold(talk, |talk, n| talk.cancel(at + 700.0 + f64::from(n), first + 2 * n))
    });
    let found = sets(&talk);
    assert!(found.iter().all(|set| set.cause == Cause::ClientCancelBurst), "{found:?}");
    assert_eq!(found.iter().map(|set| set.streams.len()).sum::<usize>(), 15);
}

#[test]
fn one_reset_of_the_server_at_a_set_age_is_possible_a_timer() {
    let one = |code: &str, age: f64| sets(&cut_off(code, 1, 0.0, |_| age).served(20_000.0, 9));
    for code in ["CANCEL", "INTERNAL_ERROR"] {
        let found = one(code, 5_001.0);
        assert_eq!(found.len(), 1, "{code}");
        assert_eq!((found[0].cause, found[0].by), (Cause::ServerRequestTimeout, Side::Server));
        assert!(found[0].confidence.value() <= 0.5, "{found:?}");
    }
    // A handler that fails, a refusal, and what a drain leaves behind.
    assert!(one("INTERNAL_ERROR", 5_237.0).is_empty());
    assert!(one("REFUSED_STREAM", 5_001.0).is_empty());
    let drained = Talk::opened().get(10.0, 1).s(3_000.0, "GOAWAY 1 NO_ERROR");
    assert!(sets(&drained.s(5_011.0, "RST_STREAM 1 CANCEL")).is_empty());
}

#[test]
fn a_message_that_stopped_half_way_is_given_up_after_a_silence() {
    for code in ["PROTOCOL_ERROR", "INTERNAL_ERROR", "NO_ERROR"] {
        let upload = Talk::opened().post(10.0, 1).c(900.0, "DATA 1 400");
        let reset = |at: f64| upload.clone().s(at, &format!("RST_STREAM 1 {code}"));
        let found = sets(&reset(2_902.0).served(9_000.0, 3));
        assert_eq!(found.len(), 1, "{code}");
        assert_eq!((found[0].cause, found[0].by), (Cause::StreamIdleTimeout, Side::Server));
        assert!((found[0].timeout.as_ref().unwrap().seconds - 2.0).abs() < 0.01);
        // At once, or at no length that a person sets, it did not like what came.
        assert!(sets(&reset(900.7).served(9_000.0, 3)).is_empty());
        assert!(sets(&reset(2_661.0).served(9_000.0, 3)).is_empty());
    }
    // The client opened no window for the rest of the answer.
    let stalled = Talk::opened().get(10.0, 1).s(20.0, "HEADERS 1 :status=200\n+ DATA 1 900");
    let found = sets(&stalled.s(3_021.0, "RST_STREAM 1 INTERNAL_ERROR").served(9_000.0, 3));
    assert_eq!(found.first().map(|set| set.cause), Some(Cause::StreamIdleTimeout), "{found:?}");
}

#[test]
fn a_malformed_deadline_is_no_deadline_and_not_none() {
    let asked = |timeout: &str| {
        let fields = ":method=POST :scheme=http :authority=a :path=/a.B/C \
                      content-type=application/grpc te=trailers";
        let headers = format!("HEADERS 1 END_STREAM {fields} grpc-timeout={timeout}");
        sets(&Talk::opened().c(10.0, &headers).cancel(723.0, 1))
    };
    let legal = asked("713000u");
    assert_eq!(legal[0].cause, Cause::ClientRequestTimeout);
    assert!(legal[0].confidence.value() >= 0.9);
    // Nine digits.
    let found = asked("713000000n");
    assert!(found[0].confidence.value() <= 0.6 && found[0].timeout.is_none(), "{found:?}");
}

#[test]
fn calls_that_waited_for_a_free_stream_have_one_deadline() {
    let fields = ":method=POST :scheme=http :authority=a :path=/a.B/C \
                  content-type=application/grpc te=trailers";
    // All were called at 3 ms with 2.5 s; the server lets few run at once.
    let sent = [10.0, 960.0, 1010.0, 1939.0, 1960.0, 2502.0];
    let talk = sent.iter().zip(0u32..).fold(Talk::opened(), |talk, (at, n)| {
        let (left, stream) = (2503.0 - at, 2 * n + 1);
        let headers = format!("HEADERS {stream} END_STREAM {fields} grpc-timeout={left:.0}m");
        talk.c(*at, &headers).cancel(2504.0 + f64::from(n) * 0.1, stream)
    });
    let found = sets(&talk);
    assert_eq!(found.len(), 1, "{found:?}");
    let timeout = found[0].timeout.as_ref().unwrap();
    assert!((timeout.seconds - 2.5).abs() < 1e-9 && timeout.samples == 6, "{timeout:?}");
}

#[test]
fn what_is_left_of_the_first_calls_is_no_setting() {
    let fields = ":method=POST :scheme=http :authority=a :path=/a.B/C \
                  content-type=application/grpc te=trailers";
    let calls = [(10.0, 37.0), (10.4, 1309.0), (400.0, 1700.0), (800.0, 1700.0), (900.0, 4000.0)];
    let talk = calls.iter().zip(0u32..).fold(Talk::opened(), |talk, ((at, left), n)| {
        let stream = 2 * n + 1;
        let headers = format!("HEADERS {stream} END_STREAM {fields} grpc-timeout={left:.0}m");
        talk.c(*at, &headers).cancel(at + left + 1.0, stream)
    });
    let timers = sets(&talk).into_iter().filter_map(|set| set.timeout);
    let mut timers: Vec<f64> = timers.map(|timer| timer.seconds).collect();
    timers.sort_by(f64::total_cmp);
    assert_eq!(timers, [1.7, 4.0]);
}

#[test]
fn answers_that_drip_to_the_end_of_their_time() {
    let drip = |talk: Talk, at: f64, age: f64, stream: u32| {
        let talk = talk.get(at, stream).s(at + 9.0, &format!("HEADERS {stream} :status=200"));
        let many = (1..).map(|n| f64::from(n) * 711.0).take_while(|of| *of < age);
        let talk = many.fold(talk, |talk, of| talk.s(at + of, &format!("DATA {stream} 100")));
        talk.cancel(at + age, stream)
    };
    let five = [3300.5, 3301.3, 3342.5, 3301.1, 3301.1].iter().zip(0u32..);
    let talk = five.fold(Talk::opened(), |talk, (age, n)| {
        drip(talk, 10.0 + f64::from(n) * 702.0, *age, 2 * n + 1)
    });
    let found = sets(&talk);
    assert_eq!(found[0].cause, Cause::ClientRequestTimeout, "{found:?}");
    assert!((found[0].timeout.as_ref().unwrap().seconds - 3.3).abs() < 0.01);
    let two = drip(drip(Talk::opened(), 10.0, 6998.0, 1), 1302.0, 7000.9, 3);
    let found = sets(&two);
    assert_eq!(found[0].cause, Cause::ClientRequestTimeout, "{found:?}");
    assert!(found[0].confidence <= Confidence::new(0.6));
}

#[test]
fn what_is_cleared_away_with_the_connection_was_no_timer() {
    let talk =
        (0..5).fold(Talk::opened(), |talk, n| talk.get(10.0 + f64::from(n) / 10.0, 2 * n + 1));
    let talk = (0..5).fold(talk, |talk, n| {
        talk.s(1010.0 + f64::from(n) * 0.1, &format!("RST_STREAM {} NO_ERROR", 2 * n + 1))
    });
    assert!(sets(&talk.clone().s(1011.0, "GOAWAY 9 NO_ERROR").s(1011.2, "FIN")).is_empty());
    assert!(!sets(&talk.served(4000.0, 21)).is_empty());
}

#[test]
fn who_agrees_with_a_timer_is_no_part_of_a_decision() {
    // A timer of 1.7 s, and one of 4 s of which two were sent when the connection was new.
    let talk = (0..8).fold(Talk::opened(), |talk, n| {
        let (at, stream) = (300.0 + f64::from(n) * 285.0, 2 * n + 11);
        talk.get(at, stream).cancel(at + 1701.0, stream)
    });
    let talk = talk.get(10.0, 1).get(10.1, 3).cancel(3996.5, 1).cancel(3997.0, 3);
    let found = sets(&talk);
    let burst = found.iter().find(|set| set.cause == Cause::ClientCancelBurst);
    assert!(burst.is_none_or(|set| set.streams.len() == 2), "{found:?}");
}

#[test]
fn the_next_search_takes_the_place_of_the_last_one() {
    let pauses = [301.0, 751.0, 900.0, 451.0, 601.0, 301.0];
    let mut at = 10.0;
    let talk = pauses.iter().zip(0u32..).fold(Talk::opened().get(at, 1), |talk, (pause, n)| {
        at += pause;
        talk.get(at, 2 * n + 3).cancel(at + 0.4, 2 * n + 1)
    });
    let found = sets(&talk.ok(at + 90.0, 13));
    assert!(found.iter().all(|set| set.cause == Cause::ClientCancelBurst), "{found:?}");
    // Who tries again when a time is over resets first.
    let talk = (0..6).fold(Talk::opened().get(10.0, 1), |talk, n| {
        let at = 10.0 + f64::from(n + 1) * 702.0;
        talk.cancel(at, 2 * n + 1).get(at + 0.4, 2 * n + 3)
    });
    let found = sets(&talk);
    assert_eq!(found[0].cause, Cause::ClientRequestTimeout, "{found:?}");
}

#[test]
fn streams_that_came_free_when_time_was_over_share_the_time() {
    // Six run from the beginning, four waited inside the client for a free stream.
    let talk = (0..6).fold(Talk::opened(), |talk, n| {
        let at = 10.0 + f64::from(n) * 120.0;
        talk.get(at, 2 * n + 1).cancel(at + 1501.0, 2 * n + 1)
    });
    let talk = (6..10).fold(talk, |talk, n| {
        let at = 2111.2 + f64::from(n - 6) * 0.1;
        talk.get(at, 2 * n + 1).cancel(at + 0.3, 2 * n + 1)
    });
    let found = sets(&talk);
    assert_eq!((found.len(), found[0].streams.len()), (1, 10), "{found:?}");
    assert_eq!(found[0].cause, Cause::ClientRequestTimeout);
}

#[test]
fn resets_that_repeat_the_error_of_a_goaway_are_its_echo() {
    let talk = (0..5).fold(Talk::opened(), |talk, n| talk.get(10.0 + f64::from(n), 2 * n + 1));
    // One was given up right before: that is what the GOAWAY is about.
    let talk = talk.cancel(700.0, 1).s(702.0, "GOAWAY 2147483647 PROTOCOL_ERROR");
    let talk = (1..5).fold(talk, |talk, n| {
        talk.c(703.0 + f64::from(n), &format!("RST_STREAM {} PROTOCOL_ERROR", 2 * n + 1))
    });
    let found = sets(&talk);
    assert_eq!(found.iter().map(|set| set.streams.len()).sum::<usize>(), 1, "{found:?}");
}

#[test]
fn a_timer_that_ends_many_in_turn_is_no_decision_of_one_moment() {
    // Requests 20 ms apart, the first of which had waited for their connection.
    let early = [1016.0, 1103.0, 1203.0, 1296.0].iter().zip(0u32..);
    let talk = early.fold(Talk::opened(), |talk, (age, n)| {
        talk.get(10.0 + f64::from(n), 2 * n + 1).cancel(10.0 + f64::from(n) + age, 2 * n + 1)
    });
    let talk = (4..16).fold(talk, |talk, n| {
        let at = 20.0 + f64::from(n) * 20.0;
        talk.get(at, 2 * n + 1).cancel(at + 1499.0, 2 * n + 1)
    });
    let found = sets(&talk);
    let timer = found.iter().find(|set| set.streams.len() >= 12).unwrap();
    assert_eq!(timer.cause, Cause::ClientRequestTimeout, "{found:?}");
    let others = found.iter().filter(|set| set.streams.len() < 12);
    assert!(others.clone().all(|set| set.confidence < Confidence::new(0.6)), "{found:?}");
}

/// Two requests that run and are given up after 1.3 s, and four that wait for them: each is sent
/// when a reset makes room, and given up in the moment in which it would have run.
fn queued() -> Talk {
    let mut talk = Talk::with_settings("MAX_CONCURRENT_STREAMS=2").get(10.0, 1).get(40.0, 3);
    let mut free = [(1, 1310.0), (3, 1340.0)].to_vec();
    for id in [5, 7, 9, 11] {
        let (old, at) = free.remove(0);
        talk = talk.cancel(at, old).get(at + 0.4, id);
        free.push((id, at + 60.0));
    }
    free.into_iter().fold(talk, |talk, (id, at)| talk.cancel(at, id))
}

#[test]
fn what_waited_for_a_free_stream_is_no_decision() {
    let row = queued().served(3000.0, 21).c(4000.0, "FIN").row();
    let sure = row.cancellations.iter().filter(|set| set.confidence >= Confidence::LIKELY);
    let sure: Vec<_> = sure.map(|set| (set.cause, set.streams.clone())).collect();
    assert!(sure.iter().all(|(cause, _)| *cause != Cause::ClientCancelBurst), "{sure:?}");
    // The same without a limit: who resets as soon as it has asked changed its mind.
    let attack = (0..60_u32).fold(Talk::with_settings("MAX_CONCURRENT_STREAMS=2"), |talk, n| {
        let at = 10.0 + f64::from(n) * 4.0;
        talk.get(at, n * 2 + 1).cancel(at + 3.0, n * 2 + 1)
    });
    let row = attack.c(400.0, "FIN").row();
    assert!(row.cancellations.iter().all(|set| set.cause == Cause::ClientCancelBurst));
}

#[test]
fn ages_smeared_over_a_range_are_no_timer_of_one_value() {
    let late = [173, 307, 181, 302, 195, 355, 207, 212, 268, 269, 294, 332, 295, 315, 397, 360];
    let talk = late.iter().zip(0_u32..).fold(Talk::opened(), |talk, (late, n)| {
        let at = 10.0 + f64::from(n) * 190.0;
        talk.get(at, n * 2 + 1).cancel(at + 1000.0 + f64::from(*late), n * 2 + 1)
    });
    let row = talk.served(6000.0, 101).c(7000.0, "FIN").row();
    assert_eq!(row.cancellations.len(), 1, "{:?}", row.cancellations);
    let set = &row.cancellations[0];
    assert!(set.confidence.value() < 0.7, "{set:?}");
    assert_eq!(set.cause, Cause::ClientRequestTimeout);
}

#[test]
fn calls_of_the_first_flight_have_the_timer_of_the_others() {
    let talk = (0..4_u32).fold(Talk::opened(), |talk, n| talk.get(4.0 + f64::from(n), n * 2 + 1));
    // Begun before the connection was there, they are given up earlier.
    let talk = [(1, 700.0), (3, 811.0), (5, 1009.0), (7, 1120.0)]
        .into_iter()
        .fold(talk, |talk, (id, at)| talk.cancel(at, id));
    let talk = (0..8_u32).fold(talk, |talk, n| {
        let at = 150.0 + f64::from(n) * 111.0;
        talk.get(at, n * 2 + 11).cancel(at + 1300.0, n * 2 + 11)
    });
    let row = talk.served(6000.0, 101).c(7000.0, "FIN").row();
    assert_eq!(row.cancellations.len(), 1, "{:?}", row.cancellations);
    let timeout = row.cancellations[0].timeout.as_ref().unwrap();
    assert!((timeout.seconds - 1.3).abs() < 0.01, "{timeout:?}");
}
