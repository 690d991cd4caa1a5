use super::*;
use crate::board::ServerTimes;
use crate::board::digest::{Answered, Cancelled, Goaway, Measured, Taken};

fn verdict(cause: &str, trigger: &str, blame: &str, confidence: f64) -> Judged {
    Judged {
        cause: cause.into(),
        trigger: trigger.into(),
        blame: blame.into(),
        confidence,
        maybe_processed: 3,
        ..Judged::default()
    }
}

fn connection(verdict: Judged) -> Connection {
    let mut connection = Connection { id: 1, http2: true, ..Connection::default() };
    (connection.streams.opened, connection.streams.cancelled) = (100, 10);
    connection.goaways = vec![Goaway { packet: 9, error_code: 1, verdict, ..Goaway::default() }];
    connection
}

fn digest(verdict: Judged) -> Digest {
    let captures = vec![Taken { packets: 99, bytes: 990, ..Taken::default() }];
    Digest { captures, connections: vec![connection(verdict)], ..Digest::default() }
}

fn seed() -> Digest {
    digest(verdict("client_request_timeout", "late_response", "server", 0.95))
}

fn failed(digest: &Digest, rules: &Rules) -> Vec<&'static str> {
    let outcome = check(digest, rules);
    let failed = outcome.checks.iter().filter(|check| !check.passed).map(|check| check.name);
    let failed: Vec<_> = failed.collect();
    assert_eq!(outcome.passed, failed.is_empty());
    failed
}

#[test]
fn without_rules_what_somebody_answers_for_fails() {
    let rules = Rules::default();
    assert_eq!(failed(&seed(), &rules), ["causes"]);
    for passes in [
        verdict("graceful_shutdown", "graceful_shutdown", "none", 0.95),
        verdict("unknown", "unknown", "unknown", 0.95),
        verdict("client_request_timeout", "late_response", "server", 0.3),
    ] {
        assert!(failed(&digest(passes), &rules).is_empty());
    }
}

#[test]
fn an_error_without_a_reason_is_told_and_can_be_denied() {
    let mut unknown = digest(verdict("unknown", "unknown", "unknown", 0.1));
    unknown.connections[0].goaways[0].error_code = 1;
    let outcome = check(&unknown, &Rules::default());
    assert!(outcome.passed && outcome.notes[0].contains("1 GOAWAY with an error passed"));
    let deny = Rules { deny: vec![Cause::Unknown], ..Rules::default() };
    assert_eq!(failed(&unknown, &deny), ["causes"]);
    assert!(check(&unknown, &deny).notes.is_empty());
    // Who counts all errors holds it against them, and who allows a cause means it so.
    let counted = Rules { max_error_goaways: Some(0), ..Rules::default() };
    assert_eq!(failed(&unknown, &counted), ["max-error-goaways"]);
    assert!(check(&unknown, &counted).notes.is_empty());
    let mut known = digest(verdict("protocol_violation", "protocol_violation", "client", 0.9));
    known.connections[0].goaways[0].error_code = 1;
    let sure = Rules { min_confidence: 0.95, ..Rules::default() };
    assert!(check(&known, &sure).notes[0].contains("1 GOAWAY with an error passed"));
    let allow = Rules { allow: vec![Cause::ProtocolViolation], ..sure };
    assert!(check(&known, &allow).notes.is_empty());
}

#[test]
fn each_link_of_a_chain_has_to_be_allowed() {
    let (timeout, late) = (Cause::ClientRequestTimeout, Cause::LateResponse);
    let allow = |allow: &[Cause]| Rules { allow: allow.into(), ..Rules::default() };
    assert_eq!(failed(&seed(), &allow(&[timeout])), ["causes"]);
    assert!(failed(&seed(), &allow(&[timeout, late])).is_empty());
    let deny = |cause| Rules { deny: vec![cause], ..Rules::default() };
    assert_eq!(failed(&seed(), &deny(late)), ["causes"]);
    assert!(failed(&seed(), &deny(Cause::IdleTimeout)).is_empty());
}

#[test]
fn timeouts_that_cancel_fail_and_changed_minds_do_not() {
    let mut quiet = seed();
    quiet.connections[0].goaways.clear();
    let set = |cause: &str| Cancelled {
        cause: cause.into(),
        by: "client".into(),
        streams: 10,
        confidence: 0.95,
        first_packet: 5,
        hop: None,
    };
    quiet.connections[0].cancellations = vec![set("client_cancel_burst")];
    assert!(failed(&quiet, &Rules::default()).is_empty());
    let deny = Rules { deny: vec![Cause::ClientCancelBurst], ..Rules::default() };
    assert_eq!(failed(&quiet, &deny), ["causes"]);
    quiet.connections[0].cancellations = vec![set("client_request_timeout")];
    assert_eq!(failed(&quiet, &Rules::default()), ["causes"]);
}

