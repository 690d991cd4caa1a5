//! The tables of HPACK (RFC 7541 section 2.3): the static one, and the dynamic one as far as the
//! capture can know it.
//!
//! Entries leave first in, first out, and the newest has the lowest index. So an index that falls
//! on an entry seen going in means that entry whatever lies behind it, since an encoder refers to
//! nothing it has evicted. What is uncertain is kept as bounds on the safe side: sizes as lower
//! bounds, the table's maximum as an upper bound. Entries then stay at least as long as in the
//! encoder's table, and only an index behind the last of them is unknown or, once nothing unseen
//! can be left, wrong.

use std::collections::VecDeque;

use crate::vocab::header::{Name, Tag};
use crate::vocab::pack::{Pack, Packer, Unpacker};

/// Where octets of a name or value lie: in [`Table::text`], or in the static table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Offset in the text; [`IN_STATIC`] and an index for a name of the static table.
    start: u32,
    length: u32,
}

/// A part of a field, before it is told or inserted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'b> {
    /// The capture cannot tell.
    Unknown,
    /// Octets of the block itself.
    Plain(&'b [u8]),
    /// The name with this index in the static table.
    Static(u32),
    /// Octets in the table's text.
    Stored(Span),
}

/// An entry of the dynamic table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Length is [`UNKNOWN`] where the name is not known.
    name: Span,
    pub(super) value: Span,
    pub(super) tag: Tag,
}

impl Entry {
    /// `None` where it is not known.
    pub(super) fn name(&self) -> Option<Span> {
        (self.name.length != UNKNOWN).then_some(self.name)
    }

    /// Octets of its name, as far as it is known, and of its value.
    pub(super) fn octets(&self) -> usize {
        let name = self.name().map_or(0, |name| name.length as usize);
        name.saturating_add(self.value.length as usize)
    }

    /// RFC 7541 section 4.1; a lower bound where the name is unknown.
    fn size(&self) -> usize {
        self.octets().saturating_add(OVERHEAD)
    }

    /// Its parts in the text.
    fn spans(&mut self) -> impl Iterator<Item = &mut Span> {
        let is_stored = |span: &&mut Span| span.length != UNKNOWN && span.start & IN_STATIC == 0;
        [&mut self.name, &mut self.value].into_iter().filter(is_stored)
    }
}

/// What an index refers to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lookup<'t> {
    /// An entry of the static table.
    Static(&'static [u8], &'static [u8], Name),
    /// An entry of the dynamic table.
    Dynamic(&'t Entry),
    /// An entry the capture did not show.
    Unknown,
    /// Index 0.
    Zero,
    /// Behind the last entry.
    Beyond,
}

/// The dynamic table of one direction.
#[derive(Debug)]
pub(super) struct Table {
    /// Oldest first.
    entries: VecDeque<Entry>,
    /// Octets of the entries in their order, in front of them those of evicted ones until the next
    /// [`tidy`](Self::tidy), and behind them of literals being decoded.
    text: Vec<u8>,
    /// Length of `text` at which evicted octets are thrown out.
    tidy_at: usize,
    /// Sum of the entries' sizes: a lower bound of the true one, at most [`KEPT`].
    size: usize,
    /// Largest size that the encoder's table can have now.
    max: u32,
    /// Whether `max` is that size itself.
    exact: bool,
    /// Whether entries that the capture did not show may lie behind the known ones.
    hidden: bool,
    /// Entries with an unknown name.
    nameless: usize,
}

