//! Room 5: bytes to frames.

pub mod hpack;
