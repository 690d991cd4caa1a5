//! Beginnings that were not captured, or not in order.

use super::*;

/// Nothing but the packets of one side.
fn one_sided() -> Wire {
    let mut wire = Wire::new();
    wire.send('c', 2, 99, 0, "").send('c', ACK, 100, 500, "a").send('c', ACK, 101, 501, "b");
    wire
}

#[test]
fn ports_used_again_a_little_further_on_without_a_syn() {
    let (c, s) = (100 + (1 << 25), 500 + (1 << 25));
    let mut wire = greeted();
    wire.send('c', ACK, 100, 500, "a").send('c', ACK, c, s, "new");
    wire.send('s', ACK, s, c + 3, "yes").send('c', ACK, c + 3, s + 3, "more");
    let new = "1/open:? 1/c0:new 1/s0:yes 1/c3:more 1/CaptureEnd";
    assert_eq!(wire.finish(), format!("open:c accept c0:a Reused {new}"));
    // Where one side alone went on, its octets are missing.
    let mut wire = greeted();
    wire.send('c', ACK, 100, 500, "a").send('s', ACK, s, 101, "x");
    wire.send('c', ACK, 101, s + 1, "b").send('s', ACK, s + 1, 102, "y");
    let gap = format!("gap:s0+{}", 1 << 25);
    let rest = "s33554432:x c1:b s33554433:y CaptureEnd";
    assert_eq!(wire.finish(), format!("open:c accept c0:a {gap} {rest}"));
}

#[test]
fn ports_used_again_with_one_syn_or_none_captured() {
    let mut wire = greeted();
    wire.send('c', ACK, 100, 500, "a").send('s', 0x12, 7_000_000, 9_000_000, "");
    wire.send('c', ACK, 9_000_000, 7_000_001, "new");
    assert_eq!(wire.finish(), "open:c accept c0:a Reused 1/open:c 1/accept 1/c0:new 1/CaptureEnd");
    let mut wire = greeted();
    wire.send('c', ACK, 100, 500, "a").send('c', ACK, 2_000_000_000, 2_500_000_000, "new");
    wire.send('s', ACK, 2_500_000_000, 2_000_000_003, "x");
    assert_eq!(wire.finish(), "open:c accept c0:a Reused 1/open:? 1/c0:new 1/s0:x 1/CaptureEnd");
    // A stray that nobody answers changes nothing.
    let mut wire = greeted();
    wire.send('c', ACK, 2_000_000_000, 2_500_000_000, "evil").send('c', ACK, 100, 500, "a");
    wire.send('s', 0x12, 9_000, 8_000, "").send('s', ACK, 500, 101, "b");
    assert_eq!(wire.finish(), "open:c accept c0:a s0:b CaptureEnd");
}

#[test]
fn ports_used_again_where_one_side_was_captured_or_the_first_connection_has_ended() {
    let far = 2_500_000_000;
    let mut wire = one_sided();
    wire.send('c', ACK, far, 900, "new").send('c', ACK, far + 3, 900, "er");
    let new = "1/open:? 1/c0:new 1/c3:er 1/CaptureEnd";
    assert_eq!(wire.finish(), format!("open:c c0:a c1:b Reused {new}"));
    // One alone is a stray, and so are two that do not go on from each other.
    let mut wire = one_sided();
    wire.send('c', ACK, far, 900, "new").send('c', ACK, far + 9, 900, "er");
    wire.send('c', ACK, 102, 501, "c");
    assert_eq!(wire.finish(), "open:c c0:a c1:b c2:c CaptureEnd");
    // The other end would have answered.
    let mut wire = greeted();
    wire.send('c', ACK, far, 900, "new").send('c', ACK, far + 3, 900, "er");
    wire.send('c', ACK, 100, 500, "a");
    assert_eq!(wire.finish(), "open:c accept c0:a CaptureEnd");
    let ended = || {
        let mut wire = greeted();
        wire.send('c', 0x11, 100, 500, "a").send('s', 0x11, 500, 102, "");
        wire
    };
    let mut wire = ended();
    wire.send('c', 0x11, 100, 500, "a")
        .send('c', ACK, far, 900, "")
        .send('c', ACK, far, 900, "new");
    let old = "open:c accept c0:a fin:c fin:s Ended";
    assert_eq!(wire.finish(), format!("{old} 1/open:? 1/c0:new 1/CaptureEnd"));
    // Nearby it may be a copy, for a while.
    let mut wire = ended();
    wire.send('c', 0x11, 100, 500, "ab");
    wire.packet += 60_000;
    wire.send('c', ACK, 600, 900, "").send('c', ACK, 600, 900, "new");
    assert_eq!(wire.finish(), format!("{old} 1/open:? 1/c0:new 1/CaptureEnd"));
}

#[test]
fn what_was_acknowledged_before_it_was_captured_is_not_lost() {
    let begun = || {
        let mut wire = Wire::new();
        wire.send('c', ACK, 100, 504, "ask");
        wire
    };
    let mut wire = begun();
    wire.send('s', ACK, 500, 100, "abcd").send('s', ACK, 504, 103, "e");
    assert_eq!(wire.finish(), "open:? c0:ask s0:abcd s4:e CaptureEnd");
    // The wrong way round, with more of the other side in between.
    let mut wire = begun();
    wire.send('s', ACK, 502, 100, "cd").send('s', ACK, 500, 100, "ab");
    wire.send('c', ACK, 103, 504, "more").send('s', ACK, 504, 103, "e");
    assert_eq!(wire.finish(), "open:? c0:ask s0:ab s2:cd c3:more s4:e CaptureEnd");
    let mut wire = begun();
    wire.send('s', ACK, 500, 100, "ab").send('c', ACK, 103, 504, "more");
    wire.send('s', ACK, 502, 100, "cd").send('s', ACK, 504, 103, "");
    assert_eq!(wire.finish(), "open:? c0:ask c3:more s0:ab s2:cd CaptureEnd");
    // What does not reach up to there was sent again: what lies between is not lost.
    let mut wire = begun();
    wire.send('s', ACK, 490, 100, "old").send('c', ACK, 103, 504, "").send('s', ACK, 504, 103, "e");
    assert_eq!(wire.finish(), "open:? c0:ask s0:e CaptureEnd");
    // Nothing but the end of the capture comes.
    let mut wire = begun();
    wire.send('s', 0x11, 500, 100, "abcd");
    assert_eq!(wire.finish(), "open:? c0:ask s0:abcd fin:s CaptureEnd");
    // A keep-alive.
    let mut wire = begun();
    wire.send('s', ACK, 503, 103, "?").send('s', ACK, 504, 103, "e");
    assert_eq!(wire.finish(), "open:? c0:ask s0:e CaptureEnd");
}
