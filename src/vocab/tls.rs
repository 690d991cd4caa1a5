//! What is known of a TLS connection (RFC 8446, RFC 5246), decrypted or not.

use std::fmt;
use std::ops::Deref;

use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::address::{Both, Half, Side};
use super::time::Stamp;

/// Everything the records, the handshake and the keys tell of one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// Which half the client sends, where known.
    pub client: Option<Half>,
    /// Negotiated version (RFC 8446 section 4.2.1), where known.
    pub version: Option<TlsVersion>,
    /// Negotiated cipher suite, where known.
    pub cipher: Option<CipherSuite>,
    /// Server name that the client asked for (RFC 6066 section 3).
    pub sni: Option<String>,
    /// Protocol that the server chose (RFC 7301), where visible.
    pub alpn: Option<String>,
    /// Protocols that the client offered, in its order.
    pub alpn_offered: Vec<String>,
    /// Packet of the first ClientHello.
    pub client_hello: Option<Stamp>,
    /// Packet of the ServerHello that chose version and suite.
    pub server_hello: Option<Stamp>,
    /// A TLS 1.2 handshake begun anew behind application data of the client, and by whom.
    pub renegotiated: Option<(Stamp, Side)>,
    /// The server's CertificateRequest behind the handshake of TLS 1.3 (RFC 8446 section 4.6.2).
    pub asked_for_certificate: Option<Stamp>,
    /// Whether the handshake's beginning was not captured.
    pub joined_midway: bool,
    /// Whether a whole ClientHello was captured: else nobody knows what was offered.
    pub hello_seen: bool,
    /// Whether the client asked to resume an earlier session with 0-RTT data (RFC 8446 section
    /// 4.2.10), and whether the server accepted, where known.
    pub early_data: Option<EarlyData>,
    /// Whether application data was decrypted, by sender.
    pub decrypted: Both<bool>,
    /// Whether any protected record was opened, by sender.
    pub opened: Both<bool>,
    /// Why application data was not (or not all) decrypted, and what would help.
    pub why_not: Option<String>,
    /// By sender; by half where the client is not known.
    pub sides: Both<TlsSide>,
    /// The latest encrypted records that no key opened, by sender, at most
    /// [`Limits::tls_sizes`](super::limits::Limits::tls_sizes).
    pub sizes: Both<Vec<SizedRecord>>,
}

/// An encrypted record of which nothing is known but its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizedRecord {
    /// Packet of its last octet.
    pub stamp: Stamp,
    /// Octets of plaintext, if it was not padded; `None` where the cipher hides them.
    pub octets: Option<u16>,
}

impl TlsFacts {
    /// Whether any application data was decrypted.
    pub fn is_decrypted(&self) -> bool {
        self.decrypted.first || self.decrypted.second
    }

    /// Whether nothing is hidden: application data was decrypted, or the handshake was and no
    /// more came.
    pub fn is_open(&self) -> bool {
        let nothing_unread = self.why_not.is_none()
            && self.sides.first.unread_records == 0
            && self.sides.second.unread_records == 0;
        self.is_decrypted() || ((self.opened.first || self.opened.second) && nothing_unread)
    }

    /// Whether records of both sides were captured but no whole ClientHello, and no key opened any:
    /// nobody knows what was offered inside.
    pub fn is_unseen(&self) -> bool {
        let spoke = |side: &TlsSide| side.data_records > 0;
        !self.hello_seen
            && !self.opened.first
            && !self.opened.second
            && spoke(&self.sides.first)
            && spoke(&self.sides.second)
    }

    /// What is told by half, told by side instead: `client` is the half that the client sends.
    #[must_use]
    pub fn oriented(mut self, client: Half) -> Self {
        if self.client.is_none() && client == Half::B {
            self.swap();
        }
        self.client.get_or_insert(client);
        self
    }

    /// Exchanges what is known of the two.
    pub fn swap(&mut self) {
        self.sizes = std::mem::take(&mut self.sizes).swapped();
        self.sides = self.sides.swapped();
        self.decrypted = self.decrypted.swapped();
        self.opened = self.opened.swapped();
    }

    /// Whether the client offered HTTP/2.
    pub fn offered_h2(&self) -> bool {
        self.alpn_offered.iter().any(|name| name == "h2")
    }
}

