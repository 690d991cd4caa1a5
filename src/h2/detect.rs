//! Is this HTTP/2, and since which octet? By content alone, on any port: prior knowledge, HTTP/1.1
//! Upgrade (RFC 7540 section 3.2), behind a PROXY header or an HTTP/1.1 CONNECT.

use crate::vocab::frame::PREFACE;
use crate::vocab::http1::{field, head_length};
use crate::vocab::proxy::{self, Proxy};

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
}

/// A request head.
#[derive(Debug)]
struct Request {
    octets: Vec<u8>,
    /// Where it ended on the client's tape when it was read.
    to: usize,
    upgrade: bool,
    connect: bool,
    /// HEAD: the answer has no body, whatever its head says.
    head_only: bool,
}

impl Prelude {
    /// Judges the beginnings of both halves. `ended` tells that no more will come of either.
    pub fn opening(&mut self, client: &[u8], server: &[u8], ended: bool) -> Opening {
        self.read(client, server, ended).unwrap_or_else(|| {
            let server_from = self.server.place;
            match begins_with_frame(server.get(server_from..).unwrap_or_default()) {
                _ if !ended => Opening::Undecided,
                Some(true) => Opening::ServerOnly { server_from },
                _ => Opening::Other,
            }
        })
    }

    /// The same where the SYN was not captured: octets that begin like a client's connection are
    /// believed to be its first ones where those of the server fit.
    pub fn joined(&mut self, client: &[u8], server: &[u8], ended: bool) -> Opening {
        let undecided = if ended { Opening::Other } else { Opening::Undecided };
        match self.opening(client, server, ended) {
            Opening::PriorKnowledge { client_from, server_from: 0 } => {
                // The answer to a CONNECT or an Upgrade that came before.
                let from = match head_length(server) {
                    Some(length) if server.starts_with(b"HTTP/1.") => length,
                    _ if is_begun(server, b"HTTP/1.") => return undecided,
                    _ => 0,
                };
                match begins_with_frame(server.get(from..).unwrap_or_default()) {
                    Some(false) => Opening::Other,
                    None if from > 0 => undecided,
                    _ => Opening::PriorKnowledge { client_from, server_from: from },
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

    /// The head of the request that upgrades, and where it ends on the client's tape.
    pub fn request(&self) -> Option<(&[u8], usize)> {
        self.request.as_ref().map(|request| (&*request.octets, request.to))
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
        if !(self.client.pass(client)? && self.server.pass(server)?) {
            return Some(Some(Opening::Other));
        }
        let rest = |place: usize| client.get(place..).unwrap_or_default();
        let answer = server.get(self.server.place..).unwrap_or_default();
        let server_from = self.server.place;
        if !self.answered {
            if !self.begun {
                match proxy::header(rest(self.client.place)) {
                    Proxy::Partial => return None,
                    Proxy::None => {}
                    Proxy::Length(length) => self.client.place += length,
                }
                self.begun = self.client.place < client.len();
            }
            let client_from = self.client.place;
            if starts_with_preface(rest(client_from))? {
                return Some(Some(Opening::PriorKnowledge { client_from, server_from }));
            }
            if begins_with_frame(answer) == Some(true) {
                return Some(Some(Opening::ServerOnly { server_from }));
            }
        }
        match http1_head(rest(self.client.place)) {
            Http1::Partial => None,
            Http1::None => Some(Some(self.otherwise(answer, ended))),
            Http1::Request { length, body, upgrade, connect, head_only } => {
                let octets = rest(self.client.place).get(..length).unwrap_or_default().to_vec();
                self.client.begin(length, body);
                let to = self.client.place;
                self.request = Some(Request { octets, to, upgrade, connect, head_only });
                Some(None)
            }
        }
    }

    /// Reads the answer to the request. `Some(None)`: it leads to no HTTP/2.
    fn next_answer(
        &mut self,
        client: &[u8],
        server: &[u8],
        ended: bool,
    ) -> Option<Option<Opening>> {
        let Some(request) = &self.request else { return Some(None) };
        if self.client.pass(client) == Some(false) {
            return Some(Some(Opening::Other));
        }
        let rest = server.get(self.server.place..).unwrap_or_default();
        if !rest.is_empty() && !is_begun(rest, b"HTTP/1.") {
            return Some(Some(self.otherwise(rest, ended)));
        }
        let Some(length) = head_length(rest) else {
            return (rest.len() >= HTTP1_LONGEST).then_some(Some(Opening::Other));
        };
        let head = rest.get(..length).unwrap_or_default();
        let status = head.get(9..12).unwrap_or_default();
        match status {
            b"101" => {
                let Some(answer) = switched(rest)?.filter(|_| request.upgrade) else {
                    return Some(Some(Opening::Other));
                };
                // The request counts once it is whole.
                let whole = self.client.pass(client)?;
                let (client_from, server_from) = (self.client.place, self.server.place + answer);
                let found = Opening::Upgrade { client_from, server_from };
                return Some(Some(if whole { found } else { Opening::Other }));
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
        let body = if empty { Some(Body::NONE) } else { Body::of(head) };
        let Some(body) = body.filter(|_| head.starts_with(b"HTTP/1.1 ")) else {
            return Some(Some(Opening::Other)); // it ends with the connection
        };
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
    starts_with_preface(behind) == Some(true)
        || (behind.len() >= 4 && !matches!(http1_head(behind), Http1::None))
}

/// Whether a server's first octets may be the answer that HTTP/2 begins behind: a 101 to an
/// Upgrade, or what grants a CONNECT.
pub(super) fn grants(server: &[u8]) -> bool {
    if !is_begun(server, b"HTTP/1.") {
        return false;
    }
    let Some(length) = head_length(server) else { return server.len() < HTTP1_LONGEST };
    let (head, rest) = server.split_at(length);
    let bodiless = field(head, "content-length").or(field(head, "transfer-encoding")).is_none();
    let granted = match head.get(9) {
        Some(b'1') => switched(server) != Some(None),
        Some(b'2') => bodiless,
        _ => false,
    };
    granted && begins_with_frame(rest) != Some(false)
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

/// An HTTP/1.1 request head at the front of the octets (RFC 9112 section 2.1).
fn http1_head(octets: &[u8]) -> Http1 {
    let method = octets.iter().take_while(|octet| octet.is_ascii_uppercase()).count();
    let looks_like = match octets.get(method) {
        Some(b' ') => method >= 3,
        Some(_) => false,
        None => method <= 16,
    };
    if !looks_like {
        return Http1::None;
    }
    let Some(length) = head_length(octets) else {
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

/// Whether the server switched to HTTP/2: `None` too early, `Some(None)` no, else the length of
/// the 101 response.
fn switched(server: &[u8]) -> Option<Option<usize>> {
    let want = b"HTTP/1.1 101";
    let have = server.len().min(want.len());
    if server.get(..have) != want.get(..have) {
        return Some(None);
    }
    let length = match head_length(server) {
        Some(length) => length,
        None if server.len() < HTTP1_LONGEST => return None,
        None => return Some(None),
    };
    let upgraded = match field(server.get(..length).unwrap_or_default(), "upgrade") {
        Some(value) => value.eq_ignore_ascii_case(b"h2c"),
        // Jetty 9 leaves the field out: the server's SETTINGS must follow (RFC 7540 section 3.2).
        None => begins_with_settings(server.get(length..).unwrap_or_default())?,
    };
    Some(upgraded.then_some(length))
}

/// Whether a SETTINGS frame stands first. `None`: too early.
fn begins_with_settings(octets: &[u8]) -> Option<bool> {
    let &[zero, high, low, kind, flags, stream @ ..] = octets.first_chunk::<9>()?;
    let entries = u16::from_be_bytes([high, low]) % 6 == 0;
    Some(zero == 0 && entries && kind == 4 && flags == 0 && stream == [0; 4])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(client: &[u8], server: &[u8], ended: bool) -> Opening {
        let whole = Prelude::default().opening(client, server, ended);
        // The same in pieces, with what was read gone.
        let mut prelude = Prelude::default();
        let (mut gone, mut last) = ((0, 0), Opening::Undecided);
        let longest = client.len().max(server.len());
        for end in (0..longest).step_by(5).chain([longest]) {
            let piece = |octets: &[u8], from: usize| octets[from..end.min(octets.len())].to_vec();
            let (one, other) = (piece(client, gone.0), piece(server, gone.1));
            last = prelude.opening(&one, &other, ended && end == longest);
            if last != Opening::Undecided {
                break;
            }
            let (of_client, of_server) = prelude.read_octets();
            prelude.forget(of_client, of_server);
            gone = (gone.0 + of_client, gone.1 + of_server);
        }
        let last = match last {
            Opening::PriorKnowledge { client_from, server_from } => Opening::PriorKnowledge {
                client_from: client_from + gone.0,
                server_from: server_from + gone.1,
            },
            Opening::Upgrade { client_from, server_from } => Opening::Upgrade {
                client_from: client_from + gone.0,
                server_from: server_from + gone.1,
            },
            Opening::ServerOnly { server_from } => {
                Opening::ServerOnly { server_from: server_from + gone.1 }
            }
            other => other,
        };
        assert_eq!(whole, last, "{}", String::from_utf8_lossy(client));
        whole
    }

    fn joined(client: &[u8], server: &[u8], ended: bool) -> Opening {
        Prelude::default().joined(client, server, ended)
    }

    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

    #[test]
    fn prior_knowledge_also_in_pieces_and_behind_a_proxy_header() {
        assert_eq!(opening(&PREFACE[..9], b"", false), Opening::Undecided);
        let found = Opening::PriorKnowledge { client_from: 0, server_from: 0 };
        assert_eq!(opening(PREFACE, b"", false), found);
        let mut proxied = b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n".to_vec();
        let length = proxied.len();
        proxied.extend(PREFACE);
        let found = Opening::PriorKnowledge { client_from: length, server_from: 0 };
        assert_eq!(opening(&proxied, b"", false), found);
        let mut proxied = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
        proxied.extend([0x21, 0x11, 0, 4, 1, 2, 3, 4]);
        proxied.extend(PREFACE);
        let found = Opening::PriorKnowledge { client_from: 20, server_from: 0 };
        assert_eq!(opening(&proxied, b"", false), found);
    }

    #[test]
    fn an_upgrade_counts_once_it_is_accepted() {
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n";
        assert_eq!(opening(request, b"", false), Opening::Undecided);
        let accepted = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n";
        let (client_from, server_from) = (request.len(), accepted.len());
        let found = Opening::Upgrade { client_from, server_from };
        assert_eq!(opening(request, accepted, false), found);
        assert_eq!(opening(request, b"HTTP/1.1 200 OK\r\n\r\n", false), Opening::Other);
        // A 101 without fields counts once the server's SETTINGS stand behind it.
        let bare = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";
        assert_eq!(opening(request, bare, false), Opening::Undecided);
        let found = Opening::Upgrade { client_from, server_from: bare.len() };
        assert_eq!(opening(request, &[&bare[..], SETTINGS].concat(), false), found);
        let other = [&bare[..], b"something else"].concat();
        assert_eq!(opening(request, &other, false), Opening::Other);
        let socket = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
        assert_eq!(opening(request, socket, false), Opening::Other);
        let refused = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(opening(request, refused, false), Opening::Undecided);
        let (twice, both) = ([&request[..]; 2].concat(), [&refused[..], accepted].concat());
        let found = Opening::Upgrade { client_from: 2 * client_from, server_from: both.len() };
        assert_eq!(opening(&twice, &both, false), found);
    }

    #[test]
    fn bodies_and_interim_answers_stand_before_an_upgrade() {
        let accepted = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n";
        let ask = |fields: &str, body: &str| {
            format!("POST / HTTP/1.1\r\nUpgrade: h2c\r\n{fields}\r\n\r\n{body}")
        };
        let get = "GET / HTTP/1.1\r\n\r\n";
        let head = "HEAD / HTTP/1.1\r\n\r\n";
        let long = "x".repeat(100_000);
        let answer =
            |fields: &str, body: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{body}");
        let (chunked, sized) = ("Transfer-Encoding: chunked", "Content-Length: 100000");
        let one = "5\r\nhello\r\n0\r\n\r\n";
        let cases = [
            (ask(chunked, one), String::new()),
            (ask(sized, &long), String::new()),
            (
                ask("Expect: 100-continue\r\nContent-Length: 5", "hello"),
                "HTTP/1.1 100 Continue\r\n\r\n".into(),
            ),
            (ask("A: b", ""), "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".into()),
            (get.to_owned() + &ask("A: b", ""), answer(chunked, one)),
            (get.to_owned() + &ask("A: b", ""), answer(sized, &long)),
            (head.to_owned() + &ask("A: b", ""), answer(sized, "")),
        ];
        for (client, server) in cases {
            let server = server + accepted;
            let found = Opening::Upgrade { client_from: client.len(), server_from: server.len() };
            assert_eq!(opening(client.as_bytes(), server.as_bytes(), false), found);
        }
    }

    #[test]
    fn a_tunnel_and_a_plain_download() {
        let mut client = b"CONNECT a:80 HTTP/1.1\r\n\r\n".to_vec();
        let request = client.len();
        client.extend(PREFACE);
        let answer = b"HTTP/1.1 200 Connection established\r\n\r\n";
        let found = Opening::PriorKnowledge { client_from: request, server_from: answer.len() };
        assert_eq!(opening(&client, answer, false), found);
        let ask = b"CONNECT a:80 HTTP/1.1\r\n\r\n";
        let refused = b"HTTP/1.1 407 Authenticate\r\nContent-Length: 2\r\n\r\nno";
        let (client, server) = ([&ask[..], &client].concat(), [&refused[..], answer].concat());
        let (client_from, server_from) = (2 * request, server.len());
        let found = Opening::PriorKnowledge { client_from, server_from };
        assert_eq!(opening(&client, &server, false), found);
        let get = b"GET /a.pcap HTTP/1.1\r\n\r\n";
        assert_eq!(opening(get, b"HTTP/1.1 200 OK\r\n\r\n", false), Opening::Other);
    }

    #[test]
    fn a_server_that_speaks_http2_to_a_client_that_does_not() {
        let get = b"GET / HTTP/1.1\r\n\r\n";
        assert_eq!(opening(get, SETTINGS, false), Opening::ServerOnly { server_from: 0 });
        assert_eq!(opening(b"", SETTINGS, true), Opening::ServerOnly { server_from: 0 });
        assert_eq!(opening(b"\x16\x03\x01", b"", true), Opening::Other);
    }

    #[test]
    fn a_beginning_without_syn() {
        let both = [PREFACE, SETTINGS].concat();
        let from = |server_from| Opening::PriorKnowledge { client_from: 0, server_from };
        assert_eq!(joined(&both, SETTINGS, false), from(0));
        assert_eq!(joined(&both, b"", false), from(0));
        assert_eq!(joined(&both, b"something else", false), Opening::Other);
        // Behind the answer to a request that was not captured, if its frames stand there.
        let answer = b"HTTP/1.1 200 Connection established\r\n\r\n";
        assert_eq!(joined(&both, &answer[..9], false), Opening::Undecided);
        assert_eq!(joined(&both, answer, false), Opening::Undecided);
        assert_eq!(joined(&both, answer, true), Opening::Other);
        let tunnel = [&answer[..], SETTINGS].concat();
        assert_eq!(joined(&both, &tunnel, false), from(answer.len()));
        assert_eq!(joined(&both, &[&answer[..], b"stored"].concat(), false), Opening::Other);
        assert!(asks(&both) && asks(b"GET / HTTP/1.1\r\n") && asks(b"PATCH /"));
        assert!(!asks(&PREFACE[1..]) && !asks(SETTINGS) && !asks(b"") && !asks(b"PRI"));
        assert!(grants(answer) && grants(&tunnel) && grants(b"HTTP/1.1 101 Swi"));
        assert!(!grants(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n") && !grants(b""));
        assert!(!grants(b"HTTP/1.1 101 A\r\nUpgrade: websocket\r\n\r\n"));
    }
}
