//! Room 5 and 6: a flow, read twice: as it is cut, and octet by octet.

use std::fmt::Write;

use arbitrary::Unstructured;
use goawhy::h2::{Reader, Scratch};
use goawhy::track::Tracker;
use goawhy::vocab::address::Half;
use goawhy::vocab::flow::{FlowId, FlowItem};
use goawhy::vocab::frame::Signal;
use goawhy::vocab::limits::Limits;
use goawhy::vocab::time::{Stamp, Timestamp};

use crate::flow;

/// No panic; where nothing is missing, frames do not depend on how the octets were cut.
pub fn run(data: &[u8]) {
    let whole = frames(data, usize::MAX);
    if data.len() < 4096 {
        let single = frames(data, 1);
        assert!(whole == single, "cut otherwise:\n{whole}\n{single}");
    }
}

fn frames(data: &[u8], most: usize) -> String {
    let limits = Limits::default();
    let mut reader = Reader::new(flow::key(), Some(Half::A));
    let mut scratch = Scratch::default();
    let mut tracker: Option<Tracker> = None;
    let mut told = String::new();
    let mut take = |item: &FlowItem<'_>| {
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
    };
    flow::items(&mut Unstructured::new(data), |item| match *item {
        FlowItem::Bytes { stamp, half, offset, seen, data } => {
            for (place, data) in data.chunks(most).enumerate() {
                let offset = offset + (place * most.min(data.len())) as u64;
                take(&FlowItem::Bytes { stamp, half, offset, seen, data });
            }
        }
        _ => take(item),
    });
    if let Some(tracker) = tracker {
        let history = tracker.into_history();
        goawhy::cause::judge(&history);
    }
    told
}
