//! Every cipher suite that is read, between a real client and a real server: OpenSSL at both ends
//! of a relay that notes the octets. Says so and passes where there is no `openssl`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::process::{Process, free_port};
use common::tls::{Pieces, read};

use goawhy::vocab::address::{Both, Endpoint, FlowKey, Half};
use goawhy::vocab::tls::{Alert, EarlyData, TlsFacts, TlsVersion};

/// How long anything here may take at most.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a server hears nothing of a client that is at work.
const HEARD_WITHIN: Duration = Duration::from_secs(20);

const CLIENT: Half = Half::A;

/// Suites of TLS 1.2 by OpenSSL's names (RFC 5246, 5288, 5289, 5487, 6655, 7251, 7905).
const TLS12: &[(&str, u16)] = &[
    ("AES128-SHA", 0x002f),
    ("DHE-RSA-AES128-SHA", 0x0033),
    ("AES256-SHA", 0x0035),
    ("DHE-RSA-AES256-SHA", 0x0039),
    ("AES128-SHA256", 0x003c),
    ("AES256-SHA256", 0x003d),
    ("DHE-RSA-AES128-SHA256", 0x0067),
    ("DHE-RSA-AES256-SHA256", 0x006b),
    ("AES128-GCM-SHA256", 0x009c),
    ("AES256-GCM-SHA384", 0x009d),
    ("DHE-RSA-AES128-GCM-SHA256", 0x009e),
    ("DHE-RSA-AES256-GCM-SHA384", 0x009f),
    ("PSK-AES128-GCM-SHA256", 0x00a8),
    ("PSK-AES256-GCM-SHA384", 0x00a9),
    ("DHE-PSK-AES128-GCM-SHA256", 0x00aa),
    ("DHE-PSK-AES256-GCM-SHA384", 0x00ab),
    ("ECDHE-ECDSA-AES128-SHA", 0xc009),
    ("ECDHE-ECDSA-AES256-SHA", 0xc00a),
    ("ECDHE-RSA-AES128-SHA", 0xc013),
    ("ECDHE-RSA-AES256-SHA", 0xc014),
    ("ECDHE-ECDSA-AES128-SHA256", 0xc023),
    ("ECDHE-ECDSA-AES256-SHA384", 0xc024),
    ("ECDHE-RSA-AES128-SHA256", 0xc027),
    ("ECDHE-RSA-AES256-SHA384", 0xc028),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", 0xc02b),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", 0xc02c),
    ("ECDHE-RSA-AES128-GCM-SHA256", 0xc02f),
    ("ECDHE-RSA-AES256-GCM-SHA384", 0xc030),
    ("AES128-CCM", 0xc09c),
    ("AES256-CCM", 0xc09d),
    ("DHE-RSA-AES128-CCM", 0xc09e),
    ("DHE-RSA-AES256-CCM", 0xc09f),
    ("AES128-CCM8", 0xc0a0),
    ("AES256-CCM8", 0xc0a1),
    ("DHE-RSA-AES128-CCM8", 0xc0a2),
    ("DHE-RSA-AES256-CCM8", 0xc0a3),
    ("ECDHE-ECDSA-AES128-CCM", 0xc0ac),
    ("ECDHE-ECDSA-AES256-CCM", 0xc0ad),
    ("ECDHE-ECDSA-AES128-CCM8", 0xc0ae),
    ("ECDHE-ECDSA-AES256-CCM8", 0xc0af),
    ("ECDHE-RSA-CHACHA20-POLY1305", 0xcca8),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", 0xcca9),
    ("DHE-RSA-CHACHA20-POLY1305", 0xccaa),
];

/// Suites of TLS 1.3 (RFC 8446 appendix B.4).
const TLS13: &[(&str, u16)] = &[
    ("TLS_AES_128_GCM_SHA256", 0x1301),
    ("TLS_AES_256_GCM_SHA384", 0x1302),
    ("TLS_CHACHA20_POLY1305_SHA256", 0x1303),
    ("TLS_AES_128_CCM_SHA256", 0x1304),
    ("TLS_AES_128_CCM_8_SHA256", 0x1305),
];

