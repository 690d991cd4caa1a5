//! The lines above and below every view.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::named;
use crate::board::snapshot::State;
use crate::tui::app::{Action, App, Prompt, View};
use crate::tui::paint::{cut, fit, grouped, put, width, wrap};
use crate::tui::theme::Ink;
use crate::vocab::text::{count, span};

/// What is read, how much, what is lost, and how far it is. Where that is too much for one line,
/// what is lost has its own: nothing of it is cut off, nor how far it is.
pub(super) fn lines(app: &App, wide: u16) -> Vec<Line<'static>> {
    let state = state(app, wide);
    let end: usize = state.iter().map(|part| width(&part.content)).sum();
    let room = usize::from(wide).saturating_sub(end + 9);
    let (long, short, ink) = loss(app);
    let name = source(app);
    let numbers = numbers(app, wide);
    // From what says most to what is shortest.
    let tries = numbers.iter().map(|numbers| (numbers, &long));
    let tries = tries.chain(numbers.iter().map(|numbers| (numbers, &short)));
    let least = width(&name).min(NAME);
    let fits = |(numbers, loss): &(&String, &String)| {
        least + width(numbers) + width(SEPARATOR) + width(loss) <= room
    };
    let (numbers, beside) = match tries.clone().find(fits) {
        Some((numbers, loss)) => (numbers.clone(), Some(loss.clone())),
        None => {
            let fits = |numbers: &&String| least + width(numbers) <= room;
            (numbers.iter().find(fits).or(numbers.last()).cloned().unwrap_or_default(), None)
        }
    };
    let beside = beside.map(|loss| (SEPARATOR, loss)).unwrap_or_default();
    let taken = width(&numbers) + width(beside.0) + width(&beside.1);
    let name = cut(&name, room.saturating_sub(taken).max(least));
    let used = width(&name) + taken;
    let own_line = beside.1.is_empty();
    let mut parts = vec![
        Span::styled(" goawhy ", app.theme.ink(Ink::Label).patch(app.theme.picked())),
        Span::raw(" "),
        Span::styled(name, app.theme.ink(Ink::Bold)),
        Span::raw(numbers),
        Span::raw(beside.0),
        Span::styled(beside.1, app.theme.ink(ink)),
        Span::raw(" ".repeat(room.saturating_sub(used))),
    ];
    parts.extend(state);
    let mut lines = vec![Line::from(parts)];
    if own_line {
        let room = usize::from(wide).saturating_sub(2);
        let text = if width(&long) <= room { long } else { cut(&short, room) };
        lines.push(Line::styled(format!(" {text}"), app.theme.ink(ink)));
    }
    lines
}

/// How much was read, in words that get shorter.
fn numbers(app: &App, wide: u16) -> Vec<String> {
    let snapshot = &app.snapshot;
    let packets = snapshot.board.captures.iter().map(|facts| facts.packets).sum::<u64>();
    let packets = packets.max(snapshot.progress.packets);
    let lasted = app.latest().since(app.begin()).as_secs_f64();
    let connections = snapshot.board.connections.len() as u64 + snapshot.board.earlier.connections;
    let plural = if connections == 1 { "" } else { "s" };
    let over = if wide < ROOMY { String::new() } else { format!(" · {}", span(lasted)) };
    let (read, connections) = (grouped(packets), grouped(connections));
    vec![
        format!("  {read} packets{over} · {connections} connection{plural}"),
        format!("  {read} packets · {connections} connection{plural}"),
        format!("  {connections} connection{plural}"),
    ]
}

/// Columns that a long name keeps.
const NAME: usize = 12;
/// What stands between numbers and loss.
const SEPARATOR: &str = " \u{b7} ";

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

