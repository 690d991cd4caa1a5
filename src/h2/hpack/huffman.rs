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

/// Room that decoding takes at most: the shortest code has 5 bits, and symbols are written eight
/// octets at a time.
#[inline]
pub(super) fn most(input: &[u8]) -> usize {
    (input.len().saturating_mul(8) / 5).saturating_add(STORE)
}

/// Appends the octets that `input` stands for to `out`, and tells whether symbols with long codes
/// are among them: without, no octet is NUL, CR or LF. On a fault `out` holds undefined octets
/// behind its former end.
#[inline]
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> Result<bool, Fault> {
    let bits = Bits::of(input);
    let mut place = 0;
    let mut has_long = false;
    loop {
        // Four look-ups need at most 48 bits and give at most eight symbols: one store. A longer
        // code takes no bits and gives no symbol, and neither do the look-ups behind it. Nor do
        // the ones behind the end: no code of up to 12 bits begins with so many.
        let mut word = bits.at(place);
        let mut packed = 0_u64;
        // Lengths of all four together, and how many symbols they give.
        let mut sum = 0_u32;
        let mut last = 0;
        for _ in 0..4 {
            let index = (word >> (64 - INDEX_BITS)) as usize;
            last = u32::from(STEPS.get(index).copied().unwrap_or(0));
            let symbols = PAIRS.get(index).copied().unwrap_or(0);
            packed |= u64::from(symbols) << (sum >> COUNT << 3 & 63);
            sum += last;
            word <<= last & LENGTH;
        }
        place += (sum & LENGTH) as usize;
        store(out, packed, (sum >> COUNT) as usize);
        if last != 0 && place < bits.count {
            continue;
        }
        let word = bits.at(place);
        match bits.count.checked_sub(place) {
            // The last code is not all there, or what pads it is not the beginning of EOS.
            None => return Err(Fault::Padding),
            Some(left) if left < 8 && word == u64::MAX => return Ok(has_long),
            Some(left) => {
                let (symbol, length) = symbol(word);
                if length as usize > left {
                    return Err(Fault::Padding);
                }
                out.push(u8::try_from(symbol).map_err(|_| Fault::Eos)?);
                place += length as usize;
                has_long = true;
            }
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

/// The bits of a string, with ones behind them.
struct Bits<'a> {
    octets: &'a [u8],
    count: usize,
    /// The last eight octets, or all that there are, the last one as the least significant.
    last: u64,
}

impl<'a> Bits<'a> {
    fn of(octets: &'a [u8]) -> Self {
        let last = match octets.last_chunk::<8>() {
            Some(last) => u64::from_be_bytes(*last),
            None => octets.iter().fold(0, |word, octet| word << 8 | u64::from(*octet)),
        };
        Self { octets, count: octets.len() * 8, last }
    }

    /// At least 57 bits from `place` on, the first one as the most significant.
    #[inline(always)]
    fn at(&self, place: usize) -> u64 {
        let rest = self.octets.get(place / 8..).unwrap_or_default();
        if let Some(next) = rest.first_chunk::<8>() {
            return u64::from_be_bytes(*next) << (place % 8);
        }
        let missing = 64 - (self.count.max(place) - place);
        let ones = (1_u64 << (missing % 64)) - 1;
        if missing == 64 { u64::MAX } else { self.last << missing | ones }
    }
}

/// The first symbol of `word`, which has at least 30 bits and begins with a code of more than 12,
/// and its length.
#[cold]
fn symbol(word: u64) -> (u16, u32) {
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
/// Bits that [`STEPS`] and [`PAIRS`] are indexed by: 12 bits cover all codes of one symbol up to 12
/// bits, and two short ones.
const INDEX_BITS: u32 = 12;
// An entry of STEPS: the length stands in the lowest bits, where a shift takes it without a mask,
// and those of four look-ups add up to less than 64; the number of symbols above it.
const LENGTH: u32 = 63;
const COUNT: u32 = 6;

static CODES: Codes = codes();

/// One or two symbols by the bits that come next.
static PAIRS: [u16; 1 << INDEX_BITS] = tables().0;

/// The length of their codes together, and how many they are; 0 where the first symbol has a code
/// longer than 12 bits. A look-up waits for the one before it here alone: 4 KiB stay in the
/// first-level cache whatever is done between two strings.
static STEPS: [u8; 1 << INDEX_BITS] = tables().1;

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
const fn tables() -> ([u16; 1 << INDEX_BITS], [u8; 1 << INDEX_BITS]) {
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
    let (mut pairs, mut steps) = ([0; 1 << INDEX_BITS], [0; 1 << INDEX_BITS]);
    index = 0;
    while index < single.len() {
        let first = single[index];
        let length = first >> 8;
        if length > 0 {
            let next = single[(index << length) & (single.len() - 1)];
            let both = length + (next >> 8);
            let has_both = next > 0 && both <= INDEX_BITS;
            let second = if has_both { next & 0xff } else { 0 };
            pairs[index] = (first & 0xff | second << 8) as u16;
            steps[index] = if has_both { both | 2 << COUNT } else { length | 1 << COUNT } as u8;
        }
        index += 1;
    }
    (pairs, steps)
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
    fn octets_that_values_must_not_have_have_long_codes() {
        let is_short = |octet: u8| u32::from(LENGTHS[usize::from(octet)]) <= INDEX_BITS;
        assert!([b'\0', b'\r', b'\n'].iter().all(|octet| !is_short(*octet)));
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
