//! Room 7: history becomes verdicts.

use crate::track::history::History;
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::verdict::{Cancellation, Verdict};

/// Everything the engine says of one connection.
#[derive(Debug)]
pub struct Judged {
    /// For each GOAWAY of the history: which one it follows, and why it was sent.
    pub goaways: Vec<(Option<usize>, Verdict)>,
    /// Why it ended, where no GOAWAY announced it.
    pub end: Option<Verdict>,
    /// Cancellations by reason.
    pub cancellations: Vec<Cancellation>,
}

/// Judges a connection.
pub fn judge(history: &History) -> Judged {
    let unknown = || Verdict {
        cause: Cause::Unknown,
        trigger: Cause::Unknown,
        blame: Blame::Unknown,
        confidence: Confidence::NONE,
        summary: String::new(),
        timeout: None,
        late_answer: None,
        chain: vec![],
        cancelled_streams: vec![],
        offending: None,
        rule: None,
        safe_to_retry_streams: vec![],
        maybe_processed_streams: vec![],
        implementation: None,
        alternatives: vec![],
        advice: vec![],
    };
    Judged {
        goaways: history.goaways.iter().map(|_| (None, unknown())).collect(),
        end: None,
        cancellations: Vec::new(),
    }
}
