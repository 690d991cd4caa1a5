//! The last line of defence: a panic is a fault of this program, and costs no more than the work
//! it happened in.
//!
//! Whoever guards some work gets the place of the panic in the source, never its message, which
//! may quote what came from the wire. The place comes from the panic hook that [`crate::run`]
//! sets; without it, it is [`UNKNOWN`].

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, Location};

/// Does the work. What it changed may be half done after a panic: whoever asks lets go of it.
///
/// # Errors
/// The place of a panic, such as `src/h2/half.rs:120`.
pub fn against_panics<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    DEPTH.with(|depth| depth.set(depth.get().saturating_add(1)));
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    DEPTH.with(|depth| depth.set(depth.get().saturating_sub(1)));
    done.map_err(|_| PLACE.take().unwrap_or_else(|| UNKNOWN.to_owned()))
}

/// Notes where this thread panics, for who guards it. False where nobody does.
pub fn note(place: &str) -> bool {
    if is_guarded() {
        PLACE.replace(Some(place.to_owned()));
    }
    is_guarded()
}

/// Whether a panic in this thread would be caught here.
pub fn is_guarded() -> bool {
    DEPTH.get() > 0
}

/// A place in the source as it is told: without the folders of whoever built the program.
pub fn place(location: &Location<'_>) -> String {
    let file = location.file();
    let package = file.split_once("/registry/src/").and_then(|(_, rest)| rest.split_once('/'));
    let library = file.split_once("/library/").map(|(_, rest)| rest);
    let file = package.map(|(_, rest)| rest).or(library).unwrap_or(file);
    format!("{file}:{}", location.line())
}

/// What is told where no hook says more.
pub const UNKNOWN: &str = "an unknown place";

thread_local! {
    /// How many guards this thread is within.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Where it last panicked within one.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_costs_the_work_it_happened_in() {
        assert_eq!(against_panics(|| 7), Ok(7));
        let caught = against_panics(|| {
            assert!(against_panics(|| panic!("inner")).is_err());
            assert!(note("a place"), "the outer guard still stands");
            panic!("outer");
        });
        assert!(caught.is_err());
        assert!(!note("elsewhere"), "nobody guards this");
        assert_eq!(PLACE.take(), None);
    }

    #[test]
    fn places_do_not_tell_who_built_the_program() {
        let here = place(Location::caller());
        assert!(here.starts_with("src/guard.rs:"), "{here}");
    }
}
