//! Flows over threads: a dispatcher that reads and decodes, and shards that do the rest.
//!
//! A flow belongs to one of a fixed number of shards by its addresses alone, and every shard keeps
//! its own bounds. So what a shard sees, and with it the output, is the same whatever the number
//! of threads: they only take turns at the shards. A shard's batches are worked off in order by
//! one thread at a time; the dispatcher lends a hand when it is far ahead.

mod batch;
mod floor;

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::thread::{self, Scope};

use crate::pipeline::{Pipeline, Sink};
use crate::vocab::address::Endpoint;
use crate::vocab::limits::Limits;
use crate::vocab::segment::Segment;
use crate::vocab::tls::KeyLines;

use batch::Batch;
use floor::{Alarm, Floor};

/// A pipeline with what it finds.
pub(super) struct Shard<S> {
    pub pipeline: Pipeline,
    pub sink: S,
}

/// How many shards a run has: never by its threads, or they would show in the output. Every shard
/// keeps the key logs, so large ones leave all flows together.
pub(super) fn count(limits: &Limits, secrets_octets: usize) -> usize {
    if secrets_octets > SECRETS_MAX {
        return 1;
    }
    (limits.flows / FLOWS_MIN).clamp(1, SHARDS)
}

/// As many threads as help, where nobody says how many.
pub(super) fn default_threads() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get).min(THREADS_MAX)
}

/// Lets `read` feed segments to the shards; when it is done, every shard finishes. At most
/// `threads` threads work, this one among them.
pub(super) fn run<S: Sink + Send, R>(
    mut shards: Vec<Shard<S>>,
    threads: usize,
    read: impl FnOnce(&mut Feeder<'_, '_, S>) -> R,
) -> (R, Vec<Shard<S>>) {
    if threads <= 1 || shards.len() <= 1 {
        let mut feeder = Feeder { seats: Seats::Here(&mut shards) };
        let result = read(&mut feeder);
        for shard in &mut shards {
            shard.pipeline.finish(&mut shard.sink);
        }
        return (result, shards);
    }
    let floor = Floor::new(shards);
    let result = thread::scope(|scope| {
        let _alarm = Alarm(&floor);
        let open = floor.batches();
        let mut feeder =
            Feeder { seats: Seats::Elsewhere { floor: &floor, scope, helpers: threads - 1, open } };
        let result = read(&mut feeder);
        feeder.finish();
        result
    });
    (result, floor.into_shards())
}

/// Takes segments to their shards.
pub(super) struct Feeder<'scope, 'env, S> {
    seats: Seats<'scope, 'env, S>,
}

enum Seats<'scope, 'env, S> {
    /// One thread does everything, packet by packet.
    Here(&'env mut [Shard<S>]),
    Elsewhere {
        floor: &'env Floor<S>,
        scope: &'scope Scope<'scope, 'env>,
        /// Threads still to be started, once there is work for them.
        helpers: usize,
        /// The batch of each shard that is being filled.
        open: Vec<Batch>,
    },
}

impl<S: Sink + Send> Feeder<'_, '_, S> {
    /// Takes the next segment.
    pub fn push(&mut self, segment: &Segment<'_>) {
        match &mut self.seats {
            Seats::Here(shards) => {
                if let Some(shard) = shards.get_mut(place(segment, shards.len())) {
                    shard.pipeline.take(segment, &mut shard.sink);
                }
            }
            Seats::Elsewhere { floor, scope, helpers, open } => {
                let place = place(segment, open.len());
                let Some(batch) = open.get_mut(place) else { return };
                batch.push(segment);
                if !batch.is_full() {
                    return;
                }
                let full = std::mem::replace(batch, floor.spare());
                floor.submit(place, full);
                // A capture that fits in a few batches is not worth a thread.
                for _ in 0..std::mem::take(helpers) {
                    let floor = *floor;
                    scope.spawn(move || {
                        let _alarm = Alarm(floor);
                        floor.help();
                    });
                }
                while floor.is_behind() && floor.work_once() {}
            }
        }
    }

