//! What a flow said before it is known whether that is HTTP/2: octets of both halves in the order
//! in which they came, and where they begin to look like frames.

mod walk;

use crate::vocab::address::{Both, Half, Side};
use crate::vocab::flow::FlowItem;
use crate::vocab::frame::{PREFACE, Signal};
use crate::vocab::http1::head_length_further;
use crate::vocab::limits::Limits;
use crate::vocab::time::Stamp;

use super::detect::{self, Front, HTTP1_LONGEST, Opening, Prelude};
use super::half::{Chunk, SEARCHED};
use super::header_block::Scratch;
use super::payload::HEAD;
use super::resync::{Context, Search};
use super::tape::Tape;
use super::upgrade;
use walk::{Walk, sent_by};

/// Octets of a flow that may become HTTP/2, in the order in which they came.
#[derive(Default)]
pub(super) struct Waiting {
    pub tapes: Both<Tape>,
    pub items: Vec<Held>,
    /// Whether octets are missing: then its beginning proves nothing.
    pub torn: bool,
    pub prelude: Prelude,
    /// The half that begins as a client's does.
    asker: Option<Half>,
    /// Octets given up in front of the tapes.
    pub unread: Both<u64>,
    /// Whether it was HTTP/1 without an upgrade: what looks like frames are octets of bodies.
    http1: bool,
    sights: Both<Sight>,
    fronts: Both<Front>,
    /// Frames before these places do not tell who sends them.
    walked: Both<usize>,
    searches: Both<Search>,
    /// Whether frames were chained from the first octet on.
    chained: Both<bool>,
}

/// One piece of what waits.
pub(super) enum Held {
    Bytes { half: Half, from: usize, to: usize, stamp: Stamp, offset: u64, seen: u64 },
    Gap { half: Half, from: usize, to: usize, stamp: Stamp, offset: u64 },
}

/// What stands where the segments of a half begin.
#[derive(Default)]
struct Sight {
    /// Where to look next.
    next: usize,
    /// Octets from there on in which no head ends.
    searched: usize,
    /// Where the last head ends: segments before that begin no other.
    head_to: usize,
    /// The client's preface.
    preface: Option<usize>,
    /// An HTTP/1 head of which the end is missing, and with it perhaps the token `h2c`.
    torn_head: bool,
    /// The same where the end may still come.
    early_head: bool,
    /// A request that upgrades to h2c or asks for a tunnel, or an answer that grants one.
    leads: bool,
}

/// Octets of either side that may stand before HTTP/2 and are not HTTP/1.
const WORDS: usize = 2048;

/// Where HTTP/2 is believed to begin.
pub(super) struct Belief {
    /// Which half is the client's, as far as the octets tell.
    pub client: Option<Half>,
    /// What of each tape is HTTP/1.
    pub from: Both<usize>,
}

impl Held {
    /// The first `octets` of a half's tape are gone; false where this is gone with them.
    fn forget_front(&mut self, of: Half, octets: usize) -> bool {
        match self {
            Self::Bytes { half, from, to, offset, .. }
            | Self::Gap { half, from, to, offset, .. }
                if *half == of =>
            {
                *offset += octets.saturating_sub(*from) as u64;
                *from = (*from).max(octets) - octets;
                *to = (*to).max(octets) - octets;
                *to > 0
            }
            _ => true,
        }
    }
}

