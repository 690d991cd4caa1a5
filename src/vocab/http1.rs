//! Heads of HTTP/1.1 messages (RFC 9112), as far as they tell where something else begins.

/// The `content-length` of a head (RFC 9110 section 8.6), where it has a sound one.
pub fn content_length(head: &[u8]) -> Option<usize> {
    std::str::from_utf8(field(head, "content-length")?).ok()?.parse().ok()
}

/// Length of an HTTP/1.1 head with its empty line.
pub fn head_length(octets: &[u8]) -> Option<usize> {
    octets.windows(4).position(|window| window == b"\r\n\r\n").map(|place| place + 4)
}

/// The same of octets that grow: `searched` of them are known to hold no end, or lie before it.
pub fn head_length_further(octets: &[u8], searched: &mut usize) -> Option<usize> {
    let from = (*searched).min(octets.len());
    let length = head_length(octets.get(from..)?).map(|length| from + length);
    *searched = length.map_or(octets.len(), |length| length - 1).saturating_sub(3).max(from);
    length
}

/// The status code of an answer, as far as its first octets are one (RFC 9112 section 4).
pub fn status(octets: &[u8]) -> Option<u16> {
    let digits = octets.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// First value of a field of an HTTP/1.1 head.
pub fn field<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    head.split(|octet| *octet == b'\n').skip(1).find_map(|line| {
        let colon = line.iter().position(|octet| *octet == b':')?;
        let (found, value) = line.split_at(colon);
        found
            .eq_ignore_ascii_case(name.as_bytes())
            .then(|| value.get(1..).unwrap_or_default().trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_that_grows_is_searched_once() {
        let octets = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest\r\n\r\n";
        let whole = head_length(octets).unwrap();
        let mut searched = 0;
        for end in 0..=octets.len() {
            let found = head_length_further(&octets[..end], &mut searched);
            assert_eq!(found, (end >= whole).then_some(whole), "{end}");
            assert!(end < 4 || searched + 4 >= end.min(whole), "{end}: {searched}");
        }
    }
}
