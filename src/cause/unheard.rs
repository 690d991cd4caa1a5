//! What a capture costs that has only one side's packets, or only a part of a GOAWAY: the reason
//! may lie in what the other side said.

use crate::vocab::address::Side;
use crate::vocab::cause::{Cause, Confidence};
use crate::vocab::verdict::Verdict;

use super::scene::{Scene, UNSEEN};

/// Makes a verdict less sure that rests on the silence of a side which was not captured, and says
/// so.
pub fn admit(scene: &Scene<'_>, verdict: &mut Verdict) {
    // What the debug data says is said, whatever is missing.
    let told = match scene.text {
        Some(row) => row.cause() == Some(verdict.trigger),
        None => verdict.trigger != Cause::InternalError && !scene.debug().is_empty(),
    };
    if told || !rests_on_silence(verdict.trigger) {
        return;
    }
    let peer = scene.peer();
    if let Some(by) = scene.unread_goaway() {
        cap(verdict, Confidence::POSSIBLE);
        let clause = format!("a GOAWAY of the {} before was not captured whole", by.name());
        verdict.add_clause(&clause);
    } else if scene.is_unheard(peer) {
        cap(verdict, UNSEEN);
        let (by, peer) = (scene.by.name(), peer.name());
        verdict.add_clause(&match scene.by {
            Side::Client => format!(
                "only the {by}'s packets were captured: a GOAWAY of the {peer} may have come before"
            ),
            Side::Server => format!(
                "only the {by}'s packets were captured: what the {peer} did before is not known"
            ),
        });
    } else if scene.has_holes() {
        cap(verdict, UNSEEN);
    }
}

/// What is missing makes a verdict less sure, and the other reasons that rest on the same silence.
pub(super) fn cap(verdict: &mut Verdict, most: Confidence) {
    verdict.confidence = verdict.confidence.and(most);
    let others = verdict.alternatives.iter_mut();
    for other in others.filter(|other| rests_on_silence(other.cause)) {
        other.confidence = other.confidence.and(most);
    }
}

/// Whether a reason rests on what the other side did not do before.
pub(super) fn rests_on_silence(trigger: Cause) -> bool {
    matches!(
        trigger,
        Cause::ClientShutdown
            | Cause::GracefulShutdown
            | Cause::MaxConnectionAge
            | Cause::MaxRequestsPerConnection
            | Cause::AbruptClose
            | Cause::IdleTimeout
            | Cause::HandshakeTimeout
            | Cause::PrefaceMissing
            | Cause::KeepalivePingTimeout
            | Cause::SettingsAckTimeout
            | Cause::ClientRequestTimeout
            | Cause::ServerRequestTimeout
            | Cause::StreamIdleTimeout
            | Cause::InternalError
    )
}
