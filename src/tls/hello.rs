//! Handshake messages (RFC 8446 section 4, RFC 5246 section 7.4): put together over records, and
//! read as far as this program needs them.

use crate::vocab::address::Both;
use crate::vocab::tls::{CipherSuite, TlsVersion};

/// Handshake message types.
pub(super) mod message {
    pub const HELLO_REQUEST: u8 = 0;
    pub const CLIENT_HELLO: u8 = 1;
    pub const SERVER_HELLO: u8 = 2;
    pub const END_OF_EARLY_DATA: u8 = 5;
    pub const ENCRYPTED_EXTENSIONS: u8 = 8;
    pub const CERTIFICATE_REQUEST: u8 = 13;
    pub const KEY_UPDATE: u8 = 24;
}

/// Longest name of ALPN or SNI that is told.
const NAME_MAX: usize = 255;

/// Names of one offer that are told.
const NAMES_MAX: usize = 16;

/// The handshake messages of one half.
#[derive(Default)]
pub(super) struct Messages {
    /// Head and body of a message, as far as they have come.
    octets: Vec<u8>,
    /// Octets of a message of no interest still to come.
    skip: usize,
    /// Whether octets were lost: a message begins at a record's beginning at best.
    lost: bool,
}

const HEAD: usize = 4;

impl Messages {
    /// Takes the content of a handshake record. `each` is told of every message: its type, and
    /// its body where it is one that is read here and has at most `most` octets.
    pub fn push(&mut self, content: &[u8], most: usize, each: &mut impl FnMut(u8, &[u8])) {
        if self.lost && !chains(content) {
            return;
        }
        let mut rest = content;
        while !rest.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(rest.len());
                self.skip -= skipped;
                rest = rest.get(skipped..).unwrap_or_default();
                continue;
            }
            let wanted = match self.wanted() {
                None => HEAD,
                Some((kind, length)) if is_read(kind) && length <= most => HEAD + length,
                Some((kind, length)) => {
                    each(kind, &[]);
                    self.octets.clear();
                    self.skip = length;
                    continue;
                }
            };
            let missing = wanted.saturating_sub(self.octets.len()).min(rest.len());
            let (front, back) = rest.split_at(missing);
            self.octets.extend_from_slice(front);
            rest = back;
            self.complete(most, each);
        }
        self.complete(most, each);
    }

    /// Octets are missing from here on: what there is of a hello is told all the same.
    pub fn tear(&mut self, each: &mut impl FnMut(u8, &[u8])) {
        if let Some((kind @ (message::CLIENT_HELLO | message::SERVER_HELLO), _)) = self.wanted() {
            each(kind, self.octets.get(HEAD..).unwrap_or_default());
        }
        *self = Self { lost: true, ..Self::default() };
    }

    /// Type and length of the message whose head has come.
    fn wanted(&self) -> Option<(u8, usize)> {
        let &[kind, high, middle, low] = self.octets.first_chunk::<HEAD>()?;
        Some((kind, u32::from_be_bytes([0, high, middle, low]) as usize))
    }

    fn complete(&mut self, most: usize, each: &mut impl FnMut(u8, &[u8])) {
        let Some((kind, length)) = self.wanted() else { return };
        if !is_read(kind) || length > most {
            each(kind, &[]);
            self.octets.clear();
            self.skip = length;
        } else if self.octets.len() >= HEAD + length {
            each(kind, self.octets.get(HEAD..HEAD + length).unwrap_or_default());
            self.octets = Vec::new();
        }
    }
}

fn is_read(kind: u8) -> bool {
    matches!(
        kind,
        message::CLIENT_HELLO
            | message::SERVER_HELLO
            | message::ENCRYPTED_EXTENSIONS
            | message::KEY_UPDATE
    )
}

/// Whether these octets are whole messages.
fn chains(content: &[u8]) -> bool {
    let mut rest = content;
    while let Some((&[_, high, middle, low], behind)) = rest.split_first_chunk::<HEAD>() {
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        let Some(next) = behind.get(length..) else { return false };
        rest = next;
    }
    rest.is_empty() && !content.is_empty()
}

/// What the hellos say beyond the facts.
#[derive(Default)]
pub(super) struct Hellos {
    pub client_random: Option<[u8; 32]>,
    pub server_random: Option<[u8; 32]>,
    pub encrypt_then_mac: bool,
    /// Session that the client asked to resume (RFC 5246 section 7.4.1.2). Who has a ticket makes
    /// one up, to see it come back (RFC 5077 section 3.4).
    pub session: Vec<u8>,
    /// Whether the server said yes.
    pub resumed: bool,
    /// Hellos that will not come any more: not captured, or lost.
    pub gone: Both<bool>,
}

/// What a ClientHello says.
#[derive(Debug, Default)]
pub(super) struct ClientHello {
    pub random: [u8; 32],
    pub session: Vec<u8>,
    pub sni: Option<String>,
    pub alpn: Vec<String>,
    pub early_data: bool,
    /// Whether it was there to its end: else nobody knows what it did not ask for.
    pub whole: bool,
}

/// What a ServerHello or HelloRetryRequest says.
#[derive(Debug, Default)]
pub(super) struct ServerHello {
    pub random: [u8; 32],
    pub session: Vec<u8>,
    pub cipher: Option<CipherSuite>,
    /// `None` where the message is torn before that can be known.
    pub version: Option<TlsVersion>,
    pub alpn: Option<String>,
    pub encrypt_then_mac: bool,
    pub psk: bool,
    pub retry: bool,
}

