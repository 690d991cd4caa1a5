//! What `goawhy explain` knows: causes, rules, and lines that clients write into their logs.

use crate::vocab::cause::Cause;
use crate::vocab::error_code::ErrorCode;
use crate::vocab::explanation::{Explanation, Part};
use crate::vocab::rule::{RULES, Rule, Scope, UNTOLD, Untold};

use super::{explain, known_text, messages};

/// Explains a cause, a rule or a section of an RFC, or a line of a log.
///
/// # Errors
/// Where it is none of these: what to type instead, in one line.
pub fn look_up(topic: &str) -> Result<Explanation, String> {
    let topic = topic.trim();
    let word = topic.to_ascii_lowercase();
    let cause = word.replace(['-', ' '], "_");
    if let Some(cause) = Cause::ALL.iter().find(|known| known.name() == cause) {
        return Ok(of_cause(*cause));
    }
    // A code, whichever rule bears its name.
    let code = word.to_ascii_uppercase();
    if ErrorCode::from_name(&code).is_some()
        && let Some(page) = messages::of_line(&code)
    {
        return Ok(page);
    }
    if let Some(rule) = Rule::find(&word.replace([' ', '_'], "-")) {
        return Ok(of_rule(rule));
    }
    if let Some(rule) = UNTOLD.iter().find(|rule| rule.id == word.replace([' ', '_'], "-")) {
        return Ok(of_untold(rule));
    }
    if let Some(found) = of_section(&word) {
        return found;
    }
    messages::of_line(topic).ok_or_else(|| {
        let near = suggestions(&word);
        let hint = if near.is_empty() {
            "name a cause (idle_timeout), a rule or section (6.8), or paste the error line".into()
        } else {
            format!("did you mean {}?", near.join(", "))
        };
        format!("'{topic}' is no cause, no rule and no error line known here; {hint}")
    })
}

fn of_cause(cause: Cause) -> Explanation {
    let mut page = Explanation::new(cause.name(), capital(cause.meaning()));
    let Some(about) = explain(cause) else {
        page.text("what it is", "Nothing in the capture explains the end.");
        page.text(
            "what to do",
            "Read in the summary what was looked at and what is missing: capture from before the \
             connection opens, on the side that closed, without packet loss, and with TLS keys.",
        );
        return page;
    };
    page.text("what it is", about.what);
    page.text("on the wire", about.on_the_wire);
    page.text("looks alike", about.looks_alike);
    page.text("known of", about.known);
    page.text("what to do", about.what_to_do);
    page.list("known implementations and their settings", known_text::notes(cause));
    page
}

fn of_rule(rule: &Rule) -> Explanation {
    let mut page = Explanation::new(format!("{} ({})", rule.id, rule.section), rule.statement);
    page.text("what it costs", cost(rule));
    let cause = super::violation::cause_of(rule);
    page.text("as a cause", format!("{}: {}.", cause.name(), cause.meaning()));
    if let Some(about) = explain(cause) {
        page.text("looks alike", about.looks_alike);
        page.text("what to do", about.what_to_do);
    }
    page
}

/// A rule that others cover, or of which a capture does not tell.
fn of_untold(rule: &Untold) -> Explanation {
    let mut page = Explanation::new(format!("{} ({})", rule.id, rule.section), rule.statement);
    page.text("why", rule.why);
    page.list("told as", rule.told_as.iter().map(|rule| item(rule)).collect());
    page
}

fn item(rule: &Rule) -> (String, String) {
    let text = format!("{}. {} ({})", rule.statement, cost(rule), rule.section);
    (rule.id.to_string(), text)
}

fn cost(rule: &Rule) -> String {
    match rule.scope {
        _ if rule.code == ErrorCode::NO_ERROR => "No error code is called for.".to_owned(),
        Scope::Connection => format!("The connection: GOAWAY({}).", rule.code),
        Scope::Stream => format!(
            "The stream: RST_STREAM({}); the receiver may end the whole connection instead.",
            rule.code
        ),
    }
}

