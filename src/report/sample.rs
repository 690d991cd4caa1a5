//! A board made by hand, after the capture this project comes from.

use std::sync::Arc;
use std::time::Duration;

use crate::board::{
    AnswerTimes, Board, Conflict, ConnectionRow, End, EndHow, GoawayRow, Grpc, InferredTimeout,
    RequestAnswers, ServerAnswers, ServerTimes, StreamCounts, StreamEnd, StreamRow, TlsRow,
};
use crate::vocab::address::{Both, Endpoint, Side};
use crate::vocab::capture::{CaptureFacts, Damage};
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::error_code::ErrorCode;
use crate::vocab::flow::FlowId;
use crate::vocab::frame::{LAST_STREAM_MAX, Transport};
use crate::vocab::limits::Hit;
use crate::vocab::packet::Skip;
use crate::vocab::rule;
use crate::vocab::time::{Stamp, Timestamp};
use crate::vocab::tls::KeyLogFacts;
use crate::vocab::verdict::{
    Alternative, Cancellation, ConfiguredIn, Evidence, Finding, Implementation, LateAnswer,
    Timeout, Verdict,
};

const START: i64 = 1_790_000_000_000_000_000;

/// Packet `packet` at `milliseconds` after the start.
pub(super) fn stamp(packet: u64, milliseconds: i64) -> Stamp {
    Stamp::new(0, packet, Timestamp(START + milliseconds * 1_000_000))
}

fn endpoint(port: u16) -> Endpoint {
    Endpoint { ip: [127, 0, 0, 1].into(), port }
}

fn step(packet: u64, ms: i64, by: Side, stream: u32, what: &'static str, text: &str) -> Evidence {
    let (stamp, text) = (stamp(packet, ms), text.into());
    Evidence { stamp, by: Some(by), connection: None, stream, what, text }
}

/// A verdict with nothing but its cause.
fn plain(cause: Cause, blame: Blame, summary: &str) -> Verdict {
    Verdict {
        cause,
        trigger: cause,
        blame,
        confidence: Confidence::CERTAIN,
        summary: summary.into(),
        timeout: None,
        late_answer: None,
        chain: Vec::new(),
        cancelled_streams: Vec::new(),
        offending: None,
        rule: None,
        safe_to_retry_streams: Vec::new(),
        maybe_processed_streams: Vec::new(),
        implementation: None,
        alternatives: Vec::new(),
        advice: Vec::new(),
        hop: None,
    }
}

fn client_timeout() -> Timeout {
    Timeout {
        kind: Cause::ClientRequestTimeout,
        seconds: 4.0,
        at_least: false,
        spread_seconds: 0.004,
        samples: 71,
        configured_in: ConfiguredIn::Client,
    }
}

fn seed_verdict() -> Verdict {
    Verdict {
        trigger: Cause::LateResponse,
        timeout: Some(client_timeout()),
        late_answer: Some(LateAnswer {
            stream: 3,
            request: Some(stamp(8, 2)),
            reset: Some(stamp(134, 4005)),
            answered_after: Some(10.069),
        }),
        chain: vec![
            step(8, 2, Side::Client, 3, "HEADERS", "the request goes out"),
            step(134, 4005, Side::Client, 3, "RST_STREAM", "the client gives it up: CANCEL"),
            step(399, 10_071, Side::Server, 0, "GOAWAY", "names stream 3, which was gone"),
        ],
        cancelled_streams: (0..71).map(|n| 3 + 2 * n).collect(),
        maybe_processed_streams: (0..44).map(|n| 165 + 2 * n).collect(),
        implementation: Some(Implementation {
            name: "Vert.x 4.0 to 4.5 on Netty".into(),
            fingerprint: "vertx-stream-not-correct".into(),
            says: None,
        }),
        alternatives: vec![Alternative {
            cause: Cause::ProtocolViolation,
            confidence: Confidence::POSSIBLE,
            against: "no frame of the client breaks a rule".into(),
        }],
        advice: vec![
            "Client: set the deadline above the server's slowest answer plus a margin.".into(),
            "Server: check that the response is still open before writing to it.".into(),
            "The client's log says: Connection was closed (GOAWAY error code = 1).".into(),
        ],
        hop: None,
        ..plain(
            Cause::ClientRequestTimeout,
            Blame::Server,
            "The server closed the connection because its handler answered stream 3, 10.07 s \
             after the request and 6 s after the client had given it up.",
        )
    }
}

