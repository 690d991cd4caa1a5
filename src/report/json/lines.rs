//! The report as JSON Lines: the parts of the one object, one a line, told apart by `type`.

use std::io::{self, Write};

use serde::Serialize;

use super::{Connection, Options, SCHEMA, Shape, Summary, Tally};
use crate::board::Board;
use crate::report::{Pick, plain};

/// One line.
#[derive(Serialize)]
struct Line<T: Serialize> {
    r#type: &'static str,
    #[serde(flatten)]
    value: T,
}

/// A stream, which has a line of its own instead of a place in its connection's.
#[derive(Serialize)]
struct OfConnection<T: Serialize> {
    connection: usize,
    #[serde(flatten)]
    stream: T,
}

/// Writes the report, a line for each thing in it; nothing of it is held in memory.
pub fn write(out: &mut impl Write, board: &Board, options: &Options) -> io::Result<()> {
    let shape = Shape::of(board, options);
    let bare = Shape { streams: false, ..shape };
    #[derive(Serialize)]
    struct Head<'a, K> {
        schema: u32,
        key_log: &'a K,
    }
    line(out, "report", Head { schema: SCHEMA, key_log: &board.key_log })?;
    for facts in &board.captures {
        line(out, "capture", shape.view(facts))?;
    }
    for (_, row) in shape.pick.rows(board) {
        let connection = row.number;
        line(out, "connection", Connection { id: connection, row, shape: bare })?;
        let streams = row.stream_list.iter().filter(|_| shape.streams);
        for stream in streams.filter(|stream| shape.pick.has_stream(row, stream)) {
            line(out, "stream", OfConnection { connection, stream: shape.view(stream) })?;
        }
    }
    for timeout in &board.inferred_timeouts {
        line(out, "inferred_timeout", timeout)?;
    }
    for answers in &board.server_answers {
        line(out, "server_answers", answers)?;
    }
    for conflict in &board.conflicts {
        line(out, "conflict", conflict)?;
    }
    for hop in &board.hops {
        line(out, "hop", shape.view(hop))?;
    }
    for offset in &board.clock_offsets {
        line(out, "clock_offset", offset)?;
    }
    for answer in &board.what_if {
        line(out, "what_if", answer)?;
    }
    line(out, "limits", &board.hits)?;
    for fault in &board.faults {
        line(out, "fault", shape.view(fault))?;
    }
    let summary = Summary { tally: tally(board, shape.pick), other_flows: board.other_flows };
    line(out, "summary", summary)
}

/// Counts over what was picked out.
pub(super) fn tally(board: &Board, pick: Pick) -> Tally {
    let mut tally = if pick == Pick::default() { board.earlier.clone() } else { Tally::default() };
    pick.rows(board).for_each(|(_, row)| tally.add(row));
    tally
}

fn line<T: Serialize>(out: &mut impl Write, r#type: &'static str, value: T) -> io::Result<()> {
    plain::write(&mut *out, &Line { r#type, value })?;
    out.write_all(b"\n")
}
