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
        let halves = [&self.halves.first, &self.halves.second];
        halves.iter().all(|half| half.early_segments() == 0)
            && self.far.is_empty()
            && self.opening.is_empty()
            && !self.is_waiting()
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
