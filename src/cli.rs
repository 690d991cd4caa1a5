//! The command line: what was asked for, where the answer goes, how the program exits.

mod check;
mod config;
#[cfg(feature = "live")]
mod live;
mod meta;
pub mod output;
mod report;
mod saved;
mod screen;
mod value;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use self::config::Config;
use self::output::Output;
use self::report::{PaperArgs, ReportArgs};
pub use self::screen::{Colours, Look};
use self::screen::{ScreenArgs, dashboard};
use self::value::filter;
use crate::board::Board;
use crate::board::filter::{self, Filter};
use crate::report::frames::{Format as FramesFormat, FrameWriter};
use crate::report::notes::Notes;
use crate::report::{self as words, Style, TimeStyle, explain};
use crate::vocab::capture::{CaptureFacts, Listed};
use crate::vocab::explanation::Explanation;
use crate::vocab::text::{acts, printable, printable_lines};

/// Says why an HTTP/2 connection went away.
#[derive(Debug, Parser)]
#[command(name = "goawhy", version = meta::VERSION, arg_required_else_help = true)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
#[command(after_help = EXAMPLES, after_long_help = long_help())]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    report: ReportArgs,
    /// Capture on this interface, into a dashboard; more options: goawhy -i IFACE --help
    #[cfg(feature = "live")]
    #[arg(short = 'i', long = "interface", value_name = "IFACE", conflicts_with = "files")]
    interfaces: Vec<String>,
    #[command(flatten)]
    screen: ScreenArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Why each connection ended, with the evidence packet by packet; without a command the same
    /// in a dashboard, where standard output is a terminal
    Report(Box<PaperArgs>),
    /// Every HTTP/2 frame in capture order
    Frames(FramesArgs),
    /// Verdicts as they fall, on interfaces or a capture that arrives in a pipe
    #[cfg(feature = "live")]
    Live(Box<live::LiveArgs>),
    /// What can be captured on this host, and what is missing
    #[cfg(feature = "live")]
    Interfaces,
    /// For CI and load tests: exit status 1 where something is found that must not be
    Check(Box<check::CheckArgs>),
    /// Two captures or saved reports side by side: what is gone, what is new, what takes longer
    Diff(check::DiffArgs),
    /// What a cause, a rule or an error line means, and what to do
    Explain(ExplainArgs),
    /// The JSON Schema of the report
    Schema,
    /// Completions for a shell, as in: goawhy completions bash
    Completions(meta::CompletionsArgs),
    /// A page of the manual, as in: goawhy man report | man -l -
    Man(meta::ManArgs),
}

#[derive(Debug, Args)]
struct InputArgs {
    /// Captures (pcap, pcapng, also compressed); - reads standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A capture: the same as FILE, for fingers used to tcpdump
    #[arg(short = 'r', value_name = "FILE")]
    read: Vec<PathBuf>,
    /// Only packets that pass this filter (pcap-filter(7)), as in 'tcp port 8080'
    #[cfg(feature = "live")]
    #[arg(short = 'f', value_name = "BPF")]
    filter: Option<String>,
    /// Only what passes this filter, as in 'cause:idle_timeout age>4s'; fields below
    #[arg(short = 'Y', long = "only", value_name = "FILTER", value_parser = filter)]
    only: Option<Filter>,
    /// The clock of the Nth FILE is that many seconds behind the first one's (negative: ahead);
    /// then none is moved by what captures have in common
    #[arg(long, value_name = "N=SECONDS", value_parser = clock_offset, allow_hyphen_values = true)]
    clock_offset: Vec<(usize, i64)>,
    /// TLS secrets in the format of SSLKEYLOGFILE; that variable is heeded too
    #[arg(long, value_name = "FILE")]
    keylog: Vec<PathBuf>,
}

#[derive(Debug, Args)]
struct FramesArgs {
    #[command(flatten)]
    input: InputArgs,
    /// How to write the frames
    #[arg(long, value_enum, default_value_t = FrameLines::Text)]
    format: FrameLines,
    /// Header lists too, on the frame that completes them
    #[arg(long)]
    headers: bool,
    /// Hide header values and debug data (names, methods, statuses and addresses stay)
    #[arg(long)]
    mask: bool,
}

