//! A flow's life: SYN or joined midway, FIN, RST, the same ports used again.

mod opening;
mod rest;
mod reuse;

use crate::vocab::address::{Both, FlowKey, Half};
use crate::vocab::flow::{FlowEnd, FlowId, FlowItem, FlowTotals};
use crate::vocab::limits::Limits;
use crate::vocab::segment::{Segment, Seq, TcpFlags};
use crate::vocab::time::Stamp;

use super::half::{HalfFlow, Outlet, Placed};
use opening::Waiting;
use reuse::NewSyn;

/// Packets that may pass in a one-sided capture, where nobody acknowledges, before missing octets
/// count as lost.
const ONE_SIDED_PATIENCE: u32 = 512;

/// Octets that retransmissions and answers lie back at most.
const NEAR: i32 = 1 << 24;

/// One TCP connection.
pub(super) struct Flow {
    id: FlowId,
    key: FlowKey,
    halves: Both<HalfFlow>,
    syn: Both<Option<Seq>>,
    /// A SYN with another sequence number came while the flow was open.
    pending_syn: Option<NewSyn>,
    /// The latest segments that are far from this flow's octets, of one half.
    far: Vec<Waiting>,
    /// First segments of a half of which it is not known where it begins.
    opening: Vec<Waiting>,
    /// A RST that its receiver might not accept: it counts if nothing comes after it.
    pending_rst: Option<Abort>,
    /// Whether a half has ever acknowledged anything.
    acks_seen: Both<bool>,
    packets: u64,
    last: Stamp,
    closed: bool,
    ignored: bool,
    /// Whether its latest octets are remembered.
    remembers: bool,
    swept: bool,
    /// Whether somebody said that it is of use.
    welcome: bool,
}

/// A RST.
#[derive(Clone, Copy)]
struct Abort {
    by: Half,
    stamp: Stamp,
    seq: Seq,
    /// What it acknowledges; `None` where it is bare.
    ack: Option<Seq>,
}

