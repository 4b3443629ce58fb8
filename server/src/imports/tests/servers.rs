//! Two servers on one control database, each with a data directory of its own.

use super::*;
use crate::control::repository::days::{self, Series};
use crate::imports::append::Appender;
use crate::imports::intake::Intake;
use crate::imports::{keep, totals};

/// May 4, 2026, 10:00 in Berlin, as seconds of May in UTC; files say +02:00.
const TEN: i64 = 3 * 86_400 + 8 * 3_600;
/// That day, on the local calendar and of UTC.
const DAY: i64 = 20_577;

fn walk(minute: i64, value: i64) -> String {
    let start = TEN + minute * 60;
    format!("steps Watch 0 {start} {} {value}\n", start + 60)
}

/// Another server on the database of a world.
async fn beside(world: &World) -> World {
    let mut stage = Stage::with_state_of(&world.stage).await;
    stage.state.imports = imports_of(&stage.state, SCRIPTS);
    stage.rewire();
    let runner = Some(stage.state.imports.start());
    // Tokens are signed by the one server; keys are in the database.
    let ada = Somebody { token: world.ada.key.clone(), ..world.ada.clone() };
    World { stage, ada, runner }
}

fn series(world: &World) -> Series<'_> {
    Series { user_id: &world.ada.id, sender: GARMIN, daily: "steps" }
}

