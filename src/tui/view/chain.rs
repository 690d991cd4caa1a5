//! How a connection came to its end: client to the left, server to the right, time downwards and
//! to scale.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{clickable, empty, more};
use crate::board::picture::{GAP_SECONDS, gap};
use crate::board::words;
use crate::board::{ConnectionRow, EndHow};
use crate::tui::app::{App, Ending, endings};
use crate::tui::clock::Clock;
use crate::tui::paint::{self, fit, wrap};
use crate::tui::theme::Ink;
use crate::vocab::address::Side;
use crate::vocab::cause::Blame;
use crate::vocab::frame::LAST_STREAM_MAX;
use crate::vocab::text::{count, cut_short, span};
use crate::vocab::verdict::{Evidence, Verdict};

/// A line, and the step of the chain that it belongs to.
type Row = (Option<usize>, Line<'static>);

pub(super) fn render(frame: &mut Frame<'_>, app: &mut App, area: Rect) {
    let snapshot = app.snapshot.clone();
    let Some((_, row)) = snapshot.board.rows().find(|(_, row)| Some(row.flow) == app.flow) else {
        return empty(frame, app, area, &super::gone(app));
    };
    let all = endings(row);
    let Some(ending) = all.get(app.ending) else { return unended(frame, app, area, row) };
    let aside = if area.width >= ASIDE_FROM { area.width * 3 / 10 } else { 0 };
    let main = Rect { width: area.width - aside, ..area };
    let calm = ending.verdict.blame == Blame::None;
    let apart = cancelled(app, row, main.width);
    let mut rows = vec![(None, Line::default())];
    rows.extend(apart.iter().filter(|_| calm).cloned());
    rows.extend(above(app, ending, all.len(), main.width));
    let side = beside(app, ending, if aside > 0 { aside - 3 } else { main.width - 2 });
    let mut advice = below(app, ending.verdict, main.width);
    advice.extend(apart.into_iter().filter(|_| !calm));
    let others = if aside > 0 { advice.len() } else { advice.len() + side.len() };
    let alone = usize::from(area.height).saturating_sub(rows.len() + 1);
    let room = Room { alone, beside_others: alone.saturating_sub(others) };
    rows.extend(diagram(app, &ending.verdict.chain, ending.verdict, main.width, room));
    if aside == 0 {
        rows.extend(side.into_iter().map(|line| (None, line)));
        rows.extend(advice);
        return draw(frame, app, main, &rows, 0);
    }
    rows.extend(advice);
    let hidden = side.len().saturating_sub(usize::from(area.height));
    draw(frame, app, main, &rows, hidden);
    let place = Rect { x: area.x + main.width, width: aside, ..area };
    draw_side(frame, app, place, &side);
}

/// Draws what stands beside, scrolled as far as what stands below the last step is.
fn draw_side(frame: &mut Frame<'_>, app: &App, area: Rect, side: &[Line<'static>]) {
    let page = usize::from(area.height);
    let first = app.steps.tail.min(side.len().saturating_sub(page));
    let lines = side.iter().skip(first);
    for (y, line) in (area.y..area.bottom()).zip(lines) {
        frame.buffer_mut().set_string(area.x, y, "│", app.theme.ink(Ink::Dim));
        frame.buffer_mut().set_line(area.x + 2, y, line, area.width - 3);
    }
    if first + page < side.len() {
        more(frame, app, area);
    }
}

/// Draws the part of the rows in which the picked step is, or what comes after the last one. So
/// many lines beside are out of sight.
fn draw(frame: &mut Frame<'_>, app: &mut App, area: Rect, rows: &[Row], beside: usize) {
    let steps = rows.iter().filter_map(|(step, _)| *step).max().map_or(0, |last| last + 1);
    app.steps.bound(steps);
    app.steps.page = 6;
    let of_picked = |(step, _): &Row| *step == Some(app.steps.picked);
    let start = rows.iter().position(of_picked).unwrap_or(0);
    let end = rows.iter().rposition(of_picked).unwrap_or(0);
    let page = usize::from(area.height);
    // The last step shows what stands below it; the first one what stands above.
    let last = app.steps.picked + 1 == steps;
    let start = if app.steps.picked == 0 { 0 } else { start };
    let end = if last && app.steps.picked > 0 { rows.len().saturating_sub(1) } else { end };
    let most = rows.len().saturating_sub(page);
    let mut first = app.steps.first;
    if end >= first + page {
        first = end + 1 - page;
    }
    if start < first {
        first = start;
    }
    app.steps.first = first;
    // Further down than the last step: as far as there is something, here or beside.
    app.steps.tail = app.steps.tail.min((most - first).max(beside));
    let first = most.min(first + app.steps.tail);
    for (offset, (step, line)) in rows.iter().skip(first).take(page).enumerate() {
        let y = area.y + offset as u16;
        frame.buffer_mut().set_line(area.x, y, line, area.width);
        let Some(step) = *step else { continue };
        let place = Rect { y, height: 1, ..area };
        clickable(app, place, step, 1);
        if step == app.steps.picked {
            paint::pick(frame.buffer_mut(), area, y, app.theme.picked());
        }
    }
    if first + page < rows.len() {
        more(frame, app, area);
    }
}

