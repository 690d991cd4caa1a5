use serde_json::Value;

use super::super::sample;
use super::*;

fn report(board: &Board, options: &Options) -> Value {
    let mut text = Vec::new();
    write(&mut text, board, options).unwrap();
    assert_eq!(text.iter().filter(|octet| **octet == b'\n').count(), 1);
    serde_json::from_slice(&text).unwrap()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn every_key_of_the_contract_is_there() {
    let whole = report(&sample::trouble(), &Options { streams: true, ..Options::default() });
    let has = |value: &Value, wanted: &str| {
        let keys = keys(value);
        for key in wanted.split(' ') {
            assert!(keys.contains(&key), "{key} in {keys:?}");
        }
    };
    has(&whole, "schema captures connections inferred_timeouts conflicts summary limits key_log");
    has(&whole["summary"], "connections other_flows goaways causes blame");
    has(&whole["captures"][0], "file format packets bytes first_packet_at last_packet_at");
    has(&whole["captures"][0], "truncated_packets kernel_dropped undecoded_packets damage");
    let row = &whole["connections"][0];
    has(row, "id capture client server transport tls http2 joined_midway one_sided first_packet");
    has(row, "last_packet opened_at closed_at lost_bytes streams end goaways end_verdict");
    has(row, "dropped_meanwhile forgotten");
    has(row, "cancellations findings stream_list answers implementations limits");
    has(&row["tls"], "version cipher sni alpn offered decrypted why_not client server");
    has(&row["tls"]["client"], "records bytes alert");
    has(&row["streams"], "opened completed cancelled reset refused unfinished");
    let goaway = &row["goaways"][0];
    has(goaway, "by packet capture at error_code error last_stream_id debug follows verdict");
    let verdict = &goaway["verdict"];
    has(verdict, "cause trigger blame confidence summary timeout late_answer chain");
    has(verdict, "cancelled_streams offending_packet rule safe_to_retry_streams");
    has(verdict, "maybe_processed_streams implementation alternatives advice");
    has(&verdict["timeout"], "kind seconds at_least spread_seconds samples configured_in");
    has(&verdict["chain"][0], "packet capture at by stream what text");
    has(&row["findings"][0], "packet capture at by stream rule text scope error_code");
    has(&row["cancellations"][0], "cause by streams timeout confidence first_packet last_packet");
    let stream = &row["stream_list"][0];
    has(stream, "id by opened_packet opened_at ended_at end method scheme authority path status");
    has(stream, "grpc request_bytes response_bytes first_response_after duration");
    has(stream, "request_headers response_headers trailers");
    has(&whole["inferred_timeouts"][0], "kind seconds spread_seconds samples configured_in");
    has(&whole["inferred_timeouts"][0], "client server confidence");
    has(&whole["conflicts"][0], "rule text between advice");
}

#[test]
fn values_of_the_seed_case() {
    let whole = report(&sample::seed(), &Options::default());
    let row = &whole["connections"][0];
    assert_eq!(whole["schema"], 1);
    assert_eq!(row["id"], 1);
    assert_eq!(row["client"], "127.0.0.1:33874");
    assert_eq!(row["end"], serde_json::json!({"how": "goaway", "by": "server", "packet": 399}));
    assert_eq!(row["goaways"][0]["error"], "PROTOCOL_ERROR");
    assert_eq!(row["goaways"][0]["last_stream_id"], 0x7fff_ffff);
    assert_eq!(row["goaways"][0]["verdict"]["confidence"], 0.95);
    assert_eq!(row["goaways"][0]["verdict"]["late_answer"]["reset_packet"], 134);
    assert_eq!(row["opened_at"], "2026-09-21T14:13:20.000000000Z");
    assert!(row.get("stream_list").is_none());
    assert!(row["goaways"][0].get("capture").is_none());
    assert_eq!(whole["connections"][1]["end_verdict"]["cause"], "client_shutdown");
    let causes = serde_json::json!({"client_request_timeout": 1, "client_shutdown": 1});
    assert_eq!(whole["summary"]["causes"], causes);
    assert_eq!(whole["summary"]["blame"], serde_json::json!({"server": 1, "none": 1}));
}

#[test]
fn what_the_capture_cannot_tell_is_null() {
    let whole = report(&sample::trouble(), &Options { streams: true, ..Options::default() });
    let row = &whole["connections"][0];
    assert_eq!(row["opened_at"], Value::Null);
    assert_eq!(row["one_sided"], "server");
    assert_eq!(row["goaways"][0]["debug"], "\u{1b}[2J\\xff evil");
    assert_eq!(row["stream_list"][0]["request_headers"][1], serde_json::json!([null, null]));
    assert_eq!(row["stream_list"][0]["end"]["error"], "CANCEL");
    assert_eq!(whole["captures"][0]["undecoded_packets"], 2);
    assert_eq!(whole["captures"][0]["damage"]["packet"], 403);
    assert_eq!(whole["limits"]["resets"], 1);
}

#[test]
fn a_pick_keeps_the_numbers() {
    let pick = Pick { connection: Some(2), stream: None, passing: None };
    let whole = report(&sample::seed(), &Options { pick, ..Options::default() });
    assert_eq!(whole["connections"].as_array().unwrap().len(), 1);
    assert_eq!(whole["connections"][0]["id"], 2);
}
