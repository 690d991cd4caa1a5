//! `goawhy live` and `goawhy interfaces`.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, ValueEnum, value_parser};

use super::output::{are_one, followed, is_standard, refuse_inputs};
use super::screen::{Look, ScreenArgs};
use super::value::{pointed, time};
use super::{Cli, Colour, Command, Config, Exit, Runner, Times, complain, style, told};
use crate::board::filter::Filter;
use crate::error::Error;
#[cfg(target_os = "linux")]
use crate::run::live::Wish;
use crate::run::live::{
    self, Alarm, Alarms, Commands, Ended, Format, Interface, Job, Listener, Options, Outputs,
    Target,
};
use crate::run::own;
use crate::vocab::limits::Limits;
use crate::vocab::text::{cut_short, printable};

/// What is captured, and how.
#[derive(Debug, Args)]
struct CaptureArgs {
    /// Interface to capture on; several may be given, any is all of them
    #[arg(short = 'i', long = "interface", value_name = "IFACE")]
    interfaces: Vec<String>,
    /// Only packets that pass this filter (pcap-filter(7)), as in 'tcp port 8080'
    #[arg(short = 'f', value_name = "BPF")]
    filter: Option<String>,
    /// Only connections that pass this filter, as in 'cause:idle_timeout age>4s' (fields:
    /// goawhy --help)
    #[arg(short = 'Y', long = "only", value_name = "FILTER", value_parser = super::filter)]
    only: Option<Filter>,
    /// Save packets too, as pcapng
    #[arg(short = 'w', long = "write", value_name = "FILE")]
    write: Option<PathBuf>,
    /// Begin another file after so many million octets, as tcpdump does
    #[arg(short = 'C', long, value_name = "MB", requires = "write")]
    #[arg(value_parser = value_parser!(u64).range(1..))]
    rotate_size: Option<u64>,
    /// Begin another file after so many seconds
    #[arg(short = 'G', long, value_name = "SECONDS", requires = "write")]
    #[arg(value_parser = value_parser!(u64).range(1..))]
    rotate_time: Option<u64>,
    /// Have N files take turns (with -C or -G); the oldest is written over
    #[arg(short = 'W', long, value_name = "N", requires = "write")]
    #[arg(value_parser = value_parser!(u32).range(1..))]
    rotate_files: Option<u32>,
    /// Save TLS secrets with the packets: who has the file can read everything
    #[arg(long, requires = "write")]
    embed_keys: bool,
    /// End after so many packets
    #[arg(short = 'c', value_name = "COUNT")]
    count: Option<u64>,
    /// End after this time, as in 90s, 15m or 2h
    #[arg(long, value_name = "TIME", value_parser = time)]
    duration: Option<Duration>,
    /// The kernel's buffer for each interface
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "64MB")]
    buffer_size: u64,
    /// Octets captured of each packet; 0 is all
    #[arg(short = 's', long, value_name = "OCTETS", default_value_t = 0)]
    snaplen: u32,
    /// Packets for other hosts too
    #[arg(long)]
    promiscuous: bool,
    /// What the program may take, about; the quietest connections are forgotten first
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = MEMORY)]
    memory: u64,
    /// TLS secrets in the format of SSLKEYLOGFILE; that variable is heeded too
    #[arg(long, value_name = "FILE")]
    keylog: Vec<PathBuf>,
    /// Do not look for the local programs at the ends of connections
    #[arg(long)]
    no_process: bool,
    /// Stay root with every capability
    #[arg(long)]
    no_drop: bool,
    /// Do without Landlock
    #[arg(long)]
    no_sandbox: bool,
    /// Draw with ASCII characters only
    #[arg(long)]
    ascii: bool,
    /// Tell what is given up and what is excluded
    #[arg(short = 'v', long)]
    verbose: bool,
}

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct LiveArgs {
    /// - reads a capture that arrives on standard input
    #[arg(value_name = "-", value_parser = pipe)]
    input: Option<String>,
    #[command(flatten)]
    capture: CaptureArgs,
    /// How to write what happens
    #[arg(long, value_enum, default_value_t = LiveFormat::Text)]
    format: LiveFormat,
    /// Hide authorities, paths and debug data in lines and alarms (addresses stay; packets that are
    /// saved have all)
    #[arg(long)]
    mask: bool,
    /// Append lines to this file instead of writing to standard output
    #[arg(short = 'o', long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// Serve metrics for Prometheus at http://ADDR/metrics, as in 127.0.0.1:9464; whoever reaches
    /// the address can read them
    #[arg(long, value_name = "ADDR", value_parser = listens)]
    metrics: Option<SocketAddr>,
    /// Send the same metrics to a collector of OpenTelemetry every 15 s, as in http://127.0.0.1:4318
    #[cfg(feature = "otlp")]
    #[arg(long, value_name = "URL")]
    otlp: Option<live::Collector>,
    /// Raise an alarm where more passes a filter than a rate allows, as in
    /// 'cause:client_request_timeout rate>5/m' (s, m or h; without a rate each one)
    #[arg(long = "alert", value_name = "ALARM", value_parser = alarm)]
    alerts: Vec<Alarm>,
    /// Start this with /bin/sh for each alarm, which comes as JSON on its standard input
    #[arg(long, value_name = "CMD", requires = "alerts")]
    exec: Option<String>,
    /// The same alarm at most once in this time
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "5m")]
    alert_every: Duration,
}

