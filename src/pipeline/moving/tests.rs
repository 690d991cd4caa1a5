use std::sync::Arc;

use super::*;
use crate::board::ConnectionRow;
use crate::board::headline::headline;
use crate::board::snapshot::Snapshot;
use crate::board::told::{Teller, Told};
use crate::exchange::{self, START};
use crate::pipeline::inject;
use crate::vocab::capture::CaptureFacts;
use crate::vocab::cause::Cause;
use crate::vocab::drops::{Drops, Stretch};
use crate::vocab::limits::Limits;
use crate::vocab::packet::{LinkType, Packet};
use crate::vocab::time::Timestamp;

/// A pipeline with its moving board.
struct Stage {
    pipeline: Pipeline,
    rows: Moving,
    packets: u64,
}

impl Stage {
    fn new(most: usize) -> Self {
        let mut pipeline = Pipeline::new(&Limits::default(), &[], false);
        pipeline.note_touched();
        Self { pipeline, rows: Moving::new(most), packets: 0 }
    }

    /// Plays the lines of a script from `from` (packets) on.
    fn play(&mut self, script: &str, range: std::ops::RangeFrom<usize>, until: i64) -> usize {
        let packets = exchange::packets(script).unwrap();
        let mut played = range.start;
        for (at, data) in &packets[range] {
            if *at >= until {
                break;
            }
            self.packets += 1;
            played += 1;
            let packet = Packet {
                stamp: Stamp::new(0, self.packets, Timestamp(*at)),
                link: LinkType::ETHERNET,
                data,
                wire_length: data.len() as u32,
                fcs_length: 0,
            };
            self.pipeline.push(&packet, &mut self.rows).unwrap();
        }
        played
    }

    fn tell(&mut self, teller: &mut Teller) -> Vec<Told> {
        self.rows.look(&mut self.pipeline, usize::MAX);
        teller.tell(&Snapshot { board: self.rows.board(), ..Snapshot::default() })
    }

    fn look(&mut self) -> Vec<Arc<ConnectionRow>> {
        self.rows.look(&mut self.pipeline, usize::MAX);
        self.rows.board().connections
    }
}

const GOAWAY: &str = "\
0 SYN
1 C> PREFACE
+ SETTINGS
2 S> SETTINGS
3 C> SETTINGS ACK
3 S> SETTINGS ACK
10 C> HEADERS 1 END_STREAM :method=GET :path=/
20 S> HEADERS 1 END_STREAM :status=200
5020 S> GOAWAY 1 NO_ERROR
6000 S> FIN
6001 C> FIN
";

fn millis(millis: i64) -> i64 {
    exchange::packets(GOAWAY).unwrap()[0].0 + millis * 1_000_000
}

#[test]
fn a_verdict_is_provisional_at_the_goaway_and_settled_after_the_close() {
    let mut stage = Stage::new(10);
    let played = stage.play(GOAWAY, 0.., millis(4000));
    let rows = stage.look();
    assert!(rows[0].goaways.is_empty() && !rows[0].settled);
    let played = stage.play(GOAWAY, played.., millis(5500));
    let rows = stage.look();
    assert_eq!(rows[0].goaways[0].verdict.cause, Cause::IdleTimeout);
    assert!(!rows[0].settled);
    let mut teller = Teller::default();
    let told = stage.tell(&mut teller);
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].number, told[0].settles, told[0].settled), (1, None, false));
    assert!(stage.tell(&mut teller).is_empty());
    stage.play(GOAWAY, played.., i64::MAX);
    let told = stage.tell(&mut teller);
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].number, told[0].settles, told[0].settled), (2, Some(1), true));
    assert!(stage.tell(&mut teller).is_empty());
    let rows = stage.look();
    assert_eq!(rows.len(), 1);
    assert!(rows[0].settled);
    assert_eq!(rows[0].goaways[0].verdict.cause, Cause::IdleTimeout);
}

#[test]
fn an_end_is_not_judged_before_it_is_one() {
    let script = "0 SYN\n1 C> PREFACE\n+ SETTINGS\n2 S> SETTINGS\n\
                  3 C> HEADERS 1 END_STREAM :method=GET\n50 S> FIN\n5000 C> FIN\n";
    let first = exchange::packets(script).unwrap()[0].0;
    let mut stage = Stage::new(10);
    let played = stage.play(script, 0.., first + 1_000_000_000);
    let rows = stage.look();
    assert!(rows[0].end_verdict.is_none() && !rows[0].settled);
    assert_eq!(rows[0].streams.unfinished, 1);
    stage.play(script, played.., i64::MAX);
    assert!(stage.look()[0].end_verdict.is_some());
}

