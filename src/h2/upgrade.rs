//! Stream 1 of an h2c Upgrade: the HTTP/1.1 request as HTTP/2 would carry it (RFC 7540
//! section 3.2).

use crate::vocab::frame::Signal;
use crate::vocab::header::Field;
use crate::vocab::http1::field;
use crate::vocab::limits::Limits;
use crate::vocab::setting::SettingId;
use crate::vocab::time::Stamp;

use super::header_block::Scratch;

/// Fields of the hop that HTTP/2 does not carry (RFC 9113 section 8.2.2).
const HOP: &[&str] = &["connection", "upgrade", "http2-settings", "host", "keep-alive"];

/// Tells the upgrade: request fields and the client's settings.
pub(super) fn tell(
    head: &[u8],
    request: Stamp,
    response: Stamp,
    limits: &Limits,
    scratch: &mut Scratch,
    out: &mut impl FnMut(Signal<'_>),
) {
    scratch.clear();
    let mut add = |name: &[u8], value: &[u8]| {
        scratch.add(Field::known(name, value), limits.header_list);
    };
    let mut lines = head.split(|octet| *octet == b'\n').map(<[u8]>::trim_ascii_end);
    let mut words = lines.next().unwrap_or_default().split(|octet| *octet == b' ');
    add(b":method", words.next().unwrap_or_default());
    add(b":scheme", b"http");
    if let Some(host) = field(head, "host") {
        add(b":authority", host);
    }
    add(b":path", words.next().unwrap_or_default());
    for line in lines {
        let Some(colon) = line.iter().position(|octet| *octet == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let name = name.to_ascii_lowercase();
        if !HOP.iter().any(|hop| hop.as_bytes() == name) {
            add(&name, value.get(1..).unwrap_or_default().trim_ascii());
        }
    }
    let settings = field(head, "http2-settings").map(settings).unwrap_or_default();
    let headers = scratch.list(false);
    out(Signal::Upgraded { request, response, headers, settings: &settings });
}

/// The payload of a SETTINGS frame in base64url without padding (RFC 7540 section 3.2.1).
fn settings(text: &[u8]) -> Vec<(SettingId, u32)> {
    let mut octets = Vec::new();
    let (mut bits, mut held) = (0u32, 0);
    for character in text {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'-' | b'+' => 62,
            b'_' | b'/' => 63,
            _ => break,
        };
        bits = (bits << 6) | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            octets.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    octets
        .chunks_exact(6)
        .filter_map(|entry| match *entry {
            [i0, i1, v0, v1, v2, v3] => Some((
                SettingId(u16::from_be_bytes([i0, i1])),
                u32::from_be_bytes([v0, v1, v2, v3]),
            )),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_in_base64url() {
        let found = settings(b"AAMAAABkAARAAAAAAAIAAAAA");
        assert_eq!(
            found,
            [
                (SettingId::MAX_CONCURRENT_STREAMS, 100),
                (SettingId::INITIAL_WINDOW_SIZE, 1 << 30),
                (SettingId::ENABLE_PUSH, 0)
            ]
        );
    }
}
