//! `goawhy live`: verdicts as they fall, without a screen.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use crate::board::ConnectionRow;
pub use crate::board::alarm::{Alarm, Alarms};
use crate::board::detail::Matching;
use crate::board::filter::Filter;
use crate::board::snapshot::{Feed, LiveFacts, Snapshot, State};
use crate::board::told::{Teller, Told};
use crate::capture::live;
pub use crate::capture::live::{Interface, Options};
use crate::error::Error;
use crate::report::live::LiveText;
use crate::report::{Style, alert, fault, json};
use crate::vocab::limits::Limits;

use super::alarm::Duty;
pub use super::command::Commands;
pub use super::metrics::Listener;
#[cfg(feature = "otlp")]
pub use super::otlp::Collector;
use super::own::Own;
#[cfg(target_os = "linux")]
pub use super::privilege::Wish;
pub use super::save::Target;
use super::watch::Watch;

/// What to capture, and how.
#[derive(Clone, Debug)]
pub struct Job {
    /// Interfaces; `-` alone is a capture on standard input.
    pub interfaces: Vec<String>,
    /// How to capture.
    pub options: Options,
    /// Connections that the filter leaves out because they carry what is shown or written.
    pub left_out: Vec<Own>,
    /// Where packets are saved.
    pub save: Option<Target>,
    /// Packets after which it ends.
    pub count: Option<u64>,
    /// Time after which it ends.
    pub duration: Option<Duration>,
    /// Octets that the program may take, about.
    pub memory: u64,
    /// Which connections are told; the summary counts all.
    pub only: Option<Filter>,
    /// Whether the latest packets are kept for a closer look.
    pub details: bool,
    /// Whether what metrics tell of connections is counted.
    pub meters: bool,
    /// Whether local programs are named.
    pub processes: bool,
    /// What is given up once the capture is open.
    #[cfg(target_os = "linux")]
    pub wish: Wish,
    /// TLS key logs that were asked for.
    pub keylogs: Vec<PathBuf>,
    /// A TLS key log that the environment names.
    pub keylog_of_environment: Option<PathBuf>,
    /// Files that will be written later, beside saved packets.
    pub outputs: Vec<PathBuf>,
    /// What alarms start.
    pub commands: Option<Arc<Commands>>,
    /// The only port that is connected to, where there is one.
    pub connects: Option<u16>,
    /// Bounds.
    pub limits: Limits,
}

/// Where what happens is told.
#[derive(Debug)]
pub struct Outputs {
    /// How lines are written.
    pub format: Format,
    /// The file that they are appended to; else standard output.
    pub file: Option<PathBuf>,
    /// Where metrics are fetched.
    pub metrics: Option<Listener>,
    /// Where metrics are sent.
    #[cfg(feature = "otlp")]
    pub collector: Option<Collector>,
    /// What is watched for.
    pub alarms: Alarms,
}

/// How lines are written.
#[derive(Clone, Copy, Debug)]
pub enum Format {
    /// For people.
    Text(Style),
    /// One JSON object a line.
    Jsonl,
}

/// Takes a line for people, and whether they should see it in any case.
pub type Notice<'a> = &'a mut dyn FnMut(&str, bool);

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As it was to: by a signal, a count, a time, or the end of the pipe.
    InOrder,
    /// The reader of the output went away.
    OutputClosed,
    /// The output could not be written.
    OutputFailed(String),
    /// Packets could not be saved any more; the rest went on.
    Unsaved(String),
    /// An interface gave no more packets.
    InputFailed(String),
    /// Told twice to end.
    Interrupted,
}

/// Interfaces of this host.
///
/// # Errors
/// Where libpcap fails.
pub fn interfaces() -> Result<Vec<Interface>, Error> {
    live::interfaces()
}

/// Whether this program may capture on an interface.
///
/// # Errors
/// Why not.
pub fn probe(name: &str) -> Result<(), Error> {
    let options = Options { filter: None, buffer: 1 << 16, snap_length: 64, promiscuous: false };
    live::Tap::open(name, &options).map(drop)
}

