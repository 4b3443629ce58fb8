//! Days of 23 and 25 hours, midnights that do not exist, hours at half past.

use proptest::prelude::*;

use super::*;
use crate::time::{self, DAY_US};

fn us(text: &str) -> i64 {
    time::parse(text).unwrap()
}

/// The bucket of a time, as text.
fn bucket(width: BucketWidth, tz: &str, at: &str) -> (String, String) {
    let bucket = Grid::new(width, TimeZone::get(tz).unwrap()).bucket_of(us(at)).unwrap();
    (time::format(bucket.start), time::format(bucket.end))
}

fn check(width: BucketWidth, tz: &str, cases: &[(&str, &str, &str)]) {
    for (at, start, end) in cases {
        let (found_start, found_end) = bucket(width, tz, at);
        assert_eq!((found_start.as_str(), found_end.as_str()), (*start, *end), "{at} in {tz}");
    }
}

#[test]
fn a_day_in_berlin_has_23_hours_in_march_and_25_in_october() {
    check(
        BucketWidth::Day,
        "Europe/Berlin",
        &[
            ("2026-03-28T23:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
            ("2026-03-29T21:59:59.999999Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
            ("2026-03-29T22:00:00Z", "2026-03-29T22:00:00Z", "2026-03-30T22:00:00Z"),
            ("2026-10-24T22:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
            ("2026-10-25T22:59:59Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
            ("2026-10-25T23:00:00Z", "2026-10-25T23:00:00Z", "2026-10-26T23:00:00Z"),
        ],
    );
}

#[test]
fn a_week_begins_on_monday_and_a_month_on_the_first_by_local_dates() {
    check(
        BucketWidth::Week,
        "Europe/Berlin",
        &[
            // Monday 2026-03-23 to Monday 2026-03-30: 167 hours.
            ("2026-03-29T12:00:00Z", "2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z"),
            ("2026-03-29T22:00:00Z", "2026-03-29T22:00:00Z", "2026-04-05T22:00:00Z"),
        ],
    );
    check(
        BucketWidth::Month,
        "Europe/Berlin",
        &[
            ("2026-02-28T22:59:59Z", "2026-01-31T23:00:00Z", "2026-02-28T23:00:00Z"),
            ("2026-02-28T23:00:00Z", "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"),
            ("2025-12-31T23:30:00Z", "2025-12-31T23:00:00Z", "2026-01-31T23:00:00Z"),
        ],
    );
    check(BucketWidth::Week, "UTC", &[("1969-12-31T23:59:59Z", "1969-12-29T00:00:00Z", "1970-01-05T00:00:00Z")]);
}

#[test]
fn a_day_without_midnight_begins_where_the_clocks_jump() {
    // Sao Paulo, 2018-11-04: 00:00 became 01:00 (-03 to -02). 2018-02-17: 24:00 became 23:00 (-02 to -03).
    check(
        BucketWidth::Day,
        "America/Sao_Paulo",
        &[
            ("2018-11-04T02:59:59Z", "2018-11-03T03:00:00Z", "2018-11-04T03:00:00Z"),
            ("2018-11-04T03:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"),
            ("2018-02-18T01:59:59Z", "2018-02-17T02:00:00Z", "2018-02-18T03:00:00Z"),
            ("2018-02-18T02:59:59Z", "2018-02-17T02:00:00Z", "2018-02-18T03:00:00Z"),
            ("2018-02-18T03:00:00Z", "2018-02-18T03:00:00Z", "2018-02-19T03:00:00Z"),
        ],
    );
}

#[test]
fn a_date_that_was_skipped_has_no_bucket() {
    // Apia went from 2011-12-29 to 2011-12-31 (-10 to +14).
    check(
        BucketWidth::Day,
        "Pacific/Apia",
        &[
            ("2011-12-30T09:59:59Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"),
            ("2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"),
        ],
    );
}

#[test]
fn a_clock_set_back_over_midnight_keeps_days_in_order() {
    // St. John's, 2008-11-02: 00:01 became 23:01 of the day before (-02:30 to -03:30).
    check(
        BucketWidth::Day,
        "America/St_Johns",
        &[
            ("2008-11-02T02:29:59Z", "2008-11-01T02:30:00Z", "2008-11-02T02:30:00Z"),
            // 23:30 of the first, for the second time.
            ("2008-11-02T03:00:00Z", "2008-11-02T02:30:00Z", "2008-11-03T03:30:00Z"),
        ],
    );
}

#[test]
fn hours_stand_on_the_local_clock_at_half_past_in_utc() {
    check(
        BucketWidth::Hour,
        "Asia/Kolkata",
        &[
            ("2026-06-01T00:00:00Z", "2026-05-31T23:30:00Z", "2026-06-01T00:30:00Z"),
            ("2026-06-01T00:30:00Z", "2026-06-01T00:30:00Z", "2026-06-01T01:30:00Z"),
        ],
    );
    check(
        BucketWidth::QuarterHour,
        "Asia/Kolkata",
        &[("2026-06-01T00:29:59Z", "2026-06-01T00:15:00Z", "2026-06-01T00:30:00Z")],
    );
    check(
        BucketWidth::Hour,
        "Asia/Kathmandu",
        &[("2026-06-01T00:20:00Z", "2026-06-01T00:15:00Z", "2026-06-01T01:15:00Z")],
    );
}

#[test]
fn an_hour_that_the_clock_repeats_is_two_buckets() {
    check(
        BucketWidth::Hour,
        "Europe/Berlin",
        &[
            ("2026-10-25T00:30:00Z", "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"),
            ("2026-10-25T01:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"),
        ],
    );
}

#[test]
fn an_hour_in_which_the_clocks_change_ends_there() {
    // Lord Howe, 2026-04-05: 02:00 became 01:30 (+11 to +10:30).
    check(
        BucketWidth::Hour,
        "Australia/Lord_Howe",
        &[
            ("2026-04-04T14:59:59Z", "2026-04-04T14:00:00Z", "2026-04-04T15:00:00Z"),
            ("2026-04-04T15:00:00Z", "2026-04-04T15:00:00Z", "2026-04-04T15:30:00Z"),
            ("2026-04-04T15:30:00Z", "2026-04-04T15:30:00Z", "2026-04-04T16:30:00Z"),
        ],
    );
}

proptest! {
    #[test]
    fn every_time_is_in_one_bucket_and_buckets_touch(
        at_us in us("1960-01-01T00:00:00Z")..us("2040-01-01T00:00:00Z"),
        width in prop::sample::select(BucketWidth::ALL.to_vec()),
        tz in prop::sample::select(vec![
            "UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kolkata", "Pacific/Apia", "America/St_Johns",
            "Australia/Lord_Howe", "Africa/Casablanca", "America/Havana", "Asia/Gaza", "Antarctica/Troll",
        ]),
    ) {
        let mut grid = Grid::new(width, TimeZone::get(tz).unwrap());
        let bucket = grid.bucket_of(at_us).unwrap();
        prop_assert!(bucket.start <= at_us && at_us < bucket.end);
        if matches!(width, BucketWidth::Day | BucketWidth::Week) {
            prop_assert_eq!(grid.of_calendar(at_us).unwrap(), bucket, "division is what the calendar says");
        }
        prop_assert!(bucket.end - bucket.start <= 32 * DAY_US);
        for inside in [bucket.start, bucket.end - 1, bucket.start + (bucket.end - bucket.start) / 2] {
            prop_assert_eq!(grid.bucket_of(inside).unwrap(), bucket);
        }
        prop_assert_eq!(grid.bucket_of(bucket.end).unwrap().start, bucket.end);
        prop_assert_eq!(grid.bucket_of(bucket.start - 1).unwrap().end, bucket.start);
    }
}
