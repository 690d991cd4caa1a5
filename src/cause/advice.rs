//! What to change: which setting, on which side, to what value.
//!
//! Written last, when the neighbours have been heard: what a verdict says decides what is advised.

use std::time::Duration;

use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause};
use crate::vocab::error_code::ErrorCode;
use crate::vocab::frame::LAST_STREAM_MAX;
use crate::vocab::pair::InferredTimeout;
use crate::vocab::verdict::{Cancellation, ConfiguredIn, Timeout, Verdict};

use super::implementation;
use super::known_text::{self, KnownText};
use super::scene::spoken;
use super::timeouts::near;

/// Seconds above the slowest answer, between the 2 and 5 that the field advises.
const MARGIN: f64 = 3.0;

/// Causes that are a broken rule, or the charge of one.
const VIOLATIONS: &[Cause] = &[
    Cause::ProtocolViolation,
    Cause::FlowControlViolation,
    Cause::FrameSizeViolation,
    Cause::CompressionError,
    Cause::StreamClosedViolation,
];

/// What advice depends on beside the verdict.
#[derive(Clone, Copy, Debug, Default)]
pub struct Circumstances<'a> {
    /// Who ended the connection.
    pub by: Option<Side>,
    /// Code and last stream identifier of the GOAWAY that the verdict is about.
    pub goaway: Option<(ErrorCode, u32)>,
    /// The client's name, where it is recognised.
    pub client: Option<&'a str>,
    /// The server's name, where it is recognised.
    pub server: Option<&'a str>,
    /// The slowest answer that was delivered by this server.
    pub slowest: Option<Duration>,
    /// The slowest answer of this server to a stream that was gone.
    pub latest: Option<Duration>,
    /// The client's request timeouts, where they differ by the kind of request.
    pub kinds: &'a [&'a InferredTimeout],
}

/// Whole seconds, a margin above the slowest answer.
pub fn with_margin(slowest: Duration) -> Duration {
    Duration::from_secs((slowest.as_secs_f64() + MARGIN).ceil() as u64)
}

/// ` (Go net/http: http.Server.IdleTimeout)`, where both are known.
pub fn by_setting(setting: Option<&str>, name: Option<&str>) -> String {
    match (setting, name) {
        (Some(setting), Some(name)) => format!(" ({name}: {setting})"),
        _ => String::new(),
    }
}

/// Advice for a verdict, most important first.
pub fn advice(verdict: &Verdict, of: &Circumstances<'_>) -> Vec<String> {
    let mut advice = vec![first(verdict, of)];
    advice.retain(|text| !text.is_empty());
    match verdict.trigger {
        Cause::LateResponse => advice.push(
            "Server: check that the response is still open before writing to it, and stop the \
             work when the client is gone."
                .to_string(),
        ),
        Cause::RapidResetProtection if verdict.cause != Cause::RapidResetProtection => {
            let limit = of.server.and_then(implementation::reset_limit);
            advice.push(format!(
                "Server: raise the limit on resets{} only after the timeouts are cured; spread \
                 the load over more connections.",
                by_setting(limit.map(|limit| limit.setting), of.server)
            ));
        }
        _ => {}
    }
    advice.extend(known(verdict, of));
    advice.extend(retry(verdict, of));
    advice
}

