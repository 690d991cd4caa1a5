//! Finished connections become rows of the board.

mod advise;
mod copies;
mod doubts;
mod kept;
mod others;
mod second;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::board::filter::Filter;
use crate::board::{Board, ConnectionRow, End, EndHow, GoawayRow, TlsAlert, TlsRow, TlsSent};
use crate::cause::neighbours::{self, Ending};
use crate::cause::pair::{Answered, PairFacts};
use crate::cause::{self, Judged, implementation};
use crate::track;
use crate::track::history::History;
use crate::vocab::address::{Both, Endpoint, Side};
use crate::vocab::drops::Drops;
use crate::vocab::flow::FlowEnd;
use crate::vocab::frame::Transport;
use crate::vocab::hop::{Guest, Troubled};
use crate::vocab::limits::{Hit, Limits};
use crate::vocab::tls::{TlsFacts, TlsSide};
use crate::vocab::verdict::{Finding, Implementation};

use super::other;
use super::{OtherFlow, Sink};
use advise::{Slowest, advise, advise_all};
pub(super) use copies::copies;
use kept::Kept;
use others::Others;
pub(super) use second::{Beside, guarded, of_place, second_pass};

/// What was found so far.
#[derive(Debug)]
pub struct Rows {
    connections: Kept,
    /// Answer times of each server, within [`Limits::servers`].
    answered: BTreeMap<Endpoint, Answered>,
    /// Flows that were not HTTP/2.
    others: Others,
    /// Endpoints that serve HTTP/2 in this capture.
    servers: BTreeSet<Endpoint>,
    /// As many as are known of those.
    most_servers: usize,
    /// Connections of others.
    servers_beyond: u64,
    /// Requests that may still be kept for the other side of a proxy.
    room: usize,
    /// Connections whose requests were not kept any more.
    beyond: u64,
    /// Requests of flows that were not HTTP/2, which may be the other side of a proxy.
    guests: Vec<Guest>,
    /// When packets were dropped.
    drops: Drops,
    /// Which connections are measured; without it all.
    only: Option<Filter>,
}

/// A connection: what is shown of it, and what its neighbours are judged by.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) row: Arc<ConnectionRow>,
    endings: Vec<Ending>,
    facts: Option<PairFacts>,
    /// Its requests that did not end well.
    pub(super) troubled: Arc<[Troubled]>,
    /// Its answer times, where not all connections are measured.
    answered: Option<Box<Answered>>,
}

impl Connection {
    /// Octets that it takes, about: twice what is shown, for boards have rows that their neighbours
    /// made others.
    pub(super) fn weight(&self) -> usize {
        let heard = size_of_val(self.endings.as_slice()) + size_of_val(&*self.troubled);
        size_of::<Self>() + heard + 2 * self.row.weight()
    }
}

impl Connection {
    /// One that its neighbours say nothing about.
    pub(super) fn alone(row: ConnectionRow) -> Self {
        let row = Arc::new(row);
        Self { row, endings: Vec::new(), facts: None, troubled: Arc::default(), answered: None }
    }

    /// Tells it by this number from now on.
    pub(super) fn is_number(&mut self, number: usize) {
        if self.row.number != number {
            Arc::make_mut(&mut self.row).number = number;
        }
    }

    /// With what can be advised already, for one that is looked at often: it mostly stays so.
    pub(super) fn advised(mut self) -> Self {
        advise(&mut self.row, Slowest::default(), &[]);
        self
    }

    /// Lets its requests go where there is no room for them; says whether there was.
    pub(super) fn troubled_within(&mut self, room: &mut usize) -> bool {
        match room.checked_sub(self.troubled.len()) {
            Some(rest) => *room = rest,
            None => {
                self.troubled = Arc::default();
                return false;
            }
        }
        true
    }
}

impl Sink for Rows {
    const READS_FIELDS: bool = false;

    fn connection(&mut self, history: History, tls: Option<TlsFacts>) {
        let judged = cause::judge(&history);
        let mut answered = Answered::default();
        answered.add(&history, &judged);
        self.answers(history.ends.second, &answered);
        let mut connection = finished(history, judged, tls);
        connection.answered = self.only.is_some().then(|| Box::new(answered));
        self.beyond += u64::from(!connection.troubled_within(&mut self.room));
        for gone in self.connections.push(connection) {
            self.room += gone.troubled.len();
        }
    }

    fn other_flow(&mut self, flow: OtherFlow) {
        if let Some(guest) = other::guest(&flow) {
            match self.room.checked_sub(1) {
                Some(room) => {
                    self.room = room;
                    self.guests.push(guest);
                }
                None => self.beyond += 1,
            }
        }
        self.others.push(flow, &self.servers);
    }
}

