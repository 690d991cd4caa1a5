//! What a live capture does beside telling: it counts for metrics, and raises alarms.

use std::sync::{Arc, Mutex, PoisonError};

use crate::board::alarm::{Alarms, Raised};
use crate::board::mask::Names;
use crate::board::meter::Meter;
use crate::board::snapshot::Snapshot;
use crate::report::alert;
use crate::report::metrics::Scrape;

use super::command::Commands;
#[cfg(feature = "otlp")]
use super::otlp::{Collector, Pusher};

/// Counters, alarms, and what they start.
pub(super) struct Duty {
    meter: Meter,
    alarms: Alarms,
    commands: Option<Arc<Commands>>,
    /// What is told to whoever fetches metrics.
    scrape: Arc<Mutex<Option<Scrape>>>,
    is_metered: bool,
    /// Whether what strangers should not see is taken out of what is told.
    mask: bool,
    seen: u64,
    /// Who hands metrics to a collector.
    #[cfg(feature = "otlp")]
    pusher: Option<Pusher>,
}

impl Duty {
    pub(super) fn new(
        alarms: Alarms,
        is_metered: bool,
        mask: bool,
        commands: Option<Arc<Commands>>,
    ) -> Self {
        let (meter, scrape) = (Meter::default(), Arc::default());
        Self {
            meter,
            alarms,
            commands,
            scrape,
            is_metered,
            mask,
            seen: 0,
            #[cfg(feature = "otlp")]
            pusher: None,
        }
    }

    /// Hands metrics to a collector too, from now on.
    #[cfg(feature = "otlp")]
    pub(super) fn push(&mut self, collector: Option<Collector>) {
        self.is_metered |= collector.is_some();
        self.pusher = collector.map(|collector| Pusher::begin(collector, self.scrape()));
    }

    /// What is told to whoever fetches metrics, from now on.
    pub(super) fn scrape(&self) -> Arc<Mutex<Option<Scrape>>> {
        Arc::clone(&self.scrape)
    }

    /// Takes a snapshot; starts commands for what goes off, and gives it.
    pub(super) fn take(&mut self, snapshot: &Arc<Snapshot>) -> Vec<Raised> {
        let idle = !self.is_metered && self.alarms.is_empty();
        if idle || snapshot.revision == self.seen {
            return Vec::new();
        }
        self.seen = snapshot.revision;
        let events = self.meter.take(snapshot);
        let mut raised = self.alarms.take(&events);
        if self.mask && !raised.is_empty() {
            let names = Names::of(&snapshot.board);
            raised.iter_mut().for_each(|raised| raised.told.mask(&names));
        }
        if let Some(commands) = &self.commands {
            for raised in &raised {
                let mut input = Vec::new();
                // Memory does not fail.
                let _ = alert::json(&mut input, raised);
                commands.start(input);
            }
        }
        if self.is_metered {
            let totals = self.meter.totals().clone();
            let scrape =
                Scrape { totals, snapshot: Arc::clone(snapshot), alarms: self.alarms.raised() };
            *self.scrape.lock().unwrap_or_else(PoisonError::into_inner) = Some(scrape);
        }
        raised
    }

    /// What failed since the last call, and what does so no more.
    pub(super) fn news(&mut self) -> Vec<String> {
        let failures = self.commands.as_ref().map_or_else(Vec::new, |commands| commands.failures());
        let told = failures.into_iter().map(|what| format!("the command of an alarm: {what}"));
        #[cfg(feature = "otlp")]
        let told = told.chain(self.pusher.as_mut().and_then(Pusher::news));
        told.collect()
    }

    /// Takes no more: what was begun comes to its end, within the time that it may take.
    pub(super) fn close(&mut self) {
        #[cfg(feature = "otlp")]
        if let Some(pusher) = &mut self.pusher {
            pusher.close();
        }
        if let Some(commands) = &self.commands {
            commands.close();
        }
    }

    /// Whether it did, after [`Duty::close`].
    pub(super) fn is_done(&self) -> bool {
        #[cfg(feature = "otlp")]
        if self.pusher.as_ref().is_some_and(|pusher| !pusher.is_done()) {
            return false;
        }
        !self.is_commanding()
    }

    /// Whether a command runs, or waits for its turn.
    pub(super) fn is_commanding(&self) -> bool {
        self.commands.as_ref().is_some_and(|commands| !commands.is_done())
    }

    /// Ends a command that runs.
    pub(super) fn abandon(&self) {
        if let Some(commands) = &self.commands {
            commands.abandon();
        }
    }
}
