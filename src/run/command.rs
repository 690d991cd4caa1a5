//! The command that an alarm starts: what set it off comes on its standard input.
//!
//! Nothing from the wire becomes a part of the command. One runs at a time, for a while at most;
//! what comes meanwhile waits, and what finds no room is counted.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
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
    failures: Arc<Mutex<Vec<String>>>,
}

impl Commands {
    /// A line for `/bin/sh -c`.
    pub fn new(line: String) -> Self {
        Self { line, begun: Mutex::new(None) }
    }

    /// Starts the thread, as whoever this thread is: call it when root is given up, and before what
    /// would keep commands from starting.
    pub(super) fn begin(&self) {
        let (inputs, received) = sync_channel(WAITING);
        let (line, failures) = (self.line.clone(), Arc::<Mutex<Vec<String>>>::default());
        let told = Arc::clone(&failures);
        let thread = thread::spawn(move || work(&line, &received, &told));
        let begun = Begun { inputs: Some(inputs), thread, failures };
        *self.begun.lock().unwrap_or_else(PoisonError::into_inner) = Some(begun);
    }

    /// Has the command started with this input. Says what failed since the last call.
    pub(super) fn start(&self, input: Vec<u8>) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(begun) = begun.as_mut() else { return };
        let sent = begun.inputs.as_ref().map(|inputs| inputs.try_send(input));
        if matches!(sent, Some(Err(TrySendError::Full(_)))) {
            tell(&begun.failures, "it was not started: earlier ones still run".to_owned());
        }
    }

    /// What failed since the last call.
    pub(super) fn failures(&self) -> Vec<String> {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(begun) = begun.as_ref() else { return Vec::new() };
        std::mem::take(&mut *begun.failures.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for what was begun, as long as one may take.
    pub(super) fn finish(&self) {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut begun) = begun else { return };
        begun.inputs = None;
        let patience = Instant::now() + PATIENCE + GRACE;
        while !begun.thread.is_finished() && Instant::now() < patience {
            thread::sleep(LOOK);
        }
    }
}

fn work(line: &str, inputs: &Receiver<Vec<u8>>, failures: &Mutex<Vec<String>>) {
    for input in inputs {
        if let Err(what) = once(line, input) {
            tell(failures, what);
        }
    }
}

fn tell(failures: &Mutex<Vec<String>>, what: String) {
    let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
    if failures.len() < WAITING {
        failures.push(what);
    }
}

fn once(line: &str, input: Vec<u8>) -> Result<(), String> {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(line).current_dir("/").process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::inherit());
    let mut child = command.spawn().map_err(|error| format!("it cannot be started: {error}"))?;
    // One that does not read is not waited for: its end closes the pipe.
    if let Some(mut pipe) = child.stdin.take() {
        thread::spawn(move || pipe.write_all(&input));
    }
    let until = Instant::now() + PATIENCE;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("it failed: {status}")),
            Ok(None) if Instant::now() < until => thread::sleep(LOOK),
            Ok(None) => {
                kill(&mut child);
                return Err(format!("it was ended after {} s", PATIENCE.as_secs()));
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
const PATIENCE: Duration = Duration::from_secs(30);
/// Time that ending it may take.
const GRACE: Duration = Duration::from_secs(1);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_input_reaches_the_command_and_nothing_else_does() {
        let file = std::env::temp_dir().join(format!("goawhy-exec-{}", std::process::id()));
        let commands = Commands::new(format!("cat > {}", file.display()));
        commands.begin();
        commands.start(b"{\"debug\":\"$(reboot) `id`\"}".to_vec());
        commands.finish();
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
        commands.finish();
        assert_eq!(failures, ["it failed: exit status: 7"]);
    }

    #[test]
    fn more_than_can_wait_is_told() {
        let commands = Commands::new("sleep 0.3".to_owned());
        commands.begin();
        (0..WAITING + 2).for_each(|_| commands.start(Vec::new()));
        assert!(commands.failures().iter().any(|what| what.contains("not started")));
        // Not waited for: they would take seconds.
    }
}
