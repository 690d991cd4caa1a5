//! Rules of RFC 9113, RFC 7541 and their extensions that a passive observer can check: each with
//! its section, its scope and the error code it calls for.

use super::error_code::ErrorCode;
use super::pack::{Pack, Packer, Unpacker};

/// A rule that an endpoint can break.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable name, as reports print it.
    pub id: &'static str,
    /// RFC and section.
    pub section: &'static str,
    /// Whether breaking it ends a stream or the connection.
    pub scope: Scope,
    /// The error code the RFC calls for.
    pub code: ErrorCode,
    /// The rule in one sentence.
    pub statement: &'static str,
}

/// By its place in the list of all.
impl Pack for &'static Rule {
    fn pack(&self, to: &mut Packer) {
        let place = RULES.iter().position(|rule| std::ptr::eq(*rule, *self));
        place.unwrap_or_default().pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        RULES.get(usize::unpack(from)).copied().unwrap_or(&COPY_DIFFERS)
    }
}

/// What a broken rule costs (RFC 9113 section 5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// A connection error.
    Connection,
    /// A stream error; the receiver may treat it as a connection error.
    Stream,
}

macro_rules! rules {
    ($($constant:ident = $id:literal, $section:literal, $scope:ident, $code:ident, $text:literal;)*) => {
        $(#[doc = $text] pub static $constant: Rule = Rule {
            id: $id, section: $section, scope: Scope::$scope, code: ErrorCode::$code,
            statement: $text,
        };)*

        /// Every rule, in the order of the RFC.
        pub static RULES: &[&Rule] = &[$(&$constant,)*];
    };
}

