//! Metrics and spans as a collector of OpenTelemetry gets them: `make otlp`.
#![cfg(feature = "otlp")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Point;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

const SEED: &str = "captures/stacks/vertx-client-timeout-goaway1-10s.pcap";

/// Paths and bodies.
type Taken = Mutex<Vec<(String, Vec<u8>)>>;

/// Takes requests as a collector does, and answers with these statuses in turn, then with 200.
struct Collector {
    address: String,
    taken: Arc<Taken>,
}

impl Collector {
    fn begin(statuses: &'static [u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let taken: Arc<Taken> = Arc::default();
        let into = Arc::clone(&taken);
        thread::spawn(move || {
            let mut statuses = statuses.iter().copied().chain(std::iter::repeat(200));
            for stream in listener.incoming() {
                serve(stream.unwrap(), &mut statuses, &into);
            }
        });
        Self { address, taken }
    }

    fn taken(&self) -> Vec<(String, Vec<u8>)> {
        self.taken.lock().unwrap().clone()
    }

    fn spans(&self) -> Vec<Span> {
        let requests = self.taken().into_iter().map(|(path, body)| {
            assert_eq!(path, "/v1/traces");
            ExportTraceServiceRequest::decode(&body[..]).unwrap()
        });
        let resources = requests.flat_map(|request| request.resource_spans);
        resources
            .flat_map(|of| {
                let known = of.resource.unwrap().attributes;
                assert_eq!(text(&known, "service.name").as_deref(), Some("goawhy"));
                of.scope_spans
            })
            .flat_map(|of| of.spans)
            .collect()
    }
}

/// Requests of one connection, as long as it lasts.
fn serve(stream: TcpStream, statuses: &mut impl Iterator<Item = u16>, into: &Taken) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line == "\r\n" {
                break;
            }
            head.push(line.trim_end().to_ascii_lowercase());
        }
        let field = |name: &str| {
            let line = head.iter().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim_start_matches(':').trim().to_owned())
        };
        assert_eq!(field("content-type").as_deref(), Some("application/x-protobuf"));
        let mut body = vec![0; field("content-length").unwrap().parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        let mut words = head[0].split(' ');
        assert_eq!(words.next(), Some("post"));
        let status = statuses.next().unwrap();
        if status == 200 {
            into.lock().unwrap().push((words.next().unwrap().to_owned(), body));
        }
        let answer = format!("HTTP/1.1 {status} X\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n");
        reader.get_mut().write_all(answer.as_bytes()).unwrap();
    }
}

fn goawhy(arguments: &[&str], input: Stdio) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_goawhy"));
    command.args(arguments).stdin(input).env_remove("SSLKEYLOGFILE");
    // It is never asked.
    command.env("http_proxy", "http://127.0.0.1:9").env("ALL_PROXY", "http://127.0.0.1:9");
    command.output().unwrap()
}

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(SEED)
}

fn value(all: &[KeyValue], key: &str) -> Option<Value> {
    all.iter().find(|of| of.key == key)?.value.clone()?.value
}

fn text(all: &[KeyValue], key: &str) -> Option<String> {
    match value(all, key)? {
        Value::StringValue(text) => Some(text),
        other => panic!("{key}: {other:?}"),
    }
}

fn number(all: &[KeyValue], key: &str) -> Option<i64> {
    match value(all, key)? {
        Value::IntValue(number) => Some(number),
        other => panic!("{key}: {other:?}"),
    }
}

