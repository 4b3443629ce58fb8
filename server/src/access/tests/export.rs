//! Everything of one's own, in every form, nothing of anybody else's, and never a part that looks whole.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::Response;
use futures::StreamExt as _;
use sea_orm::ConnectionTrait;

use super::*;

/// More than what may wait for a client in memory.
const MANY: i64 = 16_000;
/// Longest wait for the end of an export that nobody reads.
const DEADLINE: Duration = Duration::from_secs(30);

impl Stage {
    async fn ask_export(&self, who: &Header, query: &str, encoding: Option<&str>) -> Response {
        let mut request = Request::builder().uri(format!("/api/v1/export{query}")).header(who.0, &who.1);
        if let Some(encoding) = encoding {
            request = request.header("accept-encoding", encoding);
        }
        self.edge.answer(request.body(Body::empty()).unwrap(), PEER).await
    }

    async fn export(&self, who: &Header, query: &str) -> (HeaderMap, Vec<u8>) {
        let response = self.ask_export(who, query, None).await;
        assert_eq!(response.status(), 200);
        let (head, body) = response.into_parts();
        (head.headers, to_bytes(body, 64 << 20).await.unwrap().to_vec())
    }

    async fn exported(&self, who: &Header) -> Value {
        serde_json::from_slice(&self.export(who, "").await.1).unwrap()
    }

    /// Heart rates, one a minute back from now.
    async fn heart_rates(&self, patient: &Person, count: i64) {
        let now_us = self.state.clock.now_us();
        let point = |nth: i64| {
            let at = engine::time::format(now_us - nth * 60_000_000);
            json!({"metric": "heart_rate", "value": 40 + nth % 100, "unit": "bpm", "recorded_at": at, "source": "w"})
        };
        for first in (0..count).step_by(500) {
            let points: Vec<_> = (first..count.min(first + 500)).map(point).collect();
            let answer = self.post(&patient.key, "/wearables/bulk-ingest", json!({"data_points": points})).await;
            assert_eq!(answer.0, 201, "{}", answer.1);
        }
    }

    async fn sql(&self, statement: &str) {
        self.state.control.read().execute_unprepared(statement).await.unwrap();
    }
}

/// A patient with something of everything, a doctor who was let in and one who waits.
struct Scene {
    stage: Stage,
    ada: Person,
    doctor: Person,
}

impl Scene {
    async fn on(database: Database) -> Self {
        let stage = Stage::on(database).await;
        let (ada, bob) = (stage.patient("Ada").await, stage.patient("Bob Stranger").await);
        let (doctor, waiting) = (stage.doctor("Doc").await, stage.doctor("Waiting").await);
        let grant = stage.grant(&doctor, &ada, &["check_ins", "symptoms"]).await;
        stage.invite(&waiting, &ada, &["wearables"]).await;
        stage.grant(&waiting, &bob, &["check_ins"]).await;
        let read = format!("/grants/patient/{}/check-ins", ada.id);
        stage.read(&doctor.token, &read).await;
        for person in [&ada, &bob] {
            stage.check_in(person, json!({"note": format!("of {}", person.email), "sleep_hours": 7.25})).await;
            let symptom = json!({"name": "headache", "severity": "mild", "onset_at": stage.ago(1.0)});
            assert_eq!(stage.post(&person.token, "/symptoms", symptom).await.0, 201);
            stage.heart_rate(person, 62.0, 1.0).await;
            let webhook = json!({"url": "https://8.8.8.8/hook", "events": ["grant.revoked"]});
            assert_eq!(stage.post(&person.token, "/webhooks", webhook).await.0, 201);
            crate::fhir::smart::tests::register(&stage, person, "system/Patient.rs").await;
        }
        assert!(!grant.is_empty());
        Self { stage, ada, doctor }
    }
}

/// The records of each list.
fn lists(export: &Value) -> BTreeMap<String, Vec<Value>> {
    let lists = export.as_object().unwrap().iter().filter_map(|(name, list)| Some((name, list.as_array()?)));
    lists.map(|(name, list)| (name.clone(), list.clone())).collect()
}

/// The files of an archive.
fn files(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(archive)).unwrap();
    let mut files = BTreeMap::new();
    for nth in 0..archive.len() {
        let mut file = archive.by_index(nth).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        files.insert(file.name().unwrap().to_string(), bytes);
    }
    files
}

