//! The dashboard's screens on real captures. `INSTA_UPDATE=always cargo test --test screens`
//! rewrites them; read the diff. `cargo test --test screens -- --ignored pictures` makes the
//! pictures of the README.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{
    Event, KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use ratatui::style::Color;

use goawhy::board::detail::{Detail, DetailState, Matching};
use goawhy::board::filter::Filter;
use goawhy::board::snapshot::{Feed, Snapshot, State};
use goawhy::board::{ConnectionRow, StreamEnd, StreamRow};
use goawhy::run::offline::Job;
use goawhy::run::watch::Watch;
use goawhy::tui::{App, Colours, Effect, Settings, Theme, render};

mod picture;

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];
const SAMPLE: &str = "stacks/vertx-client-timeout-goaway1-10s.pcap";

/// A feed that waits where a screen would ask again.
struct Patient(Watch);

fn patiently<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "nothing came");
        std::thread::sleep(Duration::from_millis(2));
    }
}

impl Feed for Patient {
    fn latest(&self) -> Arc<Snapshot> {
        patiently(|| Some(self.0.latest()).filter(|snapshot| snapshot.state == State::Ended))
    }

    fn detail(&self, row: &ConnectionRow) -> Arc<Detail> {
        let found = || Some(self.0.detail(row)).filter(|d| d.state != DetailState::Reading);
        patiently(found)
    }

    fn matching(&self, filter: &Filter, snapshot: &Arc<Snapshot>) -> Arc<Matching> {
        patiently(|| {
            let found = self.0.matching(filter, snapshot);
            Some(found).filter(|found| found.state != DetailState::Reading)
        })
    }
}

/// A dashboard on a capture that has been read to its end.
struct Desk {
    feed: Box<dyn Feed>,
    app: App,
}

impl Desk {
    fn on(capture: &str, settings: Settings) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures").join(capture);
        let watch = Watch::files(Job { files: vec![file], ..Job::default() }).unwrap();
        Self::of(Box::new(Patient(watch)), settings)
    }

    fn of(feed: Box<dyn Feed>, settings: Settings) -> Self {
        let mut desk = Self { feed, app: App::new(settings) };
        desk.app.refresh(desk.feed.as_ref());
        desk
    }

    fn event(&mut self, event: &Event) {
        self.app.event(event);
        self.app.refresh(self.feed.as_ref());
    }

    /// Types: a letter is itself, `⏎` Enter, `⎋` Escape, `⇥` Tab.
    fn keys(&mut self, keys: &str) -> &mut Self {
        for key in keys.chars() {
            let code = match key {
                '⏎' => KeyCode::Enter,
                '⎋' => KeyCode::Esc,
                '⇥' => KeyCode::Tab,
                letter => KeyCode::Char(letter),
            };
            self.event(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
        }
        self
    }

    fn draw(&mut self, (wide, high): (u16, u16)) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(wide, high)).unwrap();
        terminal.draw(|frame| render(frame, &mut self.app)).unwrap();
        terminal.backend().buffer().clone()
    }

    fn text(&mut self, size: (u16, u16)) -> String {
        text(&self.draw(size))
    }
}

/// The letters of a screen.
fn text(buffer: &Buffer) -> String {
    let wide = usize::from(buffer.area.width);
    let lines = buffer.content.chunks(wide).map(|cells| {
        let line: String = cells.iter().map(|cell| cell.symbol()).collect();
        format!("{}\n", line.trim_end())
    });
    lines.collect()
}

/// Every view at every size.
fn views(name: &str, capture: &str) {
    let mut desk = Desk::on(capture, Settings::default());
    for (view, keys) in
        [("overview", "1"), ("chain", "2"), ("streams", "3"), ("timeouts", "4"), ("frames", "5")]
    {
        desk.keys(keys);
        for size in SIZES {
            let name = format!("{name}-{view}-{}x{}", size.0, size.1);
            insta::assert_snapshot!(name, desk.text(size));
        }
    }
}