#[test]
fn rows_that_did_not_change_are_shared() {
    let script = format!("{GOAWAY}@2 9000 SYN\n@2 9001 C> PREFACE\n@2 + SETTINGS\n");
    let mut stage = Stage::new(10);
    let played = stage.play(GOAWAY, 0.., i64::MAX);
    let before = stage.look();
    stage.play(&script.replace("@2 +", "+"), played.., i64::MAX);
    let after = stage.look();
    assert_eq!(after.len(), 2);
    assert!(Arc::ptr_eq(&before[0], &after[0]));
    let again = stage.look();
    assert!(Arc::ptr_eq(&after[1], &again[1]));
}

#[test]
fn rows_beyond_the_bound_stay_in_the_numbers() {
    let lines = |at: u32| {
        let begin = format!("{at} SYN\n{at} C> PREFACE\n+ SETTINGS\n{at} S> SETTINGS\n");
        let end = format!("{} S> GOAWAY 0 NO_ERROR\n{0} S> FIN\n{0} C> FIN\n", at + 5000);
        format!("{begin}{end}")
    };
    let script: String = (1..=5)
        .map(|n| {
            let of = |line: &str| match line.starts_with('+') {
                true => format!("{line}\n"),
                false => format!("@{n} {line}\n"),
            };
            lines(n * 10_000).lines().map(of).collect::<String>()
        })
        .collect();
    let mut stage = Stage::new(2);
    stage.play(&script, 0.., i64::MAX);
    stage.rows.look(&mut stage.pipeline, usize::MAX);
    let board = stage.rows.board();
    assert_eq!((board.connections.len(), board.earlier.connections), (2, 3));
    assert_eq!(board.goaways(), 5);
    assert_eq!(board.causes().values().sum::<u64>(), 5);
}

#[test]
fn what_had_trouble_is_listed_longer_and_stays_in_the_numbers() {
    let mut stage = Stage::new(4);
    let script: String = (0..12)
        .map(|n| {
            let (name, at) = (n + 1, |offset: i64| n * 10_000 + offset);
            let end = match n % 6 < 2 {
                true => format!("@{name} {} S> GOAWAY 1 PROTOCOL_ERROR", at(30)),
                false => format!("@{name} {} C> GOAWAY 0 NO_ERROR", at(30)),
            };
            format!(
                "@{name} {} SYN\n@{name} {} C> PREFACE\n+ SETTINGS\n@{name} {} S> SETTINGS\n\
                 @{name} {} C> HEADERS 1 END_STREAM :method=GET :scheme=http :path=/\n\
                 @{name} {} S> HEADERS 1 END_STREAM :status=200\n{end}\n\
                 @{name} {} S> FIN\n@{name} {} C> FIN\n",
                at(0),
                at(1),
                at(2),
                at(10),
                at(20),
                at(31),
                at(32)
            )
        })
        .collect();
    stage.play(&script, 0.., i64::MAX);
    stage.rows.look(&mut stage.pipeline, usize::MAX);
    let board = stage.rows.board();
    let all = board.connections.len() as u64 + board.earlier.connections;
    assert_eq!((board.connections.len(), all), (4, 12));
    let of = |place: usize| (board.connections[place].number, board.connections[place].standing());
    let listed: Vec<_> = (0..4).map(of).collect();
    let trouble = |number| (number, Standing::Trouble);
    assert_eq!(listed[..3], [trouble(2), trouble(7), trouble(8)], "{listed:?}");
    assert_eq!(listed[3], (12, Standing::Orderly));
    let told = headline(&board);
    assert!(told.starts_with("4 of 12 connections went away in trouble"), "{told}");
    assert!(told.contains("4 of them are listed; 8 rows were given up for memory"), "{told}");
}

