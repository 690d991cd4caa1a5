//! What the fuzzer runs, one module a room. Each `run` takes any octets at all, and panics where
//! a promise of its room is broken. `tests/fuzz.rs` runs the same code on seeds and mutations of
//! them.

#![allow(missing_docs, reason = "the module says it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

pub mod capture;
pub mod filter;
pub mod flow;
pub mod h2;
pub mod hpack;
pub mod packet;
pub mod pipeline;
pub mod seeds;
pub mod tcp;
pub mod tls;

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
