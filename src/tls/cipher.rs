//! Opens one protected record: AEAD (RFC 8446 section 5.2, RFC 5288, 6655, 7905) and CBC with HMAC
//! (RFC 5246 section 6.2.3.2, RFC 7366). What the tag or the MAC does not prove is not given out.

use std::ops::Range;

use ::hmac::{Hmac, Mac as _};
use aes::cipher::{BlockModeDecrypt, InOutBuf, KeyIvInit};
use aes::{Aes128, Aes256};
use ccm::Ccm;
use ccm::aead::{AeadInOut, KeyInit, KeySizeUser};
use ccm::consts::{U8, U12, U16};
use ring::{aead, hmac};
use sha1::Sha1;
use zeroize::Zeroizing;

use super::record::HEAD;
use super::schedule::{BlockLengths, Hash, TrafficKeys};
use crate::vocab::tls::CipherSuite;

/// Which cipher protects the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bulk {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20,
    Aes128Ccm,
    Aes256Ccm,
    Aes128Ccm8,
    Aes256Ccm8,
    Aes128Cbc(Mac),
    Aes256Cbc(Mac),
}

/// MAC of a CBC suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mac {
    Sha1,
    Sha256,
    Sha384,
}

/// What this room must know of a suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Suite {
    pub bulk: Bulk,
    pub hash: Hash,
}

/// The suite of a number, if it is one that can be read here. How keys were agreed upon does not
/// matter: the log has what came of it.
pub(super) fn suite(number: CipherSuite) -> Option<Suite> {
    use Bulk::{Aes128Cbc, Aes128Ccm, Aes128Ccm8, Aes128Gcm, Aes256Cbc, Aes256Ccm, Aes256Ccm8};
    use Bulk::{Aes256Gcm, ChaCha20};
    use Hash::{Sha256, Sha384};
    let (bulk, hash) = match number.0 {
        0x1301 | 0x009c | 0x009e | 0x00a8 | 0x00aa | 0xc02b | 0xc02f => (Aes128Gcm, Sha256),
        0x1302 | 0x009d | 0x009f | 0x00a9 | 0x00ab | 0xc02c | 0xc030 => (Aes256Gcm, Sha384),
        0x1303 | 0xcca8 | 0xcca9 | 0xccaa => (ChaCha20, Sha256),
        0x1304 | 0xc09c | 0xc09e | 0xc0ac => (Aes128Ccm, Sha256),
        0x1305 | 0xc0a0 | 0xc0a2 | 0xc0ae => (Aes128Ccm8, Sha256),
        0xc09d | 0xc09f | 0xc0ad => (Aes256Ccm, Sha256),
        0xc0a1 | 0xc0a3 | 0xc0af => (Aes256Ccm8, Sha256),
        0x002f | 0x0033 | 0xc009 | 0xc013 => (Aes128Cbc(Mac::Sha1), Sha256),
        0x0035 | 0x0039 | 0xc00a | 0xc014 => (Aes256Cbc(Mac::Sha1), Sha256),
        0x003c | 0x0067 | 0xc023 | 0xc027 => (Aes128Cbc(Mac::Sha256), Sha256),
        0x003d | 0x006b => (Aes256Cbc(Mac::Sha256), Sha256),
        0xc024 | 0xc028 => (Aes256Cbc(Mac::Sha384), Sha384),
        _ => return None,
    };
    Some(Suite { bulk, hash })
}

/// The TLS 1.3 suites of a hash, the common ones first (RFC 8446 appendix B.4).
pub(super) fn tls13_suites(hash: Hash) -> &'static [u16] {
    match hash {
        Hash::Sha256 => &[0x1301, 0x1303, 0x1304, 0x1305],
        Hash::Sha384 => &[0x1302],
    }
}

impl Bulk {
    pub fn key_length(self) -> usize {
        match self {
            Self::Aes128Gcm | Self::Aes128Ccm | Self::Aes128Ccm8 | Self::Aes128Cbc(_) => 16,
            Self::Aes256Gcm | Self::Aes256Ccm | Self::Aes256Ccm8 | Self::Aes256Cbc(_) => 32,
            Self::ChaCha20 => 32,
        }
    }

