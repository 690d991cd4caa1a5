//! Who talks to whom: endpoints, the symmetric key of a flow, halves and sides.

use std::fmt;
use std::net::IpAddr;

use super::pack::{Pack, Packer, Unpacker, packs};

/// An IP address and a TCP port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// IPv4 or IPv6 address; IPv4-mapped IPv6 stays IPv6.
    pub ip: IpAddr,
    /// TCP port.
    pub port: u16,
}

packs!(struct Endpoint { ip, port });

impl fmt::Display for Endpoint {
    /// `ip:port`, IPv6 in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip {
            IpAddr::V4(ip) => {
                let [a, b, c, d] = ip.octets();
                write!(f, "{a}.{b}.{c}.{d}:{}", self.port)
            }
            IpAddr::V6(ip) => write!(f, "[{ip}]:{}", self.port),
        }
    }
}

impl serde::Serialize for Endpoint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A pair of endpoints, the same for both directions: `low <= high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    /// The smaller endpoint; half A is what it sends.
    pub low: Endpoint,
    /// The larger endpoint; half B is what it sends.
    pub high: Endpoint,
}

packs!(struct FlowKey { low, high });

impl FlowKey {
    /// The key of a segment from `source` to `destination`, and the half that the segment is of.
    pub fn of(source: Endpoint, destination: Endpoint) -> (Self, Half) {
        if source <= destination {
            (Self { low: source, high: destination }, Half::A)
        } else {
            (Self { low: destination, high: source }, Half::B)
        }
    }

    /// Who sends this half.
    pub fn sender(&self, half: Half) -> Endpoint {
        match half {
            Half::A => self.low,
            Half::B => self.high,
        }
    }
}

/// One direction of a flow, before HTTP/2 says who is the client: A is what the smaller endpoint
/// sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Half {
    /// Sent by [`FlowKey::low`].
    A,
    /// Sent by [`FlowKey::high`].
    B,
}

packs!(enum Half { 0 => A, else B });

impl Half {
    /// The opposite direction.
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// Role in HTTP/2 (RFC 9113 section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The endpoint that opened the connection.
    Client,
    /// The endpoint that accepted it.
    Server,
}

packs!(enum Side { 0 => Client, else Server });

impl Side {
    /// The other role.
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// `client` or `server`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// A pair of values, one for each half or each side, that can be asked without a bound to miss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Both<T> {
    /// Half A, or the client.
    pub first: T,
    /// Half B, or the server.
    pub second: T,
}

impl<T: Pack> Pack for Both<T> {
    #[inline]
    fn pack(&self, to: &mut Packer) {
        self.first.pack(to);
        self.second.pack(to);
    }

    #[inline]
    fn unpack(from: &mut Unpacker<'_>) -> Self {
        Self { first: T::unpack(from), second: T::unpack(from) }
    }
}

impl<T> Both<T> {
    /// The same values the other way round.
    pub fn swapped(self) -> Self {
        Self { first: self.second, second: self.first }
    }

    /// The value of a half.
    pub fn half(&self, half: Half) -> &T {
        match half {
            Half::A => &self.first,
            Half::B => &self.second,
        }
    }

    /// The value of a half, to change.
    pub fn half_mut(&mut self, half: Half) -> &mut T {
        match half {
            Half::A => &mut self.first,
            Half::B => &mut self.second,
        }
    }

    /// The value of a side.
    pub fn side(&self, side: Side) -> &T {
        match side {
            Side::Client => &self.first,
            Side::Server => &self.second,
        }
    }

    /// The value of a side, to change.
    pub fn side_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Client => &mut self.first,
            Side::Server => &mut self.second,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_have_one_key() {
        let a = Endpoint { ip: IpAddr::from([10, 0, 0, 1]), port: 80 };
        let b = Endpoint { ip: IpAddr::from([10, 0, 0, 2]), port: 5 };
        let (there, half) = FlowKey::of(b, a);
        let (back, other) = FlowKey::of(a, b);
        assert_eq!(there, back);
        assert_eq!(half, other.other());
        assert_eq!(there.sender(half), b);
    }
}
