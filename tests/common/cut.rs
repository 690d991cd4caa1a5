//! Octets lost at known places: in, before and behind the heads of frames.

use std::collections::BTreeMap;

use goawhy::vocab::frame::PREFACE;

use super::wire::{Layout, Owned, Random, Wire};

/// Octets of one direction that the capture lacks.
#[derive(Clone, Debug)]
pub struct Cut {
    direction: Vec<u8>,
    /// Sequence number of the first one.
    seq: u32,
    octets: u32,
    /// Octets that the direction has there.
    pub lost: u64,
    /// Where it lies: type of the frame, place before or behind its first octet.
    pub at: (u8, i64),
}

/// One direction of a connection: the octets from its SYN on.
struct Stream {
    first: u32,
    octets: Vec<u8>,
}

impl Cut {
    /// `wanted` cuts: of each type of frame as many, in each place in and around its head alike.
    pub fn some(wire: &Wire, wanted: usize) -> Vec<Self> {
        let streams = streams(wire);
        let mut heads: BTreeMap<u8, Vec<(&Vec<u8>, usize)>> = BTreeMap::new();
        for (direction, stream) in &streams {
            for (kind, place) in frames(&stream.octets) {
                heads.entry(kind).or_default().push((direction, place));
            }
        }
        let mut random = Random::new(heads.len() as u64);
        let mut cuts = Vec::new();
        let kinds: Vec<_> = heads.into_iter().collect();
        for number in 0..wanted {
            let Some((kind, places)) = kinds.get(number % kinds.len().max(1)) else { break };
            let (direction, place) = places[random.below(places.len())];
            let behind = random.below(16) as i64 - 3;
            let octets = 1 + random.below(8) as u32;
            let from = place as i64 + behind;
            let stream = &streams[direction];
            let inside = |at: i64| at.clamp(0, stream.octets.len() as i64) as u64;
            cuts.push(Self {
                direction: direction.clone(),
                seq: stream.first.wrapping_add(from as u32),
                octets,
                lost: inside(from + i64::from(octets)) - inside(from),
                at: (*kind, behind),
            });
        }
        cuts
    }

    /// Ports of sender and receiver.
    pub fn ports(&self) -> [u16; 2] {
        let ports = self.direction.last_chunk::<4>().unwrap();
        [[ports[0], ports[1]], [ports[2], ports[3]]].map(u16::from_be_bytes)
    }

    /// The capture without these octets, also where they were sent again.
    pub fn apply(&self, wire: &Wire) -> Wire {
        let mut packets = Vec::new();
        for packet in &wire.packets {
            match Layout::of(wire.link, &packet.data) {
                Some(layout) if layout.direction(&packet.data) == self.direction => {
                    packets.extend(self.pieces(packet, layout));
                }
                _ => packets.push(packet.clone()),
            }
        }
        Wire { packets, ..*wire }
    }

    /// The same, begun with the packet behind the cut.
    pub fn joined(&self, wire: &Wire) -> Wire {
        let mut wire = self.apply(wire);
        let behind = wire.packets.iter().position(|packet| {
            let layout = Layout::of(wire.link, &packet.data);
            layout.is_some_and(|layout| {
                let data = &packet.data;
                let end = self.seq.wrapping_add(self.octets);
                layout.direction(data) == self.direction && layout.seq(data) == end
            })
        });
        wire.packets.drain(..behind.unwrap_or(0));
        wire
    }

    /// What is left of one packet: as one, or as one before and one behind the cut.
    fn pieces(&self, packet: &Owned, layout: Layout) -> Vec<Owned> {
        let payload = &packet.data[layout.payload..layout.end];
        let flags = layout.flags(&packet.data);
        let seq = layout.seq(&packet.data);
        let place = |of: u32| (of.wrapping_sub(seq) as i32).clamp(0, payload.len() as i32) as usize;
        let (from, to) = (place(self.seq), place(self.seq.wrapping_add(self.octets)));
        if from == to || flags & 0x02 != 0 {
            return vec![packet.clone()];
        }
        let mut pieces = Vec::new();
        if from > 0 {
            let flags = if to == payload.len() { flags } else { flags & !0x01 };
            pieces.push(layout.with_payload(packet, seq, &payload[..from], flags));
        }
        if to < payload.len() {
            let seq = seq.wrapping_add(to as u32);
            pieces.push(layout.with_payload(packet, seq, &payload[to..], flags));
        }
        pieces
    }
}

/// What each direction sent, as far as it can be put together from its SYN on.
fn streams(wire: &Wire) -> BTreeMap<Vec<u8>, Stream> {
    let mut streams: BTreeMap<Vec<u8>, Stream> = BTreeMap::new();
    for packet in &wire.packets {
        let Some(layout) = Layout::of(wire.link, &packet.data) else { continue };
        let (direction, seq) = (layout.direction(&packet.data), layout.seq(&packet.data));
        if layout.flags(&packet.data) & 0x02 != 0 {
            let begun = Stream { first: seq.wrapping_add(1), octets: Vec::new() };
            streams.entry(direction).or_insert(begun);
            continue;
        }
        let Some(stream) = streams.get_mut(&direction) else { continue };
        let next = stream.first.wrapping_add(stream.octets.len() as u32);
        let payload = &packet.data[layout.payload..layout.end];
        if let Some(new) = payload.get(next.wrapping_sub(seq) as usize..) {
            stream.octets.extend_from_slice(new);
        }
    }
    streams
}

/// Type and place of each frame, where the octets are HTTP/2.
fn frames(octets: &[u8]) -> Vec<(u8, usize)> {
    let preface = octets.windows(PREFACE.len()).take(1024).position(|window| window == PREFACE);
    let mut place = match preface {
        Some(place) => place + PREFACE.len(),
        None if octets.first() == Some(&0) => 0,
        None => return Vec::new(),
    };
    let mut frames = Vec::new();
    while let Some(head) = octets.get(place..).and_then(|rest| rest.first_chunk::<9>()) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        if head[3] > 9 || length > 16_384 {
            break;
        }
        frames.push((head[3], place));
        place += 9 + length;
    }
    frames
}
