//! PUSH_PROMISE (RFC 9113 sections 6.6 and 8.4).

use crate::vocab::address::Side;
use crate::vocab::frame::Payload;
use crate::vocab::rule;

use super::{Breach, Breaches, Desk, Role, Rules, StreamRules};

impl Rules {
    pub(super) fn promise(&mut self, desk: &mut Desk<'_, '_>) -> Breaches {
        let frame = desk.frame;
        if frame.by == Side::Client {
            let text = "PUSH_PROMISE by a client";
            let breach = (!desk.history.joined_midway)
                .then(|| Breach { rule: &rule::PUSH_FROM_CLIENT, text: text.to_owned() });
            self.block_begins(desk, Role::Misplaced, false);
            return breach.into();
        }
        let Payload::PushPromise { promised } = frame.payload else {
            self.block_begins(desk, Role::Misplaced, false);
            return Breaches::default();
        };
        let misplaced = self.unwanted(desk).or_else(|| self.wrong_id(desk, promised));
        let role = if misplaced.is_some() { Role::Misplaced } else { Role::Promise };
        if promised.is_multiple_of(2) && promised > self.sides.second.highest {
            let is_sure = self.is_exact(desk.history, Side::Server);
            self.fresh = StreamRules { is_sure, ..self.newborn() };
            self.untracked |= desk.open.len() >= desk.streams_max;
            self.advance(Side::Server, promised);
        }
        let found = self.block_begins(desk, role, false);
        if misplaced.is_some() { misplaced.into() } else { found }
    }

    /// Whether the client takes pushes, and on this stream.
    fn unwanted(&self, desk: &Desk<'_, '_>) -> Option<Breach> {
        let frame = desk.frame;
        let id = frame.head.stream;
        if !self.is_exact(desk.history, Side::Server) || !self.knows_peer(desk.history, frame) {
            return None;
        }
        if !self.sides.first.announced.pushes() {
            let text = "PUSH_PROMISE after the server acknowledged ENABLE_PUSH 0";
            return Breach::of(&rule::PUSH_DISABLED, text);
        }
        let wrong = match desk.open.get(&id) {
            Some(stream) => stream.opener == Side::Server || stream.ended.second.is_some(),
            // After a reset by the client it may be on its way.
            None => !self.untracked && !desk.resets.contains_key(&id),
        };
        if !wrong || desk.history.resets_beyond > 0 {
            return None;
        }
        let text = format!("PUSH_PROMISE on stream {id}, which the client has not open");
        Breach::of(&rule::PUSH_PARENT_STATE, text)
    }

    fn wrong_id(&self, desk: &Desk<'_, '_>, promised: u32) -> Option<Breach> {
        let is_odd = !promised.is_multiple_of(2) || promised == 0;
        let is_known = self.is_exact(desk.history, Side::Server);
        let is_used = is_known && promised <= self.sides.second.highest;
        if (is_odd && !desk.history.joined_midway) || is_used {
            let text = format!("PUSH_PROMISE of stream {promised}, which is not a new even one");
            return Breach::of(&rule::PUSH_PROMISED_ID, text);
        }
        None
    }
}