#[test]
fn cancellations_that_go_on_are_told_every_few_seconds() {
    let begin = "0 SYN\n1 C> PREFACE\n+ SETTINGS\n2 S> SETTINGS\n3 C> SETTINGS ACK\n\
                 3 S> SETTINGS ACK\n";
    let cancels = (0..25).map(|n| {
        let (stream, at) = (2 * n + 1, 1000 + n * 400);
        let open = format!("{at} C> HEADERS {stream} END_STREAM :method=GET :path=/slow");
        format!("{open}\n{} C> RST_STREAM {stream} CANCEL\n", at + 300)
    });
    let cancels: String = cancels.collect();
    let script = format!("{begin}{cancels}20000 C> FIN\n20001 S> FIN\n");
    let (mut stage, mut teller) = (Stage::new(10), Teller::default());
    let (mut played, mut told) = (0, Vec::new());
    let start = exchange::packets(&script).unwrap()[0].0;
    for second in (0..19).chain([60]) {
        played = stage.play(&script, played.., start + second * 1_000_000_000);
        told.extend(stage.tell(&mut teller));
    }
    let sets: Vec<_> = told.iter().filter_map(|of| Some((of, of.cancellation()?))).collect();
    let counts: Vec<usize> = sets.iter().map(|(_, set)| set.streams.len()).collect();
    assert!((3..=5).contains(&counts.len()), "{counts:?}");
    assert!(counts.is_sorted() && counts.last() == Some(&25), "{counts:?}");
    for pair in sets.windows(2) {
        assert_eq!(pair[1].0.settles, Some(pair[0].0.number));
    }
    assert!(sets.iter().all(|(_, set)| set.cause == Cause::ClientRequestTimeout));
    assert!(sets.last().unwrap().0.settled);
    let board = stage.rows.board();
    assert_eq!(board.cancelled(), [(Cause::ClientRequestTimeout, 25)].into());
}

#[test]
fn one_cancelled_stream_is_no_burst() {
    let script = "0 SYN\n1 C> PREFACE\n+ SETTINGS\n2 S> SETTINGS\n\
                  100 C> HEADERS 1 END_STREAM :method=GET :scheme=http :path=/\n\
                  101 S> HEADERS 1 :status=200\n102 C> RST_STREAM 1 CANCEL\n\
                  9000 C> FIN\n9001 S> FIN\n";
    let (mut stage, mut teller) = (Stage::new(10), Teller::default());
    let start = exchange::packets(script).unwrap()[0].0;
    let played = stage.play(script, 0.., start + 5_000_000_000);
    assert!(stage.tell(&mut teller).is_empty());
    stage.play(script, played.., i64::MAX);
    assert!(stage.tell(&mut teller).iter().all(|told| told.settled));
}

#[test]
fn a_quiet_line_does_not_hold_back_an_end() {
    // The answer is missing, and no packet comes after the FINs to show that it will not come.
    let script = "0 SYN\n1 C> PREFACE\n+ SETTINGS\n2 S> SETTINGS\n\
                  3 C> HEADERS 1 END_STREAM :method=GET\n4 GAP S 1\n\
                  5 S> HEADERS 1 END_STREAM :status=200\n6 C> FIN\n7 S> FIN\n";
    let last = exchange::packets(script).unwrap().last().unwrap().0;
    let mut stage = Stage::new(10);
    stage.play(script, 0.., i64::MAX);
    stage.pipeline.tick(Timestamp(last + 2_000_000_000), &mut stage.rows);
    let rows = stage.look();
    assert!(rows[0].settled && rows[0].lost_bytes.second > 0, "{rows:?}");
}

#[test]
fn the_quietest_connections_are_shed_first() {
    let script: String = (1..=4)
        .map(|n| format!("@{n} {n}0 SYN\n@{n} {n}1 C> PREFACE\n@{n} {n}2 S> SETTINGS\n"))
        .collect();
    let mut stage = Stage::new(10);
    stage.play(&script, 0.., i64::MAX);
    let weight = stage.pipeline.weight();
    assert!(weight > 4 * 1_000);
    stage.pipeline.shed(weight, &mut stage.rows);
    assert!(stage.look().iter().all(|row| !row.settled));
    stage.pipeline.shed(weight / 2, &mut stage.rows);
    assert_eq!(stage.pipeline.evicted(), 2);
    let rows = stage.look();
    let settled: Vec<bool> = rows.iter().map(|row| row.settled).collect();
    assert_eq!(settled, [true, true, false, false]);
    let forgotten: Vec<bool> = rows.iter().map(|row| row.forgotten).collect();
    assert_eq!(forgotten, [true, true, false, false]);
    let mut board = stage.rows.board();
    board.hits.extend(stage.pipeline.limit_hits());
    let told = headline(&board);
    assert!(told.ends_with("2 connections were forgotten for memory before the end."), "{told}");
}

