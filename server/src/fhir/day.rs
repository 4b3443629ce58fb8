//! Totals of local days among points: which they are, and when their day ends.
//!
//! A point has no end, so what a total is must be seen in it. Two things follow from it, and not of the same ones:
//!
//! | what                                                | `preliminary` while its day is open | has a period |
//! |-----------------------------------------------------|-------------------------------------|--------------|
//! | `steps`, `calories` under an importer's name, without a device, where a day begins | yes  | yes          |
//! | `steps`, `calories` of anybody else at the person's own midnight                   | yes  | no           |
//! | `steps` of a check-in, at any time of the day       | yes                                 | no           |
//!
//! What somebody sends under an importer's name by hand is taken for an importer's.
//!
//! Under another time zone other points are totals, and their days end at other moments. Versions must not go back, so
//! everything that is a total in some zone is at least as new as the account, which is newer than any change of its zone.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use engine::time::{DAY_US, MINUTE_US};

use super::kind::{Field, Series};
use crate::control::entities::user;

/// Metrics whose points can be totals of days.
const METRICS: [&str; 2] = ["calories", "steps"];

/// The sources under which importers write them.
const SOURCES: [&str; 3] = ["apple_health", "garmin", "health_auto_export"];

/// Every zone there is begins its days at one of these.
const BEGINS_AT_US: i64 = 15 * MINUTE_US;

/// Where a day "ends" that begins in another zone than the person's: it is over whenever one looks, and its total is none.
const ELSEWHERE: i64 = i64::MIN;

/// Longest day, microseconds: one that begins and ends by the rules of a time zone may have its clocks put back in between.
pub const LONGEST_US: i64 = 2 * DAY_US;

/// Whose totals of days the points of a source and device can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Totals {
    /// An importer's: they last from the day's beginning to its end.
    Imported,
    /// Those of a client of its own: they say a moment.
    Sent,
}

impl Totals {
    /// Of points of a metric, source and device; `None` if none of them can be a total.
    pub fn of(metric: &str, source: &str, device: Option<&str>) -> Option<Self> {
        let is_imported = device.is_none() && SOURCES.contains(&source);
        Days::may_have_totals(metric).then_some(if is_imported { Self::Imported } else { Self::Sent })
    }

    /// Whether they have a period.
    pub fn have_period(self) -> bool {
        self == Self::Imported
    }
}

/// A person's days, as they are at one moment.
#[derive(Debug, Clone)]
pub struct Days {
    zone: TimeZone,
    now_us: i64,
    /// The zone is not older.
    since_us: i64,
}

impl Days {
    /// Of a time zone's IANA name, UTC where there is none of that name; `now_us` is which day is not over.
    pub fn new(zone: &str, now_us: i64) -> Self {
        Self { zone: TimeZone::get(zone).unwrap_or(TimeZone::UTC), now_us, since_us: i64::MIN }
    }

    /// Of a person's time zone, which may have been another until their account last changed.
    pub fn of(person: &user::Model, now_us: i64) -> Self {
        Self { since_us: person.updated_at, ..Self::new(&person.timezone, now_us) }
    }

    /// Of UTC.
    pub fn utc(now_us: i64) -> Self {
        Self { zone: TimeZone::UTC, now_us, since_us: i64::MIN }
    }

    /// Whether points of a metric can be totals.
    pub fn may_have_totals(metric: &str) -> bool {
        METRICS.contains(&metric)
    }

    /// Whether what a kind is made of can be totals.
    pub fn may_be_totals(series: &Series) -> bool {
        match series {
            Series::Metric(key) => Self::may_have_totals(key),
            Series::Field(field) => *field == Field::Steps,
        }
    }

    /// Where a day ends that begins at a moment, microseconds; `None` if no day begins there.
    ///
    /// The day is the person's local one; one that begins elsewhere, on a journey or under another zone than today's, has 24
    /// hours.
    pub fn end(&self, begin_us: i64) -> Option<i64> {
        let elsewhere = || begin_us.saturating_add(DAY_US);
        may_begin(begin_us).then(|| self.local_end(begin_us).unwrap_or_else(elsewhere))
    }

    /// Where the day of a total ends that begins at a moment, microseconds; `None` if it is none in any zone: an importer's
    /// begins where any day does, that of a client where the person's own does. Of a client's elsewhere: before all time.
    pub fn end_of(&self, totals: Totals, begin_us: i64) -> Option<i64> {
        match totals {
            Totals::Imported => self.end(begin_us),
            Totals::Sent => may_begin(begin_us).then(|| self.local_end(begin_us).unwrap_or(ELSEWHERE)),
        }
    }

    /// Where the day ends that a value of a check-in is the total of, microseconds: the local one that it speaks of; `None`
    /// if it is no total.
    pub fn end_of_said(&self, field: Field, checked_in_at: i64) -> Option<i64> {
        if field == Field::Steps { self.around(checked_in_at).map(|(_, end)| end) } else { None }
    }

