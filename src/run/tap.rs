//! Threads that bring packets in: one for each interface, or one for a pipe.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::board::snapshot::InterfaceFacts;
use crate::capture::live::{Counts, Tap};
use crate::capture::{Item, Source};
use crate::error::Error;
use crate::vocab::capture::CaptureFacts;
use crate::vocab::drops::Stretch;
use crate::vocab::packet::Packet;
use crate::vocab::time::{Stamp, Timestamp};

use super::queue::Queue;

/// What the threads tell of themselves, by source.
pub(super) type Facts = Arc<Mutex<Vec<InterfaceFacts>>>;

/// Captures from an interface until `stop`, as the source with this number.
pub(super) fn interface(
    mut tap: Tap,
    source: u16,
    queue: Arc<Queue>,
    facts: Facts,
    stop: Arc<AtomicBool>,
) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut looked = Instant::now();
        let mut counter = Counter::new(Arc::clone(&facts), source);
        let mut failure = None;
        while failure.is_none() && !stop.load(Ordering::Relaxed) {
            let mut ready = [PollFd::from_borrowed_fd(tap.handle(), PollFlags::IN)];
            // Whether it was woken or not, it looks.
            let _ = poll(&mut ready, Some(&AWAKE));
            let (link, mut door) = (tap.link(), queue.door());
            let read = tap.read(|caught| {
                let packet = Packet {
                    stamp: Stamp::new(0, 0, caught.at),
                    link,
                    data: caught.data,
                    wire_length: caught.wire_length,
                    fcs_length: 0,
                };
                counter.read += 1;
                door.put(source, &packet);
            });
            // Before anybody works on these packets: what is told of them takes it into account.
            counter.look(&mut tap, COUNT_EVERY).into_iter().for_each(|stretch| door.lost(stretch));
            drop(door);
            failure = read.err();
            if looked.elapsed() >= LOOK_EVERY {
                looked = Instant::now();
                let down = is_down(tap.name());
                change(&facts, source, |of| of.down = down);
            }
        }
        let last = counter.look(&mut tap, Duration::ZERO);
        last.into_iter().for_each(|stretch| queue.door().lost(stretch));
        change(&facts, source, |of| of.error = failure.clone());
        queue.close_source();
    })
}

/// Looks at the kernel's counters of an interface.
struct Counter {
    facts: Facts,
    source: u16,
    /// When it looked last, by both clocks.
    looked: (Timestamp, Instant),
    /// Packets read since.
    read: u64,
    /// Packets read before.
    read_in_all: u64,
}

impl Counter {
    fn new(facts: Facts, source: u16) -> Self {
        Self { facts, source, looked: (now(), Instant::now()), read: 0, read_in_all: 0 }
    }

    /// Looks, if it has not for so long; says when packets were dropped since the last time, where
    /// any were.
    fn look(&mut self, tap: &mut Tap, patience: Duration) -> Option<Stretch> {
        let (from, since) = self.looked;
        if since.elapsed() < patience {
            return None;
        }
        let to = now();
        self.looked = (to, Instant::now());
        let counts = tap.counts()?;
        let seen = std::mem::take(&mut self.read);
        self.read_in_all = self.read_in_all.saturating_add(seen);
        let (mut dropped, read) = (0, self.read_in_all);
        change(&self.facts, self.source, |of| {
            let once = |copies: u64| packets(copies, counts, read, of.loopback, tap.is_any());
            of.received = once(counts.received).max(of.received);
            let before = of.kernel_dropped.unwrap_or(0);
            let kernel_dropped = once(counts.kernel_dropped).max(before);
            dropped = kernel_dropped - before;
            of.kernel_dropped = Some(kernel_dropped);
            of.interface_dropped = Some(counts.interface_dropped);
        });
        (dropped > 0).then_some(Stretch { from, to, dropped, seen })
    }
}

/// How many packets so many copies are that the kernel counted. On loopback interfaces it has each
/// packet twice, as sent and as received (packet(7)), and libpcap hands out one; among those of all
/// interfaces what was `read` beside what was handed out tells how many are such.
fn packets(copies: u64, counts: Counts, read: u64, loopback: bool, any: bool) -> u64 {
    let handed_out = counts.received.saturating_sub(counts.kernel_dropped);
    match (loopback, any) {
        (true, _) => copies.div_ceil(2),
        (false, true) if handed_out > read && read > 0 => {
            let least = copies.div_ceil(2);
            let once = u128::from(copies) * u128::from(read) / u128::from(handed_out);
            u64::try_from(once).unwrap_or(copies).max(least)
        }
        _ => copies,
    }
}

