use super::*;
use crate::vocab::address::Endpoint;
use crate::vocab::segment::{Seq, TcpFlags};
use crate::vocab::time::{Stamp, Timestamp};

mod begins;

const ACK: u8 = 0x10;

struct Wire {
    table: FlowTable,
    packet: u64,
    log: Vec<String>,
    flows: Vec<FlowId>,
}

impl Wire {
    fn new() -> Self {
        // Flows rest after each packet: nobody sees it.
        let limits = Limits { awake: 0, ..Limits::default() };
        Self { table: FlowTable::new(limits), packet: 0, log: vec![], flows: vec![] }
    }

    fn send(&mut self, from: char, flags: u8, seq: u32, ack: u32, payload: &str) -> &mut Self {
        self.send_cut(from, flags, seq, ack, payload, 0)
    }

    fn send_cut(
        &mut self,
        from: char,
        flags: u8,
        seq: u32,
        ack: u32,
        data: &str,
        cut: u32,
    ) -> &mut Self {
        let ends = [
            Endpoint { ip: [10, 0, 0, 1].into(), port: 40_000 },
            Endpoint { ip: [10, 0, 0, 2].into(), port: 8080 },
        ];
        let (source, destination) =
            if from == 'c' { (ends[0], ends[1]) } else { (ends[1], ends[0]) };
        self.packet += 1;
        let stamp = Stamp::new(0, self.packet, Timestamp(self.packet as i64 * 1_000_000));
        let segment = Segment {
            stamp,
            source,
            destination,
            seq: Seq(seq),
            ack: Seq(ack),
            flags: TcpFlags(flags),
            window: 1000,
            payload: data.as_bytes(),
            cut,
        };
        let (log, flows) = (&mut self.log, &mut self.flows);
        self.table.push(&segment, &mut |id, item| log.push(line(flows, id, &item)));
        self
    }

    fn finish(&mut self) -> String {
        let (log, flows) = (&mut self.log, &mut self.flows);
        self.table.finish(&mut |id, item| log.push(line(flows, id, &item)));
        self.log.join(" ")
    }
}

/// What was handed up, behind the flow's place in order of first sight, unless it is the first.
fn line(flows: &mut Vec<FlowId>, id: FlowId, item: &FlowItem<'_>) -> String {
    if !flows.contains(&id) {
        flows.push(id);
    }
    let place = flows.iter().position(|of| *of == id).unwrap();
    let who = |half: &Half| if *half == Half::A { 'c' } else { 's' };
    let what = match item {
        FlowItem::Opened { initiator, .. } => {
            format!("open:{}", initiator.as_ref().map_or('?', who))
        }
        FlowItem::Synchronized { initiator, .. } => format!("syn:{}", who(initiator)),
        FlowItem::Accepted { .. } => "accept".into(),
        FlowItem::Bytes { half, offset, data, .. } => {
            format!("{}{offset}:{}", who(half), String::from_utf8_lossy(data))
        }
        FlowItem::Gap { half, offset, bytes, .. } => format!("gap:{}{offset}+{bytes}", who(half)),
        FlowItem::Differs { half, offset, octets, .. } => {
            format!("differs:{}{offset}:{octets}", who(half))
        }
        FlowItem::Fin { by, .. } => format!("fin:{}", who(by)),
        FlowItem::Rst { by, refused, .. } => {
            format!("rst:{}{}", who(by), if *refused { "!" } else { "" })
        }
        FlowItem::Closed { how, .. } => format!("{how:?}"),
    };
    if place == 0 { what } else { format!("{place}/{what}") }
}

fn greeted() -> Wire {
    let mut wire = Wire::new();
    wire.send('c', 2, 99, 0, "").send('s', 0x12, 499, 100, "").send('c', ACK, 100, 500, "");
    wire
}

#[test]
fn in_order() {
    let mut wire = greeted();
    wire.send('c', ACK, 100, 500, "abc")
        .send('s', ACK, 500, 103, "xy")
        .send('c', 0x11, 103, 502, "");
    wire.send('s', 0x11, 502, 104, "");
    assert_eq!(wire.finish(), "open:c accept c0:abc s0:xy fin:c fin:s Ended");
}

