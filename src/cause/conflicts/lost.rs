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
    let to_the_end = if longest.of.lasting { ", to the end," } else { "" };
    let text = format!(
        "The server sent nothing for {span}{to_the_end} (packets {} to {}), though {} came \
         meanwhile and half of its answers take no more than {}; {} given up.",
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

#[cfg(test)]
mod tests {
    use super::super::super::tests::{Talk, judged};

    fn rules(talk: &Talk) -> Vec<(&'static str, String)> {
        let board = judged(&talk.script());
        board.conflicts.into_iter().map(|of| (of.rule, of.text)).collect()
    }

    /// Requests whose answers begin and are given up, beside one that has come up to its window.
    fn stalled(window: &str) -> Talk {
        let full = "HEADERS 1 :status=200\n+ DATA 1 16384\n+ DATA 1 16384\n+ DATA 1 16384\n\
                    + DATA 1 16383";
        let talk = Talk::opened().get(10.0, 1).s(20.0, full).raw(30.0, window);
        [(3, 100.0), (5, 430.0), (7, 790.0)].into_iter().fold(talk, |talk, (id, at)| {
            let talk = talk.get(at, id).s(at + 20.0, &format!("HEADERS {id} :status=200"));
            talk.cancel(at + 1700.0, id)
        })
    }

    #[test]
    fn answers_that_wait_for_window_are_not_slow() {
        let told = rules(&stalled("30 C> PING"));
        assert!(told.iter().any(|(rule, _)| *rule == "window_used_up"), "{told:?}");
        assert!(told.iter().all(|(rule, _)| *rule != "client_timeout_below_answer_time"));
        // With window left it is the server that says nothing.
        let told = rules(&stalled("30 C> WINDOW_UPDATE 0 100000"));
        assert!(told.iter().all(|(rule, _)| *rule != "window_used_up"), "{told:?}");
    }

    /// Requests given up after a second each, and the server's next word long after.
    fn given_up(talk: Talk) -> Talk {
        let asked = (0..5_u32).fold(talk, |talk, n| {
            let at = 2000.0 + f64::from(n) * 310.0;
            talk.get(at, 101 + n * 2).cancel(at + 1000.0, 101 + n * 2)
        });
        asked.get(6000.0, 201)
    }

    #[test]
    fn a_server_that_answered_quickly_and_then_not_at_all_stood_still() {
        let quick = (0..12_u32)
            .fold(Talk::opened(), |talk, n| talk.served(10.0 + f64::from(n) * 100.0, 1 + n * 2));
        let told = rules(&given_up(quick.clone()).ok(7000.0, 201));
        assert!(told.iter().any(|(rule, _)| *rule == "server_stood_still"), "{told:?}");
        assert!(told.iter().all(|(rule, _)| *rule != "client_timeout_below_answer_time"));
        // One that speaks meanwhile only takes long for these.
        let pinged = given_up(quick.clone().s(2900.0, "PING ACK\n+ PING"));
        let woken = given_up(quick.clone()).ok(6010.0, 201);
        for talk in [pinged, woken, given_up(Talk::opened())] {
            let told = rules(&talk.served(7100.0, 211));
            assert!(told.iter().all(|(rule, _)| *rule != "server_stood_still"), "{told:?}");
            let below = |(rule, _): &(&str, String)| *rule == "client_timeout_below_answer_time";
            assert!(told.iter().any(below), "{told:?}");
        }
    }

    #[test]
    fn a_deadline_that_the_server_keeps_is_the_clients() {
        let call = |talk: Talk, id: u32, at: f64| {
            let fields = ":method=POST :scheme=http :authority=a :path=/s/m \
                          content-type=application/grpc grpc-timeout=1700m";
            talk.c(at, &format!("HEADERS {id} END_STREAM {fields}"))
        };
        let talk = (0..4_u32).fold(Talk::opened(), |talk, n| {
            let (id, at) = (1 + n * 2, 10.0 + f64::from(n) * 500.0);
            let talk = call(talk, id, at);
            match n {
                0 => talk.cancel(at + 1701.0, id),
                _ => {
                    let over = ":status=200 content-type=application/grpc grpc-status=4";
                    talk.s(at + 1699.0, &format!("HEADERS {id} END_STREAM {over}"))
                }
            }
        });
        let told = rules(&talk);
        let told = told.iter().find(|(rule, _)| *rule == "client_timeout_below_answer_time");
        let (_, told) = told.unwrap();
        assert!(told.contains("1.7 s ended 4 of 4 requests"), "{told}");
        assert!(told.contains("No answer to them was ever seen, so"), "{told}");
    }
}
