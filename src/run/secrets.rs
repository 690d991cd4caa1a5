//! TLS secrets: key logs that the user names, and those inside pcapng files.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use zeroize::{Zeroize, Zeroizing};

use crate::capture::Source;
use crate::error::Error;
use crate::vocab::limits::Limits;
use crate::vocab::tls::KeyLines;

use super::offline::Job;

/// Texts of every key log that can be had before the first packet is read. Secrets inside a pcapng
/// file may stand behind the packets they open, so such files are read once for them alone. A
/// named pipe is read until its writers close it.
///
/// # Errors
/// Where a key log that was asked for, or a capture, cannot be read at all.
pub(super) fn gather(job: &Job) -> Result<Vec<KeyLines>, Error> {
    let mut logs = Vec::new();
    for path in &job.keylogs {
        logs.push(Log::open(path).map_err(|source| Error::of_key_log(path, source))?);
    }
    let (mut texts, mut room) = (Vec::new(), room(&job.limits));
    for log in &mut logs {
        let read = log.read_to_end(&mut room, &mut texts, PATIENCE);
        read.map_err(|source| Error::of_key_log(&log.path, source))?;
    }
    // The variable is set for the programs that write it; it says nothing about this run.
    if let Some(path) = &job.keylog_of_environment
        && let Ok(mut log) = Log::open(path)
    {
        let _ = log.read_to_end(&mut room, &mut texts, Duration::ZERO);
    }
    let files: Vec<PathBuf> = job.files.iter().filter(|path| is_pcapng(path)).cloned().collect();
    if !files.is_empty() {
        let mut source = Source::open(&files)?;
        while source.next().is_some() {}
        texts.extend(source.secrets().iter().cloned());
    }
    Ok(texts)
}

/// Octets to read: one more than are taken, so that whoever takes them sees that there were more.
fn room(limits: &Limits) -> usize {
    limits.key_log_bytes.saturating_add(1)
}

/// Key logs that are read as programs write them: regular files, also such as are replaced or
/// begun anew, and named pipes. Nothing here waits.
///
/// A program logs its keys before it uses them. So whoever captures calls [`Follow::poll`] just
/// before it hands on packets that it has got, and the keys of nearly all of them are there; of
/// the rest the pipeline keeps some until they come (`Pipeline::expect_secrets`).
///
/// ```no_run
/// use std::path::PathBuf;
///
/// use goawhy::error::Error;
/// use goawhy::pipeline::{Pipeline, Sink};
/// use goawhy::run::secrets::Follow;
/// use goawhy::vocab::limits::Limits;
///
/// fn capture(named: &[PathBuf], sink: &mut impl Sink) -> Result<(), Error> {
///     let limits = Limits::default();
///     let environment = std::env::var_os("SSLKEYLOGFILE").map(PathBuf::from);
///     let mut follow = Follow::open(named, environment, &limits)?;
///     let mut pipeline = Pipeline::new(&limits, &follow.poll(), false);
///     pipeline.expect_secrets();
///     loop {
///         // Wait for packets here. Then, before they go into the pipeline:
///         for lines in follow.poll() {
///             pipeline.add_secrets(&lines, sink);
///         }
///     }
/// }
/// ```
#[derive(Default)]
pub struct Follow {
    logs: Vec<Log>,
    /// Octets that may still be read.
    room: usize,
}

impl Follow {
    /// Opens the key logs that were asked for, and one that the environment names: that one may
    /// come into being later, or never.
    ///
    /// # Errors
    /// Where one that was asked for cannot be opened.
    pub fn open(
        named: &[PathBuf],
        of_environment: Option<PathBuf>,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let mut logs = Vec::new();
        for path in named {
            logs.push(Log::open(path).map_err(|source| Error::of_key_log(path, source))?);
        }
        if let Some(path) = of_environment {
            logs.push(Log::open(&path).unwrap_or_else(|_| Log { path, ..Log::default() }));
        }
        Ok(Self { logs, room: room(limits) })
    }

    /// Whether there is anything to follow.
    pub fn is_empty(&self) -> bool {
        self.logs.is_empty()
    }

    /// The lines that were completed since the last call, at most some megabytes at once. Never
    /// waits; costs one or two system calls a log where nothing is new.
    pub fn poll(&mut self) -> Vec<KeyLines> {
        let mut texts = Vec::new();
        for log in &mut self.logs {
            log.renew();
            let mut room = self.room.min(AT_ONCE);
            let before = room;
            // A log that fails now may be there again later.
            if log.read(&mut room, &mut texts).is_err() {
                log.file = None;
            }
            self.room -= before - room;
        }
        texts
    }
}

/// One key log.
#[derive(Default)]
struct Log {
    path: PathBuf,
    file: Option<File>,
    /// Octets read of `file`.
    read: u64,
    /// A line that is not complete yet, at most [`LINE_MAX`] octets.
    partial: Zeroizing<Vec<u8>>,
    /// Whether the rest of a line is passed over because it is too long.
    overlong: bool,
}

