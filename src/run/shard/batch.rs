//! Segments on their way to a shard, with their octets.

use crate::vocab::address::Endpoint;
use crate::vocab::segment::{Segment, Seq, TcpFlags};
use crate::vocab::time::Stamp;
use crate::vocab::tls::KeyLines;

/// Some segments of one shard, in order.
#[derive(Default)]
pub(super) struct Batch {
    heads: Vec<Head>,
    octets: Vec<u8>,
    /// Secrets that came before its segments.
    pub secrets: Vec<KeyLines>,
    /// Whether nothing follows: the shard finishes.
    pub is_last: bool,
}

struct Head {
    stamp: Stamp,
    source: Endpoint,
    destination: Endpoint,
    seq: Seq,
    ack: Seq,
    flags: TcpFlags,
    window: u16,
    /// Octets of payload.
    length: usize,
    cut: u32,
}

impl Batch {
    pub fn push(&mut self, segment: &Segment<'_>) {
        let Segment { stamp, source, destination, seq, ack, flags, window, payload, cut } =
            *segment;
        let length = payload.len();
        self.heads.push(Head { stamp, source, destination, seq, ack, flags, window, length, cut });
        self.octets.extend_from_slice(payload);
    }

    pub fn is_full(&self) -> bool {
        self.octets.len() >= OCTETS || self.heads.len() >= SEGMENTS
    }

    /// Its segments, in order.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        let mut rest = self.octets.as_slice();
        self.heads.iter().map(move |head| {
            let (payload, behind) = rest.split_at(head.length.min(rest.len()));
            rest = behind;
            let Head { stamp, source, destination, seq, ack, flags, window, cut, .. } = *head;
            Segment { stamp, source, destination, seq, ack, flags, window, payload, cut }
        })
    }

    /// Makes it ready for other segments.
    pub fn clear(&mut self) {
        self.heads.clear();
        self.secrets.clear();
        self.octets.clear();
        // A jumbo packet must not make every batch a large one.
        self.octets.shrink_to(2 * OCTETS);
    }
}

/// Octets of a full batch: few enough to stay in a core's cache.
const OCTETS: usize = 64 * 1024;
/// Segments of a full batch.
const SEGMENTS: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_come_out_as_they_went_in() {
        let end = |port| Endpoint { ip: [10, 0, 0, 1].into(), port };
        let segment = |payload, cut| Segment {
            stamp: Stamp::default(),
            source: end(1),
            destination: end(2),
            seq: Seq(7),
            ack: Seq(8),
            flags: TcpFlags::ACK,
            window: 9,
            payload,
            cut,
        };
        let mut batch = Batch::default();
        for (payload, cut) in [(&b"abc"[..], 0), (b"", 5), (b"de", 1)] {
            batch.push(&segment(payload, cut));
        }
        let seen: Vec<_> = batch.segments().map(|s| (s.payload.to_vec(), s.cut, s.seq)).collect();
        let wanted =
            [(b"abc".to_vec(), 0, Seq(7)), (vec![], 5, Seq(7)), (b"de".to_vec(), 1, Seq(7))];
        assert_eq!(seen, wanted);
        assert!(!batch.is_full());
        batch.clear();
        assert_eq!(batch.segments().count(), 0);
    }
}
