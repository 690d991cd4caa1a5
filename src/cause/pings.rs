//! Keepalive PINGs: which they are, and how often they are sent.

use std::time::Duration;

use crate::track::history::{History, Ping};
use crate::vocab::address::Side;

/// Payloads of bandwidth and drain probes, which are no keepalive.
const PROBES: &[[u8; 8]] = &[
    [0x02, 0x04, 0x10, 0x10, 0x09, 0x0e, 0x07, 0x07],
    [0x01, 0x06, 0x01, 0x08, 0x00, 0x03, 0x03, 0x09],
    [0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0xd2],
    [0x00, 0x00, 0x00, 0x09, 0x7a, 0xce, 0xf0, 0x01],
    [0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x11, 0x11],
    [0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54],
];

/// Whoever measures bandwidth sends its PING as soon as it has data to count.
const AT_ONCE: Duration = Duration::from_millis(5);

/// Whether a PING measures bandwidth or a drain: by its payload, or because it came right behind a
/// message of the other side.
pub fn is_probe(ping: &Ping) -> bool {
    let behind = |heard| ping.peer_messages > 0 && ping.sent.since(heard) <= AT_ONCE;
    PROBES.contains(&ping.opaque) || ping.heard.is_some_and(behind)
}

/// How long a side waits before it sends a keepalive PING.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The median.
    pub middle: Duration,
    /// Half the distance between the extremes.
    pub spread: Duration,
    /// How many it rests on.
    pub samples: u32,
}

/// The interval of a side's keepalive PINGs, where it is steady: some count from the last PING
/// (OkHttp), some from the last octet that came (gRPC, Go), whichever agrees more closely.
pub fn interval(history: &History, by: Side) -> Option<Interval> {
    let (apart, _) = distances(history, by);
    let silences = keepalives(history, by).filter_map(|ping| Some(ping.sent.since(ping.heard?)));
    let (apart, silent) = (steady(apart), steady(silences.collect()));
    match (apart, silent) {
        (Some(apart), Some(silent)) if silent.spread * 2 < apart.spread => Some(silent),
        (apart, silent) => apart.or(silent),
    }
}

fn steady(mut spans: Vec<Duration>) -> Option<Interval> {
    spans.sort_unstable();
    let middle = *spans.get(spans.len() / 2)?;
    let spread = (*spans.last()? - *spans.first()?) / 2;
    let steady = spans.len() >= 3 && spread <= middle.mul_f64(0.1);
    steady.then_some(Interval { middle, spread, samples: spans.len() as u32 })
}

/// Distances between keepalive PINGs of a side, ascending, and how many came without messages of
/// the other side between.
pub fn distances(history: &History, by: Side) -> (Vec<Duration>, u32) {
    let sent: Vec<_> = keepalives(history, by).collect();
    let pairs = || sent.iter().zip(sent.iter().skip(1));
    let mut apart: Vec<Duration> = pairs().map(|(a, b)| b.sent.since(a.sent)).collect();
    apart.sort_unstable();
    (apart, pairs().filter(|(_, next)| next.peer_messages == 0).count() as u32)
}

fn keepalives(history: &History, by: Side) -> impl Iterator<Item = &Ping> {
    history.pings.iter().filter(move |ping| ping.by == by && !is_probe(ping))
}

#[cfg(test)]
mod tests {
    use super::super::tests::Talk;
    use super::super::tests::judged;
    use crate::vocab::pair::InferredTimeout;

    fn intervals(talk: &Talk) -> Vec<InferredTimeout> {
        let mut all = judged(&talk.script()).inferred_timeouts;
        all.retain(|timer| timer.kind.name() == "keepalive_interval");
        all
    }

    /// A PING of the client and its answer.
    fn pinged(talk: Talk, at: f64, payload: &str) -> Talk {
        talk.c(at, &format!("PING {payload}")).s(at + 0.4, &format!("PING ACK {payload}"))
    }

    #[test]
    fn counted_from_the_last_octet_that_came() {
        // Each PING 2 s after the last answer, whenever that came.
        let quiet = [0.0, 700.0, 1900.0, 300.0, 1200.0];
        let (talk, _) =
            quiet.iter().zip(0_u32..).fold((Talk::opened(), 100.0), |(talk, at), (more, n)| {
                let heard = at + more + 10.0;
                let talk = talk.served(at + more, 2 * n + 1);
                (pinged(talk, heard + 2000.0, "0000000000000001"), heard + 2100.0)
            });
        let found = intervals(&talk);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!((found[0].seconds - 2.0).abs() < 0.002, "{found:?}");
    }

    #[test]
    fn counted_from_the_last_ping() {
        // One each 2 s whatever comes between.
        let talk = (1..7).fold(Talk::opened(), |talk, n| {
            pinged(talk, f64::from(n) * 2000.0, "0000000100000000")
        });
        let busy = [2300.0, 5100.0, 6900.0, 8200.0];
        let talk = busy.iter().zip(0_u32..).fold(talk, |talk, (at, n)| talk.served(*at, 2 * n + 1));
        let found = intervals(&talk);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!((found[0].seconds - 2.0).abs() < 0.001, "{found:?}");
    }

    #[test]
    fn probes_of_bandwidth_are_no_keepalive() {
        // A stream that brings data each second; the client probes at once each time.
        let talk = (1..8).fold(Talk::opened().get(10.0, 1), |talk, n| {
            let at = f64::from(n) * 1000.0;
            let begin = if n == 1 { "HEADERS 1 :status=200\n+ DATA 1 900" } else { "DATA 1 900" };
            pinged(talk.s(at, begin), at + 0.2, "00000000000000aa")
        });
        assert!(intervals(&talk).is_empty(), "{:?}", intervals(&talk));
    }
}
