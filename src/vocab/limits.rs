//! Every bound of the program, with its reason. A bound that was reached is always told.

use super::pack::packs;

/// Upper bounds on everything that input can grow.
#[derive(Clone, Debug)]
pub struct Limits {
    /// TCP flows followed at once; the quietest goes first.
    pub flows: usize,
    /// Flows and HTTP/2 connections whose state is ready for their next packet, some 16 MB, or 16
    /// times as many where more are busy at once; that of the others, the quietest, is packed.
    pub awake: usize,
    /// Flows that are not known to be HTTP/2, closed ones that are remembered too: some
    /// 300 MB.
    pub strangers: usize,
    /// Flows that are over and were not HTTP/2 of which more than their number is kept: some
    /// 100 MB.
    pub other_flows: usize,
    /// HTTP/2 connections that are over of which more than their number is kept; the untroubled go
    /// first: some 700 MB while they are weighed against each other.
    pub connections: usize,
    /// Octets of their rows, about: many that are full of trouble are more than many that are not.
    pub connection_octets: usize,
    /// Servers whose answer times are kept: some 10 MB, and once in each shard.
    pub servers: usize,
    /// Octets that may wait for a missing segment, per half: four full 64 KB windows.
    pub early_bytes_per_half: usize,
    /// The same over all flows.
    pub early_bytes: usize,
    /// Octets of packets that wait to be put in order of time, in captures that are out of order.
    pub sorting_bytes: usize,
    /// Packets at the beginning of each of several captures that are looked for in the others, to
    /// see how their clocks differ: enough for many connections, and read in no time.
    pub clock_packets: usize,
    /// Captures that are compared so; more are one that was cut into pieces.
    pub clocks_compared: usize,
    /// Segments that may wait for a missing one, per half.
    pub early_segments_per_half: usize,
    /// Octets of packets in a pipe that are read before the first is looked at, where nobody waits
    /// for it: secrets may stand behind the packets they open, and packets out of order of time.
    pub ahead_bytes: usize,
    /// Packets of a flow that may pass after the receiver acknowledged a missing segment before
    /// it counts as lost: captures deliver both directions slightly out of order.
    pub gap_patience_packets: u32,
    /// Octets of one header block (HEADERS with CONTINUATIONs). Servers stop at 16 to 256 KiB.
    pub header_block: usize,
    /// Octets of one decoded header list that are kept; what follows is counted.
    pub header_list: usize,
    /// Octets of GOAWAY debug data that are kept.
    pub debug_data: usize,
    /// Octets inspected per half to tell whether a flow is HTTP/2: two heads of the longest frames
    /// that every endpoint takes lie within 33 KB, a request head with large cookies within 64.
    pub detect_bytes: usize,
    /// Octets held so over all flows: beyond it each half has
    /// [`detect_bytes_crowded`](Limits::detect_bytes_crowded).
    pub detect_bytes_of_all: usize,
    /// Octets per half that a flow may hold in any case until it is known what it is.
    pub detect_bytes_crowded: usize,
    /// Octets of a half that are searched for frames before a flow joined midway counts as
    /// something else: sixty of the longest frames that every endpoint takes.
    pub join_bytes: usize,
    /// Octets of HTTP/1.1 messages that may stand before an Upgrade to HTTP/2.
    pub upgrade_bytes: usize,
    /// Streams followed open at once, per connection.
    pub open_streams: usize,
    /// Resets remembered per connection.
    pub resets: usize,
    /// Requests of a connection that did not end well and are looked for on the other side of a
    /// proxy: as many as resets.
    pub troubled: usize,
    /// The same over all connections: some 25 MB.
    pub troubled_of_all: usize,
    /// GOAWAYs remembered per connection.
    pub goaways: usize,
    /// Pings remembered per connection.
    pub pings: usize,
    /// Places of missing octets told per half; a snap length makes one of each packet.
    pub missing_places: usize,
    /// Differing copies told per half.
    pub differing_copies: usize,
    /// Flows whose latest octets are remembered, 4 KiB of each half at most, to compare copies
    /// with: 32 MiB in all.
    pub remembered_flows: usize,
    /// Rule violations told per connection.
    pub findings: usize,
    /// Faults of this program that are told one by one; there should be none.
    pub faults: usize,
    /// IP datagrams waiting for fragments.
    pub fragmented_datagrams: usize,
    /// Octets of one reassembled IP datagram.
    pub datagram_bytes: usize,
    /// Tunnel headers removed from one packet.
    pub tunnel_depth: usize,
    /// Stretches of time in which packets were dropped, told apart; of more the oldest are taken
    /// together. A busy hour makes one of each second.
    pub drop_stretches: usize,
    /// Octets of frames that the detail of one connection keeps for a screen: about a million
    /// DATA frames, or a hundred thousand header lists.
    pub detail_bytes: usize,
    /// Streams that the detail of one connection keeps.
    pub detail_streams: usize,
    /// Connections whose TLS secrets are kept: some 100 MB.
    pub key_log_connections: usize,
    /// Secrets kept of one connection and label. Programs that share a log, or one that writes
    /// its line twice, give two.
    pub key_log_secrets: usize,
    /// Octets read of key logs: as many lines as [`Limits::key_log_connections`] may have.
    pub key_log_bytes: usize,
    /// Octets of a half that are held until it is known whether they are TLS: two whole records.
    pub tls_detect_bytes: usize,
    /// Octets of a half in which a PROXY header or a CONNECT before TLS is looked for: header
    /// fields of proxies stay below 8 KB.
    pub tls_prelude_bytes: usize,
    /// Octets of protected records of a half that wait for a hello or for keys: four whole ones,
    /// or what a client sends in the moment between a handshake and its line in the key log.
    pub tls_waiting_bytes: usize,
    /// Connections whose protected records wait for keys at once, the longest waiting given up
    /// first: 128 MB in all.
    pub tls_waiting_flows: usize,
    /// Octets of 0-RTT data that wait for the server's answer. Servers take 16 KB by default.
    pub tls_early_bytes: usize,
    /// Ends of records of a half remembered until the other side has acknowledged them: as many
    /// as the smallest records make of a 64 KB window, nearly.
    pub tls_record_ends: usize,
    /// Octets of one handshake message: hellos with post-quantum key shares are below 3 KB.
    pub tls_message_bytes: usize,
    /// Octets that are searched for a record's boundary at once: more than two records.
    pub tls_search_bytes: usize,
    /// Connections of a key log whose keys are tried where no hello tells which one it is: each
    /// costs an attempt a sequence number.
    pub tls_keys_tried: usize,
    /// Records that may be missing between two: so many sequence numbers are tried.
    pub tls_records_skipped: u64,
    /// Octets of trial decryption that a connection half may cost: some 20 ms. Records that are
    /// opened earn some of it back.
    pub tls_trial_bytes: u64,
    /// Records in a row that may fail before keys count as wrong.
    pub tls_failures: u64,
    /// Latest encrypted records of a half whose size and time are remembered where there are no
    /// keys: some 1 KB.
    pub tls_sizes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flows: 1 << 20,
            awake: 1 << 11,
            strangers: 1 << 17,
            other_flows: 1 << 17,
            connections: 1 << 17,
            connection_octets: 1 << 30,
            servers: 1 << 13,
            early_bytes_per_half: 256 * 1024,
            early_bytes: 64 * 1024 * 1024,
            sorting_bytes: 128 * 1024 * 1024,
            clock_packets: 50_000,
            clocks_compared: 8,
            early_segments_per_half: 4096,
            ahead_bytes: 64 * 1024 * 1024,
            gap_patience_packets: 64,
            header_block: 256 * 1024,
            header_list: 256 * 1024,
            debug_data: 4096,
            detect_bytes: 64 * 1024,
            detect_bytes_of_all: 256 * 1024 * 1024,
            detect_bytes_crowded: 16 * 1024,
            join_bytes: 1 << 20,
            upgrade_bytes: 1 << 20,
            open_streams: 4096,
            resets: 4096,
            troubled: 4096,
            troubled_of_all: 1 << 18,
            goaways: 64,
            pings: 512,
            missing_places: 32,
            differing_copies: 16,
            remembered_flows: 4096,
            findings: 256,
            faults: 64,
            fragmented_datagrams: 1024,
            datagram_bytes: 65_535,
            tunnel_depth: 8,
            drop_stretches: 4096,
            detail_bytes: 128 * 1024 * 1024,
            detail_streams: 1 << 18,
            key_log_connections: 1 << 18,
            key_log_secrets: 4,
            key_log_bytes: 256 * 1024 * 1024,
            tls_detect_bytes: 36 * 1024,
            tls_prelude_bytes: 16 * 1024,
            tls_waiting_bytes: 64 * 1024,
            tls_waiting_flows: 1024,
            tls_early_bytes: 256 * 1024,
            tls_record_ends: 1024,
            tls_message_bytes: 64 * 1024,
            tls_search_bytes: 48 * 1024,
            tls_keys_tried: 64,
            tls_records_skipped: 4096,
            tls_trial_bytes: 32 << 20,
            tls_failures: 256,
            tls_sizes: 32,
        }
    }
}

