//! The second pass: some endings show only by their neighbours. Several connections of one server
//! that end in one moment are a drain; equal idle gaps at different moments are an idle timer;
//! equal ages are a maximum age; equal counts are a maximum of requests.
//!
//! Works on facts of finished connections in their order, so that neither the order in which they
//! ended nor the number of shards can be seen in the result.

mod common;
mod cut;
mod endings;
mod outlived;
mod reasons;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::vocab::address::Endpoint;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::time::Stamp;
use crate::vocab::verdict::{Evidence, Timeout, Verdict};

use self::common::{Common, crossing, is_spread, same};
use self::cut::{cut_at_age, waited};
pub use self::endings::endings;
use self::outlived::{doubted, outlived};
pub use self::reasons::apply;
use super::chance::{is_setting, round_value};
use super::scene::UNSEEN;

/// One ending by a server, as the second pass sees it.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Place of the connection, and of the GOAWAY in it; `None` for an end without.
    pub place: (usize, Option<usize>),
    /// What its connection is told by.
    pub number: usize,
    /// The client.
    pub client: Endpoint,
    /// The server.
    pub server: Endpoint,
    /// When it ended.
    pub at: Stamp,
    /// First packet of the connection.
    pub first: Stamp,
    /// Since when no stream had been open, or no octet had come.
    pub idle_since: Stamp,
    /// For how long.
    pub idle: Option<Duration>,
    /// For how long no octet had come from either side.
    pub quiet: Duration,
    /// Age of the connection; `None` where it was joined midway.
    pub age: Option<Duration>,
    /// Requests it had served or was serving.
    pub requests: u64,
    /// The newest request.
    pub newest: Option<(u32, Stamp)>,
    /// Ages between which a limit was passed that the end in answer to the newest request noticed:
    /// when the server last spoke before, and when that request came.
    pub crossed: Option<(Duration, Duration)>,
    /// How long the oldest request had waited whose answer had not begun, and its packet.
    pub waited: Option<(Duration, Stamp)>,
    /// Whether a GOAWAY announced it.
    pub announced: bool,
    /// Requests that were not answered.
    pub unanswered: usize,
    /// Whether frames of it, or a whole side, may be missing from the capture.
    pub incomplete: bool,
    /// Whether a rule was broken right before: that is what it answers.
    pub offended: bool,
    /// Whether it ended like a connection that its host does not know.
    pub stranger: bool,
    /// Whether the end is orderly: NO_ERROR, or a FIN that nobody's request is lost by.
    pub orderly: bool,
    /// What the first pass said.
    pub cause: Cause,
    /// How sure it was.
    pub confidence: Confidence,
}

impl Ending {
    /// Whether it may be the end of a connection that had grown old.
    fn is_aged(&self) -> bool {
        self.orderly && self.age.is_some_and(|age| age >= OLD)
    }

    /// Time since the newest request, where one is open.
    fn since_newest(&self) -> Option<Duration> {
        self.newest.map(|(_, newest)| self.at.since(newest))
    }

    /// Whether it may be the answer to the newest request: a limit that this request reached.
    fn is_at_limit(&self) -> bool {
        self.orderly && self.since_newest().is_some_and(|since| since <= AT_LIMIT)
    }

    /// Whether it ended a silence in which nothing was asked for.
    fn is_idle(&self) -> bool {
        self.orderly && self.unanswered == 0 && self.requests > 0 && self.is_silent()
    }

    /// Whether it was cut with requests open. Where something is missing, answers may be.
    fn is_cut(&self) -> bool {
        !self.announced && self.unanswered > 0 && !self.incomplete && !self.stranger
    }

    fn is_silent(&self) -> bool {
        self.idle.is_some_and(|idle| idle >= SILENT)
    }
}

/// Younger connections end for what was done on them.
const OLD: Duration = Duration::from_secs(1);

/// A limit that a request reaches is told this soon.
const AT_LIMIT: Duration = Duration::from_millis(30);

/// Shorter silences are none.
const SILENT: Duration = Duration::from_millis(400);

/// A better reason for an ending, or a doubt about the one it has.
#[derive(Clone, Debug)]
pub struct Revision {
    /// Place of the connection, and of the GOAWAY in it.
    pub place: (usize, Option<usize>),
    /// The reason.
    pub cause: Cause,
    /// How sure.
    pub confidence: Confidence,
    /// How sure the reason of the first pass may still be.
    pub most: Confidence,
    /// Another reason that is about as likely.
    pub rival: Option<(Cause, Confidence)>,
    /// What the others did, where that speaks against the reason of the first pass.
    pub clause: Option<&'static str>,
    /// One sentence.
    pub summary: String,
    /// The timer, where one was measured.
    pub timeout: Option<Timeout>,
    /// Who has to change something.
    pub blame: Blame,
    /// What it rests on: where the span began, and the neighbours' endings.
    pub evidence: Vec<Evidence>,
}

