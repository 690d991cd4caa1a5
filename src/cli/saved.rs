//! Captures, or reports that were saved as JSON, as digests.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::{Exit, Inputs, Runner, warn};
use crate::board::digest::{Digest, SCHEMA};

/// Of all inputs together; else how to exit, and what is to be told.
pub(super) fn digest(inputs: &Inputs, runner: &impl Runner) -> Result<Digest, (Exit, String)> {
    let is_saved = |file: &&PathBuf| is_saved(file);
    let (saved, captures): (Vec<&PathBuf>, Vec<&PathBuf>) = inputs.files.iter().partition(is_saved);
    if let (Some(file), Some(_)) = (saved.first(), &inputs.only) {
        let file = file.display();
        let text = format!("{file}: a saved report cannot be filtered; -Y needs captures");
        return Err((Exit::Usage, text));
    }
    let mut digest = Digest::default();
    for file in saved {
        digest.join(read(file).map_err(|error| (Exit::Input, error))?);
    }
    if captures.is_empty() {
        return Ok(digest);
    }
    let read = inputs.files.iter().zip(&inputs.clocks).filter(|(file, _)| captures.contains(file));
    let (files, clocks) = read.map(|(file, clock)| (file.clone(), *clock)).unzip();
    // What is left out is not held against those that are left.
    let inputs = Inputs { files, clocks, measured: inputs.only.clone(), ..inputs.clone() };
    let board = runner.report(&inputs).map_err(|error| (runner.exit(&error), error.to_string()))?;
    warn(&board.captures);
    let only = inputs.only.as_ref();
    let found = Digest::of(&board, |row| only.is_none_or(|only| only.connection(row)));
    digest.join(found);
    Ok(digest)
}

/// Whether a file begins as a JSON object does, which no capture does.
fn is_saved(file: &Path) -> bool {
    let mut start = [0; 64];
    let regular = file.metadata().is_ok_and(|facts| facts.is_file());
    let read = regular.then(|| File::open(file).and_then(|mut file| file.read(&mut start)));
    let read = read.and_then(Result::ok).unwrap_or(0);
    let start = start.get(..read).unwrap_or_default();
    start.iter().find(|octet| !octet.is_ascii_whitespace()) == Some(&b'{')
}

fn read(file: &Path) -> Result<Digest, String> {
    let shown = file.display();
    let open = |error: io::Error| format!("{shown}: cannot be read: {error}");
    let reader = BufReader::new(File::open(file).map_err(open)?);
    let digest: Digest = serde_json::from_reader(reader)
        .map_err(|error| format!("{shown}: is no report of goawhy: {error}"))?;
    match digest.schema {
        SCHEMA => Ok(digest.by_itself()),
        0 => Err(format!("{shown}: is no report of goawhy; save one with --format json")),
        other => Err(format!("{shown}: is a report of schema {other}; this reads {SCHEMA}")),
    }
}
