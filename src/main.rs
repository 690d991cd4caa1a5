//! The `goawhy` command.

use std::io::Write;
use std::process::ExitCode;

use goawhy::board::Board;
use goawhy::cli::{self, FramesError, Inputs, Runner};
use goawhy::report::frames::FrameWriter;
use goawhy::vocab::capture::CaptureFacts;

struct Unwired;

impl Runner for Unwired {
    type Error = &'static str;

    fn report(&self, _: &Inputs) -> Result<Board, Self::Error> {
        Err("reading captures is not wired yet")
    }

    fn frames<W: Write>(
        &self,
        _: &Inputs,
        _: &mut FrameWriter<W>,
    ) -> Result<Vec<CaptureFacts>, FramesError<Self::Error>> {
        Err(FramesError::Input("reading captures is not wired yet"))
    }
}

fn main() -> ExitCode {
    cli::run(std::env::args_os(), &Unwired).into()
}
