//! Flows to an endpoint that serves HTTP/2 which never became a connection: refused, silent, or
//! another protocol.

use std::collections::BTreeSet;

use super::OtherFlow;
use super::rows::{copies, tls_row};
use crate::board::{ConnectionRow, End, EndHow, StreamCounts};
use crate::cause;
use crate::cause::scene::spoken;
use crate::track;
use crate::vocab::address::{Both, Endpoint, Half, Side};
use crate::vocab::cause::{Blame, Cause, Confidence};
use crate::vocab::frame::Transport;
use crate::vocab::hop::{Guest, Trouble, Troubled};
use crate::vocab::http1;
use crate::vocab::stream::AnswerTimes;
use crate::vocab::time::Stamp;
use crate::vocab::tls::{Alert, TlsFacts, TlsVersion};
use crate::vocab::verdict::{ConfiguredIn, Evidence, Timeout, Verdict};

/// The row of such a flow; `None` where nobody would miss it: neither TLS that may carry HTTP/2
/// nor a flow to one of `servers`, which serve HTTP/2.
pub(super) fn row(flow: &OtherFlow, servers: &BTreeSet<Endpoint>) -> Option<ConnectionRow> {
    let client = client(flow, servers).filter(|_| is_missed(flow, servers))?;
    let server = flow.key.sender(client.other());
    let tls = flow.tls.as_deref().map(|tls| tls.clone().oriented(client));
    let is_h2 = tls.as_ref().is_some_and(is_h2);
    let end = end(flow, client);
    let totals = |half: Half| flow.totals.half(half);
    let of = |half: Half| flow.notes.half(half).clone();
    let notes = Both { first: of(client), second: of(client.other()) };
    let broken = tls.as_ref().filter(|_| is_h2).map(track::of_tls).unwrap_or_default();
    Some(ConnectionRow {
        flow: flow.id,
        number: 0,
        client: flow.key.sender(client),
        server,
        transport: if tls.is_some() { Transport::Tls } else { Transport::Unknown },
        http2: is_h2,
        joined_midway: flow.initiator.is_none(),
        one_sided: None,
        first: flow.first,
        last: flow.last,
        opened_at: flow.initiator.map(|_| flow.first.at),
        closed_at: end.stamp.map(|stamp| stamp.at),
        lost_bytes: Both { first: totals(client).lost, second: totals(client.other()).lost },
        streams: StreamCounts::default(),
        end,
        goaways: Vec::new(),
        end_verdict: match &tls {
            Some(tls) => sealed(flow, tls, client, end),
            None => verdict(flow, client, end),
        },
        tls: tls.map(tls_row),
        cancellations: Vec::new(),
        findings: [broken, copies(&notes)].concat(),
        notes,
        stream_list: Vec::new(),
        answers: AnswerTimes::default(),
        implementations: Both::default(),
        metered: None,
        hits: Vec::new(),
        settled: flow.end.is_some(),
        processes: Both::default(),
        forgotten: false,
        dropped_meanwhile: 0,
    })
}

/// What it is for those who look for the other side of a proxy: HTTP/1.1, whose first request was
/// not answered, or failed. Answers come in order (RFC 9112 section 9.3.2): the first is its own.
pub(super) fn guest(flow: &OtherFlow) -> Option<Guest> {
    let asks = |half: &Half| track::mark_of_head(flow.first_octets.half(*half));
    let client = [Half::A, Half::B].into_iter().find(|half| asks(half).is_some())?;
    let (mark, server) = (asks(&client)?, client.other());
    let answer = flow.first_octets.half(server);
    let unseen = flow.totals.half(server).lost > 0 || flow.totals.half(server).unheard;
    let (at, by, how) = match http1::status(answer) {
        Some(status) if status >= 500 => {
            ((*flow.spoke.half(server))?, Side::Server, Trouble::Status(status))
        }
        None if answer.is_empty() && !unseen => {
            let (at, half, _) = flow.ends.first()?;
            (*at, if *half == client { Side::Client } else { Side::Server }, Trouble::Left)
        }
        _ => return None,
    };
    let opened = (*flow.spoke.half(client))?;
    let of = Troubled { stream: 0, opened, at, by, how, mark };
    Some(Guest { client: flow.key.sender(client), server: flow.key.sender(server), of })
}

