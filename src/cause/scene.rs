//! How a connection stood when it went away: what every detector looks at.

use std::time::Duration;

use crate::track::history::{FrameCounts, Goaway, History, Loss, Moment, OpenStream, Ping, Reset};
use crate::vocab::address::{Both, Side};
use crate::vocab::cause::Confidence;
use crate::vocab::error_code::ErrorCode;
use crate::vocab::frame::{FrameType, LAST_STREAM_MAX, Transport, last_stream};
use crate::vocab::rule::Scope;
use crate::vocab::time::{Stamp, Timestamp};
use crate::vocab::verdict::{Effect, Evidence, Finding};

use super::cancels::CancelGroup;
use super::dropped::before;
use super::known_text::{self, KnownText};

/// An ending and what led to it.
pub struct Scene<'a> {
    /// The connection.
    pub history: &'a History,
    /// What needs a reason.
    pub effect: Effect,
    /// The GOAWAY, where that is the effect.
    pub goaway: Option<&'a Goaway>,
    /// Packet of the GOAWAY, or of the FIN or RST.
    pub at: Stamp,
    /// Who sent it.
    pub by: Side,
    /// Whether the end is a RST.
    pub aborted: bool,
    /// Streams open then.
    pub open: &'a [OpenStream],
    /// How many.
    pub open_count: u64,
    /// Since when no stream was open.
    pub idle_since: Option<Stamp>,
    /// Last octets of each side before.
    pub last_octets: Both<Option<Stamp>>,
    /// Last HEADERS or DATA of each side before.
    pub last_message: Both<Option<Stamp>>,
    /// Frames of each side before.
    pub frames: Both<FrameCounts>,
    /// Streams opened by each side before.
    pub opened: Both<u64>,
    /// Resets before.
    pub resets: &'a [Reset],
    /// Rules broken before.
    pub findings: &'a [Finding],
    /// The largest header list of each side before: octets, packet, stream.
    pub largest_block: Both<Option<(u64, Stamp, u32)>>,
    /// Cancellations by reason, over the whole connection.
    pub cancels: &'a [CancelGroup],
    /// What the debug data is known for.
    pub text: Option<&'static KnownText>,
}

/// The longest that a real end follows its trigger: processing and one way through the network.
pub const PROMPT: Duration = Duration::from_millis(250);

/// What follows so soon was done because of what came before, or in the same moment.
const AT_ONCE: Duration = Duration::from_millis(20);

/// Waits shorter than this are a PING on its way.
pub const REAL_WAIT: Duration = Duration::from_millis(150);

/// What a reason is worth at most that rests on silence where the capture lacks octets, a side or
/// the beginning: what would refute it may be there.
pub const UNSEEN: Confidence = Confidence::new(0.45);

/// How long an endpoint waits that lets its peer read what it said before it closes: a second with
/// Envoy, two with others.
const DELAYED_CLOSE: Duration = Duration::from_millis(2_500);

/// Requests sent this soon after another are on their way while that one is read.
const ON_ITS_WAY: Duration = Duration::from_millis(3);

/// How soon an endpoint reacts that was not busy.
pub const SOON: Duration = Duration::from_millis(50);

impl<'a> Scene<'a> {
    /// The scene of a GOAWAY.
    pub fn of_goaway(
        history: &'a History,
        index: usize,
        cancels: &'a [CancelGroup],
        text: Option<&'static KnownText>,
    ) -> Option<Self> {
        let goaway = history.goaways.get(index)?;
        let end = (goaway.stamp, goaway.by, false);
        let scene = Self::of(history, Effect::Goaway(index), end, &goaway.moment, cancels);
        Some(Self { goaway: Some(goaway), text, ..scene })
    }

    /// The scene of an end without GOAWAY.
    pub fn of_end(history: &'a History, cancels: &'a [CancelGroup]) -> Option<Self> {
        let (end, moment) = (history.tcp_end()?, history.closing.as_deref()?);
        Some(Self::of(history, Effect::End, end, moment, cancels))
    }

