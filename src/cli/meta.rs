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
    let synopsis = synopsis(&mut page.clone());
    let mut text = Vec::new();
    // Memory does not fail.
    let _ = clap_mangen::Man::new(page).render(&mut text);
    let text = String::from_utf8_lossy(&text);
    // What is generated has options without their values, and commands as one word.
    let parts = text.split_once(SYNOPSIS).and_then(|(before, rest)| {
        let at = rest.find("\n.SH ")?;
        Some((before, rest.get(at..)?))
    });
    print(|out| match parts {
        Some((before, behind)) => write!(out, "{before}{SYNOPSIS}{synopsis}{behind}"),
        None => out.write_all(text.as_bytes()),
    })
}

/// How a command is called, as its help has it, in the language of manual pages.
fn synopsis(command: &mut Command) -> String {
    let usage = command.render_usage().to_string();
    let lines = usage.trim_start_matches("Usage:").lines().map(str::trim);
    // Without a command an interface may stand in place of files.
    let live = (cfg!(feature = "live") && command.get_name() == "goawhy").then_some(LIVE);
    let lines = lines.chain(live);
    let lines: Vec<String> =
        lines.map(|line| format!("\\fB{}\\fR", line.replace('-', "\\-"))).collect();
    lines.join("\n.br\n")
}

const LIVE: &str = "goawhy -i <IFACE> [OPTIONS]";
const SYNOPSIS: &str = ".SH SYNOPSIS\n";

/// The page of a command is called `goawhy-report`.
fn named(command: &Command) -> Command {
    let name = format!("goawhy-{}", command.get_name());
    let short: &'static str = Box::leak(name.into_boxed_str());
    command.clone().name(short).version(VERSION)
}

fn print(fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Exit {
    finish(Output::Standard.write(|out| fill(out)))
}
