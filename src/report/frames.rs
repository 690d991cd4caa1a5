//! Every frame in capture order, as lines of text or JSON.
//!
//! Lines are written field by field; a bounded heap puts frames that waited for a hole in their
//! direction back where they belong.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Write};

use super::plain;
use super::time::Ticker;
use crate::board::mask::HIDDEN;
use crate::vocab::frame::{Frame, FrameFault, Payload};
use crate::vocab::header::{Field, HeaderList};
use crate::vocab::text::{printable, utf8_or_escaped};
use crate::vocab::time::Stamp;

/// The formats of `goawhy frames`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Jsonl,
}

/// Writes frames in capture order.
pub struct FrameWriter<W> {
    out: W,
    format: Format,
    headers: bool,
    several: bool,
    /// Whether what strangers should not see is hidden.
    mask: bool,
    /// Whether each line goes out at once.
    prompt: bool,
    ticker: Ticker,
    /// Lines that wait, the earliest first: order, arrival, place in `lines`.
    waiting: BinaryHeap<Reverse<(i64, u64, u64, usize)>>,
    lines: Vec<Vec<u8>>,
    free: Vec<usize>,
    /// Octets in `lines` that wait.
    held: usize,
    arrivals: u64,
}

impl<W: Write> FrameWriter<W> {
    /// A writer of `format` to `out`, with header lists where `headers` asks for them; where there
    /// are several captures each line names its own.
    pub fn new(out: W, format: Format, headers: bool, several: bool) -> Self {
        Self {
            out,
            format,
            headers,
            several,
            mask: false,
            prompt: false,
            ticker: Ticker::default(),
            waiting: BinaryHeap::new(),
            lines: Vec::new(),
            free: Vec::new(),
            held: 0,
            arrivals: 0,
        }
    }

    /// Hides header values and debug data, where that is wanted.
    pub fn mask(&mut self, mask: bool) {
        self.mask = mask;
    }

    /// Lines go out as the frames are read, even if one that waited for a missing packet comes
    /// late: who reads a pipe waits for them.
    pub fn at_once(mut self) -> Self {
        self.prompt = true;
        self
    }

    /// Takes a frame of the connection with this number, from 1.
    pub fn write(&mut self, connection: u64, frame: &Frame<'_>) -> io::Result<()> {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.lines.push(Vec::new());
            self.lines.len().saturating_sub(1)
        });
        let Some(line) = self.lines.get_mut(slot) else { return Ok(()) };
        let (headers, several, mask) = (self.headers, self.several, self.mask);
        let mut pen = Pen { line, ticker: &mut self.ticker, headers, several, mask };
        match self.format {
            Format::Jsonl => pen.json(connection, frame)?,
            Format::Text => pen.text(connection, frame)?,
        }
        self.held = self.held.saturating_add(line.len());
        let (time, place) = self.order(frame.stamp);
        self.waiting.push(Reverse((time, place, self.arrivals, slot)));
        self.arrivals = self.arrivals.saturating_add(1);
        if self.prompt {
            self.release()?;
            return self.out.flush();
        }
        while self.waiting.len() > LINES_HELD || self.held > BYTES_HELD {
            self.release()?;
        }
        Ok(())
    }

    /// Writes what still waits.
    pub fn finish(mut self) -> io::Result<W> {
        while !self.waiting.is_empty() {
            self.release()?;
        }
        self.out.flush()?;
        Ok(self.out)
    }

    /// One capture is told in packet order, several in time order.
    fn order(&self, stamp: Stamp) -> (i64, u64) {
        if self.several { stamp.order() } else { (0, stamp.packet()) }
    }

    fn release(&mut self) -> io::Result<()> {
        let Some(Reverse((_, _, _, slot))) = self.waiting.pop() else { return Ok(()) };
        if let Some(line) = self.lines.get_mut(slot) {
            self.out.write_all(line)?;
            self.held = self.held.saturating_sub(line.len());
            line.clear();
            if line.capacity() > LINE_KEPT {
                *line = Vec::new();
            }
            self.free.push(slot);
        }
        Ok(())
    }
}

/// Writes one line.
struct Pen<'a> {
    line: &'a mut Vec<u8>,
    ticker: &'a mut Ticker,
    headers: bool,
    several: bool,
    mask: bool,
}

