//! Endings in whose time packets were dropped: less sure, before their neighbours are asked and
//! after.

use std::sync::Arc;

use super::Connection;
use crate::board::ConnectionRow;
use crate::cause::dropped;
use crate::vocab::drops::Drops;
use crate::vocab::verdict::Verdict;

/// Makes a connection less sure where packets were dropped while it ended.
pub(super) fn before(of: &mut Connection, drops: &Drops) {
    if drops.is_empty() {
        return;
    }
    let row = of.row.as_ref();
    let goaways = row.goaways.iter().map(|goaway| &goaway.verdict);
    let each = goaways.chain(&row.end_verdict).map(|of| dropped::meanwhile(of, drops));
    let packets = each.max().unwrap_or(0);
    if packets == 0 {
        return;
    }
    let row = Arc::make_mut(&mut of.row);
    row.dropped_meanwhile = packets;
    each_verdict(row, dropped::admit);
    of.endings.iter_mut().for_each(|ending| ending.incomplete = true);
}

/// Others cannot make sure what rests on packets that may be gone.
pub(super) fn after(connections: &mut [Arc<ConnectionRow>]) {
    for row in connections.iter_mut().filter(|row| row.dropped_meanwhile > 0) {
        let row = Arc::make_mut(row);
        let packets = row.dropped_meanwhile;
        each_verdict(row, |verdict, announced| {
            dropped::admit(verdict, announced);
            dropped::tell(verdict, packets);
        });
    }
}

/// Calls `with` for each verdict of a row, and whether a GOAWAY announced that ending.
fn each_verdict(row: &mut ConnectionRow, with: impl Fn(&mut Verdict, bool)) {
    row.goaways.iter_mut().for_each(|goaway| with(&mut goaway.verdict, true));
    row.end_verdict.iter_mut().for_each(|verdict| with(verdict, false));
}
