//! PROXY protocol headers, which may stand before anything else on a flow (haproxy.org,
//! proxy-protocol.txt, versions 1 and 2).

/// The signature of PROXY protocol version 2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Longest PROXY protocol version 1 header, with its line end.
const LONGEST: usize = 107;

/// What stands first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// No such header.
    None,
    /// What may become one.
    Partial,
    /// One of so many octets.
    Length(usize),
}

/// Looks for a header at the front of what the client sent.
pub fn header(octets: &[u8]) -> Proxy {
    let begins = |signature: &[u8]| {
        let length = octets.len().min(signature.len());
        octets.get(..length) == signature.get(..length)
    };
    if octets.is_empty() {
        return Proxy::None;
    }
    if begins(b"PROXY ") {
        let line = octets.get(..octets.len().min(LONGEST)).unwrap_or_default();
        return match line.windows(2).position(|pair| pair == b"\r\n") {
            Some(end) => Proxy::Length(end + 2),
            None if line.len() < LONGEST => Proxy::Partial,
            None => Proxy::None,
        };
    }
    if begins(SIGNATURE) {
        return match octets.get(14..16) {
            Some(&[high, low]) => {
                let length = 16 + usize::from(u16::from_be_bytes([high, low]));
                if octets.len() >= length { Proxy::Length(length) } else { Proxy::Partial }
            }
            _ => Proxy::Partial,
        };
    }
    Proxy::None
}