/// Whether somebody would miss it, as far as `servers` are known: TLS that may carry HTTP/2, and a
/// flow to one of them.
pub(super) fn is_missed(flow: &OtherFlow, servers: &BTreeSet<Endpoint>) -> bool {
    let of = |tls: &TlsFacts| is_h2(tls) || tls.offered_h2() || tls.is_unseen();
    let serves = |client: Half| servers.contains(&flow.key.sender(client.other()));
    flow.tls.as_deref().is_some_and(of) || client(flow, servers).is_some_and(serves)
}

fn is_h2(tls: &TlsFacts) -> bool {
    tls.alpn.as_deref() == Some("h2")
}

/// Who is the client, where that is known or likely.
fn client(flow: &OtherFlow, servers: &BTreeSet<Endpoint>) -> Option<Half> {
    let unseen = flow.tls.as_deref().is_some_and(TlsFacts::is_unseen);
    let known = flow.initiator.or_else(|| flow.tls.as_ref()?.client);
    known.or_else(|| unseen.then(|| likely_client(flow, servers)))
}

/// Who is the client where neither SYN nor hello were captured: the peer of an endpoint that serves
/// HTTP/2 elsewhere in the capture, else the one with the higher port, for clients take theirs from
/// the upper range (RFC 6335 section 6).
fn likely_client(flow: &OtherFlow, servers: &BTreeSet<Endpoint>) -> Half {
    let (a, b) = (flow.key.sender(Half::A), flow.key.sender(Half::B));
    match (servers.contains(&a), servers.contains(&b)) {
        (true, false) => Half::B,
        (false, true) => Half::A,
        _ if a.port > b.port => Half::A,
        _ => Half::B,
    }
}

fn end(flow: &OtherFlow, client: Half) -> End {
    match flow.ends.first() {
        Some((stamp, half, rst)) => {
            let by = if *half == client { Side::Client } else { Side::Server };
            let how = if *rst { EndHow::Rst } else { EndHow::Fin };
            End { how, by: Some(by), stamp: Some(*stamp) }
        }
        None => End { how: EndHow::Open, by: None, stamp: None },
    }
}

/// The end of a TLS connection in which no HTTP/2 was read: what can be seen from outside, no more.
fn sealed(flow: &OtherFlow, tls: &TlsFacts, client: Half, end: End) -> Option<Verdict> {
    let (stamp, by) = end.stamp.zip(end.by)?;
    if let Some(verdict) = answered_in_clear(flow, tls, client, end) {
        return Some(verdict);
    }
    let half = if by == Side::Client { client } else { client.other() };
    let farewell = tls.sides.side(by).farewell;
    let lost = flow.totals.half(half).lost > 0;
    // Before TLS 1.3 alerts can be told; it hides them, and padding hides their size.
    let hidden = !tls.is_open() && tls.version.is_none_or(|v| v >= TlsVersion::TLS13);
    let manner = match (end.how, farewell.map(|farewell| farewell.alert)) {
        (_, Some(Alert::Error(_))) => "gave up TLS with an alert and closed",
        (EndHow::Rst, None) if hidden => "aborted the connection (RST)",
        (EndHow::Rst, None) => "aborted the connection (RST) without a close_notify",
        (EndHow::Rst, Some(_)) => "took its leave in TLS and then aborted the connection (RST)",
        (_, Some(Alert::CloseNotify)) => "closed in order",
        (_, Some(Alert::Possible)) => "closed, possibly in order, by the size of its last record",
        (_, Some(Alert::Unread)) => "closed after an encrypted alert, most likely in order",
        (_, None) if lost => "closed, and no close_notify of it was captured",
        (_, None) if hidden => "closed, whether in order cannot be seen",
        (_, None) => "closed without a close_notify",
    };
    let spoken = tls.alpn.as_deref().filter(|alpn| *alpn != "h2");
    let in_order = matches!(farewell.map(|f| f.alert), Some(Alert::CloseNotify));
    if tls.is_decrypted() && spoken.is_some() && in_order && alerts(tls).next().is_none() {
        return None; // another protocol, read and ended as it should: nothing went away
    }
    let inside = match (tls.is_decrypted(), spoken) {
        _ if alerts(tls).next().is_some() => "no HTTP/2 was spoken".to_owned(),
        (true, Some(alpn)) => format!("inside TLS it spoke {alpn}, not HTTP/2"),
        (true, None) => "nothing of HTTP/2 was said inside TLS".to_owned(),
        (false, _) if tls.is_open() => {
            "its handshake was decrypted, and no application data was seen".to_owned()
        }
        (false, _) => "why is inside TLS that was not decrypted".to_owned(),
    };
    let mut summary = format!("The {} {manner}; {inside}.", by.name());
    let betrayed = cause::sealed::look(&tls.sizes, stamp);
    if !betrayed.told.is_empty() {
        summary += &format!(" Seen from outside: {}.", betrayed.told.join("; "));
    }
    let confidence = Confidence::new(0.1);
    let mut verdict =
        plain(stamp, by, end.how, Cause::Unknown, confidence, Blame::Unknown, &summary);
    verdict.chain.extend(betrayed.evidence);
    verdict.chain.extend(alerts(tls).filter(|alert| !stamp.before(alert.stamp)));
    verdict.chain.sort_by_key(|evidence| evidence.stamp.order());
    verdict.alternatives = betrayed.alternatives;
    verdict.advice.extend(tls.why_not.as_deref().map(cause::pages::capital));
    Some(verdict)
}

