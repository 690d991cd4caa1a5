//! What a half does where octets are missing: keep its place by arithmetic, or find the next
//! boundary.

use crate::vocab::frame::{Flags, Frame, FrameHead, FrameType, PREFACE, Payload, Signal};
use crate::vocab::time::Stamp;

use super::{Body, Chunk, Desk, HalfReader, SEARCHED, Searching, State, note};
use crate::h2::hpack::Decoder;
use crate::h2::payload::{self, HEAD, Parsed};
use crate::h2::resync::{Context, Found};
use crate::h2::tape::Tape;

impl HalfReader {
    /// Octets that the capture lacks; `bytes` is 0 where their number is not known.
    pub(in crate::h2) fn gap<O: FnMut(Signal<'_>)>(
        &mut self,
        stamp: Stamp,
        offset: u64,
        bytes: u64,
        desk: &mut Desk<'_, O>,
    ) {
        match &mut self.state {
            State::Dead => {}
            State::Searching(searching) => {
                if searching.tape.gap(stamp, offset, bytes) {
                    searching.trim();
                    // How many octets are not read shows at the next boundary; that frames may be
                    // missing shows here.
                    self.tell_lost(stamp, 0, true, desk);
                } else {
                    // Frames cannot be chained across the gap: begin anew behind it.
                    let unread = searching.unread + searching.tape.len() as u64;
                    let greets = searching.greets;
                    **searching = Searching { unread, stamp, greets, ..Searching::default() };
                    self.tell_lost(stamp, bytes, true, desk);
                }
            }
            State::Body(body) if bytes > 0 && bytes <= body.left => {
                body.whole.get_or_insert(self.carry.len());
                body.left -= bytes;
                if body.left == 0 {
                    let end =
                        Chunk { stamp, offset: offset + bytes, seen: self.last_seen, data: &[] };
                    self.finish_body(end, desk);
                }
                self.tell_lost(stamp, bytes, false, desk);
            }
            State::Body(body) => {
                body.whole.get_or_insert(self.carry.len());
                let end =
                    Chunk { stamp, offset: offset + body.left, seen: self.last_seen, data: &[] };
                self.finish_body(end, desk);
                self.lose_sync(stamp, bytes, desk);
            }
            State::Head if self.carry.len() >= 3 => self.gap_in_head(stamp, offset, bytes, desk),
            State::Head | State::Preface(_) => self.lose_sync(stamp, bytes, desk),
        }
    }

    /// No more octets come: what was not read is told.
    pub(in crate::h2) fn end<O: FnMut(Signal<'_>)>(
        &mut self,
        stamp: Stamp,
        desk: &mut Desk<'_, O>,
    ) {
        let State::Searching(searching) = &mut self.state else { return };
        let unread = searching.unread + searching.tape.len() as u64;
        **searching = Searching { stamp, greets: searching.greets, ..Searching::default() };
        if unread > 0 {
            self.tell_lost(stamp, unread, true, desk);
        }
    }

    pub(super) fn lose_sync<O: FnMut(Signal<'_>)>(
        &mut self,
        stamp: Stamp,
        bytes: u64,
        desk: &mut Desk<'_, O>,
    ) {
        self.carry.clear();
        self.block = None;
        self.hpack.forget();
        self.tell_lost(stamp, bytes, true, desk);
        desk.notes.lost.push(self.by);
        self.state = State::Searching(Box::new(Searching { stamp, ..Searching::default() }));
    }

    /// A gap begins inside a head whose length field was captured: the frame itself cannot be
    /// told, but where it ends is known.
    fn gap_in_head<O: FnMut(Signal<'_>)>(
        &mut self,
        stamp: Stamp,
        offset: u64,
        bytes: u64,
        desk: &mut Desk<'_, O>,
    ) {
        let mut octets = [0; HEAD];
        let known = self.carry.len();
        for (place, octet) in octets.iter_mut().zip(&self.carry) {
            *place = *octet;
        }
        let rest = (HEAD - known) as u64 + u64::from(payload::head(&octets).length);
        if bytes > rest {
            return self.lose_sync(stamp, bytes, desk);
        }
        let kind = (known > 3).then(|| payload::head(&octets).kind);
        let part_of_block = matches!(
            kind,
            None | Some(FrameType::HEADERS | FrameType::PUSH_PROMISE | FrameType::CONTINUATION)
        );
        if part_of_block {
            self.hpack.forget();
            self.block = None;
        }
        if part_of_block || kind == Some(FrameType::SETTINGS) {
            desk.notes.lost.push(self.by);
        }
        self.carry.clear();
        self.tell_lost(stamp, bytes, true, desk);
        let left = rest - bytes;
        let head = FrameHead { length: 0, kind: FrameType(0), flags: Flags(0), stream: 0 };
        self.state = if left == 0 {
            State::Head
        } else {
            State::Body(Body { head, offset, left, keep: 0, whole: None, untold: true })
        };
    }

    pub(super) fn tell_lost<O: FnMut(Signal<'_>)>(
        &mut self,
        stamp: Stamp,
        bytes: u64,
        frames: bool,
        desk: &mut Desk<'_, O>,
    ) {
        (desk.out)(Signal::Lost { stamp, by: self.by, bytes, frames });
    }

