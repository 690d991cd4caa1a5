//! The connection served as many requests as it may.

use std::time::Duration;

use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::error_code::ErrorCode;
use crate::vocab::frame::LAST_STREAM_MAX;
use crate::vocab::setting::SettingId;
use crate::vocab::verdict::Step;

use super::explain::Explain;
use super::scene::Scene;
use super::{Detector, evidence};

/// The detector.
pub const DETECTOR: Detector = Detector {
    name: Cause::MaxRequestsPerConnection,
    explain: Explain {
        what: "The server ends a connection after a configured number of requests.",
        on_the_wire: "GOAWAY(NO_ERROR) right after the HEADERS of the last request it takes, whose \
                      stream is last_stream_id; a round count of requests, the same on every \
                      connection. That request is still answered.",
        looks_alike: "A drain that comes just after a request: then the count is not round and \
                      other connections end with other counts.",
        known: "nginx keepalive_requests 1000 (100 before 1.19.10); HAProxy \
                tune.h2.fe.max-total-streams; Envoy max_requests_per_connection.",
        what_to_do: "Nothing, as long as clients open a new connection and send streams above \
                     last_stream_id again there. Where it comes too often, raise the server's \
                     limit.",
    },
    step,
};

/// A last stream that is yet to come: the server lets the client open so many more, twice what it
/// allows at once with the only server known to do so.
fn future(scene: &Scene<'_>, newest: u32, last: u32) -> Option<f32> {
    let settings = scene.history.sides.second.settings.iter();
    let allowed = settings.flat_map(|sent| &sent.values).rev();
    let allowed = allowed.filter(|(id, _)| *id == SettingId::MAX_CONCURRENT_STREAMS);
    let twice = allowed.map(|(_, value)| value.saturating_mul(2)).next();
    match last.checked_sub(newest) {
        _ if last == LAST_STREAM_MAX => None,
        None | Some(0) => None,
        more if more == twice => Some(0.79),
        Some(_) => Some(0.65),
    }
}

/// How soon after the last request's HEADERS the GOAWAY comes.
const AT_ONCE: Duration = Duration::from_millis(30);

/// A GOAWAY this soon after the request, before its response, was sent because of it.
const IN_ANSWER: Duration = Duration::from_millis(3);

fn step(scene: &Scene<'_>) -> Option<Step> {
    let goaway = scene.goaway?;
    if scene.by != Side::Server || goaway.code != ErrorCode::NO_ERROR || goaway.after_peer_close {
        return None;
    }
    let (newest, requested) = scene.last_taken().or(goaway.newest)?;
    let prompt = scene.at.since(requested) <= AT_ONCE;
    // Of one that was joined midway the stream's number tells.
    let midway = scene.history.joined_midway;
    let later = scene.open.iter().filter(|stream| stream.by == Side::Client && stream.id > newest);
    let opened = scene.opened.side(Side::Client).saturating_sub(later.count() as u64);
    let count = if midway { u64::from(newest.div_ceil(2)) } else { opened };
    let future = future(scene, newest, goaway.last_stream_id);
    let announced = goaway.last_stream_id == LAST_STREAM_MAX;
    let real = newest == goaway.last_stream_id || announced;
    if !(real || future.is_some()) || !prompt || (midway && future.is_some()) {
        return None;
    }
    let in_answer = scene.at.since(requested) <= IN_ANSWER;
    let confidence = match count {
        _ if future.is_some() => future?,
        _ if announced && !in_answer => return None,
        0..=1 => return None,
        // A drain that happens to begin beside one of the first requests.
        2..10 if announced => 0.5,
        // One of ten, or of a hundred, is round by chance.
        count if count % 1000 == 0 => 0.88,
        count if count % 100 == 0 => 0.79,
        count if count % 10 == 0 && in_answer => 0.6,
        // Any count, if the GOAWAY answers the request in the same moment.
        _ if in_answer => 0.58,
        _ => 0.4,
    };
    let summary = format!(
        "The server {} because the connection had served its {count} requests.",
        scene.ending_name()
    );
    let confidence = scene.despite_holes(Confidence::new(confidence));
    let mut step = Step::new(Cause::MaxRequestsPerConnection, confidence, Blame::None, summary);
    let text = format!("request number {count}, the last one");
    step.evidence.push(evidence::on_connection(requested, Side::Client, "HEADERS", text));
    Some(step)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Talk;
    use super::*;

    /// So many requests, the GOAWAY right behind the last.
    fn served(count: u32) -> Talk {
        let all = (0..count - 1).fold(Talk::opened(), |talk, number| {
            talk.served(10.0 + f64::from(number) * 23.0, number * 2 + 1)
        });
        let (last, at) = (count * 2 - 1, 10.0 + f64::from(count) * 23.0);
        all.get(at, last).s(at + 0.7, &format!("GOAWAY {last} NO_ERROR")).ok(at + 12.0, last)
    }

    #[test]
    fn a_round_count() {
        let verdict = served(200).is(Cause::MaxRequestsPerConnection, 0.7);
        verdict.blames(Blame::None).shows(&["HEADERS", "GOAWAY"]);
        // One of ten counts ends in 0 by chance.
        let verdict = served(30).is(Cause::MaxRequestsPerConnection, 0.55);
        assert!(verdict.confidence.value() < 0.7);
    }

    #[test]
    fn the_same_count_twice() {
        let talk = served(17).again(2, 3000.0, &served(17)).again(3, 7100.0, &served(17));
        talk.is(Cause::MaxRequestsPerConnection, 0.9);
    }

    #[test]
    fn a_drain_just_after_a_request() {
        let all = (0..36).fold(Talk::opened(), |talk, number| {
            talk.served(10.0 + f64::from(number) * 23.0, number * 2 + 1)
        });
        all.get(900.0, 73).s(914.0, "GOAWAY 73 NO_ERROR").is_unsure(Cause::GracefulShutdown);
    }

    #[test]
    fn less_sure_with_a_hole() {
        let talk = served(50).hole(60.0);
        talk.is_unsure(Cause::MaxRequestsPerConnection);
    }
}
