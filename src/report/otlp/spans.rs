//! A span for each stream whose beginning was captured: how it ended, and why, with the GOAWAYs
//! that came during its life and its reset as events.
//!
//! A request that carries `traceparent` (W3C Trace Context) becomes a part of that trace, below the
//! span that sent it; the others share a trace with their connection. Identifiers follow from the
//! capture: the same packets give the same spans.

use std::hash::{DefaultHasher, Hash, Hasher};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, SpanFlags, Status};
use prost::Message;

use super::{Request, Signal, attribute, number, resource, scope, text};
use crate::board::{Board, ConnectionRow, GoawayRow, StreamEnd, StreamRow};
use crate::report::Pick;
use crate::report::table::{cause, ending};
use crate::vocab::text::{printable, utf8_or_escaped};
use crate::vocab::time::{Stamp, Timestamp};
use crate::vocab::verdict::Verdict;

/// Spans of the streams that were asked for, some in each request.
pub fn spans(board: &Board, pick: &Pick) -> impl Iterator<Item = Request> {
    let mut streams = pick.rows(board).flat_map(move |(_, row)| {
        let asked = row.stream_list.iter().filter(move |stream| pick.has_stream(row, stream));
        asked.filter_map(move |stream| span(row.number, row, stream))
    });
    std::iter::from_fn(move || {
        let spans: Vec<Span> = streams.by_ref().take(AT_ONCE).collect();
        (!spans.is_empty()).then(|| request(spans))
    })
}

fn request(spans: Vec<Span>) -> Request {
    let of_scope = ScopeSpans { scope: scope(), spans, ..ScopeSpans::default() };
    let of_resource = ResourceSpans {
        resource: resource(),
        scope_spans: vec![of_scope],
        ..ResourceSpans::default()
    };
    let request = ExportTraceServiceRequest { resource_spans: vec![of_resource] };
    Request { signal: Signal::Traces, body: request.encode_to_vec() }
}

fn span(id: usize, row: &ConnectionRow, stream: &StreamRow) -> Option<Span> {
    let opened = stream.opened?;
    let ended = stream.ended.unwrap_or(row.last);
    let of_connection = (row.client, row.server, row.first.at.0);
    let parent = stream.request_headers.iter().find_map(|(name, value)| {
        let is_parent = name.is_some_and(|name| name.eq_ignore_ascii_case(TRACE_PARENT));
        is_parent.then_some(value).flatten().and_then(Parent::read)
    });
    let trace = || [hash(&("trace", 1, of_connection)), hash(&("trace", 2, of_connection))];
    let trace_id = match &parent {
        Some(parent) => parent.trace.to_vec(),
        None => trace().concat(),
    };
    let remote = SpanFlags::ContextHasIsRemoteMask as u32 | SpanFlags::ContextIsRemoteMask as u32;
    Some(Span {
        trace_id,
        span_id: hash(&("span", of_connection, stream.id)).to_vec(),
        parent_span_id: parent.as_ref().map_or_else(Vec::new, |parent| parent.span.to_vec()),
        flags: parent.map_or(0, |parent| u32::from(parent.flags) | remote),
        name: name(stream),
        // It is what passed by, beside the spans of both ends.
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: nanos(opened.at),
        end_time_unix_nano: nanos(ended.at.max(opened.at)),
        attributes: attributes(id, row, stream, opened),
        events: events(row, stream, opened, ended),
        status: status(row, stream),
        ..Span::default()
    })
}

/// What a `traceparent` names: `00-TRACE-SPAN-FLAGS`, in hexadecimal digits.
struct Parent {
    trace: [u8; 16],
    span: [u8; 8],
    flags: u8,
}

impl Parent {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let [version] = octets(parts.next()?)?;
        let parent = Self { trace: octets(parts.next()?)?, span: octets(parts.next()?)?, flags: 0 };
        let [flags] = octets(parts.next()?)?;
        // Later versions may have more behind; this is how they are read (section 4.3).
        let is_sound = version != 0xff && (version != 0 || parts.next().is_none());
        let is_set = parent.trace != [0; 16] && parent.span != [0; 8];
        (is_sound && is_set).then_some(Self { flags, ..parent })
    }
}

fn octets<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let digits: Option<Vec<u32>> = digits.chars().map(|of| of.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() == 2 * N)?;
    let octet = |pair: &[u32]| pair.iter().fold(0, |sum: u8, digit| sum << 4 | *digit as u8);
    digits.chunks_exact(2).map(octet).collect::<Vec<u8>>().try_into().ok()
}

/// Few different ones: a method, or the method of gRPC.
fn name(stream: &StreamRow) -> String {
    let path = stream.path.as_deref().filter(|_| stream.grpc.is_some());
    let path = path.map(|path| path.trim_start_matches('/'));
    printable(path.or(stream.method.as_deref()).unwrap_or("HTTP"))
}

