//! Capture files to the board, or to a list of frames.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;

use crate::board::Board;
use crate::capture::Source;
#[cfg(feature = "live")]
use crate::capture::filter::Filter;
use crate::error::Error;
use crate::pipeline::rows::Rows;
use crate::pipeline::{Pipeline, Sink};
use crate::vocab::capture::CaptureFacts;
use crate::vocab::flow::FlowId;
use crate::vocab::frame::Frame;
use crate::vocab::limits::{Hit, Limits};
use crate::vocab::packet::Skip;

use super::progress::Progress;
use super::secrets;

/// What to read.
#[derive(Clone, Debug, Default)]
pub struct Job {
    /// Captures; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// TLS key logs that were asked for.
    pub keylogs: Vec<PathBuf>,
    /// A TLS key log that the environment names; it need not exist.
    pub keylog_of_environment: Option<PathBuf>,
    /// A packet filter in libpcap's language; packets that it does not pass are not analyzed.
    #[cfg(feature = "live")]
    pub filter: Option<String>,
    /// Whether a row is kept for each stream.
    pub streams: bool,
    /// Bounds.
    pub limits: Limits,
}

/// Whether a capture can be read at all; standard input is taken on trust.
///
/// # Errors
/// Why not.
pub fn probe(file: &Path) -> Result<(), Error> {
    if file.as_os_str() == "-" {
        return Ok(());
    }
    Source::open(&[file.to_path_buf()]).map(drop)
}

/// Reads everything into a board.
///
/// # Errors
/// Where an input cannot be read at all.
pub fn report(job: &Job) -> Result<Board, Error> {
    let mut rows = Rows::default();
    let (captures, hits) = read(job, job.streams, &mut rows, |_| false)?;
    let mut board = rows.into_board();
    board.captures = captures;
    for (hit, count) in hits {
        *board.hits.entry(hit).or_default() += count;
    }
    Ok(board)
}

/// Hands every frame to `each`, with its connection's number in order of first frames, from 1.
/// Ends early where `each` fails.
///
/// # Errors
/// Where an input cannot be read at all, or what `each` says.
pub fn frames<E>(
    job: &Job,
    each: impl FnMut(u64, &Frame<'_>) -> Result<(), E>,
) -> Result<Result<Vec<CaptureFacts>, E>, Error> {
    let mut lister = Lister { numbers: FxHashMap::default(), each, failure: None };
    let (captures, _) = read(job, false, &mut lister, |lister| lister.failure.is_some())?;
    Ok(match lister.failure {
        Some(failure) => Err(failure),
        None => Ok(captures),
    })
}

struct Lister<F, E> {
    numbers: FxHashMap<FlowId, u64>,
    each: F,
    failure: Option<E>,
}

impl<E, F: FnMut(u64, &Frame<'_>) -> Result<(), E>> Sink for Lister<F, E> {
    fn frame(&mut self, flow: FlowId, frame: &Frame<'_>) {
        if self.failure.is_some() {
            return;
        }
        let next = self.numbers.len() as u64 + 1;
        let number = *self.numbers.entry(flow).or_insert(next);
        self.failure = (self.each)(number, frame).err();
    }
}

type Skips = Vec<BTreeMap<Skip, u64>>;
type Hits = BTreeMap<Hit, u64>;

fn read<S: Sink>(
    job: &Job,
    keep_rows: bool,
    sink: &mut S,
    is_enough: impl Fn(&S) -> bool,
) -> Result<(Vec<CaptureFacts>, Hits), Error> {
    #[cfg(feature = "live")]
    let mut filter = job.filter.as_deref().map(Filter::new).transpose()?;
    let secrets = secrets::gather(job)?;
    let mut source = Source::open(&job.files)?;
    let mut pipeline = Pipeline::new(&job.limits, &secrets, keep_rows);
    let mut progress = Progress::new(source.total_bytes());
    let mut skips: Skips = vec![BTreeMap::new(); job.files.len()];
    loop {
        progress.packet(|| source.bytes_read());
        let Some(packet) = source.next() else { break };
        #[cfg(feature = "live")]
        if filter.as_mut().is_some_and(|filter| !filter.passes(&packet)) {
            continue;
        }
        if let Err(skip) = pipeline.push(&packet, sink)
            && let Some(skips) = skips.get_mut(packet.stamp.capture())
        {
            *skips.entry(skip).or_default() += 1;
        }
        if is_enough(sink) {
            break;
        }
    }
    pipeline.finish(sink);
    let mut captures = source.facts();
    for (facts, skipped) in captures.iter_mut().zip(skips) {
        facts.skipped = skipped;
    }
    let (evicted, early) = pipeline.limit_hits();
    let hits = [(Hit::Flows, evicted), (Hit::EarlyBytes, early)];
    Ok((captures, hits.into_iter().filter(|(_, count)| *count > 0).collect()))
}
