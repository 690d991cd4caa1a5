//! What follows from the snapshot: which rows are shown, in which order, and what is picked.

use std::cmp::Reverse;
use std::sync::Arc;

use super::{App, View};
use crate::board::detail::{DetailState, FrameRow};
use crate::board::filter::FrameFacts;
use crate::board::group::Standing;
use crate::board::snapshot::Feed;
use crate::board::{ConnectionRow, GoawayRow, StreamRow};
use crate::tui::view;
use crate::vocab::error_code::ErrorCode;
use crate::vocab::flow::FlowId;
use crate::vocab::frame::FrameType;
use crate::vocab::stream::StreamEnd;
use crate::vocab::time::Stamp;
use crate::vocab::verdict::Verdict;

/// An ending of a connection, with its verdict.
#[derive(Clone, Copy, Debug)]
pub(in crate::tui) struct Ending<'a> {
    pub goaway: Option<&'a GoawayRow>,
    pub verdict: &'a Verdict,
    pub stamp: Stamp,
}

/// The endings of a connection in order: GOAWAYs that follow no other, and the end without one.
pub(in crate::tui) fn endings(row: &ConnectionRow) -> Vec<Ending<'_>> {
    let own = row.own_goaways();
    let goaways = own.map(|goaway| Ending {
        goaway: Some(goaway),
        verdict: &goaway.verdict,
        stamp: goaway.stamp,
    });
    let stamp = row.end.stamp.unwrap_or(row.last);
    let end = row.end_verdict.iter().map(|verdict| Ending { goaway: None, verdict, stamp });
    goaways.chain(end).collect()
}

/// Index of the ending that tells most.
fn leader(row: &ConnectionRow) -> usize {
    let Some(lead) = row.lead() else { return 0 };
    endings(row).iter().position(|ending| std::ptr::eq(ending.verdict, lead)).unwrap_or(0)
}

/// Orders of the connections: their names are titles of columns.
pub(in crate::tui) const ORDERS: &[&str] = &["trouble", "#", "victims", "streams", "lasted"];

/// Orders of the streams.
pub(in crate::tui) const STREAM_ORDERS: &[&str] = &["stream", "age", "end", "request"];

impl App {
    /// Picks and orders the connections anew; what is looked at stays.
    pub(super) fn arrange(&mut self) {
        let board = &self.snapshot.board;
        let passes = |row: &ConnectionRow| {
            let filter = self.filter.as_ref();
            // Until its streams were asked, each may pass.
            let by_streams = || self.is_matching() || self.matching.flows.contains(&row.flow);
            filter.is_none_or(|filter| filter.without_streams(row).unwrap_or_else(by_streams))
        };
        let mut rows: Vec<usize> =
            board.rows().filter(|(_, row)| passes(row)).map(|(index, _)| index).collect();
        let row = |index: &usize| board.connections.get(*index);
        match ORDERS.get(self.order).copied().unwrap_or_default() {
            "trouble" => rows.sort_by_cached_key(|index| {
                row(index).map(|row| (row.standing(), Reverse(row.victims())))
            }),
            "victims" => {
                rows.sort_by_cached_key(|index| Reverse(row(index).map(|row| row.victims())))
            }
            "streams" => {
                rows.sort_by_key(|index| Reverse(row(index).map(|row| row.streams.opened)));
            }
            "lasted" => {
                rows.sort_by_key(|index| Reverse(row(index).map(|row| row.last.since(row.first))))
            }
            _ => {}
        }
        if self.reverse {
            rows.reverse();
        }
        let here = self.flow.and_then(|flow| {
            rows.iter().position(|index| row(index).is_some_and(|row| row.flow == flow))
        });
        // Before anything was picked, the first row is: trouble comes first.
        let untouched = self.list.picked == 0 && self.past.is_empty();
        let first = rows.first().and_then(row).map(|row| (row.flow, leader(row)));
        self.rows = rows;
        self.remember();
        match here {
            Some(place) if !(untouched && self.view == View::Overview) => self.list.picked = place,
            _ if self.view == View::Overview || self.flow.is_none() => {
                self.list.picked = 0;
                self.look_at(first.map(|(flow, _)| flow));
                self.ending = first.map_or(0, |(_, ending)| ending);
            }
            _ => {}
        }
    }

    /// Keeps how the connection that is looked at stands: a long live capture may forget it.
    pub(super) fn remember(&mut self) {
        let row = self.snapshot.board.connections.iter().find(|row| Some(row.flow) == self.flow);
        if let Some(row) = row {
            self.remembered = Some(Arc::clone(row));
        }
    }

