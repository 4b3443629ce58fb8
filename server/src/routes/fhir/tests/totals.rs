//! Totals of days that are not over, and what becomes of them at midnight.

use std::collections::BTreeSet;

use super::periods::agrees;
use super::*;

/// Noon in Berlin.
const NOON: &str = "2026-06-10T12:00:00+02:00";

fn at(text: &str) -> i64 {
    engine::time::parse(text).unwrap()
}

/// Somebody in Berlin at noon, with totals of today and yesterday by whoever makes them, and what is beside them.
async fn filled() -> (Stage, Person) {
    let stage = Stage::new().await;
    stage.clock.set_now_us(at(NOON));
    let ada = stage.patient("Ada").await;
    let zone = json!({"timezone": "Europe/Berlin"});
    assert_eq!(stage.send(Some(&ada.token), "PATCH", "/users/me", Some(&zone)).await.0, 200);
    let mut points = Vec::new();
    for (metric, value, at, source, device) in [
        ("steps", 1, "2026-06-10T00:00:00+02:00", "app", None),
        ("calories", 2, "2026-06-10T00:00:00+02:00", "app", Some("phone")),
        ("steps", 3, "2026-06-10T00:00:00+02:00", "apple_health", None),
        ("steps", 4, "2026-06-10T08:30:00+02:00", "app", None),
        ("steps", 5, "2026-06-09T00:00:00+02:00", "app", None),
        ("steps", 6, "2026-06-09T00:00:00+02:00", "garmin", None),
        ("heart_rate", 60, "2026-06-10T00:00:00+02:00", "app", None),
    ] {
        let unit = stage.state.engine.catalogue().get(metric).unwrap().unit.clone();
        points.push(json!({"metric": metric, "value": value, "unit": unit, "recorded_at": at, "source": source,
            "source_device_id": device}));
    }
    let (status, body) = stage.post(&ada.key, "/wearables/bulk-ingest", json!({"data_points": points})).await;
    assert_eq!(status, 201, "{body}");
    for (at, steps) in [
        ("2026-06-08T09:00:00+02:00", 10),
        ("2026-06-09T23:59:59+02:00", 11),
        ("2026-06-10T00:00:00+02:00", 12),
        ("2026-06-10T09:00:00+02:00", 13),
    ] {
        stage.check_in(&ada, json!({"steps": steps, "sleep_hours": 7, "checked_in_at": at})).await;
    }
    stage.check_in(&ada, json!({"sleep_hours": 8, "checked_in_at": NOON})).await;
    stage.clock.advance(std::time::Duration::from_secs(60));
    for (at, steps) in [("2026-06-09T10:00:00+02:00", 14), ("2026-06-10T10:00:00+02:00", 15)] {
        let made = stage.check_in(&ada, json!({"mood": 2, "steps": 1, "checked_in_at": at})).await;
        stage.clock.advance(std::time::Duration::from_secs(60));
        let path = format!("/check-ins/{}", made["id"].as_str().unwrap());
        let (status, body) = stage.send(Some(&ada.token), "PATCH", &path, Some(&json!({"steps": steps}))).await;
        assert_eq!(status, 200, "{body}");
    }
    (stage, ada)
}

/// Everything there is.
async fn all(stage: &Stage, who: &Person) -> Vec<Value> {
    let all = read(stage, &who.key, "/Observation?_count=1000").await;
    all.matches().into_iter().cloned().collect()
}

/// Values of steps and calories in a state, sorted.
fn totals_that_are(all: &[Value], status: &str) -> Vec<i64> {
    let is_one = |one: &&Value| {
        let unit = one["valueQuantity"]["unit"].as_str();
        one["status"] == status && matches!(unit, Some("steps" | "kcal"))
    };
    let value = |one: &Value| one["valueQuantity"]["value"].to_string().trim_end_matches(".0").parse().unwrap();
    let mut values: Vec<i64> = all.iter().filter(is_one).map(value).collect();
    values.sort_unstable();
    values
}

/// Whether searches by a condition find those of which it holds, in every order, counted, paged and by their ids.
async fn finds(stage: &Stage, who: &Person, condition: &str, all: &[Value], holds: impl Fn(&Value) -> bool) {
    let id = |one: &Value| one["id"].as_str().unwrap().to_owned();
    let expected: BTreeSet<String> = all.iter().filter(|one| holds(one)).map(id).collect();
    for sort in ["", "&_sort=date", "&_sort=code"] {
        agrees(stage, who, &format!("{condition}{sort}"), &expected).await;
    }
    let ids: Vec<String> = all.iter().map(id).collect();
    agrees(stage, who, &format!("{condition}&_id={}", ids.join(",")), &expected).await;
    let steps = |one: &&Value| one["code"]["coding"][0]["code"] == "41950-7" && holds(one);
    let expected = all.iter().filter(steps).map(id).collect();
    agrees(stage, who, &format!("{condition}&code=41950-7"), &expected).await;
}

const STATES: [&str; 7] =
    ["preliminary", "final", "amended", "corrected", "final,amended", "preliminary,final", "preliminary,amended"];

#[tokio::test]
async fn totals_of_a_day_are_preliminary_until_it_is_over_whoever_made_them() {
    let (stage, ada) = filled().await;
    let today = all(&stage, &ada).await;
    assert_eq!(totals_that_are(&today, "preliminary"), [1, 2, 3, 12, 13, 15]);
    assert_eq!(totals_that_are(&today, "final"), [4, 5, 6, 10, 11]);
    assert_eq!(totals_that_are(&today, "amended"), [14]);
    let with_period = today.iter().filter(|one| one.get("effectivePeriod").is_some()).count();
    assert_eq!(with_period, 2, "those of importers");
    for states in STATES {
        let is = |one: &Value| states.split(',').any(|state| one["status"] == state);
        finds(&stage, &ada, &format!("status={states}"), &today, is).await;
    }
    // A doctor sees the patient's days, not their own.
    let doctor = stage.doctor("Doc").await;
    stage.grant(&doctor, &ada, &["check_ins"]).await;
    let found = read(&stage, &doctor.key, &format!("/Observation?patient={}&status=preliminary", ada.id)).await;
    assert_eq!(found.matches().len(), 6);
    for one in found.matches() {
        let path = format!("/Observation/{}", one["id"].as_str().unwrap());
        assert_eq!(&read(&stage, &doctor.key, &path).await.body, one);
    }

    stage.clock.set_now_us(at("2026-06-11T00:00:00+02:00"));
    let tomorrow = all(&stage, &ada).await;
    assert!(totals_that_are(&tomorrow, "preliminary").is_empty());
    assert_eq!(totals_that_are(&tomorrow, "final"), [1, 2, 3, 4, 5, 6, 10, 11, 12, 13]);
    assert_eq!(totals_that_are(&tomorrow, "amended"), [14, 15]);
    for states in STATES {
        let is = |one: &Value| states.split(',').any(|state| one["status"] == state);
        finds(&stage, &ada, &format!("status={states}"), &tomorrow, is).await;
    }
}
