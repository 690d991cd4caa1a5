//! A TLS connection from its hellos to its last alert: which keys protect what, and what is handed
//! up of it.

mod messages;
mod opened;

use self::opened::Opened;
use super::direction::{Bounds, Direction, Waiting};
use super::hello::{ClientHello, Hellos, ServerHello, encrypted_extensions, message};
use super::keylog::KeyLog;
use super::ladder::{Epoch, Hit, Ladder};
use super::record::{Chunk, Found, HEAD, Place, body_length, kind};
use crate::vocab::address::{Both, Half, Side};
use crate::vocab::flow::FlowItem;
use crate::vocab::limits::Limits;
use crate::vocab::time::Stamp;
use crate::vocab::tls::{Alert, EarlyData, Farewell, SizedRecord, TlsFacts, TlsSide, TlsVersion};

/// A whole record; its body is empty where it was skimmed.
struct Record<'a> {
    head: [u8; HEAD],
    place: Place,
    body: &'a mut [u8],
}

/// One connection.
pub(super) struct Connection {
    pub bounds: Bounds,
    pub facts: TlsFacts,
    pub hellos: Hellos,
    pub halves: Both<Direction>,
    /// By half.
    pub sides: Both<TlsSide>,
    pub decrypted: Both<bool>,
    /// Whether the client ended its 0-RTT data: then the server took it.
    early_ended: bool,
    scratch: Vec<u8>,
}

impl Connection {
    /// A connection whose client is known or not, and of whose halves the beginning was captured
    /// or not.
    pub fn new(client: Option<Half>, midway: Both<bool>, limits: &Limits) -> Self {
        let bounds = Bounds::of(limits);
        let direction = |midway| Direction::new(midway, bounds);
        let facts = TlsFacts {
            client,
            joined_midway: midway.first || midway.second,
            ..TlsFacts::default()
        };
        let mut connection = Self {
            bounds,
            facts,
            hellos: Hellos::default(),
            halves: Both { first: direction(midway.first), second: direction(midway.second) },
            sides: Both::default(),
            decrypted: Both::default(),
            early_ended: false,
            scratch: Vec::new(),
        };
        for half in [Half::A, Half::B].into_iter().filter(|half| *midway.half(*half)) {
            connection.miss_hello(half);
        }
        connection
    }

