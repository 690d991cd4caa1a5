//! What the report says of packets, by packet: comments for a copy of the capture.

use std::collections::BTreeMap;

use super::Pick;
use crate::board::words::{self, because};
use crate::board::{Board, ConnectionRow};
use crate::vocab::cause::Blame;
use crate::vocab::text::printable_lines;
use crate::vocab::time::Stamp;
use crate::vocab::verdict::Verdict;

/// Comments by capture (its index) and packet.
pub type Notes = BTreeMap<(usize, u64), Vec<String>>;

/// Collects what there is to say of what was asked for, most important first where a packet has
/// several, and how much of it was too much.
pub fn notes(board: &Board, pick: Pick) -> (Notes, usize) {
    let mut notes = Collected::default();
    for (_, row) in pick.rows(board) {
        let id = row.number;
        for goaway in &row.goaways {
            let text = match goaway.follows {
                None => said(&goaway.verdict),
                Some(_) => "follows a GOAWAY before it".to_owned(),
            };
            add(&mut notes, goaway.stamp, id, &text);
        }
        if let Some((stamp, verdict)) = row.end.stamp.zip(row.end_verdict.as_ref()) {
            add(&mut notes, stamp, id, &said(verdict));
        }
    }
    for (_, row) in pick.rows(board) {
        details(&mut notes, row.number, row);
    }
    (notes.notes, notes.left_out)
}

#[derive(Default)]
struct Collected {
    notes: Notes,
    left_out: usize,
}

/// Steps of chains, sets of cancels and broken rules.
fn details(notes: &mut Collected, id: usize, row: &ConnectionRow) {
    for verdict in row.verdicts().filter(|verdict| verdict.blame != Blame::None) {
        let steps = verdict.chain.len().saturating_sub(1);
        for (place, step) in verdict.chain.iter().take(steps).enumerate() {
            let text = format!(
                "step {} of {}, {}: {}: {}",
                place.saturating_add(1),
                steps.saturating_add(1),
                verdict.cause,
                step.label(),
                step.text
            );
            add(notes, step.stamp, id, &text);
        }
    }
    for set in &row.cancellations {
        add(notes, set.first, id, &format!("cancelled: {}", words::cancellation(set)));
    }
    for finding in &row.findings {
        let rule = finding.rule;
        let text = format!(
            "rule broken by the {}: {} ({}, {})",
            finding.by.name(),
            finding.text,
            rule.id,
            rule.section
        );
        add(notes, finding.stamp, id, &text);
    }
}

/// A verdict in a few lines.
fn said(verdict: &Verdict) -> String {
    let mut text = format!("{}\n{}", because(verdict), verdict.summary);
    if let Some(timeout) = &verdict.timeout {
        text.push_str(&format!("\ntimeout: {}", words::timeout(timeout)));
    }
    for advice in &verdict.advice {
        text.push_str(&format!("\nchange: {advice}"));
    }
    text
}

fn add(collected: &mut Collected, stamp: Stamp, id: usize, text: &str) {
    let notes = &mut collected.notes;
    let full = notes.len() >= PACKETS_MAX;
    let key = (stamp.capture(), stamp.packet());
    if full && !notes.contains_key(&key) {
        collected.left_out += 1;
        return;
    }
    let of_packet = notes.entry(key).or_default();
    if of_packet.len() < COMMENTS_MAX {
        of_packet.push(format!("goawhy #{id}: {}", printable_lines(text)));
    } else {
        collected.left_out += 1;
    }
}

/// Packets that get a comment: a person reads no more.
const PACKETS_MAX: usize = 100_000;
/// Comments of one packet.
const COMMENTS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn the_verdict_stands_on_the_goaway_and_its_steps_on_theirs() {
        let board = sample::seed();
        let (notes, left_out) = notes(&board, Pick::default());
        assert_eq!(left_out, 0);
        let row = &board.connections[0];
        let verdict = &row.goaways[0].verdict;
        let on = |stamp: Stamp| notes[&(0, stamp.packet())].join("\n");
        assert!(on(row.goaways[0].stamp).contains(&verdict.summary));
        for step in &verdict.chain {
            assert!(notes.contains_key(&(0, step.stamp.packet())), "{step:?}");
        }
        assert!(on(verdict.chain[0].stamp).contains("step 1 of"));
    }

    #[test]
    fn what_was_not_asked_for_has_no_comments_and_what_is_too_much_is_counted() {
        let mut board = sample::seed();
        let second = Pick { connection: Some(2), ..Pick::default() };
        let told = |board: &Board, pick| notes(board, pick);
        let all = told(&board, Pick::default()).0.len();
        assert!((1..all).contains(&told(&board, second).0.len()));
        let row = std::sync::Arc::make_mut(&mut board.connections[0]);
        let away = row.goaways[0].clone();
        row.goaways.extend(std::iter::repeat_n(away, COMMENTS_MAX));
        assert!(told(&board, Pick::default()).1 > 0);
    }

    #[test]
    fn what_acts_on_a_terminal_is_escaped() {
        let mut board = sample::seed();
        let row = std::sync::Arc::make_mut(&mut board.connections[0]);
        row.goaways[0].verdict.summary = "\u{1b}[2J\u{9b}31m\u{202e}".into();
        let stamp = row.goaways[0].stamp;
        let (notes, _) = notes(&board, Pick::default());
        let told = notes[&(0, stamp.packet())].join("");
        assert!(told.contains("\\u{1b}[2J\\u{9b}31m\\u{202e}"), "{told}");
    }
}
