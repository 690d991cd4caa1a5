//! The header fields that are kept, and nothing else.

use std::borrow::Cow;
use std::hash::Hasher as _;
use std::time::Duration;

use crate::vocab::header::{Field, HeaderList, Name};
use crate::vocab::hop::Mark;
use crate::vocab::pack::{Pack, Packer, Unpacker};
use crate::vocab::text::utf8_or_escaped;

use super::stream::{grpc_timeout, number};

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
        number(self.value(Name::EnvoyTimeout)?).map(Duration::from_millis)
    }

    /// Whether it carries a deadline that breaks the form, so that its receiver may take it for
    /// anything.
    pub fn deadline_is_malformed(&self) -> bool {
        self.value(Name::GrpcTimeout).is_some_and(|value| grpc_timeout(value).is_none())
    }

    /// What names the program: `user-agent` of a request, `server` of a response.
    pub fn software(&self) -> Option<String> {
        let name = self.value(Name::UserAgent).or_else(|| self.value(Name::Server))?;
        Some(utf8_or_escaped(name.get(..SOFTWARE_KEPT).unwrap_or(name)))
    }

    /// What the request is known by on the other side of a proxy.
    pub fn mark(&self) -> Mark {
        let method = self.value(Name::Method).unwrap_or_default();
        let path = self.value(Name::Path).map_or(0, |path| hash(&[method, path]));
        let authority = self.value(Name::Authority).or_else(|| self.value(Name::Host));
        let secure = self.value(Name::Scheme) == Some(b"https");
        let mut mark = Mark {
            path,
            authority: authority.map_or(0, |authority| hash(&[authority])),
            port: authority.map_or(0, |authority| port(authority, secure)),
            ..Mark::default()
        };
        let named = [Name::Trace, Name::RequestId, Name::Forwarded];
        if named.into_iter().any(|name| self.0.may_have(name)) {
            self.0.named(named).for_each(|field| note_id(&mut mark, &field));
        }
        mark
    }

    /// Whether it opens a message, as far as names are known: trailers have no pseudo-header fields
    /// (RFC 9113 section 8.1).
    pub fn is_request(&self) -> bool {
        self.0.iter().any(|field| field.name.is_some_and(|name| name.starts_with(b":")))
    }

    /// What kind of request this is; [`Kind::NONE`] where the path is not known.
    pub fn kind(&self) -> Kind {
        self.value(Name::Path)
            .map_or(Kind::NONE, |path| Kind::of(self.value(Name::Method).unwrap_or(b"?"), path))
    }
}

