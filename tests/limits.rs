//! Every bound that a report can tell of: reached by a small input under a small bound, and told
//! as JSON and as text.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use goawhy::board::Board;
use goawhy::board::check::{self, Rules};
use goawhy::board::digest::Digest;
use goawhy::report::{json, text};
use goawhy::run::offline::{self, Job};
use goawhy::vocab::cause::Cause;
use goawhy::vocab::frame::PREFACE;
use goawhy::vocab::limits::{Hit, Limits};

use common::sound;
use common::tls::home;
use common::wire::{Flow, Owned, Wire, frame, with_file};

const PUSH: u8 = 0x18;
const GET: [u8; 7] = [0x82, 0x86, 0x84, 0x41, 1, b'a', 0x90];

/// JSON and text of a report within these limits.
fn told(limits: &Limits, packets: Vec<Owned>) -> (serde_json::Value, String) {
    told_of(Job { limits: limits.clone(), ..Job::default() }, packets)
}

fn told_of(job: Job, packets: Vec<Owned>) -> (serde_json::Value, String) {
    Wire { link: 1, packets }.with_file(|path| {
        let board = offline::report(&Job { files: vec![path.to_owned()], ..job.clone() }).unwrap();
        sound(&board);
        written(&board)
    })
}

/// JSON, and text in which every gap between words is one blank.
fn written(board: &Board) -> (serde_json::Value, String) {
    let (mut object, mut lines) = (Vec::new(), Vec::new());
    json::write(&mut object, board, &json::Options::default()).unwrap();
    text::write(&mut lines, board, &text::Options::default()).unwrap();
    let lines = String::from_utf8(lines).unwrap();
    let words: Vec<&str> = lines.split_whitespace().collect();
    (serde_json::from_slice(&object).unwrap(), words.join(" "))
}

/// The limit is told by this name, and in these words.
fn tells(limits: &Limits, packets: Vec<Owned>, name: &str, words: &str) {
    has(&told(limits, packets), name, words);
}

fn has((object, lines): &(serde_json::Value, String), name: &str, words: &str) {
    let of_rows = object["connections"].as_array().unwrap().iter();
    let of_row = of_rows.flat_map(|row| row["limits"].as_array().unwrap());
    let of_all = object["limits"].as_object().unwrap().keys().map(String::as_str);
    let mut names = of_row.map(|hit| hit.as_str().unwrap()).chain(of_all);
    assert!(names.any(|hit| hit == name), "{name}: {}", object["limits"]);
    assert!(lines.contains(words), "{name}: {lines}");
}

/// A connection on which the client sends this behind its preface, and the server resets it all.
fn client_sends(octets: &[u8]) -> Vec<Owned> {
    let mut flow = Flow::new(40_000);
    let mut packets = flow.open(1_000_000_000);
    let octets = [PREFACE, &frame(4, 0, 0, b"")[..], octets].concat();
    for (number, part) in octets.chunks(1400).enumerate() {
        packets.push(flow.send(1_001_000_000 + number as i64 * 10_000, false, PUSH, part));
    }
    packets.push(flow.send(2_000_000_000, true, 0x14, b""));
    packets
}

fn requests(count: u32) -> Vec<u8> {
    (0..count).flat_map(|number| frame(1, 5, 1 + 2 * number, &GET[..6])).collect()
}

#[test]
fn limits_of_a_connection() {
    let whole = Limits::default;
    let field = [&GET[..6], &[0, 1, b'b', 60], &[b'x'; 60]].concat();
    let resets: Vec<u8> = (0..5).flat_map(|n| frame(3, 0, 1 + 2 * n, &[0, 0, 0, 8])).collect();
    let debug = [&[0, 0, 0, 1, 0, 0, 0, 2][..], b"longer than that"].concat();
    let cases = [
        (Limits { header_block: 20, ..whole() }, frame(1, 5, 1, &field), "header_block"),
        (Limits { header_list: 40, ..whole() }, frame(1, 5, 1, &field), "header_list"),
        (Limits { debug_data: 4, ..whole() }, frame(7, 0, 0, &debug), "debug_data"),
        (Limits { open_streams: 2, ..whole() }, requests(5), "open_streams"),
        (Limits { resets: 2, ..whole() }, [requests(5), resets].concat(), "resets"),
        (Limits { goaways: 2, ..whole() }, frame(7, 0, 0, &debug).repeat(4), "goaways"),
        (Limits { pings: 2, ..whole() }, frame(6, 0, 0, &[0; 8]).repeat(4), "pings"),
        (Limits { findings: 2, ..whole() }, frame(8, 0, 0, &[0; 4]).repeat(5), "findings"),
        (Limits { troubled: 2, ..whole() }, requests(5), "troubled"),
    ];
    let words = [
        "a header block larger than is read",
        "a header list larger than is kept",
        "debug data longer than is kept",
        "more streams open at once than are followed",
        "more resets than are remembered",
        "more GOAWAYs than are remembered",
        "more pings than are remembered",
        "more broken rules than are told",
        "more failed requests than are looked for beyond a proxy",
    ];
    for ((limits, octets, name), words) in cases.into_iter().zip(words) {
        tells(&limits, client_sends(&octets), name, words);
    }
}

