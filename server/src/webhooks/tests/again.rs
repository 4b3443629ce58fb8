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
