//! One direction of an HTTP/2 connection: octets to frames (RFC 9113 section 4).
//!
//! A gap inside a frame whose length is known costs that frame alone; a gap over a frame head
//! costs what lies before the next boundary that [`Search`] is sure of.

mod holes;
mod rest;

use std::collections::VecDeque;

use crate::vocab::address::{Both, Side};
use crate::vocab::frame::{
    Flags, Frame, FrameFault, FrameHead, FrameType, PREFACE, Payload, Signal,
};
use crate::vocab::limits::Limits;
use crate::vocab::setting::{FRAME_SIZE_LEAST, SettingId};
use crate::vocab::time::Stamp;

use super::header_block::Scratch;
use super::hpack::Decoder;
use super::payload::{self, HEAD, Parsed};
use super::resync::{Context, Search};
use super::tape::Tape;

/// Octets searched for a boundary at once; what lies further back is given up. More than three
/// frames of the longest payload that every endpoint takes.
pub(super) const SEARCHED: usize = 64 * 1024;

/// Some octets in order, with where they were seen.
#[derive(Clone, Copy)]
pub(super) struct Chunk<'a> {
    pub stamp: Stamp,
    pub offset: u64,
    pub seen: u64,
    pub data: &'a [u8],
}

/// What a half needs from its connection while it reads.
pub(super) struct Desk<'a, O: FnMut(Signal<'_>)> {
    pub limits: &'a Limits,
    pub scratch: &'a mut Scratch,
    pub context: Context,
    pub notes: &'a mut Notes,
    pub out: &'a mut O,
}

/// What one half learns that its connection must know: settings and streams.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// HEADER_TABLE_SIZE values sent, with the sender: `None` for SETTINGS without one.
    pub settings: Vec<(Side, Option<u32>)>,
    /// Sides of which whole frames may have been lost.
    pub lost: Vec<Side>,
    pub highest_stream: u32,
    /// Whether the client opened a stream beyond all others.
    pub opened: bool,
    pub pushes: bool,
    /// Longest payload each side may send or has sent, as far as it is known.
    pub longest: Both<u32>,
}

enum State {
    /// The client's 24 octets: how many have come.
    Preface(usize),
    /// Between frames, or inside a head.
    Head,
    /// Inside a payload.
    Body(Body),
    /// No boundary known.
    Searching(Box<Searching>),
    /// Not HTTP/2 from here on.
    Dead,
}

struct Body {
    head: FrameHead,
    offset: u64,
    /// Payload octets still to come.
    left: u64,
    /// Payload octets worth keeping.
    keep: usize,
    /// Octets kept before the first gap in the payload.
    whole: Option<usize>,
    /// The head was not captured whole: there is no frame to tell of.
    untold: bool,
}

#[derive(Default)]
struct Searching {
    search: Search,
    tape: Tape,
    /// Octets given up before the tape's first one, and not told.
    unread: u64,
    stamp: Stamp,
    /// Whether the first octet may be the sender's first one.
    greets: bool,
}

/// A header block that CONTINUATION frames go on with.
struct OpenBlock {
    kind: FrameType,
    octets: Vec<u8>,
    /// Whether octets of it are missing, and nothing behind them was kept.
    torn: bool,
    too_large: bool,
}

/// One direction.
pub(super) struct HalfReader {
    by: Side,
    state: State,
    /// Octets of an incomplete head or payload.
    carry: Vec<u8>,
    /// Where the head in `carry` began.
    head_offset: u64,
    hpack: Decoder,
    /// SETTINGS of the peer that this half has not acknowledged yet: their table size, if any.
    unacknowledged: VecDeque<Option<u32>>,
    block: Option<Box<OpenBlock>>,
    /// What the sender had acknowledged of the other half at the last octet.
    last_seen: u64,
}

impl HalfReader {
    /// Octets of memory that it takes beside itself.
    pub fn weight(&self) -> usize {
        let block = self.block.as_ref().map_or(0, |block| block.octets.capacity());
        let searching = match &self.state {
            State::Searching(searching) => searching.tape.cost() + searching.search.cost(),
            _ => 0,
        };
        self.carry.capacity() + block + searching + self.hpack.weight()
    }

    /// A direction read from its first octet.
    pub fn from_start(by: Side) -> Self {
        let state = if by == Side::Client { State::Preface(0) } else { State::Head };
        Self::with(by, state, Decoder::new())
    }

