//! Endpoints over HTTP: made, changed, signed for, bounded.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};

use super::*;
use crate::access::tests::places;

#[tokio::test]
async fn an_endpoint_is_made_listed_changed_and_deleted_by_its_owner_alone() {
    lives(stage().await).await;
}

#[tokio::test]
async fn so_it_is_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_endpoints").await {
        lives(Stage::on(inward(database)).await).await;
    }
}

async fn lives(stage: Stage) {
    let (doctor, other) = (stage.doctor("Doc").await, stage.doctor("Other").await);
    let body = json!({"url": "https://8.8.8.8/hook?x=1", "events": ["grant.revoked", "check_in.created"], "description": " Clinic "});
    let (status, made) = stage.post(&doctor.token, "/webhooks", body).await;
    assert_eq!(status, 201, "{made}");
    let id = made["id"].as_str().unwrap();
    assert!(id.starts_with("whk_") && id.len() == 20, "{id}");
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_") && secret.len() == 50, "{secret}");
    let path = format!("/webhooks/{id}");
    let shown = stage.read(&doctor.key, &path).await;
    assert_eq!(shown["secret"], Value::Null, "it is shown once");
    let mut without = made.clone();
    without.as_object_mut().unwrap().remove("secret");
    assert_eq!(shown, without);
    assert_eq!(
        (&shown["events"], &shown["description"]),
        (&json!(["grant.revoked", "check_in.created"]), &json!("Clinic"))
    );
    assert_eq!(stage.read(&doctor.key, "/webhooks").await, json!({"webhooks": [shown]}));
    assert_eq!(stage.read(&other.key, "/webhooks").await, json!({"webhooks": []}));

    let change = json!({"url": "https://9.9.9.9/", "events": ["symptom.created"], "description": null});
    let (status, changed) = stage.send(Some(&doctor.key), "PATCH", &path, Some(&change)).await;
    assert_eq!(status, 200, "{changed}");
    assert_eq!((&changed["url"], &changed["events"]), (&json!("https://9.9.9.9/"), &json!(["symptom.created"])));
    assert_eq!((&changed["description"], &changed["created_at"]), (&Value::Null, &shown["created_at"]));
    for (method, path) in [
        ("GET", path.clone()),
        ("PATCH", path.clone()),
        ("DELETE", path.clone()),
        ("POST", format!("{path}/rotate-secret")),
        ("POST", format!("{path}/test")),
        ("GET", format!("{path}/deliveries")),
        ("GET", format!("{path}/events")),
        ("POST", format!("{path}/recover")),
        ("POST", format!("{path}/deliveries/dlv_0000000000000000/replay")),
        ("GET", "/webhooks/whk_0000000000000000".to_owned()),
        ("GET", "/webhooks/1".to_owned()),
    ] {
        let body =
            (method != "GET").then(|| json!({"since": "2026-01-01T00:00:00Z"})).filter(|_| path.ends_with("recover"));
        let body = body.or_else(|| (method == "PATCH").then(|| json!({})));
        let (status, answer) = stage.send(Some(&other.token), method, &path, body.as_ref()).await;
        assert_eq!(status, 404, "{method} {path}: {answer}");
    }
    assert_eq!(stage.send(Some(&doctor.key), "DELETE", &path, None).await.0, 204);
    assert_eq!(stage.get(&doctor.key, &path).await.0, 404);
}

