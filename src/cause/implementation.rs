//! Who speaks: implementations recognised from what only the protocol stack decides (first
//! SETTINGS, first WINDOW_UPDATE, order of pseudo-headers, PING payloads, GOAWAY texts). A
//! `user-agent` or `server` field is what a program says of itself, and is told so.
//!
//! Serves advice and display; never decides a cause.

use std::time::Duration;

use crate::track::history::{History, Ping, SideFacts};
use crate::vocab::address::Side;
use crate::vocab::error_code::ErrorCode;
use crate::vocab::frame::LAST_STREAM_MAX;
use crate::vocab::setting::SettingId;
use crate::vocab::time::Stamp;
use crate::vocab::verdict::Implementation;

use super::known_text;
use super::scene::spoken;

/// What an implementation's first frames look like.
struct Manner {
    name: &'static str,
    side: Side,
    /// Identifiers of the first SETTINGS in order; a value where the implementation fixes it.
    settings: &'static [(u16, Option<u32>)],
    /// First increment of the connection's window; `Some(0)` means none before the first message.
    window: Option<u32>,
    /// Order of the request's pseudo-headers, where the stack decides it.
    order: Option<&'static str>,
    /// Whether the first HEADERS carries a priority.
    priority: Option<bool>,
}

const fn client(
    name: &'static str,
    settings: &'static [(u16, Option<u32>)],
    window: Option<u32>,
    order: Option<&'static str>,
) -> Manner {
    Manner { name, side: Side::Client, settings, window, order, priority: None }
}

const fn server(
    name: &'static str,
    settings: &'static [(u16, Option<u32>)],
    window: Option<u32>,
) -> Manner {
    Manner { name, side: Side::Server, settings, window, order: None, priority: None }
}

const fn with_priority(manner: Manner) -> Manner {
    Manner { priority: Some(true), ..manner }
}

/// The identifier alone: its value is a setting of the user.
const fn any(id: u16) -> (u16, Option<u32>) {
    (id, None)
}

const fn is(id: u16, value: u32) -> (u16, Option<u32>) {
    (id, Some(value))
}

/// grpc-core's own setting: whether true binary metadata is accepted.
const GRPC_METADATA: u16 = 0xfe03;