/// Whole lines of a TLS key log (SSLKEYLOGFILE), wiped when dropped and not shown when debugged.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KeyLines(Zeroizing<Vec<u8>>);

impl From<Zeroizing<Vec<u8>>> for KeyLines {
    fn from(lines: Zeroizing<Vec<u8>>) -> Self {
        Self(lines)
    }
}

impl From<&[u8]> for KeyLines {
    fn from(lines: &[u8]) -> Self {
        Self(Zeroizing::new(lines.to_vec()))
    }
}

impl ZeroizeOnDrop for KeyLines {}

impl Deref for KeyLines {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for KeyLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyLines({} octets)", self.0.len())
    }
}

/// What the key logs of a run were worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct KeyLogFacts {
    /// Connections with at least one secret.
    pub connections: u64,
    /// Lines that are neither empty nor comments.
    pub lines: u64,
    /// Lines that could not be read: garbage, cut short, or of a client random of zeros.
    pub useless_lines: u64,
    /// Secrets left out because a limit was reached.
    pub left_out: u64,
}

/// What became of 0-RTT data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlyData {
    /// Offered; the answer is not known.
    Offered,
    /// The server took it.
    Accepted,
    /// The server ignored it: the client sends it again.
    Rejected,
}

/// What one side sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlsSide {
    /// Records of any type.
    pub records: u64,
    /// Records of type application data; in TLS 1.3 every encrypted record is one.
    pub data_records: u64,
    /// Octets of their payloads, encrypted.
    pub data_octets: u64,
    /// Octets of application data, decrypted.
    pub plain_octets: u64,
    /// Encrypted records that no key opened.
    pub unread_records: u64,
    /// How it took its leave, if at all.
    pub farewell: Option<Farewell>,
}

/// The alert that ends a connection (RFC 8446 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Farewell {
    /// Packet of the alert.
    pub stamp: Stamp,
    /// Which alert.
    pub alert: Alert,
}

/// An alert as far as it could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alert {
    /// `close_notify`: an orderly end of this side's data.
    CloseNotify,
    /// Something went wrong: the description's number (RFC 8446 section 6.2).
    Error(u8),
    /// An encrypted alert that could not be read; most likely `close_notify`.
    Unread,
    /// Not known to be an alert at all: a TLS 1.3 record of the size of one was the last before
    /// the end.
    Possible,
}

impl std::fmt::Display for Alert {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::CloseNotify => f.write_str("close_notify"),
            Self::Error(description) => match alert_name(description) {
                Some(name) => f.write_str(name),
                None => write!(f, "{description:#04x}"),
            },
            Self::Unread => f.write_str("unread"),
            Self::Possible => f.write_str("possible"),
        }
    }
}

/// Name of an alert (RFC 8446 section 6, with those of RFC 5246 section 7.2).
pub fn alert_name(description: u8) -> Option<&'static str> {
    Some(match description {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        21 => "decryption_failed",
        22 => "record_overflow",
        30 => "decompression_failure",
        40 => "handshake_failure",
        41 => "no_certificate",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        100 => "no_renegotiation",
        109 => "missing_extension",
        110 => "unsupported_extension",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        115 => "unknown_psk_identity",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => return None,
    })
}

/// Protocol version number as the wire shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TlsVersion(pub u16);

impl TlsVersion {
    /// TLS 1.2 (RFC 5246).
    pub const TLS12: Self = Self(0x0303);
    /// TLS 1.3 (RFC 8446).
    pub const TLS13: Self = Self(0x0304);
}

impl std::fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            0x0300 => f.write_str("SSL 3.0"),
            0x0301 => f.write_str("TLS 1.0"),
            0x0302 => f.write_str("TLS 1.1"),
            0x0303 => f.write_str("TLS 1.2"),
            0x0304 => f.write_str("TLS 1.3"),
            other => write!(f, "{other:#06x}"),
        }
    }
}

/// Cipher suite number of the IANA registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CipherSuite(pub u16);

impl CipherSuite {
    /// Whether RFC 9113 appendix A prohibits it with TLS 1.2: all suites but those with ephemeral
    /// keys and AEAD. `None` where it is not known here.
    pub fn is_prohibited(self) -> Option<bool> {
        let name = self.name().filter(|_| self.0 >> 8 != 0x13)?;
        let is_ephemeral = name.contains("DHE_");
        let is_aead = ["_GCM_", "_CCM", "_POLY1305_"].iter().any(|mode| name.contains(mode));
        Some(!(is_ephemeral && is_aead))
    }

