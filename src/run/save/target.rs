//! Files that packets are saved in: their names, and whose turn it is.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, access};

use crate::error::Error;

/// Where packets go.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// The file, or the pattern of names where files take turns: `web.pcapng` becomes
    /// `web_00001.pcapng`.
    pub file: PathBuf,
    /// Octets after which the next file begins.
    pub size: Option<u64>,
    /// Time after which the next file begins.
    pub time: Option<Duration>,
    /// Files whose names take turns: the oldest is written over.
    pub files: Option<u32>,
    /// Whether each file has the TLS secrets, too, as far as they are known by then.
    pub keys: bool,
}

impl Target {
    pub(super) fn rotates(&self) -> bool {
        self.size.is_some() || self.time.is_some()
    }

    pub(super) fn name(&self, number: u32) -> PathBuf {
        if !self.rotates() {
            return self.file.clone();
        }
        let stem = self.file.file_stem().unwrap_or_default().to_string_lossy();
        let end = self.file.extension().map(|end| format!(".{}", end.to_string_lossy()));
        let name = format!("{stem}_{number:05}{}", end.unwrap_or_default());
        self.file.with_file_name(name)
    }

    /// The number of the first file. Earlier runs may have left some: a ring goes on at the first
    /// that is missing, else at the oldest.
    pub(super) fn first(&self) -> u32 {
        let Some(files) = self.files else { return self.next(0) };
        let changed = |number: &u32| self.name(*number).metadata().and_then(|file| file.modified());
        let missing = (1..=files).find(|number| changed(number).is_err());
        let oldest = || (1..=files).min_by_key(|number| changed(number).ok());
        missing.or_else(oldest).unwrap_or(1)
    }

    /// The number after this one; without a ring one whose file is not there.
    pub(super) fn next(&self, number: u32) -> u32 {
        match self.files {
            Some(files) => number % files.max(1) + 1,
            None => (number.saturating_add(1)..u32::MAX)
                .find(|number| !self.rotates() || self.name(*number).symlink_metadata().is_err())
                .unwrap_or(u32::MAX),
        }
    }

    /// Whether a file is one of those whose names take turns, and will be written over.
    pub fn takes_turn_with(&self, file: &Path) -> bool {
        let number = file.file_stem().and_then(|stem| stem.to_str()?.rsplit_once('_'));
        let number = number.and_then(|(_, number)| number.parse::<u32>().ok());
        let is_in_turn =
            |number: &u32| self.files.is_some_and(|files| (1..=files).contains(number));
        let folder = |file: &Path| fs::canonicalize(folder(file)).ok();
        number.filter(is_in_turn).map(|number| self.name(number)).is_some_and(|name| {
            name.file_name() == file.file_name() && folder(&name) == folder(file)
        })
    }

    /// Opens the file of this number where that changes nothing that is in it; `None` where it can
    /// only be made anew, which is then left for later. Whether it is new.
    ///
    /// # Errors
    /// Where it could not be written.
    pub(super) fn open(&self, number: u32) -> Result<Option<(File, bool)>, Error> {
        let path = self.name(number);
        if !self.rotates() || path.symlink_metadata().is_err() {
            return create(&path).map(Some).map_err(|source| fails(&path, source));
        }
        let may = access(folder(&path), Access::WRITE_OK | Access::EXEC_OK);
        may.map(|()| None).map_err(|source| fails(&path, source.into()))
    }

    /// Makes the file of this number anew.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(super) fn replace(&self, number: u32) -> Result<File, Error> {
        let path = self.name(number);
        if self.rotates() {
            // One of the turn before may be another user's, and somebody may be reading it.
            let _ = fs::remove_file(&path);
        }
        create(&path).map(|(file, _)| file).map_err(|source| fails(&path, source))
    }
}

/// The folder of a file.
pub(in crate::run) fn folder(file: &Path) -> &Path {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

pub(super) fn fails(file: &Path, source: io::Error) -> Error {
    Error::Io { file: file.display().to_string(), operation: "write it", source }
}

/// A file for captures is for its owner alone: packets hold secrets.
/// Whether it is new.
fn create(path: &Path) -> io::Result<(File, bool)> {
    open_or_make(OpenOptions::new().write(true).mode(0o600), path)
}

/// Opens a file as it is to be, or makes it. Whether it is new.
pub(in crate::run) fn open_or_make(
    options: &mut OpenOptions,
    path: &Path,
) -> io::Result<(File, bool)> {
    match options.create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // A link to nowhere is there, and what it names is not.
            options.create_new(false).create(true).open(path).map(|file| (file, false))
        }
        opened => opened.map(|file| (file, true)),
    }
}

/// A file that holds whole blocks, whatever the disk does.
pub(super) struct Whole {
    file: File,
    /// What is not written yet.
    blocks: Vec<u8>,
    /// Octets written.
    length: u64,
}

impl Whole {
    /// With so many octets in it.
    pub(super) fn new(file: File, length: u64) -> Self {
        Self { file, blocks: Vec::new(), length }
    }
}

impl Write for Whole {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.blocks.extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let written = self.file.write_all(&self.blocks);
        match written {
            Ok(()) => self.length += self.blocks.len() as u64,
            // A block that was begun is taken back; where that fails too, readers stop there.
            Err(_) => drop(self.file.set_len(self.length)),
        }
        self.blocks.clear();
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_ring_are_known_by_their_names() {
        let file = std::env::temp_dir().join("web.pcapng");
        let ring = Target { file, size: Some(1), files: Some(3), ..Target::default() };
        let of = |name: &str| ring.takes_turn_with(&std::env::temp_dir().join(name));
        assert!(of("web_00001.pcapng") && of("web_00003.pcapng") && of("./web_00002.pcapng"));
        for other in ["web.pcapng", "web_00004.pcapng", "web_1.pcapng", "web_00001", "x_00001"] {
            assert!(!of(other), "{other}");
        }
        assert!(!ring.takes_turn_with(Path::new("/proc/web_00001.pcapng")));
        // Without a ring each file is a new one.
        assert!(!Target { files: None, ..ring.clone() }.takes_turn_with(&ring.name(1)));
    }
}
