//! A decoded header list (RFC 9113 section 4.3, RFC 7541), as the capture can tell it.

/// One field of a header list. A name or value that the capture cannot tell (an HPACK entry
/// inserted before the capture began or in lost octets) is `None`, never a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Field name.
    pub name: Option<&'a [u8]>,
    /// Field value.
    pub value: Option<&'a [u8]>,
}

/// Where a field lies in [`HeaderList`]'s text: offset and length, or unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldSpan {
    /// Offset of the name; the value follows the name.
    pub start: u32,
    /// Length of the name; `u32::MAX` for unknown.
    pub name: u32,
    /// Length of the value; `u32::MAX` for unknown.
    pub value: u32,
}

impl FieldSpan {
    /// Marks a length as unknown.
    pub const UNKNOWN: u32 = u32::MAX;
}

/// The header list of one block (HEADERS or PUSH_PROMISE with its CONTINUATIONs).
#[derive(Clone, Copy, Debug, Default)]
pub struct HeaderList<'a> {
    /// Fields in order.
    pub fields: &'a [FieldSpan],
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
    pub fn iter(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        let text = self.text;
        let part = move |start: u32, length: u32| {
            let start = start as usize;
            text.get(start..start.saturating_add(length as usize))
        };
        self.fields.iter().map(move |span| {
            let known_name = if span.name == FieldSpan::UNKNOWN { 0 } else { span.name };
            Field {
                name: (span.name != FieldSpan::UNKNOWN)
                    .then(|| part(span.start, span.name))
                    .flatten(),
                value: (span.value != FieldSpan::UNKNOWN)
                    .then(|| part(span.start.saturating_add(known_name), span.value))
                    .flatten(),
            }
        })
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
