//! Captures changed as networks and capturing change them: what loses nothing changes nothing,
//! and what loses octets hides but never invents.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::process::Command;

use serde_json::{Map, Value};

use common::cut::Cut;
use common::damage::{Harmless, Loss, without_syns};
use common::wire::{Wire, with_file};
use common::{Case, cases, job, list, none, parallel, text};

/// Every capture in cleartext that has one link type and lacks nothing by itself.
fn whole() -> Vec<Case> {
    const FOLDERS: [&str; 3] = ["servers/", "stacks/", "wires/base/"];
    let mut cases = cases();
    cases.retain(|case| FOLDERS.iter().any(|folder| case.name.starts_with(folder)));
    assert!(cases.len() >= 70, "{} captures", cases.len());
    cases
}

/// Where a report does change: capture, change, reason.
const CHANGES: &[(&str, &str, &str)] = &[
    ("servers/abrupt-close", "Merged(2)", "a request and what follows it are one packet now"),
    ("servers/concurrent-streams-exceeded", "Merged(2)", "one packet opens two streams now"),
];

/// Where a loss leads to something that is not so, or hides what it left: capture, loss, reason.
const INVENTS: &[(&str, &str, &str)] = &[
    ("servers/violations-apache", "Dropped(5)", MAY_BE_ALLOWED),
    ("servers/violations-apache", "Dropped(9)", MAY_BE_ALLOWED),
    ("servers/violations-nghttpd", "Dropped(9)", MAY_BE_ALLOWED),
    ("servers/violations-nginx", "Dropped(0)", MAY_BE_ALLOWED),
    ("servers/violations-nginx", "Joined(388)", MAY_BE_ALLOWED),
    ("servers/violations-nginx", "Snapped(96)", MAY_BE_ALLOWED),
    ("servers/violations-node", "Dropped(5)", MAY_BE_ALLOWED),
];

/// Of header blocks that are wrong in the whole capture.
const MAY_BE_ALLOWED: &str = "what is missing may have allowed what the header block does";

#[test]
fn what_loses_nothing_changes_nothing() {
    let cases = whole();
    let faults = parallel(&cases, |case| {
        let wire = Wire::read(&case.capture);
        let whole = shape(&case.report());
        let mut faults = Vec::new();
        for change in Harmless::ALL {
            let Some(changed) = change.apply(&wire) else { continue };
            let report = changed.with_file(|path| common::report(&job(path)).unwrap());
            if let Some(differs) = difference(&whole, &shape(&report)) {
                faults.push((case.name.clone(), format!("{change:?}"), differs));
            }
        }
        faults
    });
    judge(faults.concat(), CHANGES);
}

#[test]
fn what_comes_in_a_pipe_is_put_in_order_as_well() {
    let case = &common::cases_named(&["servers/nginx-idle"])[0];
    let wire = Wire::read(&case.capture);
    for change in [Harmless::Backwards, Harmless::Apart] {
        let octets = change.apply(&wire).unwrap().to_pcap();
        let report = with_file(&octets, |path| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_goawhy"));
            command.args(["report", "--format", "json", "--streams", "-"]);
            let output = command.stdin(File::open(path).unwrap()).output().unwrap();
            serde_json::from_slice::<Value>(&output.stdout).unwrap()
        });
        let differs = difference(&shape(&case.report()), &shape(&report));
        assert_eq!(differs, None, "{change:?}");
    }
}

#[test]
fn frames_of_a_pipe_are_those_of_the_file_whatever_their_order() {
    let case = &common::cases_named(&["servers/nginx-idle"])[0];
    let run = |path: &std::path::Path, pipe: bool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_goawhy"));
        command.args(["frames", "--format", "jsonl", "--headers"]);
        if pipe {
            command.arg("-").stdin(File::open(path).unwrap());
        } else {
            command.arg(path);
        }
        let lines = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let frames = lines.lines().map(|line| {
            let mut frame: Value = serde_json::from_str(line).unwrap();
            // A pipe numbers its connections in order of their first frames.
            frame.as_object_mut().unwrap().remove("connection");
            frame
        });
        frames.collect::<Vec<_>>()
    };
    let wire = Wire::read(&case.capture);
    for change in [Harmless::Backwards, Harmless::Apart, Harmless::Unsorted(3)] {
        let octets = change.apply(&wire).unwrap().to_pcap();
        let [file, pipe] = [false, true].map(|pipe| with_file(&octets, |path| run(path, pipe)));
        assert_eq!(file.len(), case.frames().len(), "{change:?}");
        assert_eq!(file, pipe, "{change:?}");
    }
}

