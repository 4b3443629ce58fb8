//! Who shares the places in flight, and who takes them from nobody.

use super::*;
use crate::control::entities::{user, webhook};
use crate::control::repository::{deliveries, users, webhooks};

/// Endpoints that belong to people without a login, made by hand, each with one event: as many of each person as may be.
pub(super) async fn crowd(stage: &Stage, urls: &[String]) -> Vec<String> {
    let per_user = usize::try_from(PER_USER_MAX).unwrap();
    crowd_of(stage, urls, per_user).await
}

/// The same, `per_user` of each person.
async fn crowd_of(stage: &Stage, urls: &[String], per_user: usize) -> Vec<String> {
    let write = stage.state.control.write().await.unwrap();
    let now_us = stage.state.clock.now_us();
    let secret = secret::SigningSecret::generate().unwrap();
    let mut ids = Vec::new();
    for (nth, url) in urls.iter().enumerate() {
        let user_id = format!("usr_{:08}", nth / per_user);
        if nth % per_user == 0 {
            let user = user::Model {
                id: user_id.clone(),
                email: format!("{nth}@example.org"),
                name: "Doc".to_owned(),
                role: "doctor".to_owned(),
                timezone: "UTC".to_owned(),
                password_hash: None,
                email_verified_at: None,
                created_at: now_us,
                updated_at: now_us,
            };
            users::insert(write.on(), user).await.unwrap();
        }
        let id = format!("whk_{nth:016}");
        let row = webhook::Model {
            secret: stage.state.webhooks.vault().seal(&id, &secret).unwrap(),
            id: id.clone(),
            user_id,
            url: url.clone(),
            events: ALL.join(" "),
            description: None,
            old_secret: None,
            old_secret_until: None,
            disabled_at: None,
            disabled_by: None,
            failing_since: None,
            lease_owner: None,
            lease_until: 0,
            created_at: now_us,
            updated_at: now_us,
        };
        webhooks::insert(write.on(), row, PER_USER_MAX).await.unwrap();
        outbox::announce_test(write.on(), &id, now_us).await.unwrap();
        ids.push(id);
    }
    write.commit().await.unwrap();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_hanging_endpoints_of_a_thousand_delay_no_other() {
    hundred_hang(stage().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_do_they_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_hundred").await {
        hundred_hang(Stage::on(inward(database)).await).await;
    }
}

async fn hundred_hang(stage: Stage) {
    let receiver = Receiver::start().await;
    let urls: Vec<_> = (0..1_000)
        .map(|nth| receiver.url(&format!("/{}/{nth}", if nth % 10 == 0 { "hang" } else { "fine" })))
        .collect();
    let ids = crowd(&stage, &urls).await;
    let running = start(&stage);
    // All of them come in while the hanging ones still hang.
    let got = receiver.wait_for(1_000).await;
    assert_eq!(receiver.hanging_max(), 100);
    assert_eq!(got.iter().filter(|one| one.path.starts_with("/fine")).count(), 900);
    // What comes later for the others comes in, too.
    again(&stage, &ids).await;
    wait_for_fine(&receiver, 1_800).await;
    receiver.release();
    running.stop().await;
}

/// One event more for each of these endpoints.
async fn again(stage: &Stage, ids: &[String]) {
    let write = stage.state.control.write().await.unwrap();
    for id in ids {
        outbox::announce_test(write.on(), id, stage.state.clock.now_us()).await.unwrap();
    }
    write.commit().await.unwrap();
    stage.state.webhooks.look();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_whose_endpoints_all_hang_has_its_share_in_flight_and_no_more() {
    let stage = stage().await;
    let receiver = Receiver::start().await;
    let urls: Vec<_> =
        (0..40).map(|nth| receiver.url(&format!("/{}/{nth}", if nth < 20 { "hang" } else { "fine" }))).collect();
    crowd(&stage, &urls).await;
    let running = start(&stage);
    receiver.wait_for(28).await;
    receiver.release();
    receiver.wait_for(40).await;
    running.stop().await;
    assert_eq!(receiver.hanging_max(), 8, "of 512 an account has one in 64");
}

/// Waits until so many requests have come in that are answered at once.
async fn wait_for_fine(receiver: &Receiver, count: usize) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    let fine = || receiver.got().iter().filter(|one| one.path.starts_with("/fine")).count();
    while fine() < count {
        assert!(tokio::time::Instant::now() < deadline, "{} of {count} came in", fine());
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until so many deliveries are left, of all endpoints.
async fn wait_for_left(stage: &Stage, count: i64) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    let left = async || deliveries::waiting(stage.state.control.read(), None).await.unwrap().0;
    while left().await != count {
        assert!(tokio::time::Instant::now() < deadline, "{} are left", left().await);
        tokio::time::sleep(POLL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_that_take_long_to_say_yes_take_half_of_the_places_at_most() {
    let mut database = inward(Database::new().await);
    database.config.webhooks.in_flight_max = 84;
    let stage = Stage::on(database).await;
    let receiver = Receiver::start().await;
    let url = |nth: usize| receiver.url(&format!("/{}/{nth}", if nth < 64 { "hang" } else { "fine" }));
    // Each of an account of its own, so that no account's share is what holds them back.
    let ids = crowd_of(&stage, &(0..84).map(url).collect::<Vec<_>>(), 1).await;
    // Nobody knows them yet, so each gets a place; then each says yes behind nine seconds.
    let running = start(&stage);
    receiver.wait_for(84).await;
    wait_for_left(&stage, 64).await;
    assert_eq!(receiver.hanging_max(), 64);
    stage.clock.advance(Duration::from_secs(9));
    receiver.release();
    wait_for_left(&stage, 0).await;
    // Now they are known: the others get their events while half of those hang.
    receiver.hang();
    again(&stage, &ids).await;
    wait_for_fine(&receiver, 40).await;
    receiver.wait_for(84 + 20 + 42).await;
    assert_eq!(receiver.hanging_max(), 42);
    receiver.release();
    running.stop().await;
}
