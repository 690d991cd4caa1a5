//! Requests whose answers had begun: a time for the whole answer, a silence in the middle of it, or
//! a client that had enough.

use super::super::chance::round_value;
use super::timed;
use super::{AT_ONCE, CancelGroup, LONG, MILLI, Waited, rivals};
use super::{are_alike, are_most_alike, burst, clusters, is_round, median, opened_apart, spread};
use crate::track::history::{History, Reset};
use crate::vocab::cause::{Cause, Confidence};

/// A time for the whole answer: requests opened at different times end at one age though their
/// answers were still coming (Go http.Client.Timeout, OkHttp callTimeout). Takes resets with the
/// silence before each, and returns the others.
pub(super) fn whole_time(
    history: &History,
    items: Vec<Waited>,
    groups: &mut Vec<CancelGroup>,
) -> Vec<Waited> {
    let age = |item: &Waited| history.resets.get(item.place).and_then(Reset::age);
    let aged = |item: &Waited| Some((Waited { span: age(item)?, ..*item }, *item));
    let mut both: Vec<(Waited, Waited)> = items.iter().filter_map(aged).collect();
    both.sort_by_key(|(aged, _)| (aged.span, aged.place));
    let (aged, silent): (Vec<Waited>, Vec<Waited>) = both.into_iter().unzip();
    let mut rest = Vec::new();
    let mut from = 0;
    for cluster in clusters(&aged) {
        let silences = silent.get(from..from + cluster.len()).unwrap_or_default();
        from += cluster.len();
        // Silences of one length are the nearer reason, where they are as much alike.
        let at_one_silence = median(silences) >= AT_ONCE * 5
            && are_alike(silences, 0.02)
            && varies(silences) <= varies(cluster) * 1.5;
        let timer =
            opened_apart(history, cluster) && !at_one_silence && !rivals::is_chance(cluster, &aged);
        let sure = match cluster.len() {
            _ if !timer => None,
            // In the moment of an octet: the client may have had what it wanted.
            _ if median(silences) < MILLI * 3 => {
                (cluster.len() >= 3 && are_alike(cluster, 0.005)).then_some(0.6)
            }
            2 => (are_alike(cluster, 0.005) && cluster.iter().any(is_round)).then_some(0.6),
            // A busy client is late with one of them.
            3.. if are_alike(cluster, 0.02) && are_most_alike(cluster, 0.005) => Some(0.9),
            _ => None,
        };
        match sure {
            Some(sure) => {
                let told_by = "their answers were still coming when all had reached one age";
                groups.push(timed(cluster, Confidence::new(sure), told_by));
            }
            None => rest.extend_from_slice(silences),
        }
    }
    rest
}

/// An answer began and then stopped: what counts is the silence before the client gave up.
pub(super) fn by_silence(mut items: Vec<Waited>, groups: &mut Vec<CancelGroup>) {
    items.sort_by_key(|item| (item.span, item.place));
    let mut rest = Vec::new();
    for cluster in clusters(&items) {
        let silent = cluster.first().is_some_and(|item| item.span >= AT_ONCE * 5);
        let middle = median(cluster);
        let round = round_value(middle).is_some();
        if silent && are_alike(cluster, 0.02) && (cluster.len() >= 3 || round) {
            let confidence = match cluster.len() {
                3.. => 0.85,
                _ if middle < LONG => 0.45,
                _ => 0.6,
            };
            let mut group =
                timed(cluster, Confidence::new(confidence), "one silence before each reset");
            group.cause = Cause::StreamIdleTimeout;
            if let Some(timeout) = &mut group.timeout {
                timeout.kind = Cause::StreamIdleTimeout;
            }
            groups.push(group);
        } else {
            rest.extend_from_slice(cluster);
        }
    }
    if !rest.is_empty() {
        let told_by = "the answer was on its way when the client had enough";
        groups.push(burst(&rest, Confidence::LIKELY, told_by));
    }
}

/// The share of it by which their length varies.
fn varies(items: &[Waited]) -> f64 {
    spread(items).as_secs_f64() / median(items).as_secs_f64().max(1e-9)
}
