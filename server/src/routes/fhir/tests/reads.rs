//! Reading one resource, and one version of it.

use super::*;

#[tokio::test]
async fn an_observation_is_read_by_its_id_and_stays_the_same_when_it_is_sent_again() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    ingest(&stage, &ada, &[("heart_rate", 62.0, 1.0, "watch"), ("heart_rate", 63.0, 1.0, "strap")]).await;
    let found = read(&stage, &ada.token, "/Observation").await;
    let (ids, first) = (found.ids(), found.matches()[0].clone());
    assert_eq!(ids.len(), 2);
    for id in &ids {
        let reply = read(&stage, &ada.key, &format!("/Observation/{id}")).await;
        assert_eq!(reply.body["id"], json!(id));
        assert_eq!(
            reply.headers["etag"],
            format!("W/\"{}\"", reply.body["meta"]["versionId"].as_str().unwrap()).as_str()
        );
        assert!(reply.headers.contains_key("last-modified"));
    }
    assert_eq!(read(&stage, &ada.token, &format!("/Observation/{}", ids[0])).await.body, first);
    stage.clock.advance(std::time::Duration::from_secs(1));
    ingest(&stage, &ada, &[("heart_rate", 70.0, 1.0 + 1.0 / 86_400.0, "watch")]).await;
    let (corrected, status) = (read(&stage, &ada.token, "/Observation?status=corrected").await, "corrected");
    assert_eq!(corrected.matches().len(), 1);
    assert!(ids.contains(&corrected.ids()[0]), "a new value is no new observation");
    assert_eq!(corrected.matches()[0]["status"], status);
    assert_eq!(corrected.matches()[0]["valueQuantity"]["value"], 70.0);
    assert_eq!(read(&stage, &ada.token, "/Observation?status=final").await.matches().len(), 1);
    assert_eq!(read(&stage, &ada.token, "/Observation?status=final,corrected").await.matches().len(), 2);
    assert_eq!(read(&stage, &ada.token, "/Observation?status=preliminary").await.matches().len(), 0);
}

#[tokio::test]
async fn the_current_version_is_read_and_older_ones_are_gone() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    ingest(&stage, &ada, &[("spo2", 97.0, 1.0, "watch")]).await;
    stage.check_in(&ada, json!({"mood": 4})).await;
    let found = read(&stage, &ada.token, "/Observation?_include=Observation:patient").await;
    let patient = format!("/Patient/{}", fhir_id(&ada));
    let mut paths: Vec<String> = found.ids().iter().map(|id| format!("/Observation/{id}")).collect();
    paths.push(patient);
    assert_eq!(paths.len(), 5, "{paths:?}");
    for path in paths {
        let current = read(&stage, &ada.token, &path).await;
        let version = current.body["meta"]["versionId"].as_str().unwrap();
        let number: u64 = version.parse().unwrap();
        let same = read(&stage, &ada.token, &format!("{path}/_history/{version}")).await;
        assert_eq!(same.body, current.body);
        let older = get(&stage, &ada.token, &format!("{path}/_history/{}", number - 1)).await;
        assert_eq!((older.status, older.issue().0), (410, "deleted"), "{path}");
        for other in [(number + 1).to_string(), "x".to_owned()] {
            assert_eq!(get(&stage, &ada.token, &format!("{path}/_history/{other}")).await.status, 404, "{path}");
        }
        let tag = current.headers["etag"].to_str().unwrap();
        let again = send(&stage, Some(&ada.token), ("GET", &path), &[("if-none-match", tag)], "").await;
        assert_eq!((again.status, &again.body), (304, &Value::Null), "{path}");
        assert_eq!(again.headers["etag"], tag);
        let changed = send(&stage, Some(&ada.token), ("GET", &path), &[("if-none-match", "W/\"1\"")], "").await;
        assert_eq!(changed.status, 200);
    }
}

#[tokio::test]
async fn a_changed_check_in_is_amended_and_has_a_new_version_by_the_same_id() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    let made = stage.check_in(&ada, json!({"mood": 4, "sleep_hours": 7.5})).await;
    let mood = read(&stage, &ada.token, "/Observation?code=urn:avycenna:codes|mood").await;
    let (id, version) = (mood.ids()[0].clone(), mood.matches()[0]["meta"]["versionId"].clone());
    assert_eq!(mood.matches()[0]["valueInteger"], 4);
    stage.clock.advance(std::time::Duration::from_mins(1));
    let path = format!("/check-ins/{}", made["id"].as_str().unwrap());
    stage.send(Some(&ada.token), "PATCH", &path, Some(&json!({"mood": 2, "sleep_hours": null}))).await;
    let after = read(&stage, &ada.token, &format!("/Observation/{id}")).await.body;
    assert_eq!((&after["status"], &after["valueInteger"]), (&json!("amended"), &json!(2)));
    assert_ne!(after["meta"]["versionId"], version);
    assert_eq!(read(&stage, &ada.token, "/Observation?status=amended").await.matches().len(), 3);
    assert_eq!(read(&stage, &ada.token, "/Observation?status=final").await.matches().len(), 0);
    let sleep = mood.ids();
    assert_eq!(sleep.len(), 1);
    assert_eq!(
        read(&stage, &ada.token, "/Observation?code=93832-4").await.matches().len(),
        0,
        "it says no hours any more"
    );
    stage.send(Some(&ada.token), "DELETE", &path, None).await;
    assert_eq!(get(&stage, &ada.token, &format!("/Observation/{id}")).await.status, 404);
}

#[tokio::test]
async fn a_patient_is_read_in_either_form_of_the_id() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    let id = fhir_id(&ada);
    let reply = read(&stage, &ada.token, &format!("/Patient/{id}")).await;
    assert_eq!(reply.body["id"], json!(id));
    assert_eq!(reply.body["identifier"], json!([{"system": "urn:avycenna:user", "value": ada.id}]));
    assert_eq!(reply.body["name"][0]["text"], "Ada");
    assert_eq!((&reply.body["gender"], reply.body["name"][0].get("given")), (&json!("unknown"), None));
    assert_eq!(read(&stage, &ada.token, &format!("/Patient/{}", ada.id)).await.body, reply.body);
    for query in [
        String::new(),
        format!("?_id={id}"),
        format!("?_id={}", ada.id),
        format!("?identifier={}", ada.id),
        format!("?identifier=urn:avycenna:user|{}", ada.id),
        format!("?_id={id},usr-00000000&identifier={}", ada.id),
    ] {
        let found = read(&stage, &ada.token, &format!("/Patient{query}")).await;
        assert_eq!(found.matches(), [&reply.body], "{query}");
        assert_eq!(found.body["total"], 1);
    }
    for query in ["?_id=usr-00000000", "?identifier=urn:other|x", "?_id=%00", "?_id=usr_%00%00%00%00%00%00%00%00"] {
        assert_eq!(read(&stage, &ada.token, &format!("/Patient{query}")).await.body["total"], 0, "{query}");
    }
    let counted = read(&stage, &ada.token, "/Patient?_summary=count").await;
    assert_eq!((&counted.body["total"], counted.body.get("entry")), (&json!(1), None));
    let posted = send(&stage, Some(&ada.token), ("POST", "/Patient/_search"), &[FORM], &format!("_id={id}")).await;
    assert_eq!(posted.matches(), [&reply.body]);
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
