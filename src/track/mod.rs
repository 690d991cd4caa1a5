//! Room 6: frames become the life of streams and connections.
//!
//! Takes [`Signal`]s and the flow's own [`FlowItem`]s, gives one [`History`] a connection, whose
//! only writer it is. Notes what happened; never says why.

mod answers;
mod header;
pub mod history;
mod rate;
mod row;
mod rules;
mod stream;

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::vocab::address::{Both, FlowKey, Half, Side};
use crate::vocab::error_code::ErrorCode;
use crate::vocab::flow::{FlowId, FlowItem};
use crate::vocab::frame::{Flags, Frame, FrameType, Payload, Signal, Transport};
use crate::vocab::header::HeaderList;
use crate::vocab::limits::{Hit, Limits};
use crate::vocab::setting::SettingId;
use crate::vocab::stream::StreamCounts;
use crate::vocab::time::Stamp;

use header::Kept;
use history::{Goaway, History, Late, Loss, Ping, Reset, SettingsSent, SideFacts};
use rate::Rates;
use rules::Rules;
use stream::Stream;

pub use answers::Answers;

/// SETTINGS frames remembered for each side: the first says almost everything.
const SETTINGS_KEPT: usize = 16;

/// Streams listed as open at a GOAWAY or an end.
const OPEN_KEPT: usize = 1024;

/// A block as large as the largest one counts anew after this time.
const AS_LARGE_AGAIN: std::time::Duration = std::time::Duration::from_millis(250);

/// Gaps in the stream identifiers remembered.
const SKIPPED_KEPT: usize = 32;

/// Late frames and losses remembered.
const NOTES_KEPT: usize = 1024;

/// Follows one HTTP/2 connection.
pub struct Tracker {
    history: History,
    client: Half,
    open: FxHashMap<u32, Stream>,
    /// Place in [`History::resets`] by stream.
    reset_places: FxHashMap<u32, usize>,
    rates: Both<Option<Box<Rates>>>,
    /// HEADERS and DATA of each side since the other side's last PING.
    messages_since_ping: Both<u32>,
    open_of: Both<u64>,
    /// Streams that their side has passed over: they are closed, and a request on one is a rule
    /// broken (RFC 9113 section 5.1.1) but a request all the same.
    skipped: Vec<std::ops::Range<u32>>,
    /// Octets of each side's current header block.
    block_of: Both<u64>,
    rules: Rules,
    keep_rows: bool,
}

impl Tracker {
    /// A connection on this flow; `client` is the half the client sends.
    pub fn new(flow: FlowId, key: FlowKey, client: Half, first: Stamp, keep_rows: bool) -> Self {
        let ends = Both { first: key.sender(client), second: key.sender(client.other()) };
        Self {
            history: History {
                flow,
                ends,
                transport: Transport::Unknown,
                joined_midway: true,
                client_speaks_http2: true,
                first,
                last: first,
                syn: None,
                accepted: None,
                fin: Both::default(),
                rst: Both::default(),
                end: None,
                tcp: Both::default(),
                sides: Both::default(),
                counts: StreamCounts::default(),
                resets: Vec::new(),
                resets_beyond: 0,
                late: Vec::new(),
                pings: VecDeque::new(),
                goaways: Vec::new(),
                findings: Vec::new(),
                losses: Vec::new(),
                idle_since: Some(first),
                reused: None,
                open: Vec::new(),
                last_completed: None,
                answers: Answers::default(),
                hits: Vec::new(),
                rows: Vec::new(),
            },
            client,
            open: FxHashMap::default(),
            reset_places: FxHashMap::default(),
            rates: Both::default(),
            messages_since_ping: Both::default(),
            open_of: Both::default(),
            skipped: Vec::new(),
            block_of: Both::default(),
            rules: Rules::default(),
            keep_rows,
        }
    }

    /// What is known so far.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The finished record.
    pub fn into_history(self) -> History {
        self.history
    }

    fn side(&self, half: Half) -> Side {
        if half == self.client { Side::Client } else { Side::Server }
    }