/// Neighbours that a verdict names.
const NAMED: usize = 3;

/// Endings of a server that are looked at before and after one, nearest in time: a server that
/// ends thousands of connections is judged in linear time.
const NEAR: usize = 128;

/// Endings this close are one moment.
const MOMENT: Duration = Duration::from_millis(50);

/// Causes that the neighbours may revise: those that orderly frames alone cannot tell apart.
const OPEN: &[Cause] = &[
    Cause::IdleTimeout,
    Cause::GracefulShutdown,
    Cause::MaxConnectionAge,
    Cause::MaxRequestsPerConnection,
    Cause::AbruptClose,
    Cause::ServerRequestTimeout,
    Cause::Unknown,
];

/// Looks at the endings of each server together.
pub fn revise(endings: &[Ending], refused: &[(Endpoint, Stamp)]) -> Vec<Revision> {
    let mut by_server: BTreeMap<Endpoint, Vec<&Ending>> = BTreeMap::new();
    // Without times everything is one moment.
    let timed = |ending: &&Ending| ending.first.at != ending.at.at;
    for ending in endings.iter().filter(|ending| OPEN.contains(&ending.cause)).filter(timed) {
        by_server.entry(ending.server).or_default().push(ending);
    }
    let mut revisions = Vec::new();
    for (server, mut group) in by_server {
        group.sort_by_key(|ending| (ending.at.order(), ending.place));
        let refusals: Vec<Stamp> =
            refused.iter().filter(|(of, _)| *of == server).map(|(_, stamp)| *stamp).collect();
        for (place, ending) in group.iter().enumerate() {
            if ending.confidence.value() < 0.92 && !ending.offended {
                let near = place.saturating_sub(NEAR)..(place + NEAR + 1).min(group.len());
                let near = group.get(near).unwrap_or_default();
                revisions.extend(judge(ending, near, &refusals));
            }
        }
    }
    revisions
}

/// Whether an idle time is told that nothing confirms, neither its value, nor a text, nor another
/// connection.
pub fn is_lone_silence(verdict: &Verdict) -> bool {
    let idle = verdict.timeout.as_ref().filter(|of| of.kind == Cause::IdleTimeout);
    let lone = idle.is_some_and(|idle| idle.samples == 1 && !idle.at_least);
    verdict.cause == Cause::IdleTimeout && lone && verdict.confidence.value() < CONFIRMED
}

/// Takes back most of what such a silence says, where neighbours may be missing.
pub fn doubt_lone_silence(verdict: &mut Verdict) {
    if is_lone_silence(verdict) && verdict.confidence > UNSEEN {
        verdict.confidence = UNSEEN;
        verdict.add_clause("what other connections of the server did is not all in the capture");
    }
}

/// From here on something confirms a silence.
const CONFIRMED: f64 = 0.7;

fn judge(ending: &Ending, group: &[&Ending], refusals: &[Stamp]) -> Option<Revision> {
    if ending.stranger {
        return None;
    }
    let others = || group.iter().copied().filter(|other| other.place.0 != ending.place.0);
    let mut elsewhere: Vec<&Ending> =
        others().filter(|other| other.at.apart(ending.at) > MOMENT * 4).collect();
    // Opened together and ended together, they say one thing once.
    elsewhere.dedup_by(|b, a| {
        b.at.apart(a.at) <= MOMENT && b.first.apart(a.first) <= MOMENT && b.client.ip == a.client.ip
    });
    let together: Vec<&Ending> =
        others().filter(|other| other.at.apart(ending.at) <= MOMENT).collect();
    limit(ending, &elsewhere)
        .or_else(|| cut_at_age(ending, &elsewhere))
        .or_else(|| waited(ending, &elsewhere))
        .or_else(|| timer(ending, &elsewhere, &Moments(group)))
        .or_else(|| moment(ending, &together, refusals))
        .or_else(|| doubted(ending, &elsewhere))
}

