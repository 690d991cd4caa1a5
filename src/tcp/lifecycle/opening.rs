//! The first segments of a half whose SYN was not captured, though that of the other half was: they
//! may be out of order, and what lies before the first one handed up is lost. They wait until the
//! other half tells where they begin.

use crate::vocab::address::{FlowKey, Half};
use crate::vocab::flow::{FlowId, FlowItem};
use crate::vocab::segment::{Segment, Seq, TcpFlags};
use crate::vocab::time::Stamp;

use super::{Flow, NEAR};

/// Segments that wait: what comes out of order is hardly further away.
const OPENING: usize = 8;

/// A segment that waits.
pub(super) struct Waiting {
    by: Half,
    stamp: Stamp,
    seq: Seq,
    ack: Seq,
    flags: TcpFlags,
    window: u16,
    payload: Box<[u8]>,
    cut: u32,
}

impl Waiting {
    fn of(by: Half, segment: &Segment<'_>) -> Self {
        let Segment { stamp, seq, ack, flags, window, payload, cut, .. } = *segment;
        Self { by, stamp, seq, ack, flags, window, payload: payload.into(), cut }
    }

    fn segment(&self, key: FlowKey) -> Segment<'_> {
        let Self { by, stamp, seq, ack, flags, window, ref payload, cut } = *self;
        let (source, destination) = (key.sender(by), key.sender(by.other()));
        Segment { stamp, source, destination, seq, ack, flags, window, payload, cut }
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
        let unknown = !self.halves.half(half).is_started() && self.syn.half(half.other()).is_some();
        let fits = self.opening.len() < OPENING && segment.payload.len() <= room;
        let waits = plain && unknown && !self.ignored && fits;
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
        let answers = half != by && segment.flags.has(TcpFlags::ACK);
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

    /// Octets that wait.
    pub(super) fn opening_bytes(&self) -> usize {
        self.opening.iter().map(|waiting| waiting.payload.len()).sum()
    }

    /// Nobody wants the octets that wait: only their places count.
    pub(super) fn empty_opening(&mut self) {
        for waiting in &mut self.opening {
            waiting.cut = waiting.cut.saturating_add(waiting.payload.len() as u32);
            waiting.payload = Box::default();
        }
    }
}
