//! The record layer (RFC 8446 section 5.1): octets of one half become records. Behind a gap the
//! next boundary is known from the record's length, or found again by chained heads.

use crate::vocab::time::Stamp;

/// Octets of a record's head.
pub(super) const HEAD: usize = 5;

/// Content types.
pub(super) mod kind {
    pub const CHANGE_CIPHER_SPEC: u8 = 20;
    pub const ALERT: u8 = 21;
    pub const HANDSHAKE: u8 = 22;
    pub const DATA: u8 = 23;
    pub const HEARTBEAT: u8 = 24;
}

/// Longest body: 2^14 octets and what TLS 1.2 allows for protection (RFC 5246 section 6.2.3).
const BODY_MAX: usize = (1 << 14) + 2048;

/// The smallest protected record, head included: one octet of type or padding, and a tag.
const RECORD_MIN: u64 = 5 + 17;

/// How many records may be in this many octets whose beginning is unknown.
pub(super) fn records_in(octets: u64) -> u64 {
    octets / RECORD_MIN + 1
}

/// Octets in order, and where they were seen.
#[derive(Clone, Copy)]
pub(super) struct Chunk<'a> {
    pub stamp: Stamp,
    /// Offset of the first octet in the half.
    pub offset: u64,
    pub seen: u64,
    pub data: &'a [u8],
}

impl Chunk<'_> {
    /// Lets go of octets at the front, at most so many; gives how many.
    pub fn skip(&mut self, octets: usize) -> usize {
        take(self, octets).len()
    }
}

/// Where a record ended.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub stamp: Stamp,
    /// Offset behind its last octet.
    pub end: u64,
    pub seen: u64,
}

/// What was found in the octets.
pub(super) enum Found {
    /// A whole record: its body is in [`Framing::body`], unless it is skimmed.
    Record([u8; HEAD], Place),
    /// A boundary was found again, behind so many octets that are in no known record.
    Resumed(u64),
    /// What follows is no record.
    Lost,
}

/// What a gap in the octets does.
#[derive(Clone, Copy, Default)]
pub(super) struct Torn {
    /// Head of the record whose body is not complete; what there is of it is in
    /// [`Framing::body`].
    pub record: Option<[u8; HEAD]>,
    /// Whether the boundary of the next record is not known any more.
    pub lost: bool,
}

/// One half's records.
#[derive(Default)]
pub(super) struct Framing {
    state: State,
    /// Head and body of a record, as far as they have come.
    octets: Vec<u8>,
    /// What a search has found, still to be read.
    replay: Option<Box<Search>>,
    /// Whether bodies are of no use.
    pub skim: bool,
}

#[derive(Default)]
enum State {
    #[default]
    Head,
    Body {
        left: usize,
    },
    /// The rest of a record that cannot be read, octets to come.
    Rest(usize),
    /// A whole record was given out.
    Given,
    Search(Box<Search>),
}

/// Octets in which a boundary is sought.
#[derive(Default)]
struct Search {
    octets: Vec<u8>,
    /// Where chunks begin in `octets`: place, stamp, offset, seen.
    chunks: Vec<(usize, Stamp, u64, u64)>,
    scanned: usize,
    /// Places of plausible heads.
    heads: Vec<usize>,
    discarded: u64,
}

impl Framing {
    /// A half whose first octets may not be the beginning of a record.
    pub fn midway() -> Self {
        Self { state: State::Search(Box::default()), ..Self::default() }
    }

    /// Approximate octets in memory beside its own.
    pub fn weight(&self) -> usize {
        let search = |search: &Search| search.octets.capacity();
        let state = if let State::Search(found) = &self.state { search(found) } else { 0 };
        self.octets.capacity() + state + self.replay.as_deref().map_or(0, search)
    }

    /// The body that was found last.
    pub fn body(&mut self) -> &mut [u8] {
        self.octets.get_mut(HEAD..).unwrap_or_default()
    }

    /// Takes from the front of `chunk` until something is found. `None`: it is used up. At most
    /// `searched` octets are kept where a boundary is sought.
    pub fn pull(&mut self, chunk: &mut Chunk<'_>, searched: usize) -> Option<Found> {
        while let Some(replay) = self.replay.take() {
            if let Some(found) = self.pull_replay(replay, searched) {
                return Some(found);
            }
        }
        self.pull_chunk(chunk, searched)
    }

