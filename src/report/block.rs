//! One connection, told: who ended it and why, the chain, the victims, what to change.

use super::style::{Ink, Page, count, cut_short, packet, shortened, span};
use super::time::Clock;
use super::{hit_meaning, timeline};
use crate::board::words::{
    because, cancellation, gave_up, last_stream, numbered, streams, timeout,
};
use crate::board::{ConnectionRow, EndHow, GoawayRow, TlsRow};
use crate::vocab::address::Side;
use crate::vocab::cause::Blame;
use crate::vocab::flow::HalfNotes;
use crate::vocab::frame::{LAST_STREAM_MAX, Transport};
use crate::vocab::text::utf8_or_escaped;
use crate::vocab::time::Stamp;
use crate::vocab::verdict::{Cancellation, Verdict};

/// What the block's parts share.
pub(super) struct Teller<'a> {
    pub(super) clock: &'a Clock,
    /// Whether packet numbers need their capture's.
    pub(super) several: bool,
}

/// What the connections told together with this one are.
pub(super) struct Likes {
    /// `#3 10.0.0.1:5, ... (+12)`.
    pub(super) names: String,
    /// How many they are, this one included.
    pub(super) count: usize,
    /// Requests cancelled or dead over all of them.
    pub(super) victims: usize,
}

impl Teller<'_> {
    /// The whole block.
    pub(super) fn block(
        &self,
        page: &mut Page,
        id: usize,
        row: &ConnectionRow,
        likes: Option<&Likes>,
    ) {
        self.header(page, id, row);
        if let Some(likes) = likes {
            let lost = match likes.victims {
                0 => format!("no request was lost on these {}", likes.count),
                some => {
                    format!("{} cancelled or dead on these {}", count(some, "request"), likes.count)
                }
            };
            let more = likes.count.saturating_sub(1);
            let text = format!("{more} more like it: {}; {lost}", likes.names);
            page.labelled("also", &text);
        }
        let told = row.lead();
        let own = row.own_goaways();
        let several_verdicts = own.count() > 1;
        for goaway in row.own_goaways() {
            page.blank();
            if several_verdicts {
                page.paragraph(2, Ink::Bold, &self.goaway(goaway));
            }
            self.verdict(page, row, &goaway.verdict, Some(goaway));
        }
        self.followers(page, row);
        if let Some(verdict) = row.end_verdict.as_ref() {
            page.blank();
            self.verdict(page, row, verdict, None);
        }
        if told.is_none() && !(row.cancellations.is_empty() && row.findings.is_empty()) {
            page.blank();
        }
        for line in cancellations(&row.cancellations, told) {
            page.labelled("cancelled", &line);
        }
        self.findings(page, row);
        self.doubts(page, row);
    }

    /// Endpoints, times, streams, and how it ended.
    fn header(&self, page: &mut Page, id: usize, row: &ConnectionRow) {
        let troubled = row.lead().is_some_and(|verdict| verdict.blame != Blame::None);
        let (sign, ink) = if troubled { ("▲ ", Ink::Red) } else { ("● ", Ink::Green) };
        let name = format!("#{id}  {} → {}", row.client, row.server);
        page.title((ink, sign), &name, &facts(row));
        let streams = streams(&row.streams);
        if !streams.is_empty() {
            page.paragraph(2, Ink::Plain, &streams);
        }
        page.paragraph(2, Ink::Plain, &self.end(row));
    }

    /// How a connection ended, and by whom.
    pub(super) fn end(&self, row: &ConnectionRow) -> String {
        let goaway = row.goaways.first();
        if let (EndHow::Goaway, Some(goaway)) = (row.end.how, goaway) {
            return format!("ended by {}", self.goaway(goaway));
        }
        let by = row.end.by.map_or(String::new(), |side| format!(" of the {}", side.name()));
        let place = row.end.stamp.map_or(String::new(), |stamp| {
            let packet = packet(stamp, self.several);
            format!(", packet {packet}, {}", self.clock.at(stamp.at))
        });
        match row.end.how {
            EndHow::Goaway => format!("ended by a GOAWAY{by}{place}"),
            EndHow::Fin => format!("ended by a TCP FIN{by}{place}"),
            EndHow::Rst => format!("ended by a TCP RST{by}{place}"),
            EndHow::Open => "still open at the end of the capture".into(),
        }
    }

    /// `GOAWAY(PROTOCOL_ERROR) of the server, packet 399, +10.071 s, last stream 5, "why"`.
    fn goaway(&self, goaway: &GoawayRow) -> String {
        let mut text = format!(
            "GOAWAY({}) of the {}, packet {}, {}, last stream {}",
            goaway.code,
            goaway.by.name(),
            packet(goaway.stamp, self.several),
            self.clock.at(goaway.stamp.at),
            last_stream(goaway.last_stream_id)
        );
        if !goaway.debug.is_empty() {
            let debug = shortened(&utf8_or_escaped(&goaway.debug), DEBUG_SHOWN);
            text.push_str(&format!(", \"{debug}\""));
        }
        if goaway.debug_missing > 0 {
            text.push_str(&format!(" and {} octets that were not kept", goaway.debug_missing));
        }
        text
    }

    fn followers(&self, page: &mut Page, row: &ConnectionRow) {
        let follows = row.goaways.iter().filter(|goaway| goaway.follows.is_some());
        let lines: Vec<String> = follows.map(|goaway| self.goaway(goaway)).collect();
        for line in lines.iter().take(LINES_SHOWN) {
            page.labelled("then", line);
        }
        if lines.len() > LINES_SHOWN {
            page.labelled("", &format!("(+{})", lines.len().saturating_sub(LINES_SHOWN)));
        }
    }

    fn verdict(
        &self,
        page: &mut Page,
        row: &ConnectionRow,
        verdict: &Verdict,
        goaway: Option<&GoawayRow>,
    ) {
        let ink = if verdict.blame == Blame::None { Ink::Green } else { Ink::Red };
        page.paragraph(2, ink, &because(verdict));
        page.paragraph(2, Ink::Bold, &verdict.summary);
        if !verdict.chain.is_empty() {
            page.blank();
            timeline::draw(page, &verdict.chain, self.clock, self.several);
        }
        let before = page.text.len();
        page.blank();
        if let Some(measured) = &verdict.timeout {
            page.labelled("timeout", &timeout(measured));
        }
        late(page, verdict);
        if let Some(rule) = verdict.rule {
            page.labelled("rule", &format!("{} ({}): {}", rule.id, rule.section, rule.statement));
        }
        victims(page, verdict, goaway, &row.cancellations);
        for (index, advice) in verdict.advice.iter().enumerate() {
            page.labelled(if index == 0 { "change" } else { "" }, &format!("- {advice}"));
        }
        if let Some(known) = &verdict.implementation {
            page.labelled("sender", &format!("{} ({})", known.name, known_by(&known.known_by())));
        }
        for (index, other) in verdict.alternatives.iter().take(LINES_SHOWN).enumerate() {
            let text = format!("{} ({}): {}", other.cause, other.confidence.word(), other.against);
            page.labelled(if index == 0 { "rather than" } else { "" }, &text);
        }
        if page.text.len() == before.saturating_add(1) {
            page.text.truncate(before);
        }
    }

    fn findings(&self, page: &mut Page, row: &ConnectionRow) {
        for (index, finding) in row.findings.iter().take(LINES_SHOWN).enumerate() {
            let text = format!(
                "packet {}, {}: {} ({}, {})",
                packet(finding.stamp, self.several),
                finding.by.name(),
                finding.text,
                finding.rule.id,
                finding.rule.section
            );
            page.labelled(if index == 0 { "rules broken" } else { "" }, &text);
        }
        if row.findings.len() > LINES_SHOWN {
            page.labelled("", &format!("(+{})", row.findings.len().saturating_sub(LINES_SHOWN)));
        }
    }

    /// What the capture lacks of this connection.
    fn doubts(&self, page: &mut Page, row: &ConnectionRow) {
        let mut doubts = Vec::new();
        for side in [Side::Client, Side::Server] {
            let lost = *row.lost_bytes.side(side);
            if lost > 0 {
                let places = missing(row.notes.side(side));
                doubts.push(format!("{lost} octets of the {} are missing{places}", side.name()));
            }
        }
        if row.dropped_meanwhile > 0 {
            let packets = usize::try_from(row.dropped_meanwhile).unwrap_or(usize::MAX);
            let were = if packets == 1 { "was" } else { "were" };
            let packets = count(packets, "packet");
            doubts.push(format!("{packets} {were} dropped by the capture while it ended"));
        }
        if row.forgotten {
            doubts.push("it was forgotten for memory while it was open".into());
        }
        if row.joined_midway {
            doubts.push("it was already open when the capture began".into());
        }
        if let Some(side) = row.one_sided {
            let half = row.tls.as_ref().filter(|tls| tls.decrypted && tls.why_not.is_some());
            let verb = if half.is_some() { "decrypted" } else { "captured" };
            doubts.push(format!("only the {} was {verb}", side.name()));
        }
        let half =
            row.tls.as_ref().filter(|tls| tls.decrypted).and_then(|tls| tls.why_not.as_ref());
        doubts.extend(half.and_then(|why| why.split(';').next()).map(str::to_owned));
        doubts.extend(row.hits.iter().map(|hit| hit_meaning(*hit).to_owned()));
        if !doubts.is_empty() {
            page.labelled("doubts", &doubts.join("; "));
        }
    }
}