    fn tag_length(self) -> usize {
        match self {
            Self::Aes128Ccm8 | Self::Aes256Ccm8 => 8,
            _ => 16,
        }
    }

    /// What TLS 1.2 cuts out of its key block for this cipher.
    pub fn block_lengths(self) -> BlockLengths {
        let (mac, iv) = match self {
            Self::Aes128Cbc(mac) | Self::Aes256Cbc(mac) => (mac.length(), 0),
            Self::ChaCha20 => (0, 12),
            _ => (0, 4),
        };
        BlockLengths { mac, key: self.key_length(), iv }
    }

    /// Octets of plaintext in a TLS 1.3 record of this length, if there is no padding in it.
    pub fn tls13_plain_length(self, length: usize) -> Option<usize> {
        length.checked_sub(1 + self.tag_length())
    }

    /// Octets of plaintext in a TLS 1.2 record of this length; `None` where padding hides it.
    pub fn tls12_plain_length(self, length: usize) -> Option<usize> {
        match self {
            Self::Aes128Cbc(_) | Self::Aes256Cbc(_) => None,
            Self::ChaCha20 => length.checked_sub(16),
            _ => length.checked_sub(8 + self.tag_length()),
        }
    }
}

impl Mac {
    fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }

    fn key(self, octets: &[u8]) -> Option<MacKey> {
        let algorithm = match self {
            Self::Sha1 => {
                let key = Hmac::<Sha1>::new_from_slice(octets).ok()?;
                return Some(MacKey::Sha1(Box::new(key)));
            }
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
        };
        Some(MacKey::Ring(hmac::Key::new(algorithm, octets)))
    }
}

/// A key that proves records of CBC suites.
enum MacKey {
    Ring(hmac::Key),
    Sha1(Box<Hmac<Sha1>>),
}

impl MacKey {
    /// Whether `tag` is that of `head` and `content`. A passive reader has no secret timing to
    /// guard.
    fn proves(&self, head: &[u8], content: &[u8], tag: &[u8]) -> bool {
        match self {
            Self::Ring(key) => {
                let mut context = hmac::Context::with_key(key);
                context.update(head);
                context.update(content);
                context.sign().as_ref() == tag
            }
            Self::Sha1(key) => {
                let mut context = Hmac::clone(key);
                context.update(head);
                context.update(content);
                context.finalize().into_bytes().as_slice() == tag
            }
        }
    }
}

/// Opens the records of one direction and key.
pub(super) struct Opener {
    engine: Engine,
    iv: Box<Zeroizing<[u8; 12]>>,
    tls13: bool,
    tag: usize,
}

enum Engine {
    Ring(Box<aead::LessSafeKey>),
    Ccm128(Box<Ccm<Aes128, U16, U12>>),
    Ccm256(Box<Ccm<Aes256, U16, U12>>),
    Ccm128Short(Box<Ccm<Aes128, U8, U12>>),
    Ccm256Short(Box<Ccm<Aes256, U8, U12>>),
    Cbc(Box<Cbc>),
}

struct Cbc {
    key: Zeroizing<Vec<u8>>,
    mac: MacKey,
    mac_length: usize,
    encrypt_then_mac: bool,
}

/// A record that was proved and opened.
pub(super) struct Opened {
    /// Content type: the true one also in TLS 1.3.
    pub kind: u8,
    /// Where in the record's body its content lies.
    pub content: Range<usize>,
}

impl Opener {
    pub fn tls13(bulk: Bulk, keys: &TrafficKeys) -> Option<Self> {
        Self::new(bulk, keys, true, false)
    }

    pub fn tls12(bulk: Bulk, keys: &TrafficKeys, encrypt_then_mac: bool) -> Option<Self> {
        Self::new(bulk, keys, false, encrypt_then_mac)
    }

