//! State at rest: what is remembered of a connection while nothing happens on it, in few octets.
//!
//! Most of it is nothing at all, small numbers, and stamps close to each other: numbers take as
//! many octets as they need, stamps tell how far they lie from the one before. What is read is
//! exactly what was written; `packs!` writes both ways from one list of fields, and does not
//! compile where one is missing.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use super::time::Stamp;

/// What can be written down and read again.
pub trait Pack: Sized {
    /// Writes it.
    fn pack(&self, to: &mut Packer);

    /// Reads it. Octets that nobody wrote give some value, never a failure.
    fn unpack(from: &mut Unpacker<'_>) -> Self;

    /// Writes many.
    fn pack_all(all: &[Self], to: &mut Packer) {
        all.iter().for_each(|one| one.pack(to));
    }

    /// Reads as many, and makes room for exactly those.
    fn unpack_all(count: usize, from: &mut Unpacker<'_>) -> Vec<Self> {
        let mut all = Vec::with_capacity(count);
        all.extend((0..count).map(|_| Self::unpack(from)));
        all
    }
}

/// The least number that does not fit into one octet beside the eight marks of longer ones.
const WIDE: u64 = 248;

/// Takes what is written.
#[derive(Debug, Default)]
pub struct Packer {
    octets: Vec<u8>,
    last: Stamp,
}

impl Packer {
    /// Writes one thing, alone; the memory to write in is used again.
    pub fn write(&mut self, of: impl FnOnce(&mut Self)) -> Box<[u8]> {
        self.octets.clear();
        self.last = Stamp::default();
        of(self);
        self.octets.as_slice().into()
    }

    /// One octet.
    #[inline]
    pub fn octet(&mut self, octet: u8) {
        self.octets.push(octet);
    }

    /// A number: itself where it is small, else how many octets it has and those, the lowest first.
    #[inline]
    pub fn number(&mut self, number: u64) {
        if number < WIDE {
            self.octets.push(number as u8);
            return;
        }
        let length = 8 - number.leading_zeros() as usize / 8;
        self.octets.push((WIDE as usize + length - 1) as u8);
        // All eight and back again: that is no call.
        let end = self.octets.len() + length;
        self.octets.extend_from_slice(&number.to_le_bytes());
        self.octets.truncate(end);
    }

    /// A number that may be negative: small ones of either sign are short.
    #[inline]
    pub fn signed(&mut self, number: i64) {
        self.number(((number << 1) ^ (number >> 63)) as u64);
    }

    /// Octets, with their number.
    pub fn octets(&mut self, octets: &[u8]) {
        self.number(octets.len() as u64);
        self.octets.extend_from_slice(octets);
    }

    /// The stamp written last, and instead of it this one.
    pub(super) fn after(&mut self, stamp: Stamp) -> Stamp {
        std::mem::replace(&mut self.last, stamp)
    }
}

/// Gives what was written.
#[derive(Debug)]
pub struct Unpacker<'a> {
    rest: &'a [u8],
    last: Stamp,
}

