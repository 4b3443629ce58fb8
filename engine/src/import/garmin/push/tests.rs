//! Pushes, in the shapes of Garmin's public description.

use super::super::tests::sink::Seen;
use super::*;

fn taken(body: &str) -> Seen {
    let mut seen = Seen::default();
    read(body.as_bytes(), &mut seen).unwrap();
    seen
}

#[test]
fn a_day_is_its_totals_and_its_heart_rate() {
    let seen = taken(
        r#"{"dailies": [{"userId": "u", "summaryId": "d-1", "calendarDate": "2024-05-01", "startTimeInSeconds": 1714514400,
            "startTimeOffsetInSeconds": 7200, "durationInSeconds": 86400, "steps": 4210, "activeKilocalories": 321,
            "bmrKilocalories": 1731, "restingHeartRateInBeatsPerMinute": 51,
            "timeOffsetHeartRateSamples": {"15": 75, "0": 0, "30": 76}}]}"#,
    );
    assert_eq!(
        seen.found,
        [
            "heart_rate 75 at 2024-04-30T22:00:15Z",
            "heart_rate 76 at 2024-04-30T22:00:30Z",
            "steps 4210 from 2024-04-30T22:00:00Z",
            "calories 2052 from 2024-04-30T22:00:00Z"
        ]
    );
    assert_eq!(seen.example(reason::NO_HEART_RATE), "d-1 at 2024-04-30T22:00:00Z");
}

#[test]
fn a_day_that_began_late_still_starts_at_its_midnight() {
    let seen = taken(
        r#"{"dailies": [
            {"calendarDate": "2024-05-01", "startTimeInSeconds": 1714543200, "startTimeOffsetInSeconds": 7200, "steps": 1},
            {"startTimeInSeconds": 1714543200, "startTimeOffsetInSeconds": -21600, "steps": 2},
            {"startTimeInSeconds": 1714543200, "steps": 3, "summaryId": "no-zone"}]}"#,
    );
    assert_eq!(seen.found, ["steps 1 from 2024-04-30T22:00:00Z", "steps 2 from 2024-05-01T06:00:00Z"]);
    assert_eq!(seen.example(reason::NO_LOCAL_TIME), "no-zone");
}

#[test]
fn epochs_are_pieces_with_a_strand_for_each_activity() {
    let epoch = |activity: &str, steps: u32| {
        format!(
            r#"{{"summaryId": "e", "activityType": "{activity}", "startTimeInSeconds": 1714543200, "durationInSeconds": 900,
                "startTimeOffsetInSeconds": 7200, "steps": {steps}, "activeKilocalories": 3.5}}"#
        )
    };
    let epochs = [epoch("WALKING", 93), epoch("RUNNING", 10), epoch("YOGA", 0)].join(",");
    let seen = taken(&format!(r#"{{"epochs": [{epochs}]}}"#));
    assert_eq!(
        seen.of("steps_sample"),
        [
            "93 of strand 6 from 2024-05-01T06:00:00Z to 2024-05-01T06:15:00Z",
            "10 of strand 1 from 2024-05-01T06:00:00Z to 2024-05-01T06:15:00Z",
            "0 of strand 67 from 2024-05-01T06:00:00Z to 2024-05-01T06:15:00Z"
        ]
    );
    assert_eq!(seen.of("calories_sample").len(), 3);
    for activity in ["", "YOGA", "HIKING", "some other"] {
        assert!((64..255).contains(&strand(activity)));
    }
}

#[test]
fn a_night_is_its_levels_at_its_end() {
    let seen = taken(
        r#"{"sleeps": [{"summaryId": "s-1", "calendarDate": "2024-05-02", "startTimeInSeconds": 1714600800,
            "startTimeOffsetInSeconds": 7200, "durationInSeconds": 12600, "deepSleepDurationInSeconds": 3600,
            "lightSleepDurationInSeconds": 5400, "remSleepInSeconds": 1800, "awakeDurationInSeconds": 1800,
            "sleepLevelsMap": {
                "deep": [{"startTimeInSeconds": 1714600800, "endTimeInSeconds": 1714604400}],
                "light": [{"startTimeInSeconds": 1714604400, "endTimeInSeconds": 1714609800}],
                "rem": [{"startTimeInSeconds": 1714609800, "endTimeInSeconds": 1714611600}],
                "awake": [{"startTimeInSeconds": 1714611600, "endTimeInSeconds": 1714613400}]},
            "validation": "ENHANCED_FINAL", "timeOffsetSleepSpo2": {"0": 95, "3600": 96},
            "timeOffsetSleepRespiration": {"60": 15.31, "120": -1.0}}]}"#,
    );
    assert_eq!(
        seen.found,
        [
            "sleep_duration 3 at 2024-05-02T01:30:00Z",
            "sleep_deep 1 at 2024-05-02T01:30:00Z",
            "sleep_rem 0.5 at 2024-05-02T01:30:00Z",
            "spo2 95 at 2024-05-01T22:00:00Z",
            "spo2 96 at 2024-05-01T23:00:00Z",
            "respiratory_rate 15.31 at 2024-05-01T22:01:00Z"
        ]
    );
    assert_eq!(seen.count(reason::NO_BREATH), 1);
}

