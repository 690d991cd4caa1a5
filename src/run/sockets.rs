//! TCP sockets of this host's network namespace, by procfs.

use std::collections::HashMap;
use std::net::SocketAddr;

use procfs::net::{TcpNetEntry, TcpState};

use crate::vocab::address::Endpoint;

/// The sockets there are at one moment.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    /// Inodes by local and remote end.
    pub(super) connected: HashMap<(Endpoint, Endpoint), u64>,
    /// Local ends and inodes of those that listen.
    pub(super) listening: Vec<(Endpoint, u64)>,
}

impl Sockets {
    pub(super) fn now() -> Self {
        let mut found = Self::default();
        let tables = [procfs::net::tcp(), procfs::net::tcp6()];
        for entry in tables.into_iter().flatten().flatten() {
            found.add(&entry);
        }
        found
    }

    fn add(&mut self, entry: &TcpNetEntry) {
        let (local, remote) = (endpoint(entry.local_address), endpoint(entry.remote_address));
        if entry.state == TcpState::Listen {
            self.listening.push((local, entry.inode));
        } else if entry.inode != 0 {
            self.connected.insert((local, remote), entry.inode);
        }
    }

    /// Whose socket listens for connections to this end.
    pub(super) fn listener(&self, server: Endpoint) -> Option<u64> {
        let found = |wanted: fn(&Endpoint, &Endpoint) -> bool| {
            let mut listening = self.listening.iter();
            listening.find(|(local, _)| local.port == server.port && wanted(local, &server))
        };
        let exactly = found(|local, server| local.ip == server.ip);
        exactly.or_else(|| found(|local, _| local.ip.is_unspecified())).map(|(_, inode)| *inode)
    }
}

pub(super) fn endpoint(address: SocketAddr) -> Endpoint {
    plain(Endpoint { ip: address.ip(), port: address.port() })
}

/// A socket for IPv6 names peers with IPv4 by mapped addresses.
pub(super) fn plain(end: Endpoint) -> Endpoint {
    Endpoint { ip: end.ip.to_canonical(), port: end.port }
}
