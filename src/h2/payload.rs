//! Frame heads and payloads (RFC 9113 sections 4.1 and 6): octets to values, one parser a type.

use crate::vocab::error_code::ErrorCode;
use crate::vocab::frame::{Flags, FrameFault, FrameHead, FrameType, Payload, Priority};
use crate::vocab::setting::SettingId;

/// Octets of a frame's head.
pub(super) const HEAD: usize = 9;

/// Reads the nine octets of a head. The reserved bit is ignored, as receivers must.
pub(super) fn head(octets: &[u8; HEAD]) -> FrameHead {
    let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *octets;
    FrameHead {
        length: u32::from_be_bytes([0, l0, l1, l2]),
        kind: FrameType(kind),
        flags: Flags(flags),
        stream: u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff,
    }
}

/// How many octets of a payload are worth keeping until the frame is complete; DATA is a length.
pub(super) fn kept(head: &FrameHead, block_limit: usize, debug_limit: usize) -> usize {
    let length = head.length as usize;
    match head.kind {
        FrameType::DATA => usize::from(head.flags.has(Flags::PADDED)).min(length),
        FrameType::HEADERS | FrameType::PUSH_PROMISE | FrameType::CONTINUATION => {
            length.min(block_limit)
        }
        FrameType::SETTINGS => length.min(SETTINGS_KEPT),
        FrameType::GOAWAY => length.min(8 + debug_limit),
        FrameType::PING => length.min(8),
        FrameType::PRIORITY_UPDATE => length.min(4),
        FrameType::PRIORITY | FrameType::RST_STREAM | FrameType::WINDOW_UPDATE => length.min(5),
        _ => 0,
    }
}

/// Octets of one SETTINGS frame that are read: 2,730 settings, hundreds of times what anybody
/// sends.
const SETTINGS_KEPT: usize = 16_384 - 4;

/// A parsed payload, with the part of it that is a header block.
pub(super) struct Parsed<'a> {
    pub payload: Payload<'a>,
    pub block: Option<&'a [u8]>,
}

impl<'a> From<Payload<'a>> for Parsed<'a> {
    fn from(payload: Payload<'a>) -> Self {
        Self { payload, block: None }
    }
}

/// Reads a payload of which all octets worth keeping are in `octets`. `settings` is a scratch
/// list that the result may borrow.
pub(super) fn parse<'a>(
    head: &FrameHead,
    octets: &'a [u8],
    settings: &'a mut Vec<(SettingId, u32)>,
) -> Parsed<'a> {
    match head.kind {
        FrameType::DATA => data(head, octets).into(),
        FrameType::HEADERS => headers(head, octets),
        FrameType::PRIORITY => match (head.length, priority(octets)) {
            (5, Some(priority)) => Payload::Priority(priority).into(),
            _ => Payload::Broken(FrameFault::Length).into(),
        },
        FrameType::RST_STREAM => match (head.length, number(octets)) {
            (4, Some(code)) => Payload::RstStream { code: ErrorCode(code) }.into(),
            _ => Payload::Broken(FrameFault::Length).into(),
        },
        FrameType::SETTINGS => settings_payload(head, octets, settings).into(),
        FrameType::PUSH_PROMISE => push_promise(head, octets),
        FrameType::PING => match (head.length, octets.first_chunk::<8>()) {
            (8, Some(opaque)) => {
                Payload::Ping { ack: head.flags.has(Flags::ACK), opaque: *opaque }.into()
            }
            _ => Payload::Broken(FrameFault::Length).into(),
        },
        FrameType::GOAWAY => goaway(octets).into(),
        FrameType::WINDOW_UPDATE => match (head.length, number(octets)) {
            (4, Some(increment)) => {
                Payload::WindowUpdate { increment: increment & 0x7fff_ffff }.into()
            }
            _ => Payload::Broken(FrameFault::Length).into(),
        },
        FrameType::CONTINUATION => {
            Parsed { payload: Payload::Continuation { of: None }, block: Some(octets) }
        }
        FrameType::PRIORITY_UPDATE => match number(octets) {
            Some(prioritized) => {
                Payload::PriorityUpdate { prioritized: prioritized & 0x7fff_ffff }.into()
            }
            None => Payload::Broken(FrameFault::Length).into(),
        },
        _ => Payload::Other.into(),
    }
}

/// What the first octets of a GOAWAY say, also where its debug data is cut.
pub(super) fn goaway(octets: &[u8]) -> Payload<'_> {
    let fields = number(octets).zip(octets.get(4..).and_then(number)).zip(octets.get(8..));
    match fields {
        Some(((last, code), debug)) => {
            Payload::GoAway { last_stream_id: last & 0x7fff_ffff, code: ErrorCode(code), debug }
        }
        None => Payload::Broken(FrameFault::Length),
    }
}

fn number(octets: &[u8]) -> Option<u32> {
    octets.first_chunk::<4>().map(|chunk| u32::from_be_bytes(*chunk))
}

fn data<'a>(head: &FrameHead, octets: &[u8]) -> Payload<'a> {
    if !head.flags.has(Flags::PADDED) {
        return Payload::Data { data: head.length };
    }
    let padding = octets.first().map(|pad| u32::from(*pad) + 1);
    match padding {
        Some(padding) if padding <= head.length => Payload::Data { data: head.length - padding },
        Some(_) => Payload::Broken(FrameFault::Padding),
        None => Payload::Broken(FrameFault::Length),
    }
}

