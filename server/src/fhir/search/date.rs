//! Dates of a search: a prefix, and a moment that is as long as it is precise.
//!
//! `2026-06` is all of June, `2026-06-01T08:30:00Z` all of a second. What has no zone is in UTC. The times that fit are
//! ranges, so that several dates are the union of theirs (one parameter, commas) or the intersection (several parameters).

use engine::time;
use serde::{Deserialize, Serialize};
use storage::TimeRange;

/// Moments `[start, end)`, microseconds UTC: sorted, apart from each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moments(Vec<(i64, i64)>);

impl Default for Moments {
    fn default() -> Self {
        Self::all()
    }
}

/// A date to compare with: from its beginning to its end, microseconds UTC, the end exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Date(pub(super) Prefix, pub(super) i64, pub(super) i64);

/// How something is compared with a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Prefix {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
    Sa,
    Eb,
}

impl Moments {
    /// Every moment.
    pub fn all() -> Self {
        Self(vec![(i64::MIN, i64::MAX)])
    }

    /// Of any ranges.
    pub(super) fn of(mut ranges: Vec<(i64, i64)>) -> Self {
        ranges.retain(|(start, end)| start < end);
        ranges.sort_unstable();
        let mut joined: Vec<(i64, i64)> = Vec::with_capacity(ranges.len());
        for (start, end) in ranges {
            match joined.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => joined.push((start, end)),
            }
        }
        Self(joined)
    }

    /// What is in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let both = |a: &(i64, i64), b: &(i64, i64)| (a.0.max(b.0), a.1.min(b.1));
        Self::of(self.0.iter().flat_map(|a| other.0.iter().map(move |b| both(a, b))).collect())
    }

    /// Whether a moment is among them.
    pub fn contain(&self, at_us: i64) -> bool {
        let behind = self.0.partition_point(|(start, _)| *start <= at_us);
        behind.checked_sub(1).and_then(|place| self.0.get(place)).is_some_and(|(_, end)| at_us < *end)
    }

    /// From the first moment to the last; of nothing an empty range.
    pub fn hull(&self) -> TimeRange {
        match (self.0.first(), self.0.last()) {
            (Some((start, _)), Some((_, end))) => TimeRange { start: *start, end: *end },
            _ => TimeRange { start: 0, end: 0 },
        }
    }

    /// The ranges `[start, end)`, sorted, apart from each other.
    pub fn ranges(&self) -> &[(i64, i64)] {
        &self.0
    }

    /// Whether they are all of their hull.
    pub fn is_one(&self) -> bool {
        self.0.len() <= 1
    }

    /// Whether they are all of time.
    pub fn is_all(&self) -> bool {
        self.hull() == TimeRange::ALL && self.is_one()
    }
}

impl Date {
    /// Reads a date with its prefix.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(value: &str) -> Result<Self, &'static str> {
        let (prefix, date) = prefix_of(value)?;
        let (start, end) = range_of(date).ok_or(WRONG)?;
        Ok(Self(prefix, start, end))
    }

    /// When something must have been that took no while.
    pub(super) fn moments(self) -> Vec<(i64, i64)> {
        let Self(prefix, start, end) = self;
        match prefix {
            Prefix::Eq => vec![(start, end)],
            Prefix::Ne => vec![(i64::MIN, start), (end, i64::MAX)],
            Prefix::Gt | Prefix::Sa => vec![(end, i64::MAX)],
            Prefix::Ge => vec![(start, i64::MAX)],
            Prefix::Lt | Prefix::Eb => vec![(i64::MIN, start)],
            Prefix::Le => vec![(i64::MIN, end)],
        }
    }
}

const WRONG: &str = "must be a date such as 2026, 2026-06, 2026-06-01 or 2026-06-01T08:30:00Z, which may begin with eq, ne, gt, \
                     ge, lt, le, sa or eb";

fn prefix_of(value: &str) -> Result<(Prefix, &str), &'static str> {
    let letters = value.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (prefix, date) = value.split_at(letters);
    let prefix = match prefix {
        "" | "eq" => Prefix::Eq,
        "ne" => Prefix::Ne,
        "gt" => Prefix::Gt,
        "ge" => Prefix::Ge,
        "lt" => Prefix::Lt,
        "le" => Prefix::Le,
        "sa" => Prefix::Sa,
        "eb" => Prefix::Eb,
        "ap" => return Err("the prefix ap is not supported: say a range"),
        _ => return Err(WRONG),
    };
    Ok((prefix, date))
}

/// The moments of a date, by its precision.
fn range_of(date: &str) -> Option<(i64, i64)> {
    // A `+` of an offset that was not escaped arrives as a space.
    let date = date.replace(' ', "+");
    let day = |text: &str| time::parse(&format!("{text}T00:00:00Z"));
    match date.len() {
        4 => {
            let year: u16 = number(&date)?;
            let end =
                if year == 9999 { day("9999-12-31")? + time::DAY_US } else { day(&format!("{:04}-01-01", year + 1))? };
            (year > 0).then_some((day(&format!("{year:04}-01-01"))?, end))
        }
        7 => {
            let (year, month) = date.split_once('-')?;
            let (year, month): (u16, u16) = (number(year)?, number(month)?);
            let start = day(&format!("{date}-01"))?;
            let end = match (year, month) {
                (9999, 12) => day("9999-12-31")? + time::DAY_US,
                (_, 12) => day(&format!("{:04}-01-01", year + 1))?,
                _ => day(&format!("{year:04}-{:02}-01", month + 1))?,
            };
            (year > 0).then_some((start, end))
        }
        10 => {
            let start = day(&date)?;
            (!date.starts_with("0000")).then_some((start, start + time::DAY_US))
        }
        _ => moment_range(&date),
    }
}