/// Ends in answer to a request: a count or an age that it reached.
fn limit(ending: &Ending, elsewhere: &[&Ending]) -> Option<Revision> {
    if !ending.is_at_limit() || ending.requests < 2 {
        return None;
    }
    let at_limit = || elsewhere.iter().copied().filter(|other| other.is_at_limit());
    let counted = |other: &&Ending| other.requests == ending.requests;
    let (alike, odd): (Vec<&Ending>, Vec<&Ending>) = at_limit().partition(counted);
    // What was on its way counts, too.
    let room = ending.requests + (ending.requests / 10).max(10);
    let exceeded = elsewhere.iter().any(|other| other.requests > room);
    if !alike.is_empty() && alike.len() >= odd.len() * 2 && !exceeded {
        let mut counted = reasons::requests(ending, &alike);
        // Two small numbers are the same by chance.
        let few = alike.len() == 1 && ending.requests < 50;
        let sure = if few { if ending.requests < 15 { 0.7 } else { 0.79 } } else { 1.0 };
        counted.confidence = counted.confidence.and(Confidence::new(sure));
        // Connections that live at one pace reach a count and an age together.
        let aged = crossing(ending, &alike).filter(|((from, to), by_chance)| {
            *by_chance < 0.06 && Duration::from_secs(to.as_secs()) > *from
        });
        if aged.is_some() {
            counted.confidence = counted.confidence.and(Confidence::new(0.55));
            counted.rival = Some((Cause::MaxConnectionAge, Confidence::new(0.5)));
        }
        return Some(counted);
    }
    let all: Vec<&Ending> = at_limit().collect();
    if let Some((span, by_chance)) = crossing(ending, &all).filter(|_| alike.len() < all.len()) {
        let confidence = match by_chance {
            by_chance if by_chance < 0.01 => 0.86,
            by_chance if by_chance < 0.06 => 0.76,
            _ => 0.5,
        };
        let mut aged = reasons::age_at_request(ending, &all, span, confidence);
        if ending.cause == Cause::MaxRequestsPerConnection {
            aged.most = Confidence::new(0.5);
        }
        return Some(aged);
    }
    let refuted = ending.cause == Cause::MaxRequestsPerConnection && (exceeded || !odd.is_empty());
    refuted.then(|| {
        let why = "the server's other connections ended after other numbers of requests";
        reasons::doubt(ending, Cause::GracefulShutdown, 0.4, why)
    })
}

/// Two mechanisms that the endings do not tell apart.
const UNDECIDED: f32 = 0.66;

/// Who cuts off what waits hardly has a timer: agreement by chance must be this rare.
const RARE: f64 = 0.002;

/// Equal silences, or equal ages, at different moments.
fn timer(ending: &Ending, elsewhere: &[&Ending], moments: &Moments<'_>) -> Option<Revision> {
    // Who announces the end of requests that wait counts no silence.
    let silent = ending.is_silent() && !(ending.announced && ending.waited.is_some());
    let silences = Common::of(ending, elsewhere, |e| e.idle).filter(|_| silent);
    let fits = |other: &&Ending| may_be_age(ending, other) && !moments.ended(ending, other);
    let of_age: Vec<&Ending> = elsewhere.iter().copied().filter(fits).collect();
    let ages = Common::of(ending, &of_age, |e| e.age).filter(|_| ending.is_aged());
    // What ended many at once is not a single other's age.
    let ages = ages.filter(|ages| !moments.is_crowd(ending) || ages.alike.len() > 1);
    let alone = moments.of(ending) == 1;
    // Who closes in good order has a reason; who cuts off what waits hardly has a timer.
    let most = if ending.orderly { 0.05 } else { RARE };
    let (silences, ages) =
        (silences.filter(|s| s.by_chance <= most * 6.0), ages.filter(|a| a.by_chance <= 0.1));
    let by_age = |ages: &Common<'_>| {
        let confidence = match (ages.alike.len(), ages.by_chance) {
            (_, by_chance) if by_chance > 0.03 => 0.6,
            (1, by_chance) if by_chance > 0.01 => 0.75,
            (1, _) => 0.82,
            _ => 0.9,
        };
        let mut aged = reasons::age(ending, &ages.alike, confidence);
        if confidence > 0.7 {
            aged.most = Confidence::new(0.6);
        }
        aged
    };
    let coarse = is_coarse(ending, elsewhere);
    match (silences, ages) {
        (Some(silences), None) => Some(by_silence(ending, &silences, elsewhere)),
        (Some(silences), Some(ages)) => Some(match weigh(ending, &silences, &ages) {
            Weighed::Silence => by_silence(ending, &silences, elsewhere),
            Weighed::Age => by_age(&ages),
            Weighed::Neither => {
                let mut idle = reasons::idle(ending, &silences);
                idle.most = Confidence::new(UNDECIDED);
                idle.confidence = idle.confidence.and(idle.most);
                idle.rival = Some((Cause::MaxConnectionAge, Confidence::new(0.5)));
                idle
            }
        }),
        (None, Some(ages)) if !coarse || ages.by_chance < RARE => {
            let one = by_age(&ages);
            let many = if alone { spread(ending, elsewhere, moments) } else { None };
            many.filter(|many| many.confidence > one.confidence).or(Some(one))
        }
        (None, _) if alone && !coarse => spread(ending, elsewhere, moments),
        _ => None,
    }
}

