//! One half of a TLS connection: what protects its records, what was lost of it, and how its
//! octets map to those of the plaintext.

use std::collections::VecDeque;

use super::hello::Messages;
use super::ladder::{Epoch, Hit, Ladder, Trial};
use super::record::{Framing, HEAD, Place, records_in};
use super::why::Why;
use crate::vocab::limits::Limits;
use crate::vocab::time::Stamp;
use crate::vocab::tls::SizedRecord;

/// The bounds of a connection, out of [`Limits`].
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub waiting: usize,
    pub early: usize,
    pub record_ends: usize,
    pub message: usize,
    pub searched: usize,
    pub keys_tried: usize,
    pub trial: Trial,
    pub sizes: usize,
}

impl Bounds {
    pub fn of(limits: &Limits) -> Self {
        Self {
            waiting: limits.tls_waiting_bytes,
            early: limits.tls_early_bytes,
            record_ends: limits.tls_record_ends,
            message: limits.tls_message_bytes,
            searched: limits.tls_search_bytes,
            keys_tried: limits.tls_keys_tried,
            trial: Trial {
                skipped: limits.tls_records_skipped,
                octets: limits.tls_trial_bytes,
                failures: limits.tls_failures,
            },
            sizes: limits.tls_sizes,
        }
    }
}

/// One half.
pub(super) struct Direction {
    bounds: Bounds,
    /// Octets still to come that stand before TLS.
    pub before: usize,
    pub framing: Framing,
    pub messages: Messages,
    pub ladder: Option<Ladder>,
    /// Whether a ChangeCipherSpec went by: in TLS 1.2 all that follows is protected.
    pub changed: bool,
    /// Records of application data that are not whole in the capture.
    pub torn: u64,
    /// Why there is no ladder.
    pub why: Option<Why>,
    /// [`KeyLog`](super::KeyLog) generation at which no keys were found.
    pub looked_at: Option<u64>,
    /// Protected records that were not opened, or may have been lost, before there was a ladder.
    pub missed: u64,
    pub waiting: Vec<Waiting>,
    waiting_octets: usize,
    /// 0-RTT data that the server may refuse.
    pub early: Vec<Early>,
    early_octets: usize,
    pub loss: Option<Loss>,
    /// Epoch of the last record that was opened.
    pub epoch: Option<Epoch>,
    /// Octets of plaintext handed up.
    pub plain_end: u64,
    /// Ends of records: octets of the half, octets of plaintext.
    marks: VecDeque<(u64, u64)>,
    acknowledged: u64,
    /// Plaintext octets of the last record, if it was a protected one that was not opened.
    pub last_unread: Option<u16>,
    /// The latest records that were not opened.
    pub sizes: VecDeque<SizedRecord>,
}

/// What cannot be told yet: a protected record, or a loss between two.
pub(super) enum Waiting {
    Record { head: [u8; HEAD], place: Place, body: Vec<u8> },
    Loss { stamp: Stamp, octets: u64, exact: Option<u64> },
}

/// 0-RTT data, opened; or `None` where some of it is missing.
pub(super) struct Early {
    pub place: Place,
    pub data: Option<Vec<u8>>,
}

/// Octets of the half that are not in the capture, since the last record that was opened.
#[derive(Clone, Copy)]
pub(super) struct Loss {
    pub stamp: Stamp,
    /// Plaintext octets of the one record that was lost, where that is known.
    pub exact: Option<u64>,
}

impl Direction {
    /// A half whose beginning was captured, or was not.
    pub fn new(midway: bool, bounds: Bounds) -> Self {
        Self {
            bounds,
            before: 0,
            framing: if midway { Framing::midway() } else { Framing::default() },
            messages: Messages::default(),
            ladder: None,
            changed: false,
            torn: 0,
            why: None,
            looked_at: None,
            missed: 0,
            waiting: Vec::new(),
            waiting_octets: 0,
            early: Vec::new(),
            early_octets: 0,
            loss: None,
            epoch: None,
            plain_end: 0,
            marks: VecDeque::new(),
            acknowledged: 0,
            last_unread: None,
            sizes: VecDeque::new(),
        }
    }

