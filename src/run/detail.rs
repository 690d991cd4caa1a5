//! One connection in detail: captures are read again for its frames and streams alone.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::board::detail::{Detail, DetailState};
use crate::capture::Source;
#[cfg(feature = "live")]
use crate::capture::filter::Filter;
use crate::error::Error;
use crate::pipeline::Pipeline;
use crate::pipeline::detail::{Collector, Wanted};

use super::offline::Job;
use super::secrets;

/// Reads frames and streams of a connection; ends early where `stop` is set.
pub(super) fn read(job: &Job, wanted: Wanted, stop: &AtomicBool) -> Detail {
    let mut collector = Collector::new(wanted, &job.limits);
    let error = fill(job, &mut collector, stop).err().map(|error| error.to_string());
    let detail = collector.into_detail();
    Detail { state: DetailState::Whole, error, ..detail }
}

fn fill(job: &Job, collector: &mut Collector, stop: &AtomicBool) -> Result<(), Error> {
    #[cfg(feature = "live")]
    let mut filter = job.filter.as_deref().map(Filter::new).transpose()?;
    let secrets = secrets::gather(job)?;
    let mut source = Source::open_in_order(&job.files, job.limits.sorting_bytes)?;
    let mut pipeline = Pipeline::new(&job.limits, &secrets, true);
    pipeline.follow_only(collector.key());
    while let Some(packet) = source.next() {
        #[cfg(feature = "live")]
        if filter.as_mut().is_some_and(|filter| !filter.passes(&packet)) {
            continue;
        }
        // What a packet is good for was counted when it was read first.
        let _ = pipeline.push(&packet, collector);
        if collector.is_done() || stop.load(Ordering::Relaxed) {
            break;
        }
    }
    pipeline.finish(collector);
    Ok(())
}