impl Limits {
    /// The part of one of `shards` shards: what all flows share is divided, so that the bounds
    /// hold over all of them.
    pub fn shared_by(&self, shards: usize) -> Self {
        let part = |bound: usize| bound.div_ceil(shards.max(1));
        Self {
            flows: part(self.flows),
            awake: part(self.awake),
            strangers: part(self.strangers),
            other_flows: part(self.other_flows),
            connections: part(self.connections),
            connection_octets: part(self.connection_octets),
            early_bytes: part(self.early_bytes),
            detect_bytes_of_all: part(self.detect_bytes_of_all),
            tls_waiting_flows: part(self.tls_waiting_flows),
            troubled_of_all: part(self.troubled_of_all),
            ..self.clone()
        }
    }
}

impl Limits {
    /// The same where so many octets are to be enough, about: what all flows share takes its part
    /// of them.
    pub fn in_memory(&self, octets: usize) -> Self {
        // Whoever gives next to nothing gets a little more than that.
        let part =
            |bound: usize, share: usize, each: usize| bound.min((octets / share / each).max(8));
        Self {
            flows: part(self.flows, 1, 8 * 1024),
            strangers: part(self.strangers, 4, 3 * 1024),
            early_bytes: part(self.early_bytes, 16, 1),
            detect_bytes_of_all: part(self.detect_bytes_of_all, 16, 1),
            troubled_of_all: part(self.troubled_of_all, 32, 128),
            remembered_flows: part(self.remembered_flows, 32, 8 * 1024),
            fragmented_datagrams: part(self.fragmented_datagrams, 32, self.datagram_bytes),
            key_log_connections: part(self.key_log_connections, 4, 512),
            tls_waiting_flows: part(self.tls_waiting_flows, 16, 2 * self.tls_waiting_bytes),
            ..self.clone()
        }
    }
}

