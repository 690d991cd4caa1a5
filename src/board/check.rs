//! Whether a report is what a team wants of its service: for CI and load tests.
//!
//! Takes a digest and rules, gives what was checked and what broke. Draws no conclusion of its own.

use std::collections::BTreeMap;

use serde::Serialize;

use super::digest::{Connection, Digest, Judged};
use crate::vocab::cause::{Cause, Confidence};
use crate::vocab::text::{count, span};

/// What must not be.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Causes that must not be found; without any, each that somebody has to answer for.
    pub deny: Vec<Cause>,
    /// Causes that may be: an ending passes where each link of its chain is among them.
    pub allow: Vec<Cause>,
    /// Verdicts below this are not held against anybody.
    pub min_confidence: f64,
    /// GOAWAYs at most.
    pub max_goaways: Option<u64>,
    /// GOAWAYs with an error code at most.
    pub max_error_goaways: Option<u64>,
    /// Cancelled requests at most.
    pub max_cancelled: Option<u64>,
    /// Share of requests that may be cancelled.
    pub max_cancelled_share: Option<f64>,
    /// Requests that may go away with their connection.
    pub max_died: Option<u64>,
    /// Seconds within which each server answers.
    pub max_answer: Option<f64>,
    /// Seconds within which each server gives 99 of 100 answers.
    pub max_p99: Option<f64>,
    /// Share of the client's timeout within which each server answers.
    pub max_answer_share: Option<f64>,
    /// The client's timeout in seconds; else the measured one.
    pub client_timeout: Option<f64>,
    /// Share of the traffic that the capture may lack.
    pub max_loss: f64,
    /// Requests that must have been seen: a check that saw nothing has not passed.
    pub min_requests: u64,
    /// Whether settings that do not fit together fail.
    pub deny_conflicts: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            deny: Vec::new(),
            allow: Vec::new(),
            min_confidence: LIKELY,
            max_goaways: None,
            max_error_goaways: None,
            max_cancelled: None,
            max_cancelled_share: None,
            max_died: None,
            max_answer: None,
            max_p99: None,
            max_answer_share: None,
            client_timeout: None,
            max_loss: MAX_LOSS,
            min_requests: 1,
            deny_conflicts: false,
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Whether everything passed.
    pub passed: bool,
    /// What was read.
    pub files: Vec<String>,
    /// HTTP/2 connections that were seen.
    pub connections: u64,
    /// Requests on them.
    pub requests: u64,
    /// What a reader should know, though nothing failed for it.
    pub notes: Vec<String>,
    /// Each check.
    pub checks: Vec<Checked>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checked {
    /// Its name: that of its option.
    pub name: &'static str,
    /// Whether it passed.
    pub passed: bool,
    /// What was asked and found, in a clause.
    pub text: String,
    /// What broke it.
    pub broken: Vec<Broken>,
}

/// What broke a check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Broken {
    /// One sentence.
    pub text: String,
    /// How many alike: connections, or requests.
    pub count: u64,
    /// The cause, where it is about one.
    pub cause: Option<String>,
    /// The step next to the ending.
    pub trigger: Option<String>,
    /// Who has to change something.
    pub blame: Option<String>,
    /// How sure, 0 to 1.
    pub confidence: Option<f64>,
    /// The first connection, as the report counts.
    pub connection: Option<u64>,
    /// Where to look.
    pub packet: Option<u64>,
    /// In which file.
    pub file: Option<String>,
}

/// Holds a digest against rules.
pub fn check(digest: &Digest, rules: &Rules) -> Outcome {
    let mut checks = vec![seen(digest, rules), loss(digest, rules), causes(digest, rules)];
    let goaways = |of: &Connection| of.own_goaways().count() as u64;
    let errors = |of: &Connection| of.own_goaways().filter(|it| it.error_code != 0).count() as u64;
    let (cancelled, requests) = digest.cancelled();
    let died = digest.sum(Connection::died);
    for (name, most, found, what) in [
        ("max-goaways", rules.max_goaways, digest.sum(goaways), "GOAWAYs that follow no other"),
        ("max-error-goaways", rules.max_error_goaways, digest.sum(errors), "GOAWAYs with an error"),
        ("max-cancelled", rules.max_cancelled, cancelled, "cancelled requests"),
        ("max-died", rules.max_died, died, "requests dead with their connection"),
    ] {
        checks.extend(most.map(|most| at_most(name, found, most, what)));
    }
    checks.extend(rules.max_cancelled_share.map(|most| {
        let share = share(cancelled, requests);
        let text = format!(
            "{cancelled} of {requests} requests ({}), at most {}",
            percent(share),
            percent(most)
        );
        plain("max-cancelled-share", share <= most, text)
    }));
    checks.extend(answers(digest, rules));
    // What was not looked at has not passed.
    checks.extend(
        digest
            .unlisted()
            .map(|what| plain("unlisted", false, format!("{what}: check parts of it"))),
    );
    if rules.deny_conflicts {
        checks.push(conflicts(digest));
    }
    Outcome {
        passed: checks.iter().all(|check| check.passed),
        files: digest.captures.iter().map(|of| of.file.clone()).collect(),
        connections: digest.spoken().count() as u64,
        requests: digest.requests(),
        notes: notes(digest, rules),
        checks,
    }
}

