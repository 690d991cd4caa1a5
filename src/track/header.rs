//! The header fields that are kept, and nothing else.

use std::hash::Hasher as _;
use std::time::Duration;

use crate::vocab::header::{HeaderList, Name};
use crate::vocab::text::utf8_or_escaped;

use super::stream::grpc_timeout;

/// Octets of `user-agent` and `server` that are kept.
const SOFTWARE_KEPT: usize = 64;

/// Initials of the pseudo-headers in their order: `masp`.
pub(super) fn pseudo_order(list: &HeaderList<'_>) -> String {
    let names = list.iter().filter_map(|field| field.name?.strip_prefix(b":"));
    names.filter_map(|name| name.first()).take(6).map(|octet| char::from(*octet)).collect()
}

/// Values of the fields that analysis needs, borrowed from one header list.
#[derive(Debug, Default)]
pub(super) struct Kept<'a> {
    pub method: Option<&'a [u8]>,
    pub scheme: Option<&'a [u8]>,
    pub authority: Option<&'a [u8]>,
    pub path: Option<&'a [u8]>,
    pub status: Option<&'a [u8]>,
    pub content_type: Option<&'a [u8]>,
    pub grpc_status: Option<&'a [u8]>,
    pub grpc_message: Option<&'a [u8]>,
    pub grpc_timeout: Option<&'a [u8]>,
    envoy_timeout: Option<&'a [u8]>,
    user_agent: Option<&'a [u8]>,
    server: Option<&'a [u8]>,
}

impl<'a> Kept<'a> {
    /// Picks the fields out of a list; the first of a name wins.
    pub fn of(list: &HeaderList<'a>) -> Self {
        let mut kept = Self::default();
        for field in list.iter() {
            let Some(value) = field.value else { continue };
            let place = match field.tag.name {
                Name::Method => &mut kept.method,
                Name::Scheme => &mut kept.scheme,
                Name::Authority => &mut kept.authority,
                Name::Path => &mut kept.path,
                Name::Status => &mut kept.status,
                Name::ContentType => &mut kept.content_type,
                Name::GrpcStatus => &mut kept.grpc_status,
                Name::GrpcMessage => &mut kept.grpc_message,
                Name::GrpcTimeout => &mut kept.grpc_timeout,
                Name::EnvoyTimeout => &mut kept.envoy_timeout,
                Name::UserAgent => &mut kept.user_agent,
                Name::Server => &mut kept.server,
                _ => continue,
            };
            place.get_or_insert(value);
        }
        kept
    }

    /// `:status` as a number.
    pub fn status(&self) -> Option<u16> {
        match self.status? {
            [first @ b'0'..=b'9', second @ b'0'..=b'9', third @ b'0'..=b'9'] => {
                let digits = [first, second, third].map(|octet| u16::from(octet - b'0'));
                Some(digits.iter().fold(0, |number, digit| number * 10 + digit))
            }
            odd => std::str::from_utf8(odd).ok()?.parse().ok(),
        }
    }

    /// Whether the message is gRPC's.
    pub fn is_grpc(&self) -> bool {
        self.grpc_timeout.is_some()
            || self.content_type.is_some_and(|kind| kind.starts_with(b"application/grpc"))
    }

    /// The deadline that a request carries.
    pub fn deadline(&self) -> Option<Duration> {
        if let Some(timeout) = self.grpc_timeout {
            return grpc_timeout(timeout);
        }
        let millis = std::str::from_utf8(self.envoy_timeout?).ok()?.parse().ok()?;
        Some(Duration::from_millis(millis))
    }

    /// What names the program: `user-agent` of a request, `server` of a response.
    pub fn software(&self) -> Option<String> {
        let name = self.user_agent.or(self.server)?;
        Some(utf8_or_escaped(name.get(..SOFTWARE_KEPT).unwrap_or(name)))
    }

    /// What kind of request this is; [`Kind::NONE`] where the path is not known.
    pub fn kind(&self) -> Kind {
        self.path.map_or(Kind::NONE, |path| Kind::of(self.method.unwrap_or(b"?"), path))
    }
}

/// The name of requests of one kind, `GET /orders/#`: the method and the path without query,
/// digits as `#` (`/orders/17` and `/orders/18` are one kind), its first octets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    octets: [u8; KIND_KEPT],
    length: u8,
}

impl Kind {
    /// Not known.
    pub const NONE: Self = Self { octets: [0; KIND_KEPT], length: 0 };

    fn of(method: &[u8], path: &[u8]) -> Self {
        let mut octets = [0; KIND_KEPT];
        let mut length = 0;
        for (to, from) in octets.iter_mut().zip(method.iter().chain(b" ")) {
            *to = *from;
            length += 1;
        }
        let mut in_number = false;
        for octet in path.iter().take_while(|octet| **octet != b'?') {
            let digit = octet.is_ascii_digit();
            let Some(to) = octets.get_mut(length) else { break };
            *to = if digit { b'#' } else { *octet };
            // Without a branch, for none could be foreseen.
            length += usize::from(!(digit & in_number));
            in_number = digit;
        }
        Self { octets, length: length as u8 }
    }

    fn octets(&self) -> &[u8] {
        self.octets.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// A number that requests of one kind share; 0 where it is not known.
    pub fn number(&self) -> u32 {
        if self.length == 0 {
            return 0;
        }
        let mut hasher = rustc_hash::FxHasher::default();
        hasher.write(self.octets());
        hasher.finish() as u32
    }

    /// The name as text; `None` where it is not known.
    pub fn text(&self) -> Option<String> {
        (self.length > 0).then(|| utf8_or_escaped(self.octets()))
    }
}

/// Octets of a kind's name that are kept.
const KIND_KEPT: usize = 80;