/// The octets between the pad length field and the padding (RFC 9113 section 6.1).
fn unpadded<'a>(head: &FrameHead, octets: &'a [u8]) -> Result<&'a [u8], FrameFault> {
    if !head.flags.has(Flags::PADDED) {
        return Ok(octets);
    }
    let (pad, rest) = octets.split_first().ok_or(FrameFault::Length)?;
    let length = rest.len().checked_sub(usize::from(*pad)).ok_or(FrameFault::Padding)?;
    rest.get(..length).ok_or(FrameFault::Padding)
}

fn headers<'a>(head: &FrameHead, octets: &'a [u8]) -> Parsed<'a> {
    let block = match unpadded(head, octets) {
        Ok(block) => block,
        Err(fault) => return Payload::Broken(fault).into(),
    };
    if !head.flags.has(Flags::PRIORITY) {
        return Parsed { payload: Payload::Headers { priority: None }, block: Some(block) };
    }
    match (priority(block), block.get(5..)) {
        (Some(priority), Some(block)) => {
            Parsed { payload: Payload::Headers { priority: Some(priority) }, block: Some(block) }
        }
        _ => Payload::Broken(FrameFault::Length).into(),
    }
}

fn priority(octets: &[u8]) -> Option<Priority> {
    let word = number(octets)?;
    Some(Priority {
        depends_on: word & 0x7fff_ffff,
        exclusive: word >> 31 == 1,
        weight: *octets.get(4)?,
    })
}

fn settings_payload<'a>(
    head: &FrameHead,
    octets: &[u8],
    settings: &'a mut Vec<(SettingId, u32)>,
) -> Payload<'a> {
    let ack = head.flags.has(Flags::ACK);
    if !head.length.is_multiple_of(6) || (ack && head.length != 0) {
        return Payload::Broken(FrameFault::Length);
    }
    settings.clear();
    for entry in octets.chunks_exact(6) {
        if let [i0, i1, v0, v1, v2, v3] = *entry {
            let id = SettingId(u16::from_be_bytes([i0, i1]));
            settings.push((id, u32::from_be_bytes([v0, v1, v2, v3])));
        }
    }
    Payload::Settings { ack, values: settings }
}

fn push_promise<'a>(head: &FrameHead, octets: &'a [u8]) -> Parsed<'a> {
    let inner = match unpadded(head, octets) {
        Ok(inner) => inner,
        Err(fault) => return Payload::Broken(fault).into(),
    };
    match (number(inner), inner.get(4..)) {
        (Some(promised), Some(block)) => Parsed {
            payload: Payload::PushPromise { promised: promised & 0x7fff_ffff },
            block: Some(block),
        },
        _ => Payload::Broken(FrameFault::Length).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head_of(kind: FrameType, flags: u8, length: u32) -> FrameHead {
        FrameHead { length, kind, flags: Flags(flags), stream: 1 }
    }

    #[test]
    fn a_head() {
        let head = head(&[0, 1, 2, 1, 5, 0x80, 0, 0, 3]);
        assert_eq!(
            (head.length, head.kind, head.flags.0, head.stream),
            (258, FrameType::HEADERS, 5, 3)
        );
    }

    #[test]
    fn padding_is_not_data() {
        let mut settings = Vec::new();
        let parsed = parse(&head_of(FrameType::DATA, 8, 10), &[3], &mut settings);
        assert!(matches!(parsed.payload, Payload::Data { data: 6 }));
        let parsed = parse(&head_of(FrameType::DATA, 8, 3), &[3], &mut settings);
        assert!(matches!(parsed.payload, Payload::Broken(FrameFault::Padding)));
    }

    #[test]
    fn headers_with_padding_and_priority() {
        let mut settings = Vec::new();
        let octets = [2, 0x80, 0, 0, 7, 15, b'x', 0, 0];
        let parsed = parse(&head_of(FrameType::HEADERS, 0x28, 9), &octets, &mut settings);
        assert_eq!(parsed.block, Some(&b"x"[..]));
        let Payload::Headers { priority: Some(priority) } = parsed.payload else { panic!() };
        assert_eq!((priority.depends_on, priority.exclusive, priority.weight), (7, true, 15));
    }

    #[test]
    fn settings_of_a_wrong_length_are_broken() {
        let mut settings = Vec::new();
        let parsed = parse(&head_of(FrameType::SETTINGS, 0, 7), &[0; 7], &mut settings);
        assert!(matches!(parsed.payload, Payload::Broken(FrameFault::Length)));
        let octets = [0, 4, 0, 0, 1, 0];
        let parsed = parse(&head_of(FrameType::SETTINGS, 0, 6), &octets, &mut settings);
        let Payload::Settings { values, .. } = parsed.payload else { panic!() };
        assert_eq!(values, [(SettingId::INITIAL_WINDOW_SIZE, 256)]);
    }

    #[test]
    fn every_prefix_of_every_type_parses() {
        let octets: Vec<u8> = (0..64).collect();
        let mut settings = Vec::new();
        for kind in 0..=0x20 {
            for flags in 0..=0xff {
                for length in 0..octets.len() {
                    let head = head_of(FrameType(kind), flags, length as u32);
                    let kept = kept(&head, 1 << 16, 1 << 12);
                    parse(&head, &octets[..kept], &mut settings);
                }
            }
        }
    }
}