    /// Takes what TCP says about the flow itself.
    pub fn flow(&mut self, item: &FlowItem<'_>, limits: &Limits) {
        match *item {
            FlowItem::Opened { stamp, initiator, .. } => {
                self.history.first = stamp;
                self.history.joined_midway = initiator.is_none();
                self.history.syn = initiator.map(|_| stamp);
            }
            FlowItem::Accepted { stamp, .. } => self.history.accepted = Some(stamp),
            FlowItem::Bytes { stamp, half, .. } => {
                let side = self.side(half);
                self.history.last = stamp;
                self.history.sides.side_mut(side).last_octets = Some(stamp);
            }
            FlowItem::Gap { stamp, .. } => self.history.last = stamp,
            FlowItem::Fin { stamp, by } => {
                let side = self.side(by);
                self.history.last = stamp;
                self.history.fin.side_mut(side).get_or_insert(stamp);
            }
            FlowItem::Rst { stamp, by, .. } => {
                let side = self.side(by);
                self.history.last = stamp;
                self.history.rst.side_mut(side).get_or_insert(stamp);
            }
            FlowItem::Closed { stamp, how, totals } => {
                self.history.last = stamp;
                self.history.end = Some(how);
                for half in [Half::A, Half::B] {
                    *self.history.tcp.side_mut(self.side(half)) = *totals.half(half);
                }
                self.finish(limits);
            }
        }
    }

