//! What clients write into their logs when a connection went away, and what may be behind it.

use std::sync::OnceLock;

use regex::Regex;
use serde::Deserialize;

use crate::vocab::cause::Cause;
use crate::vocab::error_code::ErrorCode;
use crate::vocab::explanation::Explanation;
use crate::vocab::frame::LAST_STREAM_MAX;

use super::{explain, known_text, pages};

/// A wording of a client.
#[derive(Debug, Deserialize)]
struct Message {
    client: String,
    message_regex: String,
    means: String,
    /// Names of the causes that it most often has; else they follow from the code.
    #[serde(default)]
    causes: Vec<String>,
    /// What to do at once, where the line alone says it.
    #[serde(default, rename = "do")]
    to_do: String,
    #[serde(skip)]
    pattern: OnceLock<Option<Regex>>,
}

fn rows() -> &'static [Message] {
    static ROWS: OnceLock<Vec<Message>> = OnceLock::new();
    let text = include_str!("client_messages.json");
    ROWS.get_or_init(|| serde_json::from_str(text).unwrap_or_default())
}

/// The wording that covers most of what was pasted: one of its lines, or all of them as one where
/// the terminal has broken them.
fn known(lines: &[&str]) -> Option<&'static Message> {
    let covered = |row: &&'static Message| {
        let pattern = row.pattern.get_or_init(|| Regex::new(&row.message_regex).ok());
        let found = lines.iter().filter_map(|line| pattern.as_ref()?.find(line));
        found.map(|found| found.len()).max()
    };
    let found = rows().iter().filter_map(|row| Some((covered(&row)?, row)));
    let whole = found.rev().max_by_key(|(length, _)| *length);
    let cut = || {
        let found = rows().iter().filter_map(|row| {
            let shared = lines.iter().map(|line| shared_with(line, &literal(&row.message_regex)));
            Some((shared.max().filter(|shared| *shared >= SHORTEST_CUT)?, row))
        });
        found.rev().max_by_key(|(length, _)| *length)
    };
    whole.or_else(cut).map(|(_, row)| row)
}

/// Less of a wording may be anything.
const SHORTEST_CUT: usize = 16;

/// The plain text that a pattern begins with.
fn literal(pattern: &str) -> String {
    let mut text = String::new();
    let mut letters = pattern.trim_start_matches('^').chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some(escaped) if !escaped.is_ascii_alphanumeric() => text.push(escaped),
                _ => break,
            },
            '?' | '*' => {
                text.pop();
                break;
            }
            '(' | '[' | '.' | '+' | '|' | '$' | '{' => break,
            plain => text.push(plain),
        }
    }
    text
}

/// How much of a wording stands in a line that was cut: all of it, its beginning at the line's
/// end, or its end at the line's beginning.
fn shared_with(line: &str, wording: &str) -> usize {
    if line.contains(wording) {
        return wording.len();
    }
    let lengths = || (SHORTEST_CUT..wording.len()).rev();
    let head = lengths().find(|n| wording.get(..*n).is_some_and(|head| line.ends_with(head)));
    let tail = lengths().find(|n| {
        let tail = wording.len().checked_sub(*n).and_then(|from| wording.get(from..));
        tail.is_some_and(|tail| line.starts_with(tail))
    });
    head.max(tail).unwrap_or(0)
}

/// What was pasted as one line, without colours.
fn plain(pasted: &str) -> String {
    static COLOUR: OnceLock<Option<Regex>> = OnceLock::new();
    let pattern = COLOUR.get_or_init(|| Regex::new("\u{1b}\\[[0-9;]*m").ok());
    let text = match pattern {
        Some(pattern) => pattern.replace_all(pasted, ""),
        None => pasted.into(),
    };
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}

/// What a line says in any wording.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    goaway: bool,
    reset: bool,
    code: Option<ErrorCode>,
    last_stream: Option<u32>,
    debug: Option<String>,
}

