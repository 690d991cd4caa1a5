//! The thread that analyzes what was captured, while it is captured.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::board::snapshot::{InterfaceFacts, LiveFacts, Progress, State};
use crate::pipeline::Pipeline;
use crate::pipeline::moving::Moving;
use crate::vocab::capture::{CaptureFacts, put_together};
use crate::vocab::packet::{Packet, Skip};
use crate::vocab::time::Timestamp;
use crate::vocab::tls::KeyLines;

#[cfg(target_os = "linux")]
use super::process::Namer;
use super::publish::{Now, Publisher};
use super::queue::{Batch, Queue, Taken};
use super::recent::Recent;
use super::save::{Counted, Recorder};
use super::secrets::Follow;
use super::tap::Facts;

/// Everything that the thread has.
pub(super) struct Stage {
    pub(super) queue: Arc<Queue>,
    pub(super) pipeline: Pipeline,
    /// TLS key logs, as programs write them.
    pub(super) follow: Follow,
    pub(super) rows: Moving,
    pub(super) publisher: Publisher,
    /// Packets for whoever looks closer, where anybody may.
    pub(super) recent: Option<Arc<Recent>>,
    pub(super) recorder: Option<Recorder>,
    /// Memory that the recorder is done with.
    pub(super) spares: Receiver<Batch>,
    #[cfg(target_os = "linux")]
    pub(super) namer: Option<Namer>,
    pub(super) interfaces: Facts,
    pub(super) facts: CaptureFacts,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) reopen: Arc<AtomicBool>,
    /// Octets that open connections may take.
    pub(super) memory: usize,
    /// Packets after which it ends.
    pub(super) count: Option<u64>,
    /// When it ends.
    pub(super) until: Option<Instant>,
    pub(super) state: Counters,
}

/// What changes from look to look.
pub(super) struct Counters {
    skips: BTreeMap<Skip, u64>,
    queue_dropped: u64,
    weight: usize,
    ticked: Instant,
    weighed: Instant,
    /// Octets of packets since.
    unweighed: usize,
    /// Time of the latest packet, and when that came here.
    clock: Option<(Timestamp, Instant)>,
}

impl Counters {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            skips: BTreeMap::new(),
            queue_dropped: 0,
            weight: 0,
            ticked: now,
            weighed: now,
            unweighed: 0,
            clock: None,
        }
    }
}

impl Stage {
    /// Analyzes until nothing more comes, or enough has come.
    pub(super) fn run(mut self) {
        self.pipeline.note_touched();
        #[cfg(target_os = "linux")]
        if self.namer.is_some() {
            self.rows.note_fresh();
        }
        let mut spare = Batch::default();
        loop {
            let Taken { batch, dropped, drops, open } = self.queue.take(spare);
            self.state.queue_dropped = dropped;
            self.rows.dropped(drops);
            let empty = batch.len() == 0;
            spare = self.batch(batch);
            #[cfg(target_os = "linux")]
            self.name();
            self.tick();
            let stopped = self.stop.load(Ordering::Relaxed);
            let late = self.until.is_some_and(|until| Instant::now() >= until);
            let enough = self.count.is_some_and(|count| self.facts.packets >= count);
            if enough || (empty && (!open || stopped)) {
                break;
            }
            if late {
                // What has been captured by now is analyzed; nothing more is.
                self.stop.store(true, Ordering::Relaxed);
            }
            if self.publisher.is_due(self.patience()) {
                self.publish(State::Live);
            }
        }
        self.stop.store(true, Ordering::Relaxed);
        self.queue.wait_for_sources();
        let last = self.queue.take(Batch::default());
        self.state.queue_dropped = last.dropped;
        self.rows.dropped(last.drops);
        self.learn(Vec::new());
        self.pipeline.finish(&mut self.rows);
        if let Some(mut recorder) = self.recorder.take() {
            recorder.count(self.counted());
            recorder.finish();
            self.recorder = Some(recorder);
        }
        self.publish(State::Ended);
    }

    /// Analyzes packets, saves them where that is asked for, and gives memory for the next ones.
    fn batch(&mut self, mut batch: Batch) -> Batch {
        let secrets = batch.take_secrets();
        if batch.len() == 0 && secrets.is_empty() {
            return batch;
        }
        self.learn(secrets);
        let first = self.facts.packets + 1;
        for (_, packet) in batch.packets(first) {
            self.state.unweighed += HEAD + packet.data.len();
            if self.state.unweighed > self.memory / UNWEIGHED {
                self.weigh();
            }
            if self.count.is_some_and(|count| self.facts.packets >= count) {
                break;
            }
            count(&mut self.facts, &packet);
            if let Err(skip) = self.pipeline.push(&packet, &mut self.rows) {
                *self.state.skips.entry(skip).or_default() += 1;
            }
        }
        if let Some(latest) = self.facts.last_packet_at {
            self.state.clock = Some((latest, Instant::now()));
        }
        let kept = usize::try_from(self.facts.packets + 1 - first).unwrap_or(usize::MAX);
        batch.truncate(kept);
        if let Some(recent) = &self.recent {
            recent.keep(&batch, first);
        }
        if let Some(recorder) = &mut self.recorder {
            match recorder.save(batch, first) {
                Some(back) => batch = back,
                None => return self.spares.try_recv().unwrap_or_default(),
            }
        }
        batch.clear();
        batch
    }

