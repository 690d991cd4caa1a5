//! One screen: a line about the capture, the views, the one that is open, the keys.

pub(super) mod chain;
pub(super) mod frames;
mod header;
mod help;
mod overview;
pub(super) mod streams;
mod timeouts;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::app::{Action, App, View};
use super::clock::{Clock, TimeStyle};
use super::paint::{below, cut, put, top, wrap};
use super::theme::{self, Ink};
use crate::board::mask::{HIDDEN, veil};
use crate::board::{ConnectionRow, words};
use crate::vocab::time::Timestamp;

/// The smallest screen that has room for everything.
const LEAST: (u16, u16) = (80, 24);

/// Draws the dashboard. Notes where a click does what.
pub fn render(frame: &mut Frame<'_>, app: &mut App) {
    let area = frame.area();
    app.hits.clear();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        too_small(frame, area);
    } else {
        whole(frame, app, area);
    }
    theme::finish(frame.buffer_mut(), app.theme);
}

fn too_small(frame: &mut Frame<'_>, area: Rect) {
    let (is, needs) = (format!("{} x {}", area.width, area.height), LEAST);
    let mut lines = vec![
        format!("This terminal is {is}."),
        format!("goawhy needs {} x {}:", needs.0, needs.1),
        "make it larger, or run".to_owned(),
        "goawhy report FILE. q quits.".to_owned(),
    ];
    if lines.iter().any(|text| text.len() > usize::from(area.width)) {
        lines = vec![is, "is less than".into(), format!("{} x {}.", needs.0, needs.1)];
        lines.push("q quits.".into());
    }
    let mut room = below(area, area.height.saturating_sub(4) / 2);
    for text in lines {
        let left = usize::from(area.width).saturating_sub(text.len()) / 2;
        put(frame.buffer_mut(), &mut room, &Line::raw(format!("{}{text}", " ".repeat(left))));
    }
}

fn whole(frame: &mut Frame<'_>, app: &mut App, area: Rect) {
    let foot = if app.prompt.is_some() { 4 } else { 1 };
    let mut room = area;
    for line in header::lines(app, area.width) {
        put(frame.buffer_mut(), &mut room, &line);
    }
    header::tabs(frame.buffer_mut(), app, top(room, 1));
    room = below(room, 1);
    let body = Rect { height: room.height.saturating_sub(foot), ..room };
    match app.view {
        View::Overview => overview::render(frame, app, body),
        View::Chain => chain::render(frame, app, body),
        View::Streams => streams::render(frame, app, body),
        View::Timeouts => timeouts::render(frame, app, body),
        View::Frames => frames::render(frame, app, body),
    }
    header::foot(frame, app, below(room, body.height));
    if app.help.is_some() {
        help::render(frame, app, body);
    }
}

impl App {
    /// The clock for the connection that is looked at.
    pub(super) fn clock(&self) -> Clock {
        let row = self.row().map(|(_, row)| row);
        let base = match self.time {
            TimeStyle::Connection => row.map(|row| row.first.at),
            TimeStyle::Ending => row.and_then(|row| {
                super::app::endings(row).get(self.ending).map(|ending| ending.stamp.at)
            }),
            _ => None,
        };
        Clock { style: self.time, base: base.unwrap_or_else(|| self.begin()) }
    }

    /// Time of the first packet.
    pub(super) fn begin(&self) -> Timestamp {
        let board = &self.snapshot.board;
        let captures = board.captures.iter().filter_map(|capture| capture.first_packet_at);
        captures.chain(board.rows().map(|(_, row)| row.first.at)).min().unwrap_or_default()
    }

    /// Time of the last packet.
    pub(super) fn latest(&self) -> Timestamp {
        let board = &self.snapshot.board;
        let captures = board.captures.iter().filter_map(|capture| capture.last_packet_at);
        let rows = board.rows().map(|(_, row)| row.last.at);
        captures.chain(rows).chain(self.snapshot.latest).max().unwrap_or_default()
    }

    /// A text with what strangers should not see taken out, where that was asked for.
    pub(super) fn veiled(&self, text: &str) -> String {
        if !self.mask {
            return text.to_owned();
        }
        let mut text = text.to_owned();
        self.names.hide(&mut text);
        veil(&text)
    }
}

/// A rule with a title: `── Causes ─────`.
fn rule(app: &App, title: &str, wide: u16) -> Line<'static> {
    let text = cut(title, usize::from(wide).saturating_sub(6));
    let rest = usize::from(wide).saturating_sub(super::paint::width(&text) + 4);
    Line::from(vec![
        Span::styled("── ", app.theme.ink(Ink::Dim)),
        Span::styled(text, app.theme.ink(Ink::Label)),
        Span::styled(format!(" {}", "─".repeat(rest)), app.theme.ink(Ink::Dim)),
    ])
}

/// What is said of a connection that is looked at and that no snapshot has any more.
fn gone(app: &App) -> Vec<String> {
    let back = || "1 goes back to the list.".to_owned();
    let Some(row) = app.remembered() else {
        return vec!["No connection is picked.".into(), back()];
    };
    let mut lines = vec![
        FORGOTTEN.to_owned(),
        format!("{} → {}", row.client, row.server),
        words::streams(&row.streams),
    ];
    if let Some(verdict) = row.lead() {
        lines.push(words::because(verdict));
        lines.push(app.veiled(&verdict.summary));
    }
    lines.push(back());
    lines
}

/// Why a connection is not there.
const FORGOTTEN: &str = "Forgotten for memory (--memory): what was known of it last is told here.";

/// Makes the rows of a list clickable.
fn clickable(app: &mut App, area: Rect, first: usize, rows: usize) {
    for place in 0..rows.min(usize::from(area.height)) {
        let row = Rect { y: area.y + place as u16, height: 1, ..area };
        app.hits.push((row, Action::Pick(first + place)));
    }
}

/// `#1  127.0.0.1:33874 → 127.0.0.1:20002`.
fn named(row: &ConnectionRow) -> String {
    format!("#{}  {} → {}", row.number, row.client, row.server)
}

/// `curl[4711]` and `nginx[15]`, as far as they are of this host.
fn programs(row: &ConnectionRow) -> Option<String> {
    let ends = [("client", &row.processes.first), ("server", &row.processes.second)];
    let named =
        ends.into_iter().filter_map(|(side, end)| Some(format!("{side} {}", end.as_ref()?)));
    let named: Vec<String> = named.collect();
    (!named.is_empty()).then(|| named.join(", "))
}

/// Says that there is more below.
fn more(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let place = (area.right().saturating_sub(9), area.bottom().saturating_sub(1));
    frame.buffer_mut().set_string(place.0, place.1, " ↓ j more", app.theme.ink(Ink::Label));
}

/// A few lines in the middle of an empty view.
fn empty(frame: &mut Frame<'_>, app: &App, area: Rect, lines: &[String]) {
    let mut room = below(area, area.height.saturating_sub(lines.len() as u16) / 3);
    let lines = lines.iter().enumerate().flat_map(|(place, text)| {
        wrap(text, usize::from(area.width).saturating_sub(2)).into_iter().map(move |of| (place, of))
    });
    for (place, text) in lines {
        let left = usize::from(area.width).saturating_sub(super::paint::width(&text)) / 2;
        let ink = app.theme.ink(if place == 0 { Ink::Bold } else { Ink::Plain });
        let line = Line::from(vec![Span::raw(" ".repeat(left)), Span::styled(text, ink)]);
        put(frame.buffer_mut(), &mut room, &line);
    }
}