fn attributes(id: usize, row: &ConnectionRow, stream: &StreamRow, opened: Stamp) -> Vec<KeyValue> {
    let mut all = vec![
        text("network.protocol.name", "http"),
        text("network.protocol.version", "2"),
        text("client.address", &row.client.ip.to_string()),
        number("client.port", u64::from(row.client.port)),
        text("server.address", &row.server.ip.to_string()),
        number("server.port", u64::from(row.server.port)),
        number("http.request.body.size", stream.request_bytes),
        number("http.response.body.size", stream.response_bytes),
        number("goawhy.connection", id as u64),
        number("goawhy.stream", u64::from(stream.id)),
        number("goawhy.capture", opened.capture() as u64),
        number("goawhy.packet", opened.packet()),
    ];
    let (end, by, error) = ending(stream);
    all.push(text("goawhy.end", end));
    all.extend(by.map(|by| text("goawhy.end_by", by.name())));
    all.extend(error.map(|code| text("error.type", &code)));
    let path = stream.path.as_deref().map(|path| path.split_once('?').unwrap_or((path, "")));
    let said = [
        ("http.request.method", stream.method.as_deref()),
        ("url.scheme", stream.scheme.as_deref()),
        ("goawhy.authority", stream.authority.as_deref()),
        ("url.path", path.map(|(path, _)| path)),
        ("url.query", path.map(|(_, query)| query).filter(|query| !query.is_empty())),
    ];
    all.extend(said.into_iter().filter_map(|(key, value)| Some(text(key, value?))));
    all.extend(stream.status.map(|status| number("http.response.status_code", status.into())));
    if let Some(grpc) = &stream.grpc {
        all.push(text("rpc.system", "grpc"));
        all.extend(grpc.status.map(|status| number("rpc.grpc.status_code", status.into())));
    }
    if let Some(cause) = cause(row, stream) {
        all.push(text("goawhy.cause", cause.name()));
    }
    all.extend(verdict(row, stream).into_iter().flat_map(judged));
    all
}

/// The verdict that tells of a stream's end.
fn verdict<'a>(row: &'a ConnectionRow, stream: &StreamRow) -> Option<&'a Verdict> {
    let cause = cause(row, stream)?;
    row.lead().filter(|verdict| verdict.cause == cause)
}

fn judged(verdict: &Verdict) -> [KeyValue; 3] {
    [
        text("goawhy.blame", verdict.blame.name()),
        attribute("goawhy.confidence", Value::DoubleValue(verdict.confidence.value())),
        text("goawhy.summary", &verdict.summary),
    ]
}

fn events(row: &ConnectionRow, stream: &StreamRow, opened: Stamp, ended: Stamp) -> Vec<Event> {
    let during = |goaway: &&GoawayRow| opened.at <= goaway.stamp.at && goaway.stamp.at <= ended.at;
    let mut all: Vec<Event> = row.goaways.iter().filter(during).take(GOAWAYS).map(goaway).collect();
    if let (StreamEnd::Reset(by, code), Some(at)) = (stream.end, stream.ended) {
        all.push(Event {
            time_unix_nano: nanos(at.at),
            name: "RST_STREAM".into(),
            attributes: vec![
                text("goawhy.by", by.name()),
                text("goawhy.error_code", &code.to_string()),
                number("goawhy.packet", at.packet()),
            ],
            ..Event::default()
        });
    }
    all
}

fn goaway(of: &GoawayRow) -> Event {
    let mut attributes = vec![
        text("goawhy.by", of.by.name()),
        text("goawhy.error_code", &of.code.to_string()),
        number("goawhy.last_stream_id", u64::from(of.last_stream_id)),
        number("goawhy.packet", of.stamp.packet()),
    ];
    if !of.debug.is_empty() {
        attributes.push(text("goawhy.debug", &utf8_or_escaped(&of.debug)));
    }
    if of.follows.is_none() {
        attributes.push(text("goawhy.cause", of.verdict.cause.name()));
        attributes.extend(judged(&of.verdict));
    }
    let (time_unix_nano, name) = (nanos(of.stamp.at), "GOAWAY".to_owned());
    Event { time_unix_nano, name, attributes, ..Event::default() }
}

fn status(row: &ConnectionRow, stream: &StreamRow) -> Option<Status> {
    let failed = match stream.end {
        StreamEnd::Completed => stream.status.is_some_and(|status| status >= 500),
        StreamEnd::Reset(..) | StreamEnd::Goaway(_) | StreamEnd::ConnectionEnd(_) => true,
        StreamEnd::Open => false,
    };
    let message = cause(row, stream).map_or("", |cause| cause.name()).to_owned();
    failed.then(|| Status { message, code: StatusCode::Error.into() })
}

fn nanos(at: Timestamp) -> u64 {
    u64::try_from(at.0).unwrap_or(0)
}

/// Eight octets that are the same for the same, and never all zero.
fn hash(of: &impl Hash) -> [u8; 8] {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish().max(1).to_be_bytes()
}

const TRACE_PARENT: &str = "traceparent";
/// Spans of one request: about half a megabyte.
const AT_ONCE: usize = 512;
/// GOAWAYs that a span tells; two are usual.
const GOAWAYS: usize = 8;