#[test]
fn early_repeated_and_overlapping_octets_come_once() {
    let mut wire = greeted();
    wire.send('c', ACK, 103, 500, "def")
        .send('c', ACK, 105, 500, "Xgh")
        .send('c', ACK, 100, 500, "abcd");
    wire.send('c', ACK, 100, 500, "abcdefgh").send('c', ACK, 108, 500, "i");
    let differs = "differs:c5:1"; // the first copy counts
    let rest = "c0:abc c3:def c6:gh c8:i CaptureEnd";
    assert_eq!(wire.finish(), format!("open:c accept {differs} {rest}"));
}

#[test]
fn a_rst_outside_of_any_window_is_ignored_where_nothing_follows_either() {
    for seq in [500 + (512 << 20), 500_u32.wrapping_sub(512 << 20)] {
        let mut wire = greeted();
        wire.send('s', ACK, 500, 100, "abc").send('s', 4, seq, 0, "").send('c', ACK, 100, 503, "");
        assert_eq!(wire.finish(), "open:c accept s0:abc CaptureEnd", "{seq}");
    }
}

#[test]
fn what_was_taken_for_a_fin_is_an_octet_where_more_comes_behind_it() {
    let mut wire = greeted();
    wire.send('s', ACK, 500, 100, "abc").send('c', 0x11, 100, 504, "");
    for _ in 0..Limits::default().gap_patience_packets + 1 {
        wire.send('c', ACK, 101, 504, "");
    }
    wire.send('s', ACK, 504, 101, "de");
    let told = wire.finish();
    assert!(told.contains("s0:abc") && told.contains("gap:s3+1 s4:de"), "{told}");
}

#[test]
fn acknowledged_octets_that_never_come_are_a_gap() {
    let mut wire = greeted();
    wire.send('c', ACK, 103, 500, "def").send('s', ACK, 500, 106, "");
    for _ in 0..Limits::default().gap_patience_packets + 1 {
        wire.send('s', ACK, 500, 106, "");
    }
    assert!(wire.log.join(" ").contains("gap:c0+3 c3:def"), "{:?}", wire.log);
}

#[test]
fn what_the_sender_may_still_repeat_is_no_gap() {
    let mut wire = greeted();
    wire.send('c', ACK, 103, 500, "def");
    for _ in 0..1000 {
        wire.send('s', ACK, 500, 100, "");
    }
    wire.send('c', ACK, 100, 500, "abc");
    assert_eq!(wire.finish(), "open:c accept c0:abc c3:def CaptureEnd");
}

#[test]
fn octets_lost_at_the_end_are_told() {
    let mut wire = greeted();
    wire.send('c', ACK, 100, 500, "abc").send('s', ACK, 500, 110, "");
    assert_eq!(wire.finish(), "open:c accept c0:abc gap:c3+7 CaptureEnd");
}

#[test]
fn a_fin_that_was_not_captured_is_no_gap() {
    let mut wire = greeted();
    wire.send('c', ACK, 100, 500, "abc").send('s', ACK, 500, 104, "");
    assert_eq!(wire.finish(), "open:c accept c0:abc CaptureEnd");
}

#[test]
fn sequence_numbers_wrap() {
    let mut wire = Wire::new();
    wire.send('c', 2, u32::MAX - 2, 0, "").send('s', 0x12, 499, u32::MAX - 1, "");
    wire.send('c', ACK, u32::MAX - 1, 500, "abcd").send('c', ACK, 2, 500, "ef");
    assert_eq!(wire.finish(), "open:c accept c0:abcd c4:ef CaptureEnd");
}

#[test]
fn snapped_octets_are_a_gap_of_known_length() {
    let mut wire = greeted();
    wire.send_cut('c', ACK, 100, 500, "ab", 5).send('c', ACK, 107, 500, "hi");
    assert_eq!(wire.finish(), "open:c accept c0:ab gap:c2+5 c7:hi CaptureEnd");
}