/// Octets of a GOAWAY's debug data that the capture lacks.
fn missing_debug(frame: &Frame<'_>) -> u32 {
    match frame.payload {
        Payload::GoAway { debug, .. } => frame.head.length.saturating_sub(8 + debug.len() as u32),
        _ => 0,
    }
}

impl Pen<'_> {
    fn json(&mut self, connection: u64, frame: &Frame<'_>) -> io::Result<()> {
        let head = frame.head;
        write!(self.line, "{{\"packet\":{}", frame.stamp.packet())?;
        if self.several {
            write!(self.line, ",\"capture\":{}", frame.stamp.capture())?;
        }
        self.line.extend_from_slice(b",\"at\":\"");
        self.ticker.rfc3339(self.line, frame.stamp.at)?;
        write!(
            self.line,
            "\",\"connection\":{connection},\"by\":\"{}\",\"stream\":{},\"type\":\"{}\",\
             \"flags\":{},\"length\":{}",
            frame.by.name(),
            head.stream,
            frame.type_name(),
            head.flags.0,
            head.length
        )?;
        self.json_payload(&frame.payload)?;
        let missing = missing_debug(frame);
        if missing > 0 {
            write!(self.line, ",\"debug_missing\":{missing}")?;
        }
        if let Some(headers) = frame.headers.as_ref().filter(|_| self.headers) {
            self.json_headers(headers)?;
        }
        self.line.extend_from_slice(b"}\n");
        Ok(())
    }

    fn json_payload(&mut self, payload: &Payload<'_>) -> io::Result<()> {
        let line = &mut *self.line;
        match *payload {
            Payload::Data { data } => write!(line, ",\"data\":{data}")?,
            Payload::Headers { priority: Some(priority) } | Payload::Priority(priority) => write!(
                line,
                ",\"priority\":{{\"depends_on\":{},\"exclusive\":{},\"weight\":{}}}",
                priority.depends_on,
                priority.exclusive,
                u16::from(priority.weight).saturating_add(1)
            )?,
            Payload::RstStream { code } => {
                write!(line, ",\"error_code\":{},\"error\":\"{code}\"", code.0)?;
            }
            Payload::Settings { ack, values } => {
                write!(line, ",\"ack\":{ack},\"settings\":[")?;
                for (index, (id, value)) in values.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    write!(line, "{comma}[{},{value}]", id.0)?;
                }
                line.push(b']');
            }
            Payload::PushPromise { promised } => write!(line, ",\"promised_stream\":{promised}")?,
            Payload::Ping { ack, opaque } => {
                write!(line, ",\"ack\":{ack},\"opaque\":\"{:016x}\"", u64::from_be_bytes(opaque))?;
            }
            Payload::GoAway { last_stream_id, code, debug } => {
                write!(
                    line,
                    ",\"last_stream_id\":{last_stream_id},\"error_code\":{},\"error\":\"{code}\",\
                     \"debug\":",
                    code.0
                )?;
                octets(line, veiled(self.mask, debug))?;
            }
            Payload::WindowUpdate { increment } => write!(line, ",\"increment\":{increment}")?,
            Payload::Broken(fault) => write!(line, ",\"broken\":\"{}\"", fault_name(fault))?,
            Payload::Unseen => line.extend_from_slice(b",\"unseen\":true"),
            Payload::Preface
            | Payload::Headers { priority: None }
            | Payload::Continuation { .. }
            | Payload::PriorityUpdate { .. }
            | Payload::Other => {}
        }
        Ok(())
    }

    fn json_headers(&mut self, headers: &HeaderList<'_>) -> io::Result<()> {
        let line = &mut *self.line;
        line.extend_from_slice(b",\"headers\":[");
        for (index, field) in headers.iter().enumerate() {
            line.extend_from_slice(if index > 0 { b",[" } else { b"[" });
            known(line, field.name)?;
            line.push(b',');
            known(line, value(self.mask, &field))?;
            line.push(b']');
        }
        line.push(b']');
        if headers.partial || headers.truncated {
            line.extend_from_slice(b",\"headers_incomplete\":true");
        }
        if let Some(fault) = headers.fault {
            write!(line, ",\"headers_fault\":\"RFC 7541 {}\"", fault.kind.section())?;
        }
        Ok(())
    }

    fn text(&mut self, connection: u64, frame: &Frame<'_>) -> io::Result<()> {
        let head = frame.head;
        if self.several {
            write!(self.line, "{}:", frame.stamp.capture().saturating_add(1))?;
        }
        write!(self.line, "{:>7}  ", frame.stamp.packet())?;
        self.ticker.time_of_day(self.line, frame.stamp.at)?;
        write!(
            self.line,
            "  #{connection} {}  {:>5}  {:<13} length {}",
            frame.by.name(),
            head.stream,
            frame.type_name(),
            head.length
        )?;
        if head.flags.0 != 0 {
            write!(self.line, " flags {:#04x}", head.flags.0)?;
        }
        self.text_payload(&frame.payload)?;
        let missing = missing_debug(frame);
        if missing > 0 {
            write!(self.line, " and {missing} octets that were not captured")?;
        }
        self.line.push(b'\n');
        if let Some(headers) = frame.headers.as_ref().filter(|_| self.headers) {
            for field in headers.iter() {
                let [name, value] = [field.name, value(self.mask, &field)].map(|part| {
                    part.map_or_else(|| "?".into(), |part| printable(&utf8_or_escaped(part)))
                });
                writeln!(self.line, "{:>9}{name}: {value}", "")?;
            }
        }
        Ok(())
    }

    fn text_payload(&mut self, payload: &Payload<'_>) -> io::Result<()> {
        let line = &mut *self.line;
        match *payload {
            Payload::Headers { priority: Some(priority) } | Payload::Priority(priority) => {
                write!(line, " depends on {}", priority.depends_on)
            }
            Payload::RstStream { code } => write!(line, " {code}"),
            Payload::Settings { ack, values } => {
                line.extend_from_slice(if ack { b" ack" } else { b"" });
                values.iter().try_for_each(|(id, value)| write!(line, " {id}={value}"))
            }
            Payload::PushPromise { promised } => write!(line, " promises {promised}"),
            Payload::Ping { ack, opaque } => {
                let ack = if ack { " ack" } else { "" };
                write!(line, "{ack} {:016x}", u64::from_be_bytes(opaque))
            }
            Payload::GoAway { last_stream_id, code, debug } => {
                let debug = printable(&utf8_or_escaped(veiled(self.mask, debug)));
                write!(line, " {code} last {last_stream_id} \"{debug}\"")
            }
            Payload::WindowUpdate { increment } => write!(line, " +{increment}"),
            Payload::Broken(fault) => write!(line, " broken: {}", fault_name(fault)),
            Payload::Unseen => write!(line, " not captured"),
            Payload::Preface
            | Payload::Data { .. }
            | Payload::Headers { priority: None }
            | Payload::Continuation { .. }
            | Payload::PriorityUpdate { .. }
            | Payload::Other => Ok(()),
        }
    }
}

