//! `goawhy report`: what was asked for, and in which form.

use std::io::{self, Write};
use std::mem;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::output::{Output, are_one};
use super::{
    Colour, Exit, FramesError, InputArgs, Inputs, Runner, Times, complain, drop_unreadable, finish,
    inputs, style, value, warn,
};
use crate::board::Board;
use crate::board::filter::Filter;
use crate::board::what_if::{self, Wish};
use crate::report::{Passing, Pick, TimeStyle, har, html, json, notes, table, text};
use crate::run::offline::is_read_once;
#[cfg(feature = "otlp")]
use crate::run::otlp::Collector;
use crate::vocab::text::count;

#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    #[command(flatten)]
    pub(super) input: InputArgs,
    /// How to write the report
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    format: ReportFormat,
    /// Every stream of each connection too
    #[arg(long)]
    streams: bool,
    /// Threads to work with; as many as help if not given. The report is the same with any number
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Write to this file instead of standard output
    #[arg(short = 'o', long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// Only the connection with this number, as the report counts them
    #[arg(long, value_name = "N", value_parser = value::number)]
    connection: Option<NonZeroUsize>,
    /// Only this stream, with its story
    #[arg(long, value_name = "N")]
    stream: Option<u32>,
    /// How to show times
    #[arg(long, value_enum, default_value_t = Times::Relative)]
    time: Times,
    /// Draw with ASCII characters only
    #[arg(long)]
    pub(super) ascii: bool,
    /// What another timeout would have changed, as in client_request_timeout=12s; also
    /// idle_timeout, keepalive_ping_timeout, keepalive_interval
    #[arg(long, value_name = "TIMER=TIME", value_parser = value::wish)]
    #[arg(conflicts_with_all = ["connection", "stream", "only"])]
    what_if: Vec<Wish>,
    /// Leave what is known of an implementation's texts out ('all': of every one)
    #[arg(long, value_name = "IMPLEMENTATION", hide = true)]
    without_fingerprints: Vec<String>,
    /// When to use colours; NO_COLOR is heeded
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Colour::Auto)]
    pub(super) color: Colour,
}

/// The report on paper.
#[derive(Debug, Args)]
pub(super) struct PaperArgs {
    #[command(flatten)]
    pub(super) report: ReportArgs,
    /// Also write a copy of the captures as pcapng, with the verdicts, the steps to them and broken
    /// rules as comments on their packets (Wireshark shows them)
    #[arg(long, value_name = "OUT")]
    annotate: Option<PathBuf>,
    /// Also send a span for each stream to a collector of OpenTelemetry, as in
    /// http://127.0.0.1:4318; requests with traceparent join their traces
    #[cfg(feature = "otlp")]
    #[arg(long, value_name = "URL")]
    otlp: Option<Collector>,
    /// Hide authorities, paths, header values and debug data (addresses stay)
    #[arg(long)]
    pub(super) mask: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// For people
    Text,
    /// One object for programs (goawhy schema)
    Json,
    /// The same, an object a line
    Jsonl,
    /// One page for a ticket or a mail: no script, no network
    Html,
    /// Streams, a row each
    Csv,
    /// Requests as an HTTP Archive, without bodies and cookies
    Har,
}

impl ReportFormat {
    /// Whether it is about streams, asked for or not.
    fn is_of_streams(self) -> bool {
        matches!(self, Self::Csv | Self::Har)
    }
}

impl PaperArgs {
    /// Whether a collector gets the streams.
    fn sends_spans(&self) -> bool {
        #[cfg(feature = "otlp")]
        return self.otlp.is_some();
        #[cfg(not(feature = "otlp"))]
        false
    }

    /// Nothing but the report.
    pub(super) fn bare(report: ReportArgs, mask: bool) -> Self {
        Self {
            report,
            annotate: None,
            #[cfg(feature = "otlp")]
            otlp: None,
            mask,
        }
    }
}

impl ReportArgs {
    /// Whether something was asked for that only paper has.
    pub(super) fn wants_paper(&self) -> bool {
        let picked = self.connection.is_some() || self.stream.is_some() || self.streams;
        picked
            || !self.what_if.is_empty()
            || self.output.is_some()
            || self.format != ReportFormat::Text
    }
}

pub(super) fn report(paper: &PaperArgs, runner: &impl Runner) -> Exit {
    let arguments = &paper.report;
    let mut inputs = inputs(&arguments.input);
    inputs.without_fingerprints.clone_from(&arguments.without_fingerprints);
    let asks = inputs.only.as_ref().is_some_and(Filter::wants_streams);
    let of_streams = arguments.format.is_of_streams() || paper.sends_spans();
    inputs.streams = arguments.streams || arguments.stream.is_some() || asks || of_streams;
    inputs.meters = !arguments.what_if.is_empty();
    inputs.threads = arguments.threads;
    let (output, copy) = match outputs(paper, &inputs) {
        Ok(opened) => opened,
        Err(error) => return complain(Exit::Usage, &error),
    };
    let unreadable = drop_unreadable(&mut inputs, runner);
    let mut board = match read(arguments.format, &mut inputs, runner) {
        Ok(board) => board,
        Err(error) => return complain(runner.exit(&error), &error),
    };
    warn(&board.captures);
    board.what_if = arguments.what_if.iter().map(|wish| what_if::suppose(&board, *wish)).collect();
    let connection = arguments.connection.map(NonZeroUsize::get);
    // One for the life of the program. What a filter asks for may be hidden afterwards.
    let passing = inputs.only.take().map(|filter| Passing::of(&board, filter));
    let passing = passing.map(|passing| &*Box::leak(Box::new(passing)));
    let pick = Pick { connection, stream: arguments.stream, passing };
    if paper.mask {
        board.mask();
    }
    if let Some(miss) = pick.miss(&board) {
        return complain(Exit::Usage, &miss);
    }
    // The report first: whatever becomes of the rest, it is there.
    let mut exit = finish(output.write(|out| write(out, &board, arguments, pick)));
    if let Some(copy) = copy {
        exit = first_wrong(exit, annotate(copy, &inputs, &board, pick, runner));
    }
    if of_streams {
        dark(&board, pick);
    }
    #[cfg(feature = "otlp")]
    if let Some(Err(what)) = paper.otlp.as_ref().map(|to| to.send_spans(&board, pick)) {
        exit = first_wrong(exit, complain(Exit::Usage, &what));
    }
    // The program is over: nobody needs the memory of all the rows once more.
    mem::forget(board);
    if exit == Exit::Done && unreadable { Exit::Input } else { exit }
}

