//! Timers measured over all connections of a pair, settings that do not fit together, and who
//! speaks: against the configuration of labelled captures, and against scripts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use common::{Case, cases, list};
use goawhy::board::{Board, InferredTimeout};
use goawhy::exchange;
use goawhy::run::offline::{Job, report};
use goawhy::vocab::cause::Cause;
use goawhy::vocab::verdict::ConfiguredIn::{self, Client, Proxy, Server};

fn captures(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures").join(folder)
}

fn read(file: PathBuf) -> Board {
    report(&Job { files: vec![file], ..Job::default() }).unwrap()
}

fn stack(name: &str) -> Board {
    let place = |end: &str| captures("stacks").join(format!("{name}.{end}"));
    let file = ["pcap", "pcapng"].map(place).into_iter().find(|file| file.exists());
    read(file.unwrap_or_else(|| panic!("no capture {name}")))
}

/// A script's report.
fn told(name: &str, script: &str) -> Board {
    let pcap = exchange::pcap(script).unwrap_or_else(|error| panic!("{error}\n{script}"));
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("timeouts-{name}.pcap"));
    std::fs::write(&file, pcap).unwrap();
    read(file)
}

fn rules(board: &Board) -> Vec<&'static str> {
    let mut rules: Vec<_> = board.conflicts.iter().map(|conflict| conflict.rule).collect();
    rules.dedup();
    rules
}

fn timer<'a>(board: &'a Board, kind: &str, by: ConfiguredIn) -> Vec<&'a InferredTimeout> {
    let all = board.inferred_timeouts.iter();
    all.filter(|timer| timer.kind.name() == kind && timer.configured_in == by).collect()
}

const BELOW: &str = "client_timeout_below_answer_time";
const RESETS: &str = "resets_near_limit";

/// Timers of `stacks` and `servers` that their truths tell in words alone: capture, timer, where,
/// seconds.
const IN_WORDS: &[(&str, &str, ConfiguredIn, f64)] = &[
    ("stacks/go127-server-write-timeout", "server_request_timeout", Server, 1.1),
    // Configured as 0.7 s; gRPC core makes 1 s of it.
    ("stacks/grpcio-too-many-pings", "keepalive_interval", Client, 1.0),
    ("stacks/vertx4512-fixed-guard", "client_request_timeout", Client, 4.0),
    ("stacks/vertx4512-idle", "idle_timeout", Server, 3.0),
    // The proxy is the client of its own server.
    ("servers/h2o-timeouts", "client_request_timeout", Client, 6.0),
    ("servers/haproxy-504", "server_request_timeout", Proxy, 2.0),
];

/// Timers that show later than configured: by which share of it.
const LATE: &[(&str, &str, f64)] = &[
    // gRPC varies the age by a tenth.
    ("stacks/grpcio-max-connection-age", "max_connection_age", 0.1),
    // gRPC core looks for idle connections in rounds, up to twice the configured time later.
    ("stacks/grpcio-max-connection-idle", "idle_timeout", 1.0),
    // Requests had to wait before they were sent.
    ("stacks/vertx-idle-close-after-timeouts", "client_request_timeout", 0.06),
    ("stacks/vertx4512-rst-flood", "client_request_timeout", 0.03),
];

/// A timer of a truth: its name, whose it is, seconds.
type Configured = (String, ConfiguredIn, f64);

/// The timers of a truth, and those of them that show for single streams of a server: such a
/// timer may be too seldom seen to be told of the pair.
fn configured(truth: &Value) -> (Vec<Configured>, Vec<Configured>) {
    let (mut sure, mut of_streams) = (Vec::new(), Vec::new());
    let read = |timer: &Value| {
        let by = if timer["configured_in"] == "server" { Server } else { Client };
        Some((timer["kind"].as_str()?.to_owned(), by, timer["seconds"].as_f64()?))
    };
    for connection in list(&truth["connections"]) {
        let goaways = list(&connection["goaways"]).iter();
        let groups = match &connection["cancellations"] {
            Value::Array(groups) => groups.as_slice(),
            group => std::slice::from_ref(group),
        };
        let timers = goaways.chain(groups).chain([connection]).map(|of| &of["timeout"]);
        for timer in timers {
            let known = read(timer);
            let interval = timer["ping_after_idle_seconds"].as_f64();
            let interval = known.as_ref().zip(interval);
            sure.extend(interval.map(|((_, by, _), s)| ("keepalive_interval".into(), *by, s)));
            sure.extend(known);
        }
        for timer in list(&connection["timeouts"]).iter().filter_map(read) {
            if timer.1 == Client { sure.push(timer) } else { of_streams.push(timer) }
        }
    }
    (sure, of_streams)
}

