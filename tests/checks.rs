//! `goawhy check` and `goawhy diff` on captures: the case this project began with against its fixed
//! twin, exit codes, and saved reports in place of captures.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use common::{cases, none, parallel, report_text};
use goawhy::board::digest::Digest;
use goawhy::run::offline;

const SEED: &str = "captures/stacks/vertx-client-timeout-goaway1-10s.pcap";
const TWIN: &str = "captures/stacks/vertx-client-timeout-fixed-guard.pcap";
const HEALTHY: &str = "captures/servers/healthy-long.pcap";

fn goawhy(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_goawhy"));
    command.args(words).current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("SSLKEYLOGFILE");
    command.output().unwrap()
}

/// What it writes, where it ends with this status.
fn said(status: i32, words: &[&str]) -> String {
    let done = goawhy(words);
    let error = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(status), "{words:?}: {error}");
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn a_gateways_timeout_fails_whether_it_cancels_anything_or_not() {
    let nginx = "captures/servers/nginx-504.pcap";
    let told = said(1, &["check", nginx]);
    assert!(told.contains("1 request answered with status 504"), "{told}");
    said(1, &["check", "--deny", "server_request_timeout", nginx]);
    said(0, &["check", "--allow", "server_request_timeout", nginx]);
    let report = |file: &str| -> serde_json::Value {
        let report = said(0, &["report", "--format", "json", file]);
        serde_json::from_str(&report).unwrap()
    };
    let found = report(nginx);
    assert_eq!(found["connections"][0]["streams"]["timed_out"], 1);
    let [timer] = found["inferred_timeouts"].as_array().unwrap().as_slice() else { panic!() };
    assert_eq!(
        (&timer["kind"], &timer["configured_in"]),
        (&"server_request_timeout".into(), &"server".into(),)
    );
    assert!((timer["seconds"].as_f64().unwrap() - 2.0).abs() < 0.02, "{timer}");
    // Seen from both sides, the side that waited measures it.
    let haproxy = "captures/servers/haproxy-504.pcap";
    let found = report(haproxy);
    let [timer] = found["inferred_timeouts"].as_array().unwrap().as_slice() else { panic!() };
    assert_eq!(timer["server"], "127.0.0.1:21010");
    let told = said(0, &["report", haproxy]);
    assert!(told.contains("1 stream by the proxy, the client here, after 2.0"), "{told}");
    assert!(told.contains("4 completed (2 with status 504)"), "{told}");
}

#[test]
fn what_a_proxy_passed_on_is_supposed_once_and_by_its_own_timeout() {
    let burst = "captures/servers/client-timeout-burst-nghttp-upstream.pcap";
    let words = ["report", "--format", "json", "--what-if", "client_request_timeout=280ms", burst];
    let report: serde_json::Value = serde_json::from_str(&said(0, &words)).unwrap();
    let connections = report["connections"].as_array().unwrap().iter();
    let sets = connections.flat_map(|of| of["cancellations"].as_array().unwrap());
    let own: Vec<_> = sets.filter(|set| set["hop"].is_null()).collect();
    let streams = |fits: &dyn Fn(f64) -> bool| -> usize {
        let sets = own.iter().filter(|set| fits(set["timeout"]["seconds"].as_f64().unwrap()));
        sets.map(|set| set["streams"].as_array().unwrap().len()).sum()
    };
    let found = &report["what_if"][0]["cancellations"];
    assert_eq!(found["seen"], 1800);
    assert_eq!(found["still"], streams(&|seconds| seconds >= 0.28));
    assert_eq!(found["unknown"], streams(&|seconds| seconds < 0.28));
    assert!(found["unknown"].as_u64().unwrap() > 0);
}

#[test]
fn a_word_is_found_wherever_it_stands() {
    // A path, a method, a GOAWAY's text, a cause, what is no part of either.
    let of = |word: &str| {
        let report = said(0, &["report", "--format", "json", SEED, "-Y", word]);
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        report["connections"].as_array().unwrap().len()
    };
    assert_eq!(of("/slow/131"), 1);
    assert_eq!(of("/fast"), 2);
    assert_eq!(of("get"), 2);
    assert_eq!(of("\"is not correct for server connection\""), 1);
    assert_eq!(of("client_request_timeout"), 1);
    assert_eq!((of("/nowhere"), of("not /nowhere")), (0, 2));
    said(1, &["check", SEED, "-Y", "/fast"]);
    let frames = said(0, &["frames", SEED, "-Y", "/slow/131"]);
    assert!(frames.lines().all(|line| line.contains(" #2 ")), "{frames}");
}

