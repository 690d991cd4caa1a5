//! Metrics in the text format of OpenMetrics, which Prometheus scrapes.
//!
//! Takes totals and a snapshot, gives text. Labels have few values, whatever is on the wire: no
//! paths, no addresses, and codes without a name are one.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::board::meter::Totals;
use crate::board::snapshot::{LiveFacts, Snapshot};
use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause};
use crate::vocab::error_code::ErrorCode;
use crate::vocab::limits::Hit;
use crate::vocab::metered::{self, ByCode, Histogram};

/// What the text is of.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is told at one moment.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// What was counted.
    pub totals: Totals,
    /// How it stands.
    pub snapshot: Arc<Snapshot>,
    /// Alarms that went off.
    pub alarms: u64,
}

/// The text.
///
/// # Errors
/// Never, in memory.
pub fn text(scrape: Scrape) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("goawhy");
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.tell(&mut OpenMetrics(encoder))
    }
}

/// The labels of a value.
pub(super) type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

/// What metrics are told to, whatever becomes of them. Units stand at the end of names.
pub(super) trait Told {
    /// One counter, or a counter for each set of labels.
    fn counters<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = (Labels<'a, N>, u64)>,
    ) -> fmt::Result;

    /// Values that go up and down.
    fn gauges<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = (Labels<'a, N>, f64)>,
    ) -> fmt::Result;

    /// Durations.
    fn histogram(&mut self, name: &str, help: &str, of: &Histogram) -> fmt::Result;

    /// A counter without labels.
    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.counters(name, help, std::iter::once(([], value)))
    }

    /// A value without labels.
    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.gauges(name, help, std::iter::once(([], value as f64)))
    }
}

impl Scrape {
    /// Tells everything.
    pub(super) fn tell(&self, told: &mut impl Told) -> fmt::Result {
        self.endings(told)?;
        self.streams(told)?;
        self.measured(told)?;
        self.capture(told)
    }

    fn endings(&self, told: &mut impl Told) -> fmt::Result {
        let totals = &self.totals;
        told.counter("connections", "HTTP/2 connections seen", totals.connections)?;
        let sides = [Side::Client, Side::Server];
        let codes = || (0..CODES).map(|code| metered::label(ErrorCode(code)));
        let pairs = sides.into_iter().flat_map(|by| codes().map(move |code| (by, code)));
        // A counter that begins with its first event hides it from rate().
        let mut goaways: BTreeMap<(Side, &str), u64> = pairs.map(|key| (key, 0)).collect();
        goaways.extend(&totals.goaways);
        let goaways = goaways.into_iter();
        told.counters(
            "goaways",
            "GOAWAY frames as they came, by sender and code",
            goaways.map(|((by, code), count)| ([("by", by.name()), ("code", code)], count)),
        )?;
        let mut verdicts: BTreeMap<Cause, u64> = Cause::ALL.iter().map(|of| (*of, 0)).collect();
        for (ending, count) in &totals.endings {
            *verdicts.entry(ending.cause).or_default() += count;
        }
        told.counters(
            "verdicts",
            "Verdicts on GOAWAYs and ends of connections that are over, by cause",
            verdicts.into_iter().map(|(cause, count)| ([("cause", cause.name())], count)),
        )?;
        let mut blamed: BTreeMap<Blame, u64> = Blame::ALL.iter().map(|of| (*of, 0)).collect();
        for (ending, count) in &totals.endings {
            *blamed.entry(ending.blame).or_default() += count;
        }
        told.counters(
            "blamed_endings",
            "The same by who has to change something",
            blamed.into_iter().map(|(blame, count)| ([("blame", blame.name())], count)),
        )?;
        let endings = totals.endings.iter().map(|(ending, count)| {
            let labels = [
                ("how", ending.how),
                ("by", ending.by.map_or("unknown", Side::name)),
                ("code", ending.code.unwrap_or("none")),
                ("cause", ending.cause.name()),
                ("blame", ending.blame.name()),
            ];
            (labels, *count)
        });
        told.counters("endings", "The same with sender, code and blame", endings)?;
        told.counter(
            "died_requests",
            "Requests that went away with a connection, whoever ended it",
            totals.died,
        )
    }

