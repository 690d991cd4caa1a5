//! The house rules that a program can check: floors, clocks, sizes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::path::{Path, PathBuf};

/// What each room may name of ours, beside itself.
const FLOORS: &[(&str, &[&str])] = &[
    ("vocab", &[]),
    ("error", &[]),
    ("guard", &[]),
    ("capture", &["vocab", "error", "guard"]),
    ("packet", &["vocab", "guard"]),
    ("tcp", &["vocab"]),
    ("tls", &["vocab"]),
    ("h2", &["vocab"]),
    ("track", &["vocab"]),
    ("cause", &["vocab", "track::history"]),
    ("pipeline", &["vocab", "guard", "packet", "tcp", "tls", "h2", "track", "cause", "board"]),
    ("board", &["vocab"]),
    ("exchange", &["vocab"]),
    ("report", &["vocab", "board"]),
    ("tui", &["vocab", "board"]),
    ("run", &["vocab", "error", "guard", "capture", "pipeline", "board", "report", "tui"]),
    ("cli", &["vocab", "error", "run", "board", "report"]),
];

/// Packages that belong to one room.
const PACKAGES: &[(&str, &[&str])] = &[
    ("clap::", &["cli"]),
    ("caps::", &["run"]),
    ("etherparse::", &["packet", "exchange"]),
    ("httlib_hpack::", &["exchange"]),
    ("landlock::", &["run"]),
    ("libm::", &["board"]),
    ("nix::", &["run"]),
    ("pcap_parser::", &["capture"]),
    ("procfs::", &["run"]),
    ("opentelemetry_proto::", &["report"]),
    ("prometheus_client::", &["report"]),
    ("prost::", &["report"]),
    ("quick_xml::", &["report"]),
    ("ratatui::", &["tui"]),
    ("tokio::", &["run"]),
    ("ureq::", &["run"]),
    ("winnow::", &["board"]),
];

const LINE: usize = 100;
const FUNCTION: usize = 70;
const FILE: usize = 600;

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// Each source file: path below the project, room, text.
fn sources() -> Vec<(String, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    files(&root.join("src"), &mut found);
    files(&root.join("tests"), &mut found);
    found.sort();
    let source = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let path = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        let room = path.split(['/', '.']).nth(1).unwrap().to_owned();
        (path, room, text)
    };
    found.into_iter().map(source).collect()
}

/// Fails with every fault at once.
fn none(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Tests of a room may use others to build their input.
fn is_test(path: &str) -> bool {
    path.starts_with("tests/") || path.ends_with("tests.rs") || path.ends_with("sample.rs")
}

#[test]
fn rooms_name_only_what_lies_below() {
    let mut faults = Vec::new();
    for (path, room, text) in sources().iter().filter(|(path, ..)| !is_test(path)) {
        let Some((_, allowed)) = FLOORS.iter().find(|(name, _)| name == room) else { continue };
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for (number, line) in code.lines().enumerate() {
            let code = line.split("//").next().unwrap();
            let mut fault = |what: &str| faults.push(format!("{path}:{}: {what}", number + 1));
            for named in code.split("crate::").skip(1) {
                let fits = |name: &str| {
                    let rest = named.strip_prefix(name);
                    rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
                };
                if !fits(room) && !allowed.iter().any(|name| fits(name)) {
                    fault(&format!("{room} may not name {named}"));
                }
            }
            for (package, homes) in PACKAGES {
                if names(code, package) && !homes.contains(&room.as_str()) {
                    fault(&format!("{room} may not use {package}"));
                }
            }
        }
    }
    none(faults);
}

/// Whether a line names a package, and not one whose name ends alike.
fn names(code: &str, package: &str) -> bool {
    code.match_indices(package).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        before.is_none_or(|letter| !letter.is_alphanumeric() && letter != '_')
    })
}

#[test]
fn only_the_top_floor_reads_clocks() {
    let clocks = [["Instant", "now"].join("::"), ["SystemTime", "now"].join("::")];
    let below = |room: &str| !["run", "tui"].contains(&room);
    let sources = sources().into_iter().filter(|(path, room, _)| below(room) && !is_test(path));
    let reads = |text: &String| clocks.iter().any(|clock| text.contains(clock));
    none(sources.filter(|(.., text)| reads(text)).map(|(path, ..)| path).collect());
}

#[test]
fn lines_functions_and_files_are_short() {
    let mut faults = Vec::new();
    for (path, _, text) in sources() {
        if text.lines().count() > FILE {
            faults.push(format!("{path}: {} lines", text.lines().count()));
        }
        // rustfmt puts a function's closing brace into the column of its first line.
        let mut open: Option<(usize, String)> = None;
        for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
            let wide = line.chars().count() > LINE;
            if wide && !line.contains("://") && !path.starts_with("src/vocab") {
                faults.push(format!("{path}:{number}: longer than {LINE} columns"));
            }
            let indent = &line[..line.len() - line.trim_start().len()];
            if line.contains("fn ") && line.ends_with(['{', '(']) && !line.contains("//") {
                open = Some((number, format!("{indent}}}")));
            } else if let Some((start, _)) = open.take_if(|(_, end)| line == end)
                && number - start >= FUNCTION
            {
                faults.push(format!("{path}:{start}: a function of {} lines", number - start + 1));
            }
        }
    }
    none(faults);
}
