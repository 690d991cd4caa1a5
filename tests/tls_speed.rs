//! Bulk decryption in octets a CPU second, beside what `openssl speed -evp` gives for the same
//! cipher and record size in the same run:
//! `cargo test --release --test tls_speed -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::net::IpAddr;
use std::process::Command;

use ring::{aead, hkdf};

use goawhy::tls::{KeyLog, Kind, Session};
use goawhy::vocab::address::{Endpoint, FlowKey, Half};
use goawhy::vocab::flow::FlowItem;
use goawhy::vocab::limits::Limits;
use goawhy::vocab::time::Stamp;

const RANDOM: [u8; 32] = [0xa5; 32];
const CONTENT: usize = 16 * 1024;
const RECORDS: u64 = 2048;

/// A suite of TLS 1.3.
struct Suite {
    number: [u8; 2],
    /// OpenSSL's name of its cipher.
    name: &'static str,
    cipher: &'static aead::Algorithm,
    hash: hkdf::Algorithm,
    secret: &'static [u8],
}

fn suites() -> [Suite; 3] {
    let suite = |last, name, cipher, hash, secret| Suite {
        number: [0x13, last],
        name,
        cipher,
        hash,
        secret,
    };
    [
        suite(1, "aes-128-gcm", &aead::AES_128_GCM, hkdf::HKDF_SHA256, &[0x5e; 32]),
        suite(2, "aes-256-gcm", &aead::AES_256_GCM, hkdf::HKDF_SHA384, &[0x5e; 48]),
        suite(3, "chacha20-poly1305", &aead::CHACHA20_POLY1305, hkdf::HKDF_SHA256, &[0x5e; 32]),
    ]
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand(suite: &Suite, label: &[u8], length: usize) -> Vec<u8> {
    let prk = hkdf::Prk::new_less_safe(suite.hash, suite.secret);
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

/// Application data of a server.
fn bulk(suite: &Suite) -> Vec<u8> {
    let key = aead::UnboundKey::new(suite.cipher, &expand(suite, b"key", suite.cipher.key_len()));
    let key = aead::LessSafeKey::new(key.unwrap());
    let iv = expand(suite, b"iv", 12);
    let mut octets = Vec::new();
    for sequence in 0..RECORDS {
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

/// What OpenSSL does of a cipher with blocks as long as records, in octets a CPU second.
fn openssl(name: &str) -> Option<f64> {
    let mut command = Command::new("openssl");
    command.args(["speed", "-seconds", "3", "-bytes", "16384", "-evp", name]);
    let output = command.output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = text.lines().rfind(|line| line.ends_with('k'))?;
    let figure = last.split_whitespace().last()?.trim_end_matches('k');
    Some(figure.parse::<f64>().ok()? * 1000.0)
}

/// Octets of plaintext a CPU second, by pieces of `size`.
fn measure(suite: &Suite, octets: &[u8], size: usize) -> f64 {
    let hex = |octets: &[u8]| octets.iter().map(|o| format!("{o:02x}")).collect::<String>();
    let mut keys = KeyLog::new();
    let line = format!("SERVER_TRAFFIC_SECRET_0 {} {}", hex(&RANDOM), hex(suite.secret));
    keys.add_text(line.as_bytes());
    let [high, low] = suite.number;
    let client = hello(1, &[0, 2, high, low, 1, 0], &[]);
    let server = hello(2, &[high, low, 0], &[0, 6, 0, 43, 0, 2, 3, 4]);
    let ip = IpAddr::from([127, 0, 0, 1]);
    let key = FlowKey { low: Endpoint { ip, port: 443 }, high: Endpoint { ip, port: 50_000 } };
    let (stamp, limits) = (Stamp::default(), Limits::default());
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
        let mut push = |item: &FlowItem<'_>| session.push(item, &keys, &limits, &mut up);
        push(&FlowItem::Opened { stamp, key, initiator: Some(Half::B), first: Half::B });
        let bytes = |half, data| FlowItem::Bytes { stamp, half, offset: 0, seen: 0, data };
        push(&bytes(Half::B, &client));
        push(&bytes(Half::A, &server));
        let begun = cpu_seconds();
        for piece in octets.chunks(size) {
            assert_eq!(push(&bytes(Half::A, piece)), Kind::Tls);
        }
        seconds += cpu_seconds() - begun;
        assert_eq!(plain, RECORDS as usize * CONTENT);
        total += plain as f64;
    }
    total / seconds
}

#[test]
#[ignore = "a measurement"]
fn bulk_decryption() {
    for suite in suites() {
        let octets = bulk(&suite);
        let Some(reference) = openssl(suite.name) else {
            eprintln!("no openssl on this machine: nothing to compare with");
            return;
        };
        for size in [1448, 65_536] {
            let speed = measure(&suite, &octets, size);
            let (name, times) = (suite.name, reference / speed);
            let (speed, openssl) = (speed / 1e6, reference / 1e6);
            println!("{name} in pieces of {size}: {speed:.0} MB a CPU second");
            println!("    openssl {openssl:.0}, {times:.2} times");
            assert!(times <= 1.5, "{name}: slower than it may be");
        }
    }
}
