//! The README says what the program says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use goawhy::board::filter::{FIELDS, Field};
use goawhy::vocab::cause::Cause;

mod stored;

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

/// Every cause with its meaning, and how many labelled endings of how many captures prove it.
fn causes() -> String {
    let mut proofs: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    count(&Path::new(env!("CARGO_MANIFEST_DIR")).join("captures"), &mut proofs);
    let mut table = "| cause | meaning | proved by |\n| --- | --- | --- |\n".to_string();
    for cause in Cause::ALL {
        let proof = match proofs.get(cause.name()) {
            Some((endings, captures)) => {
                let plural = |count: &usize| if *count == 1 { "" } else { "s" };
                let (e, c) = (plural(endings), plural(captures));
                format!("{endings} ending{e} in {captures} capture{c}")
            }
            None if *cause == Cause::Unknown => "-".to_string(),
            None => "scripts only".to_string(),
        };
        table.push_str(&format!("| `{}` | {} | {proof} |\n", cause.name(), cause.meaning()));
    }
    table
}

fn count(folder: &Path, proofs: &mut BTreeMap<String, (usize, usize)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            count(&path, proofs);
            continue;
        }
        if !path.to_str().unwrap().ends_with(".truth.json") {
            continue;
        }
        let truth: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let mut here: BTreeMap<&str, usize> = BTreeMap::new();
        let empty = Vec::new();
        for connection in truth["connections"].as_array().unwrap_or(&empty) {
            let goaways = connection["goaways"].as_array().unwrap_or(&empty);
            let leaders = goaways.iter().filter(|goaway| goaway["follows"].is_null());
            let causes = leaders.flat_map(|goaway| [&goaway["cause"], &goaway["also"]]);
            for cause in causes.chain([&connection["no_goaway_cause"]]) {
                if let Some(name) = cause.as_str() {
                    *here.entry(name).or_default() += 1;
                }
            }
            let groups = connection["cancellations"].as_array();
            let one = std::slice::from_ref(&connection["cancellations"]);
            for group in groups.map_or(one, Vec::as_slice) {
                if group["cause"] == "client_cancel_burst" {
                    *here.entry("client_cancel_burst").or_default() += 1;
                }
            }
        }
        for (name, endings) in here {
            let proof = proofs.entry(name.to_string()).or_default();
            proof.0 += endings;
            proof.1 += 1;
        }
    }
}
