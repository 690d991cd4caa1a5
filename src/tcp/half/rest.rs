//! A half of which nothing waits, in few octets.

use super::recent::Recent;
use super::{Fin, HalfFlow};
use crate::vocab::pack::packs;

packs!(struct HalfFlow {
    next_seq, supposed, spoke, next, acknowledged, fin, doubted_fin, fin_delivered, recent, overdue,
    totals, on_way, stalled; resting early, early_bytes
});

packs!(struct Fin { offset, stamp, seen, highest, proves });
packs!(struct Recent { octets, end });