    /// Picks and orders streams and frames of the detail anew.
    pub(super) fn arrange_detail(&mut self) {
        let detail = self.detail.clone();
        self.stale = false;
        let Some((_, row)) = self.row() else {
            (self.streams.shown, self.frames.shown) = (Vec::new(), Vec::new());
            return;
        };
        let filter = self.filter.as_ref();
        let of_streams = filter.filter(|filter| filter.wants_streams());
        let passes = |stream: &StreamRow| {
            of_streams.is_none_or(|filter| filter.connection_with(row, stream))
        };
        let streams = detail.streams.iter().enumerate();
        let mut shown: Vec<usize> =
            streams.filter(|(_, stream)| passes(stream)).map(|(place, _)| place).collect();
        let stream = |place: &usize| detail.streams.get(*place);
        match STREAM_ORDERS.get(self.streams.order).copied().unwrap_or_default() {
            "age" => shown.sort_by_key(|place| Reverse(stream(place).map(age))),
            "end" => shown.sort_by_key(|place| stream(place).map(|stream| rank(stream.end))),
            "request" => shown.sort_by(|a, b| {
                let path = |place| stream(place).map(|stream| (&stream.path, &stream.method));
                path(a).cmp(&path(b))
            }),
            _ => {}
        }
        if self.streams.reverse {
            shown.reverse();
        }
        self.streams.shown = shown;
        self.streams.list.bound(self.streams.shown.len());
        (self.frames.shown, self.frames.asked) = (Vec::new(), 0);
        self.more_frames();
    }

    /// Asks the next frames whether they are shown, a slice at a time: of hundreds of thousands a
    /// key would wait for its picture.
    pub(super) fn more_frames(&mut self) {
        let detail = self.detail.clone();
        let row = self.row().map(|(_, row)| row);
        let filter = self.filter.as_ref();
        let only = self.frames.only;
        // Connection-wide conditions hold for all frames of it, or for none that could be asked.
        let asks = filter.filter(|filter| filter.is_of_frames() || filter.wants_streams());
        let passes = |frame: &FrameRow| {
            let of = |filter: &crate::board::filter::Filter| {
                let kind = frame.type_name();
                let at = detail.streams.binary_search_by_key(&frame.head.stream, |of| of.id);
                let stream = at.ok().and_then(|at| detail.streams.get(at));
                filter.frame(facts(frame, &kind), row, stream)
            };
            only.is_none_or(|only| only == frame.head.stream) && asks.is_none_or(of)
        };
        let all = detail.frames.len();
        let free = only.is_none() && asks.is_none();
        // The picked one keeps its place while more is asked.
        let (mut found, mut asked) = (Vec::new(), self.frames.asked);
        let until = if free { all } else { all.min(asked.saturating_add(FRAMES_AT_ONCE)) };
        let wanted = self.frames.list.picked.saturating_add(1);
        let enough = wanted.saturating_sub(self.frames.shown.len());
        while let Some(frame) = detail.frames.get(asked)
            && (asked < until || found.len() < enough)
        {
            if free || passes(frame) {
                found.push(asked);
            }
            asked += 1;
        }
        self.frames.shown.extend(found);
        self.frames.asked = asked;
        self.frames.list.bound(self.frames.shown.len());
        self.find_frame();
    }

    /// Asks which connections pass the filter by their streams. Whether there is news of it.
    pub(super) fn ask_streams(&mut self, feed: &dyn Feed) -> bool {
        let filter = self.filter.as_ref().filter(|filter| filter.wants_streams());
        let Some(filter) = filter else { return false };
        let matching = feed.matching(filter, &self.snapshot);
        let is_news = !Arc::ptr_eq(&matching, &self.matching);
        if is_news {
            self.matching = matching;
            self.arrange();
        }
        is_news
    }

    /// Whether streams are still asked whether they pass the filter.
    pub(in crate::tui) fn is_matching(&self) -> bool {
        let asks = self.filter.as_ref().is_some_and(|filter| filter.wants_streams());
        asks && self.matching.state == DetailState::Reading
    }

    /// Whether frames are still to be asked.
    pub(in crate::tui) fn is_asking(&self) -> bool {
        self.frames.asked < self.detail.frames.len()
    }

