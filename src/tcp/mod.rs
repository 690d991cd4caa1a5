//! Room 3: segments become octets in order (RFC 9293).
//!
//! Takes [`Segment`]s, gives [`FlowItem`]s: each octet of a half exactly once, gaps as facts.
//! Never looks into the octets, never reads a clock: time is packet time.

mod half;
mod lifecycle;
mod slots;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::vocab::address::{FlowKey, Half};
use crate::vocab::flow::{FlowEnd, FlowId, FlowItem};
use crate::vocab::limits::Limits;
use crate::vocab::segment::Segment;
use crate::vocab::time::{Stamp, Timestamp};

use lifecycle::Flow;
use slots::{Brief, Slots};

/// How long a closed flow is remembered, so that its late retransmissions open no new one:
/// twice the usual TIME_WAIT of 60 s would outlive most port reuse.
const TOMBSTONE: Duration = Duration::from_secs(60);

/// How long a segment may be missing on a line that went quiet: senders repeat what was lost on
/// the way sooner, so that what is still missing was not captured.
const IN_VAIN: Duration = Duration::from_millis(700);

/// Every flow of one shard.
pub struct FlowTable {
    limits: Limits,
    /// Keyed hash: strangers choose the key.
    index: HashMap<FlowKey, usize, ahash::RandomState>,
    flows: Slots,
    /// Flows in rough order of their last packet, for eviction: (slot, id).
    queue: VecDeque<(usize, FlowId)>,
    /// The same of flows of which nobody has said that they are [of use](Self::welcome).
    strangers: VecDeque<(usize, FlowId)>,
    /// How many of those there are.
    strange: usize,
    /// The flow of the last packet: most packets come in runs.
    last: Option<(FlowKey, usize)>,
    early_bytes: usize,
    /// Flows that remember octets.
    remembering: usize,
    /// The flow that is worked on, where it is not that of a segment.
    at: Option<(FlowKey, FlowId)>,
    /// Flows dropped to stay within [`Limits::flows`].
    pub evicted: u64,
    /// Gaps declared because [`Limits::early_bytes`] or its kin was reached.
    pub early_limit_hits: u64,
}

impl FlowTable {
    /// An empty table.
    pub fn new(limits: Limits) -> Self {
        Self {
            flows: Slots::new(limits.awake),
            limits,
            index: HashMap::default(),
            queue: VecDeque::new(),
            strangers: VecDeque::new(),
            strange: 0,
            last: None,
            early_bytes: 0,
            remembering: 0,
            at: None,
            evicted: 0,
            early_limit_hits: 0,
        }
    }

