//! What known implementations write into GOAWAY debug data, and what their frames look like: the
//! only place that names products. The rows are data: `fingerprints.json`.

use std::sync::OnceLock;

use regex::Regex;
use serde::Deserialize;

use crate::track::history::Goaway;
use crate::vocab::address::Side;
use crate::vocab::cause::Cause;
use crate::vocab::error_code::ErrorCode;
use crate::vocab::frame::LAST_STREAM_MAX;
use crate::vocab::verdict::Implementation;

/// One row of the table.
#[derive(Debug, Deserialize)]
pub struct KnownText {
    /// Stable name of the row.
    pub id: String,
    /// Who writes it.
    pub implementation: String,
    /// Versions it was seen in.
    #[serde(default)]
    pub versions: Option<String>,
    role: String,
    cause: String,
    frame: String,
    #[serde(default)]
    error_code: Codes,
    #[serde(default)]
    debug_regex: Option<String>,
    last_stream_id: String,
    /// What to do about it.
    #[serde(default)]
    pub advice: Option<String>,
    /// What clients log.
    #[serde(default)]
    pub shown_as: Vec<String>,
    specificity: String,
    /// The setting that rules it, and its default.
    #[serde(default)]
    pub default: Option<Setting>,
    #[serde(skip)]
    pattern: OnceLock<Option<Regex>>,
}

/// A setting of an implementation.
#[derive(Debug, Deserialize)]
pub struct Setting {
    /// Its name.
    pub setting: Option<String>,
    /// Its default, as text.
    pub value: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
enum Codes {
    One(u32),
    Many(Vec<u32>),
    #[default]
    Any,
}

impl Codes {
    fn has(&self, code: ErrorCode) -> bool {
        match self {
            Self::One(one) => *one == code.0,
            Self::Many(many) => many.contains(&code.0),
            Self::Any => true,
        }
    }
}

/// Every row. An unreadable table would be a mistake of the build; a test reads it.
pub fn rows() -> &'static [KnownText] {
    static ROWS: OnceLock<Vec<KnownText>> = OnceLock::new();
    ROWS.get_or_init(|| serde_json::from_str(include_str!("fingerprints.json")).unwrap_or_default())
}

impl KnownText {
    /// The cause that the row names.
    pub fn cause(&self) -> Option<Cause> {
        Cause::ALL.iter().find(|cause| cause.name() == self.cause).copied()
    }

    /// The implementation, for the report.
    pub fn implementation(&self) -> Implementation {
        let (name, fingerprint) = (self.implementation.clone(), self.id.clone());
        Implementation { name, fingerprint, says: None }
    }

    /// What to know of it, as a sentence; empty where there is nothing.
    pub fn note(&self) -> String {
        self.advice.as_deref().map(super::pages::capital).unwrap_or_default()
    }

    /// The setting that rules it, as a sentence; empty where there is none.
    pub fn setting(&self) -> String {
        let Some(default) = &self.default else { return String::new() };
        match (&default.setting, &default.value) {
            (Some(name), Some(value)) => format!("Setting: {name} (default {value})."),
            (Some(name), None) => format!("Setting: {name}."),
            _ => String::new(),
        }
    }

    /// Whether this row describes GOAWAYs like this one.
    fn fits(&self, goaway: &Goaway, debug: &str) -> bool {
        let role = match self.role.as_str() {
            "client" => goaway.by == Side::Client,
            "server" | "proxy" => goaway.by == Side::Server,
            _ => true,
        };
        let last = match self.last_stream_id.as_str() {
            "max" => goaway.last_stream_id == LAST_STREAM_MAX,
            "zero" => goaway.last_stream_id == 0,
            "real" => goaway.last_stream_id != LAST_STREAM_MAX,
            _ => true,
        };
        let frame = self.frame == "GOAWAY" && self.error_code.has(goaway.code);
        role && last && frame && self.matches(debug)
    }

    fn matches(&self, debug: &str) -> bool {
        let pattern = self
            .pattern
            .get_or_init(|| self.debug_regex.as_ref().and_then(|pattern| Regex::new(pattern).ok()));
        pattern.as_ref().is_some_and(|pattern| pattern.is_match(debug))
    }
}

