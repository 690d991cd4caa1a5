//! TLS secrets: key logs that the user names, and those inside pcapng files.

use std::path::{Path, PathBuf};

use crate::capture::Source;
use crate::error::Error;
use crate::tls::KeyLog;

use super::offline::Job;

/// Every secret that can be had before the first packet is read. Secrets inside a pcapng file may
/// stand behind the packets they open, so files are read once for them alone; standard input
/// cannot be read twice.
///
/// # Errors
/// Where a key log that was asked for, or a capture, cannot be read at all.
pub(super) fn gather(job: &Job) -> Result<KeyLog, Error> {
    let mut keys = KeyLog::new();
    for path in &job.keylogs {
        let octets = std::fs::read(path).map_err(|source| Error::of_file(path, source))?;
        keys.add_text(&octets);
    }
    // The variable is set for the programs that write it; it says nothing about this run.
    if let Some(octets) = job.keylog_of_environment.as_deref().and_then(|p| std::fs::read(p).ok()) {
        keys.add_text(&octets);
    }
    let files: Vec<PathBuf> = job.files.iter().filter(|path| is_pcapng(path)).cloned().collect();
    if !files.is_empty() {
        let mut source = Source::open(&files)?;
        while source.next().is_some() {}
        for text in source.secrets() {
            keys.add_text(text);
        }
    }
    Ok(keys)
}

/// Whether a file is pcapng, as far as its name or its first octets tell.
fn is_pcapng(path: &Path) -> bool {
    use std::io::Read as _;
    let mut first = [0; 4];
    let is_file = path.metadata().is_ok_and(|meta| meta.is_file());
    let read =
        is_file.then(|| std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut first)));
    let compressed = [[0x1f, 0x8b], [0x28, 0xb5]].iter().any(|magic| first.starts_with(magic));
    read.is_some_and(|read| read.is_ok()) && (first == [0x0a, 0x0d, 0x0d, 0x0a] || compressed)
}
