//! Text in cells: measured, cut, wrapped, laid out in columns.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::vocab::text::printable;

/// Columns of a text.
pub(super) fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// At most `room` columns of a text; what is cut off shows as `…`. Comes out harmless.
pub(super) fn cut(text: &str, room: usize) -> String {
    let text = printable(text);
    if width(&text) <= room {
        return text;
    }
    let mut kept = String::new();
    let mut used = 0;
    for character in text.chars() {
        let wide = character.width().unwrap_or(0);
        if used + wide + 1 > room {
            break;
        }
        used += wide;
        kept.push(character);
    }
    if room > 0 {
        kept.push('…');
    }
    kept
}

/// Exactly `room` columns, to the left or to the right.
pub(super) fn fit(text: &str, room: usize, right: bool) -> String {
    let text = cut(text, room);
    let space = " ".repeat(room.saturating_sub(width(&text)));
    if right { format!("{space}{text}") } else { format!("{text}{space}") }
}

/// Lines of at most `room` columns, broken at spaces; a longer word is broken anywhere. Come out
/// harmless.
pub(super) fn wrap(text: &str, room: usize) -> Vec<String> {
    let (text, room) = (printable(text), room.max(8));
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let space = usize::from(!line.is_empty());
        if width(&line) + space + width(word) <= room {
            line.push_str(if space > 0 { " " } else { "" });
            line.push_str(word);
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        for character in word.chars() {
            if width(&line) + character.width().unwrap_or(0) > room {
                lines.push(std::mem::take(&mut line));
            }
            line.push(character);
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// One column of a table.
pub(super) struct Column {
    pub title: &'static str,
    /// Columns it needs at least.
    pub least: u16,
    /// Its share of the room that is left.
    pub grow: u16,
    pub right: bool,
    /// The largest goes first where there is no room; 0 stays.
    pub drop: u8,
}

/// Widths of `columns` in `room`; 0 where a column is left out. One space stands between two.
pub(super) fn widths(columns: &[Column], room: u16) -> Vec<u16> {
    let mut kept: Vec<bool> = vec![true; columns.len()];
    let needs = |kept: &[bool]| -> u16 {
        let shown = columns.iter().zip(kept).filter(|(_, kept)| **kept);
        shown.map(|(column, _)| column.least + 1).sum::<u16>().saturating_sub(1)
    };
    while needs(&kept) > room {
        let shown = columns.iter().enumerate().zip(&kept).filter(|(_, kept)| **kept);
        let shown = shown.map(|((index, column), _)| (column.drop, index));
        let Some((drop, index)) = shown.max() else { break };
        if drop == 0 {
            break;
        }
        kept.iter_mut().skip(index).take(1).for_each(|kept| *kept = false);
    }
    let spare = room.saturating_sub(needs(&kept));
    let shown = || columns.iter().zip(&kept).map(|(column, kept)| (column, *kept));
    let shares: u16 = shown().filter(|(_, kept)| *kept).map(|(column, _)| column.grow).sum();
    let grown = |column: &Column| match shares {
        0 => 0,
        shares => (u32::from(spare) * u32::from(column.grow) / u32::from(shares)) as u16,
    };
    shown().map(|(column, kept)| if kept { column.least + grown(column) } else { 0 }).collect()
}

/// The titles of a table; the sorted one is marked, with whether large comes before small.
pub(super) fn titles(
    columns: &[Column],
    widths: &[u16],
    sorted: Option<(&str, bool)>,
    style: Style,
) -> Line<'static> {
    let cells = columns.iter().map(|column| {
        let mark = match sorted {
            Some((title, true)) if title == column.title => "↓",
            Some((title, false)) if title == column.title => "↑",
            _ => "",
        };
        (format!("{}{mark}", column.title), style)
    });
    row(columns, widths, cells)
}

/// One line of a table.
pub(super) fn row(
    columns: &[Column],
    widths: &[u16],
    cells: impl Iterator<Item = (String, Style)>,
) -> Line<'static> {
    let mut spans = Vec::new();
    for ((column, wide), (text, style)) in columns.iter().zip(widths).zip(cells) {
        if *wide == 0 {
            continue;
        }
        if !spans.is_empty() {
            spans.push(Span::raw(" "));
        }
        spans.push(Span::styled(fit(&text, usize::from(*wide), column.right), style));
    }
    Line::from(spans)
}

/// Puts a line at the top of `area` and takes that row from it.
pub(super) fn put(buffer: &mut Buffer, area: &mut Rect, line: &Line<'_>) {
    if area.height > 0 {
        buffer.set_line(area.x, area.y, line, area.width);
        *area = below(*area, 1);
    }
}

/// What lies under the first `rows` of an area.
pub(super) fn below(area: Rect, rows: u16) -> Rect {
    let rows = rows.min(area.height);
    Rect { y: area.y + rows, height: area.height - rows, ..area }
}

/// The first `rows` of an area.
pub(super) fn top(area: Rect, rows: u16) -> Rect {
    Rect { height: rows.min(area.height), ..area }
}

/// Makes a whole row look picked.
pub(super) fn pick(buffer: &mut Buffer, area: Rect, y: u16, style: Style) {
    buffer.set_style(Rect { y, height: 1, ..area }.intersection(area), style);
}

/// `1,044,000`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Eighths of a cell, from nothing to full.
pub(super) const EIGHTHS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// A bar of `value` out of `most`, one cell wide and `cells` high: eighths for each cell from
/// below.
pub(super) fn column(value: u64, most: u64, cells: u16) -> impl Iterator<Item = &'static str> {
    let full = u64::from(cells) * 8;
    let mut left = match (value, most) {
        (0, _) | (_, 0) => 0,
        (value, most) => (value.saturating_mul(full) / most).clamp(1, full),
    };
    (0..cells).map(move |_| {
        let here = left.min(8);
        left -= here;
        EIGHTHS.get(here as usize).copied().unwrap_or(" ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_by_cells() {
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(fit("ab", 4, true), "  ab");
        assert_eq!(fit("日本語", 4, false), "日… ");
        assert_eq!(cut("a\u{1b}[2J", 20), "a\\u{1b}[2J");
        assert_eq!(wrap("aa bb cccccccccc", 8), ["aa bb", "cccccccc", "cc"]);
    }

    #[test]
    fn columns_go_by_their_order() {
        let column = |least, grow, drop| Column { title: "", least, grow, right: false, drop };
        let columns = [column(4, 0, 0), column(10, 1, 1), column(6, 0, 2)];
        assert_eq!(widths(&columns, 30), [4, 18, 6]);
        assert_eq!(widths(&columns, 16), [4, 11, 0]);
        assert_eq!(widths(&columns, 8), [4, 0, 0]);
    }

    #[test]
    fn digits_are_grouped() {
        assert_eq!([5, 999, 1000, 1_044_000].map(grouped), ["5", "999", "1,000", "1,044,000"]);
    }

    #[test]
    fn bars_have_eighths() {
        assert_eq!(column(3, 4, 2).collect::<String>(), "█▄");
        assert_eq!(column(1, 1000, 1).collect::<String>(), "▁");
        assert_eq!(column(0, 0, 1).collect::<String>(), " ");
    }
}
