//! Saves what is captured to files, in a thread of its own: a disk that is slow or full costs
//! packets of the file, which are counted, and holds up nothing.

mod target;

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::board::snapshot::Saved;
use crate::capture::save::{Described, Saver};
use crate::error::Error;
use crate::vocab::time::Timestamp;
use crate::vocab::tls::KeyLines;

use super::queue::Batch;
pub use target::Target;
use target::{Whole, fails};
pub(super) use target::{folder, open_or_make};

/// The end of the pipeline that hands packets on.
pub(super) struct Recorder {
    batches: Option<SyncSender<(Batch, u64)>>,
    /// Octets that wait for the writer.
    waiting: Arc<AtomicUsize>,
    /// As many as may.
    most: usize,
    facts: Arc<Mutex<Saved>>,
    counts: Arc<Mutex<Counted>>,
    reopen: Arc<AtomicBool>,
    keys: Option<Arc<Mutex<Vec<KeyLines>>>>,
    writer: Option<JoinHandle<()>>,
}

/// For the statistics at the end of each file: time, and received and dropped by interface, where
/// that is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    pub(super) at: Timestamp,
    pub(super) counts: Vec<(u64, Option<u64>)>,
}

/// The first file, as far as it can be begun without a packet.
pub(super) struct Opened(Writer, Option<File>);

impl Opened {
    /// The file, where it was not there before.
    pub(super) fn made(&self) -> Option<&File> {
        self.1.as_ref()
    }

    /// Begins to write; `most` octets may wait for it. Memory that is done with goes to `spares`.
    pub(super) fn begin(self, spares: SyncSender<Batch>, most: usize) -> Recorder {
        let Self(writer, _) = self;
        let (sender, batches) = sync_channel(BATCHES);
        let (facts, counts) = (Arc::clone(&writer.facts), Arc::clone(&writer.counts));
        let reopen = Arc::clone(&writer.reopen);
        let keys = writer.target.keys.then(|| Arc::clone(&writer.keys));
        let waiting = Arc::new(AtomicUsize::new(0));
        let done = Arc::clone(&waiting);
        let writer = thread::spawn(move || writer.run(&batches, &spares, &done));
        let (batches, writer) = (Some(sender), Some(writer));
        Recorder { batches, waiting, most, facts, counts, reopen, keys, writer }
    }
}

impl Recorder {
    /// Opens the first file.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub(super) fn open(target: Target, interfaces: Vec<Described>) -> Result<Opened, Error> {
        let mut writer = Writer {
            target,
            interfaces,
            saver: None,
            waiting: 0,
            flushed: 0,
            handed: Instant::now(),
            number: 0,
            begun: 0,
            opened: Instant::now(),
            written: None,
            next: None,
            facts: Arc::default(),
            counts: Arc::default(),
            reopen: Arc::default(),
            keys: Arc::default(),
            known: Vec::new(),
        };
        let first = writer.target.first();
        let made = writer.begin(first)?;
        Ok(Opened(writer, made))
    }

    /// Hands packets over, numbered from `first`; gives them back where the writer is too slow.
    pub(super) fn save(&mut self, batch: Batch, first: u64) -> Option<Batch> {
        let sender = self.batches.as_ref()?;
        let octets = batch.weight();
        // One has room in any case.
        let waiting = self.waiting.load(Ordering::Relaxed);
        let sent = if waiting > 0 && waiting.saturating_add(octets) > self.most {
            Err(TrySendError::Full((batch, first)))
        } else {
            self.waiting.fetch_add(octets, Ordering::Relaxed);
            sender.try_send((batch, first)).inspect_err(|_| {
                self.waiting.fetch_sub(octets, Ordering::Relaxed);
            })
        };
        match sent {
            Ok(()) => None,
            Err(TrySendError::Full((batch, _)) | TrySendError::Disconnected((batch, _))) => {
                let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
                facts.lost += batch.len() as u64;
                Some(batch)
            }
        }
    }

    /// Hands over lines of a TLS key log, for the packets that come next.
    pub(super) fn embed(&self, lines: &KeyLines) {
        if let Some(keys) = &self.keys {
            keys.lock().unwrap_or_else(PoisonError::into_inner).push(lines.clone());
        }
    }

    pub(super) fn count(&self, counted: Counted) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = counted;
    }

    pub(super) fn facts(&self) -> Saved {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins the file anew, as after a move of the old one.
    pub(super) fn reopen(&self) {
        self.reopen.store(true, Ordering::Relaxed);
    }

    /// Writes what waits, and the end of the file.
    pub(super) fn finish(&mut self) {
        self.batches = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has said so; what it wrote is there.
            let _ = writer.join();
        }
    }
}