/// What a request in HTTP/1.1 is known by on the other side of a proxy, as far as the first octets
/// of its head tell; nothing where they are none (RFC 9112 section 3).
pub fn mark_of_head(octets: &[u8]) -> Option<Mark> {
    // What is behind the last line break is not all there.
    let whole = octets.iter().rposition(|octet| *octet == b'\n')?;
    let mut lines = octets.get(..whole)?.split(|octet| *octet == b'\n').map(<[u8]>::trim_ascii);
    let mut words = lines.next()?.split(|octet| *octet == b' ');
    let (method, path, version) = (words.next()?, words.next()?, words.next()?);
    if !version.starts_with(b"HTTP/1.") || !path.starts_with(b"/") || words.next().is_some() {
        return None;
    }
    // Proxies mostly keep to the old version, or have each connection closed (nginx's defaults);
    // clients hardly do.
    let old = u8::from(version == b"HTTP/1.0");
    let mut mark = Mark { path: hash(&[method, path]), forwarded: old, ..Mark::default() };
    for line in lines.take_while(|line| !line.is_empty()) {
        let Some(colon) = line.iter().position(|octet| *octet == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let (name, value) = (name.to_ascii_lowercase(), value.get(1..).unwrap_or_default());
        let field = Field::known(&name, value.trim_ascii());
        if let (Name::Host, Some(host)) = (field.tag.name, field.value) {
            (mark.authority, mark.port) = (hash(&[host]), port(host, false));
        }
        let closes = name == b"connection" && value.trim_ascii().eq_ignore_ascii_case(b"close");
        mark.forwarded = mark.forwarded.saturating_add(u8::from(closes));
        note_id(&mut mark, &field);
    }
    Some(mark)
}

/// Notes an identifier that a field carries; the first one of each kind counts.
fn note_id(mark: &mut Mark, field: &Field<'_>) {
    let (Some(name), Some(value)) = (field.name, field.value) else { return };
    match field.tag.name {
        Name::Trace if mark.trace == 0 => {
            mark.trace = trace_id(name, value).map_or(0, |id| hash(&[&id[..]]));
        }
        Name::RequestId if mark.request == 0 && value.len() >= SHORTEST_ID => {
            mark.request = hash(&[value]);
        }
        Name::Forwarded => mark.forwarded = mark.forwarded.saturating_add(1),
        _ => {}
    }
}

/// The part of a tracing field that stays the same on every hop, lower case, without leading
/// zeros: `traceparent` is `00-TRACE-SPAN-01` (W3C Trace Context section 3.2), `b3` is
/// `TRACE-SPAN-1`, Jaeger's `TRACE:SPAN:0:1`, Google's `TRACE/SPAN`, Amazon's `Root=1-TIME-ID`.
fn trace_id<'v>(name: &[u8], value: &'v [u8]) -> Option<Cow<'v, [u8]>> {
    let part = |at: usize, by: u8| value.split(move |octet| *octet == by).nth(at);
    let id = match name {
        b"traceparent" => part(1, b'-'),
        b"b3" => part(0, b'-').filter(|id| id.len() > 1),
        b"uber-trace-id" => part(0, b':'),
        b"x-cloud-trace-context" => part(0, b'/'),
        b"x-amzn-trace-id" => {
            let mut parts = value.split(|octet| *octet == b';');
            parts.find_map(|part| part.trim_ascii_start().strip_prefix(b"Root="))
        }
        _ => Some(value),
    };
    let id = id?;
    let zeros = id.iter().take_while(|octet| **octet == b'0').count();
    let id = id.get(zeros..).filter(|id| id.len() >= SHORTEST_ID)?;
    // Without a branch an octet, for all of them are looked at anyway.
    Some(match id.iter().fold(false, |found, octet| found | octet.is_ascii_uppercase()) {
        true => Cow::Owned(id.to_ascii_lowercase()),
        false => Cow::Borrowed(id),
    })
}

/// Shorter ones are counters or flags, which many requests share.
const SHORTEST_ID: usize = 8;

/// The port that an authority names; that of its scheme where it names none.
fn port(authority: &[u8], secure: bool) -> u16 {
    let otherwise = if secure { 443 } else { 80 };
    // A port has five digits at most.
    let end = authority.get(authority.len().saturating_sub(6)..).unwrap_or_default();
    let Some(colon) = end.iter().rposition(|octet| *octet == b':') else { return otherwise };
    let digits = end.get(colon + 1..).unwrap_or_default();
    number(digits).and_then(|port| u16::try_from(port).ok()).unwrap_or(otherwise)
}

/// A hash that is never 0.
pub(super) fn hash(parts: &[&[u8]]) -> u64 {
    let mut hasher = rustc_hash::FxHasher::default();
    parts.iter().for_each(|part| hasher.write(part));
    hasher.finish().max(1)
}

/// The name of requests of one kind, `GET /orders/#`: the method and the path without query,
/// digits as `#` (`/orders/17` and `/orders/18` are one kind), its first octets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    octets: [u8; KIND_KEPT],
    length: u8,
}

impl Pack for Kind {
    fn pack(&self, to: &mut Packer) {
        to.octets(self.octets());
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let from = from.octets();
        let mut octets = [0; KIND_KEPT];
        octets.iter_mut().zip(from).for_each(|(to, octet)| *to = *octet);
        Self { octets, length: from.len().min(KIND_KEPT) as u8 }
    }
}

