//! HPACK (RFC 7541): the decoder for one direction of a connection.
//!
//! Takes header blocks, gives their fields in order as borrowed octets, never guesses: a field
//! that rests on an entry the capture did not show is told as unknown. Octets come from
//! strangers, so every step is checked, work is linear in the block, and memory is bounded
//! whatever the settings allow. No entry is copied to be told, and a decoder that has seen no
//! block holds no heap memory.

mod huffman;
mod table;

use crate::vocab::header::{Field, HeaderFault, HeaderFaultKind as Kind, Name, Tag};
use crate::vocab::header::{is_legal_name, is_legal_value, is_trimmed};
use crate::vocab::pack::packs;
use table::{Entry, Lookup, Part, Table};

/// The decoder for one direction of a connection.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// The receiver's SETTINGS_HEADER_TABLE_SIZE in force; [`UNTOLD`] where the capture does not
    /// tell.
    limit: u32,
    /// Largest value sent and not yet acknowledged.
    announced: u32,
    /// How many values were sent and not yet acknowledged.
    outstanding: u32,
    /// The lowest limit below the table's maximum since the last block: a size update is due.
    due: Option<u32>,
}

packs!(struct Decoder { table, limit, announced, outstanding, due });

/// Takes the fields of a block in order.
pub trait Take {
    /// Whether of plain fields ([`Tag::is_plain`]) nothing is wanted but how long they are.
    const COUNTS_PLAIN: bool;

    /// A field.
    fn field(&mut self, field: Field<'_>);

    /// A plain field whose name and value have so many octets together.
    fn plain(&mut self, octets: usize);
}

impl<F: FnMut(Field<'_>)> Take for F {
    const COUNTS_PLAIN: bool = false;

    fn field(&mut self, field: Field<'_>) {
        self(field);
    }

    fn plain(&mut self, _: usize) {}
}

/// How a block ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Outcome {
    /// What broke the block; fields in front of it were told.
    pub fault: Option<HeaderFault>,
    /// A broken rule that does not keep the block from being read
    /// ([`MissingSizeUpdate`](Kind::MissingSizeUpdate)).
    pub note: Option<HeaderFault>,
}