impl Table {
    /// Octets of memory that it takes.
    pub(super) fn weight(&self) -> usize {
        self.text.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// An empty table of the size that HTTP/2 starts with (RFC 9113 section 6.5.2).
    pub(super) const fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            text: Vec::new(),
            tidy_at: TIDY_MIN,
            size: 0,
            max: super::DEFAULT_SIZE,
            exact: true,
            hidden: false,
            nameless: 0,
        }
    }

    /// Everything in it becomes unknown, and its maximum anything up to `max`.
    pub(super) fn forget(&mut self, max: u32) {
        self.clear();
        self.hidden = true;
        self.exact = false;
        self.max = self.max.max(max);
    }

    pub(super) fn is_complete(&self) -> bool {
        !self.hidden && self.nameless == 0
    }

    /// Entries that are known at least in part.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The encoder's own maximum, where the capture tells it.
    pub(super) fn exact_max(&self) -> Option<u32> {
        self.exact.then_some(self.max)
    }

    /// A size update (RFC 7541 section 4.3): the maximum is `max` from here.
    pub(super) fn resize(&mut self, max: u32) {
        self.max = max;
        self.exact = true;
        self.evict();
    }

    /// The maximum is `max` or less from here.
    pub(super) fn bound(&mut self, max: u32) {
        self.max = self.max.min(max);
        self.evict();
    }

    #[inline]
    pub(super) fn lookup(&self, index: u32) -> Lookup<'_> {
        let index = index as usize;
        if let Some(&(name, value)) = STATIC.get(index.wrapping_sub(1)) {
            return Lookup::Static(name, value, static_name(index));
        }
        if index == 0 {
            return Lookup::Zero;
        }
        let behind = index - STATIC.len();
        match self.entries.len().checked_sub(behind).and_then(|place| self.entries.get(place)) {
            Some(entry) => Lookup::Dynamic(entry),
            None if self.hidden => Lookup::Unknown,
            None => Lookup::Beyond,
        }
    }

    /// Octets of a span.
    #[inline]
    pub(super) fn octets(&self, span: Span) -> &[u8] {
        if span.start & IN_STATIC != 0 {
            return static_octets(span.start & !IN_STATIC);
        }
        let start = span.start as usize;
        self.text.get(start..start.wrapping_add(span.length as usize)).unwrap_or_default()
    }

    /// Octets of a part; `None` where they are unknown.
    #[inline]
    pub(super) fn part<'p>(&'p self, part: Part<'p>) -> Option<&'p [u8]> {
        match part {
            Part::Unknown => None,
            Part::Plain(octets) => Some(octets),
            Part::Static(index) => Some(static_octets(index)),
            Part::Stored(span) => Some(self.octets(span)),
        }
    }

    /// End of the text, to be given to [`stage_end`](Self::stage_end) and
    /// [`unstage`](Self::unstage).
    #[inline]
    pub(super) fn mark(&self) -> usize {
        self.text.len()
    }

    /// The text, to append up to so many octets of a literal to.
    #[inline]
    pub(super) fn stage(&mut self, octets: usize) -> &mut Vec<u8> {
        let (length, room) = (self.text.len(), self.text.capacity());
        if room - length < octets {
            let most = super::DEFAULT_SIZE as usize;
            let wanted = (GROWTH * room).clamp(FIRST_TEXT, most).saturating_sub(length);
            self.text.reserve(octets.max(wanted));
        }
        &mut self.text
    }

    /// What was appended since `mark`.
    #[inline]
    pub(super) fn stage_end(&self, mark: usize) -> Part<'static> {
        // Text is bounded by twice KEPT and one block, whose length fits.
        let start = u32::try_from(mark).unwrap_or(UNKNOWN);
        let length = u32::try_from(self.text.len().saturating_sub(mark)).unwrap_or(UNKNOWN);
        Part::Stored(Span { start, length })
    }

    /// Drops what was appended since `mark`.
    #[inline]
    pub(super) fn unstage(&mut self, mark: usize) {
        self.text.truncate(mark);
    }

    /// Inserts an entry (RFC 7541 section 4.4); what was staged since `mark` becomes part of it.
    pub(super) fn insert(&mut self, mark: usize, name: Part<'_>, value: Part<'_>, tag: Tag) {
        let size = length(name).saturating_add(length(value)).saturating_add(OVERHEAD);
        if size > self.room() {
            // An entry larger than the table empties it. One that only this program has no room
            // for is in the table: unknown, like all before it.
            self.clear();
            self.hidden = size <= self.max as usize;
            return;
        }
        let known = !matches!(name, Part::Unknown);
        let entry = Entry { name: self.keep(mark, name), value: self.keep(mark, value), tag };
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve(FIRST_ENTRIES.max((GROWTH - 1) * self.entries.len()));
        }
        self.entries.push_back(entry);
        self.size += size;
        self.nameless += usize::from(!known);
        self.evict();
    }

    /// Throws out the text of evicted entries when there is enough of it. Moves text: no span
    /// may be held across it. Each call that moves follows new text of at least the length that
    /// the last one left, so the cost stays linear in what was decoded.
    pub(super) fn tidy(&mut self) {
        if self.text.len() < self.tidy_at {
            return;
        }
        let gone = self.gone();
        self.text.drain(..gone);
        for span in self.entries.iter_mut().flat_map(Entry::spans) {
            span.start -= gone as u32;
        }
        self.tidy_at = self.text.len().saturating_mul(2).max(TIDY_MIN);
    }

    /// Octets in front of those of the oldest entry.
    fn gone(&self) -> usize {
        let mut oldest = self.entries.front().copied();
        let first = oldest.as_mut().and_then(|of| of.spans().map(|span| span.start).min());
        first.map_or(self.text.len(), |start| start as usize)
    }

    /// After a block: a huge literal leaves no huge buffer behind.
    pub(super) fn relax(&mut self) {
        if self.text.capacity() > SLACK_MAX {
            self.tidy();
            self.text.shrink_to(self.tidy_at);
        }
    }

    /// Heap memory.
    #[cfg(test)]
    pub(super) fn octets_held(&self) -> usize {
        let entries = self.entries.capacity() * std::mem::size_of::<Entry>();
        self.text.capacity() + entries
    }

    /// Octets of entries that may be kept.
    fn room(&self) -> usize {
        (self.max as usize).min(KEPT)
    }

    /// Entries leave until the rest fits. Uncertain sizes count as small as they can be.
    #[inline]
    fn evict(&mut self) {
        let room = self.room();
        while self.size > room
            && let Some(entry) = self.entries.pop_front()
        {
            // An entry that certainly left was the last one: nothing unseen is behind it. What
            // fits in the table and not in this program is still there, unknown.
            self.hidden = self.size <= self.max as usize;
            self.size -= entry.size().min(self.size);
            self.nameless -= usize::from(entry.name.length == UNKNOWN).min(self.nameless);
        }
        // No entry is smaller than its overhead.
        if self.hidden && self.size.saturating_add(OVERHEAD) > self.max as usize {
            self.hidden = false;
        }
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.text.clear();
        self.tidy_at = TIDY_MIN;
        self.size = 0;
        self.nameless = 0;
    }

    /// Puts a part where the entry's octets are, unless it was staged there since `mark`: an older
    /// entry whose name it has may leave first.
    #[inline]
    fn keep(&mut self, mark: usize, part: Part<'_>) -> Span {
        match part {
            Part::Unknown => Span { start: 0, length: UNKNOWN },
            Part::Stored(span) if span.start as usize >= mark => span,
            Part::Stored(span) => {
                let (start, behind) = (span.start as usize, self.text.len());
                self.text.extend_from_within(start..start + span.length as usize);
                Span { start: u32::try_from(behind).unwrap_or(UNKNOWN), ..span }
            }
            Part::Static(index) => Span { start: IN_STATIC | index, length: length(part) as u32 },
            Part::Plain(octets) => {
                let start = u32::try_from(self.text.len()).unwrap_or(UNKNOWN);
                self.text.extend_from_slice(octets);
                // `insert` refused what is longer than KEPT.
                Span { start, length: u32::try_from(octets.len()).unwrap_or(UNKNOWN) }
            }
        }
    }
}

