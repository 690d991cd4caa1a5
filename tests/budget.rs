//! What `--memory` says holds, however fast a pipe is fed.
#![cfg(all(feature = "live", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::io::Write;
use std::process::Stdio;

use goawhy::vocab::frame::PREFACE;

use common::live::goawhy;
use common::wire::{Flow, Owned, Wire, frame};

const PUSH: u8 = 0x18;
const MEMORY: u64 = 16 << 20;
/// The program itself, with all that it links.
const BASE: u64 = 40 << 20;

/// Connections that stay open, or end in trouble, one behind the other.
fn connections(count: u16, closes: bool) -> Vec<Owned> {
    let connection = |number: u16| {
        let mut flow = Flow::new(1024 + number);
        let at = 1_000_000_000 + i64::from(number) * 100_000;
        let request = frame(1, 4, 1, b"\x82\x86\x84\x41\x01a");
        let mut packets = flow.open(at);
        let hello = [PREFACE, &frame(4, 0, 0, b"")[..], &request].concat();
        packets.push(flow.send(at + 4_000, false, PUSH, &hello));
        packets.push(flow.send(at + 5_000, true, PUSH, &frame(4, 0, 0, b"")));
        if closes {
            let error = frame(7, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 2]);
            packets.push(flow.send(at + 6_000, true, PUSH, &error));
            packets.push(flow.send(at + 7_000, true, 0x11, b""));
            packets.push(flow.send(at + 8_000, false, 0x11, b""));
        }
        packets
    };
    (0..count).flat_map(connection).collect()
}

fn syns(count: u16) -> Vec<Owned> {
    let syn = |number: u16| Flow::new(1024 + number).segment(1_000_000_000, false, 2, 7, b"");
    (0..count).map(syn).collect()
}

/// The most octets of memory that the program had while it read these packets.
fn peak(packets: Vec<Owned>) -> u64 {
    let mut command = goawhy();
    command.args(["live", "-", "--memory", &MEMORY.to_string(), "-o", "/dev/null"]);
    command.stdin(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let mut look = || {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak = peak.max(now.unwrap_or(0) * 1024);
    };
    for part in (Wire { link: 1, packets }).to_pcap().chunks(1 << 18) {
        pipe.write_all(part).unwrap();
        look();
    }
    drop(pipe);
    while child.try_wait().unwrap().is_none() {
        look();
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(child.wait().unwrap().success());
    peak
}

#[test]
fn memory_stays_within_what_it_may_take() {
    let floods = [
        ("open", connections(16_000, false)),
        ("closed", connections(8_000, true)),
        ("syn", syns(60_000)),
    ];
    for (name, packets) in floods {
        let peak = peak(packets);
        let most = MEMORY * 3 / 2 + BASE;
        assert!(peak > 0 && peak <= most, "{name}: {} MB", peak >> 20);
    }
}
