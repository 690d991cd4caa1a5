//! What holds for all input, on input that proptest makes up: a few dozen cases each, so that they
//! take seconds. `PROPTEST_CASES=10000 cargo test --test properties` looks longer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(missing_docs, dead_code, reason = "of the modules a part is used")]

#[path = "../fuzz/src/capture.rs"]
mod capture;
#[path = "../fuzz/src/pipeline.rs"]
mod pipeline;

mod common;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

use goawhy::board::filter::{Filter, FrameFacts};
use goawhy::capture::Source;
use goawhy::capture::save::{Described, Saver};
use goawhy::exchange;
use goawhy::h2::hpack::Decoder;
use goawhy::vocab::address::Side;
use goawhy::vocab::error_code::ErrorCode;
use goawhy::vocab::header::Field;
use goawhy::vocab::packet::{LinkType, Packet};
use goawhy::vocab::time::{Stamp, Timestamp};

use common::wire::{Flow, Owned, Wire, frame, with_file};
use common::{frames, job, list, report};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PUSH: u8 = 0x18;

/// Who, kind, flags, stream, payload.
type Piece = (bool, u8, u8, u8, Vec<u8>);

fn few() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) }
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(48)
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let kind = prop_oneof![8 => 0_u8..10, 1 => any::<u8>()];
    vec((any::<bool>(), kind, any::<u8>(), 0_u8..8, vec(any::<u8>(), 0..60)), 0..14)
}

/// What each end sends in turn, behind a beginning that RFC 9113 section 3.4 allows.
fn runs(pieces: &[Piece]) -> Vec<(bool, Vec<u8>)> {
    let settings = frame(4, 0, 0, b"");
    let mut runs = vec![(false, [PREFACE, &settings].concat()), (true, settings)];
    for (server, kind, flags, stream, payload) in pieces {
        let octets = frame(*kind, *flags, u32::from(*stream), payload);
        match runs.last_mut() {
            Some((last, run)) if last == server => run.extend(octets),
            _ => runs.push((*server, octets)),
        }
    }
    runs
}

/// How octets travel: numbers that say where segments are cut, which come twice or too late, and
/// what is around them.
#[derive(Clone, Debug)]
struct Travel {
    cuts: Vec<usize>,
    again: Vec<usize>,
    late: Vec<usize>,
    tunnel: usize,
}

fn travel() -> impl Strategy<Value = Travel> {
    let some = || vec(0_usize..1000, 0..6);
    (vec(1_usize..200, 1..9), some(), some(), 0_usize..TUNNELS)
        .prop_map(|(cuts, again, late, tunnel)| Travel { cuts, again, late, tunnel })
}

/// The packets of a connection in which nothing is lost.
fn packets(runs: &[(bool, Vec<u8>)], travel: &Travel) -> Vec<Owned> {
    let mut flow = Flow::new(40_000);
    let mut packets: Vec<(bool, Owned)> =
        flow.open(0).into_iter().zip([false, true, false]).map(|(p, by)| (by, p)).collect();
    let opened = packets.len();
    let mut cuts = travel.cuts.iter().cycle();
    for (server, octets) in runs {
        let mut rest = octets.as_slice();
        while !rest.is_empty() {
            let (part, behind) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            packets.push((*server, flow.send(0, *server, PUSH, part)));
            rest = behind;
        }
    }
    let sent = packets.len() - opened;
    for place in &travel.again {
        let from = opened + place % sent;
        let to = opened + (place / 7) % sent;
        packets.insert(from.max(to) + 1, packets[from].clone());
    }
    for place in &travel.late {
        let at = opened + place % (packets.len() - opened - 1);
        // Ends do not overtake each other: what one says depends on what it has heard.
        if packets[at].0 == packets[at + 1].0 {
            packets.swap(at, at + 1);
        }
    }
    packets.push((true, flow.send(0, true, 0x11, b"")));
    packets.push((false, flow.send(0, false, 0x11, b"")));
    let numbered = packets.into_iter().zip(0_i64..);
    let placed = numbered.map(|((_, packet), number)| {
        let data = within(travel.tunnel, &packet.data);
        Owned { at: 1_000_000_000 + number * 1_000_000, wire_length: data.len() as u32, data }
    });
    placed.collect()
}

