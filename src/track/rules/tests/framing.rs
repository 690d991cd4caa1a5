//! Frames alone and in order, SETTINGS, HPACK, extensions.

use super::{check_opened, check_whole};

#[test]
fn frames_alone() {
    check_opened(&[
        ("5 C> DATA 0 1", &["client data-stream-zero 0 @5"]),
        ("5 C> HEADERS 0 GET", &["client headers-stream-zero 0 @5"]),
        ("5 C> PRIORITY 0 3", &["client priority-stream-zero 0 @5"]),
        ("5 C> RST_STREAM 0 CANCEL", &["client rst-stream-zero 0 @5"]),
        ("5 C> CONTINUATION 0 a=b", &["client continuation-stream-zero 0 @5"]),
        ("5 S> PUSH_PROMISE 0 2 GET", &["server push-stream-zero 0 @5"]),
        ("5 C> FRAME 4 0 1 000300000001", &["client settings-stream-nonzero 1 @5"]),
        ("5 C> FRAME 6 0 1 0000000000000000", &["client ping-stream-nonzero 1 @5"]),
        ("5 C> FRAME 7 0 1 0000000000000000", &["client goaway-stream-nonzero 1 @5"]),
        ("5 C> FRAME 2 0 1 00", &["client priority-length 1 @5"]),
        ("5 C> FRAME 4 0 0 00030000", &["client settings-length 0 @5"]),
        ("5 C> FRAME 4 1 0 000300000001", &["client settings-ack-empty 0 @5"]),
        ("5 C> PING 00", &["client ping-length 0 @5"]),
        ("5 C> FRAME 7 0 0 00000000", &["client goaway-length 0 @5"]),
        ("5 C> FRAME 8 0 0 0000", &["client window-update-length 0 @5"]),
        ("5 C> WINDOW_UPDATE 0 0", &["client window-update-zero-conn 0 @5"]),
        ("5 C> HEADERS 1 POST\n6 C> FRAME 3 0 1 00", &["client rst-length 1 @6"]),
        ("5 C> HEADERS 1 POST\n6 C> FRAME 0 8 1 05000000", &["client data-padding 1 @6"]),
        ("5 C> HEADERS 1 POST\n6 C> FRAME 0 8 1", &["client frame-size-min 1 @6"]),
        ("5 C> FRAME 1 0x0c 1 ff82", &["client headers-padding 1 @5"]),
        ("5 C> FRAME 1 0x24 1 0000", &["client frame-size-min 1 @5"]),
        ("5 C> HEADERS 1 PRIORITY=1 END_STREAM GET", &["client headers-self-dependency 1 @5"]),
        ("5 C> PRIORITY 3 3", &["client headers-self-dependency 3 @5"]),
        ("5 C> HEADERS 1 POST\n6 C> WINDOW_UPDATE 1 0", &["client window-update-zero-stream 1 @6"]),
        ("5 C> FRAME 0x10 0 3 00000001", &["client priority-update-stream-nonzero 3 @5"]),
        ("5 S> FRAME 0x10 0 0 00000001", &["server priority-update-from-server 0 @5"]),
        ("5 C> FRAME 0x10 0 0 00000000753d30", &["client priority-update-id-zero 0 @5"]),
        ("5 C> FRAME 0x10 0 0 00000002753d30", &["client priority-update-idle-push 0 @5"]),
        ("5 C> FRAME 0x10 0 0 000001", &["client frame-size-min 0 @5"]),
        // A stream that the client may open yet, one that was promised, what was lost.
        ("5 C> FRAME 0x10 0 0 00000009", &[]),
        (
            "5 C> HEADERS 1 END_STREAM GET\n6 S> PUSH_PROMISE 1 2 GET\n\
             7 C> FRAME 0x10 0 0 00000002",
            &[],
        ),
        ("5 GAP S 1\n6 S> PING\n7 C> FRAME 0x10 0 0 00000002", &[]),
    ]);
}

