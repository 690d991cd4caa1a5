//! The binary as a user types it.

#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

fn goawhy(line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_goawhy"));
    command.args(line.split_whitespace()).env_remove("SSLKEYLOGFILE").output().unwrap()
}

fn status(line: &str) -> Option<i32> {
    goawhy(line).status.code()
}

#[test]
fn nothing_asked_shows_the_short_help() {
    let done = goawhy("");
    assert_eq!(done.status.code(), Some(2));
    assert!(String::from_utf8(done.stderr).unwrap().contains("Examples:"));
}

#[test]
fn what_is_not_built_is_a_usage_error() {
    for line in ["live", "explain x", "report --format html a.pcap", "report"] {
        assert_eq!(status(line), Some(2), "{line}");
    }
}

#[test]
fn what_cannot_be_read_is_one_line() {
    for line in ["/no/such/file.pcap", "report /no/such/file.pcap", "frames /no/such/file.pcap"] {
        let done = goawhy(line);
        assert_eq!(done.status.code(), Some(3), "{line}");
        assert_eq!(String::from_utf8(done.stderr).unwrap().lines().count(), 1, "{line}");
        assert!(done.stdout.is_empty(), "{line}");
    }
}

#[test]
fn help_and_version_are_answers() {
    for line in ["--help", "-h", "--version", "report --help", "frames --help", "explain 6.8"] {
        assert_eq!(status(line), Some(0), "{line}");
    }
}