/// `6.8`, `rfc9113 6.8`, `section 6.8`, `RFC 7541 section 6.1`.
fn of_section(word: &str) -> Option<Result<Explanation, String>> {
    let plain = word.replace("section", " ").replace('§', " ").replace("rfc", " ");
    let mut words: Vec<&str> = plain.split_whitespace().collect();
    let section = words.pop()?;
    let is_section = |text: &str| {
        text.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    };
    if words.len() > 1 || !words.iter().all(|word| is_section(word)) || !is_section(section) {
        return None;
    }
    let rfc = words.first().copied();
    let holds = |rule: &&&Rule| {
        let mut parts = rule.section.split(' ').skip(1);
        let (of, at) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let below = at.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'));
        rfc.is_none_or(|rfc| rfc == of) && (at == section || below)
    };
    let rules: Vec<&Rule> = RULES.iter().filter(holds).copied().collect();
    let name = rfc.map(|rfc| format!("RFC {rfc} ")).unwrap_or_default();
    if rules.is_empty() {
        return Some(Err(format!("no rule of {name}section {section} is checked by this program")));
    }
    let meaning = if rules.len() == 1 { "The rule checked here" } else { "The rules checked here" };
    let mut page = Explanation::new(format!("{name}section {section}"), meaning);
    page.list("rules", rules.into_iter().map(item).collect());
    Some(Ok(page))
}

/// Names that share a word with the topic, or nearly are it.
fn suggestions(word: &str) -> Vec<&'static str> {
    let words: Vec<&str> =
        word.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 3).collect();
    let names = Cause::ALL.iter().map(|cause| cause.name());
    let names = names.chain(RULES.iter().map(|rule| rule.id));
    let near = |name: &&'static str| {
        let parts: Vec<&str> = name.split(['_', '-']).collect();
        words.iter().any(|word| parts.iter().any(|part| alike(part, word)))
    };
    names.filter(near).take(4).collect()
}

/// Whether one is the other, its beginning, or the other with one letter wrong or missing.
fn alike(a: &str, b: &str) -> bool {
    let same = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let tail = a.bytes().rev().zip(b.bytes().rev()).take_while(|(a, b)| a == b).count();
    let longest = a.len().max(b.len());
    a.len() > 3 && a.len().abs_diff(b.len()) < 3 && same + tail + 1 >= longest
}

/// As a sentence.
pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).chain(['.']).collect()
}

/// What to capture, as command lines.
pub fn capture() -> Part {
    let lines = [
        "tcpdump -i any -s 0 -w goaway.pcap 'tcp port PORT'",
        "goawhy goaway.pcap",
        "SSLKEYLOGFILE=keys.log CLIENT...        # TLS only, where the client can write its keys",
        "goawhy --keylog keys.log goaway.pcap    # TLS only",
    ];
    Part::Commands(
        "capture it, from before the connection opens",
        lines.map(str::to_string).to_vec(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_and_every_rule_is_explained() {
        for cause in Cause::ALL {
            let page = look_up(cause.name()).unwrap();
            assert!(page.parts.len() >= 2 && !page.meaning.is_empty(), "{cause}");
        }
        for rule in RULES {
            assert!(look_up(rule.id).unwrap().title.starts_with(rule.id));
        }
        for rule in UNTOLD {
            let page = look_up(rule.id).unwrap();
            assert!(page.title.starts_with(rule.id) && Rule::find(rule.id).is_none());
            assert!(matches!(&page.parts[0], Part::Text(_, why) if why.ends_with('.')));
            assert_eq!(page.parts.len() > 1, !rule.told_as.is_empty());
        }
    }

    #[test]
    fn sections_in_many_spellings() {
        for topic in ["6.8", "rfc9113 6.8", "RFC 9113 section 6.8", "section 6.8", "§6.8"] {
            let page = look_up(topic).unwrap();
            assert!(matches!(&page.parts[0], Part::List(_, rules) if rules.len() >= 3), "{topic}");
        }
        assert!(look_up("99.1").unwrap_err().contains("99.1"));
        assert!(look_up("rfc7541 6.1").is_ok());
        assert!(look_up("enhance_your_calm").unwrap().parts.len() > 2);
        assert!(look_up("enhance-your-calm").unwrap().meaning.contains("may be answered"));
    }

    #[test]
    fn what_is_not_known_gets_a_hint() {
        let error = look_up("idle_timeuot").unwrap_err();
        assert!(error.contains("idle_timeout") && error.lines().count() == 1, "{error}");
        assert!(look_up("what is love").unwrap_err().contains("paste the error line"));
        assert!(look_up("").is_err());
    }
}
