//! The report as one JSON object: a contract with other programs, versioned by `schema`.

mod hops;
pub mod lines;
pub mod live;

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::plain::Pairs;
use super::time::Rfc3339;
use super::{Pick, plain, skip_reason};
use crate::board::digest::SCHEMA;
use crate::board::{
    AnswerTimes, Board, ConnectionRow, End, GoawayRow, StreamEnd, StreamRow, Tally,
};
use crate::vocab::address::{Both, Side};
use crate::vocab::capture::CaptureFacts;
use crate::vocab::fault::Fault;
use crate::vocab::flow::HalfNotes;
use crate::vocab::packet::Skip;
use crate::vocab::rule::Rule;
use crate::vocab::text::utf8_or_escaped;
use crate::vocab::time::Stamp;
use crate::vocab::verdict::{Cancellation, Evidence, Finding, LateAnswer, Verdict};

/// What the JSON report contains.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Every stream of each connection.
    pub streams: bool,
    /// What was picked out.
    pub pick: Pick,
}

/// Writes the report as one line; nothing of it is held in memory.
pub fn write(out: &mut impl Write, board: &Board, options: &Options) -> io::Result<()> {
    let shape = Shape::of(board, options);
    plain::write(&mut *out, &View { value: board, shape })?;
    out.write_all(b"\n")
}

/// What all parts of one report share.
#[derive(Clone, Copy)]
struct Shape {
    several: bool,
    streams: bool,
    pick: Pick,
}

impl Shape {
    fn of(board: &Board, options: &Options) -> Self {
        Self {
            several: board.captures.len() > 1,
            streams: options.streams || options.pick.stream.is_some(),
            pick: options.pick,
        }
    }

    fn view<T: ?Sized>(self, value: &T) -> View<'_, T> {
        View { value, shape: self }
    }

    /// `packet`, with `capture` beside it where there are several.
    fn place<M: SerializeMap>(self, map: &mut M, stamp: Stamp) -> Result<(), M::Error> {
        map.serialize_entry("packet", &stamp.packet())?;
        if self.several {
            map.serialize_entry("capture", &stamp.capture())?;
        }
        Ok(())
    }
}

/// A value of the read model, seen as JSON.
struct View<'a, T: ?Sized> {
    value: &'a T,
    shape: Shape,
}

impl<T> Serialize for View<'_, [T]>
where
    for<'b> View<'b, T>: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.value.iter().map(|item| self.shape.view(item)))
    }
}

impl<T> Serialize for View<'_, Option<T>>
where
    for<'b> View<'b, T>: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Some(value) => self.shape.view(value).serialize(serializer),
            None => serializer.serialize_none(),
        }
    }
}

impl Serialize for View<'_, Board> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (board, shape) = (self.value, self.shape);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schema", &SCHEMA)?;
        map.serialize_entry("captures", &shape.view(board.captures.as_slice()))?;
        map.serialize_entry("key_log", &board.key_log)?;
        map.serialize_entry("connections", &Connections { board, shape })?;
        map.serialize_entry("inferred_timeouts", &board.inferred_timeouts)?;
        map.serialize_entry("server_answers", &board.server_answers)?;
        map.serialize_entry("conflicts", &board.conflicts)?;
        map.serialize_entry("hops", &shape.view(board.hops.as_slice()))?;
        map.serialize_entry("clock_offsets", &board.clock_offsets)?;
        if !board.what_if.is_empty() {
            map.serialize_entry("what_if", &board.what_if)?;
        }
        map.serialize_entry("limits", &board.hits)?;
        map.serialize_entry("faults", &shape.view(board.faults.as_slice()))?;
        let tally = lines::tally(board, shape.pick);
        map.serialize_entry("summary", &Summary { tally, other_flows: board.other_flows })?;
        map.end()
    }
}

/// Counts over the connections that were asked for.
#[derive(serde::Serialize)]
struct Summary {
    #[serde(flatten)]
    tally: Tally,
    other_flows: u64,
}