    /// Takes octets of a half.
    pub fn bytes(
        &mut self,
        half: Half,
        chunk: Chunk<'_>,
        keys: &KeyLog,
        deliver: &mut impl FnMut(FlowItem<'_>),
    ) {
        let mut chunk = chunk;
        let before = &mut self.halves.half_mut(half).before;
        *before -= chunk.skip(*before);
        let mut framing = std::mem::take(&mut self.halves.half_mut(half).framing);
        while let Some(found) = framing.pull(&mut chunk, self.bounds.searched) {
            match found {
                Found::Record(head, place) => {
                    let length = body_length(head).unwrap_or(0);
                    self.count(half, head, length);
                    let body = framing.body();
                    // A skimmed body is not there.
                    let body = if body.len() == length { body } else { &mut [] };
                    self.record(half, Record { head, place, body }, keys, deliver);
                    framing.skim = self.is_dark(half, keys);
                }
                Found::Resumed(discarded) if discarded > 0 => {
                    self.halves.half_mut(half).lose(chunk.stamp, discarded, None);
                }
                Found::Resumed(_) => {}
                Found::Lost => self.lose(half, chunk.stamp, 0, None),
            }
        }
        self.halves.half_mut(half).framing = framing;
    }

    /// Octets that the capture lacks.
    pub fn gap(&mut self, half: Half, stamp: Stamp, bytes: u64) {
        let direction = self.halves.half_mut(half);
        let torn = direction.framing.gap(bytes);
        if let Some(head) = torn.record {
            let length = body_length(head).unwrap_or(0);
            self.count(half, head, length);
            self.halves.half_mut(half).torn += u64::from(head[0] == kind::DATA);
            if head[0] == kind::HANDSHAKE && !self.is_protected(half, kind::HANDSHAKE) {
                let partial = self.halves.half_mut(half).framing.body().to_vec();
                self.handshake(half, stamp, &partial);
            }
            let exact = match head[0] {
                kind::DATA => {
                    let ladder = self.halves.half(half).ladder.as_ref();
                    ladder.and_then(|ladder| ladder.plain_length(length)).map(|n| n as u64)
                }
                _ if self.facts.version == Some(TlsVersion::TLS12) => Some(0),
                _ => None,
            };
            if self.is_protected(half, head[0]) {
                self.lose(half, stamp, 0, exact);
            } else {
                self.tear(half, stamp);
            }
        }
        if torn.lost {
            self.lose(half, stamp, bytes, None);
        }
    }

    /// Opens what has waited for keys that the log has now, and hands it up in the order in which
    /// it came: an answer must not stand before its request.
    pub fn wake(&mut self, keys: &KeyLog, last: bool, deliver: &mut impl FnMut(FlowItem<'_>)) {
        let mut opened = Vec::new();
        for half in [Half::A, Half::B] {
            self.flush(half, last, keys, &mut |item| opened.extend(Opened::of(&item)));
        }
        opened.sort_by_key(|opened| opened.stamp.order());
        opened.iter().for_each(|opened| deliver(opened.item()));
    }

    /// Whether records wait for a hello or for keys.
    pub fn is_waiting(&self) -> bool {
        !self.halves.first.waiting.is_empty() || !self.halves.second.waiting.is_empty()
    }

    /// Approximate octets in memory beside its own.
    pub fn weight(&self) -> usize {
        self.halves.first.weight() + self.halves.second.weight() + self.scratch.capacity()
    }

    /// No more octets come of a half.
    pub fn end(&mut self, half: Half, keys: &KeyLog, deliver: &mut impl FnMut(FlowItem<'_>)) {
        self.flush(half, true, keys, deliver);
        let direction = self.halves.half(half);
        if direction.torn > 0 && direction.ladder.is_none() && direction.why.is_none() {
            let found = self.find_keys(half, true, keys);
            self.halves.half_mut(half).why = found.and_then(Result::err);
        }
        let direction = self.halves.half_mut(half);
        if let Some(loss) = direction.loss.take()
            && direction.plain_end > 0
        {
            self.tell_gap(half, loss.stamp, loss.exact.unwrap_or(0), deliver);
        }
    }

    /// A FIN or RST of a half, or the end of the capture, came.
    pub fn close(&mut self, half: Half, stamp: Stamp) {
        let side = self.sides.half_mut(half);
        // One octet of level, one of description.
        if side.farewell.is_none()
            && self.facts.version == Some(TlsVersion::TLS13)
            && self.halves.half(half).last_unread == Some(2)
        {
            side.farewell = Some(Farewell { stamp, alert: Alert::Possible });
        }
    }

    /// Who sends a half, where known.
    pub fn role(&self, half: Half) -> Option<Side> {
        let client = self.facts.client?;
        Some(if client == half { Side::Client } else { Side::Server })
    }

    fn count(&mut self, half: Half, head: [u8; HEAD], length: usize) {
        let side = self.sides.half_mut(half);
        side.records += 1;
        if head[0] == kind::DATA {
            side.data_records += 1;
            side.data_octets += length as u64;
        }
        self.halves.half_mut(half).last_unread = None;
    }

    /// Whether records of this type are protected now (RFC 8446 section 5, RFC 5246 section 7.1).
    fn is_protected(&self, half: Half, kind: u8) -> bool {
        if kind == kind::DATA {
            return true;
        }
        let changed = self.halves.half(half).changed;
        match self.facts.version {
            Some(TlsVersion::TLS13) => false,
            Some(_) => changed,
            None => changed && kind != kind::CHANGE_CIPHER_SPEC,
        }
    }

    fn record(
        &mut self,
        half: Half,
        record: Record<'_>,
        keys: &KeyLog,
        deliver: &mut impl FnMut(FlowItem<'_>),
    ) {
        let kind = record.head[0];
        if self.is_protected(half, kind) {
            self.protected(half, record, keys, deliver);
            return;
        }
        let direction = self.halves.half(half);
        if direction.ladder.is_some() && matches!(direction.epoch, Some(Epoch::Application(_))) {
            // Nothing is sent in the clear any more: this was a protected record once.
            self.lose(half, record.place.stamp, 0, None);
            return;
        }
        match kind {
            kind::CHANGE_CIPHER_SPEC => self.halves.half_mut(half).changed = true,
            kind::HANDSHAKE => {
                self.handshake(half, record.place.stamp, record.body);
                for half in [Half::A, Half::B] {
                    self.flush(half, false, keys, deliver);
                }
            }
            kind::ALERT => self.alert(half, record.place.stamp, record.body),
            _ => {}
        }
    }

    fn protected(
        &mut self,
        half: Half,
        record: Record<'_>,
        keys: &KeyLog,
        deliver: &mut impl FnMut(FlowItem<'_>),
    ) {
        // A protected record without a hello before it: none will come.
        if self.facts.client.is_some() {
            self.miss_hello(half);
        }
        self.flush(half, false, keys, deliver);
        let direction = self.halves.half(half);
        if direction.ladder.is_none() && direction.why.is_none() {
            if let Some(why) = self.in_vain(keys) {
                // The other hello would change nothing: nothing waits for it.
                let direction = self.halves.half_mut(half);
                direction.why = Some(why);
                direction.looked_at = Some(keys.generation());
            } else if self.halves.half_mut(half).wait(Waiting::Record {
                head: record.head,
                place: record.place,
                body: record.body.to_vec(),
            }) {
                return;
            }
            self.flush(half, true, keys, deliver);
        }
        self.open(half, record, keys, deliver);
    }

    /// Opens a record, if there are keys.
    fn open(
        &mut self,
        half: Half,
        record: Record<'_>,
        keys: &KeyLog,
        deliver: &mut impl FnMut(FlowItem<'_>),
    ) {
        let Record { head, place, body } = record;
        let mut scratch = std::mem::take(&mut self.scratch);
        let direction = self.halves.half_mut(half);
        let hit = match &mut direction.ladder {
            Some(ladder) if !body.is_empty() => ladder.open(head, body, &mut scratch),
            Some(ladder) => {
                ladder.lose(1);
                None
            }
            None => None,
        };
        self.scratch = scratch;
        let Some(hit) = hit else {
            self.unread(half, head, place);
            return;
        };
        self.learn_owner(half, &hit);
        if let Some((stamp, bytes)) = self.missing_before(half, &hit, place.stamp) {
            self.tell_gap(half, stamp, bytes, deliver);
        }
        let content = body.get(hit.opened.content.clone()).unwrap_or_default();
        match hit.opened.kind {
            kind::DATA if hit.epoch == Epoch::Early => {
                self.halves.half_mut(half).hold_early(place, content, hit.missed > 0);
                self.settle_early(deliver);
            }
            kind::DATA => self.data(half, place, content, deliver),
            kind::HANDSHAKE => {
                if hit.epoch == Epoch::Early && hit.missed > 0 {
                    self.halves.half_mut(half).hold_early(place, &[], true);
                }
                self.handshake(half, place.stamp, content);
                self.settle_early(deliver);
            }
            kind::ALERT => self.alert(half, place.stamp, content),
            // TLS 1.2 renegotiates: new keys from here on.
            kind::CHANGE_CIPHER_SPEC => {
                let direction = self.halves.half_mut(half);
                direction.ladder = None;
                direction.why = None;
                direction.missed = 0;
                direction.looked_at = None;
                self.flush(half, false, keys, deliver);
            }
            _ => {}
        }
    }

    fn unread(&mut self, half: Half, head: [u8; HEAD], place: Place) {
        let side = self.sides.half_mut(half);
        side.unread_records += 1;
        if head[0] == kind::ALERT && side.farewell.is_none() {
            side.farewell = Some(Farewell { stamp: place.stamp, alert: Alert::Unread });
        }
        let octets = self.plain_length(head);
        let direction = self.halves.half_mut(half);
        direction.last_unread = octets;
        if matches!(head[0], kind::DATA | kind::ALERT) {
            direction.note_size(SizedRecord { stamp: place.stamp, octets });
        }
        if !direction.is_proved() {
            direction.missed = direction.missed.saturating_add(1);
        }
        if direction.plain_end > 0 {
            let stamp = place.stamp;
            direction.loss.get_or_insert(super::direction::Loss { stamp, exact: None });
        }
    }

    /// A record that was opened tells whose keys these are, where no hello did.
    fn learn_owner(&mut self, half: Half, hit: &Hit) {
        let owner = self.halves.half(half).ladder.as_ref().and_then(Ladder::owner);
        let Some((random, role)) = owner.map(|(random, role)| (*random, role)) else { return };
        if self.hellos.client_random.is_none() {
            self.hellos.client_random = Some(random);
        }
        let client = if role == Side::Client { half } else { half.other() };
        self.facts.client.get_or_insert(client);
        self.facts.cipher.get_or_insert(hit.cipher);
        if hit.cipher.0 >> 8 == 0x13 {
            self.facts.version.get_or_insert(TlsVersion::TLS13);
        }
    }

    /// Whether plaintext is missing before a record that was opened.
    fn missing_before(&mut self, half: Half, hit: &Hit, stamp: Stamp) -> Option<(Stamp, u64)> {
        let first = !matches!(self.halves.half(half).epoch, Some(Epoch::Application(_)));
        let missing = self.halves.half_mut(half).note_hit(hit, stamp);
        let is_first_data = first && matches!(hit.epoch, Epoch::Application(_));
        if !is_first_data || self.role(half) != Some(Side::Client) {
            return missing;
        }
        // 0-RTT data comes first. That it was accepted or refused, and all of it read, is known
        // by the server's answer and by the message that ends it.
        match self.facts.early_data {
            Some(EarlyData::Accepted) if !self.early_ended => missing.or(Some((stamp, 0))),
            Some(EarlyData::Offered) => missing.or(Some((stamp, 0))),
            None if !self.facts.hello_seen && self.facts.version != Some(TlsVersion::TLS12) => {
                missing.or(Some((stamp, 0)))
            }
            _ => missing,
        }
    }

    fn data(
        &mut self,
        half: Half,
        place: Place,
        data: &[u8],
        deliver: &mut impl FnMut(FlowItem<'_>),
    ) {
        *self.decrypted.half_mut(half) = true;
        self.sides.half_mut(half).plain_octets += data.len() as u64;
        let seen = self.halves.half_mut(half.other()).plain_seen(place.seen);
        let direction = self.halves.half_mut(half);
        let offset = direction.plain_end;
        direction.plain_end += data.len() as u64;
        direction.mark(place.end);
        if !data.is_empty() {
            deliver(FlowItem::Bytes { stamp: place.stamp, half, offset, seen, data });
        }
    }

    fn tell_gap(
        &mut self,
        half: Half,
        stamp: Stamp,
        bytes: u64,
        deliver: &mut impl FnMut(FlowItem<'_>),
    ) {
        let direction = self.halves.half_mut(half);
        let offset = direction.plain_end;
        direction.plain_end += bytes;
        deliver(FlowItem::Gap { stamp, half, offset, bytes });
    }

    /// Hands up 0-RTT data that was accepted, forgets what was refused (RFC 8446 section 4.2.10).
    fn settle_early(&mut self, deliver: &mut impl FnMut(FlowItem<'_>)) {
        let Some(client) = self.facts.client else { return };
        match self.facts.early_data {
            Some(EarlyData::Accepted) => {
                for piece in std::mem::take(&mut self.halves.half_mut(client).early) {
                    match piece.data {
                        Some(data) => self.data(client, piece.place, &data, deliver),
                        None => self.tell_gap(client, piece.place.stamp, 0, deliver),
                    }
                }
            }
            Some(EarlyData::Rejected) => self.halves.half_mut(client).early.clear(),
            _ => {}
        }
    }

    fn alert(&mut self, half: Half, stamp: Stamp, content: &[u8]) {
        let &[level, description] = content else { return };
        let side = self.sides.half_mut(half);
        let read = !matches!(
            side.farewell.map(|farewell| farewell.alert),
            None | Some(Alert::Unread | Alert::Possible)
        );
        if read {
            return;
        }
        // Warnings of TLS 1.2 end nothing; the level means nothing in TLS 1.3.
        let alert = match (description, level) {
            (0, _) => Alert::CloseNotify,
            (90 | 100, _) => return,
            (_, 1) if self.facts.version == Some(TlsVersion::TLS12) => return,
            _ => Alert::Error(description),
        };
        side.farewell = Some(Farewell { stamp, alert });
    }

    fn message(&mut self, half: Half, stamp: Stamp, kind: u8, body: &[u8]) {
        self.note(half, stamp, kind);
        match kind {
            message::CLIENT_HELLO => {
                if let Some(hello) = ClientHello::parse(body) {
                    self.client_hello(half, hello);
                }
            }
            message::SERVER_HELLO => {
                if let Some(hello) = ServerHello::parse(body) {
                    self.server_hello(half, hello);
                }
            }
            message::ENCRYPTED_EXTENSIONS if self.role(half) == Some(Side::Server) => {
                let (alpn, early) = encrypted_extensions(body);
                self.facts.alpn = alpn.or(self.facts.alpn.take());
                if self.facts.early_data == Some(EarlyData::Offered) {
                    let answer = if early { EarlyData::Accepted } else { EarlyData::Rejected };
                    self.facts.early_data = Some(answer);
                }
            }
            message::END_OF_EARLY_DATA if self.role(half) == Some(Side::Client) => {
                self.early_ended = true;
                self.facts.early_data = Some(EarlyData::Accepted);
            }
            message::KEY_UPDATE if body.len() == 1 => {
                if let Some(ladder) = &mut self.halves.half_mut(half).ladder {
                    ladder.update();
                }
            }
            _ => {}
        }
    }

    fn client_hello(&mut self, half: Half, hello: ClientHello) {
        let retried = self.facts.early_data == Some(EarlyData::Rejected);
        self.facts.client = Some(half);
        self.hellos.client_random = Some(hello.random);
        self.hellos.session = hello.session;
        self.facts.hello_seen = hello.whole;
        self.facts.sni = hello.sni.or(self.facts.sni.take());
        if !hello.alpn.is_empty() {
            self.facts.alpn_offered = hello.alpn;
        }
        if hello.early_data && !retried {
            self.facts.early_data = Some(EarlyData::Offered);
        }
    }

    fn server_hello(&mut self, half: Half, hello: ServerHello) {
        self.facts.client.get_or_insert(half.other());
        let facts = &mut self.facts;
        facts.version = hello.version.or(facts.version);
        facts.cipher = hello.cipher.or(facts.cipher);
        facts.alpn = hello.alpn.or(facts.alpn.take());
        self.hellos.server_random = Some(hello.random);
        self.hellos.resumed = !hello.session.is_empty() && hello.session == self.hellos.session;
        self.hellos.encrypt_then_mac = hello.encrypt_then_mac;
        let refused = hello.retry || !hello.psk;
        if refused && facts.early_data == Some(EarlyData::Offered) && facts.version.is_some() {
            facts.early_data = Some(EarlyData::Rejected);
        }
        if facts.version.is_none() {
            self.hellos.gone.second = true;
        }
    }

    /// Loss of whole records, or of what they are.
    fn lose(&mut self, half: Half, stamp: Stamp, octets: u64, exact: Option<u64>) {
        self.halves.half_mut(half).lose(stamp, octets, exact);
        self.tear(half, stamp);
    }

    /// A hello of this half that has not come by now will not come any more.
    fn miss_hello(&mut self, half: Half) {
        match self.role(half) {
            Some(Side::Client) => self.hellos.gone.first |= self.hellos.client_random.is_none(),
            Some(Side::Server) => self.hellos.gone.second |= self.facts.version.is_none(),
            None => self.hellos.gone = Both { first: true, second: true },
        }
    }

    /// Looks for keys, if that is due, and opens what has waited for them.
    fn flush(
        &mut self,
        half: Half,
        last: bool,
        keys: &KeyLog,
        deliver: &mut impl FnMut(FlowItem<'_>),
    ) {
        let direction = self.halves.half(half);
        if direction.is_proved() || direction.looked_at == Some(keys.generation()) {
            return;
        }
        if direction.waiting.is_empty() && last {
            return;
        }
        let Some(found) = self.find_keys(half, last, keys) else { return };
        let direction = self.halves.half_mut(half);
        direction.looked_at = Some(keys.generation());
        match found {
            Ok(ladder) => {
                direction.ladder = Some(ladder);
                direction.why = None;
            }
            // Keys that proved nothing so far are better than none.
            Err(_) if direction.ladder.is_some() => {}
            Err(why) => direction.why = Some(why),
        }
        for waiting in self.halves.half_mut(half).take_waiting() {
            match waiting {
                Waiting::Record { head, place, mut body } => {
                    let record = Record { head, place, body: &mut body };
                    self.open(half, record, keys, deliver);
                }
                Waiting::Loss { stamp, octets, exact } => {
                    self.halves.half_mut(half).lose(stamp, octets, exact);
                }
            }
        }
    }

    /// Whether bodies of this half are of no use, as far as is known.
    fn is_dark(&self, half: Half, keys: &KeyLog) -> bool {
        let direction = self.halves.half(half);
        match &direction.ladder {
            Some(ladder) if ladder.is_proved() => ladder.is_hopeless(),
            Some(ladder) => ladder.is_hopeless() && direction.looked_at == Some(keys.generation()),
            None => {
                let protected = direction.why.is_some();
                protected && !keys.is_growing() && direction.looked_at == Some(keys.generation())
            }
        }
    }
}
