//! What of a report can be checked and compared: taken from a board, or read back from a report
//! that was saved as JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};

use super::{Board, ConnectionRow, GoawayRow, ServerTimes, StreamCounts, group};
use crate::vocab::address::Side;
use crate::vocab::hop::Way;
use crate::vocab::limits::Hit;
use crate::vocab::text::count;
use crate::vocab::verdict::{Cancellation, Verdict};

/// A report without its evidence. Fields are named as in the JSON report; what an older or newer
/// one does not have is empty.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Digest {
    /// Version of the JSON report.
    pub schema: u32,
    /// The captures.
    pub captures: Vec<Taken>,
    /// Connections in the order of the report.
    pub connections: Vec<Connection>,
    /// Timeouts that were measured.
    pub inferred_timeouts: Vec<Measured>,
    /// How long servers take to answer.
    pub server_answers: Vec<Answered>,
    /// Settings that do not fit together.
    pub conflicts: Vec<Clash>,
    /// What it does not list, though it was there.
    #[serde(rename = "limits")]
    pub left: Left,
}

/// What was beyond the limits of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Left {
    /// Connections that are only counted.
    pub connections: u64,
    /// Connections of servers that were not measured.
    pub servers: u64,
}

/// A capture.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Taken {
    /// Its file.
    pub file: String,
    /// Packets in it.
    pub packets: u64,
    /// Octets in it.
    pub bytes: u64,
    /// Nanoseconds since the epoch.
    #[serde(deserialize_with = "time")]
    pub first_packet_at: Option<i64>,
    /// Nanoseconds since the epoch.
    #[serde(deserialize_with = "time")]
    pub last_packet_at: Option<i64>,
    /// Packets that the kernel dropped, where that was counted.
    pub kernel_dropped: Option<u64>,
    /// Whether it breaks off.
    #[serde(deserialize_with = "there")]
    pub damage: bool,
}

/// A connection.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Connection {
    /// Its number in the report.
    pub id: u64,
    /// Index of its capture.
    pub capture: usize,
    /// Client endpoint.
    pub client: String,
    /// Server endpoint.
    pub server: String,
    /// Whether HTTP/2 was spoken.
    pub http2: bool,
    /// TLS, where there is any.
    pub tls: Option<Tls>,
    /// Octets that the capture lacks, by sender.
    pub lost_bytes: BTreeMap<String, u64>,
    /// Counters of streams.
    pub streams: StreamCounts,
    /// How it ended.
    pub end: End,
    /// Its GOAWAYs.
    pub goaways: Vec<Goaway>,
    /// Why it ended, where no GOAWAY announced it.
    pub end_verdict: Option<Judged>,
    /// Streams reset for a reason.
    pub cancellations: Vec<Cancelled>,
    /// Rules broken.
    pub findings: Vec<Broken>,
}

/// TLS of a connection.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Tls {
    /// Whether it was decrypted.
    pub decrypted: bool,
}

/// An ending.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct End {
    /// `goaway`, `fin`, `rst` or `open`.
    pub how: String,
    /// Its packet.
    pub packet: Option<u64>,
}

/// A GOAWAY.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Goaway {
    /// Its packet.
    pub packet: u64,
    /// Its code.
    pub error_code: u32,
    /// Index of the GOAWAY that it repeats or completes.
    pub follows: Option<usize>,
    /// Why it was sent.
    pub verdict: Judged,
}

/// A verdict.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Judged {
    /// Where the chain began.
    pub cause: String,
    /// The step next to the ending.
    pub trigger: String,
    /// Who has to change something.
    pub blame: String,
    /// How sure, 0 to 1.
    pub confidence: f64,
    /// One sentence.
    pub summary: String,
    /// Requests that may have been processed.
    #[serde(rename = "maybe_processed_streams", deserialize_with = "length")]
    pub maybe_processed: u64,
    /// Requests that were certainly not.
    #[serde(rename = "safe_to_retry_streams", deserialize_with = "length")]
    pub safe_to_retry: u64,
}

/// A set of cancelled streams.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Cancelled {
    /// Why.
    pub cause: String,
    /// By whom.
    pub by: String,
    /// How many.
    #[serde(deserialize_with = "length")]
    pub streams: u64,
    /// How sure, 0 to 1.
    pub confidence: f64,
    /// First reset.
    pub first_packet: u64,
    /// Where their reason lies beyond a proxy.
    pub hop: Option<Beyond>,
}