#[test]
fn a_copy_that_begins_before_the_capture_and_goes_on_moves_nothing() {
    let mut wire = Wire::new();
    wire.send('c', ACK, 104, 500, "efg").send('s', ACK, 500, 107, "");
    wire.send('c', ACK, 100, 500, "abcdefghij");
    assert_eq!(wire.finish(), "open:? c0:efg c3:hij CaptureEnd");
}

#[test]
fn joined_midway_and_one_octet_keep_alive() {
    let mut wire = Wire::new();
    wire.send('s', ACK, 900, 200, "xy")
        .send('c', ACK, 199, 902, "?")
        .send('c', ACK, 200, 902, "ab");
    assert_eq!(wire.finish(), "open:? s0:xy c0:ab CaptureEnd");
}

#[test]
fn a_syn_behind_later_packets() {
    let mut wire = Wire::new();
    wire.send('c', ACK, 100, 500, "").send('c', 2, 99, 0, "").send('s', 0x12, 499, 100, "");
    wire.send('c', ACK, 100, 500, "ab");
    assert_eq!(wire.finish(), "open:? syn:c accept c0:ab CaptureEnd");
    let mut wire = Wire::new();
    wire.send('c', ACK, 100, 500, "ab").send('s', 0x12, 499, 100, "").send('c', 2, 99, 0, "");
    assert_eq!(wire.finish(), "open:? c0:ab syn:c accept CaptureEnd");
    // A SYN that fits nothing says nothing.
    let mut wire = Wire::new();
    wire.send('c', ACK, 100, 500, "ab").send('c', ACK, 102, 500, "c").send('c', 2, 70, 0, "");
    assert_eq!(wire.finish(), "open:? c0:ab c2:c CaptureEnd");
}

#[test]
fn refused_and_reset_and_blind_reset() {
    let mut wire = Wire::new();
    wire.send('c', 2, 99, 0, "").send('s', 0x14, 0, 100, "");
    assert_eq!(wire.finish(), "open:c rst:s! Ended");
    let mut wire = greeted();
    wire.send('s', 4, 500 + (1 << 24), 0, "")
        .send('c', ACK, 100, 500, "a")
        .send('s', 4, 500, 0, "");
    assert_eq!(wire.finish(), "open:c accept c0:a rst:s Ended");
}

#[test]
fn ports_used_again() {
    let mut wire = greeted();
    wire.send('c', ACK, 100, 500, "a");
    // A SYN alone could be anybody's; with its answer it is a new connection.
    wire.send('c', 2, 5000, 0, "").send('c', ACK, 101, 500, "b");
    assert_eq!(wire.log.join(" "), "open:c accept c0:a c1:b");
    wire.send('c', 2, 5000, 0, "").send('s', 0x12, 7000, 5001, "").send('c', ACK, 5001, 7001, "z");
    let log = wire.finish();
    assert_eq!(log, "open:c accept c0:a c1:b Reused 1/open:c 1/accept 1/c0:z 1/CaptureEnd");
}

#[test]
fn a_full_buffer_declares_a_gap_and_says_so() {
    let mut wire = greeted();
    wire.table.limits.early_bytes_per_half = 4;
    wire.send('c', ACK, 103, 500, "defgh");
    assert_eq!(wire.log.join(" "), "open:c accept gap:c0+3 c3:defgh");
    assert_eq!(wire.table.early_limit_hits, 1);
}

#[test]
fn ignored_flows_still_end() {
    let mut wire = greeted();
    let key = FlowKey::of(
        Endpoint { ip: [10, 0, 0, 1].into(), port: 40_000 },
        Endpoint { ip: [10, 0, 0, 2].into(), port: 8080 },
    );
    wire.table.ignore(key.0);
    wire.send('c', ACK, 100, 500, "abc")
        .send('c', 0x11, 103, 500, "")
        .send('s', 0x11, 500, 104, "");
    assert_eq!(wire.finish(), "open:c accept fin:c fin:s Ended");
    // What waited is no hole before the FIN.
    let mut wire = greeted();
    wire.send('c', ACK, 103, 500, "def");
    wire.table.ignore(key.0);
    wire.send('c', ACK, 100, 500, "abc")
        .send('c', 0x11, 106, 500, "")
        .send('s', 0x11, 500, 107, "");
    assert_eq!(wire.finish(), "open:c accept fin:c fin:s Ended");
}