fn number(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// A minute, a second, or a fraction of one.
fn moment_range(text: &str) -> Option<(i64, i64)> {
    let (date, clock) = text.split_once('T')?;
    let zone_at = clock.find(['Z', '+', '-']).unwrap_or(clock.len());
    let (clock, zone) = clock.split_at(zone_at);
    let zone = if zone.is_empty() { "Z" } else { zone };
    let (clock, precision_us) = match clock.len() {
        5 => (format!("{clock}:00"), time::MINUTE_US),
        8 => (clock.to_owned(), time::SECOND_US),
        10.. => {
            let digits = clock.get(9..).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
            let places = u32::try_from(digits.len()).ok()?;
            (clock.to_owned(), 10_i64.checked_pow(6_u32.saturating_sub(places))?)
        }
        _ => return None,
    };
    let start = time::parse(&format!("{date}T{clock}{zone}"))?;
    (!date.starts_with("0000")).then_some((start, start + precision_us))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> i64 {
        time::parse(text).unwrap()
    }

    fn moments(text: &str) -> Moments {
        Moments::of(Date::parse(text).unwrap().moments())
    }

    #[test]
    fn a_date_is_as_long_as_it_is_precise() {
        let table = [
            ("2026", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("2026-12", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("2024-02", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
            ("2024-02-29", "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"),
            ("2026-06-01T08:30", "2026-06-01T08:30:00Z", "2026-06-01T08:31:00Z"),
            ("2026-06-01T08:30Z", "2026-06-01T08:30:00Z", "2026-06-01T08:31:00Z"),
            ("2026-06-01T08:30:15+02:00", "2026-06-01T06:30:15Z", "2026-06-01T06:30:16Z"),
            ("2026-06-01T08:30:15 02:00", "2026-06-01T06:30:15Z", "2026-06-01T06:30:16Z"),
            ("2026-06-01T08:30:15.5-05:00", "2026-06-01T13:30:15.5Z", "2026-06-01T13:30:15.6Z"),
            ("2026-06-01T08:30:15.123Z", "2026-06-01T08:30:15.123Z", "2026-06-01T08:30:15.124Z"),
        ];
        for (text, start, end) in table {
            assert_eq!(range_of(text), Some((at(start), at(end))), "{text}");
        }
        assert_eq!(range_of("9999"), Some((at("9999-01-01T00:00:00Z"), at("9999-12-31T00:00:00Z") + time::DAY_US)));
        assert_eq!(range_of("9999-12-31").unwrap().1, range_of("9999-12").unwrap().1);
    }

    #[test]
    fn what_is_no_date_is_refused() {
        let texts = [
            "",
            "ge",
            "2026-02-30",
            "2026-13",
            "2026-00",
            "2026-6-1",
            "20260601",
            "0000",
            "10000",
            "ap2026",
            "xx2026",
            "GE2026",
            "2026-06-01T",
            "2026-06-01T24:00:00Z",
            "2026-06-01T08",
            "2026-06-01T08:30:00.Z",
            "2026-06-01T08:30:00+2",
            "2026-06-01 08:30:00Z",
            "today",
            "ge2026-06-01T08:30:61Z",
            "-2026",
            "+2026",
            "２０２６",
        ];
        for text in texts {
            assert!(Date::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_prefix_compares_with_the_whole_of_a_date() {
        let (before, first, last, behind) = (
            at("2026-05-31T23:59:59.999999Z"),
            at("2026-06-01T00:00:00Z"),
            at("2026-06-01T23:59:59.999999Z"),
            at("2026-06-02T00:00:00Z"),
        );
        let table = [
            ("eq", [false, true, true, false]),
            ("", [false, true, true, false]),
            ("ne", [true, false, false, true]),
            ("gt", [false, false, false, true]),
            ("sa", [false, false, false, true]),
            ("ge", [false, true, true, true]),
            ("lt", [true, false, false, false]),
            ("eb", [true, false, false, false]),
            ("le", [true, true, true, false]),
        ];
        for (prefix, expected) in table {
            let moments = moments(&format!("{prefix}2026-06-01"));
            assert_eq!([before, first, last, behind].map(|at| moments.contain(at)), expected, "{prefix}");
        }
    }

    proptest! {
        #[test]
        fn ranges_are_united_and_cut_as_sets_are(
            a in prop::collection::vec((0..30_i64, 0..30_i64), 0..5),
            b in prop::collection::vec((0..30_i64, 0..30_i64), 0..5),
        ) {
            let (left, right) = (Moments::of(a.clone()), Moments::of(b.clone()));
            let both = left.and(&right);
            for at in -1..31 {
                let holds = |ranges: &[(i64, i64)]| ranges.iter().any(|(start, end)| (*start..*end).contains(&at));
                prop_assert_eq!(left.contain(at), holds(&a));
                prop_assert_eq!(both.contain(at), holds(&a) && holds(&b));
                prop_assert!(!both.contain(at) || both.hull().contains(at));
            }
        }
    }
}
