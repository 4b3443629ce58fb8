//! An export from its question to its files.

use std::time::Duration;

use super::*;
use crate::control::repository::users;

/// Ids that a search finds of a patient.
async fn searched(stage: &Stage, who: &Header, patient: &str) -> Vec<String> {
    let reply = get(stage, who, &format!("/Observation?patient={patient}&_count=1000")).await;
    let bundle = reply.json();
    let entries = bundle["entry"].as_array().unwrap();
    let mut ids: Vec<String> =
        entries.iter().map(|entry| entry["resource"]["id"].as_str().unwrap().to_owned()).collect();
    ids.sort_unstable();
    ids
}

async fn own(stage: Stage) {
    let (ada, _) = (patient(&stage, "Ada", 3).await, patient(&stage, "Bo", 2).await);
    let status = kick_off(&stage, &ada.token, "/Patient/$export").await;
    assert!(status.starts_with("http://fhir.test/fhir/R4/$export-status/exp_"), "{status}");
    let reply = get(&stage, &ada.token, &status).await;
    assert_eq!((reply.status, &reply.headers["x-progress"]), (202, &"0 of 1 patients".parse().unwrap()));
    assert_eq!(reply.headers["retry-after"], "1");
    work(&stage).await;
    let reply = get(&stage, &ada.token, &status).await;
    assert_eq!((reply.status, &reply.headers["content-type"]), (200, &"application/json".parse().unwrap()));
    assert!(reply.headers.contains_key("expires"));
    let manifest = reply.json();
    assert_eq!(
        (&manifest["request"], &manifest["requiresAccessToken"], &manifest["error"], &manifest["transactionTime"]),
        (&json!("http://fhir.test/fhir/R4/Patient/$export"), &json!(true), &json!([]), &json!(stage.ago(0.0)))
    );
    let expected = [("Patient", 1), ("Observation", 3), ("Observation", 4)];
    assert_eq!(outputs(&manifest), expected.map(|(kind, count)| (kind.to_owned(), count)));
    let all = resources(&stage, &ada.token, &manifest).await;
    assert_eq!(ids_of(&all, "Patient"), [ada.id.replace('_', "-")]);
    let observations = ids_of(&all, "Observation");
    assert_eq!(observations, searched(&stage, &ada.token, &ada.id).await);
    // A key of the same person is the same person; its own reads leave no record.
    assert_eq!(resources(&stage, &ada.key, &manifest).await.len(), 8);
    assert_eq!(stage.read(&ada.token, "/audit").await["records"], json!([]));
}

#[tokio::test]
async fn a_person_exports_everything_of_their_own() {
    own(Stage::new().await).await;
}

#[tokio::test]
async fn so_they_do_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_bulk_own").await {
        own(Stage::on(database).await).await;
    }
}

