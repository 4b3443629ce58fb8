//! What other senders push, by the makers' own readers.

use super::*;
use crate::access::tests::places;

const GARMIN_PUSH: &str = "/integrations/garmin/push";
const APP_PUSH: &str = "/integrations/health-auto-export";

/// 2026-05-04T08:00:00Z.
const EIGHT: i64 = 1_777_881_600;

async fn world() -> World {
    World::with(Database::new().await, Readers::MAKERS).await
}

fn epoch(steps: i64) -> Value {
    json!({"epochs": [{
        "summaryId": "x-1", "activityType": "WALKING", "steps": steps, "activeKilocalories": 10,
        "startTimeInSeconds": EIGHT, "startTimeOffsetInSeconds": 7_200, "durationInSeconds": 900,
    }]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_that_is_sent_again_replaces_and_the_day_s_total_follows() {
    let world = world().await;
    for steps in [100, 150, 150] {
        let (status, report) = world.stage.post(&world.ada.write_key, GARMIN_PUSH, epoch(steps)).await;
        assert_eq!(status, 200, "{report}");
        assert_eq!(report["ingested"]["steps_sample"], 1, "{report}");
        let total = f64::from(i32::try_from(steps).unwrap());
        let there = ("2026-05-03T22:00:00Z".to_owned(), total, GARMIN.to_owned());
        assert_eq!(world.points("steps").await, [there]);
        assert_eq!(world.points("steps_sample").await, [("2026-05-04T08:00:00Z".to_owned(), total, GARMIN.to_owned())]);
    }
    let daily = json!({"dailies": [{
        "summaryId": "x-2", "calendarDate": "2026-05-04", "steps": 9_241, "activeKilocalories": 500, "bmrKilocalories": 1_600,
        "startTimeInSeconds": EIGHT - 10 * 3_600, "startTimeOffsetInSeconds": 7_200, "durationInSeconds": 86_400,
    }]});
    assert_eq!(world.stage.post(&world.ada.write_key, GARMIN_PUSH, daily).await.0, 200);
    assert_eq!(world.stage.post(&world.ada.write_key, GARMIN_PUSH, epoch(200)).await.0, 200);
    let there = ("2026-05-03T22:00:00Z".to_owned(), 9_241.0, GARMIN.to_owned());
    assert_eq!(world.points("steps").await, [there], "what the maker says of the day stands");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_of_the_app_counts_no_step_twice() {
    let world = world().await;
    let hour = |steps: i64| {
        json!({"data": {"metrics": [{"name": "step_count", "units": "count", "data": [
            {"date": "2026-05-04 10:00:00 +0200", "qty": steps, "source": "Watch|Phone"},
            {"date": "2026-05-04 11:00:00 +0200", "qty": 50, "source": "Watch|Phone"},
        ]}]}})
    };
    for steps in [300, 400] {
        let (status, report) = world.stage.post(&world.ada.write_key, APP_PUSH, hour(steps)).await;
        assert_eq!((status, &report["ingested"]["steps_sample"]), (200, &json!(2)), "{report}");
    }
    let there = ("2026-05-03T22:00:00Z".to_owned(), 450.0, APPLE_HEALTH.to_owned());
    assert_eq!(world.points("steps").await, [there]);
}

#[tokio::test(flavor = "multi_thread")]
async fn hours_that_come_one_at_a_time_add_up_to_their_day() {
    let world = world().await;
    for (hour, steps) in [(0, 12), (9, 700), (10, 800)] {
        let date = format!("2026-05-04 {hour:02}:00:00 +0200");
        let body = json!({"data": {"metrics": [
            {"name": "step_count", "units": "count", "data": [{"date": date, "qty": steps, "source": "iPhone"}]},
        ]}});
        assert_eq!(world.stage.post(&world.ada.write_key, APP_PUSH, body).await.0, 200);
    }
    world.until_steps(&[("2026-05-03T22:00:00Z", 1_512.0)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_app_has_summed_up_of_watch_and_phone_counts_once_beside_their_export() {
    let world = world().await;
    let record = |source: &str, minutes: &str, value: i64| {
        let (start, end) = minutes.split_once('-').unwrap();
        format!(
            "<Record type=\"HKQuantityTypeIdentifierStepCount\" sourceName=\"{source}\" unit=\"count\" \
             startDate=\"2026-05-04 {start}:00 +0200\" endDate=\"2026-05-04 {end}:00 +0200\" value=\"{value}\"/>"
        )
    };
    // A walk of twenty minutes that watch and phone have seen, and one behind what the app sent.
    let export = format!(
        "<HealthData>{}{}{}</HealthData>",
        record("Watch", "10:20-10:40", 2_000),
        record("iPhone", "10:21-10:41", 1_900),
        record("Watch", "12:00-12:10", 900)
    );
    let hours = json!({"data": {"metrics": [{"name": "step_count", "units": "count", "data": [
        {"date": "2026-05-04 10:00:00 +0200", "qty": 2_050, "source": "Watch|iPhone"},
        {"date": "2026-05-04 11:00:00 +0200", "qty": 7, "source": "iPhone"},
    ]}]}});
    assert_eq!(world.import("?format=apple_health", &export).await["status"], "done");
    assert_eq!(world.stage.post(&world.ada.write_key, APP_PUSH, hours).await.0, 200);
    world.until_steps(&[("2026-05-03T22:00:00Z", 2_050.0 + 7.0 + 900.0)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_document_that_is_broken_nothing_is_kept() {
    let world = world().await;
    for (path, body) in
        [(GARMIN_PUSH, "{\"epochs\": [{]}"), (APP_PUSH, "{\"data\": "), (GARMIN_PUSH, "[1"), (APP_PUSH, "\0")]
    {
        let (status, answer) = world.stage.send_body(&world.ada.token, path, body).await;
        assert_eq!(status, 422, "{path} {body}: {answer}");
        let place = &places(&answer)[0];
        assert!(place[0] == "body" && place[1].is_u64(), "{place}");
    }
    assert_eq!(world.stage.post(&world.ada.read_key, GARMIN_PUSH, epoch(1)).await.0, 403);
    assert_eq!(world.points("steps").await, []);
    assert_eq!(world.points("steps_sample").await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn summaries_of_two_people_in_one_document_are_refused() {
    let world = world().await;
    let sleep = |person: &str, start: i64| {
        json!({"userId": person, "startTimeInSeconds": start, "durationInSeconds": 3_600,
        "lightSleepDurationInSeconds": 3_600})
    };
    let body = json!({"sleeps": [sleep("a", EIGHT), sleep("b", EIGHT + 7_200)]});
    let (status, answer) = world.stage.post(&world.ada.write_key, GARMIN_PUSH, body).await;
    assert_eq!(status, 422, "{answer}");
    assert!(answer.to_string().contains("another `userId`") && places(&answer)[0][1].is_u64(), "{answer}");
    assert_eq!(world.points("sleep_duration").await, []);
}