rules! {
    COPY_DIFFERS = "copy-differs", "RFC 9293 3.8.1", Connection, NO_ERROR,
        "Octets that TCP sends again are the same octets";
    CLIENT_PREFACE = "client-preface", "RFC 9113 3.4", Connection, PROTOCOL_ERROR,
        "First client bytes are the 24-octet preface PRI * HTTP/2.0 CRLF CRLF SM CRLF CRLF";
    CLIENT_SETTINGS_FIRST = "client-settings-first", "RFC 9113 3.4", Connection, PROTOCOL_ERROR,
        "The preface is followed at once by a SETTINGS frame";
    SERVER_SETTINGS_FIRST = "server-settings-first", "RFC 9113 3.4", Connection, PROTOCOL_ERROR,
        "The first frame a server sends is SETTINGS (not an ACK)";
    H2C_NOT_IN_ALPN = "h2c-not-in-alpn", "RFC 9113 3.2", Connection, PROTOCOL_ERROR,
        "h2c is never used as ALPN value";
    FRAME_SIZE_LIMIT = "frame-size-limit", "RFC 9113 4.2", Connection, FRAME_SIZE_ERROR,
        "No frame payload longer than the receiver's SETTINGS_MAX_FRAME_SIZE in force";
    FRAME_SIZE_MIN = "frame-size-min", "RFC 9113 4.2", Connection, FRAME_SIZE_ERROR,
        "A frame must be long enough for its mandatory fields";
    UNKNOWN_FRAME_IN_HEADER_BLOCK = "unknown-frame-in-header-block", "RFC 9113 5.5", Connection, PROTOCOL_ERROR,
        "An extension frame between HEADERS/PUSH_PROMISE and its END_HEADERS is not allowed";
    HEADER_BLOCK_CONTIGUOUS = "header-block-contiguous", "RFC 9113 4.3", Connection, PROTOCOL_ERROR,
        "After HEADERS or PUSH_PROMISE without END_HEADERS only CONTINUATION on the same stream may follow";
    CONTINUATION_WITHOUT_HEADERS = "continuation-without-headers", "RFC 9113 6.10", Connection, PROTOCOL_ERROR,
        "CONTINUATION only after HEADERS, PUSH_PROMISE or CONTINUATION without END_HEADERS";
    CONTINUATION_STREAM_ZERO = "continuation-stream-zero", "RFC 9113 6.10", Connection, PROTOCOL_ERROR,
        "CONTINUATION has a non-zero stream id";
    HPACK_DECODE = "hpack-decode", "RFC 9113 4.3", Connection, COMPRESSION_ERROR,
        "A field block that cannot be decoded";
    HPACK_SIZE_UPDATE_REQUIRED = "hpack-size-update-required", "RFC 9113 4.3.1", Connection, COMPRESSION_ERROR,
        "After acknowledging a smaller SETTINGS_HEADER_TABLE_SIZE the next block starts with a conforming size update";
    HPACK_INDEX_ZERO = "hpack-index-zero", "RFC 7541 6.1", Connection, COMPRESSION_ERROR,
        "Index 0 in an indexed field";
    HPACK_INDEX_RANGE = "hpack-index-range", "RFC 7541 2.3.3", Connection, COMPRESSION_ERROR,
        "Index above static + dynamic table length";
    HPACK_SIZE_UPDATE_LIMIT = "hpack-size-update-limit", "RFC 7541 6.3", Connection, COMPRESSION_ERROR,
        "Dynamic table size update above the protocol limit";
    HPACK_SIZE_UPDATE_POSITION = "hpack-size-update-position", "RFC 7541 4.2", Connection, COMPRESSION_ERROR,
        "Size update only at the start of a block";
    HPACK_INTEGER_OVERFLOW = "hpack-integer-overflow", "RFC 7541 5.1", Connection, COMPRESSION_ERROR,
        "Integer larger than the decoder can hold";
    HPACK_HUFFMAN_PADDING = "hpack-huffman-padding", "RFC 7541 5.2", Connection, COMPRESSION_ERROR,
        "Huffman padding longer than 7 bits or not the EOS prefix";
    HPACK_HUFFMAN_EOS = "hpack-huffman-eos", "RFC 7541 5.2", Connection, COMPRESSION_ERROR,
        "Huffman string contains EOS";
    IDLE_STREAM_FRAME = "idle-stream-frame", "RFC 9113 5.1", Connection, PROTOCOL_ERROR,
        "On an idle stream only HEADERS or PRIORITY may arrive";
    RESERVED_LOCAL_SEND = "reserved-local-send", "RFC 9113 5.1", Connection, PROTOCOL_ERROR,
        "On reserved (local) only HEADERS, RST_STREAM, PRIORITY may be sent";
    HALF_CLOSED_REMOTE_FRAME = "half-closed-remote-frame", "RFC 9113 5.1", Stream, STREAM_CLOSED,
        "After END_STREAM only WINDOW_UPDATE, PRIORITY, RST_STREAM may follow from that side";
    CLOSED_STREAM_FRAME = "closed-stream-frame", "RFC 9113 5.1", Connection, STREAM_CLOSED,
        "No frames other than PRIORITY on a closed stream";
    FRAME_AFTER_OWN_RST = "frame-after-own-rst", "RFC 9113 5.1", Connection, STREAM_CLOSED,
        "The sender of RST_STREAM sends no more frames (except PRIORITY) on that stream";
    CLIENT_STREAM_IDS_ODD = "client-stream-ids-odd", "RFC 9113 5.1.1", Connection, PROTOCOL_ERROR,
        "Client-opened stream ids are odd";
    STREAM_IDS_INCREASE = "stream-ids-increase", "RFC 9113 5.1.1", Connection, PROTOCOL_ERROR,
        "A new stream id is greater than all ids its side has used";
    MAX_CONCURRENT_STREAMS = "max-concurrent-streams", "RFC 9113 5.1.2", Stream, PROTOCOL_ERROR,
        "Open + half-closed streams never exceed the peer's SETTINGS_MAX_CONCURRENT_STREAMS";
    CONNECTION_ERROR_CLOSES = "connection-error-closes", "RFC 9113 5.4.1", Connection, NO_ERROR,
        "After an error GOAWAY the sender closes the TCP connection";
    DATA_STREAM_ZERO = "data-stream-zero", "RFC 9113 6.1", Connection, PROTOCOL_ERROR,
        "DATA on stream 0";
    DATA_PADDING = "data-padding", "RFC 9113 6.1", Connection, PROTOCOL_ERROR,
        "Pad length must be smaller than the payload";
    DATA_BEFORE_HEADERS = "data-before-headers", "RFC 9113 8.1", Stream, PROTOCOL_ERROR,
        "DATA before any HEADERS on a stream";
    HEADERS_STREAM_ZERO = "headers-stream-zero", "RFC 9113 6.2", Connection, PROTOCOL_ERROR,
        "HEADERS on stream 0";
    HEADERS_PADDING = "headers-padding", "RFC 9113 6.2", Connection, PROTOCOL_ERROR,
        "Pad length must be smaller than the payload";
    HEADERS_SELF_DEPENDENCY = "headers-self-dependency", "RFC 7540 5.3.1", Stream, PROTOCOL_ERROR,
        "A stream depends on itself";
    PRIORITY_STREAM_ZERO = "priority-stream-zero", "RFC 9113 6.3", Connection, PROTOCOL_ERROR,
        "PRIORITY on stream 0";
    PRIORITY_LENGTH = "priority-length", "RFC 9113 6.3", Stream, FRAME_SIZE_ERROR,
        "PRIORITY length is 5";
    RST_STREAM_ZERO = "rst-stream-zero", "RFC 9113 6.4", Connection, PROTOCOL_ERROR,
        "RST_STREAM on stream 0";
    RST_IDLE = "rst-idle", "RFC 9113 6.4", Connection, PROTOCOL_ERROR,
        "RST_STREAM on an idle stream";
    RST_LENGTH = "rst-length", "RFC 9113 6.4", Connection, FRAME_SIZE_ERROR,
        "RST_STREAM length is 4";
    RST_THEN_SILENT = "rst-then-silent", "RFC 9113 6.4", Stream, STREAM_CLOSED,
        "The receiver of RST_STREAM sends no further frames on it except PRIORITY";
    SETTINGS_ACK_EMPTY = "settings-ack-empty", "RFC 9113 6.5", Connection, FRAME_SIZE_ERROR,
        "SETTINGS ACK has no payload";
    SETTINGS_STREAM_NONZERO = "settings-stream-nonzero", "RFC 9113 6.5", Connection, PROTOCOL_ERROR,
        "SETTINGS on a stream other than 0";
    SETTINGS_LENGTH = "settings-length", "RFC 9113 6.5", Connection, FRAME_SIZE_ERROR,
        "SETTINGS length is a multiple of 6";
    SETTINGS_ENABLE_PUSH_VALUE = "settings-enable-push-value", "RFC 9113 6.5.2", Connection, PROTOCOL_ERROR,
        "ENABLE_PUSH is 0 or 1";
    SETTINGS_SERVER_ENABLE_PUSH = "settings-server-enable-push", "RFC 9113 6.5.2", Connection, PROTOCOL_ERROR,
        "A server does not send ENABLE_PUSH=1";
    SETTINGS_INITIAL_WINDOW_MAX = "settings-initial-window-max", "RFC 9113 6.5.2", Connection, FLOW_CONTROL_ERROR,
        "INITIAL_WINDOW_SIZE <= 2^31-1";
    SETTINGS_MAX_FRAME_RANGE = "settings-max-frame-range", "RFC 9113 6.5.2", Connection, PROTOCOL_ERROR,
        "MAX_FRAME_SIZE between 16384 and 16777215";
    SETTINGS_ACK_REQUIRED = "settings-ack-required", "RFC 9113 6.5.3", Connection, SETTINGS_TIMEOUT,
        "Every SETTINGS is acknowledged once, in order, after applying";
    SETTINGS_ACK_UNEXPECTED = "settings-ack-unexpected", "RFC 9113 6.5.3", Connection, PROTOCOL_ERROR,
        "No ACK without an outstanding SETTINGS";
    PUSH_DISABLED = "push-disabled", "RFC 9113 6.6", Connection, PROTOCOL_ERROR,
        "No PUSH_PROMISE when the client's ENABLE_PUSH=0 is acknowledged";
    PUSH_STREAM_ZERO = "push-stream-zero", "RFC 9113 6.6", Connection, PROTOCOL_ERROR,
        "PUSH_PROMISE on stream 0";
    PUSH_PARENT_STATE = "push-parent-state", "RFC 9113 6.6", Connection, PROTOCOL_ERROR,
        "PUSH_PROMISE only on an open or half-closed(remote) peer-initiated stream";
    PUSH_PROMISED_ID = "push-promised-id", "RFC 9113 6.6", Connection, PROTOCOL_ERROR,
        "Promised id is even, new and idle";
    PUSH_FROM_CLIENT = "push-from-client", "RFC 9113 8.4", Connection, PROTOCOL_ERROR,
        "A client never sends PUSH_PROMISE";
    PUSH_PADDING = "push-padding", "RFC 9113 6.6", Connection, PROTOCOL_ERROR,
        "Pad length must be smaller than the payload";
    PUSH_UNSAFE_METHOD = "push-unsafe-method", "RFC 9113 8.4", Stream, PROTOCOL_ERROR,
        "Promised request must be safe, cacheable and without content";
    PING_STREAM_NONZERO = "ping-stream-nonzero", "RFC 9113 6.7", Connection, PROTOCOL_ERROR,
        "PING on a stream other than 0";
    PING_LENGTH = "ping-length", "RFC 9113 6.7", Connection, FRAME_SIZE_ERROR,
        "PING length is 8";
    PING_ACK_REQUIRED = "ping-ack-required", "RFC 9113 6.7", Connection, NO_ERROR,
        "A PING is answered by a PING ACK with the same payload";
    PING_NO_ACK_TO_ACK = "ping-no-ack-to-ack", "RFC 9113 6.7", Connection, NO_ERROR,
        "A PING ACK is not answered";
    ACCUSES_WITHOUT_BREACH = "accuses-without-breach", "RFC 9113 7", Connection, NO_ERROR,
        "The code of a GOAWAY names what was detected: a peer that broke no rule is not accused";
    GOAWAY_STREAM_NONZERO = "goaway-stream-nonzero", "RFC 9113 6.8", Connection, PROTOCOL_ERROR,
        "GOAWAY on a stream other than 0";
    GOAWAY_LAST_ID_NOT_INCREASE = "goaway-last-id-not-increase", "RFC 9113 6.8", Connection, PROTOCOL_ERROR,
        "last_stream_id never grows between GOAWAYs";
    GOAWAY_LAST_ID_COVERS_PROCESSED = "goaway-last-id-covers-processed", "RFC 9113 8.7", Connection, PROTOCOL_ERROR,
        "last_stream_id is not below any stream the server has passed to its application";
    GOAWAY_NO_NEW_STREAMS = "goaway-no-new-streams", "RFC 9113 6.8", Stream, NO_ERROR,
        "Whoever received a GOAWAY opens no more streams";
    REFUSED_STREAM_UNTOUCHED = "refused-stream-untouched", "RFC 9113 8.7", Stream, REFUSED_STREAM,
        "A server refuses a stream only if it has processed nothing of it";
    GOAWAY_LENGTH = "goaway-length", "RFC 9113 6.8", Connection, FRAME_SIZE_ERROR,
        "GOAWAY payload is at least 8 octets";
    WINDOW_UPDATE_ZERO_STREAM = "window-update-zero-stream", "RFC 9113 6.9", Stream, PROTOCOL_ERROR,
        "WINDOW_UPDATE increment 0 on a stream";
    WINDOW_UPDATE_ZERO_CONN = "window-update-zero-conn", "RFC 9113 6.9", Connection, PROTOCOL_ERROR,
        "WINDOW_UPDATE increment 0 on stream 0";
    WINDOW_UPDATE_LENGTH = "window-update-length", "RFC 9113 6.9", Connection, FRAME_SIZE_ERROR,
        "WINDOW_UPDATE length is 4";
    FLOW_STREAM_WINDOW = "flow-stream-window", "RFC 9113 6.9.1", Stream, FLOW_CONTROL_ERROR,
        "DATA never exceeds the stream window";
    FLOW_CONN_WINDOW = "flow-conn-window", "RFC 9113 6.9.1", Connection, FLOW_CONTROL_ERROR,
        "DATA never exceeds the connection window";
    FLOW_STREAM_OVERFLOW = "flow-stream-overflow", "RFC 9113 6.9.1", Stream, FLOW_CONTROL_ERROR,
        "WINDOW_UPDATE does not lift a stream window over 2^31-1";
    FLOW_CONN_OVERFLOW = "flow-conn-overflow", "RFC 9113 6.9.1", Connection, FLOW_CONTROL_ERROR,
        "WINDOW_UPDATE does not lift the connection window over 2^31-1";
    FLOW_SETTINGS_OVERFLOW = "flow-settings-overflow", "RFC 9113 6.9.2", Connection, FLOW_CONTROL_ERROR,
        "INITIAL_WINDOW_SIZE change does not lift any stream window over 2^31-1";
    FLOW_NEGATIVE_WINDOW = "flow-negative-window", "RFC 9113 6.9.2", Stream, FLOW_CONTROL_ERROR,
        "With a negative window nothing flow-controlled is sent until it is positive";
    MSG_REQUEST_PSEUDO_MANDATORY = "msg-request-pseudo-mandatory", "RFC 9113 8.3.1", Stream, PROTOCOL_ERROR,
        "A request has exactly one :method, :scheme, :path (not CONNECT)";
    MSG_RESPONSE_STATUS = "msg-response-status", "RFC 9113 8.3.2", Stream, PROTOCOL_ERROR,
        "A response has :status";
    MSG_PSEUDO_ORDER = "msg-pseudo-order", "RFC 9113 8.3", Stream, PROTOCOL_ERROR,
        "Pseudo-header fields come before regular fields";
    MSG_PSEUDO_DUPLICATE = "msg-pseudo-duplicate", "RFC 9113 8.3", Stream, PROTOCOL_ERROR,
        "No pseudo-header field twice";
    MSG_PSEUDO_UNKNOWN = "msg-pseudo-unknown", "RFC 9113 8.3", Stream, PROTOCOL_ERROR,
        "No undefined pseudo-header fields, no request ones in responses and the other way round";
    MSG_PSEUDO_IN_TRAILERS = "msg-pseudo-in-trailers", "RFC 9113 8.1", Stream, PROTOCOL_ERROR,
        "No pseudo-header fields in trailers";
    MSG_PATH_EMPTY = "msg-path-empty", "RFC 9113 8.3.1", Stream, PROTOCOL_ERROR,
        ":path is not empty for http/https";
    MSG_AUTHORITY_HOST = "msg-authority-host", "RFC 9113 8.3.1", Stream, PROTOCOL_ERROR,
        "Host equals :authority when both exist";
    MSG_UPPERCASE = "msg-uppercase", "RFC 9113 8.2", Stream, PROTOCOL_ERROR,
        "Field names are lowercase";
    MSG_NAME_CHARS = "msg-name-chars", "RFC 9113 8.2.1", Stream, PROTOCOL_ERROR,
        "No 0x00-0x20, 0x41-0x5a, 0x7f-0xff or inner colon in names";
    MSG_VALUE_CHARS = "msg-value-chars", "RFC 9113 8.2.1", Stream, PROTOCOL_ERROR,
        "No NUL, CR, LF in values, no leading or trailing space or tab";
    MSG_CONNECTION_HEADERS = "msg-connection-headers", "RFC 9113 8.2.2", Stream, PROTOCOL_ERROR,
        "No connection, proxy-connection, keep-alive, transfer-encoding, upgrade";
    MSG_TE = "msg-te", "RFC 9113 8.2.2", Stream, PROTOCOL_ERROR,
        "te is absent or 'trailers', and absent in responses";
    MSG_CONTENT_LENGTH = "msg-content-length", "RFC 9113 8.1.1", Stream, PROTOCOL_ERROR,
        "content-length equals the sum of DATA payload lengths";
    MSG_TRAILERS_END_STREAM = "msg-trailers-end-stream", "RFC 9113 8.1", Stream, PROTOCOL_ERROR,
        "A second HEADERS (trailers) carries END_STREAM";
    MSG_1XX_END_STREAM = "msg-1xx-end-stream", "RFC 9113 8.1", Stream, PROTOCOL_ERROR,
        "A 1xx HEADERS has no END_STREAM";
    CONNECT_NO_SCHEME_PATH = "connect-no-scheme-path", "RFC 9113 8.5", Stream, PROTOCOL_ERROR,
        "CONNECT has :authority, and no :scheme and :path";
    CONNECT_FRAMES = "connect-frames", "RFC 9113 8.5", Stream, PROTOCOL_ERROR,
        "On a CONNECT stream only DATA, RST_STREAM, WINDOW_UPDATE, PRIORITY";
    TLS_VERSION = "tls-version", "RFC 9113 9.2", Connection, INADEQUATE_SECURITY,
        "TLS 1.2 or higher";
    TLS_BAD_CIPHER = "tls-bad-cipher", "RFC 9113 9.2.2", Connection, INADEQUATE_SECURITY,
        "TLS 1.2 with a prohibited cipher suite, which a peer may treat as an error";
    TLS_RENEGOTIATION = "tls-renegotiation", "RFC 9113 9.2.1", Connection, PROTOCOL_ERROR,
        "No TLS 1.2 renegotiation after the preface";
    TLS_POST_HANDSHAKE_AUTH = "tls13-post-handshake-auth", "RFC 9113 9.2.3", Connection, PROTOCOL_ERROR,
        "No TLS 1.3 CertificateRequest after the handshake";
    PRIORITY_UPDATE_STREAM_NONZERO = "priority-update-stream-nonzero", "RFC 9218 7.1", Connection, PROTOCOL_ERROR,
        "PRIORITY_UPDATE (0x10) frame header stream id is 0";
    PRIORITY_UPDATE_ID_ZERO = "priority-update-id-zero", "RFC 9218 7.1", Connection, PROTOCOL_ERROR,
        "Prioritized stream id is not 0";
    PRIORITY_UPDATE_FROM_SERVER = "priority-update-from-server", "RFC 9218 7.1", Connection, PROTOCOL_ERROR,
        "Servers never send PRIORITY_UPDATE";
    PRIORITY_UPDATE_IDLE_PUSH = "priority-update-idle-push", "RFC 9218 7.1", Connection, PROTOCOL_ERROR,
        "PRIORITY_UPDATE for a push stream in idle state";
    NO_RFC7540_PRIORITIES_VALUE = "no-rfc7540-priorities-value", "RFC 9218 2.1", Connection, PROTOCOL_ERROR,
        "SETTINGS_NO_RFC7540_PRIORITIES (0x9) is 0 or 1 and does not change after the first SETTINGS";
    EXTENDED_CONNECT_SETTING = "extended-connect-setting", "RFC 8441 3", Connection, PROTOCOL_ERROR,
        "ENABLE_CONNECT_PROTOCOL (0x8) never goes back from 1 to 0";
    EXTENDED_CONNECT_UNSUPPORTED = "extended-connect-unsupported", "RFC 8441 4", Stream, PROTOCOL_ERROR,
        ":protocol without the server's setting is a malformed request";
}