/// Says why HTTP/2 connections go away, while they do: a dashboard where standard output is a
/// terminal, else what goawhy live tells.
#[derive(Debug, Parser)]
#[command(name = "goawhy", override_usage = "goawhy -i <IFACE> [OPTIONS]")]
pub(super) struct WatchArgs {
    #[command(flatten)]
    capture: CaptureArgs,
    /// How to show times
    #[arg(long, value_enum, default_value_t = Times::Relative)]
    time: Times,
    /// When to use colours; NO_COLOR is heeded
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Colour::Auto)]
    color: Colour,
    #[command(flatten)]
    screen: ScreenArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LiveFormat {
    /// For people
    Text,
    /// One object a line for programs
    Jsonl,
}

fn pipe(text: &str) -> Result<String, String> {
    match text {
        "-" => Ok(text.to_owned()),
        _ => Err("live captures on interfaces (-i) or from a pipe (-)".to_owned()),
    }
}

/// Where metrics are served. Names may be those of several addresses: none is looked up.
fn listens(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let port = text.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        let port = port.or_else(|| text.parse().ok()).unwrap_or(9464);
        format!("write an address of this host and a port, as in 127.0.0.1:{port} or [::]:{port}")
    })
}

/// `64MB`, `1G`, `1500000`: units are powers of 1,024.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..).unwrap_or_default().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return Err("a size is a number with k, MB or GB behind it".to_owned()),
    };
    let number: u64 = digits.parse().map_err(|_| "a size is a number, as in 64MB".to_owned())?;
    number.checked_mul(unit).ok_or_else(|| "too large".to_owned())
}

/// Whether the words ask for a capture on an interface without naming a command.
pub(super) fn is_bare(words: &[OsString]) -> bool {
    let commands: Vec<String> =
        Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let mut words = words.iter().skip(1).map(|word| word.to_string_lossy());
    words
        .by_ref()
        .take_while(|word| word != "--" && !commands.iter().any(|command| command == word))
        .any(|word| word.starts_with("-i") || word.starts_with("--interface"))
}

impl LiveArgs {
    /// The file that lines go to; else standard output.
    fn output(&self) -> Option<&PathBuf> {
        self.output.as_ref().filter(|path| !is_standard(path))
    }

    /// Lines of text on standard output.
    fn of(capture: CaptureArgs, mask: bool) -> Self {
        Self {
            input: None,
            capture,
            format: LiveFormat::Text,
            mask,
            output: None,
            metrics: None,
            #[cfg(feature = "otlp")]
            otlp: None,
            alerts: Vec::new(),
            exec: None,
            alert_every: Duration::ZERO,
        }
    }
}

fn alarm(text: &str) -> Result<Alarm, String> {
    Alarm::new(text).map_err(|fault| pointed(text, &fault))
}

