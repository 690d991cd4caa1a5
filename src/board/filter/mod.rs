//! The field language of filters: `cause:client_request_timeout by:server age>4s`.
//!
//! Takes a line of text, gives a predicate over connections, streams and frames. The same words
//! mean the same in `-Y` of every command and in the dashboard.

mod parse;
mod term;

use std::net::IpAddr;

use super::{ConnectionRow, StreamRow};
use crate::vocab::address::{Endpoint, Side};
use crate::vocab::error_code::ErrorCode;
use crate::vocab::frame::{Frame, Payload};

use term::Term;

pub use term::{FIELDS, Field};

/// A filter, understood.
#[derive(Clone, Debug)]
pub struct Filter {
    text: String,
    tree: Tree,
}

/// Why a text is no filter, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Offset in characters.
    pub at: usize,
    /// What is wrong, and what would be right.
    pub what: String,
}

#[derive(Clone, Debug)]
enum Tree {
    All(Vec<Tree>),
    Any(Vec<Tree>),
    Not(Box<Tree>),
    Term(Box<Term>),
}

/// What of a frame can be asked for.
#[derive(Clone, Copy, Debug)]
pub struct FrameFacts<'a> {
    /// Its sender.
    pub by: Side,
    /// Its stream; 0 for the connection.
    pub stream: u32,
    /// Its type's name.
    pub kind: &'a str,
    /// Its packet.
    pub packet: u64,
    /// Its error code, where it has one.
    pub code: Option<ErrorCode>,
}

impl<'a> FrameFacts<'a> {
    /// Of a frame whose type has this name.
    pub fn of(frame: &Frame<'_>, kind: &'a str) -> Self {
        let code = match frame.payload {
            Payload::RstStream { code } | Payload::GoAway { code, .. } => Some(code),
            _ => None,
        };
        let (by, stream, packet) = (frame.by, frame.head.stream, frame.stamp.packet());
        Self { by, stream, kind, packet, code }
    }
}

/// What a filter looks at: the innermost of these, within the others.
#[derive(Clone, Copy, Debug, Default)]
struct Facts<'a> {
    /// Whether a connection is asked about, and the stream is only one of its streams.
    of_connection: bool,
    row: Option<&'a ConnectionRow>,
    stream: Option<&'a StreamRow>,
    frame: Option<FrameFacts<'a>>,
}

