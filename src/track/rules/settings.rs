//! SETTINGS: values, acknowledgements, and when a value begins to bind (RFC 9113 section 6.5).

use std::time::Duration;

use crate::vocab::error_code::ErrorCode;
use crate::vocab::frame::{Frame, Payload};
use crate::vocab::pack::packs;
use crate::vocab::rule;
use crate::vocab::setting::{FRAME_SIZE_LEAST, SettingId};
use crate::vocab::time::Stamp;

use super::super::history::History;
use super::{Breach, Desk, Rules, grouped, window};

/// SETTINGS remembered until they are acknowledged; more are outstanding nowhere.
const PENDING: usize = 64;

/// After this long without an acknowledgement everybody would have given up: nghttp2 and Go wait
/// 10 s or less.
const OVERDUE: Duration = Duration::from_secs(10);

/// Largest MAX_FRAME_SIZE: 24 bits (RFC 9113 section 6.5.2).
const FRAME_SIZE_MAX: u32 = (1 << 24) - 1;

/// What one side announced: values that bind its peer.
#[derive(Debug)]
pub(super) struct Announced {
    /// Values that the peer acknowledged.
    acknowledged: Values,
    /// SETTINGS that the peer did not acknowledge yet, oldest first.
    pending: Vec<Pending>,
    /// Whether there were too many of them to remember.
    is_blurred: bool,
    /// ENABLE_CONNECT_PROTOCOL=1 was sent (RFC 8441 section 3).
    pub(super) connects: bool,
    /// Whether its first SETTINGS set NO_RFC7540_PRIORITIES (no where they do not name it), once
    /// they were sent and read (RFC 9218 section 2.1).
    no_priorities: Option<bool>,
}

packs!(struct Announced { acknowledged, pending, is_blurred, connects, no_priorities });

/// Values that other rules rest on.
#[derive(Clone, Copy, Debug)]
struct Values {
    frame_size: Option<u32>,
    window: Option<u32>,
    streams: Option<u32>,
    push: Option<u32>,
}

packs!(struct Values { frame_size, window, streams, push });

#[derive(Debug)]
struct Pending {
    values: Values,
    stamp: Stamp,
    end_offset: u64,
}

packs!(struct Pending { values, stamp, end_offset });

impl Default for Announced {
    /// RFC 9113 section 6.5.2; MAX_CONCURRENT_STREAMS is unlimited.
    fn default() -> Self {
        let acknowledged = Values {
            frame_size: Some(FRAME_SIZE_LEAST),
            window: Some(window::DEFAULT as u32),
            streams: Some(u32::MAX),
            push: Some(1),
        };
        Self {
            acknowledged,
            pending: Vec::new(),
            is_blurred: false,
            connects: false,
            no_priorities: None,
        }
    }
}

impl Values {
    fn of(settings: &[(SettingId, u32)]) -> Self {
        let last =
            |wanted| settings.iter().rev().find(|(id, _)| *id == wanted).map(|(_, value)| *value);
        Self {
            frame_size: last(SettingId::MAX_FRAME_SIZE),
            window: last(SettingId::INITIAL_WINDOW_SIZE),
            streams: last(SettingId::MAX_CONCURRENT_STREAMS),
            push: last(SettingId::ENABLE_PUSH),
        }
    }

    fn replace(&mut self, new: &Self) {
        self.frame_size = new.frame_size.or(self.frame_size);
        self.window = new.window.or(self.window);
        self.streams = new.streams.or(self.streams);
        self.push = new.push.or(self.push);
    }
}

impl Announced {
    /// Values that were acknowledged as they were sent.
    pub(super) fn apply(&mut self, settings: &[(SettingId, u32)]) {
        self.acknowledged.replace(&Values::of(settings));
    }

    fn send(&mut self, settings: &[(SettingId, u32)], stamp: Stamp, end_offset: u64) {
        self.connects |= settings.contains(&(SettingId::ENABLE_CONNECT_PROTOCOL, 1));
        if self.pending.len() >= PENDING {
            self.is_blurred = true;
            return;
        }
        self.pending.push(Pending { values: Values::of(settings), stamp, end_offset });
    }

