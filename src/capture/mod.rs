//! Room 1, capture: takes paths, gives packets in time order.
//!
//! Reads pcap and pcapng, plain, gzip or zstd, from files and standard input, in bounded memory.
//! Never decides what a packet means, and never fails on what a file holds: damage is a fact.

mod buffer;
mod file;
#[cfg(feature = "live")]
pub mod filter;
mod input;
#[cfg(feature = "live")]
pub mod live;
pub mod order;
mod pcap;
mod pcapng;
mod record;
#[cfg(test)]
mod sample;
pub mod save;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::path::PathBuf;

use self::file::Reader;
use self::order::{ByTime, Disorder, Held};
use crate::error::Error;
use crate::vocab::capture::{CaptureFacts, Damage};
use crate::vocab::packet::Packet;
use crate::vocab::time::Timestamp;
use crate::vocab::tls::KeyLines;

/// All captures of one run, as one sequence of packets.
pub struct Source {
    slots: Vec<Slot>,
    /// Nanoseconds to be added to the times of each; nothing beyond its end.
    shifts: Vec<i64>,
    /// First waiting packet of each slot that is not at its end, earliest on top; the slot whose
    /// packet was given out last is not in it.
    waiting: BinaryHeap<Reverse<(Timestamp, usize)>>,
    /// The slot whose packet was given out last.
    current: Option<usize>,
    /// TLS key logs found so far in files.
    secrets: Vec<KeyLines>,
    /// TLS key logs that came in pipes and were not given out yet.
    fresh: VecDeque<KeyLines>,
    /// Octets of `secrets` and `fresh`; at most [`SECRETS_MAX`].
    secrets_octets: usize,
    /// The slot whose packet is given out once `fresh` is.
    standing: Option<usize>,
    /// Packets that were read ahead, and the one of them given out last.
    ahead: (VecDeque<Held>, Option<Held>),
    /// Where packets are put in order of time: what waits, and the packet given out last.
    sorting: Option<(ByTime, Option<Held>)>,
}

/// What comes next.
pub enum Item<'a> {
    /// A packet.
    Packet(Packet<'a>),
    /// Secrets that stand in a pipe before the packet that comes next.
    Secrets(KeyLines),
}

/// One path.
struct Slot {
    path: PathBuf,
    /// Size of a regular file in octets.
    size: Option<u64>,
    state: State,
}

enum State {
    /// Open, and standing on a packet unless it is at its end.
    Open(Box<Reader>),
    /// Looked at and closed until the packets reach its time.
    Later(CaptureFacts),
    /// Read to its end.
    Ended(CaptureFacts, u64),
}

impl Source {
    /// Opens `paths` (`-` is standard input) and reads as far as the first packet of each.
    ///
    /// # Errors
    ///
    /// Where an input cannot be read at all: missing, empty, not a capture.
    pub fn open(paths: &[PathBuf]) -> Result<Self, Error> {
        Self::open_shifted(paths, &[])
    }

    /// As [`Source::open`]; `shifts` are nanoseconds to be added to the times of each, whose clock
    /// went wrong.
    ///
    /// # Errors
    ///
    /// As [`Source::open`].
    pub fn open_shifted(paths: &[PathBuf], shifts: &[i64]) -> Result<Self, Error> {
        let mut source = Self {
            shifts: shifts.to_vec(),
            slots: Vec::with_capacity(paths.len()),
            waiting: BinaryHeap::new(),
            current: None,
            secrets: Vec::new(),
            fresh: VecDeque::new(),
            secrets_octets: 0,
            standing: None,
            ahead: Default::default(),
            sorting: None,
        };
        for (at, path) in paths.iter().enumerate() {
            let capture = u16::try_from(at).unwrap_or(u16::MAX);
            let mut reader = Reader::open(path, capture, BUFFER)?;
            reader.shift(shifts.get(at).copied().unwrap_or(0));
            let (path, size) = (path.clone(), reader.size());
            source.slots.push(Slot { path, size, state: State::Open(Box::new(reader)) });
            // A single stream is not read ahead of need: its first packet may be long in coming.
            if paths.len() == 1 {
                source.current = Some(0);
            } else {
                source.stand(at, paths.len() > OPEN_MAX);
            }
        }
        Ok(source)
    }

