//! Room 5 and 6: a flow, read twice: as it is cut, and octet by octet.

use std::fmt::Write;

use arbitrary::Unstructured;
use goawhy::h2::{Reader, Scratch};
use goawhy::track::Tracker;
use goawhy::vocab::address::Half;
use goawhy::vocab::flow::{FlowId, FlowItem};
use goawhy::vocab::frame::{PREFACE, Signal};
use goawhy::vocab::limits::Limits;
use goawhy::vocab::time::{Stamp, Timestamp};

use crate::flow;

/// No panic whatever comes. Frames of a connection that begins as it has to are the same however
/// its octets are cut.
pub fn run(data: &[u8]) {
    match data {
        [0, rest @ ..] => drop(frames(|take| {
            flow::items(&mut Unstructured::new(rest), take);
        })),
        [_, rest @ ..] => whole(rest),
        [] => {}
    }
}

fn whole(script: &[u8]) {
    let runs = connection(&mut Unstructured::new(script));
    let told = frames(|take| flow::runs(&runs, usize::MAX, take));
    for most in [1, 2 + script.len() % 37] {
        let other = frames(|take| flow::runs(&runs, most, take));
        assert!(told == other, "cut at {most}:\n{told}\n{other}");
    }
}

/// What both halves of a connection send in turn: whole frames of any kind behind a beginning
/// that RFC 9113 section 3.4 allows.
fn connection(script: &mut Unstructured<'_>) -> Vec<(Half, Vec<u8>)> {
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let first = [&PREFACE[..], &settings].concat();
    let mut runs = vec![(Half::A, first), (Half::B, settings.to_vec())];
    while let Ok((by, kind, flags, stream, length)) = script.arbitrary::<(u8, u8, u8, u8, u8)>() {
        let payload = script.bytes(usize::from(length).min(script.len())).unwrap_or_default();
        let half = if by & 1 == 0 { Half::A } else { Half::B };
        // Mostly kinds of RFC 9113.
        let kind = if kind < 0xf0 { kind % 10 } else { kind };
        let mut frame = vec![0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream % 16];
        frame.extend_from_slice(payload);
        match runs.last_mut() {
            Some((last, octets)) if *last == half => octets.extend(frame),
            _ => runs.push((half, frame)),
        }
        if script.is_empty() {
            break;
        }
    }
    runs
}

fn frames(feed: impl FnOnce(&mut dyn FnMut(&FlowItem<'_>))) -> String {
    let limits = Limits::default();
    let mut reader = Reader::new(flow::key(), Some(Half::A));
    let mut scratch = Scratch::default();
    let mut tracker: Option<Tracker> = None;
    let mut told = String::new();
    feed(&mut |item: &FlowItem<'_>| {
        reader.push(item, &limits, &mut scratch, &mut |signal| {
            if let Signal::Started { client, stamp, .. } = signal {
                let first = Stamp::new(0, 1, Timestamp(1_000_000));
                assert!(first.order() <= stamp.order());
                tracker = Some(Tracker::new(FlowId(0), flow::key(), client, first, true));
            }
            if let Signal::Frame(frame) = &signal {
                let (head, by) = (frame.head, frame.by);
                writeln!(told, "{by:?} {head:?} {:?}", frame.payload).unwrap();
            }
            if let Some(tracker) = &mut tracker {
                tracker.apply(&signal, &limits);
            }
        });
    });
    if let Some(tracker) = tracker {
        let history = tracker.into_history();
        goawhy::cause::judge(&history);
    }
    told
}