/// TLS that was spoken to a port which speaks in clear: its first octets are no record (RFC 8446
/// section 5.1).
fn answered_in_clear(flow: &OtherFlow, tls: &TlsFacts, client: Half, end: End) -> Option<Verdict> {
    let (stamp, by) = end.stamp.zip(end.by)?;
    let hello = tls.client_hello.filter(|_| tls.server_hello.is_none() && !tls.joined_midway)?;
    let answer = flow.first_octets.half(client.other());
    let at = (*flow.spoke.half(client.other()))?;
    let whole = flow.notes.half(client.other()).missing.first().is_none_or(|of| of.offset > 0);
    let records = tls.sides.second.records > 0;
    // What came before is a tunnel, not an answer.
    if answer.is_empty() || records || !whole || !hello.before(at) || !at.before(stamp) {
        return None;
    }
    let how =
        if answer.starts_with(b"HTTP/1.") { "in HTTP/1.1, not encrypted" } else { "in clear" };
    let summary = format!(
        "The client began with TLS and the server answered {how}: this port speaks no TLS."
    );
    let confidence = Confidence::new(0.9);
    let cause = Cause::PrefaceMissing;
    let mut verdict = plain(stamp, by, end.how, cause, confidence, Blame::Client, &summary);
    verdict.offending = Some(hello);
    verdict.chain.insert(0, fact(hello, Side::Client, "ClientHello", "TLS, not the preface"));
    verdict.chain.insert(1, fact(at, Side::Server, "octets", "an answer that is no TLS"));
    verdict.advice.push(
        "Client: speak to this port in clear (http://, h2c with prior knowledge, plaintext \
         credentials), or use the server's port for TLS."
            .to_owned(),
    );
    Some(verdict)
}

/// Alerts that say what went wrong.
fn alerts(tls: &TlsFacts) -> impl Iterator<Item = Evidence> {
    [Side::Client, Side::Server].into_iter().filter_map(|by| {
        let farewell = tls.sides.side(by).farewell?;
        let Alert::Error(_) = farewell.alert else { return None };
        Some(fact(farewell.stamp, by, "alert", &farewell.alert.to_string()))
    })
}

/// What a reason is worth where a part of the flow is missing: it may have been HTTP/2 after all.
const PARTIAL: f32 = 0.5;