    /// The next packet in time order over all captures; each capture keeps its own order. `None`
    /// at the end. Borrowed from the reader's buffer, so it must be let go before the next call.
    #[allow(clippy::should_implement_trait)] // An iterator could not lend from its buffer.
    #[inline]
    pub fn next(&mut self) -> Option<Packet<'_>> {
        if self.sorting.is_some() {
            return self.next_by_time();
        }
        self.next_of_record()
    }

    /// As [`Source::next`] where nothing was sorted or read ahead; and its interface in the file.
    pub fn next_on_interface(&mut self) -> Option<(u32, Packet<'_>)> {
        let at = self.standing.take().or_else(|| self.step())?;
        let State::Open(reader) = &self.slots.get(at)?.state else { return None };
        Some((reader.interface(), reader.packet()))
    }

    /// As [`Source::next`], and the secrets that pipes bring on the way: those of files can be had
    /// before, from a reading of its own.
    #[inline]
    pub fn next_item(&mut self) -> Option<Item<'_>> {
        if self.fresh.is_empty() && self.ahead.0.is_empty() && self.standing.is_none() {
            self.standing = self.step();
        }
        if let Some(lines) = self.fresh.pop_front() {
            self.secrets_octets = self.secrets_octets.saturating_sub(lines.len());
            return Some(Item::Secrets(lines));
        }
        self.next().map(Item::Packet)
    }

    /// Whether secrets may come that cannot be had before their packets: a pcapng file arrives in
    /// a pipe.
    pub fn may_bring_secrets(&self) -> bool {
        let brings = |slot: &Slot| match &slot.state {
            State::Open(reader) => reader.may_bring_secrets(),
            State::Later(_) | State::Ended(..) => false,
        };
        self.slots.iter().any(brings)
    }

    /// Reads ahead up to about so many octets of packets: what [`Source::next_item`] gives next
    /// are the secrets found on the way. Tells whether the packets are out of order of time.
    pub fn read_ahead(&mut self, octets: usize) -> bool {
        let (mut held, mut weight) = (VecDeque::new(), 0_usize);
        let (mut disorder, mut unsorted) = (Disorder::default(), false);
        while weight < octets
            && let Some(packet) = self.next_of_record()
        {
            unsorted |= disorder.sees(packet.stamp.at);
            let packet = Held::of(&packet);
            weight = weight.saturating_add(packet.weight());
            held.push_back(packet);
        }
        self.ahead.0 = held;
        unsorted
    }

    #[inline]
    fn next_of_record(&mut self) -> Option<Packet<'_>> {
        if let Some(held) = self.ahead.0.pop_front() {
            return Some(self.ahead.1.insert(held).packet());
        }
        let at = self.standing.take().or_else(|| self.step())?;
        let State::Open(reader) = &self.slots.get(at)?.state else { return None };
        Some(reader.packet())
    }

    fn next_by_time(&mut self) -> Option<Packet<'_>> {
        let (mut sorter, _) = self.sorting.take()?;
        let mut next = None;
        while next.is_none() {
            match self.next_of_record() {
                Some(packet) => sorter.hold(&packet),
                None => break,
            }
            next = sorter.next(false);
        }
        let next = next.or_else(|| sorter.next(true));
        let (_, given) = self.sorting.insert((sorter, next));
        given.as_ref().map(Held::packet)
    }

    /// From now on gives packets in order of time also within each capture, as far as `octets` of
    /// waiting packets reach.
    pub fn sort_by_time(&mut self, octets: usize) {
        self.sorting = Some((ByTime::new(octets), None));
    }

    /// Opens files as [`Source::open`] does, to be read in order of time: they are read through
    /// before, up to where it is sure that their records are not in that order. A pipe cannot be
    /// read twice, and is taken as it comes.
    ///
    /// # Errors
    ///
    /// As [`Source::open`].
    pub fn open_in_order(paths: &[PathBuf], shifts: &[i64], octets: usize) -> Result<Self, Error> {
        let mut first = Self::open_shifted(paths, shifts)?;
        if first.total_bytes().is_none() {
            return Ok(first);
        }
        let mut disorder = Disorder::default();
        let mut sorted = true;
        while let Some(packet) = first.next()
            && sorted
        {
            sorted = !disorder.sees(packet.stamp.at);
        }
        let mut source = Self::open_shifted(paths, shifts)?;
        if !sorted {
            source.sort_by_time(octets);
        }
        Ok(source)
    }

    /// Counters of each capture in the order of the paths, as far as it has been read. `skipped`
    /// is left empty: this room does not look into packets.
    pub fn facts(&self) -> Vec<CaptureFacts> {
        self.slots
            .iter()
            .map(|slot| match &slot.state {
                State::Open(reader) => reader.facts(),
                State::Later(facts) | State::Ended(facts, _) => facts.clone(),
            })
            .collect()
    }

    /// Octets of the files read so far, before decompression.
    pub fn bytes_read(&self) -> u64 {
        self.slots
            .iter()
            .map(|slot| match &slot.state {
                State::Open(reader) => reader.bytes_read(),
                State::Later(_) => 0,
                State::Ended(_, octets) => *octets,
            })
            .fold(0, u64::saturating_add)
    }

    /// Octets of all files, before decompression; `None` if one of them is a pipe.
    pub fn total_bytes(&self) -> Option<u64> {
        self.slots.iter().map(|slot| slot.size).sum()
    }

    /// TLS key logs (SSLKEYLOGFILE text) that Decryption Secrets Blocks of files held so far, in
    /// order of reading. Grows while packets are read: compare its length. What exceeds 16 MiB is
    /// left out.
    pub fn secrets(&self) -> &[KeyLines] {
        &self.secrets
    }

    /// Moves on to the next packet; gives the slot that stands on it.
    #[inline]
    fn step(&mut self) -> Option<usize> {
        if let Some(at) = self.current {
            let Some(Slot { state: State::Open(reader), .. }) = self.slots.get_mut(at) else {
                return None;
            };
            let more = reader.advance();
            let time = reader.at();
            if reader.has_secrets() {
                let found = reader.take_secrets();
                self.keep(at, found);
            }
            if !more {
                self.current = None;
                self.end(at);
            } else if self.is_first(time, at) {
                return Some(at);
            } else {
                self.waiting.push(Reverse((time, at)));
            }
        }
        self.current = None;
        while let Some(Reverse((_, at))) = self.waiting.pop() {
            if self.reopen(at) {
                self.current = Some(at);
                return Some(at);
            }
        }
        None
    }

    /// Whether a packet of slot `at` comes before all that wait.
    #[inline]
    fn is_first(&self, time: Timestamp, at: usize) -> bool {
        self.waiting.peek().is_none_or(|Reverse(next)| (time, at) < *next)
    }

    /// Reads slot `at` as far as its first packet and lines it up; `close` if many are to come.
    fn stand(&mut self, at: usize, close: bool) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        let State::Open(reader) = &mut slot.state else { return };
        if !reader.advance() {
            let found = reader.take_secrets();
            self.keep(at, found);
            self.end(at);
            return;
        }
        self.waiting.push(Reverse((reader.at(), at)));
        // A pipe cannot be opened twice.
        if close && slot.size.is_some() {
            let facts = reader.facts();
            let (file, format) = (facts.file, facts.format);
            slot.state = State::Later(CaptureFacts { file, format, ..CaptureFacts::default() });
        } else {
            let found = reader.take_secrets();
            self.keep(at, found);
        }
    }

    /// Opens a capture that was closed until now; false if that no longer works.
    fn reopen(&mut self, at: usize) -> bool {
        let Some(slot) = self.slots.get_mut(at) else { return false };
        let State::Later(facts) = &slot.state else { return true };
        let capture = u16::try_from(at).unwrap_or(u16::MAX);
        match Reader::open(&slot.path, capture, BUFFER) {
            Ok(mut reader) => {
                reader.shift(self.shifts.get(at).copied().unwrap_or(0));
                let more = reader.advance();
                let found = reader.take_secrets();
                slot.state = State::Open(Box::new(reader));
                self.keep(at, found);
                if !more {
                    self.end(at);
                }
                more
            }
            Err(error) => {
                let damage = Some(Damage { packet: 1, what: error.to_string() });
                slot.state = State::Ended(CaptureFacts { damage, ..facts.clone() }, 0);
                false
            }
        }
    }

    /// Closes a capture that is at its end, and gives its memory back.
    fn end(&mut self, at: usize) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        if let State::Open(reader) = &slot.state {
            slot.state = State::Ended(reader.facts(), reader.bytes_read());
        }
    }

    #[inline]
    fn keep(&mut self, at: usize, found: Vec<KeyLines>) {
        let is_file = self.slots.get(at).is_some_and(|slot| slot.size.is_some());
        for secret in found {
            let octets = self.secrets_octets.saturating_add(secret.len());
            if octets > SECRETS_MAX {
                continue;
            }
            self.secrets_octets = octets;
            if is_file {
                self.secrets.push(secret);
            } else {
                self.fresh.push_back(secret);
            }
        }
    }
}

