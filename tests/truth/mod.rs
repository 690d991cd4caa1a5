//! A report against a truth file, field by field.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use crate::common::{Case, list, numbers, text};

/// Something that is not as the truth says.
pub struct Miss {
    /// Capture and connection: `stacks/vertx4512-idle#0`.
    pub place: String,
    pub field: &'static str,
    what: String,
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.place, self.field, self.what)
    }
}

/// What was compared.
pub struct Tally {
    capture: String,
    place: String,
    /// Octets are missing: what rests on them may be unknown, but never wrong.
    partial: bool,
    pub misses: Vec<Miss>,
}

impl Tally {
    pub fn new(case: &Case) -> Self {
        let (capture, place) = (case.name.clone(), case.name.clone());
        Self { capture, place, partial: case.is_partial(), misses: Vec::new() }
    }

    fn at(&mut self, connection: usize) {
        self.place = format!("{}#{connection}", self.capture);
    }

    fn check(&mut self, field: &'static str, ok: bool, want: &Value, got: &Value) {
        if !ok {
            let cut = |value: &Value| value.to_string().chars().take(160).collect::<String>();
            let what = format!("want {}, got {}", cut(want), cut(got));
            self.misses.push(Miss { place: self.place.clone(), field, what });
        }
    }

    fn same(&mut self, field: &'static str, want: &Value, got: &Value) {
        self.check(field, want == got, want, got);
    }
}

/// Compares every connection of the truth with the report's.
pub fn compare(tally: &mut Tally, case: &Case, report: &Value) {
    let mut ours: Vec<&Value> = list(&report["connections"]).iter().collect();
    for (number, want) in list(&case.truth["connections"]).iter().enumerate() {
        tally.at(number);
        let same =
            |got: &&Value| got["client"] == want["client"] && got["server"] == want["server"];
        let place = ours.iter().position(same);
        let got = place.map(|place| ours.remove(place));
        if may_be_left_out(want) {
            continue;
        }
        tally.check("connection found", got.is_some(), &want["client"], &Value::Null);
        let Some(got) = got else { continue };
        connection(tally, want, got);
        groups(want).into_iter().for_each(|group| cancellation(tally, group, got));
        goaways(tally, want, got);
        end(tally, want, got);
    }
    for other in ours.iter().filter(|other| other["http2"] == true) {
        tally.check("no other connection", false, &Value::Null, &other["client"]);
    }
}

/// Another protocol: it need not have a row.
fn may_be_left_out(want: &Value) -> bool {
    let told = ["connection_refused", "preface_missing", "handshake_timeout"];
    want["http2"] == false
        && list(&want["goaways"]).is_empty()
        && !told.contains(&text(&want["no_goaway_cause"]))
}

fn connection(tally: &mut Tally, want: &Value, got: &Value) {
    // A client that sends no octet spoke no HTTP/2; grpcio-handshake-silent says it did, while
    // nginx-slow-sender says of the same situation that it did not. Neither is compared.
    let is_silent = want["streams"] == 0
        && list(&want["goaways"]).iter().any(|goaway| goaway["cause"] == "handshake_timeout");
    if want["http2"].is_boolean() && !is_silent {
        tally.same("http2", &want["http2"], &got["http2"]);
    }
    if tally.partial {
        return;
    }
    if !want["streams"].is_null() {
        tally.same("streams opened", &want["streams"], &got["streams"]["opened"]);
    }
    let (end, told) = (&want["end"], &got["end"]);
    if !end.is_null() {
        let hows = accepted(&end["how"], &end["accept"]);
        let anybody = end["how"] == "open" || end["by"].is_null();
        let ok = hows.contains(text(&told["how"])) && (anybody || end["by"] == told["by"]);
        tally.check("end", ok, end, told);
    }
}

/// The groups of cancelled streams that a truth tells of.
pub fn groups(want: &Value) -> Vec<&Value> {
    match &want["cancellations"] {
        Value::Array(groups) => groups.iter().collect(),
        Value::Null => Vec::new(),
        group => vec![group],
    }
}

