//! The answer in one sentence: what went away in trouble, what ended well and still cost requests,
//! what cannot be told; and where the capture itself lost packets or connections, that.

use super::Board;
use super::fared::Fared;
use crate::vocab::cause::{Blame, Cause};
use crate::vocab::limits::Hit;
use crate::vocab::text::{count, cut_short, span};
use crate::vocab::verdict::Verdict;

/// The sentence, another where not all is listed any more, and one where not all was seen.
pub fn headline(board: &Board) -> String {
    told(board, &Fared::of_board(board))
}

/// The same where it is known how its connections fared.
pub fn told(board: &Board, fared: &Fared) -> String {
    let parts = [answer(board, fared)].into_iter().chain(unlisted(board)).chain(unseen(board));
    parts.collect::<Vec<_>>().join(" ")
}

/// `512 of them are listed; 12000 rows were given up for memory.`
fn unlisted(board: &Board) -> Option<String> {
    let listed = board.connections.len();
    let gone = all(board).saturating_sub(listed);
    let were = if gone == 1 { "was" } else { "were" };
    let rows = count(gone, "row");
    (gone > 0).then(|| format!("{listed} of them are listed; {rows} {were} given up for memory."))
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

fn answer(board: &Board, tally: &Fared) -> String {
    let number = all(board);
    let all = count(number, "connection");
    let troubled = tally.troubled();
    if troubled == 0 && tally.dark == number {
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
        let mut reasons: Vec<_> = tally.trouble.iter().collect();
        reasons.sort_by_key(|(_, number)| std::cmp::Reverse(**number));
        let reasons = reasons.into_iter().map(|((chain, blame), number)| {
            let times = if *number > 1 { format!("{number} × ") } else { String::new() };
            format!("{times}{chain}{}", whose(*blame))
        });
        let reasons: Vec<String> = reasons.collect();
        let reasons = cut_short(reasons.iter(), REASONS_SHOWN);
        parts.insert(0, format!("{troubled} of {all} went away in trouble: {reasons}"));
        return format!("{}.", parts.join("; "));
    }
    parts.extend(cancelled(tally));
    parts.extend(left(tally));
    parts.extend(reset(tally));
    parts.extend(timed_out(tally));
    match parts.is_empty() {
        true => format!("{all}: none went away in trouble."),
        false => format!("{all}: none went away in trouble, but {}.", parts.join(", and ")),
    }
}

/// Connections, those that are no longer listed too.
fn all(board: &Board) -> usize {
    let earlier = usize::try_from(board.earlier.connections).unwrap_or(usize::MAX);
    board.connections.len().saturating_add(earlier)
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
fn cancelled(tally: &Fared) -> Option<String> {
    let number: usize = tally.cancelled.values().map(|of| of.streams).sum();
    if number == 0 {
        return None;
    }
    let mut causes: Vec<_> = tally.cancelled.iter().collect();
    causes.retain(|(_, of)| of.streams.saturating_mul(10) >= number);
    causes.sort_by_key(|(_, of)| std::cmp::Reverse(of.streams));
    let told = causes.into_iter().map(|(cause, of)| match of.timers {
        None => cause.name().to_owned(),
        Some((least, most)) if most <= least * 1.06 => format!("{cause} of {}", span(least)),
        Some((least, most)) => format!("{cause} of {} to {}", span(least), span(most)),
    });
    let were = if number == 1 { "was" } else { "were" };
    let told: Vec<String> = told.collect();
    let requests = count(number, "request");
    Some(format!("{requests} {were} cancelled ({})", cut_short(told.iter(), REASONS_SHOWN)))
}

/// `30 requests were left without an answer (client_shutdown)`: by clients that were done.
fn left(tally: &Fared) -> Option<String> {
    let number = tally.left;
    let were = if number == 1 { "was" } else { "were" };
    let cause = Cause::ClientShutdown;
    (number > 0)
        .then(|| format!("{} {were} left without an answer ({cause})", count(number, "request")))
}

/// `23 streams were refused, 8 were reset before their answer ended`.
fn reset(tally: &Fared) -> Option<String> {
    let of = |number: usize, what: &str| {
        let were = if number == 1 { "was" } else { "were" };
        (number > 0).then(|| format!("{} {were} {what}", count(number, "stream")))
    };
    let refused = of(tally.refused, "refused");
    let reset = of(tally.reset, "reset before the answer ended");
    let parts: Vec<String> = [refused, reset].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// `2 requests were answered with status 504`: a gateway's time was over.
fn timed_out(tally: &Fared) -> Option<String> {
    let number = tally.timed_out;
    let were = if number == 1 { "was" } else { "were" };
    let requests = count(number, "request");
    (number > 0).then(|| format!("{requests} {were} answered with status 504 by a gateway"))
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
