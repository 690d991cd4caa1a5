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

/// The fields that analysis needs, looked up in one header list; the first of a name counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept<'a>(pub &'a HeaderList<'a>);

impl<'a> Kept<'a> {
    /// Value of a field.
    pub fn value(&self, name: Name) -> Option<&'a [u8]> {
        self.0.first(name)
    }

    /// `:status` as a number.
    pub fn status(&self) -> Option<u16> {
        match self.value(Name::Status)? {
            [first @ b'0'..=b'9', second @ b'0'..=b'9', third @ b'0'..=b'9'] => {
                let digits = [first, second, third].map(|octet| u16::from(octet - b'0'));
                Some(digits.iter().fold(0, |number, digit| number * 10 + digit))
            }
            odd => std::str::from_utf8(odd).ok()?.parse().ok(),
        }
    }

    /// Whether the message is gRPC's.
    pub fn is_grpc(&self) -> bool {
        self.value(Name::GrpcTimeout).is_some()
            || self
                .value(Name::ContentType)
                .is_some_and(|kind| kind.starts_with(b"application/grpc"))
    }

    /// The deadline that a request carries.
    pub fn deadline(&self) -> Option<Duration> {
        if let Some(timeout) = self.value(Name::GrpcTimeout) {
            return grpc_timeout(timeout);
        }
        let millis = std::str::from_utf8(self.value(Name::EnvoyTimeout)?).ok()?.parse().ok()?;
        Some(Duration::from_millis(millis))
    }

    /// What names the program: `user-agent` of a request, `server` of a response.
    pub fn software(&self) -> Option<String> {
        let name = self.value(Name::UserAgent).or_else(|| self.value(Name::Server))?;
        Some(utf8_or_escaped(name.get(..SOFTWARE_KEPT).unwrap_or(name)))
    }

    /// What kind of request this is; [`Kind::NONE`] where the path is not known.
    pub fn kind(&self) -> Kind {
        self.value(Name::Path)
            .map_or(Kind::NONE, |path| Kind::of(self.value(Name::Method).unwrap_or(b"?"), path))
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
        let method = method.get(..KIND_KEPT - 1).unwrap_or(method);
        for part in [method, b" "] {
            if let Some(to) = octets.get_mut(length..length + part.len()) {
                to.copy_from_slice(part);
            }
            length += part.len();
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
