//! Conversations for the detectors' tests: a script goes through the whole house.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::board::{Board, ConnectionRow};
use crate::exchange;
use crate::run::offline::{self, Job};
use crate::vocab::cause::Cause;
use crate::vocab::verdict::Verdict;

/// The board of a script.
pub fn judged(script: &str) -> Board {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("goawhy-cause-{}-{number}.pcap", std::process::id());
    let path = std::env::temp_dir().join(name);
    let pcap = exchange::pcap(script).unwrap_or_else(|error| panic!("{error}\n{script}"));
    std::fs::write(&path, pcap).unwrap();
    let board = offline::report(&Job { files: vec![path.clone()], ..Job::default() }).unwrap();
    std::fs::remove_file(path).unwrap();
    board
}

/// A conversation put together line by line, in any order.
#[derive(Clone, Default)]
pub struct Talk {
    lines: Vec<(f64, String)>,
}

impl Talk {
    /// Handshake and SETTINGS of both sides, done at 3 ms.
    pub fn opened() -> Self {
        Self::with_settings("")
    }

    /// The same; the server's SETTINGS say this.
    pub fn with_settings(settings: &str) -> Self {
        let open =
            format!("0 SYN\n1 C> PREFACE\n+ SETTINGS\n2 S> SETTINGS {settings}\n+ SETTINGS ACK");
        Self::default().raw(0.0, &open).c(3.0, "SETTINGS ACK")
    }

    /// Lines as they are; the first one tells its time.
    pub fn raw(mut self, at: f64, lines: &str) -> Self {
        self.lines.push((at, lines.to_string()));
        self
    }

    /// The client sends something.
    pub fn c(self, at: f64, what: &str) -> Self {
        let line = format!("{at:.3} C> {what}");
        self.raw(at, &line)
    }

    /// The server sends something.
    pub fn s(self, at: f64, what: &str) -> Self {
        let line = format!("{at:.3} S> {what}");
        self.raw(at, &line)
    }

    /// The next packets of a side (`C` or `S`) are lost.
    pub fn gap(self, at: f64, side: char, packets: u32) -> Self {
        let line = format!("{at:.3} GAP {side} {packets}");
        self.raw(at, &line)
    }

    /// A packet of the client is lost, and another shows it.
    pub fn hole(self, at: f64) -> Self {
        let update = "WINDOW_UPDATE 0 1";
        self.gap(at, 'C', 1).c(at + 0.1, update).c(at + 0.3, update)
    }

    /// A whole request.
    pub fn get(self, at: f64, stream: u32) -> Self {
        let fields = ":method=GET :scheme=http :authority=a :path=/work";
        self.c(at, &format!("HEADERS {stream} END_STREAM {fields}"))
    }

    /// A request whose body is to follow.
    pub fn post(self, at: f64, stream: u32) -> Self {
        self.c(at, &format!("HEADERS {stream} :method=POST :scheme=http :authority=a :path=/up"))
    }

    /// A whole answer.
    pub fn ok(self, at: f64, stream: u32) -> Self {
        self.s(at, &format!("HEADERS {stream} :status=200\n+ DATA {stream} 20 END_STREAM"))
    }

    /// A request and its answer 10 ms later.
    pub fn served(self, at: f64, stream: u32) -> Self {
        self.get(at, stream).ok(at + 10.0, stream)
    }

    /// The client cancels.
    pub fn cancel(self, at: f64, stream: u32) -> Self {
        self.c(at, &format!("RST_STREAM {stream} CANCEL"))
    }

    /// The same conversation as another connection, later.
    pub fn again(self, number: u16, later: f64, other: &Self) -> Self {
        other.lines.iter().fold(self, |talk, (at, lines)| {
            let mut text = String::new();
            for line in lines.lines() {
                if line.starts_with('+') {
                    let _ = writeln!(text, "{line}");
                    continue;
                }
                let (time, rest) = line.split_once(' ').unwrap();
                let time = time.parse::<f64>().unwrap() + later;
                let _ = writeln!(text, "@{number} {time:.3} {rest}");
            }
            talk.raw(at + later, text.trim_end())
        })
    }

    /// In order of time.
    pub fn script(&self) -> String {
        let mut lines = self.lines.clone();
        lines.sort_by(|a, b| a.0.total_cmp(&b.0));
        lines.into_iter().map(|(_, line)| line + "\n").collect()
    }

    /// What the board says of the first connection.
    pub fn row(&self) -> ConnectionRow {
        judged(&self.script()).connections.remove(0).as_ref().clone()
    }

    /// Why it went away.
    pub fn told(&self) -> Verdict {
        let row = self.row();
        let verdict =
            row.goaways.first().map(|goaway| &goaway.verdict).or(row.end_verdict.as_ref());
        verdict.unwrap_or_else(|| panic!("no verdict:\n{}", self.script())).clone()
    }

    /// Why each of the connections went away.
    pub fn all_told(&self) -> Vec<Verdict> {
        let of = |row: &ConnectionRow| {
            let goaway = row.goaways.first().map(|goaway| goaway.verdict.clone());
            goaway.or_else(|| row.end_verdict.clone())
        };
        judged(&self.script()).connections.iter().filter_map(|row| of(row)).collect()
    }

    /// Asserts the cause, with at least this confidence.
    pub fn is(&self, cause: Cause, least: f64) -> Verdict {
        let verdict = self.told();
        let (found, sure) = (verdict.cause, verdict.confidence.value());
        let summary = &verdict.summary;
        assert_eq!(
            found,
            cause,
            "{sure}: {summary}\n{:?}\n{}",
            verdict.alternatives,
            self.script()
        );
        assert!(sure >= least, "{cause}: only {sure}: {summary}");
        let order = |pair: &[crate::vocab::verdict::Evidence]| !pair[1].stamp.before(pair[0].stamp);
        assert!(verdict.chain.windows(2).all(order), "out of order: {:?}", verdict.chain);
        verdict
    }

    /// Asserts the cause, told as one of several that may be.
    pub fn is_possible(&self, cause: Cause) -> Verdict {
        let verdict = self.is(cause, 0.3);
        assert!(verdict.confidence.value() < 0.5, "{}", verdict.summary);
        verdict
    }

    /// Asserts that nothing certain is said, and nothing likely but `cause`.
    pub fn is_unsure(&self, cause: Cause) -> Verdict {
        let verdict = self.told();
        let (found, sure) = (verdict.cause, verdict.confidence.value());
        assert!(sure < 0.8, "{found} {sure}: {}", verdict.summary);
        assert!(found == cause || sure < 0.6, "{found} {sure}: {}", verdict.summary);
        verdict
    }
}

impl Verdict {
    /// Asserts the measured timer, within 3 %.
    pub fn after(&self, kind: Cause, seconds: f64) -> &Self {
        let timeout = self.timeout.as_ref().unwrap_or_else(|| panic!("no timer: {self:?}"));
        let near = (timeout.seconds - seconds).abs() <= seconds * 0.03;
        assert!(timeout.kind == kind && near, "{timeout:?}, not {kind} {seconds}");
        self
    }

    /// Asserts who has to change something.
    pub fn blames(&self, blame: crate::vocab::cause::Blame) -> &Self {
        assert_eq!(self.blame, blame, "{}", self.summary);
        self
    }

    /// Asserts that the chain shows such frames, in this order.
    pub fn shows(&self, frames: &[&str]) -> &Self {
        let mut left = self.chain.iter().map(|evidence| evidence.what);
        let all = frames.iter().all(|frame| left.any(|what| what == *frame));
        assert!(all, "{frames:?} not in {:?}", self.chain);
        self
    }
}