/// What the capture lacks, what matters most first: in full, and in short.
fn loss(app: &App) -> (String, String, Ink) {
    let board = &app.snapshot.board;
    let lost: u64 = board
        .rows()
        .map(|(_, row)| row.lost_bytes.first.saturating_add(row.lost_bytes.second))
        .fold(0, u64::saturating_add);
    let files = board.captures.iter().filter_map(|capture| capture.kernel_dropped).sum();
    let dropped = app.snapshot.live.as_ref().map_or(files, |live| live.dropped());
    let mut parts: Vec<(String, String)> = Vec::new();
    let mut add = |long: String, short: String| parts.push((long, short));
    if let Some(live) = &app.snapshot.live {
        for name in live.down() {
            add(format!("{name} is down"), format!("{name} down"));
        }
    }
    if dropped > 0 {
        add(format!("{} dropped", grouped(dropped)), format!("{} dropped", about(dropped)));
    }
    if let Some(live) = app.snapshot.live.as_ref().filter(|live| live.shed > 0) {
        let of = if live.shed == 1 { "connection" } else { "connections" };
        add(
            format!("{} {of} forgotten for memory", grouped(live.shed)),
            format!("{} forgotten", about(live.shed)),
        );
    }
    if let Some(live) = &app.snapshot.live {
        match (live.unsaved(), live.saving_trouble()) {
            (Some(error), _) => add(format!("not saved: {error}"), "not saved".into()),
            (None, Some(stuck)) => add(stuck.to_owned(), "file stuck".into()),
            (None, None) => {}
        }
    }
    if !board.faults.is_empty() {
        let faults = board.faults.len();
        add(format!("{faults} left out by a fault of goawhy"), format!("{faults} left out"));
    }
    let moved = board.clock_offsets.iter().filter(|of| of.seconds != 0.0).count();
    if moved > 0 {
        let of = if moved == 1 { "1 clock".to_owned() } else { format!("{moved} clocks") };
        add(format!("{of} put right by common packets"), format!("{of} moved"));
    }
    if board.captures.iter().any(|capture| capture.damage.is_some()) {
        add("file damaged".into(), "damaged".into());
    }
    if lost > 0 {
        add(format!("{} octets lost", grouped(lost)), format!("{} lost", octets(lost as f64)));
    }
    if parts.is_empty() {
        // These are counted, and not listed.
        return match board.earlier.connections {
            0 => ("no loss".into(), "no loss".into(), Ink::Good),
            gone => {
                let long = format!("no loss, {} rows given up", grouped(gone));
                (long, format!("{} rows given up", about(gone)), Ink::Warn)
            }
        };
    }
    let (long, short): (Vec<String>, Vec<String>) = parts.into_iter().unzip();
    (format!("▲ {}", long.join(", ")), format!("▲ {}", short.join(", ")), Ink::Bad)
}

/// `9,999`, `12k`, `3.4M`.
fn about(count: u64) -> String {
    match count {
        0..10_000 => grouped(count),
        10_000..1_000_000 => format!("{}k", count / 1_000),
        _ => format!("{:.1}M", count as f64 / 1e6),
    }
}