/// Without the octets of entries that have left.
impl Pack for Table {
    fn pack(&self, to: &mut Packer) {
        let gone = self.gone();
        to.octets(self.text.get(gone..).unwrap_or_default());
        ((self.size, self.max), (self.exact, self.hidden)).pack(to);
        to.number(self.entries.len() as u64);
        let mut end = gone as u32;
        for Entry { name, value, tag } in &self.entries {
            name.pack_behind(&mut end, to);
            value.pack_behind(&mut end, to);
            tag.pack(to);
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let text = from.octets().to_vec();
        let ((size, max), (exact, hidden)) = Pack::unpack(from);
        let mut end = 0;
        let entries: VecDeque<Entry> = (0..from.length())
            .map(|_| Entry {
                name: Span::unpack_behind(&mut end, from),
                value: Span::unpack_behind(&mut end, from),
                tag: Tag::unpack(from),
            })
            .collect();
        let nameless = entries.iter().filter(|entry| entry.name().is_none()).count();
        let tidy_at = text.len().saturating_mul(2).max(TIDY_MIN);
        Self { entries, text, tidy_at, size, max, exact, hidden, nameless }
    }
}

impl Span {
    /// Writes it as what lies between it and the stored one before, which mostly is nothing.
    fn pack_behind(self, end: &mut u32, to: &mut Packer) {
        match self {
            Self { length: UNKNOWN, .. } => to.octet(u8::MAX),
            Self { start, .. } if start & IN_STATIC != 0 => to.octet(start as u8),
            Self { start, length } => {
                to.octet(0);
                to.signed(i64::from(start) - i64::from(*end));
                to.number(u64::from(length));
                *end = start.wrapping_add(length);
            }
        }
    }

