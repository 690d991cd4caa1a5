//! The first screen: what went away, why, who has to act; then every connection, trouble first.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{clickable, empty, rule};
use crate::board::fared::{Fared, Reason};
use crate::board::group::Standing;
use crate::board::headline::{chain, told};
use crate::board::snapshot::State;
use crate::board::words;
use crate::board::{ConnectionRow, EndHow};
use crate::tui::app::App;
use crate::tui::app::ORDERS;
use crate::tui::paint::{self, Column, EIGHTHS, below, cut, grouped, put, titles, widths, wrap};
use crate::tui::theme::{self, Ink};
use crate::vocab::cause::Blame;
use crate::vocab::text::span;
use crate::vocab::time::Timestamp;

pub(super) fn render(frame: &mut Frame<'_>, app: &mut App, area: Rect) {
    let mut room = below(area, 1);
    if app.snapshot.board.connections.is_empty() {
        return nothing(frame, app, room);
    }
    let board = &app.snapshot.board;
    let mut shown = board.only(app.rows.iter().copied());
    let gone = board.earlier.connections;
    let mut unasked = String::new();
    if app.filter.is_none() {
        shown.earlier = board.earlier.clone();
    } else if gone > 0 {
        let gone = grouped(gone);
        unasked = format!(" {gone} more are no longer listed, and cannot be asked.");
    }
    let fared = Fared::of_board(&shown);
    let troubled = fared.troubled() > 0;
    let (sign, ink) = if troubled { ("▲", Ink::Bad) } else { ("●", Ink::Good) };
    let answer = match app.rows.is_empty() {
        true => format!("No connection passes the filter.{unasked}"),
        false => format!("{}{unasked}", told(&shown, &fared)),
    };
    // What is still read may bring more.
    let so_far = if app.snapshot.state == State::Reading { "So far: " } else { "" };
    let answer = format!("{so_far}{answer}");
    for (place, text) in
        wrap(&answer, usize::from(area.width) - 4).into_iter().take(HEADLINE).enumerate()
    {
        let line = Line::from(vec![
            Span::styled(format!(" {} ", if place == 0 { sign } else { " " }), app.theme.ink(ink)),
            Span::styled(text, app.theme.ink(Ink::Bold)),
        ]);
        put(frame.buffer_mut(), &mut room, &line);
    }
    if let Some(error) = &app.snapshot.error {
        let text = cut(&format!(" ▲ {error}"), usize::from(area.width));
        put(frame.buffer_mut(), &mut room, &Line::styled(text, app.theme.ink(Ink::Bad)));
    }
    room = below(room, 1);
    let causes = causes(fared);
    room = draw_causes(frame, app, room, &causes);
    draw_connections(frame, app, room);
}

/// No HTTP/2 connection, or not yet.
fn nothing(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let flows = app.snapshot.board.other_flows;
    let lines = match (&app.snapshot.error, app.snapshot.state) {
        (Some(error), _) => vec!["The capture cannot be read.".into(), error.clone()],
        (None, State::Reading) => vec!["Reading …".to_owned()],
        (None, State::Live) => vec![
            "Listening. No HTTP/2 connection yet.".to_owned(),
            format!("{} TCP flows of other kinds", grouped(flows)),
        ],
        (None, State::Ended) => vec![
            "No HTTP/2 connection in this capture.".to_owned(),
            format!("{} TCP flows of other kinds", grouped(flows)),
            "Was the right port captured? With TLS, --keylog lets goawhy read inside.".to_owned(),
        ],
    };
    empty(frame, app, area, &lines);
}

/// What went away and why, those who have to act first: with its chain, who has to act, and
/// whether connections ended by it.
fn causes(fared: Fared) -> Vec<(String, Blame, bool, Reason)> {
    let reasons = fared.reasons.into_iter();
    let mut all: Vec<_> =
        reasons.map(|((apart, chain, blame), of)| (chain, blame, !apart, of)).collect();
    all.sort_by_key(|(_, blame, ended, of)| {
        (*blame == Blame::None, !ended, std::cmp::Reverse(of.count))
    });
    all
}

