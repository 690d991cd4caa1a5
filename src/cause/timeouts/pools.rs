//! Idle connections that a client closes after one time again and again: the timer of its pool.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::cause::outweighed;
use crate::cause::pair::{PairFacts, Sample};
use crate::cause::scene::spoken;
use crate::vocab::address::Endpoint;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::pair::Timer;
use crate::vocab::time::Stamp;
use crate::vocab::verdict::{Alternative, ConfiguredIn, Timeout, Verdict};

/// A connection whose client closed it by such a timer.
#[derive(Clone, Debug)]
pub struct Pooled {
    /// Its place.
    pub place: usize,
    /// The timer, by all that showed it.
    pub timeout: Timeout,
}

/// Finds them; `ended` tells when a connection did.
pub fn of_pools(facts: &[PairFacts], ended: impl Fn(usize) -> Option<Stamp>) -> Vec<Pooled> {
    let mut by_pair: BTreeMap<(Endpoint, IpAddr), Vec<(usize, &Sample)>> = BTreeMap::new();
    for of in facts {
        let own = of.samples.iter().find(|sample| is_clients_silence(sample));
        if let Some(sample) = own.filter(|sample| sample.seconds >= SHORTEST) {
            by_pair.entry((of.server, of.client)).or_default().push((of.place, sample));
        }
    }
    let mut found = Vec::new();
    for mut silences in by_pair.into_values().filter(|all| all.len() >= FEW) {
        silences.sort_by(|(p, a), (q, b)| a.seconds.total_cmp(&b.seconds).then(p.cmp(q)));
        let all = silences.len();
        for alike in silences.chunk_by(|(_, a), (_, b)| b.seconds <= a.seconds * 1.004 + 0.004) {
            let mut moments: Vec<i64> =
                alike.iter().filter_map(|(place, _)| Some(ended(*place)?.at.0)).collect();
            moments.sort_unstable();
            let moments = moments.chunk_by(|a, b| b - a <= MOMENT).count();
            if moments < FEW || alike.len() * 5 < all * 4 {
                continue;
            }
            let values = || alike.iter().map(|(_, sample)| sample.seconds);
            let (least, most) = (values().fold(f64::MAX, f64::min), values().fold(0.0, f64::max));
            let timeout = Timeout {
                kind: Cause::IdleTimeout,
                seconds: alike.get(alike.len() / 2).map_or(least, |(_, sample)| sample.seconds),
                at_least: false,
                spread_seconds: (most - least) / 2.0,
                samples: alike.len() as u32,
                configured_in: ConfiguredIn::Client,
            };
            let of =
                |(place, _): &(usize, &Sample)| Pooled { place: *place, timeout: timeout.clone() };
            found.extend(alike.iter().map(of));
        }
    }
    found.sort_by_key(|pooled| pooled.place);
    found
}

fn is_clients_silence(sample: &Sample) -> bool {
    sample.timer == Timer::Of(Cause::IdleTimeout)
        && sample.by == ConfiguredIn::Client
        && sample.confidence < Confidence::POSSIBLE
}

/// Puts it in where the client was thought to be done.
pub fn apply_pool(verdict: &mut Verdict, pooled: &Pooled) {
    if verdict.cause != Cause::ClientShutdown || verdict.trigger != verdict.cause {
        return;
    }
    let sure = verdict.confidence.and(Confidence::new(0.7));
    let seconds = Duration::try_from_secs_f64(pooled.timeout.seconds).unwrap_or_default();
    verdict.summary = format!(
        "The client closed an idle connection after {}; {} more of its connections went the same \
         way at other times: the idle timer of its pool.",
        spoken(seconds),
        pooled.timeout.samples.saturating_sub(1)
    );
    let rest = Confidence::new(0.45);
    verdict.alternatives.retain(|other| other.cause != Cause::IdleTimeout);
    verdict.alternatives.insert(
        0,
        Alternative {
            cause: Cause::ClientShutdown,
            confidence: rest,
            against: outweighed(Cause::IdleTimeout, sure, rest),
        },
    );
    verdict.cause = Cause::IdleTimeout;
    verdict.trigger = Cause::IdleTimeout;
    verdict.confidence = sure;
    verdict.blame = Blame::None;
    verdict.timeout = Some(pooled.timeout.clone());
}

/// Fewer prove no timer of a client: programs pause, too.
const FEW: usize = 3;

/// Seconds.
const SHORTEST: f64 = 1.0;

/// Nanoseconds: ends closer to each other are one.
const MOMENT: i64 = 200_000_000;

#[cfg(test)]
mod tests {
    use crate::cause::tests::Talk;
    use crate::vocab::cause::Cause;

    #[test]
    fn equal_silences_before_a_clients_closes_are_its_pools_timer() {
        let one =
            |asked: f64, idle: f64| Talk::opened().served(asked, 1).c(asked + 10.0 + idle, "FIN");
        let talk = one(10.0, 2751.0).again(2, 911.0, &one(310.0, 2750.3));
        let two = talk.all_told();
        assert!(two.iter().all(|told| told.cause == Cause::ClientShutdown), "two prove nothing");
        let three = talk.clone().again(3, 1874.0, &one(120.0, 2750.6)).all_told();
        for told in &three {
            assert_eq!(told.cause, Cause::IdleTimeout, "{}", told.summary);
            told.after(Cause::IdleTimeout, 2.75);
            assert!(told.confidence.value() <= 0.7);
        }
        // Of other lengths they are nobody's.
        let other = talk.again(3, 1874.0, &one(120.0, 1432.0)).all_told();
        assert!(other.iter().all(|told| told.cause == Cause::ClientShutdown));
    }
}