    /// Takes secrets to all shards, for the segments before and behind them.
    pub fn learn(&mut self, lines: &KeyLines) {
        match &mut self.seats {
            Seats::Here(shards) => {
                for shard in shards.iter_mut() {
                    shard.pipeline.add_secrets(lines, &mut shard.sink);
                }
            }
            Seats::Elsewhere { floor, open, .. } => {
                for (place, batch) in open.iter_mut().enumerate() {
                    // What came before must have gone before, or threads would show.
                    let before = std::mem::replace(batch, floor.spare());
                    floor.submit(place, before);
                    batch.secrets.push(lines.clone());
                }
            }
        }
    }

    /// Hands over what is left, and works until all is done.
    fn finish(self) {
        let Seats::Elsewhere { floor, open, .. } = self.seats else { return };
        for (place, mut batch) in open.into_iter().enumerate() {
            batch.is_last = true;
            floor.submit(place, batch);
        }
        floor.close();
        floor.help();
    }
}

/// The shard of a segment, the same for both directions of a flow and in every run.
fn place(segment: &Segment<'_>, shards: usize) -> usize {
    let sum = mixed(segment.source).wrapping_add(mixed(segment.destination));
    let spread = (sum ^ (sum >> 32)).wrapping_mul(ODD) >> 32;
    // The upper bits choose: a fair share of 2^32 each.
    ((spread * shards as u64) >> 32) as usize
}

fn mixed(endpoint: Endpoint) -> u64 {
    let ip = match endpoint.ip {
        IpAddr::V4(ip) => u64::from(ip.to_bits()),
        IpAddr::V6(ip) => (ip.to_bits() ^ (ip.to_bits() >> 64)) as u64,
    };
    let sum = ip.wrapping_mul(ODD).wrapping_add(u64::from(endpoint.port));
    (sum ^ (sum >> 29)).wrapping_mul(ODD)
}

/// Enough that a dozen threads always find one that waits, few enough that each has thousands of
/// flows before it forgets any.
const SHARDS: usize = 16;
/// Flows that a shard has room for at least; with less there are fewer shards.
const FLOWS_MIN: usize = 1 << 12;
/// Octets of key logs that every shard may keep.
const SECRETS_MAX: usize = 1 << 20;
/// Beyond it the dispatcher is the bottleneck.
const THREADS_MAX: usize = 8;
/// 2^64 divided by the golden ratio: spreads neighbours far apart.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::segment::{Seq, TcpFlags};
    use crate::vocab::time::Stamp;

    fn segment(source: (u32, u16), destination: (u32, u16)) -> Segment<'static> {
        let end = |(ip, port): (u32, u16)| Endpoint { ip: IpAddr::V4(ip.into()), port };
        Segment {
            stamp: Stamp::default(),
            source: end(source),
            destination: end(destination),
            seq: Seq(0),
            ack: Seq(0),
            flags: TcpFlags(0),
            window: 0,
            payload: &[],
            cut: 0,
        }
    }

    #[test]
    fn both_directions_share_a_shard_and_flows_spread_over_all() {
        let mut shares = [0_u32; SHARDS];
        for port in 0..16_000 {
            let (client, server) = ((0x0a00_0001, 1024 + port), (0x0a00_0002, 443));
            let place = place(&segment(client, server), SHARDS);
            assert_eq!(place, super::place(&segment(server, client), SHARDS));
            shares[place] += 1;
        }
        assert!(shares.iter().all(|share| (850..1150).contains(share)), "{shares:?}");
    }

    #[test]
    fn small_bounds_and_large_key_logs_keep_all_flows_together() {
        assert_eq!(count(&Limits::default(), 0), SHARDS);
        assert_eq!(count(&Limits { flows: 3, ..Limits::default() }, 0), 1);
        assert_eq!(count(&Limits::default(), SECRETS_MAX + 1), 1);
    }
}