/// Captures of these folders with their truths, and what is said of them.
fn labelled(folders: &[&str]) -> Vec<(Case, Board)> {
    let mut cases = cases();
    cases.retain(|case| folders.iter().any(|folder| case.name.starts_with(folder)));
    cases.into_iter().map(|case| (read(case.capture.clone()), case)).map(|(b, c)| (c, b)).collect()
}

/// The close of one connection alone, or its end after a silence: no proof of a timer, and told as
/// none.
fn is_lone(timer: &InferredTimeout) -> bool {
    let alike = matches!(timer.kind.name(), "client_request_timeout" | "idle_timeout");
    alike && timer.samples == 1 && (0.3..=0.5).contains(&timer.confidence.value())
}

#[test]
fn timers_are_measured_as_they_were_configured_and_no_others() {
    let mut faults = String::new();
    let all = labelled(&["stacks/", "servers/"]);
    for (case, board) in &all {
        let name = case.name.as_str();
        let (mut wanted, of_streams) = configured(&case.truth);
        let in_words = IN_WORDS.iter().filter(|(capture, ..)| *capture == name);
        wanted.extend(in_words.map(|(_, kind, by, seconds)| ((*kind).to_owned(), *by, *seconds)));
        let fits = |timer: &InferredTimeout, (kind, by, seconds): &Configured| {
            let late = LATE.iter().find(|(capture, of, _)| *capture == name && of == kind);
            timer.kind.name() == kind
                && timer.configured_in == *by
                && (timer.seconds / seconds - 1.0).abs() <= late.map_or(0.02, |(.., late)| *late)
                && (timer.confidence.value() >= 0.6 || is_lone(timer))
                && !timer.at_least
        };
        for want in &wanted {
            if !board.inferred_timeouts.iter().any(|timer| fits(timer, want)) {
                writeln!(faults, "{name}: no {want:?}").unwrap();
            }
        }
        let known = |timer: &InferredTimeout| {
            wanted.iter().chain(&of_streams).any(|want| fits(timer, want))
        };
        for timer in board.inferred_timeouts.iter().filter(|timer| !known(timer)) {
            writeln!(faults, "{name}: {timer:?} was never configured").unwrap();
        }
    }
    assert!(faults.is_empty() && all.len() >= 68, "{}\n{faults}", all.len());
}

/// How long a late server took, as configured: `server_response_seconds` of the truths.
#[test]
fn answers_that_came_too_late_took_as_long_as_configured() {
    let mut seen = 0;
    for (case, board) in labelled(&["stacks/"]) {
        let goaways = list(&case.truth["connections"]).iter();
        let goaways = goaways.flat_map(|connection| list(&connection["goaways"]));
        let configured = goaways.filter_map(|goaway| goaway["server_response_seconds"].as_f64());
        let Some(seconds) = configured.reduce(f64::max) else { continue };
        seen += 1;
        let name = &case.name;
        if name.contains("trip-rst-flood") {
            // This server was cut off by its own limit on resets, before any answer came.
            assert!(board.server_answers.iter().all(|of| of.times.late == 0), "{name}");
            continue;
        }
        let server = &board.server_answers[0];
        let (middle, most) = (server.times.late_median, server.times.late_max);
        assert!(middle >= seconds && most <= seconds * 1.06, "{name}: {server:?}");
        let slow = &server.requests[0];
        assert!(slow.request.contains("slow") && slow.times.late == server.times.late, "{slow:?}");
        let fast = server.requests.last().unwrap();
        assert!(fast.times.count > 0 && fast.times.max < 1.0, "{fast:?}");
        assert!(board.conflicts[0].text.contains("would have saved"), "{:?}", board.conflicts);
    }
    assert_eq!(seen, 3);
}

/// Every capture of a folder, read.
fn all(folder: &str) -> Vec<(String, Board)> {
    let mut boards = Vec::new();
    for entry in std::fs::read_dir(captures(folder)).unwrap() {
        let file = entry.unwrap().path();
        let end = file.extension().unwrap_or_default();
        if end == "pcap" || end == "pcapng" {
            let name = file.file_stem().unwrap().to_str().unwrap().to_string();
            boards.push((name, read(file)));
        }
    }
    boards
}

