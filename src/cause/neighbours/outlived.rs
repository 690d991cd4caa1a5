//! Connections of the server that were silent for longer than one that was told to be idle.

use std::time::Duration;

use super::{Ending, Revision, reasons};
use crate::vocab::cause::Cause;

/// By how much another connection of the server was silent for longer than this one, where that is
/// more than a timer may be late: so many times, and a second.
pub(super) fn outlived(ending: &Ending, elsewhere: &[&Ending]) -> Option<f64> {
    let idle = ending.idle.filter(|_| ending.is_idle())?;
    let others = elsewhere.iter().filter(|other| other.is_idle());
    let longest = others.map(|other| other.quiet).max()?.checked_sub(Duration::from_secs(1))?;
    let times = longest.as_secs_f64() / idle.as_secs_f64().max(1e-3);
    (times > 1.25).then_some(times)
}

/// An idle timer that other connections of the server outlived in silence.
pub(super) fn doubted(ending: &Ending, elsewhere: &[&Ending]) -> Option<Revision> {
    let idle = ending.idle.filter(|_| ending.cause == Cause::IdleTimeout && ending.is_idle())?;
    let outlived = outlived(ending, elsewhere);
    let why = "the server left another of its connections idle for longer";
    // Some look for idle connections only now and then, up to twice the time later.
    if outlived.is_some_and(|times| times > 2.2) {
        return Some(reasons::doubt(ending, Cause::GracefulShutdown, 0.4, why));
    }
    let unlike = elsewhere.iter().filter(|other| other.is_idle()).filter(|other| {
        let width = idle.mul_f64(0.25) + Duration::from_secs(1);
        other.idle.is_some_and(|other| other.abs_diff(idle) > width)
    });
    let unlike = unlike.count() >= 2;
    let why =
        if outlived.is_some() { why } else { "its other connections ended after other silences" };
    let doubted = outlived.is_some() || unlike;
    doubted.then(|| reasons::doubt(ending, Cause::GracefulShutdown, 0.6, why))
}