/// Captures until something ends it.
pub(super) fn live(arguments: &LiveArgs) -> Exit {
    let output = arguments.output();
    let mut job = match job(arguments) {
        Ok(job) => job,
        Err(text) => return complain(Exit::Usage, &text),
    };
    let verbose = arguments.capture.verbose;
    leave_out_own(&mut job, verbose);
    job.meters = arguments.metrics.is_some();
    #[cfg(feature = "otlp")]
    if let Some(collector) = &arguments.otlp {
        (job.meters, job.connects) = (true, Some(collector.port()));
    }
    let metrics = match arguments.metrics.map(Listener::bind).transpose() {
        Ok(metrics) => metrics,
        Err(error) => return complain(Exit::Usage, &error),
    };
    if let Some(metrics) = metrics.as_ref().filter(|_| !is_pipe(&job)) {
        leave_out(&mut job, metrics.left_out());
    }
    let format = match arguments.format {
        LiveFormat::Text => Format::Text(style(output.is_none(), arguments.capture.ascii)),
        LiveFormat::Jsonl => Format::Jsonl,
    };
    let mut heard = |text: &str, important: bool| {
        if important || verbose {
            notice(text);
        }
    };
    if let Some(metrics) = &metrics {
        heard(&format!("metrics at http://{}/metrics", metrics.address), true);
    }
    let alarms = Alarms::new(arguments.alerts.clone(), arguments.alert_every);
    let outputs = Outputs {
        format,
        file: output.cloned(),
        metrics,
        #[cfg(feature = "otlp")]
        collector: arguments.otlp.clone(),
        alarms,
        mask: arguments.mask,
    };
    match live::run(&job, outputs, &mut heard) {
        Ok(Ended::InOrder) => Exit::Done,
        Ok(Ended::OutputClosed) => {
            complain(Exit::Done, &"the reader of the output went away; this ends here")
        }
        Ok(Ended::OutputFailed(what)) => {
            complain(Exit::Usage, &format!("the output cannot be written: {what}"))
        }
        Ok(Ended::Unsaved(what)) => complain(Exit::Usage, &what),
        // A pipe that breaks off is a damaged capture: what came was judged.
        Ok(Ended::InputFailed(_)) if arguments.input.is_some() => Exit::Done,
        // It was told when it happened.
        Ok(Ended::InputFailed(_)) => Exit::Input,
        Ok(Ended::Interrupted) => Exit::Interrupted,
        Err(error) => complain(exit(&error), &error),
    }
}

/// Captures into a dashboard, or as `goawhy live` does where there is no terminal for one.
pub(super) fn watch(arguments: WatchArgs, runner: &impl Runner) -> Exit {
    let WatchArgs { capture, time, color, screen } = arguments;
    if screen.no_tui || !io::stdout().is_terminal() {
        return live(&LiveArgs::of(capture, screen.mask));
    }
    let look = screen.look(color, capture.ascii, time.into());
    let verbose = capture.verbose;
    let arguments = LiveArgs::of(capture, screen.mask);
    match job(&arguments) {
        Ok(mut job) => {
            leave_out_own(&mut job, verbose);
            shown(job, look, verbose, runner)
        }
        Err(text) => complain(Exit::Usage, &text),
    }
}

/// A capture that arrives on standard input, in a dashboard: as `goawhy live -` has it by default,
/// or as it is configured, so that is asked for.
pub(super) fn watch_pipe(
    config: &Config,
    keylogs: &[PathBuf],
    only: Option<Filter>,
    look: Look,
    runner: &impl Runner,
) -> Exit {
    let arguments = match of_pipe(config, keylogs) {
        Ok(arguments) => arguments,
        Err(error) => return told(&error),
    };
    match job(&arguments) {
        Ok(job) => shown(Job { only, ..job }, look, false, runner),
        Err(text) => complain(Exit::Usage, &text),
    }
}

/// `live -` as it is configured.
fn of_pipe(config: &Config, keylogs: &[PathBuf]) -> Result<LiveArgs, clap::Error> {
    let words = ["goawhy", "live", "-"].map(OsString::from).into_iter();
    let words = words.chain(keylogs.iter().flat_map(|log| ["--keylog".into(), log.into()]));
    match config.parse::<Cli>(words.collect())?.command {
        Some(Command::Live(arguments)) => Ok(*arguments),
        _ => Err(Cli::command().error(ErrorKind::InvalidValue, "standard input cannot be watched")),
    }
}

fn shown(mut job: Job, look: Look, verbose: bool, runner: &impl Runner) -> Exit {
    job.details = true;
    let mut heard = |text: &str, important: bool| {
        if important || verbose {
            notice(text);
        }
    };
    match runner.dashboard_live(&job, look, &mut heard) {
        Ok(exit) => exit,
        Err(error) => complain(runner.exit(&error), &error),
    }
}

fn notice(text: &str) {
    let _ = writeln!(io::stderr(), "goawhy: {}", printable(text));
}