/// Octets read at once from a capture: large enough for few system calls, small enough to leave
/// room in a core's cache for what is read.
const BUFFER: usize = 256 * 1024;
/// Captures held open at once; of more, those whose time has not come are closed again. A ring of
/// a thousand files would need a thousand descriptors and buffers otherwise.
const OPEN_MAX: usize = 16;
/// Octets of key logs that are kept: a hundred thousand connections of TLS 1.3.
const SECRETS_MAX: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::sample::{Folder, Pcap, Random, enhanced, interface, section};
    use super::*;

    /// Capture, packet number, second and octets of each packet.
    type Seen = Vec<(usize, u64, i64, Vec<u8>)>;

    fn all(source: &mut Source) -> Seen {
        let mut packets = Vec::new();
        while let Some(packet) = source.next() {
            let stamp = packet.stamp;
            let second = stamp.at.0 / 1_000_000_000;
            packets.push((stamp.capture(), stamp.packet(), second, packet.data.to_vec()));
        }
        packets
    }

    fn read(file: &[u8]) -> (Seen, CaptureFacts) {
        let folder = Folder::new();
        let mut source = Source::open(&[folder.file("a.pcap", file)]).unwrap();
        let packets = all(&mut source);
        assert!(source.next().is_none(), "the end stays the end");
        (packets, source.facts().pop().unwrap())
    }

    #[test]
    fn a_file_gives_its_packets_and_its_facts() {
        let folder = Folder::new();
        let file = Pcap::little().packet(5, b"abc", 3).packet(4, b"defgh", 9).done();
        let path = folder.file("a.pcap", &file);
        let mut source = Source::open(&[path]).unwrap();
        let packets = all(&mut source);
        assert_eq!(packets, [(0, 1, 5, b"abc".to_vec()), (0, 2, 4, b"defgh".to_vec())]);
        let facts = source.facts().pop().unwrap();
        assert!(facts.file.ends_with("a.pcap"));
        assert_eq!((facts.format.as_str(), facts.packets, facts.bytes), ("pcap", 2, 8));
        assert_eq!(facts.first_packet_at, Some(Timestamp::from_parts(5, 0)));
        assert_eq!(facts.last_packet_at, Some(Timestamp::from_parts(5, 0)));
        assert_eq!((facts.truncated_packets, facts.kernel_dropped), (1, None));
        assert_eq!(facts.damage, None);
        let size = file.len() as u64;
        assert_eq!((source.bytes_read(), source.total_bytes()), (size, Some(size)));
    }

    #[test]
    fn a_header_alone_is_a_capture_without_packets() {
        let (packets, facts) = read(&Pcap::little().done());
        assert!(packets.is_empty() && facts.damage.is_none());
        assert_eq!((facts.packets, facts.first_packet_at), (0, None));
    }

    #[test]
    fn several_files_come_in_time_order_and_keep_their_own() {
        let folder = Folder::new();
        let first = Pcap::little().packet(1, b"a", 1).packet(5, b"b", 1).packet(3, b"c", 1);
        let second = Pcap::little().packet(2, b"d", 1).packet(6, b"e", 1);
        let empty = Pcap::little();
        let files = [second, empty, first].map(Pcap::done);
        let paths: Vec<_> =
            files.iter().enumerate().map(|(at, file)| folder.file(&at.to_string(), file)).collect();
        let mut source = Source::open(&paths).unwrap();
        let order: Vec<_> = all(&mut source).into_iter().map(|it| (it.0, it.1, it.2)).collect();
        assert_eq!(order, [(2, 1, 1), (0, 1, 2), (2, 2, 5), (2, 3, 3), (0, 2, 6)]);
        let counts: Vec<_> = source.facts().iter().map(|facts| facts.packets).collect();
        assert_eq!(counts, [2, 0, 3]);
        assert_eq!(Some(source.bytes_read()), source.total_bytes());
    }

    #[test]
    fn a_long_ring_is_opened_as_time_goes() {
        let folder = Folder::new();
        let mut paths = Vec::new();
        for at in 0..40_u32 {
            let file = Pcap::little().packet(100 - at * 2, b"x", 1).packet(101 - at * 2, b"y", 1);
            paths.push(folder.file(&at.to_string(), &file.done()));
        }
        let mut source = Source::open(&paths).unwrap();
        // One that is gone when its time comes is damage, not the end of all.
        std::fs::remove_file(&paths[7]).unwrap();
        let packets = all(&mut source);
        assert_eq!(packets.len(), 78);
        assert!(packets.is_sorted_by_key(|packet| packet.2));
        let facts = source.facts();
        assert!(facts[7].damage.is_some() && facts[7].format == "pcap");
        assert!(facts[8].damage.is_none() && facts[8].packets == 2);
    }

    #[test]
    fn compressed_files_are_read_and_told() {
        let file = Pcap::little().packet(1, b"abc", 3).packet(2, b"def", 3).done();
        let plain = read(&file).0;
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&file).unwrap();
        let mut gz = gz.finish().unwrap();
        let zst = zstd::stream::encode_all(&file[..], 1).unwrap();
        for (packed, format) in [(gz.clone(), "pcap.gz"), (zst.clone(), "pcap.zst")] {
            let (packets, facts) = read(&packed);
            assert_eq!((&packets, facts.format.as_str()), (&plain, format));
            assert_eq!(facts.damage, None);
        }
        // A wrong check sum at the end: everything was read, and it is told.
        let at = gz.len() - 8;
        gz[at] ^= 1;
        let (packets, facts) = read(&gz);
        assert_eq!((packets, facts.damage.unwrap().packet), (plain, 3));
        // Cut short: what was whole before the cut is read.
        let mut random = Random(5);
        let noise: Vec<u8> = (0..200_000).map(|_| random.next() as u8).collect();
        let file = Pcap::little().packet(1, b"abc", 3).packet(2, &noise, 200_000).done();
        let zst = zstd::stream::encode_all(&file[..], 1).unwrap();
        let (packets, facts) = read(&zst[..zst.len() - 3]);
        assert_eq!((packets.len(), facts.damage.unwrap().packet), (1, 2));
        // Not one block of it is whole.
        let folder = Folder::new();
        let file = Pcap::little().packet(1, &[7; 5_000], 5_000).done();
        let zst = zstd::stream::encode_all(&file[..], 1).unwrap();
        let path = folder.file("short", &zst[..zst.len() - 3]);
        let error = Source::open(&[path]).err().unwrap().to_string();
        assert!(error.contains("compressed and cut short"), "{error}");
    }

    #[test]
    fn what_is_no_capture_is_an_error_of_one_line() {
        let folder = Folder::new();
        let text = "# Labelled captures: naïve".as_bytes();
        let cases: [(&[u8], &str); 8] = [
            (b"", "is empty"),
            (b"\xd4\xc3\xb2", "file header"),
            (&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0], "file header"),
            (text, "text file"),
            (b"hi\n", "text file"),
            (&[0xde, 0xad, 0xbe, 0xef, 0, 1, 2, 3, 4], "de ad be ef"),
            (b"snoop\0\0\0\0\0\0\x02", "snoop"),
            (b"\x0a\x0d\x0d\x0a\x1c\0\0\0nope", "byte-order"),
        ];
        for (file, wanted) in cases {
            let path = folder.file("x", file);
            let error = Source::open(&[path]).err().unwrap().to_string();
            assert!(error.contains(wanted) && !error.contains('\n'), "{error}");
        }
        let missing = Source::open(&["/nonexistent/x".into()]).err().unwrap();
        assert!(matches!(missing, Error::Missing { .. }));
    }

    #[test]
    fn key_logs_are_collected_from_every_file() {
        let folder = Folder::new();
        let secrets = |text: &[u8]| {
            let body = [&0x544c_534b_u32.to_le_bytes(), &(text.len() as u32).to_le_bytes(), text];
            sample::block(10, &body.concat())
        };
        let file = |text: &[u8]| {
            let parts = [section(), secrets(text), interface(&[]), enhanced(0, 1, b"p", 1, &[])];
            [parts.concat(), secrets(b"late")].concat()
        };
        let one = folder.file("1", &file(b"CLIENT_RANDOM 1"));
        let mut source = Source::open(std::slice::from_ref(&one)).unwrap();
        assert!(source.next().is_some());
        assert_eq!(source.secrets()[0][..], *b"CLIENT_RANDOM 1");
        assert_eq!(source.secrets().len(), 1);
        assert!(source.next().is_none());
        assert_eq!(source.secrets().len(), 2);
        let two = folder.file("2", &file(b"CLIENT_RANDOM 22"));
        for count in [2, OPEN_MAX + 1] {
            let mut paths = vec![one.clone(), two.clone()];
            paths.resize(count, two.clone());
            let mut source = Source::open(&paths).unwrap();
            assert_eq!(all(&mut source).len(), count);
            assert_eq!(source.secrets().len(), 2 * count);
        }
    }

    #[test]
    fn garbage_never_panics_and_always_ends() {
        let mut random = Random(0xfeed);
        let pcap = Pcap::little().packet(1, &[7; 60], 60).packet(2, &[8; 90], 90).done();
        let big = Pcap::big().packet(1, &[7; 60], 60).packet(2, &[8; 90], 90).done();
        let packets = [enhanced(0, 1, &[7; 60], 60, &[]), enhanced(0, 2, &[8; 61], 99, &[])];
        let pcapng = [section(), interface(&[9, 0, 1, 0, 6, 0, 0, 0]), packets.concat()].concat();
        for turn in 0..3_000 {
            let mut file = [&pcap, &big, &pcapng][turn % 3].clone();
            for _ in 0..=random.below(6) {
                let at = random.below(file.len());
                file[at] = random.next() as u8;
            }
            file.truncate(file.len() - random.below(file.len() / 4));
            // Damage of the file header may leave nothing to read.
            let Some(mut reader) = sample::source(&file) else { continue };
            let mut count = 0;
            while reader.advance() {
                assert!(reader.packet().data.len() <= file.len());
                count += 1;
                assert!(count < 100, "{file:02x?}");
            }
        }
    }
}
