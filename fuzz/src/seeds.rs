//! What each target starts from: pieces of the project's captures.

use std::fs;
use std::path::{Path, PathBuf};

use goawhy::capture::Source;
use goawhy::packet::Decoder;
use goawhy::tcp::FlowTable;
use goawhy::vocab::address::Half;
use goawhy::vocab::flow::{FlowId, FlowItem};
use goawhy::vocab::limits::Limits;

use crate::flow;

/// Captures larger than this are no seeds.
const LARGEST: u64 = 24 * 1024;

/// The folder of captures.
pub fn home() -> PathBuf {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    folders.map(|folder| folder.join("captures")).find(|folder| folder.is_dir()).unwrap()
}

fn paths(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            paths(&path, found);
        } else if path.extension().is_some_and(|end| end != "json" && end != "md") {
            found.push(path);
        }
    }
}

fn captures() -> Vec<PathBuf> {
    let mut found = Vec::new();
    paths(&home(), &mut found);
    found.retain(|path| fs::metadata(path).unwrap().len() <= LARGEST);
    found.sort();
    found
}

/// Whole files.
pub fn files() -> Vec<Vec<u8>> {
    captures().iter().map(|path| fs::read(path).unwrap()).collect()
}

fn with_length(data: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&data[..usize::from(length)]);
}

/// The first packets of each capture.
pub fn packets() -> Vec<Vec<u8>> {
    let seeds = captures().into_iter().filter_map(|path| {
        let mut source = Source::open(&[path]).ok()?;
        let mut seed = Vec::new();
        let mut left = 8;
        while let Some(packet) = source.next() {
            if seed.is_empty() {
                seed.extend_from_slice(&(packet.link.0 as u16).to_le_bytes());
                seed.push(0);
            }
            with_length(packet.data, &mut seed);
            left -= 1;
            if left == 0 {
                break;
            }
        }
        Some(seed)
    });
    seeds.collect()
}

/// A few scripts of segments: in order, in disorder, and with losses.
pub fn scripts() -> Vec<Vec<u8>> {
    let segment = |by: u8, from: u16, length: u16, kind: u8, other: u16| {
        let mut octets = vec![by];
        octets.extend_from_slice(&from.to_le_bytes());
        octets.extend_from_slice(&length.to_le_bytes());
        octets.push(kind);
        octets.extend_from_slice(&other.to_le_bytes());
        octets
    };
    let handshake = [segment(0, 0, 0, 0, 0), segment(1, 0, 0, 0, 0), segment(0, 0, 0, 8, 0)];
    let orders: [&[u16]; 4] = [&[0, 1, 2, 3, 4], &[0, 2, 1, 4, 3], &[4, 3, 2, 1, 0], &[0, 1, 3, 3]];
    let all = orders.iter().flat_map(|order| {
        [true, false].map(|whole| {
            // Two beginnings near the wrap, and the usual limits.
            let mut seed = [0xff_u8, 0xff, 0xff, 0xf0, 0, 1, 2, 3, 0].to_vec();
            if whole {
                seed.extend(handshake.concat());
            }
            for place in *order {
                seed.extend(segment(0, place * 1000, 1100, 8, place * 50));
                seed.extend(segment(1, place * 50, 50, 8, place * 1000));
            }
            seed.extend(segment(0, 5000, 0, 1, 250));
            seed.extend(segment(1, 250, 0, 1, 5001));
            seed
        })
    });
    all.collect()
}

/// Octets of each half in the order of the packets.
fn flows(path: PathBuf) -> Vec<Vec<(Half, Vec<u8>)>> {
    let Ok(mut source) = Source::open(&[path]) else { return Vec::new() };
    let mut decoder = Decoder::new(&Limits::default());
    let mut table = FlowTable::new(Limits::default());
    let mut flows: Vec<Vec<(Half, Vec<u8>)>> = Vec::new();
    let mut take = |id: FlowId, item: FlowItem<'_>| {
        let place = id.0 as usize;
        if flows.len() <= place {
            flows.resize(place + 1, Vec::new());
        }
        if let FlowItem::Bytes { half, data, .. } = item {
            flows[place].push((half, data.to_vec()));
        }
    };
    while let Some(packet) = source.next() {
        if let Ok(segment) = decoder.decode(&packet) {
            table.push(&segment, &mut take);
        }
    }
    table.finish(&mut take);
    flows
}

