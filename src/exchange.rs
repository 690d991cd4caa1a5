//! Exchange scripts: a conversation in text becomes a capture.
//!
//! Takes a script, gives packets or a pcap file in memory, never touches a disk. For tests and
//! for explanations. One line is one item; times are milliseconds since the start and never go
//! back:
//!
//! ```text
//! 0 SYN                          # handshake; without it the flow is joined midway
//! 0 C> PREFACE
//! + SETTINGS MAX_CONCURRENT_STREAMS=100    # `+`: in the same packet as the line above
//! 1 S> SETTINGS HEADER_TABLE_SIZE=0 0x99=1
//! 1 S> SETTINGS ACK
//! 2 C> HEADERS 1 END_STREAM :method=GET :path=/slow user-agent="a b" !cookie=secret
//! 2 C> HEADERS 3 PRIORITY=1 PAD=8 NO_END_HEADERS :method=POST
//! + CONTINUATION 3 :path=/
//! 3 C> DATA 3 100                # 100 octets
//! 3.5 C> DATA 3 "text" PAD=4 END_STREAM
//! 4 S> HEADERS 1 END_STREAM :status=200
//! 5 C> RST_STREAM 3 CANCEL       # or a number
//! 6 S> GOAWAY 2147483647 PROTOCOL_ERROR "debug data"
//! 7 S> PING 0000000000000001
//! 8 C> PING ACK 0000000000000001
//! 9 C> WINDOW_UPDATE 0 1000
//! 9 C> PRIORITY 5 1 15           # depends on stream 1, weight field 15; both may be left out
//! 9 S> PUSH_PROMISE 1 2 :method=GET
//! 9 S> FRAME 0x2a 0x01 0 00ff    # type, flags, stream, payload
//! 10 C> RAW 00 0004 08           # anything at all
//! 10 C> TEXT "GET / HTTP/1.1\r\n\r\n"
//! 11 GAP C 3                     # the client's next 3 packets with something in them are lost
//! 12 S> FIN
//! 12 C> RST                    # or BARE_RST, which acknowledges nothing
//! @2 20 SYN                      # a second connection, from its own client port
//! ```
//!
//! The server is 10.0.0.2:8080, client `@n` is 10.0.0.1:40000+n and `@1` may be left out; other
//! hosts stand behind a SYN: `@3 30 SYN 10.0.0.2 10.0.0.3:80`. Each
//! packet with something in it is acknowledged by an empty one 0.02 ms later. A packet
//! acknowledges what was sent at least that much earlier, so lines with the same time cross on
//! the way. `!` makes a field a never-indexed literal; all others take the shortest form that
//! the table offers, Huffman-coded. Packets longer than 64,000 octets are split.

mod item;
mod token;
mod wire;

use std::fmt;

use crate::vocab::address::Side;
use item::Item;
use token::Token;
use wire::{Ends, Wire};

/// Why a script cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for ScriptError {}

/// The script's packets in time order: nanoseconds since the Unix epoch, counted from
/// [`START`], and the Ethernet frame.
pub fn packets(script: &str) -> Result<Vec<(i64, Vec<u8>)>, ScriptError> {
    let lines = parse(script)?;
    let mut wire = Wire::default();
    let mut lines = lines.into_iter().peekable();
    while let Some(line) = lines.next() {
        let number = line.number;
        let at_line = |message| ScriptError { line: number, message };
        wire.until(line.at).map_err(at_line)?;
        match line.act {
            Act::Syn(ends) => {
                wire.handshake(line.connection, line.at, ends).map_err(at_line)?;
            }
            Act::Gap(side, count) => wire.lose(line.connection, side, count),
            Act::Send(side, item) => {
                let mut items = vec![item];
                while let Some(next) = lines.next_if(|next| next.joins) {
                    if let Act::Send(_, item) = next.act {
                        items.push(item);
                    }
                }
                wire.send(line.connection, side, line.at, &items).map_err(at_line)?;
            }
        }
    }
    let last = script.lines().count();
    wire.finish().map_err(|message| ScriptError { line: last, message })
}

/// The script's packets as a pcap file: classic format, nanoseconds, Ethernet.
pub fn pcap(script: &str) -> Result<Vec<u8>, ScriptError> {
    let mut file = Vec::new();
    for word in [MAGIC_NANOSECONDS, VERSION, 0, 0, SNAPLEN, LINKTYPE_ETHERNET] {
        file.extend(word.to_le_bytes());
    }
    for (at, packet) in packets(script)? {
        let length = u32::try_from(packet.len()).unwrap_or(SNAPLEN);
        let seconds = u32::try_from(at.div_euclid(SECOND)).unwrap_or(0);
        let fraction = u32::try_from(at.rem_euclid(SECOND)).unwrap_or(0);
        for word in [seconds, fraction, length, length] {
            file.extend(word.to_le_bytes());
        }
        file.extend(packet);
    }
    Ok(file)
}

/// One line of a script.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    number: usize,
    connection: u16,
    /// Nanoseconds since the Unix epoch.
    at: i64,
    /// Whether it goes into the packet of the line before.
    joins: bool,
    act: Act,
}