    /// Goes to the frame that was asked for, once it is there.
    fn find_frame(&mut self) {
        let Some((stamp, what, stream)) = self.frames.wanted.clone() else { return };
        let detail = self.detail.clone();
        let frame = |place: &usize| detail.frames.get(*place);
        let shown = &self.frames.shown;
        // A packet holds many frames: of the stream and type that were meant, of the type, any.
        let here = |place: &&usize| frame(place).is_some_and(|f| f.stamp.order() == stamp.order());
        let likeness = |place: &usize| {
            frame(place).map(|frame| {
                let (of_type, of_stream) = (frame.type_name() == what, frame.head.stream == stream);
                (of_type && of_stream, of_type, of_stream)
            })
        };
        // The first of those that are equally alike.
        let best = shown.iter().filter(here).rev().max_by_key(|place| likeness(place));
        let whole = best.and_then(likeness).is_some_and(|(same, ..)| same);
        let best = best.filter(|_| whole || !self.is_asking());
        let found = best.and_then(|best| shown.iter().position(|place| place == best));
        if let Some(place) = found {
            self.frames.list.picked = place;
            self.frames.wanted = None;
            return;
        }
        if detail.state == DetailState::Reading || self.is_asking() {
            return;
        }
        // A FIN is no frame, and a filter may hide one: the nearest one before it is shown.
        let later = shown
            .iter()
            .position(|place| frame(place).is_some_and(|frame| stamp.before(frame.stamp)));
        let nearest = later.unwrap_or(shown.len()).saturating_sub(1);
        self.frames.list.picked = nearest;
        self.frames.wanted = None;
        let is_out =
            detail.gaps.iter().any(|gap| !stamp.before(gap.first) && !gap.last.before(stamp));
        let why = if is_out { "is among what is left out" } else { "has no frame here" };
        self.say(format!("packet {} {why}; the one before it", stamp.packet()));
    }

    /// The verdict that is looked at.
    pub(in crate::tui) fn verdict(&self) -> Option<&Verdict> {
        let (_, row) = self.row()?;
        endings(row).get(self.ending).map(|ending| ending.verdict)
    }

    /// The stream under the cursor.
    pub(in crate::tui) fn stream(&self) -> Option<&StreamRow> {
        let place = self.streams.shown.get(self.streams.list.picked)?;
        self.detail.streams.get(*place)
    }

    /// The frame under the cursor.
    pub(in crate::tui) fn frame(&self) -> Option<&FrameRow> {
        let place = self.frames.shown.get(self.frames.list.picked)?;
        self.detail.frames.get(*place)
    }

    /// The row under the cursor of this view.
    pub(super) fn picked(&self) -> Option<usize> {
        Some(match self.view {
            View::Overview => self.list.picked,
            View::Chain => self.steps.picked,
            View::Streams => self.streams.list.picked,
            View::Frames => self.frames.list.picked,
            View::Timeouts => return None,
        })
    }

    /// Moves the cursor of this view.
    pub(super) fn scroll(&mut self, action: super::Action) {
        use super::Action;
        let length = match self.view {
            View::Overview => self.rows.len(),
            View::Chain => self.verdict().map_or(0, |verdict| verdict.chain.len()),
            View::Streams => self.streams.shown.len(),
            View::Frames => self.frames.shown.len(),
            View::Timeouts => usize::MAX,
        };
        let list = match self.view {
            View::Overview => &mut self.list,
            View::Chain => &mut self.steps,
            View::Streams => &mut self.streams.list,
            View::Frames => &mut self.frames.list,
            View::Timeouts => &mut self.timeouts,
        };
        let page = list.page.saturating_sub(1).max(1);
        // Below the last step of a chain more is said: nothing else goes on behind its rows.
        let chain = self.view == View::Chain;
        let at_last = chain && list.picked.saturating_add(1) >= length;
        list.tail = match action {
            Action::Down if at_last => list.tail.saturating_add(1),
            Action::PageDown if at_last => list.tail.saturating_add(page),
            Action::Up | Action::PageUp if list.tail > 0 => {
                let back = if action == Action::Up { 1 } else { page };
                list.tail = list.tail.saturating_sub(back);
                return;
            }
            Action::Last if chain => usize::MAX,
            _ => 0,
        };
        list.picked = match action {
            Action::Down => list.picked.saturating_add(1),
            Action::Up => list.picked.saturating_sub(1),
            Action::PageDown => list.picked.saturating_add(page),
            Action::PageUp => list.picked.saturating_sub(page),
            Action::First => 0,
            Action::Pick(row) => row,
            // Of what is still looked for, the last once it is there.
            _ => length.checked_sub(1).unwrap_or(super::List::LAST),
        };
        list.bound(length);
        match self.view {
            View::Overview => self.look_at_picked(),
            View::Frames => self.frames.pane = 0,
            _ => {}
        }
    }

    fn look_at_picked(&mut self) {
        let row = self.rows.get(self.list.picked).and_then(|index| {
            self.snapshot.board.connections.get(*index).map(|row| (row.flow, leader(row)))
        });
        if let Some((flow, ending)) = row {
            self.look_at(Some(flow));
            self.ending = ending;
        }
    }

