//! Real captures of TLS: with their keys they read like cleartext; with less, nothing is invented.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::Value;

use goawhy::h2::{Reader, Scratch};
use goawhy::packet::Decoder;
use goawhy::pipeline::{Pipeline, Sink};
use goawhy::tcp::FlowTable;
use goawhy::tls::{KeyLog, Kind, Session};
use goawhy::vocab::address::{Both, Half, Side};
use goawhy::vocab::flow::{FlowId, FlowItem};
use goawhy::vocab::frame::{Frame, Signal};
use goawhy::vocab::limits::{Hit, Limits};
use goawhy::vocab::tls::{Alert, EarlyData, TlsFacts, TlsVersion};

use common::tls::{Owned, home};

/// What came out of a capture.
#[derive(Default)]
struct Outcome {
    frames: Vec<Row>,
    flows: BTreeMap<FlowId, Pieces>,
    facts: Vec<TlsFacts>,
}

type Pieces = Both<Vec<Piece>>;

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Bytes(Vec<u8>),
    Gap,
}

#[derive(Debug, Clone, PartialEq)]
struct Row {
    by: Side,
    kind: String,
    stream: u32,
    length: u32,
    packet: u64,
    headers: Option<Vec<(Option<String>, Option<String>)>>,
}

/// A flow on its way from TCP to frames.
#[derive(Default)]
struct Lane {
    session: Session,
    reader: Option<Reader>,
}