const TUNNELS: usize = 6;

/// The packet itself, or in VLAN, IP, GRE, VXLAN, or GRE in VXLAN.
fn within(tunnel: usize, packet: &[u8]) -> Vec<u8> {
    let (ethernet, ip) = packet.split_at(14);
    let outer = |protocol: u8, inner: &[u8]| {
        let length = u16::try_from(20 + inner.len()).unwrap().to_be_bytes();
        let head = [0x45, 0, length[0], length[1], 0, 0, 0x40, 0, 64, protocol, 0, 0];
        [ethernet, &head, &[192, 0, 2, 1, 192, 0, 2, 2], inner].concat()
    };
    let vxlan = |inner: &[u8]| {
        let length = u16::try_from(16 + inner.len()).unwrap().to_be_bytes();
        let udp = [0xc0, 0, 0x12, 0xb5, length[0], length[1], 0, 0, 8, 0, 0, 0, 0, 0, 1, 0];
        outer(17, &[&udp, inner].concat())
    };
    match tunnel {
        0 => packet.to_vec(),
        1 => [&ethernet[..12], &[0x81, 0, 0, 7, 8, 0], ip].concat(),
        2 => outer(4, ip),
        3 => outer(47, &[&[0, 0, 8, 0], ip].concat()),
        4 => vxlan(packet),
        _ => vxlan(&outer(47, &[&[0, 0, 8, 0], ip].concat())),
    }
}

/// Frames of both ends without packets and times, and so without their order: a frame is listed at
/// the packet that brought its last octet, whichever octets came before.
fn told(packets: Vec<Owned>) -> [Vec<Value>; 2] {
    let lines = Wire { link: 1, packets }.with_file(|path| frames(&job(path)).unwrap());
    ["client", "server"].map(|by| {
        let of = lines.iter().filter(|line| line["by"] == by).cloned();
        let bare = of.map(|mut line| {
            let fields = line.as_object_mut().unwrap();
            fields.remove("packet");
            fields.remove("at");
            line
        });
        let mut all: Vec<Value> = bare.collect();
        all.sort_by_key(Value::to_string);
        all
    })
}

/// The lines of one end's frames in a connection.
fn of_client(octets: &[u8]) -> Vec<Value> {
    let beginning = [(false, [PREFACE, &frame(4, 0, 0, b""), octets].concat())];
    let travel = Travel { cuts: vec![1400], again: vec![], late: vec![], tunnel: 0 };
    let packets = packets(&beginning, &travel);
    let lines = Wire { link: 1, packets }.with_file(|path| frames(&job(path)).unwrap());
    lines.into_iter().filter(|line| line["by"] == "client").skip(2).collect()
}

/// Items of a script with a reset, an answer, a GOAWAY and an end in some order.
fn script(items: &[(u8, u8)]) -> String {
    let mut text = String::from(
        "0 SYN\n1 C> PREFACE\n+ SETTINGS\n2 S> SETTINGS\n3 C> SETTINGS ACK\n3 S> SETTINGS ACK\n",
    );
    let mut next = 1;
    for ((kind, stream), number) in items.iter().zip(1..) {
        let at = 10 + number * 700;
        let stream = 1 + 2 * u32::from(*stream);
        let line = match kind % 12 {
            0..=3 => {
                next += 2;
                let fields = ":method=GET :scheme=http :authority=a :path=/";
                format!("C> HEADERS {} END_STREAM {fields}", next - 2)
            }
            4 => format!("S> HEADERS {stream} END_STREAM :status=200"),
            5 => format!("C> RST_STREAM {stream} CANCEL"),
            6 => format!("S> RST_STREAM {stream} REFUSED_STREAM"),
            7 => format!("S> GOAWAY {stream} NO_ERROR"),
            8 => format!("S> GOAWAY {stream} PROTOCOL_ERROR \"x\""),
            9 => format!("C> GOAWAY {stream} NO_ERROR"),
            10 => "C> PING 0000000000000001".to_owned(),
            _ => "S> GOAWAY 2147483647 NO_ERROR".to_owned(),
        };
        text.push_str(&format!("{at} {line}\n"));
    }
    let end = 20 + items.len() * 700;
    text + &format!("{end} S> FIN\n{end} C> FIN\n")
}

