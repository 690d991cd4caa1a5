//! Captures made by hand, for the tests of this room.

use std::fs;
use std::io::{Cursor, Read};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use super::file::Reader;
use super::input::Input;

/// A pcap file in the making.
pub(super) struct Pcap {
    octets: Vec<u8>,
    is_big: bool,
    /// Octets of a record header behind the first sixteen.
    extra: usize,
}

impl Pcap {
    pub(super) fn little() -> Self {
        Self::new(0xa1b2_c3d4, 1, false)
    }

    pub(super) fn big() -> Self {
        Self::new(0xa1b2_c3d4, 1, true)
    }

    pub(super) fn new(magic: u32, network: u32, is_big: bool) -> Self {
        let extra = if magic == 0xa1b2_cd34 { 8 } else { 0 };
        let mut file = Self { octets: Vec::new(), is_big, extra };
        file.word(magic);
        file.word(if is_big { 0x0002_0004 } else { 0x0004_0002 });
        for word in [0, 0, 0, network] {
            file.word(word);
        }
        file
    }

    fn word(&mut self, word: u32) {
        self.octets.extend(if self.is_big { word.to_be_bytes() } else { word.to_le_bytes() });
    }

    /// A record with all its fields.
    pub(super) fn record(mut self, at: (u32, u32), lengths: (u32, u32), data: &[u8]) -> Self {
        for word in [at.0, at.1, lengths.0, lengths.1] {
            self.word(word);
        }
        self.octets.resize(self.octets.len() + self.extra, 0xcc);
        self.octets.extend(data);
        self
    }

    /// A whole packet at a full second.
    pub(super) fn packet(self, second: u32, data: &[u8], wire: u32) -> Self {
        self.record((second, 0), (data.len() as u32, wire), data)
    }

    pub(super) fn done(self) -> Vec<u8> {
        self.octets
    }
}

/// A pcapng block, little-endian.
pub(super) fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let padding = vec![0; body.len().next_multiple_of(4) - body.len()];
    let length = ((12 + body.len() + padding.len()) as u32).to_le_bytes();
    [&kind.to_le_bytes()[..], &length, body, &padding, &length].concat()
}

pub(super) fn section() -> Vec<u8> {
    block(
        0x0a0d_0d0a,
        &[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255],
    )
}

/// An Ethernet interface without snap length.
pub(super) fn interface(options: &[u8]) -> Vec<u8> {
    block(1, &[&[1, 0, 0, 0, 0, 0, 0, 0], options].concat())
}

/// An enhanced packet.
pub(super) fn enhanced(id: u32, units: u64, data: &[u8], wire: u32, options: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for word in [id, (units >> 32) as u32, units as u32, data.len() as u32, wire] {
        body.extend(word.to_le_bytes());
    }
    body.extend(data);
    body.resize(body.len().next_multiple_of(4), 0);
    body.extend(options);
    block(6, &body)
}

/// A reader of octets in memory; `None` if they are no capture.
pub(super) fn source(file: &[u8]) -> Option<Reader> {
    reader(Box::new(Cursor::new(file.to_vec())), 64)
}

/// A reader of any stream.
pub(super) fn reader(stream: Box<dyn Read + Send>, buffer_size: usize) -> Option<Reader> {
    let input = Input { stream, suffix: "", counter: Default::default(), size: None };
    Reader::over(input, "-".to_owned(), 0, buffer_size).ok()
}

/// A folder that is removed at the end of a test.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("goawhy-capture-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn file(&self, name: &str, octets: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, octets).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A generator of numbers that are the same on every run (xorshift).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number under `bound`; 0 if that is 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 16) as usize % bound.max(1)
    }
}
