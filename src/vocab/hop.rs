//! Two hops: what a request is known by on the other side of a proxy, and what was joined.

use super::address::{Endpoint, Side};
use super::cause::{Cause, Confidence};
use super::clock::ClockOffset;
use super::error_code::ErrorCode;
use super::pack::packs;
use super::time::Stamp;

/// What a request is known by again on another connection: hashes, 0 where there is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Trace identifier: of `traceparent` (W3C Trace Context), `b3` and the like.
    pub trace: u64,
    /// `x-request-id` or one of its kin.
    pub request: u64,
    /// Method and path with its query.
    pub path: u64,
    /// Authority.
    pub authority: u64,
    /// Port that the authority names, by itself or by the scheme.
    pub port: u16,
    /// Fields that proxies add: `via`, `forwarded`, `x-forwarded-for` ...
    pub forwarded: u8,
    /// The SETTINGS with which its sender began the connection: programs differ in them. Zero where
    /// they are not known, or the request is in HTTP/1.1.
    pub greeting: u64,
}

packs!(struct Mark { trace, request, path, authority, port, forwarded, greeting });

/// A request that did not end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Troubled {
    /// Its stream.
    pub stream: u32,
    /// Its first HEADERS.
    pub opened: Stamp,
    /// Where it ended.
    pub at: Stamp,
    /// Who ended it.
    pub by: Side,
    /// How.
    pub how: Trouble,
    /// What it is known by.
    pub mark: Mark,
}

packs!(struct Troubled { stream, opened, at, by, how, mark });

/// One that was sent in HTTP/1.1, on a flow that no report lists: perhaps what a proxy made of one
/// that is.
#[derive(Clone, Copy, Debug)]
pub struct Guest {
    /// Who sent it.
    pub client: Endpoint,
    /// To whom.
    pub server: Endpoint,
    /// The request; it has no stream.
    pub of: Troubled,
}

/// How a request went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Reset; the code, where the frame was captured whole.
    Reset(Option<ErrorCode>),
    /// Answered with this status of 500 or more.
    Status(u16),
    /// Answered with this gRPC status, which says that somebody gave up.
    Grpc(u32),
    /// Unanswered when the connection ended.
    Left,
}

packs!(enum Trouble { 0 => Reset(code), 1 => Status(code), 2 => Grpc(code), else Left });

impl Trouble {
    /// A gateway had no answer in time (RFC 9110 section 15.6.5).
    pub const GATEWAY_TIMEOUT: Self = Self::Status(504);
}

/// By what requests of two connections were recognised as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinedBy {
    /// One trace identifier.
    TraceId,
    /// One request identifier.
    RequestId,
    /// Authority, method and path, order and time.
    AuthorityAndPath,
    /// Method and path, order and time: over there the proxy names its server.
    Path,
}

impl JoinedBy {
    /// For sentences.
    pub fn words(self) -> &'static str {
        match self {
            Self::TraceId => "the same trace id",
            Self::RequestId => "the same request id",
            Self::AuthorityAndPath => "the same authority and path at the same time",
            Self::Path => "the same path at the same time",
        }
    }
}

/// What a proxy did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// It gave up a request because its own client had.
    CancelPassedOn,
    /// It failed its client's request because its server had failed it.
    FailurePassedOn,
    /// It gave up on its server by itself, and told its client.
    ProxyGaveUp,
}

impl Way {
    /// The report's spelling.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CancelPassedOn => "cancel_passed_on",
            Self::FailurePassedOn => "failure_passed_on",
            Self::ProxyGaveUp => "proxy_gave_up",
        }
    }
}

/// Where a chain goes on: on connections of the other side of a proxy.
#[derive(Clone, Debug, PartialEq)]
pub struct Hop {
    /// Numbers of those connections, ascending; the first few.
    pub connections: Vec<usize>,
    /// How many they are.
    pub count: usize,
    /// What the proxy did.
    pub way: Way,
    /// By what most of the requests were joined.
    pub by: JoinedBy,
    /// How many requests were joined.
    pub requests: usize,
    /// Where the chain began, over there.
    pub cause: Cause,
    /// How sure it is that they belong together.
    pub confidence: Confidence,
    /// Program at the far end, where it is recognised.
    pub program: Option<String>,
    /// One sentence.
    pub text: String,
}

/// A proxy, as it shows: what comes in at one endpoint goes out to another.
#[derive(Clone, Debug, PartialEq)]
pub struct HopLink {
    /// Where its clients reach it.
    pub front: Endpoint,
    /// Where it sends their requests.
    pub back: Endpoint,
    /// Numbers of its clients' connections, ascending; the first few.
    pub front_connections: Vec<usize>,
    /// Numbers of its own connections, ascending; the first few. Those in HTTP/1.1 have none.
    pub back_connections: Vec<usize>,
    /// By what most of the requests were joined.
    pub by: JoinedBy,
    /// How many were joined, of those that did not end well.
    pub requests: usize,
    /// Cancels that it passed on.
    pub cancels_passed_on: usize,
    /// Failures that it passed on.
    pub failures_passed_on: usize,
    /// Requests that it gave up by itself.
    pub given_up: usize,
    /// Median time between the two ends of a request, in seconds.
    pub delay_seconds: f64,
    /// What is to be added to the back capture's times to fit the front capture's; none where both
    /// lie in one capture, or too few events tell.
    pub clock_offset: Option<ClockOffset>,
    /// How sure it is that they belong together.
    pub confidence: Confidence,
}
