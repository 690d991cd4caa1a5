//! What readers see: every connection with its verdicts, findings, cancellations and counters.
//!
//! Takes what the shards found, gives the read model that text, JSON and screens draw from. Groups
//! and counts; never alters a verdict.

pub mod alarm;
pub mod check;
pub mod detail;
pub mod diff;
pub mod digest;
pub mod fared;
pub mod filter;
pub mod group;
pub mod headline;
pub mod mask;
pub mod meter;
pub mod odds;
pub mod picture;
pub mod snapshot;
pub mod told;
pub mod what_if;
pub mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use fared::Fared;

use crate::vocab::address::{Both, Endpoint, Side};
use crate::vocab::capture::CaptureFacts;
use crate::vocab::cause::{Blame, Cause};
pub use crate::vocab::clock::ClockOffset;
use crate::vocab::error_code::ErrorCode;
use crate::vocab::fault::Fault;
use crate::vocab::flow::{FlowId, HalfNotes};
use crate::vocab::frame::Transport;
pub use crate::vocab::hop::HopLink;
use crate::vocab::limits::Hit;
use crate::vocab::metered::Metered;
pub use crate::vocab::pair::{
    AgeCount, Ages, Conflict, InferredTimeout, RequestAnswers, ServerAnswers, ServerTimes, Timer,
};
use crate::vocab::process::Process;
pub use crate::vocab::stream::{AnswerTimes, Grpc, StreamCounts, StreamEnd, StreamRow};
use crate::vocab::time::{Stamp, Timestamp};
use crate::vocab::tls::KeyLogFacts;
use crate::vocab::verdict::{Cancellation, Finding, Implementation, Verdict};

/// The read model of one run.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// The captures, in the order they were given.
    pub captures: Vec<CaptureFacts>,
    /// What the TLS key logs were worth, where there are any.
    pub key_log: Option<KeyLogFacts>,
    /// HTTP/2 connections, TLS connections that offered h2, and flows to an endpoint that serves
    /// HTTP/2 which never became one; ordered by first packet.
    pub connections: Vec<Arc<ConnectionRow>>,
    /// TCP flows that are none of these.
    pub other_flows: u64,
    /// Timeouts measured over all connections of a pair.
    pub inferred_timeouts: Vec<InferredTimeout>,
    /// How long each server takes to answer.
    pub server_answers: Vec<ServerAnswers>,
    /// How long requests waited, over all servers.
    pub ages: Ages,
    /// Settings of both ends that do not fit together.
    pub conflicts: Vec<Conflict>,
    /// Proxies of which both sides were captured.
    pub hops: Vec<HopLink>,
    /// How the clocks of captures differ from the first one's, as what is in both of them tells.
    pub clock_offsets: Vec<ClockOffset>,
    /// What other timeouts would have changed, where that was asked for.
    pub what_if: Vec<what_if::Supposed>,
    /// Limits that were reached, and how often.
    pub hits: BTreeMap<Hit, u64>,
    /// What was left out because this program failed on it, in order of packets.
    pub faults: Vec<Fault>,
    /// Connections that are no longer listed: a long live capture had them, or too many had ended.
    pub earlier: Tally,
}

/// What is left of connections whose rows were let go: numbers.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Tally {
    /// How many.
    pub connections: u64,
    /// Their GOAWAYs.
    pub goaways: u64,
    /// Their verdicts by cause.
    pub causes: BTreeMap<Cause, u64>,
    /// Their verdicts by blame.
    pub blame: BTreeMap<Blame, u64>,
    /// How they fared.
    #[serde(skip)]
    pub fared: Fared,
}

impl Tally {
    /// Adds a connection.
    pub fn add(&mut self, row: &ConnectionRow) {
        self.connections += 1;
        self.goaways += row.goaways.len() as u64;
        for verdict in row.verdicts() {
            *self.causes.entry(verdict.cause).or_default() += 1;
            *self.blame.entry(verdict.blame).or_default() += 1;
        }
        self.fared.add(row);
    }

    /// Adds what others counted.
    pub fn merge(&mut self, other: Self) {
        self.connections += other.connections;
        self.goaways += other.goaways;
        for (cause, count) in other.causes {
            *self.causes.entry(cause).or_default() += count;
        }
        for (blame, count) in other.blame {
            *self.blame.entry(blame).or_default() += count;
        }
        self.fared.merge(other.fared);
    }
}

