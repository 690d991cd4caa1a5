//! What a capture would have looked like with another timeout, as far as it can tell.
//!
//! Takes a board and a wish, gives what would not have happened, what would have all the same, and
//! what nobody can know. What was not seen is not guessed: an answer that never came may have come
//! a moment later, or never.

use serde::Serialize;

use super::{Board, ConnectionRow};
use crate::vocab::cause::Cause;
use crate::vocab::hop::Way;
use crate::vocab::pair::{AgeCount, Timer};
use crate::vocab::text::span;
use crate::vocab::verdict::{Timeout, Verdict};

/// A timer, and the value that is tried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wish {
    /// Which timer.
    pub timer: Timer,
    /// Its value in seconds.
    pub seconds: f64,
}

/// Timers that can be tried.
pub const TIMERS: &[Timer] = &[
    Timer::Of(Cause::ClientRequestTimeout),
    Timer::Of(Cause::IdleTimeout),
    Timer::Of(Cause::KeepalivePingTimeout),
    Timer::KeepaliveInterval,
];

/// What would have come of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Supposed {
    /// Which timer.
    pub timer: Timer,
    /// The value that was tried.
    pub seconds: f64,
    /// Values that were measured, smallest first.
    pub measured: Vec<f64>,
    /// Requests that the timer ended.
    pub cancellations: Spared,
    /// GOAWAYs, and ends without one, that began with the timer.
    pub endings: Spared,
    /// Requests that went away with those connections.
    pub lost_requests: Spared,
    /// Requests that were answered, and would not have been.
    pub ended_besides: u64,
    /// Requests that waited in vain until their connection or the capture ended, and would have
    /// been cancelled before.
    pub open_besides: u64,
    /// What cannot be known, one sentence each.
    pub unknown: Vec<String>,
}

/// What happened, by whether it would have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spared {
    /// How many there were.
    pub seen: u64,
    /// Would not have happened.
    pub spared: u64,
    /// Would have happened all the same.
    pub still: u64,
    /// The capture cannot tell.
    pub unknown: u64,
}

impl Spared {
    fn add(&mut self, number: u64, fate: Fate) {
        self.seen = self.seen.saturating_add(number);
        let part = match fate {
            Fate::Spared => &mut self.spared,
            Fate::Still => &mut self.still,
            Fate::Unknown => &mut self.unknown,
        };
        *part = part.saturating_add(number);
    }
}

/// A wish beside a timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Than {
    Shorter,
    Longer,
    /// Within what was measured.
    Among,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Spared,
    Still,
    Unknown,
}

/// Weighs a wish.
pub fn suppose(board: &Board, wish: Wish) -> Supposed {
    let measured = board.inferred_timeouts.iter().filter(|of| of.kind == wish.timer);
    let mut measured: Vec<f64> = measured.map(|of| of.seconds).collect();
    measured.sort_by(f64::total_cmp);
    let mut supposed = Supposed {
        timer: wish.timer,
        seconds: wish.seconds,
        measured,
        cancellations: Spared::default(),
        endings: Spared::default(),
        lost_requests: Spared::default(),
        ended_besides: 0,
        open_besides: 0,
        unknown: Vec::new(),
    };
    match wish.timer {
        Timer::Of(Cause::ClientRequestTimeout) => supposed.of_requests(board),
        Timer::Of(Cause::IdleTimeout) => supposed.of_idleness(board),
        Timer::Of(Cause::KeepalivePingTimeout) => supposed.of_ping_answers(board),
        _ => supposed.of_pings(board),
    }
    supposed
}

