//! From notices to events and deliveries: what a cause pays, and what is taken back meanwhile; on both databases.

use futures::FutureExt;
use sea_orm::ConnectionTrait;

use super::again::Heard;
use super::*;
use crate::control::entities::check_in;
use crate::control::repository::outbox::{forget_person, forget_subject};
use crate::control::repository::{check_ins, leases, notices};
use crate::webhooks::outbox::{Cause, announce};

/// Rows of notices, events, deliveries.
async fn rows(stage: &Stage) -> [i64; 3] {
    let on = stage.state.control.read();
    let sql = "SELECT (SELECT COUNT(*) FROM notices) AS a, (SELECT COUNT(*) FROM events) AS b, \
               (SELECT COUNT(*) FROM deliveries) AS c";
    let statement = sea_orm::Statement::from_string(on.get_database_backend(), sql);
    let row = on.query_one_raw(statement).await.unwrap().unwrap();
    ["a", "b", "c"].map(|name| row.try_get("", name).unwrap())
}

/// A patient who has let a doctor in, and the doctor's endpoint, which was told of that.
async fn pair(stage: &Stage, url: &str) -> (Person, Person, String) {
    let (patient, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    let (id, _) = endpoint(stage, &doctor, url, &ALL).await;
    stage.grant(&doctor, &patient, &["check_ins"]).await;
    spread::settle(&stage.state).await.unwrap();
    (patient, doctor, id)
}

const NOWHERE: &str = "http://127.0.0.1:9/hook";

#[tokio::test]
async fn a_cause_writes_one_row_whoever_is_told_and_none_where_nobody_is() {
    pays(stage().await).await;
}

#[tokio::test]
async fn so_it_does_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_notices").await {
        pays(Stage::on(inward(database)).await).await;
    }
}

async fn pays(stage: Stage) {
    let (patient, doctor, id) = pair(&stage, NOWHERE).await;
    endpoint(&stage, &doctor, NOWHERE, &ALL).await;
    assert_eq!(rows(&stage).await, [0, 1, 1]);
    stage.check_in(&patient, json!({})).await;
    assert_eq!(rows(&stage).await, [1, 1, 1]);
    let alone = stage.patient("Bea").await;
    stage.check_in(&alone, json!({})).await;
    assert_eq!(rows(&stage).await, [1, 1, 1]);
    // Whoever looks sees it at once.
    assert_eq!(deliveries(&stage, &doctor, &id).await.len(), 2);
    assert_eq!(rows(&stage).await, [0, 2, 3]);
    // An endpoint that is gone meanwhile gets nothing, and is in nobody's way.
    stage.check_in(&patient, json!({})).await;
    assert_eq!(stage.send(Some(&doctor.key), "DELETE", &format!("/webhooks/{id}"), None).await.0, 204);
    spread::settle(&stage.state).await.unwrap();
    assert_eq!(rows(&stage).await, [0, 3, 2], "the other one's two");
}

#[tokio::test]
async fn what_is_taken_back_before_it_is_spread_is_told_to_nobody() {
    takes_back(stage().await).await;
}

#[tokio::test]
async fn nor_is_it_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_taken_back").await {
        takes_back(Stage::on(inward(database)).await).await;
    }
}

async fn takes_back(stage: Stage) {
    let (patient, doctor, id) = pair(&stage, NOWHERE).await;
    let made = stage.check_in(&patient, json!({})).await;
    stage.check_in(&patient, json!({})).await;
    let path = format!("/check-ins/{}", made["id"].as_str().unwrap());
    assert_eq!(stage.send(Some(&patient.token), "DELETE", &path, None).await.0, 204);
    assert_eq!(rows(&stage).await, [1, 1, 1]);
    let write = stage.state.control.write().await.unwrap();
    forget_person(write.on(), &patient.id).await.unwrap();
    write.commit().await.unwrap();
    assert_eq!(rows(&stage).await, [0, 0, 0]);
    assert_eq!(deliveries(&stage, &doctor, &id).await.len(), 0);
}

#[tokio::test]
async fn what_is_taken_back_while_it_is_spread_is_waited_for_and_goes_too() {
    let Some(database) = Database::postgres("avycenna_race").await else { return };
    let stage = Stage::on(inward(database)).await;
    let (patient, ..) = pair(&stage, NOWHERE).await;
    let made = stage.check_in(&patient, json!({})).await;
    let spreading = stage.state.control.write().await.unwrap();
    let held = notices::hold(spreading.on(), 9).await.unwrap();
    let forget = async {
        let write = stage.state.control.write().await.unwrap();
        forget_subject(write.on(), &patient.id, made["id"].as_str().unwrap()).await.unwrap();
        write.commit().await.unwrap();
    };
    let spread = async {
        wait_for_lock(&stage).await;
        notices::spread(spreading.on(), &held, &[], "").await.unwrap();
        spreading.commit().await.unwrap();
    };
    tokio::join!(forget, spread);
    assert_eq!(rows(&stage).await, [0, 1, 1], "the grant's event is what is left");
}

/// Waits until somebody waits for a lock.
async fn wait_for_lock(stage: &Stage) {
    let on = stage.state.control.read();
    let sql = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%DELETE FROM notices%'";
    let deadline = tokio::time::Instant::now() + DEADLINE;
    let waits = || sea_orm::Statement::from_string(on.get_database_backend(), sql);
    while on.query_one_raw(waits()).await.unwrap().is_none() {
        assert!(tokio::time::Instant::now() < deadline, "nobody waits");
        tokio::time::sleep(POLL).await;
    }
}

