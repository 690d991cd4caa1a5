//! What may stand before TLS on a flow: a PROXY protocol header, or an HTTP/1.1 CONNECT and its
//! answer.

use crate::vocab::http1::{content_length, head_length};
use crate::vocab::proxy::{self, Proxy};

/// What stands before TLS on a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prelude {
    /// Nothing.
    None,
    /// Something that is not complete yet.
    Partial,
    /// So many octets of whoever connected, and so many of the other end.
    Octets(usize, usize),
}

/// Looks for a PROXY protocol header (version 1 or 2) and an HTTP/1.1 CONNECT that was answered
/// (RFC 9110 section 9.3.6), also after answers that refused it: 407 asks for a password.
pub(super) fn measure(client: &[u8], server: &[u8]) -> Prelude {
    let mut asked = match proxy::header(client) {
        Proxy::Length(length) => length,
        Proxy::None => 0,
        Proxy::Partial => return Prelude::Partial,
    };
    let mut answered = 0;
    let found = |asked, answered| match (asked, answered) {
        (0, 0) => Prelude::None,
        _ => Prelude::Octets(asked, answered),
    };
    loop {
        let request = client.get(asked..).unwrap_or_default();
        if !begins(request, b"CONNECT ") || (request.is_empty() && answered == 0) {
            return found(asked, answered);
        }
        let Some(head) = head_length(request) else { return Prelude::Partial };
        asked += head;
        match answer(server.get(answered..).unwrap_or_default()) {
            Answer::Partial => return Prelude::Partial,
            Answer::Tunnel(length) => return Prelude::Octets(asked, answered + length),
            Answer::Refused(length) => answered += length,
            Answer::Other => return Prelude::None,
        }
    }
}

/// Whether `octets` begin with `token`, as far as they go.
fn begins(octets: &[u8], token: &[u8]) -> bool {
    octets.iter().zip(token).all(|(octet, wanted)| octet == wanted)
}

/// What a proxy answers to CONNECT.
enum Answer {
    Partial,
    /// 2xx: the head's length, behind which the tunnel begins.
    Tunnel(usize),
    /// No, in so many octets; the client may ask again.
    Refused(usize),
    Other,
}

fn answer(octets: &[u8]) -> Answer {
    if !begins(octets, b"HTTP/1.") {
        return Answer::Other;
    }
    let Some(head) = head_length(octets) else { return Answer::Partial };
    let (front, body) = octets.split_at(head);
    match front.get(9) {
        Some(b'2') => Answer::Tunnel(head),
        Some(b'1') => match answer(body) {
            Answer::Tunnel(length) => Answer::Tunnel(head + length),
            Answer::Refused(length) => Answer::Refused(head + length),
            other => other,
        },
        // A body without a length ends with the connection, and so does what could follow it.
        Some(b'3'..=b'5') => match content_length(front) {
            Some(length) if body.len() < length => Answer::Partial,
            Some(length) => Answer::Refused(head + length),
            None => Answer::Other,
        },
        _ => Answer::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_before_tls_is_measured_in_any_pieces() {
        let version_2 = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &[7; 12]].concat();
        for header in
            [&b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n"[..], b"PROXY UNKNOWN\r\n", &version_2]
        {
            for length in 1..header.len() {
                assert_eq!(measure(&header[..length], b""), Prelude::Partial);
            }
            let with_tls = [header, b"\x16\x03\x01"].concat();
            assert_eq!(measure(&with_tls, b""), Prelude::Octets(header.len(), 0));
        }
        for plain in [&b"PRI * HTTP/2.0\r\n"[..], b"GET / HTTP/1.1\r\n\r\n", b"\r\nx", b"COPY", b""]
        {
            assert_eq!(measure(plain, b""), Prelude::None);
        }
        let endless = [&b"PROXY "[..], &[b'x'; 200]].concat();
        assert_eq!(measure(&endless, b""), Prelude::None);
    }

    #[test]
    fn a_tunnel_begins_behind_the_answer_that_grants_it() {
        let ask = &b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"[..];
        let grant = &b"HTTP/1.1 200 Connection established\r\n\r\n"[..];
        let refuse = &b"HTTP/1.1 407 Who\r\ncontent-LENGTH: 4\r\n\r\nbody"[..];
        for length in 1..ask.len() {
            assert_eq!(measure(&ask[..length], b""), Prelude::Partial);
        }
        for length in 0..grant.len() {
            assert_eq!(measure(ask, &grant[..length]), Prelude::Partial);
        }
        assert_eq!(measure(ask, grant), Prelude::Octets(ask.len(), grant.len()));
        let (twice, both) = ([ask, ask].concat(), [refuse, grant].concat());
        assert_eq!(measure(ask, refuse), Prelude::Partial);
        assert_eq!(measure(&twice, &both), Prelude::Octets(twice.len(), both.len()));
        assert_eq!(measure(ask, b"HTTP/1.1 502 No\r\n\r\n"), Prelude::None);
        assert_eq!(measure(ask, b"\x16\x03"), Prelude::None);
        let behind_proxy = [b"PROXY UNKNOWN\r\n", ask].concat();
        assert_eq!(measure(&behind_proxy, grant), Prelude::Octets(behind_proxy.len(), grant.len()));
    }
}