/// Whoever looks at this over a network would have it capture what it writes to him.
fn leave_out_own(job: &mut Job, verbose: bool) {
    if is_pipe(job) {
        return;
    }
    for own in own::connections() {
        if verbose {
            notice(&format!("left out of the capture: {own}, known by {}", own.by));
        }
        leave_out(job, own.left_out());
        job.left_out.push(own);
    }
}

fn leave_out(job: &mut Job, text: String) {
    job.options.filter = Some(match &job.options.filter {
        Some(filter) => format!("({filter}) and {text}"),
        None => text,
    });
}

fn is_pipe(job: &Job) -> bool {
    job.interfaces.iter().all(|name| name == "-")
}

fn exit(error: &Error) -> Exit {
    if matches!(error, Error::Filter { .. }) { Exit::Usage } else { Exit::Input }
}

fn job(arguments: &LiveArgs) -> Result<Job, String> {
    let capture = &arguments.capture;
    let mut interfaces = capture.interfaces.clone();
    match (&arguments.input, interfaces.is_empty()) {
        (Some(_), false) => return Err("either interfaces or a pipe, not both".to_owned()),
        (Some(pipe), true) => interfaces.push(pipe.clone()),
        (None, true) => {
            return Err("which interface? -i IFACE; `goawhy interfaces` lists them".to_owned());
        }
        (None, false) => {}
    }
    if arguments.input.is_some() && capture.write.is_some() {
        return Err("what comes in a pipe is saved by tee: ... | tee FILE | goawhy live -".into());
    }
    if arguments.input.is_some() && capture.filter.is_some() {
        return Err(FILTER_OF_PIPE.into());
    }
    if capture.write.as_deref().is_some_and(is_standard) {
        return Err("-w saves packets in a file; lines go to standard output".into());
    }
    let rotates = capture.rotate_size.is_some() || capture.rotate_time.is_some();
    if capture.rotate_files.is_some() && !rotates {
        return Err("-W is how many files take turns: say with -C or -G when".into());
    }
    let save = capture.write.clone().map(|file| Target {
        file,
        size: capture.rotate_size.map(|millions| millions.saturating_mul(1_000_000)),
        time: capture.rotate_time.map(Duration::from_secs),
        files: capture.rotate_files,
        keys: capture.embed_keys,
    });
    let environment = std::env::var_os("SSLKEYLOGFILE").filter(|name| !name.is_empty());
    let keylog_of_environment = environment.map(PathBuf::from);
    let keylogs = capture.keylog.iter().chain(&keylog_of_environment);
    let mut read: Vec<PathBuf> = keylogs.cloned().collect();
    read.extend(arguments.input.iter().map(PathBuf::from));
    check_outputs(arguments.output(), save.as_ref(), &read)?;
    Ok(Job {
        interfaces,
        options: Options {
            filter: capture.filter.clone(),
            buffer: u32::try_from(capture.buffer_size).unwrap_or(u32::MAX),
            snap_length: capture.snaplen,
            promiscuous: capture.promiscuous,
        },
        left_out: Vec::new(),
        save,
        count: capture.count,
        duration: capture.duration,
        memory: capture.memory,
        only: capture.only.clone(),
        // A filter of streams asks packets that have passed.
        details: capture.only.as_ref().is_some_and(Filter::wants_streams),
        meters: false,
        processes: !capture.no_process,
        #[cfg(target_os = "linux")]
        wish: Wish { drop_user: !capture.no_drop, sandbox: !capture.no_sandbox },
        keylogs: capture.keylog.clone(),
        keylog_of_environment,
        outputs: arguments.output().cloned().into_iter().collect(),
        commands: arguments.exec.clone().map(|line| Arc::new(Commands::new(line))),
        connects: None,
        limits: Limits::default().in_memory(usize::try_from(capture.memory).unwrap_or(usize::MAX)),
    })
}

/// Outputs are neither inputs nor one file.
fn check_outputs(
    lines: Option<&PathBuf>,
    save: Option<&Target>,
    read: &[PathBuf],
) -> Result<(), String> {
    if let Some(lines) = lines {
        refuse_inputs(lines, read)?;
    }
    let Some(save) = save else { return Ok(()) };
    refuse_inputs(&save.file, read)?;
    if let Some(input) = read.iter().find(|input| save.takes_turn_with(&followed(input))) {
        let what = "is an input, and would be written over when its turn comes";
        return Err(format!("{}: {what}; choose another name for -w", input.display()));
    }
    let is_both =
        |lines: &&PathBuf| are_one(lines, &save.file) || save.takes_turn_with(&followed(lines));
    match lines.filter(is_both) {
        Some(lines) => {
            Err(format!("{}: -w and -o cannot both write it; choose two names", lines.display()))
        }
        None => Ok(()),
    }
}

