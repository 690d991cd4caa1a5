//! How connections fared, in numbers: what the headline and the causes are told from, and what is
//! left of connections whose rows were let go. As many entries as there are chains of causes, each
//! with a time for every listed ending.

use std::collections::BTreeMap;

use super::group::Standing;
use super::headline::chain;
use super::{Board, ConnectionRow};
use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause};
use crate::vocab::time::Timestamp;
use crate::vocab::verdict::Cancellation;

/// Connections by how they fared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fared {
    /// Somebody has to change something: the chain, and who.
    pub trouble: BTreeMap<(String, Blame), usize>,
    /// Ended in good order while requests ran: the cause.
    pub unlucky: BTreeMap<Cause, usize>,
    /// TLS that was not decrypted.
    pub dark: usize,
    /// Cancelled streams.
    pub cancelled: BTreeMap<Cause, Cancelled>,
    /// Requests left by clients that were done.
    pub left: usize,
    /// Streams that were refused.
    pub refused: usize,
    /// Streams that were reset by who should have answered, for no reason that is told.
    pub reset: usize,
    /// Requests that a gateway answered with status 504.
    pub timed_out: usize,
    /// Why connections ended and streams were cancelled: whether none ended by it, the chain, who
    /// has to act.
    pub reasons: BTreeMap<(bool, String, Blame), Reason>,
}

/// Streams cancelled for one cause.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cancelled {
    /// How many.
    pub streams: usize,
    /// The shortest and the longest timer that was measured, in seconds.
    pub timers: Option<(f64, f64)>,
}

/// What endings, or sets of cancelled streams, of one reason have in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reason {
    /// How many endings, or sets.
    pub count: u64,
    /// Requests that were cancelled or died.
    pub victims: u64,
    /// From when to when.
    pub times: Vec<(Timestamp, Timestamp)>,
}

impl Fared {
    /// How all of these fared.
    pub fn of<'a>(rows: impl Iterator<Item = &'a ConnectionRow>) -> Self {
        let mut fared = Self::default();
        rows.for_each(|row| fared.count(row));
        fared
    }

    /// How those of a board fared, those that are no longer listed too.
    pub fn of_board(board: &Board) -> Self {
        let mut fared = Self::of(board.rows().map(|(_, row)| row));
        fared.merge(board.earlier.fared.clone());
        fared
    }

    /// Adds a row that is let go: of times, only the first and the last is kept.
    pub fn add(&mut self, row: &ConnectionRow) {
        self.count(row);
        for reason in self.reasons.values_mut().filter(|reason| reason.times.len() > 1) {
            let first = reason.times.iter().map(|(first, _)| *first).min();
            let last = reason.times.iter().map(|(_, last)| *last).max();
            reason.times = first.zip(last).into_iter().collect();
        }
    }

    /// Adds what others counted.
    pub fn merge(&mut self, other: Self) {
        for (key, number) in other.trouble {
            add(self.trouble.entry(key).or_default(), number);
        }
        for (key, number) in other.unlucky {
            add(self.unlucky.entry(key).or_default(), number);
        }
        for (cause, cancelled) in other.cancelled {
            self.cancelled.entry(cause).or_default().add(cancelled);
        }
        add(&mut self.dark, other.dark);
        add(&mut self.left, other.left);
        add(&mut self.refused, other.refused);
        add(&mut self.reset, other.reset);
        add(&mut self.timed_out, other.timed_out);
        for (key, reason) in other.reasons {
            let of = self.reasons.entry(key).or_default();
            of.count = of.count.saturating_add(reason.count);
            of.victims = of.victims.saturating_add(reason.victims);
            of.times.extend(reason.times);
        }
    }

    /// Connections that went away in trouble.
    pub fn troubled(&self) -> usize {
        self.trouble.values().sum()
    }

    fn count(&mut self, row: &ConnectionRow) {
        self.reasons(row);
        for set in &row.cancellations {
            let timer = set.timeout.as_ref().map(|timeout| (timeout.seconds, timeout.seconds));
            let found = Cancelled { streams: set.streams.len(), timers: timer };
            self.cancelled.entry(set.cause).or_default().add(found);
        }
        let answering = row.cancellations.iter().filter(|set| set.by == Side::Server);
        let told: usize = answering.map(|set| set.streams.len()).sum();
        let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        add(&mut self.reset, number(row.streams.reset).saturating_sub(told));
        add(&mut self.refused, number(row.streams.refused));
        add(&mut self.timed_out, number(row.streams.timed_out));
        let lead = row.lead();
        if let Some(done) = lead.filter(|verdict| verdict.cause == Cause::ClientShutdown) {
            add(&mut self.left, done.died());
        }
        if row.is_dark() {
            return add(&mut self.dark, 1);
        }
        let Some(verdict) = lead.filter(|_| row.standing() == Standing::Trouble) else { return };
        let number = match verdict.blame {
            Blame::None => self.unlucky.entry(verdict.cause).or_default(),
            blame => self.trouble.entry((chain(verdict), blame)).or_default(),
        };
        add(number, 1);
    }

    fn reasons(&mut self, row: &ConnectionRow) {
        let mut tell = |chain: String, blame: Blame, ended: bool, victims: usize, times| {
            let reason = self.reasons.entry((!ended, chain, blame)).or_default();
            reason.count += 1;
            reason.victims += victims as u64;
            reason.times.push(times);
        };
        let apart: usize = row.cancelled_apart().map(|set| set.streams.len()).sum();
        let lead = row.lead().map(std::ptr::from_ref);
        let end = row.end.stamp.unwrap_or(row.last);
        let endings = row.own_goaways().map(|goaway| (&goaway.verdict, goaway.stamp));
        for (verdict, stamp) in endings.chain(row.end_verdict.iter().map(|of| (of, end))) {
            // What was cancelled for another reason is told there.
            let leads = lead == Some(std::ptr::from_ref(verdict));
            let died = if leads { row.victims().saturating_sub(apart) } else { 0 };
            tell(chain(verdict), verdict.blame, true, died, (stamp.at, stamp.at));
        }
        for set in row.cancelled_apart() {
            let times = (set.first.at, set.last.at);
            tell(set.cause.name().to_owned(), blamed(set), false, set.streams.len(), times);
        }
    }
}

impl Cancelled {
    fn add(&mut self, other: Self) {
        add(&mut self.streams, other.streams);
        self.timers = match (self.timers, other.timers) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
    }
}

fn add(to: &mut usize, number: usize) {
    *to = to.saturating_add(number);
}

/// Who has to act on cancelled streams.
fn blamed(set: &Cancellation) -> Blame {
    match set.cause {
        Cause::ClientRequestTimeout | Cause::ClientCancelBurst => Blame::Client,
        _ => Blame::Unknown,
    }
}
