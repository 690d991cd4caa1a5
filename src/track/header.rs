//! The header fields that are kept, and nothing else.

use std::hash::Hasher as _;
use std::time::Duration;

use crate::vocab::header::{HeaderList, Name};
use crate::vocab::text::utf8_or_escaped;

use super::stream::grpc_timeout;

/// Octets of a request's name (`GET /orders/#`) that are kept.
const NAME_KEPT: usize = 80;

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
        std::str::from_utf8(self.status?).ok()?.parse().ok()
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

    /// A number that requests of one kind share. Their name goes into `name`: the method and the
    /// path without query, digits as `#` (`/orders/17` and `/orders/18` are one kind); nothing
    /// where the path is not known.
    pub fn class(&self, name: &mut Vec<u8>) -> u32 {
        name.clear();
        let Some(path) = self.path else { return 0 };
        let path = path.split(|octet| *octet == b'?').next().unwrap_or_default();
        name.reserve(NAME_KEPT);
        name.extend_from_slice(self.method.unwrap_or(b"?"));
        name.push(b' ');
        let mut in_number = false;
        for octet in path {
            let digit = octet.is_ascii_digit();
            if !(digit && in_number) {
                name.push(if digit { b'#' } else { *octet });
            }
            in_number = digit;
            if name.len() >= NAME_KEPT {
                break;
            }
        }
        let mut hasher = rustc_hash::FxHasher::default();
        hasher.write(name);
        hasher.finish() as u32
    }
}
