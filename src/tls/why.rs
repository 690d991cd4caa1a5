//! Why a connection was not decrypted, and what would help: one or two sentences a reason.

use crate::vocab::address::Side;
use crate::vocab::tls::{CipherSuite, TlsVersion};

/// Why records were not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// No keys at all.
    NoLog,
    /// Neither keys nor a handshake that would tell whose are needed.
    NoHandshakeNoLog,
    /// So many lines, and no secret in any.
    NoLines(u64),
    /// Keys of so many connections, but none of this one.
    NoKeys(usize),
    /// A resumed session, and keys of so many connections, none of this session.
    NoSession(usize),
    /// Keys of one side only.
    HalfKeys(Side),
    /// The keys of the handshake, not those of application data.
    NoApplicationKeys,
    /// TLS 1.2, and lines of this connection, but not the one with its master secret.
    NoMaster,
    /// The hellos were not captured, and without them none of the keys is known to fit.
    NoHandshake,
    /// The ClientHello is cut off or has a hole, and none of the keys opens anything.
    NoHello,
    /// The same, with more keys than can be tried.
    TooManyKeys(usize),
    /// TLS 1.2 whose ServerHello was not captured, or not whole.
    NoServerHello,
    Cipher(CipherSuite),
    Version(TlsVersion),
    WrongKeys,
    /// Records are missing before the first that could be opened.
    LostBefore,
    /// No record of application data is whole in the capture.
    Torn,
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
        let s = |number: u64| if number == 1 { "" } else { "s" };
        match self {
            Self::NoLog => format!("no keys were given; {HOW}"),
            Self::NoHandshakeNoLog => {
                format!("the handshake was not captured, and no keys were given; {HOW}")
            }
            Self::NoLines(lines) => format!(
                "the key log has no secret in its {lines} line{}: give the file that \
                 SSLKEYLOGFILE names, whole; {HOW}",
                s(lines)
            ),
            Self::NoKeys(others) => format!(
                "the key log has no keys of this connection, only of {others} other{}; begin to \
                 log before it opens, at one of its own ends: {HOW}",
                s(others as u64)
            ),
            Self::NoSession(others) => format!(
                "it resumes an earlier session, and the key log has the keys of neither, only of \
                 {others} other connection{}; log from the session's first connection on: {HOW}",
                s(others as u64)
            ),
            Self::HalfKeys(side) => format!(
                "the key log has no keys of what the {} sent; give the whole log, in which TLS 1.3 \
                 has CLIENT_ and SERVER_TRAFFIC_SECRET_0 of each connection",
                side.name()
            ),
            Self::TooManyKeys(given) => format!(
                "the ClientHello is not whole in the capture, and keys of {given} connections are \
                 too many to try them all; give a key log of this connection, or start the \
                 capture before it"
            ),
            Self::Cipher(suite) => format!(
                "the cipher suite {suite} is not supported; \
                 AES-GCM, AES-CCM, AES-CBC and ChaCha20-Poly1305 are"
            ),
            Self::Version(version) => format!("{version} is not supported; TLS 1.2 and 1.3 are"),
            Self::NoApplicationKeys
            | Self::NoMaster
            | Self::NoHandshake
            | Self::NoHello
            | Self::NoServerHello
            | Self::WrongKeys
            | Self::LostBefore
            | Self::Torn
            | Self::PlaceLost => self.plain().to_owned(),
        }
    }

    /// Texts without numbers or names.
    fn plain(self) -> &'static str {
        match self {
            Self::NoApplicationKeys => {
                "the key log lacks the keys of this connection's data (..._TRAFFIC_SECRET_0); log \
                 again"
            }
            Self::NoMaster => {
                "the key log has lines of this connection but not the one of TLS 1.2, \
                 CLIENT_RANDOM with its master secret; log again"
            }
            Self::NoHandshake => {
                "the handshake was not captured and none of the keys given opens the records; \
                 start the capture before the connection and log its keys"
            }
            Self::NoHello => {
                "the ClientHello is not whole in the capture, and none of the keys given opens the \
                 records; capture without loss and whole packets (tcpdump -s 0)"
            }
            Self::NoServerHello => {
                "the ServerHello is not whole in the capture, and TLS 1.2 keys are of no use \
                 without it; start the capture before the connection, and capture whole packets \
                 (tcpdump -s 0)"
            }
            Self::WrongKeys => {
                "the keys given for this connection do not decrypt it: they are of another \
                 connection or damaged; log again while capturing"
            }
            Self::LostBefore => {
                "packets are missing before the first record that could be opened, so whether the \
                 keys fit cannot be told; capture without loss"
            }
            Self::Torn => {
                "no record of application data is whole in the capture; capture without loss and \
                 whole packets (tcpdump -s 0)"
            }
            _ => {
                "behind lost or damaged packets no further record could be opened; capture without \
                 loss"
            }
        }
    }
}