/// A SYN in this packet from this port.
fn syn(packet: u64, port: u16) -> Segment<'static> {
    Segment {
        stamp: Stamp::new(0, packet, Timestamp(packet as i64)),
        source: Endpoint { ip: [10, 0, 0, 1].into(), port },
        destination: Endpoint { ip: [10, 0, 0, 2].into(), port: 80 },
        seq: Seq(1),
        ack: Seq(0),
        flags: TcpFlags(2),
        window: 0,
        payload: &[],
        cut: 0,
    }
}

#[test]
fn the_quietest_flow_goes_first() {
    let mut table = FlowTable::new(Limits { flows: 2, ..Limits::default() });
    let (mut log, mut flows) = (Vec::new(), Vec::new());
    for (packet, port) in [(1, 1), (2, 2), (3, 1), (4, 3)] {
        table.push(&syn(packet, port), &mut |id, item| log.push(line(&mut flows, id, &item)));
    }
    assert!(log.contains(&"1/Evicted".to_string()), "{log:?}");
    assert_eq!(table.evicted, 1);
}

#[test]
fn what_waits_for_its_begin_is_bounded() {
    for limits in [
        Limits { early_bytes: 50, ..Limits::default() },
        Limits { early_bytes_per_half: 50, ..Limits::default() },
    ] {
        let mut table = FlowTable::new(limits);
        table.push(&syn(1, 1), &mut |_, _| {});
        let begun = syn(1, 1);
        // The SYN,ACK is missing, and segments come latest first.
        for place in 0..8 {
            let segment = Segment {
                stamp: Stamp::new(0, 2 + place, Timestamp(2)),
                source: begun.destination,
                destination: begun.source,
                seq: Seq(1000 - 20 * place as u32),
                flags: TcpFlags(0x10),
                ack: Seq(2),
                payload: &[7; 20],
                ..begun
            };
            table.push(&segment, &mut |_, _| {});
            assert!(table.early_bytes <= 50, "{}", table.early_bytes);
        }
    }
}

#[test]
fn what_is_of_use_stays_while_strangers_go() {
    let limits = Limits { flows: 4, strangers: 2, ..Limits::default() };
    let mut table = FlowTable::new(limits.clone());
    let (mut log, mut flows) = (Vec::new(), Vec::new());
    let mut push = |table: &mut FlowTable, packet, port| {
        table.push(&syn(packet, port), &mut |id, item| log.push(line(&mut flows, id, &item)));
    };
    for port in 1..=2 {
        push(&mut table, u64::from(port), port);
        let source = syn(1, port).source;
        table.welcome(FlowKey::of(source, syn(1, port).destination).0);
    }
    for port in 3..=9 {
        push(&mut table, u64::from(port), port);
        assert!(table.index.len() <= limits.flows && table.strange <= limits.strangers);
    }
    // Of use are all that are left: the quietest of those goes.
    for port in 8..=9 {
        let source = syn(1, port).source;
        table.welcome(FlowKey::of(source, syn(1, port).destination).0);
    }
    push(&mut table, 10, 10);
    let mut gone: Vec<&str> = log.iter().filter_map(|line| line.strip_suffix("Evicted")).collect();
    // The first flow's number is left out.
    assert_eq!(gone.pop(), Some(""), "{gone:?}");
    gone.sort_unstable();
    assert_eq!(gone, ["2/", "3/", "4/", "5/", "6/"]);
}

#[test]
fn a_rst_beside_the_expected_octet_counts_only_if_nothing_follows() {
    for seq in [500 - 200, 499, 501, 1500] {
        let mut wire = greeted();
        wire.send('s', 4, seq, 0, "").send('c', ACK, 100, 500, "a");
        assert_eq!(wire.finish(), "open:c accept c0:a CaptureEnd", "{seq}");
    }
    let mut wire = greeted();
    wire.send('c', ACK, 100, 500, "a").send('s', 4, 70_000, 0, "");
    assert_eq!(wire.finish(), "open:c accept c0:a gap:s0+69500 rst:s CaptureEnd");
}

