//! Stream states, identifiers, pushes, GOAWAY.

use super::check_opened;

/// Stream 1 is closed by both sides.
const DONE: &str = "5 C> HEADERS 1 END_STREAM GET\n6 S> HEADERS 1 END_STREAM :status=200\n";

#[test]
fn identifiers() {
    check_opened(&[
        ("5 C> HEADERS 2 END_STREAM GET", &["client client-stream-ids-odd 2 @5"]),
        (
            "5 C> HEADERS 5 END_STREAM GET\n6 C> HEADERS 3 END_STREAM GET",
            &["client stream-ids-increase 3 @6"],
        ),
        (&format!("{DONE}7 C> HEADERS 1 END_STREAM GET"), &["client closed-stream-frame 1 @7"]),
        (&format!("{DONE}7 C> DATA 1 5"), &["client closed-stream-frame 1 @7"]),
        (&format!("{DONE}7 S> DATA 1 5"), &["server closed-stream-frame 1 @7"]),
        ("5 C> HEADERS 7 END_STREAM GET\n6 C> HEADERS 2147483647 END_STREAM GET", &[]),
    ]);
}

#[test]
fn idle_streams() {
    check_opened(&[
        ("5 C> DATA 1 5", &["client idle-stream-frame 1 @5"]),
        ("5 C> WINDOW_UPDATE 1 5", &["client idle-stream-frame 1 @5"]),
        ("5 C> RST_STREAM 1 CANCEL", &["client rst-idle 1 @5"]),
        ("5 S> HEADERS 1 :status=200", &["server idle-stream-frame 1 @5"]),
        ("5 S> RST_STREAM 3 CANCEL", &["server rst-idle 3 @5"]),
        ("5 C> RST_STREAM 2 CANCEL", &["client rst-idle 2 @5"]),
        ("5 C> PRIORITY 9 1\n6 C> PRIORITY 11\n7 C> HEADERS 1 END_STREAM GET", &[]),
    ]);
}

#[test]
fn half_closed_and_reset_streams() {
    let posted = "5 C> HEADERS 1 POST\n";
    check_opened(&[
        ("5 C> HEADERS 1 END_STREAM GET\n6 C> DATA 1 5", &["client half-closed-remote-frame 1 @6"]),
        (
            "5 C> HEADERS 1 END_STREAM GET\n6 C> HEADERS 1 END_STREAM a=b",
            &["client half-closed-remote-frame 1 @6"],
        ),
        (
            &format!("{posted}6 S> HEADERS 1 END_STREAM :status=200\n7 S> DATA 1 5"),
            &["server half-closed-remote-frame 1 @7"],
        ),
        (
            &format!("{posted}6 C> RST_STREAM 1 CANCEL\n7 C> DATA 1 5"),
            &["client frame-after-own-rst 1 @7"],
        ),
        (
            "5 C> HEADERS 1 END_STREAM GET\n6 C> RST_STREAM 1 CANCEL\n\
             2000 S> HEADERS 1 :status=200\n2001 S> DATA 1 100 END_STREAM",
            &["server rst-then-silent 1 @2000"],
        ),
        // On its way when the reset came, or shortly behind it.
        (
            "5 C> HEADERS 1 END_STREAM GET\n6 C> RST_STREAM 1 CANCEL\n\
             6 S> HEADERS 1 :status=200\n20 S> DATA 1 100 END_STREAM",
            &[],
        ),
        (
            &format!(
                "{posted}6 C> RST_STREAM 1 CANCEL\n7 C> PRIORITY 1 3\n7 S> WINDOW_UPDATE 1 5\n\
                 8 S> RST_STREAM 1 CANCEL\n9 C> WINDOW_UPDATE 1 5"
            ),
            &[],
        ),
        (&format!("{DONE}7 C> WINDOW_UPDATE 1 5\n8 C> RST_STREAM 1 CANCEL\n8 C> PRIORITY 1"), &[]),
        // Trailers that cross with a reset are no request.
        (
            &format!(
                "{posted}6 C> DATA 1 5\n7 S> RST_STREAM 1 CANCEL\n7 C> HEADERS 1 END_STREAM a=b"
            ),
            &[],
        ),
        // The server may have enough of a request before its end (RFC 9113 section 8.1).
        (
            &format!(
                "{posted}6 S> HEADERS 1 END_STREAM :status=200\n+ RST_STREAM 1 NO_ERROR\n\
                 6 C> DATA 1 50\n+ DATA 1 0 END_STREAM"
            ),
            &[],
        ),
    ]);
}

