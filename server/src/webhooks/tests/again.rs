//! What a doctor has sent once more, and reads again: what the patient sees of it, and what is left to go on from.

use super::*;

#[tokio::test]
async fn what_is_sent_once_more_stands_in_the_trail_of_its_patient() {
    records(stage().await).await;
}

#[tokio::test]
async fn so_it_does_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_again").await {
        records(Stage::on(inward(database)).await).await;
    }
}

async fn records(stage: Stage) {
    let (ada, bea, doctor) = (stage.patient("Ada").await, stage.patient("Bea").await, stage.doctor("Doc").await);
    let (id, _) = endpoint(&stage, &doctor, "http://127.0.0.1:9/hook", &ALL).await;
    for patient in [&ada, &bea] {
        stage.grant(&doctor, patient, &["check_ins"]).await;
        stage.check_in(patient, json!({})).await;
        stage.check_in(patient, json!({})).await;
    }
    let trail = async |who: &Person| {
        let trail = stage.read(&who.token, "/audit").await;
        trail["records"].as_array().unwrap().iter().map(|one| one["what"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(trail(&ada).await, Vec::<Value>::new(), "a delivery is no read");
    let listed = deliveries(&stage, &doctor, &id).await;
    let of = |event: &str| listed.iter().rfind(|one| one["event"] == event).unwrap()["id"].as_str().unwrap();
    let replay = async |delivery: &str| {
        stage.post(&doctor.key, &format!("/webhooks/{id}/deliveries/{delivery}/replay"), json!({})).await.0
    };
    assert_eq!(replay(of("grant.accepted")).await, 202);
    assert_eq!(trail(&ada).await, Vec::<Value>::new(), "of a grant its doctor knows anyway");
    assert_eq!(replay(of("check_in.created")).await, 202);
    assert_eq!((trail(&ada).await, trail(&bea).await), (vec![json!("webhook_replay")], vec![]));
    // Everything is given up, and asked for at once.
    for on in [false, true] {
        let change = json!({"enabled": on});
        assert_eq!(stage.send(Some(&doctor.key), "PATCH", &format!("/webhooks/{id}"), Some(&change)).await.0, 200);
    }
    let recover = json!({"since": stage.ago(1.0)});
    let (_, recovered) = stage.post(&doctor.key, &format!("/webhooks/{id}/recover"), recover.clone()).await;
    assert_eq!(recovered["queued"], 6);
    assert_eq!(trail(&ada).await.len(), 2);
    assert_eq!(trail(&bea).await, [json!("webhook_replay")], "one for all of hers");
    stage.post(&doctor.key, &format!("/webhooks/{id}/recover"), recover).await;
    assert_eq!(trail(&ada).await.len(), 2, "nothing was left to be sent");
    assert_eq!(crate::access::audit::verify(&stage.state.control).await.unwrap().breaks, []);
}

#[tokio::test]
async fn a_feed_goes_on_behind_what_its_patient_has_taken_back() {
    goes_on(stage().await).await;
}

#[tokio::test]
async fn so_it_goes_on_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_goes_on").await {
        goes_on(Stage::on(inward(database)).await).await;
    }
}

async fn goes_on(stage: Stage) {
    let (ada, bea, doctor) = (stage.patient("Ada").await, stage.patient("Bea").await, stage.doctor("Doc").await);
    let (id, _) = endpoint(&stage, &doctor, "http://127.0.0.1:9/hook", &["check_in.created"]).await;
    let mut made = Vec::new();
    for patient in [&ada, &bea] {
        stage.grant(&doctor, patient, &["check_ins"]).await;
    }
    for patient in [&ada, &ada, &bea, &ada] {
        made.push(stage.check_in(patient, json!({})).await["id"].clone());
    }
    let feed = format!("/webhooks/{id}/events");
    let all = stage.read(&doctor.key, &feed).await;
    let event = |nth: usize| all["events"][nth]["event_id"].as_str().unwrap().to_owned();
    let first = stage.read(&doctor.key, &format!("/webhooks/{id}/deliveries?limit=2")).await;
    let cursor = first["next_cursor"].as_str().unwrap();
    // One takes a check-in back, the other one everything.
    let path = format!("/check-ins/{}", made[1].as_str().unwrap());
    assert_eq!(stage.send(Some(&ada.token), "DELETE", &path, None).await.0, 204);
    let confirm = json!({"confirm": bea.email});
    assert_eq!(stage.send(Some(&bea.token), "DELETE", "/users/me", Some(&confirm)).await.0, 202);
    for since in [event(1), event(2)] {
        let left = stage.read(&doctor.key, &format!("{feed}?since={since}")).await;
        let left: Vec<_> = left["events"].as_array().unwrap().iter().map(|e| &e["data"]["check_in_id"]).collect();
        assert_eq!(left, [&made[3]]);
        let recover = json!({ "since": since });
        assert_eq!(stage.post(&doctor.key, &format!("/webhooks/{id}/recover"), recover).await.0, 202);
    }
    let rest = stage.read(&doctor.key, &format!("/webhooks/{id}/deliveries?limit=2&cursor={cursor}")).await;
    assert_eq!(rest["deliveries"][0]["event_id"], json!(event(0)), "{rest}");
    // A test has its place as well.
    test(&stage, &doctor, &id).await;
    let tested = deliveries(&stage, &doctor, &id).await[0]["event_id"].as_str().unwrap().to_owned();
    assert_eq!(stage.read(&doctor.key, &format!("{feed}?since={tested}")).await["events"], json!([]));
    // What could not be read any more anyway is forgotten as a whole.
    stage.clock.advance(Duration::from_hours(30 * 24) + Duration::from_secs(1));
    let write = stage.state.control.write().await.unwrap();
    let before_us = stage.state.clock.now_us() - KEPT_US;
    while crate::control::repository::outbox::sweep(write.on(), before_us, 1).await.unwrap() > 0 {}
    write.commit().await.unwrap();
    for since in [event(0), event(1), event(2)] {
        assert_eq!(stage.get(&doctor.key, &format!("{feed}?since={since}")).await.0, 422);
    }
}

#[tokio::test]
async fn a_feed_that_waits_for_a_writer_holds_up_no_other() {
    let Some(database) = Database::postgres("avycenna_waits").await else { return };
    let stage = Stage::on(inward(database)).await;
    let (ada, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    let (id, _) = endpoint(&stage, &doctor, "http://127.0.0.1:9/hook", &ALL).await;
    stage.grant(&doctor, &ada, &["check_ins"]).await;
    // Has its number, and is not seen yet.
    let slow = stage.database.other().await;
    let write = slow.write().await.unwrap();
    outbox::announce_test(write.on(), &id, stage.state.clock.now_us()).await.unwrap();
    let feed = format!("/webhooks/{id}/events");
    let reading = stage.read(&doctor.key, &feed);
    let writing = async {
        for _ in 0..10 {
            stage.check_in(&ada, json!({})).await;
        }
        write.commit().await.unwrap();
    };
    let (page, ()) =
        tokio::time::timeout(DEADLINE, async { tokio::join!(reading, writing) }).await.expect("nobody waits for it");
    assert!(page["events"].is_array(), "{page}");
    assert_eq!(stage.read(&doctor.key, &feed).await["events"].as_array().unwrap().len(), 11);
}

#[tokio::test]
async fn a_feed_shows_nothing_behind_a_number_that_may_still_appear() {
    let Some(database) = Database::postgres("avycenna_settles").await else { return };
    let stage = Stage::on(inward(database)).await;
    let doctor = stage.doctor("Doc").await;
    let (id, _) = endpoint(&stage, &doctor, "http://127.0.0.1:9/hook", &ALL).await;
    let slow = stage.database.other().await;
    let write = slow.write().await.unwrap();
    outbox::announce_test(write.on(), &id, stage.state.clock.now_us()).await.unwrap();
    test(&stage, &doctor, &id).await;
    // Two seconds in real time: the writer does not end.
    let (status, body) = stage.get(&doctor.key, &format!("/webhooks/{id}/events")).await;
    assert_eq!(status, 503, "{body}");
    write.commit().await.unwrap();
    stage.read(&doctor.key, &format!("/webhooks/{id}/events")).await;
}

/// What is logged on this thread.
#[derive(Clone, Default)]
pub(super) struct Heard(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Heard {
    /// Listens as long as the guard lives.
    pub(super) fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let heard = self.clone();
        let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || heard.clone()).finish();
        tracing::subscriber::set_default(log)
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test]
async fn each_event_that_a_disabled_endpoint_is_owed_is_a_line_of_the_log_and_counted() {
    let stage = stage().await;
    let (ada, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    let (id, _) = endpoint(&stage, &doctor, "http://127.0.0.1:9/hook", &["check_in.created", "symptom.created"]).await;
    stage.grant(&doctor, &ada, &["check_ins", "symptoms"]).await;
    let heard = Heard::default();
    let _guard = heard.listen();
    stage.check_in(&ada, json!({})).await;
    stage.check_in(&ada, json!({})).await;
    // The owner gives up two of them, and what comes then is not sent either.
    let off = json!({"enabled": false});
    assert_eq!(stage.send(Some(&doctor.key), "PATCH", &format!("/webhooks/{id}"), Some(&off)).await.0, 200);
    stage.check_in(&ada, json!({})).await;
    let symptom = json!({"name": "headache", "severity": "mild", "onset_at": stage.ago(1.0)});
    assert_eq!(stage.post(&ada.token, "/symptoms", symptom).await.0, 201);
    let listed = deliveries(&stage, &doctor, &id).await;
    let heard = heard.text();
    let lines: Vec<_> = heard.lines().filter(|line| line.contains("a webhook's event was dropped")).collect();
    assert_eq!((lines.len(), listed.len()), (4, 4), "{heard}");
    for one in listed {
        let (event_id, delivery_id) = (one["event_id"].as_str().unwrap(), one["id"].as_str().unwrap());
        let is_its = |line: &&str| line.contains(event_id) && line.contains(delivery_id);
        let its: Vec<_> = lines.iter().filter(|line| is_its(line)).collect();
        assert!(its.len() == 1 && its[0].contains("endpoint_disabled"), "{one}: {heard}");
    }
    let text = stage.state.metrics.render(&storage::Health::Writable, &storage::metrics::Metrics::default());
    assert!(text.contains("avycenna_webhooks_dropped_total 4\n"), "{text}");
}
