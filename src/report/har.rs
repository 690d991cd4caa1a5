//! Requests as an HTTP Archive (HAR 1.2), which browsers' tools open: no bodies, and what names
//! people or opens doors is left out unless asked for.

use std::io::{self, Write};

use serde::Serialize;

use super::table::{cause, ending};
use super::time::Rfc3339;
use super::{Pick, plain};
use crate::board::{Board, ClockOffset, ConnectionRow, StreamRow};
use crate::vocab::address::Side;
use crate::vocab::stream::Fields;
use crate::vocab::text::printable;
use crate::vocab::time::{Stamp, Timestamp};

/// Writes the archive; one entry for each request of a client whose beginning was captured.
///
/// # Errors
/// What the output says.
pub fn write(out: &mut impl Write, board: &Board, pick: Pick) -> io::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    write!(
        out,
        r#"{{"log":{{"version":"1.2","creator":{{"name":"goawhy","version":"{version}"}}"#
    )?;
    out.write_all(br#","pages":[],"entries":["#)?;
    let rows = pick.rows(board);
    let streams = rows.flat_map(|(_, row)| {
        let asked = row.stream_list.iter().filter(move |stream| pick.has_stream(row, stream));
        asked.map(move |stream| (row, stream))
    });
    let mut streams: Vec<(&ConnectionRow, &StreamRow)> = streams.collect();
    // HAR 1.2: oldest first, whichever connection they are on, and by one clock.
    let begun = |stream: &StreamRow| Some(by_first_clock(board, stream.opened?));
    streams.sort_by_key(|(_, stream)| begun(stream));
    let entries =
        streams.into_iter().filter_map(|(row, stream)| Entry::of(row, stream, begun(stream)?));
    for (number, entry) in entries.enumerate() {
        if number > 0 {
            out.write_all(b",")?;
        }
        plain::write(&mut *out, &entry)?;
    }
    out.write_all(b"]}}\n")
}

/// A time by the clock of the first capture, where more is known of the others' than was put right
/// in their packets.
fn by_first_clock(board: &Board, stamp: Stamp) -> Timestamp {
    let of = |offset: &&ClockOffset| offset.capture == stamp.capture() && !offset.is_applied;
    let offset = board.clock_offsets.iter().find(of).map_or(0.0, |offset| offset.seconds);
    Timestamp(stamp.at.0.saturating_add((offset * 1e9) as i64))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    started_date_time: Rfc3339,
    time: f64,
    request: Request,
    response: Response,
    cache: Empty,
    timings: Timings,
    #[serde(rename = "serverIPAddress")]
    server_ip_address: String,
    connection: String,
    #[serde(rename = "_goawhy")]
    goawhy: Extra,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    method: String,
    url: String,
    http_version: &'static str,
    cookies: [Empty; 0],
    headers: Vec<Field>,
    query_string: Vec<Field>,
    headers_size: i64,
    body_size: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    status: u16,
    status_text: &'static str,
    http_version: &'static str,
    cookies: [Empty; 0],
    headers: Vec<Field>,
    content: Content,
    #[serde(rename = "redirectURL")]
    redirect_url: &'static str,
    headers_size: i64,
    body_size: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    size: u64,
    mime_type: String,
}

/// A header field, or a parameter of a query.
#[derive(Serialize)]
struct Field {
    name: String,
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'static str>,
}

/// Milliseconds.
#[derive(Serialize)]
struct Timings {
    blocked: f64,
    dns: f64,
    connect: f64,
    ssl: f64,
    send: f64,
    wait: f64,
    receive: f64,
}

/// What only goawhy knows.
#[derive(Serialize)]
struct Extra {
    capture: usize,
    connection: usize,
    stream: u32,
    opened_packet: u64,
    ended_packet: Option<u64>,
    end: &'static str,
    end_by: Option<Side>,
    error: Option<String>,
    cause: Option<&'static str>,
    summary: Option<String>,
    trailers: Vec<Field>,
}

impl Entry {
    fn of(row: &ConnectionRow, stream: &StreamRow, begun: Timestamp) -> Option<Self> {
        let opened = stream.opened?;
        let ended = stream.ended.unwrap_or(row.last);
        let time = ended.since(opened).as_secs_f64() * 1e3;
        let wait = stream.first_response_after.map_or(time, |after| after.as_secs_f64() * 1e3);
        let receive = (time - wait).max(0.0);
        let timings = Timings {
            blocked: -1.0,
            dns: -1.0,
            connect: -1.0,
            ssl: -1.0,
            send: 0.0,
            wait,
            receive,
        };
        let cause = cause(row, stream);
        let summary = row.lead().filter(|verdict| Some(verdict.cause) == cause);
        let (end, end_by, error) = ending(stream);
        Some(Self {
            started_date_time: Rfc3339(begun),
            // The sum of its parts, as HAR asks for.
            time: wait + receive,
            request: Request::of(stream),
            response: Response::of(stream),
            cache: Empty {},
            timings,
            server_ip_address: row.server.ip.to_string(),
            connection: row.number.to_string(),
            goawhy: Extra {
                capture: opened.capture(),
                connection: row.number,
                stream: stream.id,
                opened_packet: opened.packet(),
                ended_packet: stream.ended.map(crate::vocab::time::Stamp::packet),
                end,
                end_by,
                error,
                cause: cause.map(crate::vocab::cause::Cause::name),
                summary: summary.map(|verdict| verdict.summary.clone()),
                trailers: fields(&stream.trailers),
            },
        })
    }
}