impl Serialize for View<'_, CaptureFacts> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let facts = self.value;
        let losses = facts.skipped.iter().filter(|(skip, _)| skip.is_loss());
        let undecoded = losses.fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("file", &facts.file)?;
        map.serialize_entry("format", &facts.format)?;
        map.serialize_entry("packets", &facts.packets)?;
        map.serialize_entry("bytes", &facts.bytes)?;
        let (first, last) = facts.times().unzip();
        map.serialize_entry("first_packet_at", &first.map(Rfc3339))?;
        map.serialize_entry("last_packet_at", &last.map(Rfc3339))?;
        map.serialize_entry("truncated_packets", &facts.truncated_packets)?;
        map.serialize_entry("kernel_dropped", &facts.kernel_dropped)?;
        map.serialize_entry("undecoded_packets", &undecoded)?;
        map.serialize_entry("undecoded", &Undecoded(&facts.skipped))?;
        map.serialize_entry("damage", &facts.damage)?;
        map.end()
    }
}

impl Serialize for View<'_, Fault> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Fault { flow, stamp, place } = self.value;
        let mut map = serializer.serialize_map(None)?;
        let ends = flow.map(|(_, key)| [key.low.to_string(), key.high.to_string()]);
        map.serialize_entry("between", &ends)?;
        map.serialize_entry("capture", &stamp.map(Stamp::capture))?;
        map.serialize_entry("packet", &stamp.map(Stamp::packet))?;
        map.serialize_entry("at", &stamp.map(|stamp| Rfc3339(stamp.at)))?;
        map.serialize_entry("place", place)?;
        map.end()
    }
}

/// Packets without a TCP segment, by reason.
struct Undecoded<'a>(&'a BTreeMap<Skip, u64>);

impl Serialize for Undecoded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Reason {
            reason: String,
            packets: u64,
            loss: bool,
        }
        serializer.collect_seq(self.0.iter().map(|(skip, packets)| Reason {
            reason: skip_reason(*skip),
            packets: *packets,
            loss: skip.is_loss(),
        }))
    }
}

/// The connections that were asked for, with their numbers.
struct Connections<'a> {
    board: &'a Board,
    shape: Shape,
}

impl Serialize for Connections<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let shape = self.shape;
        let rows = shape.pick.rows(self.board);
        serializer.collect_seq(rows.map(|(_, row)| Connection { id: row.number, row, shape }))
    }
}

struct Connection<'a> {
    id: usize,
    row: &'a ConnectionRow,
    shape: Shape,
}

impl Serialize for Connection<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (row, shape) = (self.row, self.shape);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("capture", &row.first.capture())?;
        map.serialize_entry("client", &Text(&row.client))?;
        map.serialize_entry("server", &Text(&row.server))?;
        map.serialize_entry("transport", &row.transport)?;
        map.serialize_entry("tls", &row.tls)?;
        map.serialize_entry("http2", &row.http2)?;
        map.serialize_entry("joined_midway", &row.joined_midway)?;
        map.serialize_entry("one_sided", &row.one_sided)?;
        map.serialize_entry("first_packet", &row.first.packet())?;
        map.serialize_entry("last_packet", &row.last.packet())?;
        map.serialize_entry("opened_at", &row.opened_at.map(Rfc3339))?;
        map.serialize_entry("closed_at", &row.closed_at.map(Rfc3339))?;
        map.serialize_entry("lost_bytes", &BySide(&row.lost_bytes))?;
        map.serialize_entry("dropped_meanwhile", &row.dropped_meanwhile)?;
        map.serialize_entry("forgotten", &row.forgotten)?;
        let notes = &row.notes;
        let missing = Both { first: Lacks(&notes.first), second: Lacks(&notes.second) };
        map.serialize_entry("missing", &BySide(&missing))?;
        map.serialize_entry("streams", &row.streams)?;
        map.serialize_entry("end", &shape.view(&row.end))?;
        map.serialize_entry("goaways", &shape.view(row.goaways.as_slice()))?;
        map.serialize_entry("end_verdict", &shape.view(&row.end_verdict))?;
        map.serialize_entry("cancellations", &shape.view(row.cancellations.as_slice()))?;
        map.serialize_entry("findings", &shape.view(row.findings.as_slice()))?;
        map.serialize_entry("answers", &shape.view(&row.answers))?;
        map.serialize_entry("implementations", &BySide(&row.implementations))?;
        map.serialize_entry("limits", &row.hits)?;
        if shape.streams {
            map.serialize_entry("stream_list", &Streams { row, shape })?;
        }
        map.end()
    }
}

/// Where octets of one side are missing, and how many more places there are.
struct Lacks<'a>(&'a HalfNotes);

