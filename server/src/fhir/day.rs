//! Totals of local days among points: which they are, and when their day ends.
//!
//! A point has no end, so what a total is must be seen in it: importers write `steps` and `calories` as totals, under their own
//! name and without a device, at the begin of the day. What somebody sends under such a name by hand is taken for one too.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use engine::time::{DAY_US, MINUTE_US};

/// Metrics that importers write as totals of days.
const METRICS: [&str; 2] = ["calories", "steps"];

/// Under which sources.
const SOURCES: [&str; 3] = ["apple_health", "garmin", "health_auto_export"];

/// Every zone there is begins its days at one of these.
const BEGINS_AT_US: i64 = 15 * MINUTE_US;

/// Longest day, microseconds: one that begins and ends by the rules of a time zone may have its clocks put back in between.
pub const LONGEST_US: i64 = 2 * DAY_US;

/// A person's days, as they are at one moment.
#[derive(Debug, Clone)]
pub struct Days {
    zone: TimeZone,
    now_us: i64,
}

impl Days {
    /// Of a time zone's IANA name, UTC where there is none of that name; `now_us` is which day is not over.
    pub fn new(zone: &str, now_us: i64) -> Self {
        Self { zone: TimeZone::get(zone).unwrap_or(TimeZone::UTC), now_us }
    }

    /// Of UTC.
    pub fn utc(now_us: i64) -> Self {
        Self { zone: TimeZone::UTC, now_us }
    }

    /// Whether points of a metric can be totals.
    pub fn may_have_totals(metric: &str) -> bool {
        METRICS.contains(&metric)
    }

    /// Whether points of a metric, source and device can be totals.
    pub fn may_be_totals(metric: &str, source: &str, device: Option<&str>) -> bool {
        device.is_none() && Self::may_have_totals(metric) && SOURCES.contains(&source)
    }

    /// Where the day of a total ends that begins at a moment, microseconds; `None` if no day begins there.
    ///
    /// The day is the person's local one; one that begins elsewhere, on a journey or under another zone than today's, has 24
    /// hours.
    pub fn end(&self, begin_us: i64) -> Option<i64> {
        if begin_us.rem_euclid(BEGINS_AT_US) != 0 {
            return None;
        }
        Some(self.local_end(begin_us).unwrap_or_else(|| begin_us.saturating_add(DAY_US)))
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
            assert_eq!(days.end(at(begin)), Some(at(end)), "{begin}");
        }
        assert_eq!(days.end(at("2026-06-01T08:31:00Z")), None);
        assert_eq!(Days::new("Nowhere/Land", 0).end(at("2026-06-01T00:00:00Z")), Some(at("2026-06-02T00:00:00Z")));
        assert_eq!(days.end(i64::MIN), None);
    }

    #[test]
    fn a_day_is_open_until_its_end() {
        assert!(Days::new("UTC", 9).is_open(10));
        assert!(!Days::new("UTC", 10).is_open(10));
    }

    #[test]
    fn totals_are_what_importers_write() {
        assert!(Days::may_be_totals("steps", "apple_health", None));
        assert!(!Days::may_be_totals("steps", "apple_health", Some("watch")));
        assert!(!Days::may_be_totals("steps", "watch", None));
        assert!(!Days::may_be_totals("steps_sample", "apple_health", None));
    }
}