    /// Whether there was one to acknowledge.
    fn acknowledge(&mut self) -> bool {
        if self.pending.is_empty() {
            return self.is_blurred;
        }
        let pending = self.pending.remove(0);
        self.acknowledged.replace(&pending.values);
        if self.pending.is_empty() {
            self.pending = Vec::new(); // idle connections keep nothing
        }
        true
    }

    /// The loosest value that may bind the peer now: a stricter one binds once the peer
    /// acknowledged it, a looser one as soon as it was sent (RFC 9113 section 6.5.3).
    fn loosest(&self, pick: impl Fn(&Values) -> Option<u32>) -> u32 {
        let pending = self.pending.iter().filter_map(|pending| pick(&pending.values));
        let acknowledged = pick(&self.acknowledged);
        let most = pending.chain(acknowledged).max();
        if self.is_blurred { u32::MAX } else { most.unwrap_or(u32::MAX) }
    }

    /// Octets that the peer may put into a frame.
    pub(super) fn frame_size(&self) -> u32 {
        self.loosest(|values| values.frame_size)
    }

    /// Octets that the peer may send on a stream before WINDOW_UPDATE.
    pub(super) fn window(&self) -> i64 {
        if self.pending.is_empty() && !self.is_blurred {
            return self.acknowledged.window.map_or(window::DEFAULT, i64::from);
        }
        self.loosest(|values| values.window).into()
    }

    /// Streams that the peer may have open.
    pub(super) fn streams(&self) -> u32 {
        self.loosest(|values| values.streams)
    }

    /// Whether the peer may promise streams.
    pub(super) fn pushes(&self) -> bool {
        self.loosest(|values| values.push) != 0
    }
}

impl Rules {
    pub(super) fn settings(&mut self, desk: &mut Desk<'_, '_>) -> Option<Breach> {
        let frame = desk.frame;
        let by = frame.by;
        match frame.payload {
            Payload::Settings { ack: true, .. } => self.settings_ack(desk),
            Payload::Settings { ack: false, values } => {
                let wrong = wrong_value(desk.history, frame, values)
                    .or_else(|| self.changed_value(desk.history, frame, values));
                let overflow = wrong.is_none().then(|| self.windows_overflow(desk, values));
                self.sides.side_mut(by).announced.send(values, frame.stamp, frame.end_offset());
                wrong.or(overflow.flatten())
            }
            _ => None,
        }
    }

    /// Values that their sender may not take back: RFC 8441 section 3, RFC 9218 section 2.1.
    fn changed_value(
        &mut self,
        history: &History,
        frame: &Frame<'_>,
        values: &[(SettingId, u32)],
    ) -> Option<Breach> {
        let is_exact = self.is_exact(history, frame.by);
        let by = frame.by.name();
        let last =
            |wanted| values.iter().rev().find(|(id, _)| *id == wanted).map(|(_, value)| *value);
        let announced = &mut self.sides.side_mut(frame.by).announced;
        let now = last(SettingId::NO_RFC7540_PRIORITIES).map(|value| value != 0);
        let first = announced.no_priorities;
        if first.is_none() && is_exact {
            announced.no_priorities = Some(now.unwrap_or(false));
        }
        if announced.connects && last(SettingId::ENABLE_CONNECT_PROTOCOL) == Some(0) {
            announced.connects = false;
            let text = format!("the {by} sets ENABLE_CONNECT_PROTOCOL back from 1 to 0");
            return Breach::of(&rule::EXTENDED_CONNECT_SETTING, text);
        }
        let (first, now) = first.zip(now).filter(|(first, now)| first != now)?;
        let (first, now) = (u8::from(first), u8::from(now));
        let text = format!("the {by} changes NO_RFC7540_PRIORITIES from {first} to {now}");
        Breach::of(&rule::NO_RFC7540_PRIORITIES_VALUE, text)
    }