    /// What happened on the flow before it was known to be HTTP/2.
    pub fn known_before(&mut self, items: &[FlowItem<'_>], limits: &Limits) {
        for item in items {
            self.flow(item, limits);
        }
    }

    /// Takes what HTTP/2 says.
    pub fn apply(&mut self, signal: &Signal<'_>, limits: &Limits) {
        match signal {
            Signal::Started { how, .. } => self.history.transport = *how,
            Signal::Upgraded { request, response, headers, settings } => {
                self.upgraded(*request, *response, headers, settings);
            }
            Signal::Frame(frame) => self.frame(frame, limits),
            Signal::Lost { stamp, by, bytes, frames } => {
                if *frames {
                    self.rules.lost(*by);
                }
                if self.history.losses.len() < NOTES_KEPT {
                    let loss = Loss { stamp: *stamp, by: *by, bytes: *bytes, frames: *frames };
                    self.history.losses.push(loss);
                }
            }
            Signal::Incomplete { by, .. } => {
                self.history.sides.side_mut(*by).torn_at_end = true;
            }
            Signal::Unreadable { stamp, by, foreign } => {
                let seen = foreign.then_some(*stamp);
                self.rules.unreadable(&mut self.history, limits, *by, seen);
                let never = self.history.sides.side(Side::Client).preface.is_none();
                if *by == Side::Client && never && *foreign {
                    self.history.client_speaks_http2 = false;
                }
            }
        }
    }

    fn upgraded(
        &mut self,
        request: Stamp,
        response: Stamp,
        headers: &HeaderList<'_>,
        settings: &[(SettingId, u32)],
    ) {
        let kept = Kept::of(headers);
        self.rules.upgraded(headers, settings);
        let mut stream = self.begin(1, Side::Client, Some(request));
        self.describe_request(&mut stream, headers, &kept);
        stream.ended.first = Some(request);
        stream.last.first = Some(request);
        self.insert(stream);
        // The 101 response acknowledges HTTP2-Settings (RFC 7540 section 3.2.1).
        self.history.sides.first.settings.push(SettingsSent {
            stamp: request,
            values: settings.to_vec(),
            acknowledged: Some(response),
        });
    }

    fn frame(&mut self, frame: &Frame<'_>, limits: &Limits) {
        let clients = self.open_of.first;
        let (open, resets) = (&mut self.open, &self.reset_places);
        self.rules.check(&mut self.history, open, resets, clients, frame, limits);
        if matches!(frame.payload, Payload::Preface) {
            self.history.sides.side_mut(frame.by).preface = Some(frame.stamp);
            return;
        }
        match frame.head.kind {
            FrameType::DATA => self.data(frame, limits),
            FrameType::HEADERS => self.headers(frame, limits),
            FrameType::CONTINUATION => self.continuation(frame),
            FrameType::RST_STREAM => self.reset(frame, limits),
            FrameType::SETTINGS => self.settings(frame),
            FrameType::PUSH_PROMISE => self.promise(frame),
            FrameType::PING => self.ping(frame, limits),
            FrameType::GOAWAY => self.goaway(frame, limits),
            _ => {}
        }
        self.manner(frame);
        self.count(frame);
    }

    /// What a program's first frames look like: by that it can be recognised.
    fn manner(&mut self, frame: &Frame<'_>) {
        let facts = self.history.sides.side_mut(frame.by);
        match &frame.payload {
            Payload::WindowUpdate { increment }
                if frame.head.stream == 0 && facts.last_message.is_none() =>
            {
                facts.first_window.get_or_insert(*increment);
            }
            _ if frame.head.kind == FrameType::HEADERS => {
                let priority = frame.head.flags.has(Flags::PRIORITY);
                facts.first_priority.get_or_insert(priority);
            }
            _ => {}
        }
    }

    /// Counts a frame, after it was applied: a GOAWAY's record shows what came before it.
    fn count(&mut self, frame: &Frame<'_>) {
        let facts = self.history.sides.side_mut(frame.by);
        facts.frames.add(frame.head.kind);
        facts.first_frame.get_or_insert(frame.stamp);
        facts.last_frame = Some(frame.stamp);
        let kind = frame.head.kind;
        if kind == FrameType::HEADERS || kind == FrameType::CONTINUATION {
            self.block_octets(frame);
        }
        let facts = self.history.sides.side_mut(frame.by);
        if kind == FrameType::DATA || kind == FrameType::HEADERS {
            facts.last_message = Some(frame.stamp);
            let count = self.messages_since_ping.side_mut(frame.by);
            *count = count.saturating_add(1);
            return;
        }
        let rates = self.rates.side_mut(frame.by).get_or_insert_default();
        let burst = rates.add(kind, frame.stamp);
        if burst.is_some_and(|b| facts.burst.is_none_or(|old| b.count > old.count)) {
            facts.burst = burst;
        }
    }

    /// Adds up a header block's octets on the wire: a block that is cut off never has a list.
    fn block_octets(&mut self, frame: &Frame<'_>) {
        let length = u64::from(frame.head.length);
        let block = self.block_of.side_mut(frame.by);
        *block = if frame.head.kind == FrameType::HEADERS { length } else { *block + length };
        let largest = &mut self.history.sides.side_mut(frame.by).largest_block;
        if largest.is_none_or(|old| is_larger(old, *block, frame.stamp)) {
            *largest = Some((*block, frame.stamp, frame.head.stream));
        }
    }

    fn begin(&mut self, id: u32, opener: Side, opened: Option<Stamp>) -> Stream {
        let mut stream = Stream::new(id, opener, opened);
        stream.rules = self.rules.take_fresh();
        self.history.counts.opened += 1;
        let facts = self.history.sides.side_mut(opener);
        facts.opened += 1;
        if id > facts.highest_stream.saturating_add(2) && self.skipped.len() < SKIPPED_KEPT {
            self.skipped.push(facts.highest_stream + 1..id);
        }
        facts.highest_stream = facts.highest_stream.max(id);
        if self.keep_rows {
            stream.row = Some(Box::new(row::begin(id, opener, opened)));
        }
        stream
    }

    fn insert(&mut self, stream: Stream) {
        let opener = stream.opener;
        let open = self.open_of.side_mut(opener);
        *open += 1;
        let facts = self.history.sides.side_mut(opener);
        if let Some(opened) = stream.opened
            && facts.most_open.is_none_or(|(most, ..)| *open > most)
        {
            facts.most_open = Some((*open, opened, stream.id));
        }
        if let (Some(since), Some(opened), Side::Client) =
            (self.history.idle_since, stream.opened, opener)
        {
            let idle = opened.since(since);
            let again = self.history.counts.opened > 1;
            if again && self.history.reused.is_none_or(|(longest, _)| idle > longest) {
                self.history.reused = Some((idle, opened));
            }
        }
        self.history.idle_since = None;
        self.open.insert(stream.id, stream);
    }

    /// The stream of a HEADERS or DATA frame; opened by it where it can be.
    fn stream_for(&mut self, frame: &Frame<'_>, limits: &Limits) -> Option<&mut Stream> {
        let id = frame.head.stream;
        if id == 0 {
            return None;
        }
        if !self.open.contains_key(&id) {
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
            if self.open.len() >= limits.open_streams {
                self.hit(Hit::OpenStreams);
                return None;
            }
            let stream = self.begin(id, opener, opens.then_some(frame.stamp));
            self.insert(stream);
        }
        self.open.get_mut(&id)
    }

    fn headers(&mut self, frame: &Frame<'_>, limits: &Limits) {
        let id = frame.head.stream;
        if self.stream_for(frame, limits).is_none() {
            self.late_frame(frame);
            return;
        }
        if let Some(list) = &frame.headers {
            self.header_list(id, frame, list);
        }
        let Some(stream) = self.open.get_mut(&id) else { return };
        *stream.last.side_mut(frame.by) = Some(frame.stamp);
        if frame.head.flags.has(Flags::END_STREAM) {
            stream.ended.side_mut(frame.by).get_or_insert(frame.stamp);
            self.close_if_complete(id);
        }
    }

    fn continuation(&mut self, frame: &Frame<'_>) {
        if let Some(list) = &frame.headers
            && self.open.contains_key(&frame.head.stream)
        {
            self.header_list(frame.head.stream, frame, list);
        }
    }

    /// A complete header list on an open stream.
    fn header_list(&mut self, id: u32, frame: &Frame<'_>, list: &HeaderList<'_>) {
        let facts = self.history.sides.side_mut(frame.by);
        if facts.largest_block.is_none_or(|old| is_larger(old, list.size, frame.stamp)) {
            facts.largest_block = Some((list.size, frame.stamp, id));
        }
        let kept = Kept::of(list);
        if facts.software.is_none() {
            facts.software = kept.software();
        }
        if facts.pseudo_order.is_none() {
            facts.pseudo_order = Some(header::pseudo_order(list));
        }
        let Some(mut stream) = self.open.remove(&id) else { return };
        if frame.by == stream.opener {
            if stream.last.side(frame.by).is_none() {
                self.describe_request(&mut stream, list, &kept);
            } else if let Some(row) = &mut stream.row {
                row::trailers(row, list, &kept);
            }
        } else {
            self.response_headers(&mut stream, frame, list, &kept);
        }
        self.open.insert(id, stream);
    }

    fn describe_request(&mut self, stream: &mut Stream, list: &HeaderList<'_>, kept: &Kept<'_>) {
        stream.deadline = kept.deadline();
        stream.grpc = kept.is_grpc();
        (stream.class, stream.request) = kept.class();
        if let Some(row) = &mut stream.row {
            row::request(row, list, kept);
        }
    }

    fn response_headers(
        &mut self,
        stream: &mut Stream,
        frame: &Frame<'_>,
        list: &HeaderList<'_>,
        kept: &Kept<'_>,
    ) {
        let interim = kept.status().is_some_and(|status| status < 200);
        if stream.responded.is_some() {
            if let Some(row) = &mut stream.row {
                row::trailers(row, list, kept);
            }
        } else if !interim {
            stream.responded = Some(frame.stamp);
            if let Some(opened) = stream.opened {
                self.history.answers.add(frame.stamp.since(opened));
            }
            if let Some(row) = &mut stream.row {
                row::response(row, list, kept, stream.opened, frame.stamp);
            }
        }
    }

    fn data(&mut self, frame: &Frame<'_>, limits: &Limits) {
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
            self.close_if_complete(frame.head.stream);
        }
    }

