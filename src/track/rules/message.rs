//! Messages: fields, pseudo-header fields, content-length (RFC 9113 section 8).

use crate::vocab::address::Side;
use crate::vocab::frame::{Flags, Payload};
use crate::vocab::header::{Field, HeaderFaultKind, HeaderList, Name};
use crate::vocab::header::{is_legal_value, is_no_name};
use crate::vocab::pack::packs;
use crate::vocab::rule;

use super::{Breach, Breaches, Desk, Role, Rules, StreamRules, grouped};

/// The request's method, as far as rules need it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Method {
    /// The capture cannot tell.
    #[default]
    Unknown,
    Head,
    Connect,
    /// CONNECT with `:protocol` (RFC 8441).
    ExtendedConnect,
    Other,
}

packs!(enum Method { 0 => Unknown, 1 => Head, 2 => Connect, 3 => ExtendedConnect, else Other });

/// What a header list says.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub breaches: Breaches,
    pub method: Method,
    pub status: Option<u16>,
    pub content_length: Option<u64>,
    /// Whether it has the `:method` of a request.
    pub is_request: bool,
    /// Whether every field is known: only then one can be missing.
    pub is_whole: bool,
}

impl Facts {
    /// Takes in a `content-length`, which is one number however often it is told (RFC 9110
    /// section 8.6).
    fn add_length(&mut self, value: Option<&[u8]>) {
        let new = value.and_then(number);
        match (self.content_length, new) {
            (Some(one), Some(other)) if one != other => {
                let text = format!("content-length is {one} and {other}");
                self.breaches.add(Breach::of(&rule::MSG_CONTENT_LENGTH, text));
                self.content_length = None; // DATA cannot be held against it any more
            }
            _ => self.content_length = new,
        }
    }
}

/// Pseudo-header fields of a list.
#[derive(Default)]
struct Pseudo<'a> {
    method: Option<Option<&'a [u8]>>,
    scheme: Option<Option<&'a [u8]>>,
    path: Option<Option<&'a [u8]>>,
    authority: Option<Option<&'a [u8]>>,
    protocol: Option<Option<&'a [u8]>>,
    status: Option<Option<&'a [u8]>>,
    has_unknown: bool,
}

impl<'a> Pseudo<'a> {
    fn slot(&mut self, name: Name) -> Option<&mut Option<Option<&'a [u8]>>> {
        match name {
            Name::Method => Some(&mut self.method),
            Name::Scheme => Some(&mut self.scheme),
            Name::Path => Some(&mut self.path),
            Name::Authority => Some(&mut self.authority),
            Name::Protocol => Some(&mut self.protocol),
            Name::Status => Some(&mut self.status),
            _ => None,
        }
    }
}

/// Whether a list was read to its end, or to where the capture cuts it.
pub(super) fn is_readable(list: &HeaderList<'_>) -> bool {
    list.fault.is_none_or(|fault| fault.kind == HeaderFaultKind::MissingSizeUpdate)
}

/// Names of requests, and of no other message.
const OF_REQUEST: [Name; 4] = [Name::Method, Name::Scheme, Name::Path, Name::Authority];

/// What a list says that has all that it must have and nothing that a rule could be about: `None`
/// where each of its fields must be looked at.
fn usual(list: &HeaderList<'_>, role: Role) -> Option<Facts> {
    let outline = list.outline.filter(|outline| outline.is_usual())?;
    if list.fault.is_some() || list.partial || list.truncated {
        return None;
    }
    let method = match role {
        Role::Request => {
            let has_all =
                outline.has(&[Name::Method, Name::Scheme, Name::Path], &[Name::Status, Name::Host]);
            match list.first(Name::Method)? {
                b"CONNECT" => return None,
                _ if !has_all || list.first(Name::Path)?.is_empty() => return None,
                b"HEAD" => Method::Head,
                _ => Method::Other,
            }
        }
        Role::Response if outline.has(&[Name::Status], &OF_REQUEST) => Method::Unknown,
        Role::Trailers if outline.has(&[], &OF_REQUEST) && outline.has(&[], &[Name::Status]) => {
            Method::Unknown
        }
        _ => return None,
    };
    Some(Facts {
        breaches: Breaches::default(),
        method,
        status: list.first(Name::Status).and_then(number).and_then(|n| n.try_into().ok()),
        content_length: list.first(Name::ContentLength).and_then(number),
        is_request: role == Role::Request,
        is_whole: true,
    })
}

