//! Explanations of causes, rules and error lines, for people.

use std::io::{self, Write};

use super::style::{Ink, Page, Style};
use crate::vocab::explanation::{Explanation, Part};

/// Writes one explanation.
pub fn write(out: &mut impl Write, explanation: &Explanation, style: Style) -> io::Result<()> {
    let mut page = Page::new(style);
    page.line(0, &[(Ink::Bold, &explanation.title)]);
    page.paragraph(2, Ink::Plain, &explanation.meaning);
    for part in &explanation.parts {
        page.blank();
        match part {
            Part::Text(label, text) => page.labelled(label, text),
            Part::List(label, items) => {
                page.line(2, &[(Ink::Cyan, label)]);
                for (name, text) in items {
                    page.line(4, &[(Ink::Bold, name)]);
                    page.paragraph(6, Ink::Plain, text);
                }
            }
            Part::Commands(label, lines) => {
                page.line(2, &[(Ink::Cyan, label)]);
                for line in lines {
                    // To be copied: never wrapped.
                    page.line(4, &[(Ink::Plain, line)]);
                }
            }
        }
    }
    out.write_all(page.text.as_bytes())
}

#[cfg(test)]
mod tests;
