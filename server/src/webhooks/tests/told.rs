//! Who is told of what, when, in which bytes; on SQLite and on PostgreSQL.

use std::collections::BTreeSet;

use sea_orm::ConnectionTrait;

use super::*;
use crate::control::repository::outbox::forget_person;

#[tokio::test]
async fn receivers_are_told_what_their_grants_allow_in_the_published_form() {
    tells(stage().await).await;
}

#[tokio::test]
async fn so_they_are_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_told").await {
        tells(Stage::on(inward(database)).await).await;
    }
}

async fn tells(stage: Stage) {
    let running = start(&stage);
    let receiver = Receiver::start().await;
    let patient = stage.patient("Ada").await;
    let mut doctors = Vec::new();
    for (name, permission) in [("Check", "check_ins"), ("Symptom", "symptoms"), ("Point", "wearables"), ("None", "")] {
        let doctor = stage.doctor(name).await;
        let secret = endpoint(&stage, &doctor, &receiver.url(&format!("/{name}")), &ALL).await.1;
        let grant =
            if permission.is_empty() { None } else { Some(stage.invite(&doctor, &patient, &[permission]).await) };
        doctors.push((doctor, secret, grant));
    }
    // One that asks for other events is told of those alone.
    endpoint(&stage, &doctors[0].0, &receiver.url("/other"), &["symptom.created"]).await;
    // Nobody is told of what happened before their grant.
    stage.check_in(&patient, json!({"note": "early"})).await;
    let mut accepted = Vec::new();
    for (_, _, grant) in &doctors {
        if let Some(id) = grant {
            accepted.push(stage.accept(&patient, id).await);
        }
    }
    let check_in = stage.check_in(&patient, json!({"mood": 4, "sleep_hours": 8, "note": "secret"})).await;
    let symptom =
        json!({"name": "headache", "severity": "mild", "onset_at": "2026-05-01T10:00:00+02:00", "notes": "secret"});
    let symptom = stage.post(&patient.token, "/symptoms", symptom).await.1;
    // What has not left when a grant ends is not told any more.
    receiver.wait_for(5).await;
    stage.revoke(&patient, doctors[0].2.as_ref().unwrap()).await;
    stage.check_in(&patient, json!({})).await;
    let got = receiver.wait_for(6).await;
    running.stop().await;
    let told: BTreeSet<_> =
        got.iter().map(|got| (got.path.clone(), got.json()["event"].as_str().unwrap().to_owned())).collect();
    let expected = [
        ("/Check", "grant.accepted"),
        ("/Check", "check_in.created"),
        ("/Check", "grant.revoked"),
        ("/Symptom", "grant.accepted"),
        ("/Symptom", "symptom.created"),
        ("/Point", "grant.accepted"),
    ];
    assert_eq!(told, expected.map(|(path, event)| (path.to_owned(), event.to_owned())).into_iter().collect());
    assert_eq!(receiver.got().len(), 6, "{:?}", receiver.got());
    for got in &got {
        let is_theirs = |doctor: &Person| got.path == format!("/{}", doctor_name(doctor));
        let (_, secret, _) = doctors.iter().find(|(doctor, ..)| is_theirs(doctor)).unwrap();
        let body = signed_body(got, secret);
        let data = match body["event"].as_str().unwrap() {
            "check_in.created" => json!({
                "patient_id": patient.id, "check_in_id": check_in["id"], "mood": 4, "energy": 3, "focus": 3,
                "sleep_hours": 8.0, "steps": null, "checked_in_at": check_in["checked_in_at"],
            }),
            "symptom.created" => json!({
                "patient_id": patient.id, "symptom_id": symptom["id"], "name": "headache", "severity": "mild",
                "onset_at": "2026-05-01T08:00:00Z", "resolved_at": null,
            }),
            "grant.accepted" => {
                let grant = accepted.iter().find(|grant| grant["id"] == body["data"]["grant_id"]).unwrap();
                json!({
                    "grant_id": grant["id"], "patient_id": patient.id, "permissions": grant["permissions"],
                    "accepted_at": grant["accepted_at"],
                })
            }
            _ => json!({
                "grant_id": doctors[0].2, "patient_id": patient.id, "permissions": ["check_ins"],
                "revoked_at": body["data"]["revoked_at"],
            }),
        };
        assert_eq!(body["data"], data);
    }
}

/// The body of a request that is signed as it should be, and says no more than it should.
fn signed_body(got: &receiver::Got, secret: &str) -> Value {
    assert_eq!(got.header("x-avycenna-signature"), published(secret, &got.body));
    assert_eq!(got.header("content-type"), "application/json");
    let body = got.json();
    assert_eq!(body["event_id"], got.header("webhook-id"));
    assert_eq!(body.as_object().unwrap().len(), 4);
    let text = String::from_utf8_lossy(&got.body);
    assert!(!text.contains("secret") && text.starts_with(r#"{"event":""#), "{text}");
    body
}

fn doctor_name(doctor: &Person) -> String {
    let name = doctor.email.split('@').next().unwrap();
    name[..1].to_uppercase() + &name[1..]
}

#[tokio::test]
async fn nothing_is_sent_listed_or_shown_again_for_a_grant_that_has_ended() {
    ends(stage().await).await;
}

#[tokio::test]
async fn nor_is_it_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_ends").await {
        ends(Stage::on(inward(database)).await).await;
    }
}

