//! Files that are written: whole or not at all, never over an input, whatever breaks meanwhile.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![cfg(unix)]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const SAMPLE: &str = "captures/stacks/vertx-client-timeout-goaway1-10s.pcap";

fn goawhy(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_goawhy"));
    command.args(arguments).stdin(Stdio::null()).env_remove("SSLKEYLOGFILE");
    command
}

fn done(arguments: &[&str]) -> Output {
    goawhy(arguments).output().unwrap()
}

/// An empty folder of its own.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("files-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn an_input_is_not_written_by_any_of_its_names() {
    let folder = folder("input");
    let capture = folder.join("a.pcap");
    fs::copy(SAMPLE, &capture).unwrap();
    let (soft, hard) = (folder.join("soft"), folder.join("hard"));
    symlink(&capture, &soft).unwrap();
    fs::hard_link(&capture, &hard).unwrap();
    let input = capture.to_str().unwrap();
    for output in [&capture, &soft, &hard, &folder.join(".").join("a.pcap")] {
        let done = done(&["report", input, "-o", output.to_str().unwrap()]);
        let told = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(2), "{}: {told}", output.display());
        assert!(told.contains("is an input"), "{told}");
        let copy = goawhy(&["report", input, "--annotate", output.to_str().unwrap()]);
        assert_eq!({ copy }.output().unwrap().status.code(), Some(2), "{}", output.display());
        // And the other way round.
        let done = goawhy(&["report", output.to_str().unwrap(), "-o", input]).output().unwrap();
        assert_eq!(done.status.code(), Some(2), "{}", output.display());
    }
    assert_eq!(fs::read(&capture).unwrap(), fs::read(SAMPLE).unwrap());
    assert_eq!(names(&folder), ["a.pcap", "hard", "soft"]);
}

#[test]
fn two_outputs_never_share_a_file() {
    let folder = folder("shared");
    let output = folder.join("out");
    let output = output.to_str().unwrap();
    let done = done(&["report", SAMPLE, "-o", output, "--annotate", output]);
    let told = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(2), "{told}");
    assert!(told.contains("both"), "{told}");
    let copy = folder.join(".").join("out");
    let done = goawhy(&["report", SAMPLE, "-o", output, "--annotate"]).arg(copy).output().unwrap();
    assert_eq!(done.status.code(), Some(2));
    assert!(names(&folder).is_empty());
}

#[test]
fn a_full_disk_is_told() {
    for arguments in [
        &["report", SAMPLE, "-o", "/dev/full"][..],
        &["report", SAMPLE, "-o", "/dev/full", "--format", "json"],
        &["report", SAMPLE, "-o", "/dev/full", "--format", "jsonl"],
        &["report", SAMPLE, "-o", "/dev/full", "--format", "html"],
        &["report", SAMPLE, "-o", "/dev/full", "--format", "csv"],
        &["report", SAMPLE, "-o", "/dev/full", "--format", "har"],
        &["report", SAMPLE, "--annotate", "/dev/full"],
    ] {
        let done = done(arguments);
        let told = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(2), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.contains("cannot be written"), "{told}");
    }
    for arguments in [
        &["report", SAMPLE][..],
        &["frames", SAMPLE],
        &["schema"],
        &["man"],
        &["completions", "bash"],
    ] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let done = goawhy(arguments).stdout(full).output().unwrap();
        assert_eq!(done.status.code(), Some(2));
        assert!(String::from_utf8(done.stderr).unwrap().contains("cannot be written"));
    }
}