/// A rule that is never told under its own name.
#[derive(Debug, PartialEq, Eq)]
pub struct Untold {
    /// Stable name.
    pub id: &'static str,
    /// RFC and section.
    pub section: &'static str,
    /// The rule in one sentence.
    pub statement: &'static str,
    /// Under which rules its breach is told; empty where it is not told at all.
    pub told_as: &'static [&'static Rule],
    /// Why.
    pub why: &'static str,
}

/// Rules that others cover, and rules of which no capture tells for certain.
pub static UNTOLD: &[Untold] = &[
    Untold {
        id: "preface-settings-acked",
        section: "RFC 9113 3.4",
        statement: "Preface SETTINGS are acknowledged",
        told_as: &[&SETTINGS_ACK_REQUIRED],
        why: "They are acknowledged like any other SETTINGS.",
    },
    Untold {
        id: "reserved-remote-recv",
        section: "RFC 9113 5.1",
        statement: "On reserved (remote) only HEADERS, RST_STREAM, PRIORITY may be received",
        told_as: &[&RESERVED_LOCAL_SEND],
        why: "It is the same state, seen by the other side.",
    },
    Untold {
        id: "frame-after-own-end-stream",
        section: "RFC 9113 5.1",
        statement: "No DATA or HEADERS after own END_STREAM",
        told_as: &[&HALF_CLOSED_REMOTE_FRAME, &CLOSED_STREAM_FRAME],
        why: "It depends on whether the other side had ended the stream, too.",
    },
    Untold {
        id: "server-stream-ids-even",
        section: "RFC 9113 5.1.1",
        statement: "Server-opened (pushed) stream ids are even",
        told_as: &[&PUSH_PROMISED_ID],
        why: "Servers open streams with PUSH_PROMISE alone.",
    },
    Untold {
        id: "stream-id-not-reused",
        section: "RFC 9113 5.1.1",
        statement: "Stream ids are never reused",
        told_as: &[&CLOSED_STREAM_FRAME, &HALF_CLOSED_REMOTE_FRAME, &FRAME_AFTER_OWN_RST],
        why: "HEADERS that reuse an id are frames on a closed stream.",
    },
    Untold {
        id: "data-not-open",
        section: "RFC 9113 6.1",
        statement: "DATA only on a stream that is open for its sender",
        told_as: &[
            &HALF_CLOSED_REMOTE_FRAME,
            &CLOSED_STREAM_FRAME,
            &FRAME_AFTER_OWN_RST,
            &IDLE_STREAM_FRAME,
        ],
        why: "It depends on how the stream had closed.",
    },
    Untold {
        id: "settings-malformed",
        section: "RFC 9113 6.5",
        statement: "Badly formed SETTINGS",
        told_as: &[&SETTINGS_LENGTH, &SETTINGS_ACK_EMPTY],
        why: "Any octets of the right length are SETTINGS.",
    },
    Untold {
        id: "goaway-before-close",
        section: "RFC 9113 5.4.1",
        statement: "GOAWAY should precede any close",
        told_as: &[],
        why: "Not told: endpoints should, but need not, and most clients do not. The verdict says \
              where a connection was closed without GOAWAY.",
    },
    Untold {
        id: "no-rst-answer-to-rst",
        section: "RFC 9113 5.4.2",
        statement: "No RST_STREAM in answer to RST_STREAM",
        told_as: &[],
        why: "Not told: two that cross on their way look the same in a capture.",
    },
    Untold {
        id: "padding-nonzero",
        section: "RFC 9113 6.1",
        statement: "Padding octets are zero",
        told_as: &[],
        why: "Not checked: receivers need not look, and this program keeps no octets of bodies.",
    },
    Untold {
        id: "connect-tcp-error",
        section: "RFC 9113 8.5",
        statement: "A TCP error behind a CONNECT proxy becomes RST_STREAM(CONNECT_ERROR)",
        told_as: &[],
        why: "A capture of this connection cannot show it: the error is on another one.",
    },
    Untold {
        id: "enhance-your-calm",
        section: "RFC 9113 10.5",
        statement: "Excessive behaviour may be answered with ENHANCE_YOUR_CALM",
        told_as: &[],
        why: "No rule but a right: see rapid_reset_protection, flood_protection, too_many_pings.",
    },
    Untold {
        id: "priority-update-parse",
        section: "RFC 9218 7.1",
        statement: "The value of PRIORITY_UPDATE is a dictionary of structured fields",
        told_as: &[],
        why: "Not checked: receivers may, and do, ignore what they cannot read.",
    },
];

impl Rule {
    /// The rule with this id.
    pub fn find(id: &str) -> Option<&'static Self> {
        RULES.iter().find(|rule| rule.id == id).copied()
    }
}
