//! How many frames of one type a side sends within a second: floods show by their peak.

use crate::vocab::frame::FrameType;
use crate::vocab::pack::packs;
use crate::vocab::time::Stamp;

use super::history::Burst;

const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

/// The current second of each type that floods are made of.
#[derive(Clone, Debug, Default)]
pub(super) struct Rates {
    seconds: [Option<(Stamp, u32)>; 11],
}

packs!(struct Rates { seconds });

impl Rates {
    /// Counts a frame; gives the burst so far where it is the largest of its second.
    pub fn add(&mut self, kind: FrameType, stamp: Stamp) -> Option<Burst> {
        let second = self.seconds.get_mut(usize::from(kind.0).min(10))?;
        let (from, count) = match second {
            Some((from, count)) if stamp.since(*from) < SECOND => (*from, *count + 1),
            _ => (stamp, 1),
        };
        *second = Some((from, count));
        Some(Burst { kind, count, from })
    }
}
