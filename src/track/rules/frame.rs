//! Frames taken alone, and their order: lengths, streams, padding, contiguous header blocks.

use crate::track::History;
use crate::vocab::address::Side;
use crate::vocab::frame::{Flags, Frame, FrameFault, FrameType, Payload};
use crate::vocab::limits::Limits;
use crate::vocab::rule::{self, Rule};
use crate::vocab::setting::FRAME_SIZE_LEAST;

use super::{Block, Breach, Desk, Rules, grouped, tell};

impl Rules {
    /// What is wrong with this frame as a frame, here.
    pub(super) fn framing(&mut self, desk: &Desk<'_, '_>) -> Option<Breach> {
        let frame = desk.frame;
        if self.is_usual(frame) {
            return None;
        }
        let unordered = self.order(desk);
        let first = self.first_frame(desk);
        unordered
            .or_else(|| misplaced(frame))
            .or_else(|| self.priority_update(desk))
            .or_else(|| self.oversize(desk.history, frame))
            .or_else(|| broken(frame))
            .or_else(|| depends_on_itself(frame))
            .or(first)
    }

    /// Whether one look tells that nothing of all this is wrong: true of nearly all frames.
    #[inline]
    fn is_usual(&self, frame: &Frame<'_>) -> bool {
        let side = self.sides.side(frame.by);
        let is_sound = match frame.payload {
            Payload::Data { .. }
            | Payload::Headers { priority: None }
            | Payload::RstStream { .. } => frame.head.stream != 0,
            Payload::WindowUpdate { .. } => true,
            _ => false,
        };
        let is_in_order = side.spoke && matches!(side.block, Block::None);
        is_sound && is_in_order && frame.head.length <= FRAME_SIZE_LEAST
    }

    /// RFC 9113 section 3.4: each side begins with SETTINGS.
    fn first_frame(&mut self, desk: &Desk<'_, '_>) -> Option<Breach> {
        let frame = desk.frame;
        let side = self.sides.side_mut(frame.by);
        if side.spoke {
            return None;
        }
        side.spoke = true;
        let is_settings =
            frame.head.kind == FrameType::SETTINGS && !frame.head.flags.has(Flags::ACK);
        // A client that did not speak HTTP/2 is told about, and its server is excused.
        let client_began = desk.history.sides.first.preface.is_some();
        if is_settings || !client_began || !self.is_exact(desk.history, frame.by) {
            return None;
        }
        let rule = match frame.by {
            Side::Client => &rule::CLIENT_SETTINGS_FIRST,
            Side::Server => &rule::SERVER_SETTINGS_FIRST,
        };
        let by = frame.by.name();
        Breach::of(rule, format!("the {by}'s first frame is {}, not SETTINGS", frame.type_name()))
    }

    /// RFC 9113 section 4.3: a header block is one row of frames of one side.
    fn order(&mut self, desk: &Desk<'_, '_>) -> Option<Breach> {
        let frame = desk.frame;
        let is_exact = self.is_exact(desk.history, frame.by);
        let side = self.sides.side_mut(frame.by);
        let (kind, id) = (frame.head.kind, frame.head.stream);
        let is_continuation = kind == FrameType::CONTINUATION;
        match &mut side.block {
            // A capture that joins midway may begin inside a block.
            Block::None if is_continuation && !is_exact && !side.spoke => {
                side.block = Block::Unknown;
                None
            }
            Block::None if is_continuation && id != 0 => Breach::of(
                &rule::CONTINUATION_WITHOUT_HEADERS,
                format!("CONTINUATION on stream {id} without an open header block"),
            ),
            Block::None => None,
            // What interrupts a block and what stands behind it look alike.
            Block::Unknown => {
                if matches!(kind, FrameType::HEADERS | FrameType::PUSH_PROMISE) {
                    side.block = Block::None;
                }
                None
            }
            Block::Open(block) if (is_continuation && block.stream == id) || block.told => None,
            Block::Open(block) => {
                block.told = true;
                let rule: &'static Rule = if kind.name().is_none_or(|_| kind.0 > 9) {
                    &rule::UNKNOWN_FRAME_IN_HEADER_BLOCK
                } else {
                    &rule::HEADER_BLOCK_CONTIGUOUS
                };
                let text = format!(
                    "{} on stream {id} while the header block of stream {} was open",
                    frame.type_name(),
                    block.stream
                );
                Breach::of(rule, text)
            }
        }
    }

    /// RFC 9218 section 7.1: of a stream that there is, or that the client may open.
    fn priority_update(&self, desk: &Desk<'_, '_>) -> Option<Breach> {
        let Payload::PriorityUpdate { prioritized } = desk.frame.payload else { return None };
        if prioritized == 0 {
            return Breach::of(&rule::PRIORITY_UPDATE_ID_ZERO, "PRIORITY_UPDATE of stream 0");
        }
        let is_promised = prioritized <= self.sides.second.highest;
        let is_known = self.knows_peer(desk.history, desk.frame);
        if !prioritized.is_multiple_of(2) || is_promised || !is_known {
            return None;
        }
        let text = format!("PRIORITY_UPDATE of stream {prioritized}, which was never promised");
        Breach::of(&rule::PRIORITY_UPDATE_IDLE_PUSH, text)
    }

    /// A frame whose head alone has come.
    pub fn begun(&mut self, history: &mut History, frame: &Frame<'_>, limits: &Limits) {
        if let Some(breach) = self.oversize(history, frame) {
            self.sides.side_mut(frame.by).told_by_head = true;
            tell(history, limits, frame.stamp, frame.by, frame.head.stream, breach);
        }
    }

    /// RFC 9113 section 4.2.
    fn oversize(&self, history: &History, frame: &Frame<'_>) -> Option<Breach> {
        if frame.head.length <= FRAME_SIZE_LEAST {
            return None;
        }
        let most = self.sides.side(frame.by.other()).announced.frame_size();
        if frame.head.length <= most || !self.knows_peer(history, frame) {
            return None;
        }
        let text = format!(
            "{} of {} octets where the receiver accepts {}",
            frame.type_name(),
            grouped(frame.head.length.into()),
            grouped(most.into())
        );
        Breach::of(&rule::FRAME_SIZE_LIMIT, text)
    }
}

