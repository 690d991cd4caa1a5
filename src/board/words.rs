//! How the read model is said: one wording on paper and on the screen.

use super::headline::chain;
use super::{ClockOffset, HopLink, InferredTimeout, ServerTimes, StreamCounts};
use crate::vocab::cause::Blame;
pub use crate::vocab::frame::last_stream;
use crate::vocab::hop::{Hop, Way};
use crate::vocab::text::{self, count, cut_short, span};
use crate::vocab::verdict::{Cancellation, Timeout, Verdict};

/// `client_request_timeout → late_response · certain`.
pub fn told(verdict: &Verdict) -> String {
    format!("{} · {}", chain(verdict), verdict.confidence.word())
}

/// `client_request_timeout → late_response · certain · the server has to change something`.
pub fn because(verdict: &Verdict) -> String {
    format!("{} · {}", told(verdict), must_change(verdict.blame))
}

/// Who has to change something, in words.
fn must_change(blame: Blame) -> &'static str {
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
    let timed_out = match counts.timed_out {
        0 => String::new(),
        some => format!(" ({some} with status 504)"),
    };
    let named = |(number, word): &(u64, &str)| match *word {
        "completed" => format!("{number} {word}{timed_out}"),
        _ => format!("{number} {word}"),
    };
    let parts: Vec<String> = parts.map(named).collect();
    match (counts.opened, parts.is_empty()) {
        (0, _) => String::new(),
        (opened, true) => count(opened, "stream"),
        (opened, false) => {
            let opened = count(opened, "stream");
            format!("{opened}: {}", parts.join(", "))
        }
    }
}

/// `4.00 s (client_request_timeout, ± 2.0 ms over 71 samples), set in the client`.
pub fn timeout(timeout: &Timeout) -> String {
    let value = bound(timeout.seconds, timeout.at_least);
    let over = over(timeout.spread_seconds, timeout.samples);
    format!("{value} ({}, {over}), set in the {}", timeout.kind, timeout.configured_in.name())
}

/// `at least 20.0 s`, `4.00 s`.
fn bound(seconds: f64, at_least: bool) -> String {
    format!("{}{}", if at_least { "at least " } else { "" }, span(seconds))
}

/// `± 2.0 ms over 71 samples`, `1 sample`.
fn over(spread_seconds: f64, samples: u32) -> String {
    let samples = count(samples, "sample");
    match spread_seconds > 0.0 {
        true => format!("± {} over {samples}", span(spread_seconds)),
        false => samples,
    }
}

/// One set of cancelled streams.
pub fn cancellation(set: &Cancellation) -> String {
    let hop = set.hop.as_deref().map_or(String::new(), |hop| format!("; {}", beyond(hop)));
    format!("{}; {}{hop}", summary(set, ""), numbered(&set.streams))
}

/// The same without which ones, as a sentence of its own.
pub fn cancelled(set: &Cancellation) -> String {
    let hop = set.hop.as_deref().map_or(String::new(), |hop| format!("; {}", beyond(hop)));
    format!("{}{hop}", summary(set, " cancelled"))
}

/// `12 streams by the client after 600 ms: client_request_timeout (certain)`.
fn summary(set: &Cancellation, verb: &str) -> String {
    let timer = set.timeout.as_ref().map_or(String::new(), |measured| {
        format!(" after {}", bound(measured.seconds, measured.at_least))
    });
    let (streams, by) = (count(set.streams.len(), "stream"), gave_up(set));
    format!("{streams}{verb} by the {by}{timer}: {} ({})", set.cause, set.confidence.word())
}

/// Who reset the streams of a set.
pub fn gave_up(set: &Cancellation) -> &'static str {
    let by_itself = set.hop.as_ref().is_some_and(|hop| hop.way == Way::ProxyGaveUp);
    if by_itself { "proxy, the client here," } else { set.by.name() }
}

/// `passed on by a proxy from #1, #4 (likely)`.
pub fn beyond(hop: &Hop) -> String {
    let there = places(&hop.connections, hop.count);
    let sure = hop.confidence.word();
    match hop.way {
        Way::CancelPassedOn => format!("passed on by a proxy from {there} ({sure})"),
        Way::FailurePassedOn => format!("passed on by a proxy from its server on {there} ({sure})"),
        Way::ProxyGaveUp => format!("given up by the proxy itself, which told {there} ({sure})"),
    }
}

