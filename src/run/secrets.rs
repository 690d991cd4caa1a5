//! TLS secrets: key logs that the user names, and those inside pcapng files.

use std::path::{Path, PathBuf};

use crate::capture::Source;
use crate::error::Error;

use super::offline::Job;

/// Texts of every key log that can be had before the first packet is read. Secrets inside a
/// pcapng file may stand behind the packets they open, so such files are read once for them
/// alone; standard input cannot be read twice.
///
/// # Errors
/// Where a key log that was asked for, or a capture, cannot be read at all.
pub(super) fn gather(job: &Job) -> Result<Vec<Vec<u8>>, Error> {
    let mut texts = Vec::new();
    for path in &job.keylogs {
        texts.push(std::fs::read(path).map_err(|source| Error::of_file(path, source))?);
    }
    // The variable is set for the programs that write it; it says nothing about this run.
    texts.extend(job.keylog_of_environment.as_deref().and_then(|path| std::fs::read(path).ok()));
    let files: Vec<PathBuf> = job.files.iter().filter(|path| is_pcapng(path)).cloned().collect();
    if !files.is_empty() {
        let mut source = Source::open(&files)?;
        while source.next().is_some() {}
        texts.extend(source.secrets().iter().cloned());
    }
    Ok(texts)
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
