//! Threads that bring packets in: one for each interface, or one for a pipe.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::board::snapshot::InterfaceFacts;
use crate::capture::live::Tap;
use crate::capture::{Item, Source};
use crate::error::Error;
use crate::vocab::packet::Packet;
use crate::vocab::time::Stamp;

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
        let mut counted = Instant::now();
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
                door.put(source, &packet);
            });
            drop(door);
            failure = read.err();
            if counted.elapsed() >= COUNT_EVERY {
                counted = Instant::now();
                count(&mut tap, source, &facts);
            }
        }
        count(&mut tap, source, &facts);
        change(&facts, source, |of| of.error = failure.clone());
        queue.close_source();
    })
}

fn count(tap: &mut Tap, source: u16, facts: &Facts) {
    let down = is_down(tap.name());
    change(facts, source, |of| of.down = down);
    let Some(counts) = tap.counts() else { return };
    change(facts, source, |of| {
        of.received = counts.received;
        of.kernel_dropped = counts.kernel_dropped;
        of.interface_dropped = counts.interface_dropped;
    });
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
        while let Some(item) = source.next_item() {
            match item {
                Item::Packet(packet) => queue.put(0, &packet, || stop.load(Ordering::Relaxed)),
                Item::Secrets(lines) => queue.learn(lines),
            }
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        let damage = source.facts().first().and_then(|facts| facts.damage.clone());
        let received = source.facts().first().map_or(0, |facts| facts.packets);
        change(&facts, 0, |of| {
            of.received = received;
            of.error = damage.map(|damage| damage.what);
        });
        queue.close_source();
    });
    Ok(brings_secrets)
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
const COUNT_EVERY: Duration = Duration::from_millis(250);
