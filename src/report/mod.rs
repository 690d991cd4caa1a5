//! Readers: what the board says, as text and as JSON, and frames as they stand on the wire.
//!
//! Takes a [`Board`] (or frames), gives bytes for people and programs. Computes no conclusion.

pub mod alert;
pub mod check;
pub mod diff;
pub mod explain;
pub mod frames;
pub mod har;
pub mod html;
pub mod json;
pub mod live;
#[cfg(feature = "live")]
pub mod metrics;
pub mod notes;
#[cfg(feature = "otlp")]
pub mod otlp;
pub mod table;
pub mod text;

mod block;
mod plain;
#[cfg(test)]
mod sample;
mod stream;
mod style;
mod time;
mod timeline;
mod what_if;

use std::collections::BTreeSet;

use crate::board::filter::Filter;
use crate::board::headline::headline;
use crate::board::words::clock_offset;
use crate::board::{Board, ConnectionRow, StreamRow};
use crate::vocab::capture::Listed;
use crate::vocab::fault::Fault;
use crate::vocab::flow::FlowId;
use crate::vocab::limits::Hit;
use crate::vocab::packet::{Skip, Tunnel};
use crate::vocab::text::{count, packet};

pub use style::Style;
pub use time::TimeStyle;

/// What a user picked out of the report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pick {
    /// Only the connection with this number, from 1.
    pub connection: Option<usize>,
    /// Only this stream.
    pub stream: Option<u32>,
    /// Only what passes the command line's filter; it lives as long as the program.
    pub passing: Option<&'static Passing>,
}

/// What passes a filter, asked once and before anything is hidden.
#[derive(Debug, PartialEq, Eq)]
pub struct Passing {
    filter: Filter,
    connections: BTreeSet<FlowId>,
    /// Where it asks for streams.
    streams: Option<BTreeSet<(FlowId, u32)>>,
}

impl Passing {
    /// Asks the filter.
    pub fn of(board: &Board, filter: Filter) -> Self {
        let passing = || board.rows().map(|(_, row)| row).filter(|row| filter.connection(row));
        let streams = |row: &'_ ConnectionRow| -> Vec<(FlowId, u32)> {
            let passes = |stream: &&StreamRow| filter.connection_with(row, stream);
            row.stream_list.iter().filter(passes).map(|stream| (row.flow, stream.id)).collect()
        };
        Self {
            connections: passing().map(|row| row.flow).collect(),
            streams: filter.wants_streams().then(|| passing().flat_map(streams).collect()),
            filter,
        }
    }
}

impl Pick {
    /// The rows that were asked for, with their indices.
    pub fn rows<'b>(&self, board: &'b Board) -> impl Iterator<Item = (usize, &'b ConnectionRow)> {
        let pick = *self;
        board.rows().filter(move |(_, row)| {
            let has = |stream| row.stream_list.iter().any(|known| known.id == stream);
            pick.connection.is_none_or(|wanted| wanted == row.number)
                && pick.stream.is_none_or(has)
                && pick.passing.is_none_or(|passing| passing.connections.contains(&row.flow))
        })
    }

    /// Whether a stream of a row that was asked for was asked for itself.
    pub fn has_stream(&self, row: &ConnectionRow, stream: &StreamRow) -> bool {
        let streams = self.passing.and_then(|passing| passing.streams.as_ref());
        let passes = streams.is_none_or(|streams| streams.contains(&(row.flow, stream.id)));
        passes && self.stream.is_none_or(|wanted| wanted == stream.id)
    }

    /// Whether connections or streams were named one by one.
    fn is_named(&self) -> bool {
        self.connection.is_some() || self.stream.is_some()
    }

    /// Why nothing was found, where nothing was: one line for the user.
    pub fn miss(&self, board: &Board) -> Option<String> {
        if !self.is_named() || self.rows(board).next().is_some() {
            return None;
        }
        let count = board.connections.len();
        Some(match (self.connection, self.stream) {
            (Some(number), _) if number == 0 || number > count => {
                format!("there is no connection {number}: the capture has {count}")
            }
            (Some(number), _) if self.passing.is_some() => {
                format!("connection {number} does not pass the filter")
            }
            (Some(number), Some(stream)) => {
                format!("connection {number} has no stream {stream} in this capture")
            }
            (_, stream) if self.passing.is_some() => {
                let stream = stream.map_or(String::new(), |id| format!(" with a stream {id}"));
                format!("no connection{stream} passes the filter")
            }
            (_, stream) => format!("no connection has a stream {}", stream.unwrap_or_default()),
        })
    }
}

