//! The chain of a verdict, drawn: client to the left, server to the right, time downwards.

use super::style::{Ink, Page, packet, span, wrap};
use super::time::Clock;
use crate::board::picture::GAP_SECONDS;
use crate::vocab::address::Side;
use crate::vocab::verdict::Evidence;

/// Draws `chain` with the gaps between its events. Long chains lose their middle.
pub(super) fn draw(page: &mut Page, chain: &[Evidence], clock: &Clock, several: bool) {
    let rows = shown(chain);
    let times: Vec<String> = rows.iter().flatten().map(|step| clock.at(step.stamp.at)).collect();
    let time_width = times.iter().map(|time| time.chars().count()).max().unwrap_or(0);
    let left = time_width.saturating_add(PACKET).saturating_add(4);
    let head = format!("{:>left$}   client{:>gap$}", "packet", "server", gap = LANE - 4);
    page.line(0, &[(Ink::Dim, &head)]);
    let mut before: Option<&Evidence> = None;
    let mut times = times.into_iter();
    for row in rows {
        let Some(step) = row else {
            let note = format!("{} more", chain.len().saturating_sub(SHOWN));
            page.line(left.saturating_add(3), &[(Ink::Dim, &middle(&note))]);
            before = None;
            continue;
        };
        let gap = before.map_or(0.0, |before| step.stamp.since(before.stamp).as_secs_f64());
        if gap >= GAP_SECONDS {
            page.line(left.saturating_add(3), &[(Ink::Dim, &middle(&span(gap)))]);
        }
        let time = times.next().unwrap_or_default();
        event(page, step, &format!("  {time:>time_width$}"), several);
        before = Some(step);
    }
}

/// Which steps are drawn: all, or both ends with a hole (`None`) between.
fn shown(chain: &[Evidence]) -> Vec<Option<&Evidence>> {
    if chain.len() <= SHOWN.saturating_add(1) {
        return chain.iter().map(Some).collect();
    }
    let tail = SHOWN / 2;
    let head = SHOWN.saturating_sub(tail);
    let start = chain.iter().take(head).map(Some);
    let end = chain.iter().skip(chain.len().saturating_sub(tail)).map(Some);
    start.chain([None]).chain(end).collect()
}

fn event(page: &mut Page, step: &Evidence, time: &str, several: bool) {
    let number = packet(step.stamp, several);
    let label = step.label();
    let (lane, ink) = match step.by {
        Some(Side::Client) => (format!("├─ {label} {:─>1$}▶│", "", rest(&label)), Ink::Yellow),
        Some(Side::Server) => (format!("│◀{:─>1$} {label} ─┤", "", rest(&label)), Ink::Yellow),
        None => (middle(&label), Ink::Plain),
    };
    let prefix = format!("{time}  {number:>PACKET$}   ");
    let indent = prefix.chars().count().saturating_add(LANE).saturating_add(4);
    let room = page.style.width.saturating_sub(indent);
    let mut lines = wrap(&page.safe(&step.text), room).into_iter();
    let first = lines.next().unwrap_or_default();
    page.line(0, &[(Ink::Plain, &prefix), (ink, &lane), (Ink::Plain, "  "), (Ink::Plain, &first)]);
    for line in lines {
        let empty = format!("{:indent$}{}", "", middle(""), indent = prefix.chars().count());
        page.line(0, &[(Ink::Dim, &empty), (Ink::Plain, "  "), (Ink::Plain, &line)]);
    }
}

/// Both lifelines with a word between them.
fn middle(word: &str) -> String {
    format!("│{word:^LANE$}│")
}

/// Length of the arrow's shaft beside a label.
fn rest(label: &str) -> usize {
    LANE.saturating_sub(label.chars().count()).saturating_sub(4)
}

/// Columns between the lifelines.
const LANE: usize = 26;
/// Columns of a packet number.
const PACKET: usize = 7;
/// Steps drawn of a long chain.
const SHOWN: usize = 12;