/// Duration, how it began, TLS.
pub(super) fn facts(row: &ConnectionRow) -> String {
    let mut parts = Vec::new();
    if row.last.at != row.first.at {
        parts.push(format!("lasted {}", span(row.last.since(row.first).as_secs_f64())));
    }
    match row.transport {
        Transport::Upgrade => parts.push("h2c upgrade".into()),
        Transport::PriorKnowledge | Transport::Tls | Transport::Unknown => {}
    }
    if let Some(tls) = &row.tls {
        let known = [&tls.version, &tls.sni, &tls.alpn].into_iter().flatten();
        let mut known: Vec<String> = known.cloned().collect();
        if tls.alpn.is_none() && !tls.offered.is_empty() {
            known.push(format!("offers {}", tls.offered.join(", ")));
        }
        parts.push(if known.is_empty() { "TLS".into() } else { known.join(" ") });
        if !tls.decrypted {
            // What would help stands in the advice.
            let why = tls.why_not.as_deref().and_then(|why| why.split(';').next());
            parts.push(why.map_or("not decrypted".into(), |why| format!("not decrypted: {why}")));
        }
        parts.extend(truncated(row, tls));
    } else if !row.http2 {
        parts.push("never became HTTP/2".into());
    }
    parts.join(" · ")
}

