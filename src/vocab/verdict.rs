//! What the cause engine says: steps, evidence, verdicts, cancellations, timeouts.

use serde::ser::SerializeStruct as _;

use super::address::Side;
use super::cause::{Blame, Cause, Confidence};
use super::hop::Hop;
use super::pack::packs;
use super::rule::Rule;
use super::time::Stamp;

/// A stamped fact that a step rests on: visible in the capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Where it can be seen.
    pub stamp: Stamp,
    /// Who did it.
    pub by: Option<Side>,
    /// On which connection, by its number, where it is another than the verdict's.
    pub connection: Option<usize>,
    /// On which stream; 0 for the connection.
    pub stream: u32,
    /// What was done: `HEADERS`, `RST_STREAM`, `GOAWAY`, `FIN` ...
    pub what: &'static str,
    /// One sentence.
    pub text: String,
}

impl Evidence {
    /// What was done, on which stream, and where that is another connection: `#2 HEADERS 3`.
    pub fn label(&self) -> String {
        let number = self.connection.map_or(String::new(), |number| format!("#{number} "));
        match self.stream {
            0 => format!("{number}{}", self.what),
            stream => format!("{number}{} {stream}", self.what),
        }
    }
}

/// A timeout measured from the capture.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Timeout {
    /// Which timer.
    pub kind: Cause,
    /// Value in seconds.
    pub seconds: f64,
    /// Whether the value is only a lower bound.
    pub at_least: bool,
    /// Half the distance between the smallest and the largest sample, in seconds.
    pub spread_seconds: f64,
    /// How many samples it rests on.
    pub samples: u32,
    /// Who configures it.
    pub configured_in: ConfiguredIn,
}

impl Timeout {
    /// A timer that was seen to run out once.
    pub fn once(kind: Cause, span: std::time::Duration, configured_in: ConfiguredIn) -> Self {
        Self {
            kind,
            seconds: span.as_secs_f64(),
            at_least: false,
            spread_seconds: 0.0,
            samples: 1,
            configured_in,
        }
    }
}

/// Where a timeout is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfiguredIn {
    /// In the client.
    Client,
    /// In the server.
    Server,
    /// In a proxy between them.
    Proxy,
}

impl ConfiguredIn {
    /// As reports print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Proxy => "proxy",
        }
    }
}

impl From<Side> for ConfiguredIn {
    fn from(side: Side) -> Self {
        match side {
            Side::Client => Self::Client,
            Side::Server => Self::Server,
        }
    }
}

/// The server answered a stream that was gone.
#[derive(Clone, Debug, PartialEq)]
pub struct LateAnswer {
    /// The stream.
    pub stream: u32,
    /// Its request.
    pub request: Option<Stamp>,
    /// Its reset.
    pub reset: Option<Stamp>,
    /// Seconds from the request to the answer.
    pub answered_after: Option<f64>,
}

/// An explanation that was weighed and found lighter.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Alternative {
    /// What else it could be.
    pub cause: Cause,
    /// How likely.
    pub confidence: Confidence,
    /// What speaks against it.
    pub against: String,
}

/// An implementation recognised from what it sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Implementation {
    /// Its name; what it says where nothing else is known of it.
    pub name: String,
    /// What it was recognised by: an id of the fingerprint table, or a description. Empty where its
    /// name is what it says.
    pub fingerprint: String,
    /// The header field in which it names itself, and what that says.
    pub says: Option<(&'static str, String)>,
}

impl Implementation {
    /// Its name where it is nothing but what it says: text of a header field.
    pub fn stated_name(&self) -> Option<&str> {
        self.fingerprint.is_empty().then_some(self.name.as_str())
    }

    /// What it was recognised by, with what it says.
    pub fn known_by(&self) -> String {
        match (&self.says, self.fingerprint.as_str()) {
            (Some((field, _)), "") => format!("it says so in {field}; nothing else is known of it"),
            (Some((field, says)), known) => format!("{known}; {field} says {says}"),
            (None, known) => known.to_owned(),
        }
    }
}

impl serde::Serialize for Implementation {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_struct("Implementation", 2)?;
        map.serialize_field("name", &self.name)?;
        map.serialize_field("fingerprint", &self.known_by())?;
        map.end()
    }
}

/// One detector's answer: this ending came about because of `cause`.
#[derive(Clone, Debug)]
pub struct Step {
    /// The reason.
    pub cause: Cause,
    /// How sure.
    pub confidence: Confidence,
    /// What it rests on; unordered.
    pub evidence: Vec<Evidence>,
    /// What has a further reason of its own, if anything: the next step explains this.
    pub because: Option<Effect>,
    /// One sentence for the summary, in the past tense.
    pub summary: String,
    /// The timer that ran out, measured.
    pub timeout: Option<Timeout>,
    /// The answer that came too late.
    pub late_answer: Option<LateAnswer>,
    /// The packet that broke a rule.
    pub offending: Option<Stamp>,
    /// The rule it broke.
    pub rule: Option<&'static Rule>,
    /// Streams that were cancelled on the way.
    pub cancelled: Vec<u32>,
    /// Who has to change something.
    pub blame: Blame,
}

