//! The whole program on any octets as a file: both commands, every format.

use goawhy::report::frames::{Format, FrameWriter};
use goawhy::report::{json, text};
use goawhy::run::offline::{self, Job};
use goawhy::vocab::packet::Skip;
use goawhy::vocab::text::acts;
use serde_json::Value;

use crate::capture::with_file;

/// Octets of one input; what is longer repeats itself.
const LONGEST: usize = 256 * 1024;

/// No panic; the report is JSON, its evidence stands in order and within the file, and no stream
/// is both safe to retry and perhaps processed; no output has a sign that acts on a terminal.
pub fn run(data: &[u8]) {
    if data.len() > LONGEST {
        return;
    }
    with_file(data, |path| {
        let threads = std::num::NonZeroUsize::new(1);
        let job = Job { files: vec![path.to_owned()], streams: true, threads, ..Job::default() };
        let Ok(board) = offline::report(&job) else { return };
        assert_eq!(board.faults, []);
        for facts in &board.captures {
            assert!(!facts.skipped.contains_key(&Skip::Fault));
            let damage = facts.damage.as_ref().map_or("", |damage| &damage.what);
            assert!(!damage.contains("goawhy failed"), "{damage}");
        }
        let mut out = Vec::new();
        let options = json::Options { streams: true, ..json::Options::default() };
        json::write(&mut out, &board, &options).unwrap();
        is_printable(&out);
        check(&serde_json::from_slice(&out).expect("JSON"));
        let mut out = Vec::new();
        text::write(&mut out, &board, &text::Options::default()).unwrap();
        is_printable(&out);
        for format in [Format::Text, Format::Jsonl] {
            let mut writer = FrameWriter::new(Vec::new(), format, true, false);
            let listed = offline::frames(&job, |id, frame| writer.write(id, frame)).unwrap();
            assert_eq!(listed.unwrap().faults, []);
            is_printable(&writer.finish().unwrap());
        }
    });
}

fn is_printable(octets: &[u8]) {
    let text = std::str::from_utf8(octets).expect("UTF-8");
    let bad = text.chars().find(|sign| acts(*sign) && *sign != '\n');
    assert_eq!(bad, None, "a sign that acts: {text}");
}

/// Evidence stands in order and within the file; no stream is both safe to retry and perhaps
/// processed.
pub fn check(report: &Value) {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let packets = report["captures"][0]["packets"].as_u64().unwrap();
    for connection in list(&report["connections"]) {
        let goaways = list(&connection["goaways"]);
        let verdicts = goaways.iter().map(|goaway| &goaway["verdict"]);
        for verdict in verdicts.chain([&connection["end_verdict"]]) {
            let sure = verdict["confidence"].as_f64().unwrap_or(0.0);
            assert!((0.0..=1.0).contains(&sure));
            let safe = list(&verdict["safe_to_retry_streams"]);
            let processed = list(&verdict["maybe_processed_streams"]);
            assert!(!safe.iter().any(|stream| processed.contains(stream)), "{verdict}");
            let mut last = None;
            for step in list(&verdict["chain"]) {
                let packet = step["packet"].as_u64().unwrap();
                assert!((1..=packets).contains(&packet), "{step}");
                let at = step["at"].as_str().unwrap().to_owned();
                assert!(last.as_ref().is_none_or(|last| *last <= at), "{verdict}");
                last = Some(at);
            }
        }
    }
}
