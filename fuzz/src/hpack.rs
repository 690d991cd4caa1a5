//! Header blocks of one direction, with two octets of length each, read by this decoder and by
//! another program's.

use goawhy::h2::hpack::{Decoder, Outcome};
use goawhy::vocab::header::{Field, HeaderFaultKind as Kind};

use crate::packet::packets;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// Both decoders agree; one that joins later tells nothing else than one that saw it all.
pub fn run(data: &[u8]) {
    let mut ours = Decoder::new();
    let mut late = Decoder::joined_midway();
    let mut theirs = fluke_hpack::Decoder::new();
    theirs.set_max_allowed_table_size(4096);
    for (number, block) in packets(data).enumerate() {
        let (outcome, fields) = decode(&mut ours, block);
        let known: Fields = fields
            .iter()
            .map(|(name, value)| (name.clone().expect("known"), value.clone().expect("known")))
            .collect();
        if number > 0 {
            agrees(&mut late, block, outcome, &known);
        }
        // The other one panics at a change of size that is cut off, and lets pass what RFC 7541
        // forbids in padding, order and size.
        if let Some(fault) = outcome.fault {
            assert!(fault.offset as usize <= block.len());
            if !matches!(fault.kind, Kind::IndexZero | Kind::IndexBeyondTable) {
                return;
            }
        }
        let (result, other) = decode_by_other(&mut theirs, block);
        match (outcome.fault, result) {
            (None, true) => assert_eq!(known, other),
            // The other one wants a field behind every change of size; RFC 7541 does not.
            (None, false) => assert_eq!(known, [], "only the other one refuses {block:02x?}"),
            (Some(fault), _) => {
                assert!(!result, "{fault:?} in {block:02x?}");
                return;
            }
        }
    }
}

type Told = Vec<(Option<Vec<u8>>, Option<Vec<u8>>)>;

fn decode(decoder: &mut Decoder, block: &[u8]) -> (Outcome, Told) {
    let mut fields = Vec::new();
    let outcome = decoder.decode(block, &mut |field: Field<'_>| {
        fields.push((field.name.map(<[u8]>::to_vec), field.value.map(<[u8]>::to_vec)));
    });
    (outcome, fields)
}

fn agrees(late: &mut Decoder, block: &[u8], outcome: Outcome, known: &Fields) {
    let (of_late, told) = decode(late, block);
    if outcome.fault.is_none() {
        assert_eq!(of_late.fault, None, "only the late one refuses");
        assert_eq!(told.len(), known.len());
    }
    for ((name, value), (true_name, true_value)) in told.iter().zip(known) {
        assert!(name.as_ref().is_none_or(|name| name == true_name), "a wrong name");
        assert!(value.as_ref().is_none_or(|value| value == true_value), "a wrong value");
    }
}

fn decode_by_other(decoder: &mut fluke_hpack::Decoder<'_>, block: &[u8]) -> (bool, Fields) {
    match decoder.decode(block) {
        Ok(fields) => (true, fields),
        Err(_) => (false, Fields::new()),
    }
}
