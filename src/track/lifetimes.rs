//! A stream's life: opened, answered, ended, reset, and what comes too late.

use std::time::Duration;

use crate::vocab::address::Side;
use crate::vocab::error_code::ErrorCode;
use crate::vocab::frame::{Flags, Frame, FrameType, Payload};
use crate::vocab::header::HeaderList;
use crate::vocab::hop::Trouble;
use crate::vocab::limits::{Hit, Limits};
use crate::vocab::pack::packs;
use crate::vocab::time::Stamp;

use super::header::{self, Kept};
use super::history::{Late, Reset};
use super::stream::Stream;
use super::{AS_LARGE_AGAIN, NOTES_KEPT, Tracker, row};

impl Tracker {
    /// The stream of a HEADERS or DATA frame; opened by it where it can be.
    fn stream_for(&mut self, frame: &Frame<'_>, limits: &Limits) -> Option<&mut Stream> {
        let id = frame.head.stream;
        if id == 0 {
            return None;
        }
        if !self.open.contains_key(&id) {
            if self.answered.iter().any(|answered| answered.id == id) {
                return None;
            }
            let opener = if id.is_multiple_of(2) { Side::Server } else { Side::Client };
            let highest = self.history.sides.side(opener).highest_stream;
            let opens = frame.by == opener && frame.head.kind == FrameType::HEADERS;
            // A stream whose beginning the capture lacks is known by its later frames.
            let unseen = self.history.joined_midway || self.history.has_loss();
            let skipped = opens && self.skipped.iter().any(|gap| gap.contains(&id));
            let known =
                id <= highest && !skipped && (!unseen || self.reset_places.contains_key(&id));
            if known || !(opens || unseen) {
                return None;
            }
            let beyond = self.open.len() >= limits.open_streams;
            let stream = self.begin(id, opener, opens.then_some(frame.stamp));
            if beyond {
                self.hit(Hit::OpenStreams); // counted, but not followed
                return None;
            }
            self.insert(stream);
        }
        self.open.get_mut(&id)
    }

    pub(super) fn headers(&mut self, frame: &Frame<'_>, limits: &Limits) {
        let id = frame.head.stream;
        if self.stream_for(frame, limits).is_none() {
            self.late_request(frame);
            self.late_frame(frame);
            return;
        }
        if let Some(list) = &frame.headers {
            self.header_list(id, frame, list);
        }
        let Some(stream) = self.open.get_mut(&id) else { return };
        *stream.last.side_mut(frame.by) = Some(frame.stamp);
        if !frame.head.flags.has(Flags::END_STREAM) {
            return;
        }
        stream.ended.side_mut(frame.by).get_or_insert(frame.stamp);
        if frame.head.flags.has(Flags::END_HEADERS) {
            self.close_if_complete(id, limits);
        } else {
            // Its fields are still to come.
            *self.unfinished_block.side_mut(frame.by) = Some(id);
        }
    }

    pub(super) fn continuation(&mut self, frame: &Frame<'_>, limits: &Limits) {
        if let Some(list) = &frame.headers
            && self.open.contains_key(&frame.head.stream)
        {
            self.header_list(frame.head.stream, frame, list);
        }
        if frame.head.flags.has(Flags::END_HEADERS) {
            self.block_is_over(frame.by, limits);
        }
    }

    /// The header block that ended a stream of this side is over, or the rest of it is lost.
    pub(super) fn block_is_over(&mut self, by: Side, limits: &Limits) {
        if let Some(id) = self.unfinished_block.side_mut(by).take() {
            self.close_if_complete(id, limits);
        }
    }