/// A folder of keys and certificates, and a server that sends back each line reversed.
struct Scene {
    folder: PathBuf,
    server: u16,
    _process: Process,
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn openssl(folder: &Path, arguments: &str) -> Command {
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(arguments.split(' ').filter(|word| !word.is_empty()));
    command.env_remove("SSLKEYLOGFILE");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Scene {
    /// `None` where there is no `openssl`.
    fn new(name: &str, arguments: &str) -> Option<Self> {
        let folder = std::env::temp_dir().join(format!("goawhy-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let Ok(version) = openssl(&folder, "version").output() else {
            eprintln!("no openssl on this machine: not tested");
            return None;
        };
        if !version.stdout.starts_with(b"OpenSSL 3") {
            eprintln!("not OpenSSL 3: not tested");
            return None;
        }
        let request = "req -x509 -nodes -days 30 -subj /CN=suites.test";
        for (name, key) in
            [("rsa", "-newkey rsa:2048"), ("ec", "-newkey ec -pkeyopt ec_paramgen_curve:P-256")]
        {
            let made =
                openssl(&folder, &format!("{request} {key} -keyout {name}.key -out {name}.pem"));
            assert!({ made }.output().unwrap().status.success());
        }
        let server = free_port();
        let process = openssl(
            &folder,
            &format!(
                "s_server -accept 127.0.0.1:{server} -rev -quiet -cert rsa.pem -key rsa.key \
                 -dcert ec.pem -dkey ec.key -psk 0badc0de -cipher ALL:@SECLEVEL=0 \
                 -ciphersuites {} {arguments}",
                TLS13.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(":"),
            ),
        )
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
        let process = Process(process.unwrap());
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", server)).is_ok() {
                return Some(Self { folder, server, _process: process });
            }
            thread::sleep(Duration::from_millis(25));
        }
        panic!("the server did not start");
    }

    /// Sends lines and commands of `s_client` (`K`, `k`: update the keys) until each line came
    /// back reversed, and reads what the relay saw.
    fn talk(&self, arguments: &str, lines: &[&str]) -> Talk {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (server, notes) = (self.server, Arc::clone(&seen));
        let relay = thread::spawn(move || relay(&listener, server, &notes));
        let _ = std::fs::remove_file(self.folder.join("keys"));
        let mut client = Client::start(&self.folder, port, arguments);
        for line in lines {
            // At once, for a command is all that `s_client` takes of what it reads at once.
            client.input.write_all(format!("{line}\n").as_bytes()).unwrap();
            let command = line.len() == 1;
            let answer: String =
                if command { "KEYUPDATE".into() } else { line.chars().rev().collect() };
            client.wait(&answer, arguments);
        }
        client.input.write_all(b"Q\n").unwrap();
        client.process.end_within(PATIENCE);
        relay.join().unwrap();
        let keys = std::fs::read(self.folder.join("keys")).unwrap();
        let pieces = seen.lock().unwrap().clone();
        Talk { said: client.heard, ..Talk::of(pieces, keys) }
    }
}

/// One connection as the relay saw it, and what `s_client` said of it.
struct Talk {
    facts: TlsFacts,
    octets: Both<Vec<u8>>,
    said: Vec<String>,
    pieces: Pieces,
    keys: Vec<u8>,
}

impl Talk {
    fn of(pieces: Pieces, keys: Vec<u8>) -> Self {
        let end = |port| Endpoint { ip: [127, 0, 0, 1].into(), port };
        let key = FlowKey { low: end(1), high: end(2) };
        let told = read(key, Some(CLIENT), &pieces, &keys);
        let octets = Both { first: told.octets(Half::A), second: told.octets(Half::B) };
        Self { facts: told.facts.unwrap(), octets, said: Vec::new(), pieces, keys }
    }
}

/// `s_client`, and what it says.
struct Client {
    process: Process,
    input: ChildStdin,
    said: Receiver<String>,
    heard: Vec<String>,
}

impl Client {
    fn start(folder: &Path, port: u16, arguments: &str) -> Self {
        let arguments = format!(
            "s_client -connect 127.0.0.1:{port} -keylogfile keys -servername suites.test \
             {arguments}"
        );
        let mut child = openssl(folder, &arguments).spawn().unwrap();
        let (sender, said) = channel();
        hear(child.stdout.take().unwrap(), sender.clone());
        hear(child.stderr.take().unwrap(), sender);
        let input = child.stdin.take().unwrap();
        Self { process: Process(child), input, said, heard: Vec::new() }
    }

    fn wait(&mut self, answer: &str, what: &str) {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            match self.said.recv_timeout(PATIENCE) {
                Ok(line) if line == answer => return,
                Ok(line) => self.heard.push(line),
                Err(_) => break,
            }
        }
        panic!("{what}: no {answer}");
    }
}

fn hear(from: impl Read + Send + 'static, to: Sender<String>) {
    thread::spawn(move || {
        BufReader::new(from).lines().map_while(Result::ok).all(|line| to.send(line).is_ok());
    });
}

type Seen = Mutex<Pieces>;

