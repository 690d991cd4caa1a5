//! What the fuzzer runs (fuzz/README.md), on its seeds and on a few mutations of each, the same in
//! every run: a broken promise shows here before anybody fuzzes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../fuzz/src/capture.rs"]
mod capture;
#[path = "../fuzz/src/filter.rs"]
mod filter;
#[path = "../fuzz/src/flow.rs"]
mod flow;
#[path = "../fuzz/src/h2.rs"]
mod h2;
#[path = "../fuzz/src/hpack.rs"]
mod hpack;
#[path = "../fuzz/src/packet.rs"]
mod packet;
#[path = "../fuzz/src/pipeline.rs"]
mod pipeline;
#[path = "../fuzz/src/seeds.rs"]
mod seeds;
#[path = "../fuzz/src/targets.rs"]
mod targets;
#[path = "../fuzz/src/tcp.rs"]
mod tcp;
#[path = "../fuzz/src/tls.rs"]
mod tls;

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};

use common::wire::Random;

/// Octets of inputs beyond which a target gets no more: a second or two of each.
fn most(target: &str) -> usize {
    match target {
        "pipeline" => 500_000,
        "tcp" => 20_000,
        "filter" => 10_000,
        _ => 1_000_000,
    }
}

fn smoke(target: &str) {
    let (_, run, seeds) = targets::TARGETS.into_iter().find(|(name, ..)| *name == target).unwrap();
    let seeds = seeds();
    assert!(!seeds.is_empty());
    let mut random = Random::new(target.len() as u64);
    let mut left = most(target);
    for turn in 0_usize.. {
        let place = turn % seeds.len();
        let mut input = seeds[place].clone();
        // The seeds themselves first.
        if turn >= seeds.len() {
            let other = &seeds[random.below(seeds.len())];
            mutate(&mut input, other, &mut random);
        }
        if catch_unwind(AssertUnwindSafe(|| run(&input))).is_err() {
            let file = std::env::temp_dir().join(format!("goawhy-{target}-{turn}"));
            std::fs::write(&file, &input).unwrap();
            panic!("{target}: seed {place}, turn {turn}: the input is in {}", file.display());
        }
        match left.checked_sub(input.len() + 20) {
            Some(rest) => left = rest,
            None => break,
        }
    }
}

/// A few of the changes that fuzzers make.
fn mutate(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    for _ in 0..1 + random.below(4) {
        let at = random.below(input.len());
        let length = 1 + random.below(8.min(input.len().max(1)));
        let end = (at + length).min(input.len());
        match random.below(6) {
            0 if !input.is_empty() => input[at] ^= 1 << random.below(8),
            1 if !input.is_empty() => {
                const SPECIAL: [u8; 6] = [0, 1, 0x7f, 0x80, 0xfe, 0xff];
                input[at..end].fill(SPECIAL[random.below(6)]);
            }
            2 => drop(input.drain(at..end)),
            3 => {
                let again = input[at..end].to_vec();
                input.splice(at..at, again);
            }
            4 if !other.is_empty() => {
                let from = random.below(other.len());
                let part = &other[from..(from + 1 + random.below(64)).min(other.len())];
                input.splice(at..end, part.iter().copied());
            }
            _ => input.truncate(input.len() - random.below(input.len() / 4 + 1)),
        }
    }
}

macro_rules! smokes {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            super::smoke(stringify!($name));
        }
    )*};
}

mod smoke {
    smokes! { packet tcp tls h2 hpack capture filter pipeline }

    #[test]
    fn every_target_has_one() {
        assert_eq!(super::targets::TARGETS.len(), 8);
    }
}