impl Serialize for Lacks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Place {
            after_packet: Option<u64>,
            before_packet: u64,
            offset: u64,
            octets: u64,
        }
        let places = self.0.missing.iter().map(|place| Place {
            after_packet: place.after.map(Stamp::packet),
            before_packet: place.before.packet(),
            offset: place.offset,
            octets: place.octets,
        });
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("places", &places.collect::<Vec<_>>())?;
        map.serialize_entry("more", &self.0.missing_beyond.0)?;
        map.end()
    }
}

/// Something that prints itself.
struct Text<T>(T);

impl<T: std::fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

struct BySide<'a, T>(&'a Both<T>);

impl<T: Serialize> Serialize for BySide<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry(Side::Client.name(), self.0.side(Side::Client))?;
        map.serialize_entry(Side::Server.name(), self.0.side(Side::Server))?;
        map.end()
    }
}

impl Serialize for View<'_, End> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let end = self.value;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("how", &end.how)?;
        map.serialize_entry("by", &end.by)?;
        match end.stamp {
            Some(stamp) => self.shape.place(&mut map, stamp)?,
            None => map.serialize_entry("packet", &None::<u64>)?,
        }
        map.end()
    }
}

impl Serialize for View<'_, GoawayRow> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (goaway, shape) = (self.value, self.shape);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("by", &goaway.by)?;
        shape.place(&mut map, goaway.stamp)?;
        map.serialize_entry("at", &Rfc3339(goaway.stamp.at))?;
        map.serialize_entry("error_code", &goaway.code.0)?;
        map.serialize_entry("error", &Text(goaway.code))?;
        map.serialize_entry("last_stream_id", &goaway.last_stream_id)?;
        map.serialize_entry("debug", &utf8_or_escaped(&goaway.debug))?;
        if goaway.debug_missing > 0 {
            map.serialize_entry("debug_missing", &goaway.debug_missing)?;
        }
        map.serialize_entry("follows", &goaway.follows)?;
        map.serialize_entry("verdict", &shape.view(&goaway.verdict))?;
        map.end()
    }
}

impl Serialize for View<'_, Verdict> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (verdict, shape) = (self.value, self.shape);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("cause", &verdict.cause)?;
        map.serialize_entry("trigger", &verdict.trigger)?;
        map.serialize_entry("blame", &verdict.blame)?;
        map.serialize_entry("confidence", &verdict.confidence.value())?;
        map.serialize_entry("summary", &verdict.summary)?;
        map.serialize_entry("timeout", &verdict.timeout)?;
        map.serialize_entry("late_answer", &shape.view(&verdict.late_answer))?;
        map.serialize_entry("chain", &shape.view(verdict.chain.as_slice()))?;
        map.serialize_entry("cancelled_streams", &verdict.cancelled_streams)?;
        map.serialize_entry("offending_packet", &verdict.offending.map(Stamp::packet))?;
        map.serialize_entry("rule", &shape.view(&verdict.rule))?;
        map.serialize_entry("safe_to_retry_streams", &verdict.safe_to_retry_streams)?;
        map.serialize_entry("maybe_processed_streams", &verdict.maybe_processed_streams)?;
        map.serialize_entry("implementation", &verdict.implementation)?;
        map.serialize_entry("alternatives", &verdict.alternatives)?;
        map.serialize_entry("advice", &verdict.advice)?;
        map.serialize_entry("hop", &shape.view(&verdict.hop))?;
        map.end()
    }
}

impl Serialize for View<'_, LateAnswer> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let late = self.value;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("stream", &late.stream)?;
        map.serialize_entry("request_packet", &late.request.map(Stamp::packet))?;
        map.serialize_entry("reset_packet", &late.reset.map(Stamp::packet))?;
        if self.shape.several {
            map.serialize_entry("request_capture", &late.request.map(Stamp::capture))?;
            map.serialize_entry("reset_capture", &late.reset.map(Stamp::capture))?;
        }
        map.serialize_entry("answered_after", &late.answered_after)?;
        map.end()
    }
}

impl Serialize for View<'_, Evidence> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let step = self.value;
        let mut map = serializer.serialize_map(None)?;
        self.shape.place(&mut map, step.stamp)?;
        map.serialize_entry("at", &Rfc3339(step.stamp.at))?;
        map.serialize_entry("by", &step.by)?;
        if let Some(number) = step.connection {
            map.serialize_entry("connection", &number)?;
        }
        map.serialize_entry("stream", &step.stream)?;
        map.serialize_entry("what", &step.what)?;
        map.serialize_entry("text", &step.text)?;
        map.end()
    }
}

impl Serialize for View<'_, &'static Rule> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("id", &self.value.id)?;
        map.serialize_entry("section", &self.value.section)?;
        map.end()
    }
}

