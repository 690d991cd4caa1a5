//! What the endings of known implementations look like, and what is said of them: never a wrong
//! cause with confidence. Texts and mechanisms from the sources of each; counts and times differ
//! from those of the labelled captures.

use super::tests::Talk;
use crate::vocab::cause::Cause::{self, *};

/// Who, the conversation, the right cause, and the least confidence; 0 where any cause will do as
/// long as a wrong one is not told as sure.
struct Case(&'static str, Talk, Cause, f64);

fn check(cases: Vec<Case>) {
    let mut faults = Vec::new();
    for Case(name, talk, cause, least) in cases {
        let verdict = talk.told();
        let (found, sure) = (verdict.cause, verdict.confidence.value());
        let right = found == cause || verdict.trigger == cause;
        if (right && sure < least) || (!right && (least > 0.0 || sure >= 0.75)) {
            faults.push(format!("{name}: {found} {sure}, not {cause}: {}", verdict.summary));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

const MAX: u32 = 0x7fff_ffff;

fn goaway(last: u32, code: &str, debug: &str) -> String {
    let debug = if debug.is_empty() { String::new() } else { format!(" \"{debug}\"") };
    format!("GOAWAY {last} {code}{debug}")
}

/// A request served, then nothing; the server ends it at `at`.
fn idle(at: f64, end: &str) -> Talk {
    Talk::opened().served(10.0, 1).s(at, end).s(at + 1.0, "FIN")
}

/// Requests cancelled as soon as sent, one `every` ms, and the time after the last.
fn cancelled(count: u32, every: f64) -> (Talk, f64) {
    let talk = (0..count).fold(Talk::opened(), |talk, number| {
        let (at, stream) = (10.0 + f64::from(number) * every, number * 2 + 1);
        talk.get(at, stream).cancel(at + 0.5, stream)
    });
    (talk, 10.0 + f64::from(count) * every)
}

/// The same, and the ending right behind the last.
fn resets(count: u32, every: f64, end: &str) -> Talk {
    let (talk, at) = cancelled(count, every);
    talk.s(at + 1.0, end).s(at + 2.0, "FIN")
}

/// A request waits; a PING is never answered; then the ending.
fn lost(by: char, opaque: &str, sent: f64, end: f64, what: &str) -> Talk {
    let talk = Talk::opened().served(10.0, 1).get(40.0, 3);
    let ping = format!("PING {opaque}");
    if by == 'C' {
        talk.c(sent, &ping).c(end, what).c(end + 0.5, "FIN")
    } else {
        talk.s(sent, &ping).s(end, what).s(end + 0.5, "FIN")
    }
}

#[test]
fn lost_pings() {
    let (akka, go) = ("Ping ack timeout", "client transport shutdown");
    let cases = [
        ("okhttp", 'C', "0000000100000000", (7000.0, 14_003.0), "GOAWAY 0 PROTOCOL_ERROR", 0.9),
        (
            "akka",
            'S',
            "0000000000000001",
            (4000.0, 9004.0),
            &goaway(3, "PROTOCOL_ERROR", akka),
            0.9,
        ),
        ("kestrel", 'S', "0000000000000000", (3000.0, 11_006.0), "GOAWAY 3 INTERNAL_ERROR", 0.9),
        ("grpc-java", 'S', "000000000000dead", (6000.0, 26_004.0), "GOAWAY 3 NO_ERROR", 0.8),
        ("hyper", 'S', "3b7cdb7a0b8716b4", (2500.0, 5502.0), "GOAWAY 3 NO_ERROR", 0.8),
        ("grpc-go", 'C', "0000000000000000", (10_000.0, 30_004.0), &goaway(0, "NO_ERROR", go), 0.8),
        ("go client", 'C', "a1b2c3d4e5f60718", (9000.0, 24_002.0), "FIN", 0.9),
        ("grpc-go server", 'S', "0000000000000000", (5000.0, 12_001.0), "RST", 0.8),
        ("envoy", 'S', "00000000000003e8", (2000.0, 2803.0), "FIN", 0.8),
    ];
    let case = |(name, by, opaque, (sent, end), what, least): (_, _, _, _, &str, _)| {
        Case(name, lost(by, opaque, sent, end, what), KeepalivePingTimeout, least)
    };
    check(cases.into_iter().map(case).collect());
}

#[test]
fn idle_ends() {
    check(vec![
        Case("nginx", idle(45_021.0, &goaway(1, "NO_ERROR", "")), IdleTimeout, 0.7),
        Case("go", idle(7020.4, &goaway(1, "NO_ERROR", "")), IdleTimeout, 0.7),
        Case("haproxy", idle(6021.0, &goaway(1, "NO_ERROR", "")), IdleTimeout, 0.7),
        Case("h2o", idle(10_023.0, &goaway(1, "NO_ERROR", "idle timeout")), IdleTimeout, 0.9),
        Case("jetty", idle(30_040.0, &goaway(1, "NO_ERROR", "idle_timeout")), IdleTimeout, 0.9),
        Case("apache", idle(8021.0, &goaway(1, "NO_ERROR", "timeout")), IdleTimeout, 0.8),
        Case("grpc-go", idle(9024.0, &goaway(MAX, "NO_ERROR", "max_idle")), IdleTimeout, 0.9),
        Case("gfe", idle(240_020.0, &goaway(1, "NO_ERROR", "session_timed_out")), IdleTimeout, 0.8),
        Case(
            "hc5",
            idle(15_021.0, &goaway(1, "NO_ERROR", "Timeout due to inactivity (15 SECONDS)")),
            IdleTimeout,
            0.8,
        ),
        Case("envoy", idle(20_021.0, &goaway(MAX, "NO_ERROR", "")), IdleTimeout, 0.6),
        Case(
            "envoy oghttp2",
            idle(20_021.0, &goaway(MAX, "NO_ERROR", "graceful_shutdown")),
            IdleTimeout,
            0.0,
        ),
        Case("kestrel", idle(130_021.0, &goaway(MAX, "NO_ERROR", "")), IdleTimeout, 0.6),
        Case("undertow", idle(12_020.5, &goaway(1, "NO_ERROR", "")), IdleTimeout, 0.7),
        Case("twisted", idle(60_022.0, &goaway(1, "NO_ERROR", "")), IdleTimeout, 0.7),
        Case("tomcat, late timer", idle(21_437.0, &goaway(1, "NO_ERROR", "")), IdleTimeout, 0.0),
        Case("vertx", idle(5021.0, "FIN"), IdleTimeout, 0.7),
        Case(
            "vertx, waiting",
            Talk::opened().served(10.0, 1).get(100.0, 3).get(101.0, 5).s(7104.0, "FIN"),
            IdleTimeout,
            0.6,
        ),
        Case("alb", idle(60_030.0, "FIN"), IdleTimeout, 0.7),
    ]);
}

#[test]
fn drains_and_ages() {
    let busy = |end: &str| Talk::opened().served(10.0, 1).get(700.0, 3).s(737.0, end).ok(900.0, 3);
    check(vec![
        Case("grpc-go age", busy(&goaway(MAX, "NO_ERROR", "max_age")), MaxConnectionAge, 0.9),
        Case(
            "grpc-java age",
            busy(&goaway(MAX, "NO_ERROR", "max_age")).s(740.0, "PING 000000097acef001"),
            MaxConnectionAge,
            0.9,
        ),
        Case(
            "grpc-core age",
            Talk::opened()
                .served(10.0, 1)
                .get(11_000.0, 3)
                .s(11_120.0, "GOAWAY 2147483647 NO_ERROR"),
            MaxConnectionAge,
            0.0,
        ),
        Case(
            "grpc-go stop",
            busy(&goaway(MAX, "NO_ERROR", "graceful_stop")),
            GracefulShutdown,
            0.8,
        ),
        Case(
            "grpc-java stop",
            busy(&goaway(MAX, "NO_ERROR", "app_requested")),
            GracefulShutdown,
            0.8,
        ),
        Case("h2o", busy(&goaway(MAX, "NO_ERROR", "graceful shutdown")), GracefulShutdown, 0.8),
        Case("jetty", busy(&goaway(MAX, "NO_ERROR", "graceful")), GracefulShutdown, 0.8),
        Case(
            "akka",
            busy(&goaway(3, "NO_ERROR", "Voluntary connection close.")),
            GracefulShutdown,
            0.8,
        ),
        Case(
            "rust h2",
            busy("GOAWAY 2147483647 NO_ERROR\n+ PING 0b7ba2f08b9bfe54"),
            GracefulShutdown,
            0.6,
        ),
        Case("haproxy reload", busy(&goaway(MAX, "NO_ERROR", "")), GracefulShutdown, 0.6),
        Case("go", busy(&goaway(3, "NO_ERROR", "")), GracefulShutdown, 0.6),
        Case(
            "grpc-node forced",
            busy(&goaway(3, "CANCEL", "")).s(738.0, "FIN"),
            GracefulShutdown,
            0.6,
        ),
        Case(
            "after cancels",
            cancelled(40, 20.0).0.get(2500.0, 201).s(2540.0, "GOAWAY 201 NO_ERROR"),
            GracefulShutdown,
            0.6,
        ),
        Case("haproxy total streams", future(), MaxRequestsPerConnection, 0.6),
    ]);
}

/// A last stream that has not come yet: 30 streams more, twice 15.
fn future() -> Talk {
    let mut talk = Talk::with_settings("MAX_CONCURRENT_STREAMS=15");
    for number in 0..40_u32 {
        talk = talk.served(10.0 + f64::from(number) * 30.0, number * 2 + 1);
    }
    talk.get(1300.0, 81).s(1301.0, "GOAWAY 111 NO_ERROR").ok(1310.0, 81).s(1400.0, "FIN")
}

#[test]
fn too_many_resets() {
    let rapid = |count, every, code: &str, last, debug: &str| {
        resets(count, every, &goaway(last, code, debug))
    };
    let calm = "ENHANCE_YOUR_CALM";
    let netty = "Maximum number of RST frames reached";
    let tomcat = "Connection [7], Too much overhead so the connection will be closed";
    check(vec![
        Case("netty", rapid(201, 60.0, calm, MAX, netty), RapidResetProtection, 0.9),
        Case("undertow", rapid(201, 40.0, calm, 401, ""), RapidResetProtection, 0.9),
        Case("rust h2", rapid(21, 2.0, calm, 41, "too_many_resets"), RapidResetProtection, 0.9),
        Case(
            "grpc-java",
            rapid(31, 100.0, calm, 61, "too_many_rststreams"),
            RapidResetProtection,
            0.9,
        ),
        Case(
            "jetty",
            rapid(129, 3.0, calm, 257, "invalid_rst_stream_frame_rate"),
            RapidResetProtection,
            0.9,
        ),
        Case("tomcat", rapid(9, 20.0, calm, 17, tomcat), RapidResetProtection, 0.8),
        Case("akka", rapid(401, 10.0, calm, 801, ""), RapidResetProtection, 0.9),
        Case(
            "nghttp2, node",
            rapid(1034, 1.0, "INTERNAL_ERROR", 2067, ""),
            RapidResetProtection,
            0.9,
        ),
        Case("kestrel", rapid(220, 5.0, calm, MAX, ""), RapidResetProtection, 0.9),
        Case("envoy aborts", resets(260, 3.0, "RST"), RapidResetProtection, 0.8),
        Case("netty's own resets", own_resets(), RapidResetProtection, 0.9),
        Case("nginx refused", refused(), RefusedStream, 0.8),
    ]);
}

/// The server resets what the client's frames break, until it has enough.
fn own_resets() -> Talk {
    let mut talk = Talk::opened();
    for number in 0..60_u32 {
        let (stream, at) = (number * 2 + 1, 10.0 + f64::from(number) * 4.0);
        talk = talk.get(at, stream).c(at + 1.0, &format!("WINDOW_UPDATE {stream} 0"));
        talk = talk.s(at + 2.0, &format!("RST_STREAM {stream} PROTOCOL_ERROR"));
    }
    let text = "Maximum number 60 of RST frames frames reached within 30 seconds";
    talk.s(260.0, &goaway(MAX, "ENHANCE_YOUR_CALM", text)).s(261.0, "FIN")
}

/// Streams above the limit, each refused, until the server has enough.
fn refused() -> Talk {
    let mut talk = Talk::with_settings("MAX_CONCURRENT_STREAMS=2").get(5.0, 1).get(5.0, 3);
    for number in 0..105_u32 {
        let (stream, at) = (number * 2 + 5, 10.0 + f64::from(number) * 2.0);
        talk = talk.get(at, stream).s(at + 0.5, &format!("RST_STREAM {stream} REFUSED_STREAM"));
    }
    talk.s(221.0, "GOAWAY 213 NO_ERROR").s(222.0, "FIN")
}

#[test]
fn timers_with_an_error_code() {
    let silent = |end: &str, at: f64| {
        Talk::opened().served(10.0, 1).get(50.0, 3).get(51.0, 5).s(at, end).s(at + 1.0, "FIN")
    };
    let slow_body = Talk::opened().post(10.0, 1).c(2000.0, "DATA 1 40").c(4000.0, "DATA 1 40");
    let stalled = Talk::opened().get(10.0, 1).s(20.0, "HEADERS 1 :status=200\n+ DATA 1 9000");
    check(vec![
        Case(
            "twisted",
            silent(&goaway(5, "PROTOCOL_ERROR", ""), 20_052.0),
            ServerRequestTimeout,
            0.6,
        ),
        Case(
            "kestrel slow body",
            slow_body.s(6300.0, &goaway(MAX, "INTERNAL_ERROR", "")),
            ServerRequestTimeout,
            0.6,
        ),
        Case(
            "nginx headers",
            Talk::opened().s(9004.0, "GOAWAY 0 PROTOCOL_ERROR"),
            HandshakeTimeout,
            0.8,
        ),
        Case(
            "kestrel headers",
            Talk::opened().s(8004.0, &goaway(MAX, "INTERNAL_ERROR", "")),
            HandshakeTimeout,
            0.8,
        ),
        Case("nginx send_timeout", stalled.clone().s(60_021.0, "RST"), StreamIdleTimeout, 0.6),
        Case("apache timeout", stalled.s(15_022.0, "GOAWAY 1 70007"), StreamIdleTimeout, 0.6),
        Case("apache errno", silent("GOAWAY 5 104", 400.0), ConnectError, 0.5),
        Case("undertow", silent(&goaway(5, "CONNECT_ERROR", ""), 300.0), ConnectError, 0.8),
        Case(
            "a netty exception",
            silent(&goaway(MAX, "INTERNAL_ERROR", "index: 5, length: 1"), 87.0),
            InternalError,
            0.6,
        ),
        Case(
            "okhttp, io",
            Talk::opened().served(10.0, 1).c(99.0, "GOAWAY 0 PROTOCOL_ERROR"),
            Unknown,
            0.0,
        ),
        Case(
            "hc5 settings",
            Talk::default()
                .raw(0.0, "0 SYN\n1 C> PREFACE\n+ SETTINGS\n2 S> SETTINGS\n+ SETTINGS ACK")
                .get(10.0, 1)
                .s(12_004.0, &goaway(1, "SETTINGS_TIMEOUT", "Setting timeout (12 SECONDS)")),
            SettingsAckTimeout,
            0.9,
        ),
    ]);
}

#[test]
fn pings_floods_and_headers() {
    let mut pings = Talk::opened().get(5.0, 1);
    for at in [3000.0, 6000.0, 9000.0] {
        pings = pings.c(at, "PING 0000000000000000").s(at + 0.4, "PING ACK 0000000000000000");
    }
    let mut continuations = Talk::opened()
        .c(5.0, "HEADERS 1 NO_END_HEADERS :method=GET :scheme=http :authority=a :path=/");
    for number in 0..9 {
        continuations =
            continuations.c(6.0 + f64::from(number), "CONTINUATION 1 NO_END_HEADERS x=y");
    }
    let empty =
        Talk::opened().post(5.0, 1).c(6.0, "DATA 1 0").c(6.0, "DATA 1 0").c(6.0, "DATA 1 0");
    let large = |size: usize| {
        let cookie = "~".repeat(size);
        let fields = ":method=GET :scheme=http :authority=a :path=/";
        Talk::opened().c(5.0, &format!("HEADERS 1 END_STREAM {fields} !cookie={cookie}"))
    };
    let calm = "ENHANCE_YOUR_CALM";
    check(vec![
        Case("grpc-go", pings.s(9000.5, &goaway(1, calm, "too_many_pings")), TooManyPings, 0.9),
        Case(
            "rust h2",
            continuations.s(15.5, &goaway(0, calm, "too_many_continuations")),
            FloodProtection,
            0.8,
        ),
        Case(
            "netty",
            empty.s(
                6.5,
                &goaway(
                    MAX,
                    calm,
                    "Maximum number 2 of empty data frames without end_of_stream flag received",
                ),
            ),
            FloodProtection,
            0.7,
        ),
        Case("nginx header", large(9100).s(6.0, &goaway(1, calm, "")), HeaderListTooLarge, 0.7),
        Case(
            "netty header",
            large(10_500).s(
                6.0,
                &goaway(MAX, "PROTOCOL_ERROR", "Header size exceeded max allowed size (8192)"),
            ),
            HeaderListTooLarge,
            0.9,
        ),
        Case(
            "rust header",
            large(17_000).s(6.0, &goaway(0, calm, "header_list_way_too_large")),
            HeaderListTooLarge,
            0.8,
        ),
    ]);
}

#[test]
fn clients_that_are_done() {
    let done = |what: &str| Talk::opened().served(10.0, 1).c(90.0, what).c(91.0, "FIN");
    check(vec![
        Case("curl", done("GOAWAY 0 NO_ERROR \"shutdown\\0\""), ClientShutdown, 0.9),
        Case(
            "grpc-go",
            done("GOAWAY 1 NO_ERROR \"client transport shutdown\""),
            ClientShutdown,
            0.9,
        ),
        Case("hc5", done("GOAWAY 0 NO_ERROR \"Graceful shutdown\""), ClientShutdown, 0.9),
        Case("okhttp", done("GOAWAY 0 NO_ERROR"), ClientShutdown, 0.9),
        Case("dotnet", Talk::opened().served(10.0, 1).c(91.0, "FIN"), ClientShutdown, 0.9),
    ]);
}
