//! Which keys of the log are this connection's: by the client random, else by trial.

use super::cipher::suite;
use super::connection::Connection;
use super::keylog::{Entry, KeyLog, Label};
use super::ladder::{Ladder, Rung, tls13_rungs};
use super::record::{HEAD, body_length};
use super::why::Why;
use crate::vocab::address::{Half, Side};
use crate::vocab::tls::TlsVersion;

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
        if let Some(why) = self.unsupported() {
            return Some(Err(why));
        }
        let missed = self.halves.half(half).missed;
        let Some(random) = &hellos.client_random else {
            return Some(self.try_all(half, keys, missed));
        };
        let Some(entry) = keys.find(random) else {
            if keys.is_growing() && !last {
                return None;
            }
            if let Some(ladder) = self.borrow(half, random, keys) {
                return Some(Ok(ladder));
            }
            return Some(Err(self.no_log(keys).unwrap_or(Why::NoKeys(keys.len()))));
        };
        let Some(role) = self.role(half) else { return Some(Err(Why::NoHandshake)) };
        let slack =
            if self.facts.joined_midway { self.bounds.trial.skipped.max(missed) } else { missed };
        let ladder = Ladder::new(self.rungs(entry, random, role), slack, self.bounds.trial);
        // Programs log the keys of the handshake first.
        if !ladder.has_application() && keys.is_growing() && !last {
            return None;
        }
        let is_empty = ladder.is_hopeless();
        Some(if is_empty { Err(self.why_no_rungs(entry, role)) } else { Ok(ladder) })
    }

    /// Why no key of the log can be of use, whatever the other hello says.
    pub(super) fn in_vain(&self, keys: &KeyLog) -> Option<Why> {
        if keys.is_growing() {
            return None;
        }
        if let Some(why) = self.no_log(keys) {
            return Some(why);
        }
        let random = self.hellos.client_random.as_ref()?;
        let foreign = keys.find(random).is_none() && !self.may_borrow(keys);
        foreign.then(|| Why::NoKeys(keys.len()))
    }

    /// Whether the master secret may stand in the log as that of an earlier connection.
    fn may_borrow(&self, keys: &KeyLog) -> bool {
        self.hellos.resumed
            && self.facts.version == Some(TlsVersion::TLS12)
            && keys.len() <= self.bounds.keys_tried
    }

    /// The keys of a resumed session of TLS 1.2 whose log has the line of an earlier connection
    /// alone: the master secret is the same (RFC 5246 section 6.3, 8.1). Every one is tried.
    fn borrow(&self, half: Half, random: &[u8; 32], keys: &KeyLog) -> Option<Ladder> {
        let role = self.role(half).filter(|_| self.may_borrow(keys))?;
        let entries = keys.entries();
        let rungs: Vec<Rung> =
            entries.flat_map(|(_, entry)| self.rungs_of_master(entry, random, role)).collect();
        if rungs.is_empty() {
            return None;
        }
        let missed = self.halves.half(half).missed;
        let mut ladder = Ladder::new(rungs, missed, self.bounds.trial);
        ladder.borrowed = keys.len();
        Some(ladder)
    }

    /// Why there is not one key.
    fn no_log(&self, keys: &KeyLog) -> Option<Why> {
        keys.is_empty().then(|| match keys.facts().lines {
            0 if self.facts.joined_midway && !self.facts.hello_seen => Why::NoHandshakeNoLog,
            0 => Why::NoLog,
            lines => Why::NoLines(lines),
        })
    }

    /// Why nobody knows whose keys would fit.
    fn why_no_hello(&self) -> Why {
        if self.facts.joined_midway { Why::NoHandshake } else { Why::NoHello }
    }

    fn unsupported(&self) -> Option<Why> {
        let version = self.facts.version;
        let known = |version: &TlsVersion| [TlsVersion::TLS12, TlsVersion::TLS13].contains(version);
        if let Some(version) = version.filter(|version| !known(version)) {
            return Some(Why::Version(version));
        }
        self.facts.cipher.filter(|cipher| suite(*cipher).is_none()).map(Why::Cipher)
    }

    /// No client random: every key of a small log is tried.
    fn try_all(&self, half: Half, keys: &KeyLog, missed: u64) -> Result<Ladder, Why> {
        if let Some(why) = self.no_log(keys) {
            return Err(why);
        }
        if keys.len() > self.bounds.keys_tried {
            return Err(Why::TooManyKeys(keys.len()));
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
            Err(self.why_no_hello())
        } else {
            let slack = self.bounds.trial.skipped.max(missed);
            Ok(Ladder::new(rungs, slack, self.bounds.trial))
        }
    }

    fn rungs(&self, entry: &Entry, random: &[u8; 32], role: Side) -> Vec<Rung> {
        let cipher = self.facts.cipher;
        match self.facts.version {
            Some(TlsVersion::TLS13) => tls13_rungs(entry, random, role, cipher),
            None if entry.is_tls13() => tls13_rungs(entry, random, role, cipher),
            Some(TlsVersion::TLS12) => self.rungs_of_master(entry, random, role),
            _ => Vec::new(),
        }
    }

    fn rungs_of_master(&self, entry: &Entry, random: &[u8; 32], role: Side) -> Vec<Rung> {
        let parts = (self.facts.cipher, &self.hellos.server_random);
        let (Some(cipher), Some(server)) = parts else { return Vec::new() };
        let etm = self.hellos.encrypt_then_mac;
        let rung = |master| Rung::tls12(master, cipher, random, server, etm, role);
        entry.of(Label::Master).filter_map(rung).collect()
    }

    fn why_no_rungs(&self, entry: &Entry, role: Side) -> Why {
        match self.facts.version {
            Some(TlsVersion::TLS12) if entry.has(Label::Master) => Why::WrongKeys,
            Some(TlsVersion::TLS12) => Why::NoMaster,
            None if !entry.is_tls13() => Why::NoServerHello,
            _ if !entry.is_tls13() => Why::NoApplicationKeys,
            _ if entry.has(role_label(role)) => Why::WrongKeys,
            _ => Why::HalfKeys(role),
        }
    }

    /// Octets of plaintext in a record that was not opened, if it was not padded.
    pub(super) fn plain_length(&self, head: [u8; HEAD]) -> Option<u16> {
        let (bulk, length) = (suite(self.facts.cipher?)?.bulk, body_length(head)?);
        let octets = match self.facts.version? {
            TlsVersion::TLS13 => bulk.tls13_plain_length(length),
            TlsVersion::TLS12 => bulk.tls12_plain_length(length),
            _ => None,
        };
        u16::try_from(octets?).ok()
    }

    /// Why application data was not decrypted, the more telling side first.
    pub(super) fn why_not(&self) -> Option<Why> {
        let of = |half: Half| {
            let direction = self.halves.half(half);
            let decrypted = *self.decrypted.half(half);
            let unread = self.sides.half(half).unread_records > 0;
            let lossy = direction.ladder.as_ref().is_some_and(Ladder::is_lossy);
            let dark = unread || (!decrypted && (lossy || direction.torn > 0));
            match &direction.ladder {
                Some(ladder) if decrypted => ladder.is_hopeless().then_some(Why::PlaceLost),
                _ if !dark => None,
                None => Some(direction.why.unwrap_or(Why::Torn)),
                Some(ladder) if !ladder.has_application() => Some(Why::NoApplicationKeys),
                Some(_) if !unread => Some(Why::Torn),
                Some(ladder) if ladder.borrowed > 0 && !ladder.is_proved() => {
                    Some(Why::NoSession(ladder.borrowed))
                }
                Some(ladder) if ladder.is_proved() && lossy => Some(Why::PlaceLost),
                Some(_) if !self.facts.hello_seen => Some(self.why_no_hello()),
                Some(_) if lossy => Some(Why::LostBefore),
                Some(_) => Some(Why::WrongKeys),
            }
        };
        // Keys would not help.
        of(Half::A).or(of(Half::B)).map(|why| self.unsupported().unwrap_or(why))
    }
}

/// What the application data of a side is protected with in TLS 1.3.
fn role_label(role: Side) -> Label {
    match role {
        Side::Client => Label::ClientApplication,
        Side::Server => Label::ServerApplication,
    }
}
