//! Room 5: octets become HTTP/2 frames (RFC 9113), header lists included.
//!
//! Takes [`FlowItem`]s of one flow, gives [`Signal`]s. Knows HTTP/2 by its content, never by its
//! port; what the capture cannot tell stays unknown. Never judges what a frame means.

mod detect;
mod half;
mod header_block;
pub mod hpack;
mod payload;
mod resync;
mod tape;
mod upgrade;

use crate::vocab::address::{Both, FlowKey, Half, Side};
use crate::vocab::flow::FlowItem;
use crate::vocab::frame::{FrameType, PREFACE, Signal, Transport};
use crate::vocab::http1::head_length;
use crate::vocab::limits::Limits;
use crate::vocab::time::Stamp;

pub use header_block::Scratch;

use detect::Opening;
use half::{Chunk, Desk, HalfReader, Notes};
use resync::{Context, Search};
use tape::Tape;

/// Whether a flow is worth its octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Go on.
    Keep,
    /// Not HTTP/2: its octets are of no use.
    Drop,
}

/// One flow, until it is known to be HTTP/2 and from then on.
pub struct Reader {
    key: FlowKey,
    initiator: Option<Half>,
    /// Whether the server's first octet is known: its SYN was captured.
    accepted: bool,
    state: State,
    notes: Notes,
    /// Halves of which whole frames may be missing: streams may have been opened in them.
    torn: Both<bool>,
    pushes: bool,
    highest_stream: u32,
}

enum State {
    Detecting(Box<Waiting>),
    Open { client: Half, halves: Box<Both<HalfReader>> },
    NotHttp2,
}

/// Octets of a flow that may become HTTP/2, in the order in which they came.
#[derive(Default)]
struct Waiting {
    tapes: Both<Tape>,
    items: Vec<Held>,
    /// Whether octets are missing: then its beginning proves nothing.
    torn: bool,
    /// Whether what had to be given up was HTTP/1.
    http1: bool,
    searches: Both<Search>,
}

/// One piece of what waits.
enum Held {
    Bytes { half: Half, from: usize, to: usize, stamp: Stamp, offset: u64, seen: u64 },
    Gap { half: Half, stamp: Stamp, offset: u64, bytes: u64 },
}

impl Reader {
    /// A flow of which nothing is known but its endpoints and, where captured, who sent the SYN.
    pub fn new(key: FlowKey, initiator: Option<Half>) -> Self {
        Self {
            key,
            initiator,
            accepted: false,
            state: State::Detecting(Box::default()),
            notes: Notes::default(),
            torn: Both::default(),
            pushes: false,
            highest_stream: 0,
        }
    }

    /// Which half the client sends, once HTTP/2 was found.
    pub fn client(&self) -> Option<Half> {
        match self.state {
            State::Open { client, .. } => Some(client),
            _ => None,
        }
    }

    /// The first octets of a half while the flow is not known to be HTTP/2.
    pub fn first_octets(&self, half: Half) -> &[u8] {
        match &self.state {
            State::Detecting(waiting) => waiting.tapes.half(half).octets(),
            _ => &[],
        }
    }

