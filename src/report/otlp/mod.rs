//! OTLP, the protocol of OpenTelemetry, in protobuf: the metrics that Prometheus gets, and a span
//! for each stream.
//!
//! Takes what a scrape or a board has, gives requests for a collector and reads its answers. Sends
//! nothing.

mod metrics;
mod spans;

pub use self::metrics::metrics;
pub use self::spans::spans;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use crate::vocab::text::printable;

/// A request to a collector, and where it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it carries.
    pub signal: Signal,
    /// The body.
    pub body: Vec<u8>,
}

/// What a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Metrics.
    Metrics,
    /// Spans.
    Traces,
}

/// The media type of requests.
pub const CONTENT_TYPE: &str = "application/x-protobuf";

impl Signal {
    /// Where a collector takes it, below its base address.
    pub fn path(self) -> &'static str {
        match self {
            Self::Metrics => "/v1/metrics",
            Self::Traces => "/v1/traces",
        }
    }

    /// What the collector says it did not take, of an answer with status 200.
    pub fn rejected(self, answer: &[u8]) -> Option<String> {
        let (count, what, message) = match self {
            Self::Metrics => {
                let partial = ExportMetricsServiceResponse::decode(answer).ok()?.partial_success?;
                (partial.rejected_data_points, "values", partial.error_message)
            }
            Self::Traces => {
                let partial = ExportTraceServiceResponse::decode(answer).ok()?.partial_success?;
                (partial.rejected_spans, "spans", partial.error_message)
            }
        };
        (count > 0).then(|| format!("{count} {what} were rejected: {}", printable(&message)))
    }
}

/// Who tells.
fn resource() -> Option<Resource> {
    let attributes = vec![text("service.name", NAME), text("service.version", VERSION)];
    Some(Resource { attributes, ..Resource::default() })
}

fn scope() -> Option<InstrumentationScope> {
    let (name, version) = (NAME.to_owned(), VERSION.to_owned());
    Some(InstrumentationScope { name, version, ..InstrumentationScope::default() })
}

/// An attribute; what acts on a terminal is escaped.
fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(printable(value)))
}

fn number(key: &str, value: u64) -> KeyValue {
    attribute(key, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

const NAME: &str = "goawhy";
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;

    use super::*;

    #[test]
    fn what_a_collector_rejects_is_told() {
        let answer = |rejected_spans| {
            let error_message = "too old\u{1b}[2J".to_owned();
            let partial = ExportTracePartialSuccess { rejected_spans, error_message };
            ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec()
        };
        let told = Signal::Traces.rejected(&answer(3));
        assert_eq!(told.as_deref(), Some("3 spans were rejected: too old\\u{1b}[2J"));
        assert_eq!(Signal::Traces.rejected(&answer(0)), None, "a warning is no loss");
        assert_eq!(Signal::Traces.rejected(&[]), None);
        assert_eq!(Signal::Metrics.rejected(b"<html>"), None);
    }
}
