//! The README says what the program says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeMap;
use std::process::Command;

use common::{cases, parallel};
use goawhy::board::filter::{FIELDS, Field};
use goawhy::vocab::cause::Cause;

mod common;
mod proofs;
mod stored;
#[allow(dead_code, reason = "proofs uses a part of it")]
mod truth;

use proofs::proved;

// One test, so that nobody rewrites the file while another reads it.
#[test]
fn the_readme_is_true() {
    stored::stored("causes", &causes());
    stored::stored("filters", &filters());
    stored::stored("keys", &goawhy::tui::keys::markdown());
    let done = Command::new(env!("CARGO_BIN_EXE_goawhy"))
        .arg("captures/stacks/vertx-client-timeout-goaway1-10s.pcap")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("SSLKEYLOGFILE")
        .output()
        .unwrap();
    assert!(done.status.success());
    stored::stored("sample", &format!("```\n{}```\n", String::from_utf8(done.stdout).unwrap()));
}

/// Every field of filters.
fn filters() -> String {
    let row = |field: &Field| format!("| `{}` | {} |\n", field.name, field.meaning);
    let rows: String = FIELDS.iter().map(row).collect();
    format!("| field | what it is, and an example |\n| --- | --- |\n{rows}")
}

/// Every cause with its meaning, and how many endings (and groups of cancelled streams) of how many
/// labelled captures prove it: the program names it as the truth does. Captures made of others, cut
/// or with other headers, prove nothing new.
fn causes() -> String {
    let mut cases = cases();
    cases.retain(|case| case.truth["base"].is_null());
    let mut proofs: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for proved in parallel(&cases, proved) {
        let mut here: BTreeMap<String, usize> = BTreeMap::new();
        for cause in proved {
            *here.entry(cause).or_default() += 1;
        }
        for (cause, times) in here {
            let proof = proofs.entry(cause).or_default();
            proof.0 += times;
            proof.1 += 1;
        }
    }
    let mut table = "| cause | meaning | proved by |\n| --- | --- | --- |\n".to_string();
    for cause in Cause::ALL {
        let proof = match proofs.get(cause.name()) {
            _ if *cause == Cause::Unknown => "-".to_string(),
            Some((1, _)) => "once".to_string(),
            Some((times, captures)) => {
                let plural = if *captures == 1 { "" } else { "s" };
                format!("{times} times in {captures} capture{plural}")
            }
            None => "scripts only".to_string(),
        };
        table.push_str(&format!("| `{}` | {} | {proof} |\n", cause.name(), cause.meaning()));
    }
    table
}
