//! Streams, told: a line each, or the whole story of one.

use super::Pick;
use super::block::Teller;
use super::style::{Ink, Page, packet, shortened, span};
use crate::board::{ConnectionRow, StreamEnd, StreamRow};
use crate::vocab::time::Stamp;
use crate::vocab::verdict::{Evidence, Verdict};

impl Teller<'_> {
    /// A line for every stream of a connection.
    pub(super) fn stream_table(&self, page: &mut Page, row: &ConnectionRow, pick: Pick) {
        if row.stream_list.is_empty() {
            return;
        }
        page.blank();
        for stream in row.stream_list.iter().filter(|stream| pick.has_stream(row, stream)) {
            let opened = stream.opened.map_or(String::new(), |stamp| {
                format!("{:>7} {:>11}", packet(stamp, self.several), self.clock.at(stamp.at))
            });
            let text = format!("{opened:<19}  {}: {}", request(stream), outcome(stream));
            page.line(2, &[(Ink::Cyan, &format!("{:>10}  ", stream.id)), (Ink::Plain, &text)]);
        }
    }

    /// All that the capture tells about one stream.
    pub(super) fn stream_story(
        &self,
        page: &mut Page,
        id: usize,
        row: &ConnectionRow,
        stream: &StreamRow,
    ) {
        let name = format!("stream {} of #{id}  {} → {}", stream.id, row.client, row.server);
        page.line(0, &[(Ink::Bold, &name)]);
        page.paragraph(2, Ink::Plain, &format!("{}: {}", request(stream), outcome(stream)));
        page.blank();
        self.moment(page, "asked", stream.opened);
        if let (Some(after), Some(opened)) = (stream.first_response_after, stream.opened) {
            let text = format!(
                "{}, {} later",
                self.clock.at(opened.at.plus(after)),
                span(after.as_secs_f64())
            );
            page.labelled("answered", &text);
        }
        self.moment(page, "ended", stream.ended);
        page.labelled("request", &format!("{} octets", stream.request_bytes));
        page.labelled("response", &format!("{} octets", stream.response_bytes));
        if let Some(verdict) = row.lead() {
            self.part_in_verdict(page, stream.id, verdict);
        }
        for (label, headers) in [
            ("asked with", &stream.request_headers),
            ("answered with", &stream.response_headers),
            ("trailers", &stream.trailers),
        ] {
            for (index, (name, value)) in headers.iter().enumerate() {
                let (name, value) = (name.unwrap_or("?"), value.unwrap_or("?"));
                let text = format!("{name}: {}", shortened(value, VALUE_SHOWN));
                page.labelled(if index == 0 { label } else { "" }, &text);
            }
        }
    }

    fn moment(&self, page: &mut Page, label: &str, stamp: Option<Stamp>) {
        if let Some(stamp) = stamp {
            let number = packet(stamp, self.several);
            page.labelled(label, &format!("{}, packet {number}", self.clock.at(stamp.at)));
        }
    }

    /// What the connection's end meant for the stream, and the steps that are about it.
    fn part_in_verdict(&self, page: &mut Page, id: u32, verdict: &Verdict) {
        let part = if verdict.late_answer.as_ref().is_some_and(|late| late.stream == id) {
            "its late answer ended the connection"
        } else if verdict.safe_to_retry_streams.contains(&id) {
            "it was never processed: safe to send again"
        } else if verdict.maybe_processed_streams.contains(&id) {
            "it died with the connection and may have been processed: retry only if idempotent"
        } else if verdict.cancelled_streams.contains(&id) {
            "it was one of the cancelled streams behind the connection's end"
        } else {
            "it has no part in the connection's end"
        };
        page.labelled("part", part);
        page.labelled("connection", &verdict.summary);
        let steps = verdict.chain.iter().filter(|step| step.stream == id);
        let steps: Vec<Evidence> = steps.cloned().collect();
        if !steps.is_empty() {
            page.blank();
            super::timeline::draw(page, &steps, self.clock, self.several);
            page.blank();
        }
    }
}

/// `GET http://host/path`; parts that the capture cannot tell are `?`.
fn request(stream: &StreamRow) -> String {
    let known = |part: &Option<String>| part.clone().unwrap_or_else(|| "?".into());
    if stream.method.is_none() && stream.path.is_none() {
        return "a request that the capture does not show".into();
    }
    let address = match (&stream.scheme, &stream.authority) {
        (Some(scheme), Some(authority)) => format!("{scheme}://{authority}"),
        (_, Some(authority)) => authority.clone(),
        (_, None) => String::new(),
    };
    let whole = format!("{} {address}{}", known(&stream.method), known(&stream.path));
    shortened(&whole, REQUEST_SHOWN)
}

/// Status, gRPC status, end and duration.
fn outcome(stream: &StreamRow) -> String {
    let mut parts = Vec::new();
    match stream.status {
        Some(status) => parts.push(format!("status {status}")),
        None => parts.push("no answer".into()),
    }
    if let Some(grpc) = &stream.grpc {
        if let Some(status) = grpc.status {
            let message = grpc.message.as_ref().filter(|message| !message.is_empty());
            let message = message.map_or(String::new(), |text| format!(" \"{text}\""));
            parts.push(format!("grpc-status {status}{message}"));
        }
        if let Some(seconds) = grpc.timeout_seconds {
            parts.push(format!("deadline {}", span(seconds)));
        }
    }
    parts.push(match stream.end {
        StreamEnd::Completed => "completed".into(),
        StreamEnd::Reset(by, code) => format!("reset by the {} with {code}", by.name()),
        StreamEnd::Goaway(by) => format!("dropped by the GOAWAY of the {}", by.name()),
        StreamEnd::ConnectionEnd(Some(by)) => {
            format!("open when the {} ended the connection", by.name())
        }
        StreamEnd::ConnectionEnd(None) => "open when the connection ended".into(),
        StreamEnd::Open => "open when the capture ended".into(),
    });
    if let Some((opened, ended)) = stream.opened.zip(stream.ended) {
        parts.push(format!("after {}", span(ended.since(opened).as_secs_f64())));
    }
    parts.join(", ")
}

const REQUEST_SHOWN: usize = 120;
const VALUE_SHOWN: usize = 400;