#[derive(Debug, Args)]
struct ExplainArgs {
    /// A cause (idle_timeout), a rule or section (data-stream-zero, 6.8), or a pasted error line
    #[arg(value_name = "TOPIC", required = true)]
    topic: Vec<String>,
    /// Draw with ASCII characters only
    #[arg(long)]
    ascii: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Colour {
    /// Where a terminal shows them
    Auto,
    /// Also where that is not known
    Always,
    /// None
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FrameLines {
    /// For people
    Text,
    /// One object a line for programs
    Jsonl,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Times {
    /// Seconds since the first packet
    Relative,
    /// Date and time in this machine's zone
    Local,
    /// Date and time in UTC
    Utc,
}

impl From<Times> for TimeStyle {
    fn from(times: Times) -> Self {
        match times {
            Times::Relative => Self::Relative,
            Times::Local => Self::Local,
            Times::Utc => Self::Utc,
        }
    }
}

/// What has to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// Captures in the order they were given; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// Nanoseconds to be added to the times of each capture, whose clock went wrong.
    pub clocks: Vec<i64>,
    /// Whether any of that was told: then no other offset is looked for.
    pub clocks_told: bool,
    /// TLS secrets that were asked for.
    pub keylogs: Vec<PathBuf>,
    /// TLS secrets that the environment names; they need not exist.
    pub keylog_of_environment: Option<PathBuf>,
    /// Packet filter in libpcap's language.
    #[cfg(feature = "live")]
    pub filter: Option<String>,
    /// Whether streams are listed with their header fields.
    pub streams: bool,
    /// Whether what metrics tell of connections is counted.
    pub meters: bool,
    /// Implementations whose texts count for nothing; `all` for every one.
    pub without_fingerprints: Vec<String>,
    /// Threads to work with, where the user says.
    pub threads: Option<NonZeroUsize>,
    /// Which frames are listed.
    pub only: Option<Filter>,
    /// Which connections' timeouts, answer times and conflicts are in a report; without it all.
    pub measured: Option<Filter>,
}

impl Inputs {
    /// All files that are read: captures and key logs.
    fn read_files(&self) -> Vec<PathBuf> {
        let keylogs = self.keylogs.iter().chain(&self.keylog_of_environment);
        self.files.iter().chain(keylogs).cloned().collect()
    }
}

/// What reads captures: the floor below, as the command line needs it.
pub trait Runner {
    /// Why nothing could be read: one line for the user.
    type Error: Display;

    /// What the program exits with for this error.
    fn exit(&self, error: &Self::Error) -> Exit {
        let _ = error;
        Exit::Input
    }

    /// Whether an input can be read at all.
    ///
    /// # Errors
    /// Why not.
    fn probe(&self, file: &Path) -> Result<(), Self::Error>;

    /// Reads everything into a board.
    fn report(&self, inputs: &Inputs) -> Result<Board, Self::Error>;

    /// Writes a copy of the captures with comments on packets.
    ///
    /// # Errors
    /// Where an input cannot be read at all, or the output cannot be written.
    fn annotate<W: Write>(
        &self,
        inputs: &Inputs,
        notes: &Notes,
        out: W,
    ) -> Result<(), FramesError<Self::Error>>;

    /// Hands every frame to `writer`; gives facts about the captures.
    fn frames<W: Write>(
        &self,
        inputs: &Inputs,
        writer: &mut FrameWriter<W>,
    ) -> Result<Listed, FramesError<Self::Error>>;

    /// Shows everything in a dashboard, until the user leaves it.
    fn dashboard(&self, inputs: &Inputs, look: Look) -> Result<Exit, Self::Error>;

    /// Captures into a dashboard, until the user leaves it; `notice` is told what is given up.
    #[cfg(feature = "live")]
    fn dashboard_live(
        &self,
        job: &crate::run::live::Job,
        look: Look,
        notice: crate::run::live::Notice<'_>,
    ) -> Result<Exit, Self::Error>;

    /// Explains a cause, a rule or an error line; else says in one line what to type instead.
    fn explain(&self, topic: &str) -> Result<Explanation, String>;
}

/// Why frames stopped.
#[derive(Debug)]
pub enum FramesError<E> {
    /// An input could not be read at all.
    Input(E),
    /// The output could not be written.
    Output(io::Error),
}

impl<E> From<io::Error> for FramesError<E> {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Exit status, as report-readers rely on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done; also where the reader of the output went away.
    Done,
    /// Something was found that must not be.
    Denied,
    /// The command line is wrong, or the output cannot be written.
    Usage,
    /// An input could not be read at all.
    Input,
    /// Interrupted by the user.
    Interrupted,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Denied => 1,
            Exit::Usage => 2,
            Exit::Input => 3,
            Exit::Interrupted => 130,
        })
    }
}