/// The total of the day that the database knows, as text.
async fn total(world: &World) -> String {
    let rows = days::totals(world.stage.state.control.read(), series(world), DAY..=DAY).await.unwrap();
    rows.first().map_or_else(|| "none".to_owned(), |row| row.value.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_ended_by_way_of_another_server() {
    Box::pin(ended(Database::new().await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_with_postgresql() {
    if let Some(database) = Database::postgres("avycenna_ended_beside").await {
        Box::pin(ended(database)).await;
    }
}

async fn ended(database: Database) {
    let world = World::on(database).await;
    let other = beside(&world).await;
    let running = world.send(&world.ada.token, "?format=garmin", &(walk(0, 50) + "many 300000\nhold\n")).await;
    // Sent before the first one runs, it could be the one that does: the clock stands still, and neither is older.
    world.until(&running, |import| import["progress"].as_f64().unwrap() > 0.0).await;
    let waiting = world.send(&world.ada.token, "?format=garmin", "hr 60 10\nhold\n").await;
    // The other server sees both, and has the file of neither.
    for id in [&running, &waiting] {
        let path = format!("/imports/{id}");
        assert_eq!(other.stage.read(&other.ada.token, &path).await["format"], "garmin");
        assert_eq!(other.stage.send(Some(&other.ada.token), "DELETE", &path, None).await.0, 204);
    }
    let ended = world.until(&running, has_ended).await;
    assert_eq!(ended["status"], "partial", "{ended}");
    world.took_what_it_says(&ended).await;
    assert_eq!(other.stage.read(&other.ada.token, &format!("/imports/{running}")).await, ended, "for both servers");
    assert_eq!(world.until(&waiting, has_ended).await["error"], "cancelled");
    world.without_files().await;
    world.until_steps(&[("2026-05-03T22:00:00Z", 50.0)]).await;
    assert_eq!(other.points("steps").await, [], "what was taken is where the file was");
    assert_eq!(world.import("?format=garmin", "hr 60 10\n").await["status"], "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_that_write_the_same_day_of_one_maker_at_once_lose_none_of_its_pieces() {
    Box::pin(at_once(Database::new().await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_they_do_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_at_once").await {
        Box::pin(at_once(database)).await;
    }
}

async fn at_once(database: Database) {
    let world = World::on(database).await;
    let other = beside(&world).await;
    let mut sum = 0;
    for round in 0..8 {
        let files = [walk(2 * round, 100 + round), walk(2 * round + 1, 1_000 + round)];
        sum += 1_100 + 2 * round;
        let ends = tokio::join!(world.import("?format=garmin", &files[0]), other.import("?format=garmin", &files[1]));
        assert_eq!((&ends.0["status"], &ends.1["status"]), (&json!("done"), &json!("done")), "{ends:?}");
        assert_eq!(total(&world).await, sum.to_string(), "round {round}: whoever makes the total last has read both");
        assert_eq!(days::unsettled(world.stage.state.control.read(), &world.ada.id).await.unwrap(), []);
    }
}

/// What a script of one server finds, in the hands of a thread that blocks.
fn intake(world: &World, person: &Person, script: &str) -> Intake {
    struct Taking(Intake);

    impl Sink for Taking {
        fn found(&mut self, found: Found<'_>) -> Result<(), engine::import::Stop> {
            self.0.found(found);
            Ok(())
        }

        fn skipped(&mut self, _: &'static str, _: &dyn std::fmt::Display) {}

        fn reached(&mut self, _: u64) -> Result<(), engine::import::Stop> {
            Ok(())
        }
    }

    let path = world.stage.state.config.storage.data_dir.join("script");
    std::fs::write(&path, script).unwrap();
    let mut taking = Taking(Intake::new(&world.stage.state.engine, person.user, Report::default()));
    super::script(File::open(path).unwrap(), &mut taking).unwrap();
    taking.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piece_that_another_server_keeps_while_a_total_is_made_is_in_the_next_one() {
    let world = World::new().await;
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        let all = &world.stage.state.imports;
        let person = all.person(UserId::parse(&world.ada.id).unwrap(), GARMIN, runtime.clone()).unwrap();
        let mut out = Appender::new(person.engine.storage(), None);
        let keep = |script: &str| {
            let mut found = intake(&world, &person, script);
            runtime.block_on(keep::keep(&person, &found.days())).unwrap();
            found
        };
        let mut first = keep(&walk(0, 50));
        let month = totals::Month::read(&person, series(&world), DAY).unwrap();
        let mut second = keep(&walk(1, 7));
        totals::make(&person, series(&world), Daily::Steps, &month, &mut BTreeSet::new(), &mut first, &mut out)
            .unwrap();
        assert_eq!(runtime.block_on(total(&world)), "none", "it is not the truth any more, and not noted");
        totals::settle(all, &person, &mut second, &mut out).unwrap();
        assert_eq!(runtime.block_on(total(&world)), "57");
        runtime.block_on(world.until_steps(&[("2026-05-03T22:00:00Z", 57.0)]));
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_that_is_set_while_a_total_is_made_leaves_no_total_of_the_one_before() {
    let world = World::new().await;
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        let all = &world.stage.state.imports;
        let user = UserId::parse(&world.ada.id).unwrap();
        let person = || all.person(user, GARMIN, runtime.clone()).unwrap();
        let zone = |name: &str| {
            let zone = json!({"timezone": name});
            let changed = world.stage.send(Some(&world.ada.token), "PATCH", "/users/me", Some(&zone));
            assert_eq!(runtime.block_on(changed).0, 200);
        };
        let mut out = Appender::new(world.stage.state.engine.storage(), None);
        runtime.block_on(world.import("?format=garmin", &walk(0, 50)));
        // Nobody else makes totals while this does.
        let turn = runtime.block_on(all.turn_of(user).lock_owned());
        zone("Asia/Tokyo");
        let mut found = Intake::new(&world.stage.state.engine, user, Report::default());
        let tokyo = person();
        let month = totals::Month::read(&tokyo, series(&world), DAY).unwrap();
        zone("America/New_York");
        totals::make(&tokyo, series(&world), Daily::Steps, &month, &mut BTreeSet::new(), &mut found, &mut out).unwrap();
        drop(turn);
        runtime.block_on(world.until_steps(&[("2026-05-04T04:00:00Z", 50.0)]));
    })
    .await
    .unwrap();
}