/// More particular ones first. Learnt from captures whose making is known; the browsers and
/// OkHttp from what they have published for years.
const MANNERS: &[Manner] = &[
    client(
        "Go net/http",
        &[is(2, 0), is(4, 4_194_304), any(5), is(6, 10_485_760)],
        Some(1_073_741_824),
        Some("amps"),
    ),
    client(
        "Go net/http",
        &[is(2, 0), is(4, 4_194_304), is(6, 10_485_760)],
        Some(1_073_741_824),
        Some("amps"),
    ),
    client("curl (nghttp2)", &[is(3, 100), any(4), is(2, 0)], None, Some("mpsa")),
    client("h2load (nghttp2)", &[is(2, 0), any(4)], None, Some("psam")),
    with_priority(client("nghttp (nghttp2)", &[is(3, 100), any(4)], None, Some("mpsa"))),
    client("nghttpx", &[any(3), is(4, 65_535), is(9, 1)], Some(2_147_418_112), Some("mspa")),
    client("HAProxy", &[is(2, 0), is(8, 1), any(3)], None, Some("msap")),
    client(
        "httpx (python-h2)",
        &[is(1, 4096), any(2), is(4, 65_535), is(5, 16_384), any(3), any(6)],
        Some(16_777_216),
        Some("masp"),
    ),
    client(
        "python-h2",
        &[is(1, 4096), any(2), is(4, 65_535), is(5, 16_384), is(8, 0), is(3, 100), is(6, 65_536)],
        None,
        None,
    ),
    client(
        "gRPC core",
        &[is(2, 0), is(3, 0), any(4), any(5), any(6), any(GRPC_METADATA)],
        None,
        Some("pams"),
    ),
    with_priority(client("Vert.x on Netty", &[is(6, 8192)], None, Some("mpsa"))),
    client(
        "Chrome",
        &[is(1, 65_536), is(2, 0), is(4, 6_291_456), is(6, 262_144)],
        Some(15_663_105),
        Some("masp"),
    ),
    client(
        "Chrome",
        &[is(1, 65_536), is(2, 0), is(3, 1000), is(4, 6_291_456), is(6, 262_144)],
        Some(15_663_105),
        Some("masp"),
    ),
    client(
        "Firefox",
        &[is(1, 65_536), is(4, 131_072), is(5, 16_384)],
        Some(12_517_377),
        Some("mpas"),
    ),
    client(
        "Firefox",
        &[is(1, 65_536), is(2, 0), is(4, 131_072), is(5, 16_384)],
        Some(12_517_377),
        Some("mpas"),
    ),
    client("OkHttp", &[is(4, 16_777_216)], Some(16_711_681), Some("mpas")),
    client("Node.js http2 (nghttp2)", &[], Some(0), Some("pmas")),
    server("nginx", &[any(3), is(4, 65_536), is(5, 16_777_215)], Some(2_147_418_112)),
    server("Apache httpd", &[any(3)], Some(2_147_418_112)),
    server(
        "Go net/http",
        &[is(5, 1_048_576), any(3), any(6), is(1, 4096), is(4, 1_048_576), is(9, 1)],
        Some(983_041),
    ),
    server(
        "Go net/http",
        &[is(5, 1_048_576), any(3), any(6), is(1, 4096), is(4, 1_048_576)],
        Some(983_041),
    ),
    server("gRPC core", &[any(3), any(4), any(5), any(6), any(GRPC_METADATA)], None),
    server("gRPC core", &[any(4), any(5), any(6), any(GRPC_METADATA)], None),
    server("grpc-go", &[is(5, 16_384), any(3)], None),
    server("grpc-go", &[is(5, 16_384)], None),
    server("h2o", &[any(3), is(4, 16_777_216)], None),
    server("HAProxy", &[is(8, 1), any(3)], None),
    server("nghttpx", &[any(3), is(4, 65_535), is(9, 1), is(8, 1)], None),
    with_priority(server("Vert.x on Netty", &[any(3), is(6, 8192)], None)),
    server("Netty", &[any(3), any(6)], Some(0)),
    server(
        "python-h2",
        &[is(1, 4096), any(2), is(4, 65_535), is(5, 16_384), is(8, 0), is(3, 100), is(6, 65_536)],
        None,
    ),
];

/// PING payloads that one library alone sends.
const PINGS: &[([u8; 8], &str)] = &[
    ([0x01, 0x06, 0x01, 0x08, 0x00, 0x03, 0x03, 0x09], "grpc-go"),
    ([0x02, 0x04, 0x10, 0x10, 0x09, 0x0e, 0x07, 0x07], "grpc-go"),
    ([0x00, 0x00, 0x00, 0x09, 0x7a, 0xce, 0xf0, 0x01], "grpc-java"),
    ([0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xde, 0xad], "grpc-java"),
    ([0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x11, 0x11], "grpc-java"),
    ([0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54], "hyper (rust h2)"),
    ([0x3b, 0x7c, 0xdb, 0x7a, 0x0b, 0x87, 0x16, 0xb4], "hyper (rust h2)"),
    ([0x00, 0x00, 0x00, 0x03, 0x4f, 0x4b, 0x6f, 0x6b], "OkHttp"),
];

