//! The octets that were read and not yet used, in one growing piece of memory.

use std::io::{self, ErrorKind, Read};

use zeroize::Zeroizing;

/// A window onto a stream: always contiguous, so that a record in it can be borrowed whole.
pub(super) struct Buffer {
    /// Wiped when dropped: captures may hold the secrets of their connections.
    memory: Zeroizing<Vec<u8>>,
    /// First octet not yet used; `start <= end`.
    start: usize,
    /// End of what was read; `end <= memory.len()`.
    end: usize,
}

impl Buffer {
    /// A buffer of `octets`; it grows only by [`Buffer::fill`].
    pub(super) fn with_size(octets: usize) -> Self {
        Self { memory: Zeroizing::new(vec![0; octets]), start: 0, end: 0 }
    }

    /// What was read and not consumed.
    #[inline]
    pub(super) fn data(&self) -> &[u8] {
        self.memory.get(self.start..self.end).unwrap_or_default()
    }

    /// Forgets the first `octets`.
    #[inline]
    pub(super) fn consume(&mut self, octets: usize) {
        self.start = self.start.saturating_add(octets).min(self.end);
    }

    /// Reads once, as much as there is and as fits: a pipe that has a whole packet delivers it at
    /// once. Zero means end. Where a record of `wanted` octets does not fit, it
    /// doubles each time that it is full: a length that lies costs no more than what is there.
    pub(super) fn fill(&mut self, from: &mut dyn Read, wanted: usize) -> io::Result<usize> {
        if self.start > 0 {
            self.memory.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.memory.len() && self.end < wanted {
            let mut larger = Zeroizing::new(vec![0; wanted.min(self.end.saturating_mul(2))]);
            let begun = larger.iter_mut().zip(self.memory.iter());
            begun.for_each(|(to, from)| *to = *from);
            self.memory = larger;
        }
        loop {
            let space = self.memory.get_mut(self.end..).unwrap_or_default();
            match from.read(space) {
                Ok(octets) => {
                    self.end = self.end.saturating_add(octets).min(self.memory.len());
                    return Ok(octets);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_larger_than_the_buffer_makes_it_grow() {
        let mut source: &[u8] = &[7; 100];
        let mut buffer = Buffer::with_size(16);
        assert_eq!(buffer.fill(&mut source, 4).unwrap(), 16);
        buffer.consume(10);
        assert_eq!(buffer.fill(&mut source, 50).unwrap(), 10);
        assert_eq!(buffer.fill(&mut source, 50).unwrap(), 16);
        assert_eq!(buffer.fill(&mut source, 50).unwrap(), 18);
        assert_eq!(buffer.data().len(), 50);
        buffer.consume(1_000);
        assert!(buffer.data().is_empty());
    }
}
