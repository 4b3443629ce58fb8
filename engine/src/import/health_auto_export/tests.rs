//! Bodies as the app's documentation shows them, and what may be wrong with them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::import::apple::tests::Seen;

fn taken(metrics: &Value) -> Seen {
    let mut seen = Seen::default();
    read(json!({"data": {"metrics": metrics}}).to_string().as_bytes(), &mut seen).unwrap();
    seen
}

fn metric(name: &str, units: &str, entries: &Value) -> Value {
    json!([{"name": name, "units": units, "data": entries}])
}

const AT: &str = "2021-03-01 08:00:00 +0100";

#[test]
fn values_are_samples_of_the_device_that_the_app_names() {
    let heart = json!([
        {"date": AT, "qty": 99, "Min": 60, "Avg": 62.5, "Max": 64, "source": "Max’s Apple\u{a0}Watch"},
        {"date": AT, "qty": 63, "source": "Watch|iPhone"},
        {"date": AT, "qty": "64"},
    ]);
    assert_eq!(
        taken(&metric("heart_rate", "count/min", &heart)).found,
        [
            "heart_rate 62.5 at 2021-03-01T07:00:00Z by health_auto_export [Max’s Apple Watch]",
            "heart_rate 63 at 2021-03-01T07:00:00Z by health_auto_export [-]",
            "heart_rate 64 at 2021-03-01T07:00:00Z by health_auto_export [-]",
        ]
    );
    for (name, units, qty, expected) in [
        ("blood_oxygen_saturation", "%", 97.0, "spo2 97 "),
        ("blood_oxygen_saturation", "%", 0.97, "spo2 97 "),
        ("Respiratory Rate", "count/min", 14.5, "respiratory_rate 14.5 "),
        ("body_temperature", "degF", 98.6, "body_temperature 37 "),
        ("heart_rate_variability", "ms", 45.0, "hrv_sdnn 45 "),
    ] {
        let found = taken(&metric(name, units, &json!([{"date": AT, "qty": qty}]))).found;
        assert!(found.len() == 1 && found[0].starts_with(expected), "{name}: {found:?}");
    }
}

#[test]
fn the_hour_behind_a_midnight_that_came_alone_is_no_day() {
    let piece = |strand: u8, hour: i64, hours: i64, value: f64| Counted {
        strand,
        priority: 0,
        start: hour * HOUR_US,
        end: (hour + hours) * HOUR_US,
        value,
        offset_s: 0,
    };
    let lengths = |mut pieces: Vec<Counted>| {
        shorten(&mut pieces);
        pieces.iter().map(|piece| (piece.end - piece.start) / HOUR_US).collect::<Vec<_>>()
    };
    assert_eq!(lengths(vec![piece(0, 0, 24, 12.0), piece(0, 8, 1, 700.0), piece(0, 9, 1, 800.0)]), [1, 1, 1]);
    assert_eq!(lengths(vec![piece(0, 8, 1, 700.0), piece(0, 9, 1, 800.0), piece(0, 0, 24, 1_500.0)]), [24, 1, 1]);
    // Another day, another quantity, and the days next to it say nothing of it.
    let others = vec![piece(0, 0, 24, 12.0), piece(0, 24, 24, 900.0), piece(0, 49, 1, 30.0), piece(1, 8, 1, 99.0)];
    assert_eq!(lengths(others), [24, 24, 1, 1]);
}

#[test]
fn steps_are_pieces_as_long_as_their_dates_say() {
    for (dates, length) in [
        (vec!["2021-03-01 00:00:00 +0100"], "2021-03-01T23:00:00Z"),
        (vec!["2021-03-01 00:00:00 +0100", "2021-03-02 00:00:00 +0100"], "2021-03-01T23:00:00Z"),
        (vec!["2021-03-01 00:00:00 +0100", "2021-03-01 05:00:00 +0100"], "2021-03-01T00:00:00Z"),
        (vec!["2021-03-01 00:00:00 +0100", "2021-03-01 05:10:00 +0100"], "2021-02-28T23:01:00Z"),
        (vec!["2021-03-01 00:00:00 +0100", "2021-03-01 05:10:07 +0100"], "2021-02-28T23:00:00Z"),
    ] {
        let entries: Vec<_> = dates.iter().map(|date| json!({"date": date, "qty": 12, "source": "A"})).collect();
        let found = taken(&metric("step_count", "count", &json!(entries))).found;
        assert_eq!(found.len(), dates.len());
        let expected =
            format!("steps.0 12 from 2021-02-28T23:00:00Z to {length} +3600 rank 2 by health_auto_export [-]");
        assert_eq!(found[0], expected);
    }
    let kathmandu = json!([{"date": "2021-03-01 05:00:00 +0545", "qty": 1}]);
    assert!(taken(&metric("step_count", "count", &kathmandu)).found[0].contains("to 2021-03-01T00:15:00Z"));
}

#[test]
fn active_and_basal_energy_are_two_strands() {
    let entries = json!([{"date": AT, "qty": 4.184}]);
    assert!(taken(&metric("active_energy", "kJ", &entries)).found[0].starts_with("calories.0 1 "));
    assert!(taken(&metric("basal_energy_burned", "kJ", &entries)).found[0].starts_with("calories.1 1 "));
}

