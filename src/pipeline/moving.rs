//! The board while it moves: rows of closed connections, and of those that go on as they stand.
//!
//! What has not changed is not made anew, and what is kept has a bound; rows that are let go stay
//! in the numbers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;
use std::sync::Arc;

use crate::board::group::Standing;
use crate::board::{Board, ConnectionRow, Tally};
use crate::cause;
use crate::cause::pair::Answered;
use crate::guard::against_panics;
use crate::track::history::History;
use crate::vocab::address::{Both, Endpoint};
use crate::vocab::drops::Drops;
use crate::vocab::flow::FlowId;
use crate::vocab::hop::Guest;
use crate::vocab::limits::Limits;
use crate::vocab::process::Named;
use crate::vocab::time::Stamp;
use crate::vocab::tls::TlsFacts;

use super::rows::{Beside, Connection, finished, guarded, running, second_pass};
use super::{Open, OtherFlow, Pipeline, Sink, other};

/// Where a row stands on the board: first packet, then flow.
type Place = ((i64, u64), FlowId);

/// Collects rows, and gives boards as often as they are asked for.
#[derive(Debug)]
pub struct Moving {
    /// Rows of closed connections that are kept, and flows that may yet be told.
    most: usize,
    /// Octets that rows of closed connections may take.
    octets: usize,
    /// What those take, and those of open ones, about.
    taken: Taken,
    /// Each with what it takes.
    rows: BTreeMap<Place, (Connection, usize)>,
    /// Places of open connections.
    open: BTreeMap<FlowId, Place>,
    /// Places of closed connections that had trouble, in the order in which they closed.
    troubled: VecDeque<Place>,
    /// Places of the other closed ones, and of those that tell nothing: these are let go first.
    healthy: VecDeque<Place>,
    /// What listed connections are numbered by; nothing where none is let go.
    numbers: BTreeMap<FlowId, usize>,
    /// Connections that were numbered.
    numbered: usize,
    answered: BTreeMap<Endpoint, Answered>,
    /// Flows that are told if their server turns out to speak HTTP/2.
    waiting: VecDeque<OtherFlow>,
    servers: BTreeSet<Endpoint>,
    /// Whether a server was learned since flows that wait were last asked.
    new_server: bool,
    /// Refused connections: server and time.
    refused: VecDeque<(Endpoint, Stamp)>,
    /// Requests of flows that were not HTTP/2, the latest.
    guests: VecDeque<Guest>,
    other_flows: u64,
    earlier: Tally,
    /// Requests that may still be kept for the other side of a proxy.
    room: usize,
    /// Connections whose failed requests were not kept any more.
    beyond: u64,
    /// When packets were dropped.
    drops: Drops,
    /// The last board, as long as nothing changes.
    last: Option<Board>,
    /// Where local programs are asked for: all open flows, of whatever kind, with those programs.
    programs: Option<BTreeMap<FlowId, Option<Named>>>,
    /// Flows that are new since they were last asked for.
    fresh: Vec<(FlowId, Both<Endpoint>)>,
}

/// Octets that rows take.
#[derive(Debug, Default)]
struct Taken {
    closed: usize,
    open: usize,
}

impl Sink for Moving {
    const READS_FIELDS: bool = false;

    fn opened(&mut self, flow: FlowId, ends: Both<Endpoint>) {
        if let Some(programs) = &mut self.programs {
            programs.insert(flow, None);
            self.fresh.push((flow, ends));
        }
    }

    fn connection(&mut self, history: History, tls: Option<TlsFacts>) {
        self.serves(history.ends.second);
        let judged = cause::judge(&history);
        self.answers(history.ends.second).add(&history, &judged);
        self.close(finished(history, judged, tls).advised());
    }

    fn other_flow(&mut self, flow: OtherFlow) {
        self.last = None;
        self.forget_open(flow.id);
        if let Some(guest) = other::guest(&flow) {
            let place = self
                .guests
                .partition_point(|known| known.of.opened.order() <= guest.of.opened.order());
            self.guests.insert(place, guest);
            if self.guests.len() > self.most.min(GUESTS) {
                self.guests.pop_front();
            }
        }
        if !self.tell(&flow) {
            self.numbers.remove(&flow.id);
            self.waiting.push_back(flow);
        }
        if self.waiting.len() > self.most {
            self.waiting.pop_front();
            self.other_flows += 1;
        }
    }