fn verdict(flow: &OtherFlow, client: Half, end: End) -> Option<Verdict> {
    let (stamp, by) = end.stamp.zip(end.by)?;
    let lost = |half| flow.totals.half(half).lost > 0;
    let hidden = |half| flow.totals.half(half).hidden_fin;
    let partial = [Half::A, Half::B].into_iter().any(|half| lost(half) || hidden(half));
    let unheard = [Half::A, Half::B].into_iter().any(|half| flow.totals.half(half).unheard);
    let partial = partial || (unheard && !flow.refused) || flow.initiator.is_none();
    let told = |cause, confidence, blame, summary: &str| {
        let confidence = Confidence::new(confidence);
        let confidence =
            if partial { confidence.lowered().and(Confidence::new(PARTIAL)) } else { confidence };
        Some(plain(stamp, by, end.how, cause, confidence, blame, summary))
    };
    if flow.refused {
        let summary = "The connection was refused: the SYN was answered by RST, so nothing \
                       listened on the port or a firewall rejected it.";
        return told(Cause::ConnectionRefused, 0.97, Blame::None, summary);
    }
    let asked = flow.first_octets.half(client);
    let answered = flow.first_octets.half(client.other());
    let waited = stamp.since(flow.accepted.unwrap_or(flow.first));
    let begun = flow.notes.half(client).missing.first().is_none_or(|missing| missing.offset > 0);
    if !begun || (asked.is_empty() && lost(client)) {
        let summary = "The client's first octets are not in the capture: whether it began as this \
                       port expects is not known.";
        return told(Cause::Unknown, 0.1, Blame::Unknown, summary);
    }
    let answer = flow.notes.half(client.other()).missing.first();
    if !asked.is_empty() && answer.is_some_and(|missing| missing.offset == 0) {
        // A 101 (RFC 7540 section 3.2), or another answer, may have been there.
        let summary = "The server's first octets are not in the capture: whether it took what the \
                       client began with is not known.";
        return told(Cause::Unknown, 0.1, Blame::Unknown, summary);
    }
    if asked.is_empty() {
        if by == Side::Client {
            let summary = "The client connected, sent nothing and left.";
            return told(Cause::ClientShutdown, 0.8, Blame::None, summary);
        }
        let summary =
            format!("The server closed: the client had sent nothing for {}.", spoken(waited));
        let confidence = if waited.as_millis() >= 300 { 0.9 } else { 0.4 };
        let mut verdict = told(Cause::HandshakeTimeout, confidence, Blame::Client, &summary)?;
        // Packets without times tell no spans.
        verdict.timeout = (stamp.at != flow.first.at)
            .then(|| Timeout::once(Cause::HandshakeTimeout, waited, ConfiguredIn::Server));
        let (by, what, text) = match flow.accepted {
            Some(_) => (Side::Server, "SYN,ACK", "connection accepted"),
            None => (Side::Client, "SYN", "first packet of the connection"),
        };
        verdict.chain.insert(0, fact(flow.accepted.unwrap_or(flow.first), by, what, text));
        return Some(verdict);
    }
    if is_success(answered) {
        let summary = "The server speaks HTTP/1.1 on this port too and answered.";
        return (by == Side::Client)
            .then(|| told(Cause::ClientShutdown, 0.85, Blame::None, summary))?;
    }
    let summary = "The client did not begin with the HTTP/2 preface, and this port speaks nothing \
                   else.";
    let mut verdict = told(Cause::PrefaceMissing, 0.9, Blame::Client, summary)?;
    verdict.offending = *flow.spoke.half(client);
    if let Some(first) = verdict.offending.filter(|first| first.before(stamp)) {
        let text = "first octets, not the preface";
        verdict.chain.insert(0, fact(first, Side::Client, "octets", text));
    }
    Some(verdict)
}

fn fact(stamp: Stamp, by: Side, what: &'static str, text: &str) -> Evidence {
    Evidence { stamp, by: Some(by), connection: None, stream: 0, what, text: text.to_string() }
}

/// Whether the server answered in HTTP/1 without complaint.
fn is_success(answer: &[u8]) -> bool {
    answer.starts_with(b"HTTP/1.") && matches!(answer.get(9), Some(b'1' | b'2' | b'3'))
}

