//! One direction of a flow: in order, early, late, overlapping, missing.
//!
//! Octets wait for earlier ones, and for octets of the other half that their packet acknowledges:
//! an answer that stands before its question in the file came after it all the same.

mod begin;
mod missing;
mod recent;
mod rest;

use std::collections::BTreeMap;

use crate::vocab::address::Half;
use crate::vocab::flow::{FlowId, FlowItem, HalfTotals, Stall};
use crate::vocab::segment::Seq;
use crate::vocab::time::Stamp;

use recent::Recent;

/// Octets that wait for earlier ones.
struct Early {
    stamp: Stamp,
    seen: u64,
    data: Box<[u8]>,
    /// Octets behind `data` that the snap length cut.
    cut: u32,
}

impl Early {
    fn length(&self) -> u64 {
        self.data.len() as u64 + u64::from(self.cut)
    }
}

/// Octets behind the last one seen that a sender may be ahead by: hardly any window is larger.
const WINDOW: u64 = 16 << 20;

/// The end of a half.
#[derive(Clone, Copy)]
struct Fin {
    /// Behind the last octet.
    offset: u64,
    stamp: Stamp,
    seen: u64,
    /// Offset behind the highest octet seen when it came.
    highest: u64,
    /// Octets before it are missing, and nothing that came behind it says that it is not real.
    proves: bool,
}

/// One direction of a flow.
#[derive(Default)]
pub(super) struct HalfFlow {
    /// Sequence number of `next`, once anything of this half is known.
    next_seq: Option<Seq>,
    /// Whether it begins where the first acknowledgement says, as far as is known.
    supposed: bool,
    /// Whether a packet of this half was captured.
    spoke: bool,
    /// Offset of the next octet to hand up.
    next: u64,
    /// First octet that the receiver has not acknowledged, as an offset.
    acknowledged: Option<u64>,
    fin: Option<Fin>,
    /// A FIN behind which its sender seemed to stand at an earlier octet.
    doubted_fin: Option<Fin>,
    fin_delivered: bool,
    /// The latest octets handed up, where they are remembered.
    recent: Option<Recent>,
    early: BTreeMap<u64, Early>,
    early_bytes: usize,
    /// Packets of the flow since the oldest missing octet was acknowledged.
    overdue: u32,
    totals: HalfTotals,
    /// Since when octets are on their way of which none was acknowledged.
    on_way: Option<Stamp>,
    /// They were sent again, and were not acknowledged yet.
    stalled: Option<Stall>,
}

/// Octets of one segment, placed in its half's byte stream.
#[derive(Clone, Copy)]
pub(super) struct Placed<'a> {
    pub stamp: Stamp,
    pub offset: u64,
    pub seen: u64,
    pub data: &'a [u8],
    pub cut: u32,
}

/// Who is told of what a half hands up.
pub(super) struct Outlet<'a, D: FnMut(FlowId, FlowItem<'_>)> {
    pub id: FlowId,
    pub half: Half,
    pub deliver: &'a mut D,
}

