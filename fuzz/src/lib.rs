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
pub mod targets;
pub mod tcp;
pub mod tls;

pub use targets::TARGETS;