    fn close_if_complete(&mut self, id: u32) {
        if !self.open.get(&id).is_some_and(Stream::is_complete) {
            return;
        }
        if let Some(stream) = self.remove(id) {
            self.history.counts.completed += 1;
            let ended = stream.completed_at();
            self.history.last_completed = ended;
            if let Some(row) = stream.row {
                self.history.rows.push(row::completed(*row, ended, &stream.data, stream.opener));
            }
        }
    }

    fn remove(&mut self, id: u32) -> Option<Stream> {
        let stream = self.open.remove(&id)?;
        let open = self.open_of.side_mut(stream.opener);
        *open = open.saturating_sub(1);
        if self.open.is_empty() {
            let last = stream.snapshot().last;
            self.history.idle_since = Some(last.unwrap_or(self.history.last));
        }
        Some(stream)
    }

    fn reset(&mut self, frame: &Frame<'_>, limits: &Limits) {
        let id = frame.head.stream;
        let code = match frame.payload {
            Payload::RstStream { code } => Some(code),
            Payload::Unseen => None,
            _ => return,
        };
        let Some(stream) = self.remove(id) else { return };
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
        if self.history.resets.len() < limits.resets {
            self.reset_places.insert(id, self.history.resets.len());
            self.history.resets.push(Reset {
                stream: id,
                by: frame.by,
                code,
                stamp: frame.stamp,
                opener: stream.opener,
                opened: stream.opened,
                request_ended: stream.ended.side(stream.opener).is_some(),
                responded: stream.responded,
                answer_ended,
                last_from_peer: *stream.last.side(frame.by.other()),
                deadline: stream.deadline,
                grpc: stream.grpc,
                class: stream.class,
                request: stream.request.as_deref().map(str::to_string),
                is_cancel,
                end_offset: frame.end_offset(),
                sent: *stream.data.side(frame.by),
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
        let known = self.history.late.iter().any(|late| late.stream == stream);
        if !known && self.history.late.len() < NOTES_KEPT {
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

    fn settings(&mut self, frame: &Frame<'_>) {
        match frame.payload {
            Payload::Settings { ack: true, .. } => {
                self.history.sides.side_mut(frame.by).settings_acks += 1;
                let sent = &mut self.history.sides.side_mut(frame.by.other()).settings;
                if let Some(first) = sent.iter_mut().find(|sent| sent.acknowledged.is_none()) {
                    first.acknowledged = Some(frame.stamp);
                }
            }
            Payload::Settings { ack: false, values } => {
                let sent = &mut self.history.sides.side_mut(frame.by).settings;
                if sent.len() < SETTINGS_KEPT {
                    let values = values.iter().take(64).copied().collect();
                    sent.push(SettingsSent { stamp: frame.stamp, values, acknowledged: None });
                }
            }
            _ => {}
        }
    }

    fn promise(&mut self, frame: &Frame<'_>) {
        let Payload::PushPromise { promised } = frame.payload else { return };
        let highest = self.history.sides.side(Side::Server).highest_stream;
        let fresh = promised.is_multiple_of(2) && promised > highest;
        if frame.by != Side::Server || !fresh {
            return;
        }
        // A promise is the request of its stream: the server has ended the client's part.
        let mut stream = self.begin(promised, Side::Server, Some(frame.stamp));
        stream.ended.first = Some(frame.stamp);
        if let Some(list) = &frame.headers {
            self.describe_request(&mut stream, list, &Kept::of(list));
        }
        stream.responded = Some(frame.stamp);
        self.insert(stream);
    }

    fn ping(&mut self, frame: &Frame<'_>, limits: &Limits) {
        match frame.payload {
            Payload::Ping { ack: true, opaque } => {
                let asker = frame.by.other();
                let mut pings = self.history.pings.iter_mut();
                let asked = pings.find(|ping| {
                    ping.by == asker && ping.answered.is_none() && ping.opaque == opaque
                });
                if let Some(ping) = asked {
                    ping.answered = Some(frame.stamp);
                }
            }
            Payload::Ping { ack: false, opaque } => {
                if self.history.pings.len() >= limits.pings {
                    self.history.pings.pop_front();
                    self.hit(Hit::Pings);
                }
                let peer_messages =
                    std::mem::take(self.messages_since_ping.side_mut(frame.by.other()));
                self.history.pings.push_back(Ping {
                    by: frame.by,
                    opaque,
                    sent: frame.stamp,
                    answered: None,
                    open_streams: self.open.len() as u32,
                    peer_messages,
                });
            }
            _ => {}
        }
    }

    fn goaway(&mut self, frame: &Frame<'_>, limits: &Limits) {
        let Payload::GoAway { last_stream_id, code, debug } = frame.payload else { return };
        if frame.head.stream != 0 {
            return; // a connection error of its sender (RFC 9113 section 6.8), not a GOAWAY
        }
        if self.history.goaways.len() >= limits.goaways {
            self.hit(Hit::Goaways);
            return;
        }
        if frame.head.length as usize > 8 + limits.debug_data {
            self.hit(Hit::DebugData);
        }
        let history = &self.history;
        let each = |pick: &dyn Fn(&SideFacts) -> Option<Stamp>| Both {
            first: pick(&history.sides.first),
            second: pick(&history.sides.second),
        };
        let peer = frame.by.other();
        let newest = self.open.values().filter(|stream| stream.opener == peer).max_by_key(|s| s.id);
        let goaway = Goaway {
            stamp: frame.stamp,
            by: frame.by,
            code,
            last_stream_id,
            debug: debug.to_vec(),
            open: self.open_streams(),
            open_count: self.open.len() as u64,
            last_frame: each(&|side| side.last_frame),
            last_octets: each(&|side| side.last_octets),
            last_message: each(&|side| side.last_message),
            idle_since: history.idle_since,
            highest_stream: Both {
                first: history.sides.first.highest_stream,
                second: history.sides.second.highest_stream,
            },
            opened: Both { first: history.sides.first.opened, second: history.sides.second.opened },
            frames: Both { first: history.sides.first.frames, second: history.sides.second.frames },
            completed: history.counts.completed,
            after_peer_close: [history.fin.side(peer), history.rst.side(peer)]
                .into_iter()
                .flatten()
                .any(|stamp| stamp.before(frame.stamp)),
            resets: history.resets.len(),
            findings: history.findings.len(),
            newest: newest.and_then(|stream| stream.opened.map(|opened| (stream.id, opened))),
            seen: frame.seen,
        };
        self.history.goaways.push(goaway);
    }

    fn open_streams(&self) -> Vec<history::OpenStream> {
        let mut open: Vec<_> = self.open.values().map(Stream::snapshot).collect();
        open.sort_by_key(|stream| (stream.by, stream.id));
        open.truncate(OPEN_KEPT);
        open
    }

    fn finish(&mut self, _limits: &Limits) {
        self.history.open = self.open_streams();
        self.history.counts.unfinished = self.open.len() as u64;
        let by = self.history.tcp_end().map(|(_, side, _)| side);
        let over = self.history.tcp_end().is_some();
        let mut left: Vec<Stream> = self.open.drain().map(|(_, stream)| stream).collect();
        left.sort_by_key(|stream| stream.id);
        for stream in left {
            let Some(row) = stream.row else { continue };
            let goaway = self
                .history
                .goaways
                .iter()
                .find(|goaway| goaway.by != stream.opener && stream.id > goaway.last_stream_id);
            let goaway = goaway.map(|goaway| goaway.by);
            let row =
                row::unfinished(*row, goaway, over.then_some(by), &stream.data, stream.opener);
            self.history.rows.push(row);
        }
        self.history.rows.sort_by_key(|row| row.id);
    }

    fn hit(&mut self, limit: Hit) {
        if !self.history.hits.contains(&limit) {
            self.history.hits.push(limit);
        }
    }
}

/// Whether a header block counts as the largest so far: larger, or as large again some time later.
fn is_larger((size, seen, _): (u64, Stamp, u32), new: u64, stamp: Stamp) -> bool {
    new > size || (new == size && stamp.since(seen) > AS_LARGE_AGAIN)
}

#[cfg(test)]
mod tests;
