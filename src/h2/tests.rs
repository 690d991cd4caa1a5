//! Flows in pieces, as they come from the room below.

use super::*;
use crate::vocab::address::Endpoint;
use crate::vocab::frame::{FrameType, PREFACE};
use crate::vocab::time::Timestamp;

const CLIENT: Half = Half::A;
const SERVER: Half = Half::B;
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const ACCEPTED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n";

/// A flow without its handshake, and what was told of it: each packet carries one piece.
struct Talk {
    reader: Reader,
    scratch: Scratch,
    packets: u64,
    sent: Both<u64>,
    told: Vec<String>,
}

impl Talk {
    fn new() -> Self {
        let end = |port| Endpoint { ip: std::net::Ipv4Addr::LOCALHOST.into(), port };
        Self {
            reader: Reader::new(FlowKey { low: end(40_000), high: end(50_000) }, None),
            scratch: Scratch::default(),
            packets: 0,
            sent: Both::default(),
            told: Vec::new(),
        }
    }

    fn push(&mut self, item: &FlowItem<'_>) {
        let told = &mut self.told;
        self.reader.push(item, &Limits::default(), &mut self.scratch, &mut |signal| {
            told.push(match signal {
                Signal::Started { how, client, .. } => format!("started {how:?} {client:?}"),
                Signal::Upgraded { request, response, .. } => {
                    format!("upgraded {} {}", request.packet(), response.packet())
                }
                Signal::Frame(frame) => {
                    let (by, kind, stream) =
                        (frame.by.name(), frame.type_name(), frame.head.stream);
                    format!("{by} {kind} {stream}")
                }
                Signal::Lost { by, bytes, .. } => format!("{} lost {bytes}", by.name()),
                Signal::Unreadable { by, .. } => format!("{} unreadable", by.name()),
                _ => return,
            });
        });
    }

    fn stamp(&self) -> Stamp {
        Stamp::new(0, self.packets, Timestamp(0))
    }

    fn says(mut self, half: Half, octets: &[u8]) -> Self {
        self.packets += 1;
        let (stamp, offset) = (self.stamp(), *self.sent.half(half));
        *self.sent.half_mut(half) += octets.len() as u64;
        self.push(&FlowItem::Bytes { stamp, half, offset, seen: 0, data: octets });
        self
    }

    fn says_in(self, half: Half, octets: &[u8], most: usize) -> Self {
        octets.chunks(most).fold(self, |talk, piece| talk.says(half, piece))
    }
}

fn frame(kind: FrameType, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut octets = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    octets.extend([kind.0, flags]);
    octets.extend(stream.to_be_bytes());
    octets.extend(payload);
    octets
}

#[test]
fn servers_listen_on_the_lower_port_or_on_a_known_one() {
    let client = |low: u16, high: u16| {
        let end = |port| Endpoint { ip: std::net::Ipv4Addr::LOCALHOST.into(), port };
        Reader::new(FlowKey { low: end(low), high: end(high) }, None).by_ports()
    };
    assert_eq!((client(8080, 40_000), client(40_000, 8080)), (Half::B, Half::A));
    assert_eq!((client(40_000, 50_051), client(50_051, 61_000)), (Half::A, Half::B));
}

#[test]
fn a_request_with_a_long_body_is_upgraded_where_its_head_ended() {
    let body = "x".repeat(100_000);
    let head = format!("POST / HTTP/1.1\r\nUpgrade: h2c\r\nContent-Length: {}\r\n\r\n", body.len());
    let talk = Talk::new()
        .says(CLIENT, &head.as_bytes()[..20])
        .says(CLIENT, &head.as_bytes()[20..])
        .says_in(CLIENT, body.as_bytes(), 1400)
        .says(SERVER, ACCEPTED)
        .says(SERVER, SETTINGS)
        .says(CLIENT, &[PREFACE, SETTINGS].concat());
    let answer = 2 + body.len().div_ceil(1400) + 1;
    let want = [
        "started Upgrade A".to_owned(),
        format!("upgraded 2 {answer}"),
        "server SETTINGS 0".to_owned(),
        "client PREFACE 0".to_owned(),
        "client SETTINGS 0".to_owned(),
    ];
    assert_eq!(talk.told, want);
}

