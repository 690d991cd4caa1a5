//! The program in a pseudo-terminal: start, keys, resize, quit; the terminal is given back.

#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(unix)]

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

const SAMPLE: &str = "captures/stacks/vertx-client-timeout-goaway1-10s.pcap";

fn size(cols: u16, rows: u16) -> PtySize {
    PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }
}

/// The program, and the terminal that it draws on.
struct Seat {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    terminal: Arc<Mutex<vt100::Parser>>,
}

impl Seat {
    fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start_program(env!("CARGO_BIN_EXE_goawhy"), arguments, environment)
    }

    fn start_program(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let pair = native_pty_system().openpty(size(100, 30)).unwrap();
        let mut command = CommandBuilder::new(program);
        command.args(arguments);
        command.cwd(env!("CARGO_MANIFEST_DIR"));
        command.env("TERM", "xterm-256color");
        command.env("RUST_BACKTRACE", "0");
        command.env("LC_ALL", "C.UTF-8");
        command.env_remove("NO_COLOR");
        command.env_remove("SSLKEYLOGFILE");
        for (name, value) in environment {
            command.env(name, value);
        }
        let child = pair.slave.spawn_command(command).unwrap();
        let mut output = pair.master.try_clone_reader().unwrap();
        let keys = pair.master.take_writer().unwrap();
        let terminal = Arc::new(Mutex::new(vt100::Parser::new(30, 100, 0)));
        let shown = Arc::clone(&terminal);
        std::thread::spawn(move || {
            let mut octets = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut octets) {
                shown.lock().unwrap().process(octets.get(..count).unwrap_or_default());
            }
        });
        Self { child, master: pair.master, keys, terminal }
    }

    fn screen(&self) -> String {
        self.terminal.lock().unwrap().screen().contents()
    }

    /// Waits until the screen is as wanted.
    fn shows(&self, what: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let screen = self.screen();
            if what(&screen) {
                return screen;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "never shown; now:\n{screen}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits for the end; gives the exit status.
    fn ends(&mut self) -> u32 {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.exit_code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not end; the screen:\n{}", self.screen());
    }

    /// Waits until the terminal is as it was before.
    fn is_given_back(&self) {
        let back = || {
            let terminal = self.terminal.lock().unwrap();
            let screen = terminal.screen();
            !screen.alternate_screen()
                && !screen.hide_cursor()
                && screen.mouse_protocol_mode() == vt100::MouseProtocolMode::None
        };
        let begun = Instant::now();
        while !back() {
            assert!(begun.elapsed() < Duration::from_secs(10), "the terminal is not given back");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A capture that comes slowly through standard input, while the keys come from the terminal.
#[test]
fn a_pipe_is_drawn_as_it_comes() {
    let gate = std::env::temp_dir().join(format!("goawhy-gate-{}", std::process::id()));
    let script = format!(
        "(head -c 4000 {SAMPLE}; until test -e {gate}; do sleep 0.1; done
          tail -c +4001 {SAMPLE}; while test -e {gate}; do sleep 0.1; done) | {program} -",
        gate = gate.display(),
        program = env!("CARGO_BIN_EXE_goawhy"),
    );
    let mut seat = Seat::start_program("sh", &["-c", &script], &[]);
    seat.shows(|screen| screen.contains("● live") && screen.contains("none went away in trouble"));
    std::fs::write(&gate, "").unwrap();
    seat.shows(|screen| screen.contains("1 of 2 connections went away in trouble"));
    seat.types("5");
    seat.shows(|screen| screen.contains("254 frames") && screen.contains("PREFACE"));
    seat.types("q");
    std::fs::remove_file(&gate).unwrap();
    assert_eq!(seat.ends(), 0);
    seat.is_given_back();
}

#[cfg(all(feature = "live", target_os = "linux"))]
#[test]
fn an_interface_is_watched() {
    let mut interfaces = std::process::Command::new(env!("CARGO_BIN_EXE_goawhy"));
    let listed = interfaces.arg("interfaces").output().unwrap().stdout;
    let listed = String::from_utf8(listed).unwrap();
    let lo = listed.lines().find(|line| line.starts_with("lo "));
    if !lo.is_some_and(|line| line.contains("can be captured")) {
        eprintln!("skipped: the right to capture on lo is missing");
        return;
    }
    let mut seat = Seat::start(&["-i", "lo", "-f", "tcp port 1", "-Y", "code:1"], &[]);
    seat.shows(|screen| screen.contains(" lo ") && screen.contains("● live"));
    seat.shows(|screen| screen.contains("filter: code:1"));
    seat.types("q");
    assert_eq!(seat.ends(), 0);
    seat.is_given_back();
}

/// `ip` with these words; whether it did it.
#[cfg(all(feature = "live", target_os = "linux"))]
fn ip(words: &str) -> bool {
    let run = std::process::Command::new("ip").args(words.split(' ')).output();
    run.is_ok_and(|run| run.status.success())
}

#[cfg(all(feature = "live", target_os = "linux"))]
#[test]
fn an_interface_that_goes_away_is_told_when_it_ends_and_what_was_saved() {
    let name = format!("gt{}", std::process::id() % 100_000);
    if !ip(&format!("link add {name} type dummy")) {
        eprintln!("skipped: no interface can be made here");
        return;
    }
    assert!(ip(&format!("link set {name} up")));
    let folder = std::env::temp_dir().join(format!("goawhy-away-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let (file, moved) = (folder.join("a.pcapng"), folder.join("b.pcapng"));
    let arguments = ["-i", &name, "--no-drop", "-w", file.to_str().unwrap()];
    let mut seat = Seat::start(&arguments, &[]);
    seat.shows(|screen| screen.contains("● live"));
    // SIGHUP is for what is saved, as long as there is a terminal.
    std::fs::rename(&file, &moved).unwrap();
    let child = seat.child.process_id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-HUP", &child]).status().unwrap().success());
    seat.shows(|screen| screen.contains("saving to a new file"));
    let begun = Instant::now();
    while !file.exists() {
        assert!(begun.elapsed() < Duration::from_secs(10), "no new file");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(ip(&format!("link delete {name}")));
    seat.shows(|screen| screen.contains("▲ stopped"));
    seat.types("q");
    assert_eq!(seat.ends(), 3);
    seat.is_given_back();
    let last = seat.shows(|screen| screen.contains("was judged"));
    assert!(last.contains(&name) && last.contains("saved 0 packets, last to"), "{last}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn start_keys_resize_quit() {
    let mut seat = Seat::start(&[SAMPLE], &[]);
    seat.shows(|screen| screen.contains("1 of 2 connections went away in trouble"));
    assert!(seat.terminal.lock().unwrap().screen().alternate_screen());
    seat.types("\r");
    seat.shows(|screen| screen.contains("RST_STREAM 3"));
    seat.types("3");
    seat.shows(|screen| screen.contains("131 streams"));
    seat.terminal.lock().unwrap().screen_mut().set_size(10, 40);
    seat.master.resize(size(40, 10)).unwrap();
    seat.shows(|screen| screen.contains("goawhy needs 80 x 24"));
    seat.terminal.lock().unwrap().screen_mut().set_size(40, 120);
    seat.master.resize(size(120, 40)).unwrap();
    seat.shows(|screen| screen.contains("131 streams"));
    seat.types("q");
    assert_eq!(seat.ends(), 0);
    seat.is_given_back();
}

#[test]
fn control_c_quits() {
    let mut seat = Seat::start(&[SAMPLE, "--no-mouse"], &[]);
    seat.shows(|screen| screen.contains("went away in trouble"));
    seat.types("\u{3}");
    assert_eq!(seat.ends(), 0);
    seat.is_given_back();
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let mut seat = Seat::start(&[SAMPLE], &[]);
    seat.shows(|screen| screen.contains("went away in trouble"));
    let process = seat.child.process_id().unwrap().to_string();
    let sent = std::process::Command::new("kill").args(["-TERM", &process]).status().unwrap();
    assert!(sent.success());
    assert_eq!(seat.ends(), 130);
    seat.is_given_back();
}

#[test]
#[cfg(debug_assertions)]
fn a_panic_gives_the_terminal_back() {
    let mut seat = Seat::start(&[SAMPLE], &[("GOAWHY_TEST_PANIC", "1")]);
    assert_eq!(seat.ends(), 101);
    seat.is_given_back();
    seat.shows(|screen| screen.contains("a fault of its own at src/run/screen.rs"));
}

#[test]
fn what_cannot_be_read_takes_no_terminal() {
    let mut seat = Seat::start(&["/no/such/file.pcap"], &[]);
    assert_eq!(seat.ends(), 3);
    let screen = seat.shows(|screen| screen.contains("no such file"));
    assert!(!screen.contains("Overview"), "{screen}");
}
