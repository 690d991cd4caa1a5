//! What strangers should not see, taken out: authorities, paths, header values and debug data.
//! Addresses, numbers and times stay.

use std::sync::Arc;

use super::{Board, ConnectionRow, StreamRow};
use crate::vocab::verdict::Verdict;

impl Board {
    /// Takes it out of everything, before it is written down.
    pub fn mask(&mut self) {
        for row in &mut self.connections {
            mask_row(Arc::make_mut(row));
        }
        let timers = self.inferred_timeouts.iter_mut().flat_map(|timer| &mut timer.requests);
        let answers = self.server_answers.iter_mut().flat_map(|of| &mut of.requests);
        let texts = self.conflicts.iter_mut().map(|conflict| &mut conflict.text);
        timers.chain(answers.map(|of| &mut of.request)).chain(texts).for_each(hide);
    }
}

fn mask_row(row: &mut ConnectionRow) {
    for goaway in &mut row.goaways {
        if !goaway.debug.is_empty() {
            goaway.debug = HIDDEN.into();
        }
        mask_verdict(&mut goaway.verdict);
    }
    row.end_verdict.iter_mut().for_each(mask_verdict);
    row.findings.iter_mut().for_each(|finding| hide(&mut finding.text));
    row.stream_list.iter_mut().for_each(mask_stream);
    if let Some(tls) = &mut row.tls
        && tls.sni.is_some()
    {
        tls.sni = Some(HIDDEN.into());
    }
}

fn mask_verdict(verdict: &mut Verdict) {
    hide(&mut verdict.summary);
    verdict.chain.iter_mut().for_each(|step| hide(&mut step.text));
    verdict.advice.iter_mut().for_each(hide);
    verdict.alternatives.iter_mut().for_each(|other| hide(&mut other.against));
}

fn mask_stream(stream: &mut StreamRow) {
    for part in [&mut stream.authority, &mut stream.path] {
        if part.is_some() {
            *part = Some(HIDDEN.into());
        }
    }
    if let Some(message) = stream.grpc.as_mut().and_then(|grpc| grpc.message.as_mut()) {
        *message = HIDDEN.into();
    }
    let lists = [&mut stream.request_headers, &mut stream.response_headers, &mut stream.trailers];
    for (_, value) in lists.into_iter().flatten() {
        if value.is_some() {
            *value = Some(HIDDEN.into());
        }
    }
}

fn hide(text: &mut String) {
    *text = veil(text);
}

/// Paths, addresses of resources and quoted texts become `***`: what stands between the first quote
/// and the last, for what is quoted may have quotes itself.
pub fn veil(text: &str) -> String {
    let Some((before, rest)) = text.split_once('"') else { return veil_words(text) };
    let behind = rest.rsplit_once('"').map_or("", |(_, behind)| behind);
    format!("{}\"{HIDDEN}\"{}", veil_words(before), veil_words(behind))
}

fn veil_words(text: &str) -> String {
    let words = text.split_inclusive(' ').map(|word| {
        let space = if word.ends_with(' ') { " " } else { "" };
        let secret = word.starts_with('/') && word.len() > 1 || word.contains("://");
        if secret { format!("{HIDDEN}{space}") } else { word.to_owned() }
    });
    words.collect()
}

/// What stands for something that was hidden.
pub const HIDDEN: &str = "***";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn veils_hide_paths_and_quotes() {
        assert_eq!(veil("request: GET /slow/# took 3 s"), "request: GET *** took 3 s");
        assert_eq!(veil("GOAWAY(1), \"no such user\", /"), "GOAWAY(1), \"***\", /");
        assert_eq!(veil("asked for https://a.example/x now"), "asked for *** now");
        let inner = "GOAWAY, \"user \"alice\" rejected\", last stream 3";
        assert_eq!(veil(inner), "GOAWAY, \"***\", last stream 3");
        assert_eq!(veil("cut off: \"user alice"), "cut off: \"***\"");
    }
}
