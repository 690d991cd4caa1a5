//! What was captured and not yet analyzed: bounded, so that a slow reader costs packets that are
//! counted, never memory, and never holds up who captures.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::vocab::drops::{Drops, Stretch};
use crate::vocab::limits::Limits;
use crate::vocab::packet::{LinkType, Packet};
use crate::vocab::time::{Stamp, Timestamp};
use crate::vocab::tls::KeyLines;

/// Packets in one piece of memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    octets: Vec<u8>,
    records: Vec<Record>,
    /// Secrets that stand in a pipe among its packets.
    secrets: Vec<KeyLines>,
    /// Octets that those take.
    secret_octets: usize,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    at: Timestamp,
    link: LinkType,
    wire_length: u32,
    length: u32,
    fcs_length: u8,
    source: u16,
}

impl Batch {
    /// Packets in order with the number of their source, counted from `first`.
    pub(super) fn packets(&self, first: u64) -> impl Iterator<Item = (u16, Packet<'_>)> {
        let mut start = 0_usize;
        (first..).zip(&self.records).map(move |(number, record)| {
            let end = start.saturating_add(record.length as usize);
            let data = self.octets.get(start..end).unwrap_or_default();
            start = end;
            let packet = Packet {
                stamp: Stamp::new(0, number, record.at),
                link: record.link,
                data,
                wire_length: record.wire_length,
                fcs_length: record.fcs_length,
            };
            (record.source, packet)
        })
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Octets that it holds.
    pub(super) fn weight(&self) -> usize {
        self.octets.len() + self.records.len() * size_of::<Record>() + self.secret_octets
    }

    /// Keeps the first `packets` only.
    pub(super) fn truncate(&mut self, packets: usize) {
        self.records.truncate(packets);
    }

    /// The secrets among its packets.
    pub(super) fn take_secrets(&mut self) -> Vec<KeyLines> {
        self.secret_octets = 0;
        std::mem::take(&mut self.secrets)
    }

    pub(super) fn clear(&mut self) {
        self.secrets.clear();
        self.secret_octets = 0;
        self.octets.clear();
        self.records.clear();
    }

    /// Takes one more packet of a source.
    pub(super) fn add(&mut self, source: u16, packet: &Packet<'_>) {
        self.octets.extend_from_slice(packet.data);
        self.records.push(Record {
            at: packet.stamp.at,
            link: packet.link,
            wire_length: packet.wire_length,
            length: packet.data.len() as u32,
            fcs_length: packet.fcs_length,
            source,
        });
    }
}

/// The queue.
pub(super) struct Queue {
    inner: Mutex<Inner>,
    /// There is enough to work on, or nothing more will come.
    filled: Condvar,
    /// There is room again.
    emptied: Condvar,
    /// Octets that may wait, with what is known of each packet.
    most: usize,
}

#[derive(Default)]
struct Inner {
    batch: Batch,
    dropped: u64,
    /// When packets were dropped, here and before, since it was last asked.
    drops: Drops,
    /// Sources that still give packets.
    sources: usize,
}

/// What [`Queue::take`] gives.
pub(super) struct Taken {
    /// What there is.
    pub(super) batch: Batch,
    /// Packets that were dropped here until now.
    pub(super) dropped: u64,
    /// When packets were dropped, here and before, since the last call.
    pub(super) drops: Drops,
    /// Whether any source is left.
    pub(super) open: bool,
}

/// The queue while one source puts packets in.
pub(super) struct Door<'a> {
    inner: MutexGuard<'a, Inner>,
    queue: &'a Queue,
}

impl Queue {
    pub(super) fn new(most: usize, sources: usize) -> Self {
        let inner = Inner { sources, ..Inner::default() };
        Self { inner: Mutex::new(inner), filled: Condvar::new(), emptied: Condvar::new(), most }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For a source that must not wait: what does not fit is dropped and counted.
    pub(super) fn door(&self) -> Door<'_> {
        Door { inner: self.lock(), queue: self }
    }

    /// For a source that can wait, as a pipe can: puts one packet in when there is room.
    pub(super) fn put(&self, source: u16, packet: &Packet<'_>, stop: impl Fn() -> bool) {
        self.add(stop, |batch| batch.add(source, packet));
    }

    /// The same with secrets for the packets before and behind them.
    pub(super) fn learn(&self, lines: KeyLines, stop: impl Fn() -> bool) {
        self.add(stop, |batch| {
            batch.secret_octets += lines.len() + size_of::<KeyLines>();
            batch.secrets.push(lines);
        });
    }