    /// A complete header list on an open stream.
    fn header_list(&mut self, id: u32, frame: &Frame<'_>, list: &HeaderList<'_>) {
        let facts = self.history.sides.side_mut(frame.by);
        if facts.largest_block.is_none_or(|old| is_larger(old, list.size, frame.stamp)) {
            facts.largest_block = Some((list.size, frame.stamp, id));
        }
        let kept = Kept(list);
        if facts.software.is_none() {
            facts.software = kept.software();
        }
        if facts.pseudo_order.is_none() {
            facts.pseudo_order = Some(header::pseudo_order(list));
        }
        let Some(stream) = self.open.get_mut(&id) else { return };
        if frame.by == stream.opener {
            // Behind CONTINUATION frames a list comes later than the stream's first frame.
            let is_first =
                stream.last.side(frame.by).is_none() || (!stream.described && kept.is_request());
            if is_first {
                describe_request(stream, list, &kept);
                if stream.opened.is_none() && kept.is_request() {
                    // Its answer began before it could be read.
                    stream.opened = Some(frame.stamp);
                    self.first_opened.get_or_insert(id);
                    if let Some(row) = &mut stream.row {
                        row.opened = stream.opened;
                    }
                }
            } else if let Some(row) = &mut stream.row {
                row::trailers(row, list, &kept);
            }
            return;
        }
        let interim = kept.status().is_some_and(|status| status < 200);
        if stream.responded.is_some() {
            stream.failed = stream.failed.or_else(|| kept.failure());
            if let Some(row) = &mut stream.row {
                row::trailers(row, list, &kept);
            }
        } else if !interim {
            stream.responded = Some(frame.stamp);
            stream.failed = kept.failure();
            let opened = stream.opened.filter(|_| self.history.is_timed(frame.stamp));
            if let Some(opened) = opened {
                let after = frame.stamp.since(opened);
                let late = |limit: &Duration| after + limit.mul_f64(0.05) + EARLY >= *limit;
                let deadline = stream.deadline.filter(late);
                match (stream.failed, deadline) {
                    // The server keeps the client's deadline, too: nobody answered.
                    (Some(Trouble::Grpc(4)), Some(limit)) => self.history.note_expired(limit),
                    _ => self.history.note_answer(stream.class, &stream.request, after),
                }
            }
            if let Some(row) = &mut stream.row {
                row::response(row, list, &kept, opened, frame.stamp);
            }
        }
    }

    pub(super) fn data(&mut self, frame: &Frame<'_>, limits: &Limits) {
        let ends = frame.head.flags.has(Flags::END_STREAM);
        if frame.head.length == 0 && !ends {
            self.history.sides.side_mut(frame.by).empty_data += 1;
        }
        let Some(stream) = self.stream_for(frame, limits) else {
            self.late_frame(frame);
            return;
        };
        let octets = match frame.payload {
            Payload::Data { data } => u64::from(data),
            _ => u64::from(frame.head.length),
        };
        *stream.data.side_mut(frame.by) += octets;
        *stream.last.side_mut(frame.by) = Some(frame.stamp);
        if ends {
            stream.ended.side_mut(frame.by).get_or_insert(frame.stamp);
            self.close_if_complete(frame.head.stream, limits);
        }
    }

    fn close_if_complete(&mut self, id: u32, limits: &Limits) {
        // Of a request from before the capture the end is not seen; its answer's end tells.
        let late = self.history.joined_midway;
        let over = |stream: &&mut Stream| {
            stream.is_complete() || (late && stream.opened.is_none() && stream.answer_ended())
        };
        let Some(stream) = self.open.get_mut(&id).filter(over) else { return };
        let (opener, last) = (stream.opener, stream.last_frame());
        let ended = stream.completed_at().or(*stream.ended.side(opener.other()));
        if stream.opened.is_none() {
            let responded = stream.responded;
            if self.answered.len() >= ANSWERED_KEPT {
                self.answered.pop_front();
            }
            self.answered.push_back(Answered { id, responded });
        }
        let lived = stream.opened.zip(ended);
        self.last_answered = last.map(|last| (stream.class, last));
        if let Some(how) = stream.failed {
            let timed_out = opener == Side::Client && how == Trouble::GATEWAY_TIMEOUT;
            self.history.counts.timed_out += u64::from(timed_out);
            self.history.note_trouble(stream, ended, opener.other(), how, limits);
        }
        if let Some(row) = stream.row.take() {
            self.history.rows.push(row::completed(*row, ended, &stream.data, opener));
        }
        self.open.discard(&id);
        self.removed(opener, last);
        self.lived(lived);
        self.history.counts.completed += u64::from(opener == Side::Client);
        self.history.last_completed = ended;
    }

