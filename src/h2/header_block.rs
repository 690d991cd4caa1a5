//! From a header block to a [`HeaderList`]: scratch memory that every connection of a shard
//! shares, within [`Limits`](crate::vocab::limits::Limits).

use crate::vocab::header::{Field, FieldSpan, HeaderFault, HeaderList, Outline};
use crate::vocab::setting::SettingId;

use super::Reader;
use super::hpack::{Decoder, Take};

/// Octets that a field costs beyond its name and value (RFC 9113 section 6.5.2).
const FIELD_OVERHEAD: u64 = 32;

/// What a field costs beyond its octets against the limit of what is kept.
const FIELD_COST: usize = 12;

/// Memory for one header list and one SETTINGS frame at a time.
#[derive(Debug, Default)]
pub struct Scratch {
    spans: Vec<FieldSpan>,
    text: Vec<u8>,
    size: u64,
    /// Octets and spans of the list, also of fields left out.
    held: usize,
    first_regular: Option<u32>,
    outline: Outline,
    truncated: bool,
    fault: Option<HeaderFault>,
    /// Whether plain fields are left out.
    pub leaves_plain: bool,
    pub(super) settings: Vec<(SettingId, u32)>,
    /// Octets of memory that flows take of which it is not known whether they are HTTP/2.
    pub(super) waiting: usize,
}

impl Scratch {
    /// Begins anew, for a reader that was lost; others hold what they held.
    pub fn renew(&mut self, lost: Option<&Reader>) {
        let waiting = self.waiting.saturating_sub(lost.map_or(0, |reader| reader.held));
        *self = Self { leaves_plain: self.leaves_plain, waiting, ..Self::default() };
    }

    /// Decodes a block; `whole` is false where its end was not captured.
    pub(super) fn decode(
        &mut self,
        decoder: &mut Decoder,
        block: &[u8],
        whole: bool,
        limit: usize,
    ) {
        self.clear();
        let outcome = match (whole, self.leaves_plain) {
            (true, true) => decoder.decode(block, &mut Sparse { scratch: self, limit }),
            (true, false) => decoder.decode(block, &mut |field: Field<'_>| self.add(field, limit)),
            (false, _) => {
                decoder.decode_partial(block, &mut |field: Field<'_>| self.add(field, limit))
            }
        };
        self.fault = outcome.first();
    }

    /// Empties the list.
    pub(super) fn clear(&mut self) {
        self.spans.clear();
        self.text.clear();
        self.size = 0;
        self.held = 0;
        self.first_regular = None;
        self.outline = Outline::default();
        self.truncated = false;
        self.fault = None;
    }

    /// Adds a field.
    #[inline]
    pub(super) fn add(&mut self, field: Field<'_>, limit: usize) {
        let Field { name, value, tag } = field;
        let octets = name.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
        if !self.count(octets, limit) {
            return;
        }
        let place = self.spans.len();
        if self.first_regular.is_none() && name.is_some() && !tag.name.is_pseudo() {
            self.first_regular = Some(place as u32);
        }
        if tag.is_plain() && self.leaves_plain {
            return;
        }
        let start = self.text.len() as u32;
        // The tag says it.
        let name = if tag.name.is_told() { 0 } else { self.keep(name) };
        let span = FieldSpan { start, name, value: self.keep(value), tag };
        self.outline.add(&span, place, self.first_regular.is_some());
        self.spans.push(span);
    }

    /// Keeps a part's octets; gives their number.
    #[inline]
    fn keep(&mut self, part: Option<&[u8]>) -> u32 {
        let Some(octets) = part else { return FieldSpan::UNKNOWN };
        self.text.extend_from_slice(octets);
        octets.len() as u32
    }

    /// Counts a field whose parts have so many octets; false where there is no room for it.
    #[inline]
    fn count(&mut self, octets: usize, limit: usize) -> bool {
        self.size += octets as u64 + FIELD_OVERHEAD;
        // Each field counts for its span too: a bomb of empty fields is a bomb.
        let held = self.held + octets + FIELD_COST;
        let fits = held <= limit;
        if fits {
            self.held = held;
        }
        self.truncated |= !fits;
        fits
    }

    /// The list.
    pub(super) fn list(&self, partial: bool) -> HeaderList<'_> {
        HeaderList {
            fields: &self.spans,
            outline: Some(&self.outline),
            first_regular: self.first_regular,
            text: &self.text,
            size: self.size,
            fault: self.fault,
            truncated: self.truncated,
            partial,
        }
    }
}

/// Takes all fields but the plain ones.
struct Sparse<'s> {
    scratch: &'s mut Scratch,
    limit: usize,
}

impl Take for Sparse<'_> {
    const COUNTS_PLAIN: bool = true;

    fn field(&mut self, field: Field<'_>) {
        self.scratch.add(field, self.limit);
    }

    #[inline]
    fn plain(&mut self, octets: usize) {
        let scratch = &mut *self.scratch;
        if scratch.count(octets, self.limit) && scratch.first_regular.is_none() {
            scratch.first_regular = Some(scratch.spans.len() as u32);
        }
    }
}
