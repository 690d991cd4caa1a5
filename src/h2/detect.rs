//! Is this HTTP/2, and since which octet? By content alone, on any port: prior knowledge, HTTP/1.1
//! Upgrade (RFC 7540 section 3.2), behind a PROXY header or an HTTP/1.1 CONNECT.

use crate::vocab::frame::PREFACE;
use crate::vocab::http1::{field, head_length_further};
use crate::vocab::proxy::{self, Proxy};
use crate::vocab::time::Stamp;

use super::messages::{Body, Messages};
use super::payload::{HEAD, head};

/// What the first octets of both halves say, where both beginnings were captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// Too early to tell.
    Undecided,
    /// HTTP/2 from these offsets on.
    PriorKnowledge { client_from: usize, server_from: usize },
    /// An HTTP/1.1 request became stream 1; HTTP/2 behind it and behind the 101 response.
    Upgrade { client_from: usize, server_from: usize },
    /// The server speaks HTTP/2 from this offset on, the client does not.
    ServerOnly { server_from: usize },
    /// Something else.
    Other,
}

/// What stands before HTTP/2, as far as it was read: a PROXY header, HTTP/1.1 requests and their
/// answers.
#[derive(Debug, Default)]
pub(super) struct Prelude {
    client: Messages,
    server: Messages,
    /// Whether it is known whether a PROXY header stands first.
    begun: bool,
    /// The request that is to be answered next.
    request: Option<Request>,
    /// Whether a request was answered with something else than HTTP/2.
    answered: bool,
    /// Whether answers were passed over whose requests were not captured.
    unasked: bool,
    /// Whether something else than a request stands where one should begin.
    foreign: bool,
}

/// A request head.
#[derive(Debug)]
struct Request {
    octets: Vec<u8>,
    /// Where it ends on the client's tape.
    to: usize,
    /// The packet in which it ended, once that was asked for.
    stamp: Option<Stamp>,
    upgrade: bool,
    connect: bool,
    /// HEAD: the answer has no body, whatever its head says.
    head_only: bool,
}

impl Prelude {
    /// Judges the beginnings of both halves. `ended` tells that no more will come of either.
    pub fn opening(&mut self, client: &[u8], server: &[u8], ended: bool) -> Opening {
        self.read(client, server, ended).unwrap_or_else(|| {
            // What is left of a body is no beginning, whatever it looks like.
            let passed = ended && self.server.pass(server) == Some(true);
            match begins_with_frame(self.server.rest(server)) {
                _ if !ended => Opening::Undecided,
                Some(true) if passed => Opening::ServerOnly { server_from: self.server.place },
                _ => Opening::Other,
            }
        })
    }

    /// The same where the SYN was not captured: octets that begin like a client's connection are
    /// believed to be its first ones where those of the server fit.
    pub fn joined(&mut self, client: &[u8], server: &[u8], ended: bool) -> Opening {
        let undecided = if ended { Opening::Other } else { Opening::Undecided };
        match self.opening(client, server, ended) {
            Opening::PriorKnowledge { client_from, .. } => {
                // Answers to a CONNECT or an Upgrade that came before.
                while is_begun(self.server.rest(server), b"HTTP/1.") {
                    let Some(length) = self.server.head_length(server) else { return undecided };
                    self.server.read(length);
                    self.unasked = true;
                }
                let server_from = self.server.place;
                match begins_with_frame(self.server.rest(server)) {
                    Some(false) => Opening::Other,
                    None if self.unasked => undecided,
                    _ => Opening::PriorKnowledge { client_from, server_from },
                }
            }
            Opening::ServerOnly { .. } => Opening::Other,
            known => known,
        }
    }

    /// Octets of either half that were read and are needed no more.
    pub fn read_octets(&self) -> (usize, usize) {
        (self.client.place, self.server.place)
    }

    /// So many octets of either half are gone.
    pub fn forget(&mut self, client: usize, server: usize) {
        self.client.place = self.client.place.saturating_sub(client);
        self.server.place = self.server.place.saturating_sub(server);
        if let Some(request) = &mut self.request {
            request.to = request.to.saturating_sub(client);
        }
    }

