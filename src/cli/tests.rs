use std::cell::RefCell;

use super::*;

/// Remembers what it was asked for; knows one file.
#[derive(Default)]
struct Fake {
    asked: RefCell<Vec<Inputs>>,
}

impl Fake {
    fn answer(&self, inputs: &Inputs) -> Result<(), String> {
        self.asked.borrow_mut().push(inputs.clone());
        match inputs.files.iter().find(|file| file.to_string_lossy().contains("gone")) {
            Some(file) => Err(format!("{}: no such file; check the name", file.display())),
            None => Ok(()),
        }
    }
}

impl Runner for Fake {
    type Error = String;

    fn probe(&self, _: &Path) -> Result<(), String> {
        Ok(())
    }

    fn report(&self, inputs: &Inputs) -> Result<Board, String> {
        self.answer(inputs).map(|()| Board::default())
    }

    fn frames<W: Write>(
        &self,
        inputs: &Inputs,
        _: &mut FrameWriter<W>,
    ) -> Result<Listed, FramesError<String>> {
        self.answer(inputs).map_err(FramesError::Input).map(|()| Listed::default())
    }

    fn dashboard(&self, inputs: &Inputs, _: Look) -> Result<Exit, String> {
        self.answer(inputs).map(|()| Exit::Done)
    }

    #[cfg(feature = "live")]
    fn dashboard_live(
        &self,
        _job: &crate::run::live::Job,
        _look: Look,
        _notice: crate::run::live::Notice<'_>,
    ) -> Result<Exit, Self::Error> {
        Ok(Exit::Done)
    }

    fn explain(&self, topic: &str) -> Result<Explanation, String> {
        match topic {
            "idle_timeout" => Ok(Explanation::new(topic, "Idle.")),
            _ => Err(format!("'{topic}' is not known")),
        }
    }
}

fn exit(line: &str) -> Exit {
    let words = line.split_whitespace().map(OsString::from);
    super::run(std::iter::once("goawhy".into()).chain(words), &Fake::default())
}

fn parsed(line: &str) -> Command {
    let words = line.split_whitespace().map(OsString::from);
    parse(std::iter::once("goawhy".into()).chain(words)).unwrap().0
}

/// Whether a line asks for the dashboard, where there is a terminal.
fn is_screen(line: &str) -> bool {
    let words = line.split_whitespace().map(OsString::from);
    parse(std::iter::once("goawhy".into()).chain(words)).unwrap().1.is_some()
}

#[test]
fn a_bare_file_is_a_dashboard_unless_paper_is_meant() {
    for yes in ["./a.pcap", "-r a.pcap --mask --no-mouse", "./a.pcap --ascii -Y by:client"] {
        assert!(is_screen(yes), "{yes}");
    }
    for no in [
        "report ./a.pcap",
        "./a.pcap --no-tui",
        "./a.pcap --format json",
        "./a.pcap -o out",
        "./a.pcap --connection 1",
        "frames ./a.pcap",
    ] {
        assert!(!is_screen(no), "{no}");
    }
    assert_eq!(exit("./a.pcap --mask"), Exit::Usage, "not without a terminal");
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn mistakes_are_usage_errors() {
    for line in [
        "",
        "report",
        "frames",
        "live",
        "explain",
        "explain nonsense",
        "report --format html a.pcap",
        "report --format jsonl a.pcap",
        "frames --format json a.pcap",
        "report --connection 0 a.pcap",
        "report --connection 9 a.pcap",
        "report --stream x a.pcap",
        "a.pcap --no-such-flag",
    ] {
        assert_eq!(exit(line), Exit::Usage, "{line}");
    }
}

#[test]
fn what_cannot_be_read_is_told_apart() {
    assert_eq!(exit("gone.pcap"), Exit::Input);
    assert_eq!(exit("frames gone.pcap"), Exit::Input);
    assert_eq!(exit("report gone"), Exit::Input);
    assert_eq!(exit("report ./a.pcap"), Exit::Done);
    assert_eq!(exit("--version"), Exit::Done);
    assert_eq!(exit("explain idle_timeout"), Exit::Done);
    assert_eq!(exit("report --help"), Exit::Done);
}

#[test]
fn a_bare_file_is_a_report() {
    let Command::Report(paper) = parsed("-r a.pcap b.pcap --keylog k1 --keylog k2") else {
        panic!("not a report");
    };
    let inputs = inputs(&paper.report.input);
    assert_eq!(inputs.files, [PathBuf::from("a.pcap"), PathBuf::from("b.pcap")]);
    assert_eq!(inputs.keylogs, [PathBuf::from("k1"), PathBuf::from("k2")]);
    assert!(matches!(parsed("- --format json --streams"), Command::Report(_)));
    assert!(matches!(parsed("frames -r a.pcap --headers"), Command::Frames(_)));
}

#[test]
fn one_stream_needs_the_list_of_streams() {
    let fake = Fake::default();
    let words = ["goawhy", "report", "a.pcap", "--stream", "3"];
    assert_eq!(super::run(words.into_iter().map(OsString::from), &fake), Exit::Usage);
    assert!(fake.asked.borrow().iter().all(|inputs| inputs.streams));
}
