//! The dashboard as the command line asks for it.

use clap::Args;

use super::report::ReportArgs;
use super::{Colour, Config, Exit, Runner, complain, drop_unreadable, inputs};
use crate::report::TimeStyle;

/// How the dashboard behaves.
#[derive(Debug, Default, Args)]
pub(super) struct ScreenArgs {
    /// Print the report even where standard output is a terminal
    #[arg(long)]
    pub(super) no_tui: bool,
    /// Hide authorities, paths, header values and debug data, as for screenshots (addresses stay)
    #[arg(long)]
    pub(super) mask: bool,
    /// Leave the mouse to the terminal
    #[arg(long)]
    pub(super) no_mouse: bool,
}

impl ScreenArgs {
    /// With what else was asked for.
    pub(super) fn look(&self, colour: Colour, ascii: bool, time: TimeStyle) -> Look {
        let (mask, mouse) = (self.mask, !self.no_mouse);
        let ascii = ascii || !speaks_utf8(|name| std::env::var(name).ok());
        Look { colours: colours(colour), ascii, mask, mouse, time }
    }
}

/// Whether the locale's characters are UTF-8 (POSIX: the first of these that is set and not empty).
fn speaks_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(variable);
    let locale = set.into_iter().find(|value| !value.is_empty()).unwrap_or_default();
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// How the dashboard is asked to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Colours: none, the sixteen of every terminal, or 256.
    pub colours: Colours,
    /// Whether to keep to ASCII.
    pub ascii: bool,
    /// Whether to hide what strangers should not see.
    pub mask: bool,
    /// Whether to take the mouse.
    pub mouse: bool,
    /// How to show times.
    pub time: TimeStyle,
}

/// How many colours the terminal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// None.
    None,
    /// Sixteen.
    Sixteen,
    /// 256.
    Many,
}

/// Opens the dashboard.
#[cfg_attr(not(feature = "live"), allow(unused_variables))] // A pipe is asked for once more.
pub(super) fn dashboard(
    config: &Config,
    arguments: &ReportArgs,
    screen: &ScreenArgs,
    runner: &impl Runner,
) -> Exit {
    let mut inputs = inputs(&arguments.input);
    let unreadable = drop_unreadable(&mut inputs, runner);
    let look = screen.look(arguments.color, arguments.ascii, arguments.time());
    #[cfg(feature = "live")]
    if let [only] = inputs.files.as_slice()
        && only.as_os_str() == "-"
    {
        if inputs.filter.is_some() {
            return complain(Exit::Usage, &super::live::FILTER_OF_PIPE);
        }
        return super::live::watch_pipe(config, &inputs.keylogs, inputs.only, look, runner);
    }
    match runner.dashboard(&inputs, look) {
        Ok(Exit::Done) if unreadable => Exit::Input,
        Ok(exit) => exit,
        Err(error) => complain(runner.exit(&error), &error),
    }
}

/// What the terminal can show, as far as its name tells.
fn colours(wanted: Colour) -> Colours {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let terminal = set("TERM").unwrap_or_default();
    let many = terminal.contains("256") || set("COLORTERM").is_some();
    let plain = set("NO_COLOR").is_some() || terminal == "dumb";
    match wanted {
        Colour::Never => Colours::None,
        Colour::Auto if plain => Colours::None,
        Colour::Auto | Colour::Always if many => Colours::Many,
        Colour::Auto | Colour::Always => Colours::Sixteen,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_locale_that_is_set_counts() {
        let of = |known: &'static [(&str, &str)]| {
            speaks_utf8(|name| {
                let found = known.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        assert!(of(&[("LANG", "en_US.UTF-8")]));
        assert!(of(&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8"), ("LANG", "C")]));
        assert!(!of(&[("LC_ALL", "C"), ("LANG", "en_US.UTF-8")]));
        assert!(!of(&[("LANG", "de_DE.ISO-8859-1")]));
        assert!(!of(&[]));
    }
}
