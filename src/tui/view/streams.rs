//! The waterfall: one row a stream, time to the right.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{HIDDEN, clickable, empty};
use crate::board::detail::{Detail, DetailState, FrameRow};
use crate::board::picture::{Life, life, round_step, tick_text};
use crate::board::words;
use crate::board::{ConnectionRow, StreamRow};
use crate::tui::app::{App, STREAM_ORDERS};
use crate::tui::paint::{self, Column, below, cut, grouped, put, titles, widths};
use crate::tui::theme::{self, Ink};
use crate::vocab::address::Side;
use crate::vocab::frame::{Flags, FrameType};
use crate::vocab::stream::StreamEnd;
use crate::vocab::text::span;

/// The part of time that is drawn, in seconds since the connection's first packet.
#[derive(Clone, Copy)]
struct Window {
    from: f64,
    to: f64,
    cells: u16,
}

impl Window {
    /// The cell of a time; nothing before and behind the window.
    fn cell(&self, at: f64) -> Option<u16> {
        let share = (at - self.from) / (self.to - self.from);
        let cell = share * f64::from(self.cells);
        let last = self.cells.saturating_sub(1);
        (0.0..=1.0).contains(&share).then(|| (cell as u16).min(last))
    }

    /// The cells from one time to another, as far as they are in sight.
    fn cells(&self, from: f64, to: f64) -> Option<(u16, u16)> {
        if to < self.from || from > self.to {
            return None;
        }
        let first = self.cell(from.max(self.from))?;
        Some((first, self.cell(to.min(self.to))?.max(first)))
    }
}

pub(super) fn render(frame: &mut Frame<'_>, app: &mut App, area: Rect) {
    let snapshot = app.snapshot.clone();
    let Some((_, row)) = snapshot.board.rows().find(|(_, row)| Some(row.flow) == app.flow) else {
        return empty(frame, app, area, &super::gone(app));
    };
    let detail = app.detail.clone();
    if detail.streams.is_empty() {
        return empty(frame, app, area, &waiting(&detail, "stream", Some(row)));
    }
    let mut room = below(area, 1);
    put(frame.buffer_mut(), &mut room, &about(app, row, &detail, area.width));
    let columns = [
        Column { title: "", least: 1, grow: 0, right: false, drop: 0 },
        Column { title: "stream", least: 8, grow: 0, right: true, drop: 0 },
        Column { title: "request", least: 14, grow: 2, right: false, drop: 0 },
        Column { title: "end", least: 10, grow: 0, right: false, drop: 0 },
        Column { title: "age", least: 8, grow: 0, right: true, drop: 0 },
        Column { title: "", least: 26, grow: 5, right: false, drop: 0 },
    ];
    let wide = widths(&columns, area.width.saturating_sub(2));
    let cells = wide.last().copied().unwrap_or(0);
    let x = area.right().saturating_sub(cells + 1);
    let whole = row.last.since(row.first).as_secs_f64().max(0.001);
    let (from, to) = app.streams.window.unwrap_or((0.0, whole));
    let window = Window { from, to, cells };
    let order = STREAM_ORDERS.get(app.streams.order).copied().unwrap_or_default();
    let dim = app.theme.ink(Ink::Dim);
    let mut head =
        titles(&columns, &wide, Some((order, (order == "age") != app.streams.reverse)), dim);
    head.spans.insert(0, Span::raw(" "));
    let y = room.y;
    put(frame.buffer_mut(), &mut room, &head);
    axis(frame.buffer_mut(), app, window, x, y);
    let length = app.streams.shown.len();
    let sight = app.streams.list.in_sight(length, usize::from(room.height));
    clickable(app, room, sight.start, sight.len());
    for place in sight {
        let stream = app.streams.shown.get(place).and_then(|place| detail.streams.get(*place));
        let Some(stream) = stream else { continue };
        let mut line = paint::row(&columns, &wide, cells_of(app, stream).into_iter());
        line.spans.insert(0, Span::raw(" "));
        let y = room.y;
        put(frame.buffer_mut(), &mut room, &line);
        if place == app.streams.list.picked {
            let label = Rect { width: x.saturating_sub(area.x), ..area };
            paint::pick(frame.buffer_mut(), label, y, app.theme.picked());
        }
        goaways(frame.buffer_mut(), app, row, stream, window, (x, y));
        bar(frame.buffer_mut(), app, row, &detail, stream, window, (x, y));
    }
}

