//! One condition: a field, an operator, values; and the table of fields.

use std::time::Duration;

use regex::Regex;

use super::{Facts, Place};
use crate::board::ConnectionRow;
use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::error_code::ErrorCode;
use crate::vocab::frame::FrameType;
use crate::vocab::rule::RULES;
use crate::vocab::text::utf8_or_escaped;

/// A field that filters know.
#[derive(Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it is, with an example.
    pub meaning: &'static str,
    /// Whether it is a fact of streams.
    pub(super) wants_streams: bool,
    /// Whether a frame tells it by itself.
    pub(super) of_frames: bool,
    kind: Kind,
    of: fn(&Facts<'_>) -> Vec<Fact>,
}

/// What the values of a field are.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// One of some words, which may be shortened.
    Word(fn() -> Vec<&'static str>),
    /// Text that contains the value.
    Text,
    /// The same, where only some values can be contained at all; and what they look like.
    Name(fn(&str) -> bool, &'static str),
    Number,
    /// Seconds; a value without a unit is in seconds.
    Span,
    /// A number or a name.
    Code,
    Address,
    /// 0 to 1, or a word.
    Sure,
}

/// A fact, to be compared.
#[derive(Clone, Debug)]
enum Fact {
    Text(String),
    Number(f64),
    End(crate::vocab::address::Endpoint),
}

/// How a fact is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    Unequal,
    More,
    AtLeast,
    Less,
    AtMost,
}

/// A value as it was written.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Pattern(String),
}

/// A value as it is compared.
#[derive(Clone, Debug)]
enum Wanted {
    /// Equal, or beginning so.
    Beginning(String),
    Containing(String),
    Pattern(Regex),
    Number(f64),
    Place(Place),
}

/// What of a condition is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    Field,
    Operator,
    /// The value with this index.
    Value(usize),
}

/// A condition.
#[derive(Clone, Debug)]
pub(super) struct Term {
    field: &'static Field,
    operator: Operator,
    wanted: Vec<Wanted>,
}

impl Term {
    /// A text, looked for in all that has text.
    pub(super) fn everywhere(text: &str) -> Self {
        let wanted = vec![Wanted::Containing(text.to_lowercase())];
        Self { field: &EVERYWHERE, operator: Operator::Equal, wanted }
    }

    /// A condition; else what is wrong with it, and why.
    pub(super) fn new(
        name: &str,
        operator: Operator,
        values: Vec<Value>,
    ) -> Result<Self, (Wrong, String)> {
        let lower = name.to_lowercase();
        let lower = ALIASES.iter().find(|(alias, _)| *alias == lower).map_or(&*lower, |(_, n)| n);
        let field = FIELDS.iter().find(|field| field.name == lower).ok_or_else(|| {
            let near = nearest(lower, FIELDS.iter().map(|field| field.name));
            let near = near.map_or(String::new(), |near| format!("; is it '{near}'?"));
            (Wrong::Field, format!("there is no field '{name}'{near}"))
        })?;
        let orders = !matches!(operator, Operator::Equal | Operator::Unequal);
        if orders && !matches!(field.kind, Kind::Number | Kind::Span | Kind::Sure | Kind::Code) {
            let what = format!("'{}' has no order; write {0}:value", field.name);
            return Err((Wrong::Operator, what));
        }
        let wanted = values
            .into_iter()
            .enumerate()
            .map(|(place, value)| wanted(field, value).map_err(|what| (Wrong::Value(place), what)));
        let wanted = wanted.collect::<Result<_, _>>()?;
        Ok(Self { field, operator, wanted })
    }

