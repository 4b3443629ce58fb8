//! Totals of days that are not over, and what becomes of them at midnight.

use std::collections::BTreeSet;

use super::periods::agrees;
use super::*;
use crate::control::repository::users;

/// Noon in Berlin.
const NOON: &str = "2026-06-10T12:00:00+02:00";

fn at(text: &str) -> i64 {
    engine::time::parse(text).unwrap()
}

/// Somebody in Berlin at noon, with totals of today and yesterday by whoever makes them, and what is beside them.
pub(super) async fn filled() -> (Stage, Person) {
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
    stage.clock.advance(std::time::Duration::from_mins(1));
    for (at, steps) in [("2026-06-09T10:00:00+02:00", 14), ("2026-06-10T10:00:00+02:00", 15)] {
        let made = stage.check_in(&ada, json!({"mood": 2, "steps": 1, "checked_in_at": at})).await;
        stage.clock.advance(std::time::Duration::from_mins(1));
        let path = format!("/check-ins/{}", made["id"].as_str().unwrap());
        let (status, body) = stage.send(Some(&ada.token), "PATCH", &path, Some(&json!({"steps": steps}))).await;
        assert_eq!(status, 200, "{body}");
    }
    (stage, ada)
}

/// Everything there is.
pub(super) async fn all(stage: &Stage, who: &Person) -> Vec<Value> {
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

#[tokio::test]
async fn a_total_that_was_corrected_is_preliminary_first_and_corrected_when_its_day_is_over() {
    let (stage, ada) = filled().await;
    let unit = stage.state.engine.catalogue().get("steps").unwrap().unit.clone();
    let total = json!({"metric": "steps", "value": 7, "unit": unit, "recorded_at": "2026-06-10T00:00:00+02:00",
        "source": "app"});
    assert_eq!(stage.post(&ada.key, "/wearables/ingest", total).await.0, 201);
    for (now, preliminary, corrected) in
        [(NOON, &[2, 3, 7, 12, 13, 15][..], &[][..]), ("2026-06-11T00:00:00+02:00", &[], &[7])]
    {
        stage.clock.set_now_us(at(now).max(stage.state.clock.now_us()));
        let known = all(&stage, &ada).await;
        assert_eq!(totals_that_are(&known, "preliminary"), preliminary);
        assert_eq!(totals_that_are(&known, "corrected"), corrected);
        for states in STATES {
            let is = |one: &Value| states.split(',').any(|state| one["status"] == state);
            finds(&stage, &ada, &format!("status={states}"), &known, is).await;
        }
    }
}

/// What each observation says of its version, by id.
fn versions(all: &[Value]) -> std::collections::BTreeMap<String, Value> {
    all.iter().map(|one| (one["id"].as_str().unwrap().to_owned(), one["meta"].clone())).collect()
}

#[tokio::test]
async fn a_total_that_becomes_final_is_a_new_version_that_every_client_finds() {
    let (stage, ada) = filled().await;
    let today = all(&stage, &ada).await;
    let preliminary: BTreeSet<String> = today
        .iter()
        .filter(|one| one["status"] == "preliminary")
        .map(|one| one["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(preliminary.len(), 6);
    let midnight = "2026-06-10T22:00:00Z";
    stage.clock.set_now_us(at(midnight) - 1);
    assert_eq!(versions(&all(&stage, &ada).await), versions(&today), "a moment before");
    stage.clock.set_now_us(at(midnight));
    let tomorrow = all(&stage, &ada).await;
    for (before, after) in today.iter().zip(&tomorrow) {
        let id = after["id"].as_str().unwrap();
        let is_changed = preliminary.contains(id);
        assert_eq!((&before["id"], &before["issued"]), (&after["id"], &after["issued"]));
        assert_eq!(before["meta"] != after["meta"], is_changed, "{before} {after}");
        assert_eq!(before["status"] != after["status"], is_changed);
        assert_eq!(after["meta"]["lastUpdated"] == midnight, is_changed);
        let old = before["meta"]["versionId"].as_str().unwrap();
        let tag = format!("W/\"{old}\"");
        let path = format!("/Observation/{id}");
        for path in [path.clone(), format!("/Provenance/p{id}")] {
            let reply = send(&stage, Some(&ada.key), ("GET", &path), &[("if-none-match", &tag)], "").await;
            assert_eq!(reply.status, if is_changed { 200 } else { 304 }, "{path}");
        }
        let reply = read(&stage, &ada.key, &path).await;
        let new = after["meta"]["versionId"].as_str().unwrap();
        assert_eq!((&reply.body, &reply.headers["etag"]), (after, &format!("W/\"{new}\"").parse().unwrap()));
        if is_changed {
            assert_eq!(reply.headers["last-modified"], "Wed, 10 Jun 2026 22:00:00 GMT");
            assert_eq!(get(&stage, &ada.key, &format!("{path}/_history/{old}")).await.status, 410);
        }
        assert_eq!(read(&stage, &ada.key, &format!("{path}/_history/{new}")).await.body, *after);
    }
    let new = read(&stage, &ada.key, &format!("/Observation?_lastUpdated=ge{midnight}")).await;
    assert_eq!(new.ids().into_iter().collect::<BTreeSet<_>>(), preliminary);
}

#[tokio::test]
async fn no_version_goes_back_when_its_person_moves_to_another_time_zone_and_every_client_finds_what_did_change() {
    let (stage, ada) = filled().await;
    let doctor = stage.doctor("Doc").await;
    stage.grant(&doctor, &ada, &["check_ins"]).await;
    let mut before = all(&stage, &ada).await;
    let (mut lived_in, mut moved_back) = ("Europe/Berlin", 0);
    for (now, zone) in [
        ("2026-06-10T23:00:00+02:00", "Europe/Berlin"),
        // There the day of these totals has ended, or begins at another moment.
        ("2026-06-10T23:30:00+02:00", "Asia/Tokyo"),
        ("2026-06-11T00:30:00+02:00", "Europe/Berlin"),
        ("2026-06-11T00:31:00+02:00", "America/New_York"),
        ("2026-06-11T07:00:00+02:00", "America/New_York"),
        ("2026-06-11T07:01:00+02:00", "Europe/Berlin"),
        ("2026-06-11T07:02:00+02:00", "Pacific/Apia"),
    ] {
        stage.clock.set_now_us(at(now));
        if zone != lived_in {
            let on = stage.state.control.read();
            users::set_profile(on, &ada.id, None, Some(zone.to_owned()), at(now)).await.unwrap();
            lived_in = zone;
        }
        let after = all(&stage, &ada).await;
        let to_a_doctor = read(&stage, &doctor.key, &format!("/Observation?_count=1000&patient={}", ada.id)).await;
        assert_eq!(to_a_doctor.matches(), after.iter().collect::<Vec<_>>(), "{now} {zone}");
        let mut changed = BTreeSet::new();
        let mut last = i64::MIN;
        for (old, new) in before.iter().zip(&after) {
            let (id, number) = (new["id"].as_str().unwrap(), |one: &Value| {
                one["meta"]["versionId"].as_str().unwrap().parse::<u64>().unwrap()
            });
            assert_eq!((&old["id"], &old["issued"]), (&new["id"], &new["issued"]));
            assert!(number(old) <= number(new), "{now} {zone}: {old} {new}");
            let updated = |one: &Value| at(one["meta"]["lastUpdated"].as_str().unwrap());
            assert!(updated(old) <= updated(new) && updated(new) <= at(now), "{now} {zone}: {old} {new}");
            assert!(old == new || number(old) < number(new), "{now} {zone}: {old} {new}");
            moved_back += usize::from(old["status"] == "final" && new["status"] == "preliminary");
            last = last.max(updated(old));
            if old != new {
                changed.insert(id.to_owned());
            }
        }
        let new = read(&stage, &ada.key, &format!("/Observation?_lastUpdated=gt{}", engine::time::format(last))).await;
        assert!(changed.is_subset(&new.ids().into_iter().collect()), "{now} {zone}");
        for moment in [last, at(now), at(now) - 1] {
            let condition = |prefix: &str| format!("_lastUpdated={prefix}{}", engine::time::format(moment));
            let updated = |one: &Value| at(one["meta"]["lastUpdated"].as_str().unwrap());
            finds(&stage, &ada, &condition("ge"), &after, |one| updated(one) >= moment).await;
            finds(&stage, &ada, &condition("lt"), &after, |one| updated(one) < moment).await;
            let open = |one: &Value| updated(one) >= moment && one["status"] == "preliminary";
            finds(&stage, &ada, &format!("{}&status=preliminary", condition("ge")), &after, open).await;
        }
        before = after;
    }
    assert!(moved_back > 0, "there are zones in which a day is not over that is in others");
}

#[tokio::test]
async fn a_search_by_last_updated_finds_what_the_observations_say() {
    let (stage, ada) = filled().await;
    let many =
        (0..99).map(|nth| format!("2026-05-{:02}T{:02}:30", 1 + nth / 20, nth % 20)).collect::<Vec<_>>().join(",");
    for now in ["2026-06-10T13:00:00+02:00", "2026-06-11T00:00:00+02:00"] {
        stage.clock.set_now_us(at(now));
        let known = all(&stage, &ada).await;
        let mut moments: BTreeSet<String> =
            known.iter().map(|one| one["meta"]["lastUpdated"].as_str().unwrap().to_owned()).collect();
        assert!(moments.len() >= 3, "{moments:?}");
        moments.extend(["2026-06-09T22:00:00Z", "2026-06-08T22:00:00.000001Z"].map(str::to_owned));
        for moment in &moments {
            let compared = |one: &Value| at(one["meta"]["lastUpdated"].as_str().unwrap()).cmp(&at(moment));
            for (prefix, fits) in [("ge", [false, true, true]), ("lt", [true, false, false])] {
                let condition = format!("_lastUpdated={prefix}{moment}");
                let holds = |one: &Value| match compared(one) {
                    std::cmp::Ordering::Less => fits[0],
                    std::cmp::Ordering::Equal => fits[1],
                    std::cmp::Ordering::Greater => fits[2],
                };
                finds(&stage, &ada, &condition, &known, holds).await;
                let is_final = |one: &Value| holds(one) && one["status"] == "final";
                finds(&stage, &ada, &format!("{condition}&status=final"), &known, is_final).await;
            }
        }
        // No moment at all: a condition of no ranges must not hold of everything.
        finds(&stage, &ada, "_lastUpdated=ge2027&_lastUpdated=lt2026", &known, |_| false).await;
        finds(&stage, &ada, &format!("_lastUpdated={many},ge2026-06-10"), &known, |one| {
            at(one["meta"]["lastUpdated"].as_str().unwrap()) >= at("2026-06-10T00:00:00Z")
        })
        .await;
    }
}
