//! Hands metrics and spans to a collector of OpenTelemetry, by HTTP.

use std::str::FromStr;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ureq::Agent;
use ureq::http::Uri;

use crate::board::Board;
use crate::report::Pick;
use crate::report::metrics::Scrape;
use crate::report::otlp::{CONTENT_TYPE, Request, metrics, spans};
use crate::vocab::text::printable;

/// Where a collector listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    base: String,
    port: u16,
}

impl FromStr for Collector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let example = "an address is needed, as in http://127.0.0.1:4318";
        let uri: Uri = text.parse().map_err(|_| example.to_owned())?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err("TLS is left to a collector on this host or beside it: name that \
                            one by http://"
                    .to_owned());
            }
            _ => return Err(example.to_owned()),
        }
        if uri.host().is_none_or(str::is_empty) || uri.query().is_some() {
            return Err(example.to_owned());
        }
        let base = text.trim_end_matches('/').to_owned();
        Ok(Self { base, port: uri.port_u16().unwrap_or(HTTP) })
    }
}

impl Collector {
    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn send(&self, agent: &Agent, request: &Request) -> Result<(), Failure> {
        let url = format!("{}{}", self.base, request.signal.path());
        let said = |what: String| format!("{url}: {}", printable(&what));
        let asked = agent.post(&url).header("content-type", CONTENT_TYPE).send(&request.body[..]);
        let answer =
            asked.map_err(|error| Failure { what: said(error.to_string()), again: None })?;
        let status = answer.status();
        if !status.is_success() {
            let wait = answer.headers().get("retry-after").and_then(|of| of.to_str().ok());
            let wait = wait.and_then(|of| of.parse().ok()).map_or(PAUSE, Duration::from_secs);
            let again = BUSY.contains(&status.as_u16()).then_some(wait.min(PAUSE_MAX));
            return Err(Failure { what: said(format!("answers {status}")), again });
        }
        let body = answer.into_body().with_config().limit(ANSWER).read_to_vec();
        match request.signal.rejected(&body.unwrap_or_default()) {
            Some(what) => Err(Failure { what: said(what), again: None }),
            None => Ok(()),
        }
    }

    /// Hands over the spans of the streams that were asked for; gives how many requests it took.
    ///
    /// # Errors
    /// What the collector or the way to it says, in one line.
    pub fn send_spans(&self, board: &Board, pick: Pick) -> Result<usize, String> {
        let agent = agent();
        let mut sent = 0;
        for request in spans(board, &pick) {
            let mut left = TRIES;
            while let Err(failure) = self.send(&agent, &request) {
                left -= 1;
                match failure.again.filter(|_| left > 0) {
                    Some(wait) => thread::sleep(wait),
                    None => return Err(failure.what),
                }
            }
            sent += 1;
        }
        Ok(sent)
    }
}

struct Failure {
    what: String,
    /// When another try may do.
    again: Option<Duration>,
}

/// Hands over metrics from time to time, in a thread of its own: a collector that does not answer
/// holds up nobody.
pub(super) struct Pusher {
    stop: Option<Sender<()>>,
    thread: JoinHandle<()>,
    /// Why nothing arrives.
    failure: Arc<Mutex<Option<String>>>,
    told: Option<String>,
}

impl Pusher {
    /// Begins with what `scrape` will have, and again and again until this is finished.
    pub(super) fn begin(collector: Collector, scrape: Arc<Mutex<Option<Scrape>>>) -> Self {
        let (stop, stopped) = channel();
        let failure: Arc<Mutex<Option<String>>> = Arc::default();
        let told = Arc::clone(&failure);
        let since = now();
        let thread = thread::spawn(move || {
            let agent = agent();
            loop {
                let waited = stopped.recv_timeout(EVERY);
                let scrape = scrape.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(scrape) = scrape {
                    // What fails is told again, and more, by the next one: counters go on.
                    let sent = collector.send(&agent, &metrics(&scrape, since, now()));
                    let failure = sent.err().map(|failure| failure.what);
                    *told.lock().unwrap_or_else(PoisonError::into_inner) = failure;
                }
                if !matches!(waited, Err(RecvTimeoutError::Timeout)) {
                    break;
                }
            }
        });
        Self { stop: Some(stop), thread, failure, told: None }
    }

    /// What has changed since the last call, for people.
    pub(super) fn news(&mut self) -> Option<String> {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if failure == self.told {
            return None;
        }
        self.told = failure;
        let again = || "the collector takes metrics again".to_owned();
        Some(self.told.as_ref().map_or_else(again, |what| format!("metrics do not arrive: {what}")))
    }

    /// Hands over the last ones.
    pub(super) fn close(&mut self) {
        self.stop = None;
    }

    /// Whether the last ones were handed over, or given up, after [`Pusher::close`].
    pub(super) fn is_done(&self) -> bool {
        self.thread.is_finished()
    }
}

fn agent() -> Agent {
    let config = Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        // A collector is near: no proxy, and nothing to be sent on to.
        .proxy(None)
        .max_redirects(0)
        .user_agent(concat!("goawhy/", env!("CARGO_PKG_VERSION")));
    config.build().into()
}

/// Nanoseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The port of http:// addresses without one.
const HTTP: u16 = 80;
/// Time between two times metrics are handed over.
const EVERY: Duration = Duration::from_secs(15);
/// Time within which a request has to be answered.
const PATIENCE: Duration = Duration::from_secs(5);
/// Statuses after which another try is due (OTLP specification, failures).
const BUSY: &[u16] = &[429, 502, 503, 504];
/// Tries of one request.
const TRIES: u32 = 4;
/// Time between tries where the collector says none, and at most.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Octets of an answer that are read.
const ANSWER: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let read = |text: &str| text.parse::<Collector>();
        let known = read("http://collector:4318/").unwrap();
        assert_eq!((known.base.as_str(), known.port()), ("http://collector:4318", 4318));
        assert_eq!(read("http://[::1]/otlp").unwrap().port(), 80);
        assert!(read("https://collector:4318").unwrap_err().contains("TLS"));
        for wrong in ["", "collector:4318", "127.0.0.1:4318", "http://", "ftp://a", "http://a/?b"] {
            assert!(read(wrong).unwrap_err().contains("http://127.0.0.1:4318"), "{wrong}");
        }
    }
}