#[derive(Debug, PartialEq, Eq)]
enum Act {
    /// The client's address, and the server's with its port, where they are told.
    Syn(Option<Ends>),
    Gap(Side, u32),
    Send(Side, Item),
}

fn parse(script: &str) -> Result<Vec<Line>, ScriptError> {
    let mut lines: Vec<Line> = Vec::new();
    for (text, number) in script.lines().zip(1..) {
        let at_line = |message| ScriptError { line: number, message };
        let tokens = token::tokens(text).map_err(at_line)?;
        if tokens.is_empty() {
            continue;
        }
        let line = parse_line(&tokens, number, lines.last()).map_err(at_line)?;
        lines.push(line);
    }
    Ok(lines)
}

fn parse_line(tokens: &[Token], number: usize, last: Option<&Line>) -> Result<Line, String> {
    let (first, mut rest) = tokens.split_first().ok_or("an empty line")?;
    let mut word = first.word();
    if word == "+" {
        return joined(rest, number, last);
    }
    let mut advance = || -> Result<&str, String> {
        let (next, behind) = rest.split_first().ok_or("the line ends too early")?;
        rest = behind;
        Ok(next.word())
    };
    let mut connection = 1;
    if let Some(id) = word.strip_prefix('@') {
        connection = item::number(id)
            .filter(|id| (1..=CONNECTIONS_MAX).contains(id))
            .ok_or_else(|| format!("`{word}` is no connection: write @1 to @{CONNECTIONS_MAX}"))?;
        word = advance()?;
    }
    let at = time(word).ok_or_else(|| format!("`{word}` is no time in milliseconds"))?;
    if last.is_some_and(|last| last.at > at) {
        return Err("time goes back".to_owned());
    }
    let act = match advance()? {
        "SYN" => match rest.split_first() {
            Some((client, [server])) => {
                rest = &[];
                Act::Syn(Some(ends(client.word(), server.word())?))
            }
            _ => Act::Syn(None),
        },
        "GAP" => {
            let side = side(advance()?)?;
            let count = advance()?;
            let count = item::number(count).ok_or(format!("`{count}` is no number of packets"))?;
            Act::Gap(side, count)
        }
        arrow => {
            let letter = arrow.strip_suffix('>').ok_or_else(|| {
                format!("`{arrow}` is neither an arrow (C> or S>) nor SYN nor GAP")
            })?;
            let side = side(letter)?;
            let item = Item::parse(rest)?;
            return Ok(Line { number, connection, at, joins: false, act: Act::Send(side, item) });
        }
    };
    if let Some(token) = rest.first() {
        return Err(format!("`{}` is too much", token.word()));
    }
    Ok(Line { number, connection, at, joins: false, act })
}

/// The hosts of a connection.
fn ends(client: &str, server: &str) -> Result<Ends, String> {
    let ends = client.parse().ok().zip(server.parse().ok());
    ends.ok_or_else(|| "write the hosts as 10.0.0.2 10.0.0.3:80".to_owned())
}

/// A line that begins with `+`.
fn joined(tokens: &[Token], number: usize, last: Option<&Line>) -> Result<Line, String> {
    let Some(&Line { connection, at, act: Act::Send(side, ref before), .. }) = last else {
        return Err("`+` continues a line that sends something".to_owned());
    };
    if matches!(before, Item::Fin | Item::Rst(_)) {
        return Err("nothing follows FIN or RST in a packet".to_owned());
    }
    let act = Act::Send(side, Item::parse(tokens)?);
    Ok(Line { number, connection, at, joins: true, act })
}

fn side(letter: &str) -> Result<Side, String> {
    match letter {
        "C" => Ok(Side::Client),
        "S" => Ok(Side::Server),
        other => Err(format!("`{other}` is no side: write C or S")),
    }
}

/// Milliseconds with up to six decimals, as nanoseconds since the Unix epoch.
fn time(word: &str) -> Option<i64> {
    let (whole, decimals) = word.split_once('.').unwrap_or((word, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
    if !all_digits(whole) || !all_digits(decimals) || decimals.len() > 6 {
        return None;
    }
    let whole: i64 = whole.parse().ok().filter(|&whole| whole <= TIME_MAX_MS)?;
    let decimals: i64 = format!("{decimals:0<6}").parse().ok()?;
    Some(START + whole * MILLISECOND + decimals)
}

/// Time of a script's millisecond 0, in nanoseconds since the Unix epoch.
pub const START: i64 = 1_700_000_000 * SECOND;

const SECOND: i64 = 1_000_000_000;
const MILLISECOND: i64 = 1_000_000;
/// A bit more than eleven days.
const TIME_MAX_MS: i64 = 1_000_000_000;
/// Client ports go up from 40001.
const CONNECTIONS_MAX: u16 = 20_000;
// The pcap file header (draft-ietf-opsawg-pcap).
const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
/// 2.4, as two little-endian halves.
const VERSION: u32 = 0x0004_0002;
const SNAPLEN: u32 = 262_144;
const LINKTYPE_ETHERNET: u32 = 1;

#[cfg(test)]
mod tests;
