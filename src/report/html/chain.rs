//! The chain of a verdict as a sequence diagram: client to the left, server to the right.

use super::{Escaped, put};
use crate::board::picture::gap;
use crate::report::time::Clock;
use crate::vocab::address::Side;
use crate::vocab::text::{packet, shortened};
use crate::vocab::verdict::{Evidence, Verdict};

/// Draws it; long chains lose their middle.
pub(super) fn draw(out: &mut String, verdict: &Verdict, clock: &Clock, several: bool) {
    let chain = &verdict.chain;
    if chain.is_empty() {
        return;
    }
    let skipped = chain.len().saturating_sub(STEPS_SHOWN);
    let head = STEPS_SHOWN / 2;
    let is_shown = |place: usize| skipped == 0 || place < head || place >= head + skipped;
    let mut body = String::new();
    let mut y = 30;
    let mut before: Option<&Evidence> = None;
    for (place, step) in chain.iter().enumerate() {
        if !is_shown(place) {
            if before.take().is_some() {
                note(&mut body, y, &format!("{skipped} more steps"));
                y += NOTE;
            }
            continue;
        }
        if let Some(gap) = before.and_then(|before| gap(before, step, verdict)) {
            let why = if gap.why.is_empty() { String::new() } else { format!(": {}", gap.why) };
            note(&mut body, y, &format!("{}{why}", gap.text));
            y += NOTE;
        }
        event(&mut body, y, step, clock, several);
        y += STEP;
        before = Some(step);
    }
    let label = format!("chain of {} steps that ends with {}", chain.len(), verdict.cause);
    put(out, format_args!("<div class=scroll><svg viewBox=\"0 0 {WIDTH} {y}\" role=img "));
    put(out, format_args!("aria-label=\"{}\">", Escaped(&label)));
    for (x, name) in [(LEFT, "client"), (RIGHT, "server")] {
        put(out, format_args!("<text x={x} y=14 text-anchor=middle class=dimmed>{name}</text>"));
        put(out, format_args!("<line class=life x1={x} x2={x} y1=20 y2={y} />"));
    }
    out.push_str(&body);
    out.push_str("</svg></div>\n");
}

fn note(out: &mut String, y: u32, text: &str) {
    let middle = (LEFT + RIGHT) / 2;
    put(out, format_args!("<text x={middle} y={} text-anchor=middle class=dimmed>", y + 8));
    put(out, format_args!("┊ {} ┊</text>", Escaped(text)));
}

fn event(out: &mut String, y: u32, step: &Evidence, clock: &Clock, several: bool) {
    let base = y + 18;
    let (time, number) = (clock.at(step.stamp.at), packet(step.stamp, several));
    put(out, format_args!("<text x=0 y={base} class=dimmed>{}</text>", Escaped(&time)));
    put(out, format_args!("<text x={} y={base} text-anchor=end class=dimmed>", LEFT - 22));
    put(out, format_args!("{}</text>", Escaped(&number)));
    let far = if step.connection.is_some() { " far" } else { "" };
    let line = y + 14;
    match step.by {
        Some(Side::Client) => {
            let to = RIGHT - 8;
            put(out, format_args!("<path class=\"c{far}\" d=\"M{LEFT} {line}H{to}\" />"));
            put(out, format_args!("<path class=hc d=\"M{RIGHT} {line}l-9 -4v8z\" />"));
        }
        Some(Side::Server) => {
            let to = LEFT + 8;
            put(out, format_args!("<path class=\"s{far}\" d=\"M{RIGHT} {line}H{to}\" />"));
            put(out, format_args!("<path class=hs d=\"M{LEFT} {line}l9 -4v8z\" />"));
        }
        None => {}
    }
    let middle = (LEFT + RIGHT) / 2;
    put(out, format_args!("<text x={middle} y={} text-anchor=middle>", y + 9));
    put(out, format_args!("{}</text>", Escaped(&step.label())));
    let text = shortened(&step.text, TEXT_SHOWN);
    put(out, format_args!("<text x={} y={base}>{}", RIGHT + 14, Escaped(&text)));
    put(out, format_args!("<title>{}</title></text>", Escaped(&step.text)));
}

const WIDTH: u32 = 1_000;
const LEFT: u32 = 170;
const RIGHT: u32 = 470;
const STEP: u32 = 28;
const NOTE: u32 = 18;
const STEPS_SHOWN: usize = 24;
/// Characters beside an arrow.
const TEXT_SHOWN: usize = 72;
