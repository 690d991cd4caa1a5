//! Garbage, mutated captures and attacks through the whole program: it never panics, and keeps
//! within its limits.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::path::Path;

use serde_json::Value;

use goawhy::run::offline::{self, Job};
use goawhy::vocab::frame::PREFACE;
use goawhy::vocab::limits::Limits;

use common::wire::{Flow, Owned, Random, Wire, frame, with_file};
use common::{cases_named, job, list, parallel};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const PUSH: u8 = 0x18;
/// GET http / as static indices.
const GET: [u8; 3] = [0x82, 0x86, 0x84];

/// Reads a capture for both commands; lists stay within their limits. Files may be unreadable.
fn survive(path: &Path) -> Option<Value> {
    let job = job(path);
    let (report, frames) = (common::report(&job), common::frames(&job));
    assert_eq!(report.is_ok(), frames.is_ok(), "{}", path.display());
    let board = offline::report(&Job { streams: false, ..job }).ok()?;
    let limits = Limits::default();
    for row in &board.connections {
        assert!(row.goaways.len() <= limits.goaways);
        assert!(row.findings.len() <= limits.findings);
        assert!(row.stream_list.is_empty());
        assert!(row.goaways.iter().all(|goaway| goaway.debug.len() <= limits.debug_data));
        assert!(row.cancellations.iter().map(|set| set.streams.len()).sum::<usize>() <= 8192);
        let verdicts = row.goaways.iter().map(|goaway| &goaway.verdict).chain(&row.end_verdict);
        for verdict in verdicts {
            assert!((0.0..=1.0).contains(&verdict.confidence.value()));
            assert!(verdict.chain.len() <= 64, "{} steps", verdict.chain.len());
            assert!(verdict.cancelled_streams.len() <= limits.resets);
            assert!(verdict.maybe_processed_streams.len() <= limits.open_streams);
            assert!(verdict.safe_to_retry_streams.len() <= limits.open_streams);
        }
    }
    report.ok()
}

/// Packets over Ethernet.
fn read(packets: Vec<Owned>) -> Value {
    Wire { link: 1, packets }.with_file(survive).unwrap()
}

/// One connection on which the client sends these octets, in segments of 1400.
fn client_sends(octets: &[u8]) -> Value {
    let mut flow = Flow::new(40_000);
    let mut packets = flow.open(1_000_000_000);
    for (number, part) in octets.chunks(1400).enumerate() {
        let at = 1_001_000_000 + number as i64 * 10_000;
        packets.push(flow.send(at, false, PUSH, part));
    }
    read(packets)
}

fn beginning() -> Vec<u8> {
    [&PREFACE[..], &frame(SETTINGS, 0, 0, b"")].concat()
}

#[test]
fn mutated_files() {
    let names = [
        "stacks/vertx-client-timeout-goaway1-10s",
        "stacks/vertx4512-idle",
        "stacks/grpcio-max-connection-age",
        "servers/upgrade-h2c",
        "servers/preface-missing",
        "tls/tls13_hrr",
        "wires/base/base4",
        "wires/encap/base1_encap_vxlan_v6",
        "wires/encap/base1_encap_ip4_frag_rev",
        "wires/link/base1_ng_sections",
    ];
    let cases = cases_named(&names);
    let files: Vec<Vec<u8>> =
        cases.iter().map(|case| std::fs::read(&case.capture).unwrap()).collect();
    let seeds: Vec<u64> = (0..200).collect();
    parallel(&seeds, |seed| {
        let mut random = Random::new(*seed + 1);
        let mut octets = files[*seed as usize % files.len()].clone();
        for _ in 0..1 << random.below(10) {
            let at = random.below(octets.len());
            octets[at] = random.below(256) as u8;
        }
        if random.below(4) == 0 {
            octets.truncate(random.below(octets.len()));
        }
        with_file(&octets, survive);
    });
}

#[test]
fn mutated_packets_and_payloads() {
    let cases =
        cases_named(&["stacks/vertx4512-rst-flood", "wires/base/base1", "wires/base/base3"]);
    let wires: Vec<Wire> = cases.iter().map(|case| Wire::read(&case.capture)).collect();
    let seeds: Vec<u64> = (0..100).collect();
    parallel(&seeds, |seed| {
        let mut random = Random::new(*seed + 1000);
        let mut wire = wires[*seed as usize % wires.len()].clone();
        for _ in 0..1 << random.below(8) {
            let index = random.below(wire.packets.len());
            let packet = &mut wire.packets[index];
            // Behind Ethernet, IPv4 and TCP with its options, more often than not.
            let from = if random.below(3) == 0 { 0 } else { 66.min(packet.data.len() - 1) };
            let at = from + random.below(packet.data.len() - from);
            packet.data[at] ^= 1 << random.below(8);
        }
        wire.with_file(survive).unwrap();
    });
}

