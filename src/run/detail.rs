//! One connection in detail: packets are read again for its frames and streams alone.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::board::ConnectionRow;
use crate::board::detail::{Detail, DetailState, Matching};
use crate::board::filter;
use crate::capture::Source;
#[cfg(feature = "live")]
use crate::capture::filter::Filter;
use crate::error::Error;
use crate::pipeline::detail::{Collector, Marks, Matcher, Wanted};
use crate::pipeline::{Pipeline, Sink};
use crate::vocab::address::FlowKey;
use crate::vocab::limits::Limits;
use crate::vocab::tls::KeyLines;

use super::offline::Job;
#[cfg(feature = "live")]
use super::recent::Recent;

/// Where packets can be read again.
#[derive(Clone)]
pub(super) enum Again {
    /// Files, and the secrets for them once they are gathered.
    Files(Arc<Job>, Arc<OnceLock<Vec<KeyLines>>>),
    /// What a live capture keeps.
    #[cfg(feature = "live")]
    Recent(Arc<Recent>),
}

impl Again {
    fn limits(&self) -> &Limits {
        match self {
            Self::Files(job, _) => &job.limits,
            #[cfg(feature = "live")]
            Self::Recent(recent) => recent.limits(),
        }
    }

    fn read(&self, wanted: Wanted, marks: Marks, stop: &AtomicBool) -> Detail {
        match self {
            Self::Files(job, secrets) => {
                let secrets = secrets.get().map_or(&[][..], Vec::as_slice);
                let collector = Collector::new(wanted, marks, &job.limits);
                read(job, secrets, wanted.key(), collector, stop)
            }
            #[cfg(feature = "live")]
            Self::Recent(recent) => recent.read(wanted, marks, stop),
        }
    }

    /// Which of these connections pass a filter by one of their streams; unfinished where `stop`
    /// is set.
    pub(super) fn matching<'a>(
        &self,
        filter: &'a filter::Filter,
        rows: impl Iterator<Item = &'a ConnectionRow>,
        stop: &AtomicBool,
    ) -> Matching {
        match self {
            Self::Files(job, secrets) => {
                let mut matcher = Matcher::new(filter, rows, false);
                let secrets = secrets.get().map_or(&[][..], Vec::as_slice);
                // What cannot be read again has no streams to show, as its details tell.
                let done = |_: &Matcher<'_>| stop.load(Ordering::Relaxed);
                let _ = replay(job, secrets, None, &mut matcher, done);
                Matching { state: DetailState::Whole, ..matcher.into_matching() }
            }
            #[cfg(feature = "live")]
            Self::Recent(recent) => {
                let mut matcher = Matcher::new(filter, rows, true);
                recent.replay(None, &mut matcher, |_| stop.load(Ordering::Relaxed));
                Matching { state: DetailState::Recent, ..matcher.into_matching() }
            }
        }
    }
}

/// Details that were asked for lately. Each is read in a thread of its own, and read again while
/// its connection grows, but never all the time.
pub(super) struct Details {
    again: Again,
    known: Mutex<VecDeque<Known>>,
    /// Octets that all of them may have.
    most: usize,
}

/// A connection that was asked for.
struct Known {
    wanted: Wanted,
    shown: Arc<Mutex<Shown>>,
    /// Set when nobody asks any more.
    gone: Arc<AtomicBool>,
}

impl Drop for Known {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Relaxed);
    }
}

/// What there is of it.
struct Shown {
    detail: Arc<Detail>,
    /// As long as it was when it was read last.
    read_as: Wanted,
    is_being_read: bool,
    /// Not to be read again before.
    rests_until: Instant,
}

impl Details {
    pub(super) fn new(again: Again) -> Self {
        let most = again.limits().detail_bytes.saturating_mul(2);
        Self { again, known: Mutex::default(), most }
    }

    /// What is known of a connection by now; what is missing is looked for meanwhile.
    pub(super) fn get(&self, row: &ConnectionRow) -> Arc<Detail> {
        let wanted = Wanted::of(row);
        let mut known = lock(&self.known);
        if let Some(found) = known.iter().find(|known| known.wanted.is_of(&wanted)) {
            let mut shown = lock(&found.shown);
            let rests = shown.is_being_read || Instant::now() < shown.rests_until;
            if shown.read_as != wanted && !rests {
                shown.is_being_read = true;
                shown.read_as = wanted;
                self.begin(row, found);
            }
            return Arc::clone(&shown.detail);
        }
        let shown = Arc::new(Mutex::new(Shown {
            detail: Arc::default(),
            read_as: wanted,
            is_being_read: true,
            rests_until: Instant::now(),
        }));
        // Those that were looked at last stay, as many as there is room for.
        let mut weight = 0_usize;
        let heavy = known.iter().rev().position(|of| {
            weight = weight.saturating_add(lock(&of.shown).detail.weight());
            weight > self.most
        });
        let kept = heavy.unwrap_or(known.len()).min(DETAILS - 1);
        let gone = known.len().saturating_sub(kept);
        known.drain(..gone);
        let asked = Known { wanted, shown, gone: Arc::default() };
        self.begin(row, &asked);
        known.push_back(asked);
        Arc::default()
    }

