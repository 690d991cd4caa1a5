//! One shard of the house: the only place that names the rooms together.
//!
//! packet -> segment -> octets in order -> (TLS) -> HTTP/2 frames -> history -> verdicts in rows.
//! Drain rule: one packet goes through every room before the next one enters.

pub mod detail;
pub mod moving;
mod other;
pub mod rows;

use rustc_hash::{FxHashMap, FxHashSet};
use zeroize::Zeroizing;

use crate::h2::{Interest, Reader, Scratch};
pub use crate::packet::Decoder;
use crate::tcp::FlowTable;
use crate::tls::{KeyLog, Kind, Session};
use crate::track::Tracker;
use crate::track::history::History;
use crate::vocab::address::{Both, Endpoint, FlowKey, Half};
use crate::vocab::flow::{Differing, FlowEnd, FlowId, FlowItem, FlowTotals, HalfNotes, Missing};
use crate::vocab::frame::{Frame, Signal};
use crate::vocab::limits::{Hit, Limits};
use crate::vocab::packet::{Packet, Skip};
use crate::vocab::segment::Segment;
use crate::vocab::time::{Stamp, Timestamp};
use crate::vocab::tls::{Alert, KeyLogFacts, TlsFacts, TlsSide};

/// First octets kept of a flow that is not HTTP/2, to tell what it is.
const FIRST_OCTETS: usize = 512;

/// Octets that TCP keeps of a flow, with its places in the tables.
const FLOW: usize = 1_024;

/// Octets that readers keep of a connection: mostly HPACK tables (RFC 7541 section 4.2: 4,096
/// octets each by default) and what surrounds them.
const LANE: usize = 12 * 1_024;

/// What comes out of a shard.
pub trait Sink {
    /// Whether its frames need the header fields that nobody looks at but a reader.
    const READS_FIELDS: bool = true;

    /// A frame, as soon as it is complete.
    fn frame(&mut self, flow: FlowId, frame: &Frame<'_>) {
        let _ = (flow, frame);
    }

    /// A connection that is over, with what is known of its TLS.
    fn connection(&mut self, history: History, tls: Option<TlsFacts>) {
        let _ = (history, tls);
    }

    /// A flow that is over and was not HTTP/2.
    fn other_flow(&mut self, flow: OtherFlow) {
        let _ = flow;
    }
}

/// A flow that did not become HTTP/2.
#[derive(Clone, Debug)]
pub struct OtherFlow {
    /// Its id.
    pub id: FlowId,
    /// Its endpoints.
    pub key: FlowKey,
    /// First and last packet.
    pub first: Stamp,
    /// Last packet.
    pub last: Stamp,
    /// Who sent the SYN, where it was captured.
    pub initiator: Option<Half>,
    /// The SYN,ACK.
    pub accepted: Option<Stamp>,
    /// First FIN of each half.
    pub fin: Both<Option<Stamp>>,
    /// RST of each half.
    pub rst: Both<Option<Stamp>>,
    /// Whether a RST answered the SYN.
    pub refused: bool,
    /// First octets of each half.
    pub first_octets: Both<Vec<u8>>,
    /// First packet with octets of each half.
    pub spoke: Both<Option<Stamp>>,
    /// Why no more comes.
    pub end: Option<FlowEnd>,
    /// What was counted.
    pub totals: FlowTotals,
    /// Octets that the capture lacks, and copies that differ.
    pub notes: Both<HalfNotes>,
    /// TLS, where there is any.
    pub tls: Option<TlsFacts>,
}

impl OtherFlow {
    fn new(id: FlowId, key: FlowKey, first: Stamp, initiator: Option<Half>) -> Self {
        Self {
            id,
            key,
            first,
            last: first,
            initiator,
            accepted: None,
            fin: Both::default(),
            rst: Both::default(),
            refused: false,
            first_octets: Both::default(),
            spoke: Both::default(),
            end: None,
            totals: FlowTotals::default(),
            notes: Both::default(),
            tls: None,
        }
    }

    /// Whoever accepted, or would have: the receiver of the SYN.
    pub fn server(&self) -> Option<Endpoint> {
        self.initiator.map(|half| self.key.sender(half.other()))
    }

