//! What passes again: one connection's frames and streams, or the connections that have a stream
//! of some kind, picked out of everything.

use std::collections::VecDeque;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::board::detail::{Detail, FrameRow, Gap, Matching};
use crate::board::filter::Filter;
use crate::board::{ConnectionRow, StreamRow};
use crate::track::history::History;
use crate::vocab::address::FlowKey;
use crate::vocab::flow::FlowId;
use crate::vocab::frame::{Frame, FrameType};
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

/// What of a connection is kept however much there is of it: what its verdicts rest on.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    /// Packets, by the order of their stamps.
    packets: FxHashSet<(i64, u64)>,
    streams: FxHashSet<u32>,
}

impl Marks {
    /// The evidence of this connection.
    pub fn of(row: &ConnectionRow) -> Self {
        let mut marks = Self::default();
        let goaways = row.goaways.iter().map(|goaway| (goaway.stamp, 0));
        let steps = row.verdicts().flat_map(|verdict| &verdict.chain);
        let steps = steps.filter(|step| step.connection.is_none_or(|of| of == row.number));
        let findings = row.findings.iter().map(|finding| (finding.stamp, finding.stream));
        let late = row.verdicts().filter_map(|verdict| verdict.late_answer.as_ref());
        let late = late.flat_map(|late| [late.request, late.reset].map(|at| (at, late.stream)));
        let late = late.filter_map(|(at, stream)| Some((at?, stream)));
        let steps = steps.map(|step| (step.stamp, step.stream));
        for (stamp, stream) in goaways.chain(steps).chain(findings).chain(late) {
            marks.packets.insert(stamp.order());
            marks.streams.insert(stream);
        }
        for set in &row.cancellations {
            marks.packets.extend([set.first.order(), set.last.order()]);
            marks.streams.extend(&set.streams);
        }
        marks
    }

    fn has(&self, frame: &FrameRow) -> bool {
        frame.head.kind == FrameType::GOAWAY || self.packets.contains(&frame.stamp.order())
    }
}

/// Collects frames and streams of one connection; whatever else comes is let go. Of more than is
/// kept the first, the last and what is marked remain: an ending shows best from close by.
pub struct Collector {
    wanted: Wanted,
    marks: Marks,
    /// Whether its first packets may be missing.
    late: bool,
    frames: Kept,
    streams: Vec<StreamRow>,
    streams_beyond: u64,
    most_streams: usize,
    /// The flow whose frames are being collected.
    current: Option<FlowId>,
    found: bool,
}

impl Collector {
    /// For this connection, within `limits`.
    pub fn new(wanted: Wanted, marks: Marks, limits: &Limits) -> Self {
        Self {
            wanted,
            marks,
            late: false,
            frames: Kept::new(limits.detail_bytes),
            streams: Vec::new(),
            streams_beyond: 0,
            most_streams: limits.detail_streams,
            current: None,
            found: false,
        }
    }

    /// The same for packets of which the first may have been let go.
    pub fn recent(wanted: Wanted, marks: Marks, limits: &Limits) -> Self {
        Self { late: true, ..Self::new(wanted, marks, limits) }
    }

    /// Whether the connection is over, so that no more will come.
    pub fn is_done(&self) -> bool {
        self.found
    }

    /// What was found.
    pub fn into_detail(self) -> Detail {
        // What another connection of the same endpoints left is none of it.
        if !self.found {
            return Detail::default();
        }
        let (streams, streams_beyond) = (self.streams, self.streams_beyond);
        let (frames, gaps) = self.frames.into_parts();
        Detail { frames, gaps, streams, streams_beyond, ..Detail::default() }
    }

    /// Another connection of the same endpoints begins.
    fn begin(&mut self, flow: FlowId) {
        if self.current != Some(flow) {
            self.current = Some(flow);
            self.frames = Kept::new(self.frames.most);
        }
    }
}

/// Frames within a bound: the first quarter of what fits, the last half, and between them what is
/// marked.
#[derive(Default)]
struct Kept {
    /// Octets.
    most: usize,
    first: Vec<FrameRow>,
    first_weight: usize,
    marked: Vec<FrameRow>,
    marked_weight: usize,
    last: VecDeque<FrameRow>,
    last_weight: usize,
    gaps: Vec<Gap>,
    /// Whether the last frame that was let go had none kept behind it.
    goes_on: bool,
}

