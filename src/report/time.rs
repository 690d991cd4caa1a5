//! Packet time for people and programs.

use std::cell::RefCell;
use std::io::{self, Write};

use jiff::tz::TimeZone;

use crate::board::Board;
use crate::vocab::time::Timestamp;

/// How the text report shows times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeStyle {
    /// Seconds since the first packet.
    #[default]
    Relative,
    /// Date and time in this machine's zone.
    Local,
    /// Date and time in UTC.
    Utc,
}

/// Turns packet times into text.
pub(super) struct Clock {
    style: TimeStyle,
    base: Timestamp,
    zone: TimeZone,
}

impl Clock {
    /// A clock that starts at the board's first packet.
    pub(super) fn of(board: &Board, style: TimeStyle) -> Self {
        let captures = board.captures.iter().filter_map(|capture| capture.first_packet_at);
        let connections = board.connections.iter().map(|row| row.first.at);
        let zone = match style {
            TimeStyle::Local => TimeZone::system(),
            TimeStyle::Relative | TimeStyle::Utc => TimeZone::UTC,
        };
        Self { style, base: captures.chain(connections).min().unwrap_or_default(), zone }
    }

    /// `+10.071 s`, or date and time.
    pub(super) fn at(&self, at: Timestamp) -> String {
        match self.style {
            TimeStyle::Relative if at < self.base => {
                format!("-{:.3} s", self.base.since(at).as_secs_f64())
            }
            TimeStyle::Relative => format!("+{:.3} s", at.since(self.base).as_secs_f64()),
            TimeStyle::Local | TimeStyle::Utc => {
                let zoned = civil(at).to_zoned(self.zone.clone());
                let mark = if self.style == TimeStyle::Utc { "Z" } else { "" };
                format!("{}{mark}", zoned.strftime("%Y-%m-%d %H:%M:%S%.3f"))
            }
        }
    }
}

/// RFC 3339 in UTC with nanoseconds.
pub(super) struct Rfc3339(pub(super) Timestamp);

/// The same as text.
pub(super) fn rfc3339(at: Timestamp) -> String {
    format!("{:.9}", civil(at))
}

impl serde::Serialize for Rfc3339 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        thread_local! {
            static TICKER: RefCell<Ticker> = RefCell::default();
        }
        TICKER.with_borrow_mut(|ticker| serializer.serialize_str(ticker.whole(self.0)))
    }
}

/// Writes many times in a row: the second is formatted once, as neighbours share it.
#[derive(Default)]
pub(super) struct Ticker {
    second: Option<i64>,
    text: String,
    /// Of the text, without a fraction.
    length: usize,
}

impl Ticker {
    /// `2026-11-22T15:02:11`, without fraction and zone, and the nanoseconds within that second.
    fn split(&mut self, at: Timestamp) -> (&str, i64) {
        let second = at.0.div_euclid(NANOSECONDS);
        if self.second != Some(second) {
            self.second = Some(second);
            let whole = Timestamp(second.saturating_mul(NANOSECONDS));
            self.text = civil(whole).strftime("%Y-%m-%dT%H:%M:%S").to_string();
            self.length = self.text.len();
        }
        self.text.truncate(self.length);
        (&self.text, at.0.rem_euclid(NANOSECONDS))
    }

    /// RFC 3339 in UTC with nanoseconds.
    pub(super) fn rfc3339(&mut self, out: &mut impl Write, at: Timestamp) -> io::Result<()> {
        out.write_all(self.whole(at).as_bytes())
    }

    fn whole(&mut self, at: Timestamp) -> &str {
        let (_, mut rest) = self.split(at);
        let mut digits = [b'0'; 9];
        for digit in digits.iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
        }
        self.text.push('.');
        self.text.extend(digits.map(char::from));
        self.text.push('Z');
        &self.text
    }

    /// Time of day in UTC with microseconds.
    pub(super) fn time_of_day(&mut self, out: &mut impl Write, at: Timestamp) -> io::Result<()> {
        let (text, nanoseconds) = self.split(at);
        let day = text.split_once('T').map_or("", |(_, day)| day);
        write!(out, "{day}.{:06}", nanoseconds / 1_000)
    }
}

fn civil(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_nanosecond(i128::from(at.0)).unwrap_or_default()
}

const NANOSECONDS: i64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_with_nanoseconds() {
        let at = Timestamp(1_700_000_000_000_000_042);
        assert_eq!(
            serde_json::to_string(&Rfc3339(at)).unwrap(),
            "\"2023-11-14T22:13:20.000000042Z\""
        );
        let (mut fast, mut ticker) = (Vec::new(), Ticker::default());
        ticker.rfc3339(&mut fast, at).unwrap();
        assert_eq!(fast, b"2023-11-14T22:13:20.000000042Z");
        fast.clear();
        ticker.rfc3339(&mut fast, Timestamp(-1)).unwrap();
        assert_eq!(fast, b"1969-12-31T23:59:59.999999999Z");
    }
}