impl Supposed {
    fn of_requests(&mut self, board: &Board) {
        let (mut still, mut ended, mut between) = (0, 0, 0);
        for set in board.rows().flat_map(|(_, row)| &row.cancellations) {
            // What a proxy passed on is the same request again.
            let again = set.hop.as_ref().is_some_and(|hop| hop.way == Way::CancelPassedOn);
            if set.cause == Cause::ClientRequestTimeout && !again {
                let part = match self.than(set.timeout.as_ref()) {
                    Than::Shorter => &mut still,
                    Than::Longer => &mut ended,
                    Than::Among => &mut between,
                };
                *part += set.streams.len() as u64;
            }
        }
        let late = |fits: &dyn Fn(f64) -> bool| sum(&board.ages.late, fits);
        let in_time = late(&|after| after <= self.seconds).min(ended);
        let too_late = late(&|after| after > self.seconds).min(ended.saturating_sub(in_time));
        let unseen = ended.saturating_sub(in_time).saturating_sub(too_late);
        self.cancellations.add(in_time, Fate::Spared);
        self.cancellations.add(too_late.saturating_add(still), Fate::Still);
        self.cancellations.add(unseen.saturating_add(between), Fate::Unknown);
        if self.measured.first().is_none_or(|least| self.seconds < *least) {
            self.ended_besides = sum(&board.ages.answers, &|after| after > self.seconds);
            // Those that died with a connection whose timeout had run out are told above.
            let direct = board.rows().flat_map(|(_, row)| row.verdicts()).filter(|verdict| {
                verdict.cause == Cause::ClientRequestTimeout && verdict.trigger == verdict.cause
            });
            let direct: u64 = direct.map(|of| of.maybe_processed_streams.len() as u64).sum();
            let open = sum(&board.ages.open, &|after| after > self.seconds);
            self.open_besides = open.saturating_sub(direct);
        }
        if unseen > 0 {
            self.unknown.push(format!(
                "No answer was seen to {unseen} of the requests that were ended: how long they \
                 would have taken cannot be known."
            ));
        }
        self.of_request_endings(board, between);
    }

    /// What a wish is beside the timeout that ended something; where that was not measured by
    /// itself, beside all that were.
    fn than(&self, timeout: Option<&Timeout>) -> Than {
        let (least, most) = match timeout {
            Some(own) => (Some(own.seconds), Some(own.seconds + own.spread_seconds)),
            None => (self.measured.first().copied(), self.measured.last().copied()),
        };
        // Whatever ran into a longer timeout runs into a shorter one.
        if least.is_some_and(|least| self.seconds <= least) {
            Than::Shorter
        } else if most.is_none_or(|most| self.seconds > most) {
            Than::Longer
        } else {
            Than::Among
        }
    }

    /// The same of connections; of so many requests it is not told which timeout they ran into.
    fn of_request_endings(&mut self, board: &Board, between: u64) {
        let (wish, mut among, mut later) = (self.clone(), between, 0);
        self.endings_of(board, Cause::ClientRequestTimeout, |_, verdict| {
            let late = verdict.late_answer.as_ref().and_then(|late| late.answered_after);
            match (wish.than(verdict.timeout.as_ref()), late) {
                (Than::Shorter, _) => Fate::Still,
                (Than::Longer, Some(after)) if after <= wish.seconds => Fate::Spared,
                (Than::Longer, Some(_)) => Fate::Still,
                (Than::Longer, None) => {
                    later += 1;
                    Fate::Unknown
                }
                (Than::Among, _) => {
                    among += 1;
                    Fate::Unknown
                }
            }
        });
        let told = [
            (
                among,
                "The value lies among those that were measured: which of them a request ran \
                     into is not told.",
            ),
            (
                later,
                "Whether an end that the timeout brought would have come later, or not at all, \
                 cannot be known.",
            ),
            (
                self.endings.spared,
                "A connection that would have lived on might have met another \
                     reason to end.",
            ),
        ];
        let told = told.iter().filter(|(number, _)| *number > 0);
        self.unknown.extend(told.map(|(_, text)| (*text).to_owned()));
    }