impl Rows {
    /// Nothing found yet.
    pub fn within(limits: &Limits) -> Self {
        Self {
            connections: Kept::within(limits),
            answered: BTreeMap::new(),
            others: Others::within(limits),
            servers: BTreeSet::new(),
            most_servers: limits.servers,
            servers_beyond: 0,
            room: limits.troubled_of_all,
            beyond: 0,
            guests: Vec::new(),
            drops: Drops::default(),
            only: None,
        }
    }

    /// Timeouts, answer times and conflicts are to be those of connections that pass; verdicts
    /// still rest on all.
    pub fn measure_only(mut self, only: Option<Filter>) -> Self {
        self.only = only;
        self
    }

    /// Packets were dropped at these times.
    pub fn dropped(&mut self, drops: Drops) {
        self.drops = drops;
    }

    /// Answers of a server, as far as there is room for it.
    fn answers(&mut self, server: Endpoint, answered: &Answered) {
        if self.servers.len() >= self.most_servers && !self.servers.contains(&server) {
            self.servers_beyond += 1;
            return;
        }
        self.servers.insert(server);
        self.answered.entry(server).or_default().merge(answered);
    }

    /// Takes in what another shard found.
    pub fn merge(&mut self, other: Self) {
        self.connections.merge(other.connections);
        for (server, answered) in other.answered {
            self.answers(server, &answered);
        }
        self.servers_beyond += other.servers_beyond;
        self.others.merge(other.others);
        self.guests.extend(other.guests);
        self.beyond += other.beyond;
    }

    /// The board, but for its captures: rows in order, revised by their neighbours.
    pub fn into_board(self) -> Board {
        let mut refused = Vec::new();
        let (mut all, earlier) = self.connections.into_parts();
        let mut faults = Vec::new();
        let others = guarded(&mut faults, || self.others.into_rows(&self.servers));
        let (rows, other_flows, others_beyond) = others;
        for (row, was_refused) in rows {
            refused.extend(was_refused.then_some((row.server, row.last)));
            all.push(Connection::alone(row));
        }
        // Moves each but once.
        all.sort_by_cached_key(|of| (of.row.first.order(), of.row.flow));
        all.iter_mut().zip(1..).for_each(|(of, number)| of.is_number(number));
        let Self { answered, beyond, mut guests, drops, only, servers_beyond, .. } = self;
        guests.sort_by_key(|guest| guest.of.opened.order());
        let beside = Beside { refused: &refused, guests: &guests, drops: &drops };
        let mut board = second_pass(all, beside, &answered, beyond, only.as_ref());
        let hits = [
            (Hit::OtherFlows, others_beyond),
            (Hit::Connections, earlier.connections),
            (Hit::Servers, servers_beyond),
        ];
        board.hits.extend(hits.into_iter().filter(|(_, count)| *count > 0));
        faults.append(&mut board.faults);
        Board { other_flows, earlier, faults, ..board }
    }
}

/// TLS as the report shows it.
pub(super) fn tls_row(facts: TlsFacts) -> TlsRow {
    let sent = |side: &TlsSide| TlsSent {
        records: side.records,
        bytes: side.data_octets,
        alert: side.farewell.map(|farewell| TlsAlert {
            packet: farewell.stamp.packet(),
            name: farewell.alert.to_string(),
        }),
    };
    TlsRow {
        client: sent(&facts.sides.first),
        server: sent(&facts.sides.second),
        version: facts.version.map(|version| version.to_string()),
        cipher: facts.cipher.map(|cipher| cipher.to_string()),
        decrypted: facts.is_open(),
        alpn: facts.alpn,
        offered: facts.alpn_offered,
        sni: facts.sni,
        why_not: facts.why_not,
    }
}

/// The row of a connection that is over.
pub(super) fn finished(mut history: History, judged: Judged, tls: Option<TlsFacts>) -> Connection {
    let streams = std::mem::take(&mut history.rows);
    let mut row = connection(&history, judged, tls);
    let shown = Arc::make_mut(&mut row.row);
    shown.stream_list = streams;
    shown.settled = true;
    row
}

/// The row of a connection that goes on, with so many requests open.
pub(super) fn running(history: &History, open: u64, tls: Option<TlsFacts>) -> Connection {
    #[cfg(test)]
    super::inject::at_look(history);
    let mut judged = cause::judge(history);
    judged.end = None; // what is still open when it ends is not known yet
    let mut row = connection(history, judged, tls);
    let shown = Arc::make_mut(&mut row.row);
    shown.streams.unfinished = open;
    for loss in &history.losses {
        *shown.lost_bytes.side_mut(loss.by) += loss.bytes;
    }
    row
}