#[test]
fn what_loses_octets_invents_nothing() {
    let cases = whole();
    let told = parallel(&cases, |case| {
        let wire = Wire::read(&case.capture);
        let whole = Whole::of(case);
        let (mut faults, mut shares) = (Vec::new(), Vec::new());
        for loss in Loss::all(wire.packets.len()) {
            let (found, told) =
                loss.apply(&wire).with_file(|path| (frames_of(path), whole.inventions(path)));
            let share = Share { loss, found, of: whole.left(loss) };
            let leaves_frames = matches!(loss, Loss::Joined(_) | Loss::OneSided(_));
            if leaves_frames && share.of >= 20 && 2 * found < share.of {
                faults.push((case.name.clone(), format!("{loss:?}"), format!("{share:?}")));
            }
            shares.push(share);
            faults.extend(told.into_iter().map(|it| (case.name.clone(), format!("{loss:?}"), it)));
        }
        (faults, shares)
    });
    let (faults, shares): (Vec<_>, Vec<_>) = told.into_iter().unzip();
    judge(faults.concat(), INVENTS);
    none(&too_few(&shares.concat()));
}

/// What was found of what a loss left.
#[derive(Clone, Copy, Debug)]
struct Share {
    loss: Loss,
    found: usize,
    of: usize,
}

/// The least percentage of frames that must be found, the mean of all captures, by kind of loss.
/// Where packets are cut or lost, frames went with them.
const LEAST: &[(&str, f64)] =
    &[("Snapped", 76.0), ("Dropped", 86.0), ("Joined", 97.0), ("OneSided", 98.0)];

fn too_few(shares: &[Share]) -> Vec<String> {
    let mut faults = Vec::new();
    for (kind, least) in LEAST {
        let alike = shares.iter().filter(|share| share.of > 0);
        let percent: Vec<f64> = alike
            .filter(|share| format!("{:?}", share.loss).starts_with(kind))
            .map(|share| 100.0 * (share.found as f64 / share.of as f64).min(1.0))
            .collect();
        let mean = percent.iter().sum::<f64>() / percent.len() as f64;
        if percent.is_empty() || mean < *least {
            faults.push(format!("{kind}: {mean:.1} % of the frames, less than {least} %"));
        }
    }
    faults
}

fn frames_of(path: &std::path::Path) -> usize {
    common::frames(&job(path)).unwrap().len()
}

/// Cuts of each capture.
const CUTS: usize = 8;

#[test]
fn a_few_octets_lost_in_a_head_invent_nothing() {
    let cases = whole();
    let faults = parallel(&cases, |case| {
        let wire = Wire::read(&case.capture);
        let whole = Whole::of(case);
        let mut faults = Vec::new();
        for (number, cut) in Cut::some(&wire, CUTS).iter().enumerate() {
            let joins = number % 3 == 2;
            let lacks = if joins { cut.joined(&wire) } else { cut.apply(&wire) };
            for fault in lacks.with_file(|path| whole.inventions(path)) {
                faults.push((case.name.clone(), format!("{cut:?} {joins}"), fault));
            }
        }
        faults
    });
    judge(faults.concat(), &[]);
}

#[test]
fn what_is_lost_is_told_with_its_side_and_place() {
    let cases = whole();
    let faults = parallel(&cases, |case| {
        let wire = Wire::read(&case.capture);
        let mut faults = Vec::new();
        for cut in Cut::some(&wire, 3) {
            let report = cut.apply(&wire).with_file(|path| common::report(&job(path)).unwrap());
            let told = told_lost(&report, cut.ports());
            if told != [cut.lost; 2] {
                faults.push(format!("{} {cut:?}: told {told:?}", case.name));
            }
        }
        faults
    });
    none(&faults.concat());
}

