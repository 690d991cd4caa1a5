//! Where do frames begin? Finds a frame boundary in octets whose beginning is unknown: behind a
//! gap, or where the capture joined midway.
//!
//! A boundary is believed for the evidence of chained heads, counted in bits: how unlikely it is
//! that octets which are no heads look like this. Nine plausible octets alone are never enough.

use std::collections::BTreeMap;

use crate::vocab::address::Side;
use crate::vocab::frame::{Flags, FrameHead, FrameType, LAST_STREAM_MAX, PREFACE};
use crate::vocab::setting::FRAME_SIZE_LEAST;

use super::payload::{HEAD, head};
use super::tape::Tape;

/// Evidence that settles it. A wrong boundary then needs a coincidence of about 2^-56 times the
/// places that were looked at: one in a million where 100 GB were searched.
const ENOUGH: u32 = 56;

/// More for a boundary where a segment begins: senders flush at frame boundaries.
const AT_SEGMENT_START: u32 = 6;

/// More for a frame that fills its segment exactly: its length says what IP says by itself.
const FILLS_SEGMENT: u32 = 6;

/// Heads that are looked at where they are there to be seen, even when fewer would do.
const CHECKED: u32 = 4;

/// What a single head may count for at most, unless it is the beginning of a message at the
/// beginning of a segment: small numbers in bodies look like heads of small frames.
const ALONE: u32 = 40;

/// What the first head of a chain must count for by itself: the end of a torn frame often reads as
/// a head that costs nothing, an empty DATA, and ends where the next frame begins.
const FIRST: u32 = 24;

/// Payload octets that add evidence to a head.
const PEEKED: usize = 4;

/// Candidates that are kept: as many as there are frames of nine octets in four times the largest
/// that is always taken.
const CANDIDATES: usize = 8192;

/// Candidates kept of those that reach the same place, and of those that are believed.
const ALIKE: usize = 64;

/// The same empty frame so often in a row is a flood: other protocols repeat themselves, but not a
/// message of nine octets like this.
const FLOOD: u32 = 128;

/// What is known of the connection: makes heads more or less plausible.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Context {
    /// Highest stream that either side is known to have used; 0 where nothing is known.
    pub highest_stream: u32,
    /// Whether streams beyond `highest_stream` may have been opened: octets of the other half are
    /// missing too, or this is the half that opens them.
    pub uncertain: bool,
    /// Who sends the octets that are searched, where known.
    pub sender: Option<Side>,
    /// Whether even streams (pushes) have been seen.
    pub pushes: bool,
    /// Whether even streams may have been promised in octets that were not seen.
    pub unseen_pushes: bool,
    /// Longest payload that the sender may send, where it is known to be more than
    /// [`FRAME_SIZE_LEAST`].
    pub longest: u32,
}

impl Context {
    /// Nothing is known, and anything may have come before.
    pub const LATE: Self = Self {
        highest_stream: 0,
        uncertain: true,
        sender: None,
        pushes: false,
        unseen_pushes: true,
        longest: 0,
    };
}

/// A possible boundary and how far the frames behind it chain.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    start: usize,
    reach: usize,
    bits: u32,
    heads: u32,
    last: Option<FrameHead>,
    /// How often an empty frame came again.
    repeats: u32,
    /// Whether one more head came behind those that are evidence enough.
    confirmed: bool,
}

/// The search over a growing tape.
#[derive(Debug, Default)]
pub(super) struct Search {
    scanned: usize,
    /// Chains that are not evidence enough, by the place they reach and that of their beginning.
    open: BTreeMap<(usize, usize), Candidate>,
    /// Chains that are evidence enough.
    believed: Vec<Candidate>,
}

/// A place that the evidence settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub place: usize,
    /// Whether the head behind what is evidence enough fits as well.
    pub confirmed: bool,
    /// Whether the octets end before that head.
    pub is_last: bool,
}