    /// RFC 9113 section 6.5.3; that nothing else may be acknowledged is everybody's reading of it.
    fn settings_ack(&mut self, desk: &Desk<'_, '_>) -> Option<Breach> {
        let peer = desk.frame.by.other();
        if self.sides.side_mut(peer).announced.acknowledge() {
            return None;
        }
        if std::mem::take(&mut self.spare_ack) || !self.knows_peer(desk.history, desk.frame) {
            return None;
        }
        Breach::of(&rule::SETTINGS_ACK_UNEXPECTED, "SETTINGS ACK without SETTINGS to acknowledge")
    }

    /// SETTINGS of the peer that the sender of this frame has had for long and not acknowledged,
    /// or for which the sender of this GOAWAY waited long enough.
    pub(super) fn overdue_ack(&mut self, history: &History, frame: &Frame<'_>) -> Option<Breach> {
        let peer = frame.by.other();
        let oldest = self.sides.side(peer).announced.pending.first()?;
        let waited = frame.stamp.since(oldest.stamp);
        let has_seen = frame.seen >= oldest.end_offset;
        if waited < OVERDUE || !has_seen || self.sides.side(frame.by).ack_told {
            return None;
        }
        if !self.is_exact(history, frame.by) || !self.is_exact(history, peer) {
            return None;
        }
        let text = format!(
            "{} sent {:.1} s after SETTINGS in packet {} that were never acknowledged",
            frame.type_name(),
            waited.as_secs_f64(),
            oldest.stamp.packet()
        );
        self.sides.side_mut(frame.by).ack_told = true;
        Breach::of(&rule::SETTINGS_ACK_REQUIRED, text)
    }

    /// The finding of a GOAWAY with SETTINGS_TIMEOUT: its receiver left SETTINGS unacknowledged.
    pub(super) fn settings_timeout(&mut self, desk: &Desk<'_, '_>) -> Option<(Stamp, Breach)> {
        let Payload::GoAway { code: ErrorCode::SETTINGS_TIMEOUT, .. } = desk.frame.payload else {
            return None;
        };
        let (by, peer) = (desk.frame.by, desk.frame.by.other());
        let oldest = self.sides.side(by).announced.pending.first()?;
        if !self.knows_peer(desk.history, desk.frame) || self.sides.side(peer).ack_told {
            return None;
        }
        let waited = desk.frame.stamp.since(oldest.stamp);
        let text = format!("SETTINGS were not acknowledged within {:.1} s", waited.as_secs_f64());
        let stamp = oldest.stamp;
        self.sides.side_mut(peer).ack_told = true;
        Some((stamp, Breach { rule: &rule::SETTINGS_ACK_REQUIRED, text }))
    }
}

/// RFC 9113 section 6.5.2, RFC 8441 section 3 and RFC 9218 section 2.1.
fn wrong_value(
    history: &History,
    frame: &Frame<'_>,
    values: &[(SettingId, u32)],
) -> Option<Breach> {
    use crate::vocab::address::Side;
    for &(id, value) in values {
        let rule = match id {
            SettingId::ENABLE_PUSH if value > 1 => &rule::SETTINGS_ENABLE_PUSH_VALUE,
            SettingId::ENABLE_PUSH
                if value == 1 && frame.by == Side::Server && !history.joined_midway =>
            {
                &rule::SETTINGS_SERVER_ENABLE_PUSH
            }
            SettingId::INITIAL_WINDOW_SIZE if i64::from(value) > window::MOST => {
                &rule::SETTINGS_INITIAL_WINDOW_MAX
            }
            SettingId::MAX_FRAME_SIZE if !(FRAME_SIZE_LEAST..=FRAME_SIZE_MAX).contains(&value) => {
                &rule::SETTINGS_MAX_FRAME_RANGE
            }
            SettingId::NO_RFC7540_PRIORITIES if value > 1 => &rule::NO_RFC7540_PRIORITIES_VALUE,
            SettingId::ENABLE_CONNECT_PROTOCOL if value > 1 => &rule::EXTENDED_CONNECT_SETTING,
            _ => continue,
        };
        let by = frame.by.name();
        return Breach::of(rule, format!("the {by} sets {id} to {}", grouped(value.into())));
    }
    None
}
