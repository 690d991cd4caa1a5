//! A half of which nothing is on its way, in few octets.

use super::{Body, HalfReader, State};
use crate::vocab::pack::{Pack, Packer, Unpacker, packs};

/// Octets of an incomplete frame that may rest.
const CARRIED: usize = 1024;

packs!(struct HalfReader {
    by, state, carry, head_offset, hpack, unacknowledged, last_seen; resting block
});

packs!(struct Body { head, offset, left, keep, whole, untold });

impl HalfReader {
    /// Whether all that it remembers can be packed.
    pub fn may_rest(&self) -> bool {
        let searches = matches!(self.state, State::Searching(_));
        !searches && self.block.is_none() && self.carry.len() <= CARRIED
    }
}

/// None that searches.
impl Pack for State {
    fn pack(&self, to: &mut Packer) {
        match self {
            Self::Head => to.octet(0),
            Self::Preface(matched) => {
                to.octet(1);
                matched.pack(to);
            }
            Self::Body(body) => {
                to.octet(2);
                body.pack(to);
            }
            Self::Dead | Self::Searching(_) => to.octet(3),
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        match from.octet() {
            0 => Self::Head,
            1 => Self::Preface(Pack::unpack(from)),
            2 => Self::Body(Pack::unpack(from)),
            _ => Self::Dead,
        }
    }
}
