//! Is this HTTP/2, and since which octet? By content alone, on any port: prior knowledge, HTTP/1.1
//! Upgrade (RFC 7540 section 3.2), behind a PROXY header or an HTTP/1.1 CONNECT.

use crate::vocab::frame::PREFACE;
use crate::vocab::http1::{content_length, field, head_length};
use crate::vocab::proxy::{self, Proxy};

use super::payload::{HEAD, head};

/// What the first octets of both halves say, where both beginnings were captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// Too early to tell.
    Undecided,
    /// HTTP/2 from these offsets on.
    PriorKnowledge { client_from: usize, server_from: usize },
    /// The HTTP/1.1 request head at these places became stream 1; HTTP/2 behind it and behind the
    /// 101 response.
    Upgrade { request: (usize, usize), client_from: usize, server_from: usize },
    /// The server speaks HTTP/2, the client does not.
    ServerOnly,
    /// Something else.
    Other,
}

/// Judges the beginnings of both halves. `ended` tells that no more will come of either.
pub(super) fn opening(client: &[u8], server: &[u8], ended: bool) -> Opening {
    let undecided = if ended { at_end(server) } else { Opening::Undecided };
    let skipped = match proxy::header(client) {
        Proxy::Partial => return undecided,
        Proxy::None => 0,
        Proxy::Length(length) => length,
    };
    let client_rest = client.get(skipped..).unwrap_or_default();
    match starts_with_preface(client_rest) {
        Some(true) => return Opening::PriorKnowledge { client_from: skipped, server_from: 0 },
        None => return undecided,
        Some(false) => {}
    }
    match begins_with_frame(server) {
        Some(true) => Opening::ServerOnly,
        _ => behind_http1(skipped, client, server, ended).unwrap_or(undecided),
    }
}

/// The same where the SYN was not captured: octets that begin like a client's connection are
/// believed to be its first ones where those of the server fit.
pub(super) fn joined(client: &[u8], server: &[u8], ended: bool) -> Opening {
    let undecided = if ended { Opening::Other } else { Opening::Undecided };
    match opening(client, server, ended) {
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
        Opening::ServerOnly => Opening::Other,
        known => known,
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

/// HTTP/1.1 at first: a request that upgrades, perhaps not the first one, or a CONNECT. `None`:
/// too early to tell.
fn behind_http1(from: usize, client: &[u8], server: &[u8], ended: bool) -> Option<Opening> {
    let (mut from, mut answers) = (from, 0);
    loop {
        let server = server.get(answers..).unwrap_or_default();
        let (length, body) = match http1_head(client.get(from..).unwrap_or_default()) {
            Http1::Partial => return None,
            Http1::None => return Some(otherwise(server, ended)),
            Http1::Request { length, body, connect: true, .. } => {
                if let Some(found) = behind_connect(from + length, answers, client, server)? {
                    return Some(found);
                }
                (length, body)
            }
            Http1::Request { length, body, upgrade, .. } => {
                if let Some(answer) = switched(server)?.filter(|_| upgrade) {
                    return Some(Opening::Upgrade {
                        request: (from, from + length),
                        client_from: (from + length).saturating_add(body),
                        server_from: answers + answer,
                    });
                }
                (length, body)
            }
        };
        let Some(answer) = answer_length(server)? else { return Some(Opening::Other) };
        from = from.saturating_add(length).saturating_add(body);
        answers = answers.saturating_add(answer);
    }
}

/// Length of an HTTP/1.1 response: `None` too early, `Some(None)` where its end cannot be told
/// beforehand.
fn answer_length(server: &[u8]) -> Option<Option<usize>> {
    let Some(length) = head_length(server) else {
        return if server.len() < HTTP1_LONGEST { None } else { Some(None) };
    };
    let head = server.get(..length).unwrap_or_default();
    let empty = matches!(head.get(9..12), Some(b"204" | b"304"));
    let body = if empty { Some(0) } else { content_length(head) };
    let is_http1 = head.starts_with(b"HTTP/1.1 ");
    Some(body.filter(|_| is_http1).map(|body| length.saturating_add(body)))
}

/// The client does not speak HTTP/2. A server that does says so with its first frame.
fn otherwise(server: &[u8], ended: bool) -> Opening {
    match begins_with_frame(server) {
        Some(true) => Opening::ServerOnly,
        Some(false) => Opening::Other,
        None if ended => Opening::Other,
        None => Opening::Undecided,
    }
}

fn at_end(server: &[u8]) -> Opening {
    if begins_with_frame(server) == Some(true) { Opening::ServerOnly } else { Opening::Other }
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
    Request { length: usize, body: usize, upgrade: bool, connect: bool },
}

/// Longest HTTP/1.1 head that is waited for.
const HTTP1_LONGEST: usize = 16 * 1024;

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
    let body = content_length(head).unwrap_or(0);
    Http1::Request { length, body, upgrade, connect: line.starts_with(b"CONNECT ") }
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

/// HTTP/2 inside a tunnel that CONNECT opened (RFC 9110 section 9.3.6). `None`: too early;
/// `Some(None)`: it was refused, as a proxy does that wants a password first.
fn behind_connect(
    request: usize,
    answers: usize,
    client: &[u8],
    server: &[u8],
) -> Option<Option<Opening>> {
    let answer = head_length(server)?;
    if !server.starts_with(b"HTTP/1.") || server.get(9) != Some(&b'2') {
        return Some(None);
    }
    let begins = starts_with_preface(client.get(request..).unwrap_or_default())?;
    let (client_from, server_from) = (request, answers + answer);
    let found = Opening::PriorKnowledge { client_from, server_from };
    Some(Some(if begins { found } else { Opening::Other }))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let request_at = (0, client_from);
        let found = Opening::Upgrade { request: request_at, client_from, server_from };
        assert_eq!(opening(request, accepted, false), found);
        assert_eq!(opening(request, b"HTTP/1.1 200 OK\r\n\r\n", false), Opening::Other);
        // A 101 without fields counts once the server's SETTINGS stand behind it.
        let bare = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";
        assert_eq!(opening(request, bare, false), Opening::Undecided);
        let found = Opening::Upgrade { request: request_at, client_from, server_from: bare.len() };
        assert_eq!(opening(request, &[&bare[..], SETTINGS].concat(), false), found);
        let other = [&bare[..], b"something else"].concat();
        assert_eq!(opening(request, &other, false), Opening::Other);
        let socket = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
        assert_eq!(opening(request, socket, false), Opening::Other);
        let refused = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(opening(request, refused, false), Opening::Undecided);
        let (twice, both) = ([&request[..]; 2].concat(), [&refused[..], accepted].concat());
        let found = Opening::Upgrade {
            request: (client_from, 2 * client_from),
            client_from: 2 * client_from,
            server_from: both.len(),
        };
        assert_eq!(opening(&twice, &both, false), found);
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
        assert_eq!(opening(get, SETTINGS, false), Opening::ServerOnly);
        assert_eq!(opening(b"", SETTINGS, true), Opening::ServerOnly);
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
