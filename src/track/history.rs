//! History: the bounded record of one connection that detectors read and only the tracker writes.

use std::collections::VecDeque;
use std::time::Duration;

use crate::vocab::address::{Both, Endpoint, Side};
use crate::vocab::error_code::ErrorCode;
use crate::vocab::flow::{FlowEnd, FlowId, HalfNotes, HalfTotals};
use crate::vocab::frame::{FrameType, Transport};
use crate::vocab::hop::Troubled;
use crate::vocab::limits::Hit;
use crate::vocab::metered::Metered;
use crate::vocab::pack::packs;
use crate::vocab::rule;
use crate::vocab::setting::SettingId;
use crate::vocab::stream::{StreamCounts, StreamRow};
use crate::vocab::time::Stamp;
use crate::vocab::verdict::Finding;

pub use super::answers::{Answers, ByClass};
use super::header::Kind;

/// Everything that is known of one connection.
#[derive(Debug)]
pub struct History {
    /// Its flow.
    pub flow: FlowId,
    /// Client and server.
    pub ends: Both<Endpoint>,
    /// How HTTP/2 began.
    pub transport: Transport,
    /// Whether the SYN was not captured.
    pub joined_midway: bool,
    /// Whether octets of the client could be read as HTTP/2.
    pub client_speaks_http2: bool,
    /// Its first octets, where they could not.
    pub foreign: Option<Stamp>,
    /// Where the server answered in HTTP/1.x instead of frames.
    pub server_in_http1: Option<Stamp>,
    /// First and last packet of the flow.
    pub first: Stamp,
    /// Last packet so far.
    pub last: Stamp,
    /// The SYN.
    pub syn: Option<Stamp>,
    /// The SYN,ACK.
    pub accepted: Option<Stamp>,
    /// First FIN of each side.
    pub fin: Both<Option<Stamp>>,
    /// RST of each side.
    pub rst: Both<Option<Stamp>>,
    /// The first FIN or RST, its sender, and whether it is a RST. Packets out of order have times
    /// that tell otherwise.
    pub closed: Option<(Stamp, Side, bool)>,
    /// TLS close_notify of each side: the side that begins to close says so there first.
    pub close_notify: Both<Option<Stamp>>,
    /// Sides of which nothing could be decrypted.
    pub sealed: Both<bool>,
    /// How it stood at the first FIN or RST.
    pub closing: Option<Box<Moment>>,
    /// Why no more comes.
    pub end: Option<FlowEnd>,
    /// TCP counters of each side.
    pub tcp: Both<HalfTotals>,
    /// What each side did.
    pub sides: Both<SideFacts>,
    /// Counters of streams.
    pub counts: StreamCounts,
    /// Streams that were reset, in order, as many as
    /// [`Limits::resets`](crate::vocab::limits::Limits).
    pub resets: Vec<Reset>,
    /// Resets beyond that.
    pub resets_beyond: u64,
    /// Frames that came on streams which their peer had reset, first one of each stream.
    pub late: Vec<Late>,
    /// PINGs, newest last.
    pub pings: VecDeque<Ping>,
    /// GOAWAYs, in order.
    pub goaways: Vec<Goaway>,
    /// Rules broken, in order.
    pub findings: Vec<Finding>,
    /// Places where frames may be missing.
    pub losses: Vec<Loss>,
    /// The client's newest stream, open or not.
    pub newest: Option<(u32, Stamp)>,
    /// Whether a RST came from a host that does not know the connection.
    pub bare_rst: bool,
    /// Octets of each side that the capture lacks, and copies that differ.
    pub notes: Both<HalfNotes>,
    /// Since when no stream is open.
    pub idle_since: Option<Stamp>,
    /// Longest time without an open stream that a request of the client ended, and that request.
    pub reused: Option<(Duration, Stamp)>,
    /// Streams still open at the end, oldest first.
    pub open: Vec<OpenStream>,
    /// When the last completed stream completed.
    pub last_completed: Option<Stamp>,
    /// The client's requests that did not end well, as many as
    /// [`Limits::troubled`](crate::vocab::limits::Limits), for the other side of a proxy.
    pub troubled: Vec<Troubled>,
    /// The longest time in which the server sent no frame though the client went on asking.
    pub still: Option<Box<Still>>,
    /// Times from request to first response.
    pub answers: ByClass,
    /// Requests that the server ended when the deadline that they carry ran out: that deadline,
    /// how many. The first few lengths.
    pub expired: Vec<(Duration, u64)>,
    /// What is counted for those who watch many connections.
    pub metered: Option<Box<Metered>>,
    /// Limits that were reached.
    pub hits: Vec<Hit>,
    /// Every stream, where asked for.
    pub rows: Vec<StreamRow>,
}

