//! What clients write into their logs when a connection went away, and what may be behind it.

use std::sync::OnceLock;

use regex::Regex;
use serde::Deserialize;

use crate::vocab::cause::Cause;
use crate::vocab::error_code::ErrorCode;
use crate::vocab::explanation::Explanation;

use super::{explain, known_text, pages};

/// A wording of a client.
#[derive(Debug, Deserialize)]
struct Message {
    client: String,
    message_regex: String,
    means: String,
    #[serde(skip)]
    pattern: OnceLock<Option<Regex>>,
}

fn rows() -> &'static [Message] {
    static ROWS: OnceLock<Vec<Message>> = OnceLock::new();
    let text = include_str!("client_messages.json");
    ROWS.get_or_init(|| serde_json::from_str(text).unwrap_or_default())
}

/// The wording that covers most of a line.
fn known(line: &str) -> Option<&'static Message> {
    let covered = |row: &&'static Message| {
        let pattern = row.pattern.get_or_init(|| Regex::new(&row.message_regex).ok());
        pattern.as_ref()?.find(line).map(|found| found.len())
    };
    let found = rows().iter().filter_map(|row| Some((covered(&row)?, row)));
    found.rev().max_by_key(|(length, _)| *length).map(|(_, row)| row)
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

/// Explains a line, if it is one of a client that lost a connection or a stream.
pub fn of_line(line: &str) -> Option<Explanation> {
    let said = said(line);
    let row = known(line);
    let text = known_text::named_in(said.debug.as_deref(), line);
    if row.is_none() && text.is_none() && said.code.is_none() && !said.goaway {
        return None;
    }
    let title = match row {
        Some(row) => format!("A line of {}", row.client),
        None => "A line that tells of the end of an HTTP/2 connection or stream".to_string(),
    };
    let mut page =
        Explanation::new(title, row.map_or_else(String::new, |row| pages::capital(&row.means)));
    if page.meaning.is_empty() {
        let what =
            if said.reset { "A stream was reset." } else { "The connection was ended by GOAWAY." };
        page.meaning = what.to_string();
    }
    if let Some(code) = said.code {
        let meaning = code.meaning().unwrap_or("not a code of RFC 9113: treat as INTERNAL_ERROR");
        page.text("code", format!("{code} ({}): {meaning}.", code.0));
    }
    page.text("last stream", last_stream(&said));
    if let Some(row) = text {
        let versions = row.versions.as_deref().unwrap_or("all versions");
        let name = &row.implementation;
        page.text("debug text", format!("Known of {name} ({versions})."));
    }
    let mut causes: Vec<Cause> = text.and_then(|row| row.cause()).into_iter().collect();
    for cause in behind(&said, row) {
        if !causes.contains(&cause) {
            causes.push(cause);
        }
    }
    let look = |cause: &Cause| {
        let about = explain(*cause)?;
        Some((cause.name().to_string(), format!("Look for: {}", about.on_the_wire)))
    };
    page.list("what may be behind it", causes.iter().filter_map(look).collect());
    page.parts.push(pages::capture());
    Some(page)
}

fn last_stream(said: &Said) -> String {
    match said.last_stream {
        Some(0x7fff_ffff) => "2^31-1: the first half of a drain, or an error that says nothing of \
                              what was processed."
            .to_string(),
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
    let means = row.map(|row| row.means.to_ascii_lowercase()).unwrap_or_default();
    if said.code.is_none() {
        return match () {
            () if means.contains("ping") => vec![KeepalivePingTimeout],
            () if means.contains("request timeout") => vec![ClientRequestTimeout],
            () if means.contains("idle timer") && !means.contains("crash") => vec![IdleTimeout],
            () if said.goaway || means.contains("goaway") => {
                vec![GracefulShutdown, IdleTimeout, MaxConnectionAge, MaxRequestsPerConnection]
            }
            () => vec![IdleTimeout, KeepalivePingTimeout, AbruptClose],
        };
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
        code: code(line, &lower),
        last_stream: last_of(&lower),
        debug: debug(line),
    }
}

/// A code by name, or by a number that the line calls one.
fn code(line: &str, lower: &str) -> Option<ErrorCode> {
    let named = line
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .map(|word| word.strip_prefix("NGHTTP2_").unwrap_or(word))
        .find_map(ErrorCode::from_name);
    if named.is_some() || !["goaway", "rst_stream", "stream"].iter().any(|w| lower.contains(w)) {
        return named;
    }
    static NUMBER: OnceLock<Option<Regex>> = OnceLock::new();
    let pattern = NUMBER.get_or_init(|| {
        Regex::new(r#"(?:code|error)[ _]*(?:code)?["']?\s*[=:]?\s*\(?(0x[0-9a-f]+|[0-9]+)"#).ok()
    });
    let number = pattern.as_ref()?.captures(lower)?.get(1)?.as_str();
    let value = match number.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => number.parse().ok(),
    };
    value.map(ErrorCode)
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
        let words = r#"(?:[Dd]ebug(?:[ _][Dd]ata)?|additional_data|opaque data)\s*[=:]\s*"#;
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
        assert_eq!(title(vertx), "A line of vertx");
        assert!(causes(vertx).contains(&"late_response".to_string()));
        assert_eq!(causes("http2: client connection lost"), ["keepalive_ping_timeout"]);
        let text = "UNAVAILABLE: Connection closed after GOAWAY. HTTP/2 error code: NO_ERROR, \
                    debug data: max_age";
        assert_eq!(title(text), "A line of grpc-java");
        assert_eq!(causes(text)[0], "max_connection_age");
        assert!(of_line("segmentation fault").is_none());
        assert!(of_line("ENHANCE_YOUR_CALM").is_some());
    }
}
