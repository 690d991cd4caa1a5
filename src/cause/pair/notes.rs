//! Facts of one connection of which conflicts are made.

use std::time::Duration;

use crate::track::history::{History, OpenStream, Reset, Still};
use crate::vocab::address::{Both, Side};
use crate::vocab::cause::{Blame, Cause};
use crate::vocab::verdict::{ConfiguredIn, Implementation, Verdict};

use super::super::dead_path::{self, Harm};
use super::super::{Judged, pings};
use super::verdicts;

/// Facts for conflicts.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// Implementations, by name.
    pub names: Both<Option<String>>,
    /// Most resets of waiting requests within 30 s, and within 1 s.
    pub resets: (u32, u32),
    /// Keepalive PINGs of the client that came without data of the server between: how many,
    /// their median distance.
    pub pings: Option<(u32, Duration)>,
    /// The server ended it for too many PINGs.
    pub too_many_pings: bool,
    /// The server ended it for too many resets.
    pub resets_punished: bool,
    /// Requests repeated right after cancels of their kind.
    pub repeats: Option<Repeats>,
    /// The server closed it for being idle: after how long, and how many requests were waiting.
    pub idle: Option<(Duration, u64)>,
    /// Requests that were on their way when the server closed an idle connection.
    pub raced: u64,
    /// Longest idle time after which the client used it again.
    pub reused: Option<Duration>,
    /// Cancelled requests that waited for window, by the side that gave none.
    pub held: Both<u64>,
    /// Cancelled requests whose body was still coming.
    pub uploads: u64,
    /// What a dead path did.
    pub dead: Option<Harm>,
    /// The server stood still.
    pub still: Option<Standstill>,
    /// The server's age limit: time from its GOAWAY to the close, requests cut by it.
    pub grace: Option<(Duration, u64)>,
}

/// A time in which a server that answers quickly sent nothing.
#[derive(Clone, Copy, Debug)]
pub struct Standstill {
    /// When, and how many requests came meanwhile.
    pub of: Still,
    /// How many were given up meanwhile.
    pub given_up: u64,
    /// What half of its answers take at most.
    pub usual: Duration,
}

/// Requests that begin right after cancels of their kind.
#[derive(Clone, Copy, Debug)]
pub struct Repeats {
    /// How many.
    pub count: u32,
    /// Of how many cancels.
    pub cancels: u32,
    /// How many begin right before one, as chance would have it.
    pub before: u32,
    /// Median time from the cancel.
    pub delay: Duration,
}

impl Notes {
    /// Takes them from a connection.
    pub(super) fn of(
        history: &History,
        judged: &Judged,
        speak: &Both<Option<Implementation>>,
    ) -> Self {
        let name = |side: Side| speak.side(side).as_ref().map(|known| known.name.clone());
        let mut notes = Notes {
            names: Both { first: name(Side::Client), second: name(Side::Server) },
            resets: (within(history, THIRTY), within(history, Duration::from_secs(1))),
            reused: history.reused.map(|(idle, _)| idle),
            repeats: repeats(history, judged),
            held: Both { first: held(history, Side::Client), second: held(history, Side::Server) },
            uploads: uploads(history),
            dead: dead_path::harm(history),
            ..Notes::default()
        };
        // Where its octets did not arrive, the server may have spoken.
        notes.still = standstill(history).filter(|_| notes.dead.is_none());
        // A verdict that blames the network says it.
        let told = verdicts(judged).any(|verdict| verdict.blame == Blame::Network);
        notes.dead = notes.dead.filter(|_| !told);
        let (apart, bare) = pings::distances(history, Side::Client);
        notes.pings = apart.get(apart.len() / 2).filter(|_| bare > 0).map(|middle| (bare, *middle));
        notes.resets_punished =
            verdicts(judged).any(|verdict| verdict.trigger == Cause::RapidResetProtection);
        let end = history.tcp_end();
        for (index, (follows, verdict)) in judged.goaways.iter().enumerate() {
            let Some(goaway) = history.goaways.get(index).filter(|_| follows.is_none()) else {
                continue;
            };
            notes.too_many_pings |= verdict.cause == Cause::TooManyPings;
            let safe = verdict.safe_to_retry_streams.len() as u64;
            match verdict.cause {
                Cause::IdleTimeout if goaway.by == Side::Server => {
                    notes.idle = idle_end(verdict, 0);
                    notes.raced = safe;
                }
                Cause::MaxConnectionAge if goaway.by == Side::Server => {
                    let server_cut = end.filter(|(_, by, _)| *by == Side::Server);
                    notes.grace = server_cut
                        .map(|(stamp, ..)| (stamp.since(goaway.stamp), history.counts.unfinished));
                }
                _ => {}
            }
        }
        if let Some(verdict) = judged.end.as_ref().filter(|end| end.cause == Cause::IdleTimeout)
            && end.is_some_and(|(_, by, _)| by == Side::Server)
        {
            // Who has not sent all of a request does not wait for its answer.
            let waits = |stream: &&OpenStream| stream.by == Side::Client && stream.request_ended;
            let open = history.closing.as_ref().map_or(&[][..], |at| &at.open);
            let waiting = open.iter().filter(waits).count() as u64;
            notes.idle = idle_end(verdict, waiting);
            let fresh = history.open.iter().filter(|stream| {
                let age = end.zip(stream.opened).map(|((end, ..), opened)| end.since(opened));
                age.is_some_and(|age| age <= RACE)
            });
            notes.raced = fresh.count() as u64;
        }
        notes
    }
}

