//! What one side sends: frames and what is not a frame, from the words of a line.

use super::token::{Token, hex};
use crate::vocab::error_code::ErrorCode;
use crate::vocab::frame::{Flags, FrameType, PREFACE};
use crate::vocab::setting::SettingId;

/// One thing that a side sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// Octets as they are: the preface, text, anything.
    Octets(Vec<u8>),
    Frame(Frame),
    Fin,
    /// Whether it acknowledges nothing.
    Rst(bool),
}

/// A frame whose header block is not encoded yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    /// Octets of padding; `None` leaves the PADDED flag out.
    pub(super) padding: Option<u8>,
    /// Payload in front of the header block.
    pub(super) lead: Vec<u8>,
    /// The header block.
    pub(super) fields: Vec<Field>,
    /// SETTINGS_HEADER_TABLE_SIZE, where it is set.
    pub(super) table_size: Option<u32>,
}

/// One field of a header block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: Vec<u8>,
    pub(super) value: Vec<u8>,
    /// `!name=value`: a literal that is never indexed.
    pub(super) never_indexed: bool,
}

impl Item {
    /// From the words behind the arrow.
    pub(super) fn parse(tokens: &[Token]) -> Result<Self, String> {
        let (first, rest) = tokens.split_first().ok_or("nothing to send: name a frame")?;
        let mut words = Words { rest };
        let item = match first.word() {
            "PREFACE" => Self::Octets(PREFACE.to_vec()),
            "TEXT" => Self::Octets(words.next("a text")?.text.clone()),
            "RAW" => {
                let mut octets = Vec::new();
                while let Some(token) = words.maybe() {
                    octets.extend(hex(token.word())?);
                }
                Self::Octets(octets)
            }
            "FIN" => Self::Fin,
            "RST" => Self::Rst(false),
            "BARE_RST" => Self::Rst(true),
            name => Self::Frame(Frame::parse(name, &mut words)?),
        };
        match words.maybe() {
            None => Ok(item),
            Some(token) => Err(format!("`{}` is too much", String::from_utf8_lossy(&token.text))),
        }
    }
}

impl Frame {
    fn parse(name: &str, words: &mut Words<'_>) -> Result<Self, String> {
        match name {
            "SETTINGS" => Self::settings(words),
            "DATA" => Self::data(words),
            "HEADERS" => Self::headers(words),
            "CONTINUATION" => {
                let mut frame = Self::on(FrameType::CONTINUATION, words.stream()?);
                frame.block(words)?;
                Ok(frame)
            }
            "PUSH_PROMISE" => {
                let mut frame = Self::on(FrameType::PUSH_PROMISE, words.stream()?);
                frame.lead.extend(words.stream()?.to_be_bytes());
                frame.block(words)?;
                Ok(frame)
            }
            "PRIORITY" => {
                let mut frame = Self::on(FrameType::PRIORITY, words.stream()?);
                let depends_on = if words.rest.is_empty() { 0 } else { words.stream()? };
                let weight = if words.rest.is_empty() { 15 } else { words.number("a weight")? };
                frame.lead = priority(depends_on, weight);
                Ok(frame)
            }
            "RST_STREAM" => {
                let mut frame = Self::on(FrameType::RST_STREAM, words.stream()?);
                frame.lead.extend(words.code()?.to_be_bytes());
                Ok(frame)
            }
            "PING" => Self::ping(words),
            "GOAWAY" => {
                let mut frame = Self::on(FrameType::GOAWAY, 0);
                frame.lead.extend(words.stream()?.to_be_bytes());
                frame.lead.extend(words.code()?.to_be_bytes());
                frame.lead.extend(words.maybe().map(|text| text.text.clone()).unwrap_or_default());
                Ok(frame)
            }
            "WINDOW_UPDATE" => {
                let mut frame = Self::on(FrameType::WINDOW_UPDATE, words.stream()?);
                frame.lead.extend(words.number::<u32>("an increment")?.to_be_bytes());
                Ok(frame)
            }
            "FRAME" => {
                let kind = words.number("a frame type")?;
                let flags = words.number("flags")?;
                let mut frame = Self { kind, flags, stream: words.stream()?, ..Self::default() };
                frame.lead = words.maybe().map_or(Ok(Vec::new()), |token| hex(token.word()))?;
                Ok(frame)
            }
            other => Err(format!("`{other}` is no frame and nothing else to send")),
        }
    }

    fn on(kind: FrameType, stream: u32) -> Self {
        Self { kind: kind.0, stream, ..Self::default() }
    }

    fn settings(words: &mut Words<'_>) -> Result<Self, String> {
        let mut frame = Self::on(FrameType::SETTINGS, 0);
        while let Some(token) = words.maybe() {
            if token.word() == "ACK" {
                frame.flags |= Flags::ACK.0;
                continue;
            }
            let (name, value) = token.word().split_once('=').ok_or_else(|| {
                format!("`{}` is no setting: write NAME=VALUE or ACK", token.word())
            })?;
            let setting = match SettingId::from_name(name) {
                Some(setting) => setting,
                None => {
                    SettingId(number(name).ok_or_else(|| format!("`{name}` is no setting's name"))?)
                }
            };
            let value: u32 =
                number(value).ok_or_else(|| format!("`{value}` is no setting's value"))?;
            frame.lead.extend(setting.0.to_be_bytes());
            frame.lead.extend(value.to_be_bytes());
            if setting == SettingId::HEADER_TABLE_SIZE {
                frame.table_size = Some(value);
            }
        }
        Ok(frame)
    }

