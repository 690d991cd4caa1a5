//! What several connections tell together that one alone does not: which of their quantities
//! agrees. Each mechanism with its nearest look-alike.

use super::tests::{Talk, judged};
use crate::vocab::cause::{Blame, Cause};
use crate::vocab::verdict::Verdict;

/// Connections one after another, each later than the one before by so much.
fn several(talks: Vec<Talk>, apart: f64) -> Talk {
    let mut all = talks.into_iter();
    let first = all.next().unwrap();
    (2..).zip(all).fold(first, |talk, (number, other)| {
        talk.again(number, f64::from(number - 1) * apart, &other)
    })
}

fn all_are(talk: &Talk, cause: Cause, least: f64) -> Vec<Verdict> {
    let told = talk.all_told();
    let right = |told: &Verdict| told.cause == cause && told.confidence.value() >= least;
    let wrong: Vec<_> = told.iter().filter(|told| !right(told)).collect();
    assert!(wrong.is_empty(), "not {cause} {least}: {wrong:#?}");
    told
}

fn rivals(verdict: &Verdict) -> Vec<Cause> {
    verdict.alternatives.iter().map(|other| other.cause).collect()
}

/// A request `asked` ms after the opening, and the server's GOAWAY at an age.
fn aged(asked: f64, age: f64) -> Talk {
    Talk::opened().served(asked, 1).s(age, "GOAWAY 1 NO_ERROR").s(age + 0.5, "FIN")
}

#[test]
fn equal_ages_of_connections_that_were_idle_at_the_end() {
    let asked = [300.0, 4_100.0, 1_750.0, 7_020.0];
    let talk = several(asked.iter().map(|at| aged(*at, 12_003.0)).collect(), 3_700.0);
    for verdict in all_are(&talk, Cause::MaxConnectionAge, 0.8) {
        verdict.after(Cause::MaxConnectionAge, 12.0).blames(Blame::None);
    }
    // Equal silences are idle, whatever the ages.
    let idle = asked.iter().map(|at| aged(*at, at + 10.0 + 12_003.0)).collect();
    all_are(&several(idle, 3_700.0), Cause::IdleTimeout, 0.9);
}

#[test]
fn connections_that_lived_alike_leave_two_reasons() {
    // Each asked right after it had been opened: neither span is round, both agree.
    let talk = several(vec![aged(40.0, 7_213.0), aged(40.0, 7_213.4)], 9_100.0);
    for verdict in talk.all_told() {
        assert_eq!(verdict.cause, Cause::IdleTimeout);
        assert!(verdict.confidence.value() < 0.7, "{}", verdict.summary);
        assert!(rivals(&verdict).contains(&Cause::MaxConnectionAge), "{verdict:?}");
    }
}

#[test]
fn an_idle_timer_that_others_outlived_is_none() {
    let talk = several(vec![aged(20.0, 4_030.0), aged(20.0, 19_741.0)], 2_300.0);
    let told = talk.all_told();
    assert_eq!(told[0].cause, Cause::GracefulShutdown, "{}", told[0].summary);
    assert!(told[0].confidence.value() < 0.7 && told[0].timeout.is_none());
    assert!(rivals(&told[0]).contains(&Cause::IdleTimeout));
    // A timer that looks for idle connections now and then is late by up to a second.
    let coarse = several(vec![aged(20.0, 20_030.0), aged(20.0, 20_741.0)], 22_300.0);
    assert!(coarse.all_told().iter().all(|told| told.cause == Cause::IdleTimeout));
}

#[test]
fn a_lone_silence_says_little_where_neighbours_are_missing() {
    let alone = || Talk::opened().served(10.0, 1).s(4_163.0, "GOAWAY 1 NO_ERROR");
    alone().is(Cause::IdleTimeout, 0.5);
    let other = Talk::opened().served(10.0, 1).hole(900.0).c(2_400.0, "FIN");
    let told = several(vec![alone(), other], 1_310.0).all_told();
    assert_eq!(told[0].cause, Cause::IdleTimeout);
    assert!(told[0].confidence.value() < 0.5, "{}", told[0].summary);
    assert!(told[0].summary.contains("other connections"), "{}", told[0].summary);
}

/// A request that is cut off at an age, with a PING of the client in between.
fn cut(pinged: f64, end: &str) -> Talk {
    let talk = Talk::opened().served(10.0, 1).get(100.0, 3);
    let talk = if pinged > 0.0 { talk.c(pinged, "PING").s(pinged + 0.3, "PING ACK") } else { talk };
    talk.s(8_277.0, end)
}

