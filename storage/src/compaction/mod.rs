//! Files merged into level 1: deciding ([`plan`]) apart from doing ([`run`]).

pub(crate) mod plan;
pub(crate) mod run;

/// Microseconds in a day.
const DAY_US: i64 = 86_400_000_000;

/// Months since January 1970 (UTC) of a time, and the first microsecond of that month and of the next.
///
/// Days to civil date after Hinnant, "chrono-Compatible Low-Level Date Algorithms".
pub(crate) fn month_of(micros: i64) -> (i32, i64, i64) {
    let days = micros.div_euclid(DAY_US);
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let (month, carry) = if shifted_month < 10 { (shifted_month + 2, 0) } else { (shifted_month - 10, 1) };
    let year = year_of_era + era * 400 + carry;
    let number =
        i32::try_from((year - 1970) * 12 + month).unwrap_or(if days < 0 { i32::MIN / 2 } else { i32::MAX / 2 });
    (number, month_start(number), month_start(number + 1))
}

/// First microsecond of a month counted from January 1970.
pub(crate) fn month_start(number: i32) -> i64 {
    let year = 1970 + i64::from(number.div_euclid(12));
    let month = i64::from(number.rem_euclid(12)) + 1;
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era - 719_468).saturating_mul(DAY_US)
}

/// `2026-06` of a month counted from January 1970.
pub(crate) fn month_name(number: i32) -> String {
    format!("{:04}-{:02}", 1970 + i64::from(number.div_euclid(12)), number.rem_euclid(12) + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn months_are_the_calendars() {
        assert_eq!(month_of(0), (0, 0, 31 * DAY_US));
        assert_eq!(month_of(-1).0, -1);
        let leap_day = 19_782 * DAY_US; // 2024-02-29
        let (number, start, end) = month_of(leap_day);
        assert_eq!(month_name(number), "2024-02");
        assert_eq!((end - start) / DAY_US, 29);
        assert_eq!(month_name(month_of(1_780_000_000_000_000).0), "2026-05");
    }

    proptest! {
        #[test]
        fn every_time_lies_in_its_month(micros in -30_000_000_000_000_000i64..250_000_000_000_000_000) {
            let (number, start, end) = month_of(micros);
            prop_assert!(start <= micros && micros < end);
            prop_assert_eq!(month_start(number), start);
            prop_assert!((28..=31).contains(&((end - start) / DAY_US)));
        }
    }
}
