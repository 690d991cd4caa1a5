//! The lines above and below every view.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::named;
use crate::board::snapshot::State;
use crate::tui::app::{Action, App, Prompt, View};
use crate::tui::paint::{cut, fit, grouped, put, width};
use crate::tui::theme::Ink;
use crate::vocab::text::{count, span};

/// What is read, how much, what is lost, and how far it is.
pub(super) fn line(app: &App, wide: u16) -> Line<'static> {
    let snapshot = &app.snapshot;
    let state = state(app, wide);
    let end: usize = state.iter().map(|part| width(&part.content)).sum();
    let room = usize::from(wide).saturating_sub(end + 9);
    let packets = snapshot.board.captures.iter().map(|facts| facts.packets).sum::<u64>();
    let packets = packets.max(snapshot.progress.packets);
    let lasted = app.latest().since(app.begin()).as_secs_f64();
    let connections = snapshot.board.connections.len() as u64 + snapshot.board.earlier.connections;
    let plural = if connections == 1 { "" } else { "s" };
    let over = if wide < ROOMY { String::new() } else { format!(" · {}", span(lasted)) };
    let numbers = format!(
        "  {} packets{over} · {} connection{plural} · ",
        grouped(packets),
        grouped(connections)
    );
    let (lost, ink) = loss(app);
    let taken = width(&numbers) + width(&lost);
    let name = cut(&source(app), room.saturating_sub(taken).max(12));
    let used = width(&name) + taken;
    let mut parts = vec![
        Span::styled(" goawhy ", app.theme.ink(Ink::Label).patch(app.theme.picked())),
        Span::raw(" "),
        Span::styled(name, app.theme.ink(Ink::Bold)),
        Span::raw(numbers),
        Span::styled(lost, app.theme.ink(ink)),
        Span::raw(" ".repeat(room.saturating_sub(used))),
    ];
    parts.extend(state);
    Line::from(parts)
}

/// Less wide screens keep to what matters most.
const ROOMY: u16 = 110;

/// Where the packets come from.
fn source(app: &App) -> String {
    if let Some(live) = &app.snapshot.live {
        let names: Vec<&str> = live.interfaces.iter().map(|of| of.name.as_str()).collect();
        return names.join(", ");
    }
    match app.snapshot.board.captures.as_slice() {
        [] => String::new(),
        [only] => {
            let name = only.file.rsplit('/').next().unwrap_or_default();
            if name == "-" { "standard input".into() } else { name.to_owned() }
        }
        several => count(several.len(), "capture"),
    }
}

/// What the capture lacks: drops of the kernel, octets that were not seen.
fn loss(app: &App) -> (String, Ink) {
    let board = &app.snapshot.board;
    let lost: u64 = board
        .rows()
        .map(|(_, row)| row.lost_bytes.first.saturating_add(row.lost_bytes.second))
        .fold(0, u64::saturating_add);
    let files = board.captures.iter().filter_map(|capture| capture.kernel_dropped).sum();
    let dropped = app.snapshot.live.as_ref().map_or(files, |live| live.dropped());
    let mut parts = Vec::new();
    if dropped > 0 {
        parts.push(format!("{} dropped", grouped(dropped)));
    }
    if let Some(live) = app.snapshot.live.as_ref().filter(|live| live.shed > 0) {
        parts.push(format!("{} connections forgotten for memory", grouped(live.shed)));
    }
    if let Some(live) = &app.snapshot.live {
        parts.extend(live.down().iter().map(|name| format!("{name} is down")));
    }
    if app.snapshot.live.as_ref().is_some_and(|live| live.unsaved().is_some()) {
        parts.push("not saved".into());
    }
    if !board.faults.is_empty() {
        parts.push(format!("{} left out by a fault of goawhy", board.faults.len()));
    }
    if lost > 0 {
        parts.push(format!("{} octets lost", grouped(lost)));
    }
    if board.captures.iter().any(|capture| capture.damage.is_some()) {
        parts.push("file damaged".into());
    }
    if parts.is_empty() {
        return ("no loss".into(), Ink::Good);
    }
    (format!("▲ {}", parts.join(", ")), Ink::Bad)
}

