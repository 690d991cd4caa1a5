//! The command that an alarm starts: what set it off comes on its standard input.
//!
//! Nothing from the wire becomes a part of the command. One runs at a time, for a while at most;
//! what comes meanwhile waits, and what finds no room is counted.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// A command, and the thread that starts it.
#[derive(Debug)]
pub struct Commands {
    line: String,
    begun: Mutex<Option<Begun>>,
}

#[derive(Debug)]
struct Begun {
    inputs: Option<SyncSender<Vec<u8>>>,
    thread: JoinHandle<()>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    failures: Mutex<Vec<String>>,
    /// When all has to be over, once it is to end.
    until: Mutex<Option<Instant>>,
}

impl Shared {
    fn tell(&self, what: String) {
        let mut failures = lock(&self.failures);
        if failures.len() < WAITING {
            failures.push(what);
        }
    }

    fn is_over(&self) -> bool {
        lock(&self.until).is_some_and(|until| Instant::now() >= until)
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Commands {
    /// A line for `/bin/sh -c`.
    pub fn new(line: String) -> Self {
        Self { line, begun: Mutex::new(None) }
    }

    /// Starts the thread, unless that was done, as whoever this thread is: call it when root is
    /// given up, and before what would keep commands from starting.
    pub(super) fn begin(&self) {
        if lock(&self.begun).is_none() {
            self.begin_with(work);
        }
    }

    /// The same as another user, where this thread has to stay root.
    ///
    /// # Errors
    /// Where the thread cannot become that user: then no command will be started.
    #[cfg(target_os = "linux")]
    pub(super) fn begin_as(&self, user: u32, group: u32) -> io::Result<()> {
        let (sender, lowered) = sync_channel(1);
        self.begin_with(move |line, received, told| {
            let done = lower(user, group);
            let works = done.is_ok();
            let _ = sender.send(done);
            if works {
                work(line, received, told);
            }
        });
        lowered.recv().map_err(io::Error::other)?
    }

    fn begin_with(&self, works: impl FnOnce(&str, &Receiver<Vec<u8>>, &Shared) + Send + 'static) {
        let (inputs, received) = sync_channel(WAITING);
        let (line, shared) = (self.line.clone(), Arc::<Shared>::default());
        let told = Arc::clone(&shared);
        let thread = thread::spawn(move || works(&line, &received, &told));
        *lock(&self.begun) = Some(Begun { inputs: Some(inputs), thread, shared });
    }

    /// Has the command started with this input. Says what failed since the last call.
    pub(super) fn start(&self, input: Vec<u8>) {
        let mut begun = lock(&self.begun);
        let Some(begun) = begun.as_mut() else { return };
        let sent = begun.inputs.as_ref().map(|inputs| inputs.try_send(input));
        if matches!(sent, Some(Err(TrySendError::Full(_)))) {
            begun.shared.tell("it was not started: earlier ones still run".to_owned());
        }
    }

    /// What failed since the last call.
    pub(super) fn failures(&self) -> Vec<String> {
        let begun = lock(&self.begun);
        let Some(begun) = begun.as_ref() else { return Vec::new() };
        std::mem::take(&mut *lock(&begun.shared.failures))
    }

    /// Takes no more. What runs and what waits may take as long as one may.
    pub(super) fn close(&self) {
        self.end(PATIENCE);
    }

    /// Ends the one that runs, and waits a moment for that.
    pub(super) fn abandon(&self) {
        self.end(Duration::ZERO);
        while !self.is_done() {
            thread::sleep(LOOK);
        }
    }

    fn end(&self, after: Duration) {
        let mut begun = lock(&self.begun);
        let Some(begun) = begun.as_mut() else { return };
        begun.inputs = None;
        *lock(&begun.shared.until) = Some(Instant::now() + after);
    }

    /// Whether nothing runs or waits any more, after [`Commands::close`]; also where one could not
    /// be ended.
    pub(super) fn is_done(&self) -> bool {
        let begun = lock(&self.begun);
        begun.as_ref().is_none_or(|begun| {
            let late = |until: Instant| Instant::now() >= until + GRACE;
            begun.thread.is_finished() || lock(&begun.shared.until).is_some_and(late)
        })
    }
}

/// This thread, and what it starts, becomes another user; with root go all capabilities.
#[cfg(target_os = "linux")]
fn lower(user: u32, group: u32) -> io::Result<()> {
    use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
    let (user, group) =
        (rustix::process::Uid::from_raw(user), rustix::process::Gid::from_raw(group));
    set_thread_groups(&[group])?;
    set_thread_res_gid(group, group, group)?;
    Ok(set_thread_res_uid(user, user, user)?)
}

fn work(line: &str, inputs: &Receiver<Vec<u8>>, shared: &Shared) {
    let mut left = 0_usize;
    for input in inputs {
        if shared.is_over() {
            left += 1;
        } else if let Err(what) = once(line, input, shared) {
            shared.tell(what);
        }
    }
    if left > 0 {
        let what = format!("not started for {left} more, for this ends");
        lock(&shared.failures).push(what);
    }
}

fn once(line: &str, input: Vec<u8>, shared: &Shared) -> Result<(), String> {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(line).current_dir("/").process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::inherit());
    let mut child = command.spawn().map_err(|error| format!("it cannot be started: {error}"))?;
    // One that does not read is not waited for: its end closes the pipe.
    if let Some(mut pipe) = child.stdin.take() {
        thread::spawn(move || pipe.write_all(&input));
    }
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("it failed: {status}")),
            Ok(None) if begun.elapsed() < PATIENCE && !shared.is_over() => thread::sleep(LOOK),
            Ok(None) => {
                kill(&mut child);
                return Err(format!("it was ended after {} s", begun.elapsed().as_secs()));
            }
            Err(error) => return Err(format!("it is lost: {error}")),
        }
    }
}

