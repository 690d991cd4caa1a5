//! How the read model is said: one wording on paper and on the screen.

use super::headline::chain;
use super::{InferredTimeout, ServerAnswers, StreamCounts};
use crate::vocab::cause::Blame;
use crate::vocab::text::{self, count, cut_short, span};
use crate::vocab::verdict::{Cancellation, ConfiguredIn, Timeout, Verdict};

/// `certain · client_request_timeout → late_response · the server has to change something`.
pub fn because(verdict: &Verdict) -> String {
    format!("{} · {} · {}", chain(verdict), verdict.confidence.word(), must_change(verdict.blame))
}

/// Who has to change something, in words.
pub fn must_change(blame: Blame) -> &'static str {
    match blame {
        Blame::Client => "the client has to change something",
        Blame::Server => "the server has to change something",
        Blame::Network => "something between client and server has to change",
        Blame::None => "nobody has to change anything",
        Blame::Unknown => "the capture cannot tell who has to change something",
    }
}

/// `131 streams: 15 completed, 72 cancelled, 44 unfinished`.
pub fn streams(counts: &StreamCounts) -> String {
    let parts = [
        (counts.completed, "completed"),
        (counts.cancelled, "cancelled"),
        (counts.reset, "reset"),
        (counts.refused, "refused"),
        (counts.unfinished, "unfinished"),
    ];
    let parts = parts.iter().filter(|(number, _)| *number > 0);
    let parts: Vec<String> = parts.map(|(number, word)| format!("{number} {word}")).collect();
    match (counts.opened, parts.is_empty()) {
        (0, _) => String::new(),
        (opened, true) => count(usize::try_from(opened).unwrap_or(usize::MAX), "stream"),
        (opened, false) => {
            let opened = count(usize::try_from(opened).unwrap_or(usize::MAX), "stream");
            format!("{opened}: {}", parts.join(", "))
        }
    }
}

/// `4.00 s (client_request_timeout, ± 2.0 ms over 71 samples), set in the client`.
pub fn timeout(timeout: &Timeout) -> String {
    let bound = if timeout.at_least { "at least " } else { "" };
    let spread = if timeout.spread_seconds > 0.0 {
        format!("± {} over ", span(timeout.spread_seconds))
    } else {
        String::new()
    };
    let samples = count(usize::try_from(timeout.samples).unwrap_or(usize::MAX), "sample");
    let place = match timeout.configured_in {
        ConfiguredIn::Client => "client",
        ConfiguredIn::Server => "server",
        ConfiguredIn::Proxy => "proxy",
    };
    let value = span(timeout.seconds);
    format!("{bound}{value} ({}, {spread}{samples}), set in the {place}", timeout.kind)
}

/// One set of cancelled streams.
pub fn cancellation(set: &Cancellation) -> String {
    let what = format!("{} by the {}", count(set.streams.len(), "stream"), set.by.name());
    let timer = set.timeout.as_ref().map_or(String::new(), |measured| {
        let bound = if measured.at_least { "at least " } else { "" };
        format!(" after {bound}{}", span(measured.seconds))
    });
    let which = cut_short(set.streams.iter(), STREAMS_SHOWN);
    format!("{what}{timer}: {} ({}); streams {which}", set.cause, set.confidence.word())
}

/// `2^31-1` or the number.
pub fn last_stream(id: u32) -> String {
    if id == LAST_STREAM_MAX { "2^31-1".into() } else { id.to_string() }
}

/// `client_request_timeout 4.00 s (± 2.0 ms over 71 samples), set in the client · ...`.
pub fn measured(inferred: &InferredTimeout) -> String {
    let bound = if inferred.at_least { "at least " } else { "" };
    let spread = match inferred.spread_seconds > 0.0 {
        true => format!("± {} over ", span(inferred.spread_seconds)),
        false => String::new(),
    };
    let samples = count(usize::try_from(inferred.samples).unwrap_or(usize::MAX), "sample");
    let place = match inferred.configured_in {
        ConfiguredIn::Client => "client",
        ConfiguredIn::Server => "server",
        ConfiguredIn::Proxy => "proxy",
    };
    let client = inferred.client.map_or("any client".into(), |client| client.to_string());
    let requests = match inferred.requests.is_empty() {
        true => String::new(),
        false => format!(" · {}", cut_short(inferred.requests.iter(), REQUESTS_SHOWN)),
    };
    format!(
        "{} {bound}{} ({spread}{samples}), set in the {place} · {client} → {} · {}{requests}",
        inferred.kind,
        span(inferred.seconds),
        inferred.server,
        inferred.confidence.word()
    )
}

/// `127.0.0.1:80 answers in 8.0 ms (median of 15), at most 31 ms; ...`.
pub fn answered(answers: &ServerAnswers) -> String {
    let number = |count: u64, what| text::count(usize::try_from(count).unwrap_or(usize::MAX), what);
    let times = &answers.times;
    let mut text = answers.server.to_string();
    if times.count > 0 {
        text.push_str(&format!(
            " answers in {} (median of {}), 99 % within {}, at most {}",
            span(times.median),
            number(times.count, "answer"),
            span(times.p99),
            span(times.max)
        ));
    }
    if times.late > 0 {
        let late = number(times.late, "answer");
        let (median, most) = (span(times.late_median), span(times.late_max));
        let and = if times.count > 0 { ";" } else { "" };
        text.push_str(&format!("{and} {late} too late, after {median} (median), at most {most}"));
    }
    text
}

/// Names every stream, so that it says nothing (RFC 9113 section 6.8).
pub const LAST_STREAM_MAX: u32 = 0x7fff_ffff;
const REQUESTS_SHOWN: usize = 4;
const STREAMS_SHOWN: usize = 8;