/// Why there is nothing to see yet, or at all.
pub(super) fn waiting(detail: &Detail, what: &str, row: Option<&ConnectionRow>) -> Vec<String> {
    match (detail.state, &detail.error) {
        (_, Some(error)) => vec![format!("No {what} can be shown."), error.clone()],
        (DetailState::Reading, None) => vec![format!("Looking for the {what}s …")],
        (DetailState::Whole | DetailState::Recent, None) => {
            let mut lines = vec![format!("This connection has no {what} that could be read.")];
            if row.is_some_and(ConnectionRow::is_dark) {
                lines.push("It is TLS that was not decrypted: --keylog FILE opens it.".into());
            }
            lines
        }
    }
}

/// How many, how they ended, and what the GOAWAYs said.
fn about(app: &App, row: &ConnectionRow, detail: &Detail, wide: u16) -> Line<'static> {
    let mut text = format!(" {}", words::streams(&row.streams));
    if app.streams.shown.len() < detail.streams.len() {
        text = format!(" {} shown of {}", grouped(app.streams.shown.len() as u64), text.trim());
    }
    if detail.streams_beyond > 0 {
        text.push_str(&format!(" · {} more are not kept", grouped(detail.streams_beyond)));
    }
    for goaway in row.goaways.iter().take(GOAWAYS_SHOWN) {
        text.push_str(&format!(
            " · ┃ GOAWAY of the {} at {}, last stream {}",
            goaway.by.name(),
            app.clock().at(goaway.stamp.at),
            words::last_stream(goaway.last_stream_id)
        ));
    }
    Line::styled(cut(&text, usize::from(wide)), app.theme.ink(Ink::Plain))
}

/// Round times above the bars.
fn axis(buffer: &mut Buffer, app: &App, window: Window, x: u16, y: u16) {
    let style = app.theme.ink(Ink::Dim);
    buffer.set_string(x, y, " ".repeat(usize::from(window.cells)), Style::new());
    let wide = window.to - window.from;
    let step = round_step(wide * f64::from(TICK_CELLS) / f64::from(window.cells.max(1)));
    let first = (window.from / step).ceil();
    for tick in 0..i32::from(window.cells / TICK_CELLS + 1) {
        let at = (first + f64::from(tick)) * step;
        let Some(cell) = window.cell(at) else { continue };
        let text = format!("│{}", tick_text(at, step));
        let room = usize::from(window.cells - cell).min(usize::from(TICK_CELLS));
        // Half a number is a wrong one.
        let text = if paint::width(&text) <= room { text.as_str() } else { "│" };
        buffer.set_string(x + cell, y, text, style);
    }
}

fn cells_of(app: &App, stream: &StreamRow) -> [(String, Style); 6] {
    let (sign, word, ink) = theme::ending(stream.end);
    let ink = app.theme.ink(ink);
    let word = match stream.end {
        StreamEnd::Completed => match (stream.status, &stream.grpc) {
            (_, Some(grpc)) if grpc.status.is_some_and(|status| status > 0) => {
                format!("grpc {}", grpc.status.unwrap_or_default())
            }
            (Some(status), _) => status.to_string(),
            (None, _) => word.to_owned(),
        },
        _ => word.to_owned(),
    };
    let age = stream.opened.zip(stream.ended);
    let age = age.map_or("-".into(), |(opened, ended)| span(ended.since(opened).as_secs_f64()));
    [
        (sign.into(), ink),
        (stream.id.to_string(), Style::new()),
        (request(stream, app.mask), Style::new()),
        (word, ink),
        (age, Style::new()),
        (String::new(), Style::new()),
    ]
}

