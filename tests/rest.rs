//! Whether connections rest between their packets cannot be seen in the report.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::num::NonZeroUsize;

use common::{Case, cases, none, parallel};
use goawhy::report::json;
use goawhy::run::offline::{self, Job};
use goawhy::vocab::limits::Limits;

/// The report as it is written where so many connections are kept ready.
fn octets(job: &Job, awake: usize) -> String {
    let limits = Limits { awake, ..job.limits.clone() };
    let board = offline::report(&Job { limits, ..job.clone() }).unwrap();
    let mut out = Vec::new();
    json::write(&mut out, &board, &json::Options::default()).unwrap();
    String::from_utf8(out).unwrap()
}

/// Captures that can be read at all.
fn readable() -> Vec<Case> {
    cases().into_iter().filter(|case| offline::probe(&case.capture).is_ok()).collect()
}

#[test]
fn every_capture_reads_the_same_where_all_rest_after_each_packet() {
    let cases = readable();
    let faults: Vec<Vec<String>> = parallel(&cases, |case| {
        // A list of streams would keep them awake.
        let job = Job { threads: NonZeroUsize::new(1), streams: false, ..case.job() };
        let ready = octets(&job, usize::MAX);
        let differs = |awake: &usize| octets(&job, *awake) != ready;
        let differing = [0, 1, 3].into_iter().filter(differs);
        differing.map(|awake| format!("{}: {awake} awake", case.name)).collect()
    });
    none(&faults.concat());
}

#[test]
fn all_captures_at_once_read_the_same_where_few_are_awake() {
    let mut files: Vec<_> = readable().into_iter().map(|case| case.capture).collect();
    files.sort();
    files.dedup();
    let job = Job { files, ..Job::default() };
    let ready = octets(&job, usize::MAX);
    for awake in [0, 5, 64] {
        assert!(ready == octets(&job, awake), "{awake} awake");
    }
}