/// Both sides' implementations.
pub fn of_side(history: &History, side: Side) -> Option<Implementation> {
    let facts = history.sides.side(side);
    let manner = by_manner(facts, side);
    let text = by_text(history, side);
    let ping = by_ping(history, side);
    let habit = by_habit(history, side);
    let software = facts.software.as_deref().filter(|text| !text.is_empty());
    let field = if side == Side::Client { "user-agent" } else { "server" };
    let says = software.map(|text| (field, text.to_owned()));
    match manner.or(text).or(ping).or(habit) {
        Some(found) if known_text::is_left_out(&found.name) => None,
        Some(found) => Some(Implementation { says, ..found }),
        None => {
            let name = software?.to_owned();
            Some(Implementation { name, fingerprint: String::new(), says })
        }
    }
}

fn by_manner(facts: &SideFacts, side: Side) -> Option<Implementation> {
    // A joined or one-sided capture may show later SETTINGS: those after a message do not count.
    let sent = facts.settings.first()?;
    let later =
        |first: Stamp| first.before(sent.stamp) && sent.stamp.packet().abs_diff(first.packet()) > 2;
    if facts.first_frame.is_some_and(later) {
        return None;
    }
    let manner = MANNERS.iter().find(|manner| manner.side == side && manner.fits(facts))?;
    let mut rests_on: Vec<String> = Vec::new();
    let ids: Vec<String> = sent.values.iter().map(|(id, _)| format!("{:#x}", id.0)).collect();
    rests_on.push(match ids.is_empty() {
        true => "empty SETTINGS".into(),
        false => format!("SETTINGS {} in this order", ids.join(" ")),
    });
    if let Some(window) = manner.window.filter(|window| *window > 0) {
        rests_on.push(format!("WINDOW_UPDATE +{window}"));
    }
    if let Some(order) = manner.order {
        rests_on.push(format!("pseudo-headers in the order {order}"));
    }
    if manner.priority == Some(true) {
        rests_on.push("a priority in HEADERS".into());
    }
    let mut name = manner.name;
    // Vert.x is Netty but for the priority in its HEADERS: before those nobody can tell.
    if name == "Netty" && facts.first_priority.is_none() {
        name = NETTY_OR_VERTX;
        rests_on.push("no HEADERS yet, which would tell Vert.x from plain Netty".into());
    }
    Some(Implementation { name: name.into(), fingerprint: rests_on.join(", "), says: None })
}

/// A server that has sent no answer yet.
const NETTY_OR_VERTX: &str = "Netty or Vert.x";

impl Manner {
    fn fits(&self, facts: &SideFacts) -> bool {
        let Some(sent) = facts.settings.first() else { return false };
        let settings = self.settings.len() == sent.values.len()
            && self.settings.iter().zip(&sent.values).all(|((id, value), (sent, told))| {
                *id == sent.0 && value.is_none_or(|value| value == *told)
            });
        let window = match self.window {
            Some(0) => facts.first_window.is_none(),
            Some(window) => facts.first_window == Some(window),
            None => true,
        };
        let order = |wanted: &str| facts.pseudo_order.as_deref() == Some(wanted);
        let unsaid = facts.pseudo_order.is_none() && self.settings.len() > 2;
        settings
            && window
            && self.order.is_none_or(|wanted| unsaid || order(wanted))
            && self.priority.is_none_or(|priority| facts.first_priority == Some(priority))
    }
}

fn by_text(history: &History, side: Side) -> Option<Implementation> {
    let of_side = history.goaways.iter().filter(|goaway| goaway.by == side);
    let row = of_side.filter_map(known_text::find).find(|row| row.implementation != "any")?;
    let fingerprint = format!("the text of its GOAWAY ({})", row.id);
    Some(Implementation { name: row.implementation.clone(), fingerprint, says: None })
}