    pub(super) fn field(&self) -> &'static Field {
        self.field
    }

    pub(super) fn holds(&self, facts: &Facts<'_>) -> bool {
        let found = (self.field.of)(facts);
        if self.operator == Operator::Unequal {
            // What is not known differs from nothing.
            return !found.is_empty() && !found.iter().any(|fact| self.is(fact));
        }
        found.iter().any(|fact| self.is(fact))
    }

    fn is(&self, fact: &Fact) -> bool {
        self.wanted.iter().any(|wanted| match (wanted, fact) {
            (Wanted::Beginning(start), Fact::Text(text)) => text.starts_with(start.as_str()),
            (Wanted::Containing(part), Fact::Text(text)) => text.to_lowercase().contains(part),
            (Wanted::Pattern(pattern), Fact::Text(text)) => pattern.is_match(text),
            (Wanted::Pattern(pattern), Fact::End(end)) => pattern.is_match(&end.to_string()),
            (Wanted::Pattern(pattern), Fact::Number(number)) => {
                pattern.is_match(&number.to_string())
            }
            (Wanted::Number(wanted), Fact::Number(number)) => self.compares(*number, *wanted),
            (Wanted::Place(place), Fact::End(end)) => place.has(*end),
            _ => false,
        })
    }

    fn compares(&self, number: f64, wanted: f64) -> bool {
        match self.operator {
            Operator::More => number > wanted,
            Operator::AtLeast => number >= wanted,
            Operator::Less => number < wanted,
            Operator::AtMost => number <= wanted,
            // Times and shares are measured: equal to the digits that people write.
            Operator::Equal | Operator::Unequal => match self.field.kind {
                Kind::Span => (number - wanted).abs() <= wanted.abs() * 0.01,
                _ => (number - wanted).abs() < 0.005,
            },
        }
    }
}

fn wanted(field: &Field, value: Value) -> Result<Wanted, String> {
    let text = match value {
        Value::Text(text) => text,
        Value::Pattern(pattern) => {
            let built = regex::RegexBuilder::new(&pattern).size_limit(PATTERN_BYTES).build();
            return built.map(Wanted::Pattern).map_err(|error| {
                let last = error.to_string();
                let last = last.lines().last().unwrap_or_default().to_owned();
                format!("/{pattern}/ is no regular expression: {last}")
            });
        }
    };
    let is_no = |example: &str| format!("'{text}' is no value of '{}', {example} is", field.name);
    let known = match field.kind {
        Kind::Name(is_known, _) if !is_known(&text.to_lowercase()) => None,
        Kind::Text | Kind::Name(..) => Some(Wanted::Containing(text.to_lowercase())),
        Kind::Word(words) => {
            let lower = text.to_lowercase();
            if !words().iter().any(|word| word.starts_with(&lower)) {
                let all = words();
                if all.len() <= FEW {
                    let known = all.join(" or ");
                    return Err(format!("'{text}' is no value of '{}': {known}", field.name));
                }
                let near = nearest(&lower, all.into_iter());
                return Err(is_no(near.unwrap_or_default()));
            }
            Some(Wanted::Beginning(lower))
        }
        Kind::Number => text.parse().ok().filter(is_amount).map(Wanted::Number),
        Kind::Span => seconds(&text).map(Wanted::Number),
        Kind::Code => code(&text).map(|code| Wanted::Number(f64::from(code))),
        Kind::Address => Place::new(&text).map(Wanted::Place),
        Kind::Sure => sure(&text).map(Wanted::Number),
    };
    known.ok_or_else(|| is_no(field.kind.example()))
}

impl Kind {
    fn example(self) -> &'static str {
        match self {
            Self::Word(_) | Self::Text => "a word",
            Self::Name(_, example) => example,
            Self::Number => "3",
            Self::Span => "4s (or 250ms, 2m, 1.5h)",
            Self::Code => "1 or PROTOCOL_ERROR",
            Self::Address => "10.0.0.1 (or 10.0.0.1:443, 10.0.0.0/8, [::1]:443)",
            Self::Sure => "0.9 or likely",
        }
    }
}