    /// A direction whose beginning is missing, and of which `unread` octets were given up.
    pub fn midway(by: Side, stamp: Stamp, unread: u64) -> Self {
        let searching = Searching { stamp, unread, ..Searching::default() };
        Self::with(by, State::Searching(Box::new(searching)), Decoder::joined_midway())
    }

    /// A server's direction that may begin at its first octet: with SETTINGS, if it does.
    pub fn greeting(by: Side, stamp: Stamp) -> Self {
        let searching = Searching { stamp, greets: true, ..Searching::default() };
        Self::with(by, State::Searching(Box::new(searching)), Decoder::new())
    }

    /// A direction that is not HTTP/2.
    pub fn dead(by: Side) -> Self {
        Self::with(by, State::Dead, Decoder::new())
    }

    fn with(by: Side, state: State, hpack: Decoder) -> Self {
        Self {
            by,
            state,
            carry: Vec::new(),
            head_offset: 0,
            hpack,
            unacknowledged: VecDeque::new(),
            block: None,
            last_seen: 0,
        }
    }

    /// The peer sent SETTINGS, with this HEADER_TABLE_SIZE if any: what binds this half's encoder
    /// once it acknowledges.
    pub fn peer_sent_settings(&mut self, table_size: Option<u32>) {
        // A peer that never gets an answer is no reason to grow; 64 are outstanding nowhere.
        if self.unacknowledged.len() < 64 {
            self.unacknowledged.push_back(table_size);
        }
        if let Some(octets) = table_size {
            self.hpack.announce_table_size(octets);
        }
    }

    /// SETTINGS of the peer may have been lost.
    pub fn peer_lost_frames(&mut self) {
        self.unacknowledged.clear();
        self.hpack.forget_limit();
    }

    /// Whether it stands inside a frame.
    pub fn is_inside(&self) -> bool {
        match &self.state {
            State::Body(_) => true,
            State::Head => !self.carry.is_empty(),
            _ => false,
        }
    }

    /// Takes the next octets.
    pub fn push<O: FnMut(Signal<'_>)>(&mut self, chunk: Chunk<'_>, desk: &mut Desk<'_, O>) {
        self.last_seen = chunk.seen;
        let mut rest = chunk;
        while !rest.data.is_empty() {
            rest = match self.state {
                State::Dead => return,
                State::Preface(matched) => self.preface(rest, matched, desk),
                State::Head => self.head(rest, desk),
                State::Body(_) => self.body(rest, desk),
                State::Searching(_) => return self.search(rest, desk),
            };
        }
    }