/// Does what the command line asks for.
pub fn run(arguments: impl Iterator<Item = OsString>, runner: &impl Runner) -> Exit {
    let mut words: Vec<OsString> = arguments.collect();
    let config = match configured(&mut words) {
        Ok(config) => config,
        Err(error) => return complain(Exit::Usage, &printable(&error)),
    };
    #[cfg(feature = "live")]
    if live::is_bare(&words) {
        return match config.parse::<live::WatchArgs>(words) {
            Ok(arguments) => live::watch(arguments, runner),
            Err(error) => told(&error),
        };
    }
    let (command, screen) = match parse(&config, words) {
        Ok(parsed) => parsed,
        Err(error) => return told(&error),
    };
    if config.masks() && !command.masks() {
        return complain(Exit::Usage, &CANNOT_MASK);
    }
    match command {
        Command::Report(arguments) => match screen {
            Some(screen) if io::stdout().is_terminal() => {
                dashboard(&config, &arguments.report, &screen, runner)
            }
            _ => report::report(&arguments, runner),
        },
        Command::Frames(arguments) => frames(&arguments, runner),
        Command::Check(arguments) => check::check(&arguments, runner),
        Command::Diff(arguments) => check::diff(&arguments, runner),
        Command::Explain(arguments) => explained(&arguments, runner),
        Command::Schema => meta::schema(),
        Command::Completions(arguments) => meta::completions(&arguments),
        Command::Man(arguments) => meta::man(&arguments),
        #[cfg(feature = "live")]
        Command::Live(arguments) => live::live(&arguments),
        #[cfg(feature = "live")]
        Command::Interfaces => live::interfaces(),
    }
}

impl Command {
    /// Whether it shows nothing that could be masked, or can mask it.
    fn masks(&self) -> bool {
        !matches!(self, Self::Check(_) | Self::Diff(_))
    }
}

/// Why a command is refused where the user has configured that everything be masked.
const CANNOT_MASK: &str = "mask = true is configured, and this command cannot hide anything; \
                           --no-config leaves the configuration out";

/// What the user has configured, unless `--no-config` is among the words, which loses it.
fn configured(words: &mut Vec<OsString>) -> Result<Config, String> {
    let options = words.iter().take_while(|word| *word != "--");
    match options.into_iter().position(|word| word == "--no-config") {
        Some(place) => {
            words.remove(place);
            Ok(Config::default())
        }
        None => config::load(),
    }
}

/// Help and version are answers, everything else is a mistake.
fn told(error: &clap::Error) -> Exit {
    let text = error.render().to_string();
    if text.chars().any(|sign| sign != '\n' && acts(sign)) {
        // Quotes what was typed.
        let _ = io::stderr().write_all(printable_lines(&text).as_bytes());
    } else {
        let _ = error.print();
    }
    if error.use_stderr() { Exit::Usage } else { Exit::Done }
}