impl Serialize for View<'_, Cancellation> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let set = self.value;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("cause", &set.cause)?;
        map.serialize_entry("by", &set.by)?;
        map.serialize_entry("streams", &set.streams)?;
        map.serialize_entry("timeout", &set.timeout)?;
        map.serialize_entry("confidence", &set.confidence.value())?;
        map.serialize_entry("first_packet", &set.first.packet())?;
        map.serialize_entry("last_packet", &set.last.packet())?;
        if self.shape.several {
            map.serialize_entry("capture", &set.first.capture())?;
        }
        map.serialize_entry("hop", &self.shape.view(&set.hop))?;
        map.serialize_entry("advice", &set.advice)?;
        map.end()
    }
}

impl Serialize for View<'_, Finding> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let finding = self.value;
        let mut map = serializer.serialize_map(None)?;
        self.shape.place(&mut map, finding.stamp)?;
        map.serialize_entry("at", &Rfc3339(finding.stamp.at))?;
        map.serialize_entry("by", &finding.by)?;
        map.serialize_entry("stream", &finding.stream)?;
        map.serialize_entry("rule", &self.shape.view(&finding.rule))?;
        map.serialize_entry("text", &finding.text)?;
        map.serialize_entry("scope", &finding.rule.scope)?;
        map.serialize_entry("error_code", &finding.rule.code.0)?;
        map.end()
    }
}

impl Serialize for View<'_, AnswerTimes> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let answers = self.value;
        let known = |seconds: f64| (answers.count > 0).then_some(seconds);
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("count", &answers.count)?;
        map.serialize_entry("min", &known(answers.min))?;
        map.serialize_entry("median", &known(answers.median))?;
        map.serialize_entry("max", &known(answers.max))?;
        map.end()
    }
}

/// The streams that were asked for.
struct Streams<'a> {
    row: &'a ConnectionRow,
    shape: Shape,
}

impl Serialize for Streams<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let streams = self.row.stream_list.iter();
        let streams = streams.filter(|stream| self.shape.pick.has_stream(self.row, stream));
        serializer.collect_seq(streams.map(|stream| self.shape.view(stream)))
    }
}

impl Serialize for View<'_, StreamRow> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let stream = self.value;
        let at = |stamp: Option<Stamp>| stamp.map(|stamp| Rfc3339(stamp.at));
        // A clock that did not move between two packets measures nothing.
        let moved = |(opened, ended): &(Stamp, Stamp)| {
            opened.at != ended.at || opened.packet() == ended.packet()
        };
        let lasted = stream.opened.zip(stream.ended).filter(moved);
        let lasted = lasted.map(|(opened, ended)| ended.since(opened).as_secs_f64());
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &stream.id)?;
        map.serialize_entry("by", &stream.by)?;
        map.serialize_entry("opened_packet", &stream.opened.map(Stamp::packet))?;
        map.serialize_entry("opened_at", &at(stream.opened))?;
        map.serialize_entry("ended_at", &at(stream.ended))?;
        map.serialize_entry("end", &self.shape.view(&stream.end))?;
        map.serialize_entry("method", &stream.method)?;
        map.serialize_entry("scheme", &stream.scheme)?;
        map.serialize_entry("authority", &stream.authority)?;
        map.serialize_entry("path", &stream.path)?;
        map.serialize_entry("status", &stream.status)?;
        map.serialize_entry("grpc", &stream.grpc)?;
        map.serialize_entry("request_bytes", &stream.request_bytes)?;
        map.serialize_entry("response_bytes", &stream.response_bytes)?;
        let first = stream.first_response_after.map(|after| after.as_secs_f64());
        map.serialize_entry("first_response_after", &first)?;
        map.serialize_entry("duration", &lasted)?;
        map.serialize_entry("request_headers", &Pairs(&stream.request_headers))?;
        map.serialize_entry("response_headers", &Pairs(&stream.response_headers))?;
        map.serialize_entry("trailers", &Pairs(&stream.trailers))?;
        map.end()
    }
}

impl Serialize for View<'_, StreamEnd> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("how", self.value.name())?;
        map.serialize_entry("by", &self.value.by())?;
        map.serialize_entry("error", &self.value.code().map(Text))?;
        map.end()
    }
}

/// The JSON Schema (draft 2020-12) of the report.
pub const JSON_SCHEMA: &str = include_str!("schema.json");

#[cfg(test)]
mod tests;
