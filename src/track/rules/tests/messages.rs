//! Header lists, trailers, content-length.

use super::check_opened;

/// One request with these fields, and its one finding if any.
fn request(cases: &[(&str, &str)]) {
    for (fields, id) in cases {
        let script = format!("5 C> HEADERS 1 END_STREAM {fields}");
        let wanted = format!("client {id} 1 @5");
        let wanted: &[&str] = if id.is_empty() { &[] } else { &[&wanted] };
        check_opened(&[(&script, wanted)]);
    }
}

#[test]
fn requests() {
    request(&[
        (":scheme=http :path=/", "msg-request-pseudo-mandatory"),
        (":method=GET :path=/", "msg-request-pseudo-mandatory"),
        (":method=GET :scheme=http", "msg-request-pseudo-mandatory"),
        (":method=GET GET", "msg-pseudo-duplicate"),
        (":method=GET :scheme=http a=b :path=/", "msg-pseudo-order"),
        ("GET :status=200", "msg-pseudo-unknown"),
        ("GET :nonsense=1", "msg-pseudo-unknown"),
        (":method=GET :scheme=https :path=", "msg-path-empty"),
        ("GET host=b", "msg-authority-host"),
        ("GET host=A:80", ""),
        ("GET !\"X-Up\"=a", "msg-uppercase"),
        ("GET !\"x y\"=a", "msg-name-chars"),
        ("GET !\"x:y\"=a", "msg-name-chars"),
        ("GET !x=\"a\\r\\nb\"", "msg-value-chars"),
        ("GET !x=\" a\"", "msg-value-chars"),
        ("GET !x=\"a\\xffb c\"", ""),
        ("GET connection=close", "msg-connection-headers"),
        ("GET transfer-encoding=chunked", "msg-connection-headers"),
        ("GET upgrade=h2c", "msg-connection-headers"),
        ("GET keep-alive=5", "msg-connection-headers"),
        ("GET proxy-connection=close", "msg-connection-headers"),
        ("GET te=gzip", "msg-te"),
        ("GET te=trailers", ""),
        (":method=CONNECT :authority=a:443", ""),
        (":method=CONNECT :authority=a:443 :path=/", "connect-no-scheme-path"),
        ("GET content-length=5", "msg-content-length"),
        ("GET content-length=0", ""),
        ("GET content-length=0 content-length=5", "msg-content-length"),
        ("GET content-length=0 content-length=0", ""),
        (":method=CONNECT", "connect-no-scheme-path"),
        (
            ":method=CONNECT :protocol=websocket :scheme=http :path=/ :authority=a",
            "extended-connect-unsupported",
        ),
    ]);
}

#[test]
fn extended_connect() {
    check_opened(&[(
        "5 S> SETTINGS ENABLE_CONNECT_PROTOCOL=1\n\
         6 C> HEADERS 1 :method=CONNECT :protocol=websocket :scheme=http :path=/ :authority=a\n\
         7 S> HEADERS 1 :status=200\n8 C> DATA 1 5 END_STREAM\n9 S> DATA 1 5 END_STREAM",
        &[],
    )]);
}

#[test]
fn responses() {
    let get = "5 C> HEADERS 1 END_STREAM GET\n";
    check_opened(&[
        (&format!("{get}6 S> HEADERS 1 END_STREAM a=b"), &["server msg-response-status 1 @6"]),
        (
            &format!("{get}6 S> HEADERS 1 END_STREAM :status=200 :path=/"),
            &["server msg-pseudo-unknown 1 @6"],
        ),
        (
            &format!("{get}6 S> HEADERS 1 END_STREAM :status=103"),
            &["server msg-1xx-end-stream 1 @6"],
        ),
        (
            &format!("{get}6 S> HEADERS 1 END_STREAM :status=200 te=trailers"),
            &["server msg-te 1 @6"],
        ),
        (&format!("{get}6 S> DATA 1 5"), &["server data-before-headers 1 @6"]),
        (
            &format!("{get}6 S> HEADERS 1 :status=103\n7 S> DATA 1 5"),
            &["server data-before-headers 1 @7"],
        ),
        (
            &format!("{get}6 S> HEADERS 1 :status=200\n7 S> HEADERS 1 a=b"),
            &["server msg-trailers-end-stream 1 @7"],
        ),
        (
            &format!("{get}6 S> HEADERS 1 :status=200\n7 S> HEADERS 1 END_STREAM :status=200"),
            &["server msg-pseudo-in-trailers 1 @7"],
        ),
        (
            &format!(
                "{get}6 S> HEADERS 1 :status=103\n6 S> HEADERS 1 :status=103\n\
                 7 S> HEADERS 1 :status=200\n8 S> DATA 1 5\n9 S> HEADERS 1 END_STREAM a=b"
            ),
            &[],
        ),
    ]);
}

#[test]
fn trailers_of_requests() {
    let post = "5 C> HEADERS 1 POST\n6 C> DATA 1 5\n";
    check_opened(&[
        (&format!("{post}7 C> HEADERS 1 END_STREAM a=b"), &[]),
        (&format!("{post}7 C> HEADERS 1 a=b"), &["client msg-trailers-end-stream 1 @7"]),
        (
            &format!("{post}7 C> HEADERS 1 END_STREAM :method=GET"),
            &["client msg-pseudo-in-trailers 1 @7"],
        ),
    ]);
}

#[test]
fn declared_lengths() {
    let get = "5 C> HEADERS 1 END_STREAM GET\n";
    let post = "5 C> HEADERS 1 POST content-length=5\n";
    check_opened(&[
        (&format!("{post}6 C> DATA 1 3\n7 C> DATA 1 2 PAD=9 END_STREAM"), &[]),
        (&format!("{post}6 C> DATA 1 4 END_STREAM"), &["client msg-content-length 1 @6"]),
        (
            &format!("{post}6 C> DATA 1 6\n7 C> DATA 1 9 END_STREAM"),
            &["client msg-content-length 1 @6"],
        ),
        (&format!("{post}6 C> HEADERS 1 END_STREAM a=b"), &["client msg-content-length 1 @6"]),
        (&format!("{post}6 C> RST_STREAM 1 CANCEL"), &[]),
        (
            &format!("{get}6 S> HEADERS 1 END_STREAM :status=200 content-length=9"),
            &["server msg-content-length 1 @6"],
        ),
        (&format!("{get}6 S> HEADERS 1 END_STREAM :status=304 content-length=9"), &[]),
        (
            "5 C> HEADERS 1 END_STREAM :method=HEAD :scheme=http :path=/\n\
             6 S> HEADERS 1 END_STREAM :status=200 content-length=9",
            &[],
        ),
    ]);
}

#[test]
fn tunnels() {
    let connect = "5 C> HEADERS 1 :method=CONNECT :authority=a:443\n6 S> HEADERS 1 :status=200\n";
    check_opened(&[
        (&format!("{connect}7 C> DATA 1 5\n8 S> DATA 1 9 END_STREAM"), &[]),
        (&format!("{connect}7 C> HEADERS 1 END_STREAM a=b"), &["client connect-frames 1 @7"]),
    ]);
}
