//! The Huffman code of HPACK (RFC 7541 section 5.2 and Appendix B).
//!
//! The code is canonical, so the lengths of its symbols say it all: both tables below are built
//! from them by the compiler. Twelve bits of input look up one or two symbols at once; symbols
//! with longer codes are rare in header fields and take a search over the lengths.

/// What is wrong with a Huffman-coded string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The EOS symbol inside the string.
    Eos,
    /// Padding longer than 7 bits, or not the most significant bits of EOS.
    Padding,
}

/// Appends the octets that `input` stands for to `out`. On a fault `out` holds undefined octets
/// behind its former end.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    // The shortest code has 5 bits; symbols are written eight octets at a time.
    out.reserve((input.len().saturating_mul(8) / 5).saturating_add(STORE));
    let mut bits = Bits { word: 0, have: 0, rest: input };
    loop {
        bits.refill();
        if bits.have < 4 * INDEX_BITS {
            return tail(bits, out);
        }
        // Four look-ups need at most 48 bits and give at most eight symbols: one store.
        let mut packed = 0_u64;
        let mut symbols = 0;
        let mut is_long = false;
        for _ in 0..4 {
            let pair = pair(bits.word);
            if pair == 0 {
                is_long = true;
                break;
            }
            packed |= u64::from(pair & 0xffff) << (8 * symbols);
            symbols += (pair >> COUNT) & 0x3;
            bits.skip((pair >> LENGTH) & 0xf);
        }
        store(out, packed, symbols as usize);
        if is_long {
            bits.refill();
            let Some(symbol) = bits.one()? else { return Ok(()) };
            out.push(symbol);
        }
    }
}

/// Appends the first `symbols` octets of `packed`.
#[inline(always)]
fn store(out: &mut Vec<u8>, packed: u64, symbols: usize) {
    let length = out.len();
    out.extend_from_slice(&packed.to_le_bytes());
    out.truncate(length + symbols);
}

/// The last octets, when there are too few bits for a full look at them.
fn tail(mut bits: Bits<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    loop {
        // Padding is the beginning of EOS: ones.
        let padded = bits.padded();
        if bits.have < 8 && padded == u64::MAX && bits.rest.is_empty() {
            return Ok(());
        }
        let pair = pair(padded);
        let length = (pair >> LENGTH) & 0xf;
        let first = (pair >> FIRST_LENGTH) & 0xf;
        if pair != 0 && length <= bits.have {
            store(out, u64::from(pair & 0xffff), ((pair >> COUNT) & 0x3) as usize);
            bits.skip(length);
        } else if pair != 0 && first <= bits.have {
            out.push((pair & 0xff) as u8);
            bits.skip(first);
        } else {
            bits.refill();
            let Some(symbol) = bits.one()? else { return Ok(()) };
            out.push(symbol);
        }
    }
}

/// The next bits of a string, the first one as the most significant bit of `word`.
struct Bits<'a> {
    word: u64,
    /// Bits of `word` that count, 0 to 64. What follows them is zero or the bits that come next.
    have: u32,
    rest: &'a [u8],
}

impl Bits<'_> {
    /// Fills `word` to more than 56 bits, or with all that is left.
    #[inline(always)]
    fn refill(&mut self) {
        if self.have > 56 {
            return;
        }
        if let Some(next) = self.rest.first_chunk::<8>() {
            self.word |= u64::from_be_bytes(*next) >> self.have;
            let octets = (63 - self.have) >> 3;
            self.rest = self.rest.get(octets as usize..).unwrap_or_default();
            self.have += octets * 8;
            return;
        }
        while self.have <= 56
            && let Some((&octet, rest)) = self.rest.split_first()
        {
            self.word |= u64::from(octet) << (56 - self.have);
            self.have += 8;
            self.rest = rest;
        }
    }

    #[inline(always)]
    fn skip(&mut self, length: u32) {
        self.word <<= length;
        self.have -= length;
    }

    /// The bits left, with ones behind them.
    #[inline(always)]
    fn padded(&self) -> u64 {
        self.word | u64::MAX.checked_shr(self.have).unwrap_or(0)
    }

    /// The next symbol whatever its length; `None` at a proper end. Called after `refill`.
    fn one(&mut self) -> Result<Option<u8>, Fault> {
        let padded = self.padded();
        let (symbol, length) = symbol(padded);
        if length > self.have {
            let proper = self.have < 8 && padded == u64::MAX;
            return if proper { Ok(None) } else { Err(Fault::Padding) };
        }
        self.skip(length);
        match u8::try_from(symbol) {
            Ok(octet) => Ok(Some(octet)),
            Err(_) => Err(Fault::Eos),
        }
    }
}

