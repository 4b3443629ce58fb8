//! Times as `DELTA_BINARY_PACKED`: differences of neighbours, less the smallest of their block, in as many bits as the
//! largest of each small group needs.
//!
//! ```text
//! header  varint(block values)  varint(groups a block)  varint(values)  zigzag(first value)
//! block   zigzag(smallest difference)  one byte of width for each group  groups
//! ```
//!
//! Source: [Encodings.md](https://github.com/apache/parquet-format/blob/master/Encodings.md), DELTA_BINARY_PACKED = 5.

use super::hybrid::{pack, varint};

/// Differences of a block.
const BLOCK: usize = 256;
/// Differences of a group: one width.
const GROUP: usize = 64;

fn zigzag(value: i64, out: &mut Vec<u8>) {
    varint((value.wrapping_shl(1) ^ (value >> 63)).cast_unsigned(), out);
}

/// Appends the values. Some 2 ns each.
pub(super) fn encode(values: &[i64], out: &mut Vec<u8>) {
    let Some((first, rest)) = values.split_first() else { return };
    varint(BLOCK as u64, out);
    varint((BLOCK / GROUP) as u64, out);
    varint(values.len() as u64, out);
    zigzag(*first, out);
    let mut before = *first;
    let mut differences = [0_i64; BLOCK];
    for block in rest.chunks(BLOCK) {
        let mut least = i64::MAX;
        for (difference, value) in differences.iter_mut().zip(block) {
            *difference = value.wrapping_sub(before);
            least = least.min(*difference);
            before = *value;
        }
        zigzag(least, out);
        let widths_at = out.len();
        out.extend([0; BLOCK / GROUP]);
        let used = differences.get_mut(..block.len()).unwrap_or_default();
        for (nth, group) in used.chunks(GROUP).enumerate() {
            let above = |difference: &i64| difference.wrapping_sub(least).cast_unsigned();
            let width = width_of(group.iter().map(above).fold(0, |all, above| all | above));
            if let Some(at) = out.get_mut(widths_at + nth) {
                *at = u8::try_from(width).unwrap_or_default();
            }
            let padding = std::iter::repeat_n(0, GROUP - group.len());
            pack(group.iter().map(above).chain(padding), width, out);
        }
    }
}

/// Bits of a group whose differences have these bits set, in whole bytes: zstd then finds the differences that repeat,
/// as of times of whole seconds most do, and a point is a seventh smaller than packed to the bit.
fn width_of(bits: u64) -> u32 {
    (u64::BITS - bits.leading_zeros()).next_multiple_of(8)
}
