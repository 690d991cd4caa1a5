//! Rules of RFC 9113 and its kin, checked frame by frame before a frame changes the tracker's
//! state.
//!
//! A rule is told only where the capture proves it: what was lost or crossed on the way mutes
//! every rule that it could excuse.

mod frame;
mod goaway;
mod hpack;
mod message;
mod ping;
mod push;
mod settings;
mod state;
mod tls;
mod window;

pub use tls::of_tls;

use rustc_hash::FxHashMap;

use crate::vocab::address::{Both, Side};
use crate::vocab::frame::{Frame, FrameType, Payload, Transport};
use crate::vocab::header::HeaderList;
use crate::vocab::limits::{Hit, Limits};
use crate::vocab::pack::packs;
use crate::vocab::rule::{self, Rule};
use crate::vocab::setting::SettingId;
use crate::vocab::time::Stamp;
use crate::vocab::verdict::Finding;

use super::history::History;
use super::open::OpenStreams;
use message::Method;
use settings::Announced;

/// Findings of one rule by one side: the first few say what the others would.
const TOLD_PER_RULE: usize = 16;

/// A rule broken by a frame.
#[derive(Debug)]
struct Breach {
    rule: &'static Rule,
    text: String,
}

impl Breach {
    fn of(rule: &'static Rule, text: impl Into<String>) -> Option<Self> {
        Some(Self { rule, text: text.into() })
    }
}

/// What the rules remember of one connection.
#[derive(Debug, Default)]
pub(super) struct Rules {
    sides: Both<SideRules>,
    /// How often frames of either side may have been lost.
    losses: u32,
    /// Streams were opened that the tracker does not follow: closed cannot be told from open.
    untracked: bool,
    /// HTTP2-Settings need no acknowledgement but may get one (RFC 7540 section 3.2.1).
    spare_ack: bool,
    /// Rules of the stream that the frame under check opens.
    fresh: StreamRules,
}

packs!(struct Rules { sides, losses, untracked, spare_ack, fresh });

/// What the rules remember of one side.
#[derive(Debug)]
struct SideRules {
    /// SETTINGS that it sent.
    announced: Announced,
    /// Octets of DATA that it may still send on the connection; starts at 65,535 whatever
    /// SETTINGS say (RFC 9113 section 6.9.2).
    window: i64,
    /// Offset behind its last frame.
    end: u64,
    /// Highest stream that it opened or promised.
    highest: u32,
    /// Identifiers that it passed over: closed without ever being used (section 5.1.1).
    skipped: Vec<(u32, u32)>,
    /// The header block it is sending.
    block: Block,
    /// Last stream identifier of its last GOAWAY.
    goaway_last: u32,
    /// The offset behind that GOAWAY and its packet, until streams in spite of it were told.
    goaway_at: Option<(u64, Stamp)>,
    /// Highest stream of the peer that it answered.
    answered: u32,
    /// Whether it has sent a frame.
    spoke: bool,
    /// Whether the head of its next frame broke a rule, and was told.
    told_by_head: bool,
    /// Whether frames of it that change state may be missing.
    torn: bool,
    /// Whether SETTINGS that it left unacknowledged were told.
    ack_told: bool,
    /// Its oldest PING that was not answered yet.
    asked: Option<Box<Asked>>,
    /// Whether PINGs that it left unanswered were told.
    pong_told: bool,
    /// Whether it was told that it did not close after its GOAWAY for an error.
    lingering_told: bool,
}

packs!(struct SideRules {
    announced, window, end, highest, skipped, block, goaway_last, goaway_at, answered, spoke,
    told_by_head, torn, ack_told, asked, pong_told, lingering_told
});

/// A PING that waits for its answer.
#[derive(Clone, Copy, Debug)]
struct Asked {
    opaque: [u8; 8],
    stamp: Stamp,
    end_offset: u64,
}

packs!(struct Asked { opaque, stamp, end_offset });

impl Default for SideRules {
    fn default() -> Self {
        Self {
            announced: Announced::default(),
            window: window::DEFAULT,
            end: 0,
            highest: 0,
            skipped: Vec::new(),
            block: Block::None,
            goaway_last: u32::MAX,
            goaway_at: None,
            answered: 0,
            spoke: false,
            told_by_head: false,
            torn: false,
            ack_told: false,
            asked: None,
            pong_told: false,
            lingering_told: false,
        }
    }
}

/// A header block on its way: HEADERS or PUSH_PROMISE and CONTINUATIONs (section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    /// None is open.
    None,
    /// The capture cannot tell.
    Unknown,
    /// This one is open.
    Open(OpenBlock),
}

packs!(enum Block { 0 => Unknown, 1 => Open(block), else None });

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OpenBlock {
    stream: u32,
    role: Role,
    ends_stream: bool,
    /// Whether an interruption of it was told.
    told: bool,
}

packs!(struct OpenBlock { stream, role, ends_stream, told });

