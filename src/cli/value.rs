//! Values of options as people write them.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use crate::board::filter::{Fault, Filter};
use crate::board::what_if::{TIMERS, Wish};
use crate::vocab::cause::Cause;

/// A bare word that names nothing here is a mistyped command rather than a missing file.
pub(super) fn is_no_file(word: &Path) -> bool {
    let text = word.to_string_lossy();
    let bare = text.chars().all(|letter| letter.is_ascii_alphabetic()) && !text.is_empty();
    bare && !word.exists()
}

/// `90s`, `250ms`, `15m`, `2h`; a bare number is seconds.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let span: jiff::SignedDuration =
        text.parse().map_err(|_| "a time is a number with ms, s, m or h behind it".to_owned())?;
    Duration::try_from(span).map_err(|_| "a time is not negative".to_owned())
}

/// The same as a number of seconds.
pub(super) fn seconds(text: &str) -> Result<f64, String> {
    time(text).map(|time| time.as_secs_f64())
}

/// The same of a timer, which has a length.
pub(super) fn timeout(text: &str) -> Result<f64, String> {
    let seconds = seconds(text)?;
    (seconds > 0.0).then_some(seconds).ok_or_else(|| "a timeout is longer than 0 s".to_owned())
}

/// A connection's number.
pub(super) fn number(text: &str) -> Result<NonZeroUsize, String> {
    let number: usize = text.parse().map_err(|_| "it is a number, as in 3".to_owned())?;
    NonZeroUsize::new(number).ok_or_else(|| "connections count from 1".to_owned())
}

/// `1%`, `0.5 %`, or `0.01`, of a whole.
pub(super) fn share(text: &str) -> Result<f64, String> {
    let share = ratio(text)?;
    (share <= 1.0).then_some(share).ok_or_else(|| "a share is at most 100%".to_owned())
}

/// The same, of something that can be exceeded.
pub(super) fn ratio(text: &str) -> Result<f64, String> {
    let says = || "a share is written as in 1% or 0.01".to_owned();
    let (digits, scale) = match text.strip_suffix('%') {
        Some(digits) => (digits.trim_end(), 100.0),
        None => (text, 1.0),
    };
    let number: f64 = digits.parse().map_err(|_| says())?;
    let share = number / scale;
    if scale == 1.0 && number > 1.0 {
        return Err(format!("{}: is it {text}%?", says()));
    }
    (share >= 0.0 && share.is_finite()).then_some(share).ok_or_else(says)
}

/// 0 to 1, or a word.
pub(super) fn sureness(text: &str) -> Result<f64, String> {
    let known = [("certain", 0.9), ("likely", 0.6), ("possible", 0.2)];
    if let Some((_, value)) = known.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let number = text.parse::<f64>().ok().filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| "it is 0 to 1, or one of certain, likely, possible".to_owned())
}

/// A cause by its name.
pub(super) fn cause(text: &str) -> Result<Cause, String> {
    let found = Cause::ALL.iter().find(|cause| cause.name() == text);
    found.copied().ok_or_else(|| {
        let near = Cause::ALL.iter().map(|cause| cause.name());
        let near: Vec<&str> = near.filter(|name| !text.is_empty() && name.contains(text)).collect();
        match near.as_slice() {
            [] => {
                let all: Vec<&str> = Cause::ALL.iter().map(|cause| cause.name()).collect();
                format!("no such cause; there are {}", all.join(", "))
            }
            some => format!("no such cause; is it {}?", some.join(" or ")),
        }
    })
}

/// `client_request_timeout=12s`.
pub(super) fn wish(text: &str) -> Result<Wish, String> {
    let (name, value) =
        text.split_once('=').ok_or_else(|| "it is written as idle_timeout=60s".to_owned())?;
    let timer = TIMERS.iter().find(|timer| timer.name() == name).copied().ok_or_else(|| {
        let names: Vec<&str> = TIMERS.iter().map(|timer| timer.name()).collect();
        format!("'{name}' cannot be tried; {} can", names.join(", "))
    })?;
    Ok(Wish { timer, seconds: timeout(value)? })
}

/// A filter, else what is wrong with it and where.
pub(super) fn filter(text: &str) -> Result<Filter, String> {
    Filter::new(text).map_err(|fault| pointed(text, &fault))
}

/// What is wrong, and where.
pub(super) fn pointed(text: &str, fault: &Fault) -> String {
    let place = " ".repeat(fault.at);
    format!("{}\n\n  {text}\n  {place}^", fault.what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_people_write_them() {
        assert_eq!(time("90"), Ok(Duration::from_secs(90)));
        assert_eq!(time("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(seconds("250ms"), Ok(0.25));
        assert_eq!(seconds("1.5s"), Ok(1.5));
        assert!(time("soon").is_err());
        assert_eq!(share("1%"), Ok(0.01));
        assert_eq!(share("0.5 %"), Ok(0.005));
        assert_eq!(share("0.25"), Ok(0.25));
        assert!(share("5").is_err() && share("-1%").is_err() && share("many").is_err());
        assert_eq!((ratio("150%"), share("100%")), (Ok(1.5), Ok(1.0)));
        assert!(share("200%").unwrap_err().contains("100%"));
        assert!(timeout("0s").is_err() && timeout("1ms") == Ok(0.001));
        assert!(number("0").unwrap_err().contains("from 1") && number("x").is_err());
        assert_eq!(sureness("likely"), Ok(0.6));
        assert_eq!(sureness("0.75"), Ok(0.75));
        assert!(sureness("2").is_err());
        assert_eq!(wish("idle_timeout=1m").map(|wish| wish.seconds), Ok(60.0));
        assert!(wish("idle_timeout=0").unwrap_err().contains("longer than 0 s"));
        assert!(wish("luck=1m").unwrap_err().contains("keepalive_interval"));
        assert_eq!(cause("idle_timeout"), Ok(Cause::IdleTimeout));
        assert!(cause("foo").unwrap_err().contains("client_request_timeout, "));
        assert!(cause("ping").unwrap_err().contains("too_many_pings"));
    }
}
