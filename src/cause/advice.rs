//! What to change, in the words of the one who has to change it.

use std::time::Duration;

use crate::vocab::address::Side;
use crate::vocab::cause::Cause;
use crate::vocab::verdict::Verdict;

use super::known_text;
use super::scene::{Scene, spoken};

/// Margin above the slowest answer, as the field advises.
const MARGIN: Duration = Duration::from_secs(3);

/// Advice for a verdict, most important first.
pub fn advice(scene: &Scene<'_>, verdict: &Verdict) -> Vec<String> {
    let mut advice = Vec::new();
    match verdict.cause {
        Cause::ClientRequestTimeout => client_timeout(scene, verdict, &mut advice),
        _ => {
            let explained = super::explain(verdict.cause);
            advice.extend(explained.map(|explain| explain.what_to_do.to_string()));
        }
    }
    match verdict.trigger {
        Cause::LateResponse => {
            advice.push(
                "Server: check that the response is still open before writing to it, and stop \
                 the work when the client is gone."
                    .to_string(),
            );
        }
        Cause::RapidResetProtection if verdict.cause != Cause::RapidResetProtection => {
            advice.push(
                "Server: raise the limit on resets only after the timeouts are cured; spread the \
                 load over more connections."
                    .to_string(),
            );
        }
        _ => {}
    }
    let shared = scene.goaway.is_some_and(known_text::is_shared);
    if let Some(row) = scene.text.filter(|_| !shared) {
        let versions = row.versions.as_deref().unwrap_or("all versions");
        if let Some(text) = &row.advice {
            let name = &row.implementation;
            advice.push(format!("Known of {name} ({versions}): {text}."));
        }
        let setting = row.default.as_ref();
        if let Some((name, value)) = setting.and_then(|s| s.setting.as_ref().zip(s.value.as_ref()))
        {
            advice.push(format!("The setting is {name}, default {value}."));
        }
        if !row.shown_as.is_empty() {
            let shown: Vec<String> =
                row.shown_as.iter().map(|text| format!("\"{text}\"")).collect();
            advice.push(format!("The client's log says {}.", shown.join(" or ")));
        }
    }
    if !verdict.maybe_processed_streams.is_empty() {
        let why = match scene.goaway {
            Some(goaway) if goaway.last_stream_id == 0x7fff_ffff && scene.is_error() => {
                "last stream 2^31-1 says nothing about what was processed"
            }
            Some(_) => "they are at or below last_stream_id",
            None => "no GOAWAY says what was processed",
        };
        advice.push(format!("Retry unfinished requests only if they are idempotent: {why}."));
    }
    advice
}

fn client_timeout(scene: &Scene<'_>, verdict: &Verdict, advice: &mut Vec<String>) {
    let timeout = verdict.timeout.as_ref().map(|timeout| Duration::from_secs_f64(timeout.seconds));
    let late = verdict.late_answer.as_ref().and_then(|late| late.answered_after);
    let slowest = late.map(Duration::from_secs_f64).into_iter().chain(
        scene
            .history
            .late
            .iter()
            .filter(|late| late.by == Side::Server)
            .filter_map(|late| late.since_opened),
    );
    let slowest = slowest.max();
    let now = timeout.map(|timeout| format!(" ({} now)", spoken(timeout))).unwrap_or_default();
    let text = match slowest {
        Some(slowest) => format!(
            "Client: set the request timeout{now} above the server's slowest answer ({} seen) \
             plus a margin of 2 to 5 s: {} or more.",
            spoken(slowest),
            spoken(Duration::from_secs((slowest + MARGIN).as_secs_f64().ceil() as u64))
        ),
        None => format!(
            "Client: set the request timeout{now} above the server's slowest answer plus a margin \
             of 2 to 5 s, or make the server answer faster."
        ),
    };
    advice.push(text);
}