#[test]
fn a_timeout_that_killed_a_connection() {
    views("timeout", SAMPLE);
}

#[test]
fn a_network_without_trouble() {
    views("healthy", "stacks/go127-healthy-busy.pcap");
    let mut desk = Desk::on("stacks/go127-healthy-busy.pcap", Settings::default());
    let screen = desk.text((80, 24));
    assert!(screen.contains("none went away in trouble"), "{screen}");
}

#[test]
fn tls_without_keys() {
    views("dark", "tls/tls13_aes128gcm.pcap");
}

#[test]
fn resets_faster_than_answers() {
    views("storm", "servers/rapid-reset-nginx.pcap");
}

#[test]
fn many_endings_of_several_kinds() {
    views("reload", "servers/nginx-reload.pcap");
}

#[test]
fn a_small_terminal_is_told() {
    let mut desk = Desk::on(SAMPLE, Settings::default());
    insta::assert_snapshot!("small", desk.text((40, 10)));
    let tiny = desk.text((20, 5));
    assert!(tiny.contains("80 x 24") && tiny.contains("q quits"), "{tiny}");
    for size in [(1, 1), (79, 24), (80, 23), (3, 60), (500, 2)] {
        desk.draw(size);
    }
}

#[test]
fn ascii_and_no_colour_mean_what_they_say() {
    let theme = Theme { colours: Colours::None, ascii: true };
    let mut desk = Desk::on(SAMPLE, Settings { theme, ..Settings::default() });
    for view in ["1", "2", "3", "4", "5", "?"] {
        let buffer = desk.keys(view).draw((100, 30));
        let screen = text(&buffer);
        assert!(screen.is_ascii(), "{screen}");
        let plain = |colour: Color| colour == Color::Reset;
        assert!(buffer.content.iter().all(|cell| plain(cell.fg) && plain(cell.bg)));
    }
    insta::assert_snapshot!("ascii", desk.keys("x2").text((80, 24)));
}

#[test]
fn the_cause_is_two_keys_away_and_leads_to_its_frame_and_back() {
    let mut desk = Desk::on(SAMPLE, Settings::default());
    let first = desk.text((100, 30));
    assert!(first.contains("client_request_timeout → late_response"), "{first}");
    let chain = desk.keys("⏎").text((100, 30));
    assert!(chain.contains("GOAWAY") && chain.contains("RST_STREAM 3"), "{chain}");
    // The packet of the request holds other requests before it.
    let request = desk.keys("⏎").text((100, 40));
    assert!(request.contains("HEADERS in packet 8") && request.contains("/slow/"), "{request}");
    assert!(!request.contains(":path /fast"), "{request}");
    desk.keys("⎋");
    let frame = desk.keys("j⏎").text((100, 40));
    assert!(frame.contains("RST_STREAM in packet 134"), "{frame}");
    let back = desk.keys("⎋").text((100, 30));
    assert_eq!(back, desk.keys("g").keys("j").text((100, 30)));
    let home = desk.keys("⎋").text((100, 30));
    assert_eq!(home, first);
}

#[test]
fn what_a_neighbour_did_is_shown_on_its_own_connection() {
    let mut desk = Desk::on("servers/nginx-reload.pcap", Settings::default());
    let chain = desk.keys("⏎n").text((120, 40));
    assert!(chain.contains("#1 neighbour"), "{chain}");
    let frames = desk.keys("⏎").text((120, 40));
    assert!(frames.contains("#1  127.0.0.1:46434"), "{frames}");
    assert!(frames.contains("GOAWAY in packet 24"), "{frames}");
    let back = desk.keys("⎋").text((120, 40));
    assert!(back.contains("#2  127.0.0.1:46448") && back.contains("#1 neighbour"), "{back}");
}

