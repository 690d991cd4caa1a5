//! The client gave up on requests after a fixed time.

use std::time::Duration;

use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::verdict::{ConfiguredIn, Step, Timeout};

use super::explain::Explain;
use super::scene::{Scene, is_setting, spoken};
use super::{Detector, evidence};

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

/// Younger requests are no victims of a timeout.
const SHORTEST: Duration = Duration::from_millis(100);

fn step(scene: &Scene<'_>) -> Option<Step> {
    if scene.by != Side::Client || (scene.goaway.is_some() && scene.is_error()) {
        return None;
    }
    let waiting = || scene.waiting();
    let ages: Vec<Duration> =
        waiting().filter_map(|stream| stream.opened.map(|opened| scene.at.since(opened))).collect();
    let (least, most) = (*ages.iter().min()?, *ages.iter().max()?);
    let known = scene.cancels.iter().filter_map(|group| group.timeout.as_ref()).find(|timeout| {
        (most.as_secs_f64() - timeout.seconds).abs() <= 0.03 * timeout.seconds + 0.02
    });
    let one_age = most.saturating_sub(least) <= most.mul_f64(0.02) + Duration::from_millis(10);
    let confidence = match (known.is_some(), one_age, is_setting(most)) {
        (true, true, _) => 0.9,
        (_, true, true) if most >= SHORTEST && scene.goaway.is_none() => 0.75,
        _ => return None,
    };
    let count = ages.len();
    let summary = format!(
        "The client {} when its {} had waited for {}: its request timeout.",
        scene.ending_name(),
        if count == 1 { "request".to_string() } else { format!("{count} requests") },
        spoken(most)
    );
    let confidence = scene.despite_holes(Confidence::new(confidence));
    let mut step = Step::new(Cause::ClientRequestTimeout, confidence, Blame::Client, summary);
    let first = waiting().find_map(|stream| stream.opened.map(|opened| (stream.id, opened)));
    if let Some((id, opened)) = first {
        step.evidence.push(evidence::request(opened, Side::Client, id, None));
    }
    step.cancelled = waiting().map(|stream| stream.id).collect();
    step.timeout = Some(Timeout {
        kind: Cause::ClientRequestTimeout,
        seconds: most.as_secs_f64(),
        at_least: false,
        spread_seconds: (most - least).as_secs_f64() / 2.0,
        samples: count as u32,
        configured_in: ConfiguredIn::Client,
    });
    Some(step)
}