impl Kind {
    /// Not known.
    pub const NONE: Self = Self { octets: [0; KIND_KEPT], length: 0 };

    fn of(method: &[u8], path: &[u8]) -> Self {
        const ROOM: usize = KIND_KEPT.next_power_of_two();
        let mut octets = [0; ROOM];
        let mut length = 0;
        let method = method.get(..KIND_KEPT - 1).unwrap_or(method);
        for part in [method, b" "] {
            if let Some(to) = octets.get_mut(length..length + part.len()) {
                to.copy_from_slice(part);
            }
            length += part.len();
        }
        let mut in_number = false;
        for octet in path {
            if *octet == b'?' || length >= KIND_KEPT {
                break;
            }
            let digit = octet.wrapping_sub(b'0') < 10;
            // Of a power of two, so that the place needs no check.
            if let Some(to) = octets.get_mut(length % ROOM) {
                *to = if digit { b'#' } else { *octet };
            }
            // Without a branch, for none could be foreseen.
            length += usize::from(!(digit & in_number));
            in_number = digit;
        }
        let octets = octets.first_chunk().copied().unwrap_or([0; KIND_KEPT]);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_of_http_1_is_known_by_what_a_field_section_is() {
        let head =
            b"GET /a?b=1 HTTP/1.1\r\nHost: shop:81\r\nX-Request-ID: 0123456789ab\r\nVia: 1.1 x\r\n";
        let mark = mark_of_head(head).unwrap();
        assert_eq!((mark.path, mark.authority), (hash(&[b"GET", b"/a?b=1"]), hash(&[b"shop:81"])));
        assert_eq!((mark.port, mark.request), (81, hash(&[b"0123456789ab"])));
        assert_eq!(mark.forwarded, 1);
        // A line that is cut off tells nothing, nor does a body.
        assert_eq!(mark_of_head(b"GET / HTTP/1.1\r\nHost: sho").unwrap().authority, 0);
        assert_eq!(mark_of_head(b"PUT / HTTP/1.1\r\n\r\nHost: a\r\n").unwrap().authority, 0);
        for other in
            [&b"GET / HTTP/1.1"[..], b"GET /\r\n", b"PRI * HTTP/2.0\r\n", b"\x16\x03\n", b""]
        {
            assert_eq!(mark_of_head(other), None);
        }
    }

    fn id(name: &str, value: &str) -> Option<String> {
        trace_id(name.as_bytes(), value.as_bytes())
            .map(|id| String::from_utf8(id.into_owned()).unwrap())
    }

    #[test]
    fn one_trace_has_one_id_whoever_writes_it_down() {
        let same = Some("f92f3577b34da6a3ce929d0e0e4736".to_owned());
        let trace = "00f92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(id("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01")), same);
        assert_eq!(id("b3", &format!("{}-e457b5a2e4d86bd1-1", trace.to_uppercase())), same);
        assert_eq!(id("x-b3-traceid", trace), same);
        assert_eq!(id("uber-trace-id", &format!("{trace}:e457b5a2:0:1")), same);
        assert_eq!(id("x-cloud-trace-context", &format!("{trace}/123;o=1")), same);
        let root = id("x-amzn-trace-id", "Self=1-2-3; Root=1-67891233-abcdef012345678912345678");
        assert_eq!(root.as_deref(), Some("1-67891233-abcdef012345678912345678"));
        // Not an id at all.
        assert_eq!(id("traceparent", "00-00000000000000000000000000000000-0-01"), None);
        assert_eq!((id("b3", "0"), id("traceparent", "nonsense")), (None, None));
    }

    #[test]
    fn an_authority_names_a_port_or_its_scheme_does() {
        let of = |text: &str, secure| port(text.as_bytes(), secure);
        assert_eq!((of("a:8080", false), of("[::1]:81", true)), (8080, 81));
        assert_eq!((of("a", false), of("a", true), of("[::1]", true)), (80, 443, 443));
    }
}
