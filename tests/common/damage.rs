//! What happens to packets on their way into a capture, by fixed seeds.

use std::collections::HashMap;

use super::wire::{Layout, Owned, Random, Wire};

/// Changes that a report must not show.
#[derive(Clone, Copy, Debug)]
pub enum Harmless {
    Recut(u64),
    Merged(u64),
    /// Neighbours of one direction, with nothing of the other between.
    Reordered(u64),
    /// The same across packets of the other direction: requests may stand behind their answers.
    Unsorted(u64),
    Duplicated(u64),
    /// All of one direction behind all of the other, as queues appended to each other.
    Apart,
    /// The last packet first.
    Backwards,
    Offset,
    Vlan,
    Vxlan,
}

impl Harmless {
    pub const ALL: &[Self] = &[
        Self::Recut(1),
        Self::Merged(2),
        Self::Reordered(3),
        Self::Unsorted(3),
        Self::Duplicated(4),
        Self::Apart,
        Self::Backwards,
        Self::Offset,
        Self::Vlan,
        Self::Vxlan,
    ];

    /// `None` where it cannot be done to packets of this link.
    pub fn apply(self, wire: &Wire) -> Option<Wire> {
        Some(match self {
            Self::Recut(seed) => recut(wire, &mut Random::new(seed)),
            Self::Merged(seed) => merged(wire, &mut Random::new(seed)),
            Self::Reordered(seed) => reordered(wire, &mut Random::new(seed), 1),
            Self::Unsorted(seed) => reordered(wire, &mut Random::new(seed), 7),
            Self::Duplicated(seed) => duplicated(wire, &mut Random::new(seed)),
            Self::Apart => apart(wire)?,
            Self::Backwards => {
                let packets = wire.packets.iter().rev().cloned().collect();
                Wire { packets, ..*wire }
            }
            Self::Offset => each(wire, |packet| packet.at += 86_400_000_000_000 * 365),
            Self::Vlan if wire.link == 1 => each(wire, |packet| {
                packet.data.splice(12..12, [0x81, 0x00, 0x00, 0x2a]);
                packet.wire_length += 4;
            }),
            Self::Vxlan if wire.link == 1 => each(wire, vxlan),
            Self::Vlan | Self::Vxlan => return None,
        })
    }
}

/// Losses, which hide and must not invent.
#[derive(Clone, Copy, Debug)]
pub enum Loss {
    /// Each 13th packet, from this one on.
    Dropped(usize),
    /// Octets that are kept of each packet.
    Snapped(usize),
    /// Packets before this one.
    Joined(usize),
    /// All packets of the servers, or of the clients.
    OneSided(bool),
}

impl Loss {
    /// Those that are tried on so many packets.
    pub fn all(packets: usize) -> Vec<Self> {
        let mut losses = vec![Self::Snapped(96), Self::Snapped(200)];
        losses.extend([0, 5, 9].map(Self::Dropped));
        losses.extend([true, false].map(Self::OneSided));
        losses.extend((97..packets).step_by(97).map(Self::Joined));
        losses
    }

    pub fn apply(self, wire: &Wire) -> Wire {
        let mut packets = wire.packets.clone();
        match self {
            Self::Dropped(first) => {
                let mut number = 0;
                packets.retain(|_| {
                    number += 1;
                    number % 13 != first + 1
                });
            }
            Self::Snapped(length) => {
                packets.iter_mut().for_each(|packet| packet.data.truncate(length));
            }
            Self::Joined(at) => drop(packets.drain(..at)),
            Self::OneSided(servers) => packets.retain(|packet| {
                let layout = Layout::of(wire.link, &packet.data);
                layout.is_none_or(|layout| {
                    let ports = &packet.data[layout.tcp..layout.tcp + 4];
                    (ports[..2] < ports[2..]) != servers
                })
            }),
        }
        Wire { packets, ..*wire }
    }
}

/// What is left where the capture of each connection begins right behind its handshake.
pub fn without_syns(wire: &Wire) -> Wire {
    let mut packets = wire.packets.clone();
    packets.retain(|packet| {
        let layout = Layout::of(wire.link, &packet.data);
        layout.is_none_or(|layout| layout.flags(&packet.data) & SYN == 0)
    });
    Wire { packets, ..*wire }
}

fn each(wire: &Wire, change: impl Fn(&mut Owned)) -> Wire {
    let mut wire = wire.clone();
    wire.packets.iter_mut().for_each(change);
    wire
}

/// FIN, SYN, RST: these flags stand on one segment.
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const FIN: u8 = 0x01;