/// Says why streams are missing that nobody can list.
fn dark(board: &Board, pick: Pick) {
    let dark = pick.rows(board).filter(|(_, row)| row.is_dark()).count();
    if dark > 0 {
        let are = if dark == 1 { "is" } else { "are" };
        let dark = count(dark, "connection");
        let text = format!(
            "{dark} {are} TLS that was not decrypted: --keylog FILE opens them, \
                            without it none of their streams are listed"
        );
        complain(Exit::Done, &text);
    }
}

/// The first that went wrong.
fn first_wrong(one: Exit, other: Exit) -> Exit {
    if one == Exit::Done { other } else { one }
}

/// Where the report goes, and the copy of the captures; never over an input.
fn outputs(paper: &PaperArgs, inputs: &Inputs) -> Result<(Output, Option<Output>), String> {
    let read = inputs.read_files();
    let output = Output::open(paper.report.output.as_deref(), &read)?;
    let Some(path) = &paper.annotate else { return Ok((output, None)) };
    if inputs.files.iter().any(|file| is_read_once(file)) {
        return Err("--annotate reads the captures twice, and a pipe can be read once".to_owned());
    }
    if paper.mask {
        return Err(
            "--annotate copies packets as they are; --mask cannot hide what they hold".to_owned()
        );
    }
    let to_screen = path.as_os_str() == "-";
    if to_screen && paper.report.output.is_none() {
        return Err("--annotate and the report cannot both go to standard output".to_owned());
    }
    if paper.report.output.as_ref().is_some_and(|output| are_one(output, path)) {
        return Err(format!("{}: --annotate and -o cannot both write it", path.display()));
    }
    Ok((output, Some(Output::open(Some(path), &read)?)))
}

/// Reads the captures; for a page once more with their streams, where those are few enough to be
/// held in memory for a picture.
fn read<R: Runner>(
    format: ReportFormat,
    inputs: &mut Inputs,
    runner: &R,
) -> Result<Board, R::Error> {
    let board = runner.report(inputs)?;
    let again = format == ReportFormat::Html && !inputs.streams;
    let pipe = inputs.files.iter().any(|file| is_read_once(file));
    let opened = board.connections.iter().map(|row| row.streams.opened);
    if !again || pipe || opened.fold(0, u64::saturating_add) > STREAMS_DRAWN {
        return Ok(board);
    }
    inputs.streams = true;
    runner.report(inputs)
}

fn annotate(
    copy: Output,
    inputs: &Inputs,
    board: &Board,
    pick: Pick,
    runner: &impl Runner,
) -> Exit {
    let (notes, left_out) = notes::notes(board, pick);
    if left_out > 0 {
        let text = format!("goawhy: the copy leaves {left_out} comments out: there are too many");
        let _ = writeln!(io::stderr(), "{text}");
    }
    let mut unread = None;
    let written = copy.write(|out| match runner.annotate(inputs, &notes, out) {
        Ok(()) => Ok(()),
        Err(FramesError::Output(error)) => Err(error),
        Err(FramesError::Input(error)) => {
            unread = Some((runner.exit(&error), error.to_string()));
            Err(io::Error::other("the captures can no longer be read"))
        }
    });
    match unread {
        Some((exit, error)) => complain(exit, &error),
        None => finish(written),
    }
}

fn write(
    out: &mut impl Write,
    board: &Board,
    arguments: &ReportArgs,
    pick: Pick,
) -> io::Result<()> {
    let options = json::Options { streams: arguments.streams, pick };
    match arguments.format {
        ReportFormat::Text => text::write(out, board, &text_options(arguments, pick)),
        ReportFormat::Json => json::write(out, board, &options),
        ReportFormat::Jsonl => json::lines::write(out, board, &options),
        ReportFormat::Html => {
            html::write(out, board, &html::Options { time: arguments.time(), pick })
        }
        ReportFormat::Csv => table::write(out, board, pick),
        ReportFormat::Har => har::write(out, board, pick),
    }
}

impl ReportArgs {
    pub(super) fn time(&self) -> TimeStyle {
        self.time.into()
    }
}

fn text_options(arguments: &ReportArgs, pick: Pick) -> text::Options {
    let mut style = style(arguments.output.is_none(), arguments.ascii);
    match arguments.color {
        Colour::Auto => {}
        Colour::Always => style.colour = true,
        Colour::Never => style.colour = false,
    }
    let time = arguments.time();
    text::Options { style, time, streams: arguments.streams, pick }
}

/// Streams that a page may hold to draw some of them: about 100 MB.
const STREAMS_DRAWN: u64 = 50_000;