/// SHA-256 of "HelloRetryRequest" (RFC 8446 section 4.1.3).
const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

mod extension {
    pub const SERVER_NAME: u16 = 0;
    pub const ALPN: u16 = 16;
    pub const ENCRYPT_THEN_MAC: u16 = 22;
    pub const PRE_SHARED_KEY: u16 = 41;
    pub const EARLY_DATA: u16 = 42;
    pub const SUPPORTED_VERSIONS: u16 = 43;
}

impl ClientHello {
    /// RFC 8446 section 4.1.2. What is cut off behind the random is left out.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut octets = Octets(body);
        octets.take(2)?;
        let mut hello = Self { random: *octets.take(32)?.first_chunk()?, ..Self::default() };
        let front = (octets.vector8(), octets.vector16(), octets.vector8());
        hello.session = front.0.unwrap_or_default().to_vec();
        if front.0.is_some() && front.1.is_some() && front.2.is_some() {
            hello.whole = extensions(&mut octets, |kind, data| match kind {
                extension::SERVER_NAME => hello.sni = server_name(data),
                extension::ALPN => hello.alpn = protocols(data),
                extension::EARLY_DATA => hello.early_data = true,
                _ => {}
            });
        }
        Some(hello)
    }
}

impl ServerHello {
    /// RFC 8446 section 4.1.3.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut octets = Octets(body);
        let legacy_version = octets.u16()?;
        let random = *octets.take(32)?.first_chunk()?;
        let mut hello = Self { random, retry: random == RETRY_RANDOM, ..Self::default() };
        let mut parse_front = || {
            hello.session = octets.vector8()?.to_vec();
            hello.cipher = Some(CipherSuite(octets.u16()?));
            octets.take(1)
        };
        if parse_front().is_none() {
            return Some(hello);
        }
        let mut version = None;
        let whole = extensions(&mut octets, |kind, data| match kind {
            extension::SUPPORTED_VERSIONS => {
                version = Octets(data).u16().map(TlsVersion);
            }
            extension::ALPN => hello.alpn = protocols(data).into_iter().next(),
            extension::ENCRYPT_THEN_MAC => hello.encrypt_then_mac = true,
            extension::PRE_SHARED_KEY => hello.psk = true,
            _ => {}
        });
        let is_13 = hello.cipher.is_some_and(|cipher| cipher.0 >> 8 == 0x13);
        hello.version = match version {
            Some(version) => Some(version),
            None if is_13 => Some(TlsVersion::TLS13),
            None if whole => Some(TlsVersion(legacy_version)),
            None => None,
        };
        Some(hello)
    }
}

/// EncryptedExtensions (RFC 8446 section 4.3.1): the protocol chosen, and whether 0-RTT data is
/// taken.
pub(super) fn encrypted_extensions(body: &[u8]) -> (Option<String>, bool) {
    let (mut alpn, mut early) = (None, false);
    extensions(&mut Octets(body), |kind, data| match kind {
        extension::ALPN => alpn = protocols(data).into_iter().next(),
        extension::EARLY_DATA => early = true,
        _ => {}
    });
    (alpn, early)
}

/// Tells of every extension. Gives whether the list was there to its end; no list is a whole one.
fn extensions(octets: &mut Octets<'_>, mut each: impl FnMut(u16, &[u8])) -> bool {
    if octets.0.is_empty() {
        return true;
    }
    let Some(length) = octets.u16() else { return false };
    let whole = octets.0.len() >= usize::from(length);
    let mut list = Octets(octets.0.get(..usize::from(length)).unwrap_or(octets.0));
    while !list.0.is_empty() {
        let (Some(kind), Some(data)) = (list.u16(), list.vector16()) else { return false };
        each(kind, data);
    }
    whole
}

/// RFC 6066 section 3: the first host name.
fn server_name(data: &[u8]) -> Option<String> {
    let mut list = Octets(Octets(data).vector16()?);
    while let Some(kind) = list.u8() {
        let name = list.vector16()?;
        if kind == 0 {
            return name_of(name);
        }
    }
    None
}

/// RFC 7301 section 3.1, without the values of RFC 8701 that mean nothing.
fn protocols(data: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let mut list = Octets(Octets(data).vector16().unwrap_or_default());
    while let Some(name) = list.vector8() {
        let grease = matches!(name, [a, b] if a == b && a & 0x0f == 0x0a);
        if !grease && names.len() < NAMES_MAX {
            names.extend(name_of(name));
        }
    }
    names
}

fn name_of(octets: &[u8]) -> Option<String> {
    let fits = !octets.is_empty() && octets.len() <= NAME_MAX;
    fits.then(|| crate::vocab::text::utf8_or_escaped(octets))
}

/// Octets to be taken from the front.
struct Octets<'a>(&'a [u8]);

impl<'a> Octets<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (front, back) = self.0.split_at_checked(length)?;
        self.0 = back;
        Some(front)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.first_chunk().map(|octets| u16::from_be_bytes(*octets))
    }

    fn vector8(&mut self) -> Option<&'a [u8]> {
        let length = self.u8()?;
        self.take(usize::from(length))
    }

    fn vector16(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }
}
