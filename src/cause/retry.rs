//! Which streams are safe to retry (RFC 9113 sections 6.8 and 8.7).

use std::collections::BTreeSet;

use crate::track::history::{Goaway, History, OpenStream};
use crate::vocab::address::Side;
use crate::vocab::error_code::ErrorCode;

use super::cancels::CancelGroup;

/// Streams that were certainly not processed, and those that may have been.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Retry {
    /// Above the last GOAWAY's last stream identifier, or refused.
    pub safe: Vec<u32>,
    /// Unfinished at or below it.
    pub maybe: Vec<u32>,
}

/// Judges the streams of the other side that a GOAWAY, and what came after it, left unfinished.
///
/// A request that its own timeout ended later is no victim of the GOAWAY.
pub fn after_goaway(history: &History, goaway: &Goaway, cancels: &[CancelGroup]) -> Retry {
    let opener = goaway.by.other();
    // Later GOAWAYs of the same sender may lower the id: the last one counts.
    let later = |of: &&Goaway| of.by == goaway.by && !of.stamp.before(goaway.stamp);
    let last = lowest(history.goaways.iter().filter(later)).unwrap_or(goaway.last_stream_id);
    let mut safe = refused(history);
    let mut maybe = BTreeSet::new();
    let timed_out = |place: usize| {
        // They are in order.
        let has = |group: &CancelGroup| group.places.binary_search(&place).is_ok();
        cancels.iter().any(|group| group.timeout.is_some() && has(group))
    };
    let reset_later = history
        .resets
        .iter()
        .enumerate()
        .filter(|(place, _)| !timed_out(*place))
        .map(|(_, reset)| reset)
        .filter(|reset| reset.opener == opener && !reset.answer_ended)
        .filter(|reset| {
            let above = reset.by == goaway.by && reset.stream > last;
            above || !reset.stamp.before(goaway.stamp)
        })
        .map(|reset| reset.stream);
    let unfinished = |open: &&OpenStream| open.by == opener && !open.answer_ended;
    let open_later = history.open.iter().filter(unfinished).map(|stream| stream.id);
    for stream in open_later.chain(reset_later) {
        if stream > last {
            safe.insert(stream);
        } else if !safe.contains(&stream) {
            maybe.insert(stream);
        }
    }
    Retry { safe: safe.into_iter().collect(), maybe: maybe.into_iter().collect() }
}

/// The same of all that it left behind: a client that closes after a GOAWAY of its own leaves its
/// own requests as well.
pub fn behind(history: &History, goaway: &Goaway, cancels: &[CancelGroup]) -> Retry {
    let mut retry = after_goaway(history, goaway, cancels);
    if goaway.by == Side::Client && history.tcp_end().is_some() {
        // What the server took, only a GOAWAY of its own can say.
        let of_server = history.goaways.iter().filter(|other| other.by == Side::Server);
        let last = lowest(of_server).unwrap_or(u32::MAX);
        let left = after_end(history).maybe.into_iter().filter(|id| !retry.safe.contains(id));
        let (above, below): (Vec<u32>, Vec<u32>) = left.partition(|stream| *stream > last);
        retry.safe.extend(above);
        retry.maybe.extend(below);
        retry.safe.sort_unstable();
        retry.maybe.sort_unstable();
    }
    retry
}

fn lowest<'a>(goaways: impl Iterator<Item = &'a Goaway>) -> Option<u32> {
    goaways.map(|goaway| goaway.last_stream_id).min()
}

/// Judges the streams that an end without GOAWAY left unfinished.
pub fn after_end(history: &History) -> Retry {
    let safe = refused(history);
    // Answers that nobody captured are not answers that never came.
    let server = history.tcp.side(Side::Server);
    if server.delivered == 0 && server.lost > 0 {
        return Retry { safe: safe.into_iter().collect(), maybe: Vec::new() };
    }
    let unfinished =
        history.open.iter().filter(|stream| stream.by == Side::Client && !stream.answer_ended);
    let maybe = unfinished.map(|stream| stream.id).filter(|id| !safe.contains(id)).collect();
    Retry { safe: safe.into_iter().collect(), maybe }
}

/// Streams that the server refused before any processing. A client's own REFUSED_STREAM says
/// nothing about that.
fn refused(history: &History) -> BTreeSet<u32> {
    history
        .resets
        .iter()
        .filter(|reset| reset.by == Side::Server && reset.code == Some(ErrorCode::REFUSED_STREAM))
        .map(|reset| reset.stream)
        .collect()
}
