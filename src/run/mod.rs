//! Floor 5: reads captures through the pipeline into the board. The only place with threads and
//! clocks.

mod detail;
pub mod offline;
mod progress;
mod publish;
pub mod secrets;
mod shard;
pub mod watch;
