//! Room 2, packet: takes captured packets, gives TCP segments, or why there is none.
//!
//! Removes link headers, tags and tunnels, and joins IP fragments; fragments are its only state.
//! Never looks at the order of segments, and never fails or panics whatever the octets are.

mod fragment;
mod ip;
mod link;
#[cfg(test)]
mod sample;
mod tunnel;

use self::fragment::{Datagram, Fragment, Fragments};
use crate::guard::against_panics;
use crate::vocab::limits::Limits;
use crate::vocab::packet::{LinkType, Packet, Skip};
use crate::vocab::segment::Segment;
use crate::vocab::time::Stamp;

/// Turns packets into segments.
pub struct Decoder {
    fragments: Fragments,
    /// The datagram that the latest packet completed; its segment borrows from here.
    whole: Datagram,
    bounds: Limits,
    /// This program failed on a packet: fragments begin anew.
    failed: bool,
}

impl Decoder {
    /// A decoder that has seen nothing.
    pub fn new(limits: &Limits) -> Self {
        Self {
            fragments: Fragments::new(limits),
            whole: Datagram::default(),
            bounds: limits.clone(),
            failed: false,
        }
    }

    /// The TCP segment that `packet` carries, or completes as a fragment.
    ///
    /// # Errors
    ///
    /// Why there is no segment.
    #[inline]
    pub fn decode<'a>(&'a mut self, packet: &Packet<'a>) -> Result<Segment<'a>, Skip> {
        if packet.link == LinkType::ETHERNET
            && packet.fcs_length == 0
            && let Some(segment) = ip::plain(packet)
        {
            return Ok(segment);
        }
        if self.failed {
            self.fragments.begin_anew();
            (self.whole, self.failed) = (Datagram::default(), false);
        }
        let Self { fragments, whole, bounds, failed } = self;
        against_panics(|| walk(packet, bounds.tunnel_depth, fragments, whole)).unwrap_or_else(
            |_| {
                *failed = true;
                Err(Skip::Fault)
            },
        )
    }

    /// Fragments that were answered with [`Skip::Fragment`] and are no loss, for they have become
    /// part of a whole datagram, or were copies. Grows; compare it before and after a packet.
    pub fn joined_fragments(&self) -> u64 {
        self.fragments.joined()
    }

    /// Unfinished datagrams forgotten early because [`Limits::fragmented_datagrams`] was reached.
    pub fn evicted_datagrams(&self) -> u64 {
        self.fragments.evicted()
    }
}

fn walk<'a>(
    packet: &Packet<'a>,
    tunnel_depth: usize,
    fragments: &mut Fragments,
    whole: &'a mut Datagram,
) -> Result<Segment<'a>, Skip> {
    let frame = Frame::of(packet);
    let start = link::first(packet.link, frame.data, short(frame.missing))?;
    let mut walk = Walk::new(packet.stamp, frame.missing, tunnel_depth);
    match walk.run(start)? {
        Found::Segment(segment) => Ok(segment),
        Found::Fragment(fragment) => {
            *whole = fragments.add(packet.stamp.at, &fragment)?;
            decode_whole(packet.stamp, tunnel_depth, fragments, whole)
        }
    }
}

/// Decodes a reassembled datagram, which may hold fragments of another one inside a tunnel.
#[inline(never)]
fn decode_whole<'a>(
    stamp: Stamp,
    tunnel_depth: usize,
    fragments: &mut Fragments,
    whole: &'a mut Datagram,
) -> Result<Segment<'a>, Skip> {
    for _ in 0..=tunnel_depth {
        let mut walk = Walk { joined: true, ..Walk::new(stamp, 0, tunnel_depth) };
        let inner = match walk.run(Layer::Payload(whole.payload()))? {
            Found::Segment(_) => break,
            Found::Fragment(fragment) => fragments.add(stamp.at, &fragment)?,
        };
        *whole = inner;
    }
    // Once more for the caller: a segment found above cannot outlive a loop that may replace
    // what it borrows from.
    let mut walk = Walk { joined: true, ..Walk::new(stamp, 0, tunnel_depth) };
    match walk.run(Layer::Payload(whole.payload()))? {
        Found::Segment(segment) => Ok(segment),
        Found::Fragment(_) => Err(Skip::TooDeep),
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
    /// Whether fragments were put together: of two datagrams, where one's end was not captured and
    /// its identification came again.
    joined: bool,
}