/// What a proxy did.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Beyond {
    /// `cancel_passed_on`, `failure_passed_on` or `proxy_gave_up`.
    pub way: String,
    /// How many requests were joined.
    pub requests: u64,
    /// Numbers of those connections.
    pub connections: Vec<usize>,
}

/// A rule broken.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Broken {
    /// Which.
    pub rule: RuleName,
}

/// A rule.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct RuleName {
    /// Its name.
    pub id: String,
}

/// A timeout that was measured.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Measured {
    /// Which timer.
    pub kind: String,
    /// Its value.
    pub seconds: f64,
    /// Whether that is a lower bound.
    pub at_least: bool,
    /// Half the distance between the smallest and the largest sample.
    pub spread_seconds: f64,
    /// Samples.
    pub samples: u64,
    /// `client`, `server` or `proxy`.
    pub configured_in: String,
    /// Client address, where it is that client's.
    pub client: Option<String>,
    /// Server endpoint.
    pub server: String,
    /// How sure, 0 to 1.
    pub confidence: f64,
}

/// How long a server takes to answer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Answered {
    /// The server.
    pub server: String,
    /// All its answers.
    #[serde(flatten)]
    pub times: ServerTimes,
    /// By kind of request.
    pub requests: Vec<AnsweredKind>,
}

/// How long requests of one kind take.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct AnsweredKind {
    /// Method and path.
    pub request: String,
    /// Its answers.
    #[serde(flatten)]
    pub times: ServerTimes,
}

/// Settings that do not fit together.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Clash {
    /// Stable name.
    pub rule: String,
    /// What was seen.
    pub text: String,
    /// Who is between.
    pub between: Vec<String>,
}

impl Digest {
    /// Of a board, or of those of its connections that are wanted: what was measured over several
    /// is the board's.
    pub fn of(board: &Board, wanted: impl Fn(&ConnectionRow) -> bool) -> Self {
        let rows = board.rows().map(|(_, row)| row).filter(|row| wanted(row));
        let hit = |hit: Hit| board.hits.get(&hit).copied().unwrap_or(0);
        let digest = Self {
            schema: SCHEMA,
            captures: board.captures.iter().map(Taken::of).collect(),
            inferred_timeouts: board.inferred_timeouts.iter().map(Measured::of).collect(),
            server_answers: board.server_answers.iter().map(Answered::of).collect(),
            conflicts: board.conflicts.iter().map(Clash::of).collect(),
            connections: rows.map(Connection::of).collect(),
            left: Left { connections: hit(Hit::Connections), servers: hit(Hit::Servers) },
        };
        digest.by_itself()
    }

    /// What was passed on from connections that are not in it is told here alone.
    pub fn by_itself(mut self) -> Self {
        let known: BTreeSet<u64> = self.connections.iter().map(|of| of.id).collect();
        let sets = self.connections.iter_mut().flat_map(|of| &mut of.cancellations);
        for hop in sets.filter_map(|set| set.hop.as_mut()) {
            let here = hop.connections.iter().any(|number| known.contains(&(*number as u64)));
            if !here {
                hop.requests = 0;
            }
        }
        self
    }

    /// One of several reports.
    pub fn join(&mut self, other: Self) {
        let before = self.captures.len();
        self.schema = self.schema.max(other.schema);
        self.captures.extend(other.captures);
        let moved = other.connections.into_iter().map(|connection| Connection {
            capture: connection.capture.saturating_add(before),
            ..connection
        });
        self.connections.extend(moved);
        self.inferred_timeouts.extend(other.inferred_timeouts);
        self.server_answers.extend(other.server_answers);
        self.conflicts.extend(other.conflicts);
        self.left.connections = self.left.connections.saturating_add(other.left.connections);
        self.left.servers = self.left.servers.saturating_add(other.left.servers);
    }

