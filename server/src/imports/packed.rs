//! The pieces of a day by one maker, and what its counters showed, packed into a few bytes each.
//!
//! ```text
//! version (1), then for each item, by strand and start:
//! strand u8 │ rank u8 │ start behind the day's begin │ length │ offset │ value f64 little-endian
//! ```
//!
//! The highest bit of the rank says that the item is the reading of a counter: it began at the start, and showed the
//! value at the end.
//!
//! Start and length are LEB128 numbers: `2·seconds`, or `2·microseconds + 1` where there is a fraction. The offset is
//! `2·` its quarters of an hour, or `2·` its seconds `+ 1`, each after zigzag.

use engine::time::{DAY_US, SECOND_US};

/// The layout's version.
const VERSION: u8 = 1;

/// Seconds of the smallest step of time zones today.
const QUARTER_S: i32 = 900;

/// The bit of the rank that tells readings.
const READING: u8 = 0x80;

/// What becomes of a piece that a maker has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasting {
    /// It stays: two that begin together are two. So are the phone's own, whose times are cut to seconds.
    AsWritten,
    /// It is sent again, perhaps longer by then, and replaced.
    UntilSentAgain,
}

/// A piece, or the reading of a counter, as it is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Item {
    /// Whether it is a reading.
    pub(super) is_reading: bool,
    /// Of which quantity.
    pub(super) strand: u8,
    /// The maker's, where the person has said nothing; below 128.
    pub(super) rank: u8,
    /// First microsecond, UTC; not before its day.
    pub(super) start: i64,
    /// First microsecond behind; when the counter was read.
    pub(super) end: i64,
    /// Steps, or kcal.
    pub(super) value: f64,
    /// Seconds east of UTC, as the file says.
    pub(super) offset_s: i32,
}

impl Item {
    /// Two items of one maker and of the same key are the same: the later one stands. Readings have their moment in it,
    /// pieces their end where the maker keeps what it wrote.
    pub(super) fn key(&self, lasting: Lasting) -> (u8, i64, i64) {
        let has_end = self.is_reading || lasting == Lasting::AsWritten;
        (self.strand, self.start, if has_end { self.end } else { i64::MIN })
    }
}

/// Packs items that start on a day of UTC.
pub(super) fn pack(day: i64, items: &[Item]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + items.len() * 18);
    out.push(VERSION);
    for item in items {
        let reading = if item.is_reading { READING } else { 0 };
        out.extend_from_slice(&[item.strand, item.rank & !READING | reading]);
        write_time(item.start - day * DAY_US, &mut out);
        write_time(item.end - item.start, &mut out);
        let zigzag = |number: i32| u64::from((number.wrapping_shl(1) ^ (number >> 31)).cast_unsigned());
        match item.offset_s % QUARTER_S {
            0 => write_number(zigzag(item.offset_s / QUARTER_S) << 1, &mut out),
            _ => write_number(zigzag(item.offset_s) << 1 | 1, &mut out),
        }
        out.extend_from_slice(&item.value.to_le_bytes());
    }
    out
}

fn write_time(us: i64, out: &mut Vec<u8>) {
    let us = us.max(0).cast_unsigned();
    let second = SECOND_US.cast_unsigned();
    let number = if us.is_multiple_of(second) { us / second * 2 } else { us * 2 + 1 };
    write_number(number, out);
}

fn write_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Unpacks what [`pack`] has packed; `None` if it is something else.
pub(super) fn unpack(day: i64, bytes: &[u8]) -> Option<Vec<Item>> {
    let (version, mut rest) = bytes.split_first()?;
    if *version != VERSION {
        return None;
    }
    let mut items = Vec::with_capacity(rest.len() / 14);
    while !rest.is_empty() {
        let [strand, rank] = *take::<2>(&mut rest)?;
        let start = day * DAY_US + read_time(&mut rest)?;
        let end = start.checked_add(read_time(&mut rest)?)?;
        let offset = read_number(&mut rest)?;
        let zigzag = u32::try_from(offset >> 1).ok()?;
        let number = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
        let offset_s = if offset & 1 == 0 { number.checked_mul(QUARTER_S)? } else { number };
        let value = f64::from_le_bytes(*take::<8>(&mut rest)?);
        let (is_reading, rank) = (rank & READING != 0, rank & !READING);
        items.push(Item { is_reading, strand, rank, start, end, value, offset_s });
    }
    Some(items)
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(taken)
}

fn read_time(rest: &mut &[u8]) -> Option<i64> {
    let number = read_number(rest)?;
    let us = if number & 1 == 0 { (number >> 1).checked_mul(SECOND_US.cast_unsigned())? } else { number >> 1 };
    i64::try_from(us).ok()
}

fn read_number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..63).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn any_item(day: i64)(
            is_reading in any::<bool>(),
            strand in any::<u8>(),
            rank in 0..128_u8,
            start in prop_oneof![0..DAY_US, (0..86_400_i64).prop_map(|s| s * SECOND_US)],
            length in prop_oneof![1..2 * DAY_US, (1..172_800_i64).prop_map(|s| s * SECOND_US)],
            value in 0.0..30_000.0_f64,
            offset_s in prop_oneof![-64_800..64_800_i32, (-72..72_i32).prop_map(|quarters| quarters * QUARTER_S)],
        ) -> Item {
            let start = day * DAY_US + start;
            Item { is_reading, strand, rank, start, end: start + length, value, offset_s }
        }
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out_again(items in prop::collection::vec(any_item(20_000), 0..50)) {
            prop_assert_eq!(unpack(20_000, &pack(20_000, &items)), Some(items));
        }

        #[test]
        fn bytes_that_are_something_else_are_no_items_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            unpack(20_000, &bytes);
        }
    }

    #[test]
    fn a_usual_piece_takes_few_bytes() {
        let start = 20_000 * DAY_US + 30_000 * SECOND_US;
        let end = start + 60 * SECOND_US;
        let item = Item { is_reading: false, strand: 0, rank: 0, start, end, value: 42.0, offset_s: 7_200 };
        assert_eq!(pack(20_000, &[item; 10]).len(), 1 + 10 * 15);
    }
}
