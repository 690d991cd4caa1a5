//! `goawhy live`: verdicts as they fall, without a screen.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior};

use crate::board::ConnectionRow;
pub use crate::board::alarm::{Alarm, Alarms};
use crate::board::detail::Matching;
use crate::board::filter::Filter;
use crate::board::mask::Names;
use crate::board::snapshot::{Feed, LiveFacts, Snapshot, State};
use crate::board::told::{Teller, Told};
use crate::capture::live;
pub use crate::capture::live::{Interface, Options};
use crate::error::Error;
use crate::report::live::LiveText;
use crate::report::{Style, alert, fault, json};
use crate::vocab::limits::Limits;
use crate::vocab::text::count;

use super::alarm::Duty;
use super::command;
pub use super::command::Commands;
use super::detail::Again;
pub use super::metrics::Listener;
#[cfg(feature = "otlp")]
pub use super::otlp::Collector;
use super::own::Own;
use super::printer::{Printer, open};
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
    /// Whether what strangers should not see is taken out of all that is told.
    pub mask: bool,
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
    let Outputs { format, file: output, metrics, alarms, mask, .. } = outputs;
    let fails = |source| Error::Io { file: "live".into(), operation: "start it", source };
    // Opened while this still may; the thread that writes begins when nothing more is given up.
    let sink = open(output.as_ref())?;
    let watch = Watch::live(job, sink.made, notice)?;
    let printer = Printer::begin(sink.out, output);
    notice(&listening(job), true);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(fails)?;
    let format = match format {
        Format::Text(style) => Form::Text(LiveText::new(style)),
        Format::Jsonl => Form::Jsonl,
    };
    let (teller, only) = (Teller::default(), job.only.clone().map(Arc::new));
    #[allow(unused_mut)] // Nothing is pushed where OTLP is not built in.
    let mut duty = Duty::new(alarms, metrics.is_some(), mask, job.commands.clone());
    #[cfg(feature = "otlp")]
    duty.push(outputs.collector);
    let (asking, heard) = (None, Heard::default());
    let mut telling =
        Telling { watch, printer, teller, only, asking, format, mask, duty, heard, seen: 0 };
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
fn retain(only: &Filter, again: &Again, told: &mut Vec<Told>) {
    let asks = |told: &&Told| only.without_streams(&told.row).is_none();
    let asked: Vec<&ConnectionRow> = told.iter().filter(asks).map(|told| &*told.row).collect();
    let matching = match asked.is_empty() {
        true => Matching::default(),
        false => again.matching(only, asked.into_iter(), &AtomicBool::new(false)),
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
    only: Option<Arc<Filter>>,
    /// What passes the filter is being looked for: packets are read again for it.
    asking: Option<JoinHandle<Vec<Told>>>,
    format: Form,
    mask: bool,
    duty: Duty,
    heard: Heard,
    seen: u64,
}

/// What makes the lines.
enum Form {
    Text(LiveText),
    Jsonl,
}

/// What was told beside the lines.
#[derive(Default)]
struct Heard {
    error: Option<String>,
    unsaved: Option<String>,
    down: String,
    faults: usize,
    /// Packets that were told to be dropped, and when.
    dropped: Option<(u64, Instant)>,
    /// Alarms that were not written.
    unwritten: u64,
}

impl Heard {
    /// Tells what is new.
    fn take(&mut self, snapshot: &Snapshot, notice: Notice<'_>) {
        if snapshot.error != self.error {
            self.error.clone_from(&snapshot.error);
            notice(self.error.as_deref().unwrap_or_default(), true);
        }
        let down = snapshot.live.as_ref().map(|live| live.down().join(", "));
        if let Some(down) = down.filter(|down| *down != self.down) {
            let text = match down.is_empty() {
                true => format!("{}: up again", self.down),
                false => format!("{down}: the interface is down; no packets until it is up"),
            };
            notice(&text, true);
            self.down = down;
        }
        for of in snapshot.board.faults.get(self.faults..).unwrap_or_default() {
            notice(&fault(of, false), true);
        }
        self.faults = snapshot.board.faults.len();
        self.drops(snapshot, notice);
        let unsaved = snapshot.live.as_ref().and_then(LiveFacts::saving_trouble);
        if unsaved != self.unsaved.as_deref() {
            self.unsaved = unsaved.map(ToOwned::to_owned);
            notice(unsaved.unwrap_or("packets are saved again as they should be"), true);
        }
    }
}

impl Heard {
    /// Tells that packets are dropped, at once and then every few seconds while more are.
    fn drops(&mut self, snapshot: &Snapshot, notice: Notice<'_>) {
        let dropped = snapshot.live.as_ref().map_or(0, LiveFacts::dropped);
        let (told, rests) =
            self.dropped.map_or((0, false), |(told, at)| (told, at.elapsed() < DROPS_EVERY));
        let over = snapshot.state == State::Ended;
        if dropped > told && (over || !rests) {
            let packets = count(dropped, "packet");
            let text = format!("{packets} dropped by now: endings of that time are less sure");
            notice(&text, true);
            self.dropped = Some((dropped, Instant::now()));
        }
    }
}

/// Between two lines that tell of dropped packets.
const DROPS_EVERY: Duration = Duration::from_secs(10);

/// What may happen next.
enum Call {
    /// It is time for a look.
    Tick,
    /// Outputs are to be opened anew.
    Reopen,
    /// It is to end.
    End,
    /// It is to end at once, for the second time of asking.
    Leave,
}

/// The clock, and signals.
struct Calls {
    ticks: Interval,
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    /// Since when it is to end.
    ending: Option<Instant>,
}

impl Calls {
    fn begin() -> io::Result<Self> {
        let mut ticks = tokio::time::interval(TICK);
        // What was late is not made up for.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            ticks,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            ending: None,
        })
    }

    async fn next(&mut self) -> Call {
        tokio::select! {
            _ = self.ticks.tick() => return Call::Tick,
            _ = self.hang_up.recv() => return Call::Reopen,
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        match self.ending {
            Some(since) if since.elapsed() >= SAME_WISH => Call::Leave,
            _ => {
                self.end();
                Call::End
            }
        }
    }

    /// From now on it ends.
    fn end(&mut self) {
        self.ending.get_or_insert_with(Instant::now);
    }
}

