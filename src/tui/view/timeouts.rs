//! The timers that show in the traffic, beside the times that answers take, on one axis.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{empty, rule};
use crate::board::words;
use crate::board::{AgeCount, Board};
use crate::tui::app::App;
use crate::tui::paint::{self, below, column, cut, grouped, put, wrap};
use crate::tui::theme::Ink;
use crate::vocab::text::span;

pub(super) fn render(frame: &mut Frame<'_>, app: &mut App, area: Rect) {
    let snapshot = app.snapshot.clone();
    let board = &snapshot.board;
    let kinds = [
        ("answers", Ink::Server, &board.ages.answers),
        ("answers too late", Ink::Warn, &board.ages.late),
        ("cancelled by client", Ink::Client, &board.ages.cancels),
    ];
    let some = kinds.iter().any(|(.., ages)| !ages.is_empty());
    if !some && board.inferred_timeouts.is_empty() {
        let lines = [
            "No timeout and no answer to measure.".to_owned(),
            "Times of answers and cancels show as soon as streams end.".to_owned(),
        ];
        return empty(frame, app, area, &lines);
    }
    let mut room = below(area, 1);
    let high = (area.height.saturating_sub(8) / 6).clamp(2, 6);
    let seconds = board.inferred_timeouts.iter().map(|timeout| timeout.seconds);
    let ages = kinds.iter().flat_map(|(.., ages)| ages.iter().map(|age| age.seconds));
    let axis = Axis::over(seconds.chain(ages), area.width.saturating_sub(LABEL + 2));
    put(frame.buffer_mut(), &mut room, &rule(app, "From request to answer or cancel", area.width));
    let top = room.y;
    let mut drawn = 0;
    for (name, ink, ages) in kinds {
        if !ages.is_empty() {
            histogram(frame.buffer_mut(), app, room, &axis, (name, ink, ages), high);
            room = below(room, high);
            drawn += high;
        }
    }
    lines(frame.buffer_mut(), app, board, &axis, Rect { y: top, height: drawn, ..area });
    scale(frame.buffer_mut(), app, room, &axis);
    room = below(room, 2);
    let text = told(app, board, area.width);
    let page = usize::from(room.height);
    app.timeouts.page = page;
    app.timeouts.picked = app.timeouts.picked.min(text.len().saturating_sub(page));
    for line in text.iter().skip(app.timeouts.picked).take(page) {
        put(frame.buffer_mut(), &mut room, line);
    }
    if app.timeouts.picked + page < text.len() {
        super::more(frame, app, area);
    }
}

/// A logarithmic axis of seconds.
struct Axis {
    least: f64,
    most: f64,
    cells: u16,
}

impl Axis {
    fn over(seconds: impl Iterator<Item = f64>, cells: u16) -> Self {
        let (mut least, mut most) = (f64::MAX, f64::MIN);
        for seconds in seconds.filter(|seconds| *seconds > 0.0) {
            (least, most) = (least.min(seconds), most.max(seconds));
        }
        // A little room to both sides, and at least a decade.
        let (least, most) = if least > most { (0.001, 10.0) } else { (least / 1.5, most * 1.5) };
        Self { least, most: most.max(least * 10.0), cells }
    }

    fn cell(&self, seconds: f64) -> u16 {
        let share = (seconds / self.least).ln() / (self.most / self.least).ln();
        let cell = (share * f64::from(self.cells)).clamp(0.0, f64::from(self.cells));
        (cell as u16).min(self.cells.saturating_sub(1))
    }
}

/// How many of one kind at each age.
fn histogram(
    buffer: &mut Buffer,
    app: &App,
    area: Rect,
    axis: &Axis,
    (name, ink, ages): (&str, Ink, &[AgeCount]),
    high: u16,
) {
    let mut counts = vec![0_u64; usize::from(axis.cells)];
    for age in ages {
        let cell = usize::from(axis.cell(age.seconds));
        counts.iter_mut().skip(cell).take(1).for_each(|count| *count += age.count);
    }
    let most = counts.iter().copied().max().unwrap_or(0);
    let total: u64 = ages.iter().map(|age| age.count).sum();
    let label = paint::fit(name, usize::from(LABEL) - 1, true);
    let style = app.theme.ink(ink);
    let middle = area.y + high.saturating_sub(2);
    buffer.set_string(area.x, middle, label, style);
    let count = paint::fit(&grouped(total), usize::from(LABEL) - 1, true);
    buffer.set_string(area.x, middle + 1, count, app.theme.ink(Ink::Dim));
    for (cell, count) in counts.iter().enumerate() {
        let x = area.x + LABEL + 1 + cell as u16;
        for (step, sign) in column(*count, most, high).enumerate() {
            let y = area.y + high - 1 - step as u16;
            if y < area.bottom() && sign != " " {
                buffer.set_string(x, y, sign, style);
            }
        }
    }
}

/// The measured timeouts, through all distributions.
fn lines(buffer: &mut Buffer, app: &App, board: &Board, axis: &Axis, area: Rect) {
    for timeout in &board.inferred_timeouts {
        let x = area.x + LABEL + 1 + axis.cell(timeout.seconds);
        for y in area.y..area.bottom() {
            let free = buffer.cell((x, y)).is_some_and(|cell| cell.symbol() == " ");
            if free {
                buffer.set_string(x, y, "┊", app.theme.ink(Ink::Bad));
            }
        }
    }
}

