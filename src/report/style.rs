//! How text is laid out: ink, width, wrapping, spans of time, lists cut short.

use crate::vocab::text::printable;
pub(super) use crate::vocab::text::{count, cut_short, packet, shortened, span};

/// What the terminal can show; decided once, by the command line.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Whether to use colours.
    pub colour: bool,
    /// Whether to keep to ASCII.
    pub ascii: bool,
    /// Columns to stay within; 100 unless the terminal says otherwise.
    pub width: usize,
}

impl Default for Style {
    fn default() -> Self {
        Self { colour: false, ascii: false, width: 100 }
    }
}

/// The few inks of the report. None of them alone carries a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    Plain,
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Cyan,
}

impl Ink {
    /// Parameters of the SGR control sequence (ECMA-48 section 8.3.117).
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Red => "1;31",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Cyan => "36",
        }
    }
}

/// A part of a line in one ink.
pub(super) type Run<'a> = (Ink, &'a str);

/// Text under construction. Everything that enters it comes out harmless on a terminal.
pub(super) struct Page {
    pub(super) text: String,
    pub(super) style: Style,
}

impl Page {
    pub(super) fn new(style: Style) -> Self {
        let width = style.width.clamp(40, 200);
        Self { text: String::new(), style: Style { width, ..style } }
    }

    pub(super) fn blank(&mut self) {
        self.text.push('\n');
    }

    /// One line of several inks, as wide as it is.
    pub(super) fn line(&mut self, indent: usize, runs: &[Run<'_>]) {
        let mut line = " ".repeat(indent);
        for (ink, text) in runs {
            self.paint(&mut line, *ink, text);
        }
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// A sign, a name, and facts: behind it where there is room, else below.
    pub(super) fn title(&mut self, sign: Run<'_>, name: &str, facts: &str) {
        let behind = format!("  {facts}");
        let all = [sign.1, name, &behind].map(|part| self.safe(part).chars().count());
        if all.iter().sum::<usize>() <= self.style.width {
            self.line(0, &[sign, (Ink::Bold, name), (Ink::Plain, &behind)]);
        } else {
            self.line(0, &[sign, (Ink::Bold, name)]);
            self.paragraph(2, Ink::Plain, facts);
        }
    }

    /// Text in one ink, wrapped, indented.
    pub(super) fn paragraph(&mut self, indent: usize, ink: Ink, text: &str) {
        for line in wrap(&self.safe(text), self.style.width.saturating_sub(indent)) {
            self.line(indent, &[(ink, &line)]);
        }
    }

    /// A label in the margin and wrapped text beside it.
    pub(super) fn labelled(&mut self, label: &str, text: &str) {
        let room = self.style.width.saturating_sub(MARGIN);
        for (index, line) in wrap(&self.safe(text), room).iter().enumerate() {
            let label = if index == 0 { label } else { "" };
            let padded = format!("{label:<width$}", width = MARGIN.saturating_sub(2));
            self.line(2, &[(Ink::Cyan, &padded), (Ink::Plain, line)]);
        }
    }

    /// What the text becomes on this terminal.
    pub(super) fn safe(&self, text: &str) -> String {
        let text = printable(text);
        if self.style.ascii { ascii(&text) } else { text }
    }

    fn paint(&self, line: &mut String, ink: Ink, text: &str) {
        let text = self.safe(text);
        if self.style.colour && ink != Ink::Plain {
            line.push_str("\u{1b}[");
            line.push_str(ink.code());
            line.push('m');
            line.push_str(&text);
            line.push_str("\u{1b}[0m");
        } else {
            line.push_str(&text);
        }
    }
}

/// The report's own signs in ASCII, of the same width where columns depend on them; any other
/// character as its escape.
fn ascii(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '│' | '├' | '┤' => plain.push('|'),
            '─' | '–' | '·' => plain.push('-'),
            '▶' => plain.push('>'),
            '◀' => plain.push('<'),
            '●' => plain.push('*'),
            '▲' => plain.push('!'),
            '×' => plain.push('x'),
            'µ' => plain.push('u'),
            '→' => plain.push_str("->"),
            '…' => plain.push_str("..."),
            '±' => plain.push_str("+-"),
            '’' => plain.push('\''),
            '≤' => plain.push_str("<="),
            '≥' => plain.push_str(">="),
            known if known.is_ascii() => plain.push(known),
            other => plain.extend(other.escape_unicode()),
        }
    }
    plain
}

/// Breaks text at spaces into lines of at most `width` characters; a word longer than that is cut.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(20);
    let mut lines = Vec::new();
    let (mut line, mut used) = (String::new(), 0_usize);
    for word in text.split_whitespace() {
        let mut rest: Vec<char> = word.chars().collect();
        if used > 0 && used.saturating_add(1).saturating_add(rest.len()) > width {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        while rest.len() > width {
            let tail = rest.split_off(width);
            lines.push(rest.into_iter().collect());
            rest = tail;
        }
        if used > 0 {
            line.push(' ');
            used = used.saturating_add(1);
        }
        used = used.saturating_add(rest.len());
        line.extend(rest);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// Columns in front of labelled text.
const MARGIN: usize = 17;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_naturally() {
        let spoken: Vec<_> =
            [0.0, 0.00002, 0.0013, 0.93, 6.066, 340.0, 723.0, 900.0].map(span).into();
        let wanted =
            ["0 s", "20 µs", "1.3 ms", "930 ms", "6.07 s", "340.0 s", "12 min 3 s", "15 min"];
        assert_eq!(spoken, wanted);
    }

    #[test]
    fn long_words_and_lists_are_cut() {
        assert_eq!(wrap(&"x".repeat(45), 20).iter().map(String::len).max(), Some(20));
        assert_eq!(wrap("aa bb", 20), ["aa bb"]);
        assert_eq!(cut_short([3, 5, 7].iter(), 2), "3, 5, … (+1)");
    }

    #[test]
    fn nothing_from_the_wire_moves_the_cursor() {
        let mut page = Page::new(Style { ascii: true, ..Style::default() });
        page.labelled("debug", "a\u{1b}[2Jb → é");
        assert_eq!(page.text, "  debug          a\\u{1b}[2Jb -> \\u{e9}\n");
    }
}
