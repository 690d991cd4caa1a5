//! One capture file or stream, read record by record.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::buffer::Buffer;
use super::input::{self, Input};
use super::pcap::Pcap;
use super::pcapng::Pcapng;
use super::record::{Record, Step};
use crate::error::Error;
use crate::guard::against_panics;
use crate::vocab::capture::{CaptureFacts, Damage};
use crate::vocab::packet::{LinkType, Packet};
use crate::vocab::time::{Stamp, Timestamp};
use crate::vocab::tls::KeyLines;

/// A reader that stands on a packet after each successful [`Reader::advance`].
pub(super) struct Reader {
    capture: u16,
    stream: Box<dyn Read + Send>,
    buffer: Buffer,
    format: Format,
    /// The packet it stands on; its place counts from the start of the buffer's data.
    record: Record,
    /// Octets of the record it stands on, consumed when it moves on.
    standing: usize,
    ended: bool,
    facts: CaptureFacts,
    counter: Arc<AtomicU64>,
    size: Option<u64>,
    /// Nanoseconds that are added to its times.
    shift: i64,
}

enum Format {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

impl Reader {
    /// Opens `path` as capture number `capture` and reads its file header.
    pub(super) fn open(path: &Path, capture: u16, buffer_size: usize) -> Result<Self, Error> {
        let name = path.to_string_lossy().into_owned();
        let input = input::open(path, &name)?;
        Self::over(input, name, capture, buffer_size)
    }

    /// Reads the file header of an opened input.
    pub(super) fn over(
        mut input: Input,
        name: String,
        capture: u16,
        buffer_size: usize,
    ) -> Result<Self, Error> {
        let mut buffer = Buffer::with_size(buffer_size);
        let (format, head) = read_header(&mut buffer, &mut input.stream, &name)?;
        let kind = match format {
            Format::Pcap(_) => "pcap",
            Format::Pcapng(_) => "pcapng",
        };
        buffer.consume(head);
        Ok(Self {
            capture,
            stream: input.stream,
            buffer,
            format,
            record: NO_RECORD,
            standing: 0,
            ended: false,
            facts: CaptureFacts {
                file: name,
                format: format!("{kind}{}", input.suffix),
                ..CaptureFacts::default()
            },
            counter: input.counter,
            size: input.size,
            shift: 0,
        })
    }

    /// From now on adds so many nanoseconds to its times.
    pub(super) fn shift(&mut self, nanoseconds: i64) {
        self.shift = nanoseconds;
    }

    /// Moves to the next packet; false at the end, be it regular or damage.
    #[inline]
    pub(super) fn advance(&mut self) -> bool {
        against_panics(|| self.step()).unwrap_or_else(|place| {
            self.damaged(format!("goawhy failed at {place}; please report this"));
            false
        })
    }

    fn step(&mut self) -> bool {
        self.buffer.consume(std::mem::take(&mut self.standing));
        loop {
            if self.ended {
                return false;
            }
            let data = self.buffer.data();
            let step = match &mut self.format {
                Format::Pcap(pcap) => pcap.step(data),
                Format::Pcapng(pcapng) => pcapng.step(data),
            };
            match step {
                Step::Packet(mut record, octets) => {
                    record.at.0 = record.at.0.saturating_add(self.shift);
                    self.count(&record);
                    self.record = record;
                    self.standing = octets;
                    return true;
                }
                Step::Other(octets) => self.buffer.consume(octets),
                Step::More(wanted) => self.fill(wanted),
                Step::Damage(what) => self.damaged(what),
            }
        }
    }

    /// Time of the packet it stands on.
    #[inline]
    pub(super) fn at(&self) -> Timestamp {
        self.record.at
    }

    /// The packet it stands on.
    #[inline]
    pub(super) fn packet(&self) -> Packet<'_> {
        Packet {
            stamp: Stamp::new(self.capture, self.facts.packets, self.record.at),
            link: self.record.link,
            data: self.buffer.data().get(self.record.place.clone()).unwrap_or_default(),
            wire_length: self.record.wire_length,
            fcs_length: self.record.fcs_length,
        }
    }

    /// Number of the interface of the packet it stands on.
    pub(super) fn interface(&self) -> u32 {
        self.record.interface
    }

    /// Counters so far.
    pub(super) fn facts(&self) -> CaptureFacts {
        let kernel_dropped = match &self.format {
            Format::Pcap(_) => None,
            Format::Pcapng(pcapng) => pcapng.dropped(),
        };
        CaptureFacts { kernel_dropped, ..self.facts.clone() }
    }

