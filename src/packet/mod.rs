//! Room 2, packet: takes captured packets, gives TCP segments, or why there is none.
//!
//! Removes link headers, tags and tunnels, and joins IP fragments; fragments are its only state.
//! Never looks at the order of segments, and never fails or panics whatever the octets are.

mod fragment;
mod ip;
mod link;
mod tunnel;

use self::fragment::{Datagram, Fragment, Fragments};
use crate::vocab::limits::Limits;
use crate::vocab::packet::{Packet, Skip};
use crate::vocab::segment::Segment;
use crate::vocab::time::Stamp;

/// Turns packets into segments.
pub struct Decoder {
    tunnel_depth: usize,
    fragments: Fragments,
    /// The datagram that the latest packet completed; its segment borrows from here.
    whole: Datagram,
}

impl Decoder {
    /// A decoder that has seen nothing.
    pub fn new(limits: &Limits) -> Self {
        Self {
            tunnel_depth: limits.tunnel_depth,
            fragments: Fragments::new(limits),
            whole: Datagram::default(),
        }
    }

    /// The TCP segment that `packet` carries, or completes as a fragment.
    ///
    /// # Errors
    ///
    /// Why there is no segment.
    #[inline]
    pub fn decode<'a>(&'a mut self, packet: &Packet<'a>) -> Result<Segment<'a>, Skip> {
        let frame = Frame::of(packet);
        let start = link::first(packet.link, frame.data, short(frame.missing))?;
        let mut walk = Walk::new(packet.stamp, frame.missing, self.tunnel_depth);
        match walk.run(start)? {
            Found::Segment(segment) => Ok(segment),
            Found::Fragment(fragment) => {
                let datagram = self.fragments.add(packet.stamp.at, &fragment)?;
                self.decode_whole(packet.stamp, datagram)
            }
        }
    }

    /// Fragments that were answered with [`Skip::Fragment`] and have become part of a whole
    /// datagram since: they are no loss. Grows; compare it before and after a packet.
    pub fn joined_fragments(&self) -> u64 {
        self.fragments.joined()
    }

    /// Unfinished datagrams forgotten early because [`Limits::fragmented_datagrams`] was reached.
    pub fn evicted_datagrams(&self) -> u64 {
        self.fragments.evicted()
    }

    /// Decodes a reassembled datagram, which may hold fragments of another one inside a tunnel.
    #[inline(never)]
    fn decode_whole(&mut self, stamp: Stamp, datagram: Datagram) -> Result<Segment<'_>, Skip> {
        self.whole = datagram;
        for _ in 0..=self.tunnel_depth {
            let mut walk = Walk::new(stamp, 0, self.tunnel_depth);
            let inner = match walk.run(Layer::Payload(self.whole.payload()))? {
                Found::Segment(_) => break,
                Found::Fragment(fragment) => self.fragments.add(stamp.at, &fragment)?,
            };
            self.whole = inner;
        }
        // Once more for the caller: a segment found above cannot outlive a loop that may replace
        // what it borrows from.
        let mut walk = Walk::new(stamp, 0, self.tunnel_depth);
        match walk.run(Layer::Payload(self.whole.payload()))? {
            Found::Segment(segment) => Ok(segment),
            Found::Fragment(_) => Err(Skip::TooDeep),
        }
    }
}

/// A packet's octets without its frame check sequence.
struct Frame<'a> {
    data: &'a [u8],
    /// Octets behind `data` that were not captured.
    missing: u32,
}

impl<'a> Frame<'a> {
    #[inline]
    fn of(packet: &Packet<'a>) -> Self {
        let wire = packet.wire_length.saturating_sub(u32::from(packet.fcs_length));
        let data = if packet.fcs_length == 0 {
            packet.data
        } else {
            let octets = usize::try_from(wire).unwrap_or(usize::MAX);
            packet.data.get(..octets).unwrap_or(packet.data)
        };
        let captured = u32::try_from(data.len()).unwrap_or(u32::MAX);
        Self { data, missing: wire.saturating_sub(captured) }
    }
}