/// The value of a field; hidden but for what tells how a request fared.
fn value<'a>(mask: bool, field: &Field<'a>) -> Option<&'a [u8]> {
    let shown = [&b":method"[..], b":status", b":scheme", b"grpc-status"];
    let hides = mask && !field.name.is_some_and(|name| shown.contains(&name));
    field.value.map(|value| veiled(hides, value))
}

/// Octets, or what stands for them.
fn veiled(mask: bool, octets: &[u8]) -> &[u8] {
    if mask && !octets.is_empty() { HIDDEN.as_bytes() } else { octets }
}

fn known(line: &mut Vec<u8>, part: Option<&[u8]>) -> io::Result<()> {
    match part {
        Some(part) => octets(line, part),
        None => line.write_all(b"null"),
    }
}

/// Octets as a JSON string; those that are not UTF-8 as `\\xNN`.
fn octets(line: &mut Vec<u8>, octets: &[u8]) -> io::Result<()> {
    match std::str::from_utf8(octets) {
        Ok(text) => plain::string(line, text),
        Err(_) => plain::string(line, &utf8_or_escaped(octets)),
    }
}

fn fault_name(fault: FrameFault) -> &'static str {
    match fault {
        FrameFault::Length => "length",
        FrameFault::Padding => "padding",
        FrameFault::BlockTooLarge => "header block too large",
    }
}

/// Lines that may wait for an earlier one; directions drift apart by far less.
const LINES_HELD: usize = 16_384;
/// Octets that may wait: header lists can be long.
const BYTES_HELD: usize = 32 * 1024 * 1024;
/// A line's buffer is used again unless it grew beyond this.
const LINE_KEPT: usize = 16 * 1024;

#[cfg(test)]
mod tests;
