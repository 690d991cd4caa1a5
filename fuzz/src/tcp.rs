//! Room 3: a script of segments of one pair of ports. What a half sends is a function of the
//! place in its stream, so whatever is handed up can be checked.

use arbitrary::Unstructured;
use goawhy::tcp::FlowTable;
use goawhy::vocab::address::{Both, Endpoint, Half};
use goawhy::vocab::flow::{FlowEnd, FlowId, FlowItem};
use goawhy::vocab::limits::Limits;
use goawhy::vocab::segment::{Segment, Seq, TcpFlags};
use goawhy::vocab::time::{Stamp, Timestamp};

/// Octets that a script may have in a half: more than its window.
const LENGTH: usize = 1 << 17;

/// What one half of a flow was given.
#[derive(Default)]
struct Given {
    /// Where its stream began, once that is told.
    next: Option<u64>,
    /// Place in the sender's stream of offset 0.
    origin: Option<u64>,
    closed: bool,
}

/// Octets of a half come in order, each once, and are those that were sent; gaps lie between.
pub fn run(data: &[u8]) {
    let mut script = Unstructured::new(data);
    let beginnings: [u32; 2] = script.arbitrary().unwrap_or_default();
    let mut limits = Limits::default();
    if script.arbitrary().unwrap_or_default() {
        limits = Limits { early_bytes_per_half: 4096, early_segments_per_half: 16, ..limits };
    }
    let early = limits.early_bytes_per_half;
    let mut table = FlowTable::new(limits);
    let mut given: Vec<(FlowId, Both<Given>)> = Vec::new();
    let mut number = 0;
    let content: [Vec<u8>; 2] = [0, 1].map(|half| (0..LENGTH).map(|at| octet(half, at)).collect());
    let mut check = |id: FlowId, item: FlowItem<'_>| take(&mut given, &content, id, item);
    while !script.is_empty() && number < 4096 {
        number += 1;
        let stamp = Stamp::new(0, number, Timestamp(number as i64 * 1_000_000));
        let Ok((by, from, length, kind, other)) = script.arbitrary::<(u8, u16, u16, u8, u16)>()
        else {
            break;
        };
        let half = usize::from(by & 1);
        let from = usize::from(from);
        let length = usize::from(length).min(early * 2);
        let syn = kind & 0x0f == 0;
        let payload = &content[half][from..(from + length).min(LENGTH)];
        let captured = if kind & 0x40 != 0 { payload.len() / 2 } else { payload.len() };
        let flags = match kind & 0x0f {
            0 => TcpFlags::SYN.0 | if half == 1 { TcpFlags::ACK.0 } else { 0 },
            1 => TcpFlags::FIN.0 | TcpFlags::ACK.0,
            2 => TcpFlags::RST.0,
            _ => TcpFlags::ACK.0,
        };
        let seq = |half: usize, at: usize| Seq(beginnings[half].wrapping_add(at as u32));
        let segment = Segment {
            stamp,
            source: endpoint(half),
            destination: endpoint(1 - half),
            // A SYN stands in front of the first octet.
            seq: if syn { seq(half, 0).plus(u32::MAX) } else { seq(half, from) },
            ack: seq(1 - half, usize::from(other)),
            flags: TcpFlags(flags),
            window: 0xffff,
            payload: if syn { &[] } else { &payload[..captured] },
            cut: if syn { 0 } else { (payload.len() - captured) as u32 },
        };
        table.push(&segment, &mut check);
    }
    table.finish(&mut check);
    assert!(given.iter().all(|(_, halves)| halves.first.closed), "a flow never ends");
}

/// Content in which eight octets in a row stand in one place only (splitmix64).
fn octet(half: usize, at: usize) -> u8 {
    let mut mixed = ((half << 32 | at) as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) as u8
}

fn endpoint(half: usize) -> Endpoint {
    let text = ["10.0.0.1:40000", "10.0.0.2:8080"][half];
    let address: std::net::SocketAddr = text.parse().unwrap();
    Endpoint { ip: address.ip(), port: address.port() }
}

fn take(
    given: &mut Vec<(FlowId, Both<Given>)>,
    content: &[Vec<u8>; 2],
    id: FlowId,
    item: FlowItem<'_>,
) {
    if matches!(item, FlowItem::Opened { .. }) {
        given.push((id, Both::default()));
    }
    let (_, halves) = given.iter_mut().find(|(of, _)| *of == id).expect("told before it opened");
    assert!(!halves.first.closed, "told after its end");
    match item {
        FlowItem::Bytes { half, offset, data, .. } => {
            assert!(!data.is_empty());
            let known = halves.half_mut(half);
            assert!(known.next.is_none_or(|next| next == offset), "{:?} {offset}", known.next);
            known.next = Some(offset + data.len() as u64);
            let content = &content[if half == Half::A { 0 } else { 1 }];
            is_sent(known, content, offset, data);
        }
        FlowItem::Gap { half, offset, bytes, .. } => {
            let known = halves.half_mut(half);
            assert!(known.next.is_none_or(|next| next == offset), "{:?} {offset}", known.next);
            known.next = Some(offset + bytes);
        }
        FlowItem::Closed { how, .. } => {
            halves.first.closed = true;
            assert_ne!(how, FlowEnd::Evicted);
        }
        _ => {}
    }
}

/// Octets stand where they were sent: at the same distance from offset 0 as all before them.
fn is_sent(known: &mut Given, content: &[u8], offset: u64, data: &[u8]) {
    if let Some(origin) = known.origin {
        let from = (origin + offset) as usize;
        let right = content.get(from..from + data.len()) == Some(data);
        let place = || content.windows(data.len()).position(|window| window == data);
        assert!(right, "{} octets of {from} are those of {:?}", data.len(), place());
    } else if data.len() >= 8 {
        // Eight octets tell their place.
        let place = content.windows(data.len()).position(|window| window == data);
        let place = place.expect("octets that nobody sent") as u64;
        known.origin = place.checked_sub(offset);
    }
}
