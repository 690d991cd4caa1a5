//! What the first octets of both halves say.

use super::*;

fn opening(client: &[u8], server: &[u8], ended: bool) -> Opening {
    let whole = Prelude::default().opening(client, server, ended);
    // The same in pieces, with what was read gone.
    let mut prelude = Prelude::default();
    let (mut gone, mut last) = ((0, 0), Opening::Undecided);
    let longest = client.len().max(server.len());
    for end in (0..longest).step_by(5).chain([longest]) {
        let piece = |octets: &[u8], from: usize| octets[from..end.min(octets.len())].to_vec();
        let (one, other) = (piece(client, gone.0), piece(server, gone.1));
        last = prelude.opening(&one, &other, ended && end == longest);
        if last != Opening::Undecided {
            break;
        }
        let (of_client, of_server) = prelude.read_octets();
        prelude.forget(of_client, of_server);
        gone = (gone.0 + of_client, gone.1 + of_server);
    }
    let last = match last {
        Opening::PriorKnowledge { client_from, server_from } => Opening::PriorKnowledge {
            client_from: client_from + gone.0,
            server_from: server_from + gone.1,
        },
        Opening::Upgrade { client_from, server_from } => Opening::Upgrade {
            client_from: client_from + gone.0,
            server_from: server_from + gone.1,
        },
        Opening::ServerOnly { server_from } => {
            Opening::ServerOnly { server_from: server_from + gone.1 }
        }
        other => other,
    };
    assert_eq!(whole, last, "{}", String::from_utf8_lossy(client));
    whole
}

fn joined(client: &[u8], server: &[u8], ended: bool) -> Opening {
    Prelude::default().joined(client, server, ended)
}

const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

#[test]
fn prior_knowledge_also_in_pieces_and_behind_a_proxy_header() {
    assert_eq!(opening(&PREFACE[..9], b"", false), Opening::Undecided);
    let found = Opening::PriorKnowledge { client_from: 0, server_from: 0 };
    assert_eq!(opening(PREFACE, b"", false), found);
    let mut proxied = b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n".to_vec();
    let length = proxied.len();
    proxied.extend(PREFACE);
    let found = Opening::PriorKnowledge { client_from: length, server_from: 0 };
    assert_eq!(opening(&proxied, b"", false), found);
    let mut proxied = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    proxied.extend([0x21, 0x11, 0, 4, 1, 2, 3, 4]);
    proxied.extend(PREFACE);
    let found = Opening::PriorKnowledge { client_from: 20, server_from: 0 };
    assert_eq!(opening(&proxied, b"", false), found);
}

#[test]
fn an_upgrade_counts_once_it_is_accepted() {
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n";
    assert_eq!(opening(request, b"", false), Opening::Undecided);
    let accepted = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n";
    let (client_from, server_from) = (request.len(), accepted.len());
    let found = Opening::Upgrade { client_from, server_from };
    assert_eq!(opening(request, accepted, false), found);
    assert_eq!(opening(request, b"HTTP/1.1 200 OK\r\n\r\n", true), Opening::Other);
    // A 101 without fields counts once the server's SETTINGS stand behind it.
    let bare = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";
    assert_eq!(opening(request, bare, false), Opening::Undecided);
    let found = Opening::Upgrade { client_from, server_from: bare.len() };
    assert_eq!(opening(request, &[&bare[..], SETTINGS].concat(), false), found);
    let other = [&bare[..], b"something else"].concat();
    assert_eq!(opening(request, &other, false), Opening::Other);
    let socket = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(opening(request, socket, false), Opening::Other);
    let refused = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    assert_eq!(opening(request, refused, false), Opening::Undecided);
    let (twice, both) = ([&request[..]; 2].concat(), [&refused[..], accepted].concat());
    let found = Opening::Upgrade { client_from: 2 * client_from, server_from: both.len() };
    assert_eq!(opening(&twice, &both, false), found);
}

#[test]
fn bodies_and_interim_answers_stand_before_an_upgrade() {
    let accepted = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n";
    let ask = |fields: &str, body: &str| {
        format!("POST / HTTP/1.1\r\nUpgrade: h2c\r\n{fields}\r\n\r\n{body}")
    };
    let get = "GET / HTTP/1.1\r\n\r\n";
    let head = "HEAD / HTTP/1.1\r\n\r\n";
    let long = "x".repeat(100_000);
    let answer = |fields: &str, body: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{body}");
    let (chunked, sized) = ("Transfer-Encoding: chunked", "Content-Length: 100000");
    let one = "5\r\nhello\r\n0\r\n\r\n";
    let cases = [
        (ask(chunked, one), String::new()),
        (ask(sized, &long), String::new()),
        (
            ask("Expect: 100-continue\r\nContent-Length: 5", "hello"),
            "HTTP/1.1 100 Continue\r\n\r\n".into(),
        ),
        (ask("A: b", ""), "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".into()),
        (get.to_owned() + &ask("A: b", ""), answer(chunked, one)),
        (get.to_owned() + &ask("A: b", ""), answer(sized, &long)),
        (head.to_owned() + &ask("A: b", ""), answer(sized, "")),
    ];
    for (client, server) in cases {
        let server = server + accepted;
        let found = Opening::Upgrade { client_from: client.len(), server_from: server.len() };
        assert_eq!(opening(client.as_bytes(), server.as_bytes(), false), found);
    }
}

