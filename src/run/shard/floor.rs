//! Where shards wait for threads, and threads for shards.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::pipeline::Sink;

use super::Shard;
use super::batch::Batch;

/// All shards with the batches that wait for them.
pub(super) struct Floor<S> {
    state: Mutex<State<S>>,
    /// Rings when something changed that somebody may wait for.
    bell: Condvar,
}

struct State<S> {
    seats: Vec<Seat<S>>,
    /// Shards that have work and no thread, longest waiting first.
    ready: VecDeque<usize>,
    /// Batches submitted and not yet done.
    waiting: usize,
    /// Empty batches, kept for their memory.
    spare: Vec<Batch>,
    /// Nothing more will be submitted.
    is_closed: bool,
    /// A thread panicked: its shard is lost, and with it the run.
    is_lost: bool,
}

struct Seat<S> {
    /// Away while a thread works on it.
    shard: Option<Box<Shard<S>>>,
    batches: VecDeque<Batch>,
}

/// A shard with its next batch.
struct Task<S> {
    place: usize,
    shard: Box<Shard<S>>,
    batch: Batch,
}

impl<S: Sink> Floor<S> {
    pub fn new(shards: Vec<Shard<S>>) -> Self {
        let seat = |shard| Seat { shard: Some(Box::new(shard)), batches: VecDeque::new() };
        let state = State {
            seats: shards.into_iter().map(seat).collect(),
            ready: VecDeque::new(),
            waiting: 0,
            spare: Vec::new(),
            is_closed: false,
            is_lost: false,
        };
        Self { state: Mutex::new(state), bell: Condvar::new() }
    }

    /// The shards, when all threads are gone.
    pub fn into_shards(self) -> Vec<Shard<S>> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.seats.into_iter().filter_map(|seat| seat.shard).map(|shard| *shard).collect()
    }

    /// An empty batch for each shard.
    pub fn batches(&self) -> Vec<Batch> {
        self.lock().seats.iter().map(|_| Batch::default()).collect()
    }

    pub fn spare(&self) -> Batch {
        self.lock().spare.pop().unwrap_or_default()
    }

    /// Lines a batch up behind those of its shard.
    pub fn submit(&self, place: usize, batch: Batch) {
        let mut state = self.lock();
        let Some(seat) = state.seats.get_mut(place) else { return };
        seat.batches.push_back(batch);
        let is_idle = seat.shard.is_some() && seat.batches.len() == 1;
        state.waiting += 1;
        if is_idle {
            state.ready.push_back(place);
            self.bell.notify_one();
        }
    }

    /// Nothing more will be submitted.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.bell.notify_all();
    }

    /// Whether so much waits that reading on would only cost memory.
    pub fn is_behind(&self) -> bool {
        let state = self.lock();
        state.waiting > WAITING_MAX && !state.is_lost
    }

    /// Does one batch, or waits until another thread has done one. False where the run is lost.
    pub fn work_once(&self) -> bool {
        let mut state = self.lock();
        if state.is_lost {
            return false;
        }
        match state.next() {
            Some(task) => {
                drop(state);
                self.work(task);
            }
            None => drop(self.bell.wait(state)),
        }
        true
    }

    /// Works until there is no more.
    pub fn help(&self) {
        let mut state = self.lock();
        while !state.is_lost {
            if let Some(task) = state.next() {
                drop(state);
                self.work(task);
                state = self.lock();
            } else if state.is_closed && state.waiting == 0 {
                break;
            } else {
                state = self.bell.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn work(&self, task: Task<S>) {
        let Task { place, mut shard, mut batch } = task;
        for lines in &batch.secrets {
            shard.pipeline.add_secrets(lines, &mut shard.sink);
        }
        for segment in batch.segments() {
            shard.pipeline.take(&segment, &mut shard.sink);
        }
        if batch.is_last {
            shard.pipeline.finish(&mut shard.sink);
        }
        batch.clear();
        let mut state = self.lock();
        state.done(place, shard, batch);
        drop(state);
        // Whoever waits for work, for room or for the end looks again.
        self.bell.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<S>> {
        // A thread that panics holds no half-changed state: see `Alarm`.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> State<S> {
    fn next(&mut self) -> Option<Task<S>> {
        let place = self.ready.pop_front()?;
        let seat = self.seats.get_mut(place)?;
        let batch = seat.batches.pop_front()?;
        let shard = seat.shard.take()?;
        Some(Task { place, shard, batch })
    }

    fn done(&mut self, place: usize, shard: Box<Shard<S>>, batch: Batch) {
        self.waiting -= 1;
        self.spare.push(batch);
        let Some(seat) = self.seats.get_mut(place) else { return };
        seat.shard = Some(shard);
        if !seat.batches.is_empty() {
            self.ready.push_back(place);
        }
    }
}

/// Tells the others when its thread panics: nobody waits for a shard that will not come back.
pub(super) struct Alarm<'a, S>(pub &'a Floor<S>);

impl<S> Drop for Alarm<'_, S> {
    fn drop(&mut self) {
        if thread::panicking() {
            let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.is_lost = true;
            drop(state);
            self.0.bell.notify_all();
        }
    }
}

/// Batches that may wait: 4 MiB, a few for every thread.
const WAITING_MAX: usize = 64;
