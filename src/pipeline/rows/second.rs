//! The second pass over connections that are over: what they say of each other.
//!
//! Each of its steps is guarded: one in which this program fails adds nothing, or not all it would,
//! and that is told as a fault.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Connection, advise_all, doubts};
use crate::board::filter::Filter;
use crate::board::{Board, ConnectionRow};
use crate::cause::conflicts;
use crate::cause::neighbours::{self, Ending, Revision};
use crate::cause::pair::{About, Answered, PairFacts};
use crate::cause::timeouts::{self, Settled};
use crate::guard::against_panics;
use crate::pipeline::hops::Hops;
use crate::vocab::address::{Both, Endpoint};
use crate::vocab::drops::Drops;
use crate::vocab::fault::Fault;
use crate::vocab::hop::{Guest, Troubled};
use crate::vocab::limits::Hit;
use crate::vocab::time::Stamp;
use crate::vocab::verdict::Verdict;

/// What connections are judged by beside each other.
#[derive(Clone, Copy)]
pub(in crate::pipeline) struct Beside<'a> {
    /// Servers that refused a connection, and when.
    pub(in crate::pipeline) refused: &'a [(Endpoint, Stamp)],
    /// Requests of flows that were not HTTP/2.
    pub(in crate::pipeline) guests: &'a [Guest],
    /// When packets were dropped.
    pub(in crate::pipeline) drops: &'a Drops,
}

/// The second pass over connections in order: what neighbours say of each other. Of `beyond`
/// connections the failed requests were not kept; those that pass `only` are measured.
pub(in crate::pipeline) fn second_pass(
    all: Vec<Connection>,
    beside: Beside<'_>,
    answered: &BTreeMap<Endpoint, Answered>,
    beyond: u64,
    only: Option<&Filter>,
) -> Board {
    let Beside { refused, guests, drops } = beside;
    let mut faults = Vec::new();
    let (mut connections, mut heard) = Heard::of(all, drops, &mut faults);
    let step = &mut faults;
    guarded(step, || neighbours_revise(&mut connections, &heard.endings, refused));
    guarded(step, || admit_lost_neighbours(&mut connections));
    guarded(step, || heard.conclude(&connections));
    guarded(step, || heard.leave_out_strangers(&mut connections));
    let hops = guarded(step, || {
        let hops = Hops::join(&connections, &heard.troubled, guests);
        hops.unload(&connections, &mut heard.facts);
        Some(hops)
    });
    guarded(step, || heard.settle(&mut connections));
    guarded(step, || heard.pool(&mut connections));
    guarded(step, || doubts::after(&mut connections));
    let (clock_offsets, hops) = guarded(step, || {
        let hops = hops?;
        Some((hops.clock_offsets(), hops.tell(&mut connections)))
    })
    .unwrap_or_default();
    let mut board = guarded(step, || measured(&heard.facts, answered));
    guarded(step, || advise_all(&mut connections, answered, &board.inferred_timeouts));
    if let Some(only) = only {
        board = guarded(step, || measured_of(only, &connections, heard.facts, &heard.times));
    }
    let hits = Some((Hit::Troubled, beyond)).filter(|_| beyond > 0).into_iter().collect();
    Board { hops, clock_offsets, connections, hits, faults, ..board }
}

/// Does a step, or notes that this program failed in it. Each place is told once.
pub(in crate::pipeline) fn guarded<R: Default>(
    faults: &mut Vec<Fault>,
    step: impl FnOnce() -> R,
) -> R {
    let done = against_panics(|| {
        #[cfg(test)]
        crate::pipeline::inject::at_step();
        step()
    });
    done.unwrap_or_else(|place| {
        if faults.iter().all(|known| known.place != place) {
            faults.push(Fault { flow: None, stamp: None, place });
        }
        R::default()
    })
}

/// What connections say beside their rows, each with the place of its connection.
struct Heard {
    endings: Vec<Ending>,
    /// In order of their places.
    facts: Vec<PairFacts>,
    times: Vec<(usize, Box<Answered>)>,
    /// Of every connection the requests that did not end well.
    troubled: Vec<Arc<[Troubled]>>,
}

impl Heard {
    /// The rows apart, those that end while packets are dropped less sure.
    fn of(
        all: Vec<Connection>,
        drops: &Drops,
        faults: &mut Vec<Fault>,
    ) -> (Vec<Arc<ConnectionRow>>, Self) {
        let mut connections = Vec::with_capacity(all.len());
        let troubled = Vec::with_capacity(all.len());
        let mut heard =
            Self { endings: Vec::new(), facts: Vec::new(), times: Vec::new(), troubled };
        for (place, mut of) in all.into_iter().enumerate() {
            if !drops.is_empty() {
                guarded(faults, || doubts::before(&mut of, drops));
            }
            heard.troubled.push(of.troubled);
            let (placed, number) = (of.endings.into_iter(), of.row.number);
            let placed = placed.map(|end| Ending { place: (place, end.place.1), number, ..end });
            heard.endings.extend(placed);
            heard.facts.extend(of.facts.map(|facts| PairFacts { place, ..facts }));
            heard.times.extend(of.answered.map(|times| (place, times)));
            connections.push(of.row);
        }
        (connections, heard)
    }

    fn conclude(&mut self, connections: &[Arc<ConnectionRow>]) {
        for facts in &mut self.facts {
            if let Some(row) = connections.get(facts.place) {
                facts.conclude(row.verdicts(), &row.cancellations);
            }
        }
    }