impl Outcome {
    /// The fault, or else the note: what a report says about the block.
    pub fn first(self) -> Option<HeaderFault> {
        self.fault.or(self.note)
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// Octets of memory that it takes beside itself.
    pub fn weight(&self) -> usize {
        self.table.weight()
    }

    /// For a direction seen from its first octet: the table is empty.
    pub const fn new() -> Self {
        Self { table: Table::new(), limit: DEFAULT_SIZE, announced: 0, outstanding: 0, due: None }
    }

    /// For a direction whose beginning the capture lacks: neither the table nor the limit is
    /// known.
    pub fn joined_midway() -> Self {
        let mut decoder = Self::new();
        decoder.forget_limit();
        decoder.forget();
        decoder
    }

    /// The receiver sent SETTINGS_HEADER_TABLE_SIZE. The sender of the blocks uses either limit
    /// until it acknowledges, so until then the larger one holds.
    pub fn announce_table_size(&mut self, octets: u32) {
        self.announced = self.announced.max(octets);
        self.outstanding = self.outstanding.saturating_add(1);
    }

    /// The sender of the blocks acknowledged SETTINGS_HEADER_TABLE_SIZE: this value is the limit
    /// from the next block on. Call it at the acknowledgement's place among the blocks; a value
    /// that was not announced is fine.
    pub fn allow_table_size(&mut self, octets: u32) {
        self.outstanding = self.outstanding.saturating_sub(1);
        if self.outstanding == 0 {
            self.announced = 0;
        }
        self.limit = octets;
        match self.table.exact_max() {
            // RFC 7541 section 4.2: the lowest value in the interval must be signalled.
            Some(max) if octets < max => {
                self.due = Some(self.due.map_or(octets, |due| due.min(octets)));
            }
            Some(_) => {}
            None => self.table.bound(octets),
        }
    }

    /// Octets of this direction were lost: everything in the table is unknown from here.
    pub fn forget(&mut self) {
        self.table.forget(self.most());
        self.due = None;
    }

    /// Octets of the other direction were lost, SETTINGS perhaps among them: the limit is unknown
    /// until the next [`allow_table_size`](Self::allow_table_size).
    pub fn forget_limit(&mut self) {
        self.limit = UNTOLD;
        self.due = None;
    }

    /// Whether every entry of the table is known in full.
    pub fn is_complete(&self) -> bool {
        self.table.is_complete()
    }

    /// Entries of the dynamic table that are known, at least their values.
    pub fn known_entries(&self) -> usize {
        self.table.len()
    }

    /// Their size by RFC 7541 section 4.1; a lower bound while the table is not complete.
    pub fn known_size(&self) -> usize {
        self.table.size()
    }

    /// Decodes one complete header block and hands each field to `taker` in order. After a fault
    /// the rest of the block is not read, and the table is unknown.
    pub fn decode(&mut self, block: &[u8], taker: &mut impl Take) -> Outcome {
        let mut reader = Reader { rest: block, length: block.len() };
        let note = match self.size_updates(&mut reader) {
            Ok(note) => note,
            Err(fault) => return self.broken(fault, None),
        };
        while let Some((&first, rest)) = reader.rest.split_first() {
            if let Err(fault) = self.field(first, rest, &mut reader, taker) {
                return self.broken(fault, note);
            }
        }
        self.table.relax();
        Outcome { fault: None, note }
    }

    /// Decodes a block whose end the capture lacks, as far as whole fields go, and forgets the
    /// table. That the block ends inside a field is no fault here.
    pub fn decode_partial(&mut self, block: &[u8], taker: &mut impl Take) -> Outcome {
        let mut outcome = self.decode(block, taker);
        outcome.fault = outcome.fault.filter(|fault| fault.kind != Kind::Truncated);
        self.forget();
        outcome
    }

    fn broken(&mut self, fault: HeaderFault, note: Option<HeaderFault>) -> Outcome {
        self.forget();
        self.table.relax();
        Outcome { fault: Some(fault), note }
    }

    /// The largest limit that may be in force.
    fn most(&self) -> u32 {
        self.limit.max(self.announced)
    }

    /// Size updates at the beginning of the block (RFC 7541 sections 4.2 and 6.3).
    fn size_updates(
        &mut self,
        reader: &mut Reader<'_>,
    ) -> Result<Option<HeaderFault>, HeaderFault> {
        let mut due = self.due.take();
        while let Some((&first, rest)) = reader.rest.split_first()
            && first & 0xe0 == SIZE_UPDATE
        {
            let at = reader.offset();
            let max = reader.integer(first & 0x1f, 0x1f, rest, at)?;
            if max > self.most() {
                return Err(fault(Kind::SizeUpdateTooLarge, at));
            }
            self.table.resize(max);
            due = due.filter(|&due| max > due);
        }
        Ok(due.map(|_| fault(Kind::MissingSizeUpdate, 0)))
    }

    /// One field, whose first octet is `first` (RFC 7541 section 6).
    #[inline]
    fn field<'b>(
        &mut self,
        first: u8,
        rest: &'b [u8],
        reader: &mut Reader<'b>,
        taker: &mut impl Take,
    ) -> Result<(), HeaderFault> {
        let at = reader.offset();
        if first & INDEXED != 0 {
            let index = reader.integer(first & 0x7f, 0x7f, rest, at)?;
            return self.indexed(index, at, taker);
        }
        if first & INCREMENTAL != 0 {
            self.table.tidy();
            let index = reader.integer(first & 0x3f, 0x3f, rest, at)?;
            return self.literal(index, at, true, reader, taker);
        }
        if first & SIZE_UPDATE != 0 {
            return Err(fault(Kind::LateSizeUpdate, at));
        }
        // Without indexing, or never indexed.
        let index = reader.integer(first & 0x0f, 0x0f, rest, at)?;
        self.literal(index, at, false, reader, taker)
    }

    /// An indexed field (RFC 7541 section 6.1).
    #[inline]
    fn indexed<T: Take>(&self, index: u32, at: u32, taker: &mut T) -> Result<(), HeaderFault> {
        match self.table.lookup(index) {
            Lookup::Dynamic(entry) if T::COUNTS_PLAIN && entry.tag.is_plain() => {
                taker.plain(entry.octets());
            }
            Lookup::Dynamic(entry) => taker.field(Field {
                name: entry.name().map(|name| self.table.octets(name)),
                value: Some(self.table.octets(entry.value)),
                tag: entry.tag,
            }),
            Lookup::Static(name, value, of) => taker.field(Field {
                name: Some(name),
                value: Some(value),
                tag: Tag { name: of, is_sound: true },
            }),
            Lookup::Unknown => {
                taker.field(Field { name: None, value: None, tag: Tag::default() });
            }
            Lookup::Zero => return Err(fault(Kind::IndexZero, at)),
            Lookup::Beyond => return Err(fault(Kind::IndexBeyondTable, at)),
        }
        Ok(())
    }

