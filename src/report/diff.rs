//! Two reports side by side, for people, pull requests and programs.

use std::io::{self, Write};

use super::check::{Versioned, cell};
use super::plain;
use crate::board::check::percent;
use crate::board::diff::{Change, Comparison, Row, Section, Seen, Timer, Value};
use crate::vocab::text::{count, printable, span};

/// Writes it as text.
pub fn text(out: &mut impl Write, compared: &Comparison) -> io::Result<()> {
    writeln!(out, "before  {}", printable(&seen(&compared.before)))?;
    writeln!(out, "after   {}", printable(&seen(&compared.after)))?;
    for line in summary(compared) {
        writeln!(out, "{}", printable(&line))?;
    }
    for section in sections(&compared.rows) {
        writeln!(out, "\n{}", section.title())?;
        let rows: Vec<[String; 3]> = of(&compared.rows, section)
            .map(|row| columns(row).map(|text| printable(&text)))
            .collect();
        let wide = |column: fn(&[String; 3]) -> &String| {
            rows.iter().map(|row| column(row).chars().count()).max().unwrap_or_default()
        };
        let (first, second) = (wide(|row| &row[0]), wide(|row| &row[1]));
        for (row, [before, after, change]) in of(&compared.rows, section).zip(&rows) {
            writeln!(out, "  {}", printable(&row.name))?;
            writeln!(out, "    {before:<first$}  ->  {after:<second$}  {change}")?;
        }
    }
    for (index, note) in compared.notes.iter().enumerate() {
        writeln!(out, "{}note: {}", if index == 0 { "\n" } else { "" }, printable(note))?;
    }
    Ok(())
}

/// Writes it as Markdown.
pub fn markdown(out: &mut impl Write, compared: &Comparison) -> io::Result<()> {
    writeln!(out, "### HTTP/2 before and after\n")?;
    writeln!(out, "- before: {}", cell(&seen(&compared.before)))?;
    writeln!(out, "- after: {}", cell(&seen(&compared.after)))?;
    for line in summary(compared) {
        writeln!(out, "- **{}**", cell(&line))?;
    }
    for section in sections(&compared.rows) {
        writeln!(out, "\n| {} | before | after | |\n| --- | --- | --- | --- |", section.title())?;
        for row in of(&compared.rows, section) {
            let [before, after, change] = columns(row).map(|text| cell(&text));
            writeln!(out, "| {} | {before} | {after} | {change} |", cell(&row.name))?;
        }
    }
    for (index, note) in compared.notes.iter().enumerate() {
        writeln!(out, "{}_{}_", if index == 0 { "\n" } else { "" }, cell(note))?;
    }
    Ok(())
}

/// Writes it as one JSON object.
pub fn json(out: &mut impl Write, compared: &Comparison) -> io::Result<()> {
    plain::write(&mut *out, &Versioned { schema: SCHEMA, of: compared })?;
    out.write_all(b"\n")
}

/// `a.pcap: 165 requests on 2 connections in 14.6 s`.
fn seen(of: &Seen) -> String {
    let number = |number: u64, what| count(number, what);
    let within = of.seconds.map_or(String::new(), |seconds| format!(" in {}", span(seconds)));
    let (requests, connections) =
        (number(of.requests, "request"), number(of.connections, "connection"));
    format!("{}: {requests} on {connections}{within}", of.files.join(", "))
}

/// What there is nothing of, and what changed beyond doubt, in a line a kind.
fn summary(compared: &Comparison) -> Vec<String> {
    let (rows, mut lines) = (&compared.rows, compared.lacks.clone());
    for change in [
        Change::Gone,
        Change::New,
        Change::Less,
        Change::More,
        Change::Shorter,
        Change::Longer,
        Change::OnlyBefore,
        Change::OnlyAfter,
    ] {
        let names = rows.iter().filter(|row| row.change == change).map(|row| row.name.as_str());
        let names: Vec<&str> = names.collect();
        if !names.is_empty() {
            lines.push(format!("{}: {}", change.word(), names.join("; ")));
        }
    }
    if lines.is_empty() {
        lines.push("nothing changed that these numbers could show".to_owned());
    }
    lines
}

fn sections(rows: &[Row]) -> Vec<Section> {
    let mut sections: Vec<Section> = rows.iter().map(|row| row.section).collect();
    sections.dedup();
    sections
}

fn of(rows: &[Row], section: Section) -> impl Iterator<Item = &Row> {
    rows.iter().filter(move |row| row.section == section)
}

/// Before, after, and what can be said.
fn columns(row: &Row) -> [String; 3] {
    let chance = row.by_chance.filter(|_| row.change != Change::Alike);
    let change = match chance {
        Some(p) if p < 0.001 => format!("{} (p < 0.001)", row.change.word()),
        Some(p) => format!("{} (p = {p:.3})", row.change.word()),
        None => row.change.word().to_owned(),
    };
    [value(&row.before), value(&row.after), change]
}

fn value(value: &Value) -> String {
    match value {
        Value::Absent => "none".to_owned(),
        Value::Count { count: 1 } => "once".to_owned(),
        Value::Count { count } => format!("{count} times"),
        Value::Share { of: 0, .. } => "none of 0".to_owned(),
        Value::Share { count, of, low, high, requests } => {
            let share = percent(*count as f64 / *of as f64);
            let with = requests.map_or(String::new(), |dead| {
                format!(", {}", crate::vocab::text::count(dead, "request"))
            });
            format!("{count} of {of} ({share}; {} to {}){with}", percent(*low), percent(*high))
        }
        Value::Timers { timers } => timers.iter().map(timer).collect::<Vec<_>>().join(", "),
        Value::Span { seconds, range, samples } => {
            let range = range
                .map_or(String::new(), |(low, high)| format!("{} to {}, ", span(low), span(high)));
            let samples = count(*samples, "answer");
            format!("{} ({range}{samples})", span(*seconds))
        }
    }
}

fn timer(of: &Timer) -> String {
    let least = if of.at_least { "at least " } else { "" };
    let spread = match of.spread_seconds > 0.0 {
        true => format!("± {}, ", span(of.spread_seconds)),
        false => String::new(),
    };
    let samples = count(of.samples, "sample");
    format!("{least}{} ({spread}{samples})", span(of.seconds))
}

const SCHEMA: u32 = 1;
