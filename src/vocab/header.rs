//! A decoded header list (RFC 9113 section 4.3, RFC 7541), as the capture can tell it.

use super::pack::packs;

/// One field of a header list. A name or value that the capture cannot tell (an HPACK entry
/// inserted before the capture began or in lost octets) is `None`, never a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Field name.
    pub name: Option<&'a [u8]>,
    /// Field value.
    pub value: Option<&'a [u8]>,
    /// What is known of both, found once for all that read the field.
    pub tag: Tag,
}

impl<'a> Field<'a> {
    /// A field of which both parts are known.
    pub fn known(name: &'a [u8], value: &'a [u8]) -> Self {
        let of = Name::of(name);
        let tag = Tag { name: of, is_sound: of.is_legal(name) && is_legal_value(value) };
        Self { name: Some(name), value: Some(value), tag }
    }
}

/// What a field is, as far as anybody here asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tag {
    /// Its name.
    pub name: Name,
    /// Whether name and value are known and have only octets that they may have (RFC 9113
    /// section 8.2.1).
    pub is_sound: bool,
}

packs!(struct Tag { name, is_sound });

impl Tag {
    /// Whether neither the analysis nor the rules look at such a field.
    pub fn is_plain(self) -> bool {
        self.is_sound && self.name == Name::Other
    }
}

/// Field names that the analysis or the rules look for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Name {
    /// None of them.
    #[default]
    Other,
    /// `:method`
    Method,
    /// `:scheme`
    Scheme,
    /// `:path`
    Path,
    /// `:authority`
    Authority,
    /// `:protocol` (RFC 8441)
    Protocol,
    /// `:status`
    Status,
    /// Another name that begins with a colon.
    Pseudo,
    /// `content-length`
    ContentLength,
    /// `content-type`
    ContentType,
    /// `host`
    Host,
    /// `te`
    Te,
    /// A field of one hop in HTTP/1 (RFC 9113 section 8.2.2).
    OfHop,
    /// `grpc-status`
    GrpcStatus,
    /// `grpc-message`
    GrpcMessage,
    /// `grpc-timeout`
    GrpcTimeout,
    /// `x-envoy-expected-rq-timeout-ms`
    EnvoyTimeout,
    /// `user-agent`
    UserAgent,
    /// `server`
    Server,
    /// A field that carries a trace identifier: `traceparent`, `b3` and the like.
    Trace,
    /// A field that carries an identifier of one request: `x-request-id` and its kin.
    RequestId,
    /// A field that proxies add: `via`, `forwarded`, `x-forwarded-for` and the like.
    Forwarded,
}

packs!(enum Name {
    0 => Method, 1 => Scheme, 2 => Path, 3 => Authority, 4 => Protocol, 5 => Status, 6 => Pseudo,
    7 => ContentLength, 8 => ContentType, 9 => Host, 10 => Te, 11 => OfHop, 12 => GrpcStatus,
    13 => GrpcMessage, 14 => GrpcTimeout, 15 => EnvoyTimeout, 16 => UserAgent, 17 => Server,
    18 => Trace, 19 => RequestId, 20 => Forwarded, else Other
});

impl Name {
    /// How many there are.
    const COUNT: usize = Self::Forwarded as usize + 1;

    const fn bit(self) -> u32 {
        1 << self as u32
    }

    /// What this name is.
    pub fn of(name: &[u8]) -> Self {
        match name {
            b":method" => Self::Method,
            b":scheme" => Self::Scheme,
            b":path" => Self::Path,
            b":authority" => Self::Authority,
            b":protocol" => Self::Protocol,
            b":status" => Self::Status,
            [b':', ..] => Self::Pseudo,
            b"content-length" => Self::ContentLength,
            b"content-type" => Self::ContentType,
            b"host" => Self::Host,
            b"te" => Self::Te,
            b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding"
            | b"upgrade" => Self::OfHop,
            b"grpc-status" => Self::GrpcStatus,
            b"grpc-message" => Self::GrpcMessage,
            b"grpc-timeout" => Self::GrpcTimeout,
            b"x-envoy-expected-rq-timeout-ms" => Self::EnvoyTimeout,
            b"user-agent" => Self::UserAgent,
            b"server" => Self::Server,
            b"traceparent"
            | b"b3"
            | b"x-b3-traceid"
            | b"uber-trace-id"
            | b"x-datadog-trace-id"
            | b"x-cloud-trace-context"
            | b"x-amzn-trace-id" => Self::Trace,
            b"x-request-id" | b"x-correlation-id" | b"request-id" => Self::RequestId,
            b"via"
            | b"forwarded"
            | b"x-forwarded-for"
            | b"x-forwarded-proto"
            | b"x-forwarded-host"
            | b"x-envoy-external-address" => Self::Forwarded,
            _ => Self::Other,
        }
    }

