//! What a labelled capture proves.

use crate::common::{Case, list, numbers, text};
use crate::truth;

/// The causes of a capture's truth that the report names at the same GOAWAY or end, or for the
/// same cancelled streams.
pub fn proved(case: &Case) -> Vec<String> {
    let report = case.report();
    let ours = list(&report["connections"]);
    let mut proved = Vec::new();
    for want in list(&case.truth["connections"]) {
        let same = |got: &&serde_json::Value| {
            got["client"] == want["client"] && got["server"] == want["server"]
        };
        for got in ours.iter().filter(same) {
            for goaway in list(&want["goaways"]).iter().filter(|goaway| goaway["follows"].is_null())
            {
                let at = |other: &&serde_json::Value| other["packet"] == goaway["frame_no"];
                for other in list(&got["goaways"]).iter().filter(at) {
                    let verdict = &other["verdict"];
                    proved.extend(
                        (verdict["cause"] == goaway["cause"])
                            .then(|| text(&goaway["cause"]).to_owned()),
                    );
                    proved.extend(
                        (verdict["trigger"] == goaway["also"])
                            .then(|| text(&goaway["also"]).to_owned()),
                    );
                }
            }
            let end = &want["no_goaway_cause"];
            proved.extend((got["end_verdict"]["cause"] == *end).then(|| text(end).to_owned()));
            for group in truth::groups(want) {
                let streams = numbers(&group["streams"]);
                let told = |other: &&serde_json::Value| {
                    other["cause"] == group["cause"]
                        && !numbers(&other["streams"]).is_disjoint(&streams)
                };
                if list(&got["cancellations"]).iter().any(|other| told(&other)) {
                    proved.push(text(&group["cause"]).to_owned());
                }
            }
        }
    }
    proved
}
