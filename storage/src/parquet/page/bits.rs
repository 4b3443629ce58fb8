//! Packed bits, runs and differences: the encodings that Parquet builds on integers.
//!
//! Everything gives exactly the number of values that is asked for, or `None`: damaged bytes end a read, they never
//! reach outside and never allocate more than the values wanted.

use std::iter::repeat_n;

/// Takes a varint off the front.
pub(super) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for (nth, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * nth);
        if byte & 0x80 == 0 {
            *bytes = bytes.get(nth + 1..)?;
            return Some(value);
        }
    }
    None
}

/// The signed number behind a zigzag one.
pub(super) fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Takes `len` bytes off the front.
fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

/// Fills `out` with values of `width` bits, 1 to 64, from the lowest bit of the first byte on.
#[inline]
fn unpack<T>(bytes: &[u8], width: usize, out: &mut [T], of: impl Fn(u64) -> T) -> Option<()> {
    if bytes.len() < width.checked_mul(out.len())?.div_ceil(8) {
        return None;
    }
    match width {
        1..=8 => unpack_words::<8, T>(bytes, width, out, of),
        9..=14 => unpack_words::<4, T>(bytes, width, out, of),
        15..=28 => unpack_words::<2, T>(bytes, width, out, of),
        29..=57 => unpack_words::<1, T>(bytes, width, out, of),
        58..=64 => unpack_one_by_one(bytes, width, 0, out, of),
        _ => None,
    }
}

/// `EACH` values from each load of eight bytes: they and up to seven bits before them fit into 64 bits.
#[inline]
fn unpack_words<const EACH: usize, T>(bytes: &[u8], width: usize, out: &mut [T], of: impl Fn(u64) -> T) -> Option<()> {
    let mask = u64::MAX >> (64 - width);
    let mut done = 0;
    for group in out.chunks_exact_mut(EACH) {
        let bit = done * width;
        let Some(word) = bytes.get(bit / 8..).and_then(|rest| rest.first_chunk()) else { break };
        let mut word = u64::from_le_bytes(*word) >> (bit % 8);
        for value in group {
            *value = of(word & mask);
            word >>= width;
        }
        done += EACH;
    }
    // The last ones, where eight bytes would reach beyond the end.
    unpack_one_by_one(bytes, width, done, out, of)
}

fn unpack_one_by_one<T>(bytes: &[u8], width: usize, done: usize, out: &mut [T], of: impl Fn(u64) -> T) -> Option<()> {
    let mask = u64::MAX >> (64 - width);
    for (nth, value) in out.iter_mut().enumerate().skip(done) {
        let bit = nth * width;
        let rest = bytes.get(bit / 8..)?;
        let mut word = [0; 16];
        for (to, from) in word.iter_mut().zip(rest) {
            *to = *from;
        }
        let [low @ .., _, _, _, _, _, _, _, _] = (u128::from_le_bytes(word) >> (bit % 8)).to_le_bytes();
        *value = of(u64::from_le_bytes(low) & mask);
    }
    Some(())
}

/// Decodes `count` keys of `width` bits from runs and packed bits (`RLE`).
pub(super) fn keys(mut bytes: &[u8], width: usize, count: usize, out: &mut Vec<i32>) -> Option<()> {
    if width > 31 {
        return None;
    }
    out.clear();
    out.reserve_exact(count);
    while out.len() < count {
        let left = count - out.len();
        let head = varint(&mut bytes)?;
        let length = usize::try_from(head >> 1).ok()?;
        if head & 1 == 0 {
            let mut key = [0; 4];
            for (to, from) in key.iter_mut().zip(take(&mut bytes, width.div_ceil(8))?) {
                *to = *from;
            }
            let key = i32::from_le_bytes(key);
            if length == 0 || key < 0 {
                return None;
            }
            out.extend(repeat_n(key, length.min(left)));
        } else {
            // Groups of eight; the last one may be longer than what is wanted, and its bytes may be cut.
            let wanted = length.checked_mul(8)?.min(left);
            if wanted == 0 {
                return None;
            }
            let packed = bytes.get(..length.checked_mul(width)?).unwrap_or(bytes);
            if width == 0 {
                out.extend(repeat_n(0, wanted));
            } else if width == 8 {
                // As the writer packs keys of values.
                out.extend(packed.get(..wanted)?.iter().map(|key| i32::from(*key)));
            } else {
                let start = out.len();
                out.resize(start + wanted, 0);
                unpack(packed, width, out.get_mut(start..)?, |key| i32::try_from(key).unwrap_or(i32::MAX))?;
            }
            bytes = bytes.get(packed.len()..)?;
        }
    }
    Some(())
}

