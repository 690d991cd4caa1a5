use super::super::{block, sample};
use super::*;
use crate::board::{TlsAlert, TlsRow, TlsSent};

/// Compares with the stored file; `UPDATE=1` rewrites it.
fn stored(name: &str, board: &Board, options: &Options) {
    let mut text = Vec::new();
    write(&mut text, board, options).unwrap();
    let text = String::from_utf8(text).unwrap();
    let path = format!("{}/tests/snapshots/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(&path).unwrap_or_default(), "{path}");
}

fn utc(style: Style, pick: Pick) -> Options {
    Options { style, pick, ..Options::default() }
}

#[test]
fn the_seed_case_is_told_in_ten_seconds() {
    stored("seed", &sample::seed(), &Options::default());
}

#[test]
fn ascii_and_narrow() {
    let style = Style { ascii: true, width: 80, ..Style::default() };
    stored("seed-ascii-80", &sample::seed(), &utc(style, Pick::default()));
    let mut text = Vec::new();
    write(&mut text, &sample::trouble(), &utc(style, Pick::default())).unwrap();
    assert!(text.is_ascii());
}

#[test]
fn one_reload_is_one_block() {
    stored("reload", &sample::reload(), &Options::default());
}

#[test]
fn one_reason_is_told_once() {
    let style = Style { width: 72, ..Style::default() };
    stored("storm-72", &sample::storm(), &utc(style, Pick::default()));
}

#[test]
fn what_is_missing_is_told() {
    stored("trouble", &sample::trouble(), &Options { time: TimeStyle::Utc, ..Options::default() });
}

#[test]
fn an_empty_capture_is_no_riddle() {
    stored("empty", &Board { other_flows: 2, ..Board::default() }, &Options::default());
}

#[test]
fn one_connection_and_one_stream_can_be_picked() {
    let second = Pick { connection: Some(2), stream: None, passing: None };
    stored("pick-connection", &sample::seed(), &utc(Style::default(), second));
    let stream = Pick { connection: None, stream: Some(3), passing: None };
    stored("pick-stream", &sample::seed(), &utc(Style::default(), stream));
    let all = Options { streams: true, ..Options::default() };
    stored("streams", &sample::seed(), &all);
}

#[test]
fn a_miss_says_what_there_is() {
    let miss =
        |connection, stream| Pick { connection, stream, passing: None }.miss(&sample::seed());
    assert_eq!(miss(Some(3), None).unwrap(), "there is no connection 3: the capture has 2");
    assert!(miss(Some(2), Some(3)).unwrap().contains("no stream 3"));
    assert_eq!(miss(Some(1), Some(3)), None);
    assert_eq!(miss(None, None), None);
}

#[test]
fn colours_only_where_asked_for() {
    let paint = |colour| {
        let mut text = Vec::new();
        let style = Style { colour, ..Style::default() };
        write(&mut text, &sample::trouble(), &utc(style, Pick::default())).unwrap();
        text.contains(&0x1b)
    };
    assert!(paint(true));
    assert!(!paint(false));
}

#[test]
fn a_close_without_close_notify_is_told_where_it_would_have_shown() {
    let row = sample::seed().connections.into_iter().find(|row| row.goaways.is_empty()).unwrap();
    let facts = |decrypted: bool, alert: Option<TlsAlert>, lost: u64| {
        let mut row = row.as_ref().clone();
        let client = TlsSent { alert, ..TlsSent::default() };
        row.tls = Some(TlsRow { decrypted, client, ..TlsRow::default() });
        row.lost_bytes.first = lost;
        block::facts(&row)
    };
    let notify = TlsAlert { packet: 9, name: "close_notify".into() };
    assert!(facts(true, None, 0).ends_with(" · no close_notify of the client"));
    for told in [facts(true, Some(notify), 0), facts(true, None, 40), facts(false, None, 0)] {
        assert!(!told.contains("close_notify"), "{told}");
    }
}