#[tokio::test]
async fn every_fault_of_an_endpoint_is_located_in_one_pass() {
    let stage = stage().await;
    let doctor = stage.doctor("Doc").await;
    let body = json!({"url": "ftp://8.8.8.8", "events": ["check_in.created", "check_in.created", "x", 3], "description": 4, "secret": "mine"});
    let (status, answer) = stage.post(&doctor.key, "/webhooks", body).await;
    assert_eq!(status, 422);
    let expected = [
        json!(["body", "url"]),
        json!(["body", "events", 3]),
        json!(["body", "events", 1]),
        json!(["body", "events", 2]),
        json!(["body", "description"]),
        json!(["body", "secret"]),
    ];
    assert_eq!(places(&answer), expected, "{answer}");
    let (_, answer) = stage.post(&doctor.key, "/webhooks", json!({"events": []})).await;
    assert_eq!(places(&answer), [json!(["body", "url"]), json!(["body", "events"])]);
    let (id, _) = endpoint(&stage, &doctor, "https://8.8.8.8/", &ALL).await;
    let before = stage.read(&doctor.key, &format!("/webhooks/{id}")).await;
    for (body, place) in [
        (json!({"url": null}), "url"),
        (json!({"url": "https://10.0.0.1/"}), "url"),
        (json!({"events": null}), "events"),
        (json!({"enabled": "yes"}), "enabled"),
        (json!({"enabled": null}), "enabled"),
    ] {
        let (status, answer) = stage.send(Some(&doctor.key), "PATCH", &format!("/webhooks/{id}"), Some(&body)).await;
        assert_eq!((status, places(&answer)), (422, vec![json!(["body", place])]), "{body}");
    }
    for query in ["status=x", "limit=0", "limit=1001", "cursor=dlv_0000000000000000", "page=2"] {
        assert_eq!(stage.get(&doctor.key, &format!("/webhooks/{id}/deliveries?{query}")).await.0, 422, "{query}");
    }
    for body in [json!({}), json!({"since": 3}), json!({"since": "evt_0000000000000000"}), json!({"since": "now"})] {
        let (status, answer) = stage.post(&doctor.key, &format!("/webhooks/{id}/recover"), body.clone()).await;
        assert_eq!((status, places(&answer)), (422, vec![json!(["body", "since"])]), "{body}");
    }
    assert_eq!(stage.read(&doctor.key, &format!("/webhooks/{id}")).await, before);
}