/// One connection.
#[derive(Clone, Debug)]
pub struct ConnectionRow {
    /// Its flow.
    pub flow: FlowId,
    /// What it is told by, from 1: its place in a report; live it keeps it as long as it is listed.
    pub number: usize,
    /// Client endpoint.
    pub client: Endpoint,
    /// Server endpoint.
    pub server: Endpoint,
    /// How HTTP/2 began.
    pub transport: Transport,
    /// TLS, where there is any.
    pub tls: Option<TlsRow>,
    /// Whether HTTP/2 was spoken.
    pub http2: bool,
    /// Whether the capture began after the connection.
    pub joined_midway: bool,
    /// The only side whose octets were captured, or could be decrypted, where that is so.
    pub one_sided: Option<Side>,
    /// First packet.
    pub first: Stamp,
    /// Last packet.
    pub last: Stamp,
    /// Time of the SYN, where it was captured.
    pub opened_at: Option<Timestamp>,
    /// Time of the first FIN or RST, where one was captured.
    pub closed_at: Option<Timestamp>,
    /// Octets that the capture lacks, by sender.
    pub lost_bytes: Both<u64>,
    /// Where they are missing, and copies that differ, by sender.
    pub notes: Both<HalfNotes>,
    /// Packets that the capture dropped while what its verdicts tell of happened: what rests on
    /// what was not seen is less sure.
    pub dropped_meanwhile: u64,
    /// Counters of streams.
    pub streams: StreamCounts,
    /// Who ended it and how.
    pub end: End,
    /// Every GOAWAY with its verdict.
    pub goaways: Vec<GoawayRow>,
    /// Why it ended, where no GOAWAY announced it.
    pub end_verdict: Option<Verdict>,
    /// Streams reset for a reason, also where the connection survived.
    pub cancellations: Vec<Cancellation>,
    /// Rules broken.
    pub findings: Vec<Finding>,
    /// Every stream, where asked for.
    pub stream_list: Vec<StreamRow>,
    /// Times from request to first response.
    pub answers: AnswerTimes,
    /// What was counted for those who watch many.
    pub metered: Option<Box<Metered>>,
    /// Who speaks, recognised.
    pub implementations: Both<Option<Implementation>>,
    /// Limits reached on this connection: what they touch is incomplete.
    pub hits: Vec<Hit>,
    /// Whether nothing more can come: the connection is over, or the capture is. Until then its
    /// verdicts are provisional.
    pub settled: bool,
    /// Whether it was let go while it was open, to stay within memory: how it ended is not known.
    pub forgotten: bool,
    /// Local programs at its ends, in a live capture.
    pub processes: Both<Option<Arc<Process>>>,
}

/// TLS facts of a connection.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct TlsRow {
    /// `TLS 1.3` ...
    pub version: Option<String>,
    /// IANA cipher suite name, or its number.
    pub cipher: Option<String>,
    /// Server name indication.
    pub sni: Option<String>,
    /// Protocol that ALPN chose, where visible: TLS 1.3 hides it.
    pub alpn: Option<String>,
    /// Protocols that the client offered, in its order.
    pub offered: Vec<String>,
    /// Whether application data was decrypted, or the handshake was and none came.
    pub decrypted: bool,
    /// Why it was not, or not all of it, and what would help.
    pub why_not: Option<String>,
    /// What the client sent, seen from outside.
    pub client: TlsSent,
    /// What the server sent, seen from outside.
    pub server: TlsSent,
}

/// What one side of a TLS connection sent, as its records tell without being opened.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct TlsSent {
    /// Records of any type.
    pub records: u64,
    /// Octets of application data, encrypted.
    pub bytes: u64,
    /// The alert with which it took its leave: `close_notify` is an orderly end.
    pub alert: Option<TlsAlert>,
}

/// An alert, as far as it could be read.
#[derive(Clone, Debug, serde::Serialize)]
pub struct TlsAlert {
    /// Its packet.
    pub packet: u64,
    /// RFC 8446 section 6: `close_notify`, `handshake_failure` ...; `unread` where it is
    /// encrypted, `possible` where only its size says so.
    pub name: String,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The kind.
    pub how: EndHow,
    /// Sender of the first GOAWAY, else of the first FIN or RST.
    pub by: Option<Side>,
    /// Packet of that.
    pub stamp: Option<Stamp>,
}

/// The kinds of ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndHow {
    /// A GOAWAY preceded the close.
    Goaway,
    /// FIN.
    Fin,
    /// RST.
    Rst,
    /// Still open when the capture ended.
    Open,
}

impl EndHow {
    /// The name in reports, filters and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Goaway => "goaway",
            Self::Fin => "fin",
            Self::Rst => "rst",
            Self::Open => "open",
        }
    }
}

