//! What was checked and what broke, for people, pull requests, CI systems and programs.

use std::io::{self, Write};

use quick_xml::Writer;
use quick_xml::events::BytesText;

use super::plain;
use crate::board::check::{Broken, Checked, Outcome};
use crate::vocab::cause::Confidence;
use crate::vocab::text::{count, printable};

/// Writes it as text.
pub fn text(out: &mut impl Write, outcome: &Outcome) -> io::Result<()> {
    writeln!(out, "{}", headline(outcome))?;
    for check in &outcome.checks {
        let sign = if check.passed { "ok  " } else { "FAIL" };
        writeln!(out, "  {sign} {}: {}", check.name, printable(&check.text))?;
        for broken in check.broken.iter().take(SHOWN) {
            writeln!(out, "       - {}", printable(&line(broken)))?;
        }
        let more = check.broken.len().saturating_sub(SHOWN);
        if more > 0 {
            writeln!(out, "       (+{more})")?;
        }
    }
    for note in &outcome.notes {
        writeln!(out, "  note: {}", printable(note))?;
    }
    Ok(())
}

/// Writes it as Markdown, for pull requests and job summaries.
pub fn markdown(out: &mut impl Write, outcome: &Outcome) -> io::Result<()> {
    writeln!(out, "### {}\n", cell(&headline(outcome)))?;
    writeln!(out, "| | check | found |\n| --- | --- | --- |")?;
    for check in &outcome.checks {
        let sign = if check.passed { "✅" } else { "❌" };
        writeln!(out, "| {sign} | `{}` | {} |", check.name, cell(&check.text))?;
    }
    let broken = outcome.checks.iter().flat_map(|check| &check.broken);
    for (index, broken) in broken.enumerate() {
        let before = if index == 0 { "\n" } else { "" };
        writeln!(out, "{before}- {}", cell(&line(broken)))?;
    }
    for (index, note) in outcome.notes.iter().enumerate() {
        writeln!(out, "{}_{}_", if index == 0 { "\n" } else { "" }, cell(note))?;
    }
    Ok(())
}

/// Writes it as one JSON object.
pub fn json(out: &mut impl Write, outcome: &Outcome) -> io::Result<()> {
    plain::write(&mut *out, &Versioned { schema: SCHEMA, of: outcome })?;
    out.write_all(b"\n")
}

/// A contract with other programs.
#[derive(serde::Serialize)]
pub(super) struct Versioned<'a, T> {
    pub(super) schema: u32,
    #[serde(flatten)]
    pub(super) of: &'a T,
}

/// Writes it as JUnit XML: a test case a check, and one more for each thing that broke it.
pub fn junit(out: &mut impl Write, outcome: &Outcome) -> io::Result<()> {
    let failed = outcome.checks.iter().filter(|check| !check.passed).count();
    suite(out, &outcome.files, [outcome.checks.len(), failed, 0], |xml| {
        outcome.checks.iter().try_for_each(|check| case(xml, check))?;
        if !outcome.notes.is_empty() {
            let notes = clean(&outcome.notes.join("\n"));
            xml.create_element("system-out").write_text_content(BytesText::new(&notes))?;
        }
        Ok(())
    })
}

/// The same where nothing could be checked: an error, which is no failure.
pub fn junit_error(out: &mut impl Write, files: &[String], what: &str) -> io::Result<()> {
    suite(out, files, [1, 0, 1], |xml| {
        let attributes = [("classname", "goawhy"), ("name", "input"), ("time", "0")];
        let case = xml.create_element("testcase").with_attributes(attributes);
        case.write_inner_content(|xml| {
            let what = clean(what);
            let error = xml.create_element("error");
            let error = error.with_attributes([("message", what.as_str()), ("type", "input")]);
            error.write_empty().map(drop)
        })?;
        Ok(())
    })
}