/// Compares with a stored file; `UPDATE=1` rewrites it.
fn stored(name: &str, found: &str) {
    let path = format!("{}/tests/snapshots/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, found).unwrap();
    }
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, wanted, "{name}: rewrite it with UPDATE=1 cargo test");
}

#[test]
fn the_case_fails_and_its_fixed_twin_passes_what_it_fixed() {
    stored("check-seed.txt", &said(1, &["check", SEED]));
    stored("check-seed.xml", &said(1, &["check", SEED, "--format", "junit", "--deny-conflicts"]));
    stored("check-seed.md", &said(1, &["check", SEED, "--format", "markdown"]));
    stored("check-seed.json", &said(1, &["check", SEED, "--format", "json"]));
    // The twin's guard keeps connections alive; its client's timeout still ends requests.
    let allow = ["check", TWIN, "--allow", "client_request_timeout"];
    stored("check-twin.txt", &said(0, &allow));
    said(1, &["check", SEED, "--allow", "client_request_timeout"]);
    said(1, &["check", TWIN]);
    for (deny, seed, twin) in [("late_response", 1, 0), ("idle_timeout,too_many_pings", 0, 0)] {
        said(seed, &["check", SEED, "--deny", deny]);
        said(twin, &["check", TWIN, "--deny", deny]);
    }
    stored("diff-seed-twin.txt", &said(0, &["diff", SEED, TWIN]));
    stored("diff-seed-twin.md", &said(0, &["diff", SEED, TWIN, "--format", "markdown"]));
    let empty = said(0, &["diff", SEED, TWIN, "-Y", "port:1"]);
    assert!(
        empty.contains("after has no HTTP/2 connection: there is nothing to compare"),
        "{empty}"
    );
    assert!(!empty.contains("nothing changed"), "{empty}");
    stored("diff-seed-twin.json", &said(0, &["diff", SEED, TWIN, "--format", "json"]));
}

#[test]
fn exit_codes_are_those_that_jobs_rely_on() {
    said(0, &["check", HEALTHY]);
    said(0, &["check", HEALTHY, "--max-error-goaways", "0", "--max-cancelled-share", "1%"]);
    said(1, &["check", HEALTHY, "--min-requests", "63"]);
    said(1, &["check", HEALTHY, "-Y", "port:1"]);
    said(1, &["check", SEED, "-Y", "victims>0"]);
    said(0, &["check", SEED, "-Y", "cause:client_shutdown"]);
    // The slowest answer, and every timeout, are of connections that are left out.
    let several = "captures/servers/client-timeout-direct.pcap";
    said(1, &["check", several, "--allow", "client_request_timeout", "--max-answer", "20ms"]);
    said(0, &["check", several, "-Y", "port:36428", "--max-answer", "20ms"]);
    let alone = said(1, &["check", several, "-Y", "port:36428", "--max-answer-share", "90%"]);
    assert!(alone.contains("no timeout of a client was measured"), "{alone}");
    // 44 behind the GOAWAY, 30 that the client left open: as the report says.
    said(
        1,
        &["check", SEED, "--allow", "client_request_timeout,late_response", "--max-died", "73"],
    );
    said(
        0,
        &["check", SEED, "--allow", "client_request_timeout,late_response", "--max-died", "74"],
    );
    said(2, &["check"]);
    said(2, &["check", SEED, "--deny", "bad_luck"]);
    said(2, &["check", SEED, "--max-cancelled-share", "7"]);
    said(2, &["check", SEED, "--max-cancelled-share", "200%"]);
    said(2, &["check", SEED, "--client-timeout", "4s"]);
    said(2, &["check", SEED, "--max-answer-share", "80%", "--client-timeout", "0s"]);
    said(2, &["check", SEED, "--deny", "idle_timeout,late_response", "--allow", "late_response"]);
    said(3, &["check", "/no/such.pcap"]);
    let broken = said(3, &["check", "/no/such.pcap", "--format", "junit"]);
    assert!(broken.contains("errors=\"1\"") && broken.contains("<error message=\"/no/such.pcap: "));
    said(3, &["check", HEALTHY, "README.md"]);
    said(2, &["report", SEED, "--clock-offset", "2=1"]);
    said(2, &["frames", SEED, HEALTHY, "--clock-offset", "9=1"]);
    said(2, &["diff", SEED]);
    said(2, &["diff", "-", "-"]);
    said(3, &["diff", SEED, "/no/such.pcap"]);
}

