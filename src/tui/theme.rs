//! Colours and signs. No state is told by colour alone: each has its sign.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};

use crate::board::group::Standing;
use crate::vocab::address::Side;
use crate::vocab::cause::Blame;
use crate::vocab::stream::StreamEnd;

/// How many colours there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colours {
    /// None: bold, underline and reverse remain.
    None,
    /// The sixteen of every terminal.
    Sixteen,
    /// The fixed palette of 256.
    #[default]
    Many,
}

/// What the terminal can show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Theme {
    /// Colours.
    pub colours: Colours,
    /// Whether to keep to ASCII.
    pub ascii: bool,
}

/// What a colour is for. The hues are those of Okabe and Ito, which people of every colour vision
/// tell apart, in shades that stand out from black and from white by at least 3:1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    Plain,
    Bold,
    /// Less important.
    Dim,
    /// Keys, labels, titles.
    Label,
    /// Something is wrong.
    Bad,
    /// Something to know.
    Warn,
    /// All is well.
    Good,
    Client,
    Server,
}

impl Theme {
    pub(super) fn ink(self, ink: Ink) -> Style {
        let style = match ink {
            Ink::Bold | Ink::Bad => Style::new().add_modifier(Modifier::BOLD),
            _ => Style::new(),
        };
        match (self.colours, ink) {
            (_, Ink::Plain | Ink::Bold) | (Colours::None, _) => style,
            (Colours::Sixteen, Ink::Dim) => style.add_modifier(Modifier::DIM),
            (Colours::Sixteen, ink) => style.fg(match ink {
                Ink::Bad => Color::Red,
                Ink::Good => Color::Green,
                Ink::Warn | Ink::Server => Color::Magenta,
                _ => Color::Blue,
            }),
            (Colours::Many, ink) => style.fg(Color::Indexed(match ink {
                Ink::Bad => 166,
                Ink::Good => 29,
                Ink::Warn => 133,
                Ink::Client => 32,
                Ink::Server => 166,
                Ink::Label => 32,
                _ => 244,
            })),
        }
    }

    /// The row under the cursor.
    pub(super) fn picked(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub(super) fn of_blame(self, blame: Blame) -> Style {
        self.ink(match blame {
            Blame::Client | Blame::Server | Blame::Network => Ink::Bad,
            Blame::Unknown => Ink::Warn,
            Blame::None => Ink::Good,
        })
    }

    pub(super) fn of_side(self, side: Side) -> Style {
        self.ink(match side {
            Side::Client => Ink::Client,
            Side::Server => Ink::Server,
        })
    }
}

/// Sign and ink of how a connection fared; open ones are told apart.
pub(super) fn standing(standing: Standing, open: bool) -> (&'static str, Ink) {
    match (standing, open) {
        (Standing::Trouble, _) => ("▲", Ink::Bad),
        (Standing::Scratched, _) => ("◆", Ink::Warn),
        (Standing::Orderly, true) => ("○", Ink::Good),
        (Standing::Orderly, false) => ("●", Ink::Good),
    }
}

/// Sign, word and ink of how a stream ended.
pub(super) fn ending(end: StreamEnd) -> (&'static str, &'static str, Ink) {
    match end {
        StreamEnd::Completed => ("●", "done", Ink::Good),
        StreamEnd::Reset(Side::Client, _) => ("×", "cancelled", Ink::Bad),
        StreamEnd::Reset(Side::Server, _) => ("▼", "reset", Ink::Bad),
        StreamEnd::Goaway(_) => ("G", "goaway", Ink::Warn),
        StreamEnd::ConnectionEnd(_) => ("◆", "died", Ink::Warn),
        StreamEnd::Open => ("○", "open", Ink::Dim),
    }
}

/// Makes a drawn screen what the terminal can show.
pub(super) fn finish(buffer: &mut Buffer, theme: Theme) {
    for cell in &mut buffer.content {
        if theme.colours == Colours::None {
            cell.fg = Color::Reset;
            cell.bg = Color::Reset;
        }
        if theme.ascii && !cell.symbol().is_ascii() {
            let plain = ascii(cell.symbol());
            cell.set_symbol(plain);
        }
    }
}

/// One cell for one cell.
fn ascii(symbol: &str) -> &'static str {
    match symbol {
        "│" | "├" | "┤" | "┃" | "┊" | "┆" | "▏" | "┝" => "|",
        "─" | "–" | "━" | "┄" | "╌" | "╶" | "╴" => "-",
        "┌" | "┐" | "└" | "┘" | "┬" | "┴" | "┼" | "╭" | "╮" | "╯" | "╰" => {
            "+"
        }
        "▶" | "→" | "›" | "↵" => ">",
        "◀" | "←" | "‹" => "<",
        "↑" => "^",
        "↓" | "▼" => "v",
        "●" | "•" => "*",
        "○" => "o",
        "◆" => "%",
        "▲" => "!",
        "·" => ".",
        "×" | "✗" => "x",
        "✓" => "+",
        "…" => "~",
        "µ" => "u",
        "±" => "~",
        "’" => "'",
        "≤" => "<",
        "≥" => ">",
        "▁" => "_",
        "▂" => ".",
        "▃" | "░" | "▒" => ":",
        "▄" => "-",
        "▅" => "=",
        "▆" => "+",
        "▇" => "*",
        "█" | "▓" | "■" => "#",
        _ => "?",
    }
}