/// So many others that end in one moment were ended by one decision, as likely as by their age.
const CROWD: usize = 2;

/// Endings of a server in order of time.
struct Moments<'a>(&'a [&'a Ending]);

impl Moments<'_> {
    /// How many ended in the moment of this one, with it.
    fn of(&self, ending: &Ending) -> usize {
        let at = ending.at.at;
        let from = self.0.partition_point(|other| other.at.at.plus(MOMENT) < at);
        let to = self.0.partition_point(|other| other.at.at <= at.plus(MOMENT));
        to.saturating_sub(from)
    }

    fn is_crowd(&self, ending: &Ending) -> bool {
        self.of(ending) > CROWD
    }

    /// Whether another one of the same age ended in a crowd in which this one was not.
    fn ended(&self, ending: &Ending, other: &Ending) -> bool {
        same(other.age, ending.age) && self.is_crowd(other) && !self.is_crowd(ending)
    }
}

/// Whether all silences of the server lie within the second or so that a timer is late which looks
/// for idle connections now and then.
fn is_coarse(ending: &Ending, elsewhere: &[&Ending]) -> bool {
    let Some(idle) = ending.idle.filter(|_| ending.is_idle()) else { return false };
    let near = |other: &&&Ending| other.idle.is_some_and(|other| other.abs_diff(idle) <= TICK);
    let all = || elsewhere.iter().filter(|other| other.is_idle());
    idle >= TICK * 3 && all().next().is_some() && all().filter(near).count() == all().count()
}

/// How late such a timer may be.
const TICK: Duration = Duration::from_millis(1_100);

/// An idle timer, the less sure the more likely silences agree by chance.
fn by_silence(ending: &Ending, silences: &Common<'_>, elsewhere: &[&Ending]) -> Revision {
    let mut idle = reasons::idle(ending, silences);
    let most = if ending.orderly { 1.0 } else { 0.04 };
    let agreed = match (silences.alike.len(), silences.by_chance / most) {
        (_, by_chance) if by_chance > 0.05 => 0.6,
        (1, by_chance) if by_chance > 0.01 => 0.78,
        _ => 1.0,
    };
    let outlived = outlived(ending, elsewhere).is_some() && silences.alike.len() < 3;
    let agreed = if outlived { 0.6 } else { agreed };
    idle.confidence = idle.confidence.and(Confidence::new(agreed));
    idle
}

/// Whether two ends may both be of one age: where the time since the newest request is as constant
/// as the age, the request did it.
fn may_be_age(ending: &Ending, other: &Ending) -> bool {
    other.is_aged() && !same(other.since_newest(), ending.since_newest())
}

/// What two quantities that both agree speak for.
enum Weighed {
    Silence,
    Age,
    Neither,
}

/// Connections that lived alike agree in everything: the timer's own quantity agrees most closely,
/// and is round.
fn weigh(ending: &Ending, silences: &Common<'_>, ages: &Common<'_>) -> Weighed {
    let round = |span: Option<Duration>| span.and_then(round_value).is_some();
    match silences.alike.len().cmp(&ages.alike.len()) {
        std::cmp::Ordering::Greater => return Weighed::Silence,
        std::cmp::Ordering::Less if ages.by_chance < silences.by_chance => return Weighed::Age,
        _ => {}
    }
    match (round(ending.idle), round(ending.age)) {
        _ if silences.is_closer_than(ages) => Weighed::Silence,
        _ if ages.is_closer_than(silences) => Weighed::Age,
        (true, false) => Weighed::Silence,
        (false, true) => Weighed::Age,
        _ => Weighed::Neither,
    }
}

