//! Why a connection was not decrypted, and what would help: one or two sentences a reason.

use crate::vocab::address::Side;
use crate::vocab::tls::{CipherSuite, TlsVersion};

/// Why records were not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// No keys at all.
    NoLog,
    /// Keys, but none of this connection.
    NoKeys,
    /// Keys of one side only.
    HalfKeys(Side),
    /// The keys of the handshake, not those of application data.
    NoApplicationKeys,
    /// The hellos were not captured, and without them none of the keys is known to fit.
    NoHandshake,
    /// The same, with more keys than can be tried.
    TooManyKeys,
    /// TLS 1.2 whose ServerHello was not captured.
    NoServerHello,
    Cipher(CipherSuite),
    Version(TlsVersion),
    WrongKeys,
    /// Too much was lost to find the place in the sequence again.
    PlaceLost,
}

/// Where keys come from, for the programs that are met most.
const HOW: &str = "have either end write them and give the file with --keylog: \
    environment SSLKEYLOGFILE=FILE for curl, Firefox, Chrome, Python and Apache httpd, \
    node --tls-keylog=FILE, Config.KeyLogWriter in Go, key_log in Envoy, the jSSLKeyLog agent \
    for Java";

impl Why {
    /// For people.
    pub fn text(self) -> String {
        match self {
            Self::NoLog => format!("no keys were given; {HOW}"),
            Self::NoKeys => format!("the key log has no keys of this connection; {HOW}"),
            Self::HalfKeys(side) => {
                format!("the key log has no keys of what the {} sent; {HOW}", side.name())
            }
            Self::NoApplicationKeys => "the key log has the keys of the handshake but not those \
                 of the data (..._TRAFFIC_SECRET_0); log again"
                .into(),
            Self::NoHandshake => "the handshake was not captured and none of the keys given opens \
                 the records; start the capture before the connection and log its keys"
                .into(),
            Self::TooManyKeys => "the handshake was not captured, and there are too many keys to \
                 try them all; give a key log of this connection, or start the capture before it"
                .into(),
            Self::NoServerHello => "the ServerHello was not captured, and TLS 1.2 keys are of no \
                 use without it; start the capture before the connection"
                .into(),
            Self::Cipher(suite) => format!(
                "the cipher suite {suite} is not supported; \
                 AES-GCM, AES-CCM, AES-CBC and ChaCha20-Poly1305 are"
            ),
            Self::Version(version) => {
                format!("{version} is not supported; TLS 1.2 and 1.3 are")
            }
            Self::WrongKeys => "the keys given for this connection do not decrypt it: they are \
                 of another connection or damaged; log again while capturing"
                .into(),
            Self::PlaceLost => "after lost packets no further record could be opened".into(),
        }
    }
}