/// How reading goes, at the right end.
fn state(app: &App, wide: u16) -> Vec<Span<'static>> {
    let ink = |ink| app.theme.ink(ink);
    if app.held {
        return vec![Span::styled(" HELD ", app.theme.picked())];
    }
    if app.snapshot.error.is_some() {
        return vec![Span::styled(" ▲ stopped ", ink(Ink::Bad))];
    }
    let rates = app.snapshot.rates;
    let bytes = octets(rates.bytes);
    match app.snapshot.state {
        State::Ended => {
            let all = app.snapshot.board.captures.iter().map(|facts| facts.bytes);
            let all = octets(all.fold(0, u64::saturating_add) as f64);
            let all = if wide < ROOMY { String::new() } else { format!("{all} ") };
            vec![Span::styled(format!(" ✓ read {all}"), ink(Ink::Good))]
        }
        State::Live => {
            let text = match wide < ROOMY {
                true => format!(" ● live {}/s ", grouped(rates.packets as u64)),
                false => format!(" ● live {} packets/s {bytes}/s ", grouped(rates.packets as u64)),
            };
            vec![Span::styled(text, ink(Ink::Good))]
        }
        State::Reading => {
            let progress = app.snapshot.progress;
            let Some(total) = progress.total.filter(|total| *total > 0) else {
                return vec![Span::styled(" reading ", ink(Ink::Label))];
            };
            let share = progress.read as f64 / total as f64;
            let full = (share * 10.0).clamp(0.0, 10.0) as usize;
            let bar = format!("{}{}", "█".repeat(full), "░".repeat(10 - full));
            let text = match wide < ROOMY {
                true => format!(" {bar} {:3.0} % {bytes}/s ", share * 100.0),
                false => format!(
                    " reading {bar} {:3.0} % {} packets/s {bytes}/s ",
                    share * 100.0,
                    grouped(rates.packets as u64)
                ),
            };
            vec![Span::styled(text, ink(Ink::Label))]
        }
    }
}

/// `950 B`, `12.4 MB`.
fn octets(count: f64) -> String {
    let units = ["B", "kB", "MB", "GB"];
    let power = if count < 1.0 { 0 } else { (count.log10() / 3.0) as usize };
    let power = power.min(units.len() - 1);
    let unit = units.get(power).copied().unwrap_or_default();
    let value = count / 1e3_f64.powi(power as i32);
    if power == 0 || value >= 100.0 {
        return format!("{value:.0} {unit}");
    }
    format!("{value:.1} {unit}")
}

/// The views, and the connection that is looked at.
pub(super) fn tabs(buffer: &mut Buffer, app: &mut App, area: Rect) {
    let mut x = area.x;
    for (place, view) in View::ALL.iter().enumerate() {
        let text = format!(" {} {} ", place + 1, view.name());
        let style = if *view == app.view {
            app.theme.picked().patch(app.theme.ink(Ink::Bold))
        } else {
            app.theme.ink(Ink::Dim)
        };
        let wide = width(&text) as u16;
        buffer.set_stringn(x, area.y, &text, usize::from(area.right().saturating_sub(x)), style);
        app.hits.push((Rect { x, width: wide, ..area }, Action::Go(*view)));
        x = x.saturating_add(wide);
    }
    let about = match app.view {
        View::Chain | View::Streams | View::Frames => {
            app.row().map(|(index, row)| named(index, row))
        }
        View::Overview | View::Timeouts => None,
    };
    let room = usize::from(area.right().saturating_sub(x)).saturating_sub(2);
    let text = fit(&about.unwrap_or_default(), room, true);
    buffer.set_stringn(x + 1, area.y, text, room, app.theme.ink(Ink::Bold));
}

