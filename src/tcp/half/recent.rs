//! The latest octets handed up: what is sent again is compared with them.

/// The latest octets handed up.
#[derive(Default)]
pub(super) struct Recent {
    octets: Vec<u8>,
    /// Offset behind the last of them.
    end: u64,
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
        if self.octets.len() + data.len() > 2 * REMEMBERED {
            let kept = REMEMBERED - data.len();
            self.octets.drain(..self.octets.len().saturating_sub(kept));
        }
        self.octets.extend_from_slice(data);
    }

    /// How many of these octets, the first of them at `offset`, are remembered otherwise.
    pub fn differing(&self, offset: u64, data: &[u8]) -> u64 {
        let begin = self.end - self.octets.len() as u64;
        let old = self.octets.get(offset.saturating_sub(begin) as usize..).unwrap_or_default();
        let new = data.get(begin.saturating_sub(offset) as usize..).unwrap_or_default();
        old.iter().zip(new).filter(|(old, new)| old != new).count() as u64
    }
}

/// Octets of a half that are remembered, at least.
const REMEMBERED: usize = 4096;