/// Explains a line, or several as they were pasted, if they are of a client that lost a connection
/// or a stream.
pub fn of_line(pasted: &str) -> Option<Explanation> {
    let text = plain(pasted);
    let line = text.replace('\n', " ");
    let said = said(&line);
    let lines: Vec<&str> = text.lines().chain([line.as_str()]).collect();
    let row = known(&lines);
    let text = known_text::named_in(said.debug.as_deref(), &line);
    if row.is_none() && text.is_none() && said.code.is_none() && !said.goaway {
        return None;
    }
    let title = match row {
        Some(row) => format!("{} wrote this", row.client),
        None => "This tells of the end of an HTTP/2 connection or stream".to_string(),
    };
    let meaning = match row {
        Some(row) => row.means.as_str(),
        None if said.reset => "A stream was reset.",
        None => "The connection was ended by GOAWAY.",
    };
    let mut page = Explanation::new(title, meaning);
    if let Some(code) = said.code {
        let meaning = code.meaning().unwrap_or("not a code of RFC 9113: treat as INTERNAL_ERROR");
        page.text("code", format!("{code} ({}): {meaning}.", code.0));
    }
    page.text("last stream", last_stream(&said));
    if let Some(row) = text {
        let versions = row.versions.as_deref().unwrap_or("all versions");
        let name = &row.implementation;
        let parts = [format!("{name} ({versions}) writes this."), row.note(), row.setting()];
        page.text("debug text", parts.join(" ").trim().to_string());
    }
    let mut causes: Vec<Cause> = text.and_then(|row| row.cause()).into_iter().collect();
    // This code stands for opposite faults, whoever wrote the line.
    let is_vague = causes.is_empty() && said.code == Some(ErrorCode::ENHANCE_YOUR_CALM);
    let by_code = if is_vague { behind(&said, None) } else { Vec::new() };
    for cause in behind(&said, row).into_iter().chain(by_code) {
        if !causes.contains(&cause) {
            causes.push(cause);
        }
    }
    if let Some(row) = row {
        page.text("what to do", row.to_do.as_str());
    }
    let look = |cause: &Cause| {
        let about = explain(*cause)?;
        let text = format!(
            "{} In the capture: {} What to do: {}",
            pages::capital(cause.meaning()),
            about.on_the_wire,
            about.what_to_do
        );
        Some((cause.name().to_string(), text))
    };
    page.list("what may be behind it", causes.iter().filter_map(look).collect());
    page.parts.push(pages::capture());
    Some(page)
}

fn last_stream(said: &Said) -> String {
    match said.last_stream {
        Some(LAST_STREAM_MAX) => {
            "2^31-1: the first half of a drain, or an error that says nothing of \
                              what was processed."
                .to_string()
        }
        Some(id) => format!(
            "Streams above {id} were not processed: they are safe to retry. Retry others only if \
             they are idempotent."
        ),
        None => String::new(),
    }
}

/// Causes that such a line can have, the most frequent first.
fn behind(said: &Said, row: Option<&Message>) -> Vec<Cause> {
    use Cause::*;
    let named = row.map(|row| row.causes.as_slice()).unwrap_or_default();
    let named = named.iter().filter_map(|name| Cause::ALL.iter().find(|c| c.name() == name));
    let named: Vec<Cause> = named.copied().collect();
    if !named.is_empty() {
        return named;
    }
    match said.code.unwrap_or(ErrorCode::NO_ERROR) {
        ErrorCode::NO_ERROR => {
            vec![GracefulShutdown, IdleTimeout, MaxConnectionAge, MaxRequestsPerConnection]
        }
        ErrorCode::PROTOCOL_ERROR => vec![
            LateResponse,
            ProtocolViolation,
            KeepalivePingTimeout,
            HandshakeTimeout,
            ServerRequestTimeout,
        ],
        ErrorCode::INTERNAL_ERROR => vec![
            InternalError,
            RapidResetProtection,
            KeepalivePingTimeout,
            HandshakeTimeout,
            ServerRequestTimeout,
        ],
        ErrorCode::FLOW_CONTROL_ERROR => vec![FlowControlViolation],
        ErrorCode::SETTINGS_TIMEOUT => vec![SettingsAckTimeout],
        ErrorCode::STREAM_CLOSED => vec![StreamClosedViolation, LateResponse],
        ErrorCode::FRAME_SIZE_ERROR => vec![FrameSizeViolation],
        ErrorCode::REFUSED_STREAM => {
            vec![RefusedStream, MaxConcurrentStreamsExceeded, StreamIdExhaustion]
        }
        ErrorCode::CANCEL => vec![ClientRequestTimeout, ClientCancelBurst, GracefulShutdown],
        ErrorCode::COMPRESSION_ERROR => vec![CompressionError, HeaderListTooLarge],
        ErrorCode::CONNECT_ERROR => vec![ConnectError],
        ErrorCode::ENHANCE_YOUR_CALM => vec![
            RapidResetProtection,
            TooManyPings,
            FloodProtection,
            HeaderListTooLarge,
            KeepalivePingTimeout,
        ],
        ErrorCode::INADEQUATE_SECURITY => vec![InadequateSecurity],
        ErrorCode::HTTP_1_1_REQUIRED => vec![Http11Required],
        _ => vec![StreamIdleTimeout, FloodProtection, ConnectError, InternalError],
    }
}

