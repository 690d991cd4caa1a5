//! Live capture on the loopback interface, with servers and clients of the distribution. Skipped,
//! with a word, where packages or rights are missing.
#![cfg(all(feature = "live", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use common::live::{Live, Nginx, goawhy, missing, of_port};
use common::process::free_port;

/// nginx with connections that idle out after two seconds on one port and never on another.
struct Server {
    nginx: Nginx,
    short: u16,
    long: u16,
    /// Accepts and never answers.
    _silent: TcpListener,
}

impl Server {
    fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("goawhy-live-{}", std::process::id()));
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let (short, long) = (free_port(), free_port());
        let slow = silent.local_addr().unwrap().port();
        let server = |port: u16, idle: u32| {
            format!(
                "server {{ listen 127.0.0.1:{port} http2; keepalive_timeout {idle}s;
                 location / {{ return 200 'hello'; }}
                 location /slow {{ proxy_pass http://127.0.0.1:{slow}; }} }}"
            )
        };
        let servers = format!("{} {}", server(short, 2), server(long, 600));
        let nginx = Nginx::start(folder, &servers, long);
        Self { nginx, short, long, _silent: silent }
    }
}

/// A client that speaks HTTP/2 octet by octet, and stays.
struct Client(TcpStream);

impl Client {
    fn connect(port: u16) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        let mut reader = stream.try_clone().unwrap();
        // What the server says is of no interest, but when it closes, so does this.
        thread::spawn(move || {
            while reader.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
            let _ = reader.shutdown(std::net::Shutdown::Both);
        });
        let mut client = Self(stream);
        client.frame(4, 0, 0, &[]);
        client.frame(4, 1, 0, &[]);
        client
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.0.write_all(&frame).unwrap();
    }

    fn get(&mut self, stream: u32, path: &str) {
        // GET, http, :authority x, and the path as literals without indexing (RFC 7541).
        let mut block = vec![0x82, 0x86, 0x01, 1, b'x', 0x04, path.len() as u8];
        block.extend(path.as_bytes());
        self.frame(1, 0x05, stream, &block);
    }

    fn cancel(&mut self, stream: u32) {
        self.frame(3, 0, stream, &8_u32.to_be_bytes());
    }
}

/// A reload drains every connection, however long each was idle: one that was open before, that of
/// the hasty client, and three more.
fn reload(server: &Server, live: &mut Live) {
    let mut others = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(server.long);
        client.get(1, "/");
        others.push(client);
        thread::sleep(Duration::from_millis(400));
    }
    server.nginx.reload();
    let mut drained = std::collections::BTreeSet::new();
    while drained.len() < 4 {
        // The first may be told before its neighbours are seen, and be told anew with them.
        let line = live.wait("the reload", |line| {
            let verdict = line.get("goaway").map_or(&line["verdict"], |goaway| &goaway["verdict"]);
            of_port(line, server.long)
                && line["settled"] == true
                && verdict["cause"] == "graceful_shutdown"
        });
        drained.insert(line["connection"]["client"].to_string());
    }
}

#[test]
fn a_filter_on_streams_tells_connections_that_have_such_a_stream() {
    let told = |filter: &str| {
        let sample = "captures/stacks/vertx-client-timeout-goaway1-10s.pcap";
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join(sample);
        let file = std::fs::File::open(sample).unwrap();
        let mut command = goawhy();
        command.args(["live", "-", "--format", "jsonl", "-Y", filter]).stdin(file);
        let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
        text.lines().filter(|line| line.contains("\"cause\"")).count()
    };
    assert!(told("path:/slow") > 0);
    assert_eq!(told("path:/zzz"), 0);
    assert_eq!(told("path:/slow cause:idle_timeout trigger:late_response"), 0);
}