#[test]
fn concurrent_streams() {
    let two = "7 C> HEADERS 1 END_STREAM GET\n8 C> HEADERS 3 END_STREAM GET\n";
    let limit = "5 S> SETTINGS MAX_CONCURRENT_STREAMS=1\n";
    check_opened(&[
        (&format!("{limit}6 C> SETTINGS ACK\n{two}"), &["client max-concurrent-streams 3 @8"]),
        (&format!("{limit}{two}9 C> SETTINGS ACK"), &[]),
        (
            &format!(
                "{limit}6 C> SETTINGS ACK\n7 C> HEADERS 1 END_STREAM GET\n\
                 8 C> RST_STREAM 1 CANCEL\n+ HEADERS 3 END_STREAM GET"
            ),
            &[],
        ),
        // Looser from the moment it was sent.
        (
            &format!("{limit}6 C> SETTINGS ACK\n6.5 S> SETTINGS MAX_CONCURRENT_STREAMS=2\n{two}"),
            &[],
        ),
    ]);
}

#[test]
fn pushes() {
    let get = "5 C> HEADERS 1 END_STREAM GET\n";
    let refuse = "5 C> SETTINGS ENABLE_PUSH=0\n+ HEADERS 1 END_STREAM GET\n";
    check_opened(&[
        (
            &format!(
                "{get}6 S> PUSH_PROMISE 1 2 GET\n7 S> HEADERS 1 END_STREAM :status=200\n\
                 8 S> HEADERS 2 :status=200\n9 S> DATA 2 10 END_STREAM\n10 C> WINDOW_UPDATE 2 10"
            ),
            &[],
        ),
        // The client does not want it: what comes on it was on its way, or comes late.
        (
            &format!(
                "{get}6 S> PUSH_PROMISE 1 2 GET\n7 C> RST_STREAM 2 CANCEL\n\
                 7 S> HEADERS 2 :status=200 a=b\n8 S> DATA 2 10 END_STREAM\n\
                 9 S> HEADERS 1 END_STREAM :status=200"
            ),
            &[],
        ),
        (
            &format!("{get}6 S> PUSH_PROMISE 1 2 GET\n7 S> HEADERS 2 END_STREAM a=b"),
            &["server msg-response-status 2 @7"],
        ),
        (
            &format!("{get}6 S> PUSH_PROMISE 1 2 GET content-length=5"),
            &["server push-unsafe-method 1 @6"],
        ),
        (&format!("{get}6 S> PUSH_PROMISE 1 2 GET content-length=0"), &[]),
        ("5 C> PUSH_PROMISE 1 2 GET", &["client push-from-client 1 @5"]),
        (
            &format!("{refuse}6 S> SETTINGS ACK\n7 S> PUSH_PROMISE 1 2 GET"),
            &["server push-disabled 1 @7"],
        ),
        (&format!("{refuse}5 S> PUSH_PROMISE 1 2 GET\n7 S> SETTINGS ACK"), &[]),
        (&format!("{get}6 S> PUSH_PROMISE 1 3 GET"), &["server push-promised-id 1 @6"]),
        (
            &format!("{get}6 S> PUSH_PROMISE 1 4 GET\n7 S> PUSH_PROMISE 1 2 GET"),
            &["server push-promised-id 1 @7"],
        ),
        (&format!("{DONE}7 S> PUSH_PROMISE 1 2 GET"), &["server push-parent-state 1 @7"]),
        ("5 S> PUSH_PROMISE 1 2 GET", &["server push-parent-state 1 @5"]),
        (&format!("{get}6 S> PUSH_PROMISE 1 2 POST"), &["server push-unsafe-method 1 @6"]),
        (
            &format!("{get}6 S> PUSH_PROMISE 1 2 GET\n7 S> DATA 2 5"),
            &["server reserved-local-send 2 @7"],
        ),
        (&format!("{get}6 S> FRAME 5 0x0c 1 ff00000002"), &["server push-padding 1 @6"]),
    ]);
}

#[test]
fn goaways() {
    check_opened(&[
        (
            "5 S> GOAWAY 1 NO_ERROR\n6 S> GOAWAY 3 NO_ERROR",
            &["server goaway-last-id-not-increase 0 @6"],
        ),
        (
            "5 C> HEADERS 1 END_STREAM GET\n6 S> GOAWAY 2147483647 NO_ERROR\n\
             7 S> HEADERS 1 END_STREAM :status=200\n8 S> GOAWAY 1 NO_ERROR",
            &[],
        ),
        (
            &format!("{DONE}7 S> GOAWAY 0 NO_ERROR"),
            &["server goaway-last-id-covers-processed 0 @7"],
        ),
        // Requests cross with GOAWAY.
        ("5 S> GOAWAY 0 NO_ERROR\n5 C> HEADERS 1 END_STREAM GET", &[]),
        // Programs may be slow to read it.
        ("5 S> GOAWAY 0 NO_ERROR\n900 C> HEADERS 1 END_STREAM GET", &[]),
        // It is told once.
        (
            "5 S> GOAWAY 0 NO_ERROR\n1100 C> HEADERS 1 END_STREAM GET\n\
             1200 C> HEADERS 3 END_STREAM GET",
            &["client goaway-no-new-streams 1 @1100"],
        ),
        // A first warning lets streams be opened.
        ("5 S> GOAWAY 2147483647 NO_ERROR\n1100 C> HEADERS 1 END_STREAM GET", &[]),
    ]);
}

