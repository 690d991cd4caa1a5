//! IPv4 (RFC 791), IPv6 (RFC 8200) with its extension headers, and the TCP header (RFC 9293).

use std::net::IpAddr;

use etherparse::checksum::Sum16BitWords;
use etherparse::err::{ip_auth, ipv4, ipv6, tcp};
use etherparse::{
    IpAuthHeaderSlice, Ipv4HeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice,
    Ipv6RawExtHeaderSlice, TcpHeaderSlice,
};

use super::fragment::{Fragment, Key};
use super::{link, short};
use crate::vocab::address::Endpoint;
use crate::vocab::packet::{Packet, Skip};
use crate::vocab::segment::{Segment, Seq, TcpFlags};
use crate::vocab::time::Stamp;

/// The segment of what most packets are: Ethernet, IPv4 without options, TCP, nothing fragmented.
/// `None` for all others, also where a header is not all there.
#[inline]
pub(super) fn plain<'a>(packet: &Packet<'a>) -> Option<Segment<'a>> {
    let (link, behind) = packet.data.split_first_chunk::<{ link::ETHERNET_LENGTH }>()?;
    let (ip, behind) = behind.split_first_chunk::<20>()?;
    let [.., kind, kind_low] = *link;
    let [first, _, total, total_low, _, _, fragment, fragment_low, _, protocol, ..] = *ip;
    let is_plain = u16::from_be_bytes([kind, kind_low]) == link::IPV4
        && first == IPV4_PLAIN
        && u16::from_be_bytes([fragment, fragment_low]) & MORE_OR_OFFSET == 0
        && protocol == TCP;
    if !is_plain {
        return None;
    }
    let total = usize::from(u16::from_be_bytes([total, total_low]));
    let mut missing = 0;
    let data = trim(behind, total.checked_sub(ip.len())?, &mut missing);
    let header = data.first_chunk::<20>()?;
    let [s0, s1, d0, d1, q0, q1, q2, q3, a0, a1, a2, a3, words, flags, w0, w1, ..] = *header;
    let octets = usize::from(words >> 4) * 4;
    if octets < header.len() {
        return None;
    }
    let [.., i0, i1, i2, i3, j0, j1, j2, j3] = *ip;
    let end = |ip: [u8; 4], port| Endpoint { ip: IpAddr::from(ip), port: u16::from_be_bytes(port) };
    Some(Segment {
        stamp: packet.stamp,
        source: end([i0, i1, i2, i3], [s0, s1]),
        destination: end([j0, j1, j2, j3], [d0, d1]),
        seq: Seq(u32::from_be_bytes([q0, q1, q2, q3])),
        ack: Seq(u32::from_be_bytes([a0, a1, a2, a3])),
        flags: TcpFlags(flags),
        window: u16::from_be_bytes([w0, w1]),
        payload: data.get(octets..)?,
        cut: missing,
    })
}

/// What an IP header announced, with the addresses that TCP needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Payload<'a> {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// IP protocol number.
    pub(super) protocol: u8,
    /// What was captured of it.
    pub(super) data: &'a [u8],
}

/// An opened IP header.
pub(super) enum Opened<'a> {
    Payload(Payload<'a>),
    Fragment(Fragment<'a>),
}

/// Opens the IP packet at the front of `data`; `missing` becomes what its own length says.
#[inline]
pub(super) fn open<'a>(data: &'a [u8], missing: &mut u32) -> Result<Opened<'a>, Skip> {
    match data.first().map(|octet| octet >> 4) {
        Some(4) => open_v4(data, missing),
        Some(6) => open_v6(data, missing),
        Some(_) => Err(Skip::Malformed),
        None => Err(short(*missing)),
    }
}

