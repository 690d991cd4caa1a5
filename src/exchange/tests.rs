//! Tests of the whole way from script to packets.

use super::*;
use etherparse::{PacketHeaders, PayloadSlice, TransportHeader};

/// A packet taken apart again, its checksums checked.
struct Seen {
    micros: i64,
    /// `C` or `S` and the flags: `C SA`.
    what: String,
    port: u16,
    seq: u32,
    ack: u32,
    payload: Vec<u8>,
}

fn seen(script: &str) -> Vec<Seen> {
    packets(script).unwrap().iter().map(|(at, packet)| take_apart(*at, packet)).collect()
}

fn take_apart(at: i64, packet: &[u8]) -> Seen {
    let headers = PacketHeaders::from_ethernet_slice(packet).unwrap();
    let Some(etherparse::NetHeaders::Ipv4(ip, _)) = headers.net else { panic!("no IPv4") };
    let Some(TransportHeader::Tcp(tcp)) = headers.transport else { panic!("no TCP") };
    let PayloadSlice::Tcp(payload) = headers.payload else { panic!("no TCP payload") };
    assert_eq!(ip.header_checksum, ip.calc_header_checksum());
    assert_eq!(tcp.checksum, tcp.calc_checksum_ipv4(&ip, payload).unwrap());
    let client = ip.source == [10, 0, 0, 1];
    let flags: String = [(tcp.syn, 'S'), (tcp.fin, 'F'), (tcp.rst, 'R'), (tcp.ack, 'A')]
        .iter()
        .filter(|(set, _)| *set)
        .map(|(_, letter)| *letter)
        .collect();
    assert_eq!(if client { tcp.destination_port } else { tcp.source_port }, 8080);
    Seen {
        micros: (at - START) / 1000,
        what: format!("{} {flags}", if client { 'C' } else { 'S' }),
        port: if client { tcp.source_port } else { tcp.destination_port },
        seq: tcp.sequence_number,
        ack: tcp.acknowledgment_number,
        payload: payload.to_vec(),
    }
}

