//! Metrics: names and labels are those that Prometheus gets, cumulative since the program began.
//!
//! A unit at the end of a name becomes the unit of the metric; whoever hands OTLP on to Prometheus
//! puts it back, and `_total` too.

use std::fmt;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum,
};
use prost::Message;

use super::{Request, Signal, resource, scope, text};
use crate::report::metrics::{Labels, Scrape, Told};
use crate::vocab::metered;

/// What a scrape has, counted from one moment to another (nanoseconds since 1970).
pub fn metrics(scrape: &Scrape, since: u64, now: u64) -> Request {
    let mut told = Metrics { since, now, all: Vec::new() };
    // A list takes everything.
    let _ = scrape.tell(&mut told);
    let of_scope = ScopeMetrics { scope: scope(), metrics: told.all, ..ScopeMetrics::default() };
    let of_resource = ResourceMetrics {
        resource: resource(),
        scope_metrics: vec![of_scope],
        ..ResourceMetrics::default()
    };
    let request = ExportMetricsServiceRequest { resource_metrics: vec![of_resource] };
    Request { signal: Signal::Metrics, body: request.encode_to_vec() }
}

struct Metrics {
    since: u64,
    now: u64,
    all: Vec<Metric>,
}

impl Told for Metrics {
    fn counters<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = (Labels<'a, N>, u64)>,
    ) -> fmt::Result {
        let value = |count| Value::AsInt(i64::try_from(count).unwrap_or(i64::MAX));
        let points = values.map(|(labels, count)| self.point(&labels, value(count))).collect();
        let sum = Sum {
            data_points: points,
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
            is_monotonic: true,
        };
        self.add(name, help, Data::Sum(sum));
        Ok(())
    }

    fn gauges<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = (Labels<'a, N>, f64)>,
    ) -> fmt::Result {
        let points = values.map(|(labels, value)| self.point(&labels, Value::AsDouble(value)));
        let gauge = Gauge { data_points: points.collect() };
        self.add(name, help, Data::Gauge(gauge));
        Ok(())
    }

    fn histogram(&mut self, name: &str, help: &str, of: &metered::Histogram) -> fmt::Result {
        let (bounds, counts): (Vec<f64>, Vec<u64>) = of.buckets().unzip();
        let point = HistogramDataPoint {
            start_time_unix_nano: self.since,
            time_unix_nano: self.now,
            count: of.count(),
            sum: Some(of.sum()),
            bucket_counts: counts,
            // The last one is what lies beyond.
            explicit_bounds: bounds.into_iter().filter(|bound| bound.is_finite()).collect(),
            ..HistogramDataPoint::default()
        };
        let histogram = Histogram {
            data_points: vec![point],
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
        };
        self.add(name, help, Data::Histogram(histogram));
        Ok(())
    }
}

impl Metrics {
    fn point<const N: usize>(&self, labels: &Labels<'_, N>, value: Value) -> NumberDataPoint {
        let attributes: Vec<KeyValue> = labels.iter().map(|(key, of)| text(key, of)).collect();
        NumberDataPoint {
            attributes,
            start_time_unix_nano: self.since,
            time_unix_nano: self.now,
            value: Some(value),
            ..NumberDataPoint::default()
        }
    }

    fn add(&mut self, name: &str, help: &str, data: Data) {
        let unit = UNITS.iter().find_map(|(end, unit)| Some((name.strip_suffix(end)?, *unit)));
        let (name, unit) = unit.unwrap_or((name, ""));
        self.all.push(Metric {
            name: format!("goawhy.{name}"),
            description: help.to_owned(),
            unit: unit.to_owned(),
            data: Some(data),
            ..Metric::default()
        });
    }
}

/// Units as UCUM writes them, by the ends of names.
const UNITS: &[(&str, &str)] = &[("_seconds", "s"), ("_bytes", "By")];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::board::meter::Totals;
    use crate::board::snapshot::Snapshot;

    fn sent(totals: Totals) -> Vec<Metric> {
        let scrape = Scrape { totals, snapshot: Arc::new(Snapshot::default()), alarms: 2 };
        let request = metrics(&scrape, 5, 7);
        assert_eq!(request.signal, Signal::Metrics);
        let request = ExportMetricsServiceRequest::decode(&request.body[..]).unwrap();
        request.resource_metrics[0].scope_metrics[0].metrics.clone()
    }

    #[test]
    fn they_are_those_of_prometheus() {
        let scrape = Scrape { totals: Totals::default(), snapshot: Arc::default(), alarms: 0 };
        let text = crate::report::metrics::text(scrape).unwrap();
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE goawhy_"));
        let scraped: BTreeSet<String> =
            types.map(|line| line.split(' ').next().unwrap().to_owned()).collect();
        let unit = |of: &str| UNITS.iter().find(|(_, unit)| *unit == of).map_or("", |unit| unit.0);
        let name = |of: &Metric| format!("{}{}", &of.name["goawhy.".len()..], unit(&of.unit));
        let pushed: BTreeSet<String> = sent(Totals::default()).iter().map(name).collect();
        assert_eq!(pushed, scraped);
    }

    #[test]
    fn values_are_cumulative_and_buckets_apart() {
        let mut totals = Totals { died: 44, ..Totals::default() };
        totals.metered.answers.add(Duration::from_millis(3));
        totals.metered.answers.add(Duration::from_secs(9_999));
        let all = sent(totals);
        let of = |name: &str| all.iter().find(|metric| metric.name == name).unwrap();
        let Some(Data::Sum(died)) = &of("goawhy.died_requests").data else { panic!("no sum") };
        assert!(died.is_monotonic && died.aggregation_temporality == 2);
        let point = &died.data_points[0];
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (5, 7));
        assert_eq!(point.value, Some(Value::AsInt(44)));
        let answers = of("goawhy.answer");
        let Some(Data::Histogram(times)) = &answers.data else { panic!("no histogram") };
        let times = &times.data_points[0];
        assert_eq!((answers.unit.as_str(), times.count, times.sum), ("s", 2, Some(9_999.003)));
        assert_eq!(times.bucket_counts.len(), times.explicit_bounds.len() + 1);
        let place = times.explicit_bounds.iter().position(|bound| *bound == 0.005).unwrap();
        assert_eq!((times.bucket_counts[place], times.bucket_counts.last()), (1, Some(&1)));
    }
}
