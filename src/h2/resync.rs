//! Where do frames begin? Finds a frame boundary in octets whose beginning is unknown: behind a
//! gap, or where the capture joined midway.
//!
//! A boundary is believed for the evidence of chained heads, counted in bits: how unlikely it is
//! that octets which are no heads look like this. Nine plausible octets alone are never enough.

use crate::vocab::frame::{Flags, FrameHead, FrameType};

use super::payload::{HEAD, head};

/// Evidence that settles it. A wrong boundary then needs a coincidence of about 2^-64 times the
/// places that were looked at.
const ENOUGH: u32 = 64;

/// More for a boundary where a segment begins: senders flush at frame boundaries.
const AT_SEGMENT_START: u32 = 6;

/// What is known of the connection: makes heads more or less plausible.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Context {
    /// Highest stream that either side is known to have used; 0 where nothing is known.
    pub highest_stream: u32,
    /// Whether octets of the other half are missing too, so that `highest_stream` may be low.
    pub uncertain: bool,
    /// Whether even streams (pushes) have been seen.
    pub pushes: bool,
}

/// A possible boundary and how far the frames behind it chain.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    start: usize,
    reach: usize,
    bits: u32,
    heads: u32,
}

/// The search over a growing buffer.
#[derive(Debug, Default)]
pub(super) struct Search {
    scanned: usize,
    candidates: Vec<Candidate>,
}

impl Search {
    /// Looks at `buffer`, which has grown since the last call. `starts` are the places where
    /// segments begin, ascending. Gives the place of the first frame head once it is certain.
    pub fn find(&mut self, buffer: &[u8], starts: &[usize], context: Context) -> Option<usize> {
        self.extend(buffer, context);
        while let Some(octets) = buffer.get(self.scanned..).and_then(|rest| rest.first_chunk()) {
            let place = self.scanned;
            self.scanned += 1;
            let head = head(octets);
            if octets[5] & 0x80 != 0 || self.candidates.iter().any(|c| c.reach == place) {
                continue;
            }
            let Some(bits) = evidence(&head, buffer.get(place + HEAD..).unwrap_or(&[]), context)
            else {
                continue;
            };
            let aligned = starts.binary_search(&place).is_ok();
            let mut candidate = Candidate {
                start: place,
                reach: place + HEAD + head.length as usize,
                bits: bits + if aligned { AT_SEGMENT_START } else { 0 },
                heads: 1,
            };
            if follow(&mut candidate, buffer, context) {
                self.candidates.push(candidate);
            }
        }
        self.candidates.iter().find(|c| is_enough(c, buffer.len())).map(|c| c.start)
    }

    /// The first `octets` of the buffer are gone.
    pub fn forget_front(&mut self, octets: usize) {
        self.scanned = self.scanned.saturating_sub(octets);
        self.candidates.retain(|candidate| candidate.start >= octets);
        for candidate in &mut self.candidates {
            candidate.start -= octets;
            candidate.reach -= octets;
        }
    }

    fn extend(&mut self, buffer: &[u8], context: Context) {
        self.candidates.retain_mut(|candidate| follow(candidate, buffer, context));
    }
}

fn is_enough(candidate: &Candidate, length: usize) -> bool {
    // A single head must at least be a whole frame.
    candidate.bits >= ENOUGH && (candidate.heads >= 2 || candidate.reach <= length)
}

/// Follows a candidate's frames through the buffer. False where a head is impossible.
fn follow(candidate: &mut Candidate, buffer: &[u8], context: Context) -> bool {
    while candidate.bits < ENOUGH {
        let Some(octets) =
            buffer.get(candidate.reach..).and_then(|rest| rest.first_chunk::<HEAD>())
        else {
            return true;
        };
        let head = head(octets);
        let payload = buffer.get(candidate.reach + HEAD..).unwrap_or(&[]);
        let Some(bits) =
            (octets[5] & 0x80 == 0).then(|| evidence(&head, payload, context)).flatten()
        else {
            return false;
        };
        candidate.bits += bits;
        candidate.heads += 1;
        candidate.reach += HEAD + head.length as usize;
    }
    true
}

