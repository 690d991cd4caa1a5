//! Streams as CSV (RFC 4180), a row each, for spreadsheets and data frames.

use std::io::{self, Write};

use super::Pick;
use super::time::rfc3339;
use crate::board::{Board, ConnectionRow, StreamEnd, StreamRow};
use crate::vocab::address::Side;
use crate::vocab::cause::Cause;
use crate::vocab::text::printable;
use crate::vocab::time::Stamp;

/// Writes a head and a row for each stream that was asked for.
///
/// # Errors
/// What the output says.
pub fn write(out: &mut impl Write, board: &Board, pick: Pick) -> io::Result<()> {
    let mut table = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out);
    table.write_record(COLUMNS)?;
    for (_, row) in pick.rows(board) {
        for stream in row.stream_list.iter().filter(|stream| pick.has_stream(row, stream)) {
            table.write_record(cells(row, stream))?;
        }
    }
    table.flush()
}

const COLUMNS: [&str; 26] = [
    "capture",
    "connection",
    "client",
    "server",
    "stream",
    "by",
    "opened_packet",
    "opened_at",
    "ended_packet",
    "ended_at",
    "end",
    "end_by",
    "error",
    "cause",
    "method",
    "scheme",
    "authority",
    "path",
    "status",
    "grpc_status",
    "grpc_message",
    "grpc_timeout_seconds",
    "request_bytes",
    "response_bytes",
    "first_response_after",
    "duration",
];

fn cells(row: &ConnectionRow, stream: &StreamRow) -> [String; 26] {
    let text = |part: Option<&String>| part.map_or(String::new(), |text| safe(text));
    let packet = |stamp: Option<Stamp>| stamp.map_or(String::new(), |s| s.packet().to_string());
    let at = |stamp: Option<Stamp>| stamp.map_or(String::new(), |stamp| rfc3339(stamp.at));
    let side = |side: Option<Side>| side.map_or("", Side::name).to_owned();
    let (end, by, error) = ending(stream);
    let grpc = stream.grpc.as_ref();
    let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    let lasted = stream.opened.zip(stream.ended).map(|(from, to)| to.since(from).as_secs_f64());
    [
        row.first.capture().to_string(),
        row.number.to_string(),
        row.client.to_string(),
        row.server.to_string(),
        stream.id.to_string(),
        side(stream.by),
        packet(stream.opened),
        at(stream.opened),
        packet(stream.ended),
        at(stream.ended),
        end.to_owned(),
        side(by),
        error.unwrap_or_default(),
        cause(row, stream).map_or(String::new(), |cause| cause.name().to_owned()),
        text(stream.method.as_ref()),
        text(stream.scheme.as_ref()),
        text(stream.authority.as_ref()),
        text(stream.path.as_ref()),
        stream.status.map_or(String::new(), |status| status.to_string()),
        grpc.and_then(|grpc| grpc.status).map_or(String::new(), |status| status.to_string()),
        text(grpc.and_then(|grpc| grpc.message.as_ref())),
        number(grpc.and_then(|grpc| grpc.timeout_seconds)),
        stream.request_bytes.to_string(),
        stream.response_bytes.to_string(),
        number(stream.first_response_after.map(|after| after.as_secs_f64())),
        number(lasted),
    ]
}

/// How a stream ended, by whom, and the code of its reset.
pub(super) fn ending(stream: &StreamRow) -> (&'static str, Option<Side>, Option<String>) {
    let end = stream.end;
    (end.name(), end.by(), end.code().map(|code| code.to_string()))
}

/// Why a stream did not end well: of the set of cancels that it belongs to, else of the
/// connection's end that it died with.
pub(super) fn cause(row: &ConnectionRow, stream: &StreamRow) -> Option<Cause> {
    let of_set = row.cancellations.iter().find(|set| set.streams.contains(&stream.id));
    let died = matches!(stream.end, StreamEnd::Goaway(_) | StreamEnd::ConnectionEnd(_));
    let of_end = row.lead().filter(|_| died);
    of_set.map(|set| set.cause).or(of_end.map(|verdict| verdict.cause))
}

/// Text from the wire, without what acts on a terminal. Spreadsheets run what begins like a
/// formula, some of them behind a tab or an end of line: an apostrophe before it makes it text.
/// Nothing else is touched: what this program writes itself is numbers, times and names.
fn safe(cell: &str) -> String {
    let text = printable(cell);
    if cell.starts_with(FORMULA) { format!("'{text}") } else { text }
}

/// What a formula may begin with (OWASP, CSV Injection), the wide forms too.
const FORMULA: [char; 11] =
    ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_row_for_each_stream_and_no_formula() {
        let mut board = sample::seed();
        let row = std::sync::Arc::make_mut(&mut board.connections[0]);
        row.stream_list[0].path = Some("=cmd|' /C calc'!A0, \"x\"".into());
        row.stream_list[0].authority = Some("\t=1+1".into());
        row.stream_list[0].method = Some("a=b".into());
        let mut out = Vec::new();
        write(&mut out, &board, Pick::default()).unwrap();
        // RFC 4180 section 2: each line ends with CRLF.
        let lines: Vec<&[u8]> = out.split_inclusive(|octet| *octet == b'\n').collect();
        assert!(lines.len() == 2 && lines.iter().all(|line| line.ends_with(b"\r\n")));
        let mut read = csv::Reader::from_reader(out.as_slice());
        assert_eq!(read.headers().unwrap().iter().collect::<Vec<_>>(), COLUMNS);
        let rows: Vec<csv::StringRecord> = read.records().collect::<Result<_, _>>().unwrap();
        let place = |name: &str| COLUMNS.iter().position(|column| *column == name).unwrap();
        assert_eq!((rows.len(), &rows[0][place("connection")]), (1, "1"));
        assert_eq!(&rows[0][place("path")], "'=cmd|' /C calc'!A0, \"x\"");
        assert_eq!((&rows[0][place("authority")], &rows[0][place("method")]), ("'\\t=1+1", "a=b"));
        assert_eq!(&rows[0][place("cause")], "client_request_timeout");
    }
}
