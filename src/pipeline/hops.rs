//! What lies beyond a proxy is put into the rows of both its sides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::board::{ConnectionRow, HopLink};
use crate::cause::hops::{self, Ends, Joined, Request};
use crate::cause::pair::PairFacts;
use crate::cause::scene::spoken;
use crate::vocab::address::{Endpoint, Side};
use crate::vocab::cause::{Cause, Confidence};
use crate::vocab::clock::ClockOffset;
use crate::vocab::hop::{Guest, Hop, JoinedBy, Trouble, Troubled, Way};
use crate::vocab::time::Stamp;
use crate::vocab::verdict::{Cancellation, ConfiguredIn, Evidence, Timeout, Verdict};

use super::rows::of_place;

/// Requests of all connections, and what was joined of them.
#[derive(Default)]
pub(super) struct Hops {
    requests: Vec<Request>,
    joined: Vec<Joined>,
    clocks: hops::Clocks,
    /// Index in `joined` of the pairs of each connection, by stream: as the proxy's own, and as
    /// what came to it.
    back: BTreeMap<(usize, u32), usize>,
    front: BTreeMap<(usize, u32), usize>,
    /// Sets of cancels that have their reason beyond the proxy: connection, index in it.
    sets: Vec<(usize, usize, Hop)>,
}

impl Hops {
    /// Joins the requests of connections that did not end well, and sees which sets of cancels
    /// that explains. `troubled` are those of each row, `guests` those of flows without a row.
    pub fn join(
        rows: &[Arc<ConnectionRow>],
        troubled: &[Arc<[Troubled]>],
        guests: &[Guest],
    ) -> Self {
        let mut all = Self { requests: requests(rows, troubled, guests), ..Self::default() };
        all.find(rows);
        all
    }

    fn find(&mut self, rows: &[Arc<ConnectionRow>]) {
        (self.joined, self.clocks) = hops::join(&self.requests);
        for (index, pair) in self.joined.iter().enumerate() {
            let key = |of: usize| self.requests.get(of).map(|of| (of.place, of.of.stream));
            self.back.extend(key(pair.back).map(|key| (key, index)));
            if let Some(key) = key(pair.front) {
                self.front.entry(key).or_insert(index);
            }
        }
        let places: BTreeSet<usize> =
            self.back.keys().chain(self.front.keys()).map(|(place, _)| *place).collect();
        for place in places {
            let Some(row) = rows.get(place) else { continue };
            for (index, set) in row.cancellations.iter().enumerate() {
                let of = self.of_streams(place, set.by, &set.streams);
                if let Some(hop) = self.hop(rows, &of) {
                    self.sets.push((place, index, hop));
                }
            }
        }
    }

    /// Timers that belong to another connection are none of this one's.
    pub fn unload(&self, rows: &[Arc<ConnectionRow>], facts: &mut [PairFacts]) {
        let mut fronts = BTreeSet::new();
        for (place, index, hop) in &self.sets {
            let set = rows.get(*place).and_then(|row| row.cancellations.get(*index));
            let Some((set, facts)) = set.zip(of_place(facts, *place)) else { continue };
            match hop.way {
                Way::CancelPassedOn | Way::FailurePassedOn => facts.forget(*index, set),
                Way::ProxyGaveUp => {
                    facts.is_of_proxy(*index, set);
                    fronts.extend(self.before(rows, *place, *index));
                }
            }
        }
        for front in fronts {
            of_place(facts, front).into_iter().for_each(PairFacts::is_measured_behind);
        }
    }

    /// Places of those before the proxy whose requests it gave up in sets with a timer.
    fn before(&self, rows: &[Arc<ConnectionRow>], place: usize, index: usize) -> BTreeSet<usize> {
        let set = rows.get(place).and_then(|row| row.cancellations.get(index));
        let Some(set) = set.filter(|set| set.timeout.is_some()) else { return BTreeSet::new() };
        let pairs = self.of_streams(place, set.by, &set.streams).into_iter();
        pairs.filter_map(|pair| Some(self.requests.get(pair.front)?.place)).collect()
    }

    /// How clocks of captures differ from the first one's.
    pub fn clock_offsets(&self) -> Vec<ClockOffset> {
        self.clocks.told()
    }