async fn granted(stage: Stage) {
    let doctor = stage.doctor("Doc").await;
    let (ada, bo) = (patient(&stage, "Ada", 3).await, patient(&stage, "Bo", 2).await);
    let (cy, dan) = (patient(&stage, "Cy", 1).await, patient(&stage, "Dan", 1).await);
    patient(&stage, "Eve", 1).await;
    let of_ada = stage.grant(&doctor, &ada, &["check_ins"]).await;
    let of_bo = stage.grant(&doctor, &bo, &["wearables"]).await;
    stage.grant(&doctor, &cy, &["symptoms", "wearables_write"]).await;
    let of_dan = stage.grant(&doctor, &dan, &["check_ins"]).await;
    stage.revoke(&dan, &of_dan).await;
    let group = format!("/Group/{}/$export", doctor.id.replace('_', "-"));
    let (by_group, by_patient) =
        (kick_off(&stage, &doctor.token, &group).await, kick_off(&stage, &doctor.token, "/Patient/$export").await);
    work(&stage).await;
    let of_group = manifest(&stage, &doctor.token, &by_group).await;
    let shown = manifest(&stage, &doctor.token, &by_patient).await;
    assert_eq!(outputs(&of_group), outputs(&shown));
    let mut counts = outputs(&shown);
    counts.sort_unstable();
    let expected = [("Observation", 2), ("Observation", 3), ("Observation", 4), ("Patient", 1), ("Patient", 1)];
    assert_eq!(counts, expected.map(|(kind, count)| (kind.to_owned(), count)), "nothing of check-ins of Bo, nor of Cy");
    assert_eq!(stage.read(&ada.token, "/audit").await["records"], json!([]), "a file that was made was not read");
    let all = resources(&stage, &doctor.token, &shown).await;
    let mut found = searched(&stage, &doctor.token, &ada.id).await;
    found.extend(searched(&stage, &doctor.token, &bo.id).await);
    found.sort_unstable();
    assert_eq!(ids_of(&all, "Observation"), found);
    let trail = stage.read(&ada.token, "/audit?limit=100").await;
    let reads: Vec<_> =
        trail["records"].as_array().unwrap().iter().filter(|record| record["what"] == "fhir_export").collect();
    assert_eq!(reads.len(), 3, "a record for each file of hers: {trail}");
    assert!(reads.iter().all(|record| record["actor_id"] == json!(doctor.id) && record["grant_id"] == json!(of_ada)));

    // What is not granted any more is neither listed nor read.
    let read = async |url: &str| get(&stage, &doctor.token, url).await.status;
    let mut of_whom = Vec::new();
    for url in urls(&shown) {
        let line = get(&stage, &doctor.token, &url).await.lines().remove(0);
        let whom = line["subject"]["reference"].as_str().unwrap_or_else(|| line["id"].as_str().unwrap()).to_owned();
        of_whom.push((url, whom.contains(&bo.id.replace('_', "-")), line["code"]["text"].clone()));
    }
    stage.revoke(&bo, &of_bo).await;
    let body = json!({"permissions": ["wearables"]});
    let (status, _) = stage.send(Some(&ada.token), "PATCH", &format!("/grants/{of_ada}"), Some(&body)).await;
    assert_eq!(status, 200);
    let left = manifest(&stage, &doctor.token, &by_patient).await;
    assert_eq!(urls(&left).len(), 2, "Ada herself, and her points: {left}");
    for (url, is_bos, _) in &of_whom {
        let is_left = urls(&left).contains(url);
        assert_eq!(read(url).await, if is_left { 200 } else { 403 }, "{url} {is_bos}");
        assert!(!(is_left && *is_bos));
    }
}

#[tokio::test]
async fn a_doctor_exports_who_has_granted_it_as_far_as_they_have() {
    granted(Stage::new().await).await;
}

#[tokio::test]
async fn so_a_doctor_does_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_bulk").await {
        granted(Stage::on(database).await).await;
    }
}

#[tokio::test]
async fn since_gives_what_has_changed_and_everything_of_who_has_come_in_since() {
    let stage = Stage::new().await;
    let doctor = stage.doctor("Doc").await;
    let (ada, bo) = (patient(&stage, "Ada", 3).await, patient(&stage, "Bo", 2).await);
    stage.grant(&doctor, &ada, &["check_ins"]).await;
    let first = kick_off(&stage, &doctor.key, "/Patient/$export").await;
    work(&stage).await;
    let first = manifest(&stage, &doctor.key, &first).await;
    let since = first["transactionTime"].as_str().unwrap().to_owned();
    stage.clock.advance(Duration::from_mins(10));
    let path = format!("/Patient/$export?_since={since}");
    let nothing = kick_off(&stage, &doctor.key, &path.replace(&since, &stage.ago(0.0))).await;
    work(&stage).await;
    assert!(outputs(&manifest(&stage, &doctor.key, &nothing).await).is_empty());
    let between = stage.ago(0.0);
    stage.heart_rate(&ada, 99.0, 0.5).await;
    stage.grant(&doctor, &bo, &["wearables"]).await;
    let second = kick_off(&stage, &doctor.key, &path).await;
    work(&stage).await;
    let second = manifest(&stage, &doctor.key, &second).await;
    let all = resources(&stage, &doctor.key, &second).await;
    let of = |person: &Person| {
        let reference = format!("Patient/{}", person.id.replace('_', "-"));
        all.iter().filter(|resource| resource["subject"]["reference"] == json!(reference)).count()
    };
    // What was sent within the minute before `_since` comes again rather than never.
    assert_eq!((of(&ada), of(&bo)), (1 + 3 + 4, 2), "{second}");
    stage.clock.advance(Duration::from_mins(10));
    let third = kick_off(&stage, &doctor.key, &path.replace(&since, &between)).await;
    work(&stage).await;
    let third = manifest(&stage, &doctor.key, &third).await;
    let all = resources(&stage, &doctor.key, &third).await;
    assert_eq!(ids_of(&all, "Patient").len(), 0);
    let values: Vec<_> = all.iter().map(|resource| resource["valueQuantity"]["value"].as_f64().unwrap()).collect();
    assert_eq!(values, [99.0], "of the others nothing is newer");
}