/// A connection with nothing to tell.
fn quiet(port: u16) -> ConnectionRow {
    ConnectionRow {
        flow: FlowId(u64::from(port)),
        number: 0,
        client: endpoint(port),
        server: endpoint(20002),
        transport: Transport::PriorKnowledge,
        tls: None,
        http2: true,
        joined_midway: false,
        one_sided: None,
        first: stamp(1, 0),
        last: stamp(402, 10_073),
        opened_at: Some(stamp(1, 0).at),
        closed_at: Some(stamp(402, 10_073).at),
        lost_bytes: Both::default(),
        notes: Both::default(),
        streams: StreamCounts { opened: 34, completed: 34, ..StreamCounts::default() },
        end: End { how: EndHow::Fin, by: Some(Side::Client), stamp: Some(stamp(402, 10_073)) },
        goaways: Vec::new(),
        end_verdict: Some(plain(
            Cause::ClientShutdown,
            Blame::None,
            "The client closed the connection when it was done.",
        )),
        cancellations: Vec::new(),
        findings: Vec::new(),
        stream_list: Vec::new(),
        answers: AnswerTimes { count: 15, min: 0.001, median: 0.002, max: 0.003 },
        implementations: Both::default(),
        metered: None,
        hits: Vec::new(),
        settled: true,
        processes: Both::default(),
        forgotten: false,
        dropped_meanwhile: 0,
    }
}

fn seed_stream() -> StreamRow {
    StreamRow {
        id: 3,
        by: Some(Side::Client),
        opened: Some(stamp(8, 2)),
        ended: Some(stamp(134, 4005)),
        end: StreamEnd::Reset(Side::Client, ErrorCode::CANCEL),
        method: Some("GET".into()),
        scheme: Some("http".into()),
        authority: Some("127.0.0.1:20002".into()),
        path: Some("/slow".into()),
        grpc: Some(Grpc { status: None, message: None, timeout_seconds: Some(4.0) }),
        first_response_after: Some(Duration::from_millis(3)),
        request_headers: [(Some(":method"), Some("GET")), (None, None)].into_iter().collect(),
        ..StreamRow::default()
    }
}

/// The connection that the server ended.
fn seed_connection() -> ConnectionRow {
    let verdict = seed_verdict();
    ConnectionRow {
        streams: StreamCounts {
            opened: 131,
            completed: 15,
            cancelled: 72,
            unfinished: 44,
            ..StreamCounts::default()
        },
        end: End { how: EndHow::Goaway, by: Some(Side::Server), stamp: Some(stamp(399, 10_071)) },
        goaways: vec![GoawayRow {
            stamp: stamp(399, 10_071),
            by: Side::Server,
            code: ErrorCode::PROTOCOL_ERROR,
            last_stream_id: LAST_STREAM_MAX,
            debug: b"Request stream 3 is not correct for server connection".to_vec(),
            debug_missing: 0,
            follows: None,
            verdict: verdict.clone(),
        }],
        end_verdict: None,
        cancellations: vec![Cancellation {
            cause: Cause::ClientRequestTimeout,
            by: Side::Client,
            streams: verdict.cancelled_streams,
            timeout: Some(client_timeout()),
            confidence: Confidence::CERTAIN,
            first: stamp(134, 4005),
            last: stamp(398, 10_060),
            hop: None,
            advice: None,
        }],
        stream_list: vec![seed_stream()],
        ..quiet(33874)
    }
}

fn facts() -> CaptureFacts {
    CaptureFacts {
        file: "vertx-client-timeout-goaway1-10s.pcap".into(),
        format: "pcap".into(),
        packets: 492,
        bytes: 51_000,
        first_packet_at: Some(stamp(1, 0).at),
        last_packet_at: Some(stamp(492, 13_400).at),
        ..CaptureFacts::default()
    }
}

/// The seed case: one connection went away, one ended in good order.
pub(super) fn seed() -> Board {
    Board {
        hops: Vec::new(),
        clock_offsets: Vec::new(),
        captures: vec![facts()],
        connections: numbered([seed_connection(), quiet(44222)]),
        other_flows: 0,
        ..Board::default()
    }
}

fn numbered(rows: impl IntoIterator<Item = ConnectionRow>) -> Vec<Arc<ConnectionRow>> {
    let number = |(row, number)| Arc::new(ConnectionRow { number, ..row });
    rows.into_iter().zip(1..).map(number).collect()
}

