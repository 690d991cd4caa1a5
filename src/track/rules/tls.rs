//! What HTTP/2 asks of TLS (RFC 9113 sections 3.2 and 9.2).

use crate::vocab::address::Side;
use crate::vocab::rule::{self, Rule};
use crate::vocab::time::Stamp;
use crate::vocab::tls::{TlsFacts, TlsVersion};
use crate::vocab::verdict::Finding;

/// Rules that the TLS of an HTTP/2 connection breaks. They are kept apart from those of frames:
/// most peers take no offence, so that they are the reason of an end only where its code says so.
pub fn of_tls(facts: &TlsFacts) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut tell = |stamp: Stamp, by: Side, rule: &'static Rule, text: String| {
        found.push(Finding { stamp, by, stream: 0, rule, text });
    };
    if let Some(stamp) = facts.client_hello
        && facts.alpn_offered.iter().any(|name| name == "h2c")
    {
        tell(stamp, Side::Client, &rule::H2C_NOT_IN_ALPN, "ALPN offers h2c inside TLS".into());
    }
    if let (Some(stamp), Some(version)) = (facts.server_hello, facts.version) {
        let is_12 = version == TlsVersion::TLS12;
        let prohibited = facts.cipher.filter(|suite| is_12 && suite.is_prohibited() == Some(true));
        if version < TlsVersion::TLS12 {
            let text = format!("the server chose {version} for HTTP/2");
            tell(stamp, Side::Server, &rule::TLS_VERSION, text);
        }
        if let Some(suite) = prohibited {
            let text = format!(
                "the server chose {suite}, which is prohibited for HTTP/2: a peer may refuse it"
            );
            tell(stamp, Side::Server, &rule::TLS_BAD_CIPHER, text);
        }
    }
    if let Some((stamp, by)) = facts.renegotiated {
        let text = format!("the {} begins a TLS handshake anew", by.name());
        tell(stamp, by, &rule::TLS_RENEGOTIATION, text);
    }
    if let Some(stamp) = facts.asked_for_certificate {
        let text = "CertificateRequest after the TLS handshake".to_owned();
        tell(stamp, Side::Server, &rule::TLS_POST_HANDSHAKE_AUTH, text);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::time::Timestamp;
    use crate::vocab::tls::CipherSuite;

    fn told(facts: &TlsFacts) -> Vec<String> {
        of_tls(facts)
            .iter()
            .map(|f| format!("{} {} {}", f.by.name(), f.rule.id, f.stamp.packet()))
            .collect()
    }

    fn chosen(version: u16, suite: u16) -> TlsFacts {
        TlsFacts {
            version: Some(TlsVersion(version)),
            cipher: Some(CipherSuite(suite)),
            client_hello: Some(Stamp::new(0, 4, Timestamp(0))),
            server_hello: Some(Stamp::new(0, 6, Timestamp(1))),
            ..TlsFacts::default()
        }
    }

    #[test]
    fn versions_and_suites() {
        for suite in [0xc013, 0xc027, 0x009c, 0x003c, 0xc09d, 0x000a, 0xc011, 0x00a8] {
            assert_eq!(told(&chosen(0x0303, suite)), ["server tls-bad-cipher 6"], "{suite:#x}");
        }
        for suite in [0xc02b, 0xc02f, 0xcca8, 0x009e, 0xc0ad, 0xc061, 0x00aa, 0x4242] {
            assert!(told(&chosen(0x0303, suite)).is_empty(), "{suite:#x}");
        }
        assert!(told(&chosen(0x0304, 0x1301)).is_empty());
        assert_eq!(told(&chosen(0x0301, 0xc02f)), ["server tls-version 6"]);
        // Of what was not captured nothing is told.
        let unseen = TlsFacts { server_hello: None, ..chosen(0x0301, 0xc013) };
        assert!(told(&unseen).is_empty());
    }

    #[test]
    fn offers_and_second_handshakes() {
        let offer = |names: &[&str]| TlsFacts {
            alpn_offered: names.iter().map(ToString::to_string).collect(),
            ..chosen(0x0304, 0x1301)
        };
        assert_eq!(told(&offer(&["h2", "h2c"])), ["client h2c-not-in-alpn 4"]);
        assert!(told(&offer(&["h2", "http/1.1"])).is_empty());
        let at = Stamp::new(0, 40, Timestamp(9));
        let again = TlsFacts { renegotiated: Some((at, Side::Client)), ..chosen(0x0303, 0xc02f) };
        assert_eq!(told(&again), ["client tls-renegotiation 40"]);
        let asked = TlsFacts { asked_for_certificate: Some(at), ..chosen(0x0304, 0x1301) };
        assert_eq!(told(&asked), ["server tls13-post-handshake-auth 40"]);
    }
}
