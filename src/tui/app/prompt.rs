//! The line in which a filter is typed.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::board::filter::{FIELDS, Fault, Filter};
use crate::vocab::cause::Cause;

/// A filter being typed.
#[derive(Debug)]
pub(in crate::tui) struct Prompt {
    pub text: Vec<char>,
    pub cursor: usize,
    /// The filter before, for those who change their mind.
    pub before: Option<Filter>,
}

/// What a key meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    No,
    Take,
    Leave,
    Quit,
}

impl Prompt {
    pub fn new(before: Option<Filter>) -> Self {
        let text: Vec<char> = before.iter().flat_map(|filter| filter.text().chars()).collect();
        Self { cursor: text.len(), text, before }
    }

    /// The filter, where the text is one; nothing for an empty text.
    pub fn parsed(&self) -> Result<Option<Filter>, Fault> {
        let text: String = self.text.iter().collect();
        let filter = Filter::new(&text)?;
        Ok(Some(filter).filter(|filter| !filter.text().is_empty()))
    }

    pub(super) fn key(&mut self, key: KeyEvent) -> Done {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Enter => return Done::Take,
            KeyCode::Esc => return Done::Leave,
            KeyCode::Char('c') if control => return Done::Quit,
            KeyCode::Char('a') if control => self.cursor = 0,
            KeyCode::Char('e') if control => self.cursor = self.text.len(),
            KeyCode::Char('u') if control => self.cut(0),
            KeyCode::Char('w') if control => self.cut(self.word_start()),
            KeyCode::Char(_) if control => {}
            KeyCode::Char(letter) => self.insert(letter),
            KeyCode::Backspace => self.cut(self.cursor.saturating_sub(1)),
            KeyCode::Delete if self.cursor < self.text.len() => {
                self.text.remove(self.cursor);
            }
            KeyCode::Left => self.cursor = self.cursor.saturating_sub(1),
            KeyCode::Right => self.cursor = (self.cursor + 1).min(self.text.len()),
            KeyCode::Home => self.cursor = 0,
            KeyCode::End => self.cursor = self.text.len(),
            KeyCode::Tab => self.complete(),
            _ => {}
        }
        Done::No
    }

    pub(super) fn paste(&mut self, text: &str) {
        text.chars().filter(|letter| !letter.is_control()).for_each(|letter| self.insert(letter));
    }

    fn insert(&mut self, letter: char) {
        if self.text.len() < LETTERS_MAX {
            self.text.insert(self.cursor.min(self.text.len()), letter);
            self.cursor += 1;
        }
    }

    /// Takes out what stands between `from` and the cursor.
    fn cut(&mut self, from: usize) {
        let to = self.cursor.min(self.text.len());
        self.text.drain(from.min(to)..to);
        self.cursor = from.min(to);
    }

    fn word_start(&self) -> usize {
        let before = self.text.get(..self.cursor).unwrap_or_default();
        let end = before.iter().rposition(|letter| !letter.is_whitespace()).map_or(0, |at| at + 1);
        let before = before.get(..end).unwrap_or_default();
        before.iter().rposition(|letter| letter.is_whitespace()).map_or(0, |at| at + 1)
    }

    /// The word that ends at the cursor: its field where it has one, and what is typed so far.
    fn word(&self) -> (Option<String>, String) {
        let word = self.text.get(self.word_start()..self.cursor).unwrap_or_default();
        let word: String = word.iter().collect();
        let word = word.trim_start_matches(['!', '(']);
        match word.split_once([':', '=']) {
            Some((field, value)) => (Some(field.to_owned()), value.to_owned()),
            None => (None, word.to_owned()),
        }
    }

    /// What could stand here, and what it means.
    pub fn proposals(&self) -> Vec<(&'static str, &'static str)> {
        let (field, start) = self.word();
        match field.as_deref() {
            None => {
                let known = FIELDS.iter().filter(|field| field.name.starts_with(&start));
                known.map(|field| (field.name, field.meaning)).collect()
            }
            Some("cause" | "trigger") => {
                let known = Cause::ALL.iter().filter(|cause| cause.name().starts_with(&start));
                known.map(|cause| (cause.name(), cause.meaning())).collect()
            }
            Some(name) => {
                let known = FIELDS.iter().filter(|field| field.name == name);
                known.map(|field| (field.name, field.meaning)).collect()
            }
        }
    }

    fn complete(&mut self) {
        let (field, start) = self.word();
        let Some((name, _)) = self.proposals().first().copied() else { return };
        let Some(rest) = name.strip_prefix(&start) else { return };
        rest.chars().for_each(|letter| self.insert(letter));
        self.insert(if field.is_none() { ':' } else { ' ' });
    }
}

/// Letters of a filter.
const LETTERS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Prompt {
        let mut prompt = Prompt::new(None);
        for letter in text.chars() {
            let code = if letter == '\t' { KeyCode::Tab } else { KeyCode::Char(letter) };
            prompt.key(KeyEvent::from(code));
        }
        prompt
    }

    #[test]
    fn tab_completes_fields_and_causes() {
        let text: String = typed("cau\tmax_r\tag\t").text.into_iter().collect();
        assert_eq!(text, "cause:max_requests_per_connection age:");
    }

    #[test]
    fn the_line_can_be_edited() {
        let mut prompt = typed("stream:3 agé");
        prompt.key(KeyEvent::new(KeyCode::Char('w'), KeyModifiers::CONTROL));
        assert_eq!(prompt.text.iter().collect::<String>(), "stream:3 ");
        prompt.key(KeyEvent::from(KeyCode::Home));
        prompt.key(KeyEvent::from(KeyCode::Delete));
        assert!(prompt.parsed().is_err());
        prompt.key(KeyEvent::from(KeyCode::Char('s')));
        assert_eq!(prompt.parsed().unwrap().unwrap().text(), "stream:3");
    }
}