fn connection(history: &History, mut judged: Judged, tls: Option<TlsFacts>) -> Connection {
    let speak = Both {
        first: implementation::of_side(history, Side::Client),
        second: implementation::of_side(history, Side::Server),
    };
    // There may be very many of them: none keeps room for more than it has.
    judged.goaways.iter_mut().for_each(|(_, verdict)| verdict.chain.shrink_to_fit());
    judged.end.iter_mut().for_each(|verdict| verdict.chain.shrink_to_fit());
    for ((_, verdict), goaway) in judged.goaways.iter_mut().zip(&history.goaways) {
        let sender = || speak.side(goaway.by).clone();
        verdict.implementation = verdict.implementation.take().or_else(sender);
    }
    if let Some((verdict, (_, by, _))) = judged.end.as_mut().zip(history.tcp_end()) {
        let sender = || speak.side(by).clone();
        verdict.implementation = verdict.implementation.take().or_else(sender);
    }
    let mut endings = neighbours::endings(history, &judged);
    endings.shrink_to_fit();
    let facts = Some(PairFacts::of(history, &judged, &speak));
    let mut row = row(history, judged, speak);
    if tls.is_some() {
        row.transport = Transport::Tls;
    }
    if let Some(tls) = &tls {
        row.findings.splice(..0, track::of_tls(tls));
    }
    row.tls = tls.map(tls_row);
    let troubled = history.troubled.as_slice().into();
    Connection { row: Arc::new(row), endings, facts, troubled, answered: None }
}

fn row(
    history: &History,
    judged: Judged,
    implementations: Both<Option<Implementation>>,
) -> ConnectionRow {
    let end = end_of(history);
    let closed_at = history.tcp_end().map(|(stamp, ..)| stamp.at);
    let one_sided = one_sided(history);
    let http2 = speaks_http2(history);
    let sound = |finding: &Finding| history.is_sound(finding);
    let findings: Vec<Finding> =
        history.findings.iter().filter(|finding| sound(finding)).cloned().collect();
    let goaways = history.goaways.iter().zip(judged.goaways);
    ConnectionRow {
        flow: history.flow,
        number: 0,
        client: history.ends.first,
        server: history.ends.second,
        transport: history.transport,
        tls: None,
        http2,
        joined_midway: history.joined_midway,
        one_sided,
        first: history.first,
        last: history.last,
        opened_at: history.syn.map(|stamp| stamp.at),
        closed_at,
        lost_bytes: Both { first: history.tcp.first.lost, second: history.tcp.second.lost },
        streams: history.counts,
        end,
        goaways: goaways
            .map(|(goaway, (follows, verdict))| GoawayRow {
                stamp: goaway.stamp,
                by: goaway.by,
                code: goaway.code,
                last_stream_id: goaway.last_stream_id,
                debug: goaway.debug.clone(),
                debug_missing: goaway.debug_missing,
                follows,
                verdict,
            })
            .collect(),
        end_verdict: judged.end,
        cancellations: judged.cancellations,
        findings: [findings, judged.findings, copies(&history.notes)].concat(),
        notes: history.notes.clone(),
        stream_list: Vec::new(),
        answers: history.answers.total().times(),
        implementations,
        metered: history.metered.clone(),
        hits: history.hits.clone(),
        settled: false,
        processes: Both::default(),
        forgotten: history.end == Some(FlowEnd::Evicted),
        dropped_meanwhile: 0,
    }
}

/// Whether HTTP/2 was spoken: a client that stayed silent, or said something else, did not, even
/// where the server began to.
fn speaks_http2(history: &History) -> bool {
    let client = &history.sides.first;
    let began = client.first_frame.is_some() || client.preface.is_some();
    let unseen =
        history.joined_midway || history.tcp.first.lost > 0 || history.transport == Transport::Tls;
    history.client_speaks_http2 && (began || unseen)
}

/// A GOAWAY counts as the end where the connection was closed after it, or nothing followed.
fn end_of(history: &History) -> End {
    let tcp = history.tcp_end();
    let goaway = history.goaways.first().filter(
        |goaway| // What one side sends keeps its order, whatever order its packets came in.
        tcp.is_none_or(|(stamp, by, _)| by == goaway.by || !stamp.before(goaway.stamp)),
    );
    match (goaway, tcp) {
        (Some(goaway), _) => {
            End { how: EndHow::Goaway, by: Some(goaway.by), stamp: Some(goaway.stamp) }
        }
        (None, Some((stamp, by, rst))) => {
            let how = if rst { EndHow::Rst } else { EndHow::Fin };
            End { how, by: Some(by), stamp: Some(stamp) }
        }
        (None, None) => End { how: EndHow::Open, by: None, stamp: None },
    }
}

/// The only side of which octets were captured, or could be read.
fn one_sided(history: &History) -> Option<Side> {
    let spoke = |side: Side| history.tcp.side(side).delivered > 0 && !*history.sealed.side(side);
    let lost = |side: Side| history.tcp.side(side).lost > 0 || history.tcp.side(side).unheard;
    let open = history.end == Some(FlowEnd::CaptureEnd);
    match (spoke(Side::Client), spoke(Side::Server)) {
        (true, false) if lost(Side::Server) || history.sealed.second => Some(Side::Client),
        (false, true) if lost(Side::Client) || history.sealed.first || open => Some(Side::Server),
        _ => None,
    }
}
