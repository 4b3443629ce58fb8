//! Times as Apple's exports write them: `2021-03-01 08:00:00 +0100`.
//!
//! Neighbouring records share their day and their offset, so both are remembered; what is left is six digits.
//!
//! Phones that show twelve hours have written `2021-03-01 8:00:00 PM +0100`, some with a narrow space before `PM`; RFC 3339
//! is taken too. All of these go a slower way.

use crate::time::{HOUR_US, MINUTE_US, SECOND_US, day_us, two_digits};

/// A moment, and the local time's offset that its text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Microseconds since 1970 UTC.
    pub(crate) at: i64,
    /// Seconds east of UTC.
    pub(crate) offset_s: i32,
}

/// Reads times; remembers the last day and the last offset. Cost: a few nanoseconds, no allocation.
#[derive(Debug)]
pub(crate) struct Dates {
    date: [u8; 10],
    day_us: i64,
    zone: [u8; 5],
    offset_s: i32,
}

impl Default for Dates {
    fn default() -> Self {
        Self { date: *b"1970-01-01", day_us: 0, zone: *b"+0000", offset_s: 0 }
    }
}

impl Dates {
    /// The moment that a text says, `None` if it says none.
    #[inline]
    pub(crate) fn read(&mut self, text: &str) -> Option<Moment> {
        let bytes = text.as_bytes();
        let (date, rest) = bytes.split_first_chunk::<10>()?;
        if *date != self.date {
            self.day_us = day_us(date)?;
            self.date = *date;
        }
        let Some((clock, zone)) = rest.split_first_chunk::<10>() else { return self.slowly(rest) };
        let [b' ', h1, h2, b':', m1, m2, b':', s1, s2, b' '] = *clock else { return self.slowly(rest) };
        let Ok(zone) = <[u8; 5]>::try_from(zone) else { return self.slowly(rest) };
        if zone != self.zone {
            self.offset_s = offset_s(zone)?;
            self.zone = zone;
        }
        let of_day_us = of_day_us(two_digits(h1, h2)?, two_digits(m1, m2)?, two_digits(s1, s2)?)?;
        Some(self.moment(of_day_us, self.offset_s))
    }

    fn moment(&self, of_day_us: i64, offset_s: i32) -> Moment {
        Moment { at: self.day_us + of_day_us - i64::from(offset_s) * SECOND_US, offset_s }
    }

    /// What follows the date, in any of the other shapes.
    #[cold]
    fn slowly(&self, rest: &[u8]) -> Option<Moment> {
        let rest = std::str::from_utf8(rest).ok()?.trim_start_matches(['T', 't']).trim();
        let zone_at = rest.rfind(['+', '-', 'Z', 'z'])?;
        let (clock, zone) = rest.split_at_checked(zone_at)?;
        let offset_s = match *zone.as_bytes() {
            [b'Z' | b'z'] => 0,
            [sign, h1, h2, b':', m1, m2] | [sign, h1, h2, m1, m2] => offset_s([sign, h1, h2, m1, m2])?,
            _ => return None,
        };
        let clock = clock.trim();
        let digits = clock.find(|letter: char| !letter.is_ascii_digit() && !matches!(letter, ':' | '.'));
        let (digits, half) = clock.split_at_checked(digits.unwrap_or(clock.len()))?;
        let mut parts = digits.split(':');
        let hour: i64 = short(parts.next()?)?;
        let minute = short(parts.next()?)?;
        let (second, fraction) = match parts.next() {
            Some(second) => second.split_once('.').unwrap_or((second, "")),
            None => ("0", ""),
        };
        if parts.next().is_some() || fraction.len() > 9 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let fraction_us: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
        let half = half.trim().replace('.', "");
        let hour = match (half.as_str(), hour) {
            ("AM" | "am", 12) => 0,
            ("", hour) | ("AM" | "am", hour @ 1..=11) | ("PM" | "pm", hour @ 12) => hour,
            ("PM" | "pm", hour @ 1..=11) => hour + 12,
            _ => return None,
        };
        Some(self.moment(of_day_us(hour, minute, short(second)?)? + fraction_us, offset_s))
    }
}

