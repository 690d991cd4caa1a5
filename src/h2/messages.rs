//! HTTP/1.1 messages of one half that stand before HTTP/2: where the next one begins, with bodies
//! passed over as they come (RFC 9112 sections 6 and 7).

use crate::vocab::http1::{content_length, field, head_length_further};

/// How far one half was read.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// The first octet that was not read.
    pub place: usize,
    body: Body,
    /// Octets behind it in which the end of a head or line was not found.
    searched: usize,
}

/// What is still to come of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// Octets that end the message.
    Octets(u64),
    /// Octets of a chunk, with its line end.
    Chunk(u64),
    /// The line with the next chunk's size.
    Size,
    /// Lines behind the last chunk.
    Trailer,
    /// All that comes until the connection ends (RFC 9112 section 6.3).
    Rest,
}

impl Default for Body {
    fn default() -> Self {
        Self::NONE
    }
}

/// Longest line of a chunked body that is waited for.
const LINE: usize = 4096;

impl Body {
    pub const NONE: Self = Self::Octets(0);

    /// The body that a head announces; `None` where it does not say how long it is.
    pub fn of(head: &[u8]) -> Option<Self> {
        match field(head, "transfer-encoding") {
            Some(codings) => {
                let last = codings.rsplit(|octet| *octet == b',').next().unwrap_or_default();
                last.trim_ascii().eq_ignore_ascii_case(b"chunked").then_some(Self::Size)
            }
            None => content_length(head).map(|octets| Self::Octets(octets as u64)),
        }
    }
}

impl Messages {
    /// What was not read.
    pub fn rest<'a>(&self, octets: &'a [u8]) -> &'a [u8] {
        octets.get(self.place..).unwrap_or_default()
    }

    /// Length of the head that stands next, once it is whole.
    pub fn head_length(&mut self, octets: &[u8]) -> Option<usize> {
        head_length_further(self.rest(octets), &mut self.searched)
    }

    /// A head of so many octets was read, this body follows.
    pub fn begin(&mut self, head: usize, body: Body) {
        self.read(head);
        self.body = body;
    }

    /// So many octets were read.
    pub fn read(&mut self, octets: usize) {
        self.place += octets;
        self.searched = 0;
    }

    /// Whether no message can follow this one.
    pub fn is_endless(&self) -> bool {
        self.body == Body::Rest
    }

    /// Passes over the body as far as it is there. `None`: there is more to come; false: this is
    /// no such body.
    pub fn pass(&mut self, octets: &[u8]) -> Option<bool> {
        loop {
            let rest = self.rest(octets);
            match &mut self.body {
                Body::Octets(left) | Body::Chunk(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    self.place += here;
                    *left -= here as u64;
                    match self.body {
                        Body::Octets(0) => return Some(true),
                        Body::Chunk(0) => self.body = Body::Size,
                        _ => return None,
                    }
                }
                Body::Rest => return Some(false),
                Body::Size | Body::Trailer => {
                    let line = rest.get(..rest.len().min(LINE)).unwrap_or_default();
                    let fresh = line.get(self.searched..).unwrap_or_default();
                    let Some(end) = fresh.iter().position(|octet| *octet == b'\n') else {
                        self.searched = line.len();
                        return if line.len() < LINE { None } else { Some(false) };
                    };
                    let end = self.searched + end;
                    let line = line.get(..end).unwrap_or_default().trim_ascii();
                    self.read(end + 1);
                    self.body = match (self.body, line) {
                        (Body::Trailer, b"") => Body::NONE,
                        (Body::Trailer, _) => Body::Trailer,
                        _ => match chunk_size(line) {
                            None => return Some(false),
                            Some(0) => Body::Trailer,
                            Some(size) => Body::Chunk(u64::from(size) + 2),
                        },
                    };
                }
            }
        }
    }
}

fn chunk_size(line: &[u8]) -> Option<u32> {
    let digits = line.split(|octet| *octet == b';').next()?.trim_ascii();
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_passed_over_in_any_pieces() {
        let chunked = b"4;x=y\r\nbody\r\n1\r\n!\r\n0\r\nX: y\r\n\r\nnext";
        for cut in 0..chunked.len() {
            let mut messages = Messages { body: Body::Size, ..Messages::default() };
            let early = messages.pass(&chunked[..cut]);
            assert_eq!(early.is_some(), cut >= chunked.len() - 4, "{cut}");
            assert_eq!(messages.pass(chunked), Some(true));
            assert_eq!(messages.place, chunked.len() - 4);
        }
        let mut messages = Messages { body: Body::Size, ..Messages::default() };
        assert_eq!(messages.pass(b"no size\r\n"), Some(false));
        let head = |fields: &str| Body::of(format!("HTTP/1.1 200 OK\r\n{fields}\r\n").as_bytes());
        assert_eq!(head("Transfer-Encoding: gzip, chunked\r\n"), Some(Body::Size));
        assert_eq!(head("Content-Length: 7\r\n"), Some(Body::Octets(7)));
        assert_eq!(head("Connection: close\r\n"), None);
    }
}
