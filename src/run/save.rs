//! Saves what is captured to files, in a thread of its own: a disk that is slow or full costs
//! packets of the file, which are counted, and holds up nothing.

mod target;

use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
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
pub use target::Target;
use target::fails;
pub(super) use target::{folder, open_or_make};

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

/// The first file, as far as it can be begun without a packet.
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
            let out = Whole { file, blocks: Vec::new(), length: 0 };
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
            for _ in 0..3 {
                // Times of files are no finer than a tick of the kernel.
                thread::sleep(Duration::from_millis(20));
                writer.write(&batch(), 1);
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
        writer.write(&batch(), 3);
        writer.flush();
        let saved = writer.lock().clone();
        assert_eq!((saved.packets, saved.lost), (4, 0));
        assert_eq!(saved.error, None, "nothing is lost");
        assert!(saved.stuck.unwrap().contains(&format!("go on to {}", file.display())));
        std::fs::rename(folder.with_extension("away"), &folder).unwrap();
        writer.write(&batch(), 5);
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
            writer.anew();
            file.metadata().unwrap().len()
        };
        let (one, two, anew) = (turn(false), turn(false), turn(true));
        assert!(anew < one && one < two, "{anew} {one} {two}");
        let old = file.with_extension("1");
        assert!(old.metadata().unwrap().len() > two);
        [file, old].iter().for_each(|file| std::fs::remove_file(file).unwrap());
    }

    #[test]
    fn what_is_there_stays_until_a_packet_comes() {
        let folder = std::env::temp_dir().join(format!("goawhy-stays-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("a.pcapng");
        let of = |file: &std::path::Path| std::fs::read_to_string(file).unwrap_or_default();
        let ring = Target { time: Some(Duration::ZERO), files: Some(2), ..Target::default() };
        for target in [Target::default(), ring] {
            let target = Target { file: file.clone(), ..target };
            let names = [target.name(1), target.name(2)];
            names.iter().for_each(|name| std::fs::write(name, "before").unwrap());
            let Opened(mut writer, made) = Recorder::open(target.clone(), Vec::new()).unwrap();
            writer.write(&Batch::default(), 1);
            writer.flush();
            writer.close();
            assert!(made.is_none() && names.iter().all(|name| of(name) == "before"));
            let saved = writer.lock().clone();
            assert!(saved.untouched && saved.told().contains("is as it was"), "{saved:?}");
            writer.write(&batch(), 1);
            writer.flush();
            let written = names.iter().filter(|name| of(name) != "before").count();
            // Another one begins with a packet only.
            assert_eq!(written, if target.rotates() { 1 } else { 2 });
            assert!(!writer.lock().untouched);
        }
        // Somebody keeps it under another name.
        std::fs::write(&file, "before").unwrap();
        let target = Target { file: file.clone(), ..Target::default() };
        let Opened(mut writer, _) = Recorder::open(target, Vec::new()).unwrap();
        let kept = folder.join("kept");
        std::fs::rename(&file, &kept).unwrap();
        writer.write(&batch(), 1);
        writer.close();
        assert!(of(&kept) == "before" && file.exists());
        std::fs::remove_dir_all(folder).unwrap();
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
            while !files[1].exists() {
                recorder.save(batch(), 1);
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
