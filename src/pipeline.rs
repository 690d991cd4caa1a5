//! One shard of the house: the only place that names the rooms together.
//!
//! packet -> segment -> octets in order -> (TLS) -> HTTP/2 frames -> history -> verdicts in rows.
//! Drain rule: one packet goes through every room before the next one enters.

pub mod detail;
mod hops;
#[cfg(test)]
pub mod inject;
mod lane;
pub mod moving;
mod other;
mod roster;
pub mod rows;

use std::collections::BTreeSet;

pub use self::lane::OtherFlow;
use self::lane::{Keep, Lanes, Uses};
use self::roster::Roster;
use crate::guard::against_panics;
use crate::h2::Scratch;
pub use crate::packet::Decoder;
use crate::tcp::FlowTable;
use crate::tls::{KeyLog, Session};
use crate::track::history::History;
use crate::vocab::address::{Both, Endpoint, FlowKey};
use crate::vocab::fault::Fault;
use crate::vocab::flow::FlowId;
use crate::vocab::frame::Frame;
use crate::vocab::limits::{Hit, Limits};
use crate::vocab::packet::{Packet, Skip};
use crate::vocab::segment::Segment;
use crate::vocab::time::Timestamp;
use crate::vocab::tls::{KeyLines, KeyLogFacts, TlsFacts};

/// What comes out of a shard.
pub trait Sink {
    /// Whether its frames need the header fields that nobody looks at but a reader.
    const READS_FIELDS: bool = true;

    /// A flow whose first packet has come; its ends, the client's first where a SYN tells.
    fn opened(&mut self, flow: FlowId, ends: Both<Endpoint>) {
        let _ = (flow, ends);
    }

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

    /// A flow on which this program failed: nothing more comes of it.
    fn lost(&mut self, flow: FlowId) {
        let _ = flow;
    }
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
    /// What TCP is to be told, found while a packet was on its way.
    uses: Uses,
    /// The only pair of endpoints that is followed, where just one is.
    only: Option<FlowKey>,
}

impl Pipeline {
    /// A shard within `limits`. `secrets` are texts of TLS key logs, whole lines each;
    /// `keep_rows` keeps a row for each stream.
    pub fn new(limits: &Limits, secrets: &[KeyLines], keep_rows: bool) -> Self {
        let mut keys = KeyLog::within(limits);
        let mut faults = Vec::new();
        for text in secrets {
            let added = against_panics(|| keys.add_text(text));
            faults.extend(added.err().map(|place| Fault { flow: None, stamp: None, place }));
        }
        Self {
            packets: Decoder::new(limits),
            flows: FlowTable::new(limits.clone()),
            lanes: Lanes {
                limits: limits.clone(),
                by_flow: Roster::new(limits.awake),
                scratch: Scratch::default(),
                keys,
                waiting: BTreeSet::new(),
                given_up: 0,
                faults,
                faults_beyond: 0,
                keep: Keep { rows: keep_rows, ..Keep::default() },
                touched: None,
            },
            uses: Uses::default(),
            only: None,
        }
    }

    /// From now on follows this pair of endpoints alone.
    pub fn follow_only(&mut self, key: FlowKey) {
        self.only = Some(key);
    }

