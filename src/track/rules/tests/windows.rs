//! Flow control.

use super::check_opened;

#[test]
fn windows_of_streams() {
    let post = "5 C> HEADERS 1 POST\n";
    let most = "6 C> DATA 1 16384\n+ DATA 1 16384\n+ DATA 1 16384\n+ DATA 1 16383\n";
    let wide = "5 S> WINDOW_UPDATE 0 1000000\n";
    check_opened(&[
        (&format!("{wide}{post}{most}7 C> DATA 1 0 END_STREAM"), &[]),
        (
            &format!("{wide}{post}{most}7 C> DATA 1 1\n8 C> DATA 1 1"),
            &["client flow-stream-window 1 @7"],
        ),
        // Padding counts.
        (&format!("{wide}{post}{most}7 C> DATA 1 0 PAD=0"), &["client flow-stream-window 1 @7"]),
        (&format!("{wide}{post}{most}7 S> WINDOW_UPDATE 1 2\n8 C> DATA 1 2"), &[]),
        (
            &format!("{wide}{post}{most}7 S> WINDOW_UPDATE 1 2\n8 C> DATA 1 3"),
            &["client flow-stream-window 1 @8"],
        ),
        // SETTINGS lift all windows as soon as they are sent.
        (&format!("{wide}{post}{most}7 S> SETTINGS INITIAL_WINDOW_SIZE=65536\n8 C> DATA 1 1"), &[]),
        // They lower them once they are acknowledged, below zero if need be.
        (
            &format!(
                "{wide}{post}6 C> DATA 1 16384\n7 S> SETTINGS INITIAL_WINDOW_SIZE=100\n\
                 8 C> DATA 1 16384\n9 C> SETTINGS ACK\n10 C> DATA 1 1"
            ),
            &["client flow-negative-window 1 @10"],
        ),
        (
            &format!(
                "{wide}5 S> SETTINGS INITIAL_WINDOW_SIZE=10\n6 C> SETTINGS ACK\n\
                 + HEADERS 1 POST\n+ DATA 1 11"
            ),
            &["client flow-stream-window 1 @6"],
        ),
    ]);
}

#[test]
fn window_of_the_connection() {
    let rest = "7 C> HEADERS 3 POST\n";
    let spent = "5 C> HEADERS 1 POST\n\
                 6 C> DATA 1 16384\n+ DATA 1 16384\n+ DATA 1 16384\n+ DATA 1 16383\n";
    check_opened(&[
        (&format!("{spent}{rest}8 C> DATA 3 1"), &["client flow-conn-window 3 @8"]),
        (&format!("{spent}{rest}7 S> WINDOW_UPDATE 0 1\n8 C> DATA 3 1"), &[]),
        // DATA on a stream that the peer reset counts, too.
        (
            &format!(
                "5 C> HEADERS 1 POST\n5.5 S> RST_STREAM 1 CANCEL\n\
                 5.505 C> DATA 1 16384\n+ DATA 1 16384\n+ DATA 1 16384\n+ DATA 1 16383\n\
                 {rest}8 C> DATA 3 1"
            ),
            &["client flow-conn-window 3 @8"],
        ),
        // SETTINGS never change it.
        (
            &format!(
                "{spent}{rest}7 S> SETTINGS INITIAL_WINDOW_SIZE=1000000\n8 C> SETTINGS ACK\n\
                 9 C> DATA 3 1"
            ),
            &["client flow-conn-window 3 @9"],
        ),
    ]);
}

#[test]
fn windows_that_grow_too_large() {
    check_opened(&[
        ("5 S> WINDOW_UPDATE 0 2147418112", &[]),
        ("5 S> WINDOW_UPDATE 0 2147418113", &["server flow-conn-overflow 0 @5"]),
        (
            "5 C> HEADERS 1 POST\n6 S> WINDOW_UPDATE 1 2147418112\n7 S> WINDOW_UPDATE 1 1",
            &["server flow-stream-overflow 1 @7"],
        ),
        (
            "5 C> HEADERS 1 POST\n6 S> WINDOW_UPDATE 1 2147418112\n\
             7 S> SETTINGS INITIAL_WINDOW_SIZE=65536",
            &["server flow-settings-overflow 0 @7"],
        ),
    ]);
}
