//! `goawhy check` and `goawhy diff`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::output::Output;
use super::{Exit, Filter, InputArgs, Runner, complain, finish, inputs, saved, value};
use crate::board::check::{self, Rules};
use crate::board::diff;
use crate::report;
use crate::vocab::cause::Cause;

#[derive(Debug, Args)]
#[command(after_help = CHECK_HELP)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    pub(super) input: InputArgs,
    /// Causes that must not be found; without any: each for which client, server or network have
    /// to change something, and requests that a timeout ended
    #[arg(long, value_name = "CAUSE", value_delimiter = ',', value_parser = value::cause)]
    deny: Vec<Cause>,
    /// Causes that may be found: an ending passes if every link of its chain is among them
    #[arg(long, value_name = "CAUSE", value_delimiter = ',', value_parser = value::cause)]
    allow: Vec<Cause>,
    /// Only verdicts at least as sure count: 0 to 1, or certain, likely, possible
    #[arg(long, value_name = "N", default_value = "likely", value_parser = value::sureness)]
    min_confidence: f64,
    /// GOAWAYs of any code at most; one that repeats, completes or answers another is not counted
    #[arg(long, value_name = "N")]
    max_goaways: Option<u64>,
    /// GOAWAYs with an error code at most, counted in the same way
    #[arg(long, value_name = "N")]
    max_error_goaways: Option<u64>,
    /// Cancelled requests at most
    #[arg(long, value_name = "N")]
    max_cancelled: Option<u64>,
    /// Share of all requests that may be cancelled, as in 1%
    #[arg(long, value_name = "SHARE", value_parser = value::share)]
    max_cancelled_share: Option<f64>,
    /// Requests that may go away with their connection, whoever ended it
    #[arg(long, value_name = "N")]
    max_died: Option<u64>,
    /// Time within which every answer has to begin, as in 800ms; late answers count
    #[arg(long, value_name = "TIME", value_parser = value::seconds)]
    max_answer: Option<f64>,
    /// Time within which 99 of 100 answers of each server have to begin
    #[arg(long, value_name = "TIME", value_parser = value::seconds)]
    max_p99: Option<f64>,
    /// Share of the client's request timeout that answers may take, as in 80%
    #[arg(long, value_name = "SHARE", value_parser = value::ratio)]
    max_answer_share: Option<f64>,
    /// The client's request timeout, where it is known; else the measured one is used
    #[arg(long, value_name = "TIME", value_parser = value::timeout, requires = "max_answer_share")]
    client_timeout: Option<f64>,
    /// Share of the traffic that the capture may lack
    #[arg(long, value_name = "SHARE", value_parser = value::share, default_value = "5%")]
    max_loss: f64,
    /// Requests that must have been seen
    #[arg(long, value_name = "N", default_value_t = 1)]
    min_requests: u64,
    /// Fail on settings that do not fit together, too
    #[arg(long)]
    deny_conflicts: bool,
    /// How to write what was found
    #[arg(long, value_enum, default_value_t = CheckFormat::Text)]
    format: CheckFormat,
    /// Write to this file instead of standard output
    #[arg(short = 'o', long, value_name = "OUT")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CheckFormat {
    /// For people and logs
    Text,
    /// JUnit XML, for CI systems
    Junit,
    /// For pull requests
    Markdown,
    /// One object for programs
    Json,
}

#[derive(Debug, Args)]
#[command(after_help = DIFF_HELP)]
pub(super) struct DiffArgs {
    /// A capture, or a report saved with --format json
    #[arg(value_name = "BEFORE")]
    before: PathBuf,
    /// A capture or a saved report to compare with it
    #[arg(value_name = "AFTER")]
    after: PathBuf,
    /// Only packets that pass this filter (pcap-filter(7))
    #[cfg(feature = "live")]
    #[arg(short = 'f', value_name = "BPF")]
    filter: Option<String>,
    /// Only connections that pass this filter (fields: goawhy --help)
    #[arg(short = 'Y', long = "only", value_name = "FILTER", value_parser = super::filter)]
    only: Option<Filter>,
    /// TLS secrets in the format of SSLKEYLOGFILE; that variable is heeded too
    #[arg(long, value_name = "FILE")]
    keylog: Vec<PathBuf>,
    /// How to write what was found
    #[arg(long, value_enum, default_value_t = DiffFormat::Text)]
    format: DiffFormat,
    /// Write to this file instead of standard output
    #[arg(short = 'o', long, value_name = "OUT")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DiffFormat {
    /// For people
    Text,
    /// For pull requests
    Markdown,
    /// One object for programs
    Json,
}

impl DiffArgs {
    /// What is asked of some of the captures.
    fn of(&self, files: &[&PathBuf]) -> InputArgs {
        InputArgs {
            files: files.iter().copied().cloned().collect(),
            read: Vec::new(),
            #[cfg(feature = "live")]
            filter: self.filter.clone(),
            only: self.only.clone(),
            clock_offset: Vec::new(),
            keylog: self.keylog.clone(),
        }
    }
}