/// The command, and how the dashboard behaves where one was asked for.
fn parse(
    config: &Config,
    words: Vec<OsString>,
) -> Result<(Command, Option<ScreenArgs>), clap::Error> {
    let cli: Cli = config.parse(words)?;
    let named = cli.command.is_some();
    let plain = cli.report.wants_paper() || cli.screen.no_tui;
    let mask = cli.screen.mask;
    let screen = (!named && !plain).then_some(cli.screen);
    let bare = || Command::Report(Box::new(PaperArgs::bare(cli.report, mask)));
    let command = cli.command.unwrap_or_else(bare);
    let input = match &command {
        Command::Report(arguments) => &arguments.report.input,
        Command::Frames(arguments) => &arguments.input,
        Command::Check(arguments) => &arguments.input,
        _ => return Ok((command, None)),
    };
    if input.files.is_empty() && input.read.is_empty() {
        let text = "which capture? Name a pcap or pcapng file, or - for standard input";
        return Err(Cli::command().error(ErrorKind::MissingRequiredArgument, text));
    }
    let files = input.files.len().saturating_add(input.read.len());
    if let Some((number, _)) = input.clock_offset.iter().find(|(of, _)| *of > files) {
        let given = crate::vocab::text::count(files, "FILE");
        let text = format!("--clock-offset {number}=…: {given} given, counted from 1");
        return Err(Cli::command().error(ErrorKind::ValueValidation, text));
    }
    if let Some(word) = input.files.first().filter(|word| !named && value::is_no_file(word)) {
        let text = format!("there is neither a command nor a file '{}'", word.display());
        return Err(Cli::command().error(ErrorKind::InvalidSubcommand, text));
    }
    Ok((command, screen))
}

/// Of several inputs, those that cannot be read are told and left out: the others are reported.
/// Gives whether there were any. A single one is left to fail by itself.
fn drop_unreadable(inputs: &mut Inputs, runner: &impl Runner) -> bool {
    if inputs.files.len() < 2 {
        return false;
    }
    let mut readable = Vec::with_capacity(inputs.files.len());
    let mut errors = Vec::new();
    for (file, clock) in inputs.files.iter().zip(&inputs.clocks) {
        match runner.probe(file) {
            Ok(()) => readable.push((file.clone(), *clock)),
            Err(error) => errors.push(error),
        }
    }
    let some = !readable.is_empty() && !errors.is_empty();
    if some {
        for error in &errors {
            complain(Exit::Input, error);
        }
        (inputs.files, inputs.clocks) = readable.into_iter().unzip();
    }
    some
}

/// What can be shown on standard output, or in a file.
fn style(standard: bool, ascii: bool) -> Style {
    let terminal = standard && io::stdout().is_terminal();
    let width = terminal.then(terminal_size::terminal_size).flatten();
    let width = width.map_or(Style::default().width, |(width, _)| usize::from(width.0));
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    Style { colour: terminal && !plain && !dumb, ascii, width }
}

fn explained(arguments: &ExplainArgs, runner: &impl Runner) -> Exit {
    match runner.explain(&arguments.topic.join(" ")) {
        Ok(page) => finish(
            Output::Standard.write(|out| explain::write(out, &page, style(true, arguments.ascii))),
        ),
        Err(error) => complain(Exit::Usage, &printable(&error)),
    }
}

fn frames(arguments: &FramesArgs, runner: &impl Runner) -> Exit {
    let inputs = inputs(&arguments.input);
    let format = match arguments.format {
        FrameLines::Text => FramesFormat::Text,
        FrameLines::Jsonl => FramesFormat::Jsonl,
    };
    let out = io::BufWriter::with_capacity(BUFFER, io::stdout().lock());
    let several = inputs.files.len() > 1;
    let mut writer = FrameWriter::new(out, format, arguments.headers, several);
    writer.mask(arguments.mask);
    match runner.frames(&inputs, &mut writer) {
        Ok(listed) => {
            warn(&listed.captures);
            for line in words::listed(&listed, several) {
                let _ = writeln!(io::stderr(), "goawhy: {line}");
            }
            finish(writer.finish().map(drop))
        }
        Err(FramesError::Input(error)) => complain(runner.exit(&error), &error),
        Err(FramesError::Output(error)) => finish(Err(error)),
    }
}