fn cancellation(tally: &mut Tally, want: &Value, got: &Value) {
    let streams = numbers(&want["streams"]);
    if streams.is_empty() || tally.partial {
        return;
    }
    let shared = |told: &&Value| numbers(&told["streams"]).intersection(&streams).count();
    let told: Vec<&Value> =
        list(&got["cancellations"]).iter().filter(|told| shared(told) > 0).collect();
    let null = Value::Null;
    let main = told.iter().copied().max_by_key(shared).unwrap_or(&null);
    let mut causes = accepted(&want["cause"], &null);
    if want["cause"] == "rapid_reset_attack" {
        causes.insert("client_cancel_burst");
    }
    if want["cause"] != "unknown" {
        let ok = causes.contains(text(&main["cause"]));
        tally.check("cancellations cause", ok, &want["cause"], &main["cause"]);
    }
    let covered: BTreeSet<u64> = told.iter().flat_map(|told| numbers(&told["streams"])).collect();
    let ok = most(&streams, &covered);
    tally.check("cancellations streams", ok, &want["streams"], &main["streams"]);
    if let Some(seconds) = want["timeout"]["seconds"].as_f64() {
        let got = &main["timeout"]["seconds"];
        tally.check("cancellations timeout", near(seconds, got), &want["timeout"], got);
    }
}

fn goaways(tally: &mut Tally, want: &Value, got: &Value) {
    let mine = list(&want["goaways"]).iter().filter(|goaway| goaway["frame_no"].is_u64());
    let mine: Vec<&Value> = mine.collect();
    if mine.is_empty() && !list(&want["goaways"]).is_empty() {
        return; // their packets are not known
    }
    let mut ours: Vec<&Value> = list(&got["goaways"]).iter().collect();
    tally.same("GOAWAY count", &mine.len().into(), &ours.len().into());
    for want in mine {
        let same = |got: &&Value| got["packet"] == want["frame_no"] && got["by"] == want["by"];
        let place = ours.iter().position(same);
        tally.check("GOAWAY found", place.is_some(), &want["frame_no"], &Value::Null);
        let Some(got) = place.map(|place| ours.remove(place)) else { continue };
        tally.same("code", &want["error_code"], &got["error_code"]);
        tally.same("last stream", &want["last_stream_id"], &got["last_stream_id"]);
        if !text(&want["debug"]).is_empty() {
            // A short snap length cuts it.
            let cut = tally.partial && text(&want["debug"]).starts_with(text(&got["debug"]));
            tally.check(
                "debug",
                cut || want["debug"] == got["debug"],
                &want["debug"],
                &got["debug"],
            );
        }
        let follows = want["follows"] == true || want["follows"].is_u64();
        tally.check(
            "follows",
            follows != got["follows"].is_null(),
            &want["follows"],
            &got["follows"],
        );
        let dead = numbers(&want["killed_in_flight_streams"]);
        let maybe = &got["verdict"]["maybe_processed_streams"];
        let ok = most(&dead, &numbers(maybe));
        tally.check("maybe processed", ok, &want["killed_in_flight_streams"], maybe);
        if !text(&want["cause"]).is_empty() {
            verdict(tally, want, &got["verdict"]);
        }
    }
}

fn verdict(tally: &mut Tally, want: &Value, got: &Value) {
    if want["cause"] == "unknown" || tally.partial && got["cause"] == "unknown" {
        return; // nobody knows: an honest answer will do
    }
    let ok = accepted(&want["cause"], &want["accept"]).contains(text(&got["cause"]));
    tally.check("cause", ok, &want["cause"], &got["cause"]);
    if !text(&want["also"]).is_empty() {
        tally.same("trigger", &want["also"], &got["trigger"]);
    }
    blame(tally, want, got);
    let timeout = &want["timeout"];
    if let Some(seconds) = timeout["seconds"].as_f64() {
        // What was measured may lie in the missing octets.
        if !(tally.partial && got["timeout"].is_null()) {
            tally.same("timeout kind", &timeout["kind"], &got["timeout"]["kind"]);
            seconds_of(tally, seconds, want, got);
        }
    }
    late_answer(tally, want, got);
    cancelled(tally, want, got);
    if want["offending_packet"].is_u64() {
        let packets = &numbers(&want["accept_offending"]);
        let told = &got["offending_packet"];
        let ok = want["offending_packet"] == *told
            || told.as_u64().is_some_and(|told| packets.contains(&told));
        tally.check("offending packet", ok, &want["offending_packet"], told);
    }
    rule(tally, want, &got["rule"]["section"]);
    if !want["safe_to_retry_streams"].is_null() && !tally.partial {
        let (want, told) = (&want["safe_to_retry_streams"], &got["safe_to_retry_streams"]);
        tally.check("safe to retry", numbers(want) == numbers(told), want, told);
    }
    chain(tally, &got["chain"]);
}

