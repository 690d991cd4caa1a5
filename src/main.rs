//! The `goawhy` command.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use goawhy::board::Board;
use goawhy::board::filter::Filter;
#[cfg(feature = "live")]
use goawhy::board::snapshot::{Feed as _, LiveFacts};
use goawhy::cause::{known_text, pages};
use goawhy::cli::{self, Exit, FramesError, Inputs, Look, Runner};
use goawhy::error::Error;
use goawhy::report;
use goawhy::report::frames::FrameWriter;
use goawhy::report::notes::Notes;
use goawhy::run::annotate;
#[cfg(feature = "live")]
use goawhy::run::live;
use goawhy::run::offline::{self, Job};
use goawhy::run::panics;
use goawhy::run::screen::{self, Left};
use goawhy::run::watch::Watch;
use goawhy::tui::{Colours, Settings, Theme, TimeStyle};
use goawhy::vocab::capture::Listed;
use goawhy::vocab::explanation::Explanation;

struct Offline;

impl Runner for Offline {
    type Error = Error;

    fn exit(&self, error: &Error) -> Exit {
        match error {
            Error::Filter { .. } | Error::Twice { .. } | Error::Unsaved { .. } => Exit::Usage,
            _ => Exit::Input,
        }
    }

    fn probe(&self, file: &Path) -> Result<(), Error> {
        offline::probe(file)
    }

    fn report(&self, inputs: &Inputs) -> Result<Board, Error> {
        known_text::leave_out(&inputs.without_fingerprints);
        offline::report(&job(inputs))
    }

    fn annotate<W: Write>(
        &self,
        inputs: &Inputs,
        notes: &Notes,
        out: W,
    ) -> Result<(), FramesError<Error>> {
        let written = annotate::annotate(&job(inputs), notes, out);
        written.map_err(FramesError::Input)?.map_err(FramesError::Output)
    }

    fn frames<W: Write>(
        &self,
        inputs: &Inputs,
        writer: &mut FrameWriter<W>,
    ) -> Result<Listed, FramesError<Error>> {
        let read = offline::frames(&job(inputs), |number, frame| writer.write(number, frame));
        read.map_err(FramesError::Input)?.map_err(FramesError::Output)
    }

    fn dashboard(&self, inputs: &Inputs, look: Look) -> Result<Exit, Error> {
        let watch = Watch::files(job(inputs))?;
        show(&watch, inputs.only.clone(), look, None)
    }

    #[cfg(feature = "live")]
    fn dashboard_live(
        &self,
        job: &live::Job,
        look: Look,
        notice: live::Notice<'_>,
    ) -> Result<Exit, Error> {
        let mut watch = Watch::live(job, None, notice)?;
        let reopen = || watch.reopen();
        let reopen: Option<&dyn Fn()> = job.save.is_some().then_some(&reopen);
        let left = show(&watch, job.only.clone(), look, reopen);
        watch.stop(); // what is saved comes to its end
        let last = watch.latest();
        if let Some(saved) = last.live.as_ref().and_then(|live| live.saved.as_ref()) {
            notice(&saved.told(), true);
        }
        let unsaved = last.live.as_ref().and_then(LiveFacts::unsaved);
        // A pipe that breaks off is a damaged capture: what came was shown.
        let gone = last.error.as_ref().filter(|_| job.interfaces.iter().all(|name| name != "-"));
        match (gone, unsaved) {
            (Some(what), _) => left.and(Err(Error::Gone { what: what.clone() })),
            (None, Some(what)) => left.and(Err(Error::Unsaved { what: what.to_owned() })),
            (None, None) => left,
        }
    }

    fn explain(&self, topic: &str) -> Result<Explanation, String> {
        pages::look_up(topic)
    }
}

fn show(
    watch: &Watch,
    filter: Option<Filter>,
    look: Look,
    reopen: Option<&dyn Fn()>,
) -> Result<Exit, Error> {
    let colours = match look.colours {
        cli::Colours::None => Colours::None,
        cli::Colours::Sixteen => Colours::Sixteen,
        cli::Colours::Many => Colours::Many,
    };
    let time = match look.time {
        report::TimeStyle::Relative => TimeStyle::Relative,
        report::TimeStyle::Local => TimeStyle::Local,
        report::TimeStyle::Utc => TimeStyle::Utc,
    };
    let theme = Theme { colours, ascii: look.ascii };
    let settings = Settings { theme, mask: look.mask, filter, time };
    Ok(match screen::show(watch, settings, look.mouse, reopen)? {
        Left::ByUser => Exit::Done,
        Left::BySignal => Exit::Interrupted,
    })
}

fn job(inputs: &Inputs) -> Job {
    Job {
        files: inputs.files.clone(),
        clocks: inputs.clocks.clone(),
        clocks_told: inputs.clocks_told,
        #[cfg(feature = "live")]
        filter: inputs.filter.clone(),
        keylogs: inputs.keylogs.clone(),
        keylog_of_environment: inputs.keylog_of_environment.clone(),
        streams: inputs.streams,
        meters: inputs.meters,
        threads: inputs.threads,
        only: inputs.only.clone(),
        measured: inputs.measured.clone(),
        ..Job::default()
    }
}

fn main() -> ExitCode {
    panics::tell_plainly();
    cli::run(std::env::args_os(), &Offline).into()
}