impl Waiting {
    pub fn hold(&mut self, item: &FlowItem<'_>) {
        match *item {
            FlowItem::Bytes { stamp, half, offset, seen, data } => {
                let chunk = Chunk { stamp, offset, seen, data };
                let (from, to) = self.tapes.half_mut(half).push(chunk);
                self.items.push(Held::Bytes { half, from, to, stamp, offset, seen });
            }
            FlowItem::Gap { stamp, half, offset, bytes } => {
                self.torn = true;
                self.http1 |= self.prelude.is_http1();
                let from = self.tapes.half(half).len();
                if self.tapes.half_mut(half).gap(stamp, offset, bytes) {
                    let to = self.tapes.half(half).len();
                    self.items.push(Held::Gap { half, from, to, stamp, offset });
                    return;
                }
                // Nothing before it can be chained to what follows.
                self.look();
                self.forget_front(half, from);
                *self.unread.half_mut(half) += from as u64 + bytes;
                *self.tapes.half_mut(half) = Tape::default();
                *self.searches.half_mut(half) = Search::default();
                *self.chained.half_mut(half) = false;
            }
            _ => {}
        }
    }

    fn forget_front(&mut self, half: Half, octets: usize) {
        self.items.retain_mut(|held| held.forget_front(half, octets));
        let sight = self.sights.half_mut(half);
        sight.searched -= sight.searched.min(octets.saturating_sub(sight.next));
        sight.next = sight.next.saturating_sub(octets);
        sight.head_to = sight.head_to.saturating_sub(octets);
        sight.preface = sight.preface.and_then(|place| place.checked_sub(octets));
        sight.torn_head |= std::mem::take(&mut sight.early_head);
        *self.fronts.half_mut(half) = Front::default();
        let walked = self.walked.half_mut(half);
        *walked = walked.saturating_sub(octets);
    }

    /// The half that begins as a client's does, once there is one: what was read of it goes.
    pub fn asker(&mut self) -> Option<Half> {
        let asks = |half: &Half| detect::asks(self.tapes.half(*half).octets());
        self.asker = self.asker.or_else(|| [Half::A, Half::B].into_iter().find(asks));
        self.asker
    }

    /// Whether all there is yet is an answer that HTTP/2 may begin behind.
    pub fn is_answer(&mut self) -> bool {
        [Half::A, Half::B].into_iter().any(|half| {
            let octets = self.tapes.half(half).octets();
            let alone = self.tapes.half(half.other()).len() == 0;
            alone && self.fronts.half_mut(half).leads(octets)
        })
    }

    /// What the beginnings of both halves say, of which `most` octets each are waited for.
    pub fn opening(
        &mut self,
        client: Half,
        midway: bool,
        ended: bool,
        most: usize,
        limits: &Limits,
    ) -> Opening {
        let known = self.judge(client, midway, ended);
        if known != Opening::Undecided || ended {
            return known;
        }
        self.forget_read(client, limits.detect_bytes_crowded);
        let unread = self.unread.first.max(self.unread.second);
        let last = self.longest() > most || unread > limits.upgrade_bytes as u64;
        if last { self.judge(client, midway, true) } else { known }
    }

    fn judge(&mut self, client: Half, midway: bool, ended: bool) -> Opening {
        let asked = self.tapes.half(client).octets();
        let answered = self.tapes.half(client.other()).octets();
        match midway {
            true => self.prelude.joined(asked, answered, ended),
            false => self.prelude.opening(asked, answered, ended),
        }
    }

    /// Lets go of what the prelude needs no more, some at a time.
    fn forget_read(&mut self, client: Half, least: usize) {
        // Of what goes only this is asked for later.
        let items = &self.items;
        let _ = self.prelude.request(|place| stamp_at(items, client, place));
        let (asked, answered) = self.prelude.read_octets();
        let [asked, answered] = [asked, answered].map(|read| if read < least { 0 } else { read });
        for (half, octets) in [(client, asked), (client.other(), answered)] {
            if octets > 0 {
                self.tapes.half_mut(half).cut_front(octets);
                self.searches.half_mut(half).forget_front(octets);
                self.forget_front(half, octets);
                *self.unread.half_mut(half) += octets as u64;
            }
        }
        self.prelude.forget(asked, answered);
    }

    /// Octets on the longer tape.
    pub fn longest(&self) -> usize {
        self.tapes.first.len().max(self.tapes.second.len())
    }