/// A bound that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Hit {
    /// [`Limits::flows`] or [`Limits::strangers`].
    Flows,
    /// [`Limits::other_flows`].
    OtherFlows,
    /// [`Limits::connections`].
    Connections,
    /// [`Limits::servers`].
    Servers,
    /// [`Limits::early_bytes`] or one of its kin.
    EarlyBytes,
    /// [`Limits::header_block`].
    HeaderBlock,
    /// [`Limits::header_list`].
    HeaderList,
    /// [`Limits::debug_data`].
    DebugData,
    /// [`Limits::open_streams`].
    OpenStreams,
    /// [`Limits::resets`].
    Resets,
    /// [`Limits::troubled`] or [`Limits::troubled_of_all`].
    Troubled,
    /// [`Limits::goaways`].
    Goaways,
    /// [`Limits::pings`].
    Pings,
    /// [`Limits::findings`].
    Findings,
    /// [`Limits::faults`].
    Faults,
    /// [`Limits::fragmented_datagrams`].
    Fragments,
    /// [`Limits::key_log_connections`] or one of its kin.
    KeyLog,
    /// [`Limits::tls_waiting_flows`].
    TlsWaiting,
}

packs!(enum Hit {
    0 => Flows, 1 => OtherFlows, 2 => EarlyBytes, 3 => HeaderBlock, 4 => HeaderList,
    5 => DebugData, 6 => OpenStreams, 7 => Resets, 8 => Troubled, 9 => Goaways, 10 => Pings,
    11 => Findings, 12 => Faults, 13 => Fragments, 14 => KeyLog,
    15 => Connections, 16 => Servers, else TlsWaiting
});

impl Hit {
    /// Every one.
    pub const ALL: [Self; 18] = [
        Self::Flows,
        Self::OtherFlows,
        Self::Connections,
        Self::Servers,
        Self::EarlyBytes,
        Self::HeaderBlock,
        Self::HeaderList,
        Self::DebugData,
        Self::OpenStreams,
        Self::Resets,
        Self::Troubled,
        Self::Goaways,
        Self::Pings,
        Self::Findings,
        Self::Faults,
        Self::Fragments,
        Self::KeyLog,
        Self::TlsWaiting,
    ];
}
