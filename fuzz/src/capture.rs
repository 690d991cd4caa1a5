//! Room 1: any octets as a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use goawhy::capture::Source;

/// No panic; packet numbers count up; what is read is bounded by what is there.
pub fn run(data: &[u8]) {
    with_file(data, |path| {
        let Ok(mut source) = Source::open(&[path.to_owned()]) else { return };
        let mut last = 0;
        while let Some(packet) = source.next() {
            assert!(packet.stamp.packet() > last);
            last = packet.stamp.packet();
            assert!(packet.data.len() <= 1 << 20);
            if last > 100_000 {
                return;
            }
        }
        assert!(source.bytes_read() <= data.len() as u64);
        let [facts] = &source.facts()[..] else { panic!("one file") };
        let damage = facts.damage.as_ref().map_or("", |damage| &damage.what);
        assert!(!damage.contains("goawhy failed"), "{damage}");
    });
}

/// A file that lives as long as `read` runs, in memory where the system has such files.
pub fn with_file<R>(octets: &[u8], read: impl FnOnce(&Path) -> R) -> R {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let shared = Path::new("/dev/shm");
    let folder = if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() };
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path: PathBuf = folder.join(format!("goawhy-fuzz-{}-{number}", std::process::id()));
    fs::write(&path, octets).unwrap();
    let result = read(&path);
    fs::remove_file(&path).unwrap();
    result
}
