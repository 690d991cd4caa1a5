//! What another timeout would have changed, for people.

use super::style::{Ink, Page, count};
use crate::board::what_if::{Spared, Supposed};
use crate::vocab::cause::Cause;
use crate::vocab::pair::Timer;
use crate::vocab::text::span;

pub(super) fn draw(page: &mut Page, all: &[Supposed]) {
    for of in all {
        page.blank();
        page.paragraph(0, Ink::Bold, &title(of));
        page.paragraph(2, Ink::Plain, &now(of));
        for (label, text) in rows(of) {
            page.labelled(label, &text);
        }
    }
}

pub(super) fn title(of: &Supposed) -> String {
    format!("What if {} were {}", of.timer, span(of.seconds))
}

/// What the timer was, as far as that was measured.
pub(super) fn now(of: &Supposed) -> String {
    let measured: Vec<String> = of.measured.iter().map(|seconds| span(*seconds)).collect();
    match measured.is_empty() {
        true => "it was not measured in this capture".to_owned(),
        false => format!("it was measured as {}", measured.join(", ")),
    }
}

/// What would have come of it, with labels; one that is empty goes on with the one before.
pub(super) fn rows(of: &Supposed) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("cancelled", fates(&of.cancellations, "request")),
        ("endings", fates(&of.endings, "connection")),
        ("died with", fates(&of.lost_requests, "request")),
    ];
    let answered = match of.timer {
        Timer::Of(Cause::ClientRequestTimeout) => "answered request",
        _ => "answered PING",
    };
    let open = "would have run into it before the connection or the capture ended";
    let new = [
        (of.ended_besides, answered, "would have run into it besides"),
        (of.open_besides, "open request", open),
    ];
    for (number, what, would) in new.into_iter().filter(|(number, ..)| *number > 0) {
        // Ages are kept in steps of a few per cent.
        rows.push(("new", format!("about {} {would}", count(number, what))));
    }
    for (index, what) in of.unknown.iter().enumerate() {
        rows.push((if index == 0 { "unknown" } else { "" }, format!("- {what}")));
    }
    rows
}

/// `72 requests: 1 would not have been, 71 cannot be known`.
fn fates(of: &Spared, what: &str) -> String {
    let seen = count(of.seen, what);
    let parts =
        [(of.spared, "spared"), (of.still, "all the same"), (of.unknown, "cannot be known")];
    let parts = parts.iter().filter(|(number, _)| *number > 0);
    let parts: Vec<String> = parts.map(|(number, word)| format!("{number} {word}")).collect();
    match of.seen {
        0 => "none".to_owned(),
        _ => format!("{seen}: {}", parts.join(", ")),
    }
}
