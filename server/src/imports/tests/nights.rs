//! Nights that are told more than once: by pushes and by exports, by the makers' own readers; by a watch and its account, by
//! scripts.

use sea_orm::{ConnectionTrait as _, EntityTrait as _};

use super::*;
use crate::control::entities::night::{Entity, Model};
use crate::control::repository::nights as rows;

const GARMIN_PUSH: &str = "/integrations/garmin/push";
const APP_PUSH: &str = "/integrations/health-auto-export";

/// 2026-05-04T00:00:00Z, seconds, and as seconds of May.
const MIDNIGHT: i64 = 1_777_852_800;
const FOURTH: i64 = 3 * 86_400;

const HOUR: i64 = 3_600;

/// The phone's exports as the phone writes them; in place of Garmin's files scripts.
async fn world(database: Database) -> World {
    World::with(database, Readers { apple_health: apple::read, garmin: script }).await
}

/// Ada's sleep by hours of May 4: when it ends, and how long it was.
async fn nights(world: &World) -> Vec<(String, f64)> {
    let points = world.points("sleep_duration").await;
    points.into_iter().map(|(at, hours, _)| (at.trim_end_matches(":00Z").to_owned(), hours)).collect()
}

fn night(at: &str, hours: f64) -> (String, f64) {
    (format!("2026-05-04T{at}"), hours)
}

/// The rows of all people: end in hours of May 4, device, whether it is stored.
async fn known(world: &World) -> Vec<(i64, String, i32)> {
    let rows = Entity::find().all(world.stage.state.control.read()).await.unwrap();
    let hours = |at: i64| (at / 1_000_000 - MIDNIGHT) / HOUR;
    let mut known: Vec<_> = rows.into_iter().map(|row| (hours(row.ended_at), row.device, row.is_stored)).collect();
    known.sort();
    known
}

/// A night that Garmin pushes, hours of May 4.
fn summary(start: i64, hours: i64, light_h: i64, deep_h: Option<i64>) -> Value {
    json!({
        "summaryId": "s-1", "validation": "ENHANCED_FINAL", "startTimeInSeconds": MIDNIGHT + start * HOUR,
        "durationInSeconds": hours * HOUR, "lightSleepDurationInSeconds": light_h * HOUR,
        "deepSleepDurationInSeconds": deep_h.map(|hours| hours * HOUR),
    })
}

/// A night that the app pushes.
fn added_up(device: &str, start: &str, end: &str, hours: f64) -> Value {
    json!({"data": {"metrics": [{"name": "sleep_analysis", "units": "hr", "data": [{
        "date": "2026-05-04 00:00:00 +0000", "totalSleep": hours, "source": device,
        "sleepStart": format!("2026-05-{start}:00 +0000"), "sleepEnd": format!("2026-05-{end}:00 +0000"),
    }]}]}})
}

/// What a phone exports, written at a time, if it says so.
fn export(written: Option<&str>, spans: &[(&str, &str)]) -> String {
    let date = written.map(|at| format!("<ExportDate value=\"2026-05-{at}:00 +0000\"/>")).unwrap_or_default();
    let records = spans.iter().map(|(start, end)| {
        format!(
            "<Record type=\"HKCategoryTypeIdentifierSleepAnalysis\" sourceName=\"Watch of Ada\" \
             startDate=\"2026-05-{start}:00 +0000\" endDate=\"2026-05-{end}:00 +0000\" \
             value=\"HKCategoryValueSleepAnalysisAsleepCore\"/>"
        )
    });
    format!("<HealthData>{date}{}</HealthData>", records.collect::<String>())
}

impl World {
    async fn push(&self, path: &str, body: Value) -> Value {
        let (status, report) = self.stage.post(&self.ada.write_key, path, body).await;
        assert_eq!(status, 200, "{report}");
        report
    }

    async fn sleep(&self, summaries: &[Value]) -> Value {
        self.push(GARMIN_PUSH, json!({"sleeps": summaries})).await
    }

    async fn app(&self, body: Value) -> Value {
        self.push(APP_PUSH, body).await
    }

    async fn phone(&self, file: &str) -> Value {
        let import = self.import("?format=apple_health", file).await;
        assert_eq!(import["status"], "done", "{import}");
        import
    }