    /// Whether there are TLS key logs to be taken.
    #[inline]
    pub(super) fn has_secrets(&self) -> bool {
        matches!(&self.format, Format::Pcapng(pcapng) if pcapng.has_secrets())
    }

    /// TLS key logs found since the last call.
    pub(super) fn take_secrets(&mut self) -> Vec<KeyLines> {
        match &mut self.format {
            Format::Pcap(_) => Vec::new(),
            Format::Pcapng(pcapng) => pcapng.take_secrets(),
        }
    }

    /// Whether secrets may yet come that cannot be read ahead: it is a pcapng that arrives in a
    /// pipe.
    pub(super) fn may_bring_secrets(&self) -> bool {
        self.size.is_none() && matches!(&self.format, Format::Pcapng(_))
    }

    /// Octets read so far, before decompression.
    pub(super) fn bytes_read(&self) -> u64 {
        self.counter.load(Ordering::Relaxed)
    }

    /// Size of a regular file.
    pub(super) fn size(&self) -> Option<u64> {
        self.size
    }

    #[inline]
    fn count(&mut self, record: &Record) {
        let captured = record.place.len();
        self.facts.packets += 1;
        self.facts.bytes += captured as u64;
        if (captured as u64) < u64::from(record.wire_length) {
            self.facts.truncated_packets += 1;
        }
        self.facts.first_packet_at.get_or_insert(record.at);
        self.facts.last_packet_at = self.facts.last_packet_at.max(Some(record.at));
    }

    #[cold]
    fn fill(&mut self, wanted: usize) {
        match self.buffer.fill(&mut self.stream, wanted) {
            Ok(0) if self.buffer.data().is_empty() => self.ended = true,
            Ok(0) => self.damaged("the file ends inside a record".to_owned()),
            Ok(_) => {}
            Err(error) => self.damaged(broken(&error)),
        }
    }

    fn damaged(&mut self, what: String) {
        self.ended = true;
        self.facts.damage = Some(Damage { packet: self.facts.packets + 1, what });
    }
}

/// Tells the format by its magic and opens its header; gives the header's length, too.
fn read_header(
    buffer: &mut Buffer,
    stream: &mut dyn Read,
    name: &str,
) -> Result<(Format, usize), Error> {
    let file = name.to_owned();
    loop {
        let data = buffer.data();
        if Pcap::is(data) {
            if let Some((pcap, octets)) = Pcap::open(data) {
                return Ok((Format::Pcap(pcap), octets));
            }
        } else if data.len() >= SECTION_HEAD && Pcapng::is(data) {
            let Some(pcapng) = Pcapng::open(data) else {
                let what = "pcapng with a broken byte-order mark".to_owned();
                return Err(Error::Format { file, what });
            };
            return Ok((Format::Pcapng(pcapng), 0));
        } else if data.len() >= MAGIC && !Pcapng::is(data) {
            // One read more than the magic took is enough to tell text from other files; whether
            // it fails does not matter any more.
            let _ = buffer.fill(stream, TEXT_LOOK);
            return Err(foreign(buffer.data(), file));
        }
        match buffer.fill(stream, PCAP_HEAD) {
            Ok(0) if buffer.data().is_empty() => return Err(Error::Empty { file }),
            Ok(0) if is_text(buffer.data()) => return Err(Error::Text { file }),
            Ok(0) => return Err(Error::ShortHeader { file }),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(Error::CutShort { file });
            }
            Err(source) => return Err(Error::Io { file, operation: "read it", source }),
        }
    }
}

/// What a file is that is no capture of ours.
fn foreign(data: &[u8], file: String) -> Error {
    if let Some((_, what)) = FOREIGN.iter().find(|(magic, _)| data.starts_with(magic)) {
        return Error::Format { file, what: (*what).to_owned() };
    }
    if is_text(data) {
        return Error::Text { file };
    }
    let magic: Vec<String> = data.iter().take(MAGIC).map(|octet| format!("{octet:02x}")).collect();
    Error::Format { file, what: format!("no capture (it starts with {})", magic.join(" ")) }
}

fn is_text(data: &[u8]) -> bool {
    let start = data.get(..TEXT_LOOK).unwrap_or(data);
    let is_printable =
        start.iter().all(|octet| matches!(octet, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..));
    // A character that the look cuts in two is text all the same.
    let is_utf8 = std::str::from_utf8(start).map_or_else(|e| e.error_len().is_none(), |_| true);
    is_printable && is_utf8
}