fn notes(digest: &Digest, rules: &Rules) -> Vec<String> {
    let mut notes = Vec::new();
    let unsure = rules.unsure(digest);
    if unsure > 0 {
        let what = count(unsure, "GOAWAY");
        notes.push(format!(
            "{what} with an error passed, for the reason is unknown or not sure enough \
             (--max-error-goaways, --deny unknown, --min-confidence)"
        ));
    }
    let dark = digest.dark();
    if dark > 0 {
        let are = if dark == 1 { "is" } else { "are" };
        let what = count(dark, "connection");
        notes.push(format!("{what} {are} TLS that was not decrypted: little of them was checked"));
    }
    let cut = digest.captures.iter().filter(|of| of.damage);
    notes.extend(cut.map(|of| format!("{} breaks off: what came before was checked", of.file)));
    notes
}

fn plain(name: &'static str, passed: bool, text: String) -> Checked {
    Checked { name, passed, text, broken: Vec::new() }
}

fn at_most(name: &'static str, found: u64, most: u64, what: &str) -> Checked {
    plain(name, found <= most, format!("{found} {what}, at most {most}"))
}

fn seen(digest: &Digest, rules: &Rules) -> Checked {
    let (found, least) = (digest.requests(), rules.min_requests);
    let all = count(found, "request");
    plain("min-requests", found >= least, format!("{all} seen, at least {least}"))
}

fn loss(digest: &Digest, rules: &Rules) -> Checked {
    let (loss, most) = (digest.loss(), rules.max_loss);
    let text = format!("{} is missing from the capture, at most {}", percent(loss), percent(most));
    plain("max-loss", loss <= most, text)
}

/// Endings and cancellations that are denied; many alike are told as one.
fn causes(digest: &Digest, rules: &Rules) -> Checked {
    let mut broken: BTreeMap<String, Broken> = BTreeMap::new();
    let file = |of: &Connection| match digest.captures.len() {
        0 | 1 => None,
        _ => digest.captures.get(of.capture).map(|taken| taken.file.clone()),
    };
    for connection in &digest.connections {
        for (packet, verdict) in connection.verdicts().filter(|(_, of)| rules.denies(of)) {
            let alike = broken.entry(verdict.chain()).or_insert_with(|| Broken {
                text: verdict.summary.clone(),
                count: 0,
                cause: Some(verdict.cause.clone()),
                trigger: Some(verdict.trigger.clone()),
                blame: Some(verdict.blame.clone()),
                confidence: Some(verdict.confidence),
                connection: Some(connection.id),
                packet,
                file: file(connection),
            });
            alike.count = alike.count.saturating_add(1);
        }
        let sets = connection.cancellations.iter();
        for set in sets.filter(|set| rules.denies_cancelling(&set.cause, set.confidence)) {
            // What a proxy only passed on is told where it came from.
            let own = set.streams.saturating_sub(set.passed_on());
            if own == 0 {
                continue;
            }
            let key = format!("{} {} {}", set.cause, set.by, set.gave_up());
            let alike = broken.entry(key).or_insert_with(|| Broken {
                text: String::new(),
                count: 0,
                cause: Some(set.cause.clone()),
                trigger: None,
                blame: None,
                confidence: Some(set.confidence),
                connection: Some(connection.id),
                packet: Some(set.first_packet),
                file: file(connection),
            });
            alike.count = alike.count.saturating_add(own);
            let requests = count(alike.count, "request");
            let by = if set.gave_up() { "proxy, the client there" } else { &set.by };
            alike.text = format!("{requests} cancelled by the {by}");
        }
    }
    broken.extend(gateway(digest, rules).map(|of| (String::new(), of)));
    let broken: Vec<Broken> = broken.into_values().collect();
    let named = |causes: &[Cause]| -> String {
        let names: Vec<&str> = causes.iter().map(|cause| cause.name()).collect();
        names.join(", ")
    };
    let mut asked = match rules.deny.is_empty() {
        true => "all that somebody has to answer for".to_owned(),
        false => named(&rules.deny),
    };
    if !rules.allow.is_empty() {
        asked.push_str(&format!(", but not {}", named(&rules.allow)));
    }
    let found = match broken.len() {
        0 => "none found".to_owned(),
        some => format!("{some} found"),
    };
    let sure = Confidence::new(rules.min_confidence as f32).word();
    let text = format!("{found}; denied, {sure} or surer: {asked}");
    Checked { name: "causes", passed: broken.is_empty(), text, broken }
}

