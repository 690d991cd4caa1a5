//! Octets that TCP sent again and again without an acknowledgement: the path, or the other host,
//! was dead. What left its sender in that time did not arrive, and says nothing of its moment.

use std::time::Duration;

use crate::track::history::{History, Reset};
use crate::vocab::address::Side;
use crate::vocab::cause::Blame;
use crate::vocab::flow::Stall;
use crate::vocab::time::Stamp;
use crate::vocab::verdict::Step;

use super::evidence;
use super::scene::{Scene, spoken};

/// One octet is lost now and then, and its first copy; not each of them.
const OFTEN: u32 = 3;

/// A path that stands still for less is no path that is dead.
const LONG: Duration = Duration::from_millis(500);

/// How long after its first acknowledgement a sender still empties its buffer.
const CATCHING_UP: Duration = Duration::from_millis(100);

fn of(history: &History, side: Side) -> Option<&Stall> {
    let stall = history.tcp.side(side).stall.as_ref()?;
    (stall.again >= OFTEN && stall.span() >= LONG).then_some(stall)
}

/// Octets of a side that were never acknowledged to the end, though sent again often.
pub fn at_end<'a>(scene: &Scene<'a>, side: Side) -> Option<&'a Stall> {
    let stall = of(scene.history, side)?;
    // One that has just healed brings what was said while it lasted.
    let over = stall.until.is_none_or(|until| scene.at.since(until) <= CATCHING_UP);
    (over && stall.from.before(scene.at)).then_some(stall)
}

/// What a stall is, as a clause.
fn told(side: Side, stall: &Stall) -> String {
    let (again, span) = (stall.again, spoken(stall.span()));
    let side = side.name();
    format!(
        "TCP sent the {side}'s octets again {again} times within {span} and had no \
         acknowledgement{}",
        if stall.until.is_some() { " before that" } else { "" }
    )
}

/// A side spoke to a path that was dead: nobody else is to blame.
pub fn tell(side: Side, step: &mut Step, stall: &Stall) {
    let peer = side.other().name();
    let told = told(side, stall);
    step.blame = Blame::Network;
    step.summary.push_str(&format!(" {told}: the path, or the {peer}'s host, was dead."));
    step.evidence.push(evidence::on_connection(stall.from, side, "retransmission", told));
}

/// Whose octets did not arrive when a reset, or its request, left, or right before: what lies
/// between the two on the wire is not how long the request waited where they are its sender's, and
/// where they are its peer's the answer may only have been lost.
pub fn blurs(history: &History, reset: &Reset) -> Option<Side> {
    let within = |stall: &Stall, at: Stamp| {
        let over = stall.until.unwrap_or(stall.last);
        !at.before(stall.from) && (at.before(over) || at.since(over) <= CATCHING_UP)
    };
    let own = of(history, reset.by).is_some_and(|stall| {
        within(stall, reset.stamp) || reset.opened.is_some_and(|opened| within(stall, opened))
    });
    let peer = reset.by.other();
    let answers = || of(history, peer).is_some_and(|stall| within(stall, reset.stamp));
    own.then_some(reset.by).or_else(|| answers().then_some(peer))
}

/// What a dead path did to the requests of a connection that went on, or that is not over.
#[derive(Clone, Copy, Debug)]
pub struct Harm {
    /// Whose octets did not arrive.
    pub side: Side,
    /// For how long, and how often they were sent again.
    pub stall: Stall,
    /// Requests that were given up meanwhile, or that waited in vain to the end.
    pub requests: u64,
}

/// The worst of a connection; `None` where no request was harmed.
pub fn harm(history: &History) -> Option<Harm> {
    let of_side = |side: Side| {
        let stall = *of(history, side).filter(|stall| stall.span() >= LONG * 2)?;
        let given_up = history.cancels().filter(|reset| blurs(history, reset) == Some(side));
        let lasting = stall.until.is_none();
        let open = history.open.iter().filter(|of| of.by == Side::Client && lasting);
        let requests = given_up.count() as u64 + open.count() as u64;
        (requests > 0).then_some(Harm { side, stall, requests })
    };
    [Side::Client, Side::Server].into_iter().filter_map(of_side).max_by_key(|harm| harm.requests)
}
