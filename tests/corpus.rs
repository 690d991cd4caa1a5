//! Every labelled capture against the report: what is known of it is said, and nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;
mod configured;
mod proofs;
mod truth;

use std::collections::BTreeSet;

use goawhy::vocab::cause::Cause;

use common::{Case, cases, list, none, parallel, text};
use configured::Configured;
use proofs::proved;
use truth::{Tally, compare};

/// What the program does not get right: capture and connection, field, reason. An entry that has
/// become right fails the test, so that this list stays honest.
const KNOWN: &[(&str, &str, &str)] = &[
    ("wires/base/base3#0", "follows", "the truth does not mark Node's second GOAWAY as a repeat"),
    ("wires/loss/base3_loss_4pct#0", "follows", "as base3"),
    ("wires/loss/base3_loss_burst#0", "follows", "as base3"),
    ("wires/mid/base1_mid_half#0", "cause", "resets before the capture: only the trigger is seen"),
    ("wires/mid/base1_mid_last_rst#0", "cause", "as base1_mid_half"),
    ("wires/proto/upgrade_apache#2", "follows", "an answer to a GOAWAY, not marked in the truth"),
    ("wires/snap/base3_snap262#0", "follows", "as base3"),
];

/// Causes that no capture proves.
const WITHOUT_CAPTURE: &[Cause] = &[
    Cause::ServerRequestTimeout,
    Cause::StreamIdleTimeout,
    Cause::StreamIdExhaustion,
    Cause::InternalError,
    Cause::Http11Required,
    Cause::InadequateSecurity,
    Cause::ConnectError,
    Cause::RefusedStream,
];

#[test]
fn every_capture_is_read_as_its_truth_says() {
    let cases = labelled();
    assert!(cases.len() > 100, "only {} captures", cases.len());
    let tallies = parallel(&cases, |case| {
        let mut tally = Tally::new(case);
        compare(&mut tally, case, &case.report());
        tally
    });
    let misses: Vec<_> = tallies.into_iter().flat_map(|tally| tally.misses).collect();
    let is_known = |place: &str, field: &str| {
        KNOWN.iter().any(|(known, of, _)| *known == place && *of == field)
    };
    let news = misses.iter().filter(|miss| !is_known(&miss.place, miss.field));
    let mut faults: Vec<String> = news.map(ToString::to_string).collect();
    for (place, field, _) in KNOWN {
        if !misses.iter().any(|miss| miss.place == *place && miss.field == *field) {
            faults.push(format!("{place}: {field} is right now: strike it from the list"));
        }
    }
    none(&faults);
}

/// Conflicts and broken rules told of captures in which everything ended well, and why an expert
/// agrees.
const AGREED: &[(&str, &str, &str)] = &[
    (
        "servers/jdk-timeout-batch",
        "client_timeout_below_answer_time",
        "answers take 4 s, the client waits for 1.3 s",
    ),
    ("servers/answers-lost-few", "path_stalled", "the answers of the server were dropped for 6 s"),
    ("servers/go-server-stopped", "server_stood_still", "the server was stopped for 6 s"),
    ("servers/grpcjs-deadline-kept-by-server", BELOW, "1.7 s against answers of 4 s"),
    ("servers/grpcjs-deadline-kept-by-server", "retry_storm", "the next call comes at once"),
    ("servers/haproxy-504", BELOW, "the proxy gave up on its server after 2 s"),
    ("servers/path-dies", "path_stalled", "packets of both sides were dropped"),
    ("stacks/go127-client-timeout-survives", BELOW, "600 ms against answers of 3 s"),
    ("stacks/go127-timeouts-then-idle-goaway", BELOW, "900 ms against answers of 4 s"),
    ("stacks/grpcio-deadline-survives", BELOW, "deadlines of 750 ms against answers of 2.5 s"),
    ("stacks/grpcio-stalled-client-ping-late-survives", BELOW, "deadlines of 22 s ran out"),
    ("stacks/node-client-timeout-then-client-close", BELOW, "650 ms against answers of 2.5 s"),
    ("stacks/vertx-client-timeout-fixed-guard", BELOW, "800 ms against answers of 2.2 s"),
    ("stacks/vertx-idle-close-after-timeouts", BELOW, "450 ms against answers of 1.1 s"),
    ("stacks/vertx4512-fixed-guard", BELOW, "4 s against answers of 10 s"),
    ("stacks/vertx4512-idle", "server_idle_below_answer_time", "3 s against answers of 6 s"),
    ("tls/tls12_cbc_sha256", "tls-bad-cipher", "RFC 9113 appendix A prohibits the suite"),
    ("wires/base/base1", BELOW, "650 ms against answers that never came"),
];

