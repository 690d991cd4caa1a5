//! The same captures through goawhy and tshark: frames found, frames and header values that are
//! not true. Ignored by default, since tshark is not everywhere and slow:
//! `UPDATE=1 cargo test --release --test peer -- --ignored` rewrites the README's table.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

mod stored;

/// A frame as both programs can tell it: sender's side, type, stream and length.
type Key = (bool, u64, u64, u64);

/// What one program made of some captures.
#[derive(Default)]
struct Score {
    found: usize,
    invented: usize,
    values: usize,
    untrue: usize,
}

/// Frames and header values that one program tells of one capture.
#[derive(Default)]
struct Told {
    frames: BTreeMap<Key, usize>,
    values: Vec<String>,
}

const KINDS: &[&str] = &[
    "DATA",
    "HEADERS",
    "PRIORITY",
    "RST_STREAM",
    "SETTINGS",
    "PUSH_PROMISE",
    "PING",
    "GOAWAY",
    "WINDOW_UPDATE",
    "CONTINUATION",
];

fn kind(name: &str) -> Option<u64> {
    KINDS.iter().position(|kind| *kind == name).map(|place| place as u64)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// True frames of a capture: its own list, or its base's.
fn truth(folder: &Path, stem: &str) -> Option<Vec<Value>> {
    let own = folder.join(format!("{stem}.frames.json"));
    let path = if own.exists() {
        own
    } else {
        let base = json(&folder.join(format!("{stem}.truth.json")))["base"].as_str()?.to_string();
        folder.parent()?.join("base").join(format!("{base}.frames.json"))
    };
    let mut frames = json(&path).as_array().cloned()?;
    if stem.contains("portreuse") {
        // The same octets twice, as two connections. Where the first one's end was not captured,
        // its last frame was not either.
        let mut first = frames.clone();
        if stem.contains("nofin") {
            first.pop();
        }
        frames.extend(first);
    }
    Some(frames)
}

fn true_values(frames: &[Value]) -> BTreeSet<String> {
    let mut values = BTreeSet::new();
    for frame in frames {
        let listed = frame["headers"].as_array().into_iter().flatten();
        values.extend(listed.filter_map(|pair| pair[1].as_str()).map(str::to_string));
        for field in frame["fields"].as_array().into_iter().flatten() {
            values.extend(field["value"].as_str().map(str::to_string));
            values.extend(field["true"][1].as_str().map(str::to_string));
        }
    }
    values
}

fn ours(capture: &Path) -> Told {
    let done = Command::new(env!("CARGO_BIN_EXE_goawhy"))
        .args(["frames", "--format", "jsonl", "--headers"])
        .arg(capture)
        .output()
        .unwrap();
    let mut told = Told::default();
    for line in String::from_utf8(done.stdout).unwrap().lines() {
        let frame: Value = serde_json::from_str(line).unwrap();
        let listed = frame["headers"].as_array().into_iter().flatten();
        told.values.extend(listed.filter_map(|pair| pair[1].as_str()).map(str::to_string));
        let Some(kind) = kind(frame["type"].as_str().unwrap()) else { continue };
        let number = |name: &str| frame[name].as_u64().unwrap();
        let key = (frame["by"] == "client", kind, number("stream"), number("length"));
        *told.frames.entry(key).or_default() += 1;
    }
    told
}

/// What tshark tells by itself, or with the port told to it.
fn tshark(capture: &Path, port: Option<u64>) -> Told {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(capture).args(["-T", "fields", "-E", "separator=|"]);
    for field in
        ["tcp.srcport", "http2.type", "http2.streamid", "http2.length", "http2.header.value"]
    {
        command.args(["-e", field]);
    }
    if let Some(port) = port {
        command.args(["-d", &format!("tcp.port=={port},http2")]);
    }
    let done = command.output().unwrap();
    let mut told = Told::default();
    for line in String::from_utf8_lossy(&done.stdout).lines() {
        let columns: Vec<&str> = line.split('|').collect();
        let list = |place: usize| {
            let column = columns.get(place).copied().unwrap_or_default();
            column.split(',').filter_map(|text| text.parse::<u64>().ok()).collect::<Vec<u64>>()
        };
        let from = list(0).last().copied().unwrap_or(0);
        let client = port_of_server(capture).is_none_or(|server| server != from);
        for ((kind, stream), length) in list(1).into_iter().zip(list(2)).zip(list(3)) {
            *told.frames.entry((client, kind, stream, length)).or_default() += 1;
        }
        // Values may hold commas themselves: only those that do not are compared.
        let values = columns.get(4).copied().unwrap_or_default();
        told.values.extend(values.split(',').filter(|v| !v.is_empty()).map(str::to_string));
    }
    told
}

fn port_of_server(capture: &Path) -> Option<u64> {
    let name = capture.file_name()?.to_str()?;
    let stem = name.split('.').next()?;
    let truth = json(&capture.with_file_name(format!("{stem}.truth.json")));
    let server = truth["connections"][0]["server"].as_str()?.to_string();
    server.rsplit(':').next()?.parse().ok()
}

fn add(score: &mut Score, told: &Told, frames: &[Value], values: &BTreeSet<String>) {
    let mut left = told.frames.clone();
    for frame in frames {
        let Some(kind) = kind(frame["type"].as_str().unwrap()) else { continue };
        let number = |name: &str| frame[name].as_u64().unwrap();
        let key = (frame["dir"] == "c2s", kind, number("stream_id"), number("length"));
        if let Some(count) = left.get_mut(&key).filter(|count| **count > 0) {
            *count -= 1;
            score.found += 1;
        }
    }
    score.invented += left.values().sum::<usize>();
    let whole: BTreeSet<&str> =
        values.iter().flat_map(|value| value.split(',')).map(str::trim).collect();
    score.values += told.values.len();
    let untrue = |value: &&String| {
        !values.contains(*value) && !whole.contains(value.trim().trim_matches('"'))
    };
    score.untrue += told.values.iter().filter(untrue).count();
}

fn captures(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found: Vec<(PathBuf, String)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.to_string();
            let stem = name.strip_suffix(".pcap").or_else(|| name.strip_suffix(".pcapng"))?;
            Some((path.clone(), stem.to_string()))
        })
        .collect();
    found.sort();
    found
}