#[test]
fn each_stream_is_a_span_with_its_cause_and_what_ended_it() {
    let collector = Collector::begin(&[503]);
    let file = sample();
    let done =
        goawhy(&["report", "--otlp", &collector.address, file.to_str().unwrap()], Stdio::null());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(String::from_utf8_lossy(&done.stdout).contains("late_response"), "and the report too");
    let spans = collector.spans();
    let report =
        goawhy(&["report", "--streams", "--format", "json", file.to_str().unwrap()], Stdio::null());
    let report: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
    let streams: usize = report["connections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["stream_list"].as_array().unwrap().len())
        .sum();
    assert_eq!(spans.len(), streams);
    let ids: BTreeSet<&[u8]> = spans.iter().map(|span| &span.span_id[..]).collect();
    assert_eq!(ids.len(), spans.len(), "no identifier twice");
    let traces: BTreeSet<&[u8]> = spans.iter().map(|span| &span.trace_id[..]).collect();
    assert!(traces.len() <= report["connections"].as_array().unwrap().len());
    let of = |stream: i64| {
        let is = |span: &&Span| {
            number(&span.attributes, "goawhy.stream") == Some(stream)
                && number(&span.attributes, "goawhy.connection") == Some(1)
        };
        spans.iter().find(is).unwrap()
    };
    let third = of(3);
    assert_eq!(third.name, "GET");
    let lasted = third.end_time_unix_nano - third.start_time_unix_nano;
    assert!((4_000_000_000..4_100_000_000).contains(&lasted), "{lasted}");
    let told = |key: &str| text(&third.attributes, key).unwrap_or_default();
    assert_eq!((told("goawhy.end"), told("goawhy.end_by")), ("reset".into(), "client".into()));
    assert_eq!((told("error.type"), told("url.path")), ("CANCEL".into(), "/slow/1".into()));
    assert_eq!(told("goawhy.cause"), "client_request_timeout");
    assert_eq!(third.status.as_ref().map(|status| status.code), Some(2));
    let event = &third.events[0];
    assert_eq!((third.events.len(), event.name.as_str()), (1, "RST_STREAM"));
    assert_eq!(number(&event.attributes, "goawhy.packet"), Some(134));
    assert_eq!(event.time_unix_nano, third.end_time_unix_nano);
    // Those that died with the connection have seen its GOAWAY.
    let by_end = |end: &str| {
        let is = |span: &&Span| text(&span.attributes, "goawhy.end").as_deref() == Some(end);
        spans.iter().filter(is).collect::<Vec<_>>()
    };
    assert_eq!(by_end("reset").len(), 72);
    let first = |span: &&Span| number(&span.attributes, "goawhy.connection") == Some(1);
    let died = [by_end("connection_end"), by_end("goaway")].concat();
    let died: Vec<&Span> = died.into_iter().filter(first).collect();
    assert_eq!(died.len(), 44);
    for span in died {
        let goaway = span.events.iter().find(|event| event.name == "GOAWAY").unwrap();
        let told = |key: &str| text(&goaway.attributes, key).unwrap_or_default();
        assert_eq!(told("goawhy.error_code"), "PROTOCOL_ERROR");
        assert_eq!(told("goawhy.cause"), "client_request_timeout");
        assert!(told("goawhy.debug").starts_with("Request stream 3"), "{}", told("goawhy.debug"));
        assert_eq!(text(&span.attributes, "goawhy.blame").as_deref(), Some("server"));
    }
}

#[test]
fn a_request_with_a_traceparent_joins_its_trace() {
    let script = "0 SYN\n1 C> PREFACE\n+ SETTINGS\n2 S> SETTINGS\n\
        3 C> HEADERS 1 END_STREAM :method=POST :scheme=http :authority=a :path=/p.S/M \
        content-type=application/grpc \
        traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\n\
        4 C> HEADERS 3 END_STREAM :method=GET :scheme=http :authority=a :path=/x?y=1 \
        traceparent=00-00000000000000000000000000000000-00f067aa0ba902b7-01\n\
        9 S> HEADERS 1 END_STREAM :status=200 content-type=application/grpc grpc-status=14\n\
        9 S> HEADERS 3 END_STREAM :status=503\n";
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("otlp.pcap");
    std::fs::write(&file, goawhy::exchange::pcap(script).unwrap()).unwrap();
    let collector = Collector::begin(&[]);
    let file = file.to_str().unwrap();
    let done = goawhy(&["report", "--otlp", &collector.address, file], Stdio::null());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let spans = collector.spans();
    let [first, second] = &spans[..] else { panic!("{spans:#?}") };
    let hex = |octets: &[u8]| octets.iter().map(|of| format!("{of:02x}")).collect::<String>();
    assert_eq!(hex(&first.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(hex(&first.parent_span_id), "00f067aa0ba902b7");
    assert_eq!((first.flags, first.name.as_str()), (0x301, "p.S/M"));
    assert_eq!(number(&first.attributes, "rpc.grpc.status_code"), Some(14));
    // Zeros name no trace.
    assert!(second.parent_span_id.is_empty() && second.trace_id.iter().any(|of| *of != 0));
    assert_eq!((second.name.as_str(), second.status.as_ref().unwrap().code), ("GET", 2));
    assert_eq!(text(&second.attributes, "url.query").as_deref(), Some("y=1"));
    // A mask hides what is in requests, and with it whose they are.
    let collector = Collector::begin(&[]);
    goawhy(&["report", "--mask", "--otlp", &collector.address, file], Stdio::null());
    let masked = collector.spans();
    assert!(masked.iter().all(|span| span.parent_span_id.is_empty()));
    assert!(!format!("{masked:?}").contains("p.S"), "{masked:#?}");
}

#[test]
fn a_collector_that_is_away_or_refuses_is_told() {
    let file = sample();
    let away =
        format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let refuses = Collector::begin(&[400]);
    for (address, what) in [(&away, "/v1/traces"), (&refuses.address, "answers 400")] {
        let done = goawhy(&["report", "--otlp", address, file.to_str().unwrap()], Stdio::null());
        let told = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(2), "{told}");
        assert!(told.contains(what) && told.lines().count() == 1, "{told}");
    }
    let done =
        goawhy(&["report", "--otlp", "https://a:4318", file.to_str().unwrap()], Stdio::null());
    assert_eq!(done.status.code(), Some(2));
}

#[test]
fn metrics_of_a_live_capture_arrive_by_its_end() {
    let collector = Collector::begin(&[]);
    let arguments = ["live", "-", "--otlp", &collector.address];
    let done = goawhy(&arguments, File::open(sample()).unwrap().into());
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success() && !told.contains("do not arrive"), "{told}");
    let (path, body) = collector.taken().pop().expect("nothing arrived");
    assert_eq!(path, "/v1/metrics");
    let request = ExportMetricsServiceRequest::decode(&body[..]).unwrap();
    let metrics: BTreeMap<String, Metric> = request.resource_metrics[0].scope_metrics[0]
        .metrics
        .iter()
        .map(|metric| (metric.name.clone(), metric.clone()))
        .collect();
    let sum = |name: &str, labels: &[(&str, &str)]| -> i64 {
        let Some(Data::Sum(sum)) = &metrics[name].data else { panic!("{name}") };
        let has = |all: &[KeyValue], (key, value): &(&str, &str)| {
            text(all, key).as_deref() == Some(value)
        };
        let asked = sum
            .data_points
            .iter()
            .filter(|of| labels.iter().all(|label| has(&of.attributes, label)));
        asked
            .map(|of| match of.value {
                Some(Point::AsInt(value)) => value,
                other => panic!("{other:?}"),
            })
            .sum()
    };
    assert_eq!(sum("goawhy.goaways", &[]), 1);
    assert_eq!(sum("goawhy.goaways", &[("by", "server"), ("code", "PROTOCOL_ERROR")]), 1);
    assert_eq!(sum("goawhy.cancelled_requests", &[("cause", "client_request_timeout")]), 72);
    assert_eq!(sum("goawhy.died_requests", &[]), 74);
    let Some(Data::Histogram(answers)) = &metrics["goawhy.answer"].data else { panic!() };
    assert_eq!((answers.data_points[0].count, metrics["goawhy.answer"].unit.as_str()), (19, "s"));
    let points = &answers.data_points[0];
    assert!(
        0 < points.start_time_unix_nano && points.start_time_unix_nano <= points.time_unix_nano
    );
}

#[test]
fn a_live_capture_goes_on_without_its_collector() {
    let arguments = ["live", "-", "--otlp", "http://127.0.0.1:9"];
    let done = goawhy(&arguments, File::open(sample()).unwrap().into());
    assert!(done.status.success());
    assert!(String::from_utf8_lossy(&done.stdout).contains("late_response"));
}
