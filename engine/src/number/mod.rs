//! A measured value as JSON: the shortest text that reads back to the same f64.
//!
//! Whole values are written as `62.0`, in metrics of counts as `9241`. Nearly all values of a watch are whole or have
//! one or two decimals, so these are written by hand and the rest by the standard library.

use std::io::Write as _;

/// Whole numbers below are exact in an f64, and so are their hundreds: 2^53 is 9.007e15.
const WHOLE_MAX: f64 = 1e15;
/// Values below with two decimals have at most 15 digits, which every f64 tells apart.
const HUNDREDTHS_MAX: f64 = 1e12;
/// From here on digits without an exponent would only be zeros.
const EXPONENT_FROM: f64 = 1e21;
/// Below this digits without an exponent would begin with many zeros.
const EXPONENT_BELOW: f64 = 1e-7;

/// Longest text of [`write_before`]: a sign, fifteen digits and `.0`, or fewer digits and two decimals.
pub(crate) const ROOM_BYTES: usize = 24;

/// Appends `value` as a JSON number, always valid JSON; what is not finite (which no stored value is) is `null`.
///
/// With `is_count`, whole values have no `.0`. Magnitudes from 1e21 and below 1e-7 are written with an exponent.
#[inline]
pub fn write(value: f64, is_count: bool, out: &mut Vec<u8>) {
    let mut room = [0; ROOM_BYTES];
    match write_before(value, is_count, &mut room) {
        Some(start) => out.extend_from_slice(room.get(start..).unwrap_or_default()),
        None => write_any(value, is_count, out),
    }
}

/// Appends a whole number.
pub fn write_u64(number: u64, out: &mut Vec<u8>) {
    let mut room = [0; ROOM_BYTES];
    let start = digits_before(number, &mut room, ROOM_BYTES);
    out.extend_from_slice(room.get(start..).unwrap_or_default());
}

/// Writes what [`write()`] would at the end of `room`, so that what follows a number can stand behind it already; gives
/// where it begins. `None`, and nonsense in `room`, for the few values that are neither whole nor have two decimals.
#[inline]
pub(crate) fn write_before(value: f64, is_count: bool, room: &mut [u8; ROOM_BYTES]) -> Option<usize> {
    let magnitude = value.abs();
    let mut start = if let Some(whole) = exact_whole(magnitude) {
        let end = if is_count { ROOM_BYTES } else { put(room, ROOM_BYTES, *b".0") };
        digits_before(whole, room, end)
    } else {
        let hundredths = exact_hundredths(magnitude)?;
        let [tenth, hundredth] = pair(hundredths % 100);
        let end = match hundredth {
            b'0' => put(room, ROOM_BYTES, [b'.', tenth]),
            _ => put(room, ROOM_BYTES, [b'.', tenth, hundredth]),
        };
        digits_before(hundredths / 100, room, end)
    };
    if value.is_sign_negative() {
        start = put(room, start, *b"-");
    }
    Some(start)
}

/// Puts bytes before `end`; gives where they begin.
#[inline]
fn put<const N: usize>(room: &mut [u8; ROOM_BYTES], end: usize, bytes: [u8; N]) -> usize {
    let start = end.saturating_sub(N);
    if let Some(place) = room.get_mut(start..).and_then(|rest| rest.first_chunk_mut()) {
        *place = bytes;
    }
    start
}

/// Puts the digits of a number before `end`, two at a time; gives where they begin.
#[inline]
fn digits_before(number: u64, room: &mut [u8; ROOM_BYTES], mut end: usize) -> usize {
    let mut rest = number;
    while rest >= 100 {
        end = put(room, end, pair(rest % 100));
        rest /= 100;
    }
    let [tens, ones] = pair(rest);
    if rest >= 10 { put(room, end, [tens, ones]) } else { put(room, end, [ones]) }
}

/// The two digits of a number below 100.
#[inline]
fn pair(number: u64) -> [u8; 2] {
    static PAIRS: [[u8; 2]; 100] = {
        let mut pairs = [[b'0'; 2]; 100];
        let mut digits = *b"00";
        let mut rest: &mut [[u8; 2]] = &mut pairs;
        while let Some((first, others)) = rest.split_first_mut() {
            *first = digits;
            rest = others;
            digits = match digits {
                [tens, b'9'] => [tens + 1, b'0'],
                [tens, ones] => [tens, ones + 1],
            };
        }
        pairs
    };
    usize::try_from(number).ok().and_then(|number| PAIRS.get(number)).copied().unwrap_or(*b"00")
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "callers pass 0 to 1e15")]
#[inline]
fn to_u64(magnitude: f64) -> u64 {
    // By way of the signed integer: the processor has no conversion to the other one.
    (magnitude as i64) as u64
}

/// The number itself, if it is whole and its digits are exact.
#[expect(clippy::float_cmp, clippy::cast_precision_loss, reason = "exactly whole is what is asked")]
#[inline]
fn exact_whole(magnitude: f64) -> Option<u64> {
    let whole = to_u64(magnitude);
    (magnitude < WHOLE_MAX && whole as f64 == magnitude).then_some(whole)
}

/// The number of hundredths, if a text of two decimals reads back to exactly `magnitude`.
///
/// A text is read as the f64 nearest to it, and so is the quotient of two exact integers: equal here is equal there.
#[expect(clippy::float_cmp, clippy::cast_precision_loss, reason = "reading back to the same f64 is what is asked")]
#[inline]
fn exact_hundredths(magnitude: f64) -> Option<u64> {
    // Not so for what is not a number.
    if magnitude < HUNDREDTHS_MAX {
        let hundredths = to_u64(magnitude * 100.0 + 0.5);
        (hundredths as f64 / 100.0 == magnitude).then_some(hundredths)
    } else {
        None
    }
}

#[expect(clippy::float_cmp, reason = "exactly whole is what is asked")]
fn is_whole(magnitude: f64) -> bool {
    magnitude.trunc() == magnitude
}

#[cold]
fn write_any(value: f64, is_count: bool, out: &mut Vec<u8>) {
    let magnitude = value.abs();
    if !value.is_finite() {
        out.extend_from_slice(b"null");
        return;
    }
    // Writing into a `Vec` cannot fail.
    if (EXPONENT_BELOW..EXPONENT_FROM).contains(&magnitude) {
        let _ = write!(out, "{value}");
        if is_whole(magnitude) && !is_count {
            out.extend_from_slice(b".0");
        }
    } else {
        let _ = write!(out, "{value:e}");
    }
}

#[cfg(test)]
mod tests;