/// What one side did.
#[derive(Clone, Debug, Default)]
pub struct SideFacts {
    /// The client's preface.
    pub preface: Option<Stamp>,
    /// First frame.
    pub first_frame: Option<Stamp>,
    /// Last frame.
    pub last_frame: Option<Stamp>,
    /// Last HEADERS or DATA.
    pub last_message: Option<Stamp>,
    /// Last octets of TCP payload.
    pub last_octets: Option<Stamp>,
    /// Frames by type; the last counter is for types beyond CONTINUATION.
    pub frames: FrameCounts,
    /// DATA frames without data that do not end their stream.
    pub empty_data: u64,
    /// Highest stream this side opened.
    pub highest_stream: u32,
    /// Streams this side opened.
    pub opened: u64,
    /// SETTINGS in order, the first few.
    pub settings: Vec<SettingsSent>,
    /// SETTINGS acknowledgements sent.
    pub settings_acks: u64,
    /// Largest number of frames of one type within a second: type, count, second's first frame.
    pub burst: Option<Burst>,
    /// `user-agent` or `server` as first seen, at most 64 octets.
    pub software: Option<String>,
    /// Largest header block sent (decoded by RFC 9113 section 6.5.2, or its octets on the wire
    /// where that is more or it was never complete), with its packet and stream.
    pub largest_block: Option<(u64, Stamp, u32)>,
    /// Initials of the pseudo-headers of its first header list, in their order: `masp`.
    pub pseudo_order: Option<String>,
    /// Whether its first HEADERS carried a priority.
    pub first_priority: Option<bool>,
    /// First increment of the connection's window, where it came before the first HEADERS or DATA.
    pub first_window: Option<u32>,
    /// Whether its last frame was not complete when it closed.
    pub torn_at_end: bool,
    /// First GOAWAY that was not captured whole.
    pub unread_goaway: Option<Stamp>,
    /// Most streams of this side open at once, and where that was reached.
    pub most_open: Option<(u64, Stamp, u32)>,
}

/// Counts by frame type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameCounts([u32; 11]);

packs!(tuple FrameCounts(counts));

impl FrameCounts {
    /// Counts one.
    pub fn add(&mut self, kind: FrameType) {
        let last = self.0.len() - 1;
        if let Some(count) = self.0.get_mut(usize::from(kind.0).min(last)) {
            *count = count.saturating_add(1);
        }
    }

    /// How many of a type of RFC 9113.
    pub fn of(&self, kind: FrameType) -> u32 {
        self.0.get(usize::from(kind.0)).copied().unwrap_or(0)
    }

    /// How many of all types.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|count| u64::from(*count)).sum()
    }
}

/// Many frames of one type within a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// Which type.
    pub kind: FrameType,
    /// How many.
    pub count: u32,
    /// First of that second.
    pub from: Stamp,
}

/// One SETTINGS frame.
#[derive(Clone, Debug)]
pub struct SettingsSent {
    /// Its packet.
    pub stamp: Stamp,
    /// What it says.
    pub values: Vec<(SettingId, u32)>,
    /// When the peer acknowledged it.
    pub acknowledged: Option<Stamp>,
}

