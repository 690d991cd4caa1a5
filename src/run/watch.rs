//! Reads in the background and shows the moving board meanwhile.

use std::collections::BTreeMap;
#[cfg(feature = "live")]
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::board::ConnectionRow;
use crate::board::detail::{Detail, Matching};
use crate::board::filter;
use crate::board::snapshot::{Feed, Progress, Snapshot, State};
#[cfg(feature = "live")]
use crate::capture::filter::Filter;
use crate::capture::order::Disorder;
use crate::capture::{Item, Source};
use crate::error::Error;
use crate::guard::against_panics;
use crate::pipeline::Pipeline;
use crate::pipeline::moving::Moving;
use crate::vocab::capture::put_together;
use crate::vocab::drops::Drops;
use crate::vocab::packet::Skip;
use crate::vocab::tls::KeyLines;

use super::clocks;
use super::detail::{Again, Details};
use super::matching::Matchings;
use super::offline::Job;
use super::publish::{Latest, Now, Publisher};
use super::secrets;
#[cfg(feature = "live")]
use super::{live, recent::Recent, start};

/// A reading that goes on in the background until it ends, is stopped, or is dropped.
pub struct Watch {
    latest: Arc<Latest>,
    stop: Arc<AtomicBool>,
    /// Set to have saved packets go to a new file.
    reopen: Arc<AtomicBool>,
    details: Details,
    matchings: Matchings,
    reader: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to read files. What cannot be opened at all is an error here; what breaks later is
    /// told by the snapshots.
    ///
    /// # Errors
    /// Where an input cannot be read at all.
    pub fn files(job: Job) -> Result<Self, Error> {
        #[cfg(feature = "live")]
        let filter = job.filter.as_deref().map(Filter::new).transpose()?;
        let job = clocks::put_right(&job);
        let source = Source::open_shifted(&job.files, &job.clocks)?;
        let (job, secrets) = (Arc::new(job), Arc::new(OnceLock::new()));
        let latest = Arc::new(Latest::default());
        let stop = Arc::new(AtomicBool::new(false));
        let reading = Reading {
            job: Arc::clone(&job),
            secrets: Arc::clone(&secrets),
            source,
            #[cfg(feature = "live")]
            filter,
            skips: vec![BTreeMap::new(); job.files.len()],
            rows: Moving::new(usize::MAX),
            publisher: Publisher::new(Arc::clone(&latest)),
            stop: Arc::clone(&stop),
        };
        let reader = spawn(&latest, move || reading.run());
        let (again, reopen) = (Again::Files(job, secrets), Arc::default());
        let (details, matchings) = (Details::new(again.clone()), Matchings::new(again));
        Ok(Self { latest, stop, reopen, details, matchings, reader: Some(reader) })
    }

    /// Begins to capture. Root and all else that is no longer needed are given up on the way;
    /// `notice` is told. `made` is a file that was created for it: whoever this becomes gets it.
    ///
    /// # Errors
    /// Where nothing can be captured.
    #[cfg(feature = "live")]
    pub fn live(
        job: &live::Job,
        made: Option<File>,
        notice: live::Notice<'_>,
    ) -> Result<Self, Error> {
        let latest = Arc::new(Latest::default());
        let stop = Arc::new(AtomicBool::new(false));
        let reopen = Arc::new(AtomicBool::new(false));
        let publisher = Publisher::new(Arc::clone(&latest));
        let most = usize::try_from(job.memory / RECENT).unwrap_or(usize::MAX);
        let recent = Arc::new(Recent::new(if job.details { most } else { 0 }, &job.limits));
        let again = Again::Recent(Arc::clone(&recent));
        let (details, matchings) = (Details::new(again.clone()), Matchings::new(again));
        let kept = job.details.then_some(recent);
        let (ends, anew) = (Arc::clone(&stop), Arc::clone(&reopen));
        let stage = start::stage(job, made, publisher, kept, ends, anew, notice)?;
        let reader = spawn(&latest, move || stage.run());
        Ok(Self { latest, stop, reopen, details, matchings, reader: Some(reader) })
    }

