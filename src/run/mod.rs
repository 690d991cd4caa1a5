//! Floor 5: reads captures through the pipeline into the board. The only place with threads and
//! clocks.

#[cfg(feature = "live")]
mod alarm;
pub mod annotate;
pub mod beside;
mod clocks;
#[cfg(feature = "live")]
pub mod command;
mod detail;
#[cfg(feature = "live")]
pub mod live;
mod matching;
#[cfg(feature = "live")]
pub mod metrics;
pub mod offline;
#[cfg(feature = "otlp")]
pub mod otlp;
#[cfg(feature = "live")]
pub mod own;
pub mod panics;
#[cfg(feature = "live")]
mod printer;
#[cfg(all(feature = "live", target_os = "linux"))]
mod privilege;
#[cfg(all(feature = "live", target_os = "linux"))]
mod process;
mod progress;
mod publish;
#[cfg(feature = "live")]
mod queue;
#[cfg(feature = "live")]
mod recent;
#[cfg(feature = "live")]
mod save;
pub mod screen;
pub mod secrets;
mod shard;
#[cfg(all(feature = "live", target_os = "linux"))]
mod sockets;
#[cfg(feature = "live")]
mod stage;
#[cfg(feature = "live")]
mod start;
#[cfg(feature = "live")]
mod tap;
pub mod watch;
