//! What a fault of this program cost.

use super::address::FlowKey;
use super::flow::FlowId;
use super::time::Stamp;

/// Something that was left out because this program failed on it: never the fault of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The connection that was left out from then on; `None` where it was no connection.
    pub flow: Option<(FlowId, FlowKey)>,
    /// The packet that was looked at; `None` where it was no packet.
    pub stamp: Option<Stamp>,
    /// The place in the source of this program.
    pub place: String,
}
