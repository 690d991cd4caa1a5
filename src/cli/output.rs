//! Where a report goes: standard output, or a file that is whole or not there at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use super::config;
use crate::run::beside;

/// An open output.
#[derive(Debug)]
pub enum Output {
    /// Standard output.
    Standard,
    /// A device or pipe, written as it is.
    Direct(File),
    /// A file, written beside its place and then moved there.
    Whole(Unfinished),
}

/// A file that is not in its place yet; removed unless it gets there.
#[derive(Debug)]
pub struct Unfinished {
    file: File,
    /// Its name until then. It may have none yet: whatever ends the program leaves nothing behind.
    beside: Option<PathBuf>,
    place: PathBuf,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            let _ = fs::remove_file(beside);
        }
    }
}

impl Output {
    /// Opens `path`, or standard output where there is none. Never one of `inputs`.
    pub fn open(path: Option<&Path>, inputs: &[PathBuf]) -> Result<Self, String> {
        let Some(path) = path.filter(|path| !is_standard(path)) else { return Ok(Self::Standard) };
        refuse_inputs(path, inputs)?;
        let shown = path.display();
        let fails = |error: io::Error| format!("{shown}: cannot be written: {error}");
        let (place, known) = (followed(path), fs::metadata(path).ok());
        if let Some(known) = &known {
            if known.is_dir() {
                return Err(format!("{shown}: is a directory; name a file in it"));
            }
            // What a descriptor (/dev/fd/63) leads to may have no name: a pipe, a file removed.
            if !known.is_file() || !is_same(path, &place) {
                let file = File::options().write(true).open(path).map_err(fails)?;
                return Ok(Self::Direct(file));
            }
        }
        let (beside, file) = match nameless(&place) {
            Some(file) => (None, file),
            None => {
                let made = beside::make(&place, beside::create).map_err(fails)?;
                (Some(made.0), made.1)
            }
        };
        let unfinished = Unfinished { file, beside, place };
        // Whoever may read the file before may read it behind.
        if let Some(known) = known {
            unfinished.file.set_permissions(known.permissions()).map_err(fails)?;
        }
        Ok(Self::Whole(unfinished))
    }

    /// Lets `fill` write, then puts the file in its place.
    pub fn write(
        self,
        fill: impl FnOnce(&mut BufWriter<&mut dyn Write>) -> io::Result<()>,
    ) -> io::Result<()> {
        match self {
            Self::Standard => {
                // As a file: what Rust calls standard output looks for ends of lines in all of it.
                let standard = io::stdout().as_fd().try_clone_to_owned()?;
                filled(&mut File::from(standard), fill)
            }
            Self::Direct(mut file) => filled(&mut file, fill),
            Self::Whole(mut unfinished) => {
                filled(&mut unfinished.file, fill)?;
                // What is in the place by its name is on the disk as well.
                unfinished.file.sync_all()?;
                let beside = match &unfinished.beside {
                    Some(beside) => beside,
                    None => {
                        let named = |path: &Path| name(&unfinished.file, path);
                        let (beside, ()) = beside::make(&unfinished.place, named)?;
                        unfinished.beside.insert(beside)
                    }
                };
                fs::rename(beside, &unfinished.place)?;
                unfinished.beside = None;
                Ok(())
            }
        }
    }
}

/// Why `path` must not be written, where it is one of `inputs` or what the user has configured.
pub(super) fn refuse_inputs(path: &Path, inputs: &[PathBuf]) -> Result<(), String> {
    // A file that stands on standard input is one, too.
    let is_read = |input: &PathBuf| match input.as_os_str() == "-" {
        true => path.is_file() && is_same(Path::new("/dev/stdin"), path),
        false => is_one(input, path),
    };
    let what = if inputs.iter().any(is_read) {
        "an input"
    } else if config::place().is_some_and(|config| is_same(&config, path)) {
        "the configuration"
    } else {
        return Ok(());
    };
    Err(format!("{}: is {what}; choose another name for the output", path.display()))
}

/// Whether two outputs would be written to one file, which may not be there yet.
pub(super) fn are_one(one: &Path, other: &Path) -> bool {
    // What is no file (/dev/null) takes whatever comes.
    fs::metadata(one).map_or(true, |known| known.is_file()) && is_one(one, other)
}

/// A file without a name on the file system of this path, where such files are known.
#[cfg(target_os = "linux")]
fn nameless(path: &Path) -> Option<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    // It gets its name through there.
    if !Path::new("/proc/self/fd").exists() {
        return None;
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut options = File::options();
    options.write(true).custom_flags(libc::O_TMPFILE);
    options.open(folder.unwrap_or(Path::new("."))).ok()
}

#[cfg(not(target_os = "linux"))]
fn nameless(_: &Path) -> Option<File> {
    None
}

/// Gives such a file its name (open(2), O_TMPFILE).
#[cfg(target_os = "linux")]
fn name(file: &File, path: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};
    use std::os::fd::AsRawFd as _;
    let descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(linkat(CWD, descriptor, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}

#[cfg(not(target_os = "linux"))]
fn name(_: &File, _: &Path) -> io::Result<()> {
    Ok(())
}

/// Where a link leads to, also where nothing is there yet: that is written, the link stays.
pub(super) fn followed(path: &Path) -> PathBuf {
    let mut place = path.to_owned();
    for _ in 0..LINKS {
        let Ok(target) = fs::read_link(&place) else { break };
        place = place.parent().map_or_else(|| target.clone(), |folder| folder.join(&target));
    }
    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = || fs::canonicalize(folder.unwrap_or(Path::new("."))).ok();
    let named = || Some(folder()?.join(place.file_name()?));
    fs::canonicalize(&place).ok().or_else(named).unwrap_or(place)
}

/// Whether this is a name of standard output.
pub(super) fn is_standard(path: &Path) -> bool {
    STANDARD.iter().any(|name| path == Path::new(name))
}

/// Names of standard output.
const STANDARD: [&str; 4] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];
/// Links that are followed: as many as Linux does.
const LINKS: usize = 40;