    /// Whether HTTP/1 was spoken and nothing else came of it so far.
    pub fn is_http1(&self) -> bool {
        self.answered
    }

    /// The head of the request that upgrades, and its packet: `stamp_at` tells that of a place on
    /// the client's tape.
    pub fn request(
        &mut self,
        stamp_at: impl Fn(usize) -> Option<Stamp>,
    ) -> Option<(&[u8], Option<Stamp>)> {
        let request = self.request.as_mut()?;
        request.stamp = request.stamp.or_else(|| stamp_at(request.to));
        Some((&request.octets, request.stamp))
    }

    /// `None`: too early to tell.
    fn read(&mut self, client: &[u8], server: &[u8], ended: bool) -> Option<Opening> {
        loop {
            if self.request.is_none()
                && let Some(found) = self.next_request(client, server, ended)?
            {
                return Some(found);
            }
            if let Some(found) = self.next_answer(client, server, ended)? {
                return Some(found);
            }
        }
    }

    /// Reads the next request, or what stands in its place.
    fn next_request(
        &mut self,
        client: &[u8],
        server: &[u8],
        ended: bool,
    ) -> Option<Option<Opening>> {
        if !self.client.pass(client)? {
            return Some(Some(Opening::Other));
        }
        if !self.begun {
            match proxy::header(self.client.rest(client)) {
                Proxy::Partial => return None,
                Proxy::None => {}
                Proxy::Length(length) => self.client.read(length),
            }
            self.begun = self.client.place < client.len();
        }
        let client_from = self.client.place;
        if starts_with_preface(self.client.rest(client))? {
            return self.greeted(client_from, server).map(Some);
        }
        if !self.server.pass(server)? {
            return Some(Some(Opening::Other));
        }
        let answer = self.server.rest(server);
        if !self.answered && begins_with_frame(answer) == Some(true) {
            return Some(Some(Opening::ServerOnly { server_from: self.server.place }));
        }
        if self.foreign {
            return Some(Some(self.otherwise(answer, ended)));
        }
        let head = self.client.head_length(client);
        match http1_head(self.client.rest(client), head) {
            Http1::Partial => None,
            Http1::None => {
                self.foreign = true;
                Some(Some(self.otherwise(answer, ended)))
            }
            Http1::Request { length, body, upgrade, connect, head_only } => {
                let octets = self.client.rest(client).get(..length).unwrap_or_default().to_vec();
                self.client.begin(length, body);
                let to = self.client.place;
                self.request =
                    Some(Request { octets, to, stamp: None, upgrade, connect, head_only });
                Some(None)
            }
        }
    }

    /// The client's preface stands at `client_from`; behind other answers the server's frames must
    /// follow, too.
    fn greeted(&mut self, client_from: usize, server: &[u8]) -> Option<Opening> {
        if self.server.is_endless() {
            while !begins_with_frame(self.server.rest(server))? {
                self.server.read(1);
            }
        } else if !self.server.pass(server)? {
            return Some(Opening::Other);
        }
        let server_from = self.server.place;
        let known = Opening::PriorKnowledge { client_from, server_from };
        if !self.answered {
            return Some(known);
        }
        let follows = begins_with_frame(self.server.rest(server))?;
        Some(if follows { known } else { Opening::Other })
    }

