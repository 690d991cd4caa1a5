//! The report for people: what went away, why, who has to change what; then the evidence.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::block::{Likes, Teller, facts};
use super::style::{Ink, Page, Style, count, cut_short, shortened, span};
use super::time::{Clock, TimeStyle};
use super::{Pick, fault, head, hit_meaning, skip_reason, what_if};
use crate::board::Board;
use crate::board::group::{Group, Standing, groups};
use crate::board::words::{answered, cancellation, clock_offset, link, measured, streams, told};
use crate::vocab::address::Side;

/// How the text report looks, and what it contains.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// What the terminal can show.
    pub style: Style,
    /// How times are told.
    pub time: TimeStyle,
    /// A line for each stream.
    pub streams: bool,
    /// What was picked out.
    pub pick: Pick,
}

/// Writes the report, block by block.
pub fn write(out: &mut impl Write, board: &Board, options: &Options) -> io::Result<()> {
    let clock = Clock::of(board, options.time);
    let teller = Teller { clock: &clock, several: board.captures.len() > 1 };
    let mut report = Report { out, board, options, teller, page: Page::new(options.style) };
    if options.pick.is_named() || options.streams {
        report.picked()?;
        what_if::draw(&mut report.page, &board.what_if);
        return report.flush();
    }
    report.head();
    report.captures();
    report.flush()?;
    report.connections()?;
    what_if::draw(&mut report.page, &board.what_if);
    report.flush()?;
    if options.pick.passing.is_some() {
        return Ok(()); // what follows is about all connections
    }
    report.timeouts();
    report.conflicts();
    report.hops();
    report.speakers();
    report.flush()
}

struct Report<'a, W> {
    out: &'a mut W,
    board: &'a Board,
    options: &'a Options,
    teller: Teller<'a>,
    page: Page,
}