impl Telling {
    async fn run(&mut self, metrics: Option<Listener>, notice: Notice<'_>) -> io::Result<Ended> {
        if let Some(listener) = metrics {
            listener.serve(self.duty.scrape())?;
        }
        let mut calls = Calls::begin()?;
        let ended = self.follow(&mut calls, notice).await;
        if ended == Ended::Interrupted || !self.finish(&mut calls, notice).await {
            self.duty.abandon();
            self.duty.news().iter().for_each(|what| notice(what, true));
            return Ok(Ended::Interrupted);
        }
        Ok(self.printer.failure().unwrap_or(ended))
    }

    /// Tells what happens, until it ends.
    async fn follow(&mut self, calls: &mut Calls, notice: Notice<'_>) -> Ended {
        loop {
            match calls.next().await {
                Call::Tick => {}
                Call::Reopen => {
                    self.watch.reopen();
                    self.printer.reopen();
                }
                Call::End => self.watch.end(),
                Call::Leave => return Ended::Interrupted,
            }
            let snapshot = self.watch.latest();
            self.heard.take(&snapshot, notice);
            self.printer.news().iter().for_each(|what| notice(what, true));
            if let Some(ended) = self.printer.failure() {
                return ended;
            }
            self.alarm(&snapshot, notice);
            self.tell(&snapshot);
            let told = self.seen == snapshot.revision && self.asking.is_none();
            if snapshot.state == State::Ended && told {
                let text = self.summary(&snapshot);
                self.printer.print(text);
                return ended(&snapshot);
            }
        }
    }