#[test]
fn refusals() {
    let get = "5 C> HEADERS 1 END_STREAM GET\n";
    check_opened(&[
        (&format!("{get}6 S> RST_STREAM 1 REFUSED_STREAM"), &[]),
        (
            &format!("{get}6 S> HEADERS 1 :status=200\n7 S> RST_STREAM 1 REFUSED_STREAM"),
            &["server refused-stream-untouched 1 @7"],
        ),
        // An interim response is none yet.
        (&format!("{get}6 S> HEADERS 1 :status=103\n7 S> RST_STREAM 1 REFUSED_STREAM"), &[]),
        (&format!("{get}6 S> HEADERS 1 :status=200\n7 C> RST_STREAM 1 REFUSED_STREAM"), &[]),
    ]);
}

#[test]
fn pings_without_an_answer() {
    let ping = "5 S> PING 0102030405060708\n";
    let asked = "5 C> PING 0102030405060708\n";
    let get = "HEADERS 1 END_STREAM GET";
    check_opened(&[
        // A later one is answered in its place.
        (
            &format!("{ping}900 S> PING 0000000000000001\n1100 C> PING ACK 0000000000000001"),
            &["client ping-ack-required 0 @1100"],
        ),
        (
            &format!(
                "{ping}900 S> PING 0000000000000001\n901 C> PING ACK 0102030405060708\n\
                 1100 C> PING ACK 0000000000000001"
            ),
            &[],
        ),
        // Nobody knows how they cross.
        (
            &format!(
                "{ping}6 S> PING 0000000000000001\n7 C> PING ACK 0000000000000001\n\
                 7 C> PING ACK 0102030405060708"
            ),
            &[],
        ),
        // The server answers what came behind it.
        (
            &format!("{asked}2000 C> {get}\n2010 S> HEADERS 1 END_STREAM :status=200"),
            &["server ping-ack-required 0 @2010"],
        ),
        // What it answers came before it, and may have waited in its socket.
        (&format!("5 C> {get}\n{asked}9000 S> HEADERS 1 END_STREAM :status=200"), &[]),
        (&format!("{ping}9000 C> {get}"), &[]),
        (&format!("{ping}61000 C> {get}"), &["client ping-ack-required 0 @61000"]),
        // An end is no answer, and what was lost may have been one.
        (&format!("{ping}9000 S> GOAWAY 0 NO_ERROR\n9001 C> FIN"), &[]),
        (
            &format!(
                "{asked}6 GAP S 1\n7 S> PING ACK 0102030405060708\n8 S> PING\n9 C> PING ACK\n\
                 2000 C> {get}\n2010 S> HEADERS 1 END_STREAM :status=200"
            ),
            &[],
        ),
    ]);
}

#[test]
fn errors_end_connections() {
    let error = "5 C> HEADERS 1 END_STREAM GET\n6 S> GOAWAY 1 PROTOCOL_ERROR\n";
    check_opened(&[
        (
            &format!("{error}60000 S> HEADERS 1 END_STREAM :status=200\n60001 S> PING"),
            &["server connection-error-closes 0 @60000"],
        ),
        // What it lingers for, and what it had written.
        (&format!("{error}8000 S> HEADERS 1 END_STREAM :status=200\n8001 S> FIN"), &[]),
        (
            "5 C> HEADERS 1 END_STREAM GET\n6 S> GOAWAY 1 NO_ERROR\n\
             60000 S> HEADERS 1 END_STREAM :status=200",
            &[],
        ),
    ]);
}

#[test]
fn ping_answers() {
    check_opened(&[
        ("5 C> PING 0102030405060708\n6 S> PING ACK 0102030405060708", &[]),
        (
            "5 C> PING 0102030405060708\n6 S> PING ACK 0102030405060708\n\
             7 C> PING ACK 0102030405060708",
            &["client ping-no-ack-to-ack 0 @7"],
        ),
        // Both ask with the same octets.
        (
            "5 C> PING 0000000000000000\n5 S> PING 0000000000000000\n\
             6 S> PING ACK 0000000000000000\n6 C> PING ACK 0000000000000000",
            &[],
        ),
        // An answer to nothing is not an answer to an answer.
        ("5 C> PING ACK 0102030405060708", &[]),
    ]);
}
