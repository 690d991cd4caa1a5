//! The report as one page that needs nothing else: no script, no network, dark and light.
//!
//! Everything from the wire is escaped; the page's own policy forbids all that it does not use.
//! What is too much to read is left out, and that is said.

mod chain;
mod fall;

use std::fmt::{self, Write as _};
use std::io::{self, Write};

use super::time::{Clock, TimeStyle};
use super::{Pick, fault, head, hit_meaning, skip_reason, what_if};
use crate::board::group::{Group, Standing, groups};
use crate::board::words::{self, answered, because, cancellation, link, measured, streams, told};
use crate::board::{Board, ConnectionRow, EndHow};
use crate::vocab::cause::Blame;
use crate::vocab::text::{count, cut_short, packet, printable, shortened, span, utf8_or_escaped};
use crate::vocab::verdict::Verdict;

/// What the page contains.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// How times are told.
    pub time: TimeStyle,
    /// What was picked out.
    pub pick: Pick,
}

/// Writes the page, part by part.
///
/// # Errors
/// What the output says.
pub fn write(out: &mut impl Write, board: &Board, options: &Options) -> io::Result<()> {
    let clock = Clock::of(board, options.time);
    let page = Page { board, options, clock, several: board.captures.len() > 1 };
    let mut text = String::new();
    page.head(&mut text);
    out.write_all(text.as_bytes())?;
    let all = groups(options.pick.rows(board));
    for group in all.iter().take(GROUPS_SHOWN) {
        let mut text = String::new();
        page.group(&mut text, group);
        out.write_all(text.as_bytes())?;
    }
    let mut text = String::new();
    if all.len() > GROUPS_SHOWN {
        let more = all.len() - GROUPS_SHOWN;
        line(&mut text, "p class=dim", &format!("{more} more kinds of ending are in the table."));
    }
    page.supposed(&mut text);
    page.pairs(&mut text);
    page.table(&mut text);
    text.push_str("</main></body></html>\n");
    out.write_all(text.as_bytes())
}

struct Page<'a> {
    board: &'a Board,
    options: &'a Options,
    clock: Clock,
    several: bool,
}

