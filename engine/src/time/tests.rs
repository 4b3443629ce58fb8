//! Times against jiff, and the shapes that are refused.

use proptest::prelude::*;

use super::*;

/// 2026-06-01T08:30:00Z
const MORNING_US: i64 = 1_780_302_600 * SECOND_US;

#[test]
fn every_accepted_shape_is_the_same_instant() {
    for text in [
        "2026-06-01T08:30:00Z",
        "2026-06-01t08:30:00z",
        "2026-06-01 08:30:00Z",
        "2026-06-01T08:30:00.0Z",
        "2026-06-01T08:30:00.000000999Z",
        "2026-06-01T08:30:00+00:00",
        "2026-06-01T08:30:00-00:00",
        "2026-06-01T10:30:00+02:00",
        "2026-05-31T23:00:00.000-09:30",
        "2026-06-02T08:29:00+23:59",
    ] {
        assert_eq!(parse(text), Some(MORNING_US), "{text}");
    }
}

#[test]
fn what_is_not_rfc_3339_is_refused() {
    for text in [
        "",
        "2026-06-01",
        "2026-06-01T08:30:00",
        "2026-06-01T08:30Z",
        "2026-06-01T08:30:00.Z",
        "2026-06-01T08:30:00,5Z",
        "2026-06-01T08:30:00Z ",
        " 2026-06-01T08:30:00Z",
        "2026-06-01T08:30:00+0200",
        "2026-06-01T08:30:00+02",
        "2026-06-01T08:30:00+24:00",
        "2026-06-01T08:30:00+02:60",
        "2026-06-01T08:30:00+2:000",
        "2026-06-01T24:00:00Z",
        "2026-06-01T08:60:00Z",
        "2026-06-01T08:30:61Z",
        "2026-06-01_08:30:00Z",
        "2026-06-01T08-30-00Z",
        "2026/06/01T08:30:00Z",
        "2026-13-01T08:30:00Z",
        "2026-00-01T08:30:00Z",
        "2026-06-00T08:30:00Z",
        "2026-06-31T08:30:00Z",
        "2026-02-29T08:30:00Z",
        "2026-02-30T08:30:00Z",
        "1900-02-29T08:30:00Z",
        "+2026-06-01T08:30:00Z",
        "2026-06-01T-8:30:00Z",
        "2026-06-01T08:30:00.5",
        "1780302600",
        "２026-06-01T08:30:00Z",
    ] {
        assert_eq!(parse(text), None, "{text}");
    }
}

#[test]
fn leap_days_exist_in_leap_years_alone() {
    assert_eq!(parse("2000-02-29T00:00:00Z"), Some(951_782_400 * SECOND_US));
    assert_eq!(parse("2024-02-29T00:00:00Z"), Some(1_709_164_800 * SECOND_US));
    assert_eq!(parse("2100-02-29T00:00:00Z"), None);
}

#[test]
fn a_leap_second_is_the_next_second_and_only_where_one_can_be() {
    let midnight = parse("2017-01-01T00:00:00Z");
    assert_eq!(parse("2016-12-31T23:59:60Z"), midnight);
    assert_eq!(parse("2017-01-01T05:29:60+05:30"), midnight);
    assert_eq!(parse("2016-12-31T23:59:60.5Z"), midnight.map(|us| us + SECOND_US / 2));
    assert_eq!(parse("2016-12-31T23:58:60Z"), None);
    assert_eq!(parse("2016-12-31T23:59:60+01:00"), None);
}

#[test]
fn a_failed_day_does_not_spoil_the_remembered_one() {
    let mut parser = Parser::default();
    assert_eq!(parser.parse(b"2026-06-01T08:30:00Z"), Some(MORNING_US));
    assert_eq!(parser.parse(b"2026-06-99T08:30:00Z"), None);
    assert_eq!(parser.parse(b"2026-06-99T08:30:00Z"), None);
    assert_eq!(parser.parse(b"2026-06-01T08:30:01Z"), Some(MORNING_US + SECOND_US));
}

#[test]
fn the_fraction_is_written_without_needless_zeros() {
    for (fraction_us, text) in [
        (0, "2026-06-01T08:30:00Z"),
        (500_000, "2026-06-01T08:30:00.500Z"),
        (1_000, "2026-06-01T08:30:00.001Z"),
        (123_456, "2026-06-01T08:30:00.123456Z"),
        (1, "2026-06-01T08:30:00.000001Z"),
    ] {
        assert_eq!(format(MORNING_US + fraction_us), text);
    }
}

#[test]
fn times_outside_four_digit_years_are_written_as_the_nearest_inside() {
    assert_eq!(format(i64::MAX), "9999-12-31T23:59:59.999999Z");
    assert_eq!(format(LAST_US), "9999-12-31T23:59:59.999999Z");
    assert_eq!(format(i64::MIN), "0000-01-01T00:00:00Z");
    assert_eq!(parse("9999-12-31T23:59:59.999999Z"), Some(LAST_US));
    assert_eq!(parse("0000-01-01T00:00:00Z"), Some(FIRST_US));
    assert_eq!(format(-1), "1969-12-31T23:59:59.999999Z");
}

proptest! {
    #[test]
    fn parsing_agrees_with_jiff(at_us in FIRST_US + 2 * DAY_US..LAST_US - 2 * DAY_US, offset_minutes in -1_439_i32..1_440) {
        let at = jiff::Timestamp::from_microsecond(at_us).unwrap();
        let offset = jiff::tz::Offset::from_seconds(offset_minutes * 60).unwrap();
        let text = at.display_with_offset(offset).to_string();
        prop_assert_eq!(parse(&text), Some(at_us), "{}", text);
    }

    #[test]
    fn formatting_agrees_with_jiff_whatever_came_before(times in prop::collection::vec(FIRST_US + 2 * DAY_US..LAST_US - 2 * DAY_US, 1..20)) {
        let mut formatter = Formatter::default();
        for at_us in times {
            // The second time hits the remembered day.
            for at_us in [at_us, at_us - at_us.rem_euclid(SECOND_US)] {
                let mut out = Vec::new();
                formatter.write(at_us, &mut out);
                // jiff leaves zeros at the end out; here a fraction has none, three or six digits.
                let digits = [0, 3, 6].into_iter().find(|digits| at_us % 10_i64.pow(6 - digits) == 0).unwrap();
                let expected = format!("{:.*}", digits as usize, jiff::Timestamp::from_microsecond(at_us).unwrap());
                prop_assert_eq!(String::from_utf8(out).unwrap(), expected);
            }
        }
    }

    #[test]
    fn what_is_formatted_parses_back(at_us in FIRST_US..=LAST_US) {
        prop_assert_eq!(parse(&format(at_us)), Some(at_us));
    }

    #[test]
    fn random_text_never_panics_and_agrees_with_jiff_where_both_take_it(text in "[0-9TtZz:. +-]{0,32}") {
        if let (Some(ours), Ok(theirs)) = (parse(&text), text.parse::<jiff::Timestamp>()) {
            prop_assert_eq!(ours.div_euclid(SECOND_US), theirs.as_microsecond().div_euclid(SECOND_US));
        }
    }

    #[test]
    fn one_changed_byte_never_panics(at_us in 0..LAST_US, place in 0_usize..27, byte: u8) {
        let mut text = format(at_us).into_bytes();
        if let Some(changed) = text.get_mut(place) {
            *changed = byte;
        }
        let _ = Parser::default().parse(&text);
    }
}