/// `4s`, `250ms`, `2m`, `1.5h`, `4`.
fn seconds(text: &str) -> Option<f64> {
    let digits = text.trim_end_matches(|c: char| c.is_alphabetic());
    let scale = match text.get(digits.len()..)? {
        "" | "s" => 1.0,
        "ms" => 1e-3,
        "us" | "µs" => 1e-6,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    digits.parse::<f64>().ok().filter(is_amount).map(|value| value * scale)
}

/// Nothing that filters compare can be less than nothing.
fn is_amount(number: &f64) -> bool {
    number.is_finite() && *number >= 0.0
}

fn is_rule(part: &str) -> bool {
    RULES.iter().any(|rule| rule.id.contains(part))
}

/// Whether this is part of a frame type's name, as frames tell it.
fn is_type(part: &str) -> bool {
    let mut names = (0..=u8::MAX).filter_map(|number| FrameType(number).name());
    let is_number = part.strip_prefix("0x").is_some_and(|of| u8::from_str_radix(of, 16).is_ok());
    is_number || "preface".contains(part) || names.any(|name| name.to_lowercase().contains(part))
}

fn code(text: &str) -> Option<u32> {
    let upper = text.to_uppercase();
    let hex = text.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok());
    hex.or_else(|| text.parse().ok()).or_else(|| ErrorCode::from_name(&upper).map(|code| code.0))
}

fn sure(text: &str) -> Option<f64> {
    match text {
        "certain" => Some(0.9),
        "likely" => Some(0.6),
        "possible" => Some(0.2),
        _ => text.parse().ok().filter(|value| (0.0..=1.0).contains(value)),
    }
}

/// The word that somebody most likely meant.
fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known.max_by_key(|name| {
        let alike = name.chars().zip(word.chars()).take_while(|(a, b)| a == b).count();
        let shared = word.chars().filter(|c| name.contains(*c)).count();
        (alike, shared)
    })
}

fn causes() -> Vec<&'static str> {
    Cause::ALL.iter().map(|cause| cause.name()).collect()
}

fn sides() -> Vec<&'static str> {
    [Side::Client, Side::Server].map(Side::name).into()
}

fn blames() -> Vec<&'static str> {
    Blame::ALL.map(Blame::name).into()
}

fn endings() -> Vec<&'static str> {
    vec!["goaway", "fin", "rst", "open", "completed", "reset", "connection_end"]
}

fn text(text: impl ToString) -> Fact {
    Fact::Text(text.to_string())
}

fn one<T>(value: Option<T>, fact: impl Fn(T) -> Fact) -> Vec<Fact> {
    value.map(fact).into_iter().collect()
}

/// What the verdicts and cancellations of a connection say.
fn told(facts: &Facts<'_>, cause: bool) -> Vec<Fact> {
    let Some(row) = facts.row else { return Vec::new() };
    let verdicts = row.goaways.iter().map(|goaway| &goaway.verdict).chain(&row.end_verdict);
    let of = verdicts.map(|verdict| if cause { verdict.cause } else { verdict.trigger });
    let sets = row.cancellations.iter().filter(|_| cause).map(|set| set.cause);
    of.chain(sets).map(text).collect()
}

fn by(facts: &Facts<'_>) -> Vec<Fact> {
    let side = match (facts.frame, facts.stream) {
        (Some(frame), _) => Some(frame.by),
        (None, Some(stream)) if !facts.of_connection => stream.end.by(),
        _ => facts.row.and_then(|row| row.end.by),
    };
    one(side, |side| text(side.name()))
}

fn end(facts: &Facts<'_>) -> Vec<Fact> {
    let word = match facts.stream.filter(|_| !facts.of_connection) {
        Some(stream) => Some(stream.end.name()),
        None => facts.row.map(|row| row.end.how.name()),
    };
    one(word, text)
}

fn codes(facts: &Facts<'_>) -> Vec<Fact> {
    let number = |code: ErrorCode| Fact::Number(f64::from(code.0));
    if let Some(frame) = facts.frame {
        return one(frame.code, number);
    }
    if let Some(stream) = facts.stream.filter(|_| !facts.of_connection) {
        return one(stream.end.code(), number);
    }
    let goaways = facts.row.map_or(&[][..], |row| &row.goaways);
    goaways.iter().map(|goaway| number(goaway.code)).collect()
}

fn sureness(facts: &Facts<'_>) -> Vec<Fact> {
    let lead = facts.row.and_then(ConnectionRow::lead);
    one(lead, |verdict| Fact::Number(Confidence::value(verdict.confidence)))
}