/// Segments split into two or three.
fn recut(wire: &Wire, random: &mut Random) -> Wire {
    let mut packets = Vec::new();
    for packet in &wire.packets {
        let layout = Layout::of(wire.link, &packet.data);
        let Some(layout) = layout.filter(|layout| {
            layout.end - layout.payload > 1 && layout.flags(&packet.data) & (SYN | RST) == 0
        }) else {
            packets.push(packet.clone());
            continue;
        };
        let payload = &packet.data[layout.payload..layout.end];
        let flags = layout.flags(&packet.data);
        let mut cuts = vec![0, 1 + random.below(payload.len() - 1), payload.len()];
        cuts.insert(1, 1 + random.below(cuts[1]));
        cuts.dedup();
        for (index, cut) in cuts.windows(2).enumerate() {
            let is_last = cut[1] == payload.len();
            let flags = if is_last { flags } else { flags & !FIN };
            let seq = layout.seq(&packet.data).wrapping_add(cut[0] as u32);
            let mut piece = layout.with_payload(packet, seq, &payload[cut[0]..cut[1]], flags);
            piece.at += index as i64 * 1000;
            packets.push(piece);
        }
    }
    Wire { packets, ..*wire }
}

/// Neighbouring segments of one direction that lie within half a millisecond become one.
fn merged(wire: &Wire, random: &mut Random) -> Wire {
    let mut packets: Vec<Owned> = Vec::new();
    for packet in &wire.packets {
        let joined = packets.last().and_then(|last| join(wire.link, last, packet));
        match joined {
            Some(joined) if random.below(3) > 0 => *packets.last_mut().unwrap() = joined,
            _ => packets.push(packet.clone()),
        }
    }
    Wire { packets, ..*wire }
}

fn join(link: u32, first: &Owned, second: &Owned) -> Option<Owned> {
    let (a, b) = (Layout::of(link, &first.data)?, Layout::of(link, &second.data)?);
    let (one, two) = (&first.data[a.payload..a.end], &second.data[b.payload..b.end]);
    let flags = a.flags(&first.data) | b.flags(&second.data);
    let fits = a.direction(&first.data) == b.direction(&second.data)
        && !one.is_empty()
        && !two.is_empty()
        && one.len() + two.len() < 60_000
        && flags & (SYN | RST | FIN) == 0
        && a.seq(&first.data).wrapping_add(one.len() as u32) == b.seq(&second.data)
        && (0..500_000).contains(&(second.at - first.at));
    fits.then(|| {
        // The later acknowledgement, as offload in a network card does it.
        let mut joined = b.with_payload(second, a.seq(&first.data), &[one, two].concat(), flags);
        joined.at = first.at;
        joined
    })
}

/// Neighbours of one direction change their places in the file, each with its time. A handshake
/// stays where it is, and what lies further apart than a host delays its packets.
fn reordered(wire: &Wire, random: &mut Random, span: usize) -> Wire {
    let mut wire = wire.clone();
    let mut last: HashMap<Vec<u8>, usize> = HashMap::new();
    for index in 0..wire.packets.len() {
        let data = &wire.packets[index].data;
        let Some(layout) = Layout::of(wire.link, data) else { continue };
        if layout.flags(data) & (SYN | RST) != 0 {
            continue;
        }
        let (direction, at) = (layout.direction(data), wire.packets[index].at);
        let before = last.insert(direction.clone(), index);
        let near =
            |before: &usize| index - before <= span && at - wire.packets[*before].at < 20_000_000;
        if let Some(before) = before.filter(near)
            && random.below(4) == 0
        {
            wire.packets.swap(before, index);
            last.remove(&direction);
        }
    }
    wire
}

/// `None` where the capture is so short that its order cannot be told from its times.
fn apart(wire: &Wire) -> Option<Wire> {
    let lasted = wire.packets.last()?.at - wire.packets.first()?.at;
    let from_server = |packet: &Owned| {
        let layout = Layout::of(wire.link, &packet.data);
        layout.is_some_and(|layout| {
            let ports = &packet.data[layout.tcp..layout.tcp + 4];
            ports[..2] < ports[2..]
        })
    };
    let (last, first): (Vec<Owned>, Vec<Owned>) =
        wire.packets.iter().cloned().partition(from_server);
    (lasted > 100_000_000).then(|| Wire { packets: [first, last].concat(), ..*wire })
}

/// Each third packet or so is seen twice, as on `any`.
fn duplicated(wire: &Wire, random: &mut Random) -> Wire {
    let mut packets = Vec::new();
    for packet in &wire.packets {
        packets.push(packet.clone());
        if random.below(3) == 0 {
            let again = Owned { at: packet.at + 2000, ..packet.clone() };
            packets.push(again);
        }
    }
    Wire { packets, ..*wire }
}

/// Ethernet in VXLAN in UDP over IPv4.
fn vxlan(packet: &mut Owned) {
    let inner = packet.data.len() as u16;
    let mut outer = vec![2, 0, 0, 0, 0, 3, 2, 0, 0, 0, 0, 4, 8, 0, 0x45, 0];
    outer.extend((20 + 8 + 8 + inner).to_be_bytes());
    outer.extend([0, 0, 0x40, 0, 64, 17, 0, 0, 192, 168, 7, 1, 192, 168, 7, 2]);
    outer.extend([0xd0, 0x01, 0x12, 0xb5]);
    outer.extend((8 + 8 + inner).to_be_bytes());
    outer.extend([0, 0, 8, 0, 0, 0, 0, 0, 42, 0]);
    packet.wire_length += outer.len() as u32;
    packet.data.splice(0..0, outer);
}