fn said(line: &str) -> Said {
    let lower = line.to_ascii_lowercase();
    Said {
        goaway: lower.contains("goaway") || lower.contains("go away"),
        reset: lower.contains("rst_stream") || lower.contains("reset"),
        code: code(line, &lower).or_else(|| in_words(&lower)),
        last_stream: last_of(&lower),
        debug: debug(line),
    }
}

/// A line without any of these has numbers of something else.
const WORDS: &[&str] = &["goaway", "rst_stream", "stream", "session", "http2", "http/2"];

/// A code by name, or by a number that the line calls one.
fn code(line: &str, lower: &str) -> Option<ErrorCode> {
    let named = line
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .map(|word| word.strip_prefix("NGHTTP2_").unwrap_or(word))
        .find_map(ErrorCode::from_name);
    if named.is_some() || !WORDS.iter().any(|w| lower.contains(w)) {
        return named;
    }
    static NUMBER: OnceLock<Option<Regex>> = OnceLock::new();
    let pattern = NUMBER.get_or_init(|| {
        let before = r#"(?:(?:code|error)[ _]*(?:code)?["']?\s*[=:]?\s*\(?|reset:\s*)"#;
        Regex::new(&format!("{before}(0x[0-9a-f]+|[0-9]+)")).ok()
    });
    let number = pattern.as_ref()?.captures(lower)?.get(1)?.as_str();
    let value = match number.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => number.parse().ok(),
    };
    value.map(ErrorCode)
}

/// A code as the Rust crate h2 spells it.
fn in_words(lower: &str) -> Option<ErrorCode> {
    const WORDS: &[(&str, ErrorCode)] = &[
        ("not a result of an error", ErrorCode::NO_ERROR),
        ("unspecific protocol error detected", ErrorCode::PROTOCOL_ERROR),
        ("unexpected internal error encountered", ErrorCode::INTERNAL_ERROR),
        ("flow-control protocol violated", ErrorCode::FLOW_CONTROL_ERROR),
        ("settings ack not received in timely manner", ErrorCode::SETTINGS_TIMEOUT),
        ("received frame when stream half-closed", ErrorCode::STREAM_CLOSED),
        ("frame with invalid size", ErrorCode::FRAME_SIZE_ERROR),
        ("refused stream before processing any application logic", ErrorCode::REFUSED_STREAM),
        ("stream no longer needed", ErrorCode::CANCEL),
        ("unable to maintain the header compression context", ErrorCode::COMPRESSION_ERROR),
        ("detected excessive load generating behavior", ErrorCode::ENHANCE_YOUR_CALM),
        ("security properties do not meet minimum", ErrorCode::INADEQUATE_SECURITY),
        ("endpoint requires http/1.1", ErrorCode::HTTP_1_1_REQUIRED),
    ];
    WORDS.iter().find(|(words, _)| lower.contains(words)).map(|(_, code)| *code)
}

fn last_of(lower: &str) -> Option<u32> {
    static LAST: OnceLock<Option<Regex>> = OnceLock::new();
    let pattern = LAST.get_or_init(|| {
        Regex::new(r"last[ _-]?stream[ _-]?(?:id(?:entifier)?)?\s*[=:]?\s*([0-9]+)").ok()
    });
    pattern.as_ref()?.captures(lower)?.get(1)?.as_str().parse().ok()
}

