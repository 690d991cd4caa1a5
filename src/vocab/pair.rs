//! What is measured over all connections of a client and a server: timers, answer times, conflicts.

use std::fmt;
use std::net::IpAddr;

use super::address::Endpoint;
use super::cause::{Cause, Confidence};
use super::verdict::ConfiguredIn;

/// A timer that shows in traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// One whose end gives a cause its name.
    Of(Cause),
    /// Time between two keepalive PINGs.
    KeepaliveInterval,
}

impl Timer {
    /// The report's spelling.
    pub fn name(self) -> &'static str {
        match self {
            Self::Of(cause) => cause.name(),
            Self::KeepaliveInterval => "keepalive_interval",
        }
    }
}

impl From<Cause> for Timer {
    fn from(cause: Cause) -> Self {
        Self::Of(cause)
    }
}

impl fmt::Display for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl serde::Serialize for Timer {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A timeout measured over all connections between a client host and a server endpoint.
#[derive(Clone, Debug, serde::Serialize)]
pub struct InferredTimeout {
    /// Which timer.
    pub kind: Timer,
    /// Value in seconds: the median of the samples.
    pub seconds: f64,
    /// Whether the value is only a lower bound.
    pub at_least: bool,
    /// Half the distance between the smallest and the largest sample.
    pub spread_seconds: f64,
    /// How many samples.
    pub samples: u32,
    /// Who configures it.
    pub configured_in: ConfiguredIn,
    /// How many connections they come from.
    pub connections: u32,
    /// Client address; `None` where a server's timer showed with several clients.
    pub client: Option<IpAddr>,
    /// Server endpoint.
    pub server: Endpoint,
    /// Kinds of request that it mostly ended: method and path.
    pub requests: Vec<String>,
    /// How sure.
    pub confidence: Confidence,
}

/// How long a server takes to answer, over all its connections.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ServerAnswers {
    /// The server.
    pub server: Endpoint,
    /// All its answers.
    #[serde(flatten)]
    pub times: ServerTimes,
    /// The same by kind of request, for the first few kinds.
    pub requests: Vec<RequestAnswers>,
}

/// How long a server takes to answer requests of one kind.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct RequestAnswers {
    /// Method and path, digits as `#`.
    pub request: String,
    /// Its answers.
    #[serde(flatten)]
    pub times: ServerTimes,
}

/// Times from request to answer, in seconds; 0 where there is no answer.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct ServerTimes {
    /// Answers that were delivered.
    pub count: u64,
    /// Their median, to about 5 %.
    pub median: f64,
    /// Where the median of the server's answers lies with 95 % confidence, whatever their
    /// distribution; `None` where there are too few.
    pub median_range: Option<(f64, f64)>,
    /// 99 of 100 are faster, to about 5 %.
    pub p99: f64,
    /// The same of the 99th of 100.
    pub p99_range: Option<(f64, f64)>,
    /// The slowest.
    pub max: f64,
    /// Answers that came when their stream was gone already.
    pub late: u64,
    /// The median of those.
    pub late_median: f64,
    /// The slowest of those.
    pub late_max: f64,
}

/// How long requests waited, until what; ascending.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ages {
    /// Until their answer began.
    pub answers: Vec<AgeCount>,
    /// Until an answer that came when the stream was gone.
    pub late: Vec<AgeCount>,
    /// Until the client reset them.
    pub cancels: Vec<AgeCount>,
    /// Until their connection or the capture ended, without an answer.
    pub open: Vec<AgeCount>,
}

/// How many requests waited about so long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AgeCount {
    /// Seconds, to about 5 %.
    pub seconds: f64,
    /// How many.
    pub count: u64,
}

/// Two settings that do not fit together.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Conflict {
    /// Stable name.
    pub rule: &'static str,
    /// What was seen, in one or two sentences.
    pub text: String,
    /// Who is between: endpoints as text.
    pub between: Vec<String>,
    /// What to change.
    pub advice: Vec<String>,
    /// How sure: no surer than the timers that it rests on.
    pub confidence: Confidence,
}
