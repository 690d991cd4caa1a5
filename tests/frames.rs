//! Captures whose every frame is known: what can be found is found, and nothing is invented.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::collections::{HashMap, VecDeque};

use serde_json::Value;

use common::wire::{Flow, Wire, frame};
use common::{Case, cases, home, list, none, parallel, read_json, text};
use goawhy::vocab::frame::PREFACE;

/// How visible a true frame is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Certain,
    /// The reader may need some octets until it knows where frames begin.
    AfterResync,
    /// Cannot be known, or only in part: may be told.
    Hidden,
}

/// What one capture gave.
#[derive(Default)]
struct Score {
    faults: Vec<String>,
    /// Found and all, of those that should be found after a resync.
    resync: (usize, usize),
    frames: usize,
    fields: usize,
}

#[test]
fn every_frame_that_can_be_known_is_told_and_no_other() {
    let known: Vec<(Case, Vec<Value>)> = cases().into_iter().filter_map(with_frames).collect();
    let scores = parallel(&known, |(case, want)| score(case, want));
    let faults: Vec<String> = scores.iter().flat_map(|score| score.faults.clone()).collect();
    none(&faults);
    let sum = |of: fn(&Score) -> usize| scores.iter().map(of).sum::<usize>();
    let (found, all) = (sum(|score| score.resync.0), sum(|score| score.resync.1));
    assert!(100 * found >= 95 * all, "after a resync: {found} of {all}");
    assert!(known.len() > 35 && sum(|score| score.frames) > 3500, "too few captures");
    assert!(sum(|score| score.fields) > 14_000, "too few header fields");
}

#[test]
fn debug_data_that_was_cut_off_says_so() {
    let text = b"too_many_pings";
    let body = [&[0, 0, 0, 1, 0, 0, 0, 11][..], text].concat();
    let settings = frame(4, 0, 0, b"");
    let mut flow = Flow::new(40_000);
    let mut packets = flow.open(1_000_000_000);
    let hello = [&PREFACE[..], &settings].concat();
    packets.push(flow.send(1_001_000_000, false, 0x18, &hello));
    let goaway = [settings, frame(7, 0, 0, &body)].concat();
    packets.push(flow.send(1_002_000_000, true, 0x18, &goaway));
    let told = |cut: usize| {
        let mut packets = packets.clone();
        let last = packets.last_mut().unwrap();
        last.data.truncate(last.data.len() - cut);
        let wire = Wire { link: 1, packets };
        wire.with_file(|path| {
            let report = common::report(&common::job(path)).unwrap();
            let goaway = &report["connections"][0]["goaways"][0];
            let frames = common::frames(&common::job(path)).unwrap();
            let frame = frames.iter().find(|frame| frame["type"] == "GOAWAY").unwrap();
            [goaway, frame].map(|of| (of["debug"].clone(), of["debug_missing"].clone()))
        })
    };
    assert_eq!(
        told(0),
        [("too_many_pings".into(), Value::Null), ("too_many_pings".into(), Value::Null)]
    );
    assert_eq!(told(6), [("too_many".into(), 6.into()), ("too_many".into(), 6.into())]);
}

#[test]
fn damaged_files_are_read_as_far_as_they_go() {
    let bad: Vec<Case> =
        cases().into_iter().filter(|case| case.name.starts_with("wires/bad/")).collect();
    assert!(bad.len() > 30);
    let faults = parallel(&bad, |case| {
        let job = case.job();
        match (common::report(&job), common::frames(&job)) {
            (Ok(_), Ok(_)) => None,
            (Err(one), Err(two)) => {
                let texts = [one.to_string(), two.to_string()];
                let ok = texts.iter().all(|text| text.len() > 10 && !text.contains('\n'));
                (!ok).then(|| format!("{}: {texts:?}", case.name))
            }
            _ => Some(format!("{}: readable for one command only", case.name)),
        }
    });
    none(&faults.into_iter().flatten().collect::<Vec<_>>());
}

/// The case with its true frames, where they are known: its own list or that of its base.
fn with_frames(case: Case) -> Option<(Case, Vec<Value>)> {
    let own = home().join(format!("{}.frames.json", case.name));
    let base = match &case.truth["base"] {
        Value::String(name) => home().join(format!("wires/base/{name}.frames.json")),
        _ => own.clone(),
    };
    let is_bad = case.name.starts_with("wires/bad/");
    let path = [own, base].into_iter().find(|path| path.exists() && !is_bad)?;
    let mut frames = list(&read_json(&path)).to_vec();
    if case.name.contains("portreuse") {
        // The same octets twice, as two connections; without FIN the first is cut short.
        let mut again = frames.clone();
        if case.name.contains("nofin") {
            again.iter_mut().for_each(|frame| frame["vis"] = "hidden".into());
        }
        frames.append(&mut again);
    }
    Some((case, frames))
}