/// Requests that a gateway answered with 504: its timeout ran out, whether it cancelled anything
/// that can be seen or not.
fn gateway(digest: &Digest, rules: &Rules) -> Option<Broken> {
    let cause = Cause::ServerRequestTimeout.name();
    let sure = Confidence::LIKELY.value();
    let first = digest.connections.iter().find(|of| of.streams.timed_out > 0)?;
    let of_captures = digest.captures.get(first.capture).filter(|_| digest.captures.len() > 1);
    let total = digest.sum(|connection| connection.streams.timed_out);
    rules.denies_cancelling(cause, sure).then(|| Broken {
        text: format!("{} answered with status 504", count(total, "request")),
        count: total,
        cause: Some(cause.to_owned()),
        trigger: None,
        blame: None,
        confidence: Some(sure),
        connection: Some(first.id),
        packet: None,
        file: of_captures.map(|taken| taken.file.clone()),
    })
}

impl Rules {
    /// Whether a verdict is denied, if it is sure enough.
    fn would_deny(&self, verdict: &Judged) -> bool {
        let links = [&verdict.cause, &verdict.trigger];
        let among = |causes: &[Cause], link: &str| causes.iter().any(|cause| cause.name() == link);
        let denied = match self.deny.is_empty() {
            true => ["client", "server", "network"].contains(&verdict.blame.as_str()),
            false => links.iter().any(|link| among(&self.deny, link)),
        };
        let allowed = links.iter().all(|link| among(&self.allow, link));
        denied && !allowed
    }

    /// Of nothing one is less sure than of what is unknown: who denies that means it so.
    fn denies(&self, verdict: &Judged) -> bool {
        let sure = verdict.confidence >= self.min_confidence || is_unknown(verdict);
        self.would_deny(verdict) && sure
    }

    /// Errors of a peer that nothing was held against for want of a reason that is sure enough.
    fn unsure(&self, digest: &Digest) -> usize {
        if self.max_error_goaways.is_some() {
            return 0; // they were counted, whatever their reason
        }
        let own = digest.connections.iter().flat_map(Connection::own_goaways);
        let verdicts = own.filter(|goaway| goaway.error_code != 0).map(|goaway| &goaway.verdict);
        let vague = |of: &&Judged| is_unknown(of) || self.would_deny(of);
        verdicts.filter(vague).filter(|of| !self.denies(of)).count()
    }

    /// A client that changes its mind is no fault; a timeout that ran out is.
    fn denies_cancelling(&self, cause: &str, confidence: f64) -> bool {
        let among = |causes: &[Cause]| causes.iter().any(|known| known.name() == cause);
        let denied = if self.deny.is_empty() { among(TIMEOUTS) } else { among(&self.deny) };
        denied && !among(&self.allow) && confidence >= self.min_confidence
    }
}

fn is_unknown(verdict: &Judged) -> bool {
    verdict.cause == Cause::Unknown.name()
}

/// Checks of how long servers take.
fn answers(digest: &Digest, rules: &Rules) -> Vec<Checked> {
    let slowest = |of: &super::ServerTimes| of.max.max(of.late_max);
    let mut checks = Vec::new();
    let all = rules.max_answer.map(|most| within(digest, "max-answer", most, slowest, 0.0));
    checks.extend(all);
    let most = rules.max_p99.map(|most| within(digest, "max-p99", most, |of| of.p99, 0.01));
    checks.extend(most);
    checks.extend(rules.max_answer_share.map(|share| of_timeout(digest, rules, share)));
    checks
}