    /// Goes to the next GOAWAY among the frames that are shown.
    pub(super) fn jump_in_frames(&mut self, forward: bool) {
        let is_goaway = |place: &usize| {
            let frame = self.detail.frames.get(*place);
            frame.is_some_and(|frame| frame.head.kind == FrameType::GOAWAY)
        };
        let (shown, picked) = (&self.frames.shown, self.frames.list.picked);
        let next = match forward {
            true => {
                let later = shown.iter().skip(picked.saturating_add(1)).position(is_goaway);
                later.map(|after| picked + 1 + after)
            }
            false => shown.get(..picked).and_then(|before| before.iter().rposition(is_goaway)),
        };
        match next {
            Some(place) => {
                self.frames.list.picked = place;
                self.frames.pane = 0;
            }
            None if self.frames.only.is_some() => {
                self.say("GOAWAYs are of the connection: a shows all its frames");
            }
            None if shown.iter().any(is_goaway) => {
                self.say(if forward { "that was the last" } else { "that was the first" });
            }
            None => self.say("no GOAWAY among these frames"),
        }
    }

    /// Goes to the next GOAWAY, or end in trouble, of all connections that are shown; in time.
    pub(super) fn jump(&mut self, forward: bool) {
        let board = &self.snapshot.board;
        let mut all: Vec<((i64, u64), FlowId, usize)> = Vec::new();
        for row in self.rows.iter().filter_map(|index| board.connections.get(*index)) {
            for (place, ending) in endings(row).iter().enumerate() {
                if ending.goaway.is_some() || row.standing() == Standing::Trouble {
                    all.push((ending.stamp.order(), row.flow, place));
                }
            }
        }
        all.sort_unstable_by_key(|(order, ..)| *order);
        let here = all
            .iter()
            .position(|(_, flow, place)| Some(*flow) == self.flow && *place == self.ending);
        let here = here.filter(|_| self.view == View::Chain);
        let next = match (here, forward) {
            (None, _) => all.iter().position(|(_, flow, _)| Some(*flow) == self.flow).or(Some(0)),
            (Some(place), true) => Some(place + 1),
            (Some(place), false) => place.checked_sub(1),
        };
        match next.and_then(|place| all.get(place).map(|found| (place, *found))) {
            Some((place, (_, flow, ending))) => {
                if self.view != View::Chain {
                    self.keep();
                    self.view = View::Chain;
                }
                self.look_at(Some(flow));
                self.ending = ending;
                self.steps = super::List::default();
                self.say(format!("ending {} of {}", place + 1, all.len()));
            }
            None if all.is_empty() => self.say("no GOAWAY and no end in trouble"),
            None => self.say(if forward { "that was the last" } else { "that was the first" }),
        }
    }

    /// What `c` copies.
    pub(super) fn picked_text(&self) -> Option<String> {
        let (_, row) = self.row()?;
        match self.view {
            View::Overview | View::Timeouts => {
                let why = row.lead().map_or(String::new(), |verdict| verdict.summary.clone());
                let text = format!("#{} {} → {} {why}", row.number, row.client, row.server);
                Some(self.veiled(&text))
            }
            View::Chain => self.verdict().map(|verdict| {
                let advice = verdict.advice.iter().map(|advice| format!("\n- {advice}"));
                self.veiled(&format!("{}{}", verdict.summary, advice.collect::<String>()))
            }),
            View::Streams => self.stream().map(|stream| view::streams::told(stream, self.mask)),
            View::Frames => self.frame().map(|frame| {
                let lines = view::frames::told(frame, self.mask);
                lines.into_iter().map(|(name, value)| format!("{name}: {value}\n")).collect()
            }),
        }
    }
}

/// Frames that are asked at once whether a filter lets them through: some 20 ms.
const FRAMES_AT_ONCE: usize = 50_000;

/// What a filter can ask of a frame.
fn facts<'a>(frame: &FrameRow, kind: &'a str) -> FrameFacts<'a> {
    FrameFacts {
        by: frame.by,
        stream: frame.head.stream,
        kind,
        packet: frame.stamp.packet(),
        code: code(frame),
    }
}

fn code(frame: &FrameRow) -> Option<ErrorCode> {
    use crate::board::detail::FrameSays;
    match &frame.says {
        FrameSays::RstStream(code) | FrameSays::GoAway { code, .. } => Some(*code),
        _ => None,
    }
}

fn age(stream: &StreamRow) -> std::time::Duration {
    let span = stream.opened.zip(stream.ended);
    span.map_or(std::time::Duration::MAX, |(opened, ended)| ended.since(opened))
}

fn rank(end: StreamEnd) -> u8 {
    match end {
        StreamEnd::Reset(..) => 0,
        StreamEnd::Goaway(_) => 1,
        StreamEnd::ConnectionEnd(_) => 2,
        StreamEnd::Open => 3,
        StreamEnd::Completed => 4,
    }
}
