//! NSS key log format (SSLKEYLOGFILE, RFC 9850): secrets by client random.

use std::collections::BTreeMap;
use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::vocab::limits::Limits;
use crate::vocab::tls::KeyLogFacts;

/// Longest secret: TLS 1.2 master secrets and SHA-384 traffic secrets.
const SECRET_MAX: usize = 48;

/// Secrets of a key log. Wiped when dropped; shows none of them when debugged.
pub struct KeyLog {
    entries: BTreeMap<[u8; 32], Entry>,
    facts: KeyLogFacts,
    /// [`Limits::key_log_connections`].
    connections_max: usize,
    /// [`Limits::key_log_secrets`].
    secrets_max: usize,
    /// What is left of [`Limits::key_log_bytes`].
    room: usize,
    /// Counts additions, so that a session sees whether a second look is worth it.
    generation: u64,
    growing: bool,
}

/// A secret that is wiped when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub(super) struct Secret {
    octets: [u8; SECRET_MAX],
    length: usize,
}

/// What a secret is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Label {
    /// TLS 1.2.
    #[default]
    Master,
    ClientEarly,
    ClientHandshake,
    ClientApplication,
    ServerHandshake,
    ServerApplication,
}

/// The secrets of one connection: of a label there may be several, where programs share a log or
/// one was damaged and written again. Authentication tags decide which is right.
#[derive(Default)]
pub(super) struct Entry {
    secrets: Vec<Labelled>,
}

/// A secret and what it is for.
#[derive(Clone)]
struct Labelled(Label, Secret);

impl Zeroize for Labelled {
    fn zeroize(&mut self) {
        self.1.zeroize();
    }
}

/// What became of a secret that was added.
#[derive(PartialEq, Eq)]
enum Added {
    Kept,
    Known,
    /// Instead of another one of its label.
    Replaced,
}

impl Entry {
    /// The secrets of a label, in the order of the log.
    pub fn of(&self, label: Label) -> impl Iterator<Item = &Secret> {
        self.secrets.iter().filter(move |of| of.0 == label).map(|of| &of.1)
    }

    /// Whether there is any of a label.
    pub fn has(&self, label: Label) -> bool {
        self.of(label).next().is_some()
    }

    /// Whether these are secrets of TLS 1.3.
    pub fn is_tls13(&self) -> bool {
        self.secrets.iter().any(|of| of.0 != Label::Master)
    }

    fn add(&mut self, label: Label, secret: Secret, most: usize) -> Added {
        if self.of(label).any(|known| *known == secret) {
            return Added::Known;
        }
        if self.of(label).count() >= most.max(1) {
            // The latest is the likeliest.
            if let Some(last) = self.secrets.iter_mut().rfind(|of| of.0 == label) {
                last.1 = secret;
            }
            return Added::Replaced;
        }
        if self.secrets.len() == self.secrets.capacity() {
            // By hand: a vector that grows by itself leaves a copy of its secrets behind.
            let mut larger = Vec::with_capacity(self.secrets.len() + ENTRY_GROWTH);
            larger.extend_from_slice(&self.secrets);
            self.secrets.zeroize();
            self.secrets = larger;
        }
        self.secrets.push(Labelled(label, secret));
        Added::Kept
    }
}

/// Secrets for which room is made at once: those of a TLS 1.3 connection.
const ENTRY_GROWTH: usize = 5;

impl Default for KeyLog {
    fn default() -> Self {
        Self::within(&Limits::default())
    }
}

impl KeyLog {
    /// An empty log within the usual limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty log.
    pub fn within(limits: &Limits) -> Self {
        Self {
            entries: BTreeMap::new(),
            facts: KeyLogFacts::default(),
            connections_max: limits.key_log_connections,
            secrets_max: limits.key_log_secrets,
            room: limits.key_log_bytes,
            generation: 0,
            growing: false,
        }
    }