#[test]
fn thresholds_hold_up_to_their_value() {
    let none = Rules { allow: Cause::ALL.to_vec(), ..Rules::default() };
    let rules = |change: &dyn Fn(&mut Rules)| {
        let mut rules = none.clone();
        change(&mut rules);
        failed(&seed(), &rules)
    };
    let empty: [&str; 0] = [];
    assert_eq!(rules(&|of| of.max_goaways = Some(1)), empty);
    assert_eq!(rules(&|of| of.max_goaways = Some(0)), ["max-goaways"]);
    assert_eq!(rules(&|of| of.max_error_goaways = Some(0)), ["max-error-goaways"]);
    assert_eq!(rules(&|of| of.max_cancelled = Some(9)), ["max-cancelled"]);
    assert_eq!(rules(&|of| of.max_cancelled_share = Some(0.1)), empty);
    assert_eq!(rules(&|of| of.max_cancelled_share = Some(0.09)), ["max-cancelled-share"]);
    assert_eq!(rules(&|of| of.max_died = Some(2)), ["max-died"]);
    assert_eq!(rules(&|of| of.min_requests = 101), ["min-requests"]);
}

#[test]
fn a_check_that_saw_nothing_has_not_passed() {
    assert_eq!(failed(&Digest::default(), &Rules::default()), ["min-requests"]);
    let mut lossy = seed();
    lossy.captures[0].kernel_dropped = Some(11);
    let rules = Rules { allow: Cause::ALL.to_vec(), ..Rules::default() };
    assert_eq!(failed(&lossy, &rules), ["max-loss"]);
    lossy.captures[0].kernel_dropped = Some(1);
    assert!(failed(&lossy, &rules).is_empty());
}

#[test]
fn answers_are_held_against_the_clients_timeout() {
    let mut slow = digest(verdict("graceful_shutdown", "graceful_shutdown", "none", 0.95));
    let times = ServerTimes { count: 9, p99: 2.0, max: 3.2, ..ServerTimes::default() };
    slow.server_answers = vec![Answered { server: "s".into(), times, ..Answered::default() }];
    let share =
        |told| Rules { max_answer_share: Some(0.8), client_timeout: told, ..Rules::default() };
    let empty: [&str; 0] = [];
    assert_eq!(failed(&slow, &share(None)), ["max-answer-share"], "nothing is known");
    assert_eq!(failed(&slow, &share(Some(4.0))), empty);
    assert_eq!(failed(&slow, &share(Some(3.9))), ["max-answer-share"]);
    let times = Rules { max_answer: Some(3.2), max_p99: Some(1.9), ..Rules::default() };
    assert_eq!(failed(&slow, &times), ["max-p99"]);
    // What it ended took all of it.
    slow.inferred_timeouts = vec![Measured {
        kind: "client_request_timeout".into(),
        seconds: 4.0,
        server: "s".into(),
        ..Measured::default()
    }];
    assert_eq!(failed(&slow, &share(None)), ["max-answer-share"]);
    assert_eq!(failed(&slow, &share(Some(10.0))), empty);
    // Who waited in vain has waited longer than any answer took.
    slow.inferred_timeouts[0].samples = 1;
    let within = |most| Rules { max_answer: Some(most), ..Rules::default() };
    assert_eq!(failed(&slow, &within(3.9)), ["max-answer"]);
    assert_eq!(failed(&slow, &within(4.0)), empty);
    let p99 = Rules { max_p99: Some(3.0), ..Rules::default() };
    assert_eq!(failed(&slow, &p99), ["max-p99"], "one of ten");
    slow.server_answers[0].times.count = 200;
    assert_eq!(failed(&slow, &p99), empty, "one of two hundred");
    // Without an answer nothing is proven.
    slow.server_answers.clear();
    slow.inferred_timeouts.clear();
    assert_eq!(failed(&slow, &within(4.0)), ["max-answer"]);
}

#[test]
fn percents_are_short() {
    assert_eq!(
        [0.0, 0.0031, 0.4363, 1.0, 0.05].map(percent),
        ["0 %", "0.31 %", "43.6 %", "100 %", "5 %"]
    );
}