#[tokio::test]
async fn since_gives_totals_that_have_become_final_and_nothing_beside_them() {
    let stage = Stage::new().await;
    let at = |text: &str| engine::time::parse(text).unwrap();
    stage.clock.set_now_us(at("2026-06-10T12:00:00+02:00"));
    let ada = stage.patient("Ada").await;
    let zone = json!({"timezone": "Europe/Berlin"});
    assert_eq!(stage.send(Some(&ada.token), "PATCH", "/users/me", Some(&zone)).await.0, 200);
    let unit = stage.state.engine.catalogue().get("steps").unwrap().unit.clone();
    for (day, value) in [("2026-06-09", 1), ("2026-06-10", 2)] {
        let total = json!({"metric": "steps", "value": value, "unit": unit,
            "recorded_at": format!("{day}T00:00:00+02:00"), "source": "app"});
        assert_eq!(stage.post(&ada.key, "/wearables/ingest", total).await.0, 201);
        stage.check_in(&ada, json!({"steps": 10 + value, "checked_in_at": format!("{day}T09:00:00+02:00")})).await;
    }
    stage.heart_rate(&ada, 60.0, 0.1).await;
    stage.clock.set_now_us(at("2026-06-10T23:00:00+02:00"));
    let since = stage.ago(0.0);
    let export = async || {
        let job = kick_off(&stage, &ada.key, &format!("/Patient/$export?_type=Observation&_since={since}")).await;
        work(&stage).await;
        let all = resources(&stage, &ada.key, &manifest(&stage, &ada.key, &job).await).await;
        let value = |one: &Value| one["valueQuantity"]["value"].as_f64().unwrap();
        let mut found: Vec<_> = all.iter().map(|one| (value(one), one["status"].clone())).collect();
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        found
    };
    assert_eq!(export().await, [], "nothing has changed");
    stage.clock.set_now_us(at("2026-06-11T00:00:00+02:00"));
    assert_eq!(export().await, [(2.0, json!("final")), (12.0, json!("final"))]);
    // In New York the second day is not over, and no day begins where those of Berlin do.
    let moved_us = at("2026-06-11T01:00:00+02:00");
    stage.clock.set_now_us(moved_us);
    let zone = Some("America/New_York".to_owned());
    users::set_profile(stage.state.control.read(), &ada.id, None, zone, moved_us).await.unwrap();
    let (last, open) = (json!("final"), json!("preliminary"));
    assert_eq!(export().await, [(1.0, last.clone()), (2.0, last.clone()), (11.0, last), (12.0, open)]);
}

#[tokio::test]
async fn parameters_of_a_post_and_types_shape_an_export() {
    let stage = Stage::new().await;
    let ada = patient(&stage, "Ada", 3).await;
    let body = json!({"resourceType": "Parameters", "parameter": [{"name": "_type", "valueString": "Patient"}]});
    let headers = [("prefer", "respond-async"), ("content-type", "application/fhir+json")];
    let reply = send(&stage, &ada.token, "POST", "/Patient/$export", &headers, &body.to_string()).await;
    assert_eq!(reply.status, 202, "{}", reply.text);
    let by_query = kick_off(&stage, &ada.token, "/Patient/%24export?_type=Observation").await;
    work(&stage).await;
    let status = reply.headers["content-location"].to_str().unwrap();
    assert_eq!(outputs(&manifest(&stage, &ada.token, status).await), [("Patient".to_owned(), 1)]);
    let kinds = outputs(&manifest(&stage, &ada.token, &by_query).await);
    assert!(kinds.len() == 2 && kinds.iter().all(|(kind, _)| kind == "Observation"), "{kinds:?}");
}