    /// Writes it into the rows; gives the proxies that showed.
    pub fn tell(mut self, rows: &mut [Arc<ConnectionRow>]) -> Vec<HopLink> {
        for (place, index, hop) in std::mem::take(&mut self.sets) {
            let far = self.far_set(rows, place, index, &hop);
            let Some(row) = rows.get_mut(place) else { continue };
            if let Some(set) = Arc::make_mut(row).cancellations.get_mut(index) {
                revise_set(set, hop, far);
            }
        }
        let places: BTreeSet<usize> = self.back.keys().map(|(place, _)| *place).collect();
        for place in places {
            self.tell_verdicts(rows, place);
        }
        self.passed_on(rows);
        self.links()
    }

    /// What a proxy refuses after it had passed it on may have been processed, whatever its code
    /// promises (RFC 9113 section 8.7).
    fn passed_on(&self, rows: &mut [Arc<ConnectionRow>]) {
        let mut beyond: BTreeMap<usize, BTreeSet<u32>> = BTreeMap::new();
        for pair in &self.joined {
            let ends = self.requests.get(pair.front).zip(self.requests.get(pair.back));
            let Some((front, back)) = ends else { continue };
            let refused = rows.get(back.place).is_some_and(|row| {
                row.verdicts().any(|of| of.safe_to_retry_streams.contains(&back.of.stream))
            });
            if !refused {
                beyond.entry(front.place).or_default().insert(front.of.stream);
            }
        }
        for (place, streams) in beyond {
            let Some(row) = rows.get_mut(place) else { continue };
            let told =
                |of: &Verdict| of.safe_to_retry_streams.iter().any(|id| streams.contains(id));
            if row.verdicts().any(told) {
                let row = Arc::make_mut(row);
                row.every_verdict_mut().for_each(|of| unpromise(of, &streams));
            }
        }
    }

    /// Pairs that streams belong to which `by` gave up: where the client did, as the proxy's own;
    /// where the server did, as what came to the proxy. Nothing where most belong to none.
    fn of_streams(&self, place: usize, by: Side, streams: &[u32]) -> Vec<&Joined> {
        let index = if by == Side::Client { &self.back } else { &self.front };
        let known = streams.iter().filter_map(|stream| index.get(&(place, *stream)));
        // What a proxy gave up by itself has its reason nowhere beyond it.
        let fits = |pair: &&Joined| by == Side::Client || pair.way == Way::FailurePassedOn;
        let found: Vec<&Joined> =
            known.filter_map(|at| self.joined.get(*at)).filter(fits).collect();
        // No more than so many are remembered of a connection.
        let kept = self.requests.partition_point(|of| of.place <= place)
            - self.requests.partition_point(|of| of.place < place);
        if found.len() * 2 > streams.len().min(kept) { found } else { Vec::new() }
    }

    /// What pairs say together, where they say one thing.
    fn hop(&self, rows: &[Arc<ConnectionRow>], pairs: &[&Joined]) -> Option<Hop> {
        let way = most(pairs.iter().map(|pair| pair.way))?;
        let by = most(pairs.iter().map(|pair| pair.by))?;
        let pairs: Vec<&Joined> = pairs.iter().copied().filter(|pair| pair.way == way).collect();
        let far = |pair: &&Joined| match way {
            Way::CancelPassedOn | Way::ProxyGaveUp => self.requests.get(pair.front),
            Way::FailurePassedOn => self.requests.get(pair.back),
        };
        let far: Vec<&Request> = pairs.iter().filter_map(far).collect();
        let numbers: BTreeSet<usize> = far.iter().map(|request| request.number).collect();
        let first = far.first()?;
        let clocks = self.clocks_of(self.captures(pairs.first()?)?);
        let row = rows.get(first.place)?;
        let program = row.implementations.first.as_ref().map(|known| known.name.clone());
        let cause = most(far.iter().filter_map(|of| reason(rows, of, way)));
        let confidence = sure(by, pairs.len(), clocks);
        let mut hop = Hop {
            connections: numbers.iter().copied().take(SHOWN).collect(),
            count: numbers.len(),
            way,
            by,
            requests: pairs.len(),
            cause: cause.unwrap_or(Cause::Unknown),
            confidence,
            program,
            text: String::new(),
        };
        hop.text = sentence(&hop, first);
        Some(hop)
    }

    /// The captures that show the two sides of a pair.
    fn captures(&self, pair: &Joined) -> Option<[usize; 2]> {
        let of = |side: usize| Some(self.requests.get(side)?.of.opened.capture());
        Some([of(pair.front)?, of(pair.back)?])
    }

    fn clocks_of(&self, [front, back]: [usize; 2]) -> Relation {
        match self.clocks.between(front, back) {
            _ if front == back => Relation::One,
            Some(offset) => Relation::Known(offset),
            None if self.clocks.agree(front, back) => Relation::Alike,
            None => Relation::Guessed,
        }
    }

