//! Floor 1, the words: every type that crosses a wall between rooms.
//!
//! Takes nothing, gives the vocabulary, never computes a conclusion.

pub mod address;
pub mod capture;
pub mod cause;
pub mod clock;
pub mod drops;
pub mod error_code;
pub mod explanation;
pub mod fault;
pub mod flow;
pub mod frame;
pub mod header;
pub mod hop;
pub mod http1;
pub mod limits;
pub mod metered;
pub mod pack;
pub mod packet;
pub mod pair;
pub mod process;
pub mod proxy;
pub mod rule;
pub mod segment;
pub mod setting;
pub mod stream;
pub mod text;
pub mod time;
pub mod tls;
pub mod turns;
pub mod verdict;
