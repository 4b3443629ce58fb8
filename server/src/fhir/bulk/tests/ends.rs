//! What ends an export or a part of it, and what does not.

use std::time::Duration;

use super::*;
use crate::control::repository::bulk;

#[tokio::test]
async fn only_who_asked_sees_an_export_by_the_same_client() {
    let stage = Stage::new().await;
    let (doctor, other) = (stage.doctor("Doc").await, stage.doctor("Other").await);
    let ada = patient(&stage, "Ada", 1).await;
    stage.grant(&doctor, &ada, &["check_ins"]).await;
    stage.grant(&other, &ada, &["check_ins"]).await;
    let client = crate::fhir::smart::tests::register(&stage, &doctor, "system/Observation.rs").await;
    let token = crate::fhir::smart::tests::token(&stage, &client, "1", "system/Observation.rs").await;
    let (by_doctor, by_client) =
        (kick_off(&stage, &doctor.token, "/Patient/$export").await, kick_off(&stage, &token, "/Patient/$export").await);
    assert_eq!(ask(&stage, &token, "/Patient/$export?_type=Patient").await.status, 403, "not within its scopes");
    work(&stage).await;
    let of_client = manifest(&stage, &token, &by_client).await;
    assert_eq!(outputs(&of_client), [("Observation".to_owned(), 1), ("Observation".to_owned(), 4)]);
    let all = resources(&stage, &token, &of_client).await;
    assert_eq!(ids_of(&all, "Patient"), Vec::<String>::new());
    let trail = stage.read(&ada.token, "/audit").await;
    let record = &trail["records"][0];
    assert_eq!(
        (&record["means"], &record["means_id"], &record["actor_id"]),
        (&json!("client"), &json!(client), &json!(doctor.id))
    );
    let of_doctor = manifest(&stage, &doctor.token, &by_doctor).await;
    for (who, status, files) in [
        (&other.token, &by_doctor, &of_doctor),
        (&ada.token, &by_doctor, &of_doctor),
        (&token, &by_doctor, &of_doctor),
        (&doctor.token, &by_client, &of_client),
        (&other.token, &by_client, &of_client),
    ] {
        assert_eq!(get(&stage, who, status).await.status, 404);
        assert_eq!(send(&stage, who, "DELETE", status, &[], "").await.status, 404);
        for url in urls(files) {
            assert_eq!(get(&stage, who, &url).await.status, 404);
        }
    }
    // With the client its exports are gone, and their files with the next look around.
    let before = files(&stage).len();
    stage.state.auth.remove_client(&client).await.unwrap();
    stage.clock.advance(Duration::from_mins(10));
    work(&stage).await;
    assert_eq!(files(&stage).len(), before - 2);
    assert_eq!(get(&stage, &doctor.token, &by_doctor).await.status, 200);
}

#[tokio::test]
async fn what_is_cancelled_is_gone_with_its_files_running_or_done() {
    let stage = Stage::new().await;
    let doctor = stage.doctor("Doc").await;
    for name in ["Ada", "Bo"] {
        let person = patient(&stage, name, 2).await;
        stage.grant(&doctor, &person, &["check_ins"]).await;
    }
    let status = kick_off(&stage, &doctor.token, "/Patient/$export").await;
    assert!(turn(&stage).await);
    assert_eq!(get(&stage, &doctor.token, &status).await.headers["x-progress"], "1 of 2 patients");
    assert_eq!(files(&stage).len(), 3);
    let reply = send(&stage, &doctor.token, "DELETE", &status, &[], "").await;
    assert_eq!((reply.status, &reply.json()["resourceType"]), (202, &json!("OperationOutcome")));
    assert_eq!(get(&stage, &doctor.token, &status).await.status, 404);
    assert!(!turn(&stage).await && files(&stage).is_empty());
    let status = kick_off(&stage, &doctor.token, "/Patient/$export").await;
    work(&stage).await;
    let urls = urls(&manifest(&stage, &doctor.token, &status).await);
    assert_eq!(send(&stage, &doctor.token, "DELETE", &status, &[], "").await.status, 202);
    assert_eq!(get(&stage, &doctor.token, &urls[0]).await.status, 404);
    assert!(files(&stage).is_empty());
}

