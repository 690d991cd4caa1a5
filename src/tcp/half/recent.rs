//! The latest octets handed up: what is sent again is compared with them.

use std::collections::VecDeque;

/// The latest octets handed up.
#[derive(Default)]
pub(super) struct Recent {
    pub(super) octets: VecDeque<u8>,
    /// Offset behind the last of them.
    pub(super) end: u64,
}

impl Recent {
    /// Octets were handed up.
    pub fn add(&mut self, offset: u64, data: &[u8]) {
        // What is kept has no hole, neither before these octets nor by their being too many.
        if offset != self.end || data.len() > REMEMBERED {
            self.octets.clear();
        }
        self.end = offset + data.len() as u64;
        let data = data.get(data.len().saturating_sub(REMEMBERED)..).unwrap_or_default();
        let length = self.octets.len() + data.len();
        if length > REMEMBERED {
            self.octets.drain(..length - REMEMBERED);
        } else if length > self.octets.capacity() {
            let room = if length > FIRST { REMEMBERED } else { FIRST };
            self.octets.reserve_exact(room - self.octets.len());
        }
        self.octets.extend(data);
    }

    /// How many of these octets, the first of them at `offset`, are remembered otherwise.
    pub fn differing(&self, offset: u64, data: &[u8]) -> u64 {
        let begin = self.end - self.octets.len() as u64;
        let old = self.octets.iter().skip(offset.saturating_sub(begin) as usize);
        let new = data.get(begin.saturating_sub(offset) as usize..).unwrap_or_default();
        old.zip(new).filter(|(old, new)| old != new).count() as u64
    }
}

/// Octets of a half that are remembered.
const REMEMBERED: usize = 4096;
/// Octets that room is made for at once: greetings and a request. Who says more mostly says much.
const FIRST: usize = 256;