#[test]
#[ignore = "needs tshark"]
fn beside_tshark() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/wires");
    let version = Command::new("tshark").arg("--version").output().expect("tshark");
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let version = version.split_whitespace().nth(2).unwrap_or_default().to_string();
    let mut table = format!(
        "Frames found / invented, and header values that are not true (tshark {}; by itself, and \
         with the port told):\n\n| captures | true frames | goawhy | tshark | tshark, port told |\n\
         | --- | --- | --- | --- | --- |\n",
        version.trim_end_matches('.')
    );
    for folder in ["base", "link", "encap", "tcp", "proto", "loss", "mid", "snap"] {
        let folder = root.join(folder);
        let mut scores = [Score::default(), Score::default(), Score::default()];
        let mut total = 0;
        for (capture, stem) in captures(&folder) {
            let Some(frames) = truth(&folder, &stem) else { continue };
            let visible =
                |frame: &Value| !matches!(frame["vis"].as_str(), Some("hidden" | "length_only"));
            let http2 = |frame: &&Value| frame["type"] != "PREFACE";
            total += frames.iter().filter(|frame| visible(frame)).filter(http2).count();
            let values = true_values(&frames);
            let port = port_of_server(&capture);
            let told = [ours(&capture), tshark(&capture, None), tshark(&capture, port)];
            for (score, told) in scores.iter_mut().zip(&told) {
                add(score, told, &frames, &values);
            }
        }
        let cell = |score: &Score| {
            format!("{} / {}, {} of {}", score.found, score.invented, score.untrue, score.values)
        };
        let name = folder.file_name().unwrap().to_str().unwrap();
        let cells: Vec<String> = scores.iter().map(cell).collect();
        table.push_str(&format!("| {name} | {total} | {} |\n", cells.join(" | ")));
    }
    stored::stored("peer", &table);
}
