//! RFC 3339 to microseconds since 1970 UTC and back, by hand: once per point in both directions.
//!
//! Neighbouring points share their day, so both [`Parser`] and [`Formatter`] remember the last one; what is left is a
//! few digits. What is read: `YYYY-MM-DDThh:mm:ss`, a fraction of any length, `Z` or `±hh:mm`; `t`, `z` and a space
//! for the `T` too, as RFC 3339, section 5.6 allows.
//!
//! - A fraction is cut off behind the microsecond, never rounded: a time does not move into the next second.
//! - A leap second (`23:59:60` in UTC) is the second after it, as POSIX counts; `:60` anywhere else is refused.
//! - The offset `-00:00` (offset unknown) is UTC.
//! - What is written: UTC with `Z`; no fraction when it is zero, else as many of six digits as are needed.
//!
//! Not here: which times a point may carry (`ingest`), days in a time zone (`query`).

/// Microseconds of a second.
pub const SECOND_US: i64 = 1_000_000;
/// Microseconds of a minute.
pub const MINUTE_US: i64 = 60 * SECOND_US;
/// Microseconds of an hour.
pub const HOUR_US: i64 = 60 * MINUTE_US;
/// Microseconds of a UTC day.
pub const DAY_US: i64 = 24 * HOUR_US;

/// `0000-01-01T00:00:00Z`, the earliest that four digits of a year can say.
const FIRST_US: i64 = -719_528 * DAY_US;
/// `9999-12-31T23:59:59.999999Z`, the latest.
const LAST_US: i64 = 2_932_897 * DAY_US - 1;

/// Reads one RFC 3339 time. For many, keep a [`Parser`].
///
/// `None` if it is not one.
pub fn parse(text: &str) -> Option<i64> {
    Parser::default().parse(text.as_bytes())
}

