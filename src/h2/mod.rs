//! Room 5: octets become HTTP/2 frames (RFC 9113), header lists included.
//!
//! Takes [`FlowItem`]s of one flow, gives [`Signal`]s. Knows HTTP/2 by its content, never by its
//! port; what the capture cannot tell stays unknown. Never judges what a frame means.

mod detect;
mod half;
mod header_block;
pub mod hpack;
mod messages;
mod payload;
mod rest;
mod resync;
mod tape;
mod upgrade;
mod waiting;

use crate::vocab::address::{Both, FlowKey, Half, Side};
use crate::vocab::flow::FlowItem;
use crate::vocab::frame::{Signal, Transport};
use crate::vocab::limits::Limits;
use crate::vocab::time::Stamp;

pub use header_block::Scratch;

use detect::Opening;
use half::{Chunk, Desk, HalfReader, Notes};
use resync::Context;
use waiting::{Held, Waiting};

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
    /// Octets of memory that what waits here takes, counted in [`Scratch::waiting`].
    held: usize,
}

enum State {
    Detecting(Box<Waiting>),
    Open { client: Half, halves: Box<Both<HalfReader>> },
    NotHttp2,
}

impl Reader {
    /// Octets of memory that it takes beside itself.
    pub fn weight(&self) -> usize {
        match &self.state {
            State::Detecting(waiting) => waiting.cost(),
            State::Open { halves, .. } => {
                size_of::<Both<HalfReader>>() + halves.first.weight() + halves.second.weight()
            }
            State::NotHttp2 => 0,
        }
    }

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
            held: 0,
        }
    }

    /// Which half the client sends, once HTTP/2 was found.
    pub fn client(&self) -> Option<Half> {
        match self.state {
            State::Open { client, .. } => Some(client),
            _ => None,
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
                if ended {
                    self.read(item, limits, scratch, out);
                }
                let held = match &self.state {
                    State::Detecting(waiting) => waiting.cost(),
                    _ => 0,
                };
                scratch.waiting = (scratch.waiting + held).saturating_sub(self.held);
                self.held = held;
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
        let crowded = scratch.waiting > limits.detect_bytes_of_all;
        let most = if crowded { limits.detect_bytes_crowded } else { limits.detect_bytes };
        let full = waiting.longest() > most;
        let client = match waiting.torn {
            true => None,
            false => self.initiator.or_else(|| waiting.asker()),
        };
        let Some(client) = client else {
            if waiting.torn || ended || full || !waiting.is_answer() {
                self.join_midway(ended, full, stamp, limits, scratch, out);
            }
            return;
        };
        let midway = self.initiator.is_none();
        match waiting.opening(client, midway, ended, most, limits) {
            Opening::Undecided => {}
            Opening::Other if midway && !waiting.prelude.is_http1() => {
                waiting.torn = true; // it was no beginning
                self.join_midway(ended, full, stamp, limits, scratch, out);
            }
            Opening::Other => match waiting.behind_words(client) {
                Some(known) => self.begin(known, client, stamp, limits, scratch, out),
                None if !(ended || crowded) && waiting.may_lead(client, most) => {}
                None => self.state = State::NotHttp2,
            },
            known => self.begin(known, client, stamp, limits, scratch, out),
        }
    }

    /// HTTP/2 begins, in the first octets or behind HTTP/1.
    fn begin(
        &mut self,
        known: Opening,
        client: Half,
        stamp: Stamp,
        limits: &Limits,
        scratch: &mut Scratch,
        out: &mut impl FnMut(Signal<'_>),
    ) {
        let State::Detecting(waiting) = &mut self.state else { return };
        let (how, client_from, server_from) = match known {
            Opening::Undecided | Opening::Other => return,
            Opening::PriorKnowledge { client_from, server_from } => {
                let midway = self.initiator.is_none();
                let how = if midway { Transport::Unknown } else { Transport::PriorKnowledge };
                (how, client_from, server_from)
            }
            Opening::Upgrade { client_from, server_from } => {
                (Transport::Upgrade, client_from, server_from)
            }
            Opening::ServerOnly { server_from } => (Transport::Unknown, usize::MAX, server_from),
        };
        out(Signal::Started { stamp, how, client });
        let reader = |side| match (known, side) {
            (Opening::ServerOnly { .. }, Side::Client) => HalfReader::dead(side),
            (Opening::PriorKnowledge { server_from: 0, .. }, Side::Server) if !self.accepted => {
                HalfReader::greeting(side, stamp)
            }
            _ => HalfReader::from_start(side),
        };
        let halves = by_half(client, reader(Side::Client), reader(Side::Server));
        let from = by_half(client, client_from, server_from);
        let mut waiting = std::mem::take(&mut **waiting);
        self.state = State::Open { client, halves: Box::new(halves) };
        if let Opening::Upgrade { .. } = known {
            waiting.tell_upgrade(client, server_from, limits, scratch, out);
        }
        if let Opening::ServerOnly { .. } = known {
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
        if waiting.is_http1() {
            // What looks like frames are octets of its bodies.
            self.state = State::NotHttp2;
            return;
        }
        let Some(belief) = waiting.believe(ended, full) else {
            let crowded = full && scratch.waiting > limits.detect_bytes_of_all;
            if ended || crowded || !waiting.slide(limits) {
                self.state = State::NotHttp2;
            }
            return;
        };
        let client = match (self.initiator, belief.client) {
            (Some(client), _) => client,
            (None, Some(client)) => client,
            (None, None) if ended || full => by_ports,
            (None, None) => return,
        };
        let waiting = std::mem::take(&mut **waiting);
        out(Signal::Started { stamp, how: Transport::Unknown, client });
        let midway = |half: Half| {
            let side = if half == client { Side::Client } else { Side::Server };
            HalfReader::midway(side, stamp, *waiting.unread.half(half))
        };
        let halves = Both { first: midway(Half::A), second: midway(Half::B) };
        self.state = State::Open { client, halves: Box::new(halves) };
        self.torn = Both { first: true, second: true };
        self.replay(waiting, belief.from, limits, scratch, out);
    }

    /// The last resort: servers listen on the lower port, but for those known to be high.
    fn by_ports(&self) -> Half {
        /// gRPC's customary port lies among those that Linux gives to clients.
        const HIGH: u16 = 50_051;
        let (low, high) = (self.key.low.port, self.key.high.port);
        if (low < high || low == HIGH) && high != HIGH { Half::B } else { Half::A }
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
                Held::Gap { half, from: start, to, stamp, offset } => {
                    let skip = (*from.half(half)).max(start).min(to);
                    let (offset, bytes) = (offset + (skip - start) as u64, (to - skip) as u64);
                    if bytes > 0 {
                        let item = FlowItem::Gap { stamp, half, offset, bytes };
                        self.read(&item, limits, scratch, out);
                    }
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
                *by
            }
            FlowItem::Closed { .. } => Half::A,
            _ => return,
        };
        let context = Context {
            highest_stream: self.highest_stream,
            uncertain: half == *client || *self.torn.half(*client),
            pushes: self.pushes,
            unseen_pushes: *self.torn.half(client.other()),
            ..Context::default()
        };
        let mut desk = Desk { limits, scratch, context, notes: &mut self.notes, out };
        match *item {
            FlowItem::Bytes { stamp, half, offset, seen, data } => {
                halves.half_mut(half).push(Chunk { stamp, offset, seen, data }, &mut desk);
            }
            FlowItem::Gap { stamp, half, offset, bytes } => {
                halves.half_mut(half).gap(stamp, offset, bytes, &mut desk);
            }
            FlowItem::Fin { stamp, by } | FlowItem::Rst { stamp, by, .. } => {
                halves.half_mut(by).end(stamp, &mut desk);
            }
            FlowItem::Closed { stamp, .. } => {
                halves.first.end(stamp, &mut desk);
                halves.second.end(stamp, &mut desk);
            }
            _ => return,
        }
        self.highest_stream = self.highest_stream.max(self.notes.highest_stream);
        self.pushes |= self.notes.pushes;
        if std::mem::take(&mut self.notes.opened) {
            // Ids only grow: a new stream tells the highest one again, whatever was lost before.
            *self.torn.half_mut(*client) = false;
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

fn by_half<T>(client: Half, of_client: T, of_server: T) -> Both<T> {
    match client {
        Half::A => Both { first: of_client, second: of_server },
        Half::B => Both { first: of_server, second: of_client },
    }
}

#[cfg(test)]
mod tests;