/// What stands at the front of the octets left.
#[derive(Clone, Copy, Debug)]
enum Layer<'a> {
    /// An Ethernet frame, from its destination address on.
    Ethernet(&'a [u8]),
    /// What an EtherType announced.
    EtherType(u16, &'a [u8]),
    /// An IP packet; its first nibble tells the version.
    Ip(&'a [u8]),
    /// What an IP header announced.
    Payload(ip::Payload<'a>),
}

/// Where a walk through the headers ends, if it ends well.
enum Found<'a> {
    Segment(Segment<'a>),
    Fragment(Fragment<'a>),
}

/// The way through one packet's headers, outside in.
struct Walk {
    stamp: Stamp,
    /// Octets known to be missing behind the octets left.
    missing: u32,
    /// Tags and tunnel headers that may still be removed.
    tunnels_left: usize,
    /// IPv6 extension headers that may still be passed.
    extensions_left: usize,
}

impl Walk {
    #[inline]
    fn new(stamp: Stamp, missing: u32, tunnels_left: usize) -> Self {
        Self { stamp, missing, tunnels_left, extensions_left: EXTENSIONS_MAX }
    }

    #[inline]
    fn run<'a>(&mut self, start: Layer<'a>) -> Result<Found<'a>, Skip> {
        let mut layer = start;
        loop {
            layer = match layer {
                Layer::Ethernet(frame) => link::ethernet(frame, self.short())?,
                Layer::EtherType(link::IPV4 | link::IPV6, data) => Layer::Ip(data),
                Layer::EtherType(kind, data) => {
                    let inner = tunnel::ether_type(kind, data, self.short())?;
                    self.tunnel()?;
                    inner
                }
                Layer::Ip(packet) => match ip::open(packet, &mut self.missing)? {
                    ip::Opened::Payload(payload) => Layer::Payload(payload),
                    ip::Opened::Fragment(fragment) => return Ok(Found::Fragment(fragment)),
                },
                Layer::Payload(payload) => match payload.protocol {
                    ip::TCP => return self.segment(&payload).map(Found::Segment),
                    ip::AUTHENTICATION => self.extension(payload.authentication(self.short())?)?,
                    ip::FRAGMENT if payload.source.is_ipv6() => {
                        match payload.fragment(self.missing)? {
                            ip::Opened::Payload(payload) => self.extension(payload)?,
                            ip::Opened::Fragment(fragment) => {
                                return Ok(Found::Fragment(fragment));
                            }
                        }
                    }
                    _ if payload.is_extension() => {
                        self.extension(payload.extension(self.short())?)?
                    }
                    protocol => {
                        let inner = tunnel::payload(protocol, payload.data, self.short())?;
                        self.tunnel()?;
                        inner
                    }
                },
            };
        }
    }

    #[inline]
    fn segment<'a>(&self, payload: &ip::Payload<'a>) -> Result<Segment<'a>, Skip> {
        payload.segment(self.stamp, self.missing)
    }

    fn tunnel(&mut self) -> Result<(), Skip> {
        self.tunnels_left = self.tunnels_left.checked_sub(1).ok_or(Skip::TooDeep)?;
        Ok(())
    }

    fn extension<'a>(&mut self, payload: ip::Payload<'a>) -> Result<Layer<'a>, Skip> {
        self.extensions_left = self.extensions_left.checked_sub(1).ok_or(Skip::Malformed)?;
        Ok(Layer::Payload(payload))
    }

    /// What a header that is not all there means.
    #[inline]
    fn short(&self) -> Skip {
        short(self.missing)
    }
}

/// What a header that is not all there means: the capture cut it, or the packet lies.
#[inline]
fn short(missing: u32) -> Skip {
    if missing > 0 { Skip::Cut } else { Skip::Malformed }
}

/// The two octets at `at` in network byte order.
#[inline]
fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    data.get(at..)?.first_chunk().copied().map(u16::from_be_bytes)
}

/// IPv6 extension headers passed in one packet. RFC 8200 section 4.1 knows seven places; hostile
/// packets could chain eight thousand.
const EXTENSIONS_MAX: usize = 32;
