//! The number of threads cannot be seen in the report.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::num::NonZeroUsize;

use common::{Case, cases, home};
use goawhy::report::json;
use goawhy::run::offline::{self, Job};
use goawhy::vocab::limits::Limits;

/// The report as it is written, with every stream.
fn octets(job: &Job, threads: usize) -> String {
    let job = Job { threads: NonZeroUsize::new(threads), streams: true, ..job.clone() };
    let board = offline::report(&job).unwrap();
    let mut out = Vec::new();
    json::write(&mut out, &board, &json::Options { streams: true, ..Default::default() }).unwrap();
    String::from_utf8(out).unwrap()
}

/// Captures that can be read at all.
fn readable() -> Vec<Case> {
    cases().into_iter().filter(|case| offline::probe(&case.capture).is_ok()).collect()
}

#[test]
fn every_capture_reads_the_same_with_any_number_of_threads() {
    for case in readable() {
        let job = case.job();
        let alone = octets(&job, 1);
        for threads in [2, 7] {
            assert_eq!(alone, octets(&job, threads), "{}, {threads} threads", case.name);
        }
    }
}

/// Together they fill batches enough for threads to be started and to fall behind.
#[test]
fn all_captures_at_once_read_the_same_with_any_number_of_threads() {
    let mut files: Vec<_> = readable().into_iter().map(|case| case.capture).collect();
    files.sort();
    files.dedup();
    assert!(files.len() > 20, "too few captures below {}", home().display());
    // Also where most of what is found has to be let go.
    let few = Limits { connections: 64, servers: 4, other_flows: 32, ..Limits::default() };
    for limits in [Limits::default(), few] {
        let job = Job { files: files.clone(), limits, ..Job::default() };
        let alone = octets(&job, 1);
        for threads in [2, 3, 7] {
            assert_eq!(alone, octets(&job, threads), "{threads} threads");
        }
    }
}
