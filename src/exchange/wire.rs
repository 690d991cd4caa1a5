//! Connections of a script: sequence numbers, header compression, and the packets they make.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};

use super::item::{Frame, Item};
use crate::vocab::address::{Both, Side};
use crate::vocab::frame::{Flags, FrameType};
use etherparse::PacketBuilder;
use httlib_hpack::Encoder;

/// Everything between the two hosts.
#[derive(Default)]
pub(super) struct Wire {
    connections: BTreeMap<u16, Connection>,
    /// Hosts of connections, where they are not the usual ones.
    ends: BTreeMap<u16, Ends>,
    /// Empty packets that acknowledge, in time order.
    due: VecDeque<Due>,
    packets: Vec<(i64, Vec<u8>)>,
}

/// An acknowledgement on its way.
struct Due {
    at: i64,
    connection: u16,
    /// Who acknowledges.
    by: Side,
    /// Up to which sequence number.
    number: u32,
}

type Connection = Both<Peer>;

/// The client's address, the server's and its port.
pub(super) type Ends = (Ipv4Addr, SocketAddrV4);

/// One side of a connection.
struct Peer {
    /// Next sequence number.
    next: u32,
    /// Sequence number that the other side's octets have reached this side up to.
    received: u32,
    /// What the other side sent and has not arrived: arrival time, end.
    coming: VecDeque<(i64, u32)>,
    /// Packets to leave out of the capture.
    lose: u32,
    encoder: Encoder<'static>,
    /// The encoder's table size now.
    table_size: u32,
    /// The other side's SETTINGS_HEADER_TABLE_SIZE, not yet acknowledged.
    announced: Option<u32>,
    /// The value acknowledged, to be told in the next header block.
    update: Option<u32>,
}

impl Peer {
    fn new(first: u32, other: u32) -> Self {
        Self {
            next: first,
            received: other,
            coming: VecDeque::new(),
            lose: 0,
            encoder: Encoder::default(),
            table_size: 4096,
            announced: None,
            update: None,
        }
    }

    /// Takes in what has arrived by `at`.
    fn receive(&mut self, at: i64) {
        while let Some(&(arrival, end)) = self.coming.front()
            && arrival <= at
        {
            self.received = end;
            self.coming.pop_front();
        }
    }

    /// The header block of a frame (RFC 7541 section 6).
    fn block(&mut self, frame: &Frame) -> Result<Vec<u8>, String> {
        let mut block = Vec::new();
        let begins = [FrameType::HEADERS.0, FrameType::PUSH_PROMISE.0].contains(&frame.kind);
        let wrong = |error| format!("the header block cannot be encoded: {error:?}");
        if begins
            && let Some(size) = self.update.take()
            && size != self.table_size
        {
            self.table_size = size;
            self.encoder.update_max_dynamic_size(size, &mut block).map_err(wrong)?;
        }
        for field in &frame.fields {
            let how = if field.never_indexed {
                Encoder::NEVER_INDEXED
            } else {
                Encoder::WITH_INDEXING | Encoder::BEST_FORMAT
            };
            let flags = how | Encoder::HUFFMAN_NAME | Encoder::HUFFMAN_VALUE;
            let input = (field.name.clone(), field.value.clone(), flags);
            self.encoder.encode(input, &mut block).map_err(wrong)?;
        }
        Ok(block)
    }
}

/// What a packet carries besides its numbers.
#[derive(Clone, Copy, Default)]
struct Content<'a> {
    payload: &'a [u8],
    syn: bool,
    fin: bool,
    rst: bool,
    /// A RST that acknowledges nothing.
    bare: bool,
}

impl Wire {
    /// Sends the acknowledgements that are due by `at`.
    pub(super) fn until(&mut self, at: i64) -> Result<(), String> {
        while self.due.front().is_some_and(|due| due.at <= at)
            && let Some(due) = self.due.pop_front()
        {
            let Some(connection) = self.connections.get_mut(&due.connection) else { continue };
            let peer = connection.side_mut(due.by);
            peer.receive(due.at);
            let (next, number) = (peer.next, due.number);
            self.put(due.connection, due.by, due.at, (next, Some(number)), Content::default())?;
        }
        Ok(())
    }

    /// All packets.
    pub(super) fn finish(mut self) -> Result<Vec<(i64, Vec<u8>)>, String> {
        self.until(i64::MAX)?;
        Ok(self.packets)
    }

    /// SYN, SYN-ACK and ACK, at one time. A connection that exists begins anew.
    pub(super) fn handshake(&mut self, id: u16, at: i64, ends: Option<Ends>) -> Result<(), String> {
        self.ends.extend(ends.map(|ends| (id, ends)));
        self.due.retain(|due| due.connection != id);
        let (client, server) = match self.connections.get(&id) {
            Some(old) => (old.first.next.wrapping_add(REUSE), old.second.next.wrapping_add(REUSE)),
            None => (CLIENT_FIRST, SERVER_FIRST),
        };
        self.connections.insert(id, connection(client, server));
        let syn = Content { syn: true, ..Content::default() };
        self.put(id, Side::Client, at, (client.wrapping_sub(1), None), syn)?;
        self.put(id, Side::Server, at, (server.wrapping_sub(1), Some(client)), syn)?;
        self.put(id, Side::Client, at, (client, Some(server)), Content::default())
    }

    /// The connection `id`, joined midway where it had no handshake.
    fn connection(&mut self, id: u16) -> &mut Connection {
        self.connections.entry(id).or_insert_with(|| connection(CLIENT_FIRST, SERVER_FIRST))
    }