/// Reads a header list in one pass. Plain fields may be missing from it: no rule is about them.
pub(super) fn check(list: &HeaderList<'_>, role: Role) -> Facts {
    if let Some(facts) = usual(list, role) {
        return facts;
    }
    let is_read = is_readable(list);
    let mut facts =
        Facts { is_whole: is_read && !list.partial && !list.truncated, ..Facts::default() };
    let mut pseudo = Pseudo::default();
    let mut host = None;
    for (field, place) in list.iter().zip(0_u32..) {
        let Some(name) = field.name else {
            facts.is_whole = false;
            continue;
        };
        let is_behind = list.first_regular.is_some_and(|first| first <= place);
        let of = field.tag.name;
        let breaches = &mut facts.breaches;
        let is_told = if of.is_pseudo() {
            pseudo_field(breaches, &mut pseudo, name, role, &field, is_behind)
        } else if field.tag.is_sound && !matches!(of, Name::Te | Name::OfHop) {
            false
        } else {
            regular_field(breaches, name, &field, role)
        };
        if !is_told && !field.tag.is_sound {
            wrong_value(breaches, name, &field);
        }
        match of {
            Name::ContentLength => facts.add_length(field.value),
            Name::Host => host = field.value,
            _ => {}
        }
    }
    facts.status = pseudo.status.flatten().and_then(number).and_then(|n| n.try_into().ok());
    facts.is_request = pseudo.method.is_some();
    facts.method = match pseudo.method.flatten() {
        None => Method::Unknown,
        Some(b"HEAD") => Method::Head,
        Some(b"CONNECT") if pseudo.protocol.is_some() => Method::ExtendedConnect,
        Some(b"CONNECT") => Method::Connect,
        Some(_) => Method::Other,
    };
    if list.partial {
        // Where a list is cut, so may be its last field.
        facts.breaches = Breaches::default();
        return facts;
    }
    if facts.breaches.is_empty() && facts.is_whole {
        facts.breaches.add(incomplete(&pseudo, &facts, role));
    }
    if matches!(role, Role::Request)
        && let (Some(Some(authority)), Some(host)) = (pseudo.authority, host)
        && !same_host(authority, host)
    {
        let text = format!(
            "host \"{}\" and :authority \"{}\" differ",
            host.escape_ascii(),
            authority.escape_ascii()
        );
        facts.breaches.add(Breach::of(&rule::MSG_AUTHORITY_HOST, text));
    }
    facts
}

/// RFC 9113 section 8.3. Says whether the field breaks a rule.
fn pseudo_field<'a>(
    breaches: &mut Breaches,
    pseudo: &mut Pseudo<'a>,
    name: &[u8],
    role: Role,
    field: &Field<'a>,
    is_behind: bool,
) -> bool {
    let shown = || name.escape_ascii();
    if role == Role::Trailers {
        let text = || format!("{} in trailers", shown());
        return breaches.tell(&rule::MSG_PSEUDO_IN_TRAILERS, text);
    }
    let Some(slot) = pseudo.slot(field.tag.name) else {
        pseudo.has_unknown = true;
        let text = || format!("{} is no pseudo-header field", shown());
        return breaches.tell(&rule::MSG_PSEUDO_UNKNOWN, text);
    };
    let is_repeated = slot.replace(field.value).is_some();
    let is_foreign = match role {
        Role::Request | Role::Promise => field.tag.name == Name::Status,
        Role::Response => field.tag.name != Name::Status,
        _ => false,
    };
    if is_foreign {
        let of = if role == Role::Response { "response" } else { "request" };
        breaches.tell(&rule::MSG_PSEUDO_UNKNOWN, || format!("{} in a {of}", shown()))
    } else if is_repeated {
        breaches.tell(&rule::MSG_PSEUDO_DUPLICATE, || format!("{} twice", shown()))
    } else {
        let text = || format!("{} behind a regular field", shown());
        is_behind && breaches.tell(&rule::MSG_PSEUDO_ORDER, text)
    }
}

/// RFC 9113 sections 8.2, 8.2.1 and 8.2.2. Says whether the field breaks a rule.
fn regular_field(breaches: &mut Breaches, name: &[u8], field: &Field<'_>, role: Role) -> bool {
    if !field.tag.is_sound && !field.tag.name.is_legal(name) {
        let only_upper = name.iter().all(|octet| octet.is_ascii_uppercase() || !is_no_name(*octet));
        let rule = if only_upper && !name.is_empty() {
            &rule::MSG_UPPERCASE
        } else {
            &rule::MSG_NAME_CHARS
        };
        return breaches.tell(rule, || format!("a field named \"{}\"", short(name)));
    }
    let is_of_hop = match field.tag.name {
        // What a client may say of itself, a server may not.
        Name::Te if role == Role::Response => true,
        Name::Te => field.value.is_some_and(|value| !value.eq_ignore_ascii_case(b"trailers")),
        Name::OfHop => true,
        _ => false,
    };
    let rule = if name == b"te" { &rule::MSG_TE } else { &rule::MSG_CONNECTION_HEADERS };
    let value = || short(field.value.unwrap_or_default());
    is_of_hop && breaches.tell(rule, || format!("{}: \"{}\"", name.escape_ascii(), value()))
}