/// Ages that lie as close together as a server spreads one setting.
fn spread(ending: &Ending, elsewhere: &[&Ending], moments: &Moments<'_>) -> Option<Revision> {
    let aged = elsewhere.iter().filter(|other| other.is_aged() && other.announced).count();
    // Requests at a pace are about as old wherever a timer falls; what a request does by itself,
    // it does after one time.
    let request = |other: &Ending| {
        let since = other.since_newest().zip(ending.since_newest());
        let width = |of: Duration| of.mul_f64(0.005) + Duration::from_millis(2);
        since.is_some_and(|(a, b)| a.abs_diff(b) <= width(a))
    };
    let fits = |other: &&Ending| {
        let aged = other.is_aged() && other.announced && is_spread(ending, other);
        aged && !request(other) && !moments.ended(ending, other)
    };
    let alike: Vec<&Ending> = elsewhere.iter().copied().filter(fits).collect();
    // Ends of every age have neighbours of about one age by chance.
    let most = alike.len() >= 2 && alike.len() * 5 >= aged * 4;
    (most && ending.is_aged() && ending.announced).then(|| {
        let confidence = if alike.len() >= 4 { 0.8 } else { 0.76 };
        let mut aged = reasons::age(ending, &alike, confidence);
        aged.most = Confidence::new(0.6);
        aged
    })
}

