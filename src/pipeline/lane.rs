//! One flow on its way through the rooms, and all flows of a shard.

use std::collections::BTreeSet;
use std::iter;

use super::Sink;
use super::roster::Roster;
use crate::guard::against_panics;
use crate::h2::{Interest, Reader, Scratch};
use crate::tcp::FlowTable;
use crate::tls::{KeyLog, Kind, Session};
use crate::track::Tracker;
use crate::vocab::address::{Both, Endpoint, FlowKey, Half};
use crate::vocab::fault::Fault;
use crate::vocab::flow::{Differing, FlowEnd, FlowId, FlowItem, FlowTotals, HalfNotes, Missing};
use crate::vocab::frame::Signal;
use crate::vocab::limits::Limits;
use crate::vocab::pack::packs;
use crate::vocab::time::Stamp;
use crate::vocab::tls::{Alert, TlsFacts, TlsSide};

/// First octets kept of a flow that is not HTTP/2, to tell what it is.
const FIRST_OCTETS: usize = 512;

/// Octets that TCP keeps of a flow, with its places in the tables.
const FLOW: usize = 1_024;

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
    /// First FIN and RST of each half, in their order: packet, sender, and whether it is a RST.
    pub ends: Vec<(Stamp, Half, bool)>,
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
    pub tls: Option<Box<TlsFacts>>,
}

