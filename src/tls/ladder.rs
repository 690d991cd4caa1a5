//! The keys of one direction in the order in which they come into use, and the place in them:
//! which key, which sequence number (RFC 8446 section 5.3). Tags decide, never a guess.

use super::cipher::{self, Opened, Opener, Suite};
use super::keylog::{Entry, Label, Secret};
use super::record::HEAD;
use super::schedule::{self, Hash};
use crate::vocab::address::Side;
use crate::vocab::tls::CipherSuite;

/// Which keys protect a record (RFC 8446 section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Epoch {
    /// 0-RTT data.
    Early,
    /// The rest of the handshake.
    Handshake,
    /// Application data after so many key updates; TLS 1.2 knows no other.
    Application(u32),
}

/// How much may be tried.
#[derive(Clone, Copy)]
pub(super) struct Trial {
    /// Sequence numbers that are tried beyond the expected one.
    pub skipped: u64,
    /// Work that a search may cost, in octets of records tried.
    pub octets: u64,
    /// Records in a row that may fail before the keys count as wrong.
    pub failures: u64,
}

/// Windows are widened in steps, so that a likely key with a likely number comes first.
const STEPS: [u64; 3] = [16, 256, u64::MAX];

/// What an attempt costs beside its octets.
const ATTEMPT: u64 = 200;

/// What a record that was opened earns, in attempts at one of its length.
const EARNED: u64 = 64;

/// Key updates that may be hidden in a gap.
const UPDATES: usize = 2;

/// Records that may have gone unnoticed where one fails: itself, and some that damage hid.
const UNNOTICED: u64 = 16;

/// One key that may come next.
pub(super) struct Rung {
    epoch: Epoch,
    /// TLS 1.3: what the next key follows from. Boxed, for a vector that grows leaves copies of
    /// what it holds behind.
    secret: Option<Box<Secret>>,
    suite: Suite,
    number: CipherSuite,
    opener: Opener,
    /// Sequence number that is expected next.
    next: u64,
    /// Whose key it is, for connections without a handshake.
    pub random: [u8; 32],
    pub role: Side,
}

/// The keys of a direction.
pub(super) struct Ladder {
    rungs: Vec<Rung>,
    /// Records that may be missing before the next one.
    slack: u64,
    trial: Trial,
    budget: u64,
    failures: u64,
    /// Whether any record was opened.
    proved: bool,
    /// Whether records were missing before one, or may have been.
    lossy: bool,
    /// Connections of the log whose keys these are: tried, because none are known to be its own.
    pub borrowed: usize,
}

/// A record was opened.
pub(super) struct Hit {
    pub opened: Opened,
    pub epoch: Epoch,
    pub cipher: CipherSuite,
    /// Records of this key that went before and were not opened.
    pub missed: u64,
}

impl Rung {
    /// A key of TLS 1.3.
    pub fn tls13(
        epoch: Epoch,
        secret: &Secret,
        number: CipherSuite,
        random: [u8; 32],
        role: Side,
    ) -> Option<Self> {
        let suite = cipher::suite(number)?;
        if secret.octets().len() != suite.hash.length() {
            return None;
        }
        let keys = schedule::tls13_keys(secret, suite.hash, suite.bulk.key_length())?;
        let opener = Opener::tls13(suite.bulk, &keys)?;
        let secret = Some(Box::new(secret.clone()));
        Some(Self { epoch, secret, suite, number, opener, next: 0, random, role })
    }

    /// The key of TLS 1.2 of one side.
    pub fn tls12(
        master: &Secret,
        number: CipherSuite,
        client_random: &[u8; 32],
        server_random: &[u8; 32],
        encrypt_then_mac: bool,
        role: Side,
    ) -> Option<Self> {
        let suite = cipher::suite(number)?;
        let lengths = suite.bulk.block_lengths();
        let (client, server) =
            schedule::tls12_keys(master, suite.hash, client_random, server_random, lengths)?;
        let keys = if role == Side::Client { client } else { server };
        let opener = Opener::tls12(suite.bulk, &keys, encrypt_then_mac)?;
        let epoch = Epoch::Application(0);
        let random = *client_random;
        Some(Self { epoch, secret: None, suite, number, opener, next: 0, random, role })
    }

    /// The key after a KeyUpdate.
    fn updated(&self) -> Option<Self> {
        let Epoch::Application(updates) = self.epoch else { return None };
        let secret = schedule::next_secret(self.secret.as_ref()?, self.suite.hash)?;
        let epoch = Epoch::Application(updates.saturating_add(1));
        Self::tls13(epoch, &secret, self.number, self.random, self.role)
    }

    fn open(&self, sequence: u64, head: [u8; HEAD], body: &mut [u8]) -> Option<Opened> {
        self.opener.open(sequence, head, body)
    }
}

/// The TLS 1.3 keys of a side, of every suite that fits where the suite is not known.
pub(super) fn tls13_rungs(
    entry: &Entry,
    random: &[u8; 32],
    role: Side,
    cipher: Option<CipherSuite>,
) -> Vec<Rung> {
    let labels = match role {
        Side::Client => &[
            (Epoch::Early, Label::ClientEarly),
            (Epoch::Handshake, Label::ClientHandshake),
            (Epoch::Application(0), Label::ClientApplication),
        ][..],
        Side::Server => &[
            (Epoch::Handshake, Label::ServerHandshake),
            (Epoch::Application(0), Label::ServerApplication),
        ],
    };
    let mut rungs = Vec::new();
    for (epoch, label) in labels {
        for secret in entry.of(*label) {
            let given = cipher.map(|cipher| [cipher.0]);
            let suites = match &given {
                Some(one) => &one[..],
                None => cipher::tls13_suites(Hash::of_secret(secret)),
            };
            let rung =
                |number: &u16| Rung::tls13(*epoch, secret, CipherSuite(*number), *random, role);
            rungs.extend(suites.iter().filter_map(rung));
        }
    }
    rungs
}