#[test]
fn what_another_timeout_would_have_changed() {
    let supposed = |capture: &str, wish: &str| -> Value {
        let text = said(0, &["report", capture, "--format", "json", "--what-if", wish]);
        let report: Value = serde_json::from_str(&text).unwrap();
        report["what_if"][0].clone()
    };
    let fates =
        |of: &Value| ["seen", "spared", "still", "unknown"].map(|key| of[key].as_u64().unwrap());
    let of = |capture: &str, wish: &str| {
        let found = supposed(capture, wish);
        ["cancellations", "endings", "lost_requests"].map(|key| fates(&found[key]))
    };
    // Its late answer came 10.07 s after the request; none to the others was seen.
    let longer = of(SEED, "client_request_timeout=12s");
    assert_eq!(longer, [[72, 1, 0, 71], [1, 1, 0, 0], [44, 44, 0, 0]]);
    let not_enough = of(SEED, "client_request_timeout=8s");
    assert_eq!(not_enough, [[72, 0, 1, 71], [1, 0, 1, 0], [44, 0, 44, 0]]);
    let shorter = of(SEED, "client_request_timeout=2s");
    assert_eq!(shorter, [[72, 0, 72, 0], [1, 0, 1, 0], [44, 0, 44, 0]]);
    assert_eq!(supposed(SEED, "client_request_timeout=2s")["ended_besides"], 0);
    // Of the 74 that were open at the end; 48 to the nanosecond, for ages are kept to 5 %.
    assert_eq!(supposed(SEED, "client_request_timeout=2s")["open_besides"], 49);
    assert_eq!(supposed(SEED, "client_request_timeout=12s")["open_besides"], 0);
    assert_eq!(supposed(SEED, "client_request_timeout=1ms")["ended_besides"], 19);
    // Between two timeouts that were measured, each set is told by its own.
    let several = "captures/servers/client-timeout-direct.pcap";
    let between = of(several, "client_request_timeout=1200ms");
    assert_eq!(between, [[2, 0, 1, 1], [3, 0, 0, 3], [3, 0, 0, 3]]);
    assert!(
        of(several, "client_request_timeout=500ms").iter().all(|[seen, _, still, _]| seen == still)
    );
    let pings = "captures/stacks/grpcio-too-many-pings.pcap";
    assert_eq!(of(pings, "keepalive_interval=5m")[1][..2], [1, 1]);
    assert_eq!(of(pings, "keepalive_interval=1ms")[1], [1, 0, 1, 0]);
    let idle = "captures/servers/nginx-idle.pcap";
    let [seen, spared, still, unknown] = of(idle, "idle_timeout=1h")[1];
    assert!(seen > 0 && still == 0 && spared + unknown == seen);
    assert_eq!(of(idle, "idle_timeout=1ms")[1], [seen, 0, seen, 0]);
    said(2, &["report", SEED, "--what-if", "luck=1s"]);
    said(2, &["report", SEED, "--what-if", "idle_timeout"]);
    // It speaks of the whole capture, and would contradict what a choice leaves.
    said(2, &["report", SEED, "--what-if", "idle_timeout=9s", "--connection", "1"]);
    let text = said(0, &["report", SEED, "--what-if", "client_request_timeout=12s"]);
    let (_, section) = text.split_once("\nWhat if ").unwrap();
    let (section, _) = section.split_once("\n\n").unwrap();
    stored("what-if-seed.txt", &format!("What if {section}\n"));
}

/// A file that goes with the test.
struct Gone(PathBuf);

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_saved_report_serves_as_well_as_its_capture() {
    let saved = std::env::temp_dir().join(format!("goawhy-saved-{}.json", std::process::id()));
    let saved = Gone(saved);
    let name = saved.0.to_str().unwrap();
    said(0, &["report", SEED, "--format", "json", "-o", name]);
    assert_eq!(said(1, &["check", name]), said(1, &["check", SEED]));
    assert_eq!(said(0, &["diff", name, TWIN]), said(0, &["diff", SEED, TWIN]));
    said(2, &["check", name, "-Y", "port:1"]);
    for (text, why) in [("{}", "no report"), ("{\"schema\":9}", "schema 9"), ("{", "no report")] {
        fs::write(name, text).unwrap();
        let done = goawhy(&["check", name]);
        let error = String::from_utf8(done.stderr).unwrap();
        assert_eq!((done.status.code(), error.lines().count()), (Some(3), 1), "{error}");
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_report_keeps_all_that_a_digest_has() {
    let faults = parallel(&cases(), |case| {
        // Some are there because they cannot be read.
        let board = offline::report(&case.job()).ok()?;
        let read: Digest = serde_json::from_slice(&report_text(&case.job()).unwrap()).unwrap();
        (read != Digest::of(&board, |_| true)).then(|| case.name.clone())
    });
    none(&faults.into_iter().flatten().collect::<Vec<_>>());
}