#[test]
fn limits_of_a_capture() {
    let whole = Limits::default;
    let syns = (0..9).map(|n| Flow::new(40_000 + n).segment(1_000_000_000, false, 2, 7, b""));
    let flows = Limits { flows: 3, ..whole() };
    tells(&flows, syns.collect(), "flows", "the quietest were let go");
    // Connections to a server of HTTP/2 on which nothing is said.
    let mut silent = client_sends(&frame(6, 0, 0, &[0; 8]));
    for number in 1..9 {
        let mut flow = Flow::new(40_000 + number);
        silent.extend(flow.open(2_000_000_000));
        silent.push(flow.segment(2_100_000_000, false, 4, 1001, b""));
    }
    let others = Limits { flows: 16, other_flows: 2, ..whole() };
    tells(&others, silent, "other_flows", "more flows that never became HTTP/2 than are told");
    // The first octets never come.
    let mut holes = Flow::new(40_000).open(1_000_000_000);
    let flow = Flow { client_port: 40_000, seq: [1001, 5001] };
    for number in 0..9 {
        let seq = 2000 + number * 100;
        holes.push(flow.segment(1_001_000_000, false, PUSH, seq, &[7; 100]));
    }
    let words = "more octets out of order than are kept";
    for limits in [
        Limits { early_bytes_per_half: 300, ..whole() },
        Limits { early_bytes: 300, flows: 1, ..whole() },
        Limits { early_segments_per_half: 3, ..whole() },
    ] {
        tells(&limits, holes.clone(), "early_bytes", words);
    }
    let fragments = (0..5_u16).map(|number| {
        let mut packet = Flow::new(40_000).segment(1_000_000_000, false, PUSH, 7, &[1; 20]);
        packet.data[18..20].copy_from_slice(&number.to_be_bytes());
        packet.data[20] = 0x20; // more fragments follow
        packet
    });
    let limits = Limits { fragmented_datagrams: 2, ..whole() };
    tells(&limits, fragments.collect(), "fragments", "more IP fragments waiting than are kept");
}

/// A connection with a server on this port; where it is `faulty`, requests die with it.
fn ended(number: u16, server: u16, faulty: bool) -> Vec<Owned> {
    let mut flow = Flow::new(40_000 + number);
    let at = 3_000_000_000 + i64::from(number) * 100_000_000;
    let mut packets = flow.open(at);
    let hello = [PREFACE, &frame(4, 0, 0, b"")[..]].concat();
    packets.push(flow.send(at + 1_000, false, PUSH, &hello));
    packets.push(flow.send(at + 2_000, true, PUSH, &frame(4, 0, 0, b"")));
    if faulty {
        packets.push(flow.send(at + 3_000, false, PUSH, &requests(3)));
        let error = frame(7, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 2]);
        packets.push(flow.send(at + 4_000, true, PUSH, &error));
    }
    packets.push(flow.send(at + 5_000, faulty, 0x11, b""));
    packets.push(flow.send(at + 6_000, !faulty, 0x11, b""));
    for packet in &mut packets {
        let ends = if packet.data[34..36] == 8080_u16.to_be_bytes() { 34..36 } else { 36..38 };
        packet.data[ends].copy_from_slice(&server.to_be_bytes());
    }
    packets
}