/// What a header list is (RFC 9113 section 8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Request,
    Promise,
    Response,
    Trailers,
    /// Any of them: its stream's beginning was not captured.
    Unsure,
    /// It is on no stream that could take it: that was told.
    Misplaced,
}

packs!(enum Role {
    0 => Request, 1 => Promise, 2 => Response, 3 => Trailers, 4 => Unsure, else Misplaced
});

/// What the rules remember of one stream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StreamRules {
    /// Octets granted by WINDOW_UPDATE minus octets of DATA sent: with the initial window this is
    /// what each side may still send.
    balance: Both<i64>,
    /// `content-length` of each side's message.
    declared: Both<Option<u64>>,
    /// [`Rules::losses`] when it was opened.
    born: u32,
    method: Method,
    /// Whether its request is certainly what opened it.
    is_sure: bool,
    /// Whether the final response began.
    is_answered: bool,
    /// Whether a CONNECT was answered with 2xx.
    is_tunnel: bool,
    /// Whether DATA of unknown length came, by side.
    is_blurred: Both<bool>,
    /// Whether each side went over its window already.
    is_overrun: Both<bool>,
}

packs!(struct StreamRules {
    balance, declared, born, method, is_sure, is_answered, is_tunnel, is_blurred, is_overrun
});

/// What a check looks at.
struct Desk<'a, 'f> {
    history: &'a History,
    open: &'a mut OpenStreams,
    resets: &'a FxHashMap<u32, usize>,
    frame: &'a Frame<'f>,
    streams_max: usize,
    client_streams: u64,
}

impl Rules {
    /// Checks a frame that the tracker has not applied yet.
    pub fn check(
        &mut self,
        history: &mut History,
        open: &mut OpenStreams,
        resets: &FxHashMap<u32, usize>,
        client_streams: u64,
        frame: &Frame<'_>,
        limits: &Limits,
    ) {
        let streams_max = limits.open_streams;
        let mut desk = Desk { history, open, resets, frame, streams_max, client_streams };
        let mut breaches = self.judge(&mut desk);
        if std::mem::take(&mut self.sides.side_mut(frame.by).told_by_head) {
            breaches = Breaches::default();
        }
        let overdue = [self.overdue_pong(&desk), self.does_not_close(&desk)];
        let timed_out = self.settings_timeout(&desk);
        let (by, stream) = (frame.by, frame.head.stream);
        for breach in breaches.0 {
            tell(history, limits, frame.stamp, by, stream, breach);
        }
        for breach in overdue.into_iter().flatten().chain(self.overdue_ack(history, frame)) {
            tell(history, limits, frame.stamp, by, 0, breach);
        }
        if let Some((stamp, breach)) = timed_out {
            tell(history, limits, stamp, by.other(), 0, breach);
        }
        self.sides.side_mut(by).end = frame.end_offset();
    }

    /// Frames of this side may be missing.
    pub fn lost(&mut self, by: Side) {
        self.losses = self.losses.saturating_add(1);
        let side = self.sides.side_mut(by);
        side.torn = true;
        side.block = Block::Unknown;
    }

    /// A side's octets are not HTTP/2.
    pub fn unreadable(
        &mut self,
        history: &mut History,
        limits: &Limits,
        by: Side,
        foreign: Option<Stamp>,
    ) {
        self.sides.side_mut(by).torn = true;
        if let Some(stamp) = foreign
            && by == Side::Client
            && !history.joined_midway
        {
            let text = "the client's first octets are not the HTTP/2 connection preface";
            let breach = Breach { rule: &rule::CLIENT_PREFACE, text: text.to_owned() };
            tell(history, limits, stamp, by, 0, breach);
        }
        if let Some(stamp) = foreign
            && by == Side::Server
            && !history.joined_midway
            && !self.sides.second.spoke
        {
            let text = "the server's first octets are an HTTP/1.x response, no SETTINGS";
            let breach = Breach { rule: &rule::SERVER_SETTINGS_FIRST, text: text.to_owned() };
            tell(history, limits, stamp, by, 0, breach);
        }
    }

    /// An h2c Upgrade: stream 1 is open, and the 101 response acknowledged HTTP2-Settings
    /// (RFC 7540 sections 3.2 and 3.2.1).
    pub fn upgraded(&mut self, headers: &HeaderList<'_>, settings: &[(SettingId, u32)]) {
        self.spare_ack = true;
        let client = &mut self.sides.first;
        client.highest = 1;
        client.announced.apply(settings);
        let facts = message::check(headers, Role::Unsure);
        self.fresh = StreamRules { is_sure: true, ..self.newborn() };
        self.fresh.method = facts.method;
    }

    /// What the stream begins with that the frame under check opens.
    pub fn take_fresh(&mut self) -> StreamRules {
        let newborn = self.newborn();
        std::mem::replace(&mut self.fresh, newborn)
    }