/// Lists what can be captured, and says what is missing.
pub(super) fn interfaces() -> Exit {
    let found = match live::interfaces() {
        Ok(found) => found,
        Err(error) => return complain(Exit::Input, &error),
    };
    let mut out = io::stdout().lock();
    let mut refused: Vec<&str> = Vec::new();
    let mut any = false;
    let longest = found.iter().map(|interface| interface.name.len()).max().unwrap_or(0);
    for interface in &found {
        let state = match live::probe(&interface.name) {
            Ok(()) => {
                any = true;
                "can be captured".to_owned()
            }
            Err(Error::Privilege { .. }) => {
                refused.push(&interface.name);
                "you may not".to_owned()
            }
            Err(_) if !interface.up => "is down".to_owned(),
            // Its name is there already.
            Err(Error::Interface { what, .. }) => what,
            Err(error) => error.to_string(),
        };
        // A reader that went away is content with what it got.
        if writeln!(out, "{}", line(interface, &state, longest)).is_err() {
            return Exit::Done;
        }
    }
    if found.is_empty() {
        return complain(Exit::Input, &"libpcap finds no interface here");
    }
    if !refused.is_empty() {
        let name = cut_short(refused.iter().map(|name| printable(name)), REFUSED_NAMED);
        let status = if any { Exit::Done } else { Exit::Input };
        return complain(status, &Error::Privilege { name });
    }
    Exit::Done
}

/// Interfaces that are named where they may not be captured.
const REFUSED_NAMED: usize = 8;

fn line(interface: &Interface, state: &str, longest: usize) -> String {
    let mut facts = Vec::new();
    facts.extend(interface.addresses.iter().take(3).map(ToString::to_string));
    facts.extend(interface.description.clone());
    let name = printable(&interface.name);
    format!("{name:<longest$}  {state:<15}  {}", printable(&facts.join(", "))).trim_end().to_owned()
}

/// Why `-f` is refused for a pipe.
pub(super) const FILTER_OF_PIPE: &str =
    "filter where the capture is made: tcpdump -U -w - FILTER | ...";

/// What the program may take if nothing is said.
const MEMORY: &str = "512MB";

const EXAMPLES: &str = "\
Examples:
  goawhy live -i eth0 -f 'tcp port 8080'            verdicts as they fall
  goawhy live -i any --format jsonl -o verdicts     for programs, appended to a file
  goawhy live -i eth0 -w ring.pcapng -C 100 -W 5    packets too, in a ring of five files
  ssh host tcpdump -U -w - | goawhy live -          a capture made elsewhere
  goawhy live -i eth0 --metrics 127.0.0.1:9464      for Prometheus; rules are in ops/prometheus
  goawhy live -i eth0 --alert 'cause:client_request_timeout rate>5/m' --exec /usr/local/bin/page

SIGINT and SIGTERM end with a summary, SIGHUP opens outputs anew. Exit status: 0 ended in order,
2 wrong usage or something could not be written, 3 nothing can be captured or an interface went
away, 130 interrupted twice";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!(size("64MB"), Ok(64 << 20));
        assert_eq!(size("1g"), Ok(1 << 30));
        assert_eq!(size("12"), Ok(12));
        assert!(size("many").is_err() && size("5 parsecs").is_err());
    }

    #[test]
    fn a_pipe_in_the_dashboard_is_watched_as_it_is_configured() {
        let of = |text: &str| of_pipe(&toml::from_str(text).unwrap(), &["k".into()]);
        let job = |text: &str| super::job(&of(text).unwrap()).unwrap();
        let configured = job("memory = \"96MB\"\nno-process = true\ninterface = \"eth0\"\n");
        assert_eq!((configured.memory, configured.processes), (96 << 20, false));
        assert_eq!(configured.interfaces, ["-"], "a pipe is no interface");
        assert_eq!(configured.keylogs, [PathBuf::from("k")]);
        assert!(job("").processes && job("").memory > 96 << 20);
        assert!(of("memory = \"much\"").is_err());
    }
}
