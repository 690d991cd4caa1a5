//! What strangers should not see, taken out: authorities, paths, header values and debug data.
//! Addresses, numbers and times stay.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::told::Told;
use super::{Board, ConnectionRow, StreamRow};
use crate::vocab::hop::Hop;
use crate::vocab::verdict::{Implementation, Verdict};

impl Board {
    /// Takes it out of everything, before it is written down.
    pub fn mask(&mut self) {
        let names = Names::of(self);
        for row in &mut self.connections {
            mask_row(Arc::make_mut(row), &names);
        }
        let timers = self.inferred_timeouts.iter_mut().flat_map(|timer| &mut timer.requests);
        let answers = self.server_answers.iter_mut().flat_map(|of| &mut of.requests);
        timers.chain(answers.map(|of| &mut of.request)).for_each(hide);
        for conflict in &mut self.conflicts {
            for text in conflict.advice.iter_mut().chain([&mut conflict.text]) {
                names.hide(text);
                hide(text);
            }
        }
    }
}

impl Told {
    /// The same of what is told of one connection; `names` are those of the board.
    pub fn mask(&mut self, names: &Names) {
        mask_row(Arc::make_mut(&mut self.row), names);
    }
}

/// Names of programs that are text of a header field. Texts call programs by name, also those of
/// another connection.
#[derive(Clone, Debug, Default)]
pub struct Names(BTreeSet<String>);

impl Names {
    /// Those of all connections.
    pub fn of(board: &Board) -> Self {
        Self(board.connections.iter().flat_map(|row| stated(row)).map(ToOwned::to_owned).collect())
    }

    /// Takes them out of a text.
    pub fn hide(&self, text: &mut String) {
        self.0.iter().for_each(|name| hide_name(text, name));
    }
}

/// Those of a connection.
fn stated(row: &ConnectionRow) -> impl Iterator<Item = &str> {
    let known = [&row.implementations.first, &row.implementations.second];
    known.into_iter().flatten().filter_map(Implementation::stated_name)
}

/// Takes the name of a program out of a sentence.
fn hide_name(text: &mut String, name: &str) {
    if !name.is_empty() && text.contains(name) {
        *text = text.replace(name, HIDDEN);
    }
}

fn mask_row(row: &mut ConnectionRow, names: &Names) {
    let own: Vec<String> = stated(row).map(ToOwned::to_owned).collect();
    for goaway in &mut row.goaways {
        if !goaway.debug.is_empty() {
            goaway.debug = HIDDEN.into();
        }
    }
    row.every_verdict_mut().for_each(|verdict| mask_verdict(verdict, &own, names));
    for set in &mut row.cancellations {
        mask_hop(set.hop.as_deref_mut(), names);
        if let Some(advice) = &mut set.advice {
            own.iter().for_each(|name| hide_name(advice, name));
            hide(advice);
        }
    }
    let known = [&mut row.implementations.first, &mut row.implementations.second];
    known.into_iter().flatten().for_each(mask_implementation);
    row.findings.iter_mut().for_each(|finding| hide(&mut finding.text));
    row.stream_list.iter_mut().for_each(mask_stream);
    if let Some(tls) = &mut row.tls
        && tls.sni.is_some()
    {
        tls.sni = Some(HIDDEN.into());
    }
}

fn mask_verdict(verdict: &mut Verdict, own: &[String], names: &Names) {
    hide(&mut verdict.summary);
    verdict.chain.iter_mut().for_each(|step| hide(&mut step.text));
    let beyond = verdict.hop.as_ref().and_then(|hop| hop.program.as_ref());
    let beyond = beyond.filter(|name| names.0.contains(*name));
    for text in &mut verdict.advice {
        own.iter().chain(beyond).for_each(|name| hide_name(text, name));
        hide(text);
    }
    verdict.alternatives.iter_mut().for_each(|other| hide(&mut other.against));
    verdict.implementation.iter_mut().for_each(mask_implementation);
    mask_hop(verdict.hop.as_deref_mut(), names);
}

/// A program that is recognised keeps its name, and not what it says of itself.
fn mask_implementation(known: &mut Implementation) {
    if known.stated_name().is_some() {
        known.name = HIDDEN.into();
    }
    if let Some((_, says)) = &mut known.says {
        *says = HIDDEN.into();
    }
}

fn mask_hop(hop: Option<&mut Hop>, names: &Names) {
    let program = hop.and_then(|hop| hop.program.as_mut());
    if let Some(program) = program.filter(|program| names.0.contains(*program)) {
        *program = HIDDEN.into();
    }
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
    for list in lists {
        *list = list.iter().map(|(name, value)| (name, value.map(|_| HIDDEN))).collect();
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
    fn names_of_programs_are_hidden_inside_texts() {
        let names = Names(BTreeSet::from(["acme/7".to_owned()]));
        let mut text = "raise the timeout of acme/7 (acme/7's setting)".to_owned();
        names.hide(&mut text);
        assert_eq!(text, "raise the timeout of *** (***'s setting)");
    }

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
