//! HTTP/2 settings (RFC 9113 section 6.5.2 and the IANA registry). Unknown ids survive.

use std::fmt;

use super::pack::packs;

/// Identifier of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SettingId(pub u16);

packs!(tuple SettingId(number));

/// Frame payloads of so many octets every endpoint takes, also without MAX_FRAME_SIZE (RFC 9113
/// section 4.2).
pub const FRAME_SIZE_LEAST: u32 = 16_384;

macro_rules! settings {
    ($($constant:ident = $number:literal: $meaning:literal;)*) => {
        impl SettingId {
            $(#[doc = $meaning] pub const $constant: Self = Self($number);)*

            /// Registered name, without the SETTINGS_ prefix.
            pub fn name(self) -> Option<&'static str> {
                match self.0 { $($number => Some(stringify!($constant)),)* _ => None }
            }

            /// The setting of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $(stringify!($constant) => Some(Self::$constant),)*
                    _ => None,
                }
            }
        }
    };
}

settings! {
    HEADER_TABLE_SIZE = 0x1: "Largest HPACK dynamic table the sender can decode with, in octets; 4,096 unless set.";
    ENABLE_PUSH = 0x2: "Whether the sender accepts pushes; 1 unless set.";
    MAX_CONCURRENT_STREAMS = 0x3: "Streams the sender lets the peer have open; unlimited unless set.";
    INITIAL_WINDOW_SIZE = 0x4: "Stream window the sender grants, in octets; 65,535 unless set.";
    MAX_FRAME_SIZE = 0x5: "Largest frame payload the sender accepts, in octets; 16,384 unless set.";
    MAX_HEADER_LIST_SIZE = 0x6: "Largest header list the sender accepts, in octets; unlimited unless set.";
    ENABLE_CONNECT_PROTOCOL = 0x8: "Extended CONNECT (RFC 8441).";
    NO_RFC7540_PRIORITIES = 0x9: "Extensible priorities (RFC 9218).";
}

impl fmt::Display for SettingId {
    /// The name, or the number in hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{:#x}", self.0),
        }
    }
}
