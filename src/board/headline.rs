//! The answer in one sentence: what went away in trouble, what ended well and still cost requests,
//! what cannot be told; and where the capture itself lost packets or connections, that.

use std::collections::BTreeMap;

use super::Board;
use super::group::Standing;
use crate::vocab::cause::{Blame, Cause};
use crate::vocab::limits::Hit;
use crate::vocab::text::{count, cut_short, span};
use crate::vocab::verdict::Verdict;

/// Connections by how they went away.
#[derive(Default)]
struct Tally {
    /// Somebody has to change something: the chain, and who.
    trouble: BTreeMap<(String, Blame), usize>,
    /// Ended in good order while requests ran: the cause.
    unlucky: BTreeMap<Cause, usize>,
    /// TLS that was not decrypted.
    dark: usize,
}

/// The sentence, and another where not all was seen.
pub fn headline(board: &Board) -> String {
    [answer(board)].into_iter().chain(unseen(board)).collect::<Vec<_>>().join(" ")
}

/// What this capture did not see: `57 packets were dropped by the capture, and 3 endings are less
/// sure for it`.
fn unseen(board: &Board) -> Option<String> {
    let dropped = board.captures.iter().filter_map(|facts| facts.kernel_dropped);
    let dropped = usize::try_from(dropped.fold(0, u64::saturating_add)).unwrap_or(usize::MAX);
    let doubtful = board.rows().filter(|(_, row)| row.dropped_meanwhile > 0).count();
    let forgotten = board.hits.get(&Hit::Flows).copied().unwrap_or(0);
    let mut parts = Vec::new();
    if dropped > 0 {
        let were = if dropped == 1 { "was" } else { "were" };
        let cost = match doubtful {
            0 => "none around an ending".to_owned(),
            1 => "and 1 ending is less sure for it".to_owned(),
            many => format!("and {many} endings are less sure for it"),
        };
        parts.push(format!("{} {were} dropped by the capture, {cost}", count(dropped, "packet")));
    }
    if forgotten > 0 {
        let forgotten = usize::try_from(forgotten).unwrap_or(usize::MAX);
        let were = if forgotten == 1 { "was" } else { "were" };
        let of = count(forgotten, "connection");
        parts.push(format!("{of} {were} forgotten for memory before the end"));
    }
    (!parts.is_empty()).then(|| format!("Not all was seen: {}.", parts.join("; ")))
}

fn answer(board: &Board) -> String {
    let tally = tally(board);
    let all = count(board.connections.len(), "connection");
    let troubled: usize = tally.trouble.values().sum();
    if troubled == 0 && tally.dark == board.connections.len() {
        return format!("{all}: TLS that was not decrypted does not tell why; it needs keys.");
    }
    let mut parts = Vec::new();
    let unlucky: usize = tally.unlucky.values().sum();
    if unlucky > 0 {
        let causes: Vec<&str> = tally.unlucky.keys().map(|cause| cause.name()).collect();
        let of = cut_short(causes.iter(), REASONS_SHOWN);
        parts.push(format!("{unlucky} ended with requests running ({of})"));
    }
    if tally.dark > 0 {
        let are = if tally.dark == 1 { "is" } else { "are" };
        parts.push(format!("{} {are} TLS that was not decrypted", tally.dark));
    }
    if troubled > 0 {
        let mut reasons: Vec<_> = tally.trouble.into_iter().collect();
        reasons.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
        let reasons = reasons.into_iter().map(|((chain, blame), number)| {
            let times = if number > 1 { format!("{number} × ") } else { String::new() };
            format!("{times}{chain}{}", whose(blame))
        });
        let reasons: Vec<String> = reasons.collect();
        let reasons = cut_short(reasons.iter(), REASONS_SHOWN);
        parts.insert(0, format!("{troubled} of {all} went away in trouble: {reasons}"));
        return format!("{}.", parts.join("; "));
    }
    parts.extend(cancelled(board));
    parts.extend(left(board));
    match parts.is_empty() {
        true => format!("{all}: none went away in trouble."),
        false => format!("{all}: none went away in trouble, but {}.", parts.join(", and ")),
    }
}

fn tally(board: &Board) -> Tally {
    let mut tally = Tally::default();
    for (_, row) in board.rows() {
        if row.tls.as_ref().is_some_and(|tls| !tls.decrypted) {
            tally.dark = tally.dark.saturating_add(1);
            continue;
        }
        let Some(verdict) = row.lead().filter(|_| row.standing() == Standing::Trouble) else {
            continue;
        };
        let number = match verdict.blame {
            Blame::None => tally.unlucky.entry(verdict.cause).or_default(),
            blame => tally.trouble.entry((chain(verdict), blame)).or_default(),
        };
        *number = number.saturating_add(1);
    }
    tally
}

/// `client_request_timeout → late_response`.
pub fn chain(verdict: &Verdict) -> String {
    match verdict.trigger == verdict.cause {
        true => verdict.cause.name().to_owned(),
        false => format!("{} → {}", verdict.cause, verdict.trigger),
    }
}

/// `12 requests were cancelled (client_request_timeout of 600 ms)`, by what cancelled a tenth of
/// them or more.
fn cancelled(board: &Board) -> Option<String> {
    let sets = || board.rows().flat_map(|(_, row)| &row.cancellations);
    let number: usize = sets().map(|set| set.streams.len()).sum();
    if number == 0 {
        return None;
    }
    let mut causes: BTreeMap<Cause, (usize, Vec<f64>)> = BTreeMap::new();
    for set in sets() {
        let (streams, seconds) = causes.entry(set.cause).or_default();
        *streams = streams.saturating_add(set.streams.len());
        seconds.extend(set.timeout.as_ref().map(|timeout| timeout.seconds));
    }
    let mut causes: Vec<_> = causes.into_iter().collect();
    causes.retain(|(_, (streams, _))| streams.saturating_mul(10) >= number);
    causes.sort_by_key(|(_, (streams, _))| std::cmp::Reverse(*streams));
    let told = causes.into_iter().map(|(cause, (_, seconds))| {
        let least = seconds.iter().copied().fold(f64::INFINITY, f64::min);
        let most = seconds.iter().copied().fold(0.0, f64::max);
        match (seconds.is_empty(), most <= least * 1.06) {
            (true, _) => cause.name().to_owned(),
            (false, true) => format!("{cause} of {}", span(least)),
            (false, false) => format!("{cause} of {} to {}", span(least), span(most)),
        }
    });
    let were = if number == 1 { "was" } else { "were" };
    let told: Vec<String> = told.collect();
    let requests = count(number, "request");
    Some(format!("{requests} {were} cancelled ({})", cut_short(told.iter(), REASONS_SHOWN)))
}

/// `30 requests were left without an answer (client_shutdown)`: by clients that were done.
fn left(board: &Board) -> Option<String> {
    let done = board.rows().filter_map(|(_, row)| row.lead());
    let done = done.filter(|verdict| verdict.cause == Cause::ClientShutdown);
    let number: usize = done.map(|verdict| verdict.died()).sum();
    let were = if number == 1 { "was" } else { "were" };
    let cause = Cause::ClientShutdown;
    (number > 0)
        .then(|| format!("{} {were} left without an answer ({cause})", count(number, "request")))
}

/// Who has to change something, behind a cause.
fn whose(blame: Blame) -> &'static str {
    match blame {
        Blame::Client => " (change the client)",
        Blame::Server => " (change the server)",
        Blame::Network => " (change what is between)",
        Blame::None => "",
        Blame::Unknown => " (the capture cannot tell whose fault)",
    }
}

const REASONS_SHOWN: usize = 3;