/// `#1, #4, … (+8)`: connections by their numbers.
fn places(numbers: &[usize], count: usize) -> String {
    let numbers = numbers.iter().take(PLACES_SHOWN).map(|number| format!("#{number}"));
    let shown = numbers.collect::<Vec<_>>().join(", ");
    match count.saturating_sub(PLACES_SHOWN) {
        0 => shown,
        more => format!("{shown}, … (+{more})"),
    }
}

/// `10.0.0.2:443 → 10.0.0.3:8080: 12 failed requests on both sides (certain, by the same trace
/// id): 12 cancels passed on; 0.2 ms between both ends (median); #1, #2 → #3`.
pub fn link(link: &HopLink) -> String {
    let parts = [
        (link.cancels_passed_on, "cancel", " passed on"),
        (link.failures_passed_on, "failure", " passed on"),
        (link.given_up, "request", " given up by the proxy itself"),
    ];
    let parts = parts.iter().filter(|(number, ..)| *number > 0);
    let parts: Vec<String> =
        parts.map(|(number, what, how)| format!("{}{how}", count(*number, what))).collect();
    let clocks = link.clock_offset.filter(|of| of.seconds != 0.0);
    let clocks = clocks.map_or(String::new(), |of| format!("; {}", clock_offset(&of)));
    format!(
        "{} → {}: {} on both sides ({}, by {}): {}; {} between both ends (median){clocks}; {} → {}",
        link.front,
        link.back,
        count(link.requests, "failed request"),
        link.confidence.word(),
        link.by.words(),
        parts.join(", "),
        span(link.delay_seconds),
        places(&link.front_connections, link.front_connections.len()),
        match link.back_connections.as_slice() {
            [] => "connections in HTTP/1.1".to_owned(),
            some => places(some, some.len()),
        }
    )
}

/// `the clock of capture 2 is 7.500 s ahead, by 6 events that both captures have`.
pub fn clock_offset(of: &ClockOffset) -> String {
    let (number, events) = (of.capture.saturating_add(1), count(of.events, "event"));
    let differs = match of.seconds {
        0.0 => "agrees".to_owned(),
        behind if behind > 0.0 => format!("is {behind:.3} s behind"),
        ahead => format!("is {:.3} s ahead", -ahead),
    };
    format!("the clock of capture {number} {differs}, by {events} that both captures have")
}

/// `stream 3`, `streams 3, 5, … (+8)`.
pub fn numbered(streams: &[u32]) -> String {
    let noun = if streams.len() == 1 { "stream" } else { "streams" };
    format!("{noun} {}", cut_short(streams.iter(), STREAMS_SHOWN))
}

/// `client_request_timeout 4.00 s (± 2.0 ms over 71 samples), set in the client · ...`.
pub fn measured(inferred: &InferredTimeout) -> String {
    let value = bound(inferred.seconds, inferred.at_least);
    let over = over(inferred.spread_seconds, inferred.samples);
    let client = inferred.client.map_or("any client".into(), |client| client.to_string());
    let requests = match inferred.requests.is_empty() {
        true => String::new(),
        false => format!(" for {}", cut_short(inferred.requests.iter(), REQUESTS_SHOWN)),
    };
    format!(
        "{} {value} ({over}){requests}, set in the {} · {client} → {} · {}",
        inferred.kind,
        inferred.configured_in.name(),
        inferred.server,
        inferred.confidence.word()
    )
}

/// `127.0.0.1:80: answers in 8.0 ms (median of 15), 99 % within 20 ms, at most 31 ms; ...`: of a
/// server, or of one kind of its requests.
pub fn answered(what: &str, answers: &ServerTimes) -> String {
    let number = |count: u64, what| text::count(count, what);
    let mut text = format!("{what}:");
    match answers.count {
        0 => {}
        1 => text.push_str(&format!(" one answer, after {}", span(answers.max))),
        some => text.push_str(&format!(
            " answers in {} (median of {some}), 99 % within {}, at most {}",
            span(answers.median),
            span(answers.p99),
            span(answers.max)
        )),
    }
    if answers.late > 0 {
        let late = number(answers.late, "answer");
        let (median, most) = (span(answers.late_median), span(answers.late_max));
        let and = if answers.count > 0 { ";" } else { "" };
        let most = match answers.late {
            1 => most,
            _ => format!("{median} (median), at most {most}"),
        };
        text.push_str(&format!("{and} {late} too late, after {most}"));
    }
    text
}

const REQUESTS_SHOWN: usize = 4;
const PLACES_SHOWN: usize = 4;
const STREAMS_SHOWN: usize = 8;