/// Seconds under the axis: decades, and the timeouts by their letters.
fn scale(buffer: &mut Buffer, app: &App, area: Rect, axis: &Axis) {
    let dim = app.theme.ink(Ink::Dim);
    let x = area.x + LABEL + 1;
    buffer.set_string(x, area.y, "─".repeat(usize::from(axis.cells)), dim);
    let mut free = 0;
    let first = axis.least.log10().floor() as i32;
    for power in first..first + DECADES {
        for step in [1.0, 2.0, 5.0] {
            let seconds = step * 10_f64.powi(power);
            let text = span(seconds);
            let cell = axis.cell(seconds);
            let wide = paint::width(&text) as u16;
            let inside = (axis.least..axis.most).contains(&seconds);
            // The middle of the label stands under its tick.
            let from = cell.saturating_sub(wide / 2);
            if inside && cell >= wide / 2 && from >= free && from + wide <= axis.cells {
                buffer.set_string(x + cell, area.y, "┬", dim);
                buffer.set_string(x + from, area.y + 1, &text, dim);
                free = from + wide + 2;
            }
        }
    }
    for (place, timeout) in app.snapshot.board.inferred_timeouts.iter().enumerate() {
        let at = x + axis.cell(timeout.seconds);
        buffer.set_string(at, area.y, letter(place), app.theme.ink(Ink::Bad));
    }
}

/// The same in words, and what does not fit together.
fn told(app: &App, board: &Board, wide: u16) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let room = usize::from(wide) - 6;
    let mut add = |sign: String, text: &str, ink: Ink| {
        for (place, text) in wrap(text, room).into_iter().enumerate() {
            let sign = if place == 0 { sign.clone() } else { " ".into() };
            lines.push(Line::from(vec![
                Span::styled(format!("  {sign} "), app.theme.ink(Ink::Bad)),
                Span::styled(text, app.theme.ink(ink)),
            ]));
        }
    };
    if !board.inferred_timeouts.is_empty() {
        add(String::new(), "Timeouts measured", Ink::Label);
    }
    for (place, timeout) in board.inferred_timeouts.iter().enumerate() {
        add(letter(place).into(), &app.veiled(&words::measured(timeout)), Ink::Plain);
    }
    if !board.conflicts.is_empty() {
        add(String::new(), "", Ink::Plain);
        add(String::new(), "Settings that do not fit together", Ink::Label);
    }
    for conflict in &board.conflicts {
        let between = cut(&conflict.between.join(" and "), room);
        add("▲".into(), &format!("{} · {between}", conflict.rule), Ink::Bad);
        add(" ".into(), &app.veiled(&conflict.text), Ink::Plain);
        for advice in &conflict.advice {
            add(" ".into(), &format!("· {}", app.veiled(advice)), Ink::Plain);
        }
    }
    if !board.server_answers.is_empty() {
        add(String::new(), "Answers", Ink::Label);
    }
    for answers in &board.server_answers {
        add(" ".into(), &words::answered(&answers.server.to_string(), &answers.times), Ink::Plain);
    }
    lines
}

/// The sign of a timeout on the axis.
fn letter(place: usize) -> &'static str {
    const LETTERS: [&str; 12] = ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L"];
    LETTERS.get(place).copied().unwrap_or("+")
}

/// Columns of the labels to the left.
const LABEL: u16 = 21;
/// Powers of ten that an axis may have.
const DECADES: i32 = 14;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_is_logarithmic() {
        let axis = Axis::over([0.015, 0.15, 1.5].into_iter(), 90);
        assert_eq!((axis.cell(0.01), axis.cell(2.24)), (0, 89));
        let (a, b, c) = (axis.cell(0.015), axis.cell(0.15), axis.cell(1.5));
        assert!((b - a).abs_diff(c - b) <= 1, "{a} {b} {c}");
        let empty = Axis::over([].into_iter(), 10);
        assert_eq!(empty.cell(0.0001), 0);
    }

    #[test]
    fn labels_stand_under_their_ticks() {
        let app = App::new(crate::tui::app::Settings::default());
        let area = Rect { x: 0, y: 0, width: 100, height: 2 };
        let mut buffer = Buffer::empty(area);
        let axis = Axis::over([0.004, 30.0].into_iter(), area.width - LABEL - 2);
        scale(&mut buffer, &app, area, &axis);
        let buffer = &buffer;
        let row =
            |y| (0..area.width).filter_map(move |x| buffer.cell((x, y))).map(|cell| cell.symbol());
        let ticks: Vec<usize> =
            row(0).enumerate().filter(|(_, sign)| *sign == "┬").map(|(x, _)| x).collect();
        let text: String = row(1).collect();
        let mut labels = Vec::new();
        let mut from = 0;
        for label in text.split("  ") {
            if !label.trim().is_empty() {
                let start = from + label.len() - label.trim_start().len();
                labels.push((start, label.trim().len()));
            }
            from += label.len() + 2;
        }
        assert!(labels.len() >= 4, "{text}");
        assert_eq!(labels.len(), ticks.len(), "{text}");
        for ((start, wide), tick) in labels.iter().zip(ticks) {
            assert_eq!(start + wide / 2, tick, "{text}");
        }
    }
}
