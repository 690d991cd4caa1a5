//! Text from strangers never reaches a terminal or a log as it came: what would move the cursor,
//! colour, turn text around or end a line is escaped, in every output there is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};

use goawhy::board::snapshot::{Feed as _, State};
use goawhy::run::offline::Job;
use goawhy::run::watch::Watch;
use goawhy::tui::{App, Colours, Settings, Theme, render};

#[cfg(feature = "live")]
use common::process::Process;
use common::wire::{Flow, Owned, frame};

const PUSH: u8 = 0x18;

/// What no output may hold: CSI, OSC and C1 controls, ends of lines, NUL, DEL, and signs that turn
/// text around or are not seen.
const EVIL: &str = "<\u{1b}[2J\u{1b}]0;pwned\u{7}\u{9b}31m\u{90}q\u{9c}\r\n\0\u{7f}\u{8}\
                    \u{202e}\u{2066}\u{200b}\u{feff}\u{85}\u{2028}\u{2029}>";

/// A literal field, not indexed, names and values as they are.
fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    let text = |text: &[u8]| [&[u8::try_from(text.len()).unwrap()][..], text].concat();
    [&[0][..], &text(name), &text(value)].concat()
}

/// A connection whose every text is evil, ended by a GOAWAY that quotes it.
fn connection() -> Vec<Owned> {
    let evil = EVIL.as_bytes();
    let mut flow = Flow::new(40_000);
    let mut packets = flow.open(1_000_000_000);
    let settings = frame(4, 0, 0, b"");
    let mut at = 1_001_000_000;
    let mut send = |server: bool, octets: &[u8]| {
        at += 1_000_000;
        packets.push(flow.send(at, server, PUSH, octets));
    };
    send(false, &[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..]].concat());
    send(true, &settings);
    for stream in [1, 3, 5] {
        // With octets that are no UTF-8 behind the evil ones, too.
        let raw = [evil, b"\x9b\xff\xfe"].concat();
        let request = [
            field(b":method", evil),
            field(b":scheme", evil),
            field(b":authority", if stream == 3 { &raw } else { evil }),
            field(b":path", if stream == 5 { &raw } else { evil }),
            field(evil, evil),
            field(b"user-agent", evil),
        ];
        send(false, &frame(1, 5, stream, &request.concat()));
        let answer =
            [field(b":status", b"200"), field(b"grpc-message", evil), field(b"server", evil)];
        send(true, &frame(1, 4, stream, &answer.concat()));
    }
    send(true, &frame(3, 0, 1, &[0, 0, 0, 8]));
    send(true, &frame(0x1b, 0, 0, evil)); // a frame type that is nobody's
    send(true, &frame(7, 0, 0, &[&[0, 0, 0, 3, 0, 0, 0, 11][..], evil].concat()));
    send(true, &frame(7, 0, 0, &[&[0, 0, 0, 3, 0, 0, 0, 1][..], evil, b"\x9b\xff"].concat()));
    packets.push(flow.send(1_100_000_000, true, 0x11, b""));
    packets.push(flow.send(1_101_000_000, false, 0x11, b""));
    packets
}

/// A client's hello in TLS that asks for an evil name and offers evil protocols.
fn hello() -> Vec<Owned> {
    let evil = EVIL.as_bytes();
    let sized =
        |octets: &[u8]| [&u16::try_from(octets.len()).unwrap().to_be_bytes()[..], octets].concat();
    let name = sized(&[&[0][..], &sized(evil)].concat());
    let protocols = [&[2][..], b"h2", &[evil.len() as u8], evil].concat();
    let extensions = [&[0, 0][..], &sized(&name), &[0, 16], &sized(&sized(&protocols))].concat();
    let body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0], &sized(&extensions)].concat();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let message = [&[1][..], &length[1..], &body].concat();
    let record = [&[0x16, 3, 1][..], &sized(&message)].concat();
    let mut flow = Flow::new(40_001);
    let mut packets = flow.open(1_200_000_000);
    packets.push(flow.send(1_201_000_000, false, PUSH, &record));
    packets.push(flow.send(1_202_000_000, true, 0x14, b""));
    packets
}

