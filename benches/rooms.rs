//! One bench a room on real octets from `captures/`, and the whole way through the house.
//!
//! `cargo bench`; throughput is in octets captured, so that rooms compare.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};

use divan::counter::BytesCount;
use divan::{Bencher, black_box};

use goawhy::capture::Source;
use goawhy::cause;
use goawhy::h2::{Reader, Scratch};
use goawhy::packet::Decoder;
use goawhy::pipeline::rows::Rows;
use goawhy::pipeline::{Pipeline, Sink};
use goawhy::report::json;
use goawhy::run::offline::{self, Job};
use goawhy::tcp::FlowTable;
use goawhy::track::Tracker;
use goawhy::track::history::History;
use goawhy::vocab::address::{FlowKey, Half};
use goawhy::vocab::flow::{FlowId, FlowItem};
use goawhy::vocab::frame::Signal;
use goawhy::vocab::limits::Limits;
use goawhy::vocab::packet::Packet;
use goawhy::vocab::time::Stamp;
use goawhy::vocab::tls::TlsFacts;

fn main() {
    divan::main();
}

/// Captures of real clients and servers in cleartext.
fn files() -> Vec<PathBuf> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    let folders = ["stacks", "servers"].map(|name| std::fs::read_dir(home.join(name)).unwrap());
    let mut files: Vec<_> =
        folders.into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "pcap"));
    files.sort();
    files
}

/// A packet that outlives its reader.
struct Kept {
    packet: Packet<'static>,
}

fn packets() -> (Vec<Kept>, BytesCount) {
    let mut source = Source::open(&files()).unwrap();
    let mut kept = Vec::new();
    let mut octets = 0;
    while let Some(packet) = source.next() {
        octets += packet.data.len();
        // A bench runs once and ends: what it reads may stay.
        let data: &'static [u8] = packet.data.to_vec().leak();
        kept.push(Kept { packet: Packet { data, ..packet } });
    }
    (kept, BytesCount::new(octets))
}

/// What TCP hands up, without its flow's address.
struct Octets {
    flow: FlowId,
    half: Half,
    stamp: Stamp,
    offset: u64,
    seen: u64,
    data: Vec<u8>,
}

type Flows = Vec<(FlowId, FlowKey, Option<Half>)>;

fn octets() -> (Flows, Vec<Octets>, BytesCount) {
    let (packets, count) = packets();
    let mut decoder = Decoder::new(&Limits::default());
    let mut table = FlowTable::new(Limits::default());
    let (mut flows, mut found) = (Flows::new(), Vec::new());
    let mut take = |flow: FlowId, item: FlowItem<'_>| match item {
        FlowItem::Opened { key, initiator, .. } => flows.push((flow, key, initiator)),
        FlowItem::Bytes { stamp, half, offset, seen, data } => {
            found.push(Octets { flow, half, stamp, offset, seen, data: data.to_vec() });
        }
        _ => {}
    };
    for kept in &packets {
        if let Ok(segment) = decoder.decode(&kept.packet) {
            table.push(&segment, &mut take);
        }
    }
    table.finish(&mut take);
    (flows, found, count)
}

#[divan::bench]
fn room_1_capture(bencher: Bencher) {
    let files = files();
    let (_, count) = packets();
    bencher.counter(count).bench(|| {
        let mut source = Source::open(&files).unwrap();
        let mut packets = 0;
        while source.next().is_some() {
            packets += 1;
        }
        packets
    });
}

#[divan::bench]
fn room_2_packet(bencher: Bencher) {
    let (packets, count) = packets();
    bencher.counter(count).bench_local(|| {
        let mut decoder = Decoder::new(&Limits::default());
        packets.iter().filter(|kept| decoder.decode(&kept.packet).is_ok()).count()
    });
}

#[divan::bench]
fn rooms_2_and_3_tcp(bencher: Bencher) {
    let (packets, count) = packets();
    bencher.counter(count).bench_local(|| {
        let mut decoder = Decoder::new(&Limits::default());
        let mut table = FlowTable::new(Limits::default());
        let mut items = 0;
        for kept in &packets {
            if let Ok(segment) = decoder.decode(&kept.packet) {
                table.push(&segment, &mut |_, item| {
                    black_box(item);
                    items += 1;
                });
            }
        }
        items
    });
}

/// Reads all flows; `each` is told of every signal with the place of its flow.
fn read(flows: &Flows, octets: &[Octets], each: &mut impl FnMut(usize, &Signal<'_>)) {
    let limits = Limits::default();
    let mut scratch = Scratch::default();
    let new = |(_, key, initiator): &(_, FlowKey, _)| Reader::new(*key, *initiator);
    let mut readers: Vec<_> = flows.iter().map(new).collect();
    for Octets { flow, half, stamp, offset, seen, data } in octets {
        let place = flow.0 as usize;
        let item =
            FlowItem::Bytes { stamp: *stamp, half: *half, offset: *offset, seen: *seen, data };
        let reader = readers.get_mut(place).unwrap();
        reader.push(&item, &limits, &mut scratch, &mut |signal| each(place, &signal));
    }
}

#[divan::bench]
fn room_5_h2(bencher: Bencher) {
    let (flows, octets, count) = octets();
    bencher.counter(count).bench_local(|| {
        let mut signals = 0;
        read(&flows, &octets, &mut |_, signal| {
            black_box(signal);
            signals += 1;
        });
        signals
    });
}

#[divan::bench]
fn rooms_5_and_6_track(bencher: Bencher) {
    let (flows, octets, count) = octets();
    let limits = Limits::default();
    bencher.counter(count).bench_local(|| {
        let new = |(id, key, initiator): &(FlowId, FlowKey, Option<Half>)| {
            Tracker::new(*id, *key, initiator.unwrap_or(Half::A), Stamp::default(), false)
        };
        let mut trackers: Vec<_> = flows.iter().map(new).collect();
        read(&flows, &octets, &mut |place, signal| {
            trackers.get_mut(place).unwrap().apply(signal, &limits);
        });
        trackers
    });
}

struct Histories(Vec<History>);

impl Sink for Histories {
    fn connection(&mut self, history: History, _: Option<TlsFacts>) {
        self.0.push(history);
    }
}

#[divan::bench]
fn room_7_cause(bencher: Bencher) {
    let (packets, count) = packets();
    let mut pipeline = Pipeline::new(&Limits::default(), &[], false);
    let mut histories = Histories(Vec::new());
    for kept in &packets {
        let _ = pipeline.push(&kept.packet, &mut histories);
    }
    pipeline.finish(&mut histories);
    bencher.counter(count).bench_local(|| {
        histories.0.iter().map(|history| cause::judge(history).goaways.len()).sum::<usize>()
    });
}

#[divan::bench]
fn pipeline_of_all_rooms(bencher: Bencher) {
    let (packets, count) = packets();
    bencher.counter(count).bench_local(|| {
        let mut pipeline = Pipeline::new(&Limits::default(), &[], false);
        let mut rows = Rows::within(&Limits::default());
        for kept in &packets {
            let _ = pipeline.push(&kept.packet, &mut rows);
        }
        pipeline.finish(&mut rows);
        rows.into_board()
    });
}

#[divan::bench]
fn report_json(bencher: Bencher) {
    let (_, count) = packets();
    let board = offline::report(&Job { files: files(), ..Job::default() }).unwrap();
    bencher.counter(count).bench_local(|| {
        let mut out = Vec::new();
        json::write(&mut out, &board, &json::Options::default()).unwrap();
        out.len()
    });
}
