//! What happens on a live capture, one JSON object a line.

use std::io::{self, Write};

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{BySide, SCHEMA, Shape, Text};
use crate::board::ConnectionRow;
use crate::board::snapshot::{InterfaceFacts, Snapshot};
use crate::board::told::{About, Told};
use crate::report::Pick;
use crate::report::plain;
use crate::report::time::Rfc3339;
use crate::vocab::address::Both;
use crate::vocab::time::Timestamp;

const SHAPE: Shape = Shape {
    several: false,
    streams: false,
    pick: Pick { connection: None, stream: None, passing: None },
};

/// Writes one line.
pub fn told(out: &mut impl Write, told: &Told) -> io::Result<()> {
    plain::write(&mut *out, &Line(told))?;
    out.write_all(b"\n")
}

/// Writes the last line: what there was, and what was lost.
pub fn summary(out: &mut impl Write, snapshot: &Snapshot) -> io::Result<()> {
    plain::write(&mut *out, &Last(snapshot))?;
    out.write_all(b"\n")
}

pub(in crate::report) struct Line<'a>(pub(in crate::report) &'a Told);

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let told = self.0;
        let kind = match told.about {
            About::Goaway(_) | About::End => "verdict",
            About::Cancellations(_) => "cancellation",
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schema", &SCHEMA)?;
        map.serialize_entry("kind", kind)?;
        map.serialize_entry("number", &told.number)?;
        map.serialize_entry("settles", &told.settles)?;
        map.serialize_entry("settled", &told.settled)?;
        map.serialize_entry("at", &Rfc3339(told.at()))?;
        map.serialize_entry("connection", &Connection(&told.row))?;
        match told.about {
            About::Goaway(index) => {
                let goaway = told.row.goaways.get(index).map(|goaway| SHAPE.view(goaway));
                map.serialize_entry("goaway", &goaway)?;
            }
            About::End => {
                map.serialize_entry("end", &SHAPE.view(&told.row.end))?;
                map.serialize_entry("verdict", &SHAPE.view(&told.row.end_verdict))?;
            }
            About::Cancellations(_) => {
                let set = told.cancellation().map(|set| SHAPE.view(set));
                map.serialize_entry("cancellation", &set)?;
            }
        }
        map.end()
    }
}

/// What names a connection.
struct Connection<'a>(&'a ConnectionRow);

impl Serialize for Connection<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let row = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("flow", &row.flow.0)?;
        map.serialize_entry("client", &Text(&row.client))?;
        map.serialize_entry("server", &Text(&row.server))?;
        map.serialize_entry("transport", &row.transport)?;
        map.serialize_entry("joined_midway", &row.joined_midway)?;
        map.serialize_entry("first_packet", &row.first.packet())?;
        map.serialize_entry("last_packet", &row.last.packet())?;
        map.serialize_entry("lost_bytes", &BySide(&row.lost_bytes))?;
        map.serialize_entry("dropped_meanwhile", &row.dropped_meanwhile)?;
        map.serialize_entry("forgotten", &row.forgotten)?;
        map.serialize_entry("streams", &row.streams)?;
        let processes =
            Both { first: row.processes.first.as_deref(), second: row.processes.second.as_deref() };
        map.serialize_entry("processes", &BySide(&processes))?;
        map.end()
    }
}

struct Last<'a>(&'a Snapshot);

impl Serialize for Last<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (snapshot, board) = (self.0, &self.0.board);
        let live = snapshot.live.clone().unwrap_or_default();
        let received: u64 = live.interfaces.iter().map(|of| of.received).sum();
        let known = |of: fn(&InterfaceFacts) -> Option<u64>| {
            live.interfaces.iter().filter_map(of).reduce(u64::saturating_add)
        };
        let (kernel, interface) = (known(|of| of.kernel_dropped), known(|of| of.interface_dropped));
        let facts = board.captures.first();
        let connections = board.connections.len() as u64 + board.earlier.connections;
        let at = |time: Option<Timestamp>| time.map(Rfc3339);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schema", &SCHEMA)?;
        map.serialize_entry("kind", "summary")?;
        map.serialize_entry("packets", &snapshot.progress.packets)?;
        map.serialize_entry("bytes", &facts.map_or(0, |facts| facts.bytes))?;
        map.serialize_entry("first_packet_at", &at(facts.and_then(|facts| facts.first_packet_at)))?;
        map.serialize_entry("last_packet_at", &at(snapshot.latest))?;
        map.serialize_entry("kernel_received", &received)?;
        map.serialize_entry("kernel_dropped", &kernel)?;
        map.serialize_entry("interface_dropped", &interface)?;
        map.serialize_entry("queue_dropped", &live.queue_dropped)?;
        let gone = live.interfaces.iter().filter(|of| of.error.is_some());
        let gone: Vec<&str> = gone.map(|of| of.name.as_str()).collect();
        map.serialize_entry("interfaces_down", &live.down())?;
        map.serialize_entry("interfaces_gone", &gone)?;
        map.serialize_entry("connections_shed", &live.shed)?;
        map.serialize_entry("saved", &live.saved)?;
        map.serialize_entry("connections", &connections)?;
        map.serialize_entry("other_flows", &board.other_flows)?;
        map.serialize_entry("goaways", &board.goaways())?;
        map.serialize_entry("causes", &board.causes())?;
        map.serialize_entry("blame", &board.blame())?;
        map.serialize_entry("cancelled_streams", &board.cancelled())?;
        map.serialize_entry("limits", &board.hits)?;
        map.serialize_entry("faults", &SHAPE.view(board.faults.as_slice()))?;
        map.end()
    }
}