    /// Takes the text of a key log, or further lines of one. Each call takes whole lines: where a
    /// log is followed as it grows, keep back what stands behind its last line end. Where a line
    /// gives another secret for the same connection and label, both are kept and tried.
    pub fn add_text(&mut self, octets: &[u8]) {
        let Some(room) = self.room.checked_sub(octets.len()) else {
            self.facts.left_out += 1;
            return;
        };
        self.room = room;
        for line in octets.split(|octet| matches!(octet, b'\n' | b'\r')) {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            self.facts.lines += 1;
            if self.add_line(line).is_none() {
                self.facts.useless_lines += 1;
            }
        }
        self.facts.connections = self.entries.len() as u64;
        self.generation += 1;
    }

    /// Tells whether more lines may come. Sessions then keep some encrypted records until their
    /// keys are there.
    pub fn set_growing(&mut self, growing: bool) {
        self.growing = growing;
        self.generation += 1;
    }

    /// What was read so far.
    pub fn facts(&self) -> KeyLogFacts {
        self.facts
    }

    /// Connections with secrets.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no secret at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether more lines may come.
    pub fn is_growing(&self) -> bool {
        self.growing
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn find(&self, client_random: &[u8; 32]) -> Option<&Entry> {
        self.entries.get(client_random)
    }

    /// All connections, in the order of their client randoms.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&[u8; 32], &Entry)> {
        self.entries.iter()
    }

