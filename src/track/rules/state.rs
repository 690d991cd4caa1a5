//! Stream states and identifiers (RFC 9113 section 5.1).

use std::time::Duration;

use crate::vocab::address::Side;
use crate::vocab::error_code::ErrorCode;
use crate::vocab::frame::{Flags, FrameType, Payload};
use crate::vocab::rule;

use super::super::history::Reset;
use super::super::stream::Stream;
use super::{Breach, Breaches, Desk, Role, Rules, StreamRules};

/// Ranges of identifiers that were passed over; who passes over more is told less exactly.
const SKIPPED: usize = 32;

/// An answer that begins this long after its sender acknowledged the reset was not on its way.
const LATE: Duration = Duration::from_millis(500);

/// Who opens streams with this identifier (RFC 9113 section 5.1.1).
fn opener(id: u32) -> Side {
    if id.is_multiple_of(2) { Side::Server } else { Side::Client }
}

impl Rules {
    pub(super) fn headers(&mut self, desk: &mut Desk<'_, '_>) -> Breaches {
        let (by, id) = (desk.frame.by, desk.frame.head.stream);
        let misplaced = self.stream_state(desk);
        let opens = by == Side::Client && opener(id) == by && id > self.sides.side(by).highest;
        if !desk.open.contains_key(&id) {
            self.fresh = self.newborn();
        }
        let crowd = if opens { self.opened(desk) } else { None };
        let role = match desk.open.get(&id) {
            _ if misplaced.is_some() => Role::Misplaced,
            Some(stream) => self.role(desk, stream),
            None if opens && self.is_exact(desk.history, by) => Role::Request,
            // What else comes on a stream that is gone was on its way: an answer or trailers.
            None => Role::Unsure,
        };
        if by != opener(id) && misplaced.is_none() {
            let side = self.sides.side_mut(by);
            side.answered = side.answered.max(id);
        }
        let mut breaches = Breaches::from(misplaced.or(crowd));
        let found = self.block_begins(desk, role, desk.frame.head.flags.has(Flags::END_STREAM));
        breaches.join(found);
        breaches
    }

    fn role(&self, desk: &Desk<'_, '_>, stream: &Stream) -> Role {
        if !self.is_sure(stream) {
            return Role::Unsure;
        }
        match (desk.frame.by == stream.opener, stream.rules.is_answered) {
            (true, _) if stream.opener == Side::Client => Role::Trailers,
            (_, false) => Role::Response,
            (_, true) => Role::Trailers,
        }
    }

    /// Whether all frames of this stream were captured, from its first.
    pub(super) fn is_sure(&self, stream: &Stream) -> bool {
        stream.rules.is_sure && stream.rules.born == self.losses
    }

    /// The client opens a stream.
    fn opened(&mut self, desk: &mut Desk<'_, '_>) -> Option<Breach> {
        let (by, id) = (desk.frame.by, desk.frame.head.stream);
        let is_exact = self.is_exact(desk.history, by);
        self.fresh = StreamRules { is_sure: is_exact, ..self.newborn() };
        self.untracked |= desk.open.len() >= desk.streams_max;
        self.advance(by, id);
        if is_exact
            && self.knows_peer(desk.history, desk.frame)
            && let Some(breach) = self.ignores_goaway(desk)
        {
            return Some(breach);
        }
        let most = self.sides.side(by.other()).announced.streams();
        if desk.client_streams < u64::from(most) || !is_exact || self.untracked {
            return None;
        }
        if !self.knows_peer(desk.history, desk.frame) {
            return None;
        }
        let text = format!(
            "HEADERS open stream {id} while {} streams are open: the server allows {most}",
            desk.client_streams
        );
        Breach::of(&rule::MAX_CONCURRENT_STREAMS, text)
    }

    /// A side takes the next identifier.
    pub(super) fn advance(&mut self, by: Side, id: u32) {
        let side = self.sides.side_mut(by);
        let next = if side.highest == 0 { 2 - (id & 1) } else { side.highest + 2 };
        if next < id && side.skipped.len() < SKIPPED {
            side.skipped.push((next, id - 2));
        }
        side.highest = side.highest.max(id);
    }