impl<'a> Unpacker<'a> {
    /// Reads what [`Packer::write`] gave.
    pub fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets, last: Stamp::default() }
    }

    /// One octet.
    #[inline]
    pub fn octet(&mut self) -> u8 {
        let Some((first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        *first
    }

    /// A number.
    #[inline]
    pub fn number(&mut self) -> u64 {
        let first = u64::from(self.octet());
        if first < WIDE { first } else { self.wide((first - WIDE) as usize + 1) }
    }

    /// A number of so many octets, eight at most.
    #[inline]
    fn wide(&mut self, length: usize) -> u64 {
        let number = match self.rest.first_chunk::<8>() {
            Some(octets) => u64::from_le_bytes(*octets),
            None => self.rest.iter().rev().fold(0, |sum, octet| sum << 8 | u64::from(*octet)),
        };
        self.rest = self.rest.get(length..).unwrap_or_default();
        number & u64::MAX >> (64 - 8 * length as u32)
    }

    /// A number that may be negative.
    #[inline]
    pub fn signed(&mut self) -> i64 {
        let number = self.number();
        (number >> 1) as i64 ^ -((number & 1) as i64)
    }

    /// Octets.
    pub fn octets(&mut self) -> &'a [u8] {
        let length = self.length();
        self.take(length)
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (octets, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        octets
    }

    /// How many follow: none takes less than an octet.
    pub fn length(&mut self) -> usize {
        usize::try_from(self.number()).unwrap_or(usize::MAX).min(self.rest.len())
    }

    pub(super) fn last(&mut self) -> &mut Stamp {
        &mut self.last
    }
}

/// Writes and reads all fields of a struct, those behind `resting` excepted: they are empty in
/// whatever is at rest. Variants of enums have numbers, but for the one behind `else`.
macro_rules! packs {
    (struct $type:ident { $($field:ident),* $(; resting $($empty:ident),*)? }) => {
        impl $crate::vocab::pack::Pack for $type {
            fn pack(&self, to: &mut $crate::vocab::pack::Packer) {
                let Self { $($field,)* $($($empty: _,)*)? } = self;
                $($crate::vocab::pack::Pack::pack($field, to);)*
            }

            fn unpack(from: &mut $crate::vocab::pack::Unpacker<'_>) -> Self {
                // In the order in which they stand here.
                Self {
                    $($field: $crate::vocab::pack::Pack::unpack(from),)*
                    $($($empty: Default::default(),)*)?
                }
            }
        }
    };
    (tuple $type:ident($inner:ident)) => {
        impl $crate::vocab::pack::Pack for $type {
            fn pack(&self, to: &mut $crate::vocab::pack::Packer) {
                let Self($inner) = self;
                $crate::vocab::pack::Pack::pack($inner, to);
            }

            fn unpack(from: &mut $crate::vocab::pack::Unpacker<'_>) -> Self {
                Self($crate::vocab::pack::Pack::unpack(from))
            }
        }
    };
    (enum $type:ident {
        $($number:literal => $variant:ident $(($inner:ident))?,)* else $other:ident
    }) => {
        impl $crate::vocab::pack::Pack for $type {
            fn pack(&self, to: &mut $crate::vocab::pack::Packer) {
                match self {
                    $(Self::$variant $(($inner))? => {
                        to.octet($number);
                        $($crate::vocab::pack::Pack::pack($inner, to);)?
                    })*
                    Self::$other => to.octet(u8::MAX),
                }
            }

            fn unpack(from: &mut $crate::vocab::pack::Unpacker<'_>) -> Self {
                match from.octet() {
                    $($number => Self::$variant $(({
                        let $inner = $crate::vocab::pack::Pack::unpack(from);
                        $inner
                    }))?,)*
                    _ => Self::$other,
                }
            }
        }
    };
}
pub(crate) use packs;

macro_rules! numbers {
    ($($type:ty),*) => {
        $(impl Pack for $type {
            #[inline]
            fn pack(&self, to: &mut Packer) {
                to.number(*self as u64);
            }

            #[inline]
            fn unpack(from: &mut Unpacker<'_>) -> Self {
                from.number() as Self
            }
        })*
    };
}

numbers!(u16, u32, u64, usize);

impl Pack for u8 {
    #[inline]
    fn pack(&self, to: &mut Packer) {
        to.octet(*self);
    }

    #[inline]
    fn unpack(from: &mut Unpacker<'_>) -> Self {
        from.octet()
    }

    fn pack_all(all: &[Self], to: &mut Packer) {
        to.octets.extend_from_slice(all);
    }

    fn unpack_all(count: usize, from: &mut Unpacker<'_>) -> Vec<Self> {
        from.take(count).to_vec()
    }
}

impl Pack for bool {
    #[inline]
    fn pack(&self, to: &mut Packer) {
        to.octet(u8::from(*self));
    }

    #[inline]
    fn unpack(from: &mut Unpacker<'_>) -> Self {
        from.octet() != 0
    }
}

impl Pack for i64 {
    #[inline]
    fn pack(&self, to: &mut Packer) {
        to.signed(*self);
    }

    #[inline]
    fn unpack(from: &mut Unpacker<'_>) -> Self {
        from.signed()
    }
}

impl Pack for f64 {
    #[inline]
    fn pack(&self, to: &mut Packer) {
        // Zero and short fractions have their zeros in front then.
        to.number(self.to_bits().swap_bytes());
    }

    #[inline]
    fn unpack(from: &mut Unpacker<'_>) -> Self {
        Self::from_bits(from.number().swap_bytes())
    }
}

impl Pack for Duration {
    #[inline]
    fn pack(&self, to: &mut Packer) {
        to.number(self.as_secs());
        to.number(u64::from(self.subsec_nanos()));
    }

    #[inline]
    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let seconds = from.number();
        Self::from_secs(seconds).saturating_add(Self::from_nanos(from.number()))
    }
}

