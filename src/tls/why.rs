//! Why a connection was not decrypted, and what would help: one or two sentences a reason.

use crate::vocab::address::Side;
use crate::vocab::tls::{CipherSuite, TlsVersion};

/// Why records were not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// No keys at all.
    NoLog,
    /// Keys of so many connections, but none of this one.
    NoKeys(usize),
    /// Keys of one side only.
    HalfKeys(Side),
    /// The keys of the handshake, not those of application data.
    NoApplicationKeys,
    /// The hellos were not captured, and without them none of the keys is known to fit.
    NoHandshake,
    /// The same, with more keys than can be tried.
    TooManyKeys(usize),
    /// TLS 1.2 whose ServerHello was not captured.
    NoServerHello,
    Cipher(CipherSuite),
    Version(TlsVersion),
    WrongKeys,
    /// Too much was lost to find the place in the sequence again.
    PlaceLost,
}

/// Where keys come from, for the programs that are met most.
const HOW: &str = "have either end log them and give the file with --keylog: \
    SSLKEYLOGFILE=FILE in the environment of curl, h2load, Firefox, Chrome, Python or Apache \
    httpd; node --tls-keylog=FILE; java -javaagent:extract-tls-secrets.jar=FILE; KeyLogWriter in \
    Go's tls.Config; key_log in Envoy's TLS context; tune.ssl.keylog on in HAProxy; nginx has \
    ssl_key_log in NGINX Plus alone, so log at its peer";

impl Why {
    /// For people.
    pub fn text(self) -> String {
        match self {
            Self::NoLog => format!("no keys were given; {HOW}"),
            Self::NoKeys(others) => format!(
                "the key log has no keys of this connection, only of {others} other{}; begin to \
                 log before it opens, at one of its own ends: {HOW}",
                if others == 1 { "" } else { "s" }
            ),
            Self::HalfKeys(side) => format!(
                "the key log has no keys of what the {} sent; give the whole log, in which TLS 1.3 \
                 has CLIENT_ and SERVER_TRAFFIC_SECRET_0 of each connection",
                side.name()
            ),
            Self::NoApplicationKeys => "the key log has the keys of the handshake but not those \
                 of the data (..._TRAFFIC_SECRET_0); log again"
                .into(),
            Self::NoHandshake => "the handshake was not captured and none of the keys given opens \
                 the records; start the capture before the connection and log its keys"
                .into(),
            Self::TooManyKeys(given) => format!(
                "the handshake was not captured, and keys of {given} connections are too many to \
                 try them all; give a key log of this connection, or start the capture before it"
            ),
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
            Self::PlaceLost => {
                "after lost packets no further record could be opened; capture without loss".into()
            }
        }
    }
}