/// Octets that a report says are missing of the side with these ports, and those at its places.
fn told_lost(report: &Value, [from, to]: [u16; 2]) -> [u64; 2] {
    let mut told = [0; 2];
    for connection in list(&report["connections"]) {
        let port = |side: &str| text(&connection[side]).rsplit(':').next().unwrap().to_owned();
        let ends = [port("client"), port("server")];
        let side = match [from, to].map(|port| port.to_string()) {
            [client, server] if ends == [&*client, &*server] => "client",
            [server, client] if ends == [&*client, &*server] => "server",
            _ => continue,
        };
        told[0] += connection["lost_bytes"][side].as_u64().unwrap();
        let places = list(&connection["missing"][side]["places"]);
        told[1] += places.iter().map(|place| place["octets"].as_u64().unwrap()).sum::<u64>();
    }
    told
}

#[test]
fn without_times_nothing_is_said_of_them() {
    let cases = whole();
    let faults = parallel(&cases, |case| {
        let mut wire = Wire::read(&case.capture);
        wire.packets.iter_mut().for_each(|packet| packet.at = 0);
        wire.with_file(|path| spans(&common::report(&job(path)).unwrap()))
            .into_iter()
            .map(|fault| format!("{}: {fault}", case.name))
            .collect::<Vec<_>>()
    });
    none(&faults.concat());
}

/// What a report of packets without times says of times nevertheless.
fn spans(report: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let mut no = |what: &str, value: &Value| {
        if !value.is_null() && value != &Value::Array(Vec::new()) {
            faults.push(format!("{what}: {value}").chars().take(200).collect());
        }
    };
    no("first packet", &report["captures"][0]["first_packet_at"]);
    no("timeouts", &report["inferred_timeouts"]);
    for connection in list(&report["connections"]) {
        no("cancellations", &connection["cancellations"]);
        for verdict in verdicts(connection) {
            no("timeout", &verdict["timeout"]);
            // These two need no time.
            let timeless = ["preface_missing", "connection_refused"];
            let sure = verdict["confidence"].as_f64().unwrap() >= 0.8;
            if sure && !timeless.contains(&text(&verdict["cause"])) {
                no("sure", &verdict["summary"]);
            }
        }
        for stream in list(&connection["stream_list"]) {
            no("first response", &stream["first_response_after"]);
        }
    }
    faults
}

#[test]
fn without_handshakes_every_frame_is_found() {
    let cases = whole();
    let faults = parallel(&cases, |case| {
        // A server's greeting to a client that never speaks HTTP/2 shows by the handshake alone.
        if case.name == "servers/preface-missing" {
            return None;
        }
        let wire = Wire::read(&case.capture);
        let told = without_syns(&wire).with_file(|path| common::frames(&job(path)).unwrap());
        let whole = case.frames();
        let differs = whole.iter().zip(&told).find(|(whole, told)| {
            let same = |key: &&str| whole[*key] == told[*key];
            !["type", "stream", "length", "headers"].iter().all(same)
        });
        let same = whole.len() == told.len() && differs.is_none();
        (!same).then(|| format!("{}: {} of {}: {differs:?}", case.name, told.len(), whole.len()))
    });
    none(&faults.into_iter().flatten().collect::<Vec<_>>());
}

#[test]
fn two_runs_give_the_same_octets() {
    let cases = whole();
    parallel(&cases, |case| {
        let text = || common::report_text(&case.job()).unwrap();
        assert!(text() == text(), "{}", case.name);
    });
}

/// Fails with what is not on the list, and with what is on the list and did not happen.
fn judge(found: Vec<(String, String, String)>, known: &[(&str, &str, &str)]) {
    let same = |(name, what, _): &(String, String, String), known: &(&str, &str, &str)| {
        name == known.0 && what == known.1
    };
    let mut faults: Vec<String> = Vec::new();
    for fault in &found {
        if !known.iter().any(|known| same(fault, known)) {
            faults.push(format!("{} {}: {}", fault.0, fault.1, fault.2));
        }
    }
    for known in known {
        if !found.iter().any(|fault| same(fault, known)) {
            faults.push(format!("{} {} is right now: strike it", known.0, known.1));
        }
    }
    none(&faults);
}

/// A report without what the packets' cut, order and time decide: no packet numbers, no times.
fn shape(report: &Value) -> Value {
    let mut shape = Map::new();
    for key in ["connections", "inferred_timeouts", "conflicts", "summary"] {
        shape.insert(key.to_owned(), stripped(&report[key]));
    }
    Value::Object(shape)
}

