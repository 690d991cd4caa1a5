//! SETTINGS were not acknowledged in time.

use crate::vocab::address::Side;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::error_code::ErrorCode;
use crate::vocab::verdict::{Step, Timeout};

use super::explain::Explain;
use super::scene::{Scene, spoken};
use super::{Detector, evidence};

/// The detector.
pub const DETECTOR: Detector = Detector {
    name: Cause::SettingsAckTimeout,
    explain: Explain {
        what: "One side sent SETTINGS and its peer did not acknowledge them within its time limit.",
        on_the_wire: "SETTINGS without ACK, then GOAWAY(SETTINGS_TIMEOUT).",
        looks_alike: "handshake_timeout: there the peer sent no SETTINGS of its own either.",
        known: "RFC 9113 section 6.5.3; nghttpd 10 s, nghttpx 10 s by default, HttpCore 5.",
        what_to_do: "Look at the peer, which has to acknowledge SETTINGS at once: it is broken or \
                     stuck, or does not speak HTTP/2.",
    },
    step,
};

fn step(scene: &Scene<'_>) -> Option<Step> {
    let named = scene.code() == Some(ErrorCode::SETTINGS_TIMEOUT);
    if !named {
        return None;
    }
    let sent = &scene.history.sides.side(scene.by).settings;
    let waiting = sent.iter().find(|sent| {
        sent.stamp.before(scene.at) && sent.acknowledged.is_none_or(|stamp| !stamp.before(scene.at))
    });
    let (by, peer) = (scene.by.name(), scene.peer().name());
    let blame = if scene.peer() == Side::Client { Blame::Client } else { Blame::Server };
    let Some(waiting) = waiting else {
        let summary = format!("The {by} {}.", scene.ending_name());
        let confidence = Confidence::new(0.75);
        return Some(Step::new(Cause::SettingsAckTimeout, confidence, blame, summary));
    };
    let wait = scene.at.since(waiting.stamp);
    let summary = format!(
        "The {by} {} because the {peer} did not acknowledge its SETTINGS for {}.",
        scene.ending_name(),
        spoken(wait)
    );
    let hidden = scene.peer_is_hidden();
    let confidence = Confidence::new(if hidden { 0.75 } else { 0.96 });
    let mut step = Step::new(Cause::SettingsAckTimeout, confidence, blame, summary);
    let text = "never acknowledged".to_string();
    step.evidence.push(evidence::on_connection(waiting.stamp, scene.by, "SETTINGS", text));
    step.timeout = Some(Timeout::once(Cause::SettingsAckTimeout, wait, scene.by.into()));
    Some(step)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Talk;
    use super::*;

    fn silent(end: &str) -> Talk {
        let open = "0 SYN\n1 C> PREFACE\n+ SETTINGS\n2 S> SETTINGS\n+ SETTINGS ACK";
        Talk::default().raw(0.0, open).get(20.0, 1).s(6503.0, end).s(6503.5, "FIN")
    }

    #[test]
    fn no_acknowledgement() {
        let verdict = silent("GOAWAY 1 SETTINGS_TIMEOUT").is(Cause::SettingsAckTimeout, 0.9);
        verdict
            .after(Cause::SettingsAckTimeout, 6.5)
            .blames(Blame::Client)
            .shows(&["SETTINGS", "GOAWAY"]);
    }

    #[test]
    fn without_the_code_it_is_not_told() {
        assert_ne!(silent("GOAWAY 1 PROTOCOL_ERROR").told().cause, Cause::SettingsAckTimeout);
    }

    #[test]
    fn less_sure_with_a_hole() {
        let open = "0 SYN\n1 C> PREFACE\n+ SETTINGS\n2 S> SETTINGS\n+ SETTINGS ACK";
        let talk = Talk::default().raw(0.0, open).get(20.0, 1).hole(30.0);
        talk.s(6503.0, "GOAWAY 1 SETTINGS_TIMEOUT").is_unsure(Cause::SettingsAckTimeout);
    }
}
