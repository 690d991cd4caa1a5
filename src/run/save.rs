//! Saves what is captured to files, in a thread of its own: a disk that is slow or full costs
//! packets of the file, which are counted, and holds up nothing.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
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

/// Where packets go.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// The file, or the pattern of names where files take turns: `web.pcapng` becomes
    /// `web_00001.pcapng`.
    pub file: PathBuf,
    /// Octets after which the next file begins.
    pub size: Option<u64>,
    /// Time after which the next file begins.
    pub time: Option<Duration>,
    /// Files whose names take turns: the oldest is written over.
    pub files: Option<u32>,
    /// Whether each file has the TLS secrets, too, as far as they are known by then.
    pub keys: bool,
}

impl Target {
    fn rotates(&self) -> bool {
        self.size.is_some() || self.time.is_some()
    }

    fn name(&self, number: u32) -> PathBuf {
        if !self.rotates() {
            return self.file.clone();
        }
        let stem = self.file.file_stem().unwrap_or_default().to_string_lossy();
        let end = self.file.extension().map(|end| format!(".{}", end.to_string_lossy()));
        let name = format!("{stem}_{number:05}{}", end.unwrap_or_default());
        self.file.with_file_name(name)
    }

    /// The number of the first file. Earlier runs may have left some: a ring goes on at the first
    /// that is missing, else at the oldest.
    fn first(&self) -> u32 {
        let Some(files) = self.files else { return self.next(0) };
        let changed = |number: &u32| self.name(*number).metadata().and_then(|file| file.modified());
        let missing = (1..=files).find(|number| changed(number).is_err());
        let oldest = || (1..=files).min_by_key(|number| changed(number).ok());
        missing.or_else(oldest).unwrap_or(1)
    }

    /// The number after this one; without a ring one whose file is not there.
    fn next(&self, number: u32) -> u32 {
        match self.files {
            Some(files) => number % files.max(1) + 1,
            None => (number.saturating_add(1)..u32::MAX)
                .find(|number| !self.rotates() || self.name(*number).symlink_metadata().is_err())
                .unwrap_or(u32::MAX),
        }
    }

    /// Opens the file of this number; what is in it stays until it is written. Whether it is new.
    fn create(&self, number: u32) -> Result<(File, bool), Error> {
        let path = self.name(number);
        if self.rotates() {
            // One of the turn before may be another user's, and somebody may be reading it.
            let _ = std::fs::remove_file(&path);
        }
        create(&path).map_err(|source| fails(&path, source))
    }
}

/// The end of the pipeline that hands packets on.
pub(super) struct Recorder {
    batches: Option<SyncSender<(Batch, u64)>>,
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

/// The first file, open, and nothing written yet.
pub(super) struct Opened(Writer, Option<File>);

impl Opened {
    /// The file, where it was not there before.
    pub(super) fn made(&self) -> Option<&File> {
        self.1.as_ref()
    }

    /// Begins to write; memory that is done with goes to `spares`.
    pub(super) fn begin(self, spares: SyncSender<Batch>) -> Recorder {
        let Self(writer, _) = self;
        let (sender, batches) = sync_channel(BATCHES);
        let (facts, counts) = (Arc::clone(&writer.facts), Arc::clone(&writer.counts));
        let reopen = Arc::clone(&writer.reopen);
        let keys = writer.target.keys.then(|| Arc::clone(&writer.keys));
        let writer = thread::spawn(move || writer.run(&batches, &spares));
        Recorder { batches: Some(sender), facts, counts, reopen, keys, writer: Some(writer) }
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
            facts: Arc::default(),
            counts: Arc::default(),
            reopen: Arc::default(),
            keys: Arc::default(),
            known: Vec::new(),
        };
        let first = writer.target.first();
        let (file, is_new) = writer.target.create(first)?;
        let made = is_new.then(|| file.try_clone()).transpose();
        let made = made.map_err(|source| fails(&writer.target.name(first), source))?;
        writer.take(first, file)?;
        Ok(Opened(writer, made))
    }