/// Of these only presence is kept: places, times and texts that name them.
const PLACES: &[&str] = &[
    "packet",
    "at",
    "first_packet",
    "last_packet",
    "opened_packet",
    "request_packet",
    "reset_packet",
    "offending_packet",
    "after_packet",
    "before_packet",
    "first_packet_at",
    "last_packet_at",
    "opened_at",
    "closed_at",
    "ended_at",
    "spread_seconds",
    "text",
    "summary",
    "against",
];

fn stripped(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            // What was weighed and found lighter may weigh a little more or less.
            let told = map.iter().filter(|(key, _)| *key != "alternatives");
            let strip = |(key, value): (&String, &Value)| {
                let is_place = PLACES.contains(&key.as_str()) && !value.is_object();
                let kept = match value {
                    _ if is_place => (!value.is_null()).into(),
                    // It names the timeout that was measured.
                    Value::String(advice) if key == "advice" => without_digits(advice).into(),
                    Value::Array(advice) if key == "advice" => {
                        advice.iter().filter_map(Value::as_str).map(without_digits).collect()
                    }
                    _ => stripped(value),
                };
                (key.clone(), kept)
            };
            Value::Object(told.map(strip).collect())
        }
        Value::Array(values) => values.iter().map(stripped).collect(),
        other => other.clone(),
    }
}

fn without_digits(text: &str) -> String {
    text.split(|c: char| c.is_ascii_digit()).filter(|part| !part.is_empty()).collect()
}

/// Where two shapes differ; times may by 2 % and a few milliseconds.
fn difference(one: &Value, two: &Value) -> Option<String> {
    match (one, two) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            keys.into_iter().find_map(|key| {
                let differs = difference(&one[key.as_str()], &two[key.as_str()])?;
                Some(format!("{key}.{differs}"))
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(index, (one, two))| {
                difference(one, two).map(|differs| format!("{index}.{differs}"))
            })
        }
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            ((a - b).abs() > (0.02 * a.abs()).max(0.004)).then(|| format!(" {a} {b}"))
        }
        _ if one == two => None,
        _ => {
            let cut = |value: &Value| value.to_string().chars().take(120).collect::<String>();
            Some(format!(" {} | {}", cut(one), cut(two)))
        }
    }
}

/// Both addresses: what names a connection in damaged and undamaged runs.
type Pair = (String, String);

/// What the undamaged capture says.
struct Whole {
    /// Each direction's frames in order: those of connections that share their addresses stand
    /// behind each other.
    frames: HashMap<(u64, bool), Vec<Value>>,
    /// What each connection may be told to have died of.
    causes: HashMap<Pair, BTreeSet<String>>,
    /// Who broke a rule, where: one broken by the same frame may be another without the rest.
    findings: BTreeSet<String>,
}

impl Whole {
    fn of(case: &Case) -> Self {
        let mut whole =
            Self { frames: HashMap::new(), causes: HashMap::new(), findings: BTreeSet::new() };
        for frame in case.frames() {
            let key = (frame["connection"].as_u64().unwrap(), frame["by"] == "client");
            whole.frames.entry(key).or_default().push(frame);
        }
        let report = case.report();
        for connection in list(&report["connections"]) {
            let causes = whole.causes.entry(pair(connection)).or_default();
            causes.extend(verdicts(connection).flat_map(names));
            whole.findings.extend(findings(connection));
        }
        for want in list(&case.truth["connections"]) {
            let causes = whole.causes.entry(pair(want)).or_default();
            for told in list(&want["goaways"]).iter().chain([want]) {
                let keys = ["cause", "also", "no_goaway_cause", "visible_cause"];
                causes.extend(keys.iter().filter_map(|key| told[*key].as_str().map(String::from)));
                causes.extend(list(&told["accept"]).iter().map(|name| text(name).to_owned()));
            }
        }
        whole
    }

    /// Frames that a loss leaves, or tears.
    fn left(&self, loss: Loss) -> usize {
        let count = |keep: &dyn Fn(&Value, bool) -> bool| {
            let halves = self.frames.iter();
            halves
                .map(|((_, by_client), frames)| {
                    frames.iter().filter(|frame| keep(frame, *by_client)).count()
                })
                .sum()
        };
        match loss {
            Loss::Dropped(_) | Loss::Snapped(_) => count(&|_, _| true),
            Loss::Joined(at) => count(&|frame, _| frame["packet"].as_u64().unwrap() > at as u64),
            Loss::OneSided(servers) => count(&|_, by_client| by_client == servers),
        }
    }

