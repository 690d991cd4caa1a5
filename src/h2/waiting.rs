//! What a flow said before it is known whether that is HTTP/2: octets of both halves in the order
//! in which they came, and where they begin to look like frames.

use crate::vocab::address::{Both, Half, Side};
use crate::vocab::flow::FlowItem;
use crate::vocab::frame::{FrameType, PREFACE, Payload, Signal};
use crate::vocab::http1::head_length;
use crate::vocab::limits::Limits;
use crate::vocab::time::Stamp;

use super::detect::{self, HTTP1_LONGEST, Opening, Prelude};
use super::half::{Chunk, SEARCHED};
use super::header_block::Scratch;
use super::payload;
use super::resync::{Context, Search};
use super::tape::Tape;
use super::upgrade;

/// Octets of a flow that may become HTTP/2, in the order in which they came.
#[derive(Default)]
pub(super) struct Waiting {
    pub tapes: Both<Tape>,
    pub items: Vec<Held>,
    /// Whether octets are missing: then its beginning proves nothing.
    pub torn: bool,
    pub prelude: Prelude,
    /// Octets given up in front of the tapes.
    pub unread: Both<u64>,
    /// Whether it was HTTP/1 without an upgrade: what looks like frames are octets of bodies.
    http1: bool,
    sights: Both<Sight>,
    searches: Both<Search>,
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
    /// The client's preface.
    preface: Option<usize>,
    /// An HTTP/1 head of which the end is missing, and with it perhaps the token `h2c`.
    torn_head: bool,
    /// The same where the end may still come.
    early_head: bool,
    /// A request that upgrades to h2c or asks for a tunnel, or an answer that grants one.
    leads: bool,
}

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
            }
            _ => {}
        }
    }

    fn forget_front(&mut self, half: Half, octets: usize) {
        self.items.retain_mut(|held| held.forget_front(half, octets));
        let sight = self.sights.half_mut(half);
        sight.next = sight.next.saturating_sub(octets);
        sight.preface = sight.preface.and_then(|place| place.checked_sub(octets));
        sight.torn_head |= std::mem::take(&mut sight.early_head);
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

    /// Octets on both tapes.
    pub fn octets(&self) -> usize {
        self.tapes.first.len() + self.tapes.second.len()
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
    /// come.
    pub fn believe(&mut self, ended: bool) -> Option<Belief> {
        if let Some(belief) = self.behind_preface(ended) {
            return Some(belief);
        }
        let sights = [&self.sights.first, &self.sights.second];
        if sights.iter().any(|sight| sight.torn_head || sight.early_head) {
            return None; // frames may be octets of its body
        }
        let client = self.find_frames(ended)?;
        Some(Belief { client, from: Both::default() })
    }

    /// Whether this is HTTP/1 and nothing else, as far as segments tell by their beginnings.
    pub fn is_http1(&mut self) -> bool {
        self.look();
        self.http1
    }

    fn look(&mut self) {
        for half in [Half::A, Half::B] {
            self.http1 |= self.sights.half_mut(half).look(self.tapes.half(half));
        }
    }

    /// A client's preface behind HTTP/1, with an answer that goes with it.
    fn behind_preface(&mut self, ended: bool) -> Option<Belief> {
        for client in [Half::A, Half::B] {
            let sight = self.sights.half(client);
            let Some(place) = sight.preface.filter(|place| *place > 0) else { continue };
            let server = self.tapes.half(client.other());
            let answer = match head_length(server.run(0, HTTP1_LONGEST)) {
                Some(length) if server.octets().starts_with(b"HTTP/1.") => length,
                _ => 0,
            };
            let context = Context { uncertain: true, unseen_pushes: true, ..Context::default() };
            let fits = self.sights.half(client.other()).leads
                || self.searches.half_mut(client.other()).find(server, context).is_some()
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
    fn find_frames(&mut self, ended: bool) -> Option<Option<Half>> {
        let mut found = Vec::new();
        let mut client = None;
        for half in [Half::A, Half::B] {
            let tape = self.tapes.half(half);
            let context = Context { uncertain: true, unseen_pushes: true, ..Context::default() };
            let Some(first) = self.searches.half_mut(half).find(tape, context) else { continue };
            found.push(first.confirmed || (ended && first.is_last));
            let mut place = Some(first.place);
            while let (None, Some(from)) = (client, place) {
                match sent_by(tape, from) {
                    Ok(Side::Client) => client = Some(half),
                    Ok(Side::Server) => client = Some(half.other()),
                    Err(end) => place = self.searches.half(half).behind(end, tape),
                }
            }
        }
        // Octets of a body may look like a frame or two; the next head tells.
        let settled = found.len() == 2 || found.contains(&true);
        (settled && !found.is_empty()).then_some(client)
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
        &self,
        client: Half,
        response: usize,
        limits: &Limits,
        scratch: &mut Scratch,
        out: &mut impl FnMut(Signal<'_>),
    ) {
        let stamp_at = |half: Half, place: usize| {
            self.items.iter().find_map(|held| match held {
                Held::Bytes { half: of, to, stamp, .. } if *of == half && *to >= place => {
                    Some(*stamp)
                }
                _ => None,
            })
        };
        let Some((head, to)) = self.prelude.request() else { return };
        let request = stamp_at(client, to);
        let response = stamp_at(client.other(), response);
        if let Some((request, response)) = request.zip(response) {
            upgrade::tell(head, request, response, limits, scratch, out);
        }
    }
}

impl Sight {
    /// Looks at segments that have come since. True where one begins with a whole HTTP/1 head that
    /// leads to no HTTP/2.
    fn look(&mut self, tape: &Tape) -> bool {
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
            if is_text(begins) {
                let run = tape.run(piece.from, HTTP1_LONGEST);
                match head_length(run).and_then(|length| run.get(..length)) {
                    Some(head) if leads_on(head) => self.leads = true,
                    Some(_) => return true,
                    None if mentions(run) => self.leads = true,
                    None if piece.from + run.len() == tape.len() && run.len() < HTTP1_LONGEST => {
                        self.early_head = true;
                        return false;
                    }
                    None => self.torn_head = true,
                }
            }
            self.next = piece.from + 1;
        }
        false
    }
}

/// Whether HTTP/2 may begin behind an HTTP/1 head: a request for it or for a tunnel, or what
/// grants that.
fn leads_on(head: &[u8]) -> bool {
    mentions(head) || detect::grants(head)
}

/// Whether an HTTP/1 head, or what there is of it, names h2c or asks for a tunnel.
fn mentions(head: &[u8]) -> bool {
    head.starts_with(b"CONNECT ") || head.windows(3).any(|token| token == b"h2c")
}

/// Who sends the frames from `place` on, as far as they themselves tell; else where they end: at
/// the end of the tape, or at a head that lies in a hole.
fn sent_by(tape: &Tape, place: usize) -> Result<Side, usize> {
    let octets = tape.octets();
    let mut rest = octets.get(place..).unwrap_or_default();
    if rest.starts_with(PREFACE) {
        return Ok(Side::Client);
    }
    while let Some((first, payload)) = rest.split_first_chunk::<{ payload::HEAD }>() {
        let place = octets.len() - rest.len();
        if tape.visible(place, payload::HEAD) < payload::HEAD {
            return Err(place);
        }
        let head = payload::head(first);
        let length = head.length as usize;
        let seen = tape.visible(place + payload::HEAD, length).min(payload.len());
        let mut settings = Vec::new();
        let parsed = payload::parse(&head, payload.get(..seen).unwrap_or_default(), &mut settings);
        if let Payload::GoAway { last_stream_id: last, .. } = parsed.payload
            && !matches!(last, 0 | 0x7fff_ffff)
        {
            // The last stream that its receiver opened: clients open the odd ones.
            return Ok(if last % 2 == 1 { Side::Server } else { Side::Client });
        }
        match (head.kind, parsed.block.and_then(|block| block.first())) {
            (FrameType::HEADERS, Some(first)) => {
                // Static table (RFC 7541 appendix A): 1 to 7 are of requests, 8 to 14 :status.
                let index = match first {
                    0x80.. => first & 0x7f,
                    0x40..=0x7f => first & 0x3f,
                    0x20..=0x3f => 0, // a size of the table
                    _ => first & 0x0f,
                };
                match index {
                    1..=7 => return Ok(Side::Client),
                    8..=14 => return Ok(Side::Server),
                    _ => {}
                }
            }
            (FrameType::PUSH_PROMISE, _) => return Ok(Side::Server),
            (FrameType::PRIORITY, _) => return Ok(Side::Client),
            _ => {}
        }
        rest = payload.get(length..).unwrap_or_default();
    }
    Err(octets.len())
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
    fn what_lies_in_a_hole_does_not_tell_who_sends() {
        let settings_ack = [0, 0, 0, 4, 1, 0, 0, 0, 0];
        let ping = [0, 0, 8, 6, 1, 0, 0, 0, 0, 0xfd, 0x0a, 0xb1, 0x38, 0x8f, 0x70, 0x8e, 0x2e];
        // HEADERS of stream 5: `:status: 200` from the static table.
        let answer = [0, 0, 1, 1, 4, 0, 0, 0, 5, 0x88];
        let mut tape = Tape::default();
        tape.push(chunk(&settings_ack, 0));
        tape.push(chunk(&answer, 9));
        assert_eq!(sent_by(&tape, 0), Ok(Side::Server));
        // Read as octets, these zeros and the PING behind them hold HEADERS.
        let mut tape = Tape::default();
        tape.push(chunk(&settings_ack, 0));
        assert!(tape.gap(Stamp::default(), 9, 251));
        tape.push(chunk(&ping, 260));
        assert_eq!(sent_by(&tape, 0), Err(9));
        let length = tape.len();
        tape.push(chunk(&answer, 277));
        assert_eq!(sent_by(&tape, length), Ok(Side::Server));
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
        assert_eq!((sender(7), sender(4)), (Ok(Side::Server), Ok(Side::Client)));
        assert_eq!((sender(0), sender(0x7fff_ffff)), (Err(17), Err(17)));
    }

    #[test]
    fn a_torn_head_closes_no_case_and_a_whole_one_does() {
        let look = |octets: &[u8], hole: u64| {
            let (mut tape, mut sight) = (Tape::default(), Sight::default());
            tape.push(chunk(octets, 0));
            tape.gap(Stamp::default(), octets.len() as u64, hole);
            let closed = sight.look(&tape);
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
