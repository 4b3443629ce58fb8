//! Where buckets begin and end, in a time zone.
//!
//! Buckets cover all of time without gaps or overlaps. Days, weeks and months begin at the first moment of a local
//! date, so that a day has 23 or 25 hours where the clocks change; where midnight does not exist, the day begins at the
//! moment that the clocks jump. Hours and quarters are real ones, on the local clock's marks: where the clocks go back,
//! the same hour of the clock is two buckets; where the clocks change in the middle of one, it ends there.
//!
//! Everything is worked out per bucket, not per point.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use crate::query::BucketWidth;
use crate::time::{DAY_US, HOUR_US, MINUTE_US};

/// A bucket's range of time, `[start, end)`, microseconds UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// First microsecond inside.
    pub(crate) start: i64,
    /// First microsecond behind.
    pub(crate) end: i64,
}

/// A range of time during which the zone's offset does not change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Steady {
    /// First microsecond inside.
    pub(crate) start: i64,
    /// First microsecond behind.
    pub(crate) end: i64,
    /// What the zone's clocks are ahead of UTC, microseconds.
    pub(crate) offset_us: i64,
}

/// The buckets of one width in one zone.
#[derive(Debug, Clone)]
pub(crate) struct Grid {
    width: BucketWidth,
    tz: TimeZone,
    /// The last one asked for: neighbours share it.
    steady: Option<Steady>,
}

impl Grid {
    /// The buckets of `width` in `tz`.
    pub(crate) fn new(width: BucketWidth, tz: TimeZone) -> Self {
        Self { width, tz, steady: None }
    }

    /// The bucket that holds a time.
    ///
    /// # Errors
    /// A time outside the years -9999 to 9999.
    pub(crate) fn bucket_of(&mut self, at_us: i64) -> Result<Bucket, jiff::Error> {
        match self.width {
            BucketWidth::QuarterHour => self.of_clock(at_us, 15 * MINUTE_US),
            BucketWidth::Hour => self.of_clock(at_us, HOUR_US),
            BucketWidth::Day => self.of_days(at_us, 1),
            BucketWidth::Week => self.of_days(at_us, 7),
            BucketWidth::Month => self.of_calendar(at_us),
        }
    }

    /// Days (1) or weeks (7) while the clocks do not change: by division. The calendar is asked around changes alone.
    fn of_days(&mut self, at_us: i64, days: i64) -> Result<Bucket, jiff::Error> {
        let steady = self.steady(at_us)?;
        let day = at_us.saturating_add(steady.offset_us).div_euclid(DAY_US);
        // 1970 began on a Thursday, weeks begin on Monday.
        let first = day - (day + 3).rem_euclid(days);
        let start = first.saturating_mul(DAY_US).saturating_sub(steady.offset_us);
        let end = start.saturating_add(days * DAY_US);
        // Not where a change is at midnight itself: what begins there, the calendar knows.
        if steady.start < start && end < steady.end { Ok(Bucket { start, end }) } else { self.of_calendar(at_us) }
    }

    fn of_clock(&mut self, at_us: i64, width_us: i64) -> Result<Bucket, jiff::Error> {
        let steady = self.steady(at_us)?;
        let local = at_us.saturating_add(steady.offset_us);
        let start = local.saturating_sub(local.rem_euclid(width_us)).saturating_sub(steady.offset_us);
        Ok(Bucket { start: start.max(steady.start), end: start.saturating_add(width_us).min(steady.end) })
    }

    /// The range around a time in which the clocks do not change.
    ///
    /// # Errors
    /// As [`Self::bucket_of`].
    pub(crate) fn steady(&mut self, at_us: i64) -> Result<Steady, jiff::Error> {
        if let Some(steady) = self.steady
            && steady.start <= at_us
            && at_us < steady.end
        {
            return Ok(steady);
        }
        let at = Timestamp::from_microsecond(at_us)?;
        // `preceding` looks strictly before: a nanosecond on, so that a change at `at` itself counts.
        let after = at.checked_add(Span::new().nanoseconds(1)).unwrap_or(at);
        let start = self.tz.preceding(after).next().map_or(i64::MIN, |change| change.timestamp().as_microsecond());
        let end = self.tz.following(at).next().map_or(i64::MAX, |change| change.timestamp().as_microsecond());
        let offset_us = i64::from(self.tz.to_offset(at).seconds()) * 1_000_000;
        let steady = Steady { start, end, offset_us };
        self.steady = Some(steady);
        Ok(steady)
    }

    fn of_calendar(&self, at_us: i64) -> Result<Bucket, jiff::Error> {
        let date = self.tz.to_datetime(Timestamp::from_microsecond(at_us)?).date();
        let mut first = match self.width {
            BucketWidth::Month => date.first_of_month(),
            BucketWidth::Week => {
                date.checked_sub(Span::new().days(i64::from(date.weekday().to_monday_zero_offset())))?
            }
            _ => date,
        };
        let mut start = self.begin(first)?;
        // Where clocks go back over midnight, a moment after the new day's begin can carry the old date again.
        while at_us < start {
            first = first.checked_sub(self.step())?;
            start = self.begin(first)?;
        }
        loop {
            first = first.checked_add(self.step())?;
            let end = self.begin(first)?;
            if at_us < end {
                return Ok(Bucket { start, end });
            }
            start = end;
        }
    }

    fn step(&self) -> Span {
        match self.width {
            BucketWidth::Month => Span::new().months(1),
            BucketWidth::Week => Span::new().weeks(1),
            _ => Span::new().days(1),
        }
    }

    /// The first moment of a local date.
    fn begin(&self, date: Date) -> Result<i64, jiff::Error> {
        let midnight = self.tz.to_ambiguous_timestamp(date.at(0, 0, 0, 0));
        Ok(midnight.compatible()?.as_microsecond())
    }
}

#[cfg(test)]
mod tests;
