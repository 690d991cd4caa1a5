//! Which keys of the log are this connection's: by the client random, else by trial.

use super::cipher::suite;
use super::connection::Connection;
use super::keylog::{Entry, KeyLog, Label};
use super::ladder::{Ladder, Rung, tls13_rungs};
use super::why::Why;
use crate::vocab::address::{Half, Side};
use crate::vocab::tls::TlsVersion;

/// Connections of a key log whose keys are tried where no hello tells which one it is.
const TRIED: usize = 64;

/// Records that may have gone before where the beginning is missing.
const BEFORE: u64 = 4096;

impl Connection {
    /// The keys of a half. `None`: it is too early to tell. `last`: later is of no use.
    pub(super) fn find_keys(
        &self,
        half: Half,
        last: bool,
        keys: &KeyLog,
    ) -> Option<Result<Ladder, Why>> {
        let hellos = &self.hellos;
        let wait_client = hellos.client_random.is_none() && !hellos.gone.first;
        let wait_server = self.facts.version.is_none() && !hellos.gone.second;
        if (wait_client || wait_server) && !last {
            return None;
        }
        let version = self.facts.version;
        if let Some(version) = version
            && version != TlsVersion::TLS12
            && version != TlsVersion::TLS13
        {
            return Some(Err(Why::Version(version)));
        }
        if let Some(cipher) = self.facts.cipher
            && suite(cipher).is_none()
        {
            return Some(Err(Why::Cipher(cipher)));
        }
        let missed = self.halves.half(half).missed;
        let Some(random) = &hellos.client_random else {
            return Some(self.try_all(half, keys, missed));
        };
        let Some(entry) = keys.find(random) else {
            if keys.is_growing() && !last {
                return None;
            }
            return Some(Err(if keys.is_empty() { Why::NoLog } else { Why::NoKeys }));
        };
        let Some(role) = self.role(half) else { return Some(Err(Why::NoHandshake)) };
        let slack = if self.facts.joined_midway { BEFORE.max(missed) } else { missed };
        let ladder = Ladder::new(self.rungs(entry, random, role), slack);
        // Programs log the keys of the handshake first.
        if !ladder.has_application() && keys.is_growing() && !last {
            return None;
        }
        let is_empty = ladder.is_hopeless();
        Some(if is_empty { Err(self.why_no_rungs(entry, role)) } else { Ok(ladder) })
    }

    /// No client random: every key of a small log is tried.
    fn try_all(&self, half: Half, keys: &KeyLog, missed: u64) -> Result<Ladder, Why> {
        if keys.is_empty() {
            return Err(Why::NoLog);
        }
        if keys.len() > TRIED {
            return Err(Why::TooManyKeys);
        }
        let roles = match self.role(half) {
            Some(Side::Client) => &[Side::Client][..],
            Some(Side::Server) => &[Side::Server],
            None => &[Side::Client, Side::Server],
        };
        let mut rungs = Vec::new();
        for (random, entry) in keys.entries() {
            for role in roles {
                rungs.extend(self.rungs(entry, random, *role));
            }
        }
        if rungs.is_empty() {
            Err(Why::NoHandshake)
        } else {
            Ok(Ladder::new(rungs, BEFORE.max(missed)))
        }
    }

    fn rungs(&self, entry: &Entry, random: &[u8; 32], role: Side) -> Vec<Rung> {
        let cipher = self.facts.cipher;
        match self.facts.version {
            Some(TlsVersion::TLS13) => tls13_rungs(entry, random, role, cipher),
            None if entry.is_tls13() => tls13_rungs(entry, random, role, cipher),
            Some(TlsVersion::TLS12) => {
                let parts = (cipher, &self.hellos.server_random);
                let (Some(cipher), Some(server)) = parts else { return Vec::new() };
                let etm = self.hellos.encrypt_then_mac;
                let rung = |master| Rung::tls12(master, cipher, random, server, etm, role);
                entry.of(Label::Master).filter_map(rung).collect()
            }
            _ => Vec::new(),
        }
    }

    fn why_no_rungs(&self, entry: &Entry, role: Side) -> Why {
        match self.facts.version {
            Some(TlsVersion::TLS12) if !entry.has(Label::Master) => Why::NoKeys,
            Some(TlsVersion::TLS12) => Why::WrongKeys,
            _ if !entry.is_tls13() && entry.has(Label::Master) => match self.facts.version {
                None => Why::NoServerHello,
                _ => Why::NoKeys,
            },
            _ => Why::HalfKeys(role),
        }
    }

    /// Why application data was not decrypted, the more telling side first.
    pub(super) fn why_not(&self) -> Option<Why> {
        let of = |half: Half| {
            let direction = self.halves.half(half);
            let decrypted = *self.decrypted.half(half);
            let unread = self.sides.half(half).unread_records > 0;
            match &direction.ladder {
                Some(ladder) if decrypted => ladder.is_hopeless().then_some(Why::PlaceLost),
                Some(ladder) if ladder.is_proved() => unread.then_some(Why::NoApplicationKeys),
                Some(_) if !unread => None,
                Some(_) if self.facts.joined_midway => Some(Why::NoHandshake),
                Some(_) => Some(Why::WrongKeys),
                None if unread => direction.why,
                None => None,
            }
        };
        of(Half::A).or(of(Half::B))
    }
}
