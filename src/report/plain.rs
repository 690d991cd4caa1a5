//! JSON in which no sign acts on a terminal or a log: serde_json escapes what RFC 8259 asks for,
//! and leaves C1 controls and signs that turn text around as they came.

use std::io::{self, Write};

use serde::ser::Error;
use serde::{Serialize, Serializer};

use crate::vocab::stream::Fields;
use crate::vocab::text::acts;

/// Writes a value as compact JSON.
pub(super) fn write(out: impl Write, value: &(impl Serialize + ?Sized)) -> io::Result<()> {
    let mut page = Page { out, text: Vec::new() };
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut page, Compact))?;
    page.turn()
}

/// As [`write`] writes it: compact, and octets are JSON that was made elsewhere.
struct Compact;

impl serde_json::ser::Formatter for Compact {
    fn write_byte_array<W: Write + ?Sized>(&mut self, out: &mut W, json: &[u8]) -> io::Result<()> {
        out.write_all(json)
    }
}

/// Fields as pairs, `null` for what is not known. There are so many of them that they are written
/// as one piece, which only [`write`] can read.
pub(super) struct Pairs<'a>(pub &'a Fields);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.text();
        let as_it_is = text.bytes().fold(true, |all, octet| {
            all & (b' '..0x7f).contains(&octet) & (octet != b'"') & (octet != b'\\')
        });
        let mut json = Vec::with_capacity(text.len() + 12 * self.0.len() + 2);
        json.push(b'[');
        for (place, (name, value)) in self.0.iter().enumerate() {
            json.extend_from_slice(if place == 0 { b"[" } else { b",[" });
            part(&mut json, name, as_it_is).map_err(S::Error::custom)?;
            json.push(b',');
            part(&mut json, value, as_it_is).map_err(S::Error::custom)?;
            json.push(b']');
        }
        json.push(b']');
        serializer.serialize_bytes(&json)
    }
}

#[inline]
fn part(json: &mut Vec<u8>, part: Option<&str>, as_it_is: bool) -> io::Result<()> {
    match part {
        None => json.extend_from_slice(b"null"),
        Some(part) if as_it_is => {
            json.push(b'"');
            json.extend_from_slice(part.as_bytes());
            json.push(b'"');
        }
        Some(part) => string(json, part)?,
    }
    Ok(())
}

/// Appends a text as a JSON string.
pub(super) fn string(line: &mut Vec<u8>, text: &str) -> io::Result<()> {
    let begin = line.len();
    serde_json::to_writer(&mut *line, text)?;
    if line.get(begin..).is_some_and(is_harmless) {
        return Ok(());
    }
    let json = line.split_off(begin);
    escape(line, &json)
}

/// JSON on its way. Outside of strings there is nothing to escape, so that nobody needs to know
/// where they are.
struct Page<W> {
    out: W,
    /// Whole characters.
    text: Vec<u8>,
}

impl<W: Write> Page<W> {
    /// Hands on what there is, where that is much.
    #[cold]
    fn make_room(&mut self, octets: usize) -> io::Result<()> {
        self.turn()?;
        self.text.reserve(octets.max(PAGE));
        Ok(())
    }

    /// Hands on what there is.
    fn turn(&mut self) -> io::Result<()> {
        match is_harmless(&self.text) {
            true => self.out.write_all(&self.text)?,
            false => escape(&mut self.out, &self.text)?,
        }
        self.text.clear();
        Ok(())
    }
}

impl<W: Write> Write for Page<W> {
    #[inline]
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if self.text.capacity() - self.text.len() < text.len() {
            self.make_room(text.len())?;
        }
        self.text.extend_from_slice(text);
        Ok(text.len())
    }

    #[inline]
    fn write_all(&mut self, text: &[u8]) -> io::Result<()> {
        self.write(text).map(drop)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.turn()?;
        self.out.flush()
    }
}

/// Nearly all there is. Without a branch an octet, so that many are looked at at once.
fn is_harmless(json: &[u8]) -> bool {
    json.iter().fold(0, |most, octet| most.max(*octet)) < 0x7f
}

/// Writes JSON with what acts escaped.
fn escape(out: &mut impl Write, json: &[u8]) -> io::Result<()> {
    let mut rest = str::from_utf8(json).map_err(io::Error::other)?;
    while let Some((at, sign)) = rest.char_indices().find(|(_, sign)| acts(*sign)) {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.write_all(before.as_bytes())?;
        // None of them lies beyond the first 2^16.
        write!(out, "\\u{:04x}", u32::from(sign))?;
        rest = from.get(sign.len_utf8()..).unwrap_or_default();
    }
    out.write_all(rest.as_bytes())
}

/// Octets that are looked at together.
const PAGE: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    #[test]
    fn what_acts_on_a_terminal_is_escaped_and_stays_the_same_text() {
        let text = "a\u{1b}[2J\u{9b}31m\u{7f}\u{202e}\u{2028}\u{feff}\"\\\né漢\u{1f600}";
        let mut out = Vec::new();
        super::write(&mut out, &[text]).unwrap();
        let json = String::from_utf8(out).unwrap();
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [text]);
        let fields = super::Fields::from_iter([(Some(text), None), (Some(""), Some("a\"b"))]);
        let mut out = Vec::new();
        super::write(&mut out, &[super::Pairs(&fields)]).unwrap();
        let pairs = String::from_utf8(out).unwrap();
        assert_eq!(pairs, format!(r#"[[[{},null],["","a\"b"]]]"#, &json[1..json.len() - 1]));
        assert_eq!(json, r#"["a\u001b[2J\u009b31m\u007f\u202e\u2028\ufeff\"\\\né漢😀"]"#);
    }
}
