//! What alarms of a live capture start: how it ends, and as whom it runs.
#![cfg(all(feature = "live", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::home;
use common::live::goawhy;

fn sample(name: &str) -> std::fs::File {
    std::fs::File::open(home().join(name)).unwrap()
}

/// What an alarm started is waited for, unless somebody insists.
#[test]
fn a_signal_ends_what_alarms_started() {
    let mut command = goawhy();
    command.args(["live", "-", "--format", "jsonl", "--alert", "cause:idle_timeout"]);
    command.args(["--exec", "sleep 25"]).stdin(sample("servers/nginx-idle.pcap"));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    // The summary is the last line, and the end of all output but an alarm's.
    lines.take_while(|line| !line.contains("\"summary\"")).for_each(drop);
    thread::sleep(Duration::from_millis(1_500));
    assert!(child.try_wait().unwrap().is_none());
    let begun = Instant::now();
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(begun.elapsed() < Duration::from_secs(5));
    // Neither that it waited nor what it ended goes without a word.
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    let mut told = told.lines();
    assert!(told.any(|line| line.contains("waiting for the command of an alarm")));
    assert!(told.any(|line| line.contains("the command of an alarm: it was ended after")));
}

/// Where files can be written only as root the rest stays root, and no command does.
#[test]
fn commands_of_alarms_are_never_started_as_root() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let folder = std::env::temp_dir().join(format!("goawhy-user-{}", std::process::id()));
    let (own, open) = (folder.join("own"), folder.join("open"));
    [&own, &open].into_iter().for_each(|folder| std::fs::create_dir_all(folder).unwrap());
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    if own.metadata().unwrap().uid() != 0 {
        eprintln!("skipped: only root has root to give up");
        std::fs::remove_dir_all(folder).unwrap();
        return;
    }
    for output in [own.join("lines"), open.join("lines")] {
        let told = open.join("told");
        let script =
            format!("{{ id -u; id -G; grep CapPrm /proc/self/status; }} > {}", told.display());
        let mut command = goawhy();
        command.args(["live", "-", "-v", "--alert", "cause:idle_timeout", "--exec", &script]);
        command.env_remove("SUDO_UID").arg("-o").arg(&output);
        let done = command.stdin(sample("servers/nginx-idle.pcap")).output().unwrap();
        let error = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(0), "{error}");
        let told = std::fs::read_to_string(&told).unwrap();
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines[2], "CapPrm:\t0000000000000000", "{told}");
        assert!(lines[0] != "0" && lines[1].split(' ').all(|group| group != "0"), "{told}");
        assert!(output.metadata().unwrap().len() > 0);
        let stays = error.contains("stays user 0, whose folder is written, and starts commands as");
        assert_eq!(stays, output.starts_with(&own), "{error}");
        std::fs::remove_file(open.join("told")).unwrap();
    }
    std::fs::remove_dir_all(folder).unwrap();
}