/// Captures and tells until something ends it. `notice` gets lines for people on the way.
///
/// # Errors
/// Where nothing can be captured, or the runtime cannot start.
pub fn run(job: &Job, outputs: Outputs, notice: Notice<'_>) -> Result<Ended, Error> {
    let Outputs { format, file: output, metrics, alarms, .. } = outputs;
    let fails = |source| Error::Io { file: "live".into(), operation: "start it", source };
    // Opened while this still may; the thread that writes begins when nothing more is given up.
    let sink = open(output.as_ref())?;
    let watch = Watch::live(job, notice)?;
    let printer = Printer::begin(sink, output);
    notice(&listening(job), true);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(fails)?;
    let format = match format {
        Format::Text(style) => Form::Text(LiveText::new(style)),
        Format::Jsonl => Form::Jsonl,
    };
    let (teller, only) = (Teller::default(), job.only.clone());
    #[allow(unused_mut)] // Nothing is pushed where OTLP is not built in.
    let mut duty = Duty::new(alarms, metrics.is_some(), job.commands.clone());
    #[cfg(feature = "otlp")]
    duty.push(outputs.collector);
    let mut telling = Telling { watch, printer, teller, only, format, duty, seen: 0 };
    let ended = runtime.block_on(telling.run(metrics, notice)).map_err(fails);
    if !matches!(ended, Ok(Ended::Interrupted)) {
        telling.watch.stop(); // what is saved comes to its end
    }
    if matches!(ended, Ok(Ended::OutputFailed(_))) {
        // Where the lines cannot go any more, what there was in all still can.
        let summary = telling.summary(&telling.watch.latest());
        let _ = io::stderr().write_all(&summary);
    }
    ended
}

/// Keeps what passes the filter. Of connections whose packets are no longer there, which streams
/// they had is not known: they are told rather than kept back.
fn retain(only: &Filter, watch: &Watch, told: &mut Vec<Told>) {
    let asks = |told: &&Told| only.without_streams(&told.row).is_none();
    let asked: Vec<&ConnectionRow> = told.iter().filter(asks).map(|told| &*told.row).collect();
    let matching = match asked.is_empty() {
        true => Matching::default(),
        false => watch.matching_now(only, asked.into_iter()),
    };
    told.retain(|told| {
        let (flow, opened) = (&told.row.flow, told.row.streams.opened);
        only.without_streams(&told.row).unwrap_or_else(|| {
            matching.flows.contains(flow) || (opened > 0 && !matching.others.contains(flow))
        })
    });
}

/// What the first line says.
fn listening(job: &Job) -> String {
    let own: Vec<String> = job.left_out.iter().map(ToString::to_string).collect();
    let but = match own.is_empty() {
        true => String::new(),
        false => format!(", but not to this output ({})", own.join(", ")),
    };
    format!("listening on {}{but}; Ctrl-C ends", job.interfaces.join(", "))
}

struct Telling {
    watch: Watch,
    printer: Printer,
    teller: Teller,
    only: Option<Filter>,
    format: Form,
    duty: Duty,
    seen: u64,
}

/// What makes the lines.
enum Form {
    Text(LiveText),
    Jsonl,
}

