//! Resets by the server before its answer was complete: its own request timeout, or one for a
//! message that stopped half-way.

use std::time::Duration;

use super::super::chance::{is_setting, round_value};
use super::{AT_ONCE, CancelGroup, MILLI, Waited, are_alike, clusters, extent, median, opened};
use super::{opened_apart, reset_over, timed};
use crate::track::history::{History, Reset};
use crate::vocab::address::Side;
use crate::vocab::cause::{Cause, Confidence};
use crate::vocab::error_code::ErrorCode;

/// Adds the groups of the server's resets.
pub(super) fn groups(history: &History, groups: &mut Vec<CancelGroup>) {
    let mut broken: Vec<u32> = history.findings.iter().map(|finding| finding.stream).collect();
    broken.sort_unstable();
    let by_server = history.resets.iter().enumerate().filter(|(_, reset)| {
        // A deadline that the request carried is the client's, whoever ends it.
        let limit = reset.deadline.zip(reset.age());
        let own = limit.is_none_or(|(limit, age)| !super::is_at(age, limit));
        let open = reset.opener == Side::Client && !reset.answer_ended && own;
        reset.by == Side::Server && open && broken.binary_search(&reset.stream).is_err()
    });
    let (mut aged, mut silent) = (Vec::new(), Vec::new());
    for (place, reset) in by_server {
        let Some(age) = reset.age().filter(|age| *age >= AT_ONCE * 5) else { continue };
        match silence(reset).filter(|silence| *silence >= SHORTEST) {
            Some(span) if reset.code.is_none_or(may_be_stall) => {
                silent.push(Waited { place, span });
            }
            _ if reset.code.is_none_or(may_be_timer) => aged.push(Waited { place, span: age }),
            _ => {}
        }
    }
    // A timer uses one code.
    let code = |item: &Waited| history.resets.get(item.place).and_then(|reset| reset.code);
    aged.sort_by_key(|item| (code(item), item.span, item.place));
    for cluster in aged.chunk_by(|a, b| code(a) == code(b)).flat_map(clusters) {
        // What is cleared away in the moment of the end was nobody's timer.
        if reset_over(history, cluster) < MILLI * 10
            && cluster.iter().all(|item| is_farewell(history, item))
        {
            continue;
        }
        match server_timer(history, cluster) {
            Some((seconds, sure)) => {
                let told_by = "the server reset at one age";
                groups.push(of_server(
                    cluster,
                    Cause::ServerRequestTimeout,
                    seconds,
                    sure,
                    told_by,
                ));
            }
            None => groups.extend(cluster.iter().filter_map(|item| lone(history, item))),
        }
    }
    silent.sort_by_key(|item| (code(item), item.span, item.place));
    for cluster in silent.chunk_by(|a, b| code(a) == code(b)).flat_map(clusters) {
        groups.extend(stalled(history, cluster));
    }
}

/// How long nothing had come on a stream whose request or answer had begun and not ended.
fn silence(reset: &Reset) -> Option<Duration> {
    let half = !reset.request_ended || reset.responded.is_some();
    let last = [reset.opened, reset.last_from_peer, reset.last_own];
    let last = last.into_iter().flatten().max_by_key(|stamp| stamp.order());
    last.map(|last| reset.stamp.since(last)).filter(|_| half)
}

/// Shorter silences are a message that takes its time.
const SHORTEST: Duration = Duration::from_millis(500);

/// Messages that stopped, and were given up after one silence.
fn stalled(history: &History, cluster: &[Waited]) -> Option<CancelGroup> {
    let middle = median(cluster);
    let set = middle >= SHORTEST * 2 && is_setting(middle);
    let apart = reset_over(history, cluster) > MILLI * 10;
    let sure = match cluster.len() {
        _ if !are_alike(cluster, 0.02) => return None,
        3.. if apart => 0.85,
        2.. if set => 0.75,
        1 if set && !is_farewell(history, cluster.first()?) => 0.66,
        _ => return None,
    };
    let told_by = "one silence in the middle of a message before each reset";
    let seconds = middle.as_secs_f64();
    Some(of_server(cluster, Cause::StreamIdleTimeout, seconds, sure, told_by))
}

