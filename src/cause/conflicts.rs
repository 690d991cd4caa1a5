//! Settings of both ends that do not fit together, told even where nothing has broken yet.
//!
//! Works on what [`super::pair`] kept of each connection and on the timers of
//! [`super::timeouts`]. Each rule speaks only of what the capture shows.

mod lost;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::track::history::ByClass;
use crate::vocab::address::Endpoint;
use crate::vocab::cause::{Cause, Confidence};
use crate::vocab::pair::{Conflict, InferredTimeout, Timer};
use crate::vocab::verdict::ConfiguredIn;

use super::advice::{by_setting, with_margin};
use super::implementation::{self, ResetLimit};
use super::pair::{Answered, PairFacts};
use super::scene::spoken;
use super::timeouts::near;
use lost::{path_stalled, server_stood_still, stood_still, window_used_up};

/// Everything that is known of one client and one server.
struct Pair<'a> {
    client: IpAddr,
    server: Endpoint,
    /// Its connections.
    facts: &'a [&'a PairFacts],
    /// Its timers, and the server's.
    timers: Vec<&'a InferredTimeout>,
    /// How the server answers.
    answered: &'a Answered,
}

type RuleOf = fn(&Pair<'_>) -> Option<Conflict>;

/// Every rule, in the order in which reports show them.
const RULES: &[RuleOf] = &[
    path_stalled,
    server_stood_still,
    window_used_up,
    timeout_below_answers,
    resets_near_limit,
    retry_storm,
    idle_counts_octets,
    idle_race,
    pings_too_fast,
    grace_too_short,
];

/// Looks at every pair.
pub fn find(
    facts: &[PairFacts],
    timers: &[InferredTimeout],
    answered: &BTreeMap<Endpoint, Answered>,
) -> Vec<Conflict> {
    let mut by_pair: BTreeMap<(Endpoint, IpAddr), Vec<&PairFacts>> = BTreeMap::new();
    for of in facts {
        by_pair.entry((of.server, of.client)).or_default().push(of);
    }
    // By place among all: a server may have as many clients as the capture has connections.
    let mut of_server: BTreeMap<Endpoint, Vec<usize>> = BTreeMap::new();
    let mut of_client: BTreeMap<(Endpoint, IpAddr), Vec<usize>> = BTreeMap::new();
    for (place, timer) in timers.iter().enumerate() {
        match timer.client {
            _ if timer.configured_in == ConfiguredIn::Server => {
                of_server.entry(timer.server).or_default().push(place);
            }
            Some(client) => of_client.entry((timer.server, client)).or_default().push(place),
            None => {}
        }
    }
    let nothing = Answered::default();
    let mut found = Vec::new();
    for ((server, client), facts) in &by_pair {
        let own = of_client.get(&(*server, *client)).into_iter().flatten();
        let shared = of_server.get(server).into_iter().flatten();
        let mut places: Vec<usize> = own.chain(shared).copied().collect();
        places.sort_unstable();
        let timers = places.into_iter().filter_map(|place| timers.get(place));
        let pair = Pair {
            client: *client,
            server: *server,
            facts,
            timers: timers.collect(),
            answered: answered.get(server).unwrap_or(&nothing),
        };
        found.extend(RULES.iter().filter_map(|rule| rule(&pair)));
    }
    found
}

impl Pair<'_> {
    fn conflict(
        &self,
        rule: &'static str,
        confidence: Confidence,
        text: String,
        advice: Vec<String>,
    ) -> Conflict {
        let between = vec![self.client.to_string(), self.server.to_string()];
        Conflict { rule, text, between, advice, confidence }
    }

    fn timers(&self, kind: Cause, by: ConfiguredIn) -> impl Iterator<Item = &InferredTimeout> {
        let wanted = move |timer: &&&InferredTimeout| {
            timer.kind == Timer::Of(kind) && timer.configured_in == by && !timer.at_least
        };
        self.timers.iter().filter(wanted).copied()
    }

    /// The client's recognised name, where all connections agree.
    fn client_name(&self) -> Option<&str> {
        agreed(self.facts.iter().map(|facts| facts.notes.names.first.as_deref()))
    }

    fn server_name(&self) -> Option<&str> {
        agreed(self.facts.iter().map(|facts| facts.notes.names.second.as_deref()))
    }

    /// Requests that these timers ended.
    fn killed_by(&self, timers: &[&InferredTimeout]) -> u64 {
        let by_these = |value: f64| timers.iter().any(|timer| near(timer.seconds, value));
        self.sum(|facts| {
            let theirs = facts.killed.iter().filter(|(seconds, _)| by_these(*seconds));
            theirs.map(|(_, count)| count).sum()
        })
    }

    fn sum(&self, value: impl Fn(&PairFacts) -> u64) -> u64 {
        self.facts.iter().map(|facts| value(facts)).sum()
    }
}

