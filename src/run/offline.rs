//! Capture files to the board, or to a list of frames.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::board::filter::{Filter, FrameFacts};
use crate::board::{Board, ClockOffset, ConnectionRow, StreamRow};
#[cfg(feature = "live")]
use crate::capture::filter::Filter as PacketFilter;
use crate::capture::order::Disorder;
use crate::capture::{Item, Source};
use crate::error::Error;
use crate::pipeline::rows::Rows;
use crate::pipeline::{Decoder, Pipeline, Sink};
use crate::vocab::capture::{CaptureFacts, Listed, put_together};
use crate::vocab::drops::Drops;
use crate::vocab::flow::FlowId;
use crate::vocab::frame::Frame;
use crate::vocab::limits::{Hit, Limits};
use crate::vocab::packet::Skip;
use crate::vocab::time::Stamp;
use crate::vocab::tls::KeyLines;

use super::progress::Progress;
use super::shard::{self, Shard};
use super::{clocks, secrets};

/// What to read.
#[derive(Clone, Debug, Default)]
pub struct Job {
    /// Captures; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// Nanoseconds to be added to the times of each capture, whose clock went wrong.
    pub clocks: Vec<i64>,
    /// Whether that is what the user told, and nothing else is to be looked for.
    pub clocks_told: bool,
    /// What of that the captures told by themselves.
    pub clock_offsets: Vec<ClockOffset>,
    /// TLS key logs that were asked for.
    pub keylogs: Vec<PathBuf>,
    /// A TLS key log that the environment names; it need not exist.
    pub keylog_of_environment: Option<PathBuf>,
    /// A packet filter in libpcap's language; packets that it does not pass are not analyzed.
    #[cfg(feature = "live")]
    pub filter: Option<String>,
    /// Whether a row is kept for each stream.
    pub streams: bool,
    /// Whether what metrics tell of connections is counted.
    pub meters: bool,
    /// Threads that work; as many as help where nobody says.
    pub threads: Option<NonZeroUsize>,
    /// Which frames are listed; a report has all connections.
    pub only: Option<Filter>,
    /// Which connections' timeouts, answer times and conflicts are in a report; without it all.
    pub measured: Option<Filter>,
    /// Bounds.
    pub limits: Limits,
}

/// Whether a capture can be read only once: standard input, and pipes of whatever name.
pub fn is_read_once(file: &Path) -> bool {
    file.as_os_str() == "-"
        || file.metadata().is_ok_and(|known| !known.is_file() && !known.is_dir())
}

/// Whether a capture can be read at all; what can be read only once is taken on trust.
///
/// # Errors
/// Why not.
pub fn probe(file: &Path) -> Result<(), Error> {
    if is_read_once(file) {
        return Ok(());
    }
    Source::open(&[file.to_path_buf()]).map(drop)
}

/// Reads everything into a board, which is the same whatever the number of threads.
///
/// # Errors
/// Where an input cannot be read at all.
pub fn report(job: &Job) -> Result<Board, Error> {
    report_with(job, &secrets::gather(job)?)
}

fn report_with(job: &Job, secrets: &[KeyLines]) -> Result<Board, Error> {
    let job = &clocks::put_right(job);
    // Files are nearly always in order of time; what turns out not to be is read again. A pipe
    // cannot be: it is judged by its beginning.
    let mut source = Source::open_shifted(&job.files, &job.clocks)?;
    if source.total_bytes().is_none() && source.read_ahead(job.limits.ahead_bytes) {
        source.sort_by_time(job.limits.sorting_bytes);
    }
    let doubt = source.total_bytes().map_or(Doubt::None, |_| Doubt::Again(Disorder::default()));
    if let Some(board) = board(job, secrets, source, doubt)? {
        return Ok(board);
    }
    let mut source = Source::open_shifted(&job.files, &job.clocks)?;
    source.sort_by_time(job.limits.sorting_bytes);
    Ok(board(job, secrets, source, Doubt::None)?.unwrap_or_default())
}