    /// What it does not list, in words.
    pub fn unlisted(&self) -> Option<String> {
        let Left { connections, servers } = self.left;
        let mut parts = Vec::new();
        if connections > 0 {
            parts.push(format!("{} too many to be listed", count(connections, "connection")));
        }
        if servers > 0 {
            parts.push(format!(
                "{} of too many servers to be measured",
                count(servers, "connection")
            ));
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// Requests that were seen.
    pub fn requests(&self) -> u64 {
        self.sum(|connection| connection.streams.opened)
    }

    /// Connections that spoke HTTP/2.
    pub fn spoken(&self) -> impl Iterator<Item = &Connection> {
        self.connections.iter().filter(|connection| connection.http2)
    }

    /// Cancelled requests, and all: those that a proxy only passed on are seen on both its sides,
    /// and count once.
    pub fn cancelled(&self) -> (u64, u64) {
        let passed_on = self.sum(Connection::passed_on);
        let cancelled = self.sum(|of| of.streams.cancelled).saturating_sub(passed_on);
        (cancelled, self.requests().saturating_sub(passed_on))
    }

    /// TLS connections that could not be looked into.
    pub fn dark(&self) -> usize {
        let dark = |of: &&Connection| of.tls.as_ref().is_some_and(|tls| !tls.decrypted);
        self.connections.iter().filter(dark).count()
    }

    /// A count over all connections.
    pub fn sum(&self, of: impl Fn(&Connection) -> u64) -> u64 {
        self.connections.iter().map(of).fold(0, u64::saturating_add)
    }

    /// Share of what was sent that the captures lack: packets that the kernel dropped, or octets.
    pub fn loss(&self) -> f64 {
        let all = |of: fn(&Taken) -> u64| self.captures.iter().map(of).fold(0, u64::saturating_add);
        let lost = self.sum(|of| of.lost_bytes.values().copied().fold(0, u64::saturating_add));
        let share = |lost: u64, kept: u64| match lost {
            0 => 0.0,
            lost => lost as f64 / (lost as f64 + kept as f64),
        };
        let dropped = all(|of| of.kernel_dropped.unwrap_or(0));
        share(lost, all(|of| of.bytes)).max(share(dropped, all(|of| of.packets)))
    }

    /// Seconds from the first packet to the last.
    pub fn seconds(&self) -> Option<f64> {
        let first = self.captures.iter().filter_map(|of| of.first_packet_at).min()?;
        let last = self.captures.iter().filter_map(|of| of.last_packet_at).max()?;
        Some(last.saturating_sub(first).max(0) as f64 / 1e9)
    }
}

impl Connection {
    fn of(row: &ConnectionRow) -> Self {
        let lost = [Side::Client, Side::Server].map(|side| {
            let octets = *row.lost_bytes.side(side);
            (side.name().to_owned(), octets)
        });
        let how = row.end.how.name();
        let packet = row.end.stamp.map(|stamp| stamp.packet());
        let rule = |id: &str| Broken { rule: RuleName { id: id.to_owned() } };
        Self {
            id: row.number as u64,
            capture: row.first.capture(),
            client: row.client.to_string(),
            server: row.server.to_string(),
            http2: row.http2,
            tls: row.tls.as_ref().map(|tls| Tls { decrypted: tls.decrypted }),
            lost_bytes: lost.into(),
            streams: row.streams,
            end: End { how: how.to_owned(), packet },
            goaways: row.goaways.iter().map(Goaway::of).collect(),
            end_verdict: row.end_verdict.as_ref().map(Judged::of),
            cancellations: row.cancellations.iter().map(Cancelled::of).collect(),
            findings: row.findings.iter().map(|finding| rule(finding.rule.id)).collect(),
        }
    }

    /// GOAWAYs that follow no other.
    pub fn own_goaways(&self) -> impl Iterator<Item = &Goaway> + Clone {
        self.goaways.iter().filter(|goaway| goaway.follows.is_none())
    }

    /// Cancels that were only passed on.
    fn passed_on(&self) -> u64 {
        self.cancellations.iter().map(Cancelled::passed_on).fold(0, u64::saturating_add)
    }

    /// Its verdicts with their packets.
    pub fn verdicts(&self) -> impl Iterator<Item = (Option<u64>, &Judged)> {
        let goaways = self.own_goaways().map(|goaway| (Some(goaway.packet), &goaway.verdict));
        goaways.chain(self.end_verdict.iter().map(|verdict| (self.end.packet, verdict)))
    }

    /// The verdict that tells most, as [`ConnectionRow::lead`] has it.
    pub fn lead(&self) -> Option<&Judged> {
        let own = self.own_goaways().map(|goaway| &goaway.verdict);
        group::lead(own, self.end_verdict.as_ref(), |verdict| verdict.blame != "none")
    }

    /// Requests that went away with it, as [`ConnectionRow::died`] has them.
    pub fn died(&self) -> u64 {
        self.lead().map_or(0, Judged::died)
    }
}

impl Taken {
    fn of(facts: &crate::vocab::capture::CaptureFacts) -> Self {
        let (first, last) = facts.times().unzip();
        Self {
            file: facts.file.clone(),
            packets: facts.packets,
            bytes: facts.bytes,
            first_packet_at: first.map(|at| at.0),
            last_packet_at: last.map(|at| at.0),
            kernel_dropped: facts.kernel_dropped,
            damage: facts.damage.is_some(),
        }
    }
}

impl Goaway {
    fn of(row: &GoawayRow) -> Self {
        Self {
            packet: row.stamp.packet(),
            error_code: row.code.0,
            follows: row.follows,
            verdict: Judged::of(&row.verdict),
        }
    }
}

impl Judged {
    fn of(verdict: &Verdict) -> Self {
        Self {
            cause: verdict.cause.name().to_owned(),
            trigger: verdict.trigger.name().to_owned(),
            blame: verdict.blame.name().to_owned(),
            confidence: verdict.confidence.value(),
            summary: verdict.summary.clone(),
            maybe_processed: verdict.maybe_processed_streams.len() as u64,
            safe_to_retry: verdict.safe_to_retry_streams.len() as u64,
        }
    }

    /// Requests that went away with the connection, as [`Verdict::died`] has them.
    fn died(&self) -> u64 {
        self.maybe_processed.saturating_add(self.safe_to_retry)
    }

    /// `client_request_timeout → late_response`.
    pub fn chain(&self) -> String {
        match self.trigger == self.cause {
            true => self.cause.clone(),
            false => format!("{} → {}", self.cause, self.trigger),
        }
    }
}

impl Cancelled {
    /// Those that a proxy only passed on: they are the same requests as on its other side.
    pub fn passed_on(&self) -> u64 {
        let hop = self.hop.as_ref().filter(|hop| hop.way == PASSED_ON);
        hop.map_or(0, |hop| hop.requests.min(self.streams))
    }

    /// Whether a proxy gave them up by itself.
    pub fn gave_up(&self) -> bool {
        self.hop.as_ref().is_some_and(|hop| hop.way == Way::ProxyGaveUp.name())
    }

    fn of(set: &Cancellation) -> Self {
        Self {
            cause: set.cause.name().to_owned(),
            by: set.by.name().to_owned(),
            streams: set.streams.len() as u64,
            confidence: set.confidence.value(),
            first_packet: set.first.packet(),
            hop: set.hop.as_ref().map(|hop| Beyond {
                way: hop.way.name().to_owned(),
                requests: hop.requests as u64,
                connections: hop.connections.clone(),
            }),
        }
    }
}

impl Measured {
    fn of(inferred: &super::InferredTimeout) -> Self {
        Self {
            kind: inferred.kind.name().to_owned(),
            seconds: inferred.seconds,
            at_least: inferred.at_least,
            spread_seconds: inferred.spread_seconds,
            samples: u64::from(inferred.samples),
            configured_in: inferred.configured_in.name().to_owned(),
            client: inferred.client.map(|client| client.to_string()),
            server: inferred.server.to_string(),
            confidence: inferred.confidence.value(),
        }
    }
}

impl Answered {
    fn of(server: &super::ServerAnswers) -> Self {
        let kinds = server
            .requests
            .iter()
            .map(|kind| AnsweredKind { request: kind.request.clone(), times: kind.times.clone() });
        let name = server.server.to_string();
        Self { server: name, times: server.times.clone(), requests: kinds.collect() }
    }
}

impl Clash {
    fn of(conflict: &super::Conflict) -> Self {
        let (rule, text) = (conflict.rule.to_owned(), conflict.text.clone());
        Self { rule, text, between: conflict.between.clone() }
    }
}

/// How long a list is; its items are let go as they come.
fn length<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Ok(Vec::<IgnoredAny>::deserialize(deserializer)?.len() as u64)
}

/// Whether there is anything.
fn there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::<IgnoredAny>::deserialize(deserializer)?.is_some())
}

/// RFC 3339 as nanoseconds since the epoch.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let at: jiff::Timestamp = text.parse().map_err(serde::de::Error::custom)?;
    Ok(i64::try_from(at.as_nanosecond()).ok())
}

/// The way of a hop that makes one request of two.
const PASSED_ON: &str = Way::CancelPassedOn.name();
/// `schema` of the JSON report.
pub const SCHEMA: u32 = 1;