    /// The set beyond the proxy that a set has its reason in: its cause and timer.
    fn far_set(
        &self,
        rows: &[Arc<ConnectionRow>],
        place: usize,
        index: usize,
        hop: &Hop,
    ) -> Option<(Cause, Option<Timeout>)> {
        let set = rows.get(place)?.cancellations.get(index)?;
        let pairs = self.of_streams(place, set.by, &set.streams);
        let far = pairs.iter().find_map(|pair| {
            let far = self.requests.get(pair.front).filter(|_| hop.way == Way::CancelPassedOn)?;
            set_of(rows, far)
        })?;
        Some((far.cause, far.timeout.clone()))
    }

    /// Verdicts of the proxy's own connection that rest on requests which it only passed on.
    fn tell_verdicts(&self, rows: &mut [Arc<ConnectionRow>], place: usize) {
        let Some(row) = rows.get(place) else { return };
        let about = |verdict: &Verdict| {
            let root =
                matches!(verdict.cause, Cause::ClientRequestTimeout | Cause::ClientCancelBurst);
            let of = self.of_streams(place, Side::Client, &verdict.cancelled_streams);
            let hop = self.hop(rows, &of).filter(|_| root)?;
            let last = verdict.chain.last().map(|step| step.stamp)?;
            Some((steps(&self.requests, &of, last), hop))
        };
        let told: Vec<_> = row.goaways.iter().map(|goaway| about(&goaway.verdict)).collect();
        let end = row.end_verdict.as_ref().and_then(about);
        if end.is_none() && told.iter().all(Option::is_none) {
            return;
        }
        let Some(row) = rows.get_mut(place).map(Arc::make_mut) else { return };
        for (goaway, told) in row.goaways.iter_mut().zip(told) {
            if let Some((steps, hop)) = told {
                revise_verdict(&mut goaway.verdict, steps, hop);
            }
        }
        if let Some((verdict, (steps, hop))) = row.end_verdict.as_mut().zip(end) {
            revise_verdict(verdict, steps, hop);
        }
    }

    /// The proxies that showed.
    fn links(&self) -> Vec<HopLink> {
        let mut by_ends: BTreeMap<(Endpoint, Endpoint), Vec<&Joined>> = BTreeMap::new();
        for pair in &self.joined {
            let ends = [pair.front, pair.back].map(|of| self.requests.get(of).map(|of| of.server));
            if let [Some(front), Some(back)] = ends {
                by_ends.entry((front, back)).or_default().push(pair);
            }
        }
        by_ends.into_iter().filter_map(|(ends, pairs)| self.link(ends, &pairs)).collect()
    }

    fn link(&self, (front, back): (Endpoint, Endpoint), pairs: &[&Joined]) -> Option<HopLink> {
        let by = most(pairs.iter().map(|pair| pair.by))?;
        let numbers = |of: &dyn Fn(&Joined) -> usize| -> Vec<usize> {
            let all = pairs.iter().filter_map(|pair| Some(self.requests.get(of(pair))?.number));
            let numbers: BTreeSet<usize> = all.filter(|number| *number > 0).collect();
            numbers.into_iter().take(SHOWN).collect()
        };
        let count = |way: Way| pairs.iter().filter(|pair| pair.way == way).count();
        let mut delays: Vec<Duration> = pairs.iter().map(|pair| pair.delay).collect();
        delays.sort_unstable();
        let clocks = self.clocks_of(self.captures(pairs.first()?)?);
        Some(HopLink {
            front,
            back,
            front_connections: numbers(&|pair| pair.front),
            back_connections: numbers(&|pair| pair.back),
            by,
            requests: pairs.len(),
            cancels_passed_on: count(Way::CancelPassedOn),
            failures_passed_on: count(Way::FailurePassedOn),
            given_up: count(Way::ProxyGaveUp),
            delay_seconds: delays.get(delays.len() / 2)?.as_secs_f64(),
            clock_offset: match clocks {
                Relation::Known(offset) => Some(offset),
                _ => None,
            },
            confidence: sure(by, pairs.len(), clocks),
        })
    }
}

