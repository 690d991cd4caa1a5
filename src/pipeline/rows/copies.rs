//! Copies of octets that differ, as findings.

use crate::vocab::address::{Both, Side};
use crate::vocab::flow::HalfNotes;
use crate::vocab::rule;
use crate::vocab::verdict::Finding;

/// Copies that differ from what they repeat, as findings: they are nobody's reason to leave.
pub(in crate::pipeline) fn copies(notes: &Both<HalfNotes>) -> Vec<Finding> {
    let mut found = Vec::new();
    for by in [Side::Client, Side::Server] {
        found.extend(notes.side(by).differing.iter().map(|copy| Finding {
            stamp: copy.stamp,
            by,
            stream: 0,
            rule: &rule::COPY_DIFFERS,
            text: format!(
                "{} octets sent again differ from the first copy, which is the one told",
                copy.octets
            ),
        }));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::flow::Differing;
    use crate::vocab::time::{Stamp, Timestamp};

    #[test]
    fn copies_that_differ_are_findings_of_their_sender() {
        let mut notes: Both<HalfNotes> = Both::default();
        assert!(copies(&notes).is_empty());
        let stamp = Stamp::new(0, 9, Timestamp(0));
        notes.second.differing.push(Differing { stamp, offset: 4, octets: 3 });
        let found = copies(&notes);
        assert_eq!((found.len(), found[0].by, found[0].rule.id), (1, Side::Server, "copy-differs"));
    }
}