/// How reading goes, at the right end.
fn state(app: &App, wide: u16) -> Vec<Span<'static>> {
    let ink = |ink| app.theme.ink(ink);
    if app.held {
        return vec![Span::styled(" HELD ", app.theme.picked())];
    }
    // Where one of several interfaces went away, the others go on.
    let goes_on = app.snapshot.state == State::Live
        && app.snapshot.live.iter().flat_map(|live| &live.interfaces).any(|of| of.error.is_none());
    if app.snapshot.error.is_some() && !goes_on {
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
        View::Chain | View::Streams | View::Frames => app.row().map(|(_, row)| named(row)),
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
    // What always helps stays, whatever else there is no room for.
    let wide = |hint: &(&str, &str)| width(hint.0) + width(hint.1) + 4;
    let hints = hints(app);
    let last = hints.len().saturating_sub(LAST_HINTS);
    let mut left = room.saturating_sub(hints.iter().skip(last).map(wide).sum());
    for (place, (key, does)) in hints.into_iter().enumerate() {
        let wide = wide(&(key, does));
        if place < last {
            if wide > left {
                left = 0;
                continue;
            }
            left -= wide;
        } else if used + wide > room {
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

/// Hints that stay: help and quit.
const LAST_HINTS: usize = 2;

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
    let indent = " ".repeat(5 + pad);
    let told = wrap(&told, usize::from(area.width).saturating_sub(pad + width(mark) + 6));
    let mut told = told.into_iter();
    let first = format!("{indent}{mark}{}", told.next().unwrap_or_default());
    put(buffer, &mut room, &Line::styled(first, app.theme.ink(ink)));
    // A fault's end, which says what would do, matters more than what Tab proposes.
    match told.collect::<Vec<_>>().join(" ") {
        rest if rest.is_empty() => put(buffer, &mut room, &proposals(app, prompt, area.width)),
        rest => {
            let rest = cut(&format!("       {rest}"), usize::from(area.width));
            put(buffer, &mut room, &Line::styled(rest, app.theme.ink(ink)));
        }
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::board::snapshot::{InterfaceFacts, LiveFacts, Rates, Saved, Snapshot};
    use crate::tui::app::Settings;

    /// A live capture that lost whatever can be lost.
    fn lossy(shed: u64) -> App {
        let eth = InterfaceFacts {
            name: "enp0s31f6".into(),
            kernel_dropped: Some(1_234_567),
            down: true,
            ..InterfaceFacts::default()
        };
        let lo = InterfaceFacts { name: "lo".into(), ..InterfaceFacts::default() };
        let saved = Saved { error: Some("disk full".into()), ..Saved::default() };
        let live = LiveFacts {
            interfaces: vec![eth, lo],
            shed,
            saved: Some(saved),
            ..LiveFacts::default()
        };
        let mut app = App::new(Settings::default());
        app.snapshot = Arc::new(Snapshot {
            state: State::Live,
            progress: crate::board::snapshot::Progress {
                packets: 123_456_789,
                ..Default::default()
            },
            rates: Rates { packets: 98_765.0, bytes: 1e8 },
            live: Some(live),
            ..Snapshot::default()
        });
        app
    }

    fn text(lines: &[Line<'_>], wide: usize) -> String {
        for line in lines {
            assert!(line.width() <= wide, "{} of {wide}: {line}", line.width());
        }
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn nothing_that_matters_is_cut_off() {
        for wide in [80_u16, 96, 120, 200] {
            for shed in [0, 12_345] {
                let mut app = lossy(shed);
                let told = text(&lines(&app, wide), usize::from(wide));
                let parts = ["live 98,765", "enp0s31f6", "down", "dropped", "not saved"];
                for part in parts.into_iter().chain((shed > 0).then_some("forgotten")) {
                    assert!(told.contains(part), "{wide}: {part} is not in\n{told}");
                }
                app.held = true;
                let told = text(&lines(&app, wide), usize::from(wide));
                assert!(told.contains("HELD") && told.contains("dropped"), "{wide}:\n{told}");
                app.held = false;
                let one_gone = Snapshot { error: Some("gone".into()), ..(*app.snapshot).clone() };
                app.snapshot = Arc::new(one_gone);
                let told = text(&lines(&app, wide), usize::from(wide));
                assert!(told.contains("● live"), "{wide}:\n{told}");
                let stopped = Snapshot { state: State::Ended, ..(*app.snapshot).clone() };
                app.snapshot = Arc::new(stopped);
                let told = text(&lines(&app, wide), usize::from(wide));
                assert!(told.contains("▲ stopped"), "{wide}:\n{told}");
            }
        }
    }

    #[test]
    fn without_loss_one_line_is_enough() {
        let mut app = App::new(Settings::default());
        app.snapshot = Arc::new(Snapshot { state: State::Live, ..Snapshot::default() });
        let told = lines(&app, 80);
        assert_eq!(told.len(), 1);
        assert!(text(&told, 80).contains("no loss"));
    }
}
