//! Flow control at both levels (RFC 9113 sections 5.2 and 6.9).
//!
//! A stream's window is the initial window in force plus the stream's balance: so a change of
//! INITIAL_WINDOW_SIZE moves the windows of all streams at once (section 6.9.2).

use crate::vocab::address::Side;
use crate::vocab::frame::{Frame, Payload};
use crate::vocab::rule;
use crate::vocab::setting::SettingId;

use super::super::history::History;
use super::super::stream::Stream;
use super::{Breach, Desk, Rules, grouped};

/// Window of the connection, and of streams unless SETTINGS change it (RFC 9113 section 6.9.2).
pub(super) const DEFAULT: i64 = 65_535;

/// Servers that write whole blocks keep back what is left of a window behind the last one.
const WORTH_SENDING: i64 = 256;

/// No window is ever larger (section 6.9.1).
pub(super) const MOST: i64 = (1 << 31) - 1;

impl Rules {
    /// Counts DATA, whose head's length is what windows are made of, padding included.
    pub(super) fn spend(&mut self, desk: &mut Desk<'_, '_>) -> Option<Breach> {
        let frame = desk.frame;
        let (by, length) = (frame.by, i64::from(frame.head.length));
        let is_known = self.is_exact(desk.history, by) && self.knows_peer(desk.history, frame);
        let initial = self.sides.side(by.other()).announced.window();
        let side = self.sides.side_mut(by);
        let before = side.window;
        side.window -= length;
        let stream = desk.open.get_mut(&frame.head.stream);
        let on_stream = stream.and_then(|stream| spend_on(stream, desk.frame, initial, is_known));
        // A frame without octets needs no window (section 6.9.1).
        if length == 0 || !is_known {
            return None;
        }
        // Once over a window, what follows is the same offence until there is window again.
        if on_stream.is_none() && side.window < 0 && before >= 0 {
            let text = format!(
                "DATA of {} octets where the connection window had {} left",
                grouped(frame.head.length.into()),
                left(before)
            );
            return Breach::of(&rule::FLOW_CONN_WINDOW, text);
        }
        on_stream
    }

    /// Who had left the other side no window for what it had still to send on a stream.
    pub fn held_by(&self, history: &History, stream: &Stream) -> Option<Side> {
        let asking = stream.ended.side(stream.opener).is_none();
        let answering = stream.responded.is_some() && !stream.answer_ended();
        let holds = |by: Side| self.has_no_window(history, stream, by).then_some(by.other());
        let upload = asking.then(|| holds(stream.opener)).flatten();
        upload.or_else(|| answering.then(|| holds(stream.opener.other())).flatten())
    }

    /// Whether the side that answers may send no more DATA worth a frame on a stream; false where
    /// the capture cannot tell.
    pub fn is_starved(&self, history: &History, stream: &Stream) -> bool {
        self.has_no_window(history, stream, stream.opener.other())
    }

    fn has_no_window(&self, history: &History, stream: &Stream, by: Side) -> bool {
        let peer = by.other();
        let is_known = self.is_exact(history, by)
            && self.is_exact(history, peer)
            && self.sides.side(peer).spoke
            && stream.rules.born == self.losses
            && !stream.rules.is_blurred.side(by);
        let initial = self.sides.side(peer).announced.window();
        let left = initial.saturating_add(*stream.rules.balance.side(by));
        is_known && left.min(self.sides.side(by).window) < WORTH_SENDING
    }

    pub(super) fn window_update(&mut self, desk: &mut Desk<'_, '_>) -> Option<Breach> {
        let frame = desk.frame;
        let id = frame.head.stream;
        let increment = match frame.payload {
            Payload::WindowUpdate { increment } => increment,
            _ => return None,
        };
        let misplaced = self.stream_state(desk);
        if misplaced.is_some() {
            return misplaced;
        }
        if increment == 0 {
            return if id == 0 {
                Breach::of(&rule::WINDOW_UPDATE_ZERO_CONN, "WINDOW_UPDATE of 0 on stream 0")
            } else {
                let text = format!("WINDOW_UPDATE of 0 on stream {id}");
                Breach::of(&rule::WINDOW_UPDATE_ZERO_STREAM, text)
            };
        }
        self.grant(desk, i64::from(increment))
    }