/// What the first packet of a one-line script carries, in hexadecimal.
fn sent(item: &str) -> String {
    let packets = seen(&format!("0 C> {item}"));
    packets[0].payload.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[test]
fn frames_are_exact() {
    let cases = [
        ("PREFACE", "505249202a20485454502f322e300d0a0d0a534d0d0a0d0a"),
        ("SETTINGS", "000000040000000000"),
        ("SETTINGS ACK", "000000040100000000"),
        (
            "SETTINGS MAX_CONCURRENT_STREAMS=100 0x99=1",
            "00000c040000000000000300000064009900000001",
        ),
        ("HEADERS 1 END_STREAM :method=GET :path=/", "0000020105000000018284"),
        ("HEADERS 3 PRIORITY=1 NO_END_HEADERS", "000005012000000003000000010f"),
        ("HEADERS 1 PAD=2 :method=GET", "000004010c0000000102820000"),
        ("HEADERS 1 !a=b", "00000501040000000110811f818f"),
        ("CONTINUATION 1 :scheme=http", "00000109040000000186"),
        ("PUSH_PROMISE 1 2 :method=GET", "0000050504000000010000000282"),
        ("DATA 1 3 END_STREAM", "000003000100000001787878"),
        ("DATA 1 \"a\\n\" PAD=1", "00000400080000000101610a00"),
        ("RST_STREAM 1 CANCEL", "00000403000000000100000008"),
        ("RST_STREAM 1 0xfffffc78", "000004030000000001fffffc78"),
        ("PRIORITY 5", "000005020000000005000000000f"),
        ("PRIORITY 5 0x80000003 255", "00000502000000000580000003ff"),
        ("PING 0000000000000001", "0000080600000000000000000000000001"),
        ("PING ACK 0102030405060708", "0000080601000000000102030405060708"),
        ("GOAWAY 2147483647 PROTOCOL_ERROR \"no\"", "00000a0700000000007fffffff000000016e6f"),
        ("GOAWAY 0 0x2a", "000008070000000000000000000000002a"),
        ("WINDOW_UPDATE 0 1000", "000004080000000000000003e8"),
        ("FRAME 0x2a 0x01 7 00ff", "0000022a010000000700ff"),
        ("RAW 00 0102", "000102"),
        ("TEXT \"GET / HTTP/1.1\\r\\n\"", "474554202f20485454502f312e310d0a"),
    ];
    for (item, octets) in cases {
        assert_eq!(sent(item), octets, "{item}");
    }
}

#[test]
fn header_blocks_share_a_table_per_direction() {
    let script = "\
        0 C> HEADERS 1 x=y\n\
        1 C> HEADERS 3 x=y\n\
        2 S> HEADERS 1 x=y\n\
        3 S> SETTINGS HEADER_TABLE_SIZE=0\n\
        4 C> HEADERS 5 x=y\n\
        5 C> SETTINGS ACK\n\
        6 C> HEADERS 7 :method=GET\n\
        7 C> HEADERS 9 x=y\n";
    let blocks: Vec<Vec<u8>> = seen(script)
        .into_iter()
        .filter(|packet| packet.payload.get(3) == Some(&1))
        .map(|packet| packet.payload[9..].to_vec())
        .collect();
    let literal = vec![0x40, 0x81, 0xf3, 0x81, 0xf5];
    assert_eq!(blocks[0], literal);
    assert_eq!(blocks[1], [0xbe]);
    assert_eq!(blocks[2], literal);
    assert_eq!(blocks[3], [0xbe]);
    assert_eq!(blocks[4], [0x20, 0x82]);
    assert_eq!(blocks[5], literal);
}

#[test]
fn sequence_numbers_and_acknowledgements() {
    let packets = seen(
        "0 SYN\n\
         0 C> PREFACE\n\
         + SETTINGS\n\
         1.5 S> TEXT \"abc\"\n\
         1.5 C> TEXT \"d\"     # crosses\n\
         2 C> FIN\n\
         3 S> RST\n",
    );
    let rows: Vec<(i64, &str, u32, u32, usize)> = packets
        .iter()
        .map(|seen| {
            let (c, s) = (1_000_001, 5_000_001);
            let (own, other) = if seen.what.starts_with('C') { (c, s) } else { (s, c) };
            let ack = seen.ack.wrapping_sub(other);
            (seen.micros, &*seen.what, seen.seq.wrapping_sub(own), ack, seen.payload.len())
        })
        .collect();
    let before = u32::MAX;
    let unset = 0_u32.wrapping_sub(5_000_001);
    assert_eq!(
        rows,
        [
            (0, "C S", before, unset, 0),
            (0, "S SA", before, 0, 0),
            (0, "C A", 0, 0, 0),
            (0, "C A", 0, 0, 33),
            (20, "S A", 0, 33, 0),
            (1500, "S A", 0, 33, 3),
            (1500, "C A", 33, 0, 1),
            (1520, "C A", 34, 3, 0),
            (1520, "S A", 3, 34, 0),
            (2000, "C FA", 34, 3, 0),
            (2020, "S A", 3, 35, 0),
            (3000, "S RA", 3, 35, 0),
        ]
    );
}

#[test]
fn gaps_connections_and_port_reuse() {
    let packets = seen(
        "0 SYN\n\
         @2 0 SYN\n\
         1 GAP C 1\n\
         1 C> TEXT \"lost\"\n\
         2 C> TEXT \"kept\"\n\
         @2 2 C> TEXT \"two\"\n\
         9 SYN\n",
    );
    let texts: Vec<(u16, u32, &[u8])> = packets
        .iter()
        .filter(|seen| !seen.payload.is_empty())
        .map(|seen| (seen.port, seen.seq - 1_000_001, &*seen.payload))
        .collect();
    assert_eq!(texts, [(40001, 4, &b"kept"[..]), (40002, 0, b"two")]);
    // The loss is of the capture: the server acknowledges it.
    assert!(packets.iter().any(|seen| seen.micros == 1020 && seen.ack == 1_000_005));
    let again = packets.iter().find(|seen| seen.micros == 9000).unwrap();
    assert_eq!((again.what.as_str(), again.port, again.seq), ("C S", 40001, 2_000_008));
}

#[test]
fn long_packets_are_split() {
    let packets = seen("0 S> DATA 1 150000\n");
    let lengths: Vec<usize> =
        packets.iter().map(|seen| seen.payload.len()).filter(|&length| length > 0).collect();
    assert_eq!(lengths, [64_000, 64_000, 22_009]);
}

#[test]
fn the_file_is_a_nanosecond_pcap() {
    let script = "1.000001 C> TEXT \"a\"";
    let file = pcap(script).unwrap();
    let packets = packets(script).unwrap();
    assert_eq!(file[..8], [0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0]);
    assert_eq!(file[20..24], [1, 0, 0, 0]);
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    assert_eq!((word(24), word(28)), (1_700_000_000, 1_000_001));
    assert_eq!((word(32), word(36)), (55, 55));
    assert_eq!(file[40..95], packets[0].1);
    assert_eq!(packets.len(), 2);
    assert_eq!(file.len(), 24 + 16 + 55 + 16 + 54);
    assert_eq!(pcap("").unwrap().len(), 24);
}

#[test]
fn errors_name_their_line() {
    let cases = [
        ("0 SYN\n\nx C> PREFACE", 3, "`x` is no time in milliseconds"),
        ("5 SYN\n4 C> PREFACE", 2, "time goes back"),
        ("0 SYN\n1", 2, "the line ends too early"),
        ("0 SYN now", 1, "`now` is too much"),
        ("0 X> PREFACE", 1, "`X` is no side: write C or S"),
        ("0 C PREFACE", 1, "`C` is neither an arrow (C> or S>) nor SYN nor GAP"),
        ("0 C>", 1, "nothing to send: name a frame"),
        ("0 C> HEADER 1", 1, "`HEADER` is no frame and nothing else to send"),
        ("0 C> HEADERS one", 1, "`one` is not a stream identifier"),
        ("0 C> HEADERS 1 method", 1, "`method` is no field: write name=value"),
        ("0 C> HEADERS 1 END", 1, "`END` is no flag here"),
        ("0 C> SETTINGS WINDOW=1", 1, "`WINDOW` is no setting's name"),
        ("0 C> RST_STREAM 1 OOPS", 1, "`OOPS` is no error code"),
        ("0 C> RST_STREAM 1", 1, "here must stand an error code"),
        ("0 C> RAW 0", 1, "`0` is not whole octets in hexadecimal"),
        ("0 C> PING 00 ACK 1 1", 1, "`1` is not whole octets in hexadecimal"),
        ("0 C> FIN 1", 1, "`1` is too much"),
        ("0 C> TEXT \"a", 1, "a quote is not closed"),
        ("0 SYN\n+ PREFACE", 2, "`+` continues a line that sends something"),
        ("0 C> FIN\n+ PREFACE", 2, "nothing follows FIN or RST in a packet"),
        ("@0 0 SYN", 1, "`@0` is no connection: write @1 to @20000"),
        ("0 GAP C many", 1, "`many` is no number of packets"),
        ("0 C> DATA 1 99999999", 1, "`99999999` is no number of octets"),
    ];
    for (script, line, message) in cases {
        let error = packets(script).unwrap_err();
        assert_eq!((error.line, error.message.as_str()), (line, message), "{script}");
    }
    assert_eq!(packets("0").unwrap_err().to_string(), "line 1: the line ends too early");
}

#[test]
fn the_documented_script_is_legal() {
    let source = include_str!("../exchange.rs");
    let script: String = source
        .lines()
        .skip_while(|line| !line.contains("```text"))
        .skip(1)
        .take_while(|line| !line.contains("```"))
        .map(|line| format!("{}\n", line.trim_start_matches("//!")))
        .collect();
    assert!(seen(&script).len() > 40);
}
