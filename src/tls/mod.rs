//! Room 4: TLS records become what the application sent (RFC 8446, RFC 5246), given the keys.
//!
//! Takes [`FlowItem`]s of one flow and a [`KeyLog`], gives [`FlowItem`]s of the plaintext, or the
//! same items where the flow is not TLS. What no tag proves is never handed up. A PROXY protocol
//! header and an HTTP/1.1 CONNECT that stand before TLS are not handed up either.
//!
//! A record's plaintext has the stamp of the packet in which its last octet arrived; offsets count
//! plaintext. A gap tells 0 octets where their number is not known. Keys must be in the log before
//! the packets that need them, unless [`KeyLog::set_growing`] was told that more may come: then a
//! session keeps up to 64 KB a half until they do or the half ends, and [`Session::wake`] opens
//! it. A file can be read twice, for secrets that stand behind their packets; a pipe cannot.
//!
//! Secrets and the keys made of them are wiped when they are let go, except the schedules that
//! `ring` expands from them, which cannot be reached.

mod cipher;
mod connection;
mod detect;
mod direction;
mod find;
mod hello;
mod keylog;
mod ladder;
mod prelude;
mod record;
mod schedule;
mod why;

use crate::vocab::address::{Both, Half};
use crate::vocab::flow::FlowItem;
use crate::vocab::limits::Limits;
use crate::vocab::time::Stamp;
use crate::vocab::tls::TlsFacts;

pub use keylog::KeyLog;

use connection::Connection;
use detect::Opening;
use prelude::Prelude;
use record::Chunk;

/// Whether a flow is TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Too early to tell: what was pushed is held.
    Undecided,
    /// Not TLS: everything has been handed up unchanged, and this session is of no more use.
    Plain,
    /// TLS.
    Tls,
}

/// One flow.
#[derive(Default)]
pub struct Session {
    state: State,
}

enum State {
    Undecided(Option<Box<Held>>),
    Plain,
    Tls(Box<Connection>),
}

impl Default for State {
    fn default() -> Self {
        Self::Undecided(None)
    }
}

/// A flow of which it is not known whether it is TLS.
#[derive(Default)]
struct Held {
    initiator: Option<Half>,
    octets: Both<Vec<u8>>,
    items: Vec<HeldItem>,
    /// Halves that begin with a gap, or in the middle.
    torn: Both<bool>,
    /// Whether octets are missing anywhere.
    gaps: bool,
    /// Octets that stand before TLS.
    before: Both<usize>,
}