fn draw_causes(
    frame: &mut Frame<'_>,
    app: &App,
    area: Rect,
    causes: &[(String, Blame, bool, Reason)],
) -> Rect {
    let mut room = area;
    let most = match usize::from(area.height) {
        high @ 0..24 => high / 3,
        high => high / 3 + 2,
    };
    let shown = causes.len().min(most.saturating_sub(2));
    if shown == 0 {
        return room;
    }
    let title = format!("Why · who has to act · {} to {}", span(0.0), lasted(app));
    put(frame.buffer_mut(), &mut room, &rule(app, &title, area.width));
    let columns = [
        Column { title: "", least: 6, grow: 0, right: true, drop: 0 },
        Column { title: "cause", least: 30, grow: 2, right: false, drop: 0 },
        Column { title: "who acts", least: 8, grow: 0, right: false, drop: 0 },
        Column { title: "victims", least: 7, grow: 0, right: true, drop: 0 },
        Column { title: "over time", least: 16, grow: 3, right: false, drop: 1 },
        Column { title: "last", least: 12, grow: 0, right: true, drop: 3 },
    ];
    let wide = widths(&columns, area.width.saturating_sub(1));
    let dim = app.theme.ink(Ink::Dim);
    put(frame.buffer_mut(), &mut room, &titles(&columns, &wide, None, dim));
    let clock = app.clock();
    let trend = usize::from(wide.get(4).copied().unwrap_or(0));
    for (chain, blame, ended, told) in causes.iter().take(shown) {
        let lives = if *ended { "" } else { " (streams)" };
        let last = told.times.iter().map(|(_, last)| last).max();
        let last = last.map_or(String::new(), |at| clock.at(*at));
        let ink = app.theme.of_blame(*blame);
        let cells = [
            (grouped(told.count), app.theme.ink(Ink::Bold)),
            (format!("{chain}{lives}"), ink),
            (acts(*blame).to_owned(), ink),
            (if told.victims > 0 { grouped(told.victims) } else { "-".into() }, Style::new()),
            (sparkline(app, &told.times, trend), ink),
            (last, dim),
        ];
        put(frame.buffer_mut(), &mut room, &paint::row(&columns, &wide, cells.into_iter()));
    }
    if causes.len() > shown {
        let text = format!("       (+{} more)", causes.len() - shown);
        put(frame.buffer_mut(), &mut room, &Line::styled(text, dim));
    }
    below(room, 1)
}

fn lasted(app: &App) -> String {
    span(app.latest().since(app.begin()).as_secs_f64())
}

/// Who has to change something.
fn acts(blame: Blame) -> &'static str {
    match blame {
        Blame::Client => "client",
        Blame::Server => "server",
        Blame::Network => "between",
        Blame::None => "nobody",
        Blame::Unknown => "unknown",
    }
}

/// How many in each part of the capture's time; what lasted from one part to another counts in all
/// between.
fn sparkline(app: &App, times: &[(Timestamp, Timestamp)], cells: usize) -> String {
    let begin = app.begin();
    let whole = app.latest().since(begin).as_secs_f64().max(1e-9);
    let mut counts = vec![0_u64; cells];
    let place = |at: Timestamp| {
        let place = (at.since(begin).as_secs_f64() / whole * cells as f64) as usize;
        place.min(cells.saturating_sub(1))
    };
    for (first, last) in times {
        let (first, last) = (place(*first), place(*last));
        counts.iter_mut().take(last + 1).skip(first).for_each(|n| *n += 1);
    }
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let sign = |count: &u64| match *count {
        0 => "·",
        count => EIGHTHS.get((count * 8 / most).clamp(1, 8) as usize).copied().unwrap_or("█"),
    };
    counts.iter().map(sign).collect()
}

fn draw_connections(frame: &mut Frame<'_>, app: &mut App, area: Rect) {
    let mut room = area;
    let order = ORDERS.get(app.order).copied().unwrap_or_default();
    let by = if app.order == 0 { "trouble first".to_owned() } else { format!("by {order}") };
    let turned = if app.reverse { ", the other way round" } else { "" };
    let title = format!("Connections · {by}{turned}");
    put(frame.buffer_mut(), &mut room, &rule(app, &title, area.width));
    let columns = [
        Column { title: "", least: 1, grow: 0, right: false, drop: 0 },
        Column { title: "#", least: 5, grow: 0, right: true, drop: 0 },
        Column { title: "client", least: 15, grow: 1, right: false, drop: 0 },
        Column { title: "server", least: 15, grow: 1, right: false, drop: 0 },
        Column { title: "lasted", least: 9, grow: 0, right: true, drop: 3 },
        Column { title: "streams", least: 8, grow: 0, right: true, drop: 4 },
        Column { title: "victims", least: 8, grow: 0, right: true, drop: 1 },
        Column { title: "ended by", least: 22, grow: 0, right: false, drop: 2 },
        Column { title: "why", least: 24, grow: 3, right: false, drop: 0 },
        Column { title: "sure", least: 8, grow: 0, right: false, drop: 5 },
    ];
    let wide = widths(&columns, area.width.saturating_sub(2));
    let dim = app.theme.ink(Ink::Dim);
    let mut head = titles(&columns, &wide, Some((order, (order != "#") != app.reverse)), dim);
    head.spans.insert(0, Span::raw(" "));
    put(frame.buffer_mut(), &mut room, &head);
    let length = app.rows.len();
    let about = about_picked(app, area.width);
    let spare = usize::from(room.height).saturating_sub(length.max(LIST_LEAST));
    let fits = about.len().min(spare.saturating_sub(1));
    let about = about.get(..fits).filter(|lines| lines.len() >= ABOUT_LEAST).unwrap_or_default();
    let list = Rect { height: room.height - about.len() as u16, ..room };
    let mut foot = below(room, list.height);
    for line in about {
        put(frame.buffer_mut(), &mut foot, line);
    }
    let sight = app.list.in_sight(length, usize::from(list.height));
    clickable(app, list, sight.start, sight.len());
    for place in sight {
        let Some(index) = app.rows.get(place) else { continue };
        let Some(row) = app.snapshot.board.connections.get(*index) else { continue };
        let mut line = paint::row(&columns, &wide, cells(app, row).into_iter());
        line.spans.insert(0, Span::raw(" "));
        let y = room.y;
        put(frame.buffer_mut(), &mut room, &line);
        if place == app.list.picked {
            paint::pick(frame.buffer_mut(), area, y, app.theme.picked());
        }
    }
}

