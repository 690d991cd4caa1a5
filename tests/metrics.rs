//! Metrics, alarms and the rules for Prometheus: what is counted, who may ask, and a real
//! Prometheus that scrapes a live capture. Skipped, with a word, where packages or rights are
//! missing.
#![cfg(all(feature = "live", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use common::live::{Nginx, goawhy, missing};
use common::process::{Process, free_port};
use common::{home, job};
use goawhy::board::alarm::{Alarm, Alarms};
use goawhy::board::meter::{Event, Meter, Totals};
use goawhy::board::snapshot::{LiveFacts, Snapshot};
use goawhy::capture::Source;
use goawhy::pipeline::Pipeline;
use goawhy::pipeline::moving::Moving;
use goawhy::report::metrics::{self, Scrape};
use goawhy::run::offline;
use goawhy::vocab::address::Side;
use goawhy::vocab::cause::Cause;
use goawhy::vocab::limits::Limits;

const SEED: &str = "stacks/vertx-client-timeout-goaway1-10s.pcap";

/// Hands `each` a snapshot after every packet, of a board that keeps so many closed connections.
fn snapshots(name: &str, keep: usize, mut each: impl FnMut(&Arc<Snapshot>)) {
    let mut pipeline = Pipeline::new(&Limits::default(), &[], false);
    pipeline.note_touched();
    pipeline.meter();
    let mut rows = Moving::new(keep);
    let mut source = Source::open(&[home().join(name)]).unwrap();
    let (mut revision, mut latest, mut over) = (0, None, false);
    while !over {
        match source.next() {
            Some(packet) => {
                latest = Some(packet.stamp.at);
                let _ = pipeline.push(&packet, &mut rows);
            }
            None => {
                pipeline.finish(&mut rows);
                over = true;
            }
        }
        rows.look(&mut pipeline, usize::MAX);
        revision += 1;
        let board = rows.board();
        each(&Arc::new(Snapshot { revision, board, latest, ..Snapshot::default() }));
    }
}

/// What all connections of a capture count to.
fn counted(name: &str, keep: usize) -> (Totals, Vec<Event>, Arc<Snapshot>) {
    let (mut meter, mut events, mut last) = (Meter::default(), Vec::new(), Arc::default());
    snapshots(name, keep, |snapshot| {
        let before = meter.totals().clone();
        events.extend(meter.take(snapshot));
        let now = meter.totals();
        for (cause, count) in &before.cancellations {
            assert!(now.cancellations[cause] >= *count, "{name}: {cause:?} went down");
        }
        assert!(now.streams.opened >= before.streams.opened, "{name}");
        last = Arc::clone(snapshot);
    });
    (meter.totals().clone(), events, last)
}

#[test]
fn what_the_board_forgets_stays_counted() {
    for name in [SEED, "servers/nginx-reload.pcap", "servers/client-shutdowns.pcap"] {
        let board = offline::report(&job(&home().join(name))).unwrap();
        let (all, ..) = counted(name, usize::MAX);
        let (few, _, last) = counted(name, 1);
        assert!(last.board.connections.len() <= board.connections.len());
        assert_eq!(few, all, "{name}");
        let sum = |of: fn(&goawhy::board::ConnectionRow) -> u64| -> u64 {
            board.rows().map(|(_, row)| of(row)).sum()
        };
        assert_eq!(all.goaways.values().sum::<u64>(), board.goaways(), "{name}");
        assert_eq!(all.endings.values().sum::<u64>(), board.verdicts().count() as u64, "{name}");
        assert_eq!(all.streams.opened, sum(|row| row.streams.opened), "{name}");
        assert_eq!(all.streams.completed, sum(|row| row.streams.completed), "{name}");
        assert_eq!(all.connections, sum(|row| u64::from(row.http2)), "{name}");
        assert_eq!(all.died, sum(|row| row.died() as u64), "{name}");
        for (_, row) in board.rows() {
            let lost = row.victims() as u64;
            assert!(lost <= row.streams.opened, "{name} {:?}: a request is lost once", row.flow);
        }
        let answers = board.server_answers.iter().map(|of| of.times.count + of.times.late);
        assert!(all.metered.answers.count() <= answers.sum::<u64>(), "{name}");
    }
    let (seed, ..) = counted(SEED, 1);
    assert_eq!(seed.cancellations[&(Cause::ClientRequestTimeout, Side::Client)], 72);
    assert_eq!(seed.goaways[&(Side::Server, "PROTOCOL_ERROR")], 1);
    assert_eq!(seed.metered.resets.first.counts().map(|(_, count)| count).sum::<u64>(), 72);
    assert_eq!(seed.metered.answers.count(), 19);
    assert_eq!(seed.died, 74);
}