    /// Counts how long a stream was open, where packets have times.
    fn lived(&mut self, lived: Option<(Stamp, Stamp)>) {
        let lived = lived.filter(|(_, ended)| self.history.is_timed(*ended));
        if let Some(((opened, ended), metered)) = lived.zip(self.history.metered.as_mut()) {
            metered.ages.add(ended.since(opened));
        }
    }

    fn remove(&mut self, id: u32) -> Option<Stream> {
        let stream = self.open.remove(&id)?;
        self.removed(stream.opener, stream.last_frame());
        Some(stream)
    }

    /// A stream of `opener` is open no more.
    fn removed(&mut self, opener: Side, last: Option<Stamp>) {
        let open = self.open_of.side_mut(opener);
        *open = open.saturating_sub(1);
        if self.open.is_empty() {
            self.history.idle_since = Some(last.unwrap_or(self.history.last));
        }
    }

    pub(super) fn reset(&mut self, frame: &Frame<'_>, limits: &Limits) {
        let id = frame.head.stream;
        let code = match frame.payload {
            Payload::RstStream { code } => Some(code),
            Payload::Unseen => None,
            _ => return,
        };
        if let Some(metered) = &mut self.history.metered {
            // Of a stream that is closed already as well: it was sent.
            metered.resets.side_mut(frame.by).add(code);
        }
        let Some(stream) = self.remove(id).or_else(|| self.unseen(id)) else { return };
        self.lived(stream.opened.map(|opened| (opened, frame.stamp)));
        let answer_ended = stream.answer_ended();
        let by_opener = frame.by == stream.opener;
        let is_cancel = by_opener && !answer_ended;
        let counts = &mut self.history.counts;
        if is_cancel {
            counts.cancelled += 1;
        } else if code == Some(ErrorCode::REFUSED_STREAM) {
            counts.refused += 1;
        } else if answer_ended {
            counts.completed += 1; // the rest of the request is not wanted (RFC 9113 section 8.1)
        } else {
            counts.reset += 1;
        }
        if self.open.is_empty() {
            self.history.idle_since = Some(frame.stamp);
        }
        if !answer_ended {
            let how = Trouble::Reset(code);
            self.history.note_trouble(&stream, Some(frame.stamp), frame.by, how, limits);
        }
        let rival = self.last_answered.filter(|(class, _)| *class == stream.class);
        if self.history.resets.len() < limits.resets {
            self.reset_places.insert(id, self.history.resets.len());
            self.history.resets.push(Reset {
                stream: id,
                by: frame.by,
                code,
                stamp: frame.stamp,
                opener: stream.opener,
                opened: stream.opened.filter(|_| self.history.is_timed(frame.stamp)),
                request_ended: stream.ended.side(stream.opener).is_some(),
                responded: stream.responded,
                answer_ended,
                last_from_peer: *stream.last.side(frame.by.other()),
                last_own: *stream.last.side(frame.by),
                deadline: stream.deadline,
                grpc: stream.grpc,
                class: stream.class,
                target: stream.mark.path,
                request: stream.request.text(),
                is_cancel,
                rival_answered: rival.map(|(_, stamp)| stamp),
                end_offset: frame.end_offset(),
                sent: *stream.data.side(frame.by),
                held_by: self.rules.held_by(&self.history, &stream),
            });
        } else {
            self.history.resets_beyond += 1;
            self.hit(Hit::Resets);
        }
        if let Some(row) = stream.row {
            let code = code.unwrap_or(ErrorCode::NO_ERROR);
            let row = row::reset(*row, frame.stamp, frame.by, code, &stream.data, stream.opener);
            self.history.rows.push(row);
        }
    }

