//! Connections that are over, as many as are kept: the untroubled go first, then those whose
//! trouble nobody is blamed for, of each kind the oldest. Who goes is counted.

use std::collections::VecDeque;

use super::Connection;
use crate::board::group::Standing;
use crate::board::{ConnectionRow, Tally};
use crate::vocab::cause::Blame;
use crate::vocab::limits::Limits;

/// Connections within [`Limits::connections`](crate::vocab::limits::Limits::connections), in the
/// order in which they ended, by [`worth`].
#[derive(Debug)]
pub(super) struct Kept {
    by_worth: [VecDeque<Connection>; 3],
    most: usize,
    /// Octets that they take, and may.
    octets: usize,
    most_octets: usize,
    /// What is left of the others.
    gone: Tally,
}

impl Kept {
    pub(super) fn within(limits: &Limits) -> Self {
        Self {
            by_worth: Default::default(),
            most: limits.connections,
            octets: 0,
            most_octets: limits.connection_octets,
            gone: Tally::default(),
        }
    }

    /// Another one; gives those that have to go for it, which are counted.
    pub(super) fn push(&mut self, connection: Connection) -> Vec<Connection> {
        self.octets = self.octets.saturating_add(connection.weight());
        if let Some(kind) = self.by_worth.get_mut(worth(&connection.row)) {
            kind.push_back(connection);
        }
        let mut kept: usize = self.by_worth.iter().map(VecDeque::len).sum();
        let mut gone = Vec::new();
        while kept > self.most || (self.octets > self.most_octets && kept > 1) {
            let least = self.by_worth.iter_mut().find_map(VecDeque::pop_front);
            let Some(least) = least else { break };
            self.octets = self.octets.saturating_sub(least.weight());
            self.gone.add(&least.row);
            gone.push(least);
            kept -= 1;
        }
        gone
    }

    /// Takes in those of another shard, which have their share of the bound.
    pub(super) fn merge(&mut self, other: Self) {
        for (kind, others) in self.by_worth.iter_mut().zip(other.by_worth) {
            kind.extend(others);
        }
        self.octets = self.octets.saturating_add(other.octets);
        self.gone.merge(other.gone);
    }

    /// Those that are kept, and what is left of the others.
    pub(super) fn into_parts(self) -> (Vec<Connection>, Tally) {
        (self.by_worth.into_iter().flatten().collect(), self.gone)
    }
}

/// How much a row would be missed: what nobody could read tells as little as what ended well.
fn worth(row: &ConnectionRow) -> usize {
    let blamed = || row.lead().is_some_and(|verdict| verdict.blame != Blame::None);
    match row.standing() {
        _ if row.is_dark() => 0,
        Standing::Orderly => 0,
        Standing::Trouble if blamed() => 2,
        Standing::Trouble | Standing::Scratched => 1,
    }
}
