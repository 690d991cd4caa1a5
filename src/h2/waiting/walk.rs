//! Who sends a row of frames, as far as the frames themselves tell.

use crate::vocab::address::Side;
use crate::vocab::frame::{FrameType, LAST_STREAM_MAX, PREFACE, Payload};
use crate::vocab::header::{Field, Name};

use super::super::hpack::Decoder;
use super::super::payload;
use super::super::tape::Tape;

/// What a row of frames says of who sends it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Walk {
    /// This side does.
    Sender(Side),
    /// Nothing, up to this head that lies in a hole.
    Hidden(usize),
    /// Nothing, up to this frame that is not whole.
    Open(usize),
}

/// Who sends the frames from `place` on, as far as they themselves tell.
pub(super) fn sent_by(tape: &Tape, mut place: usize) -> Walk {
    let octets = tape.octets();
    if octets.get(place..).is_some_and(|rest| rest.starts_with(PREFACE)) {
        return Walk::Sender(Side::Client);
    }
    let mut settings = Vec::new();
    while let Some(first) = octets.get(place..).and_then(|rest| rest.first_chunk()) {
        if tape.visible(place, payload::HEAD) < payload::HEAD {
            return Walk::Hidden(place);
        }
        let head = payload::head(first);
        let length = head.length as usize;
        let parsed = payload::parse(&head, tape.run(place + payload::HEAD, length), &mut settings);
        if let Payload::GoAway { last_stream_id: last, .. } = parsed.payload
            && !matches!(last, 0 | LAST_STREAM_MAX)
        {
            // The last stream that its receiver opened: clients open the odd ones.
            let of_client = last % 2 == 1;
            return Walk::Sender(if of_client { Side::Server } else { Side::Client });
        }
        let side = match head.kind {
            FrameType::HEADERS => parsed.block.and_then(named_by),
            FrameType::PUSH_PROMISE => Some(Side::Server),
            FrameType::PRIORITY => Some(Side::Client),
            _ => None,
        };
        if let Some(side) = side {
            return Walk::Sender(side);
        }
        let next = place + payload::HEAD + length;
        if next > octets.len() {
            break;
        }
        place = next;
    }
    Walk::Open(place)
}

/// Who sends such a header block: the pseudo-header fields in front tell (RFC 9113 section 8.3).
fn named_by(block: &[u8]) -> Option<Side> {
    let mut side = None;
    let mut look = |field: Field<'_>| {
        side = side.or(match field.tag.name {
            Name::Method | Name::Scheme | Name::Path | Name::Authority => Some(Side::Client),
            Name::Status => Some(Side::Server),
            _ => None,
        });
    };
    let front = block.get(..FRONT).unwrap_or(block);
    // What is wrong with it is told once it is read for good.
    let _ = Decoder::joined_midway().decode_partial(front, &mut look);
    side
}

/// Octets of a block in which pseudo-header fields are looked for: it may come in small pieces, and
/// is looked at with each.
const FRONT: usize = 512;

#[cfg(test)]
mod tests {
    use super::super::super::half::Chunk;
    use super::*;
    use crate::vocab::time::Stamp;

    fn chunk(data: &[u8], offset: u64) -> Chunk<'_> {
        Chunk { stamp: Stamp::default(), offset, seen: 0, data }
    }

    #[test]
    fn what_lies_in_a_hole_does_not_tell_who_sends() {
        let settings_ack = [0, 0, 0, 4, 1, 0, 0, 0, 0];
        let ping = [0, 0, 8, 6, 1, 0, 0, 0, 0, 0xfd, 0x0a, 0xb1, 0x38, 0x8f, 0x70, 0x8e, 0x2e];
        // HEADERS of stream 5: `:status: 200` from the static table.
        let answer = [0, 0, 1, 1, 4, 0, 0, 0, 5, 0x88];
        let mut tape = Tape::default();
        tape.push(chunk(&settings_ack, 0));
        tape.push(chunk(&answer, 9));
        assert_eq!(sent_by(&tape, 0), Walk::Sender(Side::Server));
        // Read as octets, these zeros and the PING behind them hold HEADERS.
        let mut tape = Tape::default();
        tape.push(chunk(&settings_ack, 0));
        assert!(tape.gap(Stamp::default(), 9, 251));
        tape.push(chunk(&ping, 260));
        assert_eq!(sent_by(&tape, 0), Walk::Hidden(9));
        let length = tape.len();
        tape.push(chunk(&answer, 277));
        assert_eq!(sent_by(&tape, length), Walk::Sender(Side::Server));
    }

    #[test]
    fn a_goaway_tells_who_sends_it_by_its_last_stream() {
        let sender = |last: u32| {
            let mut octets = vec![0, 0, 8, 7, 0, 0, 0, 0, 0];
            octets.extend(last.to_be_bytes());
            octets.extend([0; 4]);
            let mut tape = Tape::default();
            tape.push(chunk(&octets, 0));
            sent_by(&tape, 0)
        };
        assert_eq!(sender(7), Walk::Sender(Side::Server));
        assert_eq!(sender(4), Walk::Sender(Side::Client));
        assert_eq!((sender(0), sender(LAST_STREAM_MAX)), (Walk::Open(17), Walk::Open(17)));
    }

    #[test]
    fn sizes_of_the_table_and_dynamic_fields_do_not_tell_who_sends() {
        let request = [0x3f, 0xe1, 0x1f, 0x04, 0x02, b'/', b'a', 0x82];
        assert_eq!(named_by(&request), Some(Side::Client));
        // Two fields of the dynamic table, a literal with a new name, then `:status: 200`.
        let answer = [0xbe, 0xbf, 0x40, 0x01, b'x', 0x01, b'y', 0x88];
        assert_eq!(named_by(&answer), Some(Side::Server));
        assert_eq!(named_by(&answer[..7]), None);
        assert_eq!(named_by(&[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