impl Walk {
    #[inline]
    fn new(stamp: Stamp, missing: u32, tunnels_left: usize) -> Self {
        Self { stamp, missing, tunnels_left, extensions_left: EXTENSIONS_MAX, joined: false }
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
        if self.joined && !payload.is_sound() {
            return Err(Skip::Malformed);
        }
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

#[cfg(test)]
mod tests {
    use super::sample::{self, ether, ipv4, ipv6, packet, tcp, udp};
    use super::*;
    use crate::vocab::segment::{Seq, TcpFlags};

    fn decode(frame: &[u8]) -> Result<(Vec<u8>, u32), Skip> {
        sample::decode(LinkType::ETHERNET, frame)
    }

    #[test]
    fn every_field_of_a_segment_is_what_the_header_says() {
        let frame = ether(0x0800, &ipv4(6, &tcp(b"hello")));
        let mut decoder = Decoder::new(&Limits::default());
        let segment = decoder.decode(&packet(LinkType::ETHERNET, &frame)).unwrap();
        assert_eq!(segment.source.to_string(), "10.1.0.5:40000");
        assert_eq!(segment.destination.to_string(), "10.1.0.9:8080");
        assert_eq!((segment.seq, segment.ack), (Seq(0x0102_0304), Seq(0x0506_0708)));
        assert!(segment.flags.has(TcpFlags::ACK) && segment.flags.has(TcpFlags::PSH));
        assert_eq!((segment.window, segment.payload, segment.cut), (0x2000, &b"hello"[..], 0));
        assert_eq!(segment.stamp.packet(), 1);
    }

    #[test]
    fn ipv6_addresses_survive() {
        let frame = ether(0x86dd, &ipv6(6, &tcp(b"hello")));
        let mut decoder = Decoder::new(&Limits::default());
        let segment = decoder.decode(&packet(LinkType::ETHERNET, &frame)).unwrap();
        assert_eq!(segment.source.to_string(), "[fd00::5]:40000");
        assert_eq!(segment.payload, b"hello");
    }

    #[test]
    fn what_the_snap_length_cut_is_told_and_not_hidden() {
        let frame = ether(0x0800, &ipv4(6, &tcp(b"hello world")));
        let mut decoder = Decoder::new(&Limits::default());
        let cut = |octets: usize| {
            let whole = packet(LinkType::ETHERNET, &frame);
            Packet { data: &frame[..octets], ..whole }
        };
        let packet = cut(frame.len() - 6);
        let segment = decoder.decode(&packet).unwrap();
        assert_eq!((segment.payload, segment.cut), (&b"hello"[..], 6));
        // Whatever header the cut falls into.
        for octets in 0..frame.len() - 11 {
            assert_eq!(decoder.decode(&cut(octets)).unwrap_err(), Skip::Cut, "{octets}");
        }
    }

    #[test]
    fn padding_and_check_sequence_are_no_payload() {
        let mut frame = ether(0x0800, &ipv4(6, &tcp(b"")));
        frame.extend([0xee; 10]);
        assert_eq!(decode(&frame), Ok((vec![], 0)));
        // With no IP length to go by, only the file knows of the check sequence.
        let mut ip = ipv4(6, &tcp(b"hello"));
        ip[2..4].fill(0);
        let mut frame = ether(0x0800, &ip);
        frame.extend([0xee; 4]);
        let mut decoder = Decoder::new(&Limits::default());
        let packet = Packet { fcs_length: 4, ..packet(LinkType::ETHERNET, &frame) };
        assert_eq!(decoder.decode(&packet).unwrap().payload, b"hello");
        // Snapped before it: nothing of it was captured.
        let snapped = Packet { data: &frame[..frame.len() - 6], ..packet };
        let segment = decoder.decode(&snapped).unwrap();
        assert_eq!((segment.payload, segment.cut), (&b"hel"[..], 2));
    }

    #[test]
    fn a_length_of_zero_means_what_was_captured() {
        let mut six = ipv6(6, &tcp(b"offloaded"));
        six[4..6].fill(0);
        assert_eq!(decode(&ether(0x86dd, &six)), Ok((b"offloaded".to_vec(), 0)));
    }

    #[test]
    fn headers_that_contradict_themselves_are_malformed() {
        let good = ipv4(6, &tcp(b"hello"));
        let broken = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut ip = good.clone();
            change(&mut ip);
            decode(&ether(0x0800, &ip))
        };
        let short_header = broken(&|ip| ip[0] = 0x44);
        let short_total = broken(&|ip| ip[3] = 10);
        let no_version = broken(&|ip| ip[0] = 0x05);
        let small_offset = broken(&|ip| ip[32] = 0x40);
        let large_offset = broken(&|ip| ip[32] = 0xf0);
        for got in [short_header, short_total, no_version, small_offset, large_offset] {
            assert_eq!(got, Err(Skip::Malformed));
        }
        assert_eq!(decode(&[0; 5]), Err(Skip::Malformed));
    }

    #[test]
    fn what_is_not_ours_says_what_it_is() {
        assert_eq!(decode(&ether(0x0806, &[0; 28])), Err(Skip::NotIp(0x0806)));
        assert_eq!(decode(&ether(0x0800, &ipv4(1, &[0; 8]))), Err(Skip::NotTcp(1)));
        assert_eq!(decode(&ether(0x0800, &ipv4(17, &udp(53, &[0; 8])))), Err(Skip::NotTcp(17)));
        let unknown = LinkType(9999);
        assert_eq!(sample::decode(unknown, &[0; 60]), Err(Skip::LinkType(unknown)));
        assert_eq!(sample::decode(LinkType::UNKNOWN, &[0; 60]), Err(Skip::Malformed));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |times: usize| {
            let mut ip = ipv4(6, &tcp(b"deep"));
            for _ in 0..times {
                ip = ipv4(4, &ip);
            }
            decode(&ether(0x0800, &ip))
        };
        assert_eq!(nested(8), Ok((b"deep".to_vec(), 0)));
        assert_eq!(nested(9), Err(Skip::TooDeep));
        let mut endless = Vec::new();
        for _ in 0..100 {
            endless.extend([60, 0, 1, 4, 0, 0, 0, 0]);
        }
        assert_eq!(decode(&ether(0x86dd, &ipv6(60, &endless))), Err(Skip::Malformed));
    }

    #[test]
    fn extension_headers_are_passed() {
        let option = |next: u8| vec![next, 0, 1, 4, 0, 0, 0, 0];
        let authentication = [6, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1].into_iter().chain([7; 12]);
        // Hop-by-hop, routing, destination, atomic fragment, authentication.
        let mut chain = [option(43), option(60), option(44)].concat();
        chain.extend([51, 0, 0, 0, 0, 0, 0, 9]);
        chain.extend(authentication);
        chain.extend(tcp(b"behind"));
        assert_eq!(decode(&ether(0x86dd, &ipv6(0, &chain))), Ok((b"behind".to_vec(), 0)));
    }

    #[test]
    fn ipv4_options_are_passed() {
        let mut ip = ipv4(6, &tcp(b"hello"));
        ip[0] = 0x46;
        ip[3] += 4;
        ip.splice(20..20, [0x94, 4, 0, 0]);
        assert_eq!(decode(&ether(0x0800, &ip)), Ok((b"hello".to_vec(), 0)));
    }

    #[test]
    fn the_short_way_gives_what_the_long_one_gives() {
        let mut random = sample::Random(0x5eed);
        let mut decoder = Decoder::new(&Limits::default());
        let seed = ether(0x0800, &ipv4(6, &tcp(b"hello, here and there")));
        let mut short = 0;
        for turn in 0..40_000 {
            let mut octets = seed.clone();
            for _ in 0..turn % 3 {
                let at = random.below(54);
                octets[at] = random.next() as u8;
            }
            octets.truncate(octets.len() - random.below(octets.len()));
            let whole = packet(LinkType::ETHERNET, &octets);
            let packet = Packet { wire_length: seed.len() as u32, ..whole };
            let Some(segment) = ip::plain(&packet) else { continue };
            short += 1;
            let Decoder { fragments, whole, bounds, .. } = &mut decoder;
            let long = walk(&packet, bounds.tunnel_depth, fragments, whole).unwrap();
            assert_eq!(format!("{segment:?}"), format!("{long:?}"));
        }
        assert!(short > 10_000, "{short}");
    }

    #[test]
    fn garbage_never_panics() {
        let links = [0, 1, 9, 12, 14, 50, 51, 101, 108, 113, 228, 229, 239, 276, 4242];
        let mut random = sample::Random(0x5eed);
        let mut decoder = Decoder::new(&Limits::default());
        let seeds = sample::everything();
        for turn in 0..60_000_usize {
            let mut octets = if turn % 3 == 0 {
                (0..random.below(200)).map(|_| random.next() as u8).collect()
            } else {
                seeds[turn % seeds.len()].1.clone()
            };
            let link = if turn % 3 == 0 {
                LinkType(links[turn % links.len()])
            } else {
                seeds[turn % seeds.len()].0
            };
            for _ in 0..random.below(4) {
                let at = random.below(octets.len().max(1));
                if let Some(octet) = octets.get_mut(at) {
                    *octet = random.next() as u8;
                }
            }
            octets.truncate(octets.len() - random.below(octets.len() / 4 + 1));
            let whole = packet(link, &octets);
            let wire_length = whole.wire_length.saturating_add(random.below(3) as u32 * 7);
            let fcs_length = random.below(3) as u8 * 2;
            let told = decoder.decode(&Packet { wire_length, fcs_length, ..whole });
            assert_ne!(told.err(), Some(Skip::Fault));
        }
    }
}