    /// The other side's close that this GOAWAY only answers, with requests open.
    pub fn of_answered_close(&self) -> Option<Self> {
        self.goaway.filter(|goaway| goaway.after_peer_close)?;
        let end = Self::of_end(self.history, self.cancels)?;
        // With nothing open a client that closes is done; a server has its reasons.
        let has_reason = end.open_count > 0 || end.by == Side::Server;
        (end.by == self.peer() && has_reason).then_some(end)
    }

    /// An ending by `by` at `at`, whether it is a RST, and how the connection stood then.
    fn of(
        history: &'a History,
        effect: Effect,
        (at, by, aborted): (Stamp, Side, bool),
        moment: &'a Moment,
        cancels: &'a [CancelGroup],
    ) -> Self {
        Self {
            history,
            effect,
            goaway: None,
            at,
            by,
            aborted,
            open: &moment.open,
            open_count: moment.open_count,
            idle_since: moment.idle_since,
            last_octets: moment.last_octets,
            last_message: moment.last_message,
            frames: moment.frames,
            opened: moment.opened,
            resets: history.resets.get(..moment.resets).unwrap_or_default(),
            findings: history.findings.get(..moment.findings).unwrap_or_default(),
            largest_block: moment.largest_block,
            cancels,
            text: None,
        }
    }

