//! Every labelled capture against the report: what is known of it is said, and nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;
mod truth;

use std::collections::BTreeSet;

use goawhy::vocab::cause::Cause;

use common::{Case, cases, list, none, numbers, parallel, text};
use truth::{Tally, compare};

/// What the program does not get right: capture and connection, field, reason. An entry that has
/// become right fails the test, so that this list stays honest.
const KNOWN: &[(&str, &str, &str)] = &[
    ("tls/tls13_mid#0", "cause", "the requests that were counted came before the capture"),
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

/// The causes of a capture's truth that the report names at the same GOAWAY or end, or for the
/// same cancelled streams.
fn proved(case: &Case) -> Vec<String> {
    let report = case.report();
    let ours = list(&report["connections"]);
    let mut proved = Vec::new();
    for want in list(&case.truth["connections"]) {
        let same = |got: &&serde_json::Value| {
            got["client"] == want["client"] && got["server"] == want["server"]
        };
        for got in ours.iter().filter(same) {
            for goaway in list(&want["goaways"]) {
                let at = |other: &&serde_json::Value| other["packet"] == goaway["frame_no"];
                for other in list(&got["goaways"]).iter().filter(at) {
                    let verdict = &other["verdict"];
                    proved.extend(
                        (verdict["cause"] == goaway["cause"])
                            .then(|| text(&goaway["cause"]).to_owned()),
                    );
                    proved.extend(
                        (verdict["trigger"] == goaway["also"])
                            .then(|| text(&goaway["also"]).to_owned()),
                    );
                }
            }
            let end = &want["no_goaway_cause"];
            proved.extend((got["end_verdict"]["cause"] == *end).then(|| text(end).to_owned()));
            for group in truth::groups(want) {
                let streams = numbers(&group["streams"]);
                let told = |other: &&serde_json::Value| {
                    other["cause"] == group["cause"]
                        && !numbers(&other["streams"]).is_disjoint(&streams)
                };
                if list(&got["cancellations"]).iter().any(|other| told(&other)) {
                    proved.push(text(&group["cause"]).to_owned());
                }
            }
        }
    }
    proved
}

/// The captures whose connections are known.
fn labelled() -> Vec<Case> {
    let mut cases = cases();
    cases.retain(|case| !list(&case.truth["connections"]).is_empty());
    cases
}
