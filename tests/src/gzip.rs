//! Two gzip writers that need no library: one that stores, one that makes a bomb.
//!
//! Both write RFC 1952 members with one RFC 1951 block. The bomb is a run of zeros behind a dynamic Huffman code in
//! which "258 more bytes" costs two bits: about 1,000 to 1, as good as DEFLATE gets.

const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// A gzip member that holds `bytes` uncompressed; at most 65,535 of them.
pub fn stored(bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).expect("a stored block holds at most 65,535 bytes");
    let mut out = HEADER.to_vec();
    out.push(1);
    out.extend(len.to_le_bytes());
    out.extend((!len).to_le_bytes());
    out.extend(bytes);
    out.extend(crc32(bytes).to_le_bytes());
    out.extend(u32::from(len).to_le_bytes());
    out
}

/// A gzip member that inflates to at least `bytes` zeros. Its checksum is wrong: nobody should get that far.
pub fn bomb(bytes: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    // Last block, dynamic code; 286 literal/length codes, 1 distance code, 18 code-length codes.
    bits.number(1, 1);
    bits.number(2, 2);
    bits.number(286 - 257, 5);
    bits.number(0, 5);
    bits.number(18 - 4, 4);
    // Code-length code, in the order of RFC 1951, 3.2.7: symbol 18 has one bit, symbols 1 and 2 have two.
    for symbol in [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1] {
        bits.number(
            match symbol {
                18 => 1,
                1 | 2 => 2,
                _ => 0,
            },
            3,
        );
    }
    let zeros = |bits: &mut Bits, count: u32| {
        bits.code("0");
        bits.number(count - 11, 7);
    };
    // Lengths: literal 0 two bits, end-of-block two, length 258 (code 285) one; the one distance one.
    bits.code("11");
    zeros(&mut bits, 138);
    zeros(&mut bits, 117);
    bits.code("11");
    zeros(&mut bits, 28);
    bits.code("10");
    bits.code("10");
    // One zero, then copies of it: length 258 is `0`, distance 1 is `0`, the literal `10`, the end `11`.
    bits.code("10");
    for _ in 0..bytes.div_ceil(258) {
        bits.number(0, 2);
    }
    bits.code("11");
    let mut out = HEADER.to_vec();
    out.extend(bits.finish());
    out.extend([0; 8]);
    out
}

/// Bits from the least significant on, as DEFLATE wants them.
#[derive(Default)]
struct Bits {
    out: Vec<u8>,
    pending: u8,
    len: u8,
}

impl Bits {
    fn bit(&mut self, bit: u8) {
        self.pending |= bit << self.len;
        self.len += 1;
        if self.len == 8 {
            self.out.push(self.pending);
            self.pending = 0;
            self.len = 0;
        }
    }

    /// A number, low bit first.
    fn number(&mut self, number: u32, len: u32) {
        for place in 0..len {
            self.bit(u8::from(number >> place & 1 == 1));
        }
    }

    /// A Huffman code, as written.
    fn code(&mut self, code: &str) {
        for digit in code.bytes() {
            self.bit(u8::from(digit == b'1'));
        }
    }

    fn finish(mut self) -> Vec<u8> {
        while self.len != 0 {
            self.bit(0);
        }
        self.out
    }
}

/// CRC-32 of RFC 1952, bit by bit: test bodies are small.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_gzips() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_bomb_is_a_thousandth_of_what_it_inflates_to() {
        let bytes = bomb(1 << 20);
        assert!(bytes.len() < 1100 && bytes.len() > 1000, "{}", bytes.len());
    }
}
