//! TLS connections as octets of their halves, and what the TLS room reads in them.

use std::path::{Path, PathBuf};

use goawhy::capture::Source;
use goawhy::packet::Decoder;
use goawhy::tcp::FlowTable;
use goawhy::tls::{KeyLog, Kind, Session};
use goawhy::vocab::address::{Both, FlowKey, Half};
use goawhy::vocab::flow::{FlowEnd, FlowItem, FlowTotals};
use goawhy::vocab::limits::Limits;
use goawhy::vocab::packet::{LinkType, Packet};
use goawhy::vocab::time::{Stamp, Timestamp};
use goawhy::vocab::tls::TlsFacts;

/// Octets of one half each, in the order in which they came.
pub type Pieces = Vec<(Half, Vec<u8>)>;

/// One flow of a capture.
pub struct Flow {
    pub key: FlowKey,
    pub client: Half,
    pub pieces: Pieces,
}

pub fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/tls")
}

/// One captured packet, to be damaged.
#[derive(Clone)]
pub struct Owned {
    pub stamp: Stamp,
    pub link: LinkType,
    pub data: Vec<u8>,
    pub wire_length: u32,
}

impl Owned {
    pub fn packet(&self) -> Packet<'_> {
        let Self { stamp, link, ref data, wire_length } = *self;
        Packet { stamp, link, data, wire_length, fcs_length: 0 }
    }
}

/// The packets of a capture, and the secrets in it.
pub fn packets(file: PathBuf) -> (Vec<Owned>, Vec<u8>) {
    let mut source = Source::open(&[file]).unwrap();
    let mut packets = Vec::new();
    while let Some(Packet { stamp, link, data, wire_length, .. }) = source.next() {
        packets.push(Owned { stamp, link, data: data.to_vec(), wire_length });
    }
    let secrets = source.secrets().iter().flat_map(|lines| lines.to_vec()).collect();
    (packets, secrets)
}

/// The key log beside a capture.
pub fn key_log(name: &str) -> Vec<u8> {
    std::fs::read(home().join(format!("{name}.keys"))).unwrap()
}

/// The first flow of a capture.
pub fn flow(name: &str) -> Flow {
    let mut source = Source::open(&[home().join(format!("{name}.pcap"))]).unwrap();
    let limits = Limits::default();
    let (mut decoder, mut table) = (Decoder::new(&limits), FlowTable::new(limits.clone()));
    let (mut pieces, mut found) = (Pieces::new(), None);
    let mut each = |id, item: FlowItem<'_>| match item {
        FlowItem::Opened { key, initiator, .. } if found.is_none() => {
            found = Some((id, key, initiator.unwrap()));
        }
        FlowItem::Bytes { half, data, .. } if found.is_some_and(|(first, ..)| first == id) => {
            pieces.push((half, data.to_vec()));
        }
        _ => {}
    };
    while let Some(packet) = source.next() {
        table.push(&decoder.decode(&packet).unwrap(), &mut each);
    }
    table.finish(&mut each);
    let (_, key, client) = found.unwrap();
    Flow { key, client, pieces }
}

/// What the application sent, as far as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Octets(Vec<u8>),
    Gap,
}

/// What was read.
pub struct Told {
    pub kind: Kind,
    pub facts: Option<TlsFacts>,
    pub pieces: Both<Vec<Piece>>,
}

impl Told {
    /// All octets of a half; a gap among them is a failure.
    pub fn octets(&self, half: Half) -> Vec<u8> {
        let of = |piece: &Piece| match piece {
            Piece::Octets(octets) => octets.clone(),
            Piece::Gap => panic!("octets are missing"),
        };
        self.pieces.half(half).iter().flat_map(of).collect()
    }
}

/// Reads a flow from its beginning, which `initiator` made where its SYN was captured, to its end
/// by FIN from both sides.
pub fn read(key: FlowKey, initiator: Option<Half>, pieces: &Pieces, log: &[u8]) -> Told {
    let mut keys = KeyLog::new();
    keys.add_text(log);
    let limits = Limits::default();
    let (mut session, mut told) = (Session::new(), Both::<Vec<Piece>>::default());
    let mut ends = Both::<u64>::default();
    let mut up = |item: FlowItem<'_>| match item {
        FlowItem::Bytes { half, offset, data, .. } => {
            assert!(offset >= *ends.half(half), "offsets go back");
            *ends.half_mut(half) = offset + data.len() as u64;
            told.half_mut(half).push(Piece::Octets(data.to_vec()));
        }
        FlowItem::Gap { half, .. } => told.half_mut(half).push(Piece::Gap),
        _ => {}
    };
    let mut offsets = Both::<u64>::default();
    let stamp = Stamp::default();
    let mut push = |item: &FlowItem<'_>| session.push(item, &keys, &limits, &mut up);
    push(&FlowItem::Opened { stamp, key, initiator, first: Half::A });
    for (number, (half, data)) in (1..).zip(pieces) {
        let (half, offset) = (*half, *offsets.half(*half));
        *offsets.half_mut(half) += data.len() as u64;
        let stamp = Stamp::new(0, number, Timestamp(0));
        push(&FlowItem::Bytes { stamp, half, offset, seen: 0, data });
    }
    for by in [Half::A, Half::B] {
        push(&FlowItem::Fin { stamp, by });
    }
    let (how, totals) = (FlowEnd::Ended, FlowTotals::default());
    let kind = push(&FlowItem::Closed { stamp, how, totals });
    Told { kind, facts: session.facts(), pieces: told }
}