async fn ends(stage: Stage) {
    let running = start(&stage);
    let receiver = Receiver::start().await;
    let (patient, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    let (id, _) = endpoint(&stage, &doctor, &receiver.url("/status/500"), &ALL).await;
    let grant = stage.grant(&doctor, &patient, &["check_ins"]).await;
    stage.check_in(&patient, json!({})).await;
    receiver.wait_for(2).await;
    let tried = |found: &[Value]| found.iter().filter(|one| one["tries"] == 1).count() == 2;
    let listed = wait_for(&stage, &doctor, &id, tried).await;
    let check_in = listed.iter().find(|one| one["event"] == "check_in.created").unwrap();
    let events = stage.read(&doctor.key, &format!("/webhooks/{id}/events")).await;
    assert_eq!(events["events"].as_array().unwrap().len(), 2, "{events}");

    receiver.set(200);
    stage.revoke(&patient, &grant).await;
    stage.clock.advance(Duration::from_mins(1));
    stage.state.webhooks.look();
    let got = receiver.wait_for(3).await;
    assert_eq!(got[2].json()["event"], "grant.revoked");
    let listed = wait_for(&stage, &doctor, &id, |found| found.len() == 1 && found[0]["status"] == "delivered").await;
    assert_eq!(listed[0]["event"], "grant.revoked");
    let events = stage.read(&doctor.key, &format!("/webhooks/{id}/events")).await;
    assert_eq!(events["events"].as_array().unwrap().len(), 1, "{events}");
    assert_eq!(events["events"][0]["event"], "grant.revoked");
    let replay = format!("/webhooks/{id}/deliveries/{}/replay", check_in["id"].as_str().unwrap());
    assert_eq!(stage.post(&doctor.key, &replay, json!({})).await.0, 404);
    let recover = json!({"since": stage.ago(1.0)});
    let (status, recovered) = stage.post(&doctor.key, &format!("/webhooks/{id}/recover"), recover).await;
    assert_eq!((status, &recovered["queued"]), (202, &json!(0)), "{recovered}");
    running.stop().await;
    assert_eq!(receiver.got().len(), 3);
    // The feed was read once while it showed a check-in: one record in the patient's trail.
    let trail = stage.read(&patient.token, "/audit").await;
    let whats: Vec<_> = trail["records"].as_array().unwrap().iter().map(|record| record["what"].clone()).collect();
    assert_eq!(whats, ["webhook_events"]);
    assert_eq!(crate::access::audit::verify(&stage.state.control).await.unwrap().breaks, []);
}

#[tokio::test]
async fn a_grant_that_runs_out_or_is_narrowed_ends_deliveries_too() {
    let stage = stage().await;
    let (patient, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    let (id, _) = endpoint(&stage, &doctor, "http://127.0.0.1:9/hook", &ALL).await;
    let expires_at = engine::time::format(stage.state.clock.now_us() + 60_000_000);
    let body =
        json!({"patient_email": patient.email, "permissions": ["check_ins", "symptoms"], "expires_at": expires_at});
    let grant = stage.post(&doctor.token, "/grants/invite", body).await.1["id"].as_str().unwrap().to_owned();
    stage.accept(&patient, &grant).await;
    stage.check_in(&patient, json!({})).await;
    assert_eq!(deliveries(&stage, &doctor, &id).await.len(), 2);
    let narrower = json!({"permissions": ["symptoms"]});
    assert_eq!(stage.send(Some(&patient.token), "PATCH", &format!("/grants/{grant}"), Some(&narrower)).await.0, 200);
    let left = deliveries(&stage, &doctor, &id).await;
    assert_eq!(left.iter().map(|one| &one["event"]).collect::<Vec<_>>(), ["grant.accepted"]);
    stage.check_in(&patient, json!({})).await;
    assert_eq!(deliveries(&stage, &doctor, &id).await.len(), 1, "a check-in is told to nobody now");
    stage.clock.advance(Duration::from_mins(1));
    assert_eq!(deliveries(&stage, &doctor, &id).await.len(), 0);
}

#[tokio::test]
async fn a_new_grant_in_an_old_one_s_place_says_that_the_old_one_ended() {
    let stage = stage().await;
    let (patient, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    let (id, _) = endpoint(&stage, &doctor, "http://127.0.0.1:9/hook", &ALL).await;
    let first = stage.grant(&doctor, &patient, &["check_ins"]).await;
    let second = stage.grant(&doctor, &patient, &["symptoms"]).await;
    let events = stage.read(&doctor.key, &format!("/webhooks/{id}/events")).await;
    let told: Vec<_> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["event"].clone(), e["data"]["grant_id"].clone()))
        .collect();
    assert_eq!(told, [(json!("grant.revoked"), json!(first)), (json!("grant.accepted"), json!(second))]);
}

/// Every byte that tables hold, as text.
async fn everything(stage: &Stage) -> String {
    let on = stage.state.control.read();
    let mut text = String::new();
    for sql in [
        "SELECT body AS t FROM events",
        "SELECT body AS t FROM notices",
        "SELECT COALESCE(answer, '') AS t FROM deliveries",
        "SELECT url AS t FROM webhooks",
    ] {
        let statement = sea_orm::Statement::from_string(on.get_database_backend(), sql);
        for row in on.query_all_raw(statement).await.unwrap() {
            text.push_str(&row.try_get::<String>("", "t").unwrap());
            text.push('\n');
        }
    }
    text
}

#[tokio::test]
async fn an_erased_patient_leaves_no_body_behind() {
    forgets(stage().await).await;
}

#[tokio::test]
async fn nor_do_they_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_forgets").await {
        forgets(Stage::on(inward(database)).await).await;
    }
}