#[test]
fn connections_beyond_those_that_are_listed_are_counted() {
    let packets: Vec<Owned> = (0..9).flat_map(|number| ended(number, 8080, number == 2)).collect();
    let limits = Limits { connections: 3, flows: 16, ..Limits::default() };
    let told = told(&limits, packets.clone());
    has(&told, "connections", "3 of them are listed; 6 rows were given up for memory.");
    let (object, lines) = &told;
    assert!(lines.contains("more connections than are listed"), "{lines}");
    assert_eq!(
        (&object["limits"]["connections"], &object["summary"]["connections"]),
        (&6.into(), &9.into())
    );
    let whole = self::told(&Limits::default(), packets).0;
    for counts in ["causes", "blame", "goaways"] {
        assert_eq!(object["summary"][counts], whole["summary"][counts]);
    }
    // Who is to blame for one is told, however long ago that was.
    let clients = object["connections"].as_array().unwrap().iter().map(|row| &row["client"]);
    let clients: Vec<&str> = clients.map(|client| client.as_str().unwrap()).collect();
    assert_eq!(clients, ["10.0.0.1:40002", "10.0.0.1:40007", "10.0.0.1:40008"]);
    // What was not looked at has not passed.
    let digest: Digest = serde_json::from_value(object.clone()).unwrap();
    let outcome = check::check(&digest, &Rules { allow: Cause::ALL.to_vec(), ..Rules::default() });
    assert!(!outcome.passed);
}

#[test]
fn servers_beyond_those_that_are_measured() {
    let packets = (0..9).flat_map(|number| ended(number, 8080 + number % 3, false)).collect();
    let limits = Limits { servers: 2, flows: 16, ..Limits::default() };
    let told = told(&limits, packets);
    has(&told, "servers", "more servers than are measured");
    assert_eq!(told.0["limits"]["servers"], 3);
    assert_eq!(told.0["summary"]["connections"], 9);
}

/// Secrets that come in a pipe behind what they open.
#[test]
#[cfg(unix)]
fn keys_that_are_not_waited_for() {
    let name = format!("goawhy-limits-{}.pipe", std::process::id());
    let pipe = std::env::temp_dir().join(name);
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let late = std::fs::read(home().join("tls13_dsb_late.pcapng")).unwrap();
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::write(pipe, late).unwrap()
    });
    let limits = Limits { tls_waiting_flows: 0, ahead_bytes: 0, ..Limits::default() };
    let board = offline::report(&Job { files: vec![pipe.clone()], limits, ..Job::default() });
    writer.join().unwrap();
    std::fs::remove_file(pipe).unwrap();
    has(&written(&board.unwrap()), "tls_waiting", "more encrypted connections waited for keys");
}

#[test]
fn fragments_that_were_put_together_are_no_loss() {
    let mut flow = Flow::new(40_000);
    let mut packets = flow.open(1_000_000_000);
    let whole =
        flow.send(1_001_000_000, false, PUSH, &[PREFACE, &frame(4, 0, 0, b"")[..]].concat());
    let (head, payload) = whole.data.split_at(34);
    for (from, to, more) in [(0, 24, 0x20), (24, payload.len(), 0)] {
        let mut data = [head, &payload[from..to]].concat();
        data[16..18].copy_from_slice(&(20 + (to - from) as u16).to_be_bytes());
        data[20..22].copy_from_slice(&[more, (from / 8) as u8]);
        packets.push(Owned { wire_length: data.len() as u32, data, at: whole.at });
    }
    let (object, lines) = told(&Limits::default(), packets);
    assert_eq!(object["captures"][0]["undecoded_packets"], 0, "{lines}");
    assert_eq!(object["connections"][0]["http2"], true);
}

#[test]
fn keys_beyond_those_that_are_kept() {
    let limits = Limits { key_log_connections: 2, ..Limits::default() };
    let lines: Vec<String> =
        (1..6).map(|number| format!("CLIENT_RANDOM {number:064x} {:096x}\n", number + 7)).collect();
    with_file(lines.concat().as_bytes(), |keys| {
        let job = Job { keylogs: vec![keys.to_owned()], limits: limits.clone(), ..Job::default() };
        let told = told_of(job, client_sends(&requests(1)));
        has(&told, "key_log", "more TLS keys than are kept");
        assert_eq!(told.0["limits"]["key_log"], 3);
    });
}

/// One limit takes faults of the program: how that comes about is tested with its guards; that
/// nobody loses any on the way to a reader, here.
#[test]
fn every_limit_has_a_name_and_words_of_its_own() {
    let mut seen = std::collections::BTreeSet::new();
    for hit in Hit::ALL {
        let board = Board { hits: [(hit, 3)].into_iter().collect(), ..Board::default() };
        let (object, lines) = written(&board);
        let told = object["limits"].as_object().unwrap();
        assert_eq!(told.values().collect::<Vec<_>>(), [&serde_json::json!(3)], "{hit:?}");
        let without = written(&Board::default()).1;
        assert!(lines.len() > without.len(), "{hit:?}: {lines}");
        assert!(seen.insert(lines), "{hit:?} is told as another one is");
    }
}
