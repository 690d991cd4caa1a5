//! Why TLS was not decrypted: each reason is true where it is given.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use goawhy::board::{Board, ConnectionRow};
use goawhy::pipeline::Pipeline;
use goawhy::pipeline::rows::Rows;
use goawhy::vocab::frame::Transport;
use goawhy::vocab::limits::Limits;

use common::tls::{Owned, home, key_log};

fn packets(name: &str) -> Vec<Owned> {
    common::tls::packets(home().join(format!("{name}.pcap"))).0
}

fn board(packets: &[Owned], log: &[u8]) -> Board {
    let mut rows = Rows::within(&Limits::default());
    let mut pipeline = Pipeline::new(&Limits::default(), &[log.into()], false);
    for packet in packets {
        let _ = pipeline.push(&packet.packet(), &mut rows);
    }
    pipeline.finish(&mut rows);
    rows.into_board()
}

/// The only row.
fn row(packets: &[Owned], log: &[u8]) -> ConnectionRow {
    let mut board = board(packets, log);
    assert_eq!(board.connections.len(), 1);
    (*board.connections.remove(0)).clone()
}

fn why(packets: &[Owned], log: &[u8]) -> String {
    let tls = row(packets, log).tls.unwrap();
    assert!(!tls.decrypted, "{tls:?}");
    tls.why_not.unwrap()
}

/// Where the first packet with these octets stands, and the octets in it.
fn place(packets: &[Owned], octets: &[u8]) -> (usize, usize) {
    let within = |packet: &Owned| packet.data.windows(octets.len()).position(|w| w == octets);
    let mut all = packets.iter().enumerate();
    all.find_map(|(at, packet)| Some((at, within(packet)?))).unwrap()
}

/// A log whose secrets are of nobody, for the same connections.
fn wrong(log: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(log).unwrap().lines();
    let turned = text.map(|line| match line.rsplit_once(' ') {
        Some((front, secret)) if !line.starts_with('#') => {
            format!("{front} {}\n", secret.chars().rev().collect::<String>())
        }
        _ => String::new(),
    });
    turned.collect::<String>().into_bytes()
}

fn only(log: &[u8], label: &str) -> Vec<u8> {
    let text = std::str::from_utf8(log).unwrap().lines();
    text.filter(|line| line.starts_with(label)).flat_map(|l| [l, "\n"]).collect::<String>().into()
}

const CLIENT_HELLO: &[u8] = &[0x16, 3, 1];
const SERVER_HELLO: &[u8] = &[0x16, 3, 3];
const NAMES: [&str; 2] = ["tls12_cbc_sha256", "tls13_aes128gcm"];

#[test]
fn without_keys_of_the_connection_that_is_the_reason() {
    for (name, other) in [(NAMES[0], NAMES[1]), (NAMES[1], NAMES[0])] {
        let packets = packets(name);
        let told = why(&packets, b"");
        assert!(told.starts_with("no keys were given; ") && told.contains("SSLKEYLOGFILE"));
        let told = why(&packets, b"nothing\nof use\n");
        assert!(told.starts_with("the key log has no secret in its 2 lines"), "{told}");
        let told = why(&packets, &key_log(other));
        assert!(told.starts_with("the key log has no keys of this connection"), "{told}");
    }
}

#[test]
fn keys_of_the_connection_that_fail_are_wrong() {
    for name in NAMES {
        let (packets, log) = (packets(name), key_log(name));
        let told = why(&packets, &wrong(&log));
        assert!(told.contains("do not decrypt it"), "{told}");
        // With packets missing before, nobody knows.
        let (hello, _) = place(&packets, SERVER_HELLO);
        let first_data = hello + 5;
        let lossy = [&packets[..first_data], &packets[first_data + 6..]].concat();
        let told = why(&lossy, &wrong(&log));
        assert!(told.contains("cannot be told"), "{told}");
    }
}

#[test]
fn keys_of_another_version_lack_those_that_are_needed() {
    let (old, new) = (packets(NAMES[0]), packets(NAMES[1]));
    let (old_log, new_log) = (key_log(NAMES[0]), key_log(NAMES[1]));
    let random = |log: &[u8]| {
        let text = std::str::from_utf8(log).unwrap();
        let line = text.lines().find(|line| !line.starts_with('#')).unwrap();
        line.split(' ').nth(1).unwrap().to_owned()
    };
    let secret = "5e".repeat(48);
    let log = format!("CLIENT_TRAFFIC_SECRET_0 {} {secret}\n", random(&old_log));
    let told = why(&old, log.as_bytes());
    assert!(told.contains("CLIENT_RANDOM with its master secret"), "{told}");
    let log = format!("CLIENT_RANDOM {} {secret}\n", random(&new_log));
    let told = why(&new, log.as_bytes());
    assert!(told.contains("lacks the keys of this connection's data"), "{told}");
    for label in ["CLIENT_HANDSHAKE", "SERVER_HANDSHAKE"] {
        let told = why(&new, &only(&new_log, label));
        assert!(told.contains("TRAFFIC_SECRET_0"), "{told}");
    }
}