    fn preface<'a, O: FnMut(Signal<'_>)>(
        &mut self,
        chunk: Chunk<'a>,
        matched: usize,
        desk: &mut Desk<'_, O>,
    ) -> Chunk<'a> {
        let wanted = PREFACE.get(matched..).unwrap_or(&[]);
        let length = wanted.len().min(chunk.data.len());
        let (mine, rest) = split(chunk, length);
        if wanted.get(..length) != Some(mine.data) {
            return self.give_up(rest, desk);
        }
        if matched + length < PREFACE.len() {
            self.state = State::Preface(matched + length);
            return rest;
        }
        self.state = State::Head;
        let head = FrameHead {
            length: PREFACE.len() as u32,
            kind: FrameType(0),
            flags: Flags(0),
            stream: 0,
        };
        let offset = rest.offset - PREFACE.len() as u64;
        let (by, stamp, seen) = (self.by, mine.stamp, mine.seen);
        let payload = Payload::Preface;
        let frame = Frame { by, stamp, head, offset, seen, payload, headers: None };
        (desk.out)(Signal::Frame(frame));
        rest
    }

    fn head<'a, O: FnMut(Signal<'_>)>(
        &mut self,
        chunk: Chunk<'a>,
        desk: &mut Desk<'_, O>,
    ) -> Chunk<'a> {
        if self.carry.is_empty() {
            self.head_offset = chunk.offset;
            if let Some((octets, payload)) = chunk.data.split_first_chunk::<HEAD>() {
                let head = payload::head(octets);
                if self.is_http1(&head) {
                    return self.give_up(chunk, desk);
                }
                let length = head.length as usize;
                if let Some(whole) = payload.get(..length) {
                    self.complete(&head, whole, chunk.offset, chunk.stamp, chunk.seen, desk);
                    return split(chunk, HEAD + length).1;
                }
                self.begin_body(head, &chunk, desk);
                return split(chunk, HEAD).1;
            }
        }
        let (mine, rest) = split(chunk, (HEAD - self.carry.len()).min(chunk.data.len()));
        self.carry.extend_from_slice(mine.data);
        if let Some(octets) = self.carry.first_chunk::<HEAD>() {
            let head = payload::head(octets);
            self.carry.clear();
            if self.is_http1(&head) {
                return self.give_up(rest, desk);
            }
            self.begin_body(head, &mine, desk);
            if head.length == 0 {
                self.finish_body(Chunk { data: &[], ..mine }, desk);
            }
        }
        rest
    }

    /// Whether a server's octets go on with `HTTP/1.` where a frame should begin.
    fn is_http1(&self, head: &FrameHead) -> bool {
        let FrameHead { length, kind, flags, stream } = *head;
        let text = (length, kind.0, flags.0) == (0x0048_5454, b'P', b'/');
        self.by == Side::Server && text && stream >> 16 == 0x312e
    }

    /// What comes is not HTTP/2: nothing of this half is read any more.
    fn give_up<'a, O: FnMut(Signal<'_>)>(
        &mut self,
        chunk: Chunk<'a>,
        desk: &mut Desk<'_, O>,
    ) -> Chunk<'a> {
        self.state = State::Dead;
        (desk.out)(Signal::Unreadable { stamp: chunk.stamp, by: self.by, foreign: true });
        chunk
    }

    /// `chunk` has the last octet of the head.
    fn begin_body<O: FnMut(Signal<'_>)>(
        &mut self,
        head: FrameHead,
        chunk: &Chunk<'_>,
        desk: &mut Desk<'_, O>,
    ) {
        if head.length > FRAME_SIZE_LEAST {
            let (by, stamp, seen, offset) = (self.by, chunk.stamp, chunk.seen, self.head_offset);
            let payload = Payload::Unseen;
            let frame = Frame { by, stamp, head, offset, seen, payload, headers: None };
            (desk.out)(Signal::Begun(frame));
        }
        let limits = desk.limits;
        let keep = payload::kept(&head, limits.header_block, limits.debug_data);
        self.carry.clear();
        self.state = State::Body(Body {
            head,
            offset: self.head_offset,
            left: u64::from(head.length),
            keep,
            whole: None,
            untold: false,
        });
    }

    fn body<'a, O: FnMut(Signal<'_>)>(
        &mut self,
        chunk: Chunk<'a>,
        desk: &mut Desk<'_, O>,
    ) -> Chunk<'a> {
        let State::Body(body) = &mut self.state else { return chunk };
        let length = usize::try_from(body.left).unwrap_or(usize::MAX).min(chunk.data.len());
        let (mine, rest) = split(chunk, length);
        if body.whole.is_none() {
            let wanted = body.keep.saturating_sub(self.carry.len()).min(mine.data.len());
            self.carry.extend_from_slice(mine.data.get(..wanted).unwrap_or_default());
        }
        body.left -= length as u64;
        if body.left == 0 {
            self.finish_body(mine, desk);
        }
        rest
    }

    /// The last octet of a payload went by, in `end` or in a gap.
    fn finish_body<O: FnMut(Signal<'_>)>(&mut self, end: Chunk<'_>, desk: &mut Desk<'_, O>) {
        let State::Body(body) = std::mem::replace(&mut self.state, State::Head) else { return };
        let carry = std::mem::take(&mut self.carry);
        let Body { head, offset, keep, whole, untold, .. } = body;
        match whole {
            _ if untold => {}
            Some(known) if known < keep => {
                let octets = carry.get(..known).unwrap_or_default();
                self.torn(&head, octets, offset, end.stamp, end.seen, desk);
            }
            _ => self.complete(&head, &carry, offset, end.stamp, end.seen, desk),
        }
        self.carry = carry;
        self.carry.clear();
        // A rare large payload must not stay with an idle connection.
        if self.carry.capacity() > 1024 {
            self.carry = Vec::new();
        }
    }

    /// A frame whose payload is all there, as far as it is worth keeping.
    fn complete<O: FnMut(Signal<'_>)>(
        &mut self,
        head: &FrameHead,
        octets: &[u8],
        offset: u64,
        stamp: Stamp,
        seen: u64,
        desk: &mut Desk<'_, O>,
    ) {
        let keep = payload::kept(head, desk.limits.header_block, desk.limits.debug_data);
        let octets = octets.get(..keep).unwrap_or(octets);
        let mut settings = std::mem::take(&mut desk.scratch.settings);
        let Parsed { mut payload, block } = payload::parse(head, octets, &mut settings);
        let too_large = head.length as usize > desk.limits.header_block;
        let listed =
            block.and_then(|block| self.add_to_block(head, &mut payload, block, too_large, desk));
        let partial = listed.unwrap_or(false);
        if let Payload::Settings { ack: true, .. } = payload
            && let Some(Some(octets)) = self.unacknowledged.pop_front()
        {
            self.hpack.allow_table_size(octets);
        }
        note(self.by, head, &payload, desk.notes);
        let headers = listed.map(|_| desk.scratch.list(partial));
        let frame = Frame { by: self.by, stamp, head: *head, offset, seen, payload, headers };
        (desk.out)(Signal::Frame(frame));
        desk.scratch.settings = settings;
    }

    /// Adds a fragment to the header block it belongs to. `Some(partial)` where that completes
    /// the block: its list is in the scratch then.
    fn add_to_block<O: FnMut(Signal<'_>)>(
        &mut self,
        head: &FrameHead,
        payload: &mut Payload<'_>,
        fragment: &[u8],
        too_large: bool,
        desk: &mut Desk<'_, O>,
    ) -> Option<bool> {
        let ends = head.flags.has(Flags::END_HEADERS);
        let limit = desk.limits.header_block;
        let list_limit = desk.limits.header_list;
        if head.kind != FrameType::CONTINUATION {
            if ends && !too_large && !matches!(payload, Payload::Unseen) {
                self.block = None;
                desk.scratch.decode(&mut self.hpack, fragment, true, list_limit);
                return Some(false);
            }
            self.block = Some(Box::new(OpenBlock {
                kind: head.kind,
                octets: fragment.to_vec(),
                torn: matches!(payload, Payload::Unseen),
                too_large,
            }));
        } else {
            let open = self.block.as_mut()?;
            if let Payload::Continuation { of } = payload {
                *of = Some(open.kind);
            }
            let fits = open.octets.len() + fragment.len() <= limit;
            open.too_large |= too_large || !fits;
            if fits && !open.torn {
                open.octets.extend_from_slice(fragment);
            }
            open.torn |= matches!(payload, Payload::Unseen);
        }
        if !ends {
            return None;
        }
        let open = self.block.take()?;
        if open.too_large {
            *payload = Payload::Broken(FrameFault::BlockTooLarge);
        }
        let whole = !open.torn && !open.too_large;
        desk.scratch.decode(&mut self.hpack, &open.octets, whole, list_limit);
        Some(!whole)
    }
}