struct Writer {
    target: Target,
    interfaces: Vec<Described>,
    saver: Option<Saver<Whole>>,
    /// Packets that were not handed to the system yet.
    waiting: u64,
    /// Octets of the file when they last were.
    flushed: u64,
    /// When that was.
    handed: Instant,
    number: u32,
    /// Octets of the file that do not count towards its size: what stands before the packets, and
    /// all where the next one could not be created.
    begun: u64,
    opened: Instant,
    /// The file that is written, by whatever name.
    written: Option<(u64, u64)>,
    /// The file that begins with the next packet: its number, and the file where it could be
    /// opened already. What is in it is not given up for nothing.
    next: Option<(u32, Option<File>)>,
    facts: Arc<Mutex<Saved>>,
    counts: Arc<Mutex<Counted>>,
    reopen: Arc<AtomicBool>,
    /// Secrets that are to be written next.
    keys: Arc<Mutex<Vec<KeyLines>>>,
    /// Secrets that were written, for the files that follow; no more than a key log may have.
    known: Vec<KeyLines>,
}

impl Writer {
    fn run(
        mut self,
        batches: &Receiver<(Batch, u64)>,
        spares: &SyncSender<Batch>,
        waiting: &AtomicUsize,
    ) {
        loop {
            match batches.recv_timeout(FLUSH_EVERY) {
                Ok((mut batch, first)) => {
                    let octets = batch.weight();
                    self.write(&batch, first);
                    waiting.fetch_sub(octets, Ordering::Relaxed);
                    if self.handed.elapsed() >= FLUSH_AT_LEAST_EVERY {
                        self.flush();
                    }
                    batch.clear();
                    // Where nobody wants it back it is let go.
                    let _ = spares.try_send(batch);
                }
                Err(RecvTimeoutError::Timeout) => self.flush(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.anew();
        }
        self.close();
    }

    fn write(&mut self, batch: &Batch, first: u64) {
        if batch.len() > 0 {
            self.turn();
        }
        self.embed();
        for (source, packet) in batch.packets(first) {
            let Some(saver) = &mut self.saver else {
                self.lock().lost += 1;
                continue;
            };
            self.waiting += 1;
            // Memory does not fail; the disk may, when it gets what waits.
            let _ = saver.packet(source, &packet);
            if saver.written() - self.flushed >= BUFFER {
                self.flush();
            }
        }
    }

    /// Writes secrets that came: before the packets that they open.
    fn embed(&mut self) {
        let fresh = std::mem::take(&mut *self.keys.lock().unwrap_or_else(PoisonError::into_inner));
        for lines in fresh {
            if let Some(saver) = &mut self.saver {
                // Memory does not fail.
                let _ = saver.secrets(&lines);
            }
            self.known.push(lines);
        }
    }

    /// Hands what waits to the system.
    fn flush(&mut self) {
        self.handed = Instant::now();
        let Some(saver) = &mut self.saver else { return };
        let (flushed, written) = (saver.flush(), saver.written());
        self.settle(flushed, written);
    }

    /// Counts the packets that waited as saved or lost.
    fn settle(&mut self, flushed: io::Result<()>, written: u64) {
        let waited = std::mem::take(&mut self.waiting);
        self.flushed = written;
        let mut facts = self.lock();
        match flushed {
            Ok(()) => facts.packets += waited,
            Err(error) => {
                // Nothing more can be written: what was, stays.
                facts.lost += waited;
                facts.error = Some(format!("{}: {error}; nothing more is saved", facts.file));
                drop(facts);
                self.saver = None;
            }
        }
    }

    /// Begins the next file where it is time for it: there is a packet that will stand in it.
    fn turn(&mut self) {
        let octets = self.saver.as_ref().map(|saver| saver.written().saturating_sub(self.begun));
        if octets == Some(0) {
            self.opened = Instant::now(); // as old as the first packet
        }
        let large = self.target.size.zip(octets).is_some_and(|(size, octets)| octets >= size);
        let old = self.target.time.is_some_and(|time| self.opened.elapsed() >= time);
        let next = self.next.take();
        let next = next.or_else(|| (large || old).then(|| (self.target.next(self.number), None)));
        let Some((number, file)) = next else { return };
        // One that was moved away meanwhile is somebody's.
        let file =
            file.filter(|file| self.is_at(number, file.metadata().ok().as_ref().map(identity)));
        let file = file.map_or_else(|| self.target.replace(number), Ok);
        let taken = file.and_then(|file| {
            self.close();
            self.take(number, file)
        });
        if taken.is_err() && self.saver.is_none() {
            self.next = Some((number, None));
        }
        self.settle_turn(taken);
    }

    /// Begins anew where that was asked for.
    fn anew(&mut self) {
        let anew = self.reopen.swap(false, Ordering::Relaxed);
        // A file that nobody has moved away is written on.
        let is_in_place = self.saver.is_some() && self.is_at(self.number, self.written);
        if anew && (self.target.rotates() || !is_in_place) {
            let begun = self.begin(self.target.next(self.number));
            self.settle_turn(begun.map(drop));
        }
    }

    fn settle_turn(&mut self, taken: Result<(), Error>) {
        let Err(error) = taken else { return };
        (self.begun, self.opened) = (self.flushed, Instant::now());
        let mut facts = self.lock();
        if self.saver.is_some() {
            // Better in a file that is too large than nowhere.
            facts.stuck = Some(format!("{error}; packets go on to {}", facts.file));
        } else {
            facts.error = Some(error.to_string());
        }
    }

    /// Begins a file, at once where nothing is lost by it, else with the next packet. Gives it
    /// where it is new.
    fn begin(&mut self, number: u32) -> Result<Option<File>, Error> {
        let opened = self.target.open(number)?;
        self.close();
        let holds = |file: &File| file.metadata().is_ok_and(|it| it.is_file() && it.len() > 0);
        let (file, is_new) = match opened {
            Some((file, is_new)) if is_new || !holds(&file) => (file, is_new),
            opened => {
                self.next = Some((number, opened.map(|(file, _)| file)));
                let name = self.target.name(number).display().to_string();
                let mut facts = self.lock();
                facts.untouched = facts.file.is_empty();
                if facts.untouched {
                    facts.file = name;
                }
                return Ok(None);
            }
        };
        let made = is_new.then(|| file.try_clone()).transpose();
        let made = made.map_err(|source| fails(&self.target.name(number), source))?;
        self.take(number, file)?;
        Ok(made)
    }

    /// Whether the file of this number is this one.
    fn is_at(&self, number: u32, file: Option<(u64, u64)>) -> bool {
        let there = self.target.name(number).metadata().ok();
        file.is_some() && there.as_ref().map(identity) == file
    }

    /// Writes to this file from now on.
    fn take(&mut self, number: u32, file: File) -> Result<(), Error> {
        let path = self.target.name(number);
        let begin = || {
            let known = file.metadata()?;
            // What is no regular file has no length.
            if known.is_file() {
                file.set_len(0)?;
            }
            let out = Whole::new(file, 0);
            let mut saver = Saver::new(out, &self.interfaces)?;
            self.known.iter().try_for_each(|lines| saver.secrets(lines))?;
            saver.flush()?;
            Ok((saver, identity(&known)))
        };
        let (saver, written) = begin().map_err(|source| fails(&path, source))?;
        (self.number, self.opened) = (number, Instant::now());
        self.written = Some(written);
        (self.flushed, self.begun) = (saver.written(), saver.written());
        self.saver = Some(saver);
        let mut facts = self.lock();
        facts.file = path.display().to_string();
        (facts.error, facts.stuck, facts.untouched) = (None, None, false);
        Ok(())
    }

    fn close(&mut self) {
        let counted = self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.embed();
        // Packets first: there may be room for them and none for the statistics.
        self.flush();
        if let Some(saver) = self.saver.take() {
            let finished = saver.finish(counted.at, &counted.counts);
            self.settle(finished.map(drop), 0);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Saved> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Device and number of a file.
fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// Batches that may wait for the disk.
const BATCHES: usize = 16;
/// Longest time that a packet stays unwritten on a quiet line.
const FLUSH_EVERY: Duration = Duration::from_millis(200);
/// And on a busy one.
const FLUSH_AT_LEAST_EVERY: Duration = Duration::from_secs(1);
/// Octets written at once.
const BUFFER: u64 = 256 * 1024;

#[cfg(test)]
mod tests;
