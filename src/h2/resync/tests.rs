//! Boundaries that are found, and octets that hold none.

use super::*;
use crate::h2::half::Chunk;
use crate::vocab::time::Stamp;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u32;
    let mut octets = length.to_be_bytes()[1..].to_vec();
    octets.extend([kind, flags]);
    octets.extend(stream.to_be_bytes());
    octets.extend(payload);
    octets
}

fn push(tape: &mut Tape, data: &[u8]) {
    tape.push(Chunk { stamp: Stamp::default(), offset: 0, seen: 0, data });
}

fn find(data: &[u8]) -> Option<usize> {
    let mut tape = Tape::default();
    push(&mut tape, data);
    place(&mut Search::default(), &tape, Context::default())
}

fn place(search: &mut Search, tape: &Tape, context: Context) -> Option<usize> {
    search.find(tape, context).map(|found| found.place)
}

#[test]
fn a_chain_is_found_behind_a_torn_frame() {
    let mut octets = b"torn body of some frame".to_vec();
    let start = octets.len();
    octets.extend(frame(1, 4, 5, &[0x88; 20]));
    octets.extend(frame(0, 1, 5, &[0x20; 300]));
    octets.extend(frame(3, 0, 7, &[0, 0, 0, 8]));
    assert_eq!(find(&octets), Some(start));
}

#[test]
fn the_end_of_a_torn_frame_is_no_empty_data() {
    for kind in [3, 8] {
        let torn = frame(kind, 0, 1, &[0, 0, 0, 5]);
        let mut octets = torn[4..].to_vec();
        octets.extend(frame(1, 5, 7, &[0x82; 40]));
        octets.extend(frame(3, 0, 7, &[0, 0, 0, 8]));
        assert_eq!(find(&octets), Some(9), "{kind}");
    }
}

#[test]
fn one_reset_alone_is_enough_and_one_data_head_is_not() {
    assert_eq!(find(&frame(3, 0, 39, &[0, 0, 0, 8])), Some(0));
    assert_eq!(find(&frame(0, 0, 39, &[7; 100])), None);
}

#[test]
fn noise_and_text_and_zeros_hold_no_frames() {
    let mut state = 7u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    })
    .take(1 << 20)
    .collect();
    assert_eq!(find(&noise), None);
    assert_eq!(find(&[0; 4096]), None);
    assert_eq!(find("the quick brown fox ".repeat(500).as_bytes()), None);
}

#[test]
fn frames_chain_across_a_hole_of_known_length() {
    let mut tape = Tape::default();
    for stream in [1u32, 3, 5] {
        let octets = frame(1, 5, stream, &[0x82; 40]);
        push(&mut tape, &octets[..20]);
        assert!(tape.gap(Stamp::default(), 0, octets.len() as u64 - 20));
    }
    assert_eq!(place(&mut Search::default(), &tape, Context::default()), Some(0));
}

#[test]
fn a_flood_of_empty_frames_has_no_second_reading() {
    let octets = frame(9, 0, 1, &[]).repeat(40);
    assert_eq!(find(&octets[4..]), None);
    let mut tape = Tape::default();
    push(&mut tape, &octets[1..]);
    let late = Context { unseen_pushes: true, ..Context::default() };
    assert_eq!(place(&mut Search::default(), &tape, late), None);
}

#[test]
fn a_long_flood_is_found_where_it_reads_as_frames_once() {
    let late = |octets: &[u8]| {
        let mut tape = Tape::default();
        push(&mut tape, octets);
        Search::default().find(&tape, Context::LATE).map(|found| (found.place, found.confirmed))
    };
    let many = 3 * FLOOD as usize;
    for (kind, flags, stream) in [(4, 0, 0), (4, 1, 0), (9, 0, 1), (9, 0, 257), (0, 1, 1)] {
        let flood = frame(kind, flags, stream, &[]).repeat(many);
        // No stream ends twice.
        let found = (kind != 0).then_some((5, true));
        assert_eq!(late(&flood[4..]), found, "{kind} {flags} {stream}");
        assert_eq!(late(&flood[..many]), None);
    }
    let pattern = |octets: [u8; 9]| late(&octets.repeat(many));
    assert_eq!(pattern([0; 9]), None);
    // CONTINUATION of stream 2,308 or, four octets on, of stream 9.
    assert_eq!(pattern([0, 0, 0, 9, 0, 0, 0, 9, 4]), None);
    let all: [u8; 9] = std::array::from_fn(|_| 1);
    assert_eq!(pattern(all), None);
}