#[test]
fn text_in_a_payload_is_no_http1() {
    let page =
        [b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n".to_vec(), vec![b'.'; 1000]].concat();
    let body = |stream| frame(FrameType::DATA, 0, stream, &page.repeat(4));
    let mut talk = Talk::new().says(SERVER, &frame(FrameType::DATA, 0, 3, &[b'.'; 500]));
    for stream in [3, 5, 3, 5] {
        // The payload begins a segment of its own.
        let octets = body(stream);
        talk = talk.says(SERVER, &octets[..9]).says_in(SERVER, &octets[9..], page.len());
    }
    let talk = talk.says(SERVER, &frame(FrameType::HEADERS, 5, 3, &[0x88]));
    let talk = talk.says(CLIENT, &frame(FrameType::WINDOW_UPDATE, 0, 0, &[0, 0, 9, 9]));
    assert_eq!(talk.told.first().map(String::as_str), Some("started Unknown A"), "{:?}", talk.told);
    let data = talk.told.iter().filter(|told| told.starts_with("server DATA")).count();
    assert_eq!(data, 5, "{:?}", talk.told);
    // Text that no frame holds is HTTP/1, whatever follows.
    let talk = Talk::new()
        .says(SERVER, &page)
        .says(SERVER, &[body(3), body(5), body(3), body(5)].concat())
        .says(SERVER, &frame(FrameType::HEADERS, 5, 3, &[0x88]));
    assert_eq!(talk.told, [""; 0]);
}

#[test]
fn frames_in_the_body_of_a_request_are_no_connection_where_the_answer_is_lost() {
    let body = frame(FrameType::HEADERS, 4, 3, &[0x82; 40]).repeat(4);
    let head = format!("PUT / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut talk = Talk::new();
    talk.reader.initiator = Some(CLIENT);
    let mut talk = talk.says(CLIENT, head.as_bytes()).says(CLIENT, &body);
    let stamp = talk.stamp();
    talk.push(&FlowItem::Gap { stamp, half: SERVER, offset: 0, bytes: 90 });
    assert_eq!(talk.told, [""; 0]);
    assert_eq!(talk.reader.client(), None);
}

#[test]
fn frames_in_a_late_body_are_no_connection_where_the_answer_is_http1() {
    let request = |stream| frame(FrameType::HEADERS, 5, stream, &[0x82; 40]);
    let body = [1, 3, 5, 7].map(request).concat();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", SETTINGS.len() * 5);
    let answer = [head.as_bytes(), &SETTINGS.repeat(5)].concat();
    let talk = Talk::new().says(CLIENT, &body).says(SERVER, &answer);
    assert_eq!(talk.told, [""; 0]);
    // The same client, and an answer in frames.
    let talk = Talk::new().says(CLIENT, &body).says(SERVER, &SETTINGS.repeat(2));
    assert_eq!(talk.told.len(), 1 + 4, "{:?}", talk.told);
}

#[test]
fn frames_in_a_torn_body_are_no_connection_once_the_other_side_speaks_http1() {
    let body = [vec![b'.'; 90], frame(FrameType::HEADERS, 4, 3, &[0x82; 40]).repeat(6)].concat();
    let refused = b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n";
    let talk = Talk::new().says(CLIENT, &body).says(SERVER, refused).says(CLIENT, &body);
    assert_eq!(talk.told, [""; 0]);
    // Nobody says otherwise.
    let mut talk = Talk::new().says(CLIENT, &body);
    assert_eq!(talk.told, [""; 0]);
    for _ in 0..300 {
        talk = talk.says(CLIENT, &body[90..]);
    }
    assert_eq!(talk.told.first().map(String::as_str), Some("started Unknown A"));
}

#[test]
fn behind_the_words_of_a_socks_proxy() {
    let talk = |answer: &[u8]| {
        let mut talk = Talk::new();
        talk.reader.initiator = Some(CLIENT);
        let talk = talk.says(CLIENT, &[5, 1, 0]).says(SERVER, &[5, 0]);
        let talk = talk.says(CLIENT, &[5, 1, 0, 1, 10, 0, 0, 2, 31, 144]);
        let talk = talk.says(SERVER, &[5, 0, 0, 1, 10, 0, 0, 2, 31, 144]);
        talk.says(CLIENT, &[PREFACE, SETTINGS].concat()).says(SERVER, answer)
    };
    let want = ["started PriorKnowledge A", "client PREFACE 0", "client SETTINGS 0"];
    assert_eq!(talk(SETTINGS).told[..3], want);
    assert_eq!(talk(b"no such thing").told, [""; 0]);
    let many = vec![5; 3000];
    let talk =
        talk(&many).says(SERVER, &many).says(SERVER, &many.repeat(40)).says(SERVER, SETTINGS);
    assert_eq!(talk.told, [""; 0]);
}

#[test]
fn frames_of_an_old_stream_do_not_tell_the_newest_one() {
    let data = frame(FrameType::DATA, 0, 1, &[b'.'; 300]);
    let talk = Talk::new()
        .says(CLIENT, &frame(FrameType::PRIORITY, 0, 3, &[0, 0, 0, 0, 9]))
        .says(CLIENT, &data.repeat(3))
        .says(SERVER, &[7; 40])
        .says(SERVER, &frame(FrameType::HEADERS, 4, 5, &[0x88]))
        .says(SERVER, &frame(FrameType::DATA, 1, 5, &[b'.'; 300]));
    let server: Vec<_> = talk.told.iter().filter(|told| told.starts_with("server")).collect();
    assert_eq!(server, ["server lost 40", "server HEADERS 5", "server DATA 5"], "{:?}", talk.told);
}

#[test]
fn what_waits_is_counted_with_its_places_and_no_more_once_it_is_lost() {
    let talk = Talk::new().says_in(SERVER, &[7; 100], 1);
    assert!(talk.scratch.waiting > 100 * 50, "{}", talk.scratch.waiting);
    let mut scratch = talk.scratch;
    scratch.waiting += 5;
    scratch.renew(Some(&talk.reader));
    assert_eq!(scratch.waiting, 5);
}
