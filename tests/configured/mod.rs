//! What was configured when a capture was made (`made_with.config`, `timeout` and
//! `server_response_seconds` of its truth), and what timers and conflicts follow from it.

use serde_json::Value;

use crate::common::{list, text};

/// Settings of both ends; seconds.
#[derive(Debug, Default)]
pub struct Configured {
    /// How long the client waits for an answer.
    pub client_timeout: Option<f64>,
    /// How long the server's slowest answer takes; infinite where it answered nothing in time.
    pub answers: Option<f64>,
    /// The server's idle timeout.
    pub idle: Option<f64>,
    /// Requests on one connection, and how far apart.
    pub requests: Option<(f64, f64)>,
    /// Intervals of keepalive PINGs, and the least that the server permits.
    pub pings: Vec<f64>,
    pub least_ping: Option<f64>,
    /// Every other timer that the configuration names, by the report's name.
    pub timers: Vec<(&'static str, f64)>,
    /// Timers that the truth says ended something: name, whose, seconds.
    pub shown: Vec<(String, String, f64)>,
    server: String,
}

/// How a configuration names what it sets.
const CLIENT_TIMEOUT: &[&str] =
    &["http.Client.Timeout ", "client timeout ", "client request timeout ", "deadline "];
const ANSWERS: &[&str] = &["delay ", "delays ", "handler sleeps ", "handlers sleep ", "server "];
const IDLE: &[&str] =
    &[" idle ", "IdleTimeout ", "MaxConnectionIdle ", "max_connection_idle ", "setTimeout "];
const PINGS: &[&str] = &["SendPingTimeout ", "keepalive_time ", "keepalive Time "];
const OTHERS: &[(&str, &str)] = &[
    ("server_request_timeout", "WriteTimeout "),
    ("max_connection_age", "max_connection_age "),
    ("handshake_timeout", "handshake_timeout "),
    ("handshake_timeout", "built-in "),
    ("keepalive_ping_timeout", " PingTimeout "),
    ("keepalive_ping_timeout", " Timeout "),
    ("keepalive_ping_timeout", "keepalive_timeout "),
];

impl Configured {
    pub fn of(truth: &Value) -> Self {
        let config = text(&truth["made_with"]["config"]);
        let first =
            |names: &[&str]| names.iter().find_map(|name| spans(config, name).first().copied());
        let mut found = Self {
            client_timeout: first(CLIENT_TIMEOUT),
            answers: first(ANSWERS),
            idle: first(IDLE),
            requests: number_before(config, " requests")
                .map(|count| (count, number_before(config, " ms apart").unwrap_or(0.0) / 1e3)),
            pings: PINGS.iter().flat_map(|name| spans(config, name)).collect(),
            least_ping: first(&["min_ping_interval_without_data "]),
            server: text(&truth["made_with"]["server"]).to_owned(),
            ..Self::default()
        };
        for (kind, name) in OTHERS {
            found.timers.extend(spans(config, name).first().map(|value| (*kind, *value)));
        }
        found.read_repro(config);
        found.read_connections(truth);
        found
    }

    /// `Repro ANSWER_MS TIMEOUT_MS REQUESTS guard IDLE_S PAUSE_MS`: the reproducer of ServiceComb's
    /// issue.
    fn read_repro(&mut self, config: &str) {
        let Some(words) = config.strip_prefix("Repro ") else { return };
        let numbers: Vec<f64> = words.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [answer, timeout, requests, idle, _] = numbers[..] else { panic!("{config}") };
        (self.answers, self.client_timeout) = (Some(answer / 1e3), Some(timeout / 1e3));
        (self.idle, self.requests) = (Some(idle), Some((requests, 0.0)));
    }

