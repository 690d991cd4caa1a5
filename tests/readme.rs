//! The README says what the program says.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::process::Command;

use goawhy::report;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");

/// Compares the part of the README between two marks; `UPDATE=1` rewrites it.
fn stored(mark: &str, wanted: &str) {
    let text = fs::read_to_string(README).unwrap();
    let (open, close) = (format!("<!-- {mark} -->\n"), format!("<!-- /{mark} -->"));
    let (before, rest) = text.split_once(&open).expect("the opening mark");
    let (found, after) = rest.split_once(&close).expect("the closing mark");
    if std::env::var_os("UPDATE").is_some() {
        if found != wanted {
            fs::write(README, format!("{before}{open}{wanted}{close}{after}")).unwrap();
        }
        return;
    }
    assert_eq!(found, wanted, "rewrite it with UPDATE=1 cargo test");
}

// One test, so that nobody rewrites the file while another reads it.
#[test]
fn the_readme_is_true() {
    stored("causes", &report::causes_table());
}

#[test]
#[ignore = "until captures are read"]
fn the_sample_is_the_real_output() {
    let done = Command::new(env!("CARGO_BIN_EXE_goawhy"))
        .arg("captures/vertx-client-timeout-goaway1-10s.pcap")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("SSLKEYLOGFILE")
        .output()
        .unwrap();
    assert!(done.status.success());
    stored("sample", &format!("```\n{}```\n", String::from_utf8(done.stdout).unwrap()));
}