    fn add_line(&mut self, line: &[u8]) -> Option<()> {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let (label, random, secret) = (words.next()?, words.next()?, words.next()?);
        let label = match label {
            b"CLIENT_RANDOM" => Label::Master,
            b"CLIENT_EARLY_TRAFFIC_SECRET" => Label::ClientEarly,
            b"CLIENT_HANDSHAKE_TRAFFIC_SECRET" => Label::ClientHandshake,
            b"CLIENT_TRAFFIC_SECRET_0" => Label::ClientApplication,
            b"SERVER_HANDSHAKE_TRAFFIC_SECRET" => Label::ServerHandshake,
            b"SERVER_TRAFFIC_SECRET_0" => Label::ServerApplication,
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
        // Some programs write this where they do not know it: it names no connection.
        if random == [0; 32] {
            return None;
        }
        let secret = Secret::from_hex(secret)?;
        let fits = if label == Label::Master { &[48][..] } else { &[32, 48][..] };
        if !fits.contains(&secret.length) {
            return None;
        }
        if self.entries.len() >= self.connections_max && !self.entries.contains_key(&random) {
            self.facts.left_out += 1;
            return Some(());
        }
        let entry = self.entries.entry(random).or_default();
        if entry.add(label, secret, self.secrets_max) == Added::Replaced {
            self.facts.left_out += 1;
        }
        Some(())
    }
}

/// `CLIENT_TRAFFIC_SECRET_1` and on: they follow from the first (RFC 8446 section 7.2). OpenSSL
/// writes the letter N for each of them.
fn is_later_secret(label: &[u8]) -> bool {
    [&b"CLIENT_TRAFFIC_SECRET_"[..], b"SERVER_TRAFFIC_SECRET_"]
        .iter()
        .filter_map(|start| label.strip_prefix(*start))
        .any(|number| {
            number == b"N" || (!number.is_empty() && number.iter().all(u8::is_ascii_digit))
        })
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
            .field("useless_lines", &self.facts.useless_lines)
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
            ("CLIENT_TRAFFIC_SECRET_N", 32),
        ];
        for (secret, (label, length)) in (1..).zip(labels) {
            log.add_text(line(label, 9, secret, length).as_bytes());
        }
        assert_eq!((log.len(), log.facts().useless_lines), (1, 0));
        let entry = log.find(&[9; 32]).unwrap();
        assert!(entry.is_tls13());
        let places = [
            Label::Master,
            Label::ClientEarly,
            Label::ClientHandshake,
            Label::ClientApplication,
            Label::ServerHandshake,
            Label::ServerApplication,
        ];
        for ((first, (_, length)), place) in (1u8..).zip(labels).zip(places) {
            assert_eq!(entry.of(place).next().unwrap().octets(), vec![first; length]);
        }
    }

    #[test]
    fn line_ends_comments_and_garbage_do_no_harm() {
        let good = line("CLIENT_RANDOM", 1, 2, 48);
        let text = format!(
            "# a comment\r\n\r\n{good}\r\ngarbage\nCLIENT_RANDOM zz 00\n{} 00\n\u{fe}\n  {}\t\n{}",
            line("CLIENT_RANDOM", 3, 4, 48),
            line("CLIENT_TRAFFIC_SECRET_0", 5, 6, 32),
            line("CLIENT_RANDOM", 0, 7, 48),
        );
        let mut log = KeyLog::new();
        log.add_text(text.as_bytes());
        log.add_text(b"\xff\xfe\0\0");
        let facts = KeyLogFacts { connections: 2, lines: 8, useless_lines: 6, left_out: 0 };
        assert_eq!(log.facts(), facts);
    }

    #[test]
    fn a_line_cut_anywhere_is_not_believed() {
        let good = line("CLIENT_RANDOM", 1, 2, 48);
        for end in 1..good.len() {
            let mut log = KeyLog::new();
            log.add_text(&good.as_bytes()[..end]);
            assert!(log.is_empty(), "{end}");
            assert_eq!(log.facts().useless_lines, 1);
            // The rest of the log is of use all the same, and so is the line when it is whole.
            log.add_text(good.as_bytes());
            assert_eq!(log.len(), 1);
        }
    }

    #[test]
    fn of_several_secrets_none_is_forgotten_up_to_a_bound() {
        let limits = Limits { key_log_connections: 2, key_log_secrets: 3, ..Limits::default() };
        let mut log = KeyLog::within(&limits);
        for secret in [1, 2, 1, 3, 2] {
            log.add_text(line("CLIENT_RANDOM", 9, secret, 48).as_bytes());
        }
        let firsts = |log: &KeyLog| -> Vec<u8> {
            let entry = log.find(&[9; 32]).unwrap();
            entry.of(Label::Master).map(|secret| secret.octets()[0]).collect()
        };
        assert_eq!((firsts(&log), log.facts().left_out), (vec![1, 2, 3], 0));
        log.add_text(line("CLIENT_RANDOM", 9, 4, 48).as_bytes());
        assert_eq!((firsts(&log), log.facts().left_out), (vec![1, 2, 4], 1));
        log.add_text(line("CLIENT_RANDOM", 8, 1, 48).as_bytes());
        log.add_text(line("CLIENT_RANDOM", 7, 1, 48).as_bytes());
        assert_eq!((log.len(), log.facts().left_out), (2, 2));
        let text = line("CLIENT_RANDOM", 9, 1, 48);
        let mut log = KeyLog::within(&Limits { key_log_bytes: text.len(), ..Limits::default() });
        log.add_text(text.as_bytes());
        log.add_text(text.as_bytes());
        assert_eq!((log.len(), log.facts().lines, log.facts().left_out), (1, 1, 1));
    }

    #[test]
    fn what_holds_secrets_is_wiped() {
        fn is_wiped<T: ZeroizeOnDrop>() {}
        is_wiped::<Secret>();
        is_wiped::<crate::vocab::tls::KeyLines>();
        is_wiped::<zeroize::Zeroizing<Vec<u8>>>();
        let mut log = KeyLog::new();
        log.add_text(line("CLIENT_RANDOM", 1, 0xc7, 48).as_bytes());
        let entry = log.entries.get_mut(&[1; 32]).unwrap();
        entry.secrets.zeroize();
        let room = entry.secrets.spare_capacity_mut();
        assert!(!room.is_empty() && entry.of(Label::Master).next().is_none());
    }

    #[test]
    fn secrets_do_not_show() {
        let mut log = KeyLog::new();
        log.add_text(line("CLIENT_RANDOM", 0x1a, 0xc7, 48).as_bytes());
        let entry = log.find(&[0x1a; 32]).unwrap();
        let shown = format!("{log:?} {log:#?} {entry:?} {:?}", entry.of(Label::Master).next());
        for form in ["c7", "C7", "199", "1a"] {
            assert!(!shown.contains(form), "{shown}");
        }
    }
}