async fn forgets(stage: Stage) {
    let (patient, other, doctor) = (stage.patient("Ada").await, stage.patient("Bea").await, stage.doctor("Doc").await);
    let (id, _) = endpoint(&stage, &doctor, "http://127.0.0.1:9/hook", &ALL).await;
    endpoint(&stage, &patient, "http://127.0.0.1:9/own", &ALL).await;
    for patient in [&patient, &other] {
        stage.grant(&doctor, patient, &["check_ins"]).await;
        stage.check_in(patient, json!({})).await;
    }
    assert!(everything(&stage).await.contains(&patient.id));
    let write = stage.state.control.write().await.unwrap();
    forget_person(write.on(), &patient.id).await.unwrap();
    write.commit().await.unwrap();
    let left = everything(&stage).await;
    assert!(!left.contains(&patient.id) && !left.contains("/own"), "{left}");
    assert_eq!(left.matches(&other.id).count(), 2, "{left}");
    assert_eq!(deliveries(&stage, &doctor, &id).await.len(), 2);
    // A check-in that its patient deletes is not told of any more either.
    let check_ins = stage.read(&other.token, "/check-ins").await;
    let path = format!("/check-ins/{}", check_ins["check_ins"][0]["id"].as_str().unwrap());
    assert_eq!(stage.send(Some(&other.token), "DELETE", &path, None).await.0, 204);
    assert_eq!(deliveries(&stage, &doctor, &id).await.len(), 1);
}

#[tokio::test]
async fn a_feed_is_read_in_order_page_by_page_and_byte_by_byte() {
    feeds(stage().await).await;
}

#[tokio::test]
async fn so_it_is_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_feed").await {
        feeds(Stage::on(inward(database)).await).await;
    }
}

async fn feeds(stage: Stage) {
    let (patient, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    let (id, _) = endpoint(&stage, &doctor, "http://127.0.0.1:9/hook", &["check_in.created"]).await;
    stage.grant(&doctor, &patient, &["check_ins"]).await;
    let mut made = Vec::new();
    for mood in 1..=5 {
        stage.clock.advance(Duration::from_mins(1));
        made.push(stage.check_in(&patient, json!({"mood": mood})).await["id"].clone());
    }
    let feed = format!("/webhooks/{id}/events");
    let all = stage.read(&doctor.key, &feed).await;
    let of = |page: &Value| {
        page["events"].as_array().unwrap().iter().map(|e| e["data"]["check_in_id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!((of(&all), &all["next_since"]), (made.clone(), &Value::Null));
    let mut paged = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let page = stage.read(&doctor.key, &format!("{feed}{query}")).await;
        paged.extend(of(&page));
        let Some(next) = page["next_since"].as_str() else { break };
        query = format!("?limit=2&since={next}");
    }
    assert_eq!(paged, made);
    let third = all["events"][2]["event_id"].as_str().unwrap();
    assert_eq!(of(&stage.read(&doctor.key, &format!("{feed}?since={third}")).await), made[3..]);
    let moment = all["events"][3]["timestamp"].as_str().unwrap();
    assert_eq!(of(&stage.read(&doctor.key, &format!("{feed}?since={moment}")).await), made[3..]);
    for wrong in ["evt_0000000000000000", "evt_", "yesterday"] {
        let (status, body) = stage.get(&doctor.key, &format!("{feed}?since={wrong}")).await;
        assert_eq!((status, crate::access::tests::places(&body)), (422, vec![json!(["query", "since"])]), "{wrong}");
    }
    // Thirty days later only what is younger is left to be read.
    stage.clock.advance(Duration::from_hours(30 * 24) - Duration::from_secs(90));
    assert_eq!(of(&stage.read(&doctor.key, &feed).await), made[3..]);
    let write = stage.state.control.write().await.unwrap();
    let before_us = stage.state.clock.now_us() - KEPT_US;
    assert_eq!(crate::control::repository::outbox::sweep(write.on(), before_us, 2).await.unwrap(), 2);
    assert_eq!(crate::control::repository::outbox::sweep(write.on(), before_us, 2).await.unwrap(), 1);
    write.commit().await.unwrap();
    assert_eq!(of(&stage.read(&doctor.key, &feed).await), made[3..]);
}