    /// IANA name, for the suites that are in use.
    pub fn name(self) -> Option<&'static str> {
        SUITE_NAMES.iter().find(|(number, _)| *number == self.0).map(|(_, name)| *name)
    }
}

impl std::fmt::Display for CipherSuite {
    /// The name, else the number.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{:#06x}", self.0),
        }
    }
}

/// Names of the suites that are in use, and of a few that are not for the sake of their name.
const SUITE_NAMES: &[(u16, &str)] = &[
    (0x0005, "TLS_RSA_WITH_RC4_128_SHA"),
    (0x000a, "TLS_RSA_WITH_3DES_EDE_CBC_SHA"),
    (0x0016, "TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA"),
    (0x002f, "TLS_RSA_WITH_AES_128_CBC_SHA"),
    (0x0033, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA"),
    (0x0035, "TLS_RSA_WITH_AES_256_CBC_SHA"),
    (0x0039, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA"),
    (0x003c, "TLS_RSA_WITH_AES_128_CBC_SHA256"),
    (0x003d, "TLS_RSA_WITH_AES_256_CBC_SHA256"),
    (0x0067, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256"),
    (0x006b, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256"),
    (0x009c, "TLS_RSA_WITH_AES_128_GCM_SHA256"),
    (0x009d, "TLS_RSA_WITH_AES_256_GCM_SHA384"),
    (0x009e, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"),
    (0x009f, "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384"),
    (0x00a8, "TLS_PSK_WITH_AES_128_GCM_SHA256"),
    (0x00a9, "TLS_PSK_WITH_AES_256_GCM_SHA384"),
    (0x00aa, "TLS_DHE_PSK_WITH_AES_128_GCM_SHA256"),
    (0x00ab, "TLS_DHE_PSK_WITH_AES_256_GCM_SHA384"),
    (0x1301, "TLS_AES_128_GCM_SHA256"),
    (0x1302, "TLS_AES_256_GCM_SHA384"),
    (0x1303, "TLS_CHACHA20_POLY1305_SHA256"),
    (0x1304, "TLS_AES_128_CCM_SHA256"),
    (0x1305, "TLS_AES_128_CCM_8_SHA256"),
    (0xc007, "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA"),
    (0xc009, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"),
    (0xc00a, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA"),
    (0xc011, "TLS_ECDHE_RSA_WITH_RC4_128_SHA"),
    (0xc012, "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA"),
    (0xc013, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"),
    (0xc014, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA"),
    (0xc023, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256"),
    (0xc024, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384"),
    (0xc027, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256"),
    (0xc028, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384"),
    (0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    (0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
    (0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    (0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
    (0xc060, "TLS_ECDHE_RSA_WITH_CAMELLIA_128_GCM_SHA256"),
    (0xc061, "TLS_ECDHE_RSA_WITH_CAMELLIA_256_GCM_SHA384"),
    (0xc09c, "TLS_RSA_WITH_AES_128_CCM"),
    (0xc09d, "TLS_RSA_WITH_AES_256_CCM"),
    (0xc09e, "TLS_DHE_RSA_WITH_AES_128_CCM"),
    (0xc09f, "TLS_DHE_RSA_WITH_AES_256_CCM"),
    (0xc0a0, "TLS_RSA_WITH_AES_128_CCM_8"),
    (0xc0a1, "TLS_RSA_WITH_AES_256_CCM_8"),
    (0xc0a2, "TLS_DHE_RSA_WITH_AES_128_CCM_8"),
    (0xc0a3, "TLS_DHE_RSA_WITH_AES_256_CCM_8"),
    (0xc0ac, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM"),
    (0xc0ad, "TLS_ECDHE_ECDSA_WITH_AES_256_CCM"),
    (0xc0ae, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8"),
    (0xc0af, "TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8"),
    (0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
    (0xcca9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
    (0xccaa, "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_do_not_show() {
        let lines = KeyLines::from(&b"CLIENT_RANDOM 1a c7"[..]);
        assert_eq!(format!("{:?}", [lines]), "[KeyLines(19 octets)]");
    }
}
