//! The latest packets of a live capture, for whoever wants to see the frames of one connection.
//!
//! Packets rather than frames: keeping them costs one copy and nothing is decoded that nobody
//! looks at.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::board::detail::{Detail, DetailState};
use crate::pipeline::detail::{Collector, Marks, Wanted};
use crate::pipeline::{Pipeline, Sink};
use crate::vocab::address::FlowKey;
use crate::vocab::limits::Limits;
use crate::vocab::tls::KeyLines;

use super::queue::Batch;

/// Packets that are kept, oldest first.
pub(super) struct Recent {
    inner: Mutex<Inner>,
    /// Octets of packets that are kept, about.
    most: usize,
    limits: Limits,
}

#[derive(Default)]
struct Inner {
    pieces: VecDeque<Arc<Piece>>,
    octets: usize,
    /// TLS key logs as they came, for what is read again.
    secrets: Vec<KeyLines>,
    secret_octets: usize,
}

/// Packets that are let go together.
#[derive(Clone, Debug, Default)]
struct Piece {
    first: u64,
    batch: Batch,
}

impl Recent {
    pub(super) fn new(most: usize, limits: &Limits) -> Self {
        Self { inner: Mutex::default(), most, limits: limits.clone() }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the packets of a batch, the first of which has this number.
    pub(super) fn keep(&self, batch: &Batch, first: u64) {
        let mut inner = self.lock();
        for (number, (source, packet)) in (first..).zip(batch.packets(first)) {
            // Who reads the last piece has it to himself: another begins.
            let room = inner.pieces.back_mut().and_then(Arc::get_mut);
            let room = room.filter(|piece| piece.batch.weight() < PIECE);
            if let Some(piece) = room {
                piece.batch.add(source, &packet);
            } else {
                let mut piece = Piece { first: number, ..Piece::default() };
                piece.batch.add(source, &packet);
                inner.pieces.push_back(Arc::new(piece));
            }
        }
        inner.octets += batch.weight();
        while inner.octets > self.most
            && let Some(oldest) = inner.pieces.pop_front()
        {
            inner.octets = inner.octets.saturating_sub(oldest.batch.weight());
        }
    }

    /// Keeps lines of a TLS key log, as far as a key log may be long.
    pub(super) fn learn(&self, lines: &KeyLines) {
        let mut inner = self.lock();
        if inner.secret_octets + lines.len() <= self.limits.key_log_bytes {
            inner.secret_octets += lines.len();
            inner.secrets.push(lines.clone());
        }
    }

    /// Frames and streams of a connection, as far as its packets are still here.
    pub(super) fn read(&self, wanted: Wanted, marks: Marks, stop: &AtomicBool) -> Detail {
        let mut collector = Collector::recent(wanted, marks, &self.limits);
        let done = |collector: &Collector| collector.is_done() || stop.load(Ordering::Relaxed);
        let begins = self.replay(Some(wanted.key()), &mut collector, done);
        let detail = collector.into_detail();
        let error = (detail.frames.is_empty() && detail.streams.is_empty()).then(|| {
            "its packets are no longer kept: capture with -w, and open the file".to_owned()
        });
        let whole = begins <= wanted.first().packet();
        let state = if whole { DetailState::Whole } else { DetailState::Recent };
        Detail { state, error, ..detail }
    }

    /// Reads what is kept again, for one pair of endpoints or all, until it is done. Gives the
    /// first packet.
    pub(super) fn replay<S: Sink>(
        &self,
        only: Option<FlowKey>,
        sink: &mut S,
        done: impl Fn(&S) -> bool,
    ) -> u64 {
        let (pieces, secrets) = {
            let inner = self.lock();
            let pieces: Vec<_> = inner.pieces.iter().cloned().collect();
            (pieces, inner.secrets.clone())
        };
        let mut pipeline = Pipeline::new(&self.limits, &secrets, true);
        if let Some(only) = only {
            pipeline.follow_only(only);
        }
        let packets = pieces.iter().flat_map(|piece| piece.batch.packets(piece.first));
        for (_, packet) in packets {
            // What a packet is good for was counted when it was read first.
            let _ = pipeline.push(&packet, sink);
            if done(sink) {
                break;
            }
        }
        pipeline.finish(sink);
        pieces.first().map_or(u64::MAX, |piece| piece.first)
    }
}

/// Octets of packets that are let go together.
const PIECE: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::capture::Source;
    use crate::run::offline::{self, Job};

    /// Keeps the packets of a capture as a live capture would, a few at a time.
    fn kept(name: &str, most: usize) -> (Recent, Wanted) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures").join(name);
        let job = Job { files: vec![file], ..Job::default() };
        let recent = Recent::new(most, &job.limits);
        let mut source = Source::open(&job.files).unwrap();
        let (mut batch, mut first, mut number) = (Batch::default(), 1, 0);
        while let Some(packet) = source.next() {
            number += 1;
            batch.add(0, &packet);
            if batch.len() == 7 {
                recent.keep(&batch, first);
                batch.clear();
                first = number + 1;
            }
        }
        recent.keep(&batch, first);
        (recent, Wanted::of(&offline::report(&job).unwrap().connections[0]))
    }

    const SAMPLE: &str = "stacks/vertx-client-timeout-goaway1-10s.pcap";

    #[test]
    fn what_is_kept_gives_frames_and_streams() {
        let (recent, wanted) = kept(SAMPLE, usize::MAX);
        let detail = recent.read(wanted, Marks::default(), &AtomicBool::new(false));
        assert_eq!((detail.state, &detail.error), (DetailState::Whole, &None));
        assert_eq!(detail.frames.first().map(|frame| frame.type_name()), Some("PREFACE".into()));
        assert!(detail.frames.iter().any(|frame| frame.type_name() == "GOAWAY"));
        assert!(!detail.streams.is_empty());
    }

    #[test]
    fn what_is_let_go_is_said_to_be() {
        let (recent, wanted) = kept(SAMPLE, 0);
        assert!(recent.lock().pieces.is_empty());
        let detail = recent.read(wanted, Marks::default(), &AtomicBool::new(false));
        assert!(detail.frames.is_empty() && detail.error.is_some());
        assert_eq!(detail.state, DetailState::Recent);
    }
}
