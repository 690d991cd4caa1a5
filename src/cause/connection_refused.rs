//! Nobody listened: flows that never became a connection.

use super::explain::Explain;

/// What `goawhy explain connection_refused` says.
pub const EXPLAIN: Explain = Explain {
    what: "Nothing listens on that port: the SYN was answered by RST.",
    on_the_wire: "SYN, then RST,ACK within a round trip.",
    looks_alike: "A firewall that rejects with RST looks the same; a firewall that drops shows \
                  repeated SYNs and no answer.",
    known: "RFC 9293 section 3.10.7.1.",
    what_to_do: "Start the server, or point the client at the right port; during a restart, let \
                 clients retry with a pause.",
};
