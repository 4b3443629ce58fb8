//! That the data is what the module says it is.

use std::collections::BTreeSet;

use super::*;

/// 2026-06-01T12:34:56Z.
const END_US: i64 = 1_780_317_296 * SECOND_US;

fn fleet() -> Fleet {
    Fleet::new(7, 3, 30, END_US)
}

#[test]
fn the_same_seed_gives_the_same_points() {
    let person = fleet().person(1);
    assert!(person.points().eq(fleet().person(1).points()));
    assert!(!person.points().eq(Fleet::new(8, 3, 30, END_US).person(1).points()));
    assert!(!person.points().eq(fleet().person(2).points()));
}

#[test]
fn a_month_holds_a_heart_rate_each_five_minutes() {
    for number in 0..3 {
        let truth = fleet().person(number).truth();
        let beats = truth.window("heart_rate", fleet().start_us(), fleet().end_us());
        assert_eq!(beats.count, 8_640);
        let mean = beats.sum / 8_640.0;
        assert!((50.0..110.0).contains(&mean), "mean {mean}");
        assert!((9_700..10_600).contains(&truth.len()), "{} points", truth.len());
        assert_eq!(truth.metrics().count(), 10);
    }
}

#[test]
fn every_value_is_plausible_and_every_time_inside() {
    let fleet = fleet();
    for number in 0..3 {
        for point in fleet.person(number).points() {
            let (low, high) = match point.metric {
                "heart_rate" => (36.0, 198.0),
                "hrv" => (6.0, 200.0),
                "spo2" => (88.0, 100.0),
                "steps" => (400.0, 40_000.0),
                "sleep_duration" => (4.0, 10.0),
                "sleep_deep" | "sleep_rem" => (0.2, 4.0),
                "body_temperature" => (35.0, 40.0),
                "respiratory_rate" => (5.0, 30.0),
                "calories" => (500.0, 6_000.0),
                other => panic!("unknown metric {other}"),
            };
            assert!((low..=high).contains(&point.value), "{point:?}");
            assert_eq!(point.recorded_at_us % SECOND_US, 0);
            assert!((fleet.start_us()..fleet.end_us()).contains(&point.recorded_at_us), "{point:?}");
        }
    }
}

#[test]
fn some_points_come_late_and_some_twice() {
    let person = fleet().person(0);
    let (mut seen, mut newest_us) = (BTreeSet::new(), i64::MIN);
    let (mut sent, mut again, mut late) = (0_u32, 0_u32, 0_u32);
    for point in person.points().filter(|point| point.metric == "heart_rate") {
        sent += 1;
        if !seen.insert(point.recorded_at_us) {
            again += 1;
        } else if point.recorded_at_us < newest_us {
            late += 1;
        }
        newest_us = newest_us.max(point.recorded_at_us);
    }
    let per_mille = |part: u32| part * 1_000 / sent;
    assert!((5..16).contains(&per_mille(again)), "{again} of {sent} again");
    assert!((12..30).contains(&per_mille(late)), "{late} of {sent} late");
}

#[test]
fn a_body_is_json_that_holds_the_points_in_order() {
    let person = fleet().person(2);
    let points: Vec<Point<'_>> = person.points().take(1_201).collect();
    let bodies = bodies(points.iter().copied(), BODY_POINTS);
    assert_eq!(bodies.len(), 3);
    let mut expected = points.iter();
    for body in &bodies {
        let body: serde_json::Value = serde_json::from_slice(body).unwrap();
        for found in body["data_points"].as_array().unwrap() {
            let point = expected.next().unwrap();
            let at_us = found["recorded_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_microsecond();
            assert_eq!(found["metric"], point.metric);
            assert_eq!(found["unit"], point.unit);
            assert_eq!(found["value"].as_f64().unwrap().to_bits(), point.value.to_bits());
            assert_eq!(at_us, point.recorded_at_us);
            assert_eq!(found["source"], person.source());
            assert_eq!(found["source_device_id"], person.device());
        }
    }
    assert!(expected.next().is_none());
}

#[test]
fn a_source_that_json_must_escape_is_escaped() {
    let point =
        Point { metric: "steps", value: 1.0, unit: "steps", recorded_at_us: 0, source: "a\"b\\c\n", device: "" };
    let mut body = Vec::new();
    render([point], &mut body);
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["data_points"][0]["source"], "a\"b\\c\n");
    assert_eq!(body["data_points"][0]["recorded_at"], "1970-01-01T00:00:00Z");
    assert!(body["data_points"][0].get("source_device_id").is_none());
}

#[test]
fn truth_knows_the_newest_and_the_window() {
    let person = fleet().person(0);
    let truth = person.truth();
    let newest = person.points().filter(|point| point.metric == "spo2").max_by_key(|point| point.recorded_at_us);
    let newest = newest.unwrap();
    assert_eq!(truth.latest("spo2"), Some((newest.recorded_at_us, newest.value)));
    assert_eq!(truth.window("spo2", newest.recorded_at_us, newest.recorded_at_us + 1).count, 1);
    assert_eq!(truth.window("spo2", 5, 5).count, 0);
    assert_eq!(truth.latest("unknown"), None);
}
