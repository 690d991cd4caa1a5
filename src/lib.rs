//! goawhy: why did this HTTP/2 connection go away?
//!
//! Bytes enter once at the bottom, each room turns one plain value into the next, nothing ever
//! goes back down, and every conclusion carries the packet number it rests on.
//!
//! ```text
//!               main  cli
//!                 |
//!    floor 5      run  (threads, progress, screen)            report   tui  <- readers
//!                 |                                                 \   /
//!    floor 4      pipeline (one shard: rooms 2 to 7, rows)          board    <- what readers see
//!                 |
//!    floor 3                                             7 cause
//!    floor 2   1 capture  2 packet  3 tcp  4 tls  5 h2  6 track
//!              Packet ->  Segment -> Octets -> Octets -> Frame -> History -> Verdict
//!    floor 1   vocab  (the words: every type that crosses a wall lives here), error, guard
//! ```
//!
//! Rooms 1 to 6 do not import each other; they only know the words. [`pipeline`] is the single
//! place that names them together. `tests/architecture.rs` enforces the floors.
//!
//! - [`capture`]: pcap and pcapng files, plain or compressed, become packets.
//! - [`packet`]: links, tunnels and fragments come off; what is left is a TCP segment, or a reason
//!   why there is none.
//! - [`tcp`]: segments become octets in order, each exactly once; what the capture lacks is a gap.
//! - [`tls`]: with keys, records become plaintext; without, a few facts.
//! - [`h2`]: octets become frames and header lists, wherever HTTP/2 begins and whatever is
//!   missing.
//! - [`track`]: frames become the history of a connection, and rules broken become findings.
//! - [`cause`]: a history becomes verdicts: the chain from an ending to its root.
//! - [`board`], [`report`] and [`tui`]: what readers see, how it is written down, and the
//!   dashboard.
//! - [`exchange`]: conversations as text, for tests and examples.
//! - [`guard`]: a panic costs the connection it happened on, and is told.
//!
//! Invariants, mostly absences: rooms 2 to 7 do no IO, read no clock and start nothing; the same
//! packets give the same bytes out. Body octets are counted, never stored. Everything that input
//! can grow has a bound in [`vocab::limits`] and says when it was reached. Loss lowers confidence
//! and never creates a cause. Detectors are pure and know no product by name.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

pub mod board;
pub mod capture;
pub mod cause;
pub mod cli;
pub mod error;
pub mod exchange;
pub mod guard;
pub mod h2;
pub mod packet;
pub mod pipeline;
pub mod report;
pub mod run;
pub mod tcp;
pub mod tls;
pub mod track;
pub mod tui;
pub mod vocab;
