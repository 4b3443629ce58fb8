//! Totals of days: the same whatever comes first, however often.

use super::*;

/// May 4, 2026, 10:00 in Berlin, as seconds of May in UTC; files say +02:00.
const TEN: i64 = 3 * 86_400 + 8 * 3_600;
const HOUR: i64 = 3_600;

fn steps(source: &str, rank: u8, start: i64, end: i64, value: i64) -> String {
    format!("steps {source} {rank} {start} {end} {value}\n")
}

async fn totals(world: &World) -> Vec<(String, f64)> {
    world.points("steps").await.into_iter().map(|(at, value, _)| (at, value)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_in_any_order_and_again_make_the_same_totals() {
    let files = [
        // The phone all day, also over midnight.
        steps("Phone", 1, TEN, TEN + 2 * HOUR, 1_000) + &steps("Phone", 1, TEN + 13 * HOUR, TEN + 15 * HOUR, 300),
        // The watch for half of the first walk.
        steps("Watch", 0, TEN, TEN + HOUR, 800),
        // The same day from elsewhere, in one piece.
        steps("App", 2, TEN, TEN + 4 * HOUR, 4_000),
    ];
    let expected = [
        ("2026-05-03T22:00:00Z".to_owned(), 800.0 + 500.0 + 2_000.0 + 150.0),
        ("2026-05-04T22:00:00Z".to_owned(), 150.0),
    ];
    let orders: [&[usize]; 5] = [&[0, 1, 2], &[2, 1, 0], &[1, 2, 0, 1], &[2, 0, 1, 0, 0], &[0, 2, 1]];
    let mut samples = Vec::new();
    for order in orders {
        let world = World::new().await;
        for nth in order {
            world.import("?format=apple_health", &files[*nth]).await;
        }
        assert_eq!(totals(&world).await, expected, "{order:?}");
        samples.push(world.points("steps_sample").await);
    }
    assert!(samples.iter().all(|some| *some == samples[0]), "{samples:?}");
    assert_eq!(samples[0].len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piece_that_is_sent_again_replaces_and_the_total_follows() {
    let world = World::new().await;
    world.import("?format=garmin", &steps("Watch", 0, TEN, TEN + HOUR, 800)).await;
    world.import("?format=garmin", &steps("Watch", 0, TEN, TEN + 2 * HOUR, 1_100)).await;
    assert_eq!(totals(&world).await, [("2026-05-03T22:00:00Z".to_owned(), 1_100.0)]);
    let samples: Vec<f64> = world.points("steps_sample").await.into_iter().map(|point| point.1).collect();
    assert_eq!(samples, [1_100.0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_of_an_export_that_begin_in_the_same_second_are_all_in_the_total() {
    let world = World::new().await;
    let file = steps("Watch", 0, TEN, TEN + 1, 5) + &steps("Watch", 0, TEN, TEN + 60, 60);
    for _ in 0..2 {
        world.import("?format=apple_health", &file).await;
        // The second that both cover counts once.
        assert_eq!(totals(&world).await, [("2026-05-03T22:00:00Z".to_owned(), 5.0 + 59.0)]);
        let samples: Vec<f64> = world.points("steps_sample").await.into_iter().map(|point| point.1).collect();
        assert_eq!(samples, [65.0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_maker_says_of_a_day_stands_above_its_pieces_whichever_comes_first() {
    let midnight = TEN - 10 * HOUR;
    let (said, pieces) = (format!("total {midnight} 9000\n"), steps("Watch", 0, TEN, TEN + HOUR, 800));
    for files in [[&said, &pieces], [&pieces, &said]] {
        let world = World::new().await;
        for file in files {
            assert_eq!(world.import("?format=garmin", file).await["status"], "done");
        }
        assert_eq!(world.points("steps").await, [("2026-05-03T22:00:00Z".to_owned(), 9_000.0, GARMIN.to_owned())]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readings_of_a_counter_may_come_in_any_order() {
    let midnight = TEN - 10 * HOUR;
    let reading = |at: i64, value: i64| format!("reading {midnight} {at} {value}\n");
    let files =
        [reading(TEN, 500) + &reading(TEN + HOUR, 700), reading(TEN + 3 * HOUR, 2_000), reading(TEN - HOUR, 500)];
    let mut samples = Vec::new();
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let world = World::new().await;
        for nth in order {
            world.import("?format=garmin", &files[nth]).await;
        }
        assert_eq!(totals(&world).await, [("2026-05-03T22:00:00Z".to_owned(), 2_000.0)], "{order:?}");
        let points = world.points("steps_sample").await;
        samples
            .push(points.into_iter().filter(|point| point.1 > 0.0).map(|point| (point.0, point.1)).collect::<Vec<_>>());
    }
    let at = |text: &str, value: f64| (format!("2026-05-0{text}Z"), value);
    let expected = [at("3T22:00:00", 500.0), at("4T08:00:00", 200.0), at("4T09:00:00", 1_300.0)];
    assert!(samples.iter().all(|some| *some == expected), "{samples:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn days_are_those_of_the_person_s_time_zone_and_move_with_it() {
    let world = World::new().await;
    let file = steps("Watch", 0, TEN, TEN + HOUR, 800);
    let beside = json!({"metric": "steps", "value": 5, "unit": "steps", "recorded_at": "2026-05-03T22:00:00Z", "source": "scale"});
    assert_eq!(world.stage.post(&world.ada.key, "/wearables/ingest", beside).await.0, 201);
    world.import("?format=apple_health", &file).await;
    let there = |at: &str, value: f64, source: &str| (at.to_owned(), value, source.to_owned());
    let scale = there("2026-05-03T22:00:00Z", 5.0, "scale");
    assert_eq!(world.points("steps").await, [there("2026-05-03T22:00:00Z", 800.0, APPLE_HEALTH), scale.clone()]);
    let zone = json!({"timezone": "America/New_York"});
    assert_eq!(world.stage.send(Some(&world.ada.token), "PATCH", "/users/me", Some(&zone)).await.0, 200);
    world.import("?format=apple_health", &file).await;
    assert_eq!(world.points("steps").await, [scale, there("2026-05-04T04:00:00Z", 800.0, APPLE_HEALTH)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_time_zone_moves_every_day_that_is_known_and_nothing_beside_it() {
    let world = World::new().await;
    let said = |start: i64, value: i64| format!("total {start} {value}\n");
    // From the evening of one day to the noon of the next; months before as well.
    let walks: String = [0, -40, -80]
        .iter()
        .map(|day| TEN + day * 86_400)
        .map(|ten| steps("Watch", 0, ten, ten + HOUR, 800) + &steps("Watch", 0, ten + 10 * HOUR, ten + 11 * HOUR, 50))
        .collect();
    world.import("?format=apple_health", &walks).await;
    // What a maker says is a day of its own, and what comes by the API is nobody's to move.
    world.import("?format=garmin", &said(TEN - 10 * HOUR, 9_000)).await;
    let beside = json!({"metric": "steps", "value": 5, "unit": "steps", "recorded_at": "2026-04-20T22:00:00Z", "source": "scale"});
    assert_eq!(world.stage.post(&world.ada.key, "/wearables/ingest", beside).await.0, 201);
    let zone = |name: &str| json!({"timezone": name});
    let change = async |name| world.stage.send(Some(&world.ada.token), "PATCH", "/users/me", Some(&zone(name))).await.0;
    let beside = ("2026-04-20T22:00:00Z", 5.0);
    let berlin =
        [("2026-03-24T22:00:00Z", 850.0), beside, ("2026-05-03T22:00:00Z", 850.0), ("2026-05-03T22:00:00Z", 9_000.0)];
    let window = world.points("steps").await;
    assert_eq!(window.iter().map(|(at, value, _)| (at.as_str(), *value)).collect::<Vec<_>>(), berlin);
    // In Auckland, whose day begins at 12:00 of UTC (11:00 until April 5), the evening is the next day.
    assert_eq!(change("Pacific/Auckland").await, 200);
    let auckland = [
        ("2026-03-24T11:00:00Z", 800.0),
        ("2026-03-25T11:00:00Z", 50.0),
        beside,
        ("2026-05-03T12:00:00Z", 800.0),
        ("2026-05-03T22:00:00Z", 9_000.0),
        ("2026-05-04T12:00:00Z", 50.0),
    ];
    world.until_steps(&auckland).await;
    assert_eq!(change("America/New_York").await, 200);
    let new_york =
        [("2026-03-25T04:00:00Z", 850.0), beside, ("2026-05-03T22:00:00Z", 9_000.0), ("2026-05-04T04:00:00Z", 850.0)];
    world.until_steps(&new_york).await;
    assert_eq!(change("UTC").await, 200);
    world.until_steps(&berlin).await;
    let path = "/wearables/metric/steps?days=120";
    let all = world.stage.read(&world.ada.token, path).await;
    assert_eq!(all["data_points"].as_array().unwrap().len(), 5, "the oldest too: {all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_may_prefer_a_source() {
    let world = World::new().await;
    let file = steps("Watch", 0, TEN, TEN + HOUR, 800) + &steps("Ring", 2, TEN, TEN + HOUR, 900);
    world.import("?format=apple_health", &file).await;
    let only = |value: f64| [("2026-05-03T22:00:00Z".to_owned(), value)];
    assert_eq!(totals(&world).await, only(800.0));
    // All of their days are made anew, not those of the file alone.
    world.import("?format=apple_health&priority=Ring,%20Watch", "skip all\n").await;
    assert_eq!(totals(&world).await, only(900.0));
    world.import("?format=apple_health&priority=", "skip all\n").await;
    assert_eq!(totals(&world).await, only(800.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_that_their_owner_deletes_are_in_no_later_total() {
    let world = World::new().await;
    let (first, second) = (steps("Watch", 0, TEN, TEN + HOUR, 800), steps("Watch", 0, TEN + HOUR, TEN + 2 * HOUR, 50));
    world.import("?format=apple_health", &first).await;
    for metric in ["steps", "steps_sample"] {
        let path = format!("/wearables/metric/{metric}?start=2026-05-01T00:00:00Z&end=2026-05-04T08:30:00Z");
        assert_eq!(world.stage.send(Some(&world.ada.token), "DELETE", &path, None).await.0, 204);
    }
    assert_eq!(totals(&world).await, []);
    world.import("?format=apple_health", &second).await;
    assert_eq!(totals(&world).await, [("2026-05-03T22:00:00Z".to_owned(), 50.0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn years_of_pieces_are_settled_month_by_month() {
    let world = World::new().await;
    let file: String =
        (0..200).map(|day| steps("Watch", 0, TEN - day * 86_400, TEN + HOUR - day * 86_400, day + 1)).collect();
    let import = world.import("?format=apple_health", &file).await;
    assert_eq!(import["ingested"], json!({"steps_sample": 200, "steps": 200}));
    let window = world.stage.read(&world.ada.token, "/wearables/metric/steps?days=300").await;
    let newest_first: Vec<_> =
        window["data_points"].as_array().unwrap().iter().map(|point| point["value"].as_i64()).collect();
    assert_eq!(newest_first, (1..=200).map(Some).collect::<Vec<_>>());
}
