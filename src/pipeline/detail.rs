//! What passes again: one connection's frames and streams, or the connections that have a stream
//! of some kind, picked out of everything.

use rustc_hash::FxHashMap;

use crate::board::ConnectionRow;
use crate::board::detail::{Detail, FrameRow, Matching};
use crate::board::filter::Filter;
use crate::track::history::History;
use crate::vocab::address::FlowKey;
use crate::vocab::flow::FlowId;
use crate::vocab::frame::Frame;
use crate::vocab::limits::Limits;
use crate::vocab::time::Stamp;
use crate::vocab::tls::TlsFacts;

use super::Sink;

/// What names a connection over all readings of the same captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    key: FlowKey,
    first: Stamp,
    last: Stamp,
}

impl Wanted {
    /// What names this one.
    pub fn of(row: &ConnectionRow) -> Self {
        let (key, _) = FlowKey::of(row.client, row.server);
        Self { key, first: row.first, last: row.last }
    }

    /// Its first packet.
    pub fn first(&self) -> Stamp {
        self.first
    }

    /// The endpoints that have to be followed.
    pub fn key(&self) -> FlowKey {
        self.key
    }

    /// Whether a connection of these endpoints that begins here is this one. Its first packets may
    /// be missing where it is `late`.
    pub fn is_at(&self, first: Stamp, late: bool) -> bool {
        let (from, to) = (self.first.order(), self.last.order());
        first == self.first || (late && (from..=to).contains(&first.order()))
    }

    /// Whether it is the same connection, be it longer by now.
    pub fn is_of(&self, other: &Self) -> bool {
        (self.key, self.first) == (other.key, other.first)
    }
}

/// Collects frames and streams of one connection; whatever else comes is let go.
pub struct Collector {
    wanted: Wanted,
    /// Whether its first packets may be missing.
    late: bool,
    detail: Detail,
    /// Octets that `detail` holds.
    weight: usize,
    most: usize,
    most_streams: usize,
    /// The flow whose frames are being collected.
    current: Option<FlowId>,
    found: bool,
}

impl Collector {
    /// For this connection, within `limits`.
    pub fn new(wanted: Wanted, limits: &Limits) -> Self {
        Self {
            wanted,
            late: false,
            detail: Detail::default(),
            weight: 0,
            most: limits.detail_bytes,
            most_streams: limits.detail_streams,
            current: None,
            found: false,
        }
    }

    /// The same for packets of which the first may have been let go.
    pub fn recent(wanted: Wanted, limits: &Limits) -> Self {
        Self { late: true, ..Self::new(wanted, limits) }
    }

    /// Whether the connection is over, so that no more will come.
    pub fn is_done(&self) -> bool {
        self.found
    }

    /// What was found.
    pub fn into_detail(self) -> Detail {
        // What another connection of the same endpoints left is none of it.
        let mut detail = if self.found { self.detail } else { Detail::default() };
        detail.frames.sort_by_key(|frame| frame.stamp.order());
        detail
    }

    /// Another connection of the same endpoints begins.
    fn begin(&mut self, flow: FlowId) {
        if self.current != Some(flow) {
            self.current = Some(flow);
            self.detail = Detail::default();
            self.weight = 0;
        }
    }
}

/// Finds connections with a stream that a filter asks for.
pub struct Matcher<'a> {
    filter: &'a Filter,
    /// Connections that the filter cannot judge without their streams.
    asked: FxHashMap<FlowKey, Vec<&'a ConnectionRow>>,
    late: bool,
    found: Matching,
}

impl<'a> Matcher<'a> {
    /// For those of these connections whose streams decide; the first packets of connections may
    /// be missing where they are `late`.
    pub fn new(
        filter: &'a Filter,
        rows: impl Iterator<Item = &'a ConnectionRow>,
        late: bool,
    ) -> Self {
        let mut asked: FxHashMap<FlowKey, Vec<&ConnectionRow>> = FxHashMap::default();
        for row in rows.filter(|row| filter.without_streams(row).is_none()) {
            asked.entry(Wanted::of(row).key).or_default().push(row);
        }
        Self { filter, asked, late, found: Matching::default() }
    }

    /// What was found.
    pub fn into_matching(self) -> Matching {
        self.found
    }
}

impl Sink for Matcher<'_> {
    const READS_FIELDS: bool = false;

    fn connection(&mut self, history: History, _tls: Option<TlsFacts>) {
        let (key, _) = FlowKey::of(history.ends.first, history.ends.second);
        let rows = self.asked.get(&key).into_iter().flatten();
        for row in rows.filter(|row| Wanted::of(row).is_at(history.first, self.late)) {
            let passes = |stream| self.filter.connection_with(row, stream);
            if history.rows.iter().any(passes) {
                self.found.flows.insert(row.flow);
            } else {
                self.found.others.insert(row.flow);
            }
        }
    }
}

impl Sink for Collector {
    fn frame(&mut self, flow: FlowId, frame: &Frame<'_>) {
        if self.found {
            return;
        }
        self.begin(flow);
        if self.weight >= self.most {
            self.detail.frames_beyond += 1;
            return;
        }
        let row = FrameRow::of(frame);
        self.weight += row.weight();
        self.detail.frames.push(row);
    }

    fn connection(&mut self, history: History, _tls: Option<TlsFacts>) {
        if self.found || !self.wanted.is_at(history.first, self.late) {
            return;
        }
        self.begin(history.flow);
        self.detail.streams = history.rows;
        let beyond = self.detail.streams.len().saturating_sub(self.most_streams);
        self.detail.streams.truncate(self.most_streams);
        self.detail.streams_beyond = beyond as u64;
        self.found = true;
    }
}