/// One or two digits.
fn short(text: &str) -> Option<i64> {
    (text.len() <= 2).then(|| text.parse().ok())?
}

#[inline]
fn of_day_us(hour: i64, minute: i64, second: i64) -> Option<i64> {
    let is_time = (0..=23).contains(&hour) && (0..=59).contains(&minute) && (0..=59).contains(&second);
    is_time.then_some(hour * HOUR_US + minute * MINUTE_US + second * SECOND_US)
}

/// Seconds east of UTC of `+0100`.
fn offset_s(zone: [u8; 5]) -> Option<i32> {
    let [sign, h1, h2, m1, m2] = zone;
    let (hours, minutes) = (two_digits(h1, h2)?, two_digits(m1, m2)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let ahead_s = i32::try_from(hours * 3_600 + minutes * 60).ok()?;
    match sign {
        b'+' => Some(ahead_s),
        b'-' => Some(-ahead_s),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<Moment> {
        Dates::default().read(text)
    }

    #[test]
    fn every_shape_that_was_seen_is_the_same_moment() {
        let expected = Some(Moment { at: crate::time::parse("2021-03-01T19:05:09Z").unwrap(), offset_s: 3_600 });
        for text in [
            "2021-03-01 20:05:09 +0100",
            "2021-03-01 8:05:09 PM +0100",
            "2021-03-01 8:05:09\u{202f}PM +0100",
            "2021-03-01 08:05:09 p.m. +0100",
            "2021-03-01T20:05:09+01:00",
            "2021-03-01 20:05:09.000 +0100",
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
        assert_eq!(read("2021-03-01T19:05:09Z").map(|moment| moment.at), expected.map(|moment| moment.at));
        assert_eq!(read("2021-03-01 12:05:09 AM +0000"), read("2021-03-01 00:05:09 +0000"));
        assert_eq!(read("2021-03-01 12:05:09 PM -0930"), read("2021-03-01 12:05:09 -0930"));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "2021-03-01",
            "2021-03-01 20:05:09",
            "2021-02-30 20:05:09 +0100",
            "2021-03-01 24:05:09 +0100",
            "2021-03-01 20:60:09 +0100",
            "2021-03-01 20:05:60 +0100",
            "2021-03-01 20:05:09 +2400",
            "2021-03-01 20:05:09 *0100",
            "2021-03-01 13:05:09 PM +0100",
            "2021-03-01 0:05:09 AM +0100",
            "2021-03-01 1:2:3:4 +0100",
            "2021-03-01 008:00:00 +0100",
            "２021-03-01 20:05:09 +0100",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_failed_day_or_zone_does_not_spoil_the_remembered_one() {
        let mut dates = Dates::default();
        let good = dates.read("2021-03-01 20:05:09 +0100");
        assert_eq!(dates.read("2021-03-99 20:05:09 +0100"), None);
        assert_eq!(dates.read("2021-03-01 20:05:09 +9900"), None);
        assert_eq!(dates.read("2021-03-01 20:05:09 +0100"), good);
    }

    proptest! {
        #[test]
        fn reading_agrees_with_jiff(seconds in -60_000_000_000_i64..200_000_000_000, offset_minutes in -1_439_i32..1_440) {
            let offset = jiff::tz::Offset::from_seconds(offset_minutes * 60).unwrap();
            let zoned = jiff::Timestamp::from_second(seconds).unwrap().to_zoned(offset.to_time_zone());
            let text = zoned.strftime("%Y-%m-%d %H:%M:%S %z").to_string();
            prop_assert_eq!(read(&text), Some(Moment { at: seconds * SECOND_US, offset_s: offset_minutes * 60 }), "{}", text);
        }

        #[test]
        fn random_text_never_panics(text in "\\PC{0,40}") {
            let _ = read(&text);
            let _ = read(&format!("2021-03-01{text}"));
        }
    }
}
