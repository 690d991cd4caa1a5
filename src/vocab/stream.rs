//! HTTP/2 streams as reports show them.

use std::time::Duration;

use super::address::Side;
use super::error_code::ErrorCode;
use super::pack::packs;
use super::text::utf8_or_escaped;
use super::time::Stamp;

/// Counters of a connection's streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct StreamCounts {
    /// Opened by a request or a push.
    pub opened: u64,
    /// Ended by both sides.
    pub completed: u64,
    /// Reset by the request's sender before the answer ended.
    pub cancelled: u64,
    /// Reset otherwise.
    pub reset: u64,
    /// Refused before any processing.
    pub refused: u64,
    /// Still open when the connection or the capture ended.
    pub unfinished: u64,
    /// Of those that completed, answered with status 504: a gateway had no answer in time (RFC 9110
    /// section 15.6.5).
    pub timed_out: u64,
}

packs!(struct StreamCounts {
    opened, completed, cancelled, reset, refused, unfinished, timed_out
});

/// One stream.
#[derive(Clone, Debug, Default)]
pub struct StreamRow {
    /// Identifier.
    pub id: u32,
    /// Who opened it.
    pub by: Option<Side>,
    /// Packet of its first HEADERS.
    pub opened: Option<Stamp>,
    /// Packet of its end.
    pub ended: Option<Stamp>,
    /// How it ended.
    pub end: StreamEnd,
    /// `:method`, octets as text.
    pub method: Option<String>,
    /// `:scheme`.
    pub scheme: Option<String>,
    /// `:authority`.
    pub authority: Option<String>,
    /// `:path`.
    pub path: Option<String>,
    /// `:status` of the final response.
    pub status: Option<u16>,
    /// gRPC facts, where the stream carries gRPC.
    pub grpc: Option<Grpc>,
    /// DATA octets of the request, without padding.
    pub request_bytes: u64,
    /// DATA octets of the response, without padding.
    pub response_bytes: u64,
    /// Time from the request's HEADERS to the final response's HEADERS.
    pub first_response_after: Option<Duration>,
    /// Request fields, unknown parts as `None`.
    pub request_headers: Fields,
    /// Response fields.
    pub response_headers: Fields,
    /// Trailer fields, of either side.
    pub trailers: Fields,
}

/// Fields of a header list as text, in one piece: there are many of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    text: Box<str>,
    /// Where each name and each value ends; with [`UNKNOWN`] where the capture cannot tell it.
    ends: Box<[(u32, u32)]>,
}

impl Fields {
    /// A list of octets; what is no UTF-8 is escaped.
    pub fn of<'a>(
        fields: impl Iterator<Item = (Option<&'a [u8]>, Option<&'a [u8]>)> + Clone,
    ) -> Self {
        let length = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
        let octets = fields.clone().map(|(name, value)| length(name) + length(value)).sum();
        let mut text = Vec::with_capacity(octets);
        let mut end = |part: Option<&[u8]>| {
            text.extend_from_slice(part.unwrap_or_default());
            mark(text.len(), part.is_some())
        };
        let ends: Box<[_]> = fields.clone().map(|(name, value)| (end(name), end(value))).collect();
        // Nearly always, and all octets at a time.
        if let Ok(text) = String::from_utf8(text)
            && ends.iter().all(|(name, value)| {
                let is_end = |end: &u32| text.is_char_boundary((end & !UNKNOWN) as usize);
                is_end(name) && is_end(value)
            })
        {
            return Self { text: text.into(), ends };
        }
        let text = |part: Option<&[u8]>| part.map(utf8_or_escaped);
        let parts: Vec<_> = fields.map(|(name, value)| (text(name), text(value))).collect();
        parts.iter().map(|(name, value)| (name.as_deref(), value.as_deref())).collect()
    }

    /// Names and values behind each other.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Name and value of each field; `None` where the capture cannot tell.
    pub fn iter(&self) -> impl Iterator<Item = (Option<&str>, Option<&str>)> {
        let mut from = 0;
        let mut part = move |end: u32| {
            let begin = std::mem::replace(&mut from, (end & !UNKNOWN) as usize);
            self.text.get(begin..from).filter(|_| end & UNKNOWN == 0)
        };
        self.ends.iter().map(move |(name, value)| (part(*name), part(*value)))
    }
}

