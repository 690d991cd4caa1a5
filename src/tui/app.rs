//! What the dashboard shows and what is picked; how keys change it. Pure: no terminal, no clock.

mod derive;
mod list;
mod prompt;
mod way;

use std::sync::Arc;

use ratatui::crossterm::event::{Event, KeyEventKind, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

use super::clock::TimeStyle;
use super::keys;
use super::theme::Theme;
use crate::board::ConnectionRow;
use crate::board::detail::{Detail, Matching};
use crate::board::filter::Filter;
use crate::board::mask::Names;
use crate::board::snapshot::{Feed, Snapshot};
use crate::vocab::flow::FlowId;
use crate::vocab::time::Stamp;

pub(super) use derive::{Ending, ORDERS, STREAM_ORDERS, endings};
pub(super) use list::List;
pub(super) use prompt::Prompt;

macro_rules! views {
    ($($variant:ident = $name:literal: $meaning:literal;)*) => {
        /// The views.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum View { $(#[doc = $meaning] $variant,)* }

        impl View {
            /// Every view, in the order of their digits.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its title.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it shows.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

views! {
    Overview = "Overview": "what went away, why, and who has to act";
    Chain = "Chain": "how one connection came to its end, packet by packet";
    Streams = "Streams": "every stream of a connection over time";
    Timeouts = "Timeouts": "the timers that show, beside the times that answers take";
    Frames = "Frames": "every frame of a connection or stream, decoded";
}

impl View {
    pub(super) fn numbered(digit: char) -> Option<Self> {
        let place = usize::try_from(digit.to_digit(10)?).ok()?.checked_sub(1)?;
        Self::ALL.get(place).copied()
    }

    fn place(self) -> usize {
        Self::ALL.iter().position(|view| *view == self).unwrap_or(0)
    }
}

/// What a key or a click does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the table of keys says what each does
pub enum Action {
    Go(View),
    NextView,
    PreviousView,
    Down,
    Up,
    PageDown,
    PageUp,
    First,
    Last,
    Pick(usize),
    Enter,
    Back,
    NextGoaway,
    PreviousGoaway,
    Filter,
    Sort,
    Reverse,
    Left,
    Right,
    ZoomIn,
    ZoomOut,
    ZoomFit,
    Scope,
    PaneDown,
    PaneUp,
    Freeze,
    Time,
    Copy,
    Write,
    Mask,
    Help,
    Redraw,
    Suspend,
    Quit,
}

/// What the loop has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Leave.
    Quit,
    /// Put this into the clipboard.
    Copy(String),
    /// Write the report to a new file.
    Write,
    /// Draw everything anew.
    Redraw,
    /// Give the terminal to the shell until it calls back.
    Suspend,
}

/// How the dashboard begins.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What the terminal can show.
    pub theme: Theme,
    /// Whether paths, authorities and header values are hidden.
    pub mask: bool,
    /// The filter to begin with.
    pub filter: Option<Filter>,
    /// How times are shown.
    pub time: TimeStyle,
}

/// The streams of the connection that is looked at.
#[derive(Debug, Default)]
pub(super) struct Streams {
    pub list: List,
    /// Places in the detail's list.
    pub shown: Vec<usize>,
    pub order: usize,
    pub reverse: bool,
    /// Seconds since the connection's first packet that are in sight; the whole where `None`.
    pub window: Option<(f64, f64)>,
}

/// The frames of the connection that is looked at.
#[derive(Debug, Default)]
pub(super) struct Frames {
    pub list: List,
    /// Places in the detail's list, of those asked so far.
    pub shown: Vec<usize>,
    /// How many of the detail's frames were asked whether they are shown.
    asked: usize,
    /// The only stream that is shown.
    pub only: Option<u32>,
    /// First line of the pane.
    pub pane: usize,
    /// A frame to be found once the frames are there.
    wanted: Option<(Stamp, String, u32)>,
}

/// The dashboard.
pub struct App {
    pub(super) view: View,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) held: bool,
    pub(super) theme: Theme,
    pub(super) mask: bool,
    /// What is taken out of texts then.
    pub(super) names: Names,
    pub(super) time: TimeStyle,
    pub(super) filter: Option<Filter>,
    /// Connections that pass the filter by one of their streams.
    pub(super) matching: Arc<Matching>,
    pub(super) prompt: Option<Prompt>,
    pub(super) help: Option<usize>,
    pub(super) toast: Option<(String, u32)>,
    /// Connections that pass the filter, in their order on the screen.
    pub(super) rows: Vec<usize>,
    pub(super) list: List,
    pub(super) order: usize,
    pub(super) reverse: bool,
    /// The connection that is looked at.
    pub(super) flow: Option<FlowId>,
    /// How it stood when it was last there.
    remembered: Option<Arc<ConnectionRow>>,
    /// Which of its endings.
    pub(super) ending: usize,
    pub(super) steps: List,
    pub(super) detail: Arc<Detail>,
    detail_of: Option<FlowId>,
    /// Whether streams and frames have to be picked and ordered anew before they are shown.
    stale: bool,
    pub(super) streams: Streams,
    pub(super) frames: Frames,
    pub(super) timeouts: List,
    /// What the last drawing put where.
    pub(super) hits: Vec<(Rect, Action)>,
    past: Vec<way::Place>,
    effects: Vec<Effect>,
}

impl App {
    /// Names that texts may have, where they are to be hidden.
    fn learn_names(&mut self) {
        if self.mask {
            self.names = Names::of(&self.snapshot.board);
        }
    }

    /// A dashboard with nothing in it yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            view: View::Overview,
            snapshot: Arc::default(),
            held: false,
            theme: settings.theme,
            mask: settings.mask,
            names: Names::default(),
            time: settings.time,
            filter: settings.filter,
            matching: Arc::default(),
            prompt: None,
            help: None,
            toast: None,
            rows: Vec::new(),
            list: List::default(),
            order: 0,
            reverse: false,
            flow: None,
            remembered: None,
            ending: 0,
            steps: List::default(),
            detail: Arc::default(),
            detail_of: None,
            stale: false,
            streams: Streams::default(),
            frames: Frames::default(),
            timeouts: List::default(),
            hits: Vec::new(),
            past: Vec::new(),
            effects: Vec::new(),
        }
    }

    /// Takes what is new from the feed. Whether something has to be drawn.
    pub fn refresh(&mut self, feed: &dyn Feed) -> bool {
        let mut dirty = self.tick();
        let latest = feed.latest();
        if !self.held && (latest.revision != self.snapshot.revision || self.flow.is_none()) {
            let fresh = !Arc::ptr_eq(&latest, &self.snapshot);
            self.snapshot = latest;
            if fresh {
                self.learn_names();
            }
            self.arrange();
            dirty |= fresh;
        }
        dirty |= self.ask_streams(feed);
        if matches!(self.view, View::Streams | View::Frames)
            && let Some((_, row)) = self.row()
        {
            let flow = Some(row.flow);
            let detail = feed.detail(row);
            if self.detail_of != flow || !Arc::ptr_eq(&detail, &self.detail) {
                self.detail_of = flow;
                self.detail = detail;
                self.arrange_detail();
                dirty = true;
            } else if self.stale {
                self.arrange_detail();
                dirty = true;
            } else if self.is_asking() {
                self.more_frames();
                dirty = true;
            }
        }
        dirty
    }

    /// Whether a message went away.
    fn tick(&mut self) -> bool {
        let Some((_, ticks)) = &mut self.toast else { return false };
        *ticks = ticks.saturating_sub(1);
        let over = *ticks == 0;
        if over {
            self.toast = None;
        }
        over
    }

    /// Tells something for a few seconds.
    pub fn say(&mut self, text: impl Into<String>) {
        let text = text.into();
        // Long ones take longer to read.
        let ticks = TOAST_TICKS.max(u32::try_from(text.len()).unwrap_or(u32::MAX));
        self.toast = Some((text, ticks));
    }

    /// What the loop has to do now.
    pub fn effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Takes what the terminal sends.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => {
                if let Some(prompt) = &mut self.prompt {
                    let done = prompt.key(*key);
                    self.prompted(done);
                } else if let Some(action) = keys::action(*key, self.view) {
                    self.update(action);
                } else {
                    self.help = None;
                }
            }
            Event::Mouse(mouse) => self.mouse(*mouse),
            Event::Paste(text) => {
                if let Some(prompt) = &mut self.prompt {
                    prompt.paste(text);
                    self.prompted(prompt::Done::No);
                }
            }
            _ => {}
        }
    }

    fn prompted(&mut self, done: prompt::Done) {
        let Some(prompt) = &self.prompt else { return };
        match (done, prompt.parsed()) {
            (prompt::Done::Leave, _) => {
                self.filter.clone_from(&prompt.before);
                self.prompt = None;
            }
            (prompt::Done::Take, Err(_)) => return,
            (prompt::Done::Quit, _) => self.effects.push(Effect::Quit),
            (prompt::Done::No, Err(_)) => return,
            (done, Ok(filter)) => {
                self.filter = filter;
                if done == prompt::Done::Take {
                    self.prompt = None;
                }
            }
        }
        self.arrange();
        self.frames.list = List::default();
        // Arranged once they are looked at, and not for each letter.
        self.stale = true;
    }

    fn mouse(&mut self, mouse: MouseEvent) {
        match mouse.kind {
            MouseEventKind::ScrollDown => (0..WHEEL).for_each(|_| self.update(Action::Down)),
            MouseEventKind::ScrollUp => (0..WHEEL).for_each(|_| self.update(Action::Up)),
            MouseEventKind::Down(MouseButton::Left) => {
                let place = Position { x: mouse.column, y: mouse.row };
                // What was drawn last lies on top.
                let hit = self.hits.iter().rev().find(|(area, _)| area.contains(place));
                match hit.map(|(_, action)| *action) {
                    // A second click on the same row opens it.
                    Some(Action::Pick(row)) if self.picked() == Some(row) => {
                        self.update(Action::Enter);
                    }
                    Some(action) => self.update(action),
                    None => {}
                }
            }
            _ => {}
        }
    }

    /// Does what a key stands for.
    pub fn update(&mut self, action: Action) {
        if self.help.is_some() && self.update_help(action) {
            return;
        }
        match action {
            Action::Quit => self.effects.push(Effect::Quit),
            Action::Redraw => self.effects.push(Effect::Redraw),
            Action::Suspend => self.effects.push(Effect::Suspend),
            Action::Help => self.help = Some(0),
            Action::Go(view) => self.go(view),
            Action::NextView => self.turn(1),
            Action::PreviousView => self.turn(View::ALL.len() - 1),
            Action::Down | Action::Up | Action::PageDown | Action::PageUp => self.scroll(action),
            Action::First | Action::Last | Action::Pick(_) => self.scroll(action),
            Action::Enter => self.enter(),
            Action::Back => self.back(),
            Action::NextGoaway | Action::PreviousGoaway if self.view == View::Frames => {
                self.jump_in_frames(action == Action::NextGoaway);
            }
            Action::NextGoaway => self.jump(true),
            Action::PreviousGoaway => self.jump(false),
            Action::Filter => self.prompt = Some(Prompt::new(self.filter.clone())),
            Action::Sort => self.sort(true),
            Action::Reverse => self.sort(false),
            Action::Left | Action::Right | Action::ZoomIn | Action::ZoomOut | Action::ZoomFit => {
                self.zoom(action);
            }
            Action::Scope => self.scope(),
            Action::PaneDown => self.frames.pane = self.frames.pane.saturating_add(1),
            Action::PaneUp => self.frames.pane = self.frames.pane.saturating_sub(1),
            Action::Freeze => self.held = !self.held,
            Action::Time => {
                self.time = self.time.next();
                self.say(format!("times: {}", self.time.name()));
            }
            Action::Copy => self.copy(),
            // The report has everything.
            Action::Write if self.mask => self.say("not written: the report hides nothing (m)"),
            Action::Write => self.effects.push(Effect::Write),
            Action::Mask => {
                self.mask = !self.mask;
                self.learn_names();
            }
        }
    }

    /// Whether the help took it.
    fn update_help(&mut self, action: Action) -> bool {
        let Some(first) = &mut self.help else { return false };
        match action {
            Action::Down => *first += 1,
            Action::Up => *first = first.saturating_sub(1),
            Action::PageDown => *first += 10,
            Action::PageUp => *first = first.saturating_sub(10),
            Action::Quit => return false,
            _ => self.help = None,
        }
        true
    }

    /// The connection that is looked at, and its index.
    pub(super) fn row(&self) -> Option<(usize, &ConnectionRow)> {
        self.snapshot.board.rows().find(|(_, row)| Some(row.flow) == self.flow)
    }

    /// How the connection that is looked at stood when it was last there.
    pub(super) fn remembered(&self) -> Option<&ConnectionRow> {
        self.remembered.as_deref().filter(|row| Some(row.flow) == self.flow)
    }

    fn copy(&mut self) {
        if let Some(text) = self.picked_text() {
            self.say(format!("copied: {}", super::paint::cut(&text, 50)));
            self.effects.push(Effect::Copy(text));
        }
    }

    fn sort(&mut self, next: bool) {
        let (order, reverse, orders) = match self.view {
            View::Streams => {
                (&mut self.streams.order, &mut self.streams.reverse, derive::STREAM_ORDERS.len())
            }
            _ => (&mut self.order, &mut self.reverse, derive::ORDERS.len()),
        };
        if next {
            (*order, *reverse) = ((*order + 1) % orders.max(1), false);
        } else {
            *reverse = !*reverse;
        }
        match self.view {
            View::Streams => self.arrange_detail(),
            _ => self.arrange(),
        }
    }

    fn zoom(&mut self, action: Action) {
        let Some((_, row)) = self.row() else { return };
        let whole = row.last.since(row.first).as_secs_f64().max(0.001);
        let centre = self.stream().and_then(|stream| stream.opened.zip(Some(stream)));
        let centre = centre.map(|(opened, _)| opened.since(row.first).as_secs_f64());
        let (from, to) = self.streams.window.unwrap_or((0.0, whole));
        let span = to - from;
        let (from, span) = match action {
            Action::Left => (from - span / 4.0, span),
            Action::Right => (from + span / 4.0, span),
            Action::ZoomIn => {
                let at = centre.filter(|at| (from..to).contains(at)).unwrap_or(from + span / 2.0);
                (at - (at - from) / 2.0, (span / 2.0).max(SPAN_LEAST))
            }
            Action::ZoomOut => (from - span / 2.0, span * 2.0),
            _ => (0.0, whole),
        };
        let span = span.min(whole);
        let from = from.clamp(0.0, whole - span);
        let all = span >= whole;
        self.streams.window = (!all).then_some((from, from + span));
    }
}

/// Ticks of 100 ms that a message stays.
const TOAST_TICKS: u32 = 30;
/// Rows of a turn of the wheel.
const WHEEL: usize = 3;
/// Seconds that the waterfall shows at least.
const SPAN_LEAST: f64 = 0.000_1;