fn by_ping(history: &History, side: Side) -> Option<Implementation> {
    let mut sent = history.pings.iter().filter(|ping| ping.by == side);
    let known = |opaque: &[u8; 8]| PINGS.iter().find(|(payload, _)| payload == opaque);
    let (payload, name) = sent.find_map(|ping| known(&ping.opaque))?;
    let hex: Vec<String> = payload.iter().map(|octet| format!("{octet:02x}")).collect();
    let of_payload = |ping: &&Ping| ping.by == side && ping.opaque == *payload;
    let goaways = || history.goaways.iter().filter(|goaway| goaway.by == side);
    let mut sent = history.pings.iter().filter(of_payload);
    let beside = sent.any(|ping| goaways().any(|g| g.stamp.apart(ping.sent) <= BESIDE));
    let place = if beside { " beside its GOAWAY" } else { "" };
    let fingerprint = format!("its PING payload {}{place}", hex.join(" "));
    Some(Implementation { name: (*name).into(), fingerprint, says: None })
}

/// What its first GOAWAY looks like, and what came beside and behind it: each implementation has
/// its own way to drain and to fail.
fn by_habit(history: &History, side: Side) -> Option<Implementation> {
    let mut sent = history.goaways.iter().filter(|goaway| goaway.by == side);
    let first = sent.next().filter(|goaway| side == Side::Server && !goaway.after_peer_close)?;
    let second = sent.next().filter(|later| later.last_stream_id != LAST_STREAM_MAX);
    let told = |name: &str, rests_on: String| {
        Some(Implementation { name: name.into(), fingerprint: rests_on, says: None })
    };
    let (all, silent) = (first.last_stream_id == LAST_STREAM_MAX, first.debug.is_empty());
    let newest = *first.highest_stream.side(Side::Client);
    let settings = history.sides.side(side).settings.iter().flat_map(|sent| &sent.values);
    let software = history.sides.side(side).software.as_deref();
    let mut limits = settings.filter(|(id, _)| *id == SettingId::MAX_CONCURRENT_STREAMS);
    let future = first.last_stream_id.checked_sub(newest).filter(|more| *more > 0 && !all);
    match first.code {
        ErrorCode::NO_ERROR if all => {
            let beside = |ping: &&Ping| ping.by == side && ping.sent.apart(first.stamp) <= BESIDE;
            let ping = history.pings.iter().find(beside);
            let answered = ping.and_then(|ping| ping.answered);
            let prompt = |answer| second.is_some_and(|s| s.stamp.since(answer) <= BESIDE * 10);
            let wait = second.map(|second| second.stamp.since(first.stamp));
            match wait {
                Some(_) if answered.is_some_and(prompt) => told(
                    "gRPC or hyper (rust h2)",
                    "a PING beside its GOAWAY 2^31-1, and the real last stream right after the \
                     answer"
                        .into(),
                ),
                // Others may be set to drain for as long (Envoy): h2o says who it is.
                Some(wait)
                    if ping.is_none()
                        && silent
                        && wait.abs_diff(H2O_DRAIN) <= BESIDE * 10
                        && software.is_none_or(|software| software.contains("h2o")) =>
                {
                    told(
                        "h2o",
                        format!("GOAWAY 2^31-1, and the real last stream {} later", spoken(wait)),
                    )
                }
                _ => None,
            }
        }
        ErrorCode::NO_ERROR => {
            let twice = limits.any(|(_, limit)| future == Some(limit.saturating_mul(2)));
            let rests_on = "a last stream ahead of the newest by twice its limit on streams";
            if twice { told("HAProxy", rests_on.into()) } else { None }
        }
        ErrorCode::CANCEL if silent && !all => {
            told("@grpc/grpc-js (Node.js)", "a GOAWAY with CANCEL and no text".into())
        }
        _ if all && silent => {
            told("Kestrel", "an error with last stream 2^31-1 and no text".into())
        }
        _ if all => told(NETTY_OR_VERTX, "an error with last stream 2^31-1 and a text".into()),
        _ => None,
    }
}

/// What leaves so soon after each other was sent in one go.
const BESIDE: Duration = Duration::from_millis(5);

/// How long h2o waits between the two steps of its drain.
const H2O_DRAIN: Duration = Duration::from_secs(1);

