//! Handshake messages on their way out of records.

use super::super::hello::{Messages, message};
use super::super::ladder::Epoch;
use super::Connection;
use crate::vocab::address::{Half, Side};
use crate::vocab::time::Stamp;
use crate::vocab::tls::TlsVersion;

impl Connection {
    /// Takes in the octets of a record.
    pub(super) fn handshake(&mut self, half: Half, stamp: Stamp, content: &[u8]) {
        let mut messages = std::mem::take(&mut self.halves.half_mut(half).messages);
        messages.push(content, self.bounds.message, &mut |kind, body| {
            self.message(half, stamp, kind, body);
        });
        self.halves.half_mut(half).messages = messages;
    }

    /// Handshake messages do not go on behind a loss.
    pub(super) fn tear(&mut self, half: Half, stamp: Stamp) {
        let mut messages: Messages = std::mem::take(&mut self.halves.half_mut(half).messages);
        messages.tear(&mut |kind, body| self.message(half, stamp, kind, body));
        self.halves.half_mut(half).messages = messages;
        self.miss_hello(half);
    }

    /// Notes where the hellos are, and what HTTP/2 has no room for behind its first octets
    /// (RFC 9113 sections 9.2.1 and 9.2.3).
    pub(super) fn note(&mut self, half: Half, stamp: Stamp, kind: u8) {
        let hello = match kind {
            message::CLIENT_HELLO => &mut self.facts.client_hello,
            message::SERVER_HELLO => &mut self.facts.server_hello,
            _ => &mut None,
        };
        hello.get_or_insert(stamp);
        let Some(client) = self.facts.client else { return };
        let by = if half == client { Side::Client } else { Side::Server };
        if self.sides.half(client).plain_octets == 0 {
            return;
        }
        let is_12 = self.facts.version == Some(TlsVersion::TLS12);
        match (kind, by) {
            (message::HELLO_REQUEST, Side::Server) | (message::CLIENT_HELLO, Side::Client)
                if is_12 =>
            {
                self.facts.renegotiated.get_or_insert((stamp, by));
            }
            (message::CERTIFICATE_REQUEST, Side::Server)
                if matches!(self.halves.half(half).epoch, Some(Epoch::Application(_))) =>
            {
                self.facts.asked_for_certificate.get_or_insert(stamp);
            }
            _ => {}
        }
    }
}