/// The time that packets are stamped with.
fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp::default().plus(now.unwrap_or_default())
}

/// Whether an interface is down, where the kernel tells: libpcap waits in silence for one that may
/// come up again.
fn is_down(name: &str) -> bool {
    let flags = std::fs::read_to_string(format!("/sys/class/net/{name}/flags"));
    let flags = flags.ok().and_then(|text| u32::from_str_radix(text.trim().get(2..)?, 16).ok());
    flags.is_some_and(|flags| flags & IFF_UP == 0)
}

/// Reads a capture that arrives in a pipe until its end or `stop`. Gives whether it may bring TLS
/// secrets.
///
/// # Errors
/// Where what comes first is no capture.
pub(super) fn pipe(
    path: PathBuf,
    queue: Arc<Queue>,
    facts: Facts,
    stop: Arc<AtomicBool>,
) -> Result<bool, Error> {
    let mut source = Source::open(&[path])?;
    let brings_secrets = source.may_bring_secrets();
    // Not to be waited for: it may stand in a read that never ends.
    thread::spawn(move || {
        let mut looked = Instant::now();
        let mut dropped = 0;
        while let Some(item) = source.next_item() {
            match item {
                Item::Packet(packet) => queue.put(0, &packet, || stop.load(Ordering::Relaxed)),
                Item::Secrets(lines) => queue.learn(lines, || stop.load(Ordering::Relaxed)),
            }
            if stop.load(Ordering::Relaxed) {
                break;
            }
            if looked.elapsed() >= LOOK_EVERY {
                looked = Instant::now();
                tell(&source, &facts, &queue, &mut dropped);
            }
        }
        tell(&source, &facts, &queue, &mut dropped);
        queue.close_source();
    });
    Ok(brings_secrets)
}

/// Tells what a pipe's capture says of itself. So many packets were known to be `dropped`: some
/// captures have statistics, when they come to their end.
fn tell(source: &Source, facts: &Facts, queue: &Queue, dropped: &mut u64) {
    let Some(of) = source.facts().into_iter().next() else { return };
    let CaptureFacts { packets, kernel_dropped, .. } = of;
    change(facts, 0, |facts| {
        facts.received = packets;
        facts.kernel_dropped = kernel_dropped;
        facts.error = of.damage.map(|damage| damage.what);
    });
    let more = kernel_dropped.unwrap_or(0).saturating_sub(*dropped);
    *dropped = dropped.saturating_add(more);
    let times = of.first_packet_at.zip(of.last_packet_at);
    if let Some((from, to)) = times.filter(|_| more > 0) {
        queue.door().lost(Stretch { from, to, dropped: more, seen: packets });
    }
}

fn change(facts: &Facts, source: u16, with: impl FnOnce(&mut InterfaceFacts)) {
    let mut facts = facts.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(of) = facts.get_mut(usize::from(source)) {
        with(of);
    }
}

/// Longest time without a look whether to stop.
const AWAKE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// The flag of an interface that is up (netdevice(7)).
const IFF_UP: u32 = 1;
/// Time between two looks at the kernel's counters.
const COUNT_EVERY: Duration = Duration::from_millis(20);
/// Time between two looks whether the interface is up, and at what a pipe has told of itself.
const LOOK_EVERY: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_one_packet_count_once() {
        let counts = Counts { received: 4000, kernel_dropped: 1000, interface_dropped: 0 };
        let dropped = |read, loopback, any| packets(1000, counts, read, loopback, any);
        assert_eq!(dropped(3000, false, false), 1000);
        assert_eq!(dropped(1500, true, false), 500);
        // Of 2,000 packets that were read 1,000 came twice.
        assert_eq!(dropped(2000, false, true), 666);
        assert_eq!(dropped(3000, false, true), 1000);
        // What waits to be read makes it no less than half.
        assert_eq!((dropped(10, false, true), dropped(0, false, true)), (500, 1000));
    }
}