/// RFC 9113 section 8.2.1.
fn wrong_value(breaches: &mut Breaches, name: &[u8], field: &Field<'_>) {
    let value = field.value.filter(|value| !field.tag.is_sound && !is_legal_value(value));
    if let Some(value) = value {
        let text = || format!("the value of {}: \"{}\"", short(name), short(value));
        breaches.tell(&rule::MSG_VALUE_CHARS, text);
    }
}

/// RFC 9113 sections 8.3.1, 8.3.2, 8.4 and 8.5: what a message must have.
fn incomplete(pseudo: &Pseudo<'_>, facts: &Facts, role: Role) -> Option<Breach> {
    match role {
        Role::Request => {}
        Role::Promise => {
            if let Some(Some(method)) = pseudo.method
                && method != b"GET"
                && method != b"HEAD"
            {
                let text = format!("a promised {} request", short(method));
                return Breach::of(&rule::PUSH_UNSAFE_METHOD, text);
            }
            if let Some(octets @ 1..) = facts.content_length {
                let text = format!("a promised request with content-length {octets}");
                return Breach::of(&rule::PUSH_UNSAFE_METHOD, text);
            }
        }
        Role::Response if pseudo.status.is_none() => {
            return Breach::of(&rule::MSG_RESPONSE_STATUS, "a response without :status");
        }
        _ => return None,
    }
    if facts.method == Method::Connect {
        let text = match (&pseudo.scheme, &pseudo.path, &pseudo.authority) {
            (None, None, Some(_)) => return None,
            (None, None, None) => "a CONNECT request without :authority",
            _ => "a CONNECT request with :scheme or :path",
        };
        return Breach::of(&rule::CONNECT_NO_SCHEME_PATH, text);
    }
    let wanted = [(":method", pseudo.method), (":scheme", pseudo.scheme), (":path", pseudo.path)];
    let missing: Vec<&str> =
        wanted.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| *name).collect();
    if !missing.is_empty() {
        let text = format!("a request without {}", missing.join(", "));
        return Breach::of(&rule::MSG_REQUEST_PSEUDO_MANDATORY, text);
    }
    let is_http = matches!(pseudo.scheme, Some(Some(b"http" | b"https")));
    if is_http && pseudo.path == Some(Some(b"")) {
        return Breach::of(&rule::MSG_PATH_EMPTY, "a request with an empty :path");
    }
    None
}

/// Hosts are compared without case and default ports (RFC 3986 section 6.2.3).
fn same_host(authority: &[u8], host: &[u8]) -> bool {
    let bare = |value: &[u8]| -> Vec<u8> {
        let value = value.to_ascii_lowercase();
        let port = [&b":443"[..], b":80"].into_iter().find(|port| value.ends_with(port));
        let length = value.len() - port.map_or(0, <[u8]>::len);
        value.get(..length).unwrap_or_default().to_vec()
    };
    authority == host || bare(authority) == bare(host)
}

