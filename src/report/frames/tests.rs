use serde_json::{Value, json};

use super::super::sample::stamp;
use super::*;
use crate::vocab::address::Side;
use crate::vocab::error_code::ErrorCode;
use crate::vocab::frame::{Flags, FrameHead, FrameType, Priority};
use crate::vocab::header::FieldSpan;
use crate::vocab::setting::SettingId;

fn frame(packet: u64, kind: FrameType, payload: Payload<'_>) -> Frame<'_> {
    let head = FrameHead { length: 8, kind, flags: Flags(1), stream: 3 };
    let stamp = stamp(packet, 0);
    Frame { by: Side::Server, stamp, head, offset: 0, seen: 0, payload, headers: None }
}

fn lines(frames: &[Frame<'_>], format: Format, headers: bool) -> String {
    let mut writer = FrameWriter::new(Vec::new(), format, headers, false);
    for frame in frames {
        writer.write(1, frame).unwrap();
    }
    String::from_utf8(writer.finish().unwrap()).unwrap()
}

fn json_of(frame: Frame<'_>) -> Value {
    serde_json::from_str(&lines(&[frame], Format::Jsonl, true)).unwrap()
}

#[test]
fn each_type_has_its_fields() {
    let goaway = Payload::GoAway { last_stream_id: 7, code: ErrorCode(42), debug: b"a\"\xff\n" };
    assert_eq!(
        json_of(frame(399, FrameType::GOAWAY, goaway)),
        json!({"packet": 399, "at": "2026-09-21T14:13:20.000000000Z", "connection": 1,
               "by": "server", "stream": 3, "type": "GOAWAY", "flags": 1, "length": 8,
               "last_stream_id": 7, "error_code": 42, "error": "0x2a", "debug": "a\"\\xff\n"})
    );
    let values = [(SettingId(3), 100), (SettingId(0x99), 1)];
    let settings = Payload::Settings { ack: false, values: &values };
    assert_eq!(
        json_of(frame(1, FrameType::SETTINGS, settings))["settings"],
        json!([[3, 100], [153, 1]])
    );
    let ping = Payload::Ping { ack: true, opaque: [0, 1, 2, 3, 4, 5, 6, 255] };
    let ping = json_of(frame(1, FrameType::PING, ping));
    assert_eq!((&ping["ack"], &ping["opaque"]), (&json!(true), &json!("00010203040506ff")));
    let priority = Priority { depends_on: 1, exclusive: true, weight: 15 };
    let priority = json_of(frame(1, FrameType::PRIORITY, Payload::Priority(priority)));
    assert_eq!(priority["priority"]["weight"], 16);
    let reset = Payload::RstStream { code: ErrorCode::CANCEL };
    assert_eq!(json_of(frame(1, FrameType::RST_STREAM, reset))["error"], "CANCEL");
    let push = Payload::PushPromise { promised: 2 };
    assert_eq!(json_of(frame(1, FrameType::PUSH_PROMISE, push))["promised_stream"], 2);
    let window = Payload::WindowUpdate { increment: 5 };
    assert_eq!(json_of(frame(1, FrameType::WINDOW_UPDATE, window))["increment"], 5);
    assert_eq!(json_of(frame(1, FrameType(0x2a), Payload::Other))["type"], "0x2a");
    assert_eq!(json_of(frame(1, FrameType(0), Payload::Preface))["type"], "PREFACE");
    assert_eq!(json_of(frame(1, FrameType::PING, Payload::Unseen))["unseen"], true);
}

#[test]
fn unknown_header_parts_are_null() {
    let unknown = FieldSpan::UNKNOWN;
    let fields = [
        FieldSpan { start: 0, name: 1, value: 1, ..FieldSpan::default() },
        FieldSpan { start: 0, name: unknown, value: unknown, ..FieldSpan::default() },
        FieldSpan { start: 0, name: 1, value: unknown, ..FieldSpan::default() },
    ];
    let list = HeaderList { fields: &fields, text: b"n\xff", ..HeaderList::default() };
    let mut headers = frame(5, FrameType::CONTINUATION, Payload::Continuation { of: None });
    headers.headers = Some(list);
    assert_eq!(json_of(headers)["headers"], json!([["n", "\\xff"], [null, null], ["n", null]]));
    assert!(!lines(&[headers], Format::Jsonl, false).contains("headers"));
    assert!(lines(&[headers], Format::Text, true).contains("\n         n: \\xff\n         ?: ?\n"));
}

#[test]
fn late_frames_are_put_back_in_order() {
    let late = |packet| frame(packet, FrameType::PING, Payload::Other);
    let text = lines(&[late(3), late(1), late(2), late(2)], Format::Jsonl, false);
    let packets: Vec<_> = text.lines().map(|line| line.chars().nth(10).unwrap()).collect();
    assert_eq!(packets, ['1', '2', '2', '3']);
}

#[test]
fn what_waits_is_bounded() {
    let mut writer = FrameWriter::new(Vec::new(), Format::Text, false, true);
    for packet in 0..40_000 {
        writer.write(1, &frame(packet, FrameType::PING, Payload::Other)).unwrap();
    }
    assert!(writer.lines.len() <= LINES_HELD + 1);
    let text = writer.finish().unwrap();
    assert_eq!(text.iter().filter(|octet| **octet == b'\n').count(), 40_000);
}

#[test]
fn lines_of_a_pipe_do_not_wait() {
    struct Counter(std::rc::Rc<std::cell::Cell<(usize, usize)>>);
    impl std::io::Write for Counter {
        fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
            let (lines, flushed) = self.0.get();
            self.0.set((lines + octets.iter().filter(|octet| **octet == b'\n').count(), flushed));
            Ok(octets.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            let (lines, _) = self.0.get();
            self.0.set((lines, lines));
            Ok(())
        }
    }
    let seen = std::rc::Rc::new(std::cell::Cell::new((0, 0)));
    let out = Counter(std::rc::Rc::clone(&seen));
    let mut writer = FrameWriter::new(out, Format::Text, false, false).at_once();
    for packet in 1..=3 {
        writer.write(1, &frame(packet, FrameType::PING, Payload::Unseen)).unwrap();
        assert_eq!(seen.get(), (packet as usize, packet as usize));
    }
}