/// A connection that has no ending with a verdict.
fn unended(frame: &mut Frame<'_>, app: &App, area: Rect, row: &ConnectionRow) {
    let mut lines = vec![match row.end.how {
        EndHow::Open if row.forgotten => super::FORGOTTEN.to_owned(),
        EndHow::Open => "This connection is still open: there is no ending to explain.".to_owned(),
        _ => "Nothing has to be explained about this connection's end.".to_owned(),
    }];
    lines.push(words::streams(&row.streams));
    for set in row.cancellations.iter().take(SETS_SHOWN) {
        lines.push(words::cancelled(set));
        lines.extend(set.advice.as_ref().map(|advice| app.veiled(advice)));
    }
    lines.extend(super::programs(row).map(|programs| format!("On this host: {programs}")));
    lines.push("3 shows its streams, 5 its frames.".into());
    empty(frame, app, area, &lines);
}

/// Streams that were cancelled for what no ending tells, and what to change about them.
fn cancelled(app: &App, row: &ConnectionRow, wide: u16) -> Vec<Row> {
    let room = usize::from(wide) - 6;
    let mut rows: Vec<Row> = Vec::new();
    for set in row.cancelled_apart().take(SETS_SHOWN) {
        let warn = app.theme.ink(Ink::Warn);
        let told = wrap(&words::cancelled(set), room).into_iter().enumerate();
        rows.extend(told.map(|(place, text)| {
            let sign = if place == 0 { "◆" } else { " " };
            (None, Line::styled(format!("  {sign} {text}"), warn))
        }));
        let advice = set.advice.as_ref().map(|advice| wrap(&app.veiled(advice), room));
        for (place, text) in advice.into_iter().flatten().enumerate() {
            let sign = if place == 0 { "·" } else { " " };
            rows.push((None, Line::raw(format!("    {sign} {text}"))));
        }
    }
    if !rows.is_empty() {
        rows.push((None, Line::default()));
    }
    rows
}

/// The sentence, and how sure it is.
fn above(app: &App, ending: &Ending<'_>, all: usize, wide: u16) -> Vec<Row> {
    let verdict = ending.verdict;
    let ink = app.theme.of_blame(verdict.blame);
    let sign = if verdict.blame == Blame::None { "●" } else { "▲" };
    let which = if all > 1 { format!("  ({} of {all})", app.ending + 1) } else { String::new() };
    let because = format!(" {sign} {}{which}", words::because(verdict));
    let room = usize::from(wide) - 3;
    let because = wrap(&because, room).into_iter();
    let mut rows: Vec<Row> = Vec::new();
    rows.extend(because.map(|text| (None, Line::styled(format!(" {text}"), ink))));
    let summary = wrap(&app.veiled(&verdict.summary), room).into_iter();
    let bold = app.theme.ink(Ink::Bold);
    rows.extend(summary.map(|text| (None, Line::styled(format!(" {text}"), bold))));
    rows.push((None, Line::default()));
    rows
}