impl<'a> FromIterator<(Option<&'a str>, Option<&'a str>)> for Fields {
    fn from_iter<I: IntoIterator<Item = (Option<&'a str>, Option<&'a str>)>>(fields: I) -> Self {
        let mut text = String::new();
        let mut end = |part: Option<&str>| {
            text.push_str(part.unwrap_or_default());
            mark(text.len(), part.is_some())
        };
        let ends = fields.into_iter().map(|(name, value)| (end(name), end(value))).collect();
        Self { text: text.into(), ends }
    }
}

/// An end; lists have their limit, and one beyond 2 GiB would be cut.
fn mark(end: usize, is_known: bool) -> u32 {
    let end = u32::try_from(end).unwrap_or(u32::MAX) & !UNKNOWN;
    if is_known { end } else { end | UNKNOWN }
}

/// Marks an end.
const UNKNOWN: u32 = 1 << 31;

/// gRPC facts of a stream.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Grpc {
    /// `grpc-status`.
    pub status: Option<u32>,
    /// `grpc-message`.
    pub message: Option<String>,
    /// `grpc-timeout` in seconds.
    pub timeout_seconds: Option<f64>,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamEnd {
    /// Both sides ended it.
    Completed,
    /// Reset by a side.
    Reset(Side, ErrorCode),
    /// Dropped by a GOAWAY of a side: above its last stream identifier.
    Goaway(Side),
    /// Open when the connection ended, by that side where known.
    ConnectionEnd(Option<Side>),
    /// Open when the capture ended.
    #[default]
    Open,
}

impl StreamEnd {
    /// Stable name: `completed`, `reset`, `goaway`, `connection_end` or `open`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Reset(..) => "reset",
            Self::Goaway(_) => "goaway",
            Self::ConnectionEnd(_) => "connection_end",
            Self::Open => "open",
        }
    }

    /// Who ended it.
    pub fn by(self) -> Option<Side> {
        match self {
            Self::Reset(by, _) | Self::Goaway(by) => Some(by),
            Self::ConnectionEnd(by) => by,
            Self::Completed | Self::Open => None,
        }
    }

    /// Error code of its reset.
    pub fn code(self) -> Option<ErrorCode> {
        match self {
            Self::Reset(_, code) => Some(code),
            _ => None,
        }
    }
}

/// Times from request to first response of one connection, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AnswerTimes {
    /// How many answers.
    pub count: u64,
    /// The fastest.
    pub min: f64,
    /// The median, to about 5 %.
    pub median: f64,
    /// The slowest.
    pub max: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_given_back_as_they_were() {
        let all = [(Some("a"), Some("")), (None, Some("grün")), (None, None), (Some(""), None)];
        let fields: Fields = all.into_iter().collect();
        assert_eq!(fields.iter().collect::<Vec<_>>(), all);
        assert_eq!(Fields::default().iter().count(), 0);
    }

    #[test]
    fn octets_that_are_no_text_are_escaped_also_where_they_make_a_sign_together() {
        let all = [(Some(&b"a"[..]), Some(&b"\xc3"[..])), (Some(&b"\xbc"[..]), None)];
        let fields = Fields::of(all.into_iter());
        let told = [(Some("a"), Some("\\xc3")), (Some("\\xbc"), None)];
        assert_eq!(fields.iter().collect::<Vec<_>>(), told);
        let all = [(Some(&b"a"[..]), Some(&b"\xc3\xbc"[..])), (None, Some(&b"b"[..]))];
        let fields = Fields::of(all.into_iter());
        assert_eq!(fields.iter().collect::<Vec<_>>(), [(Some("a"), Some("ü")), (None, Some("b"))]);
    }
}
