//! Octets from the wire as text that cannot harm; spans, counts and lists as people say them.

use std::fmt::Write as _;

use super::time::Stamp;

/// UTF-8 as it is; octets that are not UTF-8 as `\xNN`. For JSON, whose writer escapes what
/// [`acts`] itself.
pub fn utf8_or_escaped(octets: &[u8]) -> String {
    // Nearly always, and many octets at a time.
    if let Ok(text) = str::from_utf8(octets) {
        return text.to_owned();
    }
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
        if acts(character) {
            let _ = write!(safe, "{}", character.escape_default());
        } else {
            safe.push(character);
        }
    }
    safe
}

/// As [`printable`], of several lines.
pub fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// Whether a sign does something to a terminal or a log instead of being shown: controls (C0, C1
/// and DEL), ends of lines, and what is not seen or turns text around.
pub fn acts(sign: char) -> bool {
    let hidden = matches!(
        sign,
        '\u{ad}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    );
    sign.is_control() || hidden
}

/// A span of time as people say it: `6.07 s`, `930 ms`, `12 min 3 s`.
pub fn span(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        "?".into()
    } else if seconds >= 600.0 {
        let whole = seconds.round();
        let (minutes, rest) = ((whole / 60.0).floor(), whole % 60.0);
        if rest == 0.0 { format!("{minutes} min") } else { format!("{minutes} min {rest} s") }
    } else if seconds >= 100.0 {
        format!("{seconds:.1} s")
    } else if seconds >= 0.9995 {
        format!("{seconds:.2} s")
    } else if seconds >= 0.01 {
        format!("{:.0} ms", seconds * 1e3)
    } else if seconds >= 0.001 {
        format!("{:.1} ms", seconds * 1e3)
    } else if seconds > 0.0 {
        format!("{:.0} µs", seconds * 1e6)
    } else {
        "0 s".into()
    }
}

/// `3, 5, 7, 9, … (+41)`: the first few of many.
pub fn cut_short<T: ToString>(items: impl ExactSizeIterator<Item = T>, show: usize) -> String {
    let count = items.len();
    let shown: Vec<String> = items.take(show).map(|item| item.to_string()).collect();
    let mut text = shown.join(", ");
    if count > show {
        text.push_str(&format!(", … (+{})", count.saturating_sub(show)));
    }
    text
}

/// `1 stream`, `2 streams`.
pub fn count(number: impl TryInto<u64>, one: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    let many = if number == 1 { "" } else { "s" };
    format!("{number} {one}{many}")
}

/// `399`, or `2:399` where there are several captures.
pub fn packet(stamp: Stamp, several: bool) -> String {
    if several {
        format!("{}:{}", stamp.capture().saturating_add(1), stamp.packet())
    } else {
        stamp.packet().to_string()
    }
}

/// Text of the wire, not longer than a line can bear.
pub fn shortened(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    let kept: String = text.chars().take(characters).collect();
    format!("{kept}…")
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