    fn note(&mut self, item: &FlowItem<'_>) {
        match *item {
            FlowItem::Accepted { stamp, .. } => {
                self.accepted = Some(stamp);
                self.last = stamp;
            }
            FlowItem::Bytes { stamp, half, data, .. } => {
                self.last = stamp;
                self.spoke.half_mut(half).get_or_insert(stamp);
                let kept = self.first_octets.half_mut(half);
                let room = FIRST_OCTETS.saturating_sub(kept.len()).min(data.len());
                kept.extend_from_slice(data.get(..room).unwrap_or_default());
            }
            FlowItem::Fin { stamp, by } => {
                self.last = stamp;
                self.fin.half_mut(by).get_or_insert(stamp);
            }
            FlowItem::Rst { stamp, by, refused } => {
                self.last = stamp;
                self.rst.half_mut(by).get_or_insert(stamp);
                self.refused |= refused;
            }
            FlowItem::Closed { stamp, how, totals } => {
                self.last = stamp;
                self.end = Some(how);
                self.totals = totals;
            }
            FlowItem::Opened { .. } | FlowItem::Gap { .. } | FlowItem::Differs { .. } => {}
        }
    }
}

/// One flow on its way through the rooms.
struct Lane {
    key: FlowKey,
    /// TLS, until it is known that there is none.
    session: Option<Session>,
    reader: Reader,
    tracker: Option<Box<Tracker>>,
    /// What is known until HTTP/2 is.
    other: Option<Box<OtherFlow>>,
    /// Whether it waits in [`Lanes::touched`].
    touched: bool,
    /// The packet of each half's latest octets.
    latest: Both<Option<Stamp>>,
    /// What TCP lacks or has twice; hardly ever anything.
    notes: Option<Box<Both<HalfNotes>>>,
}

