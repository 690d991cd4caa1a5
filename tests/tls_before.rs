//! What stands before TLS on a connection: a PROXY protocol header, or a tunnel that CONNECT
//! opened.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use goawhy::tls::Kind;
use goawhy::vocab::address::Half;

use common::tls::{Flow, Pieces, flow, key_log, read};

#[test]
fn tls_behind_a_proxy_header_or_inside_a_tunnel_is_read() {
    let Flow { key, client, pieces } = flow("tls13_aes128gcm");
    let log = key_log("tls13_aes128gcm");
    let whole = read(key, Some(client), &pieces, &log);
    assert_eq!(whole.kind, Kind::Tls);
    let whole = [Half::A, Half::B].map(|half| whole.octets(half));
    assert!(whole.iter().all(|octets| octets.len() > 200));
    let server = client.other();
    let version_2 = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &[7; 12]].concat();
    let ask = b"CONNECT corpus.test:443 HTTP/1.1\r\nHost: corpus.test:443\r\n\r\n".to_vec();
    let grant = b"HTTP/1.1 200 Connection established\r\n\r\n".to_vec();
    let refuse =
        b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno".to_vec();
    let preludes: [Pieces; 4] = [
        vec![(client, b"PROXY TCP4 192.0.2.1 192.0.2.2 1111 443\r\n".to_vec())],
        vec![(client, version_2.clone())],
        vec![(client, ask.clone()), (server, grant.clone())],
        vec![
            (client, version_2),
            (client, ask.clone()),
            (server, refuse),
            (client, ask),
            (server, grant),
        ],
    ];
    for prelude in preludes {
        let all = [prelude, pieces.clone()].concat();
        for initiator in [Some(client), None] {
            for size in [1, 5, usize::MAX] {
                let cut = |(half, octets): &(Half, Vec<u8>)| -> Pieces {
                    octets.chunks(size).map(|piece| (*half, piece.to_vec())).collect()
                };
                let pieces: Pieces = all.iter().flat_map(cut).collect();
                let told = read(key, initiator, &pieces, &log);
                assert_eq!(told.kind, Kind::Tls, "{initiator:?} {size}");
                let told = [Half::A, Half::B].map(|half| told.octets(half));
                assert_eq!(told, whole, "{initiator:?} {size}");
            }
        }
        // The header and the first record in one segment.
        if all[0].0 == client && all[1].0 == client {
            let mut joined = all.clone();
            let (_, first) = joined.remove(0);
            joined[0].1.splice(0..0, first);
            let told = read(key, Some(client), &joined, &log);
            assert_eq!([Half::A, Half::B].map(|half| told.octets(half)), whole);
        }
    }
}

#[test]
fn a_tunnel_with_something_else_in_it_passes_unchanged() {
    let Flow { key, client, .. } = flow("tls13_aes128gcm");
    let ask = b"CONNECT a:80 HTTP/1.1\r\n\r\n".to_vec();
    let grant = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let pieces =
        vec![(client, ask.clone()), (client.other(), grant.clone()), (client, preface.clone())];
    let told = read(key, Some(client), &pieces, b"");
    assert_eq!(told.kind, Kind::Plain);
    let sent = [ask, preface].concat();
    assert_eq!((told.octets(client), told.octets(client.other())), (sent, grant));
}