    /// Waits for what is not written yet, however slowly it is read, and for what alarms started.
    /// Whether that came to its end before it was to end at once.
    async fn finish(&mut self, calls: &mut Calls, notice: Notice<'_>) -> bool {
        calls.end();
        self.watch.end();
        self.printer.close();
        self.duty.close();
        let mut waits_since = Some(Instant::now());
        loop {
            // Both are looked at each time: what waits is handed on by that.
            let (written, done) = (self.printer.is_done(), self.duty.is_done());
            let news = self.printer.news().into_iter().chain(self.duty.news());
            news.for_each(|what| notice(&what, true));
            if written && done {
                break;
            }
            let long = |since: &mut Instant| since.elapsed() >= SAME_WISH;
            if self.duty.is_commanding() && waits_since.take_if(long).is_some() {
                let most = command::PATIENCE.as_secs();
                notice(&format!("{COMMANDS_RUN}, for {most} s at most; Ctrl-C ends it"), true);
            }
            match calls.next().await {
                Call::Leave => return false,
                Call::Tick | Call::Reopen | Call::End => {}
            }
        }
        if self.heard.unwritten > 0 {
            notice(&format!("alarms that were not written: {}", self.heard.unwritten), true);
        }
        true
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
            if !self.printer.offer(text) {
                if self.heard.unwritten == 0 {
                    notice("alarms are not written: the output is not read", true);
                }
                self.heard.unwritten += 1;
            }
        }
        for what in self.duty.news() {
            notice(&what, true);
        }
    }

    /// Tells what is new, if the printer has room; else it waits for the next tick.
    fn tell(&mut self, snapshot: &Snapshot) {
        if let Some(asking) = self.asking.take_if(|asking| asking.is_finished()) {
            // What panicked has said so.
            self.print(asking.join().unwrap_or_default(), snapshot);
        }
        let waits = self.asking.is_some() || !self.printer.has_room();
        if snapshot.revision == self.seen || waits {
            return;
        }
        self.seen = snapshot.revision;
        let mut told = self.teller.tell(snapshot);
        match &self.only {
            Some(only) if !only.wants_streams() => {
                told.retain(|told| only.connection(&told.row));
                self.print(told, snapshot);
            }
            Some(only) if !told.is_empty() => {
                // Packets are read again for streams: that takes its time.
                let (only, again) = (Arc::clone(only), self.watch.again());
                self.asking = Some(thread::spawn(move || {
                    retain(&only, &again, &mut told);
                    told
                }));
            }
            _ => self.print(told, snapshot),
        }
    }

    fn print(&mut self, mut told: Vec<Told>, snapshot: &Snapshot) {
        if told.is_empty() {
            return;
        }
        if self.mask {
            let names = Names::of(&snapshot.board);
            told.iter_mut().for_each(|told| told.mask(&names));
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
}

/// How it ended, where lines are no matter.
fn ended(snapshot: &Snapshot) -> Ended {
    match (&snapshot.error, snapshot.live.as_ref().and_then(LiveFacts::unsaved)) {
        (Some(error), _) => Ended::InputFailed(error.clone()),
        (None, Some(what)) => Ended::Unsaved(what.to_owned()),
        (None, None) => Ended::InOrder,
    }
}

/// Time between two looks at what is new.
const TICK: Duration = Duration::from_millis(100);
/// A signal so soon after the first is the same wish: timeout(1) tells its child, and then the
/// whole group.
const SAME_WISH: Duration = Duration::from_secs(1);
/// What keeps it from ending.
const COMMANDS_RUN: &str = "waiting for the command of an alarm";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::snapshot::InterfaceFacts;

    #[test]
    fn drops_are_told_as_they_happen_and_not_all_the_time() {
        let dropped = |packets| {
            let of = InterfaceFacts { kernel_dropped: Some(packets), ..InterfaceFacts::default() };
            let live = LiveFacts { interfaces: vec![of], ..LiveFacts::default() };
            Snapshot { live: Some(live), state: State::Live, ..Snapshot::default() }
        };
        let (mut heard, mut told) = (Heard::default(), Vec::new());
        let mut hear = |heard: &mut Heard, snapshot: &Snapshot| {
            heard.take(snapshot, &mut |text, _| told.push(text.to_owned()));
        };
        hear(&mut heard, &dropped(0));
        hear(&mut heard, &dropped(57));
        hear(&mut heard, &dropped(58));
        hear(&mut heard, &Snapshot { state: State::Ended, ..dropped(60) });
        let text = |packets| {
            format!("{packets} packets dropped by now: endings of that time are less sure")
        };
        assert_eq!(told, [text(57), text(60)]);
    }
}