#[tokio::test]
async fn an_account_has_twenty_endpoints_at_most() {
    let stage = stage().await;
    let doctor = stage.doctor("Doc").await;
    let mut last = String::new();
    for _ in 0..20 {
        last = endpoint(&stage, &doctor, "https://8.8.8.8/", &ALL).await.0;
    }
    let body = json!({"url": "https://8.8.8.8/", "events": ALL});
    let (status, answer) = stage.post(&doctor.key, "/webhooks", body).await;
    assert_eq!(status, 409, "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("20 webhooks"), "{answer}");
    assert_eq!(stage.send(Some(&doctor.key), "DELETE", &format!("/webhooks/{last}"), None).await.0, 204);
    endpoint(&stage, &doctor, "https://8.8.8.8/", &ALL).await;
}

/// One of the signatures that Standard Webhooks wants.
fn standard(secret: &str, got: &receiver::Got) -> String {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{}.{}.", got.header("webhook-id"), got.header("webhook-timestamp")).as_bytes());
    mac.update(&got.body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[tokio::test]
async fn behind_a_rotation_both_secrets_sign_for_a_day() {
    let stage = stage().await;
    let running = start(&stage);
    let receiver = Receiver::start().await;
    let doctor = stage.doctor("Doc").await;
    let (id, old) = endpoint(&stage, &doctor, &receiver.url("/hook"), &ALL).await;
    test(&stage, &doctor, &id).await;
    let got = receiver.wait_for(1).await.remove(0);
    assert_eq!(got.header("webhook-signature"), standard(&old, &got));
    let (status, rotated) = stage.post(&doctor.key, &format!("/webhooks/{id}/rotate-secret"), json!({})).await;
    assert_eq!(status, 200, "{rotated}");
    let new = rotated["secret"].as_str().unwrap();
    assert_ne!(new, old);
    assert_eq!(microseconds(&rotated["old_secret_until"]), stage.state.clock.now_us() + OLD_SECRET_US);
    test(&stage, &doctor, &id).await;
    let got = receiver.wait_for(2).await.remove(1);
    assert_eq!(got.header("x-avycenna-signature"), published(new, &got.body));
    assert_eq!(got.header("webhook-signature"), format!("{} {}", standard(new, &got), standard(&old, &got)));
    stage.clock.advance(Duration::from_hours(24));
    test(&stage, &doctor, &id).await;
    let got = receiver.wait_for(3).await.remove(2);
    assert_eq!(got.header("webhook-signature"), standard(new, &got));
    assert_eq!(stage.read(&doctor.key, &format!("/webhooks/{id}")).await["old_secret_until"], Value::Null);
    running.stop().await;
}

#[tokio::test]
async fn no_secret_lies_in_the_database_as_it_is() {
    let stage = stage().await;
    let doctor = stage.doctor("Doc").await;
    let (id, old) = endpoint(&stage, &doctor, "https://8.8.8.8/", &ALL).await;
    let (_, rotated) = stage.post(&doctor.key, &format!("/webhooks/{id}/rotate-secret"), json!({})).await;
    let new = rotated["secret"].as_str().unwrap().to_owned();
    let folder = &stage.state.config.storage.data_dir;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let Ok(bytes) = std::fs::read(&path) else { continue };
        for secret in [&old, &new] {
            let clear = &secret.as_bytes()[6..26];
            assert!(!bytes.windows(clear.len()).any(|part| part == clear), "{}", path.display());
        }
    }
}

#[tokio::test]
async fn deliveries_are_listed_by_status_and_page_by_page() {
    let stage = stage().await;
    let running = start(&stage);
    let receiver = Receiver::start().await;
    let doctor = stage.doctor("Doc").await;
    let (id, _) = endpoint(&stage, &doctor, &receiver.url("/status/200"), &ALL).await;
    let mut made = Vec::new();
    for _ in 0..5 {
        stage.clock.advance(Duration::from_secs(1));
        made.insert(0, test(&stage, &doctor, &id).await);
    }
    let listed = wait_for(&stage, &doctor, &id, |found| found.iter().all(|one| one["status"] == "delivered")).await;
    let ids = |list: &[Value]| list.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(ids(&listed), made);
    assert_eq!(
        (&listed[0]["status_code"], &listed[0]["origin"], &listed[0]["answer"]),
        (&json!(200), &json!("test"), &json!("as asked"))
    );
    assert!(listed[0]["latency_ms"].is_i64(), "{}", listed[0]);
    let path = format!("/webhooks/{id}/deliveries?limit=2");
    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = stage.read(&doctor.key, &format!("{path}{cursor}")).await;
        paged.extend(ids(page["deliveries"].as_array().unwrap()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(paged, made);
    let dropped = stage.read(&doctor.key, &format!("/webhooks/{id}/deliveries?status=dropped")).await;
    assert_eq!(dropped["deliveries"], json!([]));
    running.stop().await;
}

#[tokio::test]
async fn a_key_that_may_write_alone_sends_nothing_out() {
    let stage = stage().await;
    let doctor = stage.doctor("Doc").await;
    let (id, _) = endpoint(&stage, &doctor, "https://8.8.8.8/", &ALL).await;
    let before = stage.read(&doctor.key, "/webhooks").await;
    let made = test(&stage, &doctor, &id).await;
    let path = format!("/webhooks/{id}");
    for (method, path, body) in [
        ("POST", "/webhooks".to_owned(), json!({"url": "https://9.9.9.9/", "events": ALL})),
        ("PATCH", path.clone(), json!({"url": "https://9.9.9.9/"})),
        ("POST", format!("{path}/rotate-secret"), json!({})),
        ("POST", format!("{path}/test"), json!({})),
        ("POST", format!("{path}/deliveries/{made}/replay"), json!({})),
        ("POST", format!("{path}/recover"), json!({"since": "2026-01-01T00:00:00Z"})),
    ] {
        for key in [&doctor.write_key, &doctor.read_key] {
            assert_eq!(stage.send(Some(key), method, &path, Some(&body)).await.0, 403, "{method} {path}");
        }
    }
    assert_eq!(stage.read(&doctor.key, "/webhooks").await, before);
    assert_eq!(deliveries(&stage, &doctor, &id).await.len(), 1);
    // It may put an end to one.
    assert_eq!(stage.send(Some(&doctor.write_key), "DELETE", &path, None).await.0, 204);
}
