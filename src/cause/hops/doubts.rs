//! What was joined, looked at together: proxies send in one direction, identifiers are seldom used
//! again, and timers of their own have a length of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Joined, Request, told_apart};
use crate::vocab::address::{Endpoint, Side};
use crate::vocab::hop::{JoinedBy, Way};

type Ends = (Endpoint, Endpoint);

fn ends(requests: &[Request], pair: &Joined) -> Option<Ends> {
    Some((requests.get(pair.front)?.server, requests.get(pair.back)?.server))
}

/// Whether an identifier stands for nothing: whoever is asked with it is asked again and again, by
/// clients that are nobody's servers.
pub(super) fn is_constant(requests: &[Request], group: &[usize]) -> bool {
    let of_group = || group.iter().filter_map(|index| requests.get(*index));
    let mut counts: BTreeMap<Endpoint, usize> = BTreeMap::new();
    of_group().for_each(|request| *counts.entry(request.server).or_default() += 1);
    let again = counts.values().all(|count| *count >= AGAIN);
    let servers: BTreeSet<_> = counts.keys().map(|server| server.ip).collect();
    again && of_group().all(|request| !servers.contains(&request.client.ip))
}

/// Takes out what time alone has joined between two servers where as much fits the other way
/// round, and what only fell into one breath where not nearly all did.
pub(super) fn leave_out_strangers(requests: &[Request], joined: &mut Vec<Joined>) {
    let mut counts: BTreeMap<Ends, usize> = BTreeMap::new();
    for pair in joined.iter() {
        if let Some(ends) = ends(requests, pair) {
            *counts.entry(ends).or_default() += 1;
        }
    }
    let mut asked: BTreeMap<Endpoint, usize> = BTreeMap::new();
    let cancelled = requests.iter().filter(|request| request.of.by == Side::Client);
    cancelled.for_each(|request| *asked.entry(request.server).or_default() += 1);
    joined.retain(|pair| {
        let Some((front, back)) = ends(requests, pair) else { return false };
        let there = counts.get(&(front, back)).copied().unwrap_or(0);
        let round = counts.get(&(back, front)).copied().unwrap_or(0);
        let by_time = pair.by >= JoinedBy::AuthorityAndPath;
        let (Some(a), Some(b)) = (requests.get(pair.front), requests.get(pair.back)) else {
            return false;
        };
        if by_time && round * 3 > there {
            return false;
        }
        // Two programs on one host, of which nothing but the moment tells.
        let breath = pair.by == JoinedBy::AuthorityAndPath && !told_apart(a, b);
        let count = |server| asked.get(&server).copied().unwrap_or(0);
        let least = count(front).min(count(back));
        let most = there >= FEW && there * 20 >= least * 19;
        !breath || (round == 0 && most)
    });
}

/// Takes out cancels of one tight age that follow those of the client whenever: the back's own
/// timer ended them.
pub(super) fn leave_out_own_timers(requests: &[Request], joined: &mut Vec<Joined>) {
    let mut by_ends: BTreeMap<Ends, Vec<(Duration, Duration)>> = BTreeMap::new();
    for pair in joined.iter().filter(|pair| pair.way == Way::CancelPassedOn) {
        let age = requests.get(pair.back).map(|back| back.of.at.since(back.of.opened));
        if let (Some(ends), Some(age)) = (ends(requests, pair), age) {
            by_ends.entry(ends).or_default().push((age, pair.delay));
        }
    }
    let spread = |all: &[(Duration, Duration)], of: fn(&(Duration, Duration)) -> Duration| {
        let values = || all.iter().map(of);
        values().max().unwrap_or_default() - values().min().unwrap_or_default()
    };
    let own = |all: &Vec<(Duration, Duration)>| {
        let (ages, delays) = (spread(all, |of| of.0), spread(all, |of| of.1));
        let age = all.iter().map(|of| of.0).max().unwrap_or_default();
        let tight = ages <= age.mul_f64(0.02) + Duration::from_millis(10);
        all.len() >= FEW && tight && delays > ages * 3 + Duration::from_millis(50)
    };
    let timed: Vec<Ends> =
        by_ends.iter().filter(|(_, all)| own(all)).map(|(ends, _)| *ends).collect();
    joined.retain(|pair| {
        let of = ends(requests, pair).is_some_and(|ends| timed.contains(&ends));
        !(of && pair.way == Way::CancelPassedOn)
    });
}

/// Fewer show nothing by time alone.
const FEW: usize = 3;

/// Requests with one identifier at each server that make it no identifier.
const AGAIN: usize = 3;