    /// Takes what happened on the flow and tells what it says in HTTP/2.
    pub fn push(
        &mut self,
        item: &FlowItem<'_>,
        limits: &Limits,
        scratch: &mut Scratch,
        out: &mut impl FnMut(Signal<'_>),
    ) -> Interest {
        match &mut self.state {
            State::NotHttp2 => return Interest::Drop,
            State::Open { .. } => self.read(item, limits, scratch, out),
            State::Detecting(waiting) => {
                match item {
                    FlowItem::Synchronized { initiator, .. } => {
                        self.initiator.get_or_insert(*initiator);
                    }
                    FlowItem::Accepted { .. } => self.accepted = true,
                    _ => {}
                }
                let (ended, stamp) = match item {
                    FlowItem::Closed { stamp, .. } => (true, *stamp),
                    FlowItem::Bytes { stamp, .. } | FlowItem::Gap { stamp, .. } => (false, *stamp),
                    _ => return Interest::Keep,
                };
                waiting.hold(item);
                self.detect(ended, stamp, limits, scratch, out);
            }
        }
        if matches!(self.state, State::NotHttp2) { Interest::Drop } else { Interest::Keep }
    }

    fn detect(
        &mut self,
        ended: bool,
        stamp: Stamp,
        limits: &Limits,
        scratch: &mut Scratch,
        out: &mut impl FnMut(Signal<'_>),
    ) {
        let State::Detecting(waiting) = &mut self.state else { return };
        let full = waiting.tapes.first.len().max(waiting.tapes.second.len()) > limits.detect_bytes;
        let octets = |half: Half| waiting.tapes.half(half).octets();
        let asker = || [Half::A, Half::B].into_iter().find(|half| detect::asks(octets(*half)));
        let client = if waiting.torn { None } else { self.initiator.or_else(asker) };
        let Some(client) = client else {
            let grants =
                |half: Half| detect::grants(octets(half)) && octets(half.other()).is_empty();
            let waits = !waiting.torn && [Half::A, Half::B].into_iter().any(grants);
            if waits && !(ended || full) {
                return;
            }
            self.join_midway(ended, full, stamp, limits, scratch, out);
            return;
        };
        let (asked, answered) = (octets(client), octets(client.other()));
        let midway = self.initiator.is_none();
        let known = match midway {
            true => detect::joined(asked, answered, ended || full),
            false => detect::opening(asked, answered, ended || full),
        };
        let (how, client_from, server_from) = match known {
            Opening::Undecided => return,
            Opening::Other if midway => {
                self.join_midway(ended, full, stamp, limits, scratch, out);
                return;
            }
            Opening::Other => {
                self.state = State::NotHttp2;
                return;
            }
            Opening::PriorKnowledge { client_from, server_from } => {
                let how = if midway { Transport::Unknown } else { Transport::PriorKnowledge };
                (how, client_from, server_from)
            }
            Opening::Upgrade { client_from, server_from, .. } => {
                (Transport::Upgrade, client_from, server_from)
            }
            Opening::ServerOnly => (Transport::Unknown, usize::MAX, 0),
        };
        out(Signal::Started { stamp, how, client });
        let reader = |side| match (known, side) {
            (Opening::ServerOnly, Side::Client) => HalfReader::dead(side),
            (Opening::PriorKnowledge { server_from: 0, .. }, Side::Server) if !self.accepted => {
                HalfReader::greeting(side, stamp)
            }
            _ => HalfReader::from_start(side),
        };
        let halves = by_half(client, reader(Side::Client), reader(Side::Server));
        let from = by_half(client, client_from, server_from);
        let waiting = std::mem::take(&mut **waiting);
        self.state = State::Open { client, halves: Box::new(halves) };
        if let Opening::Upgrade { request, .. } = known {
            waiting.tell_upgrade(client, request, server_from, limits, scratch, out);
        }
        if known == Opening::ServerOnly {
            let foreign = waiting.no_preface(client);
            let stamp = foreign.unwrap_or(stamp);
            out(Signal::Unreadable { stamp, by: Side::Client, foreign: foreign.is_some() });
        }
        self.replay(waiting, from, limits, scratch, out);
    }

    /// The beginning is missing: HTTP/2 is believed where frames chain in either half.
    fn join_midway(
        &mut self,
        ended: bool,
        full: bool,
        stamp: Stamp,
        limits: &Limits,
        scratch: &mut Scratch,
        out: &mut impl FnMut(Signal<'_>),
    ) {
        let by_ports = self.by_ports();
        let State::Detecting(waiting) = &mut self.state else { return };
        if waiting.http1 || [Half::A, Half::B].iter().any(|half| waiting.speaks_http1(*half)) {
            // What looks like frames are octets of its bodies.
            self.state = State::NotHttp2;
            return;
        }
        let found = waiting.find_frames();
        let Some(votes) = found else {
            let text =
                [Half::A, Half::B].iter().any(|half| is_text(waiting.tapes.half(*half).octets()));
            if ended || full || text {
                self.state = State::NotHttp2;
            }
            return;
        };
        let client = match (self.initiator, votes) {
            (Some(client), _) => client,
            (None, Some(client)) => client,
            (None, None) if ended || full => by_ports,
            (None, None) => return,
        };
        let waiting = std::mem::take(&mut **waiting);
        out(Signal::Started { stamp, how: Transport::Unknown, client });
        let midway = |side| HalfReader::midway(side, stamp);
        let halves = by_half(client, midway(Side::Client), midway(Side::Server));
        self.state = State::Open { client, halves: Box::new(halves) };
        self.torn = Both { first: true, second: true };
        self.replay(waiting, Both::default(), limits, scratch, out);
    }

    /// The last resort: servers listen on the lower port.
    fn by_ports(&self) -> Half {
        if self.key.low.port < self.key.high.port { Half::B } else { Half::A }
    }

    fn replay(
        &mut self,
        waiting: Waiting,
        from: Both<usize>,
        limits: &Limits,
        scratch: &mut Scratch,
        out: &mut impl FnMut(Signal<'_>),
    ) {
        for held in &waiting.items {
            match *held {
                Held::Gap { half, stamp, offset, bytes } => {
                    let item = FlowItem::Gap { stamp, half, offset, bytes };
                    self.read(&item, limits, scratch, out);
                }
                Held::Bytes { half, from: start, to, stamp, offset, seen } => {
                    let skip = (*from.half(half)).max(start).min(to);
                    let octets = waiting.tapes.half(half).octets();
                    let data = octets.get(skip..to).unwrap_or_default();
                    let offset = offset + (skip - start) as u64;
                    let item = FlowItem::Bytes { stamp, half, offset, seen, data };
                    self.read(&item, limits, scratch, out);
                }
            }
        }
    }

    fn read(
        &mut self,
        item: &FlowItem<'_>,
        limits: &Limits,
        scratch: &mut Scratch,
        out: &mut impl FnMut(Signal<'_>),
    ) {
        let State::Open { client, halves } = &mut self.state else { return };
        let half = match item {
            FlowItem::Bytes { half, .. } | FlowItem::Gap { half, .. } => *half,
            FlowItem::Fin { stamp, by } | FlowItem::Rst { stamp, by, .. } => {
                if halves.half(*by).is_inside() {
                    let by = if by == client { Side::Client } else { Side::Server };
                    out(Signal::Incomplete { stamp: *stamp, by });
                }
                return;
            }
            _ => return,
        };
        let context = Context {
            highest_stream: self.highest_stream,
            uncertain: half == *client || *self.torn.half(*client),
            pushes: self.pushes,
            sender: None,
        };
        let mut desk = Desk { limits, scratch, context, notes: &mut self.notes, out };
        match *item {
            FlowItem::Bytes { stamp, half, offset, seen, data } => {
                halves.half_mut(half).push(Chunk { stamp, offset, seen, data }, &mut desk);
            }
            FlowItem::Gap { stamp, half, offset, bytes } => {
                halves.half_mut(half).gap(stamp, offset, bytes, &mut desk);
            }
            _ => return,
        }
        let newer = self.notes.highest_stream > self.highest_stream;
        self.highest_stream = self.highest_stream.max(self.notes.highest_stream);
        self.pushes |= self.notes.pushes;
        if newer && half == *client {
            // Ids only grow: a new stream tells the highest one again, whatever was lost before.
            *self.torn.half_mut(half) = false;
        }
        let half_of = |side| if side == Side::Client { *client } else { client.other() };
        for (by, size) in self.notes.settings.drain(..) {
            halves.half_mut(half_of(by).other()).peer_sent_settings(size);
        }
        for by in self.notes.lost.drain(..) {
            *self.torn.half_mut(half_of(by)) = true;
            halves.half_mut(half_of(by).other()).peer_lost_frames();
        }
    }
}

impl Waiting {
    fn hold(&mut self, item: &FlowItem<'_>) {
        match *item {
            FlowItem::Bytes { stamp, half, offset, seen, data } => {
                let chunk = Chunk { stamp, offset, seen, data };
                let (from, to) = self.tapes.half_mut(half).push(chunk);
                self.items.push(Held::Bytes { half, from, to, stamp, offset, seen });
            }
            FlowItem::Gap { stamp, half, offset, bytes } => {
                self.torn = true;
                if !self.tapes.half_mut(half).gap(stamp, offset, bytes) {
                    // Nothing before it can be chained to what follows.
                    self.http1 |= self.speaks_http1(half);
                    *self.tapes.half_mut(half) = Tape::default();
                    *self.searches.half_mut(half) = Search::default();
                    self.items.retain(
                        |held| !matches!(held, Held::Bytes { half: of, .. } if *of == half),
                    );
                }
                self.items.push(Held::Gap { half, stamp, offset, bytes });
            }
            _ => {}
        }
    }

    /// Looks for chained frames in either half: `None` where there are none, else which half is
    /// the client's as far as the frames tell.
    fn find_frames(&mut self) -> Option<Option<Half>> {
        let mut found = false;
        let mut client = None;
        for half in [Half::A, Half::B] {
            let tape = self.tapes.half(half);
            let context = Context { uncertain: true, ..Context::default() };
            let Some(place) = self.searches.half_mut(half).find(tape, context) else { continue };
            found = true;
            let mut place = Some(place);
            while let (None, Some(from)) = (client, place) {
                match sent_by(tape, from) {
                    Ok(Side::Client) => client = Some(half),
                    Ok(Side::Server) => client = Some(half.other()),
                    Err(end) => place = self.searches.half(half).behind(end, tape),
                }
            }
        }
        found.then_some(client)
    }

    /// Where a half began with something else than the preface (RFC 9113 section 3.4).
    fn no_preface(&self, half: Half) -> Option<Stamp> {
        let tape = self.tapes.half(half);
        let octets = tape.octets();
        let spoke = self.items.iter().find_map(|held| match held {
            Held::Bytes { half: of, stamp, .. } if *of == half => Some(*stamp),
            _ => None,
        });
        let length = tape.visible(0, PREFACE.len());
        spoke.filter(|_| PREFACE.get(..length) != octets.get(..length))
    }

    /// Whether a segment of this half begins with an HTTP/1 head that does not upgrade to h2c.
    fn speaks_http1(&self, half: Half) -> bool {
        let tape = self.tapes.half(half);
        tape.pieces().iter().filter(|piece| !piece.hole).any(|piece| {
            let octets = tape.octets().get(piece.from..piece.to).unwrap_or_default();
            let head = octets.get(..head_length(octets).unwrap_or(octets.len()));
            let upgrades = |head: &[u8]| head.windows(3).any(|token| token == b"h2c");
            is_text(octets) && !head.is_some_and(upgrades)
        })
    }

    fn tell_upgrade(
        &self,
        client: Half,
        (from, to): (usize, usize),
        response: usize,
        limits: &Limits,
        scratch: &mut Scratch,
        out: &mut impl FnMut(Signal<'_>),
    ) {
        let stamp_at = |half: Half, place: usize| {
            self.items.iter().find_map(|held| match held {
                Held::Bytes { half: of, to, stamp, .. } if *of == half && *to >= place => {
                    Some(*stamp)
                }
                _ => None,
            })
        };
        let octets = self.tapes.half(client).octets();
        let head = octets.get(from..to).unwrap_or_default();
        let request = stamp_at(client, to);
        let response = stamp_at(client.other(), response);
        if let Some((request, response)) = request.zip(response) {
            upgrade::tell(head, request, response, limits, scratch, out);
        }
    }
}

/// Who sends the frames from `place` on, as far as they themselves tell; else where they end: at
/// the end of the tape, or at a head that lies in a hole.
fn sent_by(tape: &Tape, place: usize) -> Result<Side, usize> {
    let octets = tape.octets();
    let mut rest = octets.get(place..).unwrap_or_default();
    if rest.starts_with(PREFACE) {
        return Ok(Side::Client);
    }
    while let Some((first, payload)) = rest.split_first_chunk::<{ payload::HEAD }>() {
        let place = octets.len() - rest.len();
        if tape.visible(place, payload::HEAD) < payload::HEAD {
            return Err(place);
        }
        let head = payload::head(first);
        let length = head.length as usize;
        let seen = tape.visible(place + payload::HEAD, length).min(payload.len());
        let mut settings = Vec::new();
        let parsed = payload::parse(&head, payload.get(..seen).unwrap_or_default(), &mut settings);
        match (head.kind, parsed.block.and_then(|block| block.first())) {
            (FrameType::HEADERS, Some(first)) => {
                // Static table (RFC 7541 appendix A): 1 to 7 are of requests, 8 to 14 :status.
                let index = match first {
                    0x80.. => first & 0x7f,
                    0x40..=0x7f => first & 0x3f,
                    0x20..=0x3f => 0, // a size of the table
                    _ => first & 0x0f,
                };
                match index {
                    1..=7 => return Ok(Side::Client),
                    8..=14 => return Ok(Side::Server),
                    _ => {}
                }
            }
            (FrameType::PUSH_PROMISE, _) => return Ok(Side::Server),
            (FrameType::PRIORITY, _) => return Ok(Side::Client),
            _ => {}
        }
        rest = payload.get(length..).unwrap_or_default();
    }
    Err(octets.len())
}

/// Whether a half begins like HTTP/1 in the middle of a connection.
fn is_text(octets: &[u8]) -> bool {
    const STARTS: [&[u8]; 8] =
        [b"HTTP/1.", b"GET ", b"POST ", b"PUT ", b"HEAD ", b"PATCH ", b"DELETE ", b"OPTIONS "];
    STARTS.iter().any(|start| octets.starts_with(start))
}

fn by_half<T>(client: Half, of_client: T, of_server: T) -> Both<T> {
    match client {
        Half::A => Both { first: of_client, second: of_server },
        Half::B => Both { first: of_server, second: of_client },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(data: &[u8], offset: u64) -> Chunk<'_> {
        Chunk { stamp: Stamp::default(), offset, seen: 0, data }
    }

    #[test]
    fn what_lies_in_a_hole_does_not_tell_who_sends() {
        let settings_ack = [0, 0, 0, 4, 1, 0, 0, 0, 0];
        let ping = [0, 0, 8, 6, 1, 0, 0, 0, 0, 0xfd, 0x0a, 0xb1, 0x38, 0x8f, 0x70, 0x8e, 0x2e];
        // HEADERS of stream 5: `:status: 200` from the static table.
        let answer = [0, 0, 1, 1, 4, 0, 0, 0, 5, 0x88];
        let mut tape = Tape::default();
        tape.push(chunk(&settings_ack, 0));
        tape.push(chunk(&answer, 9));
        assert_eq!(sent_by(&tape, 0), Ok(Side::Server));
        // Read as octets, these zeros and the PING behind them hold HEADERS.
        let mut tape = Tape::default();
        tape.push(chunk(&settings_ack, 0));
        assert!(tape.gap(Stamp::default(), 9, 251));
        tape.push(chunk(&ping, 260));
        assert_eq!(sent_by(&tape, 0), Err(9));
        let length = tape.len();
        tape.push(chunk(&answer, 277));
        assert_eq!(sent_by(&tape, length), Ok(Side::Server));
    }
}
