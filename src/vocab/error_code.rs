//! HTTP/2 error codes (RFC 9113 section 7). Unknown numbers survive.

use std::fmt;

use super::pack::packs;

/// An error code of RST_STREAM or GOAWAY.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(pub u32);

packs!(tuple ErrorCode(number));

macro_rules! error_codes {
    ($($constant:ident = $number:literal: $meaning:literal;)*) => {
        impl ErrorCode {
            $(#[doc = $meaning] pub const $constant: Self = Self($number);)*

            /// Name in RFC 9113, where the number has one.
            pub fn name(self) -> Option<&'static str> {
                match self.0 { $($number => Some(stringify!($constant)),)* _ => None }
            }

            /// The code of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $(stringify!($constant) => Some(Self::$constant),)*
                    _ => None,
                }
            }

            /// Meaning in one clause, where the number has one.
            pub fn meaning(self) -> Option<&'static str> {
                match self.0 { $($number => Some($meaning),)* _ => None }
            }
        }
    };
}

error_codes! {
    NO_ERROR = 0x00: "not a result of an error";
    PROTOCOL_ERROR = 0x01: "an unspecific protocol error";
    INTERNAL_ERROR = 0x02: "an unexpected internal error";
    FLOW_CONTROL_ERROR = 0x03: "the peer violated the flow-control protocol";
    SETTINGS_TIMEOUT = 0x04: "SETTINGS were not acknowledged in time";
    STREAM_CLOSED = 0x05: "a frame came on a stream that was half-closed";
    FRAME_SIZE_ERROR = 0x06: "a frame with an invalid size";
    REFUSED_STREAM = 0x07: "the stream was refused before any processing";
    CANCEL = 0x08: "the stream is no longer needed";
    COMPRESSION_ERROR = 0x09: "the field section compression context cannot be kept";
    CONNECT_ERROR = 0x0a: "the connection of a CONNECT request was reset or closed abnormally";
    ENHANCE_YOUR_CALM = 0x0b: "the peer's behaviour might generate excessive load";
    INADEQUATE_SECURITY = 0x0c: "the transport does not meet minimum security requirements";
    HTTP_1_1_REQUIRED = 0x0d: "HTTP/1.1 is required instead of HTTP/2";
}

impl fmt::Display for ErrorCode {
    /// The name, or the number in hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{:#x}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_codes_keep_their_number() {
        assert_eq!(ErrorCode(8).to_string(), "CANCEL");
        assert_eq!(ErrorCode(0xffff_fc78).to_string(), "0xfffffc78");
    }

    #[test]
    fn names_lead_back() {
        assert_eq!(ErrorCode::from_name("CANCEL"), Some(ErrorCode::CANCEL));
        assert_eq!(ErrorCode::from_name("cancel"), None);
    }
}
