//! The binary as a user types it.

#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

fn goawhy(line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_goawhy"));
    command.args(line.split_whitespace()).env_remove("SSLKEYLOGFILE").output().unwrap()
}

fn status(line: &str) -> Option<i32> {
    goawhy(line).status.code()
}

#[test]
fn nothing_asked_shows_the_short_help() {
    let done = goawhy("");
    assert_eq!(done.status.code(), Some(2));
    assert!(String::from_utf8(done.stderr).unwrap().contains("Examples:"));
}

#[test]
fn what_is_not_built_is_a_usage_error() {
    for line in ["live", "explain x", "report --format xml a.pcap", "report"] {
        assert_eq!(status(line), Some(2), "{line}");
    }
}

#[test]
fn what_cannot_be_read_is_one_line() {
    for line in ["/no/such/file.pcap", "report /no/such/file.pcap", "frames /no/such/file.pcap"] {
        let done = goawhy(line);
        assert_eq!(done.status.code(), Some(3), "{line}");
        assert_eq!(String::from_utf8(done.stderr).unwrap().lines().count(), 1, "{line}");
        assert!(done.stdout.is_empty(), "{line}");
    }
}

#[test]
fn help_and_version_are_answers() {
    for line in ["--help", "-h", "--version", "report --help", "frames --help", "explain 6.8"] {
        assert_eq!(status(line), Some(0), "{line}");
    }
}

const SAMPLE: &str = "captures/stacks/vertx-client-timeout-goaway1-10s.pcap";

