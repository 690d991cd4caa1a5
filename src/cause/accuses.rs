//! An endpoint that names a breach where none was: of a connection that is wholly in the capture,
//! the accusation itself is the finding.

use crate::vocab::error_code::ErrorCode;
use crate::vocab::frame::Transport;
use crate::vocab::rule;
use crate::vocab::verdict::{Finding, Verdict};

use super::scene::{PROMPT, Scene};
use super::violation;

/// Codes that say that the peer broke a rule of a kind that is checked here to the last one.
/// PROTOCOL_ERROR also stands for the grammar of header fields, of which more rules exist.
const ACCUSING: [ErrorCode; 4] = [
    ErrorCode::FLOW_CONTROL_ERROR,
    ErrorCode::FRAME_SIZE_ERROR,
    ErrorCode::COMPRESSION_ERROR,
    ErrorCode::STREAM_CLOSED,
];

/// Frames of one type within a second that nobody takes for a flood.
const FEW: u32 = 50;

/// Octets of a header block that every receiver takes: Jetty and Netty take 8 KiB.
const SMALL_BLOCK: u64 = 4_096;

/// Whether the ending accuses the other side, which broke no rule: the capture holds all that both
/// sent, and nothing that some implementations are known to answer with such a code.
pub fn is_unfounded(scene: &Scene<'_>) -> bool {
    let Some(goaway) = scene.goaway.filter(|goaway| ACCUSING.contains(&goaway.code)) else {
        return false;
    };
    let before = |stamp| !scene.at.before(stamp);
    let (history, peer) = (scene.history, scene.peer());
    // Whoever refuses a frame by its head does not wait for the rest: the breach shows later.
    let broke = history.findings.iter().any(|found| found.by == peer);
    let torn = history.sides.side(peer).torn_at_end;
    let late = history.late.iter().any(|late| late.by == peer && before(late.stamp));
    is_whole(scene)
        && !broke
        && !torn
        && !late
        && !goaway.after_peer_close
        && !is_provoked(scene)
        && scene.text.is_none_or(|text| text.cause() == violation::accusation(goaway.code))
}

/// Whether everything that both sides had sent by then was captured and read.
fn is_whole(scene: &Scene<'_>) -> bool {
    let history = scene.history;
    let places = history.notes.first.places() + history.notes.second.places();
    let lost = history.tcp.first.lost + history.tcp.second.lost;
    !history.joined_midway
        && history.transport != Transport::Unknown
        && history.sides.first.preface.is_some()
        && !history.has_loss()
        && history.hits.is_empty()
        && places == 0
        && lost == 0
}

/// Whether something came before that implementations answer with such codes, rightly or not: a
/// timer that ran out, a lost PING, resets, floods, header lists too large for them.
fn is_provoked(scene: &Scene<'_>) -> bool {
    let (history, peer) = (scene.history, scene.peer());
    let (accuser, accused) = (history.sides.side(scene.by), history.sides.side(peer));
    let heard = scene.last_octets.side(peer).is_some_and(|last| scene.at.since(last) <= PROMPT);
    !heard
        || !scene.resets.is_empty()
        || scene.unanswered_pings().next().is_some()
        || accuser.settings.iter().any(|sent| sent.acknowledged.is_none())
        || accused.burst.is_some_and(|burst| burst.count >= FEW)
        || accused.largest_block.is_some_and(|(octets, ..)| octets >= SMALL_BLOCK)
}

/// The accusation as a finding, where nothing else explains the ending.
pub fn finding(scene: &Scene<'_>, verdict: &Verdict) -> Option<Finding> {
    let goaway = scene.goaway?;
    let named = Some(verdict.trigger) == violation::accusation(goaway.code);
    if !named || verdict.rule.is_some() || !is_unfounded(scene) {
        return None;
    }
    let text = format!(
        "GOAWAY({}), but the {} broke no rule of that kind",
        goaway.code,
        scene.peer().name()
    );
    let (stamp, by) = (goaway.stamp, goaway.by);
    Some(Finding { stamp, by, stream: 0, rule: &rule::ACCUSES_WITHOUT_BREACH, text })
}

#[cfg(test)]
mod tests {
    use super::super::tests::Talk;
    use crate::vocab::cause::{Blame, Cause};

    fn is_told(talk: &Talk) -> bool {
        talk.row().findings.iter().any(|finding| finding.rule.id == "accuses-without-breach")
    }

    fn accused(end: &str) -> Talk {
        Talk::opened().served(4.0, 1).get(1000.0, 3).s(1001.0, end).s(1002.0, "FIN")
    }

    #[test]
    fn who_accuses_without_a_breach_is_told() {
        let cases = [
            ("FLOW_CONTROL_ERROR", Cause::FlowControlViolation),
            ("FRAME_SIZE_ERROR", Cause::FrameSizeViolation),
            ("COMPRESSION_ERROR", Cause::CompressionError),
            ("STREAM_CLOSED", Cause::StreamClosedViolation),
        ];
        for (code, cause) in cases {
            let talk = accused(&format!("GOAWAY 3 {code}"));
            assert!(is_told(&talk), "{code}");
            talk.is_unsure(cause).blames(Blame::Server);
        }
        assert!(!is_told(&accused("GOAWAY 3 NO_ERROR")));
        assert!(!is_told(&accused("GOAWAY 3 PROTOCOL_ERROR")));
        assert!(!is_told(&accused("GOAWAY 3 INTERNAL_ERROR")));
    }

    #[test]
    fn not_where_a_rule_was_broken_or_the_capture_has_gaps() {
        let broken = Talk::opened().served(4.0, 1).c(1000.0, "DATA 0 3");
        assert!(!is_told(&broken.s(1001.0, "GOAWAY 1 STREAM_CLOSED")));
        // A frame that was refused before its end had come.
        let late = Talk::opened().served(4.0, 1).s(1001.0, "GOAWAY 1 FRAME_SIZE_ERROR");
        assert!(!is_told(
            &late.clone().c(1001.2, "RAW 0000060600000000000102030405").c(1002.0, "FIN")
        ));
        assert!(!is_told(&late.c(1001.2, "RAW 10000000000000000100").c(1002.0, "FIN")));
        let torn = Talk::opened().served(4.0, 1).hole(20.0).get(1000.0, 3);
        assert!(!is_told(&torn.s(1001.0, "GOAWAY 3 STREAM_CLOSED")));
    }

    #[test]
    fn not_where_such_a_code_is_known_to_mean_something_else() {
        // A timer of the server, an answer to a stream that the client had reset, a lost PING.
        let timer = Talk::opened().served(4.0, 1).get(1000.0, 3);
        assert!(!is_told(&timer.s(6000.0, "GOAWAY 3 STREAM_CLOSED")));
        let reset = Talk::opened().get(4.0, 1).c(900.0, "RST_STREAM 1 CANCEL").get(1000.0, 3);
        assert!(!is_told(&reset.s(1001.0, "GOAWAY 3 STREAM_CLOSED")));
        let ping = Talk::opened().get(4.0, 1).s(400.0, "PING 0000000000000009").get(1000.0, 3);
        assert!(!is_told(&ping.s(1001.0, "GOAWAY 3 STREAM_CLOSED")));
    }
}