const BELOW: &str = "client_timeout_below_answer_time";

/// Ends that are nobody's fault.
const ORDERLY: &[&str] = &[
    "client_shutdown",
    "graceful_shutdown",
    "idle_timeout",
    "max_connection_age",
    "max_requests_per_connection",
    "unknown",
];

#[test]
fn what_ends_well_is_not_accused() {
    let ends_well = |case: &Case| {
        list(&case.truth["connections"]).iter().all(|connection| {
            let causes = list(&connection["goaways"]).iter().map(|goaway| &goaway["cause"]);
            let mut causes = causes.chain([&connection["no_goaway_cause"]]);
            causes.all(|cause| cause.is_null() || ORDERLY.contains(&text(cause)))
        })
    };
    let parts = ["healthy", "survives", "fixed-guard", "wires/base/"];
    let named = |case: &Case| parts.iter().any(|part| case.name.contains(part));
    let cases: Vec<Case> =
        labelled().into_iter().filter(|case| ends_well(case) || named(case)).collect();
    assert!(cases.len() >= 40, "only {}", cases.len());
    let told = parallel(&cases, |case| {
        let report = case.report();
        let mut told = Vec::new();
        for connection in list(&report["connections"]) {
            for finding in list(&connection["findings"]) {
                told.push((case.name.clone(), text(&finding["rule"]["id"]).to_owned()));
            }
        }
        for conflict in list(&report["conflicts"]) {
            told.push((case.name.clone(), text(&conflict["rule"]).to_owned()));
        }
        told
    })
    .concat();
    let agreed = |name: &str, rule: &str| AGREED.iter().any(|(n, r, _)| *n == name && *r == rule);
    let wrong = told.iter().filter(|(name, rule)| !agreed(name, rule));
    let mut faults: Vec<String> = wrong.map(|(name, rule)| format!("{name}: {rule}")).collect();
    for (name, rule, _) in AGREED {
        if !told.iter().any(|(n, r)| n == name && r == rule) {
            faults.push(format!("{name}: {rule} is told no more: strike it from the list"));
        }
    }
    none(&faults);
}

/// Rules that were broken on connections that ended well all the same.
const TOLERATED: &[(&str, &str)] = &[
    // Refused stream by stream.
    ("servers/concurrent-streams-exceeded", "max-concurrent-streams"),
    // Some servers answer a client whose first frame is none of SETTINGS.
    ("servers/preface-missing", "client-settings-first"),
    ("tls/tls12_cbc_sha256", "tls-bad-cipher"),
];

#[test]
fn connections_that_end_well_beside_others_have_no_fault() {
    // In these each connection breaks a rule, and some servers do not mind.
    let mut cases = labelled();
    cases.retain(|case| !case.name.contains("violations-") && !case.name.starts_with("h2spec"));
    let found = parallel(&cases, |case| {
        let report = case.report();
        let mut found = Vec::new();
        for want in list(&case.truth["connections"]) {
            let causes = list(&want["goaways"]).iter().map(|goaway| &goaway["cause"]);
            let mut causes = causes.chain([&want["no_goaway_cause"]]);
            let well = causes.all(|cause| cause.is_null() || ORDERLY.contains(&text(cause)));
            if !well {
                continue;
            }
            for got in list(&report["connections"]) {
                if got["client"] == want["client"] && got["server"] == want["server"] {
                    let rules = list(&got["findings"]).iter().map(|f| text(&f["rule"]["id"]));
                    found.extend(rules.map(|rule| (case.name.clone(), rule.to_owned())));
                }
            }
        }
        found
    });
    let found = found.concat();
    let told = |name: &str, rule: &str| TOLERATED.contains(&(name, rule));
    let wrong = found.iter().filter(|(name, rule)| !told(name, rule));
    none(&wrong.map(|(name, rule)| format!("{name}: {rule}")).collect::<Vec<_>>());
    for (name, rule) in TOLERATED {
        assert!(
            found.iter().any(|(n, r)| n == name && r == rule),
            "{name}: {rule} is told no more"
        );
    }
}

