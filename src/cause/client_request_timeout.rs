//! The client gave up on requests after a fixed time.

use std::time::Duration;

use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::verdict::{ConfiguredIn, Step, Timeout};

use super::cancels::CancelGroup;
use super::chance::{is_setting, round_value};
use super::explain::Explain;
use super::scene::{Scene, spoken};
use super::{Detector, dead_path, evidence};

/// The detector for connections that the client closes when its time is over. Cancels by timeout
/// on a connection that lives on are told by [`super::cancels`].
pub const DETECTOR: Detector = Detector {
    name: Cause::ClientRequestTimeout,
    explain: Explain {
        what: "The client waits a fixed time for an answer and then gives the request up.",
        on_the_wire: "RST_STREAM of the client at one age of its streams, usually CANCEL, with \
                      some clients NO_ERROR; or FIN of the whole connection at that age with \
                      requests still open; a grpc-timeout header says the value outright.",
        looks_alike: "client_cancel_burst: streams of different ages reset in one instant, or at \
                      no common age. A reset after the answer ended is none at all.",
        known: "Vert.x and ServiceComb request.timeout, Go http.Client.Timeout, gRPC deadlines, \
                OkHttp callTimeout, curl --max-time, httpx timeout.",
        what_to_do: "Make the timeout longer than the server's slowest answer plus 2 to 5 s, or \
                     make the server answer faster; stop the server's work when the client left.",
    },
    step,
};

/// Waits from which on a round length is worth a thought.
const LONG: Duration = Duration::from_millis(500);

/// Whether the client closed the connection when all that waited had one age that a person may
/// have set; some count from before they connect.
pub fn is_round(scene: &Scene<'_>) -> bool {
    let Some(ages) = Ages::of(scene) else { return false };
    let first = scene.is_first_errand() && round_value(scene.age()).is_some();
    let round = round_value(ages.most).is_some() || first;
    scene.by == Side::Client
        && scene.goaway.is_none()
        && ages.are_one()
        && ages.most >= LONG
        && round
}

/// Ages of the requests that wait.
struct Ages {
    least: Duration,
    most: Duration,
    count: u32,
}

impl Ages {
    fn of(scene: &Scene<'_>) -> Option<Self> {
        let ages = || scene.waiting().filter_map(|stream| Some(scene.at.since(stream.opened?)));
        let (least, most) = (ages().min()?, ages().max()?);
        Some(Self { least, most, count: ages().count() as u32 })
    }

    fn are_one(&self) -> bool {
        let width = self.most.mul_f64(0.02) + Duration::from_millis(10);
        self.most.saturating_sub(self.least) <= width
    }
}

/// Younger requests are no victims of a timeout.
const SHORTEST: Duration = Duration::from_millis(100);

fn step(scene: &Scene<'_>) -> Option<Step> {
    if scene.by != Side::Client || (scene.goaway.is_some() && scene.is_error()) {
        return None;
    }
    let ages = Ages::of(scene)?;
    let Ages { least, most, count } = ages;
    if let Some(step) = gave_up_with_one(scene, count) {
        return Some(step);
    }
    let known = scene.cancels.iter().filter_map(|group| group.timeout.as_ref()).find(|timeout| {
        (most.as_secs_f64() - timeout.seconds).abs() <= 0.03 * timeout.seconds + 0.02
    });
    // Some count from before they connect.
    let errand = scene.is_first_errand() && scene.goaway.is_none() && !is_setting(most);
    let errand = errand && is_setting(scene.age());
    // One close proves no timer: a program that ends does so at any age, also at a round one.
    let confidence = match (known.is_some(), ages.are_one(), is_setting(most)) {
        _ if errand && most >= SHORTEST => 0.49,
        (true, true, _) => 0.9,
        (_, true, true) if most >= SHORTEST && scene.goaway.is_none() => 0.49,
        _ if is_round(scene) => 0.47,
        // The newest may be the one whose time was over, and the others went with it.
        _ if scene.goaway.is_none() && round_value(least).is_some() && least >= LONG => 0.4,
        // At no age that a person sets: one reason of several.
        _ if scene.goaway.is_none() && !scene.aborted && most >= LONG => 0.3,
        _ => return None,
    };
    let summary = format!(
        "The client {} when its {} had waited for {}: {}.",
        scene.ending_name(),
        if count == 1 { "request".to_string() } else { format!("{count} requests") },
        if errand {
            format!("{} (since it began to connect)", spoken(scene.age()))
        } else {
            spoken(most)
        },
        if confidence < 0.6 {
            "its request timeout, or it stopped for another reason"
        } else {
            "its request timeout"
        }
    );
    let confidence = scene.despite_holes(Confidence::new(confidence));
    let mut step = Step::new(Cause::ClientRequestTimeout, confidence, Blame::Client, summary);
    if let Some(stall) = dead_path::at_end(scene, scene.by) {
        dead_path::tell(scene.by, &mut step, stall);
    }
    let first = scene.waiting().find_map(|stream| stream.opened.map(|opened| (stream.id, opened)));
    if let Some((id, opened)) = first {
        step.evidence.push(evidence::request(opened, Side::Client, id, None));
    }
    step.cancelled = scene.waiting().map(|stream| stream.id).collect();
    step.timeout = Some(Timeout {
        kind: Cause::ClientRequestTimeout,
        seconds: if errand { scene.age() } else { most }.as_secs_f64(),
        at_least: false,
        spread_seconds: (most - least).as_secs_f64() / 2.0,
        samples: count,
        configured_in: ConfiguredIn::Client,
    });
    Some(step)
}

