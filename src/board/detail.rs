//! One connection in detail, on demand: its frames with decoded headers, and its streams.

use std::collections::HashSet;

use crate::board::StreamRow;
use crate::vocab::address::Side;
use crate::vocab::error_code::ErrorCode;
use crate::vocab::flow::FlowId;
use crate::vocab::frame::{Frame, FrameFault, FrameHead, FrameType, Payload};
use crate::vocab::header::HeaderList;
use crate::vocab::setting::SettingId;
use crate::vocab::text::utf8_or_escaped;
use crate::vocab::time::Stamp;

/// Header fields in order; what the capture cannot tell is `None`.
pub type Fields = Vec<(Option<String>, Option<String>)>;

/// Frames and streams of one connection.
#[derive(Clone, Debug, Default)]
pub struct Detail {
    /// Whether this is all.
    pub state: DetailState,
    /// Frames in the order of their packets.
    pub frames: Vec<FrameRow>,
    /// Streams by identifier.
    pub streams: Vec<StreamRow>,
    /// Frames left out because there are more than are kept, in order.
    pub gaps: Vec<Gap>,
    /// Streams left out.
    pub streams_beyond: u64,
    /// Why nothing was found, in one line.
    pub error: Option<String>,
}

/// Frames that were left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Place of the frame that follows.
    pub before: usize,
    /// How many.
    pub frames: u64,
    /// Packet of the first of them.
    pub first: Stamp,
    /// Packet of the last of them.
    pub last: Stamp,
}

impl Detail {
    /// Approximate octets in memory.
    pub fn weight(&self) -> usize {
        let frames: usize = self.frames.iter().map(FrameRow::weight).sum();
        frames.saturating_add(self.streams.len().saturating_mul(size_of::<StreamRow>()))
    }

    /// How many frames were left out.
    pub fn frames_beyond(&self) -> u64 {
        self.gaps.iter().map(|gap| gap.frames).sum()
    }
}

/// Which connections have a stream that a filter asks for.
#[derive(Clone, Debug, Default)]
pub struct Matching {
    /// Whether this is all.
    pub state: DetailState,
    /// Connections with such a stream.
    pub flows: HashSet<FlowId>,
    /// Connections without one, as far as their packets can be read.
    pub others: HashSet<FlowId>,
}

/// Whether a detail is all there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DetailState {
    /// Being looked for.
    #[default]
    Reading,
    /// Everything that the captures have.
    Whole,
    /// A live capture: the latest frames and streams that are kept.
    Recent,
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameRow {
    /// Packet where its last octet arrived.
    pub stamp: Stamp,
    /// Who sent it.
    pub by: Side,
    /// Length, type, flags, stream. For the preface: type 0, length 24.
    pub head: FrameHead,
    /// What it says.
    pub says: FrameSays,
    /// The header list, on the frame that completes a header block.
    pub headers: Option<Fields>,
}

/// What a frame says, as [`Payload`] does, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the fields are those of Payload
pub enum FrameSays {
    /// The client connection preface.
    Preface,
    /// DATA: octets without padding.
    Data(u32),
    /// HEADERS.
    Headers,
    /// PRIORITY.
    Priority { depends_on: u32, exclusive: bool, weight: u8 },
    /// RST_STREAM.
    RstStream(ErrorCode),
    /// SETTINGS.
    Settings { ack: bool, values: Vec<(SettingId, u32)> },
    /// PUSH_PROMISE of this stream.
    PushPromise(u32),
    /// PING.
    Ping { ack: bool, opaque: [u8; 8] },
    /// GOAWAY; debug data up to a limit.
    GoAway { last_stream_id: u32, code: ErrorCode, debug: Vec<u8> },
    /// WINDOW_UPDATE by so many octets.
    WindowUpdate(u32),
    /// CONTINUATION of a block that this type began.
    Continuation(Option<FrameType>),
    /// An extension or unknown type.
    Other,
    /// The payload contradicts the rules of its type.
    Broken(FrameFault),
    /// Octets of the payload are not in the capture.
    Unseen,
}

impl FrameRow {
    /// An owned copy of a frame.
    pub fn of(frame: &Frame<'_>) -> Self {
        Self {
            stamp: frame.stamp,
            by: frame.by,
            head: frame.head,
            says: FrameSays::of(&frame.payload),
            headers: frame.headers.as_ref().map(fields),
        }
    }

    /// The type's name as reports print it: `PREFACE`, `HEADERS` or `0x2a`.
    pub fn type_name(&self) -> std::borrow::Cow<'static, str> {
        match (&self.says, self.head.kind.name()) {
            (FrameSays::Preface, _) => "PREFACE".into(),
            (_, Some(name)) => name.into(),
            (_, None) => format!("{:#04x}", self.head.kind.0).into(),
        }
    }

    /// Approximate octets in memory.
    pub fn weight(&self) -> usize {
        let text = |part: &Option<String>| part.as_ref().map_or(0, String::len);
        let fields = self.headers.iter().flatten();
        let fields: usize = fields.map(|(name, value)| 48 + text(name) + text(value)).sum();
        let says = match &self.says {
            FrameSays::Settings { values, .. } => values.len() * 8,
            FrameSays::GoAway { debug, .. } => debug.len(),
            _ => 0,
        };
        size_of::<Self>() + fields + says
    }
}

impl FrameSays {
    fn of(payload: &Payload<'_>) -> Self {
        match *payload {
            Payload::Preface => Self::Preface,
            Payload::Data { data } => Self::Data(data),
            Payload::Headers { .. } => Self::Headers,
            Payload::Priority(priority) => Self::Priority {
                depends_on: priority.depends_on,
                exclusive: priority.exclusive,
                weight: priority.weight,
            },
            Payload::RstStream { code } => Self::RstStream(code),
            Payload::Settings { ack, values } => Self::Settings { ack, values: values.to_vec() },
            Payload::PushPromise { promised } => Self::PushPromise(promised),
            Payload::Ping { ack, opaque } => Self::Ping { ack, opaque },
            Payload::GoAway { last_stream_id, code, debug } => {
                Self::GoAway { last_stream_id, code, debug: debug.to_vec() }
            }
            Payload::WindowUpdate { increment } => Self::WindowUpdate(increment),
            Payload::Continuation { of } => Self::Continuation(of),
            Payload::PriorityUpdate { .. } | Payload::Other => Self::Other,
            Payload::Broken(fault) => Self::Broken(fault),
            Payload::Unseen => Self::Unseen,
        }
    }
}

fn fields(list: &HeaderList<'_>) -> Fields {
    let text = |part: Option<&[u8]>| part.map(utf8_or_escaped);
    list.iter().map(|field| (text(field.name), text(field.value))).collect()
}
