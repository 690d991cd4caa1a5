//! The streams of a connection as a waterfall: a row each, time to the right.

use std::collections::BTreeSet;

use super::super::Pick;
use super::{Escaped, put};
use crate::board::picture::{life, round_step, tick_text};
use crate::board::{ConnectionRow, StreamEnd, StreamRow};
use crate::vocab::text::{count, shortened, span};

/// Draws it, where streams were kept; of many those that did not end well come first.
pub(super) fn draw(out: &mut String, row: &ConnectionRow, pick: Pick) {
    let passing: Vec<&StreamRow> =
        row.stream_list.iter().filter(|stream| pick.has_stream(row, stream)).collect();
    let drawn = chosen(&passing);
    if drawn.is_empty() {
        return;
    }
    let whole = row.last.since(row.first).as_secs_f64().max(0.001);
    let x = |seconds: f64| LEFT + (seconds / whole).clamp(0.0, 1.0) * (WIDTH - LEFT - 10.0);
    let height = TOP + drawn.len() as f64 * ROW + 6.0;
    let all = passing.len();
    let title = match all - drawn.len() {
        0 => count(all, "stream"),
        more => format!("{} of {all} streams; {more} are left out", drawn.len()),
    };
    put(out, format_args!("<details open><summary>{}</summary>", Escaped(&title)));
    put(out, format_args!("<div class=scroll><svg viewBox=\"0 0 {WIDTH} {height}\" role=img "));
    put(out, format_args!("aria-label=\"waterfall of {}\">", Escaped(&title)));
    axis(out, whole, height, &x);
    for (place, stream) in drawn.into_iter().enumerate() {
        bar(out, row, stream, TOP + place as f64 * ROW, &x);
    }
    for goaway in row.goaways.iter().take(GOAWAYS_SHOWN) {
        let at = x(goaway.stamp.since(row.first).as_secs_f64());
        put(out, format_args!("<line class=away x1={at:.1} x2={at:.1} y1={TOP} y2={height}>"));
        put(
            out,
            format_args!("<title>GOAWAY({})</title></line>", Escaped(&goaway.code.to_string())),
        );
    }
    out.push_str("</svg></div></details>\n");
}

/// Streams to draw, in their order.
fn chosen<'a>(streams: &[&'a StreamRow]) -> Vec<&'a StreamRow> {
    let seen = || streams.iter().enumerate().filter(|(_, stream)| stream.opened.is_some());
    let ended_well = |stream: &StreamRow| {
        stream.end == StreamEnd::Completed && stream.status.is_none_or(|status| status < 500)
    };
    let troubled = seen().filter(|(_, stream)| !ended_well(stream));
    let others = seen().filter(|(_, stream)| ended_well(stream));
    let places: BTreeSet<usize> =
        troubled.chain(others).take(STREAMS_SHOWN).map(|(place, _)| place).collect();
    places.into_iter().filter_map(|place| streams.get(place).copied()).collect()
}

fn axis(out: &mut String, whole: f64, height: f64, x: &dyn Fn(f64) -> f64) {
    let step = round_step(whole / 8.0);
    for tick in 0..=(whole / step) as u32 {
        let at = f64::from(tick) * step;
        let place = x(at);
        put(out, format_args!("<line class=tick x1={place:.1} x2={place:.1} y1=16 y2={height} />"));
        put(out, format_args!("<text x={:.1} y=11 class=dimmed>", place + 2.0));
        put(out, format_args!("{}</text>", Escaped(&tick_text(at, step))));
    }
}

fn bar(out: &mut String, row: &ConnectionRow, stream: &StreamRow, y: f64, x: &dyn Fn(f64) -> f64) {
    let Some(life) = life(row, stream) else { return };
    let name = |part: &Option<String>| part.clone().unwrap_or_else(|| "?".into());
    let request = format!("{} {}", name(&stream.method), name(&stream.path));
    let (class, word) = ending(stream);
    let label = shortened(&format!("{} {request}", stream.id), LABEL_SHOWN);
    let lasted = span(life.end - life.start);
    let told = format!("stream {}: {request}: {word}, {lasted}", stream.id);
    put(out, format_args!("<g><title>{}</title>", Escaped(&told)));
    put(out, format_args!("<text x=0 y={:.1}>{}</text>", y + 10.0, Escaped(&label)));
    let mut part = |class: &str, from: f64, to: f64, thick: f64| {
        let (from, to) = (x(from), x(to));
        let (wide, top) = ((to - from).max(1.5), y + (ROW - thick) / 2.0);
        put(out, format_args!("<rect class={class} x={from:.1} y={top:.1} "));
        put(out, format_args!("width={wide:.1} height={thick} />"));
    };
    let answer = life.answer.map_or(life.end, |answer| answer.min(life.end));
    part("wait", life.start, answer, 3.0);
    if life.answer.is_some() {
        part("answer", answer, life.end, 8.0);
    }
    put(out, format_args!("<circle class={class} cx={:.1} ", x(life.end)));
    put(out, format_args!("cy={:.1} r=3.2 /></g>", y + ROW / 2.0));
}

fn ending(stream: &StreamRow) -> (&'static str, String) {
    let status = stream.status.map_or(String::new(), |status| status.to_string());
    match stream.end {
        StreamEnd::Completed if stream.status.is_some_and(|status| status >= 500) => {
            ("broken", status)
        }
        StreamEnd::Completed => ("ok", status),
        StreamEnd::Reset(by, code) => ("broken", format!("reset by the {} ({code})", by.name())),
        StreamEnd::Goaway(_) => ("left", "dropped by the GOAWAY".into()),
        StreamEnd::ConnectionEnd(_) => ("left", "died with the connection".into()),
        StreamEnd::Open => ("left", "still open".into()),
    }
}

const WIDTH: f64 = 1_000.0;
const LEFT: f64 = 250.0;
const TOP: f64 = 22.0;
const ROW: f64 = 14.0;
const STREAMS_SHOWN: usize = 120;
const LABEL_SHOWN: usize = 34;
const GOAWAYS_SHOWN: usize = 8;
