//! The filter language: any text, on connections and streams of a real capture.

use std::sync::LazyLock;

use goawhy::board::Board;
use goawhy::board::filter::Filter;
use goawhy::run::offline::{self, Job};

use crate::seeds;

static BOARD: LazyLock<Board> = LazyLock::new(|| {
    let files = vec![seeds::home().join("stacks/vertx-client-timeout-goaway1-10s.pcap")];
    offline::report(&Job { files, streams: true, ..Job::default() }).unwrap()
});

/// No panic; a fault points into the text; a filter reads its own text the same way again; what
/// passes may pass, also where streams are not known.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let filter = match Filter::new(text) {
        Ok(filter) => filter,
        Err(fault) => {
            assert!(fault.at <= text.chars().count() && !fault.what.is_empty());
            return;
        }
    };
    let again = Filter::new(filter.text()).expect("its own text");
    for row in &BOARD.connections {
        assert_eq!(filter.connection(row), again.connection(row));
        let passes = filter.connection(row);
        let alone = filter.without_streams(row);
        assert!(alone.is_none_or(|alone| alone == passes), "its streams do not matter");
    }
}
