//! Packet times as the screen shows them.

use jiff::tz::TimeZone;

use crate::vocab::time::Timestamp;

/// How times are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeStyle {
    /// Since the first packet.
    #[default]
    Relative,
    /// Since the connection's first packet.
    Connection,
    /// Before and after the GOAWAY or end that is looked at.
    Ending,
    /// Time of day in this machine's zone.
    Local,
    /// Time of day in UTC.
    Utc,
}

impl TimeStyle {
    /// The next of them.
    pub(super) fn next(self) -> Self {
        match self {
            Self::Relative => Self::Connection,
            Self::Connection => Self::Ending,
            Self::Ending => Self::Local,
            Self::Local => Self::Utc,
            Self::Utc => Self::Relative,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Relative => "since the first packet",
            Self::Connection => "since the connection began",
            Self::Ending => "before and after the ending",
            Self::Local => "time of day here",
            Self::Utc => "time of day in UTC",
        }
    }
}

impl TimeStyle {
    /// What a column of such times is called, in 11 letters.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Relative => "time",
            Self::Connection => "since open",
            Self::Ending => "to the end",
            Self::Local => "local time",
            Self::Utc => "UTC",
        }
    }
}

/// Turns packet times into text.
pub(super) struct Clock {
    pub style: TimeStyle,
    /// What relative times count from.
    pub base: Timestamp,
}

impl Clock {
    /// `+10.271 s` or `15:02:11.123`, at most 12 columns for a day.
    pub fn at(&self, at: Timestamp) -> String {
        let zone = match self.style {
            TimeStyle::Local => TimeZone::system(),
            TimeStyle::Utc => TimeZone::UTC,
            _ if at < self.base => {
                return format!("-{:.3} s", self.base.since(at).as_secs_f64());
            }
            _ => return format!("+{:.3} s", at.since(self.base).as_secs_f64()),
        };
        let time = jiff::Timestamp::from_nanosecond(i128::from(at.0)).unwrap_or_default();
        time.to_zoned(zone).strftime("%H:%M:%S%.3f").to_string()
    }
}