    /// Reads the answer to the request. `Some(None)`: it leads to no HTTP/2.
    fn next_answer(
        &mut self,
        client: &[u8],
        server: &[u8],
        ended: bool,
    ) -> Option<Option<Opening>> {
        let Some(request) = &self.request else { return Some(None) };
        let whole = self.client.pass(client);
        if whole == Some(false) {
            return Some(Some(Opening::Other));
        }
        let rest = self.server.rest(server);
        if !rest.is_empty() && !is_begun(rest, b"HTTP/1.") {
            return Some(Some(self.otherwise(rest, ended)));
        }
        let Some(length) = self.server.head_length(server) else {
            return (rest.len() >= HTTP1_LONGEST).then_some(Some(Opening::Other));
        };
        let head = rest.get(..length).unwrap_or_default();
        let status = head.get(9..12).unwrap_or_default();
        match status {
            b"101" => {
                whole?; // the request counts once it is whole
                let switches = switched(head, rest)? && request.upgrade;
                let (client_from, server_from) = (self.client.place, self.server.place + length);
                let found = Opening::Upgrade { client_from, server_from };
                return Some(Some(if switches { found } else { Opening::Other }));
            }
            [b'1', ..] => {
                self.server.begin(length, Body::NONE); // an interim one (RFC 9110 section 15.2)
                return Some(None);
            }
            [b'2', ..] if request.connect => {
                // In the tunnel anything may begin (RFC 9110 section 9.3.6).
                self.server.begin(length, Body::NONE);
                let Self { client, server, .. } = std::mem::take(self);
                *self = Self { client, server, ..Self::default() };
                return Some(None);
            }
            _ => {}
        }
        let empty = request.head_only || matches!(status, b"204" | b"304");
        let body = if empty { Body::NONE } else { Body::of(head).unwrap_or(Body::Rest) };
        self.server.begin(length, body);
        self.request = None;
        self.answered = true;
        Some(None)
    }

    /// The client does not speak HTTP/2. A server that does says so with its first frame.
    fn otherwise(&self, server: &[u8], ended: bool) -> Opening {
        match begins_with_frame(server) {
            Some(true) => Opening::ServerOnly { server_from: self.server.place },
            Some(false) => Opening::Other,
            None if ended => Opening::Other,
            None => Opening::Undecided,
        }
    }
}

/// Whether these may be the first octets of a client: the preface, a PROXY header or an HTTP/1.1
/// request.
pub(super) fn asks(octets: &[u8]) -> bool {
    let behind = match proxy::header(octets) {
        Proxy::Partial => return false,
        Proxy::None => octets,
        Proxy::Length(length) => octets.get(length..).unwrap_or_default(),
    };
    behind.len() >= 4 && is_request(behind)
}

/// Whether a head is the answer that HTTP/2 begins behind: a 101 to an Upgrade, or what grants a
/// CONNECT.
pub(super) fn grants(head: &[u8]) -> bool {
    let bodiless = || field(head, "content-length").or(field(head, "transfer-encoding")).is_none();
    head.starts_with(b"HTTP/1.")
        && match head.get(9) {
            Some(b'1') => switched(head, head) != Some(false),
            Some(b'2') => bodiless(),
            _ => false,
        }
}

/// The HTTP/1 head at the front of a server's octets, as far as they have come.
#[derive(Debug, Default)]
pub(super) struct Front {
    searched: usize,
    /// Whether it [grants](grants) HTTP/2, once it is whole.
    grants: Option<bool>,
}

impl Front {
    /// Its length, once it is whole; none where something else stands there.
    pub fn length(&mut self, server: &[u8]) -> Option<usize> {
        let searched = &mut self.searched;
        is_begun(server, b"HTTP/1.").then(|| head_length_further(server, searched)).flatten()
    }

    /// Whether HTTP/2 may begin behind it: it grants that, or is not whole yet.
    pub fn leads(&mut self, server: &[u8]) -> bool {
        if !is_begun(server, b"HTTP/1.") {
            return false;
        }
        let Some(length) = self.length(server) else { return server.len() < HTTP1_LONGEST };
        let (head, rest) = server.split_at(length);
        *self.grants.get_or_insert_with(|| grants(head)) && begins_with_frame(rest) != Some(false)
    }
}

/// Whether the octets, as many as there are, begin like this; some must be there.
fn is_begun(octets: &[u8], like: &[u8]) -> bool {
    let length = octets.len().min(like.len());
    length > 0 && octets.get(..length) == like.get(..length)
}