    /// A literal field behind its first integer (RFC 7541 section 6.2).
    #[inline]
    fn literal<'b, T: Take>(
        &mut self,
        index: u32,
        at: u32,
        insert: bool,
        reader: &mut Reader<'b>,
        taker: &mut T,
    ) -> Result<(), HeaderFault> {
        let mark = self.table.mark();
        let (name, of) = if index == 0 {
            let (name, _) = self.string(at, reader)?;
            let octets = self.table.part(name).unwrap_or_default();
            let of = Name::of(octets);
            (name, Tag { name: of, is_sound: of.is_legal(octets) })
        } else {
            match self.table.lookup(index) {
                Lookup::Static(_, _, of) => (Part::Static(index), Tag { name: of, is_sound: true }),
                Lookup::Dynamic(entry) => self.named_as(*entry),
                Lookup::Unknown => (Part::Unknown, Tag::default()),
                Lookup::Zero => return Err(fault(Kind::IndexZero, at)),
                Lookup::Beyond => return Err(fault(Kind::IndexBeyondTable, at)),
            }
        };
        let (value, is_clean) = self.string(at, reader)?;
        let octets = self.table.part(value).unwrap_or_default();
        let is_legal = if is_clean { is_trimmed(octets) } else { is_legal_value(octets) };
        let tag = Tag { is_sound: of.is_sound && is_legal, ..of };
        if T::COUNTS_PLAIN && tag.is_plain() {
            taker.plain(table::length(name) + octets.len());
        } else {
            taker.field(Field { name: self.table.part(name), value: Some(octets), tag });
        }
        if insert {
            self.table.insert(mark, name, value, tag);
        } else {
            self.table.unstage(mark);
        }
        Ok(())
    }

    /// The name of an entry for a field with another value.
    #[inline]
    fn named_as(&self, entry: Entry) -> (Part<'static>, Tag) {
        let Some(name) = entry.name() else { return (Part::Unknown, Tag::default()) };
        let tag = entry.tag;
        // The entry's value may be what is wrong.
        let legal =
            tag.is_sound || tag.name != Name::Other || is_legal_name(self.table.octets(name));
        (Part::Stored(name), Tag { is_sound: legal, ..tag })
    }

    /// A string (RFC 7541 section 5.2) of the field at `at`; Huffman-coded ones are decoded to
    /// the end of the table's text. Tells also whether it surely has no octet that no value has.
    #[inline(always)]
    fn string<'b>(
        &mut self,
        at: u32,
        reader: &mut Reader<'b>,
    ) -> Result<(Part<'b>, bool), HeaderFault> {
        let start = reader.offset();
        let (&first, rest) = reader.rest.split_first().ok_or(fault(Kind::Truncated, at))?;
        let length = reader.integer(first & 0x7f, 0x7f, rest, at)?;
        let octets = reader.take(length as usize).ok_or(fault(Kind::Truncated, at))?;
        if first & HUFFMAN == 0 {
            return Ok((Part::Plain(octets), false));
        }
        let mark = self.table.mark();
        match huffman::decode(octets, self.table.stage(huffman::most(octets))) {
            Ok(has_long) => Ok((self.table.stage_end(mark), !has_long)),
            Err(huffman::Fault::Eos) => Err(fault(Kind::HuffmanEos, start)),
            Err(huffman::Fault::Padding) => Err(fault(Kind::HuffmanPadding, start)),
        }
    }
}

/// What is left of a block.
struct Reader<'b> {
    rest: &'b [u8],
    /// Of the whole block.
    length: usize,
}

impl<'b> Reader<'b> {
    /// Offset of what is left.
    #[inline]
    fn offset(&self) -> u32 {
        u32::try_from(self.length - self.rest.len()).unwrap_or(u32::MAX)
    }

    /// An integer (RFC 7541 section 5.1) whose first octet, in front of `rest`, held `prefix` in
    /// the bits of `mask`. Moves behind it. `at` is the field's offset, for truncation.
    #[inline(always)]
    fn integer(
        &mut self,
        prefix: u8,
        mask: u8,
        rest: &'b [u8],
        at: u32,
    ) -> Result<u32, HeaderFault> {
        if prefix < mask {
            self.rest = rest;
            return Ok(u32::from(prefix));
        }
        self.long_integer(mask, rest, at)
    }

    fn long_integer(&mut self, mask: u8, rest: &'b [u8], at: u32) -> Result<u32, HeaderFault> {
        let overflow = fault(Kind::IntegerOverflow, self.offset());
        let mut value = u64::from(mask);
        // 2^32-1 takes five octets; longer is more than any value this can stand for.
        for (shift, place) in [0, 7, 14, 21, 28].into_iter().zip(0_usize..) {
            let &octet = rest.get(place).ok_or(fault(Kind::Truncated, at))?;
            value += u64::from(octet & 0x7f) << shift;
            if octet & 0x80 == 0 {
                self.rest = rest.get(place + 1..).unwrap_or_default();
                return u32::try_from(value).map_err(|_| overflow);
            }
        }
        Err(overflow)
    }

    /// The next `count` octets.
    #[inline]
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }
}

fn fault(kind: Kind, offset: u32) -> HeaderFault {
    HeaderFault { kind, offset }
}

/// The table's maximum until SETTINGS say otherwise (RFC 9113 section 6.5.2).
const DEFAULT_SIZE: u32 = 4096;
/// Limit where the capture does not tell it: every size is legal.
const UNTOLD: u32 = u32::MAX;
// First octets (RFC 7541 section 6).
const INDEXED: u8 = 0x80;
const INCREMENTAL: u8 = 0x40;
const SIZE_UPDATE: u8 = 0x20;
// First octet of a string.
const HUFFMAN: u8 = 0x80;

#[cfg(test)]
mod late;
#[cfg(test)]
mod tests;
