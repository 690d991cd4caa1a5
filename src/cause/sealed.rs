//! What sizes and times alone betray of a connection inside TLS that nobody could read. Other
//! things have the same sizes, so nothing here is ever more than possible.

use std::time::Duration;

use crate::vocab::address::{Both, Side};
use crate::vocab::cause::{Cause, Confidence};
use crate::vocab::time::Stamp;
use crate::vocab::tls::SizedRecord;
use crate::vocab::verdict::{Alternative, Evidence};

use super::evidence::on_connection;
use super::scene::spoken;

/// What may have happened before an end.
#[derive(Debug, Default)]
pub struct Betrayed {
    /// What else than unknown it could be, the likeliest first.
    pub alternatives: Vec<Alternative>,
    /// Records that show it, in order of time.
    pub evidence: Vec<Evidence>,
    /// Half sentences for people.
    pub told: Vec<String>,
}

/// Plaintext octets of a GOAWAY without debug data, and of a PING (RFC 9113 sections 6.7, 6.8).
const GOAWAY: u16 = 9 + 8;

/// Plaintext octets of a RST_STREAM, and of a WINDOW_UPDATE (RFC 9113 sections 6.4, 6.9).
const RESET: u16 = 9 + 4;

/// Plaintext octets of an alert (RFC 8446 section 6).
const ALERT: u16 = 2;

/// How long before the end its own last words may be said.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Silence that is worth a word, and one that a timer may have ended.
const SILENCE: Duration = Duration::from_secs(1);

/// Records that make a burst.
const BURST: usize = 3;

/// Ages below this are those of programs that changed their mind, not of timeouts.
const TIMEOUT_LEAST: Duration = Duration::from_millis(200);

/// How much the ages of one timeout differ, as a part of them, and at least.
const SPREAD: (u32, Duration) = (20, Duration::from_millis(20));

/// A WINDOW_UPDATE follows the data it makes room for.
const AFTER_DATA: Duration = Duration::from_millis(100);

/// Confidence of what is only possible.
const POSSIBLE: f32 = 0.25;

/// Looks at the latest records of each side before the connection ended at `end`.
pub fn look(sizes: &Both<Vec<SizedRecord>>, end: Stamp) -> Betrayed {
    let mut betrayed = Betrayed::default();
    let before = |side: Side| -> Vec<SizedRecord> {
        sizes.side(side).iter().filter(|record| !end.before(record.stamp)).copied().collect()
    };
    let sides = Both { first: before(Side::Client), second: before(Side::Server) };
    if let Some((age, burst)) = cancelled(&sides) {
        betrayed.told.push(format!(
            "{} records of the client with the size of a reset came each {} after a larger one, as \
             when requests time out",
            burst.len(),
            spoken(age)
        ));
        let text = "the size of a RST_STREAM or WINDOW_UPDATE";
        let shown = |stamp: &Stamp| on_connection(*stamp, Side::Client, "record", text.into());
        betrayed.evidence.extend(burst.iter().take(BURST).map(shown));
        betrayed.alternatives.push(alternative(Cause::ClientRequestTimeout));
    }
    let goaway = goaway(&sides, end);
    if let Some((by, stamp)) = goaway {
        let text = "the size of a GOAWAY or PING".to_owned();
        betrayed.evidence.push(on_connection(stamp, by, "record", text));
        betrayed
            .told
            .push(format!("the last record of the {} has the size of a GOAWAY", by.name()));
    }
    if let Some(silence) = silence(&sides, end) {
        betrayed.told.push(format!("{} of silence came before", spoken(silence)));
        betrayed.alternatives.push(alternative(Cause::IdleTimeout));
    }
    betrayed.evidence.sort_by_key(|evidence| evidence.stamp.order());
    betrayed
}

fn alternative(cause: Cause) -> Alternative {
    let against = "only sizes and times are known, and other things have the same".to_owned();
    Alternative { cause, confidence: Confidence::new(POSSIBLE), against }
}

/// Whether a record is one of the last words of its side: an alert, or something as long as a
/// GOAWAY.
fn is_last_word(record: &SizedRecord, end: Stamp) -> bool {
    let fits = record.octets.is_some_and(|octets| octets == ALERT || octets == GOAWAY);
    fits && end.since(record.stamp) <= LAST_WORDS
}

/// The side whose last words have the size of a GOAWAY. Where both have, they are a PING and its
/// answer.
fn goaway(sides: &Both<Vec<SizedRecord>>, end: Stamp) -> Option<(Side, Stamp)> {
    let of = |side: Side| {
        let words = sides.side(side).iter().rev().take_while(|record| is_last_word(record, end));
        let mut long = words.filter(|record| record.octets == Some(GOAWAY));
        long.next().map(|record| (side, record.stamp))
    };
    match (of(Side::Client), of(Side::Server)) {
        (Some(_), Some(_)) => None,
        (client, server) => client.or(server),
    }
}

