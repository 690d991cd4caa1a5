//! The frames of a connection or stream; the picked one decoded.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{HIDDEN, clickable, empty, rule, streams};
use crate::board::detail::{Detail, DetailState, FrameRow, FrameSays};
use crate::tui::app::App;
use crate::tui::paint::{self, Column, below, fit, grouped, put, titles, widths, wrap};
use crate::tui::theme::Ink;
use crate::vocab::address::Side;
use crate::vocab::frame::{Flags, FrameFault, FrameType};
use crate::vocab::text::{span, utf8_or_escaped};
use crate::vocab::time::Stamp;

pub(super) fn render(frame: &mut Frame<'_>, app: &mut App, area: Rect) {
    let detail = app.detail.clone();
    if detail.frames.is_empty() {
        let row = app.row().map(|(_, row)| row);
        let lines = match row {
            None => super::gone(app),
            Some(_) => streams::waiting(&detail, "frame", row),
        };
        return empty(frame, app, area, &lines);
    }
    let mut room = below(area, 1);
    put(frame.buffer_mut(), &mut room, &about(app, &detail, area.width));
    let beside = area.width >= BESIDE_FROM;
    let (list, pane) = if beside {
        let wide = area.width * 6 / 10;
        let pane = Rect { x: room.x + wide + 1, width: room.width - wide - 1, ..room };
        (Rect { width: wide, ..room }, pane)
    } else {
        let high = (room.height * 2 / 5).max(8);
        let list = Rect { height: room.height.saturating_sub(high), ..room };
        (list, below(room, list.height))
    };
    draw_list(frame, app, &detail, list);
    draw_pane(frame, app, pane);
}

/// What is listed.
fn about(app: &App, detail: &Detail, wide: u16) -> Line<'static> {
    let shown = app.frames.shown.len() as u64;
    let all = detail.frames.len() as u64;
    let mut text = match app.frames.only {
        Some(id) => format!(" stream {id}: {} of {} frames", grouped(shown), grouped(all)),
        None if shown < all => format!(" {} of {} frames", grouped(shown), grouped(all)),
        None => format!(" {} frames", grouped(all)),
    };
    if let [first, .., last] | [first @ last] = detail.gaps.as_slice() {
        let packets = packets(first.first, last.last);
        text.push_str(&format!(" · {} left out {packets}", grouped(detail.frames_beyond())));
    }
    if detail.state == DetailState::Reading {
        text.push_str(" · reading …");
    } else if app.is_asking() {
        text.push_str(" · filtering …");
    }
    Line::styled(paint::cut(&text, usize::from(wide)), app.theme.ink(Ink::Plain))
}

/// Where frames lie that were left out.
fn packets(first: Stamp, last: Stamp) -> String {
    format!("(packets {}-{})", first.packet(), last.packet())
}

/// What was left out right before the frame at this place.
fn left_out(detail: &Detail, place: usize) -> Option<String> {
    let gap = detail.gaps.iter().find(|gap| gap.before == place)?;
    Some(format!("{} frames {}", grouped(gap.frames), packets(gap.first, gap.last)))
}

fn draw_list(frame: &mut Frame<'_>, app: &mut App, detail: &Detail, area: Rect) {
    let mut room = area;
    let columns = [
        Column { title: "packet", least: 8, grow: 0, right: true, drop: 0 },
        Column { title: app.time.title(), least: 12, grow: 0, right: true, drop: 0 },
        Column { title: "", least: 1, grow: 0, right: false, drop: 0 },
        Column { title: "stream", least: 8, grow: 0, right: true, drop: 0 },
        Column { title: "frame", least: 13, grow: 0, right: false, drop: 0 },
        Column { title: "length", least: 7, grow: 0, right: true, drop: 1 },
        Column { title: "says", least: 16, grow: 1, right: false, drop: 0 },
    ];
    let wide = widths(&columns, area.width.saturating_sub(1));
    let dim = app.theme.ink(Ink::Dim);
    put(frame.buffer_mut(), &mut room, &titles(&columns, &wide, None, dim));
    let clock = app.clock();
    let several = app.snapshot.board.captures.len() > 1;
    let length = app.frames.shown.len();
    if length == 0 {
        let text = match app.is_asking() {
            true => " Filtering …",
            false if !detail.gaps.is_empty() => " None of these: what was asked for is left out.",
            false => " No frame passes the filter.",
        };
        return put(frame.buffer_mut(), &mut room, &Line::raw(text));
    }
    let sight = app.frames.list.in_sight(length, usize::from(room.height));
    clickable(app, room, sight.start, sight.len());
    for place in sight {
        let Some(at) = app.frames.shown.get(place).copied() else { continue };
        let Some(found) = detail.frames.get(at) else { continue };
        let (sign, ink) = match found.by {
            Side::Client => ("→", Ink::Client),
            Side::Server => ("←", Ink::Server),
        };
        let bad = matches!(found.head.kind, FrameType::GOAWAY | FrameType::RST_STREAM);
        let kind = if bad { app.theme.ink(Ink::Bad) } else { Style::new() };
        let stream = found.head.stream;
        let cells = [
            (crate::vocab::text::packet(found.stamp, several), Style::new()),
            (clock.at(found.stamp.at), Style::new()),
            (sign.to_owned(), app.theme.ink(ink)),
            (if stream == 0 { "-".into() } else { stream.to_string() }, Style::new()),
            (found.type_name().into_owned(), kind),
            (found.head.length.to_string(), dim),
            (lead(detail, at) + &says(found, app.mask), Style::new()),
        ];
        let y = room.y;
        put(frame.buffer_mut(), &mut room, &paint::row(&columns, &wide, cells.into_iter()));
        if place == app.frames.list.picked {
            paint::pick(frame.buffer_mut(), area, y, app.theme.picked());
        }
    }
}

