//! One TCP segment (RFC 9293), and arithmetic on sequence numbers.

use super::address::Endpoint;
use super::pack::packs;
use super::time::Stamp;

/// One TCP segment as a packet carried it.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Capture, packet number and time.
    pub stamp: Stamp,
    /// Sender.
    pub source: Endpoint,
    /// Receiver.
    pub destination: Endpoint,
    /// Sequence number field.
    pub seq: Seq,
    /// Acknowledgement number field; meaningful only with [`TcpFlags::ACK`].
    pub ack: Seq,
    /// Control bits.
    pub flags: TcpFlags,
    /// Window field, unscaled.
    pub window: u16,
    /// Payload octets that were captured.
    pub payload: &'a [u8],
    /// Payload octets that were on the wire behind `payload` but not captured (snap length).
    pub cut: u32,
}

/// TCP control bits (RFC 9293 section 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// No more data from sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronize sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push function.
    pub const PSH: Self = Self(0x08);
    /// Acknowledgement field is significant.
    pub const ACK: Self = Self(0x10);

    /// Whether every bit of `wanted` is set.
    pub fn has(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }
}

/// A TCP sequence number: wraps at 2^32, so it has no plain order (RFC 9293 section 3.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seq(pub u32);

packs!(tuple Seq(number));

impl Seq {
    /// This number moved forward by `octets`.
    pub fn plus(self, octets: u32) -> Self {
        Self(self.0.wrapping_add(octets))
    }

    /// Signed distance from `origin` to this number: positive where this one is ahead. Right
    /// while the two lie within 2^31 of each other.
    pub fn ahead_of(self, origin: Self) -> i32 {
        self.0.wrapping_sub(origin.0) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_survives_the_wrap() {
        assert_eq!(Seq(3).ahead_of(Seq(u32::MAX - 1)), 5);
        assert_eq!(Seq(u32::MAX - 1).ahead_of(Seq(3)), -5);
        assert_eq!(Seq(u32::MAX).plus(2), Seq(1));
    }
}