/// Whether a frame's type may be on its stream: of the connection on 0, of streams elsewhere.
pub(super) fn is_on_right_stream(frame: &Frame<'_>) -> bool {
    match frame.head.kind {
        FrameType::SETTINGS | FrameType::PING | FrameType::GOAWAY => frame.head.stream == 0,
        FrameType::DATA
        | FrameType::HEADERS
        | FrameType::PRIORITY
        | FrameType::RST_STREAM
        | FrameType::PUSH_PROMISE
        | FrameType::CONTINUATION => frame.head.stream != 0,
        _ => true,
    }
}

fn misplaced(frame: &Frame<'_>) -> Option<Breach> {
    let id = frame.head.stream;
    if frame.head.kind == FrameType::PRIORITY_UPDATE {
        // RFC 9218 section 7.1.
        if frame.by == Side::Server {
            return Breach::of(&rule::PRIORITY_UPDATE_FROM_SERVER, "PRIORITY_UPDATE by a server");
        }
        if id != 0 {
            let text = format!("PRIORITY_UPDATE on stream {id}, not on stream 0");
            return Breach::of(&rule::PRIORITY_UPDATE_STREAM_NONZERO, text);
        }
        return None;
    }
    if is_on_right_stream(frame) {
        return None;
    }
    let rule = match frame.head.kind {
        FrameType::DATA => &rule::DATA_STREAM_ZERO,
        FrameType::HEADERS => &rule::HEADERS_STREAM_ZERO,
        FrameType::PRIORITY => &rule::PRIORITY_STREAM_ZERO,
        FrameType::RST_STREAM => &rule::RST_STREAM_ZERO,
        FrameType::PUSH_PROMISE => &rule::PUSH_STREAM_ZERO,
        FrameType::CONTINUATION => &rule::CONTINUATION_STREAM_ZERO,
        FrameType::SETTINGS => &rule::SETTINGS_STREAM_NONZERO,
        FrameType::PING => &rule::PING_STREAM_NONZERO,
        _ => &rule::GOAWAY_STREAM_NONZERO,
    };
    Breach::of(rule, format!("{} on stream {id}", frame.type_name()))
}

/// A payload that contradicts its type (RFC 9113 sections 6.1 to 6.9).
fn broken(frame: &Frame<'_>) -> Option<Breach> {
    let Payload::Broken(fault) = frame.payload else { return None };
    let (kind, length) = (frame.head.kind, frame.head.length);
    let name = frame.type_name();
    match fault {
        FrameFault::BlockTooLarge => None,
        FrameFault::Padding => {
            let rule = match kind {
                FrameType::DATA => &rule::DATA_PADDING,
                FrameType::HEADERS => &rule::HEADERS_PADDING,
                _ => &rule::PUSH_PADDING,
            };
            Breach::of(rule, format!("{name} of {length} octets with padding as long or longer"))
        }
        FrameFault::Length => {
            let (rule, wanted): (&'static Rule, _) = match kind {
                FrameType::PRIORITY => (&rule::PRIORITY_LENGTH, "5"),
                FrameType::RST_STREAM => (&rule::RST_LENGTH, "4"),
                FrameType::SETTINGS if frame.head.flags.has(Flags::ACK) => {
                    (&rule::SETTINGS_ACK_EMPTY, "0")
                }
                FrameType::SETTINGS => (&rule::SETTINGS_LENGTH, "a multiple of 6"),
                FrameType::PING => (&rule::PING_LENGTH, "8"),
                FrameType::GOAWAY => (&rule::GOAWAY_LENGTH, "8 or more"),
                FrameType::WINDOW_UPDATE => (&rule::WINDOW_UPDATE_LENGTH, "4"),
                _ => (&rule::FRAME_SIZE_MIN, "more for its mandatory fields"),
            };
            let acks = if rule.id == rule::SETTINGS_ACK_EMPTY.id { " ACK" } else { "" };
            Breach::of(rule, format!("{name}{acks} of {length} octets: it takes {wanted}"))
        }
    }
}

/// RFC 7540 section 5.3.1.
fn depends_on_itself(frame: &Frame<'_>) -> Option<Breach> {
    let priority = match frame.payload {
        Payload::Priority(priority) => priority,
        Payload::Headers { priority: Some(priority) } => priority,
        _ => return None,
    };
    if priority.depends_on != frame.head.stream {
        return None;
    }
    let text = format!("{} makes stream {} depend on itself", frame.type_name(), frame.head.stream);
    Breach::of(&rule::HEADERS_SELF_DEPENDENCY, text)
}
