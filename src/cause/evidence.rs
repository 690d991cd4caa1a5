//! Evidence that several detectors show.

use crate::track::history::{Ping, Reset};
use crate::vocab::address::Side;
use crate::vocab::frame::FrameType;
use crate::vocab::time::Stamp;
use crate::vocab::verdict::{Evidence, Finding};

use super::scene::spoken;

/// Something that one side did on the connection as a whole.
pub fn on_connection(stamp: Stamp, by: Side, what: &'static str, text: String) -> Evidence {
    Evidence { stamp, by: Some(by), connection: None, stream: 0, what, text }
}

/// The request of a stream.
pub fn request(stamp: Stamp, by: Side, stream: u32, name: Option<&str>) -> Evidence {
    let text = name.map_or_else(|| "the request".to_string(), |name| format!("request: {name}"));
    Evidence { stamp, by: Some(by), connection: None, stream, what: "HEADERS", text }
}

/// A reset, with its stream's age.
pub fn reset(reset: &Reset) -> Evidence {
    let code = reset.code.map_or_else(|| "code not captured".to_string(), |code| code.to_string());
    let age = reset.age().map(|age| match age.as_micros() {
        0 => ", right after the request".to_string(),
        _ => format!(", {} after the request", spoken(age)),
    });
    let text = format!("{code}{}", age.unwrap_or_default());
    Evidence {
        stamp: reset.stamp,
        by: Some(reset.by),
        connection: None,
        stream: reset.stream,
        what: "RST_STREAM",
        text,
    }
}

/// A PING that was not answered.
pub fn unanswered(ping: &Ping) -> Evidence {
    on_connection(ping.sent, ping.by, "PING", "never answered".to_string())
}

/// A rule that was broken.
pub fn broken(finding: &Finding) -> Evidence {
    Evidence {
        stamp: finding.stamp,
        by: Some(finding.by),
        connection: None,
        stream: finding.stream,
        what: "violation",
        text: format!("{} ({})", finding.text, finding.rule.section),
    }
}

/// The name of a frame type, for sentences.
pub fn kind_name(kind: FrameType) -> &'static str {
    kind.name().unwrap_or("unknown")
}