/// The answer in one sentence, and before it how many were asked for, where not all were. Without a
/// sentence none of them passes.
fn head(board: &Board, pick: Pick) -> (Option<String>, Option<String>) {
    let all = board.connections.len();
    if all == 0 {
        let flows = usize::try_from(board.other_flows).unwrap_or(usize::MAX);
        let of_other = count(flows, "TCP flow");
        let text = format!("No HTTP/2 connection in this capture ({of_other} of other kinds).");
        return (None, Some(text));
    }
    if pick == Pick::default() {
        return (None, Some(headline(board)));
    }
    let places: Vec<usize> = pick.rows(board).map(|(at, _)| at).collect();
    let some = places.len();
    let of = format!("{some} of {}", count(all, "connection"));
    let passing = match pick.passing {
        Some(Passing { filter, .. }) => {
            let passes = if some == 1 { "passes" } else { "pass" };
            format!("{of} {passes} {}", filter.text())
        }
        None => format!("{of} asked for"),
    };
    let picked = || headline(&board.only(places.iter().copied()));
    (Some(passing), (some > 0).then(picked))
}

/// Why packets gave nothing, in words: `link type 147`, `not IP: EtherType 0x0806` ...
pub fn skip_reason(skip: Skip) -> String {
    match skip {
        Skip::LinkType(link) => format!("link type {} is not read", link.0),
        Skip::NotIp(kind) => format!("not IP: type {kind:#06x}"),
        Skip::NotTcp(protocol) => format!("not TCP: IP protocol {protocol}"),
        Skip::Fragment => "IP fragments that were not put together".into(),
        Skip::Cut => "cut by the snap length before the end of the TCP header".into(),
        Skip::Malformed => "headers that contradict themselves".into(),
        Skip::TooDeep => "tunnels nested too deeply".into(),
        Skip::Fault => "goawhy failed on them; please report this".into(),
        Skip::Tunnel(Tunnel::GreRouting) => "GRE with source routes, not opened".into(),
        Skip::Tunnel(Tunnel::GreVersion) => "GRE of an unknown version".into(),
        Skip::Tunnel(Tunnel::Gre(kind)) => format!("GRE with protocol {kind:#06x}, not opened"),
        Skip::Tunnel(Tunnel::VxlanGpe(next)) => {
            format!("VXLAN-GPE with next protocol {next}, not opened")
        }
        Skip::Tunnel(Tunnel::BackboneBridge) => "provider backbone bridging, not opened".into(),
        Skip::Tunnel(Tunnel::MacSec) => "MACsec, not opened".into(),
        Skip::Tunnel(Tunnel::VnTag) => "VN-Tag, not opened".into(),
        Skip::Tunnel(Tunnel::CiscoMetadata) => "Cisco metadata, not opened".into(),
    }
}

/// What to know of a list of frames, beside it.
pub fn listed(listed: &Listed, several: bool) -> Vec<String> {
    let sorted = listed.sorted_behind.map(|stamp| {
        format!(
            "the packets are out of order of time: from packet {} on they are put in order, those \
             before were listed as the pipe brought them; read from a file all are in order",
            packet(stamp, several)
        )
    });
    let clocks = listed.clock_offsets.iter().filter(|of| of.seconds != 0.0).map(clock_offset);
    let faults = listed.faults.iter().map(|told| fault(told, several));
    clocks.chain(sorted).chain(faults).collect()
}

/// What a fault of this program cost, in a sentence.
pub fn fault(fault: &Fault, several: bool) -> String {
    let Fault { flow, stamp, place } = fault;
    let what = match flow {
        Some((_, key)) => format!("the connection {} - {} is left out", key.low, key.high),
        None => "something was left out".to_owned(),
    };
    let from = stamp.map(|stamp| format!(" from packet {} on", packet(stamp, several)));
    let from = from.unwrap_or_default();
    format!("{what}{from}: goawhy failed at {place}; please report this")
}

/// What a reached limit means for the reader.
fn hit_meaning(hit: Hit) -> &'static str {
    match hit {
        Hit::Flows => "more TCP flows at once than are followed; the quietest were let go",
        Hit::OtherFlows => "more flows that never became HTTP/2 than are told",
        Hit::Connections => {
            "more connections than are listed; of the others, untroubled ones first, only the \
             counts are left"
        }
        Hit::Servers => {
            "more servers than are measured; the answer times of the others are left out"
        }
        Hit::EarlyBytes => "more octets out of order than are kept; some count as lost",
        Hit::HeaderBlock => "a header block larger than is read",
        Hit::HeaderList => "a header list larger than is kept",
        Hit::DebugData => "debug data longer than is kept",
        Hit::OpenStreams => "more streams open at once than are followed",
        Hit::Resets => "more resets than are remembered",
        Hit::Troubled => "more failed requests than are looked for beyond a proxy",
        Hit::Goaways => "more GOAWAYs than are remembered",
        Hit::Pings => "more pings than are remembered",
        Hit::Findings => "more broken rules than are told",
        Hit::Faults => "more faults of goawhy than are told",
        Hit::KeyLog => "more TLS keys than are kept; some connections may stay encrypted",
        Hit::TlsWaiting => {
            "more encrypted connections waited for keys than are kept; some may stay encrypted"
        }
        Hit::Fragments => "more IP fragments waiting than are kept",
    }
}