fn end(tally: &mut Tally, want: &Value, got: &Value) {
    let (cause, told) = (&want["no_goaway_cause"], &got["end_verdict"]);
    if text(cause).is_empty() {
        // A GOAWAY that was lost leaves an end that nobody announced.
        let lost = tally.partial && list(&got["goaways"]).is_empty();
        tally.check("no other verdict", told.is_null() || lost, &Value::Null, &told["cause"]);
        return;
    }
    if cause == "unknown" || tally.partial && told["cause"] == "unknown" {
        return;
    }
    let ok = accepted(cause, &want["accept"]).contains(text(&told["cause"]));
    tally.check("cause", ok, cause, &told["cause"]);
    if let Some(seconds) = want["timeout"]["seconds"].as_f64()
        && want["timeout"]["kind"] == *cause
    {
        seconds_of(tally, seconds, want, told);
    }
    blame(tally, want, told);
    chain(tally, &told["chain"]);
}

fn blame(tally: &mut Tally, want: &Value, got: &Value) {
    if !text(&want["blame"]).is_empty() {
        let ok = accepted(&want["blame"], &want["accept_blame"]).contains(text(&got["blame"]));
        tally.check("blame", ok, &want["blame"], &got["blame"]);
    }
}

fn seconds_of(tally: &mut Tally, seconds: f64, want: &Value, got: &Value) {
    let told = &got["timeout"]["seconds"];
    let others = list(&want["accept_seconds"]).iter().filter_map(Value::as_f64);
    let ok = others.chain([seconds]).any(|seconds| near(seconds, told));
    tally.check("timeout seconds", ok, &want["timeout"]["seconds"], told);
}

fn late_answer(tally: &mut Tally, want: &Value, got: &Value) {
    let (Some(seconds), true) =
        (want["server_response_seconds"].as_f64(), want["trigger_stream"].is_u64())
    else {
        return;
    };
    let late = &got["late_answer"];
    let ok = late["stream"] == want["trigger_stream"] && near(seconds, &late["answered_after"]);
    tally.check("late answer", ok, &want["trigger_stream"], late);
    if want["trigger_request_frame_no"].is_u64() {
        tally.same("late request", &want["trigger_request_frame_no"], &late["request_packet"]);
        tally.same("late reset", &want["trigger_rst_frame_no"], &late["reset_packet"]);
    }
}

fn cancelled(tally: &mut Tally, want: &Value, got: &Value) {
    let (streams, told) = (numbers(&want["cancelled_streams"]), numbers(&got["cancelled_streams"]));
    if streams.is_empty() {
        return;
    }
    // A long list is cut short in the truth, its count is not.
    let many = want["cancelled_streams_count"].as_u64().unwrap_or(streams.len() as u64);
    let ok = if tally.partial {
        told.is_subset(&streams)
    } else {
        let off = (told.len() as u64).abs_diff(many);
        most(&streams, &told) && 10 * off <= many.max(10)
    };
    tally.check("cancelled streams", ok, &want["cancelled_streams"], &got["cancelled_streams"]);
}

fn rule(tally: &mut Tally, want: &Value, section: &Value) {
    let cause = text(&want["cause"]);
    if !cause.ends_with("_violation") && cause != "compression_error" {
        return;
    }
    let (sections, told) = (sections(text(&want["rule"])), sections(text(section)));
    let ok = sections.is_empty() || !sections.is_disjoint(&told);
    tally.check("rule section", ok, &want["rule"], section);
}

/// The section numbers in a text: `RFC 9113 6.5.2` has `6.5.2`.
fn sections(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| c.is_whitespace() || ":/,;".contains(c));
    let is_section = |word: &&str| {
        let mut parts = word.split('.');
        word.contains('.')
            && parts.all(|part| !part.is_empty() && part.bytes().all(|o| o.is_ascii_digit()))
    };
    words.filter(is_section).collect()
}

/// Evidence is there, in packet order.
fn chain(tally: &mut Tally, chain: &Value) {
    let packets: Vec<u64> = list(chain).iter().filter_map(|step| step["packet"].as_u64()).collect();
    let ok = !packets.is_empty() && packets.is_sorted();
    tally.check("evidence", ok, &Value::Null, &packets.into());
}

fn accepted<'a>(one: &'a Value, others: &'a Value) -> BTreeSet<&'a str> {
    list(others).iter().chain([one]).filter_map(Value::as_str).collect()
}

/// Whether nine of ten of `want` are in `got`.
fn most(want: &BTreeSet<u64>, got: &BTreeSet<u64>) -> bool {
    10 * want.intersection(got).count() >= 9 * want.len()
}

fn near(want: f64, got: &Value) -> bool {
    got.as_f64().is_some_and(|got| (want - got).abs() <= (0.1 * want).max(0.15))
}