/// Of TLS that was read: who closed without a word of TLS (RFC 8446 section 6.1). What the capture
/// lacks of its octets may have held one.
fn truncated(row: &ConnectionRow, tls: &TlsRow) -> Option<String> {
    let by = row.end.by.filter(|_| tls.decrypted && row.end.how == EndHow::Fin)?;
    let sent = if by == Side::Client { &tls.client } else { &tls.server };
    let whole = *row.lost_bytes.side(by) == 0;
    (whole && sent.alert.is_none()).then(|| format!("no close_notify of the {}", by.name()))
}

/// ` (1448 between packets 12 and 17, 200 in packet 20 and 3 more places)`.
fn missing(notes: &HalfNotes) -> String {
    let shown = notes.missing.iter().take(PLACES_SHOWN);
    let shown: Vec<String> = shown.map(|place| format!("{} {place}", place.octets)).collect();
    match notes.missing.as_slice() {
        [] => return String::new(),
        [only] if notes.places() == 1 => return format!(" {only}"),
        _ => {}
    }
    let more = match notes.places().saturating_sub(shown.len() as u64) {
        0 => String::new(),
        1 => " and 1 more place".into(),
        more => format!(" and {more} more places"),
    };
    format!(" ({}{more})", shown.join(", "))
}

/// The sets of cancelled streams that the verdict has not told of, many of one kind in one line.
fn cancellations(sets: &[Cancellation], told: Option<&Verdict>) -> Vec<String> {
    let mut kinds: Vec<Vec<&Cancellation>> = Vec::new();
    for set in sets.iter().filter(|set| !is_told(set, told)) {
        let kind = |other: &Cancellation| (other.cause, other.by, other.confidence.word());
        match kinds.iter_mut().find(|sets| sets.iter().all(|other| kind(other) == kind(set))) {
            Some(sets) => sets.push(set),
            None => kinds.push(vec![set]),
        }
    }
    let mut lines = Vec::new();
    for sets in kinds {
        match sets.first().filter(|_| sets.len() > SETS_SHOWN) {
            Some(first) => lines.push(together(first, &sets)),
            None => lines.extend(sets.into_iter().map(cancellation)),
        }
    }
    lines
}