#[test]
fn a_fin_ahead_of_everything_is_not_believed() {
    let mut wire = greeted();
    wire.send('c', 0x11, 5000, 500, "").send('c', ACK, 100, 500, "a");
    assert_eq!(wire.finish(), "open:c accept c0:a CaptureEnd");
    let mut wire = greeted();
    wire.send('c', 0x11, 103, 500, "").send('s', ACK, 500, 104, "");
    assert_eq!(wire.finish(), "open:c accept gap:c0+3 fin:c CaptureEnd");
}

#[test]
fn without_syn_ack_and_first_ack_segments_out_of_order_are_not_lost() {
    let begun = || {
        let mut wire = Wire::new();
        wire.send('c', 2, 99, 0, "");
        wire
    };
    // The server's greeting, the wrong way round, before the client's first octets.
    let mut wire = begun();
    wire.send('s', ACK, 502, 100, "cd").send('s', ACK, 500, 100, "ab");
    wire.send('c', ACK, 100, 504, "ask");
    assert_eq!(wire.log.join(" "), "open:c s0:ab s2:cd c0:ask");
    // What the client acknowledges tells that the beginning is still to come.
    let mut wire = begun();
    wire.send('s', ACK, 502, 100, "cd").send('c', ACK, 100, 500, "ask");
    wire.send('s', ACK, 500, 100, "ab");
    assert_eq!(wire.log.join(" "), "open:c c0:ask s0:ab s2:cd");
    // The SYN,ACK comes late.
    let mut wire = begun();
    wire.send('s', ACK, 502, 100, "cd").send('s', 0x12, 499, 100, "");
    wire.send('s', ACK, 500, 100, "ab");
    assert_eq!(wire.log.join(" "), "open:c accept s0:ab s2:cd");
    // Nobody answers: it is told when enough have come, and at the end.
    let mut wire = begun();
    wire.send('s', ACK, 500, 100, "ab").send('s', 0x11, 502, 100, "");
    assert_eq!(wire.log.join(" "), "open:c");
    assert_eq!(wire.finish(), "open:c s0:ab fin:s CaptureEnd");
    let mut wire = begun();
    for number in 0..9 {
        wire.send('s', ACK, 500 + number, 100, "x");
    }
    assert_eq!(wire.log.len(), 10, "{:?}", wire.log);
    // A RST at once.
    let mut wire = begun();
    wire.send('s', ACK, 500, 100, "ab").send('s', 4, 502, 100, "");
    assert_eq!(wire.finish(), "open:c s0:ab rst:s Ended");
}

#[test]
fn fins_out_of_order_are_told_in_their_order() {
    // The client's answer to the server's FIN, before it and behind it.
    let (first, second) = (('s', 500, 100), ('c', 100, 501));
    for [one, two] in [[first, second], [second, first]] {
        let mut wire = greeted();
        for (from, seq, ack) in [one, two] {
            wire.send(from, 0x11, seq, ack, "");
        }
        assert_eq!(wire.finish(), "open:c accept fin:s fin:c Ended");
    }
    // In a capture that ends there, and with octets missing before them.
    let mut wire = greeted();
    wire.send('c', 0x11, 103, 541, "").send('s', 0x11, 540, 100, "");
    assert_eq!(wire.finish(), "open:c accept gap:c0+3 gap:s0+40 fin:s fin:c CaptureEnd");
}

#[test]
fn a_fin_that_overtakes_octets_and_an_acknowledgement_is_told_behind_them() {
    let mut wire = greeted();
    wire.send('s', 0x11, 503, 100, "").send('s', ACK, 500, 100, "");
    wire.send('s', ACK, 500, 100, "bye").send('c', 0x11, 100, 504, "");
    assert_eq!(wire.finish(), "open:c accept s0:bye fin:s fin:c Ended");
    // Nobody has taken it.
    let mut wire = greeted();
    wire.send('s', 0x11, 503, 100, "").send('s', ACK, 500, 100, "");
    wire.send('s', ACK, 500, 100, "bye").send('c', ACK, 100, 503, "");
    assert_eq!(wire.finish(), "open:c accept s0:bye CaptureEnd");
}

