//! Requests given up for reasons that no timeout cures: a path that was dead, a server that stood
//! still, a window that nobody opened.

use crate::vocab::cause::Confidence;
use crate::vocab::pair::Conflict;

use super::super::scene::spoken;
use super::{Pair, plural};

/// Requests that were given up while the server stood still.
pub(super) fn stood_still(pair: &Pair<'_>) -> u64 {
    pair.sum(|facts| facts.notes.still.as_ref().map_or(0, |still| still.given_up))
}

/// Nothing of a side arrived, and requests were lost by it.
pub(super) fn path_stalled(pair: &Pair<'_>) -> Option<Conflict> {
    let dead = || pair.facts.iter().filter_map(|facts| facts.notes.dead);
    let worst = dead().max_by_key(|harm| (harm.requests, harm.stall.span()))?;
    let requests: u64 = dead().map(|harm| harm.requests).sum();
    let (side, peer) = (worst.side.name(), worst.side.other().name());
    let (so_far, what, sure) = match worst.stall.until {
        Some(until) => (format!("before packet {}", until.packet()), "given up meanwhile", 0.9),
        None => ("to the end".to_owned(), "still waiting then", 0.85),
    };
    let were = if requests == 1 { "was" } else { "were" };
    let text = format!(
        "TCP sent the {side}'s octets again {} times within {} (packets {} to {}) and had no \
         acknowledgement {so_far}; {} {were} {what}.",
        worst.stall.again,
        spoken(worst.stall.span()),
        worst.stall.from.packet(),
        worst.stall.last.packet(),
        plural(requests, "request"),
    );
    let advice = vec![
        format!(
            "Network: look for what dropped packets between the {side} and the {peer} then: a \
             firewall or NAT that forgot the connection, a link, a tunnel's MTU."
        ),
        format!("Or the {peer}'s host was down or suspended."),
    ];
    Some(pair.conflict("path_stalled", Confidence::new(sure), text, advice))
}

/// A server that answers quickly sent nothing for so long that requests were given up.
pub(super) fn server_stood_still(pair: &Pair<'_>) -> Option<Conflict> {
    let still = pair.facts.iter().filter_map(|facts| facts.notes.still);
    let longest = still.max_by_key(|still| still.of.span())?;
    let given_up = stood_still(pair);
    let span = spoken(longest.of.span());
    let text = format!(
        "The server sent nothing for {span} (packets {} to {}), though {} came meanwhile and half \
         of its answers take no more than {}; {} given up.",
        longest.of.from.packet(),
        longest.of.until.packet(),
        plural(longest.of.asked, "request"),
        spoken(longest.usual),
        if given_up == 1 { "1 was".to_owned() } else { format!("{given_up} were") },
    );
    let advice = vec![
        format!(
            "Server: find out what stopped it for {span}: a garbage collection, a used-up CPU \
             quota, a lock, a suspended host."
        ),
        "Client: a longer timeout would only have waited for that.".to_owned(),
    ];
    Some(pair.conflict("server_stood_still", Confidence::new(0.8), text, advice))
}

/// Requests stood still for want of window until they were given up.
pub(super) fn window_used_up(pair: &Pair<'_>) -> Option<Conflict> {
    let by_client = pair.sum(|facts| facts.notes.held.first);
    let by_server = pair.sum(|facts| facts.notes.held.second);
    let count = by_client.max(by_server);
    if count == 0 {
        return None;
    }
    let were = if count == 1 { "was" } else { "were" };
    let (text, advice) = match by_client >= by_server {
        true => (
            format!(
                "{} {were} given up while the answer waited for window: the client had not read \
                 what had come.",
                plural(count, "request")
            ),
            "Client: read the answers' bodies, also those that nobody wants, or reset their \
             streams at once; or announce larger windows.",
        ),
        false => (
            format!(
                "{} {were} given up while the body waited for window: the server did not read \
                 what had come.",
                plural(count, "request")
            ),
            "Server: read the requests' bodies, of every stream, or reset those that nobody \
             wants; or announce larger windows.",
        ),
    };
    Some(pair.conflict("window_used_up", Confidence::new(0.85), text, vec![advice.to_owned()]))
}
