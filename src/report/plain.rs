//! JSON in which no sign acts on a terminal or a log: serde_json escapes what RFC 8259 asks for,
//! and leaves C1 controls and signs that turn text around as they came.

use std::io::{self, Write};

use serde::Serialize;

use crate::vocab::text::acts;

/// Writes a value as compact JSON.
pub(super) fn write(out: impl Write, value: &(impl Serialize + ?Sized)) -> io::Result<()> {
    let mut page = Page { out, text: Vec::new() };
    serde_json::to_writer(&mut page, value)?;
    page.turn()
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
        self.text.extend_from_slice(text);
        if self.text.len() >= PAGE {
            self.turn()?;
        }
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
        assert_eq!(json, r#"["a\u001b[2J\u009b31m\u007f\u202e\u2028\ufeff\"\\\né漢😀"]"#);
    }
}