#[test]
fn verdicts_fall_while_it_watches() {
    let programs = [("nginx", "-v"), ("h2load", "--version"), ("curl", "--version")];
    if let Some(why) = missing(&programs) {
        eprintln!("skipped: {why}");
        return;
    }
    let server = Server::start();
    let filter = format!("tcp port {} or tcp port {}", server.short, server.long);
    // One that is open before it begins to watch.
    let mut early = Client::connect(server.long);
    early.get(1, "/");
    thread::sleep(Duration::from_millis(300));
    let saved = server.nginx.folder.join("saved.pcapng");
    let saved_name = saved.to_str().unwrap().to_owned();
    let mut live = Live::start(&["-i", "lo", "-f", &filter, "-w", &saved_name]);

    // Idle for two seconds: the server says goodbye.
    let mut idle = Client::connect(server.short);
    idle.get(1, "/");
    let line =
        live.wait("the idle GOAWAY", |line| of_port(line, server.short) && line["settled"] == true);
    let verdict = line.get("goaway").map_or(&line["verdict"], |goaway| &goaway["verdict"]);
    assert_eq!(verdict["cause"], "idle_timeout", "{line:#}");
    let seconds = verdict["timeout"]["seconds"].as_f64().unwrap();
    assert!((1.9..2.5).contains(&seconds), "{line:#}");
    assert_eq!(line["connection"]["processes"]["server"]["name"], "nginx", "{line:#}");
    let own = std::process::id();
    assert_eq!(line["connection"]["processes"]["client"]["pid"], own, "{line:#}");

    // Requests that the client gives up after a second each; the connection lives on.
    let mut hasty = Client::connect(server.long);
    for stream in [1, 3, 5] {
        hasty.get(stream, "/slow");
        thread::sleep(Duration::from_secs(1));
        hasty.cancel(stream);
    }
    // One alone that a busy machine delayed may be anything; three of one age are a timer.
    let line = live.wait("the client's timeouts", |line| {
        line["cancellation"]["cause"] == "client_request_timeout"
    });
    assert_eq!(line["cancellation"]["by"], "client");

    early.get(3, "/");
    reload(&server, &mut live);

    let load = ["-n", "2000", "-c", "10", "-m", "10"];
    let url = format!("http://127.0.0.1:{}/", server.long);
    assert!(Command::new("h2load").args(load).arg(url).output().unwrap().status.success());
    thread::sleep(Duration::from_millis(500));
    let summary = live.end();
    assert!(summary["connections"].as_u64().unwrap() >= 15, "{summary:#}");
    assert_eq!(summary["saved"]["lost"], 0, "{summary:#}");
    assert_eq!(summary["saved"]["packets"], summary["packets"], "{summary:#}");

    // What was saved says the same as what was seen.
    let report = goawhy().args(["report", "--format", "json"]).arg(&saved).output().unwrap();
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(report["captures"][0]["packets"], summary["packets"]);
    assert_eq!(report["captures"][0]["damage"], Value::Null);
    assert_eq!(report["summary"]["goaways"], summary["goaways"]);
}

#[test]
fn a_capture_in_a_pipe_is_judged_as_it_comes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/servers/nginx-idle.pcap");
    let capture = std::fs::read(path).unwrap();
    // A namesake of the capture's server, or whoever has its address already.
    let _namesake = TcpListener::bind("127.0.0.1:21001");
    let mut command = goawhy();
    command.args(["live", "-", "--format", "jsonl"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&capture).unwrap();
    input.flush().unwrap();
    // The pipe stays open, and yet the verdict comes.
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(line["kind"], "verdict", "{line:#}");
    // Whoever listens there on this host is not meant: the packets come from elsewhere.
    assert_eq!(line["connection"]["server"], "127.0.0.1:21001");
    let nobody = serde_json::json!({"client": null, "server": null});
    assert_eq!(line["connection"]["processes"], nobody);
    drop(input);
    let last = lines.map(|line| line.unwrap()).last().unwrap();
    let summary: Value = serde_json::from_str(&last).unwrap();
    assert_eq!(summary["kind"], "summary");
    assert!(summary["causes"]["idle_timeout"].as_u64().unwrap() > 0, "{summary:#}");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn an_interface_that_is_not_there_is_one_line() {
    let done = goawhy().args(["live", "-i", "goawhy-none"]).output().unwrap();
    assert_eq!(done.status.code(), Some(3));
    let text = String::from_utf8(done.stderr).unwrap();
    assert!(text.lines().count() == 1 && text.contains("goawhy-none"), "{text}");
}

/// timeout(1) ends its child twice in the same moment.
#[test]
fn a_signal_that_comes_twice_at_once_is_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/servers/nginx-idle.pcap");
    let mut command = goawhy();
    command.args(["live", "-", "--format", "jsonl"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&std::fs::read(path).unwrap()).unwrap();
    input.flush().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    let id = child.id().to_string();
    let kill =
        Command::new("sh").args(["-c", &format!("kill {id}; kill {id}; kill {id}")]).status();
    assert!(kill.unwrap().success());
    let last: Value = serde_json::from_str(&lines.last().unwrap().unwrap()).unwrap();
    assert_eq!(last["kind"], "summary");
    // The pipe is silent, and open still: all of it was counted.
    assert_eq!(last["kernel_received"], last["packets"]);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    drop(input);
}

fn sample(name: &str) -> std::fs::File {
    std::fs::File::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("captures").join(name)).unwrap()
}

