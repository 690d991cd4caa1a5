//! JSON in which no sign acts on a terminal or a log: serde_json escapes what RFC 8259 asks for,
//! and leaves C1 controls and signs that turn text around as they came.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::Formatter;

use crate::vocab::text::acts;

/// Writes a value as compact JSON.
pub(super) fn write(out: impl Write, value: &(impl Serialize + ?Sized)) -> io::Result<()> {
    value.serialize(&mut serde_json::Serializer::with_formatter(out, Plain)).map_err(Into::into)
}

struct Plain;

impl Formatter for Plain {
    fn write_string_fragment<W: Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        // Nearly all there is. Without a branch an octet, for all of them are looked at anyway.
        if fragment.bytes().fold(0, u8::max) < 0x7f {
            return writer.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some((at, sign)) = rest.char_indices().find(|(_, sign)| acts(*sign)) {
            let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
            writer.write_all(before.as_bytes())?;
            // None of them lies beyond the first 2^16.
            write!(writer, "\\u{:04x}", u32::from(sign))?;
            rest = from.get(sign.len_utf8()..).unwrap_or_default();
        }
        writer.write_all(rest.as_bytes())
    }
}

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