    /// Where the day ends that a point is the total of, microseconds; `None` if it is none.
    pub fn end_of_point(&self, metric: &str, source: &str, device: Option<&str>, recorded_at: i64) -> Option<i64> {
        Totals::of(metric, source, device).and_then(|totals| self.end_of(totals, recorded_at))
    }

    /// When what was accepted at a moment came to be as it is, microseconds: a total, whose day ends at `end`, is final from
    /// then on, and may be another since the time zone is, without anything being sent.
    pub fn changed_us(&self, accepted_us: i64, end: Option<i64>) -> i64 {
        match end {
            Some(end) if !self.is_open(end) => accepted_us.max(end).max(self.since_us),
            Some(_) => accepted_us.max(self.since_us),
            None => accepted_us,
        }
    }

    /// In which range `[start, end)` a total was accepted, or its day has ended, that came to be as it is in this one; `None`
    /// if none can have.
    pub fn before_zone(&self, (start, end): (i64, i64)) -> Option<(i64, i64)> {
        (self.since_us < end).then_some((if self.since_us < start { start } else { i64::MIN }, end))
    }

    /// Where the first day begins that ends at a moment or behind it, microseconds.
    pub fn begin_of_ending(&self, at_us: i64) -> i64 {
        self.begin(at_us.saturating_sub(1))
    }

    /// From when on days are not over, microseconds.
    pub fn open_from(&self) -> i64 {
        self.begin(self.now_us)
    }

    /// Where the local day of a moment begins, microseconds.
    fn begin(&self, at_us: i64) -> i64 {
        self.around(at_us).map_or(at_us, |(begin, _)| begin)
    }

    /// Where the local day of a moment begins and ends, microseconds; `None` for what no calendar has.
    fn around(&self, at_us: i64) -> Option<(i64, i64)> {
        let at = Timestamp::from_microsecond(at_us).ok()?.to_zoned(self.zone.clone());
        let next = |day: &Zoned| day.tomorrow().and_then(|next| next.start_of_day()).ok();
        let begin = at.start_of_day().ok()?;
        let end = next(&begin)?;
        let (begin, end) = if end <= at {
            // Clocks that go back over midnight show an evening once more, when the next day has begun.
            let behind = next(&end)?;
            (end, behind)
        } else {
            (begin, end)
        };
        Some((begin.timestamp().as_microsecond(), end.timestamp().as_microsecond()))
    }

    fn local_end(&self, begin_us: i64) -> Option<i64> {
        let begin = Timestamp::from_microsecond(begin_us).ok()?.to_zoned(self.zone.clone());
        if begin.start_of_day().ok()? != begin {
            return None;
        }
        let end = begin.tomorrow().and_then(|next: Zoned| next.start_of_day()).ok()?;
        let end_us = end.timestamp().as_microsecond();
        // What is longer is no day that a search would find.
        Some(end_us).filter(|end_us| end_us.saturating_sub(begin_us) <= LONGEST_US)
    }

    /// Whether a day that ends then is not over.
    pub fn is_open(&self, end_us: i64) -> bool {
        self.now_us < end_us
    }
}