    fn begin(&self, row: &ConnectionRow, known: &Known) {
        let (wanted, marks) = (Wanted::of(row), Marks::of(row));
        let (again, gone) = (self.again.clone(), Arc::clone(&known.gone));
        let shown = Arc::clone(&known.shown);
        thread::spawn(move || {
            let begun = Instant::now();
            let detail = Arc::new(again.read(wanted, marks, &gone));
            let mut shown = lock(&shown);
            shown.detail = detail;
            shown.is_being_read = false;
            shown.rests_until = Instant::now() + REST.max(begun.elapsed() * SHARE);
        });
    }
}

pub(super) fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads frames and streams of a connection; ends early where `stop` is set.
fn read(
    job: &Job,
    secrets: &[KeyLines],
    key: FlowKey,
    mut collector: Collector,
    stop: &AtomicBool,
) -> Detail {
    let done = |collector: &Collector| collector.is_done() || stop.load(Ordering::Relaxed);
    let read = replay(job, secrets, Some(key), &mut collector, done);
    let error = read.err().map(|error| error.to_string());
    let detail = collector.into_detail();
    Detail { state: DetailState::Whole, error, ..detail }
}

/// Reads files again, for one pair of endpoints or all, until it is done.
pub(super) fn replay<S: Sink>(
    job: &Job,
    secrets: &[KeyLines],
    only: Option<FlowKey>,
    sink: &mut S,
    done: impl Fn(&S) -> bool,
) -> Result<(), Error> {
    #[cfg(feature = "live")]
    let mut filter = job.filter.as_deref().map(Filter::new).transpose()?;
    let mut source = Source::open_in_order(&job.files, &job.clocks, job.limits.sorting_bytes)?;
    let mut pipeline = Pipeline::new(&job.limits, secrets, true);
    if let Some(only) = only {
        pipeline.follow_only(only);
    }
    while let Some(packet) = source.next() {
        #[cfg(feature = "live")]
        if filter.as_mut().is_some_and(|filter| !filter.passes(&packet)) {
            continue;
        }
        // What a packet is good for was counted when it was read first.
        let _ = pipeline.push(&packet, sink);
        if done(sink) {
            break;
        }
    }
    pipeline.finish(sink);
    Ok(())
}

/// Connections whose details are remembered.
const DETAILS: usize = 8;
/// Shortest time between two readings of the same connection.
const REST: Duration = Duration::from_millis(500);
/// Reading takes one part in so many of the time.
const SHARE: u32 = 4;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::board::Board;
    use crate::run::offline;

    fn on(detail_bytes: usize) -> (Details, Board) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/servers");
        let file = folder.join("client-shutdowns.pcap");
        let limits = Limits { detail_bytes, ..Limits::default() };
        let job = Job { files: vec![file], limits, ..Job::default() };
        let board = offline::report(&job).unwrap();
        (Details::new(Again::Files(Arc::new(job), Arc::default())), board)
    }

    /// Asks for each connection in turn, and waits for it.
    fn look_at_all(details: &Details, board: &Board) {
        for (_, row) in board.rows() {
            let begun = Instant::now();
            while details.get(row).state == DetailState::Reading {
                assert!(begun.elapsed() < Duration::from_secs(60), "nothing came");
                thread::sleep(Duration::from_millis(2));
            }
        }
    }

    #[test]
    fn details_of_many_connections_stay_within_memory() {
        let (details, board) = on(Limits::default().detail_bytes);
        assert!(board.connections.len() > DETAILS);
        look_at_all(&details, &board);
        assert_eq!(lock(&details.known).len(), DETAILS);
        let (details, board) = on(64);
        look_at_all(&details, &board);
        assert_eq!(lock(&details.known).len(), 1, "each is more than all may have");
    }

    #[test]
    fn what_nobody_asks_for_any_more_is_read_no_further() {
        let (details, board) = on(64);
        let first = board.rows().map(|(_, row)| row).next().unwrap();
        details.get(first);
        let gone = Arc::clone(&lock(&details.known)[0].gone);
        assert!(!gone.load(Ordering::Relaxed));
        drop(details);
        assert!(gone.load(Ordering::Relaxed));
    }
}