/// Carries one connection, and notes what passes.
fn relay(listener: &TcpListener, server: u16, seen: &Arc<Seen>) {
    let Some(client) = accept(listener) else { return };
    let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
    }
    let carry = |half: Half, mut from: TcpStream, mut to: TcpStream| {
        let seen = Arc::clone(seen);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(octets @ 1..) = from.read(&mut buffer) {
                seen.lock().unwrap().push((half, buffer[..octets].to_vec()));
                if to.write_all(&buffer[..octets]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Write);
        })
    };
    let there = carry(CLIENT, client.try_clone().unwrap(), server.try_clone().unwrap());
    let back = carry(CLIENT.other(), server, client);
    there.join().unwrap();
    back.join().unwrap();
}

fn accept(listener: &TcpListener) -> Option<TcpStream> {
    listener.set_nonblocking(true).unwrap();
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false).unwrap();
            return Some(stream);
        }
        thread::sleep(Duration::from_millis(2));
    }
    None
}

/// Both sides were read to their end, and nothing else is there.
fn assert_read(told: &Talk, lines: &[&str], what: &str) {
    let Talk { facts, octets, .. } = told;
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let lines = lines.iter().filter(|line| line.len() > 1);
    let sent: String = lines.clone().map(|line| format!("{line}\n")).collect();
    let back: String =
        lines.map(|line| format!("{}\n", line.chars().rev().collect::<String>())).collect();
    assert_eq!((text(&octets.first), text(&octets.second)), (sent, back), "{what}");
    assert_eq!(facts.why_not, None, "{what}");
    assert_eq!(facts.sni.as_deref(), Some("suites.test"), "{what}");
    assert_eq!((facts.sides.first.unread_records, facts.sides.second.unread_records), (0, 0));
    assert_eq!(facts.sides.first.farewell.unwrap().alert, Alert::CloseNotify, "{what}");
}

#[test]
fn every_suite_of_tls_1_2() {
    let Some(scene) = Scene::new("suites12", "-tls1_2") else { return };
    let line = "GET / over TLS 1.2, 0123456789";
    for (name, number) in TLS12 {
        let psk = if name.contains("PSK") { "-psk 0badc0de" } else { "" };
        let arguments = format!("-tls1_2 -cipher {name}:@SECLEVEL=0 {psk}");
        // Encrypt-then-MAC (RFC 7366) changes CBC suites alone.
        let manners = if name.contains("-SHA") && !name.contains("GCM") {
            &["", " -no_etm"][..]
        } else {
            &[""]
        };
        for manner in manners {
            let told = scene.talk(&format!("{arguments}{manner}"), &[line, line]);
            let what = format!("{name}{manner}");
            assert_eq!(told.facts.version, Some(TlsVersion::TLS12), "{what}");
            assert_eq!(told.facts.cipher.unwrap().0, *number, "{what}");
            assert_read(&told, &[line, line], &what);
        }
    }
}

#[test]
fn every_suite_of_tls_1_3_and_its_key_updates() {
    let Some(scene) = Scene::new("suites13", "-tls1_3") else { return };
    let lines = ["first line", "K", "second line", "k", "third line", "K", "fourth line"];
    for (name, number) in TLS13 {
        let told = scene.talk(&format!("-tls1_3 -ciphersuites {name}"), &lines);
        assert_eq!(told.facts.version, Some(TlsVersion::TLS13), "{name}");
        assert_eq!(told.facts.cipher.unwrap().0, *number, "{name}");
        assert_read(&told, &lines, name);
    }
}

#[test]
fn a_hello_that_must_be_repeated() {
    let Some(scene) = Scene::new("retry", "-tls1_3 -groups P-384") else { return };
    let told = scene.talk("-tls1_3 -groups X25519:P-384", &["after two hellos"]);
    assert_read(&told, &["after two hellos"], "HelloRetryRequest");
}

#[test]
fn sessions_that_are_resumed() {
    let Some(scene) = Scene::new("resumed", "") else { return };
    for how in ["-tls1_2 -no_ticket", "-tls1_2", "-tls1_3"] {
        for (session, word) in [("-sess_out session", "New, "), ("-sess_in session", "Reused, ")] {
            let what = format!("{how} {session}");
            let told = scene.talk(&what, &["to be resumed"]);
            assert!(told.said.iter().any(|line| line.starts_with(word)), "{what}: {:?}", told.said);
            assert_read(&told, &["to be resumed"], &what);
        }
    }
}