/// A flow that is still open.
pub enum Open<'a> {
    /// An HTTP/2 connection, its open requests, and what is known of its TLS.
    Connection(&'a History, u64, Option<TlsFacts>),
    /// A flow that is not HTTP/2 as far as can be seen.
    Other(&'a OtherFlow, Option<TlsFacts>),
}

/// One shard.
pub struct Pipeline {
    packets: Decoder,
    flows: FlowTable,
    lanes: Lanes,
    /// Flows whose octets are of no use, found while a packet was on its way.
    ignored: Vec<FlowKey>,
    /// The only pair of endpoints that is followed, where just one is.
    only: Option<FlowKey>,
}

struct Lanes {
    limits: Limits,
    by_flow: FxHashMap<FlowId, Lane>,
    scratch: Scratch,
    keys: KeyLog,
    /// Flows with records that wait for keys, while the key log grows.
    waiting: FxHashSet<FlowId>,
    keep_rows: bool,
    /// Flows on which something happened since they were last looked at, where that is asked for.
    touched: Option<Vec<FlowId>>,
}

impl Pipeline {
    /// A shard within `limits`. `secrets` are texts of TLS key logs, whole lines each;
    /// `keep_rows` keeps a row for each stream.
    pub fn new(limits: &Limits, secrets: &[Zeroizing<Vec<u8>>], keep_rows: bool) -> Self {
        let mut keys = KeyLog::within(limits);
        for text in secrets {
            keys.add_text(text);
        }
        Self {
            packets: Decoder::new(limits),
            flows: FlowTable::new(limits.clone()),
            lanes: Lanes {
                limits: limits.clone(),
                by_flow: FxHashMap::default(),
                scratch: Scratch::default(),
                keys,
                waiting: FxHashSet::default(),
                keep_rows,
                touched: None,
            },
            ignored: Vec::new(),
            only: None,
        }
    }

    /// Counts flow ids from `first` in steps of `step`, so that several shards share none.
    pub fn number_flows(&mut self, first: u64, step: u64) {
        self.flows.number(first, step);
    }

    /// From now on follows this pair of endpoints alone.
    pub fn follow_only(&mut self, key: FlowKey) {
        self.only = Some(key);
    }

    /// From now on notes on which flows something happens.
    pub fn note_touched(&mut self) {
        self.lanes.touched.get_or_insert_default();
    }

    /// Flows on which something happened since the last call, closed ones among them, at most
    /// `most`; the rest is for the next call.
    pub fn touched(&mut self, most: usize) -> Vec<FlowId> {
        let Some(all) = &mut self.lanes.touched else { return Vec::new() };
        let rest = all.split_off(most.min(all.len()));
        let now = std::mem::replace(all, rest);
        for id in &now {
            if let Some(lane) = self.lanes.by_flow.get_mut(id) {
                lane.touched = false;
            }
        }
        now
    }

    /// A flow as it stands; `None` where it is over.
    pub fn open(&self, id: FlowId) -> Option<Open<'_>> {
        let lane = self.lanes.by_flow.get(&id)?;
        let tls = lane.session.as_ref().and_then(Session::facts);
        Some(match (&lane.tracker, &lane.other) {
            (Some(tracker), _) => Open::Connection(tracker.history(), tracker.open_requests(), tls),
            (None, other) => Open::Other(other.as_deref()?, tls),
        })
    }

    /// Takes one packet through all rooms.
    ///
    /// # Errors
    /// Why the packet gave no TCP segment: a fact to count, not a failure.
    pub fn push(&mut self, packet: &Packet<'_>, sink: &mut impl Sink) -> Result<(), Skip> {
        let segment = self.packets.decode(packet)?;
        if self.only.is_some_and(|key| key != FlowKey::of(segment.source, segment.destination).0) {
            return Ok(());
        }
        take(&segment, &mut self.flows, &mut self.lanes, &mut self.ignored, sink);
        Ok(())
    }

    /// Takes a segment that was decoded elsewhere through the other rooms.
    pub fn take(&mut self, segment: &Segment<'_>, sink: &mut impl Sink) {
        take(segment, &mut self.flows, &mut self.lanes, &mut self.ignored, sink);
    }

    /// The capture is over.
    pub fn finish<S: Sink>(&mut self, sink: &mut S) {
        self.lanes.scratch.leaves_plain = !S::READS_FIELDS && !self.lanes.keep_rows;
        let (lanes, ignored) = (&mut self.lanes, &mut self.ignored);
        self.flows.finish(&mut |id, item| lanes.take(id, &item, ignored, sink));
        ignored.clear();
    }

    /// It is `now`, though no packet says so: what waits in vain goes on.
    pub fn tick<S: Sink>(&mut self, now: Timestamp, sink: &mut S) {
        self.lanes.scratch.leaves_plain = !S::READS_FIELDS && !self.lanes.keep_rows;
        let (lanes, ignored) = (&mut self.lanes, &mut self.ignored);
        self.flows.tick(now, &mut |id, item| lanes.take(id, &item, ignored, sink));
        for key in self.ignored.drain(..) {
            self.flows.ignore(key);
        }
    }

    /// Approximate octets that open flows take.
    pub fn weight(&self) -> usize {
        self.lanes.by_flow.values().map(Lane::weight).sum()
    }

    /// Lets the quietest flows go until the others take at most `most` octets.
    pub fn shed<S: Sink>(&mut self, most: usize, sink: &mut S) {
        self.lanes.scratch.leaves_plain = !S::READS_FIELDS && !self.lanes.keep_rows;
        let lanes = self.lanes.by_flow.values();
        let mut quiet: Vec<(i64, usize, FlowKey)> =
            lanes.map(|lane| (lane.last().at.0, lane.weight(), lane.key)).collect();
        let mut weight: usize = quiet.iter().map(|(_, weight, _)| weight).sum();
        quiet.sort_unstable_by_key(|(last, ..)| *last);
        for (_, of_this, key) in quiet {
            if weight > most {
                weight = weight.saturating_sub(of_this);
                let (lanes, ignored) = (&mut self.lanes, &mut self.ignored);
                self.flows.evict(key, &mut |id, item| lanes.take(id, &item, ignored, sink));
            }
        }
    }

    /// Tells that [`Pipeline::add_secrets`] may come: encrypted records are kept for a while.
    pub fn expect_secrets(&mut self) {
        self.lanes.keys.set_growing(true);
    }

    /// Takes further lines of TLS key logs, and opens what has waited for them. Best called before
    /// the packets captured since: what waits is given up when its connection ends.
    pub fn add_secrets(&mut self, text: &[u8], sink: &mut impl Sink) {
        self.lanes.keys.add_text(text);
        self.lanes.wake(sink);
    }

    /// What the key logs were worth so far; `None` where they have no line.
    pub fn key_log(&self) -> Option<KeyLogFacts> {
        Some(self.lanes.keys.facts()).filter(|facts| facts.lines > 0 || facts.left_out > 0)
    }

    /// Flows that were let go before their end because a limit was reached.
    pub fn evicted(&self) -> u64 {
        self.flows.evicted
    }

    /// Limits that were reached, beside those of a connection.
    pub fn limit_hits(&self) -> impl Iterator<Item = (Hit, u64)> {
        let hits = [
            (Hit::Flows, self.flows.evicted),
            (Hit::EarlyBytes, self.flows.early_limit_hits),
            (Hit::KeyLog, self.lanes.keys.facts().left_out),
        ];
        hits.into_iter().filter(|(_, count)| *count > 0)
    }
}

