//! Room 6: frames become the life of streams and connections.
//!
//! Takes [`Signal`]s and the flow's own [`FlowItem`]s, gives one [`History`] a connection, whose
//! only writer it is. Notes what happened; never says why.

mod answers;
mod header;
pub mod history;
mod lifetimes;
mod moment;
mod open;
mod rate;
mod rest;
mod row;
mod rules;
mod still;
mod stream;
mod trouble;

use std::collections::VecDeque;

use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::vocab::address::{Both, FlowKey, Half, Side};
use crate::vocab::flow::{FlowId, FlowItem, HalfNotes};
use crate::vocab::frame::{Flags, Frame, FrameFault, FrameType, Payload, Signal, Transport};
use crate::vocab::header::HeaderList;
use crate::vocab::limits::{Hit, Limits};
use crate::vocab::setting::SettingId;
use crate::vocab::stream::StreamCounts;
use crate::vocab::time::Stamp;

use header::Kept;
use history::{History, Loss, Ping, SettingsSent};
use open::OpenStreams;
use rate::Rates;
use rules::Rules;
use stream::Stream;

pub use answers::{Answers, ByClass};
pub use header::mark_of_head;
pub use rules::of_tls;

/// SETTINGS frames remembered for each side: the first says almost everything.
const SETTINGS_KEPT: usize = 16;

/// Streams listed as open at a GOAWAY or an end.
const OPEN_KEPT: usize = 1024;

/// A block as large as the largest one counts anew after this time.
const AS_LARGE_AGAIN: Duration = Duration::from_millis(250);

/// Gaps in the stream identifiers remembered.
const SKIPPED_KEPT: usize = 32;

/// Late frames and losses remembered.
const NOTES_KEPT: usize = 1024;