/// The one name that all that are known share.
fn agreed<'a>(names: impl Iterator<Item = Option<&'a str>>) -> Option<&'a str> {
    let mut names = names.flatten();
    let first = names.next()?;
    names.all(|name| name == first).then_some(first)
}

fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or_default()
}

fn percent(part: u64, whole: u64) -> String {
    let share = part as f64 * 100.0 / whole.max(1) as f64;
    if share < 1.0 && part > 0 { format!("{share:.1} %") } else { format!("{share:.0} %") }
}

fn plural(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// The client gives up before the server answers.
fn timeout_below_answers(pair: &Pair<'_>) -> Option<Conflict> {
    let timers = request_timers(pair);
    let longest = timers.last()?;
    let sure = timers
        .iter()
        .map(|timer| timer.confidence)
        .fold(Confidence::NONE, |a, b| if a < b { b } else { a });
    let killed = pair.killed_by(&timers);
    // What waited for window, or for a server that stood still, waited for no answer.
    let held = pair.sum(|facts| facts.notes.held.first + facts.notes.held.second);
    if (held + stood_still(pair)) * 2 > killed {
        return None;
    }
    let requests = pair.sum(|facts| facts.requests).max(killed);
    let classes = differ_by_class(&timers);
    let values: Vec<String> = timers.iter().map(|timer| named(timer, classes)).collect();
    let (values, s) = (values.join(" and "), if timers.len() == 1 { "" } else { "s" });
    let (text, value) = what_would_help(pair, &timers, killed, seconds(longest.seconds));
    // A proxy is the client of its own server.
    let proxy = timers.iter().all(|timer| timer.configured_in == ConfiguredIn::Proxy);
    let (who, title) = if proxy { ("proxy", "Proxy") } else { ("client", "Client") };
    let seems = if sure < Confidence::LIKELY { "seems to have ended" } else { "ended" };
    let setting = pair.client_name().and_then(implementation::request_timeout_setting);
    let setting = by_setting(setting, pair.client_name());
    let of = format!(
        "The {who}'s request timeout{s} of {values} {seems} {killed} of {} ({})",
        plural(requests, "request"),
        percent(killed, requests)
    );
    let rule = "client_timeout_below_answer_time";
    let cut = pair.sum(|facts| facts.cut);
    if cut * 2 > killed && pair.answered.late.total().count() == 0 {
        let text = format!("{of} while {cut} of the answers were still coming.");
        let advice = format!(
            "{title}: give answers that take long, or never end, a longer request timeout than \
             {values}, or none{setting}."
        );
        return Some(pair.conflict(rule, sure, text, vec![advice]));
    }
    let uploads = pair.sum(|facts| facts.notes.uploads);
    if uploads * 2 > killed {
        let text = format!("{of} while {uploads} of their bodies were still being sent.");
        let advice = format!(
            "{title}: give requests that take long to send a longer timeout than {values}, or \
             none{setting}."
        );
        return Some(pair.conflict(rule, sure, text, vec![advice]));
    }
    let text = format!("{of} before the server answered.{text}");
    let mut advice = Vec::new();
    if classes {
        for timer in &timers {
            let (_, value) = what_would_help(pair, &[*timer], 0, seconds(timer.seconds));
            let (kinds, now) = (timer.requests.join(", "), spoken(seconds(timer.seconds)));
            advice.push(format!(
                "{title}: raise the request timeout of {kinds}, now {now}, {value}{setting}."
            ));
        }
    } else {
        advice.push(format!(
            "{title}: raise the request timeout{s}, now {values}, {value}{setting}."
        ));
    }
    advice.push(
        "Server: make these requests faster, and stop the work when the client is gone.".into(),
    );
    Some(pair.conflict(rule, sure, text, advice))
}

/// Request timeouts, ascending; none where all are doubtful.
fn request_timers<'a>(pair: &'a Pair<'_>) -> Vec<&'a InferredTimeout> {
    let clear = |timer: &&InferredTimeout| {
        timer.confidence.value() >= SURE || (timer.samples > 1 && timer.confidence.value() >= 0.6)
    };
    let mut timers: Vec<&InferredTimeout> =
        pair.timers(Cause::ClientRequestTimeout, ConfiguredIn::Client).collect();
    timers.extend(pair.timers(Cause::ClientRequestTimeout, ConfiguredIn::Proxy));
    timers.extend(pair.timers(Cause::ServerRequestTimeout, ConfiguredIn::Proxy));
    // Beside one that is clear, one that showed once counts too.
    let least = if timers.iter().any(clear) { 0.6 } else { f64::MAX };
    timers.retain(|timer| timer.confidence.value() >= least);
    timers.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    timers
}

/// Whether each timer ended requests of kinds of its own: several settings, one for each.
fn differ_by_class(timers: &[&InferredTimeout]) -> bool {
    let mut kinds: Vec<&String> = timers.iter().flat_map(|timer| &timer.requests).collect();
    let all = kinds.len();
    kinds.sort_unstable();
    kinds.dedup();
    let told = timers.iter().all(|timer| !timer.requests.is_empty());
    timers.len() > 1 && told && kinds.len() == all
}

/// Request timeouts of the pairs in which they differ by the kind of request.
pub fn by_class(timers: &[InferredTimeout]) -> BTreeMap<(Endpoint, IpAddr), Vec<&InferredTimeout>> {
    let mut by_pair: BTreeMap<(Endpoint, IpAddr), Vec<&InferredTimeout>> = BTreeMap::new();
    for timer in timers.iter().filter(|t| t.kind == Timer::Of(Cause::ClientRequestTimeout)) {
        let pair = timer.client.filter(|_| !timer.at_least).map(|client| (timer.server, client));
        if let Some(pair) = pair {
            by_pair.entry(pair).or_default().push(timer);
        }
    }
    by_pair.retain(|_, timers| differ_by_class(timers));
    by_pair
}

/// `1.0 s`, or `1.0 s for GET /slow` where kinds of request differ.
fn named(timer: &InferredTimeout, classes: bool) -> String {
    let value = spoken(seconds(timer.seconds));
    if classes { format!("{value} for {}", timer.requests.join(", ")) } else { value }
}

/// What the answers that were seen say of the timeout: text, and `to 14.0 s or more`.
fn what_would_help(
    pair: &Pair<'_>,
    timers: &[&InferredTimeout],
    killed: u64,
    longest: Duration,
) -> (String, String) {
    let kinds: Vec<&str> =
        timers.iter().flat_map(|timer| &timer.requests).map(String::as_str).collect();
    let of_kinds = |of: &ByClass| if kinds.is_empty() { of.total() } else { of.named(&kinds) };
    let late = Some(of_kinds(&pair.answered.late)).filter(|late| late.count() > 0);
    let late = late.unwrap_or_else(|| pair.answered.late.total());
    if late.count() > 0 {
        let slowest = late.max();
        let limit = with_margin(slowest);
        let after = match late.count() {
            1 => spoken(slowest),
            _ => format!("{} (median) to {}", spoken(late.quantile(0.5)), spoken(slowest)),
        };
        let saved = late.count() - late.above(limit);
        let which = match late.count() {
            1 => "it".to_string(),
            count if count == saved => "them".to_string(),
            _ => format!("{saved} of them"),
        };
        let others = match late.count() < killed {
            true => "; of the others no answer was seen",
            false => "",
        };
        let text = format!(
            " {} came too late, after {after}: a timeout of {} would have saved {which}{others}.",
            plural(late.count(), "answer"),
            spoken(limit),
        );
        return (text, format!("to {} or more", spoken(limit)));
    }
    let in_time = if kinds.is_empty() { None } else { Some(pair.answered.answers.named(&kinds)) };
    let in_time = in_time.filter(|answers| answers.count() > 0).map(|answers| answers.max());
    let seen = in_time.map(|most| {
        format!(" (the same kind of request was also answered, within {})", spoken(most))
    });
    let text = format!(
        " No answer to them was ever seen{}, so how much longer they would have taken cannot be \
         known; it is more than {}.",
        seen.unwrap_or_default(),
        spoken(longest)
    );
    (text, "above the server's slowest answer plus 2 to 5 s".to_string())
}

/// Resets come near the number that the server takes for an attack.
fn resets_near_limit(pair: &Pair<'_>) -> Option<Conflict> {
    let name = pair.server_name()?;
    let limit: ResetLimit = implementation::reset_limit(name)?;
    let most = pair
        .facts
        .iter()
        .map(|facts| if limit.seconds <= 1 { facts.notes.resets.1 } else { facts.notes.resets.0 });
    let most = most.max()?;
    if most * 2 < limit.resets {
        return None;
    }
    let ResetLimit { resets, seconds: window, setting } = limit;
    let text = format!(
        "The client reset {most} waiting requests within {window} s on one connection; {name} \
         takes more than {resets} for an attack by default and then closes it with all that is on \
         it."
    );
    let advice = vec![
        "Client: cure the timeouts behind the resets, and spread the load over more connections."
            .into(),
        format!("Server: only then raise the limit ({setting})."),
    ];
    // The nearer the surer; beyond a limit that did not hold another one must be set.
    let share = f64::from(most) / f64::from(resets.max(1));
    let sure = match pair.facts.iter().any(|facts| facts.notes.resets_punished) {
        true => 0.95,
        false if most > resets => 0.4,
        false => 0.1 + 0.8 * share,
    };
    Some(pair.conflict("resets_near_limit", Confidence::new(sure as f32), text, advice))
}

/// What timed out is asked for again at once.
fn retry_storm(pair: &Pair<'_>) -> Option<Conflict> {
    let repeats = pair.facts.iter().filter_map(|facts| facts.notes.repeats);
    let (mut again, mut cancels, mut before, mut delay) = (0u64, 0u64, 0u64, Duration::ZERO);
    for of in repeats {
        again += u64::from(of.count);
        cancels += u64::from(of.cancels);
        before += u64::from(of.before);
        delay = delay.max(of.delay);
    }
    if again == 0 {
        return None;
    }
    let text = format!(
        "{again} of {cancels} cancelled requests were followed by the same kind of request within \
         {}: the client seems to retry at once what the server is still working on.",
        spoken(delay)
    );
    let advice = vec![
        "Client: retry with a growing, random delay and a budget (at most 10 % of requests), and \
         only after raising the timeout."
            .into(),
    ];
    // As many stand right before a cancel by chance as right behind it.
    let by_chance = (before as f64 + 1.0) / (again as f64 + 1.0);
    let sure = Confidence::new((1.0 - by_chance).min(0.95) as f32);
    Some(pair.conflict("retry_storm", sure, text, advice))
}

/// The server's idle timer counts octets, and answers take longer.
fn idle_counts_octets(pair: &Pair<'_>) -> Option<Conflict> {
    let counts = pair.server_name().is_some_and(|name| name.starts_with("Vert.x"));
    let cut = pair.facts.iter().filter_map(|facts| facts.notes.idle);
    let cut: u64 = cut.map(|(_, waiting)| waiting).sum();
    let idle = pair.timers(Cause::IdleTimeout, ConfiguredIn::Server).next()?;
    let limit = seconds(idle.seconds);
    let slowest = pair.answered.answers.total().max().max(pair.answered.late.total().max());
    let near = slowest >= limit.mul_f64(0.9);
    if cut == 0 && !(counts && near) {
        return None;
    }
    let text = match cut {
        0 => format!(
            "The server closes a connection after {} without octets, also while it works on \
             requests; its slowest answer takes {}.",
            spoken(limit),
            spoken(slowest)
        ),
        cut => format!(
            "The server closed a connection after {} without octets while {} waited for its \
             answer.",
            spoken(limit),
            plural(cut, "request")
        ),
    };
    let setting = pair.server_name().and_then(implementation::idle_setting);
    let advice = vec![format!(
        "Server: set the idle timeout above the slowest answer plus 2 to 5 s: {} or more{}.",
        spoken(with_margin(slowest.max(limit))),
        by_setting(setting, pair.server_name())
    )];
    Some(pair.conflict("server_idle_below_answer_time", idle.confidence, text, advice))
}

/// The client uses connections that the server is about to close.
fn idle_race(pair: &Pair<'_>) -> Option<Conflict> {
    let ended = pair.facts.iter().filter(|facts| facts.notes.idle.is_some()).count();
    let idle = pair.timers(Cause::IdleTimeout, ConfiguredIn::Server).next()?;
    let limit = seconds(idle.seconds);
    let raced = pair.sum(|facts| facts.notes.raced);
    let close = |idle: &Duration| *idle >= limit.mul_f64(0.9) && *idle <= limit.mul_f64(1.02);
    let reused = pair.facts.iter().filter_map(|facts| facts.notes.reused).filter(close);
    let reused: Vec<Duration> = reused.collect();
    if ended == 0 || (raced == 0 && reused.is_empty()) {
        return None;
    }
    let text = match raced {
        0 => format!(
            "The server closes idle connections after {}; the client used one again after {} of \
             silence: the next time its request may cross the close.",
            spoken(limit),
            spoken(reused.iter().max().copied().unwrap_or_default())
        ),
        raced => format!(
            "The server closes idle connections after {}, and {} crossed such a close on the way.",
            spoken(limit),
            plural(raced, "request")
        ),
    };
    let below = limit.saturating_sub((limit / 4).min(Duration::from_secs(5)));
    let setting = pair.server_name().and_then(implementation::idle_setting);
    let advice = vec![
        format!("Client: close idle connections first, after {} at most.", spoken(below)),
        format!(
            "Or server: keep idle connections longer than every client{}.",
            by_setting(setting, pair.server_name())
        ),
    ];
    Some(pair.conflict("client_idle_above_server_idle", idle.confidence, text, advice))
}

/// Keepalive PINGs come faster than the server allows.
fn pings_too_fast(pair: &Pair<'_>) -> Option<Conflict> {
    let grpc = pair.server_name().is_some_and(|name| name.to_lowercase().starts_with("grpc"));
    let pings = pair.facts.iter().filter_map(|facts| facts.notes.pings);
    let (strikes, distance) = pings.max_by_key(|(strikes, _)| *strikes)?;
    let punished = pair.facts.iter().any(|facts| facts.notes.too_many_pings);
    // A server that has let more of them pass takes them.
    let soon = grpc && distance < GRPC_MINIMUM && STRIKES.contains(&strikes);
    if !(punished || soon) {
        return None;
    }
    // A little below what comes, in whole tenths of a second.
    let tenths = (distance.as_secs_f64() * 8.0).floor().max(1.0);
    let allowed = seconds(tenths / 10.0);
    let most = if punished { "more than the server takes" } else { "as many as gRPC takes" };
    let text = format!(
        "The client sends a keepalive PING every {}; {strikes} came while the server had sent \
         nothing, {most}. gRPC servers allow one in 5 minutes by default.",
        spoken(distance)
    );
    let advice = vec![
        "Client: set the keepalive interval to 5 minutes or more (grpc-go ClientParameters.Time, \
         grpc-core GRPC_ARG_KEEPALIVE_TIME_MS)."
            .into(),
        format!(
            "Or server: allow one every {} (grpc-go EnforcementPolicy.MinTime, grpc-core \
             GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS).",
            spoken(allowed)
        ),
    ];
    let sure = Confidence::new(if punished { 0.95 } else { 0.8 });
    Some(pair.conflict("keepalive_below_server_minimum", sure, text, advice))
}

/// PINGs that come too soon which gRPC servers let pass before they end the connection, with the
/// one that only begins.
const STRIKES: RangeInclusive<u32> = 2..=3;

/// The server's age limit cuts requests.
fn grace_too_short(pair: &Pair<'_>) -> Option<Conflict> {
    let cuts = pair.facts.iter().filter_map(|facts| facts.notes.grace);
    let cuts: Vec<(Duration, u64)> = cuts.filter(|(_, cut)| *cut > 0).collect();
    let grace = cuts.iter().map(|(grace, _)| *grace).max()?;
    let cut: u64 = cuts.iter().map(|(_, cut)| *cut).sum();
    let age = pair.timers(Cause::MaxConnectionAge, ConfiguredIn::Server).next();
    let sure = age.map_or(Confidence::new(0.6), |age| age.confidence);
    let age = age.map(|age| format!(" of {}", spoken(seconds(age.seconds)))).unwrap_or_default();
    let text = format!(
        "The server's age limit{age} cut {}: it closed the connection {} after its GOAWAY.",
        plural(cut, "request"),
        spoken(grace)
    );
    let advice = vec![
        "Server: set the grace after the age limit above the longest request \
         (grpc-go MaxConnectionAgeGrace, grpc-core GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS)."
            .into(),
        "Client: split endless streams, or open them anew when a GOAWAY comes.".into(),
    ];
    Some(pair.conflict("age_grace_too_short", sure, text, advice))
}

/// One request may time out by chance: more than one sample, or this much of confidence.
const SURE: f64 = 0.85;
/// Least time between PINGs without data that gRPC servers allow by default.
const GRPC_MINIMUM: Duration = Duration::from_secs(300);
