//! Alarms: what passes a filter, more often than a rate.
//!
//! Takes events, gives what has to be raised. Reads no clock: time is the packets'.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::ConnectionRow;
use super::filter::{Fault, Filter};
use super::meter::Event;
use super::told::{About, Told};
use crate::vocab::time::Timestamp;

/// `cause:client_request_timeout rate>5/m`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    text: String,
    filter: Filter,
    rate: Rate,
}

/// More than so many within a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate {
    over: u64,
    within: Duration,
}

/// An alarm that went off.
#[derive(Clone, Debug)]
pub struct Raised {
    /// Its text.
    pub alarm: String,
    /// Events within the time.
    pub count: u64,
    /// That time.
    pub within: Duration,
    /// When it would have gone off again since it last did.
    pub held_back: u64,
    /// The latest event.
    pub told: Told,
}

/// Watches events.
#[derive(Debug, Default)]
pub struct Alarms {
    watched: Vec<Watched>,
    /// Time between two of the same.
    pause: Duration,
    number: u64,
}

#[derive(Debug)]
struct Watched {
    alarm: Alarm,
    /// Counts by time, oldest first, those near each other together.
    recent: VecDeque<(Timestamp, u64)>,
    /// When it last went off.
    raised: Option<Timestamp>,
    held_back: u64,
}

impl Alarm {
    /// Understands a filter with `rate>N/s`, `/m` or `/h` among its words; without one, each event
    /// is one too many.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn new(text: &str) -> Result<Self, Fault> {
        if text.trim().is_empty() {
            let what = "an alarm needs a filter or a rate, as in 'cause:idle_timeout rate>5/m'";
            return Err(Fault { at: 0, what: what.to_owned() });
        }
        let mut rate = Rate { over: 0, within: MINUTE };
        let mut rest = text.to_owned();
        if let Some(at) = text.find("rate>").filter(|at| is_word(text, *at)) {
            let word = text.get(at..).unwrap_or_default();
            let word = word.split_whitespace().next().unwrap_or_default();
            let place = text.get(..at).map_or(0, |before| before.chars().count());
            rate = Rate::new(word).ok_or_else(|| Fault {
                at: place,
                what: format!("'{word}' is no rate, rate>5/m is"),
            })?;
            // In its place, so that what is wrong elsewhere is shown where it is.
            rest.replace_range(at..at.saturating_add(word.len()), &" ".repeat(word.len()));
        }
        let filter = Filter::new(&rest)?;
        if filter.is_of_streams() {
            let what = "alarms know connections, verdicts and cancellations, but no single streams";
            return Err(Fault { at: 0, what: what.to_owned() });
        }
        Ok(Self { text: text.trim().to_owned(), filter, rate })
    }

    /// Asks the filter about a [`narrowed`] connection.
    fn passes(&self, row: &ConnectionRow) -> bool {
        self.filter.connection(row)
    }
}

/// Whether a word begins here.
fn is_word(text: &str, at: usize) -> bool {
    text.get(..at).is_some_and(|before| before.is_empty() || before.ends_with(char::is_whitespace))
}

impl Rate {
    fn new(word: &str) -> Option<Self> {
        let (number, unit) = word.strip_prefix("rate>")?.split_once('/')?;
        let within = match unit {
            "s" => Duration::from_secs(1),
            "m" | "min" => MINUTE,
            "h" => Duration::from_secs(3600),
            _ => return None,
        };
        Some(Self { over: number.parse().ok()?, within })
    }
}

/// The connection with nothing on it but what happened: what the filter is asked about.
fn narrowed(event: &Event) -> ConnectionRow {
    let mut row = ConnectionRow::clone(&event.row);
    let (goaway, set) = match event.about {
        About::Goaway(index) => (row.goaways.get(index).cloned(), None),
        About::Cancellations(index) => (None, row.cancellations.get(index).cloned()),
        About::End => (None, None),
    };
    row.goaways = goaway.into_iter().collect();
    row.cancellations = set.into_iter().collect();
    row.end_verdict = row.end_verdict.filter(|_| event.about == About::End);
    row
}