#[test]
fn one_client_with_two_timeouts_shows_both() {
    let board = read(captures("servers").join("client-timeout-direct.pcap"));
    let found = timer(&board, "client_request_timeout", ConfiguredIn::Client);
    let seconds: Vec<f64> = found.iter().map(|t| (t.seconds * 10.0).round() / 10.0).collect();
    assert_eq!(seconds, [1.0, 1.5]);
    assert!(found[0].connections >= 4);
    // httpx closes without a word: its neighbours tell that this is the same second.
    let causes = board.causes();
    assert_eq!(causes.get(&Cause::ClientRequestTimeout), Some(&3));
    assert_eq!(causes.get(&Cause::AbruptClose), None);
}

/// The captures of `servers` whose settings do not fit together, and by which rule; all others
/// tell none. Those of `stacks` follow from their configuration: see tests/corpus.rs.
const CONFLICTS: &[(&str, &[&str])] = &[
    ("answers-lost-few", &["path_stalled"]),
    ("client-window-used-up", &["window_used_up"]),
    ("go-server-stopped", &["server_stood_still"]),
    ("grpcjs-deadline-kept-by-server", &[BELOW, "retry_storm"]),
    ("path-dies", &["path_stalled"]),
    ("undici-timeout-closes", &[BELOW]),
    ("client-timeout-burst-nghttp-upstream", &[BELOW]),
    ("client-timeout-direct", &[BELOW]),
    ("client-timeout-haproxy", &[BELOW]),
    ("client-timeout-nginx", &[BELOW]),
    ("haproxy-504", &[BELOW]),
    ("jdk-timeout-batch", &[BELOW]),
    ("netty-late-response-identifier", &[BELOW]),
    ("netty-okhttp-timeout-batch", &[BELOW]),
    ("node-client-session-timeout", &[BELOW]),
];