fn ids(facts: &Facts<'_>) -> Vec<Fact> {
    let id = facts.frame.map(|frame| frame.stream).or(facts.stream.map(|stream| stream.id));
    one(id, |id| Fact::Number(f64::from(id)))
}

fn of_stream(
    facts: &Facts<'_>,
    part: impl Fn(&crate::vocab::stream::StreamRow) -> Option<Fact>,
) -> Vec<Fact> {
    facts.stream.and_then(part).into_iter().collect()
}

fn packets(facts: &Facts<'_>) -> Vec<Fact> {
    let packet = match (facts.frame, facts.stream) {
        (Some(frame), _) => Some(frame.packet),
        (None, Some(stream)) => stream.opened.map(|stamp| stamp.packet()),
        (None, None) => facts.row.map(|row| row.first.packet()),
    };
    one(packet, |packet| Fact::Number(packet as f64))
}

fn span(span: Duration) -> Fact {
    Fact::Number(span.as_secs_f64())
}

fn of_row(facts: &Facts<'_>, part: impl Fn(&ConnectionRow) -> f64) -> Vec<Fact> {
    one(facts.row, |row| Fact::Number(part(row)))
}

fn all_text(facts: &Facts<'_>) -> Vec<Fact> {
    let mut found = told(facts, true);
    found.extend(told(facts, false));
    if let Some(row) = facts.row {
        found.extend([text(row.client), text(row.server)]);
        found.extend(row.verdicts().map(|verdict| text(&verdict.summary)));
        found.extend(speakers(row));
        found.extend(row.tls.iter().filter_map(|tls| tls.sni.as_ref()).map(text));
        found.extend(row.findings.iter().map(|finding| text(finding.rule.id)));
        for goaway in &row.goaways {
            found.extend([text(goaway.code), text(utf8_or_escaped(&goaway.debug))]);
        }
    }
    if let Some(stream) = facts.stream {
        let parts = [&stream.method, &stream.authority, &stream.path];
        found.extend(parts.into_iter().flatten().map(text));
    }
    found.extend(facts.frame.map(|frame| text(frame.kind)));
    found
}

fn speakers(row: &ConnectionRow) -> impl Iterator<Item = Fact> {
    let known = [&row.implementations.first, &row.implementations.second];
    known.into_iter().flatten().map(|known| text(&known.name))
}

macro_rules! fields {
    ($($name:literal, $kind:expr, $streams:literal, $frames:literal,
        $text:literal, $of:expr;)*) => {
        /// Every field, in the order of the help.
        pub static FIELDS: &[Field] = &[$(Field {
            name: $name,
            meaning: $text,
            wants_streams: $streams,
            of_frames: $frames,
            kind: $kind,
            of: $of,
        },)*];
    };
}