impl Page<'_> {
    /// What it is, the answer in a sentence, and what was read.
    fn head(&self, out: &mut String) {
        let (passing, answer) = head(self.board, self.options.pick);
        let beside = passing.as_deref().filter(|_| answer.is_some());
        let title = answer.as_ref().or(passing.as_ref()).map_or("", String::as_str);
        let style = include_str!("style.css");
        put(out, format_args!("<!doctype html>\n<html lang=en><head><meta charset=utf-8>"));
        put(out, format_args!("<meta http-equiv=Content-Security-Policy content=\"{POLICY}\">"));
        out.push_str("<meta name=viewport content=\"width=device-width,initial-scale=1\">");
        out.push_str("<meta name=referrer content=no-referrer>");
        put(out, format_args!("<title>goawhy: {}</title>", Escaped(title)));
        put(out, format_args!("<style>{style}</style></head><body><main>"));
        line(out, "h1", title);
        if let Some(text) = beside {
            line(out, "p", text);
        }
        for (index, facts) in self.board.captures.iter().enumerate().take(CAPTURES_SHOWN) {
            let number = if self.several { format!("{}: ", index + 1) } else { String::new() };
            let lasted = facts.times().map_or(String::new(), |(first, last)| {
                let from = super::time::rfc3339(first);
                format!(" over {} from {from}", span(last.since(first).as_secs_f64()))
            });
            let text = format!("{number}{}: {} packets{lasted}", facts.file, facts.packets);
            line(out, "p class=dim", &text);
            if let Some(damage) = &facts.damage {
                let text = format!("▲ read up to packet {}: {}", damage.packet, damage.what);
                line(out, "p class=bad", &text);
            }
            let lost = facts.skipped.iter().filter(|(skip, _)| skip.is_loss());
            for (skip, packets) in lost.take(LINES_SHOWN) {
                let text = format!("{packets} packets: {}", skip_reason(*skip));
                line(out, "p class=warn", &text);
            }
        }
        for of in self.board.clock_offsets.iter().filter(|of| of.seconds != 0.0) {
            line(out, "p class=dim", &words::clock_offset(of));
        }
        for of in self.board.faults.iter().take(LINES_SHOWN) {
            line(out, "p class=bad", &format!("▲ fault: {}", fault(of, self.several)));
        }
        if self.board.faults.len() > LINES_SHOWN {
            let more = self.board.faults.len() - LINES_SHOWN;
            line(out, "p class=bad", &format!("▲ {more} more faults: --format json has all"));
        }
        for (hit, times) in &self.board.hits {
            line(out, "p class=warn", &format!("limit: {} ({times} ×)", hit_meaning(*hit)));
        }
    }

    /// Connections that went away alike; the first one in full.
    fn group(&self, out: &mut String, group: &Group) {
        let Some(first) = group.members.first() else { return };
        let Some(row) = self.board.connections.get(*first) else { return };
        let (ink, sign) = match group.standing {
            Standing::Trouble => ("bad", "▲"),
            Standing::Scratched => ("warn", "●"),
            Standing::Orderly => ("good", "●"),
        };
        let id = row.number;
        put(out, format_args!("<section class=card id=c{id}>"));
        put(out, format_args!("<h3><span class={ink}>{sign}</span> #{id} "));
        put(out, format_args!("{}</h3>", Escaped(&format!("{} → {}", row.client, row.server))));
        line(out, "p class=dim", &self.facts(row));
        if group.members.len() > 1 {
            let names = group.members.iter().skip(1).map(|index| {
                let row = self.board.connections.get(*index);
                row.map_or_else(String::new, |row| format!("#{} {}", row.number, row.client))
            });
            let names: Vec<String> = names.collect();
            let shown = cut_short(names.iter(), NAMES_SHOWN);
            let text = format!("and {} more like it: {shown}", names.len());
            line(out, "p", &text);
            let lost =
                format!("{} cancelled or dead over all of them", count(group.victims, "request"));
            line(out, "p class=dim", &lost);
        }
        for goaway in row.own_goaways() {
            let debug = shortened(&utf8_or_escaped(&goaway.debug), DEBUG_SHOWN);
            let mut quoted =
                if debug.is_empty() { String::new() } else { format!(", “{debug}”") };
            if goaway.debug_missing > 0 {
                quoted += &format!(" and {} octets that were not kept", goaway.debug_missing);
            }
            let text = format!(
                "GOAWAY({}) of the {}, packet {}, {}, last stream {}{quoted}",
                goaway.code,
                goaway.by.name(),
                packet(goaway.stamp, self.several),
                self.clock.at(goaway.stamp.at),
                words::last_stream(goaway.last_stream_id)
            );
            line(out, "p", &text);
            self.verdict(out, &goaway.verdict);
        }
        if let Some(verdict) = &row.end_verdict {
            self.verdict(out, verdict);
        }
        self.beside(out, row);
        fall::draw(out, row, self.options.pick);
        out.push_str("</section>\n");
    }

    fn facts(&self, row: &ConnectionRow) -> String {
        let mut parts = vec![super::block::facts(row), streams(&row.streams)];
        let by = row.end.by.map_or(String::new(), |side| format!(" of the {}", side.name()));
        parts.push(match row.end.how {
            EndHow::Goaway => format!("ended by a GOAWAY{by}"),
            EndHow::Fin => format!("ended by a TCP FIN{by}"),
            EndHow::Rst => format!("ended by a TCP RST{by}"),
            EndHow::Open => "still open at the end of the capture".into(),
        });
        parts.retain(|part| !part.is_empty());
        parts.join(" · ")
    }

    fn verdict(&self, out: &mut String, verdict: &Verdict) {
        let ink = if verdict.blame == Blame::None { "good" } else { "bad" };
        line(out, &format!("p class={ink}"), &because(verdict));
        put(out, format_args!("<p><strong>{}</strong></p>", Escaped(&verdict.summary)));
        chain::draw(out, verdict, &self.clock, self.several);
        out.push_str("<dl>");
        let mut item = |label: &str, text: &str| {
            put(out, format_args!("<dt>{}</dt><dd>{}</dd>", Escaped(label), Escaped(text)));
        };
        let list = |streams: &[u32]| {
            format!("{}: {}", count(streams.len(), "stream"), cut_short(streams.iter(), IDS_SHOWN))
        };
        if let Some(timeout) = &verdict.timeout {
            item("timeout", &words::timeout(timeout));
        }
        if let Some(rule) = verdict.rule {
            item("rule", &format!("{} ({}): {}", rule.id, rule.section, rule.statement));
        }
        let cancelled = verdict.cancelled_before();
        if !cancelled.is_empty() {
            item("cancelled", &list(&cancelled));
        }
        if !verdict.maybe_processed_streams.is_empty() {
            let text = list(&verdict.maybe_processed_streams);
            item("died with it", &format!("{text}; retry only what is idempotent"));
        }
        if !verdict.safe_to_retry_streams.is_empty() {
            item("safe to retry", &list(&verdict.safe_to_retry_streams));
        }
        for (index, advice) in verdict.advice.iter().enumerate() {
            item(if index == 0 { "change" } else { "" }, advice);
        }
        if let Some(known) = &verdict.implementation {
            item("sender", &known.name);
        }
        for (index, other) in verdict.alternatives.iter().take(LINES_SHOWN).enumerate() {
            let text = format!("{} ({}): {}", other.cause, other.confidence.word(), other.against);
            item(if index == 0 { "rather than" } else { "" }, &text);
        }
        out.push_str("</dl>");
    }

    /// Cancels and broken rules of a connection.
    fn beside(&self, out: &mut String, row: &ConnectionRow) {
        let sets = row.cancellations.iter().map(|set| format!("cancelled: {}", cancellation(set)));
        let broken = row.findings.iter().map(|finding| {
            let place = packet(finding.stamp, self.several);
            let by = finding.by.name();
            format!("packet {place}, {by}: {} ({})", finding.text, finding.rule.section)
        });
        let all: Vec<String> = sets.chain(broken).collect();
        list_of(out, &all, LINES_SHOWN * 2);
    }

    /// What other timeouts would have changed, where that was asked.
    fn supposed(&self, out: &mut String) {
        for of in &self.board.what_if {
            line(out, "h2", &what_if::title(of));
            line(out, "p", &what_if::now(of));
            out.push_str("<dl>");
            for (label, text) in what_if::rows(of) {
                put(out, format_args!("<dt>{}</dt><dd>{}</dd>", Escaped(label), Escaped(&text)));
            }
            out.push_str("</dl>");
        }
    }

    /// What was measured over all connections of a pair.
    fn pairs(&self, out: &mut String) {
        if self.options.pick != Pick::default() {
            return; // it is about all connections
        }
        let board = self.board;
        let timers: Vec<String> = board.inferred_timeouts.iter().map(measured).collect();
        let answers = board.server_answers.iter();
        let answers = answers.map(|of| answered(&of.server.to_string(), &of.times));
        let all: Vec<String> = timers.into_iter().chain(answers).collect();
        titled(out, "Timeouts measured", &all);
        let hops: Vec<String> = board.hops.iter().map(link).collect();
        titled(out, "Proxies seen from both sides", &hops);
        let conflicts = board.conflicts.iter().map(|conflict| {
            let between = conflict.between.join(" and ");
            format!(
                "{} · {between}: {} {}",
                conflict.rule,
                conflict.text,
                conflict.advice.join(" ")
            )
        });
        titled(out, "Settings that do not fit together", &conflicts.collect::<Vec<_>>());
    }

    /// Every connection, a row each.
    fn table(&self, out: &mut String) {
        let all = self.options.pick == Pick::default();
        line(out, "h2", if all { "All connections" } else { "Connections that pass" });
        out.push_str("<div class=scroll><table><thead><tr><th>#<th>client<th>server<th>began");
        out.push_str("<th>lasted<th>streams<th>why</tr></thead><tbody>\n");
        let mut rows = self.options.pick.rows(self.board);
        for (_, row) in rows.by_ref().take(ROWS_SHOWN) {
            let why = match row.lead() {
                Some(verdict) => told(verdict),
                None => row.cancellations.first().map_or_else(|| "-".into(), cancellation),
            };
            let lasted = span(row.last.since(row.first).as_secs_f64());
            put(out, format_args!("<tr><td class=n>{}", row.number));
            let (client, server) = (row.client.to_string(), row.server.to_string());
            let began = self.clock.at(row.first.at);
            let opened = row.streams.opened.to_string();
            for cell in [&client, &server, &began, &lasted, &opened, &why] {
                put(out, format_args!("<td>{}", Escaped(cell)));
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</tbody></table></div>");
        let more = rows.count();
        if more > 0 {
            let text =
                format!("{more} more connections are left out: --format csv or json has all.");
            line(out, "p class=dim", &text);
        }
        line(out, "p class=dim", concat!("goawhy ", env!("CARGO_PKG_VERSION")));
    }
}

fn titled(out: &mut String, title: &str, lines: &[String]) {
    if !lines.is_empty() {
        line(out, "h2", title);
        list_of(out, lines, LINES_SHOWN * 4);
    }
}

fn list_of(out: &mut String, lines: &[String], most: usize) {
    if lines.is_empty() {
        return;
    }
    out.push_str("<ul>");
    for text in lines.iter().take(most) {
        put(out, format_args!("<li>{}", Escaped(text)));
    }
    if lines.len() > most {
        put(out, format_args!("<li class=dim>and {} more", lines.len() - most));
    }
    out.push_str("</ul>");
}

/// An element with text in it; `tag` is its name and attributes.
fn line(out: &mut String, tag: &str, text: &str) {
    let name = tag.split(' ').next().unwrap_or(tag);
    put(out, format_args!("<{tag}>{}</{name}>\n", Escaped(text)));
}

fn put(out: &mut String, text: fmt::Arguments<'_>) {
    // A string takes everything.
    let _ = out.write_fmt(text);
}

/// Text that is safe in elements and in quoted attributes, whatever it is.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in printable(self.0).chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// Nothing is loaded, run or sent; the page's own style is all there is.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
const GROUPS_SHOWN: usize = 24;
const ROWS_SHOWN: usize = 1_000;
const CAPTURES_SHOWN: usize = 8;
const NAMES_SHOWN: usize = 6;
const LINES_SHOWN: usize = 6;
const IDS_SHOWN: usize = 12;
const DEBUG_SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::sample;
    use super::*;

    fn page(board: &Board) -> String {
        let mut out = Vec::new();
        write(&mut out, board, &Options::default()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_the_wire_says_is_never_markup() {
        let mut board = sample::seed();
        let row = Arc::make_mut(&mut board.connections[0]);
        let evil = "</title><script>alert(1)</script><img src=x onerror='x' \"";
        row.goaways[0].debug = evil.as_bytes().to_vec();
        row.goaways[0].verdict.summary = evil.into();
        row.goaways[0].verdict.chain[0].text = evil.into();
        row.stream_list[0].path = Some(evil.into());
        board.captures[0].file = evil.into();
        let page = page(&board);
        assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
        assert!(page.contains("&lt;script&gt;"));
    }

    #[test]
    fn more_than_a_person_reads_is_left_out_and_said() {
        let mut board = sample::seed();
        let row = board.connections[1].clone();
        board.connections.extend(std::iter::repeat_n(row, 3_000));
        let page = page(&board);
        assert!(page.contains("2002 more connections are left out"), "{}", page.len());
        assert!(page.len() < 600_000, "{}", page.len());
    }
}