/// With all that it started.
fn kill(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Inputs that wait for their turn.
const WAITING: usize = 16;
/// Time that a command may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Time that ending it may take.
const GRACE: Duration = Duration::from_secs(1);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    fn finish(commands: &Commands) {
        commands.close();
        while !commands.is_done() {
            thread::sleep(LOOK);
        }
    }

    #[test]
    fn the_input_reaches_the_command_and_nothing_else_does() {
        let file = std::env::temp_dir().join(format!("goawhy-exec-{}", std::process::id()));
        let commands = Commands::new(format!("cat > {}", file.display()));
        commands.begin();
        commands.start(b"{\"debug\":\"$(reboot) `id`\"}".to_vec());
        finish(&commands);
        let written = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_file(file).unwrap();
        assert_eq!(written, "{\"debug\":\"$(reboot) `id`\"}");
    }

    #[test]
    fn what_fails_is_told_and_what_does_not_read_does_no_harm() {
        let commands = Commands::new("exit 7".to_owned());
        commands.begin();
        commands.start(vec![b' '; 1 << 20]);
        let until = Instant::now() + Duration::from_secs(10);
        let mut failures = Vec::new();
        while failures.is_empty() && Instant::now() < until {
            failures = commands.failures();
            thread::sleep(LOOK);
        }
        finish(&commands);
        assert_eq!(failures, ["it failed: exit status: 7"]);
    }

    #[test]
    fn more_than_can_wait_is_told() {
        let commands = Commands::new("sleep 0.3".to_owned());
        commands.begin();
        (0..WAITING + 2).for_each(|_| commands.start(Vec::new()));
        assert!(commands.failures().iter().any(|what| what.contains("not started")));
        // Not waited for: they would take seconds.
        commands.abandon();
    }

    #[test]
    fn what_runs_at_the_end_is_ended_with_its_offspring_and_the_rest_is_told() {
        let file = std::env::temp_dir().join(format!("goawhy-late-{}", std::process::id()));
        let _ = std::fs::remove_file(&file);
        let commands = Commands::new(format!("(sleep 2; echo late > {}) & wait", file.display()));
        commands.begin();
        (0..3).for_each(|_| commands.start(Vec::new()));
        thread::sleep(Duration::from_millis(300));
        let begun = Instant::now();
        commands.abandon();
        assert!(begun.elapsed() < Duration::from_secs(1));
        let failures = commands.failures();
        assert_eq!(failures, ["it was ended after 0 s", "not started for 2 more, for this ends"]);
        thread::sleep(Duration::from_millis(2_500));
        assert!(!file.exists());
    }
}