/// Requests that may stand on both sides of a proxy, in the order of their connections; those of
/// flows without a row come last.
fn requests(
    rows: &[Arc<ConnectionRow>],
    troubled: &[Arc<[Troubled]>],
    guests: &[Guest],
) -> Vec<Request> {
    let has_id = |of: &Troubled| of.mark.trace != 0 || of.mark.request != 0;
    let some = rows.iter().zip(troubled).enumerate().filter(|(_, (_, of))| !of.is_empty());
    let some = some.map(|(place, (row, of))| {
        let of: &[Troubled] = of;
        (place, row.number, (row.client, row.server), of)
    });
    let guests = (rows.len()..).zip(guests).map(|(place, guest)| {
        (place, 0, (guest.client, guest.server), std::slice::from_ref(&guest.of))
    });
    let all: Vec<_> = some.chain(guests).collect();
    let ends = all.iter().map(|(.., (client, server), of)| Ends {
        client: *client,
        server: *server,
        has_ids: of.iter().any(has_id),
    });
    let candidates = hops::candidates(&ends.collect::<Vec<Ends>>());
    let kept = all.into_iter().zip(candidates).filter(|(_, may)| *may);
    kept.flat_map(|((place, number, (client, server), of), _)| {
        of.iter().map(move |of| Request { place, number, client, server, of: *of })
    })
    .collect()
}

/// The captures of a proxy's two sides.
#[derive(Clone, Copy)]
enum Relation {
    /// They are one.
    One,
    /// Requests in both tell how their clocks differ.
    Known(ClockOffset),
    /// Nothing tells that their clocks differ.
    Alike,
    /// Their clocks differ, by too few requests to be sure by how much.
    Guessed,
}

/// How sure it is that so many requests belong together.
fn sure(by: JoinedBy, requests: usize, clocks: Relation) -> Confidence {
    let guessed = matches!(clocks, Relation::Guessed);
    let several_captures = !matches!(clocks, Relation::One);
    Confidence::new(match (by, requests) {
        (JoinedBy::TraceId | JoinedBy::RequestId, _) if !guessed => 0.95,
        (JoinedBy::TraceId | JoinedBy::RequestId, _) => 0.75,
        (JoinedBy::Path, _) if several_captures => 0.45,
        (JoinedBy::Path, 1) => 0.45,
        (JoinedBy::Path, 2) => 0.55,
        (JoinedBy::Path, _) => 0.65,
        (JoinedBy::AuthorityAndPath, _) if several_captures => 0.6,
        (JoinedBy::AuthorityAndPath, 1) => 0.65,
        (JoinedBy::AuthorityAndPath, 2) => 0.7,
        (JoinedBy::AuthorityAndPath, _) => 0.8,
    })
}

/// The value that most have; of equals the first in order.
fn most<T: Ord>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut counts: BTreeMap<T, usize> = BTreeMap::new();
    values.for_each(|value| *counts.entry(value).or_default() += 1);
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map(|(value, _)| value)
}

/// The set of cancels that a request belongs to.
fn set_of<'a>(rows: &'a [Arc<ConnectionRow>], request: &Request) -> Option<&'a Cancellation> {
    let row = rows.get(request.place)?;
    let of = |set: &&Cancellation| {
        set.by == request.of.by && set.streams.binary_search(&request.of.stream).is_ok()
    };
    row.cancellations.iter().find(of)
}

/// Why a request ended beyond the proxy.
fn reason(rows: &[Arc<ConnectionRow>], request: &Request, way: Way) -> Option<Cause> {
    if way == Way::ProxyGaveUp {
        return Some(Cause::ServerRequestTimeout);
    }
    let row = rows.get(request.place)?;
    match request.of.how {
        Trouble::Left => row.verdicts().next().map(|verdict| verdict.cause),
        _ => set_of(rows, request).map(|set| set.cause),
    }
}

/// What happened beyond the proxy, as one sentence. `first` is the first request over there.
fn sentence(hop: &Hop, first: &Request) -> String {
    let number = hop.connections.first().copied().unwrap_or(1);
    let others = match hop.count {
        0 | 1 => String::new(),
        2 => " and 1 more connection".to_owned(),
        many => format!(" and {} more connections", many - 1),
    };
    let there = format!("on #{number}{others} to {}", first.server);
    let known = format!("{}, {}", hop.by.words(), hop.confidence.word());
    match hop.way {
        Way::CancelPassedOn => format!(
            "the client is a proxy that only passed on what its own clients did {there}: \
             {} there ({known})",
            hop.cause
        ),
        Way::FailurePassedOn => format!(
            "the server is a proxy that only passed on what its own server did {there}: {} \
             ({known})",
            failure(first, hop.cause)
        ),
        Way::ProxyGaveUp => format!(
            "the client is a proxy that gave up by itself, and told its own clients {there}: {} \
             ({known})",
            failure(first, Cause::Unknown)
        ),
    }
}