#[test]
fn one_age_of_what_waited_is_the_servers_request_timeout() {
    for end in ["FIN", "RST"] {
        let talks = [1_900.0, 5_400.0, 3_333.0].map(|pinged| cut(pinged, end));
        for verdict in all_are(&several(talks.into(), 9_000.0), Cause::ServerRequestTimeout, 0.8) {
            verdict.after(Cause::ServerRequestTimeout, 8.177).blames(Blame::Server);
        }
    }
    // Silent since the request: nobody can tell the two timers apart.
    let silent = several(vec![cut(0.0, "FIN"), cut(0.0, "FIN"), cut(0.0, "FIN")], 9_000.0);
    for verdict in silent.all_told() {
        assert!(verdict.confidence.value() < 0.7, "{}", verdict.summary);
        let all = [rivals(&verdict), vec![verdict.cause]].concat();
        assert!(all.contains(&Cause::ServerRequestTimeout), "{all:?}");
        assert!(all.contains(&Cause::IdleTimeout), "{all:?}");
    }
    // Of any age they were cut by a crash.
    let crash = |age: f64| Talk::opened().served(10.0, 1).get(100.0, 3).s(100.0 + age, "FIN");
    let crashed = several(vec![crash(8_177.0), crash(2_381.0), crash(5_913.0)], 9_000.0);
    all_are(&crashed, Cause::AbruptClose, 0.6);
}

/// So many requests at these distances, the GOAWAY in answer to the last one.
fn served(count: u32, apart: f64) -> Talk {
    let at = |number: u32| 10.0 + f64::from(number) * apart;
    let all = (0..count - 1).fold(Talk::opened(), |talk, n| talk.served(at(n), n * 2 + 1));
    let last = count * 2 - 1;
    let goaway = format!("GOAWAY {last} NO_ERROR");
    all.get(at(count - 1), last).s(at(count - 1) + 0.6, &goaway).ok(at(count - 1) + 12.0, last)
}

#[test]
fn a_round_count_among_others_is_no_maximum() {
    let talk = several(vec![served(100, 41.0), served(57, 90.0), served(131, 35.0)], 2_000.0);
    let told = talk.all_told();
    assert_ne!(told[0].cause, Cause::MaxRequestsPerConnection, "{}", told[0].summary);
    assert!(told.iter().all(|told| told.confidence.value() < 0.7), "{told:#?}");
    let equal = several(vec![served(57, 41.0), served(57, 90.0), served(57, 35.0)], 2_000.0);
    all_are(&equal, Cause::MaxRequestsPerConnection, 0.9);
}

#[test]
fn the_first_request_past_an_age() {
    // Each at another distance: the ages at the end are 6.01 to 6.3 s, the counts 16 to 87.
    let talks = vec![served(87, 70.0), served(16, 410.0), served(31, 203.0), served(48, 129.0)];
    let told = all_are(&several(talks, 2_900.0), Cause::MaxConnectionAge, 0.7);
    for verdict in told {
        let seconds = verdict.timeout.as_ref().unwrap().seconds;
        assert!((5.9..=6.1).contains(&seconds), "{seconds}");
    }
}

/// The client's close when its request had waited so long, with so slow a handshake.
fn errand(handshake: f64, wait: f64) -> Talk {
    let open = "PREFACE\n+ SETTINGS\n+ HEADERS 1 END_STREAM :method=GET :scheme=http :path=/x";
    let talk = Talk::default().raw(0.0, "0 SYN").c(handshake, open);
    talk.s(handshake + 0.4, "SETTINGS\n+ SETTINGS ACK").c(handshake + wait, "FIN")
}

#[test]
fn a_time_for_the_whole_errand_begins_with_the_syn() {
    let slow = [110.0, 310.0, 540.0, 720.0];
    let talks = slow.map(|handshake| errand(handshake, 2_317.0 - handshake)).to_vec();
    for verdict in all_are(&several(talks, 3_100.0), Cause::ClientRequestTimeout, 0.7) {
        verdict.after(Cause::ClientRequestTimeout, 2.317);
    }
    // A lone one, at a time that a person sets.
    let lone = errand(431.0, 4_999.0 - 431.0).is_possible(Cause::ClientRequestTimeout);
    lone.after(Cause::ClientRequestTimeout, 5.0);
    // A program that always ends at one age asked at any time before.
    let ended = |asked: f64| Talk::opened().get(asked, 1).c(5_001.0, "FIN");
    let talks = [1_000.0, 2_113.0, 3_870.0, 480.0].map(ended).to_vec();
    let told = several(talks, 6_100.0).all_told();
    let timed = |told: &&Verdict| {
        told.cause == Cause::ClientRequestTimeout && told.confidence.value() >= 0.6
    };
    assert_eq!(told.iter().filter(timed).count(), 0, "{told:#?}");
}

