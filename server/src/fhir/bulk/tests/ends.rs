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
    // A narrower token of the same client reads what it is for: of a wider export no file of anything else.
    let wide = crate::fhir::smart::tests::register(&stage, &doctor, "system/*.rs").await;
    let all = crate::fhir::smart::tests::token(&stage, &wide, "2", "system/*.rs").await;
    let narrow = crate::fhir::smart::tests::token(&stage, &wide, "3", "system/Observation.rs").await;
    let status = kick_off(&stage, &all, "/Patient/$export").await;
    work(&stage).await;
    let of_all = manifest(&stage, &all, &status).await;
    assert_eq!(outputs(&of_all).len(), 3);
    assert!(outputs(&manifest(&stage, &narrow, &status).await).iter().all(|(kind, _)| kind == "Observation"));
    for (url, (kind, _)) in urls(&of_all).iter().zip(outputs(&of_all)) {
        let expected = if kind == "Patient" { 403 } else { 200 };
        assert_eq!(get(&stage, &narrow, url).await.status, expected, "{kind}");
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
async fn what_ends_between_the_files_and_their_rows_leaves_neither() {
    use sea_orm::ConnectionTrait as _;
    for statement in [
        "UPDATE grants SET status = 'revoked'",
        "UPDATE grants SET permissions = 'symptoms'",
        "UPDATE grants SET expires_at = 1",
        "DELETE FROM users WHERE role = 'patient'",
        "DELETE FROM bulk_jobs",
    ] {
        let stage = Stage::new().await;
        let doctor = stage.doctor("Doc").await;
        let ada = patient(&stage, "Ada", 2).await;
        stage.grant(&doctor, &ada, &["check_ins"]).await;
        kick_off(&stage, &doctor.token, "/Patient/$export").await;
        let place = stage.state.bulk.folder().place().unwrap();
        let job = bulk::next(stage.state.control.read(), &place).await.unwrap().unwrap();
        let state = stage.state.clone();
        let step = move || {
            let runtime = tokio::runtime::Handle::current();
            let control = state.control.clone();
            let end = || {
                runtime.block_on(control.read().execute_unprepared(statement)).unwrap();
            };
            Worker::new(state).step(&job, end).map_err(|failure| failure.to_string())
        };
        let stepped = tokio::task::spawn_blocking(step).await.unwrap();
        let is_cancelled = statement.contains("bulk_jobs");
        assert_eq!(stepped.is_err(), is_cancelled, "{statement}: {stepped:?}");
        stage.clock.advance(Duration::from_mins(10));
        work(&stage).await;
        assert!(files(&stage).is_empty(), "{statement}: {:?}", files(&stage));
        let rows = stage.state.control.columns_with(&ada.id).await.unwrap();
        assert!(rows.iter().all(|column| column.table != "bulk_files"), "{statement}: {rows:?}");
    }
    // Narrowed to points: these stay, and values of check-ins do not.
    let stage = Stage::new().await;
    let doctor = stage.doctor("Doc").await;
    let ada = patient(&stage, "Ada", 2).await;
    stage.grant(&doctor, &ada, &["check_ins"]).await;
    kick_off(&stage, &doctor.token, "/Patient/$export").await;
    let place = stage.state.bulk.folder().place().unwrap();
    let job = bulk::next(stage.state.control.read(), &place).await.unwrap().unwrap();
    let state = stage.state.clone();
    let step = move || {
        let (runtime, control) = (tokio::runtime::Handle::current(), state.control.clone());
        let sql = "UPDATE grants SET permissions = 'wearables'";
        let narrow = || {
            runtime.block_on(control.read().execute_unprepared(sql)).unwrap();
        };
        Worker::new(state).step(&job, narrow).unwrap();
    };
    tokio::task::spawn_blocking(step).await.unwrap();
    assert_eq!(files(&stage), [format!("{}-patient.ndjson", ada.id), format!("{}-points.ndjson", ada.id)]);
}

/// Points of a file that comes in several pieces.
const MANY: i64 = 1_000;

/// A file's pieces after the first, with `between` done before they are asked for: whether they came to the end.
async fn rest_of(stage: &Stage, who: &Header, url: &str, between: impl Future<Output = ()>) -> bool {
    use futures::StreamExt as _;
    let path = url.strip_prefix(BASE).unwrap();
    let request = Request::get(path).header("host", "fhir.test").header(who.0, &who.1).body(Body::empty()).unwrap();
    let response = stage.ask(request).await;
    assert_eq!(response.status(), 200);
    let mut pieces = response.into_body().into_data_stream();
    assert!(pieces.next().await.unwrap().is_ok());
    stage.clock.advance(Duration::from_secs(1));
    between.await;
    while let Some(piece) = pieces.next().await {
        if piece.is_err() {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn a_file_under_way_breaks_off_when_its_credential_or_its_grant_ends() {
    let stage = Stage::new().await;
    let (ada, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    let grant = stage.grant(&doctor, &ada, &["wearables"]).await;
    let now_us = stage.state.clock.now_us();
    let point = |nth: i64| {
        let at = engine::time::format(now_us - nth * 60_000_000);
        json!({"metric": "heart_rate", "value": 60, "unit": "bpm", "recorded_at": at, "source": "w"})
    };
    for first in (0..MANY).step_by(500) {
        let points: Vec<_> = (first..first + 500).map(point).collect();
        assert_eq!(stage.post(&ada.key, "/wearables/bulk-ingest", json!({"data_points": points})).await.0, 201);
    }
    let (own, granted) = (
        kick_off(&stage, &ada.key, "/Patient/$export?_type=Observation").await,
        kick_off(&stage, &doctor.key, "/Patient/$export?_type=Observation").await,
    );
    work(&stage).await;
    let own = urls(&manifest(&stage, &ada.key, &own).await).remove(0);
    let granted = urls(&manifest(&stage, &doctor.key, &granted).await).remove(0);
    assert!(rest_of(&stage, &ada.read_key, &own, async {}).await);
    assert!(rest_of(&stage, &doctor.read_key, &granted, async {}).await);
    let end = async {
        let keys = stage.read(&ada.token, "/api-keys").await;
        let of = |key: &&Value| key["scopes"] == json!(["read"]);
        let id = keys["api_keys"].as_array().unwrap().iter().find(of).unwrap()["id"].as_str().unwrap().to_owned();
        assert_eq!(stage.send(Some(&ada.token), "DELETE", &format!("/api-keys/{id}"), None).await.0, 204);
    };
    assert!(!rest_of(&stage, &ada.read_key, &own, end).await, "the key is no more");
    assert!(!rest_of(&stage, &doctor.read_key, &granted, stage.revoke(&ada, &grant)).await, "the grant is no more");
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
    let place = stage.state.bulk.folder().place().unwrap();
    assert_eq!(bulk::count_of(stage.state.control.read(), &ada.id, &place).await.unwrap(), (0, 0));
}