#[test]
fn resets_of_streams_that_are_closed_already_are_counted() {
    let script = "0 SYN\n1 C> PREFACE\n+ SETTINGS\n2 S> SETTINGS\n\
                  10 C> HEADERS 1 END_STREAM :method=GET :scheme=http :authority=a :path=/\n\
                  20 S> HEADERS 1 END_STREAM :status=200\n21 C> RST_STREAM 1 CANCEL\n30 C> FIN\n";
    let file = std::env::temp_dir().join(format!("goawhy-closed-{}.pcap", std::process::id()));
    fs::write(&file, goawhy::exchange::pcap(script).unwrap()).unwrap();
    let job = offline::Job { meters: true, ..job(&file) };
    let board = offline::report(&job).unwrap();
    fs::remove_file(file).unwrap();
    let metered = board.connections[0].metered.as_ref().unwrap();
    assert_eq!(metered.resets.first.counts().collect::<Vec<_>>(), [("CANCEL", 1)]);
}

#[test]
fn alarms_go_off_over_their_rate_and_once_in_a_while() {
    let raised = |text: &str, pause: u64| {
        let pause = Duration::from_secs(pause);
        let mut alarms = Alarms::new(vec![Alarm::new(text).unwrap()], pause);
        let (mut meter, mut raised) = (Meter::default(), Vec::new());
        snapshots(SEED, usize::MAX, |snapshot| {
            let events = meter.take(snapshot);
            raised.extend(alarms.take(&events));
        });
        raised
    };
    let once = raised("cause:client_request_timeout rate>5/m", 300);
    assert_eq!(once.len(), 1);
    assert!((6..30).contains(&once[0].count), "{}", once[0].count);
    assert!(raised("cause:client_request_timeout rate>5/m", 0).len() > 1);
    assert!(raised("cause:client_request_timeout rate>80/m", 0).is_empty());
    assert!(raised("cause:idle_timeout", 0).is_empty());
    // All at once, as from a pipe that is fed by a file: by the times of the packets all the same.
    let mut alarms = Alarms::new(
        vec![Alarm::new("cause:client_request_timeout rate>5/s").unwrap()],
        Duration::from_secs(300),
    );
    let (mut all, mut meter) = (Vec::new(), Meter::default());
    snapshots(SEED, usize::MAX, |snapshot| all.push(Arc::clone(snapshot)));
    let at_once = alarms.take(&meter.take(all.last().unwrap()));
    assert_eq!(at_once.len(), 1);
    let script = |n: u32| {
        let at = 1_000 * 60 * n;
        format!(
            "@{n} {at} SYN\n@{n} {} C> PREFACE\n+ SETTINGS\n@{n} {} S> SETTINGS\n\
             @{n} {} S> GOAWAY 0 NO_ERROR\n@{n} {} S> FIN\n",
            at + 1,
            at + 2,
            at + 3,
            at + 4
        )
    };
    let script: String = (1..=8).map(script).collect();
    let file = std::env::temp_dir().join(format!("goawhy-hour-{}.pcap", std::process::id()));
    fs::write(&file, goawhy::exchange::pcap(&script).unwrap()).unwrap();
    let board = offline::report(&job(&file)).unwrap();
    fs::remove_file(file).unwrap();
    let snapshot = Snapshot { revision: 1, board, ..Snapshot::default() };
    let often = |rate: &str| {
        let alarm = Alarm::new(&format!("end:goaway rate>{rate}")).unwrap();
        Alarms::new(vec![alarm], Duration::ZERO).take(&Meter::default().take(&snapshot)).len()
    };
    assert_eq!((often("2/m"), often("0/m"), often("7/h")), (0, 8, 1));
    // The ending alone, not the cancellations on the same connection.
    let ending = raised("trigger:late_response", 0);
    assert_eq!((ending.len(), ending[0].count), (1, 1));
    assert!(ending[0].told.verdict().is_some());
    let mut line = Vec::new();
    goawhy::report::alert::json(&mut line, &ending[0]).unwrap();
    let line: Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(line["latest"]["goaway"]["verdict"]["cause"], "client_request_timeout", "{line:#}");
    assert_eq!((&line["kind"], &line["count"]), (&"alarm".into(), &1.into()));
}

