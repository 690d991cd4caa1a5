//! Traffic that looks wrong and is not, and captures that cannot tell.

use super::{check_opened, check_whole};

#[test]
fn extensions() {
    check_opened(&[(
        "5 C> FRAME 0x0b 0xff 7 0102\n6 S> FRAME 0x0a 0 0 0000\n7 S> FRAME 0x0c 0 0\n\
         8 C> FRAME 0x10 0 0 00000003753d30\n9 C> FRAME 0x2a 0 2147483647\n\
         10 C> PING ACK 0102030405060708\n11 C> PRIORITY 2147483647 5\n12 C> PRIORITY 8",
        &[],
    )]);
}

#[test]
fn an_upgrade() {
    let request = "TEXT \"GET / HTTP/1.1\\r\\nHost: a\\r\\nConnection: Upgrade, HTTP2-Settings\
                   \\r\\nUpgrade: h2c\\r\\nHTTP2-Settings: AAMAAABkAAQAAP__AAIAAAAA\\r\\n\\r\\n\"";
    let response = "TEXT \"HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\
                    \\r\\nUpgrade: h2c\\r\\n\\r\\n\"";
    let upgrade = format!("0 SYN\n1 C> {request}\n2 S> {response}\n+ SETTINGS\n");
    let begun = format!("{upgrade}3 C> PREFACE\n+ SETTINGS ENABLE_PUSH=0\n+ SETTINGS ACK\n");
    check_whole(&[
        (
            &format!(
                "{begun}4 S> HEADERS 1 :status=200\n+ DATA 1 5 END_STREAM\n+ SETTINGS ACK\n\
                 5 C> WINDOW_UPDATE 1 5\n6 C> HEADERS 3 END_STREAM GET\n\
                 7 S> HEADERS 3 END_STREAM :status=200"
            ),
            &[],
        ),
        // An answer may come before the preface, and its settings be acknowledged twice.
        (
            &format!(
                "{upgrade}2 S> HEADERS 1 END_STREAM :status=200\n3 C> PREFACE\n+ SETTINGS\n\
                 4 C> SETTINGS ACK\n5 S> SETTINGS ACK\n6 S> SETTINGS ACK"
            ),
            &[],
        ),
        // The 101 response acknowledged ENABLE_PUSH 0.
        (&format!("{begun}4 S> PUSH_PROMISE 1 2 GET"), &["server push-disabled 1 @4"]),
        (&format!("{begun}4 C> DATA 1 5"), &["client half-closed-remote-frame 1 @4"]),
    ]);
}

/// Everything here would break a rule if the capture had begun earlier.
#[test]
fn joined_midway() {
    check_whole(&[
        (
            "5 S> DATA 7 100\n6 S> HEADERS 7 END_STREAM grpc-status=0\n7 C> WINDOW_UPDATE 9 100\n\
             8 C> DATA 9 20000\n9 C> HEADERS 9 END_STREAM a=b\n10 S> SETTINGS ACK\n\
             11 C> HEADERS 11 END_STREAM GET\n12 S> HEADERS 11 END_STREAM :status=200\n\
             13 C> RST_STREAM 5 CANCEL\n14 S> HEADERS 3 END_STREAM :status=200\n\
             15 S> GOAWAY 1 NO_ERROR",
            &[],
        ),
        (
            "5 C> CONTINUATION 3 NO_END_HEADERS a=b\n5 C> CONTINUATION 3 a=b\n\
             6 C> WINDOW_UPDATE 0 9\n7 C> PING 0000000000000001\n\
             8 C> HEADERS 5 END_STREAM GET",
            &[],
        ),
        ("5 C> PING 0000000000000001\n6 C> HEADERS 11 POST\n7 C> DATA 11 70000", &[]),
    ]);
}

#[test]
fn frames_that_were_lost() {
    let get = ":method=GET :scheme=http :path=/";
    check_opened(&[
        // Stream 1 was opened in what was lost.
        (
            &format!(
                "5 GAP C 1\n6 C> HEADERS 1 POST\n7 C> DATA 1 5\n8 C> HEADERS 3 END_STREAM {get}\n\
                 9 S> HEADERS 1 END_STREAM :status=200\n10 C> DATA 1 5 END_STREAM\n\
                 11 S> HEADERS 3 END_STREAM :status=200"
            ),
            &[],
        ),
        // The server's SETTINGS were lost, their acknowledgement was not.
        ("5 GAP S 1\n6 S> SETTINGS\n7 C> SETTINGS ACK\n8 S> PING\n9 C> PING ACK", &[]),
        // WINDOW_UPDATE was lost.
        (
            "5 C> HEADERS 1 POST\n5 GAP S 1\n6 S> WINDOW_UPDATE 0 9999999\n\
             + WINDOW_UPDATE 1 9999999\n\
             7 C> DATA 1 16384\n+ DATA 1 16384\n+ DATA 1 16384\n+ DATA 1 16384\n+ DATA 1 16384",
            &[],
        ),
    ]);
}

#[test]
fn an_ordinary_connection() {
    check_whole(&[(
        "0 SYN\n1 C> PREFACE\n+ SETTINGS INITIAL_WINDOW_SIZE=1000000 ENABLE_PUSH=0\n\
         + WINDOW_UPDATE 0 1000000\n+ HEADERS 1 PRIORITY=0 END_STREAM GET\n\
         2 S> SETTINGS MAX_CONCURRENT_STREAMS=1\n+ SETTINGS ACK\n+ WINDOW_UPDATE 0 70000\n\
         2.01 C> HEADERS 3 END_STREAM GET\n3 C> SETTINGS ACK\n4 S> RST_STREAM 3 REFUSED_STREAM\n\
         5 S> HEADERS 1 :status=200 content-length=60000\n+ DATA 1 16000\n+ DATA 1 16000\n\
         6 S> DATA 1 16000\n+ DATA 1 12000 END_STREAM\n7 C> HEADERS 5 GET\n+ DATA 5 0 END_STREAM\n\
         8 S> HEADERS 5 END_STREAM :status=204\n9 S> GOAWAY 2147483647 NO_ERROR\n\
         9 C> HEADERS 7 END_STREAM GET\n10 S> GOAWAY 5 NO_ERROR\n11 C> FIN\n12 S> FIN",
        &[],
    )]);
}
