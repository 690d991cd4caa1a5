//! Requests that did not end well: what the other side of a proxy is searched for.

use crate::vocab::address::Side;
use crate::vocab::header::Name;
use crate::vocab::hop::{Mark, Trouble, Troubled};
use crate::vocab::limits::{Hit, Limits};
use crate::vocab::time::Stamp;

use super::Tracker;
use super::header::{Kept, hash};
use super::history::History;
use super::stream::Stream;

impl History {
    /// Notes a request of the client that did not end well.
    pub(super) fn note_trouble(
        &mut self,
        stream: &Stream,
        at: Option<Stamp>,
        by: Side,
        how: Trouble,
        limits: &Limits,
    ) {
        let (Some(opened), Some(at)) = (stream.opened, at) else { return };
        if stream.opener != Side::Client || !self.is_timed(at) {
            return;
        }
        if self.troubled.len() < limits.troubled {
            let greeting = self.greeting(stream.opener);
            let (stream, mark) = (stream.id, Mark { greeting, ..stream.mark });
            self.troubled.push(Troubled { stream, opened, at, by, how, mark });
        } else {
            self.hit(Hit::Troubled);
        }
    }

    /// What a side's first SETTINGS come to; zero where they are not known.
    fn greeting(&self, side: Side) -> u64 {
        let facts = self.sides.side(side);
        let first = facts.settings.first().filter(|_| facts.preface.is_some());
        let values = first.map(|sent| sent.values.iter());
        values.map_or(0, |values| {
            let octets = values.map(|(id, value)| [u32::from(id.0), *value].map(u32::to_be_bytes));
            hash(&[octets.flatten().flatten().collect::<Vec<u8>>().as_slice()])
        })
    }
}

impl Tracker {
    /// Notes the requests that the connection's end left unanswered.
    pub(super) fn left_unanswered(&mut self, limits: &Limits) {
        let Some((at, by, _)) = self.history.tcp_end() else { return };
        let goaway = self.history.goaways.first().filter(|goaway| goaway.by == by);
        let at = goaway.map_or(at, |goaway| goaway.stamp);
        let mut left: Vec<&Stream> =
            self.open.values().filter(|stream| !stream.answer_ended()).collect();
        left.sort_unstable_by_key(|stream| stream.id);
        for stream in left {
            self.history.note_trouble(stream, Some(at), by, Trouble::Left, limits);
        }
    }
}

impl Kept<'_> {
    /// The status by which an answer says that whoever gave it could not, or gave up.
    pub fn failure(&self) -> Option<Trouble> {
        let status = self.status().filter(|status| *status >= 500).map(Trouble::Status);
        let grpc = self.value(Name::GrpcStatus).and_then(|code| match code {
            b"1" => Some(Trouble::Grpc(1)),
            b"4" => Some(Trouble::Grpc(4)),
            b"13" => Some(Trouble::Grpc(13)),
            b"14" => Some(Trouble::Grpc(14)),
            _ => None,
        });
        status.or(grpc)
    }
}
