//! Opens what is to be captured, gives up what is not needed any more, starts the threads.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::board::snapshot::InterfaceFacts;
use crate::capture::live::{Tap, interfaces};
use crate::capture::save::Described;
use crate::error::Error;
use crate::pipeline::Pipeline;
use crate::pipeline::moving::Moving;
use crate::vocab::capture::CaptureFacts;
use crate::vocab::packet::LinkType;
use crate::vocab::tls::KeyLines;

use super::live::{Job, Notice};
use super::publish::Publisher;
use super::queue::Queue;
use super::recent::Recent;
use super::save::{Opened, Recorder, folder};
use super::secrets::Follow;
use super::stage::{Counters, Stage};
use super::tap;

/// Everything up to the thread that analyzes, which is the caller's to start.
pub(super) fn stage(
    job: &Job,
    made: Option<File>,
    publisher: Publisher,
    recent: Option<Arc<Recent>>,
    stop: Arc<AtomicBool>,
    reopen: Arc<AtomicBool>,
    notice: Notice<'_>,
) -> Result<Stage, Error> {
    let is_pipe = job.interfaces.iter().all(|name| name == "-");
    let mut follow = Follow::open(&job.keylogs, job.keylog_of_environment.clone(), &job.limits)?;
    let taps = if is_pipe { Vec::new() } else { taps(job)? };
    let described = described(job, &taps);
    let (returned, spares) = sync_channel(SPARES);
    let begun = job.save.clone().map(|target| Recorder::open(target, described)).transpose()?;
    #[cfg(target_os = "linux")]
    let namer = {
        let made: Vec<&File> = made.iter().chain(begun.iter().filter_map(Opened::made)).collect();
        give_up(job, &made, !is_pipe && job.processes, &stop, notice)?
    };
    #[cfg(not(target_os = "linux"))]
    job.commands.iter().for_each(|commands| commands.begin());
    let memory = usize::try_from(job.memory).unwrap_or(usize::MAX);
    let queue = Arc::new(Queue::new(memory / QUEUE, taps.len().max(1)));
    let interfaces = Arc::new(Mutex::new(facts_before(job, is_pipe)));
    for (source, tap) in (0_u16..).zip(taps) {
        let (queue, facts) = (Arc::clone(&queue), Arc::clone(&interfaces));
        tap::interface(tap, source, queue, facts, Arc::clone(&stop));
    }
    let mut brings_secrets = false;
    if is_pipe {
        let (queue, facts) = (Arc::clone(&queue), Arc::clone(&interfaces));
        brings_secrets = tap::pipe(PathBuf::from("-"), queue, facts, Arc::clone(&stop))?;
    }
    let secrets = follow.poll();
    if let Some(recent) = &recent {
        secrets.iter().for_each(|lines| recent.learn(lines));
    }
    let recorder = begun.map(|opened| opened.begin(returned, memory / SAVED));
    if let Some(recorder) = &recorder {
        secrets.iter().for_each(|lines| recorder.embed(lines));
    }
    let pipeline = pipeline(job, &secrets, !follow.is_empty() || brings_secrets);
    Ok(Stage {
        queue,
        pipeline,
        follow,
        rows: Moving::within(memory / ROWS),
        publisher,
        recent,
        recorder,
        spares,
        #[cfg(target_os = "linux")]
        namer,
        interfaces,
        facts: CaptureFacts {
            file: job.interfaces.iter().map(|name| shown(name)).collect::<Vec<_>>().join(", "),
            format: "live".to_owned(),
            ..CaptureFacts::default()
        },
        stop,
        reopen,
        // What nobody saves, or looks closer at, flows may take.
        memory: memory / 8 * (4 - usize::from(job.save.is_some()) - usize::from(job.details)),
        count: job.count,
        until: job.duration.map(|duration| Instant::now() + duration),
        state: Counters::new(),
    })
}