/// A limit on resets of an implementation.
#[derive(Clone, Copy, Debug)]
pub struct ResetLimit {
    /// So many ...
    pub resets: u32,
    /// ... within so many seconds.
    pub seconds: u32,
    /// How it is set.
    pub setting: &'static str,
}

/// The limit on resets that a recognised server has by default.
pub fn reset_limit(name: &str) -> Option<ResetLimit> {
    let limit = |resets, seconds, setting| Some(ResetLimit { resets, seconds, setting });
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        n if n.starts_with("vert") => {
            limit(200, 30, "HttpServerOptions.setHttp2RstFloodMaxRstFramePerWindow")
        }
        n if n == NETTY_OR_VERTX.to_ascii_lowercase() => limit(
            200,
            30,
            "decoderEnforceMaxRstFramesPerWindow (Vert.x: \
             HttpServerOptions.setHttp2RstFloodMaxRstFramePerWindow)",
        ),
        n if n.starts_with("netty") => limit(200, 30, "decoderEnforceMaxRstFramesPerWindow"),
        n if n.starts_with("undertow") => limit(200, 30, "MAX_RST_FRAMES_PER_WINDOW"),
        n if n.starts_with("node") => limit(1000, 30, "streamResetBurst and streamResetRate"),
        n if n.starts_with("ngh") => limit(1000, 30, "nghttp2_option_set_stream_reset_rate_limit"),
        n if n.starts_with("jetty") => limit(128, 1, "rateControlFactory"),
        n if n.starts_with("akka") => limit(400, 10, "max-resets"),
        _ => None,
    }
}

/// The setting that rules a request timeout of a client, by the implementation's own name.
pub fn request_timeout_setting(name: &str) -> Option<&'static str> {
    const KNOWN: &[(&str, &str)] = &[
        ("go net/http", "http.Client.Timeout or the request's context deadline"),
        ("go-net-http", "http.Client.Timeout or the request's context deadline"),
        ("vert", "RequestOptions.setTimeout (ServiceComb: servicecomb.request.timeout)"),
        ("node", "ClientHttp2Stream.setTimeout or the AbortSignal's timeout"),
        ("curl", "--max-time"),
        ("nghttp ", "--timeout"),
        ("nghttpx", "--backend-read-timeout"),
        ("haproxy", "timeout server"),
        ("httpx", "timeout"),
        ("grpc", "the call's deadline"),
        ("okhttp", "callTimeout or readTimeout"),
        ("envoy", "the route's timeout"),
    ];
    look_up(KNOWN, name)
}

/// The setting that rules a server's idle timeout.
pub fn idle_setting(name: &str) -> Option<&'static str> {
    const KNOWN: &[(&str, &str)] = &[
        ("go net/http", "http.Server.IdleTimeout"),
        ("go-net-http", "http.Server.IdleTimeout"),
        ("nginx", "keepalive_timeout"),
        ("apache", "KeepAliveTimeout"),
        ("h2o", "http2-idle-timeout"),
        ("haproxy", "timeout http-keep-alive or timeout client"),
        ("vert", "HttpServerOptions.setIdleTimeout"),
        ("netty or vert", "HttpServerOptions.setIdleTimeout (Vert.x) or the IdleStateHandler"),
        ("node", "http2Server.setTimeout"),
        ("grpc", "MAX_CONNECTION_IDLE"),
        ("nghttpx", "--frontend-http2-idle-timeout"),
    ];
    look_up(KNOWN, name)
}

/// Whether an implementation's idle timer runs only while no stream is open; those of others count
/// octets, or are not known.
pub fn counts_streams(name: &str) -> bool {
    const STREAMS: &[&str] = &["go", "nginx", "apache", "h2o", "haproxy", "grpc", "caddy"];
    let name = name.to_ascii_lowercase();
    STREAMS.iter().any(|begin| name.starts_with(begin))
}