#[test]
fn a_reader_that_goes_away_is_content() {
    for arguments in [
        &["frames", SAMPLE][..],
        &["report", SAMPLE, "--format", "json"],
        &["report", SAMPLE, "--format", "csv"],
        &["report", SAMPLE, "--format", "har"],
        &["report", SAMPLE, "--format", "html"],
        &["schema"],
        &["man"],
        &["completions", "bash"],
    ] {
        let mut child =
            goawhy(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let done = child.wait_with_output().unwrap();
        assert_eq!(done.status.code(), Some(0), "{arguments:?}");
        assert!(done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

#[test]
fn a_signal_in_the_middle_leaves_what_was_there() {
    let folder = folder("signal");
    let output = folder.join("report.txt");
    fs::write(&output, "what was there").unwrap();
    let mut child = goawhy(&["report", "-", "-o", output.to_str().unwrap()])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let capture = fs::read(SAMPLE).unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(&capture[..capture.len() / 2]).unwrap();
    pipe.flush().unwrap();
    // It has begun when what it writes is open, with a name beside the place or without one.
    let begun = Instant::now();
    let is_open = || {
        let open = fs::read_dir(format!("/proc/{}/fd", child.id())).into_iter().flatten().flatten();
        let open = open.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
        open.into_iter().any(|place| place.starts_with(&folder))
    };
    while names(&folder).len() < 2 && !is_open() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never began");
        std::thread::sleep(Duration::from_millis(5));
    }
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    child.wait().unwrap();
    drop(pipe);
    let mut kept = String::new();
    fs::File::open(&output).unwrap().read_to_string(&mut kept).unwrap();
    assert_eq!(kept, "what was there");
    #[cfg(target_os = "linux")]
    assert_eq!(names(&folder).len(), 1, "nothing is left behind");
}

#[test]
fn key_logs_and_what_stands_on_standard_input_are_never_written_over() {
    let folder = std::env::temp_dir().join(format!("goawhy-inputs-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let sample = "captures/stacks/vertx-client-timeout-goaway1-10s.pcap";
    let (capture, keys) = (folder.join("a.pcap"), folder.join("k"));
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(sample), &capture).unwrap();
    std::fs::write(&keys, "# keys\n").unwrap();
    let run = |words: &[&str], stdin: Option<&Path>| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_goawhy"));
        command.args(words).current_dir(&folder);
        if let Some(stdin) = stdin {
            command.stdin(std::fs::File::open(stdin).unwrap());
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains("is an input"), "{error}");
    };
    let before = std::fs::read(&capture).unwrap();
    run(&["report", "-", "-o", "a.pcap"], Some(&capture));
    for words in [["report", "-o"], ["report", "--annotate"], ["check", "-o"]] {
        run(&[words[0], "a.pcap", "--keylog", "k", words[1], "k"], None);
    }
    run(&["diff", "a.pcap", "a.pcap", "--keylog", "k", "-o", "k"], None);
    #[cfg(feature = "live")]
    {
        run(&["live", "-", "-o", "a.pcap"], Some(&capture));
        run(&["live", "-", "-o", "k", "--keylog", "k"], Some(&capture));
        // One that a program will write later.
        run(&["live", "-", "-o", "later", "--keylog", "./later"], Some(&capture));
        run(&["live", "-i", "lo", "-w", "k", "--keylog", "k"], None);
        std::fs::rename(&keys, folder.join("k_00002")).unwrap();
        run(&["live", "-i", "lo", "-w", "k", "-C1", "-W2", "--keylog", "k_00002"], None);
        std::fs::rename(folder.join("k_00002"), &keys).unwrap();
    }
    assert_eq!(std::fs::read(&capture).unwrap(), before);
    assert_eq!(std::fs::read(&keys).unwrap(), b"# keys\n");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_configuration_is_never_written_over() {
    let folder = folder("config");
    let config = folder.join("goawhy/config.toml");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    fs::write(&config, "ascii = true\n").unwrap();
    let mut commands = vec![vec!["report", SAMPLE], vec!["check", SAMPLE]];
    if cfg!(feature = "live") {
        commands.push(vec!["live", "-"]);
    }
    for words in commands {
        let mut command = goawhy(&words);
        let done = command.arg("-o").arg(&config).env("XDG_CONFIG_HOME", &folder).output().unwrap();
        let told = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(2), "{told}");
        assert!(told.contains("is the configuration; choose another name"), "{told}");
    }
    assert_eq!(fs::read_to_string(config).unwrap(), "ascii = true\n");
}

#[test]
#[cfg(feature = "live")]
fn packets_and_lines_never_share_a_file() {
    let folder = folder("live");
    for words in ["-w x -o x", "-w x -o ./x", "-w x -C 1 -W 3 -o x_00002"] {
        let mut command = goawhy(&["live", "-i", "lo"]);
        let done = command.args(words.split(' ')).current_dir(&folder).output().unwrap();
        let told = String::from_utf8(done.stderr).unwrap();
        assert_eq!((done.status.code(), told.lines().count()), (Some(2), 1), "{told}");
        assert!(told.contains("cannot both write it"), "{told}");
    }
    assert!(names(&folder).is_empty());
}