/// Many sets of one kind.
fn together(first: &Cancellation, sets: &[&Cancellation]) -> String {
    let mut streams: Vec<u32> = sets.iter().flat_map(|set| set.streams.iter().copied()).collect();
    streams.sort_unstable();
    let seconds = sets.iter().filter_map(|set| Some(set.timeout.as_ref()?.seconds));
    let least = seconds.clone().fold(f64::INFINITY, f64::min);
    let after = match least.is_finite() {
        true => format!(" after {} to {}", span(least), span(seconds.fold(0.0, f64::max))),
        false => String::new(),
    };
    format!(
        "{} by the {} in {} sets{after}: {} ({}); {}",
        count(streams.len(), "stream"),
        gave_up(first),
        sets.len(),
        first.cause,
        first.confidence.word(),
        numbered(&streams)
    )
}

/// What an implementation is recognised by: a description, or a row of the table of texts.
fn known_by(fingerprint: &str) -> String {
    match fingerprint.contains(' ') {
        true => fingerprint.to_owned(),
        false => format!("by its debug text, fingerprint {fingerprint}"),
    }
}

/// Whether the verdict has told of these streams already.
fn is_told(set: &Cancellation, verdict: Option<&Verdict>) -> bool {
    verdict.is_some_and(|verdict| {
        let among = |stream: &&u32| verdict.cancelled_streams.binary_search(stream).is_ok();
        let shared = set.streams.iter().filter(among).count();
        let same = verdict.cause == set.cause && !verdict.cancelled_streams.is_empty();
        same || shared.saturating_mul(2) > set.streams.len()
    })
}

fn late(page: &mut Page, verdict: &Verdict) {
    let Some(late) = &verdict.late_answer else { return };
    let after = late
        .answered_after
        .map_or(String::new(), |after| format!(" was answered {} after its request", span(after)));
    let packets = match (late.request.map(Stamp::packet), late.reset.map(Stamp::packet)) {
        (Some(request), Some(reset)) => format!(" (packet {request}; reset in packet {reset})"),
        (None, Some(reset)) => format!(" (reset in packet {reset})"),
        (Some(request), None) => format!(" (packet {request})"),
        (None, None) => String::new(),
    };
    page.labelled("late answer", &format!("stream {}{after}{packets}", late.stream));
}

fn victims(page: &mut Page, verdict: &Verdict, goaway: Option<&GoawayRow>, sets: &[Cancellation]) {
    let list = |streams: &[u32]| cut_short(streams.iter(), STREAMS_SHOWN);
    let (cancelled, safe) = (verdict.cancelled_before(), &verdict.safe_to_retry_streams);
    let maybe = &verdict.maybe_processed_streams;
    if !cancelled.is_empty() {
        let number = count(cancelled.len(), "stream");
        // What reset them, where the verdict's own cause does not say it.
        let most = sets.iter().max_by_key(|set| set.streams.len());
        let most = most.filter(|set| set.cause != verdict.cause && is_told(set, Some(verdict)));
        let why = most
            .map_or(String::new(), |set| format!(" ({}, {})", set.cause, set.confidence.word()));
        page.labelled("cancelled", &format!("{number}{why}: {}", list(&cancelled)));
    }
    if !maybe.is_empty() {
        let number = count(maybe.len(), "request");
        let text = format!(
            "{number} that may have been processed, retry only what is idempotent: {}",
            list(maybe)
        );
        page.labelled("died with it", &text);
    }
    if !safe.is_empty() {
        let number = count(safe.len(), "request");
        let text = format!("{number} never processed, safe to send again: {}", list(safe));
        page.labelled("safe to retry", &text);
    } else if !maybe.is_empty() {
        let silent = |goaway: &GoawayRow| {
            goaway.by == Side::Server && goaway.last_stream_id == LAST_STREAM_MAX
        };
        let silent = goaway.is_some_and(silent);
        let why = if silent { ": last stream 2^31-1 does not say what was processed" } else { "" };
        page.labelled("safe to retry", &format!("none{why}"));
    }
}

const DEBUG_SHOWN: usize = 160;
const STREAMS_SHOWN: usize = 8;
const PLACES_SHOWN: usize = 3;
const LINES_SHOWN: usize = 6;
/// More sets of cancelled streams of one kind are told in one line.
const SETS_SHOWN: usize = 3;
