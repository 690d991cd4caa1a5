//! Room 1, capture: takes paths, gives packets in time order.
//!
//! Reads pcap and pcapng, plain, gzip or zstd, from files and standard input, in bounded memory.
//! Never decides what a packet means, and never fails on what a file holds: damage is a fact.

mod buffer;
mod file;
mod input;
mod pcap;
mod pcapng;
mod record;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::PathBuf;

use self::file::Reader;
use crate::error::Error;
use crate::vocab::capture::{CaptureFacts, Damage};
use crate::vocab::packet::Packet;
use crate::vocab::time::Timestamp;

/// All captures of one run, as one sequence of packets.
pub struct Source {
    slots: Vec<Slot>,
    /// First waiting packet of each slot that is not at its end, earliest on top; the slot whose
    /// packet was given out last is not in it.
    waiting: BinaryHeap<Reverse<(Timestamp, usize)>>,
    /// The slot whose packet was given out last.
    current: Option<usize>,
    /// TLS key logs found so far.
    secrets: Vec<Vec<u8>>,
    /// Octets of `secrets`; at most [`SECRETS_MAX`].
    secrets_octets: usize,
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
        let mut source = Self {
            slots: Vec::with_capacity(paths.len()),
            waiting: BinaryHeap::new(),
            current: None,
            secrets: Vec::new(),
            secrets_octets: 0,
        };
        let buffer_size = if paths.len() == 1 { BUFFER } else { BUFFER_OF_MANY };
        for (at, path) in paths.iter().enumerate() {
            let capture = u16::try_from(at).unwrap_or(u16::MAX);
            let reader = Reader::open(path, capture, buffer_size)?;
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
        let at = self.step()?;
        match self.slots.get(at) {
            Some(Slot { state: State::Open(reader), .. }) => Some(reader.packet()),
            _ => None,
        }
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

    /// TLS key logs (SSLKEYLOGFILE text) that Decryption Secrets Blocks held so far, in order of
    /// reading. Grows while packets are read: compare its length. What exceeds 16 MiB is left out.
    pub fn secrets(&self) -> &[Vec<u8>] {
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
            let found = reader.take_secrets();
            self.keep(found);
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
            self.keep(found);
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
            self.keep(found);
        }
    }

    /// Opens a capture that was closed until now; false if that no longer works.
    fn reopen(&mut self, at: usize) -> bool {
        let Some(slot) = self.slots.get_mut(at) else { return false };
        let State::Later(facts) = &slot.state else { return true };
        let capture = u16::try_from(at).unwrap_or(u16::MAX);
        match Reader::open(&slot.path, capture, BUFFER_OF_MANY) {
            Ok(mut reader) => {
                let more = reader.advance();
                let found = reader.take_secrets();
                slot.state = State::Open(Box::new(reader));
                self.keep(found);
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
    fn keep(&mut self, found: Vec<Vec<u8>>) {
        for secret in found {
            let octets = self.secrets_octets.saturating_add(secret.len());
            if octets <= SECRETS_MAX {
                self.secrets_octets = octets;
                self.secrets.push(secret);
            }
        }
    }
}

/// Octets read at once from a single capture: large enough for few system calls.
const BUFFER: usize = 1024 * 1024;
/// The same for each of several.
const BUFFER_OF_MANY: usize = 256 * 1024;
/// Captures held open at once; of more, those whose time has not come are closed again. A ring of
/// a thousand files would need a thousand descriptors and buffers otherwise.
const OPEN_MAX: usize = 16;
/// Octets of key logs that are kept: a hundred thousand connections of TLS 1.3.
const SECRETS_MAX: usize = 16 * 1024 * 1024;