    /// Where packets can be read again.
    #[cfg(feature = "live")]
    pub(super) fn again(&self) -> Again {
        self.matchings.again()
    }

    /// Tells the reader to end, without waiting for it.
    pub fn end(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Has saved packets go to a new file.
    pub fn reopen(&self) {
        self.reopen.store(true, Ordering::Relaxed);
    }

    /// Stops reading: what was read until now is what there is. Waits for the last snapshot.
    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            // A reader that panicked has left its last snapshot.
            let _ = reader.join();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Feed for Watch {
    fn latest(&self) -> Arc<Snapshot> {
        self.latest.get()
    }

    fn detail(&self, row: &ConnectionRow) -> Arc<Detail> {
        self.details.get(row)
    }

    fn matching(&self, filter: &filter::Filter, snapshot: &Arc<Snapshot>) -> Arc<Matching> {
        self.matchings.get(filter, snapshot)
    }
}

/// Starts a reader. Where this program fails beyond a single connection, what was read by then
/// stays, and is told to be no more than that.
fn spawn(latest: &Arc<Latest>, read: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    let latest = Arc::clone(latest);
    thread::spawn(move || {
        if let Err(place) = against_panics(read) {
            let last = latest.get();
            let error = format!("goawhy stopped reading by a fault of its own at {place}");
            latest.put(Snapshot {
                revision: last.revision + 1,
                state: State::Ended,
                error: Some(error),
                ..Snapshot::clone(&last)
            });
        }
    })
}

/// What the background thread has.
struct Reading {
    job: Arc<Job>,
    /// Gathered once: a named pipe cannot be read again.
    secrets: Arc<OnceLock<Vec<KeyLines>>>,
    source: Source,
    #[cfg(feature = "live")]
    filter: Option<Filter>,
    skips: Vec<BTreeMap<Skip, u64>>,
    rows: Moving,
    publisher: Publisher,
    stop: Arc<AtomicBool>,
}

impl Reading {
    fn run(mut self) {
        let secrets = secrets::gather(&self.job);
        let error = secrets.as_ref().err().map(ToString::to_string);
        let gathered = Arc::clone(&self.secrets);
        let secrets = gathered.get_or_init(|| secrets.unwrap_or_default());
        let mut pipeline = self.pipeline(secrets);
        let mut doubt = self.source.total_bytes().map(|_| Disorder::default());
        let mut packets = 0_u64;
        loop {
            packets += 1;
            if packets.is_multiple_of(LOOK_EVERY) {
                if self.stop.load(Ordering::Relaxed) {
                    break;
                }
                if self.publisher.is_due(Duration::ZERO) {
                    self.publish(&mut pipeline, State::Reading, error.clone());
                }
            }
            let packet = match self.source.next_item() {
                Some(Item::Packet(packet)) => packet,
                Some(Item::Secrets(lines)) => {
                    pipeline.add_secrets(&lines, &mut self.rows);
                    continue;
                }
                None => break,
            };
            let disordered = doubt.as_mut().is_some_and(|doubt| doubt.sees(packet.stamp.at));
            #[cfg(feature = "live")]
            let passes = self.filter.as_mut().is_none_or(|filter| filter.passes(&packet));
            #[cfg(not(feature = "live"))]
            let passes = true;
            if passes
                && let Err(skip) = pipeline.push(&packet, &mut self.rows)
                && let Some(skips) = self.skips.get_mut(packet.stamp.capture())
            {
                *skips.entry(skip).or_default() += 1;
            }
            // Begun anew, sorted. Files that are gone by now are read on as they are.
            if disordered
                && doubt.take().is_some()
                && let Some(sorted) = self.in_order()
            {
                (self.source, self.rows) = (sorted, Moving::new(usize::MAX));
                self.skips.iter_mut().for_each(BTreeMap::clear);
                pipeline = self.pipeline(secrets);
            }
        }
        pipeline.finish(&mut self.rows);
        let most = self.job.limits.drop_stretches;
        self.rows.dropped(Drops::of(&self.source.facts(), most));
        self.publish(&mut pipeline, State::Ended, error);
    }

    fn pipeline(&self, secrets: &[KeyLines]) -> Pipeline {
        let mut pipeline = Pipeline::new(&self.job.limits, secrets, self.job.streams);
        pipeline.note_touched();
        if self.source.may_bring_secrets() {
            pipeline.expect_secrets();
        }
        pipeline
    }

    /// The same files from their beginning, put in order of time.
    fn in_order(&self) -> Option<Source> {
        let mut source = Source::open_shifted(&self.job.files, &self.job.clocks).ok()?;
        source.sort_by_time(self.job.limits.sorting_bytes);
        Some(source)
    }

    fn publish(&mut self, pipeline: &mut Pipeline, state: State, error: Option<String>) {
        let mut captures = self.source.facts();
        for (facts, skipped) in captures.iter_mut().zip(&self.skips) {
            facts.skipped = skipped.clone();
        }
        put_together(&mut captures, pipeline.joined_fragments());
        let progress = Progress {
            read: self.source.bytes_read(),
            total: self.source.total_bytes(),
            packets: captures.iter().map(|facts| facts.packets).sum(),
        };
        let clock_offsets = self.job.clock_offsets.clone();
        let now = Now { captures, clock_offsets, state, error, progress, live: None };
        self.publisher.publish(&mut self.rows, pipeline, now);
    }
}

/// Packets for a closer look take one part in so many of the memory.
#[cfg(feature = "live")]
const RECENT: u64 = 8;
/// Packets between two looks at the clock: about a millisecond.
const LOOK_EVERY: u64 = 1_024;

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::board::detail::DetailState;
    use crate::exchange;
    use crate::pipeline::inject;
    use crate::run::offline;

    fn job(name: &str) -> Job {
        let captures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
        Job { files: vec![captures.join(name)], ..Job::default() }
    }

    fn patiently<T>(mut look: impl FnMut() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing came");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn the_last_snapshot_says_what_the_report_says() {
        let names = ["nginx-reload", "preface-missing", "client-timeout-nginx", "nginx-504"];
        let names = names.map(|name| format!("servers/{name}.pcap"));
        for name in names.iter().map(String::as_str).chain(["tls/tls13_dsb_late.pcapng"]) {
            let job = job(name);
            let report = offline::report(&job).unwrap();
            let watch = Watch::files(job).unwrap();
            let last = patiently(|| Some(watch.latest()).filter(|s| s.state == State::Ended));
            assert_eq!(format!("{:?}", last.board), format!("{report:?}"), "{name}");
        }
    }

    #[test]
    fn clocks_that_are_put_right_are_told() {
        let mut job = job("servers/nginx-reload.pcap");
        let mut octets = std::fs::read(&job.files[0]).unwrap();
        let mut at = 24;
        while let Some(record) = octets.get_mut(at..at + 16) {
            let number = |of: &[u8]| u32::from_le_bytes(of.try_into().unwrap());
            let (seconds, length) = (number(&record[..4]) + 7, number(&record[8..12]));
            record[..4].copy_from_slice(&seconds.to_le_bytes());
            at += 16 + length as usize;
        }
        let file = std::env::temp_dir().join(format!("goawhy-late-{}.pcap", std::process::id()));
        std::fs::write(&file, octets).unwrap();
        job.files.push(file.clone());
        let report = offline::report(&job).unwrap();
        assert_eq!((report.clock_offsets.len(), report.clock_offsets[0].seconds), (1, -7.0));
        let watch = Watch::files(job).unwrap();
        let last = patiently(|| Some(watch.latest()).filter(|s| s.state == State::Ended));
        assert_eq!(last.board.clock_offsets, report.clock_offsets);
        assert_eq!(last.board.connections.len(), report.connections.len());
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn what_turns_out_to_be_out_of_order_is_read_anew() {
        let job = job("servers/nginx-reload.pcap");
        let report = offline::report(&job).unwrap();
        // The same packets, last ones first.
        let mut packets = Vec::new();
        let mut source = Source::open(&job.files).unwrap();
        while let Some(packet) = source.next() {
            packets.push((packet.stamp.at, packet.data.to_vec()));
        }
        let file = std::env::temp_dir().join(format!("goawhy-back-{}.pcap", std::process::id()));
        let mut octets = std::fs::read(&job.files[0]).unwrap();
        octets.truncate(24);
        let nanoseconds = octets[..4].contains(&0x4d);
        for (at, data) in packets.iter().rev() {
            let parts = at.0 % 1_000_000_000 / if nanoseconds { 1 } else { 1_000 };
            for number in [at.0 / 1_000_000_000, parts, data.len() as i64, data.len() as i64] {
                octets.extend((number as u32).to_le_bytes());
            }
            octets.extend(data);
        }
        std::fs::write(&file, octets).unwrap();
        let watch = Watch::files(Job { files: vec![file.clone()], ..Job::default() }).unwrap();
        let last = patiently(|| Some(watch.latest()).filter(|s| s.state == State::Ended));
        let causes = |board: &crate::board::Board| board.causes();
        assert_eq!(causes(&last.board), causes(&report));
        assert_eq!(last.board.connections.len(), report.connections.len());
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn a_detail_has_the_frames_and_streams_of_its_connection_alone() {
        let job = job("stacks/vertx-client-timeout-goaway1-10s.pcap");
        let mut wanted = Vec::new();
        let _ = offline::frames(&job, |number, frame| {
            if number == 1 {
                wanted.push((frame.stamp, frame.head));
            }
            Ok::<(), ()>(())
        });
        wanted.sort_by_key(|(stamp, _)| stamp.order());
        let watch = Watch::files(job).unwrap();
        let last = patiently(|| Some(watch.latest()).filter(|s| s.state == State::Ended));
        let row = &last.board.connections[0];
        let detail = patiently(|| {
            Some(watch.detail(row)).filter(|detail| detail.state != DetailState::Reading)
        });
        let found: Vec<_> = detail.frames.iter().map(|frame| (frame.stamp, frame.head)).collect();
        assert!(!found.is_empty());
        assert_eq!(found, wanted);
        let opened = row.streams.opened as usize;
        assert_eq!(detail.streams.iter().filter(|s| s.opened.is_some()).count(), opened);
    }

    #[test]
    fn a_connection_that_fails_costs_the_dashboard_nothing_else() {
        let script = inject::SCRIPT.replace("FAULT", inject::PLACES[1]);
        let file = std::env::temp_dir().join(format!("goawhy-lost-{}.pcap", std::process::id()));
        std::fs::write(&file, exchange::pcap(&script).unwrap()).unwrap();
        let watch = Watch::files(Job { files: vec![file.clone()], ..Job::default() }).unwrap();
        let last = patiently(|| Some(watch.latest()).filter(|s| s.state == State::Ended));
        assert_eq!((last.board.connections.len(), last.board.faults.len()), (1, 1));
        assert_eq!(last.error, None);
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn a_reader_that_fails_leaves_what_it_had() {
        let latest = Arc::new(Latest::default());
        latest.put(Snapshot { revision: 7, state: State::Live, ..Snapshot::default() });
        let reader = spawn(&latest, || panic!("as asked"));
        reader.join().unwrap();
        let last = latest.get();
        assert_eq!((last.revision, last.state), (8, State::Ended));
        assert!(last.error.as_ref().unwrap().contains("fault of its own"));
    }

    #[test]
    fn what_is_no_capture_is_an_error_at_once() {
        assert!(Watch::files(job("README.md")).is_err());
        assert!(Watch::files(job("nothing.pcap")).is_err());
    }
}
