//! The lanes of a shard: the busy ones ready, the quiet ones packed.

use rustc_hash::FxHashMap;

use super::lane::Lane;
use crate::tls::Session;
use crate::vocab::address::FlowKey;
use crate::vocab::flow::FlowId;
use crate::vocab::pack::{Pack, Packer, Unpacker};
use crate::vocab::time::Stamp;
use crate::vocab::turns::{Awake, Turn, Turns};

/// Lanes by flow.
pub(super) struct Roster {
    lanes: FxHashMap<FlowId, Place>,
    /// Those that have become HTTP/2: others are soon known or gone.
    turns: Turns<FlowId>,
    /// Those that are awake again, and not among them yet.
    woken: Vec<FlowId>,
    packer: Packer,
}

enum Place {
    Awake {
        lane: Box<Lane>,
        /// Whether it was worked on since its last turn.
        stirred: bool,
    },
    Resting {
        packed: Box<[u8]>,
        /// Keys stay where they are.
        session: Option<Session>,
        touched: bool,
    },
}

impl Roster {
    /// At most about `awake` lanes are ready.
    pub fn new(awake: usize) -> Self {
        Self {
            lanes: FxHashMap::default(),
            turns: Turns::new(awake),
            woken: Vec::new(),
            packer: Packer::default(),
        }
    }

    /// A lane, to work on it.
    pub fn get_mut(&mut self, id: FlowId) -> Option<&mut Lane> {
        let place = self.lanes.get_mut(&id)?;
        if place.wake() {
            self.woken.push(id);
        }
        match place {
            Place::Awake { lane, stirred } => {
                *stirred = true;
                Some(lane)
            }
            Place::Resting { .. } => None,
        }
    }

    pub fn insert(&mut self, id: FlowId, lane: Lane) {
        self.lanes.insert(id, Place::Awake { lane: Box::new(lane), stirred: true });
    }

    pub fn remove(&mut self, id: FlowId) -> Option<Box<Lane>> {
        self.lanes.remove(&id)?.into_lane()
    }

    /// Last packet of a lane's history.
    pub fn last(&self, id: FlowId) -> Option<Stamp> {
        self.lanes.get(&id).map(|place| place.brief().1)
    }

    /// Endpoints, last packet and approximate octets in memory of each lane.
    pub fn briefs(&self) -> impl Iterator<Item = (FlowKey, Stamp, usize)> {
        self.lanes.values().map(Place::brief)
    }

    /// Nothing more happens on this lane with what is at hand, by which it is known to be HTTP/2
    /// where it `is_new`.
    pub fn settle(&mut self, id: FlowId, is_new: bool) {
        while let Some(woken) = self.woken.pop() {
            self.awakes(woken, Awake::Again);
        }
        if is_new {
            self.awakes(id, Awake::New);
        }
        if self.turns.has_no_room()
            && let Some(place) = self.lanes.get_mut(&id)
        {
            place.rest(&mut self.packer);
        }
    }

    /// One more is awake: others may have to rest.
    fn awakes(&mut self, id: FlowId, why: Awake) {
        let (lanes, packer) = (&mut self.lanes, &mut self.packer);
        self.turns.awakes(id, why, |id| match lanes.get_mut(id) {
            Some(Place::Awake { stirred: stirred @ true, .. }) => {
                *stirred = false;
                Turn::Stays
            }
            Some(place) => match place.rest(packer) {
                true => Turn::Left,
                false => Turn::Stays,
            },
            None => Turn::Left,
        });
    }
}

impl Place {
    /// Whether it rests now.
    fn rest(&mut self, packer: &mut Packer) -> bool {
        if let Self::Awake { lane, .. } = self {
            if !lane.may_rest() {
                return false;
            }
            let packed = packer.write(|to| {
                lane.last().pack(to);
                lane.pack(to);
            });
            let (session, touched) = (lane.session.take(), lane.touched);
            *self = Self::Resting { packed, session, touched };
        }
        true
    }

    /// Whether it has rested until now.
    fn wake(&mut self) -> bool {
        let rests = matches!(self, Self::Resting { .. });
        if let Self::Resting { packed, session, touched } = self {
            let mut from = Unpacker::new(packed);
            Stamp::unpack(&mut from);
            let mut lane = Box::new(Lane::unpack(&mut from));
            (lane.session, lane.touched) = (session.take(), *touched);
            *self = Self::Awake { lane, stirred: true };
        }
        rests
    }

    fn into_lane(mut self) -> Option<Box<Lane>> {
        self.wake();
        match self {
            Self::Awake { lane, .. } => Some(lane),
            Self::Resting { .. } => None,
        }
    }

    fn brief(&self) -> (FlowKey, Stamp, usize) {
        match self {
            Self::Awake { lane, .. } => (lane.key, lane.last(), lane.weight()),
            Self::Resting { packed, session, .. } => {
                // A lane's first field is its key.
                let (last, key) = Pack::unpack(&mut Unpacker::new(packed));
                let session = session.as_ref().map_or(0, Session::weight);
                (key, last, size_of::<Self>() + packed.len() + session + RESTING)
            }
        }
    }
}

/// Octets that TCP keeps of a resting flow, with all places in tables.
const RESTING: usize = 512;
