//! One stream seen from outside: both sides' states at once (RFC 9113 section 5.1).

use std::time::Duration;

use crate::vocab::address::{Both, Side};
use crate::vocab::hop::{Mark, Trouble};
use crate::vocab::stream::StreamRow;
use crate::vocab::time::Stamp;

use super::header::Kind;
use super::history::OpenStream;
use super::rules::StreamRules;

/// A stream that is open for at least one side.
#[derive(Debug)]
pub(super) struct Stream {
    pub id: u32,
    pub opener: Side,
    /// First HEADERS of the request (the opener's), or the promise of a push.
    pub opened: Option<Stamp>,
    /// END_STREAM of each side.
    pub ended: Both<Option<Stamp>>,
    /// Final response HEADERS (not 1xx).
    pub responded: Option<Stamp>,
    /// Last frame of each side on it.
    pub last: Both<Option<Stamp>>,
    /// DATA octets of each side, without padding.
    pub data: Both<u64>,
    pub deadline: Option<Duration>,
    pub grpc: bool,
    pub class: u32,
    /// Name of the class.
    pub request: Kind,
    /// What it is known by on the other side of a proxy.
    pub mark: Mark,
    /// The status that says that it went wrong.
    pub failed: Option<Trouble>,
    /// Whether its request's header block ended, or was lost.
    pub described: bool,
    /// Everything of it, where the user wants to see streams.
    pub row: Option<Box<StreamRow>>,
    pub rules: StreamRules,
}

impl Stream {
    pub fn new(id: u32, opener: Side, opened: Option<Stamp>) -> Self {
        Self {
            id,
            opener,
            opened,
            ended: Both::default(),
            responded: None,
            last: Both::default(),
            data: Both::default(),
            deadline: None,
            grpc: false,
            class: 0,
            request: Kind::NONE,
            mark: Mark::default(),
            failed: None,
            described: opened.is_none(),
            row: None,
            rules: StreamRules::default(),
        }
    }

    /// Whether both sides have ended it.
    pub fn is_complete(&self) -> bool {
        self.ended.first.is_some() && self.ended.second.is_some()
    }

    /// Whether the side that answers has ended.
    pub fn answer_ended(&self) -> bool {
        self.ended.side(self.opener.other()).is_some()
    }

    /// The end of both sides, whichever came last.
    pub fn completed_at(&self) -> Option<Stamp> {
        let (first, second) = (self.ended.first?, self.ended.second?);
        Some(if first.before(second) { second } else { first })
    }

    /// Last frame of either side on it.
    pub fn last_frame(&self) -> Option<Stamp> {
        match (self.last.first, self.last.second) {
            (Some(first), Some(second)) => Some(if first.before(second) { second } else { first }),
            (first, second) => first.or(second),
        }
    }

    pub fn snapshot(&self) -> OpenStream {
        OpenStream {
            id: self.id,
            by: self.opener,
            opened: self.opened,
            described: self.described,
            request_ended: self.ended.side(self.opener).is_some(),
            responded: self.responded.is_some(),
            answer_ended: self.answer_ended(),
            last: self.last_frame(),
            starved: false,
        }
    }
}

/// Deadline that a request carries: `grpc-timeout` (1 to 8 digits and a unit, gRPC over HTTP/2).
pub(super) fn grpc_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let amount = number(digits)?;
    Some(match unit {
        b'H' => Duration::from_secs(amount * 3600),
        b'M' => Duration::from_secs(amount * 60),
        b'S' => Duration::from_secs(amount),
        b'm' => Duration::from_millis(amount),
        b'u' => Duration::from_micros(amount),
        b'n' => Duration::from_nanos(amount),
        _ => return None,
    })
}

/// A number of decimal digits alone.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    let plain = digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeouts() {
        assert_eq!(grpc_timeout(b"750m"), Some(Duration::from_millis(750)));
        assert_eq!(grpc_timeout(b"2S"), Some(Duration::from_secs(2)));
        assert_eq!(grpc_timeout(b"123456789S"), None);
        assert_eq!(grpc_timeout(b"99999999n"), Some(Duration::from_nanos(99_999_999)));
        assert_eq!(grpc_timeout(b"713000000n"), None);
        assert_eq!(grpc_timeout(b"+5S"), None);
        assert_eq!(grpc_timeout(b"4x"), None);
        assert_eq!(grpc_timeout(b"S"), None);
    }
}