    /// Whether it says the name itself: [`Name::octets`] has it.
    #[inline]
    pub fn is_told(self) -> bool {
        use Name::{Forwarded, OfHop, Other, Pseudo, RequestId, Trace};
        !matches!(self, Other | Pseudo | OfHop | Trace | RequestId | Forwarded)
    }

    /// The name itself, where it is one of them all.
    pub fn octets(self) -> Option<&'static [u8]> {
        Some(match self {
            Self::Other | Self::Pseudo | Self::OfHop => return None,
            Self::Trace | Self::RequestId | Self::Forwarded => return None,
            Self::Method => b":method",
            Self::Scheme => b":scheme",
            Self::Path => b":path",
            Self::Authority => b":authority",
            Self::Protocol => b":protocol",
            Self::Status => b":status",
            Self::ContentLength => b"content-length",
            Self::ContentType => b"content-type",
            Self::Host => b"host",
            Self::Te => b"te",
            Self::GrpcStatus => b"grpc-status",
            Self::GrpcMessage => b"grpc-message",
            Self::GrpcTimeout => b"grpc-timeout",
            Self::EnvoyTimeout => b"x-envoy-expected-rq-timeout-ms",
            Self::UserAgent => b"user-agent",
            Self::Server => b"server",
        })
    }

    /// Whether it begins with a colon.
    pub fn is_pseudo(self) -> bool {
        use Name::{Authority, Method, Path, Protocol, Pseudo, Scheme, Status};
        matches!(self, Method | Scheme | Path | Authority | Protocol | Status | Pseudo)
    }

    /// Whether several field names go by it, of which a request may well have more than one.
    fn is_family(self) -> bool {
        matches!(self, Self::Trace | Self::RequestId | Self::Forwarded)
    }

    /// Whether the octets of such a name may stand in one: those of known names may.
    pub fn is_legal(self, name: &[u8]) -> bool {
        self != Self::Other || is_legal_name(name)
    }
}

/// Whether a name that begins with no colon has only octets that names have (RFC 9113
/// section 8.2.1). Without a branch an octet, for most have none that is wrong.
pub fn is_legal_name(name: &[u8]) -> bool {
    !name.is_empty() && !name.iter().fold(false, |found, octet| found | is_no_name(*octet))
}

/// Whether no field name has this octet (RFC 9113 section 8.2.1).
pub fn is_no_name(octet: u8) -> bool {
    (octet <= 0x20) | octet.is_ascii_uppercase() | (octet >= 0x7f) | (octet == b':')
}

/// Whether a value has only octets that values have, and no blank at either end (RFC 9113
/// section 8.2.1).
pub fn is_legal_value(value: &[u8]) -> bool {
    let is_no_value = |octet: u8| (octet == 0) | (octet == b'\r') | (octet == b'\n');
    is_trimmed(value) && !value.iter().fold(false, |found, octet| found | is_no_value(*octet))
}

/// Whether a value has no blank at either end.
#[inline]
pub fn is_trimmed(value: &[u8]) -> bool {
    let is_blank = |octet: Option<&u8>| matches!(octet, Some(b' ' | b'\t'));
    !is_blank(value.first()) && !is_blank(value.last())
}