/// Two connections that the server aborts with a request open, in one moment.
const CUT: &str = "\
@1 0 SYN
@1 1 C> PREFACE
+ SETTINGS
@1 2 S> SETTINGS
@1 10 C> HEADERS 1 END_STREAM :method=GET :path=/
@2 40 SYN
@2 41 C> PREFACE
+ SETTINGS
@2 42 S> SETTINGS
@2 70 C> HEADERS 1 END_STREAM :method=GET :path=/
@1 5213 S> RST
@2 5221 S> RST
";

#[test]
fn what_was_dropped_meanwhile_makes_an_ending_less_sure() {
    let begin = exchange::packets(CUT).unwrap()[0].0;
    let at = |millis: i64| Timestamp(begin + millis * 1_000_000);
    let judged = |from: i64, dropped: u64| {
        let mut stage = Stage::new(10);
        stage.play(CUT, 0.., i64::MAX);
        let mut drops = Drops::default();
        let stretch = Stretch { from: at(from), to: at(from + 20), dropped, seen: 900 };
        drops.note(stretch, 8);
        stage.rows.dropped(drops);
        let mut board = stage.rows.board();
        let facts = CaptureFacts { kernel_dropped: Some(dropped), ..CaptureFacts::default() };
        board.captures.push(facts);
        board
    };
    // Long before, or next to nothing: the neighbours make it sure.
    for board in [judged(-9_000, 100), judged(5_100, 0)] {
        let verdict = board.connections[0].end_verdict.as_ref().unwrap();
        assert_eq!(verdict.cause, Cause::AbruptClose, "{}", verdict.summary);
        assert!(verdict.confidence.value() >= 0.7, "{}", verdict.summary);
        assert_eq!(board.connections[0].dropped_meanwhile, 0);
    }
    let board = judged(5_100, 100);
    for row in &board.connections {
        let verdict = row.end_verdict.as_ref().unwrap();
        assert!(verdict.confidence.value() <= 0.3, "{}", verdict.summary);
        assert!(verdict.summary.contains("100 packets were dropped by the capture meanwhile"));
        assert_eq!(row.dropped_meanwhile, 100);
    }
    let told = headline(&board);
    let end = "Not all was seen: 100 packets were dropped by the capture, and 2 endings are less \
               sure for it.";
    assert!(told.ends_with(end), "{told}");
    let told = headline(&judged(-9_000, 100));
    assert!(told.ends_with("100 packets were dropped by the capture, none around an ending."));
}

#[test]
fn a_connection_that_fails_is_let_go_and_the_others_go_on() {
    for place in inject::PLACES {
        let script = inject::SCRIPT.replace("FAULT", place);
        let mut stage = Stage::new(10);
        let goaway = exchange::packets(&script)
            .unwrap()
            .iter()
            .position(|(_, data)| data.windows(place.len()).any(|part| part == place.as_bytes()));
        let goaway = goaway.unwrap();
        let mut from = 0;
        for until in [31, 135, i64::MAX] {
            from =
                stage.play(&script, from.., until.saturating_mul(1_000_000).saturating_add(START));
            stage.look();
        }
        stage.pipeline.finish(&mut stage.rows);
        let rows = stage.look();
        assert_eq!(rows.len(), 1, "{place}");
        assert_eq!(rows[0].client.port, 40_002);
        assert_eq!(rows[0].goaways[0].verdict.cause, Cause::GracefulShutdown, "{place}");
        let [fault] = stage.pipeline.faults() else { panic!("{:?}", stage.pipeline.faults()) };
        let (_, key) = fault.flow.unwrap();
        let ports = [key.low.port, key.high.port];
        assert_eq!(ports, [40_001, 8_080], "{place}");
        let packet = fault.stamp.unwrap().packet();
        // Where it failed later than at the GOAWAY, the latest packet is told.
        assert!(packet > goaway as u64 && packet < 30, "{place}: {packet}");
        assert_eq!(stage.rows.board().other_flows, 0);
    }
}