#[test]
fn a_fin_keeps_its_place_among_octets_that_waited_for_a_hole() {
    let mut wire = greeted();
    wire.send('s', ACK, 502, 100, "cd").send('c', 0x11, 100, 504, "").send('s', ACK, 504, 101, "G");
    assert_eq!(wire.finish(), "open:c accept gap:s0+2 s2:cd fin:c s4:G CaptureEnd");
}

#[test]
fn a_hole_that_only_a_fin_or_rst_shows_is_told() {
    let mut wire = greeted();
    wire.send('c', ACK, 100, 500, "ask").send('s', 0x11, 540, 103, "");
    assert_eq!(wire.finish(), "open:c accept c0:ask gap:s0+40 fin:s CaptureEnd");
    // Its sender goes on as if there were no FIN.
    let mut wire = greeted();
    wire.send('s', 0x11, 540, 100, "").send('s', ACK, 500, 100, "").send('c', ACK, 100, 500, "a");
    assert_eq!(wire.finish(), "open:c accept c0:a CaptureEnd");
    let mut wire = greeted();
    wire.send('s', 0x11, 1540, 100, "").send('s', ACK, 500, 100, "x").send('c', ACK, 100, 501, "a");
    wire.send('s', 0x11, 501, 101, "");
    assert_eq!(wire.finish(), "open:c accept s0:x c0:a fin:s CaptureEnd");
    // No window reaches so far.
    let mut wire = greeted();
    wire.send('s', 0x11, 500 + (1 << 25), 100, "");
    assert_eq!(wire.finish(), "open:c accept CaptureEnd");
    let mut wire = greeted();
    wire.send('c', ACK, 100, 500, "ask").send('s', 4, 540, 103, "");
    assert_eq!(wire.finish(), "open:c accept c0:ask gap:s0+40 rst:s CaptureEnd");
    // One octet is a FIN that was not captured.
    let mut wire = greeted();
    wire.send('c', ACK, 100, 500, "ask").send('s', 4, 501, 103, "");
    assert_eq!(wire.finish(), "open:c accept c0:ask rst:s CaptureEnd");
}

#[test]
fn what_stands_before_what_it_answers_waits_for_it() {
    let mut wire = greeted();
    wire.send('s', ACK, 500, 103, "yes").send('c', ACK, 100, 500, "ask");
    wire.send('s', 0x11, 503, 107, "").send('c', ACK, 106, 503, "").send('c', 0x11, 106, 503, "");
    wire.send('c', ACK, 103, 503, "bye");
    assert_eq!(wire.finish(), "open:c accept c0:ask s0:yes c3:bye fin:c fin:s Ended");
    // What was never captured is waited for as long as packets may come late.
    let mut wire = greeted();
    wire.send('c', ACK, 103, 500, "").send('s', ACK, 500, 103, "yes");
    assert_eq!(wire.log.join(" "), "open:c accept");
    assert_eq!(wire.finish(), "open:c accept gap:c0+3 s0:yes CaptureEnd");
}

#[test]
fn an_rst_before_the_octets_that_it_follows() {
    let mut wire = greeted();
    wire.send('s', 0x14, 503, 100, "").send('s', ACK, 500, 100, "bye");
    assert_eq!(wire.finish(), "open:c accept s0:bye rst:s Ended");
}

#[test]
fn a_syn_behind_its_octets_opens_nothing_new() {
    let mut wire = Wire::new();
    wire.send('c', ACK, 100, 500, "abc").send('c', ACK, 103, 500, "d");
    wire.send('c', 2, 99, 0, "").send('s', 0x12, 499, 100, "").send('s', ACK, 500, 104, "x");
    assert_eq!(wire.finish(), "open:? c0:abc c3:d syn:c accept s0:x CaptureEnd");
}