/// Tells the connection what it must know of a frame.
fn note(by: Side, head: &FrameHead, payload: &Payload<'_>, notes: &mut Notes) {
    let newer = head.stream > notes.highest_stream;
    notes.opened |= newer && by == Side::Client && head.kind == FrameType::HEADERS;
    notes.highest_stream = notes.highest_stream.max(head.stream);
    let longest = notes.longest.side_mut(by);
    *longest = head.length.max(*longest);
    match payload {
        Payload::Settings { ack: false, values } => {
            let limits = values.iter().filter(|(id, _)| *id == SettingId::MAX_FRAME_SIZE);
            let longest = notes.longest.side_mut(by.other());
            *longest = limits.map(|(_, limit)| *limit).fold(*longest, u32::max);
            let size = SettingId::HEADER_TABLE_SIZE;
            let value = values.iter().rev().find(|(id, _)| *id == size).map(|(_, value)| *value);
            notes.settings.push((by, value));
        }
        Payload::PushPromise { promised } => {
            notes.pushes = true;
            notes.highest_stream = notes.highest_stream.max(*promised);
        }
        _ => {}
    }
}

fn split(chunk: Chunk<'_>, at: usize) -> (Chunk<'_>, Chunk<'_>) {
    let (front, back) = chunk.data.split_at(at.min(chunk.data.len()));
    let behind = Chunk { data: back, offset: chunk.offset + front.len() as u64, ..chunk };
    (Chunk { data: front, ..chunk }, behind)
}