#[tokio::test]
async fn an_export_by_post_is_of_what_its_query_and_its_body_say_together() {
    let stage = Stage::new().await;
    let (doctor, ada) = (stage.doctor("Doc").await, patient(&stage, "Ada", 3).await);
    stage.grant(&doctor, &ada, &["check_ins"]).await;
    let later = stage.ago(-1.0);
    let json = [("prefer", "respond-async"), ("content-type", "application/fhir+json")];
    let of = |name: &str, value: &str| {
        json!({"resourceType": "Parameters", "parameter": [{"name": name, "valueString": value}]}).to_string()
    };
    let post = async |who: &Person, path: &str, body: &str| {
        let headers = if body.is_empty() { &json[..1] } else { &json[..] };
        let reply = send(&stage, &who.token, "POST", path, headers, body).await;
        assert_eq!(reply.status, 202, "{path}: {}", reply.text);
        work(&stage).await;
        let done = manifest(&stage, &who.token, reply.headers["content-location"].to_str().unwrap()).await;
        assert_eq!(done["request"], format!("{BASE}/fhir/R4{path}"));
        outputs(&done)
    };
    let only = [("Patient".to_owned(), 1_u64)];
    let group = format!("/Group/{}/$export", doctor.id);
    for (who, root) in [(&ada, "/Patient/$export"), (&ada, "/Patient/%24export"), (&doctor, group.as_str())] {
        assert_eq!(post(who, &format!("{root}?_type=Patient"), "").await, only, "{root}");
        assert_eq!(post(who, &format!("{root}?_type=Patient"), &of("_outputFormat", "ndjson")).await, only);
        assert!(post(who, &format!("{root}?_since={later}"), &of("_type", "Observation")).await.is_empty());
        for (query, body) in [
            ("_type=Patient", of("_type", "Patient")),
            ("_since=yesterday", String::new()),
            ("x=1", of("_type", "Patient")),
        ] {
            let reply = send(&stage, &who.token, "POST", &format!("{root}?{query}"), &json, &body).await;
            assert_eq!(reply.status, 400, "{root}?{query}: {}", reply.text);
        }
    }
}

#[tokio::test]
async fn the_form_of_refusals_and_that_of_files_are_asked_for_apart_by_any_word_for_them() {
    let stage = Stage::new().await;
    let ada = patient(&stage, "Ada", 1).await;
    let mut status = String::new();
    for (format, files) in [
        ("json", "ndjson"),
        ("application/json", "application/ndjson"),
        ("application/fhir%2Bjson", "application/fhir%2Bndjson"),
        ("application/fhir+json", "application/fhir+ndjson"),
    ] {
        // `_format` wins over a header, and a slash at the end is nothing.
        let path = format!("/Patient/$export/?_format={format}&_outputFormat={files}");
        let headers = [("prefer", "respond-async"), ("accept", "text/html")];
        let reply = send(&stage, &ada.token, "GET", &path, &headers, "").await;
        assert_eq!(reply.status, 202, "{path}: {}", reply.text);
        work(&stage).await;
        reply.headers["content-location"].to_str().unwrap().clone_into(&mut status);
        let done = get(&stage, &ada.token, &format!("{status}?_format={format}&_pretty=true")).await;
        assert_eq!((done.status, &done.headers["content-type"]), (200, &"application/json".parse().unwrap()));
        let done = send(&stage, &ada.token, "GET", &format!("{status}/?_format={format}"), &headers[1..], "").await;
        assert_eq!(done.status, 200, "{}", done.text);
        assert!(!resources(&stage, &ada.token, &done.json()).await.is_empty());
        for url in urls(&done.json()) {
            assert!(!get(&stage, &ada.token, &format!("{url}/")).await.lines().is_empty());
        }
    }
    for (query, headers, expected, parameter) in [
        ("?_format=xml", &[][..], 406, "http._format"),
        ("?_format=application/fhir%2Bndjson", &[], 406, "http._format"),
        ("?_format=json&_format=json", &[], 400, "http._format"),
        ("?x=1", &[], 400, "http.x"),
        ("", &[("accept", "application/fhir+xml")], 406, "http.Accept"),
    ] {
        let reply = send(&stage, &ada.token, "GET", &format!("{status}{query}"), headers, "").await;
        let outcome = reply.json();
        assert_eq!((reply.status, &outcome["issue"][0]["expression"]), (expected, &json!([parameter])), "{query}");
        assert_eq!(outcome["resourceType"], "OperationOutcome");
    }
    let lenient = [("prefer", "handling=lenient")];
    assert_eq!(send(&stage, &ada.token, "GET", &format!("{status}?x=1"), &lenient, "").await.status, 200);
    assert_eq!(send(&stage, &ada.token, "DELETE", &format!("{status}/"), &[], "").await.status, 202);
    assert_eq!(get(&stage, &ada.token, &status).await.status, 404);
}