/// Cancels of requests for which a side had left the other one no window.
fn held(history: &History, by: Side) -> u64 {
    history.cancels().filter(|reset| reset.held_by == Some(by)).count() as u64
}

/// Cancels of requests that their client was still sending.
fn uploads(history: &History) -> u64 {
    let sending = |reset: &&Reset| {
        let since = reset.last_own.map(|last| reset.stamp.since(last));
        let busy = since.zip(reset.age()).is_some_and(|(since, age)| since * 4 <= age);
        !reset.request_ended && reset.sent > 0 && reset.responded.is_none() && busy
    };
    history.cancels().filter(sending).count() as u64
}

/// A server that stood still for far longer than its answers take, with requests given up
/// meanwhile.
fn standstill(history: &History) -> Option<Standstill> {
    let of = *history.stood_still()?;
    let usual = history.answers.total().quantile(0.5);
    let meanwhile = |reset: &&Reset| of.from.before(reset.stamp) && !of.until.before(reset.stamp);
    let given_up = history.cancels().filter(meanwhile).count() as u64;
    (!history.has_loss() && given_up > 0).then_some(Standstill { of, given_up, usual })
}

fn idle_end(verdict: &Verdict, waiting: u64) -> Option<(Duration, u64)> {
    let timeout = verdict.timeout.as_ref()?;
    (timeout.configured_in == ConfiguredIn::Server && !timeout.at_least)
        .then(|| (Duration::from_secs_f64(timeout.seconds), waiting))
}

/// Most resets of requests that had waited, within a window.
fn within(history: &History, window: Duration) -> u32 {
    let waited = |reset: &&Reset| reset.age().is_some_and(|age| age >= AT_ONCE);
    let times: Vec<i64> = history.cancels().filter(waited).map(|r| r.stamp.at.0).collect();
    let window = window.as_nanos() as i64;
    let (mut most, mut from) = (0, 0);
    for (index, time) in times.iter().enumerate() {
        while times.get(from).is_some_and(|first| time.saturating_sub(*first) > window) {
            from += 1;
        }
        most = most.max(index + 1 - from);
    }
    most as u32
}

/// Whether requests come at one pace, whatever becomes of them: the next before the last one was
/// given up, at the age of `oldest` at most.
fn are_paced(opened: &[(u64, i64)], oldest: Duration) -> bool {
    let mut times: Vec<i64> = opened.iter().map(|(_, at)| *at).collect();
    times.sort_unstable();
    let gaps = times.iter().zip(times.iter().skip(1)).map(|(a, b)| b - a);
    let mut gaps: Vec<i64> = gaps.collect();
    gaps.sort_unstable();
    let Some(middle) = gaps.get(gaps.len() / 2).copied() else { return false };
    let near = gaps.iter().filter(|gap| (*gap - middle).abs() * 20 <= middle).count();
    let many = oldest.as_nanos() > 2 * u128::from(middle.unsigned_abs());
    middle > 0 && many && gaps.len() >= 5 && near * 5 >= gaps.len() * 4
}

/// Requests of one kind that begin right after a cancel of that kind, far more often than right
/// before one. Where the client was held back by the limit on streams, the queue looks the same.
fn repeats(history: &History, judged: &Judged) -> Option<Repeats> {
    // Who changed its mind asks for something else; who lost patience asks again.
    let mut timed_out: Vec<u32> = Vec::new();
    for set in judged.cancellations.iter().filter(|set| set.cause == Cause::ClientRequestTimeout) {
        timed_out.extend_from_slice(&set.streams);
    }
    timed_out.sort_unstable();
    if history.reached_stream_limit() {
        return None;
    }
    let waited = |reset: &&Reset| {
        let lost = timed_out.binary_search(&reset.stream).is_ok();
        lost && reset.opener == Side::Client && reset.age().is_some_and(|age| age >= AT_ONCE)
    };
    let cancels: Vec<&Reset> = history.cancels().filter(waited).collect();
    // Who works through a list asks for the next item.
    let mut opened: Vec<(u64, i64)> =
        cancels.iter().filter_map(|r| Some((r.target, r.opened?.at.0))).collect();
    opened.sort_unstable();
    opened.dedup();
    let ages = cancels.iter().filter_map(|reset| reset.age()).max().unwrap_or_default();
    if are_paced(&opened, ages) {
        return None;
    }
    let window = AT_ONCE.as_nanos() as i64;
    let (mut after, mut before) = (Vec::new(), 0u32);
    for reset in &cancels {
        let at = reset.stamp.at.0;
        let place = opened.partition_point(|(class, time)| (*class, *time) < (reset.target, at));
        let next = opened.get(place).filter(|(class, _)| *class == reset.target);
        if let Some((_, time)) = next.filter(|(_, time)| time - at <= window) {
            after.push(Duration::from_nanos((time - at) as u64));
        }
        let last = place.checked_sub(1).and_then(|place| opened.get(place));
        let near = last.is_some_and(|(class, t)| *class == reset.target && at - t <= window);
        before += u32::from(near);
    }
    let count = after.len() as u32;
    let clear = count >= 5 && after.len() * 2 >= cancels.len() && count >= 3 * before;
    after.sort_unstable();
    let delay = after.get(after.len() / 2).copied()?;
    clear.then_some(Repeats { count, cancels: cancels.len() as u32, before, delay })
}

const AT_ONCE: Duration = Duration::from_millis(20);
const THIRTY: Duration = Duration::from_secs(30);
/// A request sent so shortly before the end crossed it on the way.
const RACE: Duration = Duration::from_millis(250);