/// Entry of [`PAIRS`] for the first bits of `word`.
#[inline(always)]
fn pair(word: u64) -> u32 {
    PAIRS.get((word >> (64 - INDEX_BITS)) as usize).copied().unwrap_or(0)
}

/// The first symbol of `word`, which has at least 30 bits, and its length.
fn symbol(word: u64) -> (u16, u32) {
    let pair = pair(word);
    if pair != 0 {
        return ((pair & 0xff) as u16, (pair >> FIRST_LENGTH) & 0xf);
    }
    let code = word >> 32;
    for (row, length) in CODES.rows.iter().zip(0_u32..) {
        if code < row.end && length > 0 {
            let place = row.start + ((code - row.first) >> (32 - length)) as usize;
            return (CODES.order.get(place).copied().unwrap_or(EOS), length);
        }
    }
    (EOS, MAX_LENGTH)
}

/// All codes of one length, aligned to the left of 32 bits.
#[derive(Clone, Copy)]
struct Row {
    /// First code.
    first: u64,
    /// Just behind the last code; `first` where there is none.
    end: u64,
    /// Place of the first code's symbol in [`Codes::order`].
    start: usize,
}

/// The canonical code.
struct Codes {
    /// By length.
    rows: [Row; MAX_LENGTH as usize + 1],
    /// Symbols in the order of their codes.
    order: [u16; 257],
}

/// Octets that one store writes.
const STORE: usize = 8;
const EOS: u16 = 256;
const MAX_LENGTH: u32 = 30;
/// Bits that [`PAIRS`] is indexed by. 12 bits cover all codes of one symbol up to 12 bits, and 16
/// KiB stay in the first-level cache.
const INDEX_BITS: u32 = 12;
// Bit positions in an entry of PAIRS: the symbols stand in bits 0 to 15.
const LENGTH: u32 = 16;
const COUNT: u32 = 20;
const FIRST_LENGTH: u32 = 24;

static CODES: Codes = codes();

/// One or two symbols, their length together, their count and the length of the first; 0 where
/// the first symbol has a code longer than 12 bits.
static PAIRS: [u32; 1 << INDEX_BITS] = pairs();

#[allow(clippy::indexing_slicing, reason = "runs in the compiler: a miss would not build")]
const fn codes() -> Codes {
    let mut rows = [Row { first: 0, end: 0, start: 0 }; MAX_LENGTH as usize + 1];
    let mut order = [0; 257];
    let mut place = 0;
    let mut code = 0_u64;
    let mut length = 1;
    while length <= MAX_LENGTH {
        let step = 1_u64 << (32 - length);
        rows[length as usize] = Row { first: code, end: code, start: place };
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as u32 == length {
                order[place] = symbol as u16;
                place += 1;
                code += step;
            }
            symbol += 1;
        }
        rows[length as usize].end = code;
        length += 1;
    }
    Codes { rows, order }
}

