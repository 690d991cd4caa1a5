//! The `goawhy` command.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use goawhy::board::Board;
use goawhy::cause::{known_text, pages};
use goawhy::cli::{self, Exit, FramesError, Inputs, Runner};
use goawhy::error::Error;
use goawhy::report::frames::FrameWriter;
use goawhy::run::offline::{self, Job};
use goawhy::vocab::capture::CaptureFacts;
use goawhy::vocab::explanation::Explanation;

struct Offline;

impl Runner for Offline {
    type Error = Error;

    fn exit(&self, error: &Error) -> Exit {
        if matches!(error, Error::Filter { .. }) { Exit::Usage } else { Exit::Input }
    }

    fn probe(&self, file: &Path) -> Result<(), Error> {
        offline::probe(file)
    }

    fn report(&self, inputs: &Inputs) -> Result<Board, Error> {
        known_text::leave_out(&inputs.without_fingerprints);
        offline::report(&job(inputs))
    }

    fn frames<W: Write>(
        &self,
        inputs: &Inputs,
        writer: &mut FrameWriter<W>,
    ) -> Result<Vec<CaptureFacts>, FramesError<Error>> {
        let read = offline::frames(&job(inputs), |number, frame| writer.write(number, frame));
        read.map_err(FramesError::Input)?.map_err(FramesError::Output)
    }

    fn explain(&self, topic: &str) -> Result<Explanation, String> {
        pages::look_up(topic)
    }
}

fn job(inputs: &Inputs) -> Job {
    Job {
        files: inputs.files.clone(),
        #[cfg(feature = "live")]
        filter: inputs.filter.clone(),
        keylogs: inputs.keylogs.clone(),
        keylog_of_environment: inputs.keylog_of_environment.clone(),
        streams: inputs.streams,
        threads: inputs.threads,
        ..Job::default()
    }
}

fn main() -> ExitCode {
    cli::run(std::env::args_os(), &Offline).into()
}