async fn an_export_holds_everything_of_ones_own_in_every_form(database: Database) {
    let Scene { stage, ada, doctor } = Scene::on(database).await;
    let (headers, whole) = stage.export(&ada.token, "").await;
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["cache-control"], "no-store");
    let disposition = headers["content-disposition"].to_str().unwrap();
    assert!(disposition.starts_with("attachment; filename=\"avycenna-export-2026-"), "{disposition}");
    let text = String::from_utf8(whole).unwrap();
    assert!(text.ends_with(",\n\"complete\":true}\n"), "{text}");
    let export: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&export["format"], &export["version"]), (&json!("avycenna-export"), &json!(1)));
    assert_eq!(export["user"]["email"], json!(ada.email));
    let counts: BTreeMap<_, _> = lists(&export).into_iter().map(|(name, list)| (name, json!(list.len()))).collect();
    assert_eq!(export["counts"], json!(counts));
    insta::allow_duplicates! {
        insta::assert_snapshot!(export["counts"], @r#"{"api_keys":3,"audit":1,"check_ins":1,"imports":0,"incoming_grants":2,"metrics":1,"outgoing_grants":0,"points":1,"sessions":1,"smart_clients":1,"symptoms":1,"webhooks":1}"#);
    }
    // What the API shows is in it, word for word.
    let check_in = &stage.read(&ada.token, "/check-ins").await["check_ins"][0];
    let found = export["check_ins"][0].as_object().unwrap();
    assert!(check_in.as_object().unwrap().iter().all(|(name, value)| found.get(name) == Some(value)), "{found:?}");
    assert_eq!(export["audit"], stage.read(&ada.token, "/audit").await["records"]);
    assert_eq!(export["webhooks"], stage.read(&ada.token, "/webhooks").await["webhooks"]);
    assert!(!text.contains("whsec_"), "{text}");
    let point = json!({
        "metric": "heart_rate", "value": 62.0, "unit": "bpm",
        "recorded_at": stage.ago(1.0), "source": "w", "source_device_id": null
    });
    assert_eq!(export["points"], json!([point]));
    assert!(text.contains("\"value\":62.0,"), "{text}");

    let (headers, lines) = stage.export(&ada.key, "?format=ndjson").await;
    assert_eq!(headers["content-type"], "application/x-ndjson");
    let lines = String::from_utf8(lines).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["type"], &lines[0]["version"]), (&json!("export"), &json!(1)));
    assert_eq!(lines.last(), Some(&json!({"type": "end", "counts": export["counts"]})));
    let mut of_type: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for mut line in lines {
        let Some(Value::String(kind)) = line.as_object_mut().unwrap().remove("type") else { panic!("{line}") };
        of_type.entry(kind).or_default().push(line);
    }
    assert_eq!(of_type["user"], [export["user"].clone()]);
    for (name, records) in lists(&export) {
        let kind = if name == "audit" { "audit_record" } else { name.trim_end_matches('s') };
        // A key's last use is noted to the hour, and this export was such a use.
        if name != "api_keys" {
            assert_eq!(of_type.remove(kind).unwrap_or_default(), records, "{name}");
        }
    }

    let (headers, archive) = stage.export(&ada.token, "?format=zip-parquet").await;
    assert_eq!(headers["content-type"], "application/zip");
    let files = files(&archive);
    for (name, records) in lists(&export).into_iter().filter(|(name, _)| name != "points" && name != "api_keys") {
        let file: Value = serde_json::from_slice(&files[&format!("{name}.json")]).unwrap();
        assert_eq!(file, json!(records), "{name}");
    }
    let manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    assert_eq!((&manifest["complete"], &manifest["counts"]), (&json!(true), &export["counts"]));
    let listed: Vec<_> =
        manifest["files"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap()).collect();
    assert!(
        files.keys().all(|name| listed.contains(&name.as_str()) || ["README.txt", "manifest.json"].contains(&&**name))
    );
    assert!(files["points/heart_rate.parquet"].starts_with(b"PAR1"));
    // What the archive says of itself names every file in it.
    let readme = String::from_utf8(files["README.txt"].clone()).unwrap();
    let is_told =
        |name: &&String| name.starts_with("points/") || *name == "README.txt" || readme.contains(name.as_str());
    assert!(files.keys().all(|name| is_told(&name)), "{:?}", files.keys());

    the_doctor_s_side_is_what_they_asked_for(&stage, &ada, &doctor).await;
}