    /// Octets of memory that it takes.
    pub fn cost(&self) -> usize {
        let tapes = self.tapes.first.cost() + self.tapes.second.cost();
        let searches = self.searches.first.cost() + self.searches.second.cost();
        tapes + searches + self.items.len() * size_of::<Held>()
    }

    /// Lets go of the older half of tapes that have grown too long; false where what went by says
    /// that no frames will come.
    pub fn slide(&mut self, limits: &Limits) -> bool {
        for half in [Half::A, Half::B] {
            let tape = self.tapes.half_mut(half);
            if tape.len() <= SEARCHED {
                continue;
            }
            // Each frame that every endpoint takes begins with an octet that is zero.
            let is_text = !tape.octets().contains(&0);
            let dropped = tape.drop_front(SEARCHED / 2);
            self.searches.half_mut(half).forget_front(dropped);
            self.forget_front(half, dropped);
            let unread = self.unread.half_mut(half);
            *unread += dropped as u64;
            if is_text || *unread > limits.join_bytes as u64 {
                return false;
            }
        }
        true
    }

    /// Where HTTP/2 begins in a flow whose beginning is missing or torn. `ended`: no more will
    /// come; `full`: no more is waited for.
    pub fn believe(&mut self, ended: bool, full: bool) -> Option<Belief> {
        if let Some(belief) = self.behind_preface(ended) {
            return Some(belief);
        }
        let sights = [&self.sights.first, &self.sights.second];
        if sights.iter().any(|sight| sight.torn_head || sight.early_head) {
            return None; // frames may be octets of its body
        }
        let client = self.find_frames(ended, full)?;
        Some(Belief { client, from: Both::default() })
    }

    /// Whether this is HTTP/1 and nothing else, as far as segments tell by their beginnings.
    pub fn is_http1(&mut self) -> bool {
        self.look();
        self.http1
    }

    /// HTTP/2 behind words of other kinds, such as those of a SOCKS proxy (RFC 1928): both sides
    /// begin it with a segment.
    pub fn behind_words(&mut self, client: Half) -> Option<Opening> {
        if self.is_http1() || self.prelude.is_http1() {
            return None;
        }
        let client_from = self.sights.half(client).preface?;
        let server = self.tapes.half(client.other());
        let begins =
            |from: &usize| detect::begins_with_frame(server.run(*from, HEAD)) == Some(true);
        let server_from = server.pieces().iter().map(|piece| piece.from).find(begins)?;
        Some(Opening::PriorKnowledge { client_from, server_from })
    }

    /// Whether what was said may be such words: they are few, and `most` octets may follow.
    pub fn may_lead(&self, client: Half, most: usize) -> bool {
        let greeted = self.sights.half(client).preface.is_some();
        let is_http1 = self.http1 || self.prelude.is_http1();
        !is_http1 && self.longest() <= if greeted { most } else { WORDS }
    }

    fn look(&mut self) {
        for half in [Half::A, Half::B] {
            let tape = self.tapes.half(half);
            let search = self.searches.half_mut(half);
            let in_frame = |place| search.covers(place, tape);
            self.http1 |= self.sights.half_mut(half).look(tape, in_frame);
        }
    }

    /// A client's preface behind HTTP/1, with an answer that goes with it.
    fn behind_preface(&mut self, ended: bool) -> Option<Belief> {
        for client in [Half::A, Half::B] {
            let sight = self.sights.half(client);
            let Some(place) = sight.preface.filter(|place| *place > 0) else { continue };
            let server = self.tapes.half(client.other());
            let front = server.run(0, HTTP1_LONGEST);
            let answer = self.fronts.half_mut(client.other()).length(front).unwrap_or(0);
            let fits = self.sights.half(client.other()).leads
                || self.searches.half_mut(client.other()).find(server, Context::LATE).is_some()
                || (ended && server.len() == 0 && sight.leads);
            if fits {
                let mut from = Both::default();
                *from.half_mut(client) = place;
                *from.half_mut(client.other()) = answer;
                return Some(Belief { client: Some(client), from });
            }
        }
        None
    }

