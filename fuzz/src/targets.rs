//! All targets.

use crate::{capture, filter, h2, hpack, packet, pipeline, seeds, tcp, tls};

/// A target: its name, what it runs, and what it starts from.
pub type Target = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>);

/// All of them.
pub const TARGETS: [Target; 8] = [
    ("packet", packet::run, seeds::packets),
    ("tcp", tcp::run, seeds::scripts),
    ("tls", tls::run, seeds::sealed),
    ("h2", h2::run, seeds::streams),
    ("hpack", hpack::run, seeds::blocks),
    ("capture", capture::run, seeds::files),
    ("filter", filter::run, seeds::filters),
    ("pipeline", pipeline::run, seeds::files),
];