#[tokio::test]
async fn an_erasure_takes_out_the_files_that_hold_that_persons_data() {
    let stage = Stage::new().await;
    let doctor = stage.doctor("Doc").await;
    let (ada, bo) = (patient(&stage, "Ada", 2).await, patient(&stage, "Bo", 2).await);
    for person in [&ada, &bo] {
        stage.grant(&doctor, person, &["check_ins"]).await;
    }
    let of_both = kick_off(&stage, &doctor.token, "/Patient/$export").await;
    kick_off(&stage, &ada.token, "/Patient/$export").await;
    work(&stage).await;
    let before = manifest(&stage, &doctor.token, &of_both).await;
    assert_eq!(files(&stage).iter().filter(|name| name.starts_with(&ada.id)).count(), 6);
    let confirm = json!({"confirm": ada.email});
    assert_eq!(stage.send(Some(&ada.token), "DELETE", "/users/me", Some(&confirm)).await.0, 202);
    assert!(files(&stage).iter().all(|name| name.starts_with(&bo.id)), "{:?}", files(&stage));
    assert_eq!(files(&stage).len(), 3);
    let after = manifest(&stage, &doctor.token, &of_both).await;
    assert_eq!(urls(&after).len(), 3);
    for url in urls(&before) {
        let is_left = urls(&after).contains(&url);
        assert_eq!(get(&stage, &doctor.token, &url).await.status, if is_left { 200 } else { 404 }, "{url}");
    }
}

#[tokio::test]
async fn a_restart_goes_on_behind_the_last_whole_patient_and_writes_what_was_half_written_anew() {
    let stage = Stage::new().await;
    let doctor = stage.doctor("Doc").await;
    let mut people = Vec::new();
    for name in ["Ada", "Bo", "Cy"] {
        let person = patient(&stage, name, 2).await;
        stage.grant(&doctor, &person, &["wearables"]).await;
        people.push(person.id);
    }
    people.sort_unstable();
    let status = kick_off(&stage, &doctor.token, "/Patient/$export?_type=Observation").await;
    assert!(turn(&stage).await);
    // As a crash in the middle of the second would leave it.
    let job = stage.state.bulk.folder().jobs().unwrap().remove(0);
    let half = stage.state.bulk.folder().path(&job, &people[1], super::super::Part::Points);
    std::fs::write(&half, "{\"resourceType\":\"Observ".repeat(1_000)).unwrap();
    work(&stage).await;
    let manifest = manifest(&stage, &doctor.token, &status).await;
    let all = resources(&stage, &doctor.token, &manifest).await;
    let ids = ids_of(&all, "Observation");
    assert_eq!(ids.len(), 6);
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "each once");
    // A file that is not as it was written is not answered as if it were.
    let whole = std::fs::read(&half).unwrap();
    std::fs::write(&half, &whole[..whole.len() / 2]).unwrap();
    let mut statuses = Vec::new();
    for url in urls(&manifest) {
        statuses.push(get(&stage, &doctor.token, &url).await.status);
    }
    assert_eq!(statuses, [200, 404, 200]);
}

#[tokio::test]
async fn a_grant_that_ends_while_its_files_are_made_leaves_none() {
    let stage = Stage::new().await;
    let doctor = stage.doctor("Doc").await;
    let (ada, bo) = (patient(&stage, "Ada", 2).await, patient(&stage, "Bo", 2).await);
    let mut grants = Vec::new();
    for person in [&ada, &bo] {
        grants.push((person, stage.grant(&doctor, person, &["check_ins"]).await));
    }
    grants.sort_unstable_by_key(|(person, _)| person.id.clone());
    let status = kick_off(&stage, &doctor.token, "/Patient/$export").await;
    assert!(turn(&stage).await);
    for (person, grant) in &grants {
        stage.revoke(person, grant).await;
    }
    work(&stage).await;
    assert!(files(&stage).iter().all(|name| name.starts_with(&grants[0].0.id)), "{:?}", files(&stage));
    assert!(outputs(&manifest(&stage, &doctor.token, &status).await).is_empty());
}

#[tokio::test]
async fn a_day_after_its_end_an_export_is_over() {
    let stage = Stage::new().await;
    let ada = patient(&stage, "Ada", 2).await;
    let status = kick_off(&stage, &ada.token, "/Patient/$export").await;
    work(&stage).await;
    let urls = urls(&manifest(&stage, &ada.token, &status).await);
    stage.clock.advance(Duration::from_secs(24 * 3600 - 1));
    assert_eq!(get(&stage, &ada.key, &urls[0]).await.status, 200);
    work(&stage).await;
    assert_eq!(files(&stage).len(), 3);
    stage.clock.advance(Duration::from_secs(1));
    assert_eq!(get(&stage, &ada.key, &urls[0]).await.status, 404);
    assert_eq!(get(&stage, &ada.key, &status).await.status, 404);
    stage.clock.advance(Duration::from_mins(10));
    work(&stage).await;
    assert!(files(&stage).is_empty());
    assert_eq!(bulk::count_of(stage.state.control.read(), &ada.id).await.unwrap(), (0, 0));
}