fn truth(name: &str) -> Value {
    let path = home().join(format!("{name}.truth.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn frames_of(name: &str) -> Vec<Value> {
    let path = home().join(format!("{name}.frames.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The packets of a capture and the text of the key log that belongs to it.
fn load(name: &str) -> (Vec<Owned>, Vec<u8>) {
    let file = home().join(truth(name)["capture"].as_str().unwrap());
    let (packets, secrets) = common::tls::packets(file);
    let mut text = std::fs::read(home().join(format!("{name}.keys"))).unwrap_or_default();
    text.extend(secrets);
    (packets, text)
}

fn log_of(text: &[u8]) -> KeyLog {
    let mut keys = KeyLog::new();
    keys.add_text(text);
    keys
}

fn run(packets: &[Owned], keys: KeyLog) -> Outcome {
    run_with_late_keys(packets, keys, usize::MAX, &[])
}

/// Reads packets; from packet `late` on (counted from 0) `text` is in the key log as well.
fn run_with_late_keys(packets: &[Owned], keys: KeyLog, late: usize, text: &[u8]) -> Outcome {
    let limits = Limits::default();
    let keys = RefCell::new(keys);
    let mut decoder = Decoder::new(&limits);
    let mut table = FlowTable::new(limits.clone());
    let mut lanes: BTreeMap<FlowId, Lane> = BTreeMap::new();
    let mut scratch = Scratch::default();
    let mut outcome = Outcome::default();
    let mut handle = |id: FlowId, item: FlowItem<'_>| {
        let Lane { session, reader } = lanes.entry(id).or_default();
        let pieces = outcome.flows.entry(id).or_default();
        let frames = &mut outcome.frames;
        let kind = session.push(&item, &keys.borrow(), &limits, &mut |item| {
            note(pieces, &item);
            if let FlowItem::Opened { key, initiator, .. } = item {
                *reader = Some(Reader::new(key, initiator));
            }
            reader.as_mut().unwrap().push(&item, &limits, &mut scratch, &mut |signal| {
                if let Signal::Frame(frame) = signal {
                    frames.push(Row::of(&frame));
                }
            });
        });
        if matches!(item, FlowItem::Closed { .. }) {
            if kind != Kind::Tls {
                // Passed through: damage may hide that it is TLS.
                *pieces = Pieces::default();
            }
            outcome.facts.extend(session.facts());
        }
    };
    for (at, packet) in packets.iter().enumerate() {
        if at == late {
            keys.borrow_mut().add_text(text);
        }
        if let Ok(segment) = decoder.decode(&packet.packet()) {
            table.push(&segment, &mut handle);
        }
    }
    table.finish(&mut handle);
    outcome
}

fn note(pieces: &mut Pieces, item: &FlowItem<'_>) {
    match *item {
        FlowItem::Bytes { half, data, .. } => {
            pieces.half_mut(half).push(Piece::Bytes(data.to_vec()));
        }
        FlowItem::Gap { half, .. } => pieces.half_mut(half).push(Piece::Gap),
        _ => {}
    }
}

impl Row {
    fn of(frame: &Frame<'_>) -> Self {
        let text = |octets: Option<&[u8]>| octets.map(|o| String::from_utf8_lossy(o).into_owned());
        let headers =
            frame.headers.map(|list| list.iter().map(|f| (text(f.name), text(f.value))).collect());
        Self {
            by: frame.by,
            kind: frame.type_name().into_owned(),
            stream: frame.head.stream,
            length: frame.head.length,
            packet: frame.stamp.packet(),
            headers,
        }
    }

    fn is(&self, frame: &Value) -> bool {
        let by = if frame["dir"] == "c2s" { Side::Client } else { Side::Server };
        self.by == by
            && frame["type"] == self.kind.as_str()
            && frame["stream_id"] == self.stream
            && frame["length"] == self.length
    }
}

#[test]
fn every_frame_is_read_as_if_it_were_cleartext() {
    for (name, base) in [
        ("tls13_aes128gcm", "tls13_aes128gcm"),
        ("tls13_noisykeys", "tls13_aes128gcm"),
        ("tls13_dsb_late", "tls13_aes128gcm"),
        ("tls12_cbc_sha256", "tls12_cbc_sha256"),
        ("tls12_hello_records", "tls12_hello_records"),
        ("tls13_hrr", "tls13_hrr"),
        ("tls13_0rtt", "tls13_0rtt"),
    ] {
        let (packets, text) = load(name);
        let outcome = run(&packets, log_of(&text));
        for (side, dir) in [(Side::Client, "c2s"), (Side::Server, "s2c")] {
            let want: Vec<Value> =
                frames_of(base).into_iter().filter(|frame| frame["dir"] == dir).collect();
            let found: Vec<&Row> = outcome.frames.iter().filter(|row| row.by == side).collect();
            assert_eq!(found.len(), want.len(), "{name} {dir}");
            for (row, frame) in found.into_iter().zip(&want) {
                assert!(row.is(frame), "{name}: {row:?} {frame}");
                assert_eq!(frame["packet"], row.packet, "{name}: {row:?}");
                if let Some(headers) = frame.get("headers") {
                    assert_eq!(serde_json::to_value(&row.headers).unwrap(), *headers, "{name}");
                }
            }
        }
        assert!(outcome.facts.iter().all(|f| f.why_not.is_none() && f.is_decrypted()), "{name}");
    }
}

#[test]
fn key_updates_are_followed() {
    let (packets, text) = load("tls13_keyupdate");
    let outcome = run(&packets, log_of(&text));
    let truth = truth("tls13_keyupdate");
    for (side, dir) in [(Side::Client, "c2s"), (Side::Server, "s2c")] {
        for (kind, count) in truth["connections"][0]["frames"][dir].as_object().unwrap() {
            let found = outcome.frames.iter().filter(|row| row.by == side && row.kind == *kind);
            assert_eq!(*count, found.count(), "{dir} {kind}");
        }
    }
    assert!(outcome.flows.values().all(|flow| !flow.first.contains(&Piece::Gap)));
}

#[test]
fn loss_and_a_late_start_hide_what_they_hide_and_no_more() {
    for name in ["tls12_loss", "tls13_mid"] {
        let (packets, text) = load(name);
        let mut found = run(&packets, log_of(&text)).frames;
        for frame in frames_of(name) {
            let place =
                found.iter().position(|row| row.is(&frame) && frame["packet"] == row.packet);
            let must = frame["vis"] == "certain" || frame["vis"] == "after_resync";
            assert!(place.is_some() || !must, "{name}: not found: {frame}");
            if let Some(place) = place {
                found.remove(place);
            }
        }
        assert!(found.is_empty(), "{name}: invented: {found:?}");
    }
}

#[test]
fn without_keys_the_facts_remain() {
    let (packets, _) = load("tls13_aes128gcm");
    let outcome = run(&packets, KeyLog::new());
    assert!(outcome.frames.is_empty());
    assert!(outcome.flows.values().all(|flow| *flow == Pieces::default()));
    let [facts] = &outcome.facts[..] else { panic!() };
    assert_eq!(facts.version, Some(TlsVersion::TLS13));
    assert_eq!(facts.cipher.unwrap().name(), Some("TLS_AES_128_GCM_SHA256"));
    assert_eq!(facts.sni.as_deref(), Some("corpus.test"));
    assert_eq!((facts.alpn.as_deref(), facts.offered_h2()), (None, true));
    assert!(!facts.is_decrypted() && !facts.joined_midway);
    assert!(facts.why_not.as_ref().unwrap().contains("SSLKEYLOGFILE"));
    let octets = (facts.sides.first.data_octets, facts.sides.second.data_octets);
    assert_eq!(octets, (2104, 16064));
    assert_eq!(facts.sides.second.farewell.unwrap().alert, Alert::Possible);
}

#[test]
fn with_keys_the_facts_are_whole() {
    let (packets, text) = load("tls13_0rtt");
    let outcome = run(&packets, log_of(&text));
    let [first, second] = &outcome.facts[..] else { panic!() };
    assert_eq!((first.early_data, second.early_data), (None, Some(EarlyData::Accepted)));
    for facts in [first, second] {
        assert_eq!(facts.alpn.as_deref(), Some("h2"));
        let farewell = facts.sides.first.farewell.unwrap();
        assert_eq!(farewell.alert, Alert::CloseNotify);
        assert!([22, 55].contains(&farewell.stamp.packet()));
    }
}

#[test]
fn keys_may_come_later_where_the_log_grows() {
    let (packets, text) = load("tls13_aes128gcm");
    let whole = run(&packets, log_of(&text));
    for late in 0..packets.len() {
        let mut growing = KeyLog::new();
        growing.set_growing(true);
        let outcome = run_with_late_keys(&packets, growing, late, &text);
        assert_told(&whole, &outcome, &format!("late {late}"));
        // What is wanting are the frames behind the last octets of a half.
        if late < packets.len() - 6 {
            assert_eq!(outcome.frames.len(), whole.frames.len(), "late {late}");
        }
        // Where nobody said that it grows, what came before the keys is lost, and no more.
        let outcome = run_with_late_keys(&packets, KeyLog::new(), late, &text);
        assert_told(&whole, &outcome, &format!("too late {late}"));
    }
}

/// The packets of frames, in the order in which they come.
#[derive(Default)]
struct Listed(Vec<u64>);

impl Sink for Listed {
    fn frame(&mut self, _: FlowId, frame: &Frame<'_>) {
        self.0.push(frame.stamp.packet());
    }
}

#[test]
fn what_waited_is_opened_as_soon_as_its_keys_come() {
    let (packets, text) = load("tls13_aes128gcm");
    let push = |pipeline: &mut Pipeline, some: &[Owned], listed: &mut Listed| {
        for packet in some {
            pipeline.push(&packet.packet(), listed).unwrap();
        }
    };
    let limits = Limits::default();
    let mut whole = Listed::default();
    let mut pipeline = Pipeline::new(&limits, &[text.as_slice().into()], false);
    let due: Vec<usize> = packets
        .iter()
        .map(|packet| {
            push(&mut pipeline, std::slice::from_ref(packet), &mut whole);
            whole.0.len()
        })
        .collect();
    assert!(whole.0.len() > 20);
    for late in 0..packets.len() - 6 {
        let mut listed = Listed::default();
        let mut pipeline = Pipeline::new(&limits, &[], false);
        pipeline.expect_secrets();
        let (before, after) = packets.split_at(late);
        push(&mut pipeline, before, &mut listed);
        assert!(listed.0.is_empty());
        // Half of the keys are of no use yet.
        let (first, rest) = text.split_at(text.iter().position(|o| *o == b'\n').unwrap() + 1);
        pipeline.add_secrets(first, &mut listed);
        pipeline.add_secrets(rest, &mut listed);
        let due = late.checked_sub(1).map_or(0, |last| due[last]);
        assert_eq!(listed.0.len(), due, "late {late}");
        push(&mut pipeline, after, &mut listed);
        // No answer stands before its request.
        assert_eq!(listed.0, whole.0, "late {late}");
    }
    // Where nobody may wait, what came before the keys is given up, and that is told.
    let limits = Limits { tls_waiting_flows: 0, ..limits };
    let mut pipeline = Pipeline::new(&limits, &[], false);
    pipeline.expect_secrets();
    let mut listed = Listed::default();
    push(&mut pipeline, &packets[..20], &mut listed);
    pipeline.add_secrets(&text, &mut listed);
    assert!(listed.0.is_empty());
    assert!(pipeline.limit_hits().any(|(hit, _)| hit == Hit::TlsWaiting));
    push(&mut pipeline, &packets[20..], &mut listed);
    assert!(!listed.0.is_empty() && listed.0.iter().all(|packet| *packet > 20));
}

#[test]
fn of_several_keys_for_a_connection_the_right_one_is_found() {
    for name in ["tls13_0rtt", "tls12_cbc_sha256", "tls13_hrr"] {
        let (packets, text) = load(name);
        let whole = run(&packets, log_of(&text));
        let wrong = wrong(&text);
        for several in [[wrong.as_bytes(), &text].concat(), [&text, wrong.as_bytes()].concat()] {
            let outcome = run(&packets, log_of(&several));
            assert_eq!(outcome.frames, whole.frames, "{name}");
            assert!(outcome.facts.iter().all(|facts| facts.why_not.is_none()), "{name}");
        }
    }
}

/// The same key log, each secret with another last digit.
fn wrong(text: &[u8]) -> String {
    let line = |line: &str| {
        let other = if line.ends_with('0') { "1" } else { "0" };
        format!("{}{other}\n", &line[..line.len().saturating_sub(1)])
    };
    std::str::from_utf8(text).unwrap().lines().map(line).collect()
}

#[test]
fn wrong_keys_give_nothing() {
    for name in ["tls13_aes128gcm", "tls12_cbc_sha256", "tls13_mid", "tls13_0rtt"] {
        let (packets, text) = load(name);
        let keys = log_of(wrong(&text).as_bytes());
        assert!(!keys.is_empty());
        let outcome = run(&packets, keys);
        assert!(outcome.frames.is_empty(), "{name}");
        assert!(outcome.flows.values().all(|flow| *flow == Pieces::default()), "{name}");
        for facts in &outcome.facts {
            let why = facts.why_not.as_ref().unwrap();
            assert!(why.contains("do not decrypt") || why.contains("none of the keys"), "{why}");
        }
    }
}

#[test]
fn half_a_log_never_gives_what_is_not_there() {
    for name in ["tls13_0rtt", "tls13_hrr", "tls12_cbc_sha256"] {
        let (packets, text) = load(name);
        let whole = run(&packets, log_of(&text));
        for end in (0..text.len()).step_by(text.len() / 40) {
            let outcome = run(&packets, log_of(&text[..end]));
            assert_told(&whole, &outcome, &format!("{name} ..{end}"));
            let outcome = run(&packets, log_of(&text[end..]));
            assert_told(&whole, &outcome, &format!("{name} {end}.."));
        }
    }
}

#[test]
fn damage_never_gives_wrong_plaintext() {
    let names = ["tls13_aes128gcm", "tls12_cbc_sha256", "tls13_keyupdate", "tls13_0rtt"];
    for name in names.into_iter().chain(["tls12_hello_records", "tls13_hrr"]) {
        let (packets, text) = load(name);
        let whole = run(&packets, log_of(&text));
        for seed in 0..150 {
            let damaged = damage(&packets, seed);
            assert_told(&whole, &run(&damaged, log_of(&text)), &format!("{name} seed {seed}"));
        }
    }
}

#[test]
fn no_secret_shows_in_anything_that_is_told() {
    let (packets, text) = load("tls13_aes128gcm");
    let facts = run(&packets, log_of(&text)).facts;
    let shown = format!("{facts:?} {:?}", log_of(&text)).to_lowercase();
    let text = String::from_utf8(text).unwrap().to_lowercase();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        for word in line.split(' ').skip(1) {
            assert!(!shown.contains(&word[..16]), "{word}");
            let octets: Vec<u8> = (0..4)
                .map(|at| u8::from_str_radix(&word[2 * at..2 * at + 2], 16).unwrap())
                .collect();
            let list = format!("{octets:?}");
            assert!(!shown.contains(list.trim_matches(['[', ']'])), "{list}");
        }
    }
}

/// Every plaintext that was told is one of the whole capture, in order, and where some between
/// two is missing a gap says so.
fn assert_told(whole: &Outcome, partial: &Outcome, what: &str) {
    let bytes = |pieces: &[Piece]| -> Vec<u8> {
        let of = |piece: &Piece| match piece {
            Piece::Bytes(data) => data.clone(),
            Piece::Gap => Vec::new(),
        };
        pieces.iter().flat_map(of).collect()
    };
    let truths: Vec<Vec<u8>> =
        whole.flows.values().flat_map(|flow| [bytes(&flow.first), bytes(&flow.second)]).collect();
    for flow in partial.flows.values() {
        for half in [Half::A, Half::B] {
            let pieces = flow.half(half);
            let fits = truths.iter().any(|truth| fits(truth, pieces));
            let lengths: Vec<Option<usize>> = pieces
                .iter()
                .map(|piece| match piece {
                    Piece::Bytes(data) => Some(data.len()),
                    Piece::Gap => None,
                })
                .collect();
            assert!(fits, "{what}: {half:?} {lengths:?}");
        }
    }
}

/// Whether the pieces are parts of `truth`, in order, adjacent unless a gap stands between.
fn fits(truth: &[u8], pieces: &[Piece]) -> bool {
    // Runs of adjacent octets; the first one begins at 0.
    let mut runs = vec![Vec::new()];
    for piece in pieces {
        match piece {
            Piece::Bytes(data) => runs.last_mut().unwrap().extend_from_slice(data),
            Piece::Gap => runs.push(Vec::new()),
        }
    }
    if !truth.starts_with(&runs[0]) {
        return false;
    }
    let mut from = runs[0].len();
    for run in runs[1..].iter().filter(|run| !run.is_empty()) {
        let rest = &truth[from..];
        let Some(place) = rest.windows(run.len()).position(|part| part == &run[..]) else {
            return false;
        };
        from += place + run.len();
    }
    true
}

/// Packets lost, cut short, begun late, or with octets of their payload changed.
fn damage(packets: &[Owned], seed: u64) -> Vec<Owned> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % below.max(1)
    };
    let mut damaged = packets.to_vec();
    match seed % 5 {
        0 => {
            let begin = random(packets.len());
            damaged.drain(..begin);
        }
        1 => {
            for _ in 0..=random(4) {
                damaged.remove(random(damaged.len()));
            }
        }
        2 => damaged.retain(|_| random(8) > 0),
        3 => {
            let snap = 80 + random(400);
            damaged.iter_mut().for_each(|packet| packet.data.truncate(snap));
        }
        _ => {
            for _ in 0..=random(6) {
                let at = random(damaged.len());
                // Behind Ethernet, IPv4 and TCP with its time stamps.
                let length = damaged[at].data.len();
                if length > 70 {
                    let place = 66 + random(length - 66);
                    damaged[at].data[place] ^= 1 << random(8);
                }
            }
        }
    }
    damaged
}
