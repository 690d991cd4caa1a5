//! Secrets of a key log stand in no output of any kind, and in nothing that is formatted for
//! debugging.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};

use goawhy::board::detail::DetailState;
use goawhy::board::snapshot::{Feed, State};
use goawhy::run::offline::Job;
use goawhy::run::watch::Watch;
use goawhy::tls::KeyLog;
use goawhy::tui::{App, Settings, render};

use common::live::goawhy;
use common::tls::{flow, home, key_log, read};

/// A capture, and the key log that belongs to it where its secrets are not inside.
struct Case {
    capture: PathBuf,
    keys: Option<PathBuf>,
    secrets: Vec<Vec<u8>>,
}

fn cases() -> Vec<Case> {
    let all = [
        ("tls13_aes128gcm.pcap", "tls13_aes128gcm", true),
        ("tls12_cbc_sha256.pcap", "tls12_cbc_sha256", true),
        ("tls13_0rtt.pcap", "tls13_0rtt", true),
        // The same secrets, inside the capture.
        ("tls13_dsb_late.pcapng", "tls13_aes128gcm", false),
    ];
    all.map(|(capture, log, beside)| Case {
        capture: home().join(capture),
        keys: beside.then(|| home().join(format!("{log}.keys"))),
        secrets: secrets(&key_log(log)),
    })
    .into()
}

/// The secrets of a key log, as octets.
fn secrets(log: &[u8]) -> Vec<Vec<u8>> {
    let text = std::str::from_utf8(log).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let words = lines.filter_map(|line| line.split_ascii_whitespace().nth(2));
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let all: Vec<Vec<u8>> =
        words.map(|word| word.as_bytes().chunks(2).map(octet).collect()).collect();
    assert!(!all.is_empty() && all.iter().all(|secret| secret.len() >= 32));
    all
}

/// Fails where a secret, or a good part of one, stands in `output`: as octets, in hexadecimal, or
/// as the numbers of a list.
fn assert_silent(output: &[u8], secrets: &[Vec<u8>], what: &str) {
    assert!(output.len() > 20, "{what} says nothing");
    let text = String::from_utf8_lossy(output).to_lowercase();
    for secret in secrets {
        let part = &secret[..12];
        assert!(!output.windows(part.len()).any(|window| window == part), "{what}: octets");
        let hex = part.iter().fold(String::new(), |mut text, octet| {
            write!(text, "{octet:02x}").unwrap();
            text
        });
        assert!(!text.contains(&hex), "{what}: hexadecimal");
        let list = format!("{:?}", &secret[..4]);
        assert!(!text.contains(list.trim_matches(['[', ']'])), "{what}: a list");
    }
}

fn said(arguments: &[&OsStr], input: Option<&Path>) -> Vec<u8> {
    let mut command = goawhy();
    command.args(arguments).stdin(Stdio::null());
    if let Some(input) = input {
        command.stdin(std::fs::File::open(input).unwrap());
    }
    let done = command.output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {done:?}");
    [done.stdout, done.stderr].concat()
}

#[test]
fn no_secret_is_printed() {
    for Case { capture, keys, secrets } in cases() {
        let keylog = keys.iter().flat_map(|keys| [OsStr::new("--keylog"), keys.as_os_str()]);
        let keylog: Vec<&OsStr> = keylog.collect();
        let told = |words: &str, input: Option<&Path>| {
            let words: Vec<&OsStr> = words.split(' ').map(OsStr::new).collect();
            let file = if input.is_none() { capture.as_os_str() } else { OsStr::new("-") };
            let output = said(&[&words[..], &keylog, &[file]].concat(), input);
            assert_silent(&output, &secrets, words[0].to_str().unwrap());
            output
        };
        let report = told("report --format json --streams", None);
        assert!(String::from_utf8(report).unwrap().contains("\"decrypted\":true"), "{capture:?}");
        told("report --streams --color always", None);
        told("frames", None);
        let frames = told("frames --format jsonl --headers", None);
        assert!(frames.split(|octet| *octet == b'\n').count() > 10);
        if cfg!(all(feature = "live", target_os = "linux")) {
            // What `-w` saves is looked at where packets are captured.
            told("live --format jsonl", Some(&capture));
            told("live -v", Some(&capture));
        }
    }
}

#[test]
fn no_secret_shows_on_screen() {
    for Case { capture, keys, secrets } in cases() {
        let keylogs = keys.into_iter().collect();
        let job = Job { files: vec![capture], keylogs, ..Job::default() };
        let mut shown = format!("{job:?}");
        let watch = Watch::files(job).unwrap();
        let begun = Instant::now();
        let patiently = || {
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing came");
            std::thread::sleep(Duration::from_millis(2));
        };
        while watch.latest().state != State::Ended {
            patiently();
        }
        let snapshot = watch.latest();
        write!(shown, "{snapshot:?}").unwrap();
        let row = &snapshot.board.connections[0];
        while watch.detail(row).state == DetailState::Reading {
            patiently();
        }
        write!(shown, "{:?}", watch.detail(row)).unwrap();
        let mut app = App::new(Settings::default());
        app.refresh(&watch);
        let mut terminal = Terminal::new(TestBackend::new(200, 60)).unwrap();
        for code in ["12345?\n"].iter().flat_map(|keys| keys.chars()) {
            let code = if code == '\n' { KeyCode::Enter } else { KeyCode::Char(code) };
            app.event(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
            app.refresh(&watch);
            terminal.draw(|frame| render(frame, &mut app)).unwrap();
            write!(shown, "{}", terminal.backend()).unwrap();
        }
        assert_silent(shown.as_bytes(), &secrets, "the dashboard");
    }
}

#[test]
fn no_secret_shows_when_debugged() {
    for name in ["tls13_aes128gcm", "tls12_cbc_sha256"] {
        let log = key_log(name);
        let mut keys = KeyLog::new();
        keys.add_text(&log);
        let flow = flow(name);
        let told = read(flow.key, Some(flow.client), &flow.pieces, &log);
        let shown = format!("{keys:?} {keys:#?} {:?} {:#?}", told.facts, keys.facts());
        assert_silent(shown.as_bytes(), &secrets(&log), "debugged");
    }
}
