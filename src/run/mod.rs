//! Floor 5: reads captures through the pipeline into the board. The only place with threads and
//! clocks.

pub mod offline;
mod progress;
mod secrets;