/// The client closed in the moment in which it had given up on requests whose time was over, and
/// the younger ones went with them.
fn gave_up_with_one(scene: &Scene<'_>, open: u32) -> Option<Step> {
    let last = scene.resets.iter().rev().find(|reset| reset.by == Side::Client)?;
    let sure = |group: &&CancelGroup| {
        let timed = group.cause == Cause::ClientRequestTimeout && group.timeout.is_some();
        timed && group.by == Side::Client && group.confidence >= Confidence::LIKELY
    };
    if scene.goaway.is_some() || scene.at.since(last.stamp) > AT_ONCE {
        return None;
    }
    let of_last = |group: &&CancelGroup| {
        group.places.len() >= FEW && group.resets(scene.history).any(|of| of.stamp == last.stamp)
    };
    let group = scene.cancels.iter().filter(sure).find(of_last)?;
    let timeout = group.timeout.clone()?;
    let summary = format!(
        "The client {} in the moment in which its request timeout of {} ended stream {}: {} more \
         of its requests died with that.",
        scene.ending_name(),
        spoken(Duration::try_from_secs_f64(timeout.seconds).unwrap_or_default()),
        last.stream,
        open,
    );
    let confidence = scene.despite_holes(group.confidence.and(Confidence::new(0.7)));
    let mut step = Step::new(Cause::ClientRequestTimeout, confidence, Blame::Client, summary);
    let opened = last.opened.map(|at| evidence::request(at, Side::Client, last.stream, None));
    step.evidence.extend(opened);
    step.evidence.push(evidence::reset(last));
    step.cancelled = group.resets(scene.history).map(|reset| reset.stream).collect();
    step.cancelled.sort_unstable();
    step.timeout = Some(timeout);
    Some(step)
}

/// Fewer cancels show no timer.
const FEW: usize = 3;