fn script(pieces: &[(Half, Vec<u8>)]) -> Vec<u8> {
    flow::script(pieces.iter().map(|(half, data)| (*half, data.as_slice())))
}

/// Flows in cleartext, two a capture.
pub fn streams() -> Vec<Vec<u8>> {
    let clear = captures().into_iter().filter(|path| !path.starts_with(home().join("tls")));
    let raw = clear.flat_map(|path| flows(path).into_iter().take(2));
    let raw = raw.map(|flow| [vec![0], script(&flow)].concat());
    // Whose, kind, flags, stream, length: a request in two frames, its answer, a reset, a GOAWAY.
    let frames: [(u8, u8, u8, u8, &[u8]); 8] = [
        (0, 1, 0, 1, &[0x82, 0x86]),
        (0, 9, 4, 1, &[0x84]),
        (1, 4, 1, 0, &[]),
        (1, 1, 4, 1, &[0x88]),
        (1, 0, 9, 1, &[2, 7, 7, 7, 0, 0]),
        (0, 3, 0, 1, &[0, 0, 0, 8]),
        (1, 8, 0, 0, &[0, 0, 4, 0]),
        (1, 7, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 2, b'x']),
    ];
    let mut composed = vec![1];
    for (by, kind, flags, stream, payload) in frames {
        composed.extend([by, kind, flags, stream, payload.len() as u8]);
        composed.extend(payload);
    }
    raw.chain([composed]).collect()
}

/// Flows in TLS, behind their key logs.
pub fn sealed() -> Vec<Vec<u8>> {
    let sealed = captures().into_iter().filter(|path| path.starts_with(home().join("tls")));
    let seeds = sealed.filter(|path| path.extension().is_some_and(|end| end != "keys"));
    let seeds = seeds.flat_map(|path| {
        let keys = fs::read(path.with_extension("keys")).unwrap_or_default();
        flows(path).into_iter().take(1).map(move |flow| {
            let mut seed = Vec::new();
            with_length(&keys, &mut seed);
            seed.extend(script(&flow));
            seed
        })
    });
    seeds.collect()
}

/// Header blocks of the examples in RFC 7541 Appendix C, and of captures.
pub fn blocks() -> Vec<Vec<u8>> {
    const EXAMPLES: [&str; 3] = [
        // C.3: requests without Huffman coding.
        "828684410f7777772e6578616d706c652e636f6d 828684be58086e6f2d6361636865 \
         828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
        // C.4: the same with Huffman coding.
        "828684418cf1e3c2e5f23a6ba0ab90f4ff 828684be5886a8eb10649cbf \
         828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
        // A table that shrinks and grows, an entry too large for it.
        "20 3fe11f 3f21 408825a849e95ba97d7f8925a849e95bb8e8b4bf be be",
    ];
    let octets = |hex: &str| -> Vec<u8> {
        let digits: Vec<u8> =
            hex.bytes().filter_map(|sign| (sign as char).to_digit(16)).map(|d| d as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    };
    let examples = EXAMPLES.iter().map(|blocks| {
        let mut seed = Vec::new();
        blocks.split_whitespace().for_each(|block| with_length(&octets(block), &mut seed));
        seed
    });
    let of_captures = captures().into_iter().flat_map(flows).filter_map(|flow| {
        let of = |half: Half| -> Vec<u8> {
            let pieces = flow.iter().filter(|(of, _)| *of == half);
            pieces.flat_map(|(_, data)| data.clone()).collect()
        };
        let mut halves = [Half::A, Half::B].into_iter().map(of);
        let client = halves.find(|octets| octets.starts_with(PREFACE))?;
        Some(header_blocks(&client[PREFACE.len()..]))
    });
    examples.chain(of_captures).filter(|seed| !seed.is_empty()).collect()
}

/// Blocks of HEADERS without padding, priority or continuation.
fn header_blocks(mut frames: &[u8]) -> Vec<u8> {
    let mut seed = Vec::new();
    while let Some((head, rest)) = frames.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        if head[3] == 1 && head[4] & 0x2c == 4 {
            with_length(payload, &mut seed);
        }
        frames = rest;
    }
    seed
}

/// Filters of the documentation.
pub fn filters() -> Vec<Vec<u8>> {
    let texts = [
        "cause:client_request_timeout by:server age>4s stream:3 path:/orders code:1",
        "(code:1,11 or not path:/a.*b/) !by:client age<=1.5m",
        "server:10.0.0.0/8 client:[2001:db8::]/32 'a word' status>=500 conf<0.9",
        "",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
