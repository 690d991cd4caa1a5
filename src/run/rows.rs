//! Finished connections become rows of the board.

use std::collections::BTreeSet;

use crate::board::{Board, ConnectionRow, End, EndHow, GoawayRow};
use crate::cause;
use crate::pipeline::OtherFlow;
use crate::track::history::History;
use crate::vocab::address::{Both, Endpoint, Side};
use crate::vocab::flow::FlowEnd;

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Rows {
    connections: Vec<ConnectionRow>,
    others: Vec<OtherFlow>,
    /// Endpoints that serve HTTP/2 in this capture.
    servers: BTreeSet<Endpoint>,
    other_flows: u64,
}

impl Rows {
    pub fn connection(&mut self, history: History) {
        if history.client_speaks_http2 {
            self.servers.insert(history.ends.second);
        }
        self.connections.push(row(history));
    }

    pub fn other_flow(&mut self, flow: OtherFlow) {
        self.others.push(flow);
    }

    pub fn into_board(mut self) -> Board {
        self.connections.sort_by_key(|row| (row.first.order(), row.flow));
        self.other_flows += self.others.len() as u64;
        Board { connections: self.connections, other_flows: self.other_flows, ..Board::default() }
    }
}

fn row(history: History) -> ConnectionRow {
    let judged = cause::judge(&history);
    let end = end_of(&history);
    let closed_at = history.tcp_end().map(|(stamp, ..)| stamp.at);
    let one_sided = one_sided(&history);
    let goaways = history.goaways.into_iter().zip(judged.goaways);
    ConnectionRow {
        flow: history.flow,
        client: history.ends.first,
        server: history.ends.second,
        transport: history.transport,
        tls: None,
        http2: history.client_speaks_http2,
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
                debug: goaway.debug,
                follows,
                verdict,
            })
            .collect(),
        end_verdict: judged.end,
        cancellations: judged.cancellations,
        findings: history.findings,
        stream_list: history.rows,
        answers: history.answers.times(),
        implementations: Both::default(),
        hits: history.hits,
    }
}

/// A GOAWAY counts as the end where the connection was closed after it, or nothing followed.
fn end_of(history: &History) -> End {
    let tcp = history.tcp_end();
    let goaway = history
        .goaways
        .first()
        .filter(|goaway| tcp.is_none_or(|(stamp, ..)| !stamp.before(goaway.stamp)));
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

/// The only side of which octets were captured.
fn one_sided(history: &History) -> Option<Side> {
    let spoke = |side: Side| history.tcp.side(side).delivered > 0;
    let lost = |side: Side| history.tcp.side(side).lost > 0;
    match (spoke(Side::Client), spoke(Side::Server)) {
        (true, false) if lost(Side::Server) => Some(Side::Client),
        (false, true) if lost(Side::Client) || history.end == Some(FlowEnd::CaptureEnd) => {
            Some(Side::Server)
        }
        _ => None,
    }
}