/// Whether a day of any zone can begin at a moment.
fn may_begin(at_us: i64) -> bool {
    at_us.rem_euclid(BEGINS_AT_US) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        engine::time::parse(text).unwrap()
    }

    #[test]
    fn a_local_day_has_23_to_25_hours() {
        let days = Days::new("Europe/Berlin", 0);
        for (begin, end) in [
            ("2026-06-01T00:00:00+02:00", "2026-06-02T00:00:00+02:00"),
            ("2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"),
            ("2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"),
            // On a journey.
            ("2026-03-29T00:00:00+09:00", "2026-03-30T00:00:00+09:00"),
        ] {
            assert_eq!(days.end_of(Totals::Imported, at(begin)), Some(at(end)), "{begin}");
            let is_local = !begin.ends_with("+09:00");
            let sent = if is_local { at(end) } else { ELSEWHERE };
            assert_eq!(days.end_of(Totals::Sent, at(begin)), Some(sent), "{begin}");
        }
        for totals in [Totals::Imported, Totals::Sent] {
            assert_eq!(days.end_of(totals, at("2026-06-01T08:31:00Z")), None);
            assert_eq!(days.end_of(totals, i64::MIN), None);
            let nowhere = Days::new("Nowhere/Land", 0).end_of(totals, at("2026-06-01T00:00:00Z"));
            assert_eq!(nowhere, Some(at("2026-06-02T00:00:00Z")));
        }
    }

    #[test]
    fn a_day_is_open_until_its_end() {
        assert!(Days::new("UTC", 9).is_open(10));
        assert!(!Days::new("UTC", 10).is_open(10));
    }

    #[test]
    fn totals_of_importers_have_a_period_and_those_of_others_have_none() {
        assert_eq!(Totals::of("steps", "apple_health", None), Some(Totals::Imported));
        assert_eq!(Totals::of("steps", "apple_health", Some("watch")), Some(Totals::Sent));
        assert_eq!(Totals::of("calories", "watch", None), Some(Totals::Sent));
        assert_eq!(Totals::of("steps_sample", "apple_health", None), None);
        assert!(Totals::Imported.have_period() && !Totals::Sent.have_period());
    }

    #[test]
    fn steps_of_a_check_in_are_of_the_local_day_that_it_speaks_of() {
        let days = Days::new("Europe/Berlin", at("2026-10-25T12:00:00+01:00"));
        assert_eq!(days.open_from(), at("2026-10-25T00:00:00+02:00"));
        for (said, end) in [
            ("2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"),
            ("2026-10-25T23:59:59.999999+01:00", "2026-10-26T00:00:00+01:00"),
            ("2026-10-24T23:59:59.999999+02:00", "2026-10-25T00:00:00+02:00"),
        ] {
            assert_eq!(days.end_of_said(Field::Steps, at(said)), Some(at(end)), "{said}");
            assert_eq!(days.is_open(at(end)), at(said) >= days.open_from(), "{said}");
        }
        assert_eq!(days.end_of_said(Field::SleepHours, at("2026-10-25T08:00:00Z")), None);
        assert_eq!(days.end_of_said(Field::Steps, i64::MAX), None);
    }

    #[test]
    fn a_total_changes_when_its_day_ends_unless_it_was_accepted_behind_that() {
        let (before, end, behind) = (5, 10, 15);
        assert_eq!(Days::utc(9).changed_us(before, Some(end)), before);
        assert_eq!(Days::utc(10).changed_us(before, Some(end)), end);
        assert_eq!(Days::utc(20).changed_us(behind, Some(end)), behind);
        assert_eq!(Days::utc(20).changed_us(before, None), before);
        assert_eq!(Days::utc(20).changed_us(before, Some(ELSEWHERE)), before);
        let moved = |now_us, since_us| Days { since_us, ..Days::utc(now_us) };
        for end in [ELSEWHERE, end, 30] {
            assert_eq!(moved(20, 18).changed_us(behind, Some(end)), 18, "{end}");
        }
        assert_eq!(moved(20, 8).changed_us(before, Some(end)), end);
        assert_eq!(moved(20, 18).changed_us(before, None), before, "it is a total in no zone");
    }

    #[test]
    fn what_changed_in_a_range_was_accepted_in_one_unless_the_zone_did() {
        for since_us in [i64::MIN, 0, 4, 5, 6, 9, 10, 11] {
            let days = Days { since_us, ..Days::utc(100) };
            for range in [(5, 10), (i64::MIN, 10), (5, i64::MAX), (i64::MIN, i64::MAX)] {
                for accepted in 0..12 {
                    let changed = days.changed_us(accepted, Some(ELSEWHERE));
                    let accepted_in =
                        days.before_zone(range).is_some_and(|(start, end)| (start..end).contains(&accepted));
                    assert_eq!((range.0..range.1).contains(&changed), accepted_in, "{since_us} {range:?} {accepted}");
                }
            }
        }
    }

    #[test]
    fn what_ends_at_a_moment_or_behind_it_begins_with_one_day() {
        let days = Days::new("Europe/Berlin", 0);
        let midnight = at("2026-03-29T00:00:00+01:00");
        for (end, begin) in [
            (midnight, "2026-03-28T00:00:00+01:00"),
            (midnight + 1, "2026-03-29T00:00:00+01:00"),
            (midnight - 1, "2026-03-28T00:00:00+01:00"),
            (at("2026-03-30T00:00:00+02:00"), "2026-03-29T00:00:00+01:00"),
        ] {
            assert_eq!(days.begin_of_ending(end), at(begin), "{end}");
        }
        assert_eq!(days.begin_of_ending(i64::MIN), i64::MIN);
    }

    #[test]
    fn days_of_moments_follow_each_other_whatever_clocks_do() {
        // Clocks that went back over midnight, and a day that there never was.
        for (zone, first) in [("America/St_Johns", "2006-10-28T00:00:00Z"), ("Pacific/Apia", "2011-12-29T00:00:00Z")] {
            let days = Days::new(zone, 0);
            let mut last = days.around(at(first)).unwrap();
            for nth in 0..400 {
                let moment = at(first) + nth * BEGINS_AT_US;
                let (begin, end) = days.around(moment).unwrap();
                assert!(begin <= moment && moment < end, "{zone} {nth}");
                assert!((begin, end) == last || begin == last.1, "{zone} {nth}");
                last = (begin, end);
            }
        }
    }
}