/// Twenty connections drained by one reload, and a survivor with cancelled streams.
pub(super) fn reload() -> Board {
    let drained = |n: u16| ConnectionRow {
        end: End { how: EndHow::Goaway, by: Some(Side::Server), stamp: Some(stamp(300, 9000)) },
        goaways: vec![GoawayRow {
            stamp: stamp(300 + u64::from(n), 9000 + i64::from(n)),
            by: Side::Server,
            code: ErrorCode::NO_ERROR,
            last_stream_id: 9,
            debug: Vec::new(),
            debug_missing: 0,
            follows: None,
            verdict: plain(Cause::GracefulShutdown, Blame::None, "The server drained it."),
        }],
        end_verdict: None,
        ..quiet(40_000 + n)
    };
    let survivor = ConnectionRow {
        end: End { how: EndHow::Open, by: None, stamp: None },
        end_verdict: None,
        cancellations: seed_connection().cancellations,
        ..quiet(50_000)
    };
    let mut board = seed();
    board.connections = numbered((0..20).map(drained).chain([survivor]));
    board
}

/// Thirty connections that went away for one reason.
pub(super) fn storm() -> Board {
    let mut board = seed();
    let alike = |n: u16| ConnectionRow { client: endpoint(41_000 + n), ..seed_connection() };
    let first = [seed_connection(), quiet(44222)].into_iter();
    board.connections = numbered(first.chain((0..29).map(alike)));
    board
}

/// Everything that can be missing, broken or hostile at once, over two captures.
pub(super) fn trouble() -> Board {
    let mut row = seed_connection();
    row.joined_midway = true;
    row.one_sided = Some(Side::Server);
    row.lost_bytes.first = 1460;
    row.hits = vec![Hit::Resets];
    row.opened_at = None;
    row.tls = Some(TlsRow { version: Some("TLS 1.3".into()), ..TlsRow::default() });
    if let Some(goaway) = row.goaways.first_mut() {
        goaway.debug = b"\x1b[2J\xff evil".to_vec();
        goaway.verdict.rule = Some(&rule::DATA_STREAM_ZERO);
        goaway.verdict.offending = Some(stamp(9, 3));
        goaway.verdict.safe_to_retry_streams = vec![301];
    }
    let mut second = row.goaways.clone();
    second.iter_mut().for_each(|goaway| goaway.follows = Some(0));
    row.goaways.extend(second);
    row.findings = vec![Finding {
        stamp: stamp(9, 3),
        by: Side::Client,
        stream: 0,
        rule: &rule::DATA_STREAM_ZERO,
        text: "DATA came on stream 0".into(),
    }];
    let mut damaged = facts();
    damaged.damage = Some(Damage { packet: 403, what: "the file ends inside a packet".into() });
    damaged.kernel_dropped = Some(7);
    damaged.skipped = [(Skip::NotTcp(17), 4), (Skip::Fragment, 2)].into();
    Board {
        ages: crate::board::Ages::default(),
        hops: Vec::new(),
        clock_offsets: Vec::new(),
        captures: vec![damaged, facts()],
        connections: numbered([row]),
        key_log: Some(KeyLogFacts { connections: 2, lines: 11, useless_lines: 1, left_out: 0 }),
        other_flows: 3,
        inferred_timeouts: vec![InferredTimeout {
            kind: Cause::IdleTimeout.into(),
            seconds: 20.0,
            spread_seconds: 0.0,
            at_least: true,
            samples: 1,
            connections: 1,
            configured_in: ConfiguredIn::Server,
            client: Some([127, 0, 0, 1].into()),
            requests: Vec::new(),
            server: endpoint(20002),
            confidence: Confidence::LIKELY,
        }],
        conflicts: vec![Conflict {
            rule: "idle-race",
            text: "The server closes idle connections before the client does.".into(),
            between: vec!["127.0.0.1".into(), "127.0.0.1:20002".into()],
            advice: vec!["Set the client's idle timeout below 20 s.".into()],
            confidence: Confidence::new(0.8),
        }],
        server_answers: vec![ServerAnswers {
            server: endpoint(20002),
            times: times(15, 1),
            requests: vec![
                RequestAnswers { request: "GET /slow/#".into(), times: times(0, 1) },
                RequestAnswers { request: "GET /fast".into(), times: times(15, 0) },
            ],
        }],
        hits: [(Hit::Resets, 1)].into(),
        ..Board::default()
    }
}

fn times(count: u64, late: u64) -> ServerTimes {
    let slowest = if late > 0 { 10.069 } else { 0.0 };
    ServerTimes {
        count,
        median: 0.008,
        median_range: None,
        p99: 0.03,
        p99_range: None,
        max: 0.031,
        late,
        late_median: slowest,
        late_max: slowest,
    }
}