fn number(value: &[u8]) -> Option<u64> {
    let add = |number: u64, octet: &u8| {
        let digit = octet.is_ascii_digit().then(|| u64::from(octet - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    };
    if value.is_empty() { None } else { value.iter().try_fold(0, add) }
}

/// A name or value for a text.
fn short(value: &[u8]) -> String {
    let shown = value.get(..64).unwrap_or(value).escape_ascii().to_string();
    if value.len() > 64 { format!("{shown}...") } else { shown }
}

impl StreamRules {
    /// Whether this response has no body whatever its content-length says (RFC 9110
    /// section 8.6), or the capture cannot tell.
    pub(super) fn has_no_body(&self, status: Option<u16>) -> bool {
        let by_status = status.is_none_or(|status| matches!(status, 204 | 304));
        by_status || self.method != Method::Other
    }

    /// RFC 9113 section 8.1.1: the message ends with fewer or more octets than it declared.
    pub(super) fn short_of_declared(&self, by: Side, octets: u64) -> Option<Breach> {
        let declared = (*self.declared.side(by))?;
        if declared == octets || *self.is_blurred.side(by) {
            return None;
        }
        let text =
            format!("content-length {} and {} octets of DATA", grouped(declared), grouped(octets));
        Breach::of(&rule::MSG_CONTENT_LENGTH, text)
    }
}

impl Rules {
    /// Compares DATA with `content-length`, at the message's end or where it goes beyond.
    pub(super) fn count_data(&mut self, desk: &mut Desk<'_, '_>) -> Option<Breach> {
        let frame = desk.frame;
        let by = frame.by;
        let losses = self.losses;
        let stream = desk.open.get_mut(&frame.head.stream)?;
        let Payload::Data { data } = frame.payload else {
            *stream.rules.is_blurred.side_mut(by) = true;
            return None;
        };
        let declared = (*stream.rules.declared.side(by))?;
        let octets = *stream.data.side(by) + u64::from(data);
        let ends = frame.head.flags.has(Flags::END_STREAM);
        let is_sure = stream.rules.is_sure && stream.rules.born == losses;
        if (octets <= declared && !ends) || !is_sure {
            return None;
        }
        let breach = stream.rules.short_of_declared(by, octets);
        *stream.rules.declared.side_mut(by) = None;
        breach
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::header::{FieldSpan, Outline};

    const FIELDS: &[(&str, &str)] = &[
        (":method", "GET"),
        (":method", "CONNECT"),
        (":method", "HEAD"),
        (":scheme", "http"),
        (":scheme", "https"),
        (":path", "/"),
        (":path", ""),
        (":authority", "a"),
        (":protocol", "websocket"),
        (":status", "200"),
        (":status", "2x0"),
        (":other", ""),
        ("host", "a"),
        ("host", "b"),
        ("te", "trailers"),
        ("te", "gzip"),
        ("content-length", "5"),
        ("content-length", "-5"),
        ("upgrade", "h2c"),
        ("server", "s "),
        ("Upper", "s"),
        ("user-agent", "u"),
    ];

    /// A list of these fields; the one behind the last of [`FIELDS`] is unknown.
    fn with_list<R>(places: &[usize], read: impl FnOnce(HeaderList<'_>, &Outline) -> R) -> R {
        let (mut text, mut spans) = (Vec::new(), Vec::new());
        let (mut outline, mut first_regular) = (Outline::default(), None);
        for place in places {
            let unknown = FieldSpan::UNKNOWN;
            let mut span = FieldSpan { name: unknown, value: unknown, ..FieldSpan::default() };
            if let Some((name, value)) = FIELDS.get(*place) {
                let tag = Field::known(name.as_bytes(), value.as_bytes()).tag;
                if !tag.name.is_pseudo() {
                    first_regular.get_or_insert(spans.len() as u32);
                }
                let stored = if tag.name.octets().is_some() { "" } else { name };
                let (start, name, value_length) = (text.len(), stored.len(), value.len());
                text.extend_from_slice(stored.as_bytes());
                text.extend_from_slice(value.as_bytes());
                let (name, value) = (name as u32, value_length as u32);
                span = FieldSpan { start: start as u32, name, value, tag };
            }
            outline.add(&span, spans.len(), first_regular.is_some());
            spans.push(span);
        }
        let (fields, text) = (&spans, &text);
        read(HeaderList { fields, text, first_regular, ..HeaderList::default() }, &outline)
    }

    #[test]
    fn lists_that_are_as_usual_say_what_a_look_at_each_field_says() {
        let roles = [Role::Request, Role::Promise, Role::Response, Role::Trailers, Role::Unsure];
        let mut seed = 7_u64;
        let mut next = |end: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as usize % end
        };
        let mut short = 0;
        for turn in 0..20_000 {
            let mut places: Vec<usize> = (0..next(6)).map(|_| next(FIELDS.len() + 1)).collect();
            if turn % 2 == 0 {
                places.splice(..0, [0, 3, 5]);
            }
            with_list(&places, |list, outline| {
                let outlined = HeaderList { outline: Some(outline), ..list };
                for role in roles {
                    short += u32::from(usual(&outlined, role).is_some());
                    let (quick, slow) = (check(&outlined, role), check(&list, role));
                    assert_eq!(format!("{quick:?}"), format!("{slow:?}"), "{places:?} {role:?}");
                }
                for name in [Name::Path, Name::Host, Name::Te, Name::Status, Name::Server] {
                    assert_eq!(outlined.first(name), list.first(name), "{places:?} {name:?}");
                }
            });
        }
        assert!(short > 2_000, "{short}");
    }
}