    /// Octets that the capture lacks.
    pub fn gap(&mut self, bytes: u64) -> Torn {
        let record = match &mut self.state {
            State::Body { left } => {
                let rest = (*left as u64).checked_sub(bytes);
                let head = self.octets.first_chunk::<HEAD>().copied();
                self.state = match rest {
                    // What is left of a record that cannot be read.
                    Some(rest) => State::Rest(usize::try_from(rest).unwrap_or(usize::MAX)),
                    None => State::Search(Box::default()),
                };
                return Torn { record: head, lost: rest.is_none() };
            }
            State::Rest(left) if *left as u64 >= bytes => {
                *left -= usize::try_from(bytes).unwrap_or(*left);
                return Torn::default();
            }
            _ => None,
        };
        let mut search = Box::<Search>::default();
        if let State::Search(before) = &self.state {
            search.discarded = before.discarded + before.octets.len() as u64;
        }
        self.octets.clear();
        self.state = State::Search(search);
        Torn { record, lost: true }
    }

    fn pull_replay(&mut self, mut replay: Box<Search>, searched: usize) -> Option<Found> {
        let (place, stamp, offset, seen) = *replay.chunks.first()?;
        let end = replay.chunks.get(1).map_or(replay.octets.len(), |next| next.0);
        let data = replay.octets.get(place..end).unwrap_or_default();
        let mut chunk = Chunk { stamp, offset, seen, data };
        let found = self.pull_chunk(&mut chunk, searched);
        let taken = data.len() - chunk.data.len();
        if chunk.data.is_empty() {
            replay.chunks.remove(0);
        } else if let Some(first) = replay.chunks.first_mut() {
            *first = (place + taken, stamp, offset + taken as u64, seen);
        }
        if !replay.chunks.is_empty() {
            self.replay = Some(replay);
        }
        found
    }

    fn pull_chunk(&mut self, chunk: &mut Chunk<'_>, searched: usize) -> Option<Found> {
        loop {
            match &mut self.state {
                State::Given => {
                    // An idle connection keeps no buffer.
                    if chunk.data.is_empty() {
                        self.octets = Vec::new();
                        self.state = State::Head;
                        return None;
                    }
                    self.octets.clear();
                    self.state = State::Head;
                }
                State::Head => {
                    let wanted = HEAD - self.octets.len();
                    self.octets.extend_from_slice(take(chunk, wanted));
                    let head = *self.octets.first_chunk::<HEAD>()?;
                    let Some(length) = body_length(head) else {
                        let octets = std::mem::take(&mut self.octets);
                        self.begin_search(&octets, chunk);
                        return Some(Found::Lost);
                    };
                    if !self.skim {
                        self.octets.reserve_exact(length);
                    }
                    self.state = State::Body { left: length };
                }
                State::Body { left } => {
                    let data = take(chunk, *left);
                    *left -= data.len();
                    if !self.skim {
                        self.octets.extend_from_slice(data);
                    }
                    if *left > 0 {
                        return None;
                    }
                    let head = *self.octets.first_chunk::<HEAD>()?;
                    self.state = State::Given;
                    return Some(Found::Record(head, place_of(chunk)));
                }
                State::Rest(left) => {
                    *left -= take(chunk, *left).len();
                    if *left > 0 {
                        return None;
                    }
                    self.state = State::Given;
                }
                State::Search(search) => {
                    search.add(take_all(chunk), searched);
                    let found = search.find()?;
                    let State::Search(mut search) = std::mem::take(&mut self.state) else {
                        return None;
                    };
                    search.cut_front(found);
                    let discarded = search.discarded;
                    self.octets.clear();
                    self.replay = Some(search);
                    return Some(Found::Resumed(discarded));
                }
            }
        }
    }

    /// The head in `octets` is none: what follows it may be part of a record.
    fn begin_search(&mut self, octets: &[u8], chunk: &Chunk<'_>) {
        let mut search = Search::default();
        let before = octets.len() as u64;
        let offset = chunk.offset.saturating_sub(before);
        search.add(Chunk { stamp: chunk.stamp, offset, seen: chunk.seen, data: octets }, HEAD);
        // A refused head is no boundary.
        search.scanned = 1;
        self.state = State::Search(Box::new(search));
    }
}

