//! The streams of a connection that are open.
//!
//! Streams stay where they are while they live, so that opening one or looking at it moves little
//! memory; frames come in runs on one stream, so the last one found is looked at first.

use std::cell::Cell;

use rustc_hash::FxHashMap;

use super::stream::Stream;
use crate::vocab::pack::{Pack, Packer, Unpacker};

/// Streams by identifier.
#[derive(Debug, Default)]
pub(super) struct OpenStreams {
    /// Place in `slots` by identifier.
    places: FxHashMap<u32, u32>,
    slots: Vec<Option<Stream>>,
    /// Slots without a stream.
    free: Vec<u32>,
    /// The stream that was looked for last, and its place.
    last: Cell<Option<(u32, u32)>>,
}

impl Pack for OpenStreams {
    fn pack(&self, to: &mut Packer) {
        self.slots.pack(to);
        self.free.pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let slots: Vec<Option<Stream>> = Pack::unpack(from);
        let taken = (0..).zip(&slots).filter_map(|(place, slot)| Some((slot.as_ref()?.id, place)));
        Self { places: taken.collect(), free: Pack::unpack(from), last: Cell::default(), slots }
    }
}

impl OpenStreams {
    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Approximate octets in memory.
    pub fn weight(&self) -> usize {
        self.slots.capacity() * size_of::<Option<Stream>>()
            + (self.places.capacity() + self.free.capacity()) * size_of::<(u32, u32)>()
    }

    pub fn contains_key(&self, id: &u32) -> bool {
        self.place(*id).is_some()
    }

    pub fn get(&self, id: &u32) -> Option<&Stream> {
        self.slots.get(self.place(*id)?)?.as_ref()
    }

    pub fn get_mut(&mut self, id: &u32) -> Option<&mut Stream> {
        let place = self.place(*id)?;
        self.slots.get_mut(place)?.as_mut()
    }

    pub fn values(&self) -> impl Iterator<Item = &Stream> {
        self.slots.iter().flatten()
    }

    /// Adds a stream in place of one with the same identifier.
    pub fn insert(&mut self, stream: Stream) {
        let id = stream.id;
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                if self.slots.is_empty() {
                    self.slots.reserve_exact(1); // most connections have one stream at a time
                }
                self.slots.push(None);
                (self.slots.len() - 1) as u32
            }
        };
        if let Some(slot) = self.slots.get_mut(place as usize) {
            *slot = Some(stream);
        }
        if let Some(old) = self.places.insert(id, place) {
            if let Some(slot) = self.slots.get_mut(old as usize) {
                *slot = None;
            }
            self.free.push(old);
        }
        self.last.set(Some((id, place)));
    }

    pub fn remove(&mut self, id: &u32) -> Option<Stream> {
        let place = self.place(*id)?;
        let stream = self.slots.get_mut(place)?.take();
        self.discard(id);
        stream
    }

    /// Lets a stream go without looking at it.
    pub fn discard(&mut self, id: &u32) {
        let Some(place) = self.places.remove(id) else { return };
        self.last.set(None);
        if let Some(slot) = self.slots.get_mut(place as usize) {
            *slot = None;
        }
        if self.places.is_empty() && self.slots.len() > IDLE_SLOTS {
            // A burst leaves next to nothing behind on an idle connection.
            (self.slots, self.free) = Default::default();
            if self.places.capacity() > IDLE_PLACES {
                self.places = FxHashMap::default();
            }
        } else {
            self.free.push(place);
        }
    }

    /// All streams, in no order.
    pub fn drain(&mut self) -> Vec<Stream> {
        std::mem::take(self).slots.into_iter().flatten().collect()
    }

    #[inline]
    fn place(&self, id: u32) -> Option<usize> {
        if let Some((last, place)) = self.last.get()
            && last == id
        {
            return Some(place as usize);
        }
        let place = *self.places.get(&id)?;
        self.last.set(Some((id, place)));
        Some(place as usize)
    }
}

/// Slots that a connection without open streams keeps.
const IDLE_SLOTS: usize = 2;

/// Places that it keeps room for.
const IDLE_PLACES: usize = 28;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::address::Side;

    fn stream(id: u32) -> Stream {
        Stream::new(id, Side::Client, None)
    }

    #[test]
    fn streams_are_found_by_their_identifiers_until_they_go() {
        let mut open = OpenStreams::default();
        for id in [1, 3, 5, 7] {
            open.insert(stream(id));
        }
        assert_eq!((open.len(), open.get(&3).map(|s| s.id)), (4, Some(3)));
        assert_eq!(open.remove(&3).map(|s| s.id), Some(3));
        assert!(open.get(&3).is_none() && open.remove(&3).is_none() && !open.contains_key(&3));
        open.insert(stream(9));
        let mut ids: Vec<u32> = open.values().map(|s| s.id).collect();
        ids.sort_unstable();
        assert_eq!((ids, open.slots.len()), (vec![1, 5, 7, 9], 4));
        assert_eq!(open.drain().len(), 4);
        assert!(open.is_empty() && open.get(&9).is_none());
    }

    #[test]
    fn a_burst_leaves_no_memory_behind() {
        let mut open = OpenStreams::default();
        for id in 0..100 {
            open.insert(stream(2 * id + 1));
        }
        for id in 0..100 {
            assert!(open.remove(&(2 * id + 1)).is_some());
        }
        assert_eq!((open.slots.capacity(), open.places.capacity()), (0, 0));
    }
}