/// How a request failed.
fn failure(request: &Request, cause: Cause) -> String {
    match request.of.how {
        Trouble::Status(status) => format!("it answered {status}"),
        Trouble::Grpc(status) => format!("it answered grpc-status {status}"),
        Trouble::Reset(Some(code)) => format!("it reset them with {code}"),
        Trouble::Reset(None) => "it reset them".to_owned(),
        Trouble::Left if cause == Cause::Unknown => "it closed the connection".to_owned(),
        Trouble::Left => format!("it closed the connection, {cause}"),
    }
}

/// Takes streams from those that are safe to send again.
fn unpromise(verdict: &mut Verdict, streams: &BTreeSet<u32>) {
    let (gone, safe): (Vec<u32>, Vec<u32>) =
        verdict.safe_to_retry_streams.iter().partition(|id| streams.contains(id));
    if gone.is_empty() {
        return;
    }
    verdict.safe_to_retry_streams = safe;
    let count = gone.len();
    verdict.maybe_processed_streams.extend(gone);
    verdict.maybe_processed_streams.sort_unstable();
    verdict.maybe_processed_streams.dedup();
    let (s, were) = if count == 1 { ("", "was") } else { ("s", "were") };
    verdict.add_clause(&format!(
        "{count} refused request{s} had been passed on by the proxy and {were} perhaps processed"
    ));
}

fn revise_set(set: &mut Cancellation, hop: Hop, far: Option<(Cause, Option<Timeout>)>) {
    match hop.way {
        Way::CancelPassedOn => {
            if let Some((cause, timeout)) = far {
                set.cause = cause;
                set.timeout = timeout;
                set.confidence = set.confidence.and(hop.confidence);
            }
        }
        Way::ProxyGaveUp => {
            set.cause = Cause::ServerRequestTimeout;
            if let Some(timeout) = &mut set.timeout {
                timeout.kind = Cause::ServerRequestTimeout;
                timeout.configured_in = ConfiguredIn::Proxy;
            }
        }
        Way::FailurePassedOn => {}
    }
    set.hop = Some(Box::new(hop));
}

fn revise_verdict(verdict: &mut Verdict, steps: Vec<Evidence>, hop: Hop) {
    verdict.chain.extend(steps);
    verdict.chain.sort_by_key(|step| step.stamp.order());
    let passed_on = hop.way == Way::CancelPassedOn;
    if passed_on && matches!(hop.cause, Cause::ClientRequestTimeout | Cause::ClientCancelBurst) {
        let direct = verdict.trigger == verdict.cause;
        verdict.cause = hop.cause;
        if direct {
            verdict.trigger = hop.cause;
        }
        verdict.confidence = verdict.confidence.and(hop.confidence);
    }
    verdict.add_clause(&hop.text);
    verdict.hop = Some(Box::new(hop));
}

/// The first request that was joined, as it came to the proxy: when it came and when it ended.
fn steps(requests: &[Request], pairs: &[&Joined], last: Stamp) -> Vec<Evidence> {
    let first = pairs.iter().filter_map(|pair| requests.get(pair.front));
    let Some(first) = first.min_by_key(|request| request.of.at.order()) else { return Vec::new() };
    let step = |stamp: Stamp, by: Side, what: &'static str, text: String| Evidence {
        stamp,
        by: Some(by),
        connection: Some(first.number),
        stream: if what == "FIN" { 0 } else { first.of.stream },
        what,
        text,
    };
    let on = format!("on #{}", first.number);
    let age = first.of.at.since(first.of.opened);
    let (what, ended) = match first.of.how {
        Trouble::Reset(Some(code)) => ("RST_STREAM", code.to_string()),
        Trouble::Reset(None) => ("RST_STREAM", "reset".to_owned()),
        Trouble::Status(status) => ("HEADERS", format!("status {status}")),
        Trouble::Grpc(status) => ("HEADERS", format!("grpc-status {status}")),
        Trouble::Left => ("FIN", "the connection is closed".to_owned()),
    };
    let came = step(
        first.of.opened,
        Side::Client,
        "HEADERS",
        format!("{on}, before the proxy: the request"),
    );
    let text = format!("{on}: {ended}, {} after the request", spoken(age));
    let went = step(first.of.at, first.of.by, what, text);
    [came, went].into_iter().filter(|step| step.stamp.before(last)).collect()
}

/// Connections that are named.
const SHOWN: usize = 8;
