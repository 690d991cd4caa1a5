//! The first segments of a half whose SYN was not captured: they may be out of order, and what lies
//! before the first one handed up is lost. They wait until the other half tells where they begin,
//! or, where its acknowledgement of them was captured first, until no more of them come.

use crate::vocab::address::{FlowKey, Half};
use crate::vocab::flow::{FlowId, FlowItem};
use crate::vocab::segment::{Segment, Seq, TcpFlags};
use crate::vocab::time::Stamp;

use super::{Flow, NEAR};

/// Segments that wait: what comes out of order is hardly further away.
pub(super) const OPENING: usize = 8;

/// A segment that waits.
pub(in crate::tcp) struct Waiting {
    pub(in crate::tcp) by: Half,
    stamp: Stamp,
    seq: Seq,
    ack: Seq,
    flags: TcpFlags,
    window: u16,
    payload: Box<[u8]>,
    cut: u32,
}

impl Waiting {
    pub(super) fn of(by: Half, segment: &Segment<'_>) -> Self {
        let Segment { stamp, seq, ack, flags, window, payload, cut, .. } = *segment;
        Self { by, stamp, seq, ack, flags, window, payload: payload.into(), cut }
    }

    pub(in crate::tcp) fn segment(&self, key: FlowKey) -> Segment<'_> {
        let Self { by, stamp, seq, ack, flags, window, ref payload, cut } = *self;
        let (source, destination) = (key.sender(by), key.sender(by.other()));
        Segment { stamp, source, destination, seq, ack, flags, window, payload, cut }
    }

    /// The sequence number behind its octets.
    fn end(&self) -> Seq {
        self.seq.plus(self.payload.len() as u32).plus(self.cut)
    }

    /// Whether a segment of the other half answers this one.
    pub(super) fn is_answered_by(&self, half: Half, segment: &Segment<'_>) -> bool {
        half != self.by
            && segment.flags.has(TcpFlags::ACK)
            && segment.seq == self.ack
            && (0..NEAR).contains(&segment.ack.ahead_of(self.seq))
    }

    /// Whether a segment of the same half goes on where the octets of this one end.
    pub(super) fn continues_with(&self, half: Half, segment: &Segment<'_>) -> bool {
        half == self.by && !self.payload.is_empty() && segment.seq == self.end()
    }

    /// Whether a segment of the same half lies not far from this one.
    pub(super) fn is_near(&self, half: Half, segment: &Segment<'_>) -> bool {
        half == self.by && (-NEAR..NEAR).contains(&segment.seq.ahead_of(self.seq))
    }
}

impl Flow {
    /// Keeps a segment for later where it is not known whether its half begins with it.
    /// `room` is for octets that may still wait.
    pub(super) fn waits_for_its_begin(
        &mut self,
        half: Half,
        segment: &Segment<'_>,
        room: usize,
    ) -> bool {
        let plain = !segment.flags.has(TcpFlags::SYN) && !segment.flags.has(TcpFlags::RST);
        let this = self.halves.half(half);
        let unknown = !this.is_started() && self.syn.half(half.other()).is_some();
        let length = segment.payload.len() + segment.cut as usize;
        let before = this.may_begin_with(segment.seq, length);
        let of_one_half = self.opening.first().is_none_or(|first| first.by == half);
        let fits = self.opening.len() < OPENING && segment.payload.len() <= room && of_one_half;
        let waits = plain && (unknown || before) && !self.ignored && fits;
        if waits {
            self.opening.push(Waiting::of(half, segment));
        }
        waits
    }

    /// A segment of `half` tells where the other half begins, or that there is no more waiting.
    pub(super) fn opens(
        &mut self,
        half: Half,
        segment: &Segment<'_>,
        deliver: &mut impl FnMut(FlowId, FlowItem<'_>),
    ) {
        let Some(by) = self.opening.first().map(|waiting| waiting.by) else { return };
        let answers = half != by && segment.flags.has(TcpFlags::ACK) && self.opening_is_whole();
        if answers || half == by {
            let told = answers && !segment.flags.has(TcpFlags::RST);
            self.release_opening(told.then_some(segment.ack), deliver);
        }
    }

    /// Hands on what waits: it begins with the first of it, or where it was acknowledged before.
    pub(super) fn release_opening(
        &mut self,
        acknowledged: Option<Seq>,
        deliver: &mut impl FnMut(FlowId, FlowItem<'_>),
    ) {
        if let (Some(by), Some(begin)) = (self.opening.first(), self.earlier_begin()) {
            self.halves.half_mut(by.by).begin_earlier(begin);
        }
        let waiting = std::mem::take(&mut self.opening);
        let lowest = |a: Seq, b: Seq| if b.ahead_of(a) < 0 { b } else { a };
        let Some(first) = waiting.iter().map(|waiting| waiting.seq).reduce(lowest) else { return };
        let near = |ack: &Seq| (-NEAR..0).contains(&ack.ahead_of(first));
        let first = acknowledged.filter(near).unwrap_or(first);
        for waiting in &waiting {
            let segment = waiting.segment(self.key);
            if !self.halves.half(waiting.by).is_started() {
                self.halves.half_mut(waiting.by).start(first);
            }
            self.packets += 1;
            let seen = self.acknowledge(waiting.by, &segment);
            self.halves.half_mut(waiting.by).speaks();
            self.place(waiting.by, &segment, seen, deliver);
        }
        self.drain(deliver);
    }

    /// A half whose octets were acknowledged before they were captured begins with the first of
    /// those that reach up to there; what lies before a hole was sent again.
    fn earlier_begin(&self) -> Option<Seq> {
        let supposed = self.halves.half(self.opening.first()?.by).supposed_begin()?;
        let mut waiting: Vec<&Waiting> = self.opening.iter().collect();
        waiting.sort_by_key(|waiting| supposed.ahead_of(waiting.seq));
        let further = |begin: Seq, waiting: &Waiting| {
            let reaches = waiting.end().ahead_of(begin) >= 0 && begin.ahead_of(waiting.seq) > 0;
            if reaches { waiting.seq } else { begin }
        };
        Some(waiting.into_iter().fold(supposed, further))
    }

    /// Whether what waits has no hole, as far as is known.
    fn opening_is_whole(&self) -> bool {
        let Some(begin) = self.earlier_begin() else { return true };
        self.opening.iter().all(|waiting| waiting.seq.ahead_of(begin) >= 0)
    }

    /// Octets that wait.
    pub(super) fn opening_bytes(&self) -> usize {
        self.opening.iter().chain(&self.far).map(|waiting| waiting.payload.len()).sum()
    }

    /// Nobody wants the octets that wait: only their places count.
    pub(super) fn empty_opening(&mut self) {
        self.far.clear();
        for waiting in &mut self.opening {
            waiting.cut = waiting.cut.saturating_add(waiting.payload.len() as u32);
            waiting.payload = Box::default();
        }
    }
}
