//! Is this TLS? By the first octets of a half, else by records that chain.

use super::record::{HEAD, chain, find_chain};

/// What the first octets of a half say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// Too few octets.
    Undecided,
    /// A handshake record with a ClientHello.
    ClientHello,
    /// A handshake record with a ServerHello, or an alert in its place.
    Answer,
    /// Something else.
    Other,
}

/// Judges the first octets of a half (RFC 8446 section 5.1).
pub(super) fn opening(octets: &[u8]) -> Opening {
    let wanted: [fn(u8) -> bool; HEAD] = [
        |octet: u8| octet == 0x16 || octet == 0x15,
        |octet: u8| octet == 3,
        |octet: u8| octet <= 4,
        |octet: u8| octet <= 0x48,
        |_: u8| true,
    ];
    if octets.iter().zip(wanted).any(|(octet, fits)| !fits(*octet)) {
        return Opening::Other;
    }
    let Some((head, body)) = octets.split_first_chunk::<HEAD>() else { return Opening::Undecided };
    match (head[0], body.first()) {
        (0x15, _) if head[3] == 0 && head[4] == 2 => Opening::Answer,
        (0x16, None) => Opening::Undecided,
        (0x16, Some(1)) => Opening::ClientHello,
        (0x16, Some(2)) => Opening::Answer,
        _ => Opening::Other,
    }
}

/// Whether octets from the middle of a connection are protected records. `aligned` are those of
/// one segment.
pub(super) fn is_records(aligned: &[u8]) -> bool {
    chain(aligned).is_some()
}

/// Whether records chain anywhere in these octets.
pub(super) fn has_records(octets: &[u8]) -> bool {
    find_chain(octets).is_some()
}

/// Whether octets from the middle of a connection are surely not protected: text, or an HTTP/2
/// frame where a segment begins. In random octets this is met once in some 100,000 times.
pub(super) fn is_clear(octets: &[u8]) -> bool {
    let is_text = |octet: &u8| matches!(octet, b'\t' | b'\r' | b'\n' | 0x20..=0x7e);
    if octets.len() >= 16 && octets.iter().take(64).all(is_text) {
        return true;
    }
    match octets {
        [0, size, _, kind, flags, stream, ..] => {
            octets.len() >= 9 && *size <= 0x40 && *kind <= 9 && flags & !0x2d == 0 && *stream == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hellos_are_known_by_their_first_octets() {
        let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 252];
        assert_eq!(opening(&hello), Opening::ClientHello);
        for length in 0..6 {
            assert_eq!(opening(&hello[..length]), Opening::Undecided);
        }
        assert_eq!(opening(&[0x16, 3, 3, 0, 100, 2]), Opening::Answer);
        assert_eq!(opening(&[0x15, 3, 3, 0, 2, 2, 40]), Opening::Answer);
        assert_eq!(opening(b"PRI * HTTP/2.0"), Opening::Other);
        assert_eq!(opening(b"\x16\x03\x01\xff"), Opening::Other);
        assert_eq!(opening(&[0, 0, 18, 4]), Opening::Other);
    }

    #[test]
    fn the_middle_is_known_by_chains() {
        let record = |length: u8| [&[23, 3, 3, 0, length][..], &vec![0xee; length.into()]].concat();
        assert!(is_records(&record(40)));
        assert!(is_records(&record(40)[..30]));
        assert!(!is_records(&[record(40), vec![0; 60]].concat()));
        assert!(is_records(&[record(40), record(50)].concat()[..60]));
        let inside = [record(40), record(50), record(60)].concat();
        assert!(has_records(&inside[7..]));
        assert!(is_clear(&[0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0]));
        assert!(is_clear(b"HTTP/1.1 200 OK\r\n"));
        assert!(!is_clear(&record(40)));
    }
}
