//! goawhy: why did this HTTP/2 connection go away?

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
pub mod h2;
pub mod packet;
pub mod pipeline;
pub mod report;
pub mod run;
pub mod tcp;
pub mod tls;
pub mod track;
pub mod vocab;
