//! NSS key log format (SSLKEYLOGFILE, RFC 9850): secrets by client random.

use std::collections::BTreeMap;
use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Connections whose secrets are kept: some 100 MB.
const ENTRIES_MAX: usize = 1 << 18;

/// Longest secret: TLS 1.2 master secrets and SHA-384 traffic secrets.
const SECRET_MAX: usize = 48;

/// Secrets of a key log. Wiped when dropped; shows none of them when debugged.
#[derive(Default)]
pub struct KeyLog {
    entries: BTreeMap<[u8; 32], Box<Entry>>,
    skipped_lines: u64,
    left_out: u64,
    /// Counts additions, so that a session sees whether a second look is worth it.
    generation: u64,
    growing: bool,
}

/// A secret that is wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(super) struct Secret {
    octets: [u8; SECRET_MAX],
    length: usize,
}

/// The secrets of one connection.
#[derive(Default)]
pub(super) struct Entry {
    /// TLS 1.2.
    pub master: Option<Secret>,
    /// TLS 1.3, in the order in which they come into use.
    pub client_early: Option<Secret>,
    pub client_handshake: Option<Secret>,
    pub client_application: Option<Secret>,
    pub server_handshake: Option<Secret>,
    pub server_application: Option<Secret>,
}

impl Entry {
    /// Whether these are secrets of TLS 1.3.
    pub fn is_tls13(&self) -> bool {
        self.client_early.is_some()
            || self.client_handshake.is_some()
            || self.client_application.is_some()
            || self.server_handshake.is_some()
            || self.server_application.is_some()
    }
}

impl KeyLog {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the text of a key log, or further lines of one. Each call takes whole lines: where a
    /// log is followed as it grows, keep back what stands behind its last line end. A line that
    /// gives another secret for the same connection and label replaces the earlier one.
    pub fn add_text(&mut self, octets: &[u8]) {
        for line in octets.split(|octet| matches!(octet, b'\n' | b'\r')) {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            if self.add_line(line).is_none() {
                self.skipped_lines += 1;
            }
        }
        self.generation += 1;
    }

    /// Tells whether more lines may come. Sessions then keep some encrypted records until their
    /// keys are there.
    pub fn set_growing(&mut self, growing: bool) {
        self.growing = growing;
        self.generation += 1;
    }

    /// Lines that could not be read: garbage, cut short.
    pub fn skipped_lines(&self) -> u64 {
        self.skipped_lines
    }

    /// Connections left out because the log is too large.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Connections with secrets.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no secret at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn is_growing(&self) -> bool {
        self.growing
    }

    pub(super) fn find(&self, client_random: &[u8; 32]) -> Option<&Entry> {
        self.entries.get(client_random).map(|entry| &**entry)
    }

    /// All connections, in the order of their client randoms.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&[u8; 32], &Entry)> {
        self.entries.iter().map(|(random, entry)| (random, &**entry))
    }

    fn add_line(&mut self, line: &[u8]) -> Option<()> {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let (label, random, secret) = (words.next()?, words.next()?, words.next()?);
        let place = match label {
            b"CLIENT_RANDOM" => place::MASTER,
            b"CLIENT_EARLY_TRAFFIC_SECRET" => place::CLIENT_EARLY,
            b"CLIENT_HANDSHAKE_TRAFFIC_SECRET" => place::CLIENT_HANDSHAKE,
            b"CLIENT_TRAFFIC_SECRET_0" => place::CLIENT_APPLICATION,
            b"SERVER_HANDSHAKE_TRAFFIC_SECRET" => place::SERVER_HANDSHAKE,
            b"SERVER_TRAFFIC_SECRET_0" => place::SERVER_APPLICATION,
            // Well-formed, and of no use here.
            b"EXPORTER_SECRET"
            | b"EARLY_EXPORTER_SECRET"
            | b"RSA"
            | b"PMS_CLIENT_RANDOM"
            | b"ECH_SECRET"
            | b"ECH_CONFIG" => return Some(()),
            _ if is_later_secret(label) => return Some(()),
            _ => return None,
        };
        if words.next().is_some() {
            return None;
        }
        let random: [u8; 32] = decode::<32>(random)?.try_into().ok()?;
        let secret = Secret::from_hex(secret)?;
        let fits = if place == place::MASTER { &[48][..] } else { &[32, 48][..] };
        if !fits.contains(&secret.length) {
            return None;
        }
        if self.entries.len() >= ENTRIES_MAX && !self.entries.contains_key(&random) {
            self.left_out += 1;
            return Some(());
        }
        self.entries.entry(random).or_default().set(place, secret);
        Some(())
    }
}

mod place {
    pub const MASTER: usize = 0;
    pub const CLIENT_EARLY: usize = 1;
    pub const CLIENT_HANDSHAKE: usize = 2;
    pub const CLIENT_APPLICATION: usize = 3;
    pub const SERVER_HANDSHAKE: usize = 4;
    pub const SERVER_APPLICATION: usize = 5;
}

impl Entry {
    fn set(&mut self, place: usize, secret: Secret) {
        let slot = match place {
            place::MASTER => &mut self.master,
            place::CLIENT_EARLY => &mut self.client_early,
            place::CLIENT_HANDSHAKE => &mut self.client_handshake,
            place::CLIENT_APPLICATION => &mut self.client_application,
            place::SERVER_HANDSHAKE => &mut self.server_handshake,
            _ => &mut self.server_application,
        };
        *slot = Some(secret);
    }
}

