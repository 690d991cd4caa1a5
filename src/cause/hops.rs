//! The third pass: a chain goes on beyond a proxy. Requests that did not end well are recognised
//! on the proxy's other side by trace or request identifiers, else by authority and path, order
//! and time; what happened first on one side is the reason for what happened on the other.
//!
//! Works on the few facts that each connection keeps of such requests ([`Troubled`]), found by
//! hash, in their order: neither the number of shards nor of connections can be seen in the
//! result, nor are all pairs looked at.

mod clocks;
mod doubts;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::vocab::address::{Endpoint, Side};
use crate::vocab::clock::CLOCKS_APART;
use crate::vocab::hop::{JoinedBy, Mark, Troubled, Way};

pub use clocks::Clocks;

/// A request that did not end well, and where.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Place of its connection among all, from 0.
    pub place: usize,
    /// What its connection is told by; 0 where that is in HTTP/1.1, and not told.
    pub number: usize,
    /// Who sent it.
    pub client: Endpoint,
    /// To whom.
    pub server: Endpoint,
    /// The request itself.
    pub of: Troubled,
}

/// One request on both sides of a proxy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Joined {
    /// Index of the request that came to the proxy.
    pub front: usize,
    /// Index of the request that the proxy sent.
    pub back: usize,
    /// What the proxy did.
    pub way: Way,
    /// By what they were recognised.
    pub by: JoinedBy,
    /// Time between the two ends.
    pub delay: Duration,
}

/// A connection with requests that did not end well.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// Who sent them.
    pub client: Endpoint,
    /// To whom.
    pub server: Endpoint,
    /// Whether any of them carries an identifier.
    pub has_ids: bool,
}

/// Which of these connections can have requests on both sides of a proxy at all: one cheap look
/// instead of a search among all their requests, where there is no proxy in the capture.
pub fn candidates(all: &[Ends]) -> Vec<bool> {
    let servers: FxHashSet<Endpoint> = all.iter().map(|ends| ends.server).collect();
    let from: FxHashSet<IpAddr> = all.iter().map(|ends| ends.client.ip).collect();
    let to: FxHashSet<IpAddr> = all.iter().map(|ends| ends.server.ip).collect();
    let meets = |ends: &Ends| from.contains(&ends.server.ip) || to.contains(&ends.client.ip);
    all.iter().map(|ends| servers.len() > 1 && (ends.has_ids || meets(ends))).collect()
}

/// All that was joined, ordered by the proxy's request, and how clocks of captures differ.
pub fn join(requests: &[Request]) -> (Vec<Joined>, Clocks) {
    let (indices, groups) = groups(requests);
    let group = |range: &Range<usize>| indices.get(range.clone()).unwrap_or_default();
    let is_id = |(by, range): &&(JoinedBy, Range<usize>)| {
        *by < JoinedBy::AuthorityAndPath && !doubts::is_constant(requests, group(range))
    };
    let ids: Vec<_> = groups.iter().filter(is_id).collect();
    let clocks = Clocks::of(requests, ids.iter().map(|(_, range)| group(range)));
    let mut search =
        Search { requests, clocks, joined: FxHashMap::default(), taken: FxHashSet::default() };
    for (by, range) in ids {
        search.by_id(*by, group(range));
    }
    for (by, range) in groups.iter().filter(|(by, _)| *by >= JoinedBy::AuthorityAndPath) {
        search.by_order(*by, group(range));
    }
    let Search { joined, clocks, .. } = search;
    let mut joined: Vec<Joined> = joined.into_values().collect();
    doubts::leave_out_strangers(requests, &mut joined);
    doubts::leave_out_own_timers(requests, &mut joined);
    joined.sort_unstable_by_key(|pair| (pair.back, pair.front));
    (joined, clocks)
}

/// Requests that share something, two or more: their indices, and where each group lies in them.
fn groups(requests: &[Request]) -> (Vec<usize>, Vec<(JoinedBy, Range<usize>)>) {
    let mut keyed: Vec<(JoinedBy, u64, usize)> = Vec::with_capacity(requests.len());
    let some_guests = requests.iter().any(Request::names_its_server);
    for (index, request) in requests.iter().enumerate() {
        let Mark { trace, request: id, path, authority, .. } = request.of.mark;
        let both = if path != 0 && authority != 0 { path ^ authority.rotate_left(1) } else { 0 };
        let keys = [
            (JoinedBy::TraceId, trace),
            (JoinedBy::RequestId, id),
            (JoinedBy::AuthorityAndPath, both),
            (JoinedBy::Path, if some_guests { path } else { 0 }),
        ];
        keyed.extend(keys.iter().filter(|(_, hash)| *hash != 0).map(|(by, h)| (*by, *h, index)));
    }
    keyed.sort_unstable();
    let mut groups = Vec::new();
    let mut start = 0;
    for group in keyed.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
        if let [(by, ..), _, ..] = group {
            groups.push((*by, start..start + group.len()));
        }
        start += group.len();
    }
    (keyed.into_iter().map(|(.., index)| index).collect(), groups)
}

