//! What another timeout would have changed, for people.

use super::style::{Ink, Page, count};
use crate::board::what_if::{Spared, Supposed};
use crate::vocab::text::span;

pub(super) fn draw(page: &mut Page, all: &[Supposed]) {
    for of in all {
        page.blank();
        let title = format!("What if {} were {}", of.timer, span(of.seconds));
        page.paragraph(0, Ink::Bold, &title);
        let measured: Vec<String> = of.measured.iter().map(|seconds| span(*seconds)).collect();
        let now = match measured.is_empty() {
            true => "it was not measured in this capture".to_owned(),
            false => format!("it was measured as {}", measured.join(", ")),
        };
        page.paragraph(2, Ink::Plain, &now);
        page.labelled("cancelled", &fates(&of.cancellations, "request"));
        page.labelled("endings", &fates(&of.endings, "connection"));
        page.labelled("died with", &fates(&of.lost_requests, "request"));
        if of.ended_besides > 0 {
            let number = usize::try_from(of.ended_besides).unwrap_or(usize::MAX);
            let more = format!("{} would have run into it besides", count(number, "answer"));
            page.labelled("new", &more);
        }
        for (index, what) in of.unknown.iter().enumerate() {
            page.labelled(if index == 0 { "unknown" } else { "" }, &format!("- {what}"));
        }
    }
}

/// `72 requests: 1 would not have been, 71 cannot be known`.
fn fates(of: &Spared, what: &str) -> String {
    let seen = count(usize::try_from(of.seen).unwrap_or(usize::MAX), what);
    let parts =
        [(of.spared, "spared"), (of.still, "all the same"), (of.unknown, "cannot be known")];
    let parts = parts.iter().filter(|(number, _)| *number > 0);
    let parts: Vec<String> = parts.map(|(number, word)| format!("{number} {word}")).collect();
    match of.seen {
        0 => "none".to_owned(),
        _ => format!("{seen}: {}", parts.join(", ")),
    }
}