/// Endings in one moment, or right before the server refuses: it went away.
fn moment(ending: &Ending, together: &[&Ending], refusals: &[Stamp]) -> Option<Revision> {
    // A busy connection was silent for as long by chance, unless its timer counts octets.
    let unused = ending.unanswered == 0 && together.iter().all(|other| other.unanswered == 0);
    let counts_octets = ending.idle.is_some_and(is_setting);
    let alike = together.iter().all(|other| same(other.idle, ending.idle));
    let timed = ending.is_silent() && alike && (counts_octets || unused);
    let cut = |e: &Ending| e.is_cut();
    // Who ended it, and how it stood, may be in what is missing.
    if !ending.announced && ending.incomplete {
        return None;
    }
    if !together.is_empty() && cut(ending) {
        return Some(reasons::death(ending, together));
    }
    if !together.is_empty() && !timed {
        // Connections that lived alike in lockstep reach any limit together.
        let old = |other: &&Ending| {
            same(other.age, ending.age) && ending.age.and_then(round_value).is_some()
        };
        let counted = |other: &&Ending| {
            ending.is_at_limit() && other.is_at_limit() && other.requests == ending.requests
        };
        let mut drained = reasons::drain(ending, together, None);
        drained.most = Confidence::new(if ending.cause == Cause::IdleTimeout { 0.45 } else { 1.0 });
        if ending.requests > 1 && together.iter().all(counted) {
            // A count that nobody sets is hardly a limit.
            let round = ending.requests.is_multiple_of(10);
            let (sure, most) = if round || together.len() < 2 { (0.5, 1.0) } else { (0.55, 0.5) };
            drained.confidence = drained.confidence.and(Confidence::new(sure));
            drained.most = drained.most.and(Confidence::new(most));
        } else if together.iter().all(old) {
            drained.confidence = drained.confidence.and(Confidence::new(0.6));
        }
        if !ending.announced && together.iter().any(|other| cut(other)) {
            drained.confidence = drained.confidence.and(Confidence::new(0.5));
            drained.most = Confidence::new(0.45);
        }
        return Some(drained);
    }
    let gone = refusals.iter().find(|stamp| {
        ending.at.before(**stamp) && stamp.since(ending.at) <= Duration::from_secs(5)
    })?;
    let orderly = !ending.is_silent() && ending.orderly;
    orderly.then(|| reasons::drain(ending, &[], Some(*gone)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::Talk;
    use super::*;

    /// A connection with a request open that is cut off without a word.
    fn cut(asked: f64, at: f64) -> Talk {
        Talk::opened().served(5.0, 1).get(asked, 3).s(at, "FIN")
    }

    #[test]
    fn many_cut_off_at_once_died_and_were_not_drained() {
        let two = cut(300.0, 900.0).again(2, 111.0, &cut(410.0, 797.0));
        let verdict = two.is(Cause::AbruptClose, 0.8);
        verdict.blames(Blame::Server);
        let three = two.again(3, 222.0, &cut(120.0, 689.0));
        three.is(Cause::AbruptClose, 0.9).shows(&["FIN"]);
        // Nothing was open on any of them: they were let go.
        let idle = |asked: f64, at: f64| Talk::opened().served(asked, 1).s(at, "FIN");
        let drained = idle(5.0, 260.0).again(2, 60.0, &idle(50.0, 203.0));
        let drained = drained.again(3, 90.0, &idle(70.0, 171.0));
        let cause = drained.told().cause;
        assert_eq!(cause, Cause::GracefulShutdown);
    }

    #[test]
    fn what_holes_hide_is_no_death_however_often() {
        let torn = |asked: f64, at: f64| {
            Talk::opened().served(5.0, 1).get(asked, 3).hole(asked + 9.0).s(at, "FIN")
        };
        let talk = torn(300.0, 900.0).again(2, 111.0, &torn(410.0, 797.0));
        let talk = talk.again(3, 222.0, &torn(120.0, 689.0));
        for verdict in talk.all_told() {
            assert_eq!(verdict.cause, Cause::Unknown, "{}", verdict.summary);
        }
    }

    #[test]
    fn the_neighbours_stand_in_the_chain() {
        let one = |asked: f64, at: f64| {
            Talk::opened().served(15.0, 1).get(asked, 3).s(at, "GOAWAY 3 NO_ERROR")
        };
        let talk = one(660.0, 871.0).again(2, 30.0, &one(640.0, 846.0));
        let talk = talk.again(3, 172.0, &one(500.0, 690.0));
        let board = super::super::tests::judged(&talk.script());
        let last = board.connections.iter().max_by_key(|row| row.goaways[0].stamp.order());
        let verdict = &last.unwrap().goaways[0].verdict;
        assert_eq!(verdict.cause, Cause::GracefulShutdown, "{}", verdict.summary);
        let at = verdict.chain.last().map(|fact| fact.stamp).unwrap();
        let neighbours: Vec<_> =
            verdict.chain.iter().filter(|fact| fact.what == "neighbour").collect();
        assert!(!neighbours.is_empty(), "{:?}", verdict.chain);
        assert!(neighbours.iter().all(|fact| fact.stamp.before(at)));
    }

    #[test]
    fn young_connections_end_for_what_was_done_on_them() {
        // A handler that fails 160 ms after each request: the ages agree, and so do the waits.
        let young = Talk::opened().get(10.0, 1).s(170.0, "GOAWAY 1 NO_ERROR").s(170.4, "FIN");
        let talk = young.clone().again(2, 2311.0, &young).again(3, 4789.0, &young);
        let verdict = talk.told();
        assert_ne!(verdict.cause, Cause::MaxConnectionAge, "{}", verdict.summary);
        // The same with older ones: what is constant is the time since the request.
        let old = Talk::opened().get(3010.0, 1).s(3170.0, "GOAWAY 1 NO_ERROR");
        let talk = old.clone().again(2, 5311.0, &old).again(3, 11_789.0, &old);
        assert_ne!(talk.told().cause, Cause::MaxConnectionAge);
    }

    #[test]
    fn the_spread_is_that_of_all_and_many_are_judged_by_their_nearest() {
        // Each ended at one age, the newest request at another time before.
        let aged = |age: f64, since: f64| {
            Talk::opened().served(age - since, 1).s(age, "GOAWAY 1 NO_ERROR")
        };
        let talk = aged(2337.0, 90.0).again(2, 700.0, &aged(2349.0, 310.0));
        let talk = talk.again(3, 1900.0, &aged(2343.0, 200.0));
        let timeout = talk.is(Cause::MaxConnectionAge, 0.85).timeout.unwrap();
        assert_eq!(timeout.samples, 3);
        assert!((timeout.spread_seconds - 0.006).abs() < 0.0005, "{timeout:?}");
        let many = (2..3 * NEAR as u16).fold(aged(2337.0, 90.0), |talk, number| {
            let since = 90.0 + f64::from(number % 5) * 60.0;
            talk.again(number, f64::from(number) * 700.0, &aged(2337.0, since))
        });
        let timeout = many.is(Cause::MaxConnectionAge, 0.85).timeout.unwrap();
        assert!((2..=NEAR + 1).contains(&(timeout.samples as usize)), "{timeout:?}");
    }

    #[test]
    fn a_rule_broken_right_before_is_the_reason() {
        let broken = || {
            let talk = Talk::opened().served(10.0, 1).get(1940.0, 3).c(2000.0, "DATA 0 3");
            talk.s(2001.0, "GOAWAY 3 NO_ERROR").s(2001.4, "FIN")
        };
        let talk = broken().again(2, 3311.0, &broken()).again(3, 7789.0, &broken());
        talk.is(Cause::ProtocolViolation, 0.8).blames(Blame::Client);
    }
}
