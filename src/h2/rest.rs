//! A reader of which nothing is on its way, in few octets.

use super::half::Notes;
use super::{Reader, State};
use crate::vocab::pack::{Pack, Packer, Unpacker, packs};

packs!(struct Reader {
    key, initiator, accepted, state, notes, torn, pushes, highest_stream; resting held
});

// Settings and losses are passed on with each item.
packs!(struct Notes { highest_stream, opened, pushes, longest; resting settings, lost });

impl Reader {
    /// Whether all that it remembers can be packed.
    pub fn may_rest(&self) -> bool {
        match &self.state {
            State::Open { halves, .. } => halves.first.may_rest() && halves.second.may_rest(),
            State::Detecting(_) | State::NotHttp2 => false,
        }
    }
}

/// None that detects.
impl Pack for State {
    fn pack(&self, to: &mut Packer) {
        let open = match self {
            Self::Open { client, halves } => Some((client, halves)),
            Self::Detecting(_) | Self::NotHttp2 => None,
        };
        to.octet(u8::from(open.is_some()));
        if let Some((client, halves)) = open {
            client.pack(to);
            halves.pack(to);
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        match from.octet() {
            0 => Self::NotHttp2,
            _ => Self::Open { client: Pack::unpack(from), halves: Pack::unpack(from) },
        }
    }
}
