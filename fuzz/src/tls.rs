//! Room 4: a key log with its length in front, then a flow.

use arbitrary::Unstructured;
use goawhy::tls::{KeyLog, Session};
use goawhy::vocab::flow::FlowItem;
use goawhy::vocab::limits::Limits;

use crate::flow;

/// No panic; without keys nothing is handed up as plaintext of TLS; memory stays bounded.
pub fn run(data: &[u8]) {
    let mut script = Unstructured::new(data);
    let length: u16 = script.arbitrary().unwrap_or_default();
    let text = script.bytes(usize::from(length).min(script.len())).unwrap_or_default();
    let limits = Limits::default();
    let mut keys = KeyLog::within(&limits);
    keys.add_text(text);
    keys.set_growing(length % 2 == 1);
    let mut session = Session::new();
    let (mut given, mut read) = (0, 0);
    flow::items(&mut script, &mut |item| {
        if let FlowItem::Bytes { data, .. } = item {
            given += data.len();
        }
        session.push(item, &keys, &limits, &mut |plain| {
            if let FlowItem::Bytes { data, .. } = plain {
                read += data.len();
            }
        });
        assert!(session.weight() < 2 << 20, "{} octets are held", session.weight());
    });
    session.wake(&keys, true, &mut |_| {});
    assert!(read <= given, "{read} octets of {given}");
    if let Some(facts) = session.facts()
        && keys.is_empty()
    {
        assert!(!facts.is_decrypted(), "decrypted without keys");
    }
}
