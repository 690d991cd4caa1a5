//! What it costs that packets were dropped before this program saw them (by the kernel, by a full
//! queue): any of them may have been the GOAWAY, the answer or the request that an ending lacks,
//! and no hole shows where nothing came behind it.

use std::time::Duration;

use crate::vocab::cause::Confidence;
use crate::vocab::drops::Drops;
use crate::vocab::time::Timestamp;
use crate::vocab::verdict::Verdict;

use super::scene::UNSEEN;
use super::unheard::{cap, rests_on_silence};

/// What was dropped so soon before the evidence, or after the ending, may belong to it.
const REACH: Duration = Duration::from_secs(1);

/// Packets that were dropped while what a verdict tells of happened.
pub fn meanwhile(verdict: &Verdict, drops: &Drops) -> u64 {
    let own = verdict.chain.iter().filter(|fact| fact.connection.is_none());
    let times = || own.clone().map(|fact| fact.stamp.at);
    let Some((first, last)) = times().min().zip(times().max()) else { return 0 };
    drops.between(before(first), last.plus(REACH))
}

/// The beginning of the time that counts for what happened `at`.
pub fn before(at: Timestamp) -> Timestamp {
    Timestamp(at.0.saturating_sub(i64::try_from(REACH.as_nanos()).unwrap_or(0)))
}

/// Makes a verdict less sure that rests on what was not seen. Saying so is for the last call.
pub fn admit(verdict: &mut Verdict, announced: bool) {
    if rests_on_silence(verdict.trigger) {
        cap(verdict, if announced { UNSEEN } else { Confidence::POSSIBLE });
    }
}

/// Says it.
pub fn tell(verdict: &mut Verdict, packets: u64) {
    if rests_on_silence(verdict.trigger) {
        let were = if packets == 1 { "packet was" } else { "packets were" };
        verdict.add_clause(&format!("{packets} {were} dropped by the capture meanwhile"));
    }
}
