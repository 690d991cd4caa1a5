//! Causes, blame and confidence: one spelling, from truth file to report.

use std::fmt;

use super::address::Side;

macro_rules! causes {
    ($($variant:ident = $name:literal: $meaning:literal;)*) => {
        /// Why a connection went away, or a set of streams was cancelled.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Cause { $(#[doc = $meaning] $variant,)* }

        impl Cause {
            /// Every cause, in the report's order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The spelling of truth files, JSON and metrics.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it means, in one clause.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

causes! {
    ClientRequestTimeout = "client_request_timeout": "the client gave up on requests after a fixed time";
    ServerRequestTimeout = "server_request_timeout": "the server gave up on a request after a fixed time";
    IdleTimeout = "idle_timeout": "nothing was asked for, or nothing was sent, for a fixed time";
    KeepalivePingTimeout = "keepalive_ping_timeout": "a PING was not answered in time";
    SettingsAckTimeout = "settings_ack_timeout": "SETTINGS were not acknowledged in time";
    MaxConnectionAge = "max_connection_age": "the connection reached the age at which it is replaced";
    StreamIdleTimeout = "stream_idle_timeout": "a stream made no progress for a fixed time";
    HandshakeTimeout = "handshake_timeout": "the beginning (preface, SETTINGS, first request) was not complete in time";
    ClientCancelBurst = "client_cancel_burst": "the client's application cancelled requests";
    RapidResetProtection = "rapid_reset_protection": "more streams were reset than the endpoint allows";
    TooManyPings = "too_many_pings": "keepalive pings came faster than the endpoint allows";
    FloodProtection = "flood_protection": "more control frames came than the endpoint allows";
    MaxRequestsPerConnection = "max_requests_per_connection": "the connection served as many requests as it may";
    StreamIdExhaustion = "stream_id_exhaustion": "the stream identifiers are used up";
    HeaderListTooLarge = "header_list_too_large": "a header list was larger than the endpoint accepts";
    MaxConcurrentStreamsExceeded = "max_concurrent_streams_exceeded": "more streams were open at once than the endpoint allows";
    GracefulShutdown = "graceful_shutdown": "the server drained the connection: deploy, reload or scale-down";
    ClientShutdown = "client_shutdown": "the client was done with the connection";
    ProtocolViolation = "protocol_violation": "an endpoint broke a rule of the protocol";
    FlowControlViolation = "flow_control_violation": "an endpoint broke flow control";
    FrameSizeViolation = "frame_size_violation": "an endpoint sent a frame of an invalid size";
    CompressionError = "compression_error": "a header block could not be decoded";
    StreamClosedViolation = "stream_closed_violation": "an endpoint sent a frame on a stream that was closed";
    InternalError = "internal_error": "an endpoint failed by itself";
    Http11Required = "http_1_1_required": "the request needs HTTP/1.1";
    InadequateSecurity = "inadequate_security": "the TLS parameters are not accepted";
    ConnectError = "connect_error": "the connection behind a CONNECT, or the transport itself, broke";
    ConnectionRefused = "connection_refused": "nobody listens on that port: the SYN was answered by a RST";
    AbruptClose = "abrupt_close": "the connection was cut without a word";
    PrefaceMissing = "preface_missing": "the client did not speak HTTP/2, or not at once";
    Unknown = "unknown": "nothing in the capture explains it";
    LateResponse = "late_response": "an answer was written to a stream that was gone";
    RefusedStream = "refused_stream": "a stream was refused before any processing";
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl serde::Serialize for Confidence {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.value())
    }
}

impl serde::Serialize for Cause {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Who has to change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// The client.
    Client,
    /// The server.
    Server,
    /// What lies between them.
    Network,
    /// Nobody: an orderly end.
    None,
    /// The capture cannot tell.
    Unknown,
}

impl From<Side> for Blame {
    fn from(side: Side) -> Self {
        match side {
            Side::Client => Self::Client,
            Side::Server => Self::Server,
        }
    }
}

impl Blame {
    /// Every one.
    pub const ALL: [Self; 5] =
        [Self::Client, Self::Server, Self::Network, Self::None, Self::Unknown];

    /// The report's spelling.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Network => "network",
            Self::None => "none",
            Self::Unknown => "unknown",
        }
    }
}

/// How often a verdict like this one is right, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Confidence(f32);

impl Confidence {
    /// Closed by identity or by a tight cluster.
    pub const CERTAIN: Self = Self(0.95);
    /// Timing fits one known mechanism and no rival is likely.
    pub const LIKELY: Self = Self(0.7);
    /// Compatible, no more.
    pub const POSSIBLE: Self = Self(0.3);
    /// Nothing speaks for it.
    pub const NONE: Self = Self(0.0);

    /// A value between the steps; clamped to 0..=1.
    pub const fn new(value: f32) -> Self {
        Self(value.clamp(0.0, 1.0))
    }

    /// 0 to 1, two digits.
    pub fn value(self) -> f64 {
        (f64::from(self.0) * 100.0).round() / 100.0
    }

    /// The weaker of two: a chain is as sure as its weakest step.
    pub fn and(self, other: Self) -> Self {
        if other < self { other } else { self }
    }

    /// One step down: what evidence with a hole in it is worth.
    /// What was surer before stays surer.
    pub fn lowered(self) -> Self {
        match self.0 {
            certain if certain >= 0.8 => Self(0.66 + (certain - 0.8) * 0.2),
            likely if likely > 0.3 => Self(0.26 + (likely - 0.3) * 0.08),
            possible => Self(possible * 0.5),
        }
    }

    /// `certain`, `likely`, `possible` or `a guess`.
    pub fn word(self) -> &'static str {
        match self.0 {
            value if value >= 0.9 => "certain",
            value if value >= 0.6 => "likely",
            value if value >= 0.2 => "possible",
            _ => "a guess",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = Cause::ALL.iter().map(|cause| cause.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Cause::ALL.len());
    }

    #[test]
    fn a_hole_lowers_by_one_step() {
        assert_eq!(Confidence::CERTAIN.lowered().word(), Confidence::LIKELY.word());
        assert_eq!(Confidence::LIKELY.lowered().word(), Confidence::POSSIBLE.word());
        assert!(Confidence::POSSIBLE.lowered() < Confidence::POSSIBLE);
    }

    #[test]
    fn a_hole_changes_no_order() {
        let all = || (0..=100).map(|share| Confidence::new(share as f32 / 100.0));
        for (less, more) in all().zip(all().skip(1)) {
            assert!(less.lowered() < more.lowered() && more.lowered() < more, "{more:?}");
        }
    }
}