/// `CLIENT_TRAFFIC_SECRET_1` and on: they follow from the first (RFC 8446 section 7.2).
fn is_later_secret(label: &[u8]) -> bool {
    [&b"CLIENT_TRAFFIC_SECRET_"[..], b"SERVER_TRAFFIC_SECRET_"]
        .iter()
        .filter_map(|start| label.strip_prefix(*start))
        .any(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
}

impl Secret {
    pub fn new(octets: &[u8]) -> Option<Self> {
        let mut secret = Self { octets: [0; SECRET_MAX], length: octets.len() };
        secret.octets.get_mut(..octets.len())?.copy_from_slice(octets);
        Some(secret)
    }

    pub fn octets(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or_default()
    }

    fn from_hex(text: &[u8]) -> Option<Self> {
        let mut octets = decode::<SECRET_MAX>(text)?;
        let secret = Self::new(&octets);
        octets.zeroize();
        secret
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entry")
    }
}

impl fmt::Debug for KeyLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyLog")
            .field("connections", &self.entries.len())
            .field("skipped_lines", &self.skipped_lines)
            .finish_non_exhaustive()
    }
}

/// Hexadecimal of either case, of at most `MAX` octets.
fn decode<const MAX: usize>(text: &[u8]) -> Option<Vec<u8>> {
    if text.is_empty() || !text.len().is_multiple_of(2) || text.len() > 2 * MAX {
        return None;
    }
    let digit = |octet: u8| char::from(octet).to_digit(16).and_then(|d| u8::try_from(d).ok());
    // The whole capacity at once: growth would leave copies of a secret behind.
    let mut octets = Vec::with_capacity(MAX);
    for pair in text.chunks_exact(2) {
        let &[high, low] = pair else { return None };
        match (digit(high), digit(low)) {
            (Some(high), Some(low)) => octets.push((high << 4) | low),
            _ => {
                octets.zeroize();
                return None;
            }
        }
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(label: &str, random: u8, secret: u8, length: usize) -> String {
        format!(
            "{label} {} {}",
            format!("{random:02x}").repeat(32),
            format!("{secret:02X}").repeat(length)
        )
    }

    #[test]
    fn every_label_finds_its_place() {
        let mut log = KeyLog::new();
        let labels = [
            ("CLIENT_RANDOM", 48),
            ("CLIENT_EARLY_TRAFFIC_SECRET", 32),
            ("CLIENT_HANDSHAKE_TRAFFIC_SECRET", 32),
            ("CLIENT_TRAFFIC_SECRET_0", 32),
            ("SERVER_HANDSHAKE_TRAFFIC_SECRET", 48),
            ("SERVER_TRAFFIC_SECRET_0", 48),
            ("EXPORTER_SECRET", 32),
            ("SERVER_TRAFFIC_SECRET_1", 32),
        ];
        for (secret, (label, length)) in (1..).zip(labels) {
            log.add_text(line(label, 9, secret, length).as_bytes());
        }
        assert_eq!((log.len(), log.skipped_lines()), (1, 0));
        let entry = log.find(&[9; 32]).unwrap();
        assert!(entry.is_tls13());
        let secrets = [
            &entry.master,
            &entry.client_early,
            &entry.client_handshake,
            &entry.client_application,
            &entry.server_handshake,
            &entry.server_application,
        ];
        for ((first, (_, length)), secret) in (1u8..).zip(labels).zip(secrets) {
            assert_eq!(secret.as_ref().unwrap().octets(), vec![first; length]);
        }
    }

    #[test]
    fn line_ends_comments_and_garbage_do_no_harm() {
        let good = line("CLIENT_RANDOM", 1, 2, 48);
        let text = format!(
            "# a comment\r\n\r\n{good}\r\ngarbage\nCLIENT_RANDOM zz 00\n{} 00\n\u{fe}\n  {}\t\n",
            line("CLIENT_RANDOM", 3, 4, 48),
            line("CLIENT_TRAFFIC_SECRET_0", 5, 6, 32),
        );
        let mut log = KeyLog::new();
        log.add_text(text.as_bytes());
        log.add_text(b"\xff\xfe\0\0");
        assert_eq!((log.len(), log.skipped_lines()), (2, 5));
    }

    #[test]
    fn a_line_cut_anywhere_is_not_believed() {
        let good = line("CLIENT_RANDOM", 1, 2, 48);
        for end in 1..good.len() {
            let mut log = KeyLog::new();
            log.add_text(&good.as_bytes()[..end]);
            assert!(log.is_empty(), "{end}");
            assert_eq!(log.skipped_lines(), 1);
            // The rest of the log is of use all the same, and so is the line when it is whole.
            log.add_text(good.as_bytes());
            assert_eq!(log.len(), 1);
        }
    }

    #[test]
    fn secrets_do_not_show() {
        let mut log = KeyLog::new();
        log.add_text(line("CLIENT_RANDOM", 0x1a, 0xc7, 48).as_bytes());
        let entry = log.find(&[0x1a; 32]).unwrap();
        let shown = format!("{log:?} {log:#?} {entry:?} {:?}", entry.master);
        for form in ["c7", "C7", "199", "1a"] {
            assert!(!shown.contains(form), "{shown}");
        }
    }
}