/// What the cause itself asks for.
fn first(verdict: &Verdict, of: &Circumstances<'_>) -> String {
    let explained = || super::explain(verdict.cause).map_or("", |about| about.what_to_do).into();
    let by = of.by.unwrap_or(Side::Server);
    match verdict.cause {
        Cause::KeepalivePingTimeout | Cause::AbruptClose | Cause::ClientRequestTimeout
            if verdict.blame == Blame::Network =>
        {
            "Look at the network between client and server: lost route, firewall, host that went \
             away. TCP repeated octets and nothing came back."
                .into()
        }
        Cause::ClientRequestTimeout => {
            let late = verdict.late_answer.as_ref().and_then(|late| late.answered_after);
            client_timeout(verdict.timeout.as_ref(), late.map(seconds).max(of.latest), of)
        }
        Cause::IdleTimeout => idle(verdict, of),
        Cause::KeepalivePingTimeout => silent(verdict, by),
        Cause::GracefulShutdown if verdict.blame == Blame::Server => {
            "Server: finish the running requests before the process ends: a longer grace period."
                .into()
        }
        Cause::GracefulShutdown => drained(verdict, of),
        Cause::PrefaceMissing if verdict.blame == Blame::Server => {
            "This port of the server speaks HTTP/1.1: use HTTP/1.1, or TLS with ALPN, or enable \
             cleartext HTTP/2 (h2c) on it."
                .into()
        }
        Cause::ClientShutdown
            if by == Side::Client && !verdict.maybe_processed_streams.is_empty() =>
        {
            "Read the client's log: its requests were still running. It may have given them up (a \
             timeout, a cancel), been stopped, or crashed."
                .into()
        }
        Cause::AbruptClose => format!(
            "Look at the {}, which closed: exit, crash, out-of-memory kill, restart{}.",
            by.name(),
            match verdict.chain.last().is_some_and(|end| end.what == "RST") {
                true => "; a firewall or load balancer between the two can send a RST as well",
                false => "",
            }
        ),
        _ if verdict.rule.is_some() => broken(verdict),
        _ if VIOLATIONS.contains(&verdict.cause) => format!(
            "Look at the {}: it accuses its peer, but no broken rule was found before that.",
            by.name()
        ),
        Cause::Unknown if of.goaway.is_none() => {
            "Look into the log of the side that closed, at that second.".into()
        }
        Cause::Unknown => "Look into the log of the GOAWAY's sender, at that second.".into(),
        _ => explained(),
    }
}

/// What to change about cancelled streams, where their cause says it. What a proxy passed on is
/// told where it came from.
pub fn of_cancelled(set: &Cancellation, of: &Circumstances<'_>) -> Option<String> {
    let own = set.cause == Cause::ClientRequestTimeout && set.hop.is_none();
    own.then(|| client_timeout(set.timeout.as_ref(), of.latest, of))
}

/// `slowest` is how long the server's slowest answer took that came too late.
fn client_timeout(
    timeout: Option<&Timeout>,
    slowest: Option<Duration>,
    of: &Circumstances<'_>,
) -> String {
    let timeout = timeout.filter(|timeout| !timeout.at_least).map(|timeout| timeout.seconds);
    let now = timeout.map(|timeout| format!(", now {},", spoken(seconds(timeout))));
    let now = now.unwrap_or_default();
    // Where kinds of request have timeouts of their own, this is one of them.
    let same =
        |timer: &&&InferredTimeout| timeout.is_some_and(|timeout| near(timer.seconds, timeout));
    let kind = of.kinds.iter().find(same).map(|timer| timer.requests.join(", "));
    let now = kind.map(|kind| format!(" of {kind}{now}")).unwrap_or(now);
    let setting =
        by_setting(of.client.and_then(implementation::request_timeout_setting), of.client);
    match slowest {
        Some(slowest) => format!(
            "Client: raise the request timeout{now} to {} or more{setting}: the server's slowest \
             answer ({} seen) plus a margin of 2 to 5 s.",
            spoken(with_margin(slowest)),
            spoken(slowest)
        ),
        None => format!(
            "Client: raise the request timeout{now} above the server's slowest answer plus 2 to 5 \
             s{setting}; or server: answer faster."
        ),
    }
}

fn idle(verdict: &Verdict, of: &Circumstances<'_>) -> String {
    let limit = verdict.timeout.as_ref().map(|timeout| seconds(timeout.seconds));
    let in_client = verdict
        .timeout
        .as_ref()
        .is_some_and(|timeout| timeout.configured_in == ConfiguredIn::Client);
    let setting = by_setting(of.server.and_then(implementation::idle_setting), of.server);
    let Some(limit) = limit.filter(|_| !in_client) else {
        return "Nothing, as long as no request is lost: the side that opens requests should \
                close idle connections first."
            .into();
    };
    if verdict.blame == Blame::Server {
        let slowest = of.slowest.max(of.latest).unwrap_or_default().max(limit);
        return format!(
            "Server: raise the idle timeout, now {}, above its slowest answer plus 2 to 5 s: {} \
             or more{setting}.",
            spoken(limit),
            spoken(with_margin(slowest))
        );
    }
    format!(
        "Nothing, as long as no request is lost. A request that crosses such a close fails: let \
         the client close idle connections first, before {}, or raise the server's idle \
         timeout{setting}.",
        spoken(limit)
    )
}

