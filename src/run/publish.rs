//! Snapshots on a timer: often enough for a screen, and never more than a tenth of the time.

use std::mem;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::board::snapshot::{LiveFacts, Progress, Rates, Snapshot, State};
use crate::pipeline::Pipeline;
use crate::pipeline::moving::Moving;
use crate::vocab::capture::CaptureFacts;
use crate::vocab::clock::ClockOffset;

use super::clocks;

/// The latest snapshot, shared by who makes it and who draws it.
#[derive(Debug, Default)]
pub(super) struct Latest(RwLock<Arc<Snapshot>>);

impl Latest {
    pub(super) fn get(&self) -> Arc<Snapshot> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn put(&self, snapshot: Snapshot) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
    }
}

/// Makes snapshots of a pipeline and its rows.
pub(super) struct Publisher {
    latest: Arc<Latest>,
    next: Instant,
    revision: u64,
    /// When the rates were last taken, and what had been read by then.
    since: (Instant, u64, u64),
    rates: Rates,
}

/// What a snapshot is made of beside the rows.
pub(super) struct Now {
    pub(super) captures: Vec<CaptureFacts>,
    pub(super) clock_offsets: Vec<ClockOffset>,
    pub(super) state: State,
    pub(super) error: Option<String>,
    pub(super) progress: Progress,
    pub(super) live: Option<LiveFacts>,
}

impl Publisher {
    pub(super) fn new(latest: Arc<Latest>) -> Self {
        let now = Instant::now();
        Self { latest, next: now, revision: 0, since: (now, 0, 0), rates: Rates::default() }
    }

    /// Whether it has been time for another snapshot for so long.
    pub(super) fn is_due(&self, since: Duration) -> bool {
        Instant::now() >= self.next + since
    }

    /// Makes a snapshot; how long that takes decides when the next one is due.
    pub(super) fn publish(&mut self, rows: &mut Moving, pipeline: &mut Pipeline, now: Now) {
        let begun = Instant::now();
        let ended = now.state == State::Ended;
        rows.look(pipeline, if ended { usize::MAX } else { ROWS_AT_ONCE });
        let mut board = rows.board();
        for (hit, count) in pipeline.limit_hits() {
            *board.hits.entry(hit).or_default() += count;
        }
        board.key_log = pipeline.key_log();
        for fault in mem::take(&mut board.faults) {
            pipeline.failed_at(fault.place, rows);
        }
        board.faults = pipeline.faults().to_vec();
        let octets = now.captures.iter().map(|facts| facts.bytes).fold(0, u64::saturating_add);
        self.measure(begun, now.progress.packets, octets);
        let latest = now.captures.iter().filter_map(|facts| facts.last_packet_at).max();
        board.captures = now.captures;
        clocks::tell(&now.clock_offsets, &mut board);
        self.revision += 1;
        self.latest.put(Snapshot {
            revision: self.revision,
            board,
            state: now.state,
            error: now.error,
            progress: now.progress,
            latest,
            rates: self.rates,
            live: now.live,
        });
        self.next = begun + PERIOD.max(begun.elapsed() * SHARE);
    }

    fn measure(&mut self, now: Instant, packets: u64, octets: u64) {
        let (since, packets_then, octets_then) = self.since;
        let seconds = now.duration_since(since).as_secs_f64();
        if seconds < RATE_OVER.as_secs_f64() {
            return;
        }
        self.rates = Rates {
            packets: packets.saturating_sub(packets_then) as f64 / seconds,
            bytes: octets.saturating_sub(octets_then) as f64 / seconds,
        };
        self.since = (now, packets, octets);
    }
}

/// Time between two snapshots at least.
const PERIOD: Duration = Duration::from_millis(100);
/// A snapshot takes one part in so many of the time.
const SHARE: u32 = 10;
/// Time over which rates are taken at least.
const RATE_OVER: Duration = Duration::from_millis(500);
/// Rows of open connections that one snapshot makes anew: about 20 ms of work.
const ROWS_AT_ONCE: usize = 2_000;
