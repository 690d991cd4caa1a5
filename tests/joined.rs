//! Captures that begin while a connection is at work: each request is told once, and none is left
//! unfinished that the whole capture saw answered.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use common::damage::Loss;
use common::wire::Wire;
use common::{cases_named, job, list, none, parallel, text};
use goawhy::run::offline::Job;

const CAPTURES: &[&str] = &[
    "stacks/go127-healthy-busy",
    "stacks/vertx-client-timeout-goaway1-10s",
    "servers/nginx-max-requests",
    "servers/nginx-reload",
];

/// Streams by connection: how often each is listed, and how it ended.
fn streams(report: &Value) -> BTreeMap<(String, u64), Vec<String>> {
    let mut found: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for connection in list(&report["connections"]) {
        let ends = format!("{} {}", text(&connection["client"]), text(&connection["server"]));
        for stream in list(&connection["stream_list"]) {
            let id = stream["id"].as_u64().unwrap();
            let how = text(&stream["end"]["how"]).to_owned();
            found.entry((ends.clone(), id)).or_default().push(how);
        }
    }
    found
}

#[test]
fn a_stream_is_told_once_wherever_the_capture_begins() {
    let cases = cases_named(CAPTURES);
    let read = |path: &std::path::Path| {
        let job = Job { streams: true, ..job(path) };
        streams(&common::report(&job).unwrap())
    };
    let faults = parallel(&cases, |case| {
        let wire = Wire::read(&case.capture);
        let whole = wire.with_file(read);
        let mut faults = Vec::new();
        for at in (3..wire.packets.len()).step_by(11) {
            for (stream, ends) in Loss::Joined(at).apply(&wire).with_file(read) {
                let known: BTreeSet<_> = whole[&stream].iter().collect();
                if ends.len() > 1 || ends.iter().any(|end| !known.contains(end)) {
                    faults.push(format!("{} from {at}: {stream:?} {ends:?}", case.name));
                }
            }
        }
        faults
    });
    none(&faults.concat());
}
