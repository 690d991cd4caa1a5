//! Octets from the wire as text that cannot harm.

use std::fmt::Write as _;

/// UTF-8 as it is; octets that are not UTF-8 as `\xNN`. For JSON, whose writer escapes control
/// characters itself.
pub fn utf8_or_escaped(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    for chunk in octets.utf8_chunks() {
        text.push_str(chunk.valid());
        for octet in chunk.invalid() {
            let _ = write!(text, "\\x{octet:02x}");
        }
    }
    text
}

/// The same, with control characters (and the invisible ones that reorder text) escaped too: safe
/// on a terminal and in a log.
pub fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        let hidden = matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        if character.is_control() || hidden {
            let _ = write!(safe, "{}", character.escape_default());
        } else {
            safe.push(character);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_the_wire_reaches_the_terminal_raw() {
        assert_eq!(utf8_or_escaped(b"a\xff\xc3\xa9"), "a\\xffé");
        assert_eq!(printable("a\u{1b}[31m\u{202e}b\n"), "a\\u{1b}[31m\\u{202e}b\\n");
    }
}