    fn newborn(&self) -> StreamRules {
        StreamRules { born: self.losses, ..StreamRules::default() }
    }

    fn judge(&mut self, desk: &mut Desk<'_, '_>) -> Breaches {
        let frame = desk.frame;
        if matches!(frame.payload, Payload::Preface) {
            return Breaches::default();
        }
        if is_hidden(frame) {
            self.sides.side_mut(frame.by).torn = true;
        }
        let mut breaches = Breaches::default();
        breaches.add(self.framing(desk));
        if !frame::is_on_right_stream(frame) {
            return breaches;
        }
        let found = match frame.head.kind {
            FrameType::DATA => self.data(desk).into(),
            FrameType::HEADERS => self.headers(desk),
            FrameType::CONTINUATION => self.continuation(desk),
            FrameType::PUSH_PROMISE => self.promise(desk),
            FrameType::RST_STREAM => self.reset(desk).into(),
            FrameType::SETTINGS => self.settings(desk).into(),
            FrameType::WINDOW_UPDATE => self.window_update(desk).into(),
            FrameType::GOAWAY => self.goaway(desk).into(),
            FrameType::PING => self.ping(desk).into(),
            _ => Breaches::default(),
        };
        // One offence, one finding: a frame that should not be there breaks nothing else.
        if breaches.is_empty() { found } else { breaches }
    }

    /// Whether every frame of this side so far was captured, from its first.
    pub fn is_exact(&self, history: &History, side: Side) -> bool {
        let from_start = !history.joined_midway && history.transport != Transport::Unknown;
        from_start && !self.sides.side(side).torn
    }

    /// Whether the sender of this frame had acknowledged more than all frames of its peer: its FIN.
    pub fn has_seen_end(&self, history: &History, frame: &Frame<'_>) -> bool {
        let peer = frame.by.other();
        self.is_exact(history, peer) && frame.seen > self.sides.side(peer).end
    }

    /// Whether a side of which others have seen octets was captured at all.
    fn is_heard(&self, side: Side, seen: u64) -> bool {
        seen == 0 || self.sides.side(side).spoke
    }

    /// Whether all that the sender of this frame knew of its peer was captured and read: a hole
    /// in the capture can hold up one side's frames on their way here.
    fn knows_peer(&self, history: &History, frame: &Frame<'_>) -> bool {
        let peer = frame.by.other();
        self.is_exact(history, peer) && frame.seen <= self.sides.side(peer).end
    }
}

/// Whether a frame was not captured whole whose payload changes what the sides may do.
fn is_hidden(frame: &Frame<'_>) -> bool {
    matches!(frame.payload, Payload::Unseen)
        && matches!(
            frame.head.kind,
            FrameType::SETTINGS
                | FrameType::PING
                | FrameType::GOAWAY
                | FrameType::PUSH_PROMISE
                | FrameType::WINDOW_UPDATE
        )
}

/// Rules that one frame breaks; hardly ever any.
#[derive(Debug, Default)]
struct Breaches(Vec<Breach>);

impl From<Option<Breach>> for Breaches {
    #[inline]
    fn from(first: Option<Breach>) -> Self {
        Self(first.map(|breach| vec![breach]).unwrap_or_default())
    }
}

impl Breaches {
    #[inline]
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of this rule is among them.
    fn has(&self, rule: &Rule) -> bool {
        self.0.iter().any(|known| std::ptr::eq(known.rule, rule))
    }

    /// Adds one of a rule that is not yet among them.
    #[inline]
    fn add(&mut self, breach: Option<Breach>) {
        if let Some(Breach { rule, text }) = breach {
            self.tell(rule, || text);
        }
    }

    /// A rule is broken, which `text` tells where it is not yet among them: a hostile list breaks
    /// one with each field. True.
    fn tell(&mut self, rule: &'static Rule, text: impl FnOnce() -> String) -> bool {
        if !self.has(rule) {
            self.0.push(Breach { rule, text: text() });
        }
        true
    }

    /// Adds others behind them.
    #[inline]
    fn join(&mut self, others: Self) {
        if self.is_empty() {
            *self = others;
            return;
        }
        for breach in others.0 {
            self.add(Some(breach));
        }
    }
}

/// Records a finding, unless its rule was told often enough.
fn tell(
    history: &mut History,
    limits: &Limits,
    stamp: Stamp,
    by: Side,
    stream: u32,
    breach: Breach,
) {
    let Breach { rule, text } = breach;
    let same = |finding: &&Finding| std::ptr::eq(finding.rule, rule) && finding.by == by;
    let told = history.findings.iter().filter(same).count();
    if told >= TOLD_PER_RULE || history.findings.len() >= limits.findings {
        if !history.hits.contains(&Hit::Findings) {
            history.hits.push(Hit::Findings);
        }
        return;
    }
    history.findings.push(Finding { stamp, by, stream, rule, text });
}

/// A number with its digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
