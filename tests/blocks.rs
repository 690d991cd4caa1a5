//! Header blocks in several frames: requests and responses are the same as in one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use goawhy::vocab::frame::PREFACE;
use serde_json::{Value, json};

use common::wire::{Flow, Owned, Wire, frame};
use common::{job, list, report};

const PUSH: u8 = 0x18;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// GET http /a with an authority, as literals that no table keeps.
const REQUEST: &[u8] = b"\x82\x86\x04\x02/a\x01\x01h";
const ANSWER: &[u8] = b"\x88\x0f\x10\x0aimage/jpeg";

/// A block in frames of so many octets.
fn block(stream: u32, flags: u8, octets: &[u8], most: usize) -> Vec<u8> {
    let parts: Vec<&[u8]> = octets.chunks(most).collect();
    let frames = parts.iter().enumerate().map(|(place, part)| {
        let kind = if place == 0 { HEADERS } else { CONTINUATION };
        let own = if place == 0 { flags } else { 0 };
        let last = if place + 1 == parts.len() { END_HEADERS } else { 0 };
        frame(kind, own | last, stream, part)
    });
    frames.collect::<Vec<_>>().concat()
}

/// Two requests and their answers, the first with trailers; blocks in frames of `most` octets.
fn talk(most: usize) -> Value {
    let settings = frame(4, 0, 0, b"");
    let mut flow = Flow::new(40_000);
    let mut packets: Vec<Owned> = flow.open(1_000_000_000);
    let says = [
        (false, [&PREFACE[..], &settings].concat()),
        (true, settings),
        (false, block(1, END_STREAM, REQUEST, most)),
        (true, [block(1, 0, ANSWER, most), frame(0, 0, 1, b"body")].concat()),
        (true, block(1, END_STREAM, b"\x00\x01t\x01v", most)),
        (false, block(3, END_STREAM, REQUEST, most)),
        (true, block(3, END_STREAM, ANSWER, most)),
    ];
    for (number, (server, octets)) in (1..).zip(says) {
        packets.push(flow.send(1_000_000_000 + number * 1_000_000, server, PUSH, &octets));
    }
    Wire { link: 1, packets }.with_file(|path| report(&job(path)).unwrap())
}

#[test]
fn requests_and_answers_are_the_same_however_their_blocks_are_cut() {
    let whole = talk(100);
    let streams = list(&whole["connections"][0]["stream_list"]).to_vec();
    assert_eq!(streams.len(), 2);
    for stream in &streams {
        assert_eq!((&stream["method"], &stream["path"]), (&json!("GET"), &json!("/a")));
        assert_eq!((&stream["status"], &stream["end"]["how"]), (&json!(200), &json!("completed")));
    }
    assert_eq!(streams[0]["trailers"], json!([["t", "v"]]));
    for most in [1, 2, 5] {
        let cut = talk(most);
        assert_eq!(cut["connections"][0]["stream_list"], whole["connections"][0]["stream_list"]);
        assert_eq!(cut["connections"][0]["streams"], whole["connections"][0]["streams"], "{most}");
        assert_eq!(cut["server_answers"], whole["server_answers"], "{most}");
    }
}

#[test]
fn a_frame_that_is_too_large_is_refused_by_its_head() {
    let settings = frame(4, 0, 0, b"");
    let mut flow = Flow::new(40_000);
    let mut packets: Vec<Owned> = flow.open(1_000_000_000);
    // The request declares one octet: what is told by the head is all that is told.
    let request = [REQUEST, b"\x0f\x0d\x011"].concat();
    let large = frame(0, END_STREAM, 1, &[7; 20_000]);
    let goaway = frame(7, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 6]);
    let says = [
        (false, [&PREFACE[..], &settings].concat()),
        (true, settings),
        (false, block(1, 0, &request, 100)),
        (false, large[..1000].to_vec()),
        (true, goaway),
        (false, large[1000..].to_vec()),
    ];
    for (number, (server, octets)) in (1..).zip(says) {
        packets.push(flow.send(1_000_000_000 + number * 1_000_000, server, PUSH, &octets));
    }
    let told = Wire { link: 1, packets }.with_file(|path| report(&job(path)).unwrap());
    let connection = &told["connections"][0];
    let verdict = &connection["goaways"][0]["verdict"];
    assert_eq!(verdict["cause"], "frame_size_violation", "{verdict}");
    assert_eq!((&verdict["blame"], &verdict["offending_packet"]), (&json!("client"), &json!(7)));
    // Once it is complete it is no second breach; what follows the GOAWAY is not the server's.
    let rules: Vec<&Value> =
        list(&connection["findings"]).iter().map(|finding| &finding["rule"]["id"]).collect();
    assert_eq!(rules, ["frame-size-limit"]);
}