    fn read_connections(&mut self, truth: &Value) {
        for connection in list(&truth["connections"]) {
            let groups = match &connection["cancellations"] {
                Value::Array(groups) => groups.as_slice(),
                group => std::slice::from_ref(group),
            };
            let goaways = list(&connection["goaways"]);
            let took = goaways.iter().filter_map(|of| of["server_response_seconds"].as_f64());
            self.answers = took
                .fold(self.answers, |most, took| Some(most.map_or(took, |most| most.max(took))));
            for of in goaways.iter().chain(groups).chain([connection]) {
                let timer = &of["timeout"];
                let Some(seconds) = timer["seconds"].as_f64() else { continue };
                let by = text(&timer["configured_in"]).to_owned();
                if let Some(interval) = timer["ping_after_idle_seconds"].as_f64() {
                    self.shown.push(("keepalive_interval".into(), by.clone(), interval));
                }
                self.shown.push((text(&timer["kind"]).to_owned(), by, seconds));
            }
            let given_up = groups.iter().any(|of| of["cause"] == "client_request_timeout");
            if given_up && self.answers.is_none() {
                self.answers = Some(f64::INFINITY);
            }
        }
    }

    fn is_given_up(&self) -> bool {
        self.client_timeout.zip(self.answers).is_some_and(|(timeout, answer)| timeout < answer)
    }

    /// The rules by which these settings do not fit together, in the order of reports.
    pub fn conflicts(&self) -> Vec<&'static str> {
        let mut rules = Vec::new();
        let netty = self.server.contains("Netty");
        let below = |a: Option<f64>, b: Option<f64>| a.zip(b).is_some_and(|(a, b)| a < b);
        if self.is_given_up() {
            rules.push("client_timeout_below_answer_time");
            // Netty takes 200 resets within 30 s for an attack: half of them are near. The first
            // late answer, or the limit, ends the connection.
            let (count, apart) = self.requests.unwrap_or_default();
            let time = self.answers.zip(self.client_timeout).map_or(0.0, |(a, t)| a - t);
            let resets = if apart > 0.0 { count.min(time / apart) } else { count };
            if netty && resets >= 100.0 {
                rules.push("resets_near_limit");
            }
        }
        // Vert.x counts octets, also while requests wait.
        if netty && below(self.idle, self.answers) {
            rules.push("server_idle_below_answer_time");
        }
        if below(self.pings.first().copied(), self.least_ping) {
            rules.push("keepalive_below_server_minimum");
        }
        rules
    }

    /// Whether a timer of the report has the value that was set, as far as its kind lets it show.
    pub fn set(&self, kind: &str, seconds: f64) -> bool {
        let near =
            |value: f64, late: f64| seconds >= value * 0.98 && seconds <= value * (1.0 + late);
        match kind {
            // Requests that had to wait before they were sent.
            "client_request_timeout" => self.client_timeout.is_some_and(|value| near(value, 0.06)),
            // gRPC core looks for idle connections in rounds.
            "idle_timeout" => self.idle.is_some_and(|value| near(value, 1.0)),
            // gRPC core makes 1 s of less.
            "keepalive_interval" => self.pings.iter().any(|value| near(value.max(1.0), 0.05)),
            // gRPC varies it by a tenth.
            "max_connection_age" => {
                let of_kind = self.timers.iter().filter(|(of, _)| *of == kind);
                of_kind.into_iter().any(|(_, value)| near(value * 0.92, 0.2))
            }
            _ => self.timers.iter().any(|(of, value)| *of == kind && near(*value, 0.05)),
        }
    }

    /// Timers that the report must tell: name, whose, seconds.
    pub fn must_show(&self) -> Vec<(String, String, f64)> {
        let mut all = self.shown.clone();
        if self.is_given_up() {
            let value = self.client_timeout.unwrap_or_default();
            all.push(("client_request_timeout".into(), "client".into(), value));
        }
        all
    }
}

/// Seconds that stand right behind a name: `3 s/5 ms` are two.
fn spans(config: &str, name: &str) -> Vec<f64> {
    let config = format!(" {config}");
    let mut found = Vec::new();
    for (at, _) in config.match_indices(name) {
        for part in config[at + name.len()..].split('/') {
            let number: String =
                part.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
            let unit = part[number.len()..].trim_start();
            let Ok(number) = number.parse::<f64>() else { break };
            match () {
                () if unit.starts_with("ms") => found.push(number / 1e3),
                () if unit.starts_with('s') => found.push(number),
                () => break,
            }
        }
    }
    found
}

fn number_before(config: &str, name: &str) -> Option<f64> {
    config[..config.find(name)?].rsplit(' ').next()?.parse().ok()
}