fn debug(line: &str) -> Option<String> {
    static DEBUG: OnceLock<Option<Regex>> = OnceLock::new();
    let pattern = DEBUG.get_or_init(|| {
        let what = "[Dd]ebug(?:[ _](?:[Dd]ata|[Tt]ext))?|additional_data|opaque data";
        let words = format!(r"(?:{what})(?:\s*[=:]\s*| equal to )");
        Regex::new(&format!(r#"{words}b?\\?["']?([^"'\\]+)|\(b"([^"]+)"\)"#)).ok()
    });
    let found = pattern.as_ref()?.captures(line)?;
    let text = found.get(1).or_else(|| found.get(2))?.as_str().trim();
    (!text.is_empty()).then(|| text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::explanation::Part;

    #[test]
    fn every_pattern_compiles() {
        assert!(rows().len() >= 50, "{}", rows().len());
        for row in rows() {
            assert!(Regex::new(&row.message_regex).is_ok(), "{}", row.message_regex);
        }
    }

    fn causes(line: &str) -> Vec<String> {
        let page = of_line(line).unwrap_or_else(|| panic!("{line}"));
        let lists = page.parts.into_iter().filter_map(|part| match part {
            Part::List(_, items) => Some(items.into_iter().map(|(name, _)| name)),
            _ => None,
        });
        lists.flatten().collect()
    }

    #[test]
    fn lines_are_taken_apart() {
        let line = "http2: server sent GOAWAY and closed the connection; LastStreamID=1999, \
                    ErrCode=ENHANCE_YOUR_CALM, debug=\"too_many_pings\"";
        let wanted = Said {
            goaway: true,
            reset: false,
            code: Some(ErrorCode::ENHANCE_YOUR_CALM),
            last_stream: Some(1999),
            debug: Some("too_many_pings".into()),
        };
        assert_eq!(said(line), wanted);
        assert_eq!(causes(line)[0], "too_many_pings");
        let code = |line: &str| said(line).code.map(|code| code.0);
        assert_eq!(code("Connection was closed (GOAWAY error code = 1)"), Some(1));
        assert_eq!(code("received GOAWAY, error=11, last_stream=5"), Some(11));
        assert_eq!(code("GOAWAY received: code 0x2"), Some(2));
        assert_eq!(code("Session closed with error code NGHTTP2_INTERNAL_ERROR"), Some(2));
        assert_eq!(code("exit code 1"), None);
    }

    #[test]
    fn who_wrote_it_and_what_is_behind() {
        let title = |line: &str| of_line(line).unwrap().title;
        let vertx = "Connection was closed (GOAWAY error code = 1)";
        assert_eq!(title(vertx), "Vert.x wrote this");
        assert!(causes(vertx).contains(&"late_response".to_string()));
        assert_eq!(causes("http2: client connection lost"), ["keepalive_ping_timeout"]);
        let text = "UNAVAILABLE: Connection closed after GOAWAY. HTTP/2 error code: NO_ERROR, \
                    debug data: max_age";
        assert_eq!(title(text), "grpc-java wrote this");
        assert_eq!(causes(text)[0], "max_connection_age");
        assert!(of_line("segmentation fault").is_none());
        assert!(of_line("ENHANCE_YOUR_CALM").is_some());
    }

    /// With times, prefixes, stack traces, colours, cut, broken: line, who wrote it, first cause.
    const PASTED: &[(&str, &str, &str)] = &[
        (
            "2026-03-02 11:04:05.123 ERROR [vert.x-eventloop-thread-3] Unhandled exception\n\
             io.vertx.core.http.HttpClosedException: Connection was closed\n\
             \tat io.vertx.core.http.impl.HttpUtils.CONNECTION_CLOSED(HttpUtils.java:12)",
            "Vert.x",
            "idle_timeout",
        ),
        ("io.vertx.core.http.StreamResetException: Stream reset: 8", "Vert.x", "client_req"),
        (
            "Get \"https://a/\": http2: server sent GOAWAY and closed the connection; \
             LastStreamID=1999, ErrCode=ENHANCE_YOUR_CALM, debug=\"too_many_pings\"",
            "Go net/http",
            "too_many_pings",
        ),
        ("Get \"https://a/\": http2: server sent GOAWAY and clo", "Go net/http", "graceful"),
        (
            "context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
            "Go net/http",
            "client_request_timeout",
        ),
        (
            "rpc error: code = Unavailable desc = closing transport due to: connection error: \
             desc = \"error reading from server: EOF\", received prior goaway: code: \
             NO_ERROR, debug data: \"max_age\"",
            "grpc-go",
            "max_connection_age",
        ),
        (
            "E1122 chttp2_transport.cc:1234] ipv4:10.0.0.1:443: Received a GOAWAY with error \
             code ENHANCE_YOUR_CALM and debug data equal to \"too_many_pings\"",
            "gRPC core",
            "too_many_pings",
        ),
        ("curl: (28) Operation timed out after 1001 milliseconds", "curl", "client_request"),
        (
            "curl: (92) HTTP/2 stream 1 was not closed cleanly: PROTOCOL_ERROR (err 1)",
            "curl",
            "late_response",
        ),
        (
            "\u{1b}[31mError [ERR_HTTP2_SESSION_ERROR]: Session closed with error code 2\u{1b}[0m",
            "Node.js",
            "internal_error",
        ),
        (
            "httpx.RemoteProtocolError: <ConnectionTerminated error_code:ErrorCodes.NO_ERROR,\n\
             last_stream_id:199, additional_data:None>",
            "Python h2",
            "graceful_shutdown",
        ),
        (
            "hyper::Error(Http2, Error { kind: GoAway(b\"\", ENHANCE_YOUR_CALM, Remote) })",
            "Rust h2",
            "rapid_reset_protection",
        ),
        (
            "http2 error: connection error received: detected excessive load generating behavior",
            "Rust h2",
            "rapid_reset_protection",
        ),
        ("okhttp3.internal.http2.StreamResetException: stream was reset: CANCEL", "OkHttp", ""),
        ("java.net.http.HttpTimeoutException: request timed out", "JDK", "client_request"),
        (
            "The HTTP/2 server closed the connection. HTTP/2 error code 'ENHANCE_YOUR_CALM' (0xb).",
            ".NET",
            "rapid_reset_protection",
        ),
        (
            "upstream connect error or disconnect/reset before headers. reset reason: \
             connection termination",
            "Envoy",
            "idle_timeout",
        ),
        (
            "2026/03/02 11:04:05 [error] 7#7: *1 upstream prematurely closed connection while \
             reading response header from upstream",
            "nginx",
            "idle_timeout",
        ),
        ("dial tcp 10.0.0.1:80: connect: connection refused", "A client", "connection_ref"),
        ("net::ERR_HTTP2_PING_FAILED", "Chrome", "keepalive_ping_timeout"),
        ("Connection reset by peer", "A program of any", "abrupt_close"),
        ("java.io.IOException: Connection reset by peer", "Java", "abrupt_close"),
        ("ConnectionResetError: [Errno 104] Connection reset by peer", "A program of any", ""),
        (
            "2026/03/02 11:04:05 [error] 7#7: *1 recv() failed (104: Connection reset by peer) \
             while reading response header from upstream",
            "nginx",
            "abrupt_close",
        ),
        ("Get \"https://a/\": unexpected EOF", "Go", "abrupt_close"),
        ("error:0A000126:SSL routines::unexpected eof while reading", "A program with Open", ""),
        (
            "hyper_util::client::legacy::Error(SendRequest, hyper::Error(IncompleteMessage))",
            "Rust hyper",
            "idle_timeout",
        ),
    ];

    #[test]
    fn lines_as_they_are_pasted() {
        for (line, client, cause) in PASTED {
            let title = of_line(line).map(|page| page.title).unwrap_or_default();
            assert!(title.starts_with(client), "{line}: {title}");
            let causes = causes(line);
            assert!(
                causes.first().is_some_and(|first| first.starts_with(cause)),
                "{line}: {causes:?}"
            );
        }
    }

    #[test]
    fn one_code_for_opposite_faults() {
        let lines = ["ENHANCE_YOUR_CALM", "received GOAWAY, error=11, last_stream=5"];
        let rust = "hyper::Error(Http2, Error { kind: GoAway(b\"\", ENHANCE_YOUR_CALM, Remote) })";
        for line in lines.into_iter().chain([rust]) {
            let causes = causes(line);
            let wanted = ["too_many_pings", "keepalive_ping_timeout", "rapid_reset_protection"];
            for cause in wanted.into_iter().chain(["flood_protection"]) {
                assert!(causes.iter().any(|told| told == cause), "{line}: {causes:?}");
            }
        }
    }

    #[test]
    fn every_wording_is_a_sentence_and_names_known_causes() {
        for row in rows() {
            assert!(row.means.ends_with('.') && row.means.len() > 25, "{}", row.means);
            for name in &row.causes {
                assert!(Cause::ALL.iter().any(|cause| cause.name() == name), "{name}");
            }
        }
    }
}