/// A filter as a tree, to be printed and to be answered.
#[derive(Clone, Debug)]
enum Wish {
    Stream(char, u32),
    Kind(usize),
    Code(u32),
    Not(Box<Wish>),
    Both(Box<Wish>, Box<Wish>),
    Either(Box<Wish>, Box<Wish>),
}

const KINDS: [&str; 3] = ["GOAWAY", "HEADERS", "RST_STREAM"];

fn wish() -> impl Strategy<Value = Wish> {
    let leaf = prop_oneof![
        (prop_oneof![Just(':'), Just('>'), Just('<'), Just('!')], 0_u32..6)
            .prop_map(|(order, stream)| Wish::Stream(order, stream)),
        (0_usize..3).prop_map(Wish::Kind),
        (0_u32..14).prop_map(Wish::Code),
    ];
    leaf.prop_recursive(4, 16, 2, |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            inner.prop_map(|part| Wish::Not(Box::new(part))),
            two.clone().prop_map(|(a, b)| Wish::Both(Box::new(a), Box::new(b))),
            two.prop_map(|(a, b)| Wish::Either(Box::new(a), Box::new(b))),
        ]
    })
}

impl Wish {
    fn text(&self) -> String {
        match self {
            Self::Stream('!', stream) => format!("stream!={stream}"),
            Self::Stream(order, stream) => format!("stream{order}{stream}"),
            Self::Kind(kind) => format!("type:{}", KINDS[*kind]),
            Self::Code(code) => format!("code:{code}"),
            Self::Not(part) => format!("not ({})", part.text()),
            Self::Both(a, b) => format!("({}) ({})", a.text(), b.text()),
            Self::Either(a, b) => format!("({} or {})", a.text(), b.text()),
        }
    }

    fn holds(&self, facts: &FrameFacts<'_>) -> bool {
        match self {
            Self::Stream(':', stream) => facts.stream == *stream,
            Self::Stream('>', stream) => facts.stream > *stream,
            Self::Stream('<', stream) => facts.stream < *stream,
            Self::Stream(_, stream) => facts.stream != *stream,
            Self::Kind(kind) => facts.kind == KINDS[*kind],
            Self::Code(code) => facts.code == Some(ErrorCode(*code)),
            Self::Not(part) => !part.holds(facts),
            Self::Both(a, b) => a.holds(facts) && b.holds(facts),
            Self::Either(a, b) => a.holds(facts) || b.holds(facts),
        }
    }
}