fn broken(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the compressed file is cut short".to_owned(),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            format!("the compressed file is corrupt ({error})")
        }
        _ => format!("it cannot be read further ({error})"),
    }
}

/// Stands nowhere.
const NO_RECORD: Record = Record {
    at: Timestamp(0),
    link: LinkType::UNKNOWN,
    wire_length: 0,
    interface: 0,
    fcs_length: 0,
    place: 0..0,
};
/// Octets of any magic.
const MAGIC: usize = 4;
/// Octets of a pcap file header.
const PCAP_HEAD: usize = 24;
/// Octets of a section header up to its byte-order magic.
const SECTION_HEAD: usize = 12;
/// Octets looked at to tell text from other files.
const TEXT_LOOK: usize = 512;
/// Formats that users mistake for pcap.
const FOREIGN: [(&[u8], &str); 5] = [
    (b"snoop\0\0\0", "a Solaris snoop capture"),
    (b"GMBU", "a Microsoft Network Monitor capture"),
    (b"RTSS", "a Microsoft Network Monitor capture"),
    (b"XCP\0", "a Sniffer capture"),
    (b"\x0a\x0d\x0a\x1a", "a pcapng file damaged by a transfer in text mode"),
];

#[cfg(test)]
mod tests {
    use super::super::sample::{self, Pcap};
    use super::*;

    /// A pipe that gives so many octets at a time, and must not be asked again before they are
    /// used up.
    struct Pipe {
        chunks: Vec<Vec<u8>>,
        allowed: Arc<AtomicU64>,
    }

    impl Read for Pipe {
        fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
            assert!(self.allowed.fetch_sub(1, Ordering::Relaxed) > 0, "read ahead of need");
            let chunk = self.chunks.remove(0);
            space[..chunk.len()].copy_from_slice(&chunk);
            Ok(chunk.len())
        }
    }

    #[test]
    fn a_pipe_delivers_packets_as_they_come() {
        let file = Pcap::little().packet(1, b"abc", 3).packet(2, b"def", 3).done();
        let allowed = Arc::new(AtomicU64::new(2));
        let chunks = [&file[..10], &file[10..43], &file[43..50], &file[50..], &[]];
        let chunks = chunks.map(<[u8]>::to_vec).to_vec();
        let pipe = Pipe { chunks, allowed: Arc::clone(&allowed) };
        let mut reader = sample::reader(Box::new(pipe), 1_024).unwrap();
        assert!(reader.advance());
        assert_eq!(reader.packet().data, b"abc");
        allowed.store(2, Ordering::Relaxed);
        assert!(reader.advance());
        assert_eq!(reader.packet().data, b"def");
        allowed.store(1, Ordering::Relaxed);
        assert!(!reader.advance());
        assert_eq!(reader.facts().damage, None);
    }

    #[test]
    fn a_failing_stream_ends_with_what_it_gave() {
        struct Broken(bool);
        impl Read for Broken {
            fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
                if std::mem::replace(&mut self.0, true) {
                    return Err(io::Error::other("disk on fire"));
                }
                let file = Pcap::little().packet(1, b"abc", 3).done();
                space[..file.len()].copy_from_slice(&file);
                Ok(file.len())
            }
        }
        let mut reader = sample::reader(Box::new(Broken(false)), 1_024).unwrap();
        assert!(reader.advance() && !reader.advance());
        let damage = reader.facts().damage.unwrap();
        assert!(damage.packet == 2 && damage.what.contains("disk on fire"), "{damage:?}");
    }

    #[test]
    fn a_packet_larger_than_the_buffer_is_read() {
        let large = vec![7; 200_000];
        let file = Pcap::little().packet(1, &large, 200_000).packet(2, b"x", 1).done();
        let mut reader = sample::source(&file).unwrap();
        assert!(reader.advance());
        assert_eq!(reader.packet().data, large);
        assert!(reader.advance());
        assert_eq!(reader.packet().data, b"x");
    }

    #[test]
    fn a_file_cut_short_names_the_packet_it_broke_in() {
        let file = Pcap::little().packet(1, b"abc", 3).packet(2, b"def", 3).done();
        for missing in 1..19 {
            let mut reader = sample::source(&file[..file.len() - missing]).unwrap();
            assert!(reader.advance() && !reader.advance());
            assert_eq!(reader.facts().damage.unwrap().packet, 2, "{missing}");
        }
    }
}