fn sample() -> String {
    let (totals, _, last) = counted(SEED, usize::MAX);
    let mut snapshot = Snapshot::clone(&last);
    snapshot.live = Some(LiveFacts::default());
    snapshot.board.captures = offline::report(&job(&home().join(SEED))).unwrap().captures;
    metrics::text(Scrape { totals, snapshot: Arc::new(snapshot), alarms: 1 }).unwrap()
}

fn ops(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ops").join(name)
}

/// Names of metrics as Prometheus stores them.
fn names(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect()
}

#[test]
fn metrics_have_few_labels_and_rules_and_dashboard_ask_for_what_is_there() {
    let text = sample();
    assert!(text.ends_with("# EOF\n"));
    assert!(text.lines().count() < 400, "{}", text.lines().count());
    assert!(!text.contains("127.0.0.1") && !text.contains("/slow"), "{text}");
    let timeouts =
        "goawhy_cancelled_requests_total{cause=\"client_request_timeout\",by=\"client\"} 72";
    assert!(text.contains(timeouts), "{text}");
    assert!(text.contains("goawhy_goaways_total{by=\"server\",code=\"PROTOCOL_ERROR\"} 1"));
    assert!(text.contains("goawhy_answer_seconds_count 19"), "{text}");
    // Without it no quantile can be computed.
    assert!(text.contains("goawhy_answer_seconds_bucket{le=\"+Inf\"} 19"), "{text}");
    let known = names(&text);
    for file in ["grafana/goawhy.json", "prometheus/goawhy.rules.yml"] {
        let asked = fs::read_to_string(ops(file)).unwrap();
        let word = |of: char| of.is_ascii_alphanumeric() || of == '_';
        let words = asked.split(|of: char| !word(of)).filter(|name| name.starts_with("goawhy_"));
        let words: BTreeSet<&str> = words.collect();
        assert!(words.len() > 5, "{file}");
        for name in words {
            let histogram = format!("{name}_bucket");
            assert!(known.contains(name) || known.contains(&histogram), "{file}: no metric {name}");
        }
    }
    let dashboard: Value =
        serde_json::from_str(&fs::read_to_string(ops("grafana/goawhy.json")).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.iter().all(|panel| panel["targets"][0]["expr"].is_string()));
    // Some clients close the whole connection at their timeout, and cancel nothing.
    let timeouts = panels.iter().find(|panel| panel["id"] == 2).unwrap();
    let asked = timeouts["targets"][0]["expr"].as_str().unwrap();
    for metric in ["goawhy_cancelled_requests_total", "goawhy_verdicts_total"] {
        assert!(asked.contains(metric), "{asked}");
    }
}

