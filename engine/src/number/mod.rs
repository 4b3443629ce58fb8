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

/// Appends `value` as a JSON number, always valid JSON; what is not finite (which no stored value is) is `null`.
///
/// With `is_count`, whole values have no `.0`. Magnitudes from 1e21 and below 1e-7 are written with an exponent.
#[inline]
pub fn write(value: f64, is_count: bool, out: &mut Vec<u8>) {
    let magnitude = value.abs();
    if is_whole(magnitude) && magnitude < WHOLE_MAX {
        if value.is_sign_negative() {
            out.push(b'-');
        }
        write_digits(to_u64(magnitude), out);
        if !is_count {
            out.extend_from_slice(b".0");
        }
    } else if let Some(hundredths) = exact_hundredths(magnitude) {
        if value.is_sign_negative() {
            out.push(b'-');
        }
        write_hundredths(hundredths, out);
    } else {
        write_any(value, is_count, out);
    }
}

/// Appends a whole number.
pub fn write_u64(number: u64, out: &mut Vec<u8>) {
    write_digits(number, out);
}

#[expect(clippy::float_cmp, reason = "exactly whole is what is asked")]
#[inline]
fn is_whole(magnitude: f64) -> bool {
    magnitude.trunc() == magnitude
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "callers pass 0 to 1e15")]
#[inline]
fn to_u64(magnitude: f64) -> u64 {
    magnitude as u64
}

/// The number of hundredths, if a text of two decimals reads back to exactly `magnitude`.
///
/// A text is read as the f64 nearest to it, and so is the quotient of two exact integers: equal here is equal there.
#[expect(clippy::float_cmp, clippy::cast_precision_loss, reason = "reading back to the same f64 is what is asked")]
#[inline]
fn exact_hundredths(magnitude: f64) -> Option<u64> {
    if magnitude >= HUNDREDTHS_MAX || magnitude.is_nan() {
        return None;
    }
    let hundredths = to_u64((magnitude * 100.0).round());
    (hundredths as f64 / 100.0 == magnitude).then_some(hundredths)
}

#[inline]
fn write_hundredths(hundredths: u64, out: &mut Vec<u8>) {
    write_digits(hundredths / 100, out);
    let (tenth, hundredth) = (digit(hundredths / 10), digit(hundredths));
    if hundredth == b'0' {
        out.extend_from_slice(&[b'.', tenth]);
    } else {
        out.extend_from_slice(&[b'.', tenth, hundredth]);
    }
}

/// The last digit.
#[inline]
fn digit(number: u64) -> u8 {
    b'0' + u8::try_from(number % 10).unwrap_or(0)
}

#[inline]
fn write_digits(number: u64, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut rest = number;
    let mut count = 0;
    for place in digits.iter_mut().rev() {
        *place = digit(rest);
        rest /= 10;
        count += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - count..).unwrap_or_default());
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
