//! Faults for tests: the program as it is shipped has nothing of them.

use std::cell::Cell;

use crate::track::history::History;
use crate::vocab::frame::{Frame, Payload};
use crate::vocab::segment::Segment;

/// Two connections, of which the first one fails at its GOAWAY; `FAULT` stands for where.
pub const SCRIPT: &str = r#"
0 SYN
1 C> PREFACE
+ SETTINGS
2 S> SETTINGS
3 C> SETTINGS ACK
3 S> SETTINGS ACK
10 C> HEADERS 1 END_STREAM :method=GET :scheme=http :authority=a :path=/
20 S> HEADERS 1 END_STREAM :status=200
30 S> GOAWAY 1 NO_ERROR "FAULT"
40 S> FIN
41 C> FIN
@2 100 SYN
@2 101 C> PREFACE
+ SETTINGS
@2 102 S> SETTINGS
@2 103 C> SETTINGS ACK
@2 103 S> SETTINGS ACK
@2 110 C> HEADERS 1 END_STREAM :method=GET :scheme=http :authority=a :path=/
@2 120 S> HEADERS 1 END_STREAM :status=200
@2 130 S> GOAWAY 1 NO_ERROR "well"
@2 140 S> FIN
@2 141 C> FIN
"#;

/// Where a script can ask for a panic: below the octets, at a frame, at a look at a connection
/// that is open, and when it is judged at its end.
pub const PLACES: [&str; 4] =
    ["panic in tcp", "panic at the frame", "panic at a look", "panic at the end"];

pub(super) fn at_segment(segment: &Segment<'_>) {
    let text = PLACES[0].as_bytes();
    assert!(!segment.payload.windows(text.len()).any(|part| part == text), "as asked");
}

pub(super) fn at_frame(frame: &Frame<'_>) {
    let text = PLACES[1].as_bytes();
    let asked = matches!(&frame.payload, Payload::GoAway { debug, .. } if *debug == text);
    assert!(!asked, "as asked");
}

pub(super) fn at_look(history: &History) {
    at_history(history, PLACES[2]);
}

pub(super) fn at_end(history: &History) {
    at_history(history, PLACES[3]);
}

/// The step of the second pass with this number, from 0, fails next in this thread.
pub fn fail_at_step(number: u32) {
    STEPS_LEFT.set(Some(number));
}

/// Whether that step has not come yet.
pub fn is_armed() -> bool {
    STEPS_LEFT.take().is_some()
}

pub(super) fn at_step() {
    let left = STEPS_LEFT.take();
    assert!(left != Some(0), "as asked");
    STEPS_LEFT.set(left.map(|left| left - 1));
}

thread_local! {
    static STEPS_LEFT: Cell<Option<u32>> = const { Cell::new(None) };
}

fn at_history(history: &History, text: &str) {
    assert!(!history.goaways.iter().any(|goaway| goaway.debug == text.as_bytes()), "as asked");
}