/// Follows one HTTP/2 connection.
pub struct Tracker {
    history: History,
    client: Half,
    open: OpenStreams,
    /// Place in [`History::resets`] by stream.
    reset_places: FxHashMap<u32, usize>,
    /// The class of the last request that was answered to its end, and when.
    last_answered: Option<(u32, Stamp)>,
    /// Streams in [`History::late`].
    late: FxHashSet<u32>,
    rates: Both<Option<Box<Rates>>>,
    /// HEADERS and DATA of each side since the other side's last PING.
    messages_since_ping: Both<u32>,
    open_of: Both<u64>,
    /// Requests that the client had opened when the server sent its last frame.
    asked: u64,
    /// Streams that their side has passed over: they are closed, and a request on one is a rule
    /// broken (RFC 9113 section 5.1.1) but a request all the same.
    skipped: Vec<std::ops::Range<u32>>,
    /// First stream that the client opened in the capture.
    first_opened: Option<u32>,
    /// The latest streams whose answer ended before their request was read.
    answered: VecDeque<lifetimes::Answered>,
    /// Octets of each side's current header block.
    block_of: Both<u64>,
    /// The stream that each side has ended with a header block which goes on in CONTINUATIONs.
    unfinished_block: Both<Option<u32>>,
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
                foreign: None,
                server_in_http1: None,
                first,
                last: first,
                syn: None,
                accepted: None,
                fin: Both::default(),
                rst: Both::default(),
                closed: None,
                close_notify: Both::default(),
                sealed: Both::default(),
                closing: None,
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
                newest: None,
                bare_rst: false,
                notes: Both::default(),
                idle_since: Some(first),
                reused: None,
                open: Vec::new(),
                last_completed: None,
                troubled: Vec::new(),
                expired: Vec::new(),
                still: None,
                answers: ByClass::default(),
                metered: None,
                hits: Vec::new(),
                rows: Vec::new(),
            },
            client,
            open: OpenStreams::default(),
            reset_places: FxHashMap::default(),
            last_answered: None,
            late: FxHashSet::default(),
            rates: Both::default(),
            messages_since_ping: Both::default(),
            open_of: Both::default(),
            asked: 0,
            skipped: Vec::new(),
            first_opened: None,
            answered: VecDeque::new(),
            block_of: Both::default(),
            unfinished_block: Both::default(),
            rules: Rules::default(),
            keep_rows,
        }
    }

    /// What is known so far.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Requests of the client that are open now.
    pub fn open_requests(&self) -> u64 {
        self.open_of.first
    }

    /// What was noted of each half on the way here: missing octets, differing copies.
    pub fn noted(&mut self, mut notes: Both<HalfNotes>) {
        for half in [Half::A, Half::B] {
            let side = self.side(half);
            *self.history.notes.side_mut(side) = std::mem::take(notes.half_mut(half));
        }
    }

    /// Approximate octets in memory.
    pub fn weight(&self) -> usize {
        let rates = [&self.rates.first, &self.rates.second].into_iter().flatten().count();
        size_of::<Self>()
            + self.open.weight()
            + self.reset_places.capacity() * 24
            + self.late.capacity() * 8
            + self.answered.capacity() * size_of::<lifetimes::Answered>()
            + rates * size_of::<Rates>()
            + self.history.weight()
    }

    /// From now on counts for metrics.
    pub fn meter(&mut self) {
        self.history.metered.get_or_insert_default();
    }

    /// The finished record.
    pub fn into_history(self) -> History {
        self.history
    }

    fn side(&self, half: Half) -> Side {
        if half == self.client { Side::Client } else { Side::Server }
    }

    /// HTTP/2 on this connection is inside TLS, whose close_notify alerts these are; of `sealed`
    /// sides nothing could be decrypted.
    pub fn within_tls(&mut self, close_notify: Both<Option<Stamp>>, sealed: Both<bool>) {
        self.history.transport = Transport::Tls;
        self.history.close_notify = close_notify;
        self.history.sealed = sealed;
    }

    /// Takes what TCP says about the flow itself.
    pub fn flow(&mut self, item: &FlowItem<'_>, limits: &Limits) {
        match *item {
            FlowItem::Opened { stamp, initiator, .. } => {
                self.history.first = stamp;
                self.history.joined_midway = initiator.is_none();
                self.history.syn = initiator.map(|_| stamp);
            }
            FlowItem::Synchronized { stamp, .. } => {
                self.history.joined_midway = false;
                self.history.syn = Some(stamp);
            }
            FlowItem::Accepted { stamp, .. } => self.history.accepted = Some(stamp),
            FlowItem::Bytes { stamp, half, .. } => {
                let side = self.side(half);
                self.history.last = stamp;
                self.history.sides.side_mut(side).last_octets = Some(stamp);
            }
            FlowItem::Gap { stamp, .. } | FlowItem::Differs { stamp, .. } => {
                self.history.last = stamp;
            }
            FlowItem::Fin { stamp, by } => {
                let side = self.side(by);
                self.history.last = stamp;
                self.closes();
                self.history.fin.side_mut(side).get_or_insert(stamp);
                self.history.closed.get_or_insert((stamp, side, false));
            }
            FlowItem::Rst { stamp, by, bare, .. } => {
                let side = self.side(by);
                self.history.bare_rst |= bare && self.history.rst.side(side).is_none();
                self.history.last = stamp;
                self.closes();
                self.history.rst.side_mut(side).get_or_insert(stamp);
                self.history.closed.get_or_insert((stamp, side, true));
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
                let loss = Loss { stamp: *stamp, by: *by, bytes: *bytes, frames: *frames };
                self.history.lost(loss, NOTES_KEPT);
            }
            Signal::Begun(frame) => self.rules.begun(&mut self.history, frame, limits),
            Signal::Incomplete { by, .. } => {
                self.history.sides.side_mut(*by).torn_at_end = true;
            }
            Signal::Unreadable { stamp, by, foreign } => {
                let seen = foreign.then_some(*stamp);
                self.rules.unreadable(&mut self.history, limits, *by, seen);
                let never = self.history.sides.side(Side::Client).preface.is_none();
                if *by == Side::Client && never && *foreign {
                    self.history.client_speaks_http2 = false;
                    self.history.foreign.get_or_insert(*stamp);
                }
                if *by == Side::Server && *foreign {
                    self.history.server_in_http1.get_or_insert(*stamp);
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
        let kept = Kept(headers);
        self.rules.upgraded(headers, settings);
        let mut stream = self.begin(1, Side::Client, Some(request));
        lifetimes::describe_request(&mut stream, headers, &kept);
        stream.ended.first = Some(request);
        stream.last.first = Some(request);
        self.insert(stream);
        // That it asked is found out when the answer comes, or none does any more.
        let open = self.open_streams();
        let before = |closed: &(Stamp, Side, bool)| request.before(closed.0);
        let closing = self.history.closing.as_mut().filter(|at| at.open.is_empty());
        if let Some(closing) = closing.filter(|_| self.history.closed.as_ref().is_some_and(before))
        {
            closing.open = open;
            closing.open_count = 1;
            closing.idle_since = None;
        }
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
        if frame.by == Side::Server {
            self.speaks_again(frame);
        }
        if matches!(frame.payload, Payload::Preface) {
            self.history.sides.side_mut(frame.by).preface = Some(frame.stamp);
            return;
        }
        if frame.head.kind != FrameType::CONTINUATION {
            self.block_is_over(frame.by, limits);
        }
        match frame.head.kind {
            FrameType::DATA => self.data(frame, limits),
            FrameType::HEADERS => self.headers(frame, limits),
            FrameType::CONTINUATION => self.continuation(frame, limits),
            FrameType::RST_STREAM => self.reset(frame, limits),
            FrameType::SETTINGS => self.settings(frame),
            FrameType::PUSH_PROMISE => self.promise(frame),
            FrameType::PING => self.ping(frame, limits),
            FrameType::GOAWAY => self.goaway(frame, limits),
            _ => {}
        }
        if matches!(frame.payload, Payload::Broken(FrameFault::BlockTooLarge)) {
            self.hit(Hit::HeaderBlock);
        }
        if frame.headers.as_ref().is_some_and(|list| list.truncated) {
            self.hit(Hit::HeaderList);
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
        if largest.is_none_or(|old| lifetimes::is_larger(old, *block, frame.stamp)) {
            *largest = Some((*block, frame.stamp, frame.head.stream));
        }
    }

    fn begin(&mut self, id: u32, opener: Side, opened: Option<Stamp>) -> Stream {
        let mut stream = Stream::new(id, opener, opened);
        stream.rules = self.rules.take_fresh();
        if opener == Side::Client {
            self.history.counts.opened += 1; // a push is no request
            if let Some(opened) = opened {
                self.first_opened.get_or_insert(id);
                if self.history.newest.is_none_or(|(newest, _)| id > newest) {
                    self.history.newest = Some((id, opened));
                }
            }
        }
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
        self.open.insert(stream);
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
            lifetimes::describe_request(&mut stream, list, &Kept(list));
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
                    let took = frame.stamp.since(ping.sent);
                    if let Some(metered) = &mut self.history.metered {
                        metered.pings.add(took);
                    }
                }
            }
            Payload::Ping { ack: false, opaque } => {
                if self.history.pings.len() >= limits.pings {
                    self.history.pings.pop_front();
                    self.hit(Hit::Pings);
                }
                let heard = self.history.sides.side(frame.by.other()).last_octets;
                let peer_messages =
                    std::mem::take(self.messages_since_ping.side_mut(frame.by.other()));
                self.history.pings.push_back(Ping {
                    by: frame.by,
                    opaque,
                    sent: frame.stamp,
                    answered: None,
                    open_streams: self.open.len() as u32,
                    peer_messages,
                    heard,
                });
            }
            _ => {}
        }
    }

    fn open_streams(&self) -> Vec<history::OpenStream> {
        let snapshot = |stream: &Stream| history::OpenStream {
            starved: self.rules.is_starved(&self.history, stream),
            ..stream.snapshot()
        };
        let mut open: Vec<_> = self.open.values().map(snapshot).collect();
        open.sort_by_key(|stream| (stream.by, stream.id));
        open.truncate(OPEN_KEPT);
        open
    }

    fn finish(&mut self, limits: &Limits) {
        self.block_is_over(Side::Client, limits);
        self.block_is_over(Side::Server, limits);
        if self.history.tcp_end().is_some() {
            self.closes();
        }
        self.speaks_no_more();
        self.history.open = self.open_streams();
        self.history.counts.unfinished = self.open_of.first;
        self.left_unanswered(limits);
        let over = self.history.tcp_end().map(|(stamp, side, _)| (stamp, side));
        let mut left: Vec<Stream> = self.open.drain();
        left.sort_by_key(|stream| stream.id);
        for stream in left {
            let Some(row) = stream.row else { continue };
            let goaway = self
                .history
                .goaways
                .iter()
                .find(|goaway| goaway.by != stream.opener && stream.id > goaway.last_stream_id);
            let goaway = goaway.map(|goaway| (goaway.stamp, goaway.by));
            let row = row::unfinished(*row, goaway, over, &stream.data, stream.opener);
            self.history.rows.push(row);
        }
        self.history.rows.sort_by_key(|row| row.id);
    }

    fn hit(&mut self, limit: Hit) {
        self.history.hit(limit);
    }
}