#[test]
fn goaways_among_the_frames() {
    let mut desk = Desk::on(SAMPLE, Settings::default());
    let frames = desk.keys("5n").text((120, 40));
    assert!(frames.contains("GOAWAY in packet"), "{frames}");
    let last = desk.keys("n").text((120, 40));
    assert!(last.contains("that was the last") && last.contains("GOAWAY in packet"), "{last}");
    let stream = desk.keys("gjjjjjj").keys("a").keys("n").text((120, 40));
    assert!(stream.contains("a shows all"), "{stream}");
}

#[test]
fn times_say_what_they_count_from() {
    let mut desk = Desk::on(SAMPLE, Settings::default());
    desk.keys("5");
    for title in ["since open", "to the end", "local time", "UTC", "time"] {
        let screen = desk.keys("t").text((80, 24));
        let head = screen.lines().find(|line| line.contains("packet ")).unwrap();
        assert!(head.contains(title), "{screen}");
    }
    let chain = desk.keys("2t").text((80, 24));
    assert!(chain.contains("since open"), "{chain}");
}

#[test]
fn what_is_asked_of_a_list_before_it_is_there_is_done_once_it_is() {
    for view in ["3", "5"] {
        let mut desk = Desk::on(SAMPLE, Settings::default());
        let known = desk.feed.latest();
        let nothing = Crowd { snapshot: known, detail: Arc::default() };
        let quick = std::mem::replace(&mut desk.feed, Box::new(nothing));
        desk.keys(view).keys("G");
        let waits = desk.text((100, 30));
        assert!(waits.contains("Looking for the"), "{waits}");
        desk.feed = quick;
        desk.app.refresh(desk.feed.as_ref());
        let there = desk.text((100, 30));
        assert_eq!(
            there,
            Desk::on(SAMPLE, Settings::default()).keys(view).keys("G").text((100, 30))
        );
    }
}

#[test]
fn there_and_back_again_is_no_way() {
    let mut desk = Desk::on(SAMPLE, Settings::default());
    let there = desk.keys("5G").text((100, 30));
    let of_stream = desk.keys("gjjjjjjjjaaaaa").text((100, 30));
    assert!(of_stream.contains(" stream 7: "), "{of_stream}");
    desk.keys("a⎋");
    assert!(desk.text((100, 30)).contains("went away in trouble"), "{}", desk.text((100, 30)));
    assert!(there.contains("frames"));
}

#[test]
fn without_a_connection_nothing_is_looked_for() {
    let mut desk = Desk::on(SAMPLE, Settings::default());
    let nothing = Crowd { snapshot: Arc::default(), detail: Arc::default() };
    desk.feed = Box::new(nothing);
    let mut desk = Desk::of(desk.feed, Settings::default());
    for view in ["2", "3", "5"] {
        let told = desk.keys(view).text((80, 24));
        assert!(told.contains("No connection is picked"), "{view}: {told}");
    }
}

#[test]
fn goaways_follow_each_other() {
    let mut desk = Desk::on("servers/nginx-reload.pcap", Settings::default());
    let first = desk.keys("n").text((100, 30));
    let second = desk.keys("n").text((100, 30));
    assert_ne!(first, second);
    assert!(second.contains("ending 2 of "), "{second}");
    assert!(desk.keys("N").text((100, 30)).contains("ending 1 of "));
}

#[test]
fn filters_are_checked_while_they_are_typed() {
    let mut desk = Desk::on(SAMPLE, Settings::default());
    let open = desk.keys("/cause:client_sh").text((100, 30));
    assert!(open.contains("1 of 2 connections pass"), "{open}");
    insta::assert_snapshot!("prompt", desk.text((80, 24)));
    let bad = desk.keys("x").text((100, 30));
    assert!(bad.contains("is no value of 'cause'"), "{bad}");
    let left = desk.keys("⎋").text((100, 30));
    assert!(!left.contains("filter:"), "{left}");
    let taken = desk.keys("/cause:client_sh⏎").text((100, 30));
    assert!(taken.contains("filter: cause:client_sh (1 of 2)"), "{taken}");
    assert!(!desk.keys("⎋").text((100, 30)).contains("filter: "));
    // Back on the overview by whatever way, Escape gives it up.
    let mut other = Desk::on(SAMPLE, Settings::default());
    let seen = other.keys("/cause:client_sh⏎51").text((100, 30));
    assert!(seen.contains("filter: cause:client_sh (1 of 2)"), "{seen}");
    assert!(!other.keys("⎋").text((100, 30)).contains("filter: "));
    // Of streams and frames, the same.
    let streams = desk.keys("3/age>3s⏎").text((100, 30));
    assert!(streams.contains("shown of 131 streams"), "{streams}");
    let frames = desk.keys("5⎋⎋/type:GOAWAY⏎5").text((100, 30));
    assert!(frames.contains("1 of "), "{frames}");
}