/// Writes one time as RFC 3339. For many, keep a [`Formatter`].
pub fn format(at_us: i64) -> String {
    let mut out = Vec::with_capacity(27);
    Formatter::default().write(at_us, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// Reads times; remembers the last day. Cost: a few nanoseconds, no allocation.
#[derive(Debug, Clone)]
pub struct Parser {
    date: [u8; 10],
    day_us: i64,
}

impl Default for Parser {
    fn default() -> Self {
        Self { date: *b"1970-01-01", day_us: 0 }
    }
}

impl Parser {
    /// Microseconds since 1970 UTC of an RFC 3339 time, or `None` if it is not one. Years 0000 to 9999.
    #[inline]
    pub fn parse(&mut self, text: &[u8]) -> Option<i64> {
        let (date, rest) = text.split_first_chunk::<10>()?;
        let (clock, rest) = rest.split_first_chunk::<9>()?;
        if *date != self.date {
            self.day_us = day_us(date)?;
            self.date = *date;
        }
        let [separator, h1, h2, colon1, m1, m2, colon2, s1, s2] = *clock;
        let (hour, minute, second) = (two_digits(h1, h2)?, two_digits(m1, m2)?, two_digits(s1, s2)?);
        let is_shaped = matches!(separator, b'T' | b't' | b' ') && colon1 == b':' && colon2 == b':';
        if !is_shaped || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let local_us = self.day_us + hour * HOUR_US + minute * MINUTE_US + second * SECOND_US;
        let at_us = match rest {
            [b'Z' | b'z'] => local_us,
            [b'.', fraction @ ..] => {
                let (fraction_us, zone) = fraction_us(fraction)?;
                local_us + fraction_us - offset_us(zone)?
            }
            zone => local_us - offset_us(zone)?,
        };
        // `23:59:60` in UTC has just become midnight; any other `:60` never was.
        if second == 60 && at_us.rem_euclid(DAY_US) >= SECOND_US {
            return None;
        }
        Some(at_us)
    }
}

/// The value of two ASCII digits.
#[inline]
pub(crate) fn two_digits(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| i64::from(tens * 10 + ones))
}

/// Midnight of `YYYY-MM-DD`, if there is such a day.
pub(crate) fn day_us(date: &[u8; 10]) -> Option<i64> {
    let [y1, y2, y3, y4, dash1, m1, m2, dash2, d1, d2] = *date;
    let year = two_digits(y1, y2)? * 100 + two_digits(y3, y4)?;
    let (month, day) = (two_digits(m1, m2)?, two_digits(d1, d2)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => return None,
    };
    if dash1 != b'-' || dash2 != b'-' || day < 1 || day > days_of_month {
        return None;
    }
    Some(days_from_civil(year, month, day) * DAY_US)
}

/// Days since 1970-01-01 of a day of the proleptic Gregorian calendar.
///
/// The year begins in March, so that the leap day is its last (Howard Hinnant, "chrono-compatible low-level date
/// algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// (year, month, day) of a count of days since 1970-01-01: the inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The digits behind the point, cut off at microseconds, and what follows them.
fn fraction_us(text: &[u8]) -> Option<(i64, &[u8])> {
    let mut us = 0;
    let mut weight = 100_000;
    let mut rest = text;
    while let [digit @ b'0'..=b'9', after @ ..] = rest {
        us += i64::from(digit - b'0') * weight;
        weight /= 10;
        rest = after;
    }
    (rest.len() < text.len()).then_some((us, rest))
}

/// What a zone is ahead of UTC.
fn offset_us(zone: &[u8]) -> Option<i64> {
    match *zone {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (two_digits(h1, h2)?, two_digits(m1, m2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let ahead_us = hours * HOUR_US + minutes * MINUTE_US;
            Some(if sign == b'+' { ahead_us } else { -ahead_us })
        }
        _ => None,
    }
}

/// Writes times; remembers the last day. Cost: a few nanoseconds beside the copy.
#[derive(Debug, Clone)]
pub struct Formatter {
    day_us: i64,
    date: [u8; 10],
}

/// Bytes of a time without a fraction.
pub(crate) const TEXT_BYTES: usize = 20;

impl Default for Formatter {
    fn default() -> Self {
        Self { day_us: 0, date: *b"1970-01-01" }
    }
}

impl Formatter {
    /// Appends a time as `2026-06-01T08:30:00Z`, with a fraction only when it is not zero.
    ///
    /// RFC 3339 has years 0000 to 9999: a time outside is written as the nearest one inside.
    #[inline]
    pub fn write(&mut self, at_us: i64, out: &mut Vec<u8>) {
        let (text, fraction_us) = self.text(at_us);
        out.extend_from_slice(&text);
        if fraction_us != 0 {
            out.pop();
            write_fraction(fraction_us, out);
        }
    }

    /// A time's text without a fraction, and the fraction, microseconds.
    #[inline]
    pub(crate) fn text(&mut self, at_us: i64) -> ([u8; TEXT_BYTES], u32) {
        let mut of_day_us = at_us.wrapping_sub(self.day_us);
        if !(0..DAY_US).contains(&of_day_us) {
            let at_us = at_us.clamp(FIRST_US, LAST_US);
            let day = at_us.div_euclid(DAY_US);
            self.day_us = day * DAY_US;
            self.date = date_text(day);
            of_day_us = at_us - self.day_us;
        }
        let of_day_us = of_day_us.unsigned_abs();
        let (second, fraction_us) = (of_day_us / 1_000_000, of_day_us % 1_000_000);
        // Of a day, so that both fit.
        let (second, fraction_us) = (u32::try_from(second).unwrap_or(0), u32::try_from(fraction_us).unwrap_or(0));
        let [h1, h2] = digits_of(second / 3_600);
        let [m1, m2] = digits_of(second / 60 % 60);
        let [s1, s2] = digits_of(second % 60);
        let [y1, y2, y3, y4, _, mo1, mo2, _, d1, d2] = self.date;
        let text = [y1, y2, y3, y4, b'-', mo1, mo2, b'-', d1, d2, b'T', h1, h2, b':', m1, m2, b':', s1, s2, b'Z'];
        (text, fraction_us)
    }
}

/// The two digits of a number below 100.
#[inline]
fn digits_of(number: u32) -> [u8; 2] {
    let number = u8::try_from(number).unwrap_or(0);
    [b'0' + number / 10, b'0' + number % 10]
}

/// `YYYY-MM-DD` of a count of days since 1970-01-01, years 0000 to 9999.
fn date_text(day: i64) -> [u8; 10] {
    let (year, month, day) = civil_from_days(day);
    let digits_of = |number: i64| digits_of(u32::try_from(number).unwrap_or(0));
    let ([y1, y2], [y3, y4]) = (digits_of(year / 100), digits_of(year % 100));
    let ([m1, m2], [d1, d2]) = (digits_of(month), digits_of(day));
    [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2]
}

/// `.500Z` of 500,000: three digits where they are enough, else six, because some readers take no other number of them.
fn write_fraction(fraction_us: u32, out: &mut Vec<u8>) {
    out.push(b'.');
    for pair in [fraction_us / 10_000, fraction_us / 100 % 100, fraction_us % 100] {
        out.extend_from_slice(&digits_of(pair));
    }
    if fraction_us.is_multiple_of(1_000) {
        out.truncate(out.len() - 3);
    }
    out.push(b'Z');
}

#[cfg(test)]
mod tests;