    fn lost(&mut self, flow: FlowId) {
        self.last = None;
        self.forget_open(flow);
        self.numbers.remove(&flow);
    }
}

impl Moving {
    /// An empty board that keeps at most `most` rows of closed connections.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            octets: usize::MAX,
            taken: Taken::default(),
            rows: BTreeMap::new(),
            open: BTreeMap::new(),
            troubled: VecDeque::new(),
            healthy: VecDeque::new(),
            numbers: BTreeMap::new(),
            numbered: 0,
            answered: BTreeMap::new(),
            waiting: VecDeque::new(),
            servers: BTreeSet::new(),
            new_server: false,
            refused: VecDeque::new(),
            guests: VecDeque::new(),
            other_flows: 0,
            earlier: Tally::default(),
            room: Limits::default().troubled_of_all,
            beyond: 0,
            drops: Drops::default(),
            last: None,
            programs: None,
            fresh: Vec::new(),
        }
    }

    /// An empty board whose rows of closed connections take so many octets at most, about.
    pub fn within(octets: usize) -> Self {
        Self { octets, ..Self::new(octets / ROW) }
    }

    /// Octets that rows of open connections take, about.
    pub fn open_weight(&self) -> usize {
        self.taken.open
    }

    /// From now on tells which flows are new, whose programs are to be named.
    pub fn note_fresh(&mut self) {
        self.programs.get_or_insert_default();
    }

    /// Flows that are new since the last call, of whatever kind they will be.
    pub fn fresh(&mut self) -> Vec<(FlowId, Both<Endpoint>)> {
        mem::take(&mut self.fresh)
    }

    /// Packets were dropped at these times.
    pub fn dropped(&mut self, drops: Drops) {
        if !drops.is_empty() {
            self.drops.extend(drops, Limits::default().drop_stretches);
            self.last = None;
        }
    }

    /// Names the programs at the ends of flows that are open, or have just closed.
    pub fn name(&mut self, answers: Vec<(FlowId, Named)>) {
        let mut closed: BTreeMap<FlowId, Place> = BTreeMap::new();
        if !answers.is_empty() {
            for of in [&self.troubled, &self.healthy] {
                let latest = of.iter().rev().take(JUST_CLOSED);
                closed.extend(latest.map(|place| (place.1, *place)));
            }
        }
        for (id, named) in answers {
            if let Some(known) = self.programs.as_mut().and_then(|all| all.get_mut(&id)) {
                *known = Some(match &known {
                    Some(before) => named.clone().or(before),
                    None => named.clone(),
                });
            }
            let Some(place) = self.open.get(&id).or_else(|| closed.get(&id)) else { continue };
            if let Some(row) = self.rows.get_mut(place) {
                self.last = None;
                put(&named, &mut row.0.row);
            }
        }
    }

    /// Makes rows anew of open connections on which something happened, at most `most` of them.
    pub fn look(&mut self, pipeline: &mut Pipeline, most: usize) {
        for id in pipeline.touched(most) {
            let mut row = match against_panics(|| self.as_it_stands(pipeline.open(id)?)) {
                Ok(Some(row)) => row,
                Ok(None) => continue,
                Err(place) => {
                    pipeline.lose(id, place, self);
                    continue;
                }
            };
            let place = place(&row);
            if let Some(Some(named)) = self.programs.as_ref().and_then(|all| all.get(&id)) {
                put(named, &mut row.row);
            }
            self.last = None;
            if let Some(old) = self.open.insert(id, place)
                && let Some((_, weight)) = self.rows.remove(&old)
            {
                self.taken.open -= weight;
            }
            self.taken.open += self.insert(place, row);
        }
    }

    /// The board as it stands, but for its captures.
    pub fn board(&mut self) -> Board {
        if let Some(last) = &self.last {
            return last.clone();
        }
        let mut faults = Vec::new();
        if mem::take(&mut self.new_server) {
            for flow in mem::take(&mut self.waiting) {
                if !guarded(&mut faults, || self.tell(&flow)) {
                    self.waiting.push_back(flow);
                }
            }
        }
        if self.most == usize::MAX {
            // None is let go: each has its place.
            for ((row, _), number) in self.rows.values_mut().zip(1..) {
                row.is_number(number);
            }
        }
        let rows = self.rows.values().map(|(row, _)| row.clone()).collect();
        let refused = self.refused.make_contiguous();
        let guests = self.guests.make_contiguous();
        let beside = Beside { refused, guests, drops: &self.drops };
        let mut board = second_pass(rows, beside, &self.answered, self.beyond, None);
        board.other_flows = self.other_flows + self.waiting.len() as u64;
        board.earlier = self.earlier.clone();
        board.faults.append(&mut faults);
        self.last = Some(board.clone());
        board
    }

    /// The row of an open connection; `None` where there is nothing to tell yet.
    fn as_it_stands(&mut self, open: Open<'_>) -> Option<Connection> {
        match open {
            Open::Connection(history, requests, tls) => {
                self.serves(history.ends.second);
                Some(running(history, requests, tls).advised())
            }
            // Without TLS there is nothing to tell of it before it is over.
            Open::Other(flow, Some(tls)) => {
                let flow = OtherFlow { tls: Some(Box::new(tls)), ..flow.clone() };
                other::row(&flow, &self.servers).map(|row| Connection::alone(row).advised())
            }
            Open::Other(_, None) => None,
        }
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
        self.close(Connection::alone(row).advised());
        true
    }

    fn close(&mut self, mut row: Connection) {
        self.last = None;
        if let Some(Some(named)) = self.programs.as_ref().and_then(|all| all.get(&row.row.flow)) {
            put(named, &mut row.row);
        }
        self.forget_open(row.row.flow);
        self.beyond += u64::from(!row.troubled_within(&mut self.room));
        let place = place(&row);
        // TLS that nobody could read tells nothing that would be missed.
        match row.row.is_dark() || row.row.standing() == Standing::Orderly {
            true => self.healthy.push_back(place),
            false => self.troubled.push_back(place),
        }
        self.taken.closed += self.insert(place, row);
        loop {
            let closed = self.healthy.len() + self.troubled.len();
            let fit = closed <= self.most && self.taken.closed <= self.octets;
            if fit || closed == 0 {
                break;
            }
            self.let_go();
        }
    }

    /// Lets the row go that is missed least: the oldest healthy one, as long as these are more
    /// than their share.
    fn let_go(&mut self) {
        let oldest = match self.healthy.len() > self.most / HEALTHY {
            true => self.healthy.pop_front(),
            false => self.troubled.pop_front(),
        };
        let oldest = oldest.or_else(|| self.healthy.pop_front());
        if let Some(oldest) = oldest
            && let Some((old, weight)) = self.rows.remove(&oldest)
        {
            self.taken.closed -= weight;
            self.numbers.remove(&oldest.1);
            self.room += old.troubled.len();
            self.earlier.add(&old.row);
        }
    }

    /// Puts a row in its place; gives what it takes.
    fn insert(&mut self, place: Place, mut row: Connection) -> usize {
        if self.most < usize::MAX {
            row.is_number(*self.numbers.entry(place.1).or_insert_with(|| {
                self.numbered += 1;
                self.numbered
            }));
        }
        let weight = row.weight();
        self.rows.insert(place, (row, weight));
        weight
    }

    fn forget_open(&mut self, id: FlowId) {
        if let Some(programs) = &mut self.programs {
            programs.remove(&id);
        }
        if let Some(place) = self.open.remove(&id)
            && let Some((_, weight)) = self.rows.remove(&place)
        {
            self.taken.open -= weight;
        }
    }
}

/// Octets of the smallest row with what surrounds it.
const ROW: usize = 4 * 1024;

/// Requests of flows that were not HTTP/2 that are kept.
const GUESTS: usize = 1 << 14;

/// Closed healthy connections keep one part in so many of the rows.
const HEALTHY: usize = 4;

fn place(row: &Connection) -> Place {
    (row.row.first.order(), row.row.flow)
}

/// Writes the programs that are known into a row.
fn put(named: &Named, row: &mut Arc<ConnectionRow>) {
    let Both { first, second } = named.of(row.client, row.server);
    let row = Arc::make_mut(row);
    row.processes.first = first.or(row.processes.first.take());
    row.processes.second = second.or(row.processes.second.take());
}

/// Closed connections that are looked through for one whose programs are named late.
const JUST_CLOSED: usize = 4_096;

#[cfg(test)]
mod tests;
