//! Octets of one half on their way to being understood, with the holes between them: a gap of
//! known length keeps its place, so that frames chain across it.

use crate::vocab::time::Stamp;

use super::half::Chunk;

/// The longest gap that keeps its place; behind a longer one nothing chains.
const HOLE: u64 = 64 * 1024;

/// A piece of the tape.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub from: usize,
    pub to: usize,
    pub stamp: Stamp,
    pub offset: u64,
    pub seen: u64,
    pub hole: bool,
}

/// The octets, zeros in the holes.
#[derive(Debug, Default)]
pub(super) struct Tape {
    octets: Vec<u8>,
    pieces: Vec<Piece>,
    /// Where the holes begin and end: pieces of one octet each are many.
    holes: Vec<(usize, usize)>,
}

impl Tape {
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    pub fn len(&self) -> usize {
        self.octets.len()
    }

    /// Octets of memory that it takes.
    pub fn cost(&self) -> usize {
        self.octets.len() + self.pieces.len() * size_of::<Piece>()
    }

    /// Appends octets; tells where they lie.
    pub fn push(&mut self, chunk: Chunk<'_>) -> (usize, usize) {
        let from = self.octets.len();
        self.octets.extend_from_slice(chunk.data);
        let to = self.octets.len();
        let Chunk { stamp, offset, seen, .. } = chunk;
        self.pieces.push(Piece { from, to, stamp, offset, seen, hole: false });
        (from, to)
    }

    /// Appends a hole; false where it is too long to keep its place, or of unknown length: 0.
    pub fn gap(&mut self, stamp: Stamp, offset: u64, bytes: u64) -> bool {
        if bytes == 0 || bytes > HOLE {
            return false;
        }
        let from = self.octets.len();
        let to = from + bytes as usize;
        self.octets.resize(to, 0);
        self.pieces.push(Piece { from, to, stamp, offset, seen: 0, hole: true });
        self.holes.push((from, to));
        true
    }

    /// Drops whole pieces from the front until at most `keep` octets are left; tells how many
    /// octets went.
    pub fn drop_front(&mut self, keep: usize) -> usize {
        let length = self.octets.len();
        let kept = self.pieces.partition_point(|piece| length - piece.from > keep);
        let dropped = self.pieces.get(kept).map_or(length, |piece| piece.from);
        self.cut_front(dropped);
        dropped
    }

    /// Drops so many octets from the front.
    pub fn cut_front(&mut self, octets: usize) {
        let octets = octets.min(self.octets.len());
        self.octets.drain(..octets);
        self.pieces.drain(..self.pieces.partition_point(|piece| piece.to <= octets));
        for piece in &mut self.pieces {
            let cut = octets.saturating_sub(piece.from);
            piece.offset += cut as u64;
            piece.from = piece.from.max(octets) - octets;
            piece.to -= octets;
        }
        self.holes.drain(..self.holes.partition_point(|(_, to)| *to <= octets));
        for (from, to) in &mut self.holes {
            *from = (*from).max(octets) - octets;
            *to -= octets;
        }
    }

    /// The octets from `place` on, at most `wanted`, that lie before the next hole.
    pub fn run(&self, place: usize, wanted: usize) -> &[u8] {
        self.octets.get(place..place + self.visible(place, wanted)).unwrap_or_default()
    }

    /// How many of the octets from `place` on, at most `wanted`, lie before the next hole.
    pub fn visible(&self, place: usize, wanted: usize) -> usize {
        let end = place.saturating_add(wanted).min(self.octets.len());
        let next = self.holes.partition_point(|(_, to)| *to <= place);
        let until = self.holes.get(next).map_or(end, |(from, _)| *from);
        until.max(place).min(end) - place.min(end)
    }

    /// Whether a segment begins at `place`.
    pub fn is_start(&self, place: usize) -> bool {
        self.pieces.binary_search_by_key(&place, |piece| piece.from).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(data: &[u8], offset: u64) -> Chunk<'_> {
        Chunk { stamp: Stamp::default(), offset, seen: 0, data }
    }

    #[test]
    fn holes_hide_what_lies_in_them() {
        let mut tape = Tape::default();
        tape.push(chunk(b"abcd", 0));
        assert!(tape.gap(Stamp::default(), 4, 3));
        tape.push(chunk(b"hij", 7));
        assert_eq!((tape.visible(0, 9), tape.visible(2, 1), tape.visible(5, 4)), (4, 1, 0));
        assert_eq!((tape.visible(7, 9), tape.visible(9, 1), tape.visible(10, 1)), (3, 1, 0));
        assert!(tape.is_start(7) && !tape.is_start(8));
        assert_eq!(tape.drop_front(4), 7);
        assert_eq!(tape.octets(), b"hij");
        tape.cut_front(1);
        assert_eq!((tape.octets(), tape.pieces()[0].offset), (&b"ij"[..], 8));
        assert_eq!((tape.run(0, 9), tape.run(1, 9)), (&b"ij"[..], &b"j"[..]));
        assert!(!tape.gap(Stamp::default(), 10, 0));
    }
}
