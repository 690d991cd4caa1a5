//! The board while it moves: rows of closed connections, and of those that go on as they stand.
//!
//! What has not changed is not made anew, and what is kept has a bound; rows that are let go stay
//! in the numbers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;

use crate::board::{Board, Tally};
use crate::cause;
use crate::cause::pair::Answered;
use crate::track::history::History;
use crate::vocab::address::Endpoint;
use crate::vocab::flow::FlowId;
use crate::vocab::time::Stamp;
use crate::vocab::tls::TlsFacts;

use super::rows::{Connection, finished, running, second_pass};
use super::{Open, OtherFlow, Pipeline, Sink, other};

/// Where a row stands on the board: first packet, then flow.
type Place = ((i64, u64), FlowId);

/// Collects rows, and gives boards as often as they are asked for.
#[derive(Debug)]
pub struct Moving {
    /// Rows of closed connections that are kept, and flows that may yet be told.
    most: usize,
    rows: BTreeMap<Place, Connection>,
    /// Places of open connections.
    open: BTreeMap<FlowId, Place>,
    /// Places of closed connections, in the order in which they closed.
    closed: VecDeque<Place>,
    answered: BTreeMap<Endpoint, Answered>,
    /// Flows that are told if their server turns out to speak HTTP/2.
    waiting: VecDeque<OtherFlow>,
    servers: BTreeSet<Endpoint>,
    /// Whether a server was learned since flows that wait were last asked.
    new_server: bool,
    /// Refused connections: server and time.
    refused: VecDeque<(Endpoint, Stamp)>,
    other_flows: u64,
    earlier: Tally,
}

impl Sink for Moving {
    const READS_FIELDS: bool = false;

    fn connection(&mut self, history: History, tls: Option<TlsFacts>) {
        self.serves(history.ends.second);
        let judged = cause::judge(&history);
        self.answered.entry(history.ends.second).or_default().add(&history, &judged);
        self.close(finished(history, judged, tls));
    }

    fn other_flow(&mut self, flow: OtherFlow) {
        self.forget_open(flow.id);
        if !self.tell(&flow) {
            self.waiting.push_back(flow);
        }
        if self.waiting.len() > self.most {
            self.waiting.pop_front();
            self.other_flows += 1;
        }
    }
}

impl Moving {
    /// An empty board that keeps at most `most` rows of closed connections.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            rows: BTreeMap::new(),
            open: BTreeMap::new(),
            closed: VecDeque::new(),
            answered: BTreeMap::new(),
            waiting: VecDeque::new(),
            servers: BTreeSet::new(),
            new_server: false,
            refused: VecDeque::new(),
            other_flows: 0,
            earlier: Tally::default(),
        }
    }

    /// Makes rows anew of open connections on which something happened, at most `most` of them.
    pub fn look(&mut self, pipeline: &mut Pipeline, most: usize) {
        for id in pipeline.touched(most) {
            let row = match pipeline.open(id) {
                Some(Open::Connection(history, requests, tls)) => {
                    self.serves(history.ends.second);
                    running(history, requests, tls)
                }
                // Without TLS there is nothing to tell of it before it is over.
                Some(Open::Other(flow, Some(tls))) => {
                    let flow = OtherFlow { tls: Some(tls), ..flow.clone() };
                    let Some(row) = other::row(&flow, &self.servers) else { continue };
                    Connection::alone(row)
                }
                Some(Open::Other(_, None)) | None => continue,
            };
            let place = place(&row);
            if let Some(old) = self.open.insert(id, place)
                && old != place
            {
                self.rows.remove(&old);
            }
            self.rows.insert(place, row);
        }
    }

    /// The board as it stands, but for its captures.
    pub fn board(&mut self) -> Board {
        if mem::take(&mut self.new_server) {
            for flow in mem::take(&mut self.waiting) {
                if !self.tell(&flow) {
                    self.waiting.push_back(flow);
                }
            }
        }
        let rows = self.rows.values().cloned().collect();
        let refused = self.refused.make_contiguous();
        Board {
            other_flows: self.other_flows + self.waiting.len() as u64,
            earlier: self.earlier.clone(),
            ..second_pass(rows, refused, &self.answered)
        }
    }

    fn serves(&mut self, server: Endpoint) {
        self.new_server |= self.servers.insert(server);
    }

    /// Puts a flow without HTTP/2 on the board, where it belongs there.
    fn tell(&mut self, flow: &OtherFlow) -> bool {
        let Some(row) = other::row(flow, &self.servers) else { return false };
        if flow.refused {
            self.refused.push_back((row.server, row.last));
            if self.refused.len() > self.most {
                self.refused.pop_front();
            }
        }
        self.close(Connection::alone(row));
        true
    }

    fn close(&mut self, row: Connection) {
        self.forget_open(row.row.flow);
        let place = place(&row);
        self.closed.push_back(place);
        self.rows.insert(place, row);
        if self.closed.len() > self.most
            && let Some(oldest) = self.closed.pop_front()
            && let Some(old) = self.rows.remove(&oldest)
        {
            self.earlier.add(&old.row);
        }
    }

    fn forget_open(&mut self, id: FlowId) {
        if let Some(place) = self.open.remove(&id) {
            self.rows.remove(&place);
        }
    }
}

fn place(row: &Connection) -> Place {
    (row.row.first.order(), row.row.flow)
}

#[cfg(test)]
mod tests;