#[tokio::test]
async fn what_a_process_left_behind_is_spread_by_the_next_one_however_much_it_is() {
    let stage = stage().await;
    let receiver = Receiver::start().await;
    let (patient, ..) = pair(&stage, &receiver.url("/hook")).await;
    let count = spread::AT_ONCE * 2;
    let write = stage.state.control.write().await.unwrap();
    let now_us = stage.state.clock.now_us();
    for nth in 0..count {
        let row = check_in::Model {
            id: format!("ci_{nth:016}"),
            user_id: patient.id.clone(),
            mood: 4,
            energy: 3,
            focus: 3,
            sleep_hours: None,
            steps: None,
            note: None,
            checked_in_at: now_us,
            source: "api".to_owned(),
            created_at: now_us,
            updated_at: now_us,
        };
        check_ins::insert(write.on(), row.clone()).await.unwrap();
        let _ = announce(write.on(), Cause::CheckIn(&row), now_us).await.unwrap();
    }
    write.commit().await.unwrap();
    let running = start(&stage);
    let got = receiver.wait_for(count + 1).await;
    running.stop().await;
    let came: Vec<_> = got[1..].iter().map(|one| one.json()["data"]["check_in_id"].clone()).collect();
    assert_eq!(came, (0..count).map(|nth| json!(format!("ci_{nth:016}"))).collect::<Vec<_>>());
    assert_eq!(rows(&stage).await[0], 0);
}

/// Whether the dispatcher has been woken since the last time.
fn is_woken(stage: &Stage) -> bool {
    stage.state.webhooks.inner.noted.notified().now_or_never().is_some()
}

#[tokio::test]
async fn every_cause_that_somebody_is_told_of_wakes_the_dispatcher_at_once() {
    let stage = stage().await;
    let (patient, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    let grant = stage.grant(&doctor, &patient, &["check_ins", "symptoms"]).await;
    stage.check_in(&patient, json!({})).await;
    assert!(!is_woken(&stage), "nobody has an endpoint");
    endpoint(&stage, &doctor, NOWHERE, &ALL).await;
    stage.check_in(&patient, json!({})).await;
    assert!(is_woken(&stage));
    let symptom = json!({"name": "headache", "severity": "mild", "onset_at": stage.ago(1.0)});
    assert_eq!(stage.post(&patient.token, "/symptoms", symptom).await.0, 201);
    assert!(is_woken(&stage));
    stage.revoke(&patient, &grant).await;
    assert!(is_woken(&stage));
    let asked = stage.invite(&doctor, &patient, &["check_ins"]).await;
    assert!(!is_woken(&stage), "an invitation is no event");
    stage.accept(&patient, &asked).await;
    assert!(is_woken(&stage));
}

#[tokio::test]
async fn the_move_of_a_grant_that_a_disabled_endpoint_is_owed_is_a_line_of_the_log_and_counted() {
    let stage = stage().await;
    let (patient, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    let (id, _) = endpoint(&stage, &doctor, NOWHERE, &ALL).await;
    let off = json!({"enabled": false});
    assert_eq!(stage.send(Some(&doctor.key), "PATCH", &format!("/webhooks/{id}"), Some(&off)).await.0, 200);
    let heard = Heard::default();
    let _guard = heard.listen();
    let running = start(&stage);
    let grant = stage.grant(&doctor, &patient, &["check_ins"]).await;
    stage.revoke(&patient, &grant).await;
    let deadline = tokio::time::Instant::now() + DEADLINE;
    let dropped = || heard.text().lines().filter(|line| line.contains("a webhook's event was dropped")).count();
    while dropped() < 2 {
        assert!(tokio::time::Instant::now() < deadline, "{}", heard.text());
        tokio::time::sleep(POLL).await;
    }
    running.stop().await;
    let text = stage.state.metrics.render(&storage::Health::Writable, &storage::metrics::Metrics::default());
    assert!(text.contains("avycenna_webhooks_dropped_total 2\n"), "{text}");
    assert!(heard.text().contains(&id) && heard.text().contains("endpoint_disabled"), "{}", heard.text());
}

#[tokio::test]
async fn an_endpoint_that_another_process_has_is_asked_for_once_a_look_and_not_at_every_event() {
    let (database, heard) = inward(Database::new().await).overheard().await;
    let stage = Stage::on(database).await;
    let (patient, _, id) = pair(&stage, NOWHERE).await;
    let write = stage.state.control.write().await.unwrap();
    let now_us = stage.state.clock.now_us();
    leases::take(write.on(), &[id], "another", now_us, now_us + 3_600_000_000).await.unwrap();
    write.commit().await.unwrap();
    heard.lock().unwrap().clear();
    let running = start(&stage);
    let deadline = tokio::time::Instant::now() + DEADLINE;
    for nth in 2..22 {
        stage.check_in(&patient, json!({})).await;
        while rows(&stage).await != [0, nth, nth] {
            assert!(tokio::time::Instant::now() < deadline, "{:?}", rows(&stage).await);
            tokio::time::sleep(POLL).await;
        }
    }
    running.stop().await;
    let heard = heard.lock().unwrap();
    let count = |text: &str| heard.iter().filter(|sql| sql.contains(text)).count();
    let (looks, takes) = (count("SELECT w.id, w.lease_owner FROM webhooks w"), count("RETURNING id, user_id"));
    assert!((1..=looks + 1).contains(&takes), "{takes} in {looks} looks");
}