    /// Looks for chained frames in either half: `None` where there are none, else which half is
    /// the client's as far as the frames tell.
    fn find_frames(&mut self, ended: bool, full: bool) -> Option<Option<Half>> {
        let mut found = Vec::new();
        let mut client = None;
        for half in [Half::A, Half::B] {
            let (tape, search) = (self.tapes.half(half), self.searches.half_mut(half));
            let chained = self.chained.half_mut(half);
            let Some(first) = search.find(tape, Context::LATE) else {
                // A frame larger than most may have come behind a chain that was clear.
                found.extend(chained.then_some((half, true)));
                continue;
            };
            *chained |= first.confirmed && first.place == 0;
            let confirmed = first.confirmed || (ended && first.is_last);
            found.push((half, confirmed));
            let mut place = Some(first.place.max(*self.walked.half(half)));
            while let (None, Some(from)) = (client, place) {
                place = match sent_by(tape, from) {
                    Walk::Sender(side) => {
                        client = Some(if side == Side::Client { half } else { half.other() });
                        None
                    }
                    Walk::Hidden(at) => search.behind(at, tape),
                    Walk::Open(at) => {
                        *self.walked.half_mut(half) = at;
                        None
                    }
                };
            }
        }
        // Octets of a body may look like a frame or two; the next head tells. It may be a body of
        // frames, too: the other half tells.
        let settled = match found.as_slice() {
            [] => false,
            [(half, confirmed)] => {
                let answered = self.tapes.half(half.other()).len() > 0;
                // What is longer goes by before an answer comes.
                let long = self.tapes.half(*half).len() > SEARCHED / 2;
                *confirmed && (ended || full || answered || long)
            }
            _ => true,
        };
        settled.then_some(client)
    }

    /// Where a half began with something else than the preface (RFC 9113 section 3.4).
    pub fn no_preface(&self, half: Half) -> Option<Stamp> {
        let tape = self.tapes.half(half);
        let octets = tape.octets();
        let spoke = self.items.iter().find_map(|held| match held {
            Held::Bytes { half: of, stamp, .. } if *of == half => Some(*stamp),
            _ => None,
        });
        let length = tape.visible(0, PREFACE.len());
        spoke.filter(|_| PREFACE.get(..length) != octets.get(..length))
    }

    pub fn tell_upgrade(
        &mut self,
        client: Half,
        response: usize,
        limits: &Limits,
        scratch: &mut Scratch,
        out: &mut impl FnMut(Signal<'_>),
    ) {
        let items = &self.items;
        let request = self.prelude.request(|place| stamp_at(items, client, place));
        let Some((head, request)) = request else { return };
        let response = stamp_at(items, client.other(), response);
        if let Some((request, response)) = request.zip(response) {
            upgrade::tell(head, request, response, limits, scratch, out);
        }
    }
}

/// The packet with the octet before `place` on a half's tape.
fn stamp_at(items: &[Held], half: Half, place: usize) -> Option<Stamp> {
    items.iter().find_map(|held| match held {
        Held::Bytes { half: of, to, stamp, .. } if *of == half && *to >= place => Some(*stamp),
        _ => None,
    })
}

impl Sight {
    /// Looks at segments that have come since; what begins `in_frame` is a payload. True where one
    /// begins with a whole HTTP/1 head that leads to no HTTP/2.
    fn look(&mut self, tape: &Tape, mut in_frame: impl FnMut(usize) -> bool) -> bool {
        self.early_head = false;
        if self.preface.is_some() {
            return false; // all behind it is HTTP/2
        }
        let first = tape.pieces().partition_point(|piece| piece.from < self.next);
        for piece in tape.pieces().iter().skip(first).filter(|piece| !piece.hole) {
            let begins = tape.run(piece.from, PREFACE.len());
            if begins == PREFACE {
                self.preface = Some(piece.from);
                return false;
            }
            if begins.len() < PREFACE.len() && piece.from + begins.len() == tape.len() {
                self.early_head = is_text(begins);
                return false;
            }
            if piece.from >= self.head_to && is_text(begins) && !in_frame(piece.from) {
                match self.head(tape.run(piece.from, HTTP1_LONGEST)) {
                    Head::Leads(length) => {
                        self.leads = true;
                        self.head_to = piece.from + length;
                    }
                    Head::Other => return true,
                    Head::Open(length)
                        if piece.from + length == tape.len() && length < HTTP1_LONGEST =>
                    {
                        self.early_head = true;
                        return false;
                    }
                    Head::Open(length) => {
                        self.torn_head = true;
                        self.head_to = piece.from + length;
                    }
                }
            }
            self.next = piece.from + 1;
            self.searched = 0;
        }
        false
    }

