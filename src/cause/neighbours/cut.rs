//! Connections that the server cut with requests open: at one age of the connection, or when what
//! waited was of one age.

use super::common::Common;
use super::{Ending, OLD, RARE, Revision, UNDECIDED, reasons};
use crate::vocab::cause::{Blame, Cause, Confidence};

/// Connections that the server cut with requests open, all at one age: it ends them when that is
/// reached, whatever runs.
pub(super) fn cut_at_age(ending: &Ending, elsewhere: &[&Ending]) -> Option<Revision> {
    ending.age.filter(|age| ending.is_cut() && *age >= OLD)?;
    let all: Vec<&Ending> = elsewhere.iter().copied().filter(|other| other.is_cut()).collect();
    let ages = Common::of(ending, &all, |e| e.age)?;
    let nearer = |of: Option<Common<'_>>| of.is_some_and(|of| !ages.is_closer_than(&of));
    let by_wait = Common::of(ending, &all, |e| e.waited.map(|(waited, _)| waited));
    let rivals = [by_wait, Common::of(ending, elsewhere, |e| e.idle)];
    let few = ages.alike.len() < 2 || ages.by_chance > RARE;
    if few || rivals.into_iter().any(nearer) {
        return None;
    }
    let mut aged = reasons::age(ending, &ages.alike, 0.85);
    aged.blame = Blame::Server;
    Some(aged)
}

/// Connections that the server cut with requests open, when what waited was of one age.
pub(super) fn waited(ending: &Ending, elsewhere: &[&Ending]) -> Option<Revision> {
    let cut = |e: &Ending| e.is_cut();
    ending.waited.filter(|_| cut(ending))?;
    let all: Vec<&Ending> = elsewhere.iter().copied().filter(|other| cut(other)).collect();
    let by_wait = Common::of(ending, &all, |e| e.waited.map(|(waited, _)| waited))?;
    let by_silence = Common::of(ending, elsewhere, |e| e.idle);
    if by_wait.by_chance > RARE {
        return None;
    }
    let Some(silence) = by_silence.filter(|silence| !by_wait.is_closer_than(silence)) else {
        return Some(reasons::request_timeout(ending, &by_wait));
    };
    // Nothing came after the request: both began with it. Where connections went the same way
    // with nothing open, what counts is the silence.
    if silence.alike.iter().any(|other| other.unanswered == 0) {
        return None;
    }
    let mut revision = reasons::idle(ending, &silence);
    revision.most = Confidence::new(UNDECIDED);
    revision.confidence = revision.confidence.and(revision.most);
    revision.rival = Some((Cause::ServerRequestTimeout, Confidence::new(0.6)));
    Some(revision)
}