#[test]
fn a_session_is_read_with_the_line_of_any_connection_that_used_it() {
    let Some(scene) = Scene::new("session", "") else { return };
    let line = &["of one session"][..];
    let stranger = scene.talk("-tls1_2", line);
    for how in ["-tls1_2 -no_ticket", "-tls1_2"] {
        let first = scene.talk(&format!("{how} -sess_out session"), line);
        let second = scene.talk(&format!("{how} -sess_in session"), line);
        assert!(second.said.iter().any(|said| said.starts_with("Reused, ")), "{how}");
        // The log of the first alone, among others; it begins before or behind the second.
        for keys in [first.keys.clone(), [&stranger.keys[..], &first.keys].concat()] {
            assert_read(&Talk::of(second.pieces.clone(), keys), line, how);
        }
        // A session does not belong to whoever is in the log.
        let told = Talk::of(second.pieces.clone(), stranger.keys.clone());
        assert!(told.octets.first.is_empty() && told.octets.second.is_empty());
        let why = told.facts.why_not.unwrap();
        assert!(why.starts_with("it resumes an earlier session"), "{why}");
        // What was not resumed is not tried.
        let told = Talk::of(first.pieces, second.keys);
        let why = told.facts.why_not.unwrap();
        assert!(why.starts_with("the key log has no keys of this connection"), "{why}");
    }
}

/// `s_server` without `-rev`, which takes no 0-RTT data: it prints what it is sent.
fn listening(folder: &Path, port: u16, arguments: &str) -> (Process, Receiver<String>, ChildStdin) {
    let arguments = format!(
        "s_server -accept 127.0.0.1:{port} -quiet -cert rsa.pem -key rsa.key -tls1_3 {arguments}"
    );
    let child = openssl(folder, &arguments).stderr(Stdio::null()).spawn();
    let mut process = Process(child.unwrap());
    let (sender, said) = channel();
    hear(process.0.stdout.take().unwrap(), sender);
    // It ends where its input does.
    let input = process.0.stdin.take().unwrap();
    for _ in 0..200 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return (process, said, input);
        }
        thread::sleep(Duration::from_millis(25));
    }
    panic!("the server did not start");
}

/// Says a line, 0-RTT data before it where `arguments` tell. `None` where the server does not hear
/// it: the client of OpenSSL 3.0 now and then spins for ever over early data.
fn say(
    folder: &Path,
    (port, said): (u16, &Receiver<String>),
    arguments: &str,
    line: &str,
) -> Option<Talk> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let here = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let relay = thread::spawn(move || relay(&listener, port, &notes));
    let _ = std::fs::remove_file(folder.join("keys"));
    let mut client = Client::start(folder, here, &format!("-tls1_3 {arguments}"));
    client.input.write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut lines = std::iter::from_fn(|| said.recv_timeout(HEARD_WITHIN).ok());
    if !lines.any(|heard| heard == line) {
        drop(client);
        relay.join().unwrap();
        return None;
    }
    client.input.write_all(b"Q\n").unwrap();
    client.process.end_within(PATIENCE);
    relay.join().unwrap();
    let keys = std::fs::read(folder.join("keys")).unwrap();
    let pieces = seen.lock().unwrap().clone();
    Some(Talk::of(pieces, keys))
}

#[test]
fn early_data_is_told_where_the_server_took_it_and_nowhere_else() {
    let talked = (0..3).any(|_| early_data().is_some());
    assert!(talked, "the client spun three times");
}

/// `None` where a client spun.
fn early_data() -> Option<()> {
    let Some(scene) = Scene::new("early", "") else { return Some(()) };
    let folder = &scene.folder;
    std::fs::write(folder.join("early.txt"), "said early\n").unwrap();
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let early = "-sess_in session -early_data early.txt";
    let port = free_port();
    let taking = listening(folder, port, "-early_data");
    let first = say(folder, (port, &taking.1), "-sess_out session", "to be resumed")?;
    assert_eq!(
        (first.facts.early_data, text(&first.octets.first)),
        (None, "to be resumed\n".into())
    );
    let told = say(folder, (port, &taking.1), early, "said later")?;
    assert_eq!(told.facts.early_data, Some(EarlyData::Accepted));
    assert_eq!(text(&told.octets.first), "said early\nsaid later\n");
    assert_eq!(told.facts.why_not, None);
    // Servers that do not know the session; the second asks for another hello, too.
    for manner in ["", "-groups P-384"] {
        let port = free_port();
        let refusing = listening(folder, port, manner);
        let told = say(folder, (port, &refusing.1), early, "said later")?;
        assert_eq!(told.facts.early_data, Some(EarlyData::Rejected), "{manner}");
        assert_eq!(text(&told.octets.first), "said later\n", "{manner}");
        assert_eq!(told.facts.why_not, None, "{manner}");
        // Without the key of what was refused nothing else is lost.
        let lines = text(&told.keys);
        let kept = lines.lines().filter(|line| !line.starts_with("CLIENT_EARLY"));
        let keys = kept.flat_map(|line| [line, "\n"]).collect::<String>();
        let told = Talk::of(told.pieces, keys.into());
        assert_eq!(text(&told.octets.first), "said later\n", "{manner}");
    }
    Some(())
}