    /// Takes secrets that came with the packets, and those that programs have written by now.
    fn learn(&mut self, secrets: Vec<KeyLines>) {
        for lines in secrets.into_iter().chain(self.follow.poll()) {
            self.pipeline.add_secrets(&lines, &mut self.rows);
            if let Some(recent) = &self.recent {
                recent.learn(&lines);
            }
            if let Some(recorder) = &self.recorder {
                recorder.embed(&lines);
            }
        }
    }

    /// Lets time pass where the line is quiet, and keeps within memory.
    fn tick(&mut self) {
        if self.state.ticked.elapsed() >= TICK {
            self.state.ticked = Instant::now();
            if let Some((latest, came)) = self.state.clock {
                self.pipeline.tick(latest.plus(came.elapsed()), &mut self.rows);
            }
            if let Some(recorder) = &self.recorder {
                recorder.count(self.counted());
                if self.reopen.swap(false, Ordering::Relaxed) {
                    recorder.reopen();
                }
            }
        }
        if self.state.weighed.elapsed() >= WEIGH {
            self.weigh();
        }
    }

    /// Looks at memory; lets the quietest flows go where they take too much of it.
    fn weigh(&mut self) {
        let weight = |stage: &Self| stage.pipeline.weight() + stage.rows.open_weight();
        self.state.weight = weight(self);
        if self.state.weight > self.memory {
            // Their rows go with them.
            let kept = self.memory as f64 * 0.9 / self.state.weight as f64;
            let most = self.pipeline.weight() as f64 * kept;
            self.pipeline.shed(most as usize, &mut self.rows);
            self.state.weight = weight(self);
        }
        (self.state.weighed, self.state.unweighed) = (Instant::now(), 0);
    }

    fn counted(&self) -> Counted {
        let facts = self.interfaces.lock().unwrap_or_else(PoisonError::into_inner);
        let dropped = |of: &InterfaceFacts| {
            of.kernel_dropped.map(|dropped| dropped + of.interface_dropped.unwrap_or(0))
        };
        let counts = facts.iter().map(|of| (of.received, dropped(of)));
        Counted { at: self.facts.last_packet_at.unwrap_or_default(), counts: counts.collect() }
    }

    fn publish(&mut self, state: State) {
        let mut interfaces = self.interfaces.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let [only] = interfaces.as_mut_slice() {
            // A pipe that is silent has not told of the last ones.
            only.received = only.received.max(self.facts.packets);
        }
        let live = LiveFacts {
            interfaces,
            queue_dropped: self.state.queue_dropped,
            shed: self.pipeline.evicted(),
            memory: self.state.weight as u64,
            memory_limit: self.memory as u64,
            saved: self.recorder.as_ref().map(Recorder::facts),
        };
        let counted = live.interfaces.iter().any(|of| of.kernel_dropped.is_some());
        let dropped = Some(live.dropped()).filter(|dropped| counted || *dropped > 0);
        let mut captures = vec![CaptureFacts {
            skipped: self.state.skips.clone(),
            kernel_dropped: dropped,
            ..self.facts.clone()
        }];
        put_together(&mut captures, self.pipeline.joined_fragments());
        let failed = live.interfaces.iter().find(|of| of.error.is_some());
        let error = failed.and_then(|of| Some(format!("{}: {}", of.name, of.error.as_ref()?)));
        let progress =
            Progress { read: self.facts.bytes, total: None, packets: self.facts.packets };
        let clock_offsets = Vec::new(); // one clock
        let now = Now { captures, clock_offsets, state, error, progress, live: Some(live) };
        self.publisher.publish(&mut self.rows, &mut self.pipeline, now);
    }

    /// A connection may be over before it is known whose it was: what is told of it waits so long.
    fn patience(&self) -> Duration {
        #[cfg(target_os = "linux")]
        if self.namer.as_ref().is_some_and(Namer::is_busy) {
            return FOR_NAMES;
        }
        Duration::ZERO
    }

    /// Asks whose new flows are, and takes what was found of earlier ones.
    #[cfg(target_os = "linux")]
    fn name(&mut self) {
        let Some(namer) = &self.namer else { return };
        let fresh = self.rows.fresh();
        if !fresh.is_empty() {
            namer.ask(fresh);
        }
        self.rows.name(namer.answers());
    }
}

fn count(facts: &mut CaptureFacts, packet: &Packet<'_>) {
    facts.packets += 1;
    facts.bytes += packet.data.len() as u64;
    facts.truncated_packets += u64::from(packet.data.len() < packet.wire_length as usize);
    facts.first_packet_at.get_or_insert(packet.stamp.at);
    facts.last_packet_at = facts.last_packet_at.max(Some(packet.stamp.at));
}

/// Longest time for which verdicts wait for the names of programs.
#[cfg(target_os = "linux")]
const FOR_NAMES: Duration = Duration::from_millis(500);
/// Time between two looks at flows that wait in vain.
const TICK: Duration = Duration::from_millis(250);
/// So small a part of the memory comes in as packets between two looks at it: a connection takes
/// twenty times as much as the packets that open it.
const UNWEIGHED: usize = 128;
/// Octets that a packet counts for beside its own.
const HEAD: usize = 64;
/// Longest time between two looks at memory.
const WEIGH: Duration = Duration::from_secs(1);
