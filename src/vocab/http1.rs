//! Heads of HTTP/1.1 messages (RFC 9112), as far as they tell where something else begins.

/// The `content-length` of a head (RFC 9110 section 8.6), where it has a sound one.
pub fn content_length(head: &[u8]) -> Option<usize> {
    std::str::from_utf8(field(head, "content-length")?).ok()?.parse().ok()
}

/// Length of an HTTP/1.1 head with its empty line.
pub fn head_length(octets: &[u8]) -> Option<usize> {
    octets.windows(4).position(|window| window == b"\r\n\r\n").map(|place| place + 4)
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