#[test]
fn totals_of_weeks_belong_to_no_day() {
    let weeks = json!([{"date": "2021-03-01 00:00:00 +0100", "qty": 70_000}, {"date": "2021-03-08 00:00:00 +0100", "qty": 60_000}]);
    let seen = taken(&metric("step_count", "count", &weeks));
    assert!(seen.found.is_empty());
    assert_eq!(seen.count(LONG_TOTALS), 2);
}

#[test]
fn a_night_that_is_added_up_is_taken_as_it_is() {
    let end = "2021-03-02 07:00:00 +0100";
    for (night, duration, deep) in [
        (json!({"totalSleep": 7.5, "asleep": 0, "core": 5, "deep": 1, "rem": 1.5}), 7.5, Some(1.0)),
        (json!({"asleep": 7.5, "core": 5, "deep": 1, "rem": 1.5}), 7.5, Some(1.0)),
        (json!({"asleep": 0.5, "core": 5, "deep": 1, "rem": 1.5}), 8.0, Some(1.0)),
        (json!({"asleep": 7, "core": 0, "deep": 0, "rem": 0}), 7.0, None),
        (json!({"asleep": 7}), 7.0, None),
    ] {
        let mut night = night;
        for (key, value) in [("date", "2021-03-02"), ("sleepEnd", end), ("sleepSource", "Watch")] {
            night[key] = json!(value);
        }
        let found = taken(&metric("sleep_analysis", "hr", &json!([night]))).found;
        let at = "at 2021-03-02T06:00:00Z by health_auto_export [Watch]";
        assert_eq!(found[0], format!("sleep_duration {duration} {at}"));
        assert_eq!(found.get(1).cloned(), deep.map(|deep| format!("sleep_deep {deep} {at}")));
    }
}

#[test]
fn single_intervals_become_nights() {
    let interval = |value: &str, start: &str, end: &str| json!({"startDate": format!("2021-03-02 {start} +0100"), "endDate": format!("2021-03-02 {end} +0100"), "qty": 1, "value": value, "source": "Watch"});
    let entries = json!([
        interval("In Bed", "00:00:00", "08:00:00"),
        interval("Core", "01:00:00", "03:00:00"),
        interval("Deep", "03:00:00", "04:00:00"),
        interval("Awake", "04:00:00", "04:10:00"),
        interval("REM", "04:10:00", "05:10:00"),
        interval("Asleep", "05:10:00", "06:10:00"),
        interval("Dreaming", "05:10:00", "06:10:00"),
    ]);
    let seen = taken(&metric("sleep_analysis", "hr", &entries));
    let at = "at 2021-03-02T05:10:00Z by health_auto_export [Watch]";
    assert_eq!(
        seen.found,
        [format!("sleep_duration 5 {at}"), format!("sleep_deep 1 {at}"), format!("sleep_rem 1 {at}")]
    );
    assert_eq!((seen.count(NOT_ASLEEP), seen.count(UNKNOWN_SLEEP)), (2, 1));
}

#[test]
fn what_is_left_out_says_why() {
    let entries = json!([{"date": AT, "qty": 1}, {"date": AT, "qty": 2}]);
    assert_eq!(taken(&metric("resting_heart_rate", "count/min", &entries)).count(OTHER_METRIC), 2);
    assert_eq!(taken(&metric("heart_rate", "furlong", &entries)).count(UNKNOWN_UNIT), 2);
    let odd = json!([{"date": AT}, {"date": AT, "qty": null}, {"date": AT, "qty": {"a": [1]}}, {"date": 7, "qty": 60}, {"qty": 60}]);
    for (name, units) in [("heart_rate", "bpm"), ("step_count", "count")] {
        let seen = taken(&metric(name, units, &odd));
        assert_eq!((seen.found.len(), seen.count(NO_VALUE), seen.count(NO_TIME)), (0, 3, 2), "{name}");
    }
    assert_eq!(taken(&metric("sleep_analysis", "hr", &json!([{"date": AT, "asleep": 7}]))).count(NO_TIME), 1);
}

#[test]
fn a_body_that_is_none_of_the_app_gives_nothing_and_says_where() {
    for (text, at) in [
        ("", 0),
        ("{\"data\":\n{\"metrics\": [1]}}", 23),
        ("{}", 2),
        ("{\"data\":{\"metrics\":[{\"name\":\"a", 30),
        ("\u{feff}{}", 1),
    ] {
        let mut seen = Seen::default();
        let error = read(text.as_bytes(), &mut seen).unwrap_err();
        let Fault::Broken { at: found, .. } = error else { panic!("{error}") };
        assert!(found.abs_diff(at) <= 1, "{text:?}: {found}");
        assert!(seen.found.is_empty());
    }
    let deep = format!("{{\"data\":{}", "[".repeat(100_000));
    assert!(read(deep.as_bytes(), &mut Seen::default()).is_err());
}

proptest! {
    #[test]
    fn mutations_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8), end in any::<prop::sample::Index>()) {
        let entries = json!([{"date": AT, "qty": 12, "source": "A", "startDate": AT, "endDate": AT, "value": "Core"}]);
        let mut body = json!({"data": {"metrics": [
            {"name": "step_count", "units": "count", "data": entries},
            {"name": "sleep_analysis", "units": "hr", "data": entries},
            {"name": "heart_rate", "units": "bpm", "data": entries},
        ]}}).to_string().into_bytes();
        for (place, byte) in changes {
            let place = place.index(body.len());
            body[place] = byte;
        }
        let _ = read(&body, &mut Seen::default());
        body.truncate(end.index(body.len()));
        let _ = read(&body, &mut Seen::default());
    }
}
