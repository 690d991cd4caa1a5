//! What a capture that began too late costs: a reason may lie before its first packet.

use crate::track::history::Reset;
use crate::vocab::address::Side;
use crate::vocab::cause::Cause;
use crate::vocab::frame::FrameType;
use crate::vocab::verdict::Verdict;

use super::scene::{Scene, UNSEEN};

/// Makes a verdict less sure whose reason may have come before the capture began, and says so.
pub fn admit(scene: &Scene<'_>, verdict: &mut Verdict) {
    // Behind its preface nothing of a client is missing.
    let begun = scene.history.sides.side(Side::Client).preface.is_some();
    if !scene.history.joined_midway || begun {
        return;
    }
    let unseen = match verdict.trigger {
        // Who makes requests has not been told to stop, and nobody who is to stop makes any: an
        // end without a request since may be the last act of a drain.
        Cause::ClientShutdown
        | Cause::GracefulShutdown
        | Cause::MaxConnectionAge
        | Cause::InternalError
        | Cause::AbruptClose => !has_asked(scene),
        Cause::IdleTimeout => !has_asked(scene) && scene.text.is_none(),
        Cause::RapidResetProtection => {
            let known = |reset: &&Reset| reset.opened.is_some();
            let resets = scene.resets.iter().filter(|reset| reset.by == scene.peer());
            resets.clone().filter(known).count() * 2 < resets.count()
        }
        // The limit was told before, where it was told, and cancels may have come, too.
        Cause::RefusedStream => verdict.cause != verdict.trigger,
        _ => false,
    };
    if !unseen {
        return;
    }
    verdict.confidence = verdict.confidence.lowered().and(UNSEEN);
    verdict.add_clause(match verdict.trigger {
        Cause::RapidResetProtection => "most of these streams were opened before the capture began",
        Cause::RefusedStream => "what led to it may lie before the capture began",
        _ => "a GOAWAY may have come before the capture began",
    });
}

/// Whether the client made a request in what was captured, before the end.
fn has_asked(scene: &Scene<'_>) -> bool {
    scene.frames.side(Side::Client).of(FrameType::HEADERS) > 0
}

#[cfg(test)]
mod tests {
    use super::super::tests::Talk;
    use super::*;

    /// Joined midway between requests.
    fn joined() -> Talk {
        Talk::default()
            .s(1.0, "PING 0000000000000003\n+ WINDOW_UPDATE 0 100")
            .c(2.0, "PING ACK 0000000000000003\n+ PING 0000000000000001")
            .s(3.0, "PING ACK 0000000000000001\n+ WINDOW_UPDATE 0 100")
            .c(4.0, "PING 0000000000000002")
            .s(5.0, "PING ACK 0000000000000002")
    }

    #[test]
    fn a_close_of_the_client() {
        for end in ["GOAWAY 0 NO_ERROR", "FIN"] {
            let close = |talk: Talk| talk.c(95.0, end).c(95.2, "FIN").told();
            let (sure, unsure) = (close(joined().served(10.0, 7)), close(joined()));
            assert_eq!([sure.cause, unsure.cause], [Cause::ClientShutdown; 2]);
            let values = [sure.confidence.value(), unsure.confidence.value()];
            assert!(values[0] >= 0.8 && values[1] < 0.8, "{values:?}");
            assert!(unsure.summary.contains("before the capture began"), "{}", unsure.summary);
            assert!(!sure.summary.contains("before the capture"), "{}", sure.summary);
        }
    }

    #[test]
    fn an_answer_to_a_close_of_the_client() {
        let end = |talk: Talk| talk.c(95.0, "FIN").s(96.0, "GOAWAY 7 NO_ERROR");
        end(joined()).is_unsure(Cause::ClientShutdown);
        end(joined().served(10.0, 7)).is(Cause::ClientShutdown, 0.9);
    }

    #[test]
    fn a_silence_that_no_text_explains() {
        let end = |talk: Talk| talk.s(8_005.0, "GOAWAY 7 NO_ERROR").told();
        let value = end(joined()).confidence.value();
        assert!(value < 0.75, "{value}");
    }

    /// Streams reset at an age of 2.2 s; the first of them were opened before the capture.
    fn resets(before: u32) -> Talk {
        let talk = (0..151).fold(joined(), |talk, number| {
            let (at, stream) = (10.0 + f64::from(number) * 10.0, number * 2 + 7);
            let talk = if number < before { talk } else { talk.get(at, stream) };
            talk.cancel(at + 2_200.0, stream)
        });
        talk.s(3_711.0, "GOAWAY 2147483647 ENHANCE_YOUR_CALM")
    }

    #[test]
    fn resets_of_streams_opened_before() {
        let none = resets(0).is(Cause::ClientRequestTimeout, 0.8);
        assert_eq!(none.trigger, Cause::RapidResetProtection);
        let some = resets(70).is(Cause::ClientRequestTimeout, 0.8);
        assert_eq!(some.trigger, Cause::RapidResetProtection);
        let most = resets(100).is_unsure(Cause::ClientRequestTimeout);
        assert!(most.summary.contains("before the capture began"), "{}", most.summary);
        assert_eq!(resets(151).is_unsure(Cause::RapidResetProtection).timeout, None);
    }
}