/// promtool in a folder; what it says where it is not content.
fn promtool(arguments: &[&str], input: &str) -> Result<(), String> {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(ops("prometheus"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    if done.status.success() { Ok(()) } else { Err(said) }
}

fn no_promtool() -> bool {
    let none = Command::new("promtool").arg("--version").output().is_err();
    if none {
        eprintln!("skipped: promtool is not installed");
    }
    none
}

#[test]
fn promtool_finds_no_fault() {
    if no_promtool() {
        return;
    }
    promtool(&["check", "rules", "goawhy.rules.yml"], "").unwrap();
    promtool(&["check", "config", "prometheus.yml"], "").unwrap();
    promtool(&["test", "rules", "goawhy.rules.test.yml"], "").unwrap();
    // What OpenMetrics calls a family of counters has no end, in what promtool reads it has.
    let text = sample();
    let counters = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let counters: Vec<&str> = counters.filter_map(|line| line.strip_suffix(" counter")).collect();
    let mut plain = text.replace("# EOF\n", "");
    for name in counters {
        for word in ["HELP", "TYPE"] {
            let (of, to) = (format!("# {word} {name} "), format!("# {word} {name}_total "));
            plain = plain.replace(&of, &to);
        }
    }
    promtool(&["check", "metrics"], &plain).unwrap();
}

/// One request, and all that comes back.
fn fetch(address: &str, request: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(address) else { return String::new() };
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let _ = stream.write_all(request.as_bytes());
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text
}

const GET: &str = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";

/// `goawhy live` with metrics, and where they are.
struct Metered {
    process: Process,
    address: String,
}

impl Metered {
    /// With a capture on its standard input, of which it waits for the beginning.
    fn start(arguments: &[&str], capture: &[u8]) -> Self {
        let mut command = goawhy();
        command.args(["live", "--format", "jsonl", "--metrics", "127.0.0.1:0"]).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = Process(command.spawn().unwrap());
        process.0.stdin.as_mut().unwrap().write_all(capture).unwrap();
        let notices = BufReader::new(process.0.stderr.take().unwrap());
        let mut lines = notices.lines().map_while(Result::ok);
        let mut address = None;
        for line in lines.by_ref() {
            let url = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
            address = address.or(url.map(str::to_owned));
            if line.contains("listening") {
                break;
            }
        }
        thread::spawn(move || lines.for_each(drop));
        Self { process, address: address.expect("an address") }
    }

    fn value(&self, series: &str) -> f64 {
        let text = fetch(&self.address, GET);
        let line = text.lines().find(|line| line.starts_with(series));
        let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
        value.unwrap_or_default()
    }

    /// Waits until a series has at least this value.
    fn wait(&self, series: &str, least: f64) {
        let begun = Instant::now();
        while self.value(series) < least {
            assert!(begun.elapsed() < Duration::from_secs(60), "{}", fetch(&self.address, GET));
            thread::sleep(Duration::from_millis(100));
        }
    }
}

#[test]
fn scrapers_are_answered_whatever_others_do() {
    let mut live = Metered::start(&["-"], &fs::read(home().join(SEED)).unwrap());
    let input = live.process.0.stdin.take().unwrap();
    live.wait("goawhy_packets_total", 493.0);
    live.wait("goawhy_cancelled_requests_total{cause=\"client_request_timeout\"", 72.0);
    let address = live.address.as_str();
    let answer = fetch(address, GET);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("Content-Type: application/openmetrics-text"), "{answer}");
    let head = fetch(address, "HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
        ("\0\0\0\r\n\r\n", "405"),
        (&*format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(99_999)), ""),
    ] {
        let answer = fetch(address, request);
        assert!(answer.is_empty() || answer.contains(status), "{answer}");
    }
    // Many who connect and say nothing, and some who ask and do not read.
    let idle: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(address).unwrap()).collect();
    for mut stream in idle.iter().take(4) {
        let _ = stream.write_all(GET.as_bytes());
    }
    let begun = Instant::now();
    while !fetch(address, GET).contains("goawhy_packets_total 493") {
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody is answered any more");
        thread::sleep(Duration::from_millis(100));
    }
    drop(idle);
    drop(input);
    assert_eq!(live.process.end_within(Duration::from_secs(30)), Some(0));
}