/// What analyzes; with `waits`, TLS whose secrets are not there yet is kept for them.
fn pipeline(job: &Job, secrets: &[KeyLines], waits: bool) -> Pipeline {
    let mut pipeline = Pipeline::new(&job.limits, secrets, false);
    if job.meters {
        pipeline.meter();
    }
    if waits {
        pipeline.expect_secrets();
    }
    pipeline
}

/// What is known of each interface before anything came.
fn facts_before(job: &Job, is_pipe: bool) -> Vec<InterfaceFacts> {
    let known = if is_pipe { Vec::new() } else { interfaces().unwrap_or_default() };
    let facts = |name: &String| {
        let loopback = known.iter().any(|of| of.name == *name && of.loopback);
        let loopback = loopback && cfg!(target_os = "linux");
        InterfaceFacts { name: shown(name), loopback, ..InterfaceFacts::default() }
    };
    job.interfaces.iter().map(facts).collect()
}

fn shown(name: &str) -> String {
    if name == "-" { "standard input".to_owned() } else { name.to_owned() }
}

fn taps(job: &Job) -> Result<Vec<Tap>, Error> {
    job.interfaces.iter().map(|name| Tap::open(name, &job.options)).collect()
}

fn described(job: &Job, taps: &[Tap]) -> Vec<Described> {
    let of = |name: &str, link| Described {
        name: name.to_owned(),
        link,
        snap_length: job.options.snap_length,
        filter: job.options.filter.clone(),
    };
    if taps.is_empty() {
        return vec![of("-", LinkType::ETHERNET)];
    }
    taps.iter().map(|tap| of(tap.name(), tap.link())).collect()
}

/// Gives up what is not needed once captures and files are open. The thread that names programs
/// comes first: Landlock would not let it look into other processes. A pipe's packets come from
/// elsewhere, whatever addresses they have: there `names` is false.
#[cfg(target_os = "linux")]
fn give_up(
    job: &Job,
    made: &[&File],
    names: bool,
    stop: &Arc<AtomicBool>,
    notice: Notice<'_>,
) -> Result<Option<super::process::Namer>, Error> {
    use super::{privilege, process::Namer};
    use caps::Capability;

    // What is no regular file is open already, and never made anew in its folder.
    let is_made = |file: &&PathBuf| file.metadata().map_or(true, |known| known.is_file());
    let files = job.outputs.iter().chain(job.save.iter().map(|target| &target.file));
    let writes: Vec<PathBuf> = files.filter(is_made).map(|file| folder(file).to_owned()).collect();
    if job.wish.drop_user {
        // To look into other users' processes.
        let naming = [Capability::CAP_SYS_PTRACE, Capability::CAP_DAC_READ_SEARCH];
        let kept = if names { &naming[..] } else { &[] };
        let done = privilege::drop_user(&writes, made, kept, job.commands.as_deref());
        notice(&done.map_err(|what| Error::GiveUp { what })?, false);
    }
    let namer = names.then(|| Namer::begin(Arc::clone(stop)));
    if let Some(commands) = &job.commands {
        commands.begin(); // Landlock would not let it start them
    }
    if job.wish.sandbox {
        let logs = job.keylogs.iter().chain(&job.keylog_of_environment);
        let reads: Vec<PathBuf> = logs.map(|file| folder(file).to_owned()).collect();
        // Whoever looks closer at a screen types, and may write the report where he stands.
        let screen = job.details.then_some(["/dev/tty", "."]).into_iter().flatten();
        let writes: Vec<PathBuf> = writes.into_iter().chain(screen.map(PathBuf::from)).collect();
        notice(&privilege::sandbox(&reads, &writes, job.connects), false);
    }
    Ok(namer)
}

/// Part of the memory for packets that wait, which is taken twice: one piece fills while the other
/// is analyzed.
const QUEUE: usize = 16;
/// Part for packets that wait for the disk.
const SAVED: usize = 16;
/// Part for rows of closed connections.
const ROWS: usize = 4;
/// Pieces of memory that wait to be used again; each may be as large as a queue.
const SPARES: usize = 1;
