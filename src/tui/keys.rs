//! Keys: the table that input is read by, and that the help is made of.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::app::{Action, View};

/// What a key does.
#[derive(Debug)]
pub struct Binding {
    /// As the help shows them.
    pub keys: &'static str,
    /// What it does, in a few words.
    pub does: &'static str,
    /// Where it does it; empty for everywhere.
    pub views: &'static [View],
    codes: &'static [KeyCode],
    action: Action,
}

const fn char(letter: char) -> KeyCode {
    KeyCode::Char(letter)
}

/// Every key, in the order of the help.
pub static BINDINGS: &[Binding] = &[
    Binding {
        keys: "1 … 5", does: "go to a view", views: &[], codes: &[], action: Action::Redraw
    },
    all("Tab Shift-Tab", "next, previous view", &[KeyCode::Tab], Action::NextView),
    Binding {
        keys: "",
        does: "",
        views: &[],
        codes: &[KeyCode::BackTab],
        action: Action::PreviousView,
    },
    all("j k ↓ ↑", "down, up", &[char('j'), KeyCode::Down], Action::Down),
    all("", "", &[char('k'), KeyCode::Up], Action::Up),
    all("PgDn PgUp", "a page down, up", &[KeyCode::PageDown], Action::PageDown),
    all("", "", &[KeyCode::PageUp], Action::PageUp),
    // What comes with Ctrl is read by itself.
    all("Ctrl-D Ctrl-U", "the same; Ctrl-F Ctrl-B too", &[], Action::PageDown),
    all("g G", "to the first, the last", &[char('g'), KeyCode::Home], Action::First),
    all("", "", &[char('G'), KeyCode::End], Action::Last),
    all("Enter", "into what is picked", &[KeyCode::Enter], Action::Enter),
    all("Esc", "back; clears the filter on the first view", &[KeyCode::Esc], Action::Back),
    all(
        "n N",
        "next, previous GOAWAY or end in trouble; in frames among them",
        &[char('n')],
        Action::NextGoaway,
    ),
    all("", "", &[char('N')], Action::PreviousGoaway),
    all("/", "filter (-Y)", &[char('/')], Action::Filter),
    of("s S", "sort by the next column, the other way round", SORTED, &[char('s')], Action::Sort),
    of("", "", SORTED, &[char('S')], Action::Reverse),
    of("h l ← →", "earlier, later", &[View::Streams], &[char('h'), KeyCode::Left], Action::Left),
    of("", "", &[View::Streams], &[char('l'), KeyCode::Right], Action::Right),
    of("+ -", "zoom in, out", &[View::Streams], &[char('+'), char('=')], Action::ZoomIn),
    of("", "", &[View::Streams], &[char('-')], Action::ZoomOut),
    of("0", "the whole connection", &[View::Streams], &[char('0')], Action::ZoomFit),
    of("a", "all streams, or only this one", &[View::Frames], &[char('a')], Action::Scope),
    of("J K", "scroll the picked frame", &[View::Frames], &[char('J')], Action::PaneDown),
    of("", "", &[View::Frames], &[char('K')], Action::PaneUp),
    all("Space", "hold the screen still, go on", &[char(' ')], Action::Freeze),
    all("t", "how times are shown", &[char('t')], Action::Time),
    all("c", "copy what is picked (OSC 52)", &[char('c')], Action::Copy),
    all("w", "write the report to a new file", &[char('w')], Action::Write),
    all("m", "hide paths, authorities and header values", &[char('m')], Action::Mask),
    all("?", "this help", &[char('?')], Action::Help),
    all("Ctrl-L Ctrl-Z", "draw anew, suspend (fg comes back)", &[], Action::Redraw),
    all("q Ctrl-C", "quit", &[char('q')], Action::Quit),
];

const SORTED: &[View] = &[View::Overview, View::Streams];

const fn all(
    keys: &'static str,
    does: &'static str,
    codes: &'static [KeyCode],
    action: Action,
) -> Binding {
    of(keys, does, &[], codes, action)
}

const fn of(
    keys: &'static str,
    does: &'static str,
    views: &'static [View],
    codes: &'static [KeyCode],
    action: Action,
) -> Binding {
    Binding { keys, does, views, codes, action }
}

impl Binding {
    fn is_for(&self, view: View) -> bool {
        self.views.is_empty() || self.views.contains(&view)
    }
}

/// The keys of a view, for its help.
pub fn of_view(view: View) -> impl Iterator<Item = &'static Binding> {
    BINDINGS.iter().filter(move |binding| !binding.keys.is_empty() && binding.is_for(view))
}

/// What a key means in a view.
pub fn action(key: KeyEvent, view: View) -> Option<Action> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Some(Action::Quit),
            KeyCode::Char('d' | 'f') => Some(Action::PageDown),
            KeyCode::Char('u' | 'b') => Some(Action::PageUp),
            KeyCode::Char('l') => Some(Action::Redraw),
            KeyCode::Char('z') => Some(Action::Suspend),
            _ => None,
        };
    }
    if let KeyCode::Char(digit @ '1'..='5') = key.code {
        return View::numbered(digit).map(Action::Go);
    }
    let here = BINDINGS.iter().filter(|binding| binding.is_for(view));
    here.filter(|binding| binding.codes.contains(&key.code)).map(|binding| binding.action).next()
}

/// The table for the README.
pub fn markdown() -> String {
    let mut table = String::from("| key | does | in |\n| --- | --- | --- |\n");
    for binding in BINDINGS.iter().filter(|binding| !binding.keys.is_empty()) {
        let views: Vec<&str> = binding.views.iter().map(|view| view.name()).collect();
        let views = if views.is_empty() { "every view".into() } else { views.join(", ") };
        table.push_str(&format!("| `{}` | {} | {views} |\n", binding.keys, binding.does));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_has_two_meanings_in_a_view() {
        for view in View::ALL {
            let here = || BINDINGS.iter().filter(|binding| binding.is_for(*view));
            for code in here().flat_map(|binding| binding.codes) {
                let meanings = here().filter(|binding| binding.codes.contains(code)).count();
                assert_eq!(meanings, 1, "{code:?} in {}", view.name());
            }
        }
    }

    #[test]
    fn control_c_quits_everywhere() {
        let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        for view in View::ALL {
            assert_eq!(action(key, *view), Some(Action::Quit));
        }
        assert_eq!(action(KeyEvent::from(KeyCode::Char('c')), View::Chain), Some(Action::Copy));
    }
}
