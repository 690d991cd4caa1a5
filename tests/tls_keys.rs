//! Where keys come from: inside captures, also such as arrive in a pipe, and key logs that are no
//! plain files.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use goawhy::capture::Source;

use common::live::goawhy;
use common::process::Process;
use common::tls::home;

/// A folder that is gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("goawhy-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn pipe(&self) -> PathBuf {
        let path = self.0.join("pipe");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn run(words: &str, input: Option<&Path>, more: &[&Path]) -> Output {
    let mut command = goawhy();
    command.args(words.split(' ')).args(more);
    command.stdin(input.map_or(Stdio::null(), |path| File::open(path).unwrap().into()));
    command.output().unwrap()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A capture as pcapng, its key log inside before the packet of this number.
fn with_secrets(folder: &Folder, name: &str, before: u64) -> PathBuf {
    let block = |kind: u32, body: &[u8]| {
        let mut body = body.to_vec();
        body.resize(body.len().next_multiple_of(4), 0);
        let length = (body.len() as u32 + 12).to_le_bytes();
        [&kind.to_le_bytes()[..], &length, &body, &length].concat()
    };
    let words = |all: &[u32]| all.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let keys = std::fs::read(home().join(format!("{name}.keys"))).unwrap();
    let keys = block(10, &[words(&[0x544c_534b, keys.len() as u32]), keys].concat());
    let mut source = Source::open(&[home().join(format!("{name}.pcap"))]).unwrap();
    let section = block(0x0a0d_0d0a, &words(&[0x1a2b_3c4d, 1, u32::MAX, u32::MAX]));
    let mut file = section;
    while let Some(packet) = source.next() {
        if packet.stamp.packet() == 1 {
            file.extend(block(1, &words(&[packet.link.0, 0])));
        }
        if packet.stamp.packet() == before {
            file.extend_from_slice(&keys);
        }
        let micros = (packet.stamp.at.0 / 1_000) as u64;
        let (high, low) = ((micros >> 32) as u32, micros as u32);
        let head = words(&[0, high, low, packet.data.len() as u32, packet.wire_length]);
        file.extend(block(6, &[&head, packet.data].concat()));
    }
    if before == u64::MAX {
        file.extend_from_slice(&keys);
    }
    let path = folder.0.join(format!("{name}-{before}.pcapng"));
    std::fs::write(&path, file).unwrap();
    path
}

#[test]
fn secrets_inside_a_pipe_are_used_as_those_of_a_file() {
    let folder = Folder::new("dsbpipe");
    for name in ["tls13_aes128gcm", "tls12_cbc_sha256"] {
        for before in [1, 12, u64::MAX] {
            let file = with_secrets(&folder, name, before);
            let of_file = json(&run("report --format json --streams", None, &[&file]));
            for threads in ["1", "3"] {
                let words = format!("report --format json --streams --threads {threads} -");
                let piped = json(&run(&words, Some(&file), &[]));
                assert_eq!(piped["connections"], of_file["connections"], "{name} {before}");
                assert_eq!(piped["connections"][0]["tls"]["decrypted"], true, "{name} {before}");
                assert_eq!(piped["key_log"], of_file["key_log"], "{name} {before}");
            }
        }
    }
}

#[test]
fn secrets_in_the_middle_of_a_pipe_open_what_came_before() {
    let folder = Folder::new("dsbmid");
    for name in ["tls13_aes128gcm", "tls12_cbc_sha256"] {
        let file = with_secrets(&folder, name, 20);
        let sorted = |output: Output| {
            let text = String::from_utf8(output.stdout).unwrap();
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let of_file = sorted(run("frames --format jsonl --headers", None, &[&file]));
        assert!(of_file.len() > 10);
        assert_eq!(sorted(run("frames --format jsonl --headers -", Some(&file), &[])), of_file);
        if cfg!(all(feature = "live", target_os = "linux")) {
            let told = run("live --format jsonl -", Some(&file), &[]);
            let told = String::from_utf8(told.stdout).unwrap();
            assert!(told.contains("\"goaways\":1"), "{told}");
        }
    }
}

/// Opens a named pipe once somebody reads it.
fn writer(pipe: &Path) -> File {
    let begun = Instant::now();
    loop {
        let mut options = File::options();
        match options.write(true).custom_flags(libc::O_NONBLOCK).open(pipe) {
            Ok(file) => return file,
            Err(error) if begun.elapsed() > Duration::from_secs(20) => panic!("{error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

#[test]
fn a_named_pipe_of_keys_is_read_until_its_writer_closes_it() {
    let folder = Folder::new("keypipe");
    let pipe = folder.pipe();
    let keys = std::fs::read(home().join("tls13_aes128gcm.keys")).unwrap();
    let file = home().join("tls13_aes128gcm.pcap");
    // A filter of rows has the capture read twice, the pipe once.
    for words in ["report --format json", "frames --format jsonl -Y streams>0", "frames"] {
        let mut command = goawhy();
        command.args(words.split(' ')).arg("--keylog").arg(&pipe).arg(&file);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut writer = writer(&pipe);
        let (first, rest) = keys.split_at(keys.len() / 2 + 7);
        writer.write_all(first).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        writer.write_all(rest).unwrap();
        drop(writer);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{words}");
        if words.starts_with("report") {
            assert_eq!(json(&output)["connections"][0]["tls"]["decrypted"], true);
        }
    }
}

#[test]
fn keys_that_cannot_be_read_are_told_in_a_line() {
    let folder = Folder::new("keysnone");
    let pipe = folder.pipe();
    let file = home().join("tls13_aes128gcm.pcap");
    let none = folder.0.join("none");
    let cases =
        [(&folder.0, "is a directory"), (&none, "no such key log"), (&pipe, "nobody writes")];
    for (keys, wanted) in cases {
        for words in ["report", "frames", "live"] {
            let is_live = words == "live";
            // A live capture follows a pipe, whoever may come.
            if is_live && (keys == &pipe || cfg!(not(all(feature = "live", target_os = "linux")))) {
                continue;
            }
            let begun = Instant::now();
            let mut command = goawhy();
            command.arg(words).arg("--keylog").arg(keys);
            command.arg(if is_live { Path::new("-") } else { &file });
            command.stdin(File::open(&file).unwrap()).stdout(Stdio::piped());
            let mut child = Process(command.stderr(Stdio::piped()).spawn().unwrap());
            let mut errors = child.0.stderr.take().unwrap();
            assert_eq!(child.end_within(Duration::from_secs(20)), Some(3), "{words} {keys:?}");
            let mut told = String::new();
            std::io::Read::read_to_string(&mut errors, &mut told).unwrap();
            assert_eq!(told.lines().count(), 1, "{told}");
            assert!(told.contains(wanted) && told.contains("--keylog"), "{told}");
            assert!(begun.elapsed() < Duration::from_secs(20));
        }
    }
}