    /// A frame of whose payload only `octets` were captured.
    pub(super) fn torn<O: FnMut(Signal<'_>)>(
        &mut self,
        head: &FrameHead,
        octets: &[u8],
        offset: u64,
        stamp: Stamp,
        seen: u64,
        desk: &mut Desk<'_, O>,
    ) {
        let mut payload = Payload::Unseen;
        let mut listed = None;
        match head.kind {
            FrameType::DATA if !head.flags.has(Flags::PADDED) => {
                payload = Payload::Data { data: head.length };
            }
            FrameType::GOAWAY if octets.len() >= 8 => payload = payload::goaway(octets),
            FrameType::SETTINGS => desk.notes.lost.push(self.by),
            FrameType::HEADERS | FrameType::PUSH_PROMISE | FrameType::CONTINUATION => {
                let (unpadded, inner, whole) = without_padding(head, octets);
                let mut settings = Vec::new();
                let Parsed { payload: parsed, block } =
                    payload::parse(&unpadded, inner, &mut settings);
                let block = block.unwrap_or_default().to_vec();
                if whole {
                    payload = match parsed {
                        Payload::Headers { priority } => Payload::Headers { priority },
                        Payload::PushPromise { promised } => Payload::PushPromise { promised },
                        _ => Payload::Unseen,
                    };
                    let partial = self.add_to_block(head, &mut payload, &block, false, desk);
                    note(self.by, head, &payload, desk.notes);
                    let headers = partial.map(|partial| desk.scratch.list(partial));
                    let by = self.by;
                    let frame = Frame { by, stamp, head: *head, offset, seen, payload, headers };
                    (desk.out)(Signal::Frame(frame));
                    return;
                }
                let mut ignored = Payload::Unseen;
                if let Some(open) = &mut self.block {
                    open.torn = true;
                }
                listed = self.torn_block(head, &mut ignored, &block, desk);
            }
            _ => {}
        }
        note(self.by, head, &payload, desk.notes);
        let headers = listed.map(|()| desk.scratch.list(true));
        let frame = Frame { by: self.by, stamp, head: *head, offset, seen, payload, headers };
        (desk.out)(Signal::Frame(frame));
    }

    fn torn_block<O: FnMut(Signal<'_>)>(
        &mut self,
        head: &FrameHead,
        payload: &mut Payload<'_>,
        block: &[u8],
        desk: &mut Desk<'_, O>,
    ) -> Option<()> {
        let ended = self.add_to_block(head, payload, block, false, desk);
        if ended.is_some() {
            // It was taken for whole: what it left in the table is not certain.
            self.hpack.forget();
            return Some(());
        }
        if let Some(open) = &mut self.block {
            open.torn = true;
        }
        None
    }

    pub(super) fn search<O: FnMut(Signal<'_>)>(
        &mut self,
        chunk: Chunk<'_>,
        desk: &mut Desk<'_, O>,
    ) {
        let State::Searching(searching) = &mut self.state else { return };
        searching.tape.push(chunk);
        let longest = *desk.notes.longest.side(self.by);
        let context = Context { sender: Some(self.by), longest, ..desk.context };
        let Some(Found { place: found, .. }) = searching.search.find(&searching.tape, context)
        else {
            searching.trim();
            return;
        };
        let State::Searching(searching) = std::mem::replace(&mut self.state, State::Head) else {
            return;
        };
        let unread = searching.unread + found as u64;
        if unread > 0 {
            self.tell_lost(searching.stamp, unread, true, desk);
        }
        if searching.greets && !(unread == 0 && is_settings(searching.tape.octets())) {
            self.hpack.forget_limit();
            self.hpack.forget();
            desk.notes.lost.push(self.by);
            if unread == 0 {
                self.tell_lost(searching.stamp, 0, true, desk);
            }
        }
        if searching.tape.octets().starts_with(PREFACE) && found == 0 {
            self.state = State::Preface(0);
            self.hpack = Decoder::new();
            self.hpack.forget_limit();
        }
        self.replay(&searching.tape, found, desk);
    }

    fn replay<O: FnMut(Signal<'_>)>(&mut self, tape: &Tape, found: usize, desk: &mut Desk<'_, O>) {
        for piece in tape.pieces().iter().filter(|piece| piece.to > found) {
            let from = piece.from.max(found);
            let offset = piece.offset + (from - piece.from) as u64;
            if piece.hole {
                self.gap(piece.stamp, offset, (piece.to - from) as u64, desk);
                continue;
            }
            let data = tape.octets().get(from..piece.to).unwrap_or_default();
            self.push(Chunk { stamp: piece.stamp, offset, seen: piece.seen, data }, desk);
        }
    }
}

/// Whether a server's connection preface stands first (RFC 9113 section 3.4).
fn is_settings(octets: &[u8]) -> bool {
    octets.first_chunk().is_some_and(|octets| {
        let head = payload::head(octets);
        head.kind == FrameType::SETTINGS && !head.flags.has(Flags::ACK)
    })
}

impl Searching {
    /// Gives up the older half of a tape that has grown too long.
    fn trim(&mut self) {
        if self.tape.len() > SEARCHED {
            let dropped = self.tape.drop_front(SEARCHED / 2);
            self.unread += dropped as u64;
            self.search.forget_front(dropped);
        }
    }
}

/// The captured beginning of a frame with a header block as if it had no padding, and whether
/// the block itself is all there: padding lies at the end (RFC 9113 section 6.2).
fn without_padding<'a>(head: &FrameHead, octets: &'a [u8]) -> (FrameHead, &'a [u8], bool) {
    let flags = Flags(head.flags.0 & !Flags::PADDED.0);
    let (inner, wanted) = match octets.split_first() {
        Some((pad, rest)) if head.flags.has(Flags::PADDED) => {
            (rest, (head.length as usize).saturating_sub(1 + usize::from(*pad)))
        }
        _ => (octets, head.length as usize),
    };
    let block = inner.get(..wanted).unwrap_or(inner);
    let whole = inner.len() >= wanted && head.kind != FrameType::CONTINUATION;
    (FrameHead { flags, length: block.len() as u32, ..*head }, block, whole)
}
