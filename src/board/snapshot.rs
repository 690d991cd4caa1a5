//! The moving board: what a screen draws from at one moment, while captures are still read.
//!
//! Whoever reads publishes a [`Snapshot`] on a timer, never per packet; a screen takes the latest
//! one through [`Feed`] and draws from it as long as it likes. Rows are shared, so that a snapshot
//! of many connections costs little, and two snapshots hold the same `Arc` where a row has not
//! changed.

use std::sync::Arc;

use super::detail::{Detail, Matching};
use super::filter::Filter;
use super::{Board, ConnectionRow};
use crate::vocab::time::Timestamp;

/// Everything at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Grows by one with each snapshot; an equal number means nothing to draw anew.
    pub revision: u64,
    /// Closed and open connections alike, by first packet. Rows of open ones are not
    /// [`settled`](ConnectionRow::settled), and what they say is provisional.
    pub board: Board,
    /// How reading goes.
    pub state: State,
    /// Why reading failed or stopped early, in one line.
    pub error: Option<String>,
    /// How far reading is.
    pub progress: Progress,
    /// Latest time of any packet.
    pub latest: Option<Timestamp>,
    /// Packets and octets a second, lately.
    pub rates: Rates,
    /// What only a live capture has.
    pub live: Option<LiveFacts>,
}

/// How reading goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Files are being read.
    #[default]
    Reading,
    /// Packets come as they are captured.
    Live,
    /// Nothing more comes: everything is settled.
    Ended,
}

/// How far reading is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Octets read, before decompression.
    pub read: u64,
    /// Octets there are, before decompression; `None` for pipes and interfaces.
    pub total: Option<u64>,
    /// Packets read.
    pub packets: u64,
}

/// Packets and octets a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Packets a second of this machine's time.
    pub packets: f64,
    /// Captured octets a second.
    pub bytes: f64,
}

/// What only a live capture has.
#[derive(Clone, Debug, Default)]
pub struct LiveFacts {
    /// Where packets come from.
    pub interfaces: Vec<InterfaceFacts>,
    /// Packets that were captured and given up because analysis was too slow.
    pub queue_dropped: u64,
    /// Connections given up to stay within the memory limit.
    pub shed: u64,
    /// Approximate octets that connections take.
    pub memory: u64,
    /// Octets they may take.
    pub memory_limit: u64,
    /// Where packets are saved.
    pub saved: Option<Saved>,
}

impl LiveFacts {
    /// Why packets are no longer saved.
    pub fn unsaved(&self) -> Option<&str> {
        self.saved.as_ref()?.error.as_deref()
    }

    /// The same, or why they are not where they should be.
    pub fn saving_trouble(&self) -> Option<&str> {
        let stuck = || self.saved.as_ref()?.stuck.as_deref();
        self.unsaved().or_else(stuck)
    }

    /// Interfaces that are down.
    pub fn down(&self) -> Vec<&str> {
        let down = self.interfaces.iter().filter(|of| of.down && of.error.is_none());
        down.map(|of| of.name.as_str()).collect()
    }

    /// Packets lost on the way, by kernel, interfaces and queues, as far as is known.
    pub fn dropped(&self) -> u64 {
        let each = self.interfaces.iter().flat_map(|of| [of.kernel_dropped, of.interface_dropped]);
        each.flatten().fold(self.queue_dropped, u64::saturating_add)
    }
}

/// One interface, or a pipe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceFacts {
    /// Its name.
    pub name: String,
    /// Whether it is a loopback interface: Linux has each packet twice there, as sent and as
    /// received, and hands out one. It is counted once here.
    pub loopback: bool,
    /// Packets that passed the filter, as the kernel counts.
    pub received: u64,
    /// Packets that the kernel dropped because nobody fetched them in time; `None` where nobody
    /// tells, as in most pipes.
    pub kernel_dropped: Option<u64>,
    /// Packets that the interface or its driver dropped, where that is known.
    pub interface_dropped: Option<u64>,
    /// Whether it is down: nothing comes until it is up again.
    pub down: bool,
    /// Why it gives no more packets.
    pub error: Option<String>,
}

/// Packets saved to a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Saved {
    /// The file that is being written.
    pub file: String,
    /// Packets written, over all files.
    pub packets: u64,
    /// Packets that could not be written: the disk was too slow, or full.
    pub lost: u64,
    /// Why nothing more is written.
    pub error: Option<String>,
    /// Why the next file could not begin: packets go on to the one that is open.
    pub stuck: Option<String>,
    /// Whether no packet came yet, and the file still is what it was before.
    #[serde(skip)]
    pub untouched: bool,
}

impl Saved {
    /// What was saved, and where: `saved 812 packets (3 could not be), last to ring_00002.pcapng`.
    pub fn told(&self) -> String {
        if self.untouched && self.lost == 0 {
            return format!("no packet came to be saved: {} is as it was", self.file);
        }
        let lost =
            if self.lost > 0 { format!(" ({} could not be)", self.lost) } else { String::new() };
        format!("saved {} packets{lost}, last to {}", self.packets, self.file)
    }
}

/// Where a screen gets what it draws. No method waits.
pub trait Feed: Send + Sync {
    /// The latest snapshot.
    fn latest(&self) -> Arc<Snapshot>;

    /// Frames and streams of one connection of a snapshot. The first call begins to look for them
    /// (captures are read again in the background); ask again on each drawing until its state is
    /// no longer [`Reading`](super::detail::DetailState::Reading).
    fn detail(&self, row: &ConnectionRow) -> Arc<Detail>;

    /// Which connections of a snapshot pass a filter by one of their streams. The first call
    /// begins to look, as with [`detail`](Self::detail); what was found is looked for again while
    /// the snapshots grow.
    fn matching(&self, filter: &Filter, snapshot: &Arc<Snapshot>) -> Arc<Matching>;
}