    /// Leaves the next `count` packets of `side` that are not empty out of the capture.
    pub(super) fn lose(&mut self, id: u16, side: Side, count: u32) {
        self.connection(id).side_mut(side).lose = count;
    }

    /// Sends `items` in one packet, or in several where they are too long for one.
    pub(super) fn send(
        &mut self,
        id: u16,
        by: Side,
        at: i64,
        items: &[Item],
    ) -> Result<(), String> {
        let connection = self.connection(id);
        let (mut payload, mut fin, mut rst, mut bare) = (Vec::new(), false, false, false);
        for item in items {
            match item {
                Item::Octets(octets) => payload.extend_from_slice(octets),
                Item::Frame(frame) => payload.extend(encode(connection, by, frame)?),
                Item::Fin => fin = true,
                Item::Rst(of) => (rst, bare) = (true, *of),
            }
        }
        let mut rest = payload.as_slice();
        loop {
            let (part, behind) = rest.split_at(rest.len().min(PAYLOAD_MAX));
            rest = behind;
            let last = rest.is_empty();
            let (fin, rst) = (fin && last, rst && last);
            let content = Content { payload: part, syn: false, fin, rst, bare };
            self.send_packet(id, by, at, content)?;
            if last {
                return Ok(());
            }
        }
    }

    fn send_packet(
        &mut self,
        id: u16,
        by: Side,
        at: i64,
        content: Content<'_>,
    ) -> Result<(), String> {
        let connection = self.connection(id);
        let peer = connection.side_mut(by);
        peer.receive(at);
        let numbers = (peer.next, Some(peer.received).filter(|_| !content.bare));
        let length = u32::try_from(content.payload.len()).unwrap_or(0) + u32::from(content.fin);
        peer.next = peer.next.wrapping_add(length);
        let end = peer.next;
        let lost = peer.lose > 0;
        peer.lose = peer.lose.saturating_sub(1);
        if length > 0 && !content.rst {
            connection.side_mut(by.other()).coming.push_back((at + DELAY, end));
            let due = Due { at: at + DELAY, connection: id, by: by.other(), number: end };
            self.due.push_back(due);
        }
        if lost { Ok(()) } else { self.put(id, by, at, numbers, content) }
    }

    /// Writes a packet into the capture. `numbers`: sequence and acknowledgement.
    fn put(
        &mut self,
        id: u16,
        by: Side,
        at: i64,
        numbers: (u32, Option<u32>),
        content: Content<'_>,
    ) -> Result<(), String> {
        let port = CLIENT_PORT.saturating_add(id);
        let usual = || (CLIENT_IP.into(), SocketAddrV4::new(SERVER_IP.into(), SERVER_PORT));
        let (client, server) = self.ends.get(&id).copied().unwrap_or_else(usual);
        let (client, listens, server) = (client.octets(), server.port(), server.ip().octets());
        let builder = match by {
            Side::Client => PacketBuilder::ethernet2(CLIENT_MAC, SERVER_MAC)
                .ipv4(client, server, 64)
                .tcp(port, listens, numbers.0, WINDOW),
            Side::Server => PacketBuilder::ethernet2(SERVER_MAC, CLIENT_MAC)
                .ipv4(server, client, 64)
                .tcp(listens, port, numbers.0, WINDOW),
        };
        let mut builder = match numbers.1 {
            Some(number) => builder.ack(number),
            None => builder,
        };
        if content.syn {
            builder = builder.syn();
        }
        if content.fin {
            builder = builder.fin();
        }
        if content.rst {
            builder = builder.rst();
        }
        if !content.payload.is_empty() {
            builder = builder.psh();
        }
        let mut packet = Vec::with_capacity(builder.size(content.payload.len()));
        builder
            .write_to_vec(&mut packet, content.payload)
            .map_err(|error| format!("the packet cannot be built: {error:?}"))?;
        self.packets.push((at, packet));
        Ok(())
    }
}

fn connection(client: u32, server: u32) -> Connection {
    Both { first: Peer::new(client, server), second: Peer::new(server, client) }
}

/// A frame's octets; SETTINGS leave their traces in the header compression.
fn encode(connection: &mut Connection, by: Side, frame: &Frame) -> Result<Vec<u8>, String> {
    if frame.kind == FrameType::SETTINGS.0 {
        if frame.flags & Flags::ACK.0 != 0 {
            let peer = connection.side_mut(by);
            peer.update = peer.announced.take().or(peer.update);
        } else if frame.table_size.is_some() {
            connection.side_mut(by.other()).announced = frame.table_size;
        }
    }
    let block = connection.side_mut(by).block(frame)?;
    frame.octets(&block)
}

/// How long a packet travels, and when it is acknowledged: 0.02 ms.
const DELAY: i64 = 20_000;
/// Octets in one packet; IPv4 can tell 65,495.
const PAYLOAD_MAX: usize = 64_000;
const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const CLIENT_IP: [u8; 4] = [10, 0, 0, 1];
const SERVER_IP: [u8; 4] = [10, 0, 0, 2];
/// Connection 1 has the port behind it.
const CLIENT_PORT: u16 = 40_000;
const SERVER_PORT: u16 = 8080;
const WINDOW: u16 = 65_535;
/// Sequence numbers of the first octets.
const CLIENT_FIRST: u32 = 1_000_001;
const SERVER_FIRST: u32 = 5_000_001;
/// Distance of a port pair's next use from the end of the last.
const REUSE: u32 = 1_000_000;
