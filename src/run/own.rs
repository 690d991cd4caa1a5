//! The connections over which somebody looks at this: what is written to them would be captured,
//! and written again.

#[cfg(target_os = "linux")]
mod host;

use std::net::IpAddr;

use crate::vocab::address::Endpoint;

/// A connection that carries what this program shows or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    /// The end on this host.
    pub here: Endpoint,
    /// The other end.
    pub there: Endpoint,
    /// How it was found, in a clause.
    pub by: &'static str,
}

impl Own {
    /// A filter of libpcap's that keeps it out of a capture.
    pub fn left_out(&self) -> String {
        let Self { here, there, .. } = self;
        format!(
            "not (tcp and host {} and port {} and host {} and port {})",
            here.ip, here.port, there.ip, there.port
        )
    }
}

impl std::fmt::Display for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} - {}", self.there, self.here)
    }
}

/// Looks for them, while this still is root: sudo keeps the environment back.
pub fn connections() -> Vec<Own> {
    #[cfg(target_os = "linux")]
    let found = host::connections();
    #[cfg(not(target_os = "linux"))]
    let found = std::env::var("SSH_CONNECTION").ok().as_deref().and_then(of_ssh);
    let mut kept: Vec<Own> = Vec::new();
    for own in found {
        if !kept.iter().any(|known| (known.here, known.there) == (own.here, own.there)) {
            kept.push(own);
        }
    }
    kept
}

/// What sshd tells whoever it starts: address and port of the client, then of the server.
fn of_ssh(value: &str) -> Option<Own> {
    let mut words = value.split_ascii_whitespace();
    let mut end = || {
        let ip: IpAddr = words.next()?.parse().ok()?;
        Some(Endpoint { ip: ip.to_canonical(), port: words.next()?.parse().ok()? })
    };
    let (there, here) = (end()?, end()?);
    Some(Own { here, there, by: "SSH_CONNECTION" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sshd_tells_becomes_a_filter() {
        let own = of_ssh("192.0.2.7 50022 ::ffff:192.0.2.1 22").unwrap();
        let filter = "not (tcp and host 192.0.2.1 and port 22 and host 192.0.2.7 and port 50022)";
        assert_eq!(own.left_out(), filter);
        assert_eq!(own.to_string(), "192.0.2.7:50022 - 192.0.2.1:22");
        assert_eq!(of_ssh("fe80::1%eth0 50022 fe80::2 22"), None);
        assert_eq!(of_ssh("192.0.2.7 50022"), None);
    }
}