impl<W: Write> Report<'_, W> {
    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(self.page.text.as_bytes())?;
        self.page.text.clear();
        Ok(())
    }

    /// Each connection that was asked for on its own.
    fn picked(&mut self) -> io::Result<()> {
        if !self.options.pick.is_named() {
            self.head();
        }
        self.captures();
        for (_, row) in self.options.pick.rows(self.board) {
            let id = row.number;
            self.page.blank();
            if let Some(wanted) = self.options.pick.stream {
                for stream in row.stream_list.iter().filter(|stream| stream.id == wanted) {
                    self.teller.stream_story(&mut self.page, id, row, stream);
                }
            } else {
                self.teller.block(&mut self.page, id, row, None);
                if self.options.streams {
                    self.teller.stream_table(&mut self.page, row, self.options.pick);
                }
            }
            self.flush()?;
        }
        self.flush()
    }

    /// The answer in one sentence.
    fn head(&mut self) {
        let (passing, answer) = head(self.board, self.options.pick);
        if let Some(text) = passing {
            self.page.paragraph(0, Ink::Plain, &text);
        }
        if let Some(text) = answer {
            self.page.paragraph(0, Ink::Bold, &text);
        }
    }

    /// The captures, and what they lack.
    fn captures(&mut self) {
        for (index, facts) in self.board.captures.iter().take(CAPTURES_SHOWN).enumerate() {
            let number = match self.teller.several {
                true => format!("{}: ", index.saturating_add(1)),
                false => String::new(),
            };
            let untimed = if facts.packets > 0 { " without times" } else { "" };
            let lasted = facts.times().map_or(untimed.to_owned(), |(first, last)| {
                let start = jiff::Timestamp::from_nanosecond(i128::from(first.0));
                let start = start.unwrap_or_default().strftime("%Y-%m-%d %H:%M:%SZ");
                format!(" over {} from {start}", span(last.since(first).as_secs_f64()))
            });
            let text = format!("{number}{}: {} packets{lasted}", facts.file, facts.packets);
            self.page.paragraph(0, Ink::Plain, &text);
            if let Some(damage) = &facts.damage {
                let text = format!("read up to packet {}: {}", damage.packet, damage.what);
                self.page.labelled("▲ damaged", &text);
            }
            let mut lacks = Vec::new();
            if let Some(dropped) = facts.kernel_dropped.filter(|dropped| *dropped > 0) {
                lacks.push(format!("{dropped} dropped by the kernel"));
            }
            if facts.truncated_packets > 0 {
                lacks.push(format!("{} cut by the snap length", facts.truncated_packets));
            }
            // Where nothing could be read, what is usually of no interest tells why.
            let nothing = self.board.connections.is_empty() && self.board.other_flows == 0;
            let told = facts.skipped.iter().filter(|(skip, _)| nothing || skip.is_loss());
            lacks.extend(told.map(|(skip, packets)| format!("{packets}: {}", skip_reason(*skip))));
            let label = if nothing { "not read" } else { "packets lost" };
            if !lacks.is_empty() {
                self.page.labelled(label, &cut_short(lacks.iter(), LINES_SHOWN));
            }
        }
        if self.board.captures.len() > CAPTURES_SHOWN {
            let more = self.board.captures.len().saturating_sub(CAPTURES_SHOWN);
            self.page.paragraph(0, Ink::Plain, &format!("(+{more} captures)"));
        }
        for of in self.board.clock_offsets.iter().filter(|of| of.seconds != 0.0) {
            self.page.paragraph(0, Ink::Plain, &clock_offset(of));
        }
        if let Some(keys) = self.board.key_log.filter(|keys| keys.useless_lines > 0) {
            let lines = format!("{} of {} lines are of no use", keys.useless_lines, keys.lines);
            self.page.labelled("TLS key log", &lines);
        }
        let several = self.board.captures.len() > 1;
        for of in self.board.faults.iter().take(FAULTS_SHOWN) {
            self.page.labelled("▲ fault", &fault(of, several));
        }
        if self.board.faults.len() > FAULTS_SHOWN {
            let more = self.board.faults.len().saturating_sub(FAULTS_SHOWN);
            self.page.labelled("▲ fault", &format!("(+{more}; --format json has all)"));
        }
        for (hit, times) in &self.board.hits {
            self.page.labelled("limit", &format!("{} ({times} ×)", hit_meaning(*hit)));
        }
    }

    fn connections(&mut self) -> io::Result<()> {
        let board = self.board;
        let all = groups(self.options.pick.rows(board));
        let troubled = all.iter().filter(|group| group.standing != Standing::Orderly).count();
        // Where nothing is wrong, the few that there are may be told in full.
        let blocks =
            if troubled == 0 && all.len() <= ORDERLY_BLOCKS { all.len() } else { troubled };
        let blocks = blocks.min(BLOCKS_SHOWN);
        for group in all.iter().take(blocks) {
            self.page.blank();
            self.group(group);
            self.flush()?;
        }
        let rest = all.get(blocks..).unwrap_or_default();
        if !rest.is_empty() {
            self.page.blank();
        }
        for group in rest.iter().take(ROWS_SHOWN) {
            self.group_line(group);
        }
        if rest.len() > ROWS_SHOWN {
            let more = rest.len().saturating_sub(ROWS_SHOWN);
            let text =
                format!("(+{more} kinds of ending; --connection N or --format json has all)");
            self.page.paragraph(0, Ink::Dim, &text);
        }
        self.flush()
    }

    fn group(&mut self, group: &Group) {
        let board = self.board;
        let names = self.names(group.members.get(1..).unwrap_or_default());
        let likes = Likes { names, count: group.members.len(), victims: group.victims };
        let likes = (group.members.len() > 1).then_some(&likes);
        if let Some(index) = group.members.first()
            && let Some(row) = board.connections.get(*index)
        {
            self.teller.block(&mut self.page, row.number, row, likes);
        }
    }

    fn names(&self, members: &[usize]) -> String {
        let names = members.iter().map(|index| {
            let row = self.board.connections.get(*index);
            row.map_or_else(String::new, |row| format!("#{} {}", row.number, row.client))
        });
        cut_short(names, CLIENTS_SHOWN)
    }

    /// A line or two for connections of which there is little to tell.
    fn group_line(&mut self, group: &Group) {
        let Some(first) = group.members.first() else { return };
        let Some(row) = self.board.connections.get(*first) else { return };
        let id = row.number;
        let one = group.members.len() == 1;
        let name = match one {
            true => format!("#{id}  {} → {}", row.client, row.server),
            false => format!("{} → {}", count(group.members.len(), "connection"), row.server),
        };
        let facts = match one {
            true => facts(row),
            false => row.lead().map(told).unwrap_or_default(),
        };
        self.page.title((Ink::Green, "● "), &name, &facts);
        if !one {
            let names = self.names(&group.members);
            self.page.paragraph(2, Ink::Plain, &names);
        }
        let why = match row.lead() {
            Some(verdict) if one => format!("{}: {}", told(verdict), verdict.summary),
            Some(verdict) => verdict.summary.clone(),
            None => row.cancellations.first().map_or_else(|| self.teller.end(row), cancellation),
        };
        let streams = Some(streams(&row.streams)).filter(|text| !text.is_empty());
        let streams = streams.map_or(String::new(), |text| format!(" ({text})"));
        let which = if one { String::new() } else { format!("#{id}: ") };
        self.page.paragraph(2, Ink::Plain, &format!("{which}{why}{streams}"));
    }

    /// Timers over all connections of a pair, and beside them how long the servers take.
    fn timeouts(&mut self) {
        if self.board.inferred_timeouts.is_empty() {
            return;
        }
        self.page.blank();
        self.page.paragraph(0, Ink::Bold, "Timeouts measured");
        for inferred in self.board.inferred_timeouts.iter().take(LINES_SHOWN) {
            self.page.paragraph(2, Ink::Plain, &measured(inferred));
        }
        let more = self.board.inferred_timeouts.len().saturating_sub(LINES_SHOWN);
        if more > 0 {
            self.page.paragraph(2, Ink::Dim, &format!("(+{more})"));
        }
        for answers in self.board.server_answers.iter().take(LINES_SHOWN) {
            let server = answers.server.to_string();
            self.page.paragraph(2, Ink::Plain, &answered(&server, &answers.times));
            if answers.requests.len() > 1 {
                for of in answers.requests.iter().take(CLASSES_SHOWN) {
                    self.page.paragraph(4, Ink::Plain, &answered(&of.request, &of.times));
                }
            }
            let more = answers.requests.len().saturating_sub(CLASSES_SHOWN);
            if more > 0 {
                self.page.paragraph(4, Ink::Dim, &format!("(+{} of request)", count(more, "kind")));
            }
        }
    }

    /// Proxies of which both sides were captured.
    fn hops(&mut self) {
        if self.board.hops.is_empty() {
            return;
        }
        self.page.blank();
        self.page.paragraph(0, Ink::Bold, "Proxies seen from both sides");
        for of in self.board.hops.iter().take(LINES_SHOWN) {
            self.page.paragraph(2, Ink::Plain, &link(of));
        }
        let more = self.board.hops.len().saturating_sub(LINES_SHOWN);
        if more > 0 {
            self.page.paragraph(2, Ink::Dim, &format!("(+{more})"));
        }
    }

    /// Programs recognised, and by what.
    fn speakers(&mut self) {
        let mut known: BTreeMap<(Side, String, &str), String> = BTreeMap::new();
        for row in &self.board.connections {
            let ends =
                [(Side::Client, row.client.ip.to_string()), (Side::Server, row.server.to_string())];
            for (side, end) in ends {
                if let Some(who) = row.implementations.side(side) {
                    known.entry((side, end, &who.name)).or_insert_with(|| who.known_by());
                }
            }
        }
        if known.is_empty() {
            return;
        }
        self.page.blank();
        self.page.paragraph(0, Ink::Bold, "Who speaks");
        for ((side, end, name), by) in known.iter().take(LINES_SHOWN) {
            let text = format!("{} {end}: {name} ({})", side.name(), shortened(by, BY_SHOWN));
            self.page.paragraph(2, Ink::Plain, &text);
        }
        let more = known.len().saturating_sub(LINES_SHOWN);
        if more > 0 {
            self.page.paragraph(2, Ink::Dim, &format!("(+{more})"));
        }
    }

    fn conflicts(&mut self) {
        if self.board.conflicts.is_empty() {
            return;
        }
        self.page.blank();
        self.page.paragraph(0, Ink::Bold, "Settings that do not fit together");
        for conflict in self.board.conflicts.iter().take(LINES_SHOWN) {
            let between = shortened(&conflict.between.join(" and "), BETWEEN_SHOWN);
            self.page.paragraph(2, Ink::Yellow, &format!("{} · {between}", conflict.rule));
            self.page.paragraph(4, Ink::Plain, &conflict.text);
            for advice in &conflict.advice {
                self.page.paragraph(4, Ink::Plain, &format!("- {advice}"));
            }
        }
    }
}

const BLOCKS_SHOWN: usize = 12;
const ORDERLY_BLOCKS: usize = 2;
const ROWS_SHOWN: usize = 40;
const CAPTURES_SHOWN: usize = 8;
/// Faults told one by one.
const FAULTS_SHOWN: usize = 3;
const CLIENTS_SHOWN: usize = 4;
const CLASSES_SHOWN: usize = 4;
const LINES_SHOWN: usize = 8;
const BETWEEN_SHOWN: usize = 120;
const BY_SHOWN: usize = 120;

#[cfg(test)]
mod tests;
