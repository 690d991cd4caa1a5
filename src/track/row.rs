//! The row of one stream in the report, filled as the stream lives.

use crate::vocab::address::{Both, Side};
use crate::vocab::error_code::ErrorCode;
use crate::vocab::header::{HeaderList, Name};
use crate::vocab::stream::{Fields, Grpc, StreamEnd, StreamRow};
use crate::vocab::text::utf8_or_escaped;
use crate::vocab::time::Stamp;

use super::header::Kept;

pub(super) fn begin(id: u32, by: Side, opened: Option<Stamp>) -> StreamRow {
    StreamRow { id, by: Some(by), opened, ..StreamRow::default() }
}

pub(super) fn request(row: &mut StreamRow, list: &HeaderList<'_>, kept: &Kept<'_>) {
    let text = |value: Option<&[u8]>| value.map(utf8_or_escaped);
    row.method = text(kept.value(Name::Method));
    row.scheme = text(kept.value(Name::Scheme));
    row.authority = text(kept.value(Name::Authority));
    row.path = text(kept.value(Name::Path));
    if kept.is_grpc() {
        let timeout_seconds = kept.deadline().map(|deadline| deadline.as_secs_f64());
        row.grpc = Some(Grpc { timeout_seconds, ..Grpc::default() });
    }
    row.request_headers = fields(list);
}

pub(super) fn response(
    row: &mut StreamRow,
    list: &HeaderList<'_>,
    kept: &Kept<'_>,
    opened: Option<Stamp>,
    stamp: Stamp,
) {
    row.status = kept.status();
    row.first_response_after = opened.map(|opened| stamp.since(opened));
    row.response_headers = fields(list);
    grpc_status(row, kept); // a response without a body carries its trailers at once
}

pub(super) fn trailers(row: &mut StreamRow, list: &HeaderList<'_>, kept: &Kept<'_>) {
    row.trailers = fields(list);
    grpc_status(row, kept);
}

fn grpc_status(row: &mut StreamRow, kept: &Kept<'_>) {
    let Some(status) = kept.value(Name::GrpcStatus) else { return };
    let grpc = row.grpc.get_or_insert_default();
    grpc.status = std::str::from_utf8(status).ok().and_then(|text| text.parse().ok());
    grpc.message = kept.value(Name::GrpcMessage).map(utf8_or_escaped);
}

fn fields(list: &HeaderList<'_>) -> Fields {
    Fields::of(list.iter().map(|field| (field.name, field.value)))
}

fn bytes(mut row: StreamRow, data: &Both<u64>, opener: Side) -> StreamRow {
    row.request_bytes = *data.side(opener);
    row.response_bytes = *data.side(opener.other());
    if opener == Side::Server {
        // A push: the server sends the response, nobody a request body.
        (row.request_bytes, row.response_bytes) = (0, *data.side(Side::Server));
    }
    row
}

pub(super) fn completed(
    mut row: StreamRow,
    ended: Option<Stamp>,
    data: &Both<u64>,
    opener: Side,
) -> StreamRow {
    row.ended = ended;
    row.end = StreamEnd::Completed;
    bytes(row, data, opener)
}

pub(super) fn reset(
    mut row: StreamRow,
    stamp: Stamp,
    by: Side,
    code: ErrorCode,
    data: &Both<u64>,
    opener: Side,
) -> StreamRow {
    row.ended = Some(stamp);
    row.end = StreamEnd::Reset(by, code);
    bytes(row, data, opener)
}

/// A stream that nothing ended: dropped by a GOAWAY, by the connection's end, or still open.
pub(super) fn unfinished(
    mut row: StreamRow,
    goaway: Option<(Stamp, Side)>,
    connection_end: Option<(Stamp, Side)>,
    data: &Both<u64>,
    opener: Side,
) -> StreamRow {
    (row.ended, row.end) = match (goaway, connection_end) {
        (Some((stamp, side)), _) => (Some(stamp), StreamEnd::Goaway(side)),
        (None, Some((stamp, by))) => (Some(stamp), StreamEnd::ConnectionEnd(Some(by))),
        (None, None) => (None, StreamEnd::Open),
    };
    // What was opened while its end was on the way has no age.
    row.ended = row.ended.filter(|ended| row.opened.is_none_or(|opened| !ended.before(opened)));
    bytes(row, data, opener)
}