    /// Approximate octets in memory beside its own.
    pub fn weight(&self) -> usize {
        self.waiting_octets
            + self.early_octets
            + self.framing.weight()
            + size_of_val(self.sizes.as_slices().0)
            + size_of_val(self.sizes.as_slices().1)
    }

    /// Whether any record was opened.
    pub fn is_proved(&self) -> bool {
        self.ladder.as_ref().is_some_and(Ladder::is_proved)
    }

    /// Remembers the size of a record that was not opened.
    pub fn note_size(&mut self, record: SizedRecord) {
        if self.sizes.len() >= self.bounds.sizes {
            self.sizes.pop_front();
        }
        self.sizes.push_back(record);
    }

    /// Keeps a record or a loss; false where there is no room.
    pub fn wait(&mut self, waiting: Waiting) -> bool {
        let octets = if let Waiting::Record { body, .. } = &waiting { body.len() } else { 0 };
        self.waiting_octets += octets + size_of::<Waiting>();
        let fits = self.waiting_octets <= self.bounds.waiting;
        if fits {
            self.waiting.push(waiting);
        }
        fits
    }

    /// What waits, in order.
    pub fn take_waiting(&mut self) -> Vec<Waiting> {
        self.waiting_octets = 0;
        std::mem::take(&mut self.waiting)
    }

    /// Keeps 0-RTT data until the server's answer is known; `missing` tells that some is not
    /// there before it.
    pub fn hold_early(&mut self, place: Place, data: &[u8], missing: bool) {
        self.early_octets += data.len();
        let fits = self.early_octets <= self.bounds.early;
        if missing || !fits {
            self.early.push(Early { place, data: None });
            self.early.dedup_by(|b, a| a.data.is_none() && b.data.is_none());
        }
        if fits && !data.is_empty() {
            self.early.push(Early { place, data: Some(data.to_vec()) });
        }
    }

    /// A record was not opened, or may not even have been captured.
    pub fn lose(&mut self, stamp: Stamp, octets: u64, exact: Option<u64>) {
        if !self.waiting.is_empty() && self.wait(Waiting::Loss { stamp, octets, exact }) {
            return;
        }
        let records = if exact.is_some() { 1 } else { records_in(octets) };
        match &mut self.ladder {
            Some(ladder) => ladder.lose(records),
            None => self.missed = self.missed.saturating_add(records),
        }
        self.loss = Some(match self.loss {
            Some(earlier) => Loss { exact: None, ..earlier },
            None => Loss { stamp, exact },
        });
    }

    /// A record was opened: is plaintext missing before it? Gives where that was noticed and how
    /// many octets are missing, 0 where that is not known.
    pub fn note_hit(&mut self, hit: &Hit, stamp: Stamp) -> Option<(Stamp, u64)> {
        let before = self.epoch.replace(hit.epoch);
        let loss = self.loss.take();
        let Epoch::Application(updates) = hit.epoch else { return None };
        let same = before == Some(hit.epoch);
        let skipped = match before {
            // One update is what a KeyUpdate does; the last records before it may be lost.
            Some(Epoch::Application(known)) => {
                updates.saturating_sub(known) > 1 || (updates != known && loss.is_some())
            }
            _ => updates > 0,
        };
        let lost = hit.missed > 0 || skipped;
        let at = loss.map_or(stamp, |loss| loss.stamp);
        let exact = loss.and_then(|loss| loss.exact).filter(|_| same && hit.missed == 1);
        // A record of the handshake carried nothing.
        (lost && exact != Some(0)).then(|| (at, exact.unwrap_or(0)))
    }

    /// Plaintext up to `plain_end` stands in the records up to `end`.
    pub fn mark(&mut self, end: u64) {
        if self.marks.len() >= self.bounds.record_ends {
            self.marks.pop_back();
        }
        self.marks.push_back((end, self.plain_end));
    }

    /// How much plaintext is whole in the first `seen` octets of the half.
    pub fn plain_seen(&mut self, seen: u64) -> u64 {
        while let Some((end, plain)) = self.marks.front()
            && *end <= seen
        {
            self.acknowledged = *plain;
            self.marks.pop_front();
        }
        self.acknowledged
    }
}