impl Telling {
    async fn run(&mut self, metrics: Option<Listener>, notice: Notice<'_>) -> io::Result<Ended> {
        if let Some(listener) = metrics {
            listener.serve(self.duty.scrape())?;
        }
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let mut ticks = tokio::time::interval(TICK);
        let mut ending: Option<Instant> = None;
        let (mut told_error, mut told_unsaved, mut told_down) = (None, None, String::new());
        let mut told_faults = 0;
        loop {
            let asked = tokio::select! {
                _ = ticks.tick() => false,
                _ = hang_up.recv() => {
                    self.watch.reopen();
                    self.printer.reopen();
                    false
                }
                _ = interrupt.recv() => true,
                _ = terminate.recv() => true,
            };
            if asked && ending.is_some_and(|since| since.elapsed() >= SAME_WISH) {
                return Ok(Ended::Interrupted);
            }
            if asked {
                ending.get_or_insert_with(Instant::now);
                self.watch.end();
            }
            let snapshot = self.watch.latest();
            if snapshot.error != told_error {
                told_error.clone_from(&snapshot.error);
                notice(told_error.as_deref().unwrap_or_default(), true);
            }
            let down = snapshot.live.as_ref().map(|live| live.down().join(", "));
            if let Some(down) = down.filter(|down| *down != told_down) {
                let text = match down.is_empty() {
                    true => format!("{told_down}: up again"),
                    false => format!("{down}: the interface is down; no packets until it is up"),
                };
                notice(&text, true);
                told_down = down;
            }
            for of in snapshot.board.faults.get(told_faults..).unwrap_or_default() {
                notice(&fault(of, false), true);
            }
            told_faults = snapshot.board.faults.len();
            let unsaved = snapshot.live.as_ref().and_then(LiveFacts::unsaved);
            if unsaved != told_unsaved.as_deref() {
                told_unsaved = unsaved.map(ToOwned::to_owned);
                notice(unsaved.unwrap_or("packets are saved again"), true);
            }
            if let Some(ended) = self.printer.failure() {
                return Ok(ended);
            }
            self.alarm(&snapshot, notice);
            self.tell(&snapshot);
            if snapshot.state == State::Ended && self.seen == snapshot.revision {
                return Ok(self.end(&snapshot));
            }
        }
    }

    /// Counts what is new, and raises alarms, whether anybody reads the lines or not.
    fn alarm(&mut self, snapshot: &Arc<Snapshot>, notice: Notice<'_>) {
        let raised = self.duty.take(snapshot);
        for raised in &raised {
            let mut text = Vec::new();
            // Memory does not fail.
            let _ = match &self.format {
                Form::Text(lines) => lines.alarm(&mut text, raised),
                Form::Jsonl => alert::json(&mut text, raised),
            };
            self.printer.print(text);
        }
        for what in self.duty.news() {
            notice(&what, true);
        }
    }

    /// Tells what is new, if the printer has room; else it waits for the next tick.
    fn tell(&mut self, snapshot: &Snapshot) {
        if snapshot.revision == self.seen || !self.printer.has_room() {
            return;
        }
        self.seen = snapshot.revision;
        let mut told = self.teller.tell(snapshot);
        if let Some(only) = &self.only {
            retain(only, &self.watch, &mut told);
        }
        if told.is_empty() {
            return;
        }
        let mut text = Vec::new();
        for told in &told {
            // Memory does not fail.
            let _ = match &self.format {
                Form::Text(lines) => lines.told(&mut text, told),
                Form::Jsonl => json::live::told(&mut text, told),
            };
        }
        self.printer.print(text);
    }

    fn summary(&self, snapshot: &Snapshot) -> Vec<u8> {
        let mut text = Vec::new();
        // Memory does not fail.
        let _ = match &self.format {
            Form::Text(lines) => lines.summary(&mut text, snapshot),
            Form::Jsonl => json::live::summary(&mut text, snapshot),
        };
        text
    }

    fn end(&mut self, snapshot: &Snapshot) -> Ended {
        let text = self.summary(snapshot);
        self.printer.print(text);
        self.printer.finish();
        self.duty.finish();
        let failed = self.printer.failure();
        failed.unwrap_or_else(|| match &snapshot.error {
            Some(error) => Ended::InputFailed(error.clone()),
            None => match snapshot.live.as_ref().and_then(LiveFacts::unsaved) {
                Some(what) => Ended::Unsaved(what.to_owned()),
                None => Ended::InOrder,
            },
        })
    }
}

/// Writes in a thread of its own: whoever does not read holds up nobody but himself.
struct Printer {
    pieces: Option<SyncSender<Piece>>,
    failure: Failure,
    thread: Option<JoinHandle<()>>,
    /// What the writer had no room for, oldest first: a few pieces, for nothing is told while
    /// something waits.
    waiting: VecDeque<Piece>,
}

