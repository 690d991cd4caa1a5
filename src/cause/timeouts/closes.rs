//! Closes of one client with requests waiting, heard together: what several have in common is the
//! age of their requests (a timeout of each), their connections' age, or their moment.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::cause::chance;
use crate::cause::pair::{Doubt, PairFacts};
use crate::vocab::address::Endpoint;
use crate::vocab::cause::{Cause, Confidence};
use crate::vocab::verdict::{ConfiguredIn, Timeout};

use super::{Settled, is_lone};

/// The closes of a pair in two orders.
pub(super) struct Closes<'a> {
    /// By the age of their requests.
    by_request: Vec<(usize, &'a Doubt)>,
    /// Those of first errands, by the time since their SYN.
    by_syn: Vec<(usize, &'a Doubt)>,
}

type Span = fn(&Doubt) -> Duration;

impl<'a> Closes<'a> {
    pub fn of(mut closes: Vec<(usize, &'a Doubt)>) -> Self {
        closes.retain(|(_, doubt)| doubt.is_close());
        let mut by_syn = closes.clone();
        by_syn.retain(|(_, doubt)| doubt.from_start && doubt.connection.is_some());
        by_syn.sort_by_key(|(place, doubt)| (since_syn(doubt), *place));
        closes.sort_by_key(|(place, doubt)| (doubt.ages.1, *place));
        Self { by_request: closes, by_syn }
    }

    /// What one close leaves open, several settle: requests of the same age, or errands of the same
    /// length from their SYN, whichever agrees more closely.
    pub fn settle(&self, place: usize, doubt: &Doubt) -> Option<Settled> {
        if !doubt.is_close() {
            return None;
        }
        let request = |doubt: &Doubt| doubt.ages.1;
        let by_request = agree(place, doubt, &self.by_request, request);
        let by_syn =
            doubt.from_start.then(|| agree(place, doubt, &self.by_syn, since_syn)).flatten();
        let by_syn =
            by_syn.map(|(settled, spread)| (Settled { from_syn: true, ..settled }, spread));
        let closer =
            |(settled, spread): &(Settled, Duration)| (settled.confidence.value(), *spread);
        match (by_request, by_syn) {
            (Some(request), Some(syn)) => {
                let ((sure, spread), (sure_syn, spread_syn)) = (closer(&request), closer(&syn));
                let syn_first = sure_syn > sure || (sure_syn == sure && spread_syn * 3 < spread);
                Some(if syn_first { syn.0 } else { request.0 })
            }
            (one, other) => one.or(other).map(|(settled, _)| settled),
        }
    }
}

fn since_syn(doubt: &Doubt) -> Duration {
    doubt.connection.unwrap_or_default()
}

/// Closes of other connections with spans of the same length, at other times; and how far their
/// middle one is away.
fn agree(
    place: usize,
    doubt: &Doubt,
    closes: &[(usize, &Doubt)],
    span: Span,
) -> Option<(Settled, Duration)> {
    let age = span(doubt);
    let width = age.mul_f64(0.01) + MILLI * 10;
    let older = |than: Duration| closes.partition_point(|(_, other)| span(other) <= than);
    let younger = |than: Duration| closes.partition_point(|(_, other)| span(other) < than);
    let near = closes.get(younger(age.saturating_sub(width))..older(age + width))?;
    // What ended in the same moment ended for the same reason, whatever that was.
    let other =
        |(at, other): &&(usize, &Doubt)| *at != place && other.at.apart(doubt.at) > width * 5;
    // Of very many a part stands for all.
    let looked = near.len().min(COMPARED);
    let mut distances: Vec<Duration> = near
        .iter()
        .take(looked)
        .filter(other)
        .map(|(_, other)| span(other).abs_diff(age))
        .collect();
    let alike = distances.len() * near.len() / looked.max(1);
    distances.sort_unstable();
    let middle = *distances.get(distances.len() / 2)?;
    // Among many closes of all ages some agree by chance.
    let around = older(age.mul_f64(chance::AROUND.1)) - younger(age.mul_f64(chance::AROUND.0));
    let others = around.saturating_sub(1);
    // Each of them had the same chance to find one that agrees.
    let tries = (others as f64 / 2.0).max(1.0);
    let confidence = match chance::of_agreeing(age, width, others, alike) * tries {
        by_chance if by_chance < 0.003 => 0.88,
        by_chance if by_chance < 0.07 => 0.74,
        by_chance if by_chance < 0.2 => 0.5,
        _ => return None,
    };
    let timeout = Timeout {
        kind: Cause::ClientRequestTimeout,
        seconds: age.as_secs_f64(),
        at_least: false,
        spread_seconds: width.as_secs_f64(),
        samples: doubt.count,
        configured_in: ConfiguredIn::Client,
    };
    let confidence = Confidence::new(confidence);
    let settled = Settled { place, about: doubt.about, timeout, confidence, from_syn: false };
    Some((settled, middle))
}

/// Closes of about one age that are looked at one by one.
const COMPARED: usize = 256;

const MILLI: Duration = Duration::from_millis(1);

/// Connections whose close at a round age says little, and why: the same client closes at so many
/// other ages that some are round by chance, or what its closes have in common is no request's age.
pub fn strangers(facts: &[PairFacts]) -> Vec<(usize, &'static str)> {
    let mut by_pair: BTreeMap<(IpAddr, Endpoint), Vec<(&PairFacts, &Doubt)>> = BTreeMap::new();
    for of in facts {
        let close = of.doubts.iter().find(|doubt| doubt.is_close());
        let close = close.map(|close| (of, close));
        by_pair.entry((of.client, of.server)).or_default().extend(close);
    }
    let mut places = Vec::new();
    for mut closes in by_pair.into_values() {
        let round = |(of, _): &&(&PairFacts, &Doubt)| of.samples.iter().any(is_lone);
        let count = closes.iter().filter(round).count();
        let all = closes.len();
        if all >= CROWD && count < all && chance::at_least(all as f64 * 0.1, count) > 0.01 {
            let why = "the same client closed others at many other ages";
            places.extend(closes.iter().filter(round).map(|(of, _)| (of.place, why)));
            continue;
        }
        closes.sort_by_key(|(of, close)| (close.at.order(), of.place));
        for (index, (of, close)) in closes.iter().enumerate() {
            let decided = beside(&closes, index).any(|other| is_one_decision(close, other));
            let why = "another of its connections was closed in the same moment";
            places.extend((decided && of.samples.iter().any(is_lone)).then_some((of.place, why)));
        }
        closes.sort_by_key(|(of, close)| (close.connection, of.place));
        for (index, (of, close)) in closes.iter().enumerate() {
            let alike = beside(&closes, index).filter(|other| is_one_lifetime(close, other));
            let why = "its connections were closed at one age of their own";
            let lone = of.samples.iter().any(is_lone);
            places.extend((lone && alike.count() >= 2).then_some((of.place, why)));
        }
    }
    places.sort_unstable();
    places.dedup_by_key(|(place, _)| *place);
    places
}

/// The closes beside one in their order: what agrees stands together.
fn beside<'a>(closes: &'a [(&PairFacts, &Doubt)], index: usize) -> impl Iterator<Item = &'a Doubt> {
    let few = closes.get(index.saturating_sub(BESIDE)..(index + BESIDE + 1).min(closes.len()));
    let first = index.saturating_sub(BESIDE);
    let all = few.unwrap_or_default().iter().enumerate();
    all.filter(move |(at, _)| first + at != index).map(|(_, (_, doubt))| *doubt)
}

/// Closes in order that one is compared with, to either side.
const BESIDE: usize = 8;

/// Whether requests of unlike ages were given up in one moment: nobody's timer.
fn is_one_decision(one: &Doubt, other: &Doubt) -> bool {
    let moment = one.at.apart(other.at) <= Duration::from_millis(50);
    moment && !are_alike(one.ages.1, other.ages.1)
}

/// Whether connections lived equally long, at other times, and their requests did not.
fn is_one_lifetime(one: &Doubt, other: &Doubt) -> bool {
    let lived = one.connection.zip(other.connection);
    let alike = lived.is_some_and(|(a, b)| a.abs_diff(b) <= a.mul_f64(0.002) + MILLI * 5);
    let apart = one.at.apart(other.at) > MILLI * 200;
    alike && apart && !one.from_start && !are_alike(one.ages.1, other.ages.1)
}

fn are_alike(a: Duration, b: Duration) -> bool {
    a.abs_diff(b) <= a.mul_f64(0.01) + MILLI * 10
}

/// Fewer closes say nothing about each other.
const CROWD: usize = 8;
