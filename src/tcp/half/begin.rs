//! Where a half begins of which an acknowledgement was captured first.

use super::{HalfFlow, WINDOW};
use crate::vocab::segment::Seq;

impl HalfFlow {
    /// Octets before `seq` were acknowledged: it begins there, unless they are captured later.
    pub fn suppose(&mut self, seq: Seq) {
        self.start(seq);
        self.supposed = true;
    }

    /// Where it is supposed to begin.
    pub fn supposed_begin(&self) -> Option<Seq> {
        self.next_seq.filter(|_| self.supposed)
    }

    /// Whether so many octets at `seq` may lie before the supposed beginning. A keep-alive may
    /// carry one octet of garbage (RFC 9293 section 3.8.4).
    pub fn may_begin_with(&self, seq: Seq, octets: usize) -> bool {
        let before = self.supposed_begin().map_or(0, |begin| begin.ahead_of(seq));
        octets > 1 && before > 0 && before.unsigned_abs() < WINDOW as u32
    }

    /// It begins here, before the supposed beginning.
    pub fn begin_earlier(&mut self, seq: Seq) {
        let Some(begin) = self.supposed_begin() else { return };
        let octets = u64::from(begin.ahead_of(seq).max(0).unsigned_abs());
        self.next_seq = Some(seq);
        self.acknowledged = self.acknowledged.map(|offset| offset + octets);
        for fin in self.fin.iter_mut().chain(&mut self.doubted_fin) {
            fin.offset += octets;
            fin.highest += octets;
        }
    }
}
