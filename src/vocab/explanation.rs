//! What `goawhy explain` answers: plain text in parts, for readers to lay out.

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// What it is about: a cause, a rule, or who wrote a line.
    pub title: String,
    /// One clause.
    pub meaning: String,
    /// The rest, in order.
    pub parts: Vec<Part>,
}

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A heading of at most 15 characters, and what stands beside it.
    Text(&'static str, String),
    /// A heading, and a list of names with what is said of each.
    List(&'static str, Vec<(String, String)>),
    /// A heading, and command lines to be copied.
    Commands(&'static str, Vec<String>),
}

impl Explanation {
    /// An answer without parts.
    pub fn new(title: impl Into<String>, meaning: impl Into<String>) -> Self {
        Self { title: title.into(), meaning: meaning.into(), parts: Vec::new() }
    }

    /// Adds text, where there is any.
    pub fn text(&mut self, label: &'static str, text: impl Into<String>) {
        let text = text.into();
        if !text.is_empty() {
            self.parts.push(Part::Text(label, text));
        }
    }

    /// Adds a list, where there is anything in it.
    pub fn list(&mut self, label: &'static str, items: Vec<(String, String)>) {
        if !items.is_empty() {
            self.parts.push(Part::List(label, items));
        }
    }
}