impl Alarms {
    /// Watches for these; the same goes off once in `pause` at most.
    pub fn new(alarms: Vec<Alarm>, pause: Duration) -> Self {
        let watched =
            |alarm| Watched { alarm, recent: VecDeque::new(), raised: None, held_back: 0 };
        Self { watched: alarms.into_iter().map(watched).collect(), pause, number: 0 }
    }

    /// How many went off.
    pub fn raised(&self) -> u64 {
        self.number
    }

    /// Whether there is nothing to watch for.
    pub fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    /// Takes what happened, each at its own time. Gives what goes off: once for what comes right
    /// behind each other.
    pub fn take(&mut self, events: &[Event]) -> Vec<Raised> {
        if self.watched.is_empty() {
            return Vec::new();
        }
        let mut events: Vec<(Told, u64, ConnectionRow)> =
            events.iter().map(|event| (told(event), event.count, narrowed(event))).collect();
        events.sort_by_key(|(told, ..)| told.at());
        let mut raised = Vec::new();
        for watched in &mut self.watched {
            let mut fresh: Vec<Raised> = Vec::new();
            for (told, count, row) in &events {
                if watched.alarm.passes(row) {
                    watched.take(told, *count, self.pause, &mut fresh);
                }
            }
            for raised in &mut fresh {
                self.number = self.number.saturating_add(1);
                raised.told.number = self.number;
            }
            raised.append(&mut fresh);
        }
        raised
    }
}

fn told(event: &Event) -> Told {
    let (row, settled, about) = (Arc::clone(&event.row), event.row.settled, event.about);
    Told { number: 0, settles: None, settled, about, row }
}

impl Watched {
    /// Counts what passed; where that is too often, puts it to what goes off.
    fn take(&mut self, told: &Told, count: u64, pause: Duration, raised: &mut Vec<Raised>) {
        let at = told.at();
        self.count(count, at);
        let count = self.within(at);
        if count <= self.alarm.rate.over {
            return;
        }
        let since = self.raised.map(|before| at.since(before));
        match (raised.last_mut(), since) {
            (Some(last), Some(since)) if since < self.near() => {
                (last.count, last.told) = (count, told.clone());
            }
            (_, Some(since)) if since < pause => self.held_back = self.held_back.saturating_add(1),
            _ => {
                self.raised = Some(at);
                raised.push(Raised {
                    alarm: self.alarm.text.clone(),
                    count,
                    within: self.alarm.rate.within,
                    held_back: std::mem::take(&mut self.held_back),
                    told: told.clone(),
                });
            }
        }
    }

    /// What is so near each other is told together.
    fn near(&self) -> Duration {
        self.alarm.rate.within / STEPS
    }

    fn count(&mut self, count: u64, now: Timestamp) {
        let near = self.near();
        match self.recent.back_mut() {
            Some((at, sum)) if now.since(*at) < near => *sum = sum.saturating_add(count),
            _ => self.recent.push_back((now, count)),
        }
    }

    /// Events within the time until now.
    fn within(&mut self, now: Timestamp) -> u64 {
        let within = self.alarm.rate.within;
        while self.recent.front().is_some_and(|(at, _)| now.since(*at) >= within) {
            self.recent.pop_front();
        }
        self.recent.iter().map(|(_, count)| *count).fold(0, u64::saturating_add)
    }
}

const MINUTE: Duration = Duration::from_secs(60);
/// Parts of the time that are told apart: so many counts are kept at most.
const STEPS: u32 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_word_among_others() {
        for text in ["cause:idle_timeout rate>5/m", "rate>5/m cause:idle_timeout"] {
            let alarm = Alarm::new(text).unwrap();
            assert_eq!(alarm.rate, Rate { over: 5, within: MINUTE });
            assert_eq!(alarm.filter.text(), "cause:idle_timeout");
        }
        assert_eq!(Alarm::new("by:server").unwrap().rate.over, 0);
        assert_eq!(Alarm::new("rate>9/h").unwrap().rate.within, Duration::from_secs(3600));
        assert_eq!(Alarm::new("by:server rate>x/m").unwrap_err().at, 10);
        assert_eq!(Alarm::new("rate>5/m cuase:idle_timeout").unwrap_err().at, 9);
        assert!(Alarm::new(" ").unwrap_err().what.contains("needs a filter or a rate"));
        assert!(Alarm::new("path:/slow").unwrap_err().what.contains("streams"));
    }
}