    fn grant(&mut self, desk: &mut Desk<'_, '_>, increment: i64) -> Option<Breach> {
        let frame = desk.frame;
        let (by, id) = (frame.by, frame.head.stream);
        let receiver = by.other();
        // What the receiver sent and this side has not seen yet only makes the window smaller.
        let is_known = self.is_exact(desk.history, by)
            && self.is_exact(desk.history, receiver)
            && self.is_heard(receiver, frame.seen);
        let (rule, before) = if id == 0 {
            let side = self.sides.side_mut(receiver);
            let before = side.window;
            side.window = (before + increment).min(MOST + 1);
            (&rule::FLOW_CONN_OVERFLOW, before)
        } else {
            let initial = self.sides.side(by).announced.window();
            let stream = desk.open.get_mut(&id)?;
            let balance = stream.rules.balance.side_mut(receiver);
            let before = initial + *balance;
            *balance = (before + increment).min(MOST + 1) - initial;
            (&rule::FLOW_STREAM_OVERFLOW, before)
        };
        if before + increment <= MOST || before > MOST || !is_known {
            return None;
        }
        let text = format!(
            "WINDOW_UPDATE of {} where the window had {} left: more than 2^31-1",
            grouped(increment.unsigned_abs()),
            left(before)
        );
        Breach::of(rule, text)
    }

    /// SETTINGS that lift a stream's window over the maximum (RFC 9113 section 6.9.2).
    pub(super) fn windows_overflow(
        &self,
        desk: &Desk<'_, '_>,
        values: &[(SettingId, u32)],
    ) -> Option<Breach> {
        let wanted = SettingId::INITIAL_WINDOW_SIZE;
        let (_, initial) = values.iter().rev().find(|(id, _)| *id == wanted)?;
        let (by, receiver) = (desk.frame.by, desk.frame.by.other());
        let exact = self.is_exact(desk.history, by) && self.is_exact(desk.history, receiver);
        if !exact || !self.is_heard(receiver, desk.frame.seen) {
            return None;
        }
        let initial = i64::from(*initial);
        let lifted = desk.open.values().find(|stream| {
            let rules = &stream.rules;
            rules.born == self.losses && initial + *rules.balance.side(receiver) > MOST
        })?;
        let text = format!(
            "INITIAL_WINDOW_SIZE {} lifts the window of stream {} over 2^31-1",
            grouped(initial.unsigned_abs()),
            lifted.id
        );
        Breach::of(&rule::FLOW_SETTINGS_OVERFLOW, text)
    }
}

fn spend_on(
    stream: &mut Stream,
    frame: &Frame<'_>,
    initial: i64,
    is_known: bool,
) -> Option<Breach> {
    let (by, length) = (frame.by, i64::from(frame.head.length));
    let balance = stream.rules.balance.side_mut(by);
    let before = initial.saturating_add(*balance);
    *balance -= length;
    let was_overrun = stream.rules.is_overrun.side_mut(by);
    if before >= length || length == 0 {
        *was_overrun &= before < length;
        return None;
    }
    if !is_known || std::mem::replace(was_overrun, true) {
        return None;
    }
    let rule = if before < 0 { &rule::FLOW_NEGATIVE_WINDOW } else { &rule::FLOW_STREAM_WINDOW };
    let octets = grouped(frame.head.length.into());
    let text =
        format!("DATA of {octets} octets where the stream's window had {} left", left(before));
    Breach::of(rule, text)
}

/// What is left of a window, which may be less than nothing.
fn left(window: i64) -> String {
    let sign = if window < 0 { "-" } else { "" };
    format!("{sign}{}", grouped(window.unsigned_abs()))
}