/// What to read.
fn inputs(arguments: &InputArgs) -> Inputs {
    let environment = std::env::var_os("SSLKEYLOGFILE").filter(|name| !name.is_empty());
    let files: Vec<PathBuf> = arguments.read.iter().chain(&arguments.files).cloned().collect();
    let clock = |at: usize| {
        let told = arguments.clock_offset.iter().rev().find(|(number, _)| *number == at + 1);
        told.map_or(0, |(_, nanoseconds)| *nanoseconds)
    };
    Inputs {
        clocks: (0..files.len()).map(clock).collect(),
        clocks_told: !arguments.clock_offset.is_empty(),
        files,
        keylogs: arguments.keylog.clone(),
        keylog_of_environment: environment.map(PathBuf::from),
        #[cfg(feature = "live")]
        filter: arguments.filter.clone(),
        streams: false,
        meters: false,
        without_fingerprints: Vec::new(),
        threads: None,
        only: arguments.only.clone(),
        measured: None,
    }
}

/// `2=-0.35`: capture number, from 1, and seconds as nanoseconds.
fn clock_offset(text: &str) -> Result<(usize, i64), String> {
    let wrong = || "write the FILE's number and seconds, as in 2=-0.350".to_owned();
    let (number, seconds) = text.split_once('=').ok_or_else(wrong)?;
    let number = number.parse().ok().filter(|number| *number > 0).ok_or_else(wrong)?;
    let seconds: f64 = seconds.trim_end_matches('s').parse().map_err(|_| wrong())?;
    let fits = seconds.abs() <= 1e9;
    fits.then(|| (number, (seconds * 1e9).round() as i64)).ok_or_else(wrong)
}

/// One line for each capture that could not be read to its end.
fn warn(captures: &[CaptureFacts]) {
    for facts in captures {
        if let Some(damage) = &facts.damage {
            let (file, packet, what) = (printable(&facts.file), damage.packet, &damage.what);
            let _ = writeln!(
                io::stderr(),
                "goawhy: {file}: damaged at packet {packet}: {what}; what came before is reported"
            );
        }
    }
}

/// Names of files and what was typed may hold anything.
fn complain(exit: Exit, error: &dyn Display) -> Exit {
    let _ = writeln!(io::stderr(), "goawhy: {}", printable(&error.to_string()));
    exit
}

/// A reader that went away (`| head`) is content with what it got.
fn finish(written: io::Result<()>) -> Exit {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(Exit::Usage, &format!("the output cannot be written: {error}"))
        }
        Ok(()) | Err(_) => Exit::Done,
    }
}

const BUFFER: usize = 64 * 1024;

const EXAMPLES: &str = "\
Examples:
  goawhy trace.pcap                           why each connection went away: a dashboard
  goawhy report trace.pcap                    the same as text (also: goawhy trace.pcap | less)
  goawhy report trace.pcap --connection 3     one connection, in full
  goawhy report trace.pcap --stream 17        the story of one stream
  goawhy report --format json trace.pcap      the same for programs
  goawhy frames --headers trace.pcap          every frame with its header fields
  goawhy frames -Y 'stream:17' trace.pcap     only some frames (goawhy --help has the fields)
  goawhy check trace.pcap                     for CI: exit status 1 where somebody has to act
  goawhy diff before.pcap after.pcap          what is gone, what is new
  goawhy explain 'GOAWAY error code = 1'      what an error line means
  tcpdump -U -w - tcp port 8080 | goawhy -    a capture from a pipe
  sudo goawhy -i eth0                         what happens on an interface

What is always wanted stands in $XDG_CONFIG_HOME/goawhy/config.toml (~/.config): keylog, interface,
threads, memory, time, color, ascii, mask, no-tui, no-mouse, no-process; flags win, --no-config
leaves it out.

Exit status: 0 done, 1 a check failed, 2 wrong usage, 3 an input could not be read,
130 interrupted";

/// Examples, and the language of filters.
fn long_help() -> String {
    format!("{EXAMPLES}\n\nFilters (-Y):\n{}", filter::help())
}

#[cfg(test)]
mod tests;