proptest! {
    #![proptest_config(few())]

    #[test]
    fn frames_are_the_same_however_their_octets_travel(pieces in pieces(), travel in travel()) {
        let runs = runs(&pieces);
        let straight = Travel { cuts: vec![100_000], again: vec![], late: vec![], tunnel: 0 };
        prop_assert_eq!(told(packets(&runs, &straight)), told(packets(&runs, &travel)));
    }

    #[test]
    fn a_frame_head_is_read_as_it_is_written(
        kind in 11_u8..=255,
        flags in any::<u8>(),
        stream in 0_u32..1 << 31,
        length in 0_usize..2000,
    ) {
        let lines = of_client(&frame(kind, flags, stream, &vec![0; length]));
        prop_assert_eq!(lines.len(), 1);
        prop_assert_eq!(&lines[0]["flags"], flags);
        prop_assert_eq!(&lines[0]["stream"], stream);
        prop_assert_eq!(&lines[0]["length"], length);
    }

    #[test]
    fn settings_are_read_as_they_are_written(values in vec((any::<u16>(), any::<u32>()), 0..20)) {
        let octets: Vec<u8> = values
            .iter()
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        let lines = of_client(&frame(4, 0, 0, &octets));
        prop_assert_eq!(&lines[0]["settings"], &serde_json::json!(values));
    }

    #[test]
    fn header_lists_are_read_as_they_are_written(
        lists in vec(vec(("[a-z-]{1,12}", vec(any::<u8>(), 0..300), 0_u8..8), 0..8), 1..5),
    ) {
        use httlib_hpack::Encoder;
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::new());
        for list in lists {
            let mut block = Vec::new();
            for (name, value, how) in &list {
                let mut flags = match how & 1 {
                    0 => Encoder::NEVER_INDEXED,
                    _ => Encoder::WITH_INDEXING | Encoder::BEST_FORMAT,
                };
                if how & 2 != 0 {
                    flags |= Encoder::HUFFMAN_NAME;
                }
                if how & 4 != 0 {
                    flags |= Encoder::HUFFMAN_VALUE;
                }
                let field = (name.clone().into_bytes(), value.clone(), flags);
                encoder.encode(field, &mut block).unwrap();
            }
            let mut read = Vec::new();
            let outcome = decoder.decode(&block, &mut |field: Field<'_>| {
                read.push((field.name.unwrap().to_vec(), field.value.unwrap().to_vec()));
            });
            prop_assert!(outcome.fault.is_none(), "{:?}", outcome.fault);
            let written: Vec<_> =
                list.into_iter().map(|(name, value, _)| (name.into_bytes(), value)).collect();
            prop_assert_eq!(read, written);
        }
    }

    #[test]
    fn captures_are_read_as_they_are_written(
        written in vec(
            (0_i64..4_000_000_000_000_000_000, vec(any::<u8>(), 0..200), 0_u32..300),
            0..12,
        ),
    ) {
        let packets: Vec<Owned> = written
            .into_iter()
            .map(|(at, data, more)| Owned { at, wire_length: data.len() as u32 + more, data })
            .collect();
        let read = |file: &[u8]| {
            with_file(file, |path| {
                let mut source = Source::open(&[path.to_owned()]).unwrap();
                let mut read = Vec::new();
                while let Some(packet) = source.next() {
                    read.push((packet.stamp.at.0, packet.data.to_vec(), packet.wire_length));
                }
                assert!(source.facts()[0].damage.is_none());
                read
            })
        };
        let expected: Vec<_> =
            packets.iter().map(|of| (of.at, of.data.clone(), of.wire_length)).collect();
        prop_assert_eq!(&read(&Wire { link: 1, packets }.to_pcap()), &expected);
        let interface =
            Described { name: "x".into(), link: LinkType::ETHERNET, snap_length: 0, filter: None };
        let mut saver = Saver::new(Vec::new(), &[interface]).unwrap();
        for (number, (at, data, wire_length)) in (1..).zip(&expected) {
            let stamp = Stamp::new(0, number, Timestamp(*at));
            let link = LinkType::ETHERNET;
            let packet =
                Packet { stamp, link, data, wire_length: *wire_length, fcs_length: 0 };
            saver.packet(0, &packet).unwrap();
        }
        let file = saver.finish(Timestamp(0), &[]).unwrap();
        prop_assert_eq!(&read(&file), &expected);
    }

    #[test]
    fn a_filter_means_what_its_text_says(
        wish in wish(), stream in 0_u32..6, kind in 0_usize..3, code in 0_u32..14,
    ) {
        let code = (KINDS[kind] != "HEADERS").then_some(ErrorCode(code));
        let facts = FrameFacts { by: Side::Client, stream, kind: KINDS[kind], packet: 1, code };
        // `not code:8` holds of what has no code.
        let filter = Filter::new(&wish.text()).unwrap();
        prop_assert_eq!(filter.frame(facts, None, None), wish.holds(&facts), "{}", wish.text());
        let again = Filter::new(filter.text()).unwrap();
        prop_assert_eq!(again.frame(facts, None, None), wish.holds(&facts));
    }

    #[test]
    fn verdicts_rest_on_packets_that_are_there(
        items in vec((any::<u8>(), 0_u8..6), 1..16), lost in vec(any::<u8>(), 0..3),
    ) {
        let mut packets: Vec<Owned> = exchange::packets(&script(&items))
            .unwrap()
            .into_iter()
            .map(|(at, data)| Owned { at, wire_length: data.len() as u32, data })
            .collect();
        for place in lost {
            let at = usize::from(place) % packets.len();
            packets.remove(at);
        }
        let count = packets.len();
        let told = Wire { link: 1, packets }.with_file(|path| report(&job(path)).unwrap());
        pipeline::check(&told);
        for row in list(&told["connections"]) {
            for finding in list(&row["findings"]) {
                prop_assert!(finding["packet"].as_u64().unwrap() <= count as u64);
            }
        }
    }
}