#[test]
fn help_is_made_of_the_keys() {
    let mut desk = Desk::on(SAMPLE, Settings::default());
    insta::assert_snapshot!("help-streams", desk.keys("3?").text((80, 40)));
    assert!(!desk.keys("x").text((80, 40)).contains("any other key closes"));
}

#[test]
fn masks_hide_what_strangers_should_not_see() {
    let mut desk = Desk::on(SAMPLE, Settings { mask: true, ..Settings::default() });
    for view in ["1", "2", "3", "4", "5"] {
        let screen = desk.keys(view).text((200, 60));
        assert!(!screen.contains("/slow"), "{screen}");
        assert!(!screen.contains("Request stream 3 is not correct"), "{screen}");
        desk.keys("c");
        let effects = desk.app.effects();
        let copied = |text: &str| text.contains("/slow") || text.contains("is not correct");
        assert!(!effects.iter().any(|of| matches!(of, Effect::Copy(text) if copied(text))));
        desk.keys("w");
        assert_eq!(desk.app.effects(), [], "a report hides nothing");
    }
    let open = desk.keys("m3").text((200, 60));
    assert!(open.contains("/slow"), "{open}");
}

#[test]
fn clicks_pick_and_open() {
    let mut desk = Desk::on(SAMPLE, Settings::default());
    let screen = desk.text((100, 30));
    let row = screen.lines().position(|line| line.contains("44222")).unwrap() as u16;
    let click = |column, row| {
        let kind = MouseEventKind::Down(MouseButton::Left);
        Event::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE })
    };
    desk.event(&click(10, row));
    desk.draw((100, 30));
    desk.event(&click(10, row));
    let chain = desk.text((100, 30));
    assert!(chain.contains("client_shutdown"), "{chain}");
    let tab = chain.lines().nth(1).unwrap().find("5 Frames").unwrap() as u16;
    desk.event(&click(tab, 1));
    assert!(desk.text((100, 30)).contains("frames"), "{}", desk.text((100, 30)));
}

#[test]
fn what_keys_ask_of_the_loop() {
    let mut desk = Desk::on(SAMPLE, Settings::default());
    desk.keys("2c");
    assert!(
        matches!(desk.app.effects().as_slice(), [Effect::Copy(text)] if text.contains("GOAWAY"))
    );
    desk.keys("w");
    assert_eq!(desk.app.effects(), [Effect::Write]);
    desk.keys("q");
    assert_eq!(desk.app.effects(), [Effect::Quit]);
    assert!(desk.keys(" ").text((100, 30)).contains("HELD"));
}

#[test]
fn a_filter_on_streams_lists_what_the_report_lists() {
    let mut told = std::collections::BTreeSet::new();
    for capture in [SAMPLE, "servers/nginx-reload.pcap", "stacks/go127-healthy-busy.pcap"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures").join(capture);
        let job = Job { files: vec![file], streams: true, ..Job::default() };
        let board = goawhy::run::offline::report(&job).unwrap();
        for filter in ["path:/zzz", "path:/slow", "age>3s", "end:goaway path:/", "not path:/slow"] {
            let of = Filter::new(filter).unwrap();
            let passing = board.connections.iter().filter(|row| of.connection(row)).count();
            let all = board.connections.len();
            let mut desk = Desk::on(capture, Settings::default());
            let screen = desk.keys(&format!("/{filter}⏎")).text((160, 40));
            let told_so = format!("filter: {filter} ({passing} of {all})");
            assert!(screen.contains(&told_so), "{capture} {told_so}\n{screen}");
            told.insert((passing == 0, passing == all));
        }
    }
    assert!(told.len() > 1, "{told:?}");
}