/// What stands before the words of a frame that does not follow the one above it.
fn lead(detail: &Detail, place: usize) -> String {
    left_out(detail, place).map_or(String::new(), |what| format!("⋯ {what} left out above · "))
}

/// What a frame says, in one line.
fn says(frame: &FrameRow, mask: bool) -> String {
    let head = frame.head;
    let mut text = match &frame.says {
        FrameSays::Preface => "client connection preface".to_owned(),
        FrameSays::Data(octets) if *octets != head.length => format!("{octets} without padding"),
        FrameSays::Data(_) | FrameSays::Other | FrameSays::Continuation(_) => String::new(),
        FrameSays::Headers => fields_in_short(frame, mask),
        FrameSays::Priority { depends_on, weight, .. } => {
            format!("depends on {depends_on}, weight {}", u16::from(*weight) + 1)
        }
        FrameSays::RstStream(code) => code.to_string(),
        FrameSays::Settings { ack: true, .. } => "ack".into(),
        FrameSays::Settings { values, .. } => {
            let values: Vec<String> =
                values.iter().map(|(id, value)| format!("{id}={value}")).collect();
            values.join(" ")
        }
        FrameSays::PushPromise(promised) => {
            format!("promises {promised} {}", fields_in_short(frame, mask))
        }
        FrameSays::Ping { ack, .. } => (if *ack { "ack" } else { "" }).to_owned(),
        FrameSays::GoAway { last_stream_id, code, debug } => {
            let last = crate::board::words::last_stream(*last_stream_id);
            format!("{code}, last stream {last}{}", quoted(debug, mask))
        }
        FrameSays::WindowUpdate(increment) => format!("+{}", grouped(u64::from(*increment))),
        FrameSays::Broken(fault) => format!("broken: {}", fault_name(*fault)),
        FrameSays::Unseen => "payload not captured".into(),
    };
    let ends = matches!(head.kind, FrameType::DATA | FrameType::HEADERS);
    if ends && head.flags.has(Flags::END_STREAM) && frame.says != FrameSays::Preface {
        text.push_str(if text.is_empty() { "end of stream" } else { " · end" });
    }
    text
}

fn quoted(debug: &[u8], mask: bool) -> String {
    match (debug.is_empty(), mask) {
        (true, _) => String::new(),
        (false, true) => format!(", \"{HIDDEN}\""),
        (false, false) => format!(", \"{}\"", utf8_or_escaped(debug)),
    }
}

/// `GET /orders`, `200`, or the first field.
fn fields_in_short(frame: &FrameRow, mask: bool) -> String {
    let fields = frame.headers.iter().flatten();
    let value = |name: &str| {
        let found = fields.clone().find(|(known, _)| known.as_deref() == Some(name));
        found.map(|(_, value)| value.clone().unwrap_or_else(|| "?".into()))
    };
    if let Some(method) = value(":method") {
        let path = value(":path").unwrap_or_default();
        return format!("{method} {}", if mask { HIDDEN } else { &path });
    }
    if let Some(status) = value(":status") {
        return status;
    }
    if let Some(status) = value("grpc-status") {
        return format!("grpc-status {status}");
    }
    let first = fields.clone().next();
    first.map_or(String::new(), |(name, _)| name.clone().unwrap_or_else(|| "?".into()))
}

fn fault_name(fault: FrameFault) -> &'static str {
    match fault {
        FrameFault::Length => "a length that its type does not allow",
        FrameFault::Padding => "padding as long as the payload",
        FrameFault::BlockTooLarge => "a header block larger than is read",
    }
}

