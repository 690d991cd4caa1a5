//! What one connection cannot tell by itself, and others may.

use std::time::Duration;

use crate::cause::Judged;
use crate::cause::scene::Scene;
use crate::track::history::{History, Reset};
use crate::vocab::address::Side;
use crate::vocab::cause::Cause;
use crate::vocab::time::Stamp;
use crate::vocab::verdict::Verdict;

use super::{MOMENT, SHORTEST_PING, SURE, resets_of};

/// Something that one connection cannot tell by itself.
#[derive(Clone, Debug)]
pub struct Doubt {
    /// What.
    pub about: About,
    /// When.
    pub at: Stamp,
    /// Shortest and longest time that its requests had waited.
    pub ages: (Duration, Duration),
    /// How many.
    pub count: u32,
    /// Age of the connection, from its SYN; `None` where that was not captured.
    pub connection: Option<Duration>,
    /// Whether it had one request alone, which was sent as soon as it could be: the timer that
    /// ended it may have begun with the connection.
    pub from_start: bool,
}

impl Doubt {
    /// Whether the client closed the connection, rather than to reset streams.
    pub fn is_close(&self) -> bool {
        !matches!(self.about, About::Cancels(_))
    }
}

/// What a doubt is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The cancellation with this index.
    Cancels(usize),
    /// The GOAWAY with this index.
    Goaway(usize),
    /// The end without GOAWAY.
    End,
}

pub(super) fn of(history: &History, judged: &Judged) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    // Where answers may be missing, or a side was not captured, who still waited is not known.
    let unheard = history.tcp.first.unheard || history.tcp.second.unheard;
    if history.has_loss() || unheard {
        return doubts;
    }
    for (index, set) in judged.cancellations.iter().enumerate() {
        if set.cause != Cause::ClientCancelBurst || set.by != Side::Client {
            continue;
        }
        let ages = resets_of(history, set).filter_map(Reset::age);
        doubts.extend(doubt(About::Cancels(index), set.last, ages));
    }
    for (index, (follows, verdict)) in judged.goaways.iter().enumerate() {
        let scene = Scene::of_goaway(history, index, &[], None).filter(|_| follows.is_none());
        // What only answers the client's close stands for that.
        let scene = scene.map(|scene| scene.of_answered_close().unwrap_or(scene));
        doubts.extend(scene.and_then(|scene| of_close(About::Goaway(index), &scene, verdict)));
    }
    if let Some(verdict) = &judged.end {
        let scene = Scene::of_end(history, &[]);
        doubts.extend(scene.and_then(|scene| of_close(About::End, &scene, verdict)));
    }
    doubts
}

/// A close by the client while requests waited.
fn of_close(about: About, scene: &Scene<'_>, verdict: &Verdict) -> Option<Doubt> {
    let open = [Cause::AbruptClose, Cause::ClientShutdown, Cause::Unknown];
    let lone = verdict.cause == Cause::ClientRequestTimeout
        && verdict.trigger == verdict.cause
        && verdict.confidence.value() < SURE;
    if scene.by != Side::Client || !(lone || open.contains(&verdict.cause)) {
        return None;
    }
    let waiting = scene.waiting().filter_map(|stream| stream.opened);
    let doubt = doubt(about, scene.at, waiting.map(|opened| scene.at.since(opened)))?;
    let connection = scene.history.syn.map(|syn| scene.at.since(syn));
    Some(Doubt { connection, from_start: scene.is_first_errand(), ..doubt })
}

fn doubt(about: About, at: Stamp, ages: impl Iterator<Item = Duration>) -> Option<Doubt> {
    let ages: Vec<Duration> = ages.collect();
    let (least, most) = (*ages.iter().min()?, *ages.iter().max()?);
    let narrow = most.saturating_sub(least) <= most.mul_f64(0.1) + MOMENT;
    let (ages, count) = ((least, most), ages.len() as u32);
    let known = Doubt { about, at, ages, count, connection: None, from_start: false };
    (narrow && most >= SHORTEST_PING).then_some(known)
}
