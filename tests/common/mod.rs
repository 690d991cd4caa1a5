//! What the tests on captures share: the captures with their truths, and the program's answers.

#![allow(dead_code, reason = "each test uses a part of it")]

pub mod cut;
pub mod damage;
pub mod live;
pub mod process;
pub mod tls;
pub mod wire;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use goawhy::board::Board;
use goawhy::error::Error;
use goawhy::report::frames::{Format, FrameWriter};
use goawhy::report::json;
use goawhy::run::offline::{self, Job};
use goawhy::vocab::packet::Skip;

/// A capture with what is known about it.
pub struct Case {
    /// Path below `captures`, without ends: `stacks/vertx4512-idle`.
    pub name: String,
    pub capture: PathBuf,
    pub keys: Option<PathBuf>,
    pub truth: Value,
}

impl Case {
    /// Whether octets are missing that its base has.
    pub fn is_partial(&self) -> bool {
        let cut = self.truth["http2_identical_to_base"] == false;
        cut && self.truth.get("expected").is_some() || self.truth.get("visibility").is_some()
    }

    pub fn report(&self) -> Value {
        report(&self.job()).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    pub fn frames(&self) -> Vec<Value> {
        frames(&self.job()).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    pub fn job(&self) -> Job {
        let keylogs = self.keys.iter().cloned().collect();
        Job { keylogs, ..job(&self.capture) }
    }
}

pub fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures")
}

pub fn read_json(path: &Path) -> Value {
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every capture that has a truth file, by name.
pub fn cases() -> Vec<Case> {
    let mut paths = Vec::new();
    walk(&home(), &mut paths);
    paths.sort();
    let truths = paths.iter().filter_map(|path| {
        let stem = path.to_str().unwrap().strip_suffix(".truth.json")?;
        Some(case(Path::new(stem), read_json(path)))
    });
    truths.collect()
}

/// The cases of these names.
pub fn cases_named(names: &[&str]) -> Vec<Case> {
    let found: Vec<Case> =
        cases().into_iter().filter(|case| names.contains(&case.name.as_str())).collect();
    assert_eq!(found.len(), names.len(), "a capture of {names:?} is missing");
    found
}

fn case(stem: &Path, truth: Value) -> Case {
    let name = stem.strip_prefix(home()).unwrap().to_str().unwrap().to_owned();
    let folder = stem.parent().unwrap();
    let named = |key: &str| truth[key].as_str().map(|file| folder.join(file));
    let capture = named("capture").unwrap_or_else(|| format!("{}.pcap", stem.display()).into());
    let beside = PathBuf::from(format!("{}.keys", stem.display()));
    let beside = (!name.contains("nokeys") && truth["keylog"] != false).then_some(beside);
    let keys = [named("keys"), beside].into_iter().flatten().find(|path| path.exists());
    Case { name, capture, keys, truth }
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}

pub fn job(file: &Path) -> Job {
    Job { files: vec![file.to_owned()], streams: true, ..Job::default() }
}

/// The JSON report, as octets.
pub fn report_text(job: &Job) -> Result<Vec<u8>, Error> {
    let board = offline::report(job)?;
    sound(&board);
    let mut out = Vec::new();
    let options = json::Options { streams: job.streams, ..json::Options::default() };
    json::write(&mut out, &board, &options).unwrap();
    Ok(out)
}

/// Fails where a fault of the program was caught: a report goes on without what it cost.
pub fn sound(board: &Board) {
    assert_eq!(board.faults, []);
    for capture in &board.captures {
        assert!(!capture.skipped.contains_key(&Skip::Fault), "{}", capture.file);
        let damage = capture.damage.as_ref();
        assert!(!damage.is_some_and(|of| of.what.contains("goawhy failed")), "{damage:?}");
    }
}

pub fn report(job: &Job) -> Result<Value, Error> {
    Ok(serde_json::from_slice(&report_text(job)?).unwrap())
}

/// Every frame with its headers, as `goawhy frames --format jsonl --headers` tells it.
pub fn frames(job: &Job) -> Result<Vec<Value>, Error> {
    let mut writer = FrameWriter::new(Vec::new(), Format::Jsonl, true, false);
    let listed = offline::frames(job, |connection, frame| writer.write(connection, frame))?;
    assert_eq!(listed.unwrap().faults, []);
    let text = writer.finish().unwrap();
    let lines = text.split(|octet| *octet == b'\n').filter(|line| !line.is_empty());
    Ok(lines.map(|line| serde_json::from_slice(line).unwrap()).collect())
}

/// What `each` gives for every item, in order, computed on all cores.
pub fn parallel<T: Sync, R: Send>(items: &[T], each: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((index, item)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    items.get(index).map(|item| (index, item))
                } {
                    let result = each(item);
                    results.lock().unwrap().push((index, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Fails with everything at once.
pub fn none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{} faults\n{}", faults.len(), faults.join("\n"));
}

/// The list at `value`; empty where there is none.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The numbers at `value`.
pub fn numbers(value: &Value) -> BTreeSet<u64> {
    list(value).iter().filter_map(Value::as_u64).collect()
}

/// The text at `value`; empty where there is none.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