impl CheckArgs {
    fn rules(&self) -> Rules {
        Rules {
            deny: self.deny.clone(),
            allow: self.allow.clone(),
            min_confidence: self.min_confidence,
            max_goaways: self.max_goaways,
            max_error_goaways: self.max_error_goaways,
            max_cancelled: self.max_cancelled,
            max_cancelled_share: self.max_cancelled_share,
            max_died: self.max_died,
            max_answer: self.max_answer,
            max_p99: self.max_p99,
            max_answer_share: self.max_answer_share,
            client_timeout: self.client_timeout,
            max_loss: self.max_loss,
            min_requests: self.min_requests,
            deny_conflicts: self.deny_conflicts,
        }
    }
}

/// Checks captures against rules.
pub(super) fn check(arguments: &CheckArgs, runner: &impl Runner) -> Exit {
    if let Some(cause) = arguments.deny.iter().find(|cause| arguments.allow.contains(cause)) {
        return complain(Exit::Usage, &format!("{cause} is both denied and allowed"));
    }
    let mut inputs = inputs(&arguments.input);
    inputs.streams = inputs.only.as_ref().is_some_and(Filter::wants_streams);
    let output = match Output::open(arguments.output.as_deref(), &inputs.read_files()) {
        Ok(output) => output,
        Err(error) => return complain(Exit::Usage, &error),
    };
    let digest = match saved::digest(&inputs, runner) {
        Ok(digest) => digest,
        Err((exit, error)) => {
            if exit == Exit::Input && arguments.format == CheckFormat::Junit {
                // A CI system that finds no file takes the last one.
                let files: Vec<String> =
                    inputs.files.iter().map(|file| file.display().to_string()).collect();
                finish(output.write(|out| report::check::junit_error(out, &files, &error)));
            }
            return complain(exit, &error);
        }
    };
    let outcome = check::check(&digest, &arguments.rules());
    let done = finish(output.write(|out| match arguments.format {
        CheckFormat::Text => report::check::text(out, &outcome),
        CheckFormat::Junit => report::check::junit(out, &outcome),
        CheckFormat::Markdown => report::check::markdown(out, &outcome),
        CheckFormat::Json => report::check::json(out, &outcome),
    }));
    if done == Exit::Done && !outcome.passed { Exit::Denied } else { done }
}

/// Compares two captures or reports.
pub(super) fn diff(arguments: &DiffArgs, runner: &impl Runner) -> Exit {
    let (before, after) = (&arguments.before, &arguments.after);
    if [before, after].iter().all(|file| file.as_os_str() == "-") {
        return complain(Exit::Usage, &"standard input can be one of them, not both");
    }
    let read = inputs(&arguments.of(&[before, after])).read_files();
    let output = match Output::open(arguments.output.as_deref(), &read) {
        Ok(output) => output,
        Err(error) => return complain(Exit::Usage, &error),
    };
    let digest = |file: &PathBuf| {
        let mut inputs = inputs(&arguments.of(&[file]));
        inputs.streams = inputs.only.as_ref().is_some_and(Filter::wants_streams);
        saved::digest(&inputs, runner).map_err(|(exit, error)| complain(exit, &error))
    };
    let compared = match (digest(before), digest(after)) {
        (Ok(before), Ok(after)) => diff::compare(&before, &after),
        (Err(exit), _) | (_, Err(exit)) => return exit,
    };
    finish(output.write(|out| match arguments.format {
        DiffFormat::Text => report::diff::text(out, &compared),
        DiffFormat::Markdown => report::diff::markdown(out, &compared),
        DiffFormat::Json => report::diff::json(out, &compared),
    }))
}

const CHECK_HELP: &str = "\
FILE may also be a report that was saved with goawhy report --format json.

Examples:
  goawhy check trace.pcap                                  orderly ends pass, faults fail
  goawhy check trace.pcap --format junit -o result.xml     for a CI system
  goawhy check trace.pcap --allow client_request_timeout   timeouts may be, what they lead to not
  goawhy check trace.pcap --max-cancelled-share 1% --max-answer-share 80% --client-timeout 4s
  goawhy check trace.pcap -Y 'server:10.0.0.2' --max-error-goaways 0

Exit status: 0 everything passed, 1 something did not, 2 wrong usage, 3 an input could not be read";

const DIFF_HELP: &str = "\
A change is named where chance would make it less often than once in a hundred times (Fisher's exact
test for shares, ranges of 95 % for times); with fewer connections or requests than that takes it
says: too few to tell. Behind each share stands where it lies with 95 % confidence.

Examples:
  goawhy diff before.pcap after.pcap
  goawhy report --format json before.pcap -o before.json; goawhy diff before.json after.pcap";
