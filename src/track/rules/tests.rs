//! Scripts that break rules, and look-alikes that do not.

mod framing;
mod legal;
mod messages;
mod streams;
mod windows;

use crate::exchange;
use crate::pipeline::{Pipeline, Sink};
use crate::track::history::History;
use crate::vocab::limits::Limits;
use crate::vocab::packet::{LinkType, Packet};
use crate::vocab::rule::Rule;
use crate::vocab::time::{Stamp, Timestamp};
use crate::vocab::tls::TlsFacts;

/// Both sides' SETTINGS, acknowledged; what follows begins at 5 ms.
const OPENED: &str = "0 SYN\n1 C> PREFACE\n+ SETTINGS\n2 S> SETTINGS\n+ SETTINGS ACK\n\
                      3 C> SETTINGS ACK\n";

/// A request on stream 1 at 4 ms.
const GET: &str = ":method=GET :scheme=http :authority=a :path=/";
const POST: &str = ":method=POST :scheme=http :authority=a :path=/";

#[derive(Default)]
struct Histories(Vec<History>);

impl Sink for Histories {
    fn connection(&mut self, history: History, _: Option<TlsFacts>) {
        self.0.push(history);
    }
}

/// The only connection of a whole script.
fn history(script: &str) -> History {
    let limits = Limits::default();
    let mut pipeline = Pipeline::new(&limits, &[], false);
    let mut sink = Histories::default();
    let packets = exchange::packets(script).unwrap_or_else(|error| panic!("{error}\n{script}"));
    for ((at, data), number) in packets.iter().zip(1..) {
        let stamp = Stamp::new(0, number, Timestamp(*at));
        let wire_length = data.len() as u32;
        let packet = Packet { stamp, link: LinkType::ETHERNET, data, wire_length, fcs_length: 0 };
        pipeline.push(&packet, &mut sink).unwrap();
    }
    pipeline.finish(&mut sink);
    assert_eq!(sink.0.len(), 1, "one connection:\n{script}");
    sink.0.remove(0)
}

/// Findings as `side rule stream @millisecond`.
fn found(history: &History) -> Vec<String> {
    let ms = |stamp: Stamp| (stamp.at.0 - exchange::START) / 1_000_000;
    let line = |finding: &crate::vocab::verdict::Finding| {
        let (by, id) = (finding.by.name(), finding.rule.id);
        assert!(!finding.text.is_empty() && !finding.text.ends_with('.'));
        format!("{by} {id} {} @{}", finding.stream, ms(finding.stamp))
    };
    history.findings.iter().map(line).collect()
}

/// Replaces `GET` and `POST` behind HEADERS by their fields.
fn spelled(script: &str) -> String {
    let mut text = String::new();
    for line in script.lines() {
        let line = line.trim();
        let words: Vec<&str> = line
            .split(' ')
            .map(|word| match word {
                "GET" => GET,
                "POST" => POST,
                other => other,
            })
            .collect();
        text.push_str(&words.join(" "));
        text.push('\n');
    }
    text
}

/// Each script, sent behind [`OPENED`], gives just these findings.
fn check_opened(cases: &[(&str, &[&str])]) {
    for (script, wanted) in cases {
        let script = format!("{OPENED}{}", spelled(script));
        assert_eq!(found(&history(&script)), *wanted, "{script}");
    }
}

/// Each whole script gives just these findings.
fn check_whole(cases: &[(&str, &[&str])]) {
    for (script, wanted) in cases {
        let script = spelled(script);
        assert_eq!(found(&history(&script)), *wanted, "{script}");
    }
}

#[test]
fn a_rule_told_often_is_told_no_more() {
    let mut script = OPENED.to_owned();
    for at in 5..100 {
        script.push_str(&format!("{at} C> DATA 0 1\n"));
    }
    script.push_str("100 C> PING 0102\n");
    let history = history(&script);
    assert_eq!(history.findings.len(), 17);
    assert!(history.hits.contains(&crate::vocab::limits::Hit::Findings));
}

#[test]
fn rules_are_small() {
    assert!(size_of::<super::Rules>() <= 420, "{}", size_of::<super::Rules>());
    assert!(size_of::<super::StreamRules>() <= 64, "{}", size_of::<super::StreamRules>());
    assert!(Rule::find("rst-then-silent").is_some());
}