impl Request {
    fn of(stream: &StreamRow) -> Self {
        let part = |text: &Option<String>, unknown: &str| {
            text.as_deref().map_or_else(|| unknown.to_owned(), printable)
        };
        let scheme = stream.scheme.as_deref().filter(|scheme| *scheme == "https");
        let path = part(&stream.path, "/");
        let slash = if path.starts_with('/') { "" } else { "/" };
        let authority = part(&stream.authority, "unknown.invalid");
        let scheme = scheme.unwrap_or("http");
        Self {
            method: stream.method.as_deref().map_or_else(|| "UNKNOWN".into(), printable),
            url: format!("{scheme}://{authority}{slash}{path}"),
            http_version: VERSION,
            cookies: [],
            headers: fields(&stream.request_headers),
            query_string: query(stream.path.as_deref()),
            headers_size: -1,
            body_size: i64::try_from(stream.request_bytes).unwrap_or(-1),
        }
    }
}

impl Response {
    fn of(stream: &StreamRow) -> Self {
        let kind = stream.response_headers.iter().find(|(name, _)| *name == Some("content-type"));
        let kind = kind.and_then(|(_, value)| value);
        Self {
            // 0, as browsers say where no answer came.
            status: stream.status.unwrap_or(0),
            status_text: "",
            http_version: VERSION,
            cookies: [],
            headers: fields(&stream.response_headers),
            content: Content {
                size: stream.response_bytes,
                mime_type: kind.map_or_else(|| "x-unknown".into(), printable),
            },
            redirect_url: "",
            headers_size: -1,
            body_size: i64::try_from(stream.response_bytes).unwrap_or(-1),
        }
    }
}

fn query(path: Option<&str>) -> Vec<Field> {
    let query = path.and_then(|path| path.split_once('?')).map_or("", |(_, query)| query);
    let parts = query.split('&').filter(|part| !part.is_empty());
    let field = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        Field { name: printable(name), value: printable(value), comment: None }
    };
    parts.map(field).collect()
}

/// Fields whose name is known; what opens doors is left out in any case.
fn fields(list: &Fields) -> Vec<Field> {
    let field = |(name, value): (Option<&str>, Option<&str>)| {
        let name = printable(name?);
        let secret = SECRET.iter().any(|secret| name.eq_ignore_ascii_case(secret));
        Some(match value {
            Some(_) if secret => Field { name, value: HIDDEN.into(), comment: Some("left out") },
            Some(value) => Field { name, value: printable(value), comment: None },
            None => Field { name, value: String::new(), comment: Some("not in the capture") },
        })
    };
    list.iter().filter_map(field).collect()
}

/// Fields that log in whoever has them.
const SECRET: &[&str] = &[
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
    "x-api-key",
    "x-auth-token",
    "x-csrf-token",
    "x-amz-security-token",
];
const HIDDEN: &str = "***";
const VERSION: &str = "HTTP/2";

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn what_opens_doors_is_left_out_and_what_is_unknown_is_said() {
        let list = [
            (Some("Authorization"), Some("Bearer abc")),
            (Some("accept"), Some("*/*")),
            (Some("x-lost"), None),
            (None, Some("whose")),
        ];
        let list: Fields = list.into_iter().collect();
        let told: Vec<(String, String)> =
            fields(&list).into_iter().map(|field| (field.name, field.value)).collect();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(told, [pair("Authorization", "***"), pair("accept", "*/*"), pair("x-lost", "")]);
    }

    #[test]
    fn times_add_up_and_a_mask_hides_the_path() {
        let mut board = sample::seed();
        let text = |board: &Board| {
            let mut out = Vec::new();
            write(&mut out, board, Pick::default()).unwrap();
            serde_json::from_slice::<serde_json::Value>(&out).unwrap()
        };
        let whole = text(&board);
        let entry = &whole["log"]["entries"][0];
        let part = |name: &str| entry["timings"][name].as_f64().unwrap();
        let sum = part("send") + part("wait") + part("receive");
        assert!((sum - entry["time"].as_f64().unwrap()).abs() < 1e-9);
        let path = board.connections[0].stream_list[0].path.clone().unwrap();
        assert!(entry["request"]["url"].as_str().unwrap().ends_with(&path));
        board.mask();
        assert!(!text(&board).to_string().contains(&path));
    }
}