/// How long nothing was said before the end and its last words.
fn silence(sides: &Both<Vec<SizedRecord>>, end: Stamp) -> Option<Duration> {
    let all = [&sides.first, &sides.second].into_iter().flatten();
    let words = all.clone().filter(|record| is_last_word(record, end));
    let first = words.map(|record| record.stamp).chain([end]).min_by_key(|stamp| stamp.order())?;
    let rest = all.filter(|record| !is_last_word(record, end)).map(|record| record.stamp);
    let silence = first.since(rest.max_by_key(|stamp| stamp.order())?);
    (silence >= SILENCE).then_some(silence)
}

/// Records of the client with the size of a reset, each the same time after a larger one, with
/// nothing from the server that a WINDOW_UPDATE would answer.
fn cancelled(sides: &Both<Vec<SizedRecord>>) -> Option<(Duration, Vec<Stamp>)> {
    let client = &sides.first;
    let data = |at: Stamp| {
        sides.second.iter().any(|record| {
            record.octets.is_none_or(|octets| octets > GOAWAY)
                && !at.before(record.stamp)
                && at.since(record.stamp) <= AFTER_DATA
        })
    };
    let is_reset = |record: &&SizedRecord| record.octets == Some(RESET) && !data(record.stamp);
    let resets: Vec<Stamp> = client.iter().filter(is_reset).map(|record| record.stamp).collect();
    let is_request = |record: &&SizedRecord| record.octets.is_some_and(|octets| octets > GOAWAY);
    let requests: Vec<Stamp> = client.iter().filter(is_request).map(|r| r.stamp).collect();
    // The latest of as many of both, in their order.
    let count = resets.len().min(requests.len());
    let last = |all: &[Stamp]| all.get(all.len() - count..).unwrap_or_default().to_vec();
    let (resets, requests) = (last(&resets), last(&requests));
    let ages = resets.iter().zip(&requests).map(|(reset, request)| {
        if reset.before(*request) { Duration::ZERO } else { reset.since(*request) }
    });
    let ages: Vec<Duration> = ages.collect();
    let (least, most) = (ages.iter().min()?, ages.iter().max()?);
    let spread = (*least / SPREAD.0).max(SPREAD.1);
    let one_age = *least >= TIMEOUT_LEAST && most.saturating_sub(*least) <= spread;
    (count >= BURST && one_age).then_some((*least, resets))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::time::Timestamp;

    /// Records by milliseconds and octets.
    fn records(all: &[(i64, u16)]) -> Vec<SizedRecord> {
        let record = |&(millis, octets): &(i64, u16)| SizedRecord {
            stamp: at(millis),
            octets: Some(octets),
        };
        all.iter().map(record).collect()
    }

    fn at(millis: i64) -> Stamp {
        Stamp::new(0, millis as u64 + 1, Timestamp(millis * 1_000_000))
    }

    fn causes(client: &[(i64, u16)], server: &[(i64, u16)], end: i64) -> (Vec<Cause>, String) {
        let sizes = Both { first: records(client), second: records(server) };
        let betrayed = look(&sizes, at(end));
        assert!(betrayed.alternatives.iter().all(|other| other.confidence <= Confidence::POSSIBLE));
        let causes = betrayed.alternatives.iter().map(|other| other.cause).collect();
        (causes, betrayed.told.join("; "))
    }

    #[test]
    fn resets_of_one_age_may_be_timeouts() {
        let client = [(0, 60), (40, 25), (90, 25), (4000, 13), (4041, 13), (4089, 13)];
        let (found, told) = causes(&client, &[(5, 9)], 4100);
        assert_eq!(found, [Cause::ClientRequestTimeout]);
        assert!(told.contains("each 4.0 s after"), "{told}");
        // Ages all over the place, or room made for data, are none.
        let client = [(0, 60), (40, 25), (90, 25), (900, 13), (2041, 13), (4089, 13)];
        assert_eq!(causes(&client, &[], 4100).0, []);
        let client = [(0, 60), (40, 25), (90, 25), (4000, 13), (4041, 13), (4089, 13)];
        let server = [(3999, 16_000), (4040, 16_000), (4088, 16_000)];
        assert_eq!(causes(&client, &server, 4100).0, []);
        assert_eq!(causes(&client[..5], &[], 4100).0, []);
    }

    #[test]
    fn silence_and_last_words_may_be_an_idle_timeout() {
        let (found, told) = causes(&[(0, 60)], &[(10, 3000), (60_010, 17), (60_011, 2)], 60_012);
        assert_eq!(found, [Cause::IdleTimeout]);
        assert!(told.contains("GOAWAY") && told.contains("60.0 s of silence"), "{told}");
        // No last words, but silence; and last words without silence.
        assert_eq!(causes(&[(0, 60)], &[(10, 3000)], 75_000).0, [Cause::IdleTimeout]);
        let (found, told) = causes(&[(0, 60)], &[(10, 3000), (12, 17)], 13);
        assert_eq!((found, told.contains("GOAWAY")), (vec![], true));
        // A PING and its answer.
        let (_, told) = causes(&[(0, 60), (11, 17)], &[(10, 3000), (12, 17)], 13);
        assert!(!told.contains("GOAWAY"), "{told}");
        assert_eq!(causes(&[], &[], 99_000).0, []);
    }
}
