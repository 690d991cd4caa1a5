//! HTTP/2 frames (RFC 9113 sections 4 and 6) as the wire shows them.

use super::address::Side;
use super::error_code::ErrorCode;
use super::header::HeaderList;
use super::pack::packs;
use super::setting::SettingId;
use super::time::Stamp;

/// Frame type number. Unknown numbers survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameType(pub u8);

packs!(tuple FrameType(number));

macro_rules! frame_types {
    ($($constant:ident = $number:literal;)*) => {
        impl FrameType {
            $(#[allow(missing_docs)] pub const $constant: Self = Self($number);)*

            /// Name in RFC 9113 or its extensions' RFCs.
            pub fn name(self) -> Option<&'static str> {
                match self.0 { $($number => Some(stringify!($constant)),)* _ => None }
            }
        }
    };
}

frame_types! {
    DATA = 0x00; HEADERS = 0x01; PRIORITY = 0x02; RST_STREAM = 0x03; SETTINGS = 0x04;
    PUSH_PROMISE = 0x05; PING = 0x06; GOAWAY = 0x07; WINDOW_UPDATE = 0x08; CONTINUATION = 0x09;
    ALTSVC = 0x0a; ORIGIN = 0x0c; PRIORITY_UPDATE = 0x10;
}

/// Frame flags; meaning depends on the type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

packs!(tuple Flags(bits));

impl Flags {
    /// DATA, HEADERS: last frame of this direction of the stream.
    pub const END_STREAM: Self = Self(0x01);
    /// SETTINGS, PING: acknowledgement.
    pub const ACK: Self = Self(0x01);
    /// HEADERS, PUSH_PROMISE, CONTINUATION: the header block is complete.
    pub const END_HEADERS: Self = Self(0x04);
    /// DATA, HEADERS, PUSH_PROMISE: padded.
    pub const PADDED: Self = Self(0x08);
    /// HEADERS: priority fields present.
    pub const PRIORITY: Self = Self(0x20);

    /// Whether every bit of `wanted` is set.
    pub fn has(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }
}

/// The nine octets in front of each frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// Payload length in octets, 24 bits.
    pub length: u32,
    /// Type.
    pub kind: FrameType,
    /// Flags.
    pub flags: Flags,
    /// Stream identifier, 31 bits.
    pub stream: u32,
}

packs!(struct FrameHead { length, kind, flags, stream });

/// One frame, or the client's connection preface (length 24, stream 0).
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Who sent it.
    pub by: Side,
    /// Packet where its last octet arrived.
    pub stamp: Stamp,
    /// Head. For the preface: type 0, length 24.
    pub head: FrameHead,
    /// Offset of its first octet in its half's byte stream.
    pub offset: u64,
    /// Octets of the other half that the sender had acknowledged in TCP when it sent this.
    pub seen: u64,
    /// What it says.
    pub payload: Payload<'a>,
    /// The header list, on the frame that completes a header block.
    pub headers: Option<HeaderList<'a>>,
}

impl Frame<'_> {
    /// Octets that the head takes on the wire: none for the preface.
    pub const HEAD_LENGTH: u64 = 9;

    /// Offset just behind the frame's last octet.
    pub fn end_offset(&self) -> u64 {
        let head = if matches!(self.payload, Payload::Preface) { 0 } else { Self::HEAD_LENGTH };
        self.offset.saturating_add(head).saturating_add(u64::from(self.head.length))
    }

    /// The type's name as reports print it: `PREFACE`, `HEADERS` or `0x2a`.
    pub fn type_name(&self) -> std::borrow::Cow<'static, str> {
        if matches!(self.payload, Payload::Preface) {
            return "PREFACE".into();
        }
        match self.head.kind.name() {
            Some(name) => name.into(),
            None => format!("{:#04x}", self.head.kind.0).into(),
        }
    }
}

