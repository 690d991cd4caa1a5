//! The keys of the view, from the table that reads them, and what the signs mean.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Widget};

use crate::tui::app::{App, View};
use crate::tui::keys;
use crate::tui::paint::{fit, put, wrap};
use crate::tui::theme::Ink;

pub(super) fn render(frame: &mut Frame<'_>, app: &mut App, area: Rect) {
    let wide = area.width.min(78);
    let lines = lines(app, usize::from(wide).saturating_sub(KEYS + 3));
    let high = area.height.min(lines.len() as u16 + 2);
    let place = Rect {
        x: area.x + (area.width - wide) / 2,
        y: area.y + (area.height - high) / 2,
        width: wide,
        height: high,
    };
    let title = format!(" {}: {} ", app.view.name(), app.view.meaning());
    let foot = " j k scroll · any other key closes ";
    let block = Block::bordered().title(title).title_bottom(foot).style(app.theme.ink(Ink::Plain));
    let mut inner = block.inner(place);
    Clear.render(place, frame.buffer_mut());
    block.render(place, frame.buffer_mut());
    let most = lines.len().saturating_sub(usize::from(inner.height));
    let first = app.help.unwrap_or(0).min(most);
    app.help = Some(first);
    for line in lines.iter().skip(first).take(usize::from(inner.height)) {
        put(frame.buffer_mut(), &mut inner, line);
    }
}

fn lines(app: &App, room: usize) -> Vec<Line<'static>> {
    let entry = |key: &str, text: &str| {
        let line = |(place, text): (usize, String)| {
            let key = if place == 0 { format!(" {key}") } else { String::new() };
            let key = Span::styled(fit(&key, KEYS, false), app.theme.ink(Ink::Label));
            Line::from(vec![key, Span::raw(text)])
        };
        wrap(text, room).into_iter().enumerate().map(line).collect::<Vec<_>>()
    };
    let mut lines: Vec<Line<'static>> =
        keys::of_view(app.view).flat_map(|binding| entry(binding.keys, binding.does)).collect();
    lines.push(Line::default());
    lines.extend(signs(app.view).iter().flat_map(|(sign, text)| entry(sign, text)));
    lines.push(Line::default());
    let more = [
        ("mouse", "click a view or row, again to open it, wheel; Shift selects text"),
        ("filter", "field:value, > >= < <= !=, or, not, ( ), /regex/; Tab completes"),
        ("", "goawhy --help lists the fields; -Y takes the same"),
    ];
    lines.extend(more.iter().flat_map(|(what, text)| entry(what, text)));
    lines
}

/// What the signs of a view mean.
fn signs(view: View) -> &'static [(&'static str, &'static str)] {
    match view {
        View::Overview => &[
            ("▲", "went away, and somebody has to act, or requests died"),
            (
                "◆",
                "ended in order or lived on, but streams were cancelled or left, or rules broken",
            ),
            ("● ○", "nothing to tell: ended, still open"),
        ],
        View::Chain => &[
            ("├── ▶  ◀ ──┤", "sent by the client, by the server"),
            ("┊", "nothing of this chain happened; rows are to scale, at most 12 a gap"),
        ],
        View::Streams => &[
            ("▒", "the request is being sent"),
            ("─", "waiting for the answer"),
            ("█", "the answer is being sent"),
            ("● × ▼", "done, cancelled by the client, reset by the server"),
            ("G ◆ ○", "dropped by a GOAWAY, died with the connection, still open"),
            ("┃", "a GOAWAY"),
        ],
        View::Timeouts => {
            &[("▁ … █", "how many, of the largest count"), ("┊", "a timeout that was measured")]
        }
        View::Frames => &[
            ("→ ←", "sent by the client, by the server"),
            ("window", "octets that the sender may still send; ? where that is not known"),
        ],
    }
}

/// Columns for keys and signs.
const KEYS: usize = 17;
