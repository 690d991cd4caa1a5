//! Live capture on the loopback interface, its lines as they come, and nginx.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use super::process::Process;

pub fn goawhy() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_goawhy"));
    command.env_remove("SSLKEYLOGFILE").env_remove("SSH_CONNECTION");
    command
}

/// Why this cannot be tested here, with these programs and the options at which they do nothing.
pub fn missing(programs: &[(&str, &str)]) -> Option<String> {
    for (program, option) in programs {
        let run = Command::new(program).arg(option).output();
        if !run.is_ok_and(|run| run.status.success()) {
            return Some(format!("{program} is not installed"));
        }
    }
    let listed = goawhy().arg("interfaces").output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let lo = listed.lines().find(|line| line.starts_with("lo "));
    match lo {
        Some(line) if line.contains("can be captured") => None,
        _ => Some("the right to capture on lo is missing".to_owned()),
    }
}

/// nginx in a folder of its own, both gone at the end.
pub struct Nginx {
    process: Process,
    pub folder: PathBuf,
}

impl Nginx {
    /// Starts with these `server` blocks, and waits until one listens on `port`.
    pub fn start(folder: PathBuf, servers: &str, port: u16) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        let text = format!(
            "daemon off; pid nginx.pid; error_log error.log; worker_processes 1;
             events {{}}
             http {{ access_log off; client_body_temp_path b; proxy_temp_path p;
             fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
             {servers} }}",
        );
        std::fs::write(folder.join("nginx.conf"), text).unwrap();
        let child = Self::command(&folder).stderr(Stdio::null()).spawn().unwrap();
        let nginx = Self { process: Process(child), folder };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "nginx does not start");
            thread::sleep(Duration::from_millis(20));
        }
        nginx
    }

    fn command(folder: &Path) -> Command {
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf"));
        command
    }

    pub fn reload(&self) {
        let done = Self::command(&self.folder).args(["-s", "reload"]).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // By its own means first: a master that is killed leaves its workers behind.
        let _ = Self::command(&self.folder).args(["-s", "stop"]).output();
        self.process.end_within(Duration::from_secs(10));
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// `goawhy live`, and its lines with the time at which each came.
pub struct Live {
    process: Process,
    lines: Receiver<(Value, SystemTime)>,
    pub seen: Vec<(Value, SystemTime)>,
}

impl Live {
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = goawhy();
        command.args(["live", "--format", "jsonl"]).args(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let notices = BufReader::new(child.stderr.take().unwrap());
        let (ready, listens) = channel();
        thread::spawn(move || {
            for line in notices.lines().map_while(Result::ok) {
                if line.contains("listening") {
                    let _ = ready.send(());
                }
            }
        });
        let out = BufReader::new(child.stdout.take().unwrap());
        let process = Process(child);
        let heard = listens.recv_timeout(Duration::from_secs(30));
        assert!(heard.is_ok(), "it does not listen");
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in out.lines() {
                let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
                let _ = sender.send((line, SystemTime::now()));
            }
        });
        Self { process, lines, seen: Vec::new() }
    }

    /// The first line that fits; it must have come within two seconds of its packet.
    pub fn wait(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(30) {
            let Ok(line) = self.lines.recv_timeout(Duration::from_secs(1)) else { continue };
            self.seen.push(line.clone());
            if fits(&line.0) {
                let at: jiff::Timestamp = line.0["at"].as_str().unwrap().parse().unwrap();
                let late = line.1.duration_since(SystemTime::from(at)).unwrap_or_default();
                assert!(late < Duration::from_secs(2), "{what} came {late:?} late: {line:?}");
                return line.0;
            }
        }
        panic!("nothing of {what} in {:#?}", self.seen);
    }

    /// Ends it by Ctrl-C; its last line.
    pub fn end(mut self) -> Value {
        let pid = self.process.0.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        assert_eq!(self.process.end_within(Duration::from_secs(30)), Some(0));
        let rest = self.lines.iter();
        rest.map(|(line, _)| line).find(|line| line["kind"] == "summary").unwrap()
    }
}

pub fn of_port(line: &Value, port: u16) -> bool {
    line["connection"]["server"] == format!("127.0.0.1:{port}")
}
