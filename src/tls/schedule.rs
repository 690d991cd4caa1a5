//! From logged secrets to traffic keys: HKDF-Expand-Label of TLS 1.3 (RFC 8446 section 7), PRF of
//! TLS 1.2 (RFC 5246 section 5).

use ring::{hkdf, hmac};
use zeroize::Zeroizing;

use super::keylog::Secret;

/// Hash function of a suite's key derivation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
}

impl Hash {
    /// The hash whose output has the length of a TLS 1.3 secret.
    pub fn of_secret(secret: &Secret) -> Self {
        if secret.octets().len() > 32 { Self::Sha384 } else { Self::Sha256 }
    }

    pub fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }
}

/// Key and IV of a direction, wiped when dropped.
pub(super) struct TrafficKeys {
    pub key: Zeroizing<Vec<u8>>,
    pub iv: Zeroizing<Vec<u8>>,
    /// Of CBC suites.
    pub mac_key: Zeroizing<Vec<u8>>,
}

/// RFC 8446 section 7.3.
pub(super) fn tls13_keys(secret: &Secret, hash: Hash, key_length: usize) -> Option<TrafficKeys> {
    Some(TrafficKeys {
        key: expand_label(secret, hash, b"key", key_length)?,
        iv: expand_label(secret, hash, b"iv", 12)?,
        mac_key: Zeroizing::default(),
    })
}

/// The secret that a KeyUpdate moves on to (RFC 8446 section 7.2).
pub(super) fn next_secret(secret: &Secret, hash: Hash) -> Option<Secret> {
    Secret::new(&expand_label(secret, hash, b"traffic upd", hash.length())?)
}

/// Lengths of what RFC 5246 section 6.3 cuts out of the key block.
#[derive(Clone, Copy)]
pub(super) struct BlockLengths {
    pub mac: usize,
    pub key: usize,
    pub iv: usize,
}

/// Keys of client and server from a master secret (RFC 5246 section 6.3).
pub(super) fn tls12_keys(
    master: &Secret,
    hash: Hash,
    client_random: &[u8; 32],
    server_random: &[u8; 32],
    lengths: BlockLengths,
) -> Option<(TrafficKeys, TrafficKeys)> {
    let seed = [&b"key expansion"[..], server_random, client_random].concat();
    let total = 2 * (lengths.mac + lengths.key + lengths.iv);
    let block = prf(master.octets(), hash, &seed, total);
    let mut rest: &[u8] = &block;
    let mut take = |length: usize| {
        let (front, back) = rest.split_at_checked(length)?;
        rest = back;
        Some(Zeroizing::new(front.to_vec()))
    };
    let (client_mac, server_mac) = (take(lengths.mac)?, take(lengths.mac)?);
    let (client_key, server_key) = (take(lengths.key)?, take(lengths.key)?);
    let (client_iv, server_iv) = (take(lengths.iv)?, take(lengths.iv)?);
    Some((
        TrafficKeys { key: client_key, iv: client_iv, mac_key: client_mac },
        TrafficKeys { key: server_key, iv: server_iv, mac_key: server_mac },
    ))
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// RFC 8446 section 7.1, with an empty context.
fn expand_label(
    secret: &Secret,
    hash: Hash,
    label: &[u8],
    length: usize,
) -> Option<Zeroizing<Vec<u8>>> {
    let algorithm = match hash {
        Hash::Sha256 => hkdf::HKDF_SHA256,
        Hash::Sha384 => hkdf::HKDF_SHA384,
    };
    let prk = hkdf::Prk::new_less_safe(algorithm, secret.octets());
    let length_field = u16::try_from(length).ok()?.to_be_bytes();
    let label_length = [u8::try_from(6 + label.len()).ok()?];
    let info = [&length_field[..], &label_length, b"tls13 ", label, &[0]];
    let mut output = Zeroizing::new(vec![0; length]);
    prk.expand(&info, Length(length)).ok()?.fill(&mut output).ok()?;
    Some(output)
}

/// P_hash of RFC 5246 section 5; `seed` is label and seed in one.
fn prf(secret: &[u8], hash: Hash, seed: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    let algorithm = match hash {
        Hash::Sha256 => hmac::HMAC_SHA256,
        Hash::Sha384 => hmac::HMAC_SHA384,
    };
    let key = hmac::Key::new(algorithm, secret);
    let mut output = Zeroizing::new(Vec::with_capacity(length + hash.length()));
    let mut link = hmac::sign(&key, seed);
    while output.len() < length {
        let mut context = hmac::Context::with_key(&key);
        context.update(link.as_ref());
        context.update(seed);
        output.extend_from_slice(context.sign().as_ref());
        link = hmac::sign(&key, link.as_ref());
    }
    output.truncate(length);
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pairs = digits.chunks_exact(2);
        pairs.map(|p| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap()).collect()
    }

    #[test]
    fn keys_of_rfc_8448() {
        // Section 3, server application traffic.
        let secret = hex("a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643");
        let keys = tls13_keys(&Secret::new(&secret).unwrap(), Hash::Sha256, 16).unwrap();
        assert_eq!(*keys.key, hex("9f02283b6c9c07efc26bb9f2ac92e356"));
        assert_eq!(*keys.iv, hex("cf782b88dd83549aadf1e984"));
    }

    #[test]
    fn prf_of_tls12() {
        // The P_SHA256 test vector that the IETF TLS working group circulated in 2009.
        let secret = hex("9bbe436ba940f017b17652849a71db35");
        let seed = [&b"test label"[..], &hex("a0ba9f936cda311827a6f796ffd5198c")].concat();
        let output = prf(&secret, Hash::Sha256, &seed, 100);
        assert_eq!(output.get(..8).unwrap(), hex("e3f229ba727be17b"));
        assert_eq!(output.len(), 100);
    }
}