/// A stream that was reset.
#[derive(Clone, Debug)]
pub struct Reset {
    /// The stream.
    pub stream: u32,
    /// Who reset it.
    pub by: Side,
    /// With which code; `None` where the frame was not captured whole.
    pub code: Option<ErrorCode>,
    /// Where.
    pub stamp: Stamp,
    /// Who opened it.
    pub opener: Side,
    /// Its first HEADERS.
    pub opened: Option<Stamp>,
    /// Whether the request had ended.
    pub request_ended: bool,
    /// Its final response HEADERS.
    pub responded: Option<Stamp>,
    /// Whether the answer had ended.
    pub answer_ended: bool,
    /// Last frame that the other side sent on it before.
    pub last_from_peer: Option<Stamp>,
    /// Last frame that the side which reset it had sent on it before.
    pub last_own: Option<Stamp>,
    /// `grpc-timeout` of the request, or a similar deadline header.
    pub deadline: Option<Duration>,
    /// Whether it carries gRPC.
    pub grpc: bool,
    /// Requests of one method and path (without query) share it.
    pub class: u32,
    /// Requests of one method and path, with its query, share it; 0 where that is not known.
    pub target: u64,
    /// `method path` of the class, at most 80 octets.
    pub request: Option<String>,
    /// Whether the request's sender gave up before the answer ended.
    pub is_cancel: bool,
    /// When a request of the same class was last answered to its end before, where no request of
    /// another class was since.
    pub rival_answered: Option<Stamp>,
    /// Offset behind the RST_STREAM in its sender's octets.
    pub end_offset: u64,
    /// Its sender's DATA octets on the stream.
    pub sent: u64,
    /// Who had left the other side no window for what it had still to send; only where every frame
    /// that counts was captured.
    pub held_by: Option<Side>,
}

impl Reset {
    /// Time from the request's HEADERS to the reset.
    pub fn age(&self) -> Option<Duration> {
        self.opened.map(|opened| self.stamp.since(opened))
    }
}

/// A frame on a stream that its receiver had reset.
#[derive(Clone, Debug)]
pub struct Late {
    /// The stream.
    pub stream: u32,
    /// Who sent it.
    pub by: Side,
    /// Its packet.
    pub stamp: Stamp,
    /// Its type.
    pub kind: FrameType,
    /// The reset.
    pub reset: Stamp,
    /// Time from the request to this frame.
    pub since_opened: Option<Duration>,
    /// Whether its sender had acknowledged the reset in TCP before it sent this.
    pub knowing: bool,
}

/// A PING and its answer.
#[derive(Clone, Debug)]
pub struct Ping {
    /// Who sent it.
    pub by: Side,
    /// Its opaque data.
    pub opaque: [u8; 8],
    /// Where.
    pub sent: Stamp,
    /// Where it was answered.
    pub answered: Option<Stamp>,
    /// Streams open when it was sent.
    pub open_streams: u32,
    /// HEADERS and DATA frames that the other side had sent since the previous PING.
    pub peer_messages: u32,
    /// Last octets of the other side before.
    pub heard: Option<Stamp>,
}

/// A GOAWAY, and how the connection stood when it was sent.
#[derive(Clone, Debug)]
pub struct Goaway {
    /// Its packet.
    pub stamp: Stamp,
    /// Its sender.
    pub by: Side,
    /// Its code.
    pub code: ErrorCode,
    /// Its last stream identifier.
    pub last_stream_id: u32,
    /// Its debug data, up to a limit.
    pub debug: Vec<u8>,
    /// Octets of it that were not captured, or not kept.
    pub debug_missing: u32,
    /// How the connection stood.
    pub moment: Moment,
    /// Highest stream of each side by then.
    pub highest_stream: Both<u32>,
    /// The sender of the GOAWAY had already received a FIN or RST.
    pub after_peer_close: bool,
    /// Newest stream opened by the receiver, and where: of those that are open, else of the
    /// client's all.
    pub newest: Option<(u32, Stamp)>,
    /// Octets of the other side that the sender had acknowledged in TCP.
    pub seen: u64,
    /// Octets of the sender up to its end.
    pub end: u64,
}

/// How a connection stood at some moment.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Streams open then, oldest first, up to a limit.
    pub open: Vec<OpenStream>,
    /// How many were open: of both sides at a GOAWAY, of the client at an end without.
    pub open_count: u64,
    /// Since when no stream was open then.
    pub idle_since: Option<Stamp>,
    /// Last octets of each side before.
    pub last_octets: Both<Option<Stamp>>,
    /// Last HEADERS or DATA of each side before.
    pub last_message: Both<Option<Stamp>>,
    /// Frames by then.
    pub frames: Both<FrameCounts>,
    /// Streams that each side had opened by then.
    pub opened: Both<u64>,
    /// How many resets had been recorded.
    pub resets: usize,
    /// How many findings had been recorded.
    pub findings: usize,
    /// The largest header list of each side by then, as in [`SideFacts::largest_block`].
    pub largest_block: Both<Option<(u64, Stamp, u32)>>,
}