#[test]
fn closes_in_one_moment_are_nobodys_timer() {
    // Of several requests one is 4 s old by chance.
    let close = |asked: f64| Talk::opened().get(asked, 1).c(4_010.0, "FIN");
    let talk = close(10.0).again(2, 11.0, &close(1_300.0)).again(3, 23.0, &close(2_741.0));
    let told = talk.all_told();
    assert!(told[0].confidence.value() < 0.6, "{}", told[0].summary);
    let why = "closed in the same moment";
    assert!(told[0].summary.contains(why), "{}", told[0].summary);
    let alone = close(10.0).is_possible(Cause::ClientRequestTimeout);
    assert!(!alone.summary.contains(why), "{}", alone.summary);
}

#[test]
fn no_timer_is_surer_than_its_samples() {
    let close = |wait: f64| Talk::opened().get(10.0, 1).c(10.0 + wait, "FIN");
    for waits in [vec![1_300.6, 1_301.5], vec![2_700.0, 2_701.0], vec![4_000.0, 4_001.0, 911.0]] {
        let talk = several(waits.into_iter().map(close).collect(), 9_300.0);
        let board = judged(&talk.script());
        let told = board.connections.iter().filter_map(|row| row.end_verdict.as_ref());
        let timed = told.filter(|told| told.cause == Cause::ClientRequestTimeout);
        let best = timed.map(|told| told.confidence.value()).fold(0.0, f64::max);
        for timer in &board.inferred_timeouts {
            assert!(timer.confidence.value() <= best, "{timer:?}, {best}");
        }
        for conflict in &board.conflicts {
            assert!(conflict.confidence.value() <= best, "{conflict:?}, {best}");
        }
        assert!(!board.inferred_timeouts.is_empty());
    }
}

#[test]
fn kinds_of_request_with_timeouts_of_their_own() {
    let get = |at: f64, stream: u32, path: &str| {
        let fields = format!(":method=GET :scheme=http :authority=a :path={path}");
        (at, format!("HEADERS {stream} END_STREAM {fields}"))
    };
    let talk = (0..5_u32).fold(Talk::opened(), |talk, n| {
        let (at, stream) = (10.0 + f64::from(n) * 733.0, 4 * n + 1);
        let (first, second) = (get(at, stream, "/quick"), get(at + 7.0, stream + 2, "/slow"));
        let talk = talk.c(first.0, &first.1).cancel(at + 400.0 + f64::from(n), stream);
        talk.c(second.0, &second.1).cancel(at + 7.0 + 2_500.0 + f64::from(n), stream + 2)
    });
    let board = judged(&talk.c(9_000.0, "FIN").script());
    let requests: Vec<_> = board.inferred_timeouts.iter().map(|t| t.requests.clone()).collect();
    assert_eq!(requests, [["GET /quick"], ["GET /slow"]]);
    let advice = board.conflicts[0].advice.join(" ");
    assert!(advice.contains("of GET /quick, now 40"), "{advice}");
    assert!(advice.contains("of GET /slow, now 2.5 s"), "{advice}");
    // Of one kind there is one setting.
    let talk = (0..5_u32).fold(Talk::opened(), |talk, n| {
        let (at, stream) = (10.0 + f64::from(n) * 733.0, 2 * n + 1);
        talk.get(at, stream).cancel(at + 400.0 + f64::from(n), stream)
    });
    let board = judged(&talk.c(9_000.0, "FIN").script());
    assert!(!board.conflicts[0].advice[0].contains("GET"), "{:?}", board.conflicts);
}

#[test]
fn connections_cut_at_one_age_have_a_limit_of_age() {
    // Requests all the time, some open at the end, which comes at another silence each time.
    let one = |last: f64| {
        Talk::opened().served(100.0, 1).get(last - 1310.0, 3).get(last, 5).s(4301.0, "FIN")
    };
    let talk = one(4116.0).again(2, 1711.0, &one(3840.0)).again(3, 4789.0, &one(4222.0));
    let verdict = talk.is(Cause::MaxConnectionAge, 0.8);
    verdict.after(Cause::MaxConnectionAge, 4.3).blames(Blame::Server);
}