#[allow(clippy::indexing_slicing, reason = "runs in the compiler: a miss would not build")]
const fn pairs() -> [u32; 1 << INDEX_BITS] {
    // The first symbol of each index and its length in bits 8 and up.
    let codes = codes();
    let mut single = [0_u32; 1 << INDEX_BITS];
    let mut index = 0;
    while index < single.len() {
        let code = (index as u64) << (32 - INDEX_BITS);
        let mut length = 1;
        while length <= INDEX_BITS {
            let row = codes.rows[length as usize];
            if code < row.end {
                let place = row.start + ((code - row.first) >> (32 - length)) as usize;
                single[index] = codes.order[place] as u32 | length << 8;
                break;
            }
            length += 1;
        }
        index += 1;
    }
    let mut pairs = [0; 1 << INDEX_BITS];
    index = 0;
    while index < single.len() {
        let first = single[index];
        let length = first >> 8;
        if length > 0 {
            let next = single[(index << length) & (single.len() - 1)];
            let both = length + (next >> 8);
            pairs[index] = (first & 0xff) | length << FIRST_LENGTH;
            pairs[index] |= if next > 0 && both <= INDEX_BITS {
                (next & 0xff) << 8 | both << LENGTH | 2 << COUNT
            } else {
                length << LENGTH | 1 << COUNT
            };
        }
        index += 1;
    }
    pairs
}

/// Length of each symbol's code in bits (RFC 7541 Appendix B).
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn text(input: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut out = b"kept".to_vec();
        decode(input, &mut out)?;
        Ok(out.split_off(4))
    }

    #[test]
    fn examples_of_the_rfc() {
        let host = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(text(&host).unwrap(), b"www.example.com");
        assert_eq!(text(&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]).unwrap(), b"no-cache");
        assert_eq!(text(&[]).unwrap(), b"");
    }

    #[test]
    fn every_symbol_alone_and_in_company() {
        for symbol in 0..=255_u8 {
            for before in [&b""[..], b"0", b"abcdefghijk", b"\x00\xff~"] {
                for after in [&b""[..], b"Z", b"www.example.com/index.html?", b"\xf9\xf9"] {
                    let plain = [before, &[symbol], after].concat();
                    let mut coded = Vec::new();
                    httlib_huffman_encode(&plain, &mut coded);
                    assert_eq!(text(&coded).unwrap(), plain);
                }
            }
        }
    }

    /// Encodes with httlib's encoder, taking the string back out of a literal field.
    fn httlib_huffman_encode(plain: &[u8], out: &mut Vec<u8>) {
        let mut block = Vec::new();
        httlib_hpack::Encoder::default()
            .encode((vec![], plain.to_vec(), httlib_hpack::Encoder::HUFFMAN_VALUE), &mut block)
            .unwrap();
        let string = &block[2..];
        let skip = if string[0] == 0xff { 2 } else { 1 };
        out.extend_from_slice(&string[skip..]);
    }

    #[test]
    fn padding_is_less_than_an_octet_of_ones() {
        assert_eq!(text(&[0x1f]).unwrap(), b"a");
        assert_eq!(text(&[0x18]), Err(Fault::Padding));
        assert_eq!(text(&[0x1e]), Err(Fault::Padding));
        assert_eq!(text(&[0xff]), Err(Fault::Padding));
        assert_eq!(text(&[0x1f, 0xff]), Err(Fault::Padding));
        assert_eq!(text(&[0xff, 0xff, 0xff]), Err(Fault::Padding));
        // The beginning of a long code is no padding.
        assert_eq!(text(&[0xff, 0xfe]), Err(Fault::Padding));
    }

    #[test]
    fn eos_is_a_fault() {
        assert_eq!(text(&[0xff, 0xff, 0xff, 0xff]), Err(Fault::Eos));
        assert_eq!(text(&[0x1f, 0xff, 0xff, 0xff, 0xff]), Err(Fault::Eos));
        assert_eq!(text(&[0xff, 0xff, 0xff, 0xfc, 0x1f]), Err(Fault::Eos));
        let mut late = vec![0x00; 40];
        late.extend_from_slice(&[0xff; 4]);
        late.extend_from_slice(&[0x00; 40]);
        assert_eq!(text(&late), Err(Fault::Eos));
    }
}