impl<D: FnMut(FlowId, FlowItem<'_>)> Outlet<'_, D> {
    fn bytes(&mut self, piece: Placed<'_>) {
        let Placed { stamp, offset, seen, data, .. } = piece;
        (self.deliver)(self.id, FlowItem::Bytes { stamp, half: self.half, offset, seen, data });
    }

    fn differs(&mut self, piece: Placed<'_>, octets: u64) {
        if octets > 0 {
            let Placed { stamp, offset, .. } = piece;
            (self.deliver)(self.id, FlowItem::Differs { stamp, half: self.half, offset, octets });
        }
    }

    fn gap(&mut self, stamp: Stamp, offset: u64, bytes: u64) {
        (self.deliver)(self.id, FlowItem::Gap { stamp, half: self.half, offset, bytes });
    }
}

impl HalfFlow {
    /// The first octet has sequence number `seq`.
    pub fn start(&mut self, seq: Seq) {
        self.next_seq = Some(seq);
    }

    pub fn is_started(&self) -> bool {
        self.next_seq.is_some()
    }

    /// Where a sequence number lies in this half's byte stream; `None` before the first octet, or
    /// before anything is known.
    pub fn offset_of(&self, seq: Seq) -> Option<u64> {
        let distance = i64::from(seq.ahead_of(self.next_seq?));
        self.next.checked_add_signed(distance)
    }

    /// Whether the octets of this half begin at `seq`, and were not given up one and all.
    pub fn begins_at(&self, seq: Seq) -> bool {
        self.offset_of(seq) == Some(0) && (self.next == 0 || self.totals.delivered > 0)
    }

    /// Signed distance of a sequence number from the next expected one.
    pub fn distance(&self, seq: Seq) -> Option<i32> {
        Some(seq.ahead_of(self.next_seq?))
    }

    /// How many octets before the first one known lies what is so far from the next expected one.
    pub fn before_first(&self, distance: i32) -> usize {
        (u64::from(distance.unsigned_abs()).saturating_sub(self.next)) as usize
    }

    /// Whether `seq` is where the receiver stands: behind the last octet (or the FIN) that it has,
    /// or, before anything of this half was seen, anywhere.
    pub fn is_expected(&self, seq: Seq) -> bool {
        let Some(offset) = self.offset_of(seq) else { return self.next_seq.is_none() };
        let fin = self.fin.map(|fin| fin.offset + 1);
        [Some(self.next), Some(self.highest()), self.acknowledged, fin].contains(&Some(offset))
    }

    /// Whether `seq` lies outside of any window that the receiver may have (RFC 9293 section 3.4).
    pub fn is_far(&self, seq: Seq) -> bool {
        self.next_seq.is_some_and(|next| u64::from(seq.ahead_of(next).unsigned_abs()) > WINDOW)
    }

    /// The receiver acknowledged everything before `offset`.
    pub fn acknowledge(&mut self, offset: u64, stamp: Stamp) {
        // An acknowledgement far ahead of anything seen is a stray or an attack.
        let highest = self.highest().saturating_add(1 << 30);
        if offset <= highest && self.acknowledged.is_none_or(|old| old < offset) {
            self.acknowledged = Some(offset);
            self.revive_fin();
            self.on_way = (offset < self.highest()).then_some(stamp);
            if let Some(stall) = self.stalled.take() {
                let stall = Stall { until: Some(stamp), ..stall };
                if self.totals.stall.is_none_or(|old| old.span() < stall.span()) {
                    self.totals.stall = Some(stall);
                }
            }
        }
    }

    /// Octets up to `end` were sent, from `offset` on: for the first time, or again.
    fn is_sent(&mut self, offset: u64, end: u64, stamp: Stamp) {
        let Some(acknowledged) = self.acknowledged.filter(|acked| *acked < end) else { return };
        let Some(from) = self.on_way else {
            self.on_way = Some(stamp);
            return;
        };
        if offset <= acknowledged && acknowledged < self.highest() {
            let stall =
                self.stalled.get_or_insert(Stall { from, again: 0, last: stamp, until: None });
            stall.again = stall.again.saturating_add(1);
            stall.last = stamp;
        }
    }

    /// First octet that the receiver has not acknowledged.
    pub fn acknowledged(&self) -> Option<u64> {
        self.acknowledged
    }

    /// Offset behind the highest octet seen.
    pub fn highest(&self) -> u64 {
        self.early
            .last_key_value()
            .map_or(self.next, |(offset, early)| offset + early.length())
            .max(self.next)
    }

    pub fn early_bytes(&self) -> usize {
        self.early_bytes
    }

    pub fn early_segments(&self) -> usize {
        self.early.len()
    }

    /// Its latest octets are to be remembered.
    pub fn remember(&mut self) {
        self.recent = Some(Recent::default());
    }

    /// A packet of this half was captured.
    pub fn speaks(&mut self) {
        self.spoke = true;
    }

    /// Whether any was.
    pub fn is_heard(&self) -> bool {
        self.spoke
    }

    /// How many octets of this half, its FIN among them, were told or given up. Of a half
    /// that was not captured nobody waits for any.
    pub fn known(&self) -> u64 {
        if !self.spoke {
            return u64::MAX;
        }
        self.next + u64::from(self.fin_delivered)
    }

    /// Places a segment's octets: what is in order is handed up, the rest waits. `known` is what
    /// the other half has [`HalfFlow::known`].
    pub fn push<D: FnMut(FlowId, FlowItem<'_>)>(
        &mut self,
        piece: Placed<'_>,
        known: u64,
        out: &mut Outlet<'_, D>,
    ) {
        let end = piece.offset + piece.data.len() as u64 + u64::from(piece.cut);
        self.supposed = false;
        self.is_sent(piece.offset, end, piece.stamp);
        if piece.offset < self.next {
            self.compare(piece, out);
        }
        if end <= self.next {
            self.totals.repeated += end - piece.offset;
            return;
        }
        let early = piece.offset > self.next;
        self.totals.early += u64::from(early);
        if early || !self.early.is_empty() || piece.seen > known {
            let known = self.totals.differing;
            self.keep(piece);
            out.differs(piece, self.totals.differing - known);
        } else {
            self.hand_up(self.trimmed(piece), out);
        }
        self.revive_fin();
    }

    /// Compares the octets of a piece that were handed up before with what is remembered.
    fn compare<D: FnMut(FlowId, FlowItem<'_>)>(
        &mut self,
        piece: Placed<'_>,
        out: &mut Outlet<'_, D>,
    ) {
        let Some(recent) = &self.recent else { return };
        // A keep-alive may carry one octet of garbage (RFC 9293 section 3.8.4).
        if piece.data.len() == 1 && piece.offset + 1 == self.next {
            return;
        }
        let octets = recent.differing(piece.offset, piece.data);
        self.totals.differing += octets;
        out.differs(piece, octets);
    }

    pub fn waits(&self) -> bool {
        !self.early.is_empty()
    }

    /// The packet of the first octets that wait, and whether they wait for nothing of the other
    /// half.
    pub fn first_waiting(&self, known: u64) -> Option<(Stamp, bool)> {
        let early = self.early.first_key_value()?.1;
        Some((early.stamp, early.seen <= known))
    }

    /// The packet of the octets that wait no longer.
    pub fn ready(&self, known: u64) -> Option<Stamp> {
        let (offset, early) = self.early.first_key_value()?;
        (*offset <= self.next && early.seen <= known).then_some(early.stamp)
    }

    /// How much of the other half the first octets that wait acknowledge, and their packet.
    pub fn wanted(&self) -> Option<(u64, Stamp)> {
        self.early.first_key_value().map(|(_, early)| (early.seen, early.stamp))
    }

    /// The sender has no more: its FIN lies at `offset`. A FIN ahead of every octet seen counts
    /// once the receiver has acknowledged that far, or if its sender says nothing more: anybody
    /// can send one.
    pub fn finish_at(&mut self, offset: u64, stamp: Stamp, seen: u64) {
        let highest = self.highest();
        if self.certain_fin().is_none_or(|fin| fin.offset > highest) {
            self.fin = Some(Fin { offset, stamp, seen, highest, proves: false });
        }
    }

    /// Where the stream ends, as far as that is certain.
    fn certain_fin(&self) -> Option<Fin> {
        let reached = self.highest().max(self.acknowledged.unwrap_or(0));
        // Octets went by it that it lay ahead of: it was not of this connection.
        let passed = |fin: &Fin| fin.highest < fin.offset && fin.offset < self.highest();
        self.fin.filter(|fin| fin.proves || fin.offset <= reached && !passed(fin))
    }

    /// The sender stands at `offset` and has no octets to send: behind a FIN it would stand behind
    /// that (RFC 9293 section 3.4).
    pub fn stands_at(&mut self, offset: u64) {
        let highest = self.highest();
        if self.fin.is_some_and(|fin| offset <= highest && highest < fin.offset && !fin.proves) {
            self.doubted_fin = self.fin.take();
        }
    }

    /// What seemed to stand before a FIN only came behind it: its receiver has that FIN, and all
    /// octets before it are there.
    fn revive_fin(&mut self) {
        let Some(fin) = self.doubted_fin else { return };
        let taken = self.acknowledged.is_some_and(|acknowledged| acknowledged > fin.offset);
        if taken && self.fin.is_none() && self.highest() == fin.offset {
            self.fin = self.doubted_fin.take();
        }
    }

    /// Nothing more comes: a FIN behind missing octets tells how many, unless its sender went on
    /// as if there were none, or it lies where no window reaches.
    fn believe_fin(&mut self) {
        let (highest, at_most) = (self.highest(), self.highest().saturating_add(WINDOW));
        if let Some(fin) = self.fin.as_mut().filter(|fin| fin.offset <= at_most) {
            fin.proves |= fin.highest == highest;
        }
    }

    /// The FIN's packet, once everything before it was handed up and until it was told.
    pub fn due_fin(&self, known: u64) -> Option<Stamp> {
        let fin = self.certain_fin()?;
        let is_due = !self.fin_delivered && self.next >= fin.offset && fin.seen <= known;
        is_due.then_some(fin.stamp)
    }

    /// Whether its FIN acknowledges that of the other half.
    pub fn finishes_behind(&self, other: &Self) -> bool {
        self.fin.zip(other.fin).is_some_and(|(own, first)| own.seen > first.offset)
    }

    /// The FIN's packet, when it is due; told once.
    pub fn take_fin(&mut self, known: u64) -> Option<Stamp> {
        let stamp = self.due_fin(known)?;
        self.fin_delivered = true;
        Some(stamp)
    }

    pub fn has_fin(&self) -> bool {
        self.fin.is_some()
    }

    pub fn fin_is_told(&self) -> bool {
        self.fin_delivered
    }

    /// Another packet of the flow went by. Returns whether octets that the receiver has (or that
    /// nobody acknowledges in this capture) have been missing for longer than `patience`.
    pub fn is_overdue(&mut self, patience: u32, acks_seen: bool) -> bool {
        let missing = match self.acknowledged {
            Some(acknowledged) => acknowledged.min(self.fin_offset()) > self.next,
            None => !acks_seen && !self.early.is_empty(),
        };
        if !missing {
            self.overdue = 0;
            return false;
        }
        self.overdue = self.overdue.saturating_add(1);
        self.overdue > patience
    }

    fn fin_offset(&self) -> u64 {
        self.certain_fin().map_or(u64::MAX, |fin| fin.offset)
    }

    /// Gives up on the octets missing before the next early ones, or up to what the receiver
    /// acknowledged where none are early. Returns whether any were missing.
    pub fn skip_gap<D: FnMut(FlowId, FlowItem<'_>)>(
        &mut self,
        stamp: Stamp,
        out: &mut Outlet<'_, D>,
    ) -> bool {
        let acknowledged = self.acknowledged.unwrap_or(0).min(self.fin_offset());
        self.skip_to(acknowledged, true, stamp, out)
    }

    /// What came from further away than any window reaches is of another connection.
    pub fn forget_far(&mut self) {
        let far = self.early.split_off(&(self.next.saturating_add(WINDOW)));
        self.early_bytes -= far.values().map(|early| early.data.len()).sum::<usize>();
        let highest = self.highest();
        let near = highest.saturating_add(WINDOW);
        self.acknowledged = self.acknowledged.map(|of| if of > near { highest } else { of });
        self.fin = self.fin.filter(|fin| fin.offset <= near);
    }

    /// Octets up to `offset` went by unread: nobody wants them.
    pub fn pass(&mut self, offset: u64) {
        if offset > self.next {
            self.advance(offset - self.next);
        }
    }

    /// Drops what waits: nobody wants it.
    pub fn clear(&mut self) {
        self.early = BTreeMap::new();
        self.early_bytes = 0;
        self.recent = None;
    }

    pub fn totals(&self) -> HalfTotals {
        let end = self.next.min(self.fin_offset());
        let unacknowledged = end.saturating_sub(self.acknowledged.unwrap_or(end));
        let stall = self.stalled.or(self.totals.stall);
        HalfTotals { unheard: !self.spoke, unacknowledged, stall, ..self.totals }
    }

    fn advance(&mut self, octets: u64) {
        self.supposed = false;
        self.next += octets;
        self.next_seq = self.next_seq.map(|seq| seq.plus(octets as u32));
    }

    /// The part of a piece at and behind the next expected octet.
    fn trimmed<'a>(&self, piece: Placed<'a>) -> Placed<'a> {
        let old = self.next.saturating_sub(piece.offset);
        let data = piece.data.get(old as usize..).unwrap_or_default();
        let cut_old = old.saturating_sub(piece.data.len() as u64) as u32;
        let cut = piece.cut.saturating_sub(cut_old);
        Placed { offset: piece.offset + old, data, cut, ..piece }
    }

    fn hand_up<D: FnMut(FlowId, FlowItem<'_>)>(
        &mut self,
        piece: Placed<'_>,
        out: &mut Outlet<'_, D>,
    ) {
        if !piece.data.is_empty() {
            self.refute_hidden_fin(piece.stamp, out);
            self.totals.delivered += piece.data.len() as u64;
            out.bytes(piece);
            if let Some(recent) = &mut self.recent {
                recent.add(piece.offset, piece.data);
            }
            self.advance(piece.data.len() as u64);
        }
        if piece.cut > 0 {
            self.lose(piece.stamp, u64::from(piece.cut), false, out);
        }
    }

    /// Hands up the first octets that wait, if they are next in order.
    pub fn release<D: FnMut(FlowId, FlowItem<'_>)>(&mut self, out: &mut Outlet<'_, D>) {
        let Some(entry) = self.early.first_entry().filter(|entry| *entry.key() <= self.next) else {
            return;
        };
        let offset = *entry.key();
        let early = entry.remove();
        self.early_bytes -= early.data.len();
        if offset + early.length() > self.next {
            let Early { stamp, seen, ref data, cut } = early;
            let piece = self.trimmed(Placed { stamp, offset, seen, data, cut });
            self.hand_up(piece, out);
        }
    }

    /// Keeps the octets of a piece that no earlier packet has brought: the first octet seen wins.
    fn keep(&mut self, piece: Placed<'_>) {
        let mut rest = self.trimmed(piece);
        while !rest.data.is_empty() || rest.cut > 0 {
            let length = rest.data.len() as u64 + u64::from(rest.cut);
            let end = rest.offset + length;
            let covering = self.early.range(..=rest.offset).next_back();
            let covered = covering
                .map_or(0, |(offset, early)| (offset + early.length()).saturating_sub(rest.offset));
            if covered > 0 {
                let overlap = covered.min(length);
                self.note_repeat(rest, overlap);
                rest = skip_front(rest, overlap);
                continue;
            }
            let until = self.early.range(rest.offset..end).next().map_or(end, |(next, _)| *next);
            let (front, back) = split_at(rest, until - rest.offset);
            self.early_bytes += front.data.len();
            let Placed { stamp, seen, data, cut, .. } = front;
            self.early.insert(front.offset, Early { stamp, seen, data: data.into(), cut });
            rest = back;
        }
    }

    /// Counts octets seen again, and how many of them differ from the first copy.
    fn note_repeat(&mut self, piece: Placed<'_>, overlap: u64) {
        self.totals.repeated += overlap;
        let Some((offset, early)) = self.early.range(..=piece.offset).next_back() else { return };
        let kept = early.data.get((piece.offset - offset) as usize..).unwrap_or_default();
        let differing = kept.iter().zip(piece.data).filter(|(old, new)| old != new).count();
        self.totals.differing += differing as u64;
    }
}

/// The piece without its first `octets`.
fn skip_front(piece: Placed<'_>, octets: u64) -> Placed<'_> {
    split_at(piece, octets).1
}

/// The piece in two, `octets` behind its beginning.
fn split_at(piece: Placed<'_>, octets: u64) -> (Placed<'_>, Placed<'_>) {
    let inside = (octets as usize).min(piece.data.len());
    let (front, back) = piece.data.split_at(inside);
    let cut_front = octets.saturating_sub(piece.data.len() as u64).min(u64::from(piece.cut)) as u32;
    let front = Placed { data: front, cut: cut_front, ..piece };
    let rest =
        Placed { offset: piece.offset + octets, data: back, cut: piece.cut - cut_front, ..piece };
    (front, rest)
}