#[test]
fn a_tunnel_and_a_plain_download() {
    let mut client = b"CONNECT a:80 HTTP/1.1\r\n\r\n".to_vec();
    let request = client.len();
    client.extend(PREFACE);
    let answer = b"HTTP/1.1 200 Connection established\r\n\r\n";
    let found = Opening::PriorKnowledge { client_from: request, server_from: answer.len() };
    assert_eq!(opening(&client, answer, false), found);
    let ask = b"CONNECT a:80 HTTP/1.1\r\n\r\n";
    let refused = b"HTTP/1.1 407 Authenticate\r\nContent-Length: 2\r\n\r\nno";
    let (client, server) = ([&ask[..], &client].concat(), [&refused[..], answer].concat());
    let (client_from, server_from) = (2 * request, server.len());
    let found = Opening::PriorKnowledge { client_from, server_from };
    assert_eq!(opening(&client, &server, false), found);
    let get = b"GET /a.pcap HTTP/1.1\r\n\r\n";
    assert_eq!(opening(get, b"HTTP/1.1 200 OK\r\n\r\n", true), Opening::Other);
}

#[test]
fn a_preface_behind_answers_needs_the_frames_of_a_server() {
    let get = b"GET / HTTP/1.1\r\n\r\n";
    let client = [&get[..], PREFACE].concat();
    let (head, sized) = ("HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 404 No\r\nContent-Length: 2\r\n\r\n");
    for answer in [sized.to_owned() + "no", head.to_owned(), head.to_owned() + "of any length"] {
        let answer = answer.as_bytes();
        assert_eq!(opening(&client, answer, false), Opening::Undecided);
        assert_eq!(opening(&client, answer, true), Opening::Other);
        let (client_from, server_from) = (get.len(), answer.len());
        let found = Opening::PriorKnowledge { client_from, server_from };
        assert_eq!(opening(&client, &[answer, SETTINGS].concat(), false), found);
    }
    // Nothing else may follow an answer that ends with the connection.
    let again = [&get[..], get].concat();
    assert_eq!(opening(&again, head.as_bytes(), false), Opening::Other);
    // Interim answers to a request that was not captured.
    let interim =
        [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 Connected\r\n\r\n", SETTINGS].concat();
    let server_from = interim.len() - SETTINGS.len();
    let found = Opening::PriorKnowledge { client_from: 0, server_from };
    assert_eq!(joined(PREFACE, &interim, false), found);
}

#[test]
fn a_server_that_speaks_http2_to_a_client_that_does_not() {
    let get = b"GET / HTTP/1.1\r\n\r\n";
    assert_eq!(opening(get, SETTINGS, false), Opening::ServerOnly { server_from: 0 });
    assert_eq!(opening(b"", SETTINGS, true), Opening::ServerOnly { server_from: 0 });
    assert_eq!(opening(b"\x16\x03\x01", b"", true), Opening::Other);
}

#[test]
fn a_beginning_without_syn() {
    let both = [PREFACE, SETTINGS].concat();
    let from = |server_from| Opening::PriorKnowledge { client_from: 0, server_from };
    assert_eq!(joined(&both, SETTINGS, false), from(0));
    assert_eq!(joined(&both, b"", false), from(0));
    assert_eq!(joined(&both, b"something else", false), Opening::Other);
    // Behind the answer to a request that was not captured, if its frames stand there.
    let answer = b"HTTP/1.1 200 Connection established\r\n\r\n";
    assert_eq!(joined(&both, &answer[..9], false), Opening::Undecided);
    assert_eq!(joined(&both, answer, false), Opening::Undecided);
    assert_eq!(joined(&both, answer, true), Opening::Other);
    let tunnel = [&answer[..], SETTINGS].concat();
    assert_eq!(joined(&both, &tunnel, false), from(answer.len()));
    assert_eq!(joined(&both, &[&answer[..], b"stored"].concat(), false), Opening::Other);
    assert!(asks(&both) && asks(b"GET / HTTP/1.1\r\n") && asks(b"PATCH /"));
    assert!(!asks(&PREFACE[1..]) && !asks(SETTINGS) && !asks(b"") && !asks(b"PRI"));
    let leads = |octets: &[u8]| Front::default().leads(octets);
    assert!(leads(answer) && leads(&tunnel) && leads(b"HTTP/1.1 101 Swi"));
    assert!(!leads(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n") && !leads(b""));
    assert!(!leads(b"HTTP/1.1 101 A\r\nUpgrade: websocket\r\n\r\n"));
}

#[test]
fn bodies_that_look_like_frames_are_no_beginning_at_the_end_either() {
    let get = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    let frames = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64\0\0\0\x04\x01\0\0\0\0";
    let head = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n").into_bytes();
    for fields in ["Content-Length: 24\r\n", "Content-Length: 99\r\n", "Connection: close\r\n", ""]
    {
        let server = [&head(fields)[..], frames].concat();
        let mut prelude = Prelude::default();
        prelude.opening(get, &server, false);
        assert!(matches!(prelude.opening(get, &server, true), Opening::Other), "{fields}");
        let refused = b"GET /a HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n";
        assert!(matches!(Prelude::default().opening(refused, &server, true), Opening::Other));
    }
    let bare = Prelude::default().opening(b"", frames, true);
    assert!(matches!(bare, Opening::ServerOnly { server_from: 0 }));
}
