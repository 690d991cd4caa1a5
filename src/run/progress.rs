//! Progress of long reads, on stderr, for people.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// Files below this are read before a bar would be seen.
const WORTH_A_BAR: u64 = 50_000_000;

/// Packets between two looks at the place in the file.
const EVERY: u64 = 16_384;

/// A bar, where one helps.
pub struct Progress {
    bar: Option<ProgressBar>,
    packets: u64,
}

impl Progress {
    /// A bar for `total` octets, if they are many and stderr is a terminal.
    pub fn new(total: Option<u64>) -> Self {
        let wanted = total.filter(|total| *total > WORTH_A_BAR && std::io::stderr().is_terminal());
        let bar = wanted.map(|total| {
            let bar = ProgressBar::new(total);
            let style = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec}, {eta} to go";
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style);
            }
            bar
        });
        Self { bar, packets: 0 }
    }

    /// One more packet; `place` tells the octets read so far, and is asked rarely.
    pub fn packet(&mut self, place: impl FnOnce() -> u64) {
        let Some(bar) = &self.bar else { return };
        self.packets += 1;
        if self.packets.is_multiple_of(EVERY) {
            bar.set_position(place());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
