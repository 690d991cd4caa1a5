//! The board while it moves: rows of closed connections, and of those that go on as they stand.
//!
//! What has not changed is not made anew, and what is kept has a bound; rows that are let go stay
//! in the numbers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;
use std::sync::Arc;

use crate::board::{Board, Tally};
use crate::cause;
use crate::cause::pair::Answered;
use crate::track::history::History;
use crate::vocab::address::{Both, Endpoint};
use crate::vocab::flow::FlowId;
use crate::vocab::process::Process;
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
    /// The last board, as long as nothing changes.
    last: Option<Board>,
    /// Local programs of open connections.
    programs: BTreeMap<FlowId, Programs>,
}

/// The programs at both ends.
type Programs = Both<Option<Arc<Process>>>;

impl Sink for Moving {
    const READS_FIELDS: bool = false;

    fn connection(&mut self, history: History, tls: Option<TlsFacts>) {
        self.serves(history.ends.second);
        let judged = cause::judge(&history);
        self.answers(history.ends.second).add(&history, &judged);
        self.close(finished(history, judged, tls));
    }

    fn other_flow(&mut self, flow: OtherFlow) {
        self.last = None;
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
            last: None,
            programs: BTreeMap::new(),
        }
    }

    /// Names the programs at both ends of an open connection, or of one that has just closed.
    pub fn name(&mut self, id: FlowId, programs: Programs) {
        let closed = || self.closed.iter().rev().take(JUST_CLOSED).find(|place| place.1 == id);
        let Some(place) = self.open.get(&id).or_else(closed) else { return };
        if let Some(row) = self.rows.get_mut(place) {
            Arc::make_mut(&mut row.row).processes = programs.clone();
            self.last = None;
        }
        if self.open.contains_key(&id) {
            self.programs.insert(id, programs);
        }
    }

    /// Makes rows anew of open connections on which something happened, at most `most` of them.
    /// Gives those that are new.
    pub fn look(&mut self, pipeline: &mut Pipeline, most: usize) -> Vec<(FlowId, Both<Endpoint>)> {
        let mut new = Vec::new();
        for id in pipeline.touched(most) {
            let mut row = match pipeline.open(id) {
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
            if let Some(programs) = self.programs.get(&id) {
                Arc::make_mut(&mut row.row).processes = programs.clone();
            }
            self.last = None;
            match self.open.insert(id, place) {
                Some(old) if old != place => drop(self.rows.remove(&old)),
                Some(_) => {}
                None => new.push((id, Both { first: row.row.client, second: row.row.server })),
            }
            self.rows.insert(place, row);
        }
        new
    }

    /// The board as it stands, but for its captures.
    pub fn board(&mut self) -> Board {
        if let Some(last) = &self.last {
            return last.clone();
        }
        if mem::take(&mut self.new_server) {
            for flow in mem::take(&mut self.waiting) {
                if !self.tell(&flow) {
                    self.waiting.push_back(flow);
                }
            }
        }
        let rows = self.rows.values().cloned().collect();
        let refused = self.refused.make_contiguous();
        let board = Board {
            other_flows: self.other_flows + self.waiting.len() as u64,
            earlier: self.earlier.clone(),
            ..second_pass(rows, refused, &self.answered)
        };
        self.last = Some(board.clone());
        board
    }

    fn serves(&mut self, server: Endpoint) {
        if self.servers.len() >= self.most && !self.servers.contains(&server) {
            // More servers than rows: the first ones are as good to forget as any.
            self.servers.pop_first();
        }
        self.new_server |= self.servers.insert(server);
    }

    fn answers(&mut self, server: Endpoint) -> &mut Answered {
        if self.answered.len() >= self.most && !self.answered.contains_key(&server) {
            self.answered.pop_first();
        }
        self.answered.entry(server).or_default()
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

    fn close(&mut self, mut row: Connection) {
        self.last = None;
        if let Some(programs) = self.programs.remove(&row.row.flow) {
            Arc::make_mut(&mut row.row).processes = programs;
        }
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
        self.programs.remove(&id);
        if let Some(place) = self.open.remove(&id) {
            self.rows.remove(&place);
        }
    }
}

fn place(row: &Connection) -> Place {
    (row.row.first.order(), row.row.flow)
}

/// Closed connections that are looked through for one whose programs are named late.
const JUST_CLOSED: usize = 1_024;

#[cfg(test)]
mod tests;
