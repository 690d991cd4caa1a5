//! A connection on which nothing happens, in few octets.

use super::Tracker;
use super::history::{
    Burst, Goaway, History, Late, Loss, Moment, OpenStream, Ping, Reset, SettingsSent, SideFacts,
    Still,
};
use super::stream::Stream;
use crate::vocab::pack::packs;

/// Octets of history and of open streams that may rest: what would take long to read again stays
/// as it is.
const RESTING: usize = 16 * 1024;

impl Tracker {
    /// Whether all that it remembers can be packed.
    pub fn may_rest(&self) -> bool {
        !self.keep_rows && self.open.weight() + self.history.weight() <= RESTING
    }
}

packs!(struct Tracker {
    history, client, open, reset_places, last_answered, late, rates, messages_since_ping, open_of,
    asked, skipped, first_opened, answered, block_of, unfinished_block, rules; resting keep_rows
});

packs!(struct History {
    flow, ends, transport, joined_midway, client_speaks_http2, foreign, server_in_http1, first,
    last, syn, accepted, fin, rst, closed, close_notify, sealed, closing, end, tcp, sides, counts,
    resets, resets_beyond, late, pings, goaways, findings, losses, newest, bare_rst, notes,
    idle_since, reused, open, last_completed, troubled, expired, still, answers, metered, hits;
    resting rows
});

packs!(struct SideFacts {
    preface, first_frame, last_frame, last_message, last_octets, frames, empty_data,
    highest_stream, opened, settings, settings_acks, burst, software, largest_block, pseudo_order,
    first_priority, first_window, torn_at_end, unread_goaway, most_open
});

packs!(struct Burst { kind, count, from });
packs!(struct SettingsSent { stamp, values, acknowledged });

packs!(struct Reset {
    stream, by, code, stamp, opener, opened, request_ended, responded, answer_ended,
    last_from_peer, last_own, deadline, grpc, class, target, request, is_cancel, rival_answered,
    end_offset, sent, held_by
});

packs!(struct Late { stream, by, stamp, kind, reset, since_opened, knowing });
packs!(struct Ping { by, opaque, sent, answered, open_streams, peer_messages, heard });

packs!(struct Goaway {
    stamp, by, code, last_stream_id, debug, debug_missing, moment, highest_stream, after_peer_close,
    newest, seen, end
});

packs!(struct Moment {
    open, open_count, idle_since, last_octets, last_message, frames, opened, resets, findings,
    largest_block
});

packs!(struct OpenStream {
    id, by, opened, described, request_ended, responded, answer_ended, last, starved
});

packs!(struct Still { from, until, asked, waited, lasting });
packs!(struct Loss { stamp, by, bytes, frames });

packs!(struct Stream {
    id, opener, opened, ended, responded, last, data, deadline, grpc, class, request, mark, failed,
    described, rules; resting row
});
