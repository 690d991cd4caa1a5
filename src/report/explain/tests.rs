use super::*;
use crate::cause::pages;

/// Compares with the stored file; `UPDATE=1` rewrites it.
fn stored(name: &str, topic: &str) {
    let mut text = Vec::new();
    write(&mut text, &pages::look_up(topic).unwrap(), Style::default()).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.lines().all(|line| line.chars().count() <= 100 && !line.ends_with(' ')));
    let path = format!("{}/tests/snapshots/explain-{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(&path).unwrap_or_default(), "{path}");
}

#[test]
fn a_cause() {
    stored("cause", "keepalive_ping_timeout");
}

#[test]
fn a_rule_and_a_section() {
    stored("rule", "data-stream-zero");
    stored("section", "rfc9113 6.8");
}

#[test]
fn lines_of_clients() {
    stored("line-vertx", "Connection was closed (GOAWAY error code = 1)");
    stored(
        "line-go",
        "http2: server sent GOAWAY and closed the connection; LastStreamID=1999, \
         ErrCode=ENHANCE_YOUR_CALM, debug=\"too_many_pings\"",
    );
}

#[test]
fn colours_and_narrow_terminals() {
    let page = pages::look_up("idle_timeout").unwrap();
    let mut text = Vec::new();
    write(&mut text, &page, Style { colour: true, ascii: true, width: 60 }).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.is_ascii() && text.contains("\u{1b}[1midle_timeout\u{1b}[0m"));
}