    /// Files of Garmin's, as scripts.
    async fn watch(&self, script: &str) -> Value {
        let import = self.import("?format=garmin", script).await;
        assert_eq!(import["status"], "done", "{import}");
        import
    }

    async fn say(&self, statement: &str) {
        let write = self.stage.state.control.write().await.unwrap();
        write.on().execute_unprepared(statement).await.unwrap();
        write.commit().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_night_that_is_corrected_is_there_once_longer_and_shorter() {
    Box::pin(corrected(Database::new().await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_with_postgresql() {
    if let Some(database) = Database::postgres("avycenna_nights").await {
        Box::pin(corrected(database)).await;
    }
}

async fn corrected(database: Database) {
    let world = world(database).await;
    let bo = world.stage.patient("Bo").await;
    let body = json!({"sleeps": [summary(0, 8, 8, None)]});
    assert_eq!(world.stage.post(&bo.write_key, GARMIN_PUSH, body).await.0, 200);

    world.sleep(&[summary(0, 2, 1, Some(1)), summary(8, 2, 1, None)]).await;
    let nap = night("10:00", 1.0);
    assert_eq!(nights(&world).await, [night("02:00", 2.0), nap.clone()]);
    // Awake for hours: by its hours alone it would begin where the one before ended.
    let report = world.sleep(&[summary(0, 8, 5, Some(1))]).await;
    assert_eq!(report["ingested"], json!({"sleep_duration": 1, "sleep_deep": 1}), "{report}");
    assert_eq!(nights(&world).await, [night("08:00", 6.0), nap.clone()]);
    assert_eq!(world.points("sleep_deep").await.len(), 1);
    for _ in 0..2 {
        // Its owner has corrected it: up an hour earlier, and not deep at all.
        world.sleep(&[summary(0, 7, 6, None)]).await;
        assert_eq!(nights(&world).await, [night("07:00", 6.0), nap.clone()]);
        assert_eq!(world.points("sleep_deep").await, [], "the stages of the night that was");
    }
    // The same end: later to bed.
    world.sleep(&[summary(1, 6, 5, None)]).await;
    assert_eq!(nights(&world).await, [night("07:00", 5.0), nap.clone()]);
    let path = "/wearables/metric/sleep_duration?bucket=1d&agg=sum&start=2026-05-04T00:00:00Z&end=2026-05-05T00:00:00Z";
    let sums = world.stage.read(&world.ada.token, path).await;
    assert_eq!(sums["buckets"][0]["sum"].as_f64(), Some(6.0), "{sums}");
    let latest = world.stage.read(&world.ada.token, "/wearables/latest").await;
    assert!(latest.to_string().contains("2026-05-04T10:00:00Z"), "{latest}");
    // And the nap is taken for a part of the night, and is none.
    world.sleep(&[summary(1, 9, 9, None)]).await;
    assert_eq!(nights(&world).await, [night("10:00", 9.0)]);
    world.sleep(&[summary(1, 6, 6, None), summary(8, 2, 1, None)]).await;
    assert_eq!(nights(&world).await, [night("07:00", 6.0), nap]);

    let of_bo = world.stage.read(&bo.token, "/wearables/metric/sleep_duration?days=90").await;
    assert_eq!(of_bo["data_points"].as_array().map(Vec::len), Some(1), "{of_bo}");
    assert_eq!(of_bo["data_points"][0]["value"], 8.0);
    let stored = known(&world).await.into_iter().filter(|(_, _, is_stored)| *is_stored == 1).count();
    assert_eq!(stored, 3, "two of hers, and one of his");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_exports_of_a_phone_leave_one_night_in_whatever_order_they_come() {
    for written in [[Some("04 03:10"), Some("04 09:00")], [None, None]] {
        for order in [[0, 1, 0, 1], [1, 0, 1, 0]] {
            let world = world(Database::new().await).await;
            let files = [("04 03:00", written[0]), ("04 07:00", written[1])];
            let mut is_whole = false;
            for place in order {
                let (end, written) = files[place];
                let import = world.phone(&export(written, &[("03 23:00", end)])).await;
                is_whole |= place == 1;
                let there = if is_whole { night("07:00", 8.0) } else { night("03:00", 4.0) };
                assert_eq!(nights(&world).await, [there], "{order:?}");
                if is_whole && place == 0 {
                    let skipped = &import["skipped"][0];
                    assert_eq!(skipped["reason"], "a night in whose place another one stands", "{import}");
                    assert_eq!(skipped["example"], "Watch of Ada, until 2026-05-04T03:00:00Z");
                    assert_eq!(import["ingested"], json!({}));
                }
            }
        }
    }
    // What a newer export does not know any more, its owner has deleted from the phone.
    let world = world(Database::new().await).await;
    for file in
        [export(Some("05 09:00"), &[("03 23:00", "04 05:00")]), export(Some("04 09:00"), &[("03 23:00", "04 07:00")])]
    {
        world.phone(&file).await;
        assert_eq!(nights(&world).await, [night("05:00", 6.0)], "the newer file stands, and not the longer night");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_that_the_app_sends_with_a_later_end_or_the_phone_exports_is_there_once() {
    let world = world(Database::new().await).await;
    let exported = export(Some("04 10:00"), &[("03 23:00", "04 07:00"), ("04 13:00", "04 14:00")]);
    // The phone knows more than the app, but the app has sent later.
    for (end, hours) in [("00:00", 2.0), ("06:00", 6.0), ("06:00", 6.0)] {
        // Awake for two hours: by its hours alone the whole night would begin where the first half ended.
        world.app(added_up("Watch", "03 22:00", &format!("04 {end}"), hours)).await;
        assert_eq!(nights(&world).await, [night(end, hours)]);
        assert_eq!(world.points("sleep_deep").await, []);
    }
    let nap = night("14:00", 1.0);
    for _ in 0..2 {
        let import = world.phone(&exported).await;
        assert_eq!(import["ingested"], json!({"sleep_duration": 1, "sleep_deep": 1, "sleep_rem": 1}), "the nap alone");
        assert_eq!(nights(&world).await, [night("06:00", 6.0), nap.clone()]);
    }
    // An export that was made behind the app's word.
    world.stage.clock.advance(Duration::from_mins(2));
    let later = world.stage.ago(1.0 / 1_440.0);
    let exported = exported.replace("2026-05-04 10:00:00 +0000", &later);
    for _ in 0..2 {
        world.phone(&exported).await;
        assert_eq!(nights(&world).await, [night("07:00", 8.0), nap.clone()], "{later}");
    }
    // The app has the last word again; another maker's watch is a source of its own.
    world.app(added_up("Watch", "03 22:00", "04 06:00", 6.0)).await;
    world.sleep(&[summary(2, 3, 3, None)]).await;
    assert_eq!(nights(&world).await, [night("05:00", 3.0), night("06:00", 6.0), nap]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_account_says_of_a_night_stands_above_the_watch_and_its_hrv_follows_in_any_order() {
    // 23:00 to 06:00 by the watch; 23:30 to 07:00 by the account, with HRV; a nap that only the watch knows.
    let watch = format!(
        "night {} {} 7 1 w1\nnight {} {} 1 1 w1\n",
        FOURTH - HOUR,
        FOURTH + 6 * HOUR,
        FOURTH + 12 * HOUR,
        FOURTH + 13 * HOUR
    );
    let account = format!("night {} {} 6.5 0 - - 42\n", FOURTH - HOUR / 2, FOURTH + 7 * HOUR);
    for order in [[&watch, &account, &watch], [&account, &watch, &account]] {
        let world = world(Database::new().await).await;
        for file in order {
            world.watch(file).await;
        }
        let nap = night("13:00", 1.0);
        assert_eq!(nights(&world).await, [night("07:00", 6.5), nap.clone()]);
        let hrv = |at: &str| [(format!("2026-05-04T{at}:00Z"), 42.0, GARMIN.to_owned())];
        assert_eq!(world.points("hrv").await, hrv("07:00"));
        // Corrected and pushed, without a word of HRV: the night's own is not left behind.
        world.sleep(&[summary(0, 6, 5, None)]).await;
        assert_eq!(nights(&world).await, [night("06:00", 5.0), nap.clone()]);
        assert_eq!(world.points("hrv").await, hrv("06:00"));
        // Old files bring nothing back.
        for file in order {
            world.watch(file).await;
        }
        assert_eq!(nights(&world).await, [night("06:00", 5.0), nap]);
        assert_eq!(world.points("hrv").await, hrv("06:00"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_that_was_posted_by_hand_is_never_taken_back() {
    let world = world(Database::new().await).await;
    world.sleep(&[summary(0, 6, 4, Some(2))]).await;
    let by_hand = async |metric: &str, hour: i64, value: f64| {
        let point = json!({"metric": metric, "value": value, "unit": "h", "source": GARMIN,
            "recorded_at": format!("2026-05-04T{hour:02}:00:00Z")});
        let (status, answer) = world.stage.post(&world.ada.token, "/wearables/ingest", point).await;
        assert_eq!(status, 201, "{answer}");
    };
    // Within the night; and in the very place of the night's own, where it stands from then on.
    by_hand("sleep_duration", 5, 3.5).await;
    by_hand("sleep_duration", 6, 4.5).await;
    world.sleep(&[summary(0, 8, 8, None)]).await;
    assert_eq!(nights(&world).await, [night("05:00", 3.5), night("06:00", 4.5), night("08:00", 8.0)]);
    assert_eq!(world.points("sleep_deep").await, []);
}

/// A row as it is left by a server that dies.
fn left(world: &World, hours: i64, asleep_h: f64, told_at: i64) -> Model {
    let at = |hours: i64| (MIDNIGHT + hours * HOUR) * 1_000_000;
    Model {
        user_id: world.ada.id.clone(),
        sender: GARMIN.to_owned(),
        ended_at: at(hours),
        began_at: at(0),
        source: GARMIN.to_owned(),
        device: String::new(),
        told_at,
        rank: 0,
        asleep_h,
        deep_h: None,
        rem_h: None,
        hrv_ms: None,
        is_stored: 1,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_whose_storing_breaks_off_is_never_lost_and_there_once_when_it_is_sent_again() {
    let world = world(Database::new().await).await;
    let (short, whole) = (night("03:00", 3.0), night("07:00", 7.0));
    world.sleep(&[summary(0, 3, 3, None)]).await;
    // Before it is noted; and behind the last step but one.
    for (broken, there) in [("INSERT", short), ("DELETE", whole.clone())] {
        // Each by a name of its own: a pooled connection may remember one that another has dropped.
        let stop = format!("stop_{broken}");
        world.say(&format!("CREATE TRIGGER {stop} BEFORE {broken} ON nights BEGIN SELECT RAISE(ABORT, ''); END")).await;
        let again = json!({"sleeps": [summary(0, 7, 7, None)]});
        let (status, answer) = world.stage.post(&world.ada.write_key, GARMIN_PUSH, again).await;
        assert_eq!((status, nights(&world).await), (500, vec![there]), "{broken}: {answer}");
        world.say(&format!("DROP TRIGGER {stop}")).await;
    }
    assert_eq!(known(&world).await.len(), 2, "the one that is displaced is not forgotten yet");
    world.sleep(&[summary(0, 7, 7, None)]).await;
    assert_eq!(nights(&world).await, [whole]);
    assert_eq!(known(&world).await, [(7, String::new(), 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_leaves_of_a_night_is_healed_by_the_next_one_that_overlaps_it() {
    let world = world(Database::new().await).await;
    let put = async |row: Model| {
        let write = world.stage.state.control.write().await.unwrap();
        rows::put(write.on(), vec![row]).await.unwrap();
        write.commit().await.unwrap();
    };
    // Killed before the points of the longer night were stored ...
    world.sleep(&[summary(0, 3, 3, None)]).await;
    let now_us = world.stage.state.control.now_us();
    put(left(&world, 7, 7.0, now_us + 5)).await;
    assert_eq!(nights(&world).await, [night("03:00", 3.0)]);
    // ... and the next that comes is an older file, which is not to stand.
    world.watch(&format!("night {FOURTH} {} 2 0 -\n", FOURTH + 2 * HOUR)).await;
    assert_eq!(
        nights(&world).await,
        [night("07:00", 7.0)],
        "what was noted is stored, what it displaces is taken back"
    );
    // Killed before the points of the shorter night were taken back.
    put(left(&world, 9, 8.5, now_us + 1)).await;
    let point = json!({"metric": "sleep_duration", "value": 8.5, "unit": "h", "source": GARMIN,
        "recorded_at": "2026-05-04T09:00:00Z"});
    assert_eq!(world.stage.post(&world.ada.token, "/wearables/ingest", point).await.0, 201);
    assert_eq!(nights(&world).await.len(), 2);
    world.sleep(&[summary(0, 7, 7, None)]).await;
    assert_eq!(nights(&world).await, [night("07:00", 7.0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_that_its_owner_deletes_is_forgotten_and_can_come_again() {
    let world = world(Database::new().await).await;
    let delete = async |metric: &str| {
        let path = format!("/wearables/metric/{metric}?start=2026-05-04T06:59:59Z&end=2026-05-04T07:00:01Z");
        assert_eq!(world.stage.send(Some(&world.ada.token), "DELETE", &path, None).await.0, 204);
    };
    let file = |until: i64, told: i64| format!("night {FOURTH} {} 4 0 - {told} 42\n", FOURTH + until * HOUR);
    for _ in 0..2 {
        // The older one reaches beyond the one that has its place.
        for file in [file(8, FOURTH), file(7, FOURTH + 100)] {
            world.watch(&file).await;
        }
        assert_eq!(nights(&world).await, [night("07:00", 4.0)]);
        assert_eq!(known(&world).await, [(7, String::new(), 1), (8, String::new(), 0)]);
        delete("hrv").await;
        world.watch(&format!("night {} {} 1 1 w1\n", FOURTH + HOUR, FOURTH + 2 * HOUR)).await;
        assert_eq!(world.points("hrv").await, [], "what is deleted does not come with the next night");
        delete("sleep_duration").await;
        assert_eq!((nights(&world).await, known(&world).await), (vec![], vec![]));
    }
    world.watch(&file(8, FOURTH)).await;
    assert_eq!(nights(&world).await, [night("08:00", 4.0)], "nothing has its place any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_that_its_owner_deletes_while_it_is_being_stored_is_gone() {
    let world = world(Database::new().await).await;
    // As if the deletion came between the note and the points.
    world.say("CREATE TRIGGER gone AFTER INSERT ON nights BEGIN DELETE FROM nights; END").await;
    world.sleep(&[summary(0, 7, 5, Some(2))]).await;
    assert_eq!((nights(&world).await, known(&world).await), (vec![], vec![]));
    assert_eq!(world.points("sleep_deep").await, []);
    world.say("DROP TRIGGER gone").await;
    world.sleep(&[summary(0, 7, 5, Some(2))]).await;
    assert_eq!(nights(&world).await, [night("07:00", 7.0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nights_of_a_day_are_bounded() {
    let world = world(Database::new().await).await;
    let naps = (0..300).map(|nth| format!("night {0} {1} 0.01 0 -\n", FOURTH + nth * 60, FOURTH + nth * 60 + 60));
    let import = world.watch(&naps.collect::<String>()).await;
    assert_eq!(import["ingested"], json!({"sleep_duration": 256}), "{import}");
    let skipped = &import["skipped"][0];
    assert_eq!(
        (&skipped["reason"], &skipped["count"]),
        (&json!("more nights of a day than a server keeps"), &json!(44))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_and_pushes_of_one_night_at_once_leave_one() {
    Box::pin(at_once(Database::new().await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_they_do_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_nights_at_once").await {
        Box::pin(at_once(database)).await;
    }
}

async fn at_once(database: Database) {
    let world = world(database).await;
    for round in 0..4 {
        let file = format!("night {FOURTH} {} {} 1 w1\n", FOURTH + 9 * HOUR + round, 5 + round);
        let (start, end) = (summary(0, 6, 6, None), summary(0, 8, 7, Some(round % 2)));
        tokio::join!(
            world.watch(&file),
            world.sleep(std::slice::from_ref(&start)),
            world.sleep(std::slice::from_ref(&end)),
            world.sleep(std::slice::from_ref(&start)),
        );
        let there = nights(&world).await;
        assert_eq!(there.len(), 1, "{there:?}");
        assert!(there[0] == night("06:00", 6.0) || there[0].0 == "2026-05-04T08:00", "{there:?}");
        assert_eq!(world.points("sleep_deep").await.len(), usize::from(there[0].0 == "2026-05-04T08:00"));
    }
}