impl Ladder {
    /// A ladder on which any number of records up to `slack` may be missing at first.
    pub fn new(rungs: Vec<Rung>, slack: u64, trial: Trial) -> Self {
        let (budget, lossy) = (trial.octets, slack > 0);
        Self { rungs, slack, trial, budget, failures: 0, proved: false, lossy, borrowed: 0 }
    }

    /// Records may be missing here, up to so many.
    pub fn lose(&mut self, records: u64) {
        self.slack = self.slack.saturating_add(records);
        self.lossy = true;
    }

    /// Whether records were missing before one, or may have been.
    pub fn is_lossy(&self) -> bool {
        self.lossy
    }

    /// Whether these keys are of no use.
    pub fn is_hopeless(&self) -> bool {
        self.failures >= self.trial.failures || self.rungs.is_empty()
    }

    /// Whether any record was opened.
    pub fn is_proved(&self) -> bool {
        self.proved
    }

    /// Whether there is a key of application data, in use or to come.
    pub fn has_application(&self) -> bool {
        self.rungs.iter().any(|rung| matches!(rung.epoch, Epoch::Application(_)))
    }

    /// Whose keys these are, once a record has proved it.
    pub fn owner(&self) -> Option<(&[u8; 32], Side)> {
        let first = self.rungs.first()?;
        self.proved.then_some((&first.random, first.role))
    }

    /// Octets of plaintext in a record of TLS 1.2, where its length tells.
    pub fn plain_length(&self, sealed: usize) -> Option<usize> {
        let first = self.rungs.first()?;
        if first.secret.is_some() || !self.proved {
            return None;
        }
        first.suite.bulk.tls12_plain_length(sealed)
    }

    /// The sender moved on to its next key.
    pub fn update(&mut self) {
        if let Some(next) = self.rungs.first().and_then(Rung::updated) {
            self.rungs = vec![next];
            self.slack = 0;
        }
    }

    /// Opens a record in place. `scratch` is memory for attempts.
    pub fn open(
        &mut self,
        head: [u8; HEAD],
        body: &mut [u8],
        scratch: &mut Vec<u8>,
    ) -> Option<Hit> {
        if self.is_hopeless() {
            return None;
        }
        if self.slack == 0
            && let [rung] = self.rungs.as_mut_slice()
            && self.proved
        {
            if let Some(opened) = rung.open(rung.next, head, body) {
                rung.next += 1;
                let earned = EARNED * (body.len() as u64 + ATTEMPT);
                self.budget = self.trial.octets.min(self.budget + earned);
                return Some(Hit { opened, epoch: rung.epoch, cipher: rung.number, missed: 0 });
            }
            self.fail();
            return None;
        }
        let hit = self.search(head, body, scratch);
        if hit.is_none() {
            self.fail();
        }
        hit
    }

    fn fail(&mut self) {
        self.failures += 1;
        // A record that fails after one that did not has taken a number; before, it may be of a
        // key that the log lacks.
        if self.proved || self.slack > 0 {
            self.slack = self.slack.saturating_add(UNNOTICED);
        }
    }

    fn search(&mut self, head: [u8; HEAD], body: &mut [u8], scratch: &mut Vec<u8>) -> Option<Hit> {
        if self.slack > 0 || self.proved {
            self.add_updates();
        }
        let cost = body.len() as u64 + ATTEMPT;
        // No record may use up what later, smaller ones need.
        let reserve = self.budget / 2;
        let mut from = 0;
        for step in STEPS {
            let to = step.min(self.slack).min(self.trial.skipped);
            for at in 0..self.rungs.len() {
                for ahead in from..=to {
                    self.budget = self.budget.checked_sub(cost).filter(|left| *left >= reserve)?;
                    let rung = self.rungs.get(at)?;
                    let sequence = rung.next.checked_add(ahead)?;
                    scratch.clear();
                    scratch.extend_from_slice(body);
                    if let Some(opened) = rung.open(sequence, head, scratch) {
                        body.copy_from_slice(scratch);
                        return self.settle(at, sequence, ahead, opened);
                    }
                }
            }
            if to < step {
                break;
            }
            from = to + 1;
        }
        None
    }

    /// The record was of this key and number: what came before is over.
    fn settle(&mut self, at: usize, sequence: u64, missed: u64, opened: Opened) -> Option<Hit> {
        let mut rungs = self.rungs.split_off(at.min(self.rungs.len()));
        let first = rungs.first_mut()?;
        first.next = sequence + 1;
        let (epoch, number) = (first.epoch, first.number);
        let (random, role) = (first.random, first.role);
        // Of the rest only the later keys of the same owner and suite may come.
        let mut later = Vec::new();
        for rung in rungs.drain(..) {
            let same = rung.random == random && rung.role == role && rung.number == number;
            if same && (later.is_empty() || !matches!(epoch, Epoch::Application(_))) {
                later.push(rung);
            }
        }
        self.rungs = later;
        self.proved = true;
        self.slack = 0;
        self.failures = 0;
        Some(Hit { opened, epoch, cipher: number, missed })
    }

    /// Lets the keys after further updates be tried.
    fn add_updates(&mut self) {
        let Some([only]) = self.rungs.get(..) else { return };
        if !self.proved {
            return;
        }
        let mut next = only.updated();
        for _ in 0..UPDATES {
            let Some(rung) = next else { return };
            next = rung.updated();
            self.rungs.push(rung);
        }
    }
}
