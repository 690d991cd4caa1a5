use std::net::IpAddr;

use super::*;
use crate::vocab::address::{Endpoint, FlowKey};
use crate::vocab::flow::{FlowEnd, FlowTotals};
use crate::vocab::time::Timestamp;

fn opened(initiator: Option<Half>) -> FlowItem<'static> {
    let ip = IpAddr::from([127, 0, 0, 1]);
    let key = FlowKey { low: Endpoint { ip, port: 443 }, high: Endpoint { ip, port: 50_000 } };
    FlowItem::Opened { stamp: Stamp::default(), key, initiator, first: Half::B }
}

fn closed() -> FlowItem<'static> {
    let (how, totals) = (FlowEnd::Ended, FlowTotals::default());
    FlowItem::Closed { stamp: Stamp::new(0, 9999, Timestamp(0)), how, totals }
}

/// Octets of one half in pieces, between the flow's beginning and its end.
fn items(initiator: Option<Half>, half: Half, octets: &[u8], size: usize) -> Vec<FlowItem<'_>> {
    let mut all = vec![opened(initiator)];
    for (number, data) in (0..).zip(octets.chunks(size)) {
        let stamp = Stamp::new(0, number, Timestamp(0));
        let offset = number * size as u64;
        all.push(FlowItem::Bytes { stamp, half, offset, seen: 7, data });
    }
    all.push(closed());
    all
}

fn push_all(items: &[FlowItem<'_>], keys: &KeyLog) -> (Kind, Vec<String>) {
    let mut session = Session::new();
    let mut told = Vec::new();
    let mut kind = Kind::Undecided;
    for item in items {
        kind = session
            .push(item, keys, &Limits::default(), &mut |item| told.push(format!("{item:?}")));
    }
    (kind, told)
}

#[test]
fn what_is_not_tls_passes_unchanged() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let settings = b"\0\0\0\x04\0\0\0\0\0\0\0\0\x04\x01\0\0\0\0";
    let like_tls = b"\x16\x03\x01\xff\xff not quite";
    let long = vec![0x41; 100_000];
    let middle: Vec<u8> = (0..100_000u32).map(|n| (n.wrapping_mul(40_503) >> 7) as u8).collect();
    for octets in [&preface[..], settings, like_tls, b"\x16\x03", b"G", &long, &middle] {
        for initiator in [None, Some(Half::A), Some(Half::B)] {
            for half in [Half::A, Half::B] {
                for size in [1, 3, 1448].into_iter().filter(|size| octets.len() / size < 10_000) {
                    let items = items(initiator, half, octets, size);
                    let (kind, told) = push_all(&items, &KeyLog::new());
                    let want: Vec<String> = items.iter().map(|i| format!("{i:?}")).collect();
                    assert_eq!(kind, Kind::Plain);
                    assert_eq!(told, want, "{initiator:?} {half:?} {size}");
                }
            }
        }
    }
}

#[test]
fn cleartext_is_known_by_its_first_octets() {
    let mut session = Session::new();
    let keys = KeyLog::new();
    session.push(&opened(Some(Half::B)), &keys, &Limits::default(), &mut |_| {});
    let stamp = Stamp::default();
    let item = FlowItem::Bytes { stamp, half: Half::B, offset: 0, seen: 0, data: b"PRI" };
    assert_eq!(session.push(&item, &keys, &Limits::default(), &mut |_| {}), Kind::Plain);
}

#[test]
fn records_from_the_middle_are_tls_and_say_why_they_are_not_read() {
    let record = |length: u8| [&[23, 3, 3, 0, length][..], &vec![0xee; length.into()]].concat();
    let octets = [record(90), record(100), record(110)].concat();
    for from in [0, 30] {
        let items = items(None, Half::A, &octets[from..], 1448);
        let mut session = Session::new();
        for item in &items {
            session.push(item, &KeyLog::new(), &Limits::default(), &mut |item| {
                assert!(!matches!(item, FlowItem::Bytes { .. }));
            });
        }
        let facts = session.facts().unwrap();
        assert!(facts.joined_midway && !facts.is_decrypted());
        assert!(facts.why_not.unwrap().contains("no keys were given"));
        assert_eq!(facts.sides.first.data_records, if from == 0 { 3 } else { 2 });
    }
}

#[test]
fn garbage_behind_a_hello_does_no_harm() {
    let hello = [&[22, 3, 1, 0, 60, 1, 0, 0, 56, 3, 3][..], &[0xa5; 54]].concat();
    let mut keys = KeyLog::new();
    let line = |label: &str, n: usize| format!("{label} {} {}\n", "a5".repeat(32), "5e".repeat(n));
    keys.add_text(line("CLIENT_RANDOM", 48).as_bytes());
    keys.add_text(line("SERVER_TRAFFIC_SECRET_0", 32).as_bytes());
    keys.add_text(line("CLIENT_HANDSHAKE_TRAFFIC_SECRET", 32).as_bytes());
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    };
    for round in 0..60 {
        let mut octets = hello.clone();
        while octets.len() < 4000 {
            // Heads that are right more often than not, bodies that never are.
            let length = random();
            octets.extend([20 + random() % 5, 3, if round % 3 == 0 { random() } else { 3 }, 0]);
            octets.push(length);
            octets.extend((0..length).map(|_| random()));
        }
        for half in [Half::A, Half::B] {
            let (kind, told) = push_all(&items(Some(half), half, &octets, 700), &keys);
            assert_eq!(kind, Kind::Tls);
            assert_eq!(told.len(), 2, "{told:?}");
        }
    }
}
