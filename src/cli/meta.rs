//! What the program says of itself: its schema, completions for shells, pages of the manual.

use std::io::{self, Write};

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

use super::output::Output;
use super::{Cli, Exit, complain, finish};
use crate::report::json::JSON_SCHEMA;

/// Version, commit where it was known at build time, and what was left out.
pub(super) const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), env!("GOAWHY_COMMIT"), env!("GOAWHY_FEATURES"));

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// For which shell
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Of which command; of the program itself if not given
    command: Option<String>,
}

/// Prints the JSON Schema of the report.
pub(super) fn schema() -> Exit {
    print(|out| out.write_all(JSON_SCHEMA.as_bytes()))
}

/// Prints completions for a shell.
pub(super) fn completions(arguments: &CompletionsArgs) -> Exit {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "goawhy", &mut text);
    print(|out| out.write_all(&text))
}

/// Prints a page of the manual.
pub(super) fn man(arguments: &ManArgs) -> Exit {
    let mut program = Cli::command();
    program.build();
    let page = match arguments.command.as_deref() {
        None => program,
        Some(name) => match program.find_subcommand(name) {
            Some(command) => named(command),
            None => {
                let text = format!("there is no command '{name}'; goawhy --help has them");
                return complain(Exit::Usage, &text);
            }
        },
    };
    print(|mut out| clap_mangen::Man::new(page).render(&mut out))
}

/// The page of a command is called `goawhy-report`.
fn named(command: &Command) -> Command {
    let name = format!("goawhy-{}", command.get_name());
    let short: &'static str = Box::leak(name.into_boxed_str());
    command.clone().name(short).version(VERSION)
}

fn print(fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Exit {
    finish(Output::Standard.write(|out| fill(out)))
}