/// Answers within a time. Requests that a measured timeout ended have waited that long, and count
/// where they are more than `ignored` of all.
fn within(
    digest: &Digest,
    name: &'static str,
    most: f64,
    of: impl Fn(&super::ServerTimes) -> f64,
    ignored: f64,
) -> Checked {
    let times = digest.server_answers.iter().filter(|server| server.times.count > 0);
    let times: Vec<_> = times.map(|server| (&server.server, of(&server.times))).collect();
    let answers = |server: &str| {
        let all = digest.server_answers.iter().filter(|of| of.server == server);
        all.fold(0, |sum: u64, of| sum.saturating_add(of.times.count))
    };
    let timeouts = digest.inferred_timeouts.iter().filter(|timer| {
        let share = ignored * (answers(&timer.server).saturating_add(timer.samples)) as f64;
        timer.kind == Cause::ClientRequestTimeout.name() && timer.samples as f64 > share
    });
    let waited: Vec<_> = timeouts.map(|timer| (&timer.server, timer.seconds)).collect();
    let slow = times.iter().filter(|(_, seconds)| *seconds > most);
    let slow =
        slow.map(|(server, seconds)| told(format!("{server} answers in {}", span(*seconds))));
    let vain = waited.iter().filter(|(_, seconds)| *seconds > most).map(|(server, seconds)| {
        told(format!("{server} left requests without an answer for {}", span(*seconds)))
    });
    let mut broken: Vec<Broken> = slow.chain(vain).collect();
    let all = times.iter().chain(&waited).map(|(_, seconds)| *seconds);
    let text = match all.reduce(f64::max) {
        Some(slowest) => format!("{}, at most {}", span(slowest), span(most)),
        None => {
            broken.push(told("nothing to hold it against".to_owned()));
            "no answer was seen".to_owned()
        }
    };
    Checked { name, passed: broken.is_empty(), text, broken }
}

/// Answers as a share of the client's timeout: the one that is told, else the measured ones. A
/// request that a measured timeout ended has used all of it.
fn of_timeout(digest: &Digest, rules: &Rules, most: f64) -> Checked {
    let mut broken = Vec::new();
    let mut worst: f64 = 0.0;
    for server in &digest.server_answers {
        let timeouts = digest.inferred_timeouts.iter().filter(|of| {
            of.kind == Cause::ClientRequestTimeout.name() && of.server == server.server
        });
        let measured = timeouts.map(|of| of.seconds).fold(f64::INFINITY, f64::min);
        let slowest = server.times.max.max(server.times.late_max);
        let (timeout, slowest) = match rules.client_timeout {
            Some(told) if measured.is_finite() => (told, slowest.max(measured)),
            Some(told) => (told, slowest),
            None if measured.is_finite() => (measured, slowest.max(measured)),
            None => continue,
        };
        let share = slowest / timeout.max(f64::MIN_POSITIVE);
        worst = worst.max(share);
        if share > most {
            broken.push(told(format!(
                "{} takes {} or more, {} of the client's timeout of {}",
                server.server,
                span(slowest),
                percent(share),
                span(timeout)
            )));
        }
    }
    let text = match worst > 0.0 {
        true => format!("{} of the client's timeout, at most {}", percent(worst), percent(most)),
        false => {
            broken.push(told("nothing to hold answers against".to_owned()));
            "no timeout of a client was measured or told (--client-timeout)".to_owned()
        }
    };
    Checked { name: "max-answer-share", passed: broken.is_empty(), text, broken }
}

fn conflicts(digest: &Digest) -> Checked {
    let found = digest.conflicts.iter();
    let broken = found.map(|of| told(format!("{}: {}", of.rule, of.text)));
    let broken: Vec<Broken> = broken.collect();
    let text = match broken.len() {
        0 => "no settings that do not fit together".to_owned(),
        some => format!("{} of settings that do not fit together", count(some, "pair")),
    };
    Checked { name: "conflicts", passed: broken.is_empty(), text, broken }
}

fn told(text: String) -> Broken {
    Broken {
        text,
        count: 1,
        cause: None,
        trigger: None,
        blame: None,
        confidence: None,
        connection: None,
        packet: None,
        file: None,
    }
}

fn share(some: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { some as f64 / all as f64 }
}

/// `0 %`, `0.31 %`, `43.6 %`.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let digits = match percent {
        0.0 => 0,
        small if small < 1.0 => 2,
        whole if (whole - whole.round()).abs() < 0.05 => 0,
        _ => 1,
    };
    format!("{percent:.digits$} %")
}

/// Timeouts whose end costs the client its answer.
pub(super) const TIMEOUTS: &[Cause] =
    &[Cause::ClientRequestTimeout, Cause::ServerRequestTimeout, Cause::StreamIdleTimeout];
/// Likely or surer.
const LIKELY: f64 = 0.6;
/// A capture that lacks more has not seen what it was to check.
const MAX_LOSS: f64 = 0.05;

#[cfg(test)]
mod tests;
