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

/// Headers that are read one behind the other: one of each proxy of a row that takes none away.
const ROW: usize = 8;

/// Looks for headers at the front of what the client sent.
pub fn header(octets: &[u8]) -> Proxy {
    let mut length = 0;
    for _ in 0..ROW {
        match one(octets.get(length..).unwrap_or_default()) {
            Proxy::Length(more) => length += more,
            Proxy::Partial => return Proxy::Partial,
            Proxy::None => break,
        }
    }
    if length == 0 { Proxy::None } else { Proxy::Length(length) }
}

fn one(octets: &[u8]) -> Proxy {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_proxy_of_a_row_adds_a_header() {
        let first = b"PROXY TCP4 192.0.2.1 192.0.2.2 1234 443\r\n".as_slice();
        let second = [SIGNATURE.as_slice(), &[0x21, 0x11, 0, 12], &[7; 12]].concat();
        let both = [first, &second].concat();
        assert_eq!(header(&both), Proxy::Length(both.len()));
        assert_eq!(header(&[&both, b"PRI * HTTP/2.0".as_slice()].concat()), header(&both));
        assert_eq!(header(&both[..both.len() - 1]), Proxy::Partial);
        assert_eq!(header(&both[..first.len()]), Proxy::Length(first.len()));
        assert_eq!(header(b"PRI * HTTP/2.0"), Proxy::None);
    }
}