fn silent(verdict: &Verdict, by: Side) -> String {
    let peer = by.other().name();
    let now = verdict.timeout.as_ref().map(|timeout| seconds(timeout.seconds));
    let now = now.map(|now| format!(" ({} now)", spoken(now))).unwrap_or_default();
    format!(
        "Find out why the {peer} was silent: stopped or overloaded process, dead host, lost \
         route. Raise the keepalive timeout{now} of the {} only if the {peer} stalls for good \
         reasons.",
        by.name()
    )
}

fn drained(verdict: &Verdict, of: &Circumstances<'_>) -> String {
    let last = of.goaway.map(|(_, last)| last);
    match last {
        None if verdict.maybe_processed_streams.is_empty() => {
            "Nothing, if the server was meant to stop; it lost no request.".into()
        }
        None => "Server: before it stops, let it send GOAWAY and finish what is running; without \
                 a GOAWAY no client knows what was processed."
            .into(),
        Some(_) if verdict.safe_to_retry_streams.is_empty() => {
            "Nothing, if the server was meant to stop: clients open a new connection.".into()
        }
        Some(LAST_STREAM_MAX) => {
            "Nothing on the server. Client: send the refused requests again on \
                                  a new connection."
                .into()
        }
        Some(last) => format!(
            "Nothing on the server. Client: send the requests above stream {last} again on a new \
             connection; they were not processed."
        ),
    }
}

/// A rule was broken: by whom, where.
fn broken(verdict: &Verdict) -> String {
    let Some(rule) = verdict.rule else { return String::new() };
    let about = super::explain(verdict.cause);
    let own = about.filter(|_| !VIOLATIONS.contains(&verdict.cause));
    if let Some(own) = own {
        return own.what_to_do.into();
    }
    let who = match verdict.blame {
        Blame::Client => "client",
        Blame::Server => "server",
        Blame::Network | Blame::None | Blame::Unknown => "endpoint that sent it",
    };
    format!("Fix the {who}: it broke {} ({}).", rule.section, rule.id)
}

/// What is known of the implementation whose text the GOAWAY carried, where it is about this.
fn known(verdict: &Verdict, of: &Circumstances<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    let recognised = verdict.implementation.as_ref().filter(|_| of.goaway.is_some());
    let row = recognised.and_then(|known| known_text::by_id(&known.fingerprint));
    let Some(row) = row.filter(|row| {
        let cause = row.cause();
        cause == Some(verdict.cause) || cause == Some(verdict.trigger)
    }) else {
        return lines;
    };
    lines.extend(about(row));
    if !row.shown_as.is_empty() {
        let shown: Vec<String> = row.shown_as.iter().map(|text| format!("\"{text}\"")).collect();
        lines.push(format!("The client's log says {}.", shown.join(" or ")));
    }
    lines
}

/// `h2o 2.x: the timeout is short by default. Its setting is http2-idle-timeout (default 10 s).`
fn about(row: &KnownText) -> Option<String> {
    let note = row.note();
    let setting = row.setting();
    if note.is_empty() && setting.is_empty() {
        return None;
    }
    let versions = row.versions.as_deref().filter(|versions| *versions != "all");
    let versions = versions.map(|versions| format!(" {versions}")).unwrap_or_default();
    let parts: Vec<String> = [note, setting].into_iter().filter(|part| !part.is_empty()).collect();
    Some(format!("{}{versions}: {}", row.implementation, parts.join(" ")))
}

fn retry(verdict: &Verdict, of: &Circumstances<'_>) -> Option<String> {
    if verdict.maybe_processed_streams.is_empty() {
        return None;
    }
    let of_server = of.goaway.filter(|_| of.by == Some(Side::Server));
    let why = match of_server {
        Some((code, LAST_STREAM_MAX)) if code != ErrorCode::NO_ERROR => {
            "last stream 2^31-1 says nothing about what was processed"
        }
        Some(_) => "they are at or below last_stream_id",
        None if of.goaway.is_some() => "no GOAWAY of the server says what was processed",
        None => "no GOAWAY says what was processed",
    };
    Some(format!("Retry unfinished requests only if they are idempotent: {why}."))
}

fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or_default()
}