    /// Timers of connections that their hosts do not know are none.
    fn leave_out_strangers(&mut self, connections: &mut [Arc<ConnectionRow>]) {
        for (place, why) in timeouts::strangers(&self.facts) {
            if let Some(row) = connections.get_mut(place) {
                let row = Arc::make_mut(row);
                row.every_verdict_mut().for_each(|verdict| timeouts::doubt_lone(verdict, why));
            }
            if let Some(facts) = of_place(&mut self.facts, place) {
                facts.samples.retain(|sample| !timeouts::is_lone(sample));
            }
        }
    }

    /// What several closes of one client show of its pool.
    fn pool(&self, connections: &mut [Arc<ConnectionRow>]) {
        let ended = |place: usize| connections.get(place).and_then(|row| row.end.stamp);
        for pooled in timeouts::of_pools(&self.facts, ended) {
            let Some(row) = connections.get_mut(pooled.place) else { continue };
            let row = Arc::make_mut(row);
            row.every_verdict_mut().for_each(|verdict| timeouts::apply_pool(verdict, &pooled));
        }
    }

    /// What other connections of a pair have settled.
    fn settle(&mut self, connections: &mut [Arc<ConnectionRow>]) {
        for settled in timeouts::settle(&self.facts) {
            if let Some(row) = connections.get_mut(settled.place) {
                settle(Arc::make_mut(row), &settled);
            }
            if let Some(facts) = of_place(&mut self.facts, settled.place) {
                facts.learn(&settled);
            }
        }
    }
}

/// Better reasons for endings, from those of their neighbours.
fn neighbours_revise(
    connections: &mut [Arc<ConnectionRow>],
    endings: &[Ending],
    refused: &[(Endpoint, Stamp)],
) {
    for revision in neighbours::revise(endings, refused) {
        let (place, goaway) = revision.place;
        let Some(row) = connections.get_mut(place) else { continue };
        let revision = weighed(row, revision);
        revise(Arc::make_mut(row), goaway, &revision);
    }
}

/// The same of those connections that pass; `times` are their answers by place.
fn measured_of(
    only: &Filter,
    connections: &[Arc<ConnectionRow>],
    mut facts: Vec<PairFacts>,
    times: &[(usize, Box<Answered>)],
) -> Board {
    let passes = |place: usize| connections.get(place).filter(|row| only.connection(row));
    facts.retain(|facts| passes(facts.place).is_some());
    let mut answered: BTreeMap<Endpoint, Answered> = BTreeMap::new();
    for (row, times) in times.iter().filter_map(|(place, of)| Some((passes(*place)?, of))) {
        answered.entry(row.server).or_default().merge(times);
    }
    measured(&facts, &answered)
}

/// What several connections show together.
fn measured(facts: &[PairFacts], answered: &BTreeMap<Endpoint, Answered>) -> Board {
    let inferred_timeouts = timeouts::infer(facts);
    Board {
        conflicts: conflicts::find(facts, &inferred_timeouts, answered),
        server_answers: timeouts::answers(answered),
        ages: timeouts::ages(answered.values()),
        inferred_timeouts,
        ..Board::default()
    }
}

/// What neighbours say of a connection whose beginning was not seen is worth less.
fn weighed(row: &ConnectionRow, mut revision: Revision) -> Revision {
    if row.joined_midway {
        revision.confidence = revision.confidence.lowered();
    }
    revision
}

/// Puts a revision in, for the GOAWAY and those that follow it.
fn revise(row: &mut ConnectionRow, goaway: Option<usize>, revision: &Revision) {
    let Some(leader) = goaway else {
        if let Some(verdict) = &mut row.end_verdict {
            neighbours::apply(verdict, revision);
        }
        return;
    };
    for (index, goaway) in row.goaways.iter_mut().enumerate() {
        if index == leader || goaway.follows == Some(leader) {
            neighbours::apply(&mut goaway.verdict, revision);
        }
    }
}

/// Where the capture lacks octets of a server's connections, those of its neighbours that would
/// speak for another reason may not be there.
fn admit_lost_neighbours(connections: &mut [Arc<ConnectionRow>]) {
    let lossy = |row: &&Arc<ConnectionRow>| row.lost_bytes != Both::default();
    let servers: BTreeSet<Endpoint> =
        connections.iter().filter(lossy).map(|row| row.server).collect();
    if servers.is_empty() {
        return;
    }
    for row in connections.iter_mut().filter(|row| servers.contains(&row.server)) {
        let lone = |verdict: &Verdict| neighbours::is_lone_silence(verdict);
        if row.verdicts().any(lone) {
            let row = Arc::make_mut(row);
            row.every_verdict_mut().for_each(neighbours::doubt_lone_silence);
        }
    }
}

/// Those of a connection. `facts` have the order of the connections, without those that have none.
pub(in crate::pipeline) fn of_place(
    facts: &mut [PairFacts],
    place: usize,
) -> Option<&mut PairFacts> {
    let at = facts.binary_search_by_key(&place, |facts| facts.place).ok()?;
    facts.get_mut(at)
}

/// Puts in what other connections of the pair have settled.
fn settle(row: &mut ConnectionRow, settled: &Settled) {
    match settled.about {
        About::Cancels(index) => {
            let Some(set) = row.cancellations.get_mut(index) else { return };
            timeouts::apply_to_cancels(set, settled);
            let set = &*set;
            let verdicts = row.goaways.iter_mut().map(|goaway| &mut goaway.verdict);
            for verdict in verdicts.chain(&mut row.end_verdict) {
                timeouts::apply_to_root(verdict, set);
            }
        }
        About::Goaway(leader) => {
            for (index, goaway) in row.goaways.iter_mut().enumerate() {
                if index == leader || goaway.follows == Some(leader) {
                    timeouts::apply_to_verdict(&mut goaway.verdict, settled);
                }
            }
        }
        About::End => {
            if let Some(verdict) = &mut row.end_verdict {
                timeouts::apply_to_verdict(verdict, settled);
            }
        }
    }
}