fn board(
    job: &Job,
    secrets: &[KeyLines],
    source: Source,
    doubt: Doubt,
) -> Result<Option<Board>, Error> {
    let mut decoder = Decoder::new(&job.limits);
    let threads = job.threads.map_or_else(shard::default_threads, NonZeroUsize::get);
    let mut shards = shards(job, secrets);
    if source.may_bring_secrets() {
        shards.iter_mut().for_each(|shard| shard.pipeline.expect_secrets());
    }
    let (read, shards) = shard::run(shards, threads, |feeder| {
        read(job, source, doubt, |item| {
            match item {
                Item::Packet(packet) => decoder.decode(packet).map(|it| feeder.push(&it))?,
                Item::Secrets(lines) => feeder.learn(lines),
            }
            Ok(ControlFlow::Continue(()))
        })
    });
    let Some(Done { mut captures, .. }) = read? else { return Ok(None) };
    put_together(&mut captures, decoder.joined_fragments());
    let mut rows = Rows::within(&job.limits).measure_only(job.measured.clone());
    let lost = Some(decoder.evicted_datagrams()).filter(|count| *count > 0);
    let mut hits: BTreeMap<Hit, u64> =
        lost.map(|count| (Hit::Fragments, count)).into_iter().collect();
    let mut key_log = None;
    let mut faults = Vec::new();
    for shard in shards {
        faults.extend_from_slice(shard.pipeline.faults());
        for (hit, count) in shard.pipeline.limit_hits() {
            let all: &mut u64 = hits.entry(hit).or_default();
            // Every shard has the same key logs.
            *all = if hit == Hit::KeyLog { count } else { *all + count };
        }
        key_log = shard.pipeline.key_log();
        rows.merge(shard.sink);
    }
    rows.dropped(Drops::of(&captures, job.limits.drop_stretches));
    let mut board = rows.into_board();
    board.captures = captures;
    clocks::tell(&job.clock_offsets, &mut board);
    board.key_log = key_log;
    faults.sort_by_key(|fault| fault.stamp.map(Stamp::order));
    faults.append(&mut board.faults);
    board.faults = faults;
    for (hit, count) in hits {
        *board.hits.entry(hit).or_default() += count;
    }
    Ok(Some(board))
}

fn shards(job: &Job, secrets: &[KeyLines]) -> Vec<Shard<Rows>> {
    let count = shard::count(&job.limits, secrets.iter().map(|text| text.len()).sum());
    let limits = job.limits.shared_by(count);
    let shard = |_| {
        let mut pipeline = Pipeline::new(&limits, secrets, job.streams);
        if job.meters {
            pipeline.meter();
        }
        let sink = Rows::within(&limits).measure_only(job.measured.clone());
        Shard { pipeline, sink }
    };
    (0..count).map(shard).collect()
}