#[test]
fn random_octets_behind_every_beginning() {
    let seeds: Vec<u64> = (0..60).collect();
    parallel(&seeds, |seed| {
        let mut random = Random::new(*seed + 2000);
        let mut octets = match seed % 4 {
            0 => Vec::new(),
            1 => beginning(),
            2 => b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n".to_vec(),
            _ => vec![0x16, 3, 1],
        };
        let mut frames = seed % 8 >= 4;
        for _ in 0..3000 {
            if frames {
                let payload: Vec<u8> =
                    (0..random.below(40)).map(|_| random.below(256) as u8).collect();
                let (kind, flags) = (random.below(12) as u8, random.below(256) as u8);
                octets.extend(frame(kind, flags, random.below(9) as u32, &payload));
            } else {
                octets.push(random.below(256) as u8);
            }
            frames ^= random.below(1000) == 0;
        }
        client_sends(&octets);
    });
}

#[test]
fn random_segments_of_a_few_flows() {
    let seeds: Vec<u64> = (0..20).collect();
    parallel(&seeds, |seed| {
        let mut random = Random::new(*seed + 3000);
        let stream = [beginning(), frame(HEADERS, 5, 1, &GET)].concat();
        let packets = (0..3000).map(|number| {
            let flow = Flow::new(40_000 + random.below(3) as u16);
            let from = random.below(stream.len());
            let part = &stream[from..from + random.below(stream.len() - from)];
            let seq = 1001_u32.wrapping_add(from as u32).wrapping_sub(random.below(3) as u32);
            let (server, flags) = (random.below(2) == 0, random.below(64) as u8);
            flow.segment(1_000_000_000 + number * 1000, server, flags, seq, part)
        });
        read(packets.collect());
    });
}

#[test]
fn floods_of_continuations() {
    // Each of 100 octets, and each empty.
    for (count, size) in [(50_000, 100), (200_000, 0)] {
        let mut octets = beginning();
        octets.extend(frame(HEADERS, 0, 1, &GET));
        let part = frame(CONTINUATION, 0, 1, &vec![0xbe; size]);
        octets.extend(part.repeat(count));
        client_sends(&octets);
    }
}

#[test]
fn bombs_of_header_compression() {
    // One long field into the table, then thousands of references to it.
    let mut bomb = vec![0x40, 1, b'a', 0x7f, 0x81, 0x1e];
    bomb.resize(6 + 4000, b'x');
    let filled = frame(HEADERS, 5, 1, &[&GET[..], &bomb].concat());
    let mut octets = [beginning(), filled].concat();
    for stream in 1..200 {
        octets.extend(frame(HEADERS, 5, 1 + 2 * stream, &[0xbe; 16_000]));
    }
    client_sends(&octets);
    // Table size updates and insertions without end.
    let mut octets = beginning();
    for stream in 0..200 {
        let churn = [0x20, 0x3f, 0xe1, 0x1f, 0x40, 0, 0].repeat(2000);
        octets.extend(frame(HEADERS, 5, 1 + 2 * stream, &churn));
        let insertions = [0x40, 1, b'a', 1, b'b'].repeat(3000);
        octets.extend(frame(HEADERS, 5, 1001 + 2 * stream, &insertions));
    }
    client_sends(&octets);
}

#[test]
fn a_hundred_thousand_streams_on_one_connection() {
    let mut octets = beginning();
    for number in 0..100_000 {
        octets.extend(frame(HEADERS, 4, 1 + 2 * number, &GET));
    }
    let report = client_sends(&octets);
    let row = &report["connections"][0];
    let followed = Limits::default().open_streams;
    assert_eq!(row["streams"]["opened"], 100_000, "each is counted");
    assert!(row.to_string().contains("open_streams"), "the limit is told");
    let kept = list(&row["stream_list"]).len();
    assert!(kept <= followed, "{kept} rows");
    // And reset again, each with an empty answer to nothing.
    for number in 0..100_000 {
        octets.extend(frame(3, 0, 1 + 2 * number, &[0, 0, 0, 8]));
        octets.extend(frame(DATA, 0, 1 + 2 * number, b""));
    }
    client_sends(&octets);
}

#[test]
fn a_flood_of_handshakes() {
    let packets = (0..100_000_u32).map(|number| {
        let flow = Flow::new(number as u16);
        let mut packet = flow.segment(1_000_000_000 + i64::from(number), false, 2, number, b"");
        packet.data[26..30].copy_from_slice(&(0x0b00_0000 + number).to_be_bytes());
        packet
    });
    let report = read(packets.collect());
    assert_eq!(list(&report["connections"]).len(), 0);
    assert_eq!(report["summary"]["other_flows"], 100_000);
}

#[test]
fn tiny_overlapping_segments() {
    let stream = [beginning(), frame(HEADERS, 5, 1, &GET), frame(DATA, 0, 3, &[7; 4000])].concat();
    let mut flow = Flow::new(40_000);
    let mut packets = flow.open(1_000_000_000);
    let first = flow.seq[0];
    let mut random = Random::new(9);
    for number in 0..40_000 {
        let from = random.below(stream.len());
        let to = (from + 1 + random.below(4)).min(stream.len());
        let seq = first.wrapping_add(from as u32);
        let at = 1_001_000_000 + number * 1000;
        packets.push(flow.segment(at, false, PUSH, seq, &stream[from..to]));
    }
    for (from, octet) in stream.iter().enumerate().rev() {
        let seq = first.wrapping_add(from as u32);
        packets.push(flow.segment(1_042_000_000 + from as i64, false, PUSH, seq, &[*octet]));
    }
    let report = read(packets);
    assert_eq!(report["connections"][0]["streams"]["opened"], 1);
}
