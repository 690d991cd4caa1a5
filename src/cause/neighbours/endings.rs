//! The endings by a server, as the second pass sees them.

use std::time::Duration;

use crate::cause::scene::Scene;
use crate::cause::{Judged, abrupt_close};
use crate::track::history::History;
use crate::vocab::address::Side;
use crate::vocab::time::Stamp;
use crate::vocab::verdict::Verdict;

use super::{AT_LIMIT, Ending};

/// The endings of a connection that its neighbours may explain.
pub fn endings(history: &History, judged: &Judged) -> Vec<Ending> {
    let mut found = Vec::new();
    for (index, (follows, verdict)) in judged.goaways.iter().enumerate() {
        let Some(scene) = Scene::of_goaway(history, index, &[], None) else { continue };
        if follows.is_none() {
            found.extend(ending(&scene, verdict, Some(index)));
        }
    }
    if let Some(verdict) = &judged.end {
        found.extend(Scene::of_end(history, &[]).and_then(|scene| ending(&scene, verdict, None)));
    }
    found
}

fn ending(scene: &Scene<'_>, verdict: &Verdict, index: Option<usize>) -> Option<Ending> {
    (scene.by == Side::Server && !scene.may_follow_a_close()).then(|| Ending {
        place: (0, index),
        number: 0,
        client: scene.history.ends.first,
        server: scene.history.ends.second,
        at: scene.at,
        first: scene.history.first,
        idle_since: scene.idle_start(),
        idle: scene.idle().or(Some(scene.quiet())),
        quiet: scene.quiet(),
        age: (!scene.history.joined_midway).then(|| scene.age()),
        requests: scene.opened.first,
        newest: newest(scene),
        crossed: crossed(scene),
        waited: scene.oldest_waiting().map(|asked| (scene.at.since(asked), asked)),
        announced: scene.goaway.is_some(),
        unanswered: scene.unanswered(),
        incomplete: scene.is_incomplete(),
        offended: scene.offence_before().is_some() || scene.silenced_by().is_some(),
        stranger: abrupt_close::is_stranger(scene),
        orderly: !scene.is_error()
            && !scene.aborted
            && (scene.goaway.is_some() || scene.unanswered() == 0),
        cause: verdict.cause,
        confidence: verdict.confidence,
    })
}

/// The newest request, where it is open or was just made and answered: others have nothing to do
/// with the end. The first few are answered at once whatever ends the connection.
fn newest(scene: &Scene<'_>) -> Option<(u32, Stamp)> {
    let open = |id: u32| scene.open.iter().any(|stream| stream.id == id);
    let newest = scene.goaway?.newest?;
    let answered = scene.opened.first >= FEW && scene.at.since(newest.1) <= AT_LIMIT;
    (open(newest.0) || answered).then_some(newest)
}

/// So few requests are the first ones of a connection.
const FEW: u64 = 8;

/// When the server last spoke before its newest request, and when that came, as ages of the
/// connection.
fn crossed(scene: &Scene<'_>) -> Option<(Duration, Duration)> {
    let (history, (_, newest)) = (scene.history, scene.goaway?.newest?);
    let before = (*scene.last_octets.side(Side::Server))?;
    let ages = (before.since(history.first), newest.since(history.first));
    (!history.joined_midway && before.before(newest)).then_some(ages)
}