/// Who died, who may be sent again.
fn beside(app: &App, ending: &Ending<'_>, wide: u16) -> Vec<Line<'static>> {
    let verdict = ending.verdict;
    let mut lines = vec![Line::default()];
    let mut part = |title: &str, ink: Ink, text: String| {
        lines.push(Line::styled(format!(" {title}"), app.theme.ink(ink)));
        let text = wrap(&text, usize::from(wide).saturating_sub(3));
        lines.extend(text.into_iter().map(|text| Line::raw(format!("   {text}"))));
        lines.push(Line::default());
    };
    let list = |streams: &[u32]| cut_short(streams.iter(), usize::from(wide).max(24) / 3);
    let maybe = &verdict.maybe_processed_streams;
    if let Some(timeout) = &verdict.timeout {
        part("Timeout", Ink::Label, words::timeout(timeout));
    }
    let cancelled = verdict.cancelled_before();
    if !cancelled.is_empty() {
        let text = format!("{}: {}", count(cancelled.len(), "stream"), list(&cancelled));
        part("× Cancelled before", Ink::Bad, text);
    }
    if !maybe.is_empty() {
        let text = format!(
            "{}, may have been processed, retry only what is idempotent: {}",
            count(maybe.len(), "request"),
            list(maybe)
        );
        part("◆ Died with it", Ink::Warn, text);
    }
    let safe = &verdict.safe_to_retry_streams;
    if !safe.is_empty() {
        let text = format!("{}, never processed: {}", count(safe.len(), "request"), list(safe));
        part("● Safe to send again", Ink::Good, text);
    } else if !maybe.is_empty() {
        let silent = ending.goaway.is_some_and(|goaway| {
            goaway.by == Side::Server && goaway.last_stream_id == LAST_STREAM_MAX
        });
        let why = if silent { "none: last stream 2^31-1 does not say" } else { "none" };
        part("● Safe to send again", Ink::Good, why.into());
    }
    if let Some(rule) = verdict.rule {
        let text = format!("{} ({}): {}", rule.id, rule.section, rule.statement);
        part("Rule", Ink::Label, text);
    }
    if let Some(known) = &verdict.implementation {
        let hidden = app.mask && known.stated_name().is_some();
        part(
            "Sender",
            Ink::Label,
            if hidden { crate::board::mask::HIDDEN.into() } else { known.name.clone() },
        );
    }
    if let Some(programs) = app.row().and_then(|(_, row)| super::programs(row)) {
        part("On this host", Ink::Label, programs);
    }
    lines
}

/// What to change, and what else was weighed.
fn below(app: &App, verdict: &Verdict, wide: u16) -> Vec<Row> {
    let room = usize::from(wide) - 6;
    let mut rows = vec![(None, Line::default())];
    if !verdict.advice.is_empty() {
        rows.push((None, Line::styled(" What to change", app.theme.ink(Ink::Label))));
    }
    for advice in &verdict.advice {
        for (place, text) in wrap(&app.veiled(advice), room).into_iter().enumerate() {
            let sign = if place == 0 { "·" } else { " " };
            rows.push((None, Line::raw(format!("   {sign} {text}"))));
        }
    }
    if !verdict.alternatives.is_empty() {
        rows.push((None, Line::styled(" Rather than", app.theme.ink(Ink::Label))));
    }
    for other in verdict.alternatives.iter().take(ALTERNATIVES_SHOWN) {
        let text = format!("{} ({}): {}", other.cause, other.confidence.word(), other.against);
        for (place, text) in wrap(&app.veiled(&text), room).into_iter().enumerate() {
            let sign = if place == 0 { "·" } else { " " };
            rows.push((None, Line::styled(format!("   {sign} {text}"), app.theme.ink(Ink::Dim))));
        }
    }
    rows
}

/// What the parts of the diagram share.
struct Lanes<'a> {
    app: &'a App,
    clock: Clock,
    times: usize,
    packets: usize,
    lane: usize,
    text: usize,
}

/// Lines that a diagram may take.
#[derive(Clone, Copy)]
struct Room {
    /// To fill the screen by itself.
    alone: usize,
    /// To stand on one screen with what comes below it.
    beside_others: usize,
}

impl Room {
    /// Lines for so many gaps, where all else takes `taken` lines. Where not everything fits on
    /// one screen, what comes below is scrolled to, rather than gaps drawn out of scale.
    fn spare(self, taken: usize, gaps: usize) -> usize {
        let wanted = gaps.saturating_mul(GAP_LINES_WANTED);
        let least = wanted.min(self.alone.saturating_sub(taken));
        self.beside_others.saturating_sub(taken).max(least)
    }
}