#[test]
fn a_late_copy_that_differs_is_told() {
    let mut wire = greeted();
    wire.send('c', ACK, 100, 500, "abcdef").send('c', ACK, 100, 500, "abcdef");
    wire.send('c', ACK, 102, 500, "cXYfgh").send('c', ACK, 107, 500, "?");
    assert_eq!(wire.finish(), "open:c accept c0:abcdef differs:c2:2 c6:gh CaptureEnd");
    // Of long ago nothing is known, and what the snap length cut is not compared.
    let mut wire = greeted();
    let counting: String = (0..3_000).map(|number| format!("{number:04}")).collect();
    wire.send('c', ACK, 100, 500, "first").send('c', ACK, 105, 500, &counting);
    wire.send('c', ACK, 105, 500, &counting).send('c', ACK, 10_105, 500, &counting[10_000..]);
    assert!(!wire.finish().contains("differs"));
    let mut wire = greeted();
    let long = "x".repeat(20_000);
    wire.send('c', ACK, 100, 500, &long).send_cut('c', ACK, 20_090, 500, "xxx", 7);
    wire.send('c', ACK, 100, 500, "old").send('c', ACK, 20_099, 500, "!?");
    let log = wire.finish();
    assert!(!log.contains("differs:c0") && log.contains("differs:c19999:1 c20000:?"));
}

/// The stall of the client's half as the end of the flow tells it: times sent again, packets of
/// its beginning, its last copy and its end.
fn stall_of(wire: &mut Wire) -> Option<(u32, u64, u64, Option<u64>)> {
    let mut told = None;
    wire.table.finish(&mut |_, item| {
        if let FlowItem::Closed { totals, .. } = item {
            told = totals.a.stall;
        }
    });
    told.map(|s| (s.again, s.from.packet(), s.last.packet(), s.until.map(|at| at.packet())))
}

#[test]
fn octets_sent_again_without_an_acknowledgement_are_a_stall() {
    let mut wire = greeted();
    wire.send('c', ACK, 100, 500, "abc").send('s', ACK, 500, 103, "");
    wire.send('c', ACK, 103, 500, "def");
    for _ in 0..3 {
        wire.send('c', ACK, 103, 500, "def");
    }
    assert_eq!(stall_of(&mut wire), Some((3, 6, 9, None)));
}

#[test]
fn an_acknowledgement_ends_a_stall_and_progress_is_none() {
    let mut wire = greeted();
    wire.send('c', ACK, 100, 500, "abc").send('c', ACK, 100, 500, "abc");
    wire.send('c', ACK, 100, 500, "abcdef").send('s', ACK, 500, 106, "");
    // Keep-alives repeat an octet that was acknowledged.
    wire.send('c', ACK, 105, 500, "f").send('c', ACK, 105, 500, "f");
    wire.send('c', ACK, 106, 500, "ghi").send('s', ACK, 500, 109, "");
    assert_eq!(stall_of(&mut wire), Some((2, 4, 6, Some(7))));
    let mut wire = greeted();
    wire.send('c', ACK, 100, 500, "abc").send('s', ACK, 500, 103, "");
    assert_eq!(stall_of(&mut wire), None);
}

#[test]
fn whatever_ends_a_flow_its_octets_are_no_longer_remembered() {
    let opened = || {
        let mut wire = greeted();
        wire.send('c', ACK, 100, 500, "ab");
        assert_eq!(wire.table.remembering, 1);
        wire
    };
    let mut quiet = opened();
    // A RST that its receiver might not take, and then nothing.
    quiet.send('c', 4, 150, 0, "");
    quiet.table.tick(Timestamp(10_000_000_000), &mut |_, _| ());
    assert_eq!(quiet.table.remembering, 0);
    quiet.table.tick(Timestamp(100_000_000_000), &mut |_, _| ());
    assert!(quiet.table.index.is_empty());
    let mut evicted = opened();
    let key = *evicted.table.index.keys().next().unwrap();
    evicted.table.evict(key, &mut |_, _| ());
    assert_eq!((evicted.table.remembering, evicted.table.evicted), (0, 1));
}