    pub(super) fn data(&mut self, desk: &mut Desk<'_, '_>) -> Option<Breach> {
        if self.is_plain_data(desk) {
            return self.spend(desk);
        }
        let misplaced = self.stream_state(desk);
        let early = misplaced.is_none().then(|| self.before_headers(desk)).flatten();
        let spent = self.spend(desk);
        let counted = if misplaced.is_none() { self.count_data(desk) } else { None };
        misplaced.or(early).or(spent).or(counted)
    }

    /// Whether nothing but windows is to be checked: most DATA is on a stream that takes it, in
    /// the middle of a message.
    fn is_plain_data(&self, desk: &Desk<'_, '_>) -> bool {
        let Some(stream) = desk.open.get(&desk.frame.head.stream) else { return false };
        let by = desk.frame.by;
        let Payload::Data { data } = desk.frame.payload else { return false };
        let is_within = stream.rules.declared.side(by).is_none_or(|declared| {
            let octets = *stream.data.side(by) + u64::from(data);
            let ends = desk.frame.head.flags.has(Flags::END_STREAM);
            if ends { octets == declared } else { octets <= declared }
        });
        let is_begun = by == Side::Client || stream.rules.is_answered;
        stream.ended.side(by).is_none() && is_begun && is_within
    }

    /// RFC 9113 section 8.1: DATA of a response comes behind its HEADERS.
    fn before_headers(&self, desk: &Desk<'_, '_>) -> Option<Breach> {
        let id = desk.frame.head.stream;
        let stream = desk.open.get(&id)?;
        let is_answer = desk.frame.by == Side::Server && !stream.rules.is_answered;
        if !is_answer || !self.is_sure(stream) {
            return None;
        }
        if stream.opener == Side::Server {
            let text = format!("DATA on the promised stream {id} before its HEADERS");
            return Breach::of(&rule::RESERVED_LOCAL_SEND, text);
        }
        let text = format!("DATA on stream {id} before the HEADERS of the response");
        Breach::of(&rule::DATA_BEFORE_HEADERS, text)
    }

    pub(super) fn reset(&mut self, desk: &mut Desk<'_, '_>) -> Option<Breach> {
        if matches!(desk.frame.payload, Payload::Broken(_)) {
            return None;
        }
        self.stream_state(desk).or_else(|| self.refuses_late(desk))
    }

    /// Whether the server refuses a stream of which it has sent the final answer's HEADERS: a
    /// client would send the request again (RFC 9113 section 8.7).
    fn refuses_late(&self, desk: &Desk<'_, '_>) -> Option<Breach> {
        let (by, id) = (desk.frame.by, desk.frame.head.stream);
        let Payload::RstStream { code: ErrorCode::REFUSED_STREAM } = desk.frame.payload else {
            return None;
        };
        let stream = desk.open.get(&id).filter(|stream| stream.opener == Side::Client)?;
        if by != Side::Server || !stream.rules.is_answered || !self.is_sure(stream) {
            return None;
        }
        let text = format!("RST_STREAM(REFUSED_STREAM) on stream {id} after its response began");
        Breach::of(&rule::REFUSED_STREAM_UNTOUCHED, text)
    }

    /// Whether this stream can take this frame of this side.
    pub(super) fn stream_state(&mut self, desk: &Desk<'_, '_>) -> Option<Breach> {
        let (by, id, kind) = (desk.frame.by, desk.frame.head.stream, desk.frame.head.kind);
        if id == 0 {
            return None;
        }
        let is_message = kind == FrameType::DATA || kind == FrameType::HEADERS;
        let Some(stream) = desk.open.get(&id) else { return self.absent(desk, is_message) };
        if is_message && stream.ended.side(by).is_some() {
            let text = format!("{} on stream {id} after its END_STREAM", desk.frame.type_name());
            return Breach::of(&rule::HALF_CLOSED_REMOTE_FRAME, text);
        }
        let is_reserved = stream.opener == Side::Server && !stream.rules.is_answered;
        if kind == FrameType::WINDOW_UPDATE && by == Side::Server && is_reserved {
            let text = format!("WINDOW_UPDATE by the server on stream {id}, which it reserved");
            return self
                .is_sure(stream)
                .then_some(Breach { rule: &rule::RESERVED_LOCAL_SEND, text });
        }
        if kind == FrameType::HEADERS && stream.rules.is_tunnel && self.is_sure(stream) {
            let text = format!("HEADERS on stream {id}, which CONNECT made a tunnel");
            return Breach::of(&rule::CONNECT_FRAMES, text);
        }
        None
    }