fields! {
    "cause", Kind::Word(causes), false, false,
        "why it went away, or why streams were cancelled: cause:client_request_timeout",
        |facts| told(facts, true);
    "trigger", Kind::Word(causes), false, false,
        "the step next to the ending: trigger:late_response", |facts| told(facts, false);
    "blame", Kind::Word(blames), false, false,
        "who has to change something: blame:client (server, network, none, unknown)",
        |facts| one(facts.row.and_then(ConnectionRow::lead), |verdict| text(verdict.blame.name()));
    "confidence", Kind::Sure, false, false,
        "how sure the verdict is: confidence>=0.9, confidence>=likely", sureness;
    "by", Kind::Word(sides), false, true,
        "who ended the connection, reset the stream, sent the frame: by:server", by;
    "end", Kind::Word(endings), false, false,
        "how a connection (goaway, fin, rst, open) or a stream (completed, reset, goaway, \
         connection_end, open) ended: end:goaway", end;
    "code", Kind::Code, false, true,
        "error code of GOAWAY or RST_STREAM: code:1, code:CANCEL", codes;
    "client", Kind::Address, false, false,
        "address of the client: client:10.0.0.1, client:10.0.0.0/8",
        |facts| one(facts.row, |row| Fact::End(row.client));
    "server", Kind::Address, false, false, "address of the server: server:10.0.0.2:443",
        |facts| one(facts.row, |row| Fact::End(row.server));
    "port", Kind::Number, false, false, "port of either end: port:443",
        |facts| facts.row.map_or(Vec::new(), |row| {
            [row.client, row.server].map(|end| Fact::Number(f64::from(end.port))).into()
        });
    "lasted", Kind::Span, false, false,
        "from the connection's first packet to its last: lasted>60s",
        |facts| one(facts.row, |row| span(row.last.since(row.first)));
    "streams", Kind::Number, false, false, "streams that the connection opened: streams>100",
        |facts| of_row(facts, |row| row.streams.opened as f64);
    "victims", Kind::Number, false, false, "requests cancelled or dead with it: victims>0",
        |facts| of_row(facts, |row| row.victims() as f64);
    "lost", Kind::Number, false, false, "octets that the capture lacks: lost>0",
        |facts| of_row(facts, |row| {
            row.lost_bytes.first.saturating_add(row.lost_bytes.second) as f64
        });
    "sni", Kind::Text, false, false, "server name in TLS: sni:example",
        |facts| {
            let tls = facts.row.and_then(|row| row.tls.as_ref());
            one(tls.and_then(|tls| tls.sni.as_ref()), text)
        };
    "program", Kind::Text, false, false, "who speaks, recognised: program:vert",
        |facts| facts.row.map_or(Vec::new(), |row| speakers(row).collect());
    "rule", Kind::Name(is_rule, "part of a rule's name, as in hpack,"), false, false,
        "a rule of the RFC that was broken: rule:hpack",
        |facts| facts.row.map_or(Vec::new(), |row| {
            row.findings.iter().map(|finding| text(finding.rule.id)).collect()
        });
    "stream", Kind::Number, true, true, "stream identifier: stream:3", ids;
    "age", Kind::Span, true, false, "from a stream's request to its end: age>4s",
        |facts| of_stream(facts, |stream| {
            stream.opened.zip(stream.ended).map(|(opened, ended)| span(ended.since(opened)))
        });
    "answer", Kind::Span, true, false, "from request to first response: answer>250ms",
        |facts| of_stream(facts, |stream| stream.first_response_after.map(span));
    "method", Kind::Text, true, false, "method of the request: method:POST",
        |facts| of_stream(facts, |stream| stream.method.as_ref().map(text));
    "path", Kind::Text, true, false, "part of the path: path:/orders, path:/^\\/v[12]\\//",
        |facts| of_stream(facts, |stream| stream.path.as_ref().map(text));
    "authority", Kind::Text, true, false, "part of the authority: authority:shop",
        |facts| of_stream(facts, |stream| stream.authority.as_ref().map(text));
    "status", Kind::Number, true, false, "status of the response: status>=500",
        |facts| of_stream(facts, |stream| {
            stream.status.map(|status| Fact::Number(f64::from(status)))
        });
    "grpc", Kind::Number, true, false, "grpc-status: grpc:4",
        |facts| of_stream(facts, |stream| {
            let status = stream.grpc.as_ref().and_then(|grpc| grpc.status);
            status.map(|status| Fact::Number(f64::from(status)))
        });
    "packet", Kind::Number, false, true,
        "packet of the frame, the stream's request, the connection's beginning: packet<=400",
        packets;
    "type", Kind::Name(is_type, "GOAWAY (or HEADERS, 0x2a)"), false, true,
        "type of the frame: type:GOAWAY",
        |facts| one(facts.frame, |frame| text(frame.kind));
}

static EVERYWHERE: Field = Field {
    name: "",
    meaning: "",
    wants_streams: true,
    of_frames: false,
    kind: Kind::Text,
    of: all_text,
};

/// What other tools call these fields.
const ALIASES: &[(&str, &str)] = &[
    ("src", "client"),
    ("dst", "server"),
    ("host", "authority"),
    ("error", "code"),
    ("id", "stream"),
    ("frame", "type"),
    ("duration", "lasted"),
    ("ended", "end"),
    ("who", "blame"),
    ("sure", "confidence"),
];

/// So many words are all told where another one stands.
const FEW: usize = 6;

/// Octets that a regular expression may take once it is compiled.
const PATTERN_BYTES: usize = 1 << 20;