    fn streams(&self, told: &mut impl Told) -> fmt::Result {
        let totals = &self.totals;
        let streams = &totals.streams;
        told.counter("requests", "Streams that were opened", streams.opened)?;
        let ends = [
            ("completed", streams.completed),
            ("cancelled", streams.cancelled),
            ("reset", streams.reset),
            ("refused", streams.refused),
        ];
        told.counters(
            "streams",
            "Streams that ended, by how",
            ends.into_iter().map(|(end, count)| ([("end", end)], count)),
        )?;
        let sides = [
            (Side::Client, &totals.metered.resets.first),
            (Side::Server, &totals.metered.resets.second),
        ];
        let resets = sides.into_iter().flat_map(|(by, codes)| all_codes(by, codes));
        told.counters("resets", "RST_STREAM frames, by sender and code", resets)?;
        let usual = CANCELS.iter().map(|key| (*key, 0));
        let mut cancelled: BTreeMap<(Cause, Side), u64> = usual.collect();
        cancelled.extend(&totals.cancellations);
        told.counters(
            "cancelled_requests",
            "Requests that were cancelled for a reason that is known",
            cancelled
                .into_iter()
                .map(|((cause, by), count)| ([("cause", cause.name()), ("by", by.name())], count)),
        )?;
        let of = &totals.metered;
        told.histogram("stream_seconds", "From a stream's first HEADERS to its end", &of.ages)?;
        told.histogram("answer_seconds", "From a request to its answer's HEADERS", &of.answers)?;
        told.histogram("ping_seconds", "From a PING to its answer", &of.pings)
    }

    fn measured(&self, told: &mut impl Told) -> fmt::Result {
        let board = &self.snapshot.board;
        let open = board.connections.iter().filter(|row| !row.settled && row.http2);
        told.gauge(
            "open_connections",
            "HTTP/2 connections that are open",
            open.clone().count() as u64,
        )?;
        let streams = open.map(|row| row.streams.unfinished).fold(0, u64::saturating_add);
        told.gauge("open_streams", "Streams that are open on them", streams)?;
        let mut timers: BTreeMap<(&str, &str), (f64, f64)> = BTreeMap::new();
        for of in board.inferred_timeouts.iter().filter(|of| !of.at_least) {
            let key = (of.kind.name(), of.configured_in.name());
            let (least, most) = timers.entry(key).or_insert((of.seconds, of.seconds));
            (*least, *most) = (least.min(of.seconds), most.max(of.seconds));
        }
        let timers = timers.into_iter().flat_map(|((timer, place), (least, most))| {
            let labels = |of| [("timer", timer), ("configured_in", place), ("of", of)];
            [(labels("shortest"), least), (labels("longest"), most)]
        });
        told.gauges("timeout_seconds", "Timeouts as they were measured", timers)?;
        let mut conflicts: BTreeMap<&str, f64> = BTreeMap::new();
        board.conflicts.iter().for_each(|of| *conflicts.entry(of.rule).or_default() += 1.0);
        told.gauges(
            "conflicts",
            "Settings of two ends that do not fit together",
            conflicts.into_iter().map(|(rule, count)| ([("rule", rule)], count)),
        )
    }

    fn capture(&self, told: &mut impl Told) -> fmt::Result {
        let (snapshot, totals) = (&self.snapshot, &self.totals);
        let live = snapshot.live.clone().unwrap_or_default();
        told.counter("packets", "Packets captured", snapshot.progress.packets)?;
        let octets = snapshot.board.captures.iter().map(|of| of.bytes).fold(0, u64::saturating_add);
        told.counter("captured_bytes", "Octets captured", octets)?;
        let sum = |of: fn(&crate::board::snapshot::InterfaceFacts) -> Option<u64>| {
            live.interfaces.iter().filter_map(of).fold(0, u64::saturating_add)
        };
        let dropped = [
            ("kernel", sum(|of| of.kernel_dropped)),
            ("interface", sum(|of| of.interface_dropped)),
            ("queue", live.queue_dropped),
        ];
        told.counters(
            "dropped_packets",
            "Packets lost on the way, by where",
            dropped.into_iter().map(|(place, count)| ([("where", place)], count)),
        )?;
        let lost = [("client", totals.lost.first), ("server", totals.lost.second)];
        told.counters(
            "lost_bytes",
            "Octets of TCP that the capture lacks, by sender",
            lost.into_iter().map(|(by, count)| ([("by", by)], count)),
        )?;
        self.limits(told, &live)?;
        told.counter("alarms", "Alarms that went off (--alert)", self.alarms)?;
        let version = [([("version", env!("CARGO_PKG_VERSION"))], 1.0)];
        told.gauges("build_info", "The program", version.into_iter())
    }