/// What is to be said of the picked connection, where there is room for it.
fn about_picked(app: &App, wide: u16) -> Vec<Line<'static>> {
    let Some((_, row)) = app.row() else { return Vec::new() };
    let mut lines = vec![rule(app, &super::named(row), wide)];
    let room = usize::from(wide).saturating_sub(4);
    let dim = app.theme.ink(Ink::Dim);
    let advised = |lines: &mut Vec<Line<'static>>, advice: &str| {
        let advice = wrap(&format!("· {}", app.veiled(advice)), room).into_iter().take(3);
        lines.extend(advice.map(|text| Line::styled(format!("  {text}"), dim)));
    };
    let calm = row.lead().is_none_or(|verdict| verdict.blame == Blame::None);
    for set in row.cancelled_apart().filter(|_| calm).take(SETS_SHOWN) {
        let text = format!("  {}", cut(&words::cancelled(set), room));
        lines.push(Line::styled(text, app.theme.ink(Ink::Warn)));
        if let Some(advice) = &set.advice {
            advised(&mut lines, advice);
        }
    }
    if let Some(verdict) = row.lead() {
        let ink = app.theme.of_blame(verdict.blame);
        lines.push(Line::styled(format!("  {}", cut(&words::because(verdict), room)), ink));
    }
    if let Some(programs) = super::programs(row) {
        let text = cut(&format!("on this host: {programs}"), room);
        lines.push(Line::raw(format!("  {text}")));
    }
    let Some(verdict) = row.lead() else {
        lines.push(Line::raw(format!("  {}", words::streams(&row.streams))));
        return lines;
    };
    let summary = wrap(&app.veiled(&verdict.summary), room).into_iter().take(4);
    lines.extend(summary.map(|text| Line::raw(format!("  {text}"))));
    if let Some(advice) = verdict.advice.first() {
        advised(&mut lines, advice);
    }
    lines
}

/// Sets of cancelled streams that are told of the picked one.
const SETS_SHOWN: usize = 2;
/// Lines of the headline at most.
const HEADLINE: usize = 4;
/// Lines about the picked one that are worth their place: its title, why, and a sentence.
const ABOUT_LEAST: usize = 3;
/// Rows of the list that come before anything is said of the picked one.
const LIST_LEAST: usize = 4;

fn cells(app: &App, row: &ConnectionRow) -> [(String, Style); 10] {
    let plain = Style::new();
    let standing = row.standing();
    let lead = row.lead();
    let calm = lead.is_none_or(|verdict| verdict.blame == Blame::None);
    // Nobody is to blame where an end in good order came while requests ran.
    let shown = if calm { standing.max(Standing::Scratched) } else { standing };
    let (sign, ink) = theme::standing(shown, row.end.how == EndHow::Open);
    let ink = app.theme.ink(ink);
    // Where the end is nobody's fault, what was cancelled before says more.
    let lesser = standing == Standing::Scratched && calm;
    let set = row.cancelled_apart().next();
    let lead = lead.filter(|_| set.is_none() || !lesser);
    let why = match (lead, set) {
        (Some(verdict), _) => chain(verdict),
        (None, Some(set)) => format!("{} (streams)", set.cause),
        (None, None) if !row.findings.is_empty() => "rules broken".into(),
        (None, None) if row.forgotten => "forgotten for memory".into(),
        (None, None) if row.end.how == EndHow::Open => "open".into(),
        (None, None) => "-".into(),
    };
    let sure = match lead {
        Some(_) if !row.settled => "so far",
        Some(verdict) => verdict.confidence.word(),
        None => set.map_or("", |set| set.confidence.word()),
    };
    let number = |count: u64| if count == 0 { "-".into() } else { grouped(count) };
    [
        (sign.into(), ink),
        (row.number.to_string(), plain),
        (row.client.to_string(), plain),
        (row.server.to_string(), plain),
        (span(row.last.since(row.first).as_secs_f64()), plain),
        (number(row.streams.opened), plain),
        (number(row.victims() as u64), plain),
        (ended(row), plain),
        (why, ink),
        (sure.into(), app.theme.ink(Ink::Dim)),
    ]
}

/// `server GOAWAY 1`, `client FIN`.
fn ended(row: &ConnectionRow) -> String {
    let by = row.end.by.map_or("", |side| side.name());
    match (row.end.how, row.goaways.first()) {
        (EndHow::Goaway, Some(goaway)) => format!("{by} {}", goaway.code),
        (EndHow::Goaway, None) => format!("{by} GOAWAY"),
        (EndHow::Fin, _) => format!("{by} FIN"),
        (EndHow::Rst, _) => format!("{by} RST"),
        (EndHow::Open, _) if row.forgotten => "forgotten".into(),
        (EndHow::Open, _) => "open".into(),
    }
}