#[inline]
fn open_v4<'a>(data: &'a [u8], missing: &mut u32) -> Result<Opened<'a>, Skip> {
    let header = Ipv4HeaderSlice::from_slice(data).map_err(|error| match error {
        ipv4::HeaderSliceError::Len(_) => short(*missing),
        ipv4::HeaderSliceError::Content(_) => Skip::Malformed,
    })?;
    let length = header.slice().len();
    let behind = data.get(length..).unwrap_or_default();
    let data = match usize::from(header.total_len()) {
        // Segmentation offload: the length did not fit or was not yet known.
        0 => behind,
        total => trim(behind, total.checked_sub(length).ok_or(Skip::Malformed)?, missing),
    };
    let payload = Payload {
        source: IpAddr::V4(header.source_addr()),
        destination: IpAddr::V4(header.destination_addr()),
        protocol: header.protocol().0,
        data,
    };
    if !header.is_fragmenting_payload() {
        return Ok(Opened::Payload(payload));
    }
    let key = Key {
        source: payload.source,
        destination: payload.destination,
        id: u32::from(header.identification()),
        protocol: Some(payload.protocol),
    };
    let offset = usize::from(header.fragments_offset().value()) * FRAGMENT_UNIT;
    payload.part(key, offset, header.more_fragments(), *missing)
}

#[inline]
fn open_v6<'a>(data: &'a [u8], missing: &mut u32) -> Result<Opened<'a>, Skip> {
    let header = Ipv6HeaderSlice::from_slice(data).map_err(|error| match error {
        ipv6::HeaderSliceError::Len(_) => short(*missing),
        ipv6::HeaderSliceError::Content(_) => Skip::Malformed,
    })?;
    let behind = data.get(header.slice().len()..).unwrap_or_default();
    let data = match usize::from(header.payload_length()) {
        // Segmentation offload, or a jumbogram (RFC 2675).
        0 => behind,
        octets => trim(behind, octets, missing),
    };
    Ok(Opened::Payload(Payload {
        source: IpAddr::V6(header.source_addr()),
        destination: IpAddr::V6(header.destination_addr()),
        protocol: header.next_header().0,
        data,
    }))
}

/// Leaves padding and trailers away, and notes what the IP length promises beyond `data`.
#[inline]
fn trim<'a>(data: &'a [u8], octets: usize, missing: &mut u32) -> &'a [u8] {
    *missing = u32::try_from(octets.saturating_sub(data.len())).unwrap_or(u32::MAX);
    data.get(..octets).unwrap_or(data)
}