/// Everything about one frame: names and values.
pub(in crate::tui) fn told(frame: &FrameRow, mask: bool) -> Vec<(String, String)> {
    let head = frame.head;
    let mut lines = vec![
        ("sent by".to_owned(), format!("the {}, packet {}", frame.by.name(), frame.stamp.packet())),
        ("frame".to_owned(), format!("{}, {} octets", frame.type_name(), head.length)),
        ("flags".to_owned(), flags(frame)),
    ];
    match &frame.says {
        FrameSays::Settings { values, .. } => {
            lines.extend(values.iter().map(|(id, value)| (id.to_string(), value.to_string())));
        }
        FrameSays::RstStream(code) | FrameSays::GoAway { code, .. } => {
            let meaning = code.meaning().unwrap_or("unknown code");
            lines.push(("code".into(), format!("{code} ({:#x}): {meaning}", code.0)));
        }
        FrameSays::Ping { opaque, .. } => {
            lines.push(("opaque".into(), format!("{:016x}", u64::from_be_bytes(*opaque))));
        }
        _ => {}
    }
    if let FrameSays::GoAway { last_stream_id, debug, .. } = &frame.says {
        let last = crate::board::words::last_stream(*last_stream_id);
        lines.push(("last stream".into(), last));
        if !debug.is_empty() {
            let debug = if mask { HIDDEN.to_owned() } else { utf8_or_escaped(debug) };
            lines.push(("debug data".into(), debug));
        }
    }
    for (name, value) in frame.headers.iter().flatten() {
        let name = name.clone().unwrap_or_else(|| "?".into());
        let shown = [":method", ":status", ":scheme", "grpc-status"].contains(&name.as_str());
        let value = match value {
            Some(_) if mask && !shown => HIDDEN.to_owned(),
            Some(value) => value.clone(),
            None => "? (not in the capture)".to_owned(),
        };
        lines.push((name, value));
    }
    lines
}

fn flags(frame: &FrameRow) -> String {
    let head = frame.head;
    let known: &[(Flags, &str)] = match head.kind {
        FrameType::DATA => &[(Flags::END_STREAM, "END_STREAM"), (Flags::PADDED, "PADDED")],
        FrameType::HEADERS | FrameType::PUSH_PROMISE | FrameType::CONTINUATION => &[
            (Flags::END_STREAM, "END_STREAM"),
            (Flags::END_HEADERS, "END_HEADERS"),
            (Flags::PADDED, "PADDED"),
            (Flags::PRIORITY, "PRIORITY"),
        ],
        FrameType::SETTINGS | FrameType::PING => &[(Flags::ACK, "ACK")],
        _ => &[],
    };
    let names = known.iter().filter(|(flag, _)| head.flags.has(*flag));
    let names: Vec<&str> = names.map(|(_, name)| *name).collect();
    let names = if names.is_empty() { String::new() } else { format!(" {}", names.join(" ")) };
    format!("{:#04x}{names}", head.flags.0)
}

fn draw_pane(frame: &mut Frame<'_>, app: &mut App, area: Rect) {
    let mut room = area;
    let Some(picked) = app.frame().cloned() else { return };
    let title = format!("{} in packet {}", picked.type_name(), picked.stamp.packet());
    put(frame.buffer_mut(), &mut room, &rule(app, &title, area.width));
    let mut told = told(&picked, app.mask);
    if let Some((_, row)) = app.row() {
        let since = picked.stamp.since(row.first).as_secs_f64();
        told.insert(1, ("at".into(), format!("{} after the connection began", span(since))));
    }
    let place = app.frames.shown.get(app.frames.list.picked);
    if let Some(what) = place.and_then(|place| left_out(&app.detail, *place)) {
        told.insert(1, ("before it".into(), format!("{what} left out")));
    }
    told.extend(windows(app));
    let label = 24.min(usize::from(area.width) / 3);
    let mut lines = Vec::new();
    for (name, value) in told {
        let value = wrap(&value, usize::from(area.width).saturating_sub(label + 3));
        let value = if value.is_empty() { vec![String::new()] } else { value };
        for (place, text) in value.into_iter().enumerate() {
            let name = if place == 0 { name.as_str() } else { "" };
            lines.push(Line::from(vec![
                Span::styled(format!(" {} ", fit(name, label, false)), app.theme.ink(Ink::Label)),
                Span::raw(text),
            ]));
        }
    }
    let most = lines.len().saturating_sub(usize::from(room.height));
    app.frames.pane = app.frames.pane.min(most);
    for line in lines.iter().skip(app.frames.pane).take(usize::from(room.height)) {
        put(frame.buffer_mut(), &mut room, line);
    }
}

