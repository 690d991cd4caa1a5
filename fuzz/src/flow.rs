//! A flow for the rooms above TCP: octets of both halves in pieces, with gaps.

use arbitrary::Unstructured;
use goawhy::vocab::address::{Endpoint, FlowKey, Half};
use goawhy::vocab::flow::{FlowEnd, FlowItem, FlowTotals};
use goawhy::vocab::time::{Stamp, Timestamp};

/// Ends of the flow.
pub fn key() -> FlowKey {
    let end = |text: &str| {
        let address: std::net::SocketAddr = text.parse().unwrap();
        Endpoint { ip: address.ip(), port: address.port() }
    };
    FlowKey::of(end("10.0.0.1:40000"), end("10.0.0.2:8080")).0
}

/// Hands the items of a flow to `each`, as a script tells: for each piece an octet that says whose
/// it is and whether a gap lies before it, and two octets of length.
pub fn items(script: &mut Unstructured<'_>, each: &mut dyn FnMut(&FlowItem<'_>)) {
    let mut number = 1;
    let stamp = |number: u64| Stamp::new(0, number, Timestamp(number as i64 * 1_000_000));
    let whole: bool = script.arbitrary().unwrap_or_default();
    let initiator = whole.then_some(Half::A);
    each(&FlowItem::Opened { stamp: stamp(1), key: key(), initiator, first: Half::A });
    let mut offsets = [0_u64; 2];
    while let Ok((kind, length)) = script.arbitrary::<(u8, u16)>() {
        number += 1;
        let (stamp, at) = (stamp(number), usize::from(kind & 1));
        let half = [Half::A, Half::B][at];
        if kind & 0x3c == 0x3c {
            let bytes = u64::from(length);
            each(&FlowItem::Gap { stamp, half, offset: offsets[at], bytes });
            offsets[at] += bytes;
            continue;
        }
        let length = usize::from(length).min(script.len());
        let Ok(data) = script.bytes(length) else { break };
        if data.is_empty() {
            if script.is_empty() {
                break;
            }
            continue;
        }
        let seen = offsets[1 - at];
        each(&FlowItem::Bytes { stamp, half, offset: offsets[at], seen, data });
        offsets[at] += data.len() as u64;
    }
    let (stamp, totals) = (stamp(number + 1), FlowTotals::default());
    each(&FlowItem::Fin { stamp, by: Half::A });
    each(&FlowItem::Closed { stamp, how: FlowEnd::Ended, totals });
}

/// Hands runs of octets to `each`, in pieces of at most so many.
pub fn runs(runs: &[(Half, Vec<u8>)], most: usize, each: &mut dyn FnMut(&FlowItem<'_>)) {
    let stamp = |number: usize| Stamp::new(0, number as u64, Timestamp(number as i64 * 1_000_000));
    each(&FlowItem::Opened {
        stamp: stamp(1),
        key: key(),
        initiator: Some(Half::A),
        first: Half::A,
    });
    // Where the other half begins is known only with this.
    each(&FlowItem::Accepted { stamp: stamp(1), by: Half::B });
    let mut offsets = [0_u64; 2];
    for (number, (half, octets)) in runs.iter().enumerate() {
        let (stamp, at) = (stamp(number + 2), usize::from(*half == Half::B));
        for data in octets.chunks(most) {
            let (offset, seen) = (offsets[at], offsets[1 - at]);
            each(&FlowItem::Bytes { stamp, half: *half, offset, seen, data });
            offsets[at] += data.len() as u64;
        }
    }
    let (stamp, totals) = (stamp(runs.len() + 2), FlowTotals::default());
    each(&FlowItem::Fin { stamp, by: Half::A });
    each(&FlowItem::Closed { stamp, how: FlowEnd::Ended, totals });
}

/// A script that gives these pieces of a flow that was seen from its beginning.
pub fn script<'a>(pieces: impl IntoIterator<Item = (Half, &'a [u8])>) -> Vec<u8> {
    let mut script = vec![1];
    for (half, data) in pieces {
        for data in data.chunks(0xffff) {
            script.push(u8::from(half == Half::B));
            script.extend_from_slice(&(data.len() as u16).to_le_bytes());
            script.extend_from_slice(data);
        }
    }
    script
}