/// A suite with so many tests, failures and errors.
fn suite<W: Write>(
    out: &mut W,
    files: &[String],
    counts: [usize; 3],
    cases: impl FnOnce(&mut Writer<&mut W>) -> io::Result<()>,
) -> io::Result<()> {
    out.write_all(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")?;
    let [all, failed, errors] = counts.map(|count| count.to_string());
    let mut xml = Writer::new_with_indent(&mut *out, b' ', 2);
    let suites = xml.create_element("testsuites").with_attributes([
        ("name", "goawhy"),
        ("tests", all.as_str()),
        ("failures", failed.as_str()),
    ]);
    suites.write_inner_content(|xml| {
        let files: Vec<String> = files.iter().map(|file| clean(file)).collect();
        let files = files.join(", ");
        let suite = xml.create_element("testsuite").with_attributes([
            ("name", files.as_str()),
            ("tests", all.as_str()),
            ("failures", failed.as_str()),
            ("errors", errors.as_str()),
            ("skipped", "0"),
        ]);
        suite.write_inner_content(cases)?;
        Ok(())
    })?;
    out.write_all(b"\n")
}

fn case<W: Write>(xml: &mut Writer<W>, check: &Checked) -> io::Result<()> {
    let case = xml.create_element("testcase").with_attributes([
        ("classname", "goawhy"),
        ("name", check.name),
        ("time", "0"),
    ]);
    if check.passed {
        case.write_empty()?;
        return Ok(());
    }
    let message = clean(&check.text);
    let lines: Vec<String> = check.broken.iter().map(line).collect();
    let lines = clean(&lines.join("\n"));
    case.write_inner_content(|xml| {
        let failure = xml
            .create_element("failure")
            .with_attributes([("message", message.as_str()), ("type", check.name)]);
        failure.write_text_content(BytesText::new(&lines)).map(drop)
    })?;
    Ok(())
}

/// `check failed, 2 of 5: 165 requests on 2 connections of a.pcap`.
fn headline(outcome: &Outcome) -> String {
    let failed = outcome.checks.iter().filter(|check| !check.passed).count();
    let all = outcome.checks.len();
    let said = match failed {
        0 => format!("check passed, {all} of {all}"),
        some => format!("check failed, {some} of {all}"),
    };
    let number = |number: u64, what| count(number, what);
    let requests = number(outcome.requests, "request");
    let connections = number(outcome.connections, "connection");
    printable(&format!("{said}: {requests} on {connections} of {}", outcome.files.join(", ")))
}

/// `2 × idle_timeout (certain, blame server): why (first: connection 1, packet 9)`.
fn line(broken: &Broken) -> String {
    let mut text = String::new();
    if let Some(cause) = &broken.cause {
        // Requests are counted in the text.
        if broken.count > 1 && broken.trigger.is_some() {
            text.push_str(&format!("{} × ", broken.count));
        }
        text.push_str(cause);
        let other = broken.trigger.as_ref().filter(|trigger| *trigger != cause);
        text.push_str(&other.map_or(String::new(), |trigger| format!(" → {trigger}")));
        let sure = Confidence::new(broken.confidence.unwrap_or_default() as f32).word();
        let blame = broken.blame.as_deref().filter(|blame| *blame != "none");
        let blame = blame.map_or(String::new(), |blame| format!(", blame {blame}"));
        text.push_str(&format!(" ({sure}{blame}): "));
    }
    text.push_str(&broken.text);
    let places = [
        broken.file.clone(),
        broken.connection.map(|number| format!("connection {number}")),
        broken.packet.map(|number| format!("packet {number}")),
    ];
    let places: Vec<String> = places.into_iter().flatten().collect();
    if !places.is_empty() {
        let first = if broken.count > 1 { "first: " } else { "" };
        text.push_str(&format!(" ({first}{})", places.join(", ")));
    }
    text
}

/// Text as XML 1.0 can carry it (section 2.2), whatever was on the wire.
fn clean(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(printable).collect();
    lines.join("\n").replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

/// Text in a Markdown table or list.
pub(super) fn cell(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in printable(text).chars() {
        if matches!(character, '|' | '<' | '>' | '*' | '_' | '`' | '[' | ']' | '\\') {
            safe.push('\\');
        }
        safe.push(character);
    }
    safe
}

const SCHEMA: u32 = 1;
/// Things that broke one check, shown as text.
const SHOWN: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_the_wire_breaks_out() {
        let hostile = "a<b>\u{1b}[31m|`x`\n]]>\u{ffff}&";
        let broken = Broken {
            text: hostile.into(),
            count: 1,
            cause: None,
            trigger: None,
            blame: None,
            confidence: None,
            connection: Some(1),
            packet: None,
            file: None,
        };
        let check =
            Checked { name: "causes", passed: false, text: hostile.into(), broken: vec![broken] };
        let outcome = Outcome {
            passed: false,
            files: vec![hostile.into()],
            connections: 1,
            requests: 1,
            notes: vec![hostile.into()],
            checks: vec![check],
        };
        let mut xml = Vec::new();
        junit(&mut xml, &outcome).unwrap();
        let xml = String::from_utf8(xml).unwrap();
        let mut reader = quick_xml::Reader::from_str(&xml);
        while reader.read_event().unwrap() != quick_xml::events::Event::Eof {}
        let allowed = |of: char| of == '\n' || (!of.is_control() && of != '\u{ffff}');
        assert!(xml.chars().all(allowed), "{xml}");
        let mut page = Vec::new();
        markdown(&mut page, &outcome).unwrap();
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains("a\\<b\\>\\\\u{1b}"), "{page}");
        assert!(page.lines().all(|line| !line.starts_with(']')), "{page}");
    }
}