    fn new(bulk: Bulk, keys: &TrafficKeys, tls13: bool, encrypt_then_mac: bool) -> Option<Self> {
        let ring = |algorithm: &'static aead::Algorithm| {
            let key = aead::UnboundKey::new(algorithm, &keys.key).ok()?;
            Some(Engine::Ring(Box::new(aead::LessSafeKey::new(key))))
        };
        let engine = match bulk {
            Bulk::Aes128Gcm => ring(&aead::AES_128_GCM)?,
            Bulk::Aes256Gcm => ring(&aead::AES_256_GCM)?,
            Bulk::ChaCha20 => ring(&aead::CHACHA20_POLY1305)?,
            Bulk::Aes128Ccm => Engine::Ccm128(ccm_of(&keys.key)?),
            Bulk::Aes256Ccm => Engine::Ccm256(ccm_of(&keys.key)?),
            Bulk::Aes128Ccm8 => Engine::Ccm128Short(ccm_of(&keys.key)?),
            Bulk::Aes256Ccm8 => Engine::Ccm256Short(ccm_of(&keys.key)?),
            Bulk::Aes128Cbc(mac) | Bulk::Aes256Cbc(mac) => Engine::Cbc(Box::new(Cbc {
                key: keys.key.clone(),
                mac: mac.key(&keys.mac_key)?,
                mac_length: mac.length(),
                encrypt_then_mac,
            })),
        };
        let mut iv = Box::new(Zeroizing::new([0; 12]));
        iv.get_mut(..keys.iv.len())?.copy_from_slice(&keys.iv);
        Some(Self { engine, iv, tls13, tag: bulk.tag_length() })
    }

    /// Opens the body of a record in place, as number `sequence` of its key. `None`: it is not;
    /// the body is of no use then.
    pub fn open(&self, sequence: u64, head: [u8; HEAD], body: &mut [u8]) -> Option<Opened> {
        if let Engine::Cbc(cbc) = &self.engine {
            let content = cbc.open(sequence, head, body)?;
            return Some(Opened { kind: head[0], content });
        }
        if self.tls13 {
            let sealed = body.len();
            let content = self.aead(self.mixed_nonce(sequence), &head, body)?;
            debug_assert_eq!(content + self.tag, sealed);
            return inner(body.get(..content)?);
        }
        let explicit = if self.nonce_is_explicit() { 8 } else { 0 };
        let (front, sealed) = body.split_at_mut_checked(explicit)?;
        let mut nonce = **self.iv;
        if explicit > 0 {
            nonce.get_mut(4..)?.copy_from_slice(front);
        } else {
            nonce = self.mixed_nonce(sequence);
        }
        let length = u16::try_from(sealed.len().checked_sub(self.tag)?).ok()?;
        let content = self.aead(nonce, &pseudo_head(sequence, head, length), sealed)?;
        Some(Opened { kind: head[0], content: explicit..explicit + content })
    }

    /// RFC 5288 and 6655 send eight octets of the nonce; RFC 7905 and TLS 1.3 do not.
    fn nonce_is_explicit(&self) -> bool {
        match &self.engine {
            Engine::Ring(key) => *key.algorithm() != aead::CHACHA20_POLY1305,
            _ => true,
        }
    }

    /// RFC 8446 section 5.3, RFC 7905 section 2.
    fn mixed_nonce(&self, sequence: u64) -> [u8; 12] {
        let mut nonce = **self.iv;
        for (octet, number) in nonce.iter_mut().skip(4).zip(sequence.to_be_bytes()) {
            *octet ^= number;
        }
        nonce
    }

    /// Gives the length of the plaintext, which begins where the ciphertext did.
    fn aead(&self, nonce: [u8; 12], aad: &[u8], sealed: &mut [u8]) -> Option<usize> {
        let length = sealed.len().checked_sub(self.tag)?;
        let opened = match &self.engine {
            Engine::Ring(key) => {
                let nonce = aead::Nonce::assume_unique_for_key(nonce);
                key.open_in_place(nonce, aead::Aad::from(aad), sealed).is_ok()
            }
            Engine::Ccm128(key) => ccm_open(&**key, nonce, aad, sealed, length),
            Engine::Ccm256(key) => ccm_open(&**key, nonce, aad, sealed, length),
            Engine::Ccm128Short(key) => ccm_open(&**key, nonce, aad, sealed, length),
            Engine::Ccm256Short(key) => ccm_open(&**key, nonce, aad, sealed, length),
            Engine::Cbc(_) => false,
        };
        opened.then_some(length)
    }
}

