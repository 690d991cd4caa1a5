//! The report in the forms in which it is handed over: each against what reads it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};

fn captures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures").join(name)
}

const SEED: &str = "stacks/vertx-client-timeout-goaway1-10s.pcap";

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_goawhy")).args(arguments).output().unwrap()
}

fn text(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A folder that is gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("goawhy-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The schema, and no key allowed that it does not name.
fn strict() -> Value {
    fn tighten(value: &mut Value) {
        if let Value::Object(map) = value {
            if map.contains_key("properties") && !map.contains_key("additionalProperties") {
                map.insert("additionalProperties".into(), json!(false));
            }
            map.values_mut().for_each(tighten);
        } else if let Value::Array(items) = value {
            items.iter_mut().for_each(tighten);
        }
    }
    let mut schema: Value = serde_json::from_str(&text(&["schema"])).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    tighten(&mut schema);
    schema
}

#[test]
fn every_report_is_as_the_schema_says_and_has_no_key_beside_it() {
    let schema = jsonschema::validator_for(&strict()).unwrap();
    let mut seen = 0;
    let mut check = |arguments: &[&str]| {
        let output = run(arguments);
        if output.status.code() == Some(3) {
            return; // no capture at all
        }
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let faults: Vec<String> = schema
            .iter_errors(&report)
            .map(|fault| format!("{}: {fault}", fault.instance_path))
            .take(5)
            .collect();
        assert!(faults.is_empty(), "{arguments:?}: {faults:#?}");
        seen += 1;
    };
    for case in common::cases() {
        let file = case.capture.to_str().unwrap();
        let small = std::fs::metadata(&case.capture).unwrap().len() < 400_000;
        match &case.keys {
            Some(keys) => {
                let keys = keys.to_str().unwrap();
                check(&["report", "--format", "json", "--streams", "--keylog", keys, file]);
            }
            None if small => check(&["report", "--format", "json", "--streams", file]),
            None => check(&["report", "--format", "json", file]),
        }
    }
    let two = ["servers/client-timeout-haproxy.pcap", "servers/nginx-504.pcap"].map(captures);
    let [one, other] = two.each_ref().map(|file| file.to_str().unwrap());
    check(&["report", "--format", "json", "--streams", one, other]);
    check(&["report", "--format", "json", "--what-if", "idle_timeout=12s", one]);
    assert!(seen > 60, "{seen}");
    // The schema is worth something only if it can be broken.
    let mut wrong: Value =
        serde_json::from_str(&text(&["report", "--format", "json", one])).unwrap();
    wrong["connections"][0]["end"]["how"] = "vanished".into();
    assert!(!schema.is_valid(&wrong));
}

#[test]
fn lines_are_the_parts_of_the_one_object() {
    let file = captures("servers/client-timeout-haproxy.pcap");
    let file = file.to_str().unwrap();
    let wish = ["--what-if", "client_request_timeout=12s", file];
    let of = |format| text(&[&["report", "--format", format], &wish[..]].concat());
    let whole: Value = serde_json::from_str(&of("json")).unwrap();
    let lines = of("jsonl");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| -> Vec<Value> {
        let lines = lines.iter().filter(|line| line["type"] == kind).cloned();
        let bare = lines.map(|mut line| {
            line.as_object_mut().unwrap().remove("type");
            line
        });
        bare.collect()
    };
    assert_eq!(lines[0], json!({"type": "report", "schema": 1, "key_log": null}));
    let parts = [
        ("capture", "captures"),
        ("connection", "connections"),
        ("inferred_timeout", "inferred_timeouts"),
        ("server_answers", "server_answers"),
        ("conflict", "conflicts"),
        ("hop", "hops"),
        ("what_if", "what_if"),
        ("fault", "faults"),
    ];
    for (kind, part) in parts {
        assert_eq!(Value::from(of(kind)), whole[part], "{kind}");
    }
    assert!(of("stream").is_empty(), "nobody asked for them");
    let of_streams = |format| text(&["report", "--streams", "--format", format, file]);
    let whole_streams: Value = serde_json::from_str(&of_streams("json")).unwrap();
    let lines = of_streams("jsonl");
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let (streams, rest): (Vec<Value>, Vec<Value>) =
        lines.partition(|line| line["type"] == "stream");
    assert!(rest.iter().all(|line| line["stream_list"].is_null()));
    let listed = whole_streams["connections"].as_array().unwrap().iter().flat_map(|row| {
        row["stream_list"].as_array().unwrap().iter().map(|stream| {
            let mut line = stream.clone();
            line["type"] = "stream".into();
            line["connection"] = row["id"].clone();
            line
        })
    });
    let listed: Vec<Value> = listed.collect();
    assert!(!listed.is_empty());
    assert_eq!(streams, listed);
    assert_eq!(of("limits"), [whole["limits"].clone()]);
    assert_eq!(of("summary"), [whole["summary"].clone()]);
}

#[test]
fn streams_as_csv_are_the_streams_of_the_report() {
    let file = captures(SEED);
    let file = file.to_str().unwrap();
    let table = text(&["report", "--format", "csv", file]);
    let mut read = csv::Reader::from_reader(table.as_bytes());
    let place = |name: &str| {
        let head = csv::Reader::from_reader(table.as_bytes()).headers().unwrap().clone();
        head.iter().position(|column| column == name).unwrap()
    };
    let (stream, connection, cause) = (place("stream"), place("connection"), place("cause"));
    let rows: Vec<csv::StringRecord> = read.records().collect::<Result<_, _>>().unwrap();
    let report = text(&["report", "--format", "json", "--streams", file]);
    let report: Value = serde_json::from_str(&report).unwrap();
    let mut expected = BTreeSet::new();
    for row in report["connections"].as_array().unwrap() {
        for of in row["stream_list"].as_array().unwrap() {
            expected.insert((row["id"].to_string(), of["id"].to_string()));
        }
    }
    let found: BTreeSet<(String, String)> =
        rows.iter().map(|row| (row[connection].to_owned(), row[stream].to_owned())).collect();
    assert_eq!((found.len(), &found), (rows.len(), &expected));
    let timed = rows.iter().filter(|row| &row[cause] == "client_request_timeout").count();
    assert!(timed > 70, "{timed}");
}

#[test]
fn an_archive_is_as_har_says_and_holds_no_secrets() {
    let schema: Value = serde_json::from_str(include_str!("har.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let names = [SEED, "servers/upgrade-h2c.pcap", "servers/haproxy-504.pcap"];
    for name in names {
        let file = captures(name);
        let file = file.to_str().unwrap();
        let archive: Value =
            serde_json::from_str(&text(&["report", "--format", "har", file])).unwrap();
        let faults: Vec<String> =
            schema.iter_errors(&archive).map(|fault| fault.to_string()).take(5).collect();
        assert!(faults.is_empty(), "{name}: {faults:#?}");
        let started = archive["log"]["entries"].as_array().unwrap().iter();
        let started: Vec<&str> =
            started.map(|entry| entry["startedDateTime"].as_str().unwrap()).collect();
        assert!(!started.is_empty() && started.is_sorted(), "{name}: {started:?}");
    }
    let script = "0 SYN\n1 C> PREFACE\n+ SETTINGS\n2 S> SETTINGS\n\
                  3 C> HEADERS 1 END_STREAM :method=GET :scheme=https :authority=shop \
                  :path=/a?b=1&c=d cookie=sid=geheim authorization=geheim accept=text/html\n\
                  9 S> HEADERS 1 END_STREAM :status=200 set-cookie=geheim content-type=text/html\n";
    let folder = Folder::new("har");
    let file = folder.file("a.pcap");
    std::fs::write(&file, goawhy::exchange::pcap(script).unwrap()).unwrap();
    let archive = text(&["report", "--format", "har", &file]);
    assert!(!archive.contains("geheim"), "{archive}");
    let archive: Value = serde_json::from_str(&archive).unwrap();
    let entry = &archive["log"]["entries"][0];
    assert_eq!(entry["request"]["url"], "https://shop/a?b=1&c=d");
    assert_eq!(entry["request"]["queryString"][1], json!({"name": "c", "value": "d"}));
    assert_eq!(entry["response"]["content"]["mimeType"], "text/html");
    // A mask hides the rest, in every form.
    for format in ["har", "json", "jsonl", "csv", "html", "text"] {
        let masked = text(&["report", "--mask", "--streams", "--format", format, &file]);
        assert!(!masked.contains("shop") && !masked.contains("/a?b"), "{format}: {masked}");
    }
}

#[test]
fn a_list_without_streams_says_why() {
    let file = captures("tls/tls13_aes128gcm.pcap");
    for format in ["har", "csv"] {
        let done = run(&["report", "--format", format, file.to_str().unwrap()]);
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("TLS that was not decrypted") && said.contains("--keylog"), "{said}");
    }
    let done = run(&["report", "--format", "csv", captures(SEED).to_str().unwrap()]);
    assert!(done.stderr.is_empty());
}

#[test]
fn what_programs_say_of_themselves_is_masked() {
    let request = "C> HEADERS 1 END_STREAM :method=GET :scheme=http :authority=a :path=/ \
                   user-agent=curl/agent-geheim";
    let answer = "S> HEADERS 1 END_STREAM :status=200 server=nginx/server-geheim";
    let script = format!(
        "0 SYN\n1 C> PREFACE\n+ SETTINGS\n2 S> SETTINGS MAX_FRAME_SIZE=16385\n3 {request}\n\
         9 {answer}\n75009 S> GOAWAY 1 NO_ERROR\n+ FIN\n75010 C> FIN\n"
    );
    let folder = Folder::new("says");
    let file = folder.file("a.pcap");
    std::fs::write(&file, goawhy::exchange::pcap(&script).unwrap()).unwrap();
    let open = text(&["report", "--format", "json", &file]);
    let open: Value = serde_json::from_str(&open).unwrap();
    let verdict = &open["connections"][0]["goaways"][0]["verdict"];
    for part in [&verdict["advice"], &verdict["implementation"]["name"]] {
        assert!(part.to_string().contains("nginx/server-geheim"), "{verdict:#}");
    }
    for format in ["har", "json", "jsonl", "csv", "html", "text"] {
        let words = ["--mask", "--format", format, &file];
        // Without a command, too.
        for masked in [text(&[&["report"], &words[..]].concat()), text(&words)] {
            assert!(!masked.contains("geheim"), "{format}: {masked}");
        }
    }
    let masked = text(&["--no-tui", "--mask", &file]);
    assert!(masked.contains("idle_timeout") && !masked.contains("geheim"), "{masked}");
}

#[test]
fn a_pipe_is_read_once_whatever_its_name() {
    let [one, other] = [SEED, "servers/nginx-504.pcap"].map(captures);
    let piped = |words: &[&str]| {
        let mut command = Command::new("sh");
        let script = format!("cat '{}' | \"$0\" \"$@\"", one.display());
        command.args(["-c", &script, env!("CARGO_BIN_EXE_goawhy")]).args(words);
        command.output().unwrap()
    };
    let told = |words: &[&str]| {
        let output = piped(words);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let page = told(&["report", "--format", "html", "/dev/stdin"]);
    assert!(page.contains("client_request_timeout"), "{page}");
    let both = told(&["report", "--format", "json", "/dev/stdin", other.to_str().unwrap()]);
    let both: Value = serde_json::from_str(&both).unwrap();
    assert_eq!(both["captures"].as_array().unwrap().len(), 2);
    let folder = Folder::new("once");
    let copy = piped(&["report", "--annotate", &folder.file("o.pcapng"), "/dev/stdin"]);
    assert_eq!(copy.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&copy.stderr).contains("a pipe can be read once"));
}

#[test]
fn a_page_tells_what_was_picked() {
    let file = captures("servers/client-timeout-haproxy.pcap");
    let file = file.to_str().unwrap();
    let page = |words: &[&str]| text(&[&["report", "--format", "html", file], words].concat());
    let report: Value = serde_json::from_str(&text(&["report", "--format", "json", file])).unwrap();
    let all = report["connections"].as_array().unwrap().len();
    assert!(page(&[]).contains("<h2>All connections"));
    let none = page(&["-Y", "cause:too_many_pings"]);
    assert!(none.contains(&format!("<h1>0 of {all} connections pass")), "{none}");
    let one = page(&["--connection", "1"]);
    assert!(one.contains(&format!("1 of {all} connections asked for")), "{one}");
    assert!(one.contains("<h2>Connections that pass") && one.contains("<h1>1 connection"), "{one}");
    // Streams of a waterfall, too.
    let slow = page(&["-Y", "stream:1"]);
    assert!(slow.contains("<title>stream 1:") && !slow.contains("<title>stream 3:"), "{slow}");
}

#[test]
fn what_passes_is_decided_before_it_is_masked() {
    let file = captures(SEED);
    let words = ["report", "--format", "csv", "-Y", "path:/slow", file.to_str().unwrap()];
    let lines = |words: &[&str]| text(words).lines().count();
    let open = lines(&words);
    assert!(open > 1);
    assert_eq!(lines(&[&words[..], &["--mask"]].concat()), open);
}

/// What tshark says of the packets that have comments: packet number, comments.
fn comments(file: &str) -> Option<Vec<(u64, String)>> {
    let fields = ["-T", "fields", "-e", "frame.number", "-e", "frame.comment"];
    let mut tshark = Command::new("tshark");
    tshark.args(["-r", file, "-Y", "frame.comment"]).args(fields);
    let output = tshark.output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = |line: &str| {
        let (number, text) = line.split_once('\t')?;
        Some((number.parse().ok()?, text.to_owned()))
    };
    Some(lines.lines().filter_map(line).collect())
}

#[test]
fn the_annotated_copy_opens_in_tshark_with_the_verdict_on_its_packet() {
    let folder = Folder::new("annotate");
    for name in [SEED, "tls/tls13_dsb_late.pcapng", "wires/link/base1_ng_sections.pcapng"] {
        let file = captures(name);
        let (file, copy) = (file.to_str().unwrap(), folder.file("copy.pcapng"));
        text(&["report", "--annotate", &copy, file]);
        let told = |file: &str| {
            let report: Value =
                serde_json::from_str(&text(&["report", "--format", "json", file])).unwrap();
            report["connections"].clone()
        };
        assert_eq!(told(&copy), told(file), "{name}: the copy says something else");
        let Some(comments) = comments(&copy) else { continue };
        for connection in told(file).as_array().unwrap() {
            for goaway in connection["goaways"].as_array().unwrap() {
                let packet = goaway["packet"].as_u64().unwrap();
                let on = comments.iter().find(|(number, _)| *number == packet);
                let cause = goaway["verdict"]["cause"].as_str().unwrap();
                let follows = !goaway["follows"].is_null();
                let is_told = on.is_some_and(|(_, text)| follows || text.contains(cause));
                assert!(is_told, "{name}: packet {packet}: {on:?}");
            }
        }
        assert!(!comments.is_empty(), "{name}");
    }
}

#[test]
fn a_copy_is_never_written_over_its_input_nor_made_of_a_pipe() {
    let folder = Folder::new("over");
    let input = folder.file("in.pcap");
    std::fs::copy(captures(SEED), &input).unwrap();
    let before = std::fs::read(&input).unwrap();
    let refused = [
        vec!["report", "--annotate", &input, &input],
        vec!["report", "--annotate", "x.pcapng", "-"],
        vec!["report", "--annotate", "-", &input],
        vec!["report", "--annotate", "x.pcapng", "--mask", &input],
    ];
    for arguments in refused {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 1);
    }
    assert_eq!(std::fs::read(&input).unwrap(), before);
    assert!(!Path::new("x.pcapng").exists());
}

#[test]
fn the_page_needs_nothing_and_a_browser_has_nothing_to_say_about_it() {
    let folder = Folder::new("page");
    let page = folder.file("page.html");
    let file = captures(SEED);
    text(&["report", "--format", "html", "-o", &page, file.to_str().unwrap()]);
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(html.contains("default-src 'none'"));
    for foreign in ["<script", "<link", "<img", "<iframe", "src=", "url(", "@import", "http"] {
        assert!(!html.replace("http-equiv", "").contains(foreign), "{foreign}");
    }
    assert!(html.contains("late_response") && html.contains("RST_STREAM 3"));
    assert!(html.matches("<svg").count() >= 2);
    let Some(browser) = ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok())
    else {
        eprintln!("skipped: no browser (chromium) is installed to open the page in");
        return;
    };
    let looks = [("0", "1000,1400"), ("1", "1000,1400"), ("0", "360,1400")];
    let mut shots = BTreeSet::new();
    for (scheme, size) in looks {
        let (asked, said, shot) = opened(browser, &page, scheme, size);
        assert!(!said.contains("CONSOLE"), "{said}");
        assert_eq!(asked, Vec::<String>::new(), "the page asks for nothing");
        assert!(shot.len() > 20_000, "{said}");
        shots.insert(shot);
    }
    assert_eq!(shots.len(), looks.len(), "dark, light and narrow look different");
    // What the browser would tell is told here.
    let foreign = folder.file("foreign.html");
    let text = "<script>console.log('x')</script><img src=http://foreign.invalid/x.png>";
    std::fs::write(&foreign, text).unwrap();
    let (asked, said, _) = opened(browser, &foreign, "1", "360,400");
    assert!(asked.iter().any(|line| line.contains("foreign.invalid")), "{asked:?}");
    assert!(said.contains("CONSOLE"), "{said}");
}

/// Opens a page in a browser all of whose requests come here. Gives their first lines, what the
/// browser says, and what is seen.
fn opened(browser: &str, page: &str, scheme: &str, size: &str) -> (Vec<String>, String, Vec<u8>) {
    let folder = Folder::new(&format!("browser-{scheme}-{size}"));
    let (shot, profile) = (folder.file("page.png"), folder.file("profile"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut child = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
        .args(["--disable-background-networking", "--disable-component-update", "--no-first-run"])
        .args(["--disable-sync", "--enable-logging=stderr", "--v=0"])
        .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
        .arg(format!("--proxy-server={proxy}"))
        .arg(format!("--window-size={size}"))
        .arg(format!("--user-data-dir={profile}"))
        .arg(format!("--screenshot={shot}"))
        .arg(format!("file://{page}"))
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut asked = Vec::new();
    while child.try_wait().unwrap().is_none() {
        let Ok((stream, _)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        };
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut line = String::new();
        let _ = BufReader::new(&stream).read_line(&mut line);
        // Of its maker it asks for this and that by itself.
        if !line.contains(".google") {
            asked.push(line);
        }
    }
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    (asked, said, std::fs::read(&shot).unwrap())
}

#[test]
fn lines_of_a_live_capture_are_as_the_schema_says() {
    let mut schema = strict();
    let root = schema.as_object_mut().unwrap();
    // Of the root only what its lines refer to: the limits, the faults.
    root.remove("required");
    root.remove("additionalProperties");
    root.remove("type");
    let properties = root.remove("properties").unwrap();
    let mut defs = root.remove("$defs").unwrap();
    for name in ["limits", "faults"] {
        defs[name] = properties[name].clone();
        let line = &mut defs["live_summary"]["properties"][name];
        assert_eq!(*line, json!({"$ref": format!("#/properties/{name}")}));
        *line = json!({"$ref": format!("#/$defs/{name}")});
    }
    let schema = json!({"$ref": "#/$defs/live_line", "$defs": defs});
    let schema = jsonschema::validator_for(&schema).unwrap();
    let mut kinds = std::collections::BTreeMap::new();
    let names = ["servers/nginx-reload.pcap", "stacks/go127-client-timeout-survives.pcap"];
    for file in names.into_iter().chain(["servers/abrupt-close.pcap"]).map(captures) {
        let job = goawhy::run::offline::Job { files: vec![file], ..Default::default() };
        let board = goawhy::run::offline::report(&job).unwrap();
        let snapshot = goawhy::board::snapshot::Snapshot { board, ..Default::default() };
        let mut out = Vec::new();
        for told in goawhy::board::told::Teller::default().tell(&snapshot) {
            goawhy::report::json::live::told(&mut out, &told).unwrap();
        }
        goawhy::report::json::live::summary(&mut out, &snapshot).unwrap();
        for line in String::from_utf8(out).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let faults: Vec<String> =
                schema.iter_errors(&line).map(|fault| fault.to_string()).take(3).collect();
            assert!(faults.is_empty(), "{line}: {faults:#?}");
            *kinds.entry(line["kind"].as_str().unwrap().to_owned()).or_insert(0) += 1;
            let mut wrong = line;
            wrong["kind"] = "rumour".into();
            assert!(!schema.is_valid(&wrong));
        }
    }
    assert_eq!(kinds.keys().collect::<Vec<_>>(), ["cancellation", "summary", "verdict"]);
}