/// A close this soon behind a reset is one act with it.
const AT_ONCE: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::super::tests::Talk;
    use super::*;

    #[test]
    fn who_closes_when_a_time_is_over_takes_the_others_along() {
        let batch = |talk: Talk, from: f64| {
            (0..3).fold(talk, |talk, n: u32| talk.get(from + f64::from(n) * 330.0, n * 2 + 1))
        };
        let cancels = |talk: Talk| {
            (0..3).fold(talk, |talk, n: u32| talk.cancel(1710.0 + f64::from(n) * 330.0, n * 2 + 1))
        };
        let talk = batch(Talk::opened(), 10.0).get(1400.0, 7).get(1900.0, 9);
        let verdict = cancels(talk.clone()).c(2370.4, "FIN").told();
        assert_eq!(verdict.cause, Cause::ClientRequestTimeout, "{}", verdict.summary);
        assert!(verdict.confidence >= Confidence::LIKELY);
        assert_eq!(verdict.cancelled_streams, [1, 3, 5]);
        assert_eq!(verdict.maybe_processed_streams, [7, 9]);
        // Later it has another reason.
        let verdict = cancels(talk).c(2470.4, "FIN").told();
        assert!(!verdict.summary.contains("died with that"), "{}", verdict.summary);
    }

    #[test]
    fn the_whole_connection_closed_when_time_was_over() {
        // A program that was killed looks the same: one sample proves no timer.
        let talk = Talk::opened().get(10.0, 1).c(7511.0, "FIN");
        talk.is_possible(Cause::ClientRequestTimeout)
            .after(Cause::ClientRequestTimeout, 7.5)
            .blames(Blame::Client)
            .shows(&["HEADERS", "FIN"]);
    }

    #[test]
    fn requests_of_many_ages_are_no_timeout() {
        let talk = Talk::opened().get(10.0, 1).get(340.0, 3).get(1190.0, 5).get(1802.0, 7);
        let told = talk.c(2013.0, "FIN").told();
        assert_ne!(told.cause, Cause::ClientRequestTimeout, "{}", told.summary);
    }

    #[test]
    fn two_classes_with_two_timeouts() {
        let mut talk = Talk::opened();
        for (number, at) in [(0_u32, 10.0), (1, 300.0), (2, 710.0), (3, 1200.0), (4, 1730.0)] {
            let (slow, fast) = (number * 4 + 1, number * 4 + 3);
            let far = at + f64::from(number);
            talk = talk.get(at, slow).cancel(far + 2500.0, slow).get(at + 5.0, fast);
            talk = talk.cancel(far + 655.0, fast);
        }
        let row = talk.served(5000.0, 101).c(5100.0, "FIN").row();
        let mut seconds: Vec<f64> = row
            .cancellations
            .iter()
            .filter(|set| set.cause == Cause::ClientRequestTimeout)
            .filter_map(|set| Some(set.timeout.as_ref()?.seconds))
            .collect();
        seconds.sort_by(f64::total_cmp);
        assert_eq!(seconds.len(), 2, "{seconds:?}");
        assert!(
            (seconds[0] - 0.65).abs() < 0.02 && (seconds[1] - 2.5).abs() < 0.075,
            "{seconds:?}"
        );
    }

    /// Requests opened at many times, each reset at one age and so much later.
    fn late_by(late: &[f64]) -> Talk {
        late.iter().zip(0_u32..).fold(Talk::opened(), |talk, (late, number)| {
            let at = 10.0 + f64::from(number) * 391.0;
            talk.get(at, number * 2 + 1).cancel(at + 850.0 + late, number * 2 + 1)
        })
    }

    #[test]
    fn a_coarse_timer_fires_late_but_never_early() {
        let set = |late: &[f64]| late_by(late).row().cancellations.remove(0);
        let coarse = set(&[71.0, 12.0, 94.0, 38.0, 3.0, 55.0, 84.0, 26.0]);
        assert_eq!(coarse.cause, Cause::ClientRequestTimeout);
        assert!((coarse.timeout.unwrap().seconds - 0.85).abs() < 0.02);
        assert!(coarse.confidence.value() < 0.8);
    }

    #[test]
    fn connections_closed_at_one_age_confirm_each_other() {
        let one = || Talk::opened().get(10.0, 1).c(724.0, "FIN");
        one().is_unsure(Cause::AbruptClose);
        let three = one().again(2, 371.0, &one()).again(3, 912.0, &one());
        let verdict = three.is(Cause::ClientRequestTimeout, 0.8);
        verdict.after(Cause::ClientRequestTimeout, 0.714).shows(&["HEADERS", "FIN"]);
        // All at once: the program ended.
        let ended = one().again(2, 11.0, &one()).again(3, 23.0, &one());
        ended.is_unsure(Cause::AbruptClose);
    }

    #[test]
    fn a_close_long_after_the_cancels_stays_a_shutdown() {
        let mut talk = Talk::opened();
        for number in 0..6_u32 {
            let at = 10.0 + f64::from(number) * 137.0;
            talk = talk.get(at, number * 2 + 1).cancel(at + 900.0, number * 2 + 1);
        }
        talk.served(2500.0, 21)
            .c(2600.0, "GOAWAY 0 NO_ERROR")
            .c(2601.0, "FIN")
            .is(Cause::ClientShutdown, 0.9);
    }

    #[test]
    fn less_sure_with_a_hole() {
        let talk = Talk::opened().get(10.0, 1).hole(100.0).c(7511.0, "FIN");
        talk.is_unsure(Cause::ClientRequestTimeout);
    }

    #[test]
    fn a_close_at_an_age_names_both_reasons() {
        let talk = Talk::opened().get(10.0, 1).c(1312.0, "FIN");
        let verdict = talk.is_unsure(Cause::ClientRequestTimeout);
        assert_eq!(verdict.cause, Cause::ClientRequestTimeout);
        verdict.after(Cause::ClientRequestTimeout, 1.3).blames(Blame::Client);
        assert!(verdict.alternatives.iter().any(|other| other.cause == Cause::AbruptClose));
        // At an age that nobody sets.
        let verdict = Talk::opened().get(10.0, 1).c(1377.0, "FIN").is_unsure(Cause::AbruptClose);
        let timeout =
            |a: &crate::vocab::verdict::Alternative| a.cause == Cause::ClientRequestTimeout;
        assert!(verdict.alternatives.iter().any(timeout), "{:?}", verdict.alternatives);
    }

    #[test]
    fn many_requests_lost_in_good_order_are_never_likely_a_shutdown() {
        let mut talk = Talk::opened();
        for number in 0..5_u32 {
            talk = talk.get(10.0 + f64::from(number) * 41.0, number * 2 + 1);
        }
        let verdict = talk.c(1109.0, "FIN").is_unsure(Cause::ClientShutdown);
        let causes: Vec<Cause> = verdict.alternatives.iter().map(|other| other.cause).collect();
        assert!(causes.contains(&Cause::AbruptClose), "{causes:?}");
        assert!(causes.contains(&Cause::ClientRequestTimeout), "{causes:?}");
        assert!(verdict.advice.iter().any(|advice| advice.contains("log")), "{:?}", verdict.advice);
    }
}
