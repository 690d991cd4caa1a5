//! Header blocks: where a header list belongs, and what broke its encoding (RFC 7541).

use crate::vocab::frame::{Flags, Frame, FrameType};
use crate::vocab::header::{HeaderFaultKind, HeaderList};
use crate::vocab::rule::{self, Rule};

use super::message::{self, Facts};
use super::{Block, Breach, Breaches, Desk, OpenBlock, Role, Rules};

impl Rules {
    /// HEADERS or PUSH_PROMISE: its list is complete, or CONTINUATION follows.
    pub(super) fn block_begins(
        &mut self,
        desk: &mut Desk<'_, '_>,
        role: Role,
        ends_stream: bool,
    ) -> Breaches {
        let head = desk.frame.head;
        let stream = head.stream;
        let block = OpenBlock { stream, role, ends_stream, told: false };
        let side = self.sides.side_mut(desk.frame.by);
        if head.flags.has(Flags::END_HEADERS) {
            side.block = Block::None;
            return self.block_ends(desk, &block);
        }
        side.block = Block::Open(block);
        Breaches::default()
    }

    pub(super) fn continuation(&mut self, desk: &mut Desk<'_, '_>) -> Breaches {
        let head = desk.frame.head;
        let side = self.sides.side_mut(desk.frame.by);
        let Block::Open(block) = side.block else { return Breaches::default() };
        if !head.flags.has(Flags::END_HEADERS) {
            return Breaches::default();
        }
        side.block = Block::None;
        self.block_ends(desk, &block)
    }

    fn block_ends(&mut self, desk: &mut Desk<'_, '_>, block: &OpenBlock) -> Breaches {
        let frame = desk.frame;
        let fault = frame.headers.as_ref().and_then(|list| self.fault(desk, list));
        let list = frame.headers.as_ref().filter(|list| message::is_readable(list));
        let Some(list) = list else {
            // What this list would have begun or ended is not known.
            match desk.open.get_mut(&block.stream) {
                Some(stream) => stream.rules.is_sure = false,
                None => self.fresh.is_sure = false,
            }
            return fault.into();
        };
        if block.role == Role::Misplaced || fault.is_some() {
            return fault.into();
        }
        let facts = message::check(list, block.role);
        self.message(desk, block, facts)
    }

    /// Whether nothing of the other side was read before this frame that may answer it: behind a
    /// hole, frames are read late.
    fn is_timely(&self, desk: &Desk<'_, '_>) -> bool {
        let (history, frame) = (desk.history, desk.frame);
        let last = history.sides.side(frame.by.other()).last_frame;
        self.is_exact(history, frame.by) || last.is_none_or(|last| !frame.stamp.before(last))
    }

    /// What broke the block. Without a fault in reading it, a rule can still be broken.
    fn fault(&self, desk: &Desk<'_, '_>, list: &HeaderList<'_>) -> Option<Breach> {
        use HeaderFaultKind as Kind;
        let fault = list.fault?;
        let frame = desk.frame;
        if list.partial || !self.is_exact(desk.history, frame.by) {
            return None;
        }
        let of_peer = matches!(fault.kind, Kind::SizeUpdateTooLarge | Kind::MissingSizeUpdate);
        if of_peer && !self.knows_peer(desk.history, frame) {
            return None;
        }
        let (rule, text): (&'static Rule, _) = match fault.kind {
            Kind::IndexZero => (&rule::HPACK_INDEX_ZERO, "a field with index 0"),
            Kind::IndexBeyondTable => {
                (&rule::HPACK_INDEX_RANGE, "an index beyond the static and dynamic tables")
            }
            Kind::IntegerOverflow => (&rule::HPACK_INTEGER_OVERFLOW, "an integer that overflows"),
            Kind::Truncated => (&rule::HPACK_DECODE, "a field that does not end"),
            Kind::HuffmanEos => (&rule::HPACK_HUFFMAN_EOS, "a Huffman string with EOS in it"),
            Kind::HuffmanPadding => {
                (&rule::HPACK_HUFFMAN_PADDING, "a Huffman string with wrong padding")
            }
            Kind::LateSizeUpdate => {
                (&rule::HPACK_SIZE_UPDATE_POSITION, "a table size update behind a field")
            }
            Kind::SizeUpdateTooLarge => {
                (&rule::HPACK_SIZE_UPDATE_LIMIT, "a table size update above what SETTINGS allow")
            }
            Kind::MissingSizeUpdate => (
                &rule::HPACK_SIZE_UPDATE_REQUIRED,
                "no table size update after SETTINGS made the table smaller",
            ),
        };
        let text = format!("the header block has {text}, at octet {}", fault.offset);
        Breach::of(rule, text)
    }

    /// A header list that could be read, on its stream.
    fn message(&mut self, desk: &mut Desk<'_, '_>, block: &OpenBlock, facts: Facts) -> Breaches {
        let frame: &Frame<'_> = desk.frame;
        let mut breaches = facts.breaches;
        let connects = self.sides.second.announced.connects;
        if facts.method == message::Method::ExtendedConnect
            && !connects
            && self.knows_peer(desk.history, frame)
        {
            let text = "a request with :protocol, which the server did not allow";
            breaches.add(Breach::of(&rule::EXTENDED_CONNECT_UNSUPPORTED, text));
        }
        if block.role == Role::Promise {
            return breaches; // the promised stream takes what `fresh` holds
        }
        let is_sure = desk.open.get(&block.stream).is_some_and(|stream| self.is_sure(stream));
        let is_timely = self.is_timely(desk);
        let stream = desk.open.get_mut(&block.stream);
        let (rules, octets) = match stream {
            Some(stream) => (&mut stream.rules, *stream.data.side(frame.by)),
            // Its HEADERS have ended the stream already.
            None if frame.head.kind == FrameType::CONTINUATION => return breaches,
            None => (&mut self.fresh, 0),
        };
        if facts.is_request {
            rules.is_sure = is_timely;
            rules.method = facts.method;
        }
        let interim = facts.status.is_some_and(|status| (100..200).contains(&status));
        if block.role == Role::Response && !interim {
            // Without a status that is known, what follows cannot be told either.
            rules.is_sure &= facts.status.is_some() || facts.is_whole;
            rules.is_answered = true;
            let connects = rules.method == message::Method::Connect;
            rules.is_tunnel = connects && facts.status.is_some_and(|code| code / 100 == 2);
        }
        if matches!(block.role, Role::Response | Role::Request) && !interim {
            let declared = rules.declared.side_mut(frame.by);
            *declared = facts.content_length;
            if block.role == Role::Response && rules.has_no_body(facts.status) {
                *rules.declared.side_mut(frame.by) = None;
            }
        }
        if block.role == Role::Trailers && !block.ends_stream && breaches.is_empty() {
            let text = "a second HEADERS without END_STREAM";
            breaches.add(Breach::of(&rule::MSG_TRAILERS_END_STREAM, text));
        }
        if interim && block.ends_stream && breaches.is_empty() {
            let text = "an interim response with END_STREAM";
            breaches.add(Breach::of(&rule::MSG_1XX_END_STREAM, text));
        }
        let is_opening = block.role == Role::Request;
        if block.ends_stream && !interim && (is_sure || is_opening) {
            breaches.add(rules.short_of_declared(frame.by, octets));
        }
        breaches
    }
}