/// What a doctor gets is what they asked for, and nothing of what they may read.
async fn the_doctor_s_side_is_what_they_asked_for(stage: &Stage, ada: &Person, doctor: &Person) {
    let of_doctor = stage.exported(&doctor.token).await;
    assert_eq!(of_doctor["outgoing_grants"][0]["patient_id"], json!(ada.id));
    assert_eq!(
        (&of_doctor["check_ins"], &of_doctor["points"], &of_doctor["audit"]),
        (&json!([]), &json!([]), &json!([]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_holds_everything_of_ones_own() {
    an_export_holds_everything_of_ones_own_in_every_form(Database::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_does_on_postgresql() {
    if let Some(database) = Database::postgres("export").await {
        an_export_holds_everything_of_ones_own_in_every_form(database).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_holds_nothing_of_others_and_no_secret() {
    let Scene { stage, ada, doctor } = Scene::on(Database::new().await).await;
    let mut everything = String::new();
    for query in ["", "?format=ndjson"] {
        everything += &String::from_utf8(stage.export(&ada.token, query).await.1).unwrap();
    }
    for file in files(&stage.export(&ada.token, "?format=zip-parquet").await.1).into_values() {
        everything += &String::from_utf8_lossy(&file);
    }
    assert!(everything.contains(&doctor.id), "who has read is told");
    for secret in ["Bob", "bob.stranger", "$argon2", "refresh", &ada.key.1, &ada.read_key.1] {
        assert!(!everything.contains(secret), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_an_export_follow_each_other_without_gap_or_repetition() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    // Many were made at the same moment: their ids decide.
    let rows: Vec<_> = (0..1_203)
        .map(|nth| {
            format!("('ci_{:016}', '{}', 3, 3, 3, 'n{nth}', 1, 'api', {}, 1)", (nth * 7_919) % 1_203, ada.id, nth / 400)
        })
        .collect();
    let columns = "id, user_id, mood, energy, focus, note, checked_in_at, source, created_at, updated_at";
    stage.sql(&format!("INSERT INTO check_ins ({columns}) VALUES {}", rows.join(", "))).await;
    let rows: Vec<_> = (1..=1_001)
        .map(|seq| format!("('{}', {seq}, 1, 'usr_x', 'key', 'k', 'g', 'overview', 'a', x'00', x'00')", ada.id))
        .collect();
    let columns = "patient_id, seq, at, actor_id, means, means_id, grant_id, what, address, prev_hash, hash";
    stage.sql(&format!("INSERT INTO audit_records ({columns}) VALUES {}", rows.join(", "))).await;
    let export = stage.exported(&ada.token).await;
    let made = |row: &Value| {
        let at = engine::time::parse(row["created_at"].as_str().unwrap()).unwrap();
        (at, row["id"].as_str().unwrap().to_owned())
    };
    let made: Vec<_> = export["check_ins"].as_array().unwrap().iter().map(made).collect();
    assert_eq!(made.len(), 1_203);
    assert!(made.is_sorted_by(|a, b| a < b), "each once, in the order in which they were made");
    let seqs: Vec<_> = export["audit"].as_array().unwrap().iter().map(|row| row["seq"].as_i64().unwrap()).collect();
    assert!(seqs.into_iter().eq(1..=1_001));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_reads_exports_and_one_that_writes_does_not() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    assert_eq!(stage.exported(&ada.read_key).await["complete"], json!(true));
    assert_eq!(stage.get(&ada.write_key, "/export").await.0, 403);
    for (query, place) in [("?format=xml", "format"), ("?days=3", "days"), ("?format=json&format=json", "format")] {
        let (status, body) = stage.get(&ada.token, &format!("/export{query}")).await;
        assert_eq!((status, places(&body)), (422, vec![json!(["query", place])]), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_take_places_and_give_them_back() {
    let stage = Stage::new().await;
    let mut people = Vec::new();
    for name in ["Ada", "Bob", "Cy"] {
        let person = stage.patient(name).await;
        stage.heart_rates(&person, MANY).await;
        people.push(person);
    }
    let refused = async |person: &Person| {
        let response = stage.ask_export(&person.token, "", None).await;
        assert_eq!(response.status(), 503);
        let wait: u32 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!(wait >= 1);
    };
    let first = stage.ask_export(&people[0].token, "", None).await;
    assert_eq!(first.status(), 200);
    // One person has one, whatever is free.
    refused(&people[0]).await;
    let second = stage.ask_export(&people[1].token, "?format=ndjson", None).await;
    assert_eq!(second.status(), 200);
    refused(&people[2]).await;
    // A client that goes away ends the work, one that reads to the end can ask again at once.
    drop(first);
    to_bytes(second.into_body(), 64 << 20).await.unwrap();
    let third = stage.ask_export(&people[1].token, "", None).await;
    assert_eq!(third.status(), 200);
    drop(third);
    stage.state.exports.ended(DEADLINE).await;
    assert_eq!(stage.exported(&people[0].token).await["counts"]["points"], json!(MANY));
}

/// What arrives of an answer, and whether it came to its end.
async fn read_all(body: Body, first: Vec<u8>) -> (Vec<u8>, bool) {
    let (mut arrived, mut pieces) = (first, body.into_data_stream());
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => arrived.extend_from_slice(&piece),
            Err(_) => return (arrived, false),
        }
    }
    (arrived, true)
}

/// Begins an export, lets `meanwhile` happen when the client has its head, and reads on.
async fn interrupted(
    stage: &Stage,
    who: &Header,
    query: &str,
    encoding: Option<&str>,
    meanwhile: impl AsyncFnOnce(),
) -> Vec<u8> {
    let response = stage.ask_export(who, query, encoding).await;
    assert_eq!(response.status(), 200);
    meanwhile().await;
    let (arrived, is_whole) = read_all(response.into_body(), Vec::new()).await;
    assert!(!is_whole, "{query} {encoding:?}: {} bytes that look whole", arrived.len());
    stage.state.exports.ended(DEADLINE).await;
    arrived
}

fn assert_looks_broken(query: &str, arrived: &[u8]) {
    let text = String::from_utf8_lossy(arrived);
    match query {
        "?format=zip-parquet" => assert!(zip::ZipArchive::new(std::io::Cursor::new(arrived)).is_err()),
        "?format=ndjson" => assert!(!text.contains("\"type\":\"end\"")),
        _ => assert!(!text.contains("\"complete\"") && serde_json::from_slice::<Value>(arrived).is_err()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_whose_credential_is_ended_breaks_off() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    stage.heart_rates(&ada, MANY).await;
    // The archive of these points is small enough to be done before anybody could end it: see the next test.
    for query in ["", "?format=ndjson"] {
        let new = NewKey { name: "k".to_owned(), scopes: READ, expires_at: None };
        let (row, key) = stage.state.auth.create_key(&ada.id, new).await.unwrap();
        let key = ("x-api-key", key);
        let arrived = interrupted(&stage, &key, query, None, async || {
            assert!(stage.state.auth.delete_key(&ada.id, &row.id).await.unwrap());
        });
        assert_looks_broken(query, &arrived.await);
    }
    let arrived = interrupted(&stage, &ada.token, "", None, async || {
        stage.sql(&format!("DELETE FROM users WHERE id = '{}'", ada.id)).await;
    });
    assert_looks_broken("", &arrived.await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_cannot_go_on_breaks_the_connection_compressed_or_not() {
    for (query, encoding) in [("", None), ("", Some("gzip")), ("?format=ndjson", Some("zstd"))] {
        let stage = Stage::new().await;
        let ada = stage.patient("Ada").await;
        stage.heart_rates(&ada, 4 * MANY).await;
        let arrived = interrupted(&stage, &ada.token, query, encoding, async || {
            stage.state.control.close().await.unwrap();
        });
        let arrived = arrived.await;
        if encoding.is_none() {
            assert_looks_broken(query, &arrived);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_not_compressed_again() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    let packed = stage.ask_export(&ada.token, "?format=zip-parquet", Some("gzip")).await;
    assert!(!packed.headers().contains_key("content-encoding"));
    let plain = stage.ask_export(&ada.read_key, "?format=json", Some("gzip")).await;
    drop(packed);
    assert!(plain.status() == 503 || plain.headers().contains_key("content-encoding"));
}