impl OtherFlow {
    pub(super) fn new(id: FlowId, key: FlowKey, first: Stamp, initiator: Option<Half>) -> Self {
        Self {
            id,
            key,
            first,
            last: first,
            initiator,
            accepted: None,
            ends: Vec::new(),
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

    fn ended(&mut self, stamp: Stamp, by: Half, rst: bool) {
        if !self.ends.iter().any(|(_, half, is_rst)| (*half, *is_rst) == (by, rst)) {
            self.ends.push((stamp, by, rst));
        }
    }

    fn note(&mut self, item: &FlowItem<'_>) {
        match *item {
            FlowItem::Synchronized { stamp, initiator } => {
                self.initiator = Some(initiator);
                self.last = stamp;
            }
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
                self.ended(stamp, by, false);
            }
            FlowItem::Rst { stamp, by, refused, .. } => {
                self.last = stamp;
                self.ended(stamp, by, true);
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
pub(super) struct Lane {
    pub(super) key: FlowKey,
    /// TLS, until it is known that there is none.
    pub(super) session: Option<Session>,
    pub(super) reader: Reader,
    pub(super) tracker: Option<Box<Tracker>>,
    /// What is known until HTTP/2 is.
    pub(super) other: Option<Box<OtherFlow>>,
    /// Whether it waits in [`Lanes::touched`].
    pub(super) touched: bool,
    /// The packet of each half's latest octets.
    pub(super) latest: Both<Option<Stamp>>,
    /// What TCP lacks or has twice; hardly ever anything.
    pub(super) notes: Option<Box<Both<HalfNotes>>>,
}

/// What TCP is to know of flows.
#[derive(Default)]
pub(super) struct Uses {
    /// Their octets are of no use.
    none: Vec<FlowKey>,
    /// They have become HTTP/2.
    http2: Vec<FlowKey>,
}

impl Uses {
    /// Tells it, once.
    #[inline]
    pub(super) fn tell(&mut self, flows: &mut FlowTable) {
        if self.http2.is_empty() && self.none.is_empty() {
            return;
        }
        self.http2.drain(..).for_each(|key| flows.welcome(key));
        self.none.drain(..).for_each(|key| flows.ignore(key));
    }
}

/// What is kept of connections for those who ask for it.
#[derive(Clone, Copy, Default)]
pub(super) struct Keep {
    /// A row for each stream.
    pub(super) rows: bool,
    /// Counters for metrics.
    pub(super) meters: bool,
}

pub(super) struct Lanes {
    pub(super) limits: Limits,
    pub(super) by_flow: Roster,
    pub(super) scratch: Scratch,
    pub(super) keys: KeyLog,
    /// Flows with records that wait for keys, while the key log grows.
    pub(super) waiting: BTreeSet<FlowId>,
    /// Flows that waited for keys and were given up: [`Limits::tls_waiting_flows`].
    pub(super) given_up: u64,
    pub(super) keep: Keep,
    /// What this program failed on: as many as [`Limits::faults`].
    pub(super) faults: Vec<Fault>,
    pub(super) faults_beyond: u64,
    /// Flows on which something happened since they were last looked at, where that is asked for.
    pub(super) touched: Option<Vec<FlowId>>,
}

impl Lanes {
    /// Whoever takes what comes out decides which header fields are kept.
    #[inline]
    pub(super) fn works_for<S: Sink>(&mut self) {
        self.scratch.leaves_plain = !S::READS_FIELDS && !self.keep.rows;
    }

    pub(super) fn take(
        &mut self,
        id: FlowId,
        item: &FlowItem<'_>,
        uses: &mut Uses,
        sink: &mut impl Sink,
    ) {
        if let Err(place) = against_panics(|| self.work(id, item, uses, sink)) {
            uses.none.extend(self.lose(id, None, item.stamp(), place, sink));
        }
        if matches!(item, FlowItem::Closed { .. })
            && let Some(lane) = self.by_flow.remove(id)
        {
            self.waiting.remove(&id);
            let key = lane.key;
            if let Err(place) = against_panics(|| lane.end(sink)) {
                self.left_out(Some((id, key)), Some(item.stamp()), place, sink);
            }
        }
        self.give_up(sink);
    }

    /// Lets go of a flow on which this program failed; gives its endpoints, where nobody has
    /// `known` them.
    pub(super) fn lose(
        &mut self,
        id: FlowId,
        known: Option<FlowKey>,
        stamp: Stamp,
        place: String,
        sink: &mut impl Sink,
    ) -> Option<FlowKey> {
        let lane = self.by_flow.remove(id);
        self.waiting.remove(&id);
        // Whatever it shares with other flows begins anew.
        self.scratch.renew(lane.as_ref().map(|lane| &lane.reader));
        let key = known.or(lane.map(|lane| lane.key));
        self.left_out(key.map(|key| (id, key)), Some(stamp), place, sink);
        key
    }

    /// Tells of something that this program failed on.
    pub(super) fn left_out(
        &mut self,
        flow: Option<(FlowId, FlowKey)>,
        stamp: Option<Stamp>,
        place: String,
        sink: &mut impl Sink,
    ) {
        if let Some((id, _)) = flow {
            // One that fails at this, too, has nothing more to lose.
            let _ = against_panics(|| sink.lost(id));
        }
        match self.faults.len() < self.limits.faults {
            true => self.faults.push(Fault { flow, stamp, place }),
            false => self.faults_beyond += 1,
        }
    }

    fn work(&mut self, id: FlowId, item: &FlowItem<'_>, uses: &mut Uses, sink: &mut impl Sink) {
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
            let client = initiator.unwrap_or(Half::A);
            let ends = Both { first: key.sender(client), second: key.sender(client.other()) };
            sink.opened(id, ends);
        }
        let Some(lane) = self.by_flow.get_mut(id) else { return };
        if let Some(touched) = &mut self.touched
            && !std::mem::replace(&mut lane.touched, true)
        {
            touched.push(id);
        }
        lane.note(item, &self.limits);
        let (limits, scratch, keys) = (&self.limits, &mut self.scratch, &self.keys);
        let was_http2 = lane.tracker.is_some();
        let interest = lane.open(id, item, keys, limits, scratch, self.keep, sink);
        let (key, is_http2) = (lane.key, lane.tracker.is_some());
        if keys.is_growing() && lane.session.as_ref().is_some_and(Session::is_waiting) {
            self.waiting.insert(id);
        }
        if interest == Interest::Drop && !matches!(item, FlowItem::Closed { .. }) {
            uses.none.push(key);
        }
        let is_new = is_http2 && !was_http2;
        if is_new {
            uses.http2.push(key);
        }
        self.by_flow.settle(id, is_new);
    }

    /// Opens what has waited for keys that have come.
    pub(super) fn wake(&mut self, sink: &mut impl Sink) {
        // By number, that is by time.
        for id in std::mem::take(&mut self.waiting) {
            self.wake_guarded(id, false, sink);
        }
    }

    /// Where too many wait, those that have waited longest wait no more.
    fn give_up(&mut self, sink: &mut impl Sink) {
        while self.waiting.len() > self.limits.tls_waiting_flows
            && let Some(id) = self.waiting.pop_first()
        {
            self.given_up += 1;
            self.wake_guarded(id, true, sink);
        }
    }

    fn wake_guarded(&mut self, id: FlowId, last: bool, sink: &mut impl Sink) {
        let stamp = self.by_flow.last(id).unwrap_or_default();
        if let Err(place) = against_panics(|| self.wake_one(id, last, sink)) {
            self.lose(id, None, stamp, place, sink);
        }
    }

    /// Opens what a flow has waited for, as far as its keys are there. `last`: it waits no more.
    fn wake_one(&mut self, id: FlowId, last: bool, sink: &mut impl Sink) {
        let Some(lane) = self.by_flow.get_mut(id) else { return };
        let Some(mut session) = lane.session.take() else { return };
        let (limits, scratch) = (&self.limits, &mut self.scratch);
        session.wake(&self.keys, last, &mut |plain| {
            lane.read(id, &plain, limits, scratch, self.keep, sink);
        });
        if session.is_waiting() && !last {
            self.waiting.insert(id);
        }
        lane.session = Some(session);
    }
}

packs!(struct Lane {
    key, reader, tracker, latest, notes; resting session, other, touched
});

impl Lane {
    /// Whether all of it but its TLS can be packed.
    pub(super) fn may_rest(&self) -> bool {
        self.tracker.as_ref().is_some_and(|tracker| tracker.may_rest()) && self.reader.may_rest()
    }

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

    /// Nothing more comes: what was found goes to the sink.
    fn end(self, sink: &mut impl Sink) {
        let tls = self.session.and_then(|session| session.facts());
        let notes = self.notes.map(|notes| *notes).unwrap_or_default();
        match (self.tracker, self.other) {
            (Some(mut tracker), _) => {
                tracker.noted(notes);
                #[cfg(test)]
                super::inject::at_end(tracker.history());
                sink.connection(tracker.into_history(), tls);
            }
            (None, Some(other)) => {
                let tls = tls.map(Box::new);
                sink.other_flow(OtherFlow { tls, notes, ..*other });
            }
            (None, None) => {}
        }
    }

    /// Last packet of its history.
    pub(super) fn last(&self) -> Stamp {
        let other = self.other.as_ref().map(|other| other.last);
        self.tracker.as_ref().map(|tracker| tracker.history().last).or(other).unwrap_or_default()
    }

    /// Approximate octets in memory.
    pub(super) fn weight(&self) -> usize {
        let tracker = self.tracker.as_ref().map_or(0, |tracker| tracker.weight());
        let other = self.other.as_ref().map_or(0, |other| {
            size_of::<OtherFlow>()
                + other.first_octets.first.len()
                + other.first_octets.second.len()
        });
        let session = self.session.as_ref().map_or(0, Session::weight);
        size_of::<Self>() + FLOW + tracker + self.reader.weight() + other + session
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
        keep: Keep,
        sink: &mut impl Sink,
    ) -> Interest {
        let Some(mut session) = self.session.take() else {
            return self.read(id, item, limits, scratch, keep, sink);
        };
        let mut interest = Interest::Keep;
        let kind = session.push(item, keys, limits, &mut |plain| {
            interest = self.read(id, &plain, limits, scratch, keep, sink);
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
            let facts = session.facts().unwrap_or_default();
            tracker.within_tls(notices(&facts), sealed(&facts));
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
        keep: Keep,
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
                let mut fresh = Tracker::new(id, key, *client, known.first, keep.rows);
                if keep.meters {
                    fresh.meter();
                }
                known_items(&known).for_each(|item| fresh.flow(&item, limits));
                *tracker = Some(Box::new(fresh));
            }
            if let Signal::Frame(frame) = &signal {
                #[cfg(test)]
                super::inject::at_frame(frame);
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

/// Sides of which nothing could be decrypted.
fn sealed(facts: &TlsFacts) -> Both<bool> {
    let of = |side: &TlsSide, decrypted: bool| side.unread_records > 0 && !decrypted;
    Both {
        first: of(&facts.sides.first, facts.decrypted.first),
        second: of(&facts.sides.second, facts.decrypted.second),
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
fn known_items(known: &OtherFlow) -> impl Iterator<Item = FlowItem<'static>> {
    let opened = FlowItem::Opened {
        stamp: known.first,
        key: known.key,
        initiator: known.initiator,
        first: Half::A,
    };
    let server = known.initiator.map_or(Half::B, Half::other);
    let accepted = known.accepted.map(|stamp| FlowItem::Accepted { stamp, by: server });
    let ends = known.ends.iter().map(|(stamp, by, rst)| match *rst {
        true => FlowItem::Rst { stamp: *stamp, by: *by, refused: false, bare: false },
        false => FlowItem::Fin { stamp: *stamp, by: *by },
    });
    iter::once(opened).chain(accepted).chain(ends)
}