/// Hands every frame to `each`, with its connection's number in the report.
/// Ends early where `each` fails.
///
/// # Errors
/// Where an input cannot be read at all, or what `each` says.
pub fn frames<E>(
    job: &Job,
    each: impl FnMut(u64, &Frame<'_>) -> Result<(), E>,
) -> Result<Result<Listed, E>, Error> {
    let job = &clocks::put_right(job);
    let only = job.only.as_ref();
    // Once: a named pipe cannot be read again.
    let secrets = secrets::gather(job)?;
    // Lines that were written cannot be taken back: this looks first.
    let asks = only.filter(|only| !only.is_of_frames());
    let twice = |only: &Filter| Error::Twice { text: only.text().to_owned() };
    if let Some(only) = asks.filter(|_| job.files.iter().any(|file| is_read_once(file))) {
        return Err(twice(only));
    }
    let mut source = Source::open_in_order(&job.files, &job.clocks, job.limits.sorting_bytes)?;
    // Lines of a pipe are held as well, so that nobody waits for the first.
    let mut doubt = Doubt::None;
    if source.total_bytes().is_none() {
        if source.read_ahead(job.limits.ahead_bytes) {
            source.sort_by_time(job.limits.sorting_bytes);
        } else {
            doubt = Doubt::Sort(Disorder::default(), job.limits.sorting_bytes);
        }
    }
    // A pipe cannot be read twice: its connections are numbered in order of their first frames.
    let rows = match asks {
        _ if source.total_bytes().is_some() => Known::of(job, asks, &secrets)?,
        Some(only) => return Err(twice(only)),
        None => Known::default(),
    };
    let mut lister = Lister { numbers: rows.numbers(), only, rows, each, failure: None };
    let mut pipeline = Pipeline::new(&job.limits, &secrets, false);
    if source.may_bring_secrets() {
        pipeline.expect_secrets();
    }
    let done = read(job, source, doubt, |item| {
        match item {
            Item::Packet(packet) => pipeline.push(packet, &mut lister)?,
            Item::Secrets(lines) => pipeline.add_secrets(lines, &mut lister),
        }
        Ok(match lister.failure {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        })
    })?;
    pipeline.finish(&mut lister);
    Ok(match lister.failure {
        Some(failure) => Err(failure),
        None => {
            let faults = pipeline.faults().to_vec();
            let Done { captures, sorted_behind } = done.unwrap_or_default();
            let clock_offsets = job.clock_offsets.clone();
            Ok(Listed { captures, clock_offsets, sorted_behind, faults })
        }
    })
}

/// What a first reading tells: how the report numbers the connections, and what filters ask for
/// that a frame does not have.
#[derive(Default)]
struct Known {
    /// In the order of the report.
    order: Vec<FlowId>,
    rows: FxHashMap<FlowId, (Arc<ConnectionRow>, FxHashMap<u32, StreamRow>)>,
}

impl Known {
    fn of(job: &Job, only: Option<&Filter>, secrets: &[KeyLines]) -> Result<Self, Error> {
        let streams = only.is_some_and(Filter::wants_streams);
        let board = report_with(&Job { streams, ..job.clone() }, secrets)?;
        let order = board.connections.iter().map(|row| row.flow).collect();
        let rows = board.connections.into_iter().map(|mut row| {
            let streams = std::mem::take(&mut Arc::make_mut(&mut row).stream_list).into_iter();
            (row.flow, (row, streams.map(|stream| (stream.id, stream)).collect()))
        });
        Ok(Self { rows: rows.collect(), order })
    }

    /// Each connection's number in the report.
    fn numbers(&self) -> FxHashMap<FlowId, u64> {
        self.order.iter().copied().zip(1..).collect()
    }

    fn passes(&self, only: &Filter, flow: FlowId, frame: &Frame<'_>) -> bool {
        let kind = frame.type_name();
        let facts = FrameFacts::of(frame, &kind);
        let known = self.rows.get(&flow);
        let stream = known.and_then(|(_, streams)| streams.get(&frame.head.stream));
        only.frame(facts, known.map(|(row, _)| row.as_ref()), stream)
    }
}

struct Lister<'a, F, E> {
    numbers: FxHashMap<FlowId, u64>,
    only: Option<&'a Filter>,
    rows: Known,
    each: F,
    failure: Option<E>,
}