/// TLSInnerPlaintext: content, its type, zeros (RFC 8446 section 5.4).
fn inner(octets: &[u8]) -> Option<Opened> {
    let end = octets.iter().rposition(|octet| *octet != 0)?;
    Some(Opened { kind: *octets.get(end)?, content: 0..end })
}

/// What TLS 1.2 authenticates beside the record (RFC 5246 sections 6.2.3.1 and 6.2.3.3).
fn pseudo_head(sequence: u64, head: [u8; HEAD], length: u16) -> [u8; 13] {
    let [kind, major, minor, ..] = head;
    let [high, low] = length.to_be_bytes();
    let mut octets = [0; 13];
    for (octet, value) in octets
        .iter_mut()
        .zip(sequence.to_be_bytes().into_iter().chain([kind, major, minor, high, low]))
    {
        *octet = value;
    }
    octets
}

fn ccm_of<C: KeyInit + KeySizeUser>(key: &[u8]) -> Option<Box<C>> {
    C::new_from_slice(key).ok().map(Box::new)
}

fn ccm_open<C: AeadInOut<NonceSize = U12>>(
    cipher: &C,
    nonce: [u8; 12],
    aad: &[u8],
    sealed: &mut [u8],
    length: usize,
) -> bool {
    let Some((content, tag)) = sealed.split_at_mut_checked(length) else { return false };
    let Ok(tag) = (&*tag).try_into() else { return false };
    cipher.decrypt_inout_detached(&nonce.into(), aad, InOutBuf::from(content), tag).is_ok()
}

impl Cbc {
    fn open(&self, sequence: u64, head: [u8; HEAD], body: &mut [u8]) -> Option<Range<usize>> {
        let whole = body.len();
        let sealed =
            if self.encrypt_then_mac { whole.checked_sub(self.mac_length)? } else { whole };
        if self.encrypt_then_mac {
            // RFC 7366 section 3: over the initialization vector and the ciphertext.
            let (content, tag) = body.split_at_checked(sealed)?;
            self.prove(sequence, head, content, tag)?;
        }
        let (iv, blocks) = body.get_mut(..sealed)?.split_at_mut_checked(16)?;
        let decrypted = match self.key.len() {
            16 => decrypt_blocks(cbc::Decryptor::<Aes128>::new_from_slices(&self.key, iv), blocks),
            _ => decrypt_blocks(cbc::Decryptor::<Aes256>::new_from_slices(&self.key, iv), blocks),
        };
        decrypted?;
        let padding = usize::from(*blocks.last()?);
        let tag = if self.encrypt_then_mac { 0 } else { self.mac_length };
        let length = blocks.len().checked_sub(padding + 1)?.checked_sub(tag)?;
        let behind = blocks.get(length + tag..)?;
        if behind.iter().any(|octet| usize::from(*octet) != padding) {
            return None;
        }
        if !self.encrypt_then_mac {
            let (content, tag) = blocks.get(..length + tag)?.split_at_checked(length)?;
            self.prove(sequence, head, content, tag)?;
        }
        Some(16..16 + length)
    }

    fn prove(&self, sequence: u64, head: [u8; HEAD], content: &[u8], tag: &[u8]) -> Option<()> {
        let head = pseudo_head(sequence, head, u16::try_from(content.len()).ok()?);
        self.mac.proves(&head, content, tag).then_some(())
    }
}

fn decrypt_blocks<D: BlockModeDecrypt, E>(cipher: Result<D, E>, octets: &mut [u8]) -> Option<()> {
    let (blocks, rest) = InOutBuf::from(octets).into_chunks();
    if blocks.is_empty() || !rest.is_empty() {
        return None;
    }
    cipher.ok()?.decrypt_blocks_inout(blocks);
    Some(())
}