#[tokio::test]
async fn a_look_by_head_begins_no_export() {
    let stage = Stage::new().await;
    let (doctor, ada) = (stage.doctor("Doc").await, patient(&stage, "Ada", 1).await);
    let asynchronous = [("prefer", "respond-async")];
    let group = format!("/Group/{}/$export", doctor.id);
    for (who, path) in [(&ada, "/Patient/$export"), (&ada, "/Patient/%24export/"), (&doctor, group.as_str())] {
        let reply = send(&stage, &who.token, "HEAD", path, &asynchronous, "").await;
        assert_eq!((reply.status, &reply.headers["allow"]), (405, &"GET,POST".parse().unwrap()), "{path}");
        assert!(!reply.headers.contains_key("content-location"));
    }
    assert!(!turn(&stage).await, "there is nothing to do");
}

#[tokio::test]
async fn what_is_no_question_for_an_export_is_refused_in_the_words_of_fhir() {
    let stage = Stage::new().await;
    let (ada, doctor) = (patient(&stage, "Ada", 1).await, stage.doctor("Doc").await);
    let asynchronous = ("prefer", "respond-async");
    let table = [
        (&ada, "GET", "/Patient/$export", &[][..], 400),
        (&ada, "GET", "/Patient/$export?_type=Device", &[asynchronous], 400),
        (&ada, "GET", "/Patient/$export?_since=yesterday", &[asynchronous], 400),
        (&ada, "GET", "/Patient/$export?patient=x", &[asynchronous], 400),
        (&ada, "GET", "/Patient/$export", &[asynchronous, ("accept", "application/fhir+xml")], 406),
        (&ada, "GET", "/Patient/$export?_format=xml", &[asynchronous], 406),
        (&ada, "GET", "/Patient/$export?_format=application/fhir%2Bndjson", &[asynchronous], 406),
        (&ada, "GET", "/Patient/$export?_format=json&_format=json", &[asynchronous], 400),
        (&ada, "GET", "/Patient/$export?_outputFormat=csv", &[asynchronous], 400),
        (&doctor, "GET", "/Group/DOCTOR/$export?_format=xml", &[asynchronous], 406),
        (&ada, "POST", "/Patient/$export", &[asynchronous, ("content-type", "text/plain")], 415),
        (&ada, "PUT", "/Patient/$export", &[asynchronous], 405),
        (&ada, "GET", "/Group/usr-00000000/$export", &[asynchronous], 404),
        (&doctor, "GET", "/Group/usr-00000000/$export", &[asynchronous], 404),
        (&ada, "GET", "/$export-status/exp_0000000000000000", &[], 404),
        (&ada, "GET", "/$export-status/exp_%00", &[], 404),
        (&ada, "DELETE", "/$export-status/x", &[], 404),
        (&ada, "GET", "/$export-file/exp_0000000000000000/1", &[], 404),
    ];
    for (who, method, path, headers, expected) in table {
        let body = if method == "POST" { "x" } else { "" };
        let path = &path.replace("DOCTOR", &doctor.id);
        let reply = send(&stage, &who.token, method, path, headers, body).await;
        assert_eq!(reply.status, expected, "{method} {path}: {}", reply.text);
        assert_eq!(reply.json()["resourceType"], "OperationOutcome", "{method} {path}: {}", reply.text);
    }
    let nobody = ("x-nothing", String::new());
    for path in ["/Patient/$export", "/$export-status/exp_0000000000000000", "/$export-file/exp_0000000000000000/1"] {
        assert_eq!(ask(&stage, &nobody, path).await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn files_and_manifests_are_stored_by_nobody() {
    let stage = Stage::new().await;
    let (doctor, ada) = (stage.doctor("Doc").await, patient(&stage, "Ada", 1).await);
    stage.grant(&doctor, &ada, &["wearables"]).await;
    for who in [&doctor.token, &ada.token] {
        let status = kick_off(&stage, who, "/Patient/$export").await;
        work(&stage).await;
        let manifest = get(&stage, who, &status).await;
        assert_eq!(manifest.headers["cache-control"], "no-store");
        for url in urls(&manifest.json()) {
            assert_eq!(get(&stage, who, &url).await.headers["cache-control"], "no-store", "{url}");
        }
    }
}