    /// Hands packets over, numbered from `first`; gives them back where the writer is too slow.
    pub(super) fn save(&mut self, batch: Batch, first: u64) -> Option<Batch> {
        let sender = self.batches.as_ref()?;
        match sender.try_send((batch, first)) {
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
    /// Octets of the file that do not count towards its size: the next one could not be created.
    begun: u64,
    opened: Instant,
    /// The file that is written, by whatever name.
    written: Option<(u64, u64)>,
    facts: Arc<Mutex<Saved>>,
    counts: Arc<Mutex<Counted>>,
    reopen: Arc<AtomicBool>,
    /// Secrets that are to be written next.
    keys: Arc<Mutex<Vec<KeyLines>>>,
    /// Secrets that were written, for the files that follow; no more than a key log may have.
    known: Vec<KeyLines>,
}

impl Writer {
    fn run(mut self, batches: &Receiver<(Batch, u64)>, spares: &SyncSender<Batch>) {
        loop {
            match batches.recv_timeout(FLUSH_EVERY) {
                Ok((mut batch, first)) => {
                    self.write(&batch, first);
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
            self.turn();
        }
        self.close();
    }

    fn write(&mut self, batch: &Batch, first: u64) {
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

    /// Begins the next file where it is time.
    fn turn(&mut self) {
        let anew = self.reopen.swap(false, Ordering::Relaxed);
        // A file that nobody has moved away is written on.
        let anew = anew && (self.target.rotates() || !self.is_in_place());
        let large = self.target.size.zip(self.saver.as_ref());
        let large = large.is_some_and(|(size, saver)| saver.written() - self.begun >= size);
        let old = self.target.time.is_some_and(|time| self.opened.elapsed() >= time);
        if !(large || old || anew) {
            return;
        }
        let next = self.target.next(self.number);
        let taken = self.target.create(next).and_then(|(file, _)| {
            self.close();
            self.take(next, file)
        });
        if let Err(error) = taken {
            (self.begun, self.opened) = (self.flushed, Instant::now());
            let mut facts = self.lock();
            if self.saver.is_some() {
                // Better in a file that is too large than nowhere.
                facts.stuck = Some(format!("{error}; packets go on to {}", facts.file));
            } else {
                facts.error = Some(error.to_string());
            }
        }
    }

    /// Whether the file that is written still has its name.
    fn is_in_place(&self) -> bool {
        let there = self.target.name(self.number).metadata();
        self.saver.is_some() && there.ok().map(|file| identity(&file)) == self.written
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
            let out = Whole { file, blocks: Vec::new(), length: 0 };
            let mut saver = Saver::new(out, &self.interfaces)?;
            self.known.iter().try_for_each(|lines| saver.secrets(lines))?;
            saver.flush()?;
            Ok((saver, identity(&known)))
        };
        let (saver, written) = begin().map_err(|source| fails(&path, source))?;
        (self.number, self.begun, self.opened) = (number, 0, Instant::now());
        self.written = Some(written);
        self.flushed = saver.written();
        self.saver = Some(saver);
        let mut facts = self.lock();
        facts.file = path.display().to_string();
        (facts.error, facts.stuck) = (None, None);
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

/// A file that holds whole blocks, whatever the disk does.
struct Whole {
    file: File,
    /// What is not written yet.
    blocks: Vec<u8>,
    /// Octets written.
    length: u64,
}

impl Write for Whole {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.blocks.extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let written = self.file.write_all(&self.blocks);
        match written {
            Ok(()) => self.length += self.blocks.len() as u64,
            // A block that was begun is taken back; where that fails too, readers stop there.
            Err(_) => drop(self.file.set_len(self.length)),
        }
        self.blocks.clear();
        written
    }
}

fn fails(file: &Path, source: io::Error) -> Error {
    Error::Io { file: file.display().to_string(), operation: "write it", source }
}

/// Device and number of a file.
fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// A file for captures is for its owner alone: packets hold secrets.
/// Whether it is new.
fn create(path: &Path) -> io::Result<(File, bool)> {
    open_or_make(OpenOptions::new().write(true).mode(0o600), path)
}

/// Opens a file as it is to be, or makes it. Whether it is new.
pub(super) fn open_or_make(options: &mut OpenOptions, path: &Path) -> io::Result<(File, bool)> {
    match options.create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // A link to nowhere is there, and what it names is not.
            options.create_new(false).create(true).open(path).map(|file| (file, false))
        }
        opened => opened.map(|file| (file, true)),
    }
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
mod tests {
    use super::*;
    use crate::vocab::packet::{LinkType, Packet};
    use crate::vocab::time::Stamp;

    fn batch() -> Batch {
        let mut batch = Batch::default();
        let stamp = Stamp::new(0, 1, Timestamp(7));
        let link = LinkType::ETHERNET;
        let packet = Packet { stamp, link, data: &[7; 60], wire_length: 60, fcs_length: 0 };
        batch.add(0, &packet);
        batch.add(0, &packet);
        batch
    }

    #[test]
    fn a_ring_goes_on_where_the_last_run_ended() {
        let folder = std::env::temp_dir().join(format!("goawhy-ring-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("web.pcapng");
        let target = Target { file, size: Some(1), files: Some(3), ..Target::default() };
        let mut turns = Vec::new();
        for _ in 0..2 {
            let Opened(mut writer, _) = Recorder::open(target.clone(), Vec::new()).unwrap();
            turns.push(writer.number);
            for _ in 0..2 {
                // Times of files are no finer than a tick of the kernel.
                thread::sleep(Duration::from_millis(20));
                writer.write(&batch(), 1);
                writer.turn();
                turns.push(writer.number);
            }
            thread::sleep(Duration::from_millis(20));
            writer.close();
        }
        assert_eq!(turns, [1, 2, 3, 1, 2, 3]);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 3);
        let unbounded = Target { files: None, ..target };
        assert_eq!((unbounded.first(), unbounded.next(7)), (4, 8));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn where_the_next_file_cannot_be_created_the_old_one_goes_on() {
        let folder = std::env::temp_dir().join(format!("goawhy-stuck-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let target = Target { file: folder.join("a.pcapng"), size: Some(1), ..Target::default() };
        let Opened(mut writer, _) = Recorder::open(target, Vec::new()).unwrap();
        writer.write(&batch(), 1);
        writer.flush();
        let file = writer.target.name(1);
        std::fs::rename(&folder, folder.with_extension("away")).unwrap();
        writer.turn();
        writer.write(&batch(), 3);
        writer.flush();
        let saved = writer.lock().clone();
        assert_eq!((saved.packets, saved.lost), (4, 0));
        assert_eq!(saved.error, None, "nothing is lost");
        assert!(saved.stuck.unwrap().contains(&format!("go on to {}", file.display())));
        std::fs::rename(folder.with_extension("away"), &folder).unwrap();
        writer.turn();
        assert_eq!((writer.number, writer.lock().stuck.clone()), (2, None));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_that_nobody_moved_is_written_on() {
        let name = format!("goawhy-hup-{}.pcapng", std::process::id());
        let file = std::env::temp_dir().join(name);
        let target = Target { file: file.clone(), ..Target::default() };
        let Opened(mut writer, _) = Recorder::open(target, Vec::new()).unwrap();
        let mut turn = |moved: bool| {
            writer.write(&batch(), 1);
            writer.flush();
            if moved {
                std::fs::rename(&file, file.with_extension("1")).unwrap();
            }
            writer.reopen.store(true, Ordering::Relaxed);
            writer.turn();
            file.metadata().unwrap().len()
        };
        let (one, two, anew) = (turn(false), turn(false), turn(true));
        assert!(anew < one && one < two, "{anew} {one} {two}");
        let old = file.with_extension("1");
        assert!(old.metadata().unwrap().len() > two);
        [file, old].iter().for_each(|file| std::fs::remove_file(file).unwrap());
    }

    #[test]
    fn secrets_are_in_every_file_where_that_is_asked_for() {
        for keys in [true, false] {
            let name = format!("goawhy-keys-{}-{keys}.pcapng", std::process::id());
            let file = std::env::temp_dir().join(name);
            let size = Some(1);
            let target = Target { file, size, keys, ..Target::default() };
            let files = [target.name(1), target.name(2)];
            let link = LinkType::ETHERNET;
            let name = "eth0".to_owned();
            let interfaces = vec![Described { name, link, snap_length: 0, filter: None }];
            let (spares, _kept) = sync_channel(1);
            let mut recorder = Recorder::open(target, interfaces).unwrap().begin(spares);
            recorder.embed(&KeyLines::from(&b"CLIENT_RANDOM 00 11\n"[..]));
            recorder.save(batch(), 1);
            while !files[1].exists() {
                thread::sleep(Duration::from_millis(5));
            }
            recorder.finish();
            for file in files {
                let octets = std::fs::read(&file).unwrap();
                let found = octets.windows(13).any(|part| part == b"CLIENT_RANDOM");
                assert_eq!(found, keys, "{}", file.display());
                std::fs::remove_file(file).unwrap();
            }
        }
    }

    #[test]
    fn a_disk_that_takes_no_more_is_told_and_what_was_written_stays() {
        let file = std::env::temp_dir().join(format!("goawhy-full-{}.pcapng", std::process::id()));
        let target = Target { file: file.clone(), ..Target::default() };
        let link = LinkType::ETHERNET;
        let name = "eth0".to_owned();
        let interfaces = vec![Described { name, link, snap_length: 0, filter: None }];
        let Opened(mut writer, _) = Recorder::open(target, interfaces.clone()).unwrap();
        writer.write(&batch(), 1);
        writer.flush();
        let size = file.metadata().unwrap().len();
        // A file that cannot be written stands for the disk.
        let out = Whole { file: File::open(&file).unwrap(), blocks: Vec::new(), length: size };
        writer.saver = Some(Saver::new(out, &interfaces).unwrap());
        writer.flushed = 0;
        writer.write(&batch(), 3);
        writer.flush();
        writer.write(&batch(), 5);
        let saved = writer.lock().clone();
        assert_eq!((saved.packets, saved.lost), (2, 4));
        assert!(saved.error.unwrap().contains("nothing more is saved"));
        assert_eq!(file.metadata().unwrap().len(), size);
        std::fs::remove_file(file).unwrap();
    }
}