fn take<S: Sink>(
    segment: &Segment<'_>,
    flows: &mut FlowTable,
    lanes: &mut Lanes,
    ignored: &mut Vec<FlowKey>,
    sink: &mut S,
) {
    lanes.scratch.leaves_plain = !S::READS_FIELDS && !lanes.keep_rows;
    flows.push(segment, &mut |id, item| lanes.take(id, &item, ignored, sink));
    for key in ignored.drain(..) {
        flows.ignore(key);
    }
}

impl Lanes {
    fn take(
        &mut self,
        id: FlowId,
        item: &FlowItem<'_>,
        ignored: &mut Vec<FlowKey>,
        sink: &mut impl Sink,
    ) {
        if let FlowItem::Opened { stamp, key, initiator, .. } = *item {
            let other = OtherFlow::new(id, key, stamp, initiator);
            let reader = Reader::new(key, initiator);
            let other = Some(Box::new(other));
            let session = Some(Session::new());
            let lane = Lane {
                key,
                session,
                reader,
                tracker: None,
                other,
                latest: Both::default(),
                notes: None,
                touched: false,
            };
            self.by_flow.insert(id, lane);
        }
        let Some(lane) = self.by_flow.get_mut(&id) else { return };
        if let Some(touched) = &mut self.touched
            && !std::mem::replace(&mut lane.touched, true)
        {
            touched.push(id);
        }
        lane.note(item, &self.limits);
        let (limits, scratch, keys) = (&self.limits, &mut self.scratch, &self.keys);
        let interest = lane.open(id, item, keys, limits, scratch, self.keep_rows, sink);
        if keys.is_growing() && lane.session.as_ref().is_some_and(Session::is_waiting) {
            self.waiting.insert(id);
        }
        if interest == Interest::Drop && !matches!(item, FlowItem::Closed { .. }) {
            ignored.push(lane.key);
        }
        if matches!(item, FlowItem::Closed { .. })
            && let Some(lane) = self.by_flow.remove(&id)
        {
            self.waiting.remove(&id);
            let tls = lane.session.and_then(|session| session.facts());
            let notes = lane.notes.map(|notes| *notes).unwrap_or_default();
            match (lane.tracker, lane.other) {
                (Some(mut tracker), _) => {
                    tracker.noted(notes);
                    sink.connection(tracker.into_history(), tls);
                }
                (None, Some(other)) => sink.other_flow(OtherFlow { tls, notes, ..*other }),
                (None, None) => {}
            }
        }
    }
}

impl Lanes {
    /// Opens what has waited for keys that have come.
    fn wake(&mut self, sink: &mut impl Sink) {
        // By number, that is by time: the order of a hash table is nobody's.
        let mut waiting: Vec<FlowId> = self.waiting.drain().collect();
        waiting.sort_unstable();
        for id in waiting {
            let Some(lane) = self.by_flow.get_mut(&id) else { continue };
            let Some(mut session) = lane.session.take() else { continue };
            let (limits, scratch) = (&self.limits, &mut self.scratch);
            session.wake(&self.keys, &mut |plain| {
                lane.read(id, &plain, limits, scratch, self.keep_rows, sink);
            });
            if session.is_waiting() {
                self.waiting.insert(id);
            }
            lane.session = Some(session);
        }
    }
}

impl Lane {
    /// Notes what TCP itself tells, before anything is read.
    fn note(&mut self, item: &FlowItem<'_>, limits: &Limits) {
        if let Some(other) = &mut self.other {
            other.note(item);
        }
        match *item {
            FlowItem::Bytes { stamp, half, .. } => *self.latest.half_mut(half) = Some(stamp),
            FlowItem::Gap { stamp, half, offset, bytes } => {
                let notes = self.notes.get_or_insert_default().half_mut(half);
                if notes.missing.len() < limits.missing_places {
                    let after = *self.latest.half(half);
                    notes.missing.push(Missing { after, before: stamp, offset, octets: bytes });
                } else {
                    notes.missing_beyond.0 += 1;
                    notes.missing_beyond.1 += bytes;
                }
            }
            FlowItem::Differs { stamp, half, offset, octets } => {
                let notes = self.notes.get_or_insert_default().half_mut(half);
                if notes.differing.len() < limits.differing_copies {
                    notes.differing.push(Differing { stamp, offset, octets });
                }
            }
            _ => {}
        }
    }