impl Flow {
    /// A flow whose first packet is `segment`, sent by `half`.
    pub fn open(
        id: FlowId,
        key: FlowKey,
        half: Half,
        segment: &Segment<'_>,
        deliver: &mut impl FnMut(FlowId, FlowItem<'_>),
    ) -> Self {
        let syn = segment.flags.has(TcpFlags::SYN);
        let initiator = match (syn, segment.flags.has(TcpFlags::ACK)) {
            (true, false) => Some(half),
            (true, true) => Some(half.other()),
            _ => None,
        };
        deliver(id, FlowItem::Opened { stamp: segment.stamp, key, initiator, first: half });
        Self::blank(id, key, segment.stamp)
    }

    /// A flow whose SYN was taken for a stray while an older flow had the same ports.
    pub fn from_syn(
        id: FlowId,
        key: FlowKey,
        syn: NewSyn,
        deliver: &mut impl FnMut(FlowId, FlowItem<'_>),
    ) -> Self {
        let NewSyn { by, stamp, seq, ack } = syn;
        let initiator = Some(if ack.is_some() { by.other() } else { by });
        deliver(id, FlowItem::Opened { stamp, key, initiator, first: by });
        let mut flow = Self::blank(id, key, stamp);
        flow.packets = 1;
        *flow.syn.half_mut(by) = Some(seq);
        flow.halves.half_mut(by).start(seq.plus(1));
        if let Some(ack) = ack {
            flow.halves.half_mut(by.other()).start(ack);
            deliver(id, FlowItem::Accepted { stamp, by });
        }
        flow
    }

    /// A flow that is of no use any more.
    pub fn lost(id: FlowId, key: FlowKey, last: Stamp) -> Self {
        Self { ignored: true, ..Self::blank(id, key, last) }
    }

    fn blank(id: FlowId, key: FlowKey, last: Stamp) -> Self {
        Self {
            id,
            key,
            halves: Both::default(),
            syn: Both::default(),
            pending_syn: None,
            far: Vec::new(),
            opening: Vec::new(),
            pending_rst: None,
            acks_seen: Both::default(),
            packets: 0,
            last,
            closed: false,
            ignored: false,
            remembers: false,
            swept: false,
            welcome: false,
        }
    }

    pub fn id(&self) -> FlowId {
        self.id
    }

    pub fn key(&self) -> FlowKey {
        self.key
    }

    pub fn is_closed(&self) -> bool {
        self.closed
    }

    pub fn early_bytes(&self) -> usize {
        let early = self.halves.first.early_bytes() + self.halves.second.early_bytes();
        early + self.opening_bytes()
    }

    /// Whether packets came since the last call.
    pub fn mark_swept(&mut self) -> bool {
        !std::mem::replace(&mut self.swept, true)
    }

    pub fn is_welcome(&self) -> bool {
        self.welcome
    }

    /// It is of use; true where that is new.
    pub fn welcome(&mut self) -> bool {
        !std::mem::replace(&mut self.welcome, true)
    }

    pub fn take_pending_syn(&mut self) -> Option<NewSyn> {
        self.pending_syn.take()
    }

    /// Its latest octets are to be remembered, to compare copies with.
    pub fn remember(&mut self) {
        self.remembers = true;
        self.halves.first.remember();
        self.halves.second.remember();
    }

    /// Whether it remembered octets and needs not any more; told once.
    pub fn has_forgotten(&mut self) -> bool {
        (self.closed || self.ignored) && std::mem::take(&mut self.remembers)
    }

    /// Nobody wants the octets of this flow.
    pub fn ignore(&mut self) {
        self.ignored = true;
        self.empty_opening();
        for half in [&mut self.halves.first, &mut self.halves.second] {
            let highest = half.highest();
            half.clear();
            half.pass(highest);
        }
    }

    /// Takes one segment. Returns whether a limit forced a gap.
    pub fn push(
        &mut self,
        half: Half,
        segment: &Segment<'_>,
        limits: &Limits,
        room: usize,
        deliver: &mut impl FnMut(FlowId, FlowItem<'_>),
    ) -> bool {
        self.swept = false;
        if self.closed {
            return false;
        }
        if self.pending_syn.is_some_and(|syn| syn.stamp == segment.stamp) {
            return false; // the SYN that may begin a new connection says nothing about this one
        }
        self.last = segment.stamp;
        let own = limits.early_bytes_per_half.saturating_sub(self.opening_bytes());
        if self.waits_for_its_begin(half, segment, room.min(own)) {
            return false;
        }
        self.packets += 1;
        if !segment.flags.has(TcpFlags::SYN) {
            self.opens(half, segment, deliver);
        }
        if segment.flags.has(TcpFlags::SYN) {
            self.synchronize(half, segment, deliver);
        } else if !self.halves.half(half).is_started() {
            self.join(half, segment);
        }
        if segment.flags.has(TcpFlags::SYN) {
            self.opens(half, segment, deliver);
        }
        let is_rst = segment.flags.has(TcpFlags::RST);
        let distance = self.halves.half(half).distance(segment.seq);
        if !is_rst && !segment.flags.has(TcpFlags::SYN) && distance.is_some_and(is_far) {
            self.note_far(half, segment);
            return false; // what it acknowledges is not of this connection either
        }
        let seen = self.acknowledge(half, segment);
        if is_rst {
            self.reset(half, segment, deliver);
            return false;
        }
        self.halves.half_mut(half).speaks();
        let speaks = !segment.payload.is_empty() || segment.flags.has(TcpFlags::FIN);
        if speaks && self.pending_rst.is_some_and(|rst| !precedes(half, segment, rst)) {
            self.pending_rst = None; // it was not accepted
        }
        self.place(half, segment, seen, deliver);
        self.drain(deliver);
        let hit = self.skip_overdue(segment.stamp, limits, room, deliver);
        if let Some(abort) = self.pending_rst.filter(|abort| self.is_due(*abort)) {
            self.pending_rst = None;
            self.end_by_rst(abort, false, deliver);
            return hit;
        }
        self.tell_fins(deliver);
        hit
    }

    /// Whether something waits for packets that may never come on a quiet line.
    pub fn is_waiting(&self) -> bool {
        let fins = [&self.halves.first, &self.halves.second];
        let fin = fins.iter().any(|half| half.has_fin() && !half.fin_is_told());
        let opens = !self.opening.is_empty();
        !self.closed && (fin || opens || self.pending_rst.is_some() || self.early_bytes() > 0)
    }

    /// Waits no more: what did not come is missing, a RST that nothing followed was accepted.
    pub fn wait_no_more(&mut self, deliver: &mut impl FnMut(FlowId, FlowItem<'_>)) {
        if self.pending_rst.is_some() {
            self.close(FlowEnd::Ended, deliver);
            return;
        }
        self.settle(self.last, deliver);
        self.tell_fins(deliver);
    }

    /// Hands up what waits and closes.
    pub fn close(&mut self, how: FlowEnd, deliver: &mut impl FnMut(FlowId, FlowItem<'_>)) {
        if self.closed {
            return;
        }
        self.closed = true;
        self.settle(self.last, deliver);
        if let Some(Abort { by, stamp, seq, ack }) = self.pending_rst.take() {
            if !self.ignored {
                let mut out = Outlet { id: self.id, half: by, deliver };
                self.halves.half_mut(by).skip_to_abort(seq, stamp, &mut out);
            }
            deliver(self.id, FlowItem::Rst { stamp, by, refused: false, bare: ack.is_none() });
        }
        self.tell_closed(how, deliver);
    }

    fn synchronize(
        &mut self,
        half: Half,
        segment: &Segment<'_>,
        deliver: &mut impl FnMut(FlowId, FlowItem<'_>),
    ) {
        let accepts = segment.flags.has(TcpFlags::ACK);
        if self.halves.half(half).is_started() {
            // A retransmission, unless it comes behind packets that it began.
            let late = self.syn.half(half).is_none()
                && self.halves.half(half).begins_at(segment.seq.plus(1));
            if late {
                *self.syn.half_mut(half) = Some(segment.seq);
                let initiator = if accepts { half.other() } else { half };
                if self.syn.half(half.other()).is_none() {
                    deliver(self.id, FlowItem::Synchronized { stamp: segment.stamp, initiator });
                }
                if accepts {
                    deliver(self.id, FlowItem::Accepted { stamp: segment.stamp, by: half });
                }
            }
            return;
        }
        *self.syn.half_mut(half) = Some(segment.seq);
        self.halves.half_mut(half).start(segment.seq.plus(1));
        if accepts {
            deliver(self.id, FlowItem::Accepted { stamp: segment.stamp, by: half });
        }
    }

    /// First sight of a half whose SYN was not captured. What the other end has acknowledged is
    /// where its octets begin for us, so that segments captured out of order are not lost.
    fn join(&mut self, half: Half, segment: &Segment<'_>) {
        if segment.flags.has(TcpFlags::RST) && segment.payload.is_empty() {
            return;
        }
        self.halves.half_mut(half).start(segment.seq);
    }

    /// Notes what a segment acknowledges. Returns how much of the other half its sender has.
    fn acknowledge(&mut self, half: Half, segment: &Segment<'_>) -> u64 {
        let other = self.halves.half_mut(half.other());
        if segment.flags.has(TcpFlags::ACK) {
            if !other.is_started() && !segment.flags.has(TcpFlags::RST) {
                // A SYN acknowledges a SYN; anything else perhaps octets that come later.
                match segment.flags.has(TcpFlags::SYN) {
                    true => other.start(segment.ack),
                    false => other.suppose(segment.ack),
                }
            }
            *self.acks_seen.half_mut(half) = true;
            if let Some(offset) = other.offset_of(segment.ack) {
                other.acknowledge(offset, segment.stamp);
                return other.acknowledged().unwrap_or(0).min(offset);
            }
        }
        other.acknowledged().unwrap_or(0)
    }

    fn reset(
        &mut self,
        half: Half,
        segment: &Segment<'_>,
        deliver: &mut impl FnMut(FlowId, FlowItem<'_>),
    ) {
        // Before anything was accepted a RST is judged by what it acknowledges (RFC 9293
        // section 3.10.7.3).
        let syn = *self.syn.half(half.other());
        let refused = self.syn.half(half).is_none()
            && syn.is_some_and(|seq| segment.ack == seq.plus(1))
            && self.halves.first.highest() == 0
            && self.halves.second.highest() == 0;
        // A receiver takes a RST at exactly the octet it expects (RFC 5961 section 3); any other,
        // blind or behind octets that the capture lacks, shows by whether the flow goes on.
        if !refused && self.halves.half(half).is_far(segment.seq) {
            return;
        }
        let ack = Some(segment.ack).filter(|_| segment.flags.has(TcpFlags::ACK));
        let abort = Abort { by: half, stamp: segment.stamp, seq: segment.seq, ack };
        if !refused && !self.is_due(abort) {
            self.pending_rst = Some(abort);
            return;
        }
        self.end_by_rst(abort, refused, deliver);
    }

    /// Whether all is there that its sender had sent, and had received, before a RST. What it
    /// acknowledges may be captured behind it; of a FIN nobody waits for.
    fn is_due(&self, Abort { by, seq, ack, .. }: Abort) -> bool {
        let other = self.halves.half(by.other());
        let highest = other.highest() + 1;
        let early = ack.and_then(|ack| other.offset_of(ack)).is_some_and(|of| of > highest);
        self.halves.half(by).is_expected(seq) && !early
    }

    fn end_by_rst(
        &mut self,
        Abort { by, stamp, ack, .. }: Abort,
        refused: bool,
        deliver: &mut impl FnMut(FlowId, FlowItem<'_>),
    ) {
        self.settle(stamp, deliver);
        deliver(self.id, FlowItem::Rst { stamp, by, refused, bare: ack.is_none() });
        self.closed = true;
        self.tell_closed(FlowEnd::Ended, deliver);
    }

    fn place(
        &mut self,
        half: Half,
        segment: &Segment<'_>,
        seen: u64,
        deliver: &mut impl FnMut(FlowId, FlowItem<'_>),
    ) {
        let syn = segment.flags.has(TcpFlags::SYN);
        let first = if syn { segment.seq.plus(1) } else { segment.seq };
        let length = segment.payload.len() as u64 + u64::from(segment.cut);
        let known = self.halves.half(half.other()).known();
        let Some(distance) = self.halves.half(half).distance(first) else { return };
        if is_jump(distance) {
            self.note_far(half, segment);
        }
        let this = self.halves.half_mut(half);
        if is_far(distance) {
            return;
        }
        // Octets from before the first one we know: late duplicates, keep-alives (one octet
        // before the next expected, RFC 9293 section 3.8.4).
        let (offset, data, cut) = match this.offset_of(first) {
            Some(offset) => (offset, segment.payload, segment.cut),
            None => {
                let old = this.before_first(distance);
                let Some(rest) = segment.payload.get(old..) else { return };
                (0, rest, segment.cut)
            }
        };
        if segment.flags.has(TcpFlags::FIN) {
            this.finish_at(offset + data.len() as u64 + u64::from(cut), segment.stamp, seen);
        }
        if length == 0 || (data.is_empty() && cut == 0) {
            if length == 0 && !segment.flags.has(TcpFlags::FIN) {
                this.stands_at(offset);
            }
            return;
        }
        let stamp = segment.stamp;
        let piece = Placed { stamp, offset, seen, data, cut };
        if self.ignored {
            this.pass(offset + data.len() as u64 + u64::from(cut));
            return;
        }
        this.push(piece, known, &mut Outlet { id: self.id, half, deliver });
    }

    fn skip_overdue(
        &mut self,
        stamp: Stamp,
        limits: &Limits,
        room: usize,
        deliver: &mut impl FnMut(FlowId, FlowItem<'_>),
    ) -> bool {
        let mut hit = false;
        let waiting = self.early_bytes();
        for half in [Half::A, Half::B] {
            let acks_seen = *self.acks_seen.half(half.other());
            let this = self.halves.half_mut(half);
            let patience = if acks_seen { limits.gap_patience_packets } else { ONE_SIDED_PATIENCE };
            let full = this.early_bytes() > limits.early_bytes_per_half
                || this.early_segments() > limits.early_segments_per_half
                || (this.early_bytes() > 0 && waiting > room);
            hit |= full;
            if full || this.is_overdue(patience, acks_seen) {
                self.give_up(half, stamp, deliver);
                self.drain(deliver);
            }
        }
        hit
    }

    /// Hands up what waits for nothing any more: of both halves the earlier packet first.
    fn drain(&mut self, deliver: &mut impl FnMut(FlowId, FlowItem<'_>)) {
        while self.halves.first.waits() || self.halves.second.waits() {
            let known = [self.halves.second.known(), self.halves.first.known()];
            let [a, b] = [self.halves.first.ready(known[0]), self.halves.second.ready(known[1])];
            // A FIN stands among the octets of the other half as it was sent.
            let [fin_a, fin_b] =
                [self.halves.first.due_fin(known[0]), self.halves.second.due_fin(known[1])];
            let Some(half) = earlier(a.or(fin_a), b.or(fin_b)) else { return };
            match half {
                Half::A if a.is_none() => self.tell_fin(half, known[0], deliver),
                Half::B if b.is_none() => self.tell_fin(half, known[1], deliver),
                _ => self.halves.half_mut(half).release(&mut Outlet { id: self.id, half, deliver }),
            }
        }
    }

    /// Gives up on what a half waits for: octets of its own, or of the other one.
    fn give_up(
        &mut self,
        half: Half,
        stamp: Stamp,
        deliver: &mut impl FnMut(FlowId, FlowItem<'_>),
    ) {
        let id = self.id;
        let this = self.halves.half_mut(half);
        if this.skip_gap(stamp, &mut Outlet { id, half, deliver }) {
            return;
        }
        let Some((wanted, stamp)) = this.wanted() else { return };
        let mut out = Outlet { id, half: half.other(), deliver };
        if !self.halves.half_mut(half.other()).skip_to(wanted, false, stamp, &mut out) {
            // Each waits for the other, as only packets that contradict each other can.
            self.halves.half_mut(half).release(&mut Outlet { id, half, deliver });
        }
    }

    /// Nothing more comes: hands up everything that waits, and what ended tells it.
    fn settle(&mut self, stamp: Stamp, deliver: &mut impl FnMut(FlowId, FlowItem<'_>)) {
        self.release_opening(None, deliver);
        loop {
            self.drain(deliver);
            let a = self.halves.first.first_waiting(self.halves.second.known());
            let b = self.halves.second.first_waiting(self.halves.first.known());
            let alone = |of: Option<(Stamp, bool)>| of.filter(|of| of.1).map(|of| of.0);
            let any = || earlier(a.map(|of| of.0), b.map(|of| of.0));
            let Some(half) = earlier(alone(a), alone(b)).or_else(any) else { break };
            self.give_up(half, stamp, deliver);
        }
        for half in [Half::A, Half::B] {
            if !self.ignored {
                let mut out = Outlet { id: self.id, half, deliver };
                self.halves.half_mut(half).skip_tail(stamp, &mut out);
            }
        }
        let first = self.first_to_finish();
        for half in [first, first.other()] {
            self.tell_fin(half, u64::MAX, deliver);
        }
    }

    /// The half whose FIN came first: the other one acknowledges it, or else stands behind it.
    fn first_to_finish(&self) -> Half {
        let (a, b) = (&self.halves.first, &self.halves.second);
        match (a.finishes_behind(b), b.finishes_behind(a)) {
            (true, false) => Half::B,
            (false, true) => Half::A,
            _ => earlier(a.due_fin(u64::MAX), b.due_fin(u64::MAX)).unwrap_or(Half::A),
        }
    }

    fn tell_fins(&mut self, deliver: &mut impl FnMut(FlowId, FlowItem<'_>)) {
        if !self.halves.first.has_fin() && !self.halves.second.has_fin() {
            return;
        }
        let first = self.first_to_finish();
        for half in [first, first.other()] {
            let known = self.halves.half(half.other()).known();
            self.tell_fin(half, known, deliver);
        }
        if self.halves.first.fin_is_told() && self.halves.second.fin_is_told() {
            self.closed = true;
            self.tell_closed(FlowEnd::Ended, deliver);
        }
    }

    fn tell_fin(&mut self, half: Half, known: u64, deliver: &mut impl FnMut(FlowId, FlowItem<'_>)) {
        if let Some(stamp) = self.halves.half_mut(half).take_fin(known) {
            deliver(self.id, FlowItem::Fin { stamp, by: half });
        }
    }

    fn tell_closed(&mut self, how: FlowEnd, deliver: &mut impl FnMut(FlowId, FlowItem<'_>)) {
        let totals = FlowTotals {
            packets: self.packets,
            a: self.halves.first.totals(),
            b: self.halves.second.totals(),
        };
        deliver(self.id, FlowItem::Closed { stamp: self.last, how, totals });
        self.halves.first.clear();
        self.halves.second.clear();
    }
}

/// Nobody has a window of 1 GiB, or sends again what lies 16 MiB back: such a segment is not of
/// this connection.
fn is_far(distance: i32) -> bool {
    !(-NEAR..=1 << 30).contains(&distance)
}

/// So much is hardly ever missing at once: the other half tells whether it was, or whether the
/// ports are used again.
fn is_jump(distance: i32) -> bool {
    !(-NEAR..=NEAR).contains(&distance)
}

/// Whether the segment lies before the RST of its own half, or before what that acknowledges:
/// captured out of order.
fn precedes(half: Half, segment: &Segment<'_>, abort: Abort) -> bool {
    let end = if half == abort.by { Some(abort.seq) } else { abort.ack };
    end.is_some_and(|end| segment.seq.ahead_of(end) < 0)
}

/// The half whose packet is the earlier one.
fn earlier(a: Option<Stamp>, b: Option<Stamp>) -> Option<Half> {
    match (a, b) {
        (Some(a), Some(b)) if b.before(a) => Some(Half::B),
        (Some(_), _) => Some(Half::A),
        (None, Some(_)) => Some(Half::B),
        (None, None) => None,
    }
}