    fn data(words: &mut Words<'_>) -> Result<Self, String> {
        let mut frame = Self::on(FrameType::DATA, words.stream()?);
        let body = words.next("octets: how many, or a text")?;
        frame.lead = if body.quoted {
            body.text.clone()
        } else {
            let count: u32 = number(body.word())
                .filter(|&count| count <= LENGTH_MAX)
                .ok_or_else(|| format!("`{}` is no number of octets", body.word()))?;
            vec![b'x'; count as usize]
        };
        while let Some(token) = words.maybe() {
            frame.option(token.word())?;
        }
        Ok(frame)
    }

    fn headers(words: &mut Words<'_>) -> Result<Self, String> {
        let mut frame = Self::on(FrameType::HEADERS, words.stream()?);
        if let Some((first, rest)) = words.rest.split_first()
            && let Some(stream) = first.word().strip_prefix("PRIORITY=")
        {
            let stream = number(stream).ok_or_else(|| format!("`{stream}` is no stream"))?;
            frame.flags |= Flags::PRIORITY.0;
            frame.lead = priority(stream, 15);
            words.rest = rest;
        }
        frame.block(words)?;
        Ok(frame)
    }

    fn ping(words: &mut Words<'_>) -> Result<Self, String> {
        let mut frame = Self::on(FrameType::PING, 0);
        frame.lead = vec![0; 8];
        while let Some(token) = words.maybe() {
            if token.word() == "ACK" {
                frame.flags |= Flags::ACK.0;
            } else {
                frame.lead = hex(token.word())?;
            }
        }
        Ok(frame)
    }

    /// Flags and fields of a header block.
    fn block(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        self.flags |= Flags::END_HEADERS.0;
        while let Some(token) = words.maybe() {
            // A pseudo-header's name begins with a colon, an option's with a capital.
            if token.text.first().is_some_and(u8::is_ascii_uppercase) {
                self.option(token.word())?;
                continue;
            }
            let never_indexed = token.text.first() == Some(&b'!');
            let text = token.text.get(usize::from(never_indexed)..).unwrap_or_default();
            let mut halves = text.splitn(2, |&octet| octet == b'=');
            let (Some(name), Some(value)) = (halves.next(), halves.next()) else {
                let field = String::from_utf8_lossy(text);
                return Err(format!("`{field}` is no field: write name=value"));
            };
            self.fields.push(Field { name: name.to_vec(), value: value.to_vec(), never_indexed });
        }
        Ok(())
    }

    fn option(&mut self, word: &str) -> Result<(), String> {
        match word.split_once('=') {
            Some(("PAD", count)) => {
                let count = number(count).ok_or_else(|| format!("`{count}` is no padding"))?;
                self.padding = Some(count);
                self.flags |= Flags::PADDED.0;
            }
            None if word == "END_STREAM" => self.flags |= Flags::END_STREAM.0,
            None if word == "NO_END_HEADERS" => self.flags &= !Flags::END_HEADERS.0,
            _ => return Err(format!("`{word}` is no flag here")),
        }
        Ok(())
    }

    /// The frame on the wire, with its header block encoded.
    pub(super) fn octets(&self, block: &[u8]) -> Result<Vec<u8>, String> {
        let mut payload = Vec::new();
        payload.extend(self.padding);
        payload.extend_from_slice(&self.lead);
        payload.extend_from_slice(block);
        payload.resize(payload.len() + usize::from(self.padding.unwrap_or(0)), 0);
        let length = u32::try_from(payload.len())
            .ok()
            .filter(|&length| length <= LENGTH_MAX)
            .ok_or("the frame is longer than 24 bits can say")?;
        let mut octets: Vec<u8> = length.to_be_bytes().into_iter().skip(1).collect();
        octets.extend([self.kind, self.flags]);
        octets.extend(self.stream.to_be_bytes());
        octets.extend(payload);
        Ok(octets)
    }
}

/// The words of a line that are left.
struct Words<'t> {
    rest: &'t [Token],
}

impl<'t> Words<'t> {
    fn maybe(&mut self) -> Option<&'t Token> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn next(&mut self, what: &str) -> Result<&'t Token, String> {
        self.maybe().ok_or_else(|| format!("here must stand {what}"))
    }

    fn number<N: TryFrom<u64>>(&mut self, what: &str) -> Result<N, String> {
        let word = self.next(what)?.word();
        number(word).ok_or_else(|| format!("`{word}` is not {what}"))
    }

    /// A stream identifier; all 32 bits, for the sake of faulty peers.
    fn stream(&mut self) -> Result<u32, String> {
        self.number("a stream identifier")
    }

    fn code(&mut self) -> Result<u32, String> {
        let word = self.next("an error code")?.word();
        match ErrorCode::from_name(word) {
            Some(code) => Ok(code.0),
            None => number(word).ok_or_else(|| format!("`{word}` is no error code")),
        }
    }
}

/// A number, decimal or with `0x`.
pub(super) fn number<N: TryFrom<u64>>(word: &str) -> Option<N> {
    let value = match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok()?,
        None => word.parse().ok()?,
    };
    N::try_from(value).ok()
}

fn priority(depends_on: u32, weight: u8) -> Vec<u8> {
    let mut octets = depends_on.to_be_bytes().to_vec();
    octets.push(weight);
    octets
}

/// Largest frame payload: 24 bits.
const LENGTH_MAX: u32 = (1 << 24) - 1;