/// One connection with very many streams.
struct Crowd {
    snapshot: Arc<Snapshot>,
    detail: Arc<Detail>,
}

impl Feed for Crowd {
    fn latest(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot)
    }

    fn detail(&self, _: &ConnectionRow) -> Arc<Detail> {
        Arc::clone(&self.detail)
    }

    fn matching(&self, _: &Filter, _: &Arc<Snapshot>) -> Arc<Matching> {
        Arc::default()
    }
}

#[test]
fn a_connection_that_was_forgotten_is_told_as_far_as_it_is_known() {
    let mut desk = Desk::on(SAMPLE, Settings::default());
    desk.keys("⏎");
    let mut snapshot = Snapshot::clone(&desk.feed.latest());
    snapshot.revision += 1;
    snapshot.board.connections.remove(0);
    desk.feed = Box::new(Crowd { snapshot: Arc::new(snapshot), detail: Arc::default() });
    for view in ["", "3", "5", "2"] {
        desk.app.refresh(desk.feed.as_ref());
        let screen = desk.keys(view).text((80, 24));
        for part in ["Forgotten for memory", "127.0.0.1:33874", "131 streams", "late_response"] {
            assert!(screen.contains(part), "{view}: {part} is not in\n{screen}");
        }
    }
    let screen = desk.keys("1").text((80, 24));
    assert!(screen.contains("127.0.0.1:44222"), "{screen}");
}

#[test]
fn a_hundred_thousand_streams_scroll() {
    let desk = Desk::on(SAMPLE, Settings::default());
    let snapshot = desk.feed.latest();
    let known = desk.feed.detail(&snapshot.board.connections[0]);
    let opened = known.streams[0].opened;
    let stream = |id: u32| StreamRow {
        id: id * 2 + 1,
        opened,
        end: StreamEnd::Open,
        path: Some(format!("/{id}")),
        ..StreamRow::default()
    };
    let streams = (0..100_000).map(stream).collect();
    let detail = Detail { state: DetailState::Whole, streams, ..Detail::default() };
    let crowd = Crowd { snapshot, detail: Arc::new(detail) };
    let mut desk = Desk::of(Box::new(crowd), Settings::default());
    desk.keys("3");
    let begun = Instant::now();
    for _ in 0..200 {
        desk.keys("j");
        desk.draw((200, 60));
    }
    let each = begun.elapsed() / 200;
    println!("a key and its picture over 100,000 streams: {each:?}");
    let last = desk.keys("G").text((120, 40));
    assert!(last.contains("199999"), "{last}");
}

#[test]
fn a_filter_over_very_many_frames_is_typed_without_a_wait() {
    let desk = Desk::on(SAMPLE, Settings::default());
    let snapshot = desk.feed.latest();
    let known = desk.feed.detail(&snapshot.board.connections[0]);
    let one = known.frames.iter().find(|frame| frame.head.stream == 3).unwrap();
    let mut frames = vec![one.clone(); FRAMES];
    for (place, frame) in frames.iter_mut().enumerate() {
        frame.head.stream = place as u32 * 2 + 1;
    }
    let detail = Detail { state: DetailState::Whole, frames, ..Detail::default() };
    let crowd = Crowd { snapshot, detail: Arc::new(detail) };
    let mut desk = Desk::of(Box::new(crowd), Settings::default());
    desk.keys("5/");
    desk.draw((120, 40));
    let last = format!("stream:{}", FRAMES * 2 - 1);
    let mut slowest = Duration::ZERO;
    for letter in last.chars() {
        let begun = Instant::now();
        desk.keys(&letter.to_string());
        desk.draw((120, 40));
        slowest = slowest.max(begun.elapsed());
    }
    println!("the slowest letter of a filter over {FRAMES} frames: {slowest:?}");
    // What is far behind is found by and by, while nothing is typed.
    desk.keys("⏎");
    while desk.text((120, 40)).contains("iltering …") {
        desk.app.refresh(desk.feed.as_ref());
    }
    let found = desk.text((120, 40));
    assert!(found.contains("1 of 400,000 frames"), "{found}");
}

