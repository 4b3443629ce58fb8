//! The life of an import.

use super::*;
use crate::imports::append::{Appender, Patience};
use crate::imports::intake::Intake;

const FILE: &str = "hr 60 10\nhr 61 20\nhr 1000 30\nskip far\nskip away\nsteps Phone 1 36000 39600 500\nhr 62 40\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_taken_and_what_was_in_it_is_told() {
    taken(Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_imports").await {
        taken(database).await;
    }
}

async fn taken(database: Database) {
    let world = World::on(database).await;
    let import = world.import("?format=apple_health", FILE).await;
    assert_eq!(import["status"], "done", "{import}");
    assert_eq!((&import["format"], &import["progress"]), (&json!("apple_health"), &json!(1.0)));
    assert_eq!(import["ingested"], json!({"heart_rate": 3, "steps_sample": 1, "steps": 1}));
    let skipped = json!([
        {"reason": "a value that is not plausible", "count": 1, "example": "heart_rate 1000 at 2026-05-01T00:00:30Z"},
        {"reason": "nothing for us", "count": 2, "example": "far"},
    ]);
    assert_eq!(import["skipped"], skipped);
    assert_eq!(import.get("error"), None);
    let heart: Vec<f64> = world.points("heart_rate").await.into_iter().map(|point| point.1).collect();
    assert_eq!(heart, [60.0, 61.0, 62.0]);
    let sample = ("2026-05-01T10:00:00Z".to_owned(), 500.0, "Phone".to_owned());
    assert_eq!(world.points("steps_sample").await, [sample]);
    // The file says that local time is two hours ahead.
    assert_eq!(world.points("steps").await, [("2026-04-30T22:00:00Z".to_owned(), 500.0, APPLE_HEALTH.to_owned())]);
    world.without_files().await;

    let list = world.stage.read(&world.ada.read_key, "/imports").await;
    assert_eq!(list["imports"], json!([import]));
    let bo = world.stage.patient("Bo").await;
    let path = format!("/imports/{}", import["id"].as_str().unwrap());
    assert_eq!(world.stage.get(&bo.token, &path).await.0, 404);
    assert_eq!(world.stage.send(Some(&bo.token), "DELETE", &path, None).await.0, 404);
    assert_eq!(world.stage.send(Some(&world.ada.token), "DELETE", &path, None).await.0, 204, "it is forgotten");
    assert_eq!(world.stage.get(&world.ada.token, &path).await.0, 404);

    // The same file again changes nothing.
    let again = world.import("?format=apple_health", FILE).await;
    assert_eq!((&again["ingested"], &again["skipped"]), (&import["ingested"], &import["skipped"]));
    assert_eq!(world.points("heart_rate").await.len(), 3);
    assert_eq!(world.points("steps_sample").await.len(), 1);
    assert_eq!(world.points("steps").await.len(), 1);

    // What is counted are the values of the file.
    let twice = world.import("?format=garmin", "hr 63 50\nhr 64 50\n").await;
    assert_eq!(twice["ingested"], json!({"heart_rate": 2}));
    assert_eq!(world.points("heart_rate").await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_keeps_what_came_before_and_says_where_it_broke() {
    let world = World::new().await;
    let import = world.import("?format=garmin", "hr 60 10\nrubbish\nhr 61 20\n").await;
    assert_eq!((&import["status"], &import["ingested"]), (&json!("partial"), &json!({"heart_rate": 1})), "{import}");
    let place = json!({"reason": "the file is broken from here on", "count": 1, "example": "broken at byte 9: rubbish is nothing"});
    assert_eq!(import["skipped"], json!([place]));
    assert_eq!(world.points("heart_rate").await.len(), 1);

    let import = world.import("?format=garmin", "rubbish\n").await;
    assert_eq!((&import["status"], &import["ingested"]), (&json!("failed"), &json!({})), "{import}");
    assert_eq!(import["error"], "broken at byte 0: rubbish is nothing");
    let parts = world.import("?format=garmin", "hr 60 10\nskip part\npart\n").await;
    assert_eq!((&parts["status"], &parts["ingested"]), (&json!("partial"), &json!({"heart_rate": 1})), "{parts}");
    assert_eq!((&parts["progress"], &parts["error"]), (&json!(1.0), &Value::Null), "the others are read");
    assert_eq!(parts["skipped"].as_array().unwrap().len(), 1, "{parts}");
    let parts = world.import("?format=garmin", "skip part\npart\n").await;
    assert_eq!((&parts["status"], &parts["error"]), (&json!("failed"), &json!("a part of it is broken")), "{parts}");
    let foreign = world.import("?format=garmin", "foreign\n").await;
    assert_eq!(
        (&foreign["status"], &foreign["error"]),
        (&json!("failed"), &json!("it is another maker's")),
        "{foreign}"
    );
    let nothing = world.import("?format=garmin", "skip all\n").await;
    assert_eq!((&nothing["status"], &nothing["ingested"]), (&json!("done"), &json!({})), "{nothing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_panics_ends_its_import_and_nothing_else() {
    let world = World::new().await;
    let import = world.import("?format=garmin", "panic\n").await;
    assert_eq!(import["status"], "failed", "{import}");
    assert_eq!(world.import("?format=garmin", "hr 60 10\n").await["status"], "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_canceled_tells_what_it_took_which_stays_in_the_totals() {
    let world = World::new().await;
    let file = "steps Phone 1 0 60 50\nmany 300000\nhold\n";
    let id = world.send(&world.ada.token, "?format=apple_health", file).await;
    let running = world.until(&id, |import| import["progress"].as_f64().unwrap() > 0.0).await;
    assert_eq!(running["status"], "running");
    let path = format!("/imports/{id}");
    assert_eq!(world.stage.send(Some(&world.ada.token), "DELETE", &path, None).await.0, 204);
    let ended = world.until(&id, has_ended).await;
    let first = "steps Phone 1 0 60 50\n".len();
    let second = first + "many 300000\n".len();
    let places = [first, second].map(|bytes| {
        json!([{
            "reason": "the import was cancelled: nothing is taken from here on",
            "count": 1,
            "example": format!("cancelled at byte {bytes}"),
        }])
    });
    assert_eq!(ended["status"], "partial", "{ended}");
    assert!(places.contains(&ended["skipped"]), "{ended}");
    world.took_what_it_says(&ended).await;
    world.without_files().await;
    assert_eq!(world.stage.read(&world.ada.token, "/imports").await["imports"], json!([ended]));
    assert_eq!(world.stage.send(Some(&world.ada.token), "DELETE", &path, None).await.0, 204, "it is forgotten");
    assert_eq!(world.stage.get(&world.ada.token, &path).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_canceled_while_it_waits_ends_at_once_and_says_so_however_often_it_is_canceled() {
    let world = World::new().await;
    let running = world.send(&world.ada.token, "?format=garmin", "hold\n").await;
    world.until(&running, |import| import["status"] == "running").await;
    let waiting = world.send(&world.ada.token, "?format=garmin", "hr 60 10\n").await;
    let path = format!("/imports/{waiting}");
    let control = &world.stage.state.control;
    // As long as it has not ended, it may be said again.
    let write = control.write().await.unwrap();
    for _ in 0..2 {
        assert!(imports::cancel(write.on(), &world.ada.id, &waiting, control.now_us()).await.unwrap());
        let row = imports::by_id(write.on(), &world.ada.id, &waiting).await.unwrap().unwrap();
        assert_eq!(row.status, imports::CANCELED);
    }
    write.commit().await.unwrap();
    world.stage.state.imports.inner.news.notify_one();
    let ended = world.until(&waiting, has_ended).await;
    assert_eq!((&ended["status"], &ended["error"]), (&json!("failed"), &json!("cancelled")), "{ended}");
    assert_eq!((&ended["progress"], &ended["ingested"], &ended["skipped"]), (&json!(0.0), &json!({}), &json!([])));
    assert_eq!(world.until(&running, |_| true).await["status"], "running", "the one before it goes on");
    assert_eq!(world.stage.send(Some(&world.ada.token), "DELETE", &path, None).await.0, 204);
    assert_eq!(world.stage.send(Some(&world.ada.token), "DELETE", &path, None).await.0, 404, "it was forgotten");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_was_canceled_before_a_crash_ends_as_such_when_the_server_starts_again() {
    let mut world = World::new().await;
    let file = "steps Phone 1 0 60 50\nmany 300000\nhold\n";
    let id = world.send(&world.ada.token, "?format=apple_health", file).await;
    world.until(&id, |import| import["progress"].as_f64().unwrap() > 0.0).await;
    world.runner.take().unwrap().stop().await;
    let seen = world.until(&id, |_| true).await;
    assert!(world.stage.state.imports.cancel(UserId::parse(&world.ada.id).unwrap(), &id).await.unwrap());
    assert_eq!(world.until(&id, |_| true).await["status"], "running", "its thread is what ends it");
    world.stage.state.imports = imports_of(&world.stage.state, SCRIPTS);
    world.stage.rewire();
    world.runner = Some(world.stage.state.imports.start());
    let ended = world.until(&id, has_ended).await;
    assert_eq!(ended["status"], "partial", "{ended}");
    assert_eq!(ended["ingested"]["heart_rate"], seen["ingested"]["heart_rate"], "as it was noted last");
    world.without_files().await;
    world.until_steps(&[("2026-04-30T22:00:00Z", 50.0)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_goes_on_behind_what_was_acknowledged_when_the_server_starts_again() {
    goes_on(Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_does_one_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_resume").await {
        goes_on(database).await;
    }
}

async fn goes_on(database: Database) {
    let file =
        "skip first\nsteps Phone 1 0 60 50\nmany 300000\nhold\nhr 61 400000\nsteps Phone 1 60 120 7\nskip last\n";
    let mut world = World::on(database).await;
    let id = world.send(&world.ada.token, "?format=apple_health", file).await;
    world.until(&id, |import| import["progress"].as_f64().unwrap() > 0.0).await;
    world.restart(SCRIPTS_WITHOUT_HOLD).await;
    let resumed = world.until(&id, |import| import["status"] == "done").await;
    let expected = json!({"heart_rate": 300_001, "steps_sample": 2, "steps": 1});
    assert_eq!(resumed["ingested"], expected, "each was taken once");
    assert_eq!(resumed["skipped"][0]["count"], 2);
    assert_eq!(world.points("heart_rate").await.len(), 300_001);
    let total = ("2026-04-30T22:00:00Z".to_owned(), 57.0, APPLE_HEALTH.to_owned());
    assert_eq!(world.points("steps").await, [total]);
    world.without_files().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_finds_the_disk_full_waits_and_goes_on_when_there_is_room() {
    let world = World::new().await;
    world.stage.disk.fill_up(0);
    // The file itself is on another disk than the points.
    let file = "steps Phone 1 0 60 50\nmany 300000\nsteps Phone 1 60 120 7\n";
    let id = world.send(&world.ada.token, "?format=apple_health", file).await;
    let full = async {
        while world.stage.state.engine.storage().health() != storage::Health::Full {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, full).await.expect("300,000 points are more than a full disk holds");
    let waiting = world.stage.read(&world.ada.token, &format!("/imports/{id}")).await;
    assert_eq!(waiting["status"], "running", "{waiting}");
    assert_eq!(world.files(), [id.as_str()]);
    world.stage.disk.fill_up(u64::MAX);
    let done = world.until(&id, |import| import["status"] == "done").await;
    assert_eq!(done["ingested"], json!({"heart_rate": 300_000, "steps_sample": 2, "steps": 1}));
    assert_eq!(world.points("heart_rate").await.len(), 300_000);
    world.until_steps(&[("2026-04-30T22:00:00Z", 57.0)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_waits_for_room_ends_when_its_owner_wants_no_more_of_it() {
    let world = World::new().await;
    world.stage.disk.fill_up(0);
    let id = world.send(&world.ada.token, "?format=apple_health", "many 300000\n").await;
    world.until(&id, |import| import["status"] == "running").await;
    assert_eq!(world.stage.send(Some(&world.ada.token), "DELETE", &format!("/imports/{id}"), None).await.0, 204);
    let ended = world.until(&id, has_ended).await;
    assert_eq!((&ended["status"], &ended["ingested"]), (&json!("failed"), &json!({})), "a full disk takes nothing");
    world.without_files().await;
    world.stage.disk.fill_up(u64::MAX);
    assert_eq!(world.points("heart_rate").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_finds_no_room_while_its_import_is_to_end_is_not_lost() {
    let world = World::new().await;
    world.stage.heart_rate(&world.ada, 61.0, 1.0).await;
    let (engine, user) = (Arc::clone(&world.stage.state.engine), UserId::parse(&world.ada.id).unwrap());
    let (runtime, halt) = (Handle::current(), Halt::default());
    halt.cancel();
    let sending = move || {
        // That one point is more than there is room for.
        let mut out = Appender::new(engine.storage(), Some(Patience { runtime, halt, memtable_bytes: 0 }));
        for second in 0..5 {
            let mut intake = Intake::new(&engine, user, Report::default());
            let watch = Maker { source: "Watch", device: None };
            intake.point("heart_rate", 70.0, MAY_US + second * 1_000_000, watch);
            let refused = out.send(intake.rest().unwrap().unwrap());
            assert!(matches!(refused, Err(Failure::Halted)), "{refused:?}");
        }
        out.set_patience(None);
        out.drain().unwrap();
    };
    tokio::task::spawn_blocking(sending).await.unwrap();
    assert_eq!(world.points("heart_rate").await.len(), 1 + 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_import_of_a_person_and_two_in_all_run_at_once_and_the_others_wait_their_turn() {
    let mut world = World::new().await;
    let (bo, cy) = (world.stage.patient("Bo").await, world.stage.patient("Cy").await);
    let first = world.send(&world.ada.token, "?format=garmin", "hold\n").await;
    world.until(&first, |import| import["status"] == "running").await;
    let second = world.send(&world.ada.token, "?format=garmin", "hr 60 10\n").await;
    let of_bo = world.send(&bo.token, "?format=garmin", "hold\n").await;
    let status = async |who: &Somebody, id: &str| {
        world.stage.read(&who.token, &format!("/imports/{id}")).await["status"].as_str().unwrap().to_owned()
    };
    let running = async {
        while status(&bo, &of_bo).await != "running" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, running).await.unwrap();
    let of_cy = world.send(&cy.token, "?format=garmin", "hr 60 10\n").await;
    // Requests are answered while they run.
    world.stage.heart_rate(&world.ada, 61.0, 1.0).await;
    assert_eq!(status(&world.ada, &second).await, "queued");
    assert_eq!(status(&cy, &of_cy).await, "queued");
    world.restart(SCRIPTS_WITHOUT_HOLD).await;
    world.until(&second, |import| import["status"] == "done").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_person_s_files_and_imports_go_while_they_are_read() {
    let world = World::new().await;
    let id = world.send(&world.ada.token, "?format=apple_health", "steps Phone 1 0 60 50\nmany 300000\nhold\n").await;
    world.until(&id, |import| import["progress"].as_f64().unwrap() > 0.0).await;
    assert_eq!(world.files(), [id]);
    let user = UserId::parse(&world.ada.id).unwrap();
    world.stage.state.eraser.erase(&world.stage.state.auth, user).await.unwrap();
    assert_eq!(world.files(), Vec::<String>::new());
    assert_eq!(world.stage.state.control.columns_with(&world.ada.id).await.unwrap(), []);
}
