//! What people set once: `$XDG_CONFIG_HOME/goawhy/config.toml`. Flags win.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::builder::{ArgPredicate, OsStr};
use clap::error::{ContextKind, ErrorKind};
use clap::{Command, Parser, ValueEnum};
use serde::Deserialize;

use super::{Colour, Times};

/// The file's keys; each has the name and the values of its flag.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Config {
    /// TLS key logs.
    keylog: Option<OneOrMore<PathBuf>>,
    /// Interfaces of `live`.
    interface: Option<OneOrMore<String>>,
    threads: Option<NonZeroUsize>,
    memory: Option<String>,
    time: Option<Times>,
    color: Option<Colour>,
    ascii: Option<bool>,
    mask: Option<bool>,
    no_tui: Option<bool>,
    no_mouse: Option<bool>,
    no_process: Option<bool>,
    /// The file that says so.
    #[serde(skip)]
    place: PathBuf,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> OneOrMore<T> {
    fn all(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::More(more) => more,
        }
    }
}

/// Reads the file of this user, where there is one.
///
/// # Errors
/// One line: file, line, what is wrong.
pub(super) fn load() -> Result<Config, String> {
    let Some(path) = place() else { return Ok(Config::default()) };
    match std::fs::read_to_string(&path) {
        Ok(text) => parse(&path, &text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Config::default()),
        // In a folder that may not be entered nothing is this user's: as under sudo -u.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied && !is_there(&path) => {
            Ok(Config::default())
        }
        Err(error) => Err(format!("{}: cannot be read: {error}", path.display())),
    }
}

/// Whether a file is seen to be there, whoever may read it.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// XDG Base Directory Specification: an empty or relative value counts as none.
pub(super) fn place() -> Option<PathBuf> {
    let folder = |name: &str| {
        let value = std::env::var_os(name).map(PathBuf::from);
        value.filter(|path| path.is_absolute())
    };
    let home = || folder("HOME").map(|home| home.join(".config"));
    let base = folder("XDG_CONFIG_HOME").or_else(home)?;
    Some(base.join("goawhy").join("config.toml"))
}

fn parse(path: &Path, text: &str) -> Result<Config, String> {
    let known: Result<Config, _> = toml::from_str(text);
    known.map(|config| Config { place: path.to_owned(), ..config }).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let before = text.get(..start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let what = error.message().lines().next().unwrap_or("cannot be read").trim_end();
        format!("{}:{line}: {what}", path.display())
    })
}

impl Config {
    /// Whether nothing is to be shown that strangers should not see.
    pub(super) fn masks(&self) -> bool {
        self.mask == Some(true)
    }

    /// Parses words; what they do not say, this does.
    pub(super) fn parse<T: Parser>(&self, words: Vec<OsString>) -> Result<T, clap::Error> {
        let parsed = self.put(T::command()).try_get_matches_from(words.clone());
        let mut matches = parsed.map_err(|error| self.blamed(&error, &words).unwrap_or(error))?;
        T::from_arg_matches_mut(&mut matches)
    }

    /// What is wrong with a value that is configured here, and no option's: nobody typed that one.
    fn blamed(&self, error: &clap::Error, words: &[OsString]) -> Option<clap::Error> {
        let context = |kind| Some(error.get(kind)?.to_string());
        let value = context(ContextKind::InvalidValue)?;
        let flag = context(ContextKind::InvalidArg)?;
        let (key, _) = self.values().into_iter().find(|(id, values)| {
            let name = flag.trim_start_matches('-').split(' ').next().unwrap_or_default();
            name.replace('-', "_") == *id && values.iter().any(|known| *known == *value)
        })?;
        let typed = words.iter().any(|word| word.to_string_lossy().ends_with(&value));
        let why = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        let text = format!("{}: {key} = \"{value}\": {why}\n", self.place.display());
        (!typed).then(|| clap::Error::raw(ErrorKind::ValueValidation, text))
    }

    /// Makes what is configured the default of every argument of that name.
    fn put(&self, mut command: Command) -> Command {
        for (id, values) in self.values() {
            let known = command.get_arguments().any(|argument| argument.get_id() == id);
            // Whoever names files or no interface at all does not ask for a capture.
            let known = known && (id != "interfaces" || command.get_name() == "live");
            if known && !values.is_empty() {
                command = command.mut_arg(id, |argument| {
                    let argument = argument.default_values(values);
                    match id {
                        // Whoever has a pipe read asks for no interface.
                        "interfaces" => {
                            argument.default_value_if("input", ArgPredicate::IsPresent, NOTHING)
                        }
                        _ => argument,
                    }
                });
            }
        }
        let names: Vec<String> =
            command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
        for name in names {
            command = command.mut_subcommand(name, |sub| self.put(sub));
        }
        command
    }

    /// Identifiers of arguments, and their values.
    fn values(&self) -> Vec<(&'static str, Vec<OsStr>)> {
        let text = |text: &dyn ToString| OsStr::from(text.to_string());
        let flag = |set: Option<bool>| -> Vec<OsStr> {
            set.filter(|set| *set).map(|_| "true".into()).into_iter().collect()
        };
        let keylog = self.keylog.iter().flat_map(|paths| paths.all());
        let keylog = keylog.map(|path| OsStr::from(path.clone().into_os_string()));
        let interface = self.interface.iter().flat_map(|names| names.all());
        vec![
            ("keylog", keylog.collect()),
            ("interfaces", interface.map(|name| text(name)).collect()),
            ("threads", self.threads.iter().map(|threads| text(threads)).collect()),
            ("memory", self.memory.iter().map(|memory| text(memory)).collect()),
            ("time", self.time.iter().filter_map(named).collect()),
            ("color", self.color.iter().filter_map(named).collect()),
            ("ascii", flag(self.ascii)),
            ("mask", flag(self.mask)),
            ("no_tui", flag(self.no_tui)),
            ("no_mouse", flag(self.no_mouse)),
            ("no_process", flag(self.no_process)),
        ]
    }
}

/// No default.
const NOTHING: Option<&str> = None;

/// What the command line calls a value.
fn named(value: &impl ValueEnum) -> Option<OsStr> {
    Some(value.to_possible_value()?.get_name().to_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        parse(Path::new("/c/config.toml"), text).unwrap_err()
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        let unknown = said("ascii = true\n\ncolour = \"auto\"\n");
        assert!(unknown.starts_with("/c/config.toml:3: unknown field `colour`"), "{unknown}");
        assert_eq!(unknown.lines().count(), 1);
        assert!(said("ascii = 1").starts_with("/c/config.toml:1: "));
        assert!(said("threads = 0\n").contains(":1: "));
        assert!(said("ascii = \n").lines().count() == 1);
    }

    #[test]
    fn one_value_or_several() {
        let of = |text: &str| parse(Path::new("c"), text).unwrap().values();
        let keylog = |text: &str| of(text).into_iter().find(|(id, _)| *id == "keylog").unwrap().1;
        assert_eq!(keylog("keylog = \"a\"").len(), 1);
        assert_eq!(keylog("keylog = [\"a\", \"b\"]").len(), 2);
        assert!(keylog("mask = true").is_empty());
    }
}