    /// From now on counts what metrics tell of connections.
    pub fn meter(&mut self) {
        self.lanes.keep.meters = true;
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
            if let Some(lane) = self.lanes.by_flow.get_mut(*id) {
                lane.touched = false;
            }
        }
        now
    }

    /// A flow as it stands; `None` where it is over.
    pub fn open(&mut self, id: FlowId) -> Option<Open<'_>> {
        let lane = self.lanes.by_flow.get_mut(id)?;
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
        take(&segment, &mut self.flows, &mut self.lanes, &mut self.uses, sink);
        Ok(())
    }

    /// Takes a segment that was decoded elsewhere through the other rooms.
    pub fn take(&mut self, segment: &Segment<'_>, sink: &mut impl Sink) {
        take(segment, &mut self.flows, &mut self.lanes, &mut self.uses, sink);
    }

    /// The capture is over.
    pub fn finish<S: Sink>(&mut self, sink: &mut S) {
        self.lanes.works_for::<S>();
        let (flows, lanes, uses) = (&mut self.flows, &mut self.lanes, &mut self.uses);
        // Where it fails on a flow, the others are still to be closed; that one is.
        while let Err(place) = against_panics(|| {
            flows.finish(&mut |id, item| lanes.take(id, &item, uses, sink));
        }) {
            if !lose(flows, lanes, None, place, sink) {
                break;
            }
        }
        *uses = Uses::default();
    }

    /// It is `now`, though no packet says so: what waits in vain goes on.
    pub fn tick<S: Sink>(&mut self, now: Timestamp, sink: &mut S) {
        self.lanes.works_for::<S>();
        let (flows, lanes, uses) = (&mut self.flows, &mut self.lanes, &mut self.uses);
        let ticks = || flows.tick(now, &mut |id, item| lanes.take(id, &item, uses, sink));
        if let Err(place) = against_panics(ticks) {
            lose(flows, lanes, None, place, sink);
        }
        uses.tell(flows);
    }

    /// Approximate octets that open flows take.
    pub fn weight(&self) -> usize {
        self.lanes.by_flow.briefs().map(|(.., weight)| weight).sum()
    }

    /// Lets the quietest flows go until the others take at most `most` octets.
    pub fn shed<S: Sink>(&mut self, most: usize, sink: &mut S) {
        self.lanes.works_for::<S>();
        let lanes = self.lanes.by_flow.briefs();
        let mut quiet: Vec<(i64, usize, FlowKey)> =
            lanes.map(|(key, last, weight)| (last.at.0, weight, key)).collect();
        let mut weight: usize = quiet.iter().map(|(_, weight, _)| weight).sum();
        quiet.sort_unstable_by_key(|(last, ..)| *last);
        for (_, of_this, key) in quiet {
            if weight > most {
                weight = weight.saturating_sub(of_this);
                let (flows, lanes, uses) = (&mut self.flows, &mut self.lanes, &mut self.uses);
                let evicts = || flows.evict(key, &mut |id, item| lanes.take(id, &item, uses, sink));
                if let Err(place) = against_panics(evicts) {
                    lose(flows, lanes, None, place, sink);
                }
            }
        }
    }

    /// Tells that [`Pipeline::add_secrets`] may come: encrypted records are kept for a while.
    pub fn expect_secrets(&mut self) {
        self.lanes.keys.set_growing(true);
    }

    /// Takes further lines of TLS key logs, and opens what has waited for them. Best called before
    /// the packets captured since: what waits is given up when its connection ends.
    pub fn add_secrets<S: Sink>(&mut self, text: &[u8], sink: &mut S) {
        self.lanes.works_for::<S>();
        if let Err(place) = against_panics(|| self.lanes.keys.add_text(text)) {
            self.lanes.left_out(None, None, place, sink);
        }
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

    /// Lets go of a flow that this program failed to tell of.
    pub fn lose(&mut self, id: FlowId, place: String, sink: &mut impl Sink) {
        let stamp = self.lanes.by_flow.last(id).unwrap_or_default();
        if let Some(key) = self.lanes.lose(id, None, stamp, place, sink) {
            self.flows.ignore(key);
        }
    }

    /// Notes, once, a place where this program failed on what connections say of each other.
    pub fn failed_at(&mut self, place: String, sink: &mut impl Sink) {
        let known = |fault: &Fault| fault.flow.is_none() && fault.place == place;
        if !self.lanes.faults.iter().any(known) {
            self.lanes.left_out(None, None, place, sink);
        }
    }

    /// Fragments that became part of whole datagrams: they are no loss.
    pub fn joined_fragments(&self) -> u64 {
        self.packets.joined_fragments()
    }

    /// What this program failed on, as much of it as is told.
    pub fn faults(&self) -> &[Fault] {
        &self.lanes.faults
    }

    /// Limits that were reached, beside those of a connection.
    pub fn limit_hits(&self) -> impl Iterator<Item = (Hit, u64)> {
        let hits = [
            (Hit::Flows, self.flows.evicted),
            (Hit::EarlyBytes, self.flows.early_limit_hits),
            (Hit::KeyLog, self.lanes.keys.facts().left_out),
            (Hit::TlsWaiting, self.lanes.given_up),
            (Hit::Faults, self.lanes.faults_beyond),
            (Hit::Fragments, self.packets.evicted_datagrams()),
        ];
        hits.into_iter().filter(|(_, count)| *count > 0)
    }
}

fn take<S: Sink>(
    segment: &Segment<'_>,
    flows: &mut FlowTable,
    lanes: &mut Lanes,
    uses: &mut Uses,
    sink: &mut S,
) {
    lanes.works_for::<S>();
    let works = || {
        #[cfg(test)]
        inject::at_segment(segment);
        flows.push(segment, &mut |id, item| lanes.take(id, &item, uses, sink));
    };
    if let Err(place) = against_panics(works) {
        lose(flows, lanes, Some(segment), place, sink);
    }
    uses.tell(flows);
}

/// Lets go of the flow that this program failed on below its octets, that of `segment` where it
/// was none other. False where there is none.
#[cold]
fn lose(
    flows: &mut FlowTable,
    lanes: &mut Lanes,
    segment: Option<&Segment<'_>>,
    place: String,
    sink: &mut impl Sink,
) -> bool {
    let key = segment.map(|segment| FlowKey::of(segment.source, segment.destination).0);
    let stamp = segment.map(|segment| segment.stamp);
    match flows.lose(key, stamp.unwrap_or_default()) {
        Some((key, id)) => {
            let last = lanes.by_flow.last(id);
            lanes.lose(id, Some(key), stamp.or(last).unwrap_or_default(), place, sink);
            true
        }
        None => {
            lanes.left_out(None, stamp, place, sink);
            false
        }
    }
}