/// A stream that was open at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenStream {
    /// Identifier.
    pub id: u32,
    /// Who opened it.
    pub by: Side,
    /// Its first HEADERS.
    pub opened: Option<Stamp>,
    /// Whether its request's header block had ended: before that nobody can answer.
    pub described: bool,
    /// Whether the request had ended.
    pub request_ended: bool,
    /// Whether the final response had begun.
    pub responded: bool,
    /// Whether the answer had ended.
    pub answer_ended: bool,
    /// Last frame on it, of either side.
    pub last: Option<Stamp>,
    /// Whether the side that answers has used up its window, of the stream or of the connection;
    /// only where every frame that counts was captured.
    pub starved: bool,
}

/// A time in which the server sent no frame at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Still {
    /// Its last frame before.
    pub from: Stamp,
    /// Its next, or the end of the connection or the capture.
    pub until: Stamp,
    /// Requests that the client sent meanwhile.
    pub asked: u64,
    /// How long what it then answered had waited.
    pub waited: Duration,
    /// Whether it never spoke again.
    pub lasting: bool,
}

impl Still {
    /// How long.
    pub fn span(&self) -> Duration {
        self.until.since(self.from)
    }
}

/// A place where frames may be missing.
#[derive(Clone, Copy, Debug)]
pub struct Loss {
    /// Where.
    pub stamp: Stamp,
    /// Whose.
    pub by: Side,
    /// Octets.
    pub bytes: u64,
    /// Whether whole frames may have been lost.
    pub frames: bool,
}

impl History {
    /// Notes a loss; more of them than `most` are told in one, where the latest is.
    pub(super) fn lost(&mut self, loss: Loss, most: usize) {
        let full = self.losses.len() >= most;
        match self.losses.last_mut().filter(|_| full) {
            Some(last) => {
                last.stamp = loss.stamp;
                last.bytes = last.bytes.saturating_add(loss.bytes);
                last.frames |= loss.frames;
            }
            None => self.losses.push(loss),
        }
    }

    /// Whether time had passed by a packet: the packets of some captures carry none, and what
    /// lies between them cannot be known.
    pub fn is_timed(&self, stamp: Stamp) -> bool {
        stamp.at != self.first.at
    }

    /// Notes that a limit was reached.
    pub(super) fn hit(&mut self, limit: Hit) {
        if !self.hits.contains(&limit) {
            self.hits.push(limit);
        }
    }

    /// Counts an answer to a request of this kind, whose number `class` is.
    pub(super) fn note_answer(&mut self, class: u32, kind: &Kind, after: Duration) {
        if let Some(metered) = &mut self.metered {
            metered.answers.add(after);
        }
        self.answers.add(class, || kind.text().map(Into::into), after);
    }

    /// Counts a request that the server ended when its deadline ran out.
    pub(super) fn note_expired(&mut self, deadline: Duration) {
        let near = |of: &Duration| of.abs_diff(deadline) <= deadline.mul_f64(0.05);
        let room = self.expired.len() < EXPIRED_KEPT;
        match self.expired.iter_mut().find(|(of, _)| near(of)) {
            // What is left of it when the request is sent is less, the longer that had waited.
            Some((of, count)) => (*of, *count) = (deadline.max(*of), *count + 1),
            None if room => self.expired.push((deadline, 1)),
            None => {}
        }
    }

    /// Whether frames may be missing at or before `until` (of either side) that could matter.
    pub fn has_loss_before(&self, until: Stamp) -> bool {
        self.sealed.first
            || self.sealed.second
            || self.losses.iter().any(|loss| loss.frames && !until.before(loss.stamp))
    }

    /// Whether whole frames may be missing anywhere.
    pub fn has_loss(&self) -> bool {
        self.sealed.first || self.sealed.second || self.losses.iter().any(|loss| loss.frames)
    }

    /// First FIN, RST or TLS close_notify, its sender, and whether it is a RST.
    pub fn tcp_end(&self) -> Option<(Stamp, Side, bool)> {
        let notices = [Side::Client, Side::Server]
            .into_iter()
            .filter_map(|side| self.close_notify.side(side).map(|stamp| (stamp, side, false)));
        self.closed.into_iter().chain(notices).min_by_key(|(stamp, ..)| stamp.order())
    }