fn level(frame: &Value) -> Level {
    match frame["vis"].as_str() {
        None | Some("certain") => Level::Certain,
        Some("after_resync") => Level::AfterResync,
        Some(_) => Level::Hidden,
    }
}

type Key = (bool, String, u64, u64);

fn score(case: &Case, want: &[Value]) -> Score {
    let told = case.frames();
    let mut pool: HashMap<Key, VecDeque<&Value>> = HashMap::new();
    for frame in &told {
        let number = |key: &str| frame[key].as_u64().unwrap();
        let key = (
            frame["by"] == "client",
            text(&frame["type"]).to_owned(),
            number("stream"),
            number("length"),
        );
        pool.entry(key).or_default().push_back(frame);
    }
    let mut score = Score { frames: want.len(), ..Score::default() };
    let matched = matched(want, &mut pool);
    for (frame, found) in want.iter().zip(&matched) {
        match (level(frame), found) {
            (Level::Certain, None) => {
                let cut: String = frame.to_string().chars().take(150).collect();
                score.faults.push(format!("{}: not found: {cut}", case.name));
            }
            (Level::AfterResync, found) => {
                score.resync.0 += usize::from(found.is_some());
                score.resync.1 += 1;
            }
            _ => {}
        }
        if let Some(found) = found {
            headers(&mut score, case, frame, found);
        }
    }
    for left in pool.values().flatten() {
        let cut: String = left.to_string().chars().take(150).collect();
        score.faults.push(format!("{}: invented: {cut}", case.name));
    }
    score
}

/// For each true frame the one that was told: those at the very packet first (a file of its own
/// says where each frame ends), then the rest in order, the surest first.
fn matched<'t>(
    want: &[Value],
    pool: &mut HashMap<Key, VecDeque<&'t Value>>,
) -> Vec<Option<&'t Value>> {
    let key = |frame: &Value| {
        let number = |key: &str| frame[key].as_u64().unwrap();
        let kind = text(&frame["type"]).to_owned();
        (frame["dir"] == "c2s", kind, number("stream_id"), number("length"))
    };
    let mut matched = vec![None; want.len()];
    if want.iter().any(|frame| frame.get("vis").is_some_and(|vis| vis != "hidden")) {
        for (frame, found) in want.iter().zip(&mut matched) {
            let Some(waiting) = pool.get_mut(&key(frame)) else { continue };
            let same = waiting.iter().position(|told| told["packet"] == frame["packet"]);
            if let Some(same) = same.filter(|_| level(frame) != Level::Hidden) {
                *found = waiting.remove(same);
            }
        }
    }
    let mut rest: Vec<usize> = (0..want.len()).filter(|index| matched[*index].is_none()).collect();
    rest.sort_by_key(|index| level(&want[*index]) == Level::Hidden);
    for index in rest {
        matched[index] = pool.get_mut(&key(&want[index])).and_then(VecDeque::pop_front);
    }
    matched
}

type Pair = (Value, Value);

/// Every field that can be known is told, and none is wrong.
fn headers(score: &mut Score, case: &Case, want: &Value, got: &Value) {
    let told: Vec<Pair> = list(&got["headers"]).iter().map(pair).collect();
    let mut truth: Vec<Pair> = list(&want["headers"]).iter().map(pair).collect();
    let mut known = truth.clone();
    for field in list(&want["fields"]) {
        let shown = (field["name"].clone(), field["value"].clone());
        if field["status"] == "known" {
            known.push(shown.clone());
            truth.push(shown);
        } else if list(&field["true"]).is_empty() {
            truth.push(shown);
        } else {
            truth.push(pair(&field["true"]));
        }
    }
    score.fields += known.len();
    let mut left = told.clone();
    for field in &known {
        match left.iter().position(|told| told == field) {
            Some(place) => drop(left.remove(place)),
            None => score.faults.push(format!("{}: field not told: {field:?}", case.name)),
        }
    }
    for (name, value) in &told {
        let fits = |(true_name, true_value): &Pair| {
            (name.is_null() || name == true_name) && (value.is_null() || value == true_value)
        };
        if !truth.is_empty() && !truth.iter().any(fits) {
            score.faults.push(format!("{}: wrong field: {name}: {value}", case.name));
        }
    }
}

fn pair(field: &Value) -> Pair {
    (field[0].clone(), field[1].clone())
}
