//! Plaintext of records that had waited for their keys.

use crate::vocab::flow::FlowItem;
use crate::vocab::time::Stamp;

/// What was opened of both halves, until it is in order.
pub(super) struct Opened {
    pub stamp: Stamp,
    /// Without its octets.
    item: FlowItem<'static>,
    octets: Vec<u8>,
}

impl Opened {
    pub fn of(item: &FlowItem<'_>) -> Option<Self> {
        Some(match *item {
            FlowItem::Bytes { stamp, half, offset, seen, data } => Self {
                stamp,
                item: FlowItem::Bytes { stamp, half, offset, seen, data: &[] },
                octets: data.to_vec(),
            },
            FlowItem::Gap { stamp, half, offset, bytes } => Self {
                stamp,
                item: FlowItem::Gap { stamp, half, offset, bytes },
                octets: Vec::new(),
            },
            // Only these two come out of records.
            _ => return None,
        })
    }

    pub fn item(&self) -> FlowItem<'_> {
        match self.item {
            FlowItem::Bytes { stamp, half, offset, seen, .. } => {
                FlowItem::Bytes { stamp, half, offset, seen, data: &self.octets }
            }
            other => other,
        }
    }
}