#[test]
fn conflicts_are_told_where_there_are_some_and_nowhere_else() {
    let mut faults = String::new();
    for (name, board) in all("servers") {
        let wanted = CONFLICTS.iter().find(|(capture, _)| *capture == name);
        let wanted = wanted.map_or(&[][..], |(_, rules)| rules);
        if rules(&board) != wanted {
            writeln!(faults, "{name}: {:?}, not {wanted:?}", board.conflicts).unwrap();
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

#[test]
fn answers_that_nobody_received_are_counted() {
    let board = stack("vertx-client-timeout-goaway1-10s");
    let server = &board.server_answers[0];
    assert_eq!(server.times.late, 1);
    assert!((10.0..10.1).contains(&server.times.late_max), "{server:?}");
    assert!(board.conflicts[0].advice[0].contains("14.0 s"), "{:?}", board.conflicts[0]);
    // A server that keeps the deadline itself says so at its end: that is no late answer.
    let board = stack("grpcio-deadline-survives");
    assert_eq!(board.server_answers[0].times.late, 0);
}

#[test]
fn programs_are_recognised_by_what_they_send() {
    let known: &[(&str, &str, &str)] = &[
        ("go127-healthy-busy", "Go net/http", "Go net/http"),
        ("grpcio-max-connection-age", "gRPC core", "gRPC core"),
        ("grpcgo-max-connection-idle", "grpc-go", "grpc-go"),
        ("vertx-client-timeout-goaway1-10s", "Vert.x on Netty", "Vert.x on Netty"),
        // It never answered: by its SETTINGS it may be either.
        ("netty-rapid-reset", "python-h2", "Netty or Vert.x"),
    ];
    for (name, client, server) in known {
        let board = stack(name);
        let speak = &board.connections[0].implementations;
        assert_eq!(speak.first.as_ref().unwrap().name, *client, "{name}");
        assert_eq!(speak.second.as_ref().unwrap().name, *server, "{name}");
    }
}

/// The beginning of connection `n`, at `at` milliseconds.
fn open(n: usize, at: u32) -> String {
    format!(
        "@{n} {at} SYN\n@{n} {at} C> PREFACE\n+ SETTINGS 0x6=8192\n@{n} {at} S> SETTINGS 0x3=200 \
         0x6=8192\n"
    )
}

fn get(n: usize, at: u32, stream: u32, path: &str) -> String {
    format!(
        "@{n} {at} C> HEADERS {stream} PRIORITY=0 END_STREAM :method=GET :path={path} \
         :scheme=http :authority=a\n"
    )
}

fn answer(n: usize, at: u32, stream: u32) -> String {
    format!("@{n} {at} S> HEADERS {stream} PRIORITY=0 END_STREAM :status=200\n")
}

/// Lines of several connections in the order of their times.
fn woven(lines: &[String]) -> String {
    let mut packets: Vec<(u32, String)> = Vec::new();
    for line in lines.iter().flat_map(|lines| lines.lines()) {
        if line.starts_with('+') {
            let (_, last) = packets.last_mut().unwrap();
            write!(last, "\n{line}").unwrap();
        } else {
            let at = line.split(' ').nth(1).unwrap().parse().unwrap();
            packets.push((at, line.to_string()));
        }
    }
    packets.sort_by_key(|(at, _)| *at);
    packets.into_iter().map(|(_, line)| line + "\n").collect()
}

/// Connection `n`: three requests that time out at `after`, opened 100 ms apart.
fn timed_out(n: usize, at: u32, after: u32) -> Vec<String> {
    let mut lines = vec![open(n, at)];
    for request in 0..3 {
        let (stream, from) = (2 * request + 1, at + 10 + 100 * request);
        lines.push(get(n, from, stream, "/slow"));
        lines.push(format!("@{n} {} C> RST_STREAM {stream} CANCEL\n", from + after));
    }
    lines
}

/// Connection `n`: one request, and the client closes after `wait`.
fn closed(n: usize, at: u32, wait: u32) -> Vec<String> {
    let close = at + 10 + wait;
    vec![open(n, at), get(n, at + 10, 1, "/slow"), format!("@{n} {close} C> FIN\n")]
}

#[test]
fn a_silent_end_at_the_age_of_the_pairs_timer_is_that_timer() {
    let of = |wait| woven(&[timed_out(1, 0, 1_330), closed(2, 50, wait)].concat());
    let board = told("settled", &of(1_336));
    let verdict = board.connections[1].end_verdict.as_ref().unwrap();
    assert_eq!(verdict.cause, Cause::ClientRequestTimeout, "{verdict:?}");
    assert!(verdict.confidence.value() <= 0.85);
    assert_eq!(timer(&board, "client_request_timeout", ConfiguredIn::Client)[0].connections, 2);
    let board = told("unsettled", &of(2_163));
    let verdict = board.connections[1].end_verdict.as_ref().unwrap();
    assert_ne!(verdict.cause, Cause::ClientRequestTimeout, "{verdict:?}");
}

#[test]
fn the_order_of_connections_does_not_matter() {
    let one = told("one", &woven(&[timed_out(1, 0, 700), closed(2, 900, 705)].concat()));
    let two = told("two", &woven(&[closed(1, 0, 705), timed_out(2, 900, 700)].concat()));
    let told = |board: &Board| {
        let timers = timer(board, "client_request_timeout", ConfiguredIn::Client);
        timers.iter().map(|t| (t.seconds, t.samples, t.connections)).collect::<Vec<_>>()
    };
    assert_eq!(told(&one), told(&two));
    assert_eq!(one.causes(), two.causes());
}

#[test]
fn requests_repeated_right_after_their_cancel_are_a_storm() {
    let script = |delay: u32| {
        let mut lines = vec![open(1, 0)];
        for round in 0..8 {
            let (stream, from) = (2 * round + 1, 10 + round * (500 + delay));
            lines.push(get(1, from, stream, "/slow"));
            lines.push(format!("@1 {} C> RST_STREAM {stream} CANCEL\n", from + 500));
        }
        woven(&lines)
    };
    assert_eq!(rules(&told("storm", &script(2))), [BELOW, "retry_storm"]);
    assert_eq!(rules(&told("patient", &script(300))), [BELOW]);
}

#[test]
fn a_connection_used_right_before_its_idle_close_is_a_race() {
    let script = |silence: u32| {
        let again = 20 + silence;
        woven(&[
            open(1, 0),
            get(1, 10, 1, "/"),
            answer(1, 20, 1),
            get(1, again, 3, "/"),
            answer(1, again + 10, 3),
            format!("@1 {} S> GOAWAY 3 NO_ERROR\n+ FIN\n", again + 10 + 5_000),
        ])
    };
    let race = told("race", &script(4_900));
    assert_eq!(rules(&race), ["client_idle_above_server_idle"], "{:?}", race.inferred_timeouts);
    assert!(rules(&told("no-race", &script(2_000))).is_empty());
}

#[test]
fn an_idle_timer_that_counts_octets_must_exceed_the_slowest_answer() {
    let script = |slowest: u32| {
        let done = 10 + slowest;
        let end = format!("@1 {} S> FIN\n", done + 3_000);
        woven(&[open(1, 0), get(1, 10, 1, "/"), answer(1, done, 1), end])
    };
    assert_eq!(rules(&told("octets", &script(2_900))), ["server_idle_below_answer_time"]);
    assert!(rules(&told("quick", &script(900))).is_empty());
}

#[test]
fn resets_near_the_servers_limit_are_told_before_it_is_reached() {
    let script = |count: u32| {
        let mut lines = vec![open(1, 0)];
        for request in 0..count {
            let (stream, from) = (2 * request + 1, 10 + 20 * request);
            lines.push(get(1, from, stream, "/slow"));
            lines.push(format!("@1 {} C> RST_STREAM {stream} CANCEL\n", from + 1_000));
        }
        woven(&lines)
    };
    assert_eq!(rules(&told("near", &script(120))), [BELOW, RESETS]);
    assert_eq!(rules(&told("far", &script(60))), [BELOW]);
}

/// A server that names its limits as gRPC core does.
fn grpc_open(n: usize, at: u32) -> String {
    format!(
        "@{n} {at} SYN\n@{n} {at} C> PREFACE\n+ SETTINGS 0x6=8192\n@{n} {at} S> SETTINGS \
         0x4=65535 0x5=16384 0x6=8192 0xfe03=1\n"
    )
}

#[test]
fn keepalive_pings_below_the_servers_minimum_are_told_before_it_complains() {
    let script = |every: u32, opening: String| {
        let mut lines = vec![opening, get(1, 10, 1, "/endless")];
        for number in 1..=3 {
            let at = 10 + number * every;
            lines.push(format!("@1 {at} C> PING\n@1 {} S> PING ACK\n", at + 1));
        }
        woven(&lines)
    };
    let board = told("pings", &script(10_000, grpc_open(1, 0)));
    assert_eq!(rules(&board), ["keepalive_below_server_minimum"]);
    assert!(board.conflicts[0].advice[0].contains("5 minutes"), "{:?}", board.conflicts);
    assert!(board.conflicts[0].advice[1].contains("every 8.0 s"), "{:?}", board.conflicts);
    let found = timer(&board, "keepalive_interval", Client);
    assert!((found[0].seconds - 10.0).abs() < 0.01);
    // As seldom as it may be, or to a server without such a limit.
    assert!(rules(&told("seldom", &script(310_000, grpc_open(1, 0)))).is_empty());
    assert!(rules(&told("free", &script(10_000, open(1, 0)))).is_empty());
}

#[test]
fn a_grace_that_cuts_requests_is_too_short() {
    let script = |answered: bool| {
        let mut lines = vec![open(1, 0), get(1, 10, 1, "/"), answer(1, 20, 1)];
        lines.push(get(1, 4_000, 3, "/export"));
        lines.push("@1 5000 S> GOAWAY 2147483647 NO_ERROR \"max_age\"\n".into());
        if answered {
            lines.push(answer(1, 5_500, 3));
        }
        lines.push("@1 6000 S> FIN\n".into());
        woven(&lines)
    };
    let board = told("grace", &script(false));
    assert_eq!(rules(&board), ["age_grace_too_short"], "{:?}", board.connections[0].goaways);
    assert!(board.conflicts[0].text.contains("cut 1 request"), "{:?}", board.conflicts);
    assert!(rules(&told("grace-enough", &script(true))).is_empty());
}

#[test]
fn advice_follows_from_the_verdict() {
    let advice = |board: &Board, connection: usize| {
        let verdict = board.connections[connection].lead().unwrap();
        verdict.advice.join(" ")
    };
    // An idle timer that runs while requests wait has to exceed the slowest answer.
    let board = read(captures("servers").join("h2o-timeouts.pcap"));
    let text = advice(&board, 0);
    assert!(text.contains("raise the idle timeout, now 3.0 s") && !text.contains("Nothing"));
    // A drain is no reason to raise an idle timeout, whatever its text says.
    let board = read(captures("servers").join("upgrade-h2c.pcap"));
    let text = advice(&board, 7);
    assert!(text.contains("above stream 1") && !text.contains("KeepAliveTimeout"), "{text}");
    // A refused connection may be a restart, a wrong port or a firewall.
    let text = advice(&stack("go127-graceful-shutdown"), 1);
    assert!(text.contains("firewall") && text.starts_with("Nothing"), "{text}");
    // Who broke the rule has to be fixed, and it is said where.
    let board = read(captures("servers").join("violations-nginx.pcap"));
    let text = advice(&board, 3);
    assert!(text.starts_with("Fix the client: it broke RFC 9113 5.1.1"), "{text}");
}

#[test]
fn summaries_are_one_sentence() {
    for (name, board) in ["stacks", "servers"].into_iter().flat_map(all) {
        for row in &board.connections {
            for verdict in row.verdicts() {
                let text = &verdict.summary;
                assert!(text.ends_with('.') && !text.contains(". "), "{name}: {text}");
            }
        }
    }
}
