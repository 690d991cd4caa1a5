//! Nobody listened: flows that never became a connection.

use super::explain::Explain;

/// What `goawhy explain connection_refused` says.
pub const EXPLAIN: Explain = Explain {
    what: "The SYN was answered by RST: nothing listens on that port, or a firewall rejects it.",
    on_the_wire: "SYN, then RST,ACK within a round trip.",
    looks_alike: "A firewall that rejects with RST looks the same; a firewall that drops shows \
                  repeated SYNs and no answer.",
    known: "RFC 9293 section 3.10.7.1.",
    what_to_do: "Nothing, if the server was restarting: let clients retry with a pause. Else check \
                 on the server's host that it runs and listens on this address and port, and that \
                 no firewall on the way rejects the connection.",
};