fn plain(
    stamp: Stamp,
    by: Side,
    how: EndHow,
    cause: Cause,
    confidence: Confidence,
    blame: Blame,
    summary: &str,
) -> Verdict {
    let what = if how == EndHow::Rst { "RST" } else { "FIN" };
    let ending = Evidence {
        stamp,
        by: Some(by),
        connection: None,
        stream: 0,
        what,
        text: format!("the {} closes", by.name()),
    };
    Verdict {
        cause,
        trigger: cause,
        blame,
        confidence,
        summary: summary.to_string(),
        timeout: None,
        late_answer: None,
        chain: vec![ending],
        cancelled_streams: Vec::new(),
        offending: None,
        rule: None,
        safe_to_retry_streams: Vec::new(),
        maybe_processed_streams: Vec::new(),
        implementation: None,
        alternatives: Vec::new(),
        advice: Vec::new(),
        hop: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::address::FlowKey;
    use crate::vocab::flow::{FlowId, Missing};
    use crate::vocab::time::Timestamp;

    fn at(millis: i64) -> Stamp {
        Stamp::new(0, millis as u64 + 1, Timestamp(millis * 1_000_000))
    }

    const SERVER: Half = Half::B;
    const CLIENT: Half = Half::A;

    /// A flow whose client (half A) sent the SYN, and its server.
    fn flow() -> (OtherFlow, BTreeSet<Endpoint>) {
        let client = Endpoint { ip: [10, 0, 0, 1].into(), port: 40_000 };
        let server = Endpoint { ip: [10, 0, 0, 2].into(), port: 8080 };
        let (key, half) = FlowKey::of(client, server);
        (OtherFlow::new(FlowId(0), key, at(0), Some(half)), BTreeSet::from([server]))
    }

    fn verdict_of(flow: &OtherFlow, servers: &BTreeSet<Endpoint>) -> Option<(Cause, f64)> {
        let verdict = row(flow, servers)?.end_verdict?;
        Some((verdict.cause, verdict.confidence.value()))
    }

    #[test]
    fn a_syn_answered_by_rst_is_refused_and_one_that_nobody_answers_is_not() {
        let (mut flow, servers) = flow();
        assert_eq!(verdict_of(&flow, &servers), None);
        flow.ends.push((at(1), SERVER, true));
        flow.refused = true;
        assert_eq!(verdict_of(&flow, &servers), Some((Cause::ConnectionRefused, 0.97)));
        // Elsewhere nobody misses it.
        assert!(row(&flow, &BTreeSet::new()).is_none());
    }

    #[test]
    fn a_reset_after_the_handshake_is_not_refused() {
        let (mut flow, servers) = flow();
        flow.accepted = Some(at(1));
        flow.first_octets.first = b"\x00junk".to_vec();
        flow.ends.push((at(2), SERVER, true));
        assert_eq!(verdict_of(&flow, &servers), Some((Cause::PrefaceMissing, 0.9)));
    }

    #[test]
    fn what_was_not_captured_is_not_held_against_the_client() {
        let (mut flow, servers) = flow();
        flow.accepted = Some(at(1));
        flow.ends.push((at(3), CLIENT, false));
        flow.totals.a.lost = 33;
        let told = verdict_of(&flow, &servers);
        assert_eq!(told.map(|(cause, _)| cause), Some(Cause::Unknown));
        flow.first_octets.first = b"\x00junk".to_vec();
        let before = at(2);
        flow.notes.first.missing.push(Missing { after: None, before, offset: 0, octets: 33 });
        let told = verdict_of(&flow, &servers);
        assert_eq!(told.map(|(cause, _)| cause), Some(Cause::Unknown));
        // Behind its first octets a hole hides nothing of this.
        flow.notes.first.missing[0].offset = 5;
        let told = verdict_of(&flow, &servers);
        assert_eq!(told.map(|(cause, _)| cause), Some(Cause::PrefaceMissing));
    }

    #[test]
    fn silence_is_a_handshake_that_never_came() {
        let (mut flow, servers) = flow();
        flow.accepted = Some(at(0));
        flow.ends.push((at(7000), SERVER, false));
        assert_eq!(verdict_of(&flow, &servers), Some((Cause::HandshakeTimeout, 0.9)));
        let (mut left, servers) = self::flow();
        left.accepted = Some(at(0));
        left.ends.push((at(7000), SERVER.other(), false));
        assert_eq!(verdict_of(&left, &servers), Some((Cause::ClientShutdown, 0.8)));
    }
}