/// A pcapng file whose every comment and name is evil.
fn pcapng(packets: &[Owned]) -> Vec<u8> {
    let options = |codes: &[u16]| {
        let mut octets: Vec<u8> = Vec::new();
        for code in codes {
            octets.extend(code.to_le_bytes());
            octets.extend(u16::try_from(EVIL.len()).unwrap().to_le_bytes());
            octets.extend(EVIL.as_bytes());
            octets.resize(octets.len().next_multiple_of(4), 0);
        }
        octets.extend([0; 4]);
        octets
    };
    let block = |kind: u32, body: &[u8]| {
        let length = u32::try_from(body.len() + 12).unwrap().to_le_bytes();
        [&kind.to_le_bytes()[..], &length, body, &length].concat()
    };
    let head = [&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat();
    let mut file = block(0x0a0d_0d0a, &[head, options(&[1, 2, 3, 4])].concat());
    file.extend(block(1, &[&[1, 0, 0, 0, 0, 0, 4, 0][..], &options(&[1, 2, 3, 12, 15])].concat()));
    for packet in packets {
        let micros = u64::try_from(packet.at / 1_000).unwrap();
        let length = u32::try_from(packet.data.len()).unwrap().to_le_bytes();
        let (high, low) = ((micros >> 32) as u32, micros as u32);
        let mut body = [&[0; 4][..], &high.to_le_bytes(), &low.to_le_bytes()].concat();
        body.extend([length, length].concat());
        body.extend(&packet.data);
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend(options(&[1]));
        file.extend(block(6, &body));
    }
    // A record whose length is absurd: the damage is told.
    file.extend(block(6, &[0xff; 20]));
    file
}

/// A capture of all that, under a name that is evil itself; NUL and `/` cannot be in one. Written
/// once: several tests read it at a time.
fn capture() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(write_capture)
}

fn write_capture() -> PathBuf {
    let name = EVIL.replace(['\0', '/'], "");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("output");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{name}.pcapng"));
    let packets: Vec<Owned> = [connection(), hello()].concat();
    fs::write(&path, pcapng(&packets)).unwrap();
    path
}

/// Signs that may not be shown as they are.
fn evil_in(text: &str) -> Option<char> {
    text.chars().find(|sign| {
        let hidden = matches!(*sign, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}' | '\u{feff}');
        hidden || sign.is_control() && *sign != '\n'
    })
}

fn is_plain(what: &str, octets: &[u8]) {
    let text = std::str::from_utf8(octets).unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = evil_in(text);
    let around = found.and_then(|sign| text.find(sign)).map(|at| {
        let from = text.char_indices().rev().map(|(place, _)| place);
        let from = from.filter(|place| *place + 60 < at).max().unwrap_or(0);
        text[from..].chars().take(120).collect::<String>()
    });
    assert_eq!(found, None, "{what}: {around:?}");
}

/// Runs the program; both outputs are plain. Gives them.
fn run(arguments: &[&str], input: Option<&Path>) -> (String, String) {
    let input = input.map_or(Stdio::null(), |path| fs::File::open(path).unwrap().into());
    let mut command = Command::new(env!("CARGO_BIN_EXE_goawhy"));
    command.args(arguments).stdin(input).env_remove("SSLKEYLOGFILE").env("HOME", "/nonexistent");
    let done = command.output().unwrap();
    let what = format!("{arguments:?}");
    // RFC 4180 ends its lines so; nothing else may move a cursor back.
    let crlf = arguments.contains(&"csv");
    let shown = String::from_utf8_lossy(&done.stdout);
    let shown = if crlf { shown.replace("\r\n", "\n") } else { shown.into_owned() };
    is_plain(&what, shown.as_bytes());
    is_plain(&format!("{what}, errors"), &done.stderr);
    (String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap())
}

