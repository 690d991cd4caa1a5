//! A late joiner against a model encoder that knows which entries the joiner can know: it must
//! tell those, and nothing else.

use std::collections::VecDeque;

use super::tests::{Random, Told, integer, told};
use super::*;

/// An entry of the encoder's table.
struct Entry {
    name: Vec<u8>,
    value: Vec<u8>,
    /// Block that inserted it.
    block: usize,
    /// Whether the joiner can know the name.
    named: bool,
}

impl Entry {
    fn size(&self) -> usize {
        self.name.len() + self.value.len() + 32
    }
}

/// The encoder, with what the joiner can know.
struct Model {
    /// Oldest first.
    table: VecDeque<Entry>,
    size: usize,
    max: usize,
    /// First block that the joiner has seen.
    joined: usize,
    random: Random,
}

impl Model {
    fn evict(&mut self, max: usize) {
        while self.size > max
            && let Some(entry) = self.table.pop_front()
        {
            self.size -= entry.size();
        }
    }

    fn resize(&mut self, max: usize, block: &mut Vec<u8>) {
        self.max = max;
        self.evict(max);
        integer(max, 0x1f, SIZE_UPDATE, block);
    }

    fn octets(&mut self, most: usize) -> Vec<u8> {
        (0..self.random.below(most)).map(|_| self.random.next() as u8).collect()
    }

    /// Appends a field to the block `number` and returns what the joiner must tell.
    fn field(&mut self, number: usize, block: &mut Vec<u8>) -> Told {
        let referred = (!self.table.is_empty() && self.random.below(3) > 0)
            .then(|| self.random.below(self.table.len()));
        let index = referred.map(|newer| (62 + newer, self.table.len() - 1 - newer));
        if let Some((index, place)) = index
            && self.random.below(2) == 0
        {
            integer(index, 0x7f, INDEXED, block);
            let entry = &self.table[place];
            let seen = entry.block >= self.joined;
            let name = (seen && entry.named).then(|| entry.name.clone());
            return (name, seen.then(|| entry.value.clone()));
        }
        let insert = self.random.below(3) > 0;
        let (mask, bits) = if insert { (0x3f, INCREMENTAL) } else { (0x0f, 0) };
        let (name, named) = match index {
            Some((index, place)) => {
                integer(index, mask, bits, block);
                let entry = &self.table[place];
                (entry.name.clone(), entry.block >= self.joined && entry.named)
            }
            None => {
                let name = self.octets(30);
                block.push(bits);
                integer(name.len(), 0x7f, 0, block);
                block.extend_from_slice(&name);
                (name, true)
            }
        };
        let long = self.random.below(60) == 0;
        let value = self.octets(if long { 5000 } else { 90 });
        integer(value.len(), 0x7f, 0, block);
        block.extend_from_slice(&value);
        let must = (named.then(|| name.clone()), Some(value.clone()));
        if insert {
            let entry = Entry { name, value, block: number, named };
            self.evict(self.max.saturating_sub(entry.size()));
            if entry.size() <= self.max {
                self.size += entry.size();
                self.table.push_back(entry);
            } else {
                self.evict(0);
            }
        }
        must
    }
}

#[test]
fn tells_all_that_can_be_known_and_nothing_else() {
    let mut hidden = 0;
    for round in 0..1500_usize {
        let random = Random(round as u64 + 1);
        let mut model = Model { table: VecDeque::new(), size: 0, max: 4096, joined: 0, random };
        model.random.next();
        let limit = [4096, 4096, 256, 16_384, 100, 0][round % 6];
        let joins_at = 1 + model.random.below(12);
        let mut decoder = Decoder::new();
        decoder.allow_table_size(limit as u32);
        for number in 0..30 {
            let mut block = Vec::new();
            if number == 0 || model.random.below(20) == 0 {
                let max = model.random.below(limit + 1);
                model.resize(max, &mut block);
            }
            if number == joins_at {
                model.joined = number;
                match round % 3 {
                    0 => decoder.forget(),
                    1 => decoder = Decoder::joined_midway(),
                    _ => {
                        decoder = Decoder::joined_midway();
                        decoder.allow_table_size(limit as u32);
                    }
                }
            }
            let count = model.random.below(10);
            let must: Vec<Told> = (0..count).map(|_| model.field(number, &mut block)).collect();
            let (fields, outcome) = told(&mut decoder, &block);
            assert_eq!(outcome, Outcome::default(), "round {round} block {number}");
            assert_eq!(fields, must, "round {round} block {number}");
            hidden += must.iter().filter(|(_, value)| value.is_none()).count();
        }
    }
    assert!(hidden > 1000, "{hidden}");
}
