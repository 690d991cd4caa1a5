//! HTTP/2 inside TLS under live capture: nginx and curl, whose key log is followed as it grows.
//! Skipped, with a word, where packages or rights are missing.
#![cfg(all(feature = "live", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use common::live::{Live, Nginx, goawhy, missing, of_port};
use common::process::{Process, free_port};

/// Requests after which the server says GOAWAY.
const REQUESTS: usize = 3;

/// A certificate that signs itself, and its key.
fn certificate(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(["req", "-x509", "-nodes", "-days", "2"]);
    command.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    command.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
    command.args(["-keyout", "key.pem", "-out", "cert.pem"]);
    let made = command.output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

fn start(folder: PathBuf, port: u16) -> Nginx {
    certificate(&folder);
    let server = format!(
        "server {{ listen 127.0.0.1:{port} ssl http2; keepalive_requests {REQUESTS};
         ssl_certificate cert.pem; ssl_certificate_key key.pem;
         ssl_protocols TLSv1.2 TLSv1.3; location / {{ return 200 'hello'; }} }}"
    );
    Nginx::start(folder, &server, port)
}

/// As many requests on one connection as the server allows; keys are added to `keys`.
fn curl(folder: &Path, port: u16, options: &[&str], keys: Option<&Path>) {
    let mut command = Command::new("curl");
    command.current_dir(folder).env_remove("SSLKEYLOGFILE").stdout(Stdio::null());
    command.args(["--silent", "--http2", "--noproxy", "*", "--max-time", "20"]);
    command.args(["--cacert", "cert.pem"]).args(options);
    command.args((0..REQUESTS).map(|n| format!("https://localhost:{port}/{n}")));
    command.args(["--resolve", &format!("localhost:{port}:127.0.0.1")]);
    command.envs(keys.map(|keys| ("SSLKEYLOGFILE", keys)));
    let mut curl = Process(command.spawn().unwrap());
    assert_eq!(curl.end_within(Duration::from_secs(30)), Some(0), "{options:?}");
}

/// The report on saved packets, its TLS connections alone.
fn report(saved: &Path, keys: Option<&Path>) -> Vec<Value> {
    let mut command = goawhy();
    command.args(["report", "--format", "json"]).arg(saved);
    command.args(keys.iter().flat_map(|keys| [Path::new("--keylog"), keys]));
    let report: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    report["connections"].as_array().unwrap().clone()
}

/// The words of a key log that are secrets, as octets.
fn secrets(keys: &Path) -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(keys).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let words = lines.filter_map(|line| line.split(' ').nth(2));
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    words.map(|word| word.as_bytes().chunks(2).map(octet).collect()).collect()
}

#[test]
fn verdicts_fall_inside_tls_while_the_key_log_grows() {
    let programs = [("nginx", "-v"), ("curl", "--version"), ("openssl", "version")];
    if let Some(why) = missing(&programs) {
        eprintln!("skipped: {why}");
        return;
    }
    let folder = std::env::temp_dir().join(format!("goawhy-live-tls-{}", std::process::id()));
    let port = free_port();
    let nginx = start(folder, port);
    let (keys, saved) = (nginx.folder.join("keys"), nginx.folder.join("saved.pcapng"));
    std::fs::write(&keys, "# nothing yet\n").unwrap();
    let filter = format!("tcp port {port}");
    let mut live = Live::start(&[
        "-i",
        "lo",
        "-f",
        &filter,
        "--keylog",
        keys.to_str().unwrap(),
        "-w",
        saved.to_str().unwrap(),
    ]);

    // Keys are written while the capture runs; the GOAWAY inside may come before the last answer.
    for options in [&["--tlsv1.3"][..], &["--tlsv1.2", "--tls-max", "1.2"]] {
        curl(&nginx.folder, port, options, Some(&keys));
        let line = live
            .wait("the GOAWAY inside TLS", |line| of_port(line, port) && !line["goaway"].is_null());
        let goaway = &line["goaway"];
        assert_eq!((&goaway["by"], &goaway["error"]), (&"server".into(), &"NO_ERROR".into()));
        assert_eq!(goaway["last_stream_id"], 2 * REQUESTS - 1, "{line:#}");
        assert_eq!(line["connection"]["streams"]["opened"], REQUESTS, "{line:#}");
        assert_eq!(line["connection"]["transport"], "tls");
    }

    // One that keeps its keys to itself has a row all the same.
    curl(&nginx.folder, port, &["--tlsv1.3"], None);
    let line = live.wait("the end of one without keys", |line| {
        of_port(line, port) && line["end"]["how"] == "fin" && line["verdict"]["cause"] == "unknown"
    });
    let advice = line["verdict"]["advice"].to_string();
    assert!(advice.contains("SSLKEYLOGFILE"), "{line:#}");
    thread::sleep(Duration::from_millis(500));
    let shown = format!("{:?}", live.seen).to_lowercase();
    let summary = live.end();
    assert_eq!(summary["connections"], 3, "{summary:#}");
    assert_eq!(summary["goaways"], 2, "{summary:#}");

    // What was saved has the packets, not the keys; with them it says the same again.
    let saved_octets = std::fs::read(&saved).unwrap();
    let secrets = secrets(&keys);
    assert!(secrets.len() >= 5, "{}", secrets.len());
    for secret in &secrets {
        assert!(!saved_octets.windows(secret.len()).any(|part| part == &secret[..]));
        let hex: String = secret.iter().map(|octet| format!("{octet:02x}")).collect();
        assert!(!shown.contains(&hex));
        assert!(!saved_octets.windows(hex.len()).any(|part| part == hex.as_bytes()));
    }
    assert!(report(&saved, None).iter().all(|row| row["tls"]["decrypted"] == false));
    let again = report(&saved, Some(&keys));
    let goaways = again.iter().filter(|row| row["end"]["how"] == "goaway").count();
    assert_eq!((again.len(), goaways), (3, 2));
    let facts = ["TLS 1.3", "TLS 1.2", "TLS 1.3"];
    for (row, version) in again.iter().zip(facts) {
        assert_eq!(
            (&row["tls"]["version"], &row["tls"]["sni"]),
            (&version.into(), &"localhost".into())
        );
    }
}
