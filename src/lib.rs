//! goawhy: why did this HTTP/2 connection go away?

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

pub mod board;
pub mod cli;
pub mod report;
pub mod tcp;
pub mod vocab;
