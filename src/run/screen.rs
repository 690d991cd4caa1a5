//! The loop of the dashboard: keys, ticks and signals; drawing on a timer, never per packet.

use std::fs;
use std::io::{self, Write as _};
use std::panic;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crossterm::event::EventStream;
use crossterm::terminal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};
use tokio_stream::StreamExt as _;

use crate::board::Board;
use crate::board::snapshot::Feed;
use crate::error::Error;
use crate::guard;
use crate::report::text;
use crate::tui::{self, App, Effect, Screen, Settings};

use super::beside;

/// Why the dashboard ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The user left it.
    ByUser,
    /// SIGINT, SIGTERM or SIGHUP.
    BySignal,
}

/// Shows what the feed has until the user leaves. The terminal is given back whatever happens.
/// SIGHUP is for `reopen`, where there is any and the terminal did not go away.
///
/// # Errors
/// Where the terminal cannot be used.
pub fn show(
    feed: &dyn Feed,
    settings: Settings,
    mouse: bool,
    reopen: Option<&dyn Fn()>,
) -> Result<Left, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Error::Terminal)?;
    restore_on_panic();
    let left = runtime.block_on(async {
        let mut screen = Screen::open(mouse)?;
        run(&mut screen, feed, App::new(settings), reopen).await
    });
    left.map_err(Error::Terminal)
}

async fn run(
    screen: &mut Screen,
    feed: &dyn Feed,
    mut app: App,
    reopen: Option<&dyn Fn()>,
) -> io::Result<Left> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Continued after it was stopped from outside: what is on the screen is not known.
    let mut continued = signal(SignalKind::from_raw(libc::SIGCONT))?;
    let mut keys = EventStream::new();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    app.refresh(feed);
    screen.draw(&mut app)?;
    loop {
        let dirty = tokio::select! {
            _ = terminate.recv() => return Ok(Left::BySignal),
            _ = hangup.recv() => match reopen.filter(|_| terminal::window_size().is_ok()) {
                Some(reopen) => {
                    reopen();
                    app.say("saving to a new file");
                    true
                }
                None => return Ok(Left::BySignal),
            },
            _ = interrupt.recv() => return Ok(Left::BySignal),
            _ = continued.recv() => {
                screen.lend(|| Ok(()))?;
                true
            }
            event = keys.next() => match event {
                Some(event) => {
                    app.event(&event?);
                    // What a key asks for may be there already.
                    app.refresh(feed);
                    true
                }
                // The terminal went away.
                None => return Ok(Left::BySignal),
            },
            _ = ticks.tick() => app.refresh(feed),
        };
        let effects = app.effects();
        let dirty = dirty || !effects.is_empty();
        for effect in effects {
            match effect {
                Effect::Quit => return Ok(Left::ByUser),
                Effect::Redraw => screen.clear()?,
                Effect::Suspend => screen.lend(suspend)?,
                Effect::Copy(text) => screen.copy(&text)?,
                Effect::Write => {
                    let told = written(&feed.latest().board);
                    app.say(told.unwrap_or_else(|error| unwritten(&error)));
                }
            }
        }
        if dirty {
            screen.draw(&mut app)?;
            #[cfg(debug_assertions)]
            assert!(std::env::var_os("GOAWHY_TEST_PANIC").is_none(), "asked to panic");
        }
    }
}

/// Stops this program and all of its pipeline, as the terminal would have done; comes back when it
/// is continued.
fn suspend() -> io::Result<()> {
    Ok(rustix::process::kill_current_process_group(rustix::process::Signal::TSTP)?)
}

/// A panic in this thread gives the terminal back before it is told, unless it is caught; one
/// elsewhere is not told on the screen, whose reader would have to guess what is left of it.
fn restore_on_panic() {
    let here = thread::current().id();
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let elsewhere = thread::current().id() != here;
        if guard::is_guarded() {
            before(info);
        } else if !elsewhere {
            tui::restore();
            before(info);
        }
    }));
}

/// Writes the report to a file of its own: whole or not at all, never over another.
fn written(board: &Board) -> io::Result<String> {
    let now = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S");
    let (beside, file) = beside::make(Path::new(".goawhy"), beside::create)?;
    let done = fill(file, board).and_then(|()| {
        let names = (1..=NAMES).map(|number| match number {
            1 => format!("goawhy-{now}.txt"),
            _ => format!("goawhy-{now}-{number}.txt"),
        });
        place(&beside, names)
    });
    let _ = fs::remove_file(&beside);
    done.map(|name| format!("report written to {name}"))
}

/// Why the report was not written, and what to do: whoever began as root is another user by now.
fn unwritten(error: &io::Error) -> String {
    let folder = std::env::current_dir();
    let here = folder.as_deref().map_or("this folder".into(), |path| path.to_string_lossy());
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            let user = rustix::process::geteuid().as_raw();
            format!(
                "not written: user {user} may not write in {here}; start elsewhere, or --no-drop"
            )
        }
        _ => format!("not written in {here}: {error}"),
    }
}

fn fill(file: fs::File, board: &Board) -> io::Result<()> {
    let mut out = io::BufWriter::new(file);
    text::write(&mut out, board, &text::Options::default())?;
    out.flush()
}

/// Puts the file under the first name that is free: a link fails where something stands already.
fn place(beside: &Path, names: impl Iterator<Item = String>) -> io::Result<String> {
    for name in names {
        match fs::hard_link(beside, &name) {
            Ok(()) => return Ok(name),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("too many reports of this second"))
}

/// Between two looks at what is new: about ten pictures a second at most.
const TICK: Duration = Duration::from_millis(100);
/// Names tried for a report.
const NAMES: u32 = 99;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_write_is_told_where_and_what_helps() {
        let told = unwritten(&io::ErrorKind::PermissionDenied.into());
        let here = std::env::current_dir().unwrap();
        assert!(told.contains(here.to_str().unwrap()) && told.contains("--no-drop"), "{told}");
        assert!(unwritten(&io::Error::other("disk full")).ends_with(": disk full"));
    }
}