/// Whether two names are of one file, also where it is not there yet.
fn is_one(one: &Path, other: &Path) -> bool {
    is_same(one, other) || followed(one) == followed(other)
}

/// Whether two names are of one file that is there, by whatever links.
fn is_same(one: &Path, other: &Path) -> bool {
    #[cfg(unix)]
    if let (Ok(one), Ok(other)) = (fs::metadata(one), fs::metadata(other)) {
        use std::os::unix::fs::MetadataExt as _;
        return (one.dev(), one.ino()) == (other.dev(), other.ino());
    }
    fs::canonicalize(one).is_ok_and(|one| one == other)
}

fn filled(
    target: &mut dyn Write,
    fill: impl FnOnce(&mut BufWriter<&mut dyn Write>) -> io::Result<()>,
) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(64 * 1024, target);
    fill(&mut out)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("goawhy-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_file_is_whole_or_not_there() {
        let folder = folder("whole");
        let place = folder.join("out.txt");
        fs::write(&place, "before").unwrap();
        let output = Output::open(Some(&place), &[]).unwrap();
        assert!(output.write(|_| Err(io::Error::other("full"))).is_err());
        assert_eq!(fs::read_to_string(&place).unwrap(), "before");
        let output = Output::open(Some(&place), &[]).unwrap();
        if matches!(&output, Output::Whole(file) if file.beside.is_none()) {
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing to leave behind");
        }
        output.write(|out| out.write_all(b"after")).unwrap();
        assert_eq!(fs::read_to_string(&place).unwrap(), "after");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_another_run_left_behind_stays() {
        let folder = folder("left");
        let place = folder.join("out.txt");
        let left = folder.join(format!("out.txt.{}.part", std::process::id()));
        fs::write(&left, "left").unwrap();
        drop(Output::open(Some(&place), &[]).unwrap());
        assert_eq!(fs::read_to_string(&left).unwrap(), "left");
        let output = Output::open(Some(&place), &[]).unwrap();
        output.write(|out| out.write_all(b"whole")).unwrap();
        assert_eq!(fs::read_to_string(&place).unwrap(), "whole");
        assert_eq!(fs::read_to_string(&left).unwrap(), "left");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    #[cfg(unix)]
    fn permissions_and_links_stay() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let folder = folder("links");
        let (place, link) = (folder.join("out.txt"), folder.join("link"));
        symlink("out.txt", &link).unwrap();
        let write = || {
            let output = Output::open(Some(&link), &[]).unwrap();
            output.write(|out| out.write_all(b"x")).unwrap();
            assert!(link.symlink_metadata().unwrap().is_symlink());
            place.metadata().unwrap().permissions().mode() & 0o777
        };
        write();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(write(), 0o640);
        assert!(matches!(Output::open(Some(Path::new("/dev/fd/1")), &[]), Ok(Output::Standard)));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_a_descriptor_leads_to_is_written_as_it_is() {
        use std::io::{Read as _, Seek as _};
        use std::os::fd::AsRawFd as _;
        let (mut end, pipe) = io::pipe().unwrap();
        let path = |number: i32| PathBuf::from(format!("/dev/fd/{number}"));
        let output = Output::open(Some(&path(pipe.as_raw_fd())), &[]).unwrap();
        drop(pipe);
        output.write(|out| out.write_all(b"pipe")).unwrap();
        let mut told = String::new();
        end.read_to_string(&mut told).unwrap();
        assert_eq!(told, "pipe");
        let folder = folder("removed");
        let mut options = File::options();
        let place = folder.join("out.txt");
        let mut file = options.read(true).write(true).create_new(true).open(&place).unwrap();
        fs::remove_file(place).unwrap();
        let output = Output::open(Some(&path(file.as_raw_fd())), &[]).unwrap();
        output.write(|out| out.write_all(b"file")).unwrap();
        file.rewind().unwrap();
        told.clear();
        file.read_to_string(&mut told).unwrap();
        assert_eq!((told.as_str(), fs::read_dir(&folder).unwrap().count()), ("file", 0));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn an_input_is_never_written() {
        let folder = folder("input");
        let input = folder.join("a.pcap");
        fs::write(&input, "x").unwrap();
        let other_spelling = folder.join(".").join("a.pcap");
        let error = Output::open(Some(&other_spelling), &[input]).unwrap_err();
        assert!(error.contains("is an input"), "{error}");
        // One that is to come, as a key log may be.
        let later = folder.join("keys.log");
        assert!(Output::open(Some(&folder.join("./keys.log")), &[later]).is_err());
        assert!(are_one(&folder.join("new"), &folder.join("./new")));
        assert!(!are_one(Path::new("/dev/null"), Path::new("/dev/null")));
        assert!(Output::open(Some(&folder), &[]).unwrap_err().contains("directory"));
        fs::remove_dir_all(folder).unwrap();
    }
}