struct Search<'a> {
    requests: &'a [Request],
    clocks: Clocks,
    /// By the proxy's request: it has one that it came from.
    joined: FxHashMap<usize, Joined>,
    /// Requests that came to the proxy and were recognised without an identifier, with the
    /// endpoint at which they were recognised: there each is found once.
    taken: FxHashSet<(usize, Endpoint)>,
}

impl Search<'_> {
    /// Joins requests that share an identifier: each with the one nearest before it.
    fn by_id(&mut self, by: JoinedBy, group: &[usize]) {
        let ordered = self.in_order(group);
        for (place, back) in ordered.iter().enumerate() {
            if self.joined.contains_key(back) {
                continue;
            }
            let Some(b) = self.requests.get(*back) else { continue };
            let before = ordered.get(place.saturating_sub(NEAR)..place).unwrap_or_default();
            // Across captures whose clocks differ by little, the order of opening may be wrong.
            let behind = (place + 1..(place + 1 + NEAR / 8).min(ordered.len()))
                .filter_map(|place| ordered.get(place));
            let fits = |front: &&usize| {
                let a = self.requests.get(**front)?;
                let round = self.joined.get(*front).is_some_and(|of| of.front == *back);
                let fits = !round && (told_apart(a, b) || other_program(a, b));
                let (way, delay) = self.related(a, b, LONG).filter(|_| fits)?;
                let rank = (a.of.mark.path == b.of.mark.path, a.server.ip == b.client.ip);
                Some((rank, Joined { front: **front, back: *back, way, by, delay }))
            };
            let found = before.iter().chain(behind).filter_map(|front| fits(&front));
            // The last of the best: nearest before it.
            if let Some((_, pair)) = found.max_by_key(|(rank, _)| *rank) {
                self.joined.insert(*back, pair);
            }
        }
    }

    /// Joins requests with one authority and path: the first that came in with the first that
    /// went out, and so on.
    fn by_order(&mut self, by: JoinedBy, group: &[usize]) {
        let mut by_server: BTreeMap<Endpoint, Vec<usize>> = BTreeMap::new();
        for index in self.in_order(group) {
            let Some(request) = self.requests.get(index) else { continue };
            by_server.entry(request.server).or_default().push(index);
        }
        // One authority and path at more endpoints than any chain of proxies has.
        if by_server.len() > SERVERS_MAX {
            return;
        }
        for backs in by_server.values() {
            for fronts in by_server.values().filter(|fronts| fronts.first() != backs.first()) {
                self.in_step(by, fronts, backs);
            }
        }
    }

    fn in_step(&mut self, by: JoinedBy, fronts: &[usize], backs: &[usize]) {
        let mut head = 0;
        for back in backs {
            let Some(b) = self.requests.get(*back) else { continue };
            if self.joined.contains_key(back) {
                continue;
            }
            // Those that are too old for this one are too old for all that follow.
            while let Some(front) = fronts.get(head)
                && let Some(a) = self.requests.get(*front)
            {
                let over = self.clocks.apart(a.of.at, b.of.opened) > CLOCKS_APART;
                let old = over || self.opened_apart(a, b) > OPENED_APART;
                if !old && !self.taken.contains(&(*front, b.server)) {
                    break;
                }
                head += 1;
            }
            let near = fronts.get(head..(head + NEAR).min(fronts.len())).unwrap_or_default();
            let free = near.iter().filter(|front| !self.taken.contains(&(**front, b.server)));
            let pair = free.into_iter().find_map(|front| {
                let a = self.requests.get(*front)?;
                let (way, delay) = self.related(a, b, SHORT)?;
                // What both ends of a request show within a breath, two programs hardly do alike.
                let prompt = self.opened_apart(a, b) <= PROMPT
                    && delay <= Duration::from_nanos(PROMPT.unsigned_abs() / 4);
                let fits = match by {
                    JoinedBy::Path => is_renamed(a, b) && self.opened_apart(a, b) <= SHORT,
                    _ => is_plausible(a, b, prompt),
                };
                if !fits {
                    return None;
                }
                Some(Joined { front: *front, back: *back, way, by, delay })
            });
            if let Some(pair) = pair {
                self.taken.insert((pair.front, b.server));
                self.joined.insert(*back, pair);
            }
        }
    }

    /// In order of opening, by the clock of the first capture.
    fn in_order(&self, group: &[usize]) -> Vec<usize> {
        let mut ordered = group.to_vec();
        let key = |index: &usize| {
            let request = self.requests.get(*index)?;
            let (opened, stream) = (request.of.opened, request.of.stream);
            Some((self.clocks.common(opened), opened.order(), request.place, stream))
        };
        ordered.sort_by_key(key);
        ordered
    }

    /// Nanoseconds from the opening of `a` to that of `b`.
    fn opened_apart(&self, a: &Request, b: &Request) -> i64 {
        self.clocks.apart(a.of.opened, b.of.opened)
    }

    /// What a proxy did that had received `a` and sent `b`, and the time between their ends;
    /// `None` where `b` cannot have come from `a`.
    fn related(&self, a: &Request, b: &Request, slack: i64) -> Option<(Way, Duration)> {
        if a.place == b.place || a.server == b.server || contradict(&a.of.mark, &b.of.mark) {
            return None;
        }
        // One program that calls two servers on behalf of one request is no proxy.
        if a.client.ip == b.client.ip && a.server.ip != b.client.ip {
            return None;
        }
        // One clock tells what came first; two need not agree.
        let one = a.of.opened.capture() == b.of.opened.capture();
        let early = if one { 0 } else { -CLOCKS_APART };
        let alive = self.opened_apart(a, b) >= early
            && self.clocks.apart(b.of.opened, a.of.at) >= early
            && (!one || a.of.opened.before(b.of.opened));
        let backwards =
            !one && clocks::direction(a, b).is_some_and(|(front, _)| front.place != a.place);
        if !alive || backwards {
            return None;
        }
        let after = self.clocks.apart(a.of.at, b.of.at);
        let way = match (a.of.by, b.of.by) {
            (Side::Client, Side::Client) if (early..=slack).contains(&after) => Way::CancelPassedOn,
            (Side::Server, Side::Server) if (early..=slack).contains(&-after) => {
                Way::FailurePassedOn
            }
            (Side::Server, Side::Client) if after.abs() <= slack.min(SHORT) => Way::ProxyGaveUp,
            _ => return None,
        };
        Some((way, Duration::from_nanos(after.unsigned_abs())))
    }
}