impl<'a> Payload<'a> {
    /// Whether its TCP checksum is right (RFC 9293 section 3.1). One that a network card was to
    /// complete holds the sum of the addresses alone, and is not wrong; zero is none at all.
    pub(super) fn is_sound(&self) -> bool {
        let Ok(header) = TcpHeaderSlice::from_slice(self.data) else { return false };
        let payload = self.data.get(header.slice().len()..).unwrap_or_default();
        let length = u32::try_from(self.data.len()).unwrap_or(u32::MAX);
        let (whole, addresses) = match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let (source, destination) = (source.octets(), destination.octets());
                let sum = Sum16BitWords::new().add_4bytes(source).add_4bytes(destination);
                (header.calc_checksum_ipv4_raw(source, destination, payload), sum)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let (source, destination) = (source.octets(), destination.octets());
                let sum = Sum16BitWords::new().add_16bytes(source).add_16bytes(destination);
                (header.calc_checksum_ipv6_raw(source, destination, payload), sum)
            }
            _ => return false,
        };
        let mut addresses = addresses.add_2bytes([0, TCP]);
        let partial = !addresses.add_4bytes(length.to_be_bytes()).ones_complement();
        let told = header.checksum();
        told == 0 || whole.is_ok_and(|sum| told == sum || told == partial)
    }

    /// The TCP segment that this payload is.
    #[inline]
    pub(super) fn segment(&self, stamp: Stamp, missing: u32) -> Result<Segment<'a>, Skip> {
        let header = TcpHeaderSlice::from_slice(self.data).map_err(|error| match error {
            tcp::HeaderSliceError::Len(_) => short(missing),
            tcp::HeaderSliceError::Content(_) => Skip::Malformed,
        })?;
        let octets = header.slice();
        Ok(Segment {
            stamp,
            source: Endpoint { ip: self.source, port: header.source_port() },
            destination: Endpoint { ip: self.destination, port: header.destination_port() },
            seq: Seq(header.sequence_number()),
            ack: Seq(header.acknowledgment_number()),
            flags: TcpFlags(octets.get(TCP_FLAGS_AT).copied().unwrap_or(0)),
            window: header.window_size(),
            payload: self.data.get(octets.len()..).unwrap_or_default(),
            cut: missing,
        })
    }

    /// Whether an IPv6 extension header of the common layout stands in front.
    pub(super) fn is_extension(&self) -> bool {
        self.source.is_ipv6() && EXTENSIONS.contains(&self.protocol)
    }

    /// What stands behind an IPv6 extension header of the common layout.
    pub(super) fn extension(&self, short: Skip) -> Result<Self, Skip> {
        let header = Ipv6RawExtHeaderSlice::from_slice(self.data).map_err(|_| short)?;
        Ok(self.behind(header.slice().len(), header.next_header().0))
    }

    /// What stands behind an authentication header (RFC 4302), which hides nothing.
    pub(super) fn authentication(&self, short: Skip) -> Result<Self, Skip> {
        let header = IpAuthHeaderSlice::from_slice(self.data).map_err(|error| match error {
            ip_auth::HeaderSliceError::Len(_) => short,
            ip_auth::HeaderSliceError::Content(_) => Skip::Malformed,
        })?;
        Ok(self.behind(header.slice().len(), header.next_header().0))
    }

    /// The IPv6 fragment that this payload is; an atomic one (RFC 6946) is whole.
    pub(super) fn fragment(&self, missing: u32) -> Result<Opened<'a>, Skip> {
        let header = Ipv6FragmentHeaderSlice::from_slice(self.data).map_err(|_| short(missing))?;
        let payload = self.behind(header.slice().len(), header.next_header().0);
        if !header.is_fragmenting_payload() {
            return Ok(Opened::Payload(payload));
        }
        let key = Key {
            source: self.source,
            destination: self.destination,
            id: header.identification(),
            protocol: None,
        };
        let offset = usize::from(header.fragment_offset().value()) * FRAGMENT_UNIT;
        payload.part(key, offset, header.more_fragments(), missing)
    }

    fn behind(&self, octets: usize, protocol: u8) -> Self {
        Self { protocol, data: self.data.get(octets..).unwrap_or_default(), ..*self }
    }

    fn part(self, key: Key, offset: usize, more: bool, missing: u32) -> Result<Opened<'a>, Skip> {
        if missing > 0 {
            // A datagram with a hole that nothing fills. Its beginning tells of TCP what a segment
            // tells that was cut; what the other fragments carry is missing like octets behind it.
            let begins = offset == 0 && self.protocol == TCP && self.data.len() >= TCP_LEAST;
            return if begins { Ok(Opened::Payload(self)) } else { Err(Skip::Cut) };
        }
        let Self { protocol, data, .. } = self;
        Ok(Opened::Fragment(Fragment { key, protocol, offset, more, data }))
    }
}

/// IP protocol number of TCP.
pub(super) const TCP: u8 = 6;
/// The same of the IPv6 fragment header.
pub(super) const FRAGMENT: u8 = 44;
/// The same of the authentication header.
pub(super) const AUTHENTICATION: u8 = 51;
/// IPv6 extension headers of the common layout (RFC 6564): hop-by-hop options, routing,
/// destination options, mobility, host identity, shim6.
const EXTENSIONS: [u8; 6] = [0, 43, 60, 135, 139, 140];
/// First octet of an IPv4 header without options.
const IPV4_PLAIN: u8 = 0x45;
/// Of the IPv4 field with flags and offset: more fragments, or not the first one.
const MORE_OR_OFFSET: u16 = 0x3fff;
/// Octets that fragment offsets count.
const FRAGMENT_UNIT: usize = 8;
/// Octets of a TCP header without options.
const TCP_LEAST: usize = 20;
/// Where the control bits stand in a TCP header.
const TCP_FLAGS_AT: usize = 13;
