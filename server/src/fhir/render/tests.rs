//! Observations as they are written.

use std::sync::Arc;

use engine::observe::{Measured, ObserveQuery, Order};
use serde_json::{Value, json};
use storage::TimeRange;

use super::*;
use crate::access::tests::Stage;
use crate::fhir::id::KEY_BYTES;

fn ids() -> Ids {
    Ids::new(&[7; KEY_BYTES])
}

fn fhir() -> Arc<Fhir> {
    Arc::new(Fhir::new(&crate::config::Fhir::default(), &engine::Catalogue::builtin()))
}

fn days() -> Days {
    Days::new("Europe/Berlin", 1_780_000_000_000_000)
}

fn user() -> UserId {
    UserId::parse("usr_7jRtHvBk").unwrap()
}

/// A point, as it is written.
fn written(metric: &str, source: &str, device: Option<&str>, measured: Measured, frame: Frame) -> String {
    let (fhir, ids) = (fhir(), ids());
    let mut writer = ObservationWriter::new(&fhir, &ids, user(), days(), frame);
    let mut out = Vec::new();
    let place = writer.origin(metric, source, device).unwrap();
    let mut origin = std::mem::take(&mut writer.origins[place]);
    writer.namer.begin(origin.metric_mark, origin.mark);
    let id = writer.namer.id(measured.recorded_at);
    writer.point(&mut origin, measured, &id, &mut out);
    String::from_utf8(out).unwrap()
}

const MEASURED: Measured = Measured {
    recorded_at: 1_780_000_000_000_000,
    value: 62.5,
    accepted_at_ms: 1_780_000_003_250,
    is_corrected: false,
};