/// One GOAWAY.
#[derive(Clone, Debug)]
pub struct GoawayRow {
    /// Its packet.
    pub stamp: Stamp,
    /// Its sender.
    pub by: Side,
    /// Its code.
    pub code: ErrorCode,
    /// Its last stream identifier.
    pub last_stream_id: u32,
    /// Its debug data, up to a limit.
    pub debug: Vec<u8>,
    /// Octets of it that were not captured, or not kept.
    pub debug_missing: u32,
    /// Index of the GOAWAY that it repeats or completes.
    pub follows: Option<usize>,
    /// Why it was sent.
    pub verdict: Verdict,
}

impl ConnectionRow {
    /// GOAWAYs that follow no other.
    pub fn own_goaways(&self) -> impl Iterator<Item = &GoawayRow> + Clone {
        self.goaways.iter().filter(|goaway| goaway.follows.is_none())
    }

    /// Its verdicts: of GOAWAYs that follow no other, and of an end without one.
    pub fn verdicts(&self) -> impl Iterator<Item = &Verdict> {
        self.own_goaways().map(|goaway| &goaway.verdict).chain(&self.end_verdict)
    }

    /// Its verdicts to change, those of GOAWAYs that follow another among them.
    pub fn every_verdict_mut(&mut self) -> impl Iterator<Item = &mut Verdict> {
        self.goaways.iter_mut().map(|goaway| &mut goaway.verdict).chain(&mut self.end_verdict)
    }

    /// Octets that it takes, about.
    pub fn weight(&self) -> usize {
        let goaways = self
            .goaways
            .iter()
            .map(|goaway| size_of::<GoawayRow>() + goaway.debug.len() + goaway.verdict.weight());
        let findings = self.findings.iter().map(|of| size_of::<Finding>() + of.text.len());
        let streams = |set: &Cancellation| set.streams.len() * size_of::<u32>();
        let sets = self.cancellations.iter().map(|of| size_of::<Cancellation>() + streams(of));
        let parts = goaways.chain(findings).chain(sets);
        let end = self.end_verdict.as_ref().map_or(0, Verdict::weight);
        let metered = self.metered.as_ref().map_or(0, |_| size_of::<Metered>());
        size_of::<Self>() + parts.sum::<usize>() + end + metered
    }

    /// Whether it is inside TLS that was not decrypted.
    pub fn is_dark(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| !tls.decrypted)
    }

    /// Cancellations that none of its verdicts tells of.
    pub fn cancelled_apart(&self) -> impl Iterator<Item = &Cancellation> {
        let led = |verdict: &Verdict, set: &Cancellation| {
            let first = set.streams.first();
            verdict.blame != Blame::None
                && first.is_some_and(|first| verdict.cancelled_streams.contains(first))
        };
        let told = move |set: &Cancellation| {
            self.verdicts().any(|verdict| verdict.cause == set.cause || led(verdict, set))
        };
        self.cancellations.iter().filter(move |set| !told(set))
    }
}

impl Board {
    /// Nothing but some of its connections, by their indices, and what the captures are like.
    pub fn only(&self, places: impl Iterator<Item = usize>) -> Self {
        let rows = places.filter_map(|place| self.connections.get(place).cloned());
        let (captures, hits) = (self.captures.clone(), self.hits.clone());
        Self { connections: rows.collect(), captures, hits, ..Self::default() }
    }

    /// Its connections with their indices.
    pub fn rows(&self) -> impl Iterator<Item = (usize, &ConnectionRow)> {
        self.connections.iter().map(Arc::as_ref).enumerate()
    }

    /// GOAWAYs over all connections.
    pub fn goaways(&self) -> u64 {
        let listed = self.connections.iter().map(|row| row.goaways.len() as u64);
        listed.fold(self.earlier.goaways, u64::saturating_add)
    }

    /// Every verdict: of GOAWAYs that follow no other, and of ends without one.
    pub fn verdicts(&self) -> impl Iterator<Item = &Verdict> {
        self.connections.iter().flat_map(|row| row.verdicts())
    }

    /// How often each cause was found.
    pub fn causes(&self) -> BTreeMap<Cause, u64> {
        let mut counts = self.earlier.causes.clone();
        for verdict in self.verdicts() {
            *counts.entry(verdict.cause).or_default() += 1;
        }
        counts
    }

    /// How many streams were cancelled for each cause.
    pub fn cancelled(&self) -> BTreeMap<Cause, u64> {
        let all = Fared::of_board(self).cancelled.into_iter();
        all.map(|(cause, of)| (cause, of.streams as u64)).collect()
    }

    /// How often each side is to blame.
    pub fn blame(&self) -> BTreeMap<Blame, u64> {
        let mut counts = self.earlier.blame.clone();
        for verdict in self.verdicts() {
            *counts.entry(verdict.blame).or_default() += 1;
        }
        counts
    }
}