impl Search {
    /// Looks at a tape that has grown since the last call. Gives the place of the first frame head
    /// once it is certain, or of the client's preface where the half begins with it.
    pub fn find(&mut self, tape: &Tape, context: Context) -> Option<Found> {
        if tape.octets().starts_with(PREFACE) && tape.visible(0, PREFACE.len()) == PREFACE.len() {
            return Some(Found { place: 0, confirmed: true, is_last: false });
        }
        self.believed.retain_mut(|candidate| follow(candidate, tape, context));
        if self.open.first_key_value().is_some_and(|((reach, _), _)| *reach <= tape.len()) {
            let further = self.open.split_off(&(tape.len() + 1, 0));
            for mut candidate in std::mem::replace(&mut self.open, further).into_values() {
                if follow(&mut candidate, tape, context) {
                    self.keep(candidate);
                }
            }
        }
        while tape.len() >= self.scanned + HEAD {
            let place = self.scanned;
            self.scanned += 1;
            let known = self.reaching(place).next().is_some()
                || self.believed.iter().any(|candidate| candidate.reach == place);
            if known || tape.visible(place, HEAD) < HEAD {
                continue;
            }
            let mut candidate = Candidate {
                start: place,
                reach: place,
                bits: 0,
                heads: 0,
                last: None,
                repeats: 0,
                confirmed: false,
            };
            if tape.is_start(place) {
                candidate.bits = AT_SEGMENT_START;
            }
            if follow(&mut candidate, tape, context) {
                self.keep(candidate);
            }
        }
        let certain = self.believed.iter().filter(|c| is_enough(c, tape.len()));
        let first = certain.min_by_key(|candidate| candidate.start)?;
        let is_last = first.reach + HEAD > tape.len();
        Some(Found { place: first.start, confirmed: first.confirmed, is_last })
    }

    fn keep(&mut self, candidate: Candidate) {
        if candidate.bits >= ENOUGH {
            if self.believed.len() < ALIKE {
                self.believed.push(candidate);
            }
        } else if self.open.len() < CANDIDATES
            && self.reaching(candidate.reach).take(ALIKE).count() < ALIKE
        {
            self.open.entry((candidate.reach, candidate.start)).or_insert(candidate);
        }
    }

    /// Chains that are not evidence enough and reach this place.
    fn reaching(&self, place: usize) -> impl Iterator<Item = &Candidate> {
        self.open.range((place, 0)..=(place, usize::MAX)).map(|(_, candidate)| candidate)
    }

    /// Octets of memory that it takes.
    pub fn cost(&self) -> usize {
        (self.open.len() + self.believed.len()) * size_of::<Candidate>()
    }

    /// The next certain place behind `place`, of those that were looked at.
    pub fn behind(&self, place: usize, tape: &Tape) -> Option<usize> {
        let certain = |c: &&Candidate| c.start > place && is_enough(c, tape.len());
        self.believed.iter().filter(certain).map(|c| c.start).min()
    }

    /// Whether this place lies inside one of the frames that begin with the first certain one.
    pub fn covers(&mut self, place: usize, tape: &Tape) -> bool {
        let Some(first) = self.find(tape, Context::LATE) else { return false };
        let mut next = first.place;
        if next > place {
            return false;
        }
        while next < place {
            let Some(octets) = tape.run(next, HEAD).first_chunk() else { return false };
            let head = head(octets);
            if evidence(&head, &[], Context::LATE).is_none() {
                return false;
            }
            next += HEAD + head.length as usize;
        }
        next > place
    }

    /// The first `octets` of the tape are gone. A chain that began in them goes on with the head
    /// it reaches.
    pub fn forget_front(&mut self, octets: usize) {
        self.scanned = self.scanned.saturating_sub(octets);
        let open = std::mem::take(&mut self.open).into_values();
        let believed = std::mem::take(&mut self.believed).into_iter();
        for mut candidate in open.chain(believed).filter(|candidate| candidate.reach >= octets) {
            if candidate.start < octets {
                candidate.start = candidate.reach;
            }
            candidate.start -= octets;
            candidate.reach -= octets;
            self.keep(candidate);
        }
    }
}

impl Candidate {
    /// One more head fits.
    fn add(&mut self, bits: u32) {
        self.confirmed |= self.bits >= ENOUGH;
        self.bits += bits;
        self.heads += 1;
    }
}

fn is_enough(candidate: &Candidate, length: usize) -> bool {
    // A single head must at least be a whole frame.
    candidate.bits >= ENOUGH && (candidate.heads >= 2 || candidate.reach <= length)
}

