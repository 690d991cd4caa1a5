//! Octets that are given up: gaps, and the FIN that only an acknowledgement shows.

use super::{HalfFlow, Outlet, WINDOW};
use crate::vocab::flow::{FlowId, FlowItem};
use crate::vocab::segment::Seq;
use crate::vocab::time::Stamp;

impl HalfFlow {
    /// Gives up on the octets missing before `target`, or before the next early ones.
    pub fn skip_to<D: FnMut(FlowId, FlowItem<'_>)>(
        &mut self,
        target: u64,
        past: bool,
        stamp: Stamp,
        out: &mut Outlet<'_, D>,
    ) -> bool {
        self.overdue = 0;
        let (target, stamp) = match self.early.first_key_value() {
            Some((offset, early)) if past || *offset < target => (*offset, early.stamp),
            Some((_, early)) => (target, early.stamp),
            None => (target, stamp),
        };
        let missing = target > self.next;
        if missing {
            self.lose(stamp, target - self.next, true, out);
        }
        missing
    }

    /// Gives up on what is missing at the end, to the FIN if there is one.
    pub fn skip_tail<D: FnMut(FlowId, FlowItem<'_>)>(
        &mut self,
        stamp: Stamp,
        out: &mut Outlet<'_, D>,
    ) {
        self.believe_fin();
        let fin = self.certain_fin();
        let target = fin.map_or(self.acknowledged.unwrap_or(0), |fin| fin.offset);
        let stamp = fin.map_or(stamp, |fin| fin.stamp);
        if target > self.next {
            self.lose(stamp, target - self.next, true, out);
        }
    }

    /// The sender aborted at `seq`: octets before it that were not seen are missing.
    pub fn skip_to_abort<D: FnMut(FlowId, FlowItem<'_>)>(
        &mut self,
        seq: Seq,
        stamp: Stamp,
        out: &mut Outlet<'_, D>,
    ) {
        let Some(offset) = self.offset_of(seq) else { return };
        // Behind a FIN the sender stands one further.
        let known = self.fin.map_or(self.next, |fin| self.next.max(fin.offset + 1));
        if offset > known && offset <= self.next.saturating_add(WINDOW) {
            self.lose(stamp, offset - self.next, true, out);
        }
    }

    pub(super) fn lose<D: FnMut(FlowId, FlowItem<'_>)>(
        &mut self,
        stamp: Stamp,
        bytes: u64,
        is_tail: bool,
        out: &mut Outlet<'_, D>,
    ) {
        // The one octet acknowledged at the very end is a FIN that was not captured, not data.
        let is_fin = bytes == 1 && self.early.is_empty() && self.fin.is_none() && is_tail;
        self.refute_hidden_fin(stamp, out);
        self.totals.hidden_fin |= is_fin;
        if !is_fin {
            self.totals.lost += bytes;
            self.totals.gaps += 1;
            out.gap(stamp, self.next, bytes);
        }
        self.advance(bytes);
    }

    /// More comes behind what was taken for a FIN: it was an octet.
    pub(super) fn refute_hidden_fin<D: FnMut(FlowId, FlowItem<'_>)>(
        &mut self,
        stamp: Stamp,
        out: &mut Outlet<'_, D>,
    ) {
        if std::mem::take(&mut self.totals.hidden_fin) {
            self.totals.lost += 1;
            self.totals.gaps += 1;
            out.gap(stamp, self.next.saturating_sub(1), 1);
        }
    }
}
