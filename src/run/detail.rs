//! One connection in detail: captures are read again for its frames and streams alone.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::board::ConnectionRow;
use crate::board::detail::{Detail, DetailState, FrameRow};
use crate::capture::Source;
#[cfg(feature = "live")]
use crate::capture::filter::Filter;
use crate::error::Error;
use crate::pipeline::{Pipeline, Sink};
use crate::track::history::History;
use crate::vocab::address::FlowKey;
use crate::vocab::flow::FlowId;
use crate::vocab::frame::Frame;
use crate::vocab::limits::Limits;
use crate::vocab::time::Stamp;
use crate::vocab::tls::TlsFacts;

use super::offline::Job;
use super::secrets;

/// What names a connection over all readings of the same captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    key: FlowKey,
    first: Stamp,
    last: Stamp,
}

impl Wanted {
    pub(super) fn of(row: &ConnectionRow) -> Self {
        let (key, _) = FlowKey::of(row.client, row.server);
        Self { key, first: row.first, last: row.last }
    }

    /// Whether it is the same connection, be it longer by now.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        (self.key, self.first) == (other.key, other.first)
    }
}

/// Reads frames and streams of a connection; ends early where `stop` is set.
pub(super) fn read(job: &Job, wanted: Wanted, stop: &AtomicBool) -> Detail {
    let mut collector = Collector::new(wanted, &job.limits);
    let error = fill(job, &mut collector, stop).err().map(|error| error.to_string());
    let mut detail = collector.detail;
    detail.frames.sort_by_key(|frame| frame.stamp.order());
    Detail { state: DetailState::Whole, error, ..detail }
}

fn fill(job: &Job, collector: &mut Collector, stop: &AtomicBool) -> Result<(), Error> {
    #[cfg(feature = "live")]
    let mut filter = job.filter.as_deref().map(Filter::new).transpose()?;
    let secrets = secrets::gather(job)?;
    let mut source = Source::open(&job.files)?;
    let mut pipeline = Pipeline::new(&job.limits, &secrets, true);
    pipeline.follow_only(collector.wanted.key);
    while let Some(packet) = source.next() {
        #[cfg(feature = "live")]
        if filter.as_mut().is_some_and(|filter| !filter.passes(&packet)) {
            continue;
        }
        // What a packet is good for was counted when it was read first.
        let _ = pipeline.push(&packet, collector);
        if collector.found || stop.load(Ordering::Relaxed) {
            break;
        }
    }
    pipeline.finish(collector);
    Ok(())
}

struct Collector {
    wanted: Wanted,
    detail: Detail,
    /// Octets that `detail` holds.
    weight: usize,
    most: usize,
    most_streams: usize,
    /// The flow whose frames are being collected.
    current: Option<FlowId>,
    found: bool,
}

impl Collector {
    fn new(wanted: Wanted, limits: &Limits) -> Self {
        Self {
            wanted,
            detail: Detail::default(),
            weight: 0,
            most: limits.detail_bytes,
            most_streams: limits.detail_streams,
            current: None,
            found: false,
        }
    }

    /// Another connection of the same endpoints begins.
    fn begin(&mut self, flow: FlowId) {
        if self.current != Some(flow) {
            self.current = Some(flow);
            self.detail = Detail::default();
            self.weight = 0;
        }
    }
}

impl Sink for Collector {
    fn frame(&mut self, flow: FlowId, frame: &Frame<'_>) {
        if self.found {
            return;
        }
        self.begin(flow);
        if self.weight >= self.most {
            self.detail.frames_beyond += 1;
            return;
        }
        let row = FrameRow::of(frame);
        self.weight += row.weight();
        self.detail.frames.push(row);
    }

    fn connection(&mut self, history: History, _tls: Option<TlsFacts>) {
        if self.found || history.first != self.wanted.first {
            return;
        }
        self.begin(history.flow);
        self.detail.streams = history.rows;
        let beyond = self.detail.streams.len().saturating_sub(self.most_streams);
        self.detail.streams.truncate(self.most_streams);
        self.detail.streams_beyond = beyond as u64;
        self.found = true;
    }
}