/// Whether a server's first octets are its connection preface, a SETTINGS frame (RFC 9113
/// section 3.4), or a GOAWAY in its place. `None` where too few are there.
pub(super) fn begins_with_frame(octets: &[u8]) -> Option<bool> {
    if !octets.is_empty() && octets.first() != Some(&0) {
        return Some(false);
    }
    let first = octets.first_chunk::<HEAD>()?;
    let head = head(first);
    let settings = head.kind.0 == 4 && head.flags.0 == 0 && head.length.is_multiple_of(6);
    let goaway = head.kind.0 == 7 && head.flags.0 == 0 && head.length >= 8;
    Some(head.stream == 0 && head.length < 1024 && (settings || goaway))
}

/// `None`: could still become the preface.
fn starts_with_preface(octets: &[u8]) -> Option<bool> {
    let length = octets.len().min(PREFACE.len());
    if octets.get(..length) != PREFACE.get(..length) {
        return Some(false);
    }
    (length == PREFACE.len()).then_some(true)
}

enum Http1 {
    None,
    Partial,
    Request { length: usize, body: Body, upgrade: bool, connect: bool, head_only: bool },
}

/// Longest HTTP/1.1 head that is waited for.
pub(super) const HTTP1_LONGEST: usize = 64 * 1024;

/// Longest method of a request.
const METHOD_LONGEST: usize = 16;

/// Whether the octets begin like a request (RFC 9112 section 3), as far as they go.
fn is_request(octets: &[u8]) -> bool {
    let letters = octets.iter().take(METHOD_LONGEST + 1);
    let method = letters.take_while(|octet| octet.is_ascii_uppercase()).count();
    match octets.get(method) {
        Some(b' ') => method >= 3,
        Some(_) => false,
        None => method <= METHOD_LONGEST,
    }
}

/// An HTTP/1.1 request head at the front of the octets, of this length if it is whole (RFC 9112
/// section 2.1).
fn http1_head(octets: &[u8], length: Option<usize>) -> Http1 {
    if !is_request(octets) {
        return Http1::None;
    }
    let Some(length) = length else {
        return if octets.len() < HTTP1_LONGEST { Http1::Partial } else { Http1::None };
    };
    let head = octets.get(..length).unwrap_or_default();
    let line = head.split(|octet| *octet == b'\n').next().unwrap_or_default();
    if !line.trim_ascii_end().ends_with(b"HTTP/1.1") {
        return Http1::None;
    }
    let value = |name: &str| field(head, name);
    let upgrade = value("upgrade").is_some_and(|value| {
        value.split(|octet| *octet == b',').any(|token| token.trim_ascii() == b"h2c")
    });
    let connect = line.starts_with(b"CONNECT ");
    // A request without a length has no body (RFC 9112 section 6.3).
    let body = if connect { Body::NONE } else { Body::of(head).unwrap_or_default() };
    Http1::Request { length, body, upgrade, connect, head_only: line.starts_with(b"HEAD ") }
}

/// Whether a server whose octets begin with this head switched to HTTP/2. `None`: too early.
fn switched(head: &[u8], server: &[u8]) -> Option<bool> {
    if !head.starts_with(b"HTTP/1.1 101") {
        return Some(false);
    }
    match field(head, "upgrade") {
        Some(value) => Some(value.eq_ignore_ascii_case(b"h2c")),
        // Jetty 9 leaves the field out: the server's SETTINGS must follow (RFC 7540 section 3.2).
        None => begins_with_settings(server.get(head.len()..).unwrap_or_default()),
    }
}

/// Whether a SETTINGS frame stands first. `None`: too early.
fn begins_with_settings(octets: &[u8]) -> Option<bool> {
    let &[zero, high, low, kind, flags, stream @ ..] = octets.first_chunk::<9>()?;
    let entries = u16::from_be_bytes([high, low]) % 6 == 0;
    Some(zero == 0 && entries && kind == 4 && flags == 0 && stream == [0; 4])
}

#[cfg(test)]
mod tests;