#[test]
fn who_does_not_know_a_connection_answers_with_a_rst() {
    let one = || Talk::opened().served(10.0, 1).get(4670.0, 3).s(4670.1, "BARE_RST");
    let verdict = one().told();
    assert_eq!((verdict.cause, verdict.blame), (Cause::AbruptClose, Blame::Unknown));
    assert!(verdict.confidence.word() != "likely" && verdict.summary.contains("does not know"));
    // Several at once were forgotten at once.
    let several = one().again(2, 3.0, &one()).again(3, 7.0, &one());
    for verdict in several.all_told() {
        assert_eq!(verdict.blame, Blame::Unknown, "{}", verdict.summary);
    }
    // Who works on a request, and dies, knows it.
    let crash = Talk::opened().served(10.0, 1).get(4670.0, 3).s(4670.1, "RST").told();
    assert_eq!(crash.blame, Blame::Server);
}

#[test]
fn a_pool_may_have_counted_the_silence() {
    let verdict = Talk::opened().served(10.0, 1).c(7012.0, "FIN").is(Cause::ClientShutdown, 0.8);
    let others: Vec<_> = verdict.alternatives.iter().map(|other| other.cause).collect();
    assert_eq!(others, [Cause::IdleTimeout]);
    let said = Talk::opened().get(10.0, 1).get(12.0, 3).cancel(2512.0, 1).cancel(2513.0, 3);
    let said = said.c(2514.0, "GOAWAY 0 NO_ERROR \"idle_timeout\"");
    said.is(Cause::IdleTimeout, 0.9).blames(Blame::Client);
}

#[test]
fn what_comes_after_the_promise_is_not_cut_off() {
    let talk = Talk::opened().get(10.0, 1).get(1200.0, 11).s(1300.0, "GOAWAY 2147483647 NO_ERROR");
    let talk = talk.s(1900.0, "GOAWAY 11 NO_ERROR").get(1900.2, 13).ok(2100.0, 1).ok(2200.0, 11);
    talk.s(4300.0, "FIN").is(Cause::GracefulShutdown, 0.7).blames(Blame::None);
    // Cleared away right behind the GOAWAY, whoever closes.
    let killed = Talk::opened().get(10.0, 1).get(12.0, 3).s(900.0, "GOAWAY 3 NO_ERROR");
    let killed = killed.s(903.5, "RST_STREAM 1 CANCEL").s(903.6, "RST_STREAM 3 CANCEL");
    let verdict = killed.c(910.0, "FIN").told();
    assert_eq!(verdict.blame, Blame::Server, "{}", verdict.summary);
}

#[test]
fn connections_of_one_lifetime_say_one_thing_once() {
    // A reload ends four that were opened at once, in lockstep; later one runs into its idle timer.
    let paced = |apart: f64| {
        let talk = (0..16)
            .fold(Talk::opened(), |talk, n| talk.served(10.0 + f64::from(n) * apart, 2 * n + 1));
        talk.get(3010.0, 33).s(3011.0, "GOAWAY 33 NO_ERROR").ok(3011.4, 33).s(3012.0, "FIN")
    };
    let four =
        (2..5).fold(paced(187.0), |talk, n| talk.again(n, f64::from(n) * 4.0, &paced(187.0)));
    let idle = Talk::opened().served(10.0, 1).s(3012.5, "GOAWAY 1 NO_ERROR").s(3012.6, "FIN");
    let told = four.again(9, 4200.0, &idle).all_told();
    for verdict in &told[..4] {
        assert_eq!(verdict.cause, Cause::GracefulShutdown, "{}", verdict.summary);
    }
    assert_eq!(told[4].cause, Cause::IdleTimeout, "{}", told[4].summary);
}

#[test]
fn ages_that_a_server_spreads_are_told_on_each_connection() {
    // Requests at a pace are about as old wherever the age limit falls.
    let one = |age: f64, since: f64| {
        Talk::opened().get(age - since, 1).s(age, "GOAWAY 2147483647 NO_ERROR").ok(age + 60.0, 1)
    };
    let ages = [(2_799.0, 339.0), (3_076.0, 255.0), (2_748.0, 329.0), (3_157.0, 325.0)];
    let talk = several(ages.iter().map(|(age, since)| one(*age, *since)).collect(), 4_000.0);
    all_are(&talk, Cause::MaxConnectionAge, 0.7);
}
