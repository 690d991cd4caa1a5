//! Lines of a live capture on their way out, in a thread of their own.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::error::Error;

use super::live::Ended;
use super::save::open_or_make;

/// Writes in a thread of its own: whoever does not read holds up nobody but himself.
pub(super) struct Printer {
    pieces: Option<SyncSender<Piece>>,
    told: Arc<Mutex<Told>>,
    thread: JoinHandle<()>,
    /// What the writer had no room for, oldest first: a few pieces, for nothing is told while
    /// something waits, and alarms find no room for ever.
    waiting: VecDeque<Piece>,
    is_closed: bool,
}

/// What the writer has to say.
#[derive(Default)]
struct Told {
    /// Why nothing more is written.
    failure: Option<Ended>,
    /// Why the file that was open is written on.
    news: Vec<String>,
}

enum Piece {
    Text(Vec<u8>),
    Reopen,
}

impl Printer {
    pub(super) fn begin(sink: Box<dyn Write + Send>, output: Option<PathBuf>) -> Self {
        let (pieces, received) = sync_channel(PIECES);
        let told: Arc<Mutex<Told>> = Arc::default();
        let tells = Arc::clone(&told);
        let thread = thread::spawn(move || {
            if let Err(error) = write(&received, sink, output.as_ref(), &tells) {
                let ended = match error.kind() {
                    io::ErrorKind::BrokenPipe => Ended::OutputClosed,
                    _ => Ended::OutputFailed(error.to_string()),
                };
                lock(&tells).failure = Some(ended);
            }
        });
        Self { pieces: Some(pieces), told, thread, waiting: VecDeque::new(), is_closed: false }
    }

    /// Why nothing more is written.
    pub(super) fn failure(&self) -> Option<Ended> {
        lock(&self.told).failure.clone()
    }

    /// What people should know, once.
    pub(super) fn news(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.told).news)
    }

    /// Whether everything until now was taken.
    pub(super) fn has_room(&mut self) -> bool {
        while let (Some(pieces), Some(piece)) = (&self.pieces, self.waiting.pop_front()) {
            if let Err(TrySendError::Full(piece)) = pieces.try_send(piece) {
                self.waiting.push_front(piece);
                return false;
            }
        }
        true
    }

    pub(super) fn print(&mut self, text: Vec<u8>) {
        self.waiting.push_back(Piece::Text(text));
        self.has_room();
    }

    /// The same where there is room, and whether there was.
    pub(super) fn offer(&mut self, text: Vec<u8>) -> bool {
        let room = self.has_room() || self.waiting.len() < WAITING;
        if room {
            self.print(text);
        }
        room
    }

    pub(super) fn reopen(&mut self) {
        // Once is enough, however often it was asked for.
        if !matches!(self.waiting.back(), Some(Piece::Reopen)) {
            self.waiting.push_back(Piece::Reopen);
        }
        self.has_room();
    }

    /// Takes no more.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    /// Hands on what waits; whether all was written, or cannot be, after [`Printer::close`].
    pub(super) fn is_done(&mut self) -> bool {
        if self.has_room() && self.is_closed {
            self.pieces = None;
        }
        self.thread.is_finished()
    }
}