/// Most values that a miniblock may have; the writer's has 32 or 64.
const MINIBLOCK_MAX: usize = 1 << 16;

/// Decodes `count` values of differences (`DELTA_BINARY_PACKED`).
pub(super) fn delta(mut bytes: &[u8], count: usize) -> Option<Vec<i64>> {
    let block = usize::try_from(varint(&mut bytes)?).ok()?;
    let miniblocks = usize::try_from(varint(&mut bytes)?).ok()?;
    let total = usize::try_from(varint(&mut bytes)?).ok()?;
    let mut value = zigzag(varint(&mut bytes)?);
    if total != count || count == 0 {
        return None;
    }
    let miniblock = block.checked_div(miniblocks).filter(|values| (1..=MINIBLOCK_MAX).contains(values))?;
    let mut values = Vec::with_capacity(count);
    values.push(value);
    let mut differences = vec![0_u64; miniblock.min(count)];
    while values.len() < count {
        let least = zigzag(varint(&mut bytes)?);
        let widths = take(&mut bytes, miniblocks)?;
        for width in widths {
            let wanted = miniblock.min(count - values.len());
            if wanted == 0 {
                break;
            }
            let width = usize::from(*width);
            // The last one of a page is padded, or not, as its writer likes.
            let packed = bytes.get(..miniblock.checked_mul(width)?.div_ceil(8)).unwrap_or(bytes);
            bytes = bytes.get(packed.len()..)?;
            let differences = differences.get_mut(..wanted)?;
            if width == 0 {
                differences.fill(0);
            } else {
                unpack(packed, width, differences, |difference| difference)?;
            }
            values.extend(differences.iter().map(|difference| {
                value = value.wrapping_add(least).wrapping_add(difference.cast_signed());
                value
            }));
        }
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(values: &[u64], width: usize) -> Vec<u8> {
        let mut bytes = vec![0_u8; (values.len() * width).div_ceil(8)];
        for (nth, value) in values.iter().enumerate() {
            for bit in (0..width).filter(|bit| value >> bit & 1 == 1) {
                let at = nth * width + bit;
                bytes[at / 8] |= 1 << (at % 8);
            }
        }
        bytes
    }

    proptest! {
        #[test]
        fn what_is_packed_bit_by_bit_unpacks(width in 1..=64_usize, values in prop::collection::vec(any::<u64>(), 0..90)) {
            let values: Vec<u64> = values.into_iter().map(|value| value & (u64::MAX >> (64 - width))).collect();
            let bytes = packed(&values, width);
            let mut found = vec![0; values.len()];
            unpack(&bytes, width, &mut found, |value| value).unwrap();
            prop_assert_eq!(&found, &values);
            if !bytes.is_empty() {
                prop_assert!(unpack(&bytes[1..], width, &mut found, |value| value).is_none());
            }
        }

        #[test]
        fn any_bytes_give_the_count_or_nothing(
            bytes in prop::collection::vec(any::<u8>(), 0..64), width in 0..40_usize, count in 0..200_usize,
        ) {
            let mut found = Vec::new();
            if keys(&bytes, width, count, &mut found).is_some() {
                prop_assert_eq!(found.len(), count);
            }
            if let Some(found) = delta(&bytes, count) {
                prop_assert_eq!(found.len(), count);
            }
        }
    }

    #[test]
    fn runs_and_packed_groups_follow_each_other() {
        // Five times 3; then a group of eight of width 2: 0, 1, 2, 3, 0, 1, 2, 3; then 200 times 1.
        let bytes = [10, 3, 3, 0b1110_0100, 0b1110_0100, 0x90, 3, 1];
        let mut found = Vec::new();
        keys(&bytes, 2, 213, &mut found).unwrap();
        let expected: Vec<i32> = repeat_n(3, 5).chain([0, 1, 2, 3, 0, 1, 2, 3]).chain(repeat_n(1, 200)).collect();
        assert_eq!(found, expected);
        assert!(keys(&bytes, 2, 214, &mut found).is_none());
    }

    #[test]
    fn a_number_of_more_than_64_bits_is_refused() {
        assert_eq!(varint(&mut &[0xff; 11][..]), None);
        assert_eq!([0, 1, 2, 3, u64::MAX].map(zigzag), [0, -1, 1, -2, i64::MIN]);
    }
}