    fn limits(&self, told: &mut impl Told, live: &LiveFacts) -> fmt::Result {
        let mut hits: BTreeMap<Hit, u64> = Hit::ALL.into_iter().map(|hit| (hit, 0)).collect();
        for (hit, count) in &self.totals.hits {
            *hits.entry(*hit).or_default() += count;
        }
        for (hit, count) in &self.snapshot.board.hits {
            *hits.entry(*hit).or_default() += count;
        }
        let name = |hit: Hit| serde_json::to_value(hit).unwrap_or_default();
        let hits: Vec<(String, u64)> = hits
            .into_iter()
            .map(|(hit, count)| (name(hit).as_str().unwrap_or("unknown").to_owned(), count))
            .collect();
        let hits = hits.iter().map(|(limit, count)| ([("limit", limit.as_str())], *count));
        told.counters("limits_reached", "Bounds that were reached", hits)?;
        let help = "Connections given up to stay within memory";
        told.counter("forgotten_connections", help, live.shed)?;
        told.gauge("memory_bytes", "Memory that open connections take, about", live.memory)?;
        told.gauge("memory_limit_bytes", "Memory that they may take", live.memory_limit)?;
        let gone = live.interfaces.iter().filter(|of| of.down || of.error.is_some()).count();
        told.gauge("interfaces_down", "Interfaces that give no packets", gone as u64)
    }
}

/// Every code of a side, with zeros.
fn all_codes<'a>(
    by: Side,
    codes: &'a ByCode,
) -> impl Iterator<Item = ([(&'static str, &'static str); 2], u64)> + 'a {
    (0..CODES).map(move |code| {
        let name = metered::label(ErrorCode(code));
        let count = codes.counts().find(|(known, _)| *known == name).map_or(0, |(_, count)| count);
        ([("by", by.name()), ("code", name)], count)
    })
}

/// Where metrics are written; the registry gives all one prefix.
struct OpenMetrics<'a>(DescriptorEncoder<'a>);

impl Told for OpenMetrics<'_> {
    fn counters<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = (Labels<'a, N>, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            match N {
                0 => family.encode_counter::<NoLabelSet, u64, f64>(&value, None)?,
                _ => {
                    let mut of = family.encode_family(&labels)?;
                    of.encode_counter::<NoLabelSet, u64, f64>(&value, None)?;
                }
            }
        }
        Ok(())
    }

    fn gauges<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = (Labels<'a, N>, f64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            match N {
                0 => family.encode_gauge(&value)?,
                _ => family.encode_family(&labels)?.encode_gauge(&value)?,
            }
        }
        Ok(())
    }

    fn histogram(&mut self, name: &str, help: &str, of: &Histogram) -> fmt::Result {
        let buckets: Vec<(f64, u64)> = of.buckets().collect();
        let mut told = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        told.encode_histogram::<NoLabelSet>(of.sum(), of.count(), &buckets, None)
    }
}

/// Codes of RFC 9113, and one for all others.
const CODES: u32 = 15;
/// Reasons that requests are usually cancelled for.
const CANCELS: &[(Cause, Side)] = &[
    (Cause::ClientRequestTimeout, Side::Client),
    (Cause::ClientCancelBurst, Side::Client),
    (Cause::ServerRequestTimeout, Side::Server),
    (Cause::StreamIdleTimeout, Side::Server),
];