fn lock(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write(
    pieces: &Receiver<Piece>,
    mut sink: Box<dyn Write + Send>,
    output: Option<&PathBuf>,
    told: &Mutex<Told>,
) -> io::Result<()> {
    for piece in pieces {
        match piece {
            Piece::Text(text) => {
                sink.write_all(&text)?;
                sink.flush()?;
            }
            Piece::Reopen if output.is_some() => match open(output) {
                Ok(anew) => sink = anew.out,
                // Better in a file of another name than nowhere.
                Err(error) => {
                    lock(told).news.push(format!("{error}; lines go on to the old file"));
                }
            },
            Piece::Reopen => {}
        }
    }
    Ok(())
}

/// Where lines go.
pub(super) struct Sink {
    pub(super) out: Box<dyn Write + Send>,
    /// The file, where it was not there before.
    pub(super) made: Option<File>,
}

/// Opens the file that lines are appended to, else standard output.
///
/// # Errors
/// Where it cannot be written.
pub(super) fn open(output: Option<&PathBuf>) -> Result<Sink, Error> {
    let Some(path) = output else { return Ok(Sink { out: Box::new(io::stdout()), made: None }) };
    let opened = || {
        let (file, is_new) = open_or_make(OpenOptions::new().append(true), path)?;
        let made = is_new.then(|| file.try_clone()).transpose()?;
        Ok(Sink { out: Box::new(Lines(file)) as Box<dyn Write + Send>, made })
    };
    opened().map_err(|source| Error::Io {
        file: path.display().to_string(),
        operation: "write it",
        source,
    })
}

/// A file that holds whole lines, whatever the disk does: others read it while it grows.
struct Lines(File);

impl Write for Lines {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        // What is no regular file has no length, and nothing to take back.
        let before = self.0.metadata().map_or(0, |file| file.len());
        let (taken, written) = append(&mut self.0, text);
        written.map(|()| taken).inspect_err(|_| {
            // Where that fails too, readers meet a line that ends early.
            let _ = self.0.set_len(before.saturating_add(whole_lines(text, taken)));
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Octets of the lines that are whole in the first `taken` octets of a text.
fn whole_lines(text: &[u8], taken: usize) -> u64 {
    let taken = text.get(..taken).unwrap_or_default();
    taken.iter().rposition(|octet| *octet == b'\n').map_or(0, |at| at as u64 + 1)
}

/// Writes as much as goes; gives how much that was.
fn append(out: &mut impl Write, text: &[u8]) -> (usize, io::Result<()>) {
    let mut taken = 0;
    while let Some(rest) = text.get(taken..).filter(|rest| !rest.is_empty()) {
        match out.write(rest) {
            Ok(0) => return (taken, Err(io::ErrorKind::WriteZero.into())),
            Ok(octets) => taken += octets,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (taken, Err(error)),
        }
    }
    (taken, Ok(()))
}

/// Pieces of text that may wait for the writer.
const PIECES: usize = 256;
/// Pieces behind them that alarms may find before them.
const WAITING: usize = 256;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A writer that begins to write when it is told to.
    struct Slow(std::sync::mpsc::Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Slow {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.lock().unwrap().extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A disk with room for so many octets.
    struct Full(Vec<u8>, usize);

    impl Write for Full {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            let room = self.1.saturating_sub(self.0.len()).min(octets.len());
            self.0.extend_from_slice(&octets[..room]);
            if room > 0 { Ok(room) } else { Err(io::ErrorKind::StorageFull.into()) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_leaves_whole_lines() {
        let text = b"{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n";
        let (taken, written) = append(&mut Full(Vec::new(), 21), text);
        assert_eq!((taken, written.unwrap_err().kind()), (21, io::ErrorKind::StorageFull));
        assert_eq!(whole_lines(text, taken), 16);
        assert_eq!((whole_lines(text, 7), whole_lines(text, text.len())), (0, 24));
        assert_eq!(append(&mut Full(Vec::new(), 24), text).0, 24);
        let path = std::env::temp_dir().join(format!("goawhy-lines-{}", std::process::id()));
        let mut out = open(Some(&path)).unwrap().out;
        out.write_all(text).unwrap();
        out.flush().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), text);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_writer_that_is_behind_loses_nothing() {
        let (go, wait) = std::sync::mpsc::channel();
        let written = Arc::default();
        let mut printer = Printer::begin(Box::new(Slow(wait, Arc::clone(&written))), None);
        let lines = PIECES + 5;
        for line in 0..lines {
            printer.print(format!("{line}\n").into_bytes());
            printer.reopen();
        }
        assert!(!printer.has_room());
        printer.close();
        // However long nobody reads.
        assert!(!printer.is_done());
        thread::sleep(Duration::from_millis(300));
        assert!(!printer.is_done());
        drop(go);
        while !printer.is_done() {
            thread::sleep(Duration::from_millis(1));
        }
        let expected: String = (0..lines).map(|line| format!("{line}\n")).collect();
        assert_eq!(String::from_utf8(written.lock().unwrap().clone()).unwrap(), expected);
    }

    #[test]
    fn alarms_that_nobody_reads_wait_for_a_while_only() {
        let (_go, wait) = std::sync::mpsc::channel();
        let mut printer = Printer::begin(Box::new(Slow(wait, Arc::default())), None);
        let taken = (0..4 * PIECES).filter(|_| printer.offer(b"!\n".to_vec())).count();
        // One is being written.
        assert!((PIECES + WAITING..=PIECES + WAITING + 1).contains(&taken), "{taken}");
    }

    #[test]
    fn where_the_file_cannot_be_opened_anew_the_old_one_is_written_on() {
        let written = Arc::default();
        let (go, wait) = std::sync::mpsc::channel();
        drop(go);
        let nowhere = Some(PathBuf::from("/proc/goawhy/none"));
        let mut printer = Printer::begin(Box::new(Slow(wait, Arc::clone(&written))), nowhere);
        printer.reopen();
        printer.print(b"a\n".to_vec());
        printer.close();
        while !printer.is_done() {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!((printer.failure(), written.lock().unwrap().as_slice()), (None, &b"a\n"[..]));
        let news = printer.news();
        assert!(news.len() == 1 && news[0].contains("old file"), "{news:?}");
    }
}