/// The chain, drawn in about this room.
fn diagram(app: &App, chain: &[Evidence], verdict: &Verdict, wide: u16, room: Room) -> Vec<Row> {
    if chain.is_empty() {
        return Vec::new();
    }
    let clock = app.clock();
    let several = app.snapshot.board.captures.len() > 1;
    let title = paint::width(app.time.title());
    let times = chain.iter().map(|step| paint::width(&clock.at(step.stamp.at)));
    let times = times.fold(title, usize::max);
    let packets = chain.iter().map(|step| number(step, several).len()).max().unwrap_or(0).max(6);
    // Spaces, lifelines and a margin to the right.
    let fixed = times + packets + 12;
    let left = usize::from(wide).saturating_sub(fixed);
    let lane = (left / 2).clamp(26, 44);
    let lanes = Lanes { app, clock, times, packets, lane, text: left.saturating_sub(lane) };
    let mut rows = vec![lanes.head()];
    let events: Vec<Vec<Row>> =
        chain.iter().enumerate().map(|(place, step)| lanes.event(place, step, several)).collect();
    let gaps = chain.iter().zip(chain.iter().skip(1));
    let gaps: Vec<f64> =
        gaps.map(|(before, after)| after.stamp.since(before.stamp).as_secs_f64()).collect();
    let taken = 1 + events.iter().map(Vec::len).sum::<usize>();
    let told = gaps.iter().filter(|gap| **gap >= GAP_SECONDS).count();
    let lines = shares(&gaps, room.spare(taken, told));
    for (place, event) in events.into_iter().enumerate() {
        rows.extend(event);
        let between = chain.get(place).zip(chain.get(place + 1));
        if let (Some(lines), Some((before, after))) = (lines.get(place), between) {
            let (gap, why) = gap(before, after, verdict)
                .map_or_else(Default::default, |gap| (gap.text, gap.why));
            rows.extend((0..*lines).map(|line| match line == lines / 2 {
                true => lanes.gap(&gap, why),
                false => lanes.gap("", ""),
            }));
        }
    }
    if lines.iter().sum::<usize>() > 1 {
        rows.push(lanes.scale(of_row(&gaps, &lines)));
    }
    rows
}

/// Seconds that a line of a gap stands for, where that holds for all of them: there may be no room
/// for more than a line each.
fn of_row(gaps: &[f64], lines: &[usize]) -> Option<f64> {
    let told = || gaps.iter().zip(lines).filter(|(_, lines)| **lines > 0);
    let (longest, most) = told().max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    let row = longest / *most as f64;
    let fits = |(gap, lines): (&f64, &usize)| match *lines {
        1 => *gap <= row * 1.5,
        lines => (gap / row - lines as f64).abs() <= 1.0,
    };
    told().all(fits).then_some(row)
}

/// How many lines each gap gets: in proportion to its length, at least one where there is a gap
/// to speak of, at most twelve.
fn shares(gaps: &[f64], spare: usize) -> Vec<usize> {
    let told = |gap: &f64| *gap >= GAP_SECONDS;
    let whole: f64 = gaps.iter().filter(|gap| told(gap)).sum();
    let count = gaps.iter().filter(|gap| told(gap)).count();
    // The longest bounds them all, so that they stay to scale.
    let longest = gaps.iter().copied().fold(0.0, f64::max);
    let most = (GAP_LINES as f64 * whole / longest.max(f64::MIN_POSITIVE)).round() as usize;
    let spare = spare.min(most).max(count);
    let share = |gap: &f64| match told(gap) {
        true => ((gap / whole * spare as f64).round() as usize).clamp(1, GAP_LINES),
        false => 0,
    };
    gaps.iter().map(share).collect()
}

fn number(step: &Evidence, several: bool) -> String {
    crate::vocab::text::packet(step.stamp, several)
}