/// `GET /orders`.
fn request(stream: &StreamRow, mask: bool) -> String {
    let part = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".into());
    let path = if mask { HIDDEN.to_owned() } else { part(&stream.path) };
    format!("{} {path}", part(&stream.method))
}

/// One stream in words.
pub(in crate::tui) fn told(stream: &StreamRow, mask: bool) -> String {
    let (_, word, _) = theme::ending(stream.end);
    format!("stream {} {} {word}", stream.id, request(stream, mask))
}

/// The GOAWAYs as lines; the last stream of one has its sign.
fn goaways(
    buffer: &mut Buffer,
    app: &App,
    row: &ConnectionRow,
    stream: &StreamRow,
    window: Window,
    (x, y): (u16, u16),
) {
    for goaway in &row.goaways {
        let Some(cell) = window.cell(goaway.stamp.since(row.first).as_secs_f64()) else { continue };
        let sign = if goaway.last_stream_id == stream.id { "◀" } else { "┃" };
        buffer.set_string(x + cell, y, sign, app.theme.ink(Ink::Bad));
    }
}

/// The life of one stream.
fn bar(
    buffer: &mut Buffer,
    app: &App,
    row: &ConnectionRow,
    detail: &Detail,
    stream: &StreamRow,
    window: Window,
    (x, y): (u16, u16),
) {
    let Some(Life { start, answer, end }) = life(row, stream) else { return };
    let since = |stamp: crate::vocab::time::Stamp| stamp.since(row.first).as_secs_f64();
    let asked = asked(detail, stream).map_or(start, since).min(answer.unwrap_or(end));
    let mut fill = |from: f64, to: f64, sign: &str, ink: Ink| {
        if let Some((first, last)) = window.cells(from, to.min(end)) {
            for cell in first..=last {
                buffer.set_string(x + cell, y, sign, app.theme.ink(ink));
            }
        }
    };
    fill(asked, answer.unwrap_or(end), "─", Ink::Dim);
    if asked > start {
        fill(start, asked, "▒", Ink::Client);
    }
    if let Some(answer) = answer {
        fill(answer, end, "█", Ink::Server);
    }
    let (sign, _, ink) = theme::ending(stream.end);
    if let Some(cell) = window.cell(end) {
        let sign = if stream.ended.is_none() { "›" } else { sign };
        buffer.set_string(x + cell, y, sign, app.theme.ink(ink));
    }
}

/// The frame with which the client ended its request.
fn asked(detail: &Detail, stream: &StreamRow) -> Option<crate::vocab::time::Stamp> {
    if stream.request_bytes == 0 {
        return None;
    }
    let opened = stream.opened?.order();
    let from = detail.frames.partition_point(|frame| frame.stamp.order() < opened);
    let ends = |frame: &&FrameRow| {
        let kind = frame.head.kind == FrameType::DATA || frame.head.kind == FrameType::HEADERS;
        frame.head.stream == stream.id
            && frame.by == stream.by.unwrap_or(Side::Client)
            && kind
            && frame.head.flags.has(Flags::END_STREAM)
    };
    let near = detail.frames.get(from..)?.iter().take(FRAMES_SEARCHED);
    near.into_iter().find(ends).map(|frame| frame.stamp)
}

/// Columns between two times of the axis.
const TICK_CELLS: u16 = 12;
const GOAWAYS_SHOWN: usize = 2;
/// Frames looked at for the end of a request: each drawn row may search.
const FRAMES_SEARCHED: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_their_cells() {
        let window = Window { from: 2.0, to: 4.0, cells: 20 };
        assert_eq!([2.0, 3.0, 4.0].map(|at| window.cell(at)), [Some(0), Some(10), Some(19)]);
        assert_eq!([1.9, 4.1].map(|at| window.cell(at)), [None, None]);
        assert_eq!(window.cells(0.0, 2.5), Some((0, 5)));
        assert_eq!(window.cells(0.0, 1.0), None);
    }
}
