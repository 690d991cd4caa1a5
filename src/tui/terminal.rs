//! The terminal: taken over, drawn on, and given back as it was.

use std::io::{self, IsTerminal as _, Stdout};
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::clipboard::CopyToClipboard;
use ratatui::crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
};
use ratatui::crossterm::execute;
use ratatui::crossterm::style::Print;
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, SetTitle, disable_raw_mode,
    enable_raw_mode,
};

use super::{App, render};

/// The terminal while the dashboard has it; given back when dropped.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    mouse: bool,
}

impl Screen {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// Where standard output is no terminal, or the terminal refuses.
    pub fn open(mouse: bool) -> io::Result<Self> {
        if !io::stdout().is_terminal() {
            return Err(io::Error::other("standard output is no terminal"));
        }
        let opened = take(mouse);
        let terminal = opened.and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        terminal.map(|terminal| Self { terminal, mouse }).inspect_err(|_| restore())
    }

    /// Gives the terminal back while `meanwhile` runs, then takes it again and forgets what was on
    /// it.
    ///
    /// # Errors
    /// Where the terminal went away.
    pub fn lend(&mut self, meanwhile: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        restore();
        let done = meanwhile();
        take(self.mouse)?;
        self.clear()?;
        done
    }

    /// Draws.
    ///
    /// # Errors
    /// Where the terminal went away.
    pub fn draw(&mut self, app: &mut App) -> io::Result<()> {
        self.terminal.draw(|frame| render(frame, app)).map(drop)
    }

    /// Forgets what is on the screen, so that all of it is drawn anew.
    ///
    /// # Errors
    /// Where the terminal went away.
    pub fn clear(&mut self) -> io::Result<()> {
        // Terminal::clear asks where the cursor is, and whoever waits for keys gets the answer.
        execute!(io::stdout(), Clear(ClearType::All))?;
        self.terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        Ok(())
    }

    /// Puts text into the clipboard, where the terminal allows it (OSC 52).
    ///
    /// # Errors
    /// Where the terminal went away.
    pub fn copy(&mut self, text: &str) -> io::Result<()> {
        execute!(io::stdout(), CopyToClipboard::to_clipboard_from(text))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Raw mode and a screen of its own.
fn take(mouse: bool) -> io::Result<()> {
    enable_raw_mode()?;
    execute!(io::stdout(), Print(KEEP_TITLE), EnterAlternateScreen, EnableBracketedPaste)?;
    TITLED.store(true, Ordering::Relaxed);
    execute!(io::stdout(), SetTitle("goawhy"))?;
    if mouse { execute!(io::stdout(), EnableMouseCapture) } else { Ok(()) }
}

/// Puts the title of the window on the terminal's stack, and takes it from there (XTWINOPS).
const KEEP_TITLE: &str = "\u{1b}[22;2t";
const OLD_TITLE: &str = "\u{1b}[23;2t";

/// Whether the title was put on the stack, where others may have put theirs before.
static TITLED: AtomicBool = AtomicBool::new(false);

/// Gives the terminal back as it was; harmless where it never was taken.
pub fn restore() {
    use ratatui::crossterm::cursor::Show;
    let title = if TITLED.swap(false, Ordering::Relaxed) { OLD_TITLE } else { "" };
    let _ = execute!(
        io::stdout(),
        DisableMouseCapture,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        Print(title),
        Show
    );
    let _ = disable_raw_mode();
}