    /// What a damaged capture's report and frames say that is not so.
    fn inventions(&self, path: &std::path::Path) -> Vec<String> {
        let mut faults = Vec::new();
        let report = common::report(&job(path)).unwrap();
        for connection in list(&report["connections"]) {
            let Some(causes) = self.causes.get(&pair(connection)) else {
                faults.push(format!("connection {} is new", connection["client"]));
                continue;
            };
            let new = findings(connection).filter(|finding| !self.findings.contains(finding));
            faults.extend(new.map(|finding| format!("broken: {finding}")));
            for verdict in verdicts(connection) {
                let sure = verdict["confidence"].as_f64().unwrap() >= 0.8;
                let cause = text(&verdict["cause"]);
                if sure && cause != "unknown" && !causes.contains(cause) {
                    faults.push(format!(
                        "{}: {cause} at {}, not {causes:?}",
                        connection["client"], verdict["confidence"]
                    ));
                }
            }
        }
        faults.extend(self.new_frames(&common::frames(&job(path)).unwrap()));
        faults.truncate(3);
        faults
    }

    /// Frames of a damaged run that the undamaged one has not, or not in this order.
    fn new_frames(&self, told: &[Value]) -> Vec<String> {
        let mut halves: HashMap<(u64, bool), Vec<&Value>> = HashMap::new();
        for frame in told {
            let key = (frame["connection"].as_u64().unwrap(), frame["by"] == "client");
            halves.entry(key).or_default().push(frame);
        }
        let mut faults = Vec::new();
        for ((_, by_client), frames) in halves {
            let truths = self.frames.iter().filter(|((_, client), _)| *client == by_client);
            let found: Vec<_> = truths.map(|(_, truth)| out_of_place(truth, &frames)).collect();
            if !found.iter().any(Option::is_none) {
                let furthest = found.into_iter().flatten().max_by_key(|(place, _)| *place);
                faults.push(furthest.map_or_else(|| "a direction".to_owned(), |(_, text)| text));
            }
        }
        faults
    }
}

/// The first frame that does not stand in `truth` behind those before it, and its place.
fn out_of_place(truth: &[Value], told: &[&Value]) -> Option<(usize, String)> {
    let mut from = 0;
    for (index, frame) in told.iter().enumerate() {
        let Some(place) = truth[from..].iter().position(|truth| is_part(frame, truth)) else {
            return Some((index, frame.to_string().chars().take(200).collect()));
        };
        from += place + 1;
    }
    None
}

/// Whether a frame says nothing that the true one does not say.
fn is_part(told: &Value, truth: &Value) -> bool {
    let same = ["type", "stream", "length", "flags"].iter().all(|key| told[*key] == truth[*key]);
    let fields = ["error_code", "last_stream_id", "settings", "increment", "opaque"];
    let agrees = |key: &str| told[key].is_null() || told[key] == truth[key];
    same && fields.iter().all(|key| agrees(key)) && {
        let all = list(&truth["headers"]);
        let mut from = 0;
        list(&told["headers"]).iter().all(|field| {
            let fits = |truth: &Value| {
                let part = |at: usize| field[at].is_null() || field[at] == truth[at];
                part(0) && part(1)
            };
            let place = all.get(from..).and_then(|rest| rest.iter().position(fits));
            from += place.map_or(0, |place| place + 1);
            place.is_some()
        })
    }
}

fn pair(connection: &Value) -> Pair {
    (text(&connection["client"]).to_owned(), text(&connection["server"]).to_owned())
}

fn verdicts(connection: &Value) -> impl Iterator<Item = &Value> {
    let goaways = list(&connection["goaways"]).iter().map(|goaway| &goaway["verdict"]);
    goaways.chain([&connection["end_verdict"]]).filter(|verdict| !verdict.is_null())
}

/// Who broke a rule, on which stream, one text each.
fn findings(connection: &Value) -> impl Iterator<Item = String> {
    let (client, server) = pair(connection);
    list(&connection["findings"])
        .iter()
        .map(move |finding| format!("{client} {server} {} {}", finding["by"], finding["stream"]))
}

fn names(verdict: &Value) -> Vec<String> {
    ["cause", "trigger"].map(|key| text(&verdict[key]).to_owned()).to_vec()
}
