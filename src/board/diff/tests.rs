use super::*;
use crate::board::ServerTimes;
use crate::board::digest::{Answered, AnsweredKind, Cancelled, Goaway, Judged, Measured};

/// So many connections of which some went away over a timeout; each cancelled some of 100 requests.
fn digest(connections: u64, troubled: u64, cancelled: u64) -> Digest {
    let connection = |id: u64| {
        let mut connection = Connection { id, http2: true, ..Connection::default() };
        (connection.streams.opened, connection.streams.cancelled) = (100, cancelled);
        if cancelled > 0 {
            connection.cancellations.push(Cancelled {
                cause: "client_request_timeout".into(),
                by: "client".into(),
                streams: cancelled,
                ..Cancelled::default()
            });
        }
        if id <= troubled {
            let verdict = Judged {
                cause: "client_request_timeout".into(),
                trigger: "late_response".into(),
                blame: "server".into(),
                maybe_processed: 40,
                ..Judged::default()
            };
            connection.goaways.push(Goaway { verdict, ..Goaway::default() });
        }
        connection
    };
    Digest { connections: (1..=connections).map(connection).collect(), ..Digest::default() }
}

fn changes(before: &Digest, after: &Digest) -> Vec<(Section, Change)> {
    let compared = compare(before, after);
    compared.rows.iter().map(|row| (row.section, row.change)).collect()
}

#[test]
fn few_connections_say_nothing_however_many_requests_died() {
    let found = changes(&digest(2, 1, 0), &digest(2, 0, 0));
    assert_eq!(found, [(Section::Endings, Change::TooFew), (Section::Victims, Change::TooFew)]);
    let found = changes(&digest(40, 20, 0), &digest(40, 0, 0));
    assert_eq!(found, [(Section::Endings, Change::Gone), (Section::Victims, Change::Gone)]);
    let found = changes(&digest(40, 0, 0), &digest(40, 20, 0));
    assert_eq!(found, [(Section::Endings, Change::New), (Section::Victims, Change::New)]);
    let found = changes(&digest(40, 20, 0), &digest(40, 19, 0));
    assert_eq!(found, [(Section::Endings, Change::Alike), (Section::Victims, Change::Alike)]);
}

#[test]
fn shares_of_requests_change_where_chance_would_not_do_it() {
    let of = |before, after| changes(&digest(1, 0, before), &digest(1, 0, after))[0].1;
    assert_eq!(of(50, 10), Change::Less);
    assert_eq!(of(10, 50), Change::More);
    assert_eq!(of(10, 12), Change::Alike);
    assert_eq!(of(1, 4), Change::TooFew);
}

#[test]
fn cancels_that_a_proxy_passed_on_are_counted_once() {
    let mut both = digest(2, 0, 50);
    let hop = crate::board::digest::Beyond {
        way: "cancel_passed_on".into(),
        requests: 50,
        connections: vec![1],
    };
    both.connections[1].cancellations[0].hop = Some(hop);
    assert_eq!(both.cancelled(), (50, 150));
    let compared = compare(&both, &digest(2, 0, 25));
    let Value::Share { count, of, .. } = compared.rows[0].before else { panic!() };
    assert_eq!((count, of, compared.rows.len()), (50, 150, 1));
}

#[test]
fn answer_times_are_compared_whatever_the_kinds_of_request() {
    let with = |kinds: &[&str]| {
        let times = ServerTimes { count: 9, median: 1.0, ..ServerTimes::default() };
        let kind = |name: &&str| AnsweredKind { request: (*name).into(), times: times.clone() };
        let requests: Vec<AnsweredKind> = kinds.iter().map(kind).collect();
        let count = 9 * kinds.len() as u64;
        let times = ServerTimes { count, ..times.clone() };
        let server = Answered { server: "a:1".into(), times, requests };
        Digest { server_answers: vec![server], ..digest(1, 0, 0) }
    };
    let names = |before: &[&str], after: &[&str]| -> Vec<String> {
        let rows = compare(&with(before), &with(after)).rows.into_iter();
        rows.filter(|row| row.section == Section::Answers).map(|row| row.name).collect()
    };
    let all = "all requests: median";
    assert_eq!(names(&["GET /a"], &["GET /a"]), ["GET /a: median"]);
    assert_eq!(names(&["GET /a"], &["GET /b"]), [all]);
    assert_eq!(names(&["GET /a"], &["GET /a", "GET /b"]), [all, "GET /a: median"]);
}

#[test]
fn timers_pair_up_by_kind() {
    let with = |values: &[f64]| Digest {
        inferred_timeouts: values
            .iter()
            .map(|seconds| Measured {
                kind: "client_request_timeout".into(),
                configured_in: "client".into(),
                seconds: *seconds,
                samples: 9,
                confidence: 0.95,
                ..Measured::default()
            })
            .collect(),
        ..digest(2, 0, 0)
    };
    let of = |before: &[f64], after: &[f64]| changes(&with(before), &with(after))[0].1;
    assert_eq!(of(&[4.0], &[12.0]), Change::Longer);
    assert_eq!(of(&[4.0, 4.01], &[1.0]), Change::Shorter);
    assert_eq!(of(&[4.0], &[4.1]), Change::Alike);
    assert_eq!(of(&[4.0], &[1.0, 12.0]), Change::Several);
    assert_eq!(of(&[4.0], &[]), Change::OnlyBefore);
    assert_eq!(of(&[], &[4.0]), Change::OnlyAfter);
}

#[test]
fn answers_differ_where_their_ranges_do_not_meet() {
    let with = |median: f64, range: Option<(f64, f64)>| {
        let times =
            ServerTimes { count: 99, median, median_range: range, ..ServerTimes::default() };
        let server = Answered { server: format!("{median}"), times, ..Answered::default() };
        Digest { server_answers: vec![server], ..digest(2, 0, 0) }
    };
    let near = with(1.0, Some((0.9, 1.1)));
    assert_eq!(changes(&near, &with(2.0, Some((1.8, 2.2))))[0].1, Change::Longer);
    assert_eq!(changes(&with(2.0, Some((1.8, 2.2))), &near)[0].1, Change::Shorter);
    assert_eq!(changes(&near, &with(1.2, Some((1.15, 1.4))))[0].1, Change::Alike);
    assert_eq!(changes(&near, &with(9.0, None))[0].1, Change::TooFew);
}

#[test]
fn where_nothing_was_seen_nothing_has_gone_away() {
    let mut one = digest(20, 5, 3);
    one.conflicts.push(crate::board::digest::Clash::default());
    one.inferred_timeouts.push(Measured { seconds: 4.0, samples: 60, ..Measured::default() });
    for (before, after) in [(&one, &Digest::default()), (&Digest::default(), &one)] {
        let compared = compare(before, after);
        assert!(!compared.rows.is_empty());
        assert!(compared.rows.iter().all(|row| row.change == Change::TooFew), "{compared:?}");
        assert_eq!(compared.lacks.len(), 1);
    }
    assert!(compare(&Digest::default(), &one).lacks[0].starts_with("before has no HTTP/2"));
    assert!(compare(&one, &one).lacks.is_empty());
    let mut idle = digest(20, 0, 0);
    idle.connections.iter_mut().for_each(|of| of.streams.opened = 0);
    assert_eq!(compare(&one, &idle).lacks, ["after has no request: there are none to compare"]);
}