impl Search {
    fn add(&mut self, chunk: Chunk<'_>, most: usize) {
        if chunk.data.is_empty() {
            return;
        }
        if self.octets.len() > most {
            self.cut_front(self.octets.len() - most / 2);
        }
        self.chunks.push((self.octets.len(), chunk.stamp, chunk.offset, chunk.seen));
        self.octets.extend_from_slice(chunk.data);
    }

    /// The place of a record's head that is to be believed.
    fn find(&mut self) -> Option<usize> {
        while let Some(octets) =
            self.octets.get(self.scanned..).and_then(|rest| rest.first_chunk::<HEAD>())
        {
            if is_strict_head(*octets) {
                self.heads.push(self.scanned);
            }
            self.scanned += 1;
        }
        let (octets, chunks) = (&self.octets, &self.chunks);
        self.heads.retain(|place| chain(octets.get(*place..).unwrap_or_default()).is_some());
        self.heads.iter().copied().find(|place| {
            let (heads, exact) =
                chain(octets.get(*place..).unwrap_or_default()).unwrap_or((0, false));
            let aligned = chunks.binary_search_by_key(place, |chunk| chunk.0).is_ok();
            aligned || exact || heads >= 2
        })
    }

    /// Forgets what lies before a place.
    fn cut_front(&mut self, place: usize) {
        let place = place.min(self.octets.len());
        self.octets.drain(..place);
        self.discarded += place as u64;
        let last_before = self.chunks.iter().rposition(|chunk| chunk.0 <= place).unwrap_or(0);
        self.chunks.drain(..last_before);
        for chunk in &mut self.chunks {
            let cut = place.saturating_sub(chunk.0);
            chunk.0 = chunk.0.saturating_sub(place);
            chunk.2 += cut as u64;
        }
        self.heads.retain(|head| *head >= place);
        for head in &mut self.heads {
            *head -= place;
        }
        self.scanned = self.scanned.saturating_sub(place);
    }
}

/// Whether these octets begin with records: how many heads chain, and whether the last record
/// ends just where the octets do. `None`: they do not.
pub(super) fn chain(octets: &[u8]) -> Option<(usize, bool)> {
    let mut heads = 0;
    let mut rest = octets;
    while let Some(head) = rest.first_chunk::<HEAD>() {
        if !is_strict_head(*head) {
            return None;
        }
        heads += 1;
        let Some(behind) = rest.get(HEAD + body_length(*head)?..) else {
            return Some((heads, false));
        };
        rest = behind;
    }
    (heads > 0).then_some((heads, rest.is_empty()))
}

/// The place of two chained heads anywhere in these octets.
pub(super) fn find_chain(octets: &[u8]) -> Option<usize> {
    (0..octets.len()).find(|place| {
        let rest = octets.get(*place..).unwrap_or_default();
        rest.first_chunk::<HEAD>().is_some_and(|head| is_strict_head(*head))
            && chain(rest).is_some_and(|(heads, exact)| heads >= 3 || (heads >= 2 && exact))
    })
}

/// Length of the body, if this can be a record's head at all.
pub(super) fn body_length(head: [u8; HEAD]) -> Option<usize> {
    let [kind, major, minor, high, low] = head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let known = (kind::CHANGE_CIPHER_SPEC..=kind::HEARTBEAT).contains(&kind);
    (known && major == 3 && minor <= 4 && length <= BODY_MAX).then_some(length)
}

/// Whether this is the head of a record as TLS 1.2 and 1.3 send it after the hellos.
fn is_strict_head(head: [u8; HEAD]) -> bool {
    let [kind, _, minor, ..] = head;
    let shortest = match kind {
        kind::CHANGE_CIPHER_SPEC => 1,
        kind::ALERT => 2,
        kind::HANDSHAKE => 4,
        kind::DATA => 17,
        _ => return false,
    };
    minor == 3 && body_length(head).is_some_and(|length| length >= shortest)
}

fn take<'a>(chunk: &mut Chunk<'a>, length: usize) -> &'a [u8] {
    let (front, back) = chunk.data.split_at(length.min(chunk.data.len()));
    chunk.data = back;
    chunk.offset += front.len() as u64;
    front
}