/// Follows a candidate's frames along the tape. False where a head is impossible, or hidden.
fn follow(candidate: &mut Candidate, tape: &Tape, context: Context) -> bool {
    // A few heads more than the evidence needs: one that is impossible refutes all before it.
    while candidate.bits < ENOUGH || candidate.heads < CHECKED || !candidate.confirmed {
        let place = candidate.reach;
        let Some(octets) = tape.octets().get(place..).and_then(|rest| rest.first_chunk::<HEAD>())
        else {
            return true;
        };
        let head = head(octets);
        let visible = tape.visible(place, HEAD);
        if visible >= HEAD {
            let behind = place + HEAD;
            let payload = tape.octets().get(behind..behind + tape.visible(behind, PEEKED));
            let bits = evidence(&head, payload.unwrap_or_default(), context);
            let Some(bits) = bits.filter(|_| octets[5] & 0x80 == 0) else { return false };
            if candidate.last.is_none() && bits < FIRST {
                return false; // what chains behind it proves where that begins, not this head
            }
            let message = matches!(head.kind, FrameType::HEADERS | FrameType::DATA);
            let fills = tape.is_start(place) && ends_segment(tape, &head, place);
            let flushed = fills || (message && tape.is_start(place));
            let bits = if flushed { bits } else { bits.min(ALONE) };
            // Of DATA nothing but the head is evidence; one alone is never enough.
            let exact = fills && head.kind != FrameType::DATA;
            let bits = if exact { bits + FILLS_SEGMENT } else { bits };
            match candidate.last {
                Some(last) if contradicts(&last, &head) => return false,
                // The same empty frame again proves nothing: a pattern that repeats every nine
                // octets can read as frames at more than one place.
                Some(last) if last == head && head.length == 0 => {
                    candidate.repeats += 1;
                    if candidate.repeats.is_multiple_of(FLOOD) && reads_once(octets, context) {
                        candidate.add(ENOUGH);
                    }
                }
                _ => candidate.add(bits),
            }
            candidate.last = Some(head);
        } else if visible < 3 {
            return candidate.bits >= ENOUGH; // not even the length is known
        }
        candidate.reach += HEAD + head.length as usize;
    }
    true
}

/// Whether an empty frame that repeats reads as frames where it begins and nowhere else.
fn reads_once(octets: &[u8; HEAD], context: Context) -> bool {
    let reads = |shift: usize| {
        let mut turned = *octets;
        turned.rotate_left(shift);
        let head = head(&turned);
        let is_legal = turned[5] & 0x80 == 0 && !contradicts(&head, &head);
        evidence(&head, &[], context).filter(|_| is_legal).map(|_| head.length as usize)
    };
    (1..HEAD).all(|shift| {
        let mut place = Some(shift);
        for _ in 0..HEAD {
            place = place.filter(|place| *place > 0);
            place = place.and_then(|place| Some((place + reads(place)?) % HEAD));
        }
        place.is_none_or(|place| place == 0)
    })
}

/// Whether a frame at `place` ends where its segment does, or where the tape does.
fn ends_segment(tape: &Tape, head: &FrameHead, place: usize) -> bool {
    let end = place + HEAD + head.length as usize;
    end == tape.len() || tape.is_start(end)
}

/// Whether no endpoint would send `next` right behind `last`: a stream that goes on after its own
/// end (RFC 9113 section 5.1).
fn contradicts(last: &FrameHead, next: &FrameHead) -> bool {
    let message = |kind| matches!(kind, FrameType::DATA | FrameType::HEADERS);
    message(last.kind)
        && last.flags.has(Flags::END_STREAM)
        && message(next.kind)
        && next.stream == last.stream
}