    /// Whether a finding can be held against its side: of a stream that the other side may have
    /// opened or kept open in octets that the capture lacks, it cannot.
    pub fn is_sound(&self, finding: &Finding) -> bool {
        let of_state = [&rule::IDLE_STREAM_FRAME, &rule::RST_IDLE, &rule::CLOSED_STREAM_FRAME];
        let rests_on_peer = of_state.into_iter().any(|rule| std::ptr::eq(rule, finding.rule));
        let lost = |loss: &Loss| loss.frames && loss.by != finding.by;
        // What TCP has acknowledged a server that stood still has not read.
        let at_once = |still: &Still| {
            let since = finding.stamp.since(still.until);
            !finding.stamp.before(still.until) && since <= WAKING
        };
        let unread = finding.by == Side::Server
            && std::ptr::eq(&rule::RST_THEN_SILENT, finding.rule)
            && self.still.as_deref().is_some_and(|still| !still.lasting && at_once(still))
            && self.stood_still().is_some();
        !(unread || rests_on_peer && self.losses.iter().any(lost))
    }

    /// A time in which the server sent nothing though requests of kinds waited that it answers far
    /// sooner; what it answered then was one of those.
    pub fn stood_still(&self) -> Option<&Still> {
        let still = self.still.as_deref()?;
        let usual = self.answers.total().quantile(0.5);
        if !still.lasting && still.waited < (usual * 8).max(WAITED) {
            return None;
        }
        let is_quick = |answers: &Answers| {
            answers.count() >= QUICK_ANSWERS && answers.quantile(0.5) * 8 <= still.span()
        };
        let kinds = self.answers.classes().iter().filter(|kind| is_quick(&kind.answers));
        let quick_kinds: Vec<u32> = kinds.map(|kind| kind.id).collect();
        let within = |at: Stamp| still.from.before(at) && !still.until.before(at);
        let given_up = || self.cancels().filter(|reset| within(reset.stamp));
        let quick = given_up().filter(|reset| quick_kinds.contains(&reset.class)).count();
        (quick >= GIVEN_UP && quick * 2 > given_up().count()).then_some(still)
    }

    /// Whether the client has had as many streams open at once as the server allows
    /// (RFC 9113 section 5.1.2): what it asks then waits before it is sent.
    pub fn reached_stream_limit(&self) -> bool {
        let most = self.sides.first.most_open.map_or(0, |(most, ..)| most);
        let settings = self.sides.second.settings.iter().flat_map(|sent| &sent.values);
        let mut limits = settings.filter(|(id, _)| *id == SettingId::MAX_CONCURRENT_STREAMS);
        limits.any(|(_, limit)| most >= u64::from(*limit))
    }

    /// Cancels: resets by the request's sender before the answer ended.
    pub fn cancels(&self) -> impl Iterator<Item = &Reset> {
        self.resets.iter().filter(|reset| reset.is_cancel)
    }

    /// Approximate octets in memory, beside the record itself.
    pub fn weight(&self) -> usize {
        let goaways = self.goaways.iter().map(|goaway| {
            size_of::<Goaway>()
                + goaway.moment.open.len() * size_of::<OpenStream>()
                + goaway.debug.len()
        });
        let texts = self.findings.iter().map(|finding| finding.text.len());
        let requests = self.resets.iter().filter_map(|reset| reset.request.as_ref());
        self.resets.capacity() * size_of::<Reset>()
            + requests.map(String::len).sum::<usize>()
            + self.late.capacity() * size_of::<Late>()
            + self.pings.capacity() * size_of::<Ping>()
            + goaways.sum::<usize>()
            + self.findings.capacity() * size_of::<Finding>()
            + texts.sum::<usize>()
            + self.losses.capacity() * size_of::<Loss>()
            + self.open.capacity() * size_of::<OpenStream>()
            + self.troubled.capacity() * size_of::<Troubled>()
            + self.rows.capacity() * size_of::<StreamRow>()
    }
}

/// A server that stood still sends what it had ready within this time.
const WAKING: Duration = Duration::from_millis(50);

/// Fewer answers do not show how quick a server is.
const QUICK_ANSWERS: u64 = 5;

/// A server that stood still answers first what has waited for so long.
const WAITED: Duration = Duration::from_millis(300);

/// Fewer requests given up show no server that stood still.
const GIVEN_UP: usize = 2;

/// Lengths of deadlines that ran out which are told apart.
const EXPIRED_KEPT: usize = 8;