impl Filter {
    /// Understands a text. Nothing but spaces passes everything.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn new(text: &str) -> Result<Self, Fault> {
        Ok(Self { text: text.trim().to_owned(), tree: parse::tree(text)? })
    }

    /// The text that it was made from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it asks for facts of streams, which are kept only where somebody wants them.
    pub fn wants_streams(&self) -> bool {
        self.any(&|field| field.wants_streams)
    }

    /// Whether only streams can answer it: a word may stand elsewhere.
    pub fn is_of_streams(&self) -> bool {
        self.any(&|field| field.wants_streams && !field.name.is_empty())
    }

    /// Whether each frame can answer it by itself, without its connection.
    pub fn is_of_frames(&self) -> bool {
        !self.any(&|field| !field.of_frames)
    }

    fn any(&self, what: &impl Fn(&Field) -> bool) -> bool {
        self.tree.any(what)
    }

    /// Whether a connection passes; where that depends on its streams, with one of them.
    pub fn connection(&self, row: &ConnectionRow) -> bool {
        self.without_streams(row).unwrap_or_else(|| self.connection_among(row, &row.stream_list))
    }

    /// Whether a connection passes with one of these streams of it, or without any where it has
    /// none.
    pub fn connection_among(&self, row: &ConnectionRow, streams: &[StreamRow]) -> bool {
        let alone = Facts { of_connection: true, row: Some(row), ..Facts::default() };
        let with = |stream| self.connection_with(row, stream);
        streams.iter().any(with) || (streams.is_empty() && self.tree.holds(&alone))
    }

    /// Whether a connection passes, where its streams are not known; nothing where that depends
    /// on them.
    pub fn without_streams(&self, row: &ConnectionRow) -> Option<bool> {
        self.tree.may_hold(&Facts { of_connection: true, row: Some(row), ..Facts::default() })
    }

    /// Whether a connection passes with this stream of it.
    pub fn connection_with(&self, row: &ConnectionRow, stream: &StreamRow) -> bool {
        let (row, stream) = (Some(row), Some(stream));
        self.tree.holds(&Facts { of_connection: true, row, stream, frame: None })
    }

    /// Whether a stream passes.
    pub fn stream(&self, row: &ConnectionRow, stream: &StreamRow) -> bool {
        let (row, stream) = (Some(row), Some(stream));
        self.tree.holds(&Facts { row, stream, ..Facts::default() })
    }

    /// Whether a frame passes; its connection and stream where they are known.
    pub fn frame(
        &self,
        frame: FrameFacts<'_>,
        row: Option<&ConnectionRow>,
        stream: Option<&StreamRow>,
    ) -> bool {
        self.tree.holds(&Facts { of_connection: false, row, stream, frame: Some(frame) })
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Filter {}

impl Tree {
    fn any(&self, what: &impl Fn(&Field) -> bool) -> bool {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().any(|part| part.any(what)),
            Self::Not(part) => part.any(what),
            Self::Term(term) => what(term.field()),
        }
    }

    /// Whether it holds; nothing where that depends on streams.
    fn may_hold(&self, facts: &Facts<'_>) -> Option<bool> {
        let each = |parts: &[Tree]| -> Vec<Option<bool>> {
            parts.iter().map(|part| part.may_hold(facts)).collect()
        };
        match self {
            Self::All(parts) => {
                let parts = each(parts);
                let all = parts.iter().all(|part| *part == Some(true)).then_some(true);
                if parts.contains(&Some(false)) { Some(false) } else { all }
            }
            Self::Any(parts) => {
                let parts = each(parts);
                let none = parts.iter().all(|part| *part == Some(false)).then_some(false);
                if parts.contains(&Some(true)) { Some(true) } else { none }
            }
            Self::Not(part) => part.may_hold(facts).map(|holds| !holds),
            // A word may stand in the connection itself.
            Self::Term(term) => match term.holds(facts) {
                false if term.field().wants_streams => None,
                holds => Some(holds),
            },
        }
    }

    fn holds(&self, facts: &Facts<'_>) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(facts)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(facts)),
            Self::Not(part) => !part.holds(facts),
            Self::Term(term) => term.holds(facts),
        }
    }
}

impl std::fmt::Display for Fault {
    /// `at character 7: what is wrong`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "at character {}: {}", self.at.saturating_add(1), self.what)
    }
}

/// The fields and the grammar, for `--help` and the help screen.
pub fn help() -> String {
    let mut text = String::from(GRAMMAR);
    for field in FIELDS {
        text.push_str(&format!("  {:<11} {}\n", field.name, field.meaning));
    }
    text
}

const GRAMMAR: &str = "\
field:value is equal (names may be shortened, a,b is either, /x/ a regular expression), > >= < <=
compare, != differs. A word alone (too_many_pings, /orders?id=3) is looked for everywhere: in causes
and their summaries, texts and codes of GOAWAYs, rules, programs, addresses, names in TLS, methods,
paths, authorities and types of frames. Spaces mean and; or, not (or !) and parentheses as usual;
\"quotes\" keep spaces and signs in a word or value, and \\\" stands for a quote among them; a shell
wants '...' around the filter. Of a connection, fields of streams ask whether one of its streams is
so.
";

/// Whether `ip` lies in the network of `address` with this many leading bits in common.
fn within(ip: IpAddr, address: IpAddr, bits: u32) -> bool {
    let octets = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()) << 96,
        IpAddr::V6(ip) => ip.to_bits(),
    };
    let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or(0);
    ip.is_ipv4() == address.is_ipv4() && octets(ip) & mask == octets(address) & mask
}

/// An address or network, and perhaps a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    ip: IpAddr,
    bits: u32,
    port: Option<u16>,
}

impl Place {
    fn new(text: &str) -> Option<Self> {
        if let Ok(end) = text.parse::<std::net::SocketAddr>() {
            return Some(Self { ip: end.ip(), bits: 128, port: Some(end.port()) });
        }
        let (ip, bits) = match text.split_once('/') {
            Some((ip, bits)) => (ip, Some(bits.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let ip: IpAddr = ip.trim_matches(['[', ']']).parse().ok()?;
        let all = if ip.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(all);
        (bits <= all).then_some(Self { ip, bits, port: None })
    }

    fn has(&self, end: Endpoint) -> bool {
        within(end.ip, self.ip, self.bits) && self.port.is_none_or(|port| port == end.port)
    }
}

#[cfg(test)]
mod tests;
