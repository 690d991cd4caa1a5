//! What happens on a live capture, for people: a line or two as it happens.

use std::io::{self, Write};
use std::sync::Arc;

use super::alert::words;
use super::fault;
use super::style::{Ink, Page, Style};
use super::time::{Clock, TimeStyle};
use crate::board::alarm::Raised;
use crate::board::snapshot::Snapshot;
use crate::board::told::Told;
use crate::board::words as phrases;
use crate::board::{Board, ConnectionRow};
use crate::vocab::cause::Blame;
use crate::vocab::process::Process;
use crate::vocab::text::count;

/// Writes the lines of a live capture.
pub struct LiveText {
    style: Style,
    clock: Clock,
}

impl LiveText {
    /// Lines in this style; times as the machine's clock shows them.
    pub fn new(style: Style) -> Self {
        Self { style, clock: Clock::of(&Board::default(), TimeStyle::Local) }
    }

    /// Writes what is told.
    pub fn told(&self, out: &mut impl Write, told: &Told) -> io::Result<()> {
        let mut page = Page::new(self.style);
        let row = &told.row;
        let (what, sure, ink) = match (told.verdict(), told.cancellation()) {
            (Some(verdict), _) => {
                let ink = if verdict.blame == Blame::None { Ink::Plain } else { Ink::Red };
                let chain = match verdict.trigger == verdict.cause {
                    true => verdict.cause.name().to_owned(),
                    false => format!("{} → {}", verdict.cause, verdict.trigger),
                };
                (chain, verdict.confidence.word(), ink)
            }
            (None, Some(set)) => {
                let streams = count(set.streams.len(), "stream");
                (format!("{}: {streams} cancelled", set.cause), set.confidence.word(), Ink::Yellow)
            }
            (None, None) => return Ok(()),
        };
        let standing = match (told.settled, told.settles) {
            (true, Some(number)) => format!("settles #{number}"),
            (true, None) => "settled".to_owned(),
            (false, Some(number)) => format!("in place of #{number}, provisional"),
            (false, None) => "provisional".to_owned(),
        };
        let head = format!("{}  #{} ", self.clock.at(told.at()), told.number);
        let rest = format!(" ({sure}, {standing})  {}", ends(row));
        page.line(0, &[(Ink::Dim, &head), (ink, &what), (Ink::Plain, &rest)]);
        if let Some(verdict) = told.verdict() {
            page.paragraph(4, Ink::Plain, &verdict.summary);
            let advice = verdict.advice.first().filter(|_| verdict.blame != Blame::None);
            if let Some(advice) = advice {
                page.paragraph(4, Ink::Dim, advice);
            }
        } else if let Some(set) = told.cancellation() {
            page.paragraph(4, Ink::Plain, &format!("{}.", phrases::cancelled(set)));
            if let Some(advice) = &set.advice {
                page.paragraph(4, Ink::Dim, advice);
            }
        }
        out.write_all(page.text.as_bytes())
    }

    /// Writes an alarm that went off.
    pub fn alarm(&self, out: &mut impl Write, raised: &Raised) -> io::Result<()> {
        let mut page = Page::new(self.style);
        let head = format!("{}  ", self.clock.at(raised.told.at()));
        page.line(0, &[(Ink::Dim, &head), (Ink::Red, "ALARM "), (Ink::Plain, &words(raised))]);
        out.write_all(page.text.as_bytes())
    }

    /// Writes what there was in all, and what was lost.
    pub fn summary(&self, out: &mut impl Write, snapshot: &Snapshot) -> io::Result<()> {
        let mut page = Page::new(self.style);
        let board = &snapshot.board;
        let live = snapshot.live.clone().unwrap_or_default();
        page.blank();
        let connections = board.connections.len() as u64 + board.earlier.connections;
        let counted = |number: u64, what: &str| count(number, what);
        let text = format!(
            "{}, {}, {}, {} of other kinds",
            counted(snapshot.progress.packets, "packet"),
            counted(connections, "connection"),
            counted(board.goaways(), "GOAWAY"),
            counted(board.other_flows, "TCP flow")
        );
        page.paragraph(0, Ink::Bold, &text);
        let mut causes: Vec<_> = board.causes().into_iter().collect();
        causes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        for (cause, count) in causes {
            page.paragraph(2, Ink::Plain, &format!("{count} × {cause}"));
        }
        for (cause, streams) in board.cancelled() {
            let streams = count(streams, "stream");
            page.paragraph(2, Ink::Plain, &format!("{streams} cancelled: {cause}"));
        }
        for of in &live.interfaces {
            let dropped = match (of.kernel_dropped, of.interface_dropped) {
                (Some(kernel), Some(interface)) => {
                    format!("{kernel} dropped by the kernel, {interface} by the interface")
                }
                (Some(before), None) => format!("{before} dropped where it was captured"),
                _ => "what was dropped where it was captured is not known".to_owned(),
            };
            let text = format!("{}: {} received, {dropped}", of.name, of.received);
            page.paragraph(2, Ink::Dim, &text);
            if let Some(error) = &of.error {
                page.paragraph(2, Ink::Red, &format!("{}: {error}", of.name));
            } else if of.down {
                page.paragraph(2, Ink::Red, &format!("{}: the interface is down", of.name));
            }
        }
        if live.queue_dropped > 0 {
            let text = format!("{} packets given up: analysis was too slow", live.queue_dropped);
            page.paragraph(2, Ink::Red, &text);
        }
        if live.shed > 0 {
            let text = format!("{} quiet connections forgotten to stay in memory", live.shed);
            page.paragraph(2, Ink::Red, &text);
        }
        for of in &board.faults {
            page.paragraph(2, Ink::Red, &fault(of, false));
        }
        if let Some(saved) = &live.saved {
            if let Some(error) = live.saving_trouble() {
                page.paragraph(2, Ink::Red, error);
            }
            page.paragraph(2, Ink::Dim, &saved.told());
        }
        out.write_all(page.text.as_bytes())
    }
}

/// Both ends, with their programs where they are known.
fn ends(row: &ConnectionRow) -> String {
    let program = |process: &Option<Arc<Process>>| {
        process.as_ref().map(|process| format!(" {process}")).unwrap_or_default()
    };
    let (first, second) = (program(&row.processes.first), program(&row.processes.second));
    format!("{}{first} → {}{second}", row.client, row.server)
}