#[test]
fn connections_that_end_well_have_no_fault() {
    let well = |name: &str| {
        let parts = ["healthy", "survives", "fixed-guard"];
        parts.iter().any(|part| name.contains(part)) || name.starts_with("wires/base/")
    };
    let cases: Vec<Case> = labelled().into_iter().filter(|case| well(&case.name)).collect();
    let faults = parallel(&cases, |case| {
        let report = case.report();
        let mut faults = Vec::new();
        for connection in list(&report["connections"]) {
            for finding in list(&connection["findings"]) {
                faults.push(format!("{}: {} {}", case.name, finding["packet"], finding["text"]));
            }
            if case.name.contains("healthy") && !list(&connection["cancellations"]).is_empty() {
                faults.push(format!("{}: cancellations", case.name));
            }
        }
        faults
    });
    assert!(cases.len() >= 9);
    none(&faults.concat());
}

#[test]
fn every_cause_is_proved_by_a_capture() {
    let cases = labelled();
    let proved: BTreeSet<String> = parallel(&cases, proved).into_iter().flatten().collect();
    let mut faults = Vec::new();
    for cause in Cause::ALL.iter().filter(|cause| **cause != Cause::Unknown) {
        match (proved.contains(cause.name()), WITHOUT_CAPTURE.contains(cause)) {
            (true, true) => faults.push(format!("{cause} has a capture now: strike it")),
            (false, false) => faults.push(format!("no capture proves {cause}")),
            _ => {}
        }
    }
    none(&faults);
}

/// Every timer and every conflict of `stacks` follows from what was configured, and all that does
/// is told.
#[test]
fn timers_and_conflicts_follow_from_the_configuration() {
    let mut cases = labelled();
    cases.retain(|case| case.name.starts_with("stacks/"));
    let faults = parallel(&cases, |case| {
        let (report, configured) = (case.report(), Configured::of(&case.truth));
        let mut faults = Vec::new();
        let told = list(&report["conflicts"]).iter().map(|conflict| text(&conflict["rule"]));
        let told: Vec<&str> = told.collect();
        if told != configured.conflicts() {
            faults.push(format!("{}: {told:?}, though {configured:?}", case.name));
        }
        let timers = list(&report["inferred_timeouts"]);
        let of = |timer: &serde_json::Value| {
            let (kind, by) = (text(&timer["kind"]), text(&timer["configured_in"]));
            (kind.to_owned(), by.to_owned(), timer["seconds"].as_f64().unwrap())
        };
        for (kind, by, seconds) in timers.iter().map(of) {
            if !configured.set(&kind, seconds) {
                faults.push(format!("{}: {kind} {seconds} of the {by} was never set", case.name));
            }
        }
        for (kind, by, value) in configured.must_show() {
            let shown = timers.iter().map(of).any(|(of, whose, seconds)| {
                of == kind && whose == by && (configured.set(&kind, seconds) || seconds == value)
            });
            if !shown {
                faults.push(format!("{}: no {kind} {value} of the {by}", case.name));
            }
        }
        faults
    });
    assert!(cases.len() >= 33, "only {}", cases.len());
    none(&faults.concat());
}

/// The captures whose connections are known.
fn labelled() -> Vec<Case> {
    let mut cases = cases();
    cases.retain(|case| !list(&case.truth["connections"]).is_empty());
    cases
}