impl<E, F: FnMut(u64, &Frame<'_>) -> Result<(), E>> Sink for Lister<'_, F, E> {
    fn frame(&mut self, flow: FlowId, frame: &Frame<'_>) {
        if self.failure.is_some() {
            return;
        }
        let next = self.numbers.len() as u64 + 1;
        let number = *self.numbers.entry(flow).or_insert(next);
        if self.only.is_none_or(|only| self.rows.passes(only, flow, frame)) {
            self.failure = (self.each)(number, frame).err();
        }
    }
}

/// What is done where packets turn out to be out of order of time.
enum Doubt {
    /// Nothing.
    None,
    /// All is read again.
    Again(Disorder),
    /// What is still to come is put in order, as far as so many octets can wait.
    Sort(Disorder, usize),
}

/// What a reading gives.
#[derive(Default)]
struct Done {
    captures: Vec<CaptureFacts>,
    /// Behind which packet the others were put in order of time.
    sorted_behind: Option<Stamp>,
}

/// Hands every packet that passes the filter, and secrets that come between them, to `each`, which
/// says why it is of no use, or whether to go on; gives what was counted. `None` where all is to be
/// read again.
fn read(
    job: &Job,
    mut source: Source,
    mut doubt: Doubt,
    mut each: impl FnMut(&Item<'_>) -> Result<ControlFlow<()>, Skip>,
) -> Result<Option<Done>, Error> {
    #[cfg(feature = "live")]
    let mut filter = job.filter.as_deref().map(PacketFilter::new).transpose()?;
    let mut progress = Progress::new(source.total_bytes());
    let mut skips: Vec<BTreeMap<Skip, u64>> = vec![BTreeMap::new(); job.files.len()];
    let mut sorted_behind = None;
    loop {
        if let Doubt::Sort(_, octets) = doubt
            && sorted_behind.is_some()
        {
            source.sort_by_time(octets);
            doubt = Doubt::None;
        }
        progress.packet(|| source.bytes_read());
        let Some(item) = source.next_item() else { break };
        let Item::Packet(packet) = &item else {
            // Of no use is a packet at most.
            let _ = each(&item);
            continue;
        };
        match &mut doubt {
            Doubt::Again(disorder) => {
                if disorder.sees(packet.stamp.at) {
                    return Ok(None);
                }
            }
            Doubt::Sort(disorder, _) => {
                sorted_behind = disorder.sees(packet.stamp.at).then_some(packet.stamp);
            }
            Doubt::None => {}
        }
        #[cfg(feature = "live")]
        if filter.as_mut().is_some_and(|filter| !filter.passes(packet)) {
            continue;
        }
        let capture = packet.stamp.capture();
        match each(&item) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => break,
            Err(skip) => {
                if let Some(skips) = skips.get_mut(capture) {
                    *skips.entry(skip).or_default() += 1;
                }
            }
        }
    }
    let mut captures = source.facts();
    for (facts, skipped) in captures.iter_mut().zip(skips) {
        facts.skipped = skipped;
    }
    Ok(Some(Done { captures, sorted_behind }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange;
    use crate::pipeline::inject;
    use crate::report::{Style, json, text};

    /// A capture of so many packets, the last one first.
    fn backwards(packets: u32) -> Vec<u8> {
        let words: [u32; 6] = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 262_144, 1];
        let records = (0..packets).rev().flat_map(|second| [second, 0, 4, 4, 0]);
        words.into_iter().chain(records).flat_map(u32::to_le_bytes).collect()
    }

    #[test]
    fn what_comes_behind_the_packets_that_show_disorder_is_put_in_order() {
        let file = std::env::temp_dir().join(format!("goawhy-order-{}.pcap", std::process::id()));
        std::fs::write(&file, backwards(9)).unwrap();
        let job = Job { files: vec![file.clone()], ..Job::default() };
        let source = Source::open(&job.files).unwrap();
        let mut order = Vec::new();
        let doubt = Doubt::Sort(Disorder::default(), 1 << 20);
        let done = read(&job, source, doubt, |item| {
            let Item::Packet(packet) = item else { return Ok(ControlFlow::Continue(())) };
            order.push(packet.stamp.packet());
            Ok(ControlFlow::Continue(()))
        });
        let behind = done.unwrap().unwrap().sorted_behind.unwrap();
        assert_eq!((order, behind.packet()), (vec![1, 2, 3, 4, 9, 8, 7, 6, 5], 4));
        let listed = Listed { sorted_behind: Some(behind), ..Listed::default() };
        let told = crate::report::listed(&listed, false);
        assert!(told[0].contains("from packet 4 on they are put in order"), "{told:?}");
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn a_step_that_fails_at_the_end_costs_what_it_would_have_added() {
        let file = std::env::temp_dir().join(format!("goawhy-steps-{}.pcap", std::process::id()));
        std::fs::write(&file, exchange::pcap(inject::SCRIPT).unwrap()).unwrap();
        let only = Filter::new("cause:graceful_shutdown").ok();
        let job = Job { files: vec![file.clone()], measured: only, ..Job::default() };
        let mut steps = 0;
        loop {
            inject::fail_at_step(steps);
            let board = report(&job).unwrap();
            assert_eq!(board.connections.len(), 2, "step {steps}");
            assert!(board.connections.iter().all(|row| row.goaways.len() == 1), "step {steps}");
            if inject::is_armed() {
                assert!(board.faults.is_empty());
                break;
            }
            assert_eq!(board.faults.len(), 1, "step {steps}");
            steps += 1;
        }
        assert!(steps >= 10, "{steps}");
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn faults_beyond_those_that_are_told_are_counted() {
        let file = std::env::temp_dir().join(format!("goawhy-faults-{}.pcap", std::process::id()));
        let script =
            inject::SCRIPT.replace("FAULT", inject::PLACES[1]).replace("well", inject::PLACES[1]);
        std::fs::write(&file, exchange::pcap(&script).unwrap()).unwrap();
        let limits = Limits { faults: 1, flows: 16, ..Limits::default() };
        let board = report(&Job { files: vec![file.clone()], limits, ..Job::default() }).unwrap();
        std::fs::remove_file(file).unwrap();
        assert_eq!((board.faults.len(), board.hits.get(&Hit::Faults)), (1, Some(&1)));
    }

    #[test]
    fn a_connection_that_fails_is_left_out_and_told_whatever_the_threads() {
        for (number, place) in inject::PLACES.into_iter().enumerate() {
            let file = format!("goawhy-fault-{}-{number}.pcap", std::process::id());
            let file = std::env::temp_dir().join(file);
            let script = inject::SCRIPT.replace("FAULT", place);
            std::fs::write(&file, exchange::pcap(&script).unwrap()).unwrap();
            let told = [1, 4].map(|threads| {
                let threads = NonZeroUsize::new(threads);
                let job = Job { files: vec![file.clone()], threads, ..Job::default() };
                let board = report(&job).unwrap();
                let (mut lines, mut object) = (Vec::new(), Vec::new());
                let options = text::Options {
                    style: Style { width: 200, ..Style::default() },
                    ..Default::default()
                };
                text::write(&mut lines, &board, &options).unwrap();
                json::write(&mut object, &board, &json::Options::default()).unwrap();
                (String::from_utf8(lines).unwrap(), String::from_utf8(object).unwrap())
            });
            assert_eq!(told[0], told[1], "{place}");
            let (lines, object) = &told[0];
            let object: serde_json::Value = serde_json::from_str(object).unwrap();
            let looks = place == inject::PLACES[2]; // a report looks at nothing before its end
            let faults = object["faults"].as_array().unwrap();
            assert_eq!(faults.len(), usize::from(!looks), "{place}");
            let rows = object["connections"].as_array().unwrap();
            assert_eq!(rows.len(), if looks { 2 } else { 1 });
            assert_eq!(rows[rows.len() - 1]["goaways"][0]["verdict"]["cause"], "graceful_shutdown");
            if let Some(fault) = faults.first() {
                assert_eq!(
                    fault["between"],
                    serde_json::json!(["10.0.0.1:40001", "10.0.0.2:8080"])
                );
                let packet = fault["packet"].as_u64().unwrap();
                let sentence = format!(
                    "the connection 10.0.0.1:40001 - 10.0.0.2:8080 is left out from packet \
                     {packet} on"
                );
                assert!(lines.contains(&sentence), "{lines}");
            }
            let mut listed = std::collections::BTreeSet::new();
            let job = Job { files: vec![file.clone()], ..Job::default() };
            let done = frames(&job, |number, _| {
                listed.insert(number);
                Ok::<(), ()>(())
            });
            assert_eq!(done.unwrap().unwrap().faults.len(), usize::from(!looks), "{place}");
            assert!(!listed.is_empty());
            std::fs::remove_file(file).unwrap();
        }
    }
}
