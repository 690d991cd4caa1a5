//! A list on the screen: what is picked, and which part is in sight.

use std::ops::Range;

/// A list's state; its length is told by whoever has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::tui) struct List {
    pub picked: usize,
    /// First row in sight.
    pub first: usize,
    /// Rows in sight at the last drawing.
    pub page: usize,
    /// Lines scrolled beyond the last row, where more stands below it.
    pub tail: usize,
}

impl List {
    /// The last row of a list of which nothing is there yet.
    pub const LAST: usize = usize::MAX / 2;

    /// Keeps the picked row among `length`; where there is none yet, what was asked for stays.
    pub fn bound(&mut self, length: usize) {
        if length > 0 {
            self.picked = self.picked.min(length - 1);
        }
    }

    /// The rows to draw in `page` lines: the picked one among them.
    pub fn in_sight(&mut self, length: usize, page: usize) -> Range<usize> {
        self.bound(length);
        self.page = page;
        let page = page.max(1);
        if self.picked < self.first {
            self.first = self.picked;
        } else if self.picked >= self.first + page {
            self.first = self.picked + 1 - page;
        }
        self.first = self.first.min(length.saturating_sub(page));
        self.first..length.min(self.first + page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picked_row_is_in_sight() {
        let mut list = List { picked: 50, ..List::default() };
        assert_eq!(list.in_sight(100, 10), 41..51);
        list.picked = 45;
        assert_eq!(list.in_sight(100, 10), 41..51);
        list.picked = 3;
        assert_eq!(list.in_sight(100, 10), 3..13);
        assert_eq!(list.in_sight(2, 10), 0..2);
        assert_eq!(list.in_sight(0, 10), 0..0);
        list.picked = List::LAST;
        assert_eq!(list.in_sight(0, 10), 0..0);
        assert_eq!((list.in_sight(30, 10), list.picked), (20..30, 29));
    }
}
