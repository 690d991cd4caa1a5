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

    fn annotate<W: Write>(
        &self,
        _: &Inputs,
        _: &Notes,
        _: W,
    ) -> Result<(), FramesError<Self::Error>> {
        Ok(())
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
    let words = std::iter::once("goawhy".into()).chain(words).collect();
    parse(&Config::default(), words).unwrap().0
}

/// Whether a line asks for the dashboard, where there is a terminal.
fn is_screen(line: &str) -> bool {
    let words = line.split_whitespace().map(OsString::from);
    let words = std::iter::once("goawhy".into()).chain(words).collect();
    parse(&Config::default(), words).unwrap().1.is_some()
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
        "report --format xml a.pcap",
        "completions tcsh",
        "man nonsense",
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
    for line in ["--version", "schema", "man", "man report", "completions zsh"] {
        assert_eq!(exit(line), Exit::Done, "{line}");
    }
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

#[test]
fn what_is_configured_is_a_default_and_flags_win() {
    let folder = std::env::temp_dir().join(format!("goawhy-config-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("goawhy")).unwrap();
    let file = folder.join("goawhy/config.toml");
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "cli::tests::as_the_program", "--nocapture", "--ignored", "-q"])
            .env("XDG_CONFIG_HOME", &folder)
            .env("GOAWHY_TEST_WORDS", arguments.join(" "))
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8(text).unwrap()
    };
    std::fs::write(&file, "time = \"utc\"\nthreads = 3\nkeylog = [\"k1\", \"k2\"]\n").unwrap();
    let said = run(&["report", "a.pcap"]);
    assert!(said.contains("Utc") && said.contains("Some(3)") && said.contains("\"k2\""), "{said}");
    let said = run(&["report", "a.pcap", "--time", "local", "--keylog", "k3"]);
    assert!(said.contains("Local") && said.contains("\"k3\"") && !said.contains("k1"), "{said}");
    assert!(run(&["report", "a.pcap", "--no-config"]).contains("Relative"));
    std::fs::write(&file, "tiem = \"utc\"\n").unwrap();
    let said = run(&["report", "a.pcap"]);
    assert!(said.contains("config.toml:1: unknown field `tiem`"), "{said}");
    std::fs::remove_dir_all(folder).unwrap();
}

/// What a test's words mean, for the test above: the environment belongs to a whole process.
#[test]
#[ignore = "the other half of what_is_configured_is_a_default_and_flags_win"]
fn as_the_program() {
    let words = std::env::var("GOAWHY_TEST_WORDS").unwrap_or_default();
    let words = std::iter::once("goawhy").chain(words.split(' ')).map(OsString::from);
    let mut words: Vec<OsString> = words.collect();
    match configured(&mut words) {
        Ok(config) => println!("{:?}", parse(&config, words).map(|(command, _)| command)),
        Err(error) => println!("{error}"),
    }
}
