//! What every detector says about itself: the same headings in each file.

/// A cause, explained to a person.
#[derive(Debug)]
pub struct Explain {
    /// What it is.
    pub what: &'static str,
    /// How it looks on the wire.
    pub on_the_wire: &'static str,
    /// What looks the same but is not, and how to tell.
    pub looks_alike: &'static str,
    /// RFC sections, or implementations known for it.
    pub known: &'static str,
    /// What to do.
    pub what_to_do: &'static str,
}