    /// A stream that is known by its reset alone: its beginning is not in the capture.
    fn unseen(&mut self, id: u32) -> Option<Stream> {
        let holes = self.history.joined_midway || self.history.has_loss();
        let opener = if id.is_multiple_of(2) { Side::Server } else { Side::Client };
        let fresh = holes && id > 0 && !self.reset_places.contains_key(&id);
        let facts = self.history.sides.side(opener);
        let before = self.history.joined_midway && self.first_opened.is_none_or(|first| id < first);
        let unknown = fresh && (id > facts.highest_stream || before);
        unknown.then(|| self.begin(id, opener, None))
    }

    /// A request that is read after its answer: where octets are missing, or came before the
    /// capture, what follows them in the same half waits until frames are found in it.
    fn late_request(&mut self, frame: &Frame<'_>) {
        let id = frame.head.stream;
        let place = self.answered.iter().position(|answered| answered.id == id);
        let Some(list) = &frame.headers else { return };
        let Some(answered) = place.and_then(|place| self.answered.get_mut(place)) else { return };
        let kept = Kept(list);
        if !kept.is_request() {
            return;
        }
        self.first_opened.get_or_insert(id);
        let after = answered.responded.take().filter(|_| self.history.is_timed(frame.stamp));
        let after = after.map(|responded| responded.since(frame.stamp));
        if let Some(after) = after {
            let kind = kept.kind();
            self.history.note_answer(kind.number(), &kind, after);
        }
        if let Some(row) = self.history.rows.iter_mut().rev().find(|row| row.id == id) {
            row::request(row, list, &kept);
            row.opened = Some(frame.stamp);
            row.first_response_after = after;
        }
    }

    /// A HEADERS or DATA frame on a stream that is not open.
    fn late_frame(&mut self, frame: &Frame<'_>) {
        let Some(place) = self.reset_places.get(&frame.head.stream) else { return };
        let Some(reset) = self.history.resets.get_mut(*place) else { return };
        if reset.by == frame.by {
            return;
        }
        if frame.stamp.before(reset.stamp) {
            // It was sent first; a hole in the capture held it up on its way here.
            reset.last_from_peer = Some(frame.stamp);
            if frame.by != reset.opener && frame.head.flags.has(Flags::END_STREAM) {
                if reset.is_cancel {
                    self.history.counts.cancelled -= 1;
                    self.history.counts.completed += 1;
                }
                reset.is_cancel = false;
                reset.answer_ended = true;
            }
            return;
        }
        let stream = frame.head.stream;
        if self.history.late.len() < NOTES_KEPT && self.late.insert(stream) {
            self.history.late.push(Late {
                stream,
                by: frame.by,
                stamp: frame.stamp,
                kind: frame.head.kind,
                reset: reset.stamp,
                since_opened: reset.opened.map(|opened| frame.stamp.since(opened)),
                knowing: frame.seen >= reset.end_offset,
            });
        }
    }
}

/// Whether a header block counts as the largest so far: larger, or as large again some time later.
pub(super) fn is_larger((size, seen, _): (u64, Stamp, u32), new: u64, stamp: Stamp) -> bool {
    new > size || (new == size && stamp.since(seen) > AS_LARGE_AGAIN)
}

/// A stream whose answer ended before its request could be read.
#[derive(Debug)]
pub(super) struct Answered {
    id: u32,
    responded: Option<Stamp>,
}

packs!(struct Answered { id, responded });

/// So many of them are remembered: more than requests wait for their boundary in one half.
const ANSWERED_KEPT: usize = 64;

/// A server's clock runs out so much before the client's.
const EARLY: Duration = Duration::from_millis(60);

/// Notes what a request says of its stream.
pub(super) fn describe_request(stream: &mut Stream, list: &HeaderList<'_>, kept: &Kept<'_>) {
    stream.described = true;
    stream.deadline = kept.deadline();
    // Of one whose deadline cannot be read nobody can say that it has none.
    stream.grpc = kept.is_grpc() && !kept.deadline_is_malformed();
    stream.request = kept.kind();
    stream.class = stream.request.number();
    stream.mark = kept.mark();
    if let Some(row) = &mut stream.row {
        row::request(row, list, kept);
    }
}
