//! What one look at the buffer gives, whatever the format.

use std::ops::Range;

use crate::vocab::packet::LinkType;
use crate::vocab::time::Timestamp;

/// One packet record in the buffer, by its place.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// Packet time.
    pub(super) at: Timestamp,
    /// Link type of its interface.
    pub(super) link: LinkType,
    /// Length on the wire in octets.
    pub(super) wire_length: u32,
    /// Number of its interface in the file or section, from 0.
    pub(super) interface: u32,
    /// Octets of frame check sequence at the end.
    pub(super) fcs_length: u8,
    /// Where its octets lie, from the start of the unread data.
    pub(super) place: Range<usize>,
}

/// What stands first in the unread data.
#[derive(Debug)]
pub(super) enum Step {
    /// A packet, in a record of so many octets.
    Packet(Record, usize),
    /// Something that is no packet, of so many octets.
    Other(usize),
    /// An incomplete record: so many octets from its start are needed to go on.
    More(usize),
    /// Something that cannot be read, and so nothing behind it either.
    Damage(String),
}

/// Byte order of a file or section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Least significant octet first.
    Little,
    /// Most significant octet first.
    Big,
}

impl Order {
    /// The two octets at `at`, or zero behind the end.
    pub(super) fn u16(self, data: &[u8], at: usize) -> u16 {
        let octets = data.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
        match self {
            Self::Little => u16::from_le_bytes(octets),
            Self::Big => u16::from_be_bytes(octets),
        }
    }

    /// The four octets at `at`, or zero behind the end.
    #[inline]
    pub(super) fn u32(self, data: &[u8], at: usize) -> u32 {
        let octets = data.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
        match self {
            Self::Little => u32::from_le_bytes(octets),
            Self::Big => u32::from_be_bytes(octets),
        }
    }

    /// The eight octets at `at`, or zero behind the end.
    pub(super) fn u64(self, data: &[u8], at: usize) -> u64 {
        let octets = data.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
        match self {
            Self::Little => u64::from_le_bytes(octets),
            Self::Big => u64::from_be_bytes(octets),
        }
    }
}

/// Octets that one record may have: what a buffer may grow to. libpcap stops at 256 KiB for
/// packets; blocks of pcapng that hold names or keys are larger.
pub(super) const RECORD_MAX: usize = 16 * 1024 * 1024;
/// Octets of one captured packet unless the file announces a larger snap length (libpcap's
/// MAXIMUM_SNAPLEN).
pub(super) const PACKET_MAX: usize = 256 * 1024;