impl Lanes<'_> {
    fn margin(&self, time: &str, packet: &str) -> Span<'static> {
        let (time, packet) = (fit(time, self.times, true), fit(packet, self.packets, true));
        Span::raw(format!(" {time} {packet}  "))
    }

    fn head(&self) -> Row {
        let (style, lane) = (self.app.theme.ink(Ink::Dim), self.lane);
        let margin = self.margin(self.app.time.title(), "packet");
        let ends = format!("client{:>lane$}", "server", lane = lane - 1);
        (None, Line::from(vec![margin, Span::raw("  "), Span::styled(ends, style)]))
    }

    /// Both lifelines, with text between and beside them.
    fn lane(&self, between: (String, Style), beside: String) -> Vec<Span<'static>> {
        let line = self.app.theme.ink(Ink::Dim);
        vec![
            Span::styled("    │", line),
            Span::styled(between.0, between.1),
            Span::styled("│ ", line),
            Span::raw(beside),
        ]
    }

    /// A line of a gap; why it is one stands in it, or beside it where there is no room.
    fn gap(&self, text: &str, why: &str) -> Row {
        let lane = self.lane;
        let whole = if why.is_empty() { text.to_owned() } else { format!("{text}: {why}") };
        let fits = paint::width(&whole) + 4 <= lane;
        let (text, beside) = if fits { (whole.as_str(), "") } else { (text, why) };
        let dots = if text.is_empty() { "┊".to_owned() } else { format!("┊ {text} ┊") };
        let style = self.app.theme.ink(if text.is_empty() { Ink::Dim } else { Ink::Label });
        let mut spans = vec![self.margin("", "")];
        let mut lanes = self.lane((format!("{dots:^lane$}"), style), paint::cut(beside, self.text));
        if let Some(beside) = lanes.last_mut() {
            beside.style = style;
        }
        spans.extend(lanes);
        (None, Line::from(spans))
    }

    fn scale(&self, seconds: Option<f64>) -> Row {
        let text = match seconds {
            Some(seconds) => format!("one row of ┊ is about {}", span(seconds)),
            None => "rows of ┊ are not to scale".to_owned(),
        };
        let spans = vec![
            self.margin("", ""),
            Span::raw("     "),
            Span::styled(text, self.app.theme.ink(Ink::Dim)),
        ];
        (None, Line::from(spans))
    }

    fn event(&self, place: usize, step: &Evidence, several: bool) -> Vec<Row> {
        let ink = self.app.theme.of_side(step.by.unwrap_or(Side::Client));
        let arrow = (arrow(step.by, &step.label(), self.lane), ink);
        let mut texts = wrap(&self.app.veiled(&step.text), self.text).into_iter();
        let time = self.clock.at(step.stamp.at);
        let mut spans = vec![self.margin(&time, &number(step, several))];
        spans.extend(self.lane(arrow, texts.next().unwrap_or_default()));
        let mut rows = vec![(Some(place), Line::from(spans))];
        for text in texts {
            let mut spans = vec![self.margin("", "")];
            let blank = (" ".repeat(self.lane), Style::new());
            spans.extend(self.lane(blank, text));
            rows.push((Some(place), Line::from(spans)));
        }
        rows
    }
}

/// An arrow between the lifelines, as wide as what is between them.
fn arrow(by: Option<Side>, label: &str, lane: usize) -> String {
    let label = paint::cut(label, lane.saturating_sub(ARROW));
    let shaft = "─".repeat(lane.saturating_sub(paint::width(&label) + ARROW));
    match by {
        Some(Side::Client) => format!("── {label} {shaft}▶"),
        Some(Side::Server) => format!("◀{shaft} {label} ──"),
        None => format!("{label:^lane$}"),
    }
}

/// Columns of an arrow beside its label and its shaft.
const ARROW: usize = 5;
/// The list beside stands from this width on.
const ASIDE_FROM: u16 = 112;
/// Lines of one gap at most.
const GAP_LINES: usize = 12;
/// Lines a gap, on average, in which their lengths can be told apart.
const GAP_LINES_WANTED: usize = 3;
const ALTERNATIVES_SHOWN: usize = 4;
/// Sets of cancelled streams that are told.
const SETS_SHOWN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_to_scale_and_bounded() {
        assert_eq!(shares(&[4.0, 6.0], 10), [4, 6]);
        assert_eq!(shares(&[0.0, 0.01, 1000.0], 20), [0, 1, 12]);
        assert_eq!(shares(&[1.0, 1.0, 1.0], 0), [1, 1, 1]);
        assert_eq!(shares(&[4.0, 6.0], 40), [8, 12]);
        assert_eq!(shares(&[], 5), [] as [usize; 0]);
    }

    #[test]
    fn a_scale_is_told_where_it_holds() {
        assert_eq!(of_row(&[4.0, 6.0], &[4, 6]), Some(1.0));
        assert_eq!(of_row(&[0.0, 0.01, 1000.0], &[0, 1, 10]), Some(100.0));
        assert_eq!(of_row(&[0.1, 4.0], &[1, 1]), Some(4.0));
        assert_eq!(of_row(&[9.0, 4.0, 4.0], &[1, 1, 1]), Some(9.0));
        assert_eq!(of_row(&[9.0, 4.0], &[2, 2]), None);
        assert_eq!(of_row(&[], &[]), None);
    }

    #[test]
    fn arrows_end_at_the_lifelines() {
        for label in ["GOAWAY", "RST_STREAM 2147483647", "#12345 PRIORITY_UPDATE 2147483647"] {
            for by in [Some(Side::Client), Some(Side::Server), None] {
                let told = arrow(by, label, 26);
                assert_eq!(paint::width(&told), 26, "{told}");
            }
        }
    }

    #[test]
    fn what_comes_below_gives_way_to_the_scale() {
        let small = Room { alone: 14, beside_others: 2 };
        assert_eq!(small.spare(8, 2), 6);
        assert_eq!(small.spare(11, 2), 3);
        assert_eq!(small.spare(20, 2), 0);
        assert_eq!(Room { alone: 50, beside_others: 30 }.spare(10, 2), 20);
    }
}