#[test]
fn outputs_on_captures_are_plain() {
    let path = capture();
    let file = path.to_str().unwrap();
    for arguments in [
        &["report", file, "--streams", "--color", "never"][..],
        &["report", file, "--streams", "--ascii"],
        &["report", file, "--streams", "--format", "json"],
        &["report", file, "--streams", "--format", "jsonl"],
        &["report", file, "--streams", "--format", "html"],
        &["report", file, "--format", "csv"],
        &["report", file, "--format", "har"],
        &["report", file, "--connection", "1", "--stream", "1", "--color", "never"],
        &["frames", file, "--headers"],
        &["frames", file, "--headers", "--format", "jsonl"],
    ] {
        let (out, _) = run(arguments, None);
        assert!(
            out.contains("\\u{1b}[2J") || out.contains("\\u001b[2J") || out.contains("\\x1b[2J"),
            "{arguments:?} tells of it, escaped: {out}"
        );
    }
    for arguments in [
        &["check", file][..],
        &["check", file, "--format", "json"],
        &["check", file, "--format", "junit"],
        &["check", file, "--format", "markdown"],
        &["diff", file, file],
        &["diff", file, file, "--format", "json"],
        &["diff", file, file, "--format", "markdown"],
    ] {
        let (out, _) = run(arguments, None);
        assert!(!out.is_empty(), "{arguments:?}");
    }
    let masked = ["json", "jsonl", "html", "csv", "har", "text"];
    for format in masked {
        let (out, _) = run(&["report", file, "--streams", "--mask", "--format", format], None);
        assert!(!out.is_empty(), "{format}");
    }
    // As it arrives in a pipe.
    for format in ["text", "jsonl"] {
        let (out, _) = run(&["live", "-i", "-", "--format", format], Some(path));
        assert!(out.contains("goaway") || out.contains("GOAWAY"), "{out}");
    }
}

/// Comments of packets (pcapng, opt_comment of Enhanced Packet Blocks).
fn comments(file: &[u8]) -> Vec<Vec<u8>> {
    let word = |octets: &[u8]| u32::from_ne_bytes(octets[..4].try_into().unwrap()) as usize;
    let half = |octets: &[u8]| usize::from(u16::from_ne_bytes(octets[..2].try_into().unwrap()));
    let (mut rest, mut found) = (file, Vec::new());
    while rest.len() > 12 {
        let (block, behind) = rest.split_at(word(&rest[4..]));
        rest = behind;
        if word(block) != 6 {
            continue;
        }
        let mut options = &block[28 + word(&block[20..]).next_multiple_of(4)..block.len() - 4];
        while options.len() >= 4 {
            let length = half(&options[2..]);
            if half(options) == 1 {
                found.push(options[4..4 + length].to_vec());
            }
            options = &options[(4 + length.next_multiple_of(4)).min(options.len())..];
        }
    }
    found
}

#[test]
fn comments_of_a_copy_are_plain() {
    // What the capture itself has for comments is copied by nobody.
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("output/copy.pcapng");
    let file = capture().to_str().unwrap();
    run(&["report", file, "--annotate", copy.to_str().unwrap()], None);
    let comments = comments(&fs::read(copy).unwrap());
    comments.iter().for_each(|comment| is_plain("a comment", comment));
    let all = comments.concat();
    let all = String::from_utf8(all).unwrap();
    assert!(all.contains("GOAWAY") && all.contains("[2J"), "{all}");
}