#[test]
fn a_night_of_a_watch_without_stages_has_none_and_a_tentative_one_waits() {
    let seen = taken(
        r#"{"sleeps": [
            {"summaryId": "a", "startTimeInSeconds": 1714600800, "durationInSeconds": 7200, "validation": "DEVICE",
                "deepSleepDurationInSeconds": 1800, "lightSleepDurationInSeconds": 3600, "sleepLevelsMap": null},
            {"summaryId": "b", "startTimeInSeconds": 1714700000, "durationInSeconds": 7200,
                "validation": "ENHANCED_TENTATIVE", "deepSleepDurationInSeconds": 1800},
            {"summaryId": "c", "startTimeInSeconds": 1714700000, "validation": "MANUAL"},
            {"summaryId": "d", "startTimeInSeconds": 1714800000, "validation": "AUTO_FINAL", "sleepLevelsMap":
                {"light": [{"startTimeInSeconds": 1714800000, "endTimeInSeconds": 1714803600}], "rem": null}}]}"#,
    );
    assert_eq!(
        seen.found,
        [
            "sleep_duration 1.5 at 2024-05-02T00:00:00Z",
            "sleep_deep 0.5 at 2024-05-02T00:00:00Z",
            "sleep_duration 1 at 2024-05-04T06:20:00Z"
        ]
    );
    assert_eq!((seen.example(reason::TENTATIVE), seen.example(reason::INCOMPLETE)), ("b", "c"));
}

#[test]
fn variability_oxygen_and_respiration_stand_at_their_offsets() {
    let seen = taken(
        r#"{"hrv": [{"startTimeInSeconds": 1714600800, "lastNightAvg": 44, "hrvValues": {"300": 32, "600": 24}}],
            "pulseox": [{"startTimeInSeconds": 1714600800, "timeOffsetSpo2Values": {"0": 94}, "onDemand": true}],
            "allDayRespiration": [{"startTimeInSeconds": 1714600800, "timeOffsetEpochToBreaths": {"0": 1.6833333333333333, "60": -2}}]}"#,
    );
    assert_eq!(
        seen.found,
        [
            "hrv 32 at 2024-05-01T22:05:00Z",
            "hrv 24 at 2024-05-01T22:10:00Z",
            "spo2 94 at 2024-05-01T22:00:00Z",
            "respiratory_rate 1.6833333333333333 at 2024-05-01T22:00:00Z"
        ]
    );
}

#[test]
fn what_is_not_read_is_counted_by_its_kind() {
    let seen = taken(
        r#"{"stressDetails": [{"a": 1}, {"a": 2}], "bodyComps": null, "dailies": [
            {"userId": "u", "callbackURL": "https://example.org/x"}, {"summaryId": "x-1"}], "epochs": null}"#,
    );
    assert!(seen.found.is_empty());
    assert_eq!(seen.skipped[reason::NOT_READ], (2, "stressDetails".to_owned()));
    assert_eq!([reason::PING, reason::INCOMPLETE].map(|reason| seen.count(reason)), [1, 1]);
}

#[test]
fn a_body_that_is_no_push_gives_nothing_and_says_where() {
    let valid = r#"{"hrv": [{"startTimeInSeconds": 1714600800, "hrvValues": {"0": 32}}],"#;
    for (body, at) in
        [("", 0), ("[]", 0), ("{\"dailies\": 1}", 12), (valid, valid.len() as u64 - 1), ("{\n\"epochs\": [{}\n x", 17)]
    {
        let mut seen = Seen::default();
        match read(body.as_bytes(), &mut seen) {
            Err(Fault::Broken { at: found, .. }) => assert_eq!(found, at, "{body}"),
            other => panic!("{body}: {other:?}"),
        }
        assert!(seen.found.is_empty(), "{body}");
    }
}

#[test]
fn a_body_of_two_people_gives_nothing_and_says_where_the_second_comes() {
    let first =
        r#"{"hrv": [{"userId": "u", "startTimeInSeconds": 1714600800, "hrvValues": {"0": 32}}], "pulseox": null"#;
    for second in [r#""sleeps": [{"userId": "u"}, {"userId": "v"}"#, r#""stressDetails": [{}, {"userId": 7}"#] {
        let (until, mut seen) = (format!("{first}, {second}"), Seen::default());
        match read(format!("{until}]}}").as_bytes(), &mut seen) {
            Err(Fault::Broken { at, what }) => {
                assert!(until.len() as u64 - at <= 1, "{at} of {}: {what}", until.len());
                assert!(what.contains("another `userId`"), "{what}");
            }
            other => panic!("{second}: {other:?}"),
        }
        assert!(seen.found.is_empty(), "{second}");
    }
    let nobody = r#""sleeps": [{"userId": null}, {"userId": "u"}, {}]"#;
    assert_eq!(taken(&format!("{first}, {nobody}}}")).of("hrv").len(), 1);
}

#[test]
fn numbers_beyond_every_time_are_no_times() {
    let seen = taken(
        r#"{"hrv": [{"startTimeInSeconds": 9223372036854775807, "hrvValues": {"0": 32}},
            {"startTimeInSeconds": 1e300, "hrvValues": {"0": 32}},
            {"startTimeInSeconds": 1714600800, "hrvValues": {"9223372036854775807": 32, "x": 1, "300": "32"}}],
            "epochs": [{"startTimeInSeconds": 1714600800, "startTimeOffsetInSeconds": 99999999, "durationInSeconds": 1}]}"#,
    );
    assert!(seen.found.is_empty(), "{:?}", seen.found);
    assert_eq!(seen.count(reason::INCOMPLETE), 3);
}