    /// Last packet of its history.
    fn last(&self) -> Stamp {
        let other = self.other.as_ref().map(|other| other.last);
        self.tracker.as_ref().map(|tracker| tracker.history().last).or(other).unwrap_or_default()
    }

    /// Approximate octets in memory.
    fn weight(&self) -> usize {
        let tracker = self.tracker.as_ref().map_or(0, |tracker| LANE + tracker.weight());
        let other = self.other.as_ref().map_or(0, |other| {
            size_of::<OtherFlow>()
                + other.first_octets.first.len()
                + other.first_octets.second.len()
        });
        size_of::<Self>() + FLOW + tracker + other
    }

    /// Takes TLS off, where there is any, and reads what is behind it.
    #[allow(clippy::too_many_arguments)] // the shard's shared parts, one by one
    fn open(
        &mut self,
        id: FlowId,
        item: &FlowItem<'_>,
        keys: &KeyLog,
        limits: &Limits,
        scratch: &mut Scratch,
        keep_rows: bool,
        sink: &mut impl Sink,
    ) -> Interest {
        let Some(mut session) = self.session.take() else {
            return self.read(id, item, limits, scratch, keep_rows, sink);
        };
        let mut interest = Interest::Keep;
        let kind = session.push(item, keys, &mut |plain| {
            interest = self.read(id, &plain, limits, scratch, keep_rows, sink);
        });
        match kind {
            Kind::Plain => return interest,
            // The records go on telling of orderly ends, whatever is in them.
            Kind::Tls => interest = Interest::Keep,
            Kind::Undecided => {}
        }
        let closes = matches!(item, FlowItem::Closed { .. });
        if kind == Kind::Tls
            && closes
            && let Some(tracker) = &mut self.tracker
        {
            tracker.within_tls(session.facts().map(|facts| notices(&facts)).unwrap_or_default());
        }
        self.session = Some(session);
        interest
    }

    fn read(
        &mut self,
        id: FlowId,
        item: &FlowItem<'_>,
        limits: &Limits,
        scratch: &mut Scratch,
        keep_rows: bool,
        sink: &mut impl Sink,
    ) -> Interest {
        if let Some(tracker) = &mut self.tracker {
            // Octets are noted after they were read: a GOAWAY shows what came before it.
            if !is_read_first(item) {
                tracker.flow(item, limits);
            }
        }
        let (tracker, other, key) = (&mut self.tracker, &mut self.other, self.key);
        let interest = self.reader.push(item, limits, scratch, &mut |signal| {
            if let (Signal::Started { client, .. }, None) = (&signal, &*tracker)
                && let Some(known) = other.take()
            {
                let mut fresh = Tracker::new(id, key, *client, known.first, keep_rows);
                fresh.known_before(&known_items(&known), limits);
                *tracker = Some(Box::new(fresh));
            }
            if let Signal::Frame(frame) = &signal {
                sink.frame(id, frame);
            }
            if let Some(tracker) = tracker {
                tracker.apply(&signal, limits);
            }
        });
        if let Some(tracker) = &mut self.tracker
            && is_read_first(item)
        {
            tracker.flow(item, limits);
        }
        interest
    }
}

/// The close_notify of each side.
fn notices(facts: &TlsFacts) -> Both<Option<Stamp>> {
    let notice = |side: &TlsSide| {
        side.farewell.filter(|farewell| farewell.alert == Alert::CloseNotify).map(|f| f.stamp)
    };
    Both { first: notice(&facts.sides.first), second: notice(&facts.sides.second) }
}

/// Items whose octets, or last look at held octets, come before their own note.
fn is_read_first(item: &FlowItem<'_>) -> bool {
    matches!(item, FlowItem::Bytes { .. } | FlowItem::Gap { .. } | FlowItem::Closed { .. })
}

/// What happened on a flow before it was known to be HTTP/2.
fn known_items(known: &OtherFlow) -> Vec<FlowItem<'static>> {
    let opened = FlowItem::Opened {
        stamp: known.first,
        key: known.key,
        initiator: known.initiator,
        first: Half::A,
    };
    let mut items = vec![opened];
    let server = known.initiator.map_or(Half::B, Half::other);
    items.extend(known.accepted.map(|stamp| FlowItem::Accepted { stamp, by: server }));
    for half in [Half::A, Half::B] {
        items.extend(known.fin.half(half).map(|stamp| FlowItem::Fin { stamp, by: half }));
        let rst = known.rst.half(half);
        items.extend(rst.map(|stamp| FlowItem::Rst { stamp, by: half, refused: false }));
    }
    items
}
