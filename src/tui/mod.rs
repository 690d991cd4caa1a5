//! The dashboard: what a snapshot shows on a terminal, and what keys do to it.
//!
//! Takes snapshots through [`Feed`](crate::board::snapshot::Feed), gives a screen. Reads no
//! packets, starts nothing, computes no conclusion: what it shows, JSON has.

mod app;
mod clock;
pub mod keys;
mod paint;
mod terminal;
mod theme;
mod view;

pub use app::{Action, App, Effect, Settings, View};
pub use clock::TimeStyle;
pub use terminal::{Screen, restore};
pub use theme::{Colours, Theme};
pub use view::render;
