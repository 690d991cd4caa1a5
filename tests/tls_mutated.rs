//! Records that were changed on their way: whatever becomes of them, nothing that was not said is
//! told, and nothing takes long.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use goawhy::vocab::address::{Both, Half};

use common::tls::{Flow, Piece, Pieces, flow, key_log, read};
use common::wire::Random;

const NAMES: [&str; 5] =
    ["tls13_aes128gcm", "tls12_cbc_sha256", "tls13_keyupdate", "tls13_hrr", "tls12_hello_records"];

/// Octets of a record's head.
const HEAD: usize = 5;

/// The records of a half, head and body; what follows the last whole one is left out.
fn records(pieces: &Pieces, half: Half) -> Vec<Vec<u8>> {
    let octets: Vec<u8> =
        pieces.iter().filter(|(of, _)| *of == half).flat_map(|(_, data)| data.clone()).collect();
    let mut rest = &octets[..];
    let mut records = Vec::new();
    while rest.len() >= HEAD {
        let length = HEAD + usize::from(u16::from_be_bytes([rest[3], rest[4]]));
        let Some((record, behind)) = rest.split_at_checked(length) else { break };
        records.push(record.to_vec());
        rest = behind;
    }
    records
}

/// Both halves record by record, those of the client first: hellos come before what needs them.
fn woven(client: Half, mut halves: Both<Vec<Vec<u8>>>) -> Pieces {
    let mut pieces = Pieces::new();
    let (first, second) = (client, client.other());
    let take = |records: &mut Vec<Vec<u8>>| (!records.is_empty()).then(|| records.remove(0));
    loop {
        let one = take(halves.half_mut(first));
        let two = take(halves.half_mut(second));
        if one.is_none() && two.is_none() {
            return pieces;
        }
        pieces.extend(one.map(|record| (first, record)));
        pieces.extend(two.map(|record| (second, record)));
    }
}

/// One change of the kinds that come to mind.
fn mutate(records: &mut Vec<Vec<u8>>, random: &mut Random) {
    let at = random.below(records.len());
    let length = records[at].len();
    if length <= HEAD {
        return;
    }
    match random.below(12) {
        // Bits of the body, of the type, of the version.
        0 | 1 => records[at][random.below(length)] ^= 1 << random.below(8),
        2 => records[at][0] = [20, 21, 22, 23, 24, 0, 255][random.below(7)],
        3 => records[at][1 + random.below(2)] = random.below(256) as u8,
        // Lengths that lie: longer, shorter, nothing, all there is.
        4 => records[at][3 + random.below(2)] ^= 1 << random.below(8),
        5 => records[at][3..HEAD].copy_from_slice(&[[0, 0], [255, 255], [64, 1]][random.below(3)]),
        // Records cut short, without and with a length that says so.
        6 => records[at].truncate(random.below(length)),
        7 => {
            let shorter = HEAD + random.below(length - HEAD + 1);
            records[at].truncate(shorter);
            records[at][3..HEAD].copy_from_slice(&((shorter - HEAD) as u16).to_be_bytes());
        }
        // Records gone, twice, in another order, or nobody's.
        8 => drop(records.remove(at)),
        9 => records.insert(at, records[at].clone()),
        10 => {
            let other = random.below(records.len());
            records.swap(at, other);
        }
        _ => {
            let body: Vec<u8> = (0..random.below(300)).map(|_| random.below(256) as u8).collect();
            let mut stranger = vec![23, 3, 3];
            stranger.extend((body.len() as u16).to_be_bytes());
            stranger.extend(body);
            records.insert(at, stranger);
        }
    }
}

/// Whether the pieces are parts of `truth` in order; a half that was reordered has them anywhere.
fn is_part(truth: &[u8], pieces: &[Piece]) -> bool {
    pieces.iter().all(|piece| match piece {
        Piece::Gap => true,
        Piece::Octets(octets) => {
            octets.is_empty() || truth.windows(octets.len()).any(|part| part == &octets[..])
        }
    })
}

#[test]
fn changed_records_never_give_what_was_not_said() {
    let begun = Instant::now();
    for name in NAMES {
        let Flow { key, client, pieces } = flow(name);
        let log = key_log(name);
        let whole = read(key, Some(client), &pieces, &log);
        let truth = Both { first: whole.octets(Half::A), second: whole.octets(Half::B) };
        let halves = Both { first: records(&pieces, Half::A), second: records(&pieces, Half::B) };
        let unchanged = read(key, Some(client), &woven(client, halves.clone()), &log);
        assert_eq!(unchanged.octets(Half::A), truth.first, "{name}");
        let mut told = 0;
        for seed in 0..400 {
            let mut random = Random::new(seed);
            let mut changed = halves.clone();
            for _ in 0..=random.below(5) {
                let half = if random.below(2) == 0 { Half::A } else { Half::B };
                if !changed.half(half).is_empty() {
                    mutate(changed.half_mut(half), &mut random);
                }
            }
            let mut cut = Pieces::new();
            let size = [1, 7, 100, 1448, usize::MAX][random.below(5)];
            for (half, octets) in woven(client, changed) {
                cut.extend(octets.chunks(size).map(|piece| (half, piece.to_vec())));
            }
            let initiator = (random.below(4) > 0).then_some(client);
            let read = read(key, initiator, &cut, &log);
            // What is no TLS any more is handed on as it came.
            if read.facts.is_none() {
                continue;
            }
            for half in [Half::A, Half::B] {
                assert!(
                    is_part(truth.half(half), read.pieces.half(half)),
                    "{name} {seed} {half:?}"
                );
                told += read.pieces.half(half).len();
            }
        }
        assert!(told > 400, "{name}: hardly anything was read: {told}");
    }
    // Some 2,000 connections; a search for a lost place is bounded.
    assert!(begun.elapsed() < Duration::from_secs(120), "{:?}", begun.elapsed());
}
