//! Memory of the analysis while it goes on: an idle connection, a closed stream, a connection that
//! is over.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::alloc::System;

use goawhy::pipeline::rows::Rows;
use goawhy::pipeline::{Pipeline, Sink};
use goawhy::vocab::frame::PREFACE;
use goawhy::vocab::limits::Limits;
use goawhy::vocab::packet::{LinkType, Packet};
use goawhy::vocab::time::{Stamp, Timestamp};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use common::wire::{Flow, Owned, frame};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Octets that an idle connection may keep, on the average of 20,000. At rest it takes some 950:
/// 300 of places in tables, the others packed. A tenth of them is awake, with 7,300 octets each.
const IDLE: usize = 1_664;

/// Octets that a closed stream may keep.
const CLOSED: usize = 120;

/// Octets that a connection keeps that is over: what is shown of it, and what it and its neighbours
/// are weighed by. As many as [`Limits::connections`] take some 500 MB while a capture is read.
const FINISHED: usize = 3 * 1024 + 512;

const PUSH: u8 = 0x18;
/// GET http /a with a user-agent and an authority, all but the method as literals for the table.
const REQUEST: &[u8] = b"\x82\x86\x44\x0a/cart/1234\x41\x0cshop.example\x7a\x0aclient/1.0";
const ANSWER: &[u8] = b"\x88\x5f\x10application/json";

struct Nobody;

impl Sink for Nobody {
    const READS_FIELDS: bool = false;
}

/// Octets on the heap now.
fn held() -> usize {
    let stats = HEAP.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// A pipeline that takes packets, and how many it has taken.
struct Run {
    pipeline: Pipeline,
    number: u64,
}

impl Run {
    fn new() -> Self {
        Self { pipeline: Pipeline::new(&Limits::default(), &[], false), number: 0 }
    }

    fn take(&mut self, packet: &Owned) {
        self.take_to(packet, &mut Nobody);
    }

    fn take_to(&mut self, packet: &Owned, sink: &mut impl Sink) {
        self.number += 1;
        let packet = Packet {
            stamp: Stamp::new(0, self.number, Timestamp(packet.at)),
            link: LinkType(1),
            data: &packet.data,
            wire_length: packet.wire_length,
            fcs_length: 0,
        };
        self.pipeline.push(&packet, sink).unwrap();
    }

    /// A connection that has greeted and answered one request.
    fn connect(&mut self, number: u16) -> Conversation {
        let mut flow = Flow::new(1024 + number);
        let at = 1_000_000_000 + i64::from(number) * 10_000;
        let packets = flow.open(at);
        packets.iter().for_each(|packet| self.take(packet));
        let mut conversation = Conversation { flow, at: at + 3000 };
        let settings = frame(4, 0, 0, &[0, 3, 0, 0, 0, 100]);
        conversation.says(self, false, &[&PREFACE[..], &settings].concat());
        conversation.says(self, true, &[settings, frame(4, 1, 0, b"")].concat());
        conversation.says(self, false, &frame(4, 1, 0, b""));
        conversation.asks(self, 1);
        conversation
    }
}

struct Conversation {
    flow: Flow,
    at: i64,
}

impl Conversation {
    fn says(&mut self, run: &mut Run, server: bool, octets: &[u8]) {
        self.at += 1000;
        run.take(&self.flow.send(self.at, server, PUSH, octets));
    }

    fn asks(&mut self, run: &mut Run, stream: u32) {
        self.says(run, false, &frame(1, 5, stream, REQUEST));
        let answer = [frame(1, 4, stream, ANSWER), frame(0, 1, stream, b"{\"price\": 17}")];
        self.says(run, true, &answer.concat());
    }
}

/// One test, so that nothing else allocates meanwhile.
#[test]
fn idle_connections_closed_streams_and_what_is_over_cost_little() {
    let mut run = Run::new();
    let mut rows = Rows::within(&Limits::default());
    let count = 20_000;
    (0..count).for_each(|number| end(&mut run, &mut rows, number));
    let before = held();
    (count..2 * count).for_each(|number| end(&mut run, &mut rows, number));
    let each = (held() - before) / usize::from(count);
    assert!(each <= FINISHED, "a connection that is over keeps {each} octets");
    drop(rows);

    let mut run = Run::new();
    run.connect(0);
    let before = held();
    let count = 20_000;
    for number in 1..=count {
        run.connect(number);
    }
    let each = (held() - before) / usize::from(count);
    assert!(each <= IDLE, "an idle connection keeps {each} octets");

    let mut run = Run::new();
    let mut busy = run.connect(0);
    let before = held();
    let count = 20_000;
    for number in 1..=count {
        busy.asks(&mut run, 1 + 2 * number);
    }
    let each = held().saturating_sub(before) / count as usize;
    assert!(each <= CLOSED, "a closed stream keeps {each} octets");
    // And those that were reset, of which the first few thousand are remembered one by one.
    let before = held();
    for number in count + 1..=2 * count {
        let stream = 1 + 2 * number;
        busy.says(&mut run, false, &frame(1, 5, stream, REQUEST));
        busy.says(&mut run, false, &frame(3, 0, stream, &[0, 0, 0, 8]));
    }
    let each = held().saturating_sub(before) / count as usize;
    assert!(each <= CLOSED, "a stream that was reset keeps {each} octets");
}

/// A connection that asks twice, and ends with an error before the second answer.
fn end(run: &mut Run, rows: &mut Rows, number: u16) {
    let mut flow = Flow::new(1024 + number);
    let at = 1_000_000_000 + i64::from(number) * 10_000_000;
    let settings = frame(4, 0, 0, &[0, 3, 0, 0, 0, 100]);
    let answer = [frame(1, 4, 1, ANSWER), frame(0, 1, 1, b"{\"price\": 17}")].concat();
    let asks = |stream| frame(1, 5, stream, REQUEST);
    let said = [
        (false, [&PREFACE[..], &settings].concat()),
        (true, [settings, frame(4, 1, 0, b"")].concat()),
        (false, asks(1)),
        (true, answer),
        (false, asks(3)),
        (true, frame(7, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 2])),
    ];
    let mut packets = flow.open(at);
    for (server, octets) in said {
        packets.push(flow.send(at + packets.len() as i64 * 1000, server, PUSH, &octets));
    }
    packets.push(flow.send(at + 20_000, true, 0x11, b""));
    packets.push(flow.send(at + 21_000, false, 0x11, b""));
    packets.iter().for_each(|packet| run.take_to(packet, rows));
}
