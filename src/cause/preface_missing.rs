//! The client did not speak HTTP/2.

use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::verdict::Step;

use super::explain::Explain;
use super::scene::Scene;
use super::{Detector, evidence};

/// The detector.
pub const DETECTOR: Detector = Detector {
    name: Cause::PrefaceMissing,
    explain: Explain {
        what: "The client's first octets are not the HTTP/2 preface: HTTP/1.1 or TLS on a \
               cleartext HTTP/2 port, or another protocol. Or the server answers the preface in \
               HTTP/1.1, the only thing that it speaks there.",
        on_the_wire: "Anything but 'PRI * HTTP/2.0' first; the server answers with \
                      GOAWAY(PROTOCOL_ERROR or INTERNAL_ERROR), an HTTP/1.1 error, or closes. \
                      Or 'HTTP/1.1 400' where the server's SETTINGS should be.",
        looks_alike: "A preface with a wrong first frame is a protocol violation. A server that \
                      speaks HTTP/1.1 too simply answers.",
        known: "RFC 9113 section 3.4.",
        what_to_do: "Client: speak HTTP/2 from the first octet (prior knowledge, in curl \
                     --http2-prior-knowledge), or TLS with ALPN, whichever the server's port \
                     expects; or use another port.",
    },
    step,
};

fn step(scene: &Scene<'_>) -> Option<Step> {
    let history = scene.history;
    if history.client_speaks_http2 {
        return answered_in_http1(scene);
    }
    let spoke = history.tcp.side(Side::Client).delivered > 0 || history.end.is_none();
    if !spoke || history.joined_midway {
        return None;
    }
    // What came later cannot be why.
    if history.foreign.is_some_and(|first| scene.at.before(first)) {
        return None;
    }
    let (by, ending) = (scene.by.name(), scene.ending_name());
    let summary = match scene.by {
        Side::Server => {
            format!("The {by} {ending} because the client did not begin with the HTTP/2 preface.")
        }
        Side::Client => format!(
            "The client had not begun with the HTTP/2 preface, and {ending} when it saw what the \
             server sent."
        ),
    };
    let confidence = Confidence::new(if scene.goaway.is_some() { 0.96 } else { 0.9 });
    // What is missing behind its first octets does not matter.
    let begun = history.notes.first.missing.first().is_none_or(|missing| missing.offset > 0);
    if !begun && scene.goaway.is_none() {
        return None;
    }
    let confidence = if begun { confidence } else { confidence.lowered() };
    let mut step = Step::new(Cause::PrefaceMissing, confidence, Blame::Client, summary);
    step.offending = history.foreign;
    if let Some(first) = step.offending {
        let text = "first octets, not the preface".to_string();
        step.evidence.push(evidence::on_connection(first, Side::Client, "octets", text));
    }
    Some(step)
}

/// The client did its part; the server does not speak HTTP/2 here.
fn answered_in_http1(scene: &Scene<'_>) -> Option<Step> {
    let history = scene.history;
    let answer = history.server_in_http1.filter(|answer| !scene.at.before(*answer))?;
    let never = history.sides.second.first_frame.is_none();
    let summary = format!(
        "The server answered in HTTP/1.1 where {}: the {} {}.",
        if never { "its SETTINGS should be" } else { "a frame should begin" },
        scene.by.name(),
        scene.ending_name()
    );
    let confidence = Confidence::new(if never { 0.97 } else { 0.9 });
    let hidden = history.tcp.side(Side::Server).lost > 0 || history.joined_midway;
    let confidence = if hidden { confidence.lowered() } else { confidence };
    let mut step = Step::new(Cause::PrefaceMissing, confidence, Blame::Server, summary);
    let text = "an HTTP/1.x response instead of frames".to_string();
    let told = scene.findings.iter().find(|f| f.by == Side::Server && f.stamp == answer);
    step.rule = told.map(|finding| finding.rule);
    step.offending = told.map(|finding| finding.stamp);
    step.evidence.push(evidence::on_connection(answer, Side::Server, "HTTP/1.1", text));
    Some(step)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Talk;
    use super::*;

    #[test]
    fn another_protocol() {
        let text = "C> TEXT \"GET / HTTP/1.1\\r\\nhost: a\\r\\n\\r\\n\"";
        let talk = Talk::default().raw(0.0, "0 SYN").raw(1.0, &format!("1 {text}"));
        let talk = talk.s(1.6, "SETTINGS\n+ GOAWAY 0 PROTOCOL_ERROR").s(1.8, "FIN");
        let verdict = talk.is(Cause::PrefaceMissing, 0.9);
        verdict.blames(Blame::Client).shows(&["octets", "GOAWAY"]);
        assert_eq!(verdict.offending, Some(verdict.chain[0].stamp));
    }

    #[test]
    fn a_wrong_first_frame_is_a_violation() {
        let open = "0 SYN\n1 C> PREFACE\n+ PING\n2 S> SETTINGS\n+ GOAWAY 0 PROTOCOL_ERROR";
        Talk::default().raw(0.0, open).is(Cause::ProtocolViolation, 0.9);
    }

    #[test]
    fn a_capture_that_began_late_says_nothing() {
        let open = "0 S> SETTINGS ACK\n1 C> PING\n2 S> PING ACK\n3 S> GOAWAY 0 PROTOCOL_ERROR";
        let verdict = Talk::default().raw(0.0, open).told();
        assert_ne!(verdict.cause, Cause::PrefaceMissing);
    }

    /// A client that speaks HTTP/2, and what the server answers.
    fn answered(text: &str) -> Talk {
        let open = "0 SYN\n1 C> PREFACE\n+ SETTINGS\n+ WINDOW_UPDATE 0 1000";
        Talk::default().raw(0.0, open).get(1.2, 1).s(4.0, &format!("TEXT \"{text}\""))
    }

    const BAD_REQUEST: &str = "HTTP/1.1 400 Bad Request\\r\\nConnection: close\\r\\n\\r\\n";

    #[test]
    fn a_server_of_http1() {
        for end in ["FIN", "GOAWAY 0 PROTOCOL_ERROR", "GOAWAY 0 FRAME_SIZE_ERROR", "RST"] {
            let verdict = answered(BAD_REQUEST).c(5.0, end).is(Cause::PrefaceMissing, 0.9);
            verdict.blames(Blame::Server).shows(&["HTTP/1.1"]);
            assert!(verdict.advice.iter().any(|advice| advice.contains("h2c")));
        }
        answered(BAD_REQUEST).s(4.2, "FIN").is(Cause::PrefaceMissing, 0.9).blames(Blame::Server);
    }

    #[test]
    fn frames_are_no_http1() {
        // A frame of an unknown type that is as long, and something else that is no frame.
        let verdict = answered("HTTQ/1.1 400").c(5.0, "GOAWAY 0 PROTOCOL_ERROR").told();
        assert_ne!(verdict.cause, Cause::PrefaceMissing, "{}", verdict.summary);
    }

    #[test]
    fn http1_behind_a_hole_is_less_sure() {
        let open = "0 SYN\n1 C> PREFACE\n+ SETTINGS\n2 S> SETTINGS\n+ SETTINGS ACK";
        let talk = Talk::default().raw(0.0, open).get(3.0, 1).gap(20.0, 'S', 1);
        let talk = talk.s(21.0, &format!("TEXT \"{BAD_REQUEST}\"")).s(22.0, "FIN");
        let verdict = talk.told();
        assert!(verdict.confidence.value() < 0.8, "{}", verdict.summary);
    }
}