/// A single reset at an age that a person sets: possible, no more. A handler that fails does so at
/// any age, and as a rule with another code.
fn lone(history: &History, item: &Waited) -> Option<CancelGroup> {
    let reset = history.resets.get(item.place)?;
    if item.span < SHORTEST * 2 || !is_setting(item.span) || is_farewell(history, item) {
        return None;
    }
    let sure = match reset.code {
        Some(ErrorCode::CANCEL | ErrorCode::NO_ERROR) => 0.5,
        _ => 0.4,
    };
    let (cause, seconds) = (Cause::ServerRequestTimeout, item.span.as_secs_f64());
    Some(of_server(&[*item], cause, seconds, sure, "the server reset at an age that may be set"))
}

/// Whether a reset only cleans up: the server had said that it goes, or both sides were going.
fn is_farewell(history: &History, item: &Waited) -> bool {
    let Some(reset) = history.resets.get(item.place) else { return true };
    let near = MILLI * 250;
    let goaways = history.goaways.iter().map(|goaway| goaway.stamp);
    let ends = goaways.chain(history.tcp_end().map(|(end, ..)| end));
    let mut before = ends.filter(|end| end.before(reset.stamp) || end.since(reset.stamp) <= near);
    before.next().is_some()
}

fn of_server(
    items: &[Waited],
    cause: Cause,
    seconds: f64,
    sure: f32,
    told_by: &'static str,
) -> CancelGroup {
    let mut group = timed(items, Confidence::new(sure), told_by);
    (group.cause, group.by) = (cause, Side::Server);
    if let Some(timeout) = &mut group.timeout {
        timeout.kind = cause;
        timeout.configured_in = Side::Server.into();
        timeout.seconds = seconds;
    }
    group
}

/// Codes that servers give a message up with: some call a client's silence an error.
fn may_be_stall(code: ErrorCode) -> bool {
    may_be_timer(code) || code == ErrorCode::PROTOCOL_ERROR
}

/// Codes that servers end a request with when its time is over. REFUSED_STREAM says that it was
/// not taken up, the others name a rule.
fn may_be_timer(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::CANCEL
            | ErrorCode::NO_ERROR
            | ErrorCode::INTERNAL_ERROR
            | ErrorCode::ENHANCE_YOUR_CALM
    )
}

/// The timer of a server that reset requests of these ages, in seconds, and how sure.
fn server_timer(history: &History, cluster: &[Waited]) -> Option<(f64, f32)> {
    let least = cluster.first()?.span;
    let middle = median(cluster);
    let tight = are_alike(cluster, 0.02);
    // Timers fire late on a busy machine, never early.
    let late = cluster.iter().all(|item| item.span <= least.mul_f64(1.05) + MILLI * 50);
    let opened_over = extent(cluster.iter().filter_map(|item| opened(history, item)));
    let reset_over = reset_over(history, cluster);
    let at_different_times = opened_apart(history, cluster);
    // Opened one after another and reset together: the server's decision, not a timer of each.
    let together = reset_over + MILLI < opened_over.mul_f64(0.5);
    let drained = history.goaways.iter().any(|goaway| {
        let of = |item: &Waited| history.resets.get(item.place).map(|reset| reset.stamp);
        goaway.by == Side::Server
            && cluster.iter().filter_map(of).any(|reset| goaway.stamp.at < reset.at)
    });
    if cluster.len() < 2 || together || (drained && reset_over < MILLI * 10) {
        return None;
    }
    // A handler that fails resets too, as a rule with another code than these.
    let mut resets = cluster.iter().filter_map(|item| history.resets.get(item.place));
    let may_fail = !resets
        .all(|reset| matches!(reset.code, None | Some(ErrorCode::CANCEL | ErrorCode::NO_ERROR)));
    if may_fail && !(cluster.len() >= 3 && at_different_times && least >= MILLI * 500) {
        return None;
    }
    let round = round_value(middle).or(round_value(least)).is_some();
    match cluster.len() {
        2 if tight && round => Some((middle.as_secs_f64(), 0.6)),
        3.. if tight && round => Some((middle.as_secs_f64(), 0.8)),
        3.. if late && at_different_times => Some((least.as_secs_f64(), 0.75)),
        _ => None,
    }
}
