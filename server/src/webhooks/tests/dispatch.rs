//! Tries, retries and ends, by a clock that tests move.

use super::fairness::crowd;
use super::*;
use crate::control::repository::deliveries::{Try, record};
use crate::control::repository::{leases, webhooks};

/// Seconds between two times of a delivery.
fn seconds(from: &Value, to: &Value) -> f64 {
    Duration::from_micros(u64::try_from(microseconds(to) - microseconds(from)).unwrap()).as_secs_f64()
}

#[tokio::test]
async fn a_failing_delivery_is_tried_four_times_with_the_same_bytes_and_dropped_and_can_be_recovered() {
    walks_the_table(stage().await).await;
}

#[tokio::test]
async fn so_it_is_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_retries").await {
        walks_the_table(Stage::on(inward(database)).await).await;
    }
}

async fn walks_the_table(stage: Stage) {
    let running = start(&stage);
    let receiver = Receiver::start().await;
    let (patient, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    stage.grant(&doctor, &patient, &["check_ins"]).await;
    let (id, _) = endpoint(&stage, &doctor, &receiver.url("/status/500"), &["check_in.created"]).await;
    stage.check_in(&patient, json!({})).await;
    for (tries, delay_s) in [(1, 30.0), (2, 300.0), (3, 3_600.0)] {
        receiver.wait_for(tries).await;
        let found = wait_for_one(&stage, &doctor, &id, "pending", i64::try_from(tries).unwrap()).await;
        let waits_s = seconds(&found["tried_at"], &found["next_try_at"]);
        assert!((delay_s..=delay_s * 1.1).contains(&waits_s), "{waits_s}");
        assert_eq!(
            (&found["status_code"], &found["error"], &found["answer"]),
            (&json!(500), &json!("status"), &json!("as asked"))
        );
        stage.clock.set_now_us(microseconds(&found["next_try_at"]));
        stage.state.webhooks.look();
    }
    let got = receiver.wait_for(4).await;
    let dropped = wait_for_one(&stage, &doctor, &id, "dropped", 4).await;
    assert_eq!(dropped["next_try_at"], Value::Null);
    assert!(got.iter().all(|one| one.body == got[0].body && one.header("webhook-id") == got[0].header("webhook-id")));
    let stamps: Vec<_> = got.iter().map(|one| one.header("webhook-timestamp").parse::<i64>().unwrap()).collect();
    assert!(stamps.windows(2).all(|pair| pair[1] - pair[0] >= 30), "{stamps:?}");
    let shown = stage.read(&doctor.key, &format!("/webhooks/{id}")).await;
    assert_eq!((&shown["enabled"], shown["failing_since"].is_string()), (&json!(true), true), "{shown}");

    // It is still to be read, and can be had again.
    let feed = stage.read(&doctor.key, &format!("/webhooks/{id}/events")).await;
    assert_eq!(feed["events"], json!([got[0].json()]));
    receiver.set(200);
    let recover = json!({"since": stage.ago(1.0)});
    let (status, recovered) = stage.post(&doctor.key, &format!("/webhooks/{id}/recover"), recover.clone()).await;
    assert_eq!((status, &recovered["queued"]), (202, &json!(1)));
    let is_there = |found: &[Value]| found.len() == 2 && found.iter().any(|one| one["status"] == "delivered");
    let listed = wait_for(&stage, &doctor, &id, is_there).await;
    let got = receiver.wait_for(5).await;
    assert_eq!((&got[4].body, got[4].header("webhook-id")), (&got[0].body, got[0].header("webhook-id")));
    let (_, recovered) = stage.post(&doctor.key, &format!("/webhooks/{id}/recover"), recover).await;
    assert_eq!(recovered["queued"], 0, "what has arrived is not sent again");
    let shown = stage.read(&doctor.key, &format!("/webhooks/{id}")).await;
    assert_eq!(shown["failing_since"], Value::Null);

    let delivered = listed.iter().find(|one| one["status"] == "delivered").unwrap()["id"].as_str().unwrap();
    let replay = format!("/webhooks/{id}/deliveries/{delivered}/replay");
    assert_eq!(stage.post(&doctor.key, &replay, json!({})).await.0, 202);
    let got = receiver.wait_for(6).await;
    assert_eq!(got[5].body, got[0].body);
    running.stop().await;
    let text = stage.state.metrics.render(&storage::Health::Writable, &storage::metrics::Metrics::default());
    for line in
        ["webhooks_delivered_total 2", "webhooks_retried_total 3", "webhooks_dropped_total 1", "webhooks_in_flight 0"]
    {
        assert!(text.contains(&format!("avycenna_{line}\n")), "{line} in {text}");
    }
}

#[tokio::test]
async fn retry_after_of_the_receiver_moves_the_next_try() {
    let stage = stage().await;
    let running = start(&stage);
    let receiver = Receiver::start().await;
    let doctor = stage.doctor("Doc").await;
    let (id, _) = endpoint(&stage, &doctor, &receiver.url("/later/600"), &ALL).await;
    test(&stage, &doctor, &id).await;
    let found = wait_for_one(&stage, &doctor, &id, "pending", 1).await;
    assert!((seconds(&found["tried_at"], &found["next_try_at"]) - 600.0).abs() < f64::EPSILON, "{found}");
    running.stop().await;
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_is_given_ten_seconds_and_no_more() {
    let stage = stage().await;
    let running = start(&stage);
    let receiver = Receiver::start().await;
    let doctor = stage.doctor("Doc").await;
    let (id, _) = endpoint(&stage, &doctor, &receiver.url("/hang/1"), &ALL).await;
    // The one wait in real time: the client's own limit is what is looked at.
    let began = tokio::time::Instant::now();
    test(&stage, &doctor, &id).await;
    let found = wait_for_one(&stage, &doctor, &id, "pending", 1).await;
    assert_eq!((&found["error"], &found["status_code"]), (&json!("timeout"), &Value::Null));
    let took_s = began.elapsed().as_secs_f64();
    assert!((10.0..20.0).contains(&took_s), "{took_s}");
    running.stop().await;
}

#[tokio::test]
async fn an_answer_counts_by_its_status_whatever_becomes_of_its_body() {
    let stage = stage().await;
    let running = start(&stage);
    let receiver = Receiver::start().await;
    let doctor = stage.doctor("Doc").await;
    for path in ["/broken", "/stuck"] {
        let (id, _) = endpoint(&stage, &doctor, &receiver.url(path), &ALL).await;
        test(&stage, &doctor, &id).await;
        let found = wait_for_one(&stage, &doctor, &id, "delivered", 1).await;
        assert_eq!((&found["status_code"], &found["error"]), (&json!(200), &Value::Null), "{path}: {found}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_ends_its_endpoint_and_its_owner_is_told() {
    let stage = stage().await;
    let running = start(&stage);
    let receiver = Receiver::start().await;
    let (patient, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    stage.grant(&doctor, &patient, &["check_ins"]).await;
    let (id, _) = endpoint(&stage, &doctor, &receiver.url("/status/410"), &["check_in.created"]).await;
    stage.check_in(&patient, json!({})).await;
    wait_for_one(&stage, &doctor, &id, "dropped", 1).await;
    let shown = stage.read(&doctor.key, &format!("/webhooks/{id}")).await;
    assert_eq!((&shown["enabled"], &shown["disabled_by"]), (&json!(false), &json!("gone")), "{shown}");
    // What happens meanwhile is not sent, but owed.
    stage.check_in(&patient, json!({})).await;
    let listed = deliveries(&stage, &doctor, &id).await;
    assert_eq!((listed.len(), &listed[0]["error"], &listed[0]["tries"]), (2, &json!("endpoint_disabled"), &json!(0)));
    assert_eq!(stage.post(&doctor.key, &format!("/webhooks/{id}/test"), json!({})).await.0, 409);
    let path = format!("/webhooks/{id}");
    receiver.set(200);
    let (status, shown) = stage.send(Some(&doctor.key), "PATCH", &path, Some(&json!({"enabled": true}))).await;
    assert_eq!((status, &shown["enabled"], &shown["disabled_by"]), (200, &json!(true), &Value::Null));
    let recover = json!({"since": stage.ago(1.0)});
    assert_eq!(stage.post(&doctor.key, &format!("/webhooks/{id}/recover"), recover).await.1["queued"], 2);
    receiver.wait_for(3).await;
    running.stop().await;
    stage.state.mail.clone().close().await;
    let mail = std::fs::read_to_string(stage.state.config.storage.data_dir.join(crate::mail::FILE_NAME)).unwrap();
    let told = mail.split("From avycenna\n").find(|mail| mail.contains("A webhook was disabled")).unwrap();
    assert!(told.contains(&doctor.email) && told.contains("410"), "{told}");
}

#[tokio::test]
async fn an_endpoint_that_fails_for_five_days_is_disabled_and_its_owner_is_told() {
    let stage = stage().await;
    let running = start(&stage);
    let receiver = Receiver::start().await;
    let doctor = stage.doctor("Doc").await;
    let (id, _) = endpoint(&stage, &doctor, &receiver.url("/status/500"), &ALL).await;
    for day in 0..6 {
        let shown = stage.read(&doctor.key, &format!("/webhooks/{id}")).await;
        assert_eq!(shown["enabled"], true, "after {day} days: {shown}");
        let made = test(&stage, &doctor, &id).await;
        let is_tried = |found: &[Value]| {
            found.iter().any(|one| one["id"] == json!(made) && (one["tries"] == 1 || one["status"] == "dropped"))
        };
        wait_for(&stage, &doctor, &id, is_tried).await;
        stage.clock.advance(Duration::from_hours(24));
    }
    let shown = stage.read(&doctor.key, &format!("/webhooks/{id}")).await;
    assert_eq!((&shown["enabled"], &shown["disabled_by"]), (&json!(false), &json!("failing")), "{shown}");
    let left = deliveries(&stage, &doctor, &id).await;
    assert!(left.iter().all(|one| one["status"] == "dropped"), "{left:#?}");
    running.stop().await;
    stage.state.mail.clone().close().await;
    let mail = std::fs::read_to_string(stage.state.config.storage.data_dir.join(crate::mail::FILE_NAME)).unwrap();
    assert!(mail.contains("A webhook was disabled") && mail.contains("five days"), "{mail}");
}

#[tokio::test]
async fn while_tries_succeed_events_arrive_one_by_one_in_the_order_of_their_creation() {
    let stage = stage().await;
    let receiver = Receiver::start().await;
    let (patient, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    stage.grant(&doctor, &patient, &["check_ins"]).await;
    endpoint(&stage, &doctor, &receiver.url("/status/200"), &["check_in.created"]).await;
    let mut made = Vec::new();
    for nth in 0..40 {
        made.push(stage.check_in(&patient, json!({"mood": nth % 5 + 1})).await["id"].clone());
    }
    let running = start(&stage);
    let got = receiver.wait_for(40).await;
    let came: Vec<_> = got.iter().map(|one| one.json()["data"]["check_in_id"].clone()).collect();
    assert_eq!(came, made);
    running.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_fails_has_four_requests_in_flight_at_most_and_a_healthy_one_has_one() {
    let stage = stage().await;
    let receiver = Receiver::start().await;
    let doctor = stage.doctor("Doc").await;
    let (id, _) = endpoint(&stage, &doctor, &receiver.url("/hang/1"), &ALL).await;
    for _ in 0..12 {
        test(&stage, &doctor, &id).await;
    }
    let running = start(&stage);
    receiver.wait_for(1).await;
    receiver.release();
    wait_for(&stage, &doctor, &id, |found| found.iter().all(|one| one["status"] == "delivered")).await;
    assert_eq!(receiver.hanging_max(), 1, "in order, one by one");
    running.stop().await;
}

#[tokio::test]
async fn lanes_open_when_an_endpoint_fails_up_to_their_bound() {
    let stage = stage().await;
    let receiver = Receiver::start().await;
    let doctor = stage.doctor("Doc").await;
    let (id, _) = endpoint(&stage, &doctor, &receiver.url("/hang/1"), &ALL).await;
    for _ in 0..12 {
        test(&stage, &doctor, &id).await;
    }
    let write = stage.state.control.write().await.unwrap();
    webhooks::note_failing(write.on(), &id, stage.state.clock.now_us()).await.unwrap();
    write.commit().await.unwrap();
    let running = start(&stage);
    receiver.wait_for(dispatcher::LANES_MAX).await;
    // A wake more begins nothing beyond the bound.
    stage.state.webhooks.wake(vec![id.clone()]);
    receiver.release();
    wait_for(&stage, &doctor, &id, |found| found.iter().all(|one| one["status"] == "delivered")).await;
    assert_eq!(receiver.hanging_max(), dispatcher::LANES_MAX);
    running.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_was_enabled_again_counts_as_failing_until_a_try_succeeds() {
    let stage = stage().await;
    let receiver = Receiver::start().await;
    let doctor = stage.doctor("Doc").await;
    let (id, _) = endpoint(&stage, &doctor, &receiver.url("/status/200"), &ALL).await;
    let path = format!("/webhooks/{id}");
    let switch = async |on: bool| {
        let (status, shown) = stage.send(Some(&doctor.key), "PATCH", &path, Some(&json!({"enabled": on}))).await;
        assert_eq!(status, 200, "{shown}");
        shown["failing_since"].clone()
    };
    assert_eq!(switch(true).await, Value::Null, "it was never disabled");
    switch(false).await;
    let since = json!(stage.ago(0.0));
    assert_eq!(switch(true).await, since);
    stage.clock.advance(Duration::from_mins(1));
    assert_eq!(switch(true).await, since, "that it is enabled is no success");
    let running = start(&stage);
    test(&stage, &doctor, &id).await;
    wait_for_one(&stage, &doctor, &id, "delivered", 1).await;
    assert_eq!(stage.read(&doctor.key, &path).await["failing_since"], Value::Null);
    running.stop().await;
}

#[tokio::test]
async fn an_endpoint_is_one_process_s_at_a_time_and_a_dead_one_s_is_taken_over() {
    takes_over(stage().await).await;
}

#[tokio::test]
async fn so_it_is_between_processes_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_leases").await {
        takes_over(Stage::on(inward(database)).await).await;
    }
}

async fn takes_over(stage: Stage) {
    let receiver = Receiver::start().await;
    let doctor = stage.doctor("Doc").await;
    let (id, _) = endpoint(&stage, &doctor, &receiver.url("/held"), &ALL).await;
    let (other, _) = endpoint(&stage, &doctor, &receiver.url("/free"), &ALL).await;
    let lease = async |owner: &str, now_us: i64| {
        let write = stage.state.control.write().await.unwrap();
        let taken =
            leases::take(write.on(), std::slice::from_ref(&id), owner, now_us, now_us + 20_000_000).await.unwrap();
        write.commit().await.unwrap();
        taken.into_iter().map(|taken| taken.id).collect::<Vec<_>>()
    };
    let now_us = stage.state.clock.now_us();
    assert_eq!(lease("dead", now_us).await, std::slice::from_ref(&id));
    assert_eq!(lease("alive", now_us + 19_999_999).await, Vec::<String>::new());
    test(&stage, &doctor, &id).await;
    test(&stage, &doctor, &other).await;
    let running = start(&stage);
    receiver.wait_for(1).await;
    wait_for_one(&stage, &doctor, &other, "delivered", 1).await;
    assert_eq!(receiver.got()[0].path, "/free");
    assert_eq!(deliveries(&stage, &doctor, &id).await[0]["tries"], 0);
    stage.clock.advance(Duration::from_secs(20));
    stage.state.webhooks.look();
    wait_for_one(&stage, &doctor, &id, "delivered", 1).await;
    running.stop().await;
    // A graceful stop gives everything back.
    let rows = webhooks::of_user(stage.state.control.read(), &doctor.id).await.unwrap();
    assert!(rows.iter().all(|row| row.lease_owner.is_none() && row.lease_until == 0), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_on_one_database_send_each_event_once() {
    let stage = stage().await;
    let other = Stage::with_state_of(&stage).await;
    let receiver = Receiver::start().await;
    let urls: Vec<_> = (0..100).map(|nth| receiver.url(&format!("/{nth}"))).collect();
    crowd(&stage, &urls).await;
    let (first, second) = (start(&stage), start(&other));
    receiver.wait_for(100).await;
    first.stop().await;
    second.stop().await;
    let mut paths: Vec<_> = receiver.got().into_iter().map(|one| one.path).collect();
    paths.sort();
    paths.dedup();
    assert_eq!((paths.len(), receiver.got().len()), (100, 100));
}

#[tokio::test]
async fn a_stop_waits_for_what_is_in_flight_and_its_record() {
    let stage = stage().await;
    let receiver = Receiver::start().await;
    let doctor = stage.doctor("Doc").await;
    let (id, _) = endpoint(&stage, &doctor, &receiver.url("/hang/1"), &ALL).await;
    test(&stage, &doctor, &id).await;
    test(&stage, &doctor, &id).await;
    let running = start(&stage);
    receiver.wait_for(1).await;
    let stopping = running.stop();
    let releasing = async {
        tokio::task::yield_now().await;
        receiver.release();
    };
    tokio::join!(stopping, releasing);
    let left = deliveries(&stage, &doctor, &id).await;
    let mut statuses: Vec<_> = left.iter().map(|one| one["status"].as_str().unwrap()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, ["delivered", "pending"], "the second was not begun");
    assert_eq!(receiver.got().len(), 1);
}

#[tokio::test]
async fn a_disabled_or_deleted_endpoint_gets_nothing_more() {
    let stage = stage().await;
    let receiver = Receiver::start().await;
    let doctor = stage.doctor("Doc").await;
    let (paused, _) = endpoint(&stage, &doctor, &receiver.url("/paused"), &ALL).await;
    let (deleted, _) = endpoint(&stage, &doctor, &receiver.url("/deleted"), &ALL).await;
    let (kept, _) = endpoint(&stage, &doctor, &receiver.url("/kept"), &ALL).await;
    for id in [&paused, &deleted, &kept] {
        test(&stage, &doctor, id).await;
    }
    let off = json!({"enabled": false});
    assert_eq!(stage.send(Some(&doctor.key), "PATCH", &format!("/webhooks/{paused}"), Some(&off)).await.0, 200);
    assert_eq!(stage.send(Some(&doctor.key), "DELETE", &format!("/webhooks/{deleted}"), None).await.0, 204);
    let running = start(&stage);
    wait_for_one(&stage, &doctor, &kept, "delivered", 1).await;
    running.stop().await;
    assert_eq!(receiver.got().iter().map(|one| one.path.as_str()).collect::<Vec<_>>(), ["/kept"]);
    assert_eq!(deliveries(&stage, &doctor, &paused).await[0]["error"], "endpoint_disabled");
}

#[tokio::test]
async fn a_try_that_fails_changes_nothing_of_a_delivery_that_was_given_up_meanwhile_and_one_that_succeeds_does() {
    let stage = stage().await;
    let doctor = stage.doctor("Doc").await;
    let (id, _) = endpoint(&stage, &doctor, "http://127.0.0.1:9/hook", &ALL).await;
    let delivery = test(&stage, &doctor, &id).await;
    let off = json!({"enabled": false});
    assert_eq!(stage.send(Some(&doctor.key), "PATCH", &format!("/webhooks/{id}"), Some(&off)).await.0, 200);
    for (status, expected) in [("pending", "dropped"), ("dropped", "dropped"), ("delivered", "delivered")] {
        let made = Try {
            status,
            tries: 1,
            due_at: Some(stage.state.clock.now_us()),
            tried_at: stage.state.clock.now_us(),
            status_code: Some(500),
            latency_ms: 1,
            answer: None,
            error: Some("status"),
        };
        let write = stage.state.control.write().await.unwrap();
        record(write.on(), &delivery, &made).await.unwrap();
        write.commit().await.unwrap();
        let found = deliveries(&stage, &doctor, &id).await.remove(0);
        let is_counted = expected == "delivered";
        assert_eq!((&found["status"], &found["tries"]), (&json!(expected), &json!(i32::from(is_counted))), "{status}");
    }
}