#[test]
fn a_heart_rate_is_an_observation_of_the_vital_signs_profile() {
    insta::assert_snapshot!(written("heart_rate", "watch", Some("left \"w\""), MEASURED, Frame::Alone), @r#"{"resourceType":"Observation","id":"1gQT.bLpw8Yv8.b3nlELbcFeAgoYbSi1tH1tU8EbdxDyPBXSiQ10K4dLRulSd4Q","meta":{"versionId":"1780000003250","lastUpdated":"2026-05-28T20:26:43.250Z","profile":["http://hl7.org/fhir/StructureDefinition/heartrate"]},"status":"final","category":[{"coding":[{"code":"vital-signs","display":"Vital Signs","system":"http://terminology.hl7.org/CodeSystem/observation-category"}]}],"code":{"coding":[{"code":"8867-4","system":"http://loinc.org"}],"text":"Heart rate"},"subject":{"reference":"Patient/usr-7jRtHvBk"},"effectiveDateTime":"2026-05-28T20:26:40Z","issued":"2026-05-28T20:26:43.250Z","device":{"display":"watch (left \"w\")","reference":"Device/yHLuliarnKSVcyojgHl0SwyWVnQg8sPnGa5C76GnOg"},"valueQuantity":{"value":62.5,"unit":"bpm","system":"http://unitsofmeasure.org","code":"/min"}}"#);
}

#[test]
fn every_metric_is_written_as_json_that_reads_back() {
    for kind in fhir().kinds() {
        let crate::fhir::kind::Series::Metric(key) = &kind.series else { continue };
        let measured = Measured { is_corrected: true, value: 31.0, ..MEASURED };
        let text = written(key, "wåtch\n", None, measured, Frame::Lines);
        assert!(text.ends_with("}\n") && text.lines().count() == 1, "{text}");
        let observation: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(observation["status"], "corrected");
        assert_eq!(observation["valueQuantity"]["value"], 31.0, "{key}");
        assert_eq!(observation["device"]["display"], "wåtch\n");
        assert_eq!(observation["meta"]["versionId"], "1780000003250");
        assert_eq!(observation["issued"], observation["meta"]["lastUpdated"]);
        let is_vital = observation["category"][0]["coding"][0]["code"] == "vital-signs";
        assert_eq!(observation["meta"].get("profile").is_some(), is_vital, "{key}");
    }
    let sdnn: Value = serde_json::from_str(&written("hrv_sdnn", "w", None, MEASURED, Frame::Alone)).unwrap();
    assert_eq!(sdnn["code"]["coding"][0]["code"], "80404-7");
    let rmssd: Value = serde_json::from_str(&written("hrv", "w", None, MEASURED, Frame::Alone)).unwrap();
    assert_eq!(rmssd["code"]["coding"], json!([{"system": "urn:avycenna:codes", "code": "hrv"}]));
}

#[test]
fn a_total_of_a_day_has_a_period_and_is_preliminary_until_it_is_over() {
    // Now is 2026-05-28T20:26:40Z.
    let of = |metric: &str, source: &str, at: &str, is_corrected| {
        let measured = Measured { recorded_at: time::parse(at).unwrap(), is_corrected, ..MEASURED };
        let observation: Value = serde_json::from_str(&written(metric, source, None, measured, Frame::Alone)).unwrap();
        assert_ne!(observation.get("effectivePeriod").is_some(), observation.get("effectiveDateTime").is_some());
        (observation["status"].clone(), observation["effectivePeriod"].clone())
    };
    let today = json!({"start": "2026-05-27T22:00:00Z", "end": "2026-05-28T22:00:00Z"});
    assert_eq!(of("steps", "garmin", "2026-05-28T00:00:00+02:00", false), (json!("preliminary"), today.clone()));
    assert_eq!(of("calories", "apple_health", "2026-05-28T00:00:00+02:00", true), (json!("preliminary"), today));
    let march = json!({"start": "2026-03-28T23:00:00Z", "end": "2026-03-29T22:00:00Z"});
    assert_eq!(of("steps", "garmin", "2026-03-29T00:00:00+01:00", false), (json!("final"), march.clone()));
    assert_eq!(of("steps", "garmin", "2026-03-29T00:00:00+01:00", true), (json!("corrected"), march));
    // A client's own total says no period, and is one at the person's midnight alone.
    assert_eq!(of("steps", "watch", "2026-05-28T00:00:00+02:00", false), (json!("preliminary"), Value::Null));
    assert_eq!(of("steps", "watch", "2026-05-28T00:00:00+02:00", true), (json!("preliminary"), Value::Null));
    assert_eq!(of("steps", "watch", "2026-05-27T00:00:00+02:00", false), (json!("final"), Value::Null));
    assert_eq!(of("steps", "watch", "2026-05-28T00:00:00Z", false), (json!("final"), Value::Null));
    assert_eq!(of("steps_sample", "garmin", "2026-05-28T00:00:00+02:00", false), (json!("final"), Value::Null));
    assert_eq!(of("steps", "garmin", "2026-05-28T08:31:00+02:00", false), (json!("final"), Value::Null));
}

#[test]
fn a_total_has_a_new_version_when_its_day_is_over_and_was_issued_when_it_got_here() {
    // Now is 2026-05-28T20:26:40Z; the day before ended at 22:00.
    let of = |source: &str, at: &str, accepted: &str| {
        let (recorded_at, accepted_at_ms) = (time::parse(at).unwrap(), time::parse(accepted).unwrap() / 1_000);
        let measured = Measured { recorded_at, accepted_at_ms, ..MEASURED };
        let text = written("steps", source, None, measured, Frame::Alone);
        let observation: Value = serde_json::from_str(&text).unwrap();
        let changed = observation["meta"]["lastUpdated"].as_str().unwrap().to_owned();
        let number = (time::parse(&changed).unwrap() / 1_000).to_string();
        assert_eq!(observation["meta"]["versionId"], number);
        assert_eq!(observation["issued"], accepted);
        changed
    };
    for source in ["garmin", "watch"] {
        let yesterday = |accepted| of(source, "2026-05-27T00:00:00+02:00", accepted);
        assert_eq!(yesterday("2026-05-27T12:00:00Z"), "2026-05-27T22:00:00Z");
        assert_eq!(yesterday("2026-05-27T22:00:00.001Z"), "2026-05-27T22:00:00.001Z", "it was sent behind the end");
        let today = of(source, "2026-05-28T00:00:00+02:00", "2026-05-28T12:00:00Z");
        assert_eq!(today, "2026-05-28T12:00:00Z", "the day is not over");
        let beside = of(source, "2026-05-27T08:31:00+02:00", "2026-05-27T12:00:00Z");
        assert_eq!(beside, "2026-05-27T12:00:00Z", "it is no total");
    }
}

#[test]
fn observations_of_other_states_have_texts_of_their_own_wherever_they_stand() {
    // Now is 2026-05-28T20:26:40Z: the first is a total of yesterday, the second no total, the third of a day that is open.
    let times = ["2026-05-26T22:00:00Z", "2026-05-27T10:01:00Z", "2026-05-27T22:00:00Z"];
    let mut points = Vec::new();
    for at in times {
        for accepted_at_ms in [MEASURED.accepted_at_ms, MEASURED.accepted_at_ms - 172_800_000] {
            for is_corrected in [false, true] {
                let recorded_at = time::parse(at).unwrap();
                points.push(Measured { recorded_at, accepted_at_ms, is_corrected, ..MEASURED });
            }
        }
    }
    let (fhir, ids) = (fhir(), ids());
    let mut writer = ObservationWriter::new(&fhir, &ids, user(), days(), Frame::Lines);
    let place = writer.origin("steps", "garmin", None).unwrap();
    let mut origin = std::mem::take(&mut writer.origins[place]);
    writer.namer.begin(origin.metric_mark, origin.mark);
    for first in &points {
        for second in &points {
            let mut out = Vec::new();
            for measured in [first, second] {
                let id = writer.namer.id(measured.recorded_at);
                writer.point(&mut origin, *measured, &id, &mut out);
            }
            let alone = |measured| written("steps", "garmin", None, measured, Frame::Lines);
            assert_eq!(String::from_utf8(out).unwrap(), alone(*first) + &alone(*second));
        }
    }
}

#[test]
fn an_entry_has_its_own_address() {
    let text = written("hrv", "w", None, MEASURED, Frame::Entries("https://h/fhir/R4/Observation/".to_owned()));
    let entry: Value = serde_json::from_str(&text).unwrap();
    let id = entry["resource"]["id"].as_str().unwrap();
    assert_eq!(entry["fullUrl"], format!("https://h/fhir/R4/Observation/{id}"));
    assert_eq!(entry["search"], json!({"mode": "match"}));
}

fn row() -> check_in::Model {
    check_in::Model {
        id: "ci_0123456789abcDEF".to_owned(),
        user_id: "usr_7jRtHvBk".to_owned(),
        mood: 4,
        energy: 3,
        focus: 2,
        sleep_hours: Some(7.5),
        steps: None,
        note: Some("not for FHIR".to_owned()),
        checked_in_at: 1_780_000_000_000_000,
        source: "web".to_owned(),
        created_at: 1_780_000_000_500_000,
        updated_at: 1_780_000_000_500_000,
    }
}

fn written_field(row: &check_in::Model, field: Field) -> Option<String> {
    let (fhir, ids) = (fhir(), ids());
    let mut out = Vec::new();
    let is_there = ObservationWriter::new(&fhir, &ids, user(), days(), Frame::Alone).check_in(row, field, &mut out);
    assert_eq!(is_there, !out.is_empty());
    is_there.then(|| String::from_utf8(out).unwrap())
}

#[test]
fn a_mood_is_an_integer_with_our_own_code_first() {
    insta::assert_snapshot!(written_field(&row(), Field::Mood).unwrap(), @r#"{"resourceType":"Observation","id":"2fRfLrZOhHcSiXawqoegfnhu29U5h3ozit7Sj0g2NrEgc5Rw","meta":{"versionId":"1780000000500000","lastUpdated":"2026-05-28T20:26:40.500Z"},"status":"final","category":[{"coding":[{"code":"activity","display":"Activity","system":"http://terminology.hl7.org/CodeSystem/observation-category"}]}],"code":{"coding":[{"code":"mood","system":"urn:avycenna:codes"},{"code":"44250-9","system":"http://loinc.org"}],"text":"Mood"},"subject":{"reference":"Patient/usr-7jRtHvBk"},"effectiveDateTime":"2026-05-28T20:26:40Z","issued":"2026-05-28T20:26:40.500Z","performer":[{"reference":"Patient/usr-7jRtHvBk"}],"valueInteger":4}"#);
}

#[test]
fn values_of_a_check_in_are_there_where_it_has_them_and_amended_once_it_changed() {
    assert_eq!(written_field(&row(), Field::Steps), None);
    let changed = check_in::Model {
        steps: Some(9_241),
        updated_at: row().created_at + 1,
        checked_in_at: row().checked_in_at - 86_400_000_000,
        ..row()
    };
    let steps: Value = serde_json::from_str(&written_field(&changed, Field::Steps).unwrap()).unwrap();
    assert_eq!((&steps["status"], &steps["valueQuantity"]["value"]), (&json!("amended"), &json!(9241)));
    assert_eq!(steps["meta"]["versionId"], "1780000000500001");
    let sleep: Value = serde_json::from_str(&written_field(&changed, Field::SleepHours).unwrap()).unwrap();
    assert_eq!(sleep["valueQuantity"]["value"], 7.5);
    assert_eq!(sleep["performer"], json!([{"reference": "Patient/usr-7jRtHvBk"}]));
}

#[test]
fn steps_of_a_check_in_are_preliminary_until_their_day_is_over_and_nothing_beside_them_is() {
    // Now is 2026-05-28T20:26:40Z, an hour and a half before the day ends in Berlin.
    let status = |at: &str, changed: i64, field: Field| {
        let checked_in_at = time::parse(at).unwrap();
        let row = check_in::Model { steps: Some(1), checked_in_at, updated_at: row().created_at + changed, ..row() };
        serde_json::from_str::<Value>(&written_field(&row, field).unwrap()).unwrap()["status"].clone()
    };
    for at in ["2026-05-28T00:00:00+02:00", "2026-05-28T23:59:59+02:00"] {
        assert_eq!(status(at, 0, Field::Steps), "preliminary");
        assert_eq!(status(at, 1, Field::Steps), "preliminary");
        assert_eq!(status(at, 0, Field::Mood), "final");
        assert_eq!(status(at, 1, Field::SleepHours), "amended");
    }
    assert_eq!(status("2026-05-27T23:59:59+02:00", 0, Field::Steps), "final");
    assert_eq!(status("2026-05-27T23:59:59+02:00", 1, Field::Steps), "amended");
}

#[tokio::test]
async fn points_that_take_turns_are_written_in_their_order_each_with_its_own_device() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    let user = UserId::parse(&ada.id).unwrap();
    let mut points = Vec::new();
    for nth in 0..300_u32 {
        let at = stage.ago(f64::from(nth) / 1_440.0);
        let (source, device) =
            if nth % 2 == 0 { ("watch", json!(format!("d{}", nth % 200))) } else { ("strap", Value::Null) };
        points.push(json!({"metric": "heart_rate", "value": 60 + nth % 50, "unit": "bpm", "recorded_at": at,
            "source": source, "source_device_id": device}));
    }
    let (status, answer) = stage.post(&ada.key, "/wearables/bulk-ingest", json!({"data_points": points})).await;
    assert_eq!(status, 201, "{answer}");
    let ids = ids();
    let query = ObserveQuery {
        metrics: vec![Arc::from("heart_rate")],
        times: TimeRange::ALL,
        order: Order::Descending,
        after: None,
        keep: None,
        rows_about: 300,
    };
    let mut observations = stage.state.engine.observe(user, query).unwrap();
    let mut writer = ObservationWriter::new(&stage.state.fhir, &ids, user, days(), Frame::Lines);
    let mut out = Vec::new();
    while let Some(some) = observations.next().await.unwrap() {
        writer.points(&some, &mut out).unwrap();
    }
    let lines: Vec<Value> =
        String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 300);
    for (point, line) in points.iter().zip(&lines) {
        assert_eq!(line["effectiveDateTime"], point["recorded_at"]);
        assert_eq!(line["valueQuantity"]["value"].as_f64(), point["value"].as_f64());
        let device = point["source_device_id"].as_str();
        let id = line["id"].as_str().unwrap();
        let crate::fhir::id::Name::Point(named) = ids.read(id).unwrap() else { panic!("{id}") };
        assert!(is_of(named.origin, point["source"].as_str().unwrap(), device));
        let source = point["source"].as_str().unwrap();
        let name = device.map_or_else(|| source.to_owned(), |device| format!("{source} ({device})"));
        assert_eq!(line["device"]["display"], name);
    }
}