    fn add(&self, stop: impl Fn() -> bool, add: impl FnOnce(&mut Batch)) {
        let mut inner = self.lock();
        while inner.batch.weight() >= self.most && !stop() {
            let waited = self.emptied.wait_timeout(inner, PATIENCE);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        add(&mut inner.batch);
        if inner.batch.weight() >= WORTH_WAKING {
            self.filled.notify_one();
        }
    }

    /// A source gives no more packets.
    pub(super) fn close_source(&self) {
        let mut inner = self.lock();
        inner.sources = inner.sources.saturating_sub(1);
        self.filled.notify_one();
    }

    /// Waits until every source has ended, and thereby counted what it has, but not for long: a
    /// pipe may be silent for ever.
    pub(super) fn wait_for_sources(&self) {
        let open = |inner: &mut Inner| inner.sources > 0;
        let _ = self.filled.wait_timeout_while(self.lock(), LAST_WORDS, open);
    }

    /// Takes what there is, after a short wait for more; leaves `spare` in its place.
    pub(super) fn take(&self, spare: Batch) -> Taken {
        let inner = self.lock();
        let waited = self.filled.wait_timeout_while(inner, PATIENCE, |inner| {
            inner.batch.weight() < WORTH_WAKING && inner.sources > 0
        });
        let mut inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        let batch = std::mem::replace(&mut inner.batch, spare);
        self.emptied.notify_all();
        let drops = std::mem::take(&mut inner.drops);
        Taken { batch, dropped: inner.dropped, drops, open: inner.sources > 0 }
    }
}

impl Door<'_> {
    /// Tells of packets that were dropped before they came here.
    pub(super) fn lost(&mut self, stretch: Stretch) {
        self.inner.drops.note(stretch, Limits::default().drop_stretches);
    }

    /// Puts one packet in, or drops it.
    pub(super) fn put(&mut self, source: u16, packet: &Packet<'_>) {
        if self.inner.batch.weight() >= self.queue.most {
            self.inner.dropped += 1;
            let (from, to) = (packet.stamp.at, packet.stamp.at);
            self.lost(Stretch { from, to, dropped: 1, seen: 0 });
            return;
        }
        self.inner.batch.add(source, packet);
    }
}

impl Drop for Door<'_> {
    fn drop(&mut self) {
        if self.inner.batch.weight() >= WORTH_WAKING {
            self.queue.filled.notify_one();
        }
    }
}

/// Longest wait of either side for the other: how late a packet may be analyzed for it.
const PATIENCE: Duration = Duration::from_millis(20);
/// Longest wait for sources that were told to end: they look ten times a second.
const LAST_WORDS: Duration = Duration::from_millis(300);
/// Octets for which the analysis is woken early.
const WORTH_WAKING: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(data: &[u8]) -> Packet<'_> {
        Packet {
            stamp: Stamp::new(0, 0, Timestamp(7)),
            link: LinkType::ETHERNET,
            data,
            wire_length: data.len() as u32,
            fcs_length: 0,
        }
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let queue = Queue::new(1_000, 1);
        let data = [7; 400];
        for _ in 0..5 {
            queue.door().put(0, &packet(&data));
        }
        let Taken { batch, dropped, drops, open } = queue.take(Batch::default());
        assert_eq!((batch.len(), dropped, open), (3, 2, true));
        assert_eq!(drops.between(Timestamp(7), Timestamp(7)), 2);
        let numbers: Vec<u64> = batch.packets(10).map(|(_, p)| p.stamp.packet()).collect();
        assert_eq!(numbers, [10, 11, 12]);
        assert!(batch.packets(0).all(|(_, packet)| packet.data == data));
        queue.door().put(0, &packet(&data));
        queue.close_source();
        let Taken { batch, dropped, drops, open } = queue.take(batch);
        assert_eq!((batch.len(), dropped, open), (1, 2, false));
        assert!(drops.is_empty(), "told once");
    }

    #[test]
    fn secrets_wait_for_room_as_packets_do() {
        let queue = Queue::new(1_000, 1);
        let lines = KeyLines::from(&[b'x'; 600][..]);
        std::thread::scope(|scope| {
            let (queue, lines) = (&queue, &lines);
            let source = scope.spawn(move || {
                (0..9).for_each(|_| queue.learn(lines.clone(), || false));
                queue.close_source();
            });
            let (mut taken, mut spare) = (0, Batch::default());
            loop {
                std::thread::sleep(Duration::from_millis(5));
                let mut batch = queue.take(std::mem::take(&mut spare)).batch;
                let secrets = batch.take_secrets();
                assert!(secrets.len() <= 2, "{} wait", secrets.len());
                taken += secrets.len();
                if taken == 9 {
                    break;
                }
            }
            source.join().unwrap();
        });
    }

    #[test]
    fn a_source_that_can_wait_loses_nothing() {
        let queue = Queue::new(1_000, 1);
        let mut seen = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..50 {
                    queue.put(0, &packet(&[7; 400]), || false);
                }
                queue.close_source();
            });
            let mut spare = Batch::default();
            loop {
                let Taken { mut batch, dropped, open, .. } = queue.take(spare);
                assert_eq!(dropped, 0);
                seen += batch.len();
                let empty = batch.len() == 0;
                batch.clear();
                spare = batch;
                if empty && !open {
                    break;
                }
            }
        });
        assert_eq!(seen, 50);
    }
}