/// The page of metrics while a capture arrives.
#[test]
#[cfg(feature = "live")]
fn metrics_are_plain() {
    use std::io::{BufRead, BufReader, Read, Write};
    let mut command = Command::new(env!("CARGO_BIN_EXE_goawhy"));
    command.args(["live", "-", "--metrics", "127.0.0.1:0", "-o", "/dev/null"]);
    command.stdin(Stdio::piped()).stderr(Stdio::piped()).env_remove("SSLKEYLOGFILE");
    let mut process = Process(command.spawn().unwrap());
    let mut pipe = process.0.stdin.take().unwrap();
    pipe.write_all(&fs::read(capture()).unwrap()).unwrap();
    let mut lines = BufReader::new(process.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let address = lines.find_map(|line| {
        let url = line.split("http://").nth(1)?;
        Some(url.split('/').next()?.to_owned())
    });
    let address = address.unwrap();
    let begun = Instant::now();
    loop {
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut page = Vec::new();
        stream.read_to_end(&mut page).unwrap();
        let body = page.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        is_plain("metrics", &page[body..]);
        let page = String::from_utf8(page).unwrap();
        let mut lines = page.lines();
        if lines.any(|line| line.starts_with("goawhy_goaways_total{") && line.ends_with(" 1")) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{page}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What an alarm says, and what its command gets.
#[test]
#[cfg(feature = "live")]
fn alarms_are_plain() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = std::env::temp_dir().join(format!("goawhy-plain-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    // As root the command runs as somebody else.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let (told, known) = (folder.join("told"), folder.join("known"));
    let script = format!(
        "cat > {}; tr '\\0' '\\n' < /proc/$$/environ > {known}; tr '\\0' ' ' < /proc/$$/cmdline \
         >> {known}",
        told.display(),
        known = known.display()
    );
    for format in ["text", "jsonl"] {
        let words = ["live", "-", "--format", format, "--alert", "end:goaway", "--exec", &script];
        let (out, _) = run(&words, Some(capture()));
        assert!(out.to_lowercase().contains("alarm"), "{out}");
        for file in [&told, &known] {
            is_plain("an alarm's command", &fs::read(file).unwrap());
        }
        let alarm = fs::read_to_string(&told).unwrap();
        assert!(alarm.contains("goaway"), "{alarm}");
        [&told, &known].into_iter().for_each(|file| fs::remove_file(file).unwrap());
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn errors_are_plain() {
    let path = capture();
    let file = path.to_str().unwrap();
    let evil = EVIL.replace('\0', "");
    for arguments in [
        &["report", &evil][..],
        &["frames", &evil],
        &["report", file, "-o", "/"],
        &["report", file, "-o", &format!("/nonexistent/{evil}")],
        &["report", file, "--annotate", &format!("/nonexistent/{evil}")],
        &["completions", &evil],
        &["man", &evil],
        &["report", file, "--keylog", &evil],
        &["report", file, "-f", &evil],
        &["report", file, "-Y", &evil],
        &["frames", file, "-Y", &format!("{evil}:1")],
        &["report", file, "--format", &evil],
        &["report", file, "--threads", &evil],
        &["explain", &evil],
        &["explain", "GOAWAY", &evil],
        &["live", "-i", &evil],
        &["live", "-i", "-", "-o", &format!("/nonexistent/{evil}")],
        &["live", "-i", "-", "-w", &format!("/nonexistent/{evil}")],
        &[&evil],
        &[&format!("--{evil}")],
    ] {
        run(arguments, None);
    }
}

#[test]
fn screens_are_plain() {
    let watch =
        Watch::files(Job { files: vec![capture().to_path_buf()], ..Job::default() }).unwrap();
    let begun = Instant::now();
    while watch.latest().state != State::Ended {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
    let settings = Settings {
        theme: Theme { colours: Colours::None, ascii: false },
        mask: false,
        filter: None,
        time: goawhy::tui::TimeStyle::Relative,
    };
    let mut app = App::new(settings);
    app.refresh(&watch);
    let mut told = String::new();
    // Overview, chain, streams, one stream, frames, timeouts, help; the second connection.
    let escape = KeyCode::Esc;
    let keys = "12345?\u{1b}1j\n2345".chars().map(|key| match key {
        '\n' => KeyCode::Enter,
        '\u{1b}' => escape,
        letter => KeyCode::Char(letter),
    });
    for key in keys.chain([KeyCode::Enter, KeyCode::Tab, KeyCode::Enter]) {
        app.event(&Event::Key(KeyEvent::new(key, KeyModifiers::NONE)));
        // A detail is read in the background.
        for _ in 0..20 {
            app.refresh(&watch);
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut terminal = Terminal::new(TestBackend::new(200, 60)).unwrap();
        terminal.draw(|frame| render(frame, &mut app)).unwrap();
        for cell in &terminal.backend().buffer().content {
            assert_eq!(evil_in(cell.symbol()), None, "{key:?}: {:?}", cell.symbol());
            told.push_str(cell.symbol());
        }
        let effects = app.effects();
        assert!(effects.is_empty(), "{key:?}");
    }
    assert!(told.contains("[2J"), "what is escaped is shown");
}