impl Pack for String {
    #[inline]
    fn pack(&self, to: &mut Packer) {
        to.octets(self.as_bytes());
    }

    #[inline]
    fn unpack(from: &mut Unpacker<'_>) -> Self {
        String::from_utf8_lossy(from.octets()).into_owned()
    }
}

impl Pack for Box<str> {
    #[inline]
    fn pack(&self, to: &mut Packer) {
        to.octets(self.as_bytes());
    }

    #[inline]
    fn unpack(from: &mut Unpacker<'_>) -> Self {
        String::from_utf8_lossy(from.octets()).into()
    }
}

impl Pack for IpAddr {
    #[inline]
    fn pack(&self, to: &mut Packer) {
        match self {
            Self::V4(ip) => to.octets(&ip.octets()),
            Self::V6(ip) => to.octets(&ip.octets()),
        }
    }

    #[inline]
    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let octets = from.octets();
        match <[u8; 4]>::try_from(octets) {
            Ok(octets) => octets.into(),
            Err(_) => <[u8; 16]>::try_from(octets).unwrap_or_default().into(),
        }
    }
}

impl<T: Pack> Pack for Option<T> {
    #[inline]
    fn pack(&self, to: &mut Packer) {
        to.octet(u8::from(self.is_some()));
        if let Some(inner) = self {
            inner.pack(to);
        }
    }

    #[inline]
    fn unpack(from: &mut Unpacker<'_>) -> Self {
        (from.octet() != 0).then(|| T::unpack(from))
    }
}

impl<T: Pack> Pack for Box<T> {
    #[inline]
    fn pack(&self, to: &mut Packer) {
        (**self).pack(to);
    }

    #[inline]
    fn unpack(from: &mut Unpacker<'_>) -> Self {
        Self::new(T::unpack(from))
    }
}

impl<T: Pack, const N: usize> Pack for [T; N] {
    #[inline]
    fn pack(&self, to: &mut Packer) {
        self.iter().for_each(|item| item.pack(to));
    }

    #[inline]
    fn unpack(from: &mut Unpacker<'_>) -> Self {
        std::array::from_fn(|_| T::unpack(from))
    }
}

impl<A: Pack, B: Pack> Pack for (A, B) {
    #[inline]
    fn pack(&self, to: &mut Packer) {
        self.0.pack(to);
        self.1.pack(to);
    }

    #[inline]
    fn unpack(from: &mut Unpacker<'_>) -> Self {
        (A::unpack(from), B::unpack(from))
    }
}

impl<A: Pack, B: Pack, C: Pack> Pack for (A, B, C) {
    #[inline]
    fn pack(&self, to: &mut Packer) {
        self.0.pack(to);
        self.1.pack(to);
        self.2.pack(to);
    }

    #[inline]
    fn unpack(from: &mut Unpacker<'_>) -> Self {
        (A::unpack(from), B::unpack(from), C::unpack(from))
    }
}