    /// Takes one segment and hands up what it completes.
    pub fn push(&mut self, segment: &Segment<'_>, deliver: &mut impl FnMut(FlowId, FlowItem<'_>)) {
        let (key, half) = FlowKey::of(segment.source, segment.destination);
        let slot = match self.find(key) {
            Some(slot) => slot,
            None => self.open(key, half, segment, deliver),
        };
        let Some(flow) = self.flows.get(slot) else { return };
        let early_bytes = flow.early_bytes();
        if flow.is_reused_by(half, segment) {
            let (syn, far) = (flow.take_pending_syn(), flow.take_far(half, segment));
            self.early_bytes = self.early_bytes.saturating_sub(early_bytes);
            flow.close(FlowEnd::Reused, deliver);
            self.remembering -= usize::from(flow.has_forgotten());
            self.strange += usize::from(flow.is_welcome());
            let id = FlowId::begun_at(segment.stamp);
            let mut flow = match (syn, far.first()) {
                (Some(syn), _) => Flow::from_syn(id, key, syn, deliver),
                (None, Some(far)) => Flow::open(id, key, far.by, &far.segment(key), deliver),
                (None, None) => Flow::open(id, key, half, segment, deliver),
            };
            remember(&mut flow, &mut self.remembering, &self.limits);
            self.flows.replace(slot, flow);
            self.strangers.push_back((slot, id));
            for far in far.iter().filter(|_| syn.is_none()) {
                self.take(slot, far.by, &far.segment(key), deliver);
            }
        }
        self.take(slot, half, segment, deliver);
    }

    /// The flow of a slot takes a segment.
    fn take(
        &mut self,
        slot: usize,
        half: Half,
        segment: &Segment<'_>,
        deliver: &mut impl FnMut(FlowId, FlowItem<'_>),
    ) {
        let Some(flow) = self.flows.get(slot) else { return };
        let before = flow.early_bytes();
        let room = self.limits.early_bytes.saturating_sub(self.early_bytes);
        if flow.push(half, segment, &self.limits, room, deliver) {
            self.early_limit_hits += 1;
        }
        self.early_bytes = (self.early_bytes + flow.early_bytes()).saturating_sub(before);
        self.remembering -= usize::from(flow.has_forgotten());
        self.flows.settle(slot);
    }

    /// The payload of this flow is of no use: nothing of it is buffered or handed up any more,
    /// only its end.
    pub fn ignore(&mut self, key: FlowKey) {
        if let Some(slot) = self.find(key)
            && let Some(flow) = self.flows.get(slot)
        {
            self.early_bytes = self.early_bytes.saturating_sub(flow.early_bytes());
            flow.ignore();
            self.remembering -= usize::from(flow.has_forgotten());
        }
    }

    /// This flow is of use: it stays while others of which nobody said so go.
    pub fn welcome(&mut self, key: FlowKey) {
        if let Some(slot) = self.find(key)
            && let Some(flow) = self.flows.get(slot)
            && flow.welcome()
        {
            self.strange -= 1;
            self.queue.push_back((slot, flow.id()));
        }
    }

    /// The capture is over: everything that waits is handed up, every flow is closed, in order of
    /// first sight.
    pub fn finish(&mut self, deliver: &mut impl FnMut(FlowId, FlowItem<'_>)) {
        let mut open: Vec<(FlowId, usize)> =
            self.flows.briefs().map(|(place, brief)| (brief.id, place)).collect();
        open.sort_unstable();
        for (id, place) in open {
            let Some(mut flow) = self.flows.remove(place) else { continue };
            self.index.remove(&flow.key());
            self.at = Some((flow.key(), id));
            flow.close(FlowEnd::CaptureEnd, deliver);
        }
        (self.at, self.last) = (None, None);
    }

    /// It is `now`, though no packet says so: flows that wait in vain for one go on without it,
    /// and closed ones are forgotten in time.
    pub fn tick(&mut self, now: Timestamp, deliver: &mut impl FnMut(FlowId, FlowItem<'_>)) {
        let is_due = |brief: &Brief| {
            let quiet = now.since(brief.last.at);
            let forgotten = brief.is_closed && quiet >= TOMBSTONE;
            (forgotten || (quiet >= IN_VAIN && brief.is_waiting)).then_some(forgotten)
        };
        let due = self.flows.briefs().filter_map(|(slot, brief)| Some((slot, is_due(&brief)?)));
        for (slot, is_forgotten) in due.collect::<Vec<_>>() {
            if is_forgotten {
                self.release(slot, deliver);
            } else if let Some(flow) = self.flows.get(slot) {
                let before = flow.early_bytes();
                self.at = Some((flow.key(), flow.id()));
                flow.wait_no_more(deliver);
                self.at = None;
                self.early_bytes = (self.early_bytes + flow.early_bytes()).saturating_sub(before);
                self.remembering -= usize::from(flow.has_forgotten());
            }
        }
    }

    /// Lets a flow go to save memory.
    pub fn evict(&mut self, key: FlowKey, deliver: &mut impl FnMut(FlowId, FlowItem<'_>)) {
        if let Some(slot) = self.find(key) {
            self.release(slot, deliver);
        }
    }

    /// This program failed in the middle of its work: the flow that was worked on, or else that of
    /// `key`, is let go, and nothing more of it is handed up until its ports are used anew.
    pub fn lose(&mut self, key: Option<FlowKey>, stamp: Stamp) -> Option<(FlowKey, FlowId)> {
        let at = self.at.take();
        let key = at.map(|(key, _)| key).or(key)?;
        self.last = None;
        let slot = self.index.get(&key).copied();
        let known = slot.and_then(|slot| self.flows.brief(slot)).map(|brief| brief.id);
        let id = at.map(|(_, id)| id).or(known).unwrap_or(FlowId::begun_at(stamp));
        let lost = Flow::lost(id, key, stamp);
        let slot = match slot {
            Some(slot) => {
                self.flows.replace(slot, lost);
                slot
            }
            None => self.flows.insert(lost),
        };
        self.index.insert(key, slot);
        self.strangers.push_back((slot, id));
        // What was counted half is counted anew.
        self.strange = self.flows.briefs().filter(|(_, flow)| !flow.is_welcome).count();
        self.early_bytes = self.flows.early_bytes();
        self.remembering = self.flows.briefs().filter(|(_, flow)| flow.remembers).count();
        Some((key, id))
    }

    /// Forgets a flow; one that is open is closed for it.
    fn release(&mut self, slot: usize, deliver: &mut impl FnMut(FlowId, FlowItem<'_>)) {
        let Some(mut flow) = self.flows.remove(slot) else { return };
        self.index.remove(&flow.key());
        self.last = None;
        self.early_bytes = self.early_bytes.saturating_sub(flow.early_bytes());
        if !flow.is_closed() {
            self.at = Some((flow.key(), flow.id()));
            flow.close(FlowEnd::Evicted, deliver);
            self.at = None;
            self.evicted += 1;
        }
        self.remembering -= usize::from(flow.has_forgotten());
        self.strange -= usize::from(!flow.is_welcome());
    }

    fn find(&mut self, key: FlowKey) -> Option<usize> {
        if let Some((last, slot)) = self.last
            && last == key
        {
            return Some(slot);
        }
        let slot = self.index.get(&key).copied()?;
        self.last = Some((key, slot));
        Some(slot)
    }

    fn open(
        &mut self,
        key: FlowKey,
        half: Half,
        segment: &Segment<'_>,
        deliver: &mut impl FnMut(FlowId, FlowItem<'_>),
    ) -> usize {
        self.sweep(segment, deliver);
        let id = FlowId::begun_at(segment.stamp);
        let mut flow = Flow::open(id, key, half, segment, deliver);
        remember(&mut flow, &mut self.remembering, &self.limits);
        let slot = self.flows.insert(flow);
        self.index.insert(key, slot);
        self.strange += 1;
        self.strangers.push_back((slot, id));
        self.last = Some((key, slot));
        slot
    }

    /// Forgets closed flows whose time is over, and where the table is full the quietest flow:
    /// one that is of no known use, if there is any.
    fn sweep(&mut self, segment: &Segment<'_>, deliver: &mut impl FnMut(FlowId, FlowItem<'_>)) {
        let full = self.index.len() >= self.limits.flows;
        let crowded = self.strange >= self.limits.strangers || (full && self.strange > 0);
        for (of_strangers, must) in [(true, crowded), (false, full && !crowded)] {
            self.sweep_one(of_strangers, must, segment, deliver);
        }
    }

    /// Looks at a few flows a call, so that the cost is spread; where one `must` go, until one has
    /// gone.
    fn sweep_one(
        &mut self,
        of_strangers: bool,
        must: bool,
        segment: &Segment<'_>,
        deliver: &mut impl FnMut(FlowId, FlowItem<'_>),
    ) {
        let queue = if of_strangers { &self.strangers } else { &self.queue };
        let mut looks = if must { queue.len().min(64) } else { 2 };
        while looks > 0 {
            looks -= 1;
            let queue = if of_strangers { &mut self.strangers } else { &mut self.queue };
            let Some((slot, id)) = queue.pop_front() else { return };
            let Some(flow) = self.flows.brief(slot) else { continue };
            if flow.id != id || (of_strangers && flow.is_welcome) {
                continue; // whoever has the slot now has a place of its own in a queue
            }
            let quiet = segment.stamp.since(flow.last);
            let done = flow.is_closed && quiet >= TOMBSTONE;
            let seen_since = self.flows.mark_swept(slot);
            let queue = if of_strangers { &mut self.strangers } else { &mut self.queue };
            if !done && (!must || (seen_since && looks > 0)) {
                queue.push_back((slot, id));
                continue;
            }
            self.release(slot, deliver);
            if must {
                return;
            }
        }
    }
}

/// Its latest octets are remembered while not too many flows' are.
fn remember(flow: &mut Flow, remembering: &mut usize, limits: &Limits) {
    if *remembering < limits.remembered_flows {
        *remembering += 1;
        flow.remember();
    }
}

#[cfg(test)]
mod tests;