/// Whether both carry an identifier of one kind, and not the same: two requests.
fn contradict(a: &Mark, b: &Mark) -> bool {
    let differ = |a: u64, b: u64| a != 0 && b != 0 && a != b;
    let same = |a: u64, b: u64| a != 0 && a == b;
    let agree = same(a.trace, b.trace) || same(a.request, b.request);
    !agree && (differ(a.trace, b.trace) || differ(a.request, b.request))
}

/// Whether, with one authority and path and no identifier, `b` may be what a proxy made of `a`:
/// whoever sent `b` is where `a` went. A client of `a` on that same host may have sent `b` too,
/// and then `b` must show that it was forwarded.
fn is_plausible(a: &Request, b: &Request, prompt: bool) -> bool {
    let (of_a, of_b) = (&a.of.mark, &b.of.mark);
    let same = of_a.path == of_b.path && of_a.authority == of_b.authority;
    let apart = told_apart(a, b) || (prompt && other_program(a, b));
    same && a.server.ip == b.client.ip && apart
}

/// Whether `b` was hardly sent by the client of `a` itself: it comes from elsewhere, carries what
/// proxies add, or another program sent it that names where `a` went. A client of several replicas
/// names one of them to all, but introduces itself to all in the same way.
fn told_apart(a: &Request, b: &Request) -> bool {
    let (of_a, of_b) = (&a.of.mark, &b.of.mark);
    let names_front = of_a.port == a.server.port && of_b.port != b.server.port;
    let in_http1 = b.number == 0 && of_a.greeting != 0;
    a.client.ip != b.client.ip
        || of_b.forwarded > of_a.forwarded
        || (names_front && (in_http1 || other_program(a, b)))
}

/// Whether both are known to come from programs that differ.
fn other_program(a: &Request, b: &Request) -> bool {
    let (of_a, of_b) = (a.of.mark.greeting, b.of.mark.greeting);
    of_a != 0 && of_b != 0 && of_a != of_b
}

impl Request {
    /// Whether it is in HTTP/1.1 and names the server that it is sent to, as proxies do by default
    /// (nginx: proxy_set_header Host $proxy_host).
    fn names_its_server(&self) -> bool {
        self.number == 0 && self.of.mark.port == self.server.port
    }
}

/// Whether, with one path and no identifier, `b` may be what a proxy made of `a` that names its own
/// server.
fn is_renamed(a: &Request, b: &Request) -> bool {
    let same = a.of.mark.path == b.of.mark.path && a.server.ip == b.client.ip;
    // Whoever asks that server himself sends the same, but for what proxies add.
    let forwarded = b.of.mark.forwarded > a.of.mark.forwarded;
    same && forwarded && a.number != 0 && b.names_its_server()
}

const MILLISECOND: i64 = 1_000_000;
/// Time between both ends where an identifier joins them: an application hands a cancel on, on a
/// busy machine.
const LONG: i64 = 1_000 * MILLISECOND;
/// The same where only time and order do.
const SHORT: i64 = 100 * MILLISECOND;
/// A proxy that is connected sends a request on within this time, and what happens to it far
/// sooner.
const PROMPT: i64 = 20 * MILLISECOND;
/// A proxy sends a request on within this time, also where it has to connect first.
const OPENED_APART: i64 = 1_000 * MILLISECOND;
/// Requests of a kind that are looked at for one.
const NEAR: usize = 64;
/// Endpoints that one authority and path may be seen at.
const SERVERS_MAX: usize = 16;
