//! An alarm that went off: one JSON object a line, or a sentence.

use std::io::{self, Write};

use super::json::live;
use super::plain;
use crate::board::alarm::Raised;
use crate::vocab::text::span;

/// Writes one line of JSON: the alarm, and what set it off as `goawhy live` tells it.
pub fn json(out: &mut impl Write, raised: &Raised) -> io::Result<()> {
    #[derive(serde::Serialize)]
    struct Line<'a> {
        schema: u32,
        kind: &'static str,
        alarm: &'a str,
        count: u64,
        within_seconds: f64,
        held_back: u64,
        latest: live::Line<'a>,
    }
    let line = Line {
        schema: SCHEMA,
        kind: "alarm",
        alarm: &raised.alarm,
        count: raised.count,
        within_seconds: raised.within.as_secs_f64(),
        held_back: raised.held_back,
        latest: live::Line(&raised.told),
    };
    plain::write(&mut *out, &line)?;
    out.write_all(b"\n")
}

/// The same in a sentence.
pub(super) fn words(raised: &Raised) -> String {
    let row = &raised.told.row;
    let what = match (raised.told.verdict(), raised.told.cancellation()) {
        (Some(verdict), _) => verdict.summary.clone(),
        (None, Some(set)) => format!("{}: requests cancelled", set.cause),
        (None, None) => String::new(),
    };
    let within = span(raised.within.as_secs_f64());
    let (count, alarm) = (raised.count, &raised.alarm);
    format!("{alarm}: {count} within {within}; latest on {} → {}: {what}", row.client, row.server)
}

const SCHEMA: u32 = 1;