/// How many bits of evidence a head carries; `None` where no endpoint would send it. `payload`
/// is what follows, as far as it is there.
fn evidence(head: &FrameHead, payload: &[u8], context: Context) -> Option<u32> {
    // 24 bits of length, 8 of type; then what flags and stream add.
    const EXACT_LENGTH: u32 = 24 + 8;
    let stream = stream_evidence(head.stream, context);
    let flags_within = |allowed: u8| (head.flags.0 & !allowed == 0).then_some(());
    let word = |at: usize| {
        payload.get(at..at + 4).and_then(|w| w.first_chunk()).map(|w| u32::from_be_bytes(*w))
    };
    match head.kind {
        FrameType::DATA => {
            flags_within(0x09)?;
            let empty_and_open = head.length == 0 && !head.flags.has(Flags::END_STREAM);
            (head.length <= 16_384 && !empty_and_open).then_some(())?;
            Some(10 + 8 + 6 + stream?)
        }
        FrameType::HEADERS => {
            flags_within(0x2d)?;
            (1..=16_384).contains(&head.length).then_some(())?;
            Some(10 + 8 + 4 + stream?)
        }
        FrameType::CONTINUATION => {
            flags_within(0x04)?;
            (1..=16_384).contains(&head.length).then_some(())?;
            Some(10 + 8 + 7 + stream?)
        }
        FrameType::PUSH_PROMISE => {
            flags_within(0x0c)?;
            (5..=16_384).contains(&head.length).then_some(())?;
            Some(10 + 8 + 6 + stream?)
        }
        FrameType::PRIORITY => {
            (head.length == 5 && head.flags.0 == 0).then_some(EXACT_LENGTH + 8 + stream?)
        }
        FrameType::RST_STREAM => {
            let code = word(0);
            (head.length == 4 && head.flags.0 == 0 && code.is_none_or(|code| code <= 0x0d))
                .then_some(())?;
            Some(EXACT_LENGTH + 8 + stream? + if code.is_some() { 28 } else { 0 })
        }
        FrameType::WINDOW_UPDATE => {
            let fits = word(0).is_none_or(|increment| (1..=0x7fff_ffff).contains(&increment));
            (head.length == 4 && head.flags.0 == 0 && fits).then_some(())?;
            Some(EXACT_LENGTH + 8 + if head.stream == 0 { 32 } else { stream? })
        }
        FrameType::SETTINGS => {
            (head.stream == 0 && head.length.is_multiple_of(6) && head.length <= 240)
                .then_some(())?;
            flags_within(0x01)?;
            (head.length == 0 || !head.flags.has(Flags::ACK)).then_some(18 + 8 + 7 + 32)
        }
        FrameType::PING => {
            flags_within(0x01)?;
            (head.stream == 0 && head.length == 8).then_some(EXACT_LENGTH + 7 + 32)
        }
        FrameType::GOAWAY => {
            (head.stream == 0 && head.flags.0 == 0 && (8..=4096).contains(&head.length))
                .then_some(())?;
            word(0).is_none_or(|last| last <= 0x7fff_ffff).then_some(12 + 8 + 8 + 32)
        }
        _ => None,
    }
}

/// How many bits a stream identifier adds; `None` where no frame that needs a stream would carry
/// it.
fn stream_evidence(stream: u32, context: Context) -> Option<u32> {
    if stream == 0 || (stream.is_multiple_of(2) && !context.pushes) {
        return None;
    }
    if context.highest_stream > 0 && !context.uncertain {
        // New streams follow the newest one; ids far beyond it are no streams of this connection.
        let limit = context.highest_stream.saturating_add(4096);
        return (stream <= limit).then(|| limit.leading_zeros().min(20) + 1);
    }
    (stream < 1 << 24).then_some(if stream < 1 << 16 { 14 } else { 8 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = payload.len() as u32;
        let mut octets = length.to_be_bytes()[1..].to_vec();
        octets.extend([kind, flags]);
        octets.extend(stream.to_be_bytes());
        octets.extend(payload);
        octets
    }

    #[test]
    fn a_chain_is_found_behind_a_torn_frame() {
        let mut buffer = b"torn body of some frame".to_vec();
        let start = buffer.len();
        buffer.extend(frame(1, 4, 5, &[0x88; 20]));
        buffer.extend(frame(0, 1, 5, &[0x20; 300]));
        buffer.extend(frame(3, 0, 7, &[0, 0, 0, 8]));
        let found = Search::default().find(&buffer, &[0], Context::default());
        assert_eq!(found, Some(start));
    }

    #[test]
    fn one_reset_alone_is_enough_and_one_data_head_is_not() {
        let reset = frame(3, 0, 39, &[0, 0, 0, 8]);
        assert_eq!(Search::default().find(&reset, &[0], Context::default()), Some(0));
        let data = frame(0, 0, 39, &[7; 100]);
        assert_eq!(Search::default().find(&data, &[0], Context::default()), None);
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
        assert_eq!(Search::default().find(&noise, &[0], Context::default()), None);
        assert_eq!(Search::default().find(&[0; 4096], &[0], Context::default()), None);
        let text = "the quick brown fox ".repeat(500);
        assert_eq!(Search::default().find(text.as_bytes(), &[0], Context::default()), None);
    }

    #[test]
    fn a_growing_buffer_gives_the_same_place() {
        let mut buffer = vec![0x55; 1000];
        for stream in [1u32, 3, 5] {
            buffer.extend(frame(0, 0, stream, &[0x61; 2000]));
        }
        let mut search = Search::default();
        let found = (0..=buffer.len())
            .step_by(97)
            .find_map(|length| search.find(&buffer[..length], &[0], Context::default()));
        assert_eq!(found, Some(1000));
    }
}