#[test]
fn a_hello_that_is_cut_off_is_told() {
    for (name, other) in [(NAMES[0], NAMES[1]), (NAMES[1], NAMES[0])] {
        let mut packets = packets(name);
        let (at, from) = place(&packets, CLIENT_HELLO);
        packets[at].data.truncate(from + 20);
        let told = why(&packets, &key_log(other));
        assert!(told.contains("ClientHello is not whole in the capture"), "{told}");
    }
    // With its random there, the keys are found all the same.
    let mut cut = packets(NAMES[0]);
    let (at, from) = place(&cut, CLIENT_HELLO);
    cut[at].data.truncate(from + 60);
    let read = row(&cut, &key_log(NAMES[0]));
    assert!(read.tls.unwrap().decrypted && read.http2);
    assert_eq!(read.goaways.len(), row(&packets(NAMES[0]), &key_log(NAMES[0])).goaways.len());
    let mut packets = packets(NAMES[0]);
    let (at, from) = place(&packets, SERVER_HELLO);
    packets[at].data.truncate(from + 46);
    let told = why(&packets, &key_log(NAMES[0]));
    assert!(told.contains("ServerHello is not whole in the capture"), "{told}");
}

#[test]
fn records_that_are_cut_off_are_told() {
    for name in NAMES {
        let mut packets = packets(name);
        let (hello, _) = place(&packets, SERVER_HELLO);
        for packet in &mut packets[hello + 3..] {
            let payload = packet.data.len() > 66 + 80;
            packet.data.truncate(if payload { 66 + 30 } else { 66 });
        }
        let told = why(&packets, &key_log(name));
        assert!(told.contains("whole in the capture"), "{name}: {told}");
    }
}

#[test]
fn a_suite_that_is_not_read_is_named() {
    for (name, suite) in [(NAMES[0], [0xc0, 0x27]), (NAMES[1], [0x13, 0x01])] {
        let mut packets = packets(name);
        let (at, from) = place(&packets, SERVER_HELLO);
        let behind = &packets[at].data[from..];
        // Behind the head, the version, the random and the session id.
        let within = behind.windows(2).position(|two| two == suite).unwrap();
        assert!(within > 40);
        packets[at].data[from + within..from + within + 2].copy_from_slice(&[0xc0, 0x12]);
        let told = why(&packets, &key_log(name));
        assert!(told.contains("3DES") && told.contains("is not supported"), "{told}");
    }
}

#[test]
fn joined_midway_without_keys_there_is_a_row_that_claims_nothing() {
    for name in NAMES {
        let mut packets = packets(name);
        let from = place(&packets, SERVER_HELLO).0 + 6;
        let packets = packets.split_off(from);
        for (log, wanted) in [
            (&b""[..], "the handshake was not captured, and no keys were given"),
            (&wrong(&key_log(name)), "the handshake was not captured"),
        ] {
            let row = row(&packets, log);
            assert_eq!(
                (row.transport, row.http2, row.joined_midway),
                (Transport::Tls, false, true)
            );
            assert!(row.client.port > row.server.port && row.opened_at.is_none());
            assert!(row.end.by.is_some() && row.goaways.is_empty());
            let tls = row.tls.unwrap();
            assert_eq!((&tls.version, &tls.alpn, &tls.sni), (&None, &None, &None));
            assert!(tls.offered.is_empty() && !tls.decrypted);
            assert!(tls.client.records > 0 && tls.server.records > 0);
            assert!(tls.why_not.unwrap().starts_with(wanted));
            assert!(row.end_verdict.unwrap().confidence.value() <= 0.25);
        }
    }
}

#[test]
fn what_was_offered_is_not_what_was_negotiated() {
    let chosen = |name: &str, log: &[u8]| {
        let tls = row(&packets(name), log).tls.unwrap();
        assert!(tls.offered.iter().any(|name| name == "h2"));
        tls.alpn
    };
    assert_eq!(chosen(NAMES[0], b"").as_deref(), Some("h2"));
    assert_eq!(chosen(NAMES[1], b""), None);
    assert_eq!(chosen(NAMES[1], &key_log(NAMES[1])).as_deref(), Some("h2"));
}

#[test]
fn a_handshake_that_was_decrypted_does_not_ask_for_keys() {
    let (packets, log) = (packets(NAMES[1]), key_log(NAMES[1]));
    let (hello, _) = place(&packets, SERVER_HELLO);
    // The server's flight of the handshake, and nothing behind it.
    let row = row(&packets[..=hello], &log);
    let tls = row.tls.unwrap();
    assert_eq!((tls.decrypted, tls.why_not), (true, None));
    let asked = why(&packets[..=hello], b"");
    assert!(asked.starts_with("no keys were given"), "{asked}");
}
