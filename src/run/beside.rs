//! Files that come to their place when they are whole: until then they stand beside it, under a
//! name that this process made and nobody else has.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Makes something under the first name beside `place` that is free; gives that name, too.
///
/// # Errors
/// What `make` says; that a name is taken is no error as long as there are others.
pub fn make<T>(
    place: &Path,
    mut make: impl FnMut(&Path) -> io::Result<T>,
) -> io::Result<(PathBuf, T)> {
    let mut number = 0_u32;
    loop {
        let mut name = place.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}", std::process::id()));
        if number > 0 {
            name.push(format!("-{number}"));
        }
        name.push(".part");
        let beside = place.with_file_name(name);
        match make(&beside) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < NAMES => {
                number += 1;
            }
            made => return made.map(|made| (beside, made)),
        }
    }
}

/// Makes a file that was not there before.
///
/// # Errors
/// What the system says.
pub fn create(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).open(path)
}

/// Names that are tried: those of runs that were killed may be taken.
const NAMES: u32 = 99;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_taken_is_left_alone() {
        let folder = std::env::temp_dir().join(format!("goawhy-beside-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let place = folder.join("out");
        let names: Vec<PathBuf> = (0..3).map(|_| make(&place, create).unwrap().0).collect();
        assert!(names[0] != names[1] && names[1] != names[2]);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 3);
        std::fs::remove_dir_all(folder).unwrap();
        assert!(make(&place, create).is_err());
    }
}