fn text(line: &str) -> String {
    let done = goawhy(line);
    assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn one_filter_serves_every_command() {
    let lines = |line: String| text(&line).lines().count();
    assert_eq!(lines(format!("frames {SAMPLE} -Y type:GOAWAY")), 1);
    // What a frame cannot tell comes from a first reading of its connection and stream.
    let resets = lines(format!("frames {SAMPLE} -Y type:RST_STREAM"));
    let of_verdict = format!("frames {SAMPLE} -Y type:RST_STREAM,GOAWAY");
    assert_eq!(lines(of_verdict), resets + 1);
    let slow = ["frames", SAMPLE, "-Y", "type:RST_STREAM path:/slow"];
    let slow = Command::new(env!("CARGO_BIN_EXE_goawhy")).args(slow).output().unwrap().stdout;
    let slow = String::from_utf8(slow).unwrap().lines().count();
    assert!(slow > 0 && slow <= resets, "{slow} of {resets}");
    let one = text(&format!("report {SAMPLE} -Y cause:late,client_request"));
    assert!(one.starts_with("1 of 2 connections passes cause:late,client_request"), "{one}");
    let json = text(&format!("report --format json {SAMPLE} -Y path:/slow"));
    assert!(json.contains("\"path\":\"/slow") || json.contains("\"connections\":[{"), "{json}");
}

#[test]
#[cfg(unix)]
fn a_capture_in_a_named_pipe_is_read_once() {
    let pipe = std::env::temp_dir().join(format!("goawhy-frames-{}", std::process::id()));
    let name = pipe.to_str().unwrap();
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let through = |line: &str| {
        let to = pipe.clone();
        let writer = std::thread::spawn(move || std::fs::copy(SAMPLE, to));
        let done = goawhy(&format!("{line} {name}"));
        let _ = writer.join();
        String::from_utf8(done.stdout).unwrap()
    };
    assert_eq!(through("frames"), text(&format!("frames {SAMPLE}")));
    std::fs::remove_file(&pipe).unwrap();
}

#[test]
fn a_bad_filter_is_shown_with_its_place() {
    let done = goawhy(&format!("report {SAMPLE} -Y age>4x"));
    assert_eq!(done.status.code(), Some(2));
    let told = String::from_utf8(done.stderr).unwrap();
    assert!(told.contains("'4x' is no value of 'age'"), "{told}");
    assert!(told.contains("\n  age>4x\n      ^"), "{told}");
    assert_eq!(status("frames - -Y cause:idle_timeout"), Some(2));
}

#[test]
fn what_is_configured_wrongly_is_told_of_the_file() {
    let folder = std::env::temp_dir().join(format!("goawhy-config-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("goawhy")).unwrap();
    std::fs::write(folder.join("goawhy/config.toml"), "memory = \"lots\"\n").unwrap();
    let said = |line: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_goawhy"));
        let command = command.args(line.split_whitespace()).env("XDG_CONFIG_HOME", &folder);
        let done = command.output().unwrap();
        assert_eq!(done.status.code(), Some(2), "{line}");
        String::from_utf8(done.stderr).unwrap()
    };
    let told = said("live -i lo");
    let file = folder.join("goawhy/config.toml");
    assert!(told.contains(&format!("{}: memory = \"lots\": a size", file.display())), "{told}");
    assert!(!told.contains("--memory"), "{told}");
    let told = said("live -i lo --memory much");
    assert!(told.contains("'much' for '--memory"), "{told}");
    let told = said("live - --metrics localhost:9464");
    assert!(told.contains("127.0.0.1:9464"), "{told}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn pages_of_the_manual_begin_with_what_can_be_typed() {
    let page = |command: &[&str]| {
        let mut goawhy = Command::new(env!("CARGO_BIN_EXE_goawhy"));
        String::from_utf8(goawhy.arg("man").args(command).output().unwrap().stdout).unwrap()
    };
    let synopsis = |page: &str| {
        let (_, rest) = page.split_once(".SH SYNOPSIS\n").unwrap();
        rest.split_once("\n.SH ").unwrap().0.replace("\\fB", "").replace("\\fR", "")
    };
    let program = synopsis(&page(&[]));
    assert!(program.starts_with("goawhy [OPTIONS] [FILE]...\n.br\ngoawhy <COMMAND>"), "{program}");
    assert_eq!(synopsis(&page(&["explain"])), "goawhy explain [OPTIONS] <TOPIC>...");
    assert!(page(&["check"]).contains(".TH goawhy-check"));
}

#[test]
fn what_cannot_be_masked_is_refused_where_all_is_to_be() {
    let folder = std::env::temp_dir().join(format!("goawhy-mask-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("goawhy")).unwrap();
    std::fs::write(folder.join("goawhy/config.toml"), "mask = true\n").unwrap();
    let run = |line: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_goawhy"));
        command.args(line.split_whitespace()).env("XDG_CONFIG_HOME", &folder).output().unwrap()
    };
    for line in ["check FILE", "diff FILE FILE"] {
        let done = run(&line.replace("FILE", SAMPLE));
        assert_eq!(done.status.code(), Some(2), "{line}");
        let said = String::from_utf8(done.stderr).unwrap();
        assert!(said.lines().count() == 1 && said.contains("--no-config"), "{line}: {said}");
        assert!(done.stdout.is_empty(), "{line}");
    }
    let masked = String::from_utf8(run(&format!("report {SAMPLE}")).stdout).unwrap();
    let open = String::from_utf8(run(&format!("report {SAMPLE} --no-config")).stdout).unwrap();
    assert!(open.contains("/slow") && !masked.contains("/slow"), "{masked}");
    let frames = |more: &str| {
        let done = run(&format!("frames --headers {SAMPLE} {more}"));
        String::from_utf8(done.stdout).unwrap()
    };
    for (told, is_masked) in [(frames(""), true), (frames("--no-config"), false)] {
        assert!(told.contains(":method: GET") && told.contains("GOAWAY"));
        let hidden = ["/slow", "is not correct", "127.0.0.1:20002"];
        assert!(hidden.iter().all(|text| told.contains(text) != is_masked), "{told}");
    }
    let lines = |more: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_goawhy"));
        let words = ["live", "-", "--format", "jsonl"].into_iter().chain(more.split_whitespace());
        command.args(words).env("XDG_CONFIG_HOME", &folder);
        let done = command.stdin(std::fs::File::open(SAMPLE).unwrap()).output().unwrap();
        String::from_utf8(done.stdout).unwrap()
    };
    for (told, is_masked) in [(lines(""), true), (lines("--no-config"), false)] {
        assert!(told.contains("client_request_timeout") && told.contains("\"summary\""));
        assert!(told.contains("is not correct") != is_masked, "{told}");
    }
    assert!(run("explain idle_timeout").status.success());
    std::fs::remove_dir_all(folder).unwrap();
}