/// Where a field lies in [`HeaderList`]'s text: offset and length, or unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldSpan {
    /// Offset of the name; the value follows the name.
    pub start: u32,
    /// Length of the name; `u32::MAX` for unknown, and nothing where the tag says the name
    /// ([`Name::octets`]).
    pub name: u32,
    /// Length of the value; `u32::MAX` for unknown.
    pub value: u32,
    /// What is known of the field.
    pub tag: Tag,
}

impl FieldSpan {
    /// Marks a length as unknown.
    pub const UNKNOWN: u32 = u32::MAX;

    /// The field, whose octets lie in `text`.
    #[inline]
    fn field(self, text: &[u8]) -> Field<'_> {
        let part = |start: u32, length: u32| {
            let start = start as usize;
            text.get(start..start.saturating_add(length as usize))
        };
        let known = |length: u32| length != Self::UNKNOWN;
        let behind =
            if known(self.name) { self.start.saturating_add(self.name) } else { self.start };
        let name = self.tag.name.octets();
        Field {
            name: name.or_else(|| known(self.name).then(|| part(self.start, self.name)).flatten()),
            value: known(self.value).then(|| part(behind, self.value)).flatten(),
            tag: self.tag,
        }
    }
}

/// What is noted of a list while it is read: where it has the names that somebody looks for, and
/// whether more than that must be looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outline {
    /// A bit for each name that it has with a value.
    names: u32,
    /// Place in [`HeaderList::fields`] of the first of each; [`FAR`](Self::FAR) for those behind.
    places: [u8; Name::COUNT],
    /// Whether a field is unknown, unsound, repeated, out of place, or of a kind that rules are
    /// about whatever the rest is.
    is_odd: bool,
}

impl Outline {
    const FAR: u8 = u8::MAX;

    /// Notes the field at `place`; `is_late` is one behind a regular field.
    #[inline]
    pub fn add(&mut self, field: &FieldSpan, place: usize, is_late: bool) {
        let Tag { name, is_sound } = field.tag;
        let bit = name.bit();
        let is_strange = matches!(name, Name::Te | Name::OfHop | Name::Pseudo | Name::Protocol);
        let is_again = self.names & bit != 0 && name != Name::Other;
        let is_twice = is_again && !name.is_family();
        self.is_odd |= !is_sound || is_strange || is_twice || (is_late && name.is_pseudo());
        if is_again || field.value == FieldSpan::UNKNOWN {
            return;
        }
        if let Some(slot) = self.places.get_mut(name as usize) {
            *slot = u8::try_from(place).unwrap_or(Self::FAR);
            self.names |= bit;
        }
    }

    /// Whether nothing in the list is odd: then rules depend only on the names it has.
    pub fn is_usual(&self) -> bool {
        !self.is_odd
    }

    /// Whether it has all names of `wanted` and none of `unwanted`.
    #[inline]
    pub fn has(&self, wanted: &[Name], unwanted: &[Name]) -> bool {
        let bits = |names: &[Name]| names.iter().fold(0, |bits, name| bits | name.bit());
        let wanted = bits(wanted);
        self.names & (wanted | bits(unwanted)) == wanted
    }

    #[inline]
    fn place(&self, name: Name) -> Option<u8> {
        self.places.get(name as usize).copied().filter(|_| self.names & name.bit() != 0)
    }
}

/// The header list of one block (HEADERS or PUSH_PROMISE with its CONTINUATIONs).
#[derive(Clone, Copy, Debug, Default)]
pub struct HeaderList<'a> {
    /// Fields in order, all of them or all but the plain ones ([`Tag::is_plain`]).
    pub fields: &'a [FieldSpan],
    /// What was noted of them; `None` where nothing was.
    pub outline: Option<&'a Outline>,
    /// Place in `fields` of the first one that is no pseudo-header field, or where it would be.
    pub first_regular: Option<u32>,
    /// Their octets.
    pub text: &'a [u8],
    /// Size by RFC 9113 section 6.5.2 (octets of names and values plus 32 a field), a lower bound
    /// where a field is unknown.
    pub size: u64,
    /// What broke the block, if anything did; fields before it are kept.
    pub fault: Option<HeaderFault>,
    /// Fields left out because a limit was reached.
    pub truncated: bool,
    /// Some octets of the block are not in the capture: what is here is only its beginning.
    pub partial: bool,
}