/// What a frame says. DATA is a length: bodies are counted, never stored.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    /// The client connection preface (RFC 9113 section 3.4).
    Preface,
    /// DATA.
    Data {
        /// Octets of data, without padding.
        data: u32,
    },
    /// HEADERS; the list stands in [`Frame::headers`] where this frame completes the block.
    Headers {
        /// Priority fields, where present.
        priority: Option<Priority>,
    },
    /// PRIORITY.
    Priority(Priority),
    /// RST_STREAM.
    RstStream {
        /// Why.
        code: ErrorCode,
    },
    /// SETTINGS.
    Settings {
        /// Whether it acknowledges the peer's.
        ack: bool,
        /// Identifiers and values in order.
        values: &'a [(SettingId, u32)],
    },
    /// PUSH_PROMISE.
    PushPromise {
        /// The promised stream.
        promised: u32,
    },
    /// PING.
    Ping {
        /// Whether it answers the peer's.
        ack: bool,
        /// Opaque data.
        opaque: [u8; 8],
    },
    /// GOAWAY.
    GoAway {
        /// Highest stream that may have been processed.
        last_stream_id: u32,
        /// Why.
        code: ErrorCode,
        /// Additional debug data, up to a limit.
        debug: &'a [u8],
    },
    /// WINDOW_UPDATE.
    WindowUpdate {
        /// Octets granted; 0 is an error of the sender.
        increment: u32,
    },
    /// CONTINUATION.
    Continuation {
        /// Type of the frame that began the block; `None` where there is none to continue.
        of: Option<FrameType>,
    },
    /// PRIORITY_UPDATE (RFC 9218 section 7.1), by its first field.
    PriorityUpdate {
        /// The stream whose priority it tells.
        prioritized: u32,
    },
    /// An extension or unknown type: kept by its head.
    Other,
    /// The payload contradicts the rules of its type.
    Broken(FrameFault),
    /// Octets of the payload are not in the capture: only the head is known.
    Unseen,
}

/// Stream dependency of HEADERS or PRIORITY (deprecated in RFC 9113 section 5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// Stream it depends on.
    pub depends_on: u32,
    /// Exclusive flag.
    pub exclusive: bool,
    /// Weight minus one.
    pub weight: u8,
}

/// How a frame's payload contradicts its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameFault {
    /// A length that the type does not allow (RFC 9113 sections 6.3 to 6.9).
    Length,
    /// Padding as long as the payload or longer (sections 6.1, 6.2, 6.6).
    Padding,
    /// A header block larger than [`Limits`](super::limits::Limits) allows.
    BlockTooLarge,
}

/// The 24 octets that begin each client's HTTP/2 (RFC 9113 section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The last stream identifier of a GOAWAY that names every stream, so that it says nothing (RFC 9113
/// section 6.8).
pub const LAST_STREAM_MAX: u32 = 0x7fff_ffff;

/// `2^31-1` or the number.
pub fn last_stream(id: u32) -> String {
    if id == LAST_STREAM_MAX { "2^31-1".into() } else { id.to_string() }
}

/// What the HTTP/2 room hands up about one connection.
#[derive(Clone, Copy, Debug)]
pub enum Signal<'a> {
    /// This flow speaks HTTP/2.
    Started {
        /// Packet at which that was certain.
        stamp: Stamp,
        /// How it began.
        how: Transport,
        /// Which half the client sends.
        client: super::address::Half,
    },
    /// An HTTP/1.1 request that asks for h2c became stream 1 (RFC 7540 section 3.2).
    Upgraded {
        /// Packet where the request ended.
        request: Stamp,
        /// Packet of the 101 response.
        response: Stamp,
        /// Pseudo-headers and fields of the request, as HTTP/2 would carry them.
        headers: HeaderList<'a>,
        /// The client's HTTP2-Settings.
        settings: &'a [(SettingId, u32)],
    },
    /// A frame.
    Frame(Frame<'a>),
    /// A frame of more than 16,384 octets has begun: whoever refuses it does so by its head. Its
    /// payload is unseen; it follows as a frame when it is complete.
    Begun(Frame<'a>),
    /// Frames may be missing here: octets lost, or none of the frames found yet.
    Lost {
        /// Where.
        stamp: Stamp,
        /// Whose.
        by: Side,
        /// Octets that the capture lacks or that could not be read as frames.
        bytes: u64,
        /// Whether whole frames may have been in them; false where the gap lay in one frame's
        /// payload.
        frames: bool,
    },
    /// The sender closed in the middle of a frame.
    Incomplete {
        /// Its FIN or RST.
        stamp: Stamp,
        /// Whose frame it is.
        by: Side,
    },
    /// This half stopped being readable as HTTP/2 for good.
    Unreadable {
        /// Where.
        stamp: Stamp,
        /// Whose.
        by: Side,
        /// Whether octets of it were seen that HTTP/2 does not begin with; false where it was
        /// silent or only began the preface.
        foreign: bool,
    },
}

/// How HTTP/2 began on a connection, as the report spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// The client sent the preface at once.
    PriorKnowledge,
    /// HTTP/1.1 Upgrade: h2c.
    Upgrade,
    /// ALPN in TLS.
    Tls,
    /// The beginning was not captured.
    Unknown,
}

packs!(enum Transport { 0 => PriorKnowledge, 1 => Upgrade, 2 => Tls, else Unknown });