#[test]
fn what_fetches_metrics_is_not_captured() {
    if let Some(why) = missing(&[]) {
        eprintln!("skipped: {why}");
        return;
    }
    let port = free_port();
    let filter = format!("tcp port {port}");
    let mut command = goawhy();
    let address = format!("127.0.0.1:{port}");
    command.args(["live", "-i", "lo", "-f", &filter, "--metrics", &address]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let _live = Process(command.spawn().unwrap());
    let begun = Instant::now();
    let mut answers = 0;
    while answers < 20 {
        assert!(begun.elapsed() < Duration::from_secs(60), "no answer");
        let text = fetch(&address, GET);
        answers += u32::from(text.contains("200 OK"));
        assert!(!text.contains("200 OK") || text.contains("goawhy_packets_total 0"), "{text}");
        thread::sleep(Duration::from_millis(30));
    }
}

/// A Prometheus in a folder of its own, with the rules of this project, that scrapes every second.
struct Prometheus {
    _process: Process,
    address: String,
    folder: PathBuf,
}

impl Prometheus {
    fn start(target: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("goawhy-prom-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let rules = ops("prometheus/goawhy.rules.yml");
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{}]\n\
             scrape_configs: [{{job_name: goawhy, static_configs: [{{targets: ['{target}']}}]}}]\n",
            rules.display()
        );
        fs::write(folder.join("prometheus.yml"), config).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", folder.join("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
        command.arg(format!("--web.listen-address={address}"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let process = Process(command.spawn().unwrap());
        Self { _process: process, address, folder }
    }

    /// The answer to a question of its HTTP interface.
    fn ask(&self, path: &str) -> Value {
        let url = format!("http://{}/api/v1/{path}", self.address);
        let done = Command::new("curl").args(["-s", "-m", "10", &url]).output().unwrap();
        serde_json::from_slice(&done.stdout).unwrap_or_default()
    }

    fn alerts(&self) -> BTreeSet<String> {
        let answer = self.ask("alerts");
        let alerts = answer["data"]["alerts"].as_array().cloned().unwrap_or_default();
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        firing.map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned()).collect()
    }

    fn wait(&self, what: &str, holds: impl Fn() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < Duration::from_secs(90), "{what}: {:#}", self.ask("alerts"));
            thread::sleep(Duration::from_millis(250));
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A file that anybody may write, in a folder that goes with the test.
struct Inbox(PathBuf);

impl Inbox {
    fn new() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let folder = std::env::temp_dir().join(format!("goawhy-inbox-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        Self(folder)
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// 600 requests that are answered, until Prometheus has seen them for a while.
fn healthy(prometheus: &Prometheus, url: &str) {
    prometheus.wait("the first scrape", || {
        prometheus.ask("query?query=goawhy_build_info")["data"]["result"][0].is_object()
    });
    for _ in 0..3 {
        let load = ["-n", "200", "-c", "4", "-m", "5", url];
        assert!(Command::new("h2load").args(load).output().unwrap().status.success());
        thread::sleep(Duration::from_secs(1));
    }
    prometheus.wait("600 healthy requests", || {
        let answer = prometheus.ask("query?query=goawhy_requests_total");
        let value = answer["data"]["result"][0]["value"][1].as_str().map(str::to_owned);
        value.is_some_and(|value| value.parse::<f64>().unwrap() >= 600.0)
    });
    thread::sleep(Duration::from_secs(3));
}

#[test]
fn prometheus_raises_an_alert_for_client_timeouts_and_none_for_healthy_traffic() {
    let programs = [
        ("nginx", "-v"),
        ("h2load", "--version"),
        ("curl", "--version"),
        ("prometheus", "--version"),
    ];
    if let Some(why) = missing(&programs) {
        eprintln!("skipped: {why}");
        return;
    }
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let slow = silent.local_addr().unwrap().port();
    let port = free_port();
    let folder = std::env::temp_dir().join(format!("goawhy-metrics-{}", std::process::id()));
    let server = format!(
        "server {{ listen 127.0.0.1:{port} http2;
         location / {{ return 200 'hello'; }}
         location /slow {{ proxy_pass http://127.0.0.1:{slow}; }} }}"
    );
    let _nginx = Nginx::start(folder, &server, port);
    let inbox = Inbox::new();
    let file = inbox.0.join("alarms");
    let command = format!("cat >> {}", file.display());
    let filter = format!("tcp port {port}");
    let alarm = ["--alert", "cause:client_request_timeout rate>3/m", "--exec", &command];
    let mut live = Metered::start(&[&["-i", "lo", "-f", &filter][..], &alarm[..]].concat(), &[]);
    let prometheus = Prometheus::start(&live.address);

    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
    healthy(&prometheus, &url("/"));
    assert_eq!(prometheus.alerts(), BTreeSet::new(), "healthy traffic");
    assert!(!file.exists());

    let impatient = (0..20).map(|_| {
        let mut command = Command::new("curl");
        command.args(["-s", "-m", "1", "--http2-prior-knowledge", &url("/slow")]);
        let child = command.stdout(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(150));
        Process(child)
    });
    for mut curl in impatient.collect::<Vec<_>>() {
        assert_eq!(curl.end_within(Duration::from_secs(20)), Some(28), "a timeout");
    }
    let expected = "Http2ClientTimeoutsBelowAnswerTimes";
    prometheus.wait("an alert", || prometheus.alerts().contains(expected));
    assert_eq!(prometheus.alerts().len(), 1, "{:#}", prometheus.ask("alerts"));

    // The same without Prometheus, as a user without rights, from inside of the sandbox.
    prometheus.wait("the command", || fs::read(&file).is_ok_and(|text| text.ends_with(b"\n")));
    let line: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(line["kind"], "alarm");
    assert_eq!(line["alarm"], alarm[1]);
    assert!(line["count"].as_u64().unwrap() > 3, "{line:#}");
    assert_eq!(live.value("goawhy_alarms_total"), 1.0);
    let pid = live.process.0.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(live.process.end_within(Duration::from_secs(60)), Some(0));
}