/// Why nothing more is written.
type Failure = Arc<Mutex<Option<Ended>>>;

enum Piece {
    Text(Vec<u8>),
    Reopen,
}

impl Printer {
    fn begin(sink: Box<dyn Write + Send>, output: Option<PathBuf>) -> Self {
        let (pieces, received) = sync_channel(PIECES);
        let failure: Failure = Arc::default();
        let told = Arc::clone(&failure);
        let thread = thread::spawn(move || {
            if let Err(error) = write(&received, sink, output.as_ref()) {
                let ended = match error.kind() {
                    io::ErrorKind::BrokenPipe => Ended::OutputClosed,
                    _ => Ended::OutputFailed(error.to_string()),
                };
                *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
            }
        });
        Self { pieces: Some(pieces), failure, thread: Some(thread), waiting: VecDeque::new() }
    }

    fn failure(&self) -> Option<Ended> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether everything until now was taken.
    fn has_room(&mut self) -> bool {
        while let (Some(pieces), Some(piece)) = (&self.pieces, self.waiting.pop_front()) {
            if let Err(TrySendError::Full(piece)) = pieces.try_send(piece) {
                self.waiting.push_front(piece);
                return false;
            }
        }
        true
    }

    fn print(&mut self, text: Vec<u8>) {
        self.waiting.push_back(Piece::Text(text));
        self.has_room();
    }

    fn reopen(&mut self) {
        // Once is enough, however often it was asked for.
        if !matches!(self.waiting.back(), Some(Piece::Reopen)) {
            self.waiting.push_back(Piece::Reopen);
        }
        self.has_room();
    }

    /// Waits a moment for what is not written yet.
    fn finish(&mut self) {
        for _ in 0..LAST_LOOKS {
            if self.has_room() {
                break;
            }
            thread::sleep(TICK);
        }
        self.pieces = None;
        let Some(thread) = self.thread.take() else { return };
        for _ in 0..LAST_LOOKS {
            if thread.is_finished() {
                let _ = thread.join();
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn write(
    pieces: &Receiver<Piece>,
    mut sink: Box<dyn Write + Send>,
    output: Option<&PathBuf>,
) -> io::Result<()> {
    for piece in pieces {
        match piece {
            Piece::Text(text) => {
                sink.write_all(&text)?;
                sink.flush()?;
            }
            Piece::Reopen => {
                if output.is_some() {
                    sink = open(output).map_err(|error| io::Error::other(error.to_string()))?;
                }
            }
        }
    }
    Ok(())
}

fn open(output: Option<&PathBuf>) -> Result<Box<dyn Write + Send>, Error> {
    let Some(path) = output else { return Ok(Box::new(io::stdout())) };
    let file: io::Result<File> = OpenOptions::new().append(true).create(true).open(path);
    let file = file.map_err(|source| Error::Io {
        file: path.display().to_string(),
        operation: "write it",
        source,
    })?;
    Ok(Box::new(Lines(file)))
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

/// Time between two looks at what is new.
const TICK: Duration = Duration::from_millis(100);
/// A signal so soon after the first is the same wish: timeout(1) tells its child, and then the
/// whole group.
const SAME_WISH: Duration = Duration::from_secs(1);
/// Pieces of text that may wait for the writer.
const PIECES: usize = 256;
/// Looks for a writer that is not done at the end.
const LAST_LOOKS: u32 = 20;

#[cfg(test)]
mod tests {
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
        let mut out = open(Some(&path)).unwrap();
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
        drop(go);
        while !printer.has_room() {
            thread::sleep(Duration::from_millis(1));
        }
        printer.finish();
        let expected: String = (0..lines).map(|line| format!("{line}\n")).collect();
        assert_eq!(String::from_utf8(written.lock().unwrap().clone()).unwrap(), expected);
    }
}
