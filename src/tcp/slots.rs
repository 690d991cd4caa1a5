//! The flows of a table in their places: the busy ones ready, the quiet ones packed.

use super::lifecycle::Flow;
use crate::vocab::flow::FlowId;
use crate::vocab::pack::{Pack, Packer, Unpacker};
use crate::vocab::time::Stamp;
use crate::vocab::turns::{Awake, Turn, Turns};

/// Flows by place.
pub(super) struct Slots {
    slots: Vec<Slot>,
    free: Vec<usize>,
    turns: Turns<(usize, FlowId)>,
    packer: Packer,
}

enum Slot {
    Free,
    Awake {
        flow: Box<Flow>,
        /// Whether it was worked on since its last turn.
        stirred: bool,
    },
    Resting {
        brief: Brief,
        packed: Box<[u8]>,
    },
}

/// What is known of a flow without a look into it.
#[derive(Clone, Copy)]
pub(super) struct Brief {
    pub id: FlowId,
    pub last: Stamp,
    pub is_closed: bool,
    pub is_welcome: bool,
    pub is_waiting: bool,
    pub remembers: bool,
    pub is_swept: bool,
}

impl Slots {
    /// At most about `awake` flows are ready.
    pub fn new(awake: usize) -> Self {
        let (slots, free) = (Vec::new(), Vec::new());
        Self { slots, free, turns: Turns::new(awake), packer: Packer::default() }
    }

    /// A flow, to work on it.
    #[inline]
    pub fn get(&mut self, place: usize) -> Option<&mut Flow> {
        if let Slot::Resting { .. } = self.slots.get(place)? {
            self.wake(place);
        }
        match self.slots.get_mut(place)? {
            Slot::Awake { flow, stirred } => {
                *stirred = true;
                Some(flow)
            }
            _ => None,
        }
    }

    pub fn brief(&self, place: usize) -> Option<Brief> {
        self.slots.get(place)?.brief()
    }

    /// Every flow with its place.
    pub fn briefs(&self) -> impl Iterator<Item = (usize, Brief)> {
        let briefs = self.slots.iter().map(Slot::brief).enumerate();
        briefs.filter_map(|(place, brief)| Some((place, brief?)))
    }

    /// Octets that wait for others.
    pub fn early_bytes(&self) -> usize {
        let early = self.slots.iter().map(|slot| match slot {
            Slot::Awake { flow, .. } => flow.early_bytes(),
            Slot::Free | Slot::Resting { .. } => 0,
        });
        early.sum()
    }

    /// Whether packets came to a flow since the last call.
    pub fn mark_swept(&mut self, place: usize) -> bool {
        match self.slots.get_mut(place) {
            Some(Slot::Awake { flow, .. }) => flow.mark_swept(),
            Some(Slot::Resting { brief, .. }) => !std::mem::replace(&mut brief.is_swept, true),
            Some(Slot::Free) | None => false,
        }
    }

    /// Adds a flow; gives its place.
    pub fn insert(&mut self, flow: Flow) -> usize {
        let place = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::Free);
            self.slots.len() - 1
        });
        self.replace(place, flow);
        place
    }

    /// Puts a flow where another one was.
    pub fn replace(&mut self, place: usize, flow: Flow) {
        self.awakes(place, flow.id(), Awake::New);
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = Slot::Awake { flow: Box::new(flow), stirred: false };
        }
    }

    /// Takes a flow out.
    pub fn remove(&mut self, place: usize) -> Option<Box<Flow>> {
        let slot = self.slots.get_mut(place)?;
        let flow = match std::mem::replace(slot, Slot::Free) {
            Slot::Free => return None,
            Slot::Awake { flow, .. } => flow,
            Slot::Resting { brief, packed } => Box::new(brief.open(&packed)),
        };
        self.free.push(place);
        Some(flow)
    }

    /// Where none is to stay awake, this one rests.
    pub fn settle(&mut self, place: usize) {
        if self.turns.has_no_room()
            && let Some(slot) = self.slots.get_mut(place)
        {
            slot.rest(&mut self.packer);
        }
    }

    fn wake(&mut self, place: usize) {
        let Some(Brief { id, .. }) = self.brief(place) else { return };
        self.awakes(place, id, Awake::Again);
        if let Some(slot) = self.slots.get_mut(place)
            && let Slot::Resting { brief, packed } = slot
        {
            *slot = Slot::Awake { flow: Box::new(brief.open(packed)), stirred: true };
        }
    }

    /// One more is awake: others may have to rest.
    fn awakes(&mut self, place: usize, id: FlowId, why: Awake) {
        let (slots, packer) = (&mut self.slots, &mut self.packer);
        self.turns.awakes((place, id), why, |(place, id)| match slots.get_mut(*place) {
            Some(Slot::Awake { flow, stirred }) if flow.id() == *id => {
                if std::mem::take(stirred) || !flow.may_rest() {
                    return Turn::Stays;
                }
                if let Some(slot) = slots.get_mut(*place) {
                    slot.rest(packer);
                }
                Turn::Left
            }
            _ => Turn::Left,
        });
    }
}

impl Slot {
    fn brief(&self) -> Option<Brief> {
        match self {
            Self::Free => None,
            Self::Awake { flow, .. } => Some(flow.brief()),
            Self::Resting { brief, .. } => Some(*brief),
        }
    }

    fn rest(&mut self, packer: &mut Packer) {
        if let Self::Awake { flow, .. } = self
            && flow.may_rest()
        {
            let packed = packer.write(|to| flow.pack(to));
            *self = Self::Resting { brief: flow.brief(), packed };
        }
    }
}

impl Brief {
    /// The flow that was packed.
    fn open(self, packed: &[u8]) -> Flow {
        let mut flow = Flow::unpack(&mut Unpacker::new(packed));
        if self.is_swept {
            flow.mark_swept();
        }
        flow
    }
}