fn look_up(known: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    known.iter().find(|(begin, _)| name.starts_with(begin)).map(|(_, setting)| *setting)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Talk;
    use super::*;

    #[test]
    fn names_find_their_settings() {
        assert_eq!(reset_limit("Vert.x on Netty").map(|limit| limit.resets), Some(200));
        assert!(reset_limit("nginx").is_none());
        assert_eq!(idle_setting("Go net/http"), Some("http.Server.IdleTimeout"));
        assert!(request_timeout_setting("HAProxy").is_some());
    }

    #[test]
    fn vertx_is_netty_until_it_answers() {
        let server = |talk: Talk| talk.row().implementations.second.map(|found| found.name);
        let open = Talk::with_settings("MAX_CONCURRENT_STREAMS=200 MAX_HEADER_LIST_SIZE=8192");
        let asked = open.get(20.0, 1);
        assert_eq!(server(asked.clone()).as_deref(), Some("Netty or Vert.x"));
        let answered = |fields| asked.clone().s(30.0, &format!("HEADERS 1 {fields} :status=200"));
        assert_eq!(server(answered("END_STREAM")).as_deref(), Some("Netty"));
        let vertx = server(answered("PRIORITY=0 END_STREAM"));
        assert_eq!(vertx.as_deref(), Some("Vert.x on Netty"));
        assert!(reset_limit("Netty or Vert.x").unwrap().setting.contains("Vert.x"));
    }

    #[test]
    fn habits_of_goaways_tell_who_speaks() {
        let server = |talk: &Talk| talk.row().implementations.second;
        // Its SETTINGS are nobody's.
        let busy = || Talk::with_settings("0x99=1 MAX_CONCURRENT_STREAMS=40").served(10.0, 1);
        let first = |payload: &str| {
            let step = format!("GOAWAY 2147483647 NO_ERROR\n+ PING {payload}");
            busy().s(500.0, &step).c(500.4, &format!("PING ACK {payload}"))
        };
        let second = |talk: Talk| talk.s(500.9, "GOAWAY 1 NO_ERROR").s(501.0, "FIN");
        let drained = server(&second(first("0106010800030309"))).unwrap();
        assert_eq!(drained.name, "grpc-go");
        assert!(drained.fingerprint.contains("beside its GOAWAY"), "{}", drained.fingerprint);
        let drained = server(&second(first("00000000000000c1"))).unwrap();
        assert!(drained.name.contains("gRPC or hyper"), "{drained:?}");
        let later = first("00000000000000c1").s(2900.0, "GOAWAY 1 NO_ERROR").s(2901.0, "FIN");
        assert!(server(&later).is_none(), "{:?}", server(&later));
        let steps = |wait: f64| {
            let talk = busy().s(500.0, "GOAWAY 2147483647 NO_ERROR");
            server(&talk.s(500.0 + wait, "GOAWAY 1 NO_ERROR").s(501.0 + wait, "FIN"))
        };
        assert_eq!(steps(1002.0).map(|found| found.name).as_deref(), Some("h2o"));
        assert!(steps(1702.0).is_none());
        let named = |end: &str| server(&busy().s(500.0, end)).map(|found| found.name);
        assert_eq!(named("GOAWAY 81 NO_ERROR").as_deref(), Some("HAProxy"));
        assert_eq!(named("GOAWAY 9 NO_ERROR"), None);
        assert_eq!(named("GOAWAY 2147483647 INTERNAL_ERROR").as_deref(), Some("Kestrel"));
        assert_eq!(named("GOAWAY 1 INTERNAL_ERROR"), None);
    }

    #[test]
    fn no_two_manners_are_the_same() {
        for (index, one) in MANNERS.iter().enumerate() {
            for other in MANNERS.iter().skip(index + 1) {
                let same = one.settings == other.settings && one.order == other.order;
                let apart = one.window != other.window || one.priority != other.priority;
                assert!(!same || one.side != other.side || apart, "{}, {}", one.name, other.name);
            }
        }
    }
}
