//! What a fault of this program says of itself: one plain line, and nothing of what came from the
//! wire.

use std::io::{self, Write as _};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::guard;

/// From now on a panic that nobody catches is told in one line on standard error, the first one
/// alone; one that is caught says nothing here, for the report tells what it cost.
pub fn tell_plainly() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map_or(guard::UNKNOWN.to_owned(), guard::place);
        if !guard::note(&place) && !TOLD.swap(true, Ordering::Relaxed) {
            // Nobody is left who could do anything about an error here.
            let _ = writeln!(
                io::stderr(),
                "goawhy: stopped by a fault of its own at {place}; please report this"
            );
        }
    }));
}

/// Whether a panic has been told: others are mostly its consequences.
static TOLD: AtomicBool = AtomicBool::new(false);
