//! Which connections have a stream that a filter asks for: packets are read again for it, in the
//! background, for the filter that was asked last.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::board::detail::Matching;
use crate::board::filter::Filter;
use crate::board::snapshot::Snapshot;

use super::detail::{Again, lock};

/// The filter that was asked last, and what is known of it.
pub(super) struct Matchings {
    again: Again,
    last: Mutex<Option<Asked>>,
}

struct Asked {
    filter: Filter,
    shown: Arc<Mutex<Shown>>,
    /// Set when the answer is wanted no more.
    stop: Arc<AtomicBool>,
}

struct Shown {
    matching: Arc<Matching>,
    /// The snapshot whose connections were asked.
    revision: u64,
    is_being_read: bool,
    /// Not to be read again before.
    rests_until: Instant,
}

impl Matchings {
    pub(super) fn new(again: Again) -> Self {
        Self { again, last: Mutex::default() }
    }

    /// What is known by now; what is missing is looked for meanwhile.
    pub(super) fn get(&self, filter: &Filter, snapshot: &Arc<Snapshot>) -> Arc<Matching> {
        let mut last = lock(&self.last);
        if last.as_ref().is_some_and(|asked| asked.filter != *filter)
            && let Some(before) = last.take()
        {
            before.stop.store(true, Ordering::Relaxed);
        }
        let asked = last.get_or_insert_with(|| Asked {
            filter: filter.clone(),
            shown: Arc::new(Mutex::new(Shown {
                matching: Arc::default(),
                revision: 0,
                is_being_read: false,
                // A word is typed letter by letter.
                rests_until: Instant::now() + TYPING,
            })),
            stop: Arc::default(),
        });
        let mut shown = lock(&asked.shown);
        let rests = shown.is_being_read || Instant::now() < shown.rests_until;
        if shown.revision != snapshot.revision && !rests {
            shown.is_being_read = true;
            shown.revision = snapshot.revision;
            self.begin(asked, Arc::clone(snapshot));
        }
        Arc::clone(&shown.matching)
    }

    /// Where packets can be read again.
    #[cfg(feature = "live")]
    pub(super) fn again(&self) -> Again {
        self.again.clone()
    }

    fn begin(&self, asked: &Asked, snapshot: Arc<Snapshot>) {
        let (again, filter) = (self.again.clone(), asked.filter.clone());
        let (shown, stop) = (Arc::clone(&asked.shown), Arc::clone(&asked.stop));
        thread::spawn(move || {
            let begun = Instant::now();
            let rows = snapshot.board.connections.iter().map(AsRef::as_ref);
            let matching = again.matching(&filter, rows, &stop);
            let mut shown = lock(&shown);
            shown.is_being_read = false;
            shown.rests_until = Instant::now() + REST.max(begun.elapsed() * SHARE);
            if !stop.load(Ordering::Relaxed) {
                shown.matching = Arc::new(matching);
            }
        });
    }
}

impl Drop for Matchings {
    fn drop(&mut self) {
        if let Some(asked) = lock(&self.last).take() {
            asked.stop.store(true, Ordering::Relaxed);
        }
    }
}

/// How long a filter has to stand before anything is read for it.
const TYPING: Duration = Duration::from_millis(150);
/// Shortest time between two readings for the same filter.
const REST: Duration = Duration::from_millis(500);
/// Reading takes one part in so many of the time.
const SHARE: u32 = 4;