impl<T: Pack> Pack for Range<T> {
    #[inline]
    fn pack(&self, to: &mut Packer) {
        self.start.pack(to);
        self.end.pack(to);
    }

    #[inline]
    fn unpack(from: &mut Unpacker<'_>) -> Self {
        T::unpack(from)..T::unpack(from)
    }
}

impl<T: Pack> Pack for Vec<T> {
    #[inline]
    fn pack(&self, to: &mut Packer) {
        to.number(self.len() as u64);
        T::pack_all(self, to);
    }

    #[inline]
    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let length = from.length();
        T::unpack_all(length, from)
    }
}

impl<T: Pack> Pack for VecDeque<T> {
    #[inline]
    fn pack(&self, to: &mut Packer) {
        to.number(self.len() as u64);
        let (front, back) = self.as_slices();
        T::pack_all(front, to);
        T::pack_all(back, to);
    }

    #[inline]
    fn unpack(from: &mut Unpacker<'_>) -> Self {
        Vec::unpack(from).into()
    }
}

/// Nobody may rest on the order in which such a map is gone through.
impl<K: Pack + Eq + Hash, V: Pack, S: BuildHasher + Default> Pack for HashMap<K, V, S> {
    #[inline]
    fn pack(&self, to: &mut Packer) {
        to.number(self.len() as u64);
        for (key, value) in self {
            key.pack(to);
            value.pack(to);
        }
    }

    #[inline]
    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let length = from.length();
        (0..length).map(|_| Pack::unpack(from)).collect()
    }
}

impl<K: Pack + Eq + Hash, S: BuildHasher + Default> Pack for HashSet<K, S> {
    #[inline]
    fn pack(&self, to: &mut Packer) {
        to.number(self.len() as u64);
        self.iter().for_each(|key| key.pack(to));
    }

    #[inline]
    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let length = from.length();
        (0..length).map(|_| K::unpack(from)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::time::Timestamp;

    #[derive(Clone, Debug, Default, PartialEq)]
    struct Sample {
        numbers: (u16, u64, i64),
        fraction: f64,
        span: Duration,
        text: String,
        stamps: Vec<Option<Stamp>>,
        address: Option<IpAddr>,
        kind: Kind,
        buffer: Vec<u8>,
    }

    packs!(struct Sample {
        numbers, fraction, span, text, stamps, address, kind; resting buffer
    });

    #[derive(Clone, Debug, Default, PartialEq)]
    enum Kind {
        Small(u8),
        #[default]
        None,
    }

    packs!(enum Kind { 0 => Small(number), else None });

    fn sample() -> Sample {
        let stamp = |number, at| Some(Stamp::new(3, number, Timestamp(at)));
        Sample {
            numbers: (u16::MAX, u64::MAX, i64::MIN),
            fraction: 0.1,
            span: Duration::new(7, 999_999_999),
            text: "grün".to_owned(),
            stamps: vec![stamp(9, i64::MAX), None, stamp(2, i64::MIN), stamp(1 << 47, 0)],
            address: Some(IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 1])),
            kind: Kind::Small(255),
            buffer: Vec::new(),
        }
    }

    #[test]
    fn what_is_read_is_what_was_written() {
        let mut packer = Packer::default();
        for written in [sample(), Sample::default()] {
            let octets = packer.write(|to| written.pack(to));
            let mut from = Unpacker::new(&octets);
            assert_eq!(Sample::unpack(&mut from), written);
            assert!(from.rest.is_empty());
        }
        assert_eq!(packer.write(|to| Sample::default().pack(to)).len(), 10);
    }

    #[test]
    fn octets_that_nobody_wrote_are_no_failure() {
        let octets = Packer::default().write(|to| sample().pack(to));
        for end in 0..octets.len() {
            Sample::unpack(&mut Unpacker::new(&octets[..end]));
        }
        Vec::<(u64, Box<str>)>::unpack(&mut Unpacker::new(&[0xff; 64]));
    }
}