/// How many bits of evidence a head carries; `None` where no endpoint would send it. `payload`
/// is what follows, as far as it is there.
fn evidence(head: &FrameHead, payload: &[u8], context: Context) -> Option<u32> {
    // 24 bits of length, 8 of type; then what flags and stream add.
    const EXACT_LENGTH: u32 = 24 + 8;
    let stream = stream_evidence(head.stream, context);
    let longest = context.longest.max(FRAME_SIZE_LEAST);
    let flags_within = |allowed: u8| (head.flags.0 & !allowed == 0).then_some(());
    let word = |at: usize| {
        payload.get(at..at + 4).and_then(|w| w.first_chunk()).map(|w| u32::from_be_bytes(*w))
    };
    match head.kind {
        FrameType::DATA => {
            flags_within(0x09)?;
            let least = u32::from(head.flags.has(Flags::PADDED));
            let empty_and_open = head.length == 0 && !head.flags.has(Flags::END_STREAM);
            ((least..=longest).contains(&head.length) && !empty_and_open).then_some(())?;
            let bits = length_evidence(head.length) + 8 + 6 + stream?;
            Some(if head.length == 0 { 0 } else { bits }) // zeros are everywhere
        }
        FrameType::HEADERS => {
            flags_within(0x2d)?;
            (1..=longest).contains(&head.length).then_some(())?;
            let plain = !head.flags.has(Flags::PADDED) && !head.flags.has(Flags::PRIORITY);
            let block = payload.first().filter(|_| plain);
            let block = block.map_or(Some(0), |first| block_evidence(*first, context.sender));
            Some(length_evidence(head.length) + 8 + 4 + stream? + block?)
        }
        FrameType::CONTINUATION => {
            flags_within(0x04)?;
            (head.length <= longest).then_some(())?;
            let bits = 10 + 8 + 7 + stream?;
            Some(if head.length == 0 { FIRST } else { bits }) // a flood of these is an attack
        }
        FrameType::PUSH_PROMISE => {
            flags_within(0x0c)?;
            (5..=longest).contains(&head.length).then_some(())?;
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
            let fits = |last: u32| last <= LAST_STREAM_MAX && context.may_name(last);
            word(0).is_none_or(fits).then_some(12 + 8 + 8 + 32)
        }
        _ => None,
    }
}

impl Context {
    /// Whether a GOAWAY may have this last stream: a server names none that its client has not
    /// opened.
    fn may_name(&self, last: u32) -> bool {
        let known = self.sender == Some(Side::Server) && !self.uncertain;
        !known || self.highest_stream == 0 || last == LAST_STREAM_MAX || last <= self.highest_stream
    }
}

/// How unlikely a length this small is among 2^24.
fn length_evidence(length: u32) -> u32 {
    length.leading_zeros().saturating_sub(8).min(18)
}

/// What the first octet of a header block adds: messages begin with a pseudo-header field of the
/// static table (RFC 7541 appendix A). `None` where no block begins so.
fn block_evidence(first: u8, sender: Option<Side>) -> Option<u32> {
    let request = (0x82..=0x87).contains(&first);
    let response = (0x88..=0x8e).contains(&first);
    match (first, sender) {
        (0x80, _) => None, // index 0 (RFC 7541 section 6.1)
        (_, Some(Side::Client)) if request => Some(5),
        (_, Some(Side::Server)) if response => Some(5),
        // Of the other side; an answer of HTTP/2 has no method, a request no status.
        (_, Some(_)) if request || response => None,
        (_, None) if request || response => Some(4),
        _ => Some(0),
    }
}

/// How many bits a stream identifier adds; `None` where no frame that needs a stream would carry
/// it.
fn stream_evidence(stream: u32, context: Context) -> Option<u32> {
    let even = stream.is_multiple_of(2) && !context.pushes;
    if stream == 0 || (even && !context.unseen_pushes) {
        return None;
    }
    // An odd stream read one octet early; floods of empty frames chain so as well.
    if even && stream.is_multiple_of(256) {
        return None;
    }
    // Servers that push are few.
    let rare = if even { 6 } else { 0 };
    // New streams follow the newest one; ids far beyond it are no streams of this connection, if
    // the newest one is known.
    let slack = if context.sender == Some(Side::Server) { 0 } else { 4096 };
    let limit = context.highest_stream.saturating_add(slack);
    if context.highest_stream > 0 && (stream <= limit || !context.uncertain) {
        return (stream <= limit).then(|| (limit.leading_zeros() + 1).saturating_sub(rare));
    }
    (stream < 1 << 24).then_some(if stream < 1 << 16 { 14 } else { 8 } - rare)
}

#[cfg(test)]
mod tests;
