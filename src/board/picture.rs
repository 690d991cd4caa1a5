//! What pictures of a connection are drawn from, on paper and on the screen: the gaps between the
//! steps of a chain, and the parts of a stream's life.

use super::{ConnectionRow, StreamRow};
use crate::vocab::text::span;
use crate::vocab::time::Stamp;
use crate::vocab::verdict::{Evidence, Verdict};

/// Time between two steps of a chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Gap {
    /// How long nothing happened, and `too late` where that was an answer's delay.
    pub text: String,
    /// The timer that ran out, where that is it.
    pub why: &'static str,
}

/// The time between two steps that follow each other, and what it was; nothing where it is too
/// short to be told.
pub fn gap(before: &Evidence, after: &Evidence, verdict: &Verdict) -> Option<Gap> {
    let seconds = after.stamp.since(before.stamp).as_secs_f64();
    if seconds < GAP_SECONDS {
        return None;
    }
    let near = |timer: f64| (seconds - timer).abs() <= 0.06 * timer;
    let same = (before.connection, before.stream) == (after.connection, after.stream);
    let timed =
        verdict.timeout.as_ref().filter(|timer| near(timer.seconds) && same && !timer.at_least);
    let reset = verdict.late_answer.as_ref().and_then(|late| late.reset);
    Some(match timed {
        Some(timer) => Gap { text: span(seconds), why: timer.kind.name() },
        None if reset == Some(before.stamp) => {
            Gap { text: format!("{} too late", span(seconds)), why: "" }
        }
        None => Gap { text: span(seconds), why: "" },
    })
}

/// The life of a stream, in seconds since the connection's first packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Life {
    /// The request.
    pub start: f64,
    /// Where the answer began.
    pub answer: Option<f64>,
    /// Where it ended, or the connection's last packet.
    pub end: f64,
}

/// The life of a stream whose beginning was captured.
pub fn life(row: &ConnectionRow, stream: &StreamRow) -> Option<Life> {
    let since = |stamp: Stamp| stamp.since(row.first).as_secs_f64();
    let start = since(stream.opened?);
    let end = stream.ended.map_or_else(|| since(row.last).max(start), since);
    let answer = stream.first_response_after.map(|after| start + after.as_secs_f64());
    Some(Life { start, answer, end })
}

/// The next larger of 1, 2 and 5 times a power of ten: the distance of an axis's ticks.
pub fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.max(1e-9).log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= least);
    factor.unwrap_or(10.0) * power
}

/// As many digits as tell two ticks apart.
pub fn tick_text(at: f64, step: f64) -> String {
    let digits = usize::try_from(-(step.log10().floor() as i32)).unwrap_or(0);
    format!("{at:.digits$} s")
}

/// Shorter gaps are not told.
pub const GAP_SECONDS: f64 = 0.001;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!([0.3, 0.5, 1.3, 7.0].map(round_step), [0.5, 0.5, 2.0, 10.0]);
        assert_eq!([(4.0, 2.0), (0.25, 0.05)].map(|(at, by)| tick_text(at, by)), ["4 s", "0.25 s"]);
    }
}