/// What the sender of the picked frame may still send after it: flow control of the connection
/// and of its stream.
fn windows(app: &App) -> Vec<(String, String)> {
    let Some(place) = app.frames.shown.get(app.frames.list.picked) else { return Vec::new() };
    let Some((_, row)) = app.row() else { return Vec::new() };
    let whole = !row.joined_midway && row.lost_bytes.first == 0 && row.lost_bytes.second == 0;
    let Some(frame) = app.detail.frames.get(*place) else { return Vec::new() };
    let before = app.detail.gaps.first().map_or(WINDOW_FRAMES, |gap| gap.before);
    if !whole || *place >= before.min(WINDOW_FRAMES) {
        return vec![("window".into(), "? (not all frames are known)".into())];
    }
    let known = app.detail.frames.get(..=*place).unwrap_or_default();
    let (connection, stream) = window(known, frame.by, frame.head.stream);
    let mut lines = vec![("connection window".to_owned(), octets(connection))];
    if frame.head.stream > 0 {
        lines.push(("stream window".to_owned(), octets(stream)));
    }
    lines
}

fn octets(window: i64) -> String {
    let sign = if window < 0 { "-" } else { "" };
    format!("{sign}{} octets left for its sender", grouped(window.unsigned_abs()))
}

/// Windows of a sender after these frames (RFC 9113 section 6.9): connection and stream.
fn window(frames: &[FrameRow], by: Side, stream: u32) -> (i64, i64) {
    let (mut connection, mut initial, mut change) = (INITIAL_WINDOW, INITIAL_WINDOW, 0_i64);
    for frame in frames {
        match &frame.says {
            FrameSays::Data(_) | FrameSays::Unseen | FrameSays::Broken(_)
                if frame.by == by && frame.head.kind == FrameType::DATA =>
            {
                let length = i64::from(frame.head.length);
                connection -= length;
                change -= if frame.head.stream == stream { length } else { 0 };
            }
            FrameSays::WindowUpdate(increment) if frame.by != by => match frame.head.stream {
                0 => connection += i64::from(*increment),
                id if id == stream => change += i64::from(*increment),
                _ => {}
            },
            FrameSays::Settings { ack: false, values } if frame.by != by => {
                use crate::vocab::setting::SettingId;
                let set = values.iter().rfind(|(id, _)| *id == SettingId::INITIAL_WINDOW_SIZE);
                initial = set.map_or(initial, |(_, value)| i64::from(*value));
            }
            _ => {}
        }
    }
    (connection, initial + change)
}

/// RFC 9113 section 6.9.2.
const INITIAL_WINDOW: i64 = 65_535;
/// The picked frame stands beside the list from this width on.
const BESIDE_FROM: u16 = 150;
/// Frames that are walked through for the windows at each drawing.
const WINDOW_FRAMES: usize = 200_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::frame::FrameHead;
    use crate::vocab::setting::SettingId;
    use crate::vocab::time::Stamp;

    fn frame(by: Side, stream: u32, kind: FrameType, length: u32, says: FrameSays) -> FrameRow {
        let head = FrameHead { length, kind, flags: Flags(0), stream };
        FrameRow { stamp: Stamp::default(), by, head, says, headers: None }
    }

    #[test]
    fn windows_follow_data_updates_and_settings() {
        let values = vec![(SettingId::INITIAL_WINDOW_SIZE, 100)];
        let frames = [
            frame(
                Side::Server,
                0,
                FrameType::SETTINGS,
                6,
                FrameSays::Settings { ack: false, values },
            ),
            frame(Side::Client, 1, FrameType::DATA, 70, FrameSays::Data(70)),
            frame(Side::Client, 3, FrameType::DATA, 30, FrameSays::Data(20)),
            frame(Side::Server, 1, FrameType::WINDOW_UPDATE, 4, FrameSays::WindowUpdate(50)),
            frame(Side::Server, 0, FrameType::WINDOW_UPDATE, 4, FrameSays::WindowUpdate(5)),
        ];
        assert_eq!(window(&frames, Side::Client, 1), (65_535 - 100 + 5, 100 - 70 + 50));
        assert_eq!(window(&frames, Side::Server, 1), (65_535, 65_535));
    }

    #[test]
    fn masks_hide_what_headers_say() {
        let field = |name: &str, value: &str| (Some(name.to_owned()), Some(value.to_owned()));
        let mut frame = frame(Side::Client, 1, FrameType::HEADERS, 9, FrameSays::Headers);
        frame.headers = Some(vec![field(":method", "GET"), field(":path", "/me"), field("k", "v")]);
        assert_eq!(says(&frame, true), "GET ***");
        let told = told(&frame, true);
        assert!(told.contains(&(":method".into(), "GET".into())), "{told:?}");
        assert!(told.contains(&("k".into(), "***".into())), "{told:?}");
        assert!(!told.iter().any(|(_, value)| value.contains("/me")), "{told:?}");
    }
}
