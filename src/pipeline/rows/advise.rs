//! The advice of rows, by what is known of their servers' answers and their clients' timers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::board::ConnectionRow;
use crate::cause::advice::{self, Circumstances};
use crate::cause::conflicts;
use crate::cause::pair::Answered;
use crate::track::history::ByClass;
use crate::vocab::address::{Endpoint, Side};
use crate::vocab::cause::Cause;
use crate::vocab::hop::Way;
use crate::vocab::pair::InferredTimeout;
use crate::vocab::verdict::Verdict;

/// What each row's people have to change, by the slowest answers of its server and by the timers
/// that `inferred` found in requests of several classes.
pub(super) fn advise_all(
    connections: &mut [Arc<ConnectionRow>],
    answered: &BTreeMap<Endpoint, Answered>,
    inferred: &[InferredTimeout],
) {
    let slowest: BTreeMap<Endpoint, Slowest> =
        answered.iter().map(|(server, of)| (*server, Slowest::of(of))).collect();
    let kinds = conflicts::by_class(inferred);
    for row in connections {
        let slowest = slowest.get(&row.server).copied().unwrap_or_default();
        let kinds = kinds.get(&(row.server, row.client.ip)).map_or(&[][..], Vec::as_slice);
        advise(row, slowest, kinds);
    }
}

/// The slowest answers of a server: in time, and too late.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slowest {
    in_time: Option<Duration>,
    late: Option<Duration>,
}

impl Slowest {
    fn of(answered: &Answered) -> Self {
        let seen = |of: &ByClass| Some(of.total()).filter(|of| of.count() > 0).map(|of| of.max());
        Self { in_time: seen(&answered.answers), late: seen(&answered.late) }
    }
}

/// Writes the advice of every verdict of a row. Most rows have it already: those stay untouched,
/// so that snapshots share them. `kinds` are the client's timeouts, where they differ by the kind
/// of request.
pub(super) fn advise(row: &mut Arc<ConnectionRow>, slowest: Slowest, kinds: &[&InferredTimeout]) {
    let name =
        |side: Side| row.implementations.side(side).as_ref().map(|known| known.name.as_str());
    let of = Circumstances {
        by: row.end.by,
        goaway: None,
        client: name(Side::Client),
        server: name(Side::Server),
        slowest: slowest.in_time,
        latest: slowest.late,
        kinds,
    };
    let goaways = row.goaways.iter().map(|goaway| {
        let said = Some((goaway.code, goaway.last_stream_id));
        let of = beyond(&goaway.verdict, of);
        // A GOAWAY that only answers a close: who closed has to be looked at.
        let by = of.by.filter(|_| goaway.verdict.trigger == Cause::AbruptClose);
        // One that only follows has the reason of the first.
        let first = goaway.follows.and_then(|first| row.goaways.get(first)).unwrap_or(goaway);
        let by = by.or(Some(first.by));
        advice::advice(&goaway.verdict, &Circumstances { by, goaway: said, ..of })
    });
    let goaways: Vec<Vec<String>> = goaways.collect();
    // TLS that was not decrypted has its advice: how to get the keys.
    let end = row.end_verdict.as_ref().filter(|_| !row.is_dark());
    let end = end.map(|verdict| advice::advice(verdict, &beyond(verdict, of)));
    let sets = row.cancellations.iter().map(|set| advice::of_cancelled(set, &of));
    let sets: Vec<Option<String>> = sets.collect();
    let known = row.goaways.iter().zip(&goaways).all(|(old, new)| old.verdict.advice == *new)
        && row.cancellations.iter().zip(&sets).all(|(old, new)| old.advice == *new);
    let ended = row.end_verdict.as_ref().zip(end.as_ref());
    if known && ended.is_none_or(|(old, new)| old.advice == *new) {
        return;
    }
    let row = Arc::make_mut(row);
    for (set, advice) in row.cancellations.iter_mut().zip(sets) {
        set.advice = advice;
    }
    for (goaway, advice) in row.goaways.iter_mut().zip(goaways) {
        goaway.verdict.advice = advice;
    }
    if let Some((verdict, advice)) = row.end_verdict.as_mut().zip(end) {
        verdict.advice = advice;
    }
}

/// Where a proxy only passed on what its client did, that client has to change something.
fn beyond<'a>(verdict: &'a Verdict, of: Circumstances<'a>) -> Circumstances<'a> {
    match verdict.hop.as_deref().filter(|hop| hop.way == Way::CancelPassedOn) {
        Some(hop) => Circumstances { client: hop.program.as_deref(), ..of },
        None => of,
    }
}