#[test]
fn small_numbers_in_a_body_are_no_frame() {
    let mut body = vec![0x20; 40];
    body.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]); // reads as empty SETTINGS
    body.extend([0x20; 40]);
    assert_eq!(find(&body), None);
}

#[test]
fn a_growing_tape_gives_the_same_place() {
    let mut octets = vec![0x55; 1000];
    for stream in [1u32, 3, 5] {
        octets.extend(frame(0, 0, stream, &[0x61; 2000]));
    }
    let (mut search, mut tape) = (Search::default(), Tape::default());
    let found = octets.chunks(97).find_map(|chunk| {
        push(&mut tape, chunk);
        place(&mut search, &tape, Context::default())
    });
    assert_eq!(found, Some(1000));
}

#[test]
fn one_head_more_confirms() {
    let mut octets = frame(1, 4, 5, &[0x88; 20]);
    octets.extend(frame(0, 0, 5, &[0x20; 300]));
    let found = |octets: &[u8]| {
        let mut tape = Tape::default();
        push(&mut tape, octets);
        Search::default().find(&tape, Context::default()).map(|found| found.confirmed)
    };
    assert_eq!(found(&octets), Some(false));
    octets.extend(frame(0, 1, 5, &[0x20; 300]));
    assert_eq!(found(&octets), Some(true));
    assert_eq!(found(&[&octets[..338], b"no head at all"].concat()), None);
}

#[test]
fn one_message_that_fills_its_segment_is_enough() {
    let mut tape = Tape::default();
    push(&mut tape, &[0x55; 50]);
    push(&mut tape, &frame(1, 5, 7, &[0x40; 30]));
    let late = Context { unseen_pushes: true, ..Context::default() };
    assert_eq!(place(&mut Search::default(), &tape, late), Some(50));
    push(&mut tape, &[0x55; 50]);
    assert_eq!(place(&mut Search::default(), &tape, late), None);
}

#[test]
fn a_stream_that_is_known_is_evidence_though_newer_ones_may_be_open() {
    let data = frame(0, 0, 5, &[0x40; 4096]);
    let find = |highest_stream: u32| {
        let mut tape = Tape::default();
        push(&mut tape, &[0x55; 50]);
        push(&mut tape, &data[..262]);
        assert!(tape.gap(Stamp::default(), 0, data.len() as u64 - 262 + 500));
        let sender = Some(Side::Server);
        let context = Context { highest_stream, uncertain: true, sender, ..Context::default() };
        place(&mut Search::default(), &tape, context)
    };
    assert_eq!((find(7), find(3)), (Some(50), None));
}

#[test]
fn pushed_streams_are_found_where_they_may_have_been_promised() {
    let octets: Vec<u8> =
        [2u32, 4, 2, 4].iter().flat_map(|id| frame(0, 0, *id, &[7; 900])).collect();
    let mut tape = Tape::default();
    push(&mut tape, &octets);
    assert_eq!(place(&mut Search::default(), &tape, Context::default()), None);
    let late = Context { unseen_pushes: true, ..Context::default() };
    assert_eq!(place(&mut Search::default(), &tape, late), Some(0));
}

#[test]
fn frames_longer_than_the_tape_are_chained_by_numbers() {
    let octets = frame(0, 0, 5, &[0x61; 100_000]).repeat(4);
    let context = Context { longest: 1 << 20, ..Context::default() };
    let (mut search, mut tape) = (Search::default(), Tape::default());
    let mut gone = 0;
    let found = octets.chunks(1400).find_map(|chunk| {
        push(&mut tape, chunk);
        let found = place(&mut search, &tape, context);
        if found.is_none() && tape.len() > 65_536 {
            let dropped = tape.drop_front(32_768);
            search.forget_front(dropped);
            gone += dropped;
        }
        found.map(|found| found + gone)
    });
    assert_eq!(found, Some(100_009));
}

#[test]
fn heads_that_repeat_are_no_frames_and_few_are_kept() {
    let head = [0, 0x3f, 0xff, 1, 4, 0, 0, 0, 1, 0x88];
    let octets = head.repeat(100_000);
    let (mut search, mut tape) = (Search::default(), Tape::default());
    for chunk in octets.chunks(1400) {
        push(&mut tape, chunk);
        assert_eq!(place(&mut search, &tape, Context::default()), None);
        if tape.len() > 65_536 {
            let dropped = tape.drop_front(32_768);
            search.forget_front(dropped);
        }
        // Each waits for the place it reaches: none is looked at before.
        let late = |(reach, _): &(usize, usize)| reach + HEAD > tape.len();
        assert!(search.open.len() <= CANDIDATES && search.open.keys().all(late));
    }
}
