//! A flow of which nothing waits, in few octets.

use super::reuse::NewSyn;
use super::{Abort, Flow};
use crate::tcp::slots::Brief;
use crate::vocab::pack::packs;

packs!(struct Flow {
    id, key, halves, syn, pending_syn, pending_rst, acks_seen, packets, last, closed, ignored,
    remembers, swept, welcome; resting far, opening
});

packs!(struct Abort { by, stamp, seq, ack });
packs!(struct NewSyn { by, stamp, seq, ack });

impl Flow {
    /// Whether all that it remembers can be packed.
    pub fn may_rest(&self) -> bool {
        let waits = self.early_bytes() > 0 || self.is_waiting();
        let early = [&self.halves.first, &self.halves.second].into_iter();
        !waits
            && early.map(|half| half.early_segments()).sum::<usize>() == 0
            && self.far.is_empty()
            && self.opening.is_empty()
    }

    /// What its table looks at.
    pub fn brief(&self) -> Brief {
        Brief {
            id: self.id,
            last: self.last,
            is_closed: self.closed,
            is_welcome: self.welcome,
            is_waiting: self.is_waiting(),
            remembers: self.remembers,
            is_swept: self.swept,
        }
    }
}