impl<'a> HeaderList<'a> {
    /// Fields in order.
    pub fn iter(&self) -> impl Iterator<Item = Field<'a>> + Clone + use<'a> {
        let text = self.text;
        self.fields.iter().map(move |span| span.field(text))
    }

    /// Fields of these names in order.
    pub fn named<const N: usize>(
        &self,
        names: [Name; N],
    ) -> impl Iterator<Item = Field<'a>> + use<'a, N> {
        let text = self.text;
        let wanted = self.fields.iter().filter(move |span| names.contains(&span.tag.name));
        wanted.map(move |span| span.field(text))
    }

    /// Value of the first field of this name whose value is known.
    #[inline]
    pub fn first(&self, name: Name) -> Option<&'a [u8]> {
        let place = self.outline.map_or(Some(Outline::FAR), |outline| outline.place(name))?;
        if place != Outline::FAR {
            return self.fields.get(usize::from(place))?.field(self.text).value;
        }
        self.iter().filter(|field| field.tag.name == name).find_map(|field| field.value)
    }

    /// Whether a field of this name may be among them.
    #[inline]
    pub fn may_have(&self, name: Name) -> bool {
        self.outline.is_none_or(|outline| outline.names & name.bit() != 0)
    }

    /// First value of the field `name`, where both are known.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.iter().find(|field| field.name == Some(name.as_bytes())).and_then(|field| field.value)
    }
}

/// What is wrong with an encoded header block (RFC 7541, RFC 9113 section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderFault {
    /// Which rule.
    pub kind: HeaderFaultKind,
    /// Offset in the block at which it showed.
    pub offset: u32,
}

/// The rules of RFC 7541 that a block can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFaultKind {
    /// Index 0 (section 6.1).
    IndexZero,
    /// An index beyond both tables (section 2.3.3).
    IndexBeyondTable,
    /// An integer that overflows (section 5.1).
    IntegerOverflow,
    /// The block ends inside a field.
    Truncated,
    /// Huffman: EOS symbol inside a string (section 5.2).
    HuffmanEos,
    /// Huffman: padding longer than 7 bits or not the most significant bits of EOS (section 5.2).
    HuffmanPadding,
    /// A dynamic table size update after the first field (section 4.2).
    LateSizeUpdate,
    /// A size update above what SETTINGS allow (section 6.3).
    SizeUpdateTooLarge,
    /// SETTINGS lowered the table and the next block did not begin with a size update
    /// (section 4.2).
    MissingSizeUpdate,
}

impl HeaderFaultKind {
    /// Section of RFC 7541 that it breaks.
    pub fn section(self) -> &'static str {
        match self {
            Self::IndexZero => "6.1",
            Self::IndexBeyondTable => "2.3.3",
            Self::IntegerOverflow | Self::Truncated => "5.1",
            Self::HuffmanEos | Self::HuffmanPadding => "5.2",
            Self::LateSizeUpdate | Self::MissingSizeUpdate => "4.2",
            Self::SizeUpdateTooLarge => "6.3",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_name_is_found_however_far_behind() {
        let (mut outline, mut fields) = (Outline::default(), Vec::new());
        let text = b"abc";
        for (name, start) in [(Name::Other, 0); 300].into_iter().chain([(Name::Server, 1); 2]) {
            let tag = Tag { name, is_sound: true };
            let span = FieldSpan { start, name: 0, value: 1, tag };
            outline.add(&span, fields.len(), true);
            fields.push(FieldSpan { start: start + u32::from(fields.len() == 301), ..span });
        }
        let list = HeaderList { fields: &fields, text, ..HeaderList::default() };
        let outlined = HeaderList { outline: Some(&outline), ..list };
        for list in [list, outlined] {
            assert_eq!((list.first(Name::Server), list.first(Name::Path)), (Some(&b"b"[..]), None));
        }
        assert!(outlined.may_have(Name::Server) && !outlined.may_have(Name::Path));
    }
}