fn take_all<'a>(chunk: &mut Chunk<'a>) -> Chunk<'a> {
    let all = *chunk;
    take(chunk, usize::MAX);
    all
}

fn place_of(chunk: &Chunk<'_>) -> Place {
    Place { stamp: chunk.stamp, end: chunk.offset, seen: chunk.seen }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::limits::Limits;
    use crate::vocab::time::Timestamp;

    fn record(kind: u8, length: usize) -> Vec<u8> {
        let [high, low] = u16::try_from(length).unwrap().to_be_bytes();
        let mut octets = vec![kind, 3, 3, high, low];
        octets.extend((0..length).map(|n| (n % 251) as u8));
        octets
    }

    /// What is found in pieces: (type, length, packet, end), or (0, discarded) or (1) for lost.
    fn read(framing: &mut Framing, octets: &[u8], offset: u64, packet: u64) -> Vec<String> {
        let stamp = Stamp::new(0, packet, Timestamp(0));
        let mut chunk = Chunk { stamp, offset, seen: 0, data: octets };
        let mut all = Vec::new();
        while let Some(found) = framing.pull(&mut chunk, Limits::default().tls_search_bytes) {
            all.push(match found {
                Found::Record(head, place) => {
                    let (packet, end) = (place.stamp.packet(), place.end);
                    format!("{} {} #{packet} ..{end}", head[0], framing.body().len())
                }
                Found::Resumed(discarded) => format!("resumed {discarded}"),
                Found::Lost => "lost".into(),
            });
        }
        all
    }

    #[test]
    fn records_in_any_pieces() {
        let octets = [record(22, 70), record(20, 1), record(23, 0), record(23, 3000)].concat();
        for size in [1, 2, 4, 5, 6, 7, 75, 76, 1000, 9000] {
            let mut framing = Framing::default();
            let mut found = Vec::new();
            for (packet, piece) in octets.chunks(size).enumerate() {
                let offset = (packet * size) as u64;
                found.extend(read(&mut framing, piece, offset, packet as u64));
            }
            let ends = [75, 81, 86, 3091].map(|end: usize| ((end - 1) / size, end));
            let kinds = [(22, 70), (20, 1), (23, 0), (23, 3000)];
            let want: Vec<String> = kinds
                .iter()
                .zip(ends)
                .map(|((kind, length), (packet, end))| format!("{kind} {length} #{packet} ..{end}"))
                .collect();
            assert_eq!(found, want, "{size}");
        }
    }

    #[test]
    fn a_gap_in_a_body_keeps_the_boundary() {
        let mut framing = Framing::default();
        let octets = [record(23, 100), record(23, 50)].concat();
        assert!(read(&mut framing, &octets[..40], 0, 1).is_empty());
        let torn = framing.gap(60);
        assert_eq!((torn.record.unwrap()[0], torn.lost), (23, false));
        assert!(!framing.gap(2).lost);
        assert_eq!(read(&mut framing, &octets[102..], 102, 2), ["23 50 #2 ..160"]);
    }

    #[test]
    fn behind_a_longer_gap_a_boundary_is_found_again() {
        let octets = [record(23, 100), record(23, 50), record(23, 60), record(23, 70)].concat();
        for from in 106..=160 {
            let mut framing = Framing::default();
            read(&mut framing, &octets[..40], 0, 1);
            assert!(framing.gap(from as u64 - 40).lost);
            let found = read(&mut framing, &octets[from..], from as u64, 2);
            let resumed = format!("resumed {}", 160 - from);
            let want = [&resumed, "23 60 #2 ..225", "23 70 #2 ..300"];
            assert_eq!(found, want, "{from}");
        }
    }

    #[test]
    fn garbage_is_searched_in_bounded_memory() {
        let mut framing = Framing::default();
        let garbage: Vec<u8> =
            (0..200_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut found = Vec::new();
        for (packet, piece) in garbage.chunks(1448).enumerate() {
            found.extend(read(&mut framing, piece, 0, packet as u64));
        }
        assert_eq!(found, ["lost"]);
        let State::Search(search) = &framing.state else { panic!() };
        assert!(search.octets.len() <= Limits::default().tls_search_bytes + 1448);
        let found = read(&mut framing, &[record(23, 60), record(23, 70)].concat(), 0, 999);
        assert_eq!(found.len(), 3);
    }
}