/// Why a log is not read any further.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// The end of a file, or a named pipe that nobody has open for writing.
    End,
    /// A named pipe whose writers say nothing just now.
    Silent,
    /// No more is taken.
    Full,
}

impl Log {
    fn open(path: &Path) -> io::Result<Self> {
        let file = open_without_waiting(path)?;
        if file.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(Self { path: path.to_owned(), file: Some(file), ..Self::default() })
    }

    /// Reads all there is: of a named pipe until its writers have closed it, if one comes within
    /// `patience`.
    fn read_to_end(
        &mut self,
        room: &mut usize,
        texts: &mut Vec<KeyLines>,
        patience: Duration,
    ) -> io::Result<()> {
        let is_pipe = self.file.as_ref().is_some_and(is_pipe);
        let begun = Instant::now();
        let mut written = false;
        loop {
            let stop = self.read(room, texts)?;
            written |= self.read > 0 || stop == Stop::Silent;
            if stop == Stop::Full || (stop == Stop::End && (written || !is_pipe)) {
                break;
            }
            if begun.elapsed() >= patience && (!written || patience.is_zero()) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::sleep(LOOK_EVERY);
        }
        texts.extend(self.rest());
        Ok(())
    }

    /// Reads what there is, as far as there is room.
    fn read(&mut self, room: &mut usize, texts: &mut Vec<KeyLines>) -> io::Result<Stop> {
        let Some(mut file) = self.file.take() else { return Ok(Stop::End) };
        let mut buffer = Zeroizing::new(vec![0; CHUNK]);
        let stop = loop {
            let most = (*room).min(CHUNK);
            let Some(free) = buffer.get_mut(..most).filter(|free| !free.is_empty()) else {
                break Stop::Full;
            };
            match file.read(free) {
                Ok(0) => break Stop::End,
                Ok(octets) => {
                    *room -= octets;
                    self.read += octets as u64;
                    let read = buffer.get(..octets).unwrap_or_default();
                    texts.extend(self.complete(read));
                }
                // A named pipe into which nobody writes just now.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Stop::Silent,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        self.file = Some(file);
        Ok(stop)
    }

    /// The whole lines that `octets` complete; what follows them is kept for later.
    fn complete(&mut self, octets: &[u8]) -> Option<KeyLines> {
        let mut octets = octets;
        if self.overlong {
            let end = octets.iter().position(|octet| *octet == b'\n')?;
            octets = octets.get(end..).unwrap_or_default();
            self.overlong = false;
        }
        let end = octets.iter().rposition(|octet| *octet == b'\n').map_or(0, |end| end + 1);
        let (whole, rest) = octets.split_at(end);
        let begun = if whole.is_empty() { self.partial.len() } else { 0 };
        self.overlong = begun + rest.len() > LINE_MAX;
        let mut lines = Zeroizing::default();
        if !whole.is_empty() || self.overlong {
            // All the room at once: growth would leave copies behind.
            lines = Zeroizing::new(Vec::with_capacity(self.partial.len() + whole.len()));
            lines.extend_from_slice(&self.partial);
            lines.extend_from_slice(whole);
            self.partial.zeroize();
        }
        if !self.overlong && !rest.is_empty() {
            if self.partial.capacity() < LINE_MAX {
                let mut partial = Zeroizing::new(Vec::with_capacity(LINE_MAX));
                partial.extend_from_slice(&self.partial);
                self.partial = partial;
            }
            self.partial.extend_from_slice(rest);
        }
        (!lines.is_empty()).then(|| lines.into())
    }

    /// A last line that has no end.
    fn rest(&mut self) -> Option<KeyLines> {
        let rest = std::mem::take(&mut self.partial);
        (!rest.is_empty()).then(|| rest.into())
    }

    /// Opens the file anew where it was replaced, or not there yet; begins again where it was cut.
    fn renew(&mut self) {
        let Some(file) = &mut self.file else {
            self.file = open_without_waiting(&self.path).ok();
            self.read = 0;
            return;
        };
        let Ok(named) = self.path.metadata() else { return };
        if !named.is_file() {
            return;
        }
        let same = file.metadata().is_ok_and(|open| is_same(&open, &named));
        if !same {
            if let Ok(fresh) = open_without_waiting(&self.path) {
                *file = fresh;
                self.read = 0;
                self.partial.zeroize();
            }
        } else if named.len() < self.read && file.seek(SeekFrom::Start(0)).is_ok() {
            self.read = 0;
            self.partial.zeroize();
        }
    }
}

#[cfg(unix)]
fn is_same(a: &std::fs::Metadata, b: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn is_same(a: &std::fs::Metadata, b: &std::fs::Metadata) -> bool {
    a.created().ok() == b.created().ok()
}

#[cfg(unix)]
fn is_pipe(file: &File) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    file.metadata().is_ok_and(|meta| meta.file_type().is_fifo())
}

#[cfg(not(unix))]
fn is_pipe(_: &File) -> bool {
    false
}

/// Opening a named pipe waits for a writer, and reading it for what is written, unless told not
/// to.
fn open_without_waiting(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    options.open(path)
}

/// Whether a file is pcapng, as far as its name or its first octets tell.
fn is_pcapng(path: &Path) -> bool {
    let mut first = [0; 4];
    let is_file = path.metadata().is_ok_and(|meta| meta.is_file());
    let read = is_file.then(|| File::open(path).and_then(|mut file| file.read_exact(&mut first)));
    let compressed = [[0x1f, 0x8b], [0x28, 0xb5]].iter().any(|magic| first.starts_with(magic));
    read.is_some_and(|read| read.is_ok()) && (first == [0x0a, 0x0d, 0x0d, 0x0a] || compressed)
}

/// How long a named pipe may be without a writer before that is an error.
const PATIENCE: Duration = Duration::from_secs(5);

/// Time between two looks at a named pipe.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Octets read at once.
const CHUNK: usize = 64 * 1024;

/// Longest line that is put together: the longest of use has some 200 octets.
const LINE_MAX: usize = 4096;

/// Octets that one [`Follow::poll`] reads of a log: packets must not wait for long.
const AT_ONCE: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("goawhy-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    fn told(follow: &mut Follow) -> String {
        let all: Vec<u8> = follow.poll().iter().flat_map(|lines| lines.to_vec()).collect();
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn a_file_is_followed_by_whole_lines_and_through_replacement() {
        let folder = folder("follow");
        let path = folder.join("keys");
        std::fs::write(&path, "one\ntw").unwrap();
        let named = [path.clone()];
        let mut follow = Follow::open(&named, None, &Limits::default()).unwrap();
        assert_eq!(told(&mut follow), "one\n");
        assert_eq!(told(&mut follow), "");
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"o").unwrap();
        assert_eq!(told(&mut follow), "");
        file.write_all(b"\nthree\nfo").unwrap();
        assert_eq!(told(&mut follow), "two\nthree\n");
        // Begun anew in place: what was not complete is void.
        std::fs::write(&path, "5\n").unwrap();
        assert_eq!(told(&mut follow), "5\n");
        // Replaced by another file.
        std::fs::write(folder.join("new"), "six\nseven\neight\n").unwrap();
        std::fs::rename(folder.join("new"), &path).unwrap();
        assert_eq!(told(&mut follow), "six\nseven\neight\n");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_log_of_the_environment_may_come_later_and_one_asked_for_may_not() {
        let folder = folder("later");
        let path = folder.join("keys");
        let limits = Limits::default();
        assert!(Follow::open(std::slice::from_ref(&path), None, &limits).is_err());
        let mut follow = Follow::open(&[], Some(path.clone()), &limits).unwrap();
        assert_eq!(told(&mut follow), "");
        std::fs::write(&path, "one\n").unwrap();
        assert_eq!(told(&mut follow), "one\n");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn an_endless_line_and_an_endless_log_are_bounded() {
        let folder = folder("long");
        let path = folder.join("keys");
        std::fs::write(&path, format!("{}\ngood\n", "a".repeat(1_000_000))).unwrap();
        let named = [path.clone()];
        let mut follow = Follow::open(&named, None, &Limits::default()).unwrap();
        let read = told(&mut follow);
        assert!(read.ends_with("\ngood\n") && read.len() < 2 * CHUNK, "{}", read.len());
        assert!(follow.logs[0].partial.capacity() <= LINE_MAX);
        let limits = Limits { key_log_bytes: 9, ..Limits::default() };
        std::fs::write(&path, "one\ntwo\nthree\nfour\n").unwrap();
        let mut follow = Follow::open(&named, None, &limits).unwrap();
        assert_eq!(told(&mut follow), "one\ntwo\n");
        assert_eq!(told(&mut follow), "");
        let job = Job { keylogs: vec![path], limits, ..Job::default() };
        let texts = gather(&job).unwrap();
        let texts: Vec<&[u8]> = texts.iter().map(|text| &text[..]).collect();
        assert_eq!(texts.concat(), b"one\ntwo\nth");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    #[cfg(unix)]
    fn a_named_pipe_is_read_without_waiting_for_its_writers() {
        let folder = folder("pipe");
        let path = folder.join("keys");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let named = [path.clone()];
        let mut follow = Follow::open(&named, None, &Limits::default()).unwrap();
        assert_eq!(told(&mut follow), "");
        for line in ["one\n", "two\n"] {
            let mut writer = File::options().write(true).open(&path).unwrap();
            writer.write_all(line.as_bytes()).unwrap();
            assert_eq!(told(&mut follow), line);
            drop(writer);
            assert_eq!(told(&mut follow), "");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