const FRAMES: usize = 400_000;

/// Every screen that the README shows, as SVG.
#[test]
#[ignore = "writes pictures: cargo test --test screens -- --ignored pictures"]
fn pictures() {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots/screens");
    std::fs::create_dir_all(&folder).unwrap();
    let mut desk = Desk::on(SAMPLE, Settings::default());
    for (name, keys) in
        [("overview", "1"), ("chain", "⏎"), ("streams", "3"), ("timeouts", "4"), ("frames", "5")]
    {
        let buffer = desk.keys(keys).draw((120, 36));
        let svg = picture::svg(&buffer);
        std::fs::write(folder.join(format!("{name}.svg")), svg).unwrap();
    }
}

#[test]
fn the_end_of_every_chain_can_be_reached() {
    for capture in [SAMPLE, "servers/nginx-idle.pcap", "servers/apache-timeout.pcap"] {
        let mut desk = Desk::on(capture, Settings::default());
        for size in [(80, 24), (120, 24)] {
            desk.keys("1⏎").text(size);
            let last = desk.keys("G").text(size);
            assert!(!last.contains("j more"), "{capture}:\n{last}");
            assert!(last.contains("Rather than") || last.contains("What to change"), "{last}");
            // Line by line it is the same way, and back again.
            desk.keys("g").text(size);
            for _ in 0..60 {
                desk.keys("j").text(size);
            }
            assert_eq!(desk.text(size), last);
            for _ in 0..60 {
                desk.keys("k").text(size);
            }
            assert_eq!(desk.text(size), desk.keys("g").text(size));
        }
    }
}

#[test]
fn a_list_goes_back_from_its_end() {
    for (capture, view) in [("servers/client-shutdowns.pcap", "1"), (SAMPLE, "3"), (SAMPLE, "5")] {
        let mut desk = Desk::on(capture, Settings::default());
        let last = desk.keys(view).keys("G").draw((80, 24));
        assert_ne!(desk.keys("k").draw((80, 24)), last, "{view}");
        assert_eq!(desk.keys("jjjjk").keys("j").draw((80, 24)), last, "{view}");
    }
}

#[test]
fn cancelled_requests_are_told_before_an_end_in_good_order() {
    let capture = "stacks/go127-client-timeout-survives.pcap";
    let mut desk = Desk::on(capture, Settings::default());
    insta::assert_snapshot!("survives-overview-120x40", desk.text((120, 40)));
    let chain = desk.keys("⏎").text((80, 24));
    let timeout = chain.find("12 streams cancelled by the client after 600 ms").unwrap();
    assert!(timeout < chain.find("client_shutdown").unwrap(), "{chain}");
    assert!(chain.contains("raise the request timeout, now 600 ms"), "{chain}");
}

#[test]
fn help_and_quit_stay_in_the_last_line() {
    let mut desk = Desk::on(SAMPLE, Settings::default());
    for view in ["1", "2", "3", "4", "5"] {
        let screen = desk.keys(view).text((80, 24));
        let foot = screen.lines().last().unwrap();
        assert!(foot.contains("? help") && foot.contains("q quit"), "{foot}");
    }
}

#[test]
fn a_fault_in_a_filter_is_told_to_its_end() {
    let mut desk = Desk::on(SAMPLE, Settings::default());
    let screen = desk.keys("/by:server caus:client_request_timeout").text((80, 24));
    assert!(screen.contains("cause"), "{screen}");
    assert!(!screen.lines().rev().take(2).any(|line| line.contains('…')), "{screen}");
}
