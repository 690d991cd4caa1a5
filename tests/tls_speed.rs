//! Bulk decryption, beside what `openssl speed -evp aes-128-gcm -bytes 16384` gives:
//! `cargo test --release --test tls_speed -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::net::IpAddr;

use ring::{aead, hkdf};

use goawhy::tls::{KeyLog, Kind, Session};
use goawhy::vocab::address::{Endpoint, FlowKey, Half};
use goawhy::vocab::flow::FlowItem;
use goawhy::vocab::time::Stamp;

const SECRET: [u8; 32] = [0x5e; 32];
const RANDOM: [u8; 32] = [0xa5; 32];
const CONTENT: usize = 16 * 1024;

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand(label: &[u8], length: usize) -> Vec<u8> {
    let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &SECRET);
    let lengths = ([0, length as u8], [6 + label.len() as u8]);
    let info = [&lengths.0[..], &lengths.1, b"tls13 ", label, &[0]];
    let mut output = vec![0; length];
    prk.expand(&info, Length(length)).unwrap().fill(&mut output).unwrap();
    output
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3][..], &(body.len() as u16).to_be_bytes(), body].concat()
}

fn hello(kind: u8, cipher: &[u8], extensions: &[u8]) -> Vec<u8> {
    let body = [&[3, 3][..], &RANDOM, &[0], cipher, extensions].concat();
    record(22, &[&[kind, 0, 0, body.len() as u8][..], &body].concat())
}

/// Application data of a server, TLS 1.3 with AES-128-GCM.
fn bulk(records: u64) -> Vec<u8> {
    let key = aead::UnboundKey::new(&aead::AES_128_GCM, &expand(b"key", 16)).unwrap();
    let key = aead::LessSafeKey::new(key);
    let iv = expand(b"iv", 12);
    let mut octets = Vec::new();
    for sequence in 0..records {
        let mut nonce: [u8; 12] = iv.clone().try_into().unwrap();
        for (octet, number) in nonce.iter_mut().skip(4).zip(sequence.to_be_bytes()) {
            *octet ^= number;
        }
        let mut body = vec![b'a'; CONTENT];
        body.push(23);
        let length = ((body.len() + 16) as u16).to_be_bytes();
        let aad = aead::Aad::from([23, 3, 3, length[0], length[1]]);
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(nonce, aad, &mut body).unwrap();
        octets.extend(record(23, &body));
    }
    octets
}

/// Time this thread has spent on a processor: other work on the machine does not count.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

#[test]
#[ignore = "a measurement"]
fn bulk_decryption() {
    let hex = |octets: &[u8]| octets.iter().map(|o| format!("{o:02x}")).collect::<String>();
    let mut keys = KeyLog::new();
    keys.add_text(format!("SERVER_TRAFFIC_SECRET_0 {} {}", hex(&RANDOM), hex(&SECRET)).as_bytes());
    let client = hello(1, &[0, 2, 0x13, 1, 1, 0], &[]);
    let server = hello(2, &[0x13, 1, 0], &[0, 6, 0, 43, 0, 2, 3, 4]);
    let octets = bulk(4096);
    let ip = IpAddr::from([127, 0, 0, 1]);
    let key = FlowKey { low: Endpoint { ip, port: 443 }, high: Endpoint { ip, port: 50_000 } };
    let stamp = Stamp::default();
    for size in [1448, 65_536] {
        let (mut seconds, mut total) = (0.0, 0.0);
        // The clock of the processor moves in ticks: only the sum is exact.
        for _ in 0..30 {
            let mut session = Session::new();
            let mut plain = 0;
            let mut up = |item: FlowItem<'_>| {
                if let FlowItem::Bytes { data, .. } = item {
                    plain += data.len();
                }
            };
            let initiator = Some(Half::B);
            session.push(
                &FlowItem::Opened { stamp, key, initiator, first: Half::B },
                &keys,
                &mut up,
            );
            let bytes = |half, data| FlowItem::Bytes { stamp, half, offset: 0, seen: 0, data };
            session.push(&bytes(Half::B, &client), &keys, &mut up);
            session.push(&bytes(Half::A, &server), &keys, &mut up);
            let begun = cpu_seconds();
            for piece in octets.chunks(size) {
                assert_eq!(session.push(&bytes(Half::A, piece), &keys, &mut up), Kind::Tls);
            }
            seconds += cpu_seconds() - begun;
            assert_eq!(plain, 4096 * CONTENT);
            total += plain as f64;
        }
        println!("pieces of {size}: {:.0} MB a CPU second", total / seconds / 1e6);
    }
}
