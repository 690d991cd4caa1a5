//! From view to view, and back.

use std::sync::Arc;

use super::{App, Frames, List, Streams, View};
use crate::vocab::flow::FlowId;

/// A place to go back to.
#[derive(Clone, Debug)]
pub(super) struct Place {
    view: View,
    flow: Option<FlowId>,
    ending: usize,
    only: Option<u32>,
    frame: usize,
}

impl App {
    pub(super) fn turn(&mut self, by: usize) {
        let next = (self.view.place() + by) % View::ALL.len();
        if let Some(view) = View::ALL.get(next) {
            self.go(*view);
        }
    }

    pub(super) fn go(&mut self, view: View) {
        if view != self.view {
            self.keep();
            self.view = view;
        }
        // The overview is where ways begin: Esc there gives up the filter.
        if view == View::Overview {
            self.past.clear();
        }
        if view == View::Frames {
            self.frames.only = None;
            self.arrange_detail();
        }
    }

    /// Remembers where it is, to come back.
    pub(super) fn keep(&mut self) {
        let (view, flow, ending) = (self.view, self.flow, self.ending);
        let (only, frame) = (self.frames.only, self.frames.list.picked);
        self.past.push(Place { view, flow, ending, only, frame });
        if self.past.len() > PAST_KEPT {
            self.past.remove(0);
        }
    }

    pub(super) fn back(&mut self) {
        let Some(place) = self.past.pop() else {
            if self.view != View::Overview {
                self.view = View::Overview;
            } else if self.filter.take().is_some() {
                self.arrange();
                self.stale = true;
                self.say("filter cleared");
            }
            return;
        };
        (self.view, self.ending) = (place.view, place.ending);
        self.look_at(place.flow);
        self.frames.only = place.only;
        self.frames.wanted = None;
        self.arrange_detail();
        self.frames.list.picked = place.frame;
    }

    /// The flow of the connection with this number, where it is listed.
    fn flow_of(&self, number: usize) -> Option<FlowId> {
        let mut rows = self.snapshot.board.rows();
        rows.find(|(_, row)| row.number == number).map(|(_, row)| row.flow)
    }

    pub(super) fn enter(&mut self) {
        match self.view {
            View::Overview if !self.rows.is_empty() => {
                self.keep();
                self.steps = List::default();
                self.view = View::Chain;
            }
            View::Chain => {
                let step = self.verdict().and_then(|verdict| verdict.chain.get(self.steps.picked));
                if let Some(step) = step {
                    // What a neighbour did is its end.
                    let what = if step.what == "neighbour" { "GOAWAY" } else { step.what };
                    let wanted = (step.stamp, what.to_owned(), step.stream);
                    let beyond = step.connection.and_then(|number| self.flow_of(number));
                    self.keep();
                    self.look_at(beyond.or(self.flow));
                    self.view = View::Frames;
                    self.frames.only = None;
                    self.frames.wanted = Some(wanted);
                    self.arrange_detail();
                }
            }
            View::Streams => {
                if let Some(id) = self.stream().map(|stream| stream.id) {
                    self.show_only(Some(id));
                }
            }
            View::Frames if self.frames.only.is_none() => {
                let stream = self.frame().map(|frame| frame.head.stream);
                if let Some(id) = stream.filter(|id| *id > 0) {
                    self.show_only(Some(id));
                }
            }
            View::Overview | View::Timeouts | View::Frames => {}
        }
    }

    pub(super) fn scope(&mut self) {
        let only = match self.frames.only {
            Some(_) => None,
            None => self.frame().map(|frame| frame.head.stream).filter(|id| *id > 0),
        };
        // There and back again is no way.
        let (view, flow) = (self.view, self.flow);
        let is_back = |place: &Place| (place.view, place.flow, place.only) == (view, flow, only);
        let came_from = self.past.pop_if(|place| is_back(place)).is_some();
        self.show_only(only);
        if came_from {
            self.past.pop();
        }
    }

    /// The frames of one stream, or of all; the picked one stays picked.
    pub(super) fn show_only(&mut self, only: Option<u32>) {
        let here = self.frame().filter(|_| self.view == View::Frames);
        let here =
            here.map(|frame| (frame.stamp, frame.type_name().into_owned(), frame.head.stream));
        self.keep();
        self.view = View::Frames;
        self.frames.only = only;
        self.frames.wanted = here;
        if self.frames.wanted.is_none() {
            self.frames.list = List::default();
        }
        self.arrange_detail();
    }

    /// Turns to a connection.
    pub(in crate::tui) fn look_at(&mut self, flow: Option<FlowId>) {
        if self.flow != flow {
            self.flow = flow;
            self.streams = Streams { order: self.streams.order, ..Streams::default() };
            self.frames = Frames::default();
            self.steps = List::default();
            self.detail = Arc::default();
            self.detail_of = None;
            self.remember();
        }
        let place = self.row().map(|(index, _)| index);
        if let Some(place) = self.rows.iter().position(|index| Some(*index) == place) {
            self.list.picked = place;
        }
    }
}

/// Places to go back to.
const PAST_KEPT: usize = 64;
