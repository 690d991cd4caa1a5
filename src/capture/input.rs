//! Where octets come from: files, pipes, standard input, decompressed where need be.

use std::fs::File;
use std::io::{self, BufReader, Cursor, ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use crate::error::Error;

/// An opened input, decompressed.
pub(super) struct Input {
    /// The octets of the capture.
    pub(super) stream: Box<dyn Read + Send>,
    /// `.gz`, `.zst` or nothing.
    pub(super) suffix: &'static str,
    /// Octets read so far, before decompression.
    pub(super) counter: Arc<AtomicU64>,
    /// Size of a regular file; pipes have none.
    pub(super) size: Option<u64>,
}

/// Opens `path`, `-` being standard input. `name` is how messages call it.
pub(super) fn open(path: &Path, name: &str) -> Result<Input, Error> {
    let counter = Arc::new(AtomicU64::new(0));
    let (raw, size): (Box<dyn Read + Send>, _) = if path.as_os_str() == "-" {
        (Box::new(Counted { inner: io::stdin(), counter: Arc::clone(&counter) }), None)
    } else {
        let (file, size) = open_file(path, name)?;
        (Box::new(Counted { inner: file, counter: Arc::clone(&counter) }), size)
    };
    let (stream, suffix) = decompress(raw, name)?;
    Ok(Input { stream, suffix, counter, size })
}

fn open_file(path: &Path, name: &str) -> Result<(File, Option<u64>), Error> {
    let file = File::open(path).map_err(|error| refused(error, name))?;
    let metadata = file.metadata().map_err(|error| refused(error, name))?;
    if metadata.is_dir() {
        return Err(Error::Directory { file: name.to_owned() });
    }
    Ok((file, metadata.is_file().then_some(metadata.len())))
}

fn refused(source: io::Error, name: &str) -> Error {
    let file = name.to_owned();
    match source.kind() {
        ErrorKind::NotFound => Error::Missing { file },
        ErrorKind::PermissionDenied => Error::Permission { file },
        _ => Error::Io { file, operation: "open it", source },
    }
}

/// Puts a decompressor in front where the first octets ask for one; names do not count.
fn decompress(
    mut raw: Box<dyn Read + Send>,
    name: &str,
) -> Result<(Box<dyn Read + Send>, &'static str), Error> {
    let head = read_head(&mut raw).map_err(|source| Error::Io {
        file: name.to_owned(),
        operation: "read it",
        source,
    })?;
    if head.is_empty() {
        return Err(Error::Empty { file: name.to_owned() });
    }
    if let Some((_, what)) = UNREADABLE.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(Error::Compression { file: name.to_owned(), what });
    }
    let is_gzip = head.starts_with(&[0x1f, 0x8b]);
    let is_zstd = is_zstd(&head);
    let whole = Cursor::new(head).chain(raw);
    if is_gzip {
        let packed = BufReader::with_capacity(PACKED_BUFFER, whole);
        return Ok((Box::new(MultiGzDecoder::new(packed)), ".gz"));
    }
    if is_zstd {
        let packed = BufReader::with_capacity(PACKED_BUFFER, whole);
        let decoder = zstd::stream::read::Decoder::with_buffer(packed).map_err(|source| {
            Error::Io { file: name.to_owned(), operation: "decompress it", source }
        })?;
        return Ok((Box::new(decoder), ".zst"));
    }
    Ok((Box::new(whole), ""))
}

/// A zstd frame, or a skippable frame that may stand in front of one (RFC 8878 section 3.1).
fn is_zstd(head: &[u8]) -> bool {
    matches!(head, [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

fn read_head(raw: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD);
    raw.take(HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Counts what passes, for progress.
struct Counted<R> {
    inner: R,
    counter: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let octets = self.inner.read(space)?;
        self.counter.fetch_add(octets as u64, Ordering::Relaxed);
        Ok(octets)
    }
}

/// Octets that tell the compressions apart.
const HEAD: usize = 6;
/// Compressed octets read at once.
const PACKED_BUFFER: usize = 256 * 1024;
/// Compressions that are recognised, to say so, and not opened.
const UNREADABLE: [(&[u8], &str); 7] = [
    (&[0xfd, b'7', b'z', b'X', b'Z'], "xz"),
    (b"BZh", "bzip2"),
    (&[0x04, 0x22, 0x4d, 0x18], "lz4"),
    (b"PK\x03\x04", "zip"),
    (&[b'7', b'z', 0xbc, 0xaf], "7z"),
    (&[0x1f, 0x9d], "compress"),
    (b"Rar!", "rar"),
];

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn unpacked(octets: Vec<u8>) -> (Vec<u8>, &'static str) {
        let (mut stream, suffix) = decompress(Box::new(Cursor::new(octets)), "x").unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        (all, suffix)
    }

    #[test]
    fn compression_is_known_by_its_octets() {
        let plain = b"0123456789".repeat(100);
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&plain).unwrap();
        let gz = gz.finish().unwrap();
        // Two members behind each other are one stream (RFC 1952 section 2.2).
        assert_eq!(unpacked([gz.clone(), gz].concat()), ([&plain[..], &plain].concat(), ".gz"));
        let zst = zstd::stream::encode_all(&plain[..], 1).unwrap();
        assert_eq!(unpacked([zst.clone(), zst].concat()), ([&plain[..], &plain].concat(), ".zst"));
        assert_eq!(unpacked(plain.clone()), (plain, ""));
    }

    #[test]
    fn a_foreign_compression_is_named() {
        for (magic, name) in UNREADABLE {
            let octets = [magic, &[0; 20]].concat();
            let Err(error) = decompress(Box::new(Cursor::new(octets)), "x") else { panic!() };
            let message = error.to_string();
            assert!(message.contains(name) && !message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn what_cannot_be_opened_says_why() {
        let missing = open(Path::new("/nonexistent/a.pcap"), "a.pcap").err().unwrap();
        assert!(matches!(missing, Error::Missing { .. }));
        let directory = open(Path::new("/"), "/").err().unwrap();
        assert!(matches!(directory, Error::Directory { .. }));
        let empty = decompress(Box::new(io::empty()), "x").err().unwrap();
        assert!(matches!(empty, Error::Empty { .. }));
    }
}