impl Step {
    /// A step with nothing but its reason.
    pub fn new(cause: Cause, confidence: Confidence, blame: Blame, summary: String) -> Self {
        Self {
            cause,
            confidence,
            evidence: Vec::new(),
            because: None,
            summary,
            timeout: None,
            late_answer: None,
            offending: None,
            rule: None,
            cancelled: Vec::new(),
            blame,
        }
    }
}

/// Something that needs a reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The GOAWAY with this index in the connection's list.
    Goaway(usize),
    /// The connection ended and no GOAWAY had announced it.
    End,
    /// The client cancelled these streams.
    Cancels(Vec<u32>),
}

/// Why a connection went away: the chain from the ending to its root.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Where the chain began.
    pub cause: Cause,
    /// The step next to the ending.
    pub trigger: Cause,
    /// Who has to change something.
    pub blame: Blame,
    /// As sure as the weakest step.
    pub confidence: Confidence,
    /// One sentence that a tired person understands.
    pub summary: String,
    /// The timer that ran out.
    pub timeout: Option<Timeout>,
    /// The answer that came too late.
    pub late_answer: Option<LateAnswer>,
    /// Evidence in time order; ends with the GOAWAY or close.
    pub chain: Vec<Evidence>,
    /// Streams cancelled on the way, in order.
    pub cancelled_streams: Vec<u32>,
    /// The packet that broke a rule.
    pub offending: Option<Stamp>,
    /// The rule it broke.
    pub rule: Option<&'static Rule>,
    /// Streams that were certainly not processed.
    pub safe_to_retry_streams: Vec<u32>,
    /// Streams that may have been processed: retry only what is idempotent.
    pub maybe_processed_streams: Vec<u32>,
    /// Who sent it, recognised.
    pub implementation: Option<Implementation>,
    /// What else was weighed.
    pub alternatives: Vec<Alternative>,
    /// What to change.
    pub advice: Vec<String>,
    /// Where the chain goes on beyond a proxy.
    pub hop: Option<Box<Hop>>,
}

impl Verdict {
    /// Requests that went away with the connection and got no answer, whether they may have been
    /// processed or not, and whoever ended it.
    pub fn died(&self) -> usize {
        self.maybe_processed_streams.len().saturating_add(self.safe_to_retry_streams.len())
    }

    /// Octets that it points to, about.
    pub fn weight(&self) -> usize {
        let texts = self.advice.iter().chain([&self.summary]).map(String::len);
        let weighed =
            self.alternatives.iter().map(|of| size_of::<Alternative>() + of.against.len());
        let steps = self.chain.iter().map(|step| size_of::<Evidence>() + step.text.len());
        let streams = self.cancelled_streams.len() + self.died();
        texts.chain(weighed).chain(steps).sum::<usize>() + streams * size_of::<u32>()
    }

    /// Streams that were cancelled before the ending. What the ending itself gave up died with it.
    pub fn cancelled_before(&self) -> Vec<u32> {
        let died = |stream: &u32| self.maybe_processed_streams.contains(stream);
        self.cancelled_streams.iter().copied().filter(|stream| !died(stream)).collect()
    }

    /// Adds to the summary, which stays one sentence.
    pub fn add_clause(&mut self, clause: &str) {
        if self.summary.ends_with('.') {
            self.summary.pop();
        }
        self.summary.push_str("; ");
        self.summary.push_str(clause);
        self.summary.push('.');
    }
}

/// Streams that one side reset for one reason.
#[derive(Clone, Debug)]
pub struct Cancellation {
    /// The reason.
    pub cause: Cause,
    /// Who reset them.
    pub by: Side,
    /// The streams, in order.
    pub streams: Vec<u32>,
    /// The timer, measured.
    pub timeout: Option<Timeout>,
    /// How sure.
    pub confidence: Confidence,
    /// First reset.
    pub first: Stamp,
    /// Last reset.
    pub last: Stamp,
    /// Where their reason lies beyond a proxy.
    pub hop: Option<Box<Hop>>,
    /// What to change, where that is known.
    pub advice: Option<String>,
}

/// A rule broken, or an oddity, at a packet.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Where.
    pub stamp: Stamp,
    /// Who broke it.
    pub by: Side,
    /// On which stream; 0 for the connection.
    pub stream: u32,
    /// Which rule.
    pub rule: &'static Rule,
    /// What was seen, in one sentence.
    pub text: String,
}

packs!(struct Finding { stamp, by, stream, rule, text });