    /// The HTTP/1 head at the front of these octets.
    fn head(&mut self, run: &[u8]) -> Head {
        let fresh = self.searched;
        match head_length_further(run, &mut self.searched).and_then(|length| run.get(..length)) {
            Some(head) if leads_on(head) => Head::Leads(head.len()),
            Some(_) => Head::Other,
            None if mentions(run, fresh) => Head::Leads(run.len()),
            None => Head::Open(run.len()),
        }
    }
}

/// What an HTTP/1 head, of so many octets, says of HTTP/2.
enum Head {
    /// It leads to it.
    Leads(usize),
    /// It does not.
    Other,
    /// Nothing yet: its end is missing.
    Open(usize),
}

/// Whether HTTP/2 may begin behind an HTTP/1 head: a request for it or for a tunnel, or what
/// grants that.
fn leads_on(head: &[u8]) -> bool {
    mentions(head, 0) || detect::grants(head)
}

/// Whether an HTTP/1 head, or what there is of it, names h2c behind `place` or asks for a tunnel.
fn mentions(head: &[u8], place: usize) -> bool {
    let fresh = head.get(place.saturating_sub(2)..).unwrap_or_default();
    head.starts_with(b"CONNECT ") || fresh.windows(3).any(|token| token == b"h2c")
}

/// Whether octets begin like HTTP/1.
fn is_text(octets: &[u8]) -> bool {
    const STARTS: [&[u8]; 9] = [
        b"HTTP/1.",
        b"GET ",
        b"POST ",
        b"PUT ",
        b"HEAD ",
        b"PATCH ",
        b"DELETE ",
        b"OPTIONS ",
        b"CONNECT ",
    ];
    STARTS.iter().any(|start| octets.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(data: &[u8], offset: u64) -> Chunk<'_> {
        Chunk { stamp: Stamp::default(), offset, seen: 0, data }
    }

    #[test]
    fn a_torn_head_closes_no_case_and_a_whole_one_does() {
        let look = |octets: &[u8], hole: u64| {
            let (mut tape, mut sight) = (Tape::default(), Sight::default());
            tape.push(chunk(octets, 0));
            tape.gap(Stamp::default(), octets.len() as u64, hole);
            let closed = sight.look(&tape, |_| false);
            (closed, sight.torn_head, sight.early_head, sight.leads)
        };
        let get = b"GET /a HTTP/1.1\r\nHost: some.where\r\n\r\n";
        assert_eq!(look(get, 5), (true, false, false, false));
        assert_eq!(look(&get[..30], 0), (false, false, true, false));
        assert_eq!(look(&get[..30], 5), (false, true, false, false));
        assert_eq!(look(b"CONNECT a:80 HTTP/1.1\r\nHost: a", 5), (false, false, false, true));
        let upgrade = b"GET /a HTTP/1.1\r\nUpgrade: h2c\r\n\r\n";
        assert_eq!(look(upgrade, 5), (false, false, false, true));
    }
}