/// Keys, a message, or the filter being typed.
pub(super) fn foot(frame: &mut Frame<'_>, app: &App, area: Rect) {
    if let Some(prompt) = &app.prompt {
        return prompt_lines(frame, app, prompt, area);
    }
    let mut area = area;
    if let Some((text, _)) = &app.toast {
        let text = fit(&format!(" {text}"), usize::from(area.width), false);
        let line = Line::from(Span::styled(text, app.theme.picked()));
        return put(frame.buffer_mut(), &mut area, &line);
    }
    let mut parts = Vec::new();
    let mut used = 0;
    let filter = app.filter.as_ref().map_or(String::new(), |filter| {
        let known = app.rows.len();
        let of = app.snapshot.board.connections.len();
        let still = if app.is_matching() { ", asking streams" } else { "" };
        format!("filter: {} ({known} of {of}{still})", filter.text())
    });
    let filter = cut(&filter, usize::from(area.width) / 2);
    let room = usize::from(area.width).saturating_sub(width(&filter) + 1);
    for (key, does) in hints(app) {
        let wide = width(key) + width(does) + 4;
        if used + wide > room {
            break;
        }
        used += wide;
        parts.push(Span::styled(format!(" {key}"), app.theme.ink(Ink::Label)));
        parts.push(Span::styled(format!(" {does}  "), app.theme.ink(Ink::Dim)));
    }
    parts.push(Span::raw(" ".repeat(room.saturating_sub(used))));
    parts.push(Span::styled(filter, app.theme.ink(Ink::Warn)));
    put(frame.buffer_mut(), &mut area, &Line::from(parts));
}

/// The keys that matter most here.
fn hints(app: &App) -> Vec<(&'static str, &'static str)> {
    let mut hints = match app.view {
        View::Overview => vec![("Enter", "why"), ("n", "next GOAWAY"), ("s", "sort")],
        View::Chain => vec![("Enter", "to the frame"), ("n N", "next, previous GOAWAY")],
        View::Streams => vec![("Enter", "frames"), ("+ - h l", "zoom, pan"), ("s", "sort")],
        View::Timeouts => vec![("j k", "scroll")],
        View::Frames if app.frames.only.is_some() => {
            vec![("a", "all streams"), ("J K", "scroll below")]
        }
        View::Frames => vec![("Enter", "only this stream"), ("J K", "scroll below")],
    };
    if app.view != View::Overview {
        hints.push(("Esc", "back"));
    }
    hints.extend([("/", "filter"), ("t", "times"), ("?", "help"), ("q", "quit")]);
    hints
}

fn prompt_lines(frame: &mut Frame<'_>, app: &App, prompt: &Prompt, area: Rect) {
    let mut room = area;
    let text: String = prompt.text.iter().collect();
    let parsed = prompt.parsed();
    let (sign, ink) = if parsed.is_ok() { ("✓", Ink::Good) } else { ("✗", Ink::Bad) };
    let told = match &parsed {
        Err(fault) => fault.what.clone(),
        Ok(_) => {
            let (some, all) = (app.rows.len(), app.snapshot.board.connections.len());
            let all = count(all, "connection");
            match app.is_matching() {
                true => format!("{some} of {all} may pass; asking their streams"),
                false => format!("{some} of {all} pass"),
            }
        }
    };
    let buffer = frame.buffer_mut();
    put(buffer, &mut room, &super::rule(app, "Filter: Enter takes it, Esc leaves it", area.width));
    let line = Line::from(vec![
        Span::styled(format!(" {sign} "), app.theme.ink(ink)),
        Span::styled("/ ", app.theme.ink(Ink::Label)),
        Span::raw(text),
    ]);
    let at = room;
    put(buffer, &mut room, &line);
    // The place of a fault is under its letter.
    let pad = parsed.as_ref().err().map_or(0, |fault| fault.at.min(usize::from(area.width) / 2));
    let mark = if parsed.is_err() { "^ " } else { "" };
    let told = format!("     {}{mark}{told}", " ".repeat(pad));
    put(buffer, &mut room, &Line::styled(cut(&told, usize::from(area.width)), app.theme.ink(ink)));
    put(buffer, &mut room, &proposals(app, prompt, area.width));
    let before: String = prompt.text.iter().take(prompt.cursor).collect();
    let x = at.x + 5 + width(&before) as u16;
    frame.set_cursor_position(Position { x: x.min(area.right().saturating_sub(1)), y: at.y });
}

fn proposals(app: &App, prompt: &Prompt, wide: u16) -> Line<'static> {
    let known = prompt.proposals();
    let text = match known.as_slice() {
        [] => String::new(),
        [(name, meaning)] => format!("{name}: {meaning}"),
        several => several.iter().map(|(name, _)| format!("{name}  ")).collect(),
    };
    let key = if known.is_empty() { "     " } else { " Tab " };
    Line::from(vec![
        Span::styled(key, app.theme.ink(Ink::Label)),
        Span::styled(cut(&text, usize::from(wide).saturating_sub(5)), Style::new()),
    ])
}