enum HeldItem {
    Bytes { half: Half, from: usize, to: usize, stamp: Stamp, offset: u64, seen: u64 },
    Other(Box<FlowItem<'static>>),
}

impl Session {
    /// A flow that has not begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what happened on the flow and hands up what the application sent.
    pub fn push(
        &mut self,
        item: &FlowItem<'_>,
        keys: &KeyLog,
        limits: &Limits,
        deliver: &mut impl FnMut(FlowItem<'_>),
    ) -> Kind {
        match &mut self.state {
            State::Plain => {
                deliver(*item);
                Kind::Plain
            }
            State::Tls(connection) => {
                apply(connection, item, keys, deliver);
                Kind::Tls
            }
            State::Undecided(held) => {
                let kind = match (&held, item) {
                    // By far the most flows: the first octets tell.
                    (None, FlowItem::Bytes { .. }) | (Some(_), _) => {
                        held.get_or_insert_default().judge(item, limits)
                    }
                    (None, FlowItem::Opened { initiator, .. }) => {
                        let initiator = *initiator;
                        *held = Some(Box::new(Held { initiator, ..Held::default() }));
                        deliver(*item);
                        return Kind::Undecided;
                    }
                    (None, _) => held.get_or_insert_default().judge(item, limits),
                };
                self.decide(kind, item, keys, limits, deliver);
                kind
            }
        }
    }

    /// Opens what has waited for keys, where the log has them now; for logs that grow. `last`:
    /// what they do not open waits no longer.
    pub fn wake(&mut self, keys: &KeyLog, last: bool, deliver: &mut impl FnMut(FlowItem<'_>)) {
        if let State::Tls(connection) = &mut self.state {
            connection.wake(keys, last, deliver);
        }
    }

    /// Whether records wait for a hello or for keys.
    pub fn is_waiting(&self) -> bool {
        matches!(&self.state, State::Tls(connection) if connection.is_waiting())
    }

    /// Approximate octets in memory beside its own.
    pub fn weight(&self) -> usize {
        match &self.state {
            State::Undecided(None) | State::Plain => 0,
            State::Undecided(Some(held)) => {
                size_of::<Held>()
                    + held.octets.first.capacity()
                    + held.octets.second.capacity()
                    + held.items.capacity() * size_of::<HeldItem>()
            }
            State::Tls(connection) => size_of::<Connection>() + connection.weight(),
        }
    }

    /// What is known of the connection; `None` unless it is TLS.
    pub fn facts(&self) -> Option<TlsFacts> {
        let State::Tls(connection) = &self.state else { return None };
        let mut facts = connection.facts.clone();
        facts.sides = connection.sides;
        facts.decrypted = connection.decrypted;
        let opened = |half| connection.halves.half(half).is_proved();
        facts.opened = Both { first: opened(Half::A), second: opened(Half::B) };
        let sizes = |half| connection.halves.half(half).sizes.iter().copied().collect();
        facts.sizes = Both { first: sizes(Half::A), second: sizes(Half::B) };
        if facts.client == Some(Half::B) {
            facts.swap();
        }
        facts.why_not = connection.why_not().map(why::Why::text);
        Some(facts)
    }

    fn decide(
        &mut self,
        kind: Kind,
        item: &FlowItem<'_>,
        keys: &KeyLog,
        limits: &Limits,
        deliver: &mut impl FnMut(FlowItem<'_>),
    ) {
        let State::Undecided(held) = &mut self.state else { return };
        let mut held = held.take().unwrap_or_default();
        match kind {
            Kind::Undecided => {
                held.hold(item, deliver);
                self.state = State::Undecided(Some(held));
            }
            Kind::Plain => {
                held.replay(deliver);
                deliver(*item);
                self.state = State::Plain;
            }
            Kind::Tls => {
                let mut connection = Box::new(held.connection(item, limits));
                held.replay(&mut |item| apply(&mut connection, &item, keys, deliver));
                apply(&mut connection, item, keys, deliver);
                self.state = State::Tls(connection);
            }
        }
    }
}

fn apply(
    connection: &mut Connection,
    item: &FlowItem<'_>,
    keys: &KeyLog,
    deliver: &mut impl FnMut(FlowItem<'_>),
) {
    match *item {
        FlowItem::Bytes { stamp, half, offset, seen, data } => {
            connection.bytes(half, Chunk { stamp, offset, seen, data }, keys, deliver);
            return;
        }
        FlowItem::Gap { stamp, half, bytes, .. } => {
            connection.gap(half, stamp, bytes);
            return;
        }
        FlowItem::Fin { stamp, by } => {
            connection.end(by, keys, deliver);
            connection.close(by, stamp);
        }
        FlowItem::Rst { stamp, .. } | FlowItem::Closed { stamp, .. } => {
            for half in [Half::A, Half::B] {
                connection.end(half, keys, deliver);
                connection.close(half, stamp);
            }
        }
        FlowItem::Opened { .. }
        | FlowItem::Synchronized { .. }
        | FlowItem::Accepted { .. }
        | FlowItem::Differs { .. } => {}
    }
    deliver(*item);
}

impl Held {
    /// Whether the flow is TLS, as far as all that is held and `item` tell.
    fn judge(&mut self, item: &FlowItem<'_>, limits: &Limits) -> Kind {
        match *item {
            FlowItem::Bytes { half, data, .. } => self.judge_bytes(half, data, limits),
            FlowItem::Closed { .. } | FlowItem::Rst { .. } => self.judge_end(),
            FlowItem::Gap { .. } | FlowItem::Fin { .. } | FlowItem::Differs { .. } => {
                Kind::Undecided
            }
            FlowItem::Opened { .. } | FlowItem::Synchronized { .. } | FlowItem::Accepted { .. } => {
                Kind::Undecided
            }
        }
    }

    fn judge_bytes(&mut self, half: Half, data: &[u8], limits: &Limits) -> Kind {
        let held = self.octets.half(half).len() + data.len();
        match self.prelude(half, data, limits) {
            Prelude::None => {}
            Prelude::Octets(asked, answered) => {
                let client = self.speaks_first(half);
                *self.before.half_mut(client) = asked;
                *self.before.half_mut(client.other()) = answered;
            }
            Prelude::Partial if held < limits.tls_prelude_bytes => return Kind::Undecided,
            Prelude::Partial => return Kind::Plain,
        }
        let before = self.octets.half(half);
        if !*self.torn.half(half) {
            match detect::opening(&self.first(half, data)) {
                Opening::ClientHello => return Kind::Tls,
                Opening::Undecided => return Kind::Undecided,
                // The hello it answers may come a little later, or never.
                Opening::Answer if self.initiator == Some(half) => return Kind::Plain,
                Opening::Answer if held < limits.tls_detect_bytes => return Kind::Undecided,
                Opening::Answer => return Kind::Tls,
                Opening::Other if self.began(half) => return Kind::Plain,
                Opening::Other => {}
            }
        }
        if detect::is_records(data) {
            return Kind::Tls;
        }
        if before.is_empty() && detect::is_clear(data) {
            return Kind::Plain;
        }
        if held < limits.tls_detect_bytes { Kind::Undecided } else { self.judge_end() }
    }

    /// What stands before TLS, `data` being the next of `half`.
    fn prelude(&self, half: Half, data: &[u8], limits: &Limits) -> Prelude {
        let client = self.speaks_first(half);
        let first = |of: Half| {
            let next = if of == half { data } else { &[] };
            self.octets.half(of).iter().chain(next)
        };
        // Nearly all flows: told by one octet.
        let likely = matches!(first(client).next(), Some(b'P' | b'\r' | b'C'));
        if !likely || self.gaps || *self.torn.half(client) {
            return Prelude::None;
        }
        let all = |of: Half| first(of).take(limits.tls_prelude_bytes).copied().collect::<Vec<u8>>();
        prelude::measure(&all(client), &all(client.other()))
    }

    /// Whoever connected, as far as is known when `half` speaks.
    fn speaks_first(&self, half: Half) -> Half {
        let spoke = |of: Half| !self.octets.half(of).is_empty();
        let first = || if spoke(half.other()) && !spoke(half) { half.other() } else { half };
        self.initiator.unwrap_or_else(first)
    }

    /// The first octets of a half, `data` being the next of it.
    fn first(&self, half: Half, data: &[u8]) -> Vec<u8> {
        let octets = self.octets.half(half).iter().chain(data);
        octets.skip(*self.before.half(half)).take(HELD_FIRST).copied().collect()
    }

    /// Whether the beginning of a half was captured: then its first octets settle it.
    fn began(&self, half: Half) -> bool {
        self.initiator.is_some() && !*self.torn.half(half)
    }

    fn judge_end(&self) -> Kind {
        let is_tls = [Half::A, Half::B].iter().any(|half| {
            let octets = self.octets.half(*half);
            let answer = !*self.torn.half(*half) && detect::opening(octets) == Opening::Answer;
            answer || detect::has_records(octets)
        });
        if is_tls { Kind::Tls } else { Kind::Plain }
    }

    fn hold(&mut self, item: &FlowItem<'_>, deliver: &mut impl FnMut(FlowItem<'_>)) {
        match *item {
            FlowItem::Bytes { stamp, half, offset, seen, data } => {
                let octets = self.octets.half_mut(half);
                let from = octets.len();
                octets.extend_from_slice(data);
                let to = octets.len();
                self.items.push(HeldItem::Bytes { half, from, to, stamp, offset, seen });
            }
            FlowItem::Opened { .. }
            | FlowItem::Synchronized { .. }
            | FlowItem::Accepted { .. }
            | FlowItem::Differs { .. } => {
                deliver(*item);
            }
            FlowItem::Gap { stamp, half, offset, bytes } => {
                *self.torn.half_mut(half) |= self.octets.half(half).is_empty();
                self.gaps = true;
                let item = FlowItem::Gap { stamp, half, offset, bytes };
                self.items.push(HeldItem::Other(Box::new(item)));
            }
            FlowItem::Fin { stamp, by } => {
                self.items.push(HeldItem::Other(Box::new(FlowItem::Fin { stamp, by })));
            }
            FlowItem::Rst { stamp, by, refused, bare } => {
                let item = FlowItem::Rst { stamp, by, refused, bare };
                self.items.push(HeldItem::Other(Box::new(item)));
            }
            FlowItem::Closed { stamp, how, totals } => {
                let item = FlowItem::Closed { stamp, how, totals };
                self.items.push(HeldItem::Other(Box::new(item)));
            }
        }
    }

    fn replay(&self, deliver: &mut impl FnMut(FlowItem<'_>)) {
        for item in &self.items {
            match item {
                &HeldItem::Bytes { half, from, to, stamp, offset, seen } => {
                    let data = self.octets.half(half).get(from..to).unwrap_or_default();
                    deliver(FlowItem::Bytes { stamp, half, offset, seen, data });
                }
                HeldItem::Other(item) => deliver(**item),
            }
        }
    }

    /// What is known of the connection when it was found to be TLS at `item`.
    fn connection(&self, item: &FlowItem<'_>, limits: &Limits) -> Connection {
        let first_octets = |half: Half| match *item {
            FlowItem::Bytes { half: of, data, .. } if of == half => self.first(half, data),
            _ => self.first(half, &[]),
        };
        // Without its SYN a half begins with its first octets only if they say so.
        let midway = |half: Half| {
            let octets = first_octets(half);
            let octets = octets.as_slice();
            let torn = *self.torn.half(half);
            torn || (self.initiator.is_none() && !octets.is_empty() && !begins(octets))
        };
        let midway = Both { first: midway(Half::A), second: midway(Half::B) };
        let hello = [Half::A, Half::B].into_iter().find(|half| {
            !*midway.half(*half) && detect::opening(&first_octets(*half)) == Opening::ClientHello
        });
        let client = hello.or(self.initiator);
        let mut connection = Connection::new(client, self.completed(midway, hello), limits);
        for half in [Half::A, Half::B] {
            connection.halves.half_mut(half).before = *self.before.half(half);
        }
        connection
    }

    /// Where neither SYN nor hello were captured, a half that has not been seen yet has begun
    /// before the capture as well.
    fn completed(&self, midway: Both<bool>, hello: Option<Half>) -> Both<bool> {
        let any = midway.first || midway.second;
        if self.initiator.is_none() && hello.is_none() && any {
            return Both { first: true, second: true };
        }
        midway
    }
}

/// Octets that tell what a half begins with.
const HELD_FIRST: usize = 8;

/// Whether these octets are a half's beginning.
fn begins(octets: &[u8]) -> bool {
    matches!(detect::opening(octets), Opening::ClientHello | Opening::Answer)
}

#[cfg(test)]
mod tests;