    /// A frame on a stream that is not open.
    fn absent(&self, desk: &Desk<'_, '_>, is_message: bool) -> Option<Breach> {
        let frame = desk.frame;
        let (by, id, kind) = (frame.by, frame.head.stream, frame.head.kind);
        let opener = opener(id);
        let known = if by == opener {
            self.is_exact(desk.history, by)
        } else {
            self.is_exact(desk.history, by) && self.knows_peer(desk.history, frame)
        };
        if !known {
            return None;
        }
        if id > self.sides.side(opener).highest {
            return self.idle(desk, opener);
        }
        match desk.resets.get(&id).and_then(|place| desk.history.resets.get(*place)) {
            Some(reset) => after_reset(desk, reset, is_message),
            None if !is_message || self.untracked || desk.history.resets_beyond > 0 => None,
            None if by == opener && self.was_skipped(by, id) && kind == FrameType::HEADERS => {
                let highest = self.sides.side(by).highest;
                let text = format!("HEADERS open stream {id} after stream {highest}");
                Breach::of(&rule::STREAM_IDS_INCREASE, text)
            }
            None => {
                let how =
                    if self.was_skipped(opener, id) { "was never opened" } else { "is closed" };
                let text = format!("{} on stream {id}, which {how}", frame.type_name());
                Breach::of(&rule::CLOSED_STREAM_FRAME, text)
            }
        }
    }

    fn idle(&self, desk: &Desk<'_, '_>, opener: Side) -> Option<Breach> {
        let (by, id) = (desk.frame.by, desk.frame.head.stream);
        let name = desk.frame.type_name();
        match (desk.frame.head.kind, by) {
            (FrameType::HEADERS, Side::Client) if opener == by => None,
            (FrameType::HEADERS, Side::Client) => {
                let text = format!("HEADERS on stream {id}: clients open odd streams");
                Breach::of(&rule::CLIENT_STREAM_IDS_ODD, text)
            }
            (FrameType::RST_STREAM, _) => {
                Breach::of(&rule::RST_IDLE, format!("RST_STREAM on stream {id}, which is idle"))
            }
            _ => {
                let text = format!("{name} on stream {id}, which is idle");
                Breach::of(&rule::IDLE_STREAM_FRAME, text)
            }
        }
    }

    fn was_skipped(&self, by: Side, id: u32) -> bool {
        let skipped = &self.sides.side(by).skipped;
        skipped.len() >= SKIPPED || skipped.iter().any(|range| range.0 <= id && id <= range.1)
    }
}

/// A frame on a stream that was reset.
fn after_reset(desk: &Desk<'_, '_>, reset: &Reset, is_message: bool) -> Option<Breach> {
    let frame = desk.frame;
    let id = frame.head.stream;
    if reset.by == frame.by {
        // RFC 9113 section 5.1; WINDOW_UPDATE and a second RST_STREAM do no harm and are common.
        if !is_message {
            return None;
        }
        let text = format!("{} on stream {id} after its own RST_STREAM", frame.type_name());
        return Breach::of(&rule::FRAME_AFTER_OWN_RST, text);
    }
    // RFC 9113 section 6.4. What was on its way is legal, and octets that were written before the
    // reset can leave a full socket much later: only an answer that begins late is certain.
    let begins = frame.head.kind == FrameType::HEADERS && reset.responded.is_none();
    let knowing = frame.seen >= reset.end_offset && frame.stamp.since(reset.stamp) >= LATE;
    let is_told = |finding: &&crate::vocab::verdict::Finding| {
        finding.stream == id && std::ptr::eq(finding.rule, &rule::RST_THEN_SILENT)
    };
    if !begins || !knowing || desk.history.findings.iter().any(|finding| is_told(&finding)) {
        return None;
    }
    let text = format!(
        "HEADERS on stream {id} {:.3} s after the {} reset it",
        frame.stamp.since(reset.stamp).as_secs_f64(),
        reset.by.name()
    );
    Breach::of(&rule::RST_THEN_SILENT, text)
}