impl Kept {
    fn new(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    fn add(&mut self, frame: FrameRow, marks: &Marks) {
        let weight = frame.weight();
        if self.last.is_empty() && self.first_weight + weight <= self.most / 4 {
            self.first_weight += weight;
            return self.first.push(frame);
        }
        self.last_weight += weight;
        self.last.push_back(frame);
        while self.last_weight > self.most / 2
            && let Some(oldest) = self.last.pop_front()
        {
            let weight = oldest.weight();
            self.last_weight -= weight;
            if marks.has(&oldest) && self.marked_weight + weight <= self.most / 4 {
                self.marked_weight += weight;
                self.marked.push(oldest);
                self.goes_on = false;
            } else {
                self.let_go(oldest.stamp);
            }
        }
    }

    fn let_go(&mut self, stamp: Stamp) {
        if let Some(gap) = self.gaps.last_mut().filter(|_| self.goes_on) {
            gap.frames += 1;
            gap.last = stamp;
        } else {
            self.gaps.push(Gap { before: 0, frames: 1, first: stamp, last: stamp });
        }
        self.goes_on = true;
    }

    fn into_parts(self) -> (Vec<FrameRow>, Vec<Gap>) {
        let (mut frames, mut gaps) = (self.first, self.gaps);
        frames.extend(self.marked);
        frames.extend(self.last);
        frames.sort_by_key(|frame| frame.stamp.order());
        for gap in &mut gaps {
            let first = gap.first.order();
            gap.before = frames.partition_point(|frame| frame.stamp.order() < first);
        }
        (frames, gaps)
    }
}

/// Of more streams than are kept, the first quarter, up to half those that are marked, and the last
/// ones. Gives how many were left out.
fn bound(streams: &mut Vec<StreamRow>, most: usize, marks: &Marks) -> u64 {
    let beyond = streams.len().saturating_sub(most);
    if beyond == 0 {
        return 0;
    }
    let mut keeps = vec![false; streams.len()];
    let mut keep = |place: usize, room: &mut usize| {
        if let Some(kept) = keeps.get_mut(place).filter(|kept| !**kept && *room > 0) {
            *kept = true;
            *room -= 1;
        }
    };
    let (mut first, mut marked) = (most / 4, most / 2);
    (0..first).for_each(|place| keep(place, &mut first));
    let places = streams.iter().enumerate().rev();
    let of_marks = places.filter(|(_, stream)| marks.streams.contains(&stream.id));
    of_marks.for_each(|(place, _)| keep(place, &mut marked));
    let mut last = most - most / 4 - (most / 2 - marked);
    (0..streams.len()).rev().for_each(|place| keep(place, &mut last));
    let mut keeps = keeps.into_iter();
    streams.retain(|_| keeps.next().unwrap_or(false));
    beyond as u64
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
            if self.filter.connection_among(row, &history.rows) {
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
        self.frames.add(FrameRow::of(frame), &self.marks);
    }

    fn connection(&mut self, history: History, _tls: Option<TlsFacts>) {
        if self.found || !self.wanted.is_at(history.first, self.late) {
            return;
        }
        self.begin(history.flow);
        self.streams = history.rows;
        self.streams_beyond = bound(&mut self.streams, self.most_streams, &self.marks);
        self.found = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::address::Side;
    use crate::vocab::frame::{Flags, FrameHead, Payload};
    use crate::vocab::time::Timestamp;

    fn stamp(packet: u64) -> Stamp {
        Stamp::new(0, packet, Timestamp(packet as i64))
    }

    fn frame(packet: u64) -> FrameRow {
        let kind = FrameType::WINDOW_UPDATE;
        FrameRow::of(&Frame {
            by: Side::Client,
            stamp: stamp(packet),
            head: FrameHead { length: 4, kind, flags: Flags(0), stream: 0 },
            payload: Payload::WindowUpdate { increment: 1 },
            headers: None,
            offset: 0,
            seen: 4,
        })
    }

    #[test]
    fn of_many_frames_the_first_the_marked_and_the_last_are_kept() {
        let marks =
            Marks { packets: [stamp(500).order()].into_iter().collect(), ..Marks::default() };
        let mut kept = Kept::new(frame(1).weight() * 40);
        (1..=1000).for_each(|packet| kept.add(frame(packet), &marks));
        let (frames, gaps) = kept.into_parts();
        let packets: Vec<u64> = frames.iter().map(|frame| frame.stamp.packet()).collect();
        let wanted: Vec<u64> = (1..=10).chain([500]).chain(981..=1000).collect();
        assert_eq!(packets, wanted);
        let gap = |before, first, last| Gap {
            before,
            frames: last - first + 1,
            first: stamp(first),
            last: stamp(last),
        };
        assert_eq!(gaps, [gap(10, 11, 499), gap(11, 501, 980)]);
    }

    #[test]
    fn of_many_streams_the_first_the_marked_and_the_last_are_kept() {
        let row = |id| StreamRow { id, ..StreamRow::default() };
        let marks = Marks { streams: [3, 47, 50, 99].into_iter().collect(), ..Marks::default() };
        let mut streams: Vec<StreamRow> = (0..100).map(row).collect();
        assert_eq!(bound(&mut streams, 12, &marks), 88);
        let ids: Vec<u32> = streams.iter().map(|stream| stream.id).collect();
        assert_eq!(ids, [0, 1, 2, 3, 47, 50, 94, 95, 96, 97, 98, 99]);
        assert_eq!(bound(&mut streams, 12, &marks), 0);
    }
}