    /// Streams of the client that wait for the end of their answer: their request is complete, and
    /// breaks no rule for which a server would ignore it.
    pub fn waiting(&self) -> impl Iterator<Item = &'a OpenStream> {
        let findings = self.findings;
        self.open.iter().filter(move |stream| {
            let broken = findings.iter().any(|f| f.by == Side::Client && f.stream == stream.id);
            let asked = stream.by == Side::Client && stream.described && stream.request_ended;
            asked && !stream.answer_ended && !broken
        })
    }

    /// Whether its sender left in the middle of a frame, unless of a stream that the other side
    /// had refused to hear more of.
    pub fn is_torn(&self) -> bool {
        let peer = self.peer();
        let known = self.resets.iter().filter(|reset| reset.by == peer).count();
        let told = self.frames.side(peer).of(FrameType::RST_STREAM);
        let refused = self.open_count == 0 && usize::try_from(told).is_ok_and(|told| told > known);
        self.history.sides.side(self.by).torn_at_end && !refused
    }

    /// When the oldest of the requests came that wait for their answer to begin.
    pub fn oldest_waiting(&self) -> Option<Stamp> {
        let waiting = self.waiting().filter(|stream| !stream.responded);
        waiting.filter_map(|stream| stream.opened).min_by_key(|opened| opened.order())
    }

    /// Whether the connection was opened for the one request that it carried, sent as soon as it
    /// could be: a time for the whole errand (curl --max-time) then began before the SYN.
    pub fn is_first_errand(&self) -> bool {
        let (Some(_), Some(preface)) = (self.history.syn, self.history.sides.first.preface) else {
            return false;
        };
        let asked = self.oldest_waiting();
        self.opened.first == 1 && asked.is_some_and(|asked| asked.since(preface) <= SOON)
    }

    /// Who received the end.
    pub fn peer(&self) -> Side {
        self.by.other()
    }

    /// Whether the other side may have closed before: its FIN is not in the capture, but was
    /// acknowledged.
    pub fn may_follow_a_close(&self) -> bool {
        let hidden = self.history.tcp.side(self.peer()).hidden_fin;
        hidden && !self.is_error() && !self.aborted
    }

    /// The error code, where a GOAWAY told one.
    pub fn code(&self) -> Option<ErrorCode> {
        self.goaway.map(|goaway| goaway.code)
    }

    /// Whether the end names an error.
    pub fn is_error(&self) -> bool {
        self.code().is_some_and(|code| code != ErrorCode::NO_ERROR)
    }

    /// The debug data as text, in lower case.
    pub fn debug(&self) -> String {
        let goaway = self.goaway.filter(|goaway| !known_text::is_silenced(goaway));
        goaway.map_or_else(String::new, |goaway| {
            String::from_utf8_lossy(&goaway.debug).to_ascii_lowercase()
        })
    }

    /// How long no stream had been open; `None` while one was.
    pub fn idle(&self) -> Option<Duration> {
        (self.open_count == 0).then(|| self.idle_since.map(|since| self.at.since(since)))?
    }

    /// Where the silence of both sides began.
    pub fn quiet_since(&self) -> Stamp {
        // Who only clears its streams away at the end (Node) says nothing by that.
        let clears = self.open_count > 0 && self.gave_up_just_before();
        let message = self.latest_message().filter(|_| clears);
        message.or(latest(self.last_octets)).unwrap_or(self.history.first)
    }

    /// The last HEADERS or DATA of either side.
    pub fn latest_message(&self) -> Option<Stamp> {
        latest(self.last_message)
    }

    /// How long no octet had come from either side.
    pub fn quiet(&self) -> Duration {
        self.at.since(self.quiet_since())
    }

    /// Whether the capture began later than the connection, and no stream was seen on it: what it
    /// was used for, and when last, is not known.
    pub fn is_blind(&self) -> bool {
        let none = self.open_count == 0 && self.idle_since == Some(self.history.first);
        self.history.joined_midway && none && self.opened == Both::default()
    }

    /// Since when no stream had been open; while one was, since when no octet had come.
    pub fn idle_start(&self) -> Stamp {
        let idle = self.idle_since.filter(|_| self.open_count == 0);
        idle.unwrap_or_else(|| self.quiet_since())
    }

    /// How long no octet had come from the other side.
    pub fn peer_quiet(&self) -> Duration {
        self.at.since(self.last_octets.side(self.peer()).unwrap_or(self.history.first))
    }

    /// How long the connection had been there; a lower bound where it was joined midway.
    pub fn age(&self) -> Duration {
        self.at.since(self.history.first)
    }

    /// Time of one round trip as the handshake and answered PINGs show it, at least 1 ms.
    pub fn round_trip(&self) -> Duration {
        let measured = self.history.syn.zip(self.history.accepted);
        let measured = measured.map_or(Duration::ZERO, |(syn, accepted)| accepted.since(syn));
        let answered = self.history.pings.iter().filter_map(|ping| {
            // What comes back after the end was held up by what led to it.
            let back = ping.answered.filter(|back| back.before(self.at))?;
            Some((ping.sent, back))
        });
        let measured = answered.map(|(sent, back)| back.since(sent)).fold(measured, Duration::max);
        measured.clamp(Duration::from_millis(1), Duration::from_secs(2))
    }

    /// Whether the connection is inside TLS.
    pub fn in_tls(&self) -> bool {
        self.history.transport == Transport::Tls
    }

    /// Whether nothing of a side was captured, neither octets nor acknowledgements.
    pub fn is_unheard(&self, side: Side) -> bool {
        let tcp = self.history.tcp.side(side);
        tcp.unheard || (tcp.delivered == 0 && tcp.lost > 0)
    }

    /// Who sent a GOAWAY before that was not captured whole: the other side, or either one where
    /// no GOAWAY announced the end.
    pub fn unread_goaway(&self) -> Option<Side> {
        let unread = |side: &Side| {
            let stamp = self.history.sides.side(*side).unread_goaway;
            stamp.is_some_and(|stamp| self.goaway.is_none() || stamp.before(self.at))
        };
        let own = self.goaway.is_none().then_some(self.by);
        std::iter::once(self.peer()).chain(own).find(unread)
    }

    /// Whether what led to the end may be incomplete anywhere: octets of either side are missing
    /// in which frames may have been, or a whole side.
    pub fn is_incomplete(&self) -> bool {
        let lacks =
            |side| self.is_unheard(side) || self.history.sides.side(side).unread_goaway.is_some();
        self.history.has_loss() || lacks(Side::Client) || lacks(Side::Server)
    }

    /// Whether octets of the other side are missing: then what it did not do is not known.
    pub fn peer_is_hidden(&self) -> bool {
        self.has_holes() || self.history.tcp.side(self.peer()).lost > 0
    }

    /// Octets of either side in which whole frames may be missing that bear on the end: a GOAWAY
    /// perhaps, or the answer to what waits.
    pub fn hidden_octets(&self) -> u64 {
        let since = self.hidden_since();
        let bears = |loss: &&Loss| loss.frames && loss.stamp.at >= since;
        let told = self.history.losses.iter().filter(bears).map(|loss| loss.bytes);
        let unread = |side| {
            let tcp = self.history.tcp.side(side);
            if tcp.delivered == 0 { tcp.lost } else { 0 }
        };
        told.sum::<u64>().saturating_add(unread(Side::Client)).saturating_add(unread(Side::Server))
    }

    /// Whoever asks for more has not received a GOAWAY (RFC 9113 section 6.8), and what waits was
    /// not answered before it was asked for: what was lost before bears on no end.
    fn hidden_since(&self) -> Timestamp {
        let newest = self.history.newest.map(|(_, newest)| before(newest.at));
        let waiting = self.waiting().filter_map(|stream| stream.opened).map(|opened| opened.at);
        waiting.chain(newest).min().filter(|_| newest.is_some()).unwrap_or(Timestamp(i64::MIN))
    }

    /// Where the capture lacks most before the end: `1448 octets from the server are missing
    /// between packets 12 and 17 (and 3 more places)`.
    pub fn missing(&self) -> Option<String> {
        let notes = &self.history.notes;
        let (since, until) = match self.goaway {
            Some(_) => (Timestamp(i64::MIN), self.at),
            None => (self.hidden_since(), self.history.last),
        };
        let widest = |side| Some((side, notes.side(side).widest(since, until)?));
        let found = [Side::Client, Side::Server].into_iter().filter_map(widest);
        let (side, place) = found.max_by_key(|(_, place)| place.octets)?;
        let places = notes.first.places().saturating_add(notes.second.places());
        let more = match places {
            0 | 1 => String::new(),
            2 => " (and in 1 more place)".into(),
            places => format!(" (and in {} more places)", places - 1),
        };
        let octets = place.octets;
        Some(format!("{octets} octets from the {} are missing {place}{more}", side.name()))
    }

    /// Whether frames may be missing before the end: evidence for what is not there is weak.
    pub fn has_holes(&self) -> bool {
        // Of a side that was not captured octets are missing at any time.
        let tcp = self.history.tcp.side(self.peer());
        self.history.has_loss_before(self.at) || (tcp.delivered == 0 && tcp.lost > 0)
    }

    /// A confidence lowered where the capture has holes, or began too late, before the end.
    pub fn despite_holes(&self, confidence: Confidence) -> Confidence {
        if self.has_holes() { confidence.lowered() } else { confidence }
    }

    /// PINGs of the end's sender that were not answered by then.
    pub fn unanswered_pings(&self) -> impl Iterator<Item = &'a Ping> {
        let (by, at) = (self.by, self.at);
        self.history.pings.iter().filter(move |ping| {
            let unanswered = ping.answered.is_none_or(|answered| !answered.before(at));
            ping.by == by && ping.sent.before(at) && unanswered
        })
    }

    /// The oldest PING of the end's sender that nothing of the other side has followed, where the
    /// wait is longer than its way can be: that one's timer ran out.
    pub fn lost_ping(&self) -> Option<&'a Ping> {
        let heard = *self.last_octets.side(self.peer());
        let silent = |ping: &&Ping| heard.is_none_or(|heard| !ping.sent.before(heard));
        let wait = REAL_WAIT.max(self.round_trip() * 4);
        self.unanswered_pings().find(silent).filter(|ping| self.at.since(ping.sent) >= wait)
    }

    /// The request that last_stream_id names, where it is open and the newest that the end's
    /// sender knew of: later ones were on their way to it, a moment at most.
    pub fn last_taken(&self) -> Option<(u32, Stamp)> {
        let goaway = self.goaway?;
        let (newest, arrived) = goaway.newest?;
        // 2^31-1 names none: the newest that was taken is meant.
        if [newest, LAST_STREAM_MAX].contains(&goaway.last_stream_id) {
            return Some((newest, arrived));
        }
        let last = self.open.iter().find(|stream| stream.id == goaway.last_stream_id)?;
        let taken = last.opened.filter(|_| newest > goaway.last_stream_id)?;
        (arrived.since(taken) <= ON_ITS_WAY).then_some((goaway.last_stream_id, taken))
    }

    /// Requests that the client still waits for, or still sends.
    pub fn unanswered(&self) -> usize {
        let lost = |stream: &&OpenStream| stream.by == Side::Client && !stream.answer_ended;
        self.open.iter().filter(lost).count()
    }

    /// The rule that the other side broke right before the end: this is what the end answers,
    /// whatever its code says.
    pub fn offence_before(&self) -> Option<&'a Finding> {
        self.offence_within(AT_ONCE)
    }

    /// The rule that the other side broke so shortly before the end; rather one that costs the
    /// whole connection.
    pub fn offence_within(&self, span: Duration) -> Option<&'a Finding> {
        let near = |finding: &&Finding| {
            let before = !self.at.before(finding.stamp);
            let soon = before && self.at.since(finding.stamp) <= span;
            finding.by == self.peer() && soon && !self.went_on_after(finding)
        };
        let mut found = self.findings.iter().rev().filter(near);
        let first = found.next()?;
        let whole = |finding: &&Finding| finding.rule.scope == Scope::Connection;
        Some(std::iter::once(first).chain(found).find(whole).unwrap_or(first))
    }

    /// The rule that the other side broke with the last that was heard of it, when the end's sender
    /// said nothing more: some close only a while after they have given up (Envoy's delayed close).
    pub fn silenced_by(&self) -> Option<&'a Finding> {
        let spoke = *self.last_octets.side(self.by);
        let heard = *self.last_octets.side(self.peer());
        self.findings.iter().rev().find(|finding| {
            let last = heard.is_some_and(|heard| heard.since(finding.stamp) <= AT_ONCE);
            let silent = spoke.is_some_and(|spoke| spoke.before(finding.stamp));
            let last = last && self.at.since(finding.stamp) <= DELAYED_CLOSE;
            finding.by == self.peer() && finding.rule.code != ErrorCode::NO_ERROR && last && silent
        })
    }

    /// Whether the end's sender went on with its messages as if a rule had not been broken: not
    /// only with what it had sent before it could know.
    pub fn went_on_after(&self, finding: &Finding) -> bool {
        self.went_on(finding.stamp)
    }

    /// Whether the end's sender went on with its messages well after this moment.
    pub fn went_on(&self, after: Stamp) -> bool {
        let last = *self.last_message.side(self.by);
        last.is_some_and(|last| last.since(after) > AT_ONCE)
    }

    /// Whether the other side said something right before the end: then no silence ended.
    pub fn just_heard(&self) -> bool {
        let last = *self.last_message.side(self.peer());
        last.is_some_and(|last| self.at.since(last) <= AT_ONCE)
    }

    /// Requests that the sender of this GOAWAY had promised to finish and then cut off, and how
    /// soon after it closed.
    pub fn cut_off(&self) -> Option<(usize, Duration)> {
        let goaway = self.goaway?;
        let history = self.history;
        let closed = history.tcp_end().filter(|(at, by, _)| *by == self.by && !at.before(self.at));
        // The last GOAWAY says what will be finished (RFC 9113 section 6.8).
        let own = history.goaways.iter().filter(|other| other.by == self.by);
        let last = own.map(|own| own.last_stream_id).min().unwrap_or(goaway.last_stream_id);
        let promised = |id: u32, by: Side| by != self.by && id <= last;
        let open = history.open.iter().filter(|stream| {
            promised(stream.id, stream.by) && stream.described && !stream.answer_ended
        });
        let reset = history.resets.iter().filter(|reset| {
            let later = reset.by == self.by && !reset.stamp.before(self.at);
            later && promised(reset.stream, reset.opener) && !reset.answer_ended
        });
        // A single one may have had a fault of its own; several at once were cleared away.
        let at_once = |reset: &&Reset| reset.stamp.since(self.at) <= SOON;
        let cleared = reset.clone().filter(at_once).count();
        match closed {
            Some((closed, ..)) => {
                let count = open.count() + reset.count();
                (count > 0).then(|| (count, closed.since(self.at)))
            }
            None => (cleared >= 2).then_some((cleared, Duration::ZERO)),
        }
    }

    /// PINGs of the other side before the end.
    pub fn peer_pings(&self) -> impl Iterator<Item = &'a Ping> {
        let (peer, at) = (self.by.other(), self.at);
        self.history.pings.iter().filter(move |ping| ping.by == peer && ping.sent.before(at))
    }

    /// The answer that stood still last for want of window, and since when: every request that is
    /// open waits for window alone.
    pub fn starved(&self) -> Option<(u32, Stamp)> {
        let stalled = |s: &OpenStream| s.by == Side::Client && s.responded && s.starved;
        let all = !self.open.is_empty() && self.open.iter().all(stalled);
        let last = self.open.iter().filter_map(|stream| Some((stream.id, stream.last?)));
        last.max_by_key(|(_, last)| last.order()).filter(|_| all)
    }

    /// Whether the end's sender had reset streams in the same go.
    pub fn gave_up_just_before(&self) -> bool {
        self.given_up(SOON) > 0
    }

    /// How many streams the end's sender had reset so shortly before.
    pub fn given_up(&self, within: Duration) -> u64 {
        let latest = self.resets.iter().rev();
        let latest = latest.take_while(|reset| self.at.since(reset.stamp) <= within);
        latest.filter(|reset| reset.by == self.by).count() as u64
    }

    /// The other side's breach of a rule that an end without an error answers: it came at once,
    /// and its sender did not go on as if nothing had been. Ends by themselves come at any moment.
    pub fn answered_offence(&self) -> Option<&'a Finding> {
        let prompt = SOON.max(self.round_trip()).min(PROMPT);
        self.findings.iter().rev().find(|finding| {
            finding.by == self.peer()
                && ![ErrorCode::SETTINGS_TIMEOUT, ErrorCode::NO_ERROR].contains(&finding.rule.code)
                && !self.at.before(finding.stamp)
                && self.at.since(finding.stamp) <= prompt
                && !self.went_on_after(finding)
        })
    }

    /// The ending itself, as evidence.
    pub fn ending(&self) -> Evidence {
        let by = self.by.name();
        let (what, text) = match self.goaway {
            Some(goaway) => {
                let debug = crate::vocab::text::utf8_or_escaped(&goaway.debug);
                let debug = if debug.is_empty() { debug } else { format!(", \"{debug}\"") };
                let last = last_stream(goaway.last_stream_id);
                ("GOAWAY", format!("{}, last stream {last}{debug}", goaway.code))
            }
            None if self.aborted => ("RST", format!("the {by} aborts the connection")),
            None if self.hidden_octets() > 0 => ("FIN", format!("the {by} closes")),
            None => ("FIN", format!("the {by} closes without GOAWAY")),
        };
        Evidence { stamp: self.at, by: Some(self.by), connection: None, stream: 0, what, text }
    }

    /// The `GOAWAY(CODE)` or `FIN` by name, for sentences.
    pub fn ending_name(&self) -> String {
        match self.goaway {
            Some(goaway) => format!("sent GOAWAY({})", goaway.code),
            None if self.aborted => "aborted the connection (RST)".into(),
            None if self.hidden_octets() > 0 => {
                "closed the connection, with no GOAWAY in the capture".into()
            }
            None => "closed the connection without GOAWAY".into(),
        }
    }
}

/// The later of what both sides have.
fn latest(of: Both<Option<Stamp>>) -> Option<Stamp> {
    [of.first, of.second].into_iter().flatten().max_by_key(|stamp| stamp.order())
}

/// Seconds as a person says them: `4.0 s`, `650 ms`, `1.25 s`.
pub fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 0.000_001 {
        "0 ms".into()
    } else if seconds < 0.01 {
        format!("{:.1} ms", seconds * 1e3)
    } else if seconds < 0.995 {
        format!("{:.0} ms", seconds * 1e3)
    } else if seconds < 99.95 {
        let text = format!("{seconds:.2}");
        let text = text.strip_suffix('0').unwrap_or(&text);
        format!("{text} s")
    } else {
        format!("{seconds:.0} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_people_say_them() {
        let say = |millis: f64| spoken(Duration::from_secs_f64(millis / 1e3));
        assert_eq!(say(3998.0), "4.0 s");
        assert_eq!(say(1250.0), "1.25 s");
        assert_eq!(say(650.4), "650 ms");
        assert_eq!(say(10_069.0), "10.07 s");
        assert_eq!(say(1.25), "1.2 ms");
    }
}