#[test]
fn frame_sizes() {
    let large = "5 C> HEADERS 1 POST\n6 C> DATA 1 16385";
    check_opened(&[
        (large, &["client frame-size-limit 1 @6"]),
        ("5 C> HEADERS 1 POST\n6 C> DATA 1 16384", &[]),
        // A looser limit may be used as soon as it was sent.
        (
            "5 S> SETTINGS MAX_FRAME_SIZE=20000\n6 C> HEADERS 1 POST\n+ DATA 1 20000\n\
             7 C> SETTINGS ACK\n8 C> DATA 1 20001",
            &["client frame-size-limit 1 @8"],
        ),
        // A stricter one binds from the acknowledgement on.
        (
            "5 S> SETTINGS MAX_FRAME_SIZE=20000\n6 C> SETTINGS ACK\n\
             7 S> SETTINGS MAX_FRAME_SIZE=16384\n8 C> HEADERS 1 POST\n+ DATA 1 20000\n\
             9 C> SETTINGS ACK\n10 C> DATA 1 20000",
            &["client frame-size-limit 1 @10"],
        ),
    ]);
}

#[test]
fn header_blocks_in_one_piece() {
    check_opened(&[
        (
            "5 C> HEADERS 1 NO_END_HEADERS GET\n6 C> PING\n7 C> CONTINUATION 1 a=b",
            &["client header-block-contiguous 0 @6"],
        ),
        (
            "5 C> HEADERS 1 NO_END_HEADERS GET\n6 C> CONTINUATION 3 a=b",
            &["client header-block-contiguous 3 @6"],
        ),
        (
            "5 C> HEADERS 1 NO_END_HEADERS GET\n6 C> FRAME 0x2a 0 1\n7 C> CONTINUATION 1 a=b",
            &["client unknown-frame-in-header-block 1 @6"],
        ),
        ("5 C> CONTINUATION 1 a=b", &["client continuation-without-headers 1 @5"]),
        (
            "5 C> HEADERS 1 END_STREAM GET\n6 C> CONTINUATION 1 a=b",
            &["client continuation-without-headers 1 @6"],
        ),
        // The other side's frames may lie between.
        (
            "5 C> HEADERS 1 END_STREAM NO_END_HEADERS GET\n6 S> PING\n\
             7 C> CONTINUATION 1 NO_END_HEADERS a=b\n8 C> CONTINUATION 1 c=d\n9 C> PING ACK",
            &[],
        ),
    ]);
}

#[test]
fn settings_values() {
    check_opened(&[
        ("5 C> SETTINGS ENABLE_PUSH=2", &["client settings-enable-push-value 0 @5"]),
        ("5 S> SETTINGS ENABLE_PUSH=1", &["server settings-server-enable-push 0 @5"]),
        ("5 S> SETTINGS ENABLE_PUSH=0", &[]),
        (
            "5 C> SETTINGS INITIAL_WINDOW_SIZE=0x80000000",
            &["client settings-initial-window-max 0 @5"],
        ),
        ("5 C> SETTINGS INITIAL_WINDOW_SIZE=0x7fffffff", &[]),
        ("5 C> SETTINGS MAX_FRAME_SIZE=16383", &["client settings-max-frame-range 0 @5"]),
        ("5 C> SETTINGS MAX_FRAME_SIZE=0x1000000", &["client settings-max-frame-range 0 @5"]),
        ("5 C> SETTINGS MAX_FRAME_SIZE=0xffffff", &[]),
        ("5 C> SETTINGS NO_RFC7540_PRIORITIES=2", &["client no-rfc7540-priorities-value 0 @5"]),
        ("5 S> SETTINGS ENABLE_CONNECT_PROTOCOL=2", &["server extended-connect-setting 0 @5"]),
        (
            "5 S> SETTINGS ENABLE_CONNECT_PROTOCOL=1\n6 S> SETTINGS ENABLE_CONNECT_PROTOCOL=0",
            &["server extended-connect-setting 0 @6"],
        ),
        ("5 S> SETTINGS ENABLE_CONNECT_PROTOCOL=0\n6 S> SETTINGS ENABLE_CONNECT_PROTOCOL=1", &[]),
        // The first SETTINGS had none: that is 0.
        ("5 C> SETTINGS NO_RFC7540_PRIORITIES=0\n6 C> SETTINGS MAX_FRAME_SIZE=20000", &[]),
        ("5 C> SETTINGS NO_RFC7540_PRIORITIES=1", &["client no-rfc7540-priorities-value 0 @5"]),
        ("5 C> SETTINGS ACK", &["client settings-ack-unexpected 0 @5"]),
        ("5 C> SETTINGS\n6 C> SETTINGS\n7 S> SETTINGS ACK\n8 S> SETTINGS ACK", &[]),
        ("5 S> SETTINGS 0x2a2a=7 0x99=1 MAX_HEADER_LIST_SIZE=0 HEADER_TABLE_SIZE=0", &[]),
        ("5 S> SETTINGS\n9000 C> PING", &[]),
        ("5 S> SETTINGS\n10006 C> PING\n10007 C> PING", &["client settings-ack-required 0 @10006"]),
        (
            "5 S> SETTINGS\n3000 S> GOAWAY 0 SETTINGS_TIMEOUT",
            &["client settings-ack-required 0 @5"],
        ),
    ]);
}