    fn unpack_behind(end: &mut u32, from: &mut Unpacker<'_>) -> Self {
        match from.octet() {
            u8::MAX => Self { start: 0, length: UNKNOWN },
            0 => {
                let start = end.wrapping_add_signed(from.signed() as i32);
                let length = from.number() as u32;
                *end = start.wrapping_add(length);
                Self { start, length }
            }
            index => {
                let index = u32::from(index);
                Self { start: IN_STATIC | index, length: static_octets(index).len() as u32 }
            }
        }
    }
}

/// What the name of a static entry is.
#[inline]
fn static_name(index: usize) -> Name {
    match index {
        1 => Name::Authority,
        2 | 3 => Name::Method,
        4 | 5 => Name::Path,
        6 | 7 => Name::Scheme,
        8..=14 => Name::Status,
        28 => Name::ContentLength,
        31 => Name::ContentType,
        38 => Name::Host,
        54 => Name::Server,
        57 => Name::OfHop,
        58 => Name::UserAgent,
        60 => Name::Forwarded,
        _ => Name::Other,
    }
}

/// A name of the static table.
#[inline]
fn static_octets(index: u32) -> &'static [u8] {
    STATIC.get((index as usize).wrapping_sub(1)).map_or(&[], |(name, _)| *name)
}

/// Octets of a part; 0 where they are unknown.
#[inline]
pub(super) fn length(part: Part<'_>) -> usize {
    match part {
        Part::Unknown => 0,
        Part::Plain(octets) => octets.len(),
        Part::Static(index) => static_octets(index).len(),
        Part::Stored(span) => span.length as usize,
    }
}

/// Octets that RFC 7541 section 4.1 adds to each entry.
const OVERHEAD: usize = 32;
const UNKNOWN: u32 = u32::MAX;
/// Marks names of the static table; text never comes near this length.
const IN_STATIC: u32 = 1 << 31;
/// Most octets of entries kept, by their RFC size. Browsers announce tables of 65,536 octets, and
/// hardly anybody more; older entries of larger tables count as unknown. With the slack of `tidy`
/// one direction stays below 256 KiB whatever the settings say.
const KEPT: usize = 64 * 1024;
/// Octets that a buffer may keep between blocks: twice what `tidy` leaves at most.
const SLACK_MAX: usize = 3 * KEPT;
/// Entries that room is made for at once: hardly any sender inserts fewer.
const FIRST_ENTRIES: usize = 8;
/// Text that room is made for at once: a list.
const FIRST_TEXT: usize = 256;
/// A table that is filled at all is mostly filled soon: it grows in few steps.
const GROWTH: usize = 4;
/// Text that is not worth tidying.
const TIDY_MIN: usize = 2048;

/// RFC 7541 Appendix A, from index 1.
pub(super) static STATIC: [(&[u8], &[u8]); 61] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::header::Field;

    #[test]
    fn static_names_are_what_they_are_called() {
        for (place, (name, value)) in STATIC.iter().enumerate() {
            let tag = Field::known(name, value).tag;
            assert_eq!(tag, Tag { name: static_name(place + 1), is_sound: true }, "{place}");
        }
    }
}