/// Implementations whose texts and manners count for nothing in this process; set once, before
/// anything is judged.
static LEFT_OUT: OnceLock<Vec<String>> = OnceLock::new();

/// Leaves implementations out, by the names of the table or `all`: what is then still told rests
/// on the frames. Serves the measurement of how much rests on texts.
pub fn leave_out(implementations: &[String]) {
    // A second call would come too late for what has been judged.
    let _ = LEFT_OUT.set(implementations.iter().map(|name| plain(name)).collect());
}

/// Whether an implementation of this name, in whatever spelling, is left out.
pub fn is_left_out(implementation: &str) -> bool {
    let name = plain(implementation);
    let fits = |out: &String| out == "all" || name.contains(out.as_str());
    LEFT_OUT.get().is_some_and(|left_out| left_out.iter().any(fits))
}

fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Whether debug data is to be read as if there were none: an implementation that is left out
/// writes such.
pub fn is_silenced(goaway: &Goaway) -> bool {
    if LEFT_OUT.get().is_none_or(Vec::is_empty) {
        return false;
    }
    let debug = String::from_utf8_lossy(&goaway.debug);
    let written = |row: &KnownText| is_left_out(&row.implementation) && row.fits(goaway, &debug);
    is_left_out("all") || rows().iter().any(written)
}

/// The row of this name.
pub fn by_id(id: &str) -> Option<&'static KnownText> {
    rows().iter().find(|row| row.id == id)
}

/// The row whose text this GOAWAY carries. Text, not silence: empty debug data is no fingerprint.
pub fn find(goaway: &Goaway) -> Option<&'static KnownText> {
    if goaway.debug.is_empty() || is_silenced(goaway) {
        return None;
    }
    let debug = String::from_utf8_lossy(&goaway.debug);
    rows().iter().filter(|row| row.specificity == "text").find(|row| row.fits(goaway, &debug))
}

/// The row whose text a log line quotes: as debug data, or anywhere as one whole word.
pub fn named_in(debug: Option<&str>, line: &str) -> Option<&'static KnownText> {
    let quotes = |text: &str| {
        let texts = rows().iter().filter(|row| row.specificity == "text");
        texts.into_iter().find(|row| row.matches(text))
    };
    let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let coined = words.filter(|word| word.contains('_') && word.len() > 5);
    debug.and_then(quotes).or_else(|| coined.into_iter().find_map(quotes))
}

/// Implementations known for a cause, with their settings and what to do.
pub fn notes(cause: Cause) -> Vec<(String, String)> {
    let mut notes: Vec<(String, String)> = Vec::new();
    for row in rows().iter().filter(|row| row.cause() == Some(cause)) {
        let versions = row.versions.as_deref().filter(|versions| *versions != "all");
        let versions = versions.map(|versions| format!(" {versions}")).unwrap_or_default();
        let name = format!("{}{versions} ({})", row.implementation, row.role);
        let text: Vec<String> =
            [row.note(), row.setting()].into_iter().filter(|text| !text.is_empty()).collect();
        let known = notes.iter().any(|(known, _)| *known == name);
        if !text.is_empty() && !known {
            notes.push((name, text.join(" ")));
        }
    }
    notes.sort();
    notes
}

/// Whether more than one implementation writes this text: then it does not tell who sent it.
pub fn is_shared(goaway: &Goaway) -> bool {
    let debug = String::from_utf8_lossy(&goaway.debug);
    let mut fitting = rows()
        .iter()
        .filter(|row| row.specificity == "text" && row.fits(goaway, &debug))
        .map(|row| row.implementation.as_str());
    let first = fitting.next();
    fitting.any(|name| Some(name) != first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_reads_and_names_a_known_cause() {
        assert!(rows().len() > 150, "{}", rows().len());
        for row in rows() {
            assert!(row.cause().is_some(), "{}: {}", row.id, row.cause);
            if let Some(pattern) = &row.debug_regex {
                assert!(Regex::new(pattern).is_ok(), "{}: {pattern}", row.id);
            }
        }
    }
}
