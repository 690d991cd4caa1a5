//! How the clocks of captures differ that have packets in common, found before they are read: a
//! packet that two captures have was sent once.
//!
//! Looks at the beginning of each file. Where most of the packets that two have in common do not
//! agree, or there are hardly any, nothing is said and nothing is moved.

use std::hash::BuildHasher;

use rustc_hash::{FxBuildHasher, FxHashMap};

use super::offline::Job;
use crate::board::{Board, ClockOffset};
use crate::capture::Source;
use crate::pipeline::Decoder;
use crate::vocab::clock::{CLOCKS_APART, EVENTS_TOLD, middle};
use crate::vocab::limits::Limits;
use crate::vocab::segment::Segment;

/// When each packet was first seen, in nanoseconds, by what it is known by again.
type Seen = FxHashMap<u64, i64>;

/// A job with what its captures tell added to its clocks, unless the user did, or it was done.
/// Captures that cannot be read twice, or are so many that they are one cut into pieces, are taken
/// as they are.
pub(super) fn put_right(job: &Job) -> Job {
    let mut job = job.clone();
    let several = (2..=job.limits.clocks_compared).contains(&job.files.len());
    let twice = job.files.iter().all(|file| file.is_file());
    if !several || !twice || std::mem::replace(&mut job.clocks_told, true) {
        return job;
    }
    let seen: Vec<Seen> = job.files.iter().map(|file| beginning(file, &job.limits)).collect();
    let mut known: Vec<Option<(i64, usize)>> = vec![None; seen.len()];
    if let Some(first) = known.first_mut() {
        *first = Some((0, usize::MAX));
    }
    // Through others that are known: as many rounds as there are captures.
    for _ in 1..seen.len() {
        for place in 1..seen.len() {
            if known.get(place).is_some_and(Option::is_none)
                && let found @ Some(_) = against(&seen, &known, place)
                && let Some(unknown) = known.get_mut(place)
            {
                *unknown = found;
            }
        }
    }
    job.clocks = known.iter().map(|of| of.map_or(0, |(offset, _)| offset)).collect();
    let told = known.iter().enumerate().skip(1).filter_map(|(capture, of)| Some((capture, (*of)?)));
    job.clock_offsets = told
        .map(|(capture, (offset, events))| {
            let seconds = offset as f64 / 1e9;
            ClockOffset { capture, seconds, events, is_applied: true }
        })
        .collect();
    job
}

/// Tells what was put right; what requests tell of the same captures is what is left.
pub(super) fn tell(told: &[ClockOffset], board: &mut Board) {
    let moved = |of: &ClockOffset| told.iter().any(|by| by.capture == of.capture);
    board.clock_offsets.retain(|of| !moved(of));
    board.clock_offsets.extend_from_slice(told);
    board.clock_offsets.sort_by_key(|of| of.capture);
}

/// Against the first of those that are known and have packets in common.
fn against(seen: &[Seen], known: &[Option<(i64, usize)>], place: usize) -> Option<(i64, usize)> {
    let own = seen.get(place)?;
    seen.iter().zip(known).find_map(|(other, known)| {
        let (offset, events) = (*known)?;
        let (apart, agree) = agreed(own, other)?;
        Some((offset.saturating_add(apart), events.min(agree)))
    })
}

/// What has to be added to the times of `own` to fit those of `other`, and how many packets agree.
fn agreed(own: &Seen, other: &Seen) -> Option<(i64, usize)> {
    let both = own.iter().filter_map(|(packet, at)| Some(other.get(packet)?.saturating_sub(*at)));
    let both: Vec<i64> = both.collect();
    let (offset, near) = middle(both.iter().copied())?;
    let agree = both.iter().filter(|of| of.saturating_sub(offset).saturating_abs() <= near);
    let agree = agree.count();
    let offset = if offset.saturating_abs() <= CLOCKS_APART { 0 } else { offset };
    (agree >= EVENTS_TOLD && agree * 2 > both.len()).then_some((offset, agree))
}

/// The packets at the beginning of a capture that begin or end something, or carry data. One that
/// was sent again counts where it was seen first.
fn beginning(file: &std::path::Path, limits: &Limits) -> Seen {
    let mut seen = Seen::default();
    let Ok(mut source) = Source::open(&[file.to_path_buf()]) else { return seen };
    let mut decoder = Decoder::new(limits);
    for _ in 0..limits.clock_packets {
        let Some(packet) = source.next() else { break };
        let Ok(segment) = decoder.decode(&packet) else { continue };
        if let Some(key) = key(&segment) {
            seen.entry(key).or_insert(segment.stamp.at.0);
        }
    }
    seen
}

/// What a packet is known by again; an acknowledgement without data is like others.
fn key(segment: &Segment<'_>) -> Option<u64> {
    let length = segment.payload.len() as u64 + u64::from(segment.cut);
    let bare = length == 0 && segment.flags.0 & (0x01 | 0x02) == 0;
    let ends = (segment.source, segment.destination);
    let place = (segment.seq.0, segment.ack.0, segment.flags.0, length);
    (!bare).then(|| FxBuildHasher.hash_one((ends, place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn seen(all: &[(u64, i64)]) -> Seen {
        all.iter().map(|(packet, ms)| (*packet, ms * MS)).collect()
    }

    #[test]
    fn most_packets_have_to_agree() {
        let first = seen(&[(1, 0), (2, 10), (3, 20), (4, 30), (5, 40)]);
        let of = |all: &[(u64, i64)]| agreed(&seen(all), &first).map(|(o, n)| (o / MS, n));
        assert_eq!(of(&[(1, 7500), (2, 7511), (3, 7519)]), Some((-7500, 3)));
        // One was sent again, and lost on its way the first time.
        assert_eq!(of(&[(1, 7500), (2, 9911), (3, 7520), (4, 7530)]), Some((-7500, 3)));
        assert_eq!(of(&[(1, 3), (2, 12), (3, 21)]), Some((0, 3)));
        assert_eq!(of(&[(1, 7500), (2, 7510), (9, 7520)]), None, "too few");
        assert_eq!(of(&[(1, 7500), (2, 30_000), (3, 99_000), (4, 400_000)]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_capture_is_known_through_another() {
        let all = [
            seen(&[(1, 0), (2, 10), (3, 20)]),
            seen(&[(7, 100), (8, 110), (9, 120)]),
            seen(&[(1, 1000), (2, 1010), (3, 1020), (7, 2100), (8, 2110), (9, 2120)]),
        ];
        let through = Some((-1000 * MS, 3));
        assert_eq!(against(&all, &[Some((0, usize::MAX)), None, None], 1), None);
        assert_eq!(against(&all, &[Some((0, usize::MAX)), None, None], 2), through);
        assert_eq!(against(&all, &[Some((0, usize::MAX)), None, through], 1), Some((1000 * MS, 3)));
    }
}
