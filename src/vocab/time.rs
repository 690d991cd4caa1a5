//! Packet time, and the stamp that ties a fact to a packet.

use std::num::NonZeroU64;
use std::time::Duration;

use super::pack::{Pack, Packer, Unpacker};

/// Nanoseconds since the Unix epoch, as the capture tells them; never this machine's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// From whole seconds and nanoseconds; saturates at the ends of the range.
    pub fn from_parts(seconds: i64, nanoseconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds))
    }

    /// Time passed since `earlier`; zero where `earlier` is later (captures may run backwards).
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This time moved forward by `span`.
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
    }
}

/// Where and when a fact was captured: capture index (0-based), packet number (1-based, in its
/// file, as Wireshark counts) and packet time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Packet time.
    pub at: Timestamp,
    /// Capture index in the upper 16 bits, packet number plus one in the lower 48: never zero, so
    /// that an `Option<Stamp>` takes no more room than a stamp.
    place: NonZeroU64,
}

impl Default for Stamp {
    fn default() -> Self {
        Self::new(0, 0, Timestamp::default())
    }
}

impl Stamp {
    const PACKET_BITS: u32 = 48;
    /// No file has as many packets.
    const PACKET_MAX: u64 = (1 << Self::PACKET_BITS) - 2;

    /// A stamp for packet `packet` (1-based) of capture `capture` (0-based).
    pub fn new(capture: u16, packet: u64, at: Timestamp) -> Self {
        let packet = packet.min(Self::PACKET_MAX) + 1;
        let place = (u64::from(capture) << Self::PACKET_BITS) | packet;
        Self { at, place: NonZeroU64::MIN.saturating_add(place - 1) }
    }

    /// The packet's 1-based number in its file.
    pub fn packet(self) -> u64 {
        (self.place.get() & ((1 << Self::PACKET_BITS) - 1)) - 1
    }

    /// Index of the capture file, from 0.
    pub fn capture(self) -> usize {
        (self.place.get() >> Self::PACKET_BITS) as usize
    }

    /// The packet's number over all captures; in the first one its number there.
    pub fn number(self) -> u64 {
        self.place.get() - 1
    }

    /// Time since an earlier stamp; zero where it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        self.at.since(earlier.at)
    }

    /// Time between the two, whichever came first.
    pub fn apart(self, other: Self) -> Duration {
        self.since(other).max(other.since(self))
    }

    /// Sort key: time first, then capture and packet.
    pub fn order(self) -> (i64, u64) {
        (self.at.0, self.place.get())
    }

    /// Whether this stamp lies before `other` in time, then in packet order.
    pub fn before(self, other: Self) -> bool {
        self.order() < other.order()
    }
}

/// By what lies between it and the stamp before: stamps of one connection are close together.
impl Pack for Stamp {
    #[inline]
    fn pack(&self, to: &mut Packer) {
        let last = to.after(*self);
        to.signed(self.place.get().wrapping_sub(last.place.get()) as i64);
        to.signed(self.at.0.wrapping_sub(last.at.0));
    }

    #[inline]
    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let (place, at) = (from.signed(), from.signed());
        let last = from.last();
        let place = last.place.get().wrapping_add_signed(place);
        last.place = NonZeroU64::new(place).unwrap_or(NonZeroU64::MIN);
        last.at.0 = last.at.0.wrapping_add(at);
        *last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_keeps_capture_and_packet_apart() {
        let stamp = Stamp::new(3, 1 << 40, Timestamp(5));
        assert_eq!((stamp.capture(), stamp.packet()), (3, 1 << 40));
        assert_eq!(stamp.number(), 3 << 48 | 1 << 40);
        assert_eq!((Stamp::default().capture(), Stamp::default().packet()), (0, 0));
        let last = Stamp::new(u16::MAX, u64::MAX, Timestamp(5));
        assert_eq!((last.capture(), last.packet()), (0xffff, (1 << 48) - 2));
        assert_eq!(size_of::<Option<Stamp>>(), size_of::<Stamp>());
    }

    #[test]
    fn time_that_runs_backwards_is_no_time() {
        assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
        assert_eq!(Timestamp(9).since(Timestamp(5)), Duration::from_nanos(4));
    }
}