#[test]
fn beginnings() {
    check_whole(&[
        ("0 SYN\n1 C> PREFACE\n2 C> PING\n3 C> SETTINGS", &["client client-settings-first 0 @2"]),
        ("0 SYN\n1 C> PREFACE\n+ SETTINGS\n2 S> PING", &["server server-settings-first 0 @2"]),
        (
            "0 SYN\n1 C> PREFACE\n+ SETTINGS\n2 S> SETTINGS ACK\n3 S> SETTINGS",
            &["server server-settings-first 0 @2"],
        ),
        (
            "0 SYN\n1 C> TEXT \"GET / HTTP/1.1\\r\\n\\r\\n\"\n2 S> SETTINGS\n3 S> GOAWAY 0 1",
            &["client client-preface 0 @1"],
        ),
        // A client that is silent, or slow, has not begun with something else.
        ("0 SYN\n1 S> SETTINGS\n9 S> GOAWAY 0 1", &[]),
        ("0 SYN\n0 C> TEXT \"PRI * HT\"\n1 S> SETTINGS\n9 S> GOAWAY 0 1", &[]),
        ("0 SYN\n1 S> SETTINGS\n2 C> PREFACE\n+ SETTINGS\n3 C> SETTINGS ACK", &[]),
    ]);
}

#[test]
fn header_compression() {
    check_opened(&[
        ("5 C> FRAME 1 5 1 80", &["client hpack-index-zero 1 @5"]),
        ("5 C> FRAME 1 5 1 fe", &["client hpack-index-range 1 @5"]),
        ("5 C> FRAME 1 5 1 3fffffff0f", &["client hpack-size-update-limit 1 @5"]),
        ("5 C> FRAME 1 5 1 828684413f", &["client hpack-decode 1 @5"]),
        // What cannot be read excuses what rests on it.
        (
            "5 C> HEADERS 1 END_STREAM GET\n6 S> FRAME 1 4 1 80\n7 S> DATA 1 5",
            &["server hpack-index-zero 1 @6"],
        ),
        ("5 C> FRAME 1 5 1 82868441018220", &["client hpack-size-update-position 1 @5"]),
        ("5 C> FRAME 1 5 1 828684410183ffffff", &["client hpack-decode 1 @5"]),
        ("5 C> FRAME 1 5 1 8286844184ffffffff", &["client hpack-huffman-eos 1 @5"]),
        ("5 C> FRAME 1 5 1 82868441811c", &["client hpack-huffman-padding 1 @5"]),
        ("5 C> FRAME 1 5 1 828684ffffffffffffffffff", &["client hpack-integer-overflow 1 @5"]),
        (
            "5 S> SETTINGS HEADER_TABLE_SIZE=0\n6 C> SETTINGS ACK\n\
             7 C> RAW 000003 01 05 00000001 828684",
            &["client hpack-size-update-required 1 @7"],
        ),
        (
            "5 S> SETTINGS HEADER_TABLE_SIZE=0\n6 C> SETTINGS ACK\n\
             7 C> RAW 000004 01 05 00000001 20828684",
            &[],
        ),
    ]);
}
