//! Parquet's hybrid of run lengths and bit packing: dictionary keys, definition levels, booleans.
//!
//! ```text
//! run     varint(count << 1)         value in ceil(width / 8) bytes
//! packed  varint(groups << 1 | 1)    groups × 8 values of `width` bits, least significant first
//! ```
//!
//! Source: [Encodings.md](https://github.com/apache/parquet-format/blob/master/Encodings.md), RLE = 3.

#![expect(clippy::cast_possible_truncation, reason = "the bits above are shifted down or are known to be zero")]

/// Values that a packed group holds.
const GROUP: usize = 8;

/// Appends `value` as a ULEB128 varint.
pub(super) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// Bits that the largest value needs; at least one, as some readers take no width of zero.
pub(super) fn width_of(max: u32) -> u32 {
    (u32::BITS - max.leading_zeros()).max(1)
}

/// Encodes runs of equal values. A run costs the same however long it is.
#[derive(Debug)]
pub(super) struct Hybrid<'a> {
    out: &'a mut Vec<u8>,
    width: u32,
    literals: Vec<u32>,
}

impl<'a> Hybrid<'a> {
    /// Appends to `out` values of at most `width` bits.
    pub(super) fn new(out: &'a mut Vec<u8>, width: u32) -> Self {
        Self { out, width, literals: Vec::new() }
    }

    /// Appends `count` times `value`.
    pub(super) fn push(&mut self, value: u32, count: usize) {
        let open = self.literals.len() % GROUP;
        let filling = if open == 0 { 0 } else { count.min(GROUP - open) };
        self.literals.extend(std::iter::repeat_n(value, filling));
        let count = count - filling;
        if count < GROUP {
            self.literals.extend(std::iter::repeat_n(value, count));
            return;
        }
        self.pack();
        varint((count as u64) << 1, self.out);
        let bytes = value.to_le_bytes();
        self.out.extend(bytes.iter().take(self.width.div_ceil(8) as usize));
    }

    /// Appends values as they are, without looking for runs: for values that hardly repeat.
    pub(super) fn extend(&mut self, values: &[u32]) {
        self.literals.extend_from_slice(values);
    }

    /// Ends the last group, padded with zeros that readers do not count.
    pub(super) fn finish(mut self) {
        let len = self.literals.len().next_multiple_of(GROUP);
        self.literals.resize(len, 0);
        self.pack();
    }

    fn pack(&mut self) {
        if self.literals.is_empty() {
            return;
        }
        varint((self.literals.len() / GROUP) as u64 * 2 + 1, self.out);
        pack(self.literals.iter().map(|literal| u64::from(*literal)), self.width, self.out);
        self.literals.clear();
    }
}

/// Packs values of `width` bits (at most 64), least significant bit first. Together they must fill whole bytes.
pub(super) fn pack(values: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    match width {
        0 => {}
        8 => out.extend(values.map(|value| value as u8)),
        16 => values.for_each(|value| out.extend_from_slice(&(value as u16).to_le_bytes())),
        32 => values.for_each(|value| out.extend_from_slice(&(value as u32).to_le_bytes())),
        width if width < 32 => {
            let (mut open, mut bits) = (0_u64, 0);
            for value in values {
                open |= value << bits;
                bits += width;
                if bits >= 32 {
                    out.extend_from_slice(&(open as u32).to_le_bytes());
                    open >>= 32;
                    bits -= 32;
                }
            }
            out.extend(open.to_le_bytes().iter().take(bits.div_ceil(8) as usize));
        }
        _ => {
            let (mut open, mut bits) = (0_u128, 0);
            for value in values {
                open |= u128::from(value) << bits;
                bits += width;
                if bits >= 64 {
                    out.extend_from_slice(&(open as u64).to_le_bytes());
                    open >>= 64;
                    bits -= 64;
                }
            }
            out.extend(open.to_le_bytes().iter().take(bits.div_ceil(8) as usize));
        }
    }
}