#[test]
fn a_slow_reader_gets_every_line() {
    let mut command = goawhy();
    command.args(["live", "-", "--format", "jsonl"]).stdin(sample("h2spec/h2spec-nghttpd.pcap"));
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    // More is to be told than a pipe holds.
    thread::sleep(Duration::from_secs(4));
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(text.len() > 100_000, "{}", text.len());
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.last().unwrap()["kind"], "summary");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    // Each verdict of the report, and no other.
    let report = goawhy()
        .args(["report", "--format", "json", "captures/h2spec/h2spec-nghttpd.pcap"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    let of = |row: &Value| {
        let own = row["goaways"].as_array().into_iter().flatten();
        let own = own.filter(|of| of["follows"].is_null());
        let verdicts = own.map(|of| &of["verdict"]).chain([&row["end_verdict"]]);
        let summaries = verdicts.filter_map(|of| of["summary"].as_str());
        summaries.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let mut wanted: Vec<String> =
        report["connections"].as_array().unwrap().iter().flat_map(of).collect();
    let settled = lines.iter().filter(|line| line["kind"] == "verdict" && line["settled"] == true);
    let summary = |line: &Value| {
        let verdict = line.get("verdict").unwrap_or(&line["goaway"]["verdict"]);
        verdict["summary"].as_str().unwrap().to_owned()
    };
    let mut told: Vec<String> = settled.map(summary).collect();
    wanted.sort_unstable();
    told.sort_unstable();
    assert_eq!(told, wanted);
}

/// As logrotate does it: whoever this has become can open what root created.
#[test]
fn outputs_are_opened_anew_without_being_root() {
    use std::os::unix::fs::PermissionsExt as _;
    if let Some(why) = missing(&[]) {
        eprintln!("skipped: {why}");
        return;
    }
    let folder = std::env::temp_dir().join(format!("goawhy-anew-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let (lines, saved) = (folder.join("lines"), folder.join("saved.pcapng"));
    let mut command = goawhy();
    command.args(["live", "-i", "lo", "-f", "tcp port 9", "-o"]).arg(&lines).arg("-w").arg(&saved);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap());
    told.read_line(&mut String::new()).unwrap();
    let signal = |name: &str| {
        thread::sleep(Duration::from_millis(500));
        let id = child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    };
    signal("-HUP");
    std::fs::rename(&lines, folder.join("lines.1")).unwrap();
    signal("-HUP");
    signal("-INT");
    let mut text = String::new();
    told.read_to_string(&mut text).unwrap();
    assert_eq!((child.wait().unwrap().code(), text.as_str()), (Some(0), ""));
    assert!(std::fs::read_to_string(&lines).unwrap().contains("connections"));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn rings_are_asked_for_in_full() {
    for words in ["-C 0", "-G 0", "-C 1 -W 0", "-W 5", "-w -"] {
        let mut command = goawhy();
        command.args(["live", "-i", "lo", "-w", "x.pcapng"]).args(words.split(' '));
        let done = command.current_dir(std::env::temp_dir()).output().unwrap();
        assert_eq!(done.status.code(), Some(2), "{words}");
    }
}

/// A dash for an output is standard output, and no pipe to be read.
#[test]
fn a_dash_is_standard_output() {
    let folder = std::env::temp_dir().join(format!("goawhy-dash-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("goawhy")).unwrap();
    std::fs::write(folder.join("goawhy/config.toml"), "interface = \"goawhy-none\"\n").unwrap();
    let mut command = goawhy();
    command
        .args(["live", "-", "--format", "jsonl", "-o", "-"])
        .stdin(sample("servers/nginx-idle.pcap"));
    let done = command.current_dir(&folder).env("XDG_CONFIG_HOME", &folder).output().unwrap();
    assert!(String::from_utf8(done.stdout).unwrap().contains("idle_timeout"));
    assert!(!folder.join("-").exists());
    let mut command = goawhy();
    command.args(["live", "-o", "-"]).current_dir(&folder).env("XDG_CONFIG_HOME", &folder);
    let done = command.stdin(Stdio::null()).output().unwrap();
    assert!(String::from_utf8(done.stderr).unwrap().contains("goawhy-none"));
    std::fs::remove_dir_all(folder).unwrap();
}

/// The kernel's own figures stand in the summary, however short it was.
#[test]
fn what_the_kernel_counted_is_told_at_the_end() {
    if let Some(why) = missing(&[]) {
        eprintln!("skipped: {why}");
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let filter = format!("tcp port {}", listener.local_addr().unwrap().port());
    let mut command = goawhy();
    command.args(["live", "-i", "lo", "-f", &filter, "--format", "jsonl", "-c", "5"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let done = thread::spawn(move || child.wait_with_output().unwrap());
    let begun = Instant::now();
    while !done.is_finished() && begun.elapsed() < Duration::from_secs(30) {
        let _ = TcpStream::connect(listener.local_addr().unwrap());
        thread::sleep(Duration::from_millis(20));
    }
    let text = String::from_utf8(done.join().unwrap().stdout).unwrap();
    let summary: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(summary["packets"], 5, "{summary:#}");
    assert!(summary["kernel_received"].as_u64().unwrap() >= 5, "{summary:#}");
}

/// Whoever gets what is written sees none of it captured, though it goes over this interface.
#[test]
fn its_own_output_is_not_captured() {
    if let Some(why) = missing(&[]) {
        eprintln!("skipped: {why}");
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let reader = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (output, _) = listener.accept().unwrap();
    let port = listener.local_addr().unwrap().port();
    let filter = format!("tcp port {port}");
    let mut command = goawhy();
    command.args([
        "live",
        "-i",
        "lo",
        "-f",
        &filter,
        "--format",
        "jsonl",
        "--duration",
        "2s",
        "-v",
    ]);
    let output = std::os::fd::OwnedFd::from(output);
    let child = command.stdout(output).stderr(Stdio::piped()).spawn().unwrap();
    drop(command);
    // Packets of that connection, and of another one to the same port.
    let other = thread::spawn(move || {
        for _ in 0..20 {
            let _ = (&reader).write_all(b"x");
            thread::sleep(Duration::from_millis(100));
        }
        reader
    });
    thread::sleep(Duration::from_millis(1000));
    let beside = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let done = child.wait_with_output().unwrap();
    let told = String::from_utf8(done.stderr).unwrap();
    let reader = other.join().unwrap();
    let ends = format!("{} - 127.0.0.1:{port}", reader.local_addr().unwrap());
    assert_eq!(told.lines().filter(|line| line.contains(&ends)).count(), 2, "{told}");
    let mut lines = BufReader::new(reader).lines();
    let summary: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(summary["packets"], 3, "the handshake of the other one: {summary:#}\n{told}");
    drop(beside);
}

/// Connections that live for a few milliseconds have their programs named all the same.
#[test]
fn short_connections_have_names() {
    if let Some(why) = missing(&[("nginx", "-v"), ("h2load", "--version")]) {
        eprintln!("skipped: {why}");
        return;
    }
    let folder = std::env::temp_dir().join(format!("goawhy-short-{}", std::process::id()));
    let port = free_port();
    let server = format!(
        "server {{ listen 127.0.0.1:{port} http2; keepalive_requests 1;
         location / {{ return 200 'hello'; }} }}"
    );
    let _nginx = Nginx::start(folder, &server, port);
    let mut live = Live::start(&["-i", "lo", "-f", &format!("tcp port {port}")]);
    let url = format!("http://127.0.0.1:{port}/");
    for _ in 0..10 {
        let done = Command::new("h2load").args(["-n", "10", "-c", "10", &url]).output().unwrap();
        assert!(done.status.success());
    }
    let mut named = [0, 0];
    let mut all = 0;
    while all < 100 {
        let line = live.wait("a verdict", |line| line["settled"] == true);
        let programs = &line["connection"]["processes"];
        all += 1;
        named[0] += usize::from(programs["client"]["name"] == "h2load");
        named[1] += usize::from(programs["server"]["name"] == "nginx");
    }
    eprintln!(
        "of {all} connections {} have their client named, {} their server",
        named[0], named[1]
    );
    // On a machine that is busy with other things a few are told before they are looked for.
    assert!(named[1] >= 80, "{named:?} of {all}");
}

/// Requests over a new connection.
fn requests(port: u16) {
    let mut client = Client::connect(port);
    for stream in 0..10_u32 {
        client.get(stream * 2 + 1, "/");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_cannot_be_written_is_told_at_the_end() {
    if let Some(why) = missing(&[]) {
        eprintln!("skipped: {why}");
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let _accepts = thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    let saved = std::env::temp_dir().join(format!("goawhy-limit-{}.pcapng", std::process::id()));
    // A file that may not grow stands for a full disk.
    let (program, file) = (env!("CARGO_BIN_EXE_goawhy"), saved.display());
    let script = format!(
        "trap '' XFSZ; ulimit -f 48; exec {program} live -i lo -f 'tcp port {port}' \
         --duration 4s -w {file}"
    );
    let mut command = Command::new("sh");
    let command = command.args(["-c", &script]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut full = command.spawn().unwrap();
    // A device that takes nothing stands for a full disk, too.
    let mut command = goawhy();
    command.args(["live", "-i", "lo", "-f", &format!("tcp port {port}"), "--duration", "4s"]);
    let command = command.args(["-o", "/dev/full"]).stderr(Stdio::piped());
    let mut unheard = command.spawn().unwrap();
    while full.try_wait().unwrap().is_none() || unheard.try_wait().unwrap().is_none() {
        requests(port);
    }
    let full = full.wait_with_output().unwrap();
    let unheard = unheard.wait_with_output().unwrap();
    let told = String::from_utf8(full.stderr).unwrap();
    assert_eq!(full.status.code(), Some(2), "{told}");
    let last = told.lines().last().unwrap();
    assert!(last.contains("nothing more is saved") && last.contains(&*saved.to_string_lossy()));
    let summary = String::from_utf8(full.stdout).unwrap();
    assert!(summary.contains("packets, ") && summary.contains("could not be"), "{summary}");
    // What was saved before is whole.
    let report = goawhy().args(["report", "--format", "json"]).arg(&saved).output().unwrap();
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(report["captures"][0]["damage"], Value::Null);
    assert!(report["captures"][0]["packets"].as_u64().unwrap() > 5);
    std::fs::remove_file(&saved).unwrap();

    let told = String::from_utf8(unheard.stderr).unwrap();
    assert_eq!(unheard.status.code(), Some(2), "{told}");
    assert!(told.contains(" packets, ") && told.contains("cannot be written"), "{told}");
}

/// `ip` with these words; whether it did it.
fn ip(words: &str) -> bool {
    let run = Command::new("ip").args(words.split(' ')).stderr(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}

/// The next line on standard error that contains a text.
fn told(lines: &mut impl Iterator<Item = std::io::Result<String>>, text: &str) -> String {
    lines.map(|line| line.unwrap()).find(|line| line.contains(text)).unwrap_or_default()
}

#[test]
fn an_interface_that_goes_down_or_away_is_told() {
    let one = format!("gw{}", std::process::id() % 100_000);
    let peer = format!("{one}p");
    let made = ip(&format!("link add {one} type veth peer name {peer}"));
    if let Some(why) = missing(&[]).or((!made).then(|| "no veth can be made here".to_owned())) {
        eprintln!("skipped: {why}");
        return;
    }
    assert!(ip(&format!("link set {one} up")) && ip(&format!("link set {peer} up")));
    let mut command = goawhy();
    command.args(["live", "-i", &one, "--format", "jsonl"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(!told(&mut lines, "listening").is_empty());
    assert!(ip(&format!("link set {one} down")));
    let line = told(&mut lines, &one);
    assert!(line.contains("is down"), "{line}");
    assert!(ip(&format!("link set {one} up")));
    let line = told(&mut lines, &one);
    assert!(line.contains("up again"), "{line}");
    assert!(ip(&format!("link del {one}")));
    let line = told(&mut lines, &one);
    assert!(line.contains("disappeared") || line.contains("went away"), "{line}");
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(3));
    let summary: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(summary["interfaces_gone"][0], one);
}