    /// A connection that idles longer is of use where its client opened another meanwhile.
    fn of_idleness(&mut self, board: &Board) {
        let seconds = self.seconds;
        let last = board.captures.iter().filter_map(|of| of.last_packet_at).max();
        self.endings_of(board, Cause::IdleTimeout, |row, verdict| {
            let Some(timeout) = &verdict.timeout else { return Fate::Unknown };
            if seconds <= timeout.seconds {
                return Fate::Still;
            }
            let closed = row.end.stamp.unwrap_or(row.last).at;
            let more = std::time::Duration::try_from_secs_f64(seconds - timeout.seconds);
            let until = closed.plus(more.unwrap_or(std::time::Duration::MAX));
            let next = board.rows().any(|(_, other)| {
                let ends = other.client.ip == row.client.ip && other.server == row.server;
                let opened = other.opened_at.is_some_and(|at| at >= closed && at <= until);
                ends && opened && other.flow != row.flow
            });
            match next {
                true => Fate::Spared,
                false if last.is_some_and(|last| last >= until) => Fate::Still,
                false => Fate::Unknown,
            }
        });
        if self.endings.spared > 0 {
            self.unknown.push(
                "Spared are connections after which the same client opened another to the same \
                 server in time; whether it would have used the old one is its pool's choice."
                    .into(),
            );
        }
        if self.measured.last().is_some_and(|most| self.seconds < *most) {
            self.unknown.push(
                "How many more connections a shorter timeout would have ended is not told: those \
                 that were used again in time say nothing about it."
                    .into(),
            );
        }
    }

    fn of_ping_answers(&mut self, board: &Board) {
        let seconds = self.seconds;
        self.endings_of(board, Cause::KeepalivePingTimeout, |_, verdict| {
            match verdict.timeout.as_ref() {
                Some(timeout) if seconds <= timeout.seconds => Fate::Still,
                _ => Fate::Unknown,
            }
        });
        if self.endings.unknown > 0 {
            self.unknown.push(
                "The PINGs were never answered: whether an answer would have come later cannot be \
                 known."
                    .into(),
            );
        }
        for (_, row) in board.rows() {
            let mut from = 0.0;
            for (bound, count) in row.metered.iter().flat_map(|of| of.pings.buckets()) {
                // What lies around the value is not told apart.
                self.ended_besides += if from >= seconds { count } else { 0 };
                from = bound;
            }
        }
    }

    fn of_pings(&mut self, board: &Board) {
        let least = self.measured.first().copied();
        let seconds = self.seconds;
        self.endings_of(board, Cause::TooManyPings, |_, _| match least {
            Some(least) if seconds <= least => Fate::Still,
            _ if seconds >= GRPC_ALLOWS => Fate::Spared,
            _ => Fate::Unknown,
        });
        if self.endings.unknown > 0 {
            self.unknown.push(format!(
                "What interval the server allows is not on the wire; gRPC servers allow {} unless \
                 told otherwise.",
                span(GRPC_ALLOWS)
            ));
        }
        if self.endings.spared > 0 {
            self.unknown.push(format!(
                "Spared if the server allows what gRPC servers allow by default: {}.",
                span(GRPC_ALLOWS)
            ));
        }
    }

    /// Endings that begin with a cause, and the requests that they took.
    fn endings_of(
        &mut self,
        board: &Board,
        cause: Cause,
        mut fate: impl FnMut(&ConnectionRow, &Verdict) -> Fate,
    ) {
        for (_, row) in board.rows() {
            for verdict in row.verdicts().filter(|verdict| verdict.cause == cause) {
                let fate = fate(row, verdict);
                self.endings.add(1, fate);
                self.lost_requests.add(verdict.died() as u64, fate);
            }
        }
    }
}

fn sum(ages: &[AgeCount], fits: &dyn Fn(f64) -> bool) -> u64 {
    ages.iter().filter(|age| fits(age.seconds)).map(|age| age.count).sum()
}

/// Time between pings that gRPC servers allow by default (gRPC A8, `PERMIT_KEEPALIVE_TIME`).
const GRPC_ALLOWS: f64 = 300.0;
